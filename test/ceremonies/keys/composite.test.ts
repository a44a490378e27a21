import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { concat, fromHex, toHex, utf8 } from '../../../ceremonies/bytes.ts';
import { ALGORITHMS, COMPOSITE_KEMS, COMPOSITE_SIGNATURES, compositeNamed, HSS_LMS, ML_KEMS, postQuantumByOid, SLH_DSAS, X_WING, type CompositeSignature } from '../../../ceremonies/keys/algorithms.ts';
import {
  compositeMessage, compositePreHash, compositePublicFromPrivate, readCompositePrivateKey, readCompositePublicKey, signComposite, softwareSigners,
  splitCompositeSignature, verifyComposite, writeCompositePrivateKey, writeCompositePublicKey,
} from '../../../ceremonies/keys/composite.ts';
import { SLH_DSA } from '../../../ceremonies/keys/subject-key.ts';
import { ML_KEM } from '../../../ceremonies/keys/kem.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { flipped } from './key-pairs.ts';
import { SEED } from './seed.ts';
import { base64, signatureVectors, vectorFile } from './vectors.ts';

const { m, ctx, tests } = signatureVectors();
const vectors = tests.filter((one) => !one.tcId.startsWith('id-ML-DSA')).map((one) => ({
  row: compositeNamed(one.tcId), pk: base64(one.pk), sk: base64(one.sk), s: base64(one.s), sWithContext: base64(one.sWithContext),
}));
const rules = (verdict: { findings: readonly { rule: string }[] }): string[] => verdict.findings.map((finding) => finding.rule);
const BOTH = ['COMPOSITE-ML-DSA-HALF', 'COMPOSITE-TRADITIONAL-HALF'];
const refused = (rule: RegExp) => (error: unknown): boolean => error instanceof Refused && rule.test(error.refusal.rule);

test('the registry has all of them, every number once, and sizes of the libraries', () => {
  assert.deepEqual([SLH_DSAS.length, COMPOSITE_SIGNATURES.length, COMPOSITE_KEMS.length], [12, 18, 12]);
  const rows = [...Object.values(ML_KEMS), ...SLH_DSAS, ...COMPOSITE_SIGNATURES, ...COMPOSITE_KEMS, X_WING, HSS_LMS];
  assert.equal(new Set(rows.map((row) => row.oid)).size, rows.length);
  assert.equal(new Set(rows.map((row) => row.label)).size, rows.length);
  for (const row of rows) assert.equal(postQuantumByOid(row.oid), row);
  for (const row of SLH_DSAS) {
    const { lengths } = SLH_DSA[row.name];
    assert.deepEqual([lengths.publicKey, lengths.secretKey, lengths.signature], [2 * row.n, 4 * row.n, row.signatureBytes], row.name);
  }
  assert.deepEqual(new Set(SLH_DSAS.map((row) => row.pkcs11.parameterSet)), new Set(Array.from({ length: 12 }, (_, i) => i + 1)));
  for (const row of Object.values(ML_KEMS)) {
    const { lengths } = ML_KEM[row.name];
    assert.deepEqual([lengths.publicKey, lengths.secretKey, lengths.cipherText], [row.publicKeyBytes, row.expandedBytes, row.ciphertextBytes], row.name);
  }
  for (const row of [...COMPOSITE_SIGNATURES, ...COMPOSITE_KEMS, X_WING]) assert.ok(row.profile.length > 0 && row.standing.state === 'draft');
});

test('M\' of the draft\'s worked example, with and without context', () => {
  for (const name of ['ctx', 'noctx']) {
    const text = new TextDecoder().decode(vectorFile(`composite-sigs/messageFormatSample_${name}.txt`));
    const hex = (label: string): string => new RegExp(`^${label}:\\s*([0-9a-f]+(?:\\n[0-9a-f]+)*)(?=\\n|$)`, 'm').exec(text)?.[1]?.replaceAll('\n', '') ?? '';
    const row = compositeNamed('id-MLDSA65-ECDSA-P256-SHA512');
    const made = compositeMessage(row, compositePreHash(row, fromHex(hex('M'))), name === 'ctx' ? fromHex(hex('ctx')) : undefined);
    assert.equal(toHex(made), hex("M'"), name);
  }
});

test('labels: the names of the draft, brainpool abbreviated', () => {
  for (const row of COMPOSITE_SIGNATURES) assert.equal(row.domain, `COMPSIG-${row.name.replace('brainpoolP256r1', 'BP256').replace('brainpoolP384r1', 'BP384')}`);
});

for (const { row, pk, sk, s, sWithContext } of vectors) {
  test(`official vector ${row.name}`, async () => {
    const key = readCompositePublicKey(row, pk);
    assert.deepEqual(await verifyComposite(key, m, s), { valid: true, mlDsa: true, traditional: true, findings: [] });
    assert.equal((await verifyComposite(key, m, sWithContext, ctx)).valid, true);
    assert.deepEqual(rules(await verifyComposite(key, m, sWithContext)), BOTH, 'context left out');
    assert.deepEqual(rules(await verifyComposite(key, m, s, ctx)), BOTH, 'context put in');
    const at = ALGORITHMS[row.mlDsa].signatureBytes;
    assert.deepEqual(rules(await verifyComposite(key, m, concat(s.slice(0, at), sWithContext.slice(at)))), BOTH.slice(1), 'a classical half of another message');
    assert.deepEqual(rules(await verifyComposite(key, m, concat(sWithContext.slice(0, at), s.slice(at)))), BOTH.slice(0, 1), 'an ML-DSA half of another message');

    assert.equal(pk.length, row.sizes.publicKey);
    assert.ok(row.sizes.varies.includes('privateKey') ? Math.abs(sk.length - row.sizes.privateKey) < 9 : sk.length === row.sizes.privateKey);
    assert.ok(s.length <= row.sizes.signature && (row.sizes.varies.includes('signature') || s.length === row.sizes.signature));
    const secret = readCompositePrivateKey(row, sk);
    assert.deepEqual(writeCompositePrivateKey(secret), sk);
    assert.deepEqual(writeCompositePublicKey(compositePublicFromPrivate(secret)), pk);
    const made = await signComposite(row, softwareSigners(secret, new Uint8Array(32).fill(3)), m, ctx);
    assert.equal((await verifyComposite(key, m, made, ctx)).valid, true, 'our own signature');

    for (const length of [0, 1, at, pk.length - 1, pk.length + 1]) assert.throws(() => readCompositePublicKey(row, concat(pk, pk).slice(0, length)), refused(/^(COMPOSITE-PUBLIC-KEY|DER-STRUCTURE)$/));
    for (const length of [0, 32, sk.length - 1, sk.length + 1]) assert.throws(() => readCompositePrivateKey(row, concat(sk, sk).slice(0, length)), refused(/^(COMPOSITE-PRIVATE-KEY|DER-STRUCTURE)$/));
    for (const length of [0, at, at + 7, row.sizes.signature + 1]) assert.deepEqual(rules(await verifyComposite(key, m, concat(s, s).slice(0, length))), ['COMPOSITE-SIGNATURE']);
  });
}

test('brainpool traps: the unabbreviated label and the P-256 composite of the same halves do not verify', async () => {
  const brainpool = vectors.find(({ row }) => row.name.includes('brainpoolP256r1'))!;
  const wrong: CompositeSignature = { ...brainpool.row, domain: `COMPSIG-${brainpool.row.name}` };
  assert.deepEqual(rules(await verifyComposite(readCompositePublicKey(wrong, brainpool.pk), m, brainpool.s)), BOTH);
  assert.throws(() => readCompositePublicKey(compositeNamed('MLDSA65-ECDSA-P256-SHA512'), brainpool.pk), refused(/^KEY-ENCODING$/));
});

test('an ECPrivateKey with its public key is refused inside a composite', () => {
  const { row, sk } = vectors.find((one) => one.row.name === 'MLDSA65-ECDSA-P256-SHA512')!;
  const ec = sk.slice(32);
  const longer = concat(Uint8Array.of(0x30, ec[1]! + 6), ec.slice(2), Uint8Array.of(0xa1, 4, 3, 2, 0, 4));
  assert.throws(() => readCompositePrivateKey(row, concat(sk.slice(0, 32), longer)), refused(/^(COMPOSITE-PRIVATE-KEY|KEY-ENCODING|DER-STRUCTURE)$/));
});

test('halves that a token gives back are measured, and contexts have an end', async () => {
  const { row, sk } = vectors.find((one) => one.row.name === 'MLDSA65-Ed25519-SHA512')!;
  const software = softwareSigners(readCompositePrivateKey(row, sk), new Uint8Array(32));
  await assert.rejects(signComposite(row, { ...software, mlDsa: () => Promise.resolve(new Uint8Array(3308)) }, m), refused(/^COMPOSITE-SIGNATURE$/));
  await assert.rejects(signComposite(row, { ...software, traditional: () => Promise.resolve(new Uint8Array(63)) }, m), refused(/^COMPOSITE-SIGNATURE$/));
  await assert.rejects(signComposite(row, software, m, new Uint8Array(256)), refused(/^COMPOSITE-CONTEXT$/));
  assert.throws(() => compositeMessage(row, new Uint8Array(32)), refused(/^COMPOSITE-PRE-HASH$/));
  let given: Uint8Array | undefined;
  await signComposite(row, { ...software, mlDsa: (message, context) => { given = context; return software.mlDsa(message, context); } }, m);
  assert.deepEqual(given, utf8(row.domain), 'ML-DSA has the label as its context');
});

test('property: any changed bit, message or context is refused; sign and verify agree for all of them', async () => {
  const { row, pk, sk, s } = vectors.find((one) => one.row.name === 'MLDSA44-Ed25519-SHA512')!;
  const key = readCompositePublicKey(row, pk);
  const secret = readCompositePrivateKey(row, sk);
  await fc.assert(fc.asyncProperty(fc.nat(s.length - 1), fc.nat(7), async (at, bit) => {
    const verdict = await verifyComposite(key, m, flipped(s, at, bit));
    assert.deepEqual(rules(verdict), [at < 2420 ? BOTH[0] : BOTH[1]]);
  }), { seed: SEED, numRuns: 25 });
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 255 }), async (message, context) => {
    const made = await signComposite(row, softwareSigners(secret, new Uint8Array(32).fill(1)), message, context);
    assert.equal((await verifyComposite(key, message, made, context)).valid, true);
    assert.deepEqual(rules(await verifyComposite(key, concat(message, Uint8Array.of(0)), made, context)), BOTH);
  }), { seed: SEED, numRuns: 8 });
});

test('property: arbitrary bytes as keys and signatures are refused by name, quickly', async () => {
  const keys = vectors.filter(({ row }) => !row.name.includes('448')).map(({ row, pk, sk }) => ({ row, pk, sk, key: readCompositePublicKey(row, pk) }));
  await fc.assert(fc.asyncProperty(fc.constantFrom(...keys), fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 24 }), async ({ row, pk, sk, key }, at, bytes) => {
    const spoil = (good: Uint8Array): Uint8Array => { const copy = good.slice(); copy.set(bytes.subarray(0, Math.max(0, good.length - (at % good.length))), at % good.length); return copy; };
    for (const read of [() => readCompositePublicKey(row, spoil(pk)), () => splitCompositeSignature(row, bytes)]) {
      try { read(); } catch (error) { assert.ok(error instanceof Refused, String(error)); }
    }
    try { readCompositePrivateKey(row, spoil(sk)); } catch (error) {
      assert.ok(error instanceof Refused, String(error));
      assert.ok(!error.message.includes(toHex(sk.slice(0, 8))));
    }
    assert.equal((await verifyComposite(key, m, bytes)).valid, false);
  }), { seed: SEED, numRuns: 60 });
});
