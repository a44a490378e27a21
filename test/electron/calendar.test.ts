/** The calendar of an inventory: one event and three alarms for each date, the same in every time zone, whatever a label holds. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { test } from 'node:test';
import { NOTICE, type Deadline } from '../../ceremonies/alerts.ts';
import { calendarOf } from '../../electron/calendar.ts';

const key = (label: string) => ({ label, identity: 'SHA-256 of SubjectPublicKeyInfo 0a0b', algorithm: 'ECDSA P-256', state: 'active', rehearsal: true, period: null }) as unknown as Deadline['key'];
const deadline = (label: string, at = '2027-01-01T23:30:00.000Z'): Deadline => ({ kind: 'certificate', key: key(label), source: { ceremony: '0a'.repeat(16), seq: 7, at: '2026-01-01T00:00:00.000Z' }, at, what: 'certificate of CN=Root CA', notice: NOTICE, id: `certificate ${label}` });
const NOW = new Date('2026-06-01T00:00:00Z');
const lines = (text: string) => text.replace(/\r\n[ \t]/g, '').split('\r\n');

test('an event for each date, with alarms 90, 30 and 7 days before', () => {
  const told = lines(calendarOf([deadline('Root CA'), deadline('Other', '2027-02-01T00:30:00.000Z')], NOW));
  assert.equal(told[0], 'BEGIN:VCALENDAR');
  assert.deepEqual(told.filter((line) => line.startsWith('DTSTART')), ['DTSTART;VALUE=DATE:20270101', 'DTSTART;VALUE=DATE:20270201']);
  assert.deepEqual(told.filter((line) => line.startsWith('TRIGGER')), ['TRIGGER:-P90D', 'TRIGGER:-P30D', 'TRIGGER:-P7D', 'TRIGGER:-P90D', 'TRIGGER:-P30D', 'TRIGGER:-P7D']);
  assert.ok(told.includes('SUMMARY:REHEARSAL: certificate of CN=Root CA of "Root CA" expires'));
  assert.equal(new Set(told.filter((line) => line.startsWith('UID'))).size, 2);
  assert.equal(calendarOf([deadline('Root CA')], NOW), calendarOf([deadline('Root CA')], NOW), 'the same event again, not another one');
});

test('no label ends its line', () => {
  const told = lines(calendarOf([deadline('a\r\nEND:VEVENT\r\nBEGIN:VALARM\nb;c,d\\e'), deadline('ü'.repeat(90))], NOW));
  assert.equal(told.filter((line) => line === 'END:VEVENT').length, 2);
  assert.equal(told.filter((line) => line === 'BEGIN:VALARM').length, 6);
});

test('the day is that of UTC wherever the machine stands', () => {
  const program = `import { calendarOf } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../electron/calendar.ts')).href)}; process.stdout.write(calendarOf([${JSON.stringify(deadline('Root CA'))}], new Date(0)));`;
  for (const zone of ['Pacific/Auckland', 'America/Los_Angeles']) {
    assert.match(execFileSync(process.execPath, ['--input-type=module', '-e', program], { env: { ...process.env, TZ: zone } }).toString(), /^DTSTART;VALUE=DATE:20270101\r$/m, zone);
  }
});

test('a drill comes again, in a shorter month on its last day, with alarms of its own', () => {
  const drill = (every: string, at: string): Deadline => ({ ...deadline('Root CA', at), kind: 'drill', what: 'recovery drill', notice: [30, 7], key: { ...key('Root CA'), drill: { every, firstBy: at, by: 'Ada', reason: 'Policy 9.', ceremony: '', seq: 0, at } } });
  const rows = [
    ['P6M', '2027-01-15T00:00:00.000Z', 'RRULE:FREQ=MONTHLY;INTERVAL=6'], ['P6M', '2027-01-28T00:00:00.000Z', 'RRULE:FREQ=MONTHLY;INTERVAL=6'],
    ['P1M', '2027-01-29T00:00:00.000Z', 'RRULE:FREQ=MONTHLY;INTERVAL=1;BYMONTHDAY=28,29;BYSETPOS=-1'], ['P1M', '2027-01-31T00:00:00.000Z', 'RRULE:FREQ=MONTHLY;INTERVAL=1;BYMONTHDAY=28,29,30,31;BYSETPOS=-1'],
    ['P90D', '2027-01-31T00:00:00.000Z', 'RRULE:FREQ=DAILY;INTERVAL=90'],
  ] as const;
  for (const [every, at, wanted] of rows) {
    const told = lines(calendarOf([drill(every, at)], NOW));
    assert.deepEqual(told.filter((line) => line.startsWith('RRULE')), [wanted], `${every} ${at}`);
    assert.ok(told.includes('SUMMARY:REHEARSAL: recovery drill of "Root CA" is due'));
    assert.deepEqual(told.filter((line) => line.startsWith('TRIGGER')), ['TRIGGER:-P30D', 'TRIGGER:-P7D']);
    assert.match(told.join('\n'), /at least every .*Policy 9\./);
  }
  assert.ok(!calendarOf([deadline('Root CA')], NOW).includes('RRULE'), 'what expires does so once');
});
