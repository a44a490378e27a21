/** The hub over plain Node processes: real children, stand-in programs. The same hub in Electron: test/e2e/shell.test.ts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { Refused } from '../../ceremonies/refusal.ts';
import type { Notice } from '../../electron/devices/protocol.ts';
import { dataFolder, nodeLauncher, startHouse, type BoothPort, type House } from '../../electron/processes.ts';

const fixture = (name: string) => join(import.meta.dirname, 'fixtures', name);
const launcher = nodeLauncher({ node: process.execPath, conductor: fixture('conductor.cjs'), devices: fixture('devices.cjs') });
const runtime = { node: process.versions.node, electron: null, development: false };

let home = '';
let house: House<BoothPort>;
const begin = () => startHouse(launcher, { home, app: { version: '0', build: 'test' }, runtime, scriptsFolder: '/nowhere', stopMs: 2000 });
/** The stand-in's requests are none of contract.ts'. */
const call = async (request: object): Promise<unknown> => {
  const answer = await house.call(request as { call: 'hello' });
  assert.ok(answer.ok, JSON.stringify(answer));
  return answer.value;
};
const device = (module: string, operation: string, body: unknown = null) => call({ call: 'device', module, operation, body });
const body = (reply: unknown) => (reply as { body: unknown }).body;
const alive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

beforeEach(() => { home = mkdtempSync(join(tmpdir(), 'conclave-house-')); });
afterEach(async () => {
  await (house as House<BoothPort> | undefined)?.stop();
  rmSync(home, { recursive: true, force: true });
});

test('the conductor is told what it starts on, and calls are answered each by its own answer', async () => {
  house = await begin();
  const hello = (await call({ call: 'hello' })) as { start: object };
  assert.deepEqual(hello.start, {
    from: 'parent', kind: 'start', home, app: { version: '0', build: 'test' }, runtime, scriptsFolder: '/nowhere',
  });
  const echoes = await Promise.all([1, 2, 3].map((n) => call({ call: 'any', n, bytes: new Uint8Array([n]) })));
  assert.deepEqual(echoes.map((echo) => (echo as { echo: { bytes: Uint8Array } }).echo.bytes[0]), [1, 2, 3]);
});

test('entries are pushed to every listener until it is taken away', async () => {
  house = await begin();
  const heard: unknown[] = [];
  const off = house.onEntries((entries) => heard.push(entries));
  await call({ call: 'push', entries: { ceremony: 'c', from: 0, lines: ['a'] } });
  off();
  await call({ call: 'push', entries: { ceremony: 'c', from: 1, lines: ['b'] } });
  assert.deepEqual(heard, [{ ceremony: 'c', from: 0, lines: ['a'] }]);
});

test('each module has a process of its own, started once and on demand', async () => {
  house = await begin();
  const [a, again, b] = [body(await device('a', 'pid')), body(await device('a', 'pid')), body(await device('b', 'pid'))];
  assert.equal(a, again);
  assert.notEqual(a, b);
});

test('a crash is told to the conductor as a signal, and the next message starts a new process', async () => {
  house = await begin();
  const pid = body(await device('a', 'pid'));
  assert.deepEqual(await device('a', 'crash'), { lost: { how: 'exited', code: null, signal: 'SIGABRT' } });
  assert.notEqual(body(await device('a', 'pid')), pid);
});

test('a process that hangs is killed when the conductor says so, and reported as killed', async () => {
  house = await begin();
  const hanging = device('a', 'hang');
  await call({ call: 'kill', module: 'a' });
  assert.deepEqual(await hanging, { lost: { how: 'killed', code: null, signal: 'SIGKILL' } });
  await call({ call: 'kill', module: 'a' }); // nobody there: nothing happens
});

const wanted = (ticket: number): Notice => ({
  kind: 'pin-wanted', wanted: 'user-pin', ticket, attempts: 'fine', min: 4, max: 16,
  token: { serial: '1', label: 'card', model: '', manufacturer: '', firmware: '', hardware: '', flags: [] },
  asked: { person: 'custodian-1', name: 'Grace', purpose: 'test', standIn: false, acceptFinalTry: false },
});

test('a PIN goes from the booth port to the device process; notices go to people and to the conductor', async () => {
  house = await begin();
  const heard: [string, Notice][] = [];
  house.onNotice((module, notice) => {
    heard.push([module, notice]);
    const port = house.booth(module);
    assert.ok(port);
    if (notice.kind !== 'pin-wanted') return;
    if (notice.ticket === 7) port.postMessage({ ticket: 7, pin: new TextEncoder().encode('s3crét ✓') });
    else port.postMessage({ ticket: notice.ticket, cancelled: true });
  });
  assert.deepEqual(body(await device('a', 'pin', { notice: wanted(7) })), { ticket: 7, pin: 's3crét ✓' });
  assert.deepEqual(body(await device('a', 'pin', { notice: wanted(8) })), { ticket: 8, cancelled: true });
  assert.deepEqual(heard.map(([module, { kind, ticket }]) => [module, kind, ticket]), [
    ['a', 'pin-wanted', 7], ['a', 'pin-settled', 7], ['a', 'pin-wanted', 8], ['a', 'pin-settled', 8],
  ]);
  const seen = JSON.stringify(await call({ call: 'seen' }));
  assert.match(seen, /pin-wanted.*pin-settled/);
});

test('the booth closes when the device process ends: every pin-wanted is settled once', async () => {
  house = await begin();
  const settled: Notice[] = [];
  house.onNotice((module, notice) => {
    if (notice.kind === 'pin-settled') settled.push(notice);
    else void call({ call: 'kill', module });
  });
  assert.deepEqual(await device('a', 'pin', { notice: wanted(1) }), { lost: { how: 'killed', code: null, signal: 'SIGKILL' } });
  assert.deepEqual(settled, [{ kind: 'pin-settled', ticket: 1, outcome: 'cancelled' }]);
  assert.equal(house.booth('a'), undefined);
});

test('so does the window of a PIN pad: settled once, by the device or in its place', async () => {
  house = await begin();
  const settled: Notice[] = [];
  const asked = new Promise<void>((resolve) => {
    house.onNotice((_module, notice) => {
      if (notice.kind === 'pin-settled') settled.push(notice);
      else resolve();
    });
  });
  const { token, asked: who } = wanted(1) as Extract<Notice, { kind: 'pad-wanted' }>;
  const pad = (ticket: number): Notice => ({ kind: 'pad-wanted', wanted: 'user-pin', ticket, token, asked: who });
  const first = device('a', 'pin', { notice: pad(1) });
  await asked;
  await device('a', 'settle', { ticket: 1, outcome: 'accepted' });
  await first;
  const second = device('a', 'pin', { notice: pad(2) });
  await device('a', 'echo');
  await call({ call: 'kill', module: 'a' });
  await second;
  assert.deepEqual(settled, [{ kind: 'pin-settled', ticket: 1, outcome: 'accepted' }, { kind: 'pin-settled', ticket: 2, outcome: 'cancelled' }]);
});

test('a lost conductor: calls are answered, devices end with it, the loss is told once', async () => {
  house = await begin();
  const pid = body(await device('a', 'pid')) as number;
  const lost: unknown[] = [];
  house.onLost((how) => lost.push(how));
  const answer = await house.call({ call: 'end', signal: 'SIGSEGV' } as never);
  assert.deepEqual([answer.ok, 'problem' in answer && answer.problem.code], [false, 'CONDUCTOR_LOST']);
  assert.deepEqual(lost, [{ how: 'exited', code: null, signal: 'SIGSEGV' }]);
  const later = await house.call({ call: 'hello' });
  assert.ok(!later.ok && 'problem' in later && later.problem.code === 'CONDUCTOR_LOST');
  await house.stop();
  assert.equal(alive(pid), false);
});

test('a conductor that refuses, or ends before it is ready, is a refusal with its rule', async () => {
  writeFileSync(join(home, 'refuse'), '');
  await assert.rejects(begin(), (error: unknown) => error instanceof Refused && error.refusal.rule === 'DATA-FOLDER');
  writeFileSync(join(home, 'end'), '');
  await assert.rejects(begin(), (error: unknown) =>
    error instanceof Refused && error.refusal.rule === 'CONDUCTOR-STARTS' && error.refusal.found === 'it ended with code 3');
});

test('a program that cannot be started at all is a refusal too', async () => {
  const broken = nodeLauncher({ node: '/nowhere/node', conductor: 'x', devices: 'y' });
  const start = startHouse(broken, { home, app: { version: '0', build: '' }, runtime, scriptsFolder: '' });
  await assert.rejects(start, (error: unknown) => error instanceof Refused && error.refusal.rule === 'CONDUCTOR-STARTS');
});

test('stop ends every process, twice is harmless', async () => {
  house = await begin();
  const pids = [body(await device('a', 'pid')), body(await device('b', 'pid'))] as number[];
  await Promise.all([house.stop(), house.stop()]);
  assert.deepEqual(pids.map(alive), [false, false]);
});

test('children dump no core, and get nothing from the environment that steers a Node', async () => {
  process.env['NODE_OPTIONS'] = '--no-such-option-exists';
  try {
    house = await begin();
    assert.match(String(body(await device('a', 'limits'))), /^Max core file size +1 +1 /m);
  } finally {
    delete process.env['NODE_OPTIONS'];
  }
});

test('the data folder: CONCLAVE_HOME, else XDG_DATA_HOME, else ~/.local/share', () => {
  const table: readonly [NodeJS.ProcessEnv, string][] = [
    [{ CONCLAVE_HOME: '/a', XDG_DATA_HOME: '/b' }, '/a'],
    [{ CONCLAVE_HOME: '', XDG_DATA_HOME: '/b' }, '/b/conclave'],
    [{ XDG_DATA_HOME: 'relative' }, '/home/x/.local/share/conclave'],
    [{}, '/home/x/.local/share/conclave'],
  ];
  for (const [env, expected] of table) assert.equal(dataFolder(env, '/home/x'), expected);
});
