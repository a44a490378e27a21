/**
 * Files that people bring to a ceremony: an existing key's record, a certificate request, another CA's certificate, a list
 * of revocations, the CRL before. Each is checked completely before the record is opened and is then kept whole in its
 * first entry, so that the auditor reads what the officer read.
 *
 * This file says what such a file must be and puts it into words. It opens nothing and decides nothing about the ceremony.
 */
import { equalBytes, fromBase64url, toHex } from './bytes.ts';
import type { Input } from './evidence.ts';
import { keyFault, readKeyRecord } from './key-record.ts';
import { certificateFindings, readCertificate, type CertificateReading } from './keys/chain.ts';
import { readRequest, requestFindings } from './keys/request.ts';
import { derOf, nameText, type PEM_LABELS } from './keys/signed.ts';
import { Refused, type Refusal } from './refusal.ts';

/** The DER of a request, certificate or CRL that came as PEM or as DER. Throws `Refused` PEM. */
export function inputDer(input: Input & { kind: keyof typeof PEM_LABELS }): Uint8Array {
  return derOf(fromBase64url(input.bytes), input.kind);
}

/** Everything wrong with a file that was brought: a ceremony is opened with none of it, and the auditor asks again. */
export async function inputFindings(input: Input): Promise<Refusal[]> {
  try {
    switch (input.kind) {
      case 'key': {
        const record = readKeyRecord(fromBase64url(input.bytes));
        const certificate = readCertificate(fromBase64url(record.certificate));
        if (!equalBytes(certificate.key.spki, fromBase64url(record.key.spki))) throw keyFault('the certificate of this key', 'that of another key');
        return certificateFindings(certificate);
      }
      case 'request': return await requestFindings(readRequest(inputDer({ ...input, kind: 'request' })));
      case 'certificate': return certificateFindings(readCertificate(inputDer({ ...input, kind: 'certificate' })));
      // What makes or reads a CRL brings a library along that the first screen does not need.
      case 'revocations': (await import('./keys/crl.ts')).parseRevocations(fromBase64url(input.bytes)); return [];
      case 'crl': return (await import('./keys/crl.ts')).lintCrl(inputDer({ ...input, kind: 'crl' }));
    }
  } catch (error) {
    if (error instanceof Refused) return [error.refusal];
    throw error;
  }
}

export interface Fact {
  readonly name: string;
  readonly value: string;
}

/** What a file says, for the people who compare it with their paper. Throws `Refused` for one that cannot be read. */
export async function inputFacts(input: Input): Promise<Fact[]> {
  const facts: [string, string][] = [];
  switch (input.kind) {
    case 'key': {
      const { label, token, profile, key, certificate } = readKeyRecord(fromBase64url(input.bytes));
      facts.push(['key', label], ['on the token', token], ['algorithm', key.algorithm],
        ...key.parts.map((part): [string, string] => [part.part === 'key' ? 'held' : part.part, part.held === 'token' ? 'on the token' : 'wrapped under a key of the token']),
        ...profile === null ? [] : [['made under the draft', profile] as [string, string]], ...certificateFacts(readCertificate(fromBase64url(certificate))));
      break;
    }
    case 'request': {
      const request = readRequest(inputDer({ ...input, kind: 'request' }));
      facts.push(['subject', nameText(request.subject)], ['public key', request.key.label]);
      break;
    }
    case 'certificate': facts.push(...certificateFacts(readCertificate(inputDer({ ...input, kind: 'certificate' })))); break;
    case 'revocations': {
      const revoked = (await import('./keys/crl.ts')).parseRevocations(fromBase64url(input.bytes));
      facts.push(['certificates to revoke', `${revoked.length}`], ...revoked.slice(0, 20).map((one): [string, string] => [toHex(one.serialNumber), `${one.date.toISOString().slice(0, 10)}, ${one.reason}`]));
      if (revoked.length > 20) facts.push(['and more', `${revoked.length - 20}`]);
      break;
    }
    case 'crl': {
      const { number, thisUpdate, revoked } = (await import('./keys/crl.ts')).readCrl(inputDer({ ...input, kind: 'crl' }));
      facts.push(['CRL number', `${number}`], ['of', thisUpdate.toISOString()], ['certificates on it', `${revoked.length}`]);
      break;
    }
  }
  return facts.map(([name, value]) => ({ name, value }));
}

function certificateFacts(certificate: CertificateReading): [string, string][] {
  return [
    ['subject', nameText(certificate.subject)], ['issuer', nameText(certificate.issuer)], ['serial number', certificate.serial],
    ['valid', `${certificate.notBefore.toISOString().slice(0, 10)} to ${certificate.notAfter.toISOString().slice(0, 10)}`], ['public key', certificate.key.label],
  ];
}
