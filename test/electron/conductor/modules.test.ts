/** PKCS#11 modules as files: what may run, what is offered, and what is refused when it is not what it was. */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { appendFileSync, chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { Refused } from '../../../ceremonies/refusal.ts';
import { openBlocklist } from '../../../electron/conductor/blocklist.ts';
import { examineLibrary, moduleReport, vetModule } from '../../../electron/conductor/modules.ts';
import type { ModuleConfig } from '../../../electron/devices/protocol.ts';
import { SOFTHSM } from '../devices/device-process.ts';

const root = mkdtempSync(join(tmpdir(), 'conclave-modules-'));
after(() => rmSync(root, { recursive: true, force: true }));
let home: string;
let library: string;
let config: ModuleConfig & { kind: 'pkcs11' };
let turn = 0;
beforeEach(() => {
  home = join(root, `${turn++}`);
  mkdirSync(home, { mode: 0o700 });
  library = join(home, 'libtoken.so');
  copyFileSync(SOFTHSM, library);
  chmodSync(library, 0o644);
  config = { kind: 'pkcs11', name: 'token', path: library, env: { SOFTHSM2_CONF: '/etc/softhsm2.conf' } };
});

const NOW = new Date('2026-11-22T10:00:00Z');
const rule = (name: string, ...words: string[]) => (thrown: unknown) => {
  assert.ok(thrown instanceof Refused, String(thrown));
  assert.equal(thrown.refusal.rule, name);
  for (const word of words) assert.ok(JSON.stringify(thrown.refusal).includes(word), `${word} in ${thrown.message}`);
  return true;
};
const seenFile = () => join(home, 'modules-seen.json');

test('the first use pins a module, and every later one compares', () => {
  const first = vetModule(config, home, NOW);
  assert.match(first ?? '', /^[0-9a-f]{64}$/);
  assert.deepEqual(JSON.parse(readFileSync(seenFile(), 'utf8')), { modules: { [library]: { sha256: first, since: NOW.toISOString() } } });
  assert.equal(statSync(seenFile()).mode & 0o777, 0o600);
  assert.equal(vetModule(config, home, new Date('2027-01-01')), first);
  appendFileSync(library, 'x');
  const changed = examineLibrary(library).sha256 ?? '';
  assert.throws(() => vetModule(config, home, NOW), rule('MODULE-CHANGED', first ?? '', changed, 'modules-seen.json'));
  const report = moduleReport([config], home, {}, { files: [], folders: [], p11kit: [] });
  assert.equal(report.configured[0]?.library?.refusal?.rule, 'MODULE-CHANGED');
  // The pin is not renewed by a refusal.
  assert.throws(() => vetModule(config, home, NOW), rule('MODULE-CHANGED'));
});

test('a pin file that is not ours is not believed, and not begun anew', () => {
  vetModule(config, home, NOW);
  chmodSync(seenFile(), 0o666);
  assert.throws(() => vetModule(config, home, NOW), rule('MODULES-SEEN'));
  chmodSync(seenFile(), 0o600);
  for (const text of ['', '{"modules":', '{"modules":{},"more":1}', '{"modules":{"/x":{"sha256":"zz","since":""}}}']) {
    writeFileSync(seenFile(), text);
    assert.throws(() => vetModule(config, home, NOW), rule('MODULES-SEEN'), text);
    assert.equal(readFileSync(seenFile(), 'utf8'), text);
  }
});

test('what is no library for this machine, or may be changed by others, is refused before it is loaded', () => {
  const elf = readFileSync(library);
  const changed = (at: number, value: number) => {
    const bytes = Buffer.from(elf);
    bytes[at] = value;
    return bytes;
  };
  for (const [name, bytes, expected] of [
    ['an empty file', Buffer.alloc(0), 'MODULE-ARCHITECTURE'], ['a text', Buffer.from('#!/bin/sh\nexit 0\n# long enough'), 'MODULE-ARCHITECTURE'],
    ['32 bits', changed(4, 1), 'MODULE-ARCHITECTURE'], ['big-endian', changed(5, 2), 'MODULE-ARCHITECTURE'], ['a program', changed(16, 2), 'MODULE-ARCHITECTURE'],
    ['another machine', changed(18, 0x28), 'MODULE-ARCHITECTURE'],
  ] as const) {
    writeFileSync(library, bytes);
    assert.throws(() => vetModule(config, home, NOW), rule(expected), name);
  }
  writeFileSync(library, elf);
  chmodSync(library, 0o664);
  assert.throws(() => vetModule(config, home, NOW), rule('MODULE-OWNER', '664'));
  chmodSync(library, 0o644);
  const open = join(home, 'open');
  mkdirSync(open);
  copyFileSync(library, join(open, 'lib.so'));
  chmodSync(open, 0o777);
  assert.throws(() => vetModule({ ...config, path: join(open, 'lib.so') }, home, NOW), rule('MODULE-OWNER', 'folder'));
  chmodSync(open, 0o1777); // others cannot take it away there
  assert.ok(vetModule({ ...config, path: join(open, 'lib.so') }, home, NOW));
  assert.throws(() => vetModule({ ...config, path: join(home, 'nothing.so') }, home, NOW), rule('MODULE-FILE', 'no file'));
  assert.throws(() => vetModule({ ...config, path: 'libsofthsm2.so' }, home, NOW), rule('MODULE-FILE', 'absolute'));
  assert.throws(() => vetModule({ ...config, path: home }, home, NOW), rule('MODULE-FILE'));
  assert.equal(vetModule({ kind: 'software', name: 'software', folder: home }, home, NOW), null);
});

test('candidates: p11-kit\'s files and well-known places, each with the reason why it is not offered', () => {
  const [packages, system, libraries] = ['packages', 'system', 'lib'].map((name) => join(home, name)) as [string, string, string];
  for (const folder of [packages, system, libraries]) mkdirSync(folder);
  const put = (name: string) => { copyFileSync(SOFTHSM, join(libraries, name)); appendFileSync(join(libraries, name), name); };
  for (const name of ['a.so', 'b.so', 'c.so', 'd.so', 'pkcs11-spy.so', 'p11-kit-proxy.so']) put(name);
  symlinkSync(join(libraries, 'a.so'), join(libraries, 'again.so'));
  writeFileSync(join(packages, 'a.module'), '# a comment\nmodule: a.so\n');
  writeFileSync(join(packages, 'b.module'), `module: ${join(libraries, 'b.so')}\nenable-in: ssh, gnutls\n`);
  writeFileSync(join(packages, 'c.module'), 'module: c.so\nenable-in: ssh conclave\n');
  writeFileSync(join(packages, 'd.module'), 'module: d.so\n');
  writeFileSync(join(system, 'd.module'), 'disable-in: conclave\n'); // the administrator's setting on top of the package's file
  writeFileSync(join(packages, 'far.module'), 'remote: |ssh somewhere p11-kit remote\n');
  writeFileSync(join(packages, 'proxy.module'), 'module: p11-kit-proxy.so\n');
  const { candidates } = moduleReport([config, { ...config, name: 'has-a', path: join(libraries, 'a.so') }], home, {}, { files: [library, '/nowhere.so'], folders: [libraries], p11kit: [packages, system] });
  const of = (name: string) => candidates.filter((candidate) => candidate.name === name);
  assert.deepEqual(of('a').map(({ skipped, configuredAs, from }) => ({ skipped, configuredAs, from })), [{ skipped: null, configuredAs: 'has-a', from: join(packages, 'a.module') }]);
  assert.equal(of('b')[0]?.skipped, 'enable-in names only: ssh, gnutls');
  assert.equal(of('c')[0]?.skipped, null);
  assert.equal(of('c')[0]?.library.refusal, null);
  assert.equal(of('d')[0]?.skipped, 'disable-in names conclave');
  assert.match(of('far')[0]?.skipped ?? '', /command/);
  assert.match(of('proxy')[0]?.skipped ?? '', /p11-kit-proxy/);
  assert.match(of('pkcs11-spy.so')[0]?.skipped ?? '', /PINs in clear/);
  assert.equal(of('again.so')[0]?.skipped, `the same file as ${join(libraries, 'a.so')}`);
  assert.equal(of('libtoken.so')[0]?.configuredAs, 'token');
  assert.ok(candidates.every(({ library: { path } }) => path !== '/nowhere.so'));
});

test('the environment in force: that of modules.json, and what libraries are known to read', () => {
  const { configured } = moduleReport([config], home, { SOFTHSM2_CONF: '/other', LD_PRELOAD: '/tmp/x.so', HOME: '/root', PIN: '1234' }, { files: [], folders: [], p11kit: [] });
  assert.deepEqual(configured[0]?.environment, [
    { name: 'SOFTHSM2_CONF', value: '/etc/softhsm2.conf', from: 'modules.json' }, { name: 'LD_PRELOAD', value: '/tmp/x.so', from: 'surroundings' },
  ]);
});

test('a blocklist is read only as it was pinned', () => {
  const path = join(home, 'blocklist.dat');
  const records = ['00'.repeat(15), '11'.repeat(15), 'ff'.repeat(15)].map((hex, i) => Buffer.from(`${hex}0${i + 1}`, 'hex'));
  writeFileSync(path, Buffer.concat(records));
  const found = hash('sha256', Buffer.concat(records));
  assert.throws(() => openBlocklist({ path, sha256: '00'.repeat(32) }), rule('BLOCKLIST-CHANGED', '00'.repeat(32), found));
  const list = openBlocklist({ path, sha256: found.toUpperCase() });
  assert.equal(list.entries, 3);
  for (const [i, record] of records.entries()) assert.equal(list.find(record.subarray(0, 15)), i + 1);
  for (const hex of ['01'.repeat(15), '12'.repeat(15), `${'00'.repeat(14)}01`, `${'ff'.repeat(14)}fe`]) assert.equal(list.find(Buffer.from(hex, 'hex')), null);
  assert.throws(() => openBlocklist({ path: join(home, 'none'), sha256: found }), rule('BLOCKLIST-FILE'));
});
