/**
 * What is special about a module, as data: quirks/*.json, checked here, chosen by what the module says of itself.
 *
 * Code asks "does this token wrap that kind of key?", never "is this SoftHSM?". A module without a file of its own gets
 * standard.json. Data cannot grant what a token does not list: mechanisms are still looked up in the token's own list.
 */
import * as z from 'zod';
import { ALGORITHMS } from '../../ceremonies/keys/algorithms.ts';
import cryptoki from './cryptoki.json' with { type: 'json' };
import nss from './quirks/nss.json' with { type: 'json' };
import opensc from './quirks/opensc.json' with { type: 'json' };
import softhsm2 from './quirks/softhsm2.json' with { type: 'json' };
import software from './quirks/software.json' with { type: 'json' };
import standard from './quirks/standard.json' with { type: 'json' };

const mechanism = z.string().refine((name) => name in cryptoki.CKM, 'a mechanism of cryptoki.json');
const keyType = z.string().refine((name) => name in cryptoki.CKK, 'a key type of cryptoki.json');

export const Quirks = z.strictObject({
  about: z.string(),
  /** Beginning of CK_INFO.manufacturerID; absent for files that are not chosen by it. */
  manufacturer: z.string().min(4).optional(),
  /**
   * How a token is told from others. `label`: the module gives every token the same serial number, so `label:` and its label
   * stand for one; two tokens of one label are then refused like two of one serial number. Default: serial.
   */
  identity: z.enum(['serial', 'label']).default('serial'),
  /** Mechanisms that do RFC 5649 (AES key wrap with padding) on this module, best first. */
  keyWrap: z.array(mechanism).min(1),
  /** How CKA_EC_PARAMS names an Edwards curve: by OID, or by PrintableString. */
  edwardsParameters: z.enum(['oid', 'name']),
  /** Where X25519 goes by other numbers and another name of its curve than the standard gives. */
  montgomery: z.strictObject({ keyType, generate: mechanism, parameters: z.enum(['oid', 'name']) })
    .default({ keyType: 'CKK_EC_MONTGOMERY', generate: 'CKM_EC_MONTGOMERY_KEY_PAIR_GEN', parameters: 'oid' }),
  /** How a public Edwards or Montgomery key is given to the module: as it is, or in an OCTET STRING as a point of another curve. */
  edwardsPoint: z.enum(['raw', 'octet-string']).default('octet-string'),
  /** The hash with which the module does RSAES-OAEP. */
  oaepHash: z.enum(['SHA-1', 'SHA-256']).default('SHA-256'),
  /** Key types that the module does not wrap, or wraps so that nothing gets them back, with the words to show. */
  notWrappable: z.record(keyType, z.string().max(150)),
  /** False: C_UnwrapKey takes no template with CKA_MODIFIABLE false. */
  unwrapsUnmodifiable: z.boolean().default(true),
  /** Algorithms that the module lists and whose keys are not to be made on it, by registry name, with the words to show. */
  notGenerated: z.record(z.string().refine((name) => name in ALGORITHMS, 'an algorithm of the registry'), z.string().max(150)).default({}),
  /** The largest secret key, in bytes, that comes back out of C_UnwrapKey. Absent: no limit known. */
  largestSecret: z.int().min(32).optional(),
  /**
   * Whether the module fills up what it wraps with zeros to a multiple of eight bytes, before RFC 5649 counts them. Then
   * only DER says where the bytes end; every reader of an unwrapped key must stop there.
   */
  padsWrapped: z.boolean().default(false),
  /** Whether there is one token key per class and CKA_ID: the next silently takes its place, or fails without saying why. */
  oneKeyPerId: z.boolean().default(false),
  /** Attributes that the module says are false without knowing: their false counts as no answer. */
  unanswered: z.array(z.enum(['CKA_LOCAL', 'CKA_SENSITIVE', 'CKA_ALWAYS_SENSITIVE', 'CKA_NEVER_EXTRACTABLE'])).default([]),
  /** False where a key pair that is to live in the session is made on the token all the same: then none is asked for. */
  sessionKeyPairs: z.boolean().default(true),
  /** Whether texts are read as C strings, whatever length they are given with: up to the first zero, and beyond the end without one. */
  cStrings: z.boolean().default(false),
  /** Bytes of the longest label of a data object that is not silently cut. Absent: no limit known. */
  longestLabel: z.int().min(32).optional(),
  /** What the flags of a mechanism should have been, where the module reports others. */
  mechanismFlags: z.record(mechanism, z.array(z.string().refine((name) => name in cryptoki.CKF_MECHANISM))).default({}),
  /**
   * Numbers of the vendor's own, from before the standard had any. One holds on a token that lists it and does not list the
   * standard's; that of a key type CKK_X where that of CKM_X_KEY_PAIR_GEN holds.
   */
  numbers: z.record(z.union([mechanism, keyType]), z.int().min(0).max(0xffffffff)).default({}),
  /** Tokens whose PIN a stand-in may type: every one of the module, none, or those whose label begins so. */
  rehearsal: z.union([z.enum(['always', 'never']), z.strictObject({ labelPrefix: z.string().min(4) })]),
  /** Whether blank tokens may be made on the module's free slot. */
  provisions: z.boolean(),
});
export type Quirks = z.infer<typeof Quirks>;

const CHOICES = [softhsm2, nss, opensc].map((data) => Quirks.parse(data));
const STANDARD = Quirks.parse(standard);

/** Of the embedded software token. */
export const SOFTWARE_QUIRKS = Quirks.parse(software);

/** The quirks of a module whose CK_INFO names this manufacturer. */
export function quirksOf(manufacturer: string): Quirks {
  return CHOICES.find((quirks) => quirks.manufacturer !== undefined && manufacturer.startsWith(quirks.manufacturer)) ?? STANDARD;
}

/** Whether the stand-in PIN of rehearsals may be typed into a token with this label. */
export function isRehearsalToken(quirks: Quirks, label: string): boolean {
  if (quirks.rehearsal === 'always') return true;
  if (quirks.rehearsal === 'never') return false;
  return label.startsWith(quirks.rehearsal.labelPrefix);
}

/** Standard number <-> the number that one token goes by. */
export interface Numbers {
  readonly mechanism: Translation;
  readonly keyType: Translation;
}
interface Translation {
  /** The token's number for a standard one. */
  readonly to: (standard: number) => number;
  /** The standard number for one of the token's. */
  readonly from: (own: number) => number;
}

/** The numbers of a token that lists these mechanisms. */
export function numbersOf(quirks: Quirks, listed: readonly number[]): Numbers {
  const holds = (name: string): boolean => {
    const own = quirks.numbers[name];
    const official = (cryptoki.CKM as Readonly<Record<string, number>>)[name];
    return own !== undefined && official !== undefined && listed.includes(own) && !listed.includes(official);
  };
  const translation = (table: Readonly<Record<string, number>>, applies: (name: string) => boolean): Translation => {
    const pairs = Object.entries(quirks.numbers).flatMap(([name, own]) => (name in table && applies(name) ? [[table[name]!, own] as const] : []));
    const to = new Map(pairs);
    const from = new Map(pairs.map(([official, own]) => [own, official]));
    return { to: (number) => to.get(number) ?? number, from: (number) => from.get(number) ?? number };
  };
  return {
    mechanism: translation(cryptoki.CKM, holds),
    keyType: translation(cryptoki.CKK, (name) => holds(`${name.replace('CKK_', 'CKM_')}_KEY_PAIR_GEN`)),
  };
}
