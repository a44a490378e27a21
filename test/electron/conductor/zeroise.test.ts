/**
 * `token-zeroise` as people meet it: the token of a real root ceremony is made blank by real processes, on the software token and on
 * SoftHSM2; and kill -9 around the one act that cannot be undone, where it is looked for what became of it and never repeated by itself.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Data, Entry, State } from '../../../ceremonies/ceremony.ts';
import type { Evidence } from '../../../ceremonies/evidence.ts';
import { foldInventory, type Inventory, type InventoryKey } from '../../../ceremonies/inventory.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { parseLine } from '../../../ceremonies/transcript.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import type { ChangeRequest } from '../../../electron/contract.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import type { BoothPort, House } from '../../../electron/processes.ts';
import { ask, playOn, playRehearsal } from '../../../electron/rehearsal.ts';
import { allObjects } from '../devices/objects.ts';
import { CONDUCTOR, lyingEntry, openHouse, remove, temporaryFolder, withSoftHsm, writeModules } from '../house.ts';
import { each, MORTAL, PARAMETERS } from './crash.ts';

const MODULES = ['software', 'softhsm'] as const;
type Module = (typeof MODULES)[number];

async function inventoryOf(house: House<BoothPort>): Promise<Inventory> {
  const records = [];
  for (const { ceremony } of await ask(house, { call: 'ceremonies' })) records.push(await ask(house, { call: 'verify-own', ceremony }));
  return foldInventory(records, nativeHasher);
}
const entriesOf = async (house: House<BoothPort>, ceremony: string) => (await ask(house, { call: 'entries', ceremony, from: 0 })).lines.map((line) => parseLine(line));
const keysOn = async (module: Module, home: string) => (await allObjects(module === 'software' ? 'software' : 'pkcs11', home, REHEARSAL_PIN)).filter(({ label }) => label === 'Root CA');

/** A token with a root key on it, made by its ceremony. */
async function rootToken(house: House<BoothPort>, module: Module): Promise<{ module: string; serial: string }> {
  const ceremony = await playRehearsal(house, { script: 'root-ca', parameters: PARAMETERS, module, hasher: nativeHasher });
  const [opened] = await entriesOf(house, ceremony);
  return (opened as Entry<'opened'>).data.bindings.tokens['root-hsm'] ?? assert.fail('no token');
}

for (const module of MODULES) {
  test(`${module}: what is on it is named with its key, it is blank afterwards, and the inventory ends that copy`, async () => {
    const home = temporaryFolder('zeroise');
    if (module === 'softhsm') withSoftHsm(home);
    const house = await openHouse(home);
    try {
      const token = await rootToken(house, module);
      assert.equal((await keysOn(module, home)).length, 2);
      const { bindings } = await ask(house, { call: 'provision', script: 'token-zeroise', parameters: {}, module, tokens: { hsm: token } });
      const people = ['officer', 'witness', 'auditor'].map((seat) => ({ seat, name: `Stand-in ${seat}` }));
      const { ceremony } = await ask(house, { call: 'open', script: 'token-zeroise', parameters: {}, people, bindings, inputs: {}, mode: 'rehearsal', standIns: true });
      await playOn(house, ceremony, { until: (state) => state.current?.step.id === 'zeroise' && state.current.phase === 'ready' && !state.checkpointDue });
      const listed = (await entriesOf(house, ceremony)).find((entry) => entry.kind === 'done' && entry.step === 'token-before') as Entry<'done'>;
      const { known } = listed.data.evidence as { known: { object: { class: string }; label: string; elsewhere: number }[] };
      assert.deepEqual(known.map(({ object, label, elsewhere }) => `${object.class} ${label} ${elsewhere}`).sort(), ['private-key Root CA 1', 'public-key Root CA 1']);
      const before = (await entriesOf(house, ceremony)).length;
      for (const typed of ['', 'zeroise', `${token.serial}0`]) {
        await assert.rejects(ask(house, { call: 'act', ceremony, step: 'zeroise', acceptFinalTry: false, typed }), (error) => error instanceof Refused && error.refusal.rule === 'DESTROY-TYPED');
      }
      assert.deepEqual([(await entriesOf(house, ceremony)).length, (await keysOn(module, home)).length], [before, 2], 'nothing was written, and nothing touched');
      await playOn(house, ceremony, {});
      assert.equal((await ask(house, { call: 'verify-own', ceremony })).verdict.verdict, 'valid');
      assert.deepEqual(await keysOn(module, home), []);
      const { keys, findings } = await inventoryOf(house);
      assert.deepEqual(findings, []);
      assert.deepEqual(keys.map(({ label, state, destruction }) => [label, state, destruction.words]), [['Root CA', 'active', '1 of 2 known copies destroyed']]);
      assert.deepEqual(keys[0]?.copies.map((copy) => [copy.kind, copy.end?.level, copy.end?.ceremony === ceremony]), [['object', 'L1', true], ['object', 'L1', true], ['share-set', undefined, false]]);
      assert.match(keys[0]?.events.at(-1)?.what ?? '', /zeroised before witnesses/);
      assert.ok(!JSON.stringify(await entriesOf(house, ceremony)).includes(REHEARSAL_PIN));
    } finally {
      await house.stop();
      remove(home);
    }
  });
}

/** Which commit of the record each moment is, counted once without a kill. */
interface Moments { readonly entry: number; readonly outcome: number }
async function momentsOf(house: House<BoothPort>, ceremony: string, others: number, outcomesBefore: number): Promise<Moments> {
  const entries = await entriesOf(house, ceremony);
  const done = entries.findIndex((entry) => entry.kind === 'done' && entry.step === 'zeroise');
  return { entry: others + done, outcome: outcomesBefore + entries.slice(0, done + 1).filter(({ kind }) => kind === 'done').length };
}

for (const module of MODULES) {
  test(`${module}: killed around the zeroisation: looked for, recorded, never repeated by itself`, async (t) => {
    const model = temporaryFolder('zeroise-model');
    if (module === 'softhsm') withSoftHsm(model);
    const house = await openHouse(model);
    let moments: Moments;
    try {
      moments = await momentsOf(house, await playRehearsal(house, { script: 'token-zeroise', parameters: {}, module, hasher: nativeHasher }), 0, 0);
    } finally {
      await house.stop();
      remove(model);
    }
    // `begun` is durable; the device has done its part; the outcome is durable.
    const rows = [[`entry ${moments.entry}`, 'absent', 2], [`outcome ${moments.outcome}`, 'present', 1], [`entry ${moments.entry + 1}`, null, 1]] as const;
    await each(t, rows, ([moment]) => moment, async ([moment, found, attempts]) => {
      const home = temporaryFolder('zeroise-killed');
      try {
        if (module === 'softhsm') withSoftHsm(home);
        const mortal = await openHouse(home, { conductor: MORTAL, env: { CONCLAVE_TEST_KILL: moment, CONCLAVE_TEST_CONDUCTOR: CONDUCTOR } });
        await assert.rejects(playRehearsal(mortal, { script: 'token-zeroise', parameters: {}, module, hasher: nativeHasher }), (error) => error instanceof Refused && error.refusal.rule === 'CONDUCTOR_LOST');
        await mortal.stop();
        const again = await openHouse(home);
        try {
          const { ceremony } = (await ask(again, { call: 'ceremonies' }))[0] ?? assert.fail('no record');
          const interrupted = await inventoryOf(again);
          assert.equal(interrupted.findings.some(({ rule }) => rule === 'BEGUN-UNEXPLAINED'), found !== null, 'a zeroisation without an outcome is a finding until somebody looks');
          await ask(again, { call: 'resume', ceremony, present: ['officer', 'witness', 'auditor'], reason: 'The power was cut.', officer: null, standIns: true });
          await playOn(again, ceremony, { until: (state) => state.queue.length === 0 && state.current?.phase !== 'unexplained' && !state.checkpointDue && state.resumptions > 0 });
          const looked = (await entriesOf(again, ceremony)).flatMap((entry) => (entry.kind === 'found' ? [(entry.data as Data<'found'>).observation.state] : []));
          assert.deepEqual(looked, found === null ? [] : [found]);
          if (found === 'present') await assert.rejects(ask(again, { call: 'decide', ceremony, decision: 'clear', why: 'To be sure.' }), (error) => error instanceof Refused && error.refusal.rule === 'ZEROISED-KEPT');
          await playOn(again, ceremony, {});
          assert.equal((await ask(again, { call: 'verify-own', ceremony })).verdict.verdict, 'valid');
          const entries = await entriesOf(again, ceremony);
          assert.equal(entries.filter(({ kind, step }) => kind === 'begun' && step === 'zeroise').length, attempts);
          assert.deepEqual((await inventoryOf(again)).findings, []);
        } finally {
          await again.stop();
        }
      } finally {
        remove(home);
      }
    });
  });
}

const LIES = ['none', 'blank-keep', 'blank-hide', 'relabel', 'twin', 'die', 'die-in-logbook'] as const;
let lies: { readonly home: string; readonly house: House<BoothPort> };
/** One house, and for each lie a SoftHSM that tells it, with tokens of its own. */
before(async () => {
  const home = temporaryFolder('zeroise-lies');
  writeModules(home, LIES.map((lie) => lyingEntry(home, withSoftHsm(join(home, lie)), lie.replace('-in-logbook', ''), lie)));
  lies = { home, house: await openHouse(home) };
});
after(async () => {
  await lies.house.stop();
  remove(lies.home);
});

const rule = (wanted: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === wanted ? true : assert.fail(String(error));

interface Liar {
  readonly token: { readonly module: string; readonly serial: string };
  readonly zeroise: (until?: (state: State) => boolean) => Promise<string>;
  /** The latest record. */
  readonly ceremony: () => Promise<string>;
  /** The key that is on the token, as the inventory has it, and how many objects of it are really there. */
  readonly key: () => Promise<InventoryKey>;
  readonly left: () => Promise<number>;
}

/** A token of a module that lies, with one key that the logbook made. */
async function liar(module: (typeof LIES)[number]): Promise<Liar> {
  const { home, house } = lies;
  const { bindings } = await ask(house, { call: 'provision', script: 'token-zeroise', parameters: {}, module });
  const token = bindings.tokens['hsm'] ?? assert.fail('no token');
  await inLogbook(async (change) => { await change({ change: 'generate-key', module, token: token.serial, label: 'Root CA', kind: 'ec-p256', attributes: { sign: true }, despite: [] }); });
  await ask(house, { call: 'token-log-out', module, token: token.serial });
  return {
    token, ceremony: async () => (await ask(house, { call: 'ceremonies' })).at(-1)?.ceremony ?? assert.fail('no record'),
    zeroise: (until) => playRehearsal(house, { script: 'token-zeroise', parameters: {}, module, hasher: nativeHasher, bindings, ...until && { until } }),
    key: async () => (await inventoryOf(house)).keys.find(({ copies }) => copies.some((copy) => copy.kind === 'object' && copy.token === token.serial)) ?? assert.fail('no key'),
    left: () => keysOn('softhsm', join(home, module)).then((objects) => objects.length),
  };
}

/** A volume of the logbook: logged in, worked in, logged out of, signed. */
async function inLogbook(work: (change: (request: ChangeRequest) => Promise<unknown>, ceremony: string) => Promise<void>): Promise<void> {
  const { house } = lies;
  const { ceremony } = await ask(house, { call: 'log-in', name: 'Stand-in officer', module: 'none', card: null, mode: 'rehearsal', standIns: true });
  await playOn(house, ceremony, { until: (state) => state.current?.step.do.action === 'administer' && !state.checkpointDue });
  await work((request) => ask(house, { call: 'administer', ceremony, request, acceptFinalTry: false }), ceremony);
  await ask(house, { call: 'log-out', ceremony });
  await playOn(house, ceremony, {});
}

const abort = (ceremony: string) => ask(lies.house, { call: 'abort', ceremony, seat: 'officer', reason: 'The token goes to be examined.' });
const findingsOn = async (key: InventoryKey) => (await inventoryOf(lies.house)).findings.filter(({ keys }) => keys.includes(key.identity)).map(({ rule: name }) => name);

for (const [lie, step, believed] of [['blank-keep', 'zeroise', false], ['blank-hide', 'token-after', true]] as const) {
  test(`a token that answers CKR_OK and keeps what is on it (${lie}) is NOT ZEROISED, and nothing is claimed of its key`, async () => {
    const { zeroise, ceremony, key, left } = await liar(lie);
    await assert.rejects(zeroise(), rule('NOT-ZEROISED'));
    const entries = await entriesOf(lies.house, await ceremony());
    const failed = entries.findLast((entry) => entry.kind === 'failed');
    assert.deepEqual([failed?.step, (failed?.data as Data<'failed'>).error.code], [step, 'NOT-ZEROISED']);
    assert.equal(entries.some((entry) => entry.kind === 'done' && entry.step === 'zeroise'), believed, 'believed for as long as no fresh process had looked');
    await abort(await ceremony());
    assert.equal(await left(), 2, 'it really lied');
    const known = await key();
    assert.deepEqual([known.state, known.destruction.words], ['pre-activation', '0 of 1 known copy destroyed']);
    assert.deepEqual(await findingsOn(known), believed ? ['NOT-ZEROISED'] : []);
  });
}

test('until a fresh process has looked, that a token is blank is at L0: of a ceremony that was aborted it stays there', async () => {
  const { zeroise, key } = await liar('none');
  await abort(await zeroise((state) => state.current?.step.id === 'token-after' && !state.checkpointDue));
  const { state, destruction, copies } = await key();
  assert.deepEqual([state, destruction.words], ['destroyed', '1 of 1 known copy destroyed, L0: requested']);
  assert.match(copies[0]?.end?.how ?? '', /not yet looked for from a fresh process/);
});

test('a token that comes back under another label is refused by name, and kept as what it is only when the officer says so', async () => {
  const { zeroise, ceremony: current, key, left } = await liar('relabel');
  await assert.rejects(zeroise(), rule('TOKEN-INITIALISED'));
  const ceremony = await current();
  await playOn(lies.house, ceremony, { until: (state) => state.current?.phase === 'found' });
  const found = (await entriesOf(lies.house, ceremony)).findLast((entry) => entry.kind === 'found');
  assert.match((found?.data as Data<'found'>).observation.detail, /it was initialised, under the label "REHEARSAL under another label" where "REHEARSAL hsm" was asked for\.$/);
  await assert.rejects(ask(lies.house, { call: 'decide', ceremony, decision: 'clear', why: 'To be sure.' }), rule('ZEROISED-KEPT'));
  await playOn(lies.house, ceremony, {});
  assert.equal((await ask(lies.house, { call: 'verify-own', ceremony })).verdict.verdict, 'valid');
  const entries = await entriesOf(lies.house, ceremony);
  assert.equal(entries.filter(({ kind, step }) => kind === 'begun' && step === 'zeroise').length, 1, 'never repeated by itself');
  const done = entries.find((entry) => entry.kind === 'done' && entry.step === 'zeroise') as Entry<'done'>;
  assert.equal((done.data.evidence as Evidence<'zeroise-token'>).after.label, 'REHEARSAL under another label');
  assert.deepEqual([await left(), (await key()).destruction.level], [0, 'L1']);
});

test('a token that comes back with the serial number of another one is not found again: an end without a claim', async () => {
  const { zeroise, ceremony, key } = await liar('twin');
  await assert.rejects(zeroise(), rule('TOKEN-PRESENT'));
  const failed = (await entriesOf(lies.house, await ceremony())).findLast((entry) => entry.kind === 'failed');
  const { error, nothingChanged } = failed?.data as Data<'failed'>;
  assert.deepEqual([error.code, nothingChanged], ['CKR_GENERAL_ERROR', false]);
  assert.match(error.hint, /Treat it as not initialised/);
  await abort(await ceremony());
  const known = await key();
  assert.deepEqual([known.state, known.destruction.destroyed, await findingsOn(known)], ['pre-activation', 0, ['BEGUN-UNEXPLAINED']]);
});

test('a device process that is killed between C_InitToken and its answer: the token is looked at, kept, and not initialised again', async () => {
  const { zeroise, ceremony, left } = await liar('die');
  await assert.rejects(zeroise(), rule('DEVICE_PROCESS_LOST'));
  assert.equal(await left(), 0, 'SoftHSM had done its part');
  await playOn(lies.house, await ceremony(), {});
  assert.equal((await ask(lies.house, { call: 'verify-own', ceremony: await ceremony() })).verdict.verdict, 'valid');
  assert.deepEqual((await entriesOf(lies.house, await ceremony())).flatMap(({ kind, step }) => (step === 'zeroise' && kind !== 'witnessed' ? [kind] : [])), ['begun', 'found', 'decided', 'done']);
});

test('the same from the logbook: what was done stands in the record, and only the user PIN is still to be set', async () => {
  const { token: { module, serial: token }, key, left } = await liar('die-in-logbook');
  const old = await key();
  let volume = '';
  await inLogbook(async (change, ceremony) => {
    volume = ceremony;
    await assert.rejects(change({ change: 'init-token', module, token, label: 'REHEARSAL anew' }), rule('DEVICE_PROCESS_LOST'));
    await assert.rejects(change({ change: 'set-user-pin', module, token }), rule('IN-ORDER'), 'not before somebody has decided what was found');
    await assert.rejects(ask(lies.house, { call: 'decide', ceremony, decision: 'clear', why: 'To be sure.' }), rule('ZEROISED-KEPT'));
    await ask(lies.house, { call: 'decide', ceremony, decision: 'keep', why: 'It is blank, as was wanted.' });
    await change({ change: 'set-user-pin', module, token });
    await change({ change: 'generate-key', module, token, label: 'Root CA', kind: 'aes-256', attributes: { encrypt: true, decrypt: true }, despite: [] });
  });
  assert.equal((await ask(lies.house, { call: 'verify-own', ceremony: volume })).verdict.verdict, 'valid');
  assert.equal((await entriesOf(lies.house, volume)).filter(({ kind, data }) => kind === 'begun' && JSON.stringify(data).includes('"init-token"')).length, 1);
  const { keys } = await inventoryOf(lies.house);
  const { state, destruction } = keys.find(({ identity }) => identity === old.identity) ?? assert.fail('no key');
  assert.deepEqual([await findingsOn(old), await left(), state, destruction.level], [[], 1, 'destroyed', 'L1']);
});

test('the script says what it does not prove', () => {
  assert.match(readFileSync(join(import.meta.dirname, '../../../ceremonies/scripts/token-zeroise.yaml'), 'utf8'), /no copy exists elsewhere is not proven/);
});
