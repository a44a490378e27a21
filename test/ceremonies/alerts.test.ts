/** What keys will run into: every notice with the moment before and after it, and what is no alert. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alerts, deadlines } from '../../ceremonies/alerts.ts';
import type { InventoryKey, KeyCertificate } from '../../ceremonies/inventory.ts';
import type { KeyState } from '../../ceremonies/keys/lifecycle.ts';

const END = '2027-01-01T00:00:00.000Z';
const DAY = 86_400_000;
const source = { ceremony: '0a'.repeat(16), seq: 7, at: '2026-01-01T00:00:00.000Z' };
const certificate = (notAfter: string, subject = 'CN=Root CA', more: Partial<KeyCertificate> = {}): KeyCertificate => ({ ...source, subject, issuer: 'CN=Root CA', sha256: `${notAfter} ${subject}`, notAfter, believed: true, ...more });
function key(state: KeyState | null, more: Partial<InventoryKey>): InventoryKey {
  return {
    identity: 'SHA-256 of SubjectPublicKeyInfo 0a', label: 'Root CA', algorithm: 'ECDSA P-256', standing: null, rehearsal: false, origin: 'generated', proof: 'reported', state, passages: [], period: null, drill: null, lastRecovery: null, copies: [],
    certificates: [], whoCan: [], events: [], unknown: [], destruction: { destroyed: 0, known: 1, level: null, words: '' }, believed: state !== null, ...more,
  };
}
const period = { period: { ...source, by: 'Ada', reason: 'Policy 7.', notBefore: null, notAfter: END } };
const said = (one: InventoryKey, left: number) => alerts({ keys: [one] }, new Date(Date.parse(END) - left)).map(({ rule, found }) => `${rule} ${/within (\d+)/.exec(found)?.[1] ?? 'over'}`);

test('each notice, at its boundary', () => {
  const rows: readonly (readonly [number, string | null])[] = [
    [365 * DAY, null], [90 * DAY + 1, null], [90 * DAY, '90'], [30 * DAY + 1, '90'], [30 * DAY, '30'], [7 * DAY + 1, '30'], [7 * DAY, '7'], [1, '7'], [0, 'over'], [-365 * DAY, 'over'],
  ];
  for (const [left, notice] of rows) {
    assert.deepEqual(said(key('active', { certificates: [certificate(END)] }), left), notice === null ? [] : [`${notice === 'over' ? 'CERTIFICATE-EXPIRED' : 'CERTIFICATE-EXPIRES'} ${notice}`], `certificate, ${left} ms before`);
    assert.deepEqual(said(key('active', period), left), notice === null ? [] : [`${notice === 'over' ? 'PERIOD-OVER' : 'PERIOD-ENDS'} ${notice}`], `period, ${left} ms before`);
  }
});

test('of which keys', () => {
  const both = { ...period, certificates: [certificate(END)] };
  const rows: readonly (readonly [KeyState | null, number])[] = [['pre-activation', 2], ['active', 2], ['suspended', 2], ['deactivated', 0], ['compromised', 0], ['destroyed', 0], [null, 0]];
  for (const [state, count] of rows) assert.equal(said(key(state, both), 0).length, count, String(state));
});

test('a certificate that a later one of its subject and issuer outlasts is none', () => {
  const later = '2030-01-01T00:00:00.000Z';
  assert.deepEqual(said(key('active', { certificates: [certificate(END), certificate(later)] }), 0), []);
  assert.deepEqual(said(key('active', { certificates: [certificate(END), certificate(later, 'CN=Other')] }), 0), ['CERTIFICATE-EXPIRED over']);
  assert.deepEqual(said(key('active', { certificates: [certificate(END), certificate(later, 'CN=Root CA', { issuer: 'CN=Old root' })] }), 0), ['CERTIFICATE-EXPIRED over'], 'a cross-certificate');
  assert.deepEqual(said(key('active', { certificates: [certificate(END), certificate(later, 'CN=Root CA', { believed: false })] }), 0), ['CERTIFICATE-EXPIRED over'], 'one of a record that does not verify');
  assert.deepEqual(said(key('active', { certificates: [certificate(END, 'CN=Root CA', { believed: false })] }), 0), [], 'such a one alone');
  assert.deepEqual(deadlines({ keys: [key('active', { ...period, certificates: [certificate(later), certificate(later, 'CN=Other')] })] }).map(({ at, what }) => `${at.slice(0, 4)} ${what}`),
    ['2027 cryptoperiod', '2030 certificate of CN=Other', '2030 certificate of CN=Root CA']);
});

test('two certificates of one moment have each its own entry, and a calendar has no date of a key that is over', () => {
  const two = key('active', { certificates: [certificate(END, 'CN=A', { seq: 3 }), certificate(END, 'CN=B', { seq: 9 })] });
  assert.deepEqual(alerts({ keys: [two] }, new Date(END)).map(({ source: entry }) => entry?.seq), [3, 9]);
  for (const state of ['deactivated', 'compromised', 'destroyed', null] as const) assert.deepEqual(deadlines({ keys: [key(state, { ...period, certificates: [certificate(END)] })] }), [], String(state));
});

test('every alert has a next step, the entry behind it, and the key', () => {
  for (const finding of alerts({ keys: [key('active', { ...period, certificates: [certificate(END)] })] }, new Date(END))) {
    assert.ok(finding.next.length > 20);
    assert.deepEqual([finding.source, finding.keys], [source, ['SHA-256 of SubjectPublicKeyInfo 0a']]);
  }
});

test('recovery drills: said before and after the date, when there is nothing to prove, and when a clock went wrong; a key without a schedule is no finding', () => {
  const set = { kind: 'share-set', set: '0a', epoch: 1, threshold: 2, shares: 3, custodians: [], recoveryProven: true, lastRecovery: { ...source, at: '2026-07-01T00:00:00.000Z' }, complete: true, renewal: null, since: source, end: null, believed: true } as const;
  const drill = { ...source, by: 'Ada', reason: 'Policy 9.', every: 'P6M', firstBy: '2026-12-15T00:00:00.000Z' };
  const one = (more: Partial<InventoryKey>, state: KeyState | null = 'active') => key(state, { copies: [set], drill, ...more });
  const rows: readonly (readonly [string, InventoryKey, number, string | null])[] = [
    ['31 days before', one({}), 30 * DAY + 1, null],
    ['30 days before', one({}), 30 * DAY, 'DRILL-DUE recovery drill of "Root CA": due on 2027-01-01, in 30 days (within 30); last proven on 2026-07-01'],
    ['a week before', one({}), 7 * DAY, 'DRILL-DUE recovery drill of "Root CA": due on 2027-01-01, in 7 days (within 7); last proven on 2026-07-01'],
    ['at the moment', one({}), 0, 'DRILL-OVERDUE recovery drill of "Root CA": due on 2027-01-01, overdue by 0 days; last proven on 2026-07-01'],
    ['ten days after', one({}), -10 * DAY, 'DRILL-OVERDUE recovery drill of "Root CA": due on 2027-01-01, overdue by 10 days; last proven on 2026-07-01'],
    ['never proven', one({ copies: [{ ...set, lastRecovery: null }] }), 20 * DAY, 'DRILL-DUE recovery drill of "Root CA": due on 2026-12-15, in 3 days (within 7); this backup was never proven'],
    ['no backup left', one({ copies: [{ ...set, renewal: 'superseded' }] }), 90 * DAY, 'DRILL-BACKUP recovery drill of "Root CA": the records know of no backup in force'],
    ['a clock that went back', one({}), 185 * DAY, 'DRILL-CLOCK recovery drill of "Root CA": its last one is dated 2026-07-01T00:00:00.000Z'],
    ['no schedule', one({ drill: null }), -365 * DAY, null],
    ['a key that is over', one({}, 'deactivated'), -365 * DAY, null],
    ['one that nothing believable is known of', one({}, null), -365 * DAY, null],
  ];
  for (const [what, about, left, wanted] of rows) {
    const found = alerts({ keys: [about] }, new Date(Date.parse(END) - left));
    assert.deepEqual(found.map(({ rule, found: words }) => `${rule} ${words}`), wanted === null ? [] : [wanted], what);
    for (const finding of found) assert.deepEqual([finding.source, finding.keys, finding.next.length > 20], [source, [about.identity], true], what);
  }
  assert.deepEqual(deadlines({ keys: [one({}), one({ drill: null }), one({}, 'destroyed')] }).map(({ kind, at, notice }) => [kind, at, notice]), [['drill', END, [30, 7]]]);
});
