import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fromHex } from '../../ceremonies/bytes.ts';
import { caAlgorithmNamed } from '../../ceremonies/keys/algorithms.ts';
import { issueCrl, throwawayLintCrl } from '../../ceremonies/keys/crl.ts';
import { signWithPrivateKey } from '../../ceremonies/keys/private-key.ts';
import { makeRequest } from '../../ceremonies/keys/request.ts';
import { subjectKeyOf } from '../../ceremonies/keys/subject-key.ts';
import { issueCertificate, throwawayLint, type CertificateProfile } from '../../ceremonies/keys/x509.ts';
import { caKey, type CaKey } from '../ceremonies/keys/ca-keys.ts';
import { base64, kemVectors, signatureVectors } from '../ceremonies/keys/vectors.ts';
import { CLI, conclave } from './command.ts';

const VECTORS = fileURLToPath(new URL('../vectors/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'conclave-keys-cli-'));
after(() => { rmSync(folder, { recursive: true, force: true }); });

const run = (...args: string[]) => conclave([...args]);
interface Verdict { verified: boolean | null; rules: string[]; reports: { file: string; facts: Record<string, unknown>; findings: { rule: string }[] }[] }
function json(...args: string[]): { code: number | null; verdict: Verdict } {
  const { code, out, err } = run(...args, '--json');
  assert.equal(err, '');
  return { code, verdict: JSON.parse(out) as Verdict };
}
function file(name: string, content: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}
const { m, ctx, tests } = signatureVectors();
const composite = tests.find((one) => one.tcId === 'id-MLDSA65-ECDSA-P256-SHA512')!;
const validity = (issuer: CaKey) => ({
  algorithm: issuer.algorithm, issuerKey: issuer.spki, serialNumber: Uint8Array.of(1, ...randomBytes(9)),
  notBefore: new Date('2026-01-01T00:00:00Z'), notAfter: new Date('2046-01-01T00:00:00Z'),
});
const pem = (label: string, der: Uint8Array): string => `-----BEGIN ${label}-----\n${Buffer.from(der).toString('base64')}\n-----END ${label}-----\n`;

test('cert show and verify: a composite certificate, DER and PEM, with its draft named', () => {
  const der = file('composite.der', base64(composite.x5c));
  const shown = run('cert', 'show', der);
  assert.equal(shown.code, 0);
  assert.match(shown.out, /MLDSA65-ECDSA-P256-SHA512 \(composite\)/);
  assert.match(shown.out, /lamps-composite-sigs-19/);
  const { code, verdict } = json('cert', 'verify', der, file('composite.pem', pem('CERTIFICATE', base64(composite.x5c))), '--at', '2027-01-01');
  assert.deepEqual([code, verdict.verified, verdict.rules, verdict.reports.length], [0, true, [], 2]);
  assert.deepEqual(json('cert', 'verify', der, '--at', '2099-01-01').verdict.rules, ['CERTIFICATE-DATES']);
});

test('cert chain: a KEM certificate under its ML-DSA CA; a stranger; a certificate that is cut off', () => {
  const { cacert, tests: kems } = kemVectors();
  const ca = file('ca.der', cacert);
  const leaf = file('leaf.der', base64(kems[0]!.x5c));
  assert.equal(run('cert', 'chain', leaf, ca, '--at', '2027-01-01').code, 0);
  assert.deepEqual(json('cert', 'verify', leaf, '--at', '2027-01-01').verdict.rules, ['ISSUER-KNOWN']);
  assert.deepEqual(json('cert', 'chain', leaf, '--at', '2027-01-01').verdict.rules, ['CHAIN-ROOT']);
  const cut = json('cert', 'chain', file('cut.der', cacert.slice(0, 500)));
  assert.deepEqual([cut.code, cut.verdict.rules], [1, ['DER-STRUCTURE']]);
});

test('csr make and verify: an encryption key stated by a certified signing key, PEM and DER, and what that proves', async () => {
  const issuer = caKey('ecdsa-p384');
  const ends = { notBefore: new Date('2026-02-01T00:00:00Z'), notAfter: new Date('2045-01-01T00:00:00Z') };
  const issued = async (order: CertificateProfile['order'], change = {}) => (await issueCertificate(await throwawayLint({ ...validity(issuer), pathLength: null, ...change, order }, caKey(issuer.algorithm)), issuer.sign)).der;
  const ca = await issued({ kind: 'root', subject: { commonName: 'CA' } });
  const caFile = file('stating-ca.der', ca);
  const holders: readonly (readonly [string, KeyObject])[] = [
    ['ecdsa-p256', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey], ['ed25519', generateKeyPairSync('ed25519').privateKey], ['rsa-3072', generateKeyPairSync('rsa', { modulusLength: 3072 }).privateKey],
    ['ml-dsa-44', generateKeyPairSync('ml-dsa-44').privateKey], ['slh-dsa-sha2-128f', generateKeyPairSync('slh-dsa-sha2-128f').privateKey],
  ];
  const kem = file('kem.key', generateKeyPairSync('ml-kem-768').privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const kemPublic = file('kem.pub', generateKeyPairSync('ml-kem-1024').publicKey.export({ type: 'spki', format: 'der' }));
  for (const [algorithm, privateKey] of holders) {
    const pkcs8 = new Uint8Array(privateKey.export({ type: 'pkcs8', format: 'der' }));
    const spki = new Uint8Array(createPublicKey(privateKey).export({ type: 'spki', format: 'der' }));
    const { der: own } = await makeRequest({ commonName: 'Holder' }, algorithm, spki, (tbs) => signWithPrivateKey(caAlgorithmNamed(algorithm), pkcs8, tbs, randomBytes(32)));
    const certificate = await issued({ kind: 'end-entity', request: own, issuer: ca }, ends);
    const [signer, holder, out] = [file(`${algorithm}.key`, pkcs8), file(`${algorithm}.crt`, pem('CERTIFICATE', certificate)), join(folder, `${algorithm}.csr`)];
    const make = ['csr', 'make', '--key', algorithm === 'ed25519' ? kemPublic : kem, '--signer', signer, '--signer-certificate', holder, '--out', out];
    const made = json(...make);
    assert.deepEqual([made.code, made.verdict.rules, made.verdict.reports[0]?.facts['subject']], [0, [], 'CN=Holder'], algorithm);
    assert.match(readFileSync(out, 'utf8'), /^-----BEGIN CERTIFICATE REQUEST-----\n/);
    assert.equal(run(...make).code, 2, 'nothing is overwritten');

    const verified = json('csr', 'verify', out, '--issuer', caFile, '--at', '2027-01-01');
    assert.deepEqual([verified.code, verified.verdict.rules], [0, []], algorithm);
    assert.match(String(verified.verdict.reports[0]?.facts['possession']), /^stated .* not proven/);
    assert.match(String(verified.verdict.reports[0]?.facts['signerIssuer']), /^verified/);
    assert.match(run('csr', 'verify', out, '--at', '2027-01-01').out, /not judged: give the CA with --issuer/);
    assert.deepEqual(json('csr', 'verify', out, '--at', '2045-06-01').verdict.rules, ['CERTIFICATE-DATES']);
    assert.deepEqual(json('csr', 'verify', out, '--issuer', holder, '--at', '2027-01-01').verdict.rules, ['REQUEST-STATEMENT-PATH']);
    assert.equal(json('csr', 'verify', file('own.csr', own)).verdict.reports[0]?.facts['possession'], 'proven: the key signed this request');
  }
  const refused = (change: readonly string[]) => json('csr', 'make', '--key', kem, '--signer', join(folder, 'ed25519.key'), '--signer-certificate', join(folder, 'ed25519.crt'), '--out', join(folder, 'never.csr'), ...change);
  assert.deepEqual(refused(['--signer', join(folder, 'ml-dsa-44.key')]).verdict.rules, ['CERTIFICATE-KEY']);
  assert.deepEqual(refused(['--key', join(folder, 'ml-dsa-44.key')]).verdict.rules, ['REQUEST-STATED-KEY']);
  assert.deepEqual(refused(['--signer', kemPublic]).verdict.rules.length, 1);
  assert.equal(existsSync(join(folder, 'never.csr')), false);
  for (const wrong of [[], ['--key', kem], ['--key', kem, '--signer', 'x']]) assert.equal(run('csr', 'make', ...wrong).code, 2);
});

test('csr make: a composite signing key', async () => {
  const { verdict: shown } = json('key', 'check', file('holder.key', base64(composite.sk_pkcs8)));
  assert.deepEqual(shown.rules, []);
  const out = join(folder, 'composite.csr');
  const made = json('csr', 'make', '--key', file('kem2.key', generateKeyPairSync('ml-kem-768').privateKey.export({ type: 'pkcs8', format: 'der' })), '--signer', join(folder, 'holder.key'), '--signer-certificate', file('holder.crt', base64(composite.x5c)), '--out', out);
  assert.deepEqual([made.code, made.verdict.rules], [0, []]);
  assert.deepEqual(json('csr', 'verify', out, '--at', '2027-01-01').verdict.rules, []);
});

test('cert hierarchy: two roots and a cross-certificate; one root missing; certificates of others; one that is cut off', async () => {
  const [key, throwaway, partnerKey] = [caKey('ecdsa-p384'), caKey('ecdsa-p384'), caKey('ecdsa-p384')];
  const issued = async (issuer: CaKey, order: CertificateProfile['order'], pathLength: number | null) =>
    (await issueCertificate(await throwawayLint({ ...validity(issuer), pathLength, order }, throwaway), issuer.sign)).der;
  const root = await issued(key, { kind: 'root', subject: { commonName: 'Root' } }, null);
  const partner = await issued(partnerKey, { kind: 'root', subject: { commonName: 'Partner' } }, null);
  const cross = await issued(key, { kind: 'cross', certificate: partner, issuer: root }, 1);
  const [a, b, c] = [file('a.der', root), file('b.der', partner), file('c.der', cross)];
  const whole = json('cert', 'hierarchy', c, a, b, '--at', '2027-01-01');
  assert.deepEqual([whole.code, whole.verdict.verified, whole.verdict.rules, whole.verdict.reports[0]?.facts], [0, true, [], { certificates: 3, roots: 2 }]);
  const headless = json('cert', 'hierarchy', c, b, '--at', '2027-01-01');
  assert.deepEqual([headless.code, headless.verdict.rules], [1, ['HIERARCHY-ISSUER']]);

  const { cacert, tests: kems } = kemVectors();
  assert.deepEqual(json('cert', 'hierarchy', file('top.der', cacert), file('leaf-0.der', base64(kems[0]!.x5c)), '--at', '2027-01-01').verdict.rules, ['HIERARCHY-KEY-ID']);
  const cut = json('cert', 'hierarchy', a, file('cut-off.der', cacert.slice(0, 500)));
  assert.deepEqual([cut.code, cut.verdict.rules], [1, ['DER-STRUCTURE']]);
});

test('key check: sound, published, weak and inconsistent keys, and never a secret', () => {
  const secret = base64(composite.sk_pkcs8);
  const good = run('key', 'check', file('good.key.der', secret));
  assert.equal(good.code, 0, good.out);
  assert.match(good.out, /a private key/);
  for (const needle of [Buffer.from(secret.slice(30, 46)).toString('hex'), Buffer.from(secret.slice(30, 45)).toString('base64')]) assert.ok(!good.out.includes(needle));
  const expected = {
    'mldsa-x509/ML-DSA-65-both.priv.der': 'WEAK-PUBLISHED-KEY', 'mldsa-x509/bad-ML-DSA-44-1.priv.der': 'PRIVATE-KEY-BOTH', 'mldsa-x509/bad-ML-DSA-44-3.priv.der': 'PRIVATE-KEY-T0',
    'mlkem-x509/bad-ML-KEM-512-3.priv.der': 'PRIVATE-KEY-EK-HASH', 'weak-keys/rsa-e1.key': 'WEAK-EXPONENT', 'weak-keys/rsa-fermat-pkcs1.key': 'WEAK-CLOSE-PRIMES',
    'weak-keys/rsa-roca.key': 'WEAK-ROCA', 'weak-keys/rsa-smallfactors-valid.key': 'WEAK-SMALL-FACTOR',
  };
  const { code, verdict } = json('key', 'check', ...Object.keys(expected).map((path) => join(VECTORS, path)));
  assert.equal(code, 1);
  for (const [i, rule] of Object.values(expected).entries()) assert.ok(verdict.reports[i]?.findings.some((one) => one.rule === rule), `${rule}: ${JSON.stringify(verdict.reports[i])}`);
  assert.equal(run('key', 'show', join(VECTORS, 'slhdsa-x509/id-slh-dsa-sha2-128s.pub')).code, 0);
});

test('an XMSS key, its signatures and its certificate: read and verified like any other', () => {
  const vectors = JSON.parse(readFileSync(join(VECTORS, 'xmss/botan-3.7.1.json'), 'utf8')) as { valid: readonly { publicKey: string; message: string; signature: string }[] };
  const { publicKey, message, signature } = vectors.valid[3]!;
  const key = file('xmss.der', subjectKeyOf('1.3.6.1.5.5.7.6.34', null, fromHex(publicKey)).spki);
  assert.match(run('key', 'show', key).out, /XMSS-SHA2_10_192/);
  const [text, sig] = [file('xmss.txt', fromHex(message)), file('xmss.sig', fromHex(signature))];
  assert.equal(run('sig', 'verify', '--key', key, '--in', text, '--sig', sig).code, 0);
  const { code, verdict } = json('sig', 'verify', '--key', key, '--in', sig, '--sig', sig);
  assert.equal(code, 1);
  assert.deepEqual(verdict.reports[0]?.findings.map(({ rule }) => rule), ['SIGNATURE-VERIFIES']);
  assert.equal(run('cert', 'verify', join(VECTORS, 'xmss/rfc9802-xmss-sha2-10-256.pem'), '--at', '2024-07-20T00:00:00Z').code, 0);
});

test('sig verify: context right, wrong and missing', () => {
  const key = ['--key', file('key.pem', pem('CERTIFICATE', base64(composite.x5c))), '--in', file('m', m)];
  const sig = file('s', base64(composite.s));
  const withContext = file('sc', base64(composite.sWithContext));
  assert.equal(run('sig', 'verify', ...key, '--sig', sig).code, 0);
  assert.equal(run('sig', 'verify', ...key, '--sig', withContext, '--context', new TextDecoder().decode(ctx)).code, 0);
  assert.deepEqual(json('sig', 'verify', ...key, '--sig', withContext).verdict.rules, ['COMPOSITE-ML-DSA-HALF', 'COMPOSITE-TRADITIONAL-HALF']);
  assert.deepEqual(json('sig', 'verify', ...key, '--sig', key[3]!).verdict.rules, ['COMPOSITE-SIGNATURE']);
});

test('csr verify refuses what is no request; wrong calls are 2', () => {
  assert.deepEqual(json('csr', 'verify', file('no.csr', 'hello')).verdict.rules, ['PEM']);
  for (const args of [['cert'], ['cert', 'burn', 'x'], ['cert', 'verify'], ['key', 'check', join(folder, 'missing')], ['sig', 'verify'], ['key', 'check', '--what', 'x'], ['cert', 'verify', 'x', '--at', 'soon']]) {
    assert.equal(run(...args).code, 2, args.join(' '));
  }
  for (const command of ['cert', 'csr', 'key', 'sig']) assert.equal(run(command, '--help').code, 0);
});

test('crl show and verify: what is revoked, and by whom', async () => {
  const key = caKey('MLDSA65-ECDSA-P256-SHA512');
  const throwaway = caKey(key.algorithm);
  const root = await issueCertificate(await throwawayLint({ ...validity(key), pathLength: null, order: { kind: 'root', subject: { commonName: 'Root' } } }, throwaway), key.sign);
  const crl = await issueCrl(await throwawayLintCrl({
    algorithm: key.algorithm, issuerKey: key.spki, issuer: root.der, number: 5n, thisUpdate: new Date('2026-11-22T00:00:00Z'), nextUpdate: new Date('2026-12-22T00:00:00Z'),
    revoked: [{ serialNumber: Uint8Array.of(0xab), date: new Date('2026-11-01T00:00:00Z'), reason: 'superseded' }],
  }, throwaway), key.sign);
  for (const [list, issuer] of [[file('crl.pem', crl.pem), file('root.pem', root.pem)], [file('crl.der', crl.der), file('root.der', root.der)]] as const) {
    const shown = json('crl', 'show', list);
    assert.equal(shown.code, 0);
    assert.equal(shown.verdict.verified, null);
    assert.deepEqual(shown.verdict.reports[0]?.facts['serials'], ['ab 2026-11-01T00:00:00.000Z superseded']);
    assert.equal(shown.verdict.reports[0]?.facts['number'], '5');
    const good = json('crl', 'verify', list, issuer, '--at', '2026-12-01');
    assert.deepEqual([good.code, good.verdict.verified, good.verdict.reports.length], [0, true, 1]);
    assert.deepEqual(json('crl', 'verify', list, '--at', '2026-12-01').verdict.rules, ['ISSUER-KNOWN']);
    assert.deepEqual(json('crl', 'verify', list, issuer, '--at', '2027-12-01').verdict.rules, ['CRL-DATES']);
  }
  const spoiled = crl.der.slice();
  spoiled[spoiled.length - 1]! ^= 1;
  assert.deepEqual(json('crl', 'verify', file('bad.der', spoiled), join(folder, 'root.der'), '--at', '2026-12-01').verdict.rules, ['COMPOSITE-TRADITIONAL-HALF']);
  assert.deepEqual(json('crl', 'verify', file('no.crl', 'hello')).verdict.rules, ['PEM']);
});

test('key check: PKCS#12 and encrypted PKCS#8 with their password in a file, which is never told', () => {
  const secret = 'correct horse battery';
  const [key, crt, p12] = ['p12.key', 'p12.crt', 'p12.p12'].map((name) => join(folder, name));
  const openssl = (...args: string[]) => assert.equal(spawnSync('openssl', args, { cwd: folder }).status, 0);
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key!, '-out', crt!, '-subj', '/CN=imported', '-days', '9');
  openssl('pkcs12', '-export', '-inkey', key!, '-in', crt!, '-out', p12!, '-passout', `file:${file('p12.password', `${secret}\n`)}`);
  const read = json('key', 'check', p12!, '--password', join(folder, 'p12.password'));
  assert.deepEqual([read.code, read.verdict.reports[0]?.facts['is'], read.verdict.reports[0]?.facts['certificates']], [0, 'a private key in PKCS#12', ['CN=imported (of this key)']]);
  assert.deepEqual(json('key', 'check', p12!).verdict.rules, ['IMPORT-PASSWORD']);
  const wrong = run('key', 'check', p12!, '--password', file('wrong', 'wrong horse'));
  assert.equal(wrong.code, 1);
  assert.doesNotMatch(wrong.out + wrong.err, /horse/);
});

test('key show --as: the public half alone, of a public key, a private key and a certificate', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const path = file('ed.pem', privateKey.export({ type: 'pkcs8', format: 'pem' }));
  assert.equal(run('key', 'show', path, '--as', 'pem').out, publicKey.export({ type: 'spki', format: 'pem' }));
  assert.deepEqual(JSON.parse(run('key', 'show', path, '--as', 'jwk').out), publicKey.export({ format: 'jwk' }));
  assert.match(run('key', 'show', path, '--as', 'openssh').out, /^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5\S+\n$/);
  const der = spawnSync(process.execPath, [CLI, 'key', 'show', file('composite.x5c', base64(composite.x5c)), '--as', 'der']).stdout;
  assert.match(run('key', 'show', file('composite.spki', der)).out, /MLDSA65-ECDSA-P256-SHA512 \(composite\)/);
  const none = run('key', 'show', join(folder, 'composite.spki'), '--as', 'openssh');
  assert.deepEqual([none.code, none.out], [1, '']);
  assert.match(none.err, /KEY-FORM/);
  for (const args of [['show', path, '--as', 'xml'], ['show', path, '--as', 'pem', '--json'], ['show', path, path, '--as', 'pem'], ['check', path, '--as', 'pem']]) assert.equal(run('key', ...args).code, 2, args.join(' '));
});
