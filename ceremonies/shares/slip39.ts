/**
 * SLIP-39: shares as English words, for paper and for the devices that read them. Any set may be read, groups included;
 * what is written is one group, M of N, of a 256-bit secret.
 *
 * Written over noble's PBKDF2, HMAC and the audited interpolation that `shamir.ts` fences in, because the package on npm
 * keeps secrets in strings and BigInts, extends Array.prototype and String.prototype, and repeats the typed words in its errors.
 * The words themselves, their checksum and what may be said of a wrong one are in word-code.ts.
 *
 * How much SLIP-39 proves is less than our own record does: a share is authenticated by a checksum that anybody can make,
 * the result by a digest of 32 bits, and a wrong passphrase by nothing at all: it gives another secret.
 */

import { hmac } from '@noble/hashes/hmac.js';
import { pbkdf2 } from '@noble/hashes/pbkdf2.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { shake256 } from '@noble/hashes/sha3.js';
import { concat, equalBytes, utf8 } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { checkNumbers, SECRET_BYTES, secretBytes, valueAt, wrongLength, type RawShare } from './shamir.ts';
import { subsets, wrongSecret, type SplitProof } from './share.ts';
import { addChecksum, bitsOf, checksumFault, CHECKSUM_WORDS, codeOf, MOST_WORDS, putBytes, readWords, wordBuffer, wordFault, writeWords, WORD_BITS } from './word-code.ts';

/** What every mnemonic of a set says alike. Public. */
export interface Slip39Set {
  /** 15 random bits. */
  readonly identifier: number;
  /** Sets of one secret with different identifiers are recovered with one passphrase; else the identifier is its salt. */
  readonly extendable: boolean;
  /** PBKDF2 runs 10000 times 2 to this power. */
  readonly iterationExponent: number;
  readonly groupThreshold: number;
  readonly groups: number;
  /** Of the secret, in bytes. */
  readonly length: number;
}

export interface Mnemonic {
  readonly set: Slip39Set;
  /** Places in the set, from 0 as in the standard; the member's is the point of the polynomial. */
  readonly group: number;
  readonly member: number;
  readonly threshold: number;
  /** Secret. Whoever holds the mnemonic wipes it. */
  readonly value: Uint8Array;
}

export const MOST_MEMBERS = 16; // four bits
const HEADER_WORDS = 4;
const LEAST_WORDS = HEADER_WORDS + 13 + CHECKSUM_WORDS; // of a 128-bit secret
const MOST_EXPONENT = 8; // 2.56 million rounds: seconds. The field allows 2^15, with which a forged mnemonic would hold the program for hours.
const OWN_EXPONENT = 1; // what the reference implementation writes
const DIGEST_BYTES = 4;
const DIGEST_X = 254;
const SECRET_X = 255;
const ROUNDS = [0, 1, 2, 3];
const SALT = utf8('shamir');

// --- words ---------------------------------------------------------------------------------------------------------------

/**
 * Reads one mnemonic: words of the list, capitals or not, between blanks or line ends. Throws `Refused` SHARE-WORDS (a word
 * that is not in the list, a number of words or a value that no secret gives), SHARE-CHECKSUM, SHARE-VERSION (too costly).
 * The caller wipes `text` and the value.
 */
export function parseMnemonic(text: Uint8Array): Mnemonic {
  const words = readWords(text);
  try {
    const valueBits = WORD_BITS * (words.length - HEADER_WORDS - CHECKSUM_WORDS);
    const padding = valueBits % 16;
    if (words.length < LEAST_WORDS || words.length > MOST_WORDS || padding > 8) {
      throw wordFault('20 words (a secret of 128 bits), 33 (256 bits) or another count that a secret gives', `${words.length}`, 'Look for a word that is missing or stands there twice.');
    }
    const code = codeOf(words);
    if (code === null) throw new Refused(checksumFault(words));
    if (code === 'conclave_share') throw wordFault('words of SLIP-39', 'those of a sheet of Conclave', 'Give it to a command that takes shares.');
    const bits = (from: number, count: number): number => bitsOf(words, from, count);
    const set: Slip39Set = {
      identifier: bits(0, 15), extendable: bits(15, 1) === 1, iterationExponent: bits(16, 4),
      groupThreshold: bits(24, 4) + 1, groups: bits(28, 4) + 1, length: (valueBits - padding) / 8,
    };
    if (set.groupThreshold > set.groups) throw wordFault('a group threshold within the number of groups', `${set.groupThreshold} of ${set.groups}`, 'Keep it as evidence: no program writes this.');
    if (set.iterationExponent > MOST_EXPONENT) throw new Refused(refuse('SHARE-VERSION', `an iteration exponent up to ${MOST_EXPONENT}`, `${set.iterationExponent}`, 'Use the program that made it.'));
    if (bits(HEADER_WORDS * WORD_BITS, padding) !== 0) throw wordFault('padding of zeros before the value', 'other bits', 'Keep it as evidence: no program writes this.');
    const value = secretBytes(set.length);
    for (let i = 0; i < value.length; i++) value[i] = bits(HEADER_WORDS * WORD_BITS + padding + 8 * i, 8);
    return { set, group: bits(20, 4), member: bits(32, 4), threshold: bits(36, 4) + 1, value };
  } finally {
    words.fill(0);
  }
}

/** The mnemonic on one line, as ASCII. It contains the value: the caller writes it and wipes it. */
export function encodeMnemonic({ set, group, member, threshold, value }: Mnemonic): Uint8Array {
  const valueWords = Math.ceil((8 * value.length) / WORD_BITS);
  const words = wordBuffer(HEADER_WORDS + valueWords + CHECKSUM_WORDS);
  words[0] = set.identifier >> 5;
  words[1] = ((set.identifier & 31) << 5) | (Number(set.extendable) << 4) | set.iterationExponent;
  words[2] = (group << 6) | ((set.groupThreshold - 1) << 2) | ((set.groups - 1) >> 2);
  words[3] = (((set.groups - 1) & 3) << 8) | (member << 4) | (threshold - 1);
  putBytes(words, WORD_BITS * (HEADER_WORDS + valueWords) - 8 * value.length, value);
  addChecksum(words, set.extendable ? 'shamir_extendable' : 'shamir');
  const text = writeWords(words);
  words.fill(0);
  return text;
}

// --- sets ----------------------------------------------------------------------------------------------------------------

/** Two mnemonics of one set have one of these. */
export function slip39SetName({ identifier, extendable, iterationExponent, groupThreshold, groups, length }: Slip39Set): string {
  return `${identifier} (exponent ${iterationExponent}, ${groupThreshold} of ${groups} groups, ${8 * length} bits${extendable ? ', extendable' : ''})`;
}

/** What speaks against a mnemonic when it is entered: SHARE-FOREIGN-SET, SHARE-DUPLICATE. `set` is that of the gathering. */
export function checkMnemonic(mnemonic: Mnemonic, set: Slip39Set, seen: readonly Mnemonic[]): Refusal[] {
  const [name, own] = [slip39SetName(set), slip39SetName(mnemonic.set)];
  if (name !== own) return [refuse('SHARE-FOREIGN-SET', `a share of set ${name}`, `one of set ${own}`, 'Keep this share apart, and use another one.')];
  const group = seen.filter((other) => other.group === mnemonic.group);
  const other = group.find(({ threshold }) => threshold !== mnemonic.threshold);
  if (other !== undefined) {
    return [refuse('SHARE-FOREIGN-SET', `a share of a group that needs ${other.threshold}`, `one that says ${mnemonic.threshold}`, 'Keep this share apart, and use another one.')];
  }
  if (group.some(({ member }) => member === mnemonic.member)) {
    return [refuse('SHARE-DUPLICATE', 'every share once', `share ${mnemonic.member + 1} of group ${mnemonic.group + 1} again`, 'Bring another share.')];
  }
  return [];
}

/** What is missing, if anything: SHARES-TOO-FEW. The mnemonics have passed `checkMnemonic`. */
export function slip39Missing(mnemonics: readonly Mnemonic[], set: Slip39Set): Refusal | null {
  const groups = groupsOf(mnemonics);
  const complete = groups.filter((group) => group.length >= group[0]!.threshold);
  if (complete.length >= set.groupThreshold) return null;
  const open = groups.filter((group) => !complete.includes(group)).map((group) => `${group.length} of ${group[0]!.threshold} in group ${group[0]!.group + 1}`);
  const found = [`${complete.length} complete groups`, ...open].join(', ');
  return refuse('SHARES-TOO-FEW', `${set.groupThreshold} complete group${set.groupThreshold === 1 ? '' : 's'}`, found, 'Bring more shares; fewer tell nothing about the secret.');
}

function groupsOf(mnemonics: readonly Mnemonic[]): Mnemonic[][] {
  return [...Map.groupBy(mnemonics, ({ group }) => group).values()];
}

/**
 * The secret. Throws the first `Refused`: of `checkPassphrase` or `checkMnemonic`, SHARES-TOO-FEW before anything is combined,
 * SHARES-WRONG-SECRET when a digest does not fit. Mnemonics beyond the threshold take part. The caller wipes the result, the
 * values and the passphrase.
 */
export async function combineMnemonics(mnemonics: readonly Mnemonic[], passphrase: Uint8Array): Promise<Uint8Array> {
  checkPassphrase(passphrase);
  const [first] = mnemonics;
  if (first === undefined) throw new Refused(refuse('SHARES-TOO-FEW', 'a mnemonic', 'none', 'Bring the shares.'));
  const { set } = first;
  mnemonics.forEach((mnemonic, i) => {
    const [finding] = checkMnemonic(mnemonic, set, mnemonics.slice(0, i));
    if (finding !== undefined) throw new Refused(finding);
  });
  const missing = slip39Missing(mnemonics, set);
  if (missing !== null) throw new Refused(missing);
  const points: RawShare[] = [];
  let sealed: Uint8Array | null = null;
  try {
    for (const group of groupsOf(mnemonics)) {
      const { threshold, group: x } = group[0]!;
      if (group.length >= threshold) points.push({ x, payload: await shared(group.map(({ member, value }) => ({ x: member, payload: value })), threshold) });
    }
    sealed = await shared(points, set.groupThreshold);
    return crypt(sealed, set, passphrase, ROUNDS.toReversed());
  } finally {
    sealed?.fill(0);
    for (const { payload } of points) payload.fill(0);
  }
}

/** What these points share: of one the value itself, else the value at 255, if the digest at 254 fits it. */
async function shared(points: readonly RawShare[], threshold: number): Promise<Uint8Array> {
  if (threshold === 1) {
    const copy = secretBytes(points[0]!.payload.length);
    copy.set(points[0]!.payload);
    return copy;
  }
  const [secret, proof] = [await valueAt(points, SECRET_X), await valueAt(points, DIGEST_X)];
  const fits = equalBytes(proof.subarray(0, DIGEST_BYTES), digestOf(secret, proof.subarray(DIGEST_BYTES)));
  proof.fill(0);
  if (fits) return secret;
  secret.fill(0);
  throw wrongSecret(points.map(({ x }) => x + 1));
}

function digestOf(secret: Uint8Array, key: Uint8Array): Uint8Array {
  return hmac(sha256, key, secret).subarray(0, DIGEST_BYTES);
}

/** Four rounds of a Feistel cipher; backwards, they decrypt. Its strength is the passphrase's: without one it hides nothing. */
function crypt(input: Uint8Array, set: Slip39Set, passphrase: Uint8Array, rounds: readonly number[]): Uint8Array {
  const half = input.length / 2;
  const state = secretBytes(input.length);
  state.set(input);
  const [left, right] = [state.subarray(0, half), state.subarray(half)];
  const prefix = set.extendable ? new Uint8Array(0) : concat(SALT, Uint8Array.of(set.identifier >> 8, set.identifier & 255));
  const [password, salt] = [secretBytes(1 + passphrase.length), secretBytes(prefix.length + half)];
  password.set(passphrase, 1);
  salt.set(prefix);
  for (const round of rounds) {
    password[0] = round;
    salt.set(right, prefix.length);
    const key = pbkdf2(sha256, password, salt, { c: 2500 << set.iterationExponent, dkLen: half });
    for (let i = 0; i < half; i++) {
      const mixed = left[i]! ^ key[i]!;
      left[i] = right[i]!;
      right[i] = mixed;
    }
    key.fill(0);
  }
  const output = secretBytes(input.length);
  output.set(right);
  output.set(left, half);
  for (const used of [state, password, salt]) used.fill(0);
  return output;
}

// --- splitting -----------------------------------------------------------------------------------------------------------

/** How many random bytes `makeMnemonics` takes. */
export function slip39Randomness(threshold: number): number {
  return 2 + (SECRET_BYTES - DIGEST_BYTES) + Math.max(0, threshold - 2) * SECRET_BYTES + 32;
}

/**
 * Splits a secret into one group of mnemonics and proves the split, as `proveSplit` does: M of them give it, M - 1 do not.
 * The caller wipes `secret`, `passphrase`, `random` and every value.
 * Throws `Refused` SHARE-LENGTH, SHARE-NUMBERS (16 shares are the most), SHARE-PASSPHRASE, or what a failed proof says.
 */
export async function makeMnemonics(
  secret: Uint8Array, numbers: { readonly threshold: number; readonly shares: number }, passphrase: Uint8Array, random: Uint8Array,
): Promise<{ mnemonics: Mnemonic[]; proof: SplitProof }> {
  const { threshold, shares } = numbers;
  checkNumbers(threshold, shares);
  checkPassphrase(passphrase);
  if (shares > MOST_MEMBERS) throw new Refused(refuse('SHARE-NUMBERS', `N up to ${MOST_MEMBERS} in SLIP-39`, `${shares}`, 'Give fewer shares, or use another form.'));
  if (secret.length !== SECRET_BYTES) throw wrongLength(secret.length);
  if (random.length !== slip39Randomness(threshold)) throw new Refused(refuse('SPLIT-SEED', `${slip39Randomness(threshold)} random bytes`, `${random.length}`, 'Give fresh random bytes.'));
  let at = 0;
  const take = (length: number): Uint8Array => random.subarray(at, at += length);
  const [high, low] = take(2);
  const set: Slip39Set = { identifier: ((high! & 127) << 8) | low!, extendable: true, iterationExponent: OWN_EXPONENT, groupThreshold: 1, groups: 1, length: SECRET_BYTES };
  const sealed = crypt(secret, set, passphrase, ROUNDS);
  const key = take(SECRET_BYTES - DIGEST_BYTES);
  const proofShare = secretBytes(SECRET_BYTES);
  proofShare.set(digestOf(sealed, key));
  proofShare.set(key, DIGEST_BYTES);
  const mnemonics: Mnemonic[] = [];
  try {
    const chosen: RawShare[] = Array.from({ length: threshold - 2 }, (_, x) => ({ x, payload: take(SECRET_BYTES) }));
    const base = [...chosen, { x: DIGEST_X, payload: proofShare }, { x: SECRET_X, payload: sealed }];
    for (let member = 0; member < shares; member++) {
      // The value at a chosen point is the chosen one, in a buffer of its own too.
      mnemonics.push({ set, group: 0, member, threshold, value: await valueAt(base, member) });
    }
    return { mnemonics, proof: await proveMnemonics(mnemonics, sealed, threshold, take(32)) };
  } catch (error) {
    for (const { value } of mnemonics) value.fill(0);
    throw error;
  } finally {
    sealed.fill(0);
    proofShare.fill(0);
  }
}

async function proveMnemonics(mnemonics: readonly Mnemonic[], sealed: Uint8Array, threshold: number, seed: Uint8Array): Promise<SplitProof> {
  const draw = shake256.create().update(seed);
  const gives = async (group: readonly Mnemonic[]): Promise<boolean> => {
    const points = group.map(({ member, value }) => ({ x: member, payload: value }));
    const value = points.length === 1 ? points[0]!.payload.slice() : await valueAt(points, SECRET_X);
    const same = equalBytes(value, sealed);
    value.fill(0);
    return same;
  };
  const quorums = subsets(mnemonics, threshold, draw);
  for (const quorum of quorums.groups) if (!(await gives(quorum))) throw wrongSecret(quorum.map(({ member }) => member + 1));
  const short = subsets(mnemonics, threshold - 1, draw);
  for (const group of short.groups) {
    if (await gives(group)) throw new Refused(refuse('SPLIT-THRESHOLD', `${threshold} shares needed`, `${group.length} are enough`, 'Wipe these shares and split again. The program is at fault.'));
  }
  return { subsetsTried: quorums.groups.length, shortTried: short.groups.length, exhaustive: quorums.all };
}

/** Throws `Refused` SHARE-PASSPHRASE unless it is printable ASCII, as the standard says. */
export function checkPassphrase(passphrase: Uint8Array): void {
  if (passphrase.every((byte) => byte >= 0x20 && byte <= 0x7e)) return;
  throw new Refused(refuse('SHARE-PASSPHRASE', 'printable ASCII characters', 'others', 'SLIP-39 knows no other passphrases: choose one without accents.'));
}
