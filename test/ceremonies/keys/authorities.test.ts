import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { fromHex } from '../../../ceremonies/bytes.ts';
import { CA_ALGORITHMS, caAlgorithmNamed } from '../../../ceremonies/keys/algorithms.ts';
import { checkChain, lintHierarchy, readCertificate, sharesAComponent, type CertificateReading } from '../../../ceremonies/keys/chain.ts';
import { crlFindings, issueCrl, lintCrl, readCrl, throwawayLintCrl, verifyCrl, type CrlProfile } from '../../../ceremonies/keys/crl.ts';
import { checkRequest, makeRequest, makeStatedRequest } from '../../../ceremonies/keys/request.ts';
import { pem } from '../../../ceremonies/keys/signed.ts';
import { readSubjectKey, subjectKeyOf } from '../../../ceremonies/keys/subject-key.ts';
import { issueCertificate, lintCertificate, throwawayLint, verifyIssued, type CertificateProfile } from '../../../ceremonies/keys/x509.ts';
import { witnessOpenssl } from '../../witness.ts';
import { caKey, kemSpki, type CaKey } from './ca-keys.ts';

const rules = (findings: readonly { rule: string }[]): string[] => findings.map((one) => one.rule);
const folder = mkdtempSync(join(tmpdir(), 'conclave-authorities-'));
after(() => { rmSync(folder, { recursive: true, force: true }); });

/** OpenSSL 3.5, which knows ML-DSA and SLH-DSA; fails the test with what it said. */
function openssl(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(witnessOpenssl(), args, { encoding: 'utf8', cwd: folder });
  assert.equal(status, 0, `openssl ${args.join(' ')}: ${stderr}${stdout.slice(0, 1000)}`);
  return stdout + stderr;
}
function file(name: string, content: string): string {
  writeFileSync(join(folder, name), content);
  return name;
}

const DAY = 86_400_000;
const START = Date.UTC(2026, 10, 22);
const day = (days: number): Date => new Date(START + days * DAY);
const attime = ['-attime', `${START / 1000 + 20 * 86_400}`];
let serial = 0x4f1b0a6c8d2e3f40n;

const throwaways = new Map<string, CaKey>();
/** One for each algorithm and file: making an RSA key takes longer than everything that is tested with it. */
function throwaway(algorithm: string): CaKey {
  const key = throwaways.get(algorithm) ?? caKey(algorithm);
  throwaways.set(algorithm, key);
  return key;
}

interface Wanted { readonly days?: readonly [number, number]; readonly pathLength?: number | null; readonly serial?: string }
interface Made { readonly der: Uint8Array; readonly pem: string }
async function issue(issuer: CaKey, order: CertificateProfile['order'], wanted: Wanted = {}): Promise<Made> {
  const [from, to] = wanted.days ?? [0, 7300];
  const profile: CertificateProfile = {
    serialNumber: fromHex(wanted.serial ?? (serial++).toString(16)), notBefore: day(from), notAfter: day(to), pathLength: wanted.pathLength ?? null,
    algorithm: issuer.algorithm, issuerKey: issuer.spki, order,
  };
  const made = await issueCertificate(await throwawayLint(profile, throwaway(issuer.algorithm)), issuer.sign);
  assert.deepEqual(lintCertificate(made.der, profile), []);
  assert.equal(await verifyIssued(made.der, issuer.spki), true);
  return made;
}
const rootOf = (key: CaKey, commonName = `Root ${key.algorithm}`, wanted?: Wanted): Promise<Made> => issue(key, { kind: 'root', subject: { commonName, organization: 'Example' } }, wanted);
async function below(issuer: CaKey, issuerCertificate: Uint8Array, key: CaKey, commonName: string, wanted?: Wanted): Promise<Made & { readonly request: Made }> {
  const request = await makeRequest({ commonName, organization: 'Example' }, key.algorithm, key.spki, key.sign);
  return { request, ...(await issue(issuer, { kind: 'subordinate', request: request.der, issuer: issuerCertificate }, { days: [1, 3650], pathLength: 0, ...wanted })) };
}

const partnerKey = caKey('ecdsa-p384');
let partner: Made;
before(async () => { partner = await rootOf(partnerKey, 'Partner Root'); });

// The small SLH-DSA sets take seconds a signature; 128s stands for the six, which differ from the fast ones in tables only.
const SLOW = /^slh-dsa-.*s$/;
for (const algorithm of CA_ALGORITHMS.filter((name) => !SLOW.test(name) || name === 'slh-dsa-sha2-128s')) {
  test(`${algorithm}: root, subordinate from a request, CRL, cross-certificate; judged here and by OpenSSL`, async () => {
    throwaway(algorithm);
    const [rootKey, key] = [caKey(algorithm), caKey(algorithm)];
    const root = await rootOf(rootKey);
    const sub = await below(rootKey, root.der, key, 'Issuing CA');
    const cross = await issue(rootKey, { kind: 'cross', certificate: partner.der, issuer: root.der }, { days: [1, 1000], pathLength: 1 });
    assert.deepEqual(await checkRequest(sub.request.der), []);

    const revoked = [{ serialNumber: fromHex('ff'), date: day(5), reason: 'superseded' }, { serialNumber: fromHex('0a'), date: day(6), reason: null }] as const;
    const profile: CrlProfile = { algorithm, issuerKey: rootKey.spki, issuer: root.der, number: 7n, thisUpdate: day(10), nextUpdate: day(40), revoked };
    const crl = await issueCrl(await throwawayLintCrl(profile, throwaway(algorithm)), rootKey.sign);
    assert.deepEqual(lintCrl(crl.der, profile), []);
    assert.equal(await verifyCrl(crl.der, rootKey.spki), true);

    const [top, low, over, other] = [readCertificate(root.der), readCertificate(sub.der), readCertificate(cross.der), readCertificate(partner.der)];
    assert.deepEqual(await crlFindings(readCrl(crl.der), top, day(20)), []);
    for (const chain of [[low, top], [over, top]]) {
      const verdict = await checkChain(chain, day(20));
      assert.deepEqual(rules(verdict.findings.flat()), []);
      assert.equal(verdict.path.length, 2);
    }
    assert.deepEqual(rules(await lintHierarchy([top, low, over, other], day(20))), []);

    const files = { root: file('root.pem', root.pem), sub: file('sub.pem', sub.pem), cross: file('cross.pem', cross.pem), crl: file('crl.pem', crl.pem), csr: file('sub.csr', sub.request.pem) };
    const { family } = caAlgorithmNamed(algorithm);
    if (family === 'composite-signature' || family === 'hss' || family === 'xmss') {
      // No released OpenSSL verifies these: it reads the structure, and the identifiers as numbers.
      const oid = family === 'hss' ? ':1.2.840.113549.1.9.16.3.17' : ':1.3.6.1.5.5.7.6.';
      for (const name of Object.values(files)) assert.ok(openssl('asn1parse', '-in', name).includes(oid), `${oid} in ${name}`);
      return;
    }
    for (const name of [files.sub, files.cross]) openssl('verify', ...attime, '-x509_strict', '-check_ss_sig', '-CAfile', files.root, name);
    openssl('verify', ...attime, '-x509_strict', '-crl_check', '-CRLfile', files.crl, '-CAfile', files.root, files.sub);
    assert.match(openssl('crl', '-noout', '-in', files.crl, '-CAfile', files.root), /verify OK/);
    assert.match(openssl('req', '-noout', '-verify', '-in', files.csr), /verify OK/);
  });
}

test('an ML-KEM certificate, stated by a signing certificate of the same CA: OpenSSL reads both and verifies their chains', async () => {
  for (const algorithm of ['ecdsa-p384', 'ml-dsa-65']) {
    const [rootKey, holder] = [caKey(algorithm), caKey('ecdsa-p256')];
    throwaway(algorithm);
    const root = await rootOf(rootKey);
    const request = await makeRequest({ commonName: 'Holder' }, holder.algorithm, holder.spki, holder.sign);
    const signing = await issue(rootKey, { kind: 'end-entity', request: request.der, issuer: root.der }, { days: [1, 400] });
    const stated = await makeStatedRequest(kemSpki('ML-KEM-768'), signing.der, holder.sign);
    const encryption = await issue(rootKey, { kind: 'end-entity', request: stated.der, issuer: root.der }, { days: [2, 365] });
    assert.deepEqual((await checkChain([readCertificate(encryption.der), readCertificate(root.der)], day(20))).findings.flat(), []);
    assert.deepEqual(await lintHierarchy([root, signing, encryption].map(({ der }) => readCertificate(der)), day(20)), []);
    const [rootFile, signingFile, encryptionFile, csr] = [file('r.pem', root.pem), file('sig.pem', signing.pem), file('kem.pem', encryption.pem), file('stated.csr', stated.pem)];
    for (const one of [signingFile, encryptionFile]) openssl('verify', ...attime, '-x509_strict', '-check_ss_sig', '-CAfile', rootFile, one);
    assert.match(openssl('x509', '-in', encryptionFile, '-noout', '-text'), /Public Key Algorithm: ML-KEM-768[^]*Key Usage: critical\s+Key Encipherment\n/);
    assert.match(openssl('x509', '-in', signingFile, '-noout', '-text'), /Key Usage: critical\s+Digital Signature\n/);
    // OpenSSL verifies a request under its own key only. The statement is there, and the signature is the holder's.
    assert.match(openssl('req', '-in', csr, '-noout', '-text'), /Public Key Algorithm: ML-KEM-768[^]*1\.3\.6\.1\.4\.1\.22112\.2\.1/);
    writeFileSync(join(folder, 'kem.pub'), openssl('x509', '-in', encryptionFile, '-noout', '-pubkey'));
    openssl('pkeyutl', '-encap', '-pubin', '-inkey', 'kem.pub', '-out', 'kem.ct', '-secret', 'kem.ss');
  }
});

test('OpenSSL finds in the CRL what was put in, and refuses a revoked subordinate', async () => {
  const key = caKey('ml-dsa-65');
  const root = await rootOf(key);
  const sub = await below(key, root.der, caKey('ed25519'), 'Issuing CA', { serial: '00ab0102030405060708' });
  const revoked = [{ serialNumber: fromHex('ab0102030405060708'), date: day(5), reason: 'keyCompromise' }, { serialNumber: fromHex('0a'), date: day(6), reason: null }] as const;
  const profile: CrlProfile = { algorithm: 'ml-dsa-65', issuerKey: key.spki, issuer: root.der, number: 2n ** 70n, thisUpdate: day(10), nextUpdate: day(40), revoked };
  const crl = await issueCrl(await throwawayLintCrl(profile, throwaway('ml-dsa-65')), key.sign);
  assert.equal(openssl('crl', '-noout', '-crlnumber', '-in', file('revoked.pem', crl.pem)).trim(), 'crlNumber=0x400000000000000000');
  assert.match(openssl('crl', '-noout', '-text', '-in', 'revoked.pem').slice(0, 2000), /Serial Number: 0A[^]*Serial Number: AB0102030405060708[^]*Key Compromise/);
  const { status, stderr, stdout } = spawnSync(
    witnessOpenssl(), ['verify', ...attime, '-crl_check', '-CRLfile', 'revoked.pem', '-CAfile', file('r.pem', root.pem), file('s.pem', sub.pem)], { encoding: 'utf8', cwd: folder },
  );
  assert.notEqual(status, 0);
  assert.match(stderr + stdout, /certificate revoked/);
});

// --- what a hierarchy must not be --------------------------------------------------------------------------------------------

test('every rule of the whole-hierarchy lint bites', async () => {
  const key = caKey('ecdsa-p256');
  const root = await rootOf(key, 'Root', { pathLength: 3 });
  const middleKey = caKey('ecdsa-p256');
  const middle = await below(key, root.der, middleKey, 'Middle', { pathLength: 2 });
  const low = await below(middleKey, middle.der, caKey('ed25519'), 'Low', { days: [2, 3000], pathLength: 1 });
  const [top, mid, last] = [readCertificate(root.der), readCertificate(middle.der), readCertificate(low.der)];
  const judge = async (...all: CertificateReading[]): Promise<string[]> => [...new Set(rules(await lintHierarchy(all)))];
  assert.deepEqual(await judge(top, mid, last), []);
  assert.deepEqual(await judge(last, mid, top, { ...top }), [], 'in any order, and twice the same is once');

  assert.deepEqual(await judge(mid, last), ['HIERARCHY-ISSUER'], 'no root');
  assert.deepEqual(await judge(top, { ...mid, signature: last.signature }, last), ['HIERARCHY-ISSUER'], 'a signature that does not fit');
  assert.deepEqual(await judge(top, { ...mid, pathLength: 3 }, last), ['HIERARCHY-PATH-LENGTH']);
  assert.deepEqual(await judge(top, { ...mid, pathLength: null }, last), ['HIERARCHY-PATH-LENGTH']);
  assert.deepEqual(await judge(top, { ...mid, notAfter: day(9000) }, last), ['CHAIN-DATES']);
  assert.deepEqual(await judge(top, { ...mid, authorityKeyId: '00' }, last), ['CHAIN-KEY-ID']);
  assert.deepEqual(await judge(top, { ...mid, authorityKeyId: null }, last), ['HIERARCHY-KEY-ID']);
  assert.deepEqual(await judge(top, mid, { ...last, subjectKeyId: null }), ['HIERARCHY-KEY-ID']);
  assert.deepEqual(await judge(top, { ...mid, keyUsage: ['cRLSign'] }, last), ['CERTIFICATE-KEY-USAGE', 'CHAIN-KEY-USAGE']);

  const strong = readCertificate((await below(key, root.der, caKey('ml-dsa-87'), 'Strong', { pathLength: 2 })).der);
  assert.deepEqual(await judge(top, strong), ['HIERARCHY-STRENGTH']);
  const again = readCertificate((await below(key, root.der, middleKey, 'Middle', { pathLength: 1, serial: mid.serial })).der);
  assert.deepEqual(await judge(top, mid, again), ['HIERARCHY-SERIAL']);
  assert.deepEqual(await judge(top, mid, { ...again, serial: '01', subjectKeyId: '02' }), ['HIERARCHY-KEY-ID'], 'one key, two key ids');
  await assert.rejects(lintHierarchy(Array.from({ length: 65 }, () => top)), /CHAIN-LENGTH/);
});

test('a root with its cross-certificate: each is judged under its own issuer', async () => {
  const key = caKey('ecdsa-p521');
  const root = await rootOf(key, 'Strong Root');
  const cross = await issue(key, { kind: 'cross', certificate: partner.der, issuer: root.der }, { days: [1, 900], pathLength: 0 });
  // Outlives the cross-certificate, but not the partner's own root: that one is its issuer here.
  const sub = await below(partnerKey, partner.der, caKey('ecdsa-p256'), 'Partner Issuing CA', { days: [1, 3000], pathLength: 0 });
  assert.deepEqual(rules(await lintHierarchy([cross, sub, root, partner].map((one) => readCertificate(one.der)))), []);
  assert.ok(rules(await lintHierarchy([cross, sub, root].map((one) => readCertificate(one.der)))).includes('CHAIN-DATES'));
});

test('a component key shared between two composites, or used by itself', async () => {
  const first = caKey('MLDSA65-Ed25519-SHA512');
  const [a, b] = [readSubjectKey(first.spki), readSubjectKey(caKey('MLDSA65-Ed25519-SHA512').spki)];
  const mixed = subjectKeyOf(a.oid, null, Uint8Array.of(...a.raw.subarray(0, 1952), ...b.raw.subarray(1952)));
  const alone = subjectKeyOf('1.3.101.112', null, a.raw.subarray(1952));
  assert.equal(sharesAComponent(a, b), false);
  assert.equal(sharesAComponent(a, a), false, 'a key is itself');
  for (const [one, other] of [[a, mixed], [mixed, b], [a, alone], [alone, a]] as const) assert.equal(sharesAComponent(one, other), true);
  const top = readCertificate((await rootOf(first)).der);
  const found = rules(await lintHierarchy([top, { ...top, der: top.tbs, key: mixed }]));
  assert.ok(found.includes('HIERARCHY-COMPONENT'), found.join());
});

test('PEM: the lines are those of RFC 7468', () => {
  assert.equal(pem('X509 CRL', new Uint8Array(48)), `-----BEGIN X509 CRL-----\n${'A'.repeat(64)}\n-----END X509 CRL-----\n`);
  assert.equal(pem('X509 CRL', new Uint8Array(49)), `-----BEGIN X509 CRL-----\n${'A'.repeat(64)}\nAA==\n-----END X509 CRL-----\n`);
});
