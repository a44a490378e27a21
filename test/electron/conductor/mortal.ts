/**
 * The conductor's own program, made mortal. The patch sits on better-sqlite3's statement, so the program knows nothing.
 *
 *   CONCLAVE_TEST_KILL="entry 17"      SIGKILL to itself after its 17th durable commit
 *   CONCLAVE_TEST_KILL="outcome 5"     SIGKILL before it commits its 5th outcome: the device has done its part
 *   CONCLAVE_TEST_IMAGES=DIR           at each of those moments a copy of the data folder: what such a kill would leave,
 *                                      because nothing else writes while the conductor stands still
 */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';

const { CONCLAVE_TEST_KILL: kill = '', CONCLAVE_TEST_IMAGES: images = '', CONCLAVE_TEST_HOME: home = '' } = process.env;
const probe = new Database(':memory:');
const Statement = Object.getPrototypeOf(probe.prepare('SELECT 1')) as { run: (...values: unknown[]) => unknown };
probe.close();
const { run } = Statement;
let commits = 0;
let outcomes = 0;

function moment(name: string): void {
  if (kill === name) process.kill(process.pid, 'SIGKILL');
  if (images !== '') cpSync(home, join(images, `${name} with ${commits}`), { recursive: true });
}

Statement.run = function mortal(this: { source?: string }, ...values: unknown[]) {
  if (this.source?.startsWith('INSERT INTO entry') !== true) return run.apply(this, values);
  if (/"kind":"(done|failed|found|cleared)"/.test(String(values[2]))) {
    outcomes += 1;
    moment(`outcome ${outcomes}`);
  }
  const result = run.apply(this, values);
  commits += 1;
  moment(`entry ${commits}`);
  return result;
};

await import(process.env['CONCLAVE_TEST_CONDUCTOR'] ?? '');
