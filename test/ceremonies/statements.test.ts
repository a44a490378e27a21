/** What people sign of a key: every passage of the table and every other pair, the key that is meant, times with their boundaries. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { orderFault, orderText, resultFault, resultLines } from '../../ceremonies/administration.ts';
import type { DrillSigned, Intent, PeriodSigned, StateSigned } from '../../ceremonies/evidence.ts';
import { KEY_STATES, TRANSITIONS } from '../../ceremonies/keys/lifecycle.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { instantOf, drillOf, firstByFault, isInstant, keyNamed, signable, sinceFault } from '../../ceremonies/statements.ts';

const KEY = 'SHA-256 of SubjectPublicKeyInfo 0a0b0c';
const SINCE = '2026-03-01T00:00:00Z';
const state = (order: Partial<StateSigned>): Intent<'administer'> => ({ change: 'set-state', order: { key: KEY, label: 'Root CA', reason: 'As decided today.', from: 'active', to: 'suspended', since: null, ...order } });
const period = (order: Partial<PeriodSigned>): Intent<'administer'> => ({ change: 'set-period', order: { key: KEY, label: 'Root CA', reason: 'Policy 7.', notBefore: null, notAfter: '2028-01-01T00:00:00Z', ...order } });
const drill = (order: Partial<DrillSigned>): Intent<'administer'> => ({ change: 'set-drill', order: { key: KEY, label: 'Root CA', reason: 'Policy 9.', every: 'P6M', firstBy: '2027-03-01T00:00:00Z', ...order } });
const rule = (intent: Intent<'administer'>) => orderFault(intent, [], 'real')?.rule ?? null;

test('every pair of states: signed, refused, or left to the copies', () => {
  for (const from of KEY_STATES) {
    for (const to of KEY_STATES) {
      const allowed = TRANSITIONS.some((one) => one.from === from && one.to === to);
      const wanted = to === 'destroyed' ? 'STATE-BY-COPIES' : allowed ? null : 'STATE-TRANSITION';
      assert.equal(rule(state({ from, to, since: to === 'compromised' ? SINCE : null })), wanted, `${from} to ${to}`);
      assert.equal(signable(from).some((one) => one.to === to), wanted === null, `${from} to ${to}, as it is offered`);
    }
  }
  assert.deepEqual(signable(null), [], 'a key is born by being made, not by a signature');
});

test('what may be stated', () => {
  const rows: readonly (readonly [string, Intent<'administer'>, string | null])[] = [
    ['a compromise that says since when', state({ to: 'compromised', since: SINCE }), null],
    ['one that does not', state({ to: 'compromised' }), 'STATE-SINCE'],
    ['a suspension since a time', state({ since: SINCE }), 'STATE-SINCE'],
    ['since a day without a time', state({ to: 'compromised', since: '2026-03-01' }), 'STATE-SINCE'],
    ['since a day that there is not', state({ to: 'compromised', since: '2026-02-30T00:00:00Z' }), 'STATE-SINCE'],
    ['no reason', state({ reason: '' }), 'ENTRY-DATA'],
    ['a blank reason', state({ reason: '  ' }), 'TEXT-PRINTABLE'],
    ['a reason that reads as another', state({ reason: 'lost\u202e' }), 'TEXT-PRINTABLE'],
    ['another state than there is', { change: 'set-state', order: { key: KEY, label: '', reason: 'x', from: 'active', to: 'asleep', since: null } }, 'ENTRY-DATA'],
    ['a token, which it must not have', { change: 'set-state', order: { key: KEY, label: '', reason: 'x', from: 'active', to: 'suspended', since: null, token: '0417' } }, 'ENTRY-DATA'],
    ['a period', period({}), null],
    ['a period with both ends', period({ notBefore: '2027-12-31T23:59:59Z' }), null],
    ['one that ends when it begins', period({ notBefore: '2028-01-01T00:00:00Z' }), 'PERIOD-TIMES'],
    ['one that ends before it begins', period({ notBefore: '2028-01-01T00:00:00.001Z' }), 'PERIOD-TIMES'],
    ['a drill every six months', drill({}), null],
    ['every day', drill({ every: 'P1D' }), null],
    ['every ten years', drill({ every: 'P120M' }), null],
    ['every ten years and a month', drill({ every: 'P121M' }), 'DRILL-INTERVAL'],
    ['every 3652 days', drill({ every: 'P3652D' }), null],
    ['every 3653 days', drill({ every: 'P3653D' }), 'DRILL-INTERVAL'],
    ['always', drill({ every: 'P0M' }), 'DRILL-INTERVAL'],
    ['backwards', drill({ every: 'P-6M' }), 'DRILL-INTERVAL'],
    ['with a leading zero, which would be a second way to say it', drill({ every: 'P06M' }), 'DRILL-INTERVAL'],
    ['every week, as ISO 8601 has it and this does not', drill({ every: 'P1W' }), 'DRILL-INTERVAL'],
    ['an interval that is too long to be one', drill({ every: 'P000000006M' }), 'ENTRY-DATA'],
    ['first by a day without a time', drill({ firstBy: '2027-03-01' }), 'DRILL-FIRST-BY'],
    ['no first date', { change: 'set-drill', order: { key: KEY, label: '', reason: 'x', every: 'P6M' } }, 'ENTRY-DATA'],
    ['a drill without a reason', drill({ reason: ' ' }), 'TEXT-PRINTABLE'],
    ['an end in another time zone', period({ notAfter: '2028-01-01T00:00:00+01:00' }), 'PERIOD-TIMES'],
  ];
  for (const [what, intent, expected] of rows) assert.equal(rule(intent), expected, what);
});

test('a statement proves nothing but itself, and says so', () => {
  assert.equal(resultFault(state({}), {}), null);
  assert.equal(resultFault(state({}), { token: '0417' })?.rule, 'EVIDENCE-MATCHES-ACTION');
  assert.equal(orderText(state({ to: 'compromised', since: SINCE })), `the key "Root CA" passes from active to compromised, since ${SINCE}: As decided today.`);
  assert.deepEqual(resultLines(state({}), {}).map(({ text, mark }) => [text, mark]), [
    [KEY, null], ['STATE-SUSPENDED: it is not to be used for a time (SP 800-57 Part 1 section 7.2)', null], ['no token was touched', null],
  ]);
  assert.equal(orderText(period({})), 'the key "Root CA" may be used until 2028-01-01T00:00:00Z: Policy 7.');
});

test('a key by its label, its identity or the beginning of its fingerprint; two that fit are refused with the list', () => {
  const keys = [
    { label: 'Root CA', identity: `SHA-256 of SubjectPublicKeyInfo 0a0b0c0d${'0'.repeat(56)}` }, { label: 'Old CA', identity: `SHA-256 of SubjectPublicKeyInfo 0a0b0cff${'0'.repeat(56)}` },
    { label: 'KEK', identity: 'CMAC of zeros, 3 bytes (ANSI X9.24-1) a1b2c3' }, { label: 'KEK', identity: 'CMAC of zeros, 3 bytes (ANSI X9.24-1) d1d2d3' }, { label: 'a1b2c3', identity: 'object hsm:0417 77' },
  ];
  const found = (name: string) => {
    try {
      return keys.indexOf(keyNamed(keys, name));
    } catch (error) {
      assert.ok(error instanceof Refused);
      return error.refusal.rule;
    }
  };
  const rows: readonly (readonly [string, number | string])[] = [
    ['Root CA', 0], ['0a0b0c0d', 0], ['0A0B 0C0D', 0], ['0a:0b:0c:ff', 1], ['0a0b0c', 'KEY-AMBIGUOUS'], ['0a0b0', 'KEY-KNOWN'], ['KEK', 'KEY-AMBIGUOUS'], ['d1d2d3', 3], [keys[2]!.identity, 2],
    ['a1b2c3', 'KEY-AMBIGUOUS'], ['root ca', 'KEY-KNOWN'], ['', 'KEY-KNOWN'], ['object hsm:0417 77', 4],
  ];
  for (const [name, wanted] of rows) assert.equal(found(name), wanted, name);
  assert.throws(() => keyNamed(keys, 'KEK'), (error) => error instanceof Refused && error.refusal.found.includes('a1b2c3') && error.refusal.found.includes('d1d2d3'));
});

test('days and instants', () => {
  const rows = [['2026-03-01', '2026-03-01T00:00:00.000Z'], ['2026-03-01T12:00:00Z', '2026-03-01T12:00:00.000Z'], ['2026-02-29', null], ['2028-02-29', '2028-02-29T00:00:00.000Z'], ['tomorrow', null], ['2026-03-01T12:00', null], ['2026-03-01T24:00:00Z', null], ['', null]] as const;
  for (const [text, wanted] of rows) assert.equal(instantOf(text), wanted, text);
  assert.equal(isInstant('2026-03-01T12:00:00.5Z'), false);
});

test('a compromise is known of up to this moment', () => {
  const at = '2026-03-01T00:00:00.000Z';
  const rows: readonly (readonly [string | null, string | null])[] = [[null, null], ['2026-02-28T23:59:59Z', null], ['2026-03-01T00:00:00Z', null], [at, null], ['2026-03-01T00:00:00.001Z', 'STATE-SINCE'], ['2026-03-01T00:00:01Z', 'STATE-SINCE']];
  for (const [since, wanted] of rows) assert.equal(sinceFault({ since }, at)?.rule ?? null, wanted, `${since}`);
});

test('the first drill is due from now on and within ten years', () => {
  const at = '2026-03-01T00:00:00.000Z';
  const rows: readonly (readonly [string, string | null])[] = [
    ['2026-02-28T23:59:59.999Z', 'DRILL-FIRST-BY'], [at, null], ['2036-03-01T00:00:00.000Z', null], ['2036-03-01T00:00:00.001Z', 'DRILL-FIRST-BY'],
  ];
  for (const [firstBy, wanted] of rows) assert.equal(firstByFault({ firstBy }, at)?.rule ?? null, wanted, firstBy);
});

test('drills are scheduled of a key with a backup in force, and in a rehearsal of none that is in earnest', () => {
  const set = { kind: 'share-set', believed: true, complete: true, renewal: null, end: null, lastRecovery: null };
  const end = { level: 'L1' };
  const asked = { every: 'P6M', firstBy: '2027-03-01T00:00:00.000Z', reason: 'Policy 9.' };
  const rows: readonly (readonly [string, readonly object[], boolean, 'rehearsal' | 'real', string | null])[] = [
    ['a whole set', [set], false, 'real', null], ['no backup', [], false, 'real', 'DRILL-BACKUP'], ['a key on a token alone', [{ kind: 'object' }], false, 'real', 'DRILL-BACKUP'],
    ['one that was given up', [{ ...set, complete: false }], false, 'real', 'DRILL-BACKUP'], ['one that was renewed', [{ ...set, renewal: 'superseded' }], false, 'real', 'DRILL-BACKUP'],
    ['one that is not in force yet', [{ ...set, renewal: 'unproven' }], false, 'real', 'DRILL-BACKUP'], ['both', [{ ...set, renewal: 'superseded' }, set], false, 'real', null],
    ['one with too few shares left', [{ ...set, end }], false, 'real', 'DRILL-BACKUP'], ['one of a record that does not verify', [{ ...set, believed: false }], false, 'real', 'DRILL-BACKUP'],
    ['of a key in earnest, in a rehearsal', [set], false, 'rehearsal', 'STATE-REHEARSAL'], ['of one of a rehearsal', [set], true, 'rehearsal', null],
  ];
  for (const [what, copies, rehearsal, mode, wanted] of rows) {
    const sign = () => drillOf({ identity: KEY, label: 'Root CA', rehearsal, state: 'active', copies: copies as readonly { kind: string }[] }, asked, { mode, now: new Date('2026-11-01T00:00:00Z') });
    if (wanted === null) assert.deepEqual(sign(), { key: KEY, label: 'Root CA', ...asked }, what);
    else assert.throws(sign, (error) => error instanceof Refused && error.refusal.rule === wanted, what);
  }
});
