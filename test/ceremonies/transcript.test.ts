/** The record as bytes: one spelling per entry, a chain, a tree, and no line that can make the reader throw anything but Refused. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex, toBase64url, utf8 } from '../../ceremonies/bytes.ts';
import { EMPTY, type Entry } from '../../ceremonies/ceremony.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { encodeLine, Fold, MAX_LINE, MerkleTree, parseLine, portableHasher, pushLine, splitTranscript } from '../../ceremonies/transcript.ts';
import { SEED } from './keys/seed.ts';
import { scriptedRecord } from './scripted.ts';

const mini = await scriptedRecord({ script: 'mini', happenings: { 'enrol/witness': [{ kind: 'exception' }, { kind: 'note', text: 'A literal \\ud83d and a real \u{1f511}, "quoted".' }] } });
const NOTE = mini.lines.find((line) => line.includes('"kind":"noted"')) ?? assert.fail('no note');

function ruleOf(line: string): string {
  try {
    parseLine(line);
    return '';
  } catch (error) {
    assert.ok(error instanceof Refused, `${String(error)} for ${line.slice(0, 100)}`);
    return error.refusal.rule;
  }
}

test('what is written is what is read, text that looks like an escape included', () => {
  for (const [index, line] of mini.lines.entries()) {
    assert.deepEqual(parseLine(line), mini.entries[index]);
    assert.equal(encodeLine(parseLine(line)), line);
  }
});

test('members are sorted by UTF-16 code units, as RFC 8785 section 3.2.3 orders its own example', () => {
  // The RFC's example, without the member whose name begins with a digit: this format has none.
  const names = { '\u20ac': 'Euro Sign', '\r': 'Carriage Return', '\ufb33': 'Hebrew Letter Dalet With Dagesh', '\ud83d\ude00': 'Emoji: Grinning Face', '\u0080': 'Control', '\u00f6': 'Latin Small Letter O With Diaeresis' };
  const line = encodeLine({ ...parseLine(NOTE), data: names } as unknown as Entry);
  const order = ['Carriage Return', 'Control', 'Latin Small', 'Euro Sign', 'Emoji', 'Hebrew'].map((value) => line.indexOf(value));
  assert.deepEqual(order, order.toSorted((a, b) => a - b));
  assert.equal(ruleOf(line), '');
});

const base = JSON.parse(NOTE) as Record<string, unknown>;
const LINES: readonly (readonly [what: string, line: string, rule: string])[] = [
  ['nothing', '', 'ENTRY-MALFORMED'],
  ['no JSON', 'entry', 'ENTRY-MALFORMED'],
  ['a list', '[]', 'ENTRY-MALFORMED'],
  ['null', 'null', 'ENTRY-MALFORMED'],
  ['an empty object', '{}', 'ENTRY-MALFORMED'],
  ['a blank', NOTE.replace(',"by"', ', "by"'), 'ENTRY-CANONICAL'],
  ['a carriage return at the end', `${NOTE}\r`, 'ENTRY-CANONICAL'],
  ['a byte order mark', `\ufeff${NOTE}`, 'ENTRY-MALFORMED'],
  ['another order', JSON.stringify({ v: 1, ...base }), 'ENTRY-CANONICAL'],
  ['a duplicate member', NOTE.replace('"v":1}', '"v":1,"v":1}'), 'ENTRY-CANONICAL'],
  ['a duplicate member with another value in front', NOTE.replace('"by":"witness"', '"by":"officer","by":"witness"'), 'ENTRY-CANONICAL'],
  ['a number with a fraction', NOTE.replace('"v":1}', '"v":1.0}'), 'ENTRY-CANONICAL'],
  ['a number with an exponent', NOTE.replace('"v":1}', '"v":1e0}'), 'ENTRY-CANONICAL'],
  ['half a number', encodeLine({ ...base, data: { text: 'x', n: 0.5 } } as unknown as Entry), 'ENTRY-CANONICAL'],
  ['a number that JavaScript cannot count with', NOTE.replace('"seq":', '"seq":9007199254740993').replace(/(9007199254740993)\d+/, '$1'), 'ENTRY-CANONICAL'],
  ['minus zero', NOTE.replace(/"seq":\d+/, '"seq":-0'), 'ENTRY-CANONICAL'],
  ['an escape that is not needed', NOTE.replace('quoted', '\\u0071uoted'), 'ENTRY-CANONICAL'],
  ['an escape in capitals', NOTE.replace('quoted', '\\u001Fquoted'), 'ENTRY-CANONICAL'],
  ['half a surrogate pair, escaped', NOTE.replace('quoted', '\\ud83dquoted'), 'ENTRY-CANONICAL'],
  ['the same behind a backslash', NOTE.replace('quoted', '\\\\\\ud83dquoted'), 'ENTRY-CANONICAL'],
  ['half a surrogate pair, raw', NOTE.replace('quoted', '\ud83dquoted'), 'ENTRY-CANONICAL'],
  ['a member that begins with a digit', encodeLine({ ...base, data: { '1': 'x' } } as unknown as Entry), 'ENTRY-CANONICAL'],
  ['a member called __proto__', NOTE.replace('"text"', '"__proto__"'), 'ENTRY-CANONICAL'],
  ['objects in objects', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`, 'ENTRY-CANONICAL'],
  ['lists in lists', '['.repeat(400_000) + ']'.repeat(400_000), 'ENTRY-MALFORMED'],
  ['a list that deep in an entry', NOTE.replace('"by"', `"bx":${'['.repeat(20)}${']'.repeat(20)},"by"`), 'ENTRY-CANONICAL'],
  ['more than the limit', `"${'x'.repeat(MAX_LINE)}"`, 'ENTRY-MALFORMED'],
  ['an unknown member', encodeLine({ ...base, colour: 'blue' } as unknown as Entry), 'ENTRY-MALFORMED'],
  ['another version', encodeLine({ ...base, v: 2 } as unknown as Entry), 'ENTRY-MALFORMED'],
  ['a negative number', encodeLine({ ...base, seq: -1 } as unknown as Entry), 'ENTRY-MALFORMED'],
  ['a kind that is none', encodeLine({ ...base, kind: 'renamed' } as unknown as Entry), 'ENTRY-MALFORMED'],
  ['a kind called like a member of every object', encodeLine({ ...base, kind: 'toString' } as unknown as Entry), 'ENTRY-MALFORMED'],
  ['data that are a list', encodeLine({ ...base, data: [] } as unknown as Entry), 'ENTRY-MALFORMED'],
  ['a time in another zone', encodeLine({ ...base, at: '2026-03-02T09:00:02.510+01:00' } as unknown as Entry), 'ENTRY-MALFORMED'],
  ['a time without milliseconds', encodeLine({ ...base, at: '2026-03-02T09:00:02Z' } as unknown as Entry), 'ENTRY-MALFORMED'],
  ['a thirteenth month', encodeLine({ ...base, at: '2026-13-02T09:00:02.510Z' } as unknown as Entry), 'ENTRY-MALFORMED'],
  ['a hash that is too short', encodeLine({ ...base, prev: 'AAAA' } as unknown as Entry), 'ENTRY-MALFORMED'],
];

for (const [what, line, rule] of LINES) test(`a line with ${what} is ${rule}`, () => assert.equal(ruleOf(line), rule));

test('an entry that cannot be a line is not written', () => {
  const refused = (data: unknown) => assert.throws(() => encodeLine({ ...base, data } as unknown as Entry), Refused);
  refused({ text: 'x'.repeat(MAX_LINE) });
  refused({ text: '\ud800' });
  refused({ text: Number.NaN });
});

test('property: no line makes parseLine throw anything but Refused, and what it accepts has one spelling', () => {
  const insert = fc.oneof(fc.string({ unit: 'binary', maxLength: 6 }), fc.constantFrom('"', '\\', '{', '}', '[', ']', ',', ':', '\\u', '\\ud800', '1', '-', '.', 'e', ' ', '__proto__'));
  fc.assert(fc.property(fc.constantFrom(...mini.lines), fc.nat(), fc.nat(6), insert, (line, place, remove, inserted) => {
    const at = place % line.length;
    const changed = line.slice(0, at) + inserted + line.slice(at + remove);
    if (ruleOf(changed) === '') assert.equal(encodeLine(parseLine(changed)), changed);
  }), { seed: SEED, numRuns: 1000 });
  fc.assert(fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json({ maxDepth: 4 })), (line) => void ruleOf(line)), { seed: SEED, numRuns: 300 });
});

// Leaves and roots of the Certificate Transparency test suite (RFC 6962 section 2.1).
const LEAVES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

test('the Merkle tree is that of RFC 6962', () => {
  const tree = new MerkleTree(portableHasher);
  assert.equal(tree.root(), toBase64url(fromHex(ROOTS[0]!)));
  for (const [index, leaf] of LEAVES.entries()) {
    tree.add(fromHex(leaf));
    assert.equal(tree.root(), toBase64url(fromHex(ROOTS[index + 1]!)), `${index + 1} leaves`);
  }
});

test('property: the tree kept small is the tree as the RFC defines it', () => {
  const sha = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest();
  const defined = (leaves: readonly Uint8Array[]): Uint8Array => {
    if (leaves.length === 1) return sha(Uint8Array.of(0), leaves[0]!);
    const split = 2 ** Math.ceil(Math.log2(leaves.length) - 1);
    return sha(Uint8Array.of(1), defined(leaves.slice(0, split)), defined(leaves.slice(split)));
  };
  for (let count = 1; count < 70; count += 1) {
    const leaves = Array.from({ length: count }, (_, index) => utf8(`leaf ${index}`));
    const tree = new MerkleTree(portableHasher);
    for (const leaf of leaves) tree.add(leaf);
    assert.equal(tree.root(), toBase64url(Uint8Array.from(defined(leaves))), `${count} leaves`);
  }
});

test('the chain: each line names the one before it, the first the script', () => {
  let prev = createHash('sha512').update((mini.entries[0] as Entry<'opened'>).data.script).digest('base64url');
  for (const [index, line] of mini.lines.entries()) {
    assert.equal(mini.entries[index]?.prev, prev);
    prev = createHash('sha512').update(line).digest('base64url');
  }
  assert.equal(mini.state.lastHash, prev);
});

test('the fold refuses a line that does not follow, and stands where it stood', () => {
  const fold = new Fold();
  const [first = '', second = '', third = ''] = mini.lines;
  assert.equal(pushLine(fold, second)?.rule, 'SEQUENCE');
  assert.equal(fold.state, EMPTY);
  assert.equal(pushLine(fold, first), null);
  const { state } = fold;
  const refusal = pushLine(fold, encodeLine({ ...parseLine(second), prev: toBase64url(new Uint8Array(64)) }));
  assert.equal(refusal?.rule, 'CHAIN');
  assert.equal(pushLine(fold, third)?.rule, 'CHAIN');
  assert.equal(fold.state, state);
  assert.equal(pushLine(fold, second), null);
  assert.equal(pushLine(fold, third), null);
  assert.equal(fold.chain(parseLine(first))?.rule, 'CHAIN');
  assert.equal(fold.chain(parseLine(mini.lines[3] ?? '')), null);
});

test('the fold\'s root is that of its lines', () => {
  const tree = new MerkleTree(portableHasher);
  const fold = new Fold();
  for (const line of mini.lines) {
    tree.add(utf8(line));
    pushLine(fold, line);
  }
  assert.equal(fold.root(), tree.root());
});

test('a file is split into its lines, and nothing else', () => {
  assert.deepEqual([...splitTranscript(mini.bytes)].map((line) => line.text), mini.lines);
  assert.deepEqual([...splitTranscript(new Uint8Array(0))], []);
  assert.deepEqual([...splitTranscript(utf8('a\n\nb\n'))].map((line) => line.text), ['a', '', 'b']);
  for (const [bytes, rule] of [
    [mini.bytes.subarray(0, -1), 'TRANSCRIPT-TRUNCATED'], [utf8('a'), 'TRANSCRIPT-TRUNCATED'], [Uint8Array.of(0xff, 10), 'ENTRY-MALFORMED'], [Uint8Array.of(0xed, 0xa0, 0x80, 10), 'ENTRY-MALFORMED'],
  ] as const) {
    assert.throws(() => [...splitTranscript(bytes)], (error) => error instanceof Refused && error.refusal.rule === rule);
  }
});
