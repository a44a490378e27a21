/**
 * Certificate requests (PKCS#10, RFC 2986): reading one that somebody brought, judging it, and making one.
 *
 * A request is a stranger's file. It is read by `der.ts` only, and its attributes are listed and otherwise ignored (the
 * profile says what a certificate holds, never the requester). Its signature proves that the requester holds the key. A key
 * that encapsulates or agrees cannot sign: there the one attribute that is heeded is the statement of RFC 9883, and what the
 * signature proves is only that the holder of a certified signing key states to hold this key too. The key itself has then
 * proven nothing, and nobody may say that it has. No certificate is made here.
 */

import { equalBytes, forWebCrypto, fromHex, toHex } from '../bytes.ts';
import { refuse, Refused, type Refusal } from '../refusal.ts';
import { certificateFindings, certificateSignatureFindings, linkFindings, readCertificate, type CertificateReading } from './chain.ts';
import { derFault, derParts, expectTag, readOid, readUnsigned, TAG, writeDer, type Der } from './der.ts';
import type { SubjectName, TbsSigner } from './issue.ts';
import { nameFindings, nameText, pem, readSigned, type Signed } from './signed.ts';
import { keyFindings, readSubjectKey, signatureFindings, type SubjectKey } from './subject-key.ts';

export interface RequestReading extends Signed {
  /** DER of the name. */
  readonly subject: Uint8Array;
  readonly key: SubjectKey;
  /** DER SubjectPublicKeyInfo, as it stands in the request. */
  readonly spki: Uint8Array;
  /** OIDs of the attributes, none of which is heeded but a statement of possession. */
  readonly attributes: readonly string[];
  /** Of a key that cannot sign; null without one, and for every other key: it must not be heeded there (RFC 9883 section 6). */
  readonly statement: Statement | null;
  /** What keeps a certificate from being issued for it, as far as can be seen without verifying: name and key. */
  readonly findings: readonly Refusal[];
}

/** PrivateKeyPossessionStatement (RFC 9883 section 3): who states that the requester holds the private key. */
export interface Statement {
  /** DER of the issuer's name, and the serial number (hex), of the signing certificate. */
  readonly issuer: Uint8Array;
  readonly serial: string;
  /** That certificate, where the statement carries it. */
  readonly certificate: CertificateReading | null;
}

/** Reads a request. Throws `Refused` DER-STRUCTURE, or what its key breaks. Proof of possession is `checkRequest`'s part. */
export function readRequest(der: Uint8Array): RequestReading {
  const field = 'request';
  const { signed, body } = readSigned(der, field);
  if (readUnsigned(body[0], `${field}.version`).length !== 0) throw derFault(`${field}.version`, '0', 'another version');
  if (body.length !== 4 || body[3]?.tag !== 0xa0) throw derFault(`${field}.attributes`, 'attributes [0], though they may be empty', 'something else');
  const subject = expectTag(body[1], TAG.sequence, `${field}.subject`).bytes;
  const key = readSubjectKey(expectTag(body[2], TAG.sequence, `${field}.subjectPKInfo`).bytes);
  const attributes = readAttributes(body[3], `${field}.attributes`);
  return {
    ...signed, subject, key, spki: key.spki, attributes: attributes.map(({ oid }) => oid), statement: signsNothing(key) ? readStatement(attributes) : null,
    findings: [...nameFindings(subject, 'REQUEST-SUBJECT'), ...keyFindings(key)],
  };
}

interface Attribute {
  readonly oid: string;
  /** The SET. */
  readonly values: Der;
}

function readAttributes(list: Der, field: string): Attribute[] {
  return derParts(list, field).map((attribute) => {
    const parts = derParts(expectTag(attribute, TAG.sequence, field), field);
    if (parts.length !== 2) throw derFault(field, 'a type and its values', `${parts.length} values`);
    return { oid: readOid(parts[0], field), values: expectTag(parts[1], TAG.set, field) };
  });
}

/** id-at-statementOfPossession, RFC 9883 section 3. */
const STATEMENT_OF_POSSESSION = '1.3.6.1.4.1.22112.2.1';

function readStatement(attributes: readonly Attribute[]): Statement | null {
  const field = 'request.statementOfPossession';
  const values = attributes.filter(({ oid }) => oid === STATEMENT_OF_POSSESSION).map((attribute) => derParts(attribute.values, field));
  if (values.length === 0) return null;
  if (values.length > 1 || values[0]?.length !== 1) throw derFault(field, 'one statement', `${values.flat().length}`);
  const [signer, certificate, ...more] = derParts(expectTag(values[0][0], TAG.sequence, field), field);
  const named = derParts(expectTag(signer, TAG.sequence, `${field}.signer`), `${field}.signer`);
  if (more.length > 0 || named.length !== 2) throw derFault(field, 'a signer and its certificate', 'other values');
  return {
    issuer: expectTag(named[0], TAG.sequence, `${field}.signer.issuer`).bytes,
    serial: toHex(expectTag(named[1], TAG.integer, `${field}.signer.serialNumber`).content),
    certificate: certificate === undefined ? null : readCertificate(certificate.bytes),
  };
}

// --- possession ----------------------------------------------------------------------------------------------------------

/** A key that encapsulates or agrees cannot sign its own request. */
export function signsNothing(key: SubjectKey): boolean {
  return key.kind === 'kem' || key.kind === 'xdh';
}

/** What keeps a key from being a CA's. */
export function mustSign(key: SubjectKey): Refusal[] {
  return signsNothing(key) ? [refuse(
    'REQUEST-KEM-KEY', 'a key that signs its own request', `${key.label}, which signs nothing`,
    'A CA key must sign: ask for another. An end entity\'s key is certified on a statement of possession (RFC 9883), in a ceremony of its own.',
  )] : [];
}

const NEXT_STATEMENT = 'Have the owner make the request again with the signing key and the certificate that this CA gave them (`conclave csr make`).';

/**
 * What is wrong with the statement of a key that cannot sign, as far as can be seen without verifying; nothing for every
 * other key. RFC 9883 section 4 leaves it to the CA's policy what to do when the two subjects differ: here they never may.
 * Its section 3 lets the certificate be absent: here it never is, because the record must be judged without another file.
 * `at`: the moment at which the signing certificate has to be valid.
 */
export function statementFindings({ key, subject, statement }: RequestReading, at?: Date): Refusal[] {
  if (!signsNothing(key)) return [];
  const fault = (rule: string, expected: string, found: string): Refusal => refuse(rule, expected, found, NEXT_STATEMENT);
  if (statement === null) return [fault('REQUEST-STATEMENT', 'a statement of possession (RFC 9883)', `none, and ${key.label} signs nothing`)];
  const { issuer, serial, certificate } = statement;
  if (certificate === null) return [fault('REQUEST-STATEMENT-CERTIFICATE', 'a statement with the certificate of the signing key in it', 'its issuer and serial number alone')];
  const findings = [...certificateFindings(certificate, at)];
  if (!equalBytes(issuer, certificate.issuer) || serial !== certificate.serial) {
    findings.push(fault('REQUEST-STATEMENT-SIGNER', `the certificate that the statement names: ${serial.slice(0, 64)} of ${nameText(issuer)}`, `${certificate.serial.slice(0, 64)} of ${nameText(certificate.issuer)}`));
  }
  if (!equalBytes(subject, certificate.subject)) findings.push(fault('REQUEST-STATEMENT-SUBJECT', `the subject of the signing certificate, byte for byte: ${nameText(certificate.subject)}`, nameText(subject)));
  // RFC 5280 section 4.2.1.3: other signatures than those on certificates and CRLs.
  if (certificate.keyUsage?.includes('digitalSignature') === false) findings.push(fault('REQUEST-STATEMENT-USAGE', 'a signing certificate with key usage digitalSignature', certificate.keyUsage.join(', ') || 'nothing'));
  return findings;
}

/** The signature: under the key in the request, or under that of the certificate in the statement. Without a statement that is whole there is none to verify. */
async function possessionFindings(request: RequestReading, at?: Date): Promise<Refusal[]> {
  const { key, statement, signatureAlgorithm, tbs, signature } = request;
  const signer = signsNothing(key) ? statement?.certificate?.key : key;
  return [...statementFindings(request, at), ...(signer === undefined ? [] : await signatureFindings(signer, signatureAlgorithm, tbs, signature))];
}

/**
 * RFC 9883 section 4: the CA must validate the path of the signing certificate. The one trust anchor that an issuing CA has
 * by itself is its own key, so that path has one link: the CA itself issued the signing certificate. Not whether it has been
 * revoked since, which people look up. Nothing for a key that signs its own request.
 */
export async function statementPathFindings({ key, statement }: RequestReading, issuer: CertificateReading): Promise<Refusal[]> {
  const certificate = statement?.certificate;
  if (!signsNothing(key) || certificate === undefined || certificate === null) return [];
  const [broken] = [...linkFindings(certificate, issuer), ...(await certificateSignatureFindings(certificate, issuer.key))];
  return broken === undefined ? [] : [refuse(
    'REQUEST-STATEMENT-PATH', `a signing certificate issued by ${nameText(issuer.subject)}`, `${broken.rule}: ${broken.found}`, NEXT_STATEMENT,
  )];
}

/** Soundness of the key, and possession: proven, or stated at the moment `at`. */
export async function requestFindings(request: RequestReading, at?: Date): Promise<Refusal[]> {
  return [...keyFindings(request.key), ...(await possessionFindings(request, at))];
}

/** Everything that keeps a CA certificate from being issued for this request: form, name, key, proof of possession. Never throws `Refused`. */
export function checkRequest(der: Uint8Array): Promise<Refusal[]> {
  return checked(der, async (request) => {
    const cannot = mustSign(request.key);
    return [...cannot, ...(cannot.length > 0 ? [] : await possessionFindings(request))];
  });
}

/** The same for a key that cannot sign, on a statement of possession (RFC 9883), but for the statement's path: no CA is known here. */
export function checkStatedRequest(der: Uint8Array): Promise<Refusal[]> {
  return checked(der, async (request) => signsNothing(request.key) ? possessionFindings(request) : [refuse(
    'REQUEST-STATED-KEY', 'a key that cannot sign (RFC 9883 section 6)', `${request.key.label}, which signs its own request`, 'Bring this request to a ceremony for signing keys.',
  )]);
}

async function checked(der: Uint8Array, judge: (request: RequestReading) => Promise<Refusal[]>): Promise<Refusal[]> {
  try {
    const request = readRequest(der);
    return [...request.findings, ...(await judge(request))];
  } catch (error) {
    if (error instanceof Refused) return [error.refusal];
    throw error;
  }
}

// --- making --------------------------------------------------------------------------------------------------------------

export interface MadeRequest {
  readonly der: Uint8Array;
  readonly pem: string;
}

/**
 * A request for `spki`, signed by its own key; without attributes. Checked like a stranger's before it is given out.
 * Throws `Refused`: CERTIFICATE-SUBJECT, CERTIFICATE-KEY, SIGNATURE-LENGTH, or the first finding of `checkRequest`.
 */
export async function makeRequest(subject: SubjectName, algorithm: string, spki: Uint8Array, sign: TbsSigner): Promise<MadeRequest> {
  // Loaded here: whoever only reads requests needs none of it.
  const { issuingKey, made, nameOf, subjectFaults, throwFirst } = await import('./issue.ts');
  const { Pkcs10CertificateRequestGenerator } = await import('@peculiar/x509');
  throwFirst(subjectFaults(subject));
  const { row, key } = issuingKey(algorithm, spki);
  const { der } = await made(row, sign, key.spki, async (signer) => {
    const request = await Pkcs10CertificateRequestGenerator.create(
      { name: nameOf(subject), keys: { publicKey: signer.key, privateKey: signer.key }, signingAlgorithm: signer.algorithm },
      signer.crypto,
    );
    return new Uint8Array(request.rawData);
  });
  throwFirst(await checkRequest(der));
  return { der, pem: pem('CERTIFICATE REQUEST', der) };
}

/**
 * A request for a key that cannot sign, in the name and under the signature of the holder of `certificate` (DER), whose key
 * is `sign`'s: RFC 9883 with the certificate in the statement. Checked like a stranger's before it is given out.
 * Throws `Refused`: CERTIFICATE-KEY, SIGNATURE-LENGTH, or the first finding of `checkStatedRequest`.
 */
export async function makeStatedRequest(spki: Uint8Array, certificate: Uint8Array, sign: TbsSigner): Promise<MadeRequest> {
  const { algorithmOf, made, nameFrom, throwFirst } = await import('./issue.ts');
  const { Attribute: LibraryAttribute, Name, Pkcs10CertificateRequestGenerator } = await import('@peculiar/x509');
  const { issuer, serial, subject, key } = readCertificate(certificate);
  const signer = writeDer(TAG.sequence, issuer, writeDer(TAG.integer, fromHex(serial)));
  const statement = writeDer(TAG.sequence, signer, certificate);
  const { der } = await made(algorithmOf(key), sign, spki, async ({ algorithm, key: handle, crypto }) => {
    const request = await Pkcs10CertificateRequestGenerator.create({
      name: new Name(nameFrom(subject)), keys: { publicKey: handle, privateKey: handle }, signingAlgorithm: algorithm,
      attributes: [new LibraryAttribute(STATEMENT_OF_POSSESSION, [forWebCrypto(statement)])],
    }, crypto);
    return new Uint8Array(request.rawData);
  });
  throwFirst(await checkStatedRequest(der));
  return { der, pem: pem('CERTIFICATE REQUEST', der) };
}
