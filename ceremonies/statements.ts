/**
 * What people sign of a key without touching a token: the state it is in (SP 800-57 Part 1 section 7), the period in which it
 * may be used (section 5.3), and how often its recovery is to be proven (drills.ts). Which key is meant, which statement is acceptable, and how it is said.
 *
 * A state that can be observed is never signed: a key is destroyed when its copies are, and not because somebody says so.
 * Pure: times are handed in. What the statements of all records come to is inventory.ts' part.
 */
import { after, backupsInForce, intervalFault, intervalText, TEN_YEARS } from './drills.ts';
import type { AffectedCertificate, DrillSigned, Evidence, PeriodSigned, StateSigned, StatementKind } from './evidence.ts';
import { transition, TRANSITIONS, type KeyState, type Transition } from './keys/lifecycle.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';
import { plainText } from './text.ts';

const NOTHING = 'Correct it; nothing was signed.';

// --- which key ---------------------------------------------------------------------------------------------------------

/** As many hexadecimal digits of a fingerprint as people must give. */
const PREFIX = 6;

/**
 * The one key with this identity or label, or whose fingerprint begins so (blanks and colons aside). Throws `Refused` KEY-KNOWN,
 * KEY-AMBIGUOUS with the list.
 */
export function keyNamed<Key extends { readonly identity: string; readonly label: string }>(keys: readonly Key[], name: string): Key {
  const identical = keys.filter(({ identity }) => identity === name);
  const digits = name.toLowerCase().replace(/[\s:]/g, '');
  const prefix = /^[0-9a-f]+$/.test(digits) && digits.length >= PREFIX ? digits : null;
  const fitting = identical.length > 0 ? identical : keys.filter(({ identity, label }) => label === name || (prefix !== null && fingerprintOf(identity).startsWith(prefix)));
  const [key] = fitting;
  if (key === undefined) throw new Refused(refuse('KEY-KNOWN', 'a key that the records know, by its label or the beginning of its fingerprint', name, 'List the keys with `conclave inventory`.'));
  if (fitting.length > 1) throw new Refused(refuse('KEY-AMBIGUOUS', `one key for ${name}`, fitting.map(({ label, identity }) => `"${label}" ${identity}`).join('; '), 'Say the fingerprint of the one that is meant.'));
  return key;
}

/** The hexadecimal value in an identity: of a fingerprint or check value; of a key known by its place alone, its CKA_ID. */
function fingerprintOf(identity: string): string {
  return / ([0-9a-f]+)(?:,|$)/.exec(identity)?.[1] ?? '';
}

// --- which statement ---------------------------------------------------------------------------------------------------

/** The passages that people may sign from here: all that the table has, but for the one that follows from the copies. */
export function signable(from: KeyState | null): readonly Transition[] {
  return TRANSITIONS.filter((one) => one.from === from && one.from !== null && one.to !== 'destroyed');
}

/** Is this RFC 3339 in UTC, and a day that there is? */
export function isInstant(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$/.test(text) && !Number.isNaN(Date.parse(text)) && new Date(text).toISOString().startsWith(text.slice(0, 19));
}

/** Since when a key is not to be trusted of which nobody can say: since its own certificate began. */
export const ALWAYS = 'always';

/** A day means its beginning, in UTC; anything else must be an instant already. Null for what is neither. */
export function instantOf(text: string): string | null {
  const whole = /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text;
  return isInstant(whole) ? new Date(whole).toISOString() : null;
}

/** May this be signed? Whether `from` is the state that the key is in, the inventory knows. */
export function stateFault({ label, reason, from, to, since }: Pick<StateSigned, 'label' | 'reason' | 'from' | 'to' | 'since'>): Refusal | null {
  if (to === 'destroyed') return refuse('STATE-BY-COPIES', `${signable(from).map((one) => one.to).join(', ') || 'no state'}: a key is destroyed when its copies are`, to, 'Destroy the copies; each end is written down, and the state follows.');
  const passage = transition(from, to);
  if ('expected' in passage) return passage;
  if ((to === 'compromised') !== (since !== null)) return refuse('STATE-SINCE', to === 'compromised' ? 'since when the key is not to be trusted' : 'a time only for a compromise', since ?? 'no time', NOTHING);
  if (since !== null && !isInstant(since)) return refuse('STATE-SINCE', 'a time in UTC (RFC 3339)', since, NOTHING);
  return wordsFault(label, reason);
}

/** Nobody knows at the time `at` of a compromise that is yet to be. */
export function sinceFault({ since }: Pick<StateSigned, 'since'>, at: string): Refusal | null {
  return since !== null && Date.parse(since) > Date.parse(at) ? refuse('STATE-SINCE', `a time that has come, at ${at}`, since, 'Say since when the key is not to be trusted.') : null;
}

export function periodFault({ label, reason, notBefore, notAfter }: Pick<PeriodSigned, 'label' | 'reason' | 'notBefore' | 'notAfter'>): Refusal | null {
  const wrong = [notBefore, notAfter].find((time) => time !== null && !isInstant(time));
  if (wrong !== undefined) return refuse('PERIOD-TIMES', 'times in UTC (RFC 3339)', wrong ?? '', NOTHING);
  if (notBefore !== null && Date.parse(notBefore) >= Date.parse(notAfter)) return refuse('PERIOD-TIMES', 'a period that begins before it ends', `${notBefore} to ${notAfter}`, NOTHING);
  return wordsFault(label, reason);
}

export function drillFault({ label, reason, every, firstBy }: Pick<DrillSigned, 'label' | 'reason' | 'every' | 'firstBy'>): Refusal | null {
  return intervalFault(every) ?? (isInstant(firstBy) ? null : refuse('DRILL-FIRST-BY', 'a time in UTC (RFC 3339)', firstBy, NOTHING)) ?? wordsFault(label, reason);
}

/** By a time that is over nobody can do anything, and in ten years nobody will remember. `at`: when it is signed. */
export function firstByFault({ firstBy }: Pick<DrillSigned, 'firstBy'>, at: string): Refusal | null {
  const [time, now] = [Date.parse(firstBy), Date.parse(at)];
  return time >= now && time <= Date.parse(after(at, TEN_YEARS)) ? null : refuse('DRILL-FIRST-BY', `a time that is to come, within ten years of ${at}`, firstBy, NOTHING);
}

/** What depends on the time at which a statement is signed. */
export function momentFault({ change, order }: { readonly change: string; readonly order?: unknown }, at: string): Refusal | null {
  switch (change) {
    case 'set-state': return sinceFault(order as StateSigned, at);
    case 'set-drill': return firstByFault(order as DrillSigned, at);
    default: return null;
  }
}

function wordsFault(label: string, reason: string): Refusal | null {
  if (reason.trim() === '') return refuse('TEXT-PRINTABLE', 'reason: some words', 'nothing', 'Write a sentence that an auditor will understand in ten years.');
  return plainText('reason', reason, 500) ?? plainText('label', label, 128);
}

// --- what is to be signed ----------------------------------------------------------------------------------------------

/** A key as the inventory has it. */
interface KeyNow {
  readonly identity: string;
  readonly label: string;
  readonly rehearsal: boolean;
  readonly state: KeyState | null;
}

export interface Signing {
  readonly mode: 'rehearsal' | 'real';
  readonly now: Date;
}

/** The passage of this key to another state, as it is to be signed. Throws `Refused` STATE-REHEARSAL, STATE-KNOWN, STATE-SINCE, or the rule of the passage. */
export function passageOf(key: KeyNow, { to, since, reason }: Pick<StateSigned, 'to' | 'since' | 'reason'>, { mode, now }: Signing): StateSigned {
  allowed(signableHere(key, mode));
  const { state } = key;
  if (state === null) throw new Refused(refuse('STATE-KNOWN', 'a key that a record which verifies knows', `"${key.label}", from a record that does not`, 'Find out what is wrong with that record first.'));
  const order = { ...about(key), from: state, to, since, reason };
  allowed(stateFault(order));
  allowed(sinceFault(order, now.toISOString()));
  return order;
}

/** The period of this key, as it is to be signed. Throws `Refused` STATE-REHEARSAL, PERIOD-TIMES. */
export function periodOf(key: KeyNow, { notBefore, notAfter, reason }: Pick<PeriodSigned, 'notBefore' | 'notAfter' | 'reason'>, { mode }: Pick<Signing, 'mode'>): PeriodSigned {
  allowed(signableHere(key, mode));
  const order = { ...about(key), notBefore, notAfter, reason };
  allowed(periodFault(order));
  return order;
}

/** How often a recovery of this key is to be proven, as it is to be signed. Throws `Refused` STATE-REHEARSAL, DRILL-BACKUP, DRILL-INTERVAL, DRILL-FIRST-BY. */
export function drillOf(key: KeyNow & { readonly copies: Parameters<typeof backupsInForce>[0] }, { every, firstBy, reason }: Pick<DrillSigned, 'every' | 'firstBy' | 'reason'>, { mode, now }: Signing): DrillSigned {
  allowed(signableHere(key, mode));
  const order = { ...about(key), every, firstBy, reason };
  allowed(drillFault(order));
  allowed(firstByFault(order, now.toISOString()));
  if (backupsInForce(key.copies).length === 0) throw new Refused(refuse('DRILL-BACKUP', 'a key with a backup in force', `"${key.label}", of which the records know none`, 'Make a backup first (ceremony share-backup). Nothing was signed.'));
  return order;
}

/** A label that no line could carry is left out: the identity says which key it is. */
function about({ identity, label }: KeyNow): { readonly key: string; readonly label: string } {
  return { key: identity, label: plainText('label', label, 128) === null ? label : '' };
}

/** A rehearsal says nothing of a key that is in earnest. */
function signableHere({ rehearsal, label }: KeyNow, mode: Signing['mode']): Refusal | null {
  return mode === 'rehearsal' && !rehearsal ? refuse('STATE-REHEARSAL', 'a key of a rehearsal', `"${label}", which is in earnest`, 'Log in for real to sign this. Nothing was signed.') : null;
}

function allowed(fault: Refusal | null): void {
  if (fault !== null) throw new Refused(fault);
}

// --- words -------------------------------------------------------------------------------------------------------------

interface StatementOrder { 'set-state': StateSigned; 'set-period': PeriodSigned; 'set-drill': DrillSigned }
export type Statement = { readonly [K in StatementKind]: { readonly change: K; readonly order: StatementOrder[K] } }[StatementKind];

/** `the key "Payments" passes from active to suspended: card lost`. */
export function statementText({ change, order }: Statement): string {
  switch (change) {
    case 'set-state': return `the key "${order.label}" passes from ${order.from} to ${order.to}${order.since === null ? '' : `, since ${order.since}`}: ${order.reason}`;
    case 'set-period': return `the key "${order.label}" may be used ${order.notBefore === null ? '' : `from ${order.notBefore} `}until ${order.notAfter}: ${order.reason}`;
    case 'set-drill': return `a recovery of the key "${order.label}" is to be proven at least every ${intervalText(order.every)}, first by ${order.firstBy}: ${order.reason}`;
  }
}

/** What a statement rests on. */
export function statementLines({ change, order }: Statement): string[] {
  switch (change) {
    case 'set-state': {
      const passage = transition(order.from, order.to);
      return [order.key, ...'expected' in passage ? [] : [passageText(passage)], 'no token was touched'];
    }
    case 'set-period': return [order.key, 'SP 800-57 Part 1 section 5.3; it takes the place of any period before', 'no token was touched'];
    case 'set-drill': return [order.key, 'counted from the last proven recovery of the backup in force; it takes the place of any schedule before', 'no token was touched'];
  }
}

/** `STATE-SUSPENDED: it is not to be used for a time (SP 800-57 Part 1 section 7.2)`. */
export function passageText({ rule, when, clause }: Pick<Transition, 'rule' | 'when' | 'clause'>): string {
  return `${rule}: ${when} (SP 800-57 Part 1 section ${clause})`;
}

// --- a compromise ------------------------------------------------------------------------------------------------------

type Compromise = Evidence<'set-state'>;

/** `CN=Issuing CA, serial 0417: issued by it`. */
export function affectedText({ why, subject, serial, notAfter, proven }: AffectedCertificate): string {
  const tie = { own: 'its own certificate', issued: 'issued by it', below: 'issued by a CA below it' }[why];
  return `${subject}, serial ${serial}, until ${notAfter.slice(0, 10)}: ${tie}${proven ? '' : ', by the names in it alone; its signature does not verify'}`;
}

/** What is to be done about a compromise, in this order. It follows from the statement and what it concerns, and from nothing that anybody typed. */
export function whatToDo({ to, label, since, certificates, dependants }: Compromise): string[] {
  if (to !== 'compromised') return [];
  const own = certificates.filter(({ why }) => why === 'own');
  const below = certificates.filter(({ why }) => why !== 'own');
  const root = own.some(({ subject, issuer }) => subject === issuer);
  const from = own.filter(({ subject, issuer }) => subject !== issuer);
  const names = (list: readonly string[]) => `${list.slice(0, 5).join('; ')}${list.length > 5 ? `; and ${list.length - 5} more` : ''}`;
  return [
    `Stop every use of "${label}" now, on every token and with every backup that has a copy; put them under seal.`,
    ...root ? ['Tell everybody who trusts this root to remove it: a root is not revoked by a list that it signs itself.'] : [],
    ...from.map(({ issuer, serial }) => `Have ${issuer} revoke certificate ${serial}: keyCompromise, invalid since ${since ?? ''} (ceremony crl).`),
    ...below.length > 0 ? [`Rely on none of the ${below.length} certificates below it that could have been made since ${since ?? ''}, whatever date they carry; revoke them where an issuer above still stands (ceremony crl): ${names(below.map(({ subject, serial }) => `${subject} ${serial}`))}.`] : [],
    `Make a new key (ceremonies root-ca, intermediate), and issue ${below.length === 0 ? 'what depends on it' : `the ${below.length} certificates`} anew under it.`,
    ...dependants.length > 0 ? [`Make a new key-encryption key first; then, under it, new keys in place of the ${dependants.length} that were wrapped under "${label}": ${names(dependants.map((one) => `"${one.label}"`))}. Wrapping the old ones anew does not help.`] : [],
    `Destroy every copy of "${label}" when what it protected is not needed any more (SP 800-57 Part 1 section 7.5); \`conclave inventory\` says where they are.`,
  ];
}
