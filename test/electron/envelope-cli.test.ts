import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { generateHybridIdentity, identityToRecipient } from 'age-encryption';
import { base64, kemVectors } from '../ceremonies/keys/vectors.ts';
import { conclave } from './command.ts';

const VECTORS = fileURLToPath(new URL('../vectors/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'conclave-envelope-cli-'));
after(() => { rmSync(folder, { recursive: true, force: true }); });

const run = (...args: string[]) => conclave([...args]);
interface Told { verified: boolean | null; rules: string[]; reports: { facts: Record<string, unknown> }[] }
function json(...args: string[]): { code: number | null; told: Told; facts: Record<string, unknown> } {
  const { code, out, err } = run(...args, '--json');
  assert.equal(err, '', err);
  const told = JSON.parse(out) as Told;
  return { code, told, facts: told.reports[0]?.facts ?? {} };
}
const at = (name: string): string => join(folder, name);
function file(name: string, content: Uint8Array | string): string {
  writeFileSync(at(name), content);
  return at(name);
}
const bytes = (name: string): Buffer => readFileSync(at(name));
const pem = (label: string, der: Uint8Array): string => `-----BEGIN ${label}-----\n${Buffer.from(der).toString('base64').replace(/.{64}/g, '$&\n')}\n-----END ${label}-----\n`;

const kem = (name: string): { certificate: Uint8Array; key: Uint8Array } => {
  const one = kemVectors().tests.find(({ tcId }) => tcId === `id-${name}`)!;
  return { certificate: base64(one.x5c), key: base64(one.dk_pkcs8) };
};
const x25519 = kem('MLKEM768-X25519-SHA3-256');
const p384 = kem('MLKEM1024-ECDH-P384-SHA3-256');
const [certA, keyA] = [file('a.pem', pem('CERTIFICATE', x25519.certificate)), file('a.key', pem('PRIVATE KEY', x25519.key))];
const [certB, keyB] = [file('b.der', p384.certificate), file('b.key.der', p384.key)];
const IN_2027 = ['--at', '2027-01-01'];
const secret = file('secret', 'a share of three');

test('seal, show and open: two recipients, PEM and DER; new files for their owner only, never overwritten', () => {
  const sealed = json('envelope', 'seal', '--to', certA, '--to', certB, '--in', secret, '--out', at('sealed.pem'), '--pem', '--describe', 'share 1', ...IN_2027);
  assert.deepEqual([sealed.code, sealed.told.verified, (sealed.facts['recipients'] as string[]).length], [0, true, 2]);
  assert.equal(statSync(at('sealed.pem')).mode & 0o777, 0o600);
  assert.match(bytes('sealed.pem').toString(), /^-----BEGIN CMS-----\n/);
  const shown = run('envelope', 'show', at('sealed.pem'));
  assert.equal(shown.code, 0);
  for (const expected of [/a sealed envelope\n/, /AES-256-GCM/, /share 1/, /MLKEM1024-ECDH-P384/, /HKDF-SHA-256\n +AES-256 key wrap\n/, /lamps-composite-kem-21/]) assert.match(shown.out, expected);
  for (const [i, key] of [keyA, keyB].entries()) {
    const opened = json('envelope', 'open', '--key', key, '--in', at('sealed.pem'), '--out', at(`opened${i}`));
    assert.deepEqual([opened.code, opened.facts['description'], opened.facts['authenticated']], [0, 'share 1', true]);
    assert.equal(bytes(`opened${i}`).toString(), 'a share of three');
    assert.equal(statSync(at(`opened${i}`)).mode & 0o777, 0o600);
  }
  const again = run('envelope', 'open', '--key', keyA, '--in', at('sealed.pem'), '--out', secret);
  assert.deepEqual([again.code, bytes('secret').toString()], [2, 'a share of three']);
  assert.match(again.err, /nothing is overwritten/);
});

test('refusals: rule by name, exit code 1, and no file left behind', () => {
  assert.equal(run('envelope', 'seal', '--to', certA, '--in', secret, '--out', at('one'), ...IN_2027).code, 0);
  const refused = (rule: string, out: string, ...args: string[]): void => {
    const { code, told } = json(...args, '--out', at(out));
    assert.deepEqual([code, told.verified, told.rules], [1, false, [rule]]);
    assert.equal(existsSync(at(out)), false);
  };
  refused('ENVELOPE-RECIPIENT', 'no', 'envelope', 'open', '--key', keyB, '--in', at('one'));
  const altered = bytes('one');
  altered[altered.length - 1]! ^= 1;
  refused('ENVELOPE-CONTENT', 'no', 'envelope', 'open', '--key', keyA, '--in', file('altered', altered));
  refused('PEM', 'no', 'envelope', 'open', '--key', keyA, '--in', secret);
  refused('CERTIFICATE-DATES', 'no', 'envelope', 'seal', '--to', certA, '--in', secret, '--at', '2099-01-01');
  refused('ENVELOPE-KEM', 'no', 'envelope', 'seal', '--to', join(VECTORS, 'slhdsa-x509/id-slh-dsa-sha2-128s.pub'), '--in', secret);
  refused('WRAPPED-KEY', 'no', 'key', 'unwrap', '--key', keyA, '--in', at('one'));
  refused('TEXT-PRINTABLE', 'no', 'envelope', 'seal', '--to', certA, '--in', secret, '--describe', 'a\tb', ...IN_2027);
});

test('an age file: sealed to age1pq recipients, shown, opened, refused by rule', async () => {
  const [identity, other] = [await generateHybridIdentity(), await generateHybridIdentity()];
  const to = file('custodian.age', `# custodian 2\n${await identityToRecipient(identity)}\n`);
  const [key, wrong] = [file('custodian.key', `${identity}\n`), file('other.key', other)];
  for (const [name, form] of [['sealed.age', []], ['sealed.age.txt', ['--pem']]] as const) {
    const sealed = json('envelope', 'seal', '--to', to, '--in', secret, '--out', at(name), ...form);
    assert.deepEqual([sealed.code, sealed.facts['safe']], [0, 'hybrid recipients alone']);
    assert.match(run('envelope', 'show', at(name)).out, /an age file\n[\s\S]+mlkem768x25519/);
    const opened = json('envelope', 'open', '--key', key, '--in', at(name), '--out', at(`${name}.opened`));
    assert.deepEqual([opened.code, bytes(`${name}.opened`).toString(), statSync(at(`${name}.opened`)).mode & 0o777], [0, 'a share of three', 0o600]);
    assert.doesNotMatch(JSON.stringify([sealed, opened]), /AGE-SECRET/);
    assert.deepEqual(json('envelope', 'open', '--key', wrong, '--in', at(name), '--out', at('no')).told.rules, ['AGE-KEY']);
  }
  assert.match(run('envelope', 'seal', '--to', to, '--to', certA, '--in', secret, '--out', at('no')).err, /one form of envelope at a time/);
  assert.match(run('envelope', 'seal', '--to', to, '--in', secret, '--out', at('no'), '--describe', 'x').err, /no place for it/);
  assert.equal(existsSync(at('no')), false);
});

test('the official examples: opened, shown, verified', () => {
  const mlKem = join(VECTORS, 'cms/ml-kem-rfc9936/ML-KEM-512');
  for (const form of ['seed', 'expanded', 'both']) {
    assert.equal(run('envelope', 'open', '--key', `${mlKem}-${form}.priv.der`, '--in', `${mlKem}.cms`, '--out', at(`rfc9936-${form}`)).code, 0);
    assert.equal(bytes(`rfc9936-${form}`).toString(), 'Hello, world!');
  }
  const signed = join(VECTORS, 'cms/ml-dsa-rfc9882/mldsa65-signed-attrs.pem');
  assert.match(run('envelope', 'show', signed).out, /envelope verify/);
  const verified = json('envelope', 'verify', signed, '--cert', join(VECTORS, 'mldsa-x509/ML-DSA-65.crt'));
  assert.deepEqual([verified.code, verified.told.verified], [0, true]);
  assert.deepEqual(json('envelope', 'verify', signed).told.rules, ['SIGNED-SIGNER']);
  const composite = join(VECTORS, 'cms/composite-sigs-draft/id-MLDSA65-ECDSA-P256-SHA512');
  assert.equal(run('envelope', 'verify', `${composite}-signed-attrs.pem`, '--cert', `${composite}.crt`).code, 0);
  assert.deepEqual(json('envelope', 'verify', signed, '--content', secret).told.rules, ['SIGNED-CONTENT']);
});

test('key wrap and unwrap: an AES key and a private key, named and checked; no key in any output', () => {
  const aes = Buffer.from(Array.from({ length: 32 }, (_, i) => i * 7 + 1));
  const wrapped = run('key', 'wrap', '--in', file('aes', aes), '--name', 'kek-2026', '--to', certA, '--to', certB, '--out', at('aes.cms'), ...IN_2027);
  assert.equal(wrapped.code, 0, wrapped.out);
  const shown = run('envelope', 'show', at('aes.cms'));
  for (const text of [wrapped.out, shown.out]) {
    for (const expected of [/kek-2026/, /AES-256/, /ANSI X9\.24-1/, /hybrid +true/, /MLKEM768-X25519-SHA3-256 \(composite\), serial [0-9a-f]{40} of /]) assert.match(text, expected);
    for (const secret of [aes.toString('hex').slice(0, 16), aes.toString('base64').slice(0, 12)]) assert.ok(!text.includes(secret));
  }
  assert.equal(run('key', 'unwrap', '--key', keyB, '--in', at('aes.cms'), '--out', at('aes.back')).code, 0);
  assert.deepEqual(bytes('aes.back'), aes);
  const der = readFileSync(join(VECTORS, 'mldsa-x509/ML-DSA-65-both.priv.der'));
  assert.equal(json('key', 'wrap', '--in', file('ca.key', pem('PRIVATE KEY', der)), '--name', 'root', '--to', certA, '--out', at('ca.cms'), '--pem', ...IN_2027).facts['key'], 'ML-DSA-65');
  const ca = json('envelope', 'show', at('ca.cms')).facts;
  assert.deepEqual([ca['is'], ca['name'], ca['key'], ca['cipher']], ['a wrapped key', 'root', 'ML-DSA-65', 'AES-256-GCM']);
  assert.equal(run('key', 'unwrap', '--key', keyA, '--in', at('ca.cms'), '--out', at('ca.back')).code, 0);
  assert.deepEqual(base64(bytes('ca.back').toString().replace(/-----[^-]+-----/g, '')), new Uint8Array(readFileSync(join(VECTORS, 'mldsa-x509/ML-DSA-65-seed.priv.der'))));
  assert.equal(statSync(at('ca.back')).mode & 0o777, 0o600);
  assert.deepEqual(json('key', 'wrap', '--in', secret.replace(/secret$/, 'a.pem'), '--name', 'x', '--to', certA, '--out', at('no'), ...IN_2027).told.rules, ['PEM']);
});

test('key plan: ordered steps with reasons; a cycle by name', () => {
  const hierarchy = `conclave-hierarchy: 1
keys:
  - { name: root, role: root, algorithm: rsa-4096, copies: [{ at: hsm-1, form: token }] }
  - { name: kek, role: kek, algorithm: aes-256, wrapped-by: root, copies: [{ at: vault, form: wrapped }] }
  - { name: dek, role: dek, algorithm: aes-256, wrapped-by: kek, copies: [{ at: cloud, form: wrapped, exposed: true }],
      protects: { what: patient files, classification: secret, until: 2060 } }
`;
  const { code, out } = run('key', 'plan', file('hierarchy.yaml', hierarchy));
  assert.equal(code, 0);
  assert.match(out, /1\. replace root \(root, rsa-4096 -> MLKEM1024-ECDH-P384-SHA3-256\)\n +because rsa-4096 falls to a quantum computer/);
  assert.match(out, /2\. rewrap kek \(kek, aes-256\) under root, after 1/);
  assert.match(out, /3\. retire root/);
  assert.match(out, /settled: dek/);
  const plan = JSON.parse(run('key', 'plan', at('hierarchy.yaml'), '--json').out) as { steps: { do: string; key: string; after: number[] }[] };
  assert.deepEqual(plan.steps.map((step) => [step.do, step.key, step.after]), [['replace', 'root', []], ['rewrap', 'kek', [1]], ['retire', 'root', [1, 2]]]);
  const cycle = json('key', 'plan', file('cycle.yaml', hierarchy.replace('wrapped-by: root', 'wrapped-by: kek')));
  assert.deepEqual([cycle.code, cycle.told.rules], [1, ['HIERARCHY-CYCLE']]);
});

test('wrong calls are 2, help is 0, and the other `key` commands are where they were', () => {
  for (const args of [
    ['envelope'], ['envelope', 'burn'], ['envelope', 'seal'], ['envelope', 'show'], ['envelope', 'show', 'a', 'b'], ['envelope', 'seal', '--in', secret, '--out', at('z')],
    ['envelope', 'open', '--key', keyA, '--in', at('missing'), '--out', at('z')], ['envelope', 'open', '--key', keyA, '--in', secret, '--out', at('z'), '--pem'],
    ['envelope', 'show', secret, '--out', 'x'], ['key', 'wrap', '--in', secret, '--out', at('z'), '--to', certA], ['key', 'plan'], ['key', 'unwrap', 'x'],
    ['envelope', 'seal', '--to', certA, '--in', secret, '--out', at('nowhere/z'), ...IN_2027], ['envelope', 'seal', '--to', certA, '--in', secret, '--out', at('z'), '--at', 'soon'],
    ['envelope', 'open', '--key', keyA, '--in', secret, '--out', at('z'), '--password', 'x'],
  ]) assert.equal(run(...args).code, 2, args.join(' '));
  assert.equal(existsSync(at('z')), false);
  for (const command of ['envelope', 'key']) {
    const { code, out } = run(command, '--help');
    assert.equal(code, 0);
    assert.match(out, command === 'key' ? /key show\|check[^]*key wrap[^]*key plan/ : /envelope seal/);
  }
  assert.match(run('--help').out, /conclave envelope seal/);
  assert.equal(run('key', 'show', keyA).code, 0);
});
