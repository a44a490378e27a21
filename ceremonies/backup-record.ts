/**
 * The record of a backup: what a ceremony that backed a key up leaves for the one that brings it back. Public: the parts of the key are
 * ciphertext under a backup key that is nowhere whole, and of the shares it has commitments alone.
 *
 * It says where every share lies, so that a card of another set, an older split or nobody in particular is named before it is read.
 */
import canonicalize from 'canonicalize';
import * as z from 'zod';
import { readBrought } from './brought.ts';
import { utf8 } from './bytes.ts';
import { Base64url, BoundedText, Hex, KeyReference, ShareSet, WrappedPart, type SeatId } from './evidence.ts';
import { profileOfKey, soundReference, keyReference, type CeremonyKey } from './key-record.ts';
import { caAlgorithmNamed, isStateful } from './keys/algorithms.ts';
import { Refused, refuse } from './refusal.ts';

const BRING = 'Bring the right file. Nothing was touched.';

/** Every share of a set, in the order of x: on which card, under which label, and who received it. */
export const KeptShares = z.array(z.strictObject({ x: z.int().min(1).max(255), card: BoundedText(64).min(1), object: BoundedText(64).min(1), holder: BoundedText(80).min(1) })).min(2).max(255);
export type KeptShares = z.infer<typeof KeptShares>;

export const BackupRecord = z.strictObject({
  format: z.literal('conclave-backup/1'),
  /** A rehearsal's backup is restored in rehearsals alone, and a real one never in a rehearsal. */
  mode: z.enum(['rehearsal', 'real']),
  /** The ceremony that made this split and proved it. */
  ceremony: Hex(32).length(32),
  label: BoundedText(64),
  /** Serial number of the token on which the key was made. */
  token: BoundedText(64),
  /** The draft under which a composite was made; null where there is a finished standard. */
  profile: BoundedText(64).nullable(),
  key: KeyReference,
  /** The key's own certificate, DER; null where it had none. */
  certificate: Base64url(90_000).nullable(),
  /** Every part of the key under the backup key, in the order of the parts. */
  wrapped: z.array(WrappedPart).min(1).max(2),
  set: ShareSet,
  shares: KeptShares,
});
export type BackupRecord = z.infer<typeof BackupRecord>;

/** Where a share is, and whether it was read there in this ceremony. */
export interface GivenShare {
  readonly card: string;
  readonly object: string;
  readonly x: number;
  readonly readBack: boolean;
}

/** The backup of a ceremony: one that it makes, or one that people brought. */
export interface Backup {
  readonly set: ShareSet;
  /** True while the device process holds the backup key; it ends with that process. */
  readonly alive: boolean;
  /** By seat. */
  readonly given: Readonly<Record<z.infer<typeof SeatId>, GivenShare>>;
  /** By seat: shares that were to be read and are not, as an exception says. Nothing is built on them, and their cards are doubtful. */
  readonly unread: Readonly<Record<z.infer<typeof SeatId>, GivenShare>>;
  readonly wiped: boolean;
  /** It was there before: the shares of those who are here, on the cards that they brought. */
  readonly brought: boolean;
}

/** Reads a backup record. Throws `Refused` INPUT-BACKUP, ALGORITHM-KNOWN, STATEFUL-NEVER-COPIED, SHARE-SAME-PERSON. */
export function readBackupRecord(bytes: Uint8Array): BackupRecord {
  const record = readBrought(BackupRecord, bytes, 'a backup record', 'conclave-backup/1', backupFault);
  const { key, profile, wrapped, set, shares } = record;
  const algorithm = caAlgorithmNamed(key.algorithm);
  // SP 800-208 section 8.1: whoever made a copy of such a key all the same, nobody here brings it back.
  if (isStateful(algorithm)) {
    throw new Refused(refuse('STATEFUL-NEVER-COPIED', 'a key that may have a backup (SP 800-208 section 8.1)', `a ${algorithm.label} key`, 'Do not use this file. Find out who made a copy of a stateful key.'));
  }
  soundReference(key, profile, backupFault);
  const parts = key.parts.map(({ part }) => part).join(' ');
  if (wrapped.map(({ part }) => part).join(' ') !== parts || wrapped.some((part) => part.wrapped === '')) throw backupFault(`every part of the key, wrapped: ${parts}`, wrapped.map(({ part }) => part).join(' '));
  soundSet(set, shares, backupFault);
  return record;
}

/** Whether a record's set is whole: a commitment, a card and a person for each of its shares. Throws `fault`'s refusal, or SHARE-SAME-PERSON. */
export function soundSet(set: ShareSet, shares: KeptShares, fault: (expected: string, found: string) => Refused): void {
  if (set.threshold > set.shares) throw fault('a threshold that the shares can reach', `${set.threshold} of ${set.shares}`);
  if (set.commitments.length !== set.shares || new Set(set.commitments).size !== set.shares) throw fault(`a commitment for each of ${set.shares} different shares`, `${new Set(set.commitments).size}`);
  if (shares.map(({ x }) => x).join(' ') !== set.commitments.map((_, i) => i + 1).join(' ')) throw fault(`the shares 1 to ${set.shares}, in order`, shares.map(({ x }) => x).slice(0, 20).join(' '));
  if (new Set(shares.map(({ card }) => card)).size !== shares.length) throw fault('a card of its own for every share', 'two on one card');
  const names = shares.map(({ holder }) => holder.trim().toLowerCase().replace(/\s+/g, ' '));
  const twice = names.findIndex((name, i) => names.indexOf(name) !== i);
  if (twice >= 0) throw new Refused(refuse('SHARE-SAME-PERSON', 'one share for each person', `two for ${shares[twice]?.holder ?? ''}`, BRING));
}

export function backupFault(expected: string, found: string): Refused {
  return new Refused(refuse('INPUT-BACKUP', expected, found, BRING));
}

/** The record of a backup that this ceremony made and proved, as the bundle gives it; null before that. */
export function backupRecordOf({ ceremony, mode, key, backup, people }: {
  readonly ceremony: string; readonly mode: BackupRecord['mode']; readonly key: CeremonyKey | null; readonly backup: Backup | null;
  readonly people: readonly { readonly seat: string; readonly name: string }[];
}): Uint8Array | null {
  if (!key?.wrapped || !key.recoveryProven || !backup || backup.brought) return null;
  const shares = keptShares(backup, people);
  const record: BackupRecord = {
    format: 'conclave-backup/1', mode, ceremony, label: key.label, token: key.token, profile: profileOfKey(key.algorithm), key: keyReference(key), certificate: key.certificate,
    wrapped: [...key.wrapped], set: backup.set, shares,
  };
  return utf8(`${canonicalize(record) ?? ''}\n`);
}

/** The shares of a set that this ceremony gave out, for its record. */
export function keptShares({ given }: Pick<Backup, 'given'>, people: readonly { readonly seat: string; readonly name: string }[]): KeptShares {
  return Object.entries(given).map(([seat, { x, card, object }]) => ({ x, card, object, holder: people.find((person) => person.seat === seat)?.name ?? seat })).sort((a, b) => a.x - b.x);
}
