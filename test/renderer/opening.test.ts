/** What must be bound before a ceremony is opened, across modules, and where a key that people bring must be. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planOf, readScript } from '../../ceremonies/script.ts';
import type { Bindings, Estate } from '../../electron/contract.ts';
import { bind, boundTo, keyElsewhere, keyHome, shareHome, tokensAtHand, wantedOf } from '../../renderer/opening.ts';
import { bindingsFor, factsOf, inputFile, keyRecord, SCRIPTS } from './pretend.ts';

const planned = (name: string) => {
  const script = readScript(SCRIPTS[name]!).script!;
  return planOf(script, script.defaults);
};
const empty: Bindings = { tokens: {}, cards: {} };
const record = (token: string) => new TextEncoder().encode(JSON.stringify(keyRecord(token, 'MLDSA65-Ed25519-SHA512', 'split')));
const estate: Estate = {
  modules: ['softhsm', 'nss'].map((name, index) => ({
    name,
    facts: null,
    problem: null,
    moves: false,
    slots: [
      { slot: 0, description: '', token: factsOf(`a${index}`, 'a token') },
      { slot: 1, description: '', token: null },
    ],
  })),
};

test('every token and card that a script asks for is wanted once, and can be bound and unbound on any module', () => {
  for (const [name, text] of Object.entries(SCRIPTS)) {
    const { bindings, labels } = bindingsFor(text, {}, 'softhsm');
    const all = wantedOf(planned(name));
    const wanted = all.filter((want) => want.optional !== true || boundTo(bindings, want) !== undefined);
    assert.equal(all.length - wanted.length, name === 'custodian-change' ? 1 : 0, `${name}: cards that nobody has`);
    assert.equal(wanted.length, Object.keys(labels).length, name);
    assert.ok(wanted.every((want) => boundTo(bindings, want)?.module === 'softhsm'), name);
    const elsewhere = wanted.reduce((sum, want, index) => bind(sum, want, { module: index === 0 ? 'nss' : 'softhsm', serial: `${index}` }), empty);
    assert.deepEqual(wanted.map((want) => boundTo(elsewhere, want)?.module === 'nss'), wanted.map((_, index) => index === 0));
    const undone = wanted.reduce((sum, want) => bind(sum, want, undefined), elsewhere);
    assert.ok(wanted.every((want) => boundTo(undone, want) === undefined), name);
  }
  assert.deepEqual(tokensAtHand(estate).map((token) => `${token.module} ${token.serial}`), ['softhsm a0', 'nss a1']);
});

test('the record of a key finds its token, on whatever module, and no other will do', () => {
  const plan = planned('intermediate');
  assert.deepEqual(keyHome(plan, 'ca', record('a1'), estate), { token: 'ca-hsm', bound: { module: 'nss', serial: 'a1' } });
  assert.equal(keyHome(plan, 'ca', record('a9'), estate), null, 'not at hand');
  assert.equal(keyHome(plan, 'request', record('a1'), estate), null, 'not the file that a key is opened from');
  assert.equal(keyHome(plan, 'ca', new TextEncoder().encode('{"format":"conclave-key/1"}'), estate), null);
  assert.equal(keyHome(plan, 'ca', record('a1'), null), null);

  const bound = (serial: string): Bindings => ({ tokens: { 'ca-hsm': { module: 'nss', serial } }, cards: {} });
  const files = { ca: { bytes: record('a1') } };
  assert.equal(keyElsewhere(plan, files, bound('a1')), null);
  assert.equal(keyElsewhere(plan, files, empty), null, 'nothing is bound yet');
  assert.equal(keyElsewhere(plan, {}, bound('a0')), null);
  assert.equal(keyElsewhere(plan, files, bound('a0'))?.rule, 'KEY-BOUND');
  assert.equal(keyElsewhere(planned('root-ca'), files, bound('a0')), null, 'no key is opened here');
});

test('the record of a backup finds its share cards, in the order of the shares, and leaves a seat empty where none is there', () => {
  const plan = planned('recovery');
  const held = { 'custodian-1': { module: 'softhsm', serial: 'a0' }, 'custodian-2': { module: 'nss', serial: 'away' }, 'custodian-3': { module: 'nss', serial: 'a1' } };
  const bytes = new TextEncoder().encode(inputFile('backup', '', held).text);
  assert.deepEqual(shareHome(plan, bytes, estate), { 'custodian-1': { module: 'softhsm', serial: 'a0' }, 'custodian-2': { module: 'nss', serial: 'a1' } });
  assert.deepEqual(shareHome(plan, bytes, null), {});
  assert.equal(shareHome(plan, record('a1'), estate), null, 'another file');
});

test('the record of a token\'s quorum finds both: the token, and the share cards', () => {
  const held = { 'custodian-1': { module: 'softhsm', serial: 'a0' }, 'custodian-2': { module: 'nss', serial: 'away' } };
  const bytes = new TextEncoder().encode(inputFile('activation', 'a1', held).text);
  for (const [script, name, token] of [['activate', 'activation', 'ca-hsm'], ['activation-split', 'former', 'hsm']] as const) {
    const plan = planned(script);
    assert.deepEqual(keyHome(plan, name, bytes, estate), { token, bound: { module: 'nss', serial: 'a1' } });
    assert.deepEqual(shareHome(plan, bytes, estate), { 'custodian-1': { module: 'softhsm', serial: 'a0' } });
  }
  assert.equal(keyHome(planned('recovery'), 'backup', bytes, estate), null);
});
