/** Two tokens compared: a key is the same one by what it is, and never by its name. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import type { ObjectReading } from '../../../ceremonies/estate.ts';
import { compareTokens, COMPARISON_RULES, describeKeys, type DescribedKey } from '../../../ceremonies/keys/compare.ts';
import { SEED } from './seed.ts';

const PUBLIC = 'SHA-256 of the public key';
const key = (label: string, id: string, value: string | null, change: Partial<DescribedKey> = {}): DescribedKey => ({
  object: { class: 'private-key', keyType: 'CKK_EC', label, id }, likeness: value === null ? null : { method: PUBLIC, value }, why: value === null ? 'nothing is told' : '',
  attributes: { CKA_LABEL: label, CKA_ID: id, CKA_SIGN: 'true', CKA_LOCAL: 'true' }, ...change,
});
const compare = (left: readonly DescribedKey[], right: readonly DescribedKey[], notSeen: readonly string[] = []) => {
  const { verdict, pairs, findings } = compareTokens({ name: 'left', keys: left, notSeen: [] }, { name: 'right', keys: right, notSeen });
  return [verdict, pairs.map(({ state }) => state), findings.map(({ rule }) => rule)];
};

test('what is the same, what differs, and what only has the same name', () => {
  const ca = key('CA', '01', 'aa');
  const rows: readonly (readonly [string, unknown, unknown])[] = [
    ['nothing on either', compare([], []), ['alike', [], []]],
    ['the same', compare([ca], [ca]), ['alike', ['same'], []]],
    ['restored: another history', compare([ca], [{ ...ca, attributes: { ...ca.attributes, CKA_LOCAL: 'false' } }]), ['alike', ['same'], []]],
    ['another usage', compare([ca], [{ ...ca, attributes: { ...ca.attributes, CKA_SIGN: 'false' } }]), ['different', ['differs'], ['COMPARE-ATTRIBUTES']]],
    ['one does not tell', compare([ca], [{ ...ca, attributes: { ...ca.attributes, CKA_SIGN: null } }]), ['alike', ['same'], []]],
    ['the same under another name', compare([ca], [key('Root', '02', 'aa')]), ['different', ['differs'], ['COMPARE-ATTRIBUTES']]],
    ['another key of the same name', compare([ca], [key('CA', '02', 'bb')]), ['different', ['other-key'], ['COMPARE-OTHER-KEY']]],
    ['another key of the same id', compare([ca], [key('Root', '01', 'bb')]), ['different', ['other-key'], ['COMPARE-OTHER-KEY']]],
    ['no name is no common name', compare([key('', '', 'aa')], [key('', '', 'bb')]), ['different', ['only-left', 'only-right'], ['COMPARE-MISSING', 'COMPARE-MISSING']]],
    ['names exchanged', compare([ca, key('B', '02', 'bb')], [key('CA', '01', 'bb'), key('B', '02', 'aa')]), ['different', ['differs', 'differs'], ['COMPARE-ATTRIBUTES', 'COMPARE-ATTRIBUTES']]],
    ['two copies here, one there', compare([key('copy', '02', 'aa'), ca], [ca]), ['different', ['same', 'only-left'], ['COMPARE-MISSING']]],
    ['of another class', compare([ca], [{ ...ca, object: { ...ca.object, class: 'public-key' } }]), ['different', ['only-left', 'only-right'], ['COMPARE-MISSING', 'COMPARE-MISSING']]],
    ['nothing to know it by', compare([key('CA', '01', null)], [ca]), ['undecided', ['unproven'], ['COMPARE-UNPROVEN']]],
    ['check values of two methods', compare([key('K', '01', 'aa', { likeness: { method: 'A', value: 'aa' } })], [key('K', '01', 'aa', { likeness: { method: 'B', value: 'aa' } })]), ['undecided', ['unproven'], ['COMPARE-UNPROVEN']]],
    ['not all was seen', compare([ca], [ca], ['private objects']), ['undecided', ['same'], ['COMPARE-NOT-SEEN']]],
    ['the worst first', compare([ca, key('B', '02', null)], [key('CA', '03', 'cc'), key('B', '02', null)], ['private objects']), ['different', ['other-key', 'unproven'], ['COMPARE-OTHER-KEY', 'COMPARE-UNPROVEN', 'COMPARE-NOT-SEEN']]],
  ];
  for (const [what, found, expected] of rows) assert.deepEqual(found, expected, what);
});

test('every key stands in the result once, the two sides can change places, and a token is like itself', () => {
  const any = fc.array(fc.tuple(fc.constantFrom('', 'A', 'B'), fc.constantFrom('', '01', '02'), fc.constantFrom('aa', 'bb', 'cc', null)).map(([label, id, value]) => key(label, id, value)), { maxLength: 8 });
  fc.assert(fc.property(any, any, (left, right) => {
    const sides = [{ name: 'one', keys: left, notSeen: [] }, { name: 'two', keys: right, notSeen: [] }] as const;
    const { verdict, pairs, findings } = compareTokens(...sides);
    assert.deepEqual(new Set(pairs.flatMap((pair) => pair.left ?? [])), new Set(left));
    assert.deepEqual(new Set(pairs.flatMap((pair) => pair.right ?? [])), new Set(right));
    assert.equal(pairs.filter((pair) => pair.left !== null).length + pairs.filter((pair) => pair.right !== null).length, left.length + right.length);
    assert.ok(findings.every(({ rule }) => (COMPARISON_RULES as readonly string[]).includes(rule)));
    for (const { state, left: one, right: two } of pairs) {
      const proven = one !== null && two !== null && one.likeness !== null && one.likeness.value === two.likeness?.value;
      assert.equal(state === 'same' || state === 'differs', proven);
    }
    assert.equal(compareTokens(sides[1], sides[0]).verdict === 'alike', verdict === 'alike');
    const known = left.filter(({ likeness }) => likeness !== null);
    assert.equal(compareTokens({ ...sides[0], keys: known }, { name: 'same', keys: known, notSeen: [] }).verdict, 'alike');
  }), { seed: SEED, numRuns: 500 });
});

test('what a key is known by: its own public values, the public half of its id, a check value, or nothing', () => {
  const reading = (change: Partial<ObjectReading>): ObjectReading => ({
    object: { class: 'private-key', keyType: 'CKK_EC', id: '01', label: '' }, attributes: [], unanswered: [], withheld: [], letters: [], publicKey: null, certificate: null,
    trust: { wrapWithTrusted: null, trusted: null, alwaysAuthenticate: null },
    key: {
      class: 'private-key', keyType: 'CKK_EC', id: '01', label: '', token: null, private: null, sensitive: null, extractable: null, alwaysSensitive: null, neverExtractable: null, local: null, modifiable: null,
      sign: null, verify: null, encrypt: null, decrypt: null, wrap: null, unwrap: null, derive: null, generatedBy: null, keysRemaining: null,
    }, ...change,
  });
  const half = (id: string, sha256: string) => reading({ object: { class: 'public-key', keyType: 'CKK_EC', id, label: '' }, publicKey: { label: 'ECDSA P-256', spki: 'AA', sha256 } });
  const secret = (keyType: string, hex: string | null) => reading({ object: { class: 'secret-key', keyType, id: '', label: '' }, attributes: hex === null ? [] : [{ name: 'CKA_CHECK_VALUE', number: 0x90, hex, text: null }] });
  const known = (...readings: ObjectReading[]) => describeKeys(readings).map(({ likeness, why }) => likeness?.value ?? why);
  assert.deepEqual(known(reading({}), half('01', 'aa')), ['aa', 'aa']);
  assert.deepEqual(known(reading({}), half('02', 'aa')), ['the token has no public half of the same CKA_ID', 'aa']);
  assert.deepEqual(known(reading({}), half('01', 'aa'), half('01', 'bb'))[0], 'the token has no public half of the same CKA_ID', 'two public halves that disagree tell nothing');
  assert.deepEqual(known(secret('CKK_AES', '010203'), secret('CKK_AES', null), secret('CKK_AES', ''), secret('CKK_DES3', '010203')), [
    '010203', 'the token tells no check value of it', 'the token tells no check value of it', 'no check value of CKK_DES3 is known here',
  ]);
  assert.deepEqual(known(reading({ object: { class: 'data', keyType: '', id: '', label: 'x' }, key: null })), []);
});
