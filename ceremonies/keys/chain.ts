/**
 * Certificates and requests that others made: reading, verifying, and judging a chain of them. Nothing is issued here.
 *
 * Structure is read by `der.ts`, one level at a time; a signature is judged over the to-be-signed bytes exactly as they
 * stand in the file. No clock: the caller gives the time at which a chain should hold, or none. No revocation, no policy
 * trees, no name constraints: a critical extension that is not understood is a finding (RFC 5280 section 4.2).
 */

import 'reflect-metadata';
import { Name } from '@peculiar/x509';
import { equalBytes, fromUtf8, toHex } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { derFault, derParts, expectTag, readBitString, readDer, readIdentifier, readOid, readUnsigned, TAG, type Der, type Identifier } from './der.ts';
import { keyFindings, readSubjectKey, signatureFindings, type SubjectKey } from './subject-key.ts';

interface Signed {
  /** The bytes that are signed, as they stand in the file. */
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: Identifier;
  readonly signature: Uint8Array;
}

export interface CertificateReading extends Signed {
  readonly der: Uint8Array;
  readonly version: 1 | 2 | 3;
  /** Hex, as in the file. */
  readonly serial: string;
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly key: SubjectKey;
  readonly ca: boolean;
  readonly pathLength: number | null;
  /** Names of RFC 5280 section 4.2.1.3; null without the extension. */
  readonly keyUsage: readonly KeyUsage[] | null;
  readonly subjectKeyId: string | null;
  readonly authorityKeyId: string | null;
  /** OIDs of critical extensions that are not understood here. */
  readonly unknownCritical: readonly string[];
}

export interface RequestReading extends Signed {
  readonly subject: Uint8Array;
  readonly key: SubjectKey;
}

const USAGES = ['digitalSignature', 'nonRepudiation', 'keyEncipherment', 'dataEncipherment', 'keyAgreement', 'keyCertSign', 'cRLSign', 'encipherOnly', 'decipherOnly'] as const;
export type KeyUsage = (typeof USAGES)[number];

const MISTRUST = 'Do not rely on this certificate. Compare it with its issuer\'s record.';
const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const SUBJECT_KEY_ID = '2.5.29.14';
const AUTHORITY_KEY_ID = '2.5.29.35';

function readSigned(der: Uint8Array, field: string): Signed & { readonly body: Der } {
  const parts = derParts(readDer(der, field, TAG.sequence), field);
  if (parts.length !== 3) throw derFault(field, 'three values: body, algorithm, signature', `${parts.length}`);
  const body = expectTag(parts[0], TAG.sequence, `${field}.body`);
  return { body, tbs: body.bytes, signatureAlgorithm: readIdentifier(parts[1], `${field}.signatureAlgorithm`), signature: readBitString(parts[2], `${field}.signature`) };
}

/** Reads an X.509 certificate. Throws `Refused` DER-STRUCTURE, CERTIFICATE-ALGORITHM, CERTIFICATE-DATES, or what the key breaks. */
export function readCertificate(der: Uint8Array): CertificateReading {
  const field = 'certificate';
  const { body, ...signed } = readSigned(der, field);
  const parts = derParts(body, field);
  let at = 0;
  let version: 1 | 2 | 3 = 1;
  if (parts[0]?.tag === 0xa0) {
    const number = readUnsigned(readDer(parts[0].content, `${field}.version`), `${field}.version`);
    if (number.length > 1 || (number[0] !== 1 && number[0] !== 2)) throw derFault(`${field}.version`, 'version 2 or 3', 'another');
    version = number[0] === 1 ? 2 : 3;
    at = 1;
  }
  const serial = toHex(expectTag(parts[at], TAG.integer, `${field}.serialNumber`).content);
  const inner = readIdentifier(parts[at + 1], `${field}.signature`);
  // RFC 5280 section 4.1.1.2: both identifiers are the same; else an attacker chooses which one is believed.
  if (!equalBytes(parts[at + 1]!.bytes, derParts(readDer(der, field), field)[1]!.bytes)) {
    throw new Refused(refuse('CERTIFICATE-ALGORITHM', 'the same signature algorithm inside and outside', `${inner.oid} and ${signed.signatureAlgorithm.oid}, or other parameters`, MISTRUST));
  }
  const issuer = expectTag(parts[at + 2], TAG.sequence, `${field}.issuer`).bytes;
  const [notBefore, notAfter] = derParts(expectTag(parts[at + 3], TAG.sequence, `${field}.validity`), `${field}.validity`);
  const subject = expectTag(parts[at + 4], TAG.sequence, `${field}.subject`).bytes;
  const key = readSubjectKey(expectTag(parts[at + 5], TAG.sequence, `${field}.subjectPublicKeyInfo`).bytes);
  const extensions = readExtensions(parts.slice(at + 6), field);
  return {
    der, version, serial, issuer, subject, key, ...signed, ...extensions,
    notBefore: readTime(notBefore, `${field}.validity.notBefore`), notAfter: readTime(notAfter, `${field}.validity.notAfter`),
  };
}

/** Reads a PKCS#10 request (RFC 2986). */
export function readRequest(der: Uint8Array): RequestReading {
  const field = 'request';
  const { body, ...signed } = readSigned(der, field);
  const parts = derParts(body, field);
  if (readUnsigned(parts[0], `${field}.version`).length !== 0) throw derFault(`${field}.version`, '0', 'another version');
  if (parts.length !== 4 || parts[3]?.tag !== 0xa0) throw derFault(`${field}.attributes`, 'attributes [0], though they may be empty', 'something else');
  return { ...signed, subject: expectTag(parts[1], TAG.sequence, `${field}.subject`).bytes, key: readSubjectKey(expectTag(parts[2], TAG.sequence, `${field}.subjectPKInfo`).bytes) };
}

function readTime(node: Der | undefined, field: string): Date {
  const text = node === undefined ? '' : String.fromCharCode(...node.content.subarray(0, 20));
  // RFC 5280 section 4.1.2.5: seconds and Z always, no fractions.
  const match = node?.tag === TAG.utcTime ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text) : node?.tag === TAG.generalizedTime ? /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text) : null;
  const [year = NaN, month = NaN, day = NaN, hour = NaN, minute = NaN, second = NaN] = (match ?? []).slice(1).map(Number);
  const full = match?.[1]?.length === 2 ? (year < 50 ? 2000 + year : 1900 + year) : year;
  const date = new Date(Date.UTC(full, month - 1, day, hour, minute, second));
  const same = date.getUTCFullYear() === full && date.getUTCMonth() === month - 1 && date.getUTCDate() === day && date.getUTCHours() === hour && date.getUTCMinutes() === minute;
  if (!same || second > 59) throw new Refused(refuse('CERTIFICATE-DATES', `${field}: a UTC time with seconds`, 'another value', MISTRUST));
  return date;
}

type Extensions = Pick<CertificateReading, 'ca' | 'pathLength' | 'keyUsage' | 'subjectKeyId' | 'authorityKeyId' | 'unknownCritical'>;

function readExtensions(rest: readonly Der[], field: string): Extensions {
  let found: { -readonly [Key in keyof Extensions]: Extensions[Key] } = { ca: false, pathLength: null, keyUsage: null, subjectKeyId: null, authorityKeyId: null, unknownCritical: [] };
  const wrapper = rest.find((part) => part.tag === 0xa3);
  if (rest.some((part) => ![0x81, 0x82, 0xa3].includes(part.tag))) throw derFault(field, 'unique identifiers and extensions', 'another value');
  if (wrapper === undefined) return found;
  const seen = new Set<string>();
  for (const extension of derParts(readDer(wrapper.content, `${field}.extensions`, TAG.sequence), `${field}.extensions`)) {
    const parts = derParts(expectTag(extension, TAG.sequence, `${field}.extensions`), `${field}.extensions`);
    const oid = readOid(parts[0], `${field}.extensions`);
    const name = `${field}.extensions.${oid}`;
    if (seen.has(oid)) throw derFault(name, 'each extension once', 'the same one twice');
    seen.add(oid);
    const critical = parts.length === 3 && expectTag(parts[1], TAG.boolean, name).content[0] !== 0;
    const value = readDer(expectTag(parts.at(-1), TAG.octetString, name).content, name);
    switch (oid) {
      case BASIC_CONSTRAINTS: {
        const fields = derParts(expectTag(value, TAG.sequence, name), name);
        const ca = fields[0]?.tag === TAG.boolean && fields[0].content[0] !== 0;
        const length = fields.find((part) => part.tag === TAG.integer);
        const digits = length === undefined ? null : readUnsigned(length, name);
        found = { ...found, ca, pathLength: digits === null ? null : digits.length > 1 ? 255 : (digits[0] ?? 0) };
        break;
      }
      case KEY_USAGE: {
        const { content } = expectTag(value, TAG.bitString, name);
        found.keyUsage = USAGES.filter((_, i) => ((content[1 + (i >> 3)] ?? 0) >> (7 - (i & 7))) & 1);
        break;
      }
      case SUBJECT_KEY_ID:
        found.subjectKeyId = toHex(expectTag(value, TAG.octetString, name).content);
        break;
      case AUTHORITY_KEY_ID: {
        const id = derParts(expectTag(value, TAG.sequence, name), name).find((part) => part.tag === 0x80);
        found.authorityKeyId = id === undefined ? null : toHex(id.content);
        break;
      }
      default:
        if (critical) found = { ...found, unknownCritical: [...found.unknownCritical, oid] };
    }
  }
  return found;
}

/** A name for people. Control and direction characters are shown as escapes; at most 300 characters. */
export function nameText(name: Uint8Array): string {
  // The library behind this recurses and copies: no name that people can read is longer.
  if (name.length > 8192) return `(name of ${name.length} bytes)`;
  let text: string;
  try {
    text = new Name(new Uint8Array(name).buffer).toString();
  } catch {
    text = `(unreadable name, ${name.length} bytes)`;
  }
  return text.slice(0, 300).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (c) => `\\u{${c.codePointAt(0)?.toString(16) ?? ''}}`);
}

/** PEM or DER, by its first bytes: every block of the labels wanted, or the whole file. Throws `Refused` PEM. */
export function readPem(file: Uint8Array, labels: readonly string[]): { readonly label: string; readonly der: Uint8Array }[] {
  if (file[0] === TAG.sequence) return [{ label: labels[0] ?? '', der: file }];
  const wrong = (found: string): Refused => new Refused(refuse('PEM', `DER, or PEM with ${labels.join(' or ')}`, found, 'Check that this is the right file.'));
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

function base64(text: string, wrong: (found: string) => Refused): Uint8Array {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw wrong('a block that is not base64');
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

// --- judging -------------------------------------------------------------------------------------------------------------

export function isSelfIssued(certificate: CertificateReading): boolean {
  return equalBytes(certificate.issuer, certificate.subject);
}

/** Does `issuer`'s key verify the certificate? Empty, or why not. The signature only. */
export function certificateSignatureFindings(certificate: CertificateReading, issuer: SubjectKey): Promise<Refusal[]> {
  return signatureFindings(issuer, certificate.signatureAlgorithm, certificate.tbs, certificate.signature);
}

/** Proof of possession of a request, and the soundness of its key. */
export async function requestFindings(request: RequestReading): Promise<Refusal[]> {
  return [...keyFindings(request.key), ...(await signatureFindings(request.key, request.signatureAlgorithm, request.tbs, request.signature))];
}

/** What is wrong with one certificate by itself: version, dates, key, key usage against what the key can do. */
export function certificateFindings(certificate: CertificateReading, at?: Date): Refusal[] {
  const findings = keyFindings(certificate.key);
  const find = (rule: string, expected: string, found: string): number => findings.push(refuse(rule, expected, found, MISTRUST));
  const { notBefore, notAfter, key, keyUsage, ca } = certificate;
  if (certificate.unknownCritical.length > 0) find('CERTIFICATE-EXTENSIONS', 'no critical extension that is not understood', certificate.unknownCritical.slice(0, 5).join(', '));
  if (certificate.version !== 3 && (ca || keyUsage !== null || certificate.subjectKeyId !== null)) find('CERTIFICATE-VERSION', 'version 3 with extensions', `version ${certificate.version}`);
  if (notAfter.getTime() <= notBefore.getTime()) find('CERTIFICATE-DATES', 'an end after the beginning', 'an end before it');
  if (at !== undefined && (at < notBefore || at > notAfter)) find('CERTIFICATE-DATES', `a certificate valid at ${at.toISOString()}`, `valid from ${notBefore.toISOString()} to ${notAfter.toISOString()}`);
  if (certificate.pathLength !== null && !ca) find('CERTIFICATE-BASIC-CONSTRAINTS', 'a path length only in a CA certificate', 'one in another');
  if (ca && keyUsage !== null && !keyUsage.includes('keyCertSign')) find('CERTIFICATE-KEY-USAGE', 'keyCertSign in a CA certificate', keyUsage.join(', '));
  if (!ca && keyUsage?.includes('keyCertSign') === true) find('CERTIFICATE-KEY-USAGE', 'no keyCertSign without CA', 'one');
  const encrypts: readonly KeyUsage[] = ['keyEncipherment', 'dataEncipherment', 'keyAgreement', 'encipherOnly', 'decipherOnly'];
  if (keyUsage !== null && ['ml-dsa', 'slh-dsa', 'composite', 'hss', 'eddsa'].includes(key.kind)) {
    // RFC 9881 section 3, RFC 9909 section 3, draft-ietf-lamps-pq-composite-sigs-19 section 5.2, RFC 8410 section 5.
    const wrong = keyUsage.filter((usage) => encrypts.includes(usage));
    if (wrong.length > 0 || keyUsage.length === 0) find('CERTIFICATE-KEY-USAGE', `signing only, for ${key.label}`, wrong.join(', ') || 'nothing');
  }
  // RFC 9935 section 5, draft-ietf-lamps-pq-composite-kem-21 section 5: keyEncipherment and nothing else.
  if (keyUsage !== null && key.kind === 'kem' && (keyUsage.length !== 1 || keyUsage[0] !== 'keyEncipherment')) find('CERTIFICATE-KEY-USAGE', `keyEncipherment only, for ${key.label}`, keyUsage.join(', ') || 'nothing');
  return findings;
}

/** Does the issuer say what it must, to have issued this certificate? Names, CA, key usage, key ids, dates nested. */
function linkFindings(certificate: CertificateReading, issuer: CertificateReading): Refusal[] {
  const findings: Refusal[] = [];
  const find = (rule: string, expected: string, found: string): number => findings.push(refuse(rule, expected, found, MISTRUST));
  if (!equalBytes(certificate.issuer, issuer.subject)) find('CHAIN-NAME', `issued by ${nameText(certificate.issuer)}`, nameText(issuer.subject));
  if (!issuer.ca) find('CHAIN-CA', 'an issuer with CA in its basic constraints', 'one without');
  if (issuer.keyUsage !== null && !issuer.keyUsage.includes('keyCertSign')) find('CHAIN-KEY-USAGE', 'an issuer with keyCertSign', issuer.keyUsage.join(', ') || 'nothing');
  if (certificate.authorityKeyId !== null && issuer.subjectKeyId !== null && certificate.authorityKeyId !== issuer.subjectKeyId) {
    find('CHAIN-KEY-ID', `authority key id ${certificate.authorityKeyId.slice(0, 64)}`, `subject key id ${issuer.subjectKeyId.slice(0, 64)}`);
  }
  if (certificate.notBefore < issuer.notBefore || certificate.notAfter > issuer.notAfter) {
    find('CHAIN-DATES', `within ${issuer.notBefore.toISOString()} to ${issuer.notAfter.toISOString()}`, `${certificate.notBefore.toISOString()} to ${certificate.notAfter.toISOString()}`);
  }
  return findings;
}

export interface ChainVerdict {
  /** From the leaf to the last issuer found. */
  readonly path: readonly CertificateReading[];
  /** Findings per certificate of `path`. */
  readonly findings: readonly (readonly Refusal[])[];
  /** Certificates given that the path does not need. */
  readonly unused: readonly CertificateReading[];
  readonly valid: boolean;
}

/** Every pair may have to be tried, so there is an end. */
export const LONGEST = 64;

/**
 * Builds the one path from a leaf to a self-issued root out of the certificates given, and judges every link. The leaf is
 * the certificate that issued none of the others. CHAIN-LEAF when there is not exactly one, CHAIN-ROOT when the path does
 * not end in a self-issued certificate. Trust in that root is the caller's to give: nothing here knows any root.
 */
export async function checkChain(certificates: readonly CertificateReading[], at?: Date): Promise<ChainVerdict> {
  if (certificates.length > LONGEST) throw new Refused(refuse('CHAIN-LENGTH', `at most ${LONGEST} certificates`, `${certificates.length}`, 'Give the certificates of one chain.'));
  const distinct = certificates.filter((one, i) => certificates.findIndex((other) => equalBytes(other.der, one.der)) === i);
  const issued = (issuer: CertificateReading, one: CertificateReading): boolean => issuer !== one && equalBytes(issuer.subject, one.issuer);
  const leaves = distinct.filter((one) => !distinct.some((other) => issued(one, other) && !isSelfIssued(other)));
  const [leaf] = leaves.length > 1 ? leaves.filter((one) => !isSelfIssued(one)) : leaves;
  if (leaf === undefined || (leaves.length > 1 && leaves.filter((one) => !isSelfIssued(one)).length !== 1)) {
    throw new Refused(refuse('CHAIN-LEAF', 'exactly one certificate that issued none of the others', `${leaves.length}`, 'Give the certificates of one chain.'));
  }
  const path = [leaf];
  const signatures: (readonly Refusal[])[] = [];
  for (let current = leaf; ; ) {
    if (isSelfIssued(current)) {
      signatures.push(await certificateSignatureFindings(current, current.key));
      break;
    }
    // Several certificates may carry the issuer's name: the one whose key fits, or else the first, to say why it does not.
    let best: { issuer: CertificateReading; findings: readonly Refusal[] } | null = null;
    for (const issuer of distinct.filter((one) => issued(one, current) && !path.includes(one))) {
      const findings = await certificateSignatureFindings(current, issuer.key);
      if (best === null || (best.findings.length > 0 && findings.length === 0)) best = { issuer, findings };
    }
    if (best === null) {
      signatures.push([refuse('CHAIN-ROOT', 'a path to a self-issued certificate', `no certificate of ${nameText(current.issuer)} among those given`, 'Add the missing issuer.')]);
      break;
    }
    signatures.push(best.findings);
    path.push(best.issuer);
    current = best.issuer;
  }
  const findings = path.map((one, i) => {
    const issuer = path[i + 1];
    const own = [...certificateFindings(one, at), ...signatures[i]!, ...(issuer === undefined ? [] : linkFindings(one, issuer))];
    // RFC 5280 section 4.2.1.9: how many CA certificates that are not self-issued may follow below this one, the last apart.
    const below = path.slice(1, i).filter((other) => !isSelfIssued(other)).length;
    if (i > 0 && one.pathLength !== null && below > one.pathLength) own.push(refuse('CHAIN-PATH-LENGTH', `at most ${one.pathLength} CA certificates below`, `${below}`, MISTRUST));
    return own;
  });
  return { path, findings, unused: distinct.filter((one) => !path.includes(one)), valid: findings.every((list) => list.length === 0) };
}
