/**
 * Proves that the layer rules bite: a small house with one violation per line of a table, cruised with the real rules.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { root } from '../../build/machine.mjs';

const rules = join(root, 'build/layers.config.cjs');
const cruiser = join(root, 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs');

/** Files that keep all rules; every process's entry is there, so that the rule about dead files is on. */
const LAWFUL: Readonly<Record<string, string>> = {
  'ceremonies/ceremony.ts': `import { z } from 'zod'; import { sha256 } from '@noble/hashes'; import { parse } from 'yaml';`,
  'ceremonies/scripts.ts': `import './ceremony.ts';`,
  'electron/main.ts': `import { app } from 'electron'; import './windows.ts'; import './hardening.ts'; import './processes.ts';`,
  'electron/windows.ts': `import { BrowserWindow } from 'electron'; import './contract.ts';`,
  'electron/processes.ts': `import { utilityProcess } from 'electron'; import { fork } from 'node:child_process';`,
  'electron/hardening.ts': `import type { Session } from 'electron';`,
  'electron/contract.ts': `import { z } from 'zod'; import '../ceremonies/ceremony.ts';`,
  'electron/preload.ts': `import { contextBridge } from 'electron'; import './contract.ts';`,
  'electron/booth/preload.ts': `import { ipcRenderer } from 'electron';`,
  'electron/cli.ts': `import './conductor/process.ts'; import '../ceremonies/scripts.ts'; import { argv } from 'node:process';`,
  'electron/devices/process.ts': `import './protocol.ts'; import './pkcs11.ts'; import './cryptoki.ts'; import { randomBytes } from 'node:crypto';`,
  'electron/devices/protocol.ts': `import '../../ceremonies/ceremony.ts';`,
  'electron/devices/pkcs11.ts': `import * as pkcs11js from 'pkcs11js';`,
  'electron/devices/cryptoki.ts': `import koffi from 'koffi';`,
  'electron/conductor/process.ts': `import './ledger.ts'; import { open } from 'node:fs';`,
  'electron/conductor/ledger.ts': `import Database from 'better-sqlite3'; import '../devices/protocol.ts'; import '../contract.ts';`,
  'renderer/main.tsx': `import { useState } from 'react'; import { create } from 'zustand'; import '../electron/contract.ts';`,
  'test/house.test.ts': `import '../ceremonies/ceremony.ts'; import Database from 'better-sqlite3';`,
};

/** One more import in one file, and the rules that must refuse it. Together the rows name every rule there is. */
const UNLAWFUL: readonly (readonly [file: string, imports: string, ...rules: string[]])[] = [
  ['ceremonies/ceremony.ts', 'node:fs', 'PURE-CEREMONIES'],
  ['ceremonies/ceremony.ts', 'crypto', 'PURE-CEREMONIES'],
  ['ceremonies/ceremony.ts', 'node:net', 'PURE-CEREMONIES', 'NO-NETWORK'],
  ['ceremonies/ceremony.ts', '../electron/devices/protocol.ts', 'PURE-CEREMONIES', 'NO-CIRCLES'],
  ['ceremonies/scripts.ts', 'react', 'PURE-CEREMONIES'],
  ['ceremonies/scripts.ts', 'better-sqlite3', 'PURE-CEREMONIES', 'ONE-IMPORTER-SQLITE'],
  ['ceremonies/scripts.ts', '../test/house.test.ts', 'PURE-CEREMONIES', 'NOBODY-IMPORTS-TESTS'],
  ['ceremonies/scripts.ts', './no-such-file.ts', 'RESOLVABLE'],
  ['ceremonies/dead.ts', './ceremony.ts', 'NOTHING-DEAD'],
  ['electron/devices/process.ts', '../conductor/ledger.ts', 'DEVICES-APART'],
  ['electron/devices/process.ts', 'koffi', 'ONE-IMPORTER-KOFFI'],
  ['electron/devices/protocol.ts', 'electron', 'DEVICES-APART', 'ELECTRON-AT-THE-DOOR'],
  ['electron/devices/protocol.ts', 'pkcs11js', 'ONE-IMPORTER-PKCS11'],
  ['electron/devices/pkcs11.ts', 'smartcard', 'ONE-IMPORTER-PCSC'],
  ['electron/conductor/ledger.ts', '../devices/pkcs11.ts', 'CONDUCTOR-APART'],
  ['electron/conductor/ledger.ts', '../../renderer/main.tsx', 'CONDUCTOR-APART'],
  ['electron/conductor/process.ts', 'https', 'NO-NETWORK'],
  ['electron/contract.ts', 'node:path', 'CONTRACT-IS-DATA'],
  ['electron/contract.ts', './hardening.ts', 'CONTRACT-IS-DATA'],
  ['renderer/main.tsx', 'node:fs', 'RENDERER-APART'],
  ['renderer/main.tsx', 'electron', 'RENDERER-APART', 'ELECTRON-AT-THE-DOOR'],
  ['renderer/main.tsx', '../electron/devices/protocol.ts', 'RENDERER-APART'],
  ['renderer/main.tsx', '../build/machine.mjs', 'RENDERER-APART', 'NOBODY-IMPORTS-BUILD'],
  ['electron/windows.ts', './devices/pkcs11.ts', 'MAIN-IS-DOORS'],
  ['electron/windows.ts', 'better-sqlite3', 'MAIN-IS-DOORS', 'ONE-IMPORTER-SQLITE'],
  ['electron/windows.ts', 'zxing-wasm', 'ONE-IMPORTER-ZXING'],
  ['electron/main.ts', './conductor/ledger.ts', 'MAIN-HOLDS-NO-RECORD'],
  ['electron/main.ts', 'esbuild', 'MAIN-IS-DOORS', 'DECLARED'],
  ['electron/cli.ts', 'electron', 'ELECTRON-AT-THE-DOOR'],
  ['electron/hardening.ts', 'electron', 'HARDENING-IS-DATA'],
  ['electron/preload.ts', 'node:child_process', 'PRELOAD-IS-SMALL'],
  ['electron/booth/preload.ts', 'node:http', 'PRELOAD-IS-SMALL', 'NO-NETWORK'],
];

const PACKAGES = [
  'zod', '@noble/hashes', 'yaml', 'react', 'zustand', 'electron', 'pkcs11js', 'koffi', 'better-sqlite3', 'smartcard', 'esbuild', 'zxing-wasm',
];

const folders: string[] = [];
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

/** Builds the house in a fresh folder and returns what the rules say about it, as "file RULE imports". */
async function cruise(house: Readonly<Record<string, string>>): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'conclave-layers-'));
  folders.push(folder);
  const put = async (path: string, text: string): Promise<void> => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  };
  for (const [path, text] of Object.entries(house)) await put(path, text);
  for (const name of PACKAGES) {
    await put(`node_modules/${name}/package.json`, JSON.stringify({ name, version: '1.0.0', main: 'index.js' }));
    await put(`node_modules/${name}/index.js`, '');
  }
  const real = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { dependencies: object };
  await put('package.json', JSON.stringify({ ...real, dependencies: { ...real.dependencies, koffi: '1', smartcard: '1' } }));
  await put('tsconfig.json', await readFile(join(root, 'tsconfig.json'), 'utf8'));
  await put('build/machine.mjs', '');

  const args = [cruiser, '--config', rules, '--output-type', 'json', 'ceremonies', 'electron', 'renderer', 'build', 'test'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder, maxBuffer: 1 << 26 }).catch(
    (failed: unknown) => failed as { stdout: string }, // its exit code is the number of violations
  );
  const { summary } = JSON.parse(stdout) as { summary: { violations: { from: string; to: string; rule: { name: string } }[] } };
  return summary.violations.map(({ from, to, rule }) => `${from} ${rule.name} ${to}`).sort();
}

test('a lawful house passes', async () => {
  assert.deepEqual(await cruise(LAWFUL), []);
});

test('every forbidden import is refused by the rules that name it, and by no other', async () => {
  const house: Record<string, string> = { ...LAWFUL };
  for (const [file, imports] of UNLAWFUL) house[file] = `${house[file] ?? ''}\nimport '${imports}';`;
  const said = await cruise(house);

  const resolved = (file: string, imports: string): string =>
    imports.startsWith('.') && !imports.includes('no-such')
      ? join(dirname(file), imports)
      : PACKAGES.includes(imports) ? `node_modules/${imports}/index.js` : imports.replace('node:', '');
  const expected = UNLAWFUL.flatMap(([file, imports, ...names]) =>
    names.map((name) => (name === 'NOTHING-DEAD' ? `${file} ${name} ${file}` : `${file} ${name} ${resolved(file, imports)}`)));
  // A circle is found from each file on it; the table names it once.
  const once = said.filter((line) => !line.includes('NO-CIRCLES') || expected.includes(line));
  assert.deepEqual(once, expected.sort());
});

test('the table names every rule', () => {
  const { forbidden } = createRequire(import.meta.url)(rules) as { forbidden: { name: string }[] };
  const named = new Set(UNLAWFUL.flatMap(([, , ...names]) => names));
  const all = new Set([...forbidden.map(({ name }) => name), 'NOTHING-DEAD']); // that one is on once all processes exist
  assert.deepEqual([...named].sort(), [...all].sort());
});
