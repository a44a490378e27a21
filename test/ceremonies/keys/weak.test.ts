import assert from 'node:assert/strict';
import { createPublicKey, generatePrimeSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { AsnConvert } from '@peculiar/asn1-schema';
import { RSAPublicKey } from '@peculiar/asn1-rsa';
import { fromHex } from '../../../ceremonies/bytes.ts';
import { ALGORITHMS, type RsaAlgorithm } from '../../../ceremonies/keys/algorithms.ts';
import { publicKeyFromParts, publicKeyParts, withoutLeadingZeros, type PublicKey } from '../../../ceremonies/keys/public-key.ts';
import { unsoundPoint, weakKeyFindings, weakKeyTests } from '../../../ceremonies/keys/weak.ts';
import { edgeKeys } from './ed25519-edges.ts';
import { flipped, sharedKeyPair } from './key-pairs.ts';

const file = (name: string): string => readFileSync(new URL(`../../vectors/weak-keys/${name}`, import.meta.url), 'utf8');
const rules = (key: PublicKey): string[] => weakKeyFindings(key).map((finding) => finding.rule);

function bigBytes(value: bigint): Uint8Array {
  const hex = value.toString(16);
  return fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
}

function rsa(n: bigint | Uint8Array, e: bigint | Uint8Array = 65537n, name: RsaAlgorithm['name'] = 'rsa-3072'): PublicKey {
  return publicKeyFromParts(name, { n: typeof n === 'bigint' ? bigBytes(n) : n, e: typeof e === 'bigint' ? bigBytes(e) : e });
}

/** badkeys writes PKCS#1 and SPKI; OpenSSL refuses to read some of them, so only ASN.1 is asked. */
function fromPem(text: string): PublicKey {
  const der = new Uint8Array(Buffer.from(/-----BEGIN[^-]*-----([^-]*)-----END/.exec(text)![1]!, 'base64'));
  if (text.includes('BEGIN RSA')) {
    const key = AsnConvert.parse(der, RSAPublicKey);
    return rsa(new Uint8Array(key.modulus), new Uint8Array(key.publicExponent));
  }
  const jwk = createPublicKey(text.slice(text.indexOf('-----BEGIN'))).export({ format: 'jwk' });
  return rsa(new Uint8Array(Buffer.from(jwk.n!, 'base64url')), new Uint8Array(Buffer.from(jwk.e!, 'base64url')));
}

test('the published defective keys, each by the name of its defect; the good ones by none', () => {
  // These files hold 2048 and 4096 bits; as an "RSA 3072" key each is of the wrong size besides.
  const table: readonly (readonly [PublicKey, readonly string[]])[] = [
    [fromPem(file('rsa-e1.key')), ['WEAK-SIZE', 'WEAK-EXPONENT']],
    [fromPem(file('rsa-fermat-pkcs1.key')), ['WEAK-SIZE', 'WEAK-CLOSE-PRIMES']],
    [fromPem(file('rsa-ok.key')), ['WEAK-SIZE']],
    [fromPem(file('rsa-roca.key')), ['WEAK-SIZE', 'WEAK-ROCA']],
    [fromPem(file('rsa-smallfactors-valid.key')), ['WEAK-SIZE', 'WEAK-SMALL-FACTOR']],
    [rsa(BigInt(file('roca/mod01.txt').trim())), ['WEAK-SIZE', 'WEAK-ROCA']],
    [fromPem(file('roca/cert04.pem')), ['WEAK-SIZE', 'WEAK-ROCA']],
    [fromPem(file('roca/cert01.pem')), ['WEAK-SIZE']],
  ];
  for (const [i, [key, expected]] of table.entries()) assert.deepEqual(rules(key), expected, `row ${i}`);
});

test('fresh keys of every algorithm have no findings, and the tests that ran are named', () => {
  for (const { name } of Object.values(ALGORITHMS)) {
    assert.deepEqual(weakKeyFindings(sharedKeyPair(name).publicKey), [], name);
    assert.ok(weakKeyTests(name).length > 0);
  }
  assert.deepEqual(weakKeyTests('rsa-4096'), ['WEAK-SIZE', 'WEAK-EXPONENT', 'WEAK-SMALL-FACTOR', 'WEAK-CLOSE-PRIMES', 'WEAK-ROCA']);
});

// --- made to measure, at the sizes that ceremonies use --------------------------------------------------------------------

const prime = (bits: number): bigint => generatePrimeSync(bits, { bigint: true });
const good = (): bigint => {
  const parts = publicKeyParts(sharedKeyPair('rsa-3072').publicKey);
  assert.ok('n' in parts);
  return BigInt(`0x${Buffer.from(parts.n).toString('hex')}`);
};

test('exponents: the boundary rows of FIPS 186-5', () => {
  for (const [e, weak] of [[1n, true], [2n, true], [3n, true], [65535n, true], [65536n, true], [65537n, false], [65538n, true], [2n ** 255n + 1n, false], [2n ** 256n + 1n, true]] as const) {
    assert.deepEqual(rules(rsa(good(), e)), weak ? ['WEAK-EXPONENT'] : [], `e = ${e}`);
  }
});

test('sizes: one bit too few or too many', () => {
  const n = good();
  assert.ok(rules(rsa(n >> 1n | 1n)).includes('WEAK-SIZE'));
  assert.ok(rules(rsa(n << 1n | 1n)).includes('WEAK-SIZE'));
  assert.ok(rules(rsa(n, 65537n, 'rsa-4096')).includes('WEAK-SIZE'));
});

test('small factors: the smallest, the largest below 2^16, and the first beyond', () => {
  const times = (factor: bigint): bigint => factor * ((1n << 3071n) / factor + 12345n);
  for (const factor of [2n, 3n, 65521n]) assert.ok(rules(rsa(times(factor))).includes('WEAK-SMALL-FACTOR'), `${factor}`);
  assert.ok(!rules(rsa(65537n * good())).includes('WEAK-SMALL-FACTOR'));
  assert.match(weakKeyFindings(rsa(3n * good())).map((f) => f.found).join(), /divisible by 3/);
});

test('close primes: equal, neighbours, and far enough apart', () => {
  // Whether the factors are prime does not matter to Fermat's method, so only one prime is made.
  const p = prime(1536);
  assert.ok(rules(rsa(p * p)).includes('WEAK-CLOSE-PRIMES'));
  assert.ok(rules(rsa(p * (p + 2n))).includes('WEAK-CLOSE-PRIMES'));
  assert.match(weakKeyFindings(rsa(p * p)).map((f) => f.found).join(), /perfect square/);
  assert.match(weakKeyFindings(rsa(p * (p + 2n))).map((f) => f.found).join(), /round 1\b/);
  // The mean of the factors exceeds the root of n by d^2/8p: with 1536-bit p, a distance of 2^773 takes some 2^7 to 2^8
  // rounds, and one of 2^790 some 2^41.
  assert.ok(rules(rsa(p * (p + (1n << 773n)))).includes('WEAK-CLOSE-PRIMES'));
  assert.ok(!rules(rsa(p * (p + (1n << 790n)))).includes('WEAK-CLOSE-PRIMES'));
});

const PRIMES = [...Array(168).keys()].filter((p) => p > 1 && [...Array(p).keys()].slice(2).every((d) => p % d !== 0)).map(BigInt);
const M = PRIMES.reduce((a, p) => a * p, 1n);

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (const bit of exponent.toString(2)) result = (bit === '1' ? result * result * base : result * result) % modulus;
  return result;
}

test('ROCA structure is seen at 3072 and 4096 bits', () => {
  assert.equal(M, 0x924cba6ae99dfa084537facc54948df0c23da044d8cabe0edd75bc6n);
  for (const [bits, name] of [[3072n, 'rsa-3072'], [4096n, 'rsa-4096']] as const) {
    const residue = power(65537n, 123456789n, M);
    const n: bigint = ((3n << (bits - 2n)) / M) * M + residue;
    assert.deepEqual(rules(rsa(n, 65537n, name)).filter((rule) => rule === 'WEAK-ROCA'), ['WEAK-ROCA']);
  }
});

test('a modulus that only passes the residue test is not called ROCA: the powers must agree', () => {
  // n is a power of 65537 modulo each prime, but with unrelated exponents. (The well-known "fake moduli".)
  let n: bigint = 1n;
  let product = 2n;
  for (const [i, p] of PRIMES.slice(1).entries()) {
    const target = power(65537n, BigInt(i * i), p);
    while (n % p !== target) n += product;
    product *= p;
  }
  const fake = ((3n << 3070n) / M) * M + n;
  for (const p of PRIMES.slice(1)) {
    assert.ok([...Array(167).keys()].some((e) => power(65537n, BigInt(e), p) === fake % p), `residue modulo ${p}`);
  }
  assert.ok(!rules(rsa(fake)).includes('WEAK-ROCA'));
});

test('points: off the curve, out of range, of small or mixed order', () => {
  for (const name of ['ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521'] as const) {
    const { publicKey } = sharedKeyPair(name);
    const parts = publicKeyParts(publicKey);
    assert.ok('raw' in parts);
    assert.equal(unsoundPoint(publicKey), null);
    assert.deepEqual(rules(publicKeyFromParts(name, { raw: flipped(parts.raw, parts.raw.length - 1) })), ['WEAK-POINT']);
    for (const fill of [0, 255]) {
      const raw = new Uint8Array(parts.raw.length).fill(fill);
      raw[0] = 4;
      assert.deepEqual(rules(publicKeyFromParts(name, { raw })), ['WEAK-POINT'], `${name} ${fill}`);
    }
  }
  for (const { what, key } of edgeKeys()) assert.deepEqual(rules(key), ['WEAK-POINT'], what);
});

test('an ML-DSA key with t1 = 0, under which anybody can sign', () => {
  const raw = new Uint8Array(1952);
  raw.set(new Uint8Array(32).fill(7));
  assert.deepEqual(rules(publicKeyFromParts('ml-dsa-65', { raw })), ['WEAK-ZERO-KEY']);
});

test('RSA-4096 takes less than 50 ms', () => {
  const { publicKey } = sharedKeyPair('rsa-4096');
  weakKeyFindings(publicKey);
  const times = Array.from({ length: 5 }, () => {
    const start = performance.now();
    weakKeyFindings(publicKey);
    return performance.now() - start;
  });
  assert.ok(Math.min(...times) < 50, `${times.join(', ')} ms`);
});

test('no finding quotes more than a line of numbers', () => {
  for (const finding of weakKeyFindings(fromPem(file('rsa-e1.key')))) assert.ok(finding.found.length < 80);
  assert.equal(withoutLeadingZeros(Uint8Array.of(0, 0)).length, 0);
});
