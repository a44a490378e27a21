/**
 * kill -9 in the backup of a key that is there: wrapped and not written, in the middle of the cards, locked and not written. A split that
 * is not whole is void and its shares are erased by the next ones; a key that is locked already is locked once more, and shows the same.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLine } from '../../../ceremonies/transcript.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import { allObjects } from '../devices/objects.ts';
import { remove, temporaryFolder, withSoftHsm } from '../house.ts';
import { each, entriesIn, goOn, killedFor } from './crash.ts';

/** What the device had done and nobody had written, by the number of that outcome. */
const MOMENTS = [['software', 'outcome 31', 'wrap-key'], ['software', 'outcome 33', 'give-share/custodian-2'], ['softhsm', 'outcome 39', 'lock-key']] as const;

test('share-backup: killed for real, and carried on to the end', async (t) => {
  await each(t, MOMENTS, ([, moment]) => moment, async ([module, moment, step]) => {
    const home = temporaryFolder('crash');
    try {
      if (module === 'softhsm') withSoftHsm(home);
      const heard = await killedFor(home, module, moment, 'share-backup', {}, { algorithm: 'ecdsa-p256', place: 'token' });
      assert.deepEqual([parseLine(heard.at(-1) ?? '').kind, parseLine(heard.at(-1) ?? '').step], ['begun', step], 'the boundaries have moved');
      await goOn(home, module, await entriesIn(home), heard);
      const shares = (await allObjects(module === 'software' ? 'software' : 'pkcs11', home, REHEARSAL_PIN)).filter(({ label }) => label.startsWith('conclave-share-'));
      assert.equal(shares.length, 3, 'those of the set that is in force, and no void one');
    } finally {
      remove(home);
    }
  });
});
