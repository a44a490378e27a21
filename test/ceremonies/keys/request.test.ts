import 'reflect-metadata';
import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import test from 'node:test';
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509';
import fc from 'fast-check';
import { utf8 } from '../../../ceremonies/bytes.ts';
import { TAG, writeBitString, writeDer, writeIdentifier, writeOid } from '../../../ceremonies/keys/der.ts';
import { checkRequest, makeRequest, readRequest, requestFindings } from '../../../ceremonies/keys/request.ts';
import { derOf, nameText } from '../../../ceremonies/keys/signed.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { caKey } from './ca-keys.ts';
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
    assert.equal(findings[0]?.rule, 'REQUEST-KEM-KEY');
    assert.match(findings[0].found, new RegExp(label));
    assert.match(findings[0].next, /RFC 9883/);
    assert.ok(rules(await requestFindings(readRequest(der))).includes('REQUEST-KEM-KEY'));
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
