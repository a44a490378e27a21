import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import test from 'node:test';
import fc from 'fast-check';
import { concat, equalBytes, toHex } from '../../../ceremonies/bytes.ts';
import { XMSS_TREES } from '../../../ceremonies/keys/algorithms.ts';
import { derParts, readDer, TAG, writeDer, writeIdentifier } from '../../../ceremonies/keys/der.ts';
import { readPrivateKey, seedFormOf, wrapTraditional } from '../../../ceremonies/keys/private-key.ts';
import { keyFindings, readSubjectKey } from '../../../ceremonies/keys/subject-key.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { SEED } from './seed.ts';
import { base64, kemVectors, pemFile, signatureVectors, vectorFile } from './vectors.ts';

const refused = (rule: RegExp) => (error: unknown): boolean => error instanceof Refused && rule.test(error.refusal.rule);
const der = (object: { export: (options: { type: 'pkcs8' | 'spki'; format: 'der' }) => Buffer }, type: 'pkcs8' | 'spki'): Uint8Array => new Uint8Array(object.export({ type, format: 'der' }));

for (const [folder, names] of [['mldsa-x509', ['ML-DSA-44', 'ML-DSA-65', 'ML-DSA-87']], ['mlkem-x509', ['ML-KEM-512', 'ML-KEM-768', 'ML-KEM-1024']]] as const) {
  test(`${folder}: seed, expanded and both give the RFC's public key; only the seed form is written`, async () => {
    for (const name of names) {
      const spki = pemFile(`${folder}/${name}.pub`);
      const seed = vectorFile(`${folder}/${name}-seed.priv.der`);
      for (const form of ['seed', 'expanded', 'both'] as const) {
        const file = vectorFile(`${folder}/${name}-${form}.priv.der`);
        const reading = await readPrivateKey(file);
        assert.equal(reading.form, form);
        assert.deepEqual(reading.publicKey.spki, spki, `${name} ${form}`);
        assert.deepEqual(keyFindings(reading.publicKey).map((one) => one.rule), ['WEAK-PUBLISHED-KEY']);
        if (form === 'expanded') await assert.rejects(seedFormOf(file), refused(/^PRIVATE-KEY-SEED$/));
        else assert.deepEqual(await seedFormOf(file), seed);
      }
    }
  });
}

test('the RFCs\' bad keys are refused by rule', async () => {
  const bad = {
    'mldsa-x509/bad-ML-DSA-44-1': 'PRIVATE-KEY-BOTH', 'mldsa-x509/bad-ML-DSA-44-2': 'PRIVATE-KEY-TR', 'mldsa-x509/bad-ML-DSA-44-3': 'PRIVATE-KEY-T0',
    'mlkem-x509/bad-ML-KEM-512-1': 'PRIVATE-KEY-BOTH', 'mlkem-x509/bad-ML-KEM-512-2': 'PRIVATE-KEY-SELF-TEST', 'mlkem-x509/bad-ML-KEM-512-3': 'PRIVATE-KEY-EK-HASH',
    'mlkem-x509/bad-ML-KEM-512-4': 'PRIVATE-KEY-BOTH',
  };
  for (const [file, rule] of Object.entries(bad)) await assert.rejects(readPrivateKey(vectorFile(`${file}.priv.der`)), refused(new RegExp(`^${rule}$`)), file);
});

test('SLH-DSA: RFC 9909\'s key; another root is refused', async () => {
  const file = vectorFile('slhdsa-x509/id-slh-dsa-sha2-128s.priv.der');
  assert.deepEqual((await readPrivateKey(file)).publicKey.spki, pemFile('slhdsa-x509/id-slh-dsa-sha2-128s.pub'));
  const other = file.slice();
  other[other.length - 1]! ^= 1;
  await assert.rejects(readPrivateKey(other), refused(/^PRIVATE-KEY-ROOT$/));
});

test('composite keys of both drafts', async () => {
  for (const one of signatureVectors().tests) {
    const reading = await readPrivateKey(base64(one.sk_pkcs8));
    assert.deepEqual(reading.publicKey.raw, base64(one.pk), one.tcId);
    assert.deepEqual(keyFindings(reading.publicKey), [], one.tcId);
    assert.deepEqual(await seedFormOf(base64(one.sk_pkcs8)), base64(one.sk_pkcs8), one.tcId);
  }
  for (const one of kemVectors().tests) assert.deepEqual((await readPrivateKey(base64(one.dk_pkcs8))).publicKey.raw, base64(one.ek), one.tcId);
});

test('classical keys made by OpenSSL, in PKCS#8, PKCS#1 and SEC 1', async () => {
  const ec = ['P-256', 'P-384', 'P-521', 'brainpoolP256r1', 'brainpoolP384r1'].map((namedCurve) => generateKeyPairSync('ec', { namedCurve }));
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  for (const pair of [...ec, rsa, generateKeyPairSync('ed25519'), generateKeyPairSync('ed448'), generateKeyPairSync('x25519'), generateKeyPairSync('x448')]) {
    const reading = await readPrivateKey(der(pair.privateKey, 'pkcs8'));
    assert.deepEqual(reading.publicKey.spki, der(pair.publicKey, 'spki'));
    assert.deepEqual(keyFindings(reading.publicKey), []);
    assert.deepEqual((await readPrivateKey(await seedFormOf(der(pair.privateKey, 'pkcs8')))).publicKey.spki, der(pair.publicKey, 'spki'));
  }
  assert.deepEqual((await readPrivateKey(wrapTraditional('rsa', new Uint8Array(rsa.privateKey.export({ type: 'pkcs1', format: 'der' }))))).publicKey.spki, der(rsa.publicKey, 'spki'));
  assert.deepEqual((await readPrivateKey(wrapTraditional('ec', new Uint8Array(ec[0]!.privateKey.export({ type: 'sec1', format: 'der' }))))).publicKey.spki, der(ec[0]!.publicKey, 'spki'));

  const pkcs8 = der(rsa.privateKey, 'pkcs8');
  const outer = derParts(readDer(pkcs8, 'test'), 'test');
  const inner = derParts(readDer(outer[2]!.content, 'test'), 'test');
  for (let i = 1; i < 9; i++) {
    const parts = inner.map((part) => part.bytes.slice());
    parts[i]![parts[i]!.length - 2]! ^= 2;
    const spoiled = writeDer(TAG.sequence, outer[0]!.bytes, outer[1]!.bytes, writeDer(TAG.octetString, writeDer(TAG.sequence, ...parts)));
    await assert.rejects(readPrivateKey(spoiled), refused(/^(RSA-CONSISTENT|KEY-ENCODING|DER-STRUCTURE)$/), `integer ${i}`);
  }
});

test('a public key in the file must be the key\'s own, and NULL is not absent', async () => {
  const [version, algorithm, secret] = derParts(readDer(vectorFile('mldsa-x509/ML-DSA-44-seed.priv.der'), 'test'), 'test');
  const { raw } = readSubjectKey(pemFile('mldsa-x509/ML-DSA-44.pub'));
  const withPublic = (key: Uint8Array): Uint8Array => writeDer(TAG.sequence, Uint8Array.of(2, 1, 1), algorithm!.bytes, secret!.bytes, writeDer(0x81, Uint8Array.of(0), key));
  assert.ok((await readPrivateKey(withPublic(raw))).checks.includes('PRIVATE-KEY-PUBLIC'));
  await assert.rejects(readPrivateKey(withPublic(raw.map((octet, i) => i === 40 ? octet ^ 1 : octet))), refused(/^PRIVATE-KEY-PUBLIC$/));
  const withNull = writeDer(TAG.sequence, version!.bytes, writeIdentifier('2.16.840.1.101.3.4.3.17', Uint8Array.of(5, 0)), secret!.bytes);
  await assert.rejects(readPrivateKey(withNull), refused(/^KEY-PARAMETERS$/));
  const hss = writeDer(TAG.sequence, version!.bytes, writeIdentifier('1.2.840.113549.1.9.16.3.17', null), secret!.bytes);
  await assert.rejects(readPrivateKey(hss), refused(/^HSS-NO-SOFTWARE-KEY$/));
  for (const { oid } of Object.values(XMSS_TREES)) {
    const xmss = writeDer(TAG.sequence, version!.bytes, writeIdentifier(oid, null), secret!.bytes);
    await assert.rejects(readPrivateKey(xmss), refused(/^XMSS-NO-SOFTWARE-KEY$/));
  }
});

test('property: damaged keys are refused by name or are whole, and no secret is in the words', async () => {
  const files = ['mldsa-x509/ML-DSA-44-expanded', 'mldsa-x509/ML-DSA-44-both', 'mldsa-x509/ML-DSA-44-seed', 'mlkem-x509/ML-KEM-512-expanded', 'mlkem-x509/ML-KEM-512-both'].map((file) => vectorFile(`${file}.priv.der`));
  const composites = signatureVectors().tests.filter((one) => /ECDSA-P256|Ed25519/.test(one.tcId)).map((one) => base64(one.sk_pkcs8));
  await fc.assert(fc.asyncProperty(fc.constantFrom(...files, ...composites), fc.nat(), fc.nat(255), fc.boolean(), async (file, at, octet, cut) => {
    const spoiled = cut ? file.slice(0, at % file.length) : file.slice();
    if (!cut) spoiled[at % file.length] = octet;
    try {
      await readPrivateKey(spoiled);
    } catch (error) {
      assert.ok(error instanceof Refused, String(error));
      assert.ok(!equalBytes(spoiled, file), 'an undamaged key was refused');
      for (const word of error.message.match(/[0-9a-f]{12,}/g) ?? []) assert.ok(!toHex(concat(spoiled)).includes(word), 'a secret in the words');
    }
  }), { seed: SEED, numRuns: 120 });
});
