/**
 * Two tokens beside each other: a backup and its original, the two of a cluster, a clone. Which keys are on both, with which
 * attributes, and which only seem to be.
 *
 * A key is the same one by what it is, never by what it is called: by the fingerprint of its public half, or by its check value
 * where both were made by one method. A label or an id in common proves nothing, and with different keys behind it is a
 * finding of its own. What cannot be compared is said to be so, and then no verdict says that the tokens are alike. All of
 * this is the tokens' word: a public half is taken for a private key's where their CKA_ID is the same.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { fromHex, toHex } from '../bytes.ts';
import type { ObjectReading } from '../estate.ts';
import type { ObjectFact } from '../evidence.ts';
import { refuse, type Refusal } from '../refusal.ts';

/** What makes a key this key. */
export interface Likeness {
  /** In words; values of different methods are never compared. */
  readonly method: string;
  /** Hex. */
  readonly value: string;
}

export interface DescribedKey {
  readonly object: ObjectFact;
  /** Null: the token tells nothing by which it could be known again; `why` says what is missing. */
  readonly likeness: Likeness | null;
  readonly why: string;
  /** By PKCS#11 name, as text; null where the token does not answer. */
  readonly attributes: Readonly<Record<string, string | null>>;
}

/** One of the two tokens. */
export interface Side {
  readonly name: string;
  readonly keys: readonly DescribedKey[];
  /** What could not be looked at, in words; with anything here the tokens are never called alike. */
  readonly notSeen: readonly string[];
}

export interface Difference {
  readonly attribute: string;
  readonly left: string | null;
  readonly right: string | null;
  /** It tells how the key came to its token. Every restored copy differs in these (PKCS#11 sections 5.7.1, 5.18.4). */
  readonly history: boolean;
}

export interface Pair {
  /** `other-key`: called the same, and not the same key. `unproven`: called the same, and nothing tells whether it is. */
  readonly state: 'same' | 'differs' | 'only-left' | 'only-right' | 'other-key' | 'unproven';
  readonly left: DescribedKey | null;
  readonly right: DescribedKey | null;
  readonly differences: readonly Difference[];
}

export const COMPARISON_RULES = ['COMPARE-OTHER-KEY', 'COMPARE-MISSING', 'COMPARE-ATTRIBUTES', 'COMPARE-UNPROVEN', 'COMPARE-NOT-SEEN'] as const;

export interface Comparison {
  /** `undecided`: no difference was found, and not everything could be compared. */
  readonly verdict: 'alike' | 'different' | 'undecided';
  readonly pairs: readonly Pair[];
  /** In the order of COMPARISON_RULES. */
  readonly findings: readonly Refusal[];
}

// --- describing ------------------------------------------------------------------------------------------------------

const FINGERPRINT = 'SHA-256 of the public key';
/** Sections 6.13.2 and 6.7 on CKA_CHECK_VALUE: what it is depends on the key's type. */
const CHECK_VALUES: ReadonlyMap<string, string> = new Map([
  ['CKK_AES', 'CKA_CHECK_VALUE: 3 octets of a block of zeros, encrypted'],
  ['CKK_GENERIC_SECRET', 'CKA_CHECK_VALUE: 3 octets of SHA-1'],
]);
/** Told, and compared. What is unique to an object or to its place is left out. */
const COMPARED: readonly string[] = [
  'CKA_LABEL', 'CKA_ID', 'CKA_KEY_TYPE', 'CKA_PRIVATE', 'CKA_MODIFIABLE', 'CKA_COPYABLE', 'CKA_DESTROYABLE', 'CKA_SENSITIVE', 'CKA_EXTRACTABLE', 'CKA_WRAP_WITH_TRUSTED', 'CKA_TRUSTED',
  'CKA_ALWAYS_AUTHENTICATE', 'CKA_SIGN', 'CKA_SIGN_RECOVER', 'CKA_VERIFY', 'CKA_VERIFY_RECOVER', 'CKA_ENCRYPT', 'CKA_DECRYPT', 'CKA_WRAP', 'CKA_UNWRAP', 'CKA_DERIVE', 'CKA_ENCAPSULATE', 'CKA_DECAPSULATE',
  'CKA_ALLOWED_MECHANISMS', 'CKA_START_DATE', 'CKA_END_DATE', 'CKA_SUBJECT', 'CKA_CERTIFICATE_CATEGORY',
];
const HISTORY: readonly string[] = ['CKA_LOCAL', 'CKA_KEY_GEN_MECHANISM', 'CKA_ALWAYS_SENSITIVE', 'CKA_NEVER_EXTRACTABLE'];

/** The keys and certificates among the objects of one token, each with what it can be known by again. */
export function describeKeys(readings: readonly ObjectReading[]): DescribedKey[] {
  const halves = publicHalves(readings);
  return readings.flatMap((reading): DescribedKey[] => {
    const { object, certificate } = reading;
    if (reading.key === null && certificate === null) return [];
    const likeness = likenessOf(reading, halves);
    return [{ object, likeness, why: likeness === null ? missing(reading) : '', attributes: attributesOf(reading) }];
  });
}

/** Fingerprints by CKA_ID, where all public keys that have the id agree. */
function publicHalves(readings: readonly ObjectReading[]): ReadonlyMap<string, string> {
  const halves = new Map<string, string | null>();
  for (const { object, publicKey } of readings) {
    if (publicKey === null || object.id === '' || object.class !== 'public-key') continue;
    const before = halves.get(object.id);
    halves.set(object.id, before === undefined || before === publicKey.sha256 ? publicKey.sha256 : null);
  }
  return new Map([...halves].flatMap(([id, fingerprint]) => (fingerprint === null ? [] : [[id, fingerprint] as const])));
}

function likenessOf({ object, publicKey, attributes }: ObjectReading, halves: ReadonlyMap<string, string>): Likeness | null {
  const told = (name: string) => attributes.find((one) => one.name === name)?.hex ?? '';
  switch (object.class) {
    case 'certificate': return told('CKA_VALUE') === '' ? null : { method: 'SHA-256 of the certificate', value: toHex(sha256(fromHex(told('CKA_VALUE')))) };
    case 'secret-key': {
      const method = CHECK_VALUES.get(object.keyType);
      return method === undefined || told('CKA_CHECK_VALUE').length !== 6 ? null : { method, value: told('CKA_CHECK_VALUE') };
    }
    case 'private-key': case 'public-key': {
      const value = publicKey?.sha256 ?? halves.get(object.id);
      return value === undefined ? null : { method: FINGERPRINT, value };
    }
    case 'data': case 'other': case 'unreadable': return null;
  }
}

function missing({ object: { class: kind, keyType } }: ObjectReading): string {
  if (kind === 'secret-key') return CHECK_VALUES.has(keyType) ? 'the token tells no check value of it' : `no check value of ${keyType} is known here`;
  return kind === 'private-key' ? 'the token has no public half of the same CKA_ID' : 'its public values cannot be read';
}

function attributesOf({ attributes, unanswered }: ObjectReading): Record<string, string | null> {
  return Object.fromEntries([...COMPARED, ...HISTORY].flatMap((name): [string, string | null][] => {
    const told = attributes.find((one) => one.name === name);
    return told !== undefined ? [[name, told.text ?? told.hex]] : unanswered.includes(name) ? [[name, null]] : [];
  }));
}

// --- comparing -------------------------------------------------------------------------------------------------------

const identityOf = ({ object, likeness }: DescribedKey): string | null => (likeness === null ? null : JSON.stringify([object.class, likeness.method, likeness.value]));
const calledAlike = (one: DescribedKey, other: DescribedKey): boolean =>
  one.object.class === other.object.class && ((one.object.label !== '' && one.object.label === other.object.label) || (one.object.id !== '' && one.object.id === other.object.id));

/** Everything that differs between two tokens. */
export function compareTokens(left: Side, right: Side): Comparison {
  const pairs: Pair[] = [];
  const [restLeft, restRight] = [new Set(left.keys), new Set(right.keys)];
  const take = (one: DescribedKey, other: DescribedKey, state: Pair['state'] | null): void => {
    const differences = differencesOf(one, other);
    pairs.push({ state: state ?? (differences.some(({ history }) => !history) ? 'differs' : 'same'), left: one, right: other, differences });
    restLeft.delete(one);
    restRight.delete(other);
  };
  // The same key first; of several copies, those that are also called alike.
  const byIdentity = new Map<string, DescribedKey[]>();
  for (const key of right.keys) {
    const identity = identityOf(key);
    if (identity !== null) byIdentity.set(identity, [...byIdentity.get(identity) ?? [], key]);
  }
  for (const sure of [true, false]) {
    for (const one of [...restLeft]) {
      const copies = byIdentity.get(identityOf(one) ?? '') ?? [];
      const other = copies.find((copy) => restRight.has(copy) && (!sure || calledAlike(one, copy)));
      if (other !== undefined) take(one, other, null);
    }
  }
  // Then what is only called the same.
  const byName = new Map<string, DescribedKey[]>();
  const names = ({ object: { class: kind, id, label } }: DescribedKey) => [...label === '' ? [] : [JSON.stringify([kind, 'label', label])], ...id === '' ? [] : [JSON.stringify([kind, 'id', id])]];
  for (const key of restRight) for (const name of names(key)) byName.set(name, [...byName.get(name) ?? [], key]);
  for (const one of [...restLeft]) {
    const other = names(one).flatMap((name) => byName.get(name) ?? []).find((key) => restRight.has(key));
    if (other !== undefined) take(one, other, one.likeness !== null && other.likeness !== null && one.likeness.method === other.likeness.method ? 'other-key' : 'unproven');
  }
  for (const key of restLeft) pairs.push({ state: 'only-left', left: key, right: null, differences: [] });
  for (const key of restRight) pairs.push({ state: 'only-right', left: null, right: key, differences: [] });

  const findings = [...pairs.flatMap((pair) => findingOf(pair, left.name, right.name) ?? []), ...notSeen(left), ...notSeen(right)]
    .sort((a, b) => COMPARISON_RULES.findIndex((rule) => rule === a.rule) - COMPARISON_RULES.findIndex((rule) => rule === b.rule));
  const open: readonly string[] = ['COMPARE-UNPROVEN', 'COMPARE-NOT-SEEN'];
  return { verdict: findings.length === 0 ? 'alike' : findings.every(({ rule }) => open.includes(rule)) ? 'undecided' : 'different', pairs, findings };
}

function differencesOf(one: DescribedKey, other: DescribedKey): Difference[] {
  return [...new Set([...Object.keys(one.attributes), ...Object.keys(other.attributes)])].flatMap((attribute) => {
    const [left, right] = [one.attributes[attribute] ?? null, other.attributes[attribute] ?? null];
    // What one of the two does not tell is no difference, and no agreement either: there is nothing to say.
    return left === right || left === null || right === null ? [] : [{ attribute, left, right, history: HISTORY.includes(attribute) }];
  });
}

function findingOf({ state, left, right, differences }: Pair, leftName: string, rightName: string): Refusal | null {
  switch (state) {
    case 'same': return null;
    case 'differs': return refuse('COMPARE-ATTRIBUTES', `${named(left)}: the same attributes on both`, differences.filter(({ history }) => !history).map((one) => `${one.attribute} ${one.left ?? ''} on ${leftName}, ${one.right ?? ''} on ${rightName}`).join('; '),
      'Decide which of the two is right. A key that is guarded less on one token is guarded less altogether.');
    case 'only-left': return absent(left, leftName, rightName);
    case 'only-right': return absent(right, rightName, leftName);
    case 'other-key': return refuse('COMPARE-OTHER-KEY', `${named(left)}: one key under this name`, `${left?.likeness?.value ?? ''} on ${leftName}, ${right?.likeness?.value ?? ''} on ${rightName} (${left?.likeness?.method ?? ''})`,
      'These are two keys: neither is a copy of the other. Do not rely on either as a backup, and rename one.');
    case 'unproven': return refuse('COMPARE-UNPROVEN', `${named(left)}: something by which it can be known again`, [left, right].flatMap((key, i) => (key === null || key.why === '' ? [] : [`${i === 0 ? leftName : rightName}: ${key.why}`])).join('; ') || `${left?.likeness?.method ?? ''} on ${leftName}, ${right?.likeness?.method ?? ''} on ${rightName}`,
      'They are called the same, and that is all that is known. Use both for the same thing and compare the results.');
  }
}

function absent(key: DescribedKey | null, here: string, there: string): Refusal {
  const why = key === null || key.why === '' ? '' : ` Whether it is there under another name cannot be told: ${key.why}.`;
  return refuse('COMPARE-MISSING', `${named(key)} on both`, `on ${here} only, not on ${there}`, `Restore it there, or say why it is not to be there.${why}`);
}

function notSeen({ name, notSeen: what }: Side): Refusal[] {
  return what.map((one) => refuse('COMPARE-NOT-SEEN', `everything on ${name}`, one, 'Log in on both tokens, and compare again.'));
}

function named(key: DescribedKey | null): string {
  if (key === null) return '';
  const { class: kind, label, id } = key.object;
  return `${kind}${label === '' ? '' : ` "${label}"`}${id === '' ? '' : ` ${id}`}`.slice(0, 200);
}
