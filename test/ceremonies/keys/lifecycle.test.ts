/** The states of SP 800-57 Part 1 section 7: every pair of them, and no way that the section does not have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEY_STATES, transition, TRANSITIONS, type KeyState } from '../../../ceremonies/keys/lifecycle.ts';

/** Sections 7.1 to 7.6, written down a second time: a row per state, a column per state in the order of KEY_STATES. */
const ALLOWED: readonly (readonly [from: KeyState | null, row: string])[] = [
  [null, '+-----'],
  ['pre-activation', '-+--++'],
  ['active', '--++++'],
  ['suspended', '-+-+++'],
  ['deactivated', '----++'],
  ['compromised', '-----+'],
  ['destroyed', '------'],
];

test('every pair of states: a named rule, or STATE-TRANSITION', () => {
  for (const [from, row] of ALLOWED) {
    for (const [i, to] of KEY_STATES.entries()) {
      const answer = transition(from, to);
      const what = `${from ?? 'none'} to ${to}`;
      assert.equal(answer.rule === 'STATE-TRANSITION', row[i] === '-', what);
      if (row[i] === '+') assert.deepEqual(answer, TRANSITIONS.find((one) => one.from === from && one.to === to), what);
    }
  }
  assert.equal(new Set(TRANSITIONS.map(({ rule }) => rule)).size, TRANSITIONS.length, 'a name for each');
});

test('a refusal names what would have been allowed', () => {
  assert.match(JSON.stringify(transition('compromised', 'active')), /"expected":"destroyed after compromised/);
  assert.match(JSON.stringify(transition('destroyed', 'active')), /"expected":"no state after destroyed"/);
});
