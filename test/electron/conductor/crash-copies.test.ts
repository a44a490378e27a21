/**
 * kill -9 around copies of shares: sealed and not opened yet, opened and not written, written on paper and not recorded; a share that is on
 * its new card and not recorded. What was sealed is still there to be opened; what may lie on a card counts no more, and is erased.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLine } from '../../../ceremonies/transcript.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import { allObjects } from '../devices/objects.ts';
import { remove, temporaryFolder } from '../house.ts';
import { each, entriesIn, goOn, killedFor } from './crash.ts';

/** What the device had done and nobody had written, by the script and the number of that outcome. */
const CASES = [
  ['share-envelope', { custodians: 2 }, 'outcome 26', 'open/custodian-1'],
  ['share-paper', { custodians: 2 }, 'outcome 22', 'write/custodian-1'],
  ['share-return', { share: 1 }, 'outcome 19', 'return'],
  ['share-return-paper', { share: 1 }, 'outcome 18', 'return'],
] as const;

test('copies of shares: killed for real, and carried on to the end', async (t) => {
  await each(t, CASES, ([script]) => script, async ([script, parameters, moment, step]) => {
    const home = temporaryFolder('crash');
    try {
      const heard = await killedFor(home, 'software', moment, script, parameters, { algorithm: 'ecdsa-p256', place: 'token' });
      assert.deepEqual([parseLine(heard.at(-1) ?? '').kind, parseLine(heard.at(-1) ?? '').step], ['begun', step], 'the boundaries have moved');
      await goOn(home, 'software', await entriesIn(home), heard);
      const shares = (await allObjects('software', home, REHEARSAL_PIN)).filter(({ label }) => label.startsWith('conclave-share-'));
      assert.equal(shares.length, script.startsWith('share-return') ? 1 : 2, 'one on each card, and none of the attempt');
    } finally {
      remove(home);
    }
  });
});
