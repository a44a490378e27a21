/**
 * The conductor's own program on a machine whose clock somebody moves: it goes forward by two hours once the file that
 * CONCLAVE_TEST_CLOCK names is there. The program knows nothing of it.
 */
import { existsSync } from 'node:fs';

const { CONCLAVE_TEST_CLOCK: moved = '' } = process.env;
const now = Date.now.bind(Date);
const Moved = class extends Date {
  constructor(...given: [] | [string | number | Date]) {
    if (given.length === 0) super(Moved.now());
    else super(given[0]);
  }
  static override now(): number {
    return now() + (existsSync(moved) ? 7_200_000 : 0);
  }
};
globalThis.Date = Moved as DateConstructor;

await import(process.env['CONCLAVE_TEST_CONDUCTOR'] ?? '');
