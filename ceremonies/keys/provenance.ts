/**
 * Where a key on a token comes from, and what its attributes allow that they should not. For reading an estate, and for
 * judging a template before a key is made with it.
 *
 * Attributes are the token's word: no conclusion here is worth more than `reported`, and none replaces an attestation. Two
 * things the attributes can never tell: an imported key from an unwrapped one (both are created with LOCAL, ALWAYS_SENSITIVE
 * and NEVER_EXTRACTABLE false), and an object from its copy (C_CopyObject keeps all three). The words say so.
 *
 * Sources: PKCS#11 3.1 sections 4.8 to 4.10 (attributes), 5.7.1 to 5.7.2 (create, copy), 5.18.1 to 5.18.5 (generate, wrap,
 * unwrap, derive); J. Clulow, "On the Security of PKCS #11", CHES 2003; S. Delaune, S. Kremer, G. Steel, "Formal Analysis of
 * PKCS#11", CSF 2008; M. Bortolozzo et al., "Attacking and Fixing PKCS#11 Security Tokens", CCS 2010; SP 800-57 Part 1 Rev. 5
 * section 5.2.
 */
import type { KeyAttributes, Proof } from '../evidence.ts';
import { refuse, type Refusal } from '../refusal.ts';

// --- provenance ----------------------------------------------------------------------------------------------------------

/** `brought-in`: imported or unwrapped. `derived`: made on the token from another key. */
export type Origin = 'generated' | 'imported' | 'brought-in' | 'derived' | 'unknown';

export interface Conclusion {
  readonly claim: 'origin' | 'extraction' | 'reading';
  readonly words: string;
  /** The attributes it rests on, with their values. */
  readonly why: string;
  readonly proof: Proof;
}

export interface Provenance {
  readonly origin: Origin;
  /** The origin first, then what may have left the token, then who may have read it. Public keys have the first only. */
  readonly conclusions: readonly Conclusion[];
  /** What the token says that cannot all be true, by rule name. With one, believe none of it before asking the vendor. */
  readonly contradictions: readonly Refusal[];
}

export const ORIGIN_WORDS: Readonly<Record<Origin, string>> = {
  generated: 'generated on this token',
  imported: 'imported',
  'brought-in': 'imported or unwrapped: not generated on this token',
  derived: 'derived on this token from another key',
  unknown: 'unknown',
};

const ASK = 'Do not rely on what this token says of the key. Ask the vendor, or make the key anew and watch it.';

/** The verdict on one key, from what its token says of it. `null` attributes are ones the token does not answer for. */
export function provenanceOf(key: KeyAttributes): Provenance {
  const origin = originOf(key);
  const conclusions: Conclusion[] = [{ claim: 'origin', words: originWords(key, origin), why: said(key, 'local', 'generatedBy', 'alwaysSensitive', 'neverExtractable'), proof: 'reported' }];
  if (key.class !== 'public-key') {
    conclusions.push(
      { claim: 'extraction', words: extractionWords(key, origin), why: said(key, 'extractable', 'neverExtractable'), proof: 'reported' },
      { claim: 'reading', words: readingWords(key, origin), why: said(key, 'sensitive', 'alwaysSensitive'), proof: 'reported' },
    );
  }
  return { origin, conclusions, contradictions: contradictionsOf(key) };
}

function originOf({ class: kind, local, generatedBy, alwaysSensitive, neverExtractable }: KeyAttributes): Origin {
  // Section 4.8: LOCAL is true for what was generated here, and for its copies; then there is a generation mechanism.
  if (local === true) return 'generated';
  if (local === null) return 'unknown';
  if (generatedBy !== null) return 'unknown';
  if (kind === 'public-key') return 'imported'; // nothing unwraps or derives a public key
  // Create and unwrap force both to false (sections 5.7.1, 5.18.4); only derivation takes them over from the base key (5.18.5).
  if (alwaysSensitive === true || neverExtractable === true) return kind === 'secret-key' ? 'derived' : 'unknown';
  return 'brought-in';
}

function originWords(key: KeyAttributes, origin: Origin): string {
  switch (origin) {
    case 'generated': return `${ORIGIN_WORDS.generated}${key.generatedBy === null ? '' : ` by ${key.generatedBy}`}. A copy made on the token says the same.`;
    case 'imported': return 'imported: the public key came from outside.';
    case 'brought-in': return `${ORIGIN_WORDS['brought-in']}. It has been outside, in plain or wrapped; its attributes cannot tell which, nor who else has it.`;
    case 'derived': return `${ORIGIN_WORDS.derived}: only a derived key keeps the other's history without being local.`;
    case 'unknown': return key.local === null ? 'unknown: the token does not say whether it made the key.' : 'unknown: what the token says cannot all be true.';
  }
}

function extractionWords({ extractable, neverExtractable }: KeyAttributes, origin: Origin): string {
  if (extractable === true) return 'It may leave the token wrapped.';
  if (neverExtractable === true && extractable === false) return 'It could never leave the token.';
  if (extractable === false && neverExtractable === false) {
    return origin === 'generated'
      ? 'It cannot leave the token now, but it could once: there may be wrapped copies.'
      : 'It cannot leave this token now. Of the time before it came here, nothing is known.';
  }
  return extractable === false ? 'It cannot leave the token now. Whether it ever could, the token does not say.' : 'Whether it may leave the token, the token does not say.';
}

function readingWords({ sensitive, alwaysSensitive, extractable }: KeyAttributes, origin: Origin): string {
  // Section 4.9: the value is withheld where SENSITIVE is true or EXTRACTABLE is false.
  if (sensitive === false && extractable !== false) return 'Whoever is logged in may read its value in plain.';
  if (alwaysSensitive === true && sensitive === true) return 'Its value could never be read in plain.';
  if (sensitive === true && alwaysSensitive === false) {
    return origin === 'generated' ? 'Its value cannot be read now, but it could once.' : 'Its value cannot be read now. Before it came here it may have been.';
  }
  return sensitive === null ? 'Whether its value may be read in plain, the token does not say.' : 'Its value cannot be read now. Whether it ever could, the token does not say.';
}

/** Combinations that PKCS#11 excludes. */
function contradictionsOf(key: KeyAttributes): Refusal[] {
  const { class: kind, local, generatedBy, sensitive, extractable, alwaysSensitive, neverExtractable } = key;
  const found: Refusal[] = [];
  const contradiction = (rule: string, expected: string, ...of: readonly Said[]): number => found.push(refuse(rule, expected, said(key, ...of), ASK));
  if (local === true && generatedBy === null) contradiction('PROVENANCE-LOCAL', 'a generation mechanism with LOCAL true', 'local', 'generatedBy');
  if (local === false && generatedBy !== null) contradiction('PROVENANCE-LOCAL', 'no generation mechanism with LOCAL false', 'local', 'generatedBy');
  if (generatedBy !== null && !generates(generatedBy, key.keyType)) contradiction('PROVENANCE-MECHANISM', `a mechanism that generates ${key.keyType}`, 'generatedBy');
  if (kind === 'public-key') return found;
  if (neverExtractable === true && extractable === true) contradiction('PROVENANCE-NEVER-EXTRACTABLE', 'EXTRACTABLE false with NEVER_EXTRACTABLE true', 'extractable', 'neverExtractable');
  if (alwaysSensitive === true && sensitive === false) contradiction('PROVENANCE-ALWAYS-SENSITIVE', 'SENSITIVE true with ALWAYS_SENSITIVE true', 'sensitive', 'alwaysSensitive');
  if (kind === 'private-key' && local === false && (alwaysSensitive === true || neverExtractable === true)) {
    contradiction('PROVENANCE-HISTORY', 'ALWAYS_SENSITIVE and NEVER_EXTRACTABLE false for a private key that was not generated here', 'local', 'alwaysSensitive', 'neverExtractable');
  }
  return found;
}

/** The key types of which a generation mechanism's name speaks; of others nothing is claimed, nor of vendors' numbers. */
const GENERATES: ReadonlyMap<string, RegExp> = new Map([
  ['CKK_RSA', /^CKM_RSA_/], ['CKK_EC', /^CKM_EC(DSA)?_KEY_/], ['CKK_EC_EDWARDS', /^CKM_EC_EDWARDS_/], ['CKK_EC_MONTGOMERY', /^CKM_EC_MONTGOMERY_/], ['CKK_AES', /^CKM_AES_/],
  ['CKK_ML_DSA', /^CKM_ML_DSA_/], ['CKK_ML_KEM', /^CKM_ML_KEM_/], ['CKK_SLH_DSA', /^CKM_SLH_DSA_/], ['CKK_HSS', /^CKM_HSS_/], ['CKK_XMSS', /^CKM_XMSS_/], ['CKK_XMSSMT', /^CKM_XMSSMT_/],
]);

/** A secret key may also be made from a password (CKM_PKCS5_PBKD2, CKM_PBE_*), so only a mechanism that names another type is at odds. */
function generates(mechanism: string, keyType: string): boolean {
  const own = GENERATES.get(keyType);
  if (own === undefined || own.test(mechanism)) return true;
  return ![...GENERATES.values()].some((other) => other.test(mechanism));
}

type Said = 'local' | 'generatedBy' | 'sensitive' | 'alwaysSensitive' | 'extractable' | 'neverExtractable';
const ATTRIBUTE: Readonly<Record<Said, string>> = {
  local: 'LOCAL', generatedBy: 'KEY_GEN_MECHANISM', sensitive: 'SENSITIVE', alwaysSensitive: 'ALWAYS_SENSITIVE', extractable: 'EXTRACTABLE', neverExtractable: 'NEVER_EXTRACTABLE',
};

function said(key: KeyAttributes, ...attributes: readonly Said[]): string {
  return attributes.map((name) => `${ATTRIBUTE[name]} ${key[name] === null ? (name === 'generatedBy' ? 'none' : 'not told') : String(key[name])}`).join(', ');
}

// --- risks ---------------------------------------------------------------------------------------------------------------

export interface Risk {
  readonly rule: (typeof RISKS)[number];
  /** `danger`: it breaks what the key is for. `caution`: it depends on something that is not known, or not used. */
  readonly weight: 'danger' | 'caution';
  readonly why: string;
  readonly next: string;
}

/** Every rule of `risksOf`, in its order. */
export const RISKS = [
  'KEY-WRAP-DECRYPT', 'KEY-UNWRAP-ENCRYPT', 'KEY-SIGN-DECRYPT', 'KEY-SIGN-DERIVE', 'KEY-NOT-SENSITIVE', 'KEY-EXTRACTABLE', 'KEY-TRUSTED-EXTRACTABLE', 'KEY-STATEFUL-COPY', 'KEY-NOT-PRIVATE', 'KEY-MODIFIABLE',
] as const;

/** Attributes of a key, or a template for one, with those that KeyAttributes does not have. */
export interface Judgeable extends KeyAttributes {
  /** CKA_WRAP_WITH_TRUSTED: only keys that the SO marked CKA_TRUSTED wrap it. Absent or null: not told. */
  readonly wrapWithTrusted?: boolean | null;
  /** CKA_TRUSTED: the SO lets it wrap what asks for that. Absent or null: not told. */
  readonly trusted?: boolean | null;
}

const STATEFUL: readonly string[] = ['CKK_HSS', 'CKK_XMSS', 'CKK_XMSSMT'];

/** Is it a key that signs a limited number of times? PKCS#11 3.2 has an attribute for how many are left of HSS keys alone. */
export function isStatefulKey({ keyType }: Pick<KeyAttributes, 'keyType'>): boolean {
  return STATEFUL.includes(keyType);
}

/**
 * Why these attributes are dangerous; empty where no combination is. Public keys have no risks of their own. `null` never
 * makes a danger: the token did not answer.
 */
export function risksOf(key: Judgeable): Risk[] {
  if (key.class === 'public-key') return [];
  const risks: Risk[] = [];
  const risk = (rule: Risk['rule'], weight: Risk['weight'], why: string, next: string): number => risks.push({ rule, weight, why, next });
  const stateful = isStatefulKey(key);
  if (key.wrap === true && key.decrypt === true) {
    risk('KEY-WRAP-DECRYPT', 'danger', 'Whoever may use it can wrap another key with it and then decrypt the result: every extractable key on the token can be read in plain (Clulow 2003, section 3.2).',
      'Make two keys, one that only wraps and one that only decrypts. Clear DECRYPT on this one if it is modifiable, else replace it.');
  }
  if (key.unwrap === true && key.encrypt === true) {
    risk('KEY-UNWRAP-ENCRYPT', 'danger', 'Whoever may use it can encrypt a key of their own choice with it and unwrap the result: a key that they know then lies on the token like a genuine one, and whatever it wraps they can read (Delaune, Kremer, Steel 2008).',
      'Make two keys, one that only unwraps and one that only encrypts. Clear ENCRYPT on this one if it is modifiable, else replace it.');
  }
  if (key.keyType === 'CKK_RSA' && key.sign === true && key.decrypt === true) {
    risk('KEY-SIGN-DECRYPT', 'danger', 'For RSA, decrypting and signing are the same operation: whoever gets something decrypted with it can get a signature made, and the other way round.',
      'Use one key to sign and another to decrypt. Clear the usage that is not needed.');
  }
  if (key.keyType === 'CKK_EC' && key.sign === true && key.derive === true) {
    risk('KEY-SIGN-DERIVE', 'caution', 'One key for signatures and for key agreement: a weakness of one use reaches the other, and the two must be replaced at different times.',
      'Use one key to sign and another to agree on keys. Clear the usage that is not needed.');
  }
  if (key.sensitive === false) {
    if (key.extractable === false) risk('KEY-NOT-SENSITIVE', 'caution', 'Only EXTRACTABLE false keeps its value from being read in plain.', 'Set SENSITIVE true; that can be done at any time, and not be undone.');
    else risk('KEY-NOT-SENSITIVE', 'danger', 'Whoever is logged in can read its value in plain, and so can every program that runs in that session.', 'Set SENSITIVE true. Treat the key as known to all who have been logged in, and replace it.');
  }
  if (key.extractable === true && key.wrapWithTrusted !== true) {
    const trusted = key.wrapWithTrusted === false ? 'with any key that may wrap, also one that they have just brought along' : 'with any key that may wrap, unless WRAP_WITH_TRUSTED is set, which the token does not say';
    risk('KEY-EXTRACTABLE', key.wrapWithTrusted === false ? 'danger' : 'caution', `Those who are logged in can take it out wrapped, ${trusted}.`,
      'Set EXTRACTABLE false once the backup is proven; that cannot be undone. Where it must stay extractable, make it with WRAP_WITH_TRUSTED true and mark the one wrapping key TRUSTED.');
  }
  if (key.trusted === true && key.extractable === true) {
    risk('KEY-TRUSTED-EXTRACTABLE', 'danger', 'Keys with WRAP_WITH_TRUSTED are as safe as this one, and it may itself leave the token: whoever opens its copy elsewhere opens all that it wrapped.',
      'Make trusted wrapping keys with EXTRACTABLE false. Have the SO take the mark from this one, and replace it.');
  }
  if (stateful && key.extractable === true) {
    risk('KEY-STATEFUL-COPY', 'danger', 'A hash-based key must never sign twice in the same state. With a copy elsewhere it will, and then anybody can forge its signatures (SP 800-208 section 8.1).',
      'Take it out of use. Make a new one that is not extractable, on the token that will sign.');
  }
  if (key.private === false) {
    risk('KEY-NOT-PRIVATE', 'danger', 'Every program that reaches the token can use it without a PIN.', 'Make it with PRIVATE true. Copy this one to a private object and destroy it, or replace it.');
  }
  if (key.modifiable === true) {
    const why = key.class === 'private-key'
      ? 'Whoever is logged in can give it other usages, another label and another id: a signing key can be made to decrypt, and one key be passed off as another.'
      : 'Whoever is logged in can give it other usages: a key that only wraps can be made to decrypt what it wrapped.';
    risk('KEY-MODIFIABLE', key.class === 'private-key' ? 'danger' : 'caution', why, 'Make keys with MODIFIABLE false. A copy of this one can be made with it (C_CopyObject), and this one destroyed.');
  }
  return risks;
}
