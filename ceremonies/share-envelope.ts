/**
 * What is inside the envelope of a share as far as anybody can see who does not open it: to whom it is sealed, with what, and what it
 * says of itself. And the file with the custodians' public keys.
 *
 * Beside share-copies.ts, because reading CMS and certificates brings libraries along that the first screen does not need. Nothing here
 * opens an envelope or holds a secret.
 */
import type { BackupRecord } from './backup-record.ts';
import { equalBytes, fromBase64url, toHex, utf8 } from './bytes.ts';
import { agentOf } from './escrow-envelope.ts';
import type { EscrowAgent, Evidence } from './evidence.ts';
import { TAG } from './keys/der.ts';
import { CONTENT, identifierText, readEnvelope, readRecipient, type Recipient, type Sealing } from './keys/envelope.ts';
import { pem, readPem } from './keys/signed.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';
import { copyWords } from './share-copies.ts';

type Of = Pick<BackupRecord, 'mode' | 'label' | 'set' | 'shares'>;

const OTHER_FILE = 'Bring one file with a key of every custodian\'s own, in the order of their seats. Nothing was touched.';
const NOT_THIS = 'Do not rely on this envelope. Keep it apart, and ask its holder for the right one.';
/** A share record has about 310 bytes; nothing longer was ever sealed as one. */
const LONGEST_SHARE = 1200;

/** A key for every custodian, in the order of their seats: PEM, certificates or public keys; one alone may be DER. Throws `Refused` as `readRecipient`, and RECIPIENT-OWN. */
export function readRecipients(file: Uint8Array, at: Date | null): Recipient[] {
  const recipients = file[0] === TAG.sequence ? [readRecipient(file, at)] : readPem(file, ['CERTIFICATE', 'PUBLIC KEY']).map(({ label, der }) => readRecipient(utf8(pem(label, der)), at));
  const seen = new Set<string>();
  for (const [index, { key }] of recipients.entries()) {
    const name = toHex(key.spki);
    if (seen.has(name)) throw new Refused(refuse('RECIPIENT-OWN', 'a key of every custodian\'s own', `key ${index + 1} once more`, OTHER_FILE));
    seen.add(name);
  }
  return recipients;
}

/** The key of one custodian, `number` counted from 1, of so many. Throws `Refused` as `readRecipients`, and RECIPIENT-EACH. */
export function recipientOf(file: Uint8Array, at: Date | null, number: number, of: number): Recipient {
  const recipients = readRecipients(file, at);
  const own = recipients[number - 1];
  if (own === undefined || recipients.length !== of) throw new Refused(refuse('RECIPIENT-EACH', `${of} keys, one for every custodian`, `${recipients.length}`, OTHER_FILE));
  return own;
}

/** How a share is sealed: what is public of it, authenticated with it. The commitment binds the header of the share and the share itself. */
export function copySealing(record: Of, x: number): Required<Pick<Sealing, 'description' | 'contentIdentifier'>> {
  return { description: copyWords(record, x), contentIdentifier: fromBase64url(record.set.commitments[x - 1] ?? '') };
}

/** Everything in which an envelope is not the one of this share; nothing where it is. `recipient` null: whoever can open it. Throws nothing: what cannot be read is a finding. */
export function copyFindings(record: Of, x: number, der: Uint8Array, recipient: EscrowAgent | null): Refusal[] {
  const find = (holds: boolean, expected: string, found: string): Refusal[] => (holds ? [] : [refuse('COPY-ENVELOPE', expected, found, NOT_THIS)]);
  try {
    const { authenticated, contentType, cipher, encryptedContent, recipients, description, contentIdentifier } = readEnvelope(der);
    const [one, ...others] = recipients;
    const wanted = copySealing(record, x);
    const bytes = encryptedContent?.length ?? 0;
    const named = one?.kind === 'kem' && others.length === 0 && (recipient === null || (one.row.label === recipient.algorithm && identifierText(one.identifier).slice(0, 300) === recipient.identifier));
    return [
      ...find(authenticated && contentType === CONTENT.data && cipher.kind === 'gcm' && cipher.keyBytes === 32 && bytes > 0 && bytes <= LONGEST_SHARE, 'a share in AuthEnvelopedData with AES-256-GCM', `${bytes} bytes with ${cipher.label}${authenticated ? '' : ', not authenticated'}`),
      ...find(named, recipient === null ? 'one recipient with a KEM key' : `one recipient: ${recipient.algorithm}, ${recipient.identifier}`, recipients.map((other) => (other.kind === 'kem' ? `${other.row.label}, ${identifierText(other.identifier)}` : other.method)).join('; ')),
      ...find(description === wanted.description, wanted.description, description ?? 'no words'),
      ...find(contentIdentifier !== null && equalBytes(contentIdentifier, wanted.contentIdentifier), `content identifier ${toHex(wanted.contentIdentifier)}`, contentIdentifier === null ? 'none' : toHex(contentIdentifier)),
    ];
  } catch (error) {
    if (error instanceof Refused) return [error.refusal];
    throw error;
  }
}

/** An envelope as its evidence has it: sealed to the key that people brought for this custodian, valid then. `at`: the time of its entry. */
export function sealedFindings(record: Of, { x, recipient, envelope }: Evidence<'seal-copy'>, own: () => Recipient): Refusal[] {
  const wanted = agentOf(own());
  const same = wanted.sha256 === recipient.sha256 && wanted.algorithm === recipient.algorithm && wanted.identifier === recipient.identifier;
  return [
    ...same ? [] : [refuse('RECIPIENT-OWN', `${wanted.algorithm}, ${wanted.identifier}, ${wanted.sha256}`, `${recipient.algorithm}, ${recipient.identifier}, ${recipient.sha256}`, 'Do not rely on this envelope: it is sealed to somebody else.')],
    ...copyFindings(record, x, fromBase64url(envelope), recipient),
  ];
}
