/**
 * The dates of an inventory as an iCalendar (RFC 5545), for whatever program people keep their dates in: each a day of its own, with
 * alarms before it. Made by ical-generator; this file only says what stands in it. The same inventory gives the same events, so that a
 * calendar which reads the file again changes what it has instead of doubling it.
 */
import ical, { ICalAlarmType, ICalEventBusyStatus } from 'ical-generator';
import { createHash } from 'node:crypto';
import type { Deadline } from '../ceremonies/alerts.ts';
import { INTERVAL, intervalText } from '../ceremonies/drills.ts';

const DAY = 86_400;

export function calendarOf(deadlines: readonly Deadline[], now: Date): string {
  const calendar = ical({ name: 'Conclave: keys and certificates', prodId: { company: 'Conclave', product: 'inventory', language: 'EN' } });
  for (const { kind, key, at, what, notice, id } of deadlines) {
    const event = calendar.createEvent({
      id: `${createHash('sha256').update(id).digest('hex').slice(0, 40)}@conclave`, stamp: now, start: new Date(at), allDay: true, timezone: 'UTC',
      summary: `${key.rehearsal ? 'REHEARSAL: ' : ''}${what} of "${key.label}" ${ENDS[kind]}`,
      description: [`${at} (UTC)`, key.identity, key.algorithm, `state: ${key.state ?? 'not known'}`, REASON[kind](key)].filter((line) => line !== '').join('\n'),
      repeating: kind === 'drill' && key.drill !== null ? again(key.drill.every, new Date(at)) : null,
      busystatus: ICalEventBusyStatus.FREE,
    });
    for (const days of notice) event.createAlarm({ type: ICalAlarmType.display, trigger: days * DAY, description: `In ${days} days: ${what} of "${key.label}"` });
  }
  return calendar.toString();
}

const ENDS: Readonly<Record<Deadline['kind'], string>> = { certificate: 'expires', period: 'ends', drill: 'is due' };
const REASON: Readonly<Record<Deadline['kind'], (key: Deadline['key']) => string>> = {
  certificate: () => '', period: ({ period }) => `reason of the period: ${period?.reason ?? ''}`,
  drill: ({ drill }) => (drill === null ? '' : `at least every ${intervalText(drill.every)}: ${drill.reason}\nCeremony recovery-rehearsal. What is proven sooner moves the date: write this calendar anew.`),
};

/** Every drill after this one, as far as a calendar can know. Where a month is shorter, the last day of it, as `after` has it (RFC 5545 section 3.3.10 would leave that month out). */
function again(every: string, from: Date): string {
  const [, count = '', unit] = INTERVAL.exec(every) ?? [];
  const day = from.getUTCDate();
  const last = unit === 'M' && day > 28 ? `;BYMONTHDAY=${Array.from({ length: day - 27 }, (_, index) => 28 + index).join(',')};BYSETPOS=-1` : '';
  return `RRULE:FREQ=${unit === 'D' ? 'DAILY' : 'MONTHLY'};INTERVAL=${count}${last}`;
}
