/** The Tokens room's own logic: what a typed line asks for, what the readiness matrix holds, who is logged in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AttributeWanted } from '../../ceremonies/estate.ts';
import { matrixOf, queryOf, readinessCount, tokenKey } from '../../renderer/estate.ts';
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
