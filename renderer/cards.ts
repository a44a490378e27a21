/**
 * The cards that a step needs of people, beside the cards that are in the readers: what the stage says while they come and go.
 *
 * Pure. Only of modules whose tokens move: a software token or a network HSM is there or is not, and nobody puts it in. It knows
 * serial numbers and whose they are; what is on a card it never learns.
 */
import { cardOf, personAt, type State } from '../ceremonies/ceremony.ts';
import type { ActionName } from '../ceremonies/evidence.ts';
import type { Estate } from '../electron/contract.ts';
import { groups } from './reading.ts';
import { personTitle, t } from './texts.ts';

/** Acts of a person with the own card. */
const IDENTITY: readonly ActionName[] = ['enrol', 'sign-seal', 'sign-resume', 'approve'];
const SHARES: readonly ActionName[] = ['give-share', 'read-back-share'];

/** A card that came or went, in the order in which they did, since the step began. */
export interface Move {
  readonly serial: string;
  readonly how: 'came' | 'went';
}

/** What the room is told of a card: `here`, or what is to be done about it. */
export interface CardNotice {
  readonly kind: 'here' | 'insert' | 'other' | 'gone';
  readonly text: string;
  readonly next: string;
}

interface Wanted {
  readonly module: string;
  readonly serial: string;
  readonly whose: string;
}

/** Whose card this is in the ceremony, and which; null where it is nobody's here. */
function holderOf({ state, serial }: { readonly state: State; readonly serial: string }): (Wanted & { readonly seat: string }) | null {
  for (const [card, seats] of Object.entries(state.opening?.bindings.cards ?? {})) {
    for (const [seat, bound] of Object.entries(seats)) {
      if (bound.serial === serial) return { ...bound, seat, whose: t.cards.whose(card.replaceAll('-', ' '), personTitle(seat, personAt(state, seat)?.name ?? '')) };
    }
  }
  return null;
}

/** The card that must be in a reader now; null where the step needs nobody's. `awaits`: the one that the devices wait for in the middle of it. */
function wantedCard(state: State, awaits: string | null): Wanted | null {
  const { current } = state;
  if (!current || state.phase !== 'open' || state.onBreak || (current.phase !== 'ready' && current.phase !== 'begun')) return null;
  const { action } = current.step.do;
  const card = IDENTITY.includes(action) ? 'identity-card' : SHARES.includes(action) ? 'share-card' : null;
  // Whose shares are lent is drawn by lot: there it is the card that the devices wait for.
  const serial = card === null ? awaits : cardOf(state, card, current.step.who) ?? null;
  return serial === null ? null : holderOf({ state, serial });
}

/** What is to be said of the card of this step; null where there is nothing to say. */
export function cardNotice(state: State, estate: Estate | null, moves: readonly Move[], awaits: string | null): CardNotice | null {
  const wanted = wantedCard(state, awaits);
  const module = estate?.modules.find(({ name }) => name === wanted?.module);
  if (!wanted || module?.moves !== true) return null;
  const { serial, whose } = wanted;
  const number = groups(serial);
  const inside = module.slots.flatMap(({ token }) => (token ? [token.serial] : []));
  if (inside.includes(serial)) return { kind: 'here', text: t.cards.here(whose, number), next: '' };
  const working = state.current?.phase === 'begun' && awaits === null;
  const last = moves.findLast((move) => move.serial === serial);
  // One that came in its place, or one that is left no room for.
  const came = moves.findLast((move) => move.how === 'came' && inside.includes(move.serial))?.serial;
  const other = came ?? (inside.length > 0 && module.slots.every(({ token }) => token !== null) ? inside[0] : undefined);
  if (other !== undefined) return { kind: 'other', text: t.cards.other(groups(other), holderOf({ state, serial: other })?.whose ?? null), next: t.cards.exchange(whose, number) };
  if (last?.how === 'went') return { kind: 'gone', text: t.cards.gone(whose, number), next: working ? t.cards.backWhileWorking : t.cards.back };
  return { kind: 'insert', text: t.cards.insert(whose, number), next: '' };
}
