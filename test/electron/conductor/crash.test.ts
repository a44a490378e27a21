/**
 * kill -9 at every durable boundary of the root CA ceremony (crash.ts says what must hold afterwards). Every boundary is
 * visited on an image of the data folder taken at that moment (see mortal.ts); a sample of them is killed for real and carried
 * on to the end, on the software token and on SoftHSM.
 */
import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import { playRehearsal } from '../../../electron/rehearsal.ts';
import { CONDUCTOR, openHouse, remove, temporaryFolder, withSoftHsm } from '../house.ts';
import { allLines, each, entriesIn, goOn, killedFor, MORTAL, PARAMETERS } from './crash.ts';

test('every durable boundary, on an image of the moment: nothing is lost, the next step is carried out', async (t) => {
  const home = temporaryFolder('images-home');
  const images = temporaryFolder('images');
  try {
    const house = await openHouse(home, { conductor: MORTAL, env: { CONCLAVE_TEST_IMAGES: images, CONCLAVE_TEST_HOME: home, CONCLAVE_TEST_CONDUCTOR: CONDUCTOR } });
    const ceremony = await playRehearsal(house, { script: 'root-ca', parameters: PARAMETERS, module: 'software', hasher: nativeHasher });
    const lines = await allLines(house, ceremony);
    await house.stop();
    const moments = readdirSync(images);
    assert.ok(moments.length > lines.length, 'fewer images than entries');
    await each(t, moments, (moment) => moment, async (moment) => {
      const image = join(images, moment);
      await goOn(image, 'software', Number(moment.split(' with ')[1]), lines, { inside: true });
      rmSync(image, { recursive: true });
    });
  } finally {
    remove(home);
    remove(images);
  }
});

/** Around what changes tokens, and a spread over the rest. */
const SAMPLE = ['entry 1', 'entry 8', 'entry 47', 'outcome 7', 'outcome 13', 'outcome 22', 'entry 92', 'outcome 25', 'outcome 35', 'outcome 36', 'entry 121', 'outcome 38', 'outcome 44', 'entry 171', 'outcome 60', 'entry 213'];

for (const module of ['software', 'softhsm'] as const) {
  test(`${module}: killed for real, and carried on to the end`, async (t) => {
    await each(t, SAMPLE, (moment) => moment, async (moment) => {
      const home = temporaryFolder('crash');
      try {
        if (module === 'softhsm') withSoftHsm(home);
        const heard = await killedFor(home, module, moment);
        const durable = await entriesIn(home);
        assert.ok(durable === heard.length || durable === heard.length + 1, `${heard.length} entries shown, ${durable} durable`);
        await goOn(home, module, durable, heard);
      } finally {
        remove(home);
      }
    });
  });
}
