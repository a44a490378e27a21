/**
 * Bytes and their text forms, one spelling each.
 *
 * In the record bytes are base64url without padding (RFC 4648 section 5), on screens lower-case hex. Every reader here is
 * strict: what it accepts, the writer would have written character for character, so two different texts never mean the
 * same bytes. That is what makes "compare the text" and "compare the bytes" the same check.
 *
 * Never for secrets: strings cannot be wiped, and `toBase64url` keeps its last input in a scratch buffer.
 */

import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { Refused, refuse } from './refusal.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const CODES = Uint8Array.from(ALPHABET, (c) => c.charCodeAt(0));
/** Character code -> six bits, 255 for everything that is not in the alphabet. */
const SEXTETS = new Uint8Array(256).fill(255);
for (const [value, code] of CODES.entries()) SEXTETS[code] = value;

/** Twelve bits -> two characters, so that three bytes cost two table reads: the record has one digest per line. */
const PAIRS = new Uint16Array(4096);
const PAIR_BYTES = new Uint8Array(PAIRS.buffer);
for (let i = 0; i < 4096; i++) {
  PAIR_BYTES[2 * i] = CODES[i >> 6]!;
  PAIR_BYTES[2 * i + 1] = CODES[i & 63]!;
}
let scratch = new Uint16Array(4096);
const ascii = new TextDecoder();
// ignoreBOM means "leave it in the text": a mark that vanished here would make two byte strings one text.
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Bytes -> base64url without padding. About 0.2 microseconds for a SHA-512 digest. */
export function toBase64url(bytes: Uint8Array): string {
  const whole = bytes.length - (bytes.length % 3);
  if (scratch.length * 2 < (bytes.length * 4) / 3 + 4) scratch = new Uint16Array(bytes.length);
  let pair = 0;
  for (let i = 0; i < whole; i += 3) {
    const group = (bytes[i]! << 16) | (bytes[i + 1]! << 8) | bytes[i + 2]!;
    scratch[pair++] = PAIRS[group >> 12]!;
    scratch[pair++] = PAIRS[group & 4095]!;
  }
  const text = new Uint8Array(scratch.buffer);
  let length = 2 * pair;
  if (bytes.length - whole === 1) {
    text[length++] = CODES[bytes[whole]! >> 2]!;
    text[length++] = CODES[(bytes[whole]! << 4) & 63]!;
  } else if (bytes.length - whole === 2) {
    const group = (bytes[whole]! << 8) | bytes[whole + 1]!;
    text[length++] = CODES[group >> 10]!;
    text[length++] = CODES[(group >> 4) & 63]!;
    text[length++] = CODES[(group << 2) & 63]!;
  }
  return ascii.decode(text.subarray(0, length));
}

/**
 * base64url -> bytes. Throws `Refused` BASE64URL-CANONICAL on padding, on any character outside the alphabet, on an
 * impossible length and on leftover bits that are not zero (RFC 4648 section 3.5).
 */
export function fromBase64url(text: string): Uint8Array {
  const tail = text.length % 4;
  if (tail === 1) throw notBase64url(`${text.length} characters, which no number of bytes gives`);
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let at = 0;
  let seen = 0; // every sextet ORed together: 255 in it means that one was no letter of the alphabet
  const whole = text.length - tail;
  for (let i = 0; i < whole; i += 4) {
    const a = sextet(text, i);
    const b = sextet(text, i + 1);
    const c = sextet(text, i + 2);
    const d = sextet(text, i + 3);
    seen |= a | b | c | d;
    bytes[at++] = (a << 2) | (b >> 4);
    bytes[at++] = (b << 4) | (c >> 2);
    bytes[at++] = (c << 6) | d;
  }
  if (tail > 0) {
    const a = sextet(text, whole);
    const b = sextet(text, whole + 1);
    const c = tail === 3 ? sextet(text, whole + 2) : 0;
    seen |= a | b | c;
    bytes[at++] = (a << 2) | (b >> 4);
    if (tail === 3) bytes[at++] = (b << 4) | (c >> 2);
    const leftover = tail === 2 ? b & 15 : c & 3;
    if (seen <= 63 && leftover !== 0) throw notBase64url('a last character with leftover bits set');
  }
  if (seen > 63) throw notBase64url('a character outside A-Z a-z 0-9 - _');
  return bytes;
}

function sextet(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code < 256 ? SEXTETS[code]! : 255;
}

function notBase64url(found: string): Refused {
  return new Refused(
    refuse('BASE64URL-CANONICAL', 'base64url without padding, one spelling per value', found, 'Check where this text was copied from.'),
  );
}

/** Bytes -> lower-case hex. */
export function toHex(bytes: Uint8Array): string {
  return bytesToHex(bytes);
}

/** Lower-case hex -> bytes. Throws `Refused` HEX-CANONICAL on anything else, capitals included. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) {
    throw new Refused(
      refuse('HEX-CANONICAL', 'pairs of the characters 0-9 a-f', 'other characters or an odd count', 'Check where this text was copied from.'),
    );
  }
  return hexToBytes(text);
}

/** Text -> UTF-8. Throws `Refused` TEXT-WELL-FORMED on an unpaired surrogate, which an encoder would silently replace. */
export function utf8(text: string): Uint8Array {
  if (!text.isWellFormed()) throw notText('an unpaired surrogate');
  return utf8ToBytes(text);
}

/** UTF-8 -> text, a byte order mark kept. Throws `Refused` TEXT-WELL-FORMED on bytes that are not UTF-8. */
export function fromUtf8(bytes: Uint8Array): string {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    throw notText('bytes that are not UTF-8');
  }
}

function notText(found: string): Refused {
  return new Refused(refuse('TEXT-WELL-FORMED', 'well-formed Unicode text', found, 'Write the text again, in UTF-8.'));
}

/** All parts in order, in one new array. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return concatBytes(...parts);
}

/** Same length and same bytes. Looks at every byte whatever it finds, so time does not tell where two digests differ. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

/** The same bytes for WebCrypto's types, which do not take shared memory; nothing in this project makes shared memory. */
export function forWebCrypto(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}
