/**
 * Words with a checksum: from typed text to numbers and back, and which word is the wrong one.
 *
 * The list and the checksum are those of SLIP-39: 1024 words, and RS1024, a Reed-Solomon code over GF(1024) with three check
 * words at the end. The standard's customization string says what the words are; words for one purpose never fit another's.
 *
 * Words are numbers and bytes here, never texts: texts cannot be wiped. No refusal names a word, only its place: the checksum
 * could tell which word belongs there, and that word is ten bits of a share, which do not belong on a screen or in a log.
 */

import { utf8 } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { secretBytes } from './shamir.ts';
import { SLIP39_WORDS } from './slip39-words.ts';

export const WORD_BITS = 10;
export const CHECKSUM_WORDS = 3;
export const LONGEST_WORD = 8;
/** The most that SLIP-39 has: a secret of 512 bits. */
export const MOST_WORDS = 59;
const TELL = 'Compare it with the paper, letter by letter.';

/** What the words are. The first two are the standard's, the third is a share of our own on paper (paper.ts). */
export type Code = 'shamir' | 'shamir_extendable' | 'conclave_share';
const CUSTOMIZATION: Readonly<Record<Code, Uint8Array>> = { shamir: utf8('shamir'), shamir_extendable: utf8('shamir_extendable'), conclave_share: utf8('conclave_share') };

/** Four letters, five bits each -> place in the list. */
const PLACES = new Map(SLIP39_WORDS.map((word, i) => [firstFour(utf8(word)), i]));

function firstFour(word: Uint8Array): number {
  return word.subarray(0, 4).reduce((key, letter) => (key << 5) | (letter & 31), 0);
}

/** Zeroed words with a buffer of their own, as `secretBytes`. Whoever asked for them wipes them. */
export function wordBuffer(count: number): Uint16Array {
  return new Uint16Array(new ArrayBuffer(2 * count));
}

// --- text ----------------------------------------------------------------------------------------------------------------

/** Is this text words and nothing else? Says nothing about which words. */
export function looksLikeWords(text: Uint8Array): boolean {
  return text.length > 0 && text.every((byte) => isBlank(byte) || isLetter(byte)) && text.some(isLetter);
}

const isBlank = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
const isLetter = (byte: number): boolean => (byte | 32) >= 0x61 && (byte | 32) <= 0x7a;

/** Words of the list, capitals or not, between blanks or line ends; at most one more than there can be. Throws `Refused` SHARE-WORDS. */
export function readWords(text: Uint8Array): Uint16Array {
  const found = wordBuffer(MOST_WORDS + 1);
  let count = 0;
  for (let at = 0; at < text.length && count <= MOST_WORDS;) {
    if (isBlank(text[at]!)) {
      at++;
      continue;
    }
    const from = at;
    while (at < text.length && !isBlank(text[at]!)) at++;
    const place = placeOf(text.subarray(from, at));
    if (place === null) {
      found.fill(0);
      throw wordFault('words of the SLIP-39 list', `word ${count + 1} is not one of them`, TELL);
    }
    found[count++] = place;
  }
  const words = wordBuffer(count);
  words.set(found.subarray(0, count));
  found.fill(0);
  return words;
}

/** The place of a word in the list; null for what is not in it. */
function placeOf(word: Uint8Array): number | null {
  const place = placeOfStart(word);
  return place !== null && SLIP39_WORDS[place]!.length === word.length ? place : null;
}

/** The same for the beginning of a word, four letters or more: no two words share them. */
export function placeOfStart(word: Uint8Array): number | null {
  if (word.length < 4 || !word.every(isLetter)) return null;
  const place = PLACES.get(firstFour(word)) ?? null;
  const letters = place === null ? '' : SLIP39_WORDS[place]!;
  return letters.length >= word.length && word.every((letter, i) => (letter | 32) === letters.charCodeAt(i)) ? place : null;
}

/** The words on one line, as ASCII. The caller wipes it. */
export function writeWords(words: Uint16Array): Uint8Array {
  const length = words.reduce((sum, word) => sum + SLIP39_WORDS[word]!.length + 1, 0);
  const text = secretBytes(length);
  let to = 0;
  for (const [i, word] of words.entries()) {
    const letters = SLIP39_WORDS[word]!;
    for (let j = 0; j < letters.length; j++) text[to++] = letters.charCodeAt(j);
    text[to++] = i === words.length - 1 ? 0x0a : 0x20;
  }
  return text;
}

/** A number of up to 32 bits out of the words, most significant bit first. */
export function bitsOf(words: Uint16Array, from: number, count: number): number {
  let value = 0;
  for (let at = from; at < from + count; at++) value = (value << 1) | ((words[Math.floor(at / WORD_BITS)]! >> (WORD_BITS - 1 - (at % WORD_BITS))) & 1);
  return value;
}

/** Writes the bits of bytes into words that are still zero there. */
export function putBytes(words: Uint16Array, from: number, bytes: Uint8Array): void {
  for (let at = 0; at < 8 * bytes.length; at++) {
    const place = from + at;
    const bit = (bytes[at >> 3]! >> (7 - (at & 7))) & 1;
    words[Math.floor(place / WORD_BITS)]! |= bit << (WORD_BITS - 1 - (place % WORD_BITS));
  }
}

// --- checksum ------------------------------------------------------------------------------------------------------------

const GENERATOR = [0xe0e040, 0x1c1c080, 0x3838100, 0x7070200, 0xe0e0009, 0x1c0c2412, 0x38086c24, 0x3090fc48, 0x21b1f890, 0x3f3f120];

function step(check: number, symbol: number): number {
  const top = check >>> 20;
  let next = ((check & 0xfffff) << 10) ^ symbol;
  for (let i = 0; i < 10; i++) if ((top >> i) & 1) next ^= GENERATOR[i]!;
  return next;
}

function remainder(words: Uint16Array, code: Code): number {
  return words.reduce(step, CUSTOMIZATION[code].reduce(step, 1));
}

/** Writes the last three words, which are still zero. */
export function addChecksum(words: Uint16Array, code: Code): void {
  const checksum = remainder(words, code) ^ 1;
  for (let i = 0; i < CHECKSUM_WORDS; i++) words[words.length - 1 - i] = (checksum >> (WORD_BITS * i)) & 1023;
}

/** What the words are, by their checksum; null where it fits nothing. */
export function codeOf(words: Uint16Array): Code | null {
  return codesFor(words[1]!).find((code) => remainder(words, code) === 1) ?? null;
}

/** A flag in the second word of SLIP-39 says which of its two codes is meant. */
function codesFor(second: number): readonly Code[] {
  return [((second >> 4) & 1) === 1 ? 'shamir_extendable' : 'shamir', 'conclave_share'];
}

/**
 * Which word is wrong. Two texts with fitting checksums of one code differ in four words or more, so if changing one word makes the
 * checksum fit and one or two are wrong, it is one, and this one. Three or more wrong words may point at an innocent one, and so
 * may the second word, in which a bit chooses between the two codes of SLIP-39: "probably".
 */
export function checksumFault(words: Uint16Array): Refusal {
  const suspects = suspectsOf(words);
  return refuse('SHARE-CHECKSUM', 'the checksum in the last three words to fit', suspects.length === 0 ? 'two words or more are wrong, or in another order' : `word ${suspects.join(' or ')} is probably wrong`, TELL);
}

/** The places, from 1, of words of which another one in that place would make the checksum fit. */
export function suspectsOf(words: Uint16Array): readonly number[] {
  const wrong = { shamir: remainder(words, 'shamir') ^ 1, shamir_extendable: remainder(words, 'shamir_extendable') ^ 1, conclave_share: remainder(words, 'conclave_share') ^ 1 };
  return Array.from(words, (_, i) => i).filter((i) => {
    // The code is linear: changing bits of one word changes the remainder by what each of these bits does alone.
    const effects = [0];
    for (let bit = 1; bit < SLIP39_WORDS.length; bit <<= 1) {
      let effect = bit;
      for (let after = i + 1; after < words.length; after++) effect = step(effect, 0);
      effects.push(...effects.map((other) => other ^ effect));
    }
    return effects.some((effect, change) => change > 0 && codesFor(i === 1 ? words[1]! ^ change : words[1]!).some((code) => wrong[code] === effect));
  }).map((i) => i + 1);
}

export function wordFault(expected: string, found: string, next: string): Refused {
  return new Refused(refuse('SHARE-WORDS', expected, found, next));
}
