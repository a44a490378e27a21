/** Cards come and go while the app runs: real processes, a SmartCard-HSM in a virtual reader, nobody who asks. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Moved } from '../../../electron/contract.ts';
import type { BoothPort, House } from '../../../electron/processes.ts';
import { ask } from '../../../electron/rehearsal.ts';
import { openReaders, type Readers } from '../devices/card-reader.ts';
import { openHouse, remove, temporaryFolder, writeModules } from '../house.ts';

const ADA = 'DETEST00001';
const BOB = 'DETEST00002';

let home: string;
let readers: Readers;
let house: House<BoothPort>;
type TokensMoved = Extract<Moved, { module: string }>;
const heard: TokensMoved[] = [];
before(async () => {
  home = temporaryFolder('movement');
  readers = await openReaders();
  writeModules(home, [readers.module]);
  house = await openHouse(home);
  house.onMoved((moved) => {
    if ('module' in moved) heard.push(moved);
  });
});
after(async () => {
  await house.stop();
  await readers.close();
  remove(home);
});

const inSlots = (slots: TokensMoved['slots']) => slots.map(({ token }) => token?.serial ?? null);
/** The serial numbers in the slots, as told by itself. */
async function told(): Promise<(string | null)[]> {
  const begun = performance.now();
  while (heard.length === 0) {
    assert.ok(performance.now() - begun < 8000, 'nobody said anything');
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
  const { module, slots } = heard.shift()!;
  assert.equal(module, 'opensc');
  return inSlots(slots);
}
const estate = async () => inSlots((await ask(house, { call: 'estate' })).modules.find(({ name }) => name === 'opensc')?.slots ?? []);

test('what is there at the beginning is told when it is asked for, and not before', async () => {
  await readers.insert({ serial: ADA }, 0);
  await new Promise((resolve) => { setTimeout(resolve, 900); });
  assert.deepEqual(await estate(), [ADA, null]);
});

test('a card that is put in, pulled, or put in elsewhere is told by itself, once', async () => {
  await readers.insert({ serial: BOB }, 1);
  assert.deepEqual(await told(), [ADA, BOB]);
  assert.deepEqual(await estate(), [ADA, BOB]);
  await readers.pull(0);
  assert.deepEqual(await told(), [null, BOB]);
  await readers.pull(1);
  assert.deepEqual(await told(), [null, null]);
  await readers.insert({ serial: ADA }, 1);
  assert.deepEqual(await told(), [null, ADA]);
  await new Promise((resolve) => { setTimeout(resolve, 2500); });
  assert.deepEqual(heard, []);
});

test('a login ends with the card that it was for', async () => {
  const here = { module: 'opensc', token: ADA };
  await ask(house, { call: 'token-login', ...here, standIn: true, acceptFinalTry: false });
  const loggedIn = async () => (await ask(house, { call: 'token-details', ...here })).loggedIn;
  assert.equal(await loggedIn(), true);
  await readers.pull(1);
  assert.deepEqual(await told(), [null, null]);
  await readers.insert({ serial: ADA }, 0);
  assert.deepEqual(await told(), [ADA, null]);
  assert.equal(await loggedIn(), false);
});
