/**
 * How an issuing key signs: what certificates, requests and CRLs have in common when they are made.
 *
 * @peculiar/x509 builds the structures; it gets a crypto object that has nothing but `sign`, so no key is ever inside it.
 * An algorithm that the library does not know, every composite among them, goes in by its OID: the library then writes
 * that OID without parameters, which is what draft-ietf-lamps-pq-composite-sigs-19, RFC 9802, RFC 9881 and RFC 9909 ask for.
 *
 * Certificates and CRLs are made in two steps that cannot be done in another order. `lintUnderThrowaway` has the
 * to-be-signed bytes signed by a key that is thrown away and lints what results; `signLinted` takes nothing else, and hands
 * exactly those bytes to the real signer, or none. No key, no clock and no randomness live here.
 */

import 'reflect-metadata';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Name as AsnName, type Time } from '@peculiar/asn1-x509';
import { Name } from '@peculiar/x509';
import { sha1 } from '@noble/hashes/legacy.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes, forWebCrypto, fromHex } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { plainText } from '../text.ts';
import { CA_ALGORITHMS, caAlgorithmNamed, type CaAlgorithm } from './algorithms.ts';
import { readCertificate, sharesAComponent, type CertificateReading } from './chain.ts';
import { splitCompositeSignature } from './composite.ts';
import { writeIdentifier } from './der.ts';
import { nameText, readSigned } from './signed.ts';
import { readSubjectKey, signatureFindings, type SubjectKey } from './subject-key.ts';

/** Signs the whole to-be-signed bytes. Classical: JOSE form (ECDSA r||s); all others: the raw signature. May refuse by throwing. */
export type TbsSigner = (tbs: Uint8Array) => Promise<Uint8Array>;

/** A key pair of the issuing key's algorithm, made by the caller for one signature and then dropped. */
export interface ThrowawayKey {
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  readonly sign: TbsSigner;
}

/** Subject and issuer. Written in the order C, O, OU, CN. */
export interface SubjectName {
  readonly commonName: string;
  readonly organization?: string;
  readonly organizationalUnit?: string;
  /** ISO 3166 code: two capital letters. */
  readonly country?: string;
}

const NEXT_PROFILE = 'Correct the script or the values filled in, and rehearse again.';

// --- algorithm and key ---------------------------------------------------------------------------------------------------

export interface IssuingKey {
  readonly row: CaAlgorithm;
  readonly key: SubjectKey;
}

/** The key that signs. Throws `Refused` ALGORITHM-KNOWN, CERTIFICATE-KEY when it is of another algorithm, or what reading it breaks. */
export function issuingKey(algorithm: string, spki: Uint8Array): IssuingKey {
  const row = caAlgorithmNamed(algorithm);
  const key = readSubjectKey(spki);
  if (!isOf(row, key)) throw new Refused(refuse('CERTIFICATE-KEY', `${an(row.label)} key`, key.label, NEXT_PROFILE));
  return { row, key };
}

/** The algorithm whose key this is. Throws `Refused` CERTIFICATE-KEY for a key that no certificate is signed with here. */
export function algorithmOf(key: SubjectKey): CaAlgorithm {
  const name = CA_ALGORITHMS.find((one) => isOf(caAlgorithmNamed(one), key));
  if (name === undefined) throw new Refused(refuse('CERTIFICATE-KEY', 'a signing key of an algorithm that CAs have here', key.label, 'Use another signing key.'));
  return caAlgorithmNamed(name);
}

function isOf(row: CaAlgorithm, key: SubjectKey): boolean {
  switch (row.family) {
    case 'ecdsa':
      return key.kind === 'ecdsa' && key.curve === row.jose.crv;
    case 'rsa':
      return key.kind === 'rsa' && key.modulusBits === row.modulusBits;
    case 'eddsa':
      return key.kind === 'eddsa' && key.curve === row.jose.crv;
    case 'ml-dsa':
      return key.kind === 'ml-dsa' && key.name === row.name;
    case 'slh-dsa':
      return key.kind === 'slh-dsa' && key.row === row;
    case 'hss':
      return key.kind === 'hss';
    case 'xmss':
      return key.kind === 'xmss' && key.row === row;
    case 'composite-signature':
      return key.kind === 'composite' && key.row === row;
  }
}

function an(label: string): string {
  return /^[AEIOU]|^[RSMLFHX][A-Z]/.test(label) ? `an ${label}` : `a ${label}`;
}

/** DER of the AlgorithmIdentifier in both signature fields. Parameters are absent but for RSA, where they are NULL (RFC 4055 section 5). */
export function signatureIdentifier(row: CaAlgorithm): Uint8Array {
  if (!('signatureOid' in row)) return writeIdentifier(row.oid, null);
  return writeIdentifier(row.signatureOid, row.signatureParameters === null ? null : fromHex(row.signatureParameters));
}

/** RFC 7093 section 2 method 1: the leftmost 160 bits of SHA-256 over the content of the subjectPublicKey BIT STRING. */
export function keyIdentifier(key: SubjectKey): Uint8Array {
  return sha256(key.raw).slice(0, 20);
}

/** What most other software writes: RFC 5280 section 4.2.1.2 method 1. SHA-1, with no security in it. */
export function usualKeyIdentifier(key: SubjectKey): Uint8Array {
  return sha1(key.raw);
}

// --- the library's signer --------------------------------------------------------------------------------------------------

interface WebAlgorithm {
  readonly name: string;
  readonly hash?: string;
  readonly namedCurve?: string;
}

/** What the library's generators take: an algorithm by name or OID, a key without a key in it, and who signs. */
export interface SignerForLibrary {
  readonly algorithm: WebAlgorithm;
  readonly key: CryptoKey;
  readonly crypto: Crypto;
}

function signerForLibrary(row: CaAlgorithm, sign: TbsSigner, spki: Uint8Array): { readonly signer: SignerForLibrary; readonly signed: () => Uint8Array } {
  let tbs: Uint8Array | undefined;
  const algorithm = webAlgorithm(row);
  const subtle = {
    async sign(_algorithm: unknown, _key: unknown, data: ArrayBuffer): Promise<ArrayBuffer> {
      tbs = new Uint8Array(data.slice(0));
      const signature = await sign(tbs.slice());
      checkLength(row, signature);
      return forWebCrypto(signature).slice().buffer;
    },
    exportKey: () => Promise.resolve(forWebCrypto(spki).slice().buffer),
  };
  return {
    signer: { algorithm, key: { algorithm } as CryptoKey, crypto: { subtle } as unknown as Crypto },
    signed: () => {
      if (tbs === undefined) throw new Refused(refuse('TBS-IDENTICAL', 'bytes that were signed', 'none', 'Stop. The program is at fault; keep the record.'));
      return tbs;
    },
  };
}

function webAlgorithm(row: CaAlgorithm): WebAlgorithm {
  switch (row.family) {
    case 'ecdsa':
      return { name: 'ECDSA', hash: row.hash, namedCurve: row.jose.crv };
    case 'rsa':
      return { name: 'RSASSA-PKCS1-v1_5', hash: row.hash };
    case 'eddsa':
    case 'ml-dsa':
      return { name: row.signatureOid };
    case 'slh-dsa':
    case 'hss':
    case 'xmss':
    case 'composite-signature':
      return { name: row.oid };
  }
}

function checkLength(row: CaAlgorithm, signature: Uint8Array): void {
  if (row.family === 'hss') return; // The length is in the signature itself (RFC 8554 section 6.2), where verifying looks.
  if (row.family === 'composite-signature') splitCompositeSignature(row, signature);
  else if (signature.length !== row.signatureBytes) {
    throw new Refused(refuse('SIGNATURE-LENGTH', `${row.signatureBytes} bytes of ${row.label} signature`, `${signature.length}`, 'Give the signature in its raw form, ECDSA as r||s.'));
  }
}

// --- lint, then sign -------------------------------------------------------------------------------------------------------

/** One certificate or CRL to be: how the library builds it, and how the result is judged. */
export interface Making extends IssuingKey {
  readonly build: (signer: SignerForLibrary) => Promise<Uint8Array>;
  readonly lint: (der: Uint8Array) => Refusal[];
  /** Rule for a final signature that does not verify. */
  readonly verifies: string;
}

/** To-be-signed bytes that passed every lint under a throwaway key. Only `lintUnderThrowaway` makes one. */
export interface Linted<Profile> {
  readonly profile: Profile;
  readonly tbs: Uint8Array;
  readonly [LINTED]: true;
}
declare const LINTED: unique symbol;
const minted = new WeakSet<object>();

/** Runs the library with `sign`; the bytes that were signed and the whole. */
export async function made(row: CaAlgorithm, sign: TbsSigner, spki: Uint8Array, build: Making['build']): Promise<{ readonly tbs: Uint8Array; readonly der: Uint8Array }> {
  const { signer, signed } = signerForLibrary(row, sign, spki);
  const der = await build(signer);
  return { tbs: signed(), der };
}

/** Throws `Refused`: the first broken lint, or LINT-KEY for a key of another algorithm, the real key or a half of it, or a signature that does not fit. */
export async function lintUnderThrowaway<Profile>(profile: Profile, making: Making, throwaway: ThrowawayKey): Promise<Linted<Profile>> {
  const { row, key } = making;
  const other = readSubjectKey(throwaway.spki);
  if (!isOf(row, other)) throw lintKey(`a throwaway ${row.label} key`, other.label);
  if (equalBytes(other.spki, key.spki)) throw lintKey('a key made to be thrown away', 'the real key');
  if (sharesAComponent(other, key)) throw lintKey('a key made to be thrown away', 'one with a half of the real key');
  const { tbs, der } = await made(row, throwaway.sign, key.spki, making.build);
  throwFirst(making.lint(der));
  const { signed } = readSigned(der, 'object');
  if (!equalBytes(signed.tbs, tbs)) throw lintKey('an object over the bytes that were signed', 'other bytes');
  if ((await signatureFindings(other, signed.signatureAlgorithm, tbs, signed.signature)).length > 0) throw lintKey('a throwaway signature that fits', 'one that does not');
  const linted = { profile, tbs } as Linted<Profile>;
  minted.add(linted);
  return linted;
}

/** Throws `Refused`: LINT-FIRST for anything not linted, TBS-IDENTICAL before `sign` is asked for other bytes, a lint, or `making.verifies`. */
export async function signLinted<Profile>(linted: Linted<Profile>, making: Making, sign: TbsSigner): Promise<{ readonly tbs: Uint8Array; readonly der: Uint8Array }> {
  checkMinted(linted);
  const identical = (tbs: Uint8Array): void => {
    if (equalBytes(tbs, linted.tbs)) return;
    throw new Refused(refuse('TBS-IDENTICAL', 'the bytes that were linted', 'other bytes', 'Stop. The program is at fault; keep the record.'));
  };
  const { tbs, der } = await made(making.row, (bytes) => {
    identical(bytes);
    return sign(bytes);
  }, making.key.spki, making.build);
  const { signed } = readSigned(der, 'object');
  identical(signed.tbs);
  throwFirst(making.lint(der));
  if ((await signatureFindings(making.key, signed.signatureAlgorithm, signed.tbs, signed.signature)).length > 0) {
    throw new Refused(refuse(making.verifies, 'a signature that the issuing key verifies', 'one that does not', 'Discard what was signed. Test the token before it signs again.'));
  }
  return { tbs, der };
}

/** Refuses LINT-FIRST for what `lintUnderThrowaway` did not make. */
export function checkMinted(linted: object): void {
  if (!minted.has(linted)) throw new Refused(refuse('LINT-FIRST', 'bytes linted under a throwaway key', 'others', 'Lint first.'));
}

export function throwFirst(findings: readonly Refusal[]): void {
  const [first] = findings;
  if (first !== undefined) throw new Refused(first);
}

function lintKey(expected: string, found: string): Refused {
  return new Refused(refuse('LINT-KEY', expected, found, 'Make a fresh throwaway key and lint again.'));
}

// --- the issuer ------------------------------------------------------------------------------------------------------------

/** The issuer's certificate, and everything that keeps `key` from signing in its name. Throws `Refused` for one that cannot be read. */
export function readIssuer(der: Uint8Array, key: SubjectKey, usage: 'keyCertSign' | 'cRLSign'): { readonly issuer: CertificateReading; readonly faults: readonly Refusal[] } {
  const issuer = readCertificate(der);
  const faults: Refusal[] = [];
  const fault = (expected: string, found: string): number => faults.push(refuse('ISSUER-CERTIFICATE', expected, found, 'Give the certificate of the key that signs.'));
  if (!equalBytes(issuer.key.spki, key.spki)) fault('the certificate of the issuing key', `that of another key (${nameText(issuer.subject).slice(0, 100)})`);
  if (!issuer.ca) fault('a CA certificate', 'another');
  if (issuer.keyUsage !== null && !issuer.keyUsage.includes(usage)) fault(`key usage ${usage}`, issuer.keyUsage.join(', ') || 'nothing');
  if (issuer.subjectKeyId === null) fault('a subject key id', 'none');
  return { issuer, faults };
}

// --- names -----------------------------------------------------------------------------------------------------------------

/** RFC 5280 appendix A.1: country is a PrintableString; the rest is UTF8String, which new certificates should use. */
export function nameOf(subject: SubjectName): Name {
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

/** A name that stands in another file, for the library. Throws `Refused` CERTIFICATE-SUBJECT for one that it cannot hold. */
export function nameFrom(der: Uint8Array): AsnName {
  try {
    return AsnConvert.parse(der, AsnName);
  } catch {
    throw new Refused(refuse('CERTIFICATE-SUBJECT', 'a name that can be written again unchanged', nameText(der), 'Have the file made again with a plain name.'));
  }
}

/** RFC 5280 appendix A.1 gives the upper bounds: 64 characters for each of these, two letters for a country. */
export function subjectFaults(subject: SubjectName): Refusal[] {
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

// --- dates -----------------------------------------------------------------------------------------------------------------

/** Whole seconds from 1950 to 9999, and the end after the beginning. */
export function dateFaults(rule: string, begin: Date, end: Date): Refusal[] {
  const faults: Refusal[] = [];
  const add = (expected: string, found: string): void => {
    faults.push(refuse(rule, expected, found, NEXT_PROFILE));
  };
  for (const date of [begin, end]) {
    const time = date.getTime();
    // UTCTime reaches back to 1950 (RFC 5280 section 4.1.2.5.1); GeneralizedTime ends with the year 9999.
    if (Number.isNaN(time) || time % 1000 !== 0) add('dates in whole seconds', 'something else');
    else if (date.getUTCFullYear() < 1950 || date.getUTCFullYear() > 9999) add('a year from 1950 to 9999', `${date.getUTCFullYear()}`);
  }
  if (faults.length === 0 && end.getTime() <= begin.getTime()) add('an end after the beginning', 'an end before it');
  return faults;
}

/** RFC 5280 sections 4.1.2.5 and 5.1.2.4: UTCTime up to 2049, GeneralizedTime from 2050; null when it is so. */
export function timeFault(time: Time): string | null {
  const year = time.getTime().getUTCFullYear();
  if (time.utcTime !== undefined) return year <= 2049 ? null : `UTCTime for ${year}`;
  return year >= 2050 ? null : `GeneralizedTime for ${year}`;
}
