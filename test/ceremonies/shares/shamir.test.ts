import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import fc from 'fast-check';
import { combine } from 'shamir-secret-sharing';
import { concat, fromHex, toHex } from '../../../ceremonies/bytes.ts';
import { checkNumbers, combineShares, secretBytes, splitSecret, type RawShare } from '../../../ceremonies/shares/shamir.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { SEED } from '../keys/seed.ts';

const rule = (name: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === name;

/** GF(2^8) without tables, written from the definition: multiply, reduce by x^8 + x^4 + x^3 + x + 1. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 0; bit < 8; bit++) if ((b >> bit) & 1) product ^= a << bit;
  for (let bit = 14; bit >= 8; bit--) if ((product >> bit) & 1) product ^= 0x11b << (bit - 8);
  return product;
}
const inverse = (a: number): number => [...Array(256).keys()].find((b) => multiply(a, b) === 1)!;

/** Lagrange at zero, one byte at a time. */
function interpolate(shares: readonly RawShare[]): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, at) =>
    shares.reduce((sum, one) => {
      const basis = shares.filter((other) => other !== one).reduce((value, other) => multiply(value, multiply(other.x, inverse(one.x ^ other.x))), 1);
      return sum ^ multiply(one.payload[at]!, basis);
    }, 0),
  );
}

test('Vault-format vectors: every listed combination, through this file and through the library alone', async () => {
  const { tests } = JSON.parse(readFileSync(new URL('../../vectors/shamir/vault-format-vectors.json', import.meta.url), 'utf8')) as {
    tests: { name: string; secret: string; shares: string[]; combine: number[][] }[];
  };
  let tried = 0;
  for (const { name, secret, shares, combine: groups } of tests) {
    for (const group of groups) {
      const parts = group.map((i) => fromHex(shares[i]!));
      assert.equal(toHex(await combine(parts)), secret, name);
      // Bytes are shared one by one, so other lengths than 32 are tried in pieces, filled up with zeros.
      let whole = new Uint8Array(0);
      for (let at = 0; at < secret.length / 2; at += 32) {
        const raw = parts.map((part) => {
          const payload = new Uint8Array(32);
          payload.set(part.subarray(at, Math.min(at + 32, part.length - 1)));
          return { x: part.at(-1)!, payload };
        });
        whole = new Uint8Array(concat(whole, await combineShares(raw)));
      }
      assert.equal(toHex(whole.subarray(0, secret.length / 2)), secret, name);
      tried++;
    }
  }
  assert.equal(tried, 35);
});

const numbers = fc.integer({ min: 2, max: 9 }).chain((shares) => fc.record({ shares: fc.constant(shares), threshold: fc.integer({ min: 2, max: shares }) }));

test('any M of N give the secret back; an implementation without tables agrees; M - 1 do not', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 32, maxLength: 32 }), numbers, fc.infiniteStream(fc.nat()), async (bytes, n, random) => {
      const secret = new Uint8Array(bytes);
      const shares = await splitSecret(secret, n);
      assert.deepEqual(shares.map((share) => share.x), Array.from({ length: n.shares }, (_, i) => i + 1));
      const order = shares.map((share) => [random.next().value as number, share] as const).toSorted((a, b) => a[0] - b[0]).map(([, share]) => share);
      const quorum = order.slice(0, n.threshold);
      assert.deepEqual(await combineShares(quorum), secret);
      assert.deepEqual(interpolate(quorum), secret);
      assert.deepEqual(await combineShares(order), secret);
      if (n.threshold > 2) assert.notDeepEqual(await combineShares(order.slice(0, n.threshold - 1)), secret);
    }),
    { seed: SEED, numRuns: 40 },
  );
});

test('the largest sets', async () => {
  const secret = new Uint8Array(32).fill(0xa5);
  const shares = await splitSecret(secret, { threshold: 255, shares: 255 });
  assert.deepEqual(await combineShares(shares), secret);
  const two = await splitSecret(secret, { threshold: 2, shares: 255 });
  assert.deepEqual(await combineShares([two[254]!, two[0]!]), secret);
});

test('secrets sit in buffers of their own and arguments are left alone', async () => {
  const secret = Buffer.alloc(32, 7); // a Buffer from a shared slab, as device code may have it
  const shares = await splitSecret(secret, { threshold: 2, shares: 3 });
  for (const { payload } of shares) assert.equal(payload.buffer.byteLength, 32);
  assert.deepEqual(new Uint8Array(secret), new Uint8Array(32).fill(7));
  const before = shares.map((share) => toHex(share.payload));
  const result = await combineShares(shares);
  assert.equal(result.buffer.byteLength, 32);
  assert.equal(Object.getPrototypeOf(result), Uint8Array.prototype);
  assert.deepEqual(shares.map((share) => toHex(share.payload)), before);
  assert.deepEqual(secretBytes(4), new Uint8Array(4));
});

test('two splits of one secret have nothing in common', async () => {
  const secret = new Uint8Array(32);
  const [a, b] = [await splitSecret(secret, { threshold: 2, shares: 2 }), await splitSecret(secret, { threshold: 2, shares: 2 })];
  assert.notDeepEqual(a[0]!.payload, b[0]!.payload);
  assert.notDeepEqual(a[0]!.payload, a[1]!.payload);
});

test('numbers: boundary rows', () => {
  for (const [m, n] of [[2, 2], [2, 255], [255, 255], [3, 5]] as const) checkNumbers(m, n);
  for (const [m, n] of [[1, 1], [1, 3], [0, 3], [3, 2], [2, 256], [256, 256], [-2, 3], [2.5, 3], [2, 3.5], [NaN, 3], [2, Infinity]] as const) {
    assert.throws(() => checkNumbers(m, n), rule('SHARE-NUMBERS'), `${m} of ${n}`);
  }
});

test('refusals by name, before anything is computed', async () => {
  const [one, two, three] = await splitSecret(new Uint8Array(32), { threshold: 2, shares: 3 });
  assert.ok(one && two && three);
  await assert.rejects(splitSecret(new Uint8Array(31), { threshold: 2, shares: 3 }), rule('SHARE-LENGTH'));
  await assert.rejects(splitSecret(new Uint8Array(33), { threshold: 2, shares: 3 }), rule('SHARE-LENGTH'));
  await assert.rejects(combineShares([]), rule('SHARES-TOO-FEW'));
  await assert.rejects(combineShares([one]), rule('SHARES-TOO-FEW'));
  await assert.rejects(combineShares([one, one]), rule('SHARE-DUPLICATE'));
  await assert.rejects(combineShares([one, { ...two, payload: two.payload.subarray(1) }]), rule('SHARE-LENGTH'));
  for (const x of [0, 256, -1, 1.5]) await assert.rejects(combineShares([one, { ...two, x }]), rule('SHARE-X-ZERO'), `${x}`);
});

test('what the library alone would do with x = 0: hand over the attacker\'s bytes', async () => {
  const shares = await splitSecret(new Uint8Array(32).fill(1), { threshold: 2, shares: 2 });
  const chosen = new Uint8Array(32).fill(0x66);
  const forged = concat(chosen, Uint8Array.of(0));
  assert.deepEqual(await combine([concat(shares[0]!.payload, Uint8Array.of(1)), forged]), chosen);
});
