/** Entries in plain words: each has some, none is empty, and a failure is never softened. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY } from '../../ceremonies/ceremony.ts';
import { describe, digestGroups, hexGroups, personName } from '../../ceremonies/describe.ts';
import { scriptedRecord } from './scripted.ts';

const eventful = await scriptedRecord({
  happenings: {
    'token-random': [{ kind: 'exception' }, { kind: 'break' }, { kind: 'note', text: 'The door was closed.' }],
    'make-root': [{ kind: 'crash', officer: 'another', found: 'half', decision: 'clear' }],
    certify: [{ kind: 'disagree', seat: 'witness' }, { kind: 'fail' }],
    'read-share/custodian-2': [{ kind: 'lost' }],
  },
});

test('every entry has words of its own, and nothing undefined in them', () => {
  const titles = new Set<string>();
  eventful.entries.forEach((entry, index) => {
    const { title, detail, mark } = describe(entry, eventful.before[index] ?? EMPTY);
    titles.add(`${entry.kind}: ${title}`);
    for (const text of [title, ...detail.map((item) => item.text)]) {
      assert.notEqual(text.trim(), '', entry.kind);
      assert.doesNotMatch(text, /undefined|\[object|NaN|null/, entry.kind);
    }
    assert.equal(mark !== null, detail.some((item) => item.mark !== null));
  });
  assert.ok(titles.size > 60);
});

test('the weakest mark is the entry\'s', () => {
  const at = (kind: string) => {
    const index = eventful.entries.findIndex((entry) => entry.kind === kind);
    return describe(eventful.entries[index]!, eventful.before[index]!).mark;
  };
  assert.deepEqual(['failed', 'lost', 'checkpoint', 'witnessed', 'noted'].map(at), ['refused', 'refused', 'verified', 'reported', null]);
});

test('names and digests as people read them', () => {
  assert.equal(hexGroups('0011223344'), '0011 2233 44');
  assert.equal(digestGroups(''), hexGroups('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'));
  assert.equal(personName(eventful.state, 'witness'), 'Wanda Zeuge (witness)');
  assert.equal(personName(eventful.state, undefined), 'nobody');
});
