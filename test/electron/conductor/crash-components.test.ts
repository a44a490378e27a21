/**
 * kill -9 around components and the key that is formed of them: a component is typed and not written; the key is on its token and not
 * written, written and not witnessed. Components are gone with their process and are entered again; a key is looked for first.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLine } from '../../../ceremonies/transcript.ts';
import { remove, temporaryFolder, withSoftHsm } from '../house.ts';
import { each, entriesIn, goOn, killedFor } from './crash.ts';

/** With two custodians: the second component is entries 70 to 72 (outcome 24), the key 74 to 78 (outcome 25). */
const MOMENTS = ['outcome 24', 'outcome 25', 'entry 75'];

for (const [module, use, moments] of [
  ['software', 'wrap', MOMENTS], // what is found cannot be compared, and is cleared
  ['softhsm', 'encrypt', ['outcome 25']], // and here it is kept
] as const) {
  test(`a key of components for ${use} on ${module}: killed for real, and carried on to the end`, async (t) => {
    await each(t, moments, (moment) => moment, async (moment) => {
      const home = temporaryFolder('crash');
      try {
        if (module === 'softhsm') withSoftHsm(home);
        const heard = await killedFor(home, module, moment, 'component-entry', { components: 2, use });
        const durable = await entriesIn(home);
        assert.ok(durable === heard.length || durable === heard.length + 1, `${heard.length} entries shown, ${durable} durable`);
        if (moment === 'outcome 25') assert.deepEqual([parseLine(heard.at(-1) ?? '').kind, parseLine(heard.at(-1) ?? '').step], ['begun', 'form'], 'the boundaries have moved');
        await goOn(home, module, durable, heard);
      } finally {
        remove(home);
      }
    });
  });
}
