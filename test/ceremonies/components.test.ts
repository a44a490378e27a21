/** Keys of components: each rule broken once, what becomes of them when their process ends, and what the inventory and the minutes say. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { check, mayBeKept, type Kind, type State } from '../../ceremonies/ceremony.ts';
import { COMPONENT_BYTES, formedDeviations, METHOD_OF, totalOnForms, USES, type FormedUse } from '../../ceremonies/components.ts';
import { describe } from '../../ceremonies/describe.ts';
import { KeyAttributes } from '../../ceremonies/evidence.ts';
import { foldInventory } from '../../ceremonies/inventory.ts';
import { checkValue } from '../../ceremonies/keys/check-value.ts';
import { foldRecord, minutesHtml } from '../../ceremonies/minutes.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import { nativeHasher } from '../../electron/conductor/machine.ts';
import { at, eachRefused, inside, type Loose, type Place, type Row } from './places.ts';
import { fileOf, scriptedRecord, type ScriptedRecord } from './scripted.ts';

const entered = await scriptedRecord({ script: 'component-entry' });
const issued = await scriptedRecord({ script: 'component-issue' });

const withComponents = (place: Place, change: Partial<State['components']>): Place => ({ ...place, before: { ...place.before, components: { ...place.before.components, ...change } } });
/** The same step, as if its script had another value. */
const scriptedAs = (place: Place, change: Loose): Place => {
  const current = place.before.current ?? assert.fail('no step');
  return { ...place, before: { ...place.before, current: { ...current, step: { ...current.step, do: { ...current.step.do, ...change } } } } };
};

const typed = (seat: string) => at(entered, 'done', `component/${seat}`);
const form = at(entered, 'done', 'form');
const begun = at(entered, 'begun', 'form');
const value = ({ before }: Place, seat: string) => before.components.entered[seat]?.check.value ?? assert.fail(seat);
const zero = (evidence: Loose) => { (evidence['check'] as Loose)['value'] = checkValue('cmac', new Uint8Array(COMPONENT_BYTES['aes-256'])); };

const ROWS: readonly Row[] = [
  ['COMPONENT-SET', 'somebody else\'s number', inside(at(entered, 'begun', 'component/custodian-2'), (i) => { i['number'] = 1; })],
  ['COMPONENT-SET', 'another set than the first one\'s', inside(at(entered, 'begun', 'component/custodian-2'), (i) => { i['set'] = 'A'.repeat(22); })],
  ['COMPONENT-SET', 'a second one of one custodian', withComponents(at(entered, 'begun', 'component/custodian-2'), { entered: { 'custodian-2': { number: 2, check: { method: METHOD_OF.cmac, value: '000000' } } } })],
  ['COMPONENT-SET', 'another number than was begun', inside(typed('custodian-2'), (e) => { e['number'] = 3; })],
  ['TOKEN-BOUND', 'a component for another token', inside(at(entered, 'begun', 'component/custodian-2'), (i) => { i['token'] = 'TOKEN-other'; })],
  ['AS-SCRIPTED', 'a check value by another method', inside(typed('custodian-2'), (e) => { (e['check'] as Loose)['method'] = METHOD_OF['ecb-zero']; })],
  ['COMPONENT-ZERO', 'all zeros', inside(typed('custodian-2'), zero)],
  ['COMPONENT-TWICE', 'the component of another custodian', inside(typed('custodian-2'), (e) => { (e['check'] as Loose)['value'] = value(typed('custodian-2'), 'custodian-1'); })],
  ['TWO-SOURCES', 'a component drawn by the token alone', inside(at(issued, 'done', 'component/custodian-1'), (e) => { e['sources'] = ['token']; })],
  ['COMPONENTS-COMPLETE', 'a key without one of them', withComponents(begun, { entered: {} })],
  ['COMPONENT-SET', 'a key of components that are gone', withComponents(begun, { alive: false })],
  ['COMPONENT-SET', 'a key of other components', inside(begun, (i) => { i['set'] = 'A'.repeat(22); })],
  ['KEY-ONCE', 'a second key', withComponents(begun, { formed: { token: 'T', label: 'L', id: 'aa', kind: 'aes-128', check: { method: METHOD_OF.cmac, value: '000000' } } })],
  ['AS-SCRIPTED', 'another label', inside(begun, (i) => { i['label'] = 'Another'; })],
  ['AS-SCRIPTED', 'another kind of key', inside(begun, (i) => { i['kind'] = 'aes-128'; })],
  ['ID-FRESH', 'a CKA_ID of this record', { ...begun, before: { ...begun.before, ids: [...begun.before.ids, ((begun.entry.data as unknown as { intent: { id: string } }).intent).id] } }],
  ['TOKEN-BOUND', 'a key on another token', inside(form, (e) => { e['token'] = 'TOKEN-other'; })],
  ['COMPONENTS-COMPLETE', 'a key of two of them', inside(form, (e) => { e['components'] = 2; })],
  ['KEY-BOUND', 'a key under another id', inside(form, (e) => { (e['secret'] as Loose)['id'] = 'ab'.repeat(16); })],
  ['ATTRIBUTES-AS-SCRIPTED', 'a key that may leave', inside(form, (e) => { (e['secret'] as Loose)['extractable'] = true; })],
  ['ATTRIBUTES-AS-SCRIPTED', 'a key with two uses', inside(form, (e) => { (e['secret'] as Loose)['decrypt'] = true; })],
  ['ATTRIBUTES-AS-SCRIPTED', 'a key that claims to have been there always', inside(form, (e) => { (e['secret'] as Loose)['neverExtractable'] = true; })],
  ['KEY-CHECK-VALUE', 'another key than the components make', inside(form, (e) => { (e['total'] as Loose)['value'] = 'ffffff'; })],
  ['KEY-CHECK-VALUE', 'another key than the forms say', scriptedAs(form, { total: 'FFFF FF' })],
  ['KEY-CHECK-VALUE', 'a key that was compared with nothing', inside(form, (e) => { e['tried'] = []; })],
  ['COMPONENTS-WIPED', 'components that were left in their process', inside(form, (e) => { e['wiped'] = 'process-ended'; })],
];
eachRefused(ROWS, entered, issued);

test('every rule of components.ts has a row', () => {
  const source = readFileSync(join(import.meta.dirname, '../../ceremonies/components.ts'), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const rules = new Set([...source.matchAll(/'([A-Z]+(?:-[A-Z]+)+)'/g)].map(([, rule]) => rule));
  assert.deepEqual([...rules].filter((rule) => !ROWS.some(([row]) => row === rule)), []);
});

test('the check value on the forms is compared as far as the record has it, however it is written', () => {
  const { total } = (form.entry.data as unknown as { evidence: { total: { value: string } } }).evidence;
  for (const written of [total.value, total.value.toUpperCase(), `${total.value.slice(0, 4)} ${total.value.slice(4)}`, `${total.value}abcd`]) {
    const place = scriptedAs(form, { total: written });
    assert.equal(check(place.before, place.entry), null, written);
  }
  assert.deepEqual([totalOnForms({ total: 'none' }), totalOnForms({ total: undefined })], [null, null]);
});

test('one use and no other, for each of the three', () => {
  const none = Object.fromEntries(Object.keys(KeyAttributes.shape).map((name) => [name, false])) as unknown as KeyAttributes;
  const key = { ...none, class: 'secret-key', keyType: 'CKK_AES', token: true, private: true, sensitive: true } as const;
  for (const use of Object.keys(USES) as FormedUse[]) {
    const [does, undoes] = USES[use];
    assert.deepEqual(formedDeviations(use, { ...key, [does]: true, [undoes]: true }), []);
    assert.deepEqual(formedDeviations(use, { ...key, [does]: true, [undoes]: true, derive: null, local: null }), [], 'what a token does not answer');
    assert.deepEqual(formedDeviations(use, key), [`${does} is false, not true`, `${undoes} is false, not true`]);
  }
});

// --- when the process ends -------------------------------------------------------------------------------------------

const steps = ({ entries }: ScriptedRecord, kind: Kind) => entries.filter((entry) => entry.kind === kind && /^(component\/.*|form)$/.test(entry.step ?? '')).map(({ step }) => step);
const valid = async ({ lines }: ScriptedRecord) => (await verifyTranscript(fileOf(lines), { hasher: nativeHasher })).verdict.findings.map(({ rule }) => rule);
const ALL = ['component/custodian-1', 'component/custodian-2', 'component/custodian-3'];

test('a crash while the second is typed: all of them again, under a new set', async () => {
  const record = await scriptedRecord({ script: 'component-entry', happenings: { 'component/custodian-2': [{ kind: 'crash' }] } });
  assert.deepEqual(steps(record, 'done'), [ALL[0], ...ALL, 'form']);
  const sets = record.entries.filter(({ kind, step }) => kind === 'begun' && step?.startsWith('component/')).map(({ data }) => (data as unknown as { intent: { set: string } }).intent.set);
  assert.deepEqual([sets[0] === sets[1], sets[1] === sets[2], sets[2] === sets[3]], [true, false, true]);
  assert.deepEqual(await valid(record), []);
});

test('the device process alone is lost: the same', async () => {
  const record = await scriptedRecord({ script: 'component-issue', happenings: { 'component/custodian-3': [{ kind: 'lost' }] } });
  assert.deepEqual(steps(record, 'done'), [ALL[0], ALL[1], ...ALL, 'form']);
  assert.deepEqual(await valid(record), []);
});

for (const [found, decision, again] of [['absent', undefined, true], ['present', 'clear', true], ['half', 'clear', true]] as const) {
  test(`a crash while the key is formed, ${found}${decision ? `, ${decision}` : ''}: somebody looks first, then all are entered again`, async () => {
    const record = await scriptedRecord({ script: 'component-entry', happenings: { form: [{ kind: 'crash', found, ...decision && { decision } }] } });
    assert.deepEqual(steps(record, 'done'), [...ALL, ...again ? ALL : [], 'form']);
    assert.equal(record.state.phase, 'closed');
    assert.deepEqual(await valid(record), []);
  });
}

test('what is there can be kept where the token tells its check value, and nowhere else', async () => {
  const keep = await scriptedRecord({ script: 'component-entry', use: 'encrypt', happenings: { form: [{ kind: 'crash', found: 'present', decision: 'keep' }] } });
  assert.deepEqual(steps(keep, 'done'), [...ALL, 'form']);
  const { evidence } = at(keep, 'done', 'form').entry.data as unknown as { evidence: { wiped: string } };
  assert.equal(evidence.wiped, 'process-ended');
  assert.deepEqual(await valid(keep), []);
  for (const [use, method, may] of [['wrap', 'cmac', false], ['wrap', 'ecb-zero', true], ['mac', 'cmac', true], ['encrypt', 'cmac', true]] as const) {
    const place = scriptedAs(form, { use, check: method });
    const current = place.before.current ?? assert.fail('no step');
    const state = { ...place.before, current: { ...current, phase: 'found', observation: { state: 'present', objects: [], detail: '' } } } as State;
    assert.equal(mayBeKept(state), may, `${use} ${method}`);
  }
});

test('an attempt that may have written something has wiped the components: they are entered again', async () => {
  const clean = await scriptedRecord({ script: 'component-entry', happenings: { form: [{ kind: 'fail', nothingChanged: true }] } });
  assert.deepEqual(steps(clean, 'done'), [...ALL, 'form']);
  const written = await scriptedRecord({ script: 'component-entry', happenings: { form: [{ kind: 'fail', nothingChanged: false, found: 'present', decision: 'clear' }] } });
  assert.deepEqual(steps(written, 'done'), [...ALL, ...ALL, 'form']);
  assert.deepEqual(await valid(written), []);
});

// --- what is told ------------------------------------------------------------------------------------------------------

test('the inventory has the key, where it comes from, and that its forms are copies that nobody can know of', async () => {
  const { verdict } = await verifyTranscript(fileOf(entered.lines), { hasher: nativeHasher });
  const { keys, findings } = foldInventory([{ verdict, lines: entered.lines }], nativeHasher);
  const [key] = keys;
  assert.deepEqual([keys.length, findings, key?.label, key?.algorithm, key?.origin, key?.copies.length], [1, [], 'Key of components', 'AES-256', 'formed', 1]);
  assert.match(key?.unknown.join() ?? '', /the 3 forms of its components/);
  assert.match(key?.events.map(({ what }) => what).join() ?? '', /formed of 3 components on token TOKEN-hsm/);
});

test('the record says in words who gave what, and whose word the check value is', () => {
  const said = ({ before, entry }: Place) => JSON.stringify(describe(entry, before));
  assert.match(said(typed('custodian-1')), /typed component 1.*CMAC of zeros, 3 bytes \(ANSI X9\.24-1\)/);
  assert.match(said(at(issued, 'done', 'component/custodian-2')), /wrote component 2 down and typed it again.*what was typed from the form is what was shown/);
  assert.match(said(form), /formed of 3 components.*that the token has their key was tried by its use.*the components are overwritten/);
  const html = minutesHtml(foldRecord(entered.lines));
  assert.match(html, /formed of 3 components/);
});
