/** The hierarchy of all keys: who stands above whom and by what, each key once, circles and filters included, and copies as leaves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InventoryKey } from '../../ceremonies/inventory.ts';
import { hierarchyOf, leavesOf, relations, tiesOf, type Line } from '../../renderer/hierarchy.ts';
import { Keeping, type KeyRow } from '../../renderer/keys.ts';
import { BACKUP, end, HSM, object, pretendedKey, pretendHierarchy, source } from './pretend-keys.ts';

function rowsOf(keys: readonly InventoryKey[]): readonly KeyRow[] {
  const keeping = new Keeping();
  keeping.add(keys);
  return keeping.rows;
}
const linesOf = (keys: readonly InventoryKey[], sought: (label: string) => boolean = () => true, blamed: readonly string[] = []): readonly Line[] => {
  const rows = rowsOf(keys);
  return hierarchyOf(rows, tiesOf(rows), new Set(rows.filter(({ key }) => sought(key.label))), ({ key }) => blamed.includes(key.label));
};
const drawn = (lines: readonly Line[]) => lines.map(({ row, level, above }) => `${'.'.repeat(level)}${row.key.label}${above === null ? '' : ` (${above.tie})`}`);
const certificate = (subject: string, issuer: string, seq: number) => ({ ...source(seq), believed: true, subject: `CN=${subject}`, issuer: `CN=${issuer}`, sha256: subject, notAfter: '2046-01-01T00:00:00.000Z' });
const key = (label: string, more: Partial<InventoryKey> = {}, copies: InventoryKey['copies'] = [object('private-key', label)]) => pretendedKey(label, copies, { events: [], ...more });
const signed = (...seqs: number[]) => seqs.map((seq) => ({ ...source(seq), by: 'x', what: 'signed', believed: true }));
const kek = key('KEK', {}, [object('secret-key', 'KEK')]);
const wrapped = { kind: 'wrapped-file', method: 'AES-KWP', under: 'KEK', underKey: kek.identity, since: source(9), end: null, believed: true } as const;

test('what a key lies wrapped under, and what lies wrapped under it', () => {
  const rows = rowsOf(pretendHierarchy(0).keys);
  const of = (label: string) => relations(tiesOf(rows), rows.find((row) => row.key.label === label) ?? assert.fail(label));
  assert.deepEqual(of('Vault KEK').below.map(({ label }) => label), [...Array.from({ length: 11 }, (_, index) => `Branch ${index + 1} data key`), 'Composite Root G2']);
  assert.deepEqual(of('Branch 3 data key').above.map(({ label }) => label), ['Vault KEK']);
  assert.deepEqual(of('Example Root CA G1').above, [], 'the file has ended');
  const file = rowsOf([kek, key('Data', {}, [wrapped])]);
  assert.deepEqual(relations(tiesOf(file), file[1]!).above.map(({ label }) => label), ['KEK'], 'a file, by the key itself');
  assert.deepEqual(of('Partner signing'), { above: [], below: [] });
  assert.deepEqual(of('Example Issuing CA 7'), { above: [], below: [] }, 'who certified it does not wrap it');
});

test('who certified a key stands above it, and what it lies wrapped under; each key stands once', () => {
  const root = key('Root', { certificates: [certificate('Root', 'Root', 1)], events: signed(1, 2) });
  const table: readonly (readonly [string, readonly InventoryKey[], readonly string[]])[] = [
    ['one key', [root], ['Root']],
    ['by the entry that issued it', [root, key('Sub', { certificates: [certificate('Sub', 'Root', 2)] })], ['Root', '.Sub (issued)']],
    ['by the name alone, where no entry tells', [root, key('Sub', { certificates: [certificate('Sub', 'Root', 7)] })], ['Root', '.Sub (named)']],
    ['the entry, whatever another of that name says', [key('Other', { certificates: [certificate('Root', 'Root', 8)] }), root, key('Sub', { certificates: [certificate('Sub', 'Root', 2)] })], ['Root', '.Sub (issued)', 'Other']],
    ['an issuer that is not here', [key('Sub', { certificates: [certificate('Sub', 'Elsewhere', 7)] })], ['Sub']],
    ['three levels, in the order of the list', [key('Leaf', { certificates: [certificate('Leaf', 'Sub', 7)] }), key('Sub', { certificates: [certificate('Sub', 'Root', 7)] }), root], ['Root', '.Sub (named)', '..Leaf (named)']],
    ['certified before wrapped', [kek, root, key('Sub', { certificates: [certificate('Sub', 'Root', 2)] }, [wrapped])], ['Root', '.Sub (issued)', 'KEK']],
    ['wrapped', [key('Alone'), kek, key('Data', {}, [wrapped])], ['KEK', '.Data (wraps)', 'Alone']],
    ['above each other in a circle', [key('A', { certificates: [certificate('A', 'B', 7)] }), key('B', { certificates: [certificate('B', 'A', 8)] }), key('C', { certificates: [certificate('C', 'B', 9)] })], ['A', '.B (named)', '..C (named)']],
  ];
  for (const [what, keys, lines] of table) assert.deepEqual(drawn(linesOf(keys)), lines, what);
  const [, sub] = linesOf([root, kek, key('Sub', { certificates: [certificate('Sub', 'Root', 2)] }, [wrapped])]);
  assert.deepEqual(sub?.also.map(({ row, tie }) => [row.key.label, tie]), [['KEK', 'wraps']], 'what else is above it is named');
});

test('a filter keeps what is above a key, in outline, and hides no finding', () => {
  const { keys } = pretendHierarchy(3);
  const shown = linesOf(keys, (label) => label === 'Server 2', ['Partner signing']);
  assert.deepEqual(shown.map(({ row, sought }) => [row.key.label, sought]), [['Example Root CA G1', false], ['Example Issuing CA 7', false], ['Server 2', true], ['Partner signing', false]]);
  assert.deepEqual(linesOf(keys, () => false), []);
});

test('lines go on where more comes below', () => {
  const lines = linesOf(pretendHierarchy(2).keys);
  const of = (label: string) => lines.find(({ row }) => row.key.label === label) ?? assert.fail(label);
  assert.deepEqual(of('Server 1').goesOn, [true, true]);
  assert.deepEqual(of('Server 2').goesOn, [true, false]);
  assert.deepEqual([of('Example Issuing CA 7').below, of('Server 1').below], [2, 0]);
  assert.equal(lines.length, pretendHierarchy(2).keys.length);
  assert.equal(new Set(lines.map(({ row }) => row)).size, lines.length);
});

test('ten thousand keys under one, and a chain of a thousand', () => {
  const many = linesOf([kek, ...Array.from({ length: 10_000 }, (_, index) => key(`D${index}`, {}, [wrapped]))]);
  assert.deepEqual([many.length, many[0]?.below, many.at(-1)?.goesOn], [10_001, 10_000, [false]]);
  const chain = linesOf(Array.from({ length: 1000 }, (_, index) => key(`K${index}`, { certificates: [certificate(`K${index}`, index === 0 ? 'K0' : `K${index - 1}`, index)] })));
  assert.deepEqual(chain.map(({ level }) => level), Array.from({ length: 1000 }, (_, index) => index));
});

test('copies with a secret, counted where they are; what has ended comes last', () => {
  const copies = [object('private-key', 'a'), object('private-key', 'b'), object('public-key', 'a'), object('private-key', 'c', { token: BACKUP }), object('private-key', 'd', { end: end('L1', 'gone', 3) }), object('private-key', 'e', { end: end('L0', 'asked for', 3) }), wrapped];
  assert.deepEqual(leavesOf({ copies }, (serial) => (serial === HSM ? 'HSM-A' : serial)), [
    { medium: 'token', place: 'HSM-A', count: 3, stands: true }, { medium: 'token', place: BACKUP, count: 1, stands: true }, { medium: 'file', place: 'wrapped, in a file', count: 1, stands: true }, { medium: 'token', place: 'ended', count: 1, stands: false },
  ]);
});
