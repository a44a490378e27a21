/** The Keys room's own logic: what a filter shows and what it must not hide, what is wrapped under what, a copy in words, a life in columns. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stands } from '../../ceremonies/destruction.ts';
import type { Copy, InventoryKey } from '../../ceremonies/inventory.ts';
import { ANY, COLUMNS, copyView, endWords, expiry, filtered, findingCounts, findingFacet, hiddenFindings, Keeping, lifeOf, NO_FILTER, progressWords, standingWords, stateWord, type Filter } from '../../renderer/keys.ts';
import { createConclave, type World } from '../../renderer/store.ts';
import { PretendBridge } from './bridge.ts';
import { BACKUP, end, HSM, object, pretendedKey, pretendInventory, source } from './pretend-keys.ts';

const inventory = pretendInventory();
const { findings } = inventory;
const keeping = new Keeping();
keeping.add(inventory.keys);
const { rows } = keeping;
const labels = (shown: readonly { readonly key: InventoryKey }[]) => shown.map(({ key }) => key.label);
const named = (label: string) => inventory.keys.find((key) => key.label === label) ?? assert.fail(label);
const nameOf = (serial: string) => (serial === HSM ? 'HSM-A' : serial);

test('a filter shows the keys that fit all of it', () => {
  const table: readonly (readonly [Partial<Filter>, readonly string[]])[] = [
    [{ typed: 'root ca' }, ['Example Root CA G1']],
    [{ typed: '  ROOT ca  ' }, ['Example Root CA G1']],
    [{ typed: 'dmitri' }, ['Example Root CA G1', 'Composite Root G2']],
    [{ typed: BACKUP }, ['Partner signing']],
    [{ typed: '0000 0000 00be ef01' }, ['Partner signing']],
    [{ typed: 'CN=Example Root' }, ['Example Root CA G1']],
    [{ typed: 'no such thing' }, []],
    [{ state: 'destroyed' }, ['Payments 2019']],
    [{ state: 'unknown' }, ['Invented']],
    [{ standing: 'disallowed' }, ['Payments 2019']],
    [{ standing: 'draft' }, ['Composite Root G2']],
    [{ token: BACKUP }, ['Partner signing']],
    [{ finding: ANY }, ['Partner signing']],
    [{ finding: 'BEGUN-UNEXPLAINED' }, ['Partner signing']],
    [{ finding: 'RECORD-NOT-BELIEVED' }, []],
    [{ typed: 'branch', state: 'suspended' }, ['Branch 4 data key']],
    [{ typed: 'branch', state: 'destroyed' }, []],
  ];
  for (const [given, wanted] of table) assert.deepEqual(labels(filtered(rows, findings, { ...NO_FILTER, ...given })), wanted, JSON.stringify(given));
  assert.equal(filtered(rows, findings, { ...NO_FILTER, typed: '   ' }), rows, 'blanks are no filter');
});

test('what a filter hides of the findings is counted; one about no key in particular is never hidden', () => {
  const hidden = (filter: Partial<Filter>) => hiddenFindings(rows, filtered(rows, findings, { ...NO_FILTER, ...filter }), findings);
  assert.equal(hidden({}), 0);
  assert.equal(hidden({ typed: 'partner' }), 0);
  assert.equal(hidden({ state: 'destroyed' }), 1);
  assert.equal(hidden({ typed: 'no such thing' }), 1);
  const both = [{ ...findings[1]!, keys: [named('Payments 2019').identity, named('Partner signing').identity] }];
  assert.equal(hiddenFindings(rows, filtered(rows, both, { ...NO_FILTER, state: 'destroyed' }), both), 0, 'one of its keys is in sight');
});

test('choices say how many keys they would show', () => {
  const { keys: _keys, ...rest } = inventory;
  const { facets } = keeping.kept(1, rest);
  assert.deepEqual(facets.state.get('active'), 11);
  assert.deepEqual([...findingFacet(findings)], [['BEGUN-UNEXPLAINED', 1]]);
  for (const [state, count] of facets.state) assert.equal(filtered(rows, findings, { ...NO_FILTER, state }).length, count, state);
  for (const [token, count] of facets.token) assert.equal(filtered(rows, findings, { ...NO_FILTER, token }).length, count, token);
  for (const [standing, count] of facets.standing) assert.equal(filtered(rows, findings, { ...NO_FILTER, standing }).length, count, standing);
  assert.deepEqual([...findingCounts([...findings, { ...findings[1]!, keys: [...findings[1]!.keys, ...findings[1]!.keys] }])], [[named('Partner signing').identity, 2]]);
});

test('copies in words; a kind, a state and a level of a later record are shown by their own names', () => {
  const view = (label: string, index: number) => copyView(named(label).copies[index]!, nameOf);
  assert.deepEqual([view('Example Root CA G1', 0).title, view('Example Root CA G1', 0).place, view('Example Root CA G1', 0).medium], ['private key “Example Root CA G1”', 'on HSM-A', 'token']);
  assert.ok(view('Example Root CA G1', 0).details.includes('could leave it once'), 'CKA_NEVER_EXTRACTABLE is false');
  assert.equal(view('Example Root CA G1', 1).medium, 'public');
  assert.deepEqual(view('Example Root CA G1', 2).shares.map(({ words, readBack }) => [words, readBack]).at(-1), ['share 3: Dmitri Kustov, on 000000000000ca30', false]);
  assert.deepEqual(view('Composite Root G2', 0).details, [`under key ${(named('Vault KEK').copies[0] as { id: string }).id.replace(/(.{4})(?=.)/g, '$1 ')} on HSM-A`]);
  assert.equal(view('Payments 2019', 1).stands, false);
  const envelope = { ...object('secret-key', 'x'), kind: 'envelope' } as unknown as Copy;
  assert.deepEqual([copyView(envelope, nameOf).medium, copyView(envelope, nameOf).title], ['other', 'envelope']);
  assert.equal(endWords({ level: 'L9' as 'L1', how: 'somehow' }), 'L9, : somehow');
  assert.equal(endWords({ level: 'L1', how: 'gone' }), 'L1, observed absent by software: gone');
  assert.deepEqual([stateWord('archived'), stateWord('pre-activation'), standingWords({ standing: null })], ['archived', 'not yet active', 'not judged']);
  assert.deepEqual([stands({ end: null }), stands({ end: end('L0', '', 1) }), stands({ end: end('L1', '', 1) })], [true, true, false], 'a request has ended nothing');
});

test('a life: one column for an event, one for a record where there are many, and copies from where they begin to where they end', () => {
  const key = named('Example Root CA G1');
  const life = (of: InventoryKey) => lifeOf(of, of.copies.map((copy) => copyView(copy, nameOf)));
  const { columns, copies, certificates } = life(key);
  assert.deepEqual(columns.map(({ first, events }) => [first, events]), key.events.map((_, index) => [index, 1]));
  assert.deepEqual(copies.map(({ from, to }) => [from, to]), [[0, null], [0, null], [3, null], [11, 11]]);
  assert.deepEqual(certificates.map(({ from }) => from), [2, 10]);
  const many = pretendedKey('Busy', [object('secret-key', 'Busy')], { events: Array.from({ length: 2000 }, (_, index) => ({ ...source(index, `${index >> 3}`.padStart(32, '0')), by: 'x', what: 'wrapped', believed: true })) });
  const grouped = life(many).columns;
  assert.equal(grouped.length, COLUMNS);
  assert.equal(grouped.reduce((sum, { events }) => sum + events, 0), 2000, 'no event is left out');
  assert.deepEqual(grouped.slice(0, 2), [{ at: many.events[0]!.at, first: 0, events: 8 }, { at: many.events[8]!.at, first: 8, events: 8 }]);
  assert.deepEqual(life(pretendedKey('None', [object('secret-key', 'None')], { events: [] })).columns, []);
});

test('when a certificate ends', () => {
  const now = Date.UTC(2026, 0, 1);
  const rowsOf = [[-1, 'expired', 'refused'], [0, 'expires today', 'reported'], [86_400_000, 'expires in 1 day', 'reported'], [90 * 86_400_000 - 1, 'expires in 89 days', 'reported'], [90 * 86_400_000, 'expires in 90 days', 'reported'], [90 * 86_400_000 + 1, 'expires in 90 days', 'plain'], [730 * 86_400_000, 'expires in 730 days', 'plain'], [731 * 86_400_000, 'expires in 2 years', 'plain']] as const;
  for (const [left, words, mark] of rowsOf) assert.deepEqual(expiry(new Date(now + left).toISOString(), now), { words, mark }, `${left}`);
});

test('progress in words', () => {
  assert.deepEqual(progressWords(null), []);
  assert.deepEqual(progressWords({ doing: 'records', at: 3, of: 12 }), ['Verifying record 3 of 12.']);
  assert.deepEqual(progressWords({ doing: 'tokens', label: '', at: 0, of: 0, objects: 0, total: 0 }), ['Looking which tokens are there.']);
  assert.deepEqual(progressWords({ doing: 'tokens', label: 'HSM-A', at: 1, of: 2, objects: 3200, total: 10_000 }), ['HSM-A: token 1 of 2.', '3,200 of 10,000 objects read.']);
});

// --- as it is read ---------------------------------------------------------------------------------------------------------

const world: World = { now: () => performance.now(), rest: () => Promise.resolve() };

test('ten thousand keys come page by page; the same look is not read twice; a newer one begins anew', async () => {
  const bridge = new PretendBridge();
  bridge.inventory = pretendInventory(10_000);
  let rests = 0;
  const store = createConclave(bridge, { ...world, rest: () => { rests += 1; return Promise.resolve(); } });
  await store.getState().readInventory();
  assert.equal(store.getState().inventory?.rows.length, bridge.inventory.keys.length);
  assert.ok(rests >= 100, 'the page draws in between');
  const asked = () => bridge.calls.filter(({ call }) => call === 'inventory').length;
  const before = asked();
  await store.getState().readInventory();
  assert.equal(asked(), before + 1);
  // Between two pages a record grows: what came of the older look is not mixed with the newer.
  const call = bridge.call.bind(bridge);
  let look = 2;
  bridge.call = async (request) => {
    const answer = await call(request);
    if (request.call === 'inventory' && answer.ok) {
      if (request.from === 400 && look === 2) look = 3;
      Object.assign(answer.value as object, { look });
    }
    return answer;
  };
  await store.getState().readInventory();
  assert.deepEqual([store.getState().inventory?.look, new Set(store.getState().inventory?.rows.map(({ key }) => key.identity)).size], [3, bridge.inventory.keys.length]);
});

test('a refused look is told in the room, and what was read before stays', async () => {
  const bridge = new PretendBridge();
  bridge.inventory = pretendInventory();
  const store = createConclave(bridge, world);
  store.getState().go({ at: 'keys' });
  await store.getState().readInventory();
  bridge.failNext.set('inventory', { ok: false, problem: { code: 'CONDUCTOR_LOST', message: 'gone', hint: 'open it again' } });
  await store.getState().readInventory();
  assert.deepEqual([store.getState().trouble?.problem?.code, store.getState().counting, store.getState().inventory?.rows.length], ['CONDUCTOR_LOST', null, inventory.keys.length]);
  const compared = await store.getState().compareWithTokens([], 'ask');
  assert.equal(store.getState().comparison?.compared, compared);
  assert.equal(store.getState().comparison?.look, store.getState().inventory?.look);
});
