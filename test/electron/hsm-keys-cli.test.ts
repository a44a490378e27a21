/** `conclave key template` and `conclave key attest`, as a person in a terminal meets it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { conclave } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'conclave-hsm-keys-cli-'));
after(() => { rmSync(folder, { recursive: true, force: true }); });

const run = (...args: string[]) => conclave(['key', ...args], { env: { CONCLAVE_HOME: folder } });
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

test('attest: by an anchor that is given, of the key that is named, and with the reason where not', () => {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const issue = (name: string, issuer: string, ...extensions: string[]) => {
    writeFileSync(join(folder, 'ext.cnf'), `[ext]\n${extensions.join('\n')}\n`);
    openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.crt`, ...issuer === name ? ['-signkey', `${name}.key`] : ['-CA', `${issuer}.crt`, '-CAkey', `${issuer}.key`], '-extfile', 'ext.cnf', '-extensions', 'ext', '-days', '9', '-set_serial', '77');
  };
  issue('root', 'root', 'basicConstraints=critical,CA:TRUE');
  issue('f9', 'root', 'basicConstraints=critical,CA:TRUE,pathlen:0');
  issue('YubiKey PIV Attestation 9c', 'f9', '1.3.6.1.4.1.41482.3.3=DER:050402', '1.3.6.1.4.1.41482.3.8=DER:0201');
  const call = ['attest', '--attestation', join(folder, 'YubiKey PIV Attestation 9c.crt'), '--attestation', join(folder, 'f9.crt'), '--anchor', join(folder, 'root.crt')];
  const good = run(...call, '--key', join(folder, 'YubiKey PIV Attestation 9c.key'));
  assert.equal(good.code, 0, good.err);
  assert.match(good.out, /^✓ attested by its vendor: ECDSA P-256[\s\S]*✓ firmware +5\.4\.2 \(attested\)[\s\S]*✓ touch +never \(attested\)/);
  const { attested, findings } = JSON.parse(run(...call, '--key', join(folder, 'f9.crt'), '--json').out) as { attested: boolean; findings: { rule: string }[] };
  assert.deepEqual([attested, findings.map(({ rule }) => rule)], [false, ['ATTEST-KEY']]);
  const alone = run(...call.slice(0, 3), '--anchor', join(folder, 'root.crt'));
  assert.equal(alone.code, 1);
  assert.match(alone.out, /! firmware +5\.4\.2 \(reported\)\n[\s\S]*✕ ATTEST-CHAIN: /);
  for (const args of [['attest'], call.slice(0, 3), [...call, '--at', 'yesterday']]) assert.equal(run(...args).code, 2);
});
