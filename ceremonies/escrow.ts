/**
 * A key in escrow: its backup key, sealed to an agent whom several people chose, under conditions that everybody heard; and the
 * way back, when the agent and the other approvers agree that the conditions are met.
 *
 * The agent holds an envelope and never the key: without the wrapped key of the backup record the envelope opens nothing, and
 * without the envelope the backup record opens nothing but for M custodians. `escrow.json` says what was deposited, for whom, why and
 * under which conditions; the envelope carries the digest of that in its authenticated attributes, so neither can be exchanged alone.
 *
 * Pure and light: what is inside an envelope is read by escrow-envelope.ts. Never claims that an envelope holds the right key: only
 * opening it shows that.
 */
import canonicalize from 'canonicalize';
import { sha256 } from '@noble/hashes/sha2.js';
import * as z from 'zod';
import type { BackupRecord } from './backup-record.ts';
import { readBrought } from './brought.ts';
import { fromBase64url, utf8 } from './bytes.ts';
import { Base64url, BoundedText, EscrowAgent, Hex, type Evidence, type Input, type Intent } from './evidence.ts';
import { identityOfRecord, inputDigest } from './key-record.ts';
import { backupInput, idsToRestore, modeFault } from './recovery.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';
import type { Plan, PlanStep } from './script.ts';
import { plainText } from './text.ts';

type Inputs = Readonly<Record<string, Input>>;
type Do<A extends PlanStep['do']['action']> = Extract<PlanStep['do'], { action: A }>;

const BRING = 'Bring the right file. Nothing was touched.';
const STOP = 'Stop here. Record an exception, and let officer and witness decide whether to repeat the step or to abort.';

/** What was deposited, for whom, and under which conditions. Public. */
export const EscrowRecord = z.strictObject({
  format: z.literal('conclave-escrow/1'),
  /** A rehearsal's escrow is released in rehearsals alone, and a real one never in a rehearsal. */
  mode: z.enum(['rehearsal', 'real']),
  /** The ceremony that sealed it. */
  ceremony: Hex(32).length(32),
  /** The key as the inventory names it, its label and its algorithm. */
  key: z.strictObject({ identity: BoundedText(200).min(1), label: BoundedText(64), algorithm: BoundedText(48) }),
  /** The split whose backup key is in the envelope. */
  set: z.strictObject({ id: Base64url(22).length(22), epoch: z.int().min(0).max(2 ** 31) }),
  agent: z.strictObject({ name: BoundedText(80).min(1), ...EscrowAgent.shape }),
  purpose: BoundedText(200).min(1),
  authority: BoundedText(200).min(1),
  conditions: BoundedText(200).min(1),
  /** SHA-256 of the envelope's bytes. */
  sha256: Hex(64).length(64),
});
export type EscrowRecord = z.infer<typeof EscrowRecord>;
export type EscrowTerms = Omit<EscrowRecord, 'sha256'>;

/** Reads the record of an escrow. Throws `Refused` INPUT-ESCROW, TEXT-*. */
export function readEscrowRecord(bytes: Uint8Array): EscrowRecord {
  const fault = (expected: string, found: string) => new Refused(refuse('INPUT-ESCROW', expected, found, BRING));
  const record = readBrought(EscrowRecord, bytes, 'the record of an escrow', 'conclave-escrow/1', fault);
  const { key, agent, purpose, authority, conditions } = record;
  for (const [name, words, most] of [['label', key.label, 64], ['agent', agent.name, 80], ['purpose', purpose, 200], ['authority', authority, 200], ['conditions', conditions, 200]] as const) {
    const unclear = plainText(name, words, most);
    if (unclear) throw new Refused(unclear);
  }
  return record;
}

/** The record of the escrow that this ceremony deposits: all of it but the envelope's digest. */
export function termsOf(state: { readonly ceremony: string; readonly opening: { readonly mode: EscrowRecord['mode']; readonly inputs: Inputs } | null }, what: Do<'seal-escrow'>, agent: EscrowAgent): EscrowTerms {
  const record = backupInput(state.opening?.inputs, what.from);
  return {
    format: 'conclave-escrow/1', mode: state.opening?.mode ?? 'rehearsal', ceremony: state.ceremony,
    key: { identity: identityOfRecord(record), label: record.label, algorithm: record.key.algorithm }, set: { id: record.set.id, epoch: record.set.epoch },
    agent: { name: what.agent, ...agent }, purpose: what.purpose, authority: what.authority, conditions: what.conditions,
  };
}

/** SHA-256 of the record without the envelope's digest, as canonical JSON: the content identifier of the envelope. */
export function termsDigest({ format, mode, ceremony, key, set, agent, purpose, authority, conditions }: EscrowTerms): Uint8Array {
  return sha256(utf8(canonicalize({ format, mode, ceremony, key, set, agent, purpose, authority, conditions } satisfies EscrowTerms) ?? ''));
}

/** What the envelope says of itself to whoever looks at it, opened or not. At most 1000 characters: each part is bounded. */
export function escrowWords({ mode, key, set, agent, purpose, authority, conditions }: EscrowTerms): string {
  return `${mode === 'rehearsal' ? 'REHEARSAL. ' : ''}Escrow: the backup key of "${key.label}" (${key.algorithm}), set ${set.id}, epoch ${set.epoch}, for ${agent.name}. Purpose: ${purpose}. Authority: ${authority}. Conditions: ${conditions}.`;
}

/** An escrow that this ceremony has deposited. */
export interface Deposit {
  readonly record: EscrowRecord;
  /** The CMS envelope, DER. */
  readonly envelope: string;
}

export function depositOf(state: Parameters<typeof termsOf>[0], what: Do<'seal-escrow'>, { agent, envelope }: Evidence<'seal-escrow'>): Deposit {
  return { record: { ...termsOf(state, what, agent), sha256: inputDigest({ bytes: envelope }) }, envelope };
}

/** The record as the bundle gives it. */
export function escrowFile(record: EscrowRecord): Uint8Array {
  return utf8(`${canonicalize(record) ?? ''}\n`);
}

// --- release -------------------------------------------------------------------------------------------------------------

/** The escrow that people brought as `name`. Throws `Refused`; the opening has read it before. */
export function releaseOf(inputs: Inputs | undefined, name: string): EscrowRecord {
  const input = inputs?.[name];
  if (input?.kind !== 'escrow') throw new Refused(refuse('INPUTS-COMPLETE', `the record of an escrow for ${name}`, 'none', STOP));
  return readEscrowRecord(fromBase64url(input.bytes));
}

/** The step of a plan that releases a key; undefined in every other ceremony. */
export function releaseStep(plan: Plan): Do<'release-escrow'> | undefined {
  return plan.steps.map((step) => step.do).find((what) => what.action === 'release-escrow');
}

/** Whether these three files belong together and may be used in this mode. Throws `Refused` for one that cannot be read. */
export function escrowOpeningFault(plan: Plan, { inputs, mode }: { readonly inputs: Inputs; readonly mode: EscrowRecord['mode'] }): Refusal | null {
  const release = releaseStep(plan);
  if (release === undefined) return null;
  const [record, escrow] = [backupInput(inputs, release.from), releaseOf(inputs, release.escrow)];
  const found = inputs[release.envelope];
  return modeFault('BACKUP-MODE', 'a backup', record.mode, mode) ?? modeFault('ESCROW-MODE', 'an escrow', escrow.mode, mode)
    ?? envelopeFault(escrow, found ? inputDigest(found) : 'none') ?? ofBackupFault(escrow, record);
}

function envelopeFault({ sha256: wanted }: EscrowRecord, found: string): Refusal | null {
  return found === wanted ? null : refuse('ESCROW-ENVELOPE', `the envelope with SHA-256 ${wanted}, which the escrow record names`, found, 'Bring the envelope that the agent was given, and escrow.json of the same deposit. Nothing was touched.');
}

/** The backup key of another key, or of a split that was replaced since, opens nothing here. */
function ofBackupFault(escrow: EscrowRecord, record: BackupRecord): Refusal | null {
  const identity = identityOfRecord(record);
  if (escrow.key.identity !== identity) return refuse('ESCROW-OF-BACKUP', `an escrow of the key ${identity}`, `one of ${escrow.key.identity}, "${escrow.key.label}"`, BRING);
  return escrow.set.id === record.set.id && escrow.set.epoch === record.set.epoch ? null
    : refuse('ESCROW-OF-BACKUP', `an escrow of set ${record.set.id}, epoch ${record.set.epoch}`, `one of set ${escrow.set.id}, epoch ${escrow.set.epoch}`, 'Bring the backup record of the split that was deposited, or the escrow of the newer one. Nothing was touched.');
}

export function releaseIntentFault(inputs: Inputs | undefined, what: Do<'release-escrow'>, { ids, label, envelope }: Intent<'release-escrow'>): Refusal | null {
  const record = backupInput(inputs, what.from);
  const wanted = idsToRestore(record);
  if (ids.length !== wanted || new Set(ids).size !== wanted) return refuse('KEY-PARTS', `${wanted} different CKA_IDs`, ids.join(', '), STOP);
  if (label !== record.label) return refuse('KEY-BOUND', `the label of the backup, ${record.label}`, label, STOP);
  return envelopeFault(releaseOf(inputs, what.escrow), envelope);
}

/** Who opened it: the holder of the key that it was sealed to, and nobody else could. */
export function agentFault(escrow: EscrowRecord, { agent }: Pick<Evidence<'release-escrow'>, 'agent'>): Refusal | null {
  return agent === escrow.agent.sha256 ? null : refuse('ESCROW-AGENT', `the agent's key, ${escrow.agent.sha256}`, agent, 'The value is recorded as found. Record an exception, then repeat the step or abort.');
}
