/**
 * Everything that can go wrong at a token, in plain words: what happened, what to do, and whether anything was changed.
 *
 * The words stand in errors.json, one line per code: [what happened, what to do next, whether a call that returned this
 * code certainly did nothing]. PKCS#11 3.2 section 5.1 is the source of the last column: CKR_GENERAL_ERROR and its kin may
 * mean "half done". Nothing in here may carry a PIN, a share, a key, or the text of a foreign exception.
 */
import { Refused } from '../../ceremonies/refusal.ts';
import type { DeviceError } from './protocol.ts';
import texts from './errors.json' with { type: 'json' };
import cryptoki from './cryptoki.json' with { type: 'json' };

type Text = readonly [what: string, next: string, nothingDone: boolean];
const TEXTS = texts as unknown as Readonly<Record<string, Text>>;

export type FaultCode = Exclude<keyof typeof texts, `CKR_${string}`>;

/** Number -> CKR_* name; vendor numbers and numbers of later versions come out as CKR_VENDOR_DEFINED. */
const NAMES = new Map<number, string>(Object.entries(cryptoki.CKR).map(([name, number]) => [number, name]));

/** A call that a token answered with an error. Both twins throw this, and nothing else, for what a token says. */
export class TokenError extends Error {
  /** CKR_* */
  readonly code: string;
  /** The number, where the name does not tell it. */
  readonly number: number | null;
  /** What to do now, where more is known than the table says. */
  readonly hint: string | undefined;

  constructor(code: string | number, call: string, hint?: string) {
    const name = typeof code === 'string' ? code : (NAMES.get(code) ?? 'CKR_VENDOR_DEFINED');
    super(`${call}: ${name}`);
    this.name = 'TokenError';
    this.code = name;
    this.hint = hint;
    this.number = typeof code === 'number' && !NAMES.has(code) ? code : null;
  }
}

/** An error of this program's own around a token; `detail` is for people and holds no secret. */
export class Fault extends Error {
  readonly code: FaultCode;
  readonly detail: string;
  constructor(code: FaultCode, detail = '') {
    super(`${code}${detail === '' ? '' : `: ${detail}`}`);
    this.name = 'Fault';
    this.code = code;
    this.detail = detail;
  }
}

export function isTokenError(thrown: unknown, ...codes: readonly string[]): thrown is TokenError {
  return thrown instanceof TokenError && (codes.length === 0 || codes.includes(thrown.code));
}

/** How far an operation had come when it failed: no write begun, a first write under way, or something written. */
export type Progress = 'untouched' | 'writing' | 'written';

/** The operation under way: how far it has come, and how to end what this process computes for it by itself. */
export class Work {
  progress: Progress = 'untouched';
  #computing: AbortController | null = null;

  /** One call that changes what outlives the session. */
  async write<T>(call: () => Promise<T>): Promise<T> {
    if (this.progress === 'untouched') this.progress = 'writing';
    const result = await call();
    this.progress = 'written';
    return result;
  }

  /**
   * One call that computes in this process and touches no token. Once cancelled it ends with Fault WORK_CANCELLED, also where
   * the call itself came to its end all the same; what it gave is then handed to `discard`, for wiping.
   */
  async compute<T>(call: (signal: AbortSignal) => Promise<T>, discard: (result: T) => void = () => undefined): Promise<T> {
    const controller = new AbortController();
    this.#computing = controller;
    try {
      const result = await call(controller.signal);
      if (!controller.signal.aborted) return result;
      discard(result);
    } catch (thrown) {
      if (!controller.signal.aborted) throw thrown;
    } finally {
      this.#computing = null;
    }
    throw new Fault('WORK_CANCELLED');
  }

  /** Whether there was anything to cancel. */
  cancel(): boolean {
    this.#computing?.abort();
    return this.#computing !== null;
  }
}

/** After these the token itself is gone: no point in noting "cannot do this", the operation ends. */
const GONE = ['CKR_DEVICE_ERROR', 'CKR_DEVICE_REMOVED', 'CKR_TOKEN_NOT_PRESENT', 'CKR_SESSION_HANDLE_INVALID', 'CKR_SESSION_CLOSED'];

export function tokenIsGone(thrown: unknown): boolean {
  return isTokenError(thrown, ...GONE);
}

/** Tidying up after the outcome is known; a token that is gone needs no tidying. */
export async function quietly(work: Promise<unknown> | undefined): Promise<void> {
  try {
    await work;
  } catch (thrown) {
    if (!isTokenError(thrown) && !(thrown instanceof Refused)) throw thrown;
  }
}

/** Any thrown value -> the value that crosses the process boundary. */
export function deviceError(thrown: unknown, progress: Progress = 'untouched'): DeviceError {
  if (thrown instanceof Refused) {
    const { rule, expected, found, next } = thrown.refusal;
    // A refusal is our own check. Inside a write it comes before the token is called; what was written before it stays.
    return error(rule, `Expected ${expected}; found ${found}.`, next, progress !== 'written');
  }
  if (thrown instanceof TokenError) {
    const [what, next, nothingDone] = TEXTS[thrown.code] ?? TEXTS['CKR_VENDOR_DEFINED']!;
    const number = thrown.number === null ? '' : ` Its number is 0x${thrown.number.toString(16)}.`;
    return error(thrown.code, what + number, thrown.hint ?? next, progress === 'untouched' || (progress === 'writing' && nothingDone));
  }
  if (thrown instanceof Fault) {
    const [what, next, nothingDone] = TEXTS[thrown.code]!;
    const detail = thrown.detail === '' ? '' : ` ${thrown.detail}`;
    return error(thrown.code, what + detail, next, progress === 'untouched' || (progress === 'writing' && nothingDone));
  }
  const [what, next] = TEXTS['INTERNAL']!;
  // The kind of exception only: messages of foreign code may quote what they were given.
  const kind = thrown instanceof Error && /^[A-Za-z]{1,40}$/.test(thrown.name) ? ` (${thrown.name})` : '';
  return error('INTERNAL', what + kind, next, progress === 'untouched');
}

function error(code: string, message: string, hint: string, nothingChanged: boolean): DeviceError {
  return { code: clip(code, 64), message: clip(message, 500), hint: clip(hint, 500), nothingChanged };
}

function clip(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
