/**
 * The custody register: every thing that can be in somebody's custody, who has it and where, since which entry, and every movement.
 *
 * It is folded from the signed records of a machine, as the inventory is, and is never a second truth. Ceremonies tell part of it
 * (whose card proved presence, onto which card a share was written, what was put away); a custody-movement tells the rest. Only
 * records that verify are believed. A thing that is not where the records had it is said to be so, and never moved silently.
 *
 * Pure. Rehearsals are a world of their own: nothing that happens in one moves a thing of the other.
 */
import type { Data, State } from '../ceremony.ts';
import { cardOf, currentAct, personAt } from '../ceremony.ts';
import { stands } from '../destruction.ts';
import type { Evidence, Intent, ThingKind } from '../evidence.ts';
import { believedSteps, foldInventory, type EscrowCopy, type JudgedRecord, type ShareSetCopy, type Source, type Step } from '../inventory.ts';
import { refuse, type Refusal } from '../refusal.ts';
import type { HandedOver, Move, Place, PlanStep } from '../script.ts';
import { portableHasher, type Hasher } from '../transcript.ts';
import { plainSerial, sameSerial } from '../zeroise.ts';
import { thingName } from './movements.ts';
import type { PlacedEnvelope, PlacedShare, SetRule } from './placement.ts';

export interface HeldShare {
  readonly set: string;
  readonly x: number;
}

export interface Thing {
  /** Unique in the register: kind, identifier, and whether it is of a rehearsal. */
  readonly key: string;
  readonly kind: ThingKind;
  readonly identifier: string;
  readonly rehearsal: boolean;
  readonly what: string;
  /** Shares that it holds and that still count; what is no card holds what a list says, whatever became of the set. */
  readonly shares: readonly HeldShare[];
  /** Of an escrow envelope: the set whose backup key is in it. */
  readonly seals: string | null;
  /** Null: no record says so. */
  readonly person: string | null;
  readonly site: string | null;
  /** Where a ceremony last put it. */
  readonly place: Place | 'record' | null;
  /** The bag that it lies in. */
  readonly inside: string | null;
  readonly since: Source;
  /** It was to be handed over or put away and was not, and nobody has seen it since. */
  readonly unaccounted: Source | null;
}

export interface Whereabouts {
  readonly person: string;
  readonly site: string;
}

export interface CustodyMovement extends Source {
  readonly number: number;
  readonly thing: string;
  readonly rehearsal: boolean;
  readonly from: Whereabouts;
  readonly to: Whereabouts;
  readonly reason: string;
  readonly share: HeldShare | null;
  readonly witnesses: readonly string[];
  /** Signed: by giver and receiver, at the end of the act. */
  readonly state: 'signed' | 'unsigned' | 'not-handed-over';
  /** Of what was not handed over: what happened, as the exception says. */
  readonly happened: string | null;
}

/** What came to a place and left it. `unaccounted` is not 0 where that is not what is there: more is missing, or less. */
export interface Balance {
  readonly kind: 'site' | 'person';
  readonly name: string;
  readonly rehearsal: boolean;
  /** There when the records first name it. */
  readonly first: number;
  readonly in: number;
  readonly out: number;
  readonly here: number;
  readonly unaccounted: number;
}

export interface CustodyFinding extends Refusal {
  readonly source: Source | null;
  readonly things: readonly string[];
}

export interface Custody {
  readonly records: { readonly believed: number; readonly refused: number };
  /** Sets of shares that are whole and in force. */
  readonly sets: readonly SetRule[];
  readonly things: readonly Thing[];
  /** As they happened. */
  readonly movements: readonly CustodyMovement[];
  readonly balance: readonly Balance[];
  readonly findings: readonly CustodyFinding[];
}

/** Every share that counts, in the thing that holds it: what placement.ts judges. */
export function placedShares({ things }: Pick<Custody, 'things'>): PlacedShare[] {
  return things.flatMap(({ key, shares, person, site }) => shares.map((share) => ({ ...share, thing: key, person, site })));
}

/** Every escrow envelope, and who has it. */
export function placedEnvelopes({ things }: Pick<Custody, 'things'>): PlacedEnvelope[] {
  return things.flatMap(({ key, seals, person }) => (seals === null ? [] : [{ set: seals, thing: key, person }]));
}

/** The register of a machine. The order in which its records are given does not matter. */
export function foldCustody(records: readonly JudgedRecord[], hasher: Hasher = portableHasher): Custody {
  const inventory = foldInventory(records, hasher);
  const register = new Register([
    ...inventory.keys.flatMap(({ label, rehearsal, copies, believed }) => (believed ? copies.flatMap((copy) => (copy.kind === 'share-set' ? [{ copy, key: label, rehearsal, activation: false }] : [])) : [])),
    ...inventory.activations.flatMap((copy) => (copy.believed ? [{ copy, key: `the ${copy.whose === 'so' ? 'SO PIN' : 'PIN'} of token ${copy.token}`, rehearsal: copy.rehearsal, activation: true }] : [])),
  ], inventory.keys.flatMap(({ label, rehearsal, copies, believed }) => (believed ? copies.flatMap((copy) => (copy.kind === 'escrow' && copy.believed ? [{ copy, key: label, rehearsal }] : [])) : [])));
  for (const step of believedSteps(records, hasher)) register.take(step);
  const passedOn = inventory.findings.filter(({ rule }) => rule === 'RECORD-NOT-BELIEVED' || rule === 'LOGBOOK-CHAIN').map((finding): CustodyFinding => ({
    ...finding, ...finding.rule === 'RECORD-NOT-BELIEVED' && { next: 'Investigate: compare it with the other copies of this record. What it says has moved nothing here.' }, things: [],
  }));
  return { records: inventory.records, ...register.finish(passedOn) };
}

// --- the fold ------------------------------------------------------------------------------------------------------------

type Draft<T> = { -readonly [Name in keyof T]: T[Name] };
interface ThingDraft extends Draft<Omit<Thing, 'shares'>> {
  /** What a list says that it holds. */
  declared: HeldShare | null;
  /** Left out of its place by a ceremony that was aborted, and not seen since. */
  left: { readonly source: Source; readonly place: Place; readonly home: Place } | null;
  /** It was to be put away and was not, and nobody has seen it since. */
  missing: { readonly place: Place; readonly home: Place; readonly happened: string } | null;
  /** Its share was to be read and was not, and has not been read or replaced since. */
  unread: { readonly source: Source; readonly share: HeldShare; readonly happened: string } | null;
}
interface MovementDraft extends Draft<Omit<CustodyMovement, 'state'>> {
  readonly act: number;
  readonly handedOver: HandedOver;
}
type Count = 'first' | 'in' | 'out';
interface KnownEscrow { readonly copy: EscrowCopy; readonly key: string; readonly rehearsal: boolean }
interface KnownSet { readonly copy: ShareSetCopy; readonly key: string; readonly rehearsal: boolean; /** It opens a token; there is no ciphertext to it. */ readonly activation: boolean }

/** Given up before it was whole, or too few of its shares are left on cards, or renewed since. */
const hasEnded = ({ copy }: KnownSet): boolean => copy.end !== null || !copy.complete || copy.renewal === 'superseded';
/** A set that may be given up yet, or has ended, protects nothing. */
const inForce = (one: KnownSet): boolean => !hasEnded(one) && one.copy.renewal === null && one.copy.custodians.length >= one.copy.shares;
const KINDS: readonly ThingKind[] = ['card', 'bag', 'sheet', 'envelope', 'token', 'backup'];
const keyOf = (kind: ThingKind, identifier: string, rehearsal: boolean): string => `${thingName({ kind, identifier })}${rehearsal ? ' (REHEARSAL)' : ''}`;
const same = (one: HeldShare | null, other: HeldShare | null): boolean => one !== null && other !== null && one.set === other.set && one.x === other.x;

/** A bag that a ceremony has closed. */
const SEALED = 'tamper-evident bag';
/** An envelope is called by the beginning of its SHA-256: the whole is in the record of its escrow. */
const ENVELOPE_DIGITS = 16;

/** One thing, however a list spells its serial number. */
const sameThing = (kind: ThingKind, identifier: string, rehearsal: boolean): string => keyOf(kind, kind === 'card' || kind === 'token' ? plainSerial(identifier) : identifier, rehearsal);

class Register {
  readonly #sets: readonly KnownSet[];
  readonly #escrows: readonly KnownEscrow[];
  readonly #things = new Map<string, ThingDraft>();
  readonly #movements: MovementDraft[] = [];
  readonly #counts = new Map<string, Record<Count, number>>();
  readonly #findings: CustodyFinding[] = [];
  /** Where each token and card of a ceremony began and is, by ceremony and the script's name for it. */
  readonly #out = new Map<string, { readonly home: Place; readonly now: Place }>();
  /** Bags that were opened, and since when: what was sealed is waste. */
  readonly #opened = new Map<string, Source>();
  /** The last state of every record. */
  readonly #states = new Map<string, State>();

  constructor(sets: readonly KnownSet[], escrows: readonly KnownEscrow[]) {
    this.#sets = sets;
    this.#escrows = escrows;
  }

  take(step: Step): void {
    const { entry, before, after } = step;
    this.#states.set(entry.ceremony, after);
    const { current } = before;
    switch (entry.kind) {
      case 'begun':
        if (current) this.#bagOpened(step, current.step, ((entry.data as Data<'begun'>).intent as Intent<'read-back-share'>).bag);
        return;
      case 'done':
        if (!current) return;
        this.#seen(step);
        for (const move of current.step.moves) this.#moved(step, move);
        this.#bagClosed(step, current.step);
        return;
      case 'witnessed':
        // Not on the giver's word: it has moved when whoever received it, and every witness, has said so.
        if (current?.step.movement && after.cursor !== before.cursor) this.#handedOver(step, current.step.movement);
        return;
      case 'exception':
        if (entry.step !== undefined && current?.step.movement) this.#notHandedOver(step, current.step.movement, (entry.data as Data<'exception'>).happened);
        else if (entry.step !== undefined && current?.step.do.action === 'put-away') this.#notPutAway(step, current.step.moves, (entry.data as Data<'exception'>).happened);
        else if (entry.step !== undefined && current) this.#unread(step, current.step.who, (entry.data as Data<'exception'>).happened);
        return;
      case 'aborted':
        if (current?.step.movement && current.phase === 'witnessing') this.#notHandedOver(step, current.step.movement, 'The giver said that it was handed over; the ceremony was aborted before everybody had confirmed that.');
        this.#leftOut(step);
        return;
      case 'opened': case 'failed': case 'found': case 'decided': case 'cleared': case 'noted': case 'break': case 'back': case 'disagreed': case 'checkpoint': case 'lost': case 'resumed': case 'closed': return;
    }
  }

  // --- things ---

  #thing(step: Step, kind: ThingKind, identifier: string, what: string): ThingDraft {
    const rehearsal = step.after.opening?.mode === 'rehearsal';
    const known = this.#things.get(sameThing(kind, identifier, rehearsal));
    if (known) {
      if (known.what === kind) known.what = what; // a list only said of what kind it is
      return known;
    }
    const thing: ThingDraft = { key: keyOf(kind, identifier, rehearsal), kind, identifier, rehearsal, what, seals: null, person: null, site: null, place: null, inside: null, since: sourceOf(step), unaccounted: null, declared: null, left: null, missing: null, unread: null };
    this.#things.set(sameThing(kind, identifier, rehearsal), thing);
    return thing;
  }

  #count(which: Count | null, rehearsal: boolean, ...places: readonly (readonly ['site' | 'person', string | null])[]): void {
    for (const [kind, name] of places) {
      if (name === null) continue;
      const key = JSON.stringify([kind, name, rehearsal]);
      const counts = this.#counts.get(key) ?? { first: 0, in: 0, out: 0 };
      if (which !== null) counts[which] += 1;
      this.#counts.set(key, counts);
    }
  }

  // --- what a ceremony tells by itself ---

  /** A card that was used is in the hands of the person who used it. */
  #seen(step: Step): void {
    const { entry, before } = step;
    const { current } = before;
    const action = current?.step.do.action;
    const who = current?.step.who ?? '';
    const evidence = (entry.data as Data<'done'>).evidence;
    if (action === 'enrol') this.#withPerson(step, this.#thing(step, 'card', (current?.intent as Intent<'enrol'>).card, 'identity card'), who);
    if (action === 'give-share' || action === 'return-share') {
      const card = this.#thing(step, 'card', (evidence as Evidence<'give-share' | 'return-share'>).card.serial, 'share card');
      card.declared = null; // what is on it now, the records know
      card.unread = null;
      this.#withPerson(step, card, who);
    }
    if (action === 'seal-copy' || action === 'write-copy') this.#withPerson(step, this.#thing(step, 'card', (evidence as Evidence<'seal-copy' | 'write-copy'>).card, 'share card'), who);
    const copy = action === 'open-copy' || action === 'write-copy' ? step.after.copies[who] : undefined;
    if (copy && before.backup) {
      // A file has no better name than its digest; what people write on a label has to be short.
      const thing = this.#thing(step, copy.medium, copy.identifier.slice(0, 16), copy.medium === 'envelope' ? 'envelope with a copy of a share' : 'form with a copy of a share');
      thing.declared = { set: before.backup.set.id, x: copy.x };
      this.#withPerson(step, thing, who);
    }
    if (action === 'read-back-share') {
      const card = this.#thing(step, 'card', (evidence as Evidence<'read-back-share'>).card, 'share card');
      card.unread = null;
      this.#withPerson(step, card, who);
    }
    if (action === 'retire-share') {
      const card = this.#thing(step, 'card', (evidence as Evidence<'retire-share'>).card, 'share card');
      Object.assign(card, { what: 'card whose share was erased', declared: null });
      this.#withPerson(step, card, who);
    }
    if (action === 'seal-escrow' && step.after.deposit && step.after.opening) {
      const { agent, sha256: digest, set } = step.after.deposit.record;
      const envelope = this.#thing(step, 'envelope', digest.slice(0, ENVELOPE_DIGITS), 'escrow envelope');
      this.#count('first', envelope.rehearsal, ['person', envelope.person === null ? agent.name : null]);
      Object.assign(envelope, { seals: set.id, person: envelope.person ?? agent.name });
    }
    if (action === 'inspect-token') Object.assign(this.#thing(step, 'token', (evidence as Evidence<'inspect-token'>).token.serial, 'token'), { unaccounted: null, left: null, missing: null });
  }

  /** Whoever the envelope was sealed to has it, as the terms say; the agent's own word is in no record. */
  #envelope(escrow: KnownEscrow): void {
    const { copy: { agent, set, sha256: digest, since, end, released }, rehearsal, key } = escrow;
    const name = sameThing('envelope', digest.slice(0, ENVELOPE_DIGITS), rehearsal);
    const known = this.#things.get(name);
    if (end ?? released) {
      // Destroyed, or opened: there is nothing in it any more that nobody has seen.
      if (known) this.#count('out', rehearsal, ['person', known.person], ['site', known.site]);
      this.#things.delete(name);
      return;
    }
    const what = `escrow envelope with the backup key of "${key}", set ${set}`;
    if (known) Object.assign(known, { what, seals: set });
    else {
      const identifier = digest.slice(0, ENVELOPE_DIGITS);
      this.#things.set(name, { key: keyOf('envelope', identifier, rehearsal), kind: 'envelope', identifier, rehearsal, what, seals: set, person: agent, site: null, place: null, inside: null, since, unaccounted: null, declared: null, left: null, missing: null, unread: null });
      this.#count('first', rehearsal, ['person', agent]);
    }
  }

  /** A share that nobody could read where it should be. */
  #unread(step: Step, seat: string, happened: string): void {
    const { backup } = step.after;
    const share = backup?.unread[seat];
    if (backup && share) this.#thing(step, 'card', share.card, 'share card').unread = { source: sourceOf(step), share: { set: backup.set.id, x: share.x }, happened };
  }

  #withPerson(step: Step, thing: ThingDraft, seat: string): void {
    const name = personAt(step.before, seat)?.name ?? seat;
    const source = sourceOf(step);
    if (thing.person === null) this.#count('first', thing.rehearsal, ['person', name]);
    if (thing.person !== null && thing.person !== name) {
      this.#find('CUSTODY-CHANGED-HANDS', `${thing.key} with ${thing.person}, since entry ${thing.since.seq} of ${thing.since.ceremony.slice(0, 8)}`, `used by ${name}`, 'Find out how it changed hands without a movement; what it holds may have been copied or used in between.', source, [thing]);
    }
    if (thing.person !== name) Object.assign(thing, { person: name, since: source });
    Object.assign(thing, { unaccounted: null, left: null, missing: null });
  }

  #moved(step: Step, { what, from, to }: Move): void {
    const thing = this.#bound(step, what);
    if (!thing) return;
    // Of an older script, whose bags have no numbers: whatever it lay in, it came out.
    if (from === 'bag') this.#emptied(step, thing);
    Object.assign(thing, { place: to, left: null, ...thing.missing && { missing: null, unaccounted: null } });
    const key = `${step.entry.ceremony} ${what}`;
    this.#out.set(key, { home: this.#out.get(key)?.home ?? from, now: to });
  }

  // --- bags ---

  /** What is in it comes out, and the bag is waste. */
  #bagOpened(step: Step, { moves }: PlanStep, bag: Intent<'read-back-share'>['bag']): void {
    const move = moves.find(({ from }) => from === 'bag');
    const thing = bag && move && this.#bound(step, move.what);
    if (!bag || !move || !thing) return;
    const opened = keyOf('bag', bag.number, thing.rehearsal);
    if (thing.inside !== null && thing.inside !== opened) {
      this.#find('CUSTODY-OTHER-BAG', `${thing.key} in ${thing.inside}, as the records have it`, `in ${opened}`, 'The bag was opened or swapped. Find out by whom and when: what was in it may have been copied or used in between.', sourceOf(step), [thing]);
    }
    const other = [...this.#things.values()].find((one) => one !== thing && one.inside === opened);
    const before = this.#opened.get(opened);
    if (other) this.#find('CUSTODY-BAG-TWICE', `${opened} with ${other.key} in it, as the records have it`, `with ${thing.key}`, 'Look which of the two it is, and compare the number on the bag with the record.', sourceOf(step), [thing, other]);
    else if (before) this.#find('CUSTODY-BAG-TWICE', `no ${opened} any more: it was opened in entry ${before.seq} of ${before.ceremony.slice(0, 8)}`, `${thing.key} in it`, 'A bag that was opened is waste. Find out how it came to be used again.', sourceOf(step), [thing]);
    this.#emptied(step, thing);
    this.#opened.set(opened, sourceOf(step));
    this.#moved(step, move);
  }

  /** Whoever seals a thing into a bag has both. */
  #bagClosed(step: Step, { who, moves }: PlanStep): void {
    const { bag: number } = (step.entry.data as Data<'done'>).evidence as Evidence<'put-away'>;
    const move = moves.find(({ to }) => to === 'bag');
    const thing = number === undefined || !move ? null : this.#bound(step, move.what);
    if (number === undefined || !thing || thing.inside === keyOf('bag', number, thing.rehearsal)) return;
    this.#emptied(step, thing);
    const bag = this.#thing(step, 'bag', number, SEALED);
    const inside = [...this.#things.values()].find((one) => one !== thing && one.inside === bag.key);
    const before = this.#opened.get(bag.key);
    if (inside ?? before) {
      this.#find('CUSTODY-BAG-TWICE', `${bag.key} for one thing`, `for ${thing.key}, and ${inside ? `${inside.key} lies in it` : `it was opened in entry ${before?.seq ?? 0} of ${(before?.ceremony ?? '').slice(0, 8)}`}`, 'Compare the number on the bag with the record; one of the two was written down wrongly, or a bag was used again.', sourceOf(step), [bag, thing]);
    }
    if (thing.person === null) this.#withPerson(step, thing, who);
    const { person, site } = thing;
    this.#count('first', bag.rehearsal, ['person', bag.person === null ? person : null], ['site', bag.site === null ? site : null]);
    Object.assign(bag, { person: bag.person ?? person, site: bag.site ?? site, place: 'holder' });
    thing.inside = bag.key;
  }

  /** It lies in no bag any more, and the bag that it lay in is gone. */
  #emptied(step: Step, thing: ThingDraft): void {
    const bag = [...this.#things].find(([, { key }]) => key === thing.inside);
    thing.inside = null;
    if (!bag || [...this.#things.values()].some(({ inside }) => inside === bag[1].key)) return;
    const [name, { key, person, site, rehearsal }] = bag;
    this.#count('out', rehearsal, ['person', person], ['site', site]);
    this.#things.delete(name);
    this.#opened.set(key, sourceOf(step));
  }

  /** An exception says so. */
  #notPutAway(step: Step, moves: readonly Move[], happened: string): void {
    for (const { what, from, to } of moves) {
      const thing = this.#bound(step, what);
      if (thing) Object.assign(thing, { missing: { place: from, home: to, happened }, unaccounted: sourceOf(step) });
    }
  }

  /** A token or card as the script names it. */
  #bound(step: Step, what: string): ThingDraft | null {
    const { before } = step;
    const [card = '', seat] = what.split('/');
    const serial = seat === undefined ? before.opening?.bindings.tokens[what]?.serial : cardOf(before, card, seat);
    if (serial === undefined) return null;
    return this.#thing(step, seat === undefined ? 'token' : 'card', serial, seat === undefined ? 'token' : card.replaceAll('-', ' '));
  }

  /** What a ceremony that was aborted had taken out and not put back. */
  #leftOut(step: Step): void {
    for (const [key, { home, now }] of this.#out) {
      const [ceremony, what = ''] = key.split(' ');
      const thing = ceremony !== step.entry.ceremony || home === now ? null : this.#bound(step, what);
      if (thing) thing.left = { source: sourceOf(step), place: now, home };
    }
  }

  // --- movements ---

  #handedOver(step: Step, movement: HandedOver): void {
    const thing = this.#named(step, movement);
    this.#goes(step, thing, movement);
    for (const other of this.#packedIn(thing, movement)) {
      other.inside = thing.key;
      this.#goes(step, other, movement);
    }
    // What a ceremony has sealed goes in its bag, which nobody opens for that; out of any other it was taken.
    const sealed = thing.kind === 'bag' ? undefined : [...this.#things.values()].find(({ key, what }) => key === thing.inside && what === SEALED);
    if (sealed) this.#goes(step, sealed, movement);
    else if (thing.kind !== 'bag') thing.inside = null;
    this.#record(step, thing, movement, null);
  }

  /** The thing of a line, with the share that the line says it holds. */
  #named(step: Step, { kind, identifier, share }: HandedOver): ThingDraft {
    const thing = this.#thing(step, kind, identifier, kind);
    const known = this.#knownShares(thing);
    if (share && known.length > 0 && !known.some((one) => same(one, share))) {
      this.#find('CUSTODY-OTHER-SHARE', `${thing.key} with ${known.map(shareText).join(' and ')}, as it was written to it`, shareText(share), 'Correct the list by another movement, and look what the card holds.', sourceOf(step), [thing]);
    }
    if (share && known.length === 0) {
      const written = kind !== 'card' ? undefined : [...this.#things.values()].find((one) => one.rehearsal === thing.rehearsal && this.#knownShares(one).some((of) => same(of, share)));
      if (written) {
        this.#find('CUSTODY-OTHER-SHARE', `${shareText(share)} on ${written.key}, as it was written to it`, `on ${thing.key} too, as the list says`, 'Correct the identifier by another movement. If these are two cards, find out how the second came to hold that share.', sourceOf(step), [thing, written]);
      }
      thing.declared = share;
    }
    return thing;
  }

  /** A bag takes along what lies in it, and whatever else holds the share that its line names. */
  #packedIn(bag: ThingDraft, { share }: HandedOver): ThingDraft[] {
    if (bag.kind !== 'bag') return [];
    const others = [...this.#things.values()].filter(({ kind, rehearsal }) => kind !== 'bag' && rehearsal === bag.rehearsal);
    const holds = others.filter((one) => same(one.declared, share) || this.#knownShares(one).some((known) => same(known, share)));
    const [only] = holds;
    if (holds.length === 1) bag.declared = null; // the share is counted with what it lies in
    // Where two things hold it nobody can say which of them is in the bag.
    return others.filter((one) => one.inside === bag.key || (holds.length === 1 && one === only));
  }

  #goes(step: Step, thing: ThingDraft, { giver, receiver, fromSite, toSite }: HandedOver): void {
    const [from, to] = [giver, receiver].map((seat) => personAt(step.before, seat)?.name ?? seat) as [string, string];
    const source = sourceOf(step);
    const [person, site] = [thing.person, thing.site];
    if ((person !== null && person !== from) || (site !== null && site !== fromSite)) {
      this.#find('CUSTODY-FROM-ELSEWHERE', `${thing.key} from where the records have it: ${whereText(thing)}`, `from ${from} at ${fromSite}`, 'Find out who had it in between and whether its seal is whole. The gap stays in the register.', source, [thing]);
    }
    const { rehearsal } = thing;
    this.#count('first', rehearsal, ['person', person === null ? from : null], ['site', site === null ? fromSite : null]);
    // Who keeps a thing and only takes it elsewhere has neither given nor received it.
    if (from !== to) { this.#count('out', rehearsal, ['person', from]); this.#count('in', rehearsal, ['person', to]); }
    if (fromSite !== toSite) { this.#count('out', rehearsal, ['site', fromSite]); this.#count('in', rehearsal, ['site', toSite]); }
    Object.assign(thing, { person: to, site: toSite, place: null, since: source, unaccounted: null, left: null, missing: null });
  }

  #notHandedOver(step: Step, movement: HandedOver, happened: string): void {
    const thing = this.#named(step, movement);
    const { rehearsal, person, site } = thing;
    // Whoever was to hand it over had it last, as far as the list knows.
    const from = personAt(step.before, movement.giver)?.name ?? movement.giver;
    this.#count('first', rehearsal, ['person', person === null ? from : null], ['site', site === null ? movement.fromSite : null]);
    Object.assign(thing, { person: person ?? from, site: site ?? movement.fromSite, unaccounted: sourceOf(step) });
    this.#record(step, thing, movement, happened);
  }

  #record(step: Step, thing: ThingDraft, movement: HandedOver, happened: string | null): void {
    const at = (seat: string, site: string): Whereabouts => ({ person: personAt(step.before, seat)?.name ?? seat, site });
    const { number, giver, receiver, fromSite, toSite, reason, share } = movement;
    const { entry, before } = step;
    const witnesses = [...before.current?.witnesses ?? [], ...entry.kind === 'witnessed' ? [entry.by ?? ''] : []].map((seat) => personAt(before, seat)?.name ?? seat);
    this.#movements.push({ ...sourceOf(step), number, thing: thing.key, rehearsal: thing.rehearsal, from: at(giver, fromSite), to: at(receiver, toSite), reason, share, witnesses, happened, act: currentAct(step.before), handedOver: movement });
  }

  // --- the end ---

  #find(rule: string, expected: string, found: string, next: string, source: Source | null, things: readonly ThingDraft[]): void {
    this.#findings.push({ ...refuse(rule, expected, found, next), source, things: things.map(({ key }) => key) });
  }

  /** Shares that the records wrote onto this card, and that are still there. */
  #knownShares({ kind, identifier, rehearsal }: ThingDraft, counts: (one: KnownSet) => boolean = () => true): HeldShare[] {
    if (kind !== 'card') return [];
    return this.#sets.filter((one) => one.rehearsal === rehearsal && counts(one)).flatMap(({ copy }) => copy.custodians.flatMap(({ x, object }) => (sameSerial(object.token, identifier) && stands(object) ? [{ set: copy.set, x }] : [])));
  }

  finish(passedOn: readonly CustodyFinding[]): Omit<Custody, 'records'> {
    for (const escrow of this.#escrows) this.#envelope(escrow);
    for (const thing of this.#things.values()) {
      const { unaccounted, left, missing, unread, key } = thing;
      if (unread) this.#find('CUSTODY-SHARE-UNREAD', `${shareText(unread.share)} read on ${key}`, `not read: ${unread.happened}`, 'Count this share as lost until a recovery drill has read it. If it stays unread, give out a fresh set while enough shares are left.', unread.source, [thing]);
      if (unaccounted && missing) this.#find('CUSTODY-NOT-PUT-AWAY', `${key} put away: back in the ${missing.home}`, `not put away, last in the ${missing.place}: ${missing.happened}`, 'Look for it. Once it is found, a ceremony that uses it or a custody-movement says so; if it is lost, count its share as lost.', unaccounted, [thing]);
      else if (unaccounted) this.#find('CUSTODY-NOT-HANDED-OVER', `${key} handed over, as the list says`, `not handed over; last ${whereText(thing)}`, 'Look for it. Once it is found, a custody-movement says where it is; if it is lost, count its share as lost.', unaccounted, [thing]);
      if (left) this.#find('CUSTODY-LEFT-OUT', `${key} back in the ${left.home} after the ceremony that was aborted`, `last in the ${left.place}`, 'Put it away before witnesses, in a ceremony that uses it or by a custody-movement.', left.source, [thing]);
    }
    for (const thing of this.#things.values()) {
      const { declared: share, kind, key } = thing;
      const of = share === null || kind === 'card' ? [] : this.#sets.filter(({ copy, rehearsal }) => copy.set === share.set && rehearsal === thing.rehearsal);
      if (share && of.length > 0 && of.every(hasEnded)) this.#find('CUSTODY-SHARE-OF-ENDED-SET', `no share of set ${share.set} anywhere: the set has ended`, `${shareText(share)} in ${key}, as the list says`, 'Destroy it before witnesses: with enough others of its set it opens every backup that was made under it.', thing.since, [thing]);
    }
    for (const { copy, rehearsal } of this.#sets) {
      if (copy.renewal !== 'superseded') continue;
      for (const { x, name, object } of copy.custodians.filter((share) => stands(share.object))) {
        this.#find('CUSTODY-SHARE-OF-ENDED-SET', `no share of epoch ${copy.epoch} of set ${copy.set} anywhere: its shares were renewed`, `share ${x} of ${name} on card ${object.token}, declared dead and not erased`, 'Have it destroyed before witnesses: with enough others of its epoch it still makes the backup key.', copy.since, [this.#cardLeft(object.token, name, rehearsal, copy.since)]);
      }
    }
    const movements = this.#movements.map((movement): CustodyMovement => {
      const { act, handedOver, ...told } = movement;
      return { ...told, state: told.happened !== null ? 'not-handed-over' : this.#signed(movement) ? 'signed' : 'unsigned' };
    });
    for (const { state, ceremony, seq, at, thing, number } of movements) {
      if (state === 'unsigned') this.#findings.push({ ...refuse('CUSTODY-UNSIGNED', `movement ${number} signed by giver and receiver at the end of the act`, 'not signed by both', 'Resume that ceremony and let everybody sign. If it was aborted, carry the movement out again.'), source: { ceremony, seq, at }, things: [thing] });
    }
    return {
      sets: this.#sets.filter(inForce).map(({ copy: { set: id, threshold, shares }, key, rehearsal }) => ({ id, threshold, shares, key, rehearsal })),
      things: this.#withBackups([...this.#things.values()].map((thing) => this.#finished(thing))).sort(byKind),
      movements, balance: this.#balance(), findings: [...passedOn, ...this.#findings],
    };
  }

  /** The card of a share that nobody erased: with whoever received it, where no record here has seen it since. */
  #cardLeft(serial: string, person: string, rehearsal: boolean, since: Source): ThingDraft {
    const name = sameThing('card', serial, rehearsal);
    const known = this.#things.get(name);
    if (known) return known;
    const card: ThingDraft = { key: keyOf('card', serial, rehearsal), kind: 'card', identifier: serial, rehearsal, what: 'share card', seals: null, person, site: null, place: null, inside: null, since, unaccounted: null, declared: null, left: null, missing: null, unread: null };
    this.#things.set(name, card);
    this.#count('first', rehearsal, ['person', person]);
    return card;
  }

  /** The seal of its act has the signatures of both parties over it. */
  #signed({ ceremony, act, handedOver: { giver, receiver } }: MovementDraft): boolean {
    const seal = this.#states.get(ceremony)?.seals.find((one) => one.act === act);
    return seal !== undefined && giver in seal.signatures && receiver in seal.signatures;
  }

  #finished(thing: ThingDraft): Thing {
    const { declared, left: _left, missing: _missing, unread: _unread, ...told } = thing;
    const known = this.#knownShares(thing);
    // On a card, a share of a set that has ended is none: the next one erases it. Nothing erases paper; of a set that no record here made, nobody can say.
    const counts = ({ set }: HeldShare) => thing.kind !== 'card' || this.#sets.every((one) => one.copy.set !== set) || this.#sets.some((one) => one.copy.set === set && inForce(one));
    const shares = known.length > 0 ? this.#knownShares(thing, inForce) : [declared ?? []].flat().filter(counts);
    return { ...told, what: shares.length > 0 && thing.kind === 'card' ? 'share card' : told.what, shares };
  }

  /** The backup of every set in force: one that a list has moved is where that says, and still what its record says that it is. */
  #withBackups(things: readonly Thing[]): Thing[] {
    const backups = new Map(this.#sets.filter((one) => inForce(one) && !one.activation).map((one) => backupOf(one)).map((backup) => [backup.key, backup]));
    return [...things.map((thing) => ({ ...thing, what: backups.get(thing.key)?.what ?? thing.what })), ...[...backups.values()].filter(({ key }) => !things.some((thing) => thing.key === key))];
  }

  #balance(): Balance[] {
    // Also where a thing came without anything that says so.
    for (const { person, site, rehearsal } of this.#things.values()) this.#count(null, rehearsal, ['person', person], ['site', site]);
    return [...this.#counts].map(([key, counts]): Balance => {
      const [kind, name, rehearsal] = JSON.parse(key) as ['site' | 'person', string, boolean];
      const here = [...this.#things.values()].filter((thing) => thing[kind] === name && thing.rehearsal === rehearsal && thing.unaccounted === null).length;
      return { kind, name, rehearsal, ...counts, here, unaccounted: counts.first + counts.in - counts.out - here };
    }).sort((a, b) => byText(a.kind, b.kind) * -1 || byText(a.name, b.name));
  }
}

/** The wrapped key itself: ciphertext in its record and in every bundle of it. It takes the shares to open it. */
function backupOf({ copy, key, rehearsal }: KnownSet): Thing {
  return {
    key: keyOf('backup', copy.set, rehearsal), kind: 'backup', identifier: copy.set, rehearsal, what: `the wrapped key "${key}", in its record and every bundle of it`,
    shares: [], seals: null, person: null, site: null, place: 'record', inside: null, since: copy.since, unaccounted: null,
  };
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const byKind = (a: Thing, b: Thing): number => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || byText(a.identifier, b.identifier) || Number(a.rehearsal) - Number(b.rehearsal);

function sourceOf({ entry: { ceremony, seq, at } }: Step): Source {
  return { ceremony, seq, at };
}

function shareText({ set, x }: HeldShare): string {
  return `share ${x} of set ${set}`;
}

/** `with Ada at head-office`; what is not known is said. */
export function whereText({ person, site }: Pick<Thing, 'person' | 'site'>): string {
  return `with ${person ?? 'nobody that a record names'}, ${site === null ? 'at a site that no record names' : `at ${site}`}`;
}
