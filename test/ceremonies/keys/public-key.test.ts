import assert from 'node:assert/strict';
import { createHash, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import fc from 'fast-check';
import { calculateJwkThumbprint } from 'jose';
import { concat, fromHex, toHex } from '../../../ceremonies/bytes.ts';
import { ALGORITHMS, type Algorithm, type AlgorithmName } from '../../../ceremonies/keys/algorithms.ts';
import {
  bitLength,
  fingerprint,
  fromJwk,
  parsePublicKey,
  publicKeyFromParts,
  publicKeyParts,
  thumbprint,
  toJwk,
} from '../../../ceremonies/keys/public-key.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { flipped, sharedKeyPair } from './key-pairs.ts';
import { SEED } from './seed.ts';

const rows: readonly Algorithm[] = Object.values(ALGORITHMS);
const rule = (...names: readonly string[]) => (error: unknown) => error instanceof Refused && names.includes(error.refusal.rule);

test('every algorithm: SPKI of OpenSSL -> parts -> SPKI, JWK -> SPKI, thumbprint and fingerprint like others compute them', async () => {
  for (const { name } of rows) {
    const { publicKey, object } = sharedKeyPair(name);
    assert.equal(publicKey.algorithm, name);
    assert.deepEqual(publicKeyFromParts(name, publicKeyParts(publicKey)), publicKey);
    assert.deepEqual(fromJwk(toJwk(publicKey)), publicKey);
    assert.deepEqual({ ...toJwk(publicKey) }, { ...object.export({ format: 'jwk' }) }, name);
    assert.equal(thumbprint(publicKey), await calculateJwkThumbprint({ ...toJwk(publicKey) }, 'sha256'), name);
    assert.equal(thumbprint(toJwk(publicKey)), thumbprint(publicKey));
    assert.equal(toHex(fingerprint(publicKey)), createHash('sha256').update(publicKey.spki).digest('hex'));
  }
});

test('RFC 7638 section 3.1, RFC 8037 appendix A.3 and the RFC 9964 examples: published thumbprints', () => {
  const ed = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' } as const;
  assert.equal(thumbprint(fromJwk(ed)), 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
  for (const set of ['44', '65', '87']) {
    const example = JSON.parse(readFileSync(new URL(`../../vectors/jose/ML_DSA_${set}.jose.json`, import.meta.url), 'utf8')) as {
      jwk: { kid: string; kty: string; alg: string; pub: string };
      raw_public_key: string;
    };
    const { kid, kty, alg, pub } = example.jwk;
    const key = fromJwk({ kty, alg, pub });
    assert.equal(thumbprint(key), kid, set);
    assert.deepEqual(publicKeyParts(key), { raw: fromHex(example.raw_public_key) });
  }
});

test('RFC 9881 public keys parse and are written back byte for byte', () => {
  for (const set of ['44', '65', '87']) {
    const pem = readFileSync(new URL(`../../vectors/mldsa-x509/ML-DSA-${set}.pub`, import.meta.url), 'utf8');
    const spki = new Uint8Array(Buffer.from(pem.replace(/-----.*-----|\s/g, ''), 'base64'));
    assert.equal(parsePublicKey(spki).algorithm, `ml-dsa-${set}`);
  }
});

test('points from a token: raw or in an OCTET STRING, told apart by length alone', () => {
  const headers = { 'ecdsa-p256': '0441', 'ecdsa-p384': '0461', 'ecdsa-p521': '048185', ed25519: '0420' } as const;
  for (const [name, header] of Object.entries(headers) as [keyof typeof headers, string][]) {
    const { publicKey } = sharedKeyPair(name);
    const parts = publicKeyParts(publicKey);
    assert.ok('raw' in parts);
    assert.deepEqual(publicKeyFromParts(name, { raw: concat(fromHex(header), parts.raw) }), publicKey);
    for (const raw of [
      new Uint8Array(0),
      parts.raw.subarray(1),
      concat(parts.raw, Uint8Array.of(0)),
      concat(fromHex(header), parts.raw, Uint8Array.of(0)),
      concat(fromHex(header.replace(/^04/, '03')), parts.raw),
    ]) {
      assert.throws(() => publicKeyFromParts(name, { raw }), rule('KEY-ENCODING'), `${name} ${toHex(raw.subarray(0, 4))} ${raw.length}`);
    }
  }
});

test('an Edwards key that looks like DER is not unwrapped, whatever its bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 30, maxLength: 30 }), (tail) => {
      const raw = concat(Uint8Array.of(0x04, 0x1e), tail); // 04 1e: reads as an OCTET STRING of the remaining 30 bytes
      assert.deepEqual(publicKeyParts(publicKeyFromParts('ed25519', { raw })), { raw });
    }),
    { seed: SEED },
  );
});

test('compressed points are refused, also when padded to length', () => {
  const parts = publicKeyParts(sharedKeyPair('ecdsa-p256').publicKey);
  assert.ok('raw' in parts);
  const raw = parts.raw.slice();
  raw[0] = 2;
  assert.throws(() => publicKeyFromParts('ecdsa-p256', { raw }), rule('KEY-ENCODING'));
  assert.throws(() => publicKeyFromParts('ecdsa-p256', { raw: raw.subarray(0, 33) }), rule('KEY-ENCODING'));
});

test('RSA integers from a token may have leading zeros; the key is the same', () => {
  const { publicKey } = sharedKeyPair('rsa-3072');
  const parts = publicKeyParts(publicKey);
  assert.ok('n' in parts);
  const zeros = Uint8Array.of(0, 0);
  assert.deepEqual(publicKeyFromParts('rsa-3072', { n: concat(zeros, parts.n), e: concat(zeros, parts.e) }), publicKey);
  assert.throws(() => publicKeyFromParts('rsa-3072', { n: zeros, e: parts.e }), rule('KEY-ENCODING'));
  assert.throws(() => publicKeyFromParts('rsa-3072', { raw: parts.n }), rule('KEY-ENCODING'));
  assert.throws(() => publicKeyFromParts('ed25519', parts), rule('KEY-ENCODING'));
});

test('another algorithm than expected is named; an RSA size without a row is readable only where RSA is expected', () => {
  const p256 = sharedKeyPair('ecdsa-p256').publicKey;
  assert.throws(() => parsePublicKey(p256.spki, 'ecdsa-p384'), rule('KEY-ALGORITHM'));
  assert.throws(() => parsePublicKey(sharedKeyPair('rsa-3072').publicKey.spki, 'rsa-4096'), rule('KEY-ALGORITHM'));
  const small = publicKeyFromParts('rsa-3072', { n: new Uint8Array(256).fill(0xc1), e: Uint8Array.of(1, 0, 1) });
  assert.throws(() => parsePublicKey(small.spki), rule('KEY-ALGORITHM'));
  assert.deepEqual(parsePublicKey(small.spki, 'rsa-3072'), small);
  assert.throws(() => parsePublicKey(small.spki, 'ed25519'), rule('KEY-ALGORITHM'));
  const x25519 = fromHex('302a300506032b656e032100' + '09'.padEnd(64, '0'));
  assert.throws(() => parsePublicKey(x25519), rule('KEY-ALGORITHM'));
});

test('every single-byte change of an SPKI is refused or is another key, never the same key twice', () => {
  for (const name of ['ecdsa-p256', 'ed25519', 'rsa-3072'] as const) {
    const { publicKey } = sharedKeyPair(name);
    for (let at = 0; at < publicKey.spki.length; at++) {
      const changed = flipped(publicKey.spki, at, at % 8);
      let read;
      try {
        read = parsePublicKey(changed, name);
      } catch (error) {
        assert.ok(error instanceof Refused, `${name} byte ${at}: ${String(error)}`);
        continue;
      }
      assert.deepEqual(read.spki, changed);
      assert.notDeepEqual(read.spki, publicKey.spki);
    }
  }
});

test('non-canonical SPKI: trailing bytes, long lengths, NULL where absent, absent where NULL, padded and negative integers', () => {
  const p256 = sharedKeyPair('ecdsa-p256').publicKey.spki;
  const ed = sharedKeyPair('ed25519').publicKey.spki;
  const cases: readonly (readonly [string, Uint8Array, AlgorithmName])[] = [
    ['trailing byte', concat(p256, Uint8Array.of(0)), 'ecdsa-p256'],
    ['long form length', concat(fromHex('308159'), p256.subarray(2)), 'ecdsa-p256'],
    ['indefinite length', concat(fromHex('3080'), p256.subarray(2), fromHex('0000')), 'ecdsa-p256'],
    ['Ed25519 with NULL', concat(fromHex('302c300706032b65700500'), ed.subarray(9)), 'ed25519'],
    ['unused bits', concat(ed.subarray(0, 11), Uint8Array.of(1), ed.subarray(12)), 'ed25519'],
    ['RSA without NULL', fromHex('301b300b06092a864886f70d010101030c0030090202c1010203010001'), 'rsa-3072'],
    ['RSA padded', fromHex('301f300d06092a864886f70d0101010500030e00300b02040000c1010203010001'), 'rsa-3072'],
    ['RSA negative', fromHex('301d300d06092a864886f70d0101010500030c0030090202c1010203010001'), 'rsa-3072'],
    ['empty', new Uint8Array(0), 'ed25519'],
    ['noise', fromHex('ffffffff'), 'ed25519'],
  ];
  for (const [what, spki, name] of cases) {
    assert.throws(() => parsePublicKey(spki, name), rule('KEY-ENCODING', 'KEY-ALGORITHM'), what);
  }
});

test('a JWK has exactly its public members, in one spelling', () => {
  const ec = toJwk(sharedKeyPair('ecdsa-p256').publicKey);
  const rsa = toJwk(sharedKeyPair('rsa-3072').publicKey);
  assert.ok(ec.kty === 'EC' && rsa.kty === 'RSA');
  const cases: readonly (readonly [unknown, string])[] = [
    [{ ...ec, d: 'AAAA' }, 'JWK-MEMBERS'],
    [{ ...ec, kid: 'x' }, 'JWK-MEMBERS'],
    [{ ...toJwk(sharedKeyPair('ml-dsa-65').publicKey), priv: 'AAAA' }, 'JWK-MEMBERS'],
    [null, 'JWK-MEMBERS'],
    [[], 'JWK-MEMBERS'],
    ['EC', 'JWK-MEMBERS'],
    [{ ...ec, x: 7 }, 'JWK-MEMBERS'],
    [{ ...ec, crv: 'secp256k1' }, 'KEY-ALGORITHM'],
    [{ ...ec, crv: 'P-384' }, 'KEY-ENCODING'],
    [{ ...ec, x: `${ec.x}=` }, 'BASE64URL-CANONICAL'],
    [{ ...ec, x: 'AAAA' }, 'KEY-ENCODING'],
    [{ ...rsa, e: 'AAEAAQ' }, 'KEY-ENCODING'],
    [{ ...rsa, n: 'wQE' }, 'KEY-ALGORITHM'],
    [{ kty: 'oct', k: 'AAAA' }, 'KEY-ALGORITHM'],
    [{ kty: 'AKP', alg: 'ML-DSA-65', pub: 'AAAA' }, 'KEY-ENCODING'],
    [{ kty: 'OKP', crv: 'Ed448', x: 'AAAA' }, 'KEY-ALGORITHM'],
  ];
  for (const [jwk, name] of cases) assert.throws(() => fromJwk(jwk), rule(name), `${JSON.stringify(jwk)?.slice(0, 60)} -> ${name}`);
});

test('EC coordinates keep their leading zeros in a JWK', () => {
  // A P-521 coordinate almost always begins with zero bits, and one in 256 P-256 coordinates with a zero byte.
  for (let i = 0; i < 20; i++) {
    const jwk = toJwk(sharedKeyPair('ecdsa-p521').publicKey);
    assert.ok(jwk.kty === 'EC');
    assert.equal(jwk.x.length, 88);
    assert.equal(jwk.y.length, 88);
  }
});

test('bitLength', () => {
  for (const [hex, bits] of [['', 0], ['01', 1], ['ff', 8], ['0100', 9], ['7fff', 15]] as const) assert.equal(bitLength(fromHex(hex)), bits);
});

test('Node reads what this file writes', () => {
  for (const { name } of rows) {
    const { publicKey } = sharedKeyPair(name);
    assert.ok(createPublicKey({ key: Buffer.from(publicKeyFromParts(name, publicKeyParts(publicKey)).spki), format: 'der', type: 'spki' }));
  }
});
