/**
 * A token that only a quorum opens, as the record judges it: the set that people bring, who gives the PIN and who opens, what an attempt
 * leaves unknown, and who must come again when a login has ended by itself.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activationInput, activationRecordOf, readActivationRecord } from '../../ceremonies/activation.ts';
import { openFile, makeBundle } from '../../ceremonies/bundle.ts';
import { fromBase64url, fromUtf8, toBase64url, utf8 } from '../../ceremonies/bytes.ts';
import { apply as applyEntry, check, type Data, type Entry, type State } from '../../ceremonies/ceremony.ts';
import { describe } from '../../ceremonies/describe.ts';
import { inputFacts } from '../../ceremonies/inputs.ts';
import { foldInventory } from '../../ceremonies/inventory.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import { nativeHasher } from '../../electron/conductor/machine.ts';
import { at, eachRefused, edit, inside, type Loose, type Place, type Row } from './places.ts';
import { scriptedRecord, type ScriptedRecord } from './scripted.ts';

const split = await scriptedRecord({ script: 'activation-split' });
const renewed = await scriptedRecord({ script: 'activation-split', former: true });
const used = await scriptedRecord({ script: 'activate' });
const officers = await scriptedRecord({ script: 'activation-split', pin: 'so', former: true });
const reset = await scriptedRecord({ script: 'user-pin-reset' });
const brought = used.state.opening?.inputs['activation'] ?? assert.fail('no activation record');
const sound = activationInput(used.state.opening?.inputs, 'activation');

const state = (place: Place, change: (before: State) => Partial<State>): Place => ({ ...place, before: { ...place.before, ...change(place.before) } });
const changed = (change: (record: Loose) => void): Uint8Array => {
  const record = structuredClone(sound) as unknown as Loose;
  change(record);
  return utf8(JSON.stringify(record));
};
const withFile = (place: Place, name: string, change: (record: Loose) => void) => edit(place, (data) => { ((data['inputs'] as Loose)[name] as Loose)['bytes'] = toBase64url(changed(change)); });
const whoseOf = (data: Loose, name: string, whose: 'user' | undefined) => {
  const file = (data['inputs'] as Loose)[name] as Loose;
  const record = JSON.parse(fromUtf8(fromBase64url(file['bytes'] as string))) as Loose;
  file['bytes'] = toBase64url(utf8(JSON.stringify({ ...record, pin: { ...record['pin'] as Loose, whose } })));
};
const cards = (data: Loose) => ((data['bindings'] as Loose)['cards'] as Record<string, Record<string, Loose>>)['share-card']!;
const made = (pin: 'old' | 'unknown' | 'set') => ({ activation: { kind: 'made', token: 'TOKEN-hsm', whose: 'user', length: 32, pin } as const });

const opened = at(used, 'opened');
const reopened = at(renewed, 'opened');
const setBegun = at(split, 'begun', 'set-pin');
const setDone = at(split, 'done', 'set-pin');
const formerBegun = at(renewed, 'begun', 'set-pin');
const formerDone = at(renewed, 'done', 'set-pin');
const openBegun = at(used, 'begun', 'open-token');
const openDone = at(used, 'done', 'open-token');
const closeBegun = at(used, 'begun', 'close-token');
const closeDone = at(used, 'done', 'close-token');

const resetBegun = at(reset, 'begun', 'reset-pin');
const resetDone = at(reset, 'done', 'reset-pin');

const ROWS: readonly Row[] = [
  ['INPUTS-COMPLETE', 'no set', edit(opened, (data) => { delete (data['inputs'] as Loose)['activation']; })],
  ['INPUT-ACTIVATION', 'a file that is none', edit(opened, (data) => { ((data['inputs'] as Loose)['activation'] as Loose)['bytes'] = 'e30'; })],
  ['ACTIVATION-MODE', 'a real set in a rehearsal', withFile(opened, 'activation', (r) => { r['mode'] = 'real'; })],
  ['ACTIVATION-TOKEN', 'the set of another token', withFile(opened, 'activation', (r) => { (r['token'] as Loose)['serial'] = 'TOKEN-other'; })],
  ['ACTIVATION-WHOSE', 'the set of the security officer, to open the token', withFile(opened, 'activation', (r) => { (r['pin'] as Loose)['whose'] = 'so'; })],
  ['ACTIVATION-WHOSE', 'the set of the user, to set the user PIN anew', edit(at(reset, 'opened'), (data) => { whoseOf(data, 'activation', 'user'); })],
  ['ACTIVATION-WHOSE', 'a set of before this was told apart: the user\'s', edit(at(reset, 'opened'), (data) => { whoseOf(data, 'activation', undefined); })],
  ['ACTIVATION-WHOSE', 'a former set of the user, where the officer\'s PIN is set', edit(at(officers, 'opened'), (data) => { whoseOf(data, 'former', 'user'); })],
  ['CARD-OF-ACTIVATION', 'a card that the record does not name', edit(opened, (data) => { cards(data)['custodian-2']!['serial'] = 'SHARE-stranger'; })],
  ['SHARES-TOO-FEW', 'fewer custodians than the set needs', withFile(opened, 'activation', (r) => { (r['set'] as Loose)['threshold'] = 4; })],
  ['SHARE-SAME-PERSON', 'one person twice', withFile(opened, 'activation', (r) => { for (const share of r['shares'] as Loose[]) share['holder'] = 'One'; })],
  ['ACTIVATION-TOKEN', 'a former set of another token', withFile(reopened, 'former', (r) => { (r['token'] as Loose)['serial'] = 'TOKEN-other'; })],
  ['SHARES-TOO-FEW', 'too few of the old cards', withFile(reopened, 'former', (r) => { (r['token'] as Loose)['serial'] = 'TOKEN-hsm'; (r['shares'] as Loose[]).forEach((share, i) => { share['card'] = `SHARE-old-${i}`; }); })],

  ['SHARE-SET', 'an epoch that does not follow', inside(at(split, 'begun', 'make-key'), (i) => { i['epoch'] = 2; })],
  ['SHARE-SET', 'an epoch that starts anew', inside(at(renewed, 'begun', 'make-key'), (i) => { i['epoch'] = 1; })],
  ['TOKEN-BOUND', 'a key for another token', inside(at(split, 'begun', 'make-key'), (i) => { i['token'] = 'TOKEN-other'; })],
  ['INSPECT-FIRST', 'a token that nobody identified', state(at(split, 'begun', 'make-key'), () => ({ inspected: {} }))],
  ['ACTIVATION-NEEDS-PIN', 'a token with a pad of its own', state(at(split, 'begun', 'make-key'), ({ inspected }) => ({ inspected: Object.fromEntries(Object.entries(inspected).map(([serial, facts]) => [serial, { ...facts, flags: [...facts.flags, 'CKF_PROTECTED_AUTHENTICATION_PATH'] }])) }))],
  ['SET-THRESHOLD', 'another threshold than the script\'s', inside(at(split, 'done', 'make-key'), (e) => { (e['set'] as Loose)['threshold'] = 3; })],
  ['TWO-SOURCES', 'randomness of one source', inside(at(split, 'done', 'make-key'), (e) => { e['sources'] = ['system']; })],
  ['SPLIT-PROVEN', 'a split that nobody tried', inside(at(split, 'done', 'make-key'), (e) => { e['subsetsTried'] = 0; })],
  ['READ-BACK-EVERY-SHARE', 'wiped before every share was read', state(at(split, 'begun', 'wipe-key'), ({ backup }) => ({ backup: { ...backup!, given: { ...backup!.given, 'custodian-1': { ...backup!.given['custodian-1']!, readBack: false } } } }))],
  ['SHARE-SET', 'another set wiped', inside(at(split, 'begun', 'wipe-key'), (i) => { i['set'] = 'A'.repeat(22); })],
  ['WIPED-AFTER-PROOF', 'ended with a process that lives', inside(at(split, 'done', 'wipe-key'), (e) => { e['how'] = 'process-ended'; })],

  ['SET-FROM-SHARES', 'the PIN set while the key is held', state(setBegun, ({ backup }) => ({ backup: { ...backup!, wiped: false } }))],
  ['TOKEN-BOUND', 'the PIN of another token', inside(setBegun, (i) => { i['token'] = 'TOKEN-other'; })],
  ['ACTIVATION-PIN-LENGTH', 'a shorter PIN', inside(setBegun, (i) => { i['length'] = 8; })],
  ['ACTIVATION-TRY', 'a try at the new PIN that nobody needs', inside(setBegun, (i) => { i['again'] = true; })],
  ['ACTIVATION-TRY', 'the old PIN, where the new one may be set', state(setBegun, () => made('unknown'))],
  ['QUORUM-OF-PERSONS', 'one person twice', inside(setBegun, (i) => { i['quorum'] = ['custodian-1', 'custodian-1']; })],
  ['SHARE-SET', 'another set', inside(setBegun, (i) => { i['set'] = 'A'.repeat(22); })],
  ['SHARE-SET', 'a former quorum out of nowhere', inside(setBegun, (i) => { i['former'] = { set: sound.set.id, quorum: ['custodian-1', 'custodian-2'] }; })],
  ['SHARE-SET', 'nobody gives up the old PIN', inside(formerBegun, (i) => { i['former'] = null; })],
  ['QUORUM-OF-PERSONS', 'too few give it up', inside(formerBegun, (i) => { (i['former'] as Loose)['quorum'] = ['custodian-1', 'custodian-1']; })],
  ['SHARE-SET', 'another former set', inside(formerBegun, (i) => { (i['former'] as Loose)['set'] = 'A'.repeat(22); })],
  ['TOKEN-BOUND', 'another token took it', inside(setDone, (e) => { (e['token'] as Loose)['serial'] = 'TOKEN-other'; })],
  ['QUORUM-OF-PERSONS', 'another quorum came', inside(setDone, (e) => { (e['quorum'] as Loose[])[0]!['seat'] = 'custodian-1'; })],
  ['CARD-BOUND', 'a custodian with another card', inside(setDone, (e) => { (e['quorum'] as Loose[])[0]!['card'] = 'SHARE-elsewhere'; })],
  ['QUORUM-OF-PERSONS', 'nobody gave up the old PIN', inside(formerDone, (e) => { e['former'] = null; })],
  ['CARD-BOUND', 'an old share from another card', inside(formerDone, (e) => { (e['former'] as Loose[])[0]!['card'] = 'SHARE-elsewhere'; })],

  ['AS-SCRIPTED', 'another purpose than everybody read', inside(openBegun, (i) => { i['purpose'] = 'Something else'; })],
  ['TOKEN-BOUND', 'another token', inside(openBegun, (i) => { i['token'] = 'TOKEN-other'; })],
  ['ACTIVATE-ONCE', 'a token that is open', state(openBegun, ({ activation }) => ({ activation: activation?.kind === 'brought' ? { ...activation, login: 'open' } : null }))],
  ['READ-BACK-EVERY-SHARE', 'a share that nobody read', state(openBegun, ({ backup }) => ({ backup: { ...backup!, given: { ...backup!.given, 'custodian-1': { ...backup!.given['custodian-1']!, readBack: false } } } }))],
  ['QUORUM-OF-PERSONS', 'somebody without a share', inside(openBegun, (i) => { i['quorum'] = ['custodian-1', 'witness']; })],
  ['QUORUM-OF-PERSONS', 'another quorum came', inside(openDone, (e) => { (e['quorum'] as Loose[])[0]!['seat'] = 'custodian-1'; })],
  ['TOKEN-BOUND', 'another token was opened', inside(openDone, (e) => { (e['token'] as Loose)['serial'] = 'TOKEN-other'; })],
  ['TOKEN-BOUND', 'the user PIN of another token', inside(resetBegun, (i) => { i['token'] = 'TOKEN-other'; })],
  ['ACTIVATION-WHOSE', 'a set that was never brought', state(resetBegun, () => ({ activation: null }))],
  ['READ-BACK-EVERY-SHARE', 'a share that nobody read before it was set', state(resetBegun, ({ backup }) => ({ backup: { ...backup!, given: { ...backup!.given, 'custodian-1': { ...backup!.given['custodian-1']!, readBack: false } } } }))],
  ['QUORUM-OF-PERSONS', 'the witness as security officer', inside(resetBegun, (i) => { i['quorum'] = ['custodian-1', 'witness']; })],
  ['SHARE-SET', 'another set than was brought', inside(resetBegun, (i) => { i['set'] = 'A'.repeat(22); })],
  ['QUORUM-OF-PERSONS', 'another quorum set it', inside(resetDone, (e) => { (e['quorum'] as Loose[])[0]!['seat'] = 'custodian-1'; })],
  ['TOKEN-BOUND', 'the PIN of another token was set', inside(resetDone, (e) => { (e['token'] as Loose)['serial'] = 'TOKEN-other'; })],
  ['ACTIVATE-FIRST', 'listed while it is closed', state(at(used, 'begun', 'token-before'), ({ activation }) => ({ activation: activation?.kind === 'brought' ? { ...activation, login: 'never' } : null }))],
  ['ACTIVATE-FIRST', 'closed, and never opened', state(closeBegun, ({ activation }) => ({ activation: activation?.kind === 'brought' ? { ...activation, login: 'never' } : null }))],
  ['DEACTIVATED', 'said to have ended by itself, and open', edit(closeDone, (data) => { data['evidence'] = { token: 'TOKEN-ca-hsm', how: 'ended' }; })],
  ['DEACTIVATED', 'more keys than before', inside(closeDone, (e) => { e['after'] = 9; })],
  ['EVIDENCE-MATCHES-ACTION', 'somebody is still logged in', inside(closeDone, (e) => { e['loggedIn'] = true; })],
];
eachRefused(ROWS, split, renewed, used, officers, reset);

test('an activation record is read whole or not at all; hostile bytes are a typed refusal', () => {
  const rule = (bytes: Uint8Array) => {
    try {
      readActivationRecord(bytes);
      return null;
    } catch (thrown) {
      assert.ok(thrown instanceof Refused);
      return thrown.refusal.rule;
    }
  };
  assert.equal(rule(changed(() => undefined)), null);
  for (const bytes of [new Uint8Array(0), Uint8Array.of(0xff, 0xfe), utf8('null'), utf8('[]'), utf8('{"format":"conclave-activation/1"}'), utf8('['.repeat(10_000))]) assert.equal(rule(bytes), 'INPUT-ACTIVATION');
  const set = (r: Loose) => r['set'] as Loose;
  const rows: readonly ((r: Loose) => void)[] = [
    (r) => { r['pin'] = { derivation: 'conclave-activation-pin/2', length: 32 }; }, (r) => { (r['pin'] as Loose)['length'] = 7; }, (r) => { (r['pin'] as Loose)['length'] = 33; },
    (r) => { r['secret'] = 'x'; }, (r) => { set(r)['threshold'] = 5; }, (r) => { (set(r)['commitments'] as string[]).pop(); }, (r) => { (r['shares'] as Loose[])[0]!['x'] = 2; },
    (r) => { (r['shares'] as Loose[])[1]!['card'] = (r['shares'] as Loose[])[0]!['card']; }, (r) => { (r['token'] as Loose)['serial'] = ''; }, (r) => { r['ceremony'] = 'short'; },
  ];
  for (const row of rows) assert.equal(rule(changed(row)), 'INPUT-ACTIVATION', row.toString());
});

test('the bundle of a split has its record, with the epoch after the former; one that only opens has none', () => {
  for (const [record, epoch] of [[split, 1], [renewed, 2]] as const) {
    const file = openFile(makeBundle(record.lines)).files?.get('activation.json') ?? assert.fail();
    const read = readActivationRecord(file);
    assert.deepEqual([read.set.epoch, read.token.serial, read.shares.length], [epoch, 'TOKEN-hsm', 3]);
    assert.match(fromUtf8(file), /\n$/);
  }
  assert.equal(openFile(makeBundle(used.lines)).files?.has('activation.json'), false);
  const { before } = setDone;
  assert.equal(activationRecordOf({ ...before, mode: 'rehearsal' }), null, 'shares whose PIN was never set are no set');
});

test('what people read: who, for what, and that nobody saw a PIN', async () => {
  const facts = Object.fromEntries((await inputFacts(brought)).map(({ name, value }) => [name, value]));
  assert.equal(facts['opens the token'], 'TOKEN-ca-hsm');
  assert.equal(facts['opened by'], 'any 2 of 4 shares');
  assert.equal(facts['its PIN'], '32 characters, which nobody knows');
  const { title, detail } = describe(openDone.entry, openDone.before);
  assert.match(title, / and .+ opened token TOKEN-ca-hsm for: The yearly check/);
  assert.ok(detail.some(({ text }) => /lent from card SHARE-custodian-/.test(text)));
  const told = describe(formerDone.entry, formerDone.before).detail.map(({ text }) => text).join('; ');
  assert.match(told, /the old PIN came from the shares of .+, which open nothing any more/);
});

test('which PIN a set gives: in its record, in words, and in the inventory, where each ends by itself', async () => {
  const file = readActivationRecord(openFile(makeBundle(officers.lines)).files?.get('activation.json') ?? assert.fail());
  assert.deepEqual([file.pin.whose, file.set.epoch], ['so', 2]);
  assert.equal(readActivationRecord(openFile(makeBundle(split.lines)).files?.get('activation.json') ?? assert.fail()).pin.whose, 'user');
  const told = ({ entries, before }: ScriptedRecord, step: string) => describe(...(() => { const index = entries.findIndex((entry) => entry.kind === 'done' && entry.step === step); return [entries[index]!, before[index]!] as const; })());
  assert.ok(told(officers, 'make-key').detail.some(({ text }) => /may initialise the token: that PIN survives it, and no key does/.test(text)));
  assert.ok(!told(split, 'make-key').detail.some(({ text }) => text.includes('initialise')));
  assert.match(told(reset, 'reset-pin').title, / and .+ were the security officer of token TOKEN-hsm together, and .+ gave it a new user PIN/);
  const facts = Object.fromEntries((await inputFacts(reset.state.opening?.inputs['activation'] ?? assert.fail())).map(({ name, value }) => [name, value]));
  assert.equal(facts['its security officer\'s PIN (SO)'], '32 characters, which nobody knows');
  const judged = async (record: ScriptedRecord) => ({ verdict: (await verifyTranscript(record.bytes)).verdict, lines: record.lines });
  const sits = async (script: string, month: number, more: object = {}) => judged(await scriptedRecord({ script, sitting: `${month}`, opensAt: Date.UTC(2026, month, 1), ...more }));
  const standing = (records: readonly Awaited<ReturnType<typeof judged>>[]) => foldInventory(records, nativeHasher).activations.map(({ whose, inForce, end }) => `${whose} ${inForce} ${end?.level ?? 'stands'}`);
  const [user, so, afterwards] = [await sits('activation-split', 1), await sits('activation-split', 2, { pin: 'so' }), await sits('user-pin-reset', 3)];
  assert.deepEqual(standing([user, so]), ['user true stands', 'so true stands'], 'neither takes the place of the other');
  assert.equal(standing([user, so, afterwards])[0], 'user false L1', 'a user PIN that somebody typed is no quorum\'s any more');
  assert.equal(standing([user, so, afterwards])[1], 'so true stands');
});

test('an attempt without an outcome: the new PIN is tried once, and only the token\'s no settles it', async () => {
  const crashed = await scriptedRecord({ script: 'activation-split', happenings: { 'set-pin': [{ kind: 'crash' }] } });
  const failed = await scriptedRecord({ script: 'activation-split', happenings: { 'set-pin': [{ kind: 'fail', nothingChanged: true }] } });
  const unclear = await scriptedRecord({ script: 'activation-split', happenings: { 'set-pin': [{ kind: 'fail', nothingChanged: false }] } });
  const tries = ({ entries }: ScriptedRecord) => entries.filter((entry) => entry.kind === 'begun' && entry.step === 'set-pin').map((entry) => ((entry as Entry<'begun'>).data.intent)['again']);
  assert.deepEqual([tries(crashed), tries(failed), tries(unclear)], [[false, true], [false, false], [false, true]]);
  for (const record of [crashed, failed, unclear]) assert.deepEqual((await verifyTranscript(record.bytes)).verdict.findings, []);
  // With the new PIN tried: that nothing changed now says nothing of the attempt before, the token's no does.
  const index = crashed.entries.findLastIndex((entry) => entry.kind === 'begun' && entry.step === 'set-pin');
  const after = (code: string): string => {
    const fold = crashed.before[index + 1] ?? assert.fail();
    const entry = { ...crashed.entries[index]!, kind: 'failed', seq: fold.count, prev: fold.lastHash, data: { begun: index, error: { code, message: '', hint: '' }, nothingChanged: true } satisfies Data<'failed'> } as Entry;
    assert.equal(check(fold, entry), null);
    return (applyEntry(fold, entry, { hash: '', root: () => '' }).activation as { pin: string }).pin;
  };
  assert.deepEqual([after('CKR_DEVICE_ERROR'), after('ACTIVATION-PIN-NOT-SET')], ['unknown', 'old']);
});

test('a login that ends by itself: the quorum comes again where the token is still needed, and nothing is done twice', async () => {
  const steps = ({ entries }: ScriptedRecord) => entries.filter(({ kind }) => kind === 'done').map(({ step }) => step ?? '').filter((step) => /token|key/.test(step) && !/compare|resume/.test(step));
  const usual = steps(used);
  for (const [step, kind, expected] of [
    ['find-key', 'crash', true], ['token-before', 'lost', true], ['token-after', 'crash', true], ['close-token', 'crash', false], ['close-token', 'lost', false], ['token-in', 'lost', false], ['open-token', 'crash', false],
  ] as const) {
    const record = await scriptedRecord({ script: 'activate', happenings: { [step]: [{ kind }] } });
    assert.deepEqual((await verifyTranscript(record.bytes)).verdict.findings, [], `${step} ${kind}`);
    const done = steps(record);
    assert.deepEqual(done.filter((one) => one !== 'again-1/open-token'), usual, `${step} ${kind}`);
    assert.equal(done.includes('again-1/open-token'), expected, `${step} ${kind}`);
    if (expected) assert.equal(done.indexOf('again-1/open-token'), done.indexOf(step) - 1, 'right before the step that needs it');
    const { how } = ((record.entries.findLast((entry) => entry.kind === 'done' && entry.step === 'close-token') as Entry<'done'>).data.evidence) as { how: string };
    assert.equal(how, step === 'close-token' ? 'ended' : 'logged-out', `${step} ${kind}`);
  }
});
