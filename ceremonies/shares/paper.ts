/**
 * A share in the two forms that a sheet of paper carries, and back: a text for a QR code, and words for people.
 *
 * QR code: the bytes of `encodeShare` in base32 (RFC 4648 section 6, without padding), of SLIP-39 its words in capitals. Both
 * are characters of the code's alphanumeric mode, and any reader of QR codes with `base32 --decode` gets at the bytes.
 *
 * Words of a share of our own: 33 of the SLIP-39 list, with its checksum under a customization string of ours, so that neither is
 * ever taken for the other. They carry what nobody else has, the payload, and enough to find the rest in the facts of the set:
 *
 *   20 bits  the first of the set's name      10 bits  epoch
 *    2 bits  01, the format                    8 bits  x
 *    4 bits  zero                            256 bits  payload        30 bits  checksum (word-code.ts)
 *
 * They are no proof by themselves: the commitment to the share, in the facts of the set, is.
 */

import { base32nopad } from '@scure/base';
import { equalBytes, fromBase64url, utf8 } from '../bytes.ts';
import type { ShareSet } from '../evidence.ts';
import { Refused, refuse } from '../refusal.ts';
import { secretBytes, SECRET_BYTES, xZero } from './shamir.ts';
import { encodeShare, setDigest, type Share } from './share.ts';
import { addChecksum, bitsOf, CHECKSUM_WORDS, checksumFault, codeOf, putBytes, readWords, WORD_BITS, wordBuffer, wordFault, writeWords } from './word-code.ts';

/** What the words of one of our sheets say. */
export interface SheetWords {
  /** The first 20 bits of the set's name. */
  readonly set: number;
  readonly epoch: number;
  readonly x: number;
  /** 32 bytes. Whoever holds the words wipes this. */
  readonly payload: Uint8Array;
}

const HEADER_WORDS = 4;
export const SHEET_WORDS = HEADER_WORDS + Math.ceil((8 * SECRET_BYTES) / WORD_BITS) + CHECKSUM_WORDS;
const MOST_EPOCH = 1023; // ten bits: a set that is split anew every month reaches it after 85 years
const FORMAT = 1;
const TELL = 'Keep this sheet as evidence: no program writes this.';

function setBits(id: string): number {
  const bytes = fromBase64url(id);
  return (bytes[0]! << 12) | (bytes[1]! << 4) | (bytes[2]! >> 4);
}

// --- words ---------------------------------------------------------------------------------------------------------------

/** The words on one line, as ASCII. The caller writes and wipes them. Throws `Refused` SHARE-NUMBERS for an epoch that has no room. */
export function encodeSheetWords({ header, payload }: Share): Uint8Array {
  if (header.epoch > MOST_EPOCH) throw new Refused(refuse('SHARE-NUMBERS', `an epoch up to ${MOST_EPOCH} on paper`, `${header.epoch}`, 'Split the key as a new set.'));
  return linesOf({ set: setBits(header.set), epoch: header.epoch, x: header.x, payload });
}

/** The same of words that were read before. */
export function linesOf({ set, epoch, x, payload }: SheetWords): Uint8Array {
  const words = wordBuffer(SHEET_WORDS);
  words.set([set >> 10, set & 1023, epoch, (FORMAT << 8) | x]);
  putBytes(words, WORD_BITS * (SHEET_WORDS - CHECKSUM_WORDS) - 8 * SECRET_BYTES, payload);
  addChecksum(words, 'conclave_share');
  try {
    return writeWords(words);
  } finally {
    words.fill(0);
  }
}

/** Are these the words of one of our own sheets? By the checksum alone, which SLIP-39's words never fit. */
export function isSheet(text: Uint8Array): boolean {
  const words = readWords(text);
  try {
    return words.length > CHECKSUM_WORDS && codeOf(words) === 'conclave_share';
  } finally {
    words.fill(0);
  }
}

/** Throws `Refused` SHARE-WORDS, SHARE-CHECKSUM, SHARE-VERSION, SHARE-X-ZERO. The caller wipes `text` and the payload. */
export function parseSheetWords(text: Uint8Array): SheetWords {
  const words = readWords(text);
  try {
    if (words.length !== SHEET_WORDS) throw wordFault(`${SHEET_WORDS} words`, `${words.length}`, 'Look for a word that is missing or stands there twice.');
    if (codeOf(words) !== 'conclave_share') throw new Refused(checksumFault(words));
    const format = bitsOf(words, 30, 2);
    if (format !== FORMAT) throw new Refused(refuse('SHARE-VERSION', `a sheet of format ${FORMAT}`, `format ${format}`, 'Use the program version that made it.'));
    if (bitsOf(words, 40, 4) !== 0) throw wordFault('zeros before the payload', 'other bits', TELL);
    const x = bitsOf(words, 32, 8);
    if (x === 0) throw xZero(0);
    const payload = secretBytes(SECRET_BYTES);
    for (let i = 0; i < SECRET_BYTES; i++) payload[i] = bitsOf(words, 44 + 8 * i, 8);
    return { set: bitsOf(words, 0, 20), epoch: bitsOf(words, 20, 10), x, payload };
  } finally {
    words.fill(0);
  }
}

/**
 * The share that these words are, if they are one of this set: to be checked against its commitment like any other. The payload
 * is the same buffer. Throws `Refused` SHARE-FOREIGN-SET; SHARE-SETS for facts that do not say whose share is whose.
 */
export function shareOfSheet({ set: bits, epoch, x, payload }: SheetWords, { set, custodians }: { readonly set: ShareSet; readonly custodians?: readonly string[] | undefined }): Share {
  if (bits !== setBits(set.id)) throw new Refused(refuse('SHARE-FOREIGN-SET', `words of set ${set.id}`, 'words of another set', 'Keep this sheet apart, and use another one.'));
  if (custodians === undefined) throw new Refused(refuse('SHARE-SETS', 'facts of the set that name the custodians', 'facts without them', 'Give set.pem of the split with --set.'));
  const header = {
    v: 1, set: set.id, epoch, threshold: set.threshold, shares: set.shares, x, length: SECRET_BYTES, custodian: custodians[x - 1] ?? '', of: setDigest(set),
  } as const;
  return { header, payload };
}

// --- QR code -------------------------------------------------------------------------------------------------------------

const RECORD = utf8('conclave-share/');

/** The text for a QR code. It contains the payload, and is a text: for short-lived processes only. */
export function shareToQr(share: Share): string {
  const bytes = encodeShare(share);
  try {
    return base32nopad.encode(bytes);
  } finally {
    bytes.fill(0);
  }
}

/** What a QR code says, as the file that it stands for: the bytes of a share, or words. Null for a code of another purpose. The caller wipes it. */
export function fileOfQr(text: string): Uint8Array | null {
  if (/^[A-Za-z]+( [A-Za-z]+)+$/.test(text)) return utf8(text);
  try {
    const bytes = base32nopad.decode(text);
    if (equalBytes(bytes.subarray(0, RECORD.length), RECORD)) return bytes;
    bytes.fill(0);
  } catch {
    // Not base32
  }
  return null;
}
