import assert from 'node:assert/strict';
import test from 'node:test';
import { plainText } from '../../ceremonies/text.ts';

const ACCEPTED = ['', 'Root CA', 'Ünïcode Ŝtring', '根认证机构', 'Аня', 'a-b_c.d, (e) "f" #g', '\u{1f511}', 'x'.repeat(64)];

test('plain text of any script passes', () => {
  for (const text of ACCEPTED) assert.equal(plainText('label', text, 64), null, JSON.stringify(text));
});

const REFUSED: readonly (readonly [string, string, RegExp])[] = [
  ['a\u0000', 'TEXT-PRINTABLE', /control.*U\+0000.*character 2/],
  ['a\nb', 'TEXT-PRINTABLE', /control.*U\+000A/],
  ['a\u007f', 'TEXT-PRINTABLE', /control/],
  ['a\u0085b', 'TEXT-PRINTABLE', /control/],
  ['a\u00a0b', 'TEXT-PRINTABLE', /blank/],
  ['a\u00adb', 'TEXT-PRINTABLE', /soft hyphen/],
  ['\u061ca', 'TEXT-PRINTABLE', /direction mark/],
  ['a\u200b', 'TEXT-PRINTABLE', /zero width/],
  ['a\u200d', 'TEXT-PRINTABLE', /zero width/],
  ['\u200ea', 'TEXT-PRINTABLE', /direction mark/],
  ['\u200fa', 'TEXT-PRINTABLE', /direction mark/],
  ['a\u2028b', 'TEXT-PRINTABLE', /separator/],
  ['\u202aa', 'TEXT-PRINTABLE', /override/],
  ['gnp.\u202eexe', 'TEXT-PRINTABLE', /override.*U\+202E/],
  ['\u2066a', 'TEXT-PRINTABLE', /isolate/],
  ['\u2069a', 'TEXT-PRINTABLE', /isolate/],
  ['a\u2060', 'TEXT-PRINTABLE', /zero width/],
  ['a\ufeff', 'TEXT-PRINTABLE', /byte order mark/],
  ['a\ufe0f', 'TEXT-PRINTABLE', /selector/],
  ['a\u3164', 'TEXT-PRINTABLE', /Hangul/],
  ['a\ud800', 'TEXT-PRINTABLE', /surrogate/],
  ['\udc00a', 'TEXT-PRINTABLE', /surrogate/],
  ['a\ue000', 'TEXT-PRINTABLE', /private/],
  ['a\ufffe', 'TEXT-PRINTABLE', /non-character/],
  ['a\u{1ffff}', 'TEXT-PRINTABLE', /non-character/],
  ['a\u{e0041}', 'TEXT-PRINTABLE', /tag/],
  ['a\u{f0000}', 'TEXT-PRINTABLE', /private/],
  ['e\u0301', 'TEXT-NORMAL-FORM', /composed/],
  ['x'.repeat(65), 'TEXT-LENGTH', /65/],
];

test('everything that reads otherwise than it is written is refused, with its place, and never quoted', () => {
  for (const [text, rule, found] of REFUSED) {
    const refusal = plainText('label', text, 64);
    assert.equal(refusal?.rule, rule, JSON.stringify(text));
    assert.match(refusal?.found ?? '', found, JSON.stringify(text));
    assert.match(refusal?.expected ?? '', /^label: /);
    for (const value of Object.values(refusal ?? {})) assert.equal(plainText('refusal', String(value), 500), null);
  }
});
