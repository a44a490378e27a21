/**
 * DER as an indented outline, for people who want to see what an attribute of a token holds: tags by name, OIDs, numbers and
 * texts; everything else as hex. It only shows. Nothing is judged by it, and what is no DER has no outline.
 */
import { fromUtf8, toHex } from '../bytes.ts';
import { Refused } from '../refusal.ts';
import { plainText } from '../text.ts';
import { derParts, readDer, readOid, TAG, type Der } from './der.ts';

/** X.680 section 8.6, universal class. */
const NAMES: Readonly<Record<number, string>> = {
  [TAG.boolean]: 'BOOLEAN', [TAG.integer]: 'INTEGER', [TAG.bitString]: 'BIT STRING', [TAG.octetString]: 'OCTET STRING', [TAG.null]: 'NULL', [TAG.oid]: 'OBJECT IDENTIFIER', 0x0a: 'ENUMERATED',
  0x0c: 'UTF8String', 0x12: 'NumericString', 0x13: 'PrintableString', 0x14: 'TeletexString', 0x16: 'IA5String', [TAG.utcTime]: 'UTCTime', [TAG.generalizedTime]: 'GeneralizedTime', 0x1e: 'BMPString',
  [TAG.sequence]: 'SEQUENCE', [TAG.set]: 'SET',
};
const TEXTS: readonly number[] = [0x0c, 0x12, 0x13, 0x16, TAG.utcTime, TAG.generalizedTime];
const DEEPEST = 24;
const MOST_LINES = 400;
const SHOWN_BYTES = 32;

/** One line per value, two blanks per level; null where `bytes` are not one DER value and nothing else. Never throws. */
export function asn1Lines(bytes: Uint8Array): string[] | null {
  const lines: string[] = [];
  try {
    outline(readDer(bytes, 'value'), 0, lines);
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
  return lines.length <= MOST_LINES ? lines : [...lines.slice(0, MOST_LINES), `and ${lines.length - MOST_LINES} more values`];
}

function outline(node: Der, depth: number, lines: string[]): void {
  const { tag, content } = node;
  const line = (words: string): number => lines.push(`${'  '.repeat(depth)}${words}`);
  const name = (tag & 0xc0) === 0 ? NAMES[tag] ?? `[UNIVERSAL ${tag & 0x1f}]` : `[${(tag & 0xc0) === 0x80 ? '' : (tag & 0xc0) === 0x40 ? 'APPLICATION ' : 'PRIVATE '}${tag & 0x1f}]`;
  if ((tag & 0x20) !== 0) {
    const parts = depth < DEEPEST ? derParts(node, 'value') : [];
    line(parts.length === 0 && content.length > 0 ? `${name} ${hex(content)}` : name);
    for (const part of parts) outline(part, depth + 1, lines);
    return;
  }
  const inside = wrapped(node);
  line(inside === null ? `${name} ${valueText(node)}`.trimEnd() : `${name}, which holds`);
  if (inside !== null) outline(inside, depth + 1, lines);
}

/** What an OCTET STRING or BIT STRING is wrapped around, where that is a SEQUENCE: extensions, keys, signatures. */
function wrapped({ tag, content }: Der): Der | null {
  const inner = tag === TAG.octetString ? content : tag === TAG.bitString && content[0] === 0 ? content.subarray(1) : null;
  if (inner?.[0] !== TAG.sequence) return null;
  try {
    const node = readDer(inner, 'value');
    derParts(node, 'value');
    return node;
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
}

function valueText(node: Der): string {
  const { tag, content } = node;
  if (tag === TAG.oid) return readOid(node, 'value');
  if (tag === TAG.boolean && content.length === 1) return content[0] === 0 ? 'FALSE' : 'TRUE';
  // Small numbers as people write them; a negative or a long one says more in hex.
  if ((tag === TAG.integer || tag === 0x0a) && content.length > 0 && content.length <= 6 && content[0]! < 0x80) return `${content.reduce((sum, byte) => sum * 256 + byte, 0)}`;
  if (TEXTS.includes(tag)) {
    try {
      const text = fromUtf8(content);
      if (plainText('value', text, 1000) === null) return JSON.stringify(text);
    } catch {
      // Bytes that are no UTF-8 are shown as bytes.
    }
  }
  return hex(content);
}

function hex(bytes: Uint8Array): string {
  return bytes.length <= SHOWN_BYTES ? toHex(bytes) : `${toHex(bytes.subarray(0, SHOWN_BYTES))}… (${bytes.length} bytes)`;
}
