/** Proves that this house's own lint bans bite, and only where they are meant to. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { ESLint } from 'eslint';
import { root } from '../../build/machine.mjs';

const ROWS: readonly (readonly [file: string, source: string, rule: string | undefined])[] = [
  ['electron/devices/a.ts', `export const b = Buffer.from('1234');`, 'house/unmoved-secrets'],
  ['electron/devices/b.ts', `export const b = (pin: string): Buffer => Buffer.from(pin, 'utf8');`, 'house/unmoved-secrets'],
  ['electron/devices/c.ts', `export const b = (pin: string | Uint8Array): Buffer => Buffer.from(pin as string);`, 'house/unmoved-secrets'],
  ['electron/devices/d.ts', `export const b = Buffer.allocUnsafe(32);`, 'house/unmoved-secrets'],
  ['electron/devices/e.ts', `export const b = (n: number): Uint8Array => new Uint8Array(n);`, 'house/unmoved-secrets'],
  ['electron/devices/f.ts', `export const b = (n: number): Uint8Array => new Uint8Array(new ArrayBuffer(n));`, undefined],
  ['electron/devices/g.ts', `export const b = (bytes: Uint8Array): Buffer => Buffer.from(bytes);`, undefined],
  ['electron/devices/secret.ts', `export const b = (n: number): Uint8Array => new Uint8Array(n);`, undefined],
  ['electron/conductor/a.ts', `export const b = Buffer.from('text');`, undefined],
  ['electron/devices/h.ts', `console.log('a PIN');`, 'no-console'],
  ['electron/conductor/b.ts', `console.log('a line');`, 'no-console'],
  ['renderer/a.ts', `console.log('a line');`, 'no-console'],
  ['electron/cli.ts', `console.log('a line');`, undefined],
  ['electron/a.ts', `export const page = fetch('x');`, 'no-restricted-globals'],
  ['renderer/b.ts', `export const line = new WebSocket('x');`, 'no-restricted-globals'],
  ['ceremonies/a.ts', `export const now = Date.now();`, 'no-restricted-syntax'],
  ['ceremonies/b.ts', `export const now = new Date();`, 'no-restricted-syntax'],
  ['ceremonies/c.ts', `export const at = new Date('2026-01-01T00:00:00Z');`, undefined],
  ['ceremonies/d.ts', `export const dice = Math.random();`, 'no-restricted-syntax'],
  ['ceremonies/e.ts', `export const home = process.cwd();`, 'no-restricted-globals'],
  ['ceremonies/f.ts', `import { randomBytes } from '@noble/hashes/utils.js'; export const b = randomBytes(8);`, 'no-restricted-syntax'],
  ['renderer/c.ts', `document.body.innerHTML = 'x';`, 'no-restricted-syntax'],
  ['renderer/d.tsx', `export const E = <p dangerouslySetInnerHTML={{ __html: 'x' }} />;`, 'no-restricted-syntax'],
  ['electron/b.ts', `export const two = eval('1 + 1') as number;`, 'no-eval'],
  ['electron/c.ts', `// TODO later\nexport const c = 1;`, 'house/honest-comments'],
  ['electron/d.ts', `/* eslint-disable no-eval */\nexport const two = eval('2') as number;`, 'house/honest-comments'],
  ['electron/e.ts', `// eslint-disable-next-line no-eval\nexport const two = eval('2') as number;`, 'house/honest-comments'],
  ['electron/f.ts', `// eslint-disable-next-line no-eval -- shown to the test\nexport const two = eval('2') as number;`, undefined],
  ['electron/g.ts', `type S = 'a' | 'b'; export const f = (s: S): number => { switch (s) { case 'a': return 1; } return 2; };`, '@typescript-eslint/switch-exhaustiveness-check'],
  ['electron/h.ts', `export const f = (x: any): unknown => x;`, '@typescript-eslint/no-explicit-any'],
  ['electron/i.ts', `// @ts-ignore\nexport const f: string = 1;`, '@typescript-eslint/ban-ts-comment'],
];

test('each ban is heard where it is meant', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'conclave-lint-'));
  try {
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    await writeFile(join(folder, 'tsconfig.json'), await readFile(join(root, 'tsconfig.json'), 'utf8'));
    for (const [file, source] of ROWS) {
      await mkdir(dirname(join(folder, file)), { recursive: true });
      await writeFile(join(folder, file), `${source}\n`);
    }
    const eslint = new ESLint({
      cwd: folder,
      overrideConfigFile: join(root, 'build/lint.config.mjs'),
      overrideConfig: { languageOptions: { parserOptions: { tsconfigRootDir: folder } } },
    });
    const heard = new Map((await eslint.lintFiles('.')).map(({ filePath, messages }) => [relative(folder, filePath), messages]));
    for (const [file, source, rule] of ROWS) {
      const rules = (heard.get(file) ?? assert.fail(`${file} was not looked at`)).map((message) => message.ruleId);
      if (rule === undefined) assert.deepEqual(rules, [], `${file}: ${source}`);
      else assert.ok(rules.includes(rule), `${file}: ${source}\n${rule} expected, heard: ${rules.join(', ')}`);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
