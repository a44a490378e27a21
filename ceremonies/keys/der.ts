/**
 * DER, read strictly and written once: the gate that every key, certificate and signature of this project passes before
 * any library sees it.
 *
 * It reads one level at a time, never recurses and never copies more than it was given, so a hostile length or a thousand
 * nested tags cost nothing. Indefinite and padded lengths, tags of several bytes and trailing bytes are refused by rule
 * DER-STRUCTURE with the name of the field. It never repairs anything, and never puts content into a message.
 */

import { concat, equalBytes, toHex } from '../bytes.ts';
import { Refused, refuse } from '../refusal.ts';

export interface Der {
  readonly tag: number;
  readonly content: Uint8Array;
  /** The whole value, tag and length included. */
  readonly bytes: Uint8Array;
}

export const TAG = {
  boolean: 0x01, integer: 0x02, bitString: 0x03, octetString: 0x04, null: 0x05, oid: 0x06, utcTime: 0x17, generalizedTime: 0x18,
  sequence: 0x30, set: 0x31,
} as const;

export function derFault(field: string, expected: string, found: string): Refused {
  return new Refused(refuse('DER-STRUCTURE', `${field}: ${expected}`, found, 'Read the file again from where it came; do not repair it by hand.'));
}

/** The one value that `bytes` are, of the tag wanted; no bytes before or after it. */
export function readDer(bytes: Uint8Array, field: string, tag?: number): Der {
  const node = next(bytes, 0, field);
  if (node.bytes.length !== bytes.length) throw derFault(field, 'one value and nothing after it', `${bytes.length - node.bytes.length} bytes after it`);
  return tag === undefined ? node : expectTag(node, tag, field);
}

/** The values directly inside a constructed one. */
export function derParts(node: Der, field: string, tag?: number): Der[] {
  if (tag !== undefined) expectTag(node, tag, field);
  if ((node.tag & 0x20) === 0) throw derFault(field, 'a constructed value', tagName(node.tag));
  const parts: Der[] = [];
  for (let at = 0; at < node.content.length; ) {
    const part = next(node.content, at, field);
    parts.push(part);
    at += part.bytes.length;
  }
  return parts;
}

export function expectTag(node: Der | undefined, tag: number, field: string): Der {
  if (node?.tag !== tag) throw derFault(field, tagName(tag), node === undefined ? 'nothing' : tagName(node.tag));
  return node;
}

/** The values in a row of a card-verifiable certificate, whose tags have one or two bytes (BSI TR-03110 part 3 annex D.2). */
export function cardParts(bytes: Uint8Array, field: string): Der[] {
  const parts: Der[] = [];
  for (let at = 0; at < bytes.length; at += parts.at(-1)!.bytes.length) parts.push(next(bytes, at, field, true));
  return parts;
}

function next(bytes: Uint8Array, at: number, field: string, longTags = false): Der {
  let tag = bytes[at];
  let start = at + 2;
  if (tag !== undefined && (tag & 0x1f) === 0x1f) {
    const second = bytes[at + 1];
    if (!longTags || second === undefined || second > 127) throw derFault(field, longTags ? 'a tag of one or two bytes' : 'a tag of one byte', 'a longer one');
    tag = (tag << 8) | second;
    start += 1;
  }
  const first = bytes[start - 1];
  if (tag === undefined || first === undefined) throw derFault(field, 'a tag and a length', 'the end of the bytes');
  let length = first;
  if (first >= 0x80) {
    const count = first & 0x7f;
    // Four octets address more than any file read here; X.690 section 10.1: the shortest form only.
    if (count === 0 || count > 4) throw derFault(field, 'a definite length below 4 GB', count === 0 ? 'an indefinite one' : `${count} octets of length`);
    length = 0;
    for (let i = 0; i < count; i++) {
      const octet = bytes[start++];
      if (octet === undefined) throw derFault(field, 'a whole length', 'the end of the bytes');
      length = length * 256 + octet;
    }
    if (length < 0x80 || length < 256 ** (count - 1)) throw derFault(field, 'the shortest form of the length', 'a padded one');
  }
  if (length > bytes.length - start) throw derFault(field, `${length} bytes of content`, `${bytes.length - start}`);
  return { tag, content: bytes.subarray(start, start + length), bytes: bytes.subarray(at, start + length) };
}

function tagName(tag: number): string {
  const known = Object.entries(TAG).find(([, value]) => value === tag);
  return known ? known[0] : `tag ${toHex(Uint8Array.of(tag))}`;
}

// --- values --------------------------------------------------------------------------------------------------------------

/** Content of an unsigned INTEGER without its leading zero. Negative and padded ones are refused (X.690 section 8.3). */
export function readUnsigned(node: Der | undefined, field: string): Uint8Array {
  const { content } = expectTag(node, TAG.integer, field);
  if (content.length === 0) throw derFault(field, 'an integer', 'no bytes');
  if (content[0]! > 127) throw derFault(field, 'an integer that is not negative', 'a negative one');
  if (content.length > 1 && content[0] === 0 && content[1]! < 128) throw derFault(field, 'the shortest form of an integer', 'a padded one');
  return content[0] === 0 ? content.subarray(1) : content;
}

/** Content of a BIT STRING that holds whole octets. */
export function readBitString(node: Der | undefined, field: string): Uint8Array {
  const { content } = expectTag(node, TAG.bitString, field);
  if (content[0] !== 0) throw derFault(field, 'whole octets in a BIT STRING', content.length === 0 ? 'no bytes' : 'unused bits');
  return content.subarray(1);
}

export function readOid(node: Der | undefined, field: string): string {
  const { content } = expectTag(node, TAG.oid, field);
  if (content.length === 0 || content.length > 40 || content.at(-1)! > 127) throw derFault(field, 'an object identifier', 'another value');
  const arcs: bigint[] = [];
  let arc = 0n;
  let fresh = true;
  for (const octet of content) {
    if (fresh && octet === 0x80) throw derFault(field, 'the shortest form of an arc', 'a padded one');
    arc = (arc << 7n) | BigInt(octet & 0x7f);
    fresh = octet < 128;
    if (!fresh) continue;
    if (arcs.length === 0) {
      const root = arc < 80n ? arc / 40n : 2n;
      arcs.push(root, arc - root * 40n);
    } else arcs.push(arc);
    arc = 0n;
  }
  return arcs.join('.');
}

export interface Identifier {
  readonly oid: string;
  /** DER of the parameters; null when absent, which is not NULL. */
  readonly parameters: Uint8Array | null;
}

export function readIdentifier(node: Der | undefined, field: string): Identifier {
  const parts = derParts(expectTag(node, TAG.sequence, field), field);
  if (parts.length < 1 || parts.length > 2) throw derFault(field, 'an OID and at most one parameter', `${parts.length} values`);
  return { oid: readOid(parts[0], `${field}.algorithm`), parameters: parts[1]?.bytes ?? null };
}

// --- writing -------------------------------------------------------------------------------------------------------------

export function writeDer(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256);
  const header = length < 128 ? [tag, length] : [tag, 0x80 | octets.length, ...octets];
  return concat(Uint8Array.from(header), ...content);
}

/** INTEGER of big-endian bytes, leading zeros allowed. */
export function writeUnsigned(bytes: Uint8Array): Uint8Array {
  let first = 0;
  while (first < bytes.length - 1 && bytes[first] === 0) first++;
  const digits = bytes.length === 0 ? Uint8Array.of(0) : bytes.subarray(first);
  return writeDer(TAG.integer, digits[0]! > 127 ? Uint8Array.of(0) : new Uint8Array(), digits);
}

export function writeBitString(bytes: Uint8Array): Uint8Array {
  return writeDer(TAG.bitString, Uint8Array.of(0), bytes);
}

export function writeOid(oid: string): Uint8Array {
  const arcs = oid.split('.').map(BigInt);
  const septets = [arcs[0]! * 40n + arcs[1]!, ...arcs.slice(2)].flatMap((arc) => {
    const group = [Number(arc & 0x7fn)];
    for (let rest = arc >> 7n; rest > 0n; rest >>= 7n) group.unshift(Number(rest & 0x7fn) | 0x80);
    return group;
  });
  return writeDer(TAG.oid, Uint8Array.from(septets));
}

export function writeIdentifier(oid: string, parameters: Uint8Array | null): Uint8Array {
  return writeDer(TAG.sequence, writeOid(oid), ...(parameters === null ? [] : [parameters]));
}

/** Refuses a value that the writer would have written otherwise. */
export function expectCanonical(bytes: Uint8Array, written: Uint8Array, field: string): void {
  if (!equalBytes(bytes, written)) throw derFault(field, 'the one DER form of this value', 'another encoding of it');
}
