import assert from 'node:assert/strict';
import test from 'node:test';
import pkcs11js from 'pkcs11js';
import { ml_dsa44, ml_dsa65, ml_dsa87 } from '@noble/post-quantum/ml-dsa.js';
import { ALGORITHMS, AES_256, AES_KWP, caAlgorithmNamed, isAlgorithmName, ROOT_ALGORITHMS, type Algorithm } from '../../../ceremonies/keys/algorithms.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { keyPair, sharedKeyPair } from './key-pairs.ts';

const rows: readonly Algorithm[] = Object.values(ALGORITHMS);

test('names look up, other names are refused', () => {
  for (const row of rows) assert.equal(caAlgorithmNamed(row.name), row);
  for (const name of ['rsa-2048', 'ECDSA-P256', 'toString', '__proto__', 'constructor', '']) {
    assert.equal(isAlgorithmName(name), false, name);
    assert.throws(() => caAlgorithmNamed(name), (e) => e instanceof Refused && e.refusal.rule === 'ALGORITHM-KNOWN', name);
  }
});

test('the script language offers exactly the root algorithms of the registry', () => {
  assert.deepEqual([...ROOT_ALGORITHMS], ['ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521', 'rsa-3072', 'rsa-4096', 'ed25519']);
});

test('no two rows share a name on any wire', () => {
  for (const name of [(r: Algorithm) => r.jose.alg, (r: Algorithm) => `${r.keyOid} ${r.keyParameters} ${r.publicKeyBytes}`, (r: Algorithm) => r.label]) {
    assert.equal(new Set(rows.map(name)).size, rows.length);
  }
});

test('sizes are those of real keys and signatures', async () => {
  for (const row of rows) {
    const pair = sharedKeyPair(row.name);
    const signature = await pair.sign(new Uint8Array(3));
    assert.equal(signature.length, row.signatureBytes, row.name);
  }
  for (const [row, scheme] of [[ALGORITHMS['ml-dsa-44'], ml_dsa44], [ALGORITHMS['ml-dsa-65'], ml_dsa65], [ALGORITHMS['ml-dsa-87'], ml_dsa87]] as const) {
    assert.equal(row.publicKeyBytes, scheme.lengths.publicKey);
    assert.equal(row.signatureBytes, scheme.lengths.signature);
    assert.equal(row.seedBytes, scheme.lengths.seed);
  }
});

test('Node writes the same JOSE names for the same keys', () => {
  for (const row of rows) {
    const jwk = keyPairJwk(row.name);
    assert.equal(jwk['kty'], row.jose.kty, row.name);
    if ('crv' in row.jose) assert.equal(jwk['crv'], row.jose.crv);
  }
});

function keyPairJwk(name: Algorithm['name']): Record<string, unknown> {
  const row: Algorithm = ALGORITHMS[name];
  return { ...(row.family === 'rsa' ? sharedKeyPair(name) : keyPair(name)).object.export({ format: 'jwk' }) };
}

test('PKCS#11 numbers are those of the headers', () => {
  const p11 = pkcs11js as unknown as Readonly<Record<string, number>>;
  const names = {
    'ecdsa-p256': ['CKK_EC', 'CKM_EC_KEY_PAIR_GEN', 'CKM_ECDSA'],
    'ecdsa-p384': ['CKK_EC', 'CKM_EC_KEY_PAIR_GEN', 'CKM_ECDSA'],
    'ecdsa-p521': ['CKK_EC', 'CKM_EC_KEY_PAIR_GEN', 'CKM_ECDSA'],
    'rsa-3072': ['CKK_RSA', 'CKM_RSA_PKCS_KEY_PAIR_GEN', 'CKM_SHA256_RSA_PKCS'],
    'rsa-4096': ['CKK_RSA', 'CKM_RSA_PKCS_KEY_PAIR_GEN', 'CKM_SHA384_RSA_PKCS'],
  } as const;
  for (const [name, [keyType, generate, sign]] of Object.entries(names)) {
    const { pkcs11 } = ALGORITHMS[name as keyof typeof names];
    assert.equal(pkcs11.keyType, p11[keyType], name);
    assert.equal(pkcs11.generate, p11[generate], name);
    assert.equal(pkcs11.sign, p11[sign], name);
  }
  // PKCS#11 3.x numbers, which pkcs11js does not know: OASIS pkcs11t.h 3.2.
  assert.deepEqual(
    [ALGORITHMS.ed25519, ALGORITHMS['ml-dsa-65']].map(({ pkcs11 }) => [pkcs11.keyType, pkcs11.generate, pkcs11.sign]),
    [[0x40, 0x1055, 0x1057], [0x4a, 0x1c, 0x1d]],
  );
  assert.equal(AES_256.pkcs11.keyType, p11['CKK_AES']);
  assert.equal(AES_256.pkcs11.generate, p11['CKM_AES_KEY_GEN']);
  assert.deepEqual([...AES_KWP.pkcs11.mechanisms], [0x210b, 0x210a]);
});
