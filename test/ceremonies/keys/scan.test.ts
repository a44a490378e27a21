/** Keys looked at together. Batch gcd is compared with every pair. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex } from '../../../ceremonies/bytes.ts';
import { publicKeyFromParts } from '../../../ceremonies/keys/public-key.ts';
import { blocklistHash, gcd, modulusOf, sharedFactors } from '../../../ceremonies/keys/scan.ts';
import { readSubjectKey } from '../../../ceremonies/keys/subject-key.ts';

const byPairs = (moduli: readonly bigint[]) => moduli.map((n, i) => moduli.some((other, j) => j !== i && gcd(n, other) !== 1n));

const PRIMES = [1000003n, 1000033n, 1000037n, 1000039n, 1000081n, 1000099n, 1000117n, 1000121n, 1000133n, 1000151n];

test('batch gcd finds what every pair would', async () => {
  const moduli = fc.uniqueArray(fc.tuple(fc.constantFrom(...PRIMES), fc.constantFrom(...PRIMES)).map(([p, q]) => p * q), { maxLength: 24 });
  await fc.assert(fc.asyncProperty(moduli, async (given) => {
    const factors = await sharedFactors(given);
    assert.deepEqual(factors.map((factor) => factor !== null), byPairs(given));
    for (const [i, factor] of factors.entries()) if (factor !== null) assert.equal(given[i]! % factor, 0n);
  }));
});

test('one, two, and an odd number of moduli; a modulus whose primes are both shared', async () => {
  const [p, q, r, s, t] = PRIMES as [bigint, bigint, bigint, bigint, bigint];
  assert.deepEqual(await sharedFactors([]), []);
  assert.deepEqual(await sharedFactors([p * q]), [null]);
  assert.deepEqual(await sharedFactors([p * q, r * s]), [null, null]);
  assert.deepEqual(await sharedFactors([p * q, p * r]), [p, p]);
  assert.deepEqual(await sharedFactors([p * q, r * s, q * t]), [q, null, q]);
  assert.deepEqual(await sharedFactors([p * q, p * r, q * s]), [p * q, p, q]);
});

test('it lets others work between large steps', async () => {
  let breaths = 0;
  const moduli = Array.from({ length: 600 }, (_, i) => (1n << 2047n) + 2n * BigInt(i) + 1n);
  await sharedFactors(moduli, async () => { breaths += 1; });
  assert.ok(breaths > 10, `${breaths}`);
});

test('the hash of a blocklist is that of the number that makes the key, without leading zeros', () => {
  const n = fromHex(`00${'c7'.repeat(255)}01`);
  const rsa = readSubjectKey(publicKeyFromParts('rsa-3072', { n, e: fromHex('010001') }).spki);
  assert.equal(modulusOf(rsa), BigInt(`0x${'c7'.repeat(255)}01`));
  assert.deepEqual(Buffer.from(blocklistHash(rsa)), createHash('sha256').update(n.subarray(1)).digest().subarray(0, 15));
  // RFC 8032 section 7.1, test 1: begins with no zero; its hash is that of all 32 bytes.
  const raw = fromHex('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
  const ed = readSubjectKey(publicKeyFromParts('ed25519', { raw }).spki);
  assert.equal(modulusOf(ed), null);
  assert.deepEqual(Buffer.from(blocklistHash(ed)), createHash('sha256').update(raw).digest().subarray(0, 15));
});
