/** The parts of the setup that can be shown without setting anything up: the archive reader, the refusals, the stamp. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { lstat, mkdir, mkdtemp, readFile, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { crc32, deflateRawSync } from 'node:zlib';
import { buildId } from '../../build/bundle.mjs';
import { asElectron, demandIntegrity, electronRuntime, unzip } from '../../build/electron.mjs';
import { Trouble, isRoot, missingFrom, root } from '../../build/machine.mjs';
import config from '../../build/builder.config.mjs';
import { BUILT, installationKey, sameInstallation } from '../../build/setup.mjs';

interface Item {
  readonly name: string;
  readonly text?: string;
  readonly mode?: number;
  readonly stored?: boolean;
  readonly crc?: number;
  readonly method?: number;
}

/** Writes a ZIP archive (APPNOTE 6.3.10, 4.3) with exactly the flaws asked for. */
function zip(items: readonly Item[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, text = '', mode = 0o100644, stored = false, crc = crc32(text), method = stored ? 0 : 8 } of items) {
    const packed = stored ? Buffer.from(text) : deflateRawSync(text);
    const extra = Buffer.alloc(7); // the local header's extra field has a length of its own
    const local = Buffer.alloc(30);
    local.write('PK\x03\x04', 'latin1');
    local.writeUInt16LE(name.length, 26);
    local.writeUInt16LE(extra.length, 28);
    const entry = Buffer.alloc(46);
    entry.write('PK\x01\x02', 'latin1');
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(crc, 16);
    entry.writeUInt32LE(packed.length, 20);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(mode * 0x10000, 38);
    entry.writeUInt32LE(at, 42);
    directory.push(entry, Buffer.from(name));
    parts.push(local, Buffer.from(name), extra, packed);
    at += 30 + name.length + extra.length + packed.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(items.length, 10);
  end.writeUInt32LE(size, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, ...directory, end]);
}

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'conclave-setup-'));
});
after(() => rm(folder, { recursive: true }));

describe('unpacking an archive', () => {
  let n = 0;
  const unpack = async (bytes: Buffer, choose?: (name: string) => string | undefined): Promise<string> => {
    const place = join(folder, String(n++));
    await mkdir(place);
    await writeFile(join(place, 'a.zip'), bytes);
    await unzip(join(place, 'a.zip'), join(place, 'out'), choose);
    return join(place, 'out');
  };

  test('stored, deflated and empty files, folders, links and modes', async () => {
    const out = await unpack(zip([
      { name: 'd/', mode: 0o040755, stored: true },
      { name: 'd/run', text: '#!/bin/sh\n', mode: 0o100755 },
      { name: 'd/e/long', text: 'long '.repeat(50_000) },
      { name: 'stored', text: 'as it is', stored: true },
      { name: 'empty', stored: true },
      { name: 'link', text: 'd/run', mode: 0o120777, stored: true },
      { name: 'setuid', text: 'x', mode: 0o104777 },
    ]));
    assert.equal(await readFile(join(out, 'd/e/long'), 'utf8'), 'long '.repeat(50_000));
    assert.equal(await readFile(join(out, 'stored'), 'utf8'), 'as it is');
    assert.equal(await readFile(join(out, 'empty'), 'utf8'), '');
    assert.equal(await readlink(join(out, 'link')), 'd/run');
    const mode = async (name: string): Promise<string> => ((await lstat(join(out, name))).mode & 0o7777).toString(8);
    assert.equal(await mode('d/run'), '755');
    assert.equal(await mode('stored'), '644');
    assert.equal(await mode('setuid'), '755', 'no archive makes a setuid or world-writable file');
  });

  test('entries are left out and renamed as asked', async () => {
    const out = await unpack(zip([
      { name: 'Cypress/', mode: 0o040755, stored: true },
      { name: 'Cypress/Cypress', text: 'binary' },
      { name: 'Cypress/browser_v8_context_snapshot.bin', text: 'snapshot' },
      { name: 'Cypress/resources/app/index.js', text: 'their app' },
      { name: 'Cypress/resources.pak', text: 'pak' },
    ]), asElectron);
    assert.deepEqual((await readdir(out, { recursive: true })).sort(), ['electron', 'resources.pak']);
  });

  const refusals: readonly (readonly [what: string, archive: Buffer, why: RegExp])[] = [
    ['a path that climbs out', zip([{ name: '../evil', text: 'x' }]), /outside the folder: \.\.\/evil/],
    ['a path that climbs out of a sibling with the same beginning', zip([{ name: '../out-evil', text: 'x' }]), /outside/],
    ['an absolute path', zip([{ name: '/tmp/evil', text: 'x' }]), /outside/],
    ['a link that points out', zip([{ name: 'd/link', text: '../../x', mode: 0o120777 }]), /link points outside/],
    ['an absolute link', zip([{ name: 'link', text: '/etc', mode: 0o120777 }]), /link points outside/],
    ['a file written through an earlier link', zip([{ name: 'l', text: 'd', mode: 0o120777 }, { name: 'l', text: 'x' }]), /EEXIST/],
    ['a wrong checksum', zip([{ name: 'a', text: 'x', crc: 1 }]), /a is damaged/],
    ['an unknown method', zip([{ name: 'a', text: 'x', method: 12 }]), /method 12/],
    ['no archive at all', Buffer.from('hello'), /no ZIP archive/],
    ['an archive cut short', zip([{ name: 'a', text: 'x' }]).subarray(0, 60), /no ZIP archive/],
    ['a damaged directory', zip([{ name: 'a', text: 'x' }]).fill(0, 42, 46), /directory is damaged/],
  ];
  for (const [what, archive, why] of refusals) {
    test(`${what} is refused`, async () => {
      await assert.rejects(unpack(archive), (error: Error) => {
        assert.match(error.message, why);
        return true;
      });
    });
  }
});

test('a file with another digest than the pinned one is refused, with both digests', async () => {
  const file = join(folder, 'tarball');
  await writeFile(file, 'abc'); // the digest is FIPS 180-4's example
  const right = 'sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==';
  await demandIntegrity(file, right);
  await writeFile(file, 'abd');
  await assert.rejects(demandIntegrity(file, right), (error: Error) => {
    assert.ok(error instanceof Trouble);
    assert.ok(error.message.includes(right));
    assert.match(error.next, /Nothing was unpacked/);
    return true;
  });
});

describe('what an installation depends on', () => {
  test('the lock file, the platform and the architecture, not the Node that asks', () => {
    const key = installationKey('{}', 'linux', 'x64');
    assert.equal(installationKey('{}', 'linux', 'x64'), key);
    assert.notEqual(installationKey('{ }', 'linux', 'x64'), key);
    assert.notEqual(installationKey('{}', 'linux', 'arm64'), key);
  });

  const lock = (packages: object): string => JSON.stringify({ packages: { '': { name: 'conclave' }, ...packages } });
  const a = { 'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' } };
  const b = { 'node_modules/b': { version: '1.0.0', integrity: 'sha512-b' } };
  const optional = { 'node_modules/o': { version: '1.0.0', integrity: 'sha512-o', optional: true } };
  const rows: readonly (readonly [what: string, wanted: string, found: string, same: boolean])[] = [
    ['the same packages', lock(a), lock(a), true],
    ['one missing', lock({ ...a, ...b }), lock(a), false],
    ['one too many', lock(a), lock({ ...a, ...b }), false],
    ['an optional one missing', lock({ ...a, ...optional }), lock(a), true],
    ['another content', lock(a), lock({ 'node_modules/a': { version: '1.0.0', integrity: 'sha512-x' } }), false],
    ['nothing installed', lock(a), '', false],
    ['a damaged note', lock(a), '{"packages":', false],
  ];
  for (const [what, wanted, found, same] of rows) {
    test(`${what}: ${same ? 'nothing to do' : 'install'}`, () => assert.equal(sameInstallation(wanted, found), same));
  }
});

test('what npm would compile at installation is compiled here by name, comes ready, or is for development; and it is packed', async () => {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, { hasInstallScript?: boolean; dev?: boolean }> };
  const native = Object.entries(lock.packages).filter(([, { hasInstallScript, dev }]) => hasInstallScript === true && dev !== true).map(([path]) => path.replace('node_modules/', ''));
  const ready = ['better-sqlite3', 'koffi'];
  assert.deepEqual(native.filter((name) => !ready.includes(name)).sort(), Object.keys(BUILT).sort());
  for (const [module, file] of Object.entries(BUILT)) {
    assert.ok([config.files].flat().some((pattern) => typeof pattern === 'string' && pattern.startsWith(`node_modules/${module}/{`) && pattern.endsWith(`,build/Release/${file}}`)), module);
  }
});

test('missing Debian packages: removed ones are missing, provided ones are not', () => {
  const listing = ['installed\tgit\t', 'config-files\txvfb\t', 'installed\tlibgtk-3-0t64\tlibgtk-3-0 (= 3.24), gtk3'].join('\n');
  assert.deepEqual(missingFrom(listing, ['git', 'xvfb', 'libgtk-3-0', 'softhsm2']), ['xvfb', 'softhsm2']);
});

test('CONCLAVE_ELECTRON wins, and a wrong one is named', async () => {
  const path = join(folder, 'electron');
  await writeFile(path, '');
  await writeFile(join(folder, 'version'), 'v1.2.3\n');
  assert.deepEqual(
    electronRuntime({ CONCLAVE_ELECTRON: path }),
    { path, version: '1.2.3', development: true, sandbox: !isRoot, args: isRoot ? ['--no-sandbox'] : [] },
  );
  assert.throws(() => electronRuntime({ CONCLAVE_ELECTRON: '/no/such/electron' }), /no such file/);
});

test('the build id is what its documentation says, recomputed with other tools', async () => {
  const command =
    "find ceremonies electron renderer package-lock.json build/bundle.mjs -type f -not -path '*/.*' | LC_ALL=C sort | xargs sha256sum | sha256sum";
  const { stdout } = await promisify(execFile)('sh', ['-c', command], { cwd: root });
  assert.equal(buildId(), stdout.slice(0, 64));
});
