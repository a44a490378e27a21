/**
 * A component in the booth of its holder: what is known of it while it is shown, written down and typed, and in which words. Pure, so
 * that every rule of typing has its test.
 *
 * A component has a length that everybody knows, so each digit that is typed shows as a dot in its group; the digits themselves show while
 * the holder keeps a key down to compare, and while a drawn one is written down. No string ever holds more than one of them.
 */
import type { Notice } from '../devices/protocol.ts';
import { personFacts, type BoothFacts } from './asking.ts';
import type { Press } from './pin.ts';

type Wanted = Extract<Notice, { kind: 'component-wanted' }>;
/** What the booth's port carries for a component, beside what it carries for a PIN. */
export type { BoothAsks, BoothShown } from '../devices/protocol.ts';

/** Nothing secret. */
export interface ComponentFacts extends Pick<BoothFacts, 'ticket' | 'who' | 'seat' | 'purpose' | 'card'> {
  readonly component: Wanted['component'];
}

export function componentFacts(notice: Wanted): ComponentFacts {
  return { ...personFacts(notice), component: notice.component };
}

// --- typing ---------------------------------------------------------------------------------------------------------------

/** ANSI X9.24-1: up to five bytes of a CMAC; most forms have three. */
const CHECK = { least: 6, most: 10 } as const;

/** As in pin.ts: sixteen keys in a row under 30 ms are nobody's fingers. */
const MACHINE_KEYS = 16;
const MACHINE_GAP_MS = 30;

/** `alone`: before a drawn component is shown. `asked`: it is on its way. `shown`: it is written down. Then both are typed. */
export type Phase = 'alone' | 'asked' | 'shown' | 'component' | 'check' | 'over';

export type Heard =
  | 'nothing' | 'typed' | 'erased'
  /** Show it; it is written down: hide it; the component is whole: now its check value. */
  | 'show' | 'hide' | 'check'
  /** No digit of sixteen. */
  | 'no-digit'
  /** Enter before it is whole. */
  | 'short'
  /** Enter on the check value: hand() both over. */
  | 'done'
  /** Keys as fast as only a device types: all is forgotten. */
  | 'machine'
  | 'cancelled';

export class ComponentTyping {
  readonly length: number;
  /** Digits as ASCII: the component, then the check value. Over a buffer of its own. */
  readonly #digits: Uint8Array<ArrayBuffer>;
  #typed = 0;
  #checkTyped = 0;
  #phase: Phase;
  /** What is shown: bytes of the component, then of its check value. */
  #sheet: Uint8Array | null = null;
  #last = -Infinity;
  #fast = 0;

  constructor({ digits, shows }: { readonly digits: number; readonly shows: boolean }) {
    this.length = digits;
    this.#digits = new Uint8Array(new ArrayBuffer(digits + CHECK.most));
    this.#phase = shows ? 'alone' : 'component';
  }

  get phase(): Phase { return this.#phase; }
  get typed(): number { return this.#typed; }
  get checkTyped(): number { return this.#checkTyped; }
  /** Enter goes on. */
  get fits(): boolean {
    return this.#phase === 'check' ? this.#checkTyped >= CHECK.least : this.#phase === 'component' ? this.#typed === this.length : this.#phase !== 'asked';
  }

  /** What was asked for; taken over, and wiped when it is hidden. */
  show(sheet: Uint8Array): void {
    if (this.#phase !== 'asked') {
      sheet.fill(0);
      return;
    }
    this.#sheet = sheet;
    this.#phase = 'shown';
  }

  press({ key, time, repeat, chord }: Press): Heard {
    if (key === 'Escape') {
      this.wipe();
      return 'cancelled';
    }
    if (chord || repeat || this.#phase === 'over') return 'nothing';
    if (key === 'Enter') return this.#enter();
    if (this.#phase !== 'component' && this.#phase !== 'check') return 'nothing';
    if (key === 'Backspace') return this.#erase();
    if (!/^.$/su.test(key) || key === ' ' || key === '-') return 'nothing'; // named keys, and what people put between groups
    this.#fast = time - this.#last < MACHINE_GAP_MS ? this.#fast + 1 : 1;
    this.#last = time;
    if (this.#fast >= MACHINE_KEYS) {
      this.#forget();
      return 'machine';
    }
    if (!/^[0-9a-fA-F]$/.test(key)) return 'no-digit';
    if (this.#phase === 'component') {
      if (this.#typed === this.length) return 'nothing';
      this.#digits[this.#typed++] = key.toLowerCase().charCodeAt(0);
    } else {
      if (this.#checkTyped === CHECK.most) return 'nothing';
      this.#digits[this.length + this.#checkTyped++] = key.toLowerCase().charCodeAt(0);
    }
    return 'typed';
  }

  #enter(): Heard {
    switch (this.#phase) {
      case 'alone':
        this.#phase = 'asked';
        return 'show';
      case 'shown':
        this.#sheet?.fill(0);
        this.#sheet = null;
        this.#phase = 'component';
        return 'hide';
      case 'component':
        if (this.#typed < this.length) return 'short';
        this.#phase = 'check';
        return 'check';
      case 'check':
        return this.#checkTyped < CHECK.least ? 'short' : 'done';
      case 'asked': case 'over':
        return 'nothing';
    }
  }

  #erase(): Heard {
    if (this.#phase === 'check' && this.#checkTyped > 0) this.#digits[this.length + --this.#checkTyped] = 0;
    else if (this.#phase === 'check') this.#phase = 'component';
    else if (this.#typed > 0) this.#digits[--this.#typed] = 0;
    else return 'nothing';
    return 'erased';
  }

  /** Text came in by another way than single keys. */
  unusable(): Heard {
    this.#forget();
    return 'machine';
  }

  /** Back to the first digit; what is shown stays shown. */
  #forget(): void {
    this.#digits.fill(0);
    this.#typed = 0;
    this.#checkTyped = 0;
    this.#fast = 0;
    if (this.#phase === 'check') this.#phase = 'component';
  }

  /** The code of one digit: of what is shown, or of what was typed. Null where there is none. */
  digit(at: number): number | null {
    if (this.#sheet !== null) {
      const byte = this.#sheet[at >> 1];
      return byte === undefined ? null : '0123456789abcdef'.charCodeAt((at & 1) === 0 ? byte >> 4 : byte & 15);
    }
    const typed = at < this.length ? at < this.#typed : at - this.length < this.#checkTyped;
    return typed ? this.#digits[at] ?? null : null;
  }

  /** Lends the digits of component and check value to `give`, and wipes everything afterwards. */
  hand(give: (digits: Uint8Array) => void): void {
    const digits = new Uint8Array(new ArrayBuffer(this.length + this.#checkTyped));
    digits.set(this.#digits.subarray(0, digits.length));
    try {
      give(digits);
    } finally {
      digits.fill(0);
      this.wipe();
    }
  }

  wipe(): void {
    this.#forget();
    this.#sheet?.fill(0);
    this.#sheet = null;
    this.#phase = 'over';
  }
}

// --- in which words -----------------------------------------------------------------------------------------------------

const METHODS: Readonly<Record<Wanted['component']['method'], string>> = { cmac: 'CMAC, ANSI X9.24-1', 'ecb-zero': 'ECB of zeros' };

export interface ComponentWords {
  readonly room: string;
  readonly promise: string;
  readonly please: string;
  readonly purpose: string;
  readonly costs: string;
}

export function componentWords({ purpose, component: { number, of, shows } }: ComponentFacts): ComponentWords {
  return {
    room: 'Component booth',
    promise: 'This component goes to this one device and nowhere else. Only its holder may see it.',
    please: shows ? `Your component, number ${number} of ${of}:` : `Your component is number ${number} of ${of}:`,
    purpose,
    costs: 'A wrong digit costs nothing. Take your time.',
  };
}

/** What is to be done just now. */
export function componentName({ component: { digits, method } }: ComponentFacts, phase: Phase): string {
  switch (phase) {
    case 'alone': return 'Are you alone at the screen?';
    case 'asked': case 'shown': return 'Write this on your form, both lines';
    case 'component': return `Type your component from the form, ${digits} digits`;
    case 'check': case 'over': return `Type the check value on the form (${METHODS[method]})`;
  }
}

/** What Enter does just now. */
export function componentEnter(phase: Phase): string {
  switch (phase) {
    case 'alone': return 'I am alone: show it';
    case 'asked': case 'shown': return 'I have written it down: hide it';
    case 'component': return 'go on to the check value';
    case 'check': case 'over': return 'hand both over';
  }
}

/** What has just happened, or how it stands. */
export function componentSay(typing: Pick<ComponentTyping, 'phase' | 'typed' | 'length' | 'fits'>, heard: Heard | 'looking'): string {
  const { phase, typed, length, fits } = typing;
  switch (heard) {
    case 'looking': return 'Shown while you hold Tab. Look that nobody else sees it.';
    case 'no-digit': return '! Digits are 0 to 9 and A to F. That key was not taken.';
    case 'short': return phase === 'check' ? '! A check value has at least six digits.' : `! Not all digits are typed: ${typed} of ${length}.`;
    case 'machine': return '! A device typed that, not a person. What was typed is forgotten: start again with the first digit.';
    case 'cancelled': return 'Cancelled. Nothing is kept; only the cancelling is recorded.';
    case 'done': return 'Component and check value are being compared.';
    case 'nothing': case 'typed': case 'erased': case 'show': case 'hide': case 'check': break;
  }
  switch (phase) {
    case 'alone': return 'Nobody else may see what comes next, and no camera. Have an empty form and a pen at hand.';
    case 'asked': return 'One moment.';
    case 'shown': return 'Write every digit, then compare it group by group. It is not shown a second time.';
    case 'component': return fits ? '✓ All digits are typed. Hold Tab to compare them with the form, then press Enter.' : `Group ${Math.floor(typed / 4) + 1} of ${length / 4}. Hold Tab to see what you typed.`;
    case 'check': return fits ? 'Press Enter when the check value is complete.' : 'The check value is no secret: it shows as you type.';
    case 'over': return '';
  }
}
