/** Card readers in a process of their own: a real pcscd, which comes, goes and is killed, and virtual readers and cards. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { openReaders, type Readers } from './card-reader.ts';
import { DeviceProcess, failure } from './device-process.ts';
import { ATR } from './smartcard-hsm.ts';

const module = { kind: 'readers', name: 'readers' } as const;
const FIRST = 'Virtual reader 0 00 00';
const SECOND = 'Virtual reader 0 00 01';
const empty = (name: string) => ({ name, card: false, atr: null });
const full = (name: string) => ({ name, card: true, atr: Buffer.from(ATR).toString('hex') });

let readers: Readers;
let device: DeviceProcess;
let told = 0;
before(async () => {
  readers = await openReaders();
  device = new DeviceProcess({ booth: false, env: readers.module.env });
  device.readersMoved = () => { told++; };
  await device.call('start', { module });
});
after(async () => {
  await device.end();
  await readers.close();
});

const look = async () => (await device.call('readers', {})).readers;
/** Does it, and waits until a change was told by itself after which this is so. */
async function leads(change: () => Promise<void>, is: () => Promise<unknown>): Promise<void> {
  let before = told;
  await change();
  const begun = performance.now();
  let error: unknown = new Error('nobody said anything');
  for (;;) {
    await wait(20);
    if (told > before) {
      before = told;
      try {
        await is();
        return;
      } catch (thrown) {
        error = thrown;
      }
    }
    if (performance.now() - begun > 5000) throw error;
  }
}
const seen = (...expected: readonly unknown[]) => async () => {
  assert.deepEqual(await look(), expected);
};

test('readers are there, empty; a card that is put in, exchanged or pulled is told by itself', async () => {
  await seen(empty(FIRST), empty(SECOND))();
  await leads(() => readers.insert({ serial: 'DETEST00001' }), seen(full(FIRST), empty(SECOND)));
  await leads(() => readers.insert({ serial: 'DETEST00002' }, 1), seen(full(FIRST), full(SECOND)));
  await leads(() => readers.insert({ serial: 'DETEST00003' }, 1), seen(full(FIRST), full(SECOND)));
  await leads(() => readers.pull(0), seen(empty(FIRST), full(SECOND)));
  await leads(() => readers.pull(1), seen(empty(FIRST), empty(SECOND)));
});

test('nothing is told while nothing moves', async () => {
  const before = told;
  await wait(2500);
  assert.equal(told, before);
});

test('pcscd killed is said by name; its successor is found by itself, with the readers that it has', async () => {
  await leads(() => readers.insert({ serial: 'DETEST00001' }), seen(full(FIRST), empty(SECOND)));
  const gone = () => assert.rejects(look(), failure('READERS_SERVICE', true));
  await leads(() => readers.pcscd('stopped'), gone);
  await leads(() => readers.pcscd('without-readers'), seen());
  await leads(() => readers.pcscd('stopped'), gone);
  await leads(() => readers.pcscd('started'), seen(empty(FIRST), empty(SECOND)));
  await leads(() => readers.insert({ serial: 'DETEST00001' }), seen(full(FIRST), empty(SECOND)));
});

test('where there is no pcscd, no binding, or no process for it, that is said', async () => {
  const socket = join('/nonexistent', 'pcscd.comm');
  const withoutBinding = `import { registerHooks } from 'node:module';
    registerHooks({ resolve: (name, context, next) => { if (name === 'smartcard') throw new Error('not built'); return next(name, context); } });`;
  const rows = [
    ['no pcscd', { PCSCLITE_CSOCK_NAME: socket }, module, 'READERS_SERVICE'],
    ['no binding', { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(withoutBinding)}` }, module, 'READERS_BINDING'],
    ['another process', {}, { kind: 'recorder', name: 'recorder' }, 'DEVICE_OTHER_MODULE'],
  ] as const;
  for (const [what, env, started, code] of rows) {
    const lone = new DeviceProcess({ booth: false, env: { ...readers.module.env, ...env } });
    await lone.call('start', { module: started });
    await assert.rejects(lone.call('readers', {}), failure(code, true), what);
    assert.deepEqual(await lone.call('moved', {}), { slots: null }, 'it lives');
    assert.deepEqual(await lone.end(), { code: 0, signal: null }, what);
  }
});

test('the process ends with its parent, also while it waits for a change', async () => {
  const lone = new DeviceProcess({ booth: false, env: readers.module.env });
  await lone.call('start', { module });
  await lone.call('readers', {});
  assert.deepEqual(await lone.end(), { code: 0, signal: null });
});
