/** What the Tokens room refuses before a device process is asked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refused } from '../../../ceremonies/refusal.ts';
import { look, type LookingWorld } from '../../../electron/conductor/looking.ts';

test('a token is not compared with itself, and nothing is read for it', async () => {
  const untouched = new Proxy({}, { get: (_, name) => assert.fail(`${String(name)} was asked for`) }) as LookingWorld;
  const one = { module: 'hsm', token: '1' };
  await assert.rejects(look({ call: 'compare-tokens', one, other: { ...one } }, untouched), (error) => error instanceof Refused && error.refusal.rule === 'TWO-TOKENS');
});
