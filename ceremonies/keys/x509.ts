/**
 * The root certificate: built by @peculiar/x509, linted before and after the real key signs, read back without trust.
 *
 * Three steps that cannot be done in another order. `throwawayLint` builds the to-be-signed bytes, has them signed by a
 * key that is thrown away, and lints the certificate that results. What it returns is the only thing `rootCertificate`
 * accepts, and the real signer is handed exactly those bytes or nothing. Both get their signer from the caller: no key, no
 * clock and no randomness live here, and the same profile gives the same bytes every time.
 *
 * Profile: RFC 5280 self-signed CA, extensions basicConstraints, keyUsage and subjectKeyIdentifier and no others.
 */

import 'reflect-metadata';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Certificate, SubjectPublicKeyInfo, Version } from '@peculiar/asn1-x509';
import type { Name as AsnName, Time } from '@peculiar/asn1-x509';
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { X509Certificate } from '@peculiar/x509';
import { sha1 } from '@noble/hashes/legacy.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes, forWebCrypto, toHex } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { plainText } from '../text.ts';
import { ALGORITHMS, type Algorithm, type AlgorithmName } from './algorithms.ts';
import { fingerprint, parametersOf, parsePublicKey, withoutLeadingZeros, type PublicKey } from './public-key.ts';
import { ecdsaDerToRaw, verifySignature } from './signatures.ts';

/** Subject and issuer. Written in the order C, O, OU, CN. */
export interface SubjectName {
  readonly commonName: string;
  readonly organization?: string;
  readonly organizationalUnit?: string;
  /** ISO 3166 code: two capital letters. */
  readonly country?: string;
}

export interface RootProfile {
  readonly subject: SubjectName;
  /** 8 to 20 random bytes, not zero; of 20 the first must be below 80 hex (RFC 5280 section 4.1.2.2: positive, 20 octets). */
  readonly serialNumber: Uint8Array;
  /** Whole seconds, UTC. */
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKey: PublicKey;
}

/** Signs the whole to-be-signed bytes; gives back the JOSE form (ECDSA r||s). May refuse by throwing. */
export type TbsSigner = (tbs: Uint8Array) => Promise<Uint8Array>;

/** A key pair of the profile's algorithm, made by the caller for one signature and then dropped. */
export interface ThrowawayKey {
  readonly publicKey: PublicKey;
  readonly sign: TbsSigner;
}

const NEXT_PROFILE = 'Correct the script or the values filled in, and rehearse again.';
const NEXT_CERTIFICATE = 'Do not distribute this certificate. Compare it with the record.';

/** To-be-signed bytes that passed every lint under a throwaway key. Only `throwawayLint` makes one. */
export interface LintedTbs {
  readonly profile: RootProfile;
  readonly tbs: Uint8Array;
  readonly [LINTED]: true;
}
declare const LINTED: unique symbol;
const minted = new WeakSet<LintedTbs>();

/**
 * Builds the to-be-signed bytes of `profile`, has `throwaway` sign them, and lints the certificate made of the two. The
 * certificate carries the real public key and a signature by another, so it is worthless outside this function and is
 * dropped here. Throws `Refused` with the first broken rule: one of `CERTIFICATE_LINTS`, or LINT-KEY when the
 * throwaway key is of another algorithm, is the real key, or its signature does not fit.
 */
export async function throwawayLint(profile: RootProfile, throwaway: ThrowawayKey): Promise<LintedTbs> {
  throwFirst(profileFaults(profile));
  const { algorithm } = profile.publicKey;
  if (throwaway.publicKey.algorithm !== algorithm) throw lintKey(`a throwaway ${ALGORITHMS[algorithm].label} key`, ALGORITHMS[throwaway.publicKey.algorithm].label);
  if (equalBytes(throwaway.publicKey.spki, profile.publicKey.spki)) throw lintKey('a key made to be thrown away', 'the real key');
  const { tbs, certificate } = await generate(profile, throwaway.sign);
  const der = new Uint8Array(certificate.rawData);
  throwFirst(lintCertificate(der, profile));
  if (!equalBytes(tbsOf(der), tbs)) throw lintKey('a certificate over the bytes that were signed', 'other bytes');
  if (!(await verifySignature(throwaway.publicKey, tbs, signatureOf(der, algorithm)))) {
    throw lintKey('a throwaway signature that fits', 'one that does not');
  }
  const linted = { profile, tbs } as LintedTbs;
  minted.add(linted);
  return linted;
}

/**
 * The root certificate itself. `sign` is called once, with exactly the bytes that were linted (TBS-IDENTICAL), and the
 * result is linted, and verified under the profile's own key (CERTIFICATE-VERIFIES), before anybody gets to see it.
 * Throws `Refused`, LINT-FIRST among them for anything that `throwawayLint` did not make.
 */
export async function rootCertificate(linted: LintedTbs, sign: TbsSigner): Promise<{ tbs: Uint8Array; der: Uint8Array; pem: string }> {
  if (!minted.has(linted)) {
    throw new Refused(refuse('LINT-FIRST', 'bytes linted under a throwaway key', 'others', 'Lint the certificate first.'));
  }
  const identical = (tbs: Uint8Array): void => {
    if (!equalBytes(tbs, linted.tbs)) {
      throw new Refused(refuse('TBS-IDENTICAL', 'the bytes that were linted', 'other bytes', 'Stop. The program is at fault; keep the record.'));
    }
  };
  const { tbs, certificate } = await generate(linted.profile, (bytes) => {
    identical(bytes);
    return sign(bytes);
  });
  const der = new Uint8Array(certificate.rawData);
  identical(tbsOf(der));
  throwFirst(lintCertificate(der, linted.profile));
  if (!(await verifySelfSigned(der))) {
    throw new Refused(
      refuse('CERTIFICATE-VERIFIES', 'a signature that the root key verifies', 'one that does not', 'Discard this certificate. Test the token before it signs again.'),
    );
  }
  return { tbs, der, pem: `${certificate.toString('pem').trim()}\n` };
}

/** Everything that would keep `profile` from becoming a certificate, before any key is asked for anything. */
export function profileFaults(profile: RootProfile): Refusal[] {
  return [...subjectFaults(profile.subject), ...serialFaults(profile.serialNumber), ...dateFaults(profile.notBefore, profile.notAfter)];
}

/**
 * Runs the generator with a crypto object that has nothing but `sign`, and that gives the bytes away to be signed. (The
 * generator would invent a serial number in place of zero, and dates in place of missing ones: profileFaults is first.)
 */
async function generate(profile: RootProfile, sign: TbsSigner): Promise<{ tbs: Uint8Array; certificate: X509Certificate }> {
  const row: Algorithm = ALGORITHMS[profile.publicKey.algorithm];
  let tbs: Uint8Array | undefined;
  const subtle = {
    async sign(_algorithm: unknown, _key: unknown, data: ArrayBuffer): Promise<ArrayBuffer> {
      tbs = new Uint8Array(data.slice(0));
      const signature = await sign(tbs.slice());
      if (signature.length !== row.signatureBytes) {
        throw new Refused(
          refuse('SIGNATURE-LENGTH', `${row.signatureBytes} bytes of ${row.label} signature`, `${signature.length}`, 'Give the signature in its JOSE form.'),
        );
      }
      return forWebCrypto(signature).slice().buffer;
    },
  };
  const algorithm = generatorAlgorithm(row);
  const name = nameOf(profile.subject);
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: toHex(profile.serialNumber),
      subject: name,
      issuer: name,
      notBefore: profile.notBefore,
      notAfter: profile.notAfter,
      publicKey: forWebCrypto(profile.publicKey.spki),
      signingAlgorithm: algorithm,
      signingKey: { algorithm } as CryptoKey,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        new SubjectKeyIdentifierExtension(toHex(keyIdentifier(profile.publicKey)), false),
      ],
    },
    { subtle } as unknown as Crypto,
  );
  if (tbs === undefined) throw malformed('a certificate that was signed', 'one that was not');
  return { tbs, certificate };
}

/** WebCrypto's name for the signature: how the generator chooses the AlgorithmIdentifier. The lint compares the outcome. */
function generatorAlgorithm(row: Algorithm): { name: string; hash?: string; namedCurve?: string } {
  switch (row.family) {
    case 'ecdsa':
      return { name: 'ECDSA', hash: row.hash, namedCurve: row.jose.crv };
    case 'rsa':
      return { name: 'RSASSA-PKCS1-v1_5', hash: row.hash };
    case 'eddsa':
    case 'ml-dsa':
      return { name: row.jose.alg };
  }
}

/** RFC 5280 appendix A.1: country is a PrintableString; the rest is UTF8String, which new certificates should use. */
function nameOf(subject: SubjectName): Name {
  // Objects, not texts: the library would otherwise take a leading '#', quotes and backslashes for syntax.
  return new Name(
    [
      subject.country !== undefined && { C: [{ printableString: subject.country }] },
      subject.organization !== undefined && { O: [{ utf8String: subject.organization }] },
      subject.organizationalUnit !== undefined && { OU: [{ utf8String: subject.organizationalUnit }] },
      { CN: [{ utf8String: subject.commonName }] },
    ].filter((part) => part !== false),
  );
}

/** RFC 7093 section 2 method 1: the leftmost 160 bits of SHA-256 over the content of the subjectPublicKey BIT STRING. */
function keyIdentifier(key: PublicKey): Uint8Array {
  return sha256(subjectPublicKey(key)).slice(0, 20);
}

function subjectPublicKey(key: PublicKey): Uint8Array {
  return new Uint8Array(AsnConvert.parse(key.spki, SubjectPublicKeyInfo).subjectPublicKey);
}

// --- reading -------------------------------------------------------------------------------------------------------------

/** The to-be-signed bytes of a certificate, exactly as they stand in it. Throws `Refused` CERTIFICATE-DER. */
export function tbsOf(der: Uint8Array): Uint8Array {
  const raw = parse(der).tbsCertificateRaw;
  if (raw === undefined) throw malformed('a certificate', 'no to-be-signed part');
  return new Uint8Array(raw).slice();
}

/** The public key in a certificate. Throws `Refused` CERTIFICATE-DER, KEY-ENCODING or KEY-ALGORITHM. */
export function publicKeyOf(der: Uint8Array): PublicKey {
  return parsePublicKey(new Uint8Array(AsnConvert.serialize(parse(der).tbsCertificate.subjectPublicKeyInfo)));
}

/**
 * Does the key inside the certificate verify the signature on it? False for a signature that does not fit or is not
 * well formed. Throws `Refused` when the certificate or its key cannot be read. Judges the signature and nothing else:
 * what the certificate says is `lintCertificate`'s part.
 */
export async function verifySelfSigned(der: Uint8Array): Promise<boolean> {
  const key = publicKeyOf(der);
  let signature: Uint8Array;
  try {
    signature = signatureOf(der, key.algorithm);
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
  return verifySignature(key, tbsOf(der), signature);
}

function signatureOf(der: Uint8Array, algorithm: AlgorithmName): Uint8Array {
  const value = new Uint8Array(parse(der).signatureValue);
  const row: Algorithm = ALGORITHMS[algorithm];
  return row.family === 'ecdsa' ? ecdsaDerToRaw(row.name, value) : value;
}

function parse(der: Uint8Array): Certificate {
  try {
    return AsnConvert.parse(der, Certificate);
  } catch {
    throw malformed('a DER certificate', 'bytes that do not parse');
  }
}

// --- lint ----------------------------------------------------------------------------------------------------------------

/** The rules of `lintCertificate`, for the record. */
export const CERTIFICATE_LINTS = [
  'CERTIFICATE-DER',
  'CERTIFICATE-VERSION',
  'CERTIFICATE-SERIAL',
  'CERTIFICATE-ALGORITHM',
  'CERTIFICATE-ISSUER',
  'CERTIFICATE-SUBJECT',
  'CERTIFICATE-DATES',
  'CERTIFICATE-KEY',
  'CERTIFICATE-EXTENSIONS',
  'CERTIFICATE-BASIC-CONSTRAINTS',
  'CERTIFICATE-KEY-USAGE',
  'CERTIFICATE-KEY-IDENTIFIER',
] as const;

const OID = { C: '2.5.4.6', O: '2.5.4.10', OU: '2.5.4.11', CN: '2.5.4.3' } as const;
const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const SUBJECT_KEY_IDENTIFIER = '2.5.29.14';

/**
 * Everything in which a certificate is not exactly this project's root profile, and, given `profile`, not exactly that
 * certificate. Reads the bytes anew and trusts nothing of how they were made. The signature is not judged here.
 */
export function lintCertificate(der: Uint8Array, profile?: RootProfile): Refusal[] {
  const findings: Refusal[] = [];
  const find = (rule: (typeof CERTIFICATE_LINTS)[number], expected: string, found: string): void => {
    findings.push(refuse(rule, expected, found, NEXT_CERTIFICATE));
  };
  let certificate: Certificate;
  try {
    certificate = parse(der);
    // DER has one encoding per value (X.690 section 10): whatever survives a second writing unchanged is that one.
    if (!equalBytes(new Uint8Array(AsnConvert.serialize(certificate)), der)) find('CERTIFICATE-DER', 'the one DER form', 'another encoding, or bytes after it');
  } catch (error) {
    if (error instanceof Refused) return [error.refusal];
    throw error;
  }
  const tbs = certificate.tbsCertificate;

  // RFC 5280 section 4.1.2.1: v3 is the number 2. Unique identifiers (section 4.1.2.8) must not be there.
  if (tbs.version !== Version.v3) find('CERTIFICATE-VERSION', 'version 3', `version ${tbs.version + 1}`);
  if (tbs.issuerUniqueID !== undefined || tbs.subjectUniqueID !== undefined) find('CERTIFICATE-VERSION', 'no unique identifiers', 'one');

  const serial = new Uint8Array(tbs.serialNumber);
  findings.push(...serialFaults(serial));
  if (serial[0]! > 127) find('CERTIFICATE-SERIAL', 'a positive serial number', 'a negative one');
  if (profile && !equalBytes(withoutLeadingZeros(serial), withoutLeadingZeros(profile.serialNumber))) {
    find('CERTIFICATE-SERIAL', `serial number ${toHex(profile.serialNumber)}`, toHex(serial));
  }

  let key: PublicKey | null = null;
  try {
    key = publicKeyOf(der);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    find('CERTIFICATE-KEY', error.refusal.expected, error.refusal.found);
  }
  if (key && profile && !equalBytes(key.spki, profile.publicKey.spki)) {
    find('CERTIFICATE-KEY', `public key ${toHex(fingerprint(profile.publicKey))}`, toHex(fingerprint(key)));
  }
  if (key) {
    const row = ALGORITHMS[key.algorithm];
    // RFC 5280 section 4.1.1.2: the inner and the outer identifier are the same, parameters included.
    const wanted = `${row.signatureOid} ${row.signatureParameters ?? 'without parameters'}`;
    for (const [place, identifier] of [['inside', tbs.signature], ['outside', certificate.signatureAlgorithm]] as const) {
      const found = `${identifier.algorithm} ${parametersOf(identifier) ?? 'without parameters'}`;
      if (found !== wanted) find('CERTIFICATE-ALGORITHM', `${wanted} (${row.label})`, `${found}, ${place}`);
    }
  }

  if (!equalBytes(new Uint8Array(AsnConvert.serialize(tbs.issuer)), new Uint8Array(AsnConvert.serialize(tbs.subject)))) {
    find('CERTIFICATE-ISSUER', 'issuer and subject alike', 'two different names');
  }
  const subject = readName(tbs.subject);
  if (typeof subject === 'string') find('CERTIFICATE-SUBJECT', 'C, O, OU and CN in this order, each at most once, PrintableString for C, else UTF8String', subject);
  else {
    findings.push(...subjectFaults(subject));
    if (profile && !sameName(subject, profile.subject)) find('CERTIFICATE-SUBJECT', 'the subject of the profile', 'another');
  }

  const { notBefore, notAfter } = tbs.validity;
  for (const time of [notBefore, notAfter]) {
    const fault = timeFault(time);
    if (fault !== null) find('CERTIFICATE-DATES', 'UTCTime up to 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5)', fault);
  }
  findings.push(...dateFaults(notBefore.getTime(), notAfter.getTime()));
  if (profile && (notBefore.getTime().getTime() !== profile.notBefore.getTime() || notAfter.getTime().getTime() !== profile.notAfter.getTime())) {
    find('CERTIFICATE-DATES', 'the dates of the profile', 'others');
  }

  // RFC 5280 sections 4.2.1.2, 4.2.1.3, 4.2.1.9. An extension that nobody asked for is a mistake, critical or not.
  const wantedOids = [BASIC_CONSTRAINTS, KEY_USAGE, SUBJECT_KEY_IDENTIFIER];
  const extensions = tbs.extensions === undefined ? [] : Array.from(tbs.extensions);
  const oids = extensions.map((extension) => extension.extnID);
  if (oids.length !== wantedOids.length || !wantedOids.every((oid) => oids.includes(oid))) {
    find('CERTIFICATE-EXTENSIONS', wantedOids.join(', '), oids.slice(0, 12).join(', ') || 'none');
  }
  const is = (oid: string, critical: boolean, ...values: readonly string[]): boolean => {
    const extension = extensions.find((one) => one.extnID === oid);
    return extension !== undefined && extension.critical === critical && values.includes(toHex(new Uint8Array(extension.extnValue.buffer)));
  };
  if (!is(BASIC_CONSTRAINTS, true, '30030101ff')) find('CERTIFICATE-BASIC-CONSTRAINTS', 'critical, CA true, no path length', 'something else');
  if (!is(KEY_USAGE, true, '03020106')) find('CERTIFICATE-KEY-USAGE', 'critical, keyCertSign and cRLSign only', 'something else');
  if (key) {
    // What we write (RFC 7093), and what most other software writes (RFC 5280 section 4.2.1.2 method 1: SHA-1, no security in it).
    const ours = `0414${toHex(keyIdentifier(key))}`;
    const usual = `0414${toHex(sha1(subjectPublicKey(key)))}`;
    if (!is(SUBJECT_KEY_IDENTIFIER, false, ours, usual)) find('CERTIFICATE-KEY-IDENTIFIER', 'not critical, 160 bits of SHA-256 or SHA-1 of the public key', 'something else');
  }
  return findings;
}

/** RFC 5280 section 4.1.2.2, and CA/Browser Forum Baseline Requirements section 7.1: 64 bits from a random source. */
function serialFaults(serial: Uint8Array): Refusal[] {
  const number = withoutLeadingZeros(serial);
  const octets = number.length + (number.length > 0 && number[0]! > 127 ? 1 : 0);
  if (number.length >= 8 && octets <= 20) return [];
  return [refuse('CERTIFICATE-SERIAL', 'a positive serial number of 8 to 20 octets', `${octets} octets`, NEXT_PROFILE)];
}

function dateFaults(notBefore: Date, notAfter: Date): Refusal[] {
  const faults: Refusal[] = [];
  const add = (expected: string, found: string): void => {
    faults.push(refuse('CERTIFICATE-DATES', expected, found, NEXT_PROFILE));
  };
  for (const date of [notBefore, notAfter]) {
    const time = date.getTime();
    // UTCTime reaches back to 1950 (RFC 5280 section 4.1.2.5.1); GeneralizedTime ends with the year 9999.
    if (Number.isNaN(time) || time % 1000 !== 0) add('dates in whole seconds', 'something else');
    else if (date.getUTCFullYear() < 1950 || date.getUTCFullYear() > 9999) add('a year from 1950 to 9999', `${date.getUTCFullYear()}`);
  }
  if (faults.length === 0 && notAfter.getTime() <= notBefore.getTime()) add('an end after the beginning', 'an end before it');
  return faults;
}

function timeFault(time: Time): string | null {
  const year = time.getTime().getUTCFullYear();
  if (time.utcTime !== undefined) return year <= 2049 ? null : `UTCTime for ${year}`;
  return year >= 2050 ? null : `GeneralizedTime for ${year}`;
}

/** RFC 5280 appendix A.1 gives the upper bounds: 64 characters for each of these, two letters for a country. */
function subjectFaults(subject: SubjectName): Refusal[] {
  const faults: Refusal[] = [];
  const parts = [
    ['common name', subject.commonName],
    ['organization', subject.organization],
    ['organizational unit', subject.organizationalUnit],
  ] as const;
  for (const [field, text] of parts) {
    if (text === undefined) continue;
    const refusal = plainText(field, text, 64);
    if (refusal) faults.push(refusal);
    else if (text === '' || text !== text.trim()) faults.push(refuse('CERTIFICATE-SUBJECT', `${field}: text without blanks around it`, text === '' ? 'nothing' : 'blanks', NEXT_PROFILE));
  }
  if (subject.country !== undefined && !/^[A-Z]{2}$/.test(subject.country)) {
    faults.push(refuse('CERTIFICATE-SUBJECT', 'country: two capital letters', 'something else', NEXT_PROFILE));
  }
  return faults;
}

/** The four attributes of a name, or what is unexpected about it. */
function readName(name: AsnName): SubjectName | string {
  const order: readonly string[] = [OID.C, OID.O, OID.OU, OID.CN];
  const found = new Map<string, string>();
  let last = -1;
  for (const rdn of name) {
    const [attribute] = rdn;
    if (attribute === undefined || rdn.length !== 1) return 'several attributes in one place';
    const place = order.indexOf(attribute.type);
    if (place < 0) return `attribute ${attribute.type}`;
    if (place <= last) return 'another order, or a repetition';
    last = place;
    const text = attribute.type === OID.C ? attribute.value.printableString : attribute.value.utf8String;
    if (text === undefined) return 'another string type';
    found.set(attribute.type, text);
  }
  const commonName = found.get(OID.CN);
  if (commonName === undefined) return 'no common name';
  const [country, organization, organizationalUnit] = [found.get(OID.C), found.get(OID.O), found.get(OID.OU)];
  return {
    commonName,
    ...(organization !== undefined && { organization }),
    ...(organizationalUnit !== undefined && { organizationalUnit }),
    ...(country !== undefined && { country }),
  };
}

function sameName(a: SubjectName, b: SubjectName): boolean {
  return a.commonName === b.commonName && a.organization === b.organization && a.organizationalUnit === b.organizationalUnit && a.country === b.country;
}

function throwFirst(findings: readonly Refusal[]): void {
  const [first] = findings;
  if (first !== undefined) throw new Refused(first);
}

function malformed(expected: string, found: string): Refused {
  return new Refused(refuse('CERTIFICATE-DER', expected, found, NEXT_CERTIFICATE));
}

function lintKey(expected: string, found: string): Refused {
  return new Refused(refuse('LINT-KEY', expected, found, 'Make a fresh throwaway key and lint again.'));
}
