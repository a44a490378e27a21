/**
 * What came out of where it is kept, in which bag, and whether all of it is put away again: a ceremony does not close before that.
 *
 * Where the script says `bags: numbered`, the serial number of a tamper-evident bag is read from it twice: when the bag is opened, before the
 * device is touched, and when another one is closed. A bag that was opened is waste: its number never comes again. What cannot be put away
 * is said to be missing, in an exception that says what is known of it; that accounts for it, and for nothing else.
 *
 * `ceremony.ts` and `rehearse.ts` ask here, one line for each case. Whether a bag is the one in which a thing was left, no single record can
 * tell: that is folded from all of them in shares/custody.ts. Pure.
 */
import type { Evidence, Intent } from './evidence.ts';
import { refuse, type Refusal } from './refusal.ts';
import type { Move, Place, Plan, PlanStep } from './script.ts';
import { plainText } from './text.ts';
import { sameSerial } from './zeroise.ts';

/** Longer than any number that stands on a bag. */
export const BAG_LENGTH = 40;

/** By the script's name of the thing: `root-hsm`, `share-card/custodian-2`. */
export interface PuttingAway {
  readonly now: Readonly<Record<string, Place>>;
  /** Bags that were closed here: in which of them a thing lies. */
  readonly closed: Readonly<Record<string, string>>;
  /** Bags that were opened here: the thing that was in each, by its number. */
  readonly opened: Readonly<Record<string, string>>;
  /** Said to be missing: the number of the exception. */
  readonly missing: Readonly<Record<string, number>>;
}

export const ALL_AWAY: PuttingAway = { now: {}, closed: {}, opened: {}, missing: {} };

interface Room { readonly plan: Plan | null; readonly away: PuttingAway }

const AGAIN = 'Read the number that stands on the bag, and write it down as it is.';

/** Where the script has a thing when nobody uses it. */
function homeOf({ room }: Plan, what: string): Place | undefined {
  const [name = '', seat] = what.split('/');
  return seat === undefined ? room.tokens[name] : room.cards[name]?.at;
}

// --- bags --------------------------------------------------------------------------------------------------------------

/** The bag that this step opens or closes, where its number is asked for: `what` comes out of it or goes into it. */
export function bagAt({ plan, away }: Room, { moves }: Pick<PlanStep, 'moves'>): { readonly what: string; readonly way: 'opened' | 'closed' } | null {
  if (plan?.room.bags === undefined) return null;
  const [out, into] = [moves.find(({ from }) => from === 'bag'), moves.find(({ to }) => to === 'bag')];
  // Repeated after a failure: the bag is open already.
  if (out) return (away.now[out.what] ?? 'bag') === 'bag' ? { what: out.what, way: 'opened' } : null;
  return into ? { what: into.what, way: 'closed' } : null;
}

/** `number`: null where none was written down. Faults: BAG-SERIAL, TEXT-*. */
function bagFault(room: Room, step: PlanStep, way: 'opened' | 'closed', number: string | null): Refusal | null {
  const wanted = bagAt(room, step);
  if (wanted?.way !== way) return number === null ? null : refuse('BAG-SERIAL', 'no bag: this step opens and closes none', 'a number', 'Go on without a number.');
  if (number === null || number.trim() === '') return refuse('BAG-SERIAL', `the serial number of the bag of ${wanted.what}`, 'none', AGAIN);
  if (number !== number.trim()) return refuse('BAG-SERIAL', 'a serial number without blanks around it', 'blanks', AGAIN);
  const unclear = plainText('bag', number, BAG_LENGTH);
  if (unclear) return unclear;
  const { opened, closed } = room.away;
  const other = Object.keys(closed).find((what) => closed[what] === number && (way === 'closed' || what !== wanted.what));
  if (other !== undefined) return refuse('BAG-SERIAL', 'a number that stands on one bag', `${number}, in which ${other} lies`, AGAIN);
  const before = Object.hasOwn(opened, number) ? opened[number] : undefined;
  return before === undefined ? null : refuse('BAG-SERIAL', 'a bag that was not opened in this ceremony', `${number}, out of which ${before} came`, `A bag that was opened is waste. ${AGAIN}`);
}

export function openedFault(room: Room, step: PlanStep, intent: Pick<Intent<'read-back-share'>, 'bag'>): Refusal | null {
  return bagFault(room, step, 'opened', intent.bag?.number ?? null);
}

export function closedBagFault(room: Room, step: PlanStep, { bag }: Evidence<'put-away'>): Refusal | null {
  return bagFault(room, step, 'closed', bag ?? null);
}

/** What a script with numbered bags may do with them. A rule of the rehearsal: BAG-STEP. */
export function bagStepFault({ room }: Plan, { moves, do: { action } }: PlanStep): { readonly expected: string; readonly found: string } | null {
  const bagged = moves.filter(({ from, to }) => from === 'bag' || to === 'bag');
  const [move] = bagged;
  if (room.bags === undefined || !move) return null;
  if (bagged.length > 1) return { expected: 'one bag in a step', found: `${bagged.length}` };
  if (move.to === 'bag') return action === 'put-away' ? null : { expected: 'a bag closed in a put-away step', found: `in ${action}` };
  return action === 'give-share' || action === 'read-back-share' || action === 'seal-copy' || action === 'write-copy' ? null : { expected: 'a bag opened in a step that writes or reads a share: give-share, read-back-share, seal-copy, write-copy', found: `in ${action}` };
}

/** New ceremonies write the numbers of their bags down; records of older scripts stay what they are. */
export function bagsFault({ room, steps }: Plan): Refusal | null {
  const unnumbered = room.bags === undefined && steps.some(({ moves }) => moves.some(({ from, to }) => from === 'bag' || to === 'bag'));
  return unnumbered ? refuse('BAGS-NUMBERED', 'a script that has the serial numbers of its bags written down', 'one that does not', 'Add `bags: numbered` under `room`, and have the script reviewed again.') : null;
}

// --- the fold ------------------------------------------------------------------------------------------------------------

const moved = (away: PuttingAway, { what, to }: Move): PuttingAway => {
  const { [what]: _found, ...missing } = away.missing;
  return { ...away, now: { ...away.now, [what]: to }, missing };
};

/** A bag is open from the moment on in which somebody begins to use what was in it, whatever the device says then. */
export function afterOpening(room: Room, step: PlanStep, { bag }: Pick<Intent<'read-back-share'>, 'bag'>): PuttingAway {
  const move = step.moves.find(({ from }) => from === 'bag');
  if (!bag || !move) return room.away;
  const { [move.what]: _opened, ...closed } = room.away.closed;
  return { ...moved(room.away, move), closed, opened: { ...room.away.opened, [bag.number]: move.what } };
}

export function afterMoves(room: Room, step: PlanStep, evidence: Evidence): PuttingAway {
  const away = step.moves.reduce(moved, room.away);
  const into = bagAt(room, step);
  const { bag } = evidence as Evidence<'put-away'>;
  return into?.way === 'closed' && step.do.action === 'put-away' && bag !== undefined ? { ...away, closed: { ...away.closed, [into.what]: bag } } : away;
}

/** An exception has ended the step that was to put something away. */
export function saidMissing(away: PuttingAway, { moves }: PlanStep, exception: number): PuttingAway {
  return { ...away, missing: { ...away.missing, ...Object.fromEntries(moves.map(({ what }) => [what, exception])) } };
}

// --- the end -------------------------------------------------------------------------------------------------------------

/** What came out and was neither put away nor said to be missing. */
export function unaccounted({ plan, away }: Room): { readonly what: string; readonly now: Place; readonly home: Place }[] {
  return Object.entries(away.now).flatMap(([what, now]) => {
    const home = plan === null ? undefined : homeOf(plan, what);
    return home === undefined || home === now || Object.hasOwn(away.missing, what) ? [] : [{ what, now, home }];
  });
}

/**
 * Steps that no script has: before the last act is signed, each thing that reality has left out is put away, or said to be missing.
 * The rehearsal has seen to it that a ceremony without an exception needs none.
 */
export function stillToPutAway(room: Room): PlanStep[] {
  const act = (room.plan?.acts.length ?? 1) - 1;
  return unaccounted(room).map(({ what, now, home }): PlanStep => {
    const seat = what.split('/')[1] ?? 'officer';
    return {
      id: `account/${what}`, act, who: seat, title: 'Put away what is still outside', say: home === 'bag' ? 'It is in a new bag. I read the bag\'s serial number aloud.' : 'It is back where it belongs.',
      see: 'The record has this thing outside. It does not close before it is put away, or said to be missing.', moves: [{ what, from: now, to: home }], do: { action: 'put-away' }, witnesses: {}, line: 0,
    };
  });
}

/** Nothing is outside when a ceremony closes. */
export function balancedFault(room: Room): Refusal | null {
  const [first, ...others] = unaccounted(room);
  return first === undefined ? null
    : refuse('CUSTODY-BALANCED', `${first.what} back in the ${first.home}`, `in the ${first.now}${others.length === 0 ? '' : `, and ${others.length} more things outside`}`, 'Put it away, or record an exception at this step that says where it is. It is then accounted for as missing.');
}

// --- what the other records of the machine say ---------------------------------------------------------------------------

/** As much of the custody register as tells bags apart. */
type Things = readonly { readonly key: string; readonly kind: string; readonly identifier: string; readonly rehearsal: boolean; readonly inside: string | null }[];
interface Card { readonly serial: string; readonly rehearsal: boolean }

const cardIn = (things: Things, { serial, rehearsal }: Card) => things.find((thing) => thing.kind === 'card' && thing.rehearsal === rehearsal && sameSerial(thing.identifier, serial));

/** The number of the bag in which the records last had this card. */
export function expectedBag(things: Things, card: Card): string | null {
  const inside = cardIn(things, card)?.inside ?? null;
  return things.find(({ key }) => inside !== null && key === inside)?.identifier ?? null;
}

/** Another thing has this number already. */
export function bagInUse(things: Things, card: Card, number: string): Refusal | null {
  const bag = things.find(({ kind, identifier, rehearsal }) => kind === 'bag' && identifier === number && rehearsal === card.rehearsal);
  const inside = things.find((thing) => bag !== undefined && thing.inside === bag.key && thing !== cardIn(things, card));
  return inside === undefined ? null : refuse('BAG-SERIAL', 'a bag that no record of this machine has in use', `${number}, in which ${inside.key} lies`, AGAIN);
}
