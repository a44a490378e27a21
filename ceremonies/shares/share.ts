/**
 * A share as it is handed to a custodian, and everything that can be wrong with one, named the moment it is entered.
 *
 * A share carries its set's name, its own number and its holder's seat, and a digest over all of it. The record carries the
 * facts of the set: a commitment to every share and one to the secret. So a damaged, foreign, old, doubled or swapped
 * share is refused before anything is combined, and the combined secret is compared before anything is done with it.
 *
 * The payload is secret and exists as bytes only, never as text: texts cannot be wiped. Everything else may be shown.
 *
 *   "conclave-share/1" LF, header as canonical JSON (RFC 8785), LF, 32 bytes payload, 32 bytes SHA-256 of all before it
 */

import canonicalize from 'canonicalize';
import { sha256 } from '@noble/hashes/sha2.js';
import { shake256 } from '@noble/hashes/sha3.js';
import { equalBytes, fromBase64url, fromUtf8, toBase64url, utf8 } from '../bytes.ts';
import type { ShareSet } from '../evidence.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { checkNumbers, combineShares, SECRET_BYTES, secretBytes, splitSecret, wrongLength, xZero } from './shamir.ts';

/** The public part of a share. */
export interface ShareHeader {
  readonly v: 1;
  /** Name of the set: 16 random bytes, base64url. Stays the same when the secret is shared anew. */
  readonly set: string;
  /** Counts the splits of this set's secret, from 0. Shares of an older epoch are worthless and are refused. */
  readonly epoch: number;
  readonly threshold: number;
  readonly shares: number;
  /** Number of this share, 1..shares; the point of the polynomial. */
  readonly x: number;
  readonly length: 32;
  /** Seat of the person it was made for, e.g. `custodian-2`. */
  readonly custodian: string;
  /** Digest of the set's facts (`setDigest`), so that shares of one set know each other without the record. */
  readonly of: string;
}

export interface Share {
  readonly header: ShareHeader;
  /** 32 bytes. Whoever holds the share object wipes this. */
  readonly payload: Uint8Array;
}

const MAGIC = 'conclave-share/1\n';
const MAGIC_BYTES = utf8(MAGIC);
const CHECK_BYTES = 32;
const HEADER_LIMIT = 1000; // bytes; ours have about 230
export const SEAT = /^[a-z][a-z0-9-]{0,39}$/;
const TELL = 'Keep this share apart, tell the officer, and use another one.';

/**
 * Splits a secret. `custodians` are the seats that receive shares 1, 2, ... in this order; each seat once.
 * Returns the facts for the record (public) and the shares. The caller wipes `secret` and every payload.
 * Throws `Refused` SHARE-LENGTH, SHARE-NUMBERS, SHARE-SAME-PERSON, SHARE-SET.
 */
export async function makeShares(
  secret: Uint8Array,
  plan: { readonly set: string; readonly epoch: number; readonly threshold: number; readonly custodians: readonly string[] },
): Promise<{ set: ShareSet; shares: Share[] }> {
  const { set: id, epoch, threshold, custodians } = plan;
  if (canonicalBytes(id)?.length !== 16 || !Number.isInteger(epoch) || epoch < 0 || !custodians.every((seat) => SEAT.test(seat))) {
    throw new Refused(refuse('SHARE-SET', 'a set name of 16 bytes, an epoch and seats', 'something else', 'Correct the plan of the set.'));
  }
  const twice = custodians.find((seat, i) => custodians.indexOf(seat) !== i);
  if (twice !== undefined) throw new Refused(samePerson(twice));
  const raw = await splitSecret(secret, { threshold, shares: custodians.length });
  const bare = raw.map(({ x, payload }) => ({
    header: { v: 1, set: id, epoch, threshold, shares: custodians.length, x, length: 32, custodian: custodians[x - 1]!, of: '' } as const,
    payload,
  }));
  const set: ShareSet = {
    id,
    epoch,
    threshold,
    shares: custodians.length,
    commitments: bare.map((share) => shareCommitment(share)),
    secret: secretCommitment(id, secret),
  };
  const of = setDigest(set);
  return { set, shares: bare.map(({ header, payload }) => ({ header: { ...header, of }, payload })) };
}

/**
 * What the record says of one share: base64url SHA-256 over "conclave-share/1" LF, the canonical JSON of the header
 * without `of`, LF, and the payload. The payload of one share is 256 uniformly random bits, so its digest tells nothing.
 */
export function shareCommitment(share: Share): string {
  const { of: _, ...bound } = share.header;
  const head = utf8(`${MAGIC}${canonical(bound)}\n`);
  return toBase64url(digest(head, share.payload));
}

/** base64url SHA-256 over "conclave-backup-key/1", the 16 bytes of the set's name, and the secret (256 random bits). */
export function secretCommitment(set: string, secret: Uint8Array): string {
  return toBase64url(digest(utf8('conclave-backup-key/1'), fromBase64url(set), secret));
}

/** base64url SHA-256 of the canonical JSON of a set's facts. */
export function setDigest(set: ShareSet): string {
  const { id, epoch, threshold, shares, commitments, secret } = set;
  return toBase64url(sha256(utf8(canonical({ id, epoch, threshold, shares, commitments, secret }))));
}

/** The bytes for a card. They contain the payload: the caller writes them and wipes them. */
export function encodeShare(share: Share): Uint8Array {
  if (share.payload.length !== SECRET_BYTES) throw wrongLength(share.payload.length);
  const head = utf8(`${MAGIC}${canonical(share.header)}\n`);
  const bytes = secretBytes(head.length + SECRET_BYTES + CHECK_BYTES);
  bytes.set(head);
  bytes.set(share.payload, head.length);
  bytes.set(sha256(bytes.subarray(0, head.length + SECRET_BYTES)), head.length + SECRET_BYTES);
  return bytes;
}

/**
 * Reads what `encodeShare` wrote. Throws `Refused` SHARE-DAMAGED for anything that is not such bytes, unchanged to the
 * last bit; then SHARE-VERSION, SHARE-X-ZERO, SHARE-LENGTH or SHARE-DAMAGED for what an honest writer never writes.
 * The caller wipes `bytes` and the payload of the result.
 */
export function parseShare(bytes: Uint8Array): Share {
  const end = bytes.length - SECRET_BYTES - CHECK_BYTES;
  if (!equalBytes(bytes.subarray(0, MAGIC_BYTES.length), MAGIC_BYTES)) {
    const version = /^conclave-share\/(\d{1,9})\n/.exec(String.fromCharCode(...bytes.subarray(0, 26)))?.[1];
    if (version !== undefined) throw new Refused(refuse('SHARE-VERSION', 'a share of format 1', `format ${version}`, 'Use the program version that made it.'));
    throw damaged('the beginning of a share', 'other bytes');
  }
  if (end <= MAGIC_BYTES.length + 1 || end > HEADER_LIMIT || bytes[end - 1] !== 0x0a) throw damaged('a header, a payload and a digest', `${bytes.length} bytes in another arrangement`);
  if (!equalBytes(sha256(bytes.subarray(0, end + SECRET_BYTES)), bytes.subarray(end + SECRET_BYTES))) {
    throw damaged('the digest at the end to fit', 'changed bytes');
  }
  const header = parseHeader(bytes.subarray(MAGIC_BYTES.length, end - 1));
  const payload = secretBytes(SECRET_BYTES);
  payload.set(bytes.subarray(end, end + SECRET_BYTES));
  return { header, payload };
}

function parseHeader(bytes: Uint8Array): ShareHeader {
  let value: unknown;
  let text: string;
  try {
    text = fromUtf8(bytes);
    value = JSON.parse(text);
    if (canonicalize(value) !== text) throw new Error('another spelling');
  } catch {
    throw damaged('a header in canonical JSON', 'something else');
  }
  const names = ['custodian', 'epoch', 'length', 'of', 'set', 'shares', 'threshold', 'v', 'x'];
  if (typeof value !== 'object' || value === null || Object.keys(value).toSorted().join() !== names.join()) {
    throw damaged(`a header with ${names.join(', ')}`, 'other members');
  }
  const header = value as Readonly<Record<string, unknown>>;
  const whole = (name: string, least: number, most: number): number => {
    const number = header[name];
    if (typeof number !== 'number' || !Number.isInteger(number) || number < least || number > most) throw damaged(`${name} from ${least} to ${most}`, 'something else');
    return number;
  };
  const bytesOf = (name: string, length: number): string => {
    const field = header[name];
    if (typeof field !== 'string' || canonicalBytes(field)?.length !== length) throw damaged(`${name} of ${length} bytes`, 'something else');
    return field;
  };
  const { custodian, x, length } = header;
  if (header['v'] !== 1) throw damaged('format 1 inside as outside', 'another');
  if (x === 0) throw xZero(0);
  if (length !== SECRET_BYTES) throw wrongLength(typeof length === 'number' ? length : 0);
  if (typeof custodian !== 'string' || !SEAT.test(custodian)) throw damaged('the seat of a custodian', 'something else');
  const shares = whole('shares', 2, 255);
  return {
    v: 1,
    set: bytesOf('set', 16),
    epoch: whole('epoch', 0, 2 ** 31),
    threshold: whole('threshold', 2, shares),
    shares,
    x: whole('x', 1, shares),
    length: 32,
    custodian,
    of: bytesOf('of', 32),
  };
}

/** A share that was accepted before, in the same gathering. */
export interface SeenShare {
  readonly header: ShareHeader;
  /** Seat of the person who brought it, where that is known. */
  readonly presentedBy?: string;
}

/**
 * Everything that speaks against a share at the moment it is entered; empty when it is a genuine, current member of
 * the set and new to the gathering.
 *
 * SHARE-FOREIGN-SET (another set, or not among this set's commitments) · SHARE-OLD-EPOCH · SHARE-NEW-EPOCH (the record is
 * older than the share) · SHARE-LENGTH · SHARE-X-ZERO · SHARE-SWAPPED (not the number expected from this card) ·
 * SHARE-DUPLICATE · SHARE-SAME-PERSON.
 */
export function checkShare(
  share: Share,
  context: {
    /** From the record: never from a share. */
    readonly set: ShareSet;
    readonly seen?: readonly SeenShare[];
    readonly presentedBy?: string;
    /** The number that should be on this card, when one card in particular was asked for. */
    readonly expectedX?: number;
  },
): Refusal[] {
  const { header, payload } = share;
  const { set, seen = [], presentedBy, expectedX } = context;
  if (header.x === 0) return [xZero(0).refusal];
  if (payload.length !== SECRET_BYTES) return [wrongLength(payload.length).refusal];
  if (header.set !== set.id) return [refuse('SHARE-FOREIGN-SET', `a share of set ${set.id}`, `one of set ${header.set}`, TELL)];
  if (header.epoch < set.epoch) {
    return [refuse('SHARE-OLD-EPOCH', `a share of epoch ${set.epoch}`, `one of epoch ${header.epoch}`, 'The secret was shared anew since. Bring the newer share; have this one destroyed.')];
  }
  if (header.epoch > set.epoch) {
    return [refuse('SHARE-NEW-EPOCH', `a share of epoch ${set.epoch}`, `one of epoch ${header.epoch}`, 'This record is older than the share. Bring the record of the newest split.')];
  }
  if (shareCommitment(share) !== set.commitments[header.x - 1] || header.of !== setDigest(set)) {
    return [refuse('SHARE-FOREIGN-SET', `share ${header.x} as the record knows it`, 'a share that bears the name of this set and is not in it', TELL)];
  }
  const findings: Refusal[] = [];
  if (expectedX !== undefined && header.x !== expectedX) {
    findings.push(refuse('SHARE-SWAPPED', `share ${expectedX} on this card`, `share ${header.x}, made for ${header.custodian}`, 'Find out whose card this is before anything else happens.'));
  }
  if (seen.some((other) => other.header.x === header.x)) {
    findings.push(refuse('SHARE-DUPLICATE', 'every share once', `share ${header.x} again`, 'Bring another share.'));
  }
  const person = seen.find((other) => other.header.x !== header.x && other.header.custodian === header.custodian);
  if (person !== undefined) findings.push(samePerson(header.custodian));
  else if (presentedBy !== undefined && seen.some((other) => other.presentedBy === presentedBy)) findings.push(samePerson(presentedBy));
  return findings;
}

/**
 * The secret, once every share has been checked against the set's facts, enough are there, and the result is the secret
 * that was split. Any genuine shares beyond the threshold take part as well. Throws the first `Refused`: a rule of
 * `checkShare`, SHARES-TOO-FEW before anything is combined, or SHARES-WRONG-SECRET (the bytes are wiped then).
 * The caller wipes the result and the payloads.
 */
export async function combineChecked(shares: readonly Share[], set: ShareSet): Promise<Uint8Array> {
  shares.forEach((share, i) => {
    const [finding] = checkShare(share, { set, seen: shares.slice(0, i) });
    if (finding !== undefined) throw new Refused(finding);
  });
  if (shares.length < set.threshold) {
    throw new Refused(refuse('SHARES-TOO-FEW', `${set.threshold} shares`, `${shares.length}`, 'Bring more shares; fewer tell nothing about the secret.'));
  }
  const secret = await combineShares(shares.map(({ header, payload }) => ({ x: header.x, payload })));
  if (secretCommitment(set.id, secret) !== set.secret) {
    secret.fill(0);
    throw wrongSecret(shares.map((share) => share.header.x));
  }
  return secret;
}

/** What `proveSplit` did; for the record. */
export interface SplitProof {
  /** Quorums of exactly M shares that were combined and gave the secret. */
  readonly subsetsTried: number;
  /** Groups of M - 1 shares that were combined and did not. */
  readonly shortTried: number;
  /** True when every possible quorum was tried. */
  readonly exhaustive: boolean;
}

const MOST_SUBSETS = 200;

/**
 * Proves a fresh split before any share leaves: quorums of M give the secret, groups of M - 1 do not (a split made with
 * a smaller threshold than agreed would pass every other test). All quorums where there are at most 200; otherwise 200,
 * chosen with `seed` (32 random bytes) and so that every share takes part in one. `shares` are all N of the set.
 * Throws `Refused`: a rule of `checkShare`, SHARES-TOO-FEW, SHARES-WRONG-SECRET or SPLIT-THRESHOLD.
 */
export async function proveSplit(shares: readonly Share[], set: ShareSet, seed: Uint8Array): Promise<SplitProof> {
  checkNumbers(set.threshold, set.shares);
  shares.forEach((share, i) => {
    const [finding] = checkShare(share, { set, seen: shares.slice(0, i) });
    if (finding !== undefined) throw new Refused(finding);
  });
  if (shares.length !== set.shares) throw new Refused(refuse('SHARES-TOO-FEW', `all ${set.shares} shares of the set`, `${shares.length}`, 'Prove the split while every share is at hand.'));
  if (seed.length !== 32) throw new Refused(refuse('SPLIT-SEED', '32 random bytes', `${seed.length}`, 'Give fresh random bytes.'));
  const draw = shake256.create().update(seed);
  const opens = async (group: readonly Share[]): Promise<boolean> => {
    const secret =
      group.length === 1 ? group[0]!.payload.slice() : await combineShares(group.map(({ header, payload }) => ({ x: header.x, payload })));
    const fits = secretCommitment(set.id, secret) === set.secret;
    secret.fill(0);
    return fits;
  };
  const quorums = subsets(shares, set.threshold, draw);
  for (const quorum of quorums.groups) {
    if (!(await opens(quorum))) throw wrongSecret(quorum.map((share) => share.header.x));
  }
  const short = subsets(shares, set.threshold - 1, draw);
  for (const group of short.groups) {
    if (await opens(group)) {
      throw new Refused(
        refuse('SPLIT-THRESHOLD', `${set.threshold} shares needed`, `shares ${group.map((share) => share.header.x).join(', ')} are enough`, 'Wipe these shares and split again. The program is at fault.'),
      );
    }
  }
  return { subsetsTried: quorums.groups.length, shortTried: short.groups.length, exhaustive: quorums.all };
}

/** A stream of bytes drawn from a seed. */
export type Drawn = ReturnType<typeof shake256.create>;

/** All groups of `size`, or 200 drawn ones that together contain every share. */
export function subsets<T>(shares: readonly T[], size: number, draw: Drawn): { groups: T[][]; all: boolean } {
  if (binomial(shares.length, size) <= MOST_SUBSETS) return { groups: [...combinations(shares, size)], all: true };
  const groups: T[][] = [];
  // First one shuffled deck cut into hands, the last hand filled up from the top: every share is in one.
  const deck = shuffled(shares, draw);
  for (let at = 0; at < deck.length; at += size) {
    const hand = deck.slice(at, at + size);
    groups.push([...hand, ...deck.slice(0, size - hand.length)]);
  }
  while (groups.length < MOST_SUBSETS) groups.push(shuffled(shares, draw).slice(0, size));
  return { groups, all: false };
}

function* combinations<T>(shares: readonly T[], size: number, from = 0): Generator<T[]> {
  if (size === 0) {
    yield [];
    return;
  }
  for (let i = from; i <= shares.length - size; i++) {
    for (const rest of combinations(shares, size - 1, i + 1)) yield [shares[i]!, ...rest];
  }
}

/** Fisher-Yates with 32-bit draws; their bias over at most 255 places is below 2^-24, and nothing secret hangs on it. */
function shuffled<T>(shares: readonly T[], draw: Drawn): T[] {
  const deck = [...shares];
  for (let i = deck.length - 1; i > 0; i--) {
    const bytes = draw.xof(4);
    const j = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) % (i + 1);
    [deck[i], deck[j]] = [deck[j]!, deck[i]!];
  }
  return deck;
}

function binomial(n: number, k: number): number {
  let result = 1;
  for (let i = 1; i <= k; i++) result = (result * (n - k + i)) / i;
  return Math.round(result);
}

/** SHA-256 of the parts, without joining them: a joined copy of a payload would be one more copy to wipe. */
function digest(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = sha256.create();
  for (const part of parts) hash.update(part);
  const result = hash.digest();
  hash.destroy();
  return result;
}

function canonicalBytes(text: string): Uint8Array | null {
  try {
    return fromBase64url(text);
  } catch {
    return null;
  }
}

function canonical(value: object): string {
  return canonicalize(value) ?? '';
}

export function damaged(expected: string, found: string): Refused {
  return new Refused(refuse('SHARE-DAMAGED', expected, found, TELL));
}

function samePerson(seat: string): Refusal {
  return refuse('SHARE-SAME-PERSON', 'one share from each person', `two from ${seat}`, 'Another custodian has to bring the next share.');
}

export function wrongSecret(numbers: readonly number[]): Refused {
  return new Refused(
    refuse('SHARES-WRONG-SECRET', 'the secret that was split', `another one from shares ${numbers.join(', ')}`, 'Use nothing of this result. Keep all shares, and try another quorum.'),
  );
}
