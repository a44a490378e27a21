import assert from 'node:assert/strict';
import { verify as nodeVerify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { ed25519 } from '@noble/curves/ed25519.js';
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js';
import { compactVerify, importJWK } from 'jose';
import { concat, fromHex, toHex, utf8 } from '../../../ceremonies/bytes.ts';
import { ALGORITHMS, type Algorithm } from '../../../ceremonies/keys/algorithms.ts';
import { fromJwk, publicKeyFromParts, publicKeyParts, toJwk, type PublicKey } from '../../../ceremonies/keys/public-key.ts';
import { ecdsaRawToDer, mlDsaPublicFromSeed, signMlDsa65, verifySignature } from '../../../ceremonies/keys/signatures.ts';
import { verifyHalf } from '../../../ceremonies/keys/traditional.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { flipped, sharedKeyPair } from './key-pairs.ts';
import { edgeKeys, FORGED, malleable } from './ed25519-edges.ts';

const rows: readonly Algorithm[] = Object.values(ALGORITHMS);
const message = utf8('the record');
const rule = (name: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === name;

test('every algorithm: a real signature verifies; another message, key, length or bit does not', async () => {
  for (const { name, signatureBytes } of rows) {
    const { publicKey, sign } = sharedKeyPair(name);
    const signature = await sign(message);
    assert.equal(await verifySignature(publicKey, message, signature), true, name);
    assert.equal(await verifySignature(publicKey, utf8('the recorD'), signature), false, name);
    for (const at of [0, signatureBytes >> 1, signatureBytes - 1]) {
      assert.equal(await verifySignature(publicKey, message, flipped(signature, at)), false, `${name} byte ${at}`);
    }
    for (const wrong of [new Uint8Array(0), signature.subarray(1), concat(signature, Uint8Array.of(0)), new Uint8Array(signatureBytes), new Uint8Array(signatureBytes).fill(255)]) {
      assert.equal(await verifySignature(publicKey, message, wrong), false, `${name} ${wrong.length}`);
    }
  }
  const [p256, ed] = [sharedKeyPair('ecdsa-p256'), sharedKeyPair('ed25519')];
  assert.equal(await verifySignature(ed.publicKey, message, await p256.sign(message)), false);
  assert.equal(await verifySignature(p256.publicKey, message, await ed.sign(message)), false);
});

test('ECDSA accepts both values of s, as FIPS 186-5 does', async () => {
  const { publicKey, sign } = sharedKeyPair('ecdsa-p256');
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const signature = await sign(message);
  const s = BigInt(`0x${toHex(signature.subarray(32))}`);
  const other = concat(signature.subarray(0, 32), fromHex((order - s).toString(16).padStart(64, '0')));
  assert.equal(await verifySignature(publicKey, message, signature), true);
  assert.equal(await verifySignature(publicKey, message, other), true);
});

test('a DER signature is not a JOSE signature', async () => {
  const { publicKey, sign } = sharedKeyPair('ecdsa-p384');
  assert.equal(await verifySignature(publicKey, message, ecdsaRawToDer('ecdsa-p384', await sign(message))), false);
});

test('ECDSA to DER: another library accepts it; no second DER form is a signature', async () => {
  for (const name of ['ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521'] as const) {
    const { publicKey, sign } = sharedKeyPair(name);
    const row = ALGORITHMS[name];
    const half = { kind: 'ecdsa', curve: row.jose.crv, hash: row.hash } as const;
    const parts = publicKeyParts(publicKey);
    assert.ok('raw' in parts);
    const fits = (der: Uint8Array, of: Uint8Array) => verifyHalf(half, parts.raw, of, der);
    for (let i = 0; i < 20; i++) {
      const raw = await sign(Uint8Array.of(i));
      const der = ecdsaRawToDer(name, raw);
      assert.equal(await fits(der, Uint8Array.of(i)), true);
      assert.equal(nodeVerify(row.hash.replace('-', ''), Uint8Array.of(i), { key: Buffer.from(publicKey.spki), format: 'der', type: 'spki' }, der), true);
    }
    const der = ecdsaRawToDer(name, await sign(message));
    for (const other of [concat(der, Uint8Array.of(0)), der.subarray(0, -1), flipped(der, 0)]) assert.equal(await fits(other, message), false);
    // r = 0, then a padded r, then a negative one.
    for (const hex of ['3006020100020101', '300702020001020101', '3006020181020101']) {
      assert.equal(await fits(fromHex(hex), message), false, hex);
    }
  }
});

test('unsound keys have no valid signatures, under WebCrypto too', async () => {
  for (const { what, key } of edgeKeys()) assert.equal(await verifySignature(key, FORGED.message, FORGED.signature), false, what);
  const parts = publicKeyParts(sharedKeyPair('ecdsa-p256').publicKey);
  assert.ok('raw' in parts);
  const off = publicKeyFromParts('ecdsa-p256', { raw: flipped(parts.raw, 64) });
  assert.equal(await verifySignature(off, message, await sharedKeyPair('ecdsa-p256').sign(message)), false);
  const small = publicKeyFromParts('rsa-3072', { n: new Uint8Array(256).fill(0xc1), e: Uint8Array.of(1, 0, 1) });
  assert.equal(await verifySignature(small, message, new Uint8Array(384)), false);
});

test('Ed25519: S + L is no second signature', async () => {
  const { publicKey, sign } = sharedKeyPair('ed25519');
  assert.equal(await verifySignature(publicKey, message, malleable(await sign(message))), false);
});

test('a key object whose label and bytes disagree is refused, not verified', async () => {
  const liar: PublicKey = { algorithm: 'ed25519', spki: sharedKeyPair('ecdsa-p256').publicKey.spki };
  await assert.rejects(verifySignature(liar, message, new Uint8Array(64)), rule('KEY-ALGORITHM'));
});

test('RFC 9964 examples: seed to public key, signing input, signature', async () => {
  for (const set of ['44', '65', '87'] as const) {
    const example = JSON.parse(readFileSync(new URL(`../../vectors/jose/ML_DSA_${set}.jose.json`, import.meta.url), 'utf8')) as {
      priv: string;
      jwk: { kty: string; alg: string; pub: string };
      raw_to_be_signed: string;
      raw_signature: string;
    };
    const key = fromJwk({ kty: example.jwk.kty, alg: example.jwk.alg, pub: example.jwk.pub });
    assert.deepEqual(mlDsaPublicFromSeed(fromHex(example.priv), `ml-dsa-${set}`), key);
    assert.equal(await verifySignature(key, fromHex(example.raw_to_be_signed), fromHex(example.raw_signature)), true);
  }
});

test('Wycheproof: ML-DSA-65 verification', async () => {
  const file = JSON.parse(readFileSync(new URL('../../vectors/wycheproof/mldsa_65_verify_test.json', import.meta.url), 'utf8')) as {
    testGroups: { publicKey: string; tests: { tcId: number; msg: string; sig: string; ctx?: string; result: string }[] }[];
  };
  let tried = 0;
  for (const group of file.testGroups) {
    for (const one of group.tests) {
      if (one.ctx) continue; // seals and certificates use the empty context only
      tried++;
      let valid = false;
      try {
        const key = publicKeyFromParts('ml-dsa-65', { raw: fromHex(group.publicKey) });
        valid = await verifySignature(key, fromHex(one.msg), fromHex(one.sig));
      } catch (error) {
        assert.ok(rule('KEY-ENCODING')(error));
      }
      assert.equal(valid, one.result === 'valid', `tcId ${one.tcId}`);
    }
  }
  assert.ok(tried >= 12);
});

test('ML-DSA-65 from a seed: hedged, verified by the runtime\'s own ML-DSA and by jose', async () => {
  const seed = fromHex('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f');
  const key = mlDsaPublicFromSeed(seed);
  const one = signMlDsa65(seed, message, new Uint8Array(32).fill(1));
  assert.deepEqual(signMlDsa65(seed, message, new Uint8Array(32).fill(1)), one);
  assert.notDeepEqual(signMlDsa65(seed, message, new Uint8Array(32).fill(2)), one);
  assert.deepEqual(one, ml_dsa65.sign(message, ml_dsa65.keygen(seed).secretKey, { extraEntropy: new Uint8Array(32).fill(1) }));
  assert.equal(await verifySignature(key, message, one), true);

  const header = Buffer.from('{"alg":"ML-DSA-65"}').toString('base64url');
  const input = `${header}.${Buffer.from('payload').toString('base64url')}`;
  const signature = signMlDsa65(seed, utf8(input), new Uint8Array(32));
  const jwk = await importJWK({ ...toJwk(key) }, 'ML-DSA-65');
  assert.equal(Buffer.from((await compactVerify(`${input}.${Buffer.from(signature).toString('base64url')}`, jwk)).payload).toString(), 'payload');

  assert.throws(() => signMlDsa65(seed.subarray(1), message, new Uint8Array(32)), rule('ML-DSA-SEED'));
  assert.throws(() => signMlDsa65(seed, message, new Uint8Array(31)), rule('ML-DSA-SEED'));
});

test('1,600 Ed25519 signatures, as in a record of 100,000 entries, at native speed', async () => {
  const secret = new Uint8Array(32).fill(7);
  const key = publicKeyFromParts('ed25519', { raw: ed25519.getPublicKey(secret) });
  const signature = ed25519.sign(message, secret);
  await verifySignature(key, message, signature);
  const start = performance.now();
  const all = await Promise.all(Array.from({ length: 1600 }, () => verifySignature(key, message, signature)));
  const took = performance.now() - start;
  assert.ok(all.every(Boolean));
  // noble alone would take four seconds: this asserts that the native path is in use, with room for a busy machine.
  assert.ok(took < 2000, `${took} ms`);
});
