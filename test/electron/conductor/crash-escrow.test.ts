/**
 * kill -9 in a release from escrow: after the last approval, and when the key is on its token and nobody has written so. What was approved
 * stays approved, and the key is kept, because it is found whole; clearing and beginning anew is as in crash-recovery.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLine } from '../../../ceremonies/transcript.ts';
import { remove, temporaryFolder } from '../house.ts';
import { each, entriesIn, goOn, killedFor } from './crash.ts';

/** The last approval is entry 88 of them; the release is begun with entry 137, and its outcome is the 46th. */
const MOMENTS = [['entry 88', 'approve/custodian-3'], ['outcome 46', 'release']] as const;

test('escrow-release: killed for real, and carried on to the end', async (t) => {
  await each(t, MOMENTS, ([moment]) => moment, async ([moment, step]) => {
    const home = temporaryFolder('crash');
    try {
      const heard = await killedFor(home, 'software', moment, 'escrow-release', {}, { algorithm: 'ecdsa-p256', place: 'token' });
      const durable = await entriesIn(home);
      assert.ok(durable === heard.length || durable === heard.length + 1, `${heard.length} entries shown, ${durable} durable`);
      assert.deepEqual([parseLine(heard.at(-1) ?? '').kind, parseLine(heard.at(-1) ?? '').step], ['begun', step], 'the boundaries have moved');
      await goOn(home, 'software', durable, heard);
    } finally {
      remove(home);
    }
  });
});
