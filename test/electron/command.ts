/** For tests: `conclave` as people run it, in a process of its own. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';

export const CLI = join(import.meta.dirname, '../../electron/cli.ts');

export interface Ended<Code = number> { readonly code: Code; readonly out: string; readonly err: string }

/** To its end, with nothing else going on. `code` null: it was killed, or was not done within the `timeout` (milliseconds). */
export function conclave(args: readonly string[], { timeout = 60_000, env = {} }: { readonly timeout?: number; readonly env?: Readonly<Record<string, string>> } = {}): Ended<number | null> {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8', timeout, maxBuffer: 2 ** 26, env: { ...process.env, ...env } });
  return { code: status, out: stdout, err: stderr };
}

/** On one data folder, which may be made after this. */
export function conclaveIn(home: () => string) {
  const run = (...args: string[]) => new Promise<Ended>((resolve) => {
    execFile(process.execPath, [CLI, ...args, '--home', home()], { maxBuffer: 2 ** 26 }, (error, out, err) => { resolve({ code: error === null ? 0 : Number(error.code), out, err }); });
  });
  return {
    run,
    /** What it printed; it must succeed. */
    done: async (...args: string[]): Promise<string> => {
      const { code, out, err } = await run(...args);
      assert.equal(code, 0, `${args.join(' ')}\n${err}${out}`);
      return out;
    },
    /** What it said; it must refuse by this rule. */
    refused: async (rule: string, ...args: string[]): Promise<string> => {
      const { code, err } = await run(...args);
      assert.equal(code, 1, `${args.join(' ')}\n${err}`);
      assert.match(err, new RegExp(`^✕ ${rule}$`, 'm'));
      return err;
    },
  };
}
