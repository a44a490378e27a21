/**
 * Recovery drills: how often it is to be proven that a key comes back out of its backup, and by when the next proof is due.
 *
 * How often, an officer signs (statements.ts); when it was proven last, the records of ceremonies tell (inventory.ts). The date follows
 * from both, and nobody types it. A drill is the ceremony `recovery-rehearsal`; whatever else brings a backup back proves it as well.
 * Pure: what time it is, is handed in.
 */
import { stands } from './destruction.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';

const DAY = 86_400_000;
/** An interval beyond ten years is none: cards, readers and people do not last that long. */
const LONGEST = { M: 120, D: 3652 } as const;
export const TEN_YEARS = `P${LONGEST.M}M`;

/** An interval as it is signed (ISO 8601): `P6M`, `P90D`. */
export const INTERVAL = /^P(0|[1-9]\d{0,3})([MD])$/;

/** As people type it: 6m, 90d, 1y, or as it is signed. Null for anything else. */
export function intervalOf(typed: string): string | null {
  const [, count = '', unit = ''] = /^p?(\d{1,4})([dmy])$/.exec(typed.toLowerCase().replace(/\s/g, '')) ?? [];
  if (unit === '') return null;
  return unit === 'y' ? `P${Number(count) * 12}M` : `P${Number(count)}${unit.toUpperCase()}`;
}

function parts(interval: string): { readonly count: number; readonly unit: 'M' | 'D' } | null {
  const [, count, unit] = INTERVAL.exec(interval) ?? [];
  return count === undefined ? null : { count: Number(count), unit: unit === 'M' ? 'M' : 'D' };
}

export function intervalFault(interval: string): Refusal | null {
  const { count = 0, unit = 'M' } = parts(interval) ?? {};
  return count >= 1 && count <= LONGEST[unit] ? null : refuse('DRILL-INTERVAL', 'an interval of at least one day and at most ten years, in months or days (P6M, P90D)', interval, 'Say how often: 6m, 90d, 1y. Nothing was signed.');
}

/** Of an interval that was signed. Throws `Refused` DRILL-INTERVAL. */
function sound(interval: string): NonNullable<ReturnType<typeof parts>> {
  const read = parts(interval);
  const fault = intervalFault(interval);
  if (read === null || fault !== null) throw new Refused(fault ?? refuse('DRILL-INTERVAL', 'an interval', interval, 'Nothing was done.'));
  return read;
}

/** `6 months`, `1 day`. */
export function intervalText(interval: string): string {
  const { count, unit } = sound(interval);
  const name = unit === 'M' ? 'month' : 'day';
  return `${count} ${name}${count === 1 ? '' : 's'}`;
}

/**
 * So long after this moment, in UTC: what the local clock does in spring and autumn moves nothing. Months end where they end: six months after
 * 31 August is the last day of February.
 */
export function after(moment: string, interval: string): string {
  const { count, unit } = sound(interval);
  const from = new Date(moment);
  if (unit === 'D') return new Date(from.getTime() + count * DAY).toISOString();
  const to = new Date(from);
  to.setUTCDate(1); // else the 31st would run over into the month after
  to.setUTCMonth(from.getUTCMonth() + count);
  const last = new Date(Date.UTC(to.getUTCFullYear(), to.getUTCMonth() + 1, 0)).getUTCDate();
  to.setUTCDate(Math.min(from.getUTCDate(), last));
  return to.toISOString();
}

/** Days before the date on which it is said; none that is half of the interval or more, or it would always be said. */
export function noticeFor(interval: string): readonly number[] {
  const { count, unit } = sound(interval);
  return [30, 7].filter((days) => days * 2 < count * (unit === 'M' ? 30 : 1));
}

// --- when it is due -------------------------------------------------------------------------------------------------------

/** The kinds of copies, as far as they are told apart here. */
interface AnyCopy { readonly kind: string }
interface Backup { readonly believed: boolean; readonly complete: boolean; readonly renewal: unknown; readonly end: Parameters<typeof stands>[0]['end']; readonly lastRecovery: Proof | null }
interface Proof { readonly ceremony: string; readonly seq: number; readonly at: string }
export interface Scheduled { readonly every: string; readonly firstBy: string }

/** Those sets of shares that a recovery would be made of now: whole, not renewed since, and not given up. What only a record tells that does not verify is none. */
export function backupsInForce<Copy extends AnyCopy>(copies: readonly Copy[]): Extract<Copy, { readonly kind: 'share-set' }>[] {
  return copies.filter((copy): copy is Extract<Copy, { readonly kind: 'share-set' }> => {
    if (copy.kind !== 'share-set') return false;
    const { believed, complete, renewal, end } = copy as Copy & Backup;
    return believed && complete && renewal === null && stands({ end });
  });
}

/** `last`: the proof that it is counted from; null: this backup was never proven. */
export interface Due { readonly at: string; readonly last: Proof | null }

/**
 * By when the next recovery is to be proven; null without a schedule, or without a backup to prove. Every set that is in force wants a proof of
 * its own, and the earliest date is the one that counts: what another set proved, these cards did not.
 */
export function dueOf({ drill, copies }: { readonly drill: Scheduled | null; readonly copies: readonly AnyCopy[] }): Due | null {
  if (drill === null) return null;
  const dates = (backupsInForce(copies) as unknown as readonly Backup[]).map(({ lastRecovery: last }): Due => ({ at: last === null ? drill.firstBy : after(last.at, drill.every), last }));
  return dates.sort((a, b) => Date.parse(a.at) - Date.parse(b.at))[0] ?? null;
}

/** What people see of a key's drills. `never`: nobody has scheduled any. `moot`: scheduled, and no backup is in force. `doubtful`: its last proof is dated later than now. */
export type DrillStanding = 'never' | 'moot' | 'doubtful' | 'ahead' | 'soon' | 'overdue';

/** Null: there is no backup in force, and nobody wants one to be proven. */
export function standingOf(key: Parameters<typeof dueOf>[0], now: Date): { readonly standing: DrillStanding; readonly due: Due | null; /** Days until it is due; below 0: since. */ readonly days: number } | null {
  const { drill, copies } = key;
  const due = dueOf(key);
  if (drill === null) return backupsInForce(copies).length === 0 ? null : { standing: 'never', due, days: 0 };
  if (due === null) return { standing: 'moot', due, days: 0 };
  const left = Date.parse(due.at) - now.getTime();
  const days = Math.ceil(left / DAY) || 0; // never -0
  // A clock that went back makes an old proof look fresh, or one that was ahead a date that never comes.
  if (due.last !== null && Date.parse(due.last.at) > now.getTime()) return { standing: 'doubtful', due, days };
  return { standing: left <= 0 ? 'overdue' : noticeFor(drill.every).some((notice) => left <= notice * DAY) ? 'soon' : 'ahead', due, days };
}
