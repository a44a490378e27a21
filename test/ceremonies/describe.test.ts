/** Entries in plain words: each has some, none is empty, and a failure is never softened. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, type Entry } from '../../ceremonies/ceremony.ts';
import { describe, digestGroups, hexGroups, personName } from '../../ceremonies/describe.ts';
import { scriptedRecord, type ScriptedRecord } from './scripted.ts';

const eventful = await scriptedRecord({
  happenings: {
    'token-random': [{ kind: 'exception' }, { kind: 'break' }, { kind: 'note', text: 'The door was closed.' }],
    'make-root': [{ kind: 'crash', officer: 'another', found: 'half', decision: 'clear' }],
    certify: [{ kind: 'disagree', seat: 'witness' }, { kind: 'fail' }],
    'read-share/custodian-2': [{ kind: 'lost' }],
  },
});
/** Keys of two parts in each of their places, and keys that were there before. */
const others = await Promise.all([
  ...(['token', 'split', 'wrapped'] as const).map((place) => scriptedRecord({ script: 'composite-ca', place })),
  ...['pq-root', 'intermediate', 'cross-sign', 'crl'].map((script) => scriptedRecord({ script })),
]);
const [onToken, split, wrapped, , , , crl] = others as [ScriptedRecord, ScriptedRecord, ScriptedRecord, ScriptedRecord, ScriptedRecord, ScriptedRecord, ScriptedRecord];

/** What is said of the outcome of a step. */
function told(record: ScriptedRecord, step: string, change: (evidence: Record<string, unknown>) => void = () => undefined) {
  const index = record.entries.findIndex((entry) => entry.kind === 'done' && entry.step === step);
  const entry = structuredClone(record.entries[index]) as Entry<'done'>;
  change(entry.data.evidence);
  return describe(entry, record.before[index] ?? EMPTY);
}

test('every entry has words of its own, and nothing undefined in them', () => {
  const titles = new Set<string>();
  for (const record of [eventful, ...others]) record.entries.forEach((entry, index) => {
    const { title, detail, mark } = describe(entry, record.before[index] ?? EMPTY);
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

test('where each half of a composite lives, and what it is worth that it does', () => {
  const halves = (record: ScriptedRecord) => told(record, 'make-root').detail.filter(({ text }) => /^(?:ML-DSA|classical) half: (?!private)/.test(text)).map(({ text, mark }) => [text.replace(/ (?:CKA_ID|bytes SHA-256) [0-9a-f ]+$/, ''), mark]);
  const [pqThere, classicalThere] = [['ML-DSA half: ml-dsa-65 by CKM_ML_DSA_KEY_PAIR_GEN on the token,', 'reported'], ['classical half: ecdsa-p256 by CKM_EC_KEY_PAIR_GEN on the token,', 'reported']];
  const wrappedHalf = (name: string) => [`${name} made in the device process (noble), wrapped under the token's AES-256 key; wrapped`, 'verified'];
  assert.deepEqual(halves(onToken), [pqThere, classicalThere]);
  assert.deepEqual(halves(split), [wrappedHalf('ML-DSA half: ml-dsa-65'), classicalThere]);
  assert.deepEqual(halves(wrapped), [wrappedHalf('ML-DSA half: ml-dsa-65'), wrappedHalf('classical half: ecdsa-p256')]);
  for (const record of [onToken, split, wrapped]) assert.ok(told(record, 'make-root').detail.some(({ text }) => text.includes('under the draft lamps-composite-sigs-19')));
});

test('what a token does not answer is called unanswered, and a lock that only this program keeps is never called verified', () => {
  const silent = told(split, 'make-root', (evidence) => { ((evidence['parts'] as Record<string, Record<string, unknown>>[])[1]!['private'])!['local'] = null; });
  assert.ok(silent.detail.some(({ text, mark }) => text.includes('LOCAL unanswered') && mark === 'reported'));
  assert.ok(told(split, 'lock-root').detail.some(({ text, mark }) => text === 'the token refused to wrap it' && mark === 'verified'));
  const open = told(split, 'lock-root', (evidence) => { evidence['enforced'] = false; });
  assert.deepEqual(open.detail.at(-1), { text: 'the token would still wrap it: only this program refuses', mark: 'reported' });
  assert.equal(open.mark, 'reported');
});

test('files, and the CRL that was signed, as people read them aloud', () => {
  const opened = describe(crl.entries[0]!, EMPTY);
  assert.deepEqual(opened.detail.filter(({ text }) => text.includes('the file')).map(({ text, mark }) => [text.replace(/ [0-9a-f ]{79}$/, ''), mark]), [
    ['ca: the file ca.key, SHA-256', 'reported'], ['revocations: the file revocations.revocations, SHA-256', 'reported'],
  ]);
  assert.match(told(crl, 'compare-list').detail[0]?.text ?? '', /^SHA-256 [0-9a-f ]{79}, read aloud$/);
  assert.equal(told(crl, 'sign-list').title, 'Ada Ofterdingen (officer) had CRL number 1 signed');
  assert.equal(told(crl, 'open-ca').title, 'Ada Ofterdingen (officer) found the key again and had it prove itself');
});

test('names and digests as people read them', () => {
  assert.equal(hexGroups('0011223344'), '0011 2233 44');
  assert.equal(digestGroups(''), hexGroups('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'));
  assert.equal(personName(eventful.state, 'witness'), 'Wanda Zeuge (witness)');
  assert.equal(personName(eventful.state, undefined), 'nobody');
});
