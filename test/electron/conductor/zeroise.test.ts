/**
 * `token-zeroise` as people meet it: the token of a real root ceremony is made blank by real processes, on the software token and on
 * SoftHSM2; and kill -9 around the one act that cannot be undone, where it is looked for what became of it and never repeated by itself.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Data, Entry } from '../../../ceremonies/ceremony.ts';
import { foldInventory, type Inventory } from '../../../ceremonies/inventory.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { parseLine } from '../../../ceremonies/transcript.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import type { BoothPort, House } from '../../../electron/processes.ts';
import { ask, playOn, playRehearsal } from '../../../electron/rehearsal.ts';
import { allObjects } from '../devices/objects.ts';
import { CONDUCTOR, openHouse, remove, temporaryFolder, withSoftHsm } from '../house.ts';
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

test('the script says what it does not prove', () => {
  assert.match(readFileSync(join(import.meta.dirname, '../../../ceremonies/scripts/token-zeroise.yaml'), 'utf8'), /no copy exists elsewhere is not proven/);
});
