/** The Tokens room's own logic: what a typed line asks for, what the readiness matrix holds, who is logged in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AttributeWanted } from '../../ceremonies/estate.ts';
import type { ReaderReport } from '../../electron/contract.ts';
import { matrixOf, queryOf, readersSay, readinessCount, tokenKey } from '../../renderer/estate.ts';
import { createConclave, type World } from '../../renderer/store.ts';
import { PretendBridge } from './bridge.ts';
import { pretendReadiness } from './pretend-tokens.ts';

test('a typed line is a whole label, attributes, or a pasted URI', () => {
  const where = (typed: string) => {
    const query = queryOf(typed);
    assert.equal(query.kind, 'where', typed);
    return query.kind === 'where' ? query.where.map(({ attribute, value }) => `${attribute}: ${value}`) : [];
  };
  assert.deepEqual(queryOf('  '), { kind: 'all' });
  assert.deepEqual(queryOf(' PKCS11:token=a;object=b '), { kind: 'uri', uri: 'PKCS11:token=a;object=b' });
  assert.deepEqual(where('Root CA'), ['CKA_LABEL: Root CA']);
  assert.deepEqual(where('"sign=true"'), ['CKA_LABEL: sign=true']);
  assert.deepEqual(where('label=Root CA sign=yes'), ['CKA_LABEL: Root CA', 'CKA_SIGN: true']);
  assert.deepEqual(where('class=private-key key-type=ec'), ['CKA_CLASS: CKO_PRIVATE_KEY', 'CKA_KEY_TYPE: CKK_EC']);
  assert.deepEqual(where('CKA_CLASS=CKO_DATA'), ['CKA_CLASS: CKO_DATA']);
  assert.deepEqual(where('class=3'), ['CKA_CLASS: 3']);
  assert.deepEqual(where('id=9F2C 01ab:77'), ['CKA_ID: 9f2c01ab77']);
  assert.deepEqual(where('label=CN=Root CA'), ['CKA_LABEL: CN=Root CA']);
  assert.deepEqual(where('label='), ['CKA_LABEL: ']);
  assert.deepEqual(where("application='a b'"), ['CKA_APPLICATION: a b']);
});

test('whatever is typed, the search that comes of it has the form that the contract takes', () => {
  for (const typed of ['=', '= =', 'a=', 'x y=1 z', '""', 'pkcs11', "'", 'id=', `${'q'.repeat(60)}=1`, `${'q'.repeat(61)}=1`]) {
    const query = queryOf(typed);
    assert.ok(query.kind === 'where' && query.where.every((wanted) => AttributeWanted.safeParse(wanted).success), typed);
  }
});

test('the matrix has every parameter set once, and a gap where a token was not asked', () => {
  const all = pretendReadiness();
  const families = matrixOf([all, all.filter(({ family }) => family === 'rsa')]);
  assert.deepEqual(families.map(({ family }) => family), ['rsa', 'ecdsa', 'eddsa', 'ml-dsa', 'ml-kem', 'slh-dsa', 'aes']);
  assert.equal(families.flatMap(({ rows }) => rows).length, all.length);
  assert.deepEqual(families[0]?.rows[0]?.cells.map((cell) => cell?.can), ['proven', 'proven']);
  assert.deepEqual(families[1]?.rows[0]?.cells.map((cell) => cell?.can ?? null), ['proven', null]);
  assert.deepEqual(readinessCount(all), { proven: 7, claimed: 2, absent: 13 });
});

test('the store keeps what tokens said of a login and of what they can, and nothing of a probe that failed', async () => {
  const world: World = { now: () => 5, rest: () => Promise.resolve() };
  const bridge = new PretendBridge();
  const store = createConclave(bridge, world);
  store.getState().go({ at: 'tokens' });
  await store.getState().refreshEstate();
  assert.equal(store.getState().modules?.configured.length, 2);

  store.getState().noteLogin('softhsm', '00000000deadbeef', true);
  assert.deepEqual(store.getState().logins[tokenKey('softhsm', '00000000deadbeef')], { loggedIn: true, at: 5 });

  const problem = { code: 'CKR_PIN_INCORRECT', message: 'wrong', hint: 'again' };
  bridge.failNext.set('probe', { ok: false, problem });
  assert.equal(await store.getState().probe('softhsm', '00000000deadbeef', false, false), false);
  assert.deepEqual(store.getState().probed, {});
  assert.deepEqual(store.getState().trouble?.problem, problem);
  assert.equal(store.getState().took.probe, undefined);
  assert.equal(await store.getState().probe('softhsm', '00000000deadbeef', false, false), true);
  assert.equal(store.getState().probed[tokenKey('softhsm', '00000000deadbeef')]?.length, pretendReadiness().length);
  assert.equal(store.getState().trouble, null);
});

test('libraries are asked about only where they are shown', async () => {
  const bridge = new PretendBridge();
  const store = createConclave(bridge, { now: () => 0, rest: () => Promise.resolve() });
  await store.getState().refreshEstate();
  assert.deepEqual(bridge.calls.map(({ call }) => call), ['estate']);
});

test('of readers and cards what no token tells is said', () => {
  const token = new PretendBridge().estate().modules.flatMap(({ slots }) => slots.flatMap((slot) => slot.token ?? []))[0]!;
  const reader = (name: string, tokens?: ReaderReport['readers'][number]['tokens']) => ({ name, card: tokens !== undefined, atr: tokens === undefined ? null : '3b00', tokens: tokens === undefined ? [] : tokens });
  const known = [{ module: 'opensc', token }];
  const problem = { code: 'READERS_SERVICE', message: 'Readers cannot be watched.', hint: '' };
  const of = (...readers: ReaderReport['readers']): ReaderReport => ({ problem: null, readers });
  const rows: readonly (readonly [what: string, before: ReaderReport | null, now: ReaderReport, said: string])[] = [
    ['a known card comes', of(reader('A')), of(reader('A', known)), ''],
    ['a known card goes', of(reader('A', known)), of(reader('A')), ''],
    ['an unknown card comes', of(reader('A'), reader('B')), of(reader('A'), reader('B', [])), 'A card that none of your modules knows is in B.'],
    ['an unknown card goes', of(reader('A', [])), of(reader('A')), 'The card has been taken out of A.'],
    ['a known card is exchanged for an unknown one', of(reader('A', known)), of(reader('A', [])), 'A card that none of your modules knows is in A.'],
    ['an unknown card becomes known', of(reader('A', [])), of(reader('A', known)), ''],
    ['a module cannot be asked yet', of(reader('A')), of(reader('A', null)), ''],
    ['a reader comes, with a card', of(), of(reader('A', [])), 'The card reader A is connected. A card that none of your modules knows is in A.'],
    ['a reader goes, with its card', of(reader('A', [])), of(), 'The card reader A is no longer connected.'],
    ['pcscd goes', of(reader('A')), { problem, readers: [] }, 'Readers cannot be watched.'],
    ['it stays away', { problem, readers: [] }, { problem, readers: [] }, ''],
    ['it is back', { problem, readers: [] }, of(reader('A')), 'The card reader A is connected.'],
  ];
  for (const [what, before, now, said] of rows) assert.equal(readersSay(before, now), said, what);
});

test('readers are asked for in the Tokens room, and what has moved is shown and said', async () => {
  const bridge = new PretendBridge();
  const store = createConclave(bridge, { now: () => 0, rest: () => Promise.resolve() });
  await store.getState().start();
  store.getState().go({ at: 'tokens' });
  await store.getState().refreshEstate();
  assert.deepEqual(store.getState().readers, bridge.readers);
  const readers: ReaderReport = { problem: null, readers: [{ name: 'A', card: true, atr: '3b00', tokens: [] }] };
  bridge.move({ readers });
  assert.deepEqual(store.getState().readers, readers);
  assert.equal(store.getState().said, 'The card reader A is connected. A card that none of your modules knows is in A.');
});

test('a token that comes or goes is shown and said, and its login ends with it', async () => {
  const bridge = new PretendBridge();
  const store = createConclave(bridge, { now: () => 0, rest: () => Promise.resolve() });
  await store.getState().start();
  const estate = bridge.estate();
  const module = estate.modules.find(({ slots }) => slots.some(({ token }) => token !== null));
  const full = module?.slots.find(({ token }) => token !== null);
  assert.ok(module && full?.token);
  const { token } = full;
  const empty = module.slots.map((slot) => (slot === full ? { ...slot, token: null } : slot));
  bridge.move({ module: module.name, slots: empty, awaits: null });
  assert.equal(store.getState().said, '', 'nobody has looked at the tokens yet');

  await store.getState().refreshEstate();
  store.getState().noteLogin(module.name, token.serial, true);
  const shown = () => store.getState().estate?.modules.find(({ name }) => name === module.name)?.slots;
  bridge.move({ module: module.name, slots: empty, awaits: null });
  assert.deepEqual(shown(), empty);
  assert.equal(store.getState().logins[tokenKey(module.name, token.serial)]?.loggedIn, false);
  assert.equal(store.getState().said, `${token.label} has been taken out.`);
  bridge.move({ module: module.name, slots: module.slots, awaits: null });
  assert.deepEqual(shown(), module.slots);
  assert.equal(store.getState().said, `${token.label} is here now.`);

  // To another slot, or with another flag, nobody came or went.
  store.getState().say('');
  bridge.move({ module: module.name, slots: module.slots.map((slot) => ({ ...slot, slot: slot.slot + 7 })), awaits: null });
  assert.equal(shown()?.[0]?.slot, module.slots[0]!.slot + 7);
  assert.equal(store.getState().said, '');
  bridge.move({ module: 'unheard of', slots: [], awaits: null });
  assert.equal(store.getState().said, '');
});
