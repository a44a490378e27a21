/** kill -9 around the making of a composite key, and around what an existing key signs: killed for real, carried on to the end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { remove, temporaryFolder, withSoftHsm } from '../house.ts';
import { each, entriesIn, goOn, killedFor } from './crash.ts';

/** Around the making of both halves, their proof, certificate, backup and recovery. */
const COMPOSITE = ['entry 47', 'outcome 22', 'entry 54', 'outcome 23', 'outcome 25', 'outcome 36', 'outcome 44'];
/** Around the opening of the CA's key and what it signs. */
const EXISTING = ['entry 18', 'outcome 9', 'outcome 11', 'outcome 15', 'outcome 16'];

for (const [script, sample] of [['composite-ca', COMPOSITE], ['intermediate', EXISTING], ['crl', EXISTING]] as const) {
  test(`${script}: killed for real on SoftHSM, and carried on to the end`, async (t) => {
    await each(t, sample, (moment) => moment, async (moment) => {
      const home = temporaryFolder('crash');
      try {
        withSoftHsm(home);
        const heard = await killedFor(home, 'softhsm', moment, script, {});
        const durable = await entriesIn(home);
        assert.ok(durable === heard.length || durable === heard.length + 1, `${heard.length} entries shown, ${durable} durable`);
        await goOn(home, 'softhsm', durable, heard);
      } finally {
        remove(home);
      }
    });
  });
}
