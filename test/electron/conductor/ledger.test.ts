/** The ledger on real disks: durable, append-only, and honest when the disk is full or read-only. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { Refused } from '../../../ceremonies/refusal.ts';
import { openLedger } from '../../../electron/conductor/ledger.ts';
import { readConfiguration } from '../../../electron/conductor/machine.ts';
import { remove, temporaryFolder, writeModules } from '../house.ts';

const rule = (wanted: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === wanted;

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = temporaryFolder('ledger');
  try {
    await work(folder);
  } finally {
    remove(folder);
  }
}

test('lines come back as they went in, after a re-open too', () => inFolder(async (folder) => {
  const first = await openLedger(folder);
  first.append('a', 0, 'zero');
  first.append('a', 1, 'one');
  first.append('b', 0, 'other');
  first.close();
  const second = await openLedger(folder);
  assert.deepEqual(second.lines('a', 0), ['zero', 'one']);
  assert.deepEqual(second.lines('a', 1), ['one']);
  assert.deepEqual(second.ceremonies().map(({ ceremony, count, tail }) => [ceremony, count, tail]), [['a', 2, ['zero', 'one']], ['b', 1, ['other']]]);
  second.close();
}));

test('nothing is changed, removed, doubled or left out', () => inFolder(async (folder) => {
  const ledger = await openLedger(folder);
  ledger.append('a', 0, 'zero');
  assert.throws(() => { ledger.append('a', 0, 'again'); }, rule('LEDGER-IN-ORDER'));
  assert.throws(() => { ledger.append('a', 2, 'gap'); }, rule('LEDGER-IN-ORDER'));
  ledger.close();
  const raw = new Database(join(folder, 'ledger.sqlite'));
  assert.throws(() => raw.exec("UPDATE entry SET line = 'x'"), /LEDGER-APPEND-ONLY/);
  assert.throws(() => raw.exec('DELETE FROM entry'), /LEDGER-APPEND-ONLY/);
  raw.close();
}));

test('every durability pragma holds on a re-opened database, where SQLite would fall back to NORMAL', () => inFolder(async (folder) => {
  (await openLedger(folder)).close();
  const plain = new Database(join(folder, 'ledger.sqlite'));
  assert.equal(plain.pragma('synchronous', { simple: true }), 1, 'if this fails the danger is gone and the comment in ledger.ts is wrong');
  plain.close();
  (await openLedger(folder)).close(); // throws LEDGER-PRAGMA where a pragma does not hold
}));

test('a damaged file is refused by name and left as it is', () => inFolder(async (folder) => {
  writeFileSync(join(folder, 'ledger.sqlite'), 'this is no database, but it is long enough to have a header of its own');
  await assert.rejects(openLedger(folder), rule('LEDGER-OPEN'));
  assert.match(readFileSync(join(folder, 'ledger.sqlite'), 'utf8'), /^this is no database/);
}));

/** Runs `disk.ts` on a small tmpfs in a mount namespace of its own, so that the disk is really full or read-only. */
function onSmallDisk(what: 'full' | 'read-only'): { stdout: string; status: number | null } {
  const program = fileURLToPath(new URL('./disk.ts', import.meta.url));
  const mountpoint = temporaryFolder('disk');
  try {
    const script = `mount -t tmpfs -o size=400k tmpfs "$1" && exec "$2" "$3" "$1" ${what}`;
    return spawnSync('unshare', [...(process.getuid?.() === 0 ? ['-m'] : ['-rm']), 'sh', '-c', script, 'sh', mountpoint, process.execPath, program], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  } finally {
    remove(mountpoint);
  }
}

test('a full disk: the refusal is DISK-WRITE, everything before it is there, and writing goes on when there is room', () => {
  const { stdout, status } = onSmallDisk('full');
  assert.equal(status, 0);
  const { refusal, before, after, room } = JSON.parse(stdout) as { refusal: string; before: number; after: number; room: number };
  assert.equal(refusal, 'DISK-WRITE');
  assert.ok(before > 10);
  assert.equal(after, before, 'the refused line must not be there');
  assert.equal(room, before + 1, 'after making room the same number is written once');
});

test('a disk that turns read-only: refused, nothing lost', () => {
  const { stdout, status } = onSmallDisk('read-only');
  assert.equal(status, 0);
  const { refusal, before, after } = JSON.parse(stdout) as { refusal: string; before: number; after: number };
  assert.ok(['DISK-WRITE', 'LEDGER-OPEN'].includes(refusal), refusal);
  assert.equal(after, before);
});

test('modules.json: only a file that nobody else may write decides which code runs', () => inFolder(async (folder) => {
  assert.deepEqual(readConfiguration(folder).modules.map((module) => module.name), ['software']);
  writeModules(folder, [{ kind: 'pkcs11', name: 'hsm', path: '/nowhere.so' }], ['0417']);
  assert.deepEqual(readConfiguration(folder).modules.map((module) => module.name), ['software', 'hsm']);
  chmodSync(join(folder, 'modules.json'), 0o666);
  assert.throws(() => readConfiguration(folder), rule('MODULES-FILE-OWNER'));
  chmodSync(join(folder, 'modules.json'), 0o600);
  for (const text of ['{', '{"modules":[{"kind":"pkcs11"}]}', '{"modules":[],"extra":1}', JSON.stringify({ modules: [{ kind: 'pkcs11', name: 'software', path: '/x' }] })]) {
    writeFileSync(join(folder, 'modules.json'), text);
    assert.throws(() => readConfiguration(folder), rule('MODULES-FILE'));
  }
  await Promise.resolve();
}));
