/**
 * A self-signed certificate of an end entity: what servers and applications are given until a CA has certified their key.
 *
 * It is no CA's and says so. Nothing here signs for anybody else: subject and issuer are one, and the signature is verified under
 * the key that is in the certificate before it is given out. CA certificates are x509.ts' part.
 */
import 'reflect-metadata';
import { BasicConstraintsExtension, KeyUsageFlags, KeyUsagesExtension, SubjectKeyIdentifierExtension, X509CertificateGenerator } from '@peculiar/x509';
import { forWebCrypto, toHex } from '../bytes.ts';
import { refuse } from '../refusal.ts';
import { certificateSignatureFindings, readCertificate } from './chain.ts';
import { dateFaults, issuingKey, keyIdentifier, made, nameOf, subjectFaults, throwFirst, type SubjectName, type TbsSigner } from './issue.ts';
import { keyFindings } from './subject-key.ts';

export interface SelfSignedProfile {
  readonly subject: SubjectName;
  /** Of the registry. */
  readonly algorithm: string;
  readonly spki: Uint8Array;
  /** RFC 5280 section 4.1.2.2: positive, at most 20 octets. */
  readonly serialNumber: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** DER. Throws `Refused`: CERTIFICATE-SUBJECT, CERTIFICATE-SERIAL, CERTIFICATE-DATES, CERTIFICATE-KEY, WEAK-*, or what its signature breaks. */
export async function makeSelfSigned({ subject, algorithm, spki, serialNumber, notBefore, notAfter }: SelfSignedProfile, sign: TbsSigner): Promise<Uint8Array> {
  const [first = 0x80] = serialNumber;
  const serialIsSound = serialNumber.length >= 8 && serialNumber.length <= 20 && first > 0 && first < 0x80;
  throwFirst([
    ...subjectFaults(subject), ...dateFaults('CERTIFICATE-DATES', notBefore, notAfter),
    ...(serialIsSound ? [] : [refuse('CERTIFICATE-SERIAL', 'a positive number of 8 to 20 octets, none of them wasted', 'something else', 'Draw another serial number.')]),
  ]);
  const { row, key } = issuingKey(algorithm, spki);
  throwFirst(keyFindings(key));
  const name = nameOf(subject);
  const { der } = await made(row, sign, key.spki, async (signer) => {
    const certificate = await X509CertificateGenerator.create({
      serialNumber: toHex(serialNumber), subject: name, issuer: name, notBefore, notAfter, publicKey: forWebCrypto(key.spki),
      signingAlgorithm: signer.algorithm as EcdsaParams, signingKey: signer.key,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new SubjectKeyIdentifierExtension(toHex(keyIdentifier(key)), false),
      ],
    }, signer.crypto);
    return new Uint8Array(certificate.rawData);
  });
  const reading = readCertificate(der);
  throwFirst(await certificateSignatureFindings(reading, reading.key));
  return der;
}
