/**
 * Certificate revocation lists (RFC 5280 section 5): the list of revocations that people bring, the CRL made of it, and
 * CRLs that others made.
 *
 * A CRL is made like a certificate: linted under a throwaway key, then signed over exactly those bytes, linted again and
 * verified (`issue.ts`). Complete CRLs only, of one issuer; no delta CRLs, no indirect ones. No key, no clock and no
 * randomness live here, and nothing is carried over from an earlier CRL unless the caller puts it into the profile.
 */

import 'reflect-metadata';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import {
  AlgorithmIdentifier, AuthorityKeyIdentifier, CertificateList, CRLReason, CRLReasons, Extension, Extensions, id_ce_authorityKeyIdentifier, id_ce_cRLNumber, KeyIdentifier,
  RevokedCertificate, TBSCertList, Time, Version,
} from '@peculiar/asn1-x509';
import { equalBytes, forWebCrypto, fromHex, fromUtf8, toHex } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import type { EcdsaAlgorithm } from './algorithms.ts';
import { readAuthorityKeyId, type CertificateReading } from './chain.ts';
import { derFault, derParts, expectTag, readDer, readUnsigned, TAG, writeUnsigned, type Der } from './der.ts';
import {
  checkMinted, dateFaults, issuingKey, lintUnderThrowaway, nameFrom, readIssuer, signatureIdentifier, signLinted, throwFirst, timeFault,
  type IssuingKey, type Linted, type Making, type SignerForLibrary, type ThrowawayKey, type TbsSigner,
} from './issue.ts';
import { withoutLeadingZeros } from './public-key.ts';
import { ecdsaRawToDer } from './signatures.ts';
import { nameText, pem, readExtensionList, readSigned, readTime, sameIdentifier, type Signed } from './signed.ts';
import { readSubjectKey, signatureFindings } from './subject-key.ts';

/**
 * RFC 5280 section 5.3.1. `unspecified` (0) is written by leaving the reason out, and `removeFromCRL` (8) belongs into
 * delta CRLs only: neither is a reason here.
 */
const REASONS = {
  keyCompromise: CRLReasons.keyCompromise, cACompromise: CRLReasons.cACompromise, affiliationChanged: CRLReasons.affiliationChanged,
  superseded: CRLReasons.superseded, cessationOfOperation: CRLReasons.cessationOfOperation, certificateHold: CRLReasons.certificateHold,
  privilegeWithdrawn: CRLReasons.privilegeWithdrawn, aACompromise: CRLReasons.aACompromise,
} as const;
export type RevocationReason = keyof typeof REASONS;

export interface Revocation {
  /** Big-endian, without leading zeros; 1 to 20 bytes. */
  readonly serialNumber: Uint8Array;
  /** Whole seconds, UTC. */
  readonly date: Date;
  /** Null where none is given. */
  readonly reason: RevocationReason | null;
}

export interface CrlProfile {
  /** Name in CA_ALGORITHMS of the key that signs. */
  readonly algorithm: string;
  /** DER SubjectPublicKeyInfo of the key that signs. */
  readonly issuerKey: Uint8Array;
  /** DER of that key's certificate. */
  readonly issuer: Uint8Array;
  /** Larger than that of every CRL before it: the caller sees to that. */
  readonly number: bigint;
  /** Whole seconds, UTC. */
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** In any order; the CRL has them by serial number. */
  readonly revoked: readonly Revocation[];
}

export type LintedCrl = Linted<CrlProfile>;

/** The most revocations on one CRL: building and linting more would keep a process busy for seconds. */
export const MOST_REVOCATIONS = 2000;

const NEXT_PROFILE = 'Correct the list or the values filled in, and rehearse again.';
const NEXT_CRL = 'Do not distribute this CRL. Compare it with the record.';
const CRL_REASON = '2.5.29.21';

// --- the list that people bring --------------------------------------------------------------------------------------------

/**
 * Reads `serial-hex,YYYY-MM-DDThh:mm:ssZ,reason`, one revocation a line; lines that are empty or begin with # are skipped.
 * Nothing else is forgiven: no blanks, no quotes, no other columns. Throws `Refused` REVOCATIONS-LINE with the number of
 * the line, REVOCATIONS-DUPLICATE, or REVOCATIONS-SIZE.
 */
export function parseRevocations(csv: Uint8Array): Revocation[] {
  const revoked: Revocation[] = [];
  const seen = new Map<string, number>();
  let text: string;
  try {
    text = fromUtf8(csv);
  } catch {
    throw lineFault(1, 'text in UTF-8', 'other bytes');
  }
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const at = i + 1;
    const [serial = '', date = '', reason = '', ...more] = line.split(',');
    if (more.length > 0 || line.split(',').length !== 3) throw lineFault(at, 'three fields: serial number, date, reason', `${line.split(',').length}`);
    if (!/^([0-9a-f]{2}|[0-9A-F]{2})+$/.test(serial)) throw lineFault(at, 'a serial number in hex, two digits a byte', 'another text');
    const serialNumber = withoutLeadingZeros(fromHex(serial.toLowerCase()));
    if (serialNumber.length === 0 || serialNumber.length > 20) throw lineFault(at, 'a serial number of 1 to 20 bytes, above zero', `${serialNumber.length} bytes`);
    const moment = new Date(date);
    if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(date) || Number.isNaN(moment.getTime()) || `${moment.toISOString().slice(0, 19)}Z` !== date) {
      throw lineFault(at, 'a date and time that exists, as 2026-11-22T10:00:00Z', 'another text');
    }
    if (!isReason(reason)) throw lineFault(at, `one of ${Object.keys(REASONS).join(', ')}`, reason === 'unspecified' ? 'unspecified' : 'another text');
    const before = seen.get(toHex(serialNumber));
    if (before !== undefined) throw new Refused(refuse('REVOCATIONS-DUPLICATE', `line ${at}: a serial number that is not there yet`, `the one of line ${before}`, 'Correct the list.'));
    seen.set(toHex(serialNumber), at);
    if (revoked.push({ serialNumber, date: moment, reason }) > MOST_REVOCATIONS) {
      throw new Refused(refuse('REVOCATIONS-SIZE', `at most ${MOST_REVOCATIONS} revocations`, 'more', 'Leave out certificates that have expired.'));
    }
  }
  return revoked;
}

/**
 * What a complete CRL says: everything that the one before it said, because an entry stays until its certificate has expired
 * (RFC 5280 section 3.3), and the list. A line of the list for a serial number that was there before takes its place.
 */
export function carriedOver(before: readonly Revocation[], list: readonly Revocation[]): Revocation[] {
  const named = new Set(list.map((one) => toHex(one.serialNumber)));
  return [...before.filter((one) => !named.has(toHex(one.serialNumber))), ...list];
}

function lineFault(line: number, expected: string, found: string): Refused {
  return new Refused(refuse('REVOCATIONS-LINE', `line ${line}: ${expected}`, found, 'Correct the list.'));
}

function isReason(text: string): text is RevocationReason {
  return Object.hasOwn(REASONS, text);
}

// --- making ----------------------------------------------------------------------------------------------------------------

/** Like `throwawayLint` of a certificate. Throws `Refused`: one of `CRL_LINTS`, ISSUER-CERTIFICATE, CERTIFICATE-KEY or LINT-KEY. */
export async function throwawayLintCrl(profile: CrlProfile, throwaway: ThrowawayKey): Promise<LintedCrl> {
  throwFirst(crlProfileFaults(profile));
  return lintUnderThrowaway(profile, makingOf(profile), throwaway);
}

/** Like `issueCertificate`: `sign` gets exactly the linted bytes, once. Throws `Refused`: LINT-FIRST, TBS-IDENTICAL, CRL-VERIFIES, or a lint. */
export async function issueCrl(linted: LintedCrl, sign: TbsSigner): Promise<{ readonly tbs: Uint8Array; readonly der: Uint8Array; readonly pem: string }> {
  checkMinted(linted);
  const { tbs, der } = await signLinted(linted, makingOf(linted.profile), sign);
  return { tbs, der, pem: pem('X509 CRL', der) };
}

interface Parts {
  readonly issuing: IssuingKey;
  readonly issuer: CertificateReading;
  readonly faults: readonly Refusal[];
  /** By serial number. */
  readonly revoked: readonly Revocation[];
}

function partsOf({ algorithm, issuerKey, issuer: der, revoked }: CrlProfile): Parts {
  const issuing = issuingKey(algorithm, issuerKey);
  const { issuer, faults } = readIssuer(der, issuing.key, 'cRLSign');
  return { issuing, issuer, faults, revoked: [...revoked].sort((a, b) => bySerial(a.serialNumber, b.serialNumber)) };
}

function bySerial(a: Uint8Array, b: Uint8Array): number {
  const [x, y] = [toHex(withoutLeadingZeros(a)), toHex(withoutLeadingZeros(b))];
  return x.length - y.length || (x < y ? -1 : x > y ? 1 : 0);
}

function makingOf(profile: CrlProfile): Making {
  const parts = partsOf(profile);
  return { ...parts.issuing, build: (signer) => build(profile, parts, signer), lint: (der) => lintCrl(der, profile), verifies: 'CRL-VERIFIES' };
}

/** Everything that would keep `profile` from becoming a CRL, before any key is asked for anything. */
export function crlProfileFaults(profile: CrlProfile): Refusal[] {
  const { number, thisUpdate, nextUpdate, revoked } = profile;
  const faults = dateFaults('CRL-DATES', thisUpdate, nextUpdate);
  const fault = (rule: (typeof CRL_LINTS)[number], expected: string, found: string): number => faults.push(refuse(rule, expected, found, NEXT_PROFILE));
  if (number < 1n || number >= 1n << 159n) fault('CRL-NUMBER', 'a number above zero, of at most 20 octets', 'another');
  if (revoked.length > MOST_REVOCATIONS) fault('CRL-ENTRIES', `at most ${MOST_REVOCATIONS} revocations`, `${revoked.length}`);
  for (const one of revoked) {
    const digits = withoutLeadingZeros(one.serialNumber);
    if (digits.length === 0 || digits.length > 20) fault('CRL-ENTRIES', 'serial numbers of 1 to 20 bytes, above zero', `${digits.length} bytes`);
    if (one.reason !== null && !isReason(one.reason)) fault('CRL-ENTRIES', `one of ${Object.keys(REASONS).join(', ')}`, 'another reason');
    if (Number.isNaN(one.date.getTime()) || one.date.getTime() % 1000 !== 0 || one.date.getUTCFullYear() < 1950) fault('CRL-ENTRIES', 'dates of revocation in whole seconds, from 1950 on', 'another');
    else if (one.date > thisUpdate) fault('CRL-DATES', 'revocations before the CRL that tells of them', one.date.toISOString());
  }
  if (new Set(revoked.map((one) => toHex(withoutLeadingZeros(one.serialNumber)))).size < revoked.length) fault('CRL-ENTRIES', 'each serial number once', 'one of them twice');
  if (faults.length > 0) return faults;
  try {
    const parts = partsOf(profile);
    return [...parts.faults, ...withinIssuer(thisUpdate, parts.issuer)];
  } catch (error) {
    if (error instanceof Refused) return [error.refusal];
    throw error;
  }
}

/** The last CRL of a CA may be meant to be found long after its certificate ended: only the beginning must lie within. */
function withinIssuer(thisUpdate: Date, issuer: CertificateReading): Refusal[] {
  if (thisUpdate >= issuer.notBefore && thisUpdate <= issuer.notAfter) return [];
  return [refuse('CRL-DATES', `signed within ${issuer.notBefore.toISOString()} to ${issuer.notAfter.toISOString()}`, thisUpdate.toISOString(), NEXT_PROFILE)];
}

/**
 * From @peculiar/asn1-x509 directly: the generator of @peculiar/x509 writes an empty list of extensions where no reason is
 * given, which RFC 5280 section 4.1.2.9 does not allow, and compares every entry with every other.
 */
async function build(profile: CrlProfile, parts: Parts, signer: SignerForLibrary): Promise<Uint8Array> {
  const { row } = parts.issuing;
  const algorithm = AsnConvert.parse(signatureIdentifier(row), AlgorithmIdentifier);
  const tbsCertList = new TBSCertList({
    version: Version.v2,
    signature: algorithm,
    issuer: nameFrom(parts.issuer.subject),
    thisUpdate: new Time(profile.thisUpdate),
    nextUpdate: new Time(profile.nextUpdate),
    crlExtensions: new Extensions([
      extension(id_ce_authorityKeyIdentifier, AsnConvert.serialize(new AuthorityKeyIdentifier({ keyIdentifier: new KeyIdentifier(fromHex(parts.issuer.subjectKeyId ?? '')) }))),
      // RFC 5280 section 5.2.3: the library's own class holds a number of 53 bits.
      extension(id_ce_cRLNumber, forWebCrypto(writeUnsigned(octets(profile.number))).slice().buffer),
    ]),
  });
  if (parts.revoked.length > 0) tbsCertList.revokedCertificates = parts.revoked.map(entryOf);
  const signature = new Uint8Array(await signer.crypto.subtle.sign(signer.algorithm, signer.key, AsnConvert.serialize(tbsCertList)));
  const value = row.family === 'ecdsa' ? ecdsaDer(row.name, signature) : signature;
  return new Uint8Array(AsnConvert.serialize(new CertificateList({ tbsCertList, signatureAlgorithm: algorithm, signature: forWebCrypto(value).slice().buffer })));
}

function entryOf({ serialNumber, date, reason }: Revocation): RevokedCertificate {
  const entry = new RevokedCertificate({ userCertificate: forWebCrypto(positive(serialNumber)).slice().buffer, revocationDate: new Time(date) });
  if (reason !== null) entry.crlEntryExtensions = [extension(CRL_REASON, AsnConvert.serialize(new CRLReason(REASONS[reason])))];
  return entry;
}

function extension(extnID: string, value: ArrayBuffer): Extension {
  return new Extension({ extnID, critical: false, extnValue: new OctetString(value) });
}

/** Content of a positive INTEGER: a zero before a set top bit (X.690 section 8.3). */
function positive(serialNumber: Uint8Array): Uint8Array {
  return readDer(writeUnsigned(serialNumber), 'serialNumber', TAG.integer).content;
}

function ecdsaDer(name: EcdsaAlgorithm['name'], signature: Uint8Array): Uint8Array {
  try {
    return ecdsaRawToDer(name, signature);
  } catch {
    throw new Refused(refuse('CRL-VERIFIES', 'an ECDSA signature with r and s in 1..n-1', 'another value', 'Discard what was signed. Test the token before it signs again.'));
  }
}

function octets(number: bigint): Uint8Array {
  const hex = number.toString(16);
  return fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
}

// --- reading ---------------------------------------------------------------------------------------------------------------

export interface CrlReading extends Signed {
  readonly version: 1 | 2;
  /** DER of the name. */
  readonly issuer: Uint8Array;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date | null;
  readonly number: bigint | null;
  /** Hex. */
  readonly authorityKeyId: string | null;
  /** In the order of the file. `unspecified` reads as null. */
  readonly revoked: readonly Revocation[];
  /** OIDs of extensions, of the list and of its entries, that are critical and not understood here. */
  readonly unknownCritical: readonly string[];
}

/** Reads a CRL. Throws `Refused` DER-STRUCTURE, CRL-ALGORITHM, CRL-DATES or CRL-ENTRIES. */
export function readCrl(der: Uint8Array): CrlReading {
  const field = 'crl';
  const { signed, body, outer } = readSigned(der, field);
  let at = 0;
  if (body[0]?.tag === TAG.integer) {
    const version = readUnsigned(body[0], `${field}.version`);
    if (version.length !== 1 || version[0] !== 1) throw derFault(`${field}.version`, 'version 2', 'another');
    at = 1;
  }
  sameIdentifier(body[at], outer, field, 'CRL-ALGORITHM');
  const issuer = expectTag(body[at + 1], TAG.sequence, `${field}.issuer`).bytes;
  const thisUpdate = readTime(body[at + 2], `${field}.thisUpdate`, 'CRL-DATES');
  const rest = body.slice(at + 3);
  const isTime = (node: Der | undefined): boolean => node?.tag === TAG.utcTime || node?.tag === TAG.generalizedTime;
  const nextUpdate = isTime(rest[0]) ? readTime(rest.shift(), `${field}.nextUpdate`, 'CRL-DATES') : null;
  const unknownCritical: string[] = [];
  const entries = rest[0]?.tag === TAG.sequence ? derParts(rest.shift()!, `${field}.revokedCertificates`) : [];
  const revoked = entries.map((entry) => readEntry(entry, `${field}.revokedCertificates`, unknownCritical));
  const wrapper = rest.shift();
  if (rest.length > 0 || (wrapper !== undefined && wrapper.tag !== 0xa0)) throw derFault(field, 'revocations and extensions', 'another value');
  let number: bigint | null = null;
  let authorityKeyId: string | null = null;
  for (const { oid, critical, value, field: name } of wrapper === undefined ? [] : readExtensionList(readDer(wrapper.content, `${field}.extensions`), `${field}.extensions`)) {
    if (oid === id_ce_authorityKeyIdentifier) authorityKeyId = readAuthorityKeyId(value, name);
    else if (oid === id_ce_cRLNumber) number = BigInt(`0x0${toHex(readUnsigned(value, name))}`);
    else if (critical) unknownCritical.push(oid);
  }
  return { ...signed, version: at === 0 ? 1 : 2, issuer, thisUpdate, nextUpdate, number, authorityKeyId, revoked, unknownCritical };
}

function readEntry(entry: Der, field: string, unknownCritical: string[]): Revocation {
  const [serial, date, extensions, ...more] = derParts(expectTag(entry, TAG.sequence, field), field);
  if (more.length > 0) throw derFault(field, 'a serial number, a date and extensions', 'more values');
  let reason: RevocationReason | null = null;
  for (const { oid, critical, value, field: name } of extensions === undefined ? [] : readExtensionList(extensions, field)) {
    if (oid === CRL_REASON) reason = readReason(value, name);
    else if (critical && !unknownCritical.includes(oid)) unknownCritical.push(oid);
  }
  return { serialNumber: readUnsigned(serial, field), date: readTime(date, `${field}.revocationDate`, 'CRL-DATES'), reason };
}

function readReason(value: Der, field: string): RevocationReason | null {
  const ENUMERATED = 0x0a;
  const code = value.tag === ENUMERATED && value.content.length === 1 ? value.content[0]! : -1;
  if (code === 0) return null;
  const name = CRLReasons[code] ?? '';
  if (!isReason(name)) throw new Refused(refuse('CRL-ENTRIES', `${field}: a reason of a complete CRL`, code < 0 ? 'another value' : `code ${code}`, 'Do not rely on this CRL.'));
  return name;
}

/** Does the issuer's key verify the signature on a CRL? Throws `Refused` when the CRL or the key cannot be read. */
export async function verifyCrl(der: Uint8Array, issuerSpki: Uint8Array): Promise<boolean> {
  const { signatureAlgorithm, tbs, signature } = readCrl(der);
  return (await signatureFindings(readSubjectKey(issuerSpki), signatureAlgorithm, tbs, signature)).length === 0;
}

/** Everything that keeps a CRL from being believed, given its issuer's certificate: name, right to sign, key id, signature, and with `at` its time. */
export async function crlFindings(crl: CrlReading, issuer: CertificateReading, at?: Date): Promise<Refusal[]> {
  const findings: Refusal[] = [];
  const find = (rule: string, expected: string, found: string): number => findings.push(refuse(rule, expected, found, 'Do not rely on this CRL. Fetch a current one.'));
  if (!equalBytes(crl.issuer, issuer.subject)) find('CRL-ISSUER', nameText(issuer.subject), nameText(crl.issuer));
  // RFC 5280 section 6.3.3 (f): cRLSign, where the issuer's certificate has a key usage at all.
  if (issuer.keyUsage !== null && !issuer.keyUsage.includes('cRLSign')) find('CHAIN-KEY-USAGE', 'an issuer with cRLSign', issuer.keyUsage.join(', ') || 'nothing');
  if (crl.authorityKeyId !== null && issuer.subjectKeyId !== null && crl.authorityKeyId !== issuer.subjectKeyId) {
    find('CRL-AUTHORITY-KEY', `subject key id ${issuer.subjectKeyId.slice(0, 64)}`, `authority key id ${crl.authorityKeyId.slice(0, 64)}`);
  }
  if (crl.unknownCritical.length > 0) find('CRL-EXTENSIONS', 'no critical extension that is not understood', crl.unknownCritical.slice(0, 5).join(', '));
  if (at !== undefined && (at < crl.thisUpdate || (crl.nextUpdate !== null && at > crl.nextUpdate))) {
    find('CRL-DATES', `a CRL for ${at.toISOString()}`, `one of ${crl.thisUpdate.toISOString()}, next ${crl.nextUpdate?.toISOString() ?? 'unknown'}`);
  }
  return [...findings, ...(await signatureFindings(issuer.key, crl.signatureAlgorithm, crl.tbs, crl.signature))];
}

// --- lint ------------------------------------------------------------------------------------------------------------------

/** The rules of `lintCrl`, for the record. */
export const CRL_LINTS = [
  'CRL-DER',
  'CRL-VERSION',
  'CRL-ALGORITHM',
  'CRL-ISSUER',
  'CRL-DATES',
  'CRL-NUMBER',
  'CRL-AUTHORITY-KEY',
  'CRL-EXTENSIONS',
  'CRL-ENTRIES',
] as const;

/**
 * Everything in which a CRL is not what RFC 5280 asks of a complete one: version 2, number, authority key id, a next
 * update, no duplicates. Given `profile`, also everything in which it is not exactly that CRL, its entries sorted by serial
 * number and without a reason `unspecified`. The signature is not judged here.
 */
export function lintCrl(der: Uint8Array, profile?: CrlProfile): Refusal[] {
  const findings: Refusal[] = [];
  const find = (rule: (typeof CRL_LINTS)[number], expected: string, found: string): void => {
    findings.push(refuse(rule, expected, found, NEXT_CRL));
  };
  let crl: CrlReading;
  let list: CertificateList;
  let parts: Parts | null = null;
  try {
    crl = readCrl(der);
    list = parse(der);
    if (profile) parts = partsOf(profile);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const { rule, expected, found } = error.refusal;
    return [rule === 'DER-STRUCTURE' ? refuse('CRL-DER', expected, found, NEXT_CRL) : error.refusal];
  }
  // DER has one encoding per value (X.690 section 10): whatever survives a second writing unchanged is that one.
  if (!equalBytes(new Uint8Array(AsnConvert.serialize(list)), der)) find('CRL-DER', 'the one DER form', 'another encoding');
  if (profile && parts) findings.push(...parts.faults, ...withinIssuer(crl.thisUpdate, parts.issuer));

  // RFC 5280 section 5.1.2.1: version 2 (the number 1), because there are extensions.
  if (crl.version !== 2) find('CRL-VERSION', 'version 2', 'version 1');
  if (parts) {
    const wanted = signatureIdentifier(parts.issuing.row);
    const found = new Uint8Array(AsnConvert.serialize(list.signatureAlgorithm));
    if (!equalBytes(found, wanted)) find('CRL-ALGORITHM', `${toHex(wanted)} (${parts.issuing.row.label})`, toHex(found).slice(0, 80));
    if (!equalBytes(crl.issuer, parts.issuer.subject)) find('CRL-ISSUER', nameText(parts.issuer.subject), nameText(crl.issuer));
  }

  // RFC 5280 sections 5.1.2.4 to 5.1.2.6.
  const times = [list.tbsCertList.thisUpdate, ...(list.tbsCertList.nextUpdate ? [list.tbsCertList.nextUpdate] : []), ...(list.tbsCertList.revokedCertificates ?? []).map((one) => one.revocationDate)];
  const badTime = times.map(timeFault).find((fault) => fault !== null);
  if (badTime !== undefined) find('CRL-DATES', 'UTCTime up to 2049, GeneralizedTime from 2050', badTime);
  if (crl.nextUpdate === null) find('CRL-DATES', 'a next update', 'none');
  else findings.push(...dateFaults('CRL-DATES', crl.thisUpdate, crl.nextUpdate));
  if (crl.revoked.some((one) => one.date > crl.thisUpdate)) find('CRL-DATES', 'revocations before the CRL that tells of them', 'a later one');
  if (profile && (crl.thisUpdate.getTime() !== profile.thisUpdate.getTime() || crl.nextUpdate?.getTime() !== profile.nextUpdate.getTime())) find('CRL-DATES', 'the dates of the profile', 'others');

  // RFC 5280 sections 5.2.1 and 5.2.3: a CA that conforms writes both, neither critical.
  const extensions = Array.from(list.tbsCertList.crlExtensions ?? []);
  if (crl.number === null || crl.number >= 1n << 159n) find('CRL-NUMBER', 'a number of at most 20 octets', crl.number === null ? 'none' : 'a longer one');
  else if (profile && crl.number !== profile.number) find('CRL-NUMBER', `${profile.number}`, `${crl.number}`);
  if (crl.authorityKeyId === null || (parts && crl.authorityKeyId !== parts.issuer.subjectKeyId)) {
    find('CRL-AUTHORITY-KEY', `the key id of the issuer${parts ? ` ${parts.issuer.subjectKeyId ?? ''}` : ''}`, crl.authorityKeyId?.slice(0, 64) ?? 'none');
  }
  if (crl.unknownCritical.length > 0) find('CRL-EXTENSIONS', 'no critical extension that is not understood', crl.unknownCritical.slice(0, 5).join(', '));
  if (profile && (extensions.length !== 2 || extensions.some((one) => one.critical))) {
    find('CRL-EXTENSIONS', 'authority key id and CRL number, not critical, and no others', extensions.map((one) => one.extnID).slice(0, 12).join(', '));
  }

  const serials = crl.revoked.map((one) => toHex(one.serialNumber));
  if (new Set(serials).size < serials.length) find('CRL-ENTRIES', 'each serial number once', 'one of them twice');
  if (list.tbsCertList.revokedCertificates?.length === 0) find('CRL-ENTRIES', 'no list where nothing is revoked', 'an empty one'); // section 5.1.2.6
  if (parts) {
    const same = crl.revoked.length === parts.revoked.length && parts.revoked.every((wanted, i) => {
      const found = crl.revoked[i]!;
      return serials[i] === toHex(withoutLeadingZeros(wanted.serialNumber)) && found.date.getTime() === wanted.date.getTime() && found.reason === wanted.reason;
    });
    if (!same) find('CRL-ENTRIES', `the ${parts.revoked.length} revocations of the profile, by serial number`, `${crl.revoked.length}, or others`);
    const plain = (list.tbsCertList.revokedCertificates ?? []).every((one, i) => {
      const own = Array.from(one.crlEntryExtensions ?? []);
      return crl.revoked[i]?.reason === null ? one.crlEntryExtensions === undefined : own.length === 1 && own[0]?.critical === false;
    });
    if (!plain) find('CRL-ENTRIES', 'a reason that is not unspecified, or no extension at all', 'another extension');
  }
  return findings;
}

/** The limits of the reader are for strangers' files; `readCrl` has seen this one whole. */
function parse(der: Uint8Array): CertificateList {
  try {
    return AsnConvert.parse(der, CertificateList, { berOptions: { maxNodes: Infinity } });
  } catch {
    throw new Refused(refuse('CRL-DER', 'a DER certificate revocation list', 'bytes that do not parse', NEXT_CRL));
  }
}
