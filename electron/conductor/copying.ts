/**
 * What the conductor does around copies of shares besides recording them: the custodians' keys and the files of a rehearsal, and the key
 * file of whoever opens an envelope.
 *
 * As with an escrow (escrow.ts), the keys of a rehearsal stand in the data folder under the published PIN, so that it can be carried on after
 * a crash; a stand-in brings the file from there, a person chooses it like any other. It protects nothing.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BackupRecord } from '../../ceremonies/backup-record.ts';
import { fromBase64url, toBase64url, toHex, utf8 } from '../../ceremonies/bytes.ts';
import { custodianNumber, type State } from '../../ceremonies/ceremony.ts';
import { agentIn, agentOf } from '../../ceremonies/escrow-envelope.ts';
import { inputDigest, profileOfKey } from '../../ceremonies/key-record.ts';
import { importFault } from '../../ceremonies/keys/import.ts';
import type { Recipient } from '../../ceremonies/keys/envelope.ts';
import { pem } from '../../ceremonies/keys/signed.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import type { Plan, PlanStep } from '../../ceremonies/script.ts';
import { returnStep } from '../../ceremonies/share-copies.ts';
import { recipientOf } from '../../ceremonies/share-envelope.ts';
import type { ModuleConfig } from '../devices/protocol.ts';
import type { EscrowWorld } from './escrow.ts';

type SealCopy = Extract<PlanStep['do'], { action: 'seal-copy' }>;

const keyFile = (digest: string) => `rehearsal-holder-${digest.slice(0, 16)}.p8`;
/** In place of a sheet of paper, for stand-ins: the share in an envelope. */
const sheetFile = (set: string, x: number) => `rehearsal-sheet-${set}-${x}.cms`;

/** Where in the file of recipients this custodian's key stands, and how many there must be. */
export function placeOf(state: State, what: SealCopy, seat: string): { readonly recipients: string; readonly number: number; readonly of: number } {
  return { recipients: state.opening?.inputs[what.to]?.bytes ?? '', number: custodianNumber(state, seat), of: (state.plan?.seats ?? []).filter(({ role }) => role === 'custodian').length };
}

/** The key to which this custodian's share is sealed. Throws `Refused` RECIPIENT-EACH, RECIPIENT-OWN, and what speaks against the file. */
export function recipientFor(state: State, what: SealCopy, seat: string, at: Date | null): Recipient {
  const { recipients, number, of } = placeOf(state, what, seat);
  return recipientOf(fromBase64url(recipients), at, number, of);
}

export function recipientDigest(state: State, what: SealCopy, seat: string, at: Date): string {
  return agentOf(recipientFor(state, what, seat, at)).sha256;
}

/** The holder's key file: the one that was brought, or, of a stand-in, the one in the data folder. `digest`: of the key, or of the envelope that was brought. Throws `Refused` COPY-KEY-FILE, IMPORT-ENCRYPTED. */
export function holderKeyFile(brought: Uint8Array | null, standIns: boolean, home: string, holder: string, digest: string): Uint8Array {
  const file = brought ?? (standIns ? kept(home, keyFile(digest)) : null);
  if (file === null) throw new Refused(refuse('COPY-KEY-FILE', `the key file of ${holder}, encrypted`, 'none', 'Let the holder choose the file. It goes to the process of the card, and is kept nowhere. Nothing was touched.'));
  const fault = importFault(file);
  if (fault) throw new Refused(fault);
  return file;
}

/** What a stand-in brings whose share comes back from paper. Throws `Refused` COPY-PAPER-MADE. */
export function rehearsalSheet(home: string, set: string, x: number): { readonly envelope: string; readonly file: string } {
  const envelope = kept(home, sheetFile(set, x));
  if (envelope === null) throw new Refused(refuse('COPY-PAPER-MADE', 'a sheet that this machine made for the rehearsal', 'none', 'Let a person sit there who has the sheet, or have the backup made for the rehearsal.'));
  const holder = holderKeyFile(null, true, home, 'the stand-in', inputDigest({ bytes: toBase64url(envelope) }));
  return { envelope: toBase64url(envelope), file: toBase64url(holder) };
}

function kept(home: string, name: string): Uint8Array | null {
  try {
    return new Uint8Array(readFileSync(join(home, 'bundles', name)));
  } catch {
    return null; // not of a rehearsal on this machine
  }
}

// --- for a rehearsal -------------------------------------------------------------------------------------------------------

/** A key for every custodian, who do not exist: the public halves as one file; the private ones are kept for the stand-ins. */
export async function rehearsalRecipients({ call, keep }: EscrowWorld, module: ModuleConfig, plan: Plan): Promise<Uint8Array> {
  const keys: string[] = [];
  for (const { role } of plan.seats) {
    if (role !== 'custodian') continue;
    const { recipient, file } = await call(module, 'provision-agent', {});
    const spki = fromBase64url(recipient);
    keep(keyFile(agentIn(spki).sha256), fromBase64url(file));
    keys.push(pem('PUBLIC KEY', spki));
  }
  return utf8(keys.join(''));
}

/** A backup of a key that is thrown away at once, and the envelope of the one share that comes back, kept in place of the sheet where it comes from paper; of its cards there are nothing but the numbers. */
export async function rehearsalReturn({ call, keep, random }: EscrowWorld, module: ModuleConfig, token: string, plan: Plan, ca: { readonly algorithm: string; readonly place: 'token' | 'split' | 'wrapped' }): Promise<{ readonly backup: BackupRecord; readonly envelope: Uint8Array }> {
  const { share: x = 1, envelope: fromEnvelope } = returnStep(plan) ?? {};
  const seats = Array.from({ length: Math.max(3, x) }, (_, i) => `custodian-${i + 1}`);
  const made = await call(module, 'provision-backup', { token, ...ca, set: toBase64url(random(16)), threshold: 2, custodians: seats });
  try {
    const backup: BackupRecord = {
      format: 'conclave-backup/1', mode: 'rehearsal', ceremony: toHex(random(16)), label: 'REHEARSAL CA', token: 'REHEARSAL, thrown away', profile: profileOfKey(ca.algorithm),
      key: made.key, certificate: made.certificate, wrapped: made.wrapped, set: made.set,
      shares: seats.map((seat, i) => ({ x: i + 1, card: `REHEARSAL-${i + 1}`, object: `conclave-share-${i + 1}`, holder: i + 1 === x ? 'Stand-in custodian-1' : `Holder ${seat}` })),
    };
    const { mode, label, set, shares } = backup;
    const { recipient, file } = await call(module, 'provision-agent', {});
    const { envelope } = await call(module, 'provision-copy', { record: { mode, label, set, shares }, x, recipient });
    keep(keyFile(inputDigest({ bytes: envelope })), fromBase64url(file));
    if (fromEnvelope === undefined) keep(sheetFile(set.id, x), fromBase64url(envelope));
    return { backup, envelope: fromBase64url(envelope) };
  } finally {
    await call(module, 'wipe-backup-key', {});
  }
}
