/**
 * Asking for PINs: each once, used once, and forgotten.
 *
 * What the token says about tries left is read before a PIN is asked for, and again after a refusal. A PIN reaches this process
 * through the booth (or is the published one, typed by a stand-in), or never: on a token with a pad of its own it is typed
 * there, and the token is called without one. Never tries again, never keeps a PIN beyond the call that it was asked for.
 */
import { isUtf8 } from 'node:buffer';
import { Fault, isTokenError, TokenError } from './errors.ts';
import { REHEARSAL_PIN, type Asked, type Notice } from './protocol.ts';
import { lend, takeBytes, type Secret } from './secret.ts';
import type { Session, Token, User } from './tokens.ts';

/** What the process around the operations gives them. */
export interface Booth {
  notify(notice: Notice): void;
  /** The PIN typed for this ticket, to be wiped by the caller; null when cancelled. Throws Fault BOOTH_MISSING at once. */
  pin(ticket: number): Promise<Secret | null>;
  /** As `pin`, for a component: its digits, then those of its check value. `shown` (borrowed) goes to the booth that asks to see it, and nowhere else. */
  component(ticket: number, shown: Uint8Array | null): Promise<Secret | null>;
}

export type Wanted = Extract<Notice, { kind: 'pin-wanted' }>['wanted'];
type Outcome = Extract<Notice, { kind: 'pin-settled' }>['outcome'];

/** Whose tries a wrong PIN costs. A new PIN, and a file's password, cost nobody's. */
const TRIES_OF: { readonly [W in Wanted]: 'USER' | 'SO' | null } = { 'user-pin': 'USER', 'so-pin': 'SO', 'new-user-pin': null, 'new-so-pin': null, 'password': null };
const PASSWORD_LENGTHS = { min: 1, max: 255 } as const;

export class PinDesk {
  readonly #booth: Booth;
  #ticket = 0;

  constructor(booth: Booth) {
    this.#booth = booth;
  }

  /** A number that no question of this process had before. */
  readonly ticket = (): number => ++this.#ticket;

  /** Asks for the PIN and logs in. */
  async logIn(token: Token, session: Session, asked: Asked, who: User = 'user'): Promise<void> {
    await this.ask(token, asked, who === 'so' ? 'so-pin' : 'user-pin', (pin) => session.login(pin, who));
    this.attend(token, session, asked);
  }

  /** Asks again for each use of a key that wants its PIN each time. */
  attend(token: Token, session: Session, asked: Asked): void {
    session.authenticateWith((login) => this.ask(token, { ...asked, purpose: 'this key asks for the PIN at each use' }, 'user-pin', login));
  }

  /**
   * Lends what is typed to `use`, once; null where it is typed on the token's own pad. The booth hears the outcome when `use` is
   * over, or when it says `accepted`. `label`: that of the token after this, where a stand-in's right depends on it.
   */
  async ask<T>(token: Token, asked: Asked, wanted: Wanted, use: (pin: Uint8Array | null, accepted: () => void) => Promise<T>, label?: string): Promise<T> {
    const facts = await token.facts();
    const whose = TRIES_OF[wanted];
    const says = (flags: readonly string[], what: string): boolean => saysOf(whose, flags, what);
    const final = mayTry(whose, facts.flags, asked);
    const atPad = wanted !== 'password' && facts.flags.includes('CKF_PROTECTED_AUTHENTICATION_PATH');
    if (asked.standIn && !atPad) {
      // A blank token is nobody's yet: what it is to become decides.
      const blank = label !== undefined && !facts.flags.includes('CKF_TOKEN_INITIALIZED');
      if ((!blank && !(await token.isRehearsal())) || (label !== undefined && !(await token.isRehearsal(label)))) throw new Fault('STAND_IN_REFUSED');
      return lend(takeBytes(new TextEncoder().encode(REHEARSAL_PIN)), (pin) => use(pin, () => undefined));
    }
    const ticket = this.ticket();
    let settled = false;
    const settle = (outcome: Outcome): void => {
      if (!settled) this.#booth.notify({ kind: 'pin-settled', ticket, outcome });
      settled = true;
    };
    let pin: Secret | null = null;
    if (wanted !== 'password' && atPad) {
      this.#booth.notify({ kind: 'pad-wanted', ticket, token: facts, asked, wanted });
    } else {
      // First the ear, then the question: an answer must never come to nobody.
      const answer = this.#booth.pin(ticket);
      const lengths = wanted === 'password' ? PASSWORD_LENGTHS : await token.pinLengths();
      const attempts = final ? 'final' : says(facts.flags, 'COUNT_LOW') ? 'low' : 'fine';
      this.#booth.notify({ kind: 'pin-wanted', ticket, token: facts, asked, attempts, ...lengths, wanted });
      pin = await answer;
      if (pin === null) {
        settle('cancelled');
        throw new Fault('PIN_CANCELLED');
      }
      try {
        judgeForm(pin.bytes, lengths);
      } catch (thrown) {
        pin.wipe();
        settle('refused');
        throw thrown;
      }
    }
    try {
      const result = await use(pin?.bytes ?? null, () => settle('accepted'));
      settle('accepted');
      return result;
    } catch (thrown) {
      if (!isTokenError(thrown, 'CKR_PIN_INCORRECT', 'CKR_PIN_LOCKED')) {
        settle(isTokenError(thrown, 'CKR_FUNCTION_CANCELED', 'CKR_CANCEL') ? 'cancelled' : 'refused');
        throw thrown;
      }
      const why = await afterWrong(token, whose, thrown);
      settle(why.code === 'CKR_PIN_LOCKED' ? 'locked' : 'refused');
      throw why;
    } finally {
      pin?.wipe();
    }
  }

  /** A PIN of `who` that this process has by itself, used once by `use`. `next`: what to do where the token says that it is another. */
  async give<T>(token: Token, asked: Asked, who: User, use: () => Promise<T>, next?: string): Promise<T> {
    const whose = who === 'so' ? 'SO' : 'USER';
    mayTry(whose, (await token.facts()).flags, asked);
    try {
      return await use();
    } catch (thrown) {
      if (!isTokenError(thrown, 'CKR_PIN_INCORRECT', 'CKR_PIN_LOCKED')) throw thrown;
      const why = await afterWrong(token, whose, thrown);
      throw why.code === 'CKR_PIN_INCORRECT' && next !== undefined ? new TokenError(why.code, 'C_Login', [why.hint ?? [], next].flat().join(' ')) : why;
    }
  }
}

type Whose = (typeof TRIES_OF)[Wanted];

function saysOf(whose: Whose, flags: readonly string[], what: string): boolean {
  return whose !== null && flags.includes(`CKF_${whose}_PIN_${what}`);
}

/** Whether this would be the last try. Throws where there is none, and where nobody has confirmed the last one. */
function mayTry(whose: Whose, flags: readonly string[], asked: Asked): boolean {
  if (saysOf(whose, flags, 'LOCKED')) throw new TokenError('CKR_PIN_LOCKED', 'C_Login');
  if (whose === 'USER' && !saysOf(whose, flags, 'INITIALIZED')) throw new TokenError('CKR_USER_PIN_NOT_INITIALIZED', 'C_Login');
  const final = saysOf(whose, flags, 'FINAL_TRY');
  if (final && !asked.acceptFinalTry) throw new Fault('PIN_FINAL_TRY');
  return final;
}

/** What a wrong PIN has come to, as the token says afterwards. */
async function afterWrong(token: Token, whose: Whose, thrown: TokenError): Promise<TokenError> {
  const { flags } = await token.facts().catch(() => ({ flags: [] as readonly string[] }));
  if (thrown.code === 'CKR_PIN_LOCKED' || saysOf(whose, flags, 'LOCKED')) return new TokenError('CKR_PIN_LOCKED', 'C_Login');
  return saysOf(whose, flags, 'FINAL_TRY') ? new TokenError('CKR_PIN_INCORRECT', 'C_Login', 'One try is left. A wrong PIN then locks the token for good.') : thrown;
}

/** What the token would refuse for its form must not cost a try: an empty PIN above all. */
function judgeForm(pin: Uint8Array, { min, max }: { readonly min: number; readonly max: number }): void {
  if (pin.length < min || (max > 0 && pin.length > max)) throw new TokenError('CKR_PIN_LEN_RANGE', 'C_Login');
  if (!isUtf8(pin)) throw new TokenError('CKR_PIN_INVALID', 'C_Login');
}
