/**
 * The words of a sheet, typed at the controlling terminal and not shown there; booth/words.ts has the rules. What is typed must never
 * reach the screen, a string of more than one character, argv, the environment, a log or an error: words have places, and only those are said.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { refuse, Refused } from '../ceremonies/refusal.ts';
import { WordTyping } from './booth/words.ts';
import { listen, TERMINAL } from './terminal-booth.ts';

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
