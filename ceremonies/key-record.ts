/**
 * The record of a key: what a ceremony that made it leaves for the ceremonies that will use it, and for device processes
 * that look for its parts. Public: wrapped parts are ciphertext under a key that never leaves its token.
 */
import canonicalize from 'canonicalize';
import { sha256 } from '@noble/hashes/sha2.js';
import * as z from 'zod';
import { fromBase64url, fromUtf8, toHex, utf8 } from './bytes.ts';
import { Base64url, BoundedText, KeyReference, type Input, type KeyPart, type Placement, type WrappedPart } from './evidence.ts';
import { caAlgorithmNamed, componentsOf, type Component } from './keys/algorithms.ts';
import { derParts, readDer, TAG } from './keys/der.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';

/** One part of the ceremony's key, as the token last showed it. */
export interface HeldPart extends Pick<KeyPart, 'part' | 'algorithm' | 'held' | 'spki' | 'private' | 'wrapped'> {
  /** CKA_ID; null for a wrapped part. */
  readonly id: string | null;
}

/** The key that this ceremony makes, or opens. */
export interface CeremonyKey {
  readonly name: string;
  readonly token: string;
  readonly label: string;
  readonly algorithm: string;
  /** SubjectPublicKeyInfo of the whole key. */
  readonly spki: string;
  readonly parts: readonly HeldPart[];
  /** CKA_ID of the AES-256 key that wrapped parts are under; null where there are none. */
  readonly wrapping: string | null;
  /** Made in this ceremony; else it was there before. */
  readonly made: boolean;
  /** Brought back onto this token in this ceremony, out of its backup. */
  readonly restored: boolean;
  readonly proven: boolean;
  readonly certificate: string | null;
  readonly wrapped: readonly WrappedPart[] | null;
  readonly recoveryProven: boolean;
  readonly locked: boolean;
}

const BRING = 'Bring the right file. Nothing was touched.';

export const KeyRecord = z.strictObject({
  format: z.literal('conclave-key/1'),
  label: BoundedText(64),
  /** Serial number of the token that holds the key, or the key that its parts are wrapped under. */
  token: BoundedText(64),
  /** The draft under which a composite was made; null where there is a finished standard. */
  profile: BoundedText(64).nullable(),
  key: KeyReference,
  /** The key's own certificate, DER; null where it has none. */
  certificate: Base64url(90_000).nullable(),
});
export type KeyRecord = z.infer<typeof KeyRecord>;

/** Reads a key record. Throws `Refused` INPUT-KEY, or ALGORITHM-KNOWN. */
export function readKeyRecord(bytes: Uint8Array): KeyRecord {
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch {
    throw keyFault('a key record (JSON)', 'something else');
  }
  const parsed = KeyRecord.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw keyFault('a key record of the format conclave-key/1', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
  }
  soundReference(parsed.data.key, parsed.data.profile, keyFault);
  return parsed.data;
}

/** The draft under which an algorithm is used here; null where there is a finished standard. */
export function profileOfKey(name: string): string | null {
  const algorithm = caAlgorithmNamed(name);
  return 'profile' in algorithm ? algorithm.profile : null;
}

/** What every record must say of a key, so that its parts can be found and joined. Throws what `fault` makes of the first that is not so. */
export function soundReference(key: KeyReference, profile: string | null, fault: (expected: string, found: string) => Refused): void {
  // The same name under another draft is another algorithm.
  const draft = profileOfKey(key.algorithm);
  if (profile !== draft) throw fault(`${key.algorithm} under ${draft ?? 'no draft'}`, profile ?? 'no draft');
  const components = componentsOf(caAlgorithmNamed(key.algorithm));
  const parts = key.parts.map((part) => part.part).join(' ');
  if (parts !== components.map((component) => component.part).join(' ')) throw fault(`the parts of ${key.algorithm}`, parts);
  for (const part of key.parts) {
    const whole = part.held === 'token' ? part.id !== null && part.wrapped === null : part.id === null && part.wrapped !== null && key.wrapping !== null;
    if (!whole) throw fault(`the ${part.part} either on the token, with its CKA_ID, or wrapped, with the key it is under`, 'neither');
  }
  const ids = keyIds(key);
  if (key.wrapping !== null && key.parts.every((part) => part.held === 'token')) throw fault('a wrapping key only where a part is wrapped', 'one that nothing is under');
  if (new Set(ids).size !== ids.length) throw fault('a CKA_ID for every object', 'one of them twice');
}

export function keyFault(expected: string, found: string): Refused {
  return new Refused(refuse('INPUT-KEY', expected, found, BRING));
}

/** The record of a key that was made and certified here, or restored, as the bundle gives it; null before that. One that was opened keeps the record it came with. */
export function keyRecordOf(key: CeremonyKey | null): Uint8Array | null {
  if (!key || !(key.restored || (key.made && key.certificate !== null))) return null;
  return keyRecordFile({ format: 'conclave-key/1', label: key.label, token: key.token, profile: profileOfKey(key.algorithm), key: keyReference(key), certificate: key.certificate });
}

/** A key record as the file that people bring. */
export function keyRecordFile(record: KeyRecord): Uint8Array {
  return utf8(`${canonicalize(record) ?? ''}\n`);
}

/** What a device process needs to know of a key to use it. */
export function keyReference(key: CeremonyKey): KeyReference {
  return {
    algorithm: key.algorithm, spki: key.spki, wrapping: key.wrapping,
    parts: key.parts.map(({ part, held, id, spki, wrapped }) => ({ part, held, id, spki, wrapped })),
  };
}

/** CKA_IDs of everything of a key on its token: its parts in their order, then the wrapping key. */
export function keyIds(key: { readonly parts: readonly { readonly id: string | null }[]; readonly wrapping: string | null }): string[] {
  return [...key.parts.flatMap((part) => part.id === null ? [] : [part.id]), ...key.wrapping === null ? [] : [key.wrapping]];
}

/** What the inventory calls the key of this record. */
export function identityOfRecord({ key }: Pick<KeyRecord, 'key'>): string {
  return `SHA-256 of SubjectPublicKeyInfo ${toHex(sha256(fromBase64url(key.spki)))}`;
}

/** SHA-256 over a file's bytes, hex: what people compare with their paper. */
export function inputDigest(input: Pick<Input, 'bytes'>): string {
  return toHex(sha256(fromBase64url(input.bytes)));
}

/** How many CKA_IDs a key needs: one for every part on the token, and one for the wrapping key where a part is wrapped. */
export function idsNeeded(algorithm: string, place: Placement): number {
  const held = componentsOf(caAlgorithmNamed(algorithm)).map((component) => heldAt(place, component));
  return held.filter((where) => where === 'token').length + (held.includes('wrapped') ? 1 : 0);
}

/**
 * A file that people bring is kept whole in the record, and so is a private key that stands in it beside the certificate which
 * belongs to it: any PEM label that names one (RFC 7468 sections 10 and 11, the older ones, others' own), or DER that begins as one. The page asks before it
 * keeps a file or hands it on; the opening and the auditor ask again. The words never quote the file.
 */
export function secretFault(file: Uint8Array): Refusal | null {
  return secretDer(file) || /-----BEGIN [ -~]{0,80}PRIVATE KEY/.test(new TextDecoder().decode(file))
    ? refuse('INPUT-PUBLIC', 'a file with public things only: it is kept whole in the record', 'a private key', 'Bring a file without it. Nothing of this one was kept. Tell the owner of the key where it lay.')
    : null;
}

/**
 * DER that begins as only private keys do: a version of 0 to 3 (PKCS#8, PKCS#1, SEC 1, PKCS#12; RFC 5958, 8017, 5915, 7292), or an algorithm
 * and an OCTET STRING (encrypted PKCS#8). A modulus of one octet, with which a public RSA key would begin so, is none.
 */
function secretDer(file: Uint8Array): boolean {
  if (file[0] !== TAG.sequence) return false;
  // Told by its beginning, so that a damaged or a cut-off key is one too.
  const [, length = 0] = file;
  const content = file.subarray(length < 0x80 ? 2 : 2 + (length & 0x7f));
  if (content[0] === TAG.integer && content[1] === 1 && (content[2] ?? 4) <= 3) return true;
  try {
    const [first, second] = derParts(readDer(file, 'file'), 'file');
    return first?.tag === TAG.sequence && second?.tag === TAG.octetString;
  } catch (error) {
    if (error instanceof Refused) return false; // no DER, and so no key in DER
    throw error;
  }
}

/** Where a placement puts a part: `split` leaves the classical half on the token and wraps the other. */
export function heldAt(place: Placement, component: Pick<Component, 'part'>): 'token' | 'wrapped' {
  return place === 'token' || (place === 'split' && component.part === 'traditional') ? 'token' : 'wrapped';
}
