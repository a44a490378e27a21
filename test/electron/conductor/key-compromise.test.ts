/** `key-compromise` by real processes: a CA and what it issued, stated once, refused a second time before anything is written; its use afterwards is a finding. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openFile } from '../../../ceremonies/bundle.ts';
import type { Entry } from '../../../ceremonies/ceremony.ts';
import type { Evidence } from '../../../ceremonies/evidence.ts';
import { foldInventory } from '../../../ceremonies/inventory.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { parseLine } from '../../../ceremonies/transcript.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import type { BoothPort, House } from '../../../electron/processes.ts';
import { ask, playRehearsal, type Play } from '../../../electron/rehearsal.ts';
import { readFileSync } from 'node:fs';
import { openHouse, remove, temporaryFolder } from '../house.ts';

let home: string;
let house: House<BoothPort>;
before(async () => {
  home = temporaryFolder('compromise');
  house = await openHouse(home);
});
after(async () => {
  await house.stop();
  remove(home);
});

const play = (script: string, more: Partial<Play> = {}) => playRehearsal(house, { script, parameters: {}, module: 'software', hasher: nativeHasher, ...more });
const filesOf = async (ceremony: string) => openFile(readFileSync((await ask(house, { call: 'export', ceremony })).path)).files ?? assert.fail('no bundle');
const inventory = async () => {
  const records = [];
  for (const { ceremony } of await ask(house, { call: 'ceremonies' })) records.push(await ask(house, { call: 'verify-own', ceremony }));
  return foldInventory(records, nativeHasher);
};

test('a root, a CA below it, and the root is compromised', async () => {
  const root = await play('root-ca', { parameters: { algorithm: 'ecdsa-p256' } });
  const files = await filesOf(root);
  const key = { file: 'key.json', bytes: Uint8Array.from(files.get('key.json') ?? assert.fail()) };
  const { token: serial } = JSON.parse(Buffer.from(key.bytes).toString()) as { token: string };
  const brought = { tokens: { 'ca-hsm': { module: 'software', serial } }, inputs: { ca: key } };
  const below = await filesOf(await play('intermediate', brought));
  const issued = [...below.keys()].find((name) => /^certificate.*\.(crt|pem)$|issued.*\.crt$/.test(name)) ?? assert.fail([...below.keys()].join(', '));
  const certificates = { file: 'all.pem', bytes: Uint8Array.from(below.get(issued) ?? assert.fail()) };

  const ceremony = await play('key-compromise', { inputs: { key, certificates }, parameters: { happened: 'The backup was found open.', since: '2026-01-01' } });
  assert.equal((await ask(house, { call: 'verify-own', ceremony })).verdict.verdict, 'valid');
  const stated = (await ask(house, { call: 'entries', ceremony, from: 0 })).lines.map((line) => parseLine(line)).find((entry) => entry.kind === 'done' && entry.step === 'compromised') as Entry<'done'>;
  const evidence = stated.data.evidence as Evidence<'set-state'>;
  assert.deepEqual([evidence.from, evidence.to, evidence.reason, evidence.since], ['active', 'compromised', 'The backup was found open.', '2026-01-01T00:00:00.000Z']);
  assert.deepEqual(evidence.certificates.map(({ why, proven }) => [why, proven]), [['own', true], ['issued', true]]);
  const { keys, findings } = await inventory();
  assert.deepEqual([keys[0]?.label, keys[0]?.state, findings], ['Root CA', 'compromised', []]);

  const count = (await ask(house, { call: 'ceremonies' })).length;
  await assert.rejects(play('key-compromise', { inputs: { key } }), (error) => error instanceof Refused && error.refusal.rule === 'STATE-TRANSITION' && /^destroyed after compromised/.test(error.refusal.expected));
  await assert.rejects(play('key-compromise', { inputs: { key }, parameters: { since: '2999-01-01' } }), (error) => error instanceof Refused && error.refusal.rule === 'STATE-TRANSITION');
  await assert.rejects(play('key-compromise', { parameters: { since: '2999-01-01' } }), (error) => error instanceof Refused && error.refusal.rule === 'STATE-SINCE' && /has come/.test(error.refusal.expected));
  assert.equal((await ask(house, { call: 'ceremonies' })).length, count, 'no room was opened, nobody enrolled');

  await play('intermediate', brought);
  assert.deepEqual((await inventory()).findings.map(({ rule, keys: about }) => [rule, about]), [['STATE-USE', [keys[0]?.identity]]]);
});

test('without a key of its own to bring, a rehearsal is given one; a day that is none is refused before the room is opened', async () => {
  const ceremony = await play('key-compromise');
  assert.equal((await ask(house, { call: 'verify-own', ceremony })).verdict.verdict, 'valid');
  await assert.rejects(play('key-compromise', { parameters: { since: 'yesterday' } }), (error) => error instanceof Refused && error.refusal.rule === 'STATE-SINCE');
});
