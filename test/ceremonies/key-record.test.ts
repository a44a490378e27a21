/** The record of a key: what a ceremony leaves is what the next one reads, and no file makes the reader throw anything but Refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromUtf8, utf8 } from '../../ceremonies/bytes.ts';
import type { Placement } from '../../ceremonies/evidence.ts';
import { heldAt, inputDigest, keyIds, keyRecordOf, keyReference, readKeyRecord } from '../../ceremonies/key-record.ts';
import { caAlgorithmNamed, componentsOf } from '../../ceremonies/keys/algorithms.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { SEED } from './keys/seed.ts';
import { scriptedRecord } from './scripted.ts';

const made = await scriptedRecord({ script: 'composite-ca', place: 'split' });
const key = made.state.key ?? assert.fail('no key');
const file = keyRecordOf(key) ?? assert.fail('no record');

type Loose = Record<string, unknown>;

function ruleOf(bytes: Uint8Array): string {
  try {
    readKeyRecord(bytes);
    return '';
  } catch (error) {
    assert.ok(error instanceof Refused, String(error));
    return error.refusal.rule;
  }
}

function changed(change: (record: Loose, key: Loose, parts: Loose[]) => void): Uint8Array {
  const record = JSON.parse(fromUtf8(file)) as Loose;
  const inner = record['key'] as Loose;
  change(record, inner, inner['parts'] as Loose[]);
  return utf8(JSON.stringify(record));
}

test('what is written is what is read: everything it takes to find the parts again', () => {
  const record = readKeyRecord(file);
  assert.deepEqual(record.key, keyReference(key));
  assert.equal(record.token, key.token);
  assert.equal(record.profile, 'lamps-composite-sigs-19', 'made under a draft, and said so');
  assert.equal(record.certificate, key.certificate);
  assert.deepEqual(record.key.parts.map(({ part, held, id, wrapped }) => [part, held, id !== null, wrapped !== null]), [['ml-dsa', 'wrapped', false, true], ['traditional', 'token', true, false]]);
  assert.deepEqual(keyIds(record.key), [record.key.parts[1]?.id, record.key.wrapping]);
  assert.equal(fromUtf8(file).at(-1), '\n');
});

test('a key has a record once it has a certificate, where it was made', async () => {
  assert.equal(keyRecordOf(null), null);
  assert.equal(keyRecordOf({ ...key, certificate: null }), null);
  const { state } = await scriptedRecord({ script: 'crl' });
  assert.ok(state.key);
  assert.equal(keyRecordOf(state.key), null, 'an opened key keeps the record it came with');
});

test('a restored key has a record, certified or not, and it is read again as what it is', () => {
  const bare = keyRecordOf({ ...key, made: false, restored: true, certificate: null }) ?? assert.fail('no record');
  assert.equal(readKeyRecord(bare).certificate, null);
  assert.deepEqual(readKeyRecord(bare).key, keyReference(key));
});

test('where a placement puts each part', () => {
  const where = (algorithm: string, place: Placement) => componentsOf(caAlgorithmNamed(algorithm)).map((component) => heldAt(place, component)).join(' ');
  const rows: readonly (readonly [string, Placement, string])[] = [
    ['MLDSA65-ECDSA-P256-SHA512', 'token', 'token token'], ['MLDSA65-ECDSA-P256-SHA512', 'split', 'wrapped token'], ['MLDSA65-ECDSA-P256-SHA512', 'wrapped', 'wrapped wrapped'],
    ['ml-dsa-65', 'token', 'token'], ['ml-dsa-65', 'wrapped', 'wrapped'],
  ];
  for (const [algorithm, place, expected] of rows) assert.equal(where(algorithm, place), expected, `${algorithm} ${place}`);
});

test('the fingerprint is that of the bytes of the file', () => {
  assert.equal(inputDigest({ bytes: '' }), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
});

const BAD: readonly (readonly [what: string, bytes: Uint8Array, rule: string])[] = [
  ['nothing', new Uint8Array(), 'INPUT-KEY'],
  ['no JSON', utf8('conclave-key/1'), 'INPUT-KEY'],
  ['no UTF-8', Uint8Array.of(0x22, 0xff, 0x22), 'INPUT-KEY'],
  ['null', utf8('null'), 'INPUT-KEY'],
  ['a list', utf8('[]'), 'INPUT-KEY'],
  ['an object without members', utf8('{}'), 'INPUT-KEY'],
  ['lists without end', utf8('['.repeat(200_000)), 'INPUT-KEY'],
  ['another format', changed((record) => { record['format'] = 'conclave-key/2'; }), 'INPUT-KEY'],
  ['a member too many', changed((record) => { record['pin'] = '123456'; }), 'INPUT-KEY'],
  ['a member __proto__', utf8(fromUtf8(file).replace('{', '{"__proto__":{},')), 'INPUT-KEY'],
  ['no certificate, and no word of it', changed((record) => { delete record['certificate']; }), 'INPUT-KEY'],
  ['a private key in a part', changed((_, _key, [part]) => { part!['d'] = 'AAAA'; }), 'INPUT-KEY'],
  ['an algorithm that nobody knows', changed((_, inner) => { inner['algorithm'] = 'constructor'; }), 'ALGORITHM-KNOWN'],
  ['an algorithm of another draft', changed((record) => { record['profile'] = 'lamps-composite-sigs-18'; }), 'INPUT-KEY'],
  ['a draft that is not told', changed((record) => { record['profile'] = null; }), 'INPUT-KEY'],
  ['an algorithm of one part', changed((record, inner) => { record['profile'] = null; inner['algorithm'] = 'ml-dsa-65'; }), 'INPUT-KEY'],
  ['the halves in the other order', changed((_, _key, parts) => { parts.reverse(); }), 'INPUT-KEY'],
  ['half a composite', changed((_, _key, parts) => { parts.pop(); }), 'INPUT-KEY'],
  ['a half twice', changed((_, inner, [first]) => { inner['parts'] = [first, first]; }), 'INPUT-KEY'],
  ['a half on the token without its CKA_ID', changed((_, _key, parts) => { parts[1]!['id'] = null; }), 'INPUT-KEY'],
  ['a half on the token and wrapped', changed((_, _key, [first, second]) => { second!['wrapped'] = first!['wrapped']; }), 'INPUT-KEY'],
  ['a wrapped half without its bytes', changed((_, _key, [first]) => { first!['wrapped'] = null; }), 'INPUT-KEY'],
  ['a wrapped half under nothing', changed((_, inner) => { inner['wrapping'] = null; }), 'INPUT-KEY'],
  ['a wrapping key that nothing is under', changed((_, _key, [first]) => { Object.assign(first!, { held: 'token', id: '00ff', wrapped: null }); }), 'INPUT-KEY'],
  ['one CKA_ID for two objects', changed((_, inner, [, second]) => { second!['id'] = inner['wrapping']; }), 'INPUT-KEY'],
  ['a CKA_ID in capitals', changed((_, _key, [, second]) => { second!['id'] = 'ABCD'; }), 'INPUT-KEY'],
];

for (const [what, bytes, rule] of BAD) test(`${what} is ${rule}`, () => assert.equal(ruleOf(bytes), rule));

test('property: no file makes the reader throw anything but Refused', () => {
  const text = fromUtf8(file);
  const insert = fc.oneof(fc.string({ unit: 'binary', maxLength: 6 }), fc.constantFrom('"', '{', '}', '[', ']', ',', 'null', 'true', '1e9', '\\u0000', '__proto__'));
  fc.assert(fc.property(fc.nat(), fc.nat(40), insert, (place, remove, inserted) => {
    // Half of the changes go into the part without the long byte strings.
    const at = place % 2 === 0 ? place % text.length : text.length - 1 - (place % 300);
    ruleOf(new TextEncoder().encode(text.slice(0, at) + inserted + text.slice(at + remove)));
  }), { seed: SEED, numRuns: 500 });
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => assert.equal(ruleOf(bytes), 'INPUT-KEY')), { seed: SEED });
  fc.assert(fc.property(fc.jsonValue({ maxDepth: 3 }), (value) => assert.notEqual(ruleOf(new TextEncoder().encode(JSON.stringify({ ...JSON.parse(text) as Loose, key: value }))), '')), { seed: SEED });
});
