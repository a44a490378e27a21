/**
 * Certificates that others made: reading, verifying, and judging a chain or a whole hierarchy of them. Nothing is issued here.
 *
 * Structure is read by `signed.ts` and `der.ts`, one level at a time; a signature is judged over the to-be-signed bytes
 * exactly as they stand in the file. No clock: the caller gives the time at which a chain should hold, or none. No policy
 * trees, no name constraints: a critical extension that is not understood is a finding (RFC 5280 section 4.2).
 */

import { equalBytes, toHex } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { ALGORITHMS, CURVE_FACTS } from './algorithms.ts';
import { derFault, derParts, expectTag, readDer, readUnsigned, TAG, type Der } from './der.ts';
import { nameText, readExtensionList, readSigned, readTime, sameIdentifier, type Signed } from './signed.ts';
import { keyFindings, readSubjectKey, signatureFindings, type SubjectKey } from './subject-key.ts';

export interface CertificateReading extends Signed {
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

const USAGES = ['digitalSignature', 'nonRepudiation', 'keyEncipherment', 'dataEncipherment', 'keyAgreement', 'keyCertSign', 'cRLSign', 'encipherOnly', 'decipherOnly'] as const;
export type KeyUsage = (typeof USAGES)[number];

const MISTRUST = 'Do not rely on this certificate. Compare it with its issuer\'s record.';
const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const SUBJECT_KEY_ID = '2.5.29.14';
const AUTHORITY_KEY_ID = '2.5.29.35';

/** Reads an X.509 certificate. Throws `Refused` DER-STRUCTURE, CERTIFICATE-ALGORITHM, CERTIFICATE-DATES, or what the key breaks. */
export function readCertificate(der: Uint8Array): CertificateReading {
  const field = 'certificate';
  const { signed, body, outer } = readSigned(der, field);
  let at = 0;
  let version: 1 | 2 | 3 = 1;
  if (body[0]?.tag === 0xa0) {
    const number = readUnsigned(readDer(body[0].content, `${field}.version`), `${field}.version`);
    if (number.length > 1 || (number[0] !== 1 && number[0] !== 2)) throw derFault(`${field}.version`, 'version 2 or 3', 'another');
    version = number[0] === 1 ? 2 : 3;
    at = 1;
  }
  const serial = toHex(expectTag(body[at], TAG.integer, `${field}.serialNumber`).content);
  sameIdentifier(body[at + 1], outer, field, 'CERTIFICATE-ALGORITHM');
  const issuer = expectTag(body[at + 2], TAG.sequence, `${field}.issuer`).bytes;
  const [notBefore, notAfter] = derParts(expectTag(body[at + 3], TAG.sequence, `${field}.validity`), `${field}.validity`);
  const subject = expectTag(body[at + 4], TAG.sequence, `${field}.subject`).bytes;
  const key = readSubjectKey(expectTag(body[at + 5], TAG.sequence, `${field}.subjectPublicKeyInfo`).bytes);
  return {
    version, serial, issuer, subject, key, ...signed, ...readExtensions(body.slice(at + 6), field),
    notBefore: readTime(notBefore, `${field}.validity.notBefore`, 'CERTIFICATE-DATES'),
    notAfter: readTime(notAfter, `${field}.validity.notAfter`, 'CERTIFICATE-DATES'),
  };
}

type Extensions = Pick<CertificateReading, 'ca' | 'pathLength' | 'keyUsage' | 'subjectKeyId' | 'authorityKeyId' | 'unknownCritical'>;

function readExtensions(rest: readonly Der[], field: string): Extensions {
  let found: { -readonly [Key in keyof Extensions]: Extensions[Key] } = { ca: false, pathLength: null, keyUsage: null, subjectKeyId: null, authorityKeyId: null, unknownCritical: [] };
  const wrapper = rest.find((part) => part.tag === 0xa3);
  if (rest.some((part) => ![0x81, 0x82, 0xa3].includes(part.tag))) throw derFault(field, 'unique identifiers and extensions', 'another value');
  if (wrapper === undefined) return found;
  for (const extension of readExtensionList(readDer(wrapper.content, `${field}.extensions`), `${field}.extensions`)) {
    const { oid, critical, field: name } = extension;
    switch (oid) {
      case BASIC_CONSTRAINTS: {
        const fields = derParts(expectTag(extension.value, TAG.sequence, name), name);
        const ca = fields[0]?.tag === TAG.boolean && fields[0].content[0] !== 0;
        const length = fields.find((part) => part.tag === TAG.integer);
        const digits = length === undefined ? null : readUnsigned(length, name);
        found = { ...found, ca, pathLength: digits === null ? null : digits.length > 1 ? 255 : (digits[0] ?? 0) };
        break;
      }
      case KEY_USAGE: {
        const { content } = expectTag(extension.value, TAG.bitString, name);
        found.keyUsage = USAGES.filter((_, i) => ((content[1 + (i >> 3)] ?? 0) >> (7 - (i & 7))) & 1);
        break;
      }
      case SUBJECT_KEY_ID:
        found.subjectKeyId = toHex(expectTag(extension.value, TAG.octetString, name).content);
        break;
      case AUTHORITY_KEY_ID:
        found.authorityKeyId = readAuthorityKeyId(extension.value, name);
        break;
      default:
        if (critical) found = { ...found, unknownCritical: [...found.unknownCritical, oid] };
    }
  }
  return found;
}

/** keyIdentifier of an AuthorityKeyIdentifier (RFC 5280 section 4.2.1.1), hex; null without one. */
export function readAuthorityKeyId(value: Der, field: string): string | null {
  const id = derParts(expectTag(value, TAG.sequence, field), field).find((part) => part.tag === 0x80);
  return id === undefined ? null : toHex(id.content);
}

// --- judging -------------------------------------------------------------------------------------------------------------

export function isSelfIssued(certificate: CertificateReading): boolean {
  return equalBytes(certificate.issuer, certificate.subject);
}

/** Does `issuer`'s key verify the certificate? Empty, or why not. The signature only. */
export function certificateSignatureFindings(certificate: CertificateReading, issuer: SubjectKey): Promise<Refusal[]> {
  return signatureFindings(issuer, certificate.signatureAlgorithm, certificate.tbs, certificate.signature);
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
  if (keyUsage !== null && ['ml-dsa', 'slh-dsa', 'composite', 'hss', 'xmss', 'eddsa'].includes(key.kind)) {
    // RFC 9881 section 3, RFC 9909 section 3, draft-ietf-lamps-pq-composite-sigs-19 section 5.2, RFC 9802 section 5, RFC 8410 section 5.
    const wrong = keyUsage.filter((usage) => encrypts.includes(usage));
    if (wrong.length > 0 || keyUsage.length === 0) find('CERTIFICATE-KEY-USAGE', `signing only, for ${key.label}`, wrong.join(', ') || 'nothing');
  }
  // RFC 9935 section 5, draft-ietf-lamps-pq-composite-kem-21 section 5: keyEncipherment and nothing else.
  if (keyUsage !== null && key.kind === 'kem' && (keyUsage.length !== 1 || keyUsage[0] !== 'keyEncipherment')) find('CERTIFICATE-KEY-USAGE', `keyEncipherment only, for ${key.label}`, keyUsage.join(', ') || 'nothing');
  return findings;
}

/** Does the issuer say what it must, to have issued this certificate? Names, CA, key usage, key ids, dates nested. */
export function linkFindings(certificate: CertificateReading, issuer: CertificateReading): Refusal[] {
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

// --- a whole hierarchy -----------------------------------------------------------------------------------------------------

/**
 * Do two keys that are not the same share a component? A half of a composite must be in no other composite and must not be
 * a key by itself (draft-ietf-lamps-pq-composite-sigs-19 section 10).
 */
export function sharesAComponent(a: SubjectKey, b: SubjectKey): boolean {
  if (equalBytes(a.spki, b.spki)) return false;
  const components = (key: SubjectKey): readonly Uint8Array[] => key.kind === 'composite' ? [key.key.mlDsa, key.key.traditional] : [key.raw];
  return components(a).some((one) => components(b).some((other) => equalBytes(one, other)));
}

/** Strength in bits against classical and category against quantum computers; null for keys that sign nothing. */
function strength(key: SubjectKey): { readonly bits: number; readonly category: number } | null {
  const byCategory = [0, 128, 128, 192, 192, 256]; // FIPS 204 table 1, FIPS 205 table 2
  switch (key.kind) {
    case 'rsa':
      // NIST SP 800-57 Part 1 Rev. 5 table 2.
      return { bits: key.modulusBits < 3072 ? 112 : key.modulusBits < 7680 ? 128 : key.modulusBits < 15360 ? 192 : 256, category: 0 };
    case 'ecdsa':
      return { bits: CURVE_FACTS[key.curve].securityBits, category: 0 };
    case 'eddsa':
      return { bits: key.curve === 'Ed25519' ? 128 : 224, category: 0 };
    case 'ml-dsa':
      return { bits: ALGORITHMS[key.name].securityBits, category: ALGORITHMS[key.name].quantumCategory };
    case 'slh-dsa':
    case 'composite':
      return { bits: byCategory[key.row.quantumCategory] ?? 0, category: key.row.quantumCategory };
    case 'xmss':
      return key.row.n === 32 ? { bits: 256, category: 5 } : { bits: 192, category: 3 };
    case 'hss':
      // SP 800-208 tables 1 to 8: hashes of 32 octets, or of 24 at 192 bits. Key: u32 levels, type, type, 16 octets, root.
      return key.raw.length === 60 ? { bits: 256, category: 5 } : { bits: 192, category: 3 };
    case 'kem':
    case 'xdh':
      return null;
  }
}

/**
 * Judges certificates as one hierarchy, which may have several roots and cross-certificates. Each finding names the
 * subject it is about. Every certificate by itself and the link to its issuer, as in a chain; and besides
 * HIERARCHY-ISSUER (its issuer is among them and its key verifies it), HIERARCHY-KEY-ID (CAs carry key ids, and one key has
 * one), HIERARCHY-PATH-LENGTH (smaller from CA to CA), HIERARCHY-SERIAL (one serial number once per issuer),
 * HIERARCHY-COMPONENT (no component in two keys), HIERARCHY-STRENGTH (nothing certified that is stronger than its issuer;
 * a cross-certificate may, because its subject has a root of its own). Throws `Refused` CHAIN-LENGTH for more than `LONGEST`.
 */
export async function lintHierarchy(certificates: readonly CertificateReading[], at?: Date): Promise<Refusal[]> {
  if (certificates.length > LONGEST) throw new Refused(refuse('CHAIN-LENGTH', `at most ${LONGEST} certificates`, `${certificates.length}`, 'Give the certificates of one hierarchy.'));
  const all = certificates.filter((one, i) => certificates.findIndex((other) => equalBytes(other.der, one.der)) === i);
  const findings: Refusal[] = [];
  const about = (one: CertificateReading, finding: Refusal): number => findings.push({ ...finding, found: `${finding.found} (${nameText(one.subject).slice(0, 100)})` });
  const find = (one: CertificateReading, rule: string, expected: string, found: string): number => about(one, refuse(rule, expected, found, MISTRUST));
  const hasRoot = (key: SubjectKey): boolean => all.some((one) => isSelfIssued(one) && equalBytes(one.key.spki, key.spki));

  for (const [i, one] of all.entries()) {
    for (const finding of certificateFindings(one, at)) about(one, finding);
    const issuer = await issuerAmong(one, all);
    if (issuer === null) find(one, 'HIERARCHY-ISSUER', `the certificate of ${nameText(one.issuer)}, whose key verifies this one`, 'none');
    else if (issuer !== one) {
      for (const finding of linkFindings(one, issuer)) about(one, finding);
      if (one.authorityKeyId === null) find(one, 'HIERARCHY-KEY-ID', 'an authority key id', 'none');
      if (one.ca && issuer.pathLength !== null && !isSelfIssued(one) && (one.pathLength === null || one.pathLength >= issuer.pathLength)) {
        find(one, 'HIERARCHY-PATH-LENGTH', `a path length below ${issuer.pathLength}`, one.pathLength === null ? 'none' : `${one.pathLength}`);
      }
      const [above, below] = [strength(issuer.key), strength(one.key)];
      if (above !== null && below !== null && !hasRoot(one.key) && (above.bits < below.bits || above.category < below.category)) {
        find(one, 'HIERARCHY-STRENGTH', `nothing stronger than its issuer's ${issuer.key.label}`, one.key.label);
      }
    }
    if (one.ca && one.subjectKeyId === null) find(one, 'HIERARCHY-KEY-ID', 'a subject key id in a CA certificate', 'none');
    for (const other of all.slice(0, i)) {
      if (equalBytes(one.key.spki, other.key.spki) && one.subjectKeyId !== other.subjectKeyId) find(one, 'HIERARCHY-KEY-ID', 'one subject key id for one key', 'two');
      if (equalBytes(one.issuer, other.issuer) && one.serial === other.serial) find(one, 'HIERARCHY-SERIAL', 'a serial number that this issuer gave once', one.serial.slice(0, 64));
      if (sharesAComponent(one.key, other.key)) find(one, 'HIERARCHY-COMPONENT', 'a component key in one key only', `the same in ${nameText(other.subject).slice(0, 100)}`);
    }
  }
  return findings;
}

/**
 * The certificate whose key verifies `one`, itself where it is self-signed. A CA with a root and a cross-certificate has two
 * for one key: the one that fits in every other respect too, or else the first, to say why it does not.
 */
async function issuerAmong(one: CertificateReading, all: readonly CertificateReading[]): Promise<CertificateReading | null> {
  if (isSelfIssued(one) && (await certificateSignatureFindings(one, one.key)).length === 0) return one;
  const fits = (other: CertificateReading): number => other.subjectKeyId === one.authorityKeyId ? 0 : 1;
  const named = all.filter((other) => other !== one && equalBytes(other.subject, one.issuer)).sort((a, b) => fits(a) - fits(b));
  let first: CertificateReading | null = null;
  for (const other of named) {
    if ((await certificateSignatureFindings(one, other.key)).length > 0) continue;
    if (linkFindings(one, other).length === 0) return other;
    first ??= other;
  }
  return first;
}
