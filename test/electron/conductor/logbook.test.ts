/** The logbook as an officer meets it: real processes, real tokens, one volume after another; every refusal by name, nothing lost. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Refused } from '../../../ceremonies/refusal.ts';
import { parseLine } from '../../../ceremonies/transcript.ts';
import type { Entry, State } from '../../../ceremonies/ceremony.ts';
import type { Request } from '../../../electron/contract.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import type { BoothPort, House } from '../../../electron/processes.ts';
import { ask, playOn } from '../../../electron/rehearsal.ts';
import { allObjects } from '../devices/objects.ts';
import { CONDUCTOR, openHouse, remove, temporaryFolder, withSoftHsm } from '../house.ts';
import { MORTAL } from './crash.ts';

let home: string;
let house: House<BoothPort>;
before(async () => {
  home = temporaryFolder('logbook');
  house = await openHouse(home);
});
after(async () => {
  await house.stop();
  remove(home);
});

const refused = (request: Request, wanted: string) => assert.rejects(ask(house, request), (error: unknown) => {
  assert.ok(error instanceof Refused, String(error));
  assert.equal(error.refusal.rule, wanted, error.message);
  return true;
});
const logIn = { call: 'log-in', name: 'Ada Ofterdingen', module: 'software', card: null, mode: 'rehearsal', standIns: true } as const;
const toTheWork = (ceremony: string) => playOn(house, ceremony, { until: (state) => state.current?.step.do.action === 'administer' && !state.checkpointDue });
const linesOf = async (ceremony: string) => (await ask(house, { call: 'entries', ceremony, from: 0 })).lines;

async function volume(): Promise<string> {
  const { ceremony } = await ask(house, logIn);
  await toTheWork(ceremony);
  return ceremony;
}

test('a volume: opened, worked in, logged out of, signed, valid; the next one names it', async () => {
  const first = await volume();
  await refused(logIn, 'LOGBOOK-OPEN');
  await refused({ call: 'act', ceremony: first, step: 'work', acceptFinalTry: false }, 'IN-ORDER');
  await ask(house, { call: 'log-out', ceremony: first });
  await refused(logIn, 'LOGBOOK-OPEN'); // not signed yet
  await playOn(house, first, {});
  assert.equal((await ask(house, { call: 'verify-own', ceremony: first })).verdict.verdict, 'valid');

  const second = await volume();
  await ask(house, { call: 'log-out', ceremony: second });
  await playOn(house, second, {});
  const [opened] = await linesOf(second);
  const { after: named } = (parseLine(opened ?? '') as Entry<'opened'>).data;
  assert.equal(named?.ceremony, first);
  const identities = await Promise.all([first, second].map(async (one) => (await linesOf(one)).map((line) => parseLine(line)).find((entry) => entry.kind === 'done' && entry.step === 'log-in/officer')));
  const made = identities.map((entry) => ((entry as Entry<'done'>).data.evidence as { made: boolean }).made);
  assert.deepEqual(made, [true, false], 'the same card, and the identity that it was given');
});

test('a log-out without a log-in, a change in a ceremony, a card that is not there: refused', async () => {
  const { bindings, inputs } = await ask(house, { call: 'provision', script: 'root-ca', parameters: {}, module: 'software' });
  const token = bindings.tokens['root-hsm']?.serial ?? '';
  const people = [{ seat: 'officer', name: 'A' }, { seat: 'custodian-1', name: 'B' }, { seat: 'custodian-2', name: 'C' }, { seat: 'custodian-3', name: 'D' }, { seat: 'witness', name: 'E' }, { seat: 'auditor', name: 'F' }];
  const { ceremony } = await ask(house, { call: 'open', script: 'root-ca', parameters: {}, people, bindings, inputs, mode: 'rehearsal', standIns: true });
  await refused({ call: 'log-out', ceremony }, 'IN-ORDER');
  await refused({ call: 'administer', ceremony, request: { change: 'set-user-pin', module: 'software', token }, acceptFinalTry: false }, 'IN-ORDER');
  const book = await volume();
  await refused({ call: 'administer', ceremony: book, request: { change: 'set-user-pin', module: 'software', token }, acceptFinalTry: false }, 'TOKEN-IN-CEREMONY');
  await refused({ call: 'administer', ceremony: book, request: { change: 'set-user-pin', module: 'nowhere', token: '0417' }, acceptFinalTry: false }, 'MODULE-KNOWN');
  await ask(house, { call: 'log-out', ceremony: book });
  await playOn(house, book, {});
  await refused({ ...logIn, mode: 'real' }, 'BINDINGS-COMPLETE');
  await refused({ ...logIn, card: { module: 'software', serial: 'nowhere' } }, 'TOKEN-PRESENT');
  await refused({ ...logIn, mode: 'real', card: { module: 'software', serial: token }, standIns: false }, 'REAL-NEEDS-RELEASE');
});

test('a volume that the machine died in is resumed and logged out of before the next', async () => {
  const lost = await volume();
  const before = (await linesOf(lost)).length;
  await house.stop();
  house = await openHouse(home);
  await refused(logIn, 'LOGBOOK-OPEN');
  await ask(house, { call: 'resume', ceremony: lost, present: ['officer'], reason: 'The machine lost its power.', officer: null, standIns: true });
  await toTheWork(lost);
  await ask(house, { call: 'log-out', ceremony: lost });
  await playOn(house, lost, {});
  assert.ok((await linesOf(lost)).length > before);
  assert.equal((await ask(house, { call: 'verify-own', ceremony: lost })).verdict.verdict, 'valid');
  await ask(house, { call: 'log-out', ceremony: await volume() });
});

/** kill -9 when the order is durable, when the token has done its part, and when the outcome is durable. */
const MOMENTS = ['entry 8', 'outcome 3', 'entry 9'] as const;
const AES = { change: 'generate-key', label: 'Killed', kind: 'aes-256', attributes: { private: true, sensitive: true, extractable: false, modifiable: false, encrypt: true, decrypt: true }, despite: [] as string[] } as const;

for (const moment of MOMENTS) {
  test(`killed at ${moment} of a key's making: looked for, decided, and nothing on the token that the record does not know`, async () => {
    const folder = temporaryFolder('logbook-killed');
    withSoftHsm(folder);
    try {
      const mortal = await openHouse(folder, { conductor: MORTAL, env: { CONCLAVE_TEST_KILL: moment, CONCLAVE_TEST_CONDUCTOR: CONDUCTOR } });
      const { bindings } = await ask(mortal, { call: 'provision', script: 'intermediate', parameters: {}, module: 'softhsm', brought: ['ca', 'request'] });
      const token = Object.values(bindings.tokens)[0]?.serial ?? assert.fail('no token');
      const { ceremony } = await ask(mortal, { ...logIn, module: 'softhsm' });
      const work = (state: State) => state.current?.step.do.action === 'administer' && !state.checkpointDue && state.queue.length === 0;
      await playOn(mortal, ceremony, { until: work });
      const killed = ask(mortal, { call: 'administer', ceremony, request: { ...AES, module: 'softhsm', token }, acceptFinalTry: false });
      await assert.rejects(killed, (error: unknown) => error instanceof Refused && error.refusal.rule === 'CONDUCTOR_LOST');
      await mortal.stop();

      const again = await openHouse(folder);
      try {
        const kinds = async () => (await ask(again, { call: 'entries', ceremony, from: 0 })).lines.map((line) => parseLine(line).kind);
        await ask(again, { call: 'resume', ceremony, present: ['officer'], reason: 'The power was cut.', officer: null, standIns: true });
        // The stand-in officer keeps what is whole; then the volume is logged out of, and signed.
        await playOn(again, ceremony, {});
        assert.equal((await ask(again, { call: 'verify-own', ceremony })).verdict.verdict, 'valid');
        assert.equal((await kinds()).includes('found'), moment !== 'entry 9', 'looked for where the outcome was not written');
        assert.equal((await kinds()).includes('decided'), moment === 'outcome 3', 'decided where something was found');
      } finally {
        await again.stop();
      }
      const keys = (await allObjects('pkcs11', folder, REHEARSAL_PIN)).filter((object) => object.class === 'secret-key');
      assert.deepEqual(keys.map(({ label }) => label), moment === 'entry 8' ? [] : ['Killed']);
    } finally {
      remove(folder);
    }
  });
}
