/**
 * Bringing a key back: what a backup that people brought allows, and what a restored key may be.
 *
 * `ceremony.ts` asks here, one line for each case, so this file knows no state of a ceremony beyond what it is handed. The shares
 * themselves are judged in device processes (shares/share.ts); what is judged here is whose they are, and what came of them.
 */
import { readBackupRecord, type Backup, type BackupRecord } from './backup-record.ts';
import { fromBase64url } from './bytes.ts';
import type { Evidence, Input, Intent, KeyAttributes, ObjectFact } from './evidence.ts';
import type { CeremonyKey } from './key-record.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';
import type { PlanStep } from './script.ts';

type Inputs = Readonly<Record<string, Input>>;
/** Serial number of each share card, by seat. */
type ShareCards = Readonly<Record<string, { readonly serial: string }>>;
type Restored = Omit<Evidence<'restore-key'>, 'quorum'>;
type Must = (holds: boolean, rule: string, expected: string, found: string) => Refusal | null;

const STOP = 'Stop here. Record an exception, and let officer and witness decide whether to repeat the step or to abort.';

/** The backup that people brought as `name`. Throws `Refused`; the opening has read it before. */
export function backupInput(inputs: Inputs | undefined, name: string): BackupRecord {
  const input = inputs?.[name];
  if (input?.kind !== 'backup') throw new Refused(refuse('INPUTS-COMPLETE', `a backup record for ${name}`, 'none', STOP));
  return readBackupRecord(fromBase64url(input.bytes));
}

/** Null where the backup key comes out of an escrow: then nobody is asked for a share. */
function brought(inputs: Inputs): BackupRecord | null {
  if (Object.values(inputs).some(({ kind }) => kind === 'escrow')) return null;
  const name = Object.keys(inputs).find((one) => inputs[one]?.kind === 'backup');
  return name === undefined ? null : backupInput(inputs, name);
}

/** Whether these people with these cards can bring this backup back; `alone`: each only has a copy made of the own share. Throws `Refused` for a file that is no backup. */
export function openingFault(inputs: Inputs, mode: BackupRecord['mode'], cards: ShareCards, alone = false): Refusal | null {
  const record = brought(inputs);
  if (record === null) return null;
  const mixed = modeFault('BACKUP-MODE', 'a backup', record.mode, mode);
  if (mixed) return mixed;
  const stranger = Object.entries(cards).find(([, { serial }]) => !record.shares.some(({ card }) => card === serial));
  if (stranger) return refuse('CARD-OF-BACKUP', 'share cards that the backup names', `${stranger[1].serial} of ${stranger[0]}`, 'Bring the card whose serial number the backup names, or the newer backup record.');
  return alone ? null : tooFew(record.set.threshold, Object.keys(cards).length);
}

export function tooFew(threshold: number, here: number): Refusal | null {
  return here >= threshold ? null
    : refuse('SHARES-TOO-FEW', `${threshold} custodians with their share cards`, `${here}`, 'Ask for more custodians; fewer shares tell nothing about the key.');
}

/** What a rehearsal made is used in rehearsals, and what a real ceremony made in real ones. */
export function modeFault(rule: string, what: string, made: BackupRecord['mode'], mode: BackupRecord['mode']): Refusal | null {
  const named = (one: BackupRecord['mode']) => (one === 'real' ? 'real ceremony' : 'rehearsal');
  return made === mode ? null : refuse(rule, `${what} that was made in a ${named(mode)}`, `one of a ${named(made)}`,
    mode === 'real' ? 'Bring the real one. What a rehearsal made is worth nothing.' : 'Keep real keys out of rehearsals: open a real ceremony, or leave the file out and rehearse with one made for it.');
}

/** The backup as the opening leaves it: every share that is here, none of them read yet. */
export function broughtBackup(inputs: Inputs, cards: ShareCards): Backup | null {
  const record = brought(inputs);
  return record === null ? null : broughtSet(record, cards);
}

export function broughtSet({ set, shares }: Pick<BackupRecord, 'set' | 'shares'>, cards: ShareCards): Backup {
  const given = Object.entries(cards).flatMap(([seat, { serial }]) => {
    const share = shares.find(({ card }) => card === serial);
    return share ? [[seat, { card: share.card, object: share.object, x: share.x, readBack: false }] as const] : [];
  });
  return { set, alive: false, given: Object.fromEntries(given), unread: {}, wiped: false, brought: true };
}

/** The share cards of this backup that are at hand, one for each custodian's seat, in the order of x: what is bound before anybody chooses. */
export function sharesAtHand<Bound extends { readonly serial: string }>(record: Pick<BackupRecord, 'shares'>, seats: readonly { readonly id: string; readonly role: string }[], atHand: readonly Bound[]): Record<string, Bound> {
  const there = record.shares.flatMap(({ card }) => atHand.find(({ serial }) => serial === card) ?? []);
  const custodians = seats.filter(({ role }) => role === 'custodian');
  return Object.fromEntries(custodians.flatMap(({ id }, i) => (there[i] ? [[id, there[i]] as const] : [])));
}

/** Does this step wait for a share of a backup that was brought? Where other shares will do, an exception can end it. */
export function awaitsBroughtShare(backup: Backup | null, { do: { action }, who }: Pick<PlanStep, 'do' | 'who'>): boolean {
  return action === 'read-back-share' && backup?.brought === true && Object.hasOwn(backup.given, who);
}

/** A share may stay unread while as many are left as the backup needs. */
export function unreadFault({ set, given }: Backup): Refusal | null {
  const left = Object.keys(given).length - 1;
  return left >= set.threshold ? null
    : refuse('SHARES-TOO-FEW', `${set.threshold} other shares that are here`, `${left}`, 'Try this card again, also in another reader, or abort and come back with another custodian. Nothing is lost: fewer shares tell nothing about the key.');
}

/** The backup without a share that nobody could read. */
export function withoutShare(backup: Backup, seat: string): Backup {
  const { [seat]: share, ...given } = backup.given;
  return share ? { ...backup, given, unread: { ...backup.unread, [seat]: share } } : backup;
}

/** M different custodians of a set that people brought, every share that is here read on its card first, but for those that an exception left out. */
export function quorumFault(backup: Backup | null, intent: Pick<Intent<'prove-recovery'>, 'set' | 'quorum'>): Refusal | null {
  return backup?.brought === true ? quorumOfFault(backup, intent) : refuse('INPUTS-COMPLETE', 'a backup that people brought', 'none', STOP);
}

export function quorumOfFault(backup: Backup, { set, quorum }: Pick<Intent<'prove-recovery'>, 'set' | 'quorum'>): Refusal | null {
  const unread = Object.entries(backup.given).filter(([, share]) => !share.readBack).map(([seat]) => seat);
  if (unread.length > 0) return refuse('READ-BACK-EVERY-SHARE', 'every share that is here read on its card', `not those of ${unread.join(', ')}`, STOP);
  if (new Set(quorum).size !== quorum.length || quorum.length !== backup.set.threshold) return refuse('QUORUM-OF-PERSONS', `${backup.set.threshold} different custodians`, quorum.join(', '), STOP);
  const stranger = quorum.find((seat) => !Object.hasOwn(backup.given, seat));
  if (stranger !== undefined) return refuse('QUORUM-OF-PERSONS', 'custodians of this set', stranger, STOP);
  return set === backup.set.id ? null : refuse('SHARE-SET', backup.set.id, set, STOP);
}

/** How many CKA_IDs a restored key needs: one for every part that goes onto the token, and one for the key that the others are wrapped under. */
export function idsToRestore({ key }: Pick<BackupRecord, 'key'>): number {
  const onToken = key.parts.filter(({ held }) => held === 'token').length;
  return onToken + (onToken < key.parts.length ? 1 : 0);
}

export function restoreIntentFault(record: BackupRecord, backup: Backup | null, { ids, label, ...intent }: Intent<'restore-key'>): Refusal | null {
  const wanted = idsToRestore(record);
  if (ids.length !== wanted || new Set(ids).size !== wanted) return refuse('KEY-PARTS', `${wanted} different CKA_IDs`, ids.join(', '), STOP);
  if (label !== record.label) return refuse('KEY-BOUND', `the label of the backup, ${record.label}`, label, STOP);
  return quorumFault(backup, intent);
}

/**
 * What a token must say of a private half that it was given: whatever was outside can never again have been there always
 * (PKCS#11 3.2 section 5.18.4). One that says otherwise of this key does not tell the truth about others.
 */
export function restoredDeviations(found: KeyAttributes): string[] {
  const wanted: Partial<KeyAttributes> = {
    class: 'private-key', token: true, private: true, sensitive: true, extractable: false, sign: true, decrypt: false, derive: false, unwrap: false,
    alwaysSensitive: false, neverExtractable: false, local: false,
  };
  const optional: readonly string[] = ['decrypt', 'derive', 'unwrap', 'alwaysSensitive', 'neverExtractable', 'local'];
  return Object.entries(wanted).flatMap(([name, value]) => {
    const actual = found[name as keyof KeyAttributes];
    return actual === value || (actual === null && optional.includes(name)) ? [] : [`${name} is ${String(actual)}, not ${String(value)}`];
  });
}

/** The quorum that was drawn, each with the own card and share. */
export function quorumFits(given: Backup['given'], wanted: readonly string[], quorum: Evidence<'prove-recovery'>['quorum'], must: Must): Refusal | null {
  const wrong = quorum.find((member) => given[member.seat]?.card !== member.card || given[member.seat]?.x !== member.x);
  return must(quorum.map((member) => member.seat).join(' ') === wanted.join(' '), 'QUORUM-OF-PERSONS', wanted.join(', '), quorum.map((member) => member.seat).join(', '))
    ?? must(wrong === undefined, 'CARD-BOUND', 'each custodian\'s own card', wrong?.seat ?? '');
}

/** What is said of the restored key, beyond what every key that is read back and proven must say. */
export function restoreFault(record: BackupRecord, backup: Backup | null, intent: Intent<'restore-key'>, e: Evidence<'restore-key'>, mode: BackupRecord['mode'] | undefined, must: Must): Refusal | null {
  return quorumFits(backup?.given ?? {}, intent.quorum, e.quorum, must) ?? restoredFault(record, intent, e, mode, must);
}

/** The same of a key whoever brought its backup key. */
export function restoredFault(record: BackupRecord, intent: Pick<Intent<'restore-key'>, 'token' | 'ids' | 'label' | 'nonce'>, e: Restored, mode: BackupRecord['mode'] | undefined, must: Must): Refusal | null {
  const onToken = e.parts.filter((part) => part.held === 'token');
  const halves = e.parts.every((part) => part.held === 'token' ? part.private !== null && part.public !== null && part.wrapped === null : part.private === null && part.public === null && part.wrapped !== null);
  const needed = onToken.length < e.parts.length;
  const misnamed = onToken.find((part, index) => part.private?.id !== intent.ids[index] || part.public?.id !== intent.ids[index] || part.private?.label !== intent.label);
  const old = e.parts.find((part, index) => part.wrapped !== null && part.wrapped.bytes === record.key.parts[index]?.wrapped?.bytes);
  const wrong = onToken.flatMap((part) => part.private ? restoredDeviations(part.private) : []);
  return must(e.token === intent.token, 'TOKEN-BOUND', intent.token, e.token)
    ?? must(halves && needed === (e.wrappingKey !== null), 'KEY-PARTS', 'every part whole, and a wrapping key exactly where one is wrapped', 'something else')
    ?? must(misnamed === undefined, 'KEY-BOUND', `${intent.label} with ids ${intent.ids.join(', ')}`, `${misnamed?.private?.label ?? ''} with id ${misnamed?.private?.id ?? ''}`)
    ?? must(old === undefined, 'KEY-PARTS', 'parts wrapped anew, under a key of this token', `the ${old?.part ?? ''} part as the other token wrapped it`)
    ?? must(e.possession.message === intent.nonce, 'PROOF-OF-POSSESSION', 'a signature of this step\'s nonce', 'of another message')
    ?? must(wrong.length === 0, 'ATTRIBUTES-AS-SCRIPTED', 'what a token says of a key that was outside', wrong.join('; '))
    ?? must(e.enforced || mode === 'rehearsal', 'LOCKED', 'a token that itself refuses to wrap the restored key', 'one that would still wrap it');
}

/** The ceremony's key, once it is restored. */
export function restoredKey(name: string, record: BackupRecord, e: Restored): CeremonyKey {
  return {
    name, token: e.token, label: record.label, algorithm: record.key.algorithm, spki: e.spki, wrapping: e.wrappingKey?.id ?? null, made: false, restored: true,
    parts: e.parts.map(({ part, algorithm, held, spki, private: half, wrapped }) => ({ part, algorithm, held, spki, private: half, wrapped, id: half?.id ?? null })),
    proven: true, certificate: record.certificate, wrapped: null, recoveryProven: true, locked: true,
  };
}

/** The objects that it added to its token: both halves of every part there, then the wrapping key. */
export function restoredObjects({ parts, wrappingKey }: Pick<Evidence<'restore-key'>, 'parts' | 'wrappingKey'>): ObjectFact[] {
  return [...parts.flatMap((part) => [part.private, part.public]), wrappingKey]
    .flatMap((found) => (found ? [{ class: found.class, id: found.id, label: found.label, keyType: found.keyType }] : []));
}
