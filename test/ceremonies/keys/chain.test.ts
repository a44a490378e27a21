import 'reflect-metadata';
import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import test, { before } from 'node:test';
import * as x509 from '@peculiar/x509';
import fc from 'fast-check';
import { certificateFindings, certificateSignatureFindings, checkChain, readCertificate, type CertificateReading } from '../../../ceremonies/keys/chain.ts';
import { derParts, readDer, readOid, TAG, writeBitString, writeDer, writeIdentifier, writeOid } from '../../../ceremonies/keys/der.ts';
import { readRequest, requestFindings } from '../../../ceremonies/keys/request.ts';
import { nameText, readPem } from '../../../ceremonies/keys/signed.ts';
import { readSubjectKey, signatureFindings } from '../../../ceremonies/keys/subject-key.ts';
import { compositeNamed } from '../../../ceremonies/keys/algorithms.ts';
import { readCompositePrivateKey, signComposite, softwareSigners } from '../../../ceremonies/keys/composite.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { flipped } from './key-pairs.ts';
import { SEED } from './seed.ts';
import { base64, kemVectors, pemFile, signatureVectors, vectorFile } from './vectors.ts';

const refused = (rule: RegExp) => (error: unknown): boolean => error instanceof Refused && rule.test(error.refusal.rule);
const rules = (findings: readonly { rule: string }[]): string[] => findings.map((one) => one.rule);
const pemCertificate = (path: string): CertificateReading => readCertificate(readPem(vectorFile(path), ['CERTIFICATE'])[0]!.der);

test('RFC 9881 and RFC 9909 certificates verify; a changed bit does not', async () => {
  for (const file of ['mldsa-x509/ML-DSA-44.crt', 'mldsa-x509/ML-DSA-65.crt', 'mldsa-x509/ML-DSA-87.crt', 'slhdsa-x509/id-slh-dsa-sha2-128s.pem']) {
    const certificate = pemCertificate(file);
    assert.deepEqual(await certificateSignatureFindings(certificate, certificate.key), [], file);
    const spoiled = { ...certificate, signature: flipped(certificate.signature, 99) };
    assert.deepEqual(rules(await certificateSignatureFindings(spoiled, certificate.key)), ['SIGNATURE-VERIFIES'], file);
  }
});

test('RFC 9935: ML-KEM certificates issued by the ML-DSA examples', async () => {
  for (const [kem, dsa] of [['512', '44'], ['768', '65'], ['1024', '87']]) {
    const [leaf, issuer] = [pemCertificate(`mlkem-x509/ML-KEM-${kem ?? ''}.crt`), pemCertificate(`mldsa-x509/ML-DSA-${dsa ?? ''}.crt`)];
    assert.deepEqual(await certificateSignatureFindings(leaf, issuer.key), []);
    assert.deepEqual(leaf.keyUsage, ['keyEncipherment']);
    assert.deepEqual(rules(await signatureFindings(leaf.key, null, leaf.tbs, leaf.signature)), ['SIGNATURE-ALGORITHM'], 'a KEM key signs nothing');
  }
});

test('the official composite certificates, self-signed and issued', async () => {
  for (const one of signatureVectors().tests) {
    const certificate = readCertificate(base64(one.x5c));
    const verdict = await checkChain([certificate]);
    assert.deepEqual(rules(verdict.findings.flat()), [], one.tcId);
    assert.equal(nameText(certificate.subject), `O=IETF, OU=LAMPS, CN=${one.tcId}`);
  }
  const { cacert, tests } = kemVectors();
  for (const one of tests) {
    const verdict = await checkChain([readCertificate(base64(one.x5c)), readCertificate(cacert)]);
    // Nine of the drafts' certificates end one second after their CA: found by the check, and true.
    assert.deepEqual(rules(verdict.findings.flat()).filter((rule) => rule !== 'CHAIN-DATES'), [], one.tcId);
    assert.equal(verdict.path.length, 2);
  }
});

test('NULL parameters where absent is required', async () => {
  const pub = readSubjectKey(pemFile('mldsa-x509/ML-DSA-44.pub'));
  const withNull = writeDer(TAG.sequence, writeIdentifier(pub.oid, Uint8Array.of(5, 0)), writeBitString(pub.raw));
  assert.throws(() => readSubjectKey(withNull), refused(/^KEY-PARAMETERS$/));
  const certificate = pemCertificate('mldsa-x509/ML-DSA-44.crt');
  const found = await signatureFindings(pub, { oid: pub.oid, parameters: Uint8Array.of(5, 0) }, certificate.tbs, certificate.signature);
  assert.deepEqual(rules(found), ['SIGNATURE-PARAMETERS']);
});

test('a composite signature over a request, and a half that does not match', async () => {
  const vector = signatureVectors().tests.find((one) => one.tcId === 'id-MLDSA65-ECDSA-P256-SHA512')!;
  const row = compositeNamed(vector.tcId);
  const spki = writeDer(TAG.sequence, writeIdentifier(row.oid, null), writeBitString(base64(vector.pk)));
  const info = writeDer(TAG.sequence, Uint8Array.of(2, 1, 0), writeDer(TAG.sequence), spki, writeDer(0xa0));
  const signature = await signComposite(row, softwareSigners(readCompositePrivateKey(row, base64(vector.sk)), new Uint8Array(32)), info);
  const request = (bytes: Uint8Array): ReturnType<typeof readRequest> => readRequest(writeDer(TAG.sequence, info, writeIdentifier(row.oid, null), writeBitString(bytes)));
  assert.deepEqual(await requestFindings(request(signature)), []);
  assert.deepEqual(rules(await requestFindings(request(flipped(signature, 5)))), ['COMPOSITE-ML-DSA-HALF']);
  assert.deepEqual(rules(await requestFindings(request(flipped(signature, signature.length - 1)))), ['COMPOSITE-TRADITIONAL-HALF']);
});

// --- chains made here by @peculiar/x509 and Node's WebCrypto ---------------------------------------------------------------

const crypto = webcrypto as unknown as Crypto;
const DAY = 86_400_000;
const START = Date.UTC(2026, 0, 1);
interface Made { readonly der: Uint8Array; readonly keys: CryptoKeyPair; readonly name: string }
interface Wanted { readonly ca?: boolean; readonly path?: number; readonly usage?: x509.KeyUsageFlags; readonly days?: readonly [number, number]; readonly authority?: string; readonly algorithm?: object }
const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

async function make(name: string, issuer: Made | null, wanted: Wanted = {}): Promise<Made> {
  const algorithm = (wanted.algorithm ?? EC) as EcKeyGenParams;
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const [from, to] = wanted.days ?? [0, 100];
  const signer = issuer?.keys ?? keys;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: '0102030405060708', subject: `CN=${name}`, issuer: `CN=${issuer?.name ?? name}`, notBefore: new Date(START + from * DAY), notAfter: new Date(START + to * DAY),
    publicKey: keys.publicKey, signingKey: signer.privateKey, signingAlgorithm: { ...signer.privateKey.algorithm, hash: 'SHA-256', saltLength: 32 } as unknown as EcdsaParams,
    extensions: [
      new x509.BasicConstraintsExtension(wanted.ca ?? true, wanted.path, true),
      new x509.KeyUsagesExtension(wanted.usage ?? x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, crypto),
      wanted.authority === undefined ? await x509.AuthorityKeyIdentifierExtension.create(signer.publicKey, false, crypto) : new x509.AuthorityKeyIdentifierExtension(wanted.authority),
    ],
  }, crypto);
  return { der: new Uint8Array(certificate.rawData), keys, name };
}

const LEAF: Wanted = { ca: false, usage: x509.KeyUsageFlags.digitalSignature };
let root: Made;
let middle: Made;
before(async () => {
  root = await make('root', null, { path: 1 });
  middle = await make('middle', root, { path: 0, days: [1, 90], algorithm: { name: 'RSA-PSS', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' } });
});
const judge = async (...made: readonly Made[]): Promise<string[]> => rules((await checkChain(made.map((one) => readCertificate(one.der)), new Date(START + 50 * DAY))).findings.flat());

test('a good chain verifies in any order, RSA-PSS and ECDSA', async () => {
  const leaf = await make('leaf', middle, { ...LEAF, days: [2, 80] });
  assert.deepEqual(await judge(leaf, middle, root), []);
  assert.deepEqual(await judge(root, leaf, middle), []);
  assert.deepEqual(await judge(root), []);
});

test('every broken link by its name', async () => {
  assert.deepEqual(await judge(await make('leaf', middle, LEAF), middle, root), ['CHAIN-DATES']);
  assert.deepEqual(await judge(await make('leaf', middle, { ...LEAF, days: [2, 80], authority: '00ff' }), middle, root), ['CHAIN-KEY-ID']);
  assert.deepEqual(await judge(await make('leaf', middle, { ...LEAF, days: [2, 40] }), middle, root), ['CERTIFICATE-DATES']);
  assert.deepEqual(await judge(await make('leaf', middle, { ...LEAF, days: [2, 80] }), middle), ['CHAIN-ROOT']);
  const low = await make('low', middle, { days: [3, 70] });
  assert.deepEqual(await judge(await make('leaf', low, { ...LEAF, days: [4, 60] }), low, middle, root), ['CHAIN-PATH-LENGTH', 'CHAIN-PATH-LENGTH']);
  const powerless = await make('powerless', root, { ...LEAF, days: [1, 90] });
  assert.deepEqual(await judge(await make('leaf', powerless, { ...LEAF, days: [2, 80] }), powerless, root), ['CHAIN-CA', 'CHAIN-KEY-USAGE']);
  const impostor = await make('middle', root, { days: [1, 90] });
  assert.deepEqual(await judge(await make('leaf', { ...middle, keys: impostor.keys }, { ...LEAF, days: [2, 80], authority: (readCertificate(middle.der).subjectKeyId ?? '') }), middle, root), ['SIGNATURE-ALGORITHM']);
  await assert.rejects(judge(root, await make('other', null), await make('leaf', middle, LEAF), await make('leaf2', middle, LEAF)), refused(/^CHAIN-LEAF$/));
});

test('signing keys with encipherment usage are told', () => {
  const certificate = pemCertificate('mldsa-x509/ML-DSA-44.crt');
  assert.ok(rules(certificateFindings({ ...certificate, keyUsage: ['digitalSignature', 'keyEncipherment'] })).includes('CERTIFICATE-KEY-USAGE'));
});

test('requests of WebCrypto verify, damaged ones do not', async () => {
  const request = await x509.Pkcs10CertificateRequestGenerator.create({ name: 'CN=who', keys: middle.keys, signingAlgorithm: { name: 'RSA-PSS', hash: 'SHA-256', saltLength: 32 } as unknown as EcdsaParams }, crypto);
  const der = new Uint8Array(request.rawData);
  assert.deepEqual(await requestFindings(readRequest(der)), []);
  assert.deepEqual(rules(await requestFindings(readRequest(flipped(der, der.length - 3)))), ['SIGNATURE-VERIFIES']);
});

test('too many certificates are refused before anything is compared', async () => {
  const one = readCertificate(root.der);
  await assert.rejects(checkChain(Array.from({ length: 65 }, () => one)), refused(/^CHAIN-LENGTH$/));
  assert.match(nameText(new Uint8Array(100_000).fill(0x30)), /^\(name of 100000 bytes\)$/);
});

test('names are shown without what could deceive', () => {
  const name = writeDer(TAG.sequence, writeDer(TAG.set, writeDer(TAG.sequence, writeOid('2.5.4.3'), writeDer(0x0c, new TextEncoder().encode('a\u202Eb\u001B[2J')))));
  assert.match(nameText(name), /^CN=[\x20-\x7e]*$/);
});

test('property: damaged certificates and hostile lengths are refused by name, quickly', async () => {
  const files = [root.der, middle.der, pemCertificate('mldsa-x509/ML-DSA-44.crt').der, base64(signatureVectors().tests.find((one) => one.tcId === 'id-MLDSA44-ECDSA-P256-SHA256')!.x5c)];
  await fc.assert(fc.asyncProperty(fc.constantFrom(...files), fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 6 }), fc.boolean(), async (file, at, bytes, cut) => {
    let spoiled = file.slice();
    spoiled.set(bytes.subarray(0, file.length - (at % file.length)), at % Math.min(file.length, 700));
    if (cut) spoiled = spoiled.slice(0, at % file.length);
    try {
      const certificate = readCertificate(spoiled);
      nameText(certificate.subject);
      await checkChain([certificate]);
    } catch (error) {
      assert.ok(error instanceof Refused, String(error));
    }
  }), { seed: SEED, numRuns: 150 });
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
    for (const read of [readCertificate, readRequest, readSubjectKey, (one: Uint8Array) => readPem(one, ['X'])]) {
      try { read(bytes); } catch (error) { assert.ok(error instanceof Refused, String(error)); }
    }
  }), { seed: SEED, numRuns: 300 });
});

test('DER: depth, lengths and identifiers', () => {
  const deep = new Uint8Array(200_000).fill(0x30);
  assert.throws(() => readCertificate(deep), refused(/^DER-STRUCTURE$/));
  for (const hex of ['30', '3080', '308100', '30850000000000', '3084ffffffff', '30820001', '1f8101', '300000']) {
    assert.throws(() => readDer(Uint8Array.from(Buffer.from(hex, 'hex')), 'test'), refused(/^DER-STRUCTURE$/), hex);
  }
  fc.assert(fc.property(fc.tuple(fc.nat(2), fc.nat(39), fc.array(fc.nat(), { maxLength: 6 })), ([first, second, rest]) => {
    const oid = [first, second, ...rest].join('.');
    assert.equal(readOid(readDer(writeOid(oid), 'test'), 'test'), oid);
  }), { seed: SEED });
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), (contents) => {
    const parts = contents.map((content) => writeDer(TAG.octetString, content));
    assert.deepEqual(derParts(readDer(writeDer(TAG.sequence, ...parts), 'test'), 'test').map((part) => part.content), contents.map((content) => Uint8Array.from(content)));
  }), { seed: SEED });
});
