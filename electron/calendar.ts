/**
 * The dates of an inventory as an iCalendar (RFC 5545), for whatever program people keep their dates in: each a day of its own, with
 * alarms before it. Made by ical-generator; this file only says what stands in it. The same inventory gives the same events, so that a
 * calendar which reads the file again changes what it has instead of doubling it.
 */
import ical, { ICalAlarmType, ICalEventBusyStatus } from 'ical-generator';
import { createHash } from 'node:crypto';
import { NOTICE, type Deadline } from '../ceremonies/alerts.ts';

const DAY = 86_400;

export function calendarOf(deadlines: readonly Deadline[], now: Date): string {
  const calendar = ical({ name: 'Conclave: keys and certificates', prodId: { company: 'Conclave', product: 'inventory', language: 'EN' } });
  for (const { kind, key, at, what, id } of deadlines) {
    const event = calendar.createEvent({
      id: `${createHash('sha256').update(id).digest('hex').slice(0, 40)}@conclave`, stamp: now, start: new Date(at), allDay: true, timezone: 'UTC',
      summary: `${key.rehearsal ? 'REHEARSAL: ' : ''}${what} of "${key.label}" ${kind === 'period' ? 'ends' : 'expires'}`,
      description: [`${at} (UTC)`, key.identity, key.algorithm, `state: ${key.state ?? 'not known'}`, kind === 'period' ? `reason of the period: ${key.period?.reason ?? ''}` : ''].filter((line) => line !== '').join('\n'),
      busystatus: ICalEventBusyStatus.FREE,
    });
    for (const days of NOTICE) event.createAlarm({ type: ICalAlarmType.display, trigger: days * DAY, description: `In ${days} days: ${what} of "${key.label}"` });
  }
  return calendar.toString();
}
