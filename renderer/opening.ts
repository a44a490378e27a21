/**
 * What must be at hand before a ceremony is opened: a token or card for every purpose, and, where people bring a key's
 * record, the very token that the record names; where they bring a backup's, its share cards; where a token's quorum, both.
 *
 * Pure. It never decides whether a ceremony may be opened: the conductor does, and refuses by the same rules.
 */
import { readActivationRecord } from '../ceremonies/activation.ts';
import { readBackupRecord } from '../ceremonies/backup-record.ts';
import { readKeyRecord } from '../ceremonies/key-record.ts';
import { sharesAtHand } from '../ceremonies/recovery.ts';
import { Refused, refuse, type Refusal } from '../ceremonies/refusal.ts';
import type { Plan } from '../ceremonies/script.ts';
import type { Bindings, Estate } from '../electron/contract.ts';
import { groups } from './reading.ts';
import { seatTitle, t } from './texts.ts';

export interface Want {
  readonly title: string;
  readonly token?: string;
  readonly card?: readonly [card: string, seat: string];
  /** A seat may be without it. */
  readonly optional?: boolean;
}
export type Bound = Bindings['tokens'][string];

export function wantedOf(plan: Plan): Want[] {
  return [
    ...plan.tokens.map((token): Want => ({ title: token, token })),
    ...Object.entries(plan.room.cards).flatMap(([card, spec]) =>
      plan.seats
        .filter((seat) => spec.for === 'person' || seat.role === 'custodian')
        .map((seat): Want => ({
          title: `${card.replaceAll('-', ' ')} of ${seatTitle(seat.id)}`,
          card: [card, seat.id],
          ...(spec.optional === true ? { optional: true } : {}),
        })),
    ),
  ];
}

export function boundTo(bindings: Bindings, want: Want): Bound | undefined {
  if (want.token !== undefined) return bindings.tokens[want.token];
  return want.card && bindings.cards[want.card[0]]?.[want.card[1]];
}

/** `bound` undefined: nothing is chosen any more. */
export function bind(bindings: Bindings, want: Want, bound: Bound | undefined): Bindings {
  const changed = (before: Record<string, Bound>, key: string): Record<string, Bound> => {
    const { [key]: _gone, ...others } = before;
    return bound === undefined ? others : { ...before, [key]: bound };
  };
  if (want.token !== undefined) return { ...bindings, tokens: changed(bindings.tokens, want.token) };
  const [card, seat] = want.card ?? ['', ''];
  return { ...bindings, cards: { ...bindings.cards, [card]: changed(bindings.cards[card] ?? {}, seat) } };
}

export interface AtHand extends Bound {
  readonly label: string;
}

export function tokensAtHand(estate: Estate | null): AtHand[] {
  return (estate?.modules ?? []).flatMap((module) =>
    module.slots.flatMap(({ token }) => (token ? [{ module: module.name, serial: token.serial, label: token.label }] : [])),
  );
}

// --- keys that are brought -------------------------------------------------------------------------------------------

/** What a file is read as first; null where it is none of these: what is wrong with it is said where the file is shown. */
function firstOf<T>(bytes: Uint8Array, ...readers: readonly ((bytes: Uint8Array) => T)[]): T | null {
  for (const read of readers) {
    try {
      return read(bytes);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
  }
  return null;
}

/** The serial number of the token that a key's record, or a quorum's, names; null for any other file. */
function tokenOf(bytes: Uint8Array): string | null {
  return firstOf(
    bytes,
    (file) => readKeyRecord(file).token,
    (file) => readActivationRecord(file).token.serial,
  );
}

/** Steps that find a key where its record says that it is. */
function usesKey(what: Plan['steps'][number]['do']): what is Extract<Plan['steps'][number]['do'], { readonly action: 'open-key' | 'compare-keys' }> {
  return what.action === 'open-key' || what.action === 'compare-keys';
}

/** Where the key of the file `name` is: the script's name for its token, and that token; null where it is not at hand. */
export function keyHome(
  plan: Plan,
  name: string,
  bytes: Uint8Array,
  estate: Estate | null,
): { readonly token: string; readonly bound: Bound } | null {
  const serial = tokenOf(bytes);
  const on = plan.steps.flatMap(({ do: what }) =>
    (usesKey(what) || what.action === 'activate' || what.action === 'reset-user-pin' || what.action === 'set-activation-pin') && what.from === name ? [what.on] : [],
  )[0];
  const there = tokensAtHand(estate).find((token) => token.serial === serial);
  return on !== undefined && there ? { token: on, bound: { module: there.module, serial: there.serial } } : null;
}

/** The share cards that a backup, or a token's quorum, names and that are at hand, or were in a reader before, by seat; null for any other file. */
export function shareHome(plan: Plan, bytes: Uint8Array, estate: Estate | null, met: readonly AtHand[] = []): Readonly<Record<string, Bound>> | null {
  const atHand = [...tokensAtHand(estate), ...met].map(({ module, serial }) => ({ module, serial }));
  const record = firstOf<Parameters<typeof sharesAtHand>[0]>(bytes, readBackupRecord, readActivationRecord);
  return record && sharesAtHand(record, plan.seats, atHand);
}

/** A key is where its record says: a binding to any other token would be refused when the key is to be found. */
export function keyElsewhere(
  plan: Plan,
  files: Readonly<Partial<Record<string, { readonly bytes: Uint8Array }>>>,
  bindings: Bindings,
): Refusal | null {
  for (const { do: what } of plan.steps) {
    if (!usesKey(what)) continue;
    const chosen = files[what.from];
    const named = chosen ? tokenOf(chosen.bytes) : null;
    const bound = bindings.tokens[what.on]?.serial;
    const { rule, expected, found, next } = t.open.keyElsewhere;
    if (named !== null && bound !== undefined && named !== bound)
      return refuse(rule, expected(groups(named)), found(groups(bound)), next);
  }
  return null;
}
