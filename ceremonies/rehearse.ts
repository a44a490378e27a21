/**
 * The rehearsal: a script walked through a model of the room, before anybody enters the real one.
 *
 * Where is every token and card, who has confirmed and enrolled, what does the key allow, where is every share? Each step
 * of the plan asserts what must be so before it, then changes the model. What comes out at the end is `Rehearsed`, a type
 * that only this file can make and that opening a ceremony demands; or every fault, each with its rule and its line.
 *
 * It never touches a device, and it knows no person, serial number or PIN: those are bindings.
 */
import { USES_OPEN_TOKEN } from './activation.ts';
import { MOST_COMPONENTS, NO_TOTAL, totalOnForms } from './components.ts';
import type { InputKind } from './evidence.ts';
import { caAlgorithmNamed, componentsOf, isStateful } from './keys/algorithms.ts';
import { heldAt } from './key-record.ts';
import { bagStepFault } from './putting-away.ts';
import { handlesCopies } from './share-copies.ts';
import { Refused, refuse } from './refusal.ts';
import { ALWAYS, instantOf } from './statements.ts';
import { planOf, type Fault, type Parameters, type Place, type Plan, type PlanStep, type Role, type Script } from './script.ts';

const brand = Symbol('rehearsed');

/** A script with its parameters that has been walked through without a fault. Nothing outside this file can make one. */
export interface Rehearsed {
  readonly script: Script;
  readonly parameters: Parameters;
  readonly plan: Plan;
  /** How long the ceremony is planned to take. */
  readonly minutes: number;
  readonly [brand]: true;
}

/** Walks the whole plan and reports every fault, not only the first. */
export function rehearse(script: Script, parameters: Parameters): { rehearsed: Rehearsed; faults: [] } | { rehearsed: null; faults: Fault[] } {
  let plan: Plan;
  try {
    plan = planOf(script, parameters);
  } catch (error) {
    if (error instanceof Refused) return { rehearsed: null, faults: [{ ...error.refusal, line: 0 }] };
    throw error;
  }
  const faults = new Room(plan).walk();
  if (faults.length > 0) return { rehearsed: null, faults };
  const minutes = plan.acts.reduce((sum, act) => sum + act.minutes, 0);
  return { rehearsed: { script, parameters, plan, minutes, [brand]: true }, faults: [] };
}

type Action = PlanStep['do']['action'];
type GenerateKey = Extract<PlanStep['do'], { action: 'generate-key' }>;

/** What may stand in a script beside `administer`. */
const ALONE: readonly Action[] = ['confirm-script', 'enrol', 'administer', 'sign-seal'];

const REORDER = 'Move the step, or add the one that is missing.';

/** Whose hands: the officer's on the token, a custodian's on a share; everybody's for the rest. */
const ROLE_OF: Partial<Record<Action, Role>> = {
  'inspect-token': 'officer', 'test-random': 'officer', 'take-inventory': 'officer', 'generate-key': 'officer', 'prove-key': 'officer',
  'open-key': 'officer', 'issue-certificate': 'officer', 'sign-crl': 'officer', 'make-backup-key': 'officer', 'wrap-key': 'officer', 'prove-recovery': 'officer', 'restore-key': 'officer', 'compare-keys': 'officer', 'lock-key': 'officer', 'seal-escrow': 'officer', 'release-escrow': 'custodian',
  'wipe-backup-key': 'officer', 'zeroise-token': 'officer', 'set-state': 'officer', administer: 'officer', 'give-share': 'custodian', 'read-back-share': 'custodian',
  'renew-shares': 'officer', 'retire-share': 'custodian',
  'seal-copy': 'custodian', 'open-copy': 'custodian', 'write-copy': 'custodian', 'return-share': 'custodian',
  'enter-component': 'custodian', 'issue-component': 'custodian', 'form-key': 'officer',
  'make-activation-key': 'officer', 'wipe-activation-key': 'officer', 'set-activation-pin': 'officer', activate: 'officer', deactivate: 'officer', 'reset-user-pin': 'officer',
  'locate-copies': 'officer', approve: 'custodian', wait: 'officer', 'destroy-copies': 'officer', 'confirm-gone': 'officer', 'hand-over': 'custodian',
};

/** The order of a destruction: nothing is destroyed that nobody looked for, approved and slept on, and nothing counts that was not looked for again. */
const DESTRUCTION = ['locate-copies', 'approve', 'wait', 'destroy-copies', 'confirm-gone'] as const satisfies readonly Action[];
/** And of a release from escrow. */
const RELEASE = ['approve', 'wait', 'release-escrow'] as const satisfies readonly Action[];

interface Key {
  readonly step: PlanStep;
  readonly name: string;
  readonly on: string;
  /** Null for a key that was there before. */
  readonly make: GenerateKey | null;
  /** Brought back out of its backup. */
  readonly restored: boolean;
  proven: boolean;
  wrapped: boolean;
  recovered: boolean;
  locked: boolean;
}

class Room {
  readonly #plan: Plan;
  readonly #faults: Fault[] = [];
  readonly #said = new Set<string>();
  readonly #custodians: readonly string[];
  /** Backups, and sets that open a token, that people bring, with shares of them. */
  readonly #backups: readonly string[];

  /** Where every thing is now, where it began, and the line of the last move that touched it. */
  readonly #places = new Map<string, { now: Place; readonly began: Place; line: number }>();
  readonly #confirmed = new Set<string>();
  readonly #enrolled = new Set<string>();
  #present = false;

  readonly #inspected = new Set<string>();
  readonly #random = new Set<string>();
  /** Tokens whose last inventory still describes them. */
  readonly #listed = new Set<string>();
  #key: Key | null = null;
  #backup: { readonly step: PlanStep; wiped: boolean } | null = null;
  /** Files that somebody has compared with their paper. */
  readonly #compared = new Set<string>();
  /** Who compared which of them, as `file seat`. */
  readonly #comparedBy = new Set<string>();
  readonly #handedOver = new Set<string>();
  #signed = false;
  readonly #approved = new Set<string>();
  /** What is approved, in its order, and how far it has come; -1 before it. */
  readonly #approvable: { readonly rule: string; readonly order: readonly Action[] };
  #stage = -1;
  #deposited = false;
  readonly #zeroised = new Map<string, PlanStep>();
  /** Who has entered a component, in which step; and the step that formed the key of them. */
  readonly #components = new Map<string, PlanStep>();
  #formed: PlanStep | null = null;
  /** Of a set that is made here: how far its token's PIN has come. */
  #activation: { readonly step: PlanStep; readonly on: string; wiped: boolean; set: boolean } | null = null;
  /** The token that a quorum opens. */
  #opened: { readonly step: PlanStep; readonly on: string; closed: boolean } | null = null;
  readonly #given = new Set<string>();
  readonly #readBack = new Set<string>();
  /** The split that replaces the shares of a brought backup; whether its own shares have brought the key back. */
  #renewed: { readonly step: PlanStep; proven: boolean } | null = null;
  readonly #retired = new Set<string>();
  /** Copies of single shares, by seat: whether each was read back from where it now lives. */
  readonly #copies = new Map<string, { readonly step: PlanStep; readBack: boolean }>();

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#custodians = plan.seats.filter((seat) => seat.role === 'custodian').map((seat) => seat.id);
    const releases = plan.steps.some((step) => step.do.action === 'release-escrow');
    this.#approvable = releases ? { rule: 'RELEASE-IN-ORDER', order: RELEASE } : { rule: 'DESTROY-IN-ORDER', order: DESTRUCTION };
    // What an escrow agent holds opens a backup without anybody's share. A set that opens a token here is used as a backup's is; one that only gives up its PIN is not.
    this.#backups = releases || handlesCopies(plan) ? [] : [...Object.values(plan.inputs).filter(({ kind }) => kind === 'backup').map(({ ask }) => ask), ...plan.steps.flatMap(({ do: what }) => (what.action === 'activate' || what.action === 'reset-user-pin' ? [what.from] : []))];
    // What is brought was given before.
    if (this.#backups.length > 0) for (const seat of this.#custodians) this.#given.add(seat);
    for (const [token, at] of Object.entries(plan.room.tokens)) this.#places.set(token, { now: at, began: at, line: 0 });
    for (const [card, spec] of Object.entries(plan.room.cards)) {
      for (const seat of plan.seats) {
        if (spec.for === 'person' || seat.role === 'custodian') this.#places.set(`${card}/${seat.id}`, { now: spec.at, began: spec.at, line: 0 });
      }
    }
  }

  walk(): Fault[] {
    this.#people();
    let line = 0;
    for (const step of this.#plan.steps) {
      // The seals that end an act have no line of their own; what is wrong with them is wrong with the act.
      line = step.line === 0 ? line : step.line;
      const here = { ...step, line };
      this.#role(here);
      this.#everybodyFirst(here);
      this.#byQuorum(here);
      for (const move of here.moves) this.#move(here, move);
      const bag = bagStepFault(this.#plan, here);
      if (bag) this.#fault('BAG-STEP', here, bag.expected, bag.found, 'Let a step of its own open or close the bag.');
      this.#act(here);
    }
    this.#end();
    return this.#faults;
  }

  #fault(rule: string, at: Pick<PlanStep, 'line'>, expected: string, found: string, next = REORDER): void {
    // Steps of one line differ only in their seat: once said is enough.
    const key = [rule, at.line, expected.replace(/\b(officer|custodian|witness|auditor)(-\d+)?\b/g, '*')].join(' ');
    if (this.#said.has(key)) return;
    this.#said.add(key);
    this.#faults.push({ ...refuse(rule, expected, found, next), line: at.line });
  }

  // --- people -----------------------------------------------------------------------------------------------------------

  #people(): void {
    const { seats, room, steps, set } = this.#plan;
    const identity = Object.hasOwn(room.cards, 'identity-card') ? room.cards['identity-card'] : undefined;
    if (identity?.for !== 'person') {
      this.#fault('PEOPLE-CARDS', { line: 0 }, 'an identity-card for every person: it proves presence and signs the seals', identity ? 'one for custodians only' : 'none',
        'Add `identity-card: { for: person, at: holder }` under room.cards.');
    }
    const has = (action: Action) => steps.some((step) => step.do.action === action);
    const recovers = this.#backups.length > 0;
    const renewing = has('renew-shares');
    for (const [card, spec] of Object.entries(room.cards)) {
      if (spec.optional === true && !(renewing && spec.for === 'custodian')) this.#fault('PEOPLE-CARDS', { line: 0 }, `a ${card} for everybody whom it is for`, 'one that is optional', 'Only where shares are renewed may a custodian have no card. Remove `optional`.');
    }
    if ((has('give-share') || recovers) && !Object.hasOwn(room.cards, 'share-card')) {
      this.#fault('PEOPLE-CARDS', { line: 0 }, 'a share-card for every custodian', 'none', 'Add `share-card: { for: custodian, at: bag }` under room.cards.');
    }
    if (set && !recovers && !has('make-backup-key') && !renewing && !has('make-activation-key')) this.#fault('BACKUP-NEEDS-SET', { line: 0 }, 'a backup for the set of shares', 'a set that no step uses', 'Remove `set`, or add the steps of a backup.');
    const administers = steps.filter((step) => step.do.action === 'administer');
    if (administers.length === 0) {
      for (const role of ['witness', 'auditor'] as const) {
        if (!seats.some((seat) => seat.role === role)) this.#fault('PEOPLE-ROLES', { line: 0 }, `a ${role} in every ceremony`, 'none', 'Add one under people.');
      }
    } else {
      // Nobody could say what a ceremony's key or shares have become once anything may be changed beside them.
      const other = steps.find((step) => !ALONE.includes(step.do.action));
      if (other) this.#fault('ADMINISTER-ALONE', other, 'a script that only administers', `${other.do.action} beside it`, 'Make another script for it.');
      if (administers.length > 1 || steps.findLast((step) => step.line > 0)?.do.action !== 'administer') this.#fault('ADMINISTER-ALONE', administers[0] ?? { line: 0 }, 'one administer step, the last', `${administers.length}, or another after it`);
      if (administers.some((step) => Object.keys(step.witnesses).length > 0)) this.#fault('ADMINISTER-ALONE', administers[0] ?? { line: 0 }, 'changes that the officer signs for', 'a witness to a step without an end', 'What needs a witness is a ceremony of its own.');
    }
    if (this.#backups.length > 1 || (recovers && this.#plan.set && !renewing)) this.#fault('BACKUP-ONCE', { line: 0 }, 'one backup in a ceremony', recovers && this.#plan.set ? 'one that is brought and one that is made' : 'two that are brought', 'Make another ceremony for it.');
    if (recovers && this.#custodians.length < 2) this.#fault('PEOPLE-ROLES', { line: 0 }, 'at least two custodians for a recovery', `${this.#custodians.length}`, 'Add custodians under people.');
    if (this.#custodians.length === 0 && this.#plan.set) this.#fault('PEOPLE-ROLES', { line: 0 }, 'custodians for the shares', `${seats.length} people, no custodian`, 'Add custodians under people.');
  }

  #role(step: PlanStep): void {
    const wanted = ROLE_OF[step.do.action];
    const role = this.#plan.seats.find((seat) => seat.id === step.who)?.role;
    if (wanted !== undefined && role !== wanted) {
      this.#fault('PEOPLE-ROLES', step, `${step.do.action} by the ${wanted}`, `by ${step.who}`, `Let who, or for-each, say ${wanted}.`);
    }
  }

  /** Nothing happens before everybody has compared the script and has proven to be there. */
  #everybodyFirst(step: PlanStep): void {
    const { action } = step.do;
    if (this.#present || action === 'confirm-script' || action === 'enrol') return;
    this.#present = true;
    const missing = (done: ReadonlySet<string>) => this.#plan.seats.filter((seat) => !done.has(seat.id)).map((seat) => seat.id).join(', ');
    const [unconfirmed, absent] = [missing(this.#confirmed), missing(this.#enrolled)];
    const first = 'Let the first act begin with these steps, for-each: person.';
    if (unconfirmed !== '') this.#fault('CONFIRM-FIRST', step, 'the script confirmed by everybody before anything else', `${action} before ${unconfirmed}`, first);
    if (absent !== '') this.#fault('ENROL-FIRST', step, 'everybody enrolled before anything else', `${action} before ${absent}`, first);
  }

  // --- things -----------------------------------------------------------------------------------------------------------

  #move(step: PlanStep, move: PlanStep['moves'][number]): void {
    const place = this.#places.get(move.what);
    if (!place) {
      this.#fault('ROOM-THING', step, 'a token or card of the room, held by the one who moves it', move.what, 'Declare it under room, or correct its name or the step\'s person.');
      return;
    }
    if (!this.#present && Object.hasOwn(this.#plan.room.tokens, move.what)) {
      this.#fault('ENROL-FIRST', step, 'everybody enrolled before a token is touched', `${move.what} moved earlier`, 'Move the token in a later step.');
    }
    if (place.now !== move.from) this.#fault('ROOM-MOVE', step, `${move.what} from the ${place.now}, where it is`, `from the ${move.from}`, 'Correct `from`, or add the move that is missing.');
    else if (move.from === move.to) this.#fault('ROOM-MOVE', step, `${move.what} to another place`, `to the ${move.to}, where it is`, 'Remove the move.');
    place.now = move.to;
    place.line = step.line;
  }

  #tokenOut(step: PlanStep, token: string): void {
    const place = Object.hasOwn(this.#plan.room.tokens, token) ? this.#places.get(token) : undefined;
    if (!place) this.#fault('ROOM-THING', step, 'a token of the room', token, 'Declare it under room.tokens, or correct its name.');
    else if (place.now !== 'table') this.#fault('ROOM-TOKEN-OUT', step, `${token} on the table`, `in the ${place.now}`, 'Add the move that takes it out.');
  }

  #cardInReader(step: PlanStep, seat: string, name = 'share-card'): void {
    const card = `${name}/${seat}`;
    const place = this.#places.get(card);
    if (!place && name !== 'share-card') this.#fault('ROOM-THING', step, 'a card of the room', name, 'Declare it under room.cards, or correct its name.');
    if (place && place.now !== 'reader') this.#fault('ROOM-CARD-IN-READER', step, `${card} in the reader`, `in the ${place.now}`, 'Add the move that puts it in.');
  }

  #identityAtHand(step: PlanStep): void {
    const card = `identity-card/${step.who}`;
    const place = this.#places.get(card);
    if (place && place.now !== 'holder' && place.now !== 'reader') {
      this.#fault('ROOM-CARD-IN-READER', step, `${card} with its holder or in the reader`, `in the ${place.now}`, 'Add the move that hands it out.');
    }
  }

  // --- the token, the key, the backup -------------------------------------------------------------------------------------

  #act(step: PlanStep): void {
    const what = step.do;
    switch (what.action) {
      case 'confirm-script':
        if (this.#present) this.#fault('CONFIRM-FIRST', step, 'the script confirmed before anything else', `by ${step.who} later`, 'Move it to the start of the first act.');
        if (this.#confirmed.has(step.who)) this.#fault('CONFIRM-FIRST', step, 'every person confirms once', `${step.who} again`, 'Remove one of the two.');
        this.#confirmed.add(step.who);
        return;
      case 'enrol':
        this.#identityAtHand(step);
        if (this.#present) this.#fault('ENROL-FIRST', step, 'everybody enrolled before anything else', `${step.who} later`, 'Move it to the start of the first act.');
        if (!this.#confirmed.has(step.who)) this.#fault('CONFIRM-FIRST', step, 'the script confirmed before anybody enrols under it', `${step.who} has not`);
        if (this.#enrolled.has(step.who)) this.#fault('ENROL-FIRST', step, 'every person enrols once', `${step.who} again`, 'Remove one of the two.');
        this.#enrolled.add(step.who);
        return;
      case 'inspect-token':
        this.#tokenOut(step, what.on);
        this.#inspected.add(what.on);
        return;
      case 'test-random':
        this.#onToken(step, what.on);
        this.#random.add(what.on);
        return;
      case 'take-inventory':
        this.#onToken(step, what.on);
        this.#listed.add(what.on);
        return;
      case 'generate-key':
        this.#generate(step, what);
        return;
      case 'prove-key': {
        const key = this.#keyOf(step, what.key);
        if (key) key.proven = true;
        return;
      }
      case 'issue-certificate': {
        const key = this.#keyOf(step, what.key);
        if (key && !key.proven) this.#fault('PROVEN-BEFORE-CERTIFIED', step, `key ${what.key} proven first`, 'a certificate for a key that has proven nothing');
        if (what.for !== undefined) this.#input(step, what.for, 'request', 'stated-request', 'certificate');
        if (this.#plan.inputs[what.for ?? '']?.kind === 'stated-request' && what['path-length'] !== undefined) this.#fault('CERTIFICATE-PATH-LENGTH', step, 'no path length for an end entity', `${what['path-length']}`);
        if (key && what.for === undefined && key.make === null) this.#fault('AS-SCRIPTED', step, 'a certificate for a file that was brought', `a second one of ${what.key} itself`, 'Say what it is for.');
        this.#signed = true;
        return;
      }
      case 'sign-crl': {
        this.#keyOf(step, what.key);
        this.#input(step, what.revocations, 'revocations');
        if (what.previous !== undefined) this.#input(step, what.previous, 'crl');
        this.#signed = true;
        return;
      }
      case 'open-key':
        this.#onToken(step, what.on);
        this.#input(step, what.from, 'key');
        if (this.#key) this.#fault('KEY-ONCE', step, 'one key in a ceremony', 'a second one', 'Make another ceremony for it.');
        else this.#key = { step, name: what.key, on: what.on, make: null, restored: false, proven: true, wrapped: false, recovered: false, locked: false };
        return;
      case 'confirm-input':
        if (!Object.hasOwn(this.#plan.inputs, what.input)) this.#fault('INPUT-KNOWN', step, 'a file that the script asks for', what.input, 'Declare it under inputs, or correct its name.');
        this.#compared.add(what.input);
        this.#comparedBy.add(`${what.input} ${step.who}`);
        return;
      case 'hand-over':
        this.#handOver(step, what.list);
        return;
      case 'make-backup-key':
        this.#onToken(step, what.on);
        if (!this.#random.has(what.on)) this.#fault('RANDOM-FIRST', step, `the random source of ${what.on} tested first`, 'not tested');
        if (!this.#plan.set) this.#fault('BACKUP-NEEDS-SET', step, 'a set: how many shares, how many for a recovery', 'none', 'Add `set: { shares: N, threshold: M }`.');
        if (this.#backup) this.#fault('BACKUP-ONCE', step, 'one backup key', 'a second one', 'Remove one of the two.');
        else this.#backup = { step, wiped: false };
        return;
      case 'wrap-key': {
        const key = this.#keyOf(step, what.key);
        if (!this.#backup || this.#backup.wiped) this.#fault('BACKUP-BEFORE-WRAP', step, 'a backup key to wrap under', this.#backup ? 'one that is wiped' : 'none');
        if (!key) return;
        if (!key.proven) this.#fault('PROVEN-BEFORE-WRAPPED', step, `key ${what.key} proven first`, 'a backup of a key that has proven nothing');
        if (key.restored) this.#fault('ATTRIBUTES-SAFE', step, 'a key that this ceremony made or opened', 'one that came out of a backup', 'It has that backup already.');
        else if (key.make?.attributes.extractable === 'never' || key.locked) {
          this.#fault('ATTRIBUTES-SAFE', step, 'a key that may still be wrapped', key.locked ? 'one that is locked' : 'extractable: never', 'Let the key be `extractable: until-locked`, or make no backup.');
        }
        key.wrapped = true;
        return;
      }
      case 'give-share':
        this.#give(step, what.card);
        return;
      case 'read-back-share':
        this.#cardInReader(step, step.who, what.card);
        if (!this.#given.has(step.who)) this.#fault('READ-BACK-EVERY-SHARE', step, `a share of ${step.who} to read back`, 'none was given');
        if (this.#readBack.has(step.who)) this.#fault('READ-BACK-EVERY-SHARE', step, 'every share read back once', `that of ${step.who} again`, 'Remove one of the two.');
        this.#readBack.add(step.who);
        return;
      case 'prove-recovery':
        if (what.on !== undefined && what.from !== undefined && this.#renewed) this.#proveRenewed(step, what.on, what.from);
        else if (what.on !== undefined && what.from !== undefined) this.#fromBackup(step, what.on, what.from);
        else this.#recover(step, what.key ?? '');
        return;
      case 'restore-key':
        this.#fromBackup(step, what.on, what.from);
        this.#restore(step, what);
        return;
      case 'seal-escrow':
        this.#fromBackup(step, what.on, what.from);
        this.#input(step, what.for, 'recipient');
        if (this.#deposited) this.#fault('ESCROW-ONCE', step, 'one deposit in a ceremony', 'a second one', 'Make another ceremony for it.');
        this.#deposited = true;
        this.#escrowWitnessed(step);
        return;
      case 'release-escrow':
        this.#onToken(step, what.on);
        this.#input(step, what.from, 'backup');
        this.#input(step, what.escrow, 'escrow');
        this.#input(step, what.envelope, 'envelope');
        this.#inOrder(step);
        this.#escrowWitnessed(step);
        this.#restore(step, what);
        return;
      case 'compare-keys': {
        this.#onToken(step, what.on);
        this.#input(step, what.from, 'key');
        const key = this.#keyOf(step, what.key);
        if (key && !key.restored) this.#fault('CLONE-RESTORED', step, `key ${what.key} restored in this ceremony`, 'one that was made or opened');
        if (key?.on === what.on) this.#fault('CLONE-TWO-TOKENS', step, 'the key on two tokens', `${what.on} twice`, 'Name the other token under `on`.');
        return;
      }
      case 'renew-shares': this.#renew(step, what); return;
      case 'retire-share': this.#retire(step, what.card); return;
      case 'seal-copy': case 'open-copy': case 'write-copy': case 'return-share': this.#copy(step, what); return;
      case 'lock-key': {
        const key = this.#keyOf(step, what.key);
        if (!key) return;
        if (key.restored || key.make?.attributes.extractable === 'never') this.#fault('ATTRIBUTES-SAFE', step, 'a key that can be locked', key.restored ? 'one that was restored, and is' : 'extractable: never', 'Remove the step, or let the key be `extractable: until-locked`.');
        else if (!key.recovered) this.#fault('LOCK-AFTER-PROOF', step, 'a proven recovery before the key is locked for ever', 'none');
        key.locked = true;
        return;
      }
      case 'enter-component': case 'issue-component': this.#component(step, what); return;
      case 'form-key': this.#form(step, what); return;
      case 'wipe-backup-key':
        if (!this.#key?.recovered && !this.#renewed?.proven) this.#fault('WIPED-AFTER-PROOF', step, 'a proven recovery before the source is wiped', 'none');
        if (!this.#backup || this.#backup.wiped) this.#fault('WIPED-AFTER-PROOF', step, 'a backup key to wipe', this.#backup ? 'one that is wiped' : 'none');
        if (this.#backup) this.#backup.wiped = true;
        return;
      case 'locate-copies': case 'approve': case 'wait': case 'destroy-copies': case 'confirm-gone':
        this.#destroy(step, what);
        return;
      case 'sign-seal': case 'sign-resume':
        this.#identityAtHand(step);
        return;
      case 'zeroise-token': this.#zeroise(step, what.on); return;
      case 'make-activation-key': case 'wipe-activation-key': case 'set-activation-pin': this.#makeActivation(step, what); return;
      case 'activate': case 'deactivate': this.#activate(step, what); return;
      case 'reset-user-pin':
        this.#onToken(step, what.on);
        this.#fromSet(step, what.from, 'activation');
        if ((step.witnesses.witness ?? 0) < 1) this.#fault('ACTIVATE-WITNESSED', step, 'a witness', 'none', 'Add `witnessed-by`.');
        return;
      case 'set-state':
        this.#input(step, what.key, 'key');
        if ((what.to === 'compromised') !== (what.since !== undefined)) this.#fault('STATE-SINCE', step, what.to === 'compromised' ? 'since when the key is not to be trusted' : 'a time only for a compromise', what.since ?? 'no time', 'Correct `since`.');
        else if (what.since !== undefined && what.since !== ALWAYS && instantOf(what.since) === null) this.#fault('STATE-SINCE', step, `a day (2026-03-01), a time in UTC (2026-03-01T12:00:00Z), or ${ALWAYS}`, what.since, 'Correct the parameter.');
        return;
      case 'put-away': case 'administer': return;
    }
  }

  // --- a token that only a quorum opens -------------------------------------------------------------------------------------

  /** Nobody knows the PIN of such a token: no step may come to ask for it. */
  #byQuorum(step: PlanStep): void {
    const what = step.do;
    const has = (action: Action) => this.#plan.steps.some(({ do: other }) => other.action === action);
    const [makes, opens, resets] = [has('make-activation-key'), has('activate'), has('reset-user-pin')];
    if (!makes && !opens && !resets) return;
    if (what.action === 'inspect-token' && what.login !== false) this.#fault('ACTIVATE-FIRST', step, 'a token that is identified without a login', 'a PIN that is asked for', 'Write `login: false`: nobody in the room knows its PIN.');
    const allowed: readonly Action[] = ['confirm-script', 'confirm-input', 'enrol', 'inspect-token', 'test-random', 'give-share', 'read-back-share', 'put-away', 'hand-over', 'sign-seal', 'sign-resume',
      ...makes ? ['make-activation-key', 'wipe-activation-key', 'set-activation-pin'] as const : resets ? ['reset-user-pin'] as const : ['activate', 'deactivate', ...USES_OPEN_TOKEN] as const];
    if (!allowed.includes(what.action)) this.#fault('ACTIVATION-ALONE', step, makes || resets ? 'a ceremony that only gives the token its new PIN' : 'uses of keys that are there, while the token is open', what.action, 'Make another ceremony for it.');
    if (opens && what.action === 'open-key') this.#signed = true; // what the token is opened for may be no more than that
    if (opens && USES_OPEN_TOKEN.includes(what.action) && (this.#opened === null || this.#opened.closed)) this.#fault('ACTIVATE-FIRST', step, 'the token opened by its quorum', this.#opened ? 'closed again' : 'not opened yet');
  }

  #makeActivation(step: PlanStep, what: Extract<PlanStep['do'], { action: 'make-activation-key' | 'wipe-activation-key' | 'set-activation-pin' }>): void {
    const made = this.#activation;
    switch (what.action) {
      case 'make-activation-key':
        this.#onToken(step, what.on);
        if (!this.#random.has(what.on)) this.#fault('RANDOM-FIRST', step, `the random source of ${what.on} tested first`, 'not tested');
        if (!this.#plan.set) this.#fault('BACKUP-NEEDS-SET', step, 'a set: how many shares, how many open the token', 'none', 'Add `set: { shares: N, threshold: M }`.');
        if (made) this.#fault('ACTIVATE-ONCE', step, 'one activation key in a ceremony', 'a second one', 'Make another ceremony for it.');
        else this.#activation = { step, on: what.on, wiped: false, set: false };
        return;
      case 'wipe-activation-key': {
        const unread = this.#custodians.filter((seat) => !this.#readBack.has(seat));
        if (!made || made.wiped || unread.length > 0) this.#fault('WIPED-AFTER-PROOF', step, 'every share read back before the source is wiped, once', made?.wiped ? 'wiped already' : made ? `not those of ${unread.join(', ')}` : 'nothing to wipe');
        if (made) made.wiped = true;
        return;
      }
      case 'set-activation-pin':
        this.#onToken(step, what.on);
        if (what.from !== undefined) this.#input(step, what.from, 'activation');
        if (!made?.wiped || made.on !== what.on) this.#fault('SET-FROM-SHARES', step, `an activation key for ${what.on} that exists only as shares`, made ? 'one that is held outside them' : 'none', 'Let the source be wiped first: then the PIN proves the shares.');
        if ((step.witnesses.witness ?? 0) < 1) this.#fault('ACTIVATE-WITNESSED', step, 'a witness', 'none', 'Add `witnessed-by`.');
        for (const seat of this.#custodians) this.#cardInReader(step, seat);
        if (made?.set) this.#fault('ACTIVATE-ONCE', step, 'the PIN set once', 'a second time', 'Remove one of the two.');
        if (made) made.set = true;
        return;
    }
  }

  #activate(step: PlanStep, what: Extract<PlanStep['do'], { action: 'activate' | 'deactivate' }>): void {
    const open = this.#opened;
    // The cards stay at hand until it is closed: should its login end by itself, the quorum opens it again.
    for (const seat of this.#custodians) this.#cardInReader(step, seat);
    this.#onToken(step, what.on);
    if (what.action === 'deactivate') {
      if (!open || open.closed || open.on !== what.on) this.#fault('ACTIVATE-FIRST', step, `${what.on} open, to be closed`, open ? 'closed, or another token' : 'never opened');
      if (open) open.closed = true;
      return;
    }
    this.#fromSet(step, what.from, 'activation');
    if ((step.witnesses.witness ?? 0) < 1) this.#fault('ACTIVATE-WITNESSED', step, 'a witness', 'none', 'Add `witnessed-by`.');
    if (open) this.#fault('ACTIVATE-ONCE', step, 'one token, opened once', 'a second time', 'Make another ceremony for it.');
    else this.#opened = { step, on: what.on, closed: false };
  }

  /** What is destroyed is listed right before and looked at afterwards, by more than one pair of eyes; and no step of this ceremony needs it. */
  #zeroise(step: PlanStep, token: string): void {
    this.#onToken(step, token);
    if (!this.#listed.delete(token)) this.#fault('INVENTORY-AROUND-CHANGE', step, `an inventory of ${token} right before`, 'none', 'Add a take-inventory step before this one.');
    if (Object.keys(step.witnesses).length === 0) this.#fault('ZEROISE-WITNESSED', step, 'a witness to what cannot be undone', 'none', 'Add `witnessed-by`.');
    const other = this.#plan.steps.find(({ do: what }) => what.action === 'generate-key' || what.action === 'open-key' || what.action === 'make-backup-key');
    if (other) this.#fault('ZEROISE-ALONE', step, 'a ceremony that makes and uses no key', `${other.do.action} beside it`, 'Make another ceremony for it.');
    this.#zeroised.set(token, step);
  }

  #onToken(step: PlanStep, token: string): void {
    this.#tokenOut(step, token);
    if (!this.#inspected.has(token)) this.#fault('INSPECT-FIRST', step, `${token} inspected before it is used`, `${step.do.action} first`);
  }

  #keyOf(step: PlanStep, name: string): Key | null {
    const key = this.#key?.name === name ? this.#key : null;
    if (key) this.#onToken(step, key.on);
    else this.#fault('KEY-BEFORE-USE', step, `key ${name} generated or opened first`, 'no such key');
    return key;
  }

  /** A file is used as what it is, and only after people have compared it with what they expect. */
  #input(step: PlanStep, name: string, ...kinds: readonly InputKind[]): void {
    const input = Object.hasOwn(this.#plan.inputs, name) ? this.#plan.inputs[name] : undefined;
    if (!input || !kinds.includes(input.kind)) this.#fault('INPUT-KNOWN', step, `a ${kinds.join(' or ')} that the script asks for`, input ? `a ${input.kind}` : name, 'Declare it under inputs, or correct its name.');
    else if (input.optional !== true && !this.#compared.has(name)) this.#fault('INPUT-CONFIRMED', step, `${name} compared by people before it is used`, 'not compared', 'Add a confirm-input step before this one.');
  }

  #destroy(step: PlanStep, what: Extract<PlanStep['do'], { action: (typeof DESTRUCTION)[number] }>): void {
    if ('copies' in what && what.copies !== undefined) this.#input(step, what.copies, 'copies');
    this.#inOrder(step);
    if ((what.action === 'destroy-copies' || what.action === 'confirm-gone') && (step.witnesses.witness ?? 0) < 1) this.#fault('DESTROY-WITNESSED', step, 'a witness who sees what becomes of the copies', 'none', 'Add witnessed-by: { witness: 1 }.');
    if (what.action !== 'approve') return;
    if (what.escrow !== undefined) this.#input(step, what.escrow, 'escrow');
    this.#identityAtHand(step);
    if (this.#approved.has(step.who)) this.#fault('APPROVED-BY-SEVERAL', step, 'every approver once', `${step.who} again`, 'Remove one of the two.');
    this.#approved.add(step.who);
  }

  /** Nothing that is approved happens before everybody has approved it and has waited. */
  #inOrder(step: PlanStep): void {
    const { rule, order } = this.#approvable;
    const { action } = step.do;
    const place = order.indexOf(action);
    const again = action === 'approve' && this.#stage === place;
    if (place !== this.#stage + 1 && !again) this.#fault(rule, step, `${order.join(', ')}, each once and in this order`, `${action} after ${order[this.#stage] ?? 'none of them'}`);
    this.#stage = Math.max(this.#stage, place);
  }

  #escrowWitnessed(step: PlanStep): void {
    if ((step.witnesses.witness ?? 0) < 1) this.#fault('ESCROW-WITNESSED', step, 'a witness who sees what goes into escrow and out of it', 'none', 'Add witnessed-by: { witness: 1 }.');
  }

  #generate(step: PlanStep, make: GenerateKey): void {
    const { attributes, on } = make;
    this.#onToken(step, on);
    if (!this.#random.has(on)) this.#fault('RANDOM-FIRST', step, `the random source of ${on} tested first`, 'not tested');
    if (!this.#listed.delete(on)) this.#fault('INVENTORY-AROUND-CHANGE', step, `an inventory of ${on} right before`, 'none', 'Add a take-inventory step before this one.');
    if (!attributes.token || !attributes.private || !attributes.sensitive || !attributes.sign) {
      this.#fault('ATTRIBUTES-SAFE', step, 'token, private, sensitive and sign: true', 'one of them false', 'A root key stays on its token, behind its PIN, unreadable, and signs.');
    }
    if (attributes.decrypt || attributes.derive || attributes.unwrap) {
      this.#fault('ATTRIBUTES-SAFE', step, 'a key with one use', 'decrypt, derive or unwrap beside sign', 'Set them to false.');
    }
    this.#placed(step, make);
    if (this.#key) this.#fault('KEY-ONCE', step, 'one key in a ceremony', 'a second one', 'Make another ceremony for it.');
    else this.#key = { step, name: make.key, on, make, restored: false, proven: false, wrapped: false, recovered: false, locked: false };
  }

  /** Whether a key of this algorithm can live where the script puts it, whatever the token. */
  #placed(step: PlanStep, make: GenerateKey): void {
    const algorithm = caAlgorithmNamed(make.algorithm);
    const place = make.place ?? 'token';
    const components = componentsOf(algorithm);
    if (place === 'split' && components.length < 2) {
      this.#fault('PLACE-POSSIBLE', step, 'a composite for `split`', algorithm.label, 'Choose token or wrapped.');
    }
    const homeless = components.find((component) => component.row === null && heldAt(place, component) === 'token');
    if (homeless) this.#fault('PLACE-POSSIBLE', step, `a place for the ${homeless.label} half`, 'on the token, where this program has no number for it', 'Choose `wrapped`.');
    if (!isStateful(algorithm)) return;
    // SP 800-208 section 8.1: made inside one hardware module, never exported; a copy would sign twice with one state.
    if (place !== 'token') this.#fault('STATEFUL-ON-TOKEN-ONLY', step, 'a stateful key on the token', place, 'Choose token.');
    if (make.attributes.extractable !== 'never') this.#fault('STATEFUL-NEVER-COPIED', step, 'extractable: never', make.attributes.extractable, 'A stateful key is never backed up, shared, cloned or exported.');
  }

  /** Every line of the list becomes a step of its own (shares/movements.ts), so one `hand-over` is all of them. */
  #handOver(step: PlanStep, list: string): void {
    this.#input(step, list, 'movements');
    const without = this.#plan.seats.filter(({ id }) => !this.#comparedBy.has(`${list} ${id}`)).map(({ id }) => id).join(', ');
    if (without !== '') this.#fault('INPUT-CONFIRMED', step, `${list} compared by everybody before anything changes hands`, `not by ${without}`, 'Let the confirm-input step be for-each: person.');
    if (this.#handedOver.has(list)) this.#fault('HAND-OVER-ONCE', step, 'every movement of the list carried out once', `${list} again`, 'Remove one of the two.');
    this.#handedOver.add(list);
    const { custodian = 0, witness = 0 } = step.witnesses;
    if (custodian !== 1 || witness < 1) this.#fault('HAND-OVER-WITNESSED', step, 'the custodian who receives, and a witness', `${custodian} custodians and ${witness} witnesses`, 'Write witnessed-by: { custodian: 1, witness: 1 }.');
  }

  #give(step: PlanStep, card?: string): void {
    this.#cardInReader(step, step.who, card);
    const source = this.#backup ?? this.#activation;
    if (!source || source.wiped) this.#fault('SHARES-AFTER-SPLIT', step, 'a key that has been split into shares', source ? 'one that is wiped' : 'none');
    else if (this.#backup && !this.#key?.wrapped && !this.#renewed) this.#fault('SHARES-AFTER-SPLIT', step, 'the key wrapped before shares are given', 'not wrapped');
    if (this.#given.has(step.who)) this.#fault('ONE-PERSON-ONE-SHARE', step, 'one share for every custodian', `a second one for ${step.who}`, 'Remove one of the two.');
    this.#given.add(step.who);
  }

  #recover(step: PlanStep, name: string): void {
    const key = this.#keyOf(step, name);
    if (key && !key.wrapped) this.#fault('WRAP-BEFORE-RECOVERY', step, `key ${name} wrapped first`, 'nothing to recover');
    this.#everyShareRead(step);
    if (key) key.recovered = true;
  }

  #everyShareRead(step: PlanStep, card?: string): void {
    // The quorum is drawn when the step begins: any custodian may be asked.
    for (const seat of this.#custodians) if (this.#given.has(seat)) this.#cardInReader(step, seat, card);
    const without = this.#custodians.filter((seat) => !this.#given.has(seat));
    if (without.length > 0) this.#fault('SHARES-AFTER-SPLIT', step, 'a share for every custodian before the proof', `none for ${without.join(', ')}`);
    const unread = [...this.#given].filter((seat) => !this.#readBack.has(seat));
    if (unread.length > 0) this.#fault('PROOF-AFTER-READ-BACK', step, 'every share read back before the proof', `not those of ${unread.join(', ')}`);
  }

  // --- a backup whose shares are renewed: walked with every custodian holding an old card and a new one ---

  #renew(step: PlanStep, { on, from }: Extract<PlanStep['do'], { action: 'renew-shares' }>): void {
    this.#fromBackup(step, on, from);
    if (!this.#plan.set) this.#fault('BACKUP-NEEDS-SET', step, 'a set: how many shares, how many for a recovery', 'none', 'Add `set: { shares: N, threshold: M }`.');
    if (this.#renewed || this.#backup) {
      this.#fault('BACKUP-ONCE', step, 'one split in a ceremony', 'a second one', 'Remove one of the two.');
      return;
    }
    this.#renewed = { step, proven: false };
    this.#backup = { step, wiped: false };
    this.#given.clear();
    this.#readBack.clear();
  }

  #newCard(): string | undefined {
    const give = this.#plan.steps.find((step) => step.do.action === 'give-share')?.do;
    return give?.action === 'give-share' ? give.card : undefined;
  }

  #proveRenewed(step: PlanStep, on: string, from: string): void {
    this.#onToken(step, on);
    this.#input(step, from, 'backup');
    this.#everyShareRead(step, this.#newCard());
    if (this.#renewed) this.#renewed.proven = true;
  }

  /** An old share is the way back until the new ones are proven, and what is erased nobody brings back. */
  #retire(step: PlanStep, card?: string): void {
    this.#cardInReader(step, step.who, card);
    if (!this.#renewed?.proven) this.#fault('RETIRE-AFTER-PROOF', step, 'a recovery proven from the new shares before an old one is erased', 'none');
    if ((card ?? 'share-card') === (this.#newCard() ?? 'share-card')) this.#fault('RETIRE-AFTER-PROOF', step, 'old shares and new ones on different cards', `both on ${card ?? 'share-card'}`, 'Let give-share and read-back-share name the new card.');
    if (this.#retired.has(step.who)) this.#fault('RETIRE-EVERY-SHARE', step, 'every old share erased once', `that of ${step.who} again`, 'Remove one of the two.');
    if (Object.keys(step.witnesses).length === 0) this.#fault('RETIRE-WITNESSED', step, 'a witness to what cannot be undone', 'none', 'Add `witnessed-by`.');
    this.#retired.add(step.who);
  }

  /** A copy counts once it was read back; what is sealed is sealed to a key that its holder has compared; all of it before witnesses. */
  #copy(step: PlanStep, what: Extract<PlanStep['do'], { action: 'seal-copy' | 'open-copy' | 'write-copy' | 'return-share' }>): void {
    const made = this.#copies.get(step.who);
    if (Object.keys(step.witnesses).length === 0) this.#fault('COPY-WITNESSED', step, 'a witness to what is made of a share', 'none', 'Add `witnessed-by`.');
    if (what.action === 'open-copy') {
      if (made === undefined || made.readBack) this.#fault('COPY-READ-BACK', step, `an envelope of ${step.who} to open, once`, made ? 'one that was opened' : 'none');
      if (made) made.readBack = true;
      return;
    }
    this.#input(step, what.from, 'backup');
    if (what.action === 'return-share') {
      this.#cardInReader(step, step.who, what.card ?? 'new-share-card');
      if (what.envelope !== undefined) this.#input(step, what.envelope, 'envelope');
      if (this.#given.size > 0) this.#fault('ONE-COPY-EACH', step, 'one share brought back', 'a second one', 'Make another ceremony for it.');
      this.#given.add(step.who);
      return;
    }
    if (!Object.hasOwn(this.#plan.room.cards, 'share-card')) this.#fault('PEOPLE-CARDS', step, 'a share-card for every custodian', 'none', 'Add `share-card: { for: custodian, at: bag }` under room.cards.');
    this.#cardInReader(step, step.who);
    if (made) this.#fault('ONE-COPY-EACH', step, 'one copy for every custodian', `a second one for ${step.who}`, 'Remove one of the two.');
    if (what.action === 'seal-copy') {
      this.#input(step, what.to, 'recipients');
      if (!this.#comparedBy.has(`${what.to} ${step.who}`)) this.#fault('INPUT-CONFIRMED', step, `${what.to} compared by ${step.who} before a share is sealed to a key of it`, 'not compared', 'Let the confirm-input step be for-each: custodian.');
    }
    this.#copies.set(step.who, { step, readBack: what.action === 'write-copy' });
  }

  /** A quorum of those who are here, on that token: every share was read on its card, and every card is at hand. */
  #fromBackup(step: PlanStep, on: string, from: string): void {
    this.#onToken(step, on);
    this.#fromSet(step, from, 'backup');
  }

  #fromSet(step: PlanStep, from: string, kind: 'backup' | 'activation'): void {
    this.#input(step, from, kind);
    for (const seat of this.#custodians) this.#cardInReader(step, seat);
    const unread = this.#custodians.filter((seat) => !this.#readBack.has(seat));
    if (unread.length > 0) this.#fault('READ-BACK-EVERY-SHARE', step, 'every share read on its card before it is used', `not those of ${unread.join(', ')}`, 'Add a read-back-share step, for-each: custodian.');
  }

  #restore(step: PlanStep, { on, key }: Extract<PlanStep['do'], { action: 'restore-key' | 'release-escrow' }>): void {
    if (!this.#listed.delete(on)) this.#fault('INVENTORY-AROUND-CHANGE', step, `an inventory of ${on} right before`, 'none', 'Add a take-inventory step before this one.');
    if (this.#key) this.#fault('KEY-ONCE', step, 'one key in a ceremony', 'a second one', 'Make another ceremony for it.');
    else this.#key = { step, name: key, on, make: null, restored: true, proven: false, wrapped: false, recovered: false, locked: true };
  }

  #component(step: PlanStep, what: Extract<PlanStep['do'], { action: 'enter-component' | 'issue-component' }>): void {
    this.#onToken(step, what.on);
    if (what.action === 'issue-component' && !this.#random.has(what.on)) this.#fault('RANDOM-FIRST', step, `the random source of ${what.on} tested first`, 'not tested');
    const custodians = this.#custodians.length;
    if (custodians < 2 || custodians > MOST_COMPONENTS) this.#fault('COMPONENTS-SEVERAL', step, `2 to ${MOST_COMPONENTS} custodians, one component for each`, `${custodians}`, 'Change the number of custodians under people.');
    if (this.#formed) this.#fault('COMPONENTS-COMPLETE', step, 'every component before the key is formed', `${step.who} afterwards`);
    if (this.#components.has(step.who)) this.#fault('COMPONENT-SET', step, 'one component of every custodian', `a second one of ${step.who}`, 'Remove one of the two.');
    this.#components.set(step.who, step);
  }

  #form(step: PlanStep, what: Extract<PlanStep['do'], { action: 'form-key' }>): void {
    this.#onToken(step, what.on);
    if (!this.#listed.delete(what.on)) this.#fault('INVENTORY-AROUND-CHANGE', step, `an inventory of ${what.on} right before`, 'none', 'Add a take-inventory step before this one.');
    const missing = this.#custodians.filter((seat) => !this.#components.has(seat));
    if (missing.length > 0 || this.#components.size === 0) this.#fault('COMPONENTS-COMPLETE', step, 'the component of every custodian first', `none of ${missing.join(', ')}`, 'Add an enter-component or an issue-component step, for-each: custodian.');
    const sameOrder = ({ do: other }: PlanStep) => 'kind' in other && other.on === what.on && other.kind === what.kind && other.check === what.check;
    const other = [...this.#components.values()].find((entry) => !sameOrder(entry));
    if (other) this.#fault('AS-SCRIPTED', step, 'the token, the kind of key and the method of its components', 'another one', 'Let both steps have the same `on`, `kind` and `check`.');
    // After a crash they are entered again from the first one on: what is signed by then must not have to be undone.
    if ([...this.#components.values()].some(({ act }) => act !== step.act)) this.#fault('COMPONENTS-ONE-ACT', step, 'components and key in one act', 'a seal between them', 'Move the steps into one act.');
    if (Object.keys(step.witnesses).length === 0) this.#fault('FORM-WITNESSED', step, 'a witness to the key that is formed', 'none', 'Add `witnessed-by`.');
    if (what.total !== undefined && what.total !== NO_TOTAL && totalOnForms(what) === null) this.#fault('CHECK-VALUE-FORM', step, `six to ten hexadecimal digits, or ${NO_TOTAL}`, what.total, 'Write the check value of the whole key as it stands on the forms.');
    if (this.#formed || this.#key) this.#fault('KEY-ONCE', step, 'one key in a ceremony', 'a second one', 'Make another ceremony for it.');
    this.#formed = step;
  }

  #end(): void {
    const key = this.#key;
    const last = this.#plan.steps.findLast((step) => step.line > 0) ?? { line: 0 };
    for (const [what, place] of this.#places) {
      if (place.now !== place.began) this.#fault('ROOM-PUT-AWAY', place, `${what} back in the ${place.began} at the end`, `in the ${place.now}`, 'Add the move that puts it away.');
    }
    const named = Object.keys(this.#plan.inputs).filter((name) => !this.#compared.has(name) && this.#plan.inputs[name]?.optional !== true);
    if (named.length > 0) this.#fault('INPUT-CONFIRMED', last, 'every file compared by people', `not ${named.join(', ')}`, 'Add a confirm-input step.');
    const waiting = Object.entries(this.#plan.inputs).filter(([name, { kind }]) => kind === 'movements' && !this.#handedOver.has(name)).map(([name]) => name);
    if (waiting.length > 0) this.#fault('HAND-OVER-ONCE', last, 'every movement of the list carried out once', `${waiting.join(', ')} never`, 'Add a hand-over step.');
    for (const [token, step] of this.#zeroised) if (!this.#listed.has(token)) this.#fault('INVENTORY-AROUND-CHANGE', step, `an inventory of ${token} afterwards`, 'none', 'Add a take-inventory step after this one.');
    if (key && !key.make && !key.restored && key.wrapped && !key.locked) this.#fault('ATTRIBUTES-SAFE', key.step, 'a key that is locked once it has its backup', 'one that may still leave its token', 'Add a lock-key step.');
    if (key && !key.make && !key.restored && !this.#signed && !key.wrapped) this.#fault('KEY-BEFORE-USE', key.step, `key ${key.name} used for something`, 'opened for nothing', 'Add the step that signs.');
    if (key?.make || key?.restored) {
      if (!this.#listed.has(key.on)) this.#fault('INVENTORY-AROUND-CHANGE', key.step, `an inventory of ${key.on} afterwards`, 'none', 'Add a take-inventory step after this one.');
      if (!key.proven) this.#fault('KEY-PROVEN', key.step, `key ${key.name} proven before the end`, 'never', 'Add a prove-key step.');
    }
    if (key?.make) {
      const { attributes } = key.make;
      if (attributes.extractable === 'until-locked' && !key.locked) {
        this.#fault('ATTRIBUTES-SAFE', key.step, 'extractable: never, or locked before the end', 'a key that stays extractable', 'Add a lock-key step, or set extractable: never.');
      }
    }
    const [entry] = this.#components.values();
    if (entry && !this.#formed) this.#fault('COMPONENTS-COMPLETE', entry, 'a key formed of the components', 'none', 'Add a form-key step.');
    if (this.#formed?.do.action === 'form-key' && !this.#listed.has(this.#formed.do.on)) this.#fault('INVENTORY-AROUND-CHANGE', this.#formed, `an inventory of ${this.#formed.do.on} afterwards`, 'none', 'Add a take-inventory step after this one.');
    if (this.#stage >= 0) {
      const { rule, order } = this.#approvable;
      if (this.#stage < order.length - 1) this.#fault(rule, last, `${order.join(', ')}, each once and in this order`, `nothing after ${order[this.#stage] ?? ''}`, 'Add the steps that are missing.');
      const wish = (action: Action) => this.#plan.steps.find((step) => step.do.action === action)?.do;
      const [approve, wait] = [wish('approve'), wish('wait')];
      if (approve?.action === 'approve' && wait?.action === 'wait' && approve.days * 24 <= wait.hours) {
        this.#fault('APPROVAL-EXPIRED', last, 'approvals that hold longer than the waiting period', `${approve.days} days, ${wait.hours} hours`, 'Let approvals hold for more days, or wait for fewer hours.');
      }
      if (this.#approved.size < 2) this.#fault('APPROVED-BY-SEVERAL', last, 'at least two people who approve', `${this.#approved.size}`, 'Let the approve step be for-each: custodian, and seat at least two.');
    }
    const unopened = [...this.#copies.values()].filter(({ readBack }) => !readBack);
    if (unopened[0]) this.#fault('COPY-READ-BACK', unopened[0].step, 'every envelope opened by its holder before the end', `not those of ${unopened.map(({ step }) => step.who).join(', ')}`, 'Add an open-copy step, for-each: custodian.');
    const returned = this.#plan.steps.find(({ do: what }) => what.action === 'return-share');
    if (returned && !this.#readBack.has(returned.who)) this.#fault('READ-BACK-EVERY-SHARE', returned, 'the share read back from its new card', 'never', 'Add a read-back-share step.');
    if (this.#renewed) {
      const kept = this.#custodians.filter((seat) => !this.#retired.has(seat));
      if (kept.length > 0) this.#fault('RETIRE-EVERY-SHARE', this.#renewed.step, 'every old share that is here erased before the end', `not those of ${kept.join(', ')}`, 'Add a retire-share step, for-each: custodian.');
    }
    if (this.#opened?.closed === false) this.#fault('DEACTIVATE-AT-END', this.#opened.step, `${this.#opened.on} closed before the end`, 'still open', 'Add a deactivate step.');
    if (this.#activation?.set === false) this.#fault('ACTIVATION-SET', this.#activation.step, `the PIN of ${this.#activation.on} set before the end`, 'never', 'Add a set-activation-pin step: shares that open nothing are none.');
    if (this.#backup) {
      const unread = [...this.#given].filter((seat) => !this.#readBack.has(seat));
      if (unread.length > 0) this.#fault('READ-BACK-EVERY-SHARE', this.#backup.step, 'every share read back before the end', `not those of ${unread.join(', ')}`, 'Add a read-back-share step, for-each: custodian.');
      if (!key?.recovered && !this.#renewed?.proven) this.#fault('BACKUP-PROVEN', this.#backup.step, 'a proven recovery for a backup', 'none', 'Add a prove-recovery step: a backup that was never tried is none.');
      if (!this.#backup.wiped) this.#fault('WIPE-AT-END', last, 'the backup key\'s source wiped before the end', 'still there', 'Add a wipe-backup-key step.');
    }
  }
}
