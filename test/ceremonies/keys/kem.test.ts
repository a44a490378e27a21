import assert from 'node:assert/strict';
import test from 'node:test';
import { sha3_256 } from '@noble/hashes/sha3.js';
import fc from 'fast-check';
import { concat, fromHex, toHex, utf8 } from '../../../ceremonies/bytes.ts';
import { COMPOSITE_KEMS, ML_KEMS, X_WING } from '../../../ceremonies/keys/algorithms.ts';
import { checkKemPublicKey, combineSecrets, decapsulate, encapsulate, encapsulationRandomness, kemPublicFromPrivate, kemSelfTest, type KemAlgorithm } from '../../../ceremonies/keys/kem.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { SEED } from './seed.ts';
import { base64, kemVectors, vectorFile, vectorJson } from './vectors.ts';

const rows: readonly KemAlgorithm[] = [...Object.values(ML_KEMS), ...COMPOSITE_KEMS];
const vectors = kemVectors().tests.map((one) => ({
  row: rows.find((row) => `id-${row.name}` === one.tcId || `id-alg-${row.name}` === one.tcId)!, ek: base64(one.ek), dk: base64(one.dk), c: base64(one.c), k: base64(one.k),
}));
const refused = (rule: RegExp) => (error: unknown): boolean => error instanceof Refused && rule.test(error.refusal.rule);

for (const { row, ek, dk, c, k } of vectors) {
  test(`official vector ${row.name}`, async () => {
    assert.deepEqual(await decapsulate(row, dk, c), k);
    assert.deepEqual(kemPublicFromPrivate(row, dk), ek);
    if (row.family === 'composite-kem') {
      assert.deepEqual([ek.length, c.length], [row.sizes.publicKey, row.sizes.ciphertext]);
      assert.ok(row.sizes.varies.includes('privateKey') ? Math.abs(dk.length - row.sizes.privateKey) < 9 : dk.length === row.sizes.privateKey);
    }
    assert.equal(await kemSelfTest(row, dk, new Uint8Array(encapsulationRandomness(row)).fill(9)), true);
    for (const length of [0, 1, ek.length - 1, ek.length + 1]) assert.throws(() => encapsulate(row, concat(ek, ek).slice(0, length), new Uint8Array(encapsulationRandomness(row))), refused(/^(KEM-PUBLIC-KEY|DER-STRUCTURE)$/));
    for (const length of [0, c.length - 1, c.length + 1]) await assert.rejects(decapsulate(row, dk, concat(c, c).slice(0, length)), refused(/^KEM-CIPHERTEXT$/));
    for (const length of [0, 64, dk.length - 1, dk.length + 1].filter((one) => one !== dk.length)) await assert.rejects(decapsulate(row, concat(dk, dk).slice(0, length), c), refused(/^(KEM-PRIVATE-KEY|DER-STRUCTURE)$/));
    assert.throws(() => encapsulate(row, ek, new Uint8Array(31)), refused(/^KEM-RANDOMNESS$/));
  });
}

test('X-Wing: the three vectors of the draft', async () => {
  for (const one of vectorJson('xwing/test-vectors.json') as { seed: string; eseed: string; ss: string; pkSha3?: string; ctSha3?: string }[]) {
    const pk = kemPublicFromPrivate(X_WING, fromHex(one.seed));
    const { ciphertext, sharedSecret } = encapsulate(X_WING, pk, fromHex(one.eseed));
    assert.equal(toHex(sharedSecret), one.ss);
    assert.equal(toHex(await decapsulate(X_WING, fromHex(one.seed), ciphertext)), one.ss);
    if (one.pkSha3 !== undefined) assert.equal(toHex(sha3_256(pk)), one.pkSha3);
    if (one.ctSha3 !== undefined) assert.equal(toHex(sha3_256(ciphertext)), one.ctSha3);
    // X-Wing and the composite differ in the private key only.
    const composite = COMPOSITE_KEMS.find((row) => row.name === 'MLKEM768-X25519-SHA3-256')!;
    assert.deepEqual(encapsulate(composite, pk, fromHex(one.eseed)).ciphertext, ciphertext);
    assert.equal(toHex(encapsulate(composite, pk, fromHex(one.eseed)).sharedSecret), one.ss);
  }
});

test('the combiner of the draft\'s walk-through', () => {
  const text = new TextDecoder().decode(vectorFile('composite-kem/kemCombiner_MLKEM768_X25519_SHA3_256.txt'));
  const hex = (label: string): Uint8Array => fromHex(new RegExp(`^${label}:\\s*([0-9a-f]{64})`, 'm').exec(text)?.[1] ?? '');
  const row = COMPOSITE_KEMS.find((one) => one.name === 'MLKEM768-X25519-SHA3-256')!;
  assert.equal(toHex(utf8(row.domain)), '5c2e2f2f5e5c');
  assert.deepEqual(combineSecrets(row, hex('mlkemSS'), hex('tradSS'), hex('tradCT'), hex('tradPK')), hex('ss'));
});

test('FIPS 203 section 7.2: a coefficient of 3329 or more is refused, wherever it stands', () => {
  for (const { row, ek } of vectors) {
    const bytes = (row.family === 'ml-kem' ? row : ML_KEMS[row.family === 'composite-kem' ? row.mlKem : 'ml-kem-768']).publicKeyBytes - 32;
    for (const at of [0, 3 * 17, bytes - 3]) {
      const low = ek.slice();
      low[at] = 0x01;
      low[at + 1] = (low[at + 1]! & 0xf0) | 0x0d; // 0xd01 = 3329
      assert.throws(() => { checkKemPublicKey(row, low); }, refused(/^KEM-MODULUS$/));
      const high = ek.slice();
      high[at + 1] = high[at + 1]! | 0xf0;
      high[at + 2] = 0xff;
      assert.throws(() => { checkKemPublicKey(row, high); }, refused(/^KEM-MODULUS$/));
    }
  }
});

test('classical halves: points off the curve and of small order are errors, not secrets', async () => {
  const of = (name: string) => vectors.find(({ row }) => row.name === name)!;
  for (const name of ['MLKEM768-X25519-SHA3-256', 'MLKEM1024-X448-SHA3-256']) {
    const { row, ek, dk, c } = of(name);
    const size = name.includes('448') ? 56 : 32;
    assert.throws(() => { checkKemPublicKey(row, concat(ek.slice(0, -size), new Uint8Array(size))); }, refused(/^KEY-ENCODING$/));
    await assert.rejects(decapsulate(row, dk, concat(c.slice(0, -size), new Uint8Array(size))), refused(/^KEM-CIPHERTEXT$/));
  }
  const { row, ek, dk, c } = of('MLKEM768-ECDH-P256-SHA3-256');
  const off = (bytes: Uint8Array): Uint8Array => { const copy = bytes.slice(); copy[copy.length - 1]! ^= 1; return copy; };
  assert.throws(() => { checkKemPublicKey(row, off(ek)); }, refused(/^KEY-ENCODING$/));
  await assert.rejects(decapsulate(row, dk, off(c)), refused(/^KEM-CIPHERTEXT$/));
  const rsa = of('MLKEM768-RSA2048-SHA3-256');
  await assert.rejects(decapsulate(rsa.row, rsa.dk, off(rsa.c)), refused(/^KEM-CIPHERTEXT$/));
});

test('ML-KEM itself rejects implicitly: another ciphertext gives another secret', async () => {
  const { row, dk, c, k } = vectors.find((one) => one.row.name === 'ml-kem-768')!;
  const other = c.slice();
  other[5]! ^= 1;
  const secret = await decapsulate(row, dk, other);
  assert.equal(secret.length, 32);
  assert.notDeepEqual(secret, k);
});

test('property: encapsulate and decapsulate agree; spoiled keys are refused by name', async () => {
  const fast = vectors.filter(({ row }) => !row.name.includes('RSA'));
  await fc.assert(fc.asyncProperty(fc.constantFrom(...fast), fc.uint8Array({ minLength: 200, maxLength: 200 }), fc.nat(), async ({ row, ek, dk }, random, at) => {
    const { ciphertext, sharedSecret } = encapsulate(row, ek, random.slice(0, encapsulationRandomness(row)));
    assert.deepEqual(await decapsulate(row, dk, ciphertext), sharedSecret);
    const spoiled = ek.slice();
    spoiled[at % ek.length]! ^= random[0]! | 1;
    try { checkKemPublicKey(row, spoiled); } catch (error) { assert.ok(error instanceof Refused); }
  }), { seed: SEED, numRuns: 15 });
});
