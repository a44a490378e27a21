/**
 * What the conductor does around an escrow besides recording it: the files of a rehearsal, and the key file of its agent.
 *
 * The agent of a rehearsal does not exist. The key file stands in the data folder, under the published PIN, so that a rehearsal can be
 * carried on after a crash; the stand-in brings it from there, a person chooses it like any other file. It protects nothing.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BackupRecord } from '../../ceremonies/backup-record.ts';
import { fromBase64url, toBase64url, toHex } from '../../ceremonies/bytes.ts';
import type { EscrowRecord, EscrowTerms } from '../../ceremonies/escrow.ts';
import { agentIn } from '../../ceremonies/escrow-envelope.ts';
import { identityOfRecord, inputDigest, profileOfKey } from '../../ceremonies/key-record.ts';
import { importFault } from '../../ceremonies/keys/import.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import type { Answer, ModuleConfig, Operation, Request } from '../devices/protocol.ts';

/** What a rehearsal's files are made with. */
export interface EscrowWorld {
  readonly call: <O extends Operation>(module: ModuleConfig, operation: O, body: Request<O>) => Promise<Answer<O>>;
  readonly random: (bytes: number) => Uint8Array;
  readonly keep: (name: string, bytes: Uint8Array) => void;
}

const agentFile = (sha256: string) => `rehearsal-agent-${sha256.slice(0, 16)}.p8`;

/** The public key of an agent for a rehearsal; the private one is kept for whoever releases. */
export async function rehearsalAgent({ call, keep }: EscrowWorld, module: ModuleConfig): Promise<Uint8Array> {
  const { recipient, file } = await call(module, 'provision-agent', {});
  const bytes = fromBase64url(recipient);
  keep(agentFile(agentIn(bytes).sha256), fromBase64url(file));
  return bytes;
}

/** A backup, its escrow and the envelope, of a key that is thrown away at once; of its shares there is nothing but the numbers. */
export async function rehearsalEscrow(world: EscrowWorld, module: ModuleConfig, token: string, ca: { readonly algorithm: string; readonly place: 'token' | 'split' | 'wrapped' }): Promise<{ readonly backup: BackupRecord; readonly escrow: EscrowRecord; readonly envelope: Uint8Array }> {
  const { call, random } = world;
  const recipient = await rehearsalAgent(world, module);
  const seats = ['custodian-1', 'custodian-2', 'custodian-3'];
  const made = await call(module, 'provision-backup', { token, ...ca, set: toBase64url(random(16)), threshold: 2, custodians: seats });
  try {
    const backup: BackupRecord = {
      format: 'conclave-backup/1', mode: 'rehearsal', ceremony: toHex(random(16)), label: 'REHEARSAL CA', token: 'REHEARSAL, thrown away', profile: profileOfKey(ca.algorithm),
      key: made.key, certificate: made.certificate, wrapped: made.wrapped, set: made.set,
      shares: seats.map((seat, i) => ({ x: i + 1, card: `REHEARSAL-${i + 1}`, object: `conclave-share-${i + 1}`, holder: `Holder ${seat}` })),
    };
    const terms: EscrowTerms = {
      format: 'conclave-escrow/1', mode: 'rehearsal', ceremony: toHex(random(16)), key: { identity: identityOfRecord(backup), label: backup.label, algorithm: made.key.algorithm },
      set: { id: made.set.id, epoch: made.set.epoch }, agent: { name: 'REHEARSAL escrow agent', ...agentIn(recipient) },
      purpose: 'Rehearsal of a release from escrow', authority: 'Nobody: it is a rehearsal', conditions: 'A rehearsal is opened, and everybody in it approves',
    };
    const { envelope } = await call(module, 'provision-escrow', { set: made.set.id, recipient: toBase64url(recipient), terms });
    return { backup, escrow: { ...terms, sha256: inputDigest({ bytes: envelope }) }, envelope: fromBase64url(envelope) };
  } finally {
    await call(module, 'wipe-backup-key', {});
  }
}

/** The agent's key file: the one that was brought, or, of a stand-in, the one in the data folder. Throws `Refused` ESCROW-KEY-FILE, IMPORT-ENCRYPTED. */
export function agentKeyFile(brought: Uint8Array | null, standIns: boolean, home: string, { agent }: EscrowRecord): Uint8Array {
  const file = brought ?? (standIns ? kept(home, agent.sha256) : null);
  if (file === null) throw new Refused(refuse('ESCROW-KEY-FILE', `the key file of ${agent.name}, encrypted`, 'none', 'Let the agent choose the file. It goes to the process of the token, and is kept nowhere. Nothing was touched.'));
  const fault = importFault(file);
  if (fault) throw new Refused(fault);
  return file;
}

function kept(home: string, sha256: string): Uint8Array | null {
  try {
    return new Uint8Array(readFileSync(join(home, 'bundles', agentFile(sha256))));
  } catch {
    return null; // not of a rehearsal on this machine
  }
}
