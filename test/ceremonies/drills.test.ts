/** Recovery drills: intervals as people type them, dates at the ends of months and years, and which proof is counted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { after, dueOf, intervalOf, intervalText, noticeFor, standingOf } from '../../ceremonies/drills.ts';
import { SEED } from './keys/seed.ts';

const DAY = 86_400_000;

test('an interval, as it is typed and as it is signed', () => {
  const rows = [
    ['6m', 'P6M'], ['6 M', 'P6M'], ['P6M', 'P6M'], ['90d', 'P90D'], ['1y', 'P12M'], ['10y', 'P120M'], ['06m', 'P6M'], ['0m', 'P0M'], ['', null], ['6', null], ['m', null], ['-6m', null], ['1.5y', null], ['6w', null], ['six months', null], ['99999d', null],
  ] as const;
  for (const [typed, wanted] of rows) assert.equal(intervalOf(typed), wanted, typed);
  assert.deepEqual(['P1M', 'P6M', 'P1D', 'P90D'].map(intervalText), ['1 month', '6 months', '1 day', '90 days']);
});

test('the date after an interval: ends of months, leap years, and no local clock', () => {
  const rows = [
    ['2026-05-22T14:03:09.000Z', 'P6M', '2026-11-22T14:03:09.000Z'],
    ['2026-08-31T14:00:00.000Z', 'P6M', '2027-02-28T14:00:00.000Z'],
    ['2027-08-31T14:00:00.000Z', 'P6M', '2028-02-29T14:00:00.000Z'],
    ['2028-02-29T00:00:00.000Z', 'P12M', '2029-02-28T00:00:00.000Z'],
    ['2028-02-29T00:00:00.000Z', 'P48M', '2032-02-29T00:00:00.000Z'],
    ['2096-02-29T00:00:00.000Z', 'P48M', '2100-02-28T00:00:00.000Z'],
    ['2026-01-31T23:59:59.999Z', 'P1M', '2026-02-28T23:59:59.999Z'],
    ['2026-12-31T23:59:59.999Z', 'P2M', '2027-02-28T23:59:59.999Z'],
    ['2026-12-31T00:00:00.000Z', 'P1M', '2027-01-31T00:00:00.000Z'],
    ['2026-02-28T00:00:00.000Z', 'P1D', '2026-03-01T00:00:00.000Z'],
    ['2028-02-28T00:00:00.000Z', 'P1D', '2028-02-29T00:00:00.000Z'],
    ['2026-03-28T12:00:00.000Z', 'P1D', '2026-03-29T12:00:00.000Z'], // the clocks of Europe go forward
    ['2026-12-01T00:00:00.000Z', 'P90D', '2027-03-01T00:00:00.000Z'],
  ] as const;
  for (const [from, every, to] of rows) assert.equal(after(from, every), to, `${from} ${every}`);
});

test(`property: months end where they end, and days are days (seed ${SEED})`, () => {
  const moment = fc.date({ min: new Date('2000-01-01T00:00:00Z'), max: new Date('2090-01-01T00:00:00Z'), noInvalidDate: true });
  fc.assert(fc.property(moment, fc.integer({ min: 1, max: 120 }), (from, months) => {
    const to = new Date(after(from.toISOString(), `P${months}M`));
    const [was, is] = [from.getUTCFullYear() * 12 + from.getUTCMonth(), to.getUTCFullYear() * 12 + to.getUTCMonth()];
    assert.equal(is - was, months, 'so many months on the calendar');
    assert.equal(to.getTime() % DAY, from.getTime() % DAY, 'at the same time of day');
    const next = new Date(to.getTime() + DAY);
    assert.ok(to.getUTCDate() === from.getUTCDate() || (to.getUTCDate() < from.getUTCDate() && next.getUTCDate() === 1), 'on the same day, or the last of a shorter month');
  }), { seed: SEED });
  fc.assert(fc.property(moment, fc.integer({ min: 1, max: 3652 }), (from, days) => {
    assert.equal(Date.parse(after(from.toISOString(), `P${days}D`)) - from.getTime(), days * DAY);
  }), { seed: SEED });
});

const proof = (at: string) => ({ ceremony: '0a'.repeat(16), seq: 9, at });
const set = (lastRecovery: ReturnType<typeof proof> | null, more: object = {}) => ({ kind: 'share-set', believed: true, complete: true, renewal: null, end: null, lastRecovery, ...more });
const drill = { every: 'P6M', firstBy: '2027-01-01T00:00:00.000Z' };
const OLD = proof('2026-01-31T00:00:00.000Z');
const NEW = proof('2026-08-31T00:00:00.000Z');

test('due is what follows from the last proof of the backup in force', () => {
  const rows: readonly (readonly [string, readonly object[], string | null])[] = [
    ['proven', [set(OLD)], '2026-07-31T00:00:00.000Z'],
    ['never proven', [set(null)], drill.firstBy],
    ['renewed, and the new set is not proven: the old one is in force', [set(OLD), set(null, { renewal: 'unproven' })], '2026-07-31T00:00:00.000Z'],
    ['renewed, and the new set is proven', [set(OLD, { renewal: 'superseded' }), set(NEW)], '2027-02-28T00:00:00.000Z'],
    ['renewed, and the proof of the new one does not count', [set(NEW, { renewal: 'superseded' }), set(null)], drill.firstBy],
    ['two backups: the one whose proof is older', [set(NEW), set(OLD)], '2026-07-31T00:00:00.000Z'],
    ['two backups: the one that was never proven', [set(NEW), set(null)], drill.firstBy],
    ['of which one was given up', [set(OLD, { complete: false }), set(NEW)], '2027-02-28T00:00:00.000Z'],
    ['of which one has too few shares left', [set(OLD, { end: { level: 'L1' } }), set(NEW)], '2027-02-28T00:00:00.000Z'],
    ['of which one only a record tells that does not verify', [set(OLD, { believed: false }), set(NEW)], '2027-02-28T00:00:00.000Z'],
    ['no backup', [{ kind: 'object' }], null],
  ];
  for (const [what, copies, at] of rows) assert.equal(dueOf({ drill, copies: copies as readonly { kind: string }[] })?.at ?? null, at, what);
  assert.equal(dueOf({ drill: null, copies: [set(OLD)] }), null, 'nobody has scheduled anything');
});

test('how it stands: every notice at its boundary', () => {
  const due = Date.parse('2026-07-31T00:00:00.000Z');
  const rows: readonly (readonly [number, string, number])[] = [
    [30 * DAY + 1, 'ahead', 31], [30 * DAY, 'soon', 30], [29 * DAY + 1, 'soon', 30], [7 * DAY, 'soon', 7], [1, 'soon', 1], [0, 'overdue', 0], [-1, 'overdue', 0], [-DAY + 1, 'overdue', 0], [-DAY, 'overdue', -1], [-400 * DAY, 'overdue', -400],
  ];
  for (const [left, standing, days] of rows) {
    const found = standingOf({ drill, copies: [set(OLD)] }, new Date(due - left));
    assert.deepEqual([found?.standing, found?.days], [standing, days], `${left} ms before`);
  }
  const at = (key: Parameters<typeof standingOf>[0], now = '2026-05-01T00:00:00.000Z') => standingOf(key, new Date(now))?.standing ?? null;
  assert.equal(at({ drill: null, copies: [set(OLD)] }), 'never');
  assert.equal(at({ drill: null, copies: [] }), null, 'no backup, and nobody wants one proven');
  assert.equal(at({ drill, copies: [set(OLD, { end: { level: 'L1' } })] }), 'moot');
  assert.equal(at({ drill, copies: [set(OLD)] }, '2026-01-30T23:59:59.999Z'), 'doubtful', 'the clock went back before the proof');
  assert.equal(at({ drill, copies: [set(OLD)] }, OLD.at), 'ahead', 'proven at this moment');
});

test('no notice is as long as half of the interval', () => {
  const rows = [['P1D', []], ['P14D', []], ['P15D', [7]], ['P60D', [7]], ['P61D', [30, 7]], ['P1M', [7]], ['P2M', [7]], ['P3M', [30, 7]], ['P120M', [30, 7]]] as const;
  for (const [every, notice] of rows) assert.deepEqual(noticeFor(every), notice, every);
});
