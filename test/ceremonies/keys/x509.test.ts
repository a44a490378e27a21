import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import test from 'node:test';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Certificate, Extension, Version } from '@peculiar/asn1-x509';
import fc from 'fast-check';
import { fromHex, toHex } from '../../../ceremonies/bytes.ts';
import { ALGORITHMS, caAlgorithmNamed } from '../../../ceremonies/keys/algorithms.ts';
import { certificateFindings, readCertificate } from '../../../ceremonies/keys/chain.ts';
import { derOf } from '../../../ceremonies/keys/signed.ts';
import { makeRequest, makeStatedRequest } from '../../../ceremonies/keys/request.ts';
import {
  CERTIFICATE_LINTS,
  issueCertificate,
  lintCertificate,
  profileFaults,
  tbsOf,
  throwawayLint,
  verifyIssued,
  type CertificateProfile,
  type LintedTbs,
  type SubjectName,
} from '../../../ceremonies/keys/x509.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { caKey, kemSpki, type CaKey } from './ca-keys.ts';
import { flipped } from './key-pairs.ts';
import { SEED } from './seed.ts';
import { base64, signatureVectors, vectorFile } from './vectors.ts';

const rule = (name: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === name;
const rules = (findings: readonly { rule: string }[]): string[] => [...new Set(findings.map((one) => one.rule))];

const keys = new Map<string, CaKey>();
function sharedKey(name: string): CaKey {
  const key = keys.get(name) ?? caKey(name);
  keys.set(name, key);
  return key;
}

const SUBJECT: SubjectName = { commonName: 'Example Root CA', organization: 'Example Organization', country: 'XX' };
function profileFor(name: string, change: Partial<CertificateProfile> = {}, subject: SubjectName = SUBJECT): CertificateProfile {
  return {
    serialNumber: fromHex('4f1b0a6c8d2e3f405162738495a6b7c8'),
    notBefore: new Date('2026-11-22T10:00:00Z'),
    notAfter: new Date('2046-11-22T10:00:00Z'),
    pathLength: null,
    algorithm: name,
    issuerKey: sharedKey(name).spki,
    order: { kind: 'root', subject },
    ...change,
  };
}

async function certify(profile: CertificateProfile, sign = sharedKey(profile.algorithm).sign): ReturnType<typeof issueCertificate> {
  return issueCertificate(await throwawayLint(profile, caKey(profile.algorithm)), sign);
}

test('roots that Node\'s OpenSSL knows: built twice alike, clean under lint, verified here and there', async () => {
  for (const name of Object.keys(ALGORITHMS)) {
    const profile = profileFor(name);
    const { tbs, der, pem } = await certify(profile);
    const again = await certify(profile);
    assert.deepEqual(again.tbs, tbs, name);
    assert.deepEqual(tbsOf(der), tbs);
    assert.deepEqual(readCertificate(der).key.spki, profile.issuerKey);
    assert.deepEqual(lintCertificate(der, profile), [], name);
    assert.deepEqual(lintCertificate(der), [], name);
    assert.equal(await verifyIssued(der, profile.issuerKey), true, name);

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
    assert.deepEqual(derOf(new TextEncoder().encode(pem), 'certificate'), der);
  }
});

test('composite roots carry the identifiers of the draft\'s own certificates, byte for byte', async () => {
  for (const vector of signatureVectors().tests.filter((one) => one.tcId.startsWith('id-MLDSA'))) {
    const name = vector.tcId.replace('id-', '');
    const theirs = AsnConvert.parse(base64(vector.x5c), Certificate);
    const { der } = await certify(profileFor(name));
    const ours = AsnConvert.parse(der, Certificate);
    for (const pick of [(c: Certificate) => c.signatureAlgorithm, (c: Certificate) => c.tbsCertificate.signature, (c: Certificate) => c.tbsCertificate.subjectPublicKeyInfo.algorithm]) {
      assert.deepEqual(AsnConvert.serialize(pick(ours)), AsnConvert.serialize(pick(theirs)), name);
    }
    assert.equal(await verifyIssued(der, sharedKey(name).spki), true, name);
    assert.equal(await verifyIssued(flipped(der, der.length - 1), sharedKey(name).spki), false, name);
  }
});

test('golden: to-be-signed bytes of a fixed profile', async () => {
  // Ed25519 public key of RFC 8032 test 2. A change here changes every certificate that the app will ever write.
  const issuerKey = fromHex('302a300506032b65700321003d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c');
  const linted = await throwawayLint(profileFor('ed25519', { issuerKey }), caKey('ed25519'));
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
  const subject = { commonName: '#1 "Root" \\ Ünïcode, Test=1 + 根', organizationalUnit: 'REHEARSAL - NOT FOR USE' };
  const profile = profileFor('ecdsa-p256', {
    serialNumber: fromHex('ff1b0a6c8d2e3f40'),
    notBefore: new Date('2049-12-31T23:59:59Z'),
    notAfter: new Date('2050-01-01T00:00:00Z'),
  }, subject);
  const { der } = await certify(profile);
  assert.deepEqual(lintCertificate(der, profile), []);
  const text = Buffer.from(der).toString('latin1');
  assert.match(text, /\x17\x0d491231235959Z/); // UTCTime
  assert.match(text, /\x18\x0f20500101000000Z/); // GeneralizedTime
  assert.ok(text.includes(Buffer.from(subject.commonName).toString('latin1')));
  assert.equal(new X509Certificate(der).serialNumber, 'FF1B0A6C8D2E3F40');
});

test('a profile that cannot become a certificate is refused before anything is signed', async () => {
  const twenty = 'ab'.repeat(19);
  const table: readonly (readonly [string, Partial<CertificateProfile>, string])[] = [
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
    ['no common name', { order: { kind: 'root', subject: { commonName: '' } } }, 'CERTIFICATE-SUBJECT'],
    ['a blank at the end', { order: { kind: 'root', subject: { commonName: 'Root ' } } }, 'CERTIFICATE-SUBJECT'],
    ['a direction override', { order: { kind: 'root', subject: { commonName: 'Root\u202eAC' } } }, 'TEXT-PRINTABLE'],
    ['a control', { order: { kind: 'root', subject: { commonName: 'Root', organization: 'a\u0000b' } } }, 'TEXT-PRINTABLE'],
    ['a zero-width space', { order: { kind: 'root', subject: { commonName: 'Root', organizationalUnit: 'a\u200bb' } } }, 'TEXT-PRINTABLE'],
    ['an unpaired surrogate', { order: { kind: 'root', subject: { commonName: 'Root\ud800' } } }, 'TEXT-PRINTABLE'],
    ['65 characters', { order: { kind: 'root', subject: { commonName: 'x'.repeat(65) } } }, 'TEXT-LENGTH'],
    ['a country in small letters', { order: { kind: 'root', subject: { commonName: 'Root', country: 'xx' } } }, 'CERTIFICATE-SUBJECT'],
    ['a country of three letters', { order: { kind: 'root', subject: { commonName: 'Root', country: 'XXX' } } }, 'CERTIFICATE-SUBJECT'],
  ];
  for (const [what, change, name] of table) {
    const profile = profileFor('ed25519', change);
    assert.deepEqual([...new Set(profileFaults(profile).map((fault) => fault.rule))], [name], what);
    const never = { spki: caKey('ed25519').spki, sign: () => Promise.reject(new Error('asked to sign')) };
    await assert.rejects(throwawayLint(profile, never), rule(name), what);
  }
});

test('the throwaway key must be of the same kind, another one, and really sign', async () => {
  const profile = profileFor('ecdsa-p256');
  const other = caKey('ecdsa-p256');
  await assert.rejects(throwawayLint(profile, caKey('ecdsa-p384')), rule('LINT-KEY'));
  await assert.rejects(throwawayLint(profile, sharedKey('ecdsa-p256')), rule('LINT-KEY'));
  await assert.rejects(throwawayLint(profile, { spki: other.spki, sign: caKey('ecdsa-p256').sign }), rule('LINT-KEY'));
  await assert.rejects(throwawayLint(profile, { spki: other.spki, sign: () => Promise.resolve(new Uint8Array(70)) }), rule('SIGNATURE-LENGTH'));
  const composite = 'MLDSA44-Ed25519-SHA512';
  await assert.rejects(throwawayLint(profileFor(composite), { ...caKey(composite), sign: () => Promise.resolve(new Uint8Array(2485)) }), rule('COMPOSITE-SIGNATURE'));
});

test('the issuing key must be of the algorithm named', async () => {
  assert.deepEqual(rules(profileFaults(profileFor('ecdsa-p256', { issuerKey: sharedKey('ecdsa-p384').spki }))), ['CERTIFICATE-KEY']);
  assert.deepEqual(rules(profileFaults(profileFor('MLDSA44-Ed25519-SHA512', { issuerKey: sharedKey('ml-dsa-44').spki }))), ['CERTIFICATE-KEY']);
  assert.deepEqual(rules(profileFaults(profileFor('ed25519', { algorithm: 'no-such' }))), ['ALGORITHM-KNOWN']);
  assert.deepEqual(rules(profileFaults(profileFor('ed25519', { issuerKey: fromHex('3000') }))), ['DER-STRUCTURE']);
  for (const pathLength of [-1, 1.5, 128]) assert.deepEqual(rules(profileFaults(profileFor('ed25519', { pathLength }))), ['CERTIFICATE-PATH-LENGTH']);
});

test('the real key signs exactly the linted bytes, once, and only those', async () => {
  const profile = profileFor('ecdsa-p384');
  const linted = await throwawayLint(profile, caKey('ecdsa-p384'));
  const asked: Uint8Array[] = [];
  const { tbs } = await issueCertificate(linted, (bytes) => {
    asked.push(bytes.slice());
    return sharedKey('ecdsa-p384').sign(bytes);
  });
  assert.deepEqual(asked, [linted.tbs]);
  assert.deepEqual(tbs, linted.tbs);

  const never = (): Promise<Uint8Array> => Promise.reject(new Error('asked to sign'));
  await assert.rejects(issueCertificate({ ...linted }, never), rule('LINT-FIRST'));
  await assert.rejects(issueCertificate({ profile, tbs: linted.tbs } as unknown as LintedTbs, never), rule('LINT-FIRST'));
  linted.tbs[10]! ^= 1; // somebody tampered between lint and signature
  await assert.rejects(issueCertificate(linted, never), rule('TBS-IDENTICAL'));
});

test('a signature by another key, or over other bytes, never leaves', async () => {
  for (const name of ['ed25519', 'ecdsa-p256', 'MLDSA65-ECDSA-P256-SHA512']) {
    const lint = (): Promise<LintedTbs> => throwawayLint(profileFor(name), caKey(name));
    await assert.rejects(issueCertificate(await lint(), caKey(name).sign), rule('CERTIFICATE-VERIFIES'), name);
    await assert.rejects(issueCertificate(await lint(), () => sharedKey(name).sign(new Uint8Array(5))), rule('CERTIFICATE-VERIFIES'), name);
    await assert.rejects(issueCertificate(await lint(), () => Promise.reject(new Error('CKR_DEVICE_ERROR'))), /CKR_DEVICE_ERROR/);
  }
  const lint = await throwawayLint(profileFor('ecdsa-p256'), caKey('ecdsa-p256'));
  await assert.rejects(issueCertificate(lint, () => Promise.resolve(new Uint8Array(64))), rule('CERTIFICATE-VERIFIES'), 'r = s = 0');
});

test('a signer that scribbles on its argument changes nothing', async () => {
  const { sign, spki } = sharedKey('ed25519');
  const { der } = await certify(profileFor('ed25519'), async (bytes) => {
    const signature = await sign(bytes.slice());
    bytes.fill(0);
    return signature;
  });
  assert.equal(await verifyIssued(der, spki), true);
});

// --- below a root ----------------------------------------------------------------------------------------------------------

async function request(algorithm: string, key = caKey(algorithm), subject: SubjectName = { commonName: 'Issuing CA 1', organization: 'Example Organization' }): Promise<Uint8Array> {
  return (await makeRequest(subject, algorithm, key.spki, key.sign)).der;
}
const WITHIN = { notBefore: new Date('2026-11-23T10:00:00Z'), notAfter: new Date('2036-11-22T10:00:00Z'), pathLength: 0, serialNumber: fromHex('5f1b0a6c8d2e3f40') };

/** For a key that cannot sign, stated by a signing key that `issuer` has certified; and that signing certificate. */
async function statedRequest(issuer: Uint8Array, change: Partial<CertificateProfile> = {}, spki = kemSpki('ML-KEM-768')): Promise<{ readonly request: Uint8Array; readonly signing: Uint8Array }> {
  const holder = caKey('ed25519');
  const order = { kind: 'end-entity', request: await request('ed25519', holder), issuer } as const;
  const { der: signing } = await certify(profileFor('ecdsa-p256', { ...WITHIN, pathLength: null, serialNumber: fromHex('5f1b0a6c8d2e3f41'), order, ...change }));
  return { signing, request: (await makeStatedRequest(spki, signing, holder.sign)).der };
}

test('an end entity\'s certificate holds the request\'s name and key, is no CA, and has the one usage of its key', async () => {
  const root = await certify(profileFor('ecdsa-p256', { pathLength: 0 }));
  for (const [spki, usage] of [[kemSpki('ML-KEM-768'), 'keyEncipherment'], [kemSpki('MLKEM768-X25519-SHA3-256'), 'keyEncipherment'], [kemSpki('X25519'), 'keyAgreement']] as const) {
    const { request: csr, signing } = await statedRequest(root.der, {}, spki);
    const order = { kind: 'end-entity', request: csr, issuer: root.der } as const;
    const profile = profileFor('ecdsa-p256', { ...WITHIN, pathLength: null, order });
    const { der } = await certify(profile);
    const [above, below] = [readCertificate(root.der), readCertificate(der)];
    assert.deepEqual({ ca: below.ca, pathLength: below.pathLength, usage: below.keyUsage, authority: below.authorityKeyId }, { ca: false, pathLength: null, usage: [usage], authority: above.subjectKeyId });
    assert.deepEqual([below.key.spki, below.subject], [spki, readCertificate(signing).subject]);
    assert.equal(AsnConvert.parse(der, Certificate).tbsCertificate.extensions?.some((one) => one.extnID === '2.5.29.19'), false, 'no basicConstraints');
    assert.deepEqual([lintCertificate(der, profile), lintCertificate(der), certificateFindings(below, WITHIN.notBefore)], [[], [], []]);
    assert.equal(await verifyIssued(der, above.key.spki), true);
    assert.deepEqual(readCertificate(signing).keyUsage, ['digitalSignature']);
    // The same certificate as that of a CA, and the other way round, is not what was ordered.
    assert.ok(rules(lintCertificate(signing, { ...profile, pathLength: 0, order: { kind: 'subordinate', request: await request('ed25519'), issuer: root.der } })).includes('CERTIFICATE-BASIC-CONSTRAINTS'));
  }
});

test('what keeps a certificate from being issued on a statement, before any key is asked for anything', async () => {
  const root = await certify(profileFor('ecdsa-p256'));
  const strangerKey = caKey('ecdsa-p256');
  const stranger = await issueCertificate(await throwawayLint({ ...profileFor('ecdsa-p256'), issuerKey: strangerKey.spki }, caKey('ecdsa-p256')), strangerKey.sign);
  const { request: csr } = await statedRequest(root.der);
  const { request: short } = await statedRequest(root.der, { notAfter: new Date('2026-11-24T10:00:00Z') });
  const later = { notBefore: new Date('2026-11-25T10:00:00Z') };
  const table: readonly (readonly [string, Partial<CertificateProfile>, string])[] = [
    ['a CA certificate for it', { order: { kind: 'subordinate', request: csr, issuer: root.der } }, 'REQUEST-KEM-KEY'],
    ['a path length', { pathLength: 0, order: { kind: 'end-entity', request: csr, issuer: root.der } }, 'CERTIFICATE-PATH-LENGTH'],
    ['a signing certificate that has ended', { ...later, order: { kind: 'end-entity', request: short, issuer: root.der } }, 'CERTIFICATE-DATES'],
    ['a signature that does not fit', { order: { kind: 'end-entity', request: flipped(csr, csr.length - 1), issuer: root.der } }, 'SIGNATURE-VERIFIES'],
    ['longer than its issuer', { notAfter: new Date('2099-01-01T00:00:00Z'), order: { kind: 'end-entity', request: csr, issuer: root.der } }, 'CERTIFICATE-WITHIN-ISSUER'],
  ];
  for (const [what, change, name] of table) await assert.rejects(throwawayLint(profileFor('ecdsa-p256', { ...WITHIN, pathLength: null, ...change }), caKey('ecdsa-p256')), rule(name), what);
  const elsewhere = profileFor('ecdsa-p256', { ...WITHIN, pathLength: null, issuerKey: strangerKey.spki, order: { kind: 'end-entity', request: csr, issuer: stranger.der } });
  await assert.rejects(throwawayLint(elsewhere, caKey('ecdsa-p256')), rule('REQUEST-STATEMENT-PATH'), 'the signing certificate of another CA, of the same name');
});

test('a subordinate holds the request\'s name and key, and says who issued it', async () => {
  const root = await certify(profileFor('ecdsa-p256', { pathLength: 2 }));
  const order = { kind: 'subordinate', request: await request('ml-dsa-44'), issuer: root.der } as const;
  const profile = profileFor('ecdsa-p256', { ...WITHIN, order });
  const { der, tbs } = await certify(profile);
  assert.deepEqual((await certify(profile)).tbs, tbs);
  const [above, below] = [readCertificate(root.der), readCertificate(der)];
  assert.equal(above.pathLength, 2);
  assert.deepEqual({ ca: below.ca, pathLength: below.pathLength, usage: below.keyUsage, authority: below.authorityKeyId }, { ca: true, pathLength: 0, usage: ['keyCertSign', 'cRLSign'], authority: above.subjectKeyId });
  assert.deepEqual(below.issuer, above.subject);
  assert.deepEqual(lintCertificate(der, profile), []);
  assert.deepEqual(lintCertificate(der), []);
  assert.equal(await verifyIssued(der, sharedKey('ecdsa-p256').spki), true);
  assert.equal(await verifyIssued(der, below.key.spki), false);
  const other = profileFor('ecdsa-p256', { ...WITHIN, order: { ...order, request: await request('ml-dsa-44') } });
  assert.deepEqual(rules(lintCertificate(der, other)), ['CERTIFICATE-KEY']);
  assert.deepEqual(rules(lintCertificate(der, { ...profile, pathLength: 1 })), ['CERTIFICATE-BASIC-CONSTRAINTS']);
});

test('a cross-certificate takes over subject, key and key id of the other CA, byte for byte', async () => {
  const root = await certify(profileFor('ecdsa-p256'));
  const foreign = derOf(vectorFile('mldsa-x509/ML-DSA-65.crt'), 'certificate');
  const profile = profileFor('ecdsa-p256', { ...WITHIN, order: { kind: 'cross', certificate: foreign, issuer: root.der } });
  assert.deepEqual(rules(profileFaults(profile)), ['WEAK-PUBLISHED-KEY']);
  const leaf = derOf(vectorFile('mlkem-x509/ML-KEM-512.crt'), 'certificate');
  assert.deepEqual(rules(profileFaults({ ...profile, order: { kind: 'cross', certificate: leaf, issuer: root.der } })), ['CROSS-CERTIFICATE', 'WEAK-PUBLISHED-KEY']);

  const otherProfile = profileFor('ml-dsa-87', {}, { commonName: 'Another Root' });
  const other = AsnConvert.parse((await certify(otherProfile)).der, Certificate);
  for (const name of [other.tbsCertificate.subject, other.tbsCertificate.issuer]) {
    const { value } = name[0]![0]!;
    value.printableString = value.utf8String!;
    delete value.utf8String;
  }
  other.tbsCertificate.extensions![2]!.extnValue.buffer = buffer('0403010203');
  const key = sharedKey('ml-dsa-87');
  delete other.tbsCertificateRaw;
  other.signatureValue = new Uint8Array(await key.sign(new Uint8Array(AsnConvert.serialize(other.tbsCertificate)))).buffer;
  const certificate = new Uint8Array(AsnConvert.serialize(other));
  const cross = profileFor('ecdsa-p256', { ...WITHIN, pathLength: null, order: { kind: 'cross', certificate, issuer: root.der } });
  const { der } = await certify(cross);
  const [theirs, ours] = [readCertificate(certificate), readCertificate(der)];
  assert.deepEqual(ours.subject, theirs.subject);
  assert.deepEqual(ours.key.spki, theirs.key.spki);
  assert.equal(ours.subjectKeyId, '010203');
  assert.deepEqual(lintCertificate(der, cross), []);
  assert.ok(rules(lintCertificate(der, { ...cross, order: { kind: 'cross', certificate: (await certify(otherProfile)).der, issuer: root.der } })).includes('CERTIFICATE-SUBJECT'));

  const spoiled = { ...cross, order: { kind: 'cross', certificate: flipped(certificate, certificate.length - 1), issuer: root.der } } as const;
  await assert.rejects(throwawayLint(spoiled, caKey('ecdsa-p256')), rule('CROSS-CERTIFICATE'));
});

test('nothing is issued in the name of an issuer who could not have', async () => {
  const root = await certify(profileFor('ecdsa-p256', { pathLength: 1 }));
  const leafless = await certify(profileFor('ecdsa-p256', { pathLength: 0 }));
  const csr = await request('ecdsa-p256');
  const order = { kind: 'subordinate', request: csr, issuer: root.der } as const;
  const composite = 'MLDSA44-Ed25519-SHA512';
  const compositeRoot = await certify(profileFor(composite));
  const half = sharedKey(composite).spki.subarray(-32);
  const stolen = caKey('ed25519');
  const named = await request('ecdsa-p256', undefined, SUBJECT);
  const table: readonly (readonly [string, CertificateProfile, string])[] = [
    ['of another key', profileFor('ecdsa-p256', { ...WITHIN, order: { ...order, issuer: (await certify(profileFor('ed25519'))).der } }), 'ISSUER-CERTIFICATE'],
    ['no certificate', profileFor('ecdsa-p256', { ...WITHIN, order: { ...order, issuer: csr } }), 'DER-STRUCTURE'],
    ['before it begins', profileFor('ecdsa-p256', { ...WITHIN, notBefore: new Date('2026-11-22T09:59:59Z'), order }), 'CERTIFICATE-WITHIN-ISSUER'],
    ['after it ends', profileFor('ecdsa-p256', { ...WITHIN, notAfter: new Date('2046-11-22T10:00:01Z'), order }), 'CERTIFICATE-WITHIN-ISSUER'],
    ['a path as long', profileFor('ecdsa-p256', { ...WITHIN, pathLength: 1, order }), 'CERTIFICATE-PATH-LENGTH'],
    ['no path length', profileFor('ecdsa-p256', { ...WITHIN, pathLength: null, order }), 'CERTIFICATE-PATH-LENGTH'],
    ['no CA may follow', profileFor('ecdsa-p256', { ...WITHIN, order: { ...order, issuer: leafless.der } }), 'CERTIFICATE-PATH-LENGTH'],
    ['the issuer\'s own name', profileFor('ecdsa-p256', { ...WITHIN, order: { ...order, request: named } }), 'CERTIFICATE-ISSUER'],
    ['the issuer\'s own key', profileFor('ecdsa-p256', { ...WITHIN, order: { ...order, request: await request('ecdsa-p256', sharedKey('ecdsa-p256')) } }), 'CERTIFICATE-KEY'],
    ['a request that is none', profileFor('ecdsa-p256', { ...WITHIN, order: { ...order, request: root.der } }), 'DER-STRUCTURE'],
    ['a half of the issuer\'s composite', profileFor(composite, { ...WITHIN, order: { kind: 'cross', issuer: compositeRoot.der, certificate: await withKey(stolen, half) } }), 'CERTIFICATE-COMPONENT'],
  ];
  for (const [what, profile, name] of table) {
    assert.deepEqual(rules(profileFaults(profile)), [name], what);
    await assert.rejects(throwawayLint(profile, caKey(profile.algorithm)), rule(name), what);
  }
  await assert.rejects(throwawayLint(profileFor('ecdsa-p256', { ...WITHIN, order: { ...order, request: flipped(csr, csr.length - 1) } }), caKey('ecdsa-p256')), rule('SIGNATURE-VERIFIES'));
  await assert.rejects(throwawayLint(profileFor('ecdsa-p256', { ...WITHIN, order: { ...order, issuer: flipped(root.der, root.der.length - 1) } }), caKey('ecdsa-p256')), rule('ISSUER-CERTIFICATE'));
});

/** A root certificate of `key`, with the last bytes of its public key replaced: nobody can sign with that. */
async function withKey(key: CaKey, raw: Uint8Array): Promise<Uint8Array> {
  const profile = { ...profileFor('ed25519', { issuerKey: key.spki }, { commonName: 'Another Root' }) };
  const certificate = AsnConvert.parse((await certify(profile, key.sign)).der, Certificate);
  certificate.tbsCertificate.subjectPublicKeyInfo.subjectPublicKey = raw.slice().buffer;
  delete certificate.tbsCertificateRaw;
  return new Uint8Array(AsnConvert.serialize(certificate));
}

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
  const before = ['CERTIFICATE-DER', 'CERTIFICATE-AUTHORITY-KEY', 'CERTIFICATE-WITHIN-ISSUER', 'CERTIFICATE-PATH-LENGTH', 'CERTIFICATE-COMPONENT'];
  for (const name of CERTIFICATE_LINTS) assert.ok(before.includes(name) || tried.has(name), `${name} is tested, here or below a root`);
  assert.deepEqual(lintCertificate(await changed(() => undefined), profileFor('ecdsa-p256')), []);
});

test('every lint rule bites below a root too', async () => {
  const root = await certify(profileFor('ecdsa-p256'));
  const profile = profileFor('ecdsa-p256', { ...WITHIN, order: { kind: 'subordinate', request: await request('ecdsa-p384'), issuer: root.der } });
  const { der } = await certify(profile);
  const judge = (change: (certificate: Certificate) => void): string[] => {
    const certificate = AsnConvert.parse(der, Certificate);
    change(certificate);
    delete certificate.tbsCertificateRaw;
    return rules(lintCertificate(new Uint8Array(AsnConvert.serialize(certificate)), profile));
  };
  assert.deepEqual(judge(() => undefined), []);
  const authority = (c: Certificate): Extension => c.tbsCertificate.extensions!.find((one) => one.extnID === '2.5.29.35')!;
  assert.deepEqual(judge((c) => { authority(c).extnValue.buffer = buffer(`30168014${'00'.repeat(20)}`); }), ['CERTIFICATE-AUTHORITY-KEY']);
  assert.deepEqual(judge((c) => { authority(c).critical = true; }), ['CERTIFICATE-AUTHORITY-KEY']);
  assert.deepEqual(judge((c) => { c.tbsCertificate.extensions!.pop(); }), ['CERTIFICATE-EXTENSIONS', 'CERTIFICATE-AUTHORITY-KEY']);
  assert.deepEqual(judge((c) => { c.tbsCertificate.issuer.pop(); }), ['CERTIFICATE-ISSUER']);
  assert.deepEqual(judge((c) => { c.tbsCertificate.subject.pop(); }), ['CERTIFICATE-SUBJECT']);
  assert.deepEqual(judge((c) => { c.tbsCertificate.signature.algorithm = '1.2.840.10045.4.3.3'; c.signatureAlgorithm.algorithm = '1.2.840.10045.4.3.3'; }), ['CERTIFICATE-ALGORITHM']);
  assert.ok(rules(lintCertificate(der, { ...profile, order: { kind: 'root', subject: SUBJECT } })).includes('CERTIFICATE-EXTENSIONS'), 'not a root');
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
      valid = await verifyIssued(bytes, profile.issuerKey);
    } catch (error) {
      assert.ok(error instanceof Refused, `byte ${at}: ${String(error)}`);
    }
    assert.ok(!valid, `byte ${at}`);
  }
  for (const length of [0, 1, 4, 100, der.length - 1]) assert.deepEqual(lintCertificate(der.subarray(0, length)).map((f) => f.rule), ['CERTIFICATE-DER']);
  assert.deepEqual(lintCertificate(Uint8Array.of(...der, 0), profile).map((f) => f.rule), ['CERTIFICATE-DER']);
  assert.throws(() => tbsOf(fromHex('3000')), rule('CERTIFICATE-DER'));
});

test('certificates of others: read, verified, and seen not to be ours', async () => {
  for (const set of ['44', '65', '87'] as const) {
    const der = derOf(vectorFile(`mldsa-x509/ML-DSA-${set}.crt`), 'certificate');
    const { key } = readCertificate(der);
    assert.equal(key.label, caAlgorithmNamed(`ml-dsa-${set}`).label);
    assert.equal(await verifyIssued(der, key.spki), true);
    assert.ok(lintCertificate(der).some((finding) => finding.rule === 'CERTIFICATE-SUBJECT'));
  }
});

test('property: damaged certificates, and orders made of damaged files, are refused by name', async () => {
  const root = await certify(profileFor('ecdsa-p256'));
  const csr = await request('MLDSA44-Ed25519-SHA512');
  const other = await certify(profileFor('ml-dsa-44', {}, { commonName: 'Another Root' }));
  const damage = fc.tuple(fc.constantFrom(root.der, csr, other.der), fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(255)), { minLength: 1, maxLength: 4 }), fc.boolean());
  fc.assert(fc.property(damage, ([file, changes, cut]) => {
    let bytes = file.slice();
    for (const [at, value] of changes) bytes[Math.min(bytes.length - 1, Math.floor(at * 400))] = value;
    if (cut) bytes = bytes.subarray(0, Math.floor(changes[0]![0] * bytes.length));
    for (const finding of lintCertificate(bytes)) assert.match(finding.rule, /^[A-Z-]+$/);
    for (const order of [{ kind: 'subordinate', request: bytes, issuer: root.der }, { kind: 'cross', certificate: bytes, issuer: root.der }, { kind: 'subordinate', request: csr, issuer: bytes }] as const) {
      const profile = profileFor('ecdsa-p256', { ...WITHIN, order });
      for (const finding of [...profileFaults(profile), ...lintCertificate(root.der, profile)]) assert.match(finding.rule, /^[A-Z-]+$/);
    }
  }), { seed: SEED, numRuns: 300 });
  await fc.assert(fc.asyncProperty(damage, async ([file, changes]) => {
    const bytes = file.slice();
    for (const [at, value] of changes) bytes[Math.min(bytes.length - 1, Math.floor(at * 400))] = value;
    const order = file === csr ? { kind: 'subordinate', request: bytes, issuer: root.der } as const : { kind: 'cross', certificate: bytes, issuer: root.der } as const;
    try {
      await throwawayLint(profileFor('ecdsa-p256', { ...WITHIN, order }), caKey('ecdsa-p256'));
    } catch (error) {
      assert.ok(error instanceof Refused, String(error));
    }
  }), { seed: SEED, numRuns: 150 });
});
