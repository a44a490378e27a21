/** A token that types like a keyboard presses nothing; a person's key does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BurstGuard, QUIET_MS } from '../../renderer/keyboard.ts';

const verdicts = (...times: readonly number[]) => {
  const guard = new BurstGuard();
  return times.map((time) => guard.key(time));
};

test('one key in quiet is a candidate', () => assert.deepEqual(verdicts(1000), ['wait']));
test('keys a person presses one after the other are candidates each', () =>
  assert.deepEqual(verdicts(0, QUIET_MS, 2 * QUIET_MS), ['wait', 'wait', 'wait']));
test('two keys close together are no shortcut', () => assert.deepEqual(verdicts(0, QUIET_MS - 1), ['wait', 'ignore']));
test('a flood of 44 characters and Enter is a burst to its end', () => {
  const flood = verdicts(...Array.from({ length: 45 }, (_, index) => index * 8));
  assert.deepEqual(flood.slice(0, 3), ['wait', 'ignore', 'ignore']);
  assert.ok(flood.slice(3).every((verdict) => verdict === 'burst'));
});
test('after a flood and a pause a key counts again', () => {
  const guard = new BurstGuard();
  for (let i = 0; i < 45; i += 1) guard.key(i * 8);
  assert.equal(guard.key(45 * 8 + QUIET_MS), 'wait');
});
