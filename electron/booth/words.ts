/**
 * The words of a share, typed from paper: at a terminal, and in the booth of their holder, who may first be shown them to write them down.
 * What is known of them while they are shown and typed, and in which words it is said. Pure, so that every rule of typing has its test.
 *
 * Every word is looked up when it is complete, and the checksum of all of them says which one is wrong: so typing unseen is no guessing.
 * Words are numbers here, and what is drawn of them are the words of the list; no text is ever made of them. Never says what a wrong word was.
 */
import { secretBytes } from '../../ceremonies/shares/shamir.ts';
import { SLIP39_WORDS } from '../../ceremonies/shares/slip39-words.ts';
import { codeOf, LONGEST_WORD, placeOfStart, readWords, suspectsOf, wordBuffer, writeWords } from '../../ceremonies/shares/word-code.ts';
import type { Notice } from '../devices/protocol.ts';
import { personFacts, type BoothFacts } from './asking.ts';
import type { ComponentWords } from './component.ts';
import type { Press } from './pin.ts';

// --- typing ---------------------------------------------------------------------------------------------------------------

export type WordHeard =
  /** Not a key that means anything here; a letter; a letter or a word taken back. */
  | 'nothing' | 'typed' | 'erased'
  /** A word of the list; one that is another than in the round before; none of the list, and forgotten. */
  | 'word' | 'changed' | 'unknown'
  /** All words are in, and their checksum fits; one word is to be typed again; all are. */
  | 'done' | 'one-wrong' | 'more-wrong'
  | 'cancelled';

/** What is known of the words while they are typed. */
export class WordTyping {
  readonly count: number;
  readonly #words: Uint16Array;
  readonly #letters = secretBytes(LONGEST_WORD + 1);
  #length = 0;
  /** Places that are still to be typed in this round, first one first. */
  #open: number[];
  #firstRound = true;

  constructor(count: number) {
    this.count = count;
    this.#words = wordBuffer(count);
    this.#open = Array.from({ length: count }, (_, i) => i);
  }

  /** The number of the word that is being typed. */
  get number(): number { return (this.#open[0] ?? this.count - 1) + 1; }
  get empty(): boolean { return this.#length === 0; }
  /** Every word that is in, by its number; null for those that are still to be typed. */
  get places(): readonly (string | null)[] {
    return Array.from(this.#words, (word, place) => (this.#open.includes(place) ? null : SLIP39_WORDS[word] ?? null));
  }

  press(key: string): WordHeard {
    if (key === 'Escape' || key === 'Interrupt') {
      this.wipe();
      return 'cancelled';
    }
    if (key === 'Backspace') return this.#erase();
    if (key === 'Enter' || key === ' ') return this.empty ? 'nothing' : this.#word();
    if (!/^[A-Za-z]$/.test(key)) return 'nothing'; // numbers too: they stand before the words
    if (this.#length < this.#letters.length) this.#letters[this.#length++] = key.charCodeAt(0); // one letter too many is enough to be no word
    return 'typed';
  }

  #erase(): WordHeard {
    if (this.#length > 0) this.#letters[--this.#length] = 0;
    else if (this.#firstRound && this.number > 1) this.#open.unshift(this.number - 2); // the word before, again
    else return 'nothing';
    return 'erased';
  }

  #word(): WordHeard {
    const word = placeOfStart(this.#letters.subarray(0, this.#length));
    this.#letters.fill(0);
    this.#length = 0;
    if (word === null) return 'unknown';
    const i = this.#open.shift()!;
    const changed = !this.#firstRound && this.#words[i] !== word;
    this.#words[i] = word;
    if (this.#open.length > 0) return changed ? 'changed' : 'word';
    if (codeOf(this.#words) !== null) return 'done';
    this.#firstRound = false;
    const suspects = suspectsOf(this.#words);
    this.#open = suspects.length === 1 ? [suspects[0]! - 1] : Array.from({ length: this.count }, (_, place) => place);
    return suspects.length === 1 ? 'one-wrong' : 'more-wrong';
  }

  /** The words on one line; the caller wipes it. */
  line(): Uint8Array {
    return writeWords(this.#words);
  }

  wipe(): void {
    this.#words.fill(0);
    this.#letters.fill(0);
    this.#length = 0;
  }
}

// --- in the booth -----------------------------------------------------------------------------------------------------------

type Wanted = Extract<Notice, { kind: 'words-wanted' }>;

/** Nothing secret. */
export interface WordsFacts extends Pick<BoothFacts, 'ticket' | 'who' | 'seat' | 'purpose' | 'card'> {
  readonly words: Wanted['words'];
}

export function wordsFacts(notice: Wanted): WordsFacts {
  return { ...personFacts(notice), words: notice.words };
}

/** As in component.ts: sixteen keys in a row under 30 ms are nobody's fingers. */
const MACHINE_KEYS = 16;
const MACHINE_GAP_MS = 30;

/** `alone`: before they are shown. `asked`: they are on their way. `shown`: they are written down. `words`: they are typed. */
export type WordsPhase = 'alone' | 'asked' | 'shown' | 'words' | 'over';
export type SheetHeard = WordHeard | 'show' | 'hide' | 'machine';

export class SheetTyping {
  readonly count: number;
  #typing: WordTyping;
  #phase: WordsPhase;
  #shown: Uint16Array | null = null;
  #last = -Infinity;
  #fast = 0;

  constructor({ count, shows }: { readonly count: number; readonly shows: boolean }) {
    this.count = count;
    this.#typing = new WordTyping(count);
    this.#phase = shows ? 'alone' : 'words';
  }

  get phase(): WordsPhase { return this.#phase; }
  get number(): number { return this.#typing.number; }
  get empty(): boolean { return this.#typing.empty; }
  /** What may be drawn: the words that are shown, or those that are in. */
  get places(): readonly (string | null)[] {
    return this.#shown === null ? this.#typing.places : Array.from(this.#shown, (word) => SLIP39_WORDS[word] ?? null);
  }

  /** What was asked for, on one line; wiped. */
  show(line: Uint8Array): void {
    if (this.#phase === 'asked') {
      this.#shown = readWords(line);
      this.#phase = 'shown';
    }
    line.fill(0);
  }

  press({ key, time, repeat, chord }: Press): SheetHeard {
    if (key === 'Escape') {
      this.wipe();
      return 'cancelled';
    }
    if (chord || repeat || this.#phase === 'over' || this.#phase === 'asked') return 'nothing';
    if (this.#phase === 'alone' || this.#phase === 'shown') return key === 'Enter' ? this.#enter() : 'nothing';
    this.#fast = time - this.#last < MACHINE_GAP_MS ? this.#fast + 1 : 1;
    this.#last = time;
    return this.#fast >= MACHINE_KEYS ? this.unusable() : this.#typing.press(key);
  }

  #enter(): SheetHeard {
    if (this.#phase === 'alone') {
      this.#phase = 'asked';
      return 'show';
    }
    this.#shown?.fill(0);
    this.#shown = null;
    this.#phase = 'words';
    return 'hide';
  }

  /** Text came in by another way than single keys: back to the first word; what is shown stays shown. */
  unusable(): SheetHeard {
    this.#typing.wipe();
    this.#typing = new WordTyping(this.count);
    this.#fast = 0;
    return 'machine';
  }

  /** Lends the words on one line to `give`, and wipes everything afterwards. */
  hand(give: (line: Uint8Array) => void): void {
    const line = this.#typing.line();
    try {
      give(line);
    } finally {
      line.fill(0);
      this.wipe();
    }
  }

  wipe(): void {
    this.#typing.wipe();
    this.#shown?.fill(0);
    this.#shown = null;
    this.#phase = 'over';
  }
}

// --- in which words -----------------------------------------------------------------------------------------------------

export function wordsWords({ purpose, words: { shows } }: WordsFacts): ComponentWords {
  return {
    room: 'Share booth',
    promise: 'This share goes to this one device and nowhere else. Only its holder may see it.',
    please: shows ? 'Your share, as words:' : 'Your share, from your form:',
    purpose,
    costs: 'A wrong word costs nothing. Take your time.',
  };
}

/** What is to be done just now. */
export function wordsName({ words: { count, sheet } }: WordsFacts, phase: WordsPhase): string {
  switch (phase) {
    case 'alone': return 'Are you alone at the screen?';
    case 'asked': case 'shown': return `Write on your form: number ${sheet ?? ''}, and these ${count} words`;
    case 'words': case 'over': return `Type the ${count} words from your form`;
  }
}

/** What Enter does just now. */
export function wordsEnter(phase: WordsPhase): string {
  switch (phase) {
    case 'alone': return 'I am alone: show it';
    case 'asked': case 'shown': return 'I have written it down: hide it';
    case 'words': case 'over': return 'or Space: next word';
  }
}

/** What has just happened, or how it stands. */
export function wordsSay({ phase, number, count }: Pick<SheetTyping, 'phase' | 'number' | 'count'>, heard: SheetHeard | 'looking'): string {
  switch (heard) {
    case 'looking': return 'Shown while you hold Tab. Look that nobody else sees it.';
    case 'unknown': return `! That is none of the words. Type word ${number} again.`;
    case 'changed': return '! That is another word than before.';
    case 'one-wrong': return `! The checksum does not fit: word ${number} is probably wrong. Compare it with your form, and type it again.`;
    case 'more-wrong': return '! The checksum does not fit: two words or more are wrong, or in another order. Type all of them again.';
    case 'machine': return '! A device typed that, not a person. What was typed is forgotten: start again with the first word.';
    case 'cancelled': return 'Cancelled. Nothing is kept; only the cancelling is recorded. Destroy what you have written down.';
    case 'done': return '✓ All words are in, and their checksum fits. They are being compared.';
    case 'nothing': case 'typed': case 'erased': case 'word': case 'show': case 'hide': break;
  }
  switch (phase) {
    case 'alone': return 'Nobody else may see what comes next, and no camera. Have an empty form and a pen at hand.';
    case 'asked': return 'One moment.';
    case 'shown': return 'Write every word, then compare it row by row. It is not shown a second time.';
    case 'words': return `Word ${number} of ${count}. The first four letters are enough. Hold Tab to see what you typed.`;
    case 'over': return '';
  }
}
