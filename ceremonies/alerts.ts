/**
 * What the keys of an inventory will run into, and when: certificates that expire, periods that end. As findings before the date, and
 * as dates for a calendar.
 *
 * Pure: what time it is, is handed in. The inventory itself knows no clock.
 */
import type { Inventory, InventoryFinding, InventoryKey, Source } from './inventory.ts';
import type { KeyState } from './keys/lifecycle.ts';
import { refuse } from './refusal.ts';

/** Days before the date: said from each on, more urgently. */
export const NOTICE = [90, 30, 7] as const;
const DAY = 86_400_000;

/** What protects nothing new has reached the end of its use already, whatever day it is. */
const OVER: readonly KeyState[] = ['deactivated', 'compromised', 'destroyed'];

const sourceOf = ({ ceremony, seq, at }: Source): Source => ({ ceremony, seq, at });

/** Something with a date, of one key. */
export interface Deadline {
  readonly kind: 'certificate' | 'period';
  readonly key: InventoryKey;
  readonly at: string;
  /** What ends: `certificate of CN=Root CA`, `cryptoperiod`. */
  readonly what: string;
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
  return keys.filter(({ state }) => state !== null && !OVER.includes(state)).flatMap((key) => [
    ...key.certificates.filter(({ believed, subject, issuer, notAfter }) => believed && !key.certificates.some((other) => other.believed && other.subject === subject && other.issuer === issuer && other.notAfter > notAfter))
      .map(({ subject, notAfter, sha256, ...from }): Deadline => ({ kind: 'certificate', key, source: sourceOf(from), at: notAfter, what: `certificate of ${subject}`, id: `certificate ${sha256}` })),
    ...key.period === null ? [] : [{ kind: 'period' as const, key, source: sourceOf(key.period), at: key.period.notAfter, what: 'cryptoperiod', id: `period ${key.identity}` }],
  ]).sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : a.id < b.id ? -1 : 1));
}

/** Those dates of which people must know now. */
export function alerts(inventory: Pick<Inventory, 'keys'>, now: Date): InventoryFinding[] {
  return deadlines(inventory).flatMap(({ kind, key, source, at, what }): InventoryFinding[] => {
    const left = Date.parse(at) - now.getTime();
    const notice = NOTICE.findLast((days) => left <= days * DAY);
    if (notice === undefined) return [];
    const finding = (rule: string, expected: string, next: string): InventoryFinding => ({
      ...refuse(rule, expected, left <= 0 ? `${what} of "${key.label}" ended on ${at.slice(0, 10)}` : `${what} of "${key.label}" ends on ${at.slice(0, 10)}, in ${Math.ceil(left / DAY)} days (within ${notice})`, next),
      source, keys: [key.identity],
    });
    switch (kind) {
      case 'certificate': return [left <= 0 ? finding('CERTIFICATE-EXPIRED', 'a certificate that is valid', 'Issue the next one, or sign that the key is deactivated.') : finding('CERTIFICATE-EXPIRES', 'a certificate that is valid for long enough', 'Prepare the ceremony that issues the next one.')];
      case 'period': return [left <= 0 ? finding('PERIOD-OVER', `a key within its period, or one that is not ${key.state ?? ''} any more`, 'Sign that it is deactivated (`conclave key state`), or sign a longer period with the reason.') : finding('PERIOD-ENDS', 'a period that lasts for long enough', 'Prepare the key that takes its place.')];
    }
  });
}
