/**
 * The words of a sheet, typed at the controlling terminal and not shown there.
 *
 * Every word is looked up when it is complete, and the checksum of all of them says which one is wrong, so that typing unseen
 * is no guessing. What is typed must never reach the screen, a string of more than one character, argv, the environment, a
 * log or an error: words have places, and only those are said.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { refuse, Refused } from '../ceremonies/refusal.ts';
import { secretBytes } from '../ceremonies/shares/shamir.ts';
import { codeOf, LONGEST_WORD, placeOfStart, suspectsOf, wordBuffer, writeWords } from '../ceremonies/shares/word-code.ts';
import { listen, TERMINAL } from './terminal-booth.ts';

export type WordHeard =
  /** Not a key that means anything here; a letter; a letter or a word taken back. */
  | 'nothing' | 'typed' | 'erased'
  /** A word of the list; one that is another than in the round before; none of the list, and forgotten. */
  | 'word' | 'changed' | 'unknown'
  /** All words are in, and their checksum fits; one word is to be typed again; all are. */
  | 'done' | 'one-wrong' | 'more-wrong'
  | 'cancelled';

/** What is known of the words while they are typed: pure, so that every rule of typing has its test. */
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

/** Throws `Refused` BOOTH_MISSING without a terminal, SHARE-TYPED when it was ended. The caller wipes the line. */
export function askForWords(count: number): Promise<Uint8Array> {
  const typing = new WordTyping(count);
  let out: number;
  try {
    out = openSync(TERMINAL, 'w');
  } catch {
    throw new Refused(refuse('BOOTH_MISSING', 'a terminal on which the words can be typed', 'none', 'Run the command in a terminal, or give a picture of the QR code.'));
  }
  const say = (text: string): void => {
    try {
      writeSync(out, text);
    } catch {
      // Hung up: the reading side hears of it.
    }
  };
  let standing = '';
  /** Dots without count: drawn once, so that not even a recording of the terminal tells how many letters there were. */
  const stand = (): void => {
    const line = `\r  word ${String(typing.number).padStart(2)} of ${count}: ${typing.empty ? '    ' : '••••'}`;
    if (line !== standing) say(line);
    standing = line;
  };
  const tell = (text: string): void => {
    say(`\r  ${text.padEnd(32)}\n`);
    standing = '';
  };
  return new Promise<Uint8Array>((resolve, reject) => {
    const end = (): void => {
      typing.wipe();
      input.close();
      closeSync(out);
    };
    const press = (key: string): void => {
      const { number } = typing;
      const heard = typing.press(key);
      switch (heard) {
        case 'nothing': return;
        case 'typed': case 'erased': break;
        case 'word': tell(`✓ word ${number}`); break;
        case 'changed': tell(`! word ${number} is another one than before`); break;
        case 'unknown': tell(`✕ word ${number} is not in the list. Type it again.`); break;
        case 'one-wrong': tell(`✕ The checksum does not fit: word ${typing.number} is probably wrong. Compare it, and type it again.`); break;
        case 'more-wrong': tell('✕ The checksum does not fit: two words or more are wrong, or in another order. Type all of them again; what differs from before is said.'); break;
        case 'cancelled':
          tell('Nothing was kept.');
          end();
          reject(new Refused(refuse('SHARE-TYPED', `${count} words`, 'the typing was ended', 'Nothing was kept. Start again when the sheet is at hand.')));
          return;
        case 'done': {
          tell(`✓ word ${number}: all ${count} are in, and the checksum fits`);
          const line = typing.line();
          end();
          resolve(line);
          return;
        }
      }
      stand();
    };
    const input = listen((key, chord) => press(chord ? 'Control' : key), () => press('Escape'));
    say(`\nType the ${count} words in their order. They are not shown. The first four letters of a word are enough.\n  Space or Enter: next word · Backspace: erase · Esc or Ctrl-C: end\n`);
    stand();
  });
}
