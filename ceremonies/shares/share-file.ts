/**
 * Shares in files: what stands in them, and what can be said of several together before anything is combined.
 *
 * A share that lies on a card is judged by the record of its ceremony. One that lies in a file has no record beside it, so
 * the facts of its set travel with it: M, N and the commitment to every share, whose digest the share's own header names, under
 * a seal that only the secret opens. Facts that come from elsewhere, where there are any, outweigh those in the files.
 *
 *   -----BEGIN CONCLAVE SHARE SET-----   canonical JSON (RFC 8785) of {"seal": ..., "set": ...}; public
 *   -----BEGIN CONCLAVE SHARE-----       the bytes of `encodeShare`; secret
 *
 * The bytes of a share alone, the words of SLIP-39 and those of our own sheets of paper are read too. PEM is text, which cannot be wiped: these files are for a
 * short-lived process, never for the app.
 */

import { gcm } from '@noble/ciphers/aes.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import canonicalize from 'canonicalize';
import * as z from 'zod';
import { equalBytes, fromBase64url, fromUtf8, toBase64url, utf8 } from '../bytes.ts';
import { ShareSet } from '../evidence.ts';
import { pem, readPem } from '../keys/signed.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { isSheet, parseSheetWords, shareOfSheet, type SheetWords } from './paper.ts';
import { checkShare, combineChecked, damaged, encodeShare, parseShare, SEAT, setDigest, wrongSecret, type SeenShare, type Share } from './share.ts';
import { checkMnemonic, combineMnemonics, parseMnemonic, slip39Missing, slip39SetName, type Mnemonic } from './slip39.ts';
import { looksLikeWords } from './word-code.ts';

const SHARE_LABEL = 'CONCLAVE SHARE';
const SET_LABEL = 'CONCLAVE SHARE SET';
const RECORD_START = utf8('conclave-share/');
const PEM_START = utf8('-----BEGIN ');

/** The facts of a set for a life outside a record. Public. */
export const SealedSet = z.strictObject({
  set: ShareSet,
  /**
   * base64url tag of AES-256-GCM over nothing, with the canonical JSON of `set` as additional data and a zero nonce, under
   * HKDF-SHA-256 (RFC 5869) of the secret with `setDigest` as salt: the key serves for these facts once and for nothing else.
   */
  seal: z.string().length(22),
  /**
   * Whose share is whose, in order: what the words on a sheet of paper leave out. In the set's own file only, as no custodian's file
   * needs to name the others. Not under the seal: the commitment to each share binds its custodian's seat.
   */
  custodians: z.array(z.string().regex(SEAT)).optional(),
});
export type SealedSet = z.infer<typeof SealedSet>;

/** One file, read. Whoever holds it wipes what is secret in it, with `wipeFile`. */
export type ShareFile =
  | { readonly form: 'record'; readonly share: Share; readonly facts: SealedSet | null }
  | { readonly form: 'words'; readonly mnemonic: Mnemonic }
  /** Words of a sheet: a share once the facts of its set are at hand. */
  | { readonly form: 'sheet'; readonly sheet: SheetWords };

export function isRead(file: ShareFile | Refusal): file is ShareFile {
  return 'form' in file;
}

export function wipeFile(file: ShareFile): void {
  switch (file.form) {
    case 'record': return void file.share.payload.fill(0);
    case 'words': return void file.mnemonic.value.fill(0);
    case 'sheet': return void file.sheet.payload.fill(0);
  }
}

// --- facts and their seal --------------------------------------------------------------------------------------------------

export function sealSet(set: ShareSet, secret: Uint8Array): SealedSet {
  return { set, seal: toBase64url(withSealKey(set, secret, (cipher) => cipher.encrypt(new Uint8Array(0)))) };
}

function sealOpens({ set, seal }: SealedSet, secret: Uint8Array): boolean {
  try {
    return withSealKey(set, secret, (cipher) => cipher.decrypt(fromBase64url(seal))).length === 0;
  } catch {
    return false;
  }
}

function withSealKey(set: ShareSet, secret: Uint8Array, use: (cipher: ReturnType<typeof gcm>) => Uint8Array): Uint8Array {
  const key = hkdf(sha256, secret, fromBase64url(setDigest(set)), utf8('conclave-share-set/1'), 32);
  try {
    return use(gcm(key, new Uint8Array(12), utf8(canonicalize(set) ?? '')));
  } finally {
    key.fill(0);
  }
}

// --- files -----------------------------------------------------------------------------------------------------------------

/** The file of one share. It contains the payload: the caller writes it and wipes it. */
export function encodeShareFile(share: Share, facts: SealedSet | null): Uint8Array {
  const bytes = encodeShare(share);
  try {
    return utf8((facts === null ? '' : encodeSetFile({ set: facts.set, seal: facts.seal })) + pem(SHARE_LABEL, bytes));
  } finally {
    bytes.fill(0);
  }
}

/** The file of a set's facts, which goes with the record. */
export function encodeSetFile(facts: SealedSet): string {
  return pem(SET_LABEL, utf8(canonicalize(facts) ?? ''));
}

/** Throws `Refused` PEM, SHARE-DAMAGED. */
export function parseSetFile(file: Uint8Array): SealedSet {
  const [block, ...more] = readPem(file, [SET_LABEL]);
  if (more.length > 0) throw damaged('the facts of one set', `${more.length + 1}`);
  return parseFacts(block!.der);
}

function parseFacts(bytes: Uint8Array): SealedSet {
  let value: unknown;
  try {
    const text = fromUtf8(bytes);
    value = JSON.parse(text);
    if (canonicalize(value) !== text) throw new SyntaxError('another spelling');
  } catch {
    throw damaged('the facts of a set in canonical JSON', 'something else');
  }
  const { data } = SealedSet.safeParse(value);
  if (data === undefined || data.set.commitments.length !== data.set.shares || data.set.threshold > data.set.shares || (data.custodians ?? data.set.commitments).length !== data.set.shares) throw damaged('the facts of a set', 'something else');
  return data;
}

/**
 * Reads a share from a file, whichever form it has. The caller wipes `file` and the result.
 * Throws `Refused` PEM, SHARE-DAMAGED and what `parseShare`, `parseMnemonic` and `parseSheetWords` say.
 */
export function parseShareFile(file: Uint8Array): ShareFile {
  if (equalBytes(file.subarray(0, RECORD_START.length), RECORD_START)) return { form: 'record', share: parseShare(file), facts: null };
  if (looksLikeWords(file) && isSheet(file)) return { form: 'sheet', sheet: parseSheetWords(file) };
  if (looksLikeWords(file)) return { form: 'words', mnemonic: parseMnemonic(file) };
  if (!equalBytes(file.subarray(0, PEM_START.length), PEM_START)) throw damaged('a share: PEM, its bytes, or words', 'something else');
  const blocks = readPem(file, [SHARE_LABEL, SET_LABEL]);
  try {
    const [shares, sets] = [SHARE_LABEL, SET_LABEL].map((wanted) => blocks.filter(({ label }) => label === wanted));
    if (shares?.length !== 1 || sets === undefined || sets.length > 1) throw damaged('one share, and the facts of its set once at most', `${shares?.length ?? 0} shares and ${sets?.length ?? 0} sets`);
    const facts = sets[0] === undefined ? null : parseFacts(sets[0].der);
    const share = parseShare(shares[0]!.der);
    if (facts !== null && setDigest(facts.set) !== share.header.of) {
      share.payload.fill(0);
      throw damaged('the facts of the set that the share was made with', 'those of another');
    }
    return { form: 'record', share, facts };
  } finally {
    for (const { der } of blocks) der.fill(0);
  }
}

// --- several together ------------------------------------------------------------------------------------------------------

export interface Gathering {
  /** For each file, in order: what speaks against it. */
  readonly findings: readonly (readonly Refusal[])[];
  /** What speaks against all of them together: SHARE-SETS, SHARES-TOO-FEW. */
  readonly together: readonly Refusal[];
  /** How many more shares are needed; null where that cannot be said (groups of SLIP-39, no set). */
  readonly missing: number | null;
  /** The facts that the files were judged by. */
  readonly facts: SealedSet | null;
}

/**
 * Do these belong together, how many are missing, and who is the culprit? Nothing is combined. `files` that could not be read
 * are given as their refusal. Without `facts` from elsewhere those count that most of the files agree on, and none when that is a
 * tie: a forged file beside a genuine one must not make the genuine one the culprit.
 */
export function gather(files: readonly (ShareFile | Refusal)[], facts: SealedSet | null = null): Gathering {
  if (facts !== null) return gatherRecords(files, facts);
  const read = files.filter(isRead);
  const sets = [...Map.groupBy(read.filter((file) => setName(file) !== null), setName).values()].toSorted((a, b) => b.length - a.length);
  const [most, next] = sets;
  if (most === undefined || most.length === next?.length) {
    const together = read.length === 0 ? tooFew('a share that can be read', 'none')
      : refuse('SHARE-SETS', 'the facts of one set', most === undefined ? 'shares without them' : `${sets.length} sets, none with more files than another`, 'Give the facts of the set from its record, or remove what does not belong here.');
    return { findings: files.map((file) => (isRead(file) ? [] : [file])), together: [together], missing: null, facts };
  }
  const one = most[0]!;
  return one.form === 'words' ? gatherWords(files, one.mnemonic) : gatherRecords(files, factsIn(one)!);
}

function gatherRecords(files: readonly (ShareFile | Refusal)[], facts: SealedSet): Gathering {
  const seen: SeenShare[] = [];
  const { set } = facts;
  const findings = files.map((given) => {
    const file = isRead(given) ? asRecord(given, facts) : given;
    if (!isRead(file)) return [file];
    if (file.form !== 'record') return [refuse('SHARE-FOREIGN-SET', `a share of set ${set.id}`, 'words of SLIP-39', 'Keep this share apart, and use another one.')];
    const against = checkShare(file.share, { set, seen });
    // The seal is in no digest that the share names, so a file that changed it must not be the one that is believed.
    if (against.length === 0 && file.facts !== null && file.facts.seal !== facts.seal) return [damaged('the seal of the set as the others have it', 'another').refusal];
    if (against.length === 0) seen.push(file.share);
    return against;
  });
  const missing = Math.max(0, set.threshold - seen.length);
  return { findings, missing, facts, together: missing === 0 ? [] : [tooFew(`${set.threshold} shares`, `${seen.length}`)] };
}

/** Words of a sheet as the share that they are in this set; everything else as it is. */
export function asRecord(file: ShareFile, facts: SealedSet): ShareFile | Refusal {
  if (file.form !== 'sheet') return file;
  try {
    return { form: 'record', share: shareOfSheet(file.sheet, facts), facts: null };
  } catch (error) {
    if (error instanceof Refused) return error.refusal;
    throw error;
  }
}

function gatherWords(files: readonly (ShareFile | Refusal)[], { set, threshold }: Mnemonic): Gathering {
  const seen: Mnemonic[] = [];
  const findings = files.map((file) => {
    if (!isRead(file)) return [file];
    if (file.form !== 'words') return [refuse('SHARE-FOREIGN-SET', `a share of set ${slip39SetName(set)}`, 'a share in another form', 'Keep this share apart, and use another one.')];
    const against = checkMnemonic(file.mnemonic, set, seen);
    if (against.length === 0) seen.push(file.mnemonic);
    return against;
  });
  const few = slip39Missing(seen, set);
  return { findings, facts: null, together: few === null ? [] : [few], missing: few === null ? 0 : set.groups === 1 ? threshold - seen.length : null };
}

/** Two files of one set have one name; null for a share that has come without the facts of its set. */
function setName(file: ShareFile): string | null {
  if (file.form === 'words') return slip39SetName(file.mnemonic.set);
  const facts = factsIn(file);
  return facts === null ? null : `${setDigest(facts.set)} ${facts.seal}`;
}

function factsIn(file: ShareFile): SealedSet | null {
  return file.form === 'record' ? file.facts : null;
}

function tooFew(expected: string, found: string): Refusal {
  return refuse('SHARES-TOO-FEW', expected, found, 'Bring more shares; fewer tell nothing about the secret.');
}

/**
 * The secret of files against which nothing speaks: the first thing that `gather` finds is thrown, before anything is combined.
 * The result is held against its commitment and must open the seal of the set's facts (SLIP-39: its digest). Throws `Refused`.
 * The caller wipes the result, the files and the passphrase, which only SLIP-39 has.
 */
export async function combineFiles(files: readonly ShareFile[], facts: SealedSet | null, passphrase: Uint8Array): Promise<Uint8Array> {
  const gathering = gather(files, facts);
  const [against] = [...gathering.findings.flat(), ...gathering.together];
  if (against !== undefined) throw new Refused(against);
  if (gathering.facts === null) return combineMnemonics(files.flatMap((file) => (file.form === 'words' ? [file.mnemonic] : [])), passphrase);
  const { facts: by } = gathering;
  const shares = files.map((file) => asRecord(file, by)).flatMap((file) => (isRead(file) && file.form === 'record' ? [file.share] : []));
  const secret = await combineChecked(shares, by.set);
  if (sealOpens(by, secret)) return secret;
  secret.fill(0);
  throw wrongSecret(shares.map(({ header }) => header.x));
}
