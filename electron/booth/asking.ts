/**
 * Asking a person for a PIN: whose turn it is, what is shown of a notice, and in which words. The same at the booth's
 * window and at a terminal, which differ only in how they draw it and hear keys.
 *
 * Pure. It must never learn what was typed; that is pin.ts' alone.
 */
import type { Notice } from '../devices/protocol.ts';
import type { Heard } from './pin.ts';

export type Wanted = Extract<Notice, { kind: 'pin-wanted' | 'pad-wanted' }>;
/** What opens a booth. A component has rules and words of its own (component.ts). */
export type Asks = Exclude<Notice, { kind: 'pin-settled' }>;
type Settled = Extract<Notice, { kind: 'pin-settled' }>;
export type Outcome = Settled['outcome'];

// --- what is shown --------------------------------------------------------------------------------------------------

/** Nothing secret. */
export interface BoothFacts {
  readonly ticket: number;
  readonly who: string;
  readonly seat: string;
  readonly purpose: string;
  readonly card: { readonly label: string; readonly serial: string; readonly model: string };
  readonly wanted: 'user-pin' | 'so-pin' | 'new-user-pin' | 'new-so-pin' | 'password';
  /** null: it is typed on the token's own PIN pad, and no key counts here. */
  readonly typed: { readonly attempts: 'fine' | 'low' | 'final' | 'unknown'; readonly min: number; readonly max: number } | null;
}

/** Of all that a notice says, what is shown. */
export function boothFacts(notice: Wanted): BoothFacts {
  return {
    ...personFacts(notice),
    wanted: notice.wanted,
    typed: notice.kind === 'pad-wanted' ? null : { attempts: notice.attempts, min: notice.min, max: notice.max },
  };
}

/** Who is asked, what for, and which card or token it is about. */
export function personFacts({ ticket, token, asked }: Asks): Pick<BoothFacts, 'ticket' | 'who' | 'seat' | 'purpose' | 'card'> {
  const seat = asked.person.replaceAll('-', ' ');
  return {
    ticket,
    who: asked.name,
    seat: seat.charAt(0).toUpperCase() + seat.slice(1),
    purpose: asked.purpose,
    card: { label: token.label, serial: token.serial, model: token.model },
  };
}

/** Control and direction characters, which could make one card look like another or steer a terminal, become visible. */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    `⟨U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}⟩`);
}

// --- whose turn it is -------------------------------------------------------------------------------------------------

/**
 * One at a time: whoever asks while one is open waits. `open` opens one and returns what closes it; a ticket that is
 * settled before its turn never opens.
 */
export function boothQueue(open: (module: string, wanted: Asks) => (outcome: Outcome) => void): (module: string, notice: Notice) => void {
  const waiting: { module: string; wanted: Asks }[] = [];
  let current: { module: string; ticket: number; close: (outcome: Outcome) => void } | undefined;
  const next = () => {
    const first = waiting.shift();
    if (first === undefined) return;
    const { module, wanted } = first;
    current = { module, ticket: wanted.ticket, close: open(module, wanted) };
  };
  return (module, notice) => {
    if (notice.kind !== 'pin-settled') {
      waiting.push({ module, wanted: notice });
      if (current === undefined) next();
      return;
    }
    const is = (other: { module: string; ticket: number }) => other.module === module && other.ticket === notice.ticket;
    if (current !== undefined && is(current)) {
      current.close(notice.outcome);
      current = undefined;
      next();
    } else {
      const at = waiting.findIndex(({ module: of, wanted }) => is({ module: of, ticket: wanted.ticket }));
      if (at !== -1) waiting.splice(at, 1);
    }
  };
}

// --- in which words -----------------------------------------------------------------------------------------------------

/** A new PIN is typed twice. */
export const isNew = ({ wanted }: Pick<BoothFacts, 'wanted'>): boolean => wanted === 'new-user-pin' || wanted === 'new-so-pin';

interface Kind {
  /** In the middle of a sentence. */
  readonly thing: string;
  /** Beside the field, to be read from afar. */
  readonly name: string;
  /** Before the card's name. */
  readonly please: string;
}
const KINDS: Readonly<Record<BoothFacts['wanted'], Kind>> = {
  'user-pin': { thing: 'PIN', name: 'PIN', please: 'Please type the PIN of' },
  'so-pin': { thing: 'SO PIN', name: 'Security officer PIN (SO PIN)', please: 'Please type the security officer PIN of' },
  'new-user-pin': { thing: 'new PIN', name: 'NEW PIN', please: 'Please choose a new PIN for' },
  'new-so-pin': { thing: 'new SO PIN', name: 'NEW security officer PIN (SO PIN)', please: 'Please choose a new security officer PIN for' },
  'password': { thing: 'password', name: 'Password of the file', please: 'Please type the password of the file, not a PIN of' },
};

/** PKCS#11 v3.2 section 3.2, CKF_*_PIN_*: a token says that a wrong PIN was entered, and that one try is left; never a number. */
const TRIES = {
  fine: 'No wrong PIN is reported since the last right one.',
  low: '! A wrong PIN has been entered since the last right one. Not all tries are left.',
  final: '✕ This is the last try. A wrong PIN locks it.',
  unknown: 'It does not say how many tries are left.',
} as const;

function triesOf({ wanted, typed }: BoothFacts): string {
  if (typed === null) return isNew({ wanted }) ? 'Where the pad asks for the old PIN first, a wrong one costs a try.' : 'A wrong PIN on the pad costs a try.';
  if (wanted === 'password') return 'A file counts no tries: a wrong password locks nothing.';
  if (isNew({ wanted })) return `${lengthOf(typed)} A new PIN costs no try.`;
  return wanted === 'so-pin' && typed.attempts === 'final' ? '✕ This is the last try. A wrong one locks the SO PIN, and nobody can unlock that.' : TRIES[typed.attempts];
}

/** PKCS#11 counts bytes; only beyond ASCII is that more than characters. A limit that is none (CK_UNAVAILABLE_INFORMATION) is not said. */
function lengthOf({ min, max }: { readonly min: number; readonly max: number }): string {
  const least = Math.max(1, min);
  return max >= least && max < 255 ? `${least} to ${max} characters.` : `At least ${least} characters.`;
}

export interface Words {
  readonly room: string;
  readonly promise: string;
  readonly please: string;
  readonly purpose: string;
  readonly tries: string;
  /** How urgently `tries` is meant. */
  readonly attempts: 'fine' | 'low' | 'final';
}

/** What stands there from the beginning to the end. */
export function wordsOf(facts: BoothFacts): Words {
  const { card, purpose, typed, wanted } = facts;
  const label = card.label === '' ? 'this token' : card.label;
  const counts = typed !== null && (wanted === 'user-pin' || wanted === 'so-pin') ? typed.attempts : 'fine';
  return {
    room: typed === null ? 'PIN pad' : wanted === 'password' ? 'Password booth' : 'PIN booth',
    promise: typed === null
      ? 'The PIN goes from the pad into the token. This computer never gets it.'
      : 'What you type goes to this one device and nowhere else. It is not shown, not counted, not recorded.',
    please: typed === null ? `Look at the PIN pad of ${label}` : `${KINDS[wanted].please} ${label},`,
    purpose: purpose.startsWith('to ') ? purpose : `to ${purpose}`,
    tries: triesOf(facts),
    attempts: counts === 'unknown' ? 'fine' : counts,
  };
}

/** What is typed just now. `again`: the second of two. */
export function nameOf(facts: BoothFacts, again: boolean): string {
  const { name } = KINDS[facts.wanted];
  if (facts.typed === null) return `Type the ${KINDS[facts.wanted].thing} on the pad${isNew(facts) ? ', as often as it asks for it' : ''}`;
  if (!isNew(facts)) return name;
  return again ? `${name}, second time: the same` : `${name}, first time`;
}

/** What Enter does just now. */
export function enterOf(facts: BoothFacts, again: boolean): string {
  const { thing } = KINDS[facts.wanted];
  return isNew(facts) && !again ? 'go on; you type it once more' : `hand the ${thing} over`;
}

/** What has just happened, or how it stands. */
export type Moment = 'empty' | 'typing' | 'fits' | 'given' | 'pad' | 'pad-insisted' | Exclude<Heard, 'nothing' | 'typed' | 'erased' | 'done'>;

const FORGOTTEN = 'Nothing was sent, and all of it is forgotten. Press Backspace, then type it by hand.';

export function say(facts: BoothFacts, again: boolean, moment: Moment): string {
  const { thing } = KINDS[facts.wanted];
  switch (moment) {
    case 'empty': return again ? 'Nothing typed the second time yet.' : 'Nothing typed yet.';
    case 'typing': return 'Typing …';
    case 'fits': return `Press Enter when the ${thing} is complete.`;
    case 'again': return `✓ Typed once. Now type the same ${thing} once more.`;
    case 'unequal': return `! The two were not the same. Both are forgotten, and nothing was sent. Start again: type the ${thing}.`;
    case 'too-short': return `This is shorter than any ${thing} of it. Type on; nothing was sent.`;
    case 'too-long': return `! That is longer than any ${thing} of it. ${FORGOTTEN}`;
    case 'machine': return `! A device typed that, not a person. ${FORGOTTEN}`;
    case 'unusable': return `! That was no single key, and cannot be part of a ${thing} here. ${FORGOTTEN}`;
    case 'cancelled': return 'Cancelled. Only the cancelling is recorded.';
    case 'given': return isNew(facts) ? `Both were the same. The ${thing} is being set.` : `The ${thing} is being checked.`;
    case 'pad': return 'Waiting for the pad.';
    case 'pad-insisted': return '! No key of this computer reaches the token. Type on the pad, or cancel there.';
  }
}
