/** Readers beside modules: real processes, a real pcscd, virtual cards; which of them a module knows, and who is told. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { Moved, ReaderReport } from '../../../electron/contract.ts';
import type { BoothPort, House } from '../../../electron/processes.ts';
import { ask } from '../../../electron/rehearsal.ts';
import { conclaveIn } from '../command.ts';
import { openReaders, type Readers } from '../devices/card-reader.ts';
import { openHouse, remove, temporaryFolder, writeModules } from '../house.ts';

const ADA = 'DETEST00001';

let readers: Readers;
const homes: string[] = [];
before(async () => {
  readers = await openReaders();
  Object.assign(process.env, readers.module.env); // the process of the readers has no configuration of its own
});
after(async () => {
  await readers.close();
  homes.forEach(remove);
});

function folder(modules: readonly object[]): string {
  const home = temporaryFolder('readers');
  homes.push(home);
  writeModules(home, modules);
  return home;
}
/** What is in each reader: nothing, the serial numbers of its tokens, or a card that nobody knows. */
const contents = ({ readers: all }: ReaderReport) => all.map(({ card, tokens }) => (!card ? '' : tokens?.map(({ module, token }) => `${module} ${token.serial}`).join() || 'unknown'));

async function withHouse(home: string, use: (house: House<BoothPort>, heard: Moved[]) => Promise<void>): Promise<void> {
  const house = await openHouse(home);
  const heard: Moved[] = [];
  house.onMoved((moved) => heard.push(moved));
  try {
    await use(house, heard);
  } finally {
    await house.stop();
  }
}

/** What is told of the readers, until it is this; everything that was told on the way is given. */
async function untilTold(heard: Moved[], wanted: readonly string[] | string): Promise<Moved[]> {
  const is = (moved: Moved) => 'readers' in moved && (typeof wanted === 'string' ? moved.readers.problem?.code === wanted : String(contents(moved.readers)) === String(wanted));
  const begun = performance.now();
  while (!heard.some(is)) {
    assert.ok(performance.now() - begun < 8000, `never told: ${String(wanted)}; told: ${JSON.stringify(heard)}`);
    await wait(20);
  }
  return heard.splice(0);
}

test('a card that a module knows is told of as its token, and never as unknown on the way', () => withHouse(folder([readers.module]), async (house, heard) => {
  await readers.insert({ serial: ADA });
  await wait(1500);
  assert.deepEqual(heard, [], 'nobody has asked');
  const report = await ask(house, { call: 'readers' });
  assert.equal(report.problem, null);
  assert.deepEqual(contents(report), [`opensc ${ADA}`, '']);

  await readers.pull();
  const gone = await untilTold(heard, ['', '']);
  await readers.insert({ serial: ADA }, 1);
  const back = await untilTold(heard, ['', `opensc ${ADA}`]);
  for (const told of [gone, back]) {
    assert.deepEqual(told.map((moved) => ('module' in moved ? moved.module : 'readers')), ['opensc', 'readers'], 'first who is in the slots, then what is in the readers');
  }
  await readers.pull(1);
  await untilTold(heard, ['', '']);
}));

test('a card that no module knows is told of with what it says of itself; so is the end of pcscd, and its return', () => withHouse(folder([]), async (house, heard) => {
  assert.deepEqual(contents(await ask(house, { call: 'readers' })), ['', '']);
  await readers.insert({ serial: ADA });
  const told = await untilTold(heard, ['unknown', '']);
  const last = told.at(-1)!;
  assert.ok('readers' in last);
  assert.match(last.readers.readers[0]?.atr ?? '', /^3b/);
  await readers.pcscd('stopped');
  await untilTold(heard, 'READERS_SERVICE');
  await readers.pcscd('started');
  await untilTold(heard, ['', '']);
}));

test('conclave token readers', async () => {
  const run = (modules: readonly object[], ...args: string[]) => conclaveIn(() => folder(modules)).run('token', 'readers', ...args);
  await readers.insert({ serial: ADA }, 1);
  const [known, unknown] = await Promise.all([run([readers.module]), run([])]);
  assert.deepEqual(known, {
    code: 0, out: `Virtual reader 0 00 00\n    empty\nVirtual reader 0 00 01\n    REHEARSAL ${ADA} (UserPIN) (serial ${ADA}), a token of module opensc\n`, err: '',
  });
  assert.match(unknown.out, /Virtual reader 0 00 01\n {4}a card that none of your modules knows: .*\n {4}answer to reset 3b[0-9a-f]+\n$/);
  assert.equal(unknown.code, 0);
  await readers.pcscd('stopped');
  const { code, out } = await run([], '--json');
  assert.equal(code, 1);
  assert.equal((JSON.parse(out) as ReaderReport).problem?.code, 'READERS_SERVICE');
});
