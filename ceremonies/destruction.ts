/**
 * Verified destruction of a key: the list of its copies, and what may be said of each copy afterwards.
 *
 * A list is a file that people bring (`conclave destroy plan` makes it from the inventory). Approvals of it, and the waiting period
 * between the last of them and the first destruction, are judged in approvals.ts. A copy's level says what is known of its end, and the key's is the least of its copies': what nobody
 * could reach, or nobody knows of, is said aloud. Pure; must never claim more of a copy than somebody or something saw.
 */
import canonicalize from 'canonicalize';
import * as z from 'zod';
import { readBrought } from './brought.ts';
import { fromBase64url } from './bytes.ts';
import { KeyCheck, ObjectFact, type Evidence, type Input, type Intent } from './evidence.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';
import type { Plan, PlanStep } from './script.ts';
import { plainText } from './text.ts';

// --- the list of copies ------------------------------------------------------------------------------------------------

/** How much is known of the end of a copy: from what was asked to what people saw. */
export const LEVELS = {
  L0: 'requested',
  L1: 'observed absent by software',
  L2: 'reported absent by the device',
  L3: 'attested by a verifiable device log or certificate',
  L4: 'cryptographic erasure: every copy was wrapped under a key destroyed at L3 or better, and the copies are completely inventoried',
  L5: 'physical, before witnesses',
} as const;
export type Level = keyof typeof LEVELS;
const LEVEL_NAMES = Object.keys(LEVELS) as Level[];

/** Is a copy with this end there, as far as the records know? A request of which no outcome is `told` has ended nothing. */
export function stands({ end }: { readonly end: { readonly level: Level; readonly told?: boolean } | null }): boolean {
  return end === null || (end.level === 'L0' && end.told !== true);
}

/** Does this copy hold what must be kept secret? */
export function holdsSecret(copy: { readonly kind: string; readonly class?: string }): boolean {
  return copy.kind !== 'object' || copy.class === 'private-key' || copy.class === 'secret-key';
}

const text = (most: number) => z.string().min(1).max(most);
const date = z.string().regex(/^\d{4}-\d{2}-\d{2}$/);

export const Copy = z.strictObject({
  what: text(300),
  /** Whether it holds what must be kept secret: a public half is removed with the key, and its end proves nothing. */
  secret: z.boolean(),
  by: z.discriminatedUnion('means', [
    /** An object of a token or card, a share on a card among them. `holder`: whose card it is. */
    z.strictObject({ means: z.literal('token'), module: text(64), token: text(64), ...ObjectFact.shape, check: KeyCheck, holder: z.string().max(80).nullable() }),
    /** Ciphertext: useless once `enough` of the copies with these numbers are destroyed. */
    z.strictObject({ means: z.literal('erasure'), of: z.array(z.int().min(1).max(500)).min(1).max(300), enough: z.int().min(1).max(300) }),
    /** Paper, disks, files: by people. `physical`: before everybody in the room; else it is their word alone. */
    z.strictObject({ means: z.literal('people'), how: text(300), physical: z.boolean() }),
    /** It ends by itself on a day to come, such as a backup that others keep. */
    z.strictObject({ means: z.literal('retention'), until: date, who: text(300) }),
  ]),
});
export type Copy = z.infer<typeof Copy>;
export type OnToken = Extract<Copy['by'], { means: 'token' }>;

export const CopyList = z.strictObject({
  format: z.literal('conclave-copies/1'),
  /** Of a rehearsal's key, or of a real one: a list of the one never serves the other. */
  mode: z.enum(['rehearsal', 'real']),
  /** The key as the inventory names it. */
  key: z.strictObject({ identity: text(300), label: z.string().max(128), algorithm: text(128) }),
  copies: z.array(Copy).min(1).max(500),
  /** Copies that may be somewhere, in words. */
  unknown: z.array(text(300)).max(50),
  /** What cannot be used any more without this key, and why it is destroyed all the same. */
  dependants: z.array(text(300)).max(200),
  despite: z.string().max(300),
});
export type CopyList = z.infer<typeof CopyList>;

const BRING = 'Make the list anew with `conclave destroy plan`. Nothing was touched.';

/** Reads a list of copies. Throws `Refused` INPUT-COPIES, DEPENDANTS-NAMED, TEXT-PRINTABLE. */
export function readCopyList(bytes: Uint8Array): CopyList {
  const list = readBrought(CopyList, bytes, 'a list of copies', 'conclave-copies/1', fault);
  const said: readonly (readonly [string, string, number])[] = [
    ['label', list.key.label, 128], ['despite', list.despite, 300], ...[...list.unknown, ...list.dependants].map((words) => ['words', words, 300] as const),
    ...list.copies.flatMap(({ what, by }) => [['what', what, 300] as const, ...by.means === 'people' ? [['how', by.how, 300] as const] : [], ...by.means === 'retention' ? [['who', by.who, 300] as const] : []]),
  ];
  for (const [name, words, most] of said) {
    const unclear = words === '' ? null : plainText(name, words, most);
    if (unclear) throw new Refused(unclear);
  }
  const objects = list.copies.flatMap(({ by }) => (by.means === 'token' ? [canonicalize([by.module, by.token, by.class, by.id, by.label, by.check]) ?? ''] : []));
  if (new Set(objects).size !== objects.length) throw fault('every copy once', 'one of them twice');
  if (list.copies.some(({ by }) => by.means === 'token' && by.id === '' && by.label === '')) throw fault('a CKA_ID or a label for every object', 'neither');
  for (const [index, { by }] of list.copies.entries()) {
    if (by.means !== 'erasure') continue;
    // Only copies that something or somebody destroys by itself: no circle, and no erasure of an erasure.
    const stray = by.of.find((number) => list.copies[number - 1] === undefined || list.copies[number - 1]?.by.means === 'erasure');
    if (stray !== undefined || new Set(by.of).size !== by.of.length || by.enough > by.of.length) throw fault(`copy ${index + 1} to name the copies that it hangs on`, `${by.enough} of ${by.of.join(', ')}`);
  }
  if (!list.copies.some(({ secret }) => secret)) throw fault('at least one copy that holds the key', 'public halves only');
  if (list.dependants.length > 0 && list.despite.trim() === '') {
    throw new Refused(refuse('DEPENDANTS-NAMED', 'a key that nothing depends on, or the reason why it is destroyed all the same', list.dependants.slice(0, 5).join('; '), 'Move what depends on it to another key first; or give the reason with --despite. It stands in the record, and the approvers sign it.'));
  }
  return list;
}

function fault(expected: string, found: string): Refused {
  return new Refused(refuse('INPUT-COPIES', expected, found, BRING));
}

// --- what the record knows of it ---------------------------------------------------------------------------------------

/** `absent`: it was not there when it was to be destroyed, and no attempt of this record explains that. */
export type Result = 'destroyed' | 'not-destroyed' | 'absent' | 'left' | 'done-by-people' | 'pending';

export interface Outcome {
  readonly result: Result;
  readonly words: string;
  /** Why nobody could look for it again from a fresh process; absent where somebody could. */
  readonly unconfirmed?: string;
}

/** Why a copy cannot be asked for, by the code in the evidence: its token is away, and that is no failure of the step. */
export const AWAY: Readonly<Record<string, string>> = {
  'TOKEN_MISSING': 'its token is not here',
  'CKR_TOKEN_NOT_PRESENT': 'there is no token in its slot',
  'CKR_TOKEN_NOT_RECOGNIZED': 'what is in its slot is not recognised as a token',
  'CKR_DEVICE_REMOVED': 'its token was taken away',
  'CKR_DEVICE_ERROR': 'its token, or the connection to it, does not work',
  'CKR_PIN_LOCKED': 'the PIN of its token is locked',
  'CKR_USER_PIN_NOT_INITIALIZED': 'its token has no user PIN',
  'MODULE_MISSING': 'the library of its token is not on this machine',
  'MODULE-KNOWN': 'the library of its token is not configured on this machine',
};

/** What looking for a copy came to, in plain words; the code stays in the evidence. */
export function seenText(found: number | null, why: string): string {
  return found === null ? `cannot be asked: ${awayText(why)}` : found === 0 ? 'not there' : found === 1 ? 'there' : `${found} that fit`;
}

function awayText(why: string): string {
  return Object.hasOwn(AWAY, why) ? AWAY[why]! : `the answer was ${why}`;
}

export interface Destruction {
  /** What the opening brought; null in a ceremony that destroys nothing. */
  readonly list: CopyList | null;
  /** By copy number, counted from 1: how many objects were found; null where its token could not be asked. */
  readonly located: Readonly<Record<number, number | null>> | null;
  /** Copies that an attempt was made at. */
  readonly tried: readonly number[];
  readonly outcomes: Readonly<Record<number, Outcome>>;
  /** Looked for again from fresh processes. */
  readonly confirmed: boolean;
}

export const NOTHING_DESTROYED: Destruction = { list: null, located: null, tried: [], outcomes: {}, confirmed: false };

/** The list of this record. Throws `Refused` INPUTS-COMPLETE. */
export function listOf({ list }: Destruction): CopyList {
  if (list === null) throw new Refused(refuse('INPUTS-COMPLETE', 'a list of copies', 'none', 'Choose the file that the script asks for.'));
  return list;
}

/** May this ceremony be opened with this list? A rehearsal waits a few seconds, and anybody may play it. */
export function copiesFault(plan: Plan, { inputs, mode }: { readonly inputs: Readonly<Record<string, Input>>; readonly mode: 'rehearsal' | 'real' }): Refusal | null {
  const { list } = destructionAtFirst(plan, inputs);
  if (list === null) return null;
  return list.mode === mode ? null
    : refuse('COPIES-MODE', `a list of copies of a ${mode === 'real' ? 'real key' : 'rehearsal\'s key'}`, `one of a ${list.mode === 'real' ? 'real key' : 'rehearsal\'s key'}`, mode === 'real' ? 'Make the list from the real key\'s records.' : 'A rehearsal destroys keys that were made for it, and no others. Nothing was touched.');
}

/** What a record knows of destruction when it opens. Throws `Refused` for a list that cannot be read. */
export function destructionAtFirst(plan: Plan, inputs: Readonly<Record<string, Input>>): Destruction {
  const step = plan.steps.find((one) => one.do.action === 'destroy-copies');
  const input = step?.do.action === 'destroy-copies' ? inputs[step.do.copies] : undefined;
  return input?.kind === 'copies' ? { ...NOTHING_DESTROYED, list: readCopyList(fromBase64url(input.bytes)) } : NOTHING_DESTROYED;
}

/** The copies that can be acted on, by number: what is ciphertext follows from the others. */
export function actedOn(list: CopyList): { readonly number: number; readonly copy: Copy }[] {
  return list.copies.flatMap((copy, index) => (copy.by.means === 'erasure' ? [] : [{ number: index + 1, copy }]));
}

export function tokenCopies(list: CopyList): { readonly number: number; readonly copy: Copy; readonly on: OnToken }[] {
  return list.copies.flatMap((copy, index) => (copy.by.means === 'token' ? [{ number: index + 1, copy, on: copy.by }] : []));
}

/** Which copy is next, and nothing once each has an outcome. */
export function nextCopy(destruction: Destruction): { readonly number: number; readonly copy: Copy } | null {
  const { outcomes } = destruction;
  return actedOn(listOf(destruction)).find(({ number }) => outcomes[number] === undefined) ?? null;
}

type Listing = Readonly<Record<string, readonly ObjectFact[]>>;
/** As the device finds it: by its CKA_ID, whatever it is called by now. */
const isObject = (object: ObjectFact, { class: kind, id, label }: OnToken): boolean => object.class === kind && (id === '' ? object.label === label : object.id === id);

/** What tokens must list from now on: without what was destroyed just now, with what has turned out to be there. */
export function listedAfter(before: Listing, was: Destruction, is: Destruction): Listing {
  const listings = { ...before };
  for (const { number, on } of tokenCopies(listOf(is))) {
    const listed = listings[on.token];
    const gone = (one: Destruction) => ['destroyed', 'absent'].includes(one.outcomes[number]?.result ?? '');
    if (!listed || gone(was) === gone(is)) continue;
    const index = listed.findIndex((object) => isObject(object, on));
    if (gone(was)) listings[on.token] = [...listed, { class: on.class, id: on.id, label: on.label, keyType: on.keyType }];
    else listings[on.token] = listed.filter((_object, place) => place !== index);
  }
  return listings;
}

/** Objects that a token may list or hide: it has lied about them, and the record says so. */
export function withoutLies(objects: readonly ObjectFact[], token: string, { list, outcomes }: Destruction): readonly ObjectFact[] {
  const lies = list === null ? [] : tokenCopies(list).filter(({ number, on }) => on.token === token && outcomes[number]?.result === 'not-destroyed');
  return lies.length === 0 ? objects : objects.filter((object) => !lies.some(({ on }) => isObject(object, on)));
}

// --- what may happen -----------------------------------------------------------------------------------------------------

const NOW = 'Do what the screen asks for now; nothing is lost.';
type Do<A extends PlanStep['do']['action']> = Extract<PlanStep['do'], { action: A }>;

/** May this intent be written now? That it was approved is asked in approvals.ts. */
export function destructionIntentFault(destruction: Destruction, step: PlanStep, intent: Intent): Refusal | null {
  const what = step.do;
  if (what.action === 'destroy-copies') {
    const { copy, left } = intent as Intent<'destroy-copies'>;
    const next = nextCopy(destruction);
    const unclear = left === null ? null : left.trim() === '' ? refuse('TEXT-PRINTABLE', 'why it is left', 'nothing', NOW) : plainText('reason', left, 300);
    if (unclear) return unclear;
    if (next?.number !== copy) return refuse('COPY-ONCE', next ? `copy ${next.number}` : 'no copy left to destroy', `copy ${copy}`, NOW);
  }
  return null; // the others ask for nothing before they begin
}

/** Is this evidence acceptable? What it says of a token may be bad news and is evidence all the same. */
export function destructionEvidenceFault(destruction: Destruction, step: PlanStep, intent: Intent | null, evidence: Evidence): Refusal | null {
  const what = step.do;
  const again = 'The value is recorded as found. Record an exception, then repeat the step or abort.';
  const must = (holds: boolean, rule: string, expected: string, found: string) => (holds ? null : refuse(rule, expected, found, again));
  if (what.action === 'destroy-copies') {
    const e = evidence as Evidence<'destroy-copies'>;
    const { copy, left } = intent as Intent<'destroy-copies'>;
    const means = listOf(destruction).copies[copy - 1]?.by.means;
    const fits = means === 'token' ? e.how === 'token' || e.how === 'left' : means === 'people' ? e.how === 'people' || e.how === 'left' : e.how === 'pending';
    return must(e.copy === copy, 'COPY-ONCE', `the outcome of copy ${copy}`, `of copy ${e.copy}`)
      ?? must(fits, 'COPY-MEANS', `an outcome that fits: ${means ?? 'no such copy'}`, e.how)
      ?? must(left === null ? e.how !== 'left' : e.how === 'left' && e.words === left, 'COPY-MEANS', left === null ? 'what was begun: a destruction' : `what was begun: left, because ${left}`, e.how);
  }
  const left = what.action === 'confirm-gone' ? nextCopy(destruction) : null;
  if (left) return refuse('COPIES-SETTLED', 'an outcome for every copy', `none for copy ${left.number}`, NOW);
  const wanted = tokenCopies(listOf(destruction)).map(({ number }) => number).join(' ');
  const found = (evidence as Evidence<'locate-copies'>).seen.map(({ copy }) => copy).join(' ');
  return must(found === wanted, 'COPIES-ALL-LOOKED-FOR', `copies ${wanted}`, found);
}

/** What this evidence changes. */
export function destructionAfter(before: Destruction, action: Do<'locate-copies' | 'destroy-copies' | 'confirm-gone'>['action'], evidence: Evidence): Destruction {
  switch (action) {
    case 'locate-copies': return { ...before, located: Object.fromEntries((evidence as Evidence<'locate-copies'>).seen.map(({ copy, found }) => [copy, found])) };
    case 'destroy-copies': {
      const e = evidence as Evidence<'destroy-copies'>;
      return { ...before, outcomes: { ...before.outcomes, [e.copy]: outcomeOf(e, before.tried.filter((number) => number === e.copy).length > 1, listOf(before).copies[e.copy - 1]) } };
    }
    case 'confirm-gone': {
      const { seen } = evidence as Evidence<'confirm-gone'>;
      const outcomes = { ...before.outcomes };
      for (const { copy, found, why } of seen) {
        const outcome = outcomes[copy];
        if (outcome?.result !== 'destroyed' && outcome?.result !== 'absent') continue;
        if (found === null) outcomes[copy] = { ...outcome, unconfirmed: why };
        else if (found > 0) outcomes[copy] = { result: 'not-destroyed', words: outcome.result === 'absent' ? `it was not there when it was to be destroyed, and a fresh process found ${found} of it` : `the token reported success, and a fresh process found ${found} of it` };
      }
      return { ...before, outcomes, confirmed: true };
    }
  }
}

function outcomeOf(e: Evidence<'destroy-copies'>, triedBefore: boolean, copy: Copy | undefined): Outcome {
  switch (e.how) {
    case 'left': return { result: 'left', words: e.words };
    case 'pending': return { result: 'pending', words: copy?.by.means === 'retention' ? `it ends on ${copy.by.until}: ${copy.by.who}` : '' };
    case 'people': return { result: 'done-by-people', words: copy?.by.means === 'people' ? copy.by.how : '' };
    case 'token': {
      const { before, after, use } = e.device;
      if (after > 0) return { result: 'not-destroyed', words: `the token reported success, and a fresh session found ${after} of it` };
      if (use.worked) return { result: 'not-destroyed', words: `the token reported success, and the key could still be used: ${use.tried}` };
      if (before === 0 && !triedBefore) return { result: 'absent', words: 'it was not there when it was to be destroyed: nobody here knows what became of it' };
      return { result: 'destroyed', words: before === 0 ? 'not there any more, after an attempt whose outcome was not recorded' : `a fresh session found none${use.answer === '' ? '; whether it could still be used was not to be told' : `, and ${use.tried} failed: ${use.answer}`}` };
    }
  }
}

// --- what may be claimed ---------------------------------------------------------------------------------------------------

export interface Claim {
  readonly number: number;
  readonly what: string;
  readonly secret: boolean;
  /** Null: it is not known to be destroyed. */
  readonly level: Level | null;
  readonly words: string;
}

/** What may be said of each copy, and of the key: its level is the least of its secret copies'. */
export function claimsOn(destruction: Destruction): { readonly claims: readonly Claim[]; readonly destroyed: number; readonly known: number; readonly level: Level | null; readonly verdict: string } {
  const list = listOf(destruction);
  const own = list.copies.map(({ by }, index): Pick<Claim, 'level' | 'words'> | null => {
    if (by.means === 'erasure') return null;
    const outcome = destruction.outcomes[index + 1];
    if (outcome === undefined) return { level: null, words: 'nothing was done with it' };
    switch (outcome.result) {
      // PKCS#11 tokens here have no log that could be verified: absent as far as software sees, and no more.
      case 'destroyed': return outcome.unconfirmed !== undefined ? { level: 'L0', words: `${outcome.words}; not looked for from a fresh process: ${awayText(outcome.unconfirmed)}` }
        : { level: destruction.confirmed ? 'L1' : 'L0', words: `${outcome.words}${destruction.confirmed ? '; a fresh process found none either' : '; not yet looked for from a fresh process'}` };
      case 'done-by-people': return { level: by.means === 'people' && by.physical ? 'L5' : 'L0', words: outcome.words };
      case 'not-destroyed': return { level: null, words: `NOT DESTROYED: ${outcome.words}` };
      case 'absent': case 'left': case 'pending': return { level: null, words: outcome.words };
    }
  });
  const claims = list.copies.map(({ what, secret, by }, index): Claim => {
    const mine = own[index];
    if (by.means !== 'erasure' || mine) return { number: index + 1, what, secret, ...(mine ?? { level: null, words: '' }) };
    const reached = by.of.flatMap((number) => own[number - 1]?.level ?? []).sort().reverse();
    const least = reached[by.enough - 1];
    const of = `of copies ${by.of.join(', ')}`;
    return {
      number: index + 1, what, secret,
      // What is called cryptographic erasure wants all copies known; what hangs on paper is itself no paper.
      level: least === undefined ? null : least < 'L3' ? least : list.unknown.length === 0 ? 'L4' : 'L1',
      words: least === undefined ? `it can still be opened: ${reached.length} ${of} destroyed, ${by.enough} needed` : `no longer to be opened: ${reached.length} ${of} destroyed, ${by.enough} needed`,
    };
  });
  const secret = claims.filter((claim) => claim.secret);
  const done = secret.filter(({ level }) => level !== null);
  const level = done.length === secret.length ? LEVEL_NAMES.find((name) => done.some((claim) => claim.level === name)) ?? null : null;
  const counted = `${done.length} of ${secret.length} known ${secret.length === 1 ? 'copy' : 'copies'} destroyed`;
  const more = list.unknown.length > 0 ? `; there may be copies that are not known: ${list.unknown.join('; ')}` : '';
  return { claims, destroyed: done.length, known: secret.length, level, verdict: `${level === null ? 'NOT DESTROYED' : `Destroyed, ${level}: ${LEVELS[level]}`} (${counted}${more})` };
}
