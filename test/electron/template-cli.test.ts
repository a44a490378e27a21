/** `conclave key template`, as a person in a terminal meets it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../electron/cli.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'conclave-template-cli-'));
after(() => { rmSync(folder, { recursive: true, force: true }); });

function run(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, 'key', ...args], { encoding: 'utf8', timeout: 60_000, env: { ...process.env, CONCLAVE_HOME: folder } });
  return { code: status, out: stdout, err: stderr };
}
function file(name: string, content: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

const ONE = (attributes: string) => `conclave-templates: 1\ntemplates:\n  - { name: house-key, purpose: key-encryption, kind: aes-256, attributes: { ${attributes} } }\n`;

test('template: the list, one in full, a file that is refused, and one that cannot be believed', () => {
  const list = run('template');
  assert.equal(list.code, 0, list.err);
  assert.match(list.out, /^✓ signing-ec-p384 +signing +EC P-384$/m);
  const one = run('template', 'encapsulation-ml-kem-768', '--json');
  const { templates } = JSON.parse(one.out) as { templates: { name: string; objects: { attributes: Record<string, boolean> }[] }[] };
  assert.deepEqual([one.code, templates.length, templates[0]?.objects[0]?.attributes['CKA_DECAPSULATE']], [0, 1, true]);
  const bad = run('template', 'house-key', '--file', file('bad.yaml', ONE('decrypt: true')));
  assert.equal(bad.code, 1);
  assert.match(bad.out, /✕ KEY-WRAP-DECRYPT \(refused\): .* every extractable key on the token can be read in plain/);
  const broken = run('template', '--file', file('broken.yaml', ONE('decrypts: true')));
  assert.equal(broken.code, 1);
  assert.match(broken.out, /^broken\.yaml:3: TEMPLATES-SHAPE: /);
  for (const args of [['template', 'nobody'], ['template', 'a', 'b'], ['template', '--file', join(folder, 'none')], ['template', '--nonsense']]) assert.equal(run(...args).code, 2, args.join(' '));
});

test('template: those of the organisation stand beside those that ship, and only its administrator writes them', () => {
  const path = file('templates.yaml', ONE(''));
  assert.match(run('template').out, /^✓ house-key +key-encryption +AES-256$/m);
  chmodSync(path, 0o666);
  const open = run('template');
  assert.equal(open.code, 1);
  assert.match(open.err, /TEMPLATES-FILE-OWNER/);
  rmSync(path);
});
