/**
 * What a module was asked and what it answered: one line per PKCS#11 call, for whoever has to find out why a token refuses.
 *
 * A line has the call's name, the session or slot, the CKR_* and the time it took, and nothing else: no argument is ever
 * looked at but that number, so no PIN, no attribute and no data can get into it. Switched on by `trace` in modules.json.
 */
import { appendFileSync } from 'node:fs';
import cryptoki from './cryptoki.json' with { type: 'json' };

const NAMES = new Map<number, string>(Object.entries(cryptoki.CKR).map(([name, number]) => [number, name]));
/** Calls whose first argument is neither a session nor a slot. */
const ALONE: readonly string[] = ['C_Initialize', 'C_Finalize', 'C_GetInfo', 'C_GetSlotList', 'C_WaitForSlotEvent'];

export class Trace {
  readonly #path: string;

  /** `path`: a file that is added to. */
  constructor(path: string) {
    this.#path = path;
  }

  /** `at`: session or slot, where the call has one. */
  line(call: string, at: bigint | null, result: number, milliseconds: number): void {
    const code = NAMES.get(result) ?? `0x${result.toString(16)}`;
    appendFileSync(this.#path, `${new Date().toISOString()} ${call} ${at === null ? '-' : at} ${code} ${milliseconds.toFixed(1)} ms\n`, { mode: 0o600 });
  }

  /** The same module, each of its calls written down. `codeOf`: the CKR_* number of what a call threw. */
  over<T extends object>(native: T, codeOf: (thrown: unknown) => number): T {
    return new Proxy(native, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof name !== 'string' || !name.startsWith('C_') || typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          const call = name.replace(/Async$/, '');
          const [first] = args;
          const at = !ALONE.includes(call) && Buffer.isBuffer(first) && first.length === 8 ? first.readBigUInt64LE() : null;
          const begun = performance.now();
          const told = (code: number) => this.line(call, at, code, performance.now() - begun);
          try {
            const result: unknown = Reflect.apply(value, target, args);
            if (!(result instanceof Promise)) {
              told(0);
              return result;
            }
            return result.then((answer: unknown) => {
              told(0);
              return answer;
            }, (thrown: unknown) => {
              told(codeOf(thrown));
              throw thrown;
            });
          } catch (thrown) {
            told(codeOf(thrown));
            throw thrown;
          }
        };
      },
    });
  }
}
