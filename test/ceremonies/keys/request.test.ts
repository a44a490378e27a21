import 'reflect-metadata';
import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import test from 'node:test';
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509';
import fc from 'fast-check';
import { fromHex, utf8 } from '../../../ceremonies/bytes.ts';
import { readCertificate } from '../../../ceremonies/keys/chain.ts';
import { derParts, TAG, writeBitString, writeDer, writeIdentifier, writeOid } from '../../../ceremonies/keys/der.ts';
import { checkRequest, checkStatedRequest, makeRequest, makeStatedRequest, readRequest, requestFindings, statementFindings, statementPathFindings } from '../../../ceremonies/keys/request.ts';
import { derOf, nameText, readSigned } from '../../../ceremonies/keys/signed.ts';
import { issueCertificate, throwawayLint, type CertificateProfile } from '../../../ceremonies/keys/x509.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { caKey, kemSpki, type CaKey } from './ca-keys.ts';
import { flipped } from './key-pairs.ts';
import { SEED } from './seed.ts';
import { pemFile } from './vectors.ts';

const rules = (findings: readonly { rule: string }[]): string[] => findings.map((one) => one.rule);
const rule = (name: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === name;
const SUBJECT = { commonName: 'Issuing CA', organization: 'Example', country: 'XX' };
const key = caKey('ecdsa-p256');

/** A request with any subject and key, signed by `key`, whose it is not. */
async function forged(subject: Uint8Array, spki: Uint8Array = key.spki, attributes: Uint8Array = new Uint8Array(), oid = '1.3.101.112'): Promise<Uint8Array> {
  const signer = caKey('ed25519');
  const info = writeDer(TAG.sequence, Uint8Array.of(2, 1, 0), subject, spki === key.spki ? signer.spki : spki, writeDer(0xa0, attributes));
  return writeDer(TAG.sequence, info, writeIdentifier(oid, null), writeBitString(await signer.sign(info)));
}
const attribute = (oid: string, tag: number, text: Uint8Array): Uint8Array => writeDer(TAG.set, writeDer(TAG.sequence, writeOid(oid), writeDer(tag, text)));
const name = (...attributes: readonly Uint8Array[]): Uint8Array => writeDer(TAG.sequence, ...attributes);
const CN = '2.5.4.3';

test('a request of each family is made, read and proven', async () => {
  for (const algorithm of ['ecdsa-p384', 'ed25519', 'ml-dsa-65', 'slh-dsa-sha2-128f', 'hss-lms', 'xmss-sha2-10-192', 'xmssmt-sha2-20-2-256', 'MLDSA65-ECDSA-P256-SHA512']) {
    const pair = caKey(algorithm);
    const { der, pem } = await makeRequest(SUBJECT, algorithm, pair.spki, pair.sign);
    assert.match(pem, /^-----BEGIN CERTIFICATE REQUEST-----\n/);
    assert.deepEqual(derOf(utf8(pem), 'request'), der);
    const request = readRequest(der);
    assert.equal(nameText(request.subject), 'C=XX, O=Example, CN=Issuing CA');
    assert.deepEqual(request.spki, pair.spki);
    assert.deepEqual([request.findings, request.attributes], [[], []]);
    assert.deepEqual(await checkRequest(der), [], algorithm);
    assert.equal((await checkRequest(flipped(der, der.length - 1))).length > 0, true, algorithm);
  }
});

test('what the requester does not hold, or what is no name, is not asked for', async () => {
  const other = caKey('ecdsa-p256');
  await assert.rejects(makeRequest(SUBJECT, 'ecdsa-p256', key.spki, other.sign), rule('SIGNATURE-VERIFIES'));
  await assert.rejects(makeRequest({ commonName: 'a\u202eb' }, 'ecdsa-p256', key.spki, key.sign), rule('TEXT-PRINTABLE'));
  await assert.rejects(makeRequest(SUBJECT, 'ecdsa-p384', key.spki, key.sign), rule('CERTIFICATE-KEY'));
  await assert.rejects(makeRequest(SUBJECT, 'ecdsa-p256', key.spki, () => Promise.resolve(new Uint8Array(63))), rule('SIGNATURE-LENGTH'));
});

test('names that cannot go into a certificate', async () => {
  const good = attribute(CN, 0x0c, utf8('Issuing CA'));
  const table: readonly (readonly [string, Uint8Array, string])[] = [
    ['no attribute', name(), 'REQUEST-SUBJECT'],
    ['thirteen', name(...Array.from({ length: 13 }, () => good)), 'REQUEST-SUBJECT'],
    ['two in one place', name(writeDer(TAG.set, good.slice(2), good.slice(2))), 'REQUEST-SUBJECT'],
    ['an e-mail address', name(good, attribute('1.2.840.113549.1.9.1', 0x16, utf8('a@example'))), 'REQUEST-SUBJECT'],
    ['TeletexString', name(attribute(CN, 0x14, utf8('Root'))), 'REQUEST-SUBJECT'],
    ['BMPString', name(attribute(CN, 0x1e, utf8('Root'))), 'REQUEST-SUBJECT'],
    ['nothing in it', name(attribute(CN, 0x0c, utf8(''))), 'REQUEST-SUBJECT'],
    ['a blank at the end', name(attribute(CN, 0x13, utf8('Root '))), 'REQUEST-SUBJECT'],
    ['a letter that PrintableString lacks', name(attribute(CN, 0x13, utf8('Ünï'))), 'REQUEST-SUBJECT'],
    ['a direction override', name(attribute(CN, 0x0c, utf8('a\u202eb'))), 'TEXT-PRINTABLE'],
    ['no UTF-8', name(attribute(CN, 0x0c, Uint8Array.of(0xff))), 'TEXT-WELL-FORMED'],
    ['65 characters', name(attribute(CN, 0x0c, utf8('x'.repeat(65)))), 'TEXT-LENGTH'],
    ['a nested value', name(attribute(CN, 0x30, writeDer(TAG.sequence))), 'REQUEST-SUBJECT'],
    ['another structure', name(writeDer(TAG.sequence)), 'DER-STRUCTURE'],
  ];
  for (const [what, subject, wanted] of table) {
    const der = await forged(subject);
    assert.deepEqual(rules(await checkRequest(der)), [wanted], what);
    assert.deepEqual(await requestFindings(readRequest(der)), [], `${what}: the key is proven all the same`);
  }
  assert.deepEqual(await checkRequest(await forged(name(good, attribute('2.5.4.7', 0x13, utf8('Town')), attribute('0.9.2342.19200300.100.1.25', 0x16, utf8('example'))))), []);
});

test('a key that encapsulates or agrees is refused by name, with what to do', async () => {
  const subject = name(attribute(CN, 0x0c, utf8('KEM')));
  for (const [label, spki] of [['ML-KEM-768', pemFile('mlkem-x509/ML-KEM-768.pub')], ['X25519', writeDer(TAG.sequence, writeIdentifier('1.3.101.110', null), writeBitString(new Uint8Array(32).fill(9)))]] as const) {
    const der = await forged(subject, spki);
    const findings = await checkRequest(der);
    const finding = findings.find((one) => one.rule === 'REQUEST-KEM-KEY') ?? assert.fail(label);
    assert.match(finding.found, new RegExp(label));
    assert.match(finding.next, /RFC 9883/);
    assert.ok(rules(await requestFindings(readRequest(der))).includes('REQUEST-STATEMENT'), 'nor without a statement');
  }
});

test('a weak key and a wrong identifier', async () => {
  const subject = name(attribute(CN, 0x0c, utf8('Weak')));
  const published = pemFile('mldsa-x509/ML-DSA-44.pub');
  assert.deepEqual(rules(await checkRequest(await forged(subject, published))), ['WEAK-PUBLISHED-KEY', 'SIGNATURE-ALGORITHM']);
  assert.deepEqual(rules(await checkRequest(await forged(subject, key.spki, undefined, '1.3.101.113'))), ['SIGNATURE-ALGORITHM']);
});

test('requests of other software: attributes are listed, and not heeded', async () => {
  const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']) as CryptoKeyPair;
  const { ChallengePasswordAttribute, ExtensionsAttribute, BasicConstraintsExtension } = await import('@peculiar/x509');
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: 'CN=Other, ST=State', keys, signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    attributes: [new ChallengePasswordAttribute('x'), new ExtensionsAttribute([new BasicConstraintsExtension(true, 9, true)])],
  }, webcrypto as unknown as Crypto);
  const der = new Uint8Array(request.rawData);
  assert.deepEqual(readRequest(der).attributes, ['1.2.840.113549.1.9.7', '1.2.840.113549.1.9.14']);
  assert.deepEqual(await checkRequest(der), []);
});

// --- keys that cannot sign -------------------------------------------------------------------------------------------------

const STATEMENT = '1.3.6.1.4.1.22112.2.1';
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';
const HOLDER = { commonName: 'Holder' };
let serial = 0x4f1b0a6c8d2e3f40n;

async function certified(issuer: CaKey, order: CertificateProfile['order']): Promise<Uint8Array> {
  const linted = await throwawayLint({
    serialNumber: fromHex((serial++).toString(16)), notBefore: new Date(Date.UTC(2026, 0, order.kind === 'root' ? 1 : 2)), notAfter: new Date(Date.UTC(2028, 0, order.kind === 'root' ? 2 : 1)),
    pathLength: null, algorithm: issuer.algorithm, issuerKey: issuer.spki, order,
  }, caKey(issuer.algorithm));
  return (await issueCertificate(linted, issuer.sign)).der;
}
const ca = caKey('ecdsa-p384');
const caCertificate = await certified(ca, { kind: 'root', subject: { commonName: 'CA' } });
async function holder(algorithm: string, subject = HOLDER): Promise<CaKey & { readonly certificate: Uint8Array }> {
  const own = caKey(algorithm);
  const request = (await makeRequest(subject, algorithm, own.spki, own.sign)).der;
  return { ...own, certificate: await certified(ca, { kind: 'end-entity', request, issuer: caCertificate }) };
}
const alice = await holder('ed25519');

/** A stated request of any parts, signed by `signer` in its raw form. */
interface Parts { readonly subject?: Uint8Array; readonly spki?: Uint8Array; readonly attributes: readonly Uint8Array[]; readonly signer?: CaKey; readonly oid?: string }
async function stated({ subject = readCertificate(alice.certificate).subject, spki = kemSpki('ML-KEM-768'), attributes, signer = alice, oid = '1.3.101.112' }: Parts): Promise<Uint8Array> {
  const info = writeDer(TAG.sequence, Uint8Array.of(2, 1, 0), subject, spki, writeDer(0xa0, ...attributes));
  return writeDer(TAG.sequence, info, writeIdentifier(oid, null), writeBitString(await signer.sign(info)));
}
const attributeOf = (...values: readonly Uint8Array[]): Uint8Array => writeDer(TAG.sequence, writeOid(STATEMENT), writeDer(TAG.set, ...values));
const signerOf = (certificate: Uint8Array): Uint8Array => {
  const { issuer, serial: number } = readCertificate(certificate);
  return writeDer(TAG.sequence, issuer, writeDer(TAG.integer, fromHex(number)));
};
const statementOf = (certificate: Uint8Array): Uint8Array => writeDer(TAG.sequence, signerOf(certificate), certificate);

test('a key that cannot sign: made, read and judged on the statement of a signing key of each family', async () => {
  for (const [algorithm, spki] of [
    ['ecdsa-p256', kemSpki('ML-KEM-768')], ['ml-dsa-44', kemSpki('MLKEM768-X25519-SHA3-256')], ['MLDSA44-Ed25519-SHA512', kemSpki('X25519')],
    ['rsa-3072', kemSpki('ML-KEM-768')], ['slh-dsa-sha2-128f', kemSpki('ML-KEM-768')],
  ] as const) {
    const { certificate, sign } = await holder(algorithm);
    const { der, pem } = await makeStatedRequest(spki, certificate, sign);
    assert.deepEqual(derOf(utf8(pem), 'stated-request'), der);
    const request = readRequest(der);
    assert.deepEqual(request.spki, spki);
    assert.deepEqual([request.attributes, request.findings, nameText(request.subject)], [[STATEMENT], [], 'CN=Holder']);
    assert.deepEqual(request.statement?.certificate?.der, certificate);
    assert.deepEqual(await checkStatedRequest(der), [], algorithm);
    assert.deepEqual(await requestFindings(request, new Date('2027-01-01')), []);
    assert.deepEqual(await statementPathFindings(request, readCertificate(caCertificate)), []);
    assert.ok(rules(await checkRequest(der)).includes('REQUEST-KEM-KEY'), 'never for a CA');
    assert.notDeepEqual(await checkStatedRequest(flipped(der, der.length - 1)), [], algorithm);
  }
});

test('what may be wrong with a statement, each by its name', async () => {
  const bob = await holder('ed25519', { commonName: 'Bob' });
  const own = statementOf(alice.certificate);
  const sub = caKey('ed25519');
  const subordinate = await certified(ca, { kind: 'subordinate', request: (await makeRequest(HOLDER, 'ed25519', sub.spki, sub.sign)).der, issuer: caCertificate });
  const kem = await certified(ca, { kind: 'end-entity', request: (await makeStatedRequest(kemSpki('ML-KEM-768'), alice.certificate, alice.sign)).der, issuer: caCertificate });
  const spoiled = kemSpki('ML-KEM-768').fill(0xff, -200, -100);
  const table: readonly (readonly [string, Parts, readonly string[]])[] = [
    ['nothing is wrong', { attributes: [attributeOf(own)] }, []],
    ['another attribute beside it', { attributes: [writeDer(TAG.sequence, writeOid(EXTENSION_REQUEST), writeDer(TAG.set, writeDer(TAG.sequence))), attributeOf(own)] }, []],
    ['no statement', { attributes: [] }, ['REQUEST-STATEMENT']],
    ['two statements', { attributes: [attributeOf(own), attributeOf(own)] }, ['DER-STRUCTURE']],
    ['two values', { attributes: [attributeOf(own, own)] }, ['DER-STRUCTURE']],
    ['no value', { attributes: [attributeOf()] }, ['DER-STRUCTURE']],
    ['a third field', { attributes: [attributeOf(writeDer(TAG.sequence, signerOf(alice.certificate), alice.certificate, Uint8Array.of(5, 0)))] }, ['DER-STRUCTURE']],
    ['no serial number', { attributes: [attributeOf(writeDer(TAG.sequence, writeDer(TAG.sequence, readCertificate(alice.certificate).issuer), alice.certificate))] }, ['DER-STRUCTURE']],
    ['a certificate that is none', { attributes: [attributeOf(writeDer(TAG.sequence, signerOf(alice.certificate), Uint8Array.of(5, 0)))] }, ['DER-STRUCTURE']],
    ['no certificate', { attributes: [attributeOf(writeDer(TAG.sequence, signerOf(alice.certificate)))] }, ['REQUEST-STATEMENT-CERTIFICATE']],
    ['another certificate than it names', { attributes: [attributeOf(writeDer(TAG.sequence, signerOf(bob.certificate), alice.certificate))] }, ['REQUEST-STATEMENT-SIGNER']],
    ['somebody else\'s certificate', { attributes: [attributeOf(statementOf(bob.certificate))] }, ['REQUEST-STATEMENT-SUBJECT', 'SIGNATURE-VERIFIES']],
    ['in somebody else\'s name', { subject: readCertificate(bob.certificate).subject, attributes: [attributeOf(own)] }, ['REQUEST-STATEMENT-SUBJECT']],
    ['the same name in another string type', { subject: name(attribute(CN, 0x13, utf8('Holder'))), attributes: [attributeOf(own)] }, ['REQUEST-STATEMENT-SUBJECT']],
    ['signed by another key', { attributes: [attributeOf(own)], signer: bob }, ['SIGNATURE-VERIFIES']],
    ['under another algorithm\'s name', { attributes: [attributeOf(own)], oid: '1.3.101.113' }, ['SIGNATURE-ALGORITHM']],
    ['a certificate for certificates and CRLs alone', { attributes: [attributeOf(statementOf(subordinate))], signer: sub }, ['REQUEST-STATEMENT-USAGE']],
    ['a certificate whose key cannot sign', { attributes: [attributeOf(statementOf(kem))] }, ['REQUEST-STATEMENT-USAGE', 'SIGNATURE-ALGORITHM']],
    ['coefficients above the modulus', { spki: spoiled, attributes: [attributeOf(own)] }, ['KEM-MODULUS']],
    ['a key that everybody has', { spki: pemFile('mlkem-x509/ML-KEM-768.pub'), attributes: [attributeOf(own)] }, ['WEAK-PUBLISHED-KEY']],
    ['a key that can sign', { spki: alice.spki, attributes: [attributeOf(own)] }, ['REQUEST-STATED-KEY']],
  ];
  for (const [what, parts, wanted] of table) assert.deepEqual(rules(await checkStatedRequest(await stated(parts))), wanted, what);
  const request = readRequest(await stated({ attributes: [attributeOf(own)] }));
  assert.deepEqual(rules(statementFindings(request, new Date('2029-01-01'))), ['CERTIFICATE-DATES'], 'a signing certificate that has ended');
  const [strange, lookalike] = [caKey('ecdsa-p384'), caKey('ecdsa-p384')];
  for (const [what, key_, subject] of [['another CA', strange, 'Another'], ['another key in the CA\'s name', lookalike, 'CA']] as const) {
    const other = readCertificate(await certified(key_, { kind: 'root', subject: { commonName: subject } }));
    assert.deepEqual(rules(await statementPathFindings(request, other)), ['REQUEST-STATEMENT-PATH'], what);
  }
});

test('a statement is not heeded where the key signs for itself, whatever is in it', async () => {
  const der = await stated({ spki: alice.spki, attributes: [attributeOf(Uint8Array.of(5, 0))] });
  assert.equal(readRequest(der).statement, null);
  assert.deepEqual(await checkRequest(der), []);
});

test('the statement of RFC 9883\'s example is read; its key is of no algorithm here', async () => {
  const der = pemFile('statement-of-possession/request.csr');
  assert.deepEqual(rules(await checkStatedRequest(der)), ['KEY-ALGORITHM']);
  const { body } = readSigned(der, 'request');
  const attributes = derParts(body[3]!, 'attributes').map((one) => one.bytes);
  // The same statement for a key of ours: everything that it says is in order, and only the signature is another's.
  const ours = await stated({ subject: body[1]!.bytes, attributes });
  const { statement } = readRequest(ours);
  assert.equal(statement?.serial, BigInt('727642999395973550353183637270955000389184235641').toString(16));
  assert.equal(nameText(statement.issuer), 'C=US, O=Example CA, CN=ca.example');
  assert.deepEqual(rules(await checkStatedRequest(ours)), ['SIGNATURE-ALGORITHM']);
  assert.deepEqual(rules(statementFindings(readRequest(ours), new Date('2025-06-01'))), []);
});

test('property: a statement with damage anywhere is refused by name', async () => {
  const { der } = await makeStatedRequest(kemSpki('X25519'), alice.certificate, alice.sign);
  await fc.assert(fc.asyncProperty(fc.nat(der.length - 1), fc.nat(7), fc.uint8Array({ maxLength: 4 }), fc.nat(6), async (at, bit, insert, remove) => {
    for (const bytes of [flipped(der, at, bit), Uint8Array.of(...der.subarray(0, at), ...insert, ...der.subarray(at + remove))]) {
      if (bytes.length === der.length && bytes.every((octet, i) => octet === der[i])) continue;
      const findings = await checkStatedRequest(bytes);
      assert.ok(findings.length > 0);
      for (const finding of findings) assert.match(finding.rule, /^[A-Z-]+$/);
    }
  }), { seed: SEED, numRuns: 300 });
});

test('property: damaged requests are refused by name', async () => {
  const pair = caKey('MLDSA44-Ed25519-SHA512');
  const { der } = await makeRequest(SUBJECT, pair.algorithm, pair.spki, pair.sign);
  await fc.assert(fc.asyncProperty(fc.nat(der.length - 1), fc.nat(7), fc.nat(der.length), async (at, bit, cut) => {
    for (const bytes of [flipped(der, at, bit), flipped(der, at % 200, bit), der.subarray(0, cut === der.length ? 0 : cut)]) {
      const findings = await checkRequest(bytes);
      assert.ok(findings.length > 0);
      for (const finding of findings) assert.match(finding.rule, /^[A-Z-]+$/);
    }
  }), { seed: SEED, numRuns: 150 });
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => { assert.ok((await checkRequest(bytes)).length > 0); }), { seed: SEED, numRuns: 200 });
});
