/**
 * The booth's pipe, where there is no Electron port: frames of u32 BE ticket, u32 BE length, then that many bytes of PIN;
 * the length 0xffffffff stands for "cancelled" (wire.ts).
 *
 * Carries PINs and nothing else. Every chunk is overwritten once it has been read, every PIN goes to the listener in a
 * buffer of its own, which the listener wipes.
 */
import type { BoothMessage } from './protocol.ts';
import { secretBytes } from './secret.ts';

const HEAD = 8;
const CANCELLED = 0xffff_ffff;
/** PKCS#11 tokens take at most 255 bytes; anything longer is not a PIN. */
export const LONGEST_PIN = 255;

export class BoothFrames {
  readonly #listener: (message: BoothMessage) => void;
  readonly #head = secretBytes(HEAD);
  #headFilled = 0;
  #pin: Uint8Array<ArrayBuffer> | null = null;
  #pinFilled = 0;
  #broken = false;

  constructor(listener: (message: BoothMessage) => void) {
    this.#listener = listener;
  }

  /** Reads and overwrites a chunk. False once the stream is no stream of frames: nothing of it is to be trusted then. */
  push(chunk: Uint8Array): boolean {
    try {
      for (let at = 0; at < chunk.length && !this.#broken;) at += this.#take(chunk.subarray(at));
      return !this.#broken;
    } finally {
      chunk.fill(0);
    }
  }

  /** Takes what the current part of the current frame still needs; returns how much that was. */
  #take(bytes: Uint8Array): number {
    if (this.#pin === null) {
      const taken = bytes.subarray(0, HEAD - this.#headFilled);
      this.#head.set(taken, this.#headFilled);
      this.#headFilled += taken.length;
      if (this.#headFilled === HEAD) this.#begin();
      return taken.length;
    }
    const taken = bytes.subarray(0, this.#pin.length - this.#pinFilled);
    this.#pin.set(taken, this.#pinFilled);
    this.#pinFilled += taken.length;
    if (this.#pinFilled === this.#pin.length) this.#end(this.#pin);
    return taken.length;
  }

  #begin(): void {
    this.#headFilled = 0;
    const head = new DataView(this.#head.buffer);
    const length = head.getUint32(4);
    if (length === CANCELLED) {
      this.#listener({ ticket: head.getUint32(0), cancelled: true });
      return;
    }
    if (length > LONGEST_PIN) {
      this.#broken = true;
      return;
    }
    this.#pin = secretBytes(length);
    this.#pinFilled = 0;
    if (length === 0) this.#end(this.#pin);
  }

  #end(pin: Uint8Array): void {
    this.#pin = null;
    this.#listener({ ticket: new DataView(this.#head.buffer).getUint32(0), pin });
  }
}
