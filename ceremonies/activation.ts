/**
 * Opening a token by a quorum: the PIN of its user, or of its security officer (SO), follows from an activation key that exists only as shares on cards, so that nobody
 * knows it, and nobody opens the token alone. What such a set is, what must be so before it is used, and what was said of it.
 *
 * `ceremony.ts` and `rehearse.ts` ask here, a line for each case. The PIN itself is derived, used and wiped in the device process
 * (electron/devices/activating.ts); nothing in this file can tell it. Pure.
 */
import canonicalize from 'canonicalize';
import * as z from 'zod';
import { KeptShares, keptShares, soundSet, type Backup } from './backup-record.ts';
import { fromBase64url, fromUtf8, utf8 } from './bytes.ts';
import { ACTIVATION_PIN, BoundedText, Hex, ShareSet, type Evidence, type Input, type Intent, type TokenFacts } from './evidence.ts';
import { broughtSet, quorumFault, quorumFits, quorumOfFault, tooFew } from './recovery.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';
import type { Plan, PlanStep } from './script.ts';

const BRING = 'Bring the right file. Nothing was touched.';
const STOP = 'Stop here. Record an exception, and let officer and witness decide whether to repeat the step or to abort.';

/** How a PIN of a token follows from what M custodians have: everything but the shares. */
export const ActivationRecord = z.strictObject({
  format: z.literal('conclave-activation/1'),
  /** A rehearsal's set opens rehearsal tokens alone. */
  mode: z.enum(['rehearsal', 'real']),
  /** The ceremony that made this set and gave the token its PIN. */
  ceremony: Hex(32).length(32),
  token: z.strictObject({ serial: BoundedText(64).min(1), label: BoundedText(64), model: BoundedText(64), manufacturer: BoundedText(64) }),
  pin: z.strictObject({ derivation: z.literal(ACTIVATION_PIN.derivation), length: z.int().min(ACTIVATION_PIN.shortest).max(ACTIVATION_PIN.longest), whose: z.enum(['user', 'so']).default('user') }),
  set: ShareSet,
  shares: KeptShares,
});
export type ActivationRecord = z.infer<typeof ActivationRecord>;

/** Reads an activation record. Throws `Refused` INPUT-ACTIVATION, SHARE-SAME-PERSON. */
export function readActivationRecord(bytes: Uint8Array): ActivationRecord {
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch {
    throw activationFault('an activation record (JSON)', 'something else');
  }
  const parsed = ActivationRecord.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw activationFault('an activation record of the format conclave-activation/1', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
  }
  soundSet(parsed.data.set, parsed.data.shares, activationFault);
  return parsed.data;
}

function activationFault(expected: string, found: string): Refused {
  return new Refused(refuse('INPUT-ACTIVATION', expected, found, BRING));
}

/** Which PIN of a token a set gives (PKCS#11 3.2 section 5.6.8). C_InitToken leaves the SO's, and no key. */
export type Whose = ActivationRecord['pin']['whose'];

/** A PIN of a token by a set that is made here, or by one that people brought. `token`: its serial number. */
export type Activation =
  /** `old`: certainly not set yet. `unknown`: an attempt to set it has no outcome, so the token may have it. */
  | { readonly kind: 'made'; readonly token: string; readonly whose: Whose; readonly length: number; readonly pin: 'old' | 'unknown' | 'set' }
  /** `ended`: the login was open and ended by itself, with its process or its session. `opened`: how often it was opened here. */
  | { readonly kind: 'brought'; readonly token: string; readonly whose: Whose; readonly length: number; readonly login: 'never' | 'open' | 'ended' | 'closed'; readonly opened: number };

interface Opening { readonly mode: ActivationRecord['mode']; readonly inputs: Readonly<Record<string, Input>>; readonly bindings: { readonly tokens: Readonly<Record<string, { readonly serial: string }>>; readonly cards: Readonly<Record<string, ShareCards>> } }
type ShareCards = Readonly<Record<string, { readonly serial: string }>>;
type Inputs = Opening['inputs'];
type Must = (holds: boolean, rule: string, expected: string, found: string) => Refusal | null;
type Do<A extends PlanStep['do']['action']> = Extract<PlanStep['do'], { action: A }>;

/** The set that people brought as `name`. Throws `Refused`; the opening has read it before. */
export function activationInput(inputs: Inputs | undefined, name: string): ActivationRecord {
  const input = inputs?.[name];
  if (input?.kind !== 'activation') throw new Refused(refuse('INPUTS-COMPLETE', `an activation record for ${name}`, 'none', STOP));
  return readActivationRecord(fromBase64url(input.bytes));
}

/** The set under which the token has its PIN until now; null where somebody types that. Throws `Refused` as `activationInput`. */
export function formerSet(opening: Opening, { from }: Do<'set-activation-pin'>): { readonly record: ActivationRecord; readonly given: Backup['given'] } | null {
  if (from === undefined || opening.inputs[from] === undefined) return null;
  const record = activationInput(opening.inputs, from);
  return { record, given: broughtSet(record, opening.bindings.cards['share-card'] ?? {}).given };
}

/** What uses a set that is brought: the user's PIN opens the token, the SO's gives it a new user PIN. */
function useOf(plan: Plan): { readonly step: Do<'activate' | 'reset-user-pin'>; readonly whose: Whose } | null {
  const [activate, reset] = [actionIn(plan, 'activate'), actionIn(plan, 'reset-user-pin')];
  return activate ? { step: activate, whose: 'user' } : reset ? { step: reset, whose: 'so' } : null;
}

const actionIn = <A extends PlanStep['do']['action']>(plan: Plan, action: A): Do<A> | undefined => plan.steps.find(({ do: what }) => what.action === action)?.do as Do<A> | undefined;

/** Whether these people with these cards can open these tokens. Throws `Refused` for a file that is no activation record. */
export function activationOpeningFault(plan: Plan, opening: Opening): Refusal | null {
  const [use, set] = [useOf(plan), actionIn(plan, 'set-activation-pin')];
  const cards = opening.bindings.cards['share-card'] ?? {};
  if (use) {
    const record = activationInput(opening.inputs, use.step.from);
    const stranger = Object.entries(cards).find(([, { serial }]) => !record.shares.some(({ card }) => card === serial));
    return ofTokenFault(record, opening, use.step.on, use.whose)
      ?? (stranger ? refuse('CARD-OF-ACTIVATION', 'share cards that the activation record names', `${stranger[1].serial} of ${stranger[0]}`, 'Bring the card whose serial number the record names, or the newer activation record.') : null)
      ?? tooFew(record.set.threshold, Object.keys(cards).length);
  }
  const former = set ? formerSet(opening, set) : null;
  // New custodians bring new cards: only as many of the old ones as the PIN needs must be here.
  return set && former ? ofTokenFault(former.record, opening, set.on, actionIn(plan, 'make-activation-key')?.pin ?? 'user') ?? tooFew(former.record.set.threshold, Object.keys(former.given).length) : null;
}

function ofTokenFault({ mode, token, pin }: ActivationRecord, opening: Opening, on: string, whose: Whose): Refusal | null {
  if (mode !== opening.mode) {
    return refuse('ACTIVATION-MODE', `a set that was made in a ${opening.mode === 'real' ? 'real ceremony' : 'rehearsal'}`, `one of a ${mode === 'real' ? 'real ceremony' : 'rehearsal'}`,
      opening.mode === 'real' ? 'Bring the real activation record. What a rehearsal made opens nothing real.' : 'Keep real tokens out of rehearsals: open a real ceremony, or leave the file out and rehearse with one made for it.');
  }
  // The one PIN tried as the other would cost a try.
  if (pin.whose !== whose) return refuse('ACTIVATION-WHOSE', `a set that gives ${WHOSE[whose]}`, `one that gives ${WHOSE[pin.whose]}`, 'Bring the activation record of that PIN, and its custodians. Nothing was tried.');
  const bound = opening.bindings.tokens[on]?.serial ?? 'none';
  // Another token would be asked for a PIN that is not its own, and count a wrong try.
  return bound === token.serial ? null : refuse('ACTIVATION-TOKEN', `token ${token.serial}, which the activation record names`, bound, 'Choose that token, or bring the record of this one. Nothing was tried.');
}

/** Each PIN in words. */
export const WHOSE: Readonly<Record<Whose, string>> = { user: 'the user PIN', so: 'the PIN of the security officer (SO)' };

/** As the opening leaves it: the set is here, the token is closed. */
export function broughtActivation(plan: Plan, opening: Opening): { readonly activation: Activation; readonly backup: Backup } | null {
  const use = useOf(plan);
  if (!use) return null;
  const record = activationInput(opening.inputs, use.step.from);
  return { activation: { kind: 'brought', token: record.token.serial, whose: use.whose, length: record.pin.length, login: 'never', opened: 0 }, backup: broughtSet(record, opening.bindings.cards['share-card'] ?? {}) };
}

/** A token that lets no program set its PIN cannot have one that nobody knows. */
export function padFault({ flags }: Pick<TokenFacts, 'flags'>): Refusal | null {
  return flags.includes('CKF_PROTECTED_AUTHENTICATION_PATH')
    ? refuse('ACTIVATION-NEEDS-PIN', 'a token whose PIN a program can set', 'one whose PIN is typed on its own pad', 'Use what the token itself offers for a quorum. Nothing was changed.') : null;
}

/** As many characters as the token takes, at most 32: 5 bits each. Throws `Refused` ACTIVATION-PIN-LENGTH. */
export function activationPinLength({ min, max }: { readonly min: number; readonly max: number }): number {
  const { shortest, longest } = ACTIVATION_PIN;
  // A longest PIN of 0 is what a token says that sets no limit.
  const length = max === 0 ? longest : Math.min(longest, max);
  if (length >= shortest && length >= min) return length;
  throw new Refused(refuse('ACTIVATION-PIN-LENGTH', `a token that takes PINs of ${shortest} to ${longest} characters`, `${min} to ${max}`, 'Use another token, or let people keep its PIN. Nothing was changed.'));
}

// --- what is judged ---------------------------------------------------------------------------------------------------------

interface Situation { readonly activation: Activation | null; readonly backup: Backup | null; readonly inspected: Readonly<Record<string, TokenFacts>> }

/** Actions that use what is on a token, and nothing more: repeated by nobody, and leaving nothing to be looked for after a crash. */
export const USES_OPEN_TOKEN: readonly PlanStep['do']['action'][] = ['take-inventory', 'open-key', 'prove-key', 'issue-certificate', 'sign-crl'];

/** Before any step: where a quorum opens the token, nothing of it is asked for while it is closed. Nobody knows its PIN. */
export function closedFault({ activation }: Pick<Situation, 'activation'>, step: PlanStep): Refusal | null {
  return activation?.kind === 'brought' && activation.login !== 'open' && USES_OPEN_TOKEN.includes(step.do.action)
    ? refuse('ACTIVATE-FIRST', `token ${activation.token} opened by its custodians`, 'closed', STOP) : null;
}

export function makeActivationFault({ inspected }: Situation, { token }: Intent<'make-activation-key'>): Refusal | null {
  const facts = inspected[token];
  return facts === undefined ? refuse('INSPECT-FIRST', `token ${token} identified`, 'not identified', STOP) : padFault(facts);
}

export function wipeActivationFault({ backup }: Situation, { set }: Intent<'wipe-activation-key'>): Refusal | null {
  const unread = Object.entries(backup?.given ?? {}).filter(([, share]) => !share.readBack).map(([seat]) => seat);
  if (!backup || Object.keys(backup.given).length !== backup.set.shares || unread.length > 0) {
    return refuse('READ-BACK-EVERY-SHARE', `all ${backup?.set.shares ?? 0} shares read back before their source is wiped`, unread.length > 0 ? `not those of ${unread.join(', ')}` : 'some not given', STOP);
  }
  return set === backup.set.id ? null : refuse('SHARE-SET', backup.set.id, set, STOP);
}

export function setPinFault({ activation, backup }: Situation, opening: Opening, step: Do<'set-activation-pin'>, intent: Intent<'set-activation-pin'>): Refusal | null {
  if (activation?.kind !== 'made' || !backup?.wiped) return refuse('SET-FROM-SHARES', 'an activation key that exists only as shares', backup ? 'one that is still held outside them' : 'none', STOP);
  if (intent.token !== activation.token) return refuse('TOKEN-BOUND', activation.token, intent.token, STOP);
  if (intent.length !== activation.length) return refuse('ACTIVATION-PIN-LENGTH', `${activation.length} characters`, `${intent.length}`, STOP);
  // The one try that this may cost is spent knowingly, and never on a first attempt.
  const again = activation.pin === 'unknown';
  if (intent.again !== again) return refuse('ACTIVATION-TRY', again ? 'the new PIN tried first: an earlier attempt may have set it' : 'the old PIN: the new one is certainly not set', intent.again ? 'the new PIN' : 'the old PIN', STOP);
  const former = again ? null : formerSet(opening, step);
  if ((former === null) !== (intent.former === null)) return refuse('SHARE-SET', former === null ? 'no quorum for the old PIN' : `the quorum of set ${former.record.set.id}`, intent.former?.set ?? 'none', STOP);
  // Each of the old shares is read on its card when it is lent, and held against its set before it is used.
  const old = former && { ...broughtSet(former.record, {}), given: Object.fromEntries(Object.entries(former.given).map(([seat, share]) => [seat, { ...share, readBack: true }])) };
  return quorumOfFault(backup, intent) ?? (old && intent.former ? quorumOfFault(old, intent.former) : null);
}

export function setPinEvidenceFault({ backup }: Situation, opening: Opening, intent: Intent<'set-activation-pin'>, step: Do<'set-activation-pin'>, e: Evidence<'set-activation-pin'>, must: Must): Refusal | null {
  const former = intent.former && formerSet(opening, step);
  return must(e.token.serial === intent.token, 'TOKEN-BOUND', intent.token, e.token.serial)
    ?? quorumFits(backup?.given ?? {}, intent.quorum, e.quorum, must)
    ?? quorumFits(former?.given ?? {}, intent.former?.quorum ?? [], e.former ?? [], must);
}

export function activateFault({ activation, backup }: Situation, step: Do<'activate'>, intent: Intent<'activate'>): Refusal | null {
  if (activation?.kind !== 'brought' || activation.login === 'open') return refuse('ACTIVATE-ONCE', 'a token that is closed', activation?.kind === 'brought' ? 'one that is open' : 'no set of shares for it', STOP);
  if (intent.purpose !== step.for) return refuse('AS-SCRIPTED', step.for, intent.purpose, STOP);
  return quorumFault(backup, intent);
}

/** A login of the SO lasts no longer than the step, so that nothing is open before or after it. */
export function resetPinFault({ activation, backup }: Situation, intent: Intent<'reset-user-pin'>): Refusal | null {
  if (activation?.kind !== 'brought' || activation.whose !== 'so') return refuse('ACTIVATION-WHOSE', `a set that gives ${WHOSE.so}`, activation === null ? 'none' : `one that gives ${WHOSE[activation.whose]}`, STOP);
  return quorumFault(backup, intent);
}

export function activateEvidenceFault({ backup }: Situation, intent: Intent<'activate' | 'reset-user-pin'>, e: Evidence<'activate' | 'reset-user-pin'>, must: Must): Refusal | null {
  return must(e.token.serial === intent.token, 'TOKEN-BOUND', intent.token, e.token.serial) ?? quorumFits(backup?.given ?? {}, intent.quorum, e.quorum, must);
}

export function deactivateFault({ activation }: Situation): Refusal | null {
  return activation?.kind === 'brought' && (activation.login === 'open' || activation.login === 'ended') ? null : refuse('ACTIVATE-FIRST', 'a token that was opened', 'one that is closed', STOP);
}

export function deactivateEvidenceFault({ activation }: Situation, intent: Intent<'deactivate'>, e: Evidence<'deactivate'>, must: Must): Refusal | null {
  const open = activation?.kind === 'brought' && activation.login === 'open';
  return must(e.token === intent.token, 'TOKEN-BOUND', intent.token, e.token)
    ?? must(open === (e.how === 'logged-out'), 'DEACTIVATED', open ? 'a log-out of the open token' : 'a login that had ended by itself', e.how)
    ?? (e.how === 'logged-out' ? must(e.after <= e.before, 'DEACTIVATED', `no more private and secret keys shown than the ${e.before} before`, `${e.after}`) : null);
}

// --- what it changes ----------------------------------------------------------------------------------------------------------

/** After an attempt at `set-activation-pin` that failed. `code`: of the error. */
export function afterFailedPin(activation: Activation | null, { again }: Intent<'set-activation-pin'>, code: string, nothingChanged: boolean): Activation | null {
  if (activation?.kind !== 'made') return activation;
  // What this attempt left alone an earlier one may have changed; the token's no to the new PIN settles both.
  return { ...activation, pin: code === PIN_NOT_SET || (nothingChanged && !again) ? 'old' : 'unknown' };
}

/** The token did not take the new PIN, so no earlier attempt has set it. */
export const PIN_NOT_SET = 'ACTIVATION-PIN-NOT-SET';
/** The session that a quorum opened is gone: what fails with this did nothing. */
export const LOGIN_ENDED = 'ACTIVATION-ENDED';

/**
 * The step by which the quorum opens the token again, after its login ended by itself; null where nothing that follows needs it.
 * Nothing is repeated that was done: the step comes in front of the one that is to be done now, as the signatures of a resumption do.
 */
export function openedAgain(plan: Plan | null, activation: Activation | null, at: { readonly cursor: number; readonly done: boolean; readonly act: number }): PlanStep | null {
  const activate = plan?.steps.find(({ do: what }) => what.action === 'activate');
  if (!plan || !activate || activation?.kind !== 'brought') return null;
  const until = plan.steps.findIndex(({ do: what }) => what.action === 'deactivate');
  const needs = plan.steps.slice(at.cursor + (at.done ? 1 : 0), until < 0 ? plan.steps.length : until).some(({ do: what }) => USES_OPEN_TOKEN.includes(what.action));
  return needs ? { ...activate, id: `again-${activation.opened}/${activate.id}`, act: at.act, moves: [] } : null;
}

/** The activation record of a ceremony that made a set and gave the token its PIN, as the bundle gives it; null before that. */
export function activationRecordOf({ ceremony, mode, activation, backup, inspected, people }: Situation & { readonly ceremony: string; readonly mode: ActivationRecord['mode']; readonly people: readonly { readonly seat: string; readonly name: string }[] }): Uint8Array | null {
  if (activation?.kind !== 'made' || activation.pin !== 'set' || !backup) return null;
  const { serial = activation.token, label = '', model = '', manufacturer = '' } = inspected[activation.token] ?? {};
  const record: ActivationRecord = {
    format: 'conclave-activation/1', mode, ceremony, token: { serial, label, model, manufacturer },
    pin: { derivation: ACTIVATION_PIN.derivation, length: activation.length, whose: activation.whose }, set: backup.set, shares: keptShares(backup, people),
  };
  return utf8(`${canonicalize(record) ?? ''}\n`);
}
