/** The list of movements: what it must look like, every way in which it is refused (as a golden file), and no bytes that make the reader throw otherwise. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../../../ceremonies/bytes.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { MOST_MOVEMENTS, MOVEMENTS_HEADER, readMovements, thingName, writeMovements } from '../../../ceremonies/shares/movements.ts';
import { SEED } from '../keys/seed.ts';

const GOLDEN = join(import.meta.dirname, '../golden/movements-refused.txt');
const SET = 'AAAAAAAAAAAAAAAAAAAAAA';
const LINE = `card,8A41-0093,${SET},2,Bela Custis,head-office,Chiara Custos,north-branch,Distribution`;
const list = (...lines: readonly string[]) => [MOVEMENTS_HEADER, ...lines, ''].join('\n');
/** The good line with one field of another text. */
const field = (column: string, text: string) => list(LINE.split(',').map((value, i) => (MOVEMENTS_HEADER.split(',')[i] === column ? text : value)).join(','));
const many = (n: number) => Array.from({ length: n }, (_, i) => `bag,B-${i},,,A,a,B,b,Because`);

test('a list: its columns, comments, Windows line ends, limits', () => {
  const [one] = readMovements(utf8(list(LINE)));
  assert.deepEqual(one, { kind: 'card', identifier: '8A41-0093', share: { set: SET, x: 2 }, from: 'Bela Custis', fromSite: 'head-office', to: 'Chiara Custos', toSite: 'north-branch', reason: 'Distribution' });
  assert.equal(thingName(one), 'card 8A41-0093');
  assert.deepEqual(readMovements(utf8(`# Ours\r\n\r\n${list(LINE, '# and that is all').replaceAll('\n', '\r\n')}`)), [one]);
  assert.deepEqual(readMovements(writeMovements([one], 'Written again')), [one]);
  for (const good of [field('x', '255'), field('x', '1'), field('identifier', 'x'.repeat(64)), field('from', 'ż'.repeat(80)), field('reason', 'r'.repeat(200)), field('to', 'Bela Custis'), field('to-site', 'head-office'), list(...many(MOST_MOVEMENTS)), list('token,0417,,,A,a,B,b,Because')]) {
    assert.ok(readMovements(utf8(good)).length > 0);
  }
  assert.equal(readMovements(utf8(list('card,1,,,A,a,B,b,Because', 'bag,1,,,A,a,B,b,Because'))).length, 2, 'a bag and a card may have one number');
});

const REFUSED: readonly (readonly [what: string, list: string | Uint8Array])[] = [
  ['nothing', ''], ['only a comment', '# nothing'], ['only the header', list()], ['no header', `${LINE}\n`], ['a header with blanks', `${MOVEMENTS_HEADER.replaceAll(',', ', ')}\n${LINE}`], ['a byte order mark', `\ufeff${list(LINE)}`],
  ['a header with a column too many', `${MOVEMENTS_HEADER},date\n${LINE},2026`], ['a field too few', list('bag,B-1,,,A,a,B,b')], ['a comma in the reason', list(`${LINE}, and so on`)], ['no UTF-8', Uint8Array.of(0xff, 0xfe, 0x41)],
  ['an unknown kind', field('kind', 'key')], ['a kind in capitals', field('kind', 'Card')], ['a kind called like a member of every object', field('kind', 'constructor')],
  ['no identifier', field('identifier', '')], ['an identifier with a blank before it', field('identifier', ' 8A41')], ['an identifier of 65 characters', field('identifier', 'x'.repeat(65))], ['a quoted identifier', field('identifier', '"8A41"')],
  ['an identifier that turns the direction of text', field('identifier', 'a\u202eb')], ['an identifier in another normal form', field('identifier', 'e\u0301')], ['a tab', field('identifier', 'a\tb')],
  ['a set without an x', field('x', '')], ['an x without a set', field('set', '')], ['x = 0', field('x', '0')], ['x = 256', field('x', '256')], ['x = 01', field('x', '01')], ['a set of 21 characters', field('set', SET.slice(1))], ['a set with leftover bits', field('set', `${SET.slice(1)}B`)],
  ['a share on a token', field('kind', 'token')], ['a share on a backup', field('kind', 'backup')],
  ['a giver of 81 characters', field('from', 'x'.repeat(81))], ['nobody who receives', field('to', '')], ['a site in capitals', field('to-site', 'North')], ['no site', field('from-site', '')], ['a site of 41 characters', field('to-site', 'x'.repeat(41))],
  ['no reason', field('reason', '')], ['a reason of 201 characters', field('reason', 'x'.repeat(201))], ['to where it is', list(`bag,B-1,,,A,a,A,a,Because`)],
  ['one thing twice', list(LINE, '# between', LINE)], [`${MOST_MOVEMENTS + 1} movements`, list(...many(MOST_MOVEMENTS + 1))],
];

test('every list that is refused: the rule, where, what was expected and found', () => {
  const told = REFUSED.map(([what, text]) => {
    try {
      readMovements(typeof text === 'string' ? utf8(text) : text);
    } catch (error) {
      assert.ok(error instanceof Refused, what);
      const { rule, expected, found, next } = error.refusal;
      for (const part of [expected, found, next]) assert.notEqual(part, '', what);
      return `${what}\n  ${rule}: expected ${expected}; found ${found}. ${next}\n`;
    }
    return assert.fail(`${what} is read`);
  }).join('');
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(GOLDEN, told);
  else assert.equal(told, readFileSync(GOLDEN, 'utf8'));
  for (const rule of ['MOVEMENTS-HEADER', 'MOVEMENTS-LINE', 'MOVEMENTS-DUPLICATE', 'MOVEMENTS-SIZE']) assert.ok(told.includes(`  ${rule}: `), rule);
});

test('property: whatever text comes, movements that can be written again the same, or a refusal', () => {
  const part = fc.oneof(fc.string(), fc.constantFrom('card', 'bag', SET, '1', '255', 'a', 'head-office', 'Bela Custis', '', '#', '\n', '\r\n', '\u202e', '"'));
  const lines = fc.array(fc.array(part, { minLength: 8, maxLength: 10 }).map((parts) => parts.join(',')), { maxLength: 4 });
  fc.assert(fc.property(lines, fc.boolean(), (given, header) => {
    try {
      const movements = readMovements(new TextEncoder().encode(header ? list(...given) : given.join('\n')));
      assert.deepEqual(readMovements(writeMovements(movements, 'again')), movements);
    } catch (error) {
      assert.ok(error instanceof Refused, String(error));
    }
  }), { seed: SEED, numRuns: 2000 });
});
