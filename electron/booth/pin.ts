/**
 * What is known of a PIN (or a file's password) while a person types it, at the booth's window and at a terminal: pure, so
 * that every rule of typing has its test. A new PIN is typed twice, and exists only once both are equal.
 *
 * Bytes only. No string ever holds more than one character of it, nothing here says how long it is, and `wipe` leaves
 * nothing. What it cannot promise: copies inside the browser engine on the way from the keyboard (see SECURITY.md).
 */

/** One key press, as much of a KeyboardEvent as matters. */
export interface Press {
  readonly key: string;
  /** Milliseconds on any steady clock. */
  readonly time: number;
  /** The key is held down and repeats. */
  readonly repeat: boolean;
  /** Ctrl, Alt or Meta, where it does not make an AltGr character. */
  readonly chord: boolean;
}

export type Heard =
  /** Not a key that means anything here. */
  | 'nothing'
  | 'typed' | 'erased'
  /** Enter, and the length fits: hand() it over. */
  | 'done'
  /** Enter on the first of two: it is kept, and the same is to be typed once more. */
  | 'again'
  /** Enter on the second of two, which is not the first: both are forgotten, and the first is to be typed anew. */
  | 'unequal'
  /** Enter, but the PIN is too short: nothing happens. */
  | 'too-short'
  | 'cancelled'
  /** The next three: all of it is forgotten, and every key but Backspace and Esc counts for nothing until one of them comes. */
  | 'too-long'
  /** Keys as fast as only a device types. */
  | 'machine'
  /** Text that no single key makes (a dead key, an input method, another program): a PIN without it would be a wrong one. */
  | 'unusable';

/**
 * HID tokens and scanners type some 44 characters, 1 to 20 ms apart, and Enter, into whatever has the focus. The fastest
 * typists stay above 50 ms on average; sixteen keys in a row under 30 ms are nobody's fingers.
 */
const MACHINE_KEYS = 16;
const MACHINE_GAP_MS = 30;
const NO_SINGLE_KEY = new Set(['Dead', 'Compose', 'Process', 'Unidentified']);
/** Where a token gives no sensible limits. PKCS#11 PINs are UTF-8, lengths in bytes. */
const LONGEST = 255;

export class PinTyping {
  readonly #min: number;
  readonly #max: number;
  /** Over a buffer of its own: it does not move, so that overwriting it is enough. */
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;
  /** The first of two; null where one is enough. Length 0: it is still being typed. */
  readonly #first: Uint8Array<ArrayBuffer> | null;
  #firstLength = 0;
  #last = -Infinity;
  #fast = 0;
  #waitsForBackspace = false;
  readonly #encoder = new TextEncoder();

  constructor(limits: { readonly min: number; readonly max: number; readonly twice: boolean }) {
    this.#min = Math.max(1, limits.min);
    this.#max = limits.max >= this.#min && limits.max <= LONGEST ? limits.max : Math.max(LONGEST, this.#min);
    this.#bytes = new Uint8Array(new ArrayBuffer(this.#max));
    this.#first = limits.twice ? new Uint8Array(new ArrayBuffer(this.#max)) : null;
  }

  get empty(): boolean { return this.#length === 0; }
  get fits(): boolean { return this.#length >= this.#min; }
  /** The first of two is kept, and the second is being typed. */
  get again(): boolean { return this.#firstLength > 0; }

  press({ key, time, repeat, chord }: Press): Heard {
    if (key === 'Escape') {
      this.wipe();
      return 'cancelled';
    }
    if (chord) return 'nothing';
    if (key === 'Backspace') return this.#erase();
    if (this.#waitsForBackspace) return 'nothing';
    if (NO_SINGLE_KEY.has(key)) return this.unusable();
    if (repeat) return 'nothing';
    if (key === 'Enter') return this.#enter();
    if (!/^.$/su.test(key)) return 'nothing'; // named keys, 'Shift' and such

    this.#fast = time - this.#last < MACHINE_GAP_MS ? this.#fast + 1 : 1;
    this.#last = time;
    if (this.#fast >= MACHINE_KEYS) return this.#forget('machine');
    const room = this.#bytes.subarray(this.#length);
    const { read, written } = this.#encoder.encodeInto(key, room);
    if (read < key.length) return this.#forget('too-long');
    this.#length += written;
    return 'typed';
  }

  /** Text came in by another way than single keys. */
  unusable(): Heard {
    return this.#forget('unusable');
  }

  #enter(): Heard {
    if (!this.fits) return 'too-short';
    if (this.#first === null) return 'done';
    if (!this.again) {
      this.#first.set(this.#bytes);
      this.#firstLength = this.#length;
      this.#bytes.fill(0);
      this.#length = 0;
      return 'again';
    }
    if (this.#equalsFirst(this.#first)) return 'done';
    this.wipe();
    return 'unequal';
  }

  /** Every byte of both buffers is looked at, whatever they hold: how long it takes says nothing about where they differ. */
  #equalsFirst(first: Uint8Array): boolean {
    let difference = this.#length ^ this.#firstLength;
    for (let at = 0; at < this.#max; at += 1) difference |= (this.#bytes[at] ?? 0) ^ (first[at] ?? 0);
    return difference === 0;
  }

  #erase(): Heard {
    if (this.#waitsForBackspace) {
      this.#waitsForBackspace = false;
      return 'erased';
    }
    if (this.#length === 0) return 'nothing';
    // Back over the continuation bytes of one UTF-8 character (RFC 3629 section 3).
    do this.#length -= 1;
    while (this.#length > 0 && ((this.#bytes[this.#length] ?? 0) & 0xc0) === 0x80);
    this.#bytes.fill(0, this.#length);
    return 'erased';
  }

  #forget(why: 'machine' | 'too-long' | 'unusable'): Heard {
    this.wipe();
    this.#waitsForBackspace = true;
    return why;
  }

  /** Lends the PIN to `give` and wipes it afterwards. */
  hand(give: (pin: Uint8Array) => void): void {
    const pin = new Uint8Array(new ArrayBuffer(this.#length));
    pin.set(this.#bytes.subarray(0, this.#length));
    try {
      give(pin);
    } finally {
      pin.fill(0);
      this.wipe();
    }
  }

  wipe(): void {
    this.#bytes.fill(0);
    this.#length = 0;
    this.#first?.fill(0);
    this.#firstLength = 0;
    this.#fast = 0;
  }
}
