import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Certificate, Extension, Version } from '@peculiar/asn1-x509';
import { fromHex, toHex } from '../../../ceremonies/bytes.ts';
import { ALGORITHMS, type AlgorithmName } from '../../../ceremonies/keys/algorithms.ts';
import {
  CERTIFICATE_LINTS,
  lintCertificate,
  profileFaults,
  publicKeyOf,
  rootCertificate,
  tbsOf,
  throwawayLint,
  verifySelfSigned,
  type LintedTbs,
  type RootProfile,
} from '../../../ceremonies/keys/x509.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { flipped, keyPair, sharedKeyPair } from './key-pairs.ts';

const rule = (name: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === name;

function profileFor(name: AlgorithmName, change: Partial<RootProfile> = {}): RootProfile {
  return {
    subject: { commonName: 'Example Root CA', organization: 'Example Organization', country: 'XX' },
    serialNumber: fromHex('4f1b0a6c8d2e3f405162738495a6b7c8'),
    notBefore: new Date('2026-11-22T10:00:00Z'),
    notAfter: new Date('2046-11-22T10:00:00Z'),
    publicKey: sharedKeyPair(name).publicKey,
    ...change,
  };
}

async function certify(profile: RootProfile): ReturnType<typeof rootCertificate> {
  const { algorithm } = profile.publicKey;
  const linted = await throwawayLint(profile, ALGORITHMS[algorithm].family === 'rsa' ? throwawayRsa(algorithm) : keyPair(algorithm));
  return rootCertificate(linted, sharedKeyPair(algorithm).sign);
}

const rsaThrowaways = new Map<AlgorithmName, ReturnType<typeof keyPair>>();
function throwawayRsa(name: AlgorithmName): ReturnType<typeof keyPair> {
  const pair = rsaThrowaways.get(name) ?? keyPair(name);
  rsaThrowaways.set(name, pair);
  return pair;
}

test('every algorithm: built twice alike, clean under lint, verified here and by OpenSSL', async () => {
  for (const name of Object.keys(ALGORITHMS) as AlgorithmName[]) {
    const profile = profileFor(name);
    const { tbs, der, pem } = await certify(profile);
    const again = await certify(profile);
    assert.deepEqual(again.tbs, tbs, name);
    assert.deepEqual(tbsOf(der), tbs);
    assert.deepEqual(publicKeyOf(der), profile.publicKey);
    assert.deepEqual(lintCertificate(der, profile), [], name);
    assert.equal(await verifySelfSigned(der), true, name);

    const node = new X509Certificate(pem);
    assert.deepEqual(new Uint8Array(node.raw), der);
    assert.ok(node.verify(node.publicKey), `${name}: OpenSSL verifies it`);
    assert.ok(node.checkIssued(node), name);
    assert.equal(node.ca, true);
    assert.equal(node.subject, 'C=XX\nO=Example Organization\nCN=Example Root CA');
    assert.equal(node.serialNumber.toLowerCase(), toHex(profile.serialNumber));
    assert.equal(new Date(node.validFrom).getTime(), profile.notBefore.getTime());
    assert.equal(new Date(node.validTo).getTime(), profile.notAfter.getTime());
    assert.match(pem, /^-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=]{1,64}\n)+-----END CERTIFICATE-----\n$/);
  }
});

test('golden: to-be-signed bytes of a fixed profile', async () => {
  // Ed25519 public key of RFC 8032 test 2. A change here changes every certificate that the app will ever write.
  const { parsePublicKey } = await import('../../../ceremonies/keys/public-key.ts');
  const publicKey = parsePublicKey(fromHex('302a300506032b65700321003d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c'));
  const linted = await throwawayLint(profileFor('ed25519', { publicKey }), keyPair('ed25519'));
  assert.equal(
    toHex(linted.tbs),
    [
      '3082013ea00302010202104f1b0a6c8d2e3f405162738495a6b7c8300506032b65703046310b300906035504061302585831',
      '1d301b060355040a0c144578616d706c65204f7267616e697a6174696f6e3118301606035504030c0f4578616d706c652052',
      '6f6f74204341301e170d3236313132323130303030305a170d3436313132323130303030305a3046310b3009060355040613',
      '025858311d301b060355040a0c144578616d706c65204f7267616e697a6174696f6e3118301606035504030c0f4578616d70',
      '6c6520526f6f74204341302a300506032b65700321003d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f1',
      '2af4660ca3423040300f0603551d130101ff040530030101ff300e0603551d0f0101ff040403020106301d0603551d0e0416',
      '041439f713d0a644253f04529421b9f51b9b08979d08',
    ].join(''),
  );
});

test('the serial number may have its top bit set, the dates may cross 2049, the subject may be any plain text', async () => {
  const profile = profileFor('ecdsa-p256', {
    serialNumber: fromHex('ff1b0a6c8d2e3f40'),
    notBefore: new Date('2049-12-31T23:59:59Z'),
    notAfter: new Date('2050-01-01T00:00:00Z'),
    subject: { commonName: '#1 "Root" \\ Ünïcode, Test=1 + 根', organizationalUnit: 'REHEARSAL - NOT FOR USE' },
  });
  const { der } = await certify(profile);
  assert.deepEqual(lintCertificate(der, profile), []);
  const text = Buffer.from(der).toString('latin1');
  assert.match(text, /\x17\x0d491231235959Z/); // UTCTime
  assert.match(text, /\x18\x0f20500101000000Z/); // GeneralizedTime
  assert.ok(text.includes(Buffer.from(profile.subject.commonName).toString('latin1')));
  assert.equal(new X509Certificate(der).serialNumber, 'FF1B0A6C8D2E3F40');
});

test('a profile that cannot become a certificate is refused before anything is signed', async () => {
  const twenty = 'ab'.repeat(19);
  const table: readonly (readonly [string, Partial<RootProfile>, string])[] = [
    ['a zero serial, which the library would replace', { serialNumber: new Uint8Array(16) }, 'CERTIFICATE-SERIAL'],
    ['no serial', { serialNumber: new Uint8Array(0) }, 'CERTIFICATE-SERIAL'],
    ['56 bits of serial', { serialNumber: fromHex('01020304050607') }, 'CERTIFICATE-SERIAL'],
    ['zeros in front of 56 bits', { serialNumber: fromHex('000001020304050607') }, 'CERTIFICATE-SERIAL'],
    ['21 octets of serial', { serialNumber: fromHex(`01${twenty}ab`) }, 'CERTIFICATE-SERIAL'],
    ['20 octets with the top bit', { serialNumber: fromHex(`80${twenty}`) }, 'CERTIFICATE-SERIAL'],
    ['the end before the beginning', { notAfter: new Date('2026-11-22T09:59:59Z') }, 'CERTIFICATE-DATES'],
    ['the end at the beginning', { notAfter: new Date('2026-11-22T10:00:00Z') }, 'CERTIFICATE-DATES'],
    ['no date', { notAfter: new Date('x') }, 'CERTIFICATE-DATES'],
    ['milliseconds', { notAfter: new Date('2046-11-22T10:00:00.001Z') }, 'CERTIFICATE-DATES'],
    ['before 1950', { notBefore: new Date('1949-12-31T23:59:59Z') }, 'CERTIFICATE-DATES'],
    ['after 9999', { notAfter: new Date(Date.UTC(10_000, 0)) }, 'CERTIFICATE-DATES'],
    ['no common name', { subject: { commonName: '' } }, 'CERTIFICATE-SUBJECT'],
    ['a blank at the end', { subject: { commonName: 'Root ' } }, 'CERTIFICATE-SUBJECT'],
    ['a direction override', { subject: { commonName: 'Root\u202eAC' } }, 'TEXT-PRINTABLE'],
    ['a control', { subject: { commonName: 'Root', organization: 'a\u0000b' } }, 'TEXT-PRINTABLE'],
    ['a zero-width space', { subject: { commonName: 'Root', organizationalUnit: 'a\u200bb' } }, 'TEXT-PRINTABLE'],
    ['an unpaired surrogate', { subject: { commonName: 'Root\ud800' } }, 'TEXT-PRINTABLE'],
    ['65 characters', { subject: { commonName: 'x'.repeat(65) } }, 'TEXT-LENGTH'],
    ['a country in small letters', { subject: { commonName: 'Root', country: 'xx' } }, 'CERTIFICATE-SUBJECT'],
    ['a country of three letters', { subject: { commonName: 'Root', country: 'XXX' } }, 'CERTIFICATE-SUBJECT'],
  ];
  for (const [what, change, name] of table) {
    const profile = profileFor('ed25519', change);
    assert.deepEqual([...new Set(profileFaults(profile).map((fault) => fault.rule))], [name], what);
    const never = { publicKey: keyPair('ed25519').publicKey, sign: () => Promise.reject(new Error('asked to sign')) };
    await assert.rejects(throwawayLint(profile, never), rule(name), what);
  }
});

test('the throwaway key must be of the same kind, another one, and really sign', async () => {
  const profile = profileFor('ecdsa-p256');
  const other = keyPair('ecdsa-p256');
  await assert.rejects(throwawayLint(profile, keyPair('ecdsa-p384')), rule('LINT-KEY'));
  await assert.rejects(throwawayLint(profile, sharedKeyPair('ecdsa-p256')), rule('LINT-KEY'));
  await assert.rejects(throwawayLint(profile, { publicKey: other.publicKey, sign: keyPair('ecdsa-p256').sign }), rule('LINT-KEY'));
  await assert.rejects(throwawayLint(profile, { publicKey: other.publicKey, sign: () => Promise.resolve(new Uint8Array(70)) }), rule('SIGNATURE-LENGTH'));
});

test('the real key signs exactly the linted bytes, once, and only those', async () => {
  const profile = profileFor('ecdsa-p384');
  const linted = await throwawayLint(profile, keyPair('ecdsa-p384'));
  const asked: Uint8Array[] = [];
  const { tbs } = await rootCertificate(linted, (bytes) => {
    asked.push(bytes.slice());
    return sharedKeyPair('ecdsa-p384').sign(bytes);
  });
  assert.deepEqual(asked, [linted.tbs]);
  assert.deepEqual(tbs, linted.tbs);

  const never = (): Promise<Uint8Array> => Promise.reject(new Error('asked to sign'));
  await assert.rejects(rootCertificate({ ...linted }, never), rule('LINT-FIRST'));
  await assert.rejects(rootCertificate({ profile, tbs: linted.tbs } as unknown as LintedTbs, never), rule('LINT-FIRST'));
  linted.tbs[10]! ^= 1; // somebody tampered between lint and signature
  await assert.rejects(rootCertificate(linted, never), rule('TBS-IDENTICAL'));
});

test('a signature by another key, or over other bytes, never leaves', async () => {
  const lint = (): Promise<LintedTbs> => throwawayLint(profileFor('ed25519'), keyPair('ed25519'));
  await assert.rejects(rootCertificate(await lint(), keyPair('ed25519').sign), rule('CERTIFICATE-VERIFIES'));
  await assert.rejects(rootCertificate(await lint(), () => sharedKeyPair('ed25519').sign(new Uint8Array(5))), rule('CERTIFICATE-VERIFIES'));
  await assert.rejects(rootCertificate(await lint(), () => Promise.reject(new Error('CKR_DEVICE_ERROR'))), /CKR_DEVICE_ERROR/);
});

test('a signer that scribbles on its argument changes nothing', async () => {
  const { sign } = sharedKeyPair('ed25519');
  const linted = await throwawayLint(profileFor('ed25519'), keyPair('ed25519'));
  const { der } = await rootCertificate(linted, async (bytes) => {
    const signature = await sign(bytes.slice());
    bytes.fill(0);
    return signature;
  });
  assert.equal(await verifySelfSigned(der), true);
});

// --- lint on certificates that this code would not make -------------------------------------------------------------------

/** Takes a good certificate apart, changes it, and writes it again (unsigned: the lint does not look at the signature). */
async function changed(change: (certificate: Certificate) => void): Promise<Uint8Array> {
  const { der } = await certify(profileFor('ecdsa-p256'));
  const certificate = AsnConvert.parse(der, Certificate);
  change(certificate);
  delete certificate.tbsCertificateRaw;
  return new Uint8Array(AsnConvert.serialize(certificate));
}

const buffer = (hex: string): ArrayBuffer => new Uint8Array(fromHex(hex)).buffer;

test('every lint rule bites', async () => {
  const extension = (certificate: Certificate, oid: string): Extension => certificate.tbsCertificate.extensions!.find((one) => one.extnID === oid)!;
  const setValue = (one: Extension, hex: string): void => {
    one.extnValue.buffer = buffer(hex);
  };
  const table: readonly (readonly [string, (certificate: Certificate) => void])[] = [
    ['CERTIFICATE-VERSION', (c) => { c.tbsCertificate.version = Version.v2; }],
    ['CERTIFICATE-VERSION', (c) => { c.tbsCertificate.subjectUniqueID = buffer('00'); }],
    ['CERTIFICATE-SERIAL', (c) => { c.tbsCertificate.serialNumber = buffer('7f'); }],
    ['CERTIFICATE-SERIAL', (c) => { c.tbsCertificate.serialNumber = buffer('ff1b0a6c8d2e3f405162738495a6b7c8'); }],
    ['CERTIFICATE-SERIAL', (c) => { c.tbsCertificate.serialNumber = buffer('4f1b0a6c8d2e3f405162738495a6b7c9'); }],
    ['CERTIFICATE-ALGORITHM', (c) => { c.signatureAlgorithm.algorithm = '1.2.840.10045.4.3.3'; }],
    ['CERTIFICATE-ALGORITHM', (c) => { c.tbsCertificate.signature.algorithm = '1.2.840.10045.4.3.3'; }],
    ['CERTIFICATE-ALGORITHM', (c) => { c.tbsCertificate.signature.parameters = null; c.signatureAlgorithm.parameters = null; }],
    ['CERTIFICATE-ISSUER', (c) => { c.tbsCertificate.issuer.pop(); }],
    ['CERTIFICATE-SUBJECT', (c) => { c.tbsCertificate.subject.reverse(); c.tbsCertificate.issuer.reverse(); }],
    ['CERTIFICATE-SUBJECT', (c) => { for (const name of [c.tbsCertificate.subject, c.tbsCertificate.issuer]) name[1]![0]!.value.utf8String = 'Other'; }],
    ['CERTIFICATE-SUBJECT', (c) => { for (const name of [c.tbsCertificate.subject, c.tbsCertificate.issuer]) { const { value } = name[2]![0]!; delete value.utf8String; value.printableString = 'Example Root CA'; } }],
    ['CERTIFICATE-SUBJECT', (c) => { for (const name of [c.tbsCertificate.subject, c.tbsCertificate.issuer]) name.pop(); }],
    ['TEXT-PRINTABLE', (c) => { for (const name of [c.tbsCertificate.subject, c.tbsCertificate.issuer]) name[2]![0]!.value.utf8String = 'Root\u202e'; }],
    ['CERTIFICATE-DATES', (c) => { c.tbsCertificate.validity.notAfter.utcTime = new Date('2026-11-22T09:00:00Z'); }],
    ['CERTIFICATE-DATES', (c) => { c.tbsCertificate.validity.notAfter.utcTime = new Date('2046-11-23T10:00:00Z'); }],
    ['CERTIFICATE-DATES', (c) => { const { notAfter } = c.tbsCertificate.validity; delete notAfter.utcTime; notAfter.generalTime = new Date('2046-11-22T10:00:00Z'); }],
    ['CERTIFICATE-KEY', (c) => { c.tbsCertificate.subjectPublicKeyInfo.subjectPublicKey = buffer(`04${'11'.repeat(64)}`); }],
    ['CERTIFICATE-KEY', (c) => { c.tbsCertificate.subjectPublicKeyInfo.algorithm.algorithm = '1.3.101.110'; }],
    ['CERTIFICATE-EXTENSIONS', (c) => { c.tbsCertificate.extensions!.push(new Extension({ extnID: '1.2.3.4', critical: true })); }],
    ['CERTIFICATE-EXTENSIONS', (c) => { c.tbsCertificate.extensions!.push(new Extension({ extnID: '1.2.3.4', critical: false })); }],
    ['CERTIFICATE-EXTENSIONS', (c) => { c.tbsCertificate.extensions!.push(extension(c, '2.5.29.15')); }],
    ['CERTIFICATE-EXTENSIONS', (c) => { c.tbsCertificate.extensions!.pop(); }],
    ['CERTIFICATE-BASIC-CONSTRAINTS', (c) => { extension(c, '2.5.29.19').critical = false; }],
    ['CERTIFICATE-BASIC-CONSTRAINTS', (c) => { setValue(extension(c, '2.5.29.19'), '3000'); }],
    ['CERTIFICATE-BASIC-CONSTRAINTS', (c) => { setValue(extension(c, '2.5.29.19'), '30060101ff020100'); }],
    ['CERTIFICATE-KEY-USAGE', (c) => { extension(c, '2.5.29.15').critical = false; }],
    ['CERTIFICATE-KEY-USAGE', (c) => { setValue(extension(c, '2.5.29.15'), '03020186'); }],
    ['CERTIFICATE-KEY-USAGE', (c) => { setValue(extension(c, '2.5.29.15'), '03020204'); }],
    ['CERTIFICATE-KEY-IDENTIFIER', (c) => { setValue(extension(c, '2.5.29.14'), `0414${'00'.repeat(20)}`); }],
    ['CERTIFICATE-KEY-IDENTIFIER', (c) => { extension(c, '2.5.29.14').critical = true; }],
  ];
  for (const [i, [name, change]] of table.entries()) {
    const found = lintCertificate(await changed(change), profileFor('ecdsa-p256')).map((finding) => finding.rule);
    assert.ok(found.includes(name), `row ${i}, ${name}: ${found.join(', ')}`);
  }
  const tried = new Set(table.map(([name]) => name));
  for (const name of CERTIFICATE_LINTS) assert.ok(name === 'CERTIFICATE-DER' || tried.has(name), `${name} is tested`);
  assert.deepEqual(lintCertificate(await changed(() => undefined), profileFor('ecdsa-p256')), []);
});

test('a SHA-1 key identifier, as most other software writes it, is not a fault', async () => {
  const { createHash } = await import('node:crypto');
  const der = await changed((c) => {
    const point = Buffer.from(c.tbsCertificate.subjectPublicKeyInfo.subjectPublicKey);
    c.tbsCertificate.extensions![2]!.extnValue.buffer = buffer(`0414${createHash('sha1').update(point).digest('hex')}`);
  });
  assert.deepEqual(lintCertificate(der, profileFor('ecdsa-p256')), []);
});

test('every single-byte change of a certificate is found by the lint or breaks the signature; every truncation is refused', async () => {
  const profile = profileFor('ecdsa-p256');
  const { der } = await certify(profile);
  for (let at = 0; at < der.length; at++) {
    const bytes = flipped(der, at, at % 8);
    const findings = lintCertificate(bytes, profile);
    if (findings.length > 0 && at % 10 !== 0) continue; // the signature is asked where it must answer, and now and then
    let valid = false;
    try {
      valid = await verifySelfSigned(bytes);
    } catch (error) {
      assert.ok(error instanceof Refused, `byte ${at}: ${String(error)}`);
    }
    assert.ok(!valid, `byte ${at}`);
  }
  for (const length of [0, 1, 4, 100, der.length - 1]) assert.deepEqual(lintCertificate(der.subarray(0, length)).map((f) => f.rule), ['CERTIFICATE-DER']);
  assert.deepEqual(lintCertificate(Uint8Array.of(...der, 0), profile).map((f) => f.rule), ['CERTIFICATE-DER']);
  for (const read of [tbsOf, publicKeyOf]) assert.throws(() => read(fromHex('3000')), rule('CERTIFICATE-DER'));
});

test('RFC 9881 certificates: read, verified, and seen not to be ours', async () => {
  for (const set of ['44', '65', '87'] as const) {
    const pem = readFileSync(new URL(`../../vectors/mldsa-x509/ML-DSA-${set}.crt`, import.meta.url), 'utf8');
    const der = new Uint8Array(Buffer.from(/-----BEGIN CERTIFICATE-----([^-]*)-----/.exec(pem)![1]!, 'base64'));
    assert.equal(publicKeyOf(der).algorithm, `ml-dsa-${set}`);
    assert.equal(await verifySelfSigned(der), true);
    assert.ok(lintCertificate(der).some((finding) => finding.rule === 'CERTIFICATE-SUBJECT'));
  }
});
