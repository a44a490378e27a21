/**
 * What a certification authority certifies: built by @peculiar/x509, linted before and after the real key signs, read back
 * without trust. Self-signed roots, subordinates from a request, cross-certificates for another CA's key, and end entities.
 *
 * Three steps that cannot be done in another order. `throwawayLint` builds the to-be-signed bytes, has them signed by a
 * key that is thrown away, and lints the certificate that results. What it returns is the only thing `issueCertificate`
 * accepts, and the real signer is handed exactly those bytes or nothing. Both get their signer from the caller: no key, no
 * clock and no randomness live here, and the same profile gives the same bytes every time.
 *
 * Profile: RFC 5280. A CA has basicConstraints, keyUsage, subjectKeyIdentifier, below a root authorityKeyIdentifier, no others;
 * an end entity the same without basicConstraints, and the one key usage that its key is for.
 */

import 'reflect-metadata';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Certificate, Version } from '@peculiar/asn1-x509';
import type { Name as AsnName } from '@peculiar/asn1-x509';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes, forWebCrypto, fromHex, toHex } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { certificateSignatureFindings, isSelfIssued, readCertificate, sharesAComponent, type CertificateReading } from './chain.ts';
import { TAG, writeDer } from './der.ts';
import {
  checkMinted, dateFaults, issuingKey, keyIdentifier, lintUnderThrowaway, nameFrom, nameOf, readIssuer, signatureIdentifier, signLinted, subjectFaults, throwFirst, timeFault,
  usualKeyIdentifier, type IssuingKey, type Linted, type Making, type SignerForLibrary, type SubjectName, type ThrowawayKey, type TbsSigner,
} from './issue.ts';
import { withoutLeadingZeros } from './public-key.ts';
import { checkRequest, mustSign, readRequest, requestFindings, signsNothing, statementFindings, statementPathFindings } from './request.ts';
import { nameText, pem, readSigned } from './signed.ts';
import { keyFindings, readSubjectKey, type SubjectKey } from './subject-key.ts';

export type { SubjectName, TbsSigner, ThrowawayKey } from './issue.ts';

/** What is certified. All bytes are DER. */
export type Order =
  | { readonly kind: 'root'; readonly subject: SubjectName }
  /** The subject and the key of a PKCS#10 request. `issuer`: the certificate of the key that signs. */
  | { readonly kind: 'subordinate'; readonly request: Uint8Array; readonly issuer: Uint8Array }
  /** The same for an end entity. A key that cannot sign comes with a statement of possession (RFC 9883). */
  | { readonly kind: 'end-entity'; readonly request: Uint8Array; readonly issuer: Uint8Array }
  /** Subject, key and key id of another CA's certificate, byte for byte. */
  | { readonly kind: 'cross'; readonly certificate: Uint8Array; readonly issuer: Uint8Array };

export interface CertificateProfile {
  /** 8 to 20 random bytes, not zero; of 20 the first must be below 80 hex (RFC 5280 section 4.1.2.2: positive, 20 octets). */
  readonly serialNumber: Uint8Array;
  /** Whole seconds, UTC. */
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** How many CAs may follow below this one; null: any number, and for an end entity, which is none. */
  readonly pathLength: number | null;
  /** Name in CA_ALGORITHMS of the key that signs. */
  readonly algorithm: string;
  /** DER SubjectPublicKeyInfo of the key that signs. */
  readonly issuerKey: Uint8Array;
  readonly order: Order;
}

export type LintedTbs = Linted<CertificateProfile>;

const NEXT_PROFILE = 'Correct the script or the values filled in, and rehearse again.';
const NEXT_CERTIFICATE = 'Do not distribute this certificate. Compare it with the record.';

/**
 * Builds the to-be-signed bytes of `profile`, has `throwaway` sign them, and lints the certificate made of the two. The
 * certificate carries the real names and keys and a signature by another key, so it is worthless outside this function and
 * is dropped here. A request must prove possession; another CA's self-signed certificate, and a self-signed issuer's, must
 * verify. Throws `Refused` with the first broken rule: one of `CERTIFICATE_LINTS`, of `checkRequest`, ISSUER-CERTIFICATE,
 * CROSS-CERTIFICATE, or LINT-KEY when the throwaway key is of another algorithm, is the real key, or its signature does not fit.
 */
export async function throwawayLint(profile: CertificateProfile, throwaway: ThrowawayKey): Promise<LintedTbs> {
  throwFirst(profileFaults(profile));
  throwFirst(await orderFindings(profile.order));
  return lintUnderThrowaway(profile, makingOf(profile), throwaway);
}

/**
 * The certificate itself. `sign` is called once, with exactly the bytes that were linted (TBS-IDENTICAL), and the result is
 * linted, and verified under the issuing key (CERTIFICATE-VERIFIES), before anybody gets to see it. Throws `Refused`,
 * LINT-FIRST among them for anything that `throwawayLint` did not make.
 */
export async function issueCertificate(linted: LintedTbs, sign: TbsSigner): Promise<{ readonly tbs: Uint8Array; readonly der: Uint8Array; readonly pem: string }> {
  checkMinted(linted);
  const { tbs, der } = await signLinted(linted, makingOf(linted.profile), sign);
  return { tbs, der, pem: pem('CERTIFICATE', der) };
}

function makingOf(profile: CertificateProfile): Making {
  const parts = partsOf(profile);
  return { ...parts.issuing, build: (signer) => build(profile, parts, signer), lint: (der) => lintCertificate(der, profile), verifies: 'CERTIFICATE-VERIFIES' };
}

/** What follows from an order: the values that go into the certificate, and what is wrong with what was brought. */
interface Parts {
  readonly issuing: IssuingKey;
  /** DER of the two names. */
  readonly subject: Uint8Array;
  readonly issuer: Uint8Array;
  readonly key: SubjectKey;
  /** Hex. */
  readonly keyId: string;
  readonly ca: boolean;
  readonly usage: Usage;
  /** Hex; null for a root. */
  readonly authorityKeyId: string | null;
  /** The issuer's certificate; null for a root. */
  readonly above: CertificateReading | null;
  readonly faults: readonly Refusal[];
}

/** RFC 5280 section 4.2.1.3, as the library takes it and as it stands in a certificate. */
interface Usage {
  readonly names: string;
  readonly flags: KeyUsageFlags;
  /** Of the BIT STRING, hex. */
  readonly value: string;
}
const CA_USAGE: Usage = { names: 'keyCertSign and cRLSign', flags: KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, value: '03020106' };

/** The one thing that an end entity's key is for. */
function usageOf({ kind }: SubjectKey): Usage {
  switch (kind) {
    // RFC 9935 section 5, draft-ietf-lamps-pq-composite-kem-21 section 5.
    case 'kem': return { names: 'keyEncipherment', flags: KeyUsageFlags.keyEncipherment, value: '03020520' };
    // RFC 8410 section 5.
    case 'xdh': return { names: 'keyAgreement', flags: KeyUsageFlags.keyAgreement, value: '03020308' };
    case 'rsa': case 'ecdsa': case 'eddsa': case 'ml-dsa': case 'slh-dsa': case 'composite': case 'hss': case 'xmss':
      return { names: 'digitalSignature', flags: KeyUsageFlags.digitalSignature, value: '03020780' };
  }
}

/** Throws `Refused` for what cannot be read at all. */
function partsOf({ algorithm, issuerKey, order, notBefore }: CertificateProfile): Parts {
  const issuing = issuingKey(algorithm, issuerKey);
  if (order.kind === 'root') {
    const subject = new Uint8Array(nameOf(order.subject).toArrayBuffer());
    const { key } = issuing;
    return { issuing, subject, issuer: subject, key, keyId: toHex(keyIdentifier(key)), ca: true, usage: CA_USAGE, authorityKeyId: null, above: null, faults: keyFindings(key) };
  }
  const { issuer: above, faults } = readIssuer(order.issuer, issuing.key, 'keyCertSign');
  const common = { issuing, issuer: above.subject, above, authorityKeyId: above.subjectKeyId ?? '' };
  if (order.kind !== 'cross') {
    const request = readRequest(order.request);
    const { subject, key } = request;
    const ca = order.kind === 'subordinate';
    const possession = ca ? mustSign(key) : statementFindings(request, notBefore);
    return { ...common, subject, key, keyId: toHex(keyIdentifier(key)), ca, usage: ca ? CA_USAGE : usageOf(key), faults: [...faults, ...request.findings, ...possession] };
  }
  const other = readCertificate(order.certificate);
  const { subject, key } = other;
  return { ...common, subject, key, keyId: other.subjectKeyId ?? toHex(keyIdentifier(key)), ca: true, usage: CA_USAGE, faults: [...faults, ...crossFaults(other), ...keyFindings(key)] };
}

function crossFaults(other: CertificateReading): Refusal[] {
  const faults: Refusal[] = [];
  const fault = (expected: string, found: string): number => faults.push(refuse('CROSS-CERTIFICATE', expected, found, 'Bring the certificate of the other CA.'));
  if (!other.ca) fault('a CA certificate', 'another');
  if (other.keyUsage !== null && !other.keyUsage.includes('keyCertSign')) fault('key usage keyCertSign', other.keyUsage.join(', ') || 'nothing');
  if (other.unknownCritical.length > 0) fault('no critical extension that is not understood', other.unknownCritical.slice(0, 5).join(', '));
  if (other.subjectKeyId !== null && (other.subjectKeyId === '' || other.subjectKeyId.length > 128)) fault('a subject key id of 1 to 64 bytes', `${other.subjectKeyId.length / 2}`);
  return faults;
}

/** What only verifying tells about the files of an order: its request or the other certificate, and the issuer's. */
export async function orderFindings(order: Order): Promise<Refusal[]> {
  if (order.kind === 'root') return [];
  return [...(await broughtFindings(order)), ...(await selfSignature(order.issuer, 'ISSUER-CERTIFICATE'))];
}

async function broughtFindings(order: Exclude<Order, { kind: 'root' }>): Promise<Refusal[]> {
  switch (order.kind) {
    case 'subordinate': return checkRequest(order.request);
    case 'cross': return selfSignature(order.certificate, 'CROSS-CERTIFICATE');
    case 'end-entity': {
      const request = readRequest(order.request);
      return [...(await requestFindings(request)), ...(await statementPathFindings(request, readCertificate(order.issuer)))];
    }
  }
}

async function selfSignature(der: Uint8Array, rule: string): Promise<Refusal[]> {
  const certificate = readCertificate(der);
  if (!isSelfIssued(certificate) || (await certificateSignatureFindings(certificate, certificate.key)).length === 0) return [];
  return [refuse(rule, 'a self-signed certificate whose signature verifies', 'one that does not', 'Bring the certificate again from where it came.')];
}

/** Everything that would keep `profile` from becoming a certificate, before any key is asked for anything. */
export function profileFaults(profile: CertificateProfile): Refusal[] {
  const { order } = profile;
  const faults = [
    ...(order.kind === 'root' ? subjectFaults(order.subject) : []),
    ...serialFaults(profile.serialNumber),
    ...dateFaults('CERTIFICATE-DATES', profile.notBefore, profile.notAfter),
    ...pathLengthFaults(profile.pathLength),
  ];
  if (faults.length > 0) return faults;
  try {
    const parts = partsOf(profile);
    return [...parts.faults, ...linkFaults(profile, parts)];
  } catch (error) {
    if (error instanceof Refused) return [error.refusal];
    throw error;
  }
}

/** What must hold between a certificate and its issuer's: names, keys, dates nested, path length smaller. */
function linkFaults({ notBefore, notAfter, pathLength }: CertificateProfile, { above, subject, issuer, key, ca, issuing }: Parts): Refusal[] {
  if (above === null) return [];
  const faults: Refusal[] = [];
  const fault = (rule: (typeof CERTIFICATE_LINTS)[number], expected: string, found: string): number => faults.push(refuse(rule, expected, found, NEXT_PROFILE));
  if (equalBytes(subject, issuer)) fault('CERTIFICATE-ISSUER', 'a subject that is not the issuer', nameText(subject));
  if (equalBytes(key.spki, issuing.key.spki)) fault('CERTIFICATE-KEY', 'a key of its own', 'the issuing key');
  if (sharesAComponent(key, issuing.key)) fault('CERTIFICATE-COMPONENT', 'component keys of its own', 'a component of the issuing key');
  if (notBefore < above.notBefore || notAfter > above.notAfter) {
    fault('CERTIFICATE-WITHIN-ISSUER', `within ${above.notBefore.toISOString()} to ${above.notAfter.toISOString()}`, `${notBefore.toISOString()} to ${notAfter.toISOString()}`);
  }
  // RFC 5280 section 4.2.1.9. What a verifier would refuse later is refused now.
  if (!ca) {
    if (pathLength !== null) fault('CERTIFICATE-PATH-LENGTH', 'no path length for an end entity', `${pathLength}`);
  } else if (above.pathLength !== null && (pathLength === null || pathLength >= above.pathLength)) {
    const expected = above.pathLength === 0 ? 'no CA below this issuer: its path length is 0' : `a path length below ${above.pathLength}`;
    fault('CERTIFICATE-PATH-LENGTH', expected, pathLength === null ? 'no path length' : `${pathLength}`);
  }
  return faults;
}

/** The generator would invent a serial number in place of zero, and dates in place of missing ones: profileFaults is first. */
async function build(profile: CertificateProfile, parts: Parts, signer: SignerForLibrary): Promise<Uint8Array> {
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: toHex(profile.serialNumber),
      subject: new Name(nameFrom(parts.subject)),
      issuer: new Name(nameFrom(parts.issuer)),
      notBefore: profile.notBefore,
      notAfter: profile.notAfter,
      publicKey: forWebCrypto(parts.key.spki),
      signingAlgorithm: signer.algorithm as EcdsaParams,
      signingKey: signer.key,
      extensions: [
        ...(parts.ca ? [new BasicConstraintsExtension(true, profile.pathLength ?? undefined, true)] : []),
        new KeyUsagesExtension(parts.usage.flags, true),
        new SubjectKeyIdentifierExtension(parts.keyId, false),
        ...(parts.authorityKeyId === null ? [] : [new AuthorityKeyIdentifierExtension(parts.authorityKeyId, false)]),
      ],
    },
    signer.crypto,
  );
  return new Uint8Array(certificate.rawData);
}

// --- reading -------------------------------------------------------------------------------------------------------------

/** The to-be-signed bytes of a certificate, request or CRL, exactly as they stand in it; a copy. Throws `Refused` CERTIFICATE-DER. */
export function tbsOf(der: Uint8Array): Uint8Array {
  try {
    return readSigned(der, 'object').signed.tbs.slice();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    throw malformed(error.refusal.expected, error.refusal.found);
  }
}

/**
 * Does the issuer's key verify the signature on a certificate? `issuerSpki` of a self-signed one is its own. False for a
 * signature that does not fit or is not well formed. Throws `Refused` when the certificate or the key cannot be read.
 * Judges the signature and nothing else: what the certificate says is `lintCertificate`'s part.
 */
export async function verifyIssued(der: Uint8Array, issuerSpki: Uint8Array): Promise<boolean> {
  return (await certificateSignatureFindings(readCertificate(der), readSubjectKey(issuerSpki))).length === 0;
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
  'CERTIFICATE-AUTHORITY-KEY',
  'CERTIFICATE-WITHIN-ISSUER',
  'CERTIFICATE-PATH-LENGTH',
  'CERTIFICATE-COMPONENT',
] as const;

const OID = { C: '2.5.4.6', O: '2.5.4.10', OU: '2.5.4.11', CN: '2.5.4.3' } as const;
const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const SUBJECT_KEY_IDENTIFIER = '2.5.29.14';
const AUTHORITY_KEY_IDENTIFIER = '2.5.29.35';

/**
 * Everything in which a certificate is not exactly this project's profile, and, given `profile`, not exactly that
 * certificate. Without one, a self-issued certificate is judged as a root, one for a key that cannot sign as an end entity's,
 * and any other as a CA's below a root. Reads the bytes
 * anew and trusts nothing of how they were made. The signature is not judged here.
 */
export function lintCertificate(der: Uint8Array, profile?: CertificateProfile): Refusal[] {
  const findings: Refusal[] = [];
  const find = (rule: (typeof CERTIFICATE_LINTS)[number], expected: string, found: string): void => {
    findings.push(refuse(rule, expected, found, NEXT_CERTIFICATE));
  };
  let certificate: Certificate;
  let parts: Parts | null = null;
  try {
    certificate = parse(der);
    // DER has one encoding per value (X.690 section 10): whatever survives a second writing unchanged is that one.
    if (!equalBytes(written(certificate), der)) find('CERTIFICATE-DER', 'the one DER form', 'another encoding, or bytes after it');
    if (profile) parts = partsOf(profile);
  } catch (error) {
    if (error instanceof Refused) return [error.refusal];
    throw error;
  }
  if (profile && parts) findings.push(...parts.faults, ...linkFaults(profile, parts));
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

  let key: SubjectKey | null = null;
  try {
    key = readSubjectKey(written(tbs.subjectPublicKeyInfo));
    findings.push(...(parts === null ? keyFindings(key) : []));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    find('CERTIFICATE-KEY', error.refusal.expected, error.refusal.found);
  }
  if (key && parts && !equalBytes(key.spki, parts.key.spki)) find('CERTIFICATE-KEY', `public key ${fingerprint(parts.key)}`, fingerprint(key));

  const [subjectName, issuerName] = [written(tbs.subject), written(tbs.issuer)];
  const root = parts === null ? equalBytes(subjectName, issuerName) : parts.above === null;
  // RFC 5280 section 4.1.1.2: the inner and the outer identifier are the same, parameters included.
  const [inner, outer] = [written(tbs.signature), written(certificate.signatureAlgorithm)];
  const wanted = parts ? signatureIdentifier(parts.issuing.row) : null;
  for (const [place, identifier, algorithm] of [['inside', inner, tbs.signature], ['outside', outer, certificate.signatureAlgorithm]] as const) {
    if (!equalBytes(identifier, wanted ?? inner)) {
      const label = parts?.issuing.row.label ?? 'the same inside and outside';
      find('CERTIFICATE-ALGORITHM', `${toHex(wanted ?? inner)} (${label})`, `${algorithm.algorithm}, ${toHex(identifier).slice(0, 80)}, ${place}`);
    }
  }

  if (parts) {
    if (!equalBytes(issuerName, parts.issuer)) find('CERTIFICATE-ISSUER', nameText(parts.issuer), nameText(issuerName));
    if (!equalBytes(subjectName, parts.subject)) find('CERTIFICATE-SUBJECT', `exactly the subject ${nameText(parts.subject)}`, nameText(subjectName));
  }
  if (root) {
    if (!equalBytes(issuerName, subjectName)) find('CERTIFICATE-ISSUER', 'issuer and subject alike', 'two different names');
    const subject = readName(tbs.subject);
    if (typeof subject === 'string') find('CERTIFICATE-SUBJECT', 'C, O, OU and CN in this order, each at most once, PrintableString for C, else UTF8String', subject);
    else findings.push(...subjectFaults(subject));
  }

  const { notBefore, notAfter } = tbs.validity;
  for (const time of [notBefore, notAfter]) {
    const fault = timeFault(time);
    if (fault !== null) find('CERTIFICATE-DATES', 'UTCTime up to 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5)', fault);
  }
  findings.push(...dateFaults('CERTIFICATE-DATES', notBefore.getTime(), notAfter.getTime()));
  if (profile && (notBefore.getTime().getTime() !== profile.notBefore.getTime() || notAfter.getTime().getTime() !== profile.notAfter.getTime())) {
    find('CERTIFICATE-DATES', 'the dates of the profile', 'others');
  }

  const ca = parts?.ca ?? (key === null || !signsNothing(key));
  // RFC 5280 sections 4.2.1.1, 4.2.1.2, 4.2.1.3, 4.2.1.9. An extension that nobody asked for is a mistake, critical or not.
  const wantedOids = [...(ca ? [BASIC_CONSTRAINTS] : []), KEY_USAGE, SUBJECT_KEY_IDENTIFIER, ...(root ? [] : [AUTHORITY_KEY_IDENTIFIER])];
  const extensions = tbs.extensions === undefined ? [] : Array.from(tbs.extensions);
  const oids = extensions.map((extension) => extension.extnID);
  if (oids.length !== wantedOids.length || !wantedOids.every((oid) => oids.includes(oid))) {
    find('CERTIFICATE-EXTENSIONS', wantedOids.join(', '), oids.slice(0, 12).join(', ') || 'none');
  }
  const is = (oid: string, critical: boolean, value: RegExp): boolean => {
    const extension = extensions.find((one) => one.extnID === oid);
    return extension !== undefined && extension.critical === critical && value.test(toHex(new Uint8Array(extension.extnValue.buffer)));
  };
  const length = profile === undefined ? '(30030101ff|30060101ff0201[0-7].)' : profile.pathLength === null ? '30030101ff' : `30060101ff0201${toHex(Uint8Array.of(profile.pathLength))}`;
  if (ca && !is(BASIC_CONSTRAINTS, true, new RegExp(`^${length}$`))) {
    const path = profile === undefined ? '' : profile.pathLength === null ? ', no path length' : `, path length ${profile.pathLength}`;
    find('CERTIFICATE-BASIC-CONSTRAINTS', `critical, CA true${path}`, 'something else');
  }
  const usage = parts?.usage ?? (key === null || !signsNothing(key) ? CA_USAGE : usageOf(key));
  if (!is(KEY_USAGE, true, new RegExp(`^${usage.value}$`))) find('CERTIFICATE-KEY-USAGE', `critical, ${usage.names} only`, 'something else');
  if (key) {
    const ids = parts !== null && profile?.order.kind === 'cross' ? [fromHex(parts.keyId)] : [keyIdentifier(key), usualKeyIdentifier(key)];
    const values = ids.map((id) => toHex(writeDer(TAG.octetString, id)));
    if (!is(SUBJECT_KEY_IDENTIFIER, false, new RegExp(`^(${values.join('|')})$`))) {
      find('CERTIFICATE-KEY-IDENTIFIER', profile?.order.kind === 'cross' ? 'not critical, the key id of the other certificate' : 'not critical, 160 bits of SHA-256 or SHA-1 of the public key', 'something else');
    }
  }
  if (!root) {
    const value = parts === null ? '30[0-9a-f]{2}80[0-9a-f]+' : toHex(writeDer(TAG.sequence, writeDer(0x80, fromHex(parts.authorityKeyId ?? ''))));
    if (!is(AUTHORITY_KEY_IDENTIFIER, false, new RegExp(`^${value}$`))) find('CERTIFICATE-AUTHORITY-KEY', 'not critical, the key id of the issuer and nothing else', 'something else');
  }
  return findings;
}

function written(value: unknown): Uint8Array {
  try {
    return new Uint8Array(AsnConvert.serialize(value));
  } catch {
    throw malformed('a certificate that can be written again', 'one that cannot');
  }
}

function fingerprint(key: SubjectKey): string {
  return toHex(sha256(key.spki));
}

function pathLengthFaults(pathLength: number | null): Refusal[] {
  if (pathLength === null || (Number.isInteger(pathLength) && pathLength >= 0 && pathLength <= 127)) return [];
  return [refuse('CERTIFICATE-PATH-LENGTH', 'a path length from 0 to 127, or none', `${pathLength}`, NEXT_PROFILE)];
}

/** RFC 5280 section 4.1.2.2, and CA/Browser Forum Baseline Requirements section 7.1: 64 bits from a random source. */
function serialFaults(serial: Uint8Array): Refusal[] {
  const number = withoutLeadingZeros(serial);
  const octets = number.length + (number.length > 0 && number[0]! > 127 ? 1 : 0);
  if (number.length >= 8 && octets <= 20) return [];
  return [refuse('CERTIFICATE-SERIAL', 'a positive serial number of 8 to 20 octets', `${octets} octets`, NEXT_PROFILE)];
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

function malformed(expected: string, found: string): Refused {
  return new Refused(refuse('CERTIFICATE-DER', expected, found, NEXT_CERTIFICATE));
}
