/**
 * The heart: a ceremony is a list of entries, and everything else is a fold over it.
 *
 *   check(state, entry)       may this entry happen now? null, or the Refusal that names the rule it breaks
 *   apply(state, entry, head) what it changes
 *   pendingAction(state)      the one thing that is to be done next
 *
 * The conductor (live and on resume), the replay screen, the minutes and the auditor's verdict use these same functions.
 * They are pure and synchronous; signatures and certificates are checked by verify.ts, which asks this file which key
 * signs what. Nothing here touches a clock, a disk, a device or a random number.
 */
import * as z from 'zod';
import canonicalize from 'canonicalize';
import {
  activateEvidenceFault, activateFault, activationOpeningFault, afterFailedPin, broughtActivation, closedFault, deactivateEvidenceFault, deactivateFault, formerSet, LOGIN_ENDED, makeActivationFault, openedAgain, resetPinFault,
  setPinEvidenceFault, setPinFault, wipeActivationFault, type Activation,
} from './activation.ts';
import { createdId, orderFault, resultFault } from './administration.ts';
import { approvalFault, approvedBy, approveFault, consentFault, NO_CONSENT, waitFault, type Consent } from './approvals.ts';
import { fromBase64url, toBase64url, utf8 } from './bytes.ts';
import {
  Base64url, BoundedText, EVIDENCE, Input, INTENTS, ModuleFacts, ObjectFact, Observation, PublicJwk, SeatId, SignaturePair,
  type ActionName, type Evidence, type Identity, type Intent, type KeyAttributes, type TokenFacts,
} from './evidence.ts';
import { copiesFault, destructionAfter, destructionAtFirst, destructionEvidenceFault, destructionIntentFault, listedAfter, listOf, nextCopy, NOTHING_DESTROYED, readCopyList, withoutLies, type Destruction } from './destruction.ts';
import { agentFault, depositOf, escrowOpeningFault, releaseIntentFault, releaseOf, type Deposit } from './escrow.ts';
import { heldAt, identityOfRecord, idsNeeded, inputDigest, keyIds, readKeyRecord, type CeremonyKey, type HeldPart, type KeyRecord } from './key-record.ts';
import type { Backup } from './backup-record.ts';
import { cloneEvidenceFault, cloneFault, cloneIntentFault } from './cloning.ts';
import { backupPossibleFault, certifiedFault, lockingDeviations, neverCopiedFault } from './later-backup.ts';
import { layOutCards, renewalOpeningFault, renewed, renewFault, renewIntentFault, retired, retireFault, retireIntentFault, retireTried, retireUntried, type Renewal } from './renewal.ts';
import {
  componentEvidenceFault, componentIntentFault, componentsGone, formedMayBeKept, formedObject, formFault, formIntentFault, isEntry, NO_COMPONENTS, withComponent, withFormed, type Components,
} from './components.ts';
import {
  copyIntentFault, handlesCopies, openedCopy, openFault, openIntentFault, returnFault, returnIntentFault, returnOpeningFault, sealedCopy, sealFault, sealIntentFault, shareWasRead, writeFault, writtenCopy,
  type ShareCopies,
} from './share-copies.ts';
import { awaitsBroughtShare, backupInput, broughtBackup, openingFault, quorumFault, quorumFits, restoredDeviations, restoredFault, restoredKey, restoredObjects, restoreFault, restoreIntentFault, unreadFault, withoutShare } from './recovery.ts';
import { afterMoves, afterOpening, ALL_AWAY, balancedFault, closedBagFault, openedFault, saidMissing, stillToPutAway, type PuttingAway } from './putting-away.ts';
import { caAlgorithmNamed, componentsOf } from './keys/algorithms.ts';
import { thumbprint } from './keys/public-key.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';
import { rehearse } from './rehearse.ts';
import { readScript, scriptHash, type Parameters, type Plan, type PlanStep, type Role, type Script } from './script.ts';
import { layOutMovements, thingName } from './shares/movements.ts';
import { ALWAYS, instantOf, momentFault, sinceFault, stateFault } from './statements.ts';
import { plainText } from './text.ts';
import { initialises, listedBlankFault, zeroiseEvidenceFault, zeroiseIntentFault } from './zeroise.ts';

export const FORMAT = 'conclave-transcript/1';
/** At most this many entries may follow a checkpoint before the next one is due. */
export const CHECKPOINT_EVERY = 64;

// --- entries ---------------------------------------------------------------------------------------------------------

const words = BoundedText(1000);
const sequence = z.int().min(0).max(2 ** 40);
const Bound = z.strictObject({ module: BoundedText(64), serial: BoundedText(64) });

export const ENTRY_DATA = {
  opened: z.strictObject({
    format: z.literal(FORMAT),
    script: z.string().max(200_000),
    parameters: z.record(z.string().max(40), z.union([z.string().max(200), z.int()])),
    mode: z.enum(['rehearsal', 'real']),
    people: z.array(z.strictObject({ seat: SeatId, name: BoundedText(80) })).min(1).max(300),
    bindings: z.strictObject({
      tokens: z.record(z.string().max(40), Bound),
      /** Card name, then seat. */
      cards: z.record(z.string().max(40), z.record(SeatId, Bound)),
    }),
    modules: z.array(ModuleFacts).max(64),
    /** Files that people brought, by the names the script gives them. */
    inputs: z.record(z.string().max(40), Input),
    recorder: PublicJwk,
    app: z.strictObject({ version: BoundedText(32), build: BoundedText(64) }),
    runtime: z.strictObject({ node: BoundedText(32), electron: BoundedText(32).nullable(), development: z.boolean() }),
    clock: BoundedText(200),
    /** What the machine should not have had: swap in use, core dumps on, … Said aloud, recorded, not hidden. */
    warnings: z.array(BoundedText(300)).max(16),
    /** Administration only: the volume before this one on the same machine, and the hash of its last line; null in the first. */
    after: z.strictObject({ ceremony: BoundedText(32), last: Base64url(86) }).nullable().optional(),
  }),
  begun: z.strictObject({ intent: z.looseObject({}) }),
  done: z.strictObject({ begun: sequence.nullable(), evidence: z.looseObject({}) }),
  failed: z.strictObject({
    begun: sequence,
    error: z.strictObject({ code: BoundedText(64), message: BoundedText(500), hint: BoundedText(500) }),
    nothingChanged: z.boolean(),
  }),
  found: z.strictObject({ begun: sequence, observation: Observation }),
  decided: z.strictObject({ begun: sequence, decision: z.enum(['keep', 'clear']), why: words }),
  cleared: z.strictObject({ begun: sequence, observation: Observation }),
  witnessed: z.strictObject({}),
  noted: z.strictObject({ text: words }),
  exception: z.strictObject({ number: z.int().min(1), expected: words, happened: words, decided: words }),
  break: z.strictObject({ present: z.int().min(1).max(1000), reason: words }),
  back: z.strictObject({ present: z.int().min(1).max(1000) }),
  disagreed: z.strictObject({ words, statement: Base64url(6000), signatures: SignaturePair }),
  checkpoint: z.strictObject({ signature: Base64url(86) }),
  lost: z.strictObject({ module: BoundedText(64), how: z.enum(['exited', 'killed', 'hung']), detail: BoundedText(300) }),
  resumed: z.strictObject({
    recorder: PublicJwk,
    present: z.array(SeatId).min(1).max(300),
    /** Another person in the officer's seat, with the card they will enrol; null: the same officer. */
    officer: z.strictObject({ name: BoundedText(80), card: Bound }).nullable(),
    reason: words,
  }),
  aborted: z.strictObject({ reason: words, left: z.array(ObjectFact).max(300) }),
  closed: z.strictObject({}),
} as const;

export type Kind = keyof typeof ENTRY_DATA;
export type Data<K extends Kind> = z.infer<(typeof ENTRY_DATA)[K]>;

/** One line of the transcript. `seq` counts from 0; `at` is RFC 3339 UTC with milliseconds; `by` is a seat. */
export interface Entry<K extends Kind = Kind> {
  readonly v: 1;
  readonly ceremony: string;
  readonly seq: number;
  readonly at: string;
  readonly kind: K;
  readonly step?: string;
  readonly by?: string;
  readonly data: Data<K>;
  readonly prev: string;
}

/** What the fold is told about the record itself: SHA-512 of the entry's line, and the Merkle root up to it, when asked. */
export interface Head {
  readonly hash: string;
  root(): string;
}

// --- state -----------------------------------------------------------------------------------------------------------

export interface Person {
  readonly seat: string;
  readonly role: Role;
  readonly name: string;
  readonly identity: (Identity & { readonly thumbprints: readonly [string, string] }) | null;
}

export interface Current {
  readonly step: PlanStep;
  readonly phase: 'ready' | 'begun' | 'unexplained' | 'found' | 'clearing' | 'kept' | 'witnessing';
  readonly begun: number | null;
  /** Hash of the entry before `begun`: what a presence statement is bound to. */
  readonly headBefore: string;
  readonly intent: Intent | null;
  readonly evidence: Evidence | null;
  readonly observation: Observation | null;
  readonly error: Data<'failed'>['error'] | null;
  readonly witnesses: readonly string[];
}

/** What the key signed in this ceremony, beside its own certificate. */
export interface Issued {
  readonly kind: 'certificate' | 'crl';
  readonly step: string;
  readonly bytes: string;
}

export interface ActSeal {
  readonly act: number;
  readonly statement: string;
  readonly signatures: Readonly<Record<string, SignaturePair>>;
}

export interface State {
  readonly phase: 'empty' | 'open' | 'aborted' | 'closed';
  readonly ceremony: string;
  readonly opening: Data<'opened'> | null;
  readonly script: Script | null;
  readonly plan: Plan | null;
  readonly people: readonly Person[];
  /** People who enrolled and whose seat another took over: what they signed stays theirs. */
  readonly former: readonly Person[];
  readonly recorder: PublicJwk | null;
  readonly count: number;
  readonly lastHash: string;
  readonly lastAt: string;
  readonly sinceCheckpoint: number;
  readonly checkpointDue: boolean;
  /** Steps that come before the plan's next one: the signatures of a resumption. */
  readonly queue: readonly PlanStep[];
  readonly cursor: number;
  readonly current: Current | null;
  /** The plan's step that was under way when a resumption came in between. */
  readonly parked: Current | null;
  readonly onBreak: { readonly present: number } | null;
  readonly exceptions: number;
  readonly resumptions: number;
  readonly resumption: { readonly count: number; readonly last: string; readonly present: readonly string[] } | null;
  readonly disagreements: readonly { readonly seq: number; readonly seat: string; readonly words: string }[];
  /** Where the work of the current act ended: what its seal covers. */
  readonly actEnd: { readonly count: number; readonly last: string; readonly root: string } | null;
  readonly seals: readonly ActSeal[];
  readonly ids: readonly string[];
  readonly inventories: Readonly<Record<string, readonly ObjectFact[]>>;
  /** Tokens as they were identified, by serial number. */
  readonly inspected: Readonly<Record<string, TokenFacts>>;
  /** Tokens that were zeroised: by the serial number that they have since, the one before. */
  readonly zeroised: Readonly<Record<string, string>>;
  readonly key: CeremonyKey | null;
  readonly issued: readonly Issued[];
  readonly backup: Backup | null;
  /** Once a brought backup has been split anew: what becomes of its old shares. */
  readonly renewal: Renewal | null;
  /** Of a token that only a quorum opens; its shares are those of `backup`. */
  readonly activation: Activation | null;
  /** Share objects that may lie on a card and count no more, by seat: the next share erases them. */
  readonly voidShares: Readonly<Record<string, readonly string[]>>;
  readonly destruction: Destruction;
  /** Copies of shares that this ceremony made on other media. */
  readonly copies: ShareCopies;
  readonly components: Components;
  /** What several people have approved, before it is destroyed or released. */
  readonly consent: Consent;
  /** The escrow that this ceremony has deposited. */
  readonly deposit: Deposit | null;
  /** What came out of where it is kept, and whether it is put away again. */
  readonly away: PuttingAway;
}

export const EMPTY: State = {
  phase: 'empty', ceremony: '', opening: null, script: null, plan: null, people: [], former: [], recorder: null, count: 0, lastHash: '',
  lastAt: '', sinceCheckpoint: 0, checkpointDue: false, queue: [], cursor: 0, current: null, parked: null, onBreak: null, exceptions: 0,
  resumptions: 0, resumption: null, disagreements: [], actEnd: null, seals: [], ids: [], inventories: {}, inspected: {}, zeroised: {}, key: null,
  issued: [], backup: null, renewal: null, activation: null, voidShares: {}, destruction: NOTHING_DESTROYED, copies: {}, components: NO_COMPONENTS, consent: NO_CONSENT, deposit: null, away: ALL_AWAY,
};

/** Acts of people alone: no device is touched, so there is nothing to have begun. */
const HUMAN: readonly ActionName[] = ['confirm-script', 'confirm-input', 'wait', 'set-state', 'put-away', 'hand-over'];
/**
 * Acts whose repetition would leave a second object behind, or destroy what is there by now: when their outcome is unknown somebody must look first.
 * The others are safe to repeat: enrolment finds or completes the identity that is there, a share object that may lie
 * on a card is void and is erased by the next one, switching EXTRACTABLE off twice is the same as once.
 */
function lasting({ step, intent }: Current): boolean {
  return step.do.action === 'generate-key' || step.do.action === 'restore-key' || step.do.action === 'release-escrow' || step.do.action === 'form-key' || initialises(step.do.action, intent) || (step.do.action === 'administer' && createdId(intent as Intent<'administer'>) !== null);
}

/** May what was found be kept? What was wrapped is in no entry: only a key that is all on its token can be. */
export function mayBeKept(state: State): boolean {
  const { step, intent, observation } = state.current ?? {};
  if (!step || observation?.state === 'half') return false;
  if (step.do.action === 'restore-key' || step.do.action === 'release-escrow') return backupInput(state.opening?.inputs, step.do.from).key.parts.every((part) => part.held === 'token');
  if (step.do.action === 'form-key') return formedMayBeKept(step.do);
  return step.do.action !== 'generate-key' || (intent as Intent<'generate-key'>).place === 'token';
}

export const isHuman = (action: ActionName): boolean => HUMAN.includes(action);

// --- statements that people sign ------------------------------------------------------------------------------------

const statement = (value: object): string => toBase64url(utf8(canonicalize(value) ?? ''));

/** What a person signs to prove presence: bound to the script, to the record so far, and to a fresh challenge. */
export function presenceStatement(state: State, seat: string, challenge: string, head: string): string {
  return statement({ type: 'conclave-presence/1', ceremony: state.ceremony, script: state.script?.hash ?? '', head, nonce: challenge, seat });
}

/** The head statement of an act: what every participant signs at its end. */
export function sealStatement(state: State): string {
  const { opening, actEnd } = state;
  return statement({
    type: 'conclave-head/1', ceremony: state.ceremony, script: state.script?.hash ?? '', act: currentAct(state) + 1,
    count: actEnd?.count ?? 0, last: actEnd?.last ?? '', root: actEnd?.root ?? '',
    signers: signersOf(state), policy: 'all of', build: opening?.app.build ?? '',
  });
}

/** What the people present sign when a record is continued under a new recorder key. */
export function resumeStatement(state: State): string {
  const { resumption, recorder } = state;
  return statement({
    type: 'conclave-resume/1', ceremony: state.ceremony, script: state.script?.hash ?? '', count: resumption?.count ?? 0,
    last: resumption?.last ?? '', recorder: recorder ? thumbprint(recorder) : '', present: resumption?.present ?? [],
  });
}

/** What a person signs who does not agree. */
export function disagreementStatement(state: State, seat: string, text: string): string {
  return statement({ type: 'conclave-disagreement/1', ceremony: state.ceremony, count: state.count, head: state.lastHash, seat, words: text });
}

/** The bytes under a checkpoint's Ed25519 signature: plain text, so that anyone can rebuild them with printf. */
export function checkpointMessage(entry: Pick<Entry, 'ceremony' | 'seq' | 'at' | 'prev'>): Uint8Array {
  return utf8(`conclave-checkpoint/1\n${entry.ceremony}\n${entry.seq}\n${entry.at}\n${entry.prev}\n`);
}

export interface Signer {
  readonly seat: string;
  readonly name: string;
  readonly role: Role;
  readonly classical: string;
  readonly pq: string;
}

/** Who signs now: everybody enrolled who still has their seat. */
export function signersOf(state: State): Signer[] {
  return signers(state.people);
}

/** Everybody who ever enrolled, those included whose seat another took over: whom an auditor has to know. */
export function everySigner(state: State): Signer[] {
  return signers([...state.former, ...state.people]);
}

function signers(people: readonly Person[]): Signer[] {
  return people.flatMap((person) => person.identity
    ? [{ seat: person.seat, name: person.name, role: person.role, classical: person.identity.thumbprints[0], pq: person.identity.thumbprints[1] }] : []);
}

// --- check -----------------------------------------------------------------------------------------------------------

const NOW = 'Do what the screen asks for now; nothing is lost.';
const STOP = 'Stop here. Record an exception, and let officer and witness decide whether to repeat the step or to abort.';

/** May this entry be the next one? Null, or the rule it breaks. Never throws on an entry that `parseLine` let through. */
export function check(state: State, entry: Entry): Refusal | null {
  try {
    return judge(state, entry);
  } catch (error) {
    if (error instanceof Refused) return error.refusal; // a value inside, such as a key, has no proper form
    throw error;
  }
}

function judge(state: State, entry: Entry): Refusal | null {
  const schema = Object.hasOwn(ENTRY_DATA, entry.kind) ? ENTRY_DATA[entry.kind] as z.ZodType : null;
  if (!schema) return refuse('ENTRY-KIND', 'a known kind of entry', entry.kind, STOP);
  const parsed = schema.safeParse(entry.data);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return refuse('ENTRY-DATA', `data as FORMAT.md gives it for ${entry.kind}`, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`, STOP);
  }
  if (entry.seq !== state.count) return refuse('SEQUENCE', `entry number ${state.count}`, `${entry.seq}`, STOP);
  if (entry.at < state.lastAt) return refuse('TIME-FORWARD', `a time not before ${state.lastAt}`, entry.at, 'Check the clock; the record\'s own order decides.');
  if (entry.kind === 'opened') return state.phase === 'empty' ? checkOpened(entry as Entry<'opened'>) : refuse('OPENED-ONCE', 'one opening', 'a second one', STOP);
  if (state.phase === 'empty') return refuse('OPENED-FIRST', 'the entry `opened`', entry.kind, NOW);
  if (entry.ceremony !== state.ceremony) return refuse('ONE-CEREMONY', state.ceremony, entry.ceremony, STOP);
  if (entry.by !== undefined && !personAt(state, entry.by)) return refuse('KNOWN-PERSON', 'a seat of this ceremony', entry.by, NOW);
  if (state.phase !== 'open') {
    // An end that the recorder has not signed is none yet: after a crash the record is resumed and ended again.
    if (state.checkpointDue && entry.kind === 'resumed') return checkResumed(state, entry.data as Data<'resumed'>);
    return entry.kind === 'checkpoint' && state.checkpointDue ? null
      : refuse('RECORD-OVER', 'nothing after the end', entry.kind, `This record is ${state.phase}. Open a new ceremony.`);
  }
  // These may always happen: they say what became of the machine or of the room.
  if (entry.kind === 'checkpoint') return state.checkpointDue ? null : refuse('CHECKPOINT-DUE', 'a checkpoint only where one is due', 'one out of place', STOP);
  if (entry.kind === 'lost') return null;
  if (entry.kind === 'resumed') return checkResumed(state, entry.data as Data<'resumed'>);
  if (state.checkpointDue) return refuse('CHECKPOINT-DUE', 'a checkpoint', entry.kind, NOW);
  switch (entry.kind) {
    // Else whoever holds a copy could cut it short and end it under a recorder key that nobody in the room has confirmed.
    case 'aborted': return state.queue.length > 0 ? refuse('RESUME-SIGNED', 'a resumption that the people present have signed', `${state.queue.length} signatures missing`, 'Let them sign, then abort; or leave the record open.') : texts(entry.by ? null : refuse('BY-WHOM', 'who aborts', 'nobody', NOW), ['reason', (entry.data as Data<'aborted'>).reason]);
    case 'noted': return texts(null, ['note', (entry.data as Data<'noted'>).text]);
    case 'disagreed': return checkDisagreed(state, entry as Entry<'disagreed'>);
    case 'exception': {
      const data = entry.data as Data<'exception'>;
      if (data.number !== state.exceptions + 1) return refuse('EXCEPTION-NUMBER', `exception ${state.exceptions + 1}`, `${data.number}`, NOW);
      // Named with a movement's step, it ends that step: the thing is not handed over, and here stands why. So it does with a share that nobody can read.
      if (entry.step !== undefined && !mayBeExcepted(state, entry.step)) return refuse('HAND-OVER-EXCEPTION', 'a step only where its thing is to be handed over or put away, its share of a backup to be read, or its old share to be erased, now', entry.step, NOW);
      const few = entry.step !== undefined && state.backup && awaitsShare(state) ? unreadFault(state.backup) : null;
      if (few) return few;
      return texts(entry.by ? null : refuse('BY-WHOM', 'who decided', 'nobody', NOW), ['expected', data.expected], ['happened', data.happened], ['decided', data.decided]);
    }
    case 'break': return state.onBreak ? refuse('ON-BREAK', 'one break at a time', 'a second one', NOW) : texts(null, ['reason', (entry.data as Data<'break'>).reason]);
    case 'back': {
      const { present } = entry.data as Data<'back'>;
      if (!state.onBreak) return refuse('ON-BREAK', 'a break to come back from', 'none', NOW);
      return present === state.onBreak.present ? null
        : refuse('HEAD-COUNT', `${state.onBreak.present} people, as before the break`, `${present}`, 'Wait for the missing people, or abort. Nobody joins and nobody is replaced in a break.');
    }
    case 'begun': case 'done': case 'failed': case 'found': case 'decided': case 'cleared': case 'witnessed': case 'closed': break;
  }
  if (state.onBreak) return refuse('ON-BREAK', 'nothing during a break', entry.kind, 'Count heads and end the break first.');
  if (entry.kind === 'closed') {
    const { current, queue } = state;
    const accounting = queue.length > 0 && current?.step.do.action === 'put-away';
    return (current === null || accounting ? balancedFault(state) : null) ?? (current === null ? null : refuse('IN-ORDER', `step ${current.step.id}`, 'the end', NOW));
  }
  return checkStep(state, entry);
}

function texts(first: Refusal | null, ...fields: readonly (readonly [string, string])[]): Refusal | null {
  if (first) return first;
  for (const [field, value] of fields) {
    if (value.trim() === '') return refuse('TEXT-PRINTABLE', `${field}: some words`, 'nothing', 'Write a sentence that an auditor will understand in ten years.');
    const refusal = plainText(field, value, 1000);
    if (refusal) return refusal;
  }
  return null;
}

/** Reads script and parameters of an opening, and rehearses them; everything else about it is checked by `check`. */
function planned({ script: text, parameters }: Data<'opened'>): { script: Script; plan: Plan } | Refusal {
  const key = `${JSON.stringify(parameters)}\n${text}`;
  if (lastPlanned?.key !== key) lastPlanned = { key, result: planAfresh(text, parameters) };
  return lastPlanned.result;
}

/** `check` and `apply` ask the same question right after each other, and so do all records under one script. */
let lastPlanned: { readonly key: string; readonly result: { script: Script; plan: Plan } | Refusal } | null = null;

function planAfresh(text: string, parameters: Parameters): { script: Script; plan: Plan } | Refusal {
  const { script, faults: unreadable } = readScript(text);
  const { rehearsed, faults } = script ? rehearse(script, parameters) : { rehearsed: null, faults: unreadable };
  if (rehearsed) return { script: rehearsed.script, plan: rehearsed.plan };
  const fault = faults[0];
  return refuse(fault?.rule ?? 'SCRIPT-SHAPE', fault?.expected ?? 'a valid script', `line ${fault?.line ?? 0}: ${fault?.found ?? ''}`, fault?.next ?? STOP);
}

function checkOpened(entry: Entry<'opened'>): Refusal | null {
  const { data } = entry;
  if (!/^[0-9a-f]{32}$/.test(entry.ceremony)) return refuse('CEREMONY-ID', '32 hexadecimal digits', entry.ceremony, STOP);
  if (entry.prev !== scriptHash(data.script)) return refuse('SCRIPT-HASH', 'the first entry to follow the script\'s hash', entry.prev, STOP);
  const result = planned(data);
  if ('rule' in result) return result;
  const { plan } = result;
  const administers = plan.steps.some((step) => step.do.action === 'administer');
  if (administers !== (data.after !== undefined)) return refuse('LOGBOOK-CHAIN', administers ? 'the volume before this one, or null for the first' : 'no volume before a ceremony', administers ? 'nothing' : 'one', STOP);
  const seats = plan.seats.map((seat) => seat.id).join(' ');
  const taken = data.people.map((person) => person.seat).join(' ');
  if (seats !== taken) return refuse('SEATS-FILLED', `people for ${seats}`, taken, 'Name one person for every seat, in the script\'s order.');
  const names = new Map<string, string>();
  for (const person of data.people) {
    const refusal = texts(null, ['name', person.name]);
    if (refusal) return refusal;
    const key = person.name.trim().toLowerCase().replace(/\s+/g, ' ');
    const other = names.get(key);
    if (other !== undefined) return refuse('ONE-PERSON-ONE-ROLE', 'a different person in every seat', `${person.name} as ${other} and ${person.seat}`, 'Find another person. The officer cannot witness, and one person cannot hold two shares.');
    names.set(key, person.seat);
  }
  const serials = new Map<string, string>();
  const bound: [string, { module: string; serial: string } | undefined][] = [
    ...plan.tokens.map((token): [string, typeof data.bindings.tokens[string] | undefined] => [token, data.bindings.tokens[token]]),
    ...Object.entries(plan.room.cards).flatMap(([card, spec]) => plan.seats.filter((seat) => (spec.for === 'person' || seat.role === 'custodian') && (spec.optional !== true || data.bindings.cards[card]?.[seat.id] !== undefined))
      .map((seat): [string, { module: string; serial: string } | undefined] => [`${card} of ${seat.id}`, data.bindings.cards[card]?.[seat.id]])),
  ];
  const expectedBindings = bound.length;
  const givenBindings = Object.keys(data.bindings.tokens).length + Object.values(data.bindings.cards).reduce((sum, seatsOfCard) => sum + Object.keys(seatsOfCard).length, 0);
  for (const [what, binding] of bound) {
    if (!binding) return refuse('BINDINGS-COMPLETE', `a serial number for ${what}`, 'none', 'Choose a token or card for it.');
    const other = serials.get(binding.serial);
    if (other !== undefined) return refuse('ONE-CARD-ONE-PERSON', 'a different card or token for every purpose', `${binding.serial} as ${other} and ${what}`, 'Choose another card.');
    serials.set(binding.serial, what);
    if (!data.modules.some((module) => module.name === binding.module)) return refuse('MODULE-KNOWN', 'a module that the opening lists', binding.module, STOP);
  }
  if (givenBindings !== expectedBindings) return refuse('BINDINGS-COMPLETE', `${expectedBindings} bindings`, `${givenBindings}`, 'Remove the bindings that the script does not ask for.');
  const inputs = inputRefusal(plan, data.inputs) ?? openingFault(data.inputs, data.mode, data.bindings.cards['share-card'] ?? {}, handlesCopies(plan)) ?? returnOpeningFault(plan, data) ?? renewalOpeningFault(plan, data.inputs, data.bindings.cards) ?? copiesFault(plan, data) ?? cloneFault(plan, data, (name) => keyInput({ opening: data }, name)) ?? escrowOpeningFault(plan, data) ?? activationOpeningFault(plan, data) ?? neverCopiedFault(plan, data.inputs) ?? certifiedFault(plan, data.inputs);
  if (inputs) return inputs;
  layOutMovements(layOutCards(plan, data.bindings.cards), data.inputs, data.people);
  if (data.mode === 'real') {
    if (data.runtime.development) return refuse('REAL-NEEDS-RELEASE', 'the release runtime', 'a development runtime', 'A real ceremony needs a current, supported Electron. Install the release build.');
    const soft = data.modules.find((module) => module.kind === 'software');
    if (soft) return refuse('REAL-NEEDS-TOKEN', 'hardware behind PKCS#11', soft.library, 'The software token is for rehearsals only. Bind a hardware token.');
  }
  return null;
}

/** Every file that the script asks for, of its kind, and no other; what is in them is judged by inputs.ts and verify.ts. */
function inputRefusal(plan: Plan, given: Data<'opened'>['inputs']): Refusal | null {
  for (const [name, { kind, optional }] of Object.entries(plan.inputs)) {
    const input = given[name];
    if (!input && optional !== true) return refuse('INPUTS-COMPLETE', `a file for ${name}`, 'none', 'Choose the file that the script asks for.');
    if (input && input.kind !== kind) return refuse('INPUTS-COMPLETE', `${name}: a ${kind}`, `a ${input.kind}`, 'Choose the file that the script asks for.');
    if (kind === 'key' && input) readKeyRecord(fromBase64url(input.bytes));
    if (kind === 'copies' && input) readCopyList(fromBase64url(input.bytes));
  }
  const stray = Object.keys(given).find((name) => !Object.hasOwn(plan.inputs, name));
  return stray === undefined ? null : refuse('INPUTS-COMPLETE', 'the files that the script asks for', stray, 'Remove the file.');
}

function checkResumed(state: State, data: Data<'resumed'>): Refusal | null {
  const present = new Set(data.present);
  if (present.size !== data.present.length) return refuse('RESUME-QUORUM', 'every person once', 'somebody twice', NOW);
  for (const seat of present) if (!personAt(state, seat)) return refuse('KNOWN-PERSON', 'a seat of this ceremony', seat, NOW);
  const has = (role: Role) => state.people.filter((person) => person.role === role && present.has(person.seat)).length;
  if (has('officer') === 0) return refuse('RESUME-QUORUM', 'an officer', 'none present', 'Let another person take the officer\'s seat.');
  if (state.seals.length > 0) {
    // Where each has only a copy made of the own share, fewer than the set needs may have been there.
    const threshold = state.plan && handlesCopies(state.plan) ? Math.min(1, state.people.filter(({ role }) => role === 'custodian').length) : state.plan?.set?.threshold ?? state.backup?.set.threshold ?? 0;
    const witnesses = Math.min(1, state.people.filter((person) => person.role === 'witness').length);
    if (has('custodian') < threshold || has('witness') < witnesses) {
      return refuse('RESUME-QUORUM', `${witnesses === 1 ? 'a witness' : 'no witness'} and ${threshold} custodians`, `${has('witness')} and ${has('custodian')}`, 'Wait until enough people are back, or abort.');
    }
  }
  if (data.officer) {
    const wanted = data.officer;
    const refusal = texts(null, ['name', wanted.name]);
    if (refusal) return refusal;
    const same = state.people.find((person) => person.name.trim().toLowerCase() === wanted.name.trim().toLowerCase());
    if (same) return refuse('ONE-PERSON-ONE-ROLE', 'a person who is not in this ceremony', `${wanted.name}, already ${same.seat}`, 'The officer cannot witness, and a custodian cannot run the ceremony.');
    if (boundSerials(state).includes(wanted.card.serial)) return refuse('ONE-CARD-ONE-PERSON', 'a card of the new officer\'s own', wanted.card.serial, 'Choose another card.');
  }
  return texts(null, ['reason', data.reason]);
}

function checkDisagreed(state: State, entry: Entry<'disagreed'>): Refusal | null {
  const person = entry.by === undefined ? undefined : personAt(state, entry.by);
  if (!person?.identity) return refuse('ENROL-FIRST', 'a person who has enrolled', entry.by ?? 'nobody', 'Enrol first; until then, use an exception.');
  if (entry.data.statement !== disagreementStatement(state, person.seat, entry.data.words)) {
    return refuse('DISAGREEMENT-STATEMENT', 'the statement over this head and these words', 'another statement', STOP);
  }
  return texts(null, ['words', entry.data.words]);
}

function checkStep(state: State, entry: Entry): Refusal | null {
  const { current } = state;
  if (!current) return refuse('IN-ORDER', 'the end of the ceremony', entry.kind, NOW);
  const { step } = current;
  if (entry.step !== step.id) return refuse('IN-ORDER', `step ${step.id}`, entry.step ?? 'no step', NOW);
  const begunIs = (seq: number | null) => seq === current.begun ? null : refuse('ONE-OUTCOME', `the outcome of entry ${current.begun ?? 'none'}`, `of ${seq ?? 'none'}`, STOP);
  const phaseIs = (...phases: Current['phase'][]) => phases.includes(current.phase) ? null : refuse('BEGUN-FIRST', `${entry.kind} only when the step is ${phases.join(' or ')}`, current.phase, NOW);
  const byDoer = () => entry.by === step.who ? null : refuse('RIGHT-PERSON', step.who, entry.by ?? 'nobody', `This step belongs to ${step.who}.`);
  const action = step.do.action;
  switch (entry.kind) {
    case 'begun': {
      const parsed = INTENTS[action].safeParse((entry.data as Data<'begun'>).intent);
      if (!parsed.success) return refuse('ENTRY-DATA', `an intent for ${action}`, parsed.error.issues[0]?.message ?? '', STOP);
      return phaseIs('ready') ?? byDoer() ?? (isHuman(action) ? refuse('BEGUN-FIRST', 'no `begun` for an act of people alone', 'one', STOP) : checkIntent(state, current, parsed.data, entry.at));
    }
    case 'done': {
      const data = entry.data as Data<'done'>;
      const parsed = EVIDENCE[action].safeParse(data.evidence);
      if (!parsed.success) {
        const issue = parsed.error.issues[0];
        return refuse('EVIDENCE-MATCHES-ACTION', `evidence of ${action}`, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`, STOP);
      }
      return byDoer() ?? (isHuman(action) ? phaseIs('ready') : phaseIs('begun', 'kept')) ?? begunIs(data.begun)
        ?? checkEvidence(state, current, parsed.data, entry.at);
    }
    case 'failed': return phaseIs('begun', 'kept') ?? begunIs((entry.data as Data<'failed'>).begun);
    case 'found': return phaseIs('unexplained') ?? begunIs((entry.data as Data<'found'>).begun);
    case 'decided': {
      const data = entry.data as Data<'decided'>;
      const officer = entry.by !== undefined && personAt(state, entry.by)?.role === 'officer';
      return phaseIs('found') ?? begunIs(data.begun) ?? (officer ? null : refuse('RIGHT-PERSON', 'the officer', entry.by ?? 'nobody', NOW))
        ?? (data.decision === 'keep' && !mayBeKept(state) ? refuse('HALF-KEY', 'a whole key to keep', current.observation?.state === 'half' ? 'half of one' : action === 'form-key' ? 'one that nothing here can compare with its components' : 'one with a wrapped part that was never written down', 'Clear it and begin the step again.') : null)
        // What is gone cannot be brought back, and there is nothing to clear.
        ?? (data.decision === 'clear' && initialises(current.step.do.action, current.intent) ? refuse('ZEROISED-KEPT', 'that the token is taken as what it is: blank', 'to clear it', 'Keep what was found; the step is then proven as if just done.') : null)
        ?? texts(null, ['why', data.why]);
    }
    case 'cleared': {
      const data = entry.data as Data<'cleared'>;
      return phaseIs('clearing') ?? begunIs(data.begun)
        ?? (data.observation.state === 'absent' ? null : refuse('CLEARED-ABSENT', 'nothing left behind', data.observation.detail, STOP));
    }
    case 'witnessed': {
      const witness = entry.by === undefined ? undefined : personAt(state, entry.by);
      if (!witness || witness.seat === step.who) return refuse('WITNESS-NOT-DOER', 'somebody else than the one who acts', entry.by ?? 'nobody', NOW);
      const missing = missingWitnesses(state);
      return phaseIs('witnessing')
        ?? (current.witnesses.includes(witness.seat) ? refuse('WITNESS-ONCE', 'every witness once', witness.seat, NOW) : null)
        ?? (mayWitness(current, witness) ? null : refuse('HAND-OVER-RECEIVER', current.step.movement?.receiver ?? '', witness.seat, 'The custodian who received it says so.'))
        ?? ((missing[witness.role] ?? 0) > 0 ? null : refuse('WITNESS-WANTED', `witnesses: ${Object.keys(missing).join(', ')}`, witness.role, NOW));
    }
    case 'opened': case 'noted': case 'exception': case 'break': case 'back': case 'disagreed': case 'checkpoint': case 'lost': case 'resumed':
    case 'aborted': case 'closed':
      return refuse('ENTRY-KIND', 'an entry that fits a step', entry.kind, STOP); // judged before; listed so that a new kind cannot be forgotten
  }
}

function checkIntent(state: State, current: Current, intent: Intent, at: string): Refusal | null {
  const { step } = current;
  const { opening } = state;
  if (!opening) return refuse('OPENED-FIRST', 'an opening', 'none', STOP);
  const given = intent as Partial<Record<string, unknown>>;
  const expectations: [string, unknown, unknown][] = [];
  const on = 'on' in step.do ? opening.bindings.tokens[step.do.on ?? '']?.serial : undefined;
  if (on !== undefined) expectations.push(['TOKEN-BOUND', on, given['token']]);
  const closed = closedFault(state, step);
  if (closed) return closed;
  switch (step.do.action) {
    case 'enrol':
      expectations.push(['CARD-BOUND', cardOf(state, 'identity-card', step.who), given['card']]);
      break;
    case 'sign-seal':
      expectations.push(['CARD-BOUND', cardOf(state, 'identity-card', step.who), given['card']], ['SEAL-STATEMENT', sealStatement(state), given['statement']]);
      break;
    case 'sign-resume':
      expectations.push(['CARD-BOUND', cardOf(state, 'identity-card', step.who), given['card']], ['RESUME-STATEMENT', resumeStatement(state), given['statement']]);
      break;
    case 'generate-key': {
      if (state.key) return refuse('KEY-ONCE', `no second key ${step.do.key}`, 'one that exists', STOP);
      const place = step.do.place ?? 'token';
      const wanted = idsNeeded(step.do.algorithm, place);
      const { ids } = intent as Intent<'generate-key'>;
      if (ids.length !== wanted || new Set(ids).size !== wanted) return refuse('KEY-PARTS', `${wanted} different CKA_IDs`, ids.join(', '), STOP);
      expectations.push(['AS-SCRIPTED', step.do.algorithm, given['algorithm']], ['AS-SCRIPTED', step.do.label, given['label']], ['AS-SCRIPTED', place, given['place']]);
      break;
    }
    case 'open-key': {
      if (state.key) return refuse('KEY-ONCE', `no second key ${step.do.key}`, 'one that exists', STOP);
      const record = keyInput(state, step.do.from);
      expectations.push(['KEY-BOUND', record.token, given['token']], ['KEY-BOUND', keyIds(record.key).join(' '), (intent as Intent<'open-key'>).ids.join(' ')]);
      break;
    }
    case 'prove-key': case 'issue-certificate': case 'sign-crl': case 'wrap-key': case 'lock-key':
      if (!state.key || state.key.name !== step.do.key) return refuse('KEY-BEFORE-USE', `key ${step.do.key}`, 'no such key', STOP);
      expectations.push(['TOKEN-BOUND', state.key.token, given['token']], ['KEY-BOUND', keyIds(state.key).join(' '), (intent as Intent<'prove-key'>).ids.join(' ')]);
      if (step.do.action === 'wrap-key') expectations.push(['SHARE-SET', state.backup?.set.id, given['set']]);
      break;
    case 'make-backup-key':
      expectations.push(['SHARE-SET', nextEpoch(state), given['epoch']]);
      break;
    case 'give-share': {
      const bag = openedFault(state, step, intent as Intent<'give-share'>);
      if (bag) return bag;
      if (!state.backup?.alive) return refuse('SHARES-AFTER-SPLIT', 'a backup key that has been split', 'none', STOP);
      const dead = state.voidShares[step.who] ?? [];
      expectations.push(['CARD-BOUND', cardOf(state, step.do.card ?? 'share-card', step.who), given['card']], ['SHARE-SET', state.backup.set.id, given['set']],
        ['SHARE-SET', shareNumber(state, step.who), given['x']], ['VOID-SHARES-ERASED', dead.join(' '), (intent as Intent<'give-share'>).erases.join(' ')]);
      break;
    }
    case 'read-back-share': {
      const share = state.backup?.given[step.who];
      const bag = openedFault(state, step, intent as Intent<'read-back-share'>);
      if (bag) return bag;
      if (!share) return refuse('READ-BACK-EVERY-SHARE', 'a share that was given', 'none', STOP);
      expectations.push(['CARD-BOUND', share.card, given['card']], ['SHARE-SET', share.object, given['object']], ['SHARE-SET', share.x, given['x']], ['SHARE-SET', state.backup.set.id, given['set']]);
      break;
    }
    case 'restore-key': {
      if (state.key) return refuse('KEY-ONCE', `no second key ${step.do.key}`, 'one that exists', STOP);
      const fault = restoreIntentFault(backupInput(opening.inputs, step.do.from), state.backup, intent as Intent<'restore-key'>);
      if (fault) return fault;
      break;
    }
    case 'seal-escrow': {
      if (state.deposit) return refuse('ESCROW-ONCE', 'one deposit in a ceremony', 'a second one', STOP);
      const fault = quorumFault(state.backup, intent as Intent<'seal-escrow'>);
      if (fault) return fault;
      break;
    }
    case 'release-escrow': {
      if (state.key) return refuse('KEY-ONCE', `no second key ${step.do.key}`, 'one that exists', STOP);
      const fault = consentFault(state.consent, at, 'Abort, and open the ceremony again: everybody approves anew.') ?? releaseIntentFault(opening.inputs, step.do, intent as Intent<'release-escrow'>);
      if (fault) return fault;
      break;
    }
    case 'prove-recovery': {
      const { backup, key } = state;
      if (step.do.from !== undefined && state.renewal === null) {
        const fault = quorumFault(backup, intent as Intent<'prove-recovery'>);
        if (fault) return fault;
        break;
      }
      if (!backup || (!key?.wrapped && state.renewal === null)) return refuse('WRAP-BEFORE-RECOVERY', 'a wrapped key and its shares', 'none', STOP);
      const unread = Object.entries(backup.given).filter(([, share]) => !share.readBack).map(([seat]) => seat);
      if (unread.length > 0 || Object.keys(backup.given).length !== backup.set.shares) {
        return refuse('READ-BACK-EVERY-SHARE', `all ${backup.set.shares} shares read back`, unread.length > 0 ? `not those of ${unread.join(', ')}` : 'some not given', NOW);
      }
      const { quorum } = intent as Intent<'prove-recovery'>;
      if (new Set(quorum).size !== quorum.length || quorum.length !== backup.set.threshold) {
        return refuse('QUORUM-OF-PERSONS', `${backup.set.threshold} different custodians`, quorum.join(', '), STOP);
      }
      const stranger = quorum.find((seat) => !(seat in backup.given));
      if (stranger !== undefined) return refuse('QUORUM-OF-PERSONS', 'custodians of this set', stranger, STOP);
      if (key) expectations.push(['TOKEN-BOUND', key.token, given['token']]);
      expectations.push(['SHARE-SET', backup.set.id, given['set']]);
      break;
    }
    case 'enter-component': case 'issue-component': {
      const fault = componentIntentFault(state, step, intent as Intent<'enter-component'>);
      if (fault) return fault;
      break;
    }
    case 'form-key': {
      const fault = formIntentFault(state, step.do, intent as Intent<'form-key'>);
      if (fault) return fault;
      break;
    }
    case 'compare-keys': {
      const fault = cloneIntentFault(keyInput(state, step.do.from), state.key, step.do.key, intent as Intent<'compare-keys'>);
      if (fault) return fault;
      break;
    }
    case 'wipe-backup-key':
      if (state.key?.recoveryProven !== true && state.renewal?.proven !== true) return refuse('WIPED-AFTER-PROOF', 'a proven recovery before the source is wiped', 'none', STOP);
      expectations.push(['SHARE-SET', state.backup?.set.id, given['set']]);
      break;
    case 'make-activation-key':
      expectations.push(['SHARE-SET', nextEpoch(state), given['epoch']]);
      return bound(expectations) ?? makeActivationFault(state, intent as Intent<'make-activation-key'>);
    case 'wipe-activation-key': return wipeActivationFault(state, intent as Intent<'wipe-activation-key'>);
    case 'set-activation-pin': return bound(expectations) ?? setPinFault(state, opening, step.do, intent as Intent<'set-activation-pin'>);
    case 'activate': return bound(expectations) ?? activateFault(state, step.do, intent as Intent<'activate'>);
    case 'deactivate': return bound(expectations) ?? deactivateFault(state);
    case 'reset-user-pin': return bound(expectations) ?? resetPinFault(state, intent as Intent<'reset-user-pin'>);
    case 'administer': {
      const wish = intent as Intent<'administer'>;
      const fault = orderFault(wish, opening.modules, opening.mode) ?? momentFault(wish, at);
      if (fault) return fault;
      break;
    }
    case 'approve': {
      expectations.push(['CARD-BOUND', cardOf(state, 'identity-card', step.who), given['card']]);
      const fault = approveFault(state, step.do, intent as Intent<'approve'>, at);
      if (fault) return fault;
      break;
    }
    case 'destroy-copies': {
      const fault = consentFault(state.consent, at, 'Abort, make the list anew with `conclave destroy plan`, and open the ceremony with that: everybody approves anew. What is destroyed already stays recorded.')
        ?? destructionIntentFault(state.destruction, step, intent);
      if (fault) return fault;
      break;
    }
    case 'locate-copies': case 'confirm-gone':
      expectations.push(['COPIES-ALL-LOOKED-FOR', listOf(state.destruction).copies.length, given['copies']]);
      break;
    case 'renew-shares': {
      const fault = renewIntentFault(state.renewal?.old ?? state.backup, state.backup, intent as Intent<'renew-shares'>);
      if (fault) return fault;
      break;
    }
    case 'write-copy': {
      const fault = openedFault(state, step, intent as Intent<'write-copy'>) ?? copyIntentFault(state.backup, state.copies, step.who, intent as Intent<'write-copy'>);
      if (fault) return fault;
      break;
    }
    case 'seal-copy': {
      const fault = openedFault(state, step, intent as Intent<'seal-copy'>) ?? sealIntentFault(state.backup, state.copies, step.who, intent as Intent<'seal-copy'>);
      if (fault) return fault;
      break;
    }
    case 'open-copy': {
      const fault = openIntentFault(state.backup, state.copies, step.who, intent as Intent<'open-copy'>);
      if (fault) return fault;
      break;
    }
    case 'return-share': {
      const fault = returnIntentFault(opening.inputs, step.do, state.backup, step.who, cardOf(state, step.do.card ?? 'new-share-card', step.who), state.voidShares[step.who] ?? [], intent as Intent<'return-share'>);
      if (fault) return fault;
      break;
    }
    case 'retire-share': {
      const fault = retireIntentFault(state.renewal, step.who, intent as Intent<'retire-share'>);
      if (fault) return fault;
      break;
    }
    case 'zeroise-token': {
      const { token } = intent as Intent<'zeroise-token'>;
      const fault = token === on ? zeroiseIntentFault({ inspected: state.inspected[token], listed: state.inventories[token] }, intent as Intent<'zeroise-token'>) : null;
      if (fault) return fault;
      break;
    }
    case 'inspect-token': case 'test-random': case 'take-inventory': case 'confirm-script': case 'confirm-input': case 'wait': case 'set-state': case 'put-away': case 'hand-over': break;
  }
  const other = bound(expectations);
  if (other) return other;
  const used = freshIds(step, intent).find((id) => state.ids.includes(id));
  return used === undefined ? null : refuse('ID-FRESH', 'a CKA_ID never used in this record', used, STOP);
}

function bound(expectations: readonly (readonly [rule: string, expected: unknown, found: unknown])[]): Refusal | null {
  const wrong = expectations.find(([, expected, found]) => expected !== found);
  return wrong ? refuse(wrong[0], String(wrong[1]), String(wrong[2]), STOP) : null;
}

/** What counts the splits of a key: on from the set that people brought, where the new one takes its place. */
export function nextEpoch({ backup, opening, plan }: Pick<State, 'backup' | 'opening' | 'plan'>): number {
  const set = plan?.steps.find(({ do: what }) => what.action === 'set-activation-pin')?.do;
  const former = opening && set?.action === 'set-activation-pin' ? formerSet(opening, set) : null;
  return (backup?.set.epoch ?? former?.record.set.epoch ?? 0) + 1;
}

/** The record of a key that people brought. Throws `Refused`; the opening has read it before. */
export function keyInput({ opening }: { readonly opening: Pick<Data<'opened'>, 'inputs'> | null }, name: string): KeyRecord {
  const input = opening?.inputs[name];
  if (input?.kind !== 'key') throw new Refused(refuse('INPUTS-COMPLETE', `a key record for ${name}`, 'none', STOP));
  return readKeyRecord(fromBase64url(input.bytes));
}

/** The attributes of an AES-256 key that parts are wrapped under, and what they must be. Returns those that differ. */
function wrappingDeviations(found: KeyAttributes): string[] {
  const wanted: Partial<KeyAttributes> = {
    class: 'secret-key', token: true, private: true, sensitive: true, extractable: false, alwaysSensitive: true, neverExtractable: true, local: true,
    wrap: true, unwrap: true,
  };
  return Object.entries(wanted).flatMap(([name, value]) => found[name as keyof KeyAttributes] === value || (name === 'local' && found.local === null) ? [] : [`the wrapping key's ${name} is ${String(found[name as keyof KeyAttributes])}, not ${String(value)}`]);
}

/** The script's truth table against what the token says of the private key. Returns the attributes that differ. */
export function attributeDeviations(step: PlanStep, found: KeyAttributes, extractable: boolean): string[] {
  if (step.do.action !== 'generate-key') return [];
  const { attributes } = step.do;
  const wanted: Partial<KeyAttributes> = {
    class: 'private-key', token: attributes.token, private: attributes.private, sensitive: attributes.sensitive, extractable,
    alwaysSensitive: attributes.sensitive, neverExtractable: attributes.extractable === 'never', local: true,
    sign: attributes.sign, decrypt: attributes.decrypt, derive: attributes.derive, unwrap: attributes.unwrap,
  };
  /** A token may leave uses unanswered that a key type does not have (PKCS#11 3.2, 4.9); one that does not tell CKA_LOCAL is said to. */
  const optional: readonly string[] = ['decrypt', 'derive', 'unwrap', 'local'];
  return Object.entries(wanted).flatMap(([name, value]) => {
    const actual = found[name as keyof KeyAttributes];
    return actual === value || (actual === null && optional.includes(name)) ? [] : [`${name} is ${String(actual)}, not ${String(value)}`];
  });
}

function checkEvidence(state: State, current: Current, evidence: Evidence, at: string): Refusal | null {
  const { step, intent } = current;
  const repeat = 'The value is recorded as found. Record an exception, then repeat the step or abort.';
  const must = (holds: boolean, rule: string, expected: string, found: string) => (holds ? null : refuse(rule, expected, found, repeat));
  switch (step.do.action) {
    case 'confirm-input': {
      const input = state.opening?.inputs[step.do.input];
      const digest = input ? inputDigest(input) : 'no file';
      return must((evidence as Evidence<'confirm-input'>).sha256 === digest, 'INPUT-CONFIRMED', digest, (evidence as Evidence<'confirm-input'>).sha256);
    }
    case 'hand-over': {
      const e = evidence as Evidence<'hand-over'>;
      const { number = 0, kind = '', identifier = '' } = step.movement ?? {};
      return must(e.movement === number && e.kind === kind && e.identifier === identifier, 'HAND-OVER-MOVEMENT', `movement ${number}: ${thingName({ kind, identifier })}`, `movement ${e.movement}: ${thingName(e)}`);
    }
    case 'confirm-script': {
      const e = evidence as Evidence<'confirm-script'>;
      const spoken = (state.script?.words ?? []).join(' ');
      return must(e.words === spoken, 'SCRIPT-HASH-CONFIRMED', spoken, e.words);
    }
    case 'enrol': {
      const e = evidence as Evidence<'enrol'>;
      const i = intent as Intent<'enrol'>;
      const prints = [thumbprint(e.identity.classical), thumbprint(e.identity.pq)];
      const twin = state.people.find((person) => person.seat !== step.who && person.identity?.thumbprints.some((print) => prints.includes(print)));
      return must(e.card.serial === i.card, 'CARD-BOUND', i.card, e.card.serial)
        ?? must(twin === undefined, 'ONE-PERSON-ONE-KEY', 'keys that nobody else in the room holds', `those of ${twin?.seat ?? ''}`)
        ?? must(e.statement === presenceStatement(state, step.who, i.challenge, current.headBefore), 'PRESENCE-FRESH', 'the statement over script, head and this challenge', 'another statement');
    }
    case 'inspect-token': {
      const e = evidence as Evidence<'inspect-token'>;
      const lacking = step.do.needs.filter((need) => !e.needs.some((found) => found.name === need && found.proof === 'verified'));
      return must(e.token.serial === (intent as Intent<'inspect-token'>).token, 'TOKEN-BOUND', (intent as Intent<'inspect-token'>).token, e.token.serial)
        ?? must(lacking.length === 0, 'TOKEN-CAN', `a token that can ${step.do.needs.join(', ')} with ${step.do.algorithm}`,
          `not ${lacking.map((need) => `${need} (${e.needs.find((found) => found.name === need)?.detail ?? 'not tried'})`).join(', ')}`);
    }
    case 'test-random': {
      const e = evidence as Evidence<'test-random'>;
      const names = new Set(e.tests.map((test) => test.name));
      const bad = e.tests.filter((test) => !test.passed).map((test) => test.name);
      return must(e.bytes === step.do.bytes && names.size >= 2, 'RANDOM-PLAUSIBLE', `two different statistics over ${step.do.bytes} bytes`, `${names.size} over ${e.bytes}`)
        ?? must(bad.length === 0, 'RANDOM-PLAUSIBLE', 'a random source that passes', `failed: ${bad.join(', ')}`);
    }
    case 'take-inventory': {
      const e = evidence as Evidence<'take-inventory'>;
      const before = state.inventories[e.token];
      const stray = e.known?.find(({ object }) => !e.objects.some((one) => objectName(one) === objectName(object)));
      if (stray) return refuse('INVENTORY-EXPLAINED', 'only objects of this list named', objectName(stray.object), repeat);
      if (!before) return null;
      if (state.zeroised[e.token] !== undefined) return listedBlankFault(e);
      const told = (objects: readonly ObjectFact[]) => withoutLies(objects, e.token, state.destruction);
      const difference = inventoryDifference(told(before), told(e.objects));
      return must(difference.length === 0, 'INVENTORY-EXPLAINED', 'exactly what the record explains', difference.join('; '));
    }
    case 'generate-key': {
      const e = evidence as Evidence<'generate-key'>;
      const i = intent as Intent<'generate-key'>;
      const expected = componentsOf(caAlgorithmNamed(i.algorithm)).map((component) => `${component.part} ${component.name} ${heldAt(i.place, component)}`).join(', ');
      const found = e.parts.map((part) => `${part.part} ${part.algorithm} ${part.held}`).join(', ');
      const halves = e.parts.map((part) => part.held === 'token' ? part.private !== null && part.public !== null && part.wrapped === null : part.private === null && part.public === null && part.wrapped !== null);
      const onToken = e.parts.filter((part) => part.held === 'token');
      const misnamed = onToken.find((part, index) => part.private?.id !== i.ids[index] || part.public?.id !== i.ids[index] || part.private?.label !== i.label);
      const needed = onToken.length < e.parts.length;
      const extractable = step.do.attributes.extractable === 'until-locked';
      const wrong = [...onToken.flatMap((part) => part.private ? attributeDeviations(step, part.private, extractable) : []), ...e.wrappingKey ? wrappingDeviations(e.wrappingKey) : []];
      return must(found === expected && halves.every(Boolean), 'KEY-PARTS', expected, found)
        ?? must(e.token === i.token && misnamed === undefined, 'KEY-BOUND', `${i.label} with ids ${i.ids.join(', ')}`, `${misnamed?.private?.label ?? ''} with id ${misnamed?.private?.id ?? ''}`)
        ?? must(needed === (e.wrappingKey !== null) && (!needed || e.wrappingKey?.id === i.ids.at(-1)), 'KEY-PARTS', needed ? `a wrapping key with id ${i.ids.at(-1) ?? ''}` : 'no wrapping key', e.wrappingKey?.id ?? 'none')
        ?? must(wrong.length === 0, 'ATTRIBUTES-AS-SCRIPTED', 'the script\'s truth table', wrong.join('; '));
    }
    case 'prove-key': return state.key ? provenAs(state, keyIds(state.key), state.key.parts, state.key.spki, evidence as Evidence<'prove-key'>, must) : refuse('KEY-BEFORE-USE', 'a key', 'none', STOP);
    case 'open-key': {
      const { key } = keyInput(state, step.do.from);
      const e = evidence as Evidence<'open-key'>;
      return must(e.token === (intent as Intent<'open-key'>).token, 'TOKEN-BOUND', (intent as Intent<'open-key'>).token, e.token)
        ?? provenAs(state, keyIds(key), key.parts, key.spki, e, must) ?? backupPossibleFault(state.plan, e);
    }
    case 'issue-certificate': {
      const e = evidence as Evidence<'issue-certificate'>;
      return must(state.key?.proven === true, 'PROVEN-BEFORE-CERTIFIED', 'a key that has proven itself', 'one that has not')
        ?? must(e.lintedTbs === e.signedTbs, 'TBS-IDENTICAL', e.lintedTbs, e.signedTbs);
    }
    case 'sign-crl': {
      const e = evidence as Evidence<'sign-crl'>;
      return must(state.key?.proven === true, 'PROVEN-BEFORE-CERTIFIED', 'a key that has proven itself', 'one that has not')
        ?? must(e.lintedTbs === e.signedTbs, 'TBS-IDENTICAL', e.lintedTbs, e.signedTbs);
    }
    case 'make-backup-key': case 'make-activation-key': {
      const e = evidence as Evidence<'make-backup-key' | 'make-activation-key'>;
      const { plan } = state;
      return must(e.set.id === (intent as Intent<'make-backup-key'>).set && e.set.epoch === (intent as Intent<'make-backup-key'>).epoch, 'SHARE-SET', 'the set that was begun', e.set.id)
        ?? must(e.set.threshold === plan?.set?.threshold && e.set.shares === plan.set.shares, 'SET-THRESHOLD', `${plan?.set?.threshold}-of-${plan?.set?.shares}`, `${e.set.threshold}-of-${e.set.shares}`)
        ?? must(new Set(e.set.commitments).size === e.set.shares, 'SHARE-SET', 'a commitment for each of N different shares', `${new Set(e.set.commitments).size}`)
        ?? must(e.sources.includes('token') && e.sources.includes('system'), 'TWO-SOURCES', 'randomness of token and system', e.sources.join(', '))
        ?? must(e.subsetsTried > 0, 'SPLIT-PROVEN', 'M-subsets combined and compared', 'none');
    }
    case 'wrap-key': {
      const e = evidence as Evidence<'wrap-key'>;
      const parts = (state.key?.parts ?? []).map((part) => part.part).join(' ');
      const wrapped = e.parts.filter((part) => part.wrapped.length > 0).map((part) => part.part).join(' ');
      return must(state.key?.proven === true, 'PROVEN-BEFORE-WRAPPED', 'a key that has proven itself', 'one that has not')
        ?? must(wrapped === parts, 'KEY-PARTS', `every part of the key: ${parts}`, wrapped)
        ?? privateIds(state, e.private, must);
    }
    case 'give-share': {
      const e = evidence as Evidence<'give-share'>;
      const i = intent as Intent<'give-share'>;
      return must(e.card.serial === i.card && e.object === i.object && e.x === i.x, 'CARD-BOUND', `share ${i.x} on ${i.card}`, `share ${e.x} on ${e.card.serial}`)
        ?? must(e.commitment === state.backup?.set.commitments[i.x - 1], 'SHARE-COMMITMENT', 'the share that the set commits to', 'another one');
    }
    case 'read-back-share': {
      const e = evidence as Evidence<'read-back-share'>;
      const i = intent as Intent<'read-back-share'>;
      return must(e.card === i.card && e.object === i.object && e.x === i.x, 'CARD-BOUND', `share ${i.x} on ${i.card}`, `share ${e.x} on ${e.card}`)
        ?? must(e.commitment === state.backup?.set.commitments[i.x - 1], 'SHARE-COMMITMENT', 'the share that the set commits to', 'another one');
    }
    case 'prove-recovery': {
      const e = evidence as Evidence<'prove-recovery'>;
      const i = intent as Intent<'prove-recovery'>;
      return quorumFits(state.backup?.given ?? {}, i.quorum, e.quorum, must)
        ?? must(e.possession.message === i.nonce, 'PROOF-OF-POSSESSION', 'a signature of this step\'s nonce', 'of another message');
    }
    case 'restore-key': {
      const record = backupInput(state.opening?.inputs, step.do.from);
      const [e, i] = [evidence as Evidence<'restore-key'>, intent as Intent<'restore-key'>];
      return restoreFault(record, state.backup, i, e, state.opening?.mode, must) ?? provenAs(state, i.ids, record.key.parts, record.key.spki, e, must);
    }
    case 'enter-component': case 'issue-component':
      return componentEvidenceFault(state, step.do, intent as Intent<'enter-component'>, evidence as Evidence<'enter-component'>, must)
        ?? must(step.do.action === 'enter-component' || (evidence as Evidence<'issue-component'>).sources.length === 2, 'TWO-SOURCES', 'randomness of token and system', 'one of them');
    case 'form-key': return formFault(state, step.do, intent as Intent<'form-key'>, evidence as Evidence<'form-key'>, must);
    case 'compare-keys': {
      const [e, i] = [evidence as Evidence<'compare-keys'>, intent as Intent<'compare-keys'>];
      return cloneEvidenceFault(keyInput(state, step.do.from), i, e, must) ?? must(e.second.token === i.with, 'TOKEN-BOUND', i.with, e.second.token)
        ?? (state.key ? provenAs(state, keyIds(state.key), state.key.parts, state.key.spki, e.second, must) : null);
    }
    case 'seal-escrow': {
      const [e, i] = [evidence as Evidence<'seal-escrow'>, intent as Intent<'seal-escrow'>];
      return quorumFits(state.backup?.given ?? {}, i.quorum, e.quorum, must)
        ?? must(e.possession.message === i.nonce, 'PROOF-OF-POSSESSION', 'a signature of this step\'s nonce', 'of another message');
    }
    case 'release-escrow': {
      const record = backupInput(state.opening?.inputs, step.do.from);
      const [e, i] = [evidence as Evidence<'release-escrow'>, intent as Intent<'release-escrow'>];
      return agentFault(releaseOf(state.opening?.inputs, step.do.escrow), e)
        ?? restoredFault(record, i, e, state.opening?.mode, must) ?? provenAs(state, i.ids, record.key.parts, record.key.spki, e, must);
    }
    case 'lock-key': {
      const e = evidence as Evidence<'lock-key'>;
      const made = generatingStep(state);
      const wrong = made ? e.private.flatMap((half) => attributeDeviations(made, half, false)) : lockingDeviations(state.key?.parts ?? [], e.private);
      return privateIds(state, e.private, must)
        ?? must(e.enforced || state.opening?.mode === 'rehearsal', 'LOCKED', 'a token that itself refuses to wrap a locked key', 'one that would still wrap it')
        ?? must(wrong.length === 0, 'LOCKED', 'the same key, no longer extractable', wrong.join('; '));
    }
    case 'set-activation-pin': return state.opening && setPinEvidenceFault(state, state.opening, intent as Intent<'set-activation-pin'>, step.do, evidence as Evidence<'set-activation-pin'>, must);
    case 'activate': case 'reset-user-pin': return activateEvidenceFault(state, intent as Intent<'activate' | 'reset-user-pin'>, evidence as Evidence<'activate' | 'reset-user-pin'>, must);
    case 'deactivate': return deactivateEvidenceFault(state, intent as Intent<'deactivate'>, evidence as Evidence<'deactivate'>, must);
    case 'wipe-backup-key': case 'wipe-activation-key': {
      const e = evidence as Evidence<'wipe-backup-key'>;
      const alive = state.backup?.alive === true;
      return must(alive === (e.how === 'overwritten'), 'WIPED-AFTER-PROOF', alive ? 'overwritten in the living process' : 'ended with its process', e.how);
    }
    case 'set-state': {
      const e = evidence as Evidence<'set-state'>;
      const { key, to, reason, since } = step.do;
      const record = keyInput(state, key);
      const wanted = since === undefined ? null : since === ALWAYS ? e.since : instantOf(since);
      return must(e.key === identityOfRecord(record) && e.label === record.label, 'KEY-BOUND', `${record.label}, ${identityOfRecord(record)}`, `${e.label}, ${e.key}`)
        ?? must(e.to === to && e.reason === reason, 'AS-SCRIPTED', `${to}: ${reason}`, `${e.to}: ${e.reason}`)
        ?? must(e.since === wanted, 'STATE-SINCE', wanted ?? 'no time', e.since ?? 'no time')
        ?? stateFault(e) ?? sinceFault(e, at);
    }
    case 'renew-shares': return renewFault(state.renewal?.old ?? state.backup, state.plan?.set ?? null, intent as Intent<'renew-shares'>, evidence as Evidence<'renew-shares'>, must);
    case 'retire-share': return retireFault(state.renewal, step.who, intent as Intent<'retire-share'>, evidence as Evidence<'retire-share'>, must);
    case 'seal-copy': return sealFault(state.backup, intent as Intent<'seal-copy'>, evidence as Evidence<'seal-copy'>, must);
    case 'open-copy': return openFault(state.backup, state.copies, step.who, intent as Intent<'open-copy'>, evidence as Evidence<'open-copy'>, must);
    case 'write-copy': return writeFault(state.backup, intent as Intent<'write-copy'>, evidence as Evidence<'write-copy'>, must);
    case 'return-share': return returnFault(state.backup, intent as Intent<'return-share'>, evidence as Evidence<'return-share'>, must);
    case 'zeroise-token': return zeroiseEvidenceFault(intent as Intent<'zeroise-token'>, evidence as Evidence<'zeroise-token'>, current.phase === 'kept');
    case 'administer': return resultFault(intent as Intent<'administer'>, (evidence as Evidence<'administer'>).result, current.phase === 'kept');
    case 'approve': return approvalFault(state, step, intent, evidence as Evidence<'approve'>, current.headBefore);
    case 'wait': return waitFault(state, step.do.hours, at);
    case 'locate-copies': case 'destroy-copies': case 'confirm-gone': return destructionEvidenceFault(state.destruction, step, intent, evidence);
    case 'put-away': return closedBagFault(state, step, evidence as Evidence<'put-away'>);
    case 'sign-seal': case 'sign-resume': return null;
  }
}

/** CKA_IDs that an act uses for what it makes; enrolment may find an identity that was there before. */
function freshIds(step: PlanStep, intent: Intent): readonly string[] {
  const { action } = step.do;
  if (action === 'enrol') return [(intent as Intent<'enrol'>).id];
  if (action === 'generate-key' || action === 'restore-key' || action === 'release-escrow') return (intent as Intent<'generate-key' | 'restore-key' | 'release-escrow'>).ids;
  if (action === 'form-key') return [(intent as Intent<'form-key'>).id];
  return action === 'administer' ? [createdId(intent as Intent<'administer'>) ?? []].flat() : [];
}

type Must = (holds: boolean, rule: string, expected: string, found: string) => Refusal | null;

/** The private halves that a token showed are those of the key, all of them. */
function privateIds(state: State, found: readonly KeyAttributes[], must: Must): Refusal | null {
  const wanted = (state.key?.parts ?? []).flatMap((part) => part.id === null ? [] : [part.id]).join(' ');
  return must(found.map((half) => half.id).join(' ') === wanted, 'KEY-BOUND', wanted, found.map((half) => half.id).join(' '));
}

/** A key read back and proven: the same parts, with the attributes it was given where this ceremony made it. */
function provenAs(state: State, ids: readonly string[], parts: readonly Pick<HeldPart, 'part' | 'held' | 'spki'>[], spki: string, e: Evidence<'prove-key'>, must: Must): Refusal | null {
  const made = state.key?.made === true ? generatingStep(state) : undefined;
  const shown = [...e.parts.flatMap((part) => part.held === 'token' ? [part.private?.id ?? ''] : []), ...e.wrappingKey ? [e.wrappingKey.id] : []];
  const same = e.parts.length === parts.length && e.parts.every((part, index) => part.part === parts[index]?.part && part.held === parts[index].held && part.spki === parts[index].spki);
  const before = state.key?.parts ?? [];
  const wrong = [
    ...made ? e.parts.flatMap((part, index) => part.private ? attributeDeviations(made, part.private, before[index]?.private?.extractable ?? false) : []) : [],
    ...state.key?.restored === true ? e.parts.flatMap((part) => part.private ? restoredDeviations(part.private) : []) : [],
    ...e.wrappingKey ? wrappingDeviations(e.wrappingKey) : [],
  ];
  return must(e.spki === spki && same, 'PUBLIC-PARAMETERS', 'the public key that was generated', 'another one')
    ?? must(shown.join(' ') === ids.join(' '), 'KEY-BOUND', ids.join(' '), shown.join(' '))
    ?? must(wrong.length === 0, 'ATTRIBUTES-AS-SCRIPTED', 'the script\'s truth table', wrong.join('; '))
    ?? must(e.weakTests.length > 0, 'WEAK-KEY', 'weak-key tests', 'none were run');
}

function objectName(object: ObjectFact): string {
  return `${object.class} ${object.keyType} "${object.label}" ${object.id}`;
}

/** What was added and removed between two inventories, in words; empty where they are equal. Order does not matter. */
export function inventoryDifference(before: readonly ObjectFact[], after: readonly ObjectFact[]): string[] {
  const balance = new Map<string, number>();
  for (const object of before) balance.set(objectName(object), (balance.get(objectName(object)) ?? 0) - 1);
  for (const object of after) balance.set(objectName(object), (balance.get(objectName(object)) ?? 0) + 1);
  return [...balance].filter(([, n]) => n !== 0).map(([what, n]) => `${n > 0 ? 'unexplained' : 'missing'}: ${what}`);
}

// --- apply -----------------------------------------------------------------------------------------------------------

/** The state after `entry`. Precondition: `check(state, entry)` was null. */
export function apply(state: State, entry: Entry, head: Head): State {
  const next = applyKind(state, entry);
  const [count, lastHash, lastAt] = [entry.seq + 1, head.hash, entry.at];
  if (entry.kind === 'checkpoint') {
    const atSeal = next.current?.step.do.action === 'sign-seal' && next.actEnd === null;
    return { ...next, count, lastHash, lastAt, sinceCheckpoint: 0, checkpointDue: false, actEnd: atSeal ? { count, last: lastHash, root: head.root() } : next.actEnd };
  }
  const sinceCheckpoint = state.sinceCheckpoint + 1;
  return { ...next, count, lastHash, lastAt, sinceCheckpoint, checkpointDue: next.checkpointDue || sinceCheckpoint >= CHECKPOINT_EVERY || next.phase !== 'open' };
}

function applyKind(state: State, entry: Entry): State {
  switch (entry.kind) {
    case 'opened': return open(state, entry as Entry<'opened'>);
    case 'checkpoint': case 'noted': return state;
    case 'exception': {
      const counted = { ...state, exceptions: state.exceptions + 1 };
      if (entry.step === undefined) return counted;
      if (state.current?.step.do.action === 'put-away') return complete({ ...counted, away: saidMissing(state.away, state.current.step, (entry.data as Data<'exception'>).number) });
      return complete(state.backup && state.current && awaitsShare(state) ? { ...counted, backup: withoutShare(state.backup, state.current.step.who) } : counted);
    }
    case 'break': return { ...state, onBreak: { present: (entry.data as Data<'break'>).present } };
    case 'back': return { ...state, onBreak: null };
    case 'disagreed': return { ...state, disagreements: [...state.disagreements, { seq: entry.seq, seat: entry.by ?? '', words: (entry.data as Data<'disagreed'>).words }] };
    case 'aborted': return { ...state, phase: 'aborted', current: null, queue: [] };
    case 'closed': return { ...state, phase: 'closed' };
    case 'lost': return interrupted(state, (entry.data as Data<'lost'>).module);
    case 'resumed': return resume(interrupted(state), entry as Entry<'resumed'>);
    case 'begun': case 'done': case 'failed': case 'found': case 'decided': case 'cleared': case 'witnessed':
      return state.current ? fromFirstComponent(applyStep(state, state.current, entry as Entry<StepKind>)) : state;
  }
}

type StepKind = 'begun' | 'done' | 'failed' | 'found' | 'decided' | 'cleared' | 'witnessed';

function applyStep(state: State, current: Current, entry: Entry<StepKind>): State {
  switch (entry.kind) {
    case 'begun': {
      const intent = (entry.data as Data<'begun'>).intent as Intent;
      const ids = current.step.do.action === 'enrol' ? [] : freshIds(current.step, intent);
      const wanted = current.step.do.action === 'destroy-copies' ? intent as Intent<'destroy-copies'> : null;
      // Leaving a copy as it is destroys nothing that could explain its absence later.
      const destruction = wanted?.left === null ? { ...state.destruction, tried: [...state.destruction.tried, wanted.copy] } : state.destruction;
      const activation: Activation | null = current.step.do.action === 'set-activation-pin' && state.activation?.kind === 'made' ? { ...state.activation, pin: 'unknown' } : state.activation;
      const renewal = current.step.do.action === 'retire-share' ? retireTried(state.renewal, current.step.who) : state.renewal;
      return { ...state, destruction, renewal, activation, ids: [...state.ids, ...ids], away: afterOpening(state, current.step, intent as Intent<'read-back-share'>), current: { ...current, phase: 'begun', begun: entry.seq, headBefore: state.lastHash, intent, error: null } };
    }
    case 'done': {
      const evidence = (entry.data as Data<'done'>).evidence;
      const after = { ...effect(state, current, evidence, entry.at), away: afterMoves(state, current.step, evidence) };
      // Administration goes on until the officer logs out; a checkpoint then covers it all, and on the way every 64 entries.
      if (current.step.do.action === 'administer' && (current.intent as Intent<'administer'>).change !== 'log-out') return { ...after, current: ready(current) };
      // So does destruction, until every copy has an outcome.
      if (current.step.do.action === 'destroy-copies' && nextCopy(after.destruction)) return { ...after, current: ready(current) };
      const witnessing = { ...current, phase: 'witnessing' as const, evidence, witnesses: [] };
      return Object.keys(current.step.witnesses).length === 0 ? complete(after) : { ...after, current: witnessing };
    }
    case 'failed': {
      const data = entry.data as Data<'failed'>;
      const unexplained = !data.nothingChanged && lasting(current);
      // An attempt that changed nothing explains nothing later.
      const tried = current.step.do.action === 'destroy-copies' && data.nothingChanged && (current.intent as Intent<'destroy-copies'>).left === null ? state.destruction.tried.slice(0, -1) : state.destruction.tried;
      const renewal = current.step.do.action === 'retire-share' && data.nothingChanged ? retireUntried(state.renewal) : state.renewal;
      // Once a token may have the key, the process has wiped what it was formed of.
      const components = unexplained && current.step.do.action === 'form-key' ? { ...state.components, alive: false } : state.components;
      const activation = current.step.do.action === 'set-activation-pin' ? afterFailedPin(state.activation, current.intent as Intent<'set-activation-pin'>, data.error.code, data.nothingChanged) : state.activation;
      const failed = { ...voidBegunShare(state, current), activation, components, destruction: { ...state.destruction, tried }, renewal, current: { ...current, phase: unexplained ? 'unexplained' as const : 'ready' as const, error: data.error } };
      return data.error.code === LOGIN_ENDED ? loginEnded(failed) : failed;
    }
    case 'found': {
      const { observation } = entry.data as Data<'found'>;
      const nothing = observation.state === 'absent' || observation.state === 'none';
      return { ...state, current: nothing ? ready(current) : { ...current, phase: 'found', observation } };
    }
    case 'decided': return { ...state, current: { ...current, phase: (entry.data as Data<'decided'>).decision === 'keep' ? 'kept' : 'clearing' } };
    case 'cleared': return { ...state, current: ready(current) };
    case 'witnessed': {
      const after = { ...state, current: { ...current, witnesses: [...current.witnesses, entry.by ?? ''] } };
      return Object.keys(missingWitnesses(after)).length === 0 ? complete(after) : after;
    }
  }
}

function ready(current: Current): Current {
  return { ...current, phase: 'ready', begun: null, headBefore: '', intent: null, evidence: null, observation: null, witnesses: [] };
}

function start(step: PlanStep | undefined): Current | null {
  return step ? { step, phase: 'ready', begun: null, headBefore: '', intent: null, evidence: null, observation: null, error: null, witnesses: [] } : null;
}

/** The step has ended: on to the next one, first of the queue, then of the plan. */
function complete(state: State): State {
  if (state.queue.length > 0) {
    const queue = state.queue.slice(1);
    const current = queue.length > 0 ? start(queue[0]) : state.parked ?? start(state.plan?.steps[state.cursor]);
    return accounting({ ...state, queue, current, parked: queue.length > 0 ? state.parked : null, checkpointDue: true });
  }
  const cursor = state.cursor + 1;
  const step = state.plan?.steps[cursor];
  const sealedNow = state.plan?.steps[state.cursor]?.act !== step?.act;
  return accounting({ ...state, cursor, current: start(step), actEnd: sealedNow ? null : state.actEnd, checkpointDue: true });
}

/** What reality has left outside comes before the first signature under the last act. */
function accounting(state: State): State {
  const { plan, queue, current } = state;
  const first = plan?.steps.find(({ act, do: { action } }) => act === plan.acts.length - 1 && action === 'sign-seal');
  if (queue.length > 0 || current?.phase !== 'ready' || current.step !== first) return state;
  const steps = stillToPutAway(state);
  return steps.length === 0 ? state : { ...state, queue: steps, current: start(steps[0]) };
}

function open(state: State, entry: Entry<'opened'>): State {
  const result = planned(entry.data);
  if ('rule' in result) return state;
  const { script } = result;
  const plan = layOutMovements(layOutCards(result.plan, entry.data.bindings.cards), entry.data.inputs, entry.data.people);
  return {
    ...state, phase: 'open', ceremony: entry.ceremony, opening: entry.data, script, plan,
    people: entry.data.people.map((person) => ({ ...person, role: plan.seats.find((seat) => seat.id === person.seat)?.role ?? 'auditor', identity: null })),
    recorder: entry.data.recorder, current: start(plan.steps[0]), checkpointDue: true, backup: broughtBackup(entry.data.inputs, entry.data.bindings.cards['share-card'] ?? {}), destruction: destructionAtFirst(plan, entry.data.inputs),
    ...broughtActivation(plan, entry.data),
  };
}

/** A process has ended: what it held is gone, what it had begun is unexplained until somebody looks. */
function interrupted(state: State, lost?: string): State {
  let { current, backup, cursor, voidShares } = state;
  if (current?.phase === 'begun' || current?.phase === 'kept') {
    ({ voidShares } = voidBegunShare(state, current));
    current = lasting(current) ? { ...current, phase: 'unexplained' } : ready(current);
  }
  // The backup key is held by the process of the token's module; another module's cards may go without it.
  if (backup?.alive && (lost === undefined || Object.values(state.opening?.bindings.tokens ?? {}).some((bound) => bound.module === lost))) {
    if (Object.keys(backup.given).length < backup.set.shares) {
      // The backup key died before every share was out: the set can never be completed. Start it again; old shares of it are still whole.
      const restart = state.plan?.steps.findIndex((step) => step.do.action === 'make-backup-key' || step.do.action === 'renew-shares' || step.do.action === 'make-activation-key') ?? -1;
      for (const [seat, share] of Object.entries(backup.given)) voidShares = { ...voidShares, [seat]: [...(voidShares[seat] ?? []), share.object] };
      if (restart >= 0 && restart <= cursor) {
        cursor = restart;
        if (state.queue.length === 0) current = start(state.plan?.steps[cursor]);
      }
    }
    backup = { ...backup, alive: false };
  }
  const held = lost === undefined || Object.values(state.opening?.bindings.tokens ?? {}).some((bound) => bound.module === lost);
  const after = fromFirstComponent({ ...state, current, backup, cursor, voidShares, components: held ? { ...state.components, alive: false } : state.components });
  const { activation } = state;
  const opened = activation && Object.values(state.opening?.bindings.tokens ?? {}).find(({ serial }) => serial === activation.token);
  return opened && (lost === undefined || opened.module === lost) ? loginEnded(after) : after;
}

/** Components that are gone are entered again, from the first one on. A key that may be on the token is looked at before that. */
function fromFirstComponent(state: State): State {
  if (!componentsGone(state.components)) return state;
  const waits = state.queue.length > 0;
  const underWay = waits ? state.parked : state.current;
  if (underWay?.step.do.action === 'form-key' && underWay.phase !== 'ready') return state;
  const cursor = state.plan?.steps.findIndex(isEntry) ?? state.cursor;
  return { ...state, cursor, components: NO_COMPONENTS, parked: waits ? null : state.parked, current: waits ? state.current : start(state.plan?.steps[cursor]) };
}

/** The login that a quorum opened has ended by itself. Where it is still needed, the quorum comes again before anything else is done. */
function loginEnded(state: State): State {
  const { activation, queue, parked } = state;
  if (activation?.kind !== 'brought' || activation.login !== 'open') return state;
  const current = queue.length > 0 ? parked : state.current;
  const again = openedAgain(state.plan, activation, { cursor: state.cursor, done: current?.phase === 'witnessing', act: currentAct(state) });
  const ended: State = { ...state, activation: { ...activation, login: 'ended' } };
  if (again === null) return ended;
  return queue.length > 0 ? { ...ended, queue: [...queue, again] } : { ...ended, queue: [again], parked: current?.phase === 'ready' ? null : current, current: start(again) };
}

function voidBegunShare(state: State, current: Current): State {
  if ((current.step.do.action !== 'give-share' && current.step.do.action !== 'return-share') || !current.intent) return state;
  const seat = current.step.who;
  const { object } = current.intent as Intent<'give-share' | 'return-share'>;
  return { ...state, voidShares: { ...state.voidShares, [seat]: [...(state.voidShares[seat] ?? []), object] } };
}

function resume(before: State, entry: Entry<'resumed'>): State {
  const { data } = entry;
  const state = restartSeal(before);
  const number = state.resumptions + 1;
  const people = state.people.map((person) => person.role === 'officer' && data.officer ? { ...person, name: data.officer.name, identity: null } : person);
  const former = [...state.former, ...state.people.filter((person) => person.role === 'officer' && data.officer && person.identity)];
  const opening = state.opening && data.officer ? {
    ...state.opening,
    bindings: { ...state.opening.bindings, cards: { ...state.opening.bindings.cards, 'identity-card': { ...state.opening.bindings.cards['identity-card'], officer: data.officer.card } } },
  } : state.opening;
  const virtual = (seat: string, action: 'enrol' | 'sign-resume'): PlanStep => ({
    id: `resume-${number}/${action}/${seat}`, act: currentAct(state), who: seat,
    title: action === 'enrol' ? 'Prove that you are here, as the new officer' : 'Confirm that the record is continued',
    say: action === 'enrol' ? 'I take over this ceremony.' : 'I know what happened before the interruption, and I am here now.',
    see: 'The fingerprint of the new recorder key, read aloud.', moves: [], do: { action }, witnesses: {}, line: 0,
  });
  // An officer who took over, and was interrupted before enrolling, still has to enrol.
  const mustEnrol = (person: Person) => person.role === 'officer' && person.identity === null
    && (data.officer !== null || (state.plan?.steps.findIndex((step) => step.do.action === 'enrol' && step.who === person.seat) ?? 0) < state.cursor);
  const queue = people.filter((person) => data.present.includes(person.seat)).flatMap((person) => mustEnrol(person)
    ? [virtual(person.seat, 'enrol'), virtual(person.seat, 'sign-resume')]
    : person.identity ? [virtual(person.seat, 'sign-resume')] : []);
  // Last, where it was waiting: a quorum that has to open its token again.
  queue.push(...state.queue.filter((step) => step.do.action === 'activate').slice(-1));
  const underWay = state.queue.length > 0 ? state.parked : state.current?.phase === 'ready' ? null : state.current;
  return {
    ...state, phase: 'open', people, former, opening, queue, recorder: data.recorder, resumptions: number, checkpointDue: true,
    resumption: { count: entry.seq, last: entry.prev, present: data.present },
    parked: queue.length > 0 ? underWay : null,
    current: queue.length > 0 ? start(queue[0]) : underWay ?? start(state.plan?.steps[state.cursor]),
  };
}

/** A seal that was not complete is signed afresh, so that it covers the resumption and the people who are here now. */
function restartSeal(state: State): State {
  const step = state.plan?.steps[state.cursor];
  if (step?.do.action !== 'sign-seal') return state;
  const cursor = state.plan?.steps.findIndex((candidate) => candidate.act === step.act && candidate.do.action === 'sign-seal') ?? state.cursor;
  const current = state.queue.length > 0 ? state.current : start(state.plan?.steps[cursor]);
  return { ...state, cursor, current, actEnd: null, seals: state.seals.filter((seal) => seal.act !== step.act) };
}

function effect(state: State, current: Current, evidence: Evidence, at: string): State {
  const { step, intent } = current;
  switch (step.do.action) {
    case 'enrol': {
      const { identity } = evidence as Evidence<'enrol'>;
      const thumbprints = [thumbprint(identity.classical), thumbprint(identity.pq)] as const;
      return { ...state, people: state.people.map((person) => person.seat === step.who ? { ...person, identity: { ...identity, thumbprints } } : person) };
    }
    case 'inspect-token': {
      const { token } = evidence as Evidence<'inspect-token'>;
      return { ...state, inspected: { ...state.inspected, [token.serial]: token } };
    }
    case 'zeroise-token': return zeroised(state, step.do.on, evidence as Evidence<'zeroise-token'>);
    case 'take-inventory': {
      const e = evidence as Evidence<'take-inventory'>;
      return { ...state, inventories: { ...state.inventories, [e.token]: e.objects } };
    }
    case 'generate-key': {
      const e = evidence as Evidence<'generate-key'>;
      const i = intent as Intent<'generate-key'>;
      const fact = ({ class: kind, id, label, keyType }: KeyAttributes): ObjectFact => ({ class: kind, id, label, keyType });
      const made = [...e.parts.flatMap((part) => [part.private, part.public]), e.wrappingKey].flatMap((attributes) => attributes ? [fact(attributes)] : []);
      const before = state.inventories[i.token];
      return {
        ...state,
        inventories: before ? { ...state.inventories, [i.token]: [...before, ...made] } : state.inventories,
        key: {
          name: step.do.key, token: i.token, label: i.label, algorithm: i.algorithm, spki: e.spki, wrapping: e.wrappingKey?.id ?? null, made: true, restored: false,
          parts: e.parts.map(({ part, algorithm, held, spki, private: half, wrapped }) => ({ part, algorithm, held, spki, private: half, wrapped, id: half?.id ?? null })),
          proven: false, certificate: null, wrapped: null, recoveryProven: false, locked: false,
        },
      };
    }
    case 'open-key': {
      const { key, label, certificate } = keyInput(state, step.do.from);
      const e = evidence as Evidence<'open-key'>;
      return {
        ...state,
        key: {
          name: step.do.key, token: e.token, label, algorithm: key.algorithm, spki: key.spki, wrapping: key.wrapping, made: false, restored: false,
          parts: key.parts.map((part, index) => ({ ...part, algorithm: e.parts[index]?.algorithm ?? '', private: e.parts[index]?.private ?? null })),
          proven: true, certificate, wrapped: null, recoveryProven: false, locked: false,
        },
      };
    }
    case 'prove-key': return withKey(state, { proven: true });
    case 'issue-certificate': {
      const { certificate } = evidence as Evidence<'issue-certificate'>;
      return step.do.for === undefined ? withKey(state, { certificate }) : { ...state, issued: [...state.issued, { kind: 'certificate', step: step.id, bytes: certificate }] };
    }
    case 'sign-crl': return { ...state, issued: [...state.issued, { kind: 'crl', step: step.id, bytes: (evidence as Evidence<'sign-crl'>).crl }] };
    case 'make-activation-key': {
      const { set, length } = evidence as Evidence<'make-activation-key'>;
      return { ...state, backup: { set, alive: true, given: {}, unread: {}, wiped: false, brought: false }, activation: { kind: 'made', token: (intent as Intent<'make-activation-key'>).token, whose: step.do.pin ?? 'user', length, pin: 'old' } };
    }
    case 'set-activation-pin': return { ...state, activation: state.activation?.kind === 'made' ? { ...state.activation, pin: 'set' } : null };
    case 'activate': return { ...state, activation: state.activation?.kind === 'brought' ? { ...state.activation, login: 'open', opened: state.activation.opened + 1 } : null };
    case 'deactivate': return { ...state, activation: state.activation?.kind === 'brought' ? { ...state.activation, login: 'closed' } : null };
    case 'make-backup-key': return { ...state, backup: { set: (evidence as Evidence<'make-backup-key'>).set, alive: true, given: {}, unread: {}, wiped: false, brought: false } };
    case 'wrap-key': return withKey(state, { wrapped: (evidence as Evidence<'wrap-key'>).parts });
    case 'give-share': case 'return-share': {
      const e = evidence as Evidence<'give-share' | 'return-share'>;
      if (!state.backup) return state;
      const { [step.who]: _erased, ...voidShares } = state.voidShares;
      return { ...state, voidShares, backup: { ...state.backup, given: { ...state.backup.given, [step.who]: { card: e.card.serial, object: e.object, x: e.x, readBack: false } } } };
    }
    case 'read-back-share': {
      const share = state.backup?.given[step.who];
      if (!state.backup || !share) return state;
      return { ...state, backup: { ...state.backup, given: { ...state.backup.given, [step.who]: { ...share, readBack: true } } } };
    }
    case 'prove-recovery': return { ...withKey(state, { recoveryProven: true }), renewal: state.renewal && { ...state.renewal, proven: true } };
    case 'renew-shares': {
      const old = state.renewal?.old ?? state.backup;
      return old ? { ...state, ...renewed(old, evidence as Evidence<'renew-shares'>) } : state;
    }
    case 'seal-copy': return { ...state, backup: shareWasRead(state.backup, step.who), copies: sealedCopy(state.copies, step.who, evidence as Evidence<'seal-copy'>) };
    case 'open-copy': return { ...state, copies: openedCopy(state.copies, step.who) };
    case 'write-copy': return { ...state, backup: shareWasRead(state.backup, step.who), copies: writtenCopy(state.copies, step.who, evidence as Evidence<'write-copy'>) };
    case 'retire-share': return { ...state, renewal: retired(state.renewal, step.who) };
    case 'seal-escrow': return { ...state, deposit: depositOf(state, step.do, evidence as Evidence<'seal-escrow'>) };
    case 'restore-key': case 'release-escrow': {
      const e = evidence as Evidence<'restore-key' | 'release-escrow'>;
      const before = state.inventories[e.token];
      return {
        ...state, key: restoredKey(step.do.key, backupInput(state.opening?.inputs, step.do.from), e),
        inventories: before ? { ...state.inventories, [e.token]: [...before, ...restoredObjects(e)] } : state.inventories,
      };
    }
    case 'enter-component': case 'issue-component': return { ...state, components: withComponent(state.components, step.who, intent as Intent<'enter-component'>, evidence as Evidence<'enter-component'>) };
    case 'form-key': {
      const i = intent as Intent<'form-key'>;
      const before = state.inventories[i.token];
      return {
        ...state, components: withFormed(state.components, i),
        inventories: before ? { ...state.inventories, [i.token]: [...before, formedObject(evidence as Evidence<'form-key'>)] } : state.inventories,
      };
    }
    case 'lock-key': {
      const halves = (evidence as Evidence<'lock-key'>).private;
      return withKey(state, { locked: true, parts: (state.key?.parts ?? []).map((part) => ({ ...part, private: halves.find((half) => half.id === part.id) ?? part.private })) });
    }
    case 'wipe-backup-key': case 'wipe-activation-key': return { ...state, backup: state.backup ? { ...state.backup, alive: false, wiped: true } : null };
    case 'sign-seal': {
      const { statement: signed } = intent as Intent<'sign-seal'>;
      const { signatures } = evidence as Evidence<'sign-seal'>;
      const last = state.seals.at(-1);
      return last?.statement === signed
        ? { ...state, seals: [...state.seals.slice(0, -1), { ...last, signatures: { ...last.signatures, [step.who]: signatures } }] }
        : { ...state, seals: [...state.seals, { act: step.act, statement: signed, signatures: { [step.who]: signatures } }] };
    }
    case 'approve': return { ...state, consent: approvedBy(state.consent, step.who, at, intent as Intent<'approve'>) };
    case 'wait': return { ...state, consent: { ...state.consent, waited: true } };
    case 'locate-copies': case 'destroy-copies': case 'confirm-gone': {
      const destruction = destructionAfter(state.destruction, step.do.action, evidence);
      return { ...state, destruction, inventories: listedAfter(state.inventories, state.destruction, destruction) };
    }
    case 'confirm-script': case 'confirm-input': case 'test-random': case 'put-away': case 'hand-over': case 'sign-resume': case 'administer': case 'set-state': case 'compare-keys': case 'reset-user-pin': return state;
  }
}

/** A blank token may have got another serial number: from now on it is bound under that. */
function zeroised(state: State, on: string, { before, after }: Evidence<'zeroise-token'>): State {
  const { [before.serial]: _listed, ...inventories } = state.inventories;
  const { [before.serial]: _inspected, ...inspected } = state.inspected;
  const bound = state.opening?.bindings.tokens[on];
  return {
    ...state, inventories: { ...inventories, [after.serial]: [] }, inspected: { ...inspected, [after.serial]: after }, zeroised: { ...state.zeroised, [after.serial]: before.serial },
    opening: state.opening && bound ? { ...state.opening, bindings: { ...state.opening.bindings, tokens: { ...state.opening.bindings.tokens, [on]: { ...bound, serial: after.serial } } } } : state.opening,
  };
}

function withKey(state: State, change: Partial<CeremonyKey>): State {
  return state.key ? { ...state, key: { ...state.key, ...change } } : state;
}

// --- questions that the screen, the conductor and the verdict ask ----------------------------------------------------

export function personAt(state: State, seat: string): Person | undefined {
  return state.people.find((person) => person.seat === seat);
}

export function currentAct(state: State): number {
  return state.plan?.steps[state.cursor]?.act ?? (state.plan?.acts.length ?? 1) - 1;
}

/** Serial of a person's card, as bound at the opening (or at the resumption by another officer). */
export function cardOf(state: State, card: string, seat: string): string | undefined {
  return state.opening?.bindings.cards[card]?.[seat]?.serial;
}

function boundSerials(state: State): string[] {
  const { bindings } = state.opening ?? {};
  return [...Object.values(bindings?.tokens ?? {}), ...Object.values(bindings?.cards ?? {}).flatMap((seats) => Object.values(seats))].map((bound) => bound.serial);
}

/** Who receives a share, in the order of the script's steps. */
export function shareReceivers({ plan }: State): string[] {
  return plan?.steps.flatMap((step) => (step.do.action === 'give-share' ? [step.who] : [])) ?? [];
}

/** Which share somebody receives: the x of share i is i. */
export function shareNumber(state: State, seat: string): number {
  return shareReceivers(state).indexOf(seat) + 1;
}

/** Custodians are counted in the order of their seats. */
export function custodianNumber(state: State, seat: string): number {
  return (state.plan?.seats.filter((candidate) => candidate.role === 'custodian').findIndex((candidate) => candidate.id === seat) ?? -1) + 1;
}

/** The serial number that the officer writes out at this step, as it stands on the token's case; null where nothing is to be written. */
export function typedAt({ current, opening }: State): string | null {
  return current?.phase === 'ready' && current.step.do.action === 'zeroise-token' ? opening?.bindings.tokens[current.step.do.on]?.serial ?? null : null;
}

/** Will this ceremony make this token of the room blank? Then what is listed on it is what ends. */
export function zeroises({ plan }: State, token: string): boolean {
  return plan?.steps.some(({ do: what }) => what.action === 'zeroise-token' && what.on === token) === true;
}

export function missingWitnesses(state: State): Partial<Record<Role, number>> {
  const missing: Partial<Record<Role, number>> = {};
  const { current } = state;
  if (!current) return missing;
  for (const [role, wanted] of Object.entries(current.step.witnesses) as [Role, number][]) {
    const seen = current.witnesses.filter((seat) => personAt(state, seat)?.role === role).length;
    if (seen < wanted) missing[role] = wanted - seen;
  }
  return missing;
}

/** Anybody else than the doer; of a thing that changes hands, among the custodians, the one who received it. */
export function mayWitness({ step }: Current, { seat, role }: Pick<Person, 'seat' | 'role'>): boolean {
  const { movement } = step;
  return seat !== step.who && (movement === undefined || role !== 'custodian' || movement.receiver === movement.giver || seat === movement.receiver);
}

/** Does the current step wait for a share of a backup that people brought? */
export function awaitsShare({ current, backup }: State): boolean {
  return current?.phase === 'ready' && awaitsBroughtShare(backup, current.step);
}

/**
 * Does this step wait for a thing to be handed over, or for whoever receives it to say that this is it? Or for a share to be read,
 * of a backup that people brought, for an old one to be erased, or for something to be put away? Then an exception can end it.
 */
export function mayBeExcepted(state: State, step: string): boolean {
  const { current, onBreak } = state;
  if (current?.step.id !== step || onBreak !== null) return false;
  if (awaitsShare(state)) return true;
  // A card that cannot be erased stops nothing: its share is counted among those that are still outside. Nor does a thing that is not there to be put away.
  if (current.step.do.action === 'retire-share') return current.phase === 'ready';
  if (current.step.do.action === 'put-away') return current.phase === 'ready' && current.step.moves.length > 0;
  if (current.step.movement === undefined) return false;
  // Among the custodians only the receiver is a witness here (`mayWitness`).
  const received = current.witnesses.some((seat) => personAt(state, seat)?.role === 'custodian');
  return current.phase === 'ready' || (current.phase === 'witnessing' && !received);
}

/** The certificate of the key that signs, DER. Throws `Refused` where it has none yet. */
export function issuerOf(state: State): string {
  const certificate = state.key?.certificate ?? null;
  if (certificate === null) throw new Refused(refuse('KEY-BEFORE-USE', 'a key with a certificate', 'one without', NOW));
  return certificate;
}

export function generatingStep(state: State): PlanStep | undefined {
  return state.plan?.steps.find((step) => step.do.action === 'generate-key');
}

/** What has to happen next. There is always exactly one answer. */
export type Pending =
  | { readonly kind: 'opening' }
  | { readonly kind: 'checkpoint' }
  | { readonly kind: 'back'; readonly present: number }
  | { readonly kind: 'step'; readonly step: PlanStep }
  | { readonly kind: 'outcome'; readonly step: PlanStep }
  | { readonly kind: 'look'; readonly step: PlanStep }
  | { readonly kind: 'decide'; readonly step: PlanStep; readonly observation: Observation }
  | { readonly kind: 'clear'; readonly step: PlanStep }
  | { readonly kind: 'witness'; readonly step: PlanStep; readonly missing: Partial<Record<Role, number>> }
  | { readonly kind: 'close' }
  | { readonly kind: 'over'; readonly how: 'aborted' | 'closed' };

export function pendingAction(state: State): Pending {
  const { current, phase } = state;
  if (phase === 'empty') return { kind: 'opening' };
  if (state.checkpointDue) return { kind: 'checkpoint' };
  if (phase !== 'open') return { kind: 'over', how: phase };
  if (state.onBreak) return { kind: 'back', present: state.onBreak.present };
  if (!current) return { kind: 'close' };
  const { step } = current;
  switch (current.phase) {
    case 'ready': return { kind: 'step', step };
    case 'begun': case 'kept': return { kind: 'outcome', step };
    case 'unexplained': return { kind: 'look', step };
    case 'found': return { kind: 'decide', step, observation: current.observation ?? { state: 'none', objects: [], detail: '' } };
    case 'clearing': return { kind: 'clear', step };
    case 'witnessing': return { kind: 'witness', step, missing: missingWitnesses(state) };
  }
}
