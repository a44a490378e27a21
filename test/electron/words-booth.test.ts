/** The rules of typing words unseen; on a real terminal in paper-cli.test.ts. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { fromUtf8 } from '../../ceremonies/bytes.ts';
import { addChecksum, wordBuffer, writeWords } from '../../ceremonies/shares/word-code.ts';
import { SheetTyping, WordTyping, type WordHeard } from '../../electron/booth/words.ts';

const COUNT = 20;
/** Twenty words whose checksum fits. */
const words = wordBuffer(COUNT);
for (let i = 0; i < COUNT - 3; i++) words[i] = 37 * i + 5;
addChecksum(words, 'conclave_share');
const RIGHT = fromUtf8(writeWords(words)).trim().split(' ');
const other = (word: string): string => (word === 'academic' ? 'acid' : 'academic');

/** What is heard of the last key of each. */
function type(typing: WordTyping, ...texts: readonly string[]): WordHeard[] {
  return texts.map((text) => {
    let heard: WordHeard = 'nothing';
    for (const key of text.startsWith('<') ? [text.slice(1, -1)] : text) heard = typing.press(key === '\r' ? 'Enter' : key);
    return heard;
  });
}
const lines = (list: readonly string[]): string[] => list.map((word) => `${word} `);

test('one key, one answer', () => {
  const table: readonly (readonly [readonly string[], readonly WordHeard[], number])[] = [
    [[`${RIGHT[0]!} `], ['word'], 2],
    [[`${RIGHT[0]!.slice(0, 4)}\r`], ['word'], 2],
    [[RIGHT[0]!.toUpperCase(), ' '], ['typed', 'word'], 2],
    [['1', '. ', `${RIGHT[0]!} `], ['nothing', 'nothing', 'word'], 2], // the number before the word
    [['aca '], ['unknown'], 1],
    [['academia '], ['unknown'], 1],
    [['academics '], ['unknown'], 1],
    [['academicacademicacademic '], ['unknown'], 1],
    [['xyzzy ', `${RIGHT[0]!} `], ['unknown', 'word'], 2],
    [[' ', '\r', '<Backspace>'], ['nothing', 'nothing', 'nothing'], 1],
    [['acidx', '<Backspace>', ' '], ['typed', 'erased', 'word'], 2],
    [['acid ', '<Backspace>', `${RIGHT[0]!} `], ['word', 'erased', 'word'], 2], // the word before, again
    [['<Control>', '<ArrowUp>', 'é', '<Unidentified>'], ['nothing', 'nothing', 'nothing', 'nothing'], 1],
    [[`${RIGHT[0]!} `, '<Escape>'], ['word', 'cancelled'], 2],
    [['<Interrupt>'], ['cancelled'], 1],
  ];
  for (const [keys, heard, number] of table) {
    const typing = new WordTyping(COUNT);
    assert.deepEqual(type(typing, ...keys), heard, keys.join(''));
    assert.equal(typing.number, number, keys.join(''));
  }
});

test('all words, and the checksum says how it goes on', () => {
  const straight = new WordTyping(COUNT);
  assert.deepEqual(type(straight, ...lines(RIGHT)), [...Array<string>(COUNT - 1).fill('word'), 'done']);
  assert.equal(fromUtf8(straight.line()), `${RIGHT.join(' ')}\n`);
  straight.wipe();
  assert.ok(!fromUtf8(straight.line()).includes(RIGHT[3]!), 'nothing is left of it');

  const one = new WordTyping(COUNT);
  assert.equal(type(one, ...lines(RIGHT.with(6, other(RIGHT[6]!)))).at(-1), 'one-wrong');
  assert.equal(one.number, 7);
  assert.deepEqual(type(one, '<Backspace>', `${RIGHT[6]!} `), ['nothing', 'done']);
  assert.equal(fromUtf8(one.line()), `${RIGHT.join(' ')}\n`);

  const stubborn = new WordTyping(COUNT);
  assert.equal(type(stubborn, ...lines(RIGHT.with(6, other(RIGHT[6]!)))).at(-1), 'one-wrong');
  assert.deepEqual([type(stubborn, `${other(RIGHT[6]!)} `), stubborn.number], [['one-wrong'], 7]);

  const two = new WordTyping(COUNT);
  assert.equal(type(two, ...lines(RIGHT.with(6, other(RIGHT[6]!)).with(11, other(RIGHT[11]!)))).at(-1), 'more-wrong');
  assert.equal(two.number, 1);
  const again = type(two, ...lines(RIGHT));
  assert.deepEqual(again.map((heard, i) => (heard === 'changed' ? i + 1 : 0)).filter((i) => i > 0), [7, 12]);
  assert.equal(again.at(-1), 'done');
});

// --- in the booth --------------------------------------------------------------------------------------------------------

const at = (time: number, key: string, more: { repeat?: boolean; chord?: boolean } = {}) => ({ key, time, repeat: false, chord: false, ...more });

test('words are shown to a holder who is alone, hidden before they are typed, and forgotten when a device types', () => {
  const shown = new SheetTyping({ count: COUNT, shows: true });
  assert.deepEqual([shown.phase, shown.press(at(0, 'a')), shown.places.some((word) => word !== null)], ['alone', 'nothing', false]);
  assert.equal(shown.press(at(100, 'Enter')), 'show');
  assert.equal(shown.press(at(200, 'Enter')), 'nothing', 'they are on their way');
  const line = new TextEncoder().encode(Array.from({ length: COUNT }, () => 'acid').join(' '));
  shown.show(line);
  assert.deepEqual([shown.phase, shown.places[0], line.every((byte) => byte === 0)], ['shown', 'acid', true]);
  assert.equal(shown.press(at(300, 'Enter')), 'hide');
  assert.deepEqual([shown.phase, shown.places[0]], ['words', null]);
  for (const [i, key] of [...'acid'].entries()) assert.equal(shown.press(at(1000 + i * 100, key)), 'typed');
  assert.equal(shown.press(at(2000, 'a', { chord: true })), 'nothing');
  assert.equal(shown.press(at(2100, ' ')), 'word');
  assert.deepEqual([shown.number, shown.places[0]], [2, 'acid']);
  const heard = Array.from({ length: 16 }, (_, i) => shown.press(at(3000 + i, 'a')));
  assert.equal(heard.at(-1), 'machine');
  assert.deepEqual([shown.number, shown.places[0]], [1, null], 'back to the first word');
  assert.equal(shown.press(at(4000, 'Escape')), 'cancelled');
  assert.deepEqual([shown.phase, shown.places.every((word) => word === null)], ['over', true]);
});

test('what was not asked for is wiped and not shown', () => {
  const typing = new SheetTyping({ count: COUNT, shows: false });
  const line = new TextEncoder().encode('acid acid');
  typing.show(line);
  assert.deepEqual([typing.phase, line.every((byte) => byte === 0), typing.places.every((word) => word === null)], ['words', true, true]);
});
