/** Reading scripts: what is shipped is sound, what is wrong is named with its line, and no file can make the reader throw or hang. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { CA_ALGORITHMS } from '../../ceremonies/keys/algorithms.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { planOf, readScript, scriptHash, scriptJsonSchema, scriptWords, seatsOf, type Script } from '../../ceremonies/script.ts';
import { SEED } from './keys/seed.ts';
import { MINI_SCRIPT } from './scripted.ts';

const scripts = join(import.meta.dirname, '../../ceremonies/scripts');
const shipped = (name: string) => readFileSync(join(scripts, `${name}.yaml`), 'utf8');
const ROOT_CA = shipped('root-ca');

function sound(text: string): Script {
  const { script, faults } = readScript(text);
  assert.deepEqual(faults, []);
  return script ?? assert.fail('no script');
}

/** Replaces one place of a shipped script; a place that is not there exactly once is a mistake in the test. */
function changed(from: string, to: string, name = 'root-ca'): string {
  const text = shipped(name);
  assert.equal(text.split(from).length, 2, `"${from}" once`);
  return text.replace(from, to);
}

function lineOf(text: string, part: string): number {
  return text.slice(0, text.indexOf(part)).split('\n').length;
}

test('the shipped scripts have no faults', () => {
  const script = sound(ROOT_CA);
  assert.equal(script.name, 'root-ca');
  assert.equal(script.hash, scriptHash(ROOT_CA));
  assert.deepEqual(script.words, scriptWords(ROOT_CA));
  assert.equal(script.words.length, 12);
  assert.equal(sound(MINI_SCRIPT).name, 'mini');
  for (const file of readdirSync(scripts)) assert.equal(`${sound(readFileSync(join(scripts, file), 'utf8')).name}.yaml`, file);
});

test('the scripts together offer every algorithm that a CA key may have', () => {
  const offered = new Set(readdirSync(scripts).flatMap((file) => {
    const spec = sound(readFileSync(join(scripts, file), 'utf8')).parameters['algorithm'];
    return spec && 'one-of' in spec ? spec['one-of'] : [];
  }));
  assert.deepEqual([...offered].sort(), [...CA_ALGORITHMS].sort());
});

test('files, placements and values for signing come through into the plan', () => {
  const plan = (name: string, values: Record<string, string | number> = {}) => planOf(sound(shipped(name)), { ...sound(shipped(name)).defaults, ...values });
  const step = (name: string, id: string, values?: Record<string, string | number>) => plan(name, values).steps.find((one) => one.id === id)?.do;
  assert.deepEqual(plan('crl').inputs, {
    ca: { ask: 'The record of the CA\'s key (key.json of the bundle in which it was made)', kind: 'key' },
    revocations: { ask: 'The list of revoked certificates (CSV: serial number, time, reason)', kind: 'revocations' },
    previous: { ask: 'The CRL before this one, where there is one', kind: 'crl', optional: true },
  });
  assert.deepEqual(plan('root-ca').inputs, {});
  assert.deepEqual(step('crl', 'sign-list', { days: 30 }), { action: 'sign-crl', key: 'ca', revocations: 'revocations', previous: 'previous', days: 30 });
  assert.deepEqual(step('intermediate', 'certify', { 'path-length': 0 }), { action: 'issue-certificate', key: 'ca', for: 'request', years: 10, 'path-length': 0 });
  assert.deepEqual(step('cross-sign', 'open-ca'), { action: 'open-key', on: 'ca-hsm', key: 'ca', from: 'ca' });
  assert.deepEqual(step('share-backup', 'find-key'), { action: 'open-key', on: 'key-hsm', key: 'key', from: 'key' });
  for (const place of ['token', 'split', 'wrapped']) assert.equal((step('composite-ca', 'make-root', { place }) as { place?: string }).place, place);
  assert.ok(!('place' in (step('root-ca', 'make-root') ?? {})), 'a script that does not ask has no placement');
});

test('a plan lays every step out: one per seat where it says so, seals at the end of every act', () => {
  const plan = planOf(sound(ROOT_CA), sound(ROOT_CA).defaults);
  assert.deepEqual(plan.seats.map((seat) => seat.id), ['officer', 'custodian-1', 'custodian-2', 'custodian-3', 'witness', 'auditor']);
  assert.deepEqual(plan.set, { shares: 3, threshold: 2 });
  const ids = plan.steps.map((step) => step.id);
  assert.equal(new Set(ids).size, ids.length);
  assert.deepEqual(ids.slice(0, 2), ['read-hash/officer', 'read-hash/custodian-1']);
  assert.deepEqual(ids.filter((id) => id.startsWith('give-share')), ['give-share/custodian-1', 'give-share/custodian-2', 'give-share/custodian-3']);
  assert.equal(ids.filter((id) => id.startsWith('seal-')).length, 6 * plan.seats.length);
  for (const act of plan.acts) assert.equal(plan.steps[act.last]?.do.action, 'sign-seal');
  assert.deepEqual(plan.steps.find((step) => step.id === 'give-share/custodian-2')?.moves, [{ what: 'share-card/custodian-2', from: 'bag', to: 'reader' }]);
  assert.deepEqual(plan.steps.find((step) => step.id === 'token-out')?.moves, [{ what: 'root-hsm', from: 'safe', to: 'table' }]);
  assert.deepEqual(plan.steps.find((step) => step.id === 'certify')?.do, {
    action: 'issue-certificate', key: 'root', subject: { 'common-name': 'Example Root CA', organization: 'Example Organization', country: 'XX' }, years: 20,
  });
});

test('seats: a lone person is called by the role, custodians are always numbered', () => {
  assert.deepEqual(seatsOf({ officer: 1, custodian: 1, witness: 2, auditor: 1 }).map((seat) => seat.id), ['officer', 'custodian-1', 'witness-1', 'witness-2', 'auditor']);
  assert.deepEqual(seatsOf({ officer: 1, custodian: 0, witness: 1, auditor: 1 }).map((seat) => seat.id), ['officer', 'witness', 'auditor']);
});

test('the exported JSON Schema names every action', () => {
  const text = JSON.stringify(scriptJsonSchema());
  for (const action of ['confirm-script', 'generate-key', 'wipe-backup-key', 'put-away', 'open-key', 'confirm-input', 'sign-crl']) assert.ok(text.includes(`"${action}"`), action);
});

const FAULTS: readonly (readonly [what: string, text: string, rule: string, at: string])[] = [
  ['an unknown key', changed('    minutes: 20\n', '    minutes: 20\n    hours: 1\n'), 'SCRIPT-SHAPE', 'hours: 1'],
  ['an unknown action', changed('{ put-away: {} }\n        witnessed-by', '{ put-back: {} }\n        witnessed-by'), 'SCRIPT-SHAPE', 'do: { put-back'],
  ['two actions', changed('do: { wipe-backup-key: {} }', 'do: { wipe-backup-key: {}, put-away: {} }'), 'SCRIPT-SHAPE', 'do: { wipe-backup-key'],
  ['no action', changed('do: { wipe-backup-key: {} }', 'do: {}'), 'SCRIPT-SHAPE', 'do: {}'],
  ['who and for-each', changed('      - id: token-random\n', '      - id: token-random\n        for-each: person\n'), 'SCRIPT-SHAPE', '- id: token-random'],
  ['neither who nor for-each', changed('      - id: enrol\n        for-each: person\n', '      - id: enrol\n'), 'SCRIPT-SHAPE', '- id: enrol'],
  ['another version of the grammar', changed('conclave: 1', 'conclave: 2'), 'SCRIPT-SHAPE', 'conclave: 2'],
  ['two officers', changed('officer: 1,', 'officer: 2,'), 'SCRIPT-SHAPE', 'people:'],
  ['an algorithm that is no root algorithm', changed('algorithm: $algorithm, needs', 'algorithm: dsa-1024, needs'), 'SCRIPT-SHAPE', 'do: { inspect-token'],
  ['a step id twice', changed('- id: lock-root', '- id: wrap-root'), 'SCRIPT-IDS-UNIQUE', '- id: wrap-root\n        who: officer\n        title: Make the root key'],
  ['the officer as a witness', changed('witnessed-by: { custodian: 2, witness: 1 }', 'witnessed-by: { officer: 1 }'), 'OFFICER-NOT-WITNESS', '- id: make-root'],
  ['a key that is not sensitive', changed('sensitive: true', 'sensitive: false'), 'ATTRIBUTES-SAFE', '- id: make-root'],
  ['a parameter that is not declared', changed('years: $years', 'years: $decades'), 'SCRIPT-PARAMETER-UNKNOWN', ''],
  ['a parameter called like a member of every object', changed('label: Root CA', 'label: $constructor'), 'SCRIPT-PARAMETER-UNKNOWN', ''],
  ['a parameter that nobody uses', changed('years: $years', 'years: 20'), 'SCRIPT-PARAMETER-UNUSED', '  years: {'],
  ['a default outside its range', changed('whole: [1, 40], default: 20', 'whole: [1, 40], default: 41'), 'PARAMETER-VALUE', '  years: {'],
  ['a default that is not offered', changed('default: ecdsa-p384', 'default: ecdsa-p999'), 'PARAMETER-VALUE', '  algorithm:'],
  ['a direction override in a text', changed('say: Testing the random source.', 'say: Testing the \u202erandom source.'), 'TEXT-PRINTABLE', 'say: Testing'],
  ['the same, written as an escape', changed('say: Testing the random source.', 'say: "Testing the \\u202erandom source."'), 'TEXT-PRINTABLE', 'say: "Testing'],
  ['a direction override in a comment', changed('# blank, in a sealed bag', '# blank, \u202ein a sealed bag'), 'TEXT-PRINTABLE', 'share-card: {'],
  ['a byte order mark', `\ufeff${ROOT_CA}`, 'TEXT-PRINTABLE', '# A root CA key'],
  ['a tab', changed('    minutes: 20\n', '    minutes:\t20\n'), 'TEXT-PRINTABLE', 'minutes:\t20'],
  ['letters composed in another way', changed('title: Issue the root certificate', 'title: Issue the root certificate\u0301 e\u0301'), 'TEXT-NORMAL-FORM', 'title: Issue'],
  ['a duplicate key', changed('version: 1\n', 'version: 1\nversion: 2\n'), 'SCRIPT-YAML', 'version: 2'],
  ['an anchor', changed('who: officer\n        title: Test the', 'who: &x officer\n        title: Test the'), 'SCRIPT-YAML', '&x'],
  ['an alias', 'a: *x\n', 'SCRIPT-YAML', '*x'],
  ['a tag on a scalar', changed('version: 1\n', 'version: !!int 1\n'), 'SCRIPT-YAML', '!!int'],
  ['a tag on a map', changed('people: {', 'people: !!map {'), 'SCRIPT-YAML', '!!map'],
  ['a local tag', changed('version: 1\n', 'version: !x 1\n'), 'SCRIPT-YAML', '!x'],
  ['a directive', `%YAML 1.1\n---\n${ROOT_CA}`, 'SCRIPT-YAML', '%YAML'],
  ['two documents', `${ROOT_CA}---\n${ROOT_CA}`, 'SCRIPT-YAML', ''],
  ['a merge key', changed('version: 1\n', 'version: 1\n<<: { title: x }\n'), 'SCRIPT-SHAPE', '<<'],
  ['a key that is a list', changed('version: 1\n', 'version: 1\n[a, b]: 1\n'), 'SCRIPT-YAML', '[a, b]'],
  ['a key called __proto__', changed('version: 1\n', 'version: 1\n__proto__: { title: x }\n'), 'SCRIPT-SHAPE', '__proto__'],
  ['an unclosed quote', changed('name: root-ca', 'name: "root-ca'), 'SCRIPT-YAML', ''],
  ['nothing', '', 'SCRIPT-YAML', ''],
  ['a number', '42', 'SCRIPT-SHAPE', '42'],
  ['a placement that there is not', changed('place: $place\n            label', 'place: cloud\n            label', 'composite-ca'), 'SCRIPT-SHAPE', 'place: cloud'],
  ['a file of an unknown kind', changed('kind: request }', 'kind: private-key }', 'intermediate'), 'SCRIPT-SHAPE', '  request: { ask'],
  ['a file with a member too many', changed('kind: crl, optional: true }', 'kind: crl, optional: true, trusted: true }', 'crl'), 'SCRIPT-SHAPE', '  previous: { ask'],
  ['a certificate for two', changed('for: request, years', 'for: request, subject: { common-name: X }, years', 'intermediate'), 'SCRIPT-SHAPE', 'do: { issue-certificate: { key: ca'],
  ['a certificate for nobody', changed('for: request, years', 'years', 'intermediate'), 'SCRIPT-SHAPE', 'do: { issue-certificate: { key: ca'],
  ['a path length without end', changed('path-length: $path-length } }', 'path-length: 11 } }', 'cross-sign'), 'SCRIPT-SHAPE', 'do: { issue-certificate: { key: ca'],
  ['a need without an algorithm', changed('on: ca-hsm, needs: []', 'on: ca-hsm, needs: [sign]', 'crl'), 'SCRIPT-SHAPE', 'do: { inspect-token: { on: ca-hsm'],
  ['a CRL without its list', changed('key: ca, revocations: revocations, previous', 'key: ca, previous', 'crl'), 'SCRIPT-SHAPE', 'do: { sign-crl'],
  ['a parameter in the name of a file', changed('from: ca }', 'from: $days }', 'crl'), 'SCRIPT-SHAPE', 'do: { open-key'],
];

for (const [what, text, rule, at] of FAULTS) {
  test(`${what} is ${rule}`, () => {
    const { script, faults } = readScript(text);
    assert.equal(script, null);
    const fault = faults?.find((candidate) => candidate.rule === rule) ?? assert.fail(`found ${JSON.stringify(faults)}`);
    if (at !== '') assert.equal(fault.line, lineOf(text.replace(/^\ufeff/, ''), at));
    for (const part of [fault.expected, fault.found, fault.next]) assert.notEqual(part, '');
  });
}

test('every fault is found, not only the first', () => {
  const text = changed('sensitive: true', 'sensitive: false').replace('- id: lock-root', '- id: wrap-root').replace('years: $years', 'years: 20');
  assert.deepEqual(readScript(text).faults.map((fault) => fault.rule).sort(), ['ATTRIBUTES-SAFE', 'SCRIPT-IDS-UNIQUE', 'SCRIPT-PARAMETER-UNUSED']);
});

const PARAMETERS: readonly (readonly [what: string, values: Readonly<Record<string, string | number>>, rule: string])[] = [
  ['M greater than N', { shares: 3, threshold: 4 }, 'SET-THRESHOLD'],
  ['M = 1', { threshold: 1 }, 'PARAMETER-VALUE'],
  ['N = 256', { shares: 256 }, 'PARAMETER-VALUE'],
  ['N = 1', { shares: 1, threshold: 1 }, 'PARAMETER-VALUE'],
  ['half a share', { shares: 2.5 }, 'PARAMETER-VALUE'],
  ['a number as text', { shares: '3' }, 'PARAMETER-VALUE'],
  ['an algorithm that is not offered', { algorithm: 'ecdsa-p192' }, 'PARAMETER-VALUE'],
  ['a parameter that is none', { colour: 'blue' }, 'PARAMETER-UNKNOWN'],
  ['a parameter called like a member of every object', { constructor: 'blue' }, 'PARAMETER-UNKNOWN'],
  ['an empty subject', { 'common-name': '  ' }, 'PARAMETER-VALUE'],
  ['a subject with a control character', { 'common-name': 'Root\u0007CA' }, 'TEXT-PRINTABLE'],
  ['a subject with a direction override', { 'common-name': 'Root \u202eAC' }, 'TEXT-PRINTABLE'],
  ['a subject that is too long', { 'common-name': 'x'.repeat(65) }, 'TEXT-LENGTH'],
  ['a country that is none', { country: 'xx' }, 'PARAMETER-VALUE'],
  ['too few people to witness', { shares: 2, threshold: 2, algorithm: 'ed25519' }, ''],
  ['no validity', { years: 0 }, 'PARAMETER-VALUE'],
  ['the bounds of N and M', { shares: 255, threshold: 255 }, ''],
];

for (const [what, values, rule] of PARAMETERS) {
  test(`parameters: ${what}${rule === '' ? ' is allowed' : ` is ${rule}`}`, () => {
    const script = sound(ROOT_CA);
    const plan = () => planOf(script, { ...script.defaults, ...values });
    if (rule === '') assert.ok(plan().steps.length > 0);
    else assert.throws(plan, (error) => error instanceof Refused && error.refusal.rule === rule);
  });
}

test('parameters: one that is missing is PARAMETER-VALUE', () => {
  const script = sound(ROOT_CA);
  const { years: _years, ...rest } = script.defaults;
  assert.throws(() => planOf(script, rest), (error) => error instanceof Refused && error.refusal.rule === 'PARAMETER-VALUE');
});

test('contradictions between people, set and witnesses are named', () => {
  const rows: readonly (readonly [string, string, string])[] = [
    ['set: { shares: $shares,', 'set: { shares: 4,', 'SET-CUSTODIANS'],
    ['witnessed-by: { custodian: 2, witness: 1 }', 'witnessed-by: { custodian: 4 }', 'WITNESS-ENOUGH'],
  ];
  for (const [from, to, rule] of rows) {
    const script = sound(changed(from, to));
    assert.throws(() => planOf(script, script.defaults), (error) => error instanceof Refused && error.refusal.rule === rule, rule);
  }
});

test('custodians may witness one another, but nobody the own step', () => {
  const read = '        see: The check mark on the custodian\'s seat.\n        do: { read-back-share: {} }\n';
  const script = (custodians: number) => sound(changed(read, `${read}        witnessed-by: { custodian: ${custodians} }\n`));
  assert.ok(planOf(script(2), script(2).defaults));
  assert.throws(() => planOf(script(3), script(3).defaults), (error) => error instanceof Refused && error.refusal.rule === 'WITNESS-ENOUGH');
});

// --- hostile files: faults, never a throw, never a hang ------------------------------------------------------------------

const lines = (count: number, line: (index: number) => string) => Array.from({ length: count }, (_, index) => line(index)).join('\n');
const HOSTILE: readonly (readonly [what: string, text: string])[] = [
  ['a billion laughs', `a: &a [x]\n${lines(25, (i) => `b${i}: &b${i} [*a, *a, *a]`)}`],
  ['brackets in brackets', lines(90, () => '['.repeat(2000))],
  ['lists in lists', lines(90, () => '- '.repeat(990))],
  ['maps in maps', lines(600, (i) => `${' '.repeat(i)}a:`)],
  ['questions in questions', lines(90, () => '? '.repeat(990))],
  ['twenty thousand keys', lines(20_000, (i) => `a${i}:`)],
  ['a thousand keys in one line each', lines(90, () => `{${Array.from({ length: 400 }, (_, i) => `k${i}`).join(',')}}`)],
  ['anchors without end', lines(90, () => '&a '.repeat(600))],
  ['quotes that never close', lines(20_000, () => 'a: "b')],
  ['nothing but newlines', '\n'.repeat(199_999)],
  ['one line of 199,999 characters', 'x'.repeat(199_999)],
  ['more than the limit', 'x'.repeat(200_001)],
  ['half a surrogate pair', 'title: \ud800'],
  ['a NUL', 'title: \u0000'],
  ['the parser\'s own marks', 'a: \u001f\u0002\u0018'],
  ['documents without end', '---\n'.repeat(9000)],
  ['block scalars', '|\n'.repeat(9000)],
];

for (const [what, text] of HOSTILE) {
  test(`hostile: ${what}`, () => {
    const begun = performance.now();
    const { script, faults } = readScript(text);
    assert.equal(script, null);
    assert.ok(faults && faults.length > 0 && faults.length <= 1000, `${faults?.length} faults`);
    assert.ok(performance.now() - begun < 3000, `${performance.now() - begun} ms`);
  });
}

test('property: whatever is done to a script, reading it ends with a script or with faults', () => {
  const snippet = fc.oneof(fc.string({ unit: 'binary', maxLength: 8 }), fc.constantFrom('&a ', '*a', '!!str ', '---\n', '- ', '? ', ': ', '{', '}', '[', ']', '"', '\'', '|\n', '#', '%YAML 1.1\n', '<<: ', '\t', '$x', '\n', '  '));
  fc.assert(fc.property(fc.array(fc.record({ at: fc.nat(ROOT_CA.length), remove: fc.nat(20), insert: snippet }), { minLength: 1, maxLength: 5 }), (edits) => {
    const text = edits.reduce((value, { at, remove, insert }) => value.slice(0, at) + insert + value.slice(at + remove), ROOT_CA);
    const { script, faults } = readScript(text);
    if (script) assert.equal(script.text, text);
    else assert.ok(faults && faults.length > 0 && faults.every((fault) => fault.rule !== '' && fault.line >= 0));
  }), { seed: SEED, numRuns: 150 });
});
