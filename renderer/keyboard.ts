/**
 * Letters that press buttons, and the guard against tokens that type.
 *
 * A HID token types some 44 characters and Enter into whatever has focus, a few milliseconds apart. No person does. So a
 * letter counts only when no other key came shortly before or after it, and Enter or Space after a burst is swallowed
 * before it can press anything. Where text is being written no letter is a shortcut.
 */

/** Keys closer together than this are not typed by a person who means a shortcut. */
export const QUIET_MS = 140;

export type Verdict = 'wait' | 'burst' | 'ignore';

/** Decides about each key as it comes; pure but for what it remembers of the last one. */
export class BurstGuard {
  #last = Number.NEGATIVE_INFINITY;
  #fast = 0;

  /** `wait`: a candidate for a shortcut, to be fired if nothing else follows within QUIET_MS. `burst`: part of a flood. */
  key(at: number): Verdict {
    const gap = at - this.#last;
    this.#last = at;
    this.#fast = gap < QUIET_MS ? this.#fast + 1 : 0;
    if (this.#fast >= 3) return 'burst';
    return this.#fast > 0 ? 'ignore' : 'wait';
  }
}

export interface Shortcuts {
  /** Called with the key of a letter, digit or arrow that was meant. True if it was used. */
  press(key: string): boolean;
  /** A flood was noticed and swallowed. */
  flooded(): void;
}

const written = (target: EventTarget | null) =>
  target instanceof HTMLElement &&
  (target.isContentEditable ||
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement ||
    (target instanceof HTMLInputElement &&
      !['checkbox', 'radio', 'button', 'submit', 'file', 'range'].includes(target.type)));

const pressesSomething = (event: KeyboardEvent) => event.key === 'Enter' || event.key === ' ';

/** Keys that move through something: they repeat while held down, and fire nothing that lasts. */
const MOVES = ['ArrowLeft', 'ArrowRight', 'Home', 'End'];

/** Listens until the returned function is called. */
export function listen(page: Document, shortcuts: () => Shortcuts): () => void {
  const guard = new BurstGuard();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const onKey = (event: KeyboardEvent) => {
    if (
      event.ctrlKey ||
      event.altKey ||
      event.metaKey ||
      event.isComposing ||
      event.key === 'Shift' ||
      event.key === 'Tab' ||
      event.key === 'Escape'
    )
      return;
    if (event.repeat && !MOVES.includes(event.key)) {
      // A key that is held down: no flood, but no second press either.
      if (!written(event.target) && pressesSomething(event)) event.preventDefault();
      return;
    }
    if (MOVES.includes(event.key)) {
      if (!written(event.target) && !(event.target instanceof HTMLInputElement) && shortcuts().press(event.key))
        event.preventDefault();
      return;
    }
    clearTimeout(timer);
    const verdict = guard.key(event.timeStamp);
    if (written(event.target)) {
      // Fast typists come close to a burst; their Enter in a field would submit nothing anyway (no form has a default).
      if (event.key === 'Enter' && event.target instanceof HTMLInputElement) event.preventDefault();
      return;
    }
    if (verdict === 'burst') {
      event.preventDefault();
      event.stopPropagation();
      shortcuts().flooded();
      return;
    }
    if (pressesSomething(event) && verdict === 'ignore') {
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    const onControl =
      event.target instanceof HTMLElement &&
      event.target.closest('button, a, summary, input, [role="option"]') !== null;
    if (verdict !== 'wait' || event.key.length !== 1 || (event.key === ' ' && onControl)) return;
    const { key } = event;
    if (key === ' ') event.preventDefault(); // no page scroll where Space plays the replay
    timer = setTimeout(() => shortcuts().press(key), QUIET_MS);
  };
  page.addEventListener('keydown', onKey, true);
  return () => {
    clearTimeout(timer);
    page.removeEventListener('keydown', onKey, true);
  };
}
