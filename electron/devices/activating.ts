/**
 * A token's PIN, of its user or of its security officer (SO), out of an activation key: derived, used and wiped in here, and nowhere else.
 *
 * The key comes from the shares of a quorum and is borrowed. A PIN is tried once: which one is tried, the record decided before
 * (`again`). A token's word that a PIN was set is no proof: the new one must open it in a fresh session.
 */
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { activationPinLength, padFault, PIN_NOT_SET, WHOSE, type Whose } from '../../ceremonies/activation.ts';
import { utf8 } from '../../ceremonies/bytes.ts';
import { ACTIVATION_PIN, type Evidence, type TokenFacts } from '../../ceremonies/evidence.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import { isTokenError, quietly, TokenError, type Work } from './errors.ts';
import type { PinDesk } from './login.ts';
import type { Asked } from './protocol.ts';
import { lend, takeBytes } from './secret.ts';
import type { Session, Token } from './tokens.ts';

interface Desk { readonly pins: PinDesk; readonly asked: Asked; readonly work: Work }

/** A key (borrowed), and how much of a PIN follows from it. */
export interface ActivationKey { readonly key: Uint8Array; readonly length: number }

/**
 * HKDF-SHA-256 (RFC 5869) without salt, one byte for each character: its remainder by 32 chooses the character. 32 divides 256, so
 * no character is likelier than another. The caller wipes it.
 */
export function derivePin({ key, length }: ActivationKey, serial: string): Uint8Array {
  const { derivation, alphabet } = ACTIVATION_PIN;
  const pin = takeBytes(hkdf(sha256, key, undefined, utf8(`${derivation}\n${serial}\n${length}\n`), length));
  pin.forEach((byte, i) => { pin[i] = alphabet.charCodeAt(byte % alphabet.length); });
  return pin;
}

/** How long the PIN of this token will be. Throws `Refused` ACTIVATION-NEEDS-PIN, ACTIVATION-PIN-LENGTH. */
export async function pinLengthFor(token: Token): Promise<number> {
  const pad = padFault(await token.facts());
  if (pad) throw new Refused(pad);
  return activationPinLength(await token.pinLengths());
}

/**
 * The PIN of `whose` set to the one of `next`, and proven. The old one is typed, or follows from `former`. `again`: an earlier attempt
 * may have set it, so it is tried instead, which costs one try where that is not so; the next attempt then begins with the old PIN.
 * Throws `Refused` ACTIVATION-PIN-NOT-SET, ACTIVATION-PIN-PROVEN.
 */
export async function setActivationPin(token: Token, next: ActivationKey, { whose, again, former }: { readonly whose: Whose; readonly again: boolean; readonly former: ActivationKey | null }, { pins, asked, work }: Desk): Promise<TokenFacts> {
  const facts = await token.facts();
  const pad = padFault(facts);
  if (pad) throw new Refused(pad);
  const { serial } = facts;
  return lend(derivePin(next, serial), async (pin) => {
    if (!again) {
      const session = await token.open();
      const change = async (old: Uint8Array | null): Promise<void> => {
        await session.login(old, whose);
        await work.write(() => session.changePin(old, pin));
      };
      try {
        if (former) await lend(derivePin(former, serial), (old) => pins.give(token, asked, whose, () => change(old), CHANGED));
        else await pins.ask(token, asked, whose === 'so' ? 'so-pin' : 'user-pin', change);
      } finally {
        await quietly(session.logout());
        await quietly(session.close());
      }
    }
    const fresh = await token.open();
    try {
      await pins.give(token, asked, whose, () => fresh.login(pin, whose));
      return await token.facts();
    } catch (thrown) {
      if (!isTokenError(thrown, 'CKR_PIN_INCORRECT')) throw thrown;
      throw new Refused(again
        ? refuse(PIN_NOT_SET, 'a token that an earlier attempt gave its new PIN', 'one that does not take it: it was not set', 'One try is used up. Repeat the step: now the old PIN is asked for.')
        : refuse('ACTIVATION-PIN-PROVEN', 'a token that the new PIN opens', 'one that took the new PIN and does not open with it', `Do not try again: ${WHOSE[whose]} is neither. Record an exception; ${whose === 'so' ? 'the keys stay usable by the user PIN, and only the maker of the token can help with this one.' : 'let the security officer of the token give it a PIN.'}`));
    } finally {
      await quietly(fresh.logout());
      await quietly(fresh.close());
    }
  });
}

const CHANGED = 'Do not try again. These shares do not give the PIN that the token has: somebody changed it, or a newer set of shares opens it. Look for the newest activation record.';

/** Logs in with the PIN of `key`. A session without anybody to ask: a key that wants its PIN at each use stays unused. */
export async function openByQuorum(token: Token, key: ActivationKey, { pins, asked }: Pick<Desk, 'pins' | 'asked'>): Promise<Session> {
  const { serial } = await token.facts();
  const session = await token.open();
  try {
    await lend(derivePin(key, serial), (pin) => pins.give(token, asked, 'user', () => session.login(pin), CHANGED));
    return session;
  } catch (thrown) {
    await quietly(session.close());
    throw thrown;
  }
}

/**
 * The user PIN set by the quorum as the token's security officer (C_InitPIN), and proven: it is typed before the token is touched, and opens it
 * in a fresh session. The SO is logged in for no longer than that takes. Throws `Refused` USER-PIN-PROVEN.
 */
export async function resetUserPin(token: Token, key: ActivationKey, { pins, asked, work }: Desk): Promise<TokenFacts> {
  const facts = await token.facts();
  const pad = padFault(facts);
  if (pad) throw new Refused(pad);
  return pins.ask(token, asked, 'new-user-pin', async (typed) => {
    const session = await token.open();
    try {
      await lend(derivePin(key, facts.serial), (so) => pins.give(token, asked, 'so', () => session.login(so, 'so'), CHANGED));
      await work.write(() => session.setUserPin(typed));
    } finally {
      await quietly(session.logout());
      await quietly(session.close());
    }
    const fresh = await token.open();
    try {
      await fresh.login(typed);
      return await token.facts();
    } catch (thrown) {
      if (!isTokenError(thrown, 'CKR_PIN_INCORRECT')) throw thrown;
      throw new Refused(refuse('USER-PIN-PROVEN', 'a token that the new user PIN opens', 'one that took it and does not open with it', 'Repeat the step: the quorum may set the PIN again.'));
    } finally {
      await quietly(fresh.logout());
      await quietly(fresh.close());
    }
  });
}

/** Logged out, and looked at from a fresh session: whether anybody is logged in, and which secret objects still show. */
export async function closeAgain(token: Token, session: Session): Promise<Evidence<'deactivate'>> {
  const { serial } = await token.facts();
  const before = await secretsShown(session);
  await session.logout();
  await quietly(session.close());
  const fresh = await token.open();
  try {
    if (await fresh.loggedIn()) throw new TokenError('CKR_USER_ALREADY_LOGGED_IN', 'C_Logout', 'Take the token out of its reader, or switch it off: that ends every login.');
    return { token: serial, how: 'logged-out', before, after: await secretsShown(fresh), loggedIn: false };
  } finally {
    await quietly(fresh.close());
  }
}

async function secretsShown(session: Session): Promise<number> {
  const { objects } = await session.list(0, 2000);
  return objects.filter((object) => object.class === 'private-key' || object.class === 'secret-key').length;
}
