/**
 * Card readers as PC/SC sees them: which there are, whether a card is in, and the card's ATR. The only importer of the
 * PC/SC binding.
 *
 * It never connects to a card and never sends it a command: a card that another program uses alone stays with it, and its
 * login lasts. So the binding's own Devices object, which connects to every card that comes, has no place here; nor would it
 * recover from a restart of pcscd, for which only a fresh context helps.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type * as Smartcard from 'smartcard';
import type { ContextInterface as Context, ReaderInterface as ReaderSeen } from 'smartcard';
import { toHex } from '../../ceremonies/bytes.ts';
import type { Reader } from '../../ceremonies/estate.ts';
import { Fault } from './errors.ts';
import { plain } from './tokens.ts';

type Binding = typeof Smartcard;

/** The name under which pcscd tells of readers that come and go (SCardGetStatusChange(3)). */
const ANY_READER = '\\\\?PnP?\\Notification';
/**
 * A change ends the wait at once. But pcscd counts readers from the moment of the call on, so one that came between the look
 * and the wait is found at the next look only.
 */
const LONGEST_WAIT = 2_000;
/** How long until it is tried again to reach a pcscd that does not answer. */
const RETRY = 1_000;

/** `moved` is called whenever readers or cards have come or gone, or pcscd has. Throws Fault READERS_BINDING. */
export async function openCards(moved: () => void): Promise<Cards> {
  let binding: Binding;
  try {
    binding = await import('smartcard');
  } catch {
    // Never compiled, or libpcsclite.so.1 is not installed.
    throw new Fault('READERS_BINDING');
  }
  return new Cards(binding, moved);
}

export class Cards {
  readonly #binding: Binding;
  /** The watch's own: a context that waits is locked until it has waited. */
  #waiting: Context | null = null;
  #closed = false;

  constructor(binding: Binding, moved: () => void) {
    this.#binding = binding;
    void this.#watch(moved);
  }

  /** As it is now. Throws Fault READERS_SERVICE where pcscd does not answer. */
  readers(): Reader[] {
    let context: Context | undefined;
    try {
      context = new this.#binding.Context();
      return context.listReaders().map((reader) => this.#facts(reader));
    } catch {
      throw new Fault('READERS_SERVICE');
    } finally {
      context?.close();
    }
  }

  close(): void {
    this.#closed = true;
    this.#waiting?.cancel();
  }

  #facts({ name, state, atr }: ReaderSeen): Reader {
    const card = (state & this.#binding.SCARD_STATE_PRESENT) !== 0;
    return { name: plain(name, 128), card, atr: card && atr !== null && atr.length > 0 ? toHex(atr) : null };
  }

  async #watch(moved: () => void): Promise<void> {
    const { Context, SCARD_STATE_CHANGED, SCARD_STATE_UNAWARE } = this.#binding;
    let before: string | null = null;
    while (!this.#closed) {
      let readers: ReaderSeen[] | null = null;
      try {
        this.#waiting ??= new Context();
        readers = this.#waiting.listReaders();
      } catch {
        this.#waiting?.close();
        this.#waiting = null;
      }
      // The upper half of the state counts insertions and removals: a card exchanged for its like is another card.
      const now = JSON.stringify(readers?.map((reader) => [this.#facts(reader), reader.state >>> 16]) ?? null);
      if (before !== null && now !== before) moved();
      before = now;
      if (readers === null || this.#waiting === null) {
        await wait(RETRY);
        continue;
      }
      const known = readers.map(({ name, state }) => ({ name, state: (state & ~SCARD_STATE_CHANGED) >>> 0 }));
      const places = [...known, { name: ANY_READER, state: SCARD_STATE_UNAWARE }].map((place) => ({ ...place, changed: false, atr: null }));
      // A reader that was unplugged meanwhile is an error of this call; the next look says what has become of it.
      await this.#waiting.waitForChange(places, LONGEST_WAIT).catch(() => wait(RETRY / 10));
    }
    this.#waiting?.close();
  }
}
