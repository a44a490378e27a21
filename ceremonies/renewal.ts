/**
 * The shares of a backup renewed: a custodian replaced, the cards refreshed, or another threshold. The backup key stays what it was, and so do
 * the wrapped parts of the key; what is new is the split. In two phases: the new set is given out, read back and has brought the key
 * back once, and only then the old shares count no more and are erased.
 *
 * The set keeps its name and counts one epoch further (share.ts). So anybody can see in the record that the secret is the same, because its
 * commitment is; and a card of the old split is called that, at the moment it is put in.
 *
 * `ceremony.ts` asks here, one line for each case, as it does recovery.ts. What nobody can promise: old shares that were not here and
 * were not erased still make the backup key, where there are enough of them. That is counted, and said.
 */
import canonicalize from 'canonicalize';
import type { Backup, BackupRecord } from './backup-record.ts';
import { utf8 } from './bytes.ts';
import type { Evidence, Input, Intent } from './evidence.ts';
import { backupInput, quorumFault, quorumFits } from './recovery.ts';
import { refuse, type Refusal } from './refusal.ts';
import type { Plan, PlanStep } from './script.ts';

type Inputs = Readonly<Record<string, Input>>;
/** By card name, then by seat. */
type Cards = Readonly<Record<string, Readonly<Record<string, { readonly serial: string }>>>>;
type Must = (holds: boolean, rule: string, expected: string, found: string) => Refusal | null;

const STOP = 'Stop here. Record an exception, and let officer and witness decide whether to repeat the step or to abort.';
const OPEN_AGAIN = 'Correct the cards, and open the ceremony again. Nothing was touched.';

/** What becomes of the set that people brought, from the split of the new one on. */
export interface Renewal {
  /** Those of its shares that are here, and on which card. */
  readonly old: Backup;
  /** The new set has brought the key back: the old one counts no more. */
  readonly proven: boolean;
  /** The seat of every attempt that may have erased an old share. */
  readonly tried: readonly string[];
  /** Seats whose old share is erased. */
  readonly erased: readonly string[];
}

const renewing = (plan: Plan) => plan.steps.flatMap(({ do: what }) => (what.action === 'renew-shares' ? [what] : []))[0];

export function renews(plan: Plan): boolean {
  return renewing(plan) !== undefined;
}

// --- who has which card --------------------------------------------------------------------------------------------------

/** The card that a step uses, where it is one of the person's who acts. */
function cardUsed({ do: what }: Pick<PlanStep, 'do'>): string | null {
  return what.action === 'give-share' || what.action === 'read-back-share' || what.action === 'retire-share' ? what.card ?? 'share-card' : null;
}

/** The card onto which new shares are written. */
function newCard(plan: Plan): string {
  return plan.steps.flatMap((step) => (step.do.action === 'give-share' ? [cardUsed(step) ?? ''] : []))[0] ?? '';
}

/** The plan without the steps of cards that a seat does not have, where the script lets it have none. */
export function layOutCards(plan: Plan, cards: Cards): Plan {
  const optional = Object.entries(plan.room.cards).filter(([, spec]) => spec.optional === true).map(([card]) => card);
  if (optional.length === 0) return plan;
  const lacks = (step: PlanStep) => optional.some((card) => cards[card]?.[step.who] === undefined && (cardUsed(step) === card || step.moves.some(({ what }) => what === `${card}/${step.who}`)));
  const steps: PlanStep[] = [];
  const acts = plan.acts.map((act) => {
    const first = steps.length;
    steps.push(...plan.steps.slice(act.first, act.last + 1).filter((step) => !lacks(step)));
    return { ...act, first, last: steps.length - 1 };
  });
  return { ...plan, acts, steps };
}

/** Whether these cards can carry the new set: N of them, none of which has ever held an old share, and nobody here for nothing. */
export function renewalOpeningFault(plan: Plan, inputs: Inputs, cards: Cards): Refusal | null {
  const renew = renewing(plan);
  if (renew === undefined) return null;
  const fresh = Object.entries(cards[newCard(plan)] ?? {});
  const wanted = plan.set?.shares ?? 0;
  if (fresh.length !== wanted) return refuse('SET-CUSTODIANS', `${wanted} new cards, one for each new share`, `${fresh.length}`, OPEN_AGAIN);
  const record = backupInput(inputs, renew.from);
  const old = fresh.find(([, { serial }]) => record.shares.some(({ card }) => card === serial));
  if (old) return refuse('NEW-CARDS', 'cards that hold no share of the old set', `${old[1].serial} of ${old[0]}`, 'Bring another card: an old share is erased only after the new ones are proven. Nothing was touched.');
  const idle = plan.seats.find(({ id, role }) => role === 'custodian' && cards['share-card']?.[id] === undefined && cards[newCard(plan)]?.[id] === undefined);
  return idle === undefined ? null : refuse('BINDINGS-COMPLETE', 'an old card or a new one, or both, for every custodian', `none for ${idle.id}`, 'Choose a card for this seat, or open the ceremony with fewer custodians.');
}

/** Who gets which card in a rehearsal: the last N a new one; an old one everybody, but where there are three or more the last has just come. */
export function rehearsalSeats(plan: Plan, card: string): string[] {
  const custodians = plan.seats.filter(({ role }) => role === 'custodian').map(({ id }) => id);
  if (card === newCard(plan)) return custodians.slice(custodians.length - (plan.set?.shares ?? 0));
  return someoneLeft(plan) ? custodians.slice(0, -1) : custodians;
}

/** In a rehearsal with three custodians or more somebody has left, whose card is not here. */
export function someoneLeft(plan: Plan): boolean {
  return renews(plan) && plan.seats.filter(({ role }) => role === 'custodian').length >= 3;
}

// --- the new set -----------------------------------------------------------------------------------------------------------

/** `latest`: the split before this one. One that a crash left incomplete has its number, and no other gets it again. */
export function renewIntentFault(old: Backup | null, latest: Backup | null, intent: Intent<'renew-shares'>): Refusal | null {
  const epoch = (latest?.set.epoch ?? 0) + 1;
  return quorumFault(old, intent) ?? (intent.epoch === epoch ? null : refuse('SHARE-SET', `epoch ${epoch}`, `epoch ${intent.epoch}`, STOP));
}

export function renewFault(old: Backup | null, wanted: Plan['set'], intent: Intent<'renew-shares'>, { set, subsetsTried, quorum, possession }: Evidence<'renew-shares'>, must: Must): Refusal | null {
  const before = new Set(old?.set.commitments);
  const fresh = new Set(set.commitments.filter((commitment) => !before.has(commitment)));
  return quorumFits(old?.given ?? {}, intent.quorum, quorum, must)
    ?? must(set.id === intent.set && set.epoch === intent.epoch, 'SHARE-SET', `set ${intent.set}, epoch ${intent.epoch}`, `set ${set.id}, epoch ${set.epoch}`)
    ?? must(set.threshold === wanted?.threshold && set.shares === wanted.shares, 'SET-THRESHOLD', `${wanted?.threshold}-of-${wanted?.shares}`, `${set.threshold}-of-${set.shares}`)
    ?? must(set.secret === old?.set.secret, 'SAME-SECRET', 'the backup key that the old set commits to', 'another one')
    ?? must(fresh.size === set.shares, 'SHARE-SET', 'a new commitment for each of N different shares', `${fresh.size} new ones`)
    ?? must(subsetsTried > 0, 'SPLIT-PROVEN', 'M-subsets combined and compared', 'none')
    ?? must(possession.message === intent.nonce, 'PROOF-OF-POSSESSION', 'a signature of this step\'s nonce', 'of another message');
}

/** The new set takes its place; none of it is given out yet. */
export function renewed(old: Backup, { set }: Evidence<'renew-shares'>): { readonly backup: Backup; readonly renewal: Renewal } {
  return { backup: { set, alive: true, given: {}, unread: {}, wiped: false, brought: false }, renewal: { old, proven: false, tried: [], erased: [] } };
}

// --- the old shares ----------------------------------------------------------------------------------------------------------

export function retireIntentFault(renewal: Renewal | null, seat: string, { card, object, set, epoch, x }: Intent<'retire-share'>): Refusal | null {
  if (renewal?.proven !== true) return refuse('RETIRE-AFTER-PROOF', 'a new set that has brought the key back', 'none', STOP);
  const share = renewal.old.given[seat];
  if (!share || share.card !== card) return refuse('CARD-BOUND', share?.card ?? 'a custodian with an old share', card, STOP);
  const { id, epoch: of } = renewal.old.set;
  return set === id && epoch === of && x === share.x && object === share.object ? null
    : refuse('SHARE-SET', `share ${share.x} of set ${id}, epoch ${of}, as ${share.object}`, `share ${x} of set ${set}, epoch ${epoch}, as ${object}`, STOP);
}

/** Erased twice is the same as once: what an attempt without an outcome did need not be there any more. */
export function retireFault(renewal: Renewal | null, seat: string, intent: Intent<'retire-share'>, { card, object, x, device: { before, after, use } }: Evidence<'retire-share'>, must: Must): Refusal | null {
  const again = (renewal?.tried.filter((one) => one === seat).length ?? 0) > 1;
  return must(card === intent.card && object === intent.object && x === intent.x, 'CARD-BOUND', `share ${intent.x} on ${intent.card}`, `share ${x} on ${card}`)
    ?? must(before === 1 || (again && before === 0), 'SHARE-ERASED', 'the one share that was read from this card', `${before}`)
    ?? must(after === 0 && !use.worked, 'SHARE-ERASED', 'nothing of it in a fresh session, and nothing under the old handle', after === 0 ? `${use.tried}: ${use.answer}` : `${after} left`);
}

/** An attempt has begun, or has ended without a change. */
export function retireTried(renewal: Renewal | null, seat: string): Renewal | null {
  return renewal && { ...renewal, tried: [...renewal.tried, seat] };
}
export function retireUntried(renewal: Renewal | null): Renewal | null {
  return renewal && { ...renewal, tried: renewal.tried.slice(0, -1) };
}

export function retired(renewal: Renewal | null, seat: string): Renewal | null {
  return renewal && { ...renewal, erased: [...renewal.erased, seat] };
}

/** An old share, and what became of it. */
export interface OldShare {
  readonly x: number;
  readonly card: string;
  readonly holder: string;
  /** Its holder's seat, where it is here. */
  readonly seat: string | null;
  readonly erased: boolean;
}

interface Renewing { readonly plan: Plan | null; readonly renewal: Renewal | null; readonly opening: { readonly inputs: Inputs } | null }

/** The backup as people brought it, where its shares are renewed here. */
function broughtHere({ plan, renewal, opening }: Renewing): BackupRecord | null {
  const renew = plan === null ? undefined : renewing(plan);
  return renew === undefined || renewal === null ? null : backupInput(opening?.inputs, renew.from);
}

/** Every share of the old set, in the order of x. `enough`: those that were not erased still make the backup key, whatever this program refuses. */
export function oldShares(state: Renewing): { readonly shares: readonly OldShare[]; readonly left: number; readonly enough: boolean } {
  const record = broughtHere(state);
  const { old, erased } = state.renewal ?? {};
  if (record === null || !old || !erased) return { shares: [], left: 0, enough: false };
  const all = record.shares.map(({ x, card, holder }): OldShare => {
    const seat = Object.keys(old.given).find((one) => old.given[one]?.x === x) ?? null;
    return { x, card, holder, seat, erased: seat !== null && erased.includes(seat) };
  });
  const left = all.filter((one) => !one.erased).length;
  return { shares: all, left, enough: left >= record.set.threshold };
}

/** The backup under its new shares, as the bundle gives it: what a recovery brings from now on. Null before the new set is proven. */
export function renewedRecordOf(state: Renewing & {
  readonly ceremony: string; readonly backup: Backup | null; readonly people: readonly { readonly seat: string; readonly name: string }[];
}): Uint8Array | null {
  const { ceremony, backup, people } = state;
  const before = broughtHere(state);
  if (state.renewal?.proven !== true || !backup || before === null) return null;
  const shares = Object.entries(backup.given).map(([seat, { x, card, object }]) => ({ x, card, object, holder: people.find((person) => person.seat === seat)?.name ?? seat }));
  const record: BackupRecord = { ...before, ceremony, set: backup.set, shares: shares.sort((a, b) => a.x - b.x) };
  return utf8(`${canonicalize(record) ?? ''}\n`);
}
