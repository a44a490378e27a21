/**
 * Certificate requests (PKCS#10, RFC 2986): reading one that somebody brought, judging it, and making one.
 *
 * A request is a stranger's file. It is read by `der.ts` only, its attributes are listed and otherwise ignored (the profile
 * says what a certificate holds, never the requester), and its signature proves that the requester holds the key. No
 * certificate is made here.
 */

import { refuse, Refused, type Refusal } from '../refusal.ts';
import { derFault, derParts, expectTag, readOid, readUnsigned, TAG, type Der } from './der.ts';
import type { SubjectName, TbsSigner } from './issue.ts';
import { nameFindings, pem, readSigned, type Signed } from './signed.ts';
import { keyFindings, readSubjectKey, signatureFindings, type SubjectKey } from './subject-key.ts';

export interface RequestReading extends Signed {
  /** DER of the name. */
  readonly subject: Uint8Array;
  readonly key: SubjectKey;
  /** DER SubjectPublicKeyInfo, as it stands in the request. */
  readonly spki: Uint8Array;
  /** OIDs of the attributes, none of which is heeded. */
  readonly attributes: readonly string[];
  /** What keeps a certificate from being issued for it, as far as can be seen without verifying: name and key. */
  readonly findings: readonly Refusal[];
}

/** Reads a request. Throws `Refused` DER-STRUCTURE, or what its key breaks. Proof of possession is `checkRequest`'s part. */
export function readRequest(der: Uint8Array): RequestReading {
  const field = 'request';
  const { signed, body } = readSigned(der, field);
  if (readUnsigned(body[0], `${field}.version`).length !== 0) throw derFault(`${field}.version`, '0', 'another version');
  if (body.length !== 4 || body[3]?.tag !== 0xa0) throw derFault(`${field}.attributes`, 'attributes [0], though they may be empty', 'something else');
  const subject = expectTag(body[1], TAG.sequence, `${field}.subject`).bytes;
  const key = readSubjectKey(expectTag(body[2], TAG.sequence, `${field}.subjectPKInfo`).bytes);
  const findings = [...nameFindings(subject, 'REQUEST-SUBJECT'), ...cannotSign(key), ...keyFindings(key)];
  return { ...signed, subject, key, spki: key.spki, attributes: readAttributes(body[3], `${field}.attributes`), findings };
}

function readAttributes(list: Der, field: string): string[] {
  return derParts(list, field).map((attribute) => {
    const parts = derParts(expectTag(attribute, TAG.sequence, field), field);
    if (parts.length !== 2) throw derFault(field, 'a type and its values', `${parts.length} values`);
    expectTag(parts[1], TAG.set, field);
    return readOid(parts[0], field);
  });
}

/** A key that encapsulates or agrees cannot sign its own request. */
function cannotSign(key: SubjectKey): Refusal[] {
  if (key.kind !== 'kem' && key.kind !== 'xdh') return [];
  return [refuse(
    'REQUEST-KEM-KEY', 'a key that signs its own request', `${key.label}, which signs nothing`,
    'Have the owner prove possession with a certified signing key (RFC 9883), or send the certificate encrypted to this key. A CA key must sign: ask for another.',
  )];
}

/** Soundness of the key, and proof of possession: the signature under the key that is in the request. */
export async function requestFindings(request: RequestReading): Promise<Refusal[]> {
  const cannot = cannotSign(request.key);
  return [...cannot, ...keyFindings(request.key), ...(cannot.length > 0 ? [] : await possessionFindings(request))];
}

function possessionFindings({ key, signatureAlgorithm, tbs, signature }: RequestReading): Promise<Refusal[]> {
  return signatureFindings(key, signatureAlgorithm, tbs, signature);
}

/** Everything that keeps a certificate from being issued for this request: form, name, key, proof of possession. Never throws `Refused`. */
export async function checkRequest(der: Uint8Array): Promise<Refusal[]> {
  try {
    const request = readRequest(der);
    return [...request.findings, ...(cannotSign(request.key).length > 0 ? [] : await possessionFindings(request))];
  } catch (error) {
    if (error instanceof Refused) return [error.refusal];
    throw error;
  }
}

/**
 * A request for `spki`, signed by its own key; without attributes. Checked like a stranger's before it is given out.
 * Throws `Refused`: CERTIFICATE-SUBJECT, CERTIFICATE-KEY, SIGNATURE-LENGTH, or the first finding of `checkRequest`.
 */
export async function makeRequest(subject: SubjectName, algorithm: string, spki: Uint8Array, sign: TbsSigner): Promise<{ readonly der: Uint8Array; readonly pem: string }> {
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
