/**
 * The backup key into an escrow agent's envelope, and out of it again: in the process of the token, and nowhere else.
 *
 * Sealing borrows the backup key and gives an envelope that is read back before it leaves. Opening asks for the password of the
 * agent's key file in the booth; what comes out is believed only where the envelope carries the terms of its record, the file holds
 * the agent's own key, and the split is committed to these 32 bytes. Never gives out the backup key but to its caller, who wipes it.
 */
import { createCipheriv, pbkdf2Sync, randomFillSync } from 'node:crypto';
import { sha256 } from '@noble/hashes/sha2.js';
import { concat, equalBytes, fromBase64url, toBase64url, toHex, utf8 } from '../../ceremonies/bytes.ts';
import type { EscrowTerms } from '../../ceremonies/escrow.ts';
import { agentOf, depositSealing, envelopeFindings } from '../../ceremonies/escrow-envelope.ts';
import type { EscrowAgent, ShareSet } from '../../ceremonies/evidence.ts';
import { ML_KEMS } from '../../ceremonies/keys/algorithms.ts';
import { TAG, writeDer, writeIdentifier, writeUnsigned } from '../../ceremonies/keys/der.ts';
import { openEnvelope, readEnvelope, readRecipient, sealEnvelope, sealingRandomness, withKemKey } from '../../ceremonies/keys/envelope.ts';
import { importFault, openSealedKey } from '../../ceremonies/keys/import.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import { secretCommitment } from '../../ceremonies/shares/share.ts';
import type { PinDesk } from './login.ts';
import { generateSecret } from './providers.ts';
import { REHEARSAL_PIN, type Asked } from './protocol.ts';
import { lend, secretBytes, takeBytes } from './secret.ts';
import type { Token } from './tokens.ts';

const ASK = 'Ask the agent for the envelope and the key file of this deposit. Nothing was changed.';

/** The envelope of `backup` (borrowed) under these terms. `random` fills what it is given. Throws `Refused` as `readRecipient`, and ESCROW-AGENT, ESCROW-TERMS. */
export async function sealEscrow(
  backup: Uint8Array, { recipient: file, terms, at }: { readonly recipient: string; readonly terms: EscrowTerms; readonly at: Date }, random: (length: number) => Promise<Uint8Array>,
): Promise<{ readonly agent: EscrowAgent; readonly envelope: string }> {
  const recipient = readRecipient(fromBase64url(file), at);
  const agent = agentOf(recipient);
  if (agent.sha256 !== terms.agent.sha256) throw new Refused(refuse('ESCROW-AGENT', `the agent's key, ${terms.agent.sha256}`, agent.sha256, 'Open the ceremony again with the agent\'s own key. Nothing was changed.'));
  const sealed = await lend(await random(sealingRandomness([recipient])), (randomness) => sealEnvelope({ content: backup, recipients: [recipient], ...depositSealing(terms) }, randomness));
  const [finding] = envelopeFindings(terms, sealed);
  if (finding) throw new Refused(finding);
  return { agent, envelope: toBase64url(sealed) };
}

/** The backup key out of its envelope, SECRET: the caller wipes it. Throws `Refused` IMPORT-*, ENVELOPE-*, ESCROW-TERMS, ESCROW-AGENT, ESCROW-CONTENT; Fault PIN_CANCELLED. */
export async function openEscrow(
  pins: PinDesk, token: Token, asked: Asked, { envelope: der, terms, file, set }: { readonly envelope: string; readonly terms: EscrowTerms; readonly file: string; readonly set: ShareSet },
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = fromBase64url(der);
  const sealed = fromBase64url(file);
  const [finding] = [importFault(sealed), ...envelopeFindings(terms, bytes)].filter((one) => one !== null);
  if (finding) throw new Refused(finding);
  const envelope = readEnvelope(bytes);
  return pins.ask(token, asked, 'password', async (password, accepted) => {
    const pkcs8 = takeBytes(await openSealedKey(sealed, password!));
    accepted();
    return lend(pkcs8, () => withKemKey(pkcs8, async (held) => {
      const found = toHex(sha256(held.key.spki));
      if (found !== terms.agent.sha256) throw new Refused(refuse('ESCROW-AGENT', `the key of ${terms.agent.name}, ${terms.agent.sha256}`, `another key, ${found}`, ASK));
      const backup = takeBytes((await openEnvelope(envelope, held)).content);
      // What the split is committed to since before anybody had a share: neither agent nor envelope can bring another key in.
      if (equalBytes(utf8(secretCommitment(set.id, backup)), utf8(set.secret))) return backup;
      backup.fill(0);
      throw new Refused(refuse('ESCROW-CONTENT', `the backup key of set ${set.id}`, 'something else in the envelope', ASK));
    }));
  });
}

// --- for a rehearsal -------------------------------------------------------------------------------------------------------

const PBES2 = { scheme: '1.2.840.113549.1.5.13', kdf: '1.2.840.113549.1.5.12', prf: '1.2.840.113549.2.9', cipher: '2.16.840.1.101.3.4.1.42' } as const;
const ITERATIONS = 10_000;

/** A key of an agent who does not exist: its public half, and the private one under the published PIN, which protects nothing (PBES2, RFC 8018). */
export async function rehearsalAgent(): Promise<{ readonly recipient: string; readonly file: string }> {
  const { pkcs8, spki } = await generateSecret(ML_KEMS['ml-kem-768']);
  return lend(pkcs8, async () => {
    const [salt, iv] = [randomFillSync(secretBytes(16)), randomFillSync(secretBytes(16))];
    const key = takeBytes(pbkdf2Sync(REHEARSAL_PIN, salt, ITERATIONS, 32, 'sha256'));
    return lend(key, () => {
      const cipher = createCipheriv('aes-256-cbc', key, iv);
      const encrypted = concat(cipher.update(pkcs8), cipher.final());
      const kdf = writeIdentifier(PBES2.kdf, writeDer(TAG.sequence, writeDer(TAG.octetString, salt), writeUnsigned(Uint8Array.of(ITERATIONS >> 8, ITERATIONS & 255)), writeIdentifier(PBES2.prf, writeDer(TAG.null))));
      const scheme = writeIdentifier(PBES2.scheme, writeDer(TAG.sequence, kdf, writeIdentifier(PBES2.cipher, writeDer(TAG.octetString, iv))));
      return { recipient: toBase64url(spki), file: toBase64url(writeDer(TAG.sequence, scheme, writeDer(TAG.octetString, encrypted))) };
    });
  });
}
