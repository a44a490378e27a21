/**
 * Files that people bring to a ceremony: an existing key's record, a certificate request, proven or stated, another CA's certificate, a list
 * of revocations, the CRL before. Each is checked completely before the record is opened and is then kept whole in its
 * first entry, so that the auditor reads what the officer read.
 *
 * This file says what such a file must be and puts it into words. It opens nothing and decides nothing about the ceremony.
 */
import { equalBytes, fromBase64url, toHex } from './bytes.ts';
import type { Input, ShareSet } from './evidence.ts';
import { readActivationRecord } from './activation.ts';
import { backupFault, readBackupRecord, type KeptShares } from './backup-record.ts';
import { readCopyList } from './destruction.ts';
import { readEscrowRecord } from './escrow.ts';
import { keyFault, readKeyRecord, secretFault } from './key-record.ts';
import { caAlgorithmNamed, componentsOf } from './keys/algorithms.ts';
import { certificateFindings, readCertificate, type CertificateReading } from './keys/chain.ts';
import { checkRequest, checkStatedRequest, readRequest } from './keys/request.ts';
import { derOf, nameText, PEM_LABELS, readPem } from './keys/signed.ts';
import { compositeFromParts, keyFindings, readSubjectKey } from './keys/subject-key.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';
import { readMovements, thingName } from './shares/movements.ts';

/** The DER of a request, certificate or CRL that came as PEM or as DER. Throws `Refused` PEM. */
export function inputDer(input: Input & { kind: keyof typeof PEM_LABELS }): Uint8Array {
  return derOf(fromBase64url(input.bytes), input.kind);
}

/** The DER of every certificate of a file. Throws `Refused` PEM. */
export function certificatesIn(file: Uint8Array): Uint8Array[] {
  return readPem(file, PEM_LABELS.certificate).map(({ der }) => der);
}

/** Everything wrong with a file that was brought: a ceremony is opened with none of it, and the auditor asks again. */
export async function inputFindings(input: Input): Promise<Refusal[]> {
  const secret = secretFault(fromBase64url(input.bytes));
  if (secret) return [secret];
  try {
    switch (input.kind) {
      case 'key': {
        const record = readKeyRecord(fromBase64url(input.bytes));
        const certificate = record.certificate === null ? null : readCertificate(fromBase64url(record.certificate));
        if (certificate && !equalBytes(certificate.key.spki, fromBase64url(record.key.spki))) throw keyFault('the certificate of this key', 'that of another key');
        return [...keyPartsFindings(record.key.algorithm, record.key.spki, record.key.parts), ...certificate ? certificateFindings(certificate) : []];
      }
      case 'backup': {
        const { key, certificate } = readBackupRecord(fromBase64url(input.bytes));
        const own = certificate === null ? null : readCertificate(fromBase64url(certificate));
        if (own && !equalBytes(own.key.spki, fromBase64url(key.spki))) throw backupFault('the certificate of this key', 'that of another key');
        return [...keyPartsFindings(key.algorithm, key.spki, key.parts), ...own ? certificateFindings(own) : []];
      }
      case 'request': return await checkRequest(inputDer({ ...input, kind: 'request' }));
      case 'stated-request': return await checkStatedRequest(inputDer({ ...input, kind: 'stated-request' }));
      case 'certificate': return certificateFindings(readCertificate(inputDer({ ...input, kind: 'certificate' })));
      // A weak certificate may depend on a key as well as a strong one: only what cannot be read is a fault.
      case 'certificates': for (const der of certificatesIn(fromBase64url(input.bytes))) readCertificate(der); return [];
      // What makes or reads a CRL brings a library along that the first screen does not need.
      case 'revocations': (await import('./keys/crl.ts')).parseRevocations(fromBase64url(input.bytes)); return [];
      case 'copies': readCopyList(fromBase64url(input.bytes)); return [];
      case 'activation': readActivationRecord(fromBase64url(input.bytes)); return [];
      case 'movements': readMovements(fromBase64url(input.bytes)); return [];
      case 'recipient': (await import('./escrow-envelope.ts')).agentIn(fromBase64url(input.bytes)); return [];
      case 'recipients': (await import('./share-envelope.ts')).readRecipients(fromBase64url(input.bytes), null); return [];
      case 'escrow': readEscrowRecord(fromBase64url(input.bytes)); return [];
      case 'envelope': (await import('./keys/envelope.ts')).readEnvelope(fromBase64url(input.bytes)); return [];
      case 'crl': return (await import('./keys/crl.ts')).lintCrl(inputDer({ ...input, kind: 'crl' }));
    }
  } catch (error) {
    if (error instanceof Refused) return [error.refusal];
    throw error;
  }
}

/** Every part of its algorithm and not weak; a composite is its two halves and nothing else. Throws `Refused` for what cannot be read. */
export function keyPartsFindings(algorithm: string, spki: string, parts: readonly { readonly spki: string }[]): Refusal[] {
  const next = 'Do not rely on this key.';
  const row = caAlgorithmNamed(algorithm);
  const whole = readSubjectKey(fromBase64url(spki));
  const findings = parts.flatMap((part, index) => {
    const key = readSubjectKey(fromBase64url(part.spki));
    const wanted = componentsOf(row)[index]?.label ?? 'no further part';
    return [...key.label === wanted ? [] : [refuse('PUBLIC-PARAMETERS', wanted, key.label, next)], ...keyFindings(key)];
  });
  // Halves in each other's place have no lengths of a composite: what cannot be joined is told above.
  if (findings.some((finding) => finding.rule === 'PUBLIC-PARAMETERS')) return findings;
  const joined = row.family === 'composite-signature' ? compositeFromParts(row, parts.map((part) => fromBase64url(part.spki))) : fromBase64url(parts[0]?.spki ?? '');
  return equalBytes(joined, whole.spki) ? findings : [...findings, refuse('PUBLIC-PARAMETERS', `a ${row.label} key of these parts`, 'another key', next)];
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
        ...profile === null ? [] : [['made under the draft', profile] as [string, string]], ...ownCertificateFacts(certificate));
      break;
    }
    case 'backup': {
      const { mode, label, token, profile, key, certificate, set, shares } = readBackupRecord(fromBase64url(input.bytes));
      facts.push(['backup of the key', label], ...mode === 'rehearsal' ? [['made in', 'a rehearsal'] as [string, string]] : [], ['made on the token', token], ['algorithm', key.algorithm],
        ...profile === null ? [] : [['made under the draft', profile] as [string, string]],
        ['recovered by', `any ${set.threshold} of ${set.shares} shares`], ...setFacts(set, shares),
        ...ownCertificateFacts(certificate));
      break;
    }
    case 'activation': {
      const { mode, token, pin, set, shares } = readActivationRecord(fromBase64url(input.bytes));
      facts.push(['opens the token', token.serial], ['its label and model', `"${token.label}", ${token.manufacturer} ${token.model}`], ...mode === 'rehearsal' ? [['made in', 'a rehearsal'] as [string, string]] : [],
        ['opened by', `any ${set.threshold} of ${set.shares} shares`], [pin.whose === 'so' ? 'its security officer\'s PIN (SO)' : 'its PIN', `${pin.length} characters, which nobody knows`], ...setFacts(set, shares));
      break;
    }
    case 'request': {
      const request = readRequest(inputDer({ ...input, kind: 'request' }));
      facts.push(['subject', nameText(request.subject)], ['public key', request.key.label]);
      break;
    }
    case 'stated-request': {
      const { subject, key, statement } = readRequest(inputDer({ ...input, kind: 'stated-request' }));
      facts.push(['subject', nameText(subject)], ['public key', key.label], ['possession', 'stated, not proven (RFC 9883)']);
      if (statement?.certificate) facts.push(...certificateFacts(statement.certificate).map(([name, value]): [string, string] => [`stated by: ${name}`, value]));
      break;
    }
    case 'certificate': facts.push(...certificateFacts(readCertificate(inputDer({ ...input, kind: 'certificate' })))); break;
    case 'certificates': {
      const all = certificatesIn(fromBase64url(input.bytes)).map((der) => readCertificate(der));
      facts.push(['certificates', `${all.length}`], ...all.slice(0, 20).map(({ serial, subject }): [string, string] => [serial, nameText(subject)]));
      if (all.length > 20) facts.push(['and more', `${all.length - 20}`]);
      break;
    }
    case 'revocations': {
      const revoked = (await import('./keys/crl.ts')).parseRevocations(fromBase64url(input.bytes));
      facts.push(['certificates to revoke', `${revoked.length}`], ...revoked.slice(0, 20).map((one): [string, string] => [toHex(one.serialNumber), `${one.date.toISOString().slice(0, 10)}, ${one.reason}`]));
      if (revoked.length > 20) facts.push(['and more', `${revoked.length - 20}`]);
      break;
    }
    case 'copies': {
      const list = readCopyList(fromBase64url(input.bytes));
      facts.push(['key', `${list.key.label} (${list.key.algorithm})`], ['known as', list.key.identity], ...list.copies.map(({ what }, index): [string, string] => [`copy ${index + 1}`, what]));
      for (const words of list.unknown) facts.push(['not known', words]);
      if (list.dependants.length > 0) facts.push(['depends on it', list.dependants.join('; ')], ['destroyed all the same because', list.despite]);
      break;
    }
    case 'recipient': {
      const { algorithm, identifier, sha256 } = (await import('./escrow-envelope.ts')).agentIn(fromBase64url(input.bytes));
      facts.push(['public key', algorithm], ['named in the envelope as', identifier], ['SHA-256 of the public key', sha256]);
      break;
    }
    case 'recipients': {
      const { agentOf } = await import('./escrow-envelope.ts');
      (await import('./share-envelope.ts')).readRecipients(fromBase64url(input.bytes), null).forEach((recipient, index) => {
        const { algorithm, identifier, sha256 } = agentOf(recipient);
        facts.push([`custodian ${index + 1}`, `${algorithm}, ${identifier}`], [`SHA-256 of key ${index + 1}`, sha256]);
      });
      break;
    }
    case 'escrow': {
      const { mode, key, set, agent, purpose, authority, conditions, sha256 } = readEscrowRecord(fromBase64url(input.bytes));
      facts.push(['escrow of the key', `${key.label} (${key.algorithm})`], ['known as', key.identity], ...mode === 'rehearsal' ? [['made in', 'a rehearsal'] as [string, string]] : [], ['set', `${set.id}, epoch ${set.epoch}`],
        ['agent', agent.name], ['agent\'s key', `${agent.algorithm}, ${agent.identifier}`], ['SHA-256 of that key', agent.sha256],
        ['purpose', purpose], ['authority', authority], ['conditions', conditions], ['SHA-256 of the envelope', sha256]);
      break;
    }
    case 'envelope': {
      const { authenticated, cipher, recipients, description } = (await import('./keys/envelope.ts')).readEnvelope(fromBase64url(input.bytes));
      facts.push(['sealed with', `${cipher.label}${authenticated ? '' : ', NOT authenticated'}`], ['to', recipients.map((one) => (one.kind === 'kem' ? one.row.label : one.method)).join(', ')], ['it says of itself', description ?? 'nothing']);
      break;
    }
    // Every line: the people in the room compare each with their paper.
    case 'movements':
      for (const movement of readMovements(fromBase64url(input.bytes))) {
        const { share, from, fromSite, to, toSite, reason } = movement;
        facts.push([thingName(movement), `${from}, ${fromSite} → ${to}, ${toSite}${share ? `; share ${share.x} of set ${share.set}` : ''}: ${reason}`]);
      }
      break;
    case 'crl': {
      const { number, thisUpdate, revoked } = (await import('./keys/crl.ts')).readCrl(inputDer({ ...input, kind: 'crl' }));
      facts.push(['CRL number', number === null ? 'none' : `${number}`], ['of', thisUpdate.toISOString()], ['certificates on it', `${revoked.length}`]);
      break;
    }
  }
  return facts.map(([name, value]) => ({ name, value }));
}

function setFacts(set: ShareSet, shares: KeptShares): [string, string][] {
  return [
    ['set', `${set.id}, epoch ${set.epoch}`],
    ...shares.slice(0, 20).map(({ x, card, holder }): [string, string] => [`share ${x}`, `${holder}, on card ${card}`]),
    ...shares.length > 20 ? [['and more', `${shares.length - 20}`] as [string, string]] : [],
  ];
}

function ownCertificateFacts(certificate: string | null): [string, string][] {
  return certificate === null ? [['certificate', 'none']] : certificateFacts(readCertificate(fromBase64url(certificate)));
}

function certificateFacts(certificate: CertificateReading): [string, string][] {
  return [
    ['subject', nameText(certificate.subject)], ['issuer', nameText(certificate.issuer)], ['serial number', certificate.serial],
    ['valid', `${certificate.notBefore.toISOString().slice(0, 10)} to ${certificate.notAfter.toISOString().slice(0, 10)}`], ['public key', certificate.key.label],
  ];
}
