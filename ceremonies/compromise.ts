/**
 * Which certificates the compromise of a key concerns: computed from the key's record and from the certificates that people brought, by the
 * one who records it and again by every auditor.
 *
 * A certificate is tied to the key by its public key, or by the name and key identifier of its issuer; the signature is then verified, and
 * one that does not verify is told all the same: somebody may have meant it to look so. It decides nothing.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes, fromBase64url, toHex } from './bytes.ts';
import type { AffectedCertificate, Evidence, Input } from './evidence.ts';
import { certificatesIn } from './inputs.ts';
import type { KeyRecord } from './key-record.ts';
import { readCertificate, type CertificateReading } from './keys/chain.ts';
import { nameText } from './keys/signed.ts';
import { verifyIssued } from './keys/x509.ts';
import { Refused, refuse } from './refusal.ts';
import { ALWAYS, instantOf } from './statements.ts';

/** Since when, as the script says it; `always`: since the key's own certificate began. Null where the script says none. Throws `Refused` STATE-SINCE where there is no such certificate. */
export function sinceOf(said: string | undefined, { certificate }: Pick<KeyRecord, 'certificate'>): string | null {
  if (said === undefined) return null;
  if (said !== ALWAYS) return instantOf(said);
  if (certificate === null) throw new Refused(refuse('STATE-SINCE', `a day or a time: ${ALWAYS} means since the key's certificate began`, 'a key without a certificate', 'Open the ceremony again with a day from which on the key is not to be trusted.'));
  return readCertificate(fromBase64url(certificate)).notBefore.toISOString();
}

interface Read extends CertificateReading { readonly der: Uint8Array; readonly sha256: string }

function read(der: Uint8Array): Read {
  return { ...readCertificate(der), der, sha256: toHex(sha256(der)) };
}

/** Where nothing was compromised. */
export const NOTHING_AFFECTED = { certificates: [], unaffected: 0 } as const;

/** `file`: certificates that people brought, or none. */
export async function affectedBy({ key, certificate }: Pick<KeyRecord, 'key' | 'certificate'>, file: Pick<Input, 'bytes'> | null): Promise<Pick<Evidence<'set-state'>, 'certificates' | 'unaffected'>> {
  const spki = fromBase64url(key.spki);
  const all = new Map([...certificate === null ? [] : [fromBase64url(certificate)], ...file === null ? [] : certificatesIn(fromBase64url(file.bytes))].map((der) => read(der)).map((one) => [one.sha256, one]));
  const affected = new Map<string, AffectedCertificate>();
  const tell = (one: Read, why: AffectedCertificate['why'], proven: boolean) => affected.set(one.sha256, {
    why, subject: nameText(one.subject).slice(0, 400), issuer: nameText(one.issuer).slice(0, 400), serial: one.serial, sha256: one.sha256, notAfter: one.notAfter.toISOString(), proven,
  });
  const own = [...all.values()].filter((one) => equalBytes(one.key.spki, spki));
  for (const one of own) tell(one, 'own', true);
  // From each CA to what it signed, until nothing new is found: a certificate is looked at once for each CA above it.
  for (let issuers = own; issuers.length > 0;) {
    const found: Read[] = [];
    for (const one of all.values()) {
      if (affected.has(one.sha256)) continue;
      const issuer = issuers.find((ca) => equalBytes(ca.subject, one.issuer) && (ca.subjectKeyId === null || one.authorityKeyId === null || ca.subjectKeyId === one.authorityKeyId));
      // One that is signed with its own key stands without this one.
      if (issuer === undefined || (equalBytes(one.subject, one.issuer) && await verifies(one, one))) continue;
      tell(one, own.includes(issuer) ? 'issued' : 'below', await verifies(one, issuer));
      found.push(one);
    }
    issuers = found.filter(({ ca }) => ca);
  }
  return { certificates: [...affected.values()], unaffected: all.size - affected.size };
}

async function verifies({ der }: Read, { key }: Read): Promise<boolean> {
  try {
    return await verifyIssued(der, key.spki);
  } catch (error) {
    if (error instanceof Refused) return false; // of an algorithm that is not known here
    throw error;
  }
}
