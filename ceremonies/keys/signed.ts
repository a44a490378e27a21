/**
 * What certificates, requests and CRLs have in common when they are read: PEM, the signed envelope, names, times, extensions.
 *
 * Everything is read by `der.ts`, one level at a time, and the to-be-signed bytes stay exactly as they stand in the file.
 * Nothing is repaired, nothing is judged beyond its form, and nothing is written here but the lines of PEM.
 */

import { equalBytes, fromUtf8, toHex } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { plainText } from '../text.ts';
import { derFault, derParts, expectTag, readBitString, readDer, readIdentifier, readOid, TAG, type Der, type Identifier } from './der.ts';

/** SEQUENCE { body, algorithm, signature }: the form of all three (RFC 5280 sections 4.1.1 and 5.1.1, RFC 2986 section 4.2). */
export interface Signed {
  readonly der: Uint8Array;
  /** The bytes that are signed, as they stand in the file. */
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: Identifier;
  /** Content of the BIT STRING; ECDSA as DER. */
  readonly signature: Uint8Array;
}

/** Splits a signed structure. `body` and `outer` are for reading on: the parts of the body, and the outer identifier's bytes. */
export function readSigned(der: Uint8Array, field: string): { readonly signed: Signed; readonly body: readonly Der[]; readonly outer: Uint8Array } {
  const parts = derParts(readDer(der, field, TAG.sequence), field);
  if (parts.length !== 3) throw derFault(field, 'three values: body, algorithm, signature', `${parts.length}`);
  const body = expectTag(parts[0], TAG.sequence, `${field}.body`);
  return {
    signed: {
      der, tbs: body.bytes, signatureAlgorithm: readIdentifier(parts[1], `${field}.signatureAlgorithm`),
      signature: readBitString(parts[2], `${field}.signature`),
    },
    body: derParts(body, field),
    outer: parts[1]!.bytes,
  };
}

/** RFC 5280 sections 4.1.1.2 and 5.1.1.2: both identifiers are the same; else an attacker chooses which one is believed. */
export function sameIdentifier(inner: Der | undefined, outer: Uint8Array, field: string, rule: string): void {
  const { oid } = readIdentifier(inner, `${field}.signature`);
  if (!equalBytes(inner!.bytes, outer)) {
    throw new Refused(refuse(rule, 'the same signature algorithm inside and outside', `${oid} inside, and another value outside`, 'Do not rely on this file.'));
  }
}

/** UTCTime or GeneralizedTime. Throws `Refused` under `rule`. */
export function readTime(node: Der | undefined, field: string, rule: string): Date {
  const text = node === undefined ? '' : String.fromCharCode(...node.content.subarray(0, 20));
  // RFC 5280 section 4.1.2.5: seconds and Z always, no fractions.
  const match = node?.tag === TAG.utcTime ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text) : node?.tag === TAG.generalizedTime ? /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text) : null;
  const [year = NaN, month = NaN, day = NaN, hour = NaN, minute = NaN, second = NaN] = (match ?? []).slice(1).map(Number);
  const full = match?.[1]?.length === 2 ? (year < 50 ? 2000 + year : 1900 + year) : year;
  const date = new Date(Date.UTC(full, month - 1, day, hour, minute, second));
  const same = date.getUTCFullYear() === full && date.getUTCMonth() === month - 1 && date.getUTCDate() === day && date.getUTCHours() === hour && date.getUTCMinutes() === minute;
  if (!same || second > 59) throw new Refused(refuse(rule, `${field}: a UTC time with seconds`, 'another value', 'Do not rely on this file.'));
  return date;
}

export interface ExtensionReading {
  readonly oid: string;
  readonly critical: boolean;
  /** The content of the OCTET STRING: DER by RFC 5280 section 4.2, though some vendors write bare octets. */
  readonly content: Uint8Array;
  /** The value in it. Throws `Refused` DER-STRUCTURE when it is looked at and is none. */
  readonly value: Der;
  /** For messages. */
  readonly field: string;
}

/** The extensions in a SEQUENCE OF Extension. Each may stand there once (RFC 5280 section 4.2). */
export function readExtensionList(list: Der, field: string): ExtensionReading[] {
  const seen = new Set<string>();
  return derParts(expectTag(list, TAG.sequence, field), field).map((extension) => {
    const parts = derParts(expectTag(extension, TAG.sequence, field), field);
    const oid = readOid(parts[0], field);
    const name = `${field}.${oid}`;
    if (seen.has(oid)) throw derFault(name, 'each extension once', 'the same one twice');
    seen.add(oid);
    if (parts.length > 3) throw derFault(name, 'an identifier, a flag and a value', `${parts.length} values`);
    const critical = parts.length === 3 && expectTag(parts[1], TAG.boolean, name).content[0] !== 0;
    const { content } = expectTag(parts.at(-1), TAG.octetString, name);
    return { oid, critical, content, field: name, get value() { return readDer(content, name); } };
  });
}

// --- names ---------------------------------------------------------------------------------------------------------------

/** Short names of RFC 4514 section 3, and the two that people also write. */
const SHORT: Readonly<Record<string, string>> = {
  '2.5.4.3': 'CN', '2.5.4.4': 'SN', '2.5.4.5': 'serialNumber', '2.5.4.6': 'C', '2.5.4.7': 'L', '2.5.4.8': 'ST', '2.5.4.9': 'street', '2.5.4.10': 'O', '2.5.4.11': 'OU',
  '2.5.4.12': 'T', '2.5.4.42': 'G', '2.5.4.97': 'organizationIdentifier', '0.9.2342.19200300.100.1.25': 'DC', '1.2.840.113549.1.9.1': 'E',
};

/** A name for people. Control and direction characters are shown as escapes; at most 300 characters. Never throws. */
export function nameText(name: Uint8Array): string {
  // No name that people can read is longer.
  if (name.length > 8192) return `(name of ${name.length} bytes)`;
  let text: string;
  try {
    text = derParts(readDer(name, 'name', TAG.sequence), 'name').map((place) => derParts(expectTag(place, TAG.set, 'name'), 'name').map((attribute) => {
      const [type, value] = derParts(expectTag(attribute, TAG.sequence, 'name'), 'name');
      const oid = readOid(type, 'name');
      return `${SHORT[oid] ?? oid}=${value === undefined ? '' : valueText(value).replace(/[,+"\\<>;]|^[ #]| $/g, '\\$&')}`;
    }).join('+')).join(', ');
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    text = `(unreadable name, ${name.length} bytes)`;
  }
  return text.slice(0, 300).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (c) => `\\u{${c.codePointAt(0)?.toString(16) ?? ''}}`);
}

function valueText({ tag, content }: Der): string {
  switch (tag) {
    case 0x0c: // UTF8String
      return fromUtf8(content);
    case 0x12: case 0x13: case 0x14: case 0x16: case 0x1a: // Numeric, Printable, Teletex (as everybody writes it: Latin-1), IA5, Visible
      return String.fromCharCode(...content);
    case 0x1e: // BMPString: two octets a character, the higher first
      return String.fromCharCode(...Array.from({ length: content.length >> 1 }, (_, i) => (content[2 * i]! << 8) | content[2 * i + 1]!));
    default:
      return `#${toHex(content)}`;
  }
}

/** What a subject may be made of, and the most characters of each: RFC 5280 appendix A.1, RFC 4519 (dc), ETSI EN 319 412-1 (organizationIdentifier). */
const ATTRIBUTES: ReadonlyMap<string, readonly [string, number]> = new Map([
  ['2.5.4.3', ['common name', 64]], ['2.5.4.5', ['serial number', 64]], ['2.5.4.6', ['country', 2]], ['2.5.4.7', ['locality', 128]], ['2.5.4.8', ['state', 128]],
  ['2.5.4.10', ['organization', 64]], ['2.5.4.11', ['organizational unit', 64]], ['2.5.4.97', ['organization identifier', 64]], ['0.9.2342.19200300.100.1.25', ['domain component', 63]],
]);
/** UTF8String, PrintableString, IA5String. The others of DirectoryString are for reading old certificates only (RFC 5280 section 4.1.2.4). */
const STRINGS: readonly number[] = [0x0c, 0x13, 0x16];

/** What keeps a name that somebody else wrote from going into a certificate; each finding under `rule` or a TEXT-* rule. */
export function nameFindings(name: Uint8Array, rule: string): Refusal[] {
  const next = 'Have the request made again with a plain name.';
  const findings: Refusal[] = [];
  try {
    const places = derParts(readDer(name, 'subject', TAG.sequence), 'subject');
    if (places.length === 0 || places.length > 12) return [refuse(rule, 'a name of 1 to 12 attributes', places.length === 0 ? 'an empty name' : `${places.length}`, next)];
    for (const place of places) {
      const attributes = derParts(expectTag(place, TAG.set, 'subject'), 'subject');
      if (attributes.length !== 1) return [refuse(rule, 'one attribute in each place of the name', `${attributes.length}`, next)];
      const [type, value, ...more] = derParts(expectTag(attributes[0], TAG.sequence, 'subject'), 'subject');
      const oid = readOid(type, 'subject');
      const [label, most] = ATTRIBUTES.get(oid) ?? ['', 0];
      if (value === undefined || more.length > 0 || label === '') findings.push(refuse(rule, `attributes of these kinds: ${[...ATTRIBUTES.values()].map(([one]) => one).join(', ')}`, oid, next));
      else if (!STRINGS.includes(value.tag)) findings.push(refuse(rule, `${label}: UTF8String, PrintableString or IA5String`, 'another type', next));
      else findings.push(...attributeFindings(rule, label, most, value, next));
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    findings.push(error.refusal);
  }
  return findings;
}

function attributeFindings(rule: string, label: string, most: number, value: Der, next: string): Refusal[] {
  const text = fromUtf8(value.content);
  const plain = plainText(label, text, most);
  if (plain !== null) return [plain];
  if (text === '' || text !== text.trim()) return [refuse(rule, `${label}: text without blanks around it`, text === '' ? 'nothing' : 'blanks', next)];
  if (value.tag !== 0x0c && !/^[\x20-\x7e]*$/.test(text)) return [refuse(rule, `${label}: characters that its string type has`, 'others', next)];
  return [];
}

// --- PEM -----------------------------------------------------------------------------------------------------------------

/** The textual form of RFC 7468: lines of 64 characters, and one at the end. */
export function pem(label: string, der: Uint8Array): string {
  let binary = '';
  for (let at = 0; at < der.length; at += 8192) binary += String.fromCharCode(...der.subarray(at, at + 8192));
  return `-----BEGIN ${label}-----\n${btoa(binary).replace(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`;
}

/** The labels under which each kind of file is found (RFC 7468 sections 5 to 7). */
export const PEM_LABELS = {
  certificate: ['CERTIFICATE'],
  request: ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'],
  'stated-request': ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'],
  crl: ['X509 CRL'],
} as const satisfies Record<string, readonly string[]>;

/** The DER of the one certificate, request or CRL that a file holds. Throws `Refused` PEM, also when there are several. */
export function derOf(file: Uint8Array, kind: keyof typeof PEM_LABELS): Uint8Array {
  const [block, ...more] = readPem(file, PEM_LABELS[kind]);
  if (more.length > 0) throw pemFault(PEM_LABELS[kind], `${more.length + 1} of them`);
  return block!.der;
}

/** PEM or DER, by its first bytes: every block of the labels wanted, or the whole file. Throws `Refused` PEM. */
export function readPem(file: Uint8Array, labels: readonly string[]): { readonly label: string; readonly der: Uint8Array }[] {
  if (file[0] === TAG.sequence) return [{ label: labels[0] ?? '', der: file }];
  const wrong = (found: string): Refused => pemFault(labels, found);
  let text: string;
  try {
    text = fromUtf8(file);
  } catch {
    throw wrong('neither');
  }
  const blocks: { label: string; der: Uint8Array }[] = [];
  const others = new Set<string>();
  // Line by line: a pattern over the whole file could be made to backtrack.
  let open: { label: string; lines: string[] } | null = null;
  for (const line of text.split(/\r?\n/)) {
    const begin = /^-----BEGIN ([A-Z0-9 ]{1,40})-----\s*$/.exec(line);
    const end = /^-----END ([A-Z0-9 ]{1,40})-----\s*$/.exec(line);
    if (begin) {
      if (open !== null) throw wrong('a BEGIN inside another block');
      open = { label: begin[1]!, lines: [] };
    } else if (end) {
      if (open?.label !== end[1]) throw wrong('an END without its BEGIN');
      if (labels.includes(open!.label)) blocks.push({ label: open!.label, der: base64(open!.lines.join(''), wrong) });
      else others.add(open!.label);
      open = null;
    } else open?.lines.push(line.trim());
  }
  if (open !== null) throw wrong('a BEGIN without its END');
  if (blocks.length === 0) throw wrong(others.size > 0 ? `PEM with ${[...others].slice(0, 3).join(', ')}` : 'neither');
  return blocks;
}

function pemFault(labels: readonly string[], found: string): Refused {
  return new Refused(refuse('PEM', `DER, or PEM with ${labels.join(' or ')}`, found, 'Check that this is the right file.'));
}

function base64(text: string, wrong: (found: string) => Refused): Uint8Array {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw wrong('a block that is not base64');
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}
