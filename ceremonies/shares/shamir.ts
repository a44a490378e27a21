/**
 * Splitting one 32-byte secret into N shares of which any M give it back: the audited `shamir-secret-sharing`, fenced in.
 *
 * GF(2^8) modulo x^8+x^4+x^3+x+1, one polynomial per byte; the same arithmetic and layout as HashiCorp Vault, so another
 * program can combine these shares. The library believes whatever it is given: a share with x = 0 makes the result the
 * attacker's own bytes, and a flipped bit or too few shares give a wrong secret in silence. This file refuses what can be
 * seen from the numbers alone; `share.ts` authenticates each share before and the secret after. Call that, not this.
 *
 * Randomness: the polynomials' coefficients come from the library's own call to the runtime's generator (crypto.randomBytes
 * or crypto.getRandomValues), the one place in `ceremonies/` where randomness is not an argument. Neither that nor a list
 * of shares may ever be logged. Secrets are held in arrays with a buffer of their own: small typed arrays otherwise live
 * inside the moving heap, where wiping one leaves older copies behind. The library's inner arrays are such small arrays, so
 * only the end of the process is a complete wipe.
 */

import { combine, split } from 'shamir-secret-sharing';
import { Refused, refuse } from '../refusal.ts';

/** Only keys of exactly this size are shared; anything larger is wrapped under one. */
export const SECRET_BYTES = 32;
const MOST_SHARES = 255; // x is one byte and not zero

/** One point of the polynomials: x, and 32 y values. `payload` is secret. */
export interface RawShare {
  readonly x: number;
  readonly payload: Uint8Array;
}

/** Zeroed bytes with a buffer of their own. Whoever asked for them wipes them. */
export function secretBytes(length: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(length));
}

/**
 * Shares with x = 1..`shares`, in that order. The caller wipes `secret` and every payload.
 * Throws `Refused` SHARE-LENGTH unless the secret has 32 bytes, SHARE-NUMBERS unless 2 <= threshold <= shares <= 255.
 */
export async function splitSecret(secret: Uint8Array, numbers: { readonly threshold: number; readonly shares: number }): Promise<RawShare[]> {
  const { threshold, shares } = numbers;
  checkNumbers(threshold, shares);
  if (secret.length !== SECRET_BYTES) throw wrongLength(secret.length);
  // The library takes plain Uint8Arrays only, and hands out its x coordinates shuffled. All 255 points are computed and
  // those with x above N dropped, so that share i is point i and the record can number shares like the people who hold them.
  const copy = secretBytes(SECRET_BYTES);
  copy.set(secret);
  const points = await split(copy, MOST_SHARES, threshold);
  copy.fill(0);
  const wanted: RawShare[] = [];
  for (const point of points) {
    const x = point[SECRET_BYTES]!;
    if (x <= shares) {
      const payload = secretBytes(SECRET_BYTES);
      payload.set(point.subarray(0, SECRET_BYTES));
      wanted.push({ x, payload });
    }
    point.fill(0);
  }
  return wanted.toSorted((a, b) => a.x - b.x);
}

/**
 * The value at x = 0 of the polynomials through these points: the secret, if they are M or more genuine shares of one
 * set, and 32 meaningless bytes otherwise. The caller wipes the result and the payloads.
 * Throws `Refused` SHARES-TOO-FEW (below 2), SHARE-X-ZERO, SHARE-DUPLICATE, SHARE-LENGTH.
 */
export async function combineShares(shares: readonly RawShare[]): Promise<Uint8Array> {
  if (shares.length < 2) throw new Refused(refuse('SHARES-TOO-FEW', 'two shares or more', `${shares.length}`, 'Bring more shares.'));
  const seen = new Set<number>();
  for (const { x, payload } of shares) {
    if (!Number.isInteger(x) || x < 1 || x > MOST_SHARES) throw xZero(x);
    if (seen.has(x)) throw new Refused(refuse('SHARE-DUPLICATE', 'every share once', `share ${x} twice`, 'Bring another share.'));
    if (payload.length !== SECRET_BYTES) throw wrongLength(payload.length);
    seen.add(x);
  }
  return valueAt(shares, 0);
}

/**
 * The value at `x` of the polynomials through two points or more: what SLIP-39 asks for at 254 and 255. In this field
 * subtraction is XOR, so the library's value at zero of points shifted by `x` is it. Payloads of one length, no two
 * points alike: that is the caller's to see to. The caller wipes the result and the payloads.
 */
export async function valueAt(points: readonly RawShare[], x: number): Promise<Uint8Array> {
  const shifted = points.map((point) => {
    const bytes = secretBytes(point.payload.length + 1);
    bytes.set(point.payload);
    bytes[point.payload.length] = point.x ^ x;
    return bytes;
  });
  try {
    const result = await combine(shifted);
    const value = secretBytes(result.length);
    value.set(result);
    result.fill(0);
    return value;
  } finally {
    for (const bytes of shifted) bytes.fill(0);
  }
}

/** Throws `Refused` SHARE-NUMBERS unless M and N make a quorum. */
export function checkNumbers(threshold: number, shares: number): void {
  const whole = Number.isInteger(threshold) && Number.isInteger(shares);
  if (whole && threshold >= 2 && threshold <= shares && shares <= MOST_SHARES) return;
  throw new Refused(
    refuse('SHARE-NUMBERS', `2 <= M <= N <= ${MOST_SHARES}`, `M = ${threshold}, N = ${shares}`, 'Correct the numbers in the script.'),
  );
}

export function xZero(x: number): Refused {
  return new Refused(
    refuse('SHARE-X-ZERO', 'a share number from 1 to 255', `${x}`, 'Keep this share as evidence: no genuine set contains it, and combining it would hand its maker the result.'),
  );
}

export function wrongLength(found: number): Refused {
  return new Refused(refuse('SHARE-LENGTH', `${SECRET_BYTES} bytes`, `${found} bytes`, 'Check which object was read.'));
}
