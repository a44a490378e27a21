/**
 * What the keys of an inventory will run into, and when: certificates that expire, periods that end, recoveries to be proven. As findings before the date, and
 * as dates for a calendar.
 *
 * Pure: what time it is, is handed in. The inventory itself knows no clock.
 */
import { dueOf, intervalText, noticeFor, standingOf } from './drills.ts';
import type { Inventory, InventoryFinding, InventoryKey, Source } from './inventory.ts';
import type { KeyState } from './keys/lifecycle.ts';
import { refuse } from './refusal.ts';

/** Days before the date: said from each on, more urgently. */
export const NOTICE = [90, 30, 7] as const;
const DAY = 86_400_000;

/** What protects nothing new has reached the end of its use already, whatever day it is. */
const OVER: readonly KeyState[] = ['deactivated', 'compromised', 'destroyed'];

const sourceOf = ({ ceremony, seq, at }: Source): Source => ({ ceremony, seq, at });

function inUse({ state }: InventoryKey): boolean {
  return state !== null && !OVER.includes(state);
}

/** Something with a date, of one key. */
export interface Deadline {
  readonly kind: 'certificate' | 'period' | 'drill';
  readonly key: InventoryKey;
  readonly at: string;
  /** What ends, or is due: `certificate of CN=Root CA`, `cryptoperiod`, `recovery drill`. */
  readonly what: string;
  /** Days before it on which people are told. */
  readonly notice: readonly number[];
  /** The entry that says so. */
  readonly source: Source;
  /** What tells it from every other deadline, and stays the same: a calendar knows it again by this. */
  readonly id: string;
}

/**
 * Every date that lies ahead or behind, the earliest first. A certificate that a later one of the same subject and issuer outlasts is none:
 * a cross-certificate takes no root's place. What only a record tells that does not verify, sets no date and silences none.
 */
export function deadlines({ keys }: Pick<Inventory, 'keys'>): Deadline[] {
  return keys.filter(inUse).flatMap((key) => [
    ...key.certificates.filter(({ believed, subject, issuer, notAfter }) => believed && !key.certificates.some((other) => other.believed && other.subject === subject && other.issuer === issuer && other.notAfter > notAfter))
      .map(({ subject, notAfter, sha256, ...from }): Deadline => ({ kind: 'certificate', key, source: sourceOf(from), at: notAfter, what: `certificate of ${subject}`, notice: NOTICE, id: `certificate ${sha256}` })),
    ...key.period === null ? [] : [{ kind: 'period' as const, key, source: sourceOf(key.period), at: key.period.notAfter, what: 'cryptoperiod', notice: NOTICE, id: `period ${key.identity}` }],
    ...drillOf(key),
  ]).sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : a.id < b.id ? -1 : 1));
}

function drillOf(key: InventoryKey): Deadline[] {
  const due = dueOf(key);
  return key.drill === null || due === null ? [] : [{ kind: 'drill', key, source: sourceOf(key.drill), at: due.at, what: 'recovery drill', notice: noticeFor(key.drill.every), id: `drill ${key.identity}` }];
}

/** Those dates of which people must know now, and schedules that nobody could keep. */
export function alerts(inventory: Pick<Inventory, 'keys'>, now: Date): InventoryFinding[] {
  return [...deadlines(inventory).flatMap((deadline) => endAlert(deadline, now)), ...inventory.keys.filter(inUse).flatMap((key) => drillAlert(key, now))];
}

function endAlert({ kind, key, source, at, what, notice: days }: Deadline, now: Date): InventoryFinding[] {
  const left = Date.parse(at) - now.getTime();
  const notice = days.findLast((most) => left <= most * DAY);
  if (notice === undefined) return [];
  const finding = (rule: string, expected: string, next: string): InventoryFinding => ({
    ...refuse(rule, expected, left <= 0 ? `${what} of "${key.label}" ended on ${at.slice(0, 10)}` : `${what} of "${key.label}" ends on ${at.slice(0, 10)}, in ${Math.ceil(left / DAY)} days (within ${notice})`, next),
    source, keys: [key.identity],
  });
  switch (kind) {
    case 'certificate': return [left <= 0 ? finding('CERTIFICATE-EXPIRED', 'a certificate that is valid', 'Issue the next one, or sign that the key is deactivated.') : finding('CERTIFICATE-EXPIRES', 'a certificate that is valid for long enough', 'Prepare the ceremony that issues the next one.')];
    case 'period': return [left <= 0 ? finding('PERIOD-OVER', `a key within its period, or one that is not ${key.state ?? ''} any more`, 'Sign that it is deactivated (`conclave key state`), or sign a longer period with the reason.') : finding('PERIOD-ENDS', 'a period that lasts for long enough', 'Prepare the key that takes its place.')];
    case 'drill': return [];
  }
}

/** A key without a schedule is none of these: `standingOf` says so beside the key. */
function drillAlert(key: InventoryKey, now: Date): InventoryFinding[] {
  const { drill } = key;
  const { standing, due, days } = standingOf(key, now) ?? {};
  if (drill === null || standing === undefined || days === undefined) return [];
  const finding = (rule: string, expected: string, found: string, next: string): InventoryFinding[] => [{ ...refuse(rule, expected, `recovery drill of "${key.label}": ${found}`, next), source: sourceOf(drill), keys: [key.identity] }];
  const wanted = `a recovery proven every ${intervalText(drill.every)}`;
  const last = due?.last ? `last proven on ${due.last.at.slice(0, 10)}` : 'this backup was never proven';
  const date = due?.at.slice(0, 10) ?? '';
  const REHEARSE = 'Carry out the ceremony recovery-rehearsal with its backup record and custodians.';
  switch (standing) {
    case 'never': case 'ahead': return [];
    case 'soon': return finding('DRILL-DUE', wanted, `due on ${date}, in ${days} days (within ${noticeFor(drill.every).findLast((most) => days <= most) ?? days}); ${last}`, REHEARSE);
    case 'overdue': return finding('DRILL-OVERDUE', wanted, `due on ${date}, overdue by ${-days} days; ${last}`, REHEARSE);
    case 'moot': return finding('DRILL-BACKUP', `${wanted} of a backup in force`, 'the records know of no backup in force', 'Make a new backup (ceremony share-backup). Until then nothing brings this key back.');
    case 'doubtful': return finding('DRILL-CLOCK', `a proof from before now, ${now.toISOString()}`, `its last one is dated ${due?.last?.at ?? ''}`, `A clock went wrong, then or now, so no date can be trusted. Set the clock right; if it is, ${REHEARSE.charAt(0).toLowerCase()}${REHEARSE.slice(1)}`);
  }
}
