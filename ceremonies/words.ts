/**
 * Fingerprints that people can read aloud and compare across a room, or over a telephone.
 *
 * Twelve words of the BIP-39 English list carry the first 132 bits of a digest; no two words share their first four
 * letters. These words are a public fingerprint, never a key: they carry no checksum and are not a wallet's seed phrase.
 *
 * What 132 bits are worth: a second text with the words of a GIVEN one takes 2^132 tries. An author who may vary both
 * texts needs only 2^66, so the words are for comparing copies of a reviewed text; chains and seals use the whole hash.
 */

import { wordlist } from '@scure/bip39/wordlists/english.js';
import { Refused, refuse } from './refusal.ts';

const BITS_PER_WORD = 11; // 2048 words

/**
 * The first `count` words of a digest: word i is the i-th group of 11 bits, most significant bit first.
 * Throws `Refused` WORDS-LENGTH unless the digest has that many bits and is a digest at all (32 bytes or more).
 */
export function fingerprintWords(digest: Uint8Array, count = 12): string[] {
  if (!Number.isInteger(count) || count < 1 || digest.length < 32 || count * BITS_PER_WORD > digest.length * 8) {
    throw new Refused(
      refuse('WORDS-LENGTH', 'a digest of 32 bytes or more that fills every word', `${digest.length} bytes for ${count} words`, 'Give the whole digest.'),
    );
  }
  const words: string[] = [];
  for (let i = 0; i < count; i++) {
    let index = 0;
    for (let bit = i * BITS_PER_WORD; bit < (i + 1) * BITS_PER_WORD; bit++) {
      index = (index << 1) | ((digest[bit >> 3]! >> (7 - (bit & 7))) & 1);
    }
    words.push(wordlist[index]!);
  }
  return words;
}

/** Where two readings part: counted from 1, the way people count aloud. `''` stands for a word that is missing. */
export interface WordDifference {
  readonly position: number;
  readonly expected: string;
  readonly found: string;
}

/**
 * Null when both are the same words; otherwise the FIRST place where they differ. Capitals, commas, hyphens and line
 * breaks between words do not count: they are not heard. Both are shown whole to people; nobody compares "a few of them".
 */
export function firstWordDifference(expected: readonly string[] | string, found: readonly string[] | string): WordDifference | null {
  const left = spoken(expected);
  const right = spoken(found);
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const a = left[i] ?? '';
    const b = right[i] ?? '';
    if (a !== b) return { position: i + 1, expected: a, found: b };
  }
  return null;
}

function spoken(words: readonly string[] | string): string[] {
  const text = typeof words === 'string' ? words : words.join(' ');
  return text.toLowerCase().split(/[\s,\-\u2010\u2013]+/u).filter((word) => word !== '');
}
