import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex, utf8 } from '../../../ceremonies/bytes.ts';
import { XMSS_SETS, XMSS_TREES, type XmssAlgorithm } from '../../../ceremonies/keys/algorithms.ts';
import { checkChain, readCertificate } from '../../../ceremonies/keys/chain.ts';
import { readSubjectKey, signatureFindings, subjectKeyOf } from '../../../ceremonies/keys/subject-key.ts';
import { readXmssPublicKey, xmssFault } from '../../../ceremonies/keys/xmss.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { flipped } from './key-pairs.ts';
import { SEED } from './seed.ts';
import { pemFile, vectorJson } from './vectors.ts';
import { xmssKey } from './xmss-key.ts';

interface Vector { readonly set: string; readonly message: string; readonly publicKey: string; readonly signature: string }
const { valid, notApproved, invalid } = vectorJson('xmss/botan-3.7.1.json') as {
  valid: readonly Vector[]; notApproved: readonly Pick<Vector, 'set' | 'publicKey'>[]; invalid: readonly (Vector & { why: string })[];
};
const layered = vectorJson('xmss/bouncy-castle-1.80.json') as readonly Vector[];
const one = valid[0]!;
const [publicKey, message, signature] = [one.publicKey, one.message, one.signature].map(fromHex) as [Uint8Array, Uint8Array, Uint8Array];
const ruleOf = (tree: XmssAlgorithm['tree'], key: Uint8Array, text: Uint8Array, made: Uint8Array): string => xmssFault(tree, key, text, made)?.rule ?? 'accepted';

test('the registry has the parameter sets of SP 800-208, with the sizes of RFC 8391', () => {
  assert.deepEqual([XMSS_SETS.filter(({ tree }) => tree === 'xmss').length, XMSS_SETS.filter(({ tree }) => tree === 'xmssmt').length], [12, 32]);
  for (const field of ['name', 'label'] as const) assert.equal(new Set(XMSS_SETS.map((row) => row[field])).size, XMSS_SETS.length);
  const sizes = (label: string) => XMSS_SETS.filter((row) => row.label === label).map(({ signatureBytes, pkcs11 }) => [pkcs11.parameterSet, signatureBytes]);
  // RFC 8391 sections 5.3 and 5.4; SP 800-208 section 5.
  assert.deepEqual(sizes('XMSS-SHA2_20_256'), [[0x03, 2820]]);
  assert.deepEqual(sizes('XMSS-SHA2_10_192'), [[0x0d, 1492]]);
  assert.deepEqual(sizes('XMSS-SHAKE256_16_256'), [[0x11, 2692]]);
  assert.deepEqual(sizes('XMSSMT-SHA2_20/2_256'), [[0x01, 4963]]);
  assert.deepEqual(sizes('XMSSMT-SHA2_60/12_256'), [[0x08, 27688]]);
  assert.deepEqual(sizes('XMSSMT-SHA2_40/8_192'), [[0x25, 10781]]);
  assert.deepEqual(sizes('XMSSMT-SHAKE256_60/3_192'), [[0x36, 5144]]);
});

for (const { set, message: text, publicKey: key, signature: made } of valid) {
  test(`Botan's vector XMSS-${set}`, () => {
    assert.equal(readXmssPublicKey('xmss', fromHex(key)).label, `XMSS-${set}`);
    assert.equal(xmssFault('xmss', fromHex(key), fromHex(text), fromHex(made)), null);
    assert.equal(ruleOf('xmss', fromHex(key), utf8('another'), fromHex(made)), 'SIGNATURE-VERIFIES');
  });
}

for (const { set, message: text, publicKey: key, signature: made } of layered) {
  test(`Bouncy Castle's vector XMSSMT-${set}`, () => {
    assert.equal(readXmssPublicKey('xmssmt', fromHex(key)).label, `XMSSMT-${set}`);
    assert.equal(xmssFault('xmssmt', fromHex(key), fromHex(text), fromHex(made)), null);
    fc.assert(fc.property(fc.nat(made.length / 2 - 1), fc.nat(7), (at, bit) => {
      assert.match(ruleOf('xmssmt', fromHex(key), fromHex(text), flipped(fromHex(made), at, bit)), /^(XMSS-SIGNATURE|SIGNATURE-VERIFIES)$/);
    }), { seed: SEED, numRuns: 10 });
  });
}

test('Botan\'s invalid signatures are refused, each by the rule that it breaks', () => {
  for (const { why, message: text, publicKey: key, signature: made } of invalid) {
    const rule = /byte swap|message/i.test(why) ? 'SIGNATURE-VERIFIES' : 'XMSS-SIGNATURE';
    assert.equal(ruleOf('xmss', fromHex(key), fromHex(text), fromHex(made)), rule, why);
  }
});

test('sets that SP 800-208 does not approve, and those of the other tree, are named and refused', () => {
  for (const { set, publicKey: key } of notApproved) assert.equal(ruleOf('xmss', fromHex(key), message, signature), 'XMSS-PUBLIC-KEY', set);
  for (const key of ['', '000000', '00000000', '00000001', one.publicKey.slice(2), `${one.publicKey}00`, one.publicKey.replace(/^00000001/, '0000000d'), one.publicKey.replace(/^00000001/, '01000001')]) {
    assert.equal(ruleOf('xmss', fromHex(key), message, signature), 'XMSS-PUBLIC-KEY', key.slice(0, 16));
  }
  assert.equal(ruleOf('xmssmt', publicKey, message, signature), 'XMSS-SIGNATURE', 'number 1 is another set there');
});

test('whatever is changed is refused by name', () => {
  fc.assert(fc.property(fc.nat(signature.length - 1), fc.nat(7), (at, bit) => {
    assert.match(ruleOf('xmss', publicKey, message, flipped(signature, at, bit)), /^(XMSS-SIGNATURE|SIGNATURE-VERIFIES)$/);
  }), { seed: SEED, numRuns: 80 });
  fc.assert(fc.property(fc.nat(publicKey.length - 1), fc.nat(7), (at, bit) => {
    assert.match(ruleOf('xmss', flipped(publicKey, at, bit), message, signature), /^(XMSS-PUBLIC-KEY|XMSS-SIGNATURE|SIGNATURE-VERIFIES)$/);
  }), { seed: SEED, numRuns: 40 });
});

test('hostile bytes: lengths are known before anything is hashed', () => {
  fc.assert(fc.property(fc.constantFrom('xmss' as const, 'xmssmt' as const), fc.uint8Array({ maxLength: 80 }), fc.uint8Array({ maxLength: 6000 }), (tree, key, made) => {
    assert.match(ruleOf(tree, key, message, made), /^XMSS-(PUBLIC-KEY|SIGNATURE)$/);
  }), { seed: SEED, numRuns: 300 });
  fc.assert(fc.property(fc.nat(signature.length), fc.uint8Array({ maxLength: 64 }), (at, tail) => {
    const cut = Uint8Array.from([...signature.subarray(0, at), ...tail]);
    assert.ok(cut.length === signature.length || ruleOf('xmss', publicKey, message, cut) === 'XMSS-SIGNATURE');
  }), { seed: SEED, numRuns: 200 });
});

test('every parameter set, against a second arithmetic: the last index and one between', () => {
  for (const row of XMSS_SETS) {
    const last = (1n << BigInt(row.height)) - 2n;
    for (const first of row.layers <= 4 ? [0x5a5a5a5a5a5a5a5an & last, last] : [0x5a5a5a5a5a5a5a5an & last]) {
      const key = xmssKey(row, first, 1);
      const [, second] = [key.sign(message), key.sign(message)]; // the odd leaf: its path goes the other way
      assert.equal(second.length, row.signatureBytes, row.label);
      assert.equal(xmssFault(row.tree, key.raw, message, second), null, `${row.label}, ${first + 1n}`);
      assert.equal(ruleOf(row.tree, key.raw, utf8('no'), second), 'SIGNATURE-VERIFIES');
    }
  }
});

test('an index beyond the tree is refused, where the field has room for one', () => {
  for (const row of XMSS_SETS) {
    const at = row.tree === 'xmss' ? 4 : Math.ceil(row.height / 8);
    if (row.height === 8 * at) continue;
    const raw = fromHex(`${row.pkcs11.parameterSet.toString(16).padStart(8, '0')}${'00'.repeat(2 * row.n)}`);
    const made = new Uint8Array(row.signatureBytes);
    assert.equal(ruleOf(row.tree, raw, message, made), 'SIGNATURE-VERIFIES', row.label);
    made.set(fromHex((1n << BigInt(row.height)).toString(16).padStart(2 * at, '0')));
    assert.equal(ruleOf(row.tree, raw, message, made), 'XMSS-SIGNATURE', row.label);
  }
});

test('the example certificate of the XMSS appendix of RFC 9802 verifies', async () => {
  const der = pemFile('xmss/rfc9802-xmss-sha2-10-256.pem');
  const reading = readCertificate(der);
  assert.equal(reading.key.label, 'XMSS-SHA2_10_256');
  assert.deepEqual((await checkChain([reading])).findings.flat(), []);
  const bent = der.slice();
  bent[bent.length - 1]! ^= 1;
  assert.deepEqual((await checkChain([readCertificate(bent)])).findings.flat().map(({ rule }) => rule), ['SIGNATURE-VERIFIES']);
});

test('the example certificate of the HSS appendix of RFC 9802 verifies', async () => {
  const reading = readCertificate(pemFile('hss/rfc9802-hss.pem'));
  assert.equal(reading.key.label, 'HSS/LMS');
  assert.deepEqual((await checkChain([reading])).findings.flat(), []);
});

test('as a key of a certificate: parameters absent, no context, the identifier its own (RFC 9802)', async () => {
  const key = subjectKeyOf(XMSS_TREES.xmss.oid, null, publicKey);
  assert.deepEqual(readSubjectKey(key.spki), key);
  assert.deepEqual([key.kind, key.label], ['xmss', 'XMSS-SHA2_10_256']);
  assert.throws(() => subjectKeyOf(XMSS_TREES.xmss.oid, Uint8Array.of(5, 0), publicKey), (error) => error instanceof Refused && error.refusal.rule === 'KEY-PARAMETERS');
  const rules = async (...more: [oid: string, parameters: Uint8Array | null, context?: string]): Promise<string[]> =>
    (await signatureFindings(key, { oid: more[0], parameters: more[1] }, message, signature, utf8(more[2] ?? ''))).map(({ rule }) => rule);
  assert.deepEqual(await rules(XMSS_TREES.xmss.oid, null), []);
  assert.deepEqual(await rules(XMSS_TREES.xmssmt.oid, null), ['SIGNATURE-ALGORITHM']);
  assert.deepEqual(await rules(XMSS_TREES.xmss.oid, Uint8Array.of(5, 0)), ['SIGNATURE-PARAMETERS']);
  assert.deepEqual(await rules(XMSS_TREES.xmss.oid, null, 'context'), ['SIGNATURE-CONTEXT']);
  assert.equal(toHex(key.raw), one.publicKey);
});
