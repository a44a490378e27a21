/** The shares of a backup renewed, as facts on the stage: what replaces what, and what becomes of the old shares. Pure. */
import type { State } from '../ceremonies/ceremony.ts';
import type { Evidence } from '../ceremonies/evidence.ts';
import { backupInput } from '../ceremonies/recovery.ts';
import { oldShares, type OldShare } from '../ceremonies/renewal.ts';
import type { PlanStep } from '../ceremonies/script.ts';
import { fact, groups, type Fact } from './reading.ts';
import { seatTitle, t } from './texts.ts';

const { text, mono, hex, list } = fact;

/** At the step that splits the backup key anew: the old set, the new one, and who lends. */
export function renewFacts({ opening, plan }: State, { from }: Extract<PlanStep['do'], { action: 'renew-shares' }>, quorum: unknown, e: Evidence<'renew-shares'> | null): Fact[] {
  const words = t.renewal;
  const { set, label } = backupInput(opening?.inputs, from);
  return [
    text(words.old, words.set(set.threshold, set.shares, set.epoch)),
    text(words.fresh, e ? words.set(e.set.threshold, e.set.shares, e.set.epoch) : words.asked(plan?.set?.threshold ?? 0, plan?.set?.shares ?? 0)),
    ...(e ? [text(words.secret, words.same, 'verified'), text(words.subsets, words.tried(e.subsetsTried, e.set.threshold), 'verified'), mono(words.name, e.set.id)] : []),
    Array.isArray(quorum) ? list(t.ceremony.quorum, quorum.map((seat: string) => seatTitle(seat))) : text('Quorum', words.drawn(set.threshold)),
    text('Key', `“${label}”`),
  ];
}

/** At the step that erases an old share: which, on which card, and what is found afterwards. */
export function retireFacts(state: State, step: PlanStep, e: Evidence<'retire-share'> | null): Fact[] {
  const words = t.renewal;
  const { old } = state.renewal ?? {};
  const share = old?.given[step.who];
  return [
    ...(old && share ? [hex('Card, serial', share.card), text(words.share, words.shareOf(share.x, old.set.epoch))] : []),
    ...(e ? [text(words.afterwards, e.device.before === 0 ? words.goneBefore : words.gone, 'reported')] : []),
    ...notHere(state),
  ];
}

/** At the end: the set that counts from now on, and those old shares that nobody erased. */
export function renewalResult(state: State): Fact[] {
  const words = t.renewal;
  const { renewal, backup } = state;
  if (renewal?.proven !== true || !backup) return [];
  const { threshold, shares, epoch } = backup.set;
  return [text(words.fresh, words.set(threshold, shares, epoch), 'verified'), ...notHere(state)];
}

/** Shares of the old set whose holders did not bring them. */
function notHere(state: State): Fact[] {
  const words = t.renewal;
  const { shares, left, enough } = oldShares(state);
  const away = shares.filter(({ seat }) => seat === null);
  return [
    ...(away.length > 0 ? [list(words.notErased, away.map((share) => line(share)))] : []),
    ...(state.current === null && left > 0 ? [text(words.stillOpen, enough ? words.enough(left) : words.tooFew(left))] : []),
  ];
}

function line({ x, holder, card }: OldShare): string {
  return t.renewal.away(x, holder, groups(card));
}
