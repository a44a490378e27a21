/**
 * What can be read of modules, tokens and objects: shapes that device processes answer with and the page draws, and how a
 * token is read in full.
 *
 * Like evidence.ts, every shape is closed and every string bounded, and no secret fits: raw values are those of attributes
 * that PKCS#11 does not call sensitive, and of objects that a token gives to everybody. Nothing of this is written into a record.
 */
import * as z from 'zod';
import { KeyAttributes, ObjectFact, TokenFacts } from './evidence.ts';

const text = (max: number) => z.string().max(max);
const hex = (max: number) => z.string().max(max).regex(/^([0-9a-f]{2})*$/);
const count = z.int().min(0);

/**
 * A card reader as PC/SC sees it; nothing is asked of its card. `atr`: what the card says of itself when it gets power (ISO/IEC
 * 7816-3, 8.2: at most 33 octets); null without a card, and for one that says nothing.
 */
export const Reader = z.strictObject({ name: text(128), card: z.boolean(), atr: hex(66).nullable() });
export type Reader = z.infer<typeof Reader>;

/** A flag by its PKCS#11 name, and what it means in plain words. */
export const Flag = z.strictObject({ name: text(48), meaning: text(200) });
export type Flag = z.infer<typeof Flag>;

/** What a token admits to; PKCS#11 never gives a number of tries. `unset`: there is no PIN yet. `change`: it must be changed first. */
export const PinState = z.enum(['fine', 'low', 'final', 'locked', 'change', 'unset']);
export type PinState = z.infer<typeof PinState>;

/** `most` and `total`: null where the token does not tell, 'unlimited' where it says so. Memory in bytes. */
const limit = z.union([count, z.literal('unlimited')]).nullable();
const Amount = z.strictObject({ now: count.nullable(), most: limit });

/** CKO_VALIDATION, PKCS#11 3.2 section 4.15: what the token says it was certified for. The token's word only. */
export const Validation = z.strictObject({
  type: text(48), version: text(16), level: text(16), moduleId: text(200), authority: text(48), country: text(8),
  certificate: text(200), certificateUri: text(300), vendorUri: text(300), profile: text(300),
});
export type Validation = z.infer<typeof Validation>;

export const TokenDetails = z.strictObject({
  library: z.strictObject({
    manufacturer: text(64), description: text(64), version: text(16),
    /** The version of PKCS#11 that C_GetInfo names. */
    cryptoki: text(16),
    /** Of C_GetInterfaceList; empty for a module before PKCS#11 3.0, which has none. */
    interfaces: z.array(z.strictObject({ name: text(64), version: text(16), forkSafe: z.boolean() })).max(32),
  }),
  slot: z.strictObject({ number: z.number(), description: text(64), manufacturer: text(64), hardware: text(16), firmware: text(16), flags: z.array(Flag).max(32) }),
  token: TokenFacts,
  flags: z.array(Flag).max(32),
  /** CK_TOKEN_INFO.utcTime as RFC 3339, where the token has a clock. */
  clock: text(32).nullable(),
  pin: z.strictObject({ user: PinState, so: PinState, min: count, max: count, pad: z.boolean() }),
  limits: z.strictObject({ sessions: Amount, writeSessions: Amount, publicMemory: Amount, privateMemory: Amount }),
  validations: z.array(Validation).max(64),
  loggedIn: z.boolean(),
});
export type TokenDetails = z.infer<typeof TokenDetails>;

/**
 * One cell of the readiness matrix. `proven`: a round trip with session objects, compared with software. `claimed`: the token
 * lists what it takes; it was not tried, or it failed (`detail` says which). `absent`: the token does not list it.
 */
export const Readiness = z.strictObject({
  /** As people write it: RSA-2048, ECDSA P-256, Ed25519, ML-DSA-44, ML-KEM-512, SLH-DSA-SHA2-128f, AES-256 KWP. */
  name: text(48),
  family: z.enum(['rsa', 'ecdsa', 'eddsa', 'ml-dsa', 'ml-kem', 'slh-dsa', 'aes']),
  can: z.enum(['proven', 'claimed', 'absent']),
  detail: text(300),
  /** CKR_* or a rule's name where an attempt failed. */
  code: text(64).nullable(),
  /** CKM_* that it takes. */
  mechanisms: z.array(text(48)).max(4),
  milliseconds: count.nullable(),
});
export type Readiness = z.infer<typeof Readiness>;

/** Where an object stands in the token's listing, and what stood there: it is read only while both still fit. */
export const ObjectPlace = z.strictObject({ position: count, object: ObjectFact });
export type ObjectPlace = z.infer<typeof ObjectPlace>;

/** `text` is null where the bytes mean nothing more than themselves. */
export const AttributeReading = z.strictObject({ name: text(64), number: count, hex: hex(140_000), text: text(4000).nullable() });
export type AttributeReading = z.infer<typeof AttributeReading>;

/** A letter as p11ls of pkcs11-tools prints it. `risk`: the capital warns. */
export const Letter = z.strictObject({ letter: text(8), meaning: text(200), risk: z.boolean() });
export type Letter = z.infer<typeof Letter>;

export const ObjectReading = z.strictObject({
  object: ObjectFact,
  attributes: z.array(AttributeReading).max(128),
  /** Asked for, and not answered. */
  unanswered: z.array(text(64)).max(128),
  /** Never asked for, because they could be secret. */
  withheld: z.array(text(64)).max(32),
  /** The attributes of a key that verdicts are made of; null for anything that is no key. */
  key: KeyAttributes.nullable(),
  /** CKA_WRAP_WITH_TRUSTED, CKA_TRUSTED, CKA_ALWAYS_AUTHENTICATE: null where the token does not answer. */
  trust: z.strictObject({ wrapWithTrusted: z.boolean().nullable(), trusted: z.boolean().nullable(), alwaysAuthenticate: z.boolean().nullable() }),
  letters: z.array(Letter).max(32),
  /** SubjectPublicKeyInfo of a public key or a certificate, base64url, and its SHA-256; null where there is none to be had. */
  publicKey: z.strictObject({ label: text(64), spki: z.string().max(16_000), sha256: hex(64) }).nullable(),
  certificate: z.strictObject({ subject: text(1000), issuer: text(1000), serialNumber: text(64), notBefore: text(32), notAfter: text(32) }).nullable(),
});
export type ObjectReading = z.infer<typeof ObjectReading>;

/** How a token's objects are come by: the conductor asks the device process, a command in the terminal the conductor. */
export interface Listing<R extends ObjectReading> {
  readonly page: (offset: number, limit: number) => Promise<{ readonly total: number; readonly objects: readonly ObjectFact[]; readonly loggedIn: boolean }>;
  readonly object: (place: ObjectPlace) => Promise<R>;
}

/** As much as one request may ask for. */
const FULL_PAGE = 500;

/** Every key and certificate of a token in full, how many objects could not be read, and these and all `rest` as they are listed. */
export async function everyObject<R extends ObjectReading>({ page, object }: Listing<R>): Promise<{ readonly readings: readonly R[]; readonly rest: readonly ObjectFact[]; readonly unreadable: number; readonly loggedIn: boolean }> {
  const readings: R[] = [];
  const rest: ObjectFact[] = [];
  let unreadable = 0;
  for (let offset = 0; ; offset += FULL_PAGE) {
    const { total, objects, loggedIn } = await page(offset, FULL_PAGE);
    for (const [i, fact] of objects.entries()) {
      if (fact.class === 'unreadable') unreadable += 1;
      if (fact.class === 'unreadable' || fact.class === 'data' || fact.class === 'other') rest.push(fact);
      else readings.push(await object({ position: offset + i, object: fact }));
    }
    if (offset + FULL_PAGE >= total) return { readings, rest, unreadable, loggedIn };
  }
}

/** `value`: true/false, a number or a CKO_, CKK_ or CKM_ name, text, hex, or YYYYMMDD, as the attribute's kind asks. */
export const AttributeWanted = z.strictObject({ attribute: text(64), value: text(4000) });
export type AttributeWanted = z.infer<typeof AttributeWanted>;

/** A public key of a token as a scan sees it. `spki` null: it could not be read, and `findings` says why. */
export const ScannedKey = z.strictObject({
  position: count, object: ObjectFact, label: text(64), spki: z.string().max(16_000).nullable(),
  findings: z.array(z.strictObject({ rule: text(64), expected: text(500), found: text(500), next: text(500) })).max(32),
});
export type ScannedKey = z.infer<typeof ScannedKey>;

/** A CKR_* (or a name of this program's own) in plain words. */
export const Explanation = z.strictObject({ code: text(64), number: count.nullable(), what: text(500), next: text(500), nothingDone: z.boolean() });
export type Explanation = z.infer<typeof Explanation>;
