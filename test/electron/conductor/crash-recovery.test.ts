/**
 * kill -9 around the restoring of a key: begun, done at the token and not written, written, witnessed. A key that is all on its token
 * is kept when it is found whole; one with a wrapped half is cleared and restored again, because that half was in no entry.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLine } from '../../../ceremonies/transcript.ts';
import { remove, temporaryFolder, withSoftHsm } from '../house.ts';
import { each, entriesIn, goOn, killedFor } from './crash.ts';

/** Around the reading of shares, the restoring (entries 110 to 114, outcome 38), and the proof after it. */
const SPLIT = ['outcome 28', 'entry 110', 'outcome 38', 'entry 111', 'entry 113', 'outcome 39'];
const WHOLE = ['entry 110', 'outcome 38', 'entry 111'];

for (const [what, module, ca, sample] of [
  ['a split composite', 'softhsm', { algorithm: 'MLDSA65-ECDSA-P256-SHA512', place: 'split' }, SPLIT],
  ['a key of one part', 'softhsm', { algorithm: 'ecdsa-p256', place: 'token' }, WHOLE],
  ['a key of one part', 'software', { algorithm: 'ecdsa-p256', place: 'token' }, WHOLE],
] as const) {
  test(`recovery of ${what} on ${module}: killed for real, and carried on to the end`, async (t) => {
    await each(t, sample, (moment) => moment, async (moment) => {
      const home = temporaryFolder('crash');
      try {
        if (module === 'softhsm') withSoftHsm(home);
        const heard = await killedFor(home, module, moment, 'recovery', {}, ca);
        const durable = await entriesIn(home);
        assert.ok(durable === heard.length || durable === heard.length + 1, `${heard.length} entries shown, ${durable} durable`);
        if (moment === 'outcome 38') assert.deepEqual([parseLine(heard.at(-1) ?? '').kind, parseLine(heard.at(-1) ?? '').step], ['begun', 'restore'], 'the boundaries have moved');
        await goOn(home, module, durable, heard);
      } finally {
        remove(home);
      }
    });
  });
}
