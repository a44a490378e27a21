/**
 * Hybrid key wrap: a key travels to the holder of a composite KEM key, in place of RSA-OAEP.
 *
 * The two steps are KEM -> HKDF-SHA-256 -> KEK, and AES key wrap under that KEK. Both forms are CMS with KEMRecipientInfo
 * (RFC 9629, RFC 9936), one per recipient:
 *
 *   symmetric key   EnvelopedData whose content-encryption key IS the key and whose content is elsewhere (RFC 5652 section 6.1).
 *                   encryptedKey = AES-KWP(KEK, key), wrap id-aes256-wrap-pad (RFC 5649). A token takes ciphertext and encryptedKey
 *                   apart with C_DecapsulateKey, CKM_HKDF_DERIVE and C_UnwrapKey, so the key need not be seen outside.
 *   private key     AuthEnvelopedData (AES-256-GCM) over an AsymmetricKeyPackage (RFC 5958 section 2) with one PKCS#8 key;
 *                   encryptedKey = AES-KW(KEK, CEK), wrap id-aes256-wrap, which every implementation has.
 *
 * The label says what is inside: kind of key, name, and a check value with its method. It is the ukm of every recipient, so it
 * is part of each KEK's derivation: with another label nothing unwraps. The label is not secret; a KCV of 24 bits tells an
 * attacker 24 bits of nothing useful about a random AES key, but must never be made of a share or another guessable value.
 * Keys are the caller's to wipe, those given and those returned.
 */

import * as z from 'zod';
import canonicalize from 'canonicalize';
import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes, fromUtf8, toHex, utf8 } from '../bytes.ts';
import type { WrappedKeyFile } from '../evidence.ts';
import { Refused, refuse } from '../refusal.ts';
import { plainText } from '../text.ts';
import { checkValue } from './check-value.ts';
import { derParts, readDer, TAG, writeDer } from './der.ts';
import {
  contentKeyOf, identifierText, openEnvelope, readEnvelope, sealEnvelope, sealingRandomness, secretCopy, wrapKey, wrappingKek, wrappingRandomness,
  type DecapsulationKey, type EnvelopeReading, type Recipient,
} from './envelope.ts';
import { readPrivateKey, seedFormOf } from './private-key.ts';

/** id-ct-KP-aKeyPackage, RFC 5958 section 2. */
export const ASYMMETRIC_KEY_PACKAGE = '2.16.840.1.101.2.1.2.78.5';

const FORMAT = 'conclave-wrapped-key/1';

/** CMAC: ANSI X9.24-1, leftmost three bytes of AES-CMAC over sixteen zero bytes. SPKI-SHA-256: fingerprint of the public half. */
const Label = z.strictObject({
  format: z.literal(FORMAT),
  name: z.string().min(1).max(100),
  key: z.string().min(1).max(100),
  check: z.discriminatedUnion('method', [
    z.strictObject({ method: z.literal('KCV AES-CMAC of zeros, 3 bytes (ANSI X9.24-1)'), value: z.string().regex(/^[0-9a-f]{6}$/) }),
    z.strictObject({ method: z.literal('SHA-256 of the SubjectPublicKeyInfo'), value: z.string().regex(/^[0-9a-f]{64}$/) }),
  ]),
});
export type WrappedKeyLabel = Readonly<z.infer<typeof Label>>;

export interface WrappedKey {
  readonly label: WrappedKeyLabel;
  readonly envelope: EnvelopeReading;
  /** Per recipient: algorithm, who, and whether it is a hybrid of a post-quantum and a classical half. */
  readonly recipients: readonly { readonly algorithm: string; readonly identifier: string; readonly hybrid: boolean }[];
}

const NEXT = 'Do not use this key. Have it wrapped again from its source.';

function fault(rule: string, expected: string, found: string, next = NEXT): Refused {
  return new Refused(refuse(rule, expected, found, next));
}

/** KCV of an AES key as the label has it. */
export function keyCheckValue(key: Uint8Array): string {
  return checkValue('cmac', key);
}

/**
 * The AES-256 key under which a token wraps or unwraps the key that a WrappedKeyFile describes: as for a symmetric key above, with
 * the file's description in place of the label. Under another description nothing unwraps. SECRET: the caller wipes it.
 */
export function tokenKeyKek(sharedSecret: Uint8Array, described: WrappedKeyFile['key']): Uint8Array {
  return wrappingKek(sharedSecret, utf8(canonicalize(described)!));
}

/** Random octets that the two wraps take. */
export function hybridWrapRandomness(kind: 'symmetric' | 'private', recipients: readonly Recipient[]): number {
  return kind === 'symmetric' ? wrappingRandomness(recipients) : sealingRandomness(recipients);
}

/** Wraps an AES key of 16, 24 or 32 bytes. DER. Throws `Refused` KEY-LENGTH, ENVELOPE-*, TEXT-*. */
export function wrapSymmetricKey(key: Uint8Array, name: string, recipients: readonly Recipient[], randomness: Uint8Array): Uint8Array {
  if (![16, 24, 32].includes(key.length)) throw fault('KEY-LENGTH', 'an AES key of 16, 24 or 32 bytes', `${key.length} bytes`, 'Give the bare key, without padding or text.');
  const ukm = labelBytes({ format: FORMAT, name, key: `AES-${key.length * 8}`, check: { method: 'KCV AES-CMAC of zeros, 3 bytes (ANSI X9.24-1)', value: keyCheckValue(key) } });
  return wrapKey(key, { recipients, ukm }, randomness);
}

/**
 * Wraps a PKCS#8 private key, after judging it; ML-DSA and ML-KEM keys travel in their seed form where they have a seed. DER.
 * Throws `Refused` with what `readPrivateKey` finds, ENVELOPE-*, TEXT-*.
 */
export async function wrapPrivateKey(pkcs8: Uint8Array, name: string, recipients: readonly Recipient[], randomness: Uint8Array): Promise<Uint8Array> {
  const { publicKey, form } = await readPrivateKey(pkcs8);
  const ukm = labelBytes({ format: FORMAT, name, key: publicKey.label, check: { method: 'SHA-256 of the SubjectPublicKeyInfo', value: toHex(sha256(publicKey.spki)) } });
  const written = form === 'expanded' ? secretCopy(pkcs8) : await seedFormOf(pkcs8);
  const content = writeDer(TAG.sequence, written);
  try {
    return sealEnvelope({ content, contentType: ASYMMETRIC_KEY_PACKAGE, recipients, ukm }, randomness);
  } finally {
    written.fill(0);
    content.fill(0);
  }
}

function labelBytes(label: WrappedKeyLabel): Uint8Array {
  const wrong = plainText('name', label.name, 100) ?? (label.name === '' ? refuse('TEXT-LENGTH', 'name: at least one character', 'none', 'Name the key.') : null);
  if (wrong !== null) throw new Refused(wrong);
  return utf8(canonicalize(label)!);
}

/** Reads a wrapped key without opening it. Throws `Refused` as `readEnvelope`, and WRAPPED-KEY for an envelope that is none. */
export function readWrappedKey(der: Uint8Array): WrappedKey {
  const envelope = readEnvelope(der);
  const bare = envelope.encryptedContent === null;
  if (!bare && (!envelope.authenticated || envelope.contentType !== ASYMMETRIC_KEY_PACKAGE)) {
    throw fault('WRAPPED-KEY', 'a wrapped key, or a sealed AsymmetricKeyPackage', `content of type ${envelope.contentType}`, 'Open an ordinary envelope with `envelope open`.');
  }
  const recipients: WrappedKey['recipients'][number][] = [];
  const labels: Uint8Array[] = [];
  for (const one of envelope.recipients) {
    if (one.kind !== 'kem') throw fault('WRAPPED-KEY', 'recipients with a KEM only', one.method);
    if (one.ukm === null) throw fault('WRAPPED-KEY', 'a label for every recipient', 'none');
    labels.push(one.ukm);
    recipients.push({ algorithm: one.row.label, identifier: identifierText(one.identifier), hybrid: one.row.family === 'composite-kem' });
  }
  if (labels.some((one) => !equalBytes(one, labels[0]!))) throw fault('WRAPPED-KEY', 'one label for all recipients', 'two');
  const label = readLabel(labels[0]!);
  if (bare !== (label.check.method !== 'SHA-256 of the SubjectPublicKeyInfo')) throw fault('WRAPPED-KEY', 'a check value for this kind of key', label.check.method);
  if (bare && label.key !== `AES-${envelope.cipher.keyBytes * 8}`) throw fault('WRAPPED-KEY', `AES-${envelope.cipher.keyBytes * 8}`, label.key);
  return { label, envelope, recipients };
}

/** The label must be the canonical JSON of itself (RFC 8785): two spellings of it would be two keys. */
function readLabel(bytes: Uint8Array): WrappedKeyLabel {
  const expected = `a label of ${FORMAT}`;
  if (bytes.length > 1000) throw fault('WRAPPED-KEY', expected, `${bytes.length} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch {
    throw fault('WRAPPED-KEY', expected, 'none that can be read');
  }
  const { data, error } = Label.safeParse(value);
  if (data === undefined) throw fault('WRAPPED-KEY', expected, `a fault at ${error.issues[0]?.path.join('.').slice(0, 40) || 'its top'}`);
  if (!equalBytes(utf8(canonicalize(data)!), bytes)) throw fault('WRAPPED-KEY', 'a label in canonical JSON', 'another spelling');
  const wrong = plainText('name', data.name, 100) ?? plainText('key', data.key, 100);
  if (wrong !== null) throw new Refused(wrong);
  return data;
}

export interface Unwrapped {
  readonly kind: 'symmetric' | 'private';
  /** The AES key, or PKCS#8. SECRET: the caller wipes it. */
  readonly key: Uint8Array;
}

/**
 * Unwraps a key and compares it with its label. Throws `Refused` ENVELOPE-* when this private key does not open it or it was
 * altered, KEY-CHECK-VALUE when it is not the key that the label names, and what `readPrivateKey` finds.
 */
export async function unwrapKey({ label, envelope }: WrappedKey, held: DecapsulationKey): Promise<Unwrapped> {
  if (envelope.encryptedContent === null) {
    const key = await contentKeyOf(envelope, held);
    if (keyCheckValue(key) === label.check.value) return { kind: 'symmetric', key };
    key.fill(0);
    throw fault('KEY-CHECK-VALUE', `a key with ${label.check.method} ${label.check.value}`, 'another key');
  }
  const { content } = await openEnvelope(envelope, held);
  try {
    const packed = derParts(readDer(content, 'asymmetricKeyPackage', TAG.sequence), 'asymmetricKeyPackage');
    const [one] = packed;
    if (one === undefined || packed.length > 1) throw fault('WRAPPED-KEY', 'one key in the package', `${packed.length}`);
    const { publicKey } = await readPrivateKey(one.bytes);
    if (toHex(sha256(publicKey.spki)) !== label.check.value || publicKey.label !== label.key) {
      throw fault('KEY-CHECK-VALUE', `${label.key} with fingerprint ${label.check.value}`, `${publicKey.label} with ${toHex(sha256(publicKey.spki))}`);
    }
    return { kind: 'private', key: secretCopy(one.bytes) };
  } finally {
    content.fill(0);
  }
}
