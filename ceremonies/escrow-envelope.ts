/**
 * What is inside an escrow's envelope as far as anybody can see who does not open it: to whom it is sealed, with what, and what it
 * says of itself. The auditor asks here whether an envelope is the one that its record describes.
 *
 * Beside escrow.ts, because reading CMS and certificates brings libraries along that the first screen does not need. Nothing here
 * opens an envelope or holds a secret.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes, fromBase64url, toHex } from './bytes.ts';
import { escrowWords, readEscrowRecord, termsDigest, type Deposit, type EscrowTerms } from './escrow.ts';
import type { EscrowAgent, Input } from './evidence.ts';
import { CONTENT, identifierText, readEnvelope, readRecipient, type Recipient, type Sealing } from './keys/envelope.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';

/** The backup key: 32 bytes, and as many of ciphertext in AES-256-GCM. */
const DEPOSIT_BYTES = 32;

/** How the record names whoever can open the envelope. */
export function agentOf({ key, identifier }: Recipient): EscrowAgent {
  return { algorithm: key.label, identifier: identifierText(identifier).slice(0, 300), sha256: toHex(sha256(key.spki)) };
}

/** What a file says of an agent's key: a certificate or a bare public key. Throws `Refused` as `readRecipient` does. */
export function agentIn(file: Uint8Array): EscrowAgent {
  return agentOf(readRecipient(file, null));
}

/** How the backup key is sealed under these terms: what is public of it, authenticated with it. */
export function depositSealing(terms: EscrowTerms): Pick<Sealing, 'description' | 'contentIdentifier'> {
  return { description: escrowWords(terms), contentIdentifier: termsDigest(terms) };
}

/** Everything in which an envelope is not the one of these terms; nothing where it is. Throws nothing: what cannot be read is a finding. */
export function envelopeFindings(terms: EscrowTerms, der: Uint8Array): Refusal[] {
  const find = (holds: boolean, expected: string, found: string): Refusal[] => (holds ? [] : [refuse('ESCROW-TERMS', expected, found, 'Do not rely on this envelope. Ask the people of the deposit, and the agent, for theirs.')]);
  try {
    const { authenticated, contentType, cipher, encryptedContent, recipients, description, contentIdentifier } = readEnvelope(der);
    const [one, ...others] = recipients;
    const wanted = termsDigest(terms);
    return [
      ...find(authenticated && contentType === CONTENT.data && cipher.kind === 'gcm' && cipher.keyBytes === 32 && encryptedContent?.length === DEPOSIT_BYTES, `${DEPOSIT_BYTES} bytes in AuthEnvelopedData with AES-256-GCM`, `${encryptedContent?.length ?? 0} bytes with ${cipher.label}${authenticated ? '' : ', not authenticated'}`),
      ...find(one?.kind === 'kem' && others.length === 0 && one.row.label === terms.agent.algorithm && identifierText(one.identifier).slice(0, 300) === terms.agent.identifier, `one recipient: ${terms.agent.algorithm}, ${terms.agent.identifier}`, recipients.map((recipient) => (recipient.kind === 'kem' ? `${recipient.row.label}, ${identifierText(recipient.identifier)}` : recipient.method)).join('; ')),
      ...find(description === escrowWords(terms), escrowWords(terms), description ?? 'no words'),
      ...find(contentIdentifier !== null && equalBytes(contentIdentifier, wanted), `content identifier ${toHex(wanted)}`, contentIdentifier === null ? 'none' : toHex(contentIdentifier)),
    ];
  } catch (error) {
    if (error instanceof Refused) return [error.refusal];
    throw error;
  }
}

/** In a ceremony to which an escrow is brought: whether its envelope is the one that its record describes. */
export function broughtFindings(inputs: Readonly<Record<string, Input>>): Refusal[] {
  const bytes = (kind: Input['kind']) => Object.values(inputs).filter((input) => input.kind === kind).map((input) => fromBase64url(input.bytes));
  const [escrow] = bytes('escrow');
  const [envelope] = bytes('envelope');
  return escrow && envelope ? envelopeFindings(readEscrowRecord(escrow), envelope) : [];
}

/** A deposit as its evidence has it: sealed to whom people brought, valid then, under the terms of the script. `at`: the time of its entry. */
export function depositFindings(deposit: Deposit, recipient: Uint8Array, at: Date): Refusal[] {
  const { record, envelope } = deposit;
  const { name: _name, ...agent } = record.agent;
  const wanted = agentOf(readRecipient(recipient, at));
  const same = wanted.sha256 === agent.sha256 && wanted.algorithm === agent.algorithm && wanted.identifier === agent.identifier;
  return [
    ...same ? [] : [refuse('ESCROW-AGENT', `${wanted.algorithm}, ${wanted.identifier}, ${wanted.sha256}`, `${agent.algorithm}, ${agent.identifier}, ${agent.sha256}`, 'Do not rely on this envelope: it is sealed to somebody else.')],
    ...envelopeFindings(record, fromBase64url(envelope)),
  ];
}
