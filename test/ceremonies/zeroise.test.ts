/** Zeroising a token: what is found where the outcome was never written, what is said before it is gone, and what the inventory makes of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check, type Entry } from '../../ceremonies/ceremony.ts';
import type { ObjectFact, TokenFacts } from '../../ceremonies/evidence.ts';
import { describe } from '../../ceremonies/describe.ts';
import { foldInventory, knownObjects, type JudgedRecord } from '../../ceremonies/inventory.ts';
import { minutesHtml, foldRecord } from '../../ceremonies/minutes.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import { endsHere, labelAfter, observedZeroise, sameSerial } from '../../ceremonies/zeroise.ts';
import { nativeHasher } from '../../electron/conductor/machine.ts';
import { fileOf, scriptedRecord, type ScriptedRecord } from './scripted.ts';

const PIN = 'CKF_USER_PIN_INITIALIZED';
const facts = (...flags: string[]): TokenFacts => ({ serial: '0417', label: 'HSM', model: 'M', manufacturer: 'V', firmware: '1', hardware: '1', flags: ['CKF_TOKEN_INITIALIZED', ...flags] });
const object: ObjectFact = { class: 'public-key', id: '0a', label: 'Root CA', keyType: 'CKK_EC' };

test('what is found: still what it was, blank, neither, or nobody can tell', () => {
  const rows: readonly (readonly [string, seen: TokenFacts, listed: readonly ObjectFact[], now: TokenFacts, objects: readonly ObjectFact[], state: string, words: RegExp])[] = [
    ['nothing happened', facts(PIN), [object], facts(PIN), [object], 'absent', /still has its user PIN.*was not initialised/],
    ['nothing happened, and nothing is public', facts(PIN), [object], facts(PIN), [], 'absent', /was not initialised/],
    ['it is blank', facts(PIN), [object], facts(), [], 'present', /was initialised/],
    ['it was empty, and is blank', facts(PIN), [], facts(), [], 'present', /was initialised/],
    ['the PIN is gone, and an object is left', facts(PIN), [object], facts(), [object], 'absent', /no user PIN any more, and yet shows 1 objects.*not zeroised/],
    ['it never had a PIN, and its objects are gone', facts(), [object], facts(), [], 'present', /was initialised/],
    ['it never had a PIN, and still shows its objects', facts(), [object], facts(), [object], 'absent', /as before.*not zeroised/],
    ['it was blank before', facts(), [], facts(), [], 'absent', /nobody can tell/],
    ['it was not initialised before', { ...facts(), flags: [] }, [], facts(), [], 'present', /has no user PIN, and shows no object .*: it was initialised\.$/],
    ['it is not initialised now', facts(PIN), [object], { ...facts(), flags: [] }, [], 'absent', /It is not initialised/],
    ['it is blank, under another label', facts(PIN), [object], { ...facts(), label: 'OTHER' }, [], 'present', /it was initialised, under the label "OTHER" where "HSM" was asked for\.$/],
    ['another label, and nothing else happened', facts(PIN), [object], { ...facts(PIN), label: 'OTHER' }, [object], 'absent', /was not initialised/],
  ];
  for (const [what, seen, listed, now, objects, state, words] of rows) {
    const observation = observedZeroise({ seen, label: 'HSM' }, listed, { facts: now, objects });
    assert.equal(observation.state, state, what);
    assert.match(observation.detail, words, what);
  }
});

test('a serial number as a case prints it, and no other', () => {
  for (const [typed, same] of [['129f 2fcc', true], ['129F2FCC', true], ['129f2fc', false], ['', false], ['129f2fcc0', false], ['129f-2fcc', false]] as const) assert.equal(sameSerial(typed, '129f2fcc'), same, typed);
});

test('a label stays; one that was blank gets one', () => {
  assert.deepEqual([labelAfter({ label: 'HSM' }), labelAfter({ label: '' })], ['HSM', 'zeroised']);
});

async function judged({ lines }: Pick<ScriptedRecord, 'lines'>): Promise<JudgedRecord> {
  const { verdict } = await verifyTranscript(fileOf(lines), { hasher: nativeHasher });
  assert.deepEqual(verdict.findings.map(({ rule }) => rule), []);
  return { verdict, lines };
}

test('every object that the records know is named with its key, and what is left of that elsewhere', async () => {
  const root = await scriptedRecord();
  const inventory = foldInventory([await judged(root)], nativeHasher);
  const id = root.state.key?.parts[0]?.id ?? '';
  const on = { module: 'embedded', token: 'TOKEN-root-hsm' };
  const objects: ObjectFact[] = [{ class: 'private-key', id, label: 'Root CA', keyType: 'CKK_EC' }, { class: 'public-key', id, label: 'Root CA', keyType: 'CKK_EC' }, { ...object, id: 'ff', label: 'stranger' }];
  const known = knownObjects(inventory, on, objects);
  assert.deepEqual(known.map(({ object: { class: kind }, label, elsewhere }) => [kind, label, elsewhere]), [['private-key', 'Root CA', 1], ['public-key', 'Root CA', 1]]);
  assert.match(endsHere(known[0]!), /^private-key "Root CA" is a copy of the key "Root CA" \(SHA-256 .*\); it ends here, and 1 known copy is left elsewhere$/);
  assert.match(endsHere(known[1]!), /^public-key "Root CA" belongs to the key/);
  assert.match(endsHere({ ...known[0]!, elsewhere: 0 }), /no known copy is left$/);
  assert.deepEqual(knownObjects(inventory, { ...on, token: 'another' }, objects), []);
  const [identity] = knownObjects(inventory, { module: 'embedded', token: 'CARD-witness' }, [{ class: 'private-key', id: '00', label: 'conclave-identity', keyType: '' }]);
  assert.ok(identity === undefined || identity.key === null);
});

test('a whole record is valid, in words and on paper; after a crash somebody looks, and a blank token is taken as what it is', async () => {
  const rows = [
    {}, { zeroise: [{ kind: 'fail' as const, nothingChanged: true }] }, { zeroise: [{ kind: 'crash' as const, found: 'absent' as const }] },
    { zeroise: [{ kind: 'crash' as const, found: 'present' as const, decision: 'keep' as const }] }, { zeroise: [{ kind: 'fail' as const, nothingChanged: false, found: 'absent' as const }] },
  ];
  for (const happenings of rows) {
    const record = await scriptedRecord({ script: 'token-zeroise', happenings });
    const { verdict } = await judged(record);
    assert.equal(verdict.verdict, 'valid');
    const begun = record.entries.filter((entry) => entry.kind === 'begun' && entry.step === 'zeroise').length;
    const crashed = JSON.stringify(happenings).includes('crash');
    assert.equal(record.entries.some((entry) => entry.kind === 'found'), crashed || JSON.stringify(happenings).includes('absent'), 'looked for where the outcome was not known');
    assert.equal(begun, happenings.zeroise === undefined || JSON.stringify(happenings).includes('present') ? 1 : 2, 'never repeated by itself');
    assert.deepEqual(foldInventory([await judged(record)], nativeHasher).findings, []);
    const { title, detail } = record.entries.flatMap((entry, i) => (entry.kind === 'done' && entry.step === 'zeroise' ? [describe(entry, record.before[i]!)] : []))[0] ?? assert.fail();
    assert.match(`${title} ${detail.map(({ text }) => text).join(' ')}`, /zeroised the token.*without a user PIN, no object.*not proven by this/);
    assert.match(minutesHtml(foldRecord(record.lines)), /zeroised the token/);
  }
});

test('a list that was made without login says what it cannot show', async () => {
  const { entries, before } = await scriptedRecord({ script: 'token-zeroise' });
  const i = entries.findIndex((entry) => entry.kind === 'done' && entry.step === 'token-before');
  const words = (more: object) => {
    const entry = structuredClone(entries[i] ?? assert.fail()) as Entry<'done'>;
    Object.assign(entry.data.evidence, more);
    return check(before[i]!, entry)?.rule ?? describe(entry, before[i]!).detail.map(({ text }) => text).join('; ');
  };
  assert.match(words({ loggedIn: false }), /without login.*private objects could not be listed/);
  assert.doesNotMatch(words({}), /without login/);
  assert.equal(words({ loggedIn: true }), 'EVIDENCE-MATCHES-ACTION');
});

test('a label that is not the one that was asked for is refused, and taken as found where the officer keeps the token', async () => {
  for (const [kept, expected] of [[false, 'TOKEN-INITIALISED'], [true, undefined]] as const) {
    const { entries, before } = await scriptedRecord({ script: 'token-zeroise', ...kept && { happenings: { zeroise: [{ kind: 'crash', found: 'present', decision: 'keep' }] } } });
    const i = entries.findIndex((entry) => entry.kind === 'done' && entry.step === 'zeroise');
    const entry = structuredClone(entries[i] ?? assert.fail()) as Entry<'done'>;
    (entry.data.evidence as { after: { label: string } }).after.label = 'OTHER';
    assert.equal(check(before[i]!, entry)?.rule, expected);
  }
});

test('a serial number that the token drew anew is said, and one that stayed is not', async () => {
  const { entries, before } = await scriptedRecord({ script: 'token-zeroise' });
  const i = entries.findIndex((entry) => entry.kind === 'done' && entry.step === 'zeroise');
  const said = (serial: (was: string) => string) => {
    const entry = structuredClone(entries[i] ?? assert.fail()) as Entry<'done'>;
    const { after } = entry.data.evidence as { after: { serial: string } };
    after.serial = serial(after.serial);
    assert.equal(check(before[i]!, entry), null);
    return describe(entry, before[i]!).detail.map(({ text }) => text).join('; ');
  };
  assert.match(said(() => '0042'), /the serial number changed with the initialisation: TOKEN-hsm before, 0042 after/);
  assert.doesNotMatch(said((was) => was), /changed/);
});
