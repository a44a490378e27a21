/**
 * The inventory: what keys there are, where each and every copy of it lives, who can use it, and who did.
 *
 * It is folded from the signed records of a machine, ceremonies and logbook alike, and is never a second truth: whatever stands
 * here names the entry that says so. Only records that verify are believed. One that does not may add what nobody else knows,
 * marked as what it is; it never ends a copy and never changes what a sound record says. What cannot be known is said:
 * a file that left, an outcome that was never written down, copies that were there before the first record.
 *
 * Pure. What tokens hold now is compared in reconcile.ts. A key's state is the one that somebody signed, and derived only where nobody
 * did (keys/lifecycle.ts); that it is destroyed always follows from its copies.
 */
import canonicalize from 'canonicalize';
import { sha256 } from '@noble/hashes/sha2.js';
import { checkText, createdId, goesToToken, orderText } from './administration.ts';
import { fromBase64url, toHex, utf8 } from './bytes.ts';
import { checkWords } from './components.ts';
import { personAt, type Data, type Entry, type State } from './ceremony.ts';
import {
  IDENTITY_LABEL, type ActionName, type ChangeOrder, type ChangeResult, type DrillSigned, type Evidence, type Intent, type KeyAttributes, type KeyCheck, type KeyReference, type ObjectFact, type ObjectReference, type PeriodSigned, type Proof, type StateSigned, type WrappedKeyFile,
} from './evidence.ts';
import { readActivationRecord, type Whose } from './activation.ts';
import { readBackupRecord, type KeptShares } from './backup-record.ts';
import { claimsOn, holdsSecret, LEVELS, listOf, stands, type Level, type OnToken } from './destruction.ts';
import { intervalText } from './drills.ts';
import { depositOf, readEscrowRecord, releaseOf, type EscrowRecord } from './escrow.ts';
import { readKeyRecord } from './key-record.ts';
import type { Standing } from './keys/algorithms.ts';
import { algorithmStanding } from './keys/cbom.ts';
import { readCertificate } from './keys/chain.ts';
import { transition, type KeyState, type Transition } from './keys/lifecycle.ts';
import { fromJwk } from './keys/public-key.ts';
import { nameText } from './keys/signed.ts';
import { readSubjectKey } from './keys/subject-key.ts';
import { KINDS } from './keys/template.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';
import { thingName } from './shares/movements.ts';
import { passageText } from './statements.ts';
import { Fold, parseLine, portableHasher, type Hasher } from './transcript.ts';
import type { Verdict } from './verify.ts';

/** A record as its verdict gives it. The caller verified it (verify.ts), with or without a trust file. */
export interface JudgedRecord {
  readonly verdict: Pick<Verdict, 'verdict' | 'ceremony' | 'findings'>;
  readonly lines: readonly string[];
}

/** The entry that says so. */
export interface Source {
  readonly ceremony: string;
  readonly seq: number;
  readonly at: string;
}

export interface KeyEvent extends Source {
  readonly by: string;
  readonly what: string;
  readonly believed: boolean;
}

export interface End extends Source {
  readonly level: Level;
  readonly how: string;
  /** Only of L0. True: somebody says that it is gone, or a session saw so, and nobody has looked again. Else it was asked for, and no outcome was ever written down. */
  readonly told?: boolean;
}

interface Lasting {
  readonly since: Source;
  /** Null: as far as the records know, it is there. */
  readonly end: End | null;
  readonly believed: boolean;
}

/** An object that the records explain. */
export interface Holding extends Lasting {
  readonly kind: 'object';
  readonly module: string;
  /** The token's serial number. */
  readonly token: string;
  readonly class: ObjectFact['class'];
  /** CKA_ID; null where the record does not tell it, and the label has to do. */
  readonly id: string | null;
  readonly label: string;
  readonly keyType: string;
  readonly check: KeyCheck | { readonly method: 'SHA-256 of the certificate'; readonly value: string };
  readonly attributes: KeyAttributes | null;
  readonly what: string;
  /** Objects that were made as one pair have one name here. */
  readonly pair: string | null;
}

/** One part of a key as ciphertext in its record and key.json, under a key that never leaves its token. */
export interface WrappedPartCopy extends Lasting {
  readonly kind: 'wrapped-part';
  readonly part: string;
  readonly under: { readonly module: string; readonly token: string; readonly id: string };
}

/** A file that `wrap-key` gave out. Where it was written is in no record. */
export interface WrappedFileCopy extends Lasting {
  readonly kind: 'wrapped-file';
  readonly method: string;
  readonly under: string;
  /** Identity of that key, as far as it is known. */
  readonly underKey?: string | null;
}

export interface Share {
  readonly seat: string;
  readonly name: string;
  readonly x: number;
  readonly readBack: boolean;
  readonly object: Holding;
}

/** A copy of a share in an envelope or on paper. `gone`: how people destroyed it; nobody here can look. */
export interface ShareMedium {
  readonly medium: 'envelope' | 'sheet';
  /** SHA-256 of the envelope, or the number on the form. */
  readonly identifier: string;
  readonly x: number;
  readonly name: string;
  readonly gone: string | null;
}

/** What a list of copies calls it. */
export function shareMediumText({ medium, identifier, x, name }: ShareMedium): string {
  return `share ${x} of ${name}, ${medium === 'envelope' ? `in the envelope ${identifier.slice(0, 16)}…` : `on the form ${identifier}`}`;
}

/** The key under a backup key that is nowhere whole: `threshold` of the shares make it. */
export interface ShareSetCopy extends Lasting {
  readonly kind: 'share-set';
  readonly set: string;
  readonly threshold: number;
  readonly shares: number;
  /** A share that came back out of a copy stands here twice: on the card that the record named before, and on the new one. */
  readonly custodians: readonly Share[];
  /** Copies of shares on other media; none where nothing was copied. */
  readonly media?: readonly ShareMedium[];
  readonly recoveryProven: boolean;
  /** When these shares brought the key back last, and it counts; null: never, as far as the records know. */
  readonly lastRecovery: Source | null;
  /** Counts the splits of this backup key. */
  readonly epoch: number;
  /** False: it was given up before every share was out, and another set took its place. */
  readonly complete: boolean;
  /** `unproven`: made to take another's place, and has not brought the key back yet. `superseded`: another has taken its place, and from then on it is refused. */
  readonly renewal: 'unproven' | 'superseded' | null;
}

/** The backup key in an envelope that an agent holds. Where it lies, and whether there are copies of it, is in no record. */
export interface EscrowCopy extends Lasting {
  readonly kind: 'escrow';
  readonly set: string;
  readonly epoch: number;
  readonly agent: string;
  readonly purpose: string;
  readonly conditions: string;
  /** SHA-256 of the envelope. */
  readonly sha256: string;
  /** When it was last opened for a release; null: never, as far as the records know. */
  readonly released: Source | null;
}

export type Copy = Holding | WrappedPartCopy | WrappedFileCopy | ShareSetCopy | EscrowCopy;

/** Shares that open a token: of an activation key, of which there is nothing else. */
export interface ActivationSet extends ShareSetCopy {
  readonly token: string;
  /** Whose PIN of the token it gives. */
  readonly whose: Whose;
  readonly rehearsal: boolean;
  /** The token has its PIN of this set: since the ceremony in which it was set. */
  readonly inForce: boolean;
}

/** `earlier`: it was there before the first record that names it. */
export type KeyOrigin = 'generated' | 'imported' | 'unwrapped' | 'copied' | 'formed' | 'earlier';

/** How a key came to a state: signed by somebody, or told by what the records say was done with it. */
export interface Passage extends Source, Pick<Transition, 'from' | 'to' | 'rule' | 'clause'> {
  readonly signed: { readonly by: string; readonly reason: string; /** Of a compromise: from when on it is not to be trusted. */ readonly since: string | null } | null;
}

/** When the key may be used, as somebody signed last. */
export interface Period extends Source {
  readonly by: string;
  readonly reason: string;
  readonly notBefore: string | null;
  readonly notAfter: string;
}

/** How often its recovery is to be proven, as somebody signed last. When it is due follows (drills.ts). */
export interface Drill extends Source {
  readonly by: string;
  readonly reason: string;
  readonly every: string;
  readonly firstBy: string;
}

/** A certificate of a key, from the entry that issued or brought it. */
export interface KeyCertificate extends Source {
  readonly subject: string;
  readonly issuer: string;
  readonly sha256: string;
  readonly notAfter: string;
  readonly believed: boolean;
}

export interface InventoryKey {
  /** What makes it this key: public fingerprint, else check value, else the place where it was first seen. */
  readonly identity: string;
  readonly label: string;
  readonly algorithm: string;
  readonly standing: Standing | null;
  readonly rehearsal: boolean;
  readonly origin: KeyOrigin;
  /** What the origin is worth. */
  readonly proof: Proof;
  /** Signed, or derived where nobody signed. Null where nothing believable is known of the key. */
  readonly state: KeyState | null;
  /** Every state that it was in, with the entry; the last one is `state`. */
  readonly passages: readonly Passage[];
  readonly period: Period | null;
  readonly drill: Drill | null;
  readonly copies: readonly Copy[];
  readonly certificates: readonly KeyCertificate[];
  readonly whoCan: readonly string[];
  /** When it was last brought back out of its backup, as a proof or for good. Null: never, as far as the records know. */
  readonly lastRecovery: Source | null;
  readonly events: readonly KeyEvent[];
  /** Copies that are not known, and why there may be some. */
  readonly unknown: readonly string[];
  readonly destruction: { readonly destroyed: number; readonly known: number; readonly level: Level | null; readonly words: string };
  /** False: from a record that does not verify, and from nowhere else. */
  readonly believed: boolean;
}

export interface InventoryFinding extends Refusal {
  readonly source: Source | null;
  /** Identities of the keys that it is about. */
  readonly keys: readonly string[];
}

export interface Inventory {
  readonly records: { readonly believed: number; readonly refused: number };
  readonly keys: readonly InventoryKey[];
  /** Explained objects that are no copy of a key: identities of people and their seeds, certificates. */
  readonly others: readonly Holding[];
  /** What opens tokens that only a quorum opens. */
  readonly activations: readonly ActivationSet[];
  /** What was begun and has no outcome: under these CKA_IDs or labels an object may be on a token. */
  readonly begun: readonly (Source & { readonly names: readonly string[] })[];
  readonly findings: readonly InventoryFinding[];
  /** Records that are rehearsals, and verify. */
  readonly rehearsals: readonly string[];
}

/** Every object that the records explain, with the key that it belongs to. */
export function explainedObjects({ keys, others, activations }: Pick<Inventory, 'keys' | 'others' | 'activations'>): readonly { readonly object: Holding; readonly key: string | null }[] {
  return [
    ...keys.flatMap(({ identity, copies }) => copies.flatMap((copy) => (copy.kind === 'object' ? [copy] : copy.kind === 'share-set' ? copy.custodians.map((share) => share.object) : [])).map((object) => ({ object, key: identity }))),
    ...others.map((object) => ({ object, key: null })),
    ...activations.flatMap(({ custodians }) => custodians.map(({ object }) => ({ object, key: null }))),
  ];
}

/** Those of the objects on a token that the machine's records know, with the key that each is a copy of and what is left of that elsewhere. */
export function knownObjects(inventory: Pick<Inventory, 'keys' | 'others' | 'activations'>, on: { readonly module: string; readonly token: string }, objects: readonly ObjectFact[]): NonNullable<Evidence<'take-inventory'>['known']> {
  const explained = explainedObjects(inventory).filter(({ object }) => stands(object) && object.module === on.module && object.token === on.token);
  return objects.flatMap((object) => {
    const found = explained.find(({ object: known }) => known.class === object.class && (known.id === null || object.class === 'data' ? known.label === object.label : known.id === object.id));
    if (found === undefined) return [];
    const key = inventory.keys.find(({ identity }) => identity === found.key);
    const elsewhere = key?.copies.filter((copy) => stands(copy) && holdsSecret(copy) && !(copy.kind === 'object' && copy.module === on.module && copy.token === on.token)).length ?? 0;
    return [{ object, what: found.object.what.slice(0, 300), key: key?.identity ?? null, label: key?.label ?? '', elsewhere }];
  });
}

/** Keys of which a copy lies wrapped under this one, or under one that does: whoever has it has them all. */
export function dependantsOf({ keys }: Pick<Inventory, 'keys'>, identity: string): { readonly key: string; readonly label: string; readonly how: string }[] {
  const seen = new Set([identity]);
  const found: { key: string; label: string; how: string }[] = [];
  const waiting = [{ identity, through: '' }];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const { identity: above, through } = next;
    for (const { identity: key, label, copies } of keys) {
      if (seen.has(key)) continue;
      const wrapped = copies.filter((copy) => stands(copy) && liesUnder(keys, copy, above));
      if (wrapped.length === 0) continue;
      seen.add(key);
      found.push({ key, label, how: `${wrapped.map((copy) => (copy.kind === 'wrapped-file' ? `a file wrapped by ${copy.method}` : 'a part wrapped in its record')).join(', ')}${through}` });
      waiting.push({ identity: key, through: `, through "${label}"` });
    }
  }
  return found;
}

function liesUnder(keys: readonly InventoryKey[], copy: Copy, identity: string): boolean {
  if (copy.kind === 'wrapped-file') return copy.underKey === identity;
  return copy.kind === 'wrapped-part' && keys.some((key) => key.identity === identity && key.copies.some((one) => one.kind === 'object' && one.class === 'secret-key' && one.id === copy.under.id && one.token === copy.under.token && one.module === copy.under.module));
}

/** What a list of copies calls an escrow; by this it is known again when the list is carried out. */
export function escrowText({ agent, sha256: digest }: Pick<EscrowCopy, 'agent' | 'sha256'>): string {
  return `an envelope of the backup key, in escrow with ${agent}, SHA-256 ${digest}`.slice(0, 300);
}

/** What a list of copies calls a wrapped file; by this it is known again when the list is carried out. */
export function wrappedFileText({ method, under }: Pick<WrappedFileCopy, 'method' | 'under'>): string {
  return `a file, wrapped by ${method} under ${under}`.slice(0, 300);
}

// --- the records in one order ------------------------------------------------------------------------------------------

/** One entry, with the state in front of it and behind it. */
export interface Step {
  readonly entry: Entry;
  readonly before: State;
  readonly after: State;
}

interface ReadRecord {
  readonly ceremony: string;
  readonly believed: boolean;
  readonly opening: Data<'opened'>;
  readonly openedAt: string;
  readonly lastAt: string;
  readonly lastHash: string;
  readonly steps: readonly Step[];
}

/** As far as the record's own rules carry: of a record that is believed, all of it. Yields after every line. */
function* readRecord({ verdict, lines }: JudgedRecord, hasher: Hasher): Generator<void, ReadRecord | null> {
  const fold = new Fold(hasher);
  const steps: Step[] = [];
  for (const line of lines) {
    yield;
    const before = fold.state;
    const entry = entryIn(line);
    if (entry === null || fold.push(entry, utf8(line)) !== null) break;
    steps.push({ entry, before, after: fold.state });
  }
  const { opening, ceremony, lastAt } = fold.state;
  const [first] = steps;
  if (opening === null || first === undefined) return null;
  return { ceremony, believed: verdict.verdict !== 'refused', opening, openedAt: first.entry.at, lastAt, lastHash: hasher.entry(utf8(lines.at(-1) ?? '')), steps };
}

function entryIn(line: string): Entry | null {
  try {
    return parseLine(line);
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * Every entry of these records, as things happened: by time, within a record by number. A volume of the logbook comes after
 * the one that it names, whatever a clock that was set back says of it.
 */
function inOrder(records: readonly ReadRecord[]): Step[] {
  const byId = new Map(records.map((record) => [record.ceremony, record]));
  const notBefore = (record: ReadRecord, seen: readonly string[] = []): string => {
    const previous = byId.get(record.opening.after?.ceremony ?? '');
    if (previous === undefined || seen.includes(previous.ceremony)) return record.openedAt;
    const floor = [previous.lastAt, notBefore(previous, [...seen, record.ceremony])].sort(byText).at(-1) ?? '';
    return floor > record.openedAt ? floor : record.openedAt;
  };
  return records.flatMap((record) => {
    const floor = notBefore(record);
    return record.steps.map((step) => ({ step, at: step.entry.at > floor ? step.entry.at : floor, floor }));
  }).sort((a, b) => byText(a.at, b.at) || byText(a.floor, b.floor) || byText(a.step.entry.ceremony, b.step.entry.ceremony) || a.step.entry.seq - b.step.entry.seq).map(({ step }) => step);
}

/** Every entry of those records that are believed, as things happened: what other registers are folded from. */
export function believedSteps(records: readonly JudgedRecord[], hasher: Hasher = portableHasher): Step[] {
  return inOrder(records.flatMap((record) => atOnce(readRecord(record, hasher)) ?? []).filter(({ believed }) => believed));
}

/** The inventory of a machine. The order in which its records are given does not matter. */
export function foldInventory(records: readonly JudgedRecord[], hasher: Hasher = portableHasher): Inventory {
  return atOnce(inventoryByEntries(records, hasher));
}

/** What a generator comes to, for whoever has nobody to answer in between. */
function atOnce<T>(work: Generator<void, T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}

/** The same, yielding after every entry: who folds a hundred thousand of them can answer others in between. */
export function* inventoryByEntries(records: readonly JudgedRecord[], hasher: Hasher): Generator<void, Inventory> {
  const read: { readonly record: JudgedRecord; readonly read: ReadRecord | null }[] = [];
  for (const record of records) read.push({ record, read: yield* readRecord(record, hasher) });
  read.sort((a, b) => byText(a.record.verdict.ceremony, b.record.verdict.ceremony));
  const readable = read.flatMap((one) => one.read ?? []);
  const believed = readable.filter((one) => one.believed);
  const estate = new Estate(true);
  for (const step of inOrder(believed)) {
    estate.take(step);
    yield;
  }
  const doubtful = new Estate(false);
  for (const step of inOrder(readable.filter((one) => !one.believed))) {
    doubtful.take(step);
    yield;
  }
  const refused = read.filter(({ record }) => record.verdict.verdict === 'refused');
  return estate.finish(doubtful, {
    records: { believed: believed.length, refused: refused.length },
    rehearsals: believed.flatMap(({ ceremony, opening: { mode } }) => (mode === 'rehearsal' ? [ceremony] : [])),
    findings: [...refused.map(({ record, read: what }) => notBelieved(record, what)), ...chainFindings(readable)],
  });
}

function notBelieved({ verdict }: JudgedRecord, read: ReadRecord | null): InventoryFinding {
  const [first] = verdict.findings;
  return {
    ...refuse('RECORD-NOT-BELIEVED', 'a record that verifies', `${verdict.ceremony === '' ? 'a record' : verdict.ceremony}: ${first?.rule ?? 'refused'}${first === undefined || first.seq === null ? '' : ` at entry ${first.seq}`}`,
      'Investigate: compare it with the other copies of this record. What it alone knows is listed and marked; it ends no copy.'),
    source: read === null ? null : { ceremony: read.ceremony, seq: first?.seq ?? 0, at: read.openedAt }, keys: [],
  };
}

/** A volume that is missing took what it knew with it. */
function chainFindings(records: readonly ReadRecord[]): InventoryFinding[] {
  return records.flatMap(({ ceremony, openedAt, opening: { after } }) => {
    if (!after) return [];
    const before = records.find((one) => one.ceremony === after.ceremony);
    if (before?.lastHash === after.last) return [];
    return [{
      ...refuse('LOGBOOK-CHAIN', `the volume ${after.ceremony} before this one, as it was`, before ? 'it ends otherwise' : 'none', 'Investigate: find the volume that is missing. What was changed in it, nobody knows here.'),
      source: { ceremony, seq: 0, at: openedAt }, keys: [],
    }];
  });
}

// --- the fold ----------------------------------------------------------------------------------------------------------

type Draft<T> = { -readonly [Name in keyof T]: T[Name] };
type HoldingDraft = Draft<Holding>;
interface ShareDraft extends Omit<Draft<Share>, 'object'> { object: HoldingDraft }
interface SetDraft extends Omit<Draft<ShareSetCopy>, 'custodians' | 'media'> { custodians: ShareDraft[]; media?: Draft<ShareMedium>[] }
interface ActivationDraft extends SetDraft { token: string; whose: Whose; rehearsal: boolean; inForce: boolean }
type CopyDraft = HoldingDraft | Draft<WrappedPartCopy> | Draft<WrappedFileCopy> | SetDraft | Draft<EscrowCopy>;

interface KeyDraft extends Omit<Draft<InventoryKey>, 'copies' | 'certificates' | 'events' | 'unknown' | 'whoCan' | 'destruction' | 'passages'> {
  copies: CopyDraft[];
  passages: Passage[];
  events: KeyEvent[];
  unknown: Set<string>;
  /** It was active once: what it is again, should a copy come back after its last one was destroyed. */
  used: boolean;
}

interface Certificate extends KeyCertificate { readonly fingerprint: string }

interface Begun {
  readonly source: Source;
  readonly step: string;
  readonly action: ActionName;
  readonly intent: Intent;
  /** CKA_IDs of what it may have made; of a share, its label. */
  readonly names: readonly string[];
  /** Of a copy that it was to destroy: the key, and its place where that is a token. */
  readonly doomed: { readonly key: string; readonly on: OnToken | null } | null;
}

const NO_CHECK: KeyCheck = { method: 'none', value: '' };
/** Acts that leave nothing behind, whatever became of them. */
const LEAVES_NOTHING: readonly ActionName[] = [
  'confirm-script', 'confirm-input', 'inspect-token', 'test-random', 'take-inventory', 'prove-key', 'open-key', 'compare-keys', 'read-back-share', 'prove-recovery', 'seal-escrow', 'seal-copy', 'open-copy', 'renew-shares', 'put-away', 'hand-over', 'sign-seal', 'sign-resume',
  'locate-copies', 'approve', 'wait', 'confirm-gone', 'make-activation-key', 'wipe-activation-key', 'activate', 'deactivate',
];
const CHANGES_NO_OBJECT: readonly Intent<'administer'>['change'][] = ['log-out', 'set-user-pin', 'change-pin', 'set-state', 'set-period', 'set-drill'];

function spkiCheck(spki: string): KeyCheck {
  return { method: 'SHA-256 of SubjectPublicKeyInfo', value: toHex(sha256(fromBase64url(spki))) };
}

function identityOf(check: KeyCheck, place: { readonly module: string; readonly token: string; readonly id: string | null }): string {
  return check.method === 'none' ? `object ${place.module}:${place.token} ${place.id ?? ''}` : checkText(check);
}

/** What can be read may still be nonsense: of a record that is not believed, or where nothing recomputes it. */
function readable<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
}

class Estate {
  readonly #believed: boolean;
  readonly keys: KeyDraft[] = [];
  readonly others: HoldingDraft[] = [];
  readonly certificates: Certificate[] = [];
  readonly activations: ActivationDraft[] = [];
  readonly findings: InventoryFinding[] = [];
  readonly #begun: Begun[] = [];
  readonly #left: { readonly source: Source; readonly objects: readonly ObjectFact[] }[] = [];
  /** The key that each ceremony makes or opens. */
  readonly #ownKeys = new Map<string, KeyDraft>();
  readonly #sets = new Map<string, SetDraft>();
  /** By set: shares of which a custody movement says that something other than a card holds them. */
  readonly #declared = new Map<string, Set<number>>();
  /** The key in each wrapped file that the logbook gave out, by its ciphertext: not every token tells what came back in. */
  readonly #wrappedOut = new Map<string, KeyDraft>();

  constructor(believed: boolean) {
    this.#believed = believed;
  }

  take(step: Step): void {
    const { entry, before } = step;
    const source = sourceOf(entry);
    switch (entry.kind) {
      case 'opened':
        this.#broughtKeys(entry as Entry<'opened'>, step.after);
        this.#broughtBackups(entry as Entry<'opened'>, step.after);
        this.#broughtEscrows(entry as Entry<'opened'>, step.after);
        this.#broughtActivations(entry as Entry<'opened'>, step.after);
        return;
      case 'begun': {
        const intent = (entry.data as Data<'begun'>).intent as Intent;
        const action = before.current?.step.do.action ?? 'put-away';
        const begun: Begun = { source, step: entry.step ?? '', action, intent, names: namesOf(action, intent), doomed: doomedBy(before, action, intent) };
        if (!LEAVES_NOTHING.includes(action) && !(action === 'administer' && CHANGES_NO_OBJECT.includes((intent as Intent<'administer'>).change))) this.#begun.push(begun);
        return;
      }
      case 'failed': {
        const { begun, error, nothingChanged } = entry.data as Data<'failed'>;
        if (error.code === 'NOT-ZEROISED') this.#notBlank(step, error.message);
        const wanted = this.#pending(entry.ceremony, begun);
        if (!wanted) return;
        for (const key of this.#aimedAt(wanted)) this.#event(key, step, `${wordsOf(wanted)}: failed (${error.code})${nothingChanged ? ', nothing changed' : ''}`);
        if (nothingChanged) this.#settle(wanted);
        return;
      }
      case 'found': {
        const { begun, observation } = entry.data as Data<'found'>;
        const wanted = this.#pending(entry.ceremony, begun);
        if (wanted && (observation.state === 'absent' || observation.state === 'none')) this.#settle(wanted);
        return;
      }
      case 'cleared': {
        const wanted = this.#pending(entry.ceremony, (entry.data as Data<'cleared'>).begun);
        if (wanted) this.#settle(wanted);
        return;
      }
      case 'done': this.#done(step, entry as Entry<'done'>); return;
      case 'aborted':
        this.#left.push({ source, objects: (entry.data as Data<'aborted'>).left });
        this.#giveUpSets(entry.ceremony);
        this.#settleEnds(source);
        return;
      case 'exception': this.#unread(step, entry as Entry<'exception'>); return;
      case 'checkpoint': case 'noted': case 'break': case 'back': case 'disagreed': case 'lost': case 'resumed': case 'decided': case 'witnessed': case 'closed': return;
    }
  }

  #pending(ceremony: string, seq: number): Begun | undefined {
    return this.#begun.find((one) => one.source.ceremony === ceremony && one.source.seq === seq);
  }

  #settle(begun: Begun): void {
    this.#begun.splice(this.#begun.indexOf(begun), 1);
  }

  /** An act that succeeded explains itself, and the attempts at the same thing before it. */
  #explain(entry: Entry<'done'>, action: ActionName, intent: Intent | null): void {
    const same = (one: Begun) => one.source.ceremony === entry.ceremony && (one.source.seq === entry.data.begun
      || (one.step === entry.step && (action !== 'administer' || (canonicalize(one.intent) === canonicalize(intent ?? {}) && one.names.length === 0))));
    for (const one of this.#begun.filter(same)) this.#settle(one);
  }

  // --- keys and copies ---

  #keyOf(check: KeyCheck, place: { readonly module: string; readonly token: string; readonly id: string | null }): KeyDraft | undefined {
    return this.keys.find((key) => key.identity === identityOf(check, place));
  }

  #newKey(step: { readonly entry: Entry; readonly after: State }, about: { readonly check: KeyCheck; readonly place: { readonly module: string; readonly token: string; readonly id: string | null }; readonly label: string; readonly origin: KeyOrigin; readonly proof: Proof; readonly algorithm: { readonly name: string; readonly standing: Standing | null } }): KeyDraft {
    const identity = identityOf(about.check, about.place);
    // Three octets of a check value do not make two keys that were each generated one key.
    const taken = this.keys.some((key) => key.identity === identity);
    const key: KeyDraft = {
      identity: taken ? `${identity}, ${about.place.module}:${about.place.token} ${about.place.id ?? ''}` : identity, label: about.label, algorithm: about.algorithm.name, standing: about.algorithm.standing,
      rehearsal: step.after.opening?.mode === 'rehearsal', origin: about.origin, proof: about.proof, state: null, passages: [], period: null, drill: null, copies: [], lastRecovery: null, events: [], unknown: new Set(), used: false, believed: this.#believed,
    };
    this.keys.push(key);
    this.#pass(key, 'pre-activation', sourceOf(step.entry));
    return key;
  }

  /** What is used in earnest is no rehearsal's key any more, wherever it was seen first. */
  #inEarnest(key: KeyDraft, { opening }: State): void {
    if (opening?.mode !== 'real' || !key.rehearsal) return;
    key.rehearsal = false;
    // What a rehearsal proved is not proven in earnest.
    key.lastRecovery = null;
    for (const copy of key.copies) if (copy.kind === 'share-set') copy.lastRecovery = null;
  }

  #event(key: KeyDraft, step: Pick<Step, 'entry' | 'before'>, what: string): void {
    key.events.push({ ...sourceOf(step.entry), by: this.#by(step), what, believed: this.#believed });
  }

  /** Passes to a state where section 7 lets it; else says that it cannot have. */
  #pass(key: KeyDraft, to: KeyState, source: Source, signed: Passage['signed'] = null): void {
    if (key.state === to) return;
    const passage = transition(key.state, to);
    if ('expected' in passage) this.findings.push({ ...passage, found: `${key.label}: ${passage.found}`, source, keys: [key.identity] });
    key.passages.push({ ...source, from: key.state, to, rule: passage.rule, clause: 'expected' in passage ? '' : passage.clause, signed });
    key.state = to;
  }

  /** What somebody signed goes before what could be told from the records alone. */
  #use(key: KeyDraft, step: Step, what: string): void {
    this.#event(key, step, what);
    key.used = true;
    const source = sourceOf(step.entry);
    const { notBefore = null, notAfter = null } = key.period ?? {};
    const moment = Date.parse(source.at);
    if ((notBefore !== null && moment < Date.parse(notBefore)) || (notAfter !== null && moment >= Date.parse(notAfter))) {
      this.findings.push({ ...refuse('PERIOD-USE', `no use of "${key.label}" ${notBefore === null ? '' : `before ${notBefore} or `}from ${notAfter ?? ''} on`, what, 'Investigate: who needed it, and why. Let its officer end its use, or sign a longer period.'), source, keys: [key.identity] });
    }
    const signed = key.passages.findLast((passage) => passage.signed !== null);
    if (signed === undefined || key.state === 'active' || key.state === 'destroyed') this.#pass(key, 'active', source);
    else this.findings.push({ ...refuse('STATE-USE', `no use of "${key.label}" while it is ${signed.to}`, what, `Investigate: who used it, and why. ${signed.to === 'compromised' ? 'Do not rely on what it signed or protected here.' : 'Where that was right, sign the state that allows it.'}`), source, keys: [key.identity] });
  }

  #stated(step: Step, order: StateSigned): void {
    const source = sourceOf(step.entry);
    const key = this.#statedKey(step, order);
    if (key === null) return;
    const { from, to, since, reason } = order;
    if (key.state !== from) {
      this.findings.push({ ...refuse('STATE-FROM', `"${key.label}" ${from}, as was signed`, key.state ?? 'no state', 'Investigate: find the record that is missing here, or sign the state again.'), source, keys: [key.identity] });
      // That it is compromised counts whatever it was thought to be: the other way round nobody would be warned.
      if (to !== 'compromised') return;
    }
    // Copies that are gone are gone whatever somebody signs, and no use has made it active since.
    if (key.state === 'destroyed') return;
    this.#pass(key, to, source, { by: this.#by(step), reason, since });
    const passage = transition(from, to);
    this.#event(key, step, `passes from ${from} to ${to}${since === null ? '' : `, since ${since}`}: ${reason}${'expected' in passage ? '' : ` (${passageText(passage)})`}`);
  }

  #periodStated(step: Step, order: PeriodSigned): void {
    const key = this.#statedKey(step, order);
    if (key === null) return;
    const { notBefore, notAfter, reason } = order;
    key.period = { ...sourceOf(step.entry), by: this.#by(step), reason, notBefore, notAfter };
    this.#event(key, step, `may be used ${notBefore === null ? '' : `from ${notBefore} `}until ${notAfter}: ${reason}`);
  }

  #drillStated(step: Step, order: DrillSigned): void {
    const key = this.#statedKey(step, order);
    if (key === null) return;
    const { every, firstBy, reason } = order;
    key.drill = { ...sourceOf(step.entry), by: this.#by(step), reason, every, firstBy };
    this.#event(key, step, `a recovery is to be proven at least every ${intervalText(every)}, first by ${firstBy}: ${reason}`);
  }

  /** The key that a statement is about. A rehearsal says nothing of one that is in earnest. */
  #statedKey({ entry, before }: Step, { key: identity, label }: Pick<StateSigned, 'key' | 'label'>): KeyDraft | null {
    const key = this.keys.find((one) => one.identity === identity);
    const fault = key === undefined ? refuse('KEY-KNOWN', 'a statement on a key that the records know', `"${label}" ${identity}`, 'Investigate: find the record in which it was made.')
      : before.opening?.mode === 'rehearsal' && !key.rehearsal ? refuse('STATE-REHEARSAL', 'a statement in earnest on a key that is', `one of a rehearsal on "${label}"`, 'It counts for nothing. Sign it for real, if it is meant.') : null;
    if (fault !== null) this.findings.push({ ...fault, source: sourceOf(entry), keys: key === undefined ? [] : [key.identity] });
    return fault === null ? key ?? null : null;
  }

  #by({ entry, before }: Pick<Step, 'entry' | 'before'>): string {
    const person = entry.by === undefined ? undefined : personAt(before, entry.by);
    return person === undefined ? 'the conductor' : `${person.name} (${person.seat})`;
  }

  #add(key: KeyDraft, copy: CopyDraft): void {
    key.copies.push(copy);
    if (key.state === 'destroyed' && holdsSecret(copy)) this.#pass(key, key.passages.findLast(({ signed }) => signed !== null)?.to ?? (key.used ? 'active' : 'pre-activation'), copy.since);
  }

  #hold(key: KeyDraft | null, source: Source, place: { readonly module: string; readonly token: string }, about: Pick<Holding, 'class' | 'id' | 'label' | 'keyType' | 'check' | 'attributes' | 'what' | 'pair'>): HoldingDraft {
    const holding: HoldingDraft = { kind: 'object', ...place, ...about, since: source, end: null, believed: this.#believed };
    if (key) this.#add(key, holding);
    else this.others.push(holding);
    return holding;
  }

  #end(copy: CopyDraft, source: Source, level: Level, how: string): void {
    copy.end = { ...source, level, how };
  }

  /** An end of which the records tell the outcome: at L0 nobody looked again, and it ended all the same. */
  #told(copy: CopyDraft, source: Source, level: Level, how: string): void {
    copy.end = { ...source, level, how, ...level === 'L0' && { told: true } };
  }

  /** Whatever set of this ceremony is not whole by now never will be. */
  #giveUpSets(ceremony: string): void {
    for (const [name, set] of this.#sets) if (name.startsWith(`${ceremony} `) && set.custodians.length < set.shares) set.complete = false;
  }

  /** After copies have ended: what can no longer be opened without them, and keys of which no copy is left. An end that was only told may have been taken back since. */
  #settleEnds(source: Source): void {
    const settle = (copy: CopyDraft, level: Level | null, how: string): void => {
      if (copy.end !== null && copy.end.told !== true) return;
      if (level === null) copy.end = null;
      else if (copy.end?.level !== level) this.#told(copy, source, level, how);
    };
    for (const set of new Set(this.#sets.values())) {
      // A set that is still being given out may yet be completed.
      const givenOut = !set.complete || set.custodians.length >= set.shares;
      const gone = set.custodians.flatMap(({ object }) => (object.end === null || stands(object) ? [] : [object.end.level])).sort().reverse();
      const left = new Set([...set.custodians.filter(({ object }) => stands(object)).map(({ x }) => x), ...(set.media ?? []).filter((one) => one.gone === null).map(({ x }) => x), ...this.#declared.get(set.set) ?? []]).size;
      // Of those that ended, as many as were needed: the surest of them.
      if (givenOut) settle(set, left < set.threshold ? gone[Math.max(0, set.custodians.length - set.threshold)] ?? 'L1' : null, `fewer than ${set.threshold} shares are left: no longer recoverable`);
    }
    const parts = this.keys.flatMap(({ copies }) => copies.flatMap((copy) => (copy.kind === 'wrapped-part' && (copy.end === null || copy.end.told === true) ? [copy] : [])));
    const at = ({ module, token, id }: { readonly module: string; readonly token: string; readonly id: string | null }) => `${module} ${token} ${id ?? ''}`;
    const under = parts.length === 0 ? null : Map.groupBy(this.#holdings().flatMap(({ holding }) => (holding.class === 'secret-key' ? [holding] : [])), at);
    for (const part of parts) {
      const keys = under?.get(at(part.under)) ?? [];
      settle(part, keys.some(stands) ? null : keys.at(-1)?.end?.level ?? null, 'the key that it was wrapped under is gone: no longer to be opened');
    }
    for (const key of this.keys) {
      const secret = key.copies.filter(holdsSecret);
      const gone = secret.length > 0 && secret.every((copy) => !stands(copy));
      if (gone) this.#pass(key, 'destroyed', source);
      else if (key.state === 'destroyed') {
        key.passages.pop();
        key.state = key.passages.at(-1)?.to ?? null;
      }
    }
  }

  /** A sheet or an envelope may hold a share besides the card that a ceremony wrote: as somebody signed, and nobody here can look. */
  #handedOver(step: Step): void {
    const { movement } = step.before.current?.step ?? {};
    if (!movement?.share || movement.kind === 'card') return;
    const { set, x } = movement.share;
    const key = this.keys.find(({ copies }) => copies.some((copy) => copy.kind === 'share-set' && copy.set === set));
    if (!key || (step.before.opening?.mode === 'rehearsal' && !key.rehearsal)) return;
    key.unknown.add(`${thingName(movement)} holds share ${x} of set ${set}, says a custody movement`);
    this.#declared.set(set, (this.#declared.get(set) ?? new Set()).add(x));
  }

  #holdings(): { holding: HoldingDraft; key: KeyDraft | null }[] {
    return [
      ...this.keys.flatMap((key) => key.copies.flatMap((copy) => (copy.kind === 'object' ? [copy] : copy.kind === 'share-set' ? copy.custodians.map(({ object }) => object) : [])).map((holding) => ({ holding, key }))),
      ...this.others.map((holding) => ({ holding, key: null })),
      ...this.activations.flatMap(({ custodians }) => custodians.map(({ object }) => ({ holding: object, key: null }))),
    ];
  }

  /** The object that an officer pointed at, where the records know it. */
  #pointedAt(on: { readonly module: string; readonly token: string }, object: ObjectReference): { holding: HoldingDraft; key: KeyDraft | null } | undefined {
    return this.#holdings().find(({ holding }) => stands(holding) && holding.module === on.module && holding.token === on.token && holding.class === object.class
      && (holding.id === null || object.class === 'data' ? holding.label === object.label : holding.id === object.id)
      && !(holding.check.method === object.check.method && holding.check.value !== object.check.value));
  }

  /** The key that an officer pointed at; one that no record knew is known from here on. */
  #keyPointedAt(step: Step, on: { readonly module: string; readonly token: string }, object: ObjectReference): KeyDraft {
    const found = this.#pointedAt(on, object)?.key ?? (object.check.method === 'SHA-256 of SubjectPublicKeyInfo' ? this.#keyOf(object.check, { ...on, id: object.id }) : undefined);
    const key = found ?? this.#newKey(step, {
      check: object.check, place: { ...on, id: object.id }, label: object.label, origin: 'earlier', proof: 'reported',
      algorithm: algorithmStanding({ class: object.class === 'secret-key' ? 'secret-key' : 'private-key', key: null, attributes: typeOnly(object) }),
    });
    this.#inEarnest(key, step.after);
    if (!found) key.unknown.add('it was there before the first record that names it');
    if (!this.#pointedAt(on, object)) {
      this.#hold(key, sourceOf(step.entry), on, { class: object.class, id: object.id, label: object.label, keyType: object.keyType, check: object.check, attributes: null, what: `${object.class} of ${key.label}`, pair: null });
    }
    return key;
  }

  #seen(on: { readonly module: string; readonly token: string }, shown: readonly (KeyAttributes | null)[]): void {
    for (const attributes of shown) {
      const known = attributes && this.#holdings().find(({ holding }) => stands(holding) && holding.module === on.module && holding.token === on.token && holding.class === attributes.class && holding.id === attributes.id);
      if (attributes && known) Object.assign(known.holding, { attributes, label: attributes.label, keyType: attributes.keyType });
    }
  }

  /** Those keys that an act without an outcome was about. */
  #aimedAt({ source, action, intent, doomed }: Begun): KeyDraft[] {
    if (doomed) return [(doomed.on ? this.#listed(doomed.on)?.key : null) ?? this.keys.find(({ identity }) => identity === doomed.key) ?? []].flat();
    if (action === 'zeroise-token') return this.keys.filter((key) => this.#holdings().some(({ holding, key: own }) => own === key && stands(holding) && holding.token === (intent as Intent<'zeroise-token'>).token));
    if (action !== 'administer') return [this.#ownKeys.get(source.ceremony) ?? []].flat();
    const change = intent as Intent<'administer'>;
    if (!goesToToken(change)) return [];
    const order = change.order as Partial<Record<'object' | 'key' | 'under', ObjectReference | null>>;
    return [order.object, order.key].flatMap((object) => (object ? this.#pointedAt(change, object)?.key ?? [] : []));
  }

  // --- ceremonies ---

  /** Key records that people brought: of keys that were made elsewhere, or for a rehearsal. */
  #broughtKeys(entry: Entry<'opened'>, after: State): void {
    for (const [name, input] of Object.entries(entry.data.inputs)) {
      if (input.kind !== 'key') continue;
      const record = readable(() => readKeyRecord(fromBase64url(input.bytes)));
      if (record === null) continue;
      const { key: reference, label, token } = record;
      const on = { module: moduleOf(after, token), token };
      const source = sourceOf(entry);
      let key = this.#keyOf(spkiCheck(reference.spki), { ...on, id: null });
      if (!key) {
        key = this.#newKey({ entry, after }, { check: spkiCheck(reference.spki), place: { ...on, id: null }, label, origin: 'earlier', proof: 'reported', algorithm: algorithmOfSpki(reference.spki) });
        key.unknown.add('it was made before the first record here that names it');
        this.#holdParts(key, source, on, label, reference, () => ({ private: null, public: null }));
        if (reference.wrapping !== null) this.#wrappingKey({ entry, after }, on, label, reference.wrapping, null, 'earlier');
        key.events.push({ ...source, by: 'the opening', what: `brought as ${name} (${input.file}): it was there before`, believed: this.#believed });
        if (record.certificate !== null) {
          this.#certificate(source, record.certificate);
          // It has a certificate: it became available for use, whenever that was.
          key.used = true;
          this.#pass(key, 'active', source);
        }
      } else if (!this.#knownAt(key, on, reference)) {
        this.#holdParts(key, source, on, label, reference, () => ({ private: null, public: null }));
        if (reference.wrapping !== null) this.#wrappingKey({ entry, after }, on, label, reference.wrapping, null, 'earlier');
        key.events.push({ ...source, by: 'the opening', what: `brought as ${name} (${input.file}): also on token ${token}`, believed: this.#believed });
      }
      this.#inEarnest(key, after);
      this.#ownKeys.set(entry.ceremony, key);
    }
  }

  /** Do the records tell of the parts that a key record places here, be it that they have ended since? */
  #knownAt(key: KeyDraft, on: { readonly module: string; readonly token: string }, { parts, wrapping }: KeyReference): boolean {
    const here = (place: { readonly module: string; readonly token: string }) => place.token === on.token && (place.module === on.module || place.module === '' || on.module === '');
    return key.copies.some((copy) => (copy.kind === 'object' && here(copy) && parts.some(({ id }) => id !== null && id === copy.id)) || (copy.kind === 'wrapped-part' && here(copy.under) && copy.under.id === wrapping));
  }

  /** Backups that people brought: the set is the one that was made here, or is known from now on. */
  #broughtBackups(entry: Entry<'opened'>, after: State): void {
    for (const [name, input] of Object.entries(entry.data.inputs)) {
      const record = input.kind === 'backup' ? readable(() => readBackupRecord(fromBase64url(input.bytes))) : null;
      if (record === null) continue;
      const { key: reference, label, token, set, shares, certificate } = record;
      const source = sourceOf(entry);
      const place = { module: moduleOf(after, token), token, id: null };
      let key = this.#keyOf(spkiCheck(reference.spki), place);
      if (!key) {
        key = this.#newKey({ entry, after }, { check: spkiCheck(reference.spki), place, label, origin: 'earlier', proof: 'reported', algorithm: algorithmOfSpki(reference.spki) });
        key.unknown.add(`it was made on token ${token} before the first record here that names it: what became of it there is in no record`);
        key.events.push({ ...source, by: 'the opening', what: `its backup brought as ${name} (${input.file}): it was there before`, believed: this.#believed });
        if (certificate !== null) this.#certificate(source, certificate);
      }
      this.#inEarnest(key, after);
      this.#ownKeys.set(entry.ceremony, key);
      let copy = key.copies.find((one): one is SetDraft => one.kind === 'share-set' && one.set === set.id && one.epoch === set.epoch);
      if (!copy) {
        copy = {
          kind: 'share-set', set: set.id, epoch: set.epoch, threshold: set.threshold, shares: set.shares, recoveryProven: false, lastRecovery: null, complete: true, renewal: null, since: source, end: null, believed: this.#believed,
          custodians: this.#broughtShares(shares, source, after),
        };
        this.#add(key, copy);
      }
      this.#sets.set(setName(entry.ceremony, set), copy);
    }
  }

  /** A share that nobody could read where it should be: until one does, it is not known to be there. */
  #unread(step: Step, entry: Entry<'exception'>): void {
    const { backup } = step.after;
    const unread = entry.step === undefined ? undefined : backup?.unread[step.before.current?.step.who ?? ''];
    if (!backup || !unread) return;
    const share = this.#sets.get(setName(entry.ceremony, backup.set))?.custodians.find(({ x }) => x === unread.x);
    if (share) share.readBack = false;
    const own = this.#ownKeys.get(entry.ceremony);
    if (own) this.#event(own, step, `share ${unread.x} could not be read from card ${unread.card}: ${entry.data.happened}`);
  }

  /** Escrows that people brought: what was deposited elsewhere is a copy from now on. */
  #broughtEscrows(entry: Entry<'opened'>, after: State): void {
    for (const input of Object.values(entry.data.inputs)) {
      const record = input.kind === 'escrow' ? readable(() => readEscrowRecord(fromBase64url(input.bytes))) : null;
      const key = record && this.keys.find(({ identity }) => identity === record.key.identity);
      if (!record || !key || (after.opening?.mode === 'rehearsal' && !key.rehearsal)) continue;
      this.#escrow(key, sourceOf(entry), record);
    }
  }

  #escrow(key: KeyDraft, since: Source, { set, agent, purpose, conditions, sha256: digest }: EscrowRecord): Draft<EscrowCopy> {
    const known = key.copies.find((copy): copy is Draft<EscrowCopy> => copy.kind === 'escrow' && copy.sha256 === digest);
    if (known) return known;
    const copy: Draft<EscrowCopy> = { kind: 'escrow', set: set.id, epoch: set.epoch, agent: agent.name, purpose, conditions, sha256: digest, released: null, since, end: null, believed: this.#believed };
    this.#add(key, copy);
    key.unknown.add('where the escrow agent keeps the envelope, and who copied it, is in no record');
    return copy;
  }

  #broughtShares(shares: KeptShares, source: Source, after: State): ShareDraft[] {
    return shares.map(({ x, card, object, holder }): ShareDraft => ({
      seat: '', name: holder, x, readBack: false,
      object: {
        kind: 'object', module: moduleOf(after, card), token: card, class: 'data', id: null, label: object, keyType: '', check: NO_CHECK, attributes: null, what: `share ${x} of ${holder}`, pair: null, since: source, end: null, believed: this.#believed,
      },
    }));
  }

  // --- tokens that only a quorum opens ---

  /** The sets of activation records that people brought: made here, or known from now on. */
  #broughtActivations(entry: Entry<'opened'>, after: State): void {
    for (const input of Object.values(entry.data.inputs)) {
      const record = input.kind === 'activation' ? readable(() => readActivationRecord(fromBase64url(input.bytes))) : null;
      if (record === null) continue;
      const { set, shares, token, pin: { whose } } = record;
      const source = sourceOf(entry);
      let known = this.activations.find((one) => one.set === set.id && one.epoch === set.epoch);
      if (!known) {
        known = {
          kind: 'share-set', set: set.id, epoch: set.epoch, threshold: set.threshold, shares: set.shares, recoveryProven: false, lastRecovery: null, complete: true, renewal: null, since: source, end: null, believed: this.#believed,
          custodians: this.#broughtShares(shares, source, after), token: token.serial, whose, rehearsal: after.opening?.mode === 'rehearsal', inForce: !this.activations.some((one) => one.token === token.serial && one.whose === whose && one.inForce),
        };
        this.activations.push(known);
      }
      this.#sets.set(setName(entry.ceremony, set), known);
    }
  }

  #activationMade(entry: Entry<'done'>, { before }: Step, { set }: Evidence<'make-activation-key'>, token: string, whose: Whose): void {
    this.#giveUpSets(entry.ceremony);
    const made: ActivationDraft = {
      kind: 'share-set', set: set.id, epoch: set.epoch, threshold: set.threshold, shares: set.shares, custodians: [], recoveryProven: false, lastRecovery: null, complete: true, renewal: null, since: sourceOf(entry), end: null, believed: this.#believed,
      token, whose, rehearsal: before.opening?.mode === 'rehearsal', inForce: false,
    };
    this.activations.push(made);
    this.#sets.set(setName(entry.ceremony, set), made);
  }

  #activationSet(entry: Entry<'done'>, { token, set }: Intent<'set-activation-pin'>): void {
    const made = this.activations.find((one) => one.set === set);
    this.#activationOver(sourceOf(entry), token, set, made?.whose ?? 'user');
    for (const one of this.activations) if (one.set === set) Object.assign(one, { inForce: true, recoveryProven: true });
  }

  /** The token has another PIN, of set `by`, or none: what gave the one before opens nothing any more, wherever its shares are. */
  #activationOver(source: Source, token: string, by: string | null, whose: Whose): void {
    for (const one of this.activations) {
      if (one.token !== token || one.whose !== whose || one.set === by || !one.inForce) continue;
      one.inForce = false;
      if (one.end === null) this.#end(one, source, 'L1', `token ${token} has not this PIN any more: its shares open nothing`);
    }
  }

  /** A quorum brought the key back: the backup works, as of now. */
  #recovered(step: Step, key: KeyDraft | undefined, { quorum }: Pick<Intent<'prove-recovery'>, 'quorum'>, what: string): void {
    const source = sourceOf(step.entry);
    const copy = this.#setOf(step);
    if (copy) copy.recoveryProven = true;
    if (!key) return;
    if (this.#counts(step, key)) {
      key.lastRecovery = source;
      if (copy) copy.lastRecovery = source;
    }
    this.#event(key, step, `${what} by ${quorum.map((seat) => personAt(step.before, seat)?.name ?? seat).join(', ')}`);
  }

  /** A rehearsal proves nothing of a key that is in earnest; and what a real ceremony uses is none of a rehearsal any more. */
  #counts({ before }: Step, { rehearsal }: KeyDraft): boolean {
    return rehearsal || before.opening?.mode === 'real';
  }

  #released(step: Step, key: KeyDraft, record: EscrowRecord, token: string): void {
    const source = sourceOf(step.entry);
    this.#escrow(key, source, record).released = source;
    if (this.#counts(step, key)) key.lastRecovery = source;
    const why = step.before.plan?.steps.flatMap(({ do: what }) => (what.action === 'approve' && what.reason !== undefined ? [what.reason] : []))[0] ?? '';
    const who = step.before.consent.approvals.map(({ seat }) => personAt(step.before, seat)?.name ?? seat).join(', ');
    this.#event(key, step, `released from escrow with ${record.agent.name} onto token ${token}, approved by ${who}: ${why}`);
  }

  /** The set that this ceremony works with at this moment. */
  #setOf({ entry, before }: Step): SetDraft | undefined {
    return before.backup ? this.#sets.get(setName(entry.ceremony, before.backup.set)) : undefined;
  }

  /** A renewed set that has brought the key back is in force; the splits before it are not. */
  #tookPlace(step: Step, key: KeyDraft | undefined): void {
    const copy = this.#setOf(step);
    if (copy?.renewal !== 'unproven' || !key) return;
    copy.renewal = null;
    for (const other of key.copies) if (other.kind === 'share-set' && other.set === copy.set && other.epoch < copy.epoch && other.renewal === null) other.renewal = 'superseded';
    this.#event(key, step, `from now on only the shares of epoch ${copy.epoch} count`);
  }

  #holdParts(
    key: KeyDraft, source: Source, on: { readonly module: string; readonly token: string }, label: string, { parts, wrapping }: Pick<KeyReference, 'wrapping'> & { readonly parts: readonly KeyReference['parts'][number][] },
    shown: (index: number) => { readonly private: KeyAttributes | null; readonly public: KeyAttributes | null },
  ): void {
    for (const [index, part] of parts.entries()) {
      const name = part.part === 'key' ? label : `${label} (${part.part})`;
      if (part.held === 'wrapped') this.#add(key, { kind: 'wrapped-part', part: part.part, under: { ...on, id: wrapping ?? '' }, since: source, end: null, believed: this.#believed });
      else {
        const { private: own, public: half } = shown(index);
        for (const [kind, attributes] of [['private-key', own], ['public-key', half]] as const) {
          this.#hold(key, source, on, { class: kind, id: part.id, label, keyType: attributes?.keyType ?? '', check: spkiCheck(part.spki), attributes, what: `${kind} of ${name}`, pair: `${source.ceremony} ${part.id ?? ''}` });
        }
      }
    }
  }

  #wrappingKey(step: { readonly entry: Entry; readonly after: State }, on: { readonly module: string; readonly token: string }, label: string, id: string, attributes: KeyAttributes | null, origin: KeyOrigin): void {
    if (this.#keyOf(NO_CHECK, { ...on, id })) return;
    const key = this.#newKey(step, { check: NO_CHECK, place: { ...on, id }, label: `${label} (wrapping key)`, origin, proof: 'reported', algorithm: algorithmStanding({ class: 'secret-key', key: null, bits: 256 }) });
    this.#hold(key, sourceOf(step.entry), on, { class: 'secret-key', id, label, keyType: 'CKK_AES', check: NO_CHECK, attributes, what: `key under which parts of ${label} are wrapped`, pair: null });
    key.events.push({ ...sourceOf(step.entry), by: 'the ceremony', what: origin === 'generated' ? `made to wrap parts of ${label}` : `named as the key that parts of ${label} are wrapped under`, believed: this.#believed });
    key.used = true;
    this.#pass(key, 'active', sourceOf(step.entry));
  }

  #certificate(source: Source, der: string): void {
    const bytes = fromBase64url(der);
    const reading = readable(() => readCertificate(bytes));
    const digest = toHex(sha256(bytes));
    if (reading === null || this.certificates.some((one) => one.sha256 === digest)) return;
    this.certificates.push({ ...source, subject: nameText(reading.subject), issuer: nameText(reading.issuer), sha256: digest, notAfter: reading.notAfter.toISOString(), believed: this.#believed, fingerprint: toHex(sha256(reading.key.spki)) });
  }

  #done(step: Step, entry: Entry<'done'>): void {
    const { current } = step.before;
    if (!current) return;
    const { action } = current.step.do;
    const { intent } = current;
    this.#explain(entry, action, intent);
    const evidence = entry.data.evidence;
    const source = sourceOf(entry);
    const own = this.#ownKeys.get(entry.ceremony);
    const { before } = step;
    switch (action) {
      case 'enrol': this.#enrolled(step, current.step.who, intent as Intent<'enrol'>, evidence as Evidence<'enrol'>); return;
      case 'generate-key': {
        const { token, spki, parts, wrappingKey } = evidence as Evidence<'generate-key'>;
        const { label, algorithm } = intent as Intent<'generate-key'>;
        const on = { module: moduleOf(before, token), token };
        const key = this.#newKey(step, {
          check: spkiCheck(spki), place: { ...on, id: null }, label, origin: 'generated', proof: parts.every(({ proof }) => proof !== 'reported') ? 'verified' : 'reported', algorithm: algorithmOfSpki(spki),
        });
        this.#holdParts(key, source, on, label, { wrapping: wrappingKey?.id ?? null, parts: parts.map(({ part, held, spki: half, wrapped, private: attributes }) => ({ part, held, spki: half, wrapped, id: attributes?.id ?? null })) },
          (index) => ({ private: parts[index]?.private ?? null, public: parts[index]?.public ?? null }));
        if (wrappingKey) this.#wrappingKey(step, on, label, wrappingKey.id, wrappingKey, 'generated');
        this.#ownKeys.set(entry.ceremony, key);
        this.#event(key, step, `generated on token ${token} (${algorithm})`);
        return;
      }
      case 'prove-key': case 'open-key': {
        const { token, parts, wrappingKey } = evidence as Evidence<'prove-key'>;
        this.#seen({ module: moduleOf(before, token), token }, [...parts.flatMap((part) => [part.private, part.public]), wrappingKey]);
        if (own) this.#event(own, step, 'signed a fresh message: proof of possession');
        return;
      }
      case 'issue-certificate': {
        const { certificate } = evidence as Evidence<'issue-certificate'>;
        this.#certificate(source, certificate);
        const subject = readable(() => nameText(readCertificate(fromBase64url(certificate)).subject)) ?? 'an unreadable name';
        if (own) this.#use(own, step, `signed the certificate of ${subject}`);
        return;
      }
      case 'sign-crl': if (own) this.#use(own, step, `signed revocation list ${(intent as Intent<'sign-crl'>).number}`); return;
      case 'make-activation-key': this.#activationMade(entry, step, evidence as Evidence<'make-activation-key'>, (intent as Intent<'make-activation-key'>).token, current.step.do.pin ?? 'user'); return;
      case 'set-activation-pin': this.#activationSet(entry, intent as Intent<'set-activation-pin'>); return;
      case 'wipe-activation-key': case 'activate': case 'deactivate': return;
      case 'reset-user-pin': this.#activationOver(source, (intent as Intent<'reset-user-pin'>).token, null, 'user'); return;
      case 'make-backup-key': {
        if (!own) return;
        const { set } = evidence as Evidence<'make-backup-key'>;
        this.#giveUpSets(entry.ceremony);
        const copy: SetDraft = { kind: 'share-set', set: set.id, epoch: set.epoch, threshold: set.threshold, shares: set.shares, custodians: [], recoveryProven: false, lastRecovery: null, complete: true, renewal: null, since: source, end: null, believed: this.#believed };
        this.#sets.set(setName(entry.ceremony, set), copy);
        this.#add(own, copy);
        this.#event(own, step, `backup key made and split ${set.threshold}-of-${set.shares}`);
        this.#settleEnds(source);
        return;
      }
      case 'wrap-key': {
        const { private: halves } = evidence as Evidence<'wrap-key'>;
        const { token } = intent as Intent<'wrap-key'>;
        this.#seen({ module: moduleOf(before, token), token }, halves);
        if (own) this.#event(own, step, 'wrapped under the backup key, into the record');
        return;
      }
      case 'give-share': case 'return-share': {
        const { card, object, x, erased } = evidence as Evidence<'give-share' | 'return-share'>;
        const seat = current.step.who;
        const on = { module: cardModule(before, current.step.do.card ?? (current.step.do.action === 'give-share' ? 'share-card' : 'new-share-card'), seat), token: card.serial };
        const name = personAt(before, seat)?.name ?? seat;
        for (const { holding } of this.#holdings()) if (holding.module === on.module && holding.token === on.token && erased.includes(holding.label) && stands(holding)) this.#end(holding, source, 'L1', 'erased from the card, when another share came');
        this.#setOf(step)?.custodians.push({
          seat, name, x, readBack: false,
          object: { kind: 'object', ...on, class: 'data', id: null, label: object, keyType: '', check: NO_CHECK, attributes: null, what: `share ${x} of ${name}`, pair: null, since: source, end: null, believed: this.#believed },
        });
        if (own) this.#event(own, step, current.step.do.action === 'give-share' ? `share ${x} given to ${name}, on card ${card.serial}` : `share ${x} of ${name} brought back from its copy, onto card ${card.serial}`);
        this.#settleEnds(source);
        return;
      }
      case 'read-back-share': {
        const { x } = intent as Intent<'read-back-share'>;
        const share = this.#setOf(step)?.custodians.findLast((one) => one.x === x);
        if (share) share.readBack = true;
        if (own) this.#event(own, step, `share ${x} read back and compared`);
        return;
      }
      case 'seal-copy': return; // no copy before its holder has opened it
      case 'open-copy': case 'write-copy': {
        const seat = current.step.who;
        const { x, medium, identifier } = step.after.copies[seat] ?? {};
        const copy = this.#setOf(step);
        if (!copy || x === undefined || medium === undefined || identifier === undefined) return;
        const made: ShareMedium = { medium, identifier, x, name: personAt(before, seat)?.name ?? seat, gone: null };
        copy.media = [...copy.media ?? [], made];
        if (own) this.#event(own, step, `${shareMediumText(made)}: copied, and read back from there`);
        this.#settleEnds(source);
        return;
      }
      case 'prove-recovery': {
        this.#recovered(step, own, intent as Intent<'prove-recovery'>, 'recovered for a proof, and destroyed again,');
        this.#tookPlace(step, own);
        return;
      }
      case 'renew-shares': {
        if (!own) return;
        const { set } = evidence as Evidence<'renew-shares'>;
        this.#recovered(step, own, intent as Intent<'renew-shares'>, 'recovered for a proof before its shares are renewed, and destroyed again,');
        this.#giveUpSets(entry.ceremony);
        const copy: SetDraft = { kind: 'share-set', set: set.id, epoch: set.epoch, threshold: set.threshold, shares: set.shares, custodians: [], recoveryProven: false, lastRecovery: null, complete: true, renewal: 'unproven', since: source, end: null, believed: this.#believed };
        this.#sets.set(setName(entry.ceremony, set), copy);
        this.#add(own, copy);
        this.#event(own, step, `its backup key split anew ${set.threshold}-of-${set.shares}, epoch ${set.epoch}; not in force before it is proven`);
        this.#settleEnds(source);
        return;
      }
      case 'retire-share': {
        const { card, object, x } = evidence as Evidence<'retire-share'>;
        for (const { holding } of this.#holdings()) if (holding.token === card && holding.label === object && holding.class === 'data' && stands(holding)) this.#end(holding, source, 'L1', 'erased from the card, and not found from a fresh session');
        if (own) this.#event(own, step, `old share ${x} erased from card ${card}`);
        this.#settleEnds(source);
        return;
      }
      case 'seal-escrow': {
        if (!own) return;
        const { record } = depositOf(before, current.step.do, evidence as Evidence<'seal-escrow'>);
        this.#recovered(step, own, intent as Intent<'seal-escrow'>, `put into escrow with ${record.agent.name}, for ${record.purpose}, envelope ${record.sha256.slice(0, 16)}…,`);
        this.#escrow(own, source, record);
        return;
      }
      case 'restore-key': case 'release-escrow': {
        const { token, parts, wrappingKey } = evidence as Evidence<'restore-key' | 'release-escrow'>;
        const { label } = intent as Intent<'restore-key' | 'release-escrow'>;
        if (!own) return;
        const on = { module: moduleOf(before, token), token };
        this.#holdParts(own, source, on, label, { wrapping: wrappingKey?.id ?? null, parts: parts.map(({ part, held, spki: half, wrapped, private: attributes }) => ({ part, held, spki: half, wrapped, id: attributes?.id ?? null })) },
          (index) => ({ private: parts[index]?.private ?? null, public: parts[index]?.public ?? null }));
        if (wrappingKey) this.#wrappingKey(step, on, label, wrappingKey.id, wrappingKey, 'generated');
        if (current.step.do.action === 'restore-key') this.#recovered(step, own, intent as Intent<'restore-key'>, `restored onto token ${token}`);
        else this.#released(step, own, releaseOf(before.opening?.inputs, current.step.do.escrow), token);
        return;
      }
      case 'form-key': this.#formed(step, intent as Intent<'form-key'>, evidence as Evidence<'form-key'>); return;
      case 'compare-keys': {
        const { primary, second } = evidence as Evidence<'compare-keys'>;
        for (const { token, parts, wrappingKey } of [primary, second]) this.#seen({ module: moduleOf(before, token), token }, [...parts.flatMap((part) => [part.private, part.public]), wrappingKey]);
        if (own) this.#event(own, step, `the same key on token ${primary.token} and on token ${second.token}: each signed a fresh message`);
        return;
      }
      case 'lock-key': {
        const { token } = intent as Intent<'lock-key'>;
        this.#seen({ module: moduleOf(before, token), token }, (evidence as Evidence<'lock-key'>).private);
        if (own) this.#event(own, step, 'locked: not extractable any more');
        if (own && before.key?.made === false) own.unknown.add('it was extractable until it was locked: what other programs took out before is in no record');
        return;
      }
      case 'wipe-backup-key': if (own) this.#event(own, step, `the backup key outside the shares is gone (${(evidence as Evidence<'wipe-backup-key'>).how})`); return;
      case 'set-state': this.#stated(step, evidence as Evidence<'set-state'>); return;
      case 'zeroise-token': {
        const { token } = intent as Intent<'zeroise-token'>;
        this.#blanked(step, { module: moduleOf(before, token), token }, `token ${token} zeroised before witnesses`, true);
        return;
      }
      case 'administer': this.#changed(step, intent as Intent<'administer'>, (evidence as Evidence<'administer'>).result); return;
      case 'destroy-copies': case 'confirm-gone': this.#destroyed(step); return;
      case 'take-inventory': this.#stillBlank(step, evidence as Evidence<'take-inventory'>); return;
      case 'confirm-script': case 'confirm-input': case 'inspect-token': case 'test-random': case 'locate-copies': case 'approve': case 'wait': case 'put-away': case 'sign-seal': case 'sign-resume': return;
      case 'enter-component': case 'issue-component': return; // what becomes of them is one key
      case 'hand-over': this.#handedOver(step); return;
    }
  }

  /** A key of components: every form of them together is a copy of it, and no token knows of those. */
  #formed(step: Step, { token, id, label, kind }: Intent<'form-key'>, { secret, check, components, total }: Evidence<'form-key'>): void {
    const on = { module: moduleOf(step.before, token), token };
    const key = this.#newKey(step, {
      check, place: { ...on, id }, label, origin: 'formed', proof: 'verified', algorithm: { ...algorithmStanding({ class: 'secret-key', key: null, attributes: secret, bits: Number(kind.slice(4)) }), name: KINDS[kind].label },
    });
    this.#inEarnest(key, step.after);
    this.#hold(key, sourceOf(step.entry), on, { class: 'secret-key', id, label, keyType: secret.keyType, check, attributes: secret, what: `secret-key of ${label}`, pair: null });
    key.unknown.add(`the ${components} forms of its components, and every copy of those: all together are the key`);
    this.#event(key, step, `formed of ${components} components on token ${token}, check value ${checkWords(total)}`);
  }

  /** What the ceremony of a key's destruction says of its copies, as far as it has come: no more than its certificate would. */
  #destroyed(step: Step): void {
    const { before: { destruction: was }, after: { destruction: is } } = step;
    const source = sourceOf(step.entry);
    const [claimed, claims] = [claimsOn(was).claims, claimsOn(is).claims];
    const { copies, key: { identity } } = listOf(is);
    for (const [index, { what, by }] of copies.entries()) {
      const number = index + 1;
      const [before, now] = [was.outcomes[number], is.outcomes[number]];
      const { level = null, words = '' } = claims[index] ?? {};
      if (!now || (before?.result === now.result && claimed[index]?.level === level)) continue;
      if (by.means === 'people') {
        const owner = this.keys.find((one) => one.identity === identity);
        const file = owner?.copies.find((copy) => (copy.kind === 'wrapped-file' && stands(copy) && wrappedFileText(copy) === what) || (copy.kind === 'escrow' && stands(copy) && escrowText(copy) === what));
        if (owner) this.#event(owner, step, `copy ${number}, ${what}: ${words}`);
        if (file && level !== null) this.#told(file, source, level, words);
        for (const medium of owner?.copies.flatMap((copy) => (copy.kind === 'share-set' ? copy.media ?? [] : [])) ?? []) if (level !== null && shareMediumText(medium) === what) medium.gone = words;
      }
      if (by.means !== 'token') continue;
      const { holding, key } = this.#listed(by) ?? {};
      if (key) this.#event(key, step, `copy ${number}, ${holding?.what ?? ''}: ${words}`);
      if (!holding) continue;
      if (level !== null) this.#told(holding, source, level, words);
      else if (before?.result === 'destroyed') holding.end = null;
      if (now.result === 'not-destroyed') this.findings.push({ ...refuse('NOT-DESTROYED', `${holding.what} destroyed`, now.words, 'Treat the key as still there, and have the token examined.'), source, keys: key ? [key.identity] : [] });
    }
    this.#settleEnds(source);
  }

  /** The object of a list of copies, also one that has an end already. */
  #listed({ module, token, class: kind, id, label }: OnToken): { holding: HoldingDraft; key: KeyDraft | null } | undefined {
    return this.#holdings().findLast(({ holding }) => holding.module === module && holding.token === token && holding.class === kind && (holding.id === null || kind === 'data' ? holding.label === label : holding.id === id));
  }

  #enrolled({ entry, before }: Step, seat: string, { card }: Intent<'enrol'>, { identity }: Evidence<'enrol'>): void {
    const on = { module: cardModule(before, 'identity-card', seat), token: card };
    const spki = readable(() => fromJwk(identity.classical).spki);
    const check: KeyCheck = spki === null ? NO_CHECK : { method: 'SHA-256 of SubjectPublicKeyInfo', value: toHex(sha256(spki)) };
    if (this.others.some((one) => stands(one) && one.module === on.module && one.token === on.token && one.check.value === check.value)) return;
    const name = personAt(before, seat)?.name ?? seat;
    const halves = [['private-key', 'private key'], ['public-key', 'public key'], ...identity.held.pq === 'sealed-seed' ? [['data', 'ML-DSA seed'] as const] : []] as const;
    for (const [kind, words] of halves) {
      this.#hold(null, sourceOf(entry), on, {
        class: kind, id: null, label: IDENTITY_LABEL, keyType: '', check: kind === 'data' ? NO_CHECK : check, attributes: null, what: `${words} of the identity of ${name}`, pair: kind === 'data' ? null : `identity ${check.value}`,
      });
    }
  }

  /** Everything on a token ended at once. */
  /** `again`: it will be looked at once more, from a fresh process; until then it is at L0. */
  #blanked(step: Step, { module, token }: { readonly module: string; readonly token: string }, words: string, again: boolean): void {
    const source = sourceOf(step.entry);
    for (const { holding, key } of this.#holdings()) {
      if ((holding.end !== null && holding.end.level !== 'L0') || holding.module !== module || holding.token !== token) continue;
      this.#told(holding, source, again ? 'L0' : 'L1', `the token was initialised, and a fresh session found no object on it${again ? '; not yet looked for from a fresh process' : ''}`);
      if (key) this.#event(key, step, `${words} (with ${holding.what})`);
    }
    this.#activationOver(source, token, null, 'user'); // C_InitToken leaves the SO's PIN as it is (PKCS#11 3.2 section 5.5.7)
    this.#settleEnds(source);
  }

  /** Copies on a token that this ceremony has zeroised. */
  #onceOn({ entry, before }: Step, serial: string): { holding: HoldingDraft; key: KeyDraft | null }[] {
    return this.#holdings().filter(({ holding }) => holding.token === before.zeroised[serial] && holding.end?.ceremony === entry.ceremony);
  }

  /** A fresh process has looked at a token that was zeroised, and found nothing. */
  #stillBlank(step: Step, { token, fresh }: Evidence<'take-inventory'>): void {
    if (fresh !== true) return;
    for (const { holding } of this.#onceOn(step, token)) this.#told(holding, sourceOf(step.entry), 'L1', 'the token was zeroised, and a fresh process found no object on it');
    this.#settleEnds(sourceOf(step.entry));
  }

  /** What a token had said of itself when it was zeroised was not so: what was on it counts as there. */
  #notBlank(step: Step, found: string): void {
    const { action, intent } = { action: step.before.current?.step.do.action, intent: step.before.current?.intent };
    if (action !== 'take-inventory') return;
    const { token } = intent as Intent<'take-inventory'>;
    const source = sourceOf(step.entry);
    const back = this.#onceOn(step, token);
    for (const { holding, key } of back) {
      holding.end = null;
      if (key) this.#event(key, step, `the token ${token} is not zeroised (with ${holding.what}): ${found}`);
    }
    this.findings.push({ ...refuse('NOT-ZEROISED', `token ${token} blank, as it said it was`, found, 'Treat every key on it as still there, and have the token examined or destroyed.'), source, keys: [...new Set(back.flatMap(({ key }) => key?.identity ?? []))] });
    this.#settleEnds(source);
  }

  // --- the logbook ---

  #changed(step: Step, intent: Intent<'administer'>, result: Record<string, unknown>): void {
    if (intent.change === 'log-out') return;
    if (!goesToToken(intent)) {
      switch (intent.change) {
        case 'set-state': this.#stated(step, intent.order as StateSigned); return;
        case 'set-period': this.#periodStated(step, intent.order as PeriodSigned); return;
        case 'set-drill': this.#drillStated(step, intent.order as DrillSigned); return;
      }
    }
    const { change, module, token, order } = intent;
    const on = { module, token };
    const source = sourceOf(step.entry);
    const words = orderText(intent);
    switch (change) {
      case 'set-user-pin': case 'change-pin':
        this.#activationOver(source, on.token, null, change === 'set-user-pin' ? 'user' : (order as ChangeOrder<'change-pin'>).whose);
        return;
      case 'init-token': {
        this.#blanked(step, on, words, false);
        return;
      }
      case 'generate-key': case 'import-key': case 'unwrap-key': case 'copy-object': this.#made(step, intent, result as Read, words); return;
      case 'import-certificate': {
        const { object, sha256: digest } = result as ChangeResult<'import-certificate'>;
        const { certificate } = order as ChangeOrder<'import-certificate'>;
        this.#hold(null, source, on, { class: 'certificate', id: object.id, label: object.label, keyType: object.keyType, check: { method: 'SHA-256 of the certificate', value: digest }, attributes: null, what: `certificate ${digest}`, pair: null });
        this.#certificate(source, certificate);
        return;
      }
      case 'edit-object': {
        const { object } = order as ChangeOrder<'edit-object'>;
        const { after, changed } = result as ChangeResult<'edit-object'>;
        const key = object.class === 'certificate' ? this.#pointedAt(on, object)?.key ?? null : this.#keyPointedAt(step, on, object);
        const holding = this.#pointedAt(on, object)?.holding;
        if (holding) Object.assign(holding, { label: after.label, id: after.id, attributes: edited(holding.attributes, after, changed) });
        if (key) this.#event(key, step, `${words}: ${changed.map(({ attribute, from, to }) => `${attribute} ${from ?? 'not told'} to ${to}`).join(', ')}`);
        return;
      }
      case 'destroy-object': {
        const { object } = order as ChangeOrder<'destroy-object'>;
        const isKey = object.class === 'private-key' || object.class === 'secret-key' || object.class === 'public-key';
        const key = isKey ? this.#keyPointedAt(step, on, object) : this.#pointedAt(on, object)?.key ?? null;
        const holding = this.#pointedAt(on, object)?.holding;
        if (holding) this.#end(holding, source, 'L1', 'destroyed, and not found from a fresh session');
        if (key) this.#event(key, step, words);
        this.#settleEnds(source);
        return;
      }
      case 'wrap-key': {
        const { key: wrapped, under, method } = order as ChangeOrder<'wrap-key'>;
        const { file } = result as ChangeResult<'wrap-key'>;
        const key = this.#keyPointedAt(step, on, wrapped);
        const name = under ? `"${under.label}" on token ${token}` : `the recipient's key ${file.under.label}, ${checkText(file.under.check)}`;
        this.#add(key, { kind: 'wrapped-file', method, under: name, underKey: under ? this.#keyPointedAt(step, on, under).identity : identityOf(file.under.check, { module, token: '', id: null }), since: source, end: null, believed: this.#believed });
        key.unknown.add('where the wrapped file lies, and who copied it, is in no record');
        this.#wrappedOut.set(file.wrapped, key);
        this.#event(key, step, words);
        if (under) this.#use(this.#keyPointedAt(step, on, under), step, `wrapped "${wrapped.label}"`);
        return;
      }
      case 'sign-request': case 'self-sign': {
        const key = this.#keyPointedAt(step, on, (order as ChangeOrder<'sign-request'>).key);
        if (change === 'self-sign') this.#certificate(source, (result as ChangeResult<'self-sign'>).certificate);
        this.#use(key, step, words);
        return;
      }
    }
  }

  #made(step: Step, intent: Extract<Intent<'administer'>, { token: string }>, read: Read, words: string): void {
    const { change, module, token } = intent;
    const order = intent.order as Partial<ChangeOrder<'generate-key'> & Omit<ChangeOrder<'import-key'>, 'file'> & ChangeOrder<'copy-object'>> & { readonly id: string; readonly label: string; readonly file?: string | WrappedKeyFile };
    const on = { module, token };
    const source = sourceOf(step.entry);
    const { check } = read;
    const place = { ...on, id: order.id };
    const from = change === 'copy-object' && order.object ? this.#keyPointedAt(step, on, order.object) : typeof order.file === 'object' ? this.#wrappedOut.get(order.file.wrapped) : undefined;
    // A fresh key is a new one, whatever three octets of a check value say; a fingerprint leaves no doubt.
    const known = from ?? (change === 'generate-key' && check.method !== 'SHA-256 of SubjectPublicKeyInfo' ? undefined : this.#keyOf(check, place));
    const origin = ({ 'generate-key': 'generated', 'import-key': 'imported', 'unwrap-key': 'unwrapped', 'copy-object': 'copied' } as const)[change as 'generate-key'];
    const key = known ?? this.#newKey(step, {
      check, place, label: order.label, origin, proof: change === 'import-key' || (change === 'unwrap-key' && check.method !== 'none') ? 'verified' : 'reported',
      algorithm: read.spki === null ? secretAlgorithm(order.kind, read) : algorithmOfSpki(read.spki),
    });
    this.#inEarnest(key, step.after);
    if (typeof order.file === 'string') key.unknown.add(`the file it came from (${order.file}) and every copy of that`);
    if (change === 'unwrap-key') key.unknown.add('the wrapped file it came from and every copy of that');
    const pair = read.private && read.public ? `${source.ceremony} ${order.id}` : null;
    for (const attributes of [read.private, read.public, read.secret]) {
      if (attributes) this.#hold(key, source, on, { class: attributes.class, id: attributes.id, label: attributes.label, keyType: attributes.keyType, check, attributes, what: `${attributes.class} of ${order.label}`, pair });
    }
    this.#event(key, step, words);
  }

  // --- the end ---

  finish(doubtful: Estate, more: Pick<Inventory, 'records' | 'rehearsals'> & { readonly findings: readonly InventoryFinding[] }): Inventory {
    for (const begun of this.#begun) this.#requested(begun);
    const keys = [...this.keys];
    const others = [...this.others];
    for (const key of doubtful.keys) {
      const known = keys.find((one) => one.identity === key.identity);
      if (!known) {
        keys.push({ ...key, state: null, passages: [], period: null, drill: null });
        continue;
      }
      known.events = byTime(known.events, key.events);
      // It may know of copies that nobody else knows of, and ends none.
      known.copies.push(...key.copies.filter((copy) => !known.copies.some((other) => sameCopy(other, copy))).map((copy) => ({ ...copy, end: null })));
    }
    for (const one of doubtful.others) if (!others.some((other) => sameObject(other, one))) others.push({ ...one, end: null });
    const certificates = [...this.certificates, ...doubtful.certificates.filter((one) => !this.certificates.some((other) => other.sha256 === one.sha256))];
    return {
      records: more.records, rehearsals: more.rehearsals,
      keys: keys.map((key) => finished(key, certificates, this.activations)),
      others,
      activations: [...this.activations, ...doubtful.activations.filter((one) => !this.activations.some((other) => sameCopy(other, one))).map((one) => ({ ...one, end: null, inForce: false }))],
      begun: [...this.#begun, ...doubtful.#begun].map(({ source, names }) => ({ ...source, names })),
      findings: [...more.findings, ...this.findings, ...this.#leftFindings(), ...this.#begun.map((begun) => this.#begunFinding(begun))],
    };
  }

  /** A destruction that was begun and has no outcome: asked for, and no more than that is known. */
  #requested({ source, action, intent, doomed }: Begun): void {
    const listed = doomed?.on ? this.#listed(doomed.on)?.holding : undefined;
    if (listed?.end === null) this.#end(listed, source, 'L0', 'its destruction was begun, and has no outcome');
    if (action === 'zeroise-token') {
      const { token } = intent as Intent<'zeroise-token'>;
      for (const { holding } of this.#holdings()) if (holding.end === null && holding.token === token) this.#end(holding, source, 'L0', 'the zeroisation of its token was begun, and has no outcome');
    }
    if (action !== 'administer') return;
    const change = intent as Intent<'administer'>;
    if (change.change === 'destroy-object') {
      const holding = this.#pointedAt(change, (change.order as ChangeOrder<'destroy-object'>).object)?.holding;
      if (holding?.end === null) this.#end(holding, source, 'L0', 'its destruction was begun, and has no outcome');
    }
    if (change.change === 'init-token') {
      for (const { holding } of this.#holdings()) if (holding.end === null && holding.module === change.module && holding.token === change.token) this.#end(holding, source, 'L0', 'the initialisation of its token was begun, and has no outcome');
    }
  }

  #begunFinding(begun: Begun): InventoryFinding {
    return {
      ...refuse('BEGUN-UNEXPLAINED', `an outcome of entry ${begun.source.seq}: ${wordsOf(begun)}`, 'none', begun.names.length > 0
        ? 'Investigate: look on the token for what it may have made, then explain it or destroy it. An interrupted record is resumed first.'
        : 'Investigate: look at what it was about, on the token. An interrupted record is resumed first.'),
      source: begun.source, keys: this.#aimedAt(begun).map(({ identity }) => identity),
    };
  }

  /** What aborted ceremonies left and nobody has destroyed since. */
  #leftFindings(): InventoryFinding[] {
    return this.#left.flatMap(({ source, objects }) => {
      const made = this.#holdings().filter(({ holding }) => holding.since.ceremony === source.ceremony);
      const still = objects.filter((object) => {
        const known = made.filter(({ holding }) => holding.class === object.class && (object.class === 'data' ? holding.label === object.label : holding.id === object.id));
        return known.length === 0 || known.some(({ holding }) => stands(holding));
      });
      if (still.length === 0) return [];
      const keys = made.flatMap(({ holding, key }) => (key && still.some((object) => object.class === holding.class && object.id === (holding.id ?? '')) ? [key.identity] : []));
      return [{
        ...refuse('LEFT-BEHIND', 'nothing left of an aborted ceremony', still.map(({ class: kind, label, id }) => `${kind} "${label}"${id === '' ? '' : ` ${id}`}`).join(', '), 'Destroy it, or explain in the record of a later ceremony why it is used.'),
        source, keys: [...new Set(keys)],
      }];
    });
  }
}

type Read = ChangeResult<'unwrap-key'>;

function sameObject(one: Holding, other: Holding): boolean {
  return one.module === other.module && one.token === other.token && one.class === other.class && one.id === other.id && one.label === other.label;
}

function sameCopy(one: CopyDraft, other: CopyDraft): boolean {
  switch (one.kind) {
    case 'object': return other.kind === 'object' && sameObject(one, other);
    case 'wrapped-part': return other.kind === 'wrapped-part' && one.part === other.part && canonicalize(one.under) === canonicalize(other.under);
    case 'wrapped-file': return other.kind === 'wrapped-file' && one.method === other.method && one.under === other.under && one.since.ceremony === other.since.ceremony && one.since.seq === other.since.seq;
    case 'share-set': return other.kind === 'share-set' && one.set === other.set && one.epoch === other.epoch;
    case 'escrow': return other.kind === 'escrow' && one.sha256 === other.sha256;
  }
}

/** Both as one life; neither list changes its own order, though a clock was set back within it. */
function byTime(...lists: readonly (readonly KeyEvent[])[]): KeyEvent[] {
  return lists.flatMap((events) => {
    let floor = '';
    return events.map((event) => ({ event, at: floor = event.at > floor ? event.at : floor }));
  }).sort((a, b) => byText(a.at, b.at)).map(({ event }) => event);
}

function sourceOf({ ceremony, seq, at }: Entry): Source {
  return { ceremony, seq, at };
}

/** The set by which a token is opened now, where these records know that it took the place of this one. */
export function activationInstead({ activations }: Pick<Inventory, 'activations'>, token: string, { id, epoch }: { readonly id: string; readonly epoch: number }): ActivationSet | undefined {
  const old = activations.find((one) => one.token === token && one.set === id && one.epoch === epoch);
  return old?.believed === true && !old.inForce && old.end !== null ? activations.find((one) => one.token === token && one.whose === old.whose && one.inForce && one.believed && one.recoveryProven) : undefined;
}

/** Splits of one secret have one name, and count. */
function setName(ceremony: string, { id, epoch }: { readonly id: string; readonly epoch: number }): string {
  return `${ceremony} ${id} ${epoch}`;
}

/** A later split of the same secret that is in force and has brought the key back, where the records know of one. A file that says so alone proves nothing. */
export function newerSplit({ keys }: Pick<Inventory, 'keys'>, { id, epoch }: { readonly id: string; readonly epoch: number }): ShareSetCopy | undefined {
  return keys.flatMap(({ copies }) => copies.flatMap((copy) => (copy.kind === 'share-set' && copy.believed && copy.set === id && copy.epoch > epoch && copy.complete && copy.recoveryProven && copy.renewal !== 'unproven' ? [copy] : [])))
    .sort((a, b) => b.epoch - a.epoch)[0];
}

function namesOf(action: ActionName, intent: Intent): string[] {
  if (action === 'generate-key' || action === 'restore-key' || action === 'release-escrow') return [...(intent as Intent<'generate-key' | 'restore-key' | 'release-escrow'>).ids];
  if (action === 'enrol') return [(intent as Intent<'enrol'>).id];
  if (action === 'form-key') return [(intent as Intent<'form-key'>).id];
  if (action === 'give-share' || action === 'return-share' || action === 'retire-share') return [(intent as Intent<'give-share' | 'return-share' | 'retire-share'>).object];
  return action === 'administer' ? [createdId(intent as Intent<'administer'>) ?? []].flat() : [];
}

function doomedBy({ destruction }: State, action: ActionName, intent: Intent): Begun['doomed'] {
  if (action !== 'destroy-copies' || destruction.list === null) return null;
  const { copy, left } = intent as Intent<'destroy-copies'>;
  const by = destruction.list.copies[copy - 1]?.by;
  return { key: destruction.list.key.identity, on: left === null && by?.means === 'token' ? by : null };
}

function wordsOf({ action, intent }: Pick<Begun, 'action' | 'intent'>): string {
  return action === 'administer' ? orderText(intent as Intent<'administer'>) : action;
}

function moduleOf(state: State, serial: string): string {
  const { tokens = {}, cards = {} } = state.opening?.bindings ?? {};
  return [...Object.values(tokens), ...Object.values(cards).flatMap((seats) => Object.values(seats))].find((bound) => bound.serial === serial)?.module ?? '';
}

function cardModule(state: State, card: string, seat: string): string {
  return state.opening?.bindings.cards[card]?.[seat]?.module ?? '';
}

function algorithmOfSpki(spki: string): { readonly name: string; readonly standing: Standing | null } {
  const key = readable(() => readSubjectKey(fromBase64url(spki)));
  return key === null ? { name: 'unknown', standing: null } : algorithmStanding({ class: 'public-key', key });
}

function secretAlgorithm(kind: ChangeOrder<'generate-key'>['kind'] | undefined, { secret }: Read): { readonly name: string; readonly standing: Standing | null } {
  const [, bits] = /^aes-(\d+)$/.exec(kind ?? '') ?? [];
  const found = algorithmStanding({ class: 'secret-key', key: null, attributes: secret, ...bits !== undefined && { bits: Number(bits) } });
  return kind === undefined ? found : { ...found, name: KINDS[kind].label };
}

/** An object that is only pointed at: its type, and nothing else is known. */
function typeOnly({ class: kind, keyType, id, label }: ObjectFact): KeyAttributes {
  return {
    class: kind === 'secret-key' || kind === 'public-key' ? kind : 'private-key', keyType, id, label, token: null, private: null, sensitive: null, extractable: null, alwaysSensitive: null, neverExtractable: null, local: null,
    modifiable: null, sign: null, verify: null, encrypt: null, decrypt: null, wrap: null, unwrap: null, derive: null, generatedBy: null, keysRemaining: null,
  };
}

/** CKA_NEVER_EXTRACTABLE is neverExtractable, and so on. */
function edited(before: KeyAttributes | null, { label, id }: ObjectFact, changed: ChangeResult<'edit-object'>['changed']): KeyAttributes | null {
  if (before === null) return null;
  const flags = changed.flatMap(({ attribute, to }): [string, boolean][] => {
    const name = attribute.slice('CKA_'.length).toLowerCase().replace(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase());
    return name in before && (to === 'true' || to === 'false') ? [[name, to === 'true']] : [];
  });
  return { ...before, label, id, ...Object.fromEntries(flags) };
}

function finished({ used: _used, unknown, ...key }: KeyDraft, certificates: readonly Certificate[], activations: readonly ActivationSet[]): InventoryKey {
  const fingerprint = /^SHA-256 of SubjectPublicKeyInfo ([0-9a-f]{64})/.exec(key.identity)?.[1];
  const own = certificates.filter((one) => one.fingerprint === fingerprint);
  const copies = key.copies.map((copy): Copy => copy);
  // Of a key that sound records know, what another one says is shown and counts for nothing.
  const counted = key.believed ? copies.filter(({ believed }) => believed) : copies;
  if (counted.length < copies.length) unknown.add('a record that does not verify names more copies');
  if (counted.some((copy) => copy.kind === 'object' && copy.class !== 'public-key' && copy.attributes?.extractable === true)) unknown.add('it is extractable: what other programs took out is in no record');
  return {
    ...key, copies, unknown: [...unknown], certificates: own.map(({ fingerprint: _fingerprint, ...certificate }) => certificate),
    whoCan: whoCan(counted, activations), destruction: destructionOf(counted, unknown.size > 0),
  };
}

/** From the copies that are there: in whose hands it is to use or to bring back this key. */
function whoCan(copies: readonly Copy[], activations: readonly ActivationSet[]): string[] {
  const opener = (place: { readonly module: string; readonly token: string }) => {
    const set = activations.find((one) => one.token === place.token && one.whose === 'user' && one.inForce && one.end === null);
    return set ? `any ${set.threshold} of ${set.custodians.filter(({ object }) => stands(object)).map(({ name }) => name).join(', ')}, who open token ${tokenText(place)} together` : `who has the user PIN of token ${tokenText(place)}`;
  };
  const who = copies.filter((copy) => stands(copy) && holdsSecret(copy)).map((copy) => {
    switch (copy.kind) {
      case 'object': return opener(copy);
      case 'wrapped-part': return `${opener(copy.under)} and the key's record`;
      case 'wrapped-file': return `who has the wrapped file and may use ${copy.under}`;
      case 'escrow': return `the escrow agent ${copy.agent}, with the record's wrapped key`;
      case 'share-set': return `any ${copy.threshold} of ${copy.custodians.filter(({ object }) => stands(object)).map(({ name }) => name).join(', ')}, with the record's wrapped key`;
    }
  });
  return [...new Set(who)];
}

/** Of a key that was only spoken of, no record here tells behind which module its token is. */
function tokenText({ module, token }: { readonly module: string; readonly token: string }): string {
  return module === '' ? token : `${token} (${module})`;
}

const LEVEL_NAMES = Object.keys(LEVELS) as Level[];

/** The level of a key is the least of its copies'; one copy that stands unasked, and there is none. */
export function destructionOf(copies: readonly Copy[], more: boolean): InventoryKey['destruction'] {
  const secret = copies.filter(holdsSecret);
  const destroyed = secret.filter((copy) => !stands(copy)).length;
  const levels = secret.flatMap(({ end }) => (end === null ? [] : [end.level]));
  const level = secret.length > 0 && levels.length === secret.length ? LEVEL_NAMES.find((name) => levels.includes(name)) ?? null : null;
  const aloud = more ? '; there may be copies that are not known' : '';
  return {
    destroyed, known: secret.length, level,
    words: `${destroyed} of ${secret.length} known ${secret.length === 1 ? 'copy' : 'copies'} destroyed${level === null ? '' : `, ${level}: ${LEVELS[level]}`}${aloud}`,
  };
}
