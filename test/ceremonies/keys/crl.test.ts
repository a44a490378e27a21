import assert from 'node:assert/strict';
import test, { before } from 'node:test';
import { AsnConvert } from '@peculiar/asn1-schema';
import type { RevokedCertificate} from '@peculiar/asn1-x509';
import { CertificateList, Extension, Time, Version } from '@peculiar/asn1-x509';
import fc from 'fast-check';
import { fromHex, toHex, utf8 } from '../../../ceremonies/bytes.ts';
import { readCertificate } from '../../../ceremonies/keys/chain.ts';
import {
  CRL_LINTS, crlFindings, crlProfileFaults, issueCrl, lintCrl, MOST_REVOCATIONS, parseRevocations, readCrl, throwawayLintCrl, verifyCrl, type CrlProfile, type LintedCrl, type Revocation,
} from '../../../ceremonies/keys/crl.ts';
import { derOf } from '../../../ceremonies/keys/signed.ts';
import { issueCertificate, throwawayLint } from '../../../ceremonies/keys/x509.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { caKey } from './ca-keys.ts';
import { flipped } from './key-pairs.ts';
import { SEED } from './seed.ts';

const rule = (name: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === name;
const rules = (findings: readonly { rule: string }[]): string[] => [...new Set(findings.map((one) => one.rule))];

const key = caKey('ecdsa-p256');
const other = caKey('ecdsa-p256');
let issuer: Uint8Array;
let foreign: Uint8Array;
async function root(of: typeof key, commonName: string): Promise<Uint8Array> {
  const linted = await throwawayLint({
    serialNumber: fromHex('4f1b0a6c8d2e3f40'), notBefore: new Date('2026-01-01T00:00:00Z'), notAfter: new Date('2046-01-01T00:00:00Z'), pathLength: null,
    algorithm: of.algorithm, issuerKey: of.spki, order: { kind: 'root', subject: { commonName } },
  }, caKey(of.algorithm));
  return (await issueCertificate(linted, of.sign)).der;
}
before(async () => { [issuer, foreign] = [await root(key, 'Root'), await root(other, 'Other')]; });

const LIST = `# the list of 22 November
ab0102,2026-11-01T10:00:00Z,keyCompromise
0A,2026-11-02T10:00:00Z,superseded

00ff,2026-11-03T10:00:00Z,cessationOfOperation
`;
const profileFor = (change: Partial<CrlProfile> = {}): CrlProfile => ({
  algorithm: 'ecdsa-p256', issuerKey: key.spki, issuer, number: 3n, thisUpdate: new Date('2026-11-22T10:00:00Z'), nextUpdate: new Date('2026-12-22T10:00:00Z'),
  revoked: parseRevocations(utf8(LIST)), ...change,
});
const make = async (profile: CrlProfile): ReturnType<typeof issueCrl> => issueCrl(await throwawayLintCrl(profile, caKey(profile.algorithm)), key.sign);
const never = { spki: other.spki, sign: (): Promise<Uint8Array> => Promise.reject(new Error('asked to sign')) };

// --- the list ----------------------------------------------------------------------------------------------------------------

test('the list is read strictly, and every fault has the number of its line', () => {
  assert.deepEqual(parseRevocations(utf8(LIST)).map((one) => [toHex(one.serialNumber), one.date.toISOString(), one.reason]), [
    ['ab0102', '2026-11-01T10:00:00.000Z', 'keyCompromise'], ['0a', '2026-11-02T10:00:00.000Z', 'superseded'], ['ff', '2026-11-03T10:00:00.000Z', 'cessationOfOperation'],
  ]);
  assert.deepEqual(parseRevocations(utf8('')), []);
  assert.equal(parseRevocations(utf8('01,2026-11-01T10:00:00Z,superseded\r\n02,2026-11-01T10:00:00Z,aACompromise\r\n')).length, 2);
  const bad = [
    '01,2026-11-01T10:00:00Z', '01,2026-11-01T10:00:00Z,superseded,', '01,2026-11-01T10:00:00Z,unspecified', '01,2026-11-01T10:00:00Z,removeFromCRL', '01,2026-11-01T10:00:00Z,',
    '01,2026-11-01T10:00:00Z,toString', '01,2026-11-01T10:00:00Z,Superseded', '01, 2026-11-01T10:00:00Z,superseded', ' 01,2026-11-01T10:00:00Z,superseded', '1,2026-11-01T10:00:00Z,superseded',
    '0x01,2026-11-01T10:00:00Z,superseded', '00,2026-11-01T10:00:00Z,superseded', `${'01'.repeat(21)},2026-11-01T10:00:00Z,superseded`, ',2026-11-01T10:00:00Z,superseded',
    '01,2026-11-01,superseded', '01,2026-11-01T10:00:00.000Z,superseded', '01,2026-02-30T10:00:00Z,superseded', '01,2026-11-01T24:00:00Z,superseded', '01,2026-11-01T10:00:00+01:00,superseded',
    '"01",2026-11-01T10:00:00Z,superseded', '\ufeff01,2026-11-01T10:00:00Z,superseded', '01;2026-11-01T10:00:00Z;superseded', ' ',
  ];
  for (const line of bad) {
    assert.throws(() => parseRevocations(utf8(`# first\n${line}\n`)), (error) => error instanceof Refused && error.refusal.rule === 'REVOCATIONS-LINE' && error.refusal.expected.startsWith('line 2: '), line);
  }
  assert.throws(() => parseRevocations(Uint8Array.of(0xff, 0xfe)), rule('REVOCATIONS-LINE'));
  assert.throws(() => parseRevocations(utf8('0a,2026-11-01T10:00:00Z,superseded\n000A,2026-11-02T10:00:00Z,keyCompromise\n')), rule('REVOCATIONS-DUPLICATE'));
  const many = Array.from({ length: MOST_REVOCATIONS + 1 }, (_, i) => `${(i + 1).toString(16).padStart(4, '0')},2026-11-01T10:00:00Z,superseded`);
  assert.equal(parseRevocations(utf8(many.slice(1).join('\n'))).length, MOST_REVOCATIONS);
  assert.throws(() => parseRevocations(utf8(many.join('\n'))), rule('REVOCATIONS-SIZE'));
});

// --- making ------------------------------------------------------------------------------------------------------------------

test('a CRL says what the profile says, sorted by serial number, twice alike', async () => {
  const profile = profileFor({ revoked: [...profileFor().revoked, { serialNumber: fromHex('80'), date: new Date('2026-11-04T10:00:00Z'), reason: null }] });
  const { der, tbs, pem } = await make(profile);
  assert.deepEqual((await make({ ...profile, revoked: [...profile.revoked].reverse() })).tbs, tbs);
  assert.match(pem, /^-----BEGIN X509 CRL-----\n/);
  assert.deepEqual(derOf(utf8(pem), 'crl'), der);
  const crl = readCrl(der);
  assert.deepEqual(crl.revoked.map((one) => [toHex(one.serialNumber), one.reason]), [['0a', 'superseded'], ['80', null], ['ff', 'cessationOfOperation'], ['ab0102', 'keyCompromise']]);
  assert.deepEqual([crl.version, crl.number, crl.authorityKeyId, crl.unknownCritical], [2, 3n, readCertificate(issuer).subjectKeyId, []]);
  assert.deepEqual([lintCrl(der, profile), lintCrl(der)], [[], []]);
  assert.equal(await verifyCrl(der, key.spki), true);
  assert.equal(await verifyCrl(der, other.spki), false);
  assert.deepEqual(await crlFindings(crl, readCertificate(issuer), new Date('2026-12-01T00:00:00Z')), []);
  assert.deepEqual(rules(await crlFindings(crl, readCertificate(issuer), new Date('2027-12-01T00:00:00Z'))), ['CRL-DATES']);
  assert.deepEqual(rules(await crlFindings(crl, readCertificate(foreign))), ['CRL-ISSUER', 'CRL-AUTHORITY-KEY', 'SIGNATURE-VERIFIES']);
});

test('an empty CRL has no list; a long one is made in time; large numbers and late dates', async () => {
  const empty = await make(profileFor({ revoked: [], number: 1n }));
  assert.equal(AsnConvert.parse(empty.der, CertificateList).tbsCertList.revokedCertificates, undefined);
  assert.deepEqual(lintCrl(empty.der, profileFor({ revoked: [], number: 1n })), []);
  const revoked: Revocation[] = Array.from({ length: MOST_REVOCATIONS }, (_, i) => ({ serialNumber: fromHex((0x10000 + i).toString(16).padStart(40, '7')), date: new Date('2026-11-01T10:00:00Z'), reason: 'superseded' }));
  const long = await make(profileFor({ revoked }));
  assert.equal(readCrl(long.der).revoked.length, MOST_REVOCATIONS);
  const late = profileFor({ number: (1n << 159n) - 1n, nextUpdate: new Date('2050-01-01T00:00:00Z') });
  assert.deepEqual(lintCrl((await make(late)).der, late), []);
});

test('a profile that cannot become a CRL is refused before anything is signed', async () => {
  const one: Revocation = { serialNumber: fromHex('01'), date: new Date('2026-11-01T10:00:00Z'), reason: 'superseded' };
  const table: readonly (readonly [string, Partial<CrlProfile>, string])[] = [
    ['number zero', { number: 0n }, 'CRL-NUMBER'],
    ['a number below zero', { number: -1n }, 'CRL-NUMBER'],
    ['a number of 21 octets', { number: 1n << 159n }, 'CRL-NUMBER'],
    ['the next update before this one', { nextUpdate: new Date('2026-11-22T09:59:59Z') }, 'CRL-DATES'],
    ['the next update at this one', { nextUpdate: new Date('2026-11-22T10:00:00Z') }, 'CRL-DATES'],
    ['no date', { nextUpdate: new Date('x') }, 'CRL-DATES'],
    ['before the issuer began', { thisUpdate: new Date('2025-12-31T23:59:59Z'), revoked: [] }, 'CRL-DATES'],
    ['a revocation that is yet to come', { revoked: [{ ...one, date: new Date('2026-11-22T10:00:01Z') }] }, 'CRL-DATES'],
    ['the same serial number twice', { revoked: [one, { ...one, serialNumber: fromHex('0001') }] }, 'CRL-ENTRIES'],
    ['serial number zero', { revoked: [{ ...one, serialNumber: fromHex('00') }] }, 'CRL-ENTRIES'],
    ['21 octets of serial number', { revoked: [{ ...one, serialNumber: fromHex('01'.repeat(21)) }] }, 'CRL-ENTRIES'],
    ['an unknown reason', { revoked: [{ ...one, reason: 'unspecified' as 'superseded' }] }, 'CRL-ENTRIES'],
    ['milliseconds', { revoked: [{ ...one, date: new Date('2026-11-01T10:00:00.001Z') }] }, 'CRL-ENTRIES'],
    ['another issuer', { issuer: foreign }, 'ISSUER-CERTIFICATE'],
    ['no issuer', { issuer: fromHex('3000') }, 'DER-STRUCTURE'],
    ['another algorithm', { algorithm: 'ecdsa-p384' }, 'CERTIFICATE-KEY'],
  ];
  for (const [what, change, name] of table) {
    assert.deepEqual(rules(crlProfileFaults(profileFor(change))), [name], what);
    await assert.rejects(throwawayLintCrl(profileFor(change), never), rule(name), what);
  }
});

test('lint first, the same bytes, and a signature that verifies', async () => {
  const lint = (): Promise<LintedCrl> => throwawayLintCrl(profileFor(), other);
  await assert.rejects(throwawayLintCrl(profileFor(), key), rule('LINT-KEY'));
  await assert.rejects(throwawayLintCrl(profileFor(), { spki: other.spki, sign: caKey('ecdsa-p256').sign }), rule('LINT-KEY'));
  const linted = await lint();
  await assert.rejects(issueCrl({ ...linted }, never.sign), rule('LINT-FIRST'));
  linted.tbs[10]! ^= 1;
  await assert.rejects(issueCrl(linted, never.sign), rule('TBS-IDENTICAL'));
  await assert.rejects(issueCrl(await lint(), other.sign), rule('CRL-VERIFIES'));
  await assert.rejects(issueCrl(await lint(), () => Promise.resolve(new Uint8Array(64))), rule('CRL-VERIFIES'), 'r = s = 0');
  await assert.rejects(issueCrl(await lint(), () => Promise.reject(new Error('CKR_DEVICE_ERROR'))), /CKR_DEVICE_ERROR/);
});

// --- lint on CRLs that this code would not make --------------------------------------------------------------------------------

test('every lint rule bites', async () => {
  const profile = profileFor();
  const { der } = await make(profile);
  const changed = (change: (crl: CertificateList) => void): Uint8Array => {
    const crl = AsnConvert.parse(der, CertificateList);
    change(crl);
    delete crl.tbsCertListRaw;
    return new Uint8Array(AsnConvert.serialize(crl));
  };
  const buffer = (hex: string): ArrayBuffer => new Uint8Array(fromHex(hex)).buffer;
  const entries = (c: CertificateList): RevokedCertificate[] => c.tbsCertList.revokedCertificates!;
  const extension = (c: CertificateList, i: number): Extension => c.tbsCertList.crlExtensions![i]!;
  // Last: is it wrong in a stranger's CRL too?
  const table: readonly (readonly [string, (crl: CertificateList) => void, boolean])[] = [
    ['CRL-VERSION', (c) => { delete c.tbsCertList.version; }, true],
    ['CRL-DER', (c) => { c.tbsCertList.version = Version.v3; }, true],
    ['CRL-ALGORITHM', (c) => { c.signatureAlgorithm.algorithm = '1.2.840.10045.4.3.3'; }, true],
    ['CRL-ALGORITHM', (c) => { c.signatureAlgorithm.parameters = null; c.tbsCertList.signature.parameters = null; }, false],
    ['CRL-ISSUER', (c) => { c.tbsCertList.issuer.pop(); }, false],
    ['CRL-DATES', (c) => { delete c.tbsCertList.nextUpdate; }, true],
    ['CRL-DATES', (c) => { c.tbsCertList.nextUpdate = new Time(new Date('2026-11-22T10:00:00Z')); }, true],
    ['CRL-DATES', (c) => { c.tbsCertList.nextUpdate = new Time(new Date('2026-12-23T10:00:00Z')); }, false],
    ['CRL-DATES', (c) => { const time = new Time(); time.generalTime = new Date('2026-12-22T10:00:00Z'); c.tbsCertList.nextUpdate = time; }, true],
    ['CRL-DATES', (c) => { entries(c)[0]!.revocationDate = new Time(new Date('2026-11-23T10:00:00Z')); }, true],
    ['CRL-NUMBER', (c) => { extension(c, 1).extnValue.buffer = buffer('020104'); }, false],
    ['CRL-NUMBER', (c) => { c.tbsCertList.crlExtensions!.pop(); }, true],
    ['CRL-AUTHORITY-KEY', (c) => { c.tbsCertList.crlExtensions!.shift(); }, true],
    ['CRL-AUTHORITY-KEY', (c) => { extension(c, 0).extnValue.buffer = buffer('3003800101'); }, false],
    ['CRL-EXTENSIONS', (c) => { extension(c, 1).critical = true; }, false],
    ['CRL-EXTENSIONS', (c) => { c.tbsCertList.crlExtensions!.push(new Extension({ extnID: '2.5.29.28', critical: true, extnValue: extension(c, 1).extnValue })); }, true],
    ['CRL-ENTRIES', (c) => { entries(c).reverse(); }, false],
    ['CRL-ENTRIES', (c) => { entries(c).pop(); }, false],
    ['CRL-ENTRIES', (c) => { entries(c).push(entries(c)[0]!); }, true],
    ['CRL-ENTRIES', (c) => { entries(c)[0]!.crlEntryExtensions![0]!.extnValue.buffer = buffer('0a0100'); }, false],
    ['CRL-ENTRIES', (c) => { entries(c)[0]!.crlEntryExtensions![0]!.extnValue.buffer = buffer('0a0108'); }, true],
    ['CRL-ENTRIES', (c) => { entries(c)[0]!.crlEntryExtensions![0]!.extnValue.buffer = buffer('0a0107'); }, true],
    ['CRL-ENTRIES', (c) => { entries(c)[0]!.crlEntryExtensions![0]!.critical = true; }, false],
  ];
  for (const [i, [name, change, strangers]] of table.entries()) {
    assert.ok(rules(lintCrl(changed(change), profile)).includes(name), `row ${i}, ${name}: ${rules(lintCrl(changed(change), profile)).join()}`);
    assert.equal(lintCrl(changed(change)).length > 0, strangers, `row ${i}, ${name}, without a profile: ${rules(lintCrl(changed(change))).join()}`);
  }
  for (const name of CRL_LINTS) assert.ok(table.some(([rule]) => rule === name), `${name} is tested`);
  assert.deepEqual(lintCrl(changed(() => undefined), profile), []);
  assert.deepEqual(rules(lintCrl(Uint8Array.of(...der, 0), profile)), ['CRL-DER']);
});

test('property: damaged CRLs are refused by name; no change of one goes unseen', async () => {
  const profile = profileFor();
  const { der } = await make(profile);
  for (let at = 0; at < der.length; at++) {
    const bytes = flipped(der, at, at % 8);
    const findings = lintCrl(bytes, profile);
    for (const finding of findings) assert.match(finding.rule, /^[A-Z-]+$/);
    if (findings.length > 0) continue;
    assert.equal(await verifyCrl(bytes, key.spki), false, `byte ${at}`);
  }
  for (let length = 0; length < der.length; length++) assert.ok(lintCrl(der.subarray(0, length)).length > 0);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(der.length - 1), (junk, at) => {
    assert.ok(lintCrl(junk).length > 0);
    const spliced = Uint8Array.of(...der.subarray(0, at), ...junk, ...der.subarray(at));
    if (junk.length > 0) assert.ok(lintCrl(spliced, profile).length > 0);
  }), { seed: SEED, numRuns: 300 });
});
