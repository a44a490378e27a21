/** Bringing a key back: the record of a backup read strictly, each rule of a recovery broken once, and what comes out at the end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFile, makeBundle } from '../../ceremonies/bundle.ts';
import { readBackupRecord, type BackupRecord } from '../../ceremonies/backup-record.ts';
import { fromBase64url, fromUtf8, toBase64url, utf8 } from '../../ceremonies/bytes.ts';
import { check, pendingAction, type Entry, type State } from '../../ceremonies/ceremony.ts';
import { inputFacts, inputFindings } from '../../ceremonies/inputs.ts';
import { foldInventory } from '../../ceremonies/inventory.ts';
import { readKeyRecord } from '../../ceremonies/key-record.ts';
import { restoredDeviations } from '../../ceremonies/recovery.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import { foldCustody } from '../../ceremonies/shares/custody.ts';
import { at, eachRefused, edit, inside, type Loose, type Place, type Row } from './places.ts';
import { fileOf, rewritten, scriptedRecord, type ScriptedRecord } from './scripted.ts';

const restored = await scriptedRecord({ script: 'recovery' });
const simple = await scriptedRecord({ script: 'recovery', ca: { algorithm: 'ecdsa-p384', place: 'token' } });
const drill = await scriptedRecord({ script: 'recovery-rehearsal' });
/** Three came, two are needed, and nobody can read the second one's card. */
const without = await scriptedRecord({ script: 'recovery', happenings: { 'read-share/custodian-2': [{ kind: 'fail' }, { kind: 'exception' }] } });
const drillWithout = await scriptedRecord({ script: 'recovery-rehearsal', happenings: { 'read-share/custodian-2': [{ kind: 'exception' }] } });

// --- the record of a backup ------------------------------------------------------------------------------------------

const brought = (record: ScriptedRecord) => record.state.opening?.inputs['backup'] ?? assert.fail('no backup');
const sound = readBackupRecord(fromBase64url(brought(restored).bytes));
const changed = (change: (record: Loose) => void): Uint8Array => {
  const copy = structuredClone(sound) as unknown as Loose;
  change(copy);
  return utf8(JSON.stringify(copy));
};
const shares = (record: Loose) => record['shares'] as Loose[];
const set = (record: Loose) => record['set'] as Loose;

const FILES: readonly (readonly [rule: string, what: string, bytes: Uint8Array])[] = [
  ['INPUT-BACKUP', 'no JSON', utf8('x')],
  ['INPUT-BACKUP', 'another format', changed((r) => { r['format'] = 'conclave-backup/2'; })],
  ['INPUT-BACKUP', 'a member too many', changed((r) => { r['pin'] = '1234'; })],
  ['INPUT-BACKUP', 'no certificate, and no word of it', changed((r) => { delete r['certificate']; })],
  ['INPUT-BACKUP', 'a part that was not wrapped', changed((r) => { (r['wrapped'] as unknown[]).pop(); })],
  ['INPUT-BACKUP', 'an empty ciphertext', changed((r) => { (r['wrapped'] as Loose[])[0]!['wrapped'] = ''; })],
  ['INPUT-BACKUP', 'parts in each other\'s place', changed((r) => { (r['wrapped'] as unknown[]).reverse(); })],
  ['INPUT-BACKUP', 'a threshold beyond the shares', changed((r) => { set(r)['threshold'] = 5; })],
  ['INPUT-BACKUP', 'two shares alike', changed((r) => { const list = set(r)['commitments'] as string[]; list[1] = list[0]!; })],
  ['INPUT-BACKUP', 'a share of nobody', changed((r) => { shares(r).pop(); })],
  ['INPUT-BACKUP', 'a share twice', changed((r) => { shares(r)[1]!['x'] = 1; })],
  ['INPUT-BACKUP', 'two shares on one card', changed((r) => { shares(r)[1]!['card'] = shares(r)[0]!['card']; })],
  ['SHARE-SAME-PERSON', 'two shares of one person', changed((r) => { shares(r)[1]!['holder'] = `  ${String(shares(r)[0]!['holder']).toUpperCase()}`; })],
  ['INPUT-BACKUP', 'another draft', changed((r) => { r['profile'] = null; })],
  ['ALGORITHM-KNOWN', 'an algorithm that nobody knows', changed((r) => { (r['key'] as Loose)['algorithm'] = 'rsa-1'; })],
  ['STATEFUL-NEVER-COPIED', 'a copy of a stateful key', changed((r) => { (r['key'] as Loose)['algorithm'] = 'hss-lms'; })],
];
for (const [rule, what, bytes] of FILES) {
  test(`${rule}: ${what}`, () => {
    assert.throws(() => readBackupRecord(bytes), (error) => error instanceof Refused && error.refusal.rule === rule);
  });
}

test('a backup of another key, or with another key\'s certificate, has findings', async () => {
  const rules = async (bytes: Uint8Array) => (await inputFindings({ kind: 'backup', file: 'backup.json', bytes: toBase64url(bytes) })).map(({ rule }) => rule);
  assert.deepEqual(await rules(changed(() => undefined)), []);
  const other = readBackupRecord(fromBase64url(brought(simple).bytes));
  assert.deepEqual(await rules(changed((r) => { r['certificate'] = other.certificate; })), ['INPUT-BACKUP']);
  assert.deepEqual(await rules(changed((r) => { r['certificate'] = null; })), []);
  assert.ok((await rules(changed((r) => { const { parts } = r['key'] as { parts: Loose[] }; parts[1]!['spki'] = other.key.spki; }))).includes('PUBLIC-PARAMETERS'));
});

test('what people compare: the set, its epoch, and who holds which share', async () => {
  const facts = Object.fromEntries((await inputFacts(brought(restored))).map(({ name, value }) => [name, value]));
  assert.equal(facts['recovered by'], 'any 2 of 4 shares');
  assert.equal(facts['set'], `${sound.set.id}, epoch 1`);
  assert.match(facts['share 1'] ?? '', /, on card SHARE-custodian-1$/);
  assert.equal(facts['made in'], 'a rehearsal');
});

// --- rules -----------------------------------------------------------------------------------------------------------

const opened = at(restored, 'opened');
const begun = at(restored, 'begun', 'restore');
const done = at(restored, 'done', 'restore');
const drillBegun = at(drill, 'begun', 'recovery');
const cards = (data: Loose) => ((data['bindings'] as Loose)['cards'] as Record<string, Record<string, Loose>>)['share-card']!;
const withBackup = (place: Place, change: Partial<NonNullable<State['backup']>>): Place => ({ ...place, before: { ...place.before, backup: { ...place.before.backup ?? assert.fail('no backup'), ...change } } });
const private0 = (e: Loose, part = 1) => (e['parts'] as Loose[])[part]!['private'] as Loose;
const backupAs = (change: (record: Loose) => void) => edit(opened, (data) => { ((data['inputs'] as Loose)['backup'] as Loose)['bytes'] = toBase64url(changed(change)); });
const left = at(without, 'exception');
const unread = { 'custodian-1': { ...begun.before.backup!.given['custodian-1']!, readBack: false } };

const ROWS: readonly Row[] = [
  ['INPUTS-COMPLETE', 'no backup', edit(opened, (data) => { data['inputs'] = {}; })],
  ['INPUT-BACKUP', 'a backup that is none', edit(opened, (data) => { ((data['inputs'] as Loose)['backup'] as Loose)['bytes'] = 'e30'; })],
  ['CARD-OF-BACKUP', 'a card of nobody in the backup', edit(opened, (data) => { cards(data)['custodian-2']!['serial'] = 'SHARE-stranger'; })],
  ['SHARES-TOO-FEW', 'fewer custodians than the backup needs', backupAs((r) => { set(r)['threshold'] = 4; })],
  ['BACKUP-MODE', 'a real key in a rehearsal', backupAs((r) => { r['mode'] = 'real'; })],
  ['STATEFUL-NEVER-COPIED', 'a stateful key', backupAs((r) => { (r['key'] as Loose)['algorithm'] = 'hss-lms'; })],
  ['ONE-CARD-ONE-PERSON', 'one card for two custodians', edit(opened, (data) => { cards(data)['custodian-2'] = cards(data)['custodian-1']!; })],
  ['CARD-BOUND', 'a share read from another card', inside(at(restored, 'begun', 'read-share/custodian-2'), (i) => { i['card'] = 'SHARE-custodian-1'; })],
  ['SHARE-COMMITMENT', 'another share than the set commits to', inside(at(restored, 'done', 'read-share/custodian-2'), (e) => { e['commitment'] = toBase64url(new Uint8Array(32)); })],

  ['TOKEN-BOUND', 'another token', inside(begun, (i) => { i['token'] = 'TOKEN-other'; })],
  ['KEY-PARTS', 'a CKA_ID too few', inside(begun, (i) => { (i['ids'] as string[]).pop(); })],
  ['KEY-PARTS', 'one CKA_ID for both', inside(begun, (i) => { const ids = i['ids'] as string[]; ids[1] = ids[0]!; })],
  ['ID-FRESH', 'a CKA_ID that was used', { ...begun, before: { ...begun.before, ids: [...begun.before.ids, ((begun.entry.data as Loose)['intent'] as { ids: string[] }).ids[0]!] } }],
  ['KEY-BOUND', 'another label than the backup\'s', inside(begun, (i) => { i['label'] = 'Another'; })],
  ['KEY-ONCE', 'a second key', { ...begun, before: { ...begun.before, key: restored.state.key } }],
  ['READ-BACK-EVERY-SHARE', 'a share that nobody read', withBackup(begun, { given: { ...begun.before.backup!.given, ...unread } })],
  ['QUORUM-OF-PERSONS', 'one person twice', inside(begun, (i) => { i['quorum'] = ['custodian-1', 'custodian-1']; })],
  ['QUORUM-OF-PERSONS', 'more than the threshold', inside(begun, (i) => { i['quorum'] = ['custodian-1', 'custodian-2', 'custodian-3']; })],
  ['QUORUM-OF-PERSONS', 'somebody without a share', inside(begun, (i) => { i['quorum'] = ['custodian-1', 'witness']; })],
  ['SHARE-SET', 'another set', inside(begun, (i) => { i['set'] = 'A'.repeat(22); })],
  ['INPUTS-COMPLETE', 'a set that was made here', withBackup(begun, { brought: false })],

  ['SHARES-TOO-FEW', 'a share left unread that cannot be missed', { ...left, before: { ...left.before, backup: { ...left.before.backup!, set: { ...left.before.backup!.set, threshold: 3 } } } }],
  ['HAND-OVER-EXCEPTION', 'a share left unread before its turn', { ...left, entry: { ...left.entry, step: 'read-share/custodian-3' } }],
  ['HAND-OVER-EXCEPTION', 'a share left unread after it was read', { before: { ...begun.before, exceptions: 0 }, entry: { ...left.entry, seq: begun.entry.seq, at: begun.entry.at, ceremony: begun.entry.ceremony } }],
  ['HAND-OVER-EXCEPTION', 'a share that this ceremony made', { ...left, before: { ...left.before, backup: { ...left.before.backup!, brought: false } } }],
  ['HAND-OVER-EXCEPTION', 'a share left unread during a break', { ...left, before: { ...left.before, onBreak: { present: 6 } } }],
  ['QUORUM-OF-PERSONS', 'the one whose share nobody could read', inside(at(without, 'begun', 'restore'), (i) => { i['quorum'] = ['custodian-1', 'custodian-2']; })],
  ['BY-WHOM', 'a share left unread by nobody', { ...left, entry: (({ by: _by, ...entry }) => entry)(left.entry) }],

  ['QUORUM-OF-PERSONS', 'another quorum came', inside(done, (e) => { (e['quorum'] as Loose[])[0]!['seat'] = 'custodian-1'; })],
  ['CARD-BOUND', 'a custodian with another card', inside(done, (e) => { (e['quorum'] as Loose[])[0]!['card'] = 'SHARE-elsewhere'; })],
  ['TOKEN-BOUND', 'restored elsewhere', inside(done, (e) => { e['token'] = 'TOKEN-other'; })],
  ['KEY-PARTS', 'a part that is nowhere', inside(done, (e) => { (e['parts'] as Loose[])[0]!['wrapped'] = null; })],
  ['KEY-PARTS', 'no wrapping key', inside(done, (e) => { e['wrappingKey'] = null; })],
  ['KEY-PARTS', 'a half that is still wrapped by the other token', inside(done, (e) => { (e['parts'] as Loose[])[0]!['wrapped'] = sound.key.parts[0]?.wrapped; })],
  ['KEY-BOUND', 'another object', inside(done, (e) => { private0(e)['id'] = '00'; })],
  ['KEY-BOUND', 'another wrapping key', inside(done, (e) => { (e['wrappingKey'] as Loose)['id'] = '00'; })],
  ['PROOF-OF-POSSESSION', 'an older message was signed', inside(done, (e) => { (e['possession'] as Loose)['message'] = 'AAAA'; })],
  ['PUBLIC-PARAMETERS', 'another key', inside(done, (e) => { e['spki'] = 'AAAA'; })],
  ['PUBLIC-PARAMETERS', 'another half', inside(done, (e) => { (e['parts'] as Loose[])[1]!['spki'] = 'AAAA'; })],
  ['ATTRIBUTES-AS-SCRIPTED', 'a token that says the key was always there', inside(done, (e) => { private0(e)['local'] = true; })],
  ['ATTRIBUTES-AS-SCRIPTED', 'a token that says it could never leave', inside(done, (e) => { private0(e)['neverExtractable'] = true; })],
  ['ATTRIBUTES-AS-SCRIPTED', 'a key that can leave again', inside(done, (e) => { private0(e)['extractable'] = true; })],
  ['ATTRIBUTES-AS-SCRIPTED', 'a wrapping key that can leave', inside(done, (e) => { (e['wrappingKey'] as Loose)['extractable'] = true; })],
  ['WEAK-KEY', 'no weak-key tests', inside(done, (e) => { e['weakTests'] = []; })],
  ['LOCKED', 'a token that would wrap it again, in a real ceremony', { ...inside(done, (e) => { e['enforced'] = false; }), before: { ...done.before, opening: { ...done.before.opening!, mode: 'real' } } }],
  ['ATTRIBUTES-AS-SCRIPTED', 'the restored key shows itself as always inside', inside(at(restored, 'done', 'prove'), (e) => { private0(e)['alwaysSensitive'] = true; })],
  ['INVENTORY-EXPLAINED', 'something else on the token', inside(at(restored, 'done', 'token-after'), (e) => { (e['objects'] as Loose[]).push({ class: 'data', id: '', label: 'stray', keyType: '' }); })],

  ['QUORUM-OF-PERSONS', 'a drill with too few', inside(drillBegun, (i) => { i['quorum'] = ['custodian-1', 'witness']; })],
  ['TOKEN-BOUND', 'a drill on another token', inside(drillBegun, (i) => { i['token'] = 'TOKEN-other'; })],
  ['INVENTORY-EXPLAINED', 'a drill that left something', inside(at(drill, 'done', 'token-after'), (e) => { (e['objects'] as Loose[]).push({ class: 'private-key', id: '00', label: 'left', keyType: 'CKK_EC' }); })],
];
eachRefused(ROWS, restored, simple, drill, without);

test('a token may leave unsaid what a restored key never was; it may not claim it', () => {
  const found = restored.state.key?.parts[1]?.private ?? assert.fail();
  assert.deepEqual(restoredDeviations({ ...found, local: null, alwaysSensitive: null, neverExtractable: null }), []);
  assert.deepEqual(restoredDeviations({ ...found, local: true, sensitive: null }), ['sensitive is null, not true', 'local is true, not false']);
});

// --- whole records ---------------------------------------------------------------------------------------------------

test('the auditor recomputes the restored key: another key\'s signature, or none, is named', async () => {
  for (const record of [restored, simple, drill]) assert.deepEqual((await verifyTranscript(record.bytes)).verdict.findings, []);
  const spoiled = (record: ScriptedRecord, step: string) => fileOf(rewritten(record, (entry) => {
    if (entry.kind !== 'done' || entry.step !== step) return entry;
    const copy = structuredClone(entry) as Entry<'done'>;
    const { possession } = copy.data.evidence as { possession: { signature: string } };
    const bytes = fromBase64url(possession.signature);
    bytes[bytes.length - 1]! ^= 1;
    possession.signature = toBase64url(bytes);
    return copy;
  }));
  for (const [record, step] of [[restored, 'restore'], [drill, 'recovery']] as const) {
    const { verdict } = await verifyTranscript(spoiled(record, step));
    assert.ok(verdict.findings.some(({ rule }) => rule === 'PROOF-OF-POSSESSION'), step);
  }
});

test('one bad card does not stop a recovery: its share is not read, the quorum is of those that were, and everybody is told', async () => {
  for (const record of [without, drillWithout]) {
    assert.equal(record.state.phase, 'closed');
    assert.deepEqual(Object.keys(record.state.backup?.given ?? {}), ['custodian-1', 'custodian-3']);
    const { verdict } = await verifyTranscript(record.bytes);
    assert.deepEqual([verdict.findings, verdict.verdict], [[], 'valid']);
    assert.ok(verdict.remarks.some(({ text }) => text.includes('which ends the step read-share/custodian-2')));
    const minutes = fromUtf8((openFile(makeBundle(record.lines)).files ?? assert.fail()).get('minutes.html') ?? assert.fail());
    for (const words of ['share 2 of', 'is not read', 'card SHARE-custodian-2 is doubtful', 'The card is doubtful']) assert.ok(minutes.includes(words), words);
  }
  const judged = { verdict: (await verifyTranscript(without.bytes)).verdict, lines: without.lines };
  const [finding, ...more] = foldCustody([judged]).findings;
  assert.deepEqual([finding?.rule, finding?.source?.seq, finding?.things, more], ['CUSTODY-SHARE-UNREAD', left.entry.seq, ['card SHARE-custodian-2 (REHEARSAL)'], []]);
  const [key] = foldInventory([judged]).keys;
  const set = key?.copies.find((copy) => copy.kind === 'share-set');
  assert.deepEqual(set?.kind === 'share-set' && set.custodians.map(({ readBack }) => readBack), [true, false, true, false]);
  assert.ok(key?.events.some(({ what }) => what.startsWith('share 2 could not be read from card SHARE-custodian-2')));
  // Once it is read again the doubt is over.
  const again = await scriptedRecord({ script: 'recovery-rehearsal', seed: 'again', opensAt: Date.UTC(2027, 0, 1), bags: { opened: without.state.away.closed } });
  const later = { verdict: (await verifyTranscript(again.bytes)).verdict, lines: again.lines };
  assert.deepEqual(foldCustody([judged, later]).findings.map(({ rule }) => rule), []);
});

test('a crash in the middle: somebody looks; a key of one part may be kept, a wrapped half never', async () => {
  for (const [algorithm, place, found, decision, kinds] of [
    ['ecdsa-p384', 'token', 'absent', 'clear', ['found', 'begun', 'done']],
    ['ecdsa-p384', 'token', 'half', 'clear', ['found', 'decided', 'cleared', 'begun', 'done']],
    ['MLDSA65-ECDSA-P256-SHA512', 'split', 'present', 'clear', ['found', 'decided', 'cleared', 'begun', 'done']],
  ] as const) {
    const { entries, state } = await scriptedRecord({ script: 'recovery', ca: { algorithm, place }, happenings: { restore: [{ kind: 'crash', found, decision }] } });
    assert.equal(state.phase, 'closed');
    const from = entries.findIndex((entry) => entry.kind === 'found');
    assert.deepEqual(entries.slice(from).filter((entry) => entry.step === 'restore' && entry.kind !== 'witnessed').map((entry) => entry.kind), kinds);
  }
  const split = await scriptedRecord({ script: 'recovery', happenings: { restore: [{ kind: 'crash', found: 'present', decision: 'clear' }] } });
  const decided = at(split, 'decided');
  assert.equal(check(decided.before, edit(decided, (data) => { data['decision'] = 'keep'; }).entry)?.rule, 'HALF-KEY');
  const one = await scriptedRecord({ script: 'recovery', ca: { algorithm: 'ecdsa-p384', place: 'token' }, happenings: { restore: [{ kind: 'crash', found: 'present', decision: 'keep' }] } });
  assert.equal(one.state.phase, 'closed');
});

test('a recovery leaves the record of the key on its new token, and the backup is what it was; a ceremony that makes one leaves its record', async () => {
  const files = (record: ScriptedRecord) => openFile(makeBundle(record.lines)).files ?? assert.fail();
  const after = files(restored);
  const record = readKeyRecord(after.get('key.json') ?? assert.fail('no key.json'));
  assert.equal(record.token, 'TOKEN-new-hsm');
  assert.equal(record.key.spki, sound.key.spki);
  assert.notEqual(record.key.wrapping, sound.key.wrapping);
  assert.ok(after.has('inputs/backup.json') && !after.has('backup.json'));
  assert.match(fromUtf8(after.get('minutes.html') ?? assert.fail()), /never again LOCAL/);

  const made = await scriptedRecord();
  const left: BackupRecord = readBackupRecord(files(made).get('backup.json') ?? assert.fail('no backup.json'));
  assert.deepEqual([left.ceremony, left.mode, left.token, left.set.id], [made.state.ceremony, 'rehearsal', 'TOKEN-root-hsm', made.state.backup?.set.id]);
  assert.deepEqual(left.shares.map(({ x, card }) => [x, card]), [1, 2, 3].map((x) => [x, `SHARE-custodian-${x}`]));
  assert.deepEqual(left.wrapped, made.state.key?.wrapped);
  const early = await scriptedRecord({ happenings: { recovery: [{ kind: 'abort' }] } });
  assert.ok(!files(early).has('backup.json'), 'a backup that was never proven');
  assert.equal(pendingAction(drill.state).kind, 'over');
});

test('the inventory knows when a key was last brought back, and where it now is', async () => {
  const judged = async (record: ScriptedRecord) => ({ verdict: (await verifyTranscript(record.bytes)).verdict, lines: record.lines });
  const [key] = foldInventory([await judged(restored)]).keys;
  assert.equal(key?.lastRecovery?.seq, done.entry.seq);
  assert.deepEqual(key?.copies.flatMap((copy) => copy.kind === 'object' ? [`${copy.class} on ${copy.token}`] : [copy.kind]), ['share-set', 'wrapped-part', 'private-key on TOKEN-new-hsm', 'public-key on TOKEN-new-hsm']);
  const [drilled] = foldInventory([await judged(drill)]).keys;
  assert.equal(drilled?.lastRecovery?.ceremony, drill.state.ceremony);
  assert.deepEqual(drilled?.copies.map((copy) => copy.kind), ['share-set'], 'nothing stays');
});
