/**
 * The booth of a terminal: where a device process of `conclave ...` wants a PIN, it is asked for on the controlling
 * terminal (/dev/tty, whatever stdin and stdout lead to), without echo, and goes as bytes down the pipe to that process.
 * The rules of typing and the words are the window's (booth/).
 *
 * It must never put what is typed, or how much of it, on the terminal, in a string of more than one character, in argv,
 * the environment, a log or an error.
 */
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { refuse, Refused } from '../ceremonies/refusal.ts';
import { boothFacts, boothQueue, enterOf, isNew, nameOf, say, visible, wordsOf, type BoothFacts, type Moment, type Outcome, type Wanted } from './booth/asking.ts';
import { PinTyping, type Heard } from './booth/pin.ts';
import { forbidCoreDumps, type BoothPort, type House } from './processes.ts';

export const TERMINAL = '/dev/tty';

/** Throws `Refused` BOOTH_MISSING where this process has no controlling terminal: for commands that will want a PIN. */
export function requireTerminal(): void {
  try {
    closeSync(openSync(TERMINAL, 'r+'));
  } catch {
    throw new Refused(refuse('BOOTH_MISSING', 'a terminal on which the PIN can be typed', 'none',
      'Run the command in a terminal, or type the PIN in the app. On a rehearsal token, --stand-in types the published PIN. Nothing was touched.'));
  }
}

/** Answers every wish for a PIN of this house on the terminal, one after the other. Where that is gone, by cancelling. */
export function attendOnTerminal(house: House<BoothPort>): void {
  house.onNotice(boothQueue((module, wanted) => {
    const port = house.booth(module);
    if (port === undefined) return () => undefined; // the device process has just ended, which settles the ticket
    try {
      // What a terminal shows, its scrollback keeps: people enter components, and the words of a share, at the window.
      if (wanted.kind !== 'component-wanted' && wanted.kind !== 'words-wanted') return askOnTerminal(wanted, port);
      port.postMessage({ ticket: wanted.ticket, cancelled: true });
      return () => undefined;
    } catch {
      port.postMessage({ ticket: wanted.ticket, cancelled: true });
      return () => undefined;
    }
  }));
}

const OUTCOMES: Readonly<Record<Outcome, string>> = {
  accepted: '✓ Accepted.', refused: '✕ Refused.', locked: '✕ Refused, and now locked.', cancelled: 'No PIN was given.',
};

/** Throws where the terminal cannot be opened. */
function askOnTerminal(wanted: Wanted, port: BoothPort): (outcome: Outcome) => void {
  const facts = boothFacts(wanted);
  const out = openSync(TERMINAL, 'w');
  const write = (text: string) => {
    try {
      writeSync(out, text);
    } catch {
      // Hung up: the reading side hears of it, and cancels.
    }
  };
  const line = (text: string) => write(`${visible(text)}\n`);
  const asking = facts.typed === null ? onPad(line, facts) : new Asking(write, facts, facts.typed, port);
  let input: { close: () => void };
  try {
    input = listen((key, chord) => asking.press(key, chord), () => asking.press('Escape', false));
  } catch (error) {
    closeSync(out);
    throw error;
  }
  forbidCoreDumps(process.pid);
  introduce(line, facts);
  asking.begin();
  return (outcome) => {
    asking.end();
    input.close();
    line(OUTCOMES[outcome]);
    closeSync(out);
  };
}

function introduce(line: (text: string) => void, facts: BoothFacts): void {
  const { room, promise, please, purpose, tries } = wordsOf(facts);
  const { who, seat, card } = facts;
  line('');
  line(`── ${room} ──  ${promise}`);
  line(`${who} (${seat}):`);
  line(please);
  line(`${purpose}.`);
  line(`  token   ${card.label === '' ? '(no label)' : card.label}${card.model === '' ? '' : ` (${card.model})`}`);
  line(`  serial  ${card.serial}`);
  line(`  ${tries}`);
}

interface Conversation {
  /** A key of the terminal. */
  press(key: string, chord: boolean): void;
  begin(): void;
  /** It is settled: nothing of it stays. */
  end(): void;
}

/** Ends this command as Ctrl-C does; the terminal takes its own mode back (libuv does that on SIGINT). */
const interrupt = () => process.kill(process.pid, 'SIGINT');

/** Keys are heard only so that nothing typed in error is seen. */
function onPad(line: (text: string) => void, facts: BoothFacts): Conversation {
  let insisted = false;
  return {
    press: (key) => {
      if (key === 'Interrupt') interrupt();
      if (!insisted) line(say(facts, false, 'pad-insisted'));
      insisted = true;
    },
    begin: () => {
      line(`${nameOf(facts, false)}.`);
      line(`${say(facts, false, 'pad')} Ctrl-C ends this command, but not what the token is waiting for.`);
    },
    end: () => undefined,
  };
}

/** Dots without count. */
const DOTS = '••••••••';

class Asking implements Conversation {
  readonly #write: (text: string) => void;
  readonly #facts: BoothFacts;
  readonly #port: BoothPort;
  readonly #typing: PinTyping;
  #over = false;
  /** What stands on the line that the cursor is in. */
  #standing = '';

  constructor(write: (text: string) => void, facts: BoothFacts, limits: NonNullable<BoothFacts['typed']>, port: BoothPort) {
    this.#write = write;
    this.#facts = facts;
    this.#port = port;
    this.#typing = new PinTyping({ ...limits, twice: isNew(facts) });
  }

  begin(): void {
    this.#round();
    this.#stand();
  }

  press(key: string, chord: boolean): void {
    if (this.#over) {
      if (key === 'Interrupt') interrupt(); // a token that hangs over the PIN must not hold the terminal
      return;
    }
    this.#answer(this.#typing.press({ key: key === 'Interrupt' ? 'Escape' : key, time: performance.now(), repeat: false, chord }));
  }

  end(): void {
    if (!this.#over) this.#clear();
    this.#over = true;
    this.#typing.wipe();
  }

  #answer(heard: Heard): void {
    const { ticket } = this.#facts;
    switch (heard) {
      case 'nothing':
        break;
      case 'typed':
      case 'erased':
        this.#stand();
        break;
      case 'again':
      case 'unequal':
        this.#tell(heard);
        this.#round();
        this.#stand();
        break;
      case 'too-short':
        if (!this.#typing.empty) this.#tell(heard);
        this.#stand();
        break;
      case 'too-long':
      case 'machine':
      case 'unusable':
        this.#tell(heard);
        break;
      case 'cancelled':
        this.#over = true;
        this.#typing.wipe();
        this.#port.postMessage({ ticket, cancelled: true });
        this.#tell('cancelled');
        break;
      case 'done':
        this.#over = true;
        this.#tell('given');
        this.#typing.hand((pin) => this.#port.postMessage({ ticket, pin }));
        break;
    }
  }

  /** What is to be typed now, and the keys. */
  #round(): void {
    const { again } = this.#typing;
    const count = isNew(this.#facts) ? `  (${again ? 2 : 1} of 2)` : '';
    this.#write(`\n${nameOf(this.#facts, again)}${count}\n  Enter: ${enterOf(this.#facts, again)} · Backspace: erase · Esc or Ctrl-C: cancel\n`);
  }

  /** How it stands, on the line of the cursor. */
  #stand(): void {
    const moment: Moment = this.#typing.empty ? 'empty' : this.#typing.fits ? 'fits' : 'typing';
    const text = `  ${moment === 'empty' ? '' : `${DOTS}  `}${say(this.#facts, this.#typing.again, moment)}`;
    if (text === this.#standing) return;
    this.#clear();
    this.#write(text);
    this.#standing = text;
  }

  /** Overwritten with spaces: even a terminal without escape sequences can do that. */
  #clear(): void {
    this.#write(`\r${' '.repeat(this.#standing.length)}\r`);
    this.#standing = '';
  }

  /** What has just happened, on a line of its own. */
  #tell(moment: Moment): void {
    this.#clear();
    this.#write(`  ${say(this.#facts, this.#typing.again, moment)}\n`);
  }
}

// --- keys -------------------------------------------------------------------------------------------------------------

const ESCAPE = 0x1b;
/** Ctrl-C; both that a Backspace key sends; Enter, as a terminal and as a pipe before it sends it. */
const NAMED: ReadonlyMap<number, string> = new Map([[0x03, 'Interrupt'], [0x08, 'Backspace'], [0x7f, 'Backspace'], [0x0d, 'Enter'], [0x0a, 'Enter']]);

/**
 * Keys out of a terminal's bytes, named as a KeyboardEvent names them ('Interrupt': Ctrl-C). Arrow and function keys (ECMA-48
 * section 5.4) and Alt with a character are no keys of a PIN; what is no UTF-8 is 'Unidentified'.
 */
export class TerminalKeys {
  readonly #listener: (key: string, chord: boolean) => void;
  /** The bytes of one character that has not come whole. */
  readonly #held = new Uint8Array(new ArrayBuffer(4));
  #holds = 0;

  constructor(listener: (key: string, chord: boolean) => void) {
    this.#listener = listener;
  }

  /** Reads and overwrites a chunk. */
  push(chunk: Uint8Array): void {
    try {
      for (let at = 0; at < chunk.length;) at += this.#take(chunk.subarray(at));
    } finally {
      chunk.fill(0);
    }
  }

  /** Takes one key, or one byte of it; returns how many bytes that were. */
  #take(bytes: Uint8Array): number {
    const [byte = 0] = bytes;
    const continues = (byte & 0xc0) === 0x80;
    if (this.#holds > 0 && !continues) {
      this.#character(); // cut off: this byte begins another key
      return 0;
    }
    if (byte === ESCAPE) return this.#escape(bytes);
    if (byte < 0x80) {
      this.#ascii(byte);
      return 1;
    }
    this.#held[this.#holds++] = byte;
    const [lead = 0] = this.#held;
    // RFC 3629 section 4; what begins no character is one by itself, and the decoder says that it is none.
    const whole = lead > 0xf4 || lead < 0xc2 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (this.#holds === whole) this.#character();
    return 1;
  }

  #character(): void {
    const bytes = this.#held.subarray(0, this.#holds);
    let key = 'Unidentified';
    try {
      key = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      // It stays unidentified.
    }
    bytes.fill(0);
    this.#holds = 0;
    this.#listener(key, false);
  }

  #ascii(byte: number): void {
    const named = NAMED.get(byte);
    if (named !== undefined) this.#listener(named, false);
    else if (byte < 0x20) this.#listener('Control', true);
    else this.#listener(String.fromCharCode(byte), false);
  }

  /** Alone it is the key; a terminal sends a sequence in one piece. */
  #escape(bytes: Uint8Array): number {
    const next = bytes[1];
    if (next === undefined || next === ESCAPE) {
      this.#listener('Escape', false);
      return 1;
    }
    if (next === 0x4f) return Math.min(3, bytes.length); // SS3 and one character
    if (next !== 0x5b) return 2;
    const final = bytes.findIndex((byte, at) => at > 1 && byte >= 0x40 && byte <= 0x7e); // CSI ... final byte
    return final === -1 ? bytes.length : final + 1;
  }
}

/** Hears keys on the terminal, unechoed, until it is closed; `gone` when the terminal hangs up. Throws where there is none. */
export function listen(key: (key: string, chord: boolean) => void, gone: () => void): { close: () => void } {
  const keys = new TerminalKeys(key);
  // The runtime reads into this one buffer, which every push overwrites: none of its own, and no pool's.
  const buffer = new Uint8Array(new ArrayBuffer(256));
  const waiting = openSync(TERMINAL, constants.O_RDONLY | constants.O_NONBLOCK);
  const input = new ReadStream(openSync(TERMINAL, 'r'), {
    onread: {
      buffer,
      callback: (length) => {
        keys.push(buffer.subarray(0, length));
        return true;
      },
    },
  });
  input.on('error', gone); // also where the echo cannot be switched off
  input.on('end', gone);
  input.setRawMode(true);
  discardTyped(waiting); // typed ahead, it was echoed, and was meant for something else
  input.resume();
  return {
    close: () => {
      input.off('end', gone);
      buffer.fill(0);
      discardTyped(waiting);
      closeSync(waiting);
      input.setRawMode(false);
      input.destroy();
    },
  };
}

/** Throws away what has been typed and not been read. `terminal`: open, and not blocking. */
function discardTyped(terminal: number): void {
  const scrap = new Uint8Array(new ArrayBuffer(256));
  try {
    while (readSync(terminal, scrap) > 0);
  } catch {
    // EAGAIN: nothing more
  } finally {
    scrap.fill(0);
  }
}
