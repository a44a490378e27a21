/**
 * The inventory beside what tokens hold now. Whatever differs is a finding with a next step; nothing is ever taken over from a
 * token into the inventory, because what no record explains is exactly what somebody has to be asked about.
 *
 * All of it is the tokens' word, and only of what was looked at: what could not be seen is said, and is neither there nor gone.
 */
import { stands } from './destruction.ts';
import type { ObjectReading } from './estate.ts';
import type { KeyAttributes, ObjectFact } from './evidence.ts';
import { explainedObjects, type Holding, type Inventory, type InventoryFinding } from './inventory.ts';
import { describeKeys } from './keys/compare.ts';
import { refuse } from './refusal.ts';

/** One token, as it was listed. */
export interface TokenNow {
  readonly module: string;
  readonly token: string;
  readonly label: string;
  readonly loggedIn: boolean;
  /** Keys and certificates in full. */
  readonly readings: readonly ObjectReading[];
  /** Everything else: data objects, and what could not be read. */
  readonly rest: readonly ObjectFact[];
}

export interface Reconciliation {
  readonly tokens: readonly { readonly module: string; readonly token: string; readonly label: string; readonly loggedIn: boolean; readonly objects: number; readonly explained: number }[];
  /** Each with the token that it was found on. */
  readonly findings: readonly (InventoryFinding & { readonly on: { readonly module: string; readonly token: string } })[];
  /** What was not looked at, in words. */
  readonly notSeen: readonly string[];
}

interface Seen {
  readonly fact: ObjectFact;
  readonly reading: ObjectReading | null;
  /** By which the key can be known again, where the token tells it. */
  readonly value: string | null;
}

interface Expected {
  readonly object: Holding;
  readonly key: string | null;
}

export function reconcile(inventory: Inventory, tokens: readonly TokenNow[]): Reconciliation {
  const explained = explainedObjects(inventory);
  const compared = tokens.map((token) => {
    const here = explained.filter(({ object }) => object.module === token.module && object.token === token.token);
    return { token, ...reconcileToken(inventory, token, here) };
  });
  const elsewhere = new Map<string, number>();
  for (const { object } of explained) {
    const looked = tokens.some((token) => token.module === object.module && token.token === object.token);
    const name = `token ${object.token} of module ${object.module === '' ? 'unknown' : object.module}`;
    if (!looked && stands(object)) elsewhere.set(name, (elsewhere.get(name) ?? 0) + 1);
  }
  return {
    tokens: compared.map(({ token: { module, token, label, loggedIn, readings, rest }, matched }) => ({ module, token, label, loggedIn, objects: readings.length + rest.length, explained: matched })),
    findings: compared.flatMap(({ token: { module, token }, findings }) => findings.map((finding) => ({ ...finding, on: { module, token } }))),
    notSeen: [...compared.flatMap(({ notSeen }) => notSeen), ...[...elsewhere].map(([name, count]) => `${name}: ${count} explained ${count === 1 ? 'object' : 'objects'}, because it was not looked at`)],
  };
}

function reconcileToken(inventory: Inventory, token: TokenNow, here: readonly Expected[]): { readonly findings: InventoryFinding[]; readonly notSeen: string[]; readonly matched: number } {
  const { findings, notSeen } = { findings: [] as InventoryFinding[], notSeen: [] as string[] };
  const on = `token ${token.token} (${token.label}, ${token.module})`;
  const values = new Map(describeKeys(token.readings).map(({ object, likeness }) => [object, likeness?.value ?? null]));
  const seen: Seen[] = [
    ...token.readings.map((reading) => ({ fact: reading.object, reading, value: values.get(reading.object) ?? null })),
    ...token.rest.filter((fact) => fact.class !== 'other').map((fact) => ({ fact, reading: null, value: null })),
  ];
  const others = token.rest.filter((fact) => fact.class === 'other').length;
  if (others > 0) notSeen.push(`${on}: ${others} objects that are no keys, certificates or data`);
  const visible = ({ class: kind, attributes }: Holding): boolean => token.loggedIn || (kind === 'public-key' && attributes?.private !== true) || kind === 'certificate';
  const pairs = match(here.filter(({ object }) => stands(object)), seen);
  const add = (refusal: ReturnType<typeof refuse>, { object, key }: { readonly object: Holding | null; readonly key: string | null }): void => {
    findings.push({ ...refusal, source: object?.since ?? null, keys: key === null ? [] : [key] });
  };

  for (const [expected, found] of pairs) {
    const changes = differences(expected.object, found);
    if (changes.length > 0) {
      add(refuse('CHANGED-ATTRIBUTE', `${expected.object.what} on ${on}, as entry ${expected.object.since.seq} of ${expected.object.since.ceremony} and those after it left it`, changes.join('; '),
        'Investigate who changed it. Explain it in the logbook, or stop using the key: a key that is guarded less is guarded less from then on.'), expected);
    }
  }
  let unseen = 0;
  for (const expected of here) {
    const { object } = expected;
    if (object.end !== null || pairs.has(expected)) continue;
    if (!visible(object)) unseen += 1;
    else {
      add(refuse('VANISHED-OBJECT', `${object.what} on ${on}, since entry ${object.since.seq} of ${object.since.ceremony}`, 'no such object',
        'Investigate: no record destroyed it. Until it is explained, count this copy as being in other hands, not as destroyed.'), expected);
    }
  }
  if (!token.loggedIn) notSeen.push(`${on}: private objects, because nobody is logged in${unseen > 0 ? `; the records know of ${unseen}` : ''}`);

  const matched = new Set(pairs.values());
  for (const one of seen.filter((each) => !matched.has(each))) {
    const begun = inventory.begun.find(({ names }) => names.some((name) => name !== '' && (name === one.fact.id || name === one.fact.label)));
    const was = here.find(({ object }) => !stands(object) && object.class === one.fact.class && object.id === one.fact.id && object.label === one.fact.label);
    const why = begun ? `; entry ${begun.seq} of ${begun.ceremony} had begun to make one under this name` : was ? `; entry ${was.object.end?.seq ?? ''} of ${was.object.end?.ceremony ?? ''} says that it was destroyed` : '';
    add(refuse('UNKNOWN-OBJECT', `only what a record explains on ${on}`, `${named(one.fact)}${one.value === null ? '' : `, ${one.value}`}${why}`,
      'Decide, and write it down: adopt it into a ceremony or the logbook, explain it, destroy it (conclave token destroy), or investigate who made it.'), { object: null, key: was?.key ?? null });
  }
  for (const finding of halfPairs(token, here, pairs, seen, on)) findings.push(finding);
  return { findings, notSeen, matched: matched.size };
}

/** One object for each that is expected: by class and CKA_ID (by label where there is none), then by what the key is. */
function match(expected: readonly Expected[], seen: readonly Seen[]): Map<Expected, Seen> {
  const pairs = new Map<Expected, Seen>();
  const taken = new Set<Seen>();
  const pair = (one: Expected, found: Seen | undefined): void => {
    if (found === undefined) return;
    pairs.set(one, found);
    taken.add(found);
  };
  /** By a name that both have. Of ten thousand objects not each is compared with each. */
  const take = (nameOf: (one: Seen) => string | null, wanted: (object: Holding) => string | null): void => {
    const named = Map.groupBy(seen, (one) => `${one.fact.class} ${nameOf(one) ?? ''}`);
    for (const one of expected) {
      const name = pairs.has(one) ? null : wanted(one.object);
      if (name !== null) pair(one, named.get(`${one.object.class} ${name}`)?.find((each) => !taken.has(each)));
    }
  };
  take(({ fact }) => `${fact.id} ${fact.label}`, ({ id, label }) => (id === null ? null : `${id} ${label}`));
  take(({ fact }) => fact.label, ({ id, label }) => (id === null ? label : null));
  for (const one of expected) {
    if (!pairs.has(one) && one.object.id === null && one.object.class === 'data') pair(one, seen.find((each) => !taken.has(each) && each.fact.class === 'data' && each.fact.label.startsWith(`${one.object.label}-`)));
  }
  take(({ fact }) => fact.id, ({ id }) => id);
  take(({ value }) => value, ({ check, class: kind }) => (check.value === '' || kind === 'secret-key' ? null : check.value));
  return pairs;
}

/** What a record says of the object, and what the token says now. What either does not tell is no difference. */
function differences({ class: kind, id, label, check, attributes }: Holding, { fact, reading, value }: Seen): string[] {
  const changes: string[] = [];
  const compare = (name: string, before: string | null, now: string | null): void => {
    if (before !== null && now !== null && before !== now) changes.push(`${name} was ${before}, is ${now}`);
  };
  compare('CKA_ID', id, fact.id);
  if (kind !== 'data') compare('CKA_LABEL', label, fact.label);
  // The CMAC that the logbook's check values are is made with the key itself; what is only read is compared.
  if (check.method !== 'none' && (kind !== 'secret-key' || check.method === 'CKA_CHECK_VALUE')) compare('the key itself', check.value, value);
  const now = reading?.key ?? null;
  if (attributes && now) for (const name of COMPARED) compare(`CKA_${name.replace(/[A-Z]/g, (capital) => `_${capital}`).toUpperCase()}`, told(attributes[name]), told(now[name]));
  return changes;
}

const COMPARED = [
  'keyType', 'private', 'sensitive', 'extractable', 'alwaysSensitive', 'neverExtractable', 'local', 'modifiable', 'sign', 'verify', 'encrypt', 'decrypt', 'wrap', 'unwrap', 'derive',
] as const satisfies readonly (keyof KeyAttributes)[];

function told(value: string | boolean | null): string | null {
  return value === null || value === '' ? null : String(value);
}

/** A half whose other half is not there. Of what the records know, only where the two were made as a pair. */
function halfPairs(token: TokenNow, here: readonly Expected[], pairs: ReadonlyMap<Expected, Seen>, seen: readonly Seen[], on: string): InventoryFinding[] {
  const findings: InventoryFinding[] = [];
  const add = (fact: ObjectFact, expected: Expected | null): void => {
    const missing = fact.class === 'private-key' ? 'public key' : 'private key';
    findings.push({
      ...refuse('HALF-PAIR', `both halves of the pair of ${named(fact)} on ${on}`, `no ${missing} to it`,
        fact.class === 'private-key' ? 'Investigate: try whether it still works (conclave token self-test). Then bring its public half back, or destroy it.' : 'Destroy the public half too, or find out where its private half went.'),
      source: expected?.object.since ?? null, keys: [expected?.key ?? []].flat(),
    });
  };
  const matched = new Map([...pairs].map(([expected, found]) => [found, expected]));
  const publicIds = new Set(seen.flatMap(({ fact }) => (fact.class === 'public-key' ? [fact.id] : [])));
  const halves = new Map(here.flatMap((expected) => (expected.object.pair === null ? [] : [[`${expected.object.class} ${expected.object.pair}`, expected] as const])).toReversed());
  for (const one of seen) {
    const { class: kind, id } = one.fact;
    if ((kind !== 'private-key' && kind !== 'public-key') || (kind === 'public-key' && !token.loggedIn)) continue;
    const other = kind === 'private-key' ? 'public-key' : 'private-key';
    const known = matched.get(one);
    if (known === undefined) {
      // A public key alone may be somebody else's, kept to verify with.
      if (kind === 'private-key' && !publicIds.has(id)) add(one.fact, null);
      continue;
    }
    const partner = known.object.pair === null ? undefined : halves.get(`${other} ${known.object.pair}`);
    if (partner !== undefined && !pairs.has(partner)) add(one.fact, known);
  }
  return findings;
}

function named({ class: kind, label, id }: ObjectFact): string {
  return `${kind}${label === '' ? '' : ` "${label}"`}${id === '' ? '' : ` ${id}`}`;
}
