/**
 * What may be asked of a device process, and what comes back.
 *
 * Three channels, kept apart:
 *   1. requests and answers (this file): conductor <-> device process. No secret fits in either direction.
 *   2. notices: device process -> its parent ("a PIN is wanted, for this card, from this person").
 *   3. the booth port: booth window -> device process, PIN bytes only; it does not exist for the conductor.
 */
import * as z from 'zod';
import { EVIDENCE, ModuleFacts, ObjectFact, Observation, PublicJwk, SignaturePair, TokenFacts } from '../../ceremonies/evidence.ts';

/** Which library this process drives. Chosen by the machine's administrator, never by the page. */
export const ModuleConfig = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('software'), name: z.string().max(64), folder: z.string().max(512) }),
  z.strictObject({
    kind: z.literal('pkcs11'), name: z.string().max(64), path: z.string().max(512),
    /** Environment of the library (SOFTHSM2_CONF, ...), set in the device process only. */
    env: z.record(z.string(), z.string()).default({}),
    /** NSS-style C_Initialize parameters. */
    parameters: z.string().max(1024).optional(),
  }),
  /** A process that drives no token: it only holds the ceremony's recorder key, so a crashing vendor library cannot end it. */
  z.strictObject({ kind: z.literal('recorder'), name: z.literal('recorder') }),
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
const algorithm = z.string().max(32);

/** One entry per operation: its request's members and its answer's shape. */
export const OPERATIONS = {
  /** First call on any device process. Loads the module; idempotent only for the same configuration. */
  start: { request: z.strictObject({ module: ModuleConfig }), answer: z.strictObject({ module: ModuleFacts.nullable() }) },
  /** Every slot; `token` null where the slot is empty. */
  slots: {
    request: z.strictObject({}),
    answer: z.strictObject({
      slots: z.array(z.strictObject({ slot: z.number(), description: z.string(), token: TokenFacts.nullable() })),
    }),
  },
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
    request: z.strictObject({ token: serial, needs: z.array(z.enum(['generate', 'sign', 'wrap', 'recover'])), algorithm, asked: Asked }),
    answer: EVIDENCE['inspect-token'],
  },
  'test-random': { request: z.strictObject({ token: serial, bytes: z.int().min(2048).max(16_777_216) }), answer: EVIDENCE['test-random'] },
  'take-inventory': { request: z.strictObject({ token: serial, asked: Asked }), answer: EVIDENCE['take-inventory'] },
  'generate-key': {
    request: z.strictObject({ token: serial, id, label: z.string().max(64), algorithm, extractable: z.boolean(), asked: Asked }),
    answer: EVIDENCE['generate-key'],
  },
  'prove-key': { request: z.strictObject({ token: serial, id, algorithm, asked: Asked }), answer: EVIDENCE['prove-key'] },
  /** Builds the to-be-signed bytes, lints them under a throwaway key, signs the same bytes on the token, verifies. */
  'issue-certificate': {
    request: z.strictObject({
      token: serial, id, algorithm,
      subject: z.record(z.string(), z.string()),
      serialNumber: z.string().regex(/^[0-9a-f]{16,40}$/), notBefore: z.string().max(32), notAfter: z.string().max(32),
      asked: Asked,
    }),
    answer: EVIDENCE['issue-certificate'],
  },
  'lock-key': { request: z.strictObject({ token: serial, id, asked: Asked }), answer: EVIDENCE['lock-key'] },
  /** For reconciliation after a crash: what is there under this CKA_ID (key pairs, data objects whose label carries it)? */
  look: {
    request: z.strictObject({ token: serial, id: id.optional(), labels: z.array(z.string().max(64)).max(64).default([]), asked: Asked }),
    answer: Observation,
  },
  /** Destroys every object that `look` finds for the same arguments, then looks again from a fresh session. */
  clear: {
    request: z.strictObject({ token: serial, id: id.optional(), labels: z.array(z.string().max(64)).max(64).default([]), asked: Asked }),
    answer: z.strictObject({ before: Observation, after: Observation }),
  },

  // --- backup: the key lives in this process between `make-backup-key` and `wipe-backup-key`, and nowhere else -----
  'make-backup-key': {
    request: z.strictObject({
      token: serial, set: b64(22).length(22), epoch: z.int().min(0), threshold: z.int(), custodians: z.array(z.string().max(40)).min(2).max(255),
      asked: Asked,
    }),
    answer: EVIDENCE['make-backup-key'],
  },
  /** The backup key becomes a session object on the token for this one C_WrapKey, and is destroyed there again. */
  'wrap-key': { request: z.strictObject({ token: serial, id, asked: Asked }), answer: EVIDENCE['wrap-key'] },
  'give-share': {
    request: z.strictObject({ card: serial, object: z.string().max(64), x: z.int().min(1).max(255), erases: z.array(z.string().max(64)).max(64), asked: Asked }),
    answer: EVIDENCE['give-share'],
  },
  'read-back-share': {
    request: z.strictObject({ card: serial, object: z.string().max(64), set: b64(22), x: z.int().min(1).max(255), asked: Asked }),
    answer: EVIDENCE['read-back-share'],
  },
  /** Reads M cards (one PIN each), combines, unwraps to a session object on `token`, signs `nonce`, destroys, looks again. */
  'prove-recovery': {
    request: z.strictObject({
      token: serial, id, algorithm, wrapped: b64(8000), nonce: b64(64), spki: b64(1200),
      set: EVIDENCE['make-backup-key'].shape.set,
      quorum: z.array(z.strictObject({ seat: z.string().max(40), card: serial, object: z.string().max(64), x: z.int(), asked: Asked })).min(2),
      asked: Asked,
    }),
    answer: EVIDENCE['prove-recovery'],
  },
  'wipe-backup-key': { request: z.strictObject({}), answer: EVIDENCE['wipe-backup-key'] },
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
  | { readonly kind: 'notice'; readonly notice: Notice };

/** A PIN is wanted, or no longer wanted. `attempts`: what the token admits to, never a count it does not give. */
export const Notice = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('pin-wanted'), ticket: z.int(), token: TokenFacts, asked: Asked,
    attempts: z.enum(['fine', 'low', 'final', 'unknown']), min: z.int(), max: z.int(),
  }),
  z.strictObject({ kind: z.literal('pin-settled'), ticket: z.int(), outcome: z.enum(['accepted', 'refused', 'cancelled', 'locked']) }),
]);
export type Notice = z.infer<typeof Notice>;

/** On the booth port, and only there. The receiver wipes `pin` after use. */
export type BoothMessage = { readonly ticket: number; readonly pin: Uint8Array } | { readonly ticket: number; readonly cancelled: true };

/** What the stand-ins of a rehearsal type. Printed on the screen of every rehearsal: it protects nothing. */
export const REHEARSAL_PIN = '271828';
