/** The logbook as an officer meets it: real processes, real tokens, one volume after another; every refusal by name, nothing lost. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Refused } from '../../../ceremonies/refusal.ts';
import { parseLine } from '../../../ceremonies/transcript.ts';
import type { Entry } from '../../../ceremonies/ceremony.ts';
import type { Request } from '../../../electron/contract.ts';
import type { BoothPort, House } from '../../../electron/processes.ts';
import { ask, playOn } from '../../../electron/rehearsal.ts';
import { openHouse, remove, temporaryFolder } from '../house.ts';

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
