/** The verified destruction of a key: what the list must be, what may happen when, and what may be claimed of each copy afterwards. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toBase64url, utf8 } from '../../ceremonies/bytes.ts';
import { check, type Entry, type State } from '../../ceremonies/ceremony.ts';
import { describe } from '../../ceremonies/describe.ts';
import { AWAY, claimsOn, listOf, NOTHING_DESTROYED, readCopyList, REHEARSAL_WAIT, seenText, waitsUntil, type CopyList, type Destruction, type Outcome } from '../../ceremonies/destruction.ts';
import { foldInventory } from '../../ceremonies/inventory.ts';
import { destructionCertificateHtml, foldRecord } from '../../ceremonies/minutes.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import { COPIES, scriptedRecord, type ScriptedRecord } from './scripted.ts';

const plain = await scriptedRecord({ script: 'key-destruction' });
const real = await scriptedRecord({ script: 'key-destruction', mode: 'real' });
const lying = await scriptedRecord({ script: 'key-destruction', stillThere: [3], stillSigns: [1] });
type Loose = Record<string, unknown>;

// --- the list ------------------------------------------------------------------------------------------------------------

const changed = (change: (list: CopyList & Loose) => void): Uint8Array => {
  const list = structuredClone(COPIES) as CopyList & Loose;
  change(list);
  return utf8(JSON.stringify(list));
};
const LISTS: readonly (readonly [what: string, bytes: Uint8Array, rule: string | null])[] = [
  ['the list itself', changed(() => undefined), null],
  ['no JSON', utf8('copies'), 'INPUT-COPIES'],
  ['no UTF-8', new Uint8Array([0xff, 0xfe]), 'INPUT-COPIES'],
  ['another format', changed((list) => { Object.assign(list, { format: 'conclave-copies/2' }); }), 'INPUT-COPIES'],
  ['a member too many', changed((list) => { list['secret'] = 'x'; }), 'INPUT-COPIES'],
  ['no copy', changed((list) => { list.copies.splice(0); }), 'INPUT-COPIES'],
  ['public halves only', changed((list) => { list.copies.splice(0, list.copies.length, list.copies[1]!); }), 'INPUT-COPIES'],
  ['one object twice', changed((list) => { list.copies.push(list.copies[0]!); }), 'INPUT-COPIES'],
  ['an erasure of a copy that is not there', changed((list) => { Object.assign(list.copies[5]!.by, { of: [3, 99] }); }), 'INPUT-COPIES'],
  ['an erasure of an erasure', changed((list) => { Object.assign(list.copies[5]!.by, { of: [6], enough: 1 }); }), 'INPUT-COPIES'],
  ['an erasure that names a copy twice', changed((list) => { Object.assign(list.copies[5]!.by, { of: [3, 3], enough: 2 }); }), 'INPUT-COPIES'],
  ['an erasure that can never be', changed((list) => { Object.assign(list.copies[5]!.by, { enough: 4 }); }), 'INPUT-COPIES'],
  ['words that hide something', changed((list) => { list.copies[6]!.what = 'sheet \u202e4711'; }), 'TEXT-PRINTABLE'],
  ['something depends on it, and nobody says why', changed((list) => { list.dependants.push('Payments KEK'); }), 'DEPENDANTS-NAMED'],
  ['something depends on it, and it is said why', changed((list) => { list.dependants.push('Payments KEK'); list.despite = 'it was moved'; }), null],
];
for (const [what, bytes, rule] of LISTS) {
  test(`a list: ${what} is ${rule ?? 'read'}`, () => {
    if (rule === null) assert.doesNotThrow(() => readCopyList(bytes));
    else assert.throws(() => readCopyList(bytes), (error) => error instanceof Refused && error.refusal.rule === rule);
  });
}

// --- what may happen when ------------------------------------------------------------------------------------------------

interface Place { readonly before: State; readonly entry: Entry }
function at(record: ScriptedRecord, kind: Entry['kind'], step: string, nth = 0): Place {
  const index = record.entries.map((entry, i) => ({ entry, i })).filter(({ entry }) => entry.kind === kind && entry.step === step)[nth]?.i ?? assert.fail(`${kind} ${step}`);
  return { before: record.before[index]!, entry: record.entries[index]! };
}
const edit = ({ before, entry }: Place, change: (data: Loose, entry: Loose) => void): Place => {
  const copy = structuredClone(entry) as unknown as Loose;
  change(copy['data'] as Loose, copy);
  return { before, entry: copy as unknown as Entry };
};
const given = (data: Loose): Loose => (data['intent'] ?? data['evidence']) as Loose;
const withDestruction = ({ before, entry }: Place, change: Partial<Destruction>): Place => ({ before: { ...before, destruction: { ...before.destruction, ...change } }, entry });
const { before: waiting, entry: waited } = at(plain, 'done', 'wait');
const until = waitsUntil(at(real, 'done', 'wait').before, 72) ?? assert.fail('nobody has approved');

const begunLast = at(plain, 'done', 'destroy', 5);
const leftOne: Place = edit({ ...begunLast, before: { ...begunLast.before, current: { ...begunLast.before.current!, intent: { copy: 7, left: 'the bag is not here' } } } }, (data) => { data['evidence'] = { copy: 7, how: 'left', words: 'the bag is not here' }; });

const ROWS: readonly (readonly [rule: string | null, what: string, place: Place])[] = [
  [null, 'as it was', at(plain, 'done', 'locate')],
  ['COPIES-ALL-LOOKED-FOR', 'another number of copies', edit(at(plain, 'begun', 'locate'), (data) => { given(data)['copies'] = 1; })],
  ['COPIES-ALL-LOOKED-FOR', 'a copy that nobody looked for', edit(at(plain, 'done', 'locate'), (data) => { (given(data)['seen'] as unknown[]).pop(); })],
  ['COPIES-ALL-LOOKED-FOR', 'a copy twice', edit(at(plain, 'done', 'locate'), (data) => { const seen = given(data)['seen'] as unknown[]; seen[1] = seen[0]; })],
  ['LOCATED-FIRST', 'an approval before anybody looked', withDestruction(at(plain, 'begun', 'approve/custodian-1'), { located: null })],
  ['CARD-BOUND', 'an approval with another card', edit(at(plain, 'begun', 'approve/custodian-1'), (data) => { given(data)['card'] = 'CARD-custodian-2'; })],
  ['APPROVAL-EXPIRED', 'an approval that has ended', edit(at(plain, 'begun', 'approve/custodian-1'), (data, entry) => { given(data)['expires'] = entry['at']; })],
  ['APPROVAL-EXPIRED', 'an approval for ever', edit(at(plain, 'begun', 'approve/custodian-1'), (data) => { given(data)['expires'] = '2036-01-01T00:00:00.000Z'; })],
  ['APPROVAL-STATEMENT', 'an approval of something else', edit(at(plain, 'done', 'approve/custodian-1'), (data) => { given(data)['statement'] = toBase64url(utf8('{}')); })],
  ['APPROVAL-STATEMENT', 'somebody else\'s approval', edit(at(plain, 'done', 'approve/custodian-1'), (data) => { given(data)['statement'] = given((at(plain, 'done', 'approve/custodian-2').entry.data))['statement']; })],
  ['RIGHT-PERSON', 'an approval by somebody else', edit(at(plain, 'done', 'approve/custodian-1'), (_, entry) => { entry['by'] = 'custodian-2'; })],
  ['APPROVED-BY-ALL', 'one approval is missing', withDestruction(at(plain, 'done', 'wait'), { approvals: waiting.destruction.approvals.slice(1) })],
  ['APPROVED-BY-ALL', 'one person twice', withDestruction(at(plain, 'done', 'wait'), { approvals: [waiting.destruction.approvals[0]!, waiting.destruction.approvals[0]!] })],
  ['WAITING-PERIOD', 'a moment too early', edit(at(real, 'done', 'wait'), (_, entry) => { entry['at'] = new Date(Date.parse(until) - 1).toISOString(); })],
  [null, 'at the very moment', edit(at(real, 'done', 'wait'), (_, entry) => { entry['at'] = until; })],
  ['WAITING-PERIOD', 'a rehearsal\'s waiting in a real ceremony', edit(at(real, 'done', 'wait'), (_, entry) => { entry['at'] = new Date(Date.parse(real.before[at(real, 'done', 'wait').entry.seq]!.lastAt) + 1000 * REHEARSAL_WAIT).toISOString(); })],
  ['WAITING-PERIOD', 'destroyed without waiting', withDestruction(at(plain, 'begun', 'destroy'), { waited: false })],
  ['APPROVAL-EXPIRED', 'destroyed after an approval ended', withDestruction(at(plain, 'begun', 'destroy'), { approvals: waiting.destruction.approvals.map((approval) => ({ ...approval, expires: waited.at })) })],
  ['COPY-ONCE', 'a copy out of turn', edit(at(plain, 'begun', 'destroy'), (data) => { given(data)['copy'] = 2; })],
  ['COPY-ONCE', 'a copy again', edit(at(plain, 'begun', 'destroy', 1), (data) => { given(data)['copy'] = 1; })],
  ['COPY-ONCE', 'ciphertext that follows from others', edit(at(plain, 'begun', 'destroy', 5), (data) => { given(data)['copy'] = 6; })],
  ['COPY-ONCE', 'the outcome of another copy', edit(at(plain, 'done', 'destroy'), (data) => { given(data)['copy'] = 3; })],
  ['COPY-MEANS', 'a token\'s copy destroyed by people', edit(at(plain, 'done', 'destroy'), (data) => { data['evidence'] = { copy: 1, how: 'people' }; })],
  ['COPY-MEANS', 'paper that ends later', edit(at(plain, 'done', 'destroy', 5), (data) => { data['evidence'] = { copy: 7, how: 'pending' }; })],
  ['COPY-MEANS', 'left, though its destruction was begun', edit(at(plain, 'done', 'destroy', 5), (data) => { data['evidence'] = { copy: 7, how: 'left', words: 'the bag is not here' }; })],
  [null, 'paper that is left', leftOne],
  ['COPY-MEANS', 'left for another reason than was begun', edit(leftOne, (data) => { data['evidence'] = { copy: 7, how: 'left', words: 'another' }; })],
  ['COPY-MEANS', 'destroyed, though it was begun to be left', edit(leftOne, (data) => { data['evidence'] = { copy: 7, how: 'people' }; })],
  ['TEXT-PRINTABLE', 'left without a reason', edit(at(plain, 'begun', 'destroy', 5), (data) => { given(data)['left'] = ' '; })],
  ['COPIES-MODE', 'a rehearsal with the list of a real key', edit({ before: plain.before[0]!, entry: plain.entries[0]! }, (data) => { ((data['inputs'] as Loose)['copies'] as Loose)['bytes'] = toBase64url(utf8(JSON.stringify({ ...COPIES, mode: 'real' }))); })],
  ['COPIES-SETTLED', 'looked for again while one is open', withDestruction(at(plain, 'done', 'confirm'), { outcomes: {} })],
];
for (const [rule, what, { before, entry }] of ROWS) {
  test(`${rule ?? 'allowed'}: ${what}`, () => {
    assert.equal(check(before, { ...entry, at: entry.at < before.lastAt ? before.lastAt : entry.at })?.rule ?? null, rule);
  });
}

test('an attempt that changed nothing explains nothing later; one whose outcome is not known does', () => {
  const { before, entry } = at(plain, 'done', 'destroy');
  const gone = { copy: 1, how: 'token', device: { before: 0, after: 0, use: { tried: 'nothing', worked: false, answer: '' } } } as const;
  const resultAfter = (tried: readonly number[]): string => {
    const { apply } = ceremony;
    const state = { ...before, destruction: { ...before.destruction, tried } };
    return apply(state, { ...entry, data: { ...entry.data, evidence: gone } } as Entry, { hash: 'x', root: () => '' }).destruction.outcomes[1]?.result ?? '';
  };
  assert.equal(resultAfter([1]), 'absent', 'this very attempt found nothing');
  assert.equal(resultAfter([1, 1]), 'destroyed', 'an earlier one may have destroyed it');
});
const ceremony = await import('../../ceremonies/ceremony.ts');

// --- what may be claimed ---------------------------------------------------------------------------------------------------

const all = (result: Outcome['result']): Destruction['outcomes'] => Object.fromEntries([1, 2, 3, 4, 5, 7].map((number) => [number, { result: number === 7 ? 'done-by-people' : result, words: result }]));
const claimed = (outcomes: Destruction['outcomes'], more: { list?: Partial<CopyList>; confirmed?: boolean } = {}) =>
  claimsOn({ ...NOTHING_DESTROYED, list: { ...COPIES, ...more.list }, outcomes, confirmed: more.confirmed ?? true });
const levels = (outcomes: Destruction['outcomes'], more: Parameters<typeof claimed>[1] = {}) => claimed(outcomes, more).claims.map(({ level }) => level ?? '-').join(' ');

test('the key\'s level is the least of its secret copies\'; ciphertext follows from what it is under', () => {
  assert.equal(levels(all('destroyed')), 'L1 L1 L1 L1 L1 L1 L5');
  assert.equal(claimed(all('destroyed')).level, 'L1');
  assert.equal(levels(all('destroyed'), { confirmed: false }), 'L0 L0 L0 L0 L0 L0 L5');
  assert.match(claimed(all('destroyed')).verdict, /^Destroyed, L1: observed absent by software \(6 of 6 known copies destroyed\)$/);
  // One share is left: two are needed, so the set is of no use any more; with two left it is.
  const oneLeft = { ...all('destroyed'), 5: { result: 'left', words: 'not here' } } as const;
  assert.equal(levels(oneLeft), 'L1 L1 L1 L1 - L1 L5');
  assert.equal(claimed(oneLeft).level, null);
  assert.match(claimed(oneLeft).verdict, /^NOT DESTROYED \(5 of 6 known copies destroyed\)$/);
  assert.equal(levels({ ...oneLeft, 4: { result: 'absent', words: '' } }), 'L1 L1 L1 - - - L5');
});

test('what nobody saw, what is pending and what lies has no level', () => {
  for (const result of ['not-destroyed', 'absent', 'left', 'pending'] as const) assert.equal(levels({ ...all('destroyed'), 1: { result, words: '' } }).slice(0, 1), '-', result);
  assert.equal(levels({}), '- - - - - - -');
  assert.match(claimed({ ...all('destroyed') }, { list: { unknown: ['what was copied before'] } }).verdict, /there may be copies that are not known: what was copied before/);
});

test('the public half is removed, and its end proves nothing: left, it keeps nobody from saying that the key is destroyed', () => {
  assert.equal(claimed({ ...all('destroyed'), 2: { result: 'left', words: '' } }).level, 'L1');
});

test('cryptographic erasure at L4 wants a key destroyed at L3 or better, and no copy unknown', () => {
  const list: Partial<CopyList> = { copies: [{ what: 'the card that it is under, shredded', secret: true, by: { means: 'people', how: 'shred', physical: true } }, { what: 'ciphertext', secret: true, by: { means: 'erasure', of: [1], enough: 1 } }] };
  const outcomes = { 1: { result: 'done-by-people', words: '' } } as const;
  assert.equal(levels(outcomes, { list }), 'L5 L4');
  assert.equal(levels(outcomes, { list: { ...list, unknown: ['another'] } }), 'L5 L1');
});

// --- whole records -----------------------------------------------------------------------------------------------------------

const bytesOf = ({ lines }: ScriptedRecord) => utf8(lines.map((line) => `${line}\n`).join(''));

test('a whole record is valid, says what was destroyed, and certifies it', async () => {
  const { verdict } = await verifyTranscript(bytesOf(plain));
  assert.deepEqual([verdict.verdict, verdict.findings], ['valid', []]);
  const html = destructionCertificateHtml(foldRecord(plain.lines)) ?? assert.fail('no certificate');
  for (const words of ['REHEARSAL: nothing of value was destroyed', 'Destroyed, L1', '6 of 6 known copies destroyed', 'does not prove', 'shred the sheet']) assert.ok(html.includes(words), words);
  assert.equal(destructionCertificateHtml(foldRecord(plain.lines.slice(0, -3))), null, 'not before the end');
});

test('a token that lies is told as it is: NOT DESTROYED, and the certificate says so', async () => {
  const { verdict } = await verifyTranscript(bytesOf(lying));
  assert.deepEqual([verdict.verdict, verdict.findings], ['valid', []], 'bad news is no broken rule');
  const { claims, level } = claimsOn(lying.state.destruction);
  assert.equal(level, null);
  assert.match(claims[0]!.words, /^NOT DESTROYED: the token reported success, and the key could still be used/);
  assert.match(claims[2]!.words, /^NOT DESTROYED: .*a fresh process found 1/);
  assert.ok(destructionCertificateHtml(foldRecord(lying.lines))?.includes('NOT DESTROYED'));
});

test('an approval that its owner did not sign is refused', async () => {
  const forged = plain.entries.map((entry) => structuredClone<Entry>(entry));
  const target = forged.find((entry) => entry.kind === 'done' && entry.step === 'approve/custodian-1')!;
  const donor = plain.entries.find((entry) => entry.kind === 'done' && entry.step === 'approve/custodian-2')!;
  given(target.data)['signatures'] = given(donor.data)['signatures'];
  const { claimsOf, testClaims } = await import('../../ceremonies/verify.ts');
  const rules = (await testClaims(claimsOf(plain.before[target.seq]!, target))).map(({ rule }) => rule);
  assert.ok(rules.length > 0, 'a finding');
});

test('the inventory ends the copies that a destruction names, and takes an end back that did not hold', () => {
  const inventory = foldInventory([{ verdict: { verdict: 'valid', ceremony: lying.entries[0]!.ceremony, findings: [] }, lines: lying.lines }]);
  assert.ok(inventory.findings.every(({ rule }) => rule !== 'NOT-DESTROYED'), 'objects that no record made are not known here');
  assert.equal(listOf(lying.state.destruction).copies.length, 7);
});

test('a copy that cannot be asked for is told in plain words, whatever the code; the code stands in small print', () => {
  for (const code of Object.keys(AWAY)) {
    const words = seenText(null, code);
    assert.match(words, /^cannot be asked: [a-z][a-zA-Z ,]+$/);
    assert.doesNotMatch(words, /_|CKR|MISSING|KNOWN/);
  }
  assert.deepEqual([seenText(null, 'CKR_LATER'), seenText(null, 'toString'), seenText(0, ''), seenText(1, ''), seenText(3, '')], ['cannot be asked: the answer was CKR_LATER', 'cannot be asked: the answer was toString', 'not there', 'there', '3 that fit']);
  const { before, entry } = edit(at(plain, 'done', 'locate'), (data) => { Object.assign((given(data)['seen'] as Loose[])[0]!, { found: null, why: 'TOKEN_MISSING' }); });
  const { detail, mark } = describe(entry, before);
  assert.equal(detail.find(({ text }) => text.startsWith('copy 1,'))?.text, `copy 1, ${COPIES.copies[0]!.what}: cannot be asked: its token is not here`);
  assert.deepEqual([detail.at(-1), mark], [{ text: 'as it was answered: copy 1 TOKEN_MISSING', mark: null }, 'refused']);
  const destroyed: Destruction = { ...NOTHING_DESTROYED, list: { ...COPIES, copies: COPIES.copies.slice(0, 1) }, confirmed: true, outcomes: { 1: { result: 'destroyed', words: 'a fresh session found none', unconfirmed: 'CKR_DEVICE_REMOVED' } } };
  assert.deepEqual(claimsOn(destroyed).claims.map(({ level, words }) => [level, words]), [['L0', 'a fresh session found none; not looked for from a fresh process: its token was taken away']]);
});
