import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { entropyToMnemonic } from '@scure/bip39';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import { Refused } from '../../ceremonies/refusal.ts';
import { fingerprintWords } from '../../ceremonies/words.ts';

test('golden: the words of SHA-512 of "abc" and of all zeros', () => {
  const digest = new Uint8Array(createHash('sha512').update('abc').digest());
  assert.equal(
    fingerprintWords(digest).join(' '),
    'tank keen half chat bless frost country common endless illegal aware giraffe',
  );
  assert.deepEqual(fingerprintWords(new Uint8Array(32), 3), ['abandon', 'abandon', 'abandon']);
  assert.deepEqual(fingerprintWords(new Uint8Array(32).fill(255), 2), ['zoo', 'zoo']);
});

test('the bits are taken as BIP-39 takes them, apart from its checksum word', () => {
  const digest = new Uint8Array(createHash('sha256').update('conclave').digest());
  const mnemonic = entropyToMnemonic(digest, wordlist).split(' ');
  assert.deepEqual(fingerprintWords(digest, 23), mnemonic.slice(0, 23));
});

test('every one of the first 132 bits changes a word, no later bit does', () => {
  const digest = new Uint8Array(createHash('sha512').update('x').digest());
  const words = fingerprintWords(digest);
  for (let bit = 0; bit < 160; bit++) {
    const other = digest.slice();
    other[bit >> 3]! ^= 0x80 >> (bit & 7);
    const changed = fingerprintWords(other).flatMap((word, i) => (word === words[i] ? [] : [i]));
    assert.deepEqual(changed, bit < 132 ? [Math.floor(bit / 11)] : [], `bit ${bit}`);
  }
});

test('anything but a whole digest is refused', () => {
  for (const [bytes, count] of [[31, 12], [32, 24], [32, 0], [32, 1.5]] as const) {
    assert.throws(() => fingerprintWords(new Uint8Array(bytes), count), (e) => e instanceof Refused && e.refusal.rule === 'WORDS-LENGTH');
  }
});

test('no two words share their first four letters', () => {
  assert.equal(new Set(wordlist.map((word) => word.slice(0, 4))).size, 2048);
});
