/**
 * What may be asked of a device process, and what comes back.
 *
 * Three channels, kept apart:
 *   1. requests and answers (this file): conductor <-> device process. No secret fits in either direction.
 *   2. notices: device process -> its parent ("a PIN is wanted, for this card, from this person"; "a token has come").
 *   3. the booth port: booth window -> device process, PIN bytes only (and a component, or the words of a share, to its holder's booth); it does not exist for the conductor.
 */
import * as z from 'zod';
import { AttributeWanted, Explanation, ObjectPlace, ObjectReading, Reader, Readiness, ScannedKey, TokenDetails } from '../../ceremonies/estate.ts';
import { BackupRecord } from '../../ceremonies/backup-record.ts';
import { CHECK_METHODS } from '../../ceremonies/keys/check-value.ts';
import { EscrowRecord } from '../../ceremonies/escrow.ts';
import { ACTIVATION_PIN, CHANGE_KINDS, ComponentCheck, CopyDestroyed, EVIDENCE, KeyCheck, KeyReference, ModuleFacts, ObjectFact, ObjectReference, Observation, Placement, PublicJwk, ShareSet, SignaturePair, TokenFacts, WrappedPart } from '../../ceremonies/evidence.ts';

/** Everything that would outlive a session is refused (READ-ONLY) before the library is asked, and sessions are opened for reading. */
const readOnly = z.boolean().optional();

/** Which library this process drives. Chosen by the machine's administrator, never by the page. */
export const ModuleConfig = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('software'), name: z.string().max(64), folder: z.string().max(512), readOnly }),
  z.strictObject({
    kind: z.literal('pkcs11'), name: z.string().max(64), path: z.string().max(512),
    /** Environment of the library (SOFTHSM2_CONF, ...), set in the device process only. */
    env: z.record(z.string(), z.string()).default({}),
    /** NSS-style C_Initialize parameters. */
    parameters: z.string().max(1024).optional(),
    readOnly,
    /** The file to which each call is written: name, session, CKR_*, time; never a value. */
    trace: z.string().max(512).optional(),
  }),
  /** A process that drives no token: it only holds the ceremony's recorder key, so a crashing vendor library cannot end it. */
  z.strictObject({ kind: z.literal('recorder'), name: z.literal('recorder') }),
  /** Likewise without a token: it watches the card readers (cards.ts), and a crash in PC/SC ends nothing else. */
  z.strictObject({ kind: z.literal('readers'), name: z.literal('readers') }),
]);
export type ModuleConfig = z.infer<typeof ModuleConfig>;

/** Who will be asked for the PIN, and why: shown in the booth. */
export const Asked = z.strictObject({
  person: z.string().max(40),
  name: z.string().max(80),
  purpose: z.string().max(200),
  /** Rehearsal cards carry a published PIN; the device process types it itself. Refused for any other card. */
  standIn: z.boolean().default(false),
  /** A person has confirmed in words that the last try may be used. */
  acceptFinalTry: z.boolean().default(false),
});
export type Asked = z.infer<typeof Asked>;

const serial = z.string().min(1).max(64);
const id = z.string().max(64).regex(/^([0-9a-f]{2})+$/);
const b64 = (max: number) => z.string().max(max).regex(/^[A-Za-z0-9_-]*$/);
const algorithm = z.string().max(48);
const ids = z.array(id).max(3);
const instant = z.string().max(32);

/** Shares that cards have lent to the process of the token. */
const Lent = z.array(z.strictObject({ seat: z.string().max(40), card: serial, x: z.int(), sealed: b64(80_000) })).min(2);

/** A share of which a copy is made or used: the set as the backup record has it, and the number. */
const CopyOf = { record: BackupRecord.pick({ mode: true, label: true, set: true, shares: true }), x: z.int().min(1).max(255) };

/** What an envelope is about: the record of an escrow without the envelope's digest. */
const Terms = EscrowRecord.omit({ sha256: true });

/** The shares that a PIN follows from, and how long it is. */
const Activating = { set: ShareSet, length: z.int().min(ACTIVATION_PIN.shortest).max(ACTIVATION_PIN.longest), quorum: Lent };

export { KeyReference };

/** What a certificate is to say. `issuer` null: self-signed. */
export const CertificateOrder = z.strictObject({
  serialNumber: z.string().regex(/^[0-9a-f]{16,40}$/), notBefore: instant, notAfter: instant,
  pathLength: z.int().min(0).max(10).nullable(),
  order: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('root'), subject: z.record(z.string(), z.string()) }),
    /** `request`: PKCS#10, DER. `issuer`: the CA's own certificate, DER. */
    z.strictObject({ kind: z.enum(['subordinate', 'end-entity']), request: b64(120_000), issuer: b64(90_000) }),
    /** `certificate`: the other CA's, DER; its subject and key are taken over. */
    z.strictObject({ kind: z.literal('cross'), certificate: b64(90_000), issuer: b64(90_000) }),
  ]),
});
export type CertificateOrder = z.infer<typeof CertificateOrder>;

/** A copy of a key as the list of a destruction names it. */
const CopyTarget = z.strictObject({ ...ObjectFact.shape, check: KeyCheck });

/** Who is in which slot; sent without a request, too, where a token has come or gone. */
const Slots = z.array(z.strictObject({ slot: z.number(), description: z.string(), token: TokenFacts.nullable() }));
export type Slots = z.infer<typeof Slots>;

const kind = z.enum(['aes-128', 'aes-192', 'aes-256']);
const ComponentOrder = { set: b64(22).length(22), number: z.int().min(1).max(9), of: z.int().min(2).max(9), kind, check: z.enum(CHECK_METHODS) };
const FormOrder = {
  set: b64(22).length(22), of: z.int().min(2).max(9), id, label: z.string().max(64), kind, check: z.enum(CHECK_METHODS), use: z.enum(['wrap', 'encrypt', 'mac']),
  value: z.string().regex(/^[0-9a-f]{6}$/), onForms: z.string().regex(/^[0-9a-f]{6,10}$/).nullable(),
};

/** One entry per operation: its request's members and its answer's shape. */
export const OPERATIONS = {
  /** First call on any device process. Loads the module; idempotent only for the same configuration. */
  start: { request: z.strictObject({ module: ModuleConfig }), answer: z.strictObject({ module: ModuleFacts.nullable() }) },
  /** Every slot; `token` null where the slot is empty. `moves`: tokens of this module are put in and taken out. */
  slots: {
    request: z.strictObject({}),
    answer: z.strictObject({ moves: z.boolean(), slots: Slots }),
  },
  /** The slots where a token has come or gone since the last look, else null: what would be told by itself within a second, now. */
  moved: { request: z.strictObject({}), answer: z.strictObject({ slots: Slots.nullable() }) },
  /** The card readers (kind 'readers'). From the first answer on, changes are told by themselves. */
  readers: { request: z.strictObject({}), answer: z.strictObject({ readers: z.array(Reader).max(64) }) },
  /** Token objects, in pages. Public objects without login; all where somebody is logged in. Unreadable objects are listed as such. */
  objects: {
    request: z.strictObject({ token: serial, offset: z.int().min(0), limit: z.int().min(1).max(2000) }),
    answer: z.strictObject({ total: z.int(), objects: z.array(ObjectFact), loggedIn: z.boolean() }),
  },
  mechanisms: {
    request: z.strictObject({ token: serial }),
    answer: z.strictObject({
      mechanisms: z.array(z.strictObject({ name: z.string(), number: z.int(), min: z.number(), max: z.number(), flags: z.array(z.string()) })),
    }),
  },
  // --- reading (reading.ts): nothing on a token changes, and none of it goes into a record ---------------------------------
  details: { request: z.strictObject({ token: serial }), answer: TokenDetails },
  /** Objects with all these values; `positions` are their places in the listing of `objects`. Without login as there. */
  'search-objects': {
    request: z.strictObject({ token: serial, where: z.array(AttributeWanted).min(1).max(16), offset: z.int().min(0), limit: z.int().min(1).max(2000) }),
    answer: z.strictObject({ total: z.int(), objects: z.array(ObjectFact), positions: z.array(z.int()), loggedIn: z.boolean() }),
  },
  /** Refused OBJECT-MOVED where something else stands in this place. */
  object: { request: z.strictObject({ token: serial, place: ObjectPlace }), answer: ObjectReading },
  /** The readiness matrix, with session objects only. Logs in and out where nobody is logged in. */
  probe: { request: z.strictObject({ token: serial, asked: Asked }), answer: z.strictObject({ readiness: z.array(Readiness) }) },
  /** Public keys among `limit` objects of the listing from `offset` on, each tested by itself. */
  'scan-keys': {
    request: z.strictObject({ token: serial, offset: z.int().min(0), limit: z.int().min(1).max(2000) }),
    answer: z.strictObject({ total: z.int(), keys: z.array(ScannedKey), loggedIn: z.boolean() }),
  },
  /** Logs in (PIN in the booth) to look, until `log-out` or ten minutes without a request for this token. */
  'log-in': { request: z.strictObject({ token: serial, asked: Asked }), answer: z.strictObject({}) },
  /** Touches no token: what a code means, or all codes. */
  explain: { request: z.strictObject({ code: z.string().max(64).nullable() }), answer: z.strictObject({ explanations: z.array(Explanation) }) },

  /** Makes blank rehearsal tokens with the published rehearsal PIN. Never touches a token that already exists. */
  provision: {
    request: z.strictObject({ labels: z.array(z.string().min(1).max(32)).min(1).max(300) }),
    answer: z.strictObject({ tokens: z.array(TokenFacts) }),
  },
  /** Logs out of a token (putting it away); harmless when nobody is logged in. */
  'log-out': { request: z.strictObject({ token: serial }), answer: z.strictObject({}) },

  // --- the recorder (kind 'recorder') -------------------------------------------------------------------------------
  /** Makes a fresh Ed25519 recorder key, forgetting any earlier one. */
  'recorder-new': { request: z.strictObject({}), answer: z.strictObject({ key: PublicJwk }) },
  'recorder-sign': { request: z.strictObject({ message: b64(8000) }), answer: z.strictObject({ signature: b64(200) }) },

  // --- people: one identity per card --------------------------------------------------------------------------------
  /** Finds or makes the identity on the card (classical key pair with CKA_ID `id`; 32-byte ML-DSA seed as private data
   *  object labelled `conclave-identity-<id>`), then signs `statement` with both. */
  enrol: {
    request: z.strictObject({ card: serial, id, statement: b64(2000), asked: Asked }),
    answer: EVIDENCE.enrol,
  },
  /** Both signatures over each payload (JWS signing input is built inside). */
  sign: {
    request: z.strictObject({ card: serial, payloads: z.array(b64(200_000)).min(1).max(4), asked: Asked }),
    answer: z.strictObject({ signatures: z.array(SignaturePair) }),
  },

  // --- the token ----------------------------------------------------------------------------------------------------
  /** Logs in (PIN in the booth) and stays logged in until `log-out`. Tries each need with session objects. */
  'inspect-token': {
    request: z.strictObject({
      token: serial, needs: z.array(z.enum(['generate', 'sign', 'wrap', 'recover'])), algorithm: algorithm.nullable(), place: Placement, asked: Asked,
      /** False: nothing is tried, and nobody logs in. */
      login: z.boolean().default(true),
    }),
    answer: EVIDENCE['inspect-token'],
  },
  'test-random': { request: z.strictObject({ token: serial, bytes: z.int().min(2048).max(16_777_216) }), answer: EVIDENCE['test-random'] },
  /** Of a token without a user PIN, to which nobody can log in: what a fresh session shows. */
  'take-inventory': { request: z.strictObject({ token: serial, asked: Asked }), answer: EVIDENCE['take-inventory'] },
  /** Every part made and opened again, or the failure says what may be there: `ids` are all that can have been used. */
  'generate-key': {
    request: z.strictObject({ token: serial, ids: ids.min(1), label: z.string().max(64), algorithm, place: Placement, extractable: z.boolean(), asked: Asked }),
    answer: EVIDENCE['generate-key'],
  },
  /** A key that is all on its token, read back as if just made: its generation had no recorded outcome, and it is kept. */
  'read-key': { request: z.strictObject({ token: serial, ids: ids.min(1), algorithm, asked: Asked }), answer: EVIDENCE['generate-key'] },
  /** For a key of this ceremony and for one that was there before (`open-key`). */
  'prove-key': {
    request: z.strictObject({
      token: serial, key: KeyReference, /** What it signs; without it a text and random bytes of its own. */ nonce: b64(64).optional(),
      /** True: the key is to be backed up, so what keeps it on the token is told too. */
      leaving: z.boolean().optional(), asked: Asked,
    }),
    answer: EVIDENCE['open-key'],
  },
  /** The known answers of every library for the parts of this algorithm. Gives those that are switched off for a wrong one. */
  'prove-providers': {
    request: z.strictObject({ algorithm }),
    answer: z.strictObject({ off: z.array(z.strictObject({ name: z.string().max(16), algorithm: z.string().max(48) })).max(16) }),
  },
  /** Ends what a device process computes by itself (making an SLH-DSA key, signing with it); nothing on a token is touched. */
  cancel: { request: z.strictObject({}), answer: z.strictObject({ cancelled: z.boolean() }) },
  /** Builds the to-be-signed bytes, lints them under a throwaway key, signs the same bytes on the token, verifies. */
  'issue-certificate': {
    request: z.strictObject({ token: serial, key: KeyReference, certificate: CertificateOrder, asked: Asked }),
    answer: EVIDENCE['issue-certificate'],
  },
  /** Likewise for a CRL (RFC 5280 section 5). `revocations`: the CSV that the record holds; `previous`: the CRL before, whose entries it
   *  carries on. */
  'sign-crl': {
    request: z.strictObject({
      token: serial, key: KeyReference, issuer: b64(90_000), number: z.string().max(20), thisUpdate: instant, nextUpdate: instant,
      revocations: b64(1_000_000), previous: b64(500_000).nullable(), asked: Asked,
    }),
    answer: EVIDENCE['sign-crl'],
  },
  'lock-key': { request: z.strictObject({ token: serial, key: KeyReference, asked: Asked }), answer: EVIDENCE['lock-key'] },
  /** Logs out, then C_InitToken as the SO, only while the token is `seen` to the last flag. What a fresh session then shows is evidence, whatever it is. */
  'zeroise-token': { request: z.strictObject({ token: serial, label: z.string().min(1).max(32), seen: TokenFacts, asked: Asked }), answer: EVIDENCE['zeroise-token'] },
  /** A CA for the rehearsal of a ceremony that needs one: key and self-signed certificate, on a token that stand-ins may open. */
  'provision-ca': {
    /** `extractable`: one that a ceremony is to back up and lock. */
    request: z.strictObject({ token: serial, algorithm, place: Placement, extractable: z.boolean().optional() }),
    answer: z.strictObject({ key: KeyReference, certificate: b64(90_000) }),
  },
  /** A request (PKCS#10) or a self-signed CA certificate for a rehearsal, of an ECDSA P-256 key that is thrown away at once; DER. */
  'provision-file': { request: z.strictObject({ kind: z.enum(['request', 'certificate']) }), answer: z.strictObject({ der: b64(90_000) }) },
  /** For a rehearsal, a request for a key of the KEM `algorithm`, stated by a signing key that the CA of `provision-ca` certifies for it. All but the CA's key is thrown away. */
  'provision-stated-request': {
    request: z.strictObject({ token: serial, key: KeyReference, certificate: b64(90_000), algorithm }),
    answer: z.strictObject({ der: b64(120_000) }),
  },
  /** For reconciliation after a crash: what is there under this CKA_ID (key pairs, data objects whose label carries it)? */
  look: {
    request: z.strictObject({ token: serial, ids: ids.default([]), labels: z.array(z.string().max(64)).max(64).default([]), asked: Asked }),
    answer: Observation,
  },
  /** Destroys every object that `look` finds for the same arguments, then looks again from a fresh session. */
  clear: {
    request: z.strictObject({ token: serial, ids: ids.default([]), labels: z.array(z.string().max(64)).max(64).default([]), asked: Asked }),
    answer: z.strictObject({ before: Observation, after: Observation }),
  },

  // --- administration (administration.ts): one change outside a ceremony ------------------------------------------------
  /** What an officer points at, named so that it can be found again: throws OBJECT-MOVED as `object` does. */
  refer: { request: z.strictObject({ token: serial, place: ObjectPlace }), answer: ObjectReference },
  /**
   * `order` is of the shape that CHANGES gives for `change`, and so is the result. `file`: the encrypted key file of
   * `import-key`. `kept`: an earlier attempt made the object; nothing is made, it is read back and tried as if just made.
   */
  administer: {
    request: z.strictObject({ token: serial, change: z.enum(CHANGE_KINDS), order: z.looseObject({}), file: b64(1_000_000).nullable(), kept: z.boolean(), asked: Asked }),
    answer: EVIDENCE.administer,
  },
  /** Whether a key that is there works: each use that it has, tried with session objects and compared with software. */
  'self-test': {
    request: z.strictObject({ token: serial, place: ObjectPlace, asked: Asked }),
    answer: z.strictObject({ tried: z.array(z.strictObject({ name: z.string().max(64), passed: z.boolean(), detail: z.string().max(300) })).max(16) }),
  },

  // --- the verified destruction of a key (destroying.ts) -------------------------------------------------------------------
  /** How many objects fit each copy, seen from a fresh session. */
  'count-copies': { request: z.strictObject({ token: serial, copies: z.array(CopyTarget).min(1).max(500), asked: Asked }), answer: z.strictObject({ found: z.array(z.int().min(0)) }) },
  /** Destroys the one object that fits, looks for it from a fresh session, and tries to use it under a handle from before. */
  'destroy-copy': { request: z.strictObject({ token: serial, copy: CopyTarget, asked: Asked }), answer: CopyDestroyed },

  // --- backup: the key lives in this process between `make-backup-key` and `wipe-backup-key`, and nowhere else -----
  'make-backup-key': {
    request: z.strictObject({
      token: serial, set: b64(22).length(22), epoch: z.int().min(0), threshold: z.int(), custodians: z.array(z.string().max(40)).min(2).max(255),
      asked: Asked,
    }),
    answer: EVIDENCE['make-backup-key'],
  },
  /** The backup key becomes a session object on the token for each C_WrapKey, and is destroyed there again; a wrapped part
   *  is opened and wrapped anew in this process. */
  'wrap-key': { request: z.strictObject({ token: serial, key: KeyReference, asked: Asked }), answer: EVIDENCE['wrap-key'] },

  // --- shares between processes: sealed, because token and cards may be on different modules ----------------------------
  /** A fresh key (X-Wing) to which another device process seals one share for this one. Forgets the one before. */
  'transport-key': { request: z.strictObject({}), answer: z.strictObject({ key: b64(1700) }) },
  /** The process of the backup key: share `x`, for the process of its card. */
  'seal-share': { request: z.strictObject({ set: b64(22), x: z.int().min(1).max(255), to: b64(1700) }), answer: z.strictObject({ sealed: b64(80_000) }) },
  /** The process of the card: opens, writes, reads back. */
  'give-share': {
    request: z.strictObject({
      card: serial, object: z.string().max(64), set: b64(22), x: z.int().min(1).max(255), sealed: b64(80_000), erases: z.array(z.string().max(64)).max(64), asked: Asked,
    }),
    answer: EVIDENCE['give-share'],
  },
  'read-back-share': {
    /** `of`: the set as the record has it, where this process did not make it. */
    request: z.strictObject({ card: serial, object: z.string().max(64), set: b64(22), x: z.int().min(1).max(255), of: ShareSet.optional(), asked: Asked }),
    answer: EVIDENCE['read-back-share'],
  },
  /** The process of the card: reads the share and seals it for the process of the token. */
  'lend-share': {
    request: z.strictObject({ card: serial, object: z.string().max(64), set: b64(22), x: z.int().min(1).max(255), to: b64(1700), asked: Asked }),
    answer: z.strictObject({ sealed: b64(80_000) }),
  },
  /** The process of the token: opens M shares, combines, recovers every part, signs `nonce` with them together, destroys, looks again. */
  'prove-recovery': {
    request: z.strictObject({
      token: serial, key: KeyReference, wrapped: z.array(WrappedPart).min(1).max(2), nonce: b64(64), set: ShareSet,
      quorum: Lent,
      asked: Asked,
    }),
    answer: EVIDENCE['prove-recovery'],
  },
  /** Likewise, and then for good (restoring.ts): every part goes onto the token under `ids`, or is wrapped anew under a key of it. */
  'restore-key': {
    request: z.strictObject({
      token: serial, key: KeyReference, wrapped: z.array(WrappedPart).min(1).max(2), ids: ids.min(1), label: z.string().max(64), nonce: b64(64), set: ShareSet, quorum: Lent, asked: Asked,
    }),
    answer: EVIDENCE['restore-key'],
  },
  /** A restored key that is all on its token, read back as if just restored: its outcome was never recorded, and it is kept. */
  'read-restored': {
    request: z.strictObject({ token: serial, key: KeyReference, ids: ids.min(1), nonce: b64(64), asked: Asked }),
    answer: EVIDENCE['restore-key'].omit({ quorum: true }),
  },
  /**
   * The process of the token: opens M old shares, combines, lets the key sign `nonce` as `prove-recovery` does, and splits the same backup key
   * anew. It lives here from then on, as after `make-backup-key`. `set`: the old one; the new one has its name and `epoch`.
   */
  'renew-shares': {
    request: z.strictObject({
      token: serial, key: KeyReference, wrapped: z.array(WrappedPart).min(1).max(2), nonce: b64(64), set: ShareSet, quorum: Lent,
      epoch: z.int().min(1), threshold: z.int(), custodians: z.array(z.string().max(40)).min(2).max(255), asked: Asked,
    }),
    answer: EVIDENCE['renew-shares'],
  },

  // --- escrow (escrow.ts) ---------------------------------------------------------------------------------------------------
  /** As `prove-recovery`; then the backup key is sealed to the recipient, a certificate or public key, valid `at` that time. */
  'seal-escrow': {
    request: z.strictObject({
      token: serial, key: KeyReference, wrapped: z.array(WrappedPart).min(1).max(2), nonce: b64(64), set: ShareSet, quorum: Lent, recipient: b64(120_000), terms: Terms, at: instant, asked: Asked,
    }),
    answer: EVIDENCE['seal-escrow'],
  },
  /** As `restore-key`, with the backup key out of the envelope. `file`: the agent's encrypted key file, whose password `agent` types in the booth. */
  'release-escrow': {
    request: z.strictObject({
      token: serial, key: KeyReference, wrapped: z.array(WrappedPart).min(1).max(2), ids: ids.min(1), label: z.string().max(64), nonce: b64(64), set: ShareSet,
      envelope: b64(20_000), terms: Terms, file: b64(100_000), asked: Asked, agent: Asked,
    }),
    answer: EVIDENCE['release-escrow'],
  },
  /** For a rehearsal: the key of an agent who does not exist, its private half under the published PIN. */
  'provision-agent': { request: z.strictObject({}), answer: z.strictObject({ recipient: b64(4000), file: b64(8000) }) },
  /** For a rehearsal: the envelope of the backup key that `provision-backup` left in this process. */
  'provision-escrow': { request: z.strictObject({ set: b64(22).length(22), recipient: b64(4000), terms: Terms }), answer: z.strictObject({ envelope: b64(20_000) }) },
  /** For a rehearsal: a key that is thrown away at once, wrapped under a backup key whose shares are then given to cards as ever. */
  'provision-backup': {
    request: z.strictObject({ token: serial, algorithm, place: Placement, /** It stays on the token, locked. */ kept: z.boolean().optional(), set: b64(22).length(22), threshold: z.int(), custodians: z.array(z.string().max(40)).min(2).max(255) }),
    answer: z.strictObject({ key: KeyReference, certificate: b64(90_000), wrapped: z.array(WrappedPart).min(1).max(2), set: ShareSet }),
  },
  'wipe-backup-key': { request: z.strictObject({}), answer: EVIDENCE['wipe-backup-key'] },

  // --- copies of shares on other media (share-copies.ts): all of it in the process of the card ---------------------------------
  /** Seals the share on this card to the `number`th of `of` keys in the file of recipients, valid `at` that time. */
  'seal-copy': {
    request: z.strictObject({ card: serial, object: z.string().max(64), ...CopyOf, recipients: b64(1_000_000), number: z.int().min(1).max(255), of: z.int().min(1).max(255), at: instant, asked: Asked }),
    answer: EVIDENCE['seal-copy'],
  },
  /** Opens an envelope and compares. `file`: the holder's encrypted key file, whose password is typed in the booth; nobody logs in to the card. */
  'open-copy': {
    request: z.strictObject({ card: serial, ...CopyOf, envelope: b64(20_000), recipient: z.string().length(64), file: b64(100_000), asked: Asked }),
    answer: EVIDENCE['open-copy'].omit({ envelope: true }),
  },
  /** Shows the share on this card as words, and has them typed again. */
  'write-copy': { request: z.strictObject({ card: serial, object: z.string().max(64), ...CopyOf, sheet: z.string().max(16), asked: Asked }), answer: EVIDENCE['write-copy'] },
  /** The share out of its envelope, or typed from paper, onto this card; `holder` is asked for it, `asked` for the card's PIN. `sealed`: the envelope, with its holder's key file; of paper null, and of a stand-in who has none the envelope that is copied from. */
  'return-share': {
    request: z.strictObject({
      card: serial, object: z.string().max(64), ...CopyOf, from: z.enum(['envelope', 'paper']), sealed: z.strictObject({ envelope: b64(20_000), file: b64(100_000) }).nullable(), erases: z.array(z.string().max(64)).max(64), asked: Asked, holder: Asked,
    }),
    answer: EVIDENCE['return-share'],
  },
  /** For a rehearsal: the envelope of a share of the backup that `provision-backup` left in this process. */
  'provision-copy': { request: z.strictObject({ ...CopyOf, recipient: b64(4000) }), answer: z.strictObject({ envelope: b64(20_000) }) },

  // --- components (components.ts): held in this process between the first of them and the key, and nowhere else ---------------
  'enter-component': { request: z.strictObject({ token: serial, ...ComponentOrder, asked: Asked }), answer: EVIDENCE['enter-component'] },
  'issue-component': { request: z.strictObject({ token: serial, ...ComponentOrder, asked: Asked }), answer: EVIDENCE['issue-component'] },
  /** What they make together; nothing is touched. */
  'total-components': { request: z.strictObject({ set: b64(22), of: z.int().min(2).max(9), check: z.enum(CHECK_METHODS) }), answer: z.strictObject({ check: ComponentCheck }) },
  'form-key': { request: z.strictObject({ token: serial, ...FormOrder, asked: Asked }), answer: EVIDENCE['form-key'] },
  /** A key that is there, read back as if just formed: its outcome was never recorded, and it is kept. */
  'read-formed': { request: z.strictObject({ token: serial, ...FormOrder, asked: Asked }), answer: EVIDENCE['form-key'] },
  'wipe-components': { request: z.strictObject({}), answer: z.strictObject({ wiped: z.boolean() }) },

  // --- a token that only a quorum opens (activating.ts) ---------------------------------------------------------------------
  /** As `make-backup-key`, without a login: held until `wipe-backup-key`. */
  'make-activation-key': {
    request: z.strictObject({ token: serial, set: b64(22).length(22), epoch: z.int().min(0), threshold: z.int(), custodians: z.array(z.string().max(40)).min(2).max(255) }),
    answer: EVIDENCE['make-activation-key'],
  },
  /** Opens M shares, and as many of `former` as that takes; the PIN of `whose` is changed from the old one to the one of these shares. */
  'set-activation-pin': {
    request: z.strictObject({ token: serial, whose: z.enum(['user', 'so']), ...Activating, again: z.boolean(), former: z.strictObject(Activating).nullable(), asked: Asked }),
    answer: EVIDENCE['set-activation-pin'],
  },
  /** Opens M shares and logs in; stays logged in until `deactivate` or `log-out`, and asks nobody for a PIN until then. */
  activate: { request: z.strictObject({ token: serial, ...Activating, asked: Asked }), answer: EVIDENCE.activate },
  deactivate: { request: z.strictObject({ token: serial }), answer: EVIDENCE.deactivate },
  /** Opens M shares, is the SO with their PIN, and sets the user PIN that its holder types. */
  'reset-user-pin': { request: z.strictObject({ token: serial, ...Activating, asked: Asked }), answer: EVIDENCE['reset-user-pin'] },
  /** For a rehearsal: the PIN of a throw-away token set to the one of a new activation key, whose shares are then given to cards as ever. */
  'provision-activation': {
    request: z.strictObject({ token: serial, whose: z.enum(['user', 'so']), set: b64(22).length(22), threshold: z.int(), custodians: z.array(z.string().max(40)).min(2).max(255) }),
    answer: z.strictObject({ token: TokenFacts, set: ShareSet, length: z.int() }),
  },
} as const;

export type Operation = keyof typeof OPERATIONS;
export type Request<O extends Operation> = z.input<(typeof OPERATIONS)[O]['request']>;
export type Answer<O extends Operation> = z.infer<(typeof OPERATIONS)[O]['answer']>;

/** Errors are values at this boundary. `code` is a CKR_* name or one of ours; `hint` says what to do next. */
export const DeviceError = z.strictObject({
  code: z.string().max(64),
  message: z.string().max(500),
  hint: z.string().max(500),
  /** True where the operation certainly left nothing behind; false where nobody can say without looking. */
  nothingChanged: z.boolean(),
});
export type DeviceError = z.infer<typeof DeviceError>;

export type DeviceMessage =
  | { readonly kind: 'request'; readonly id: number; readonly operation: Operation; readonly body: unknown };

export type DeviceReply =
  | { readonly kind: 'answer'; readonly id: number; readonly ok: true; readonly body: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly ok: false; readonly error: DeviceError }
  | { readonly kind: 'notice'; readonly notice: Notice }
  | { readonly kind: 'moved'; readonly slots: Slots }
  /** Readers or cards have come or gone. Which, `readers` says. */
  | { readonly kind: 'readers' };

/** A PIN is wanted, or no longer wanted. `attempts`: what the token admits to, never a count it does not give. */
export const Notice = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('pin-wanted'), ticket: z.int(), token: TokenFacts, asked: Asked,
    attempts: z.enum(['fine', 'low', 'final', 'unknown']), min: z.int(), max: z.int(),
    /** What is to be typed. A new PIN is asked for twice by the booth, which sends it once. */
    wanted: z.enum(['user-pin', 'so-pin', 'new-user-pin', 'new-so-pin', 'password']),
  }),
  /** The PIN is typed on the token's own pad (CKF_PROTECTED_AUTHENTICATION_PATH): nothing is sent, until the call returns. */
  z.strictObject({ kind: z.literal('pad-wanted'), ticket: z.int(), token: TokenFacts, asked: Asked, wanted: z.enum(['user-pin', 'so-pin', 'new-user-pin', 'new-so-pin']) }),
  /** A component is typed, with the check value on its form. `shows`: first it is shown to its holder, who writes it down. */
  z.strictObject({
    kind: z.literal('component-wanted'), ticket: z.int(), token: TokenFacts, asked: Asked,
    component: z.strictObject({ number: z.int(), of: z.int(), digits: z.int(), method: z.enum(CHECK_METHODS), shows: z.boolean() }),
  }),
  /** The words of a share are typed from paper. `shows`: first they are shown to their holder, who writes them on the form `sheet`. */
  z.strictObject({ kind: z.literal('words-wanted'), ticket: z.int(), token: TokenFacts, asked: Asked, words: z.strictObject({ count: z.int(), sheet: z.string().max(16).nullable(), shows: z.boolean() }) }),
  z.strictObject({ kind: z.literal('pin-settled'), ticket: z.int(), outcome: z.enum(['accepted', 'refused', 'cancelled', 'locked']) }),
]);
export type Notice = z.infer<typeof Notice>;

/** On the booth port, and only there. The receiver wipes `pin` after use: a PIN, the digits of a component, or words on one line. */
export type BoothMessage = { readonly ticket: number; readonly pin: Uint8Array } | { readonly ticket: number; readonly cancelled: true };

/** The holder of a component, or of a share, is ready to see it; and, back on the very port that asked, the component with so many bytes of its check value behind it, or the words of the share on one line. */
export interface BoothAsks { readonly ticket: number; readonly shows: true }
export interface BoothShown { readonly ticket: number; readonly component: Uint8Array }
export const SHOWN_CHECK = 3;

/** What the stand-ins of a rehearsal type. Printed on the screen of every rehearsal: it protects nothing. */
export const REHEARSAL_PIN = '271828';
