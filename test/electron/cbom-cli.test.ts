import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import test, { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openFile } from '../../ceremonies/bundle.ts';
import { cbomText, type Cbom, type CbomRow } from '../../ceremonies/keys/cbom.ts';
import { assertSound } from '../ceremonies/keys/cyclonedx.ts';
import { base64, signatureVectors } from '../ceremonies/keys/vectors.ts';
import { conclave } from './command.ts';

const VECTORS = fileURLToPath(new URL('../vectors/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'conclave-cbom-'));
after(() => { rmSync(folder, { recursive: true, force: true }); });

const run = (...args: string[]) => conclave([...args], { timeout: 120_000 });
function file(name: string, content: Uint8Array | string): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}
function cbom(...args: string[]): Cbom {
  const { code, out, err } = run('cbom', ...args);
  assert.deepEqual([code, err], [0, '']);
  const bom = JSON.parse(out) as Cbom;
  assertSound(bom);
  assert.equal(cbomText(bom), out);
  return bom;
}
function rows(...args: string[]): CbomRow[] {
  const { code, out, err } = run('cbom', ...args, '--json');
  assert.deepEqual([code, err], [0, '']);
  return JSON.parse(out) as CbomRow[];
}
const kinds = (list: readonly CbomRow[], kind: string): readonly CbomRow[] => list.filter((row) => row.kind === kind);

const composite = signatureVectors().tests.find((one) => one.tcId === 'id-MLDSA65-ECDSA-P256-SHA512')!;
const certificate = file('composite.crt', base64(composite.x5c));
const secret = file('composite.key', base64(composite.sk_pkcs8));

test('certificates and keys from files: valid, the same bytes in any order, and never a private byte', () => {
  const bom = cbom(certificate, secret, join(VECTORS, 'mldsa-x509/ML-DSA-87.crt'));
  assert.equal(run('cbom', join(VECTORS, 'mldsa-x509/ML-DSA-87.crt'), secret, certificate).out, cbomText(bom));
  const out = cbomText(bom);
  const bytes = readFileSync(secret);
  for (const needle of [bytes.subarray(30, 46), bytes.subarray(bytes.length - 16)]) for (const form of ['hex', 'base64', 'base64url'] as const) assert.ok(!out.includes(needle.toString(form).slice(0, 18)));
  const list = rows(certificate, secret, join(VECTORS, 'mldsa-x509/ML-DSA-87.crt'));
  assert.deepEqual(kinds(list, 'private-key').map((row) => [row.algorithm, row.where, row.secured]), [['MLDSA65-ECDSA-P256-SHA512 (composite)', 'composite.key', 'none: a file that is not encrypted']]);
  assert.deepEqual(kinds(list, 'certificate').map((row) => [row.where, row.state]).sort(), [['ML-DSA-87.crt', ''], ['composite.crt', '']]);
  assert.deepEqual(kinds(rows(certificate, '--at', '2099-01-01'), 'certificate').map((row) => row.state), ['deactivated']);
  const csv = run('cbom', certificate, '--csv');
  assert.match(csv.out, /^kind,name,algorithm,.*\r\nalgorithm,/);
});

test('every kind of key file that `key show` reads', () => {
  for (const [path, kind, algorithm] of [
    ['weak-keys/rsa-ok.key', 'public-key', 'RSA 2048'], ['mldsa-x509/ML-DSA-44-seed.priv.der', 'private-key', 'ML-DSA-44'], ['mlkem-x509/ML-KEM-1024-expanded.priv.der', 'private-key', 'ML-KEM-1024'],
    ['slhdsa-x509/id-slh-dsa-sha2-128s.pub', 'public-key', 'SLH-DSA-SHA2-128s'], ['slhdsa-x509/id-slh-dsa-sha2-128s.priv.der', 'private-key', 'SLH-DSA-SHA2-128s'],
  ] as const) assert.deepEqual(kinds(rows(join(VECTORS, path)), kind).map((row) => row.algorithm), [algorithm], path);
});

test('what cannot be read is refused by rule, and then there is no document; wrong calls are 2', () => {
  const bad: readonly (readonly [string, string])[] = [
    [file('text', 'hello'), 'PEM'], [file('cut.crt', base64(composite.x5c).slice(0, 400)), 'DER-STRUCTURE'], [join(VECTORS, 'mldsa-x509/bad-ML-DSA-44-1.priv.der'), 'PRIVATE-KEY-BOTH'],
    [file('key.json', '{"format":"conclave-key/1"}'), 'INPUT-KEY'], [file('a.jsonl', '{}\n'), 'CBOM-RECORD'], [file('a.zip', 'PK no zip'), 'CBOM-RECORD'], [file('empty', ''), 'PEM'],
  ];
  const { code, out, err } = run('cbom', certificate, ...bad.map(([path]) => path));
  assert.deepEqual([code, out], [1, '']);
  assert.deepEqual([...err.matchAll(/^✕ (\S+): ([A-Z-]+): expected /gm)].map((match) => [match[1], match[2]]), bad.map(([path, rule]) => [basename(path), rule]));
  for (const args of [[], ['--csv'], [certificate, '--csv', '--json'], [certificate, '--at', 'soon'], [join(folder, 'missing')], [certificate, '--xml'], ['--module', 'software'], [certificate, '--stand-in'], [certificate, '--login'], ['--all-tokens', '--login', '--stand-in'], ['--all-tokens', '--module', 'software', '--token', 'x']]) assert.equal(run('cbom', ...args).code, 2, args.join(' '));
  assert.equal(run('cbom', '--help').code, 0);
  assert.match(run('--help').out, /conclave cbom \[FILE\]/);
});

const home = join(folder, 'home');

test('a ceremony: its key in two halves, the wrapping key, the backup, the token; its record agrees with its key record', () => {
  const rehearsed = run('rehearse', 'composite-ca', '--out', folder, '--home', home);
  assert.equal(rehearsed.code, 0, rehearsed.err);
  const bundle = rehearsed.out.trim();
  const { files, transcript } = openFile(new Uint8Array(readFileSync(bundle)));
  const record = file('key-of-bundle.json', files?.get('key.json') ?? assert.fail('no key.json'));
  const bom = cbom(bundle, '--at', '2030-01-01');
  assert.deepEqual(bom.metadata['properties'], [{ name: 'conclave:mode', value: 'REHEARSAL' }]);
  const list = rows(bundle, '--at', '2030-01-01');
  const whole = kinds(list, 'private-key').find((row) => row.profile === 'lamps-composite-sigs-19')!;
  assert.deepEqual([whole.name, whole.state, whole.secured], ['Composite root CA', 'active', '']);
  assert.deepEqual(kinds(list, 'private-key').map((row) => [row.algorithm, row.secured.replace(/[0-9A-Fa-f]{16,}|set \S+/g, '…'), row.origin]).sort(), [
    ['ECDSA P-256', 'CKM_AES_KEY_WRAP_KWP under the shared key of …', ''], ['ECDSA P-256', 'PKCS#11 token …', 'generated on this token'],
    ['ML-DSA-65', 'CKM_AES_KEY_WRAP_KWP under key … of PKCS#11 token …', ''], ['ML-DSA-65', 'CKM_AES_KEY_WRAP_KWP under the shared key of …', ''], ['MLDSA65-ECDSA-P256-SHA512 (composite)', '', ''],
  ]);
  assert.deepEqual(kinds(list, 'secret-key').map((row) => [row.algorithm, row.uses, row.secured.replace(/set \S+|[0-9A-F]{16}/, '…')]).sort(), [['AES-256', '', 'Shamir secret sharing, 2 of 3, …'], ['AES-256', 'wrap unwrap', 'PKCS#11 token …']]);
  assert.deepEqual([kinds(list, 'token').map((row) => row.name), kinds(list, 'certificate').map((row) => row.state)], [['REHEARSAL root-hsm'], ['active']]);
  // The key record alone knows the same keys, less what only the ceremony saw; together they are no more keys than the bundle has.
  const alone = rows(record);
  assert.deepEqual(kinds(alone, 'private-key').map((row) => row.sha256).sort(), kinds(list, 'private-key').filter((row) => !row.name.includes('backup')).map((row) => row.sha256).sort());
  assert.deepEqual([kinds(alone, 'private-key').map((row) => row.state), kinds(alone, 'token').length], [['', '', ''], 0]);
  const names = (some: readonly CbomRow[]) => some.map((row) => `${row.kind} ${row.id} ${row.secured}`).sort();
  assert.deepEqual(names(rows(bundle, record)), names(rows(bundle)));
  // A bare transcript says what its bundle says; one that lies says nothing.
  assert.deepEqual(names(rows(file('transcript.jsonl', transcript))), names(rows(bundle)));
  const lines = new TextDecoder().decode(transcript).split('\n');
  const lie = run('cbom', file('lie.jsonl', [...lines.slice(0, 20), lines[20]!.replace(/"at":"2/, '"at":"3'), ...lines.slice(21)].join('\n')));
  assert.deepEqual([lie.code, lie.out], [1, '']);
  assert.match(lie.err, /CBOM-RECORD: expected a record that verifies; found [A-Z-]+/);

  // What the token answers now is the same key as the record's, and what it does not show is said.
  const serial = kinds(list, 'token')[0]!.id;
  const on = ['--module', 'software', '--token', serial, '--home', home];
  const both = rows(bundle, ...on, '--stand-in');
  assert.deepEqual(names(both.filter((row) => row.kind.endsWith('key'))), names(rows(bundle).filter((row) => row.kind.endsWith('key'))));
  const token = rows(...on, '--stand-in');
  assert.deepEqual(['private-key', 'public-key', 'secret-key', 'token'].map((kind) => kinds(token, kind).map((row) => row.algorithm)), [['ECDSA P-256'], ['ECDSA P-256'], ['AES-256'], ['']]);
  assert.deepEqual(kinds(token, 'private-key').map((row) => [row.origin, row.sha256]), [['generated on this token', kinds(token, 'public-key')[0]?.sha256]]);
  // The script's token, three share cards and six identity cards.
  const everywhere = cbom('--all-tokens', '--home', home);
  assert.equal(everywhere.components.filter((one) => one.type === 'device').length, 10);
  assert.equal((everywhere.metadata['properties'] as readonly { name: string; value: string }[]).filter((one) => one.name === 'conclave:not-seen' && one.value.endsWith('nobody is logged in')).length, 10);
  assert.match(run('cbom', '--module', 'software', '--token', 'none', '--home', home).err, /TOKEN-PRESENT/);
});
