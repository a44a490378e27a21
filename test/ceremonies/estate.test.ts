/** A token's listing read in full, page after page. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { everyObject, type ObjectReading } from '../../ceremonies/estate.ts';
import type { ObjectFact } from '../../ceremonies/evidence.ts';

const reading = (object: ObjectFact) => ({ object }) as ObjectReading;

/** A token's listing with these kinds of objects, and what was asked of it. */
function listing(kinds: readonly ObjectFact['class'][]) {
  const objects = kinds.map((kind, i): ObjectFact => ({ class: kind, id: i.toString(16), label: `${i}`, keyType: '' }));
  const asked: number[] = [];
  return {
    asked,
    page: (offset: number, limit: number) => {
      asked.push(offset);
      return Promise.resolve({ total: objects.length, objects: objects.slice(offset, offset + limit), loggedIn: true });
    },
    object: ({ position, object }: { position: number; object: ObjectFact }) => {
      assert.equal(objects[position], object, 'an object is asked for at its own place');
      return Promise.resolve(reading(object));
    },
  };
}

test('every page is read, each object at its place in the whole listing, and what is unreadable is counted', async () => {
  const kinds = Array.from({ length: 1201 }, (_, i): ObjectFact['class'] => (i % 100 === 7 ? 'unreadable' : i % 100 === 8 ? 'data' : i % 2 === 0 ? 'private-key' : 'certificate'));
  const token = listing(kinds);
  const { readings, unreadable, loggedIn } = await everyObject(token);
  assert.deepEqual(token.asked, [0, 500, 1000]);
  assert.equal(unreadable, 12);
  assert.equal(readings.length, 1201 - 12 - 12);
  assert.equal(readings.at(-1)?.object.label, '1200');
  assert.equal(loggedIn, true);
  for (const [count, pages] of [[0, 1], [500, 1], [501, 2]] as const) {
    const one = listing(Array.from({ length: count }, () => 'public-key' as const));
    assert.equal((await everyObject(one)).readings.length, count);
    assert.equal(one.asked.length, pages);
  }
});
