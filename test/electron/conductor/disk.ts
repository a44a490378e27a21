/** Run on a small tmpfs by ledger.test.ts: appends until the disk refuses, then says what is there. */
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Refused } from '../../../ceremonies/refusal.ts';
import { openLedger } from '../../../electron/conductor/ledger.ts';

const [, , folder = '', what] = process.argv;
// Ballast: when it is removed there is room again.
const ballast = join(folder, 'ballast');
writeFileSync(ballast, new Uint8Array(100_000));
let ledger = await openLedger(folder);
let refusal = '';
let before = 0;
const line = (n: number) => `${n} ${'x'.repeat(2000)}`;
for (let n = 0; n < 1000 && refusal === ''; n += 1) {
  if (what === 'read-only' && n === 20) execFileSync('mount', ['-o', 'remount,ro', folder]);
  try {
    ledger.append('a', n, line(n));
    before = n + 1;
  } catch (error) {
    refusal = error instanceof Refused ? error.refusal.rule : String(error);
  }
}
if (what === 'read-only') execFileSync('mount', ['-o', 'remount,rw', folder]);
else rmSync(ballast);
try { ledger.close(); } catch { /* it may have closed itself */ }
ledger = await openLedger(folder);
const after = ledger.lines('a', 0).length;
let room = after;
if (what === 'full') {
  ledger.append('a', after, line(after));
  room = ledger.lines('a', 0).length;
}
ledger.close();
process.stdout.write(JSON.stringify({ refusal, before, after, room }));
