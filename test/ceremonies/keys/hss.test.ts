import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import fc from 'fast-check';
import { fromHex, utf8 } from '../../../ceremonies/bytes.ts';
import { hssFault, hssPublicKeyFault } from '../../../ceremonies/keys/hss.ts';
import { flipped } from './key-pairs.ts';
import { SEED } from './seed.ts';
import { vectorJson } from './vectors.ts';

const vector = vectorJson('hss/rfc8554-test-case-1.json') as { publicKey: string; message: string; signature: string };
const publicKey = fromHex(vector.publicKey);
const signature = fromHex(vector.signature);
const message = utf8(vector.message);

test('RFC 8554 appendix F, test case 1', () => {
  assert.equal(hssPublicKeyFault(publicKey), null);
  assert.equal(hssFault(publicKey, message, signature), null);
});

test('another message, key or signature is refused by name, whatever was changed', () => {
  assert.equal(hssFault(publicKey, utf8('another'), signature)?.rule, 'SIGNATURE-VERIFIES');
  fc.assert(fc.property(fc.nat(signature.length - 1), fc.nat(7), (at, bit) => {
    assert.match(hssFault(publicKey, message, flipped(signature, at, bit))?.rule ?? 'accepted', /^(HSS-SIGNATURE|SIGNATURE-VERIFIES)$/);
  }), { seed: SEED, numRuns: 60 });
  fc.assert(fc.property(fc.nat(publicKey.length - 1), fc.nat(7), (at, bit) => {
    assert.match(hssFault(flipped(publicKey, at, bit), message, signature)?.rule ?? 'accepted', /^(HSS-PUBLIC-KEY|HSS-SIGNATURE|SIGNATURE-VERIFIES)$/);
  }), { seed: SEED, numRuns: 40 });
});

test('lengths and hostile type codes cost nothing', () => {
  fc.assert(fc.property(fc.nat(signature.length), fc.uint8Array({ maxLength: 64 }), (at, tail) => {
    const cut = Uint8Array.from([...signature.subarray(0, at), ...tail]);
    assert.notEqual(cut.length === signature.length ? {} : hssFault(publicKey, message, cut), null);
  }), { seed: SEED, numRuns: 200 });
  for (const key of ['', '00000000', '00000009', '00000001ffffffffffffffff', '000000010000000500000005']) assert.equal(hssPublicKeyFault(fromHex(key))?.rule, 'HSS-PUBLIC-KEY', key);
});

/** One leaf of a one-level tree, made for this test alone, with its own arithmetic: all the other hashes and widths. */
function oneLeaf(lmsCode: number, otsCode: number, text: Uint8Array): { key: Uint8Array; signature: Uint8Array } {
  const family = Math.floor((otsCode - 1) / 4);
  const n: 24 | 32 = family % 2 === 0 ? 32 : 24;
  const w = ([1, 2, 4, 8] as const)[(otsCode - 1) % 4]!;
  const p = { 32: { 1: 265, 2: 133, 4: 67, 8: 34 }, 24: { 1: 200, 2: 101, 4: 51, 8: 26 } }[n][w]; // RFC 8554 table 1, SP 800-208 tables 3 to 6
  const shift = { 32: { 1: 7, 2: 6, 4: 4, 8: 0 }, 24: { 1: 8, 2: 6, 4: 4, 8: 0 } }[n][w];
  const h = (...parts: Uint8Array[]): Buffer => {
    const hash = family < 2 ? createHash('sha256') : createHash('shake256', { outputLength: n });
    for (const part of parts) hash.update(part);
    return hash.digest().subarray(0, n);
  };
  const u = (value: number, bytes: number): Buffer => { const b = Buffer.alloc(bytes); b.writeUIntBE(value, 0, bytes); return b; };
  const id = Buffer.alloc(16, 7);
  const start = (i: number): Buffer => h(Buffer.from('start'), u(i, 2));
  const run = (i: number, value: Buffer, from: number, to: number): Buffer => { let v = value; for (let j = from; j < to; j++) v = h(id, u(0, 4), u(i, 2), u(j, 1), v); return v; };
  const top = 2 ** w - 1;
  const leaf = h(id, u(32, 4), Buffer.from('8282', 'hex'), h(id, u(0, 4), Buffer.from('8080', 'hex'), ...Array.from({ length: p }, (_, i) => run(i, start(i), 0, top))));
  const path = Array.from({ length: 5 }, (_, i) => h(Buffer.from('path'), u(i, 1)));
  let node = 32;
  let root = leaf;
  for (const sibling of path) { node >>= 1; root = h(id, u(node, 4), Buffer.from('8383', 'hex'), root, sibling); }
  const c = h(Buffer.from('c'));
  const bits = [...h(id, u(0, 4), Buffer.from('8181', 'hex'), c, text)].map((b) => b.toString(2).padStart(8, '0')).join('');
  const digits = Array.from({ length: bits.length / w }, (_, i) => parseInt(bits.slice(i * w, (i + 1) * w), 2));
  const sum = (digits.reduce((a, d) => a + top - d, 0) << shift).toString(2).padStart(16, '0');
  for (let i = digits.length; i < p; i++) { const k = i - bits.length / w; digits.push(parseInt(sum.slice(k * w, (k + 1) * w), 2)); }
  const y = digits.map((d, i) => run(i, start(i), 0, d));
  return {
    key: Buffer.concat([u(1, 4), u(lmsCode, 4), u(otsCode, 4), id, root]),
    signature: Buffer.concat([u(0, 4), u(0, 4), u(otsCode, 4), c, ...y, u(lmsCode, 4), ...path]),
  };
}

test('every hash and Winternitz parameter of SP 800-208, against a second arithmetic', () => {
  for (let otsCode = 1; otsCode <= 16; otsCode++) {
    const { key, signature: made } = oneLeaf(5 + 5 * Math.floor((otsCode - 1) / 4), otsCode, message);
    assert.equal(hssFault(new Uint8Array(key), message, new Uint8Array(made)), null, `LM-OTS type ${otsCode}`);
    assert.equal(hssFault(new Uint8Array(key), utf8('no'), new Uint8Array(made))?.rule, 'SIGNATURE-VERIFIES');
  }
});
