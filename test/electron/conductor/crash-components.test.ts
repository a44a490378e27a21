/**
 * kill -9 around components and the key that is formed of them: a component is typed and not written; the key is on its token and not
 * written, written and not witnessed. Components are gone with their process and are entered again; a key is looked for first.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLine } from '../../../ceremonies/transcript.ts';
import { remove, temporaryFolder, withSoftHsm } from '../house.ts';
import { each, entriesIn, goOn, killedFor } from './crash.ts';

/** With two custodians: the second component is entries 70 to 72 (outcome 24), the key 74 to 78 (outcome 25); where the app draws the components, one step later. */
for (const [script, module, use, moments, forming] of [
  ['component-entry', 'software', 'wrap', ['outcome 24', 'outcome 25', 'entry 75'], 'outcome 25'], // what is found cannot be compared, and is cleared
  ['component-entry', 'softhsm', 'encrypt', ['outcome 25'], 'outcome 25'], // and here it is kept
  ['component-issue', 'software', 'mac', ['outcome 25', 'outcome 26'], 'outcome 26'], // other components are drawn
] as const) {
  test(`${script}: a key for ${use} on ${module}, killed for real, and carried on to the end`, async (t) => {
    await each(t, moments, (moment) => moment, async (moment) => {
      const home = temporaryFolder('crash');
      try {
        if (module === 'softhsm') withSoftHsm(home);
        const heard = await killedFor(home, module, moment, script, { components: 2, use });
        const durable = await entriesIn(home);
        assert.ok(durable === heard.length || durable === heard.length + 1, `${heard.length} entries shown, ${durable} durable`);
        if (moment === forming) assert.deepEqual([parseLine(heard.at(-1) ?? '').kind, parseLine(heard.at(-1) ?? '').step], ['begun', 'form'], 'the boundaries have moved');
        await goOn(home, module, durable, heard);
      } finally {
        remove(home);
      }
    });
  });
}
