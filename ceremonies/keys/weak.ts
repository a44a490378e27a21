/**
 * Weak-key tests: is this public key one that a broken generator could have made?
 *
 * A token that reports success has not proved that its key is sound. These tests look at the public key alone, need no
 * network and no data files, and name what they find. They cannot prove a key strong: an empty list means "none of these
 * known defects". Blocklists of known keys (Debian's of 2008 and the like) are not in here.
 */

import { ed25519 } from '@noble/curves/ed25519.js';
import { p256, p384, p521 } from '@noble/curves/nist.js';
import { toHex } from '../bytes.ts';
import { refuse, type Refusal } from '../refusal.ts';
import { ALGORITHMS, type AlgorithmName, type RsaAlgorithm } from './algorithms.ts';
import { bitLength, publicKeyParts, type PublicKey } from './public-key.ts';

const DISCARD = 'Do not use this key. Destroy it, keep the token aside, and ask its vendor.';

const TESTS = {
  rsa: ['WEAK-SIZE', 'WEAK-EXPONENT', 'WEAK-SMALL-FACTOR', 'WEAK-CLOSE-PRIMES', 'WEAK-ROCA'],
  ecdsa: ['WEAK-POINT'],
  eddsa: ['WEAK-POINT'],
  'ml-dsa': ['WEAK-ZERO-KEY'],
} as const;

/** Names of the tests that `weakKeyFindings` runs for an algorithm; the record lists them beside the result. */
export function weakKeyTests(algorithm: AlgorithmName): readonly string[] {
  return TESTS[ALGORITHMS[algorithm].family];
}

/** Every defect found, each under its rule name; empty when none was. Takes about 2 ms, for RSA-4096 too. */
export function weakKeyFindings(key: PublicKey): Refusal[] {
  const row = ALGORITHMS[key.algorithm];
  const parts = publicKeyParts(key);
  if ('n' in parts) return row.family === 'rsa' ? rsaFindings(row, parts.n, parts.e) : [];
  if (row.family === 'ml-dsa') {
    // FIPS 204 section 7.2: rho (32 bytes), then t1. With t1 = 0 anybody can sign (Wycheproof "ZeroPublicKey").
    const zero = parts.raw.subarray(32).every((byte) => byte === 0);
    return zero ? [refuse('WEAK-ZERO-KEY', `${row.label}: a key vector t1 that is not zero`, 'zero', DISCARD)] : [];
  }
  const found = unsoundPoint(key);
  return found === null ? [] : [refuse('WEAK-POINT', `${row.label}: a point of the whole group's order`, found, DISCARD)];
}

// --- curves --------------------------------------------------------------------------------------------------------------

const CURVES = { 'ecdsa-p256': p256, 'ecdsa-p384': p384, 'ecdsa-p521': p521 } as const;

/**
 * Null when the key is a sound point, else what is wrong with it. NIST curves (SP 800-56A Rev. 3 section 5.6.2.3.3): both
 * coordinates below p, on the curve; infinity has no uncompressed form, and the cofactor is 1. Ed25519 (RFC 8032 section
 * 5.1.3, and stricter): canonical, on the curve, no component of small order. Keys of other families count as sound.
 */
export function unsoundPoint(key: PublicKey): string | null {
  const row = ALGORITHMS[key.algorithm];
  const parts = publicKeyParts(key);
  if (!('raw' in parts)) return null;
  switch (row.family) {
    case 'rsa':
    case 'ml-dsa':
      return null;
    case 'ecdsa':
      try {
        CURVES[row.name].Point.fromBytes(parts.raw);
        return null;
      } catch {
        return 'coordinates that are not on the curve';
      }
    case 'eddsa': {
      let point;
      try {
        point = ed25519.Point.fromBytes(parts.raw, false);
      } catch {
        return 'no canonical encoding of a point on the curve';
      }
      if (point.isSmallOrder()) return 'a point of small order';
      return point.isTorsionFree() ? null : 'a point with a component of small order';
    }
  }
}

// --- RSA -----------------------------------------------------------------------------------------------------------------

function rsaFindings(row: RsaAlgorithm, modulus: Uint8Array, exponent: Uint8Array): Refusal[] {
  const findings: Refusal[] = [];
  const n = integer(modulus);
  const e = integer(exponent);

  const bits = bitLength(modulus);
  if (bits !== row.modulusBits) {
    findings.push(refuse('WEAK-SIZE', `a modulus of exactly ${row.modulusBits} bits`, `${bits} bits`, DISCARD));
  }
  // FIPS 186-5 section A.1.1: odd, above 2^16, below 2^256. The lower bound shuts out e = 1 and the small-message attacks,
  // the upper one Wiener's: a private exponent short enough to be found makes e about as long as n.
  if (e % 2n === 0n || e <= 65536n || e >= 2n ** 256n) {
    const shown = e < 2n ** 64n ? `${e}` : `${bitLength(exponent)} bits`;
    findings.push(refuse('WEAK-EXPONENT', 'an odd public exponent between 2^16 and 2^256', shown, DISCARD));
  }
  const factor = smallFactor(n);
  if (factor !== null) {
    findings.push(refuse('WEAK-SMALL-FACTOR', 'no prime factor below 2^16', `divisible by ${factor}`, DISCARD));
  }
  const rounds = closePrimes(n);
  if (rounds !== null) {
    const found = rounds === 0 ? 'a perfect square: both primes are the same' : `factors found in round ${rounds}`;
    findings.push(refuse('WEAK-CLOSE-PRIMES', `no factors within ${FERMAT_ROUNDS} rounds of Fermat's method`, found, DISCARD));
  }
  if (hasRocaStructure(n)) {
    findings.push(
      refuse('WEAK-ROCA', 'a modulus without the structure of CVE-2017-15361', 'a power of 65537 modulo 2·3·5···167', DISCARD),
    );
  }
  return findings;
}

function integer(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${toHex(bytes)}`);
}

function primesBelow(limit: number): number[] {
  const composite = new Uint8Array(limit);
  const primes: number[] = [];
  for (let i = 2; i < limit; i++) {
    if (composite[i] === 1) continue;
    primes.push(i);
    for (let j = i * i; j < limit; j += i) composite[j] = 1;
  }
  return primes;
}

const SMALL_PRIMES = primesBelow(65536);

/** The smallest prime below 2^16 that divides n, or null. */
function smallFactor(n: bigint): number | null {
  if (n === 0n) return 2;
  // Three primes at a time (below 2^48): one long division of n gives a remainder that plain numbers can finish.
  for (let i = 0; i < SMALL_PRIMES.length; i += 3) {
    const group = SMALL_PRIMES.slice(i, i + 3);
    const product = group.reduce((a, b) => a * b, 1);
    const rest = Number(n % BigInt(product));
    for (const prime of group) if (rest % prime === 0) return prime;
  }
  return null;
}

/** The CA/Browser Forum asks for 100 (Baseline Requirements section 6.1.1.3); more cost next to nothing. */
const FERMAT_ROUNDS = 1000;

/** Fermat: n = a^2 - b^2 for some a just above the root of n. The round that found it, 0 for n = p^2, null for none. */
function closePrimes(n: bigint): number | null {
  if (n < 4n || n % 2n === 0n) return null; // even numbers belong to smallFactor, and never end here
  let a = squareRoot(n);
  if (a * a === n) return 0;
  a += 1n;
  let b2 = a * a - n;
  for (let round = 1; round <= FERMAT_ROUNDS; round++) {
    if (maybeSquare(b2)) {
      const b = squareRoot(b2);
      if (b * b === b2) return round;
    }
    b2 += 2n * a + 1n;
    a += 1n;
  }
  return null;
}

const SQUARE_MODULI = [9, 5, 7, 11, 13].map((m) => {
  const squares = new Set(Array.from({ length: m }, (_, i) => (i * i) % m));
  return { m, squares };
});
const SQUARES_MOD_64 = new Set(Array.from({ length: 64 }, (_, i) => (i * i) % 64));

/** False only for numbers that are no squares; lets about one in a hundred of the others through. */
function maybeSquare(value: bigint): boolean {
  if (!SQUARES_MOD_64.has(Number(value & 63n))) return false;
  const rest = Number(value % 45045n); // 9·5·7·11·13
  return SQUARE_MODULI.every(({ m, squares }) => squares.has(rest % m));
}

/** Largest integer whose square is not above `value` (Newton's method from above). */
function squareRoot(value: bigint): bigint {
  if (value < 2n) return value;
  let x = 1n << BigInt((value.toString(16).length * 4 + 1) >> 1);
  for (;;) {
    const next = (x + value / x) >> 1n;
    if (next >= x) return x;
    x = next;
  }
}

/**
 * ROCA, CVE-2017-15361 (Nemec et al., "The Return of Coppersmith's Attack", CCS 2017): the faulty library makes primes of
 * the form k·M + (65537^a mod M), so n is a power of 65537 modulo M. M is the product of the first primes; how many depends
 * on the key size, but all sizes share the first 39 (2 to 167), and those are enough to tell.
 *
 * First test, residues: n must be a power of 65537 modulo every one of the primes. About one random modulus in 2^28 passes.
 * Second test, exact: the exponents so found must agree, because it must be ONE power modulo the whole product. Congruences
 * modulo the orders of 65537 have a common solution exactly if they agree pairwise modulo the gcd of the two orders (Chinese
 * remainders), so no discrete logarithm over the product is needed. A random modulus passes with less than 2^-150.
 */
function hasRocaStructure(n: bigint): boolean {
  const exponents: { readonly order: number; readonly exponent: number }[] = [];
  for (const { prime, order, logarithms } of ROCA_PRIMES) {
    const exponent = logarithms.get(Number(n % BigInt(prime)));
    if (exponent === undefined) return false;
    exponents.push({ order, exponent });
  }
  return exponents.every((one, i) =>
    exponents.slice(i + 1).every((other) => {
      const shared = gcd(one.order, other.order);
      return one.exponent % shared === other.exponent % shared;
    }),
  );
}

/** Per prime 3..167: the powers of 65537, each with its exponent. (Modulo 2 every odd n is one.) */
const ROCA_PRIMES = SMALL_PRIMES.filter((prime) => prime > 2 && prime <= 167).map((prime) => {
  const logarithms = new Map<number, number>();
  let power = 1;
  for (let exponent = 0; !logarithms.has(power); exponent++) {
    logarithms.set(power, exponent);
    power = (power * 65537) % prime;
  }
  return { prime, order: logarithms.size, logarithms };
});

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
