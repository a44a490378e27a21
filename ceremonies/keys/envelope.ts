/**
 * Cryptographic Message Syntax: envelopes that only the holder of a KEM key opens, and signatures over content.
 *
 * AuthEnvelopedData (RFC 5083) and EnvelopedData (RFC 5652 section 6) with KEMRecipientInfo (RFC 9629) for ML-KEM (RFC 9936)
 * and composite ML-KEM (draft-ietf-lamps-cms-composite-kem); SignedData with ML-DSA (RFC 9882), SLH-DSA (RFC 9814), composites
 * (draft-ietf-lamps-cms-composite-sigs) and classical keys. What is written is always AuthEnvelopedData with AES-256-GCM and a
 * tag of 16 octets, through @peculiar/asn1-cms. What others wrote is read by `der.ts`, one level at a time: DER only, so BER
 * with indefinite lengths is refused. X-Wing has no CMS profile and is refused too.
 *
 * Randomness comes from the caller, and whoever returns a secret says who wipes it. Nothing here knows a root: that a
 * signature fits its certificate does not say that the certificate is to be trusted.
 */

import { AsnConvert, AsnProp, AsnPropTypes, OctetString } from '@peculiar/asn1-schema';
import {
  Attribute, CMSVersion, ContentEncryptionAlgorithmIdentifier, ContentInfo, EncryptedContent, EncryptedContentInfo, EnvelopedData, OtherRecipientInfo, RecipientInfo, RecipientInfos,
} from '@peculiar/asn1-cms';
import { AlgorithmIdentifier } from '@peculiar/asn1-x509';
import { aeskw, aeskwp, cbc, gcm } from '@noble/ciphers/aes.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha1 } from '@noble/hashes/legacy.js';
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import { sha3_256, sha3_384, sha3_512, shake128, shake256 } from '@noble/hashes/sha3.js';
import { equalBytes, fromUtf8, toHex } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { plainText } from '../text.ts';
import { postQuantumByOid, type CompositeKem, type MlKemAlgorithm } from './algorithms.ts';
import { certificateFindings, LONGEST, readCertificate, type CertificateReading } from './chain.ts';
import { derFault, derParts, expectTag, readDer, readIdentifier, readOid, readUnsigned, TAG, writeDer, writeOid, type Der, type Identifier } from './der.ts';
import { checkKemPublicKey, decapsulate, encapsulate, encapsulationRandomness, ML_KEM } from './kem.ts';
import { readPrivateKey } from './private-key.ts';
import { nameText, readPem } from './signed.ts';
import { absentParameters, readSubjectKey, signatureFindings, type SubjectKey } from './subject-key.ts';

/** Content types: RFC 5652 section 4 and 5.1, 6.1; RFC 5083 section 2. */
export const CONTENT = {
  data: '1.2.840.113549.1.7.1', signedData: '1.2.840.113549.1.7.2', envelopedData: '1.2.840.113549.1.7.3', authEnvelopedData: '1.2.840.113549.1.9.16.1.23',
} as const;

const ORI_KEM = '1.2.840.113549.1.9.16.13.3'; // RFC 9629 section 3
const CONTENT_TYPE = '1.2.840.113549.1.9.3'; // RFC 5652 section 11.1
const MESSAGE_DIGEST = '1.2.840.113549.1.9.4'; // RFC 5652 section 11.2
const CONTENT_HINTS = '1.2.840.113549.1.9.16.2.4'; // RFC 2634 section 2.9
const CONTENT_IDENTIFIER = '1.2.840.113549.1.9.16.2.7'; // RFC 2634 section 2.7

/** RFC 8619: parameters absent. */
const KDFS = {
  '1.2.840.113549.1.9.16.3.28': { label: 'HKDF-SHA-256', hash: sha256 },
  '1.2.840.113549.1.9.16.3.29': { label: 'HKDF-SHA-384', hash: sha384 },
  '1.2.840.113549.1.9.16.3.30': { label: 'HKDF-SHA-512', hash: sha512 },
} as const;
type KdfOid = keyof typeof KDFS;
const KDF_WRITTEN: KdfOid = '1.2.840.113549.1.9.16.3.28'; // the one that every implementation must support (RFC 9936 section 2.1)

/** AES key wrap, RFC 3565 section 2.3.2, and with padding, RFC 5649 section 5: parameters absent. */
const WRAPS = {
  '2.16.840.1.101.3.4.1.5': { label: 'AES-128 key wrap', keyBytes: 16, cipher: aeskw },
  '2.16.840.1.101.3.4.1.25': { label: 'AES-192 key wrap', keyBytes: 24, cipher: aeskw },
  '2.16.840.1.101.3.4.1.45': { label: 'AES-256 key wrap', keyBytes: 32, cipher: aeskw },
  '2.16.840.1.101.3.4.1.8': { label: 'AES-128 key wrap with padding', keyBytes: 16, cipher: aeskwp },
  '2.16.840.1.101.3.4.1.28': { label: 'AES-192 key wrap with padding', keyBytes: 24, cipher: aeskwp },
  '2.16.840.1.101.3.4.1.48': { label: 'AES-256 key wrap with padding', keyBytes: 32, cipher: aeskwp },
} as const;
type WrapOid = keyof typeof WRAPS;
const AES_256_WRAP: WrapOid = '2.16.840.1.101.3.4.1.45';
const AES_256_WRAP_PAD: WrapOid = '2.16.840.1.101.3.4.1.48';

/** RFC 5084 section 3.2 and RFC 3565 section 2.2; the wraps with padding may be content encryption too (RFC 5649 section 5). */
const CIPHERS = {
  '2.16.840.1.101.3.4.1.6': { kind: 'gcm', label: 'AES-128-GCM', keyBytes: 16 },
  '2.16.840.1.101.3.4.1.26': { kind: 'gcm', label: 'AES-192-GCM', keyBytes: 24 },
  '2.16.840.1.101.3.4.1.46': { kind: 'gcm', label: 'AES-256-GCM', keyBytes: 32 },
  '2.16.840.1.101.3.4.1.2': { kind: 'cbc', label: 'AES-128-CBC', keyBytes: 16 },
  '2.16.840.1.101.3.4.1.22': { kind: 'cbc', label: 'AES-192-CBC', keyBytes: 24 },
  '2.16.840.1.101.3.4.1.42': { kind: 'cbc', label: 'AES-256-CBC', keyBytes: 32 },
  '2.16.840.1.101.3.4.1.8': { kind: 'wrap', label: 'AES-128 key wrap with padding', keyBytes: 16 },
  '2.16.840.1.101.3.4.1.28': { kind: 'wrap', label: 'AES-192 key wrap with padding', keyBytes: 24 },
  '2.16.840.1.101.3.4.1.48': { kind: 'wrap', label: 'AES-256 key wrap with padding', keyBytes: 32 },
} as const satisfies Record<string, { kind: 'gcm' | 'cbc' | 'wrap'; label: string; keyBytes: number }>;
const AES_256_GCM = '2.16.840.1.101.3.4.1.46';
const NONCE_BYTES = 12; // RFC 5084 section 3.2 recommends it; no other is read
const TAG_BYTES = 16; // aes-ICVlen DEFAULT 12: 16 is always said, and no shorter one is believed

/** Every recipient may have to be tried, so there is an end. */
export const MOST_RECIPIENTS = 64;

const DISTRUST = 'Do not rely on this file. Fetch it again from where it came.';

function fault(rule: string, expected: string, found: string, next = DISTRUST): Refused {
  return new Refused(refuse(rule, expected, found, next));
}

// --- structures that the library does not have ---------------------------------------------------------------------------

/** RFC 9629 section 3. `rid` is DER of a RecipientIdentifier. */
class KemRecipientInfo {
  version = 0;
  rid = new ArrayBuffer(0);
  kem = new AlgorithmIdentifier();
  kemct = new OctetString();
  kdf = new AlgorithmIdentifier();
  kekLength = 32;
  ukm?: OctetString;
  wrap = new AlgorithmIdentifier();
  encryptedKey = new OctetString();
}
AsnProp({ type: AsnPropTypes.Integer })(KemRecipientInfo.prototype, 'version');
AsnProp({ type: AsnPropTypes.Any })(KemRecipientInfo.prototype, 'rid');
AsnProp({ type: AlgorithmIdentifier })(KemRecipientInfo.prototype, 'kem');
AsnProp({ type: OctetString })(KemRecipientInfo.prototype, 'kemct');
AsnProp({ type: AlgorithmIdentifier })(KemRecipientInfo.prototype, 'kdf');
AsnProp({ type: AsnPropTypes.Integer })(KemRecipientInfo.prototype, 'kekLength');
AsnProp({ type: OctetString, context: 0, optional: true })(KemRecipientInfo.prototype, 'ukm');
AsnProp({ type: AlgorithmIdentifier })(KemRecipientInfo.prototype, 'wrap');
AsnProp({ type: OctetString })(KemRecipientInfo.prototype, 'encryptedKey');

/** RFC 9629 section 5: the `info` of the key derivation. */
class KemOtherInfo {
  wrap = new AlgorithmIdentifier();
  kekLength = 32;
  ukm?: OctetString;
}
AsnProp({ type: AlgorithmIdentifier })(KemOtherInfo.prototype, 'wrap');
AsnProp({ type: AsnPropTypes.Integer })(KemOtherInfo.prototype, 'kekLength');
AsnProp({ type: OctetString, context: 0, optional: true })(KemOtherInfo.prototype, 'ukm');

/** RFC 5084 section 3.2. */
class GcmParameters {
  nonce = new OctetString();
  icvLength = 12;
}
AsnProp({ type: OctetString })(GcmParameters.prototype, 'nonce');
AsnProp({ type: AsnPropTypes.Integer, defaultValue: 12 })(GcmParameters.prototype, 'icvLength');

/** RFC 2634 section 2.9. */
class ContentHints {
  description = '';
  contentType: string = CONTENT.data;
}
AsnProp({ type: AsnPropTypes.Utf8String })(ContentHints.prototype, 'description');
AsnProp({ type: AsnPropTypes.ObjectIdentifier })(ContentHints.prototype, 'contentType');

/** RFC 5083 section 2.1. */
class AuthEnvelopedData {
  version = 0;
  recipientInfos = new RecipientInfos();
  authEncryptedContentInfo = new EncryptedContentInfo();
  authAttrs?: Attribute[];
  mac = new OctetString();
}
AsnProp({ type: AsnPropTypes.Integer })(AuthEnvelopedData.prototype, 'version');
AsnProp({ type: RecipientInfos })(AuthEnvelopedData.prototype, 'recipientInfos');
AsnProp({ type: EncryptedContentInfo })(AuthEnvelopedData.prototype, 'authEncryptedContentInfo');
AsnProp({ type: Attribute, repeated: 'set', context: 1, implicit: true, optional: true })(AuthEnvelopedData.prototype, 'authAttrs');
AsnProp({ type: OctetString })(AuthEnvelopedData.prototype, 'mac');

function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

function octets(bytes: Uint8Array): OctetString {
  return new OctetString(bufferOf(bytes));
}

function derOf(value: unknown): Uint8Array {
  return new Uint8Array(AsnConvert.serialize(value));
}

/** SET OF in DER: ascending by the octets of each value (X.690 section 11.6). */
function inOrder(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length && i < b.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

// --- recipients ----------------------------------------------------------------------------------------------------------

type KemRow = MlKemAlgorithm | CompositeKem;

/** Somebody whom an envelope is sealed to. */
export interface Recipient {
  readonly row: KemRow;
  readonly key: SubjectKey;
  /** DER RecipientIdentifier: [0] key identifier, or issuer and serial number. */
  readonly identifier: Uint8Array;
}

/** RFC 7093 section 2 method 1, as in the certificates made here: the leftmost 160 bits of SHA-256 over the raw key. */
export function keyIdentifierOf(key: SubjectKey): Uint8Array {
  return sha256(key.raw).slice(0, 20);
}

/**
 * A recipient by bare public key, named by its key identifier. Throws `Refused` ENVELOPE-KEM for a key that no CMS profile
 * has, and what `checkKemPublicKey` finds. That the key is the recipient's is for the caller to know.
 */
export function recipientOfKey(key: SubjectKey): Recipient {
  return recipient(key, writeDer(0x80, keyIdentifierOf(key)));
}

/**
 * A recipient by certificate, named by the key identifier in it, else by issuer and serial number. Throws `Refused` with the
 * first fault of the certificate at `at`: its dates, its key usage (keyEncipherment only), its key. Its signature is not judged.
 */
export function recipientOfCertificate(certificate: CertificateReading, at?: Date): Recipient {
  const [first] = certificateFindings(certificate, at);
  if (first !== undefined) throw new Refused(first);
  return recipient(certificate.key, certificate.subjectKeyId === null
    ? writeDer(TAG.sequence, certificate.issuer, writeDer(TAG.integer, hexBytes(certificate.serial)))
    : writeDer(0x80, hexBytes(certificate.subjectKeyId)));
}

/**
 * The recipient of a file: one certificate or bare public key, PEM or DER. `at` null: a certificate's dates are not judged yet. Throws
 * `Refused` PEM, DER-STRUCTURE, ENVELOPE-RECIPIENT, and as `recipientOfKey` and `recipientOfCertificate` do.
 */
export function readRecipient(file: Uint8Array, at: Date | null): Recipient {
  const [block, ...more] = readPem(file, ['CERTIFICATE', 'PUBLIC KEY']);
  // Whose of several keys it was sealed to, nobody could tell afterwards.
  if (more.length > 0) throw fault('ENVELOPE-RECIPIENT', 'one certificate or public key in the file of a recipient', `${more.length + 1}`, 'Give a file for each recipient, without the certificates above it.');
  const { label, der } = block!;
  // DER tells by its structure: the first value of a SubjectPublicKeyInfo is an algorithm, that of a certificate is not.
  const bare = file[0] === TAG.sequence ? derParts(derParts(readDer(der, 'recipient'), 'recipient')[0]!, 'recipient')[0]?.tag === TAG.oid : label === 'PUBLIC KEY';
  return bare ? recipientOfKey(readSubjectKey(der)) : recipientOfCertificate(readCertificate(der), at ?? undefined);
}

function recipient(key: SubjectKey, identifier: Uint8Array): Recipient {
  if (key.kind !== 'kem' || key.row.family === 'x-wing') {
    throw fault('ENVELOPE-KEM', 'a public key of ML-KEM or composite ML-KEM', key.label, 'Give the recipient\'s encryption certificate or KEM public key.');
  }
  checkKemPublicKey(key.row, key.raw);
  return { row: key.row, key, identifier };
}

function hexBytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

// --- sealing -------------------------------------------------------------------------------------------------------------

export interface Sealing {
  readonly content: Uint8Array;
  /** OID of what the content is; default id-data. */
  readonly contentType?: string;
  readonly recipients: readonly Recipient[];
  /** One line of text about the content (content-hints). NOT secret, but authenticated: it cannot be changed afterwards. */
  readonly description?: string;
  /** Bytes that name this content (content-identifier). Not secret, authenticated. */
  readonly contentIdentifier?: Uint8Array;
  /** Context bound into every recipient's key derivation (RFC 9629 section 3). Not secret. */
  readonly ukm?: Uint8Array;
}

/** Random octets that `sealEnvelope` takes: the content key, the nonce, then what each recipient's encapsulation needs. */
export function sealingRandomness(recipients: readonly Recipient[]): number {
  return 32 + NONCE_BYTES + wrappingRandomness(recipients);
}

/** Random octets that `wrapKey` takes. */
export function wrappingRandomness(recipients: readonly Recipient[]): number {
  return recipients.reduce((sum, { row }) => sum + encapsulationRandomness(row), 0);
}

/**
 * Seals content: DER ContentInfo with AuthEnvelopedData. Any one recipient opens it. `randomness` is used once and wiped by
 * the caller, as is the content. Throws `Refused` ENVELOPE-RECIPIENT, ENVELOPE-RANDOMNESS, TEXT-*.
 */
export function sealEnvelope(sealing: Sealing, randomness: Uint8Array): Uint8Array {
  const { content, contentType = CONTENT.data, recipients } = sealing;
  expectRandomness(randomness, sealingRandomness(recipients));
  const attributes = attributesOf(sealing, contentType);
  const cek = secretCopy(randomness.subarray(0, 32));
  try {
    const nonce = randomness.slice(32, 32 + NONCE_BYTES);
    const data = new AuthEnvelopedData();
    data.recipientInfos = recipientInfos(cek, AES_256_WRAP, sealing, randomness.subarray(32 + NONCE_BYTES));
    if (attributes.length > 0) data.authAttrs = attributes.map((der) => AsnConvert.parse(der, Attribute));
    // RFC 5083 section 2.2: what is authenticated is the DER of the attributes as a SET, whatever tag they travel under.
    const aad = attributes.length === 0 ? new Uint8Array() : writeDer(TAG.set, ...attributes);
    const sealed = gcm(cek, nonce, aad).encrypt(content);
    const parameters = new GcmParameters();
    parameters.nonce = octets(nonce);
    parameters.icvLength = TAG_BYTES;
    data.authEncryptedContentInfo = new EncryptedContentInfo({
      contentType, contentEncryptionAlgorithm: new ContentEncryptionAlgorithmIdentifier({ algorithm: AES_256_GCM, parameters: AsnConvert.serialize(parameters) }),
      encryptedContent: new EncryptedContent({ value: octets(sealed.subarray(0, -TAG_BYTES)) }),
    });
    data.mac = octets(sealed.subarray(-TAG_BYTES));
    return derOf(new ContentInfo({ contentType: CONTENT.authEnvelopedData, content: AsnConvert.serialize(data) }));
  } finally {
    cek.fill(0);
  }
}

/**
 * Wraps an AES key itself: DER ContentInfo with EnvelopedData whose content-encryption key is `key` and whose content is
 * elsewhere (RFC 5652 section 6.1: encryptedContent absent). Per recipient: KEM, HKDF-SHA-256, AES-KWP (RFC 5649) of the key.
 * 16, 24 or 32 bytes. `key` and `randomness` stay the caller's to wipe. Throws `Refused` as `sealEnvelope`, and KEY-LENGTH.
 */
export function wrapKey(key: Uint8Array, sealing: Pick<Sealing, 'recipients' | 'ukm'>, randomness: Uint8Array): Uint8Array {
  const algorithm = Object.entries(CIPHERS).find(([, row]) => row.kind === 'wrap' && row.keyBytes === key.length)?.[0];
  if (algorithm === undefined) throw fault('KEY-LENGTH', 'an AES key of 16, 24 or 32 bytes', `${key.length} bytes`, 'Give the bare key, without padding or text.');
  expectRandomness(randomness, wrappingRandomness(sealing.recipients));
  const data = new EnvelopedData({
    version: CMSVersion.v3, // RFC 5652 section 6.1: 3 where an OtherRecipientInfo is present
    recipientInfos: recipientInfos(key, AES_256_WRAP_PAD, sealing, randomness),
    encryptedContentInfo: new EncryptedContentInfo({ contentType: CONTENT.data, contentEncryptionAlgorithm: new ContentEncryptionAlgorithmIdentifier({ algorithm }) }),
  });
  return derOf(new ContentInfo({ contentType: CONTENT.envelopedData, content: AsnConvert.serialize(data) }));
}

function expectRandomness(randomness: Uint8Array, wanted: number): void {
  if (randomness.length !== wanted) throw fault('ENVELOPE-RANDOMNESS', `${wanted} random bytes`, `${randomness.length} bytes`, 'The program is at fault; keep the record.');
}

/** A copy in a buffer of its own, which the collector does not move: wiping it leaves none. */
export function secretCopy(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new ArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

function recipientInfos(key: Uint8Array, wrap: WrapOid, { recipients, ukm }: Pick<Sealing, 'recipients' | 'ukm'>, randomness: Uint8Array): RecipientInfos {
  const next = 'Name everybody who shall open this once.';
  if (recipients.length === 0 || recipients.length > MOST_RECIPIENTS) throw fault('ENVELOPE-RECIPIENT', `1 to ${MOST_RECIPIENTS} recipients`, `${recipients.length}`, next);
  if (recipients.some(({ key: one }, i) => recipients.findIndex(({ key: other }) => equalBytes(other.spki, one.spki)) !== i)) throw fault('ENVELOPE-RECIPIENT', 'each recipient once', 'the same key twice', next);
  let at = 0;
  const infos = recipients.map(({ row, key: { raw }, identifier }) => {
    const length = encapsulationRandomness(row);
    const { ciphertext, sharedSecret } = encapsulate(row, raw, randomness.subarray(at, at + length));
    at += length;
    const { keyBytes, cipher } = WRAPS[wrap];
    const kek = deriveKek(sharedSecret, KDF_WRITTEN, wrap, ukm ?? null);
    try {
      const info = new KemRecipientInfo();
      info.rid = bufferOf(identifier);
      info.kem = new AlgorithmIdentifier({ algorithm: row.oid });
      info.kemct = octets(ciphertext);
      info.kdf = new AlgorithmIdentifier({ algorithm: KDF_WRITTEN });
      info.kekLength = keyBytes;
      if (ukm !== undefined) info.ukm = octets(ukm);
      info.wrap = new AlgorithmIdentifier({ algorithm: wrap });
      info.encryptedKey = octets(cipher(kek).encrypt(key));
      return new RecipientInfo({ ori: new OtherRecipientInfo({ oriType: ORI_KEM, oriValue: AsnConvert.serialize(info) }) });
    } finally {
      kek.fill(0);
      sharedSecret.fill(0);
    }
  });
  return new RecipientInfos(infos.map((info) => ({ info, der: derOf(info) })).sort((a, b) => inOrder(a.der, b.der)).map(({ info }) => info));
}

/** RFC 9629 section 5, RFC 9936 section 2.1.1: HKDF without salt over the shared secret. Secret; the caller wipes it. */
function deriveKek(sharedSecret: Uint8Array, kdf: KdfOid, wrap: WrapOid, ukm: Uint8Array | null): Uint8Array {
  const { keyBytes } = WRAPS[wrap];
  return hkdf(KDFS[kdf].hash, sharedSecret, undefined, otherInfo(wrap, ukm), keyBytes);
}

/** The KEK with which `wrapKey` wraps: for an AES-KWP that a token does. Secret; the caller wipes it. */
export function wrappingKek(sharedSecret: Uint8Array, ukm: Uint8Array): Uint8Array {
  return deriveKek(sharedSecret, KDF_WRITTEN, AES_256_WRAP_PAD, ukm);
}

/** DER CMSORIforKEMOtherInfo of a wrap and optional user keying material. */
export function otherInfo(wrap: WrapOid, ukm: Uint8Array | null): Uint8Array {
  const info = new KemOtherInfo();
  info.wrap = new AlgorithmIdentifier({ algorithm: wrap });
  info.kekLength = WRAPS[wrap].keyBytes;
  if (ukm !== null) info.ukm = octets(ukm);
  return derOf(info);
}

/** RFC 5083 section 2.1: attributes where there is something to say, or the content is not plain data; content-type among them. */
function attributesOf({ description, contentIdentifier }: Sealing, contentType: string): Uint8Array[] {
  if (description === undefined && contentIdentifier === undefined && contentType === CONTENT.data) return [];
  const values: [string, Uint8Array][] = [[CONTENT_TYPE, writeOid(contentType)]];
  if (description !== undefined) {
    const wrong = plainText('description', description, 1000);
    if (wrong !== null) throw new Refused(wrong);
    const hints = new ContentHints();
    hints.description = description;
    hints.contentType = contentType;
    values.push([CONTENT_HINTS, derOf(hints)]);
  }
  if (contentIdentifier !== undefined) values.push([CONTENT_IDENTIFIER, derOf(octets(contentIdentifier))]);
  return values.map(([attrType, value]) => derOf(new Attribute({ attrType, attrValues: [bufferOf(value)] }))).sort(inOrder);
}

// --- reading -------------------------------------------------------------------------------------------------------------

export interface KemRecipientReading {
  readonly kind: 'kem';
  readonly row: KemRow;
  readonly identifier: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly kdf: KdfOid;
  readonly wrap: WrapOid;
  readonly ukm: Uint8Array | null;
  readonly encryptedKey: Uint8Array;
}

/** A recipient by a method that is not read here, such as RSA key transport. */
export interface OtherRecipientReading {
  readonly kind: 'other';
  readonly method: string;
}

export interface EnvelopeReading {
  /** AuthEnvelopedData: its content can be authenticated. EnvelopedData: it cannot. */
  readonly authenticated: boolean;
  readonly contentType: string;
  readonly cipher: (typeof CIPHERS)[keyof typeof CIPHERS];
  /** GCM nonce or CBC initialization vector; empty for the wraps. */
  readonly nonce: Uint8Array;
  /** Null where the content is elsewhere. */
  readonly encryptedContent: Uint8Array | null;
  readonly recipients: readonly (KemRecipientReading | OtherRecipientReading)[];
  /** DER SET of the authenticated attributes; empty without them. */
  readonly aad: Uint8Array;
  readonly mac: Uint8Array;
  /** From the authenticated attributes; believe them after opening only. */
  readonly description: string | null;
  readonly contentIdentifier: Uint8Array | null;
}

/** OID of what a ContentInfo holds, one of `CONTENT` or another. Throws `Refused` DER-STRUCTURE. */
export function contentTypeOf(der: Uint8Array): string {
  return readContentInfo(der).contentType;
}

function readContentInfo(der: Uint8Array): { readonly contentType: string; readonly content: Der } {
  const parts = derParts(readDer(der, 'contentInfo', TAG.sequence), 'contentInfo');
  const contentType = readOid(parts[0], 'contentInfo.contentType');
  if (parts.length !== 2) throw derFault('contentInfo', 'a content type and a content', `${parts.length} values`);
  return { contentType, content: readDer(expectTag(parts[1], 0xa0, 'contentInfo.content').content, 'contentInfo.content', TAG.sequence) };
}

/** The values of a SEQUENCE, taken one after the other. */
class Parts {
  readonly #parts: readonly Der[];
  readonly #field: string;
  #at = 0;
  constructor(node: Der, field: string) {
    this.#parts = derParts(expectTag(node, TAG.sequence, field), field);
    this.#field = field;
  }
  next(name: string, tag?: number): Der {
    const part = this.#parts[this.#at++];
    if (part === undefined || tag !== undefined) return expectTag(part, tag ?? TAG.sequence, `${this.#field}.${name}`);
    return part;
  }
  optional(...tags: readonly number[]): Der | null {
    const part = this.#parts[this.#at];
    if (part === undefined || !tags.includes(part.tag)) return null;
    this.#at++;
    return part;
  }
  end(): void {
    const part = this.#parts[this.#at];
    if (part !== undefined) throw derFault(this.#field, 'no further value', `tag ${toHex(Uint8Array.of(part.tag))}`);
  }
}

function smallNumber(node: Der, field: string): number {
  const digits = readUnsigned(node, field);
  return digits.length > 2 ? 65536 : digits.reduce((sum, octet) => sum * 256 + octet, 0);
}

function expectVersion(node: Der, field: string, versions: readonly number[]): number {
  const version = smallNumber(node, field);
  if (!versions.includes(version)) throw fault('CMS-VERSION', `${field} ${versions.join(' or ')}`, `${version}`);
  return version;
}

/**
 * Reads an envelope. Nothing is opened. Throws `Refused` CMS-CONTENT-TYPE, DER-STRUCTURE, CMS-VERSION, ENVELOPE-CIPHER,
 * ENVELOPE-KDF, ENVELOPE-WRAP, ENVELOPE-ATTRIBUTES, ENVELOPE-RECIPIENT or KEY-PARAMETERS, with the field.
 */
export function readEnvelope(der: Uint8Array): EnvelopeReading {
  const { contentType: outer, content } = readContentInfo(der);
  switch (outer) {
    case CONTENT.authEnvelopedData: {
      const field = 'authEnvelopedData';
      const parts = new Parts(content, field);
      expectVersion(parts.next('version', TAG.integer), `${field}.version`, [0]); // RFC 5083 section 2.1
      parts.optional(0xa0); // originatorInfo: certificates that somebody may find useful; nothing here depends on them
      const recipients = readRecipients(parts.next('recipientInfos', TAG.set), `${field}.recipientInfos`);
      const encrypted = readEncrypted(parts.next('authEncryptedContentInfo'), `${field}.authEncryptedContentInfo`);
      if (encrypted.cipher.kind !== 'gcm') throw fault('ENVELOPE-CIPHER', `${field}: AES-GCM`, encrypted.cipher.label);
      const attributes = readAttributes(parts.optional(0xa1), `${field}.authAttrs`);
      const mac = parts.next('mac', TAG.octetString).content;
      parts.optional(0xa2);
      parts.end();
      if (mac.length !== TAG_BYTES) throw fault('ENVELOPE-CIPHER', `${field}.mac: ${TAG_BYTES} bytes`, `${mac.length} bytes`);
      expectContentType(attributes, encrypted.contentType, `${field}.authAttrs`, 'ENVELOPE-ATTRIBUTES');
      const hints = attributes.values.get(CONTENT_HINTS);
      const identifier = attributes.values.get(CONTENT_IDENTIFIER);
      return {
        authenticated: true, recipients, ...encrypted, aad: attributes.der, mac,
        description: hints === undefined ? null : readHints(hints, `${field}.authAttrs.contentHints`),
        contentIdentifier: identifier === undefined ? null : expectTag(identifier, TAG.octetString, `${field}.authAttrs.contentIdentifier`).content,
      };
    }
    case CONTENT.envelopedData: {
      const field = 'envelopedData';
      const parts = new Parts(content, field);
      expectVersion(parts.next('version', TAG.integer), `${field}.version`, [0, 2, 3, 4]);
      parts.optional(0xa0);
      const recipients = readRecipients(parts.next('recipientInfos', TAG.set), `${field}.recipientInfos`);
      const encrypted = readEncrypted(parts.next('encryptedContentInfo'), `${field}.encryptedContentInfo`);
      parts.optional(0xa1);
      parts.end();
      if (encrypted.cipher.kind === 'gcm') throw fault('ENVELOPE-CIPHER', `${field}: AES-CBC or AES key wrap with padding`, encrypted.cipher.label);
      return { authenticated: false, recipients, ...encrypted, aad: new Uint8Array(), mac: new Uint8Array(), description: null, contentIdentifier: null };
    }
    default:
      throw fault('CMS-CONTENT-TYPE', 'AuthEnvelopedData or EnvelopedData', outer, 'Check that this is the right file.');
  }
}

function readEncrypted(node: Der, field: string): Pick<EnvelopeReading, 'contentType' | 'cipher' | 'nonce' | 'encryptedContent'> {
  const parts = new Parts(node, field);
  const contentType = readOid(parts.next('contentType', TAG.oid), `${field}.contentType`);
  const algorithm = readIdentifier(parts.next('contentEncryptionAlgorithm'), `${field}.contentEncryptionAlgorithm`);
  const encrypted = parts.optional(0x80, 0xa0);
  parts.end();
  if (encrypted?.tag === 0xa0) throw derFault(`${field}.encryptedContent`, 'one OCTET STRING', 'one in pieces, which DER does not have');
  const cipher = Object.hasOwn(CIPHERS, algorithm.oid) ? CIPHERS[algorithm.oid as keyof typeof CIPHERS] : undefined;
  if (cipher === undefined) throw fault('ENVELOPE-CIPHER', `${field}: AES in GCM, CBC or key wrap with padding`, algorithm.oid);
  return { contentType, cipher, nonce: readNonce(cipher.kind, algorithm, `${field}.contentEncryptionAlgorithm.parameters`), encryptedContent: encrypted?.content ?? null };
}

function readNonce(kind: 'gcm' | 'cbc' | 'wrap', { parameters, ...identifier }: Identifier, field: string): Uint8Array {
  if (kind === 'wrap') {
    absentParameters({ ...identifier, parameters }, field);
    return new Uint8Array();
  }
  if (parameters === null) throw fault('ENVELOPE-CIPHER', `${field}: a nonce`, 'nothing');
  if (kind === 'cbc') {
    const iv = readDer(parameters, field, TAG.octetString).content;
    if (iv.length !== 16) throw fault('ENVELOPE-CIPHER', `${field}: 16 bytes of initialization vector`, `${iv.length} bytes`);
    return iv;
  }
  const parts = new Parts(readDer(parameters, field, TAG.sequence), field);
  const nonce = parts.next('nonce', TAG.octetString).content;
  const length = parts.optional(TAG.integer);
  parts.end();
  if (nonce.length !== NONCE_BYTES) throw fault('ENVELOPE-CIPHER', `${field}.nonce: ${NONCE_BYTES} bytes`, `${nonce.length} bytes`);
  const tagBytes = length === null ? 12 : smallNumber(length, `${field}.icvLen`);
  if (tagBytes !== TAG_BYTES) throw fault('ENVELOPE-CIPHER', `${field}.icvLen: ${TAG_BYTES}`, `${tagBytes}`);
  return nonce;
}

function readRecipients(set: Der, field: string): (KemRecipientReading | OtherRecipientReading)[] {
  const infos = derParts(set, field);
  if (infos.length === 0 || infos.length > MOST_RECIPIENTS) throw fault('ENVELOPE-RECIPIENT', `${field}: 1 to ${MOST_RECIPIENTS} recipients`, `${infos.length}`);
  // RFC 5652 section 6.2, RecipientInfo.
  const methods: Readonly<Record<number, string>> = { 0x30: 'key transport', 0xa1: 'key agreement', 0xa2: 'key-encryption key', 0xa3: 'password' };
  return infos.map((info, i) => {
    const at = `${field}[${i}]`;
    const method = methods[info.tag];
    if (method !== undefined) return { kind: 'other', method };
    const [type, value, ...more] = derParts(expectTag(info, 0xa4, at), at);
    const oid = readOid(type, `${at}.oriType`);
    if (oid !== ORI_KEM) return { kind: 'other', method: oid };
    if (value === undefined || more.length > 0) throw derFault(at, 'a type and one value', 'something else');
    return readKemRecipient(value, `${at}.kemri`);
  });
}

function readKemRecipient(node: Der, field: string): KemRecipientReading | OtherRecipientReading {
  const parts = new Parts(node, field);
  expectVersion(parts.next('version', TAG.integer), `${field}.version`, [0]); // RFC 9629 section 3
  const rid = parts.next('rid');
  if (rid.tag !== 0x80) readIssuerAndSerial(rid, `${field}.rid`);
  const kem = readIdentifier(parts.next('kem'), `${field}.kem`);
  const ciphertext = parts.next('kemct', TAG.octetString).content;
  const kdf = readIdentifier(parts.next('kdf'), `${field}.kdf`);
  const kekLength = smallNumber(parts.next('kekLength', TAG.integer), `${field}.kekLength`);
  const material = parts.optional(0xa0);
  const wrap = readIdentifier(parts.next('wrap'), `${field}.wrap`);
  const encryptedKey = parts.next('encryptedKey', TAG.octetString).content;
  parts.end();
  const row = postQuantumByOid(kem.oid);
  if (row?.family !== 'ml-kem' && row?.family !== 'composite-kem') return { kind: 'other', method: `KEM ${kem.oid}` };
  absentParameters(kem, `${field}.kem`);
  const sizes = row.family === 'ml-kem' ? row.ciphertextBytes : row.sizes.ciphertext;
  if (ciphertext.length !== sizes) throw fault('KEM-CIPHERTEXT', `${field}.kemct: ${sizes} bytes for ${row.label}`, `${ciphertext.length} bytes`);
  if (!isKdf(kdf.oid)) throw fault('ENVELOPE-KDF', `${field}.kdf: HKDF with SHA-2`, kdf.oid);
  absentParameters(kdf, `${field}.kdf`, 'ENVELOPE-KDF');
  if (!isWrap(wrap.oid)) throw fault('ENVELOPE-WRAP', `${field}.wrap: AES key wrap`, wrap.oid);
  absentParameters(wrap, `${field}.wrap`, 'ENVELOPE-WRAP');
  const { keyBytes, label } = WRAPS[wrap.oid];
  if (kekLength !== keyBytes) throw fault('ENVELOPE-WRAP', `${field}.kekLength: ${keyBytes} for ${label}`, `${kekLength}`);
  const ukm = material === null ? null : readDer(material.content, `${field}.ukm`, TAG.octetString).content;
  return { kind: 'kem', row, identifier: rid.bytes, ciphertext, kdf: kdf.oid, wrap: wrap.oid, ukm, encryptedKey };
}

function isKdf(oid: string): oid is KdfOid {
  return Object.hasOwn(KDFS, oid);
}

function isWrap(oid: string): oid is WrapOid {
  return Object.hasOwn(WRAPS, oid);
}

function readIssuerAndSerial(node: Der, field: string): { readonly issuer: Uint8Array; readonly serial: string } {
  const parts = new Parts(node, field);
  const issuer = parts.next('issuer', TAG.sequence).bytes;
  const serial = toHex(parts.next('serialNumber', TAG.integer).content);
  parts.end();
  return { issuer, serial };
}

/** Who a RecipientIdentifier or SignerIdentifier means, for people. */
export function identifierText(identifier: Uint8Array): string {
  const node = readDer(identifier, 'identifier');
  if (node.tag === 0x80) return `key ${toHex(node.content.subarray(0, 64))}`;
  const { issuer, serial } = readIssuerAndSerial(node, 'identifier');
  return `serial ${serial.slice(0, 64)} of ${nameText(issuer)}`;
}

export function wrapLabels({ kdf, wrap }: KemRecipientReading): readonly [string, string] {
  return [KDFS[kdf].label, WRAPS[wrap].label];
}

interface Attributes {
  /** DER SET; empty where there are none. */
  readonly der: Uint8Array;
  /** The first value of each. */
  readonly values: ReadonlyMap<string, Der>;
}

/** Attributes that are hashed or authenticated: each type once, with one value, in the order of DER (RFC 5652 section 5.3). */
function readAttributes(set: Der | null, field: string): Attributes {
  const values = new Map<string, Der>();
  if (set === null) return { der: new Uint8Array(), values };
  let before: Uint8Array | null = null;
  for (const attribute of derParts(set, field)) {
    const parts = new Parts(attribute, field);
    const oid = readOid(parts.next('attrType', TAG.oid), `${field}.attrType`);
    const [value, ...more] = derParts(parts.next('attrValues', TAG.set), `${field}.${oid}`);
    parts.end();
    if (value === undefined || more.length > 0) throw derFault(`${field}.${oid}`, 'one value', `${value === undefined ? 0 : 1 + more.length}`);
    if (values.has(oid)) throw derFault(`${field}.${oid}`, 'each attribute once', 'the same one twice');
    if (before !== null && inOrder(before, attribute.bytes) >= 0) throw derFault(field, 'attributes in the order of DER', 'another order');
    before = attribute.bytes;
    values.set(oid, value);
  }
  if (values.size === 0) throw derFault(field, 'at least one attribute', 'none');
  return { der: writeDer(TAG.set, set.content), values };
}

/** The content-type attribute is there with other attributes, and where the content is not plain data, and says the same. */
function expectContentType(attributes: Attributes, contentType: string, field: string, rule: string): void {
  const attribute = attributes.values.get(CONTENT_TYPE);
  if (attribute === undefined) {
    if (attributes.values.size === 0 && contentType === CONTENT.data) return;
    throw fault(rule, `${field}: the content-type attribute`, 'none');
  }
  const said = readOid(attribute, `${field}.contentType`);
  if (said !== contentType) throw fault(rule, `${field}.contentType: ${contentType}`, said);
}

function readHints(value: Der, field: string): string | null {
  const parts = new Parts(value, field);
  const text = parts.optional(0x0c); // UTF8String
  parts.next('contentType', TAG.oid);
  parts.end();
  return text === null ? null : fromUtf8(text.content);
}

// --- opening -------------------------------------------------------------------------------------------------------------

/** A private KEM key at work: in memory (`withKemKey`) or, some day, on a token. */
export interface DecapsulationKey {
  readonly key: SubjectKey;
  /** 32 bytes, secret; whoever asked wipes them. */
  decapsulate(ciphertext: Uint8Array): Promise<Uint8Array>;
}

/**
 * Lends a PKCS#8 KEM key to `work` and wipes its copy afterwards; `pkcs8` stays the caller's to wipe. Seed, expanded and both
 * forms of ML-KEM, and composites. Throws `Refused` ENVELOPE-KEM for another key, and whatever `readPrivateKey` finds.
 */
export async function withKemKey<T>(pkcs8: Uint8Array, work: (key: DecapsulationKey) => Promise<T>): Promise<T> {
  const { publicKey, form } = await readPrivateKey(pkcs8);
  if (publicKey.kind !== 'kem' || publicKey.row.family === 'x-wing') throw fault('ENVELOPE-KEM', 'a private key of ML-KEM or composite ML-KEM', publicKey.label, 'Give the recipient\'s private key.');
  const { row } = publicKey;
  const content = derParts(readDer(pkcs8, 'privateKeyInfo'), 'privateKeyInfo')[2]!.content;
  let own = content;
  if (row.family === 'ml-kem') {
    const choice = readDer(content, 'privateKey'); // RFC 9935 section 6
    own = form === 'both' ? derParts(choice, 'privateKey')[0]!.content : choice.content;
  }
  const key = secretCopy(own);
  try {
    return await work({
      key: publicKey,
      decapsulate: async (ciphertext) => {
        if (row.family !== 'ml-kem' || form !== 'expanded') return decapsulate(row, key, ciphertext);
        if (ciphertext.length !== row.ciphertextBytes) throw fault('KEM-CIPHERTEXT', `${row.label} ciphertext: ${row.ciphertextBytes} bytes`, `${ciphertext.length} bytes`);
        return ML_KEM[row.name].decapsulate(ciphertext, key);
      },
    });
  } finally {
    key.fill(0);
  }
}

/**
 * The content-encryption key of an envelope, SECRET: the caller wipes it. Tries the recipients whose identifier is this key's,
 * then all others of its algorithm: the identifier may be one that only the certificate tells. Throws `Refused`
 * ENVELOPE-RECIPIENT when it is sealed to no key of this algorithm, ENVELOPE-KEY when none of them opens.
 */
export async function contentKeyOf(envelope: EnvelopeReading, held: DecapsulationKey): Promise<Uint8Array> {
  const { key } = held;
  const own = [keyIdentifierOf(key), sha1(key.raw)].map((id) => toHex(writeDer(0x80, id))); // RFC 5280 section 4.2.1.2 (1) has SHA-1
  const candidates = envelope.recipients.filter((one) => one.kind === 'kem').filter(({ row }) => row.oid === key.oid)
    .map((one) => ({ ...one, named: own.includes(toHex(one.identifier)) }))
    .sort((a, b) => Number(b.named) - Number(a.named));
  if (candidates.length === 0) {
    const others = envelope.recipients.map((one) => one.kind === 'kem' ? one.row.label : one.method);
    throw fault('ENVELOPE-RECIPIENT', `a recipient with a ${key.label} key`, others.slice(0, 5).join(', '), 'Use the private key of one of the recipients.');
  }
  let refusal: Refused | null = null;
  for (const { ciphertext, kdf, wrap, ukm, encryptedKey, named } of candidates) {
    let sharedSecret: Uint8Array;
    try {
      sharedSecret = await held.decapsulate(ciphertext);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (named) refusal ??= error;
      continue;
    }
    const kek = deriveKek(sharedSecret, kdf, wrap, ukm);
    try {
      const cek = WRAPS[wrap].cipher(kek).decrypt(encryptedKey);
      if (cek.length === envelope.cipher.keyBytes) return cek;
      refusal ??= fault('ENVELOPE-KEY', `a content key of ${envelope.cipher.keyBytes} bytes for ${envelope.cipher.label}`, `${cek.length} bytes`);
      cek.fill(0);
    } catch {
      // Integrity of the key wrap: not sealed to this key, or altered. Which of the two, nobody can tell.
    } finally {
      kek.fill(0);
      sharedSecret.fill(0);
    }
  }
  throw refusal ?? fault('ENVELOPE-KEY', 'an encrypted key that this private key opens', 'none', 'Use the private key of one of the recipients. If it is that one, the envelope was altered.');
}

export interface Opened {
  /** Secret where the content is one: the caller wipes it. */
  readonly content: Uint8Array;
  readonly contentType: string;
  readonly authenticated: boolean;
  readonly description: string | null;
  readonly contentIdentifier: Uint8Array | null;
}

/**
 * Opens an envelope. EnvelopedData has nothing that tells altered content from the sealed one, so it opens only where the
 * caller says `unauthenticated`: ENVELOPE-AUTHENTICATED otherwise. ENVELOPE-CONTENT when the content was altered or is elsewhere.
 */
export async function openEnvelope(envelope: EnvelopeReading, key: DecapsulationKey, accept: { readonly unauthenticated: boolean } = { unauthenticated: false }): Promise<Opened> {
  const { cipher, nonce, encryptedContent, aad, mac, authenticated, contentType, description, contentIdentifier } = envelope;
  if (encryptedContent === null) throw fault('ENVELOPE-CONTENT', 'content in the envelope', 'none: it is elsewhere', 'A wrapped key is unwrapped, not opened.');
  if (!authenticated && !accept.unauthenticated) {
    throw fault('ENVELOPE-AUTHENTICATED', 'AuthEnvelopedData, whose content cannot be changed unnoticed', `EnvelopedData with ${cipher.label}`, 'Have it sealed again, or say that it may be opened unauthenticated.');
  }
  const cek = await contentKeyOf(envelope, key);
  try {
    let content: Uint8Array;
    switch (cipher.kind) {
      case 'gcm':
        content = gcm(cek, nonce, aad).decrypt(joined(encryptedContent, mac));
        break;
      case 'cbc':
        content = cbc(cek, nonce).decrypt(encryptedContent);
        break;
      case 'wrap':
        content = aeskwp(cek).decrypt(encryptedContent);
        break;
    }
    return { content, contentType, authenticated, description, contentIdentifier };
  } catch {
    throw fault('ENVELOPE-CONTENT', authenticated ? 'content, attributes and tag as they were sealed' : 'content as it was sealed', 'altered ones');
  } finally {
    cek.fill(0);
  }
}

function joined(content: Uint8Array, mac: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(content.length + mac.length);
  bytes.set(content);
  bytes.set(mac, content.length);
  return bytes;
}

// --- signatures ----------------------------------------------------------------------------------------------------------

/** Digests of SignedData, and how many octets they have: RFC 5754, RFC 8702 (SHAKE), RFC 9688 (SHA-3). */
const DIGESTS: Readonly<Record<string, { readonly label: string; readonly bytes: number; readonly of: (message: Uint8Array) => Uint8Array }>> = {
  '2.16.840.1.101.3.4.2.1': { label: 'SHA-256', bytes: 32, of: sha256 },
  '2.16.840.1.101.3.4.2.2': { label: 'SHA-384', bytes: 48, of: sha384 },
  '2.16.840.1.101.3.4.2.3': { label: 'SHA-512', bytes: 64, of: sha512 },
  '2.16.840.1.101.3.4.2.8': { label: 'SHA3-256', bytes: 32, of: sha3_256 },
  '2.16.840.1.101.3.4.2.9': { label: 'SHA3-384', bytes: 48, of: sha3_384 },
  '2.16.840.1.101.3.4.2.10': { label: 'SHA3-512', bytes: 64, of: sha3_512 },
  '2.16.840.1.101.3.4.2.11': { label: 'SHAKE128', bytes: 32, of: (message) => shake128(message, { dkLen: 32 }) },
  '2.16.840.1.101.3.4.2.12': { label: 'SHAKE256-64', bytes: 64, of: (message) => shake256(message, { dkLen: 64 }) },
};

export interface SignerVerdict {
  /** Who the SignerInfo says it is. */
  readonly signer: string;
  /** Null where no certificate of the signer is at hand. */
  readonly certificate: CertificateReading | null;
  readonly findings: readonly Refusal[];
}

export interface SignedVerdict {
  readonly contentType: string;
  /** What was signed: from the file, or as the caller gave it. */
  readonly content: Uint8Array;
  readonly signers: readonly SignerVerdict[];
  /** True when every signer's signature fits. Trust in the certificates is the caller's to give. */
  readonly valid: boolean;
}

/**
 * Checks every signature of a SignedData; `certificates` are those at hand beside the ones inside, `detached` the content where
 * the file has none. Throws `Refused` for a file that cannot be read (DER-STRUCTURE, CMS-CONTENT-TYPE, CMS-VERSION), for missing
 * or doubled content (SIGNED-CONTENT) and for one that nobody signed (SIGNED-SIGNER); all else is a finding of its signer.
 */
export async function checkSignedData(der: Uint8Array, certificates: readonly CertificateReading[], detached: Uint8Array | null): Promise<SignedVerdict> {
  const { contentType: outer, content: node } = readContentInfo(der);
  if (outer !== CONTENT.signedData) throw fault('CMS-CONTENT-TYPE', 'SignedData', outer, 'Check that this is the right file.');
  const field = 'signedData';
  const parts = new Parts(node, field);
  expectVersion(parts.next('version', TAG.integer), `${field}.version`, [1, 3, 4, 5]);
  parts.next('digestAlgorithms', TAG.set); // a hint for one-pass readers; each SignerInfo says its own
  const encapsulated = new Parts(parts.next('encapContentInfo'), `${field}.encapContentInfo`);
  const contentType = readOid(encapsulated.next('eContentType', TAG.oid), `${field}.encapContentInfo.eContentType`);
  const inside = encapsulated.optional(0xa0);
  encapsulated.end();
  const included = parts.optional(0xa0);
  parts.optional(0xa1);
  const infos = derParts(parts.next('signerInfos', TAG.set), `${field}.signerInfos`);
  parts.end();
  if ((inside === null) === (detached === null)) throw fault('SIGNED-CONTENT', 'content in the file, or beside it', inside === null ? 'neither' : 'both', 'Give the signed data if the file has none.');
  if (infos.length === 0 || infos.length > MOST_RECIPIENTS) throw fault('SIGNED-SIGNER', `${field}: 1 to ${MOST_RECIPIENTS} signers`, `${infos.length}`);
  const content = inside === null ? detached! : readDer(inside.content, `${field}.encapContentInfo.eContent`, TAG.octetString).content;
  const known = [...certificates, ...readIncluded(included, `${field}.certificates`)];
  const signers: SignerVerdict[] = [];
  for (const [i, info] of infos.entries()) signers.push(await signerVerdict(info, `${field}.signerInfos[${i}]`, contentType, content, known));
  return { contentType, content, signers, valid: signers.every(({ findings }) => findings.length === 0) };
}

/** Certificates inside. One that cannot be read here is nobody's signer and no fault of the signatures. */
function readIncluded(set: Der | null, field: string): CertificateReading[] {
  const nodes = set === null ? [] : derParts(set, field).filter(({ tag }) => tag === TAG.sequence);
  if (nodes.length > LONGEST) throw fault('CHAIN-LENGTH', `${field}: at most ${LONGEST} certificates`, `${nodes.length}`);
  return nodes.flatMap(({ bytes }) => {
    try {
      return [readCertificate(bytes)];
    } catch (error) {
      if (error instanceof Refused) return [];
      throw error;
    }
  });
}

async function signerVerdict(info: Der, field: string, contentType: string, content: Uint8Array, known: readonly CertificateReading[]): Promise<SignerVerdict> {
  const parts = new Parts(info, field);
  const version = expectVersion(parts.next('version', TAG.integer), `${field}.version`, [1, 3]);
  const sid = parts.next('sid');
  const named = sid.tag === 0x80 ? null : readIssuerAndSerial(sid, `${field}.sid`);
  // RFC 5652 section 5.3: 1 with issuer and serial number, 3 with a key identifier.
  if ((named === null) !== (version === 3)) throw fault('CMS-VERSION', `${field}.version ${named === null ? 3 : 1}`, `${version}`);
  const digest = readIdentifier(parts.next('digestAlgorithm'), `${field}.digestAlgorithm`);
  const attributes = readAttributes(parts.optional(0xa0), `${field}.signedAttrs`);
  const signatureAlgorithm = readIdentifier(parts.next('signatureAlgorithm'), `${field}.signatureAlgorithm`);
  const signature = parts.next('signature', TAG.octetString).content;
  parts.optional(0xa1);
  parts.end();
  const signer = identifierText(sid.bytes);
  const certificate = known.find((one) => named === null
    ? one.subjectKeyId === toHex(sid.content)
    : one.serial === named.serial && equalBytes(one.issuer, named.issuer)) ?? null;
  if (certificate === null) {
    return { signer, certificate, findings: [refuse('SIGNED-SIGNER', `the certificate of ${signer}`, 'none', 'Give the signer\'s certificate too.')] };
  }
  const { key, keyUsage } = certificate;
  const findings: Refusal[] = [];
  if (keyUsage !== null && !keyUsage.includes('digitalSignature') && !keyUsage.includes('nonRepudiation')) {
    findings.push(refuse('CERTIFICATE-KEY-USAGE', 'digitalSignature or nonRepudiation in the signer\'s certificate', keyUsage.join(', ') || 'nothing', DISTRUST));
  }
  try {
    expectContentType(attributes, contentType, `${field}.signedAttrs`, 'SIGNED-ATTRIBUTES');
    if (attributes.values.size > 0) expectDigest(attributes, digest, key, content, field);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    findings.push(error.refusal);
  }
  // RFC 5652 section 5.4: over the DER SET of the attributes where there are any. Contexts are empty: RFC 9882 section 2.
  findings.push(...(await signatureFindings(key, signatureAlgorithm, attributes.values.size === 0 ? content : attributes.der, signature)));
  return { signer, certificate, findings };
}

function expectDigest(attributes: Attributes, identifier: Identifier, key: SubjectKey, content: Uint8Array, field: string): void {
  const digest = DIGESTS[identifier.oid];
  if (digest === undefined) throw fault('SIGNED-DIGEST', `${field}.digestAlgorithm: SHA-2, SHA-3 or SHAKE`, identifier.oid);
  const postQuantum = key.kind === 'ml-dsa' || key.kind === 'slh-dsa' || key.kind === 'composite';
  // RFC 5754 section 2: absent, and NULL is accepted; the post-quantum profiles leave no such room.
  if (postQuantum || identifier.parameters === null || toHex(identifier.parameters) !== '0500') absentParameters(identifier, `${field}.digestAlgorithm`, 'SIGNED-DIGEST');
  switch (key.kind) {
    case 'composite':
      // draft-ietf-lamps-cms-composite-sigs section 3: the hash of the composite itself.
      if (digest.label !== key.row.preHash) throw fault('SIGNED-DIGEST', `${field}.digestAlgorithm: ${key.row.preHash} for ${key.label}`, digest.label);
      break;
    case 'ml-dsa': {
      // RFC 9882 section 3.3: no weaker than the commitment hash of the parameter set.
      const least = { 'ml-dsa-44': 32, 'ml-dsa-65': 48, 'ml-dsa-87': 64 }[key.name];
      if (digest.bytes < least) throw fault('SIGNED-DIGEST', `${field}.digestAlgorithm: ${least} bytes or more for ${key.label}`, digest.label);
      break;
    }
    case 'slh-dsa':
      if (digest.bytes < 2 * key.row.n) throw fault('SIGNED-DIGEST', `${field}.digestAlgorithm: ${2 * key.row.n} bytes or more for ${key.label}`, digest.label); // RFC 9814 section 4
      break;
    case 'rsa':
    case 'ecdsa':
    case 'eddsa':
    case 'xdh':
    case 'kem':
    case 'hss':
    case 'xmss':
      break;
  }
  const said = attributes.values.get(MESSAGE_DIGEST);
  if (said === undefined) throw fault('SIGNED-ATTRIBUTES', `${field}.signedAttrs: the message-digest attribute`, 'none');
  if (!equalBytes(expectTag(said, TAG.octetString, `${field}.signedAttrs.messageDigest`).content, digest.of(content))) {
    throw fault('SIGNED-CONTENT', `${field}: content with the ${digest.label} that was signed`, 'other content');
  }
}
