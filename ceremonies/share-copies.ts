/**
 * Second copies of shares: a custodian's own share, which lies on a card, once more in an envelope to the custodian's own key or on
 * paper in the custodian's own hand; and the way back from there onto a new card.
 *
 * A copy is the same share with the same number: it brings nobody nearer to the threshold, and whoever counts shares counts both as one.
 * No copy counts before it was read back from where it now lives: the envelope opened by its holder, the words typed again from the paper.
 *
 * `ceremony.ts` and `rehearse.ts` ask here, one line for each case. Pure and light: what is inside an envelope is read by share-envelope.ts.
 */
import canonicalize from 'canonicalize';
import type { Backup, BackupRecord } from './backup-record.ts';
import { utf8 } from './bytes.ts';
import type { Evidence, Input, Intent } from './evidence.ts';
import { inputDigest } from './key-record.ts';
import { backupInput, modeFault } from './recovery.ts';
import { refuse, type Refusal } from './refusal.ts';
import type { Plan, PlanStep } from './script.ts';

type Inputs = Readonly<Record<string, Input>>;
type Must = (holds: boolean, rule: string, expected: string, found: string) => Refusal | null;
type Do<A extends PlanStep['do']['action']> = Extract<PlanStep['do'], { action: A }>;

const STOP = 'Stop here. Record an exception, and let officer and witness decide whether to repeat the step or to abort.';

/** A copy that this ceremony made. */
export interface ShareCopy {
  readonly medium: 'envelope' | 'sheet';
  readonly x: number;
  /** SHA-256 of the envelope, or the number that stands on the sheet. */
  readonly identifier: string;
  /** Of an envelope: CMS (DER), and SHA-256 of the public key that it is sealed to. */
  readonly sealed: { readonly envelope: string; readonly recipient: string } | null;
  readonly readBack: boolean;
}
/** By seat. */
export type ShareCopies = Readonly<Record<string, ShareCopy>>;

// --- which ceremonies these are --------------------------------------------------------------------------------------------

const COPYING: readonly PlanStep['do']['action'][] = ['seal-copy', 'open-copy', 'write-copy', 'return-share'];

/** Does this ceremony copy single shares, or bring one back? Then no quorum has to be there: nothing is put together. */
export function handlesCopies(plan: Plan): boolean {
  return plan.steps.some(({ do: what }) => COPYING.includes(what.action));
}

export function returnStep(plan: Plan): Do<'return-share'> | undefined {
  return plan.steps.map((step) => step.do).find((what) => what.action === 'return-share');
}

/** Whether this person can bring this share back onto this card. Throws `Refused` for a file that is no backup. */
export function returnOpeningFault(plan: Plan, { inputs, mode, people, bindings }: {
  readonly inputs: Inputs; readonly mode: BackupRecord['mode']; readonly people: readonly { readonly seat: string; readonly name: string }[];
  readonly bindings: { readonly cards: Readonly<Record<string, Readonly<Record<string, { readonly serial: string }>>>> };
}): Refusal | null {
  const back = returnStep(plan);
  if (back === undefined) return null;
  const record = backupInput(inputs, back.from);
  const mixed = modeFault('BACKUP-MODE', 'a backup', record.mode, mode);
  if (mixed) return mixed;
  const share = record.shares.find(({ x }) => x === back.share);
  if (!share) return refuse('RETURN-SHARE', `a share from 1 to ${record.set.shares}`, `${back.share}`, 'Correct the number of the share. Nothing was touched.');
  const seat = plan.steps.find(({ do: what }) => what.action === 'return-share')?.who ?? '';
  const name = people.find((person) => person.seat === seat)?.name ?? '';
  const plain = (words: string) => words.trim().toLowerCase().replace(/\s+/g, ' ');
  // Whoever has the envelope's key holds this share; with another one they would be two of the threshold.
  const other = record.shares.find(({ x, holder }) => x !== back.share && plain(holder) === plain(name));
  if (other) return refuse('RETURN-HOLDER', `${share.holder}, or somebody who holds no other share of this set`, `${name}, who holds share ${other.x}`, 'Let the holder of this share bring it. Nothing was touched.');
  const taken = Object.values(bindings.cards[back.card ?? 'new-share-card'] ?? {}).find(({ serial }) => record.shares.some(({ card }) => card === serial));
  return taken === undefined ? null : refuse('NEW-CARDS', 'a card that the backup does not name', taken.serial, 'Bring another card: one that holds a share of this set already must not get a second one. Nothing was touched.');
}

// --- copying -------------------------------------------------------------------------------------------------------------

/** The share that is copied is the one that the backup names on this seat's card; nobody has two copies made in one ceremony. */
export function copyIntentFault(backup: Backup | null, copies: ShareCopies, seat: string, intent: Intent<'write-copy'> | Intent<'seal-copy'>): Refusal | null {
  const share = backup?.given[seat];
  if (!backup || !share) return refuse('INPUTS-COMPLETE', `a backup that names a share of ${seat}`, 'none', STOP);
  if (Object.hasOwn(copies, seat)) return refuse('ONE-COPY-EACH', `one copy for ${seat}`, 'a second one', STOP);
  if (intent.card !== share.card) return refuse('CARD-BOUND', share.card, intent.card, STOP);
  return intent.set === backup.set.id && intent.x === share.x && intent.object === share.object ? null
    : refuse('SHARE-SET', `share ${share.x} of set ${backup.set.id}, as ${share.object}`, `share ${intent.x} of set ${intent.set}, as ${intent.object}`, STOP);
}

export function sealIntentFault(backup: Backup | null, copies: ShareCopies, seat: string, intent: Intent<'seal-copy'>): Refusal | null {
  const other = Object.keys(copies).find((one) => copies[one]?.sealed?.recipient === intent.recipient);
  return copyIntentFault(backup, copies, seat, intent)
    ?? (other === undefined ? null : refuse('RECIPIENT-OWN', `a key of ${seat} alone`, `the key to which the share of ${other} is sealed`, 'Whoever has that key would have two shares. Abort, and bring a key of every custodian\'s own.'));
}

export function copyFault(backup: Backup | null, { card, object, x }: Intent<'write-copy'> | Intent<'seal-copy'>, e: Evidence<'write-copy'> | Evidence<'seal-copy'>, must: Must): Refusal | null {
  return must(e.card === card && e.object === object && e.x === x, 'CARD-BOUND', `share ${x} on ${card}`, `share ${e.x} on ${e.card}`)
    ?? must(e.commitment === backup?.set.commitments[x - 1], 'SHARE-COMMITMENT', 'the share that the set commits to', 'another one');
}

export function sealFault(backup: Backup | null, intent: Intent<'seal-copy'>, e: Evidence<'seal-copy'>, must: Must): Refusal | null {
  return copyFault(backup, intent, e, must) ?? must(e.recipient.sha256 === intent.recipient, 'RECIPIENT-OWN', `an envelope to the key ${intent.recipient}`, e.recipient.sha256);
}

export function writeFault(backup: Backup | null, intent: Intent<'write-copy'>, e: Evidence<'write-copy'>, must: Must): Refusal | null {
  return copyFault(backup, intent, e, must) ?? must(e.sheet === intent.sheet, 'SHEET-NUMBER', intent.sheet, e.sheet);
}

/** The envelope that was sealed in this ceremony, and no other. */
export function openIntentFault(backup: Backup | null, copies: ShareCopies, seat: string, { set, x, envelope }: Intent<'open-copy'>): Refusal | null {
  const copy = copies[seat];
  if (!backup || !copy?.sealed || copy.readBack) return refuse('COPY-READ-BACK', `an envelope of ${seat} that nobody has opened yet`, copy?.readBack === true ? 'one that was opened' : 'none', STOP);
  return set === backup.set.id && x === copy.x && envelope === copy.identifier ? null
    : refuse('COPY-READ-BACK', `the envelope ${copy.identifier} of share ${copy.x}`, `${envelope} of share ${x}`, STOP);
}

export function openFault(backup: Backup | null, copies: ShareCopies, seat: string, intent: Intent<'open-copy'>, e: Evidence<'open-copy'>, must: Must): Refusal | null {
  return must(e.envelope === intent.envelope && e.x === intent.x, 'COPY-READ-BACK', `share ${intent.x} out of ${intent.envelope}`, `share ${e.x} out of ${e.envelope}`)
    ?? must(e.opener === copies[seat]?.sealed?.recipient, 'RECIPIENT-OWN', `opened with the key ${copies[seat]?.sealed?.recipient ?? ''}`, e.opener)
    ?? must(e.commitment === backup?.set.commitments[intent.x - 1], 'SHARE-COMMITMENT', 'the share that the set commits to', 'another one');
}

/** A share of which a copy was made was read on its card, and compared. */
export function shareWasRead(backup: Backup | null, seat: string): Backup | null {
  const share = backup?.given[seat];
  return backup && share ? { ...backup, given: { ...backup.given, [seat]: { ...share, readBack: true } } } : backup;
}

export function sealedCopy(copies: ShareCopies, seat: string, { x, envelope, recipient }: Evidence<'seal-copy'>): ShareCopies {
  return { ...copies, [seat]: { medium: 'envelope', x, identifier: inputDigest({ bytes: envelope }), sealed: { envelope, recipient: recipient.sha256 }, readBack: false } };
}

export function openedCopy(copies: ShareCopies, seat: string): ShareCopies {
  const copy = copies[seat];
  return copy ? { ...copies, [seat]: { ...copy, readBack: true } } : copies;
}

export function writtenCopy(copies: ShareCopies, seat: string, { x, sheet }: Evidence<'write-copy'>): ShareCopies {
  return { ...copies, [seat]: { medium: 'sheet', x, identifier: sheet, sealed: null, readBack: true } };
}

/** What an envelope says of itself to whoever looks at it, opened or not. */
export function copyWords({ mode, label, set, shares }: Pick<BackupRecord, 'mode' | 'label' | 'set' | 'shares'>, x: number): string {
  return `${mode === 'rehearsal' ? 'REHEARSAL. ' : ''}Share ${x} of ${set.shares}, any ${set.threshold} of them needed, of the backup of "${label}", set ${set.id}, epoch ${set.epoch}, for ${shares[x - 1]?.holder ?? ''}. A copy of the share on the holder's card.`;
}

/** The envelopes that were sealed and opened, as the bundle gives them: by the number of the share. */
export function envelopesOf(copies: ShareCopies): { readonly x: number; readonly envelope: string }[] {
  return Object.values(copies).flatMap(({ x, sealed, readBack }) => (sealed && readBack ? [{ x, envelope: sealed.envelope }] : []));
}

// --- the way back ----------------------------------------------------------------------------------------------------------

export function returnIntentFault(inputs: Inputs | undefined, what: Do<'return-share'>, backup: Backup | null, seat: string, bound: string | undefined, dead: readonly string[], intent: Intent<'return-share'>): Refusal | null {
  const { set } = backupInput(inputs, what.from);
  if (backup && Object.hasOwn(backup.given, seat)) return refuse('ONE-COPY-EACH', 'one share brought back', 'a second one', STOP);
  if (intent.card !== bound) return refuse('CARD-BOUND', bound ?? 'a card', intent.card, STOP);
  if (intent.set !== set.id || intent.x !== what.share) return refuse('SHARE-SET', `share ${what.share} of set ${set.id}`, `share ${intent.x} of set ${intent.set}`, STOP);
  const digest = envelopeDigest(inputs, what);
  if (intent.envelope !== digest) return refuse('COPY-READ-BACK', digest === null ? 'no envelope' : `the envelope ${digest}`, intent.envelope ?? 'none', STOP);
  return intent.erases.join(' ') === dead.join(' ') ? null : refuse('VOID-SHARES-ERASED', dead.join(' '), intent.erases.join(' '), STOP);
}

/** SHA-256 of the envelope that is brought; null where the share comes from paper. */
export function envelopeDigest(inputs: Inputs | undefined, { envelope }: Do<'return-share'>): string | null {
  const input = envelope === undefined ? undefined : inputs?.[envelope];
  return input ? inputDigest(input) : null;
}

export function returnFault(backup: Backup | null, intent: Intent<'return-share'>, e: Evidence<'return-share'>, must: Must): Refusal | null {
  return must(e.card.serial === intent.card && e.object === intent.object && e.x === intent.x, 'CARD-BOUND', `share ${intent.x} on ${intent.card}`, `share ${e.x} on ${e.card.serial}`)
    ?? must(e.commitment === backup?.set.commitments[intent.x - 1], 'SHARE-COMMITMENT', 'the share that the set commits to', 'another one');
}

/** The backup record with the card on which the share is now, as the bundle gives it: what a recovery brings from now on. Null before it was read back there. */
export function returnedRecordOf({ plan, opening, backup }: { readonly plan: Plan | null; readonly opening: { readonly inputs: Inputs } | null; readonly backup: Backup | null }): Uint8Array | null {
  const back = plan === null ? undefined : returnStep(plan);
  const share = Object.values(backup?.given ?? {}).find(({ x }) => x === back?.share);
  if (back === undefined || share?.readBack !== true) return null;
  const before = backupInput(opening?.inputs, back.from);
  const record: BackupRecord = { ...before, shares: before.shares.map((one) => (one.x === share.x ? { ...one, card: share.card, object: share.object } : one)) };
  return utf8(`${canonicalize(record) ?? ''}\n`);
}
