/**
 * What leaves a device process: facts that may be written down for ever.
 *
 * Every shape here is closed (unknown members are refused) and every string is bounded, so that no PIN, share or key
 * fits by accident: byte strings occur only where the value is public (public keys, signatures, certificates,
 * ciphertexts, commitments). An intent is what is durable BEFORE a device is touched, evidence what is durable after.
 * This file only gives shapes; what makes evidence acceptable stands in ceremony.ts.
 */
import * as z from 'zod';
import { KEY_STATES } from './keys/lifecycle.ts';

/** How much a fact is worth: vendor chain verified / checked by us in software / the token's word only. */
export const Proof = z.enum(['attested', 'verified', 'reported']);
export type Proof = z.infer<typeof Proof>;

const base64url = (max: number) => z.string().max(max).regex(/^[A-Za-z0-9_-]*$/);
const hex = (max: number) => z.string().max(max).regex(/^([0-9a-f]{2})*$/);
const text = (max: number) => z.string().max(max);
const digest256 = z.string().length(43).regex(/^[A-Za-z0-9_-]+$/);
const digest512 = z.string().length(86).regex(/^[A-Za-z0-9_-]+$/);
const seat = z.string().max(40).regex(/^[a-z][a-z0-9-]*$/);
const count = z.int().min(0).max(2 ** 31);
/** RFC 3339, UTC, with milliseconds. */
const instant = z.string().regex(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/);

/** A token as it names itself. `serial` is its identity; labels and slots move. */
export const TokenFacts = z.strictObject({
  serial: text(64),
  label: text(64),
  model: text(64),
  manufacturer: text(64),
  firmware: text(16),
  hardware: text(16),
  /** CKF_* flags by name, as read just now. */
  flags: z.array(text(48)).max(32),
});
export type TokenFacts = z.infer<typeof TokenFacts>;

export const ModuleFacts = z.strictObject({
  name: text(64),
  kind: z.enum(['software', 'pkcs11']),
  path: text(512),
  /** SHA-256 of the module file's bytes; for the software token, of the running program's build. */
  sha256: hex(64),
  library: text(128),
  version: text(32),
});
export type ModuleFacts = z.infer<typeof ModuleFacts>;

/** The attributes a read-back compares. `null`: the token does not answer for this attribute. */
const flag = z.boolean().nullable();
export const KeyAttributes = z.strictObject({
  class: z.enum(['private-key', 'public-key', 'secret-key']),
  keyType: text(32),
  id: hex(128),
  label: text(128),
  token: flag,
  private: flag,
  sensitive: flag,
  extractable: flag,
  alwaysSensitive: flag,
  neverExtractable: flag,
  local: flag,
  modifiable: flag,
  sign: flag,
  verify: flag,
  encrypt: flag,
  decrypt: flag,
  wrap: flag,
  unwrap: flag,
  derive: flag,
  /** CKA_KEY_GEN_MECHANISM by name, or null. */
  generatedBy: text(48).nullable(),
  /** CKA_HSS_KEYS_REMAINING of an HSS key; null for every other, also for XMSS keys, of which PKCS#11 has no such attribute. */
  keysRemaining: count.nullable(),
});
export type KeyAttributes = z.infer<typeof KeyAttributes>;

export const ObjectFact = z.strictObject({
  class: z.enum(['private-key', 'public-key', 'secret-key', 'certificate', 'data', 'other', 'unreadable']),
  id: hex(128),
  label: text(128),
  keyType: text(32),
});
export type ObjectFact = z.infer<typeof ObjectFact>;

/** RFC 7517 public keys only: a private member is an unknown member here. */
export const PublicJwk = z.union([
  z.strictObject({ kty: z.literal('EC'), crv: z.enum(['P-256', 'P-384', 'P-521']), x: base64url(100), y: base64url(100) }),
  z.strictObject({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: base64url(43) }),
  z.strictObject({ kty: z.literal('RSA'), n: base64url(700), e: base64url(8) }),
  z.strictObject({ kty: z.literal('AKP'), alg: z.enum(['ML-DSA-65', 'ML-DSA-87']), pub: base64url(3500) }),
]);
export type PublicJwk = z.infer<typeof PublicJwk>;

/** One signature of an RFC 7515 General JSON object. */
export const JwsSignature = z.strictObject({ protected: base64url(1000), signature: base64url(7000) });
export type JwsSignature = z.infer<typeof JwsSignature>;

/** Both signatures of one person: classical first, then ML-DSA. */
export const SignaturePair = z.tuple([JwsSignature, JwsSignature]);
export type SignaturePair = z.infer<typeof SignaturePair>;

/** CKA_LABEL of the identity's key pair on a card; the seed object has it too, with the pair's CKA_ID behind a hyphen. */
export const IDENTITY_LABEL = 'conclave-identity';

export const Identity = z.strictObject({
  classical: PublicJwk,
  pq: PublicJwk,
  /** Where each half lives: on the token, or as a PIN-protected seed object read for one signature and wiped. */
  held: z.strictObject({ classical: z.literal('token'), pq: z.enum(['token', 'sealed-seed']) }),
});
export type Identity = z.infer<typeof Identity>;

export const ShareSet = z.strictObject({
  id: base64url(22).length(22),
  epoch: count,
  threshold: z.int().min(2).max(255),
  shares: z.int().min(2).max(255),
  /** SHA-256 commitments to every share of the set, in the order of x, and to the secret itself (it has 256 bits of entropy). */
  commitments: z.array(digest256).min(2).max(255),
  secret: digest256,
});
export type ShareSet = z.infer<typeof ShareSet>;

/**
 * A signature of a fresh message, checkable by anyone with the public key. `signature` is in JOSE form (RFC 7518) for
 * classical keys; a composite's is both halves, so it proves each alone and both together. The longest is SLH-DSA's.
 */
export const Possession = z.strictObject({ message: base64url(200), signature: base64url(70_000) });

/** Where the parts of a key live: all on the token; the classical half there and the other wrapped; all wrapped. */
export const Placement = z.enum(['token', 'split', 'wrapped']);
export type Placement = z.infer<typeof Placement>;

/** AES-KWP (RFC 5649) of a PKCS#8 OneAsymmetricKey under the key's own AES-256 key, which never leaves the token. */
const Wrapped = z.strictObject({ mechanism: text(48), bytes: base64url(12_000) });

/** One part of a key: the whole of a simple one, or one half of a composite. */
export const KeyPart = z.strictObject({
  part: z.enum(['key', 'ml-dsa', 'traditional']),
  algorithm: text(48),
  /** `wrapped`: made in the device process and stored only as `wrapped`. */
  held: z.enum(['token', 'wrapped']),
  /** CKM_* that made it, or the software that did. */
  mechanism: text(48),
  /** SubjectPublicKeyInfo of this part alone. */
  spki: base64url(6000),
  private: KeyAttributes.nullable(),
  public: KeyAttributes.nullable(),
  wrapped: Wrapped.nullable(),
  /** That the part is held as stated: the token's word, or tried by us (opened again and compared). */
  proof: Proof,
});
export type KeyPart = z.infer<typeof KeyPart>;

/** A key that is there, as the record knows it: everything it takes to find its parts again and to use them together. */
export const KeyReference = z.strictObject({
  algorithm: text(48),
  /** SubjectPublicKeyInfo of the whole key. */
  spki: base64url(8000),
  parts: z.array(z.strictObject({
    part: KeyPart.shape.part, held: KeyPart.shape.held, spki: KeyPart.shape.spki, wrapped: KeyPart.shape.wrapped,
    /** CKA_ID of a part on the token; null for a wrapped one. */
    id: hex(64).min(2).nullable(),
  })).min(1).max(2),
  /** CKA_ID of the AES-256 key that wrapped parts are under. */
  wrapping: hex(64).min(2).nullable(),
});
export type KeyReference = z.infer<typeof KeyReference>;

/** What a token says of a key that is there, and what the key did. */
const KeyProof = z.strictObject({
  token: text(64),
  spki: base64url(8000),
  parts: z.array(KeyPart.omit({ mechanism: true })).min(1).max(2),
  wrappingKey: KeyAttributes.nullable(),
  /** Names of the weak-key tests that were run; any finding is a refusal, not evidence. */
  weakTests: z.array(text(64)).max(64),
  possession: Possession,
});

/**
 * What keeps a part on its token there, of a key that is to be backed up: CKA_WRAP_WITH_TRUSTED, and what the token answered when the part
 * was wrapped under a key that was thrown away, together with what came of it. Null: the token did it.
 */
const Leaving = z.strictObject({ trustedOnly: flag, refused: text(64).nullable() });

/** The serial number of the bag that is opened, as somebody read it; and the one that the other records of this machine expect. */
const OpenedBag = z.strictObject({ number: text(40), expected: text(40).nullable() });

/** Whose shares were put together, each from which card. */
const Quorum = z.array(z.strictObject({ seat, card: text(64), x: z.int().min(1).max(255) })).min(2).max(255);

/**
 * The user PIN that follows from an activation key (FORMAT.md says how). 32 characters that nobody mistakes for each other; a PIN of
 * fewer than 8 of them would be worth too little, and more than 32 say no more than the key has.
 */
export const ACTIVATION_PIN = { derivation: 'conclave-activation-pin/1', alphabet: `ABCDEFGHJKLMNPQRSTUVWXYZ23456789`, shortest: 8, longest: 32 } as const;
const pinLength = z.int().min(ACTIVATION_PIN.shortest).max(ACTIVATION_PIN.longest);
const seats = z.array(seat).min(2).max(255);

const lintedObject = {
  /** SHA-256 of the to-be-signed bytes: of those linted under a throwaway key, and of those really signed. */
  lintedTbs: digest256,
  signedTbs: digest256,
  lints: z.array(text(64)).max(64),
};
/** One part of a key under the backup key. */
export const WrappedPart = z.strictObject({ part: z.enum(['key', 'ml-dsa', 'traditional']), mechanism: text(48), wrapped: base64url(12_000) });
export type WrappedPart = z.infer<typeof WrappedPart>;
const ids = z.array(hex(64).min(2)).max(3);

/** A file that people brought to the opening: public, kept whole in the record. */
export const InputKind = z.enum(['key', 'request', 'stated-request', 'certificate', 'certificates', 'revocations', 'crl', 'backup', 'copies', 'movements', 'recipient', 'escrow', 'envelope', 'activation', 'recipients']);
export type InputKind = z.infer<typeof InputKind>;
export const Input = z.strictObject({ kind: InputKind, file: text(200), bytes: base64url(1_000_000) });
export type Input = z.infer<typeof Input>;

/** Whom an escrow envelope is sealed to: algorithm and identifier as the envelope has them, and SHA-256 of the SubjectPublicKeyInfo. */
export const EscrowAgent = z.strictObject({ algorithm: text(64).min(1), identifier: text(300).min(1), sha256: hex(64).length(64) });
export type EscrowAgent = z.infer<typeof EscrowAgent>;

/** What can be in somebody's custody. A `backup` is a medium with wrapped keys, a `sheet` is of paper. */
export const ThingKind = z.enum(['card', 'token', 'bag', 'sheet', 'envelope', 'backup']);
export type ThingKind = z.infer<typeof ThingKind>;

// --- changes outside a ceremony: one `administer` step each (administration.ts judges them) ------------------------------

/** What `administer` makes. RSA by modulus bits, EC by curve, AES and HMAC by key bits, the rest by parameter set. */
export const KEY_KINDS = [
  'rsa-2048', 'rsa-3072', 'rsa-4096', 'ec-p256', 'ec-p384', 'ec-p521', 'ed25519', 'x25519', 'aes-128', 'aes-192', 'aes-256',
  'hmac-256', 'hmac-384', 'hmac-512', 'ml-dsa-44', 'ml-dsa-65', 'ml-dsa-87', 'ml-kem-512', 'ml-kem-768', 'ml-kem-1024',
  'slh-dsa-sha2-128s', 'slh-dsa-sha2-128f', 'slh-dsa-sha2-192s', 'slh-dsa-sha2-192f', 'slh-dsa-sha2-256s', 'slh-dsa-sha2-256f',
  'slh-dsa-shake-128s', 'slh-dsa-shake-128f', 'slh-dsa-shake-192s', 'slh-dsa-shake-192f', 'slh-dsa-shake-256s', 'slh-dsa-shake-256f',
] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

/** CKA_* booleans of a private or secret key that an officer may order; a public half gets the uses that answer to them. */
export const ORDERED_ATTRIBUTES = [
  'private', 'sensitive', 'extractable', 'modifiable', 'copyable', 'destroyable', 'wrapWithTrusted', 'alwaysAuthenticate',
  'sign', 'verify', 'encrypt', 'decrypt', 'wrap', 'unwrap', 'derive', 'encapsulate', 'decapsulate',
] as const;
export type OrderedAttribute = (typeof ORDERED_ATTRIBUTES)[number];
export const OrderedAttributes = z.partialRecord(z.enum(ORDERED_ATTRIBUTES), z.boolean());
export type OrderedAttributes = z.infer<typeof OrderedAttributes>;

/** CKA_ID is drawn afresh for everything that a change creates: after a crash it is what is looked for. */
const NewKey = { id: hex(64).min(32), label: text(64).min(1), kind: z.enum(KEY_KINDS), attributes: OrderedAttributes };
/** Rules of dangers that the officer was told of and answers for: by name, in the signed line. */
const despite = z.array(text(64)).max(16).optional();

/** Says which of several keys is meant: SHA-256 of its SubjectPublicKeyInfo, or a check value with its method. Of a secret key that gives neither: none. */
export const KeyCheck = z.discriminatedUnion('method', [
  z.strictObject({ method: z.literal('SHA-256 of SubjectPublicKeyInfo'), value: hex(64).length(64) }),
  z.strictObject({ method: z.literal('CMAC of zeros, 3 bytes (ANSI X9.24-1)'), value: hex(6).length(6) }),
  z.strictObject({ method: z.literal('CKA_CHECK_VALUE'), value: hex(6).length(6) }),
  z.strictObject({ method: z.literal('none'), value: z.literal('') }),
]);
export type KeyCheck = z.infer<typeof KeyCheck>;

/** A check value of a component, or of the key that was formed of them: three bytes, by the method that the script names (components.ts). */
export const ComponentCheck = z.discriminatedUnion('method', [
  z.strictObject({ method: z.literal('CMAC of zeros, 3 bytes (ANSI X9.24-1)'), value: hex(6).length(6) }),
  z.strictObject({ method: z.literal('ECB of zeros, 3 bytes'), value: hex(6).length(6) }),
]);
export type ComponentCheck = z.infer<typeof ComponentCheck>;
/** Which component of a forming: the number is that of its custodian. */
const NumberedComponent = z.strictObject({ token: text(64), set: base64url(22).length(22), number: z.int().min(1).max(9) });

/** An object as the officer saw it. Found again in the session that changes it: exactly one that still fits, or a refusal. */
export const ObjectReference = z.strictObject({ ...ObjectFact.shape, check: KeyCheck });
export type ObjectReference = z.infer<typeof ObjectReference>;

/** How a key leaves a token. Hybrid: ML-KEM with a classical half, HKDF-SHA-256, AES-KWP (RFC 9629, RFC 9936). */
export const WrapMethod = z.enum(['AES-KWP', 'AES-KW', 'RSA-OAEP', 'hybrid']);
export type WrapMethod = z.infer<typeof WrapMethod>;

/** A key outside its token: ciphertext, and everything that it takes to bring it back as what it was. Public. */
export const WrappedKeyFile = z.strictObject({
  format: z.literal('conclave-token-key/1'),
  method: WrapMethod,
  /** CKM_* that wrapped it; hash and MGF of OAEP with it. */
  mechanism: text(64),
  key: z.strictObject({ ...NewKey, id: hex(128), label: text(128), check: KeyCheck, /** Of a private key: its public half is made again of it. */ spki: base64url(8000).nullable() }),
  /** The key that it is under, and the token that has it; of a hybrid the recipient's. */
  under: z.strictObject({ token: text(64), id: hex(128), label: text(128), check: KeyCheck }),
  /** Of a hybrid: algorithm and ciphertext of the encapsulation. */
  encapsulation: z.strictObject({ algorithm: text(64), ciphertext: base64url(4000) }).nullable(),
  wrapped: base64url(12_000),
});
export type WrappedKeyFile = z.infer<typeof WrappedKeyFile>;

/** One thing tried with a key right after a change. `passed` is always true: what fails is a refusal, not evidence. */
const Tried = z.strictObject({ name: text(64), detail: text(200) });

/** A key read back from the session after the one that made it. */
const KeyRead = {
  private: KeyAttributes.nullable(), public: KeyAttributes.nullable(), secret: KeyAttributes.nullable(),
  spki: base64url(8000).nullable(), check: KeyCheck,
  /** What the token answers for ordered attributes that KeyAttributes does not have; null: it does not answer. */
  more: z.strictObject({ copyable: flag, destroyable: flag, wrapWithTrusted: flag, alwaysAuthenticate: flag, encapsulate: flag, decapsulate: flag }),
  weakTests: z.array(text(64)).max(64),
  tried: z.array(Tried).max(8),
};

/** Every change: what is durable before (`order`), and what is known after (`result`). */
export const CHANGES = {
  /** C_InitToken: everything on it is destroyed. `seen`: what must still be there at that moment, byte for byte. */
  'init-token': { order: z.strictObject({ label: text(32).min(1), seen: TokenFacts }), result: z.strictObject({ before: TokenFacts, after: TokenFacts, objects: count }) },
  /** C_InitPIN by the SO: the first user PIN, or a new one for a user who is locked out. */
  'set-user-pin': { order: z.strictObject({}), result: z.strictObject({ before: TokenFacts, after: TokenFacts }) },
  /** C_SetPIN by the user or the SO, with the old one. */
  'change-pin': { order: z.strictObject({ whose: z.enum(['user', 'so']) }), result: z.strictObject({ before: TokenFacts, after: TokenFacts }) },
  'generate-key': { order: z.strictObject({ ...NewKey, despite }), result: z.strictObject({ mechanism: text(48), ...KeyRead }) },
  /** `file`: encrypted PKCS#8 or PKCS#12, whose password is typed in the booth. Only its SHA-256 stands in the record. */
  'import-key': { order: z.strictObject({ ...NewKey, despite, file: text(200), sha256: hex(64).length(64) }), result: z.strictObject(KeyRead) },
  'import-certificate': {
    order: z.strictObject({ id: hex(128), label: text(64), certificate: base64url(90_000) }),
    result: z.strictObject({ object: ObjectFact, sha256: hex(64).length(64), /** Whether a key of this CKA_ID is there, and has the certificate's public key. */ key: z.enum(['fits', 'absent']) }),
  },
  /** C_CopyObject. A copy keeps its history; what it may do less of is ordered. */
  'copy-object': { order: z.strictObject({ object: ObjectReference, id: hex(64).min(32), label: text(64).min(1), attributes: OrderedAttributes, despite }), result: z.strictObject(KeyRead) },
  /** C_SetAttributeValue. */
  'edit-object': {
    order: z.strictObject({ object: ObjectReference, label: text(64).nullable(), id: hex(64).nullable(), attributes: OrderedAttributes, despite }),
    result: z.strictObject({ before: ObjectFact, after: ObjectFact, changed: z.array(z.strictObject({ attribute: text(48), from: text(64).nullable(), to: text(64) })).max(32) }),
  },
  /** C_DestroyObject, then looked for from a fresh session. `typed`: the phrase that the officer wrote out. */
  'destroy-object': {
    order: z.strictObject({ object: ObjectReference, typed: text(200) }),
    result: z.strictObject({ object: ObjectFact, /** Of the class and CKA_ID, before and after, the latter from a fresh session. */ before: count, after: count }),
  },
  /** The wrapped key was unwrapped again to a session object, compared, and destroyed there. */
  'wrap-key': {
    order: z.strictObject({ key: ObjectReference, under: ObjectReference.nullable(), recipient: base64url(8000).nullable(), method: WrapMethod }),
    result: z.strictObject({ file: WrappedKeyFile, rehearsed: z.strictObject({ compared: text(200), wiped: z.literal(true) }).nullable(), /** Why it could not be rehearsed here. */ why: text(300).nullable() }),
  },
  'unwrap-key': { order: z.strictObject({ ...NewKey, despite, file: WrappedKeyFile, under: ObjectReference }), result: z.strictObject(KeyRead) },
  /** A request (PKCS#10), or a self-signed end-entity certificate, of a key on the token. */
  'sign-request': { order: z.strictObject({ key: ObjectReference, subject: text(400) }), result: z.strictObject({ request: base64url(90_000) }) },
  'self-sign': {
    order: z.strictObject({ key: ObjectReference, subject: text(400), serialNumber: hex(40), notBefore: text(32), notAfter: text(32) }),
    result: z.strictObject({ certificate: base64url(90_000) }),
  },
} as const;
export type ChangeKind = keyof typeof CHANGES;
export type ChangeOrder<K extends ChangeKind = ChangeKind> = z.infer<(typeof CHANGES)[K]['order']>;
export type ChangeResult<K extends ChangeKind = ChangeKind> = z.infer<(typeof CHANGES)[K]['result']>;
export const CHANGE_KINDS = Object.keys(CHANGES) as ChangeKind[];

/** What is signed of a key, under its identity in the inventory; the label is for people. No token is touched. */
const OfKey = { key: text(500).min(1), label: text(128), reason: text(500).min(1) };
/** SP 800-57 Part 1 section 7. `since`: of a compromise, from when on the key is not to be trusted; else null. */
export const StateSigned = z.strictObject({ ...OfKey, from: z.enum(KEY_STATES), to: z.enum(KEY_STATES), since: text(32).nullable() });
export type StateSigned = z.infer<typeof StateSigned>;
/** Section 5.3. It takes the place of whatever period was signed before: tokens cannot be relied on to give dates back. */
export const PeriodSigned = z.strictObject({ ...OfKey, notBefore: text(32).nullable(), notAfter: text(32) });
export type PeriodSigned = z.infer<typeof PeriodSigned>;
/** A recovery of the key is proven at least every so often (ISO 8601: P6M, P90D); as long as none is, first by that time. It takes the place of any before. */
export const DrillSigned = z.strictObject({ ...OfKey, every: text(8), firstBy: text(32) });
export type DrillSigned = z.infer<typeof DrillSigned>;

/** `own`: of the key itself. `issued`: signed by it. `below`: signed by a CA that is. `proven`: the signature verifies, or the public key is the same. */
export const AffectedCertificate = z.strictObject({
  why: z.enum(['own', 'issued', 'below']), subject: text(400), issuer: text(400), serial: hex(80), sha256: hex(64).length(64), notAfter: text(32), proven: z.boolean(),
});
export type AffectedCertificate = z.infer<typeof AffectedCertificate>;

/** Every statement of a logbook, in the form of CHANGES. */
export const STATEMENTS = {
  'set-state': { order: StateSigned, result: z.strictObject({}) },
  'set-period': { order: PeriodSigned, result: z.strictObject({}) },
  'set-drill': { order: DrillSigned, result: z.strictObject({}) },
} as const;
export type StatementKind = keyof typeof STATEMENTS;
export const STATEMENT_KINDS = Object.keys(STATEMENTS) as StatementKind[];

export const StatisticalTest = z.strictObject({ name: text(48), statistic: text(32), limit: text(64), passed: z.boolean() });

/** How many objects fit a copy of the list, each from a fresh process; null: its token could not be asked, and why. */
const Seen = z.strictObject({ seen: z.array(z.strictObject({ copy: z.int().min(1).max(500), found: count.nullable(), why: text(200) })).max(500) });

/** What a token said and did when an object of it was destroyed. */
export const CopyDestroyed = z.strictObject({
  /** Objects that fit, before in the session that destroys, and after in a fresh one. */
  before: count,
  after: count,
  /** A use of it under the handle from before: what was tried, whether it worked, and the token's answer. */
  use: z.strictObject({ tried: text(100), worked: z.boolean(), answer: text(64) }),
});
export type CopyDestroyed = z.infer<typeof CopyDestroyed>;

/** A share on a card, and what was found to be it (share-copies.ts). */
const OwnShare = { card: text(64), object: text(64), set: base64url(22), x: z.int().min(1).max(255) };
const CopiedShare = { card: text(64), object: text(64), x: z.int().min(1).max(255), commitment: digest256 };
/** What is written on a form for a copy by hand: enough to tell any two apart. */
const sheetNumber = z.string().regex(/^S-[0-9A-F]{8}$/);

/** Per action: what is written before the device is touched, and what after. */
export const INTENTS = {
  'confirm-script': z.strictObject({}),
  enrol: z.strictObject({ card: text(64), id: hex(64), challenge: base64url(64).min(22) }),
  'inspect-token': z.strictObject({ token: text(64) }),
  'test-random': z.strictObject({ token: text(64), bytes: count }),
  'take-inventory': z.strictObject({ token: text(64) }),
  /** `ids`: one CKA_ID for every part on the token, in the order of the parts; last, the wrapping key's, where there is one. */
  'generate-key': z.strictObject({ token: text(64), ids: ids.min(1), label: text(64), algorithm: text(48), place: Placement }),
  'prove-key': z.strictObject({ token: text(64), ids }),
  'open-key': z.strictObject({ token: text(64), ids }),
  'confirm-input': z.strictObject({}),
  'issue-certificate': z.strictObject({ token: text(64), ids, serialNumber: hex(40), notBefore: text(32), notAfter: text(32) }),
  'sign-crl': z.strictObject({ token: text(64), ids, number: z.string().regex(/^[1-9][0-9]{0,17}$/), thisUpdate: text(32), nextUpdate: text(32) }),
  'make-backup-key': z.strictObject({ token: text(64), set: base64url(22).length(22), epoch: count }),
  'wrap-key': z.strictObject({ token: text(64), ids, set: base64url(22) }),
  'give-share': z.strictObject({ card: text(64), object: text(64), set: base64url(22), x: z.int().min(1).max(255), erases: z.array(text(64)).max(64), bag: OpenedBag.optional() }),
  'read-back-share': z.strictObject({ card: text(64), object: text(64), set: base64url(22), x: z.int().min(1).max(255), bag: OpenedBag.optional() }),
  'prove-recovery': z.strictObject({ token: text(64), set: base64url(22), quorum: z.array(seat).min(2).max(255), nonce: base64url(64).min(22) }),
  /** `ids` as in `generate-key`: one CKA_ID for every part that goes onto the token, last the wrapping key's. */
  'restore-key': z.strictObject({ token: text(64), ids: ids.min(1), label: text(64), set: base64url(22), quorum: z.array(seat).min(2).max(255), nonce: base64url(64).min(22) }),
  /** `token`, `ids`: the key on the first token; `with`: the second one. A nonce for each. */
  'compare-keys': z.strictObject({ token: text(64), ids: ids.min(1), with: text(64), nonces: z.tuple([base64url(64).min(22), base64url(64).min(22)]) }),
  // --- escrow (escrow.ts) ---
  /** As `prove-recovery`: the backup key is put together once, and proves itself before it is sealed. */
  'seal-escrow': z.strictObject({ token: text(64), set: base64url(22), quorum: z.array(seat).min(2).max(255), nonce: base64url(64).min(22) }),
  /** `ids` as in `restore-key`. `envelope`: SHA-256 of the envelope that is opened. */
  'release-escrow': z.strictObject({ token: text(64), ids: ids.min(1), label: text(64), envelope: hex(64).length(64), nonce: base64url(64).min(22) }),
  'lock-key': z.strictObject({ token: text(64), ids }),
  // --- a key formed of components (components.ts) ---
  'enter-component': NumberedComponent,
  'issue-component': NumberedComponent,
  /** `check`: of the components together, as the device process computed it before the token was touched. */
  'form-key': z.strictObject({ token: text(64), set: base64url(22).length(22), id: hex(64).min(32), label: text(64), kind: z.enum(['aes-128', 'aes-192', 'aes-256']), check: ComponentCheck }),
  'wipe-backup-key': z.strictObject({ set: base64url(22) }),
  // --- a token that only a quorum opens (activation.ts) ---
  'make-activation-key': z.strictObject({ token: text(64), set: base64url(22).length(22), epoch: count }),
  'wipe-activation-key': z.strictObject({ set: base64url(22) }),
  /** `again`: an earlier attempt may have set it, so the new PIN is tried in place of the old one. `former`: whose shares give the old PIN; null: it is typed, or not needed. */
  'set-activation-pin': z.strictObject({ token: text(64), set: base64url(22), quorum: seats, length: pinLength, again: z.boolean(), former: z.strictObject({ set: base64url(22), quorum: seats }).nullable() }),
  /** As the SO by the quorum's PIN; the new user PIN is typed by its holder. */
  'reset-user-pin': z.strictObject({ token: text(64), set: base64url(22), quorum: seats }),
  activate: z.strictObject({ token: text(64), set: base64url(22), quorum: seats, purpose: text(200).min(1) }),
  deactivate: z.strictObject({ token: text(64) }),
  // --- the verified destruction of a key (destruction.ts) ---
  'locate-copies': z.strictObject({ copies: count }),
  approve: z.strictObject({ card: text(64), nonce: base64url(64).min(22), expires: instant }),
  wait: z.strictObject({}),
  /** One copy, by its number in the list, counted from 1. `left`: somebody decided that it is not destroyed now, and why. */
  'destroy-copies': z.strictObject({ copy: z.int().min(1).max(500), left: text(300).nullable() }),
  'confirm-gone': z.strictObject({ copies: count }),
  /** `seen`: what must still be there at that moment, byte for byte. `typed`: the serial number that the officer wrote out. */
  'zeroise-token': z.strictObject({ token: text(64), label: text(32).min(1), seen: TokenFacts, typed: text(200) }),
  // --- the shares of a backup renewed (renewal.ts) ---
  /** `quorum`: whose old shares are lent. The set keeps its name; `epoch` counts this split. */
  'renew-shares': z.strictObject({ token: text(64), set: base64url(22), epoch: count, quorum: z.array(seat).min(2).max(255), nonce: base64url(64).min(22) }),
  /** The old share that is erased. */
  'retire-share': z.strictObject({ card: text(64), object: text(64), set: base64url(22), epoch: count, x: z.int().min(1).max(255) }),
  // --- copies of shares on other media (share-copies.ts) ---
  /** The share on this card, sealed to the holder's own key: SHA-256 of its SubjectPublicKeyInfo. */
  'seal-copy': z.strictObject({ ...OwnShare, recipient: hex(64).length(64), bag: OpenedBag.optional() }),
  /** The envelope of this ceremony that its holder opens, by its SHA-256. */
  'open-copy': z.strictObject({ set: base64url(22), x: z.int().min(1).max(255), envelope: hex(64).length(64) }),
  /** `sheet`: the number that the holder writes on the form. */
  'write-copy': z.strictObject({ ...OwnShare, sheet: sheetNumber, bag: OpenedBag.optional() }),
  /** The share out of a copy, onto another card. `envelope`: SHA-256 of the envelope; null where it is typed from paper. */
  'return-share': z.strictObject({ ...OwnShare, erases: z.array(text(64)).max(64), envelope: hex(64).length(64).nullable() }),
  'set-state': z.strictObject({}),
  'put-away': z.strictObject({}),
  'hand-over': z.strictObject({}),
  /** One change to one token, or one statement; `log-out` ends the work, and changes nothing. The order is of its own shape (CHANGES, STATEMENTS). */
  administer: z.union([
    z.strictObject({ change: z.literal('log-out') }), z.strictObject({ change: z.enum(CHANGE_KINDS), module: text(64), token: text(64), order: z.looseObject({}) }),
    /** A statement on a key; it goes to no token. */
    z.strictObject({ change: z.enum(STATEMENT_KINDS), order: z.looseObject({}) }),
  ]),
  'sign-seal': z.strictObject({ card: text(64), statement: base64url(200_000) }),
  'sign-resume': z.strictObject({ card: text(64), statement: base64url(200_000) }),
} as const;

export const EVIDENCE = {
  'confirm-script': z.strictObject({ words: text(400) }),
  enrol: z.strictObject({
    card: TokenFacts,
    identity: Identity,
    /** False: the card already held this identity from an earlier ceremony. */
    made: z.boolean(),
    /** The presence statement (canonical JSON, base64url) and both signatures over it. */
    statement: base64url(2000),
    signatures: SignaturePair,
  }),
  'inspect-token': z.strictObject({
    token: TokenFacts,
    module: ModuleFacts,
    mechanisms: z.array(text(64)).max(600),
    /** What the script asks for, each tried for real with session objects. */
    needs: z.array(z.strictObject({ name: text(64), proof: Proof.nullable(), detail: text(200) })).max(16),
  }),
  'test-random': z.strictObject({
    bytes: count,
    tests: z.array(StatisticalTest).min(2).max(8),
    claim: text(300),
  }),
  'take-inventory': z.strictObject({
    token: text(64), objects: z.array(ObjectFact).max(2000),
    /** Nobody can log in, as the user PIN is locked or there is none: only what is public was listed. */
    loggedIn: z.literal(false).optional(),
    /** Of a token that was zeroised in this ceremony: listed by a process that was started for it. */
    fresh: z.literal(true).optional(),
    /** Before a token is zeroised: those of the objects that the machine's records know, each with its key (null: none) and how many other known copies of that hold its secret. */
    known: z.array(z.strictObject({ object: ObjectFact, what: text(300), key: text(500).nullable(), label: text(128), elsewhere: count })).max(2000).optional(),
  }),
  'generate-key': z.strictObject({
    token: text(64),
    /** SubjectPublicKeyInfo of the whole key, DER. */
    spki: base64url(8000),
    parts: z.array(KeyPart).min(1).max(2),
    wrappingKey: KeyAttributes.nullable(),
  }),
  'prove-key': KeyProof,
  /** `leaving`: only where the ceremony backs the key up; one for every part on the token, in the order of the parts. */
  'open-key': z.strictObject({ ...KeyProof.shape, leaving: z.array(Leaving).max(2).optional() }),
  'confirm-input': z.strictObject({ sha256: hex(64).length(64) }),
  'issue-certificate': z.strictObject({ ...lintedObject, certificate: base64url(90_000) }),
  'sign-crl': z.strictObject({ ...lintedObject, crl: base64url(500_000) }),
  'make-backup-key': z.strictObject({
    set: ShareSet,
    sources: z.array(z.enum(['token', 'system'])).min(1).max(2),
    /** How many M-subsets were combined and compared right after the split. */
    subsetsTried: count,
  }),
  /** Every part under the backup key: AES-KWP of its PKCS#8. `private`: the parts on the token, read right afterwards. */
  'wrap-key': z.strictObject({ parts: z.array(WrappedPart).min(1).max(2), private: z.array(KeyAttributes).max(2) }),
  'give-share': z.strictObject({ card: TokenFacts, object: text(64), x: z.int().min(1).max(255), commitment: digest256, erased: z.array(text(64)).max(64) }),
  'read-back-share': z.strictObject({ card: text(64), object: text(64), x: z.int().min(1).max(255), commitment: digest256 }),
  'prove-recovery': z.strictObject({
    quorum: Quorum,
    /** The recovered key, as a session object, signed this; it was destroyed afterwards and looked for again. */
    possession: Possession,
    destroyed: z.literal(true),
  }),
  /** The key as it is on its new token, read from a fresh session; `possession` is over the intent's nonce. `enforced` as in `lock-key`. */
  'restore-key': z.strictObject({ ...KeyProof.shape, quorum: Quorum, enforced: z.boolean() }),
  /** One key on two tokens, each read and proven by itself; what differs is computed from it (cloning.ts). */
  'compare-keys': z.strictObject({ primary: KeyProof, second: KeyProof }),
  /** The envelope (CMS, DER) is ciphertext; that it holds the backup key which opened the wrapped key is this program's word until the agent opens it. */
  'seal-escrow': z.strictObject({ quorum: Quorum, possession: Possession, destroyed: z.literal(true), agent: EscrowAgent, envelope: base64url(20_000) }),
  /** As `restore-key`, with the backup key out of the envelope. `agent`: SHA-256 of the SubjectPublicKeyInfo of the key that opened it. */
  'release-escrow': z.strictObject({ ...KeyProof.shape, enforced: z.boolean(), agent: hex(64).length(64) }),
  /** `enforced`: the token itself refused to wrap the locked key. False: it would still do it, and only this program refuses. */
  'lock-key': z.strictObject({ private: z.array(KeyAttributes).max(2), enforced: z.boolean() }),
  'wipe-backup-key': z.strictObject({ how: z.enum(['overwritten', 'process-ended']) }),
  /** Typed by its holder from the form, with the check value that stands there. */
  'enter-component': z.strictObject({ number: z.int().min(1).max(9), check: ComponentCheck }),
  /** Drawn, shown to its holder alone, and typed again by the holder from the form that was written. */
  'issue-component': z.strictObject({ number: z.int().min(1).max(9), check: ComponentCheck, sources: z.array(z.enum(['token', 'system'])).min(1).max(2), readBack: z.literal(true) }),
  /**
   * The key from a fresh session. `total`: its check value by the script's method; `by`: the token computed it, the token tells it as
   * CKA_CHECK_VALUE, or the key did (`tried`) what software does with the components. `check`: what the house tells secret keys apart by.
   */
  'form-key': z.strictObject({
    token: text(64), components: z.int().min(2).max(9), secret: KeyAttributes, check: KeyCheck, total: ComponentCheck, by: z.enum(['computed', 'attribute', 'use']),
    tried: z.array(Tried).max(8), wiped: z.enum(['overwritten', 'process-ended']),
  }),
  /** `length`: how many characters of PIN this token will have. */
  'make-activation-key': z.strictObject({ set: ShareSet, sources: z.array(z.enum(['token', 'system'])).min(1).max(2), subsetsTried: count, length: pinLength }),
  'wipe-activation-key': z.strictObject({ how: z.enum(['overwritten', 'process-ended']) }),
  /** The PIN of these shares opened the token in a fresh session, right afterwards. */
  'set-activation-pin': z.strictObject({ token: TokenFacts, quorum: Quorum, former: Quorum.nullable() }),
  /** The new user PIN opened the token in a fresh session, right afterwards. */
  'reset-user-pin': z.strictObject({ token: TokenFacts, quorum: Quorum }),
  activate: z.strictObject({ token: TokenFacts, quorum: Quorum }),
  /** How many private and secret keys the token showed while it was open, and to a fresh session afterwards. `ended`: the login had ended by itself. */
  deactivate: z.discriminatedUnion('how', [
    z.strictObject({ token: text(64), how: z.literal('logged-out'), before: count, after: count, loggedIn: z.literal(false) }),
    z.strictObject({ token: text(64), how: z.literal('ended') }),
  ]),
  'locate-copies': Seen,
  approve: z.strictObject({ statement: base64url(4000), signatures: SignaturePair }),
  wait: z.strictObject({}),
  'destroy-copies': z.discriminatedUnion('how', [
    z.strictObject({ copy: z.int().min(1).max(500), how: z.literal('token'), device: CopyDestroyed }),
    z.strictObject({ copy: z.int().min(1).max(500), how: z.enum(['people', 'pending']) }),
    z.strictObject({ copy: z.int().min(1).max(500), how: z.literal('left'), words: text(300) }),
  ]),
  'confirm-gone': Seen,
  /** `objects`: everything that a fresh session shows afterwards. */
  'zeroise-token': z.strictObject({ before: TokenFacts, after: TokenFacts, objects: z.array(ObjectFact).max(2000) }),
  /**
   * Of a compromise: the certificates that it concerns, computed from the files that people brought, and, by the machine's own records, the
   * keys that are wrapped under this one.
   */
  'set-state': z.strictObject({
    ...StateSigned.shape,
    certificates: z.array(AffectedCertificate).max(1000),
    /** Certificates of the file that nothing ties to this key. */
    unaffected: count,
    dependants: z.array(z.strictObject({ key: text(500), label: text(128), how: text(300) })).max(2000),
  }),
  'renew-shares': z.strictObject({
    /** The new split of the same backup key. */
    set: ShareSet,
    subsetsTried: count,
    quorum: Quorum,
    /** Before the split, the old shares brought the key back as a session object, which signed this; it was destroyed and looked for again. */
    possession: Possession,
    destroyed: z.literal(true),
  }),
  'retire-share': z.strictObject({ card: text(64), object: text(64), x: z.int().min(1).max(255), device: CopyDestroyed }),
  /** The envelope (CMS, DER) is ciphertext; that the share is in it is shown by `open-copy`. */
  'seal-copy': z.strictObject({ ...CopiedShare, recipient: EscrowAgent, envelope: base64url(20_000) }),
  /** The share that came out. `opener`: SHA-256 of the SubjectPublicKeyInfo of the key that opened it. */
  'open-copy': z.strictObject({ x: z.int().min(1).max(255), commitment: digest256, envelope: hex(64).length(64), opener: hex(64).length(64) }),
  /** Shown to its holder alone, written down, and typed again by the holder from the form. */
  'write-copy': z.strictObject({ ...CopiedShare, sheet: sheetNumber, readBack: z.literal(true) }),
  'return-share': z.strictObject({ card: TokenFacts, object: text(64), x: z.int().min(1).max(255), commitment: digest256, erased: z.array(text(64)).max(64) }),
  /** The serial number of the bag that was closed. */
  'put-away': z.strictObject({ bag: text(40).optional() }),
  /** Which movement of the list, and the thing that it names. */
  'hand-over': z.strictObject({ movement: z.int().min(1).max(1000), kind: ThingKind, identifier: text(64) }),
  administer: z.strictObject({ result: z.looseObject({}) }),
  'sign-seal': z.strictObject({ signatures: SignaturePair }),
  'sign-resume': z.strictObject({ signatures: SignaturePair }),
} as const;

export type ActionName = keyof typeof EVIDENCE;
export type Intent<A extends ActionName = ActionName> = z.infer<(typeof INTENTS)[A]>;
export type Evidence<A extends ActionName = ActionName> = z.infer<(typeof EVIDENCE)[A]>;
export const ACTION_NAMES = Object.keys(EVIDENCE) as ActionName[];

/** What the conductor found where a `begun` had no outcome. */
export const Observation = z.strictObject({
  /** `none`: the action leaves nothing behind, there was nothing to look for. */
  state: z.enum(['none', 'absent', 'present', 'half']),
  objects: z.array(ObjectFact).max(64),
  detail: text(300),
});
export type Observation = z.infer<typeof Observation>;

export { digest256 as Digest256, digest512 as Digest512, base64url as Base64url, hex as Hex, text as BoundedText, seat as SeatId };
