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
