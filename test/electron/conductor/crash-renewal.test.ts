/**
 * kill -9 around the renewal of shares: begun, split and not written, in the middle of the new cards, proven and not written, erased and
 * not written. A new set that is not whole is void, and made again from the old shares; an old share is erased once, however often.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLine } from '../../../ceremonies/transcript.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import { allObjects } from '../devices/objects.ts';
import { remove, temporaryFolder, withSoftHsm } from '../house.ts';
import { each, entriesIn, goOn, killedFor } from './crash.ts';

/** What the device had done and nobody had written, by the number of that outcome. */
const WHERE = { 'outcome 36': 'renew', 'outcome 38': 'give-new/custodian-2', 'outcome 43': 'recovery', 'outcome 52': 'retire/custodian-1' } as const;
type Moment = keyof typeof WHERE;

for (const [module, sample] of [['software', ['outcome 36', 'outcome 38', 'outcome 43', 'outcome 52']], ['softhsm', ['outcome 52']]] as const satisfies readonly (readonly [string, readonly Moment[]])[]) {
  test(`a change of custodians on ${module}: killed for real, and carried on to the end`, async (t) => {
    await each<Moment>(t, sample, (moment) => moment, async (moment) => {
      const home = temporaryFolder('crash');
      try {
        if (module === 'softhsm') withSoftHsm(home);
        const heard = await killedFor(home, module, moment, 'custodian-change', {}, { algorithm: 'ecdsa-p256', place: 'token' });
        assert.deepEqual([parseLine(heard.at(-1) ?? '').kind, parseLine(heard.at(-1) ?? '').step], ['begun', WHERE[moment]], 'the boundaries have moved');
        await goOn(home, module, await entriesIn(home), heard);
        const shares = (await allObjects(module === 'software' ? 'software' : 'pkcs11', home, REHEARSAL_PIN)).filter(({ label }) => label.startsWith('conclave-share-'));
        assert.equal(shares.length, 4, 'three new shares, and the old one of whoever was not here');
      } finally {
        remove(home);
      }
    });
  });
}
