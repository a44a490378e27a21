/**
 * Secrets in memory: how PINs, shares, seeds and keys are held in this process, and how they are forgotten.
 *
 * Typed arrays of 64 bytes and less live on V8's moving heap, where the collector leaves copies that fill(0) does not
 * reach; an array over an explicit ArrayBuffer does not move. Hence `secretBytes`, the only constructor for secrets.
 * What this file cannot promise: copies that native code makes, and strings. Ending the process is the complete wipe.
 *
 * Never prints, stores or sends what it holds.
 */
import { inspect } from 'node:util';

/** `length` zero bytes in a buffer of their own. The caller wipes them. */
export function secretBytes(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length));
}

/** Moves `source` into a buffer of its own: copies, then overwrites `source`. */
export function takeBytes(source: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = secretBytes(source.length);
  bytes.set(source);
  source.fill(0);
  return bytes;
}

/** A secret that cannot be printed by accident. Its bytes are reached through `bytes` only, and are gone after `wipe`. */
export class Secret {
  #bytes: Uint8Array<ArrayBuffer> | null;

  /** Takes over `bytes` (overwriting what it was given). */
  constructor(bytes: Uint8Array) {
    this.#bytes = takeBytes(bytes);
  }

  /** The bytes themselves, not a copy. Throws after `wipe`. */
  get bytes(): Uint8Array<ArrayBuffer> {
    if (this.#bytes === null) throw new Error('a wiped secret was used');
    return this.#bytes;
  }

  /** Overwrites the bytes. Harmless when repeated. */
  wipe(): void {
    this.#bytes?.fill(0);
    this.#bytes = null;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}

/** Lends `bytes` to `work` and overwrites them afterwards, whatever happens. */
export async function lend<T>(bytes: Uint8Array, work: (bytes: Uint8Array) => T | Promise<T>): Promise<T> {
  try {
    return await work(bytes);
  } finally {
    bytes.fill(0);
  }
}

/**
 * The one place where a PIN becomes text, because pkcs11js' C_Login takes nothing else: call it in the argument list and
 * keep no reference. The string and two or three native copies stay in memory until the collector reuses their place.
 */
export function pinText(pin: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(pin);
}
