/** A backup for a key that is there already: each rule broken once, and what bundle, inventory, custody and minutes make of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readBackupRecord } from '../../ceremonies/backup-record.ts';
import { makeBundle, openFile } from '../../ceremonies/bundle.ts';
import { fromBase64url, fromUtf8, toBase64url, utf8 } from '../../ceremonies/bytes.ts';
import { check } from '../../ceremonies/ceremony.ts';
import { inputFacts, inputFindings } from '../../ceremonies/inputs.ts';
import { foldInventory } from '../../ceremonies/inventory.ts';
import { readKeyRecord } from '../../ceremonies/key-record.ts';
import { foldCustody } from '../../ceremonies/shares/custody.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import { at, eachRefused, edit, inside, type Loose, type Place, type Row } from './places.ts';
import { scriptedRecord, type ScriptedRecord } from './scripted.ts';

/** A key that somebody made in the Tokens room; a composite, one half of which is wrapped; one that is all wrapped. */
const plain = await scriptedRecord({ script: 'share-backup', ca: { algorithm: 'ecdsa-p384', place: 'token' }, uncertified: true });
const split = await scriptedRecord({ script: 'share-backup' });
const wrapped = await scriptedRecord({ script: 'share-backup', ca: { algorithm: 'ml-dsa-65', place: 'wrapped' } });
const real = await scriptedRecord({ script: 'share-backup', mode: 'real' });
const list = await scriptedRecord({ script: 'crl' });
const issuing = await scriptedRecord({ script: 'intermediate' });

const recordIn = (place: Place, name: string, change: (record: Loose) => void) => edit(place, (data) => {
  const input = (data['inputs'] as Record<string, Loose>)[name]!;
  const record = JSON.parse(fromUtf8(fromBase64url(String(input['bytes'])))) as Loose;
  change(record);
  input['bytes'] = toBase64url(utf8(JSON.stringify(record)));
});
const uncertified = (record: Loose) => { record['certificate'] = null; };
const stateful = (record: Loose) => { record['profile'] = null; (record['key'] as Loose)['algorithm'] = 'hss-lms'; };
const [found, foundSplit, foundWrapped] = [at(plain, 'done', 'find-key'), at(split, 'done', 'find-key'), at(wrapped, 'done', 'find-key')];
const locked = at(plain, 'done', 'lock-key');
const half = (e: Loose, part = 0) => (e['parts'] as Loose[])[part]!['private'] as Loose;
const leaving = (e: Loose, part = 0) => (e['leaving'] as Loose[])[part]!;

const ROWS: readonly Row[] = [
  ['STATEFUL-NEVER-COPIED', 'a stateful key, at the opening', recordIn(at(plain, 'opened'), 'key', stateful)],
  ['KEY-CERTIFIED', 'a list of revocations by a key that nobody has certified', recordIn(at(list, 'opened'), 'ca', uncertified)],
  ['KEY-CERTIFIED', 'a certificate by a key that has none', recordIn(at(issuing, 'opened'), 'ca', uncertified)],
  ['BACKUP-POSSIBLE', 'a key that cannot leave its token', inside(found, (e) => { half(e)['extractable'] = false; })],
  ['BACKUP-POSSIBLE', 'a half that cannot leave its token', inside(foundSplit, (e) => { half(e, 1)['extractable'] = false; })],
  ['BACKUP-POSSIBLE', 'a key that leaves under trusted keys only', inside(found, (e) => { leaving(e)['trustedOnly'] = true; })],
  ['BACKUP-POSSIBLE', 'a key that can never be locked', inside(found, (e) => { half(e)['modifiable'] = false; })],
  ['BACKUP-POSSIBLE', 'a token that does not wrap it, whatever it says', inside(found, (e) => { leaving(e)['refused'] = 'CKR_KEY_NOT_WRAPPABLE'; })],
  ['BACKUP-POSSIBLE', 'nobody tried', inside(found, (e) => { delete e['leaving']; })],
  ['BACKUP-POSSIBLE', 'a half that nobody tried', inside(foundSplit, (e) => { e['leaving'] = []; })],
  ['BACKUP-POSSIBLE', 'an answer for a part that is on no token', inside(foundWrapped, (e) => { e['leaving'] = [{ trustedOnly: false, refused: null }]; })],
  ['LOCKED', 'a key that may still leave', inside(locked, (e) => { (e['private'] as Loose[])[0]!['extractable'] = true; })],
  ['LOCKED', 'a key that may also decrypt since', inside(locked, (e) => { (e['private'] as Loose[])[0]!['decrypt'] = true; })],
  ['LOCKED', 'a key that shows another past', inside(locked, (e) => { (e['private'] as Loose[])[0]!['local'] = null; })],
  ['LOCKED', 'a token that would wrap it all the same, in a real ceremony', inside(at(real, 'done', 'lock-key'), (e) => { e['enforced'] = false; })],
  ['KEY-BOUND', 'another key is locked', inside(locked, (e) => { (e['private'] as Loose[])[0]!['id'] = '00'; })],
  ['KEY-BOUND', 'another key is wrapped', inside(at(plain, 'done', 'wrap-key'), (e) => { (e['private'] as Loose[])[0]!['id'] = '00'; })],
  ['KEY-PARTS', 'half of it is wrapped', inside(at(split, 'done', 'wrap-key'), (e) => { (e['parts'] as Loose[]).pop(); })],
];
eachRefused(ROWS, plain, split, wrapped, real);

test('what is refused says which attribute it is, and what to do instead', () => {
  for (const [place, word] of [[inside(found, (e) => { half(e)['extractable'] = false; }), 'CKA_EXTRACTABLE is false'], [inside(foundSplit, (e) => { half(e, 1)['extractable'] = false; }), 'CKA_EXTRACTABLE of the traditional half'], [inside(found, (e) => { leaving(e)['trustedOnly'] = true; }), 'CKA_WRAP_WITH_TRUSTED'], [inside(found, (e) => { half(e)['modifiable'] = false; }), 'CKA_MODIFIABLE']] as const) {
    const refusal = check(place.before, place.entry);
    assert.ok(refusal?.found.startsWith(word), refusal?.found);
    assert.match(refusal?.next ?? '', /^Nothing was made\. .*custodian-change.*make a new key/);
  }
});

test('what a token does not tell is no answer: that it did wrap the key decides', () => {
  const { before, entry } = inside(found, (e) => { Object.assign(half(e), { extractable: null, modifiable: null }); leaving(e)['trustedOnly'] = null; });
  assert.equal(check(before, entry), null);
});

test('a key of a ceremony that backs nothing up may be as it is', () => {
  const { before, entry } = inside(at(list, 'done', 'open-ca'), (e) => { half(e, 1)['extractable'] = false; half(e, 1)['modifiable'] = false; });
  assert.equal(check(before, entry), null);
});

const filesOf = (record: ScriptedRecord) => openFile(makeBundle(record.lines)).files ?? assert.fail('no files');

test('the bundle has the backup of the key where it is, and no second key record', async () => {
  for (const record of [plain, split, wrapped]) {
    const { verdict } = await verifyTranscript(record.bytes);
    assert.deepEqual([verdict.findings, verdict.verdict], [[], 'valid']);
    const files = filesOf(record);
    const brought = readKeyRecord(fromBase64url(record.state.opening?.inputs['key']?.bytes ?? ''));
    const backup = readBackupRecord(files.get('backup.json') ?? assert.fail('no backup.json'));
    assert.deepEqual([backup.key, backup.token, backup.label, backup.certificate, backup.set.epoch], [brought.key, brought.token, brought.label, brought.certificate, 1]);
    assert.deepEqual(backup.shares.map(({ card }) => card), ['SHARE-custodian-1', 'SHARE-custodian-2', 'SHARE-custodian-3']);
    assert.deepEqual(await inputFindings({ kind: 'backup', file: 'backup.json', bytes: toBase64url(files.get('backup.json')!) }), []);
    assert.equal(files.has('key.json'), false);
    assert.equal(files.has('issuer.pem'), brought.certificate !== null);
  }
});

test('the minutes say what it is: a key that was there, why it could have a backup, and that it is locked now', () => {
  const minutes = (record: ScriptedRecord) => fromUtf8(filesOf(record).get('minutes.html') ?? assert.fail());
  for (const words of ['it was there before', 'it can have a backup: its token wrapped it once, under a key that was thrown away', 'had the key wrapped under the backup key', 'made the key non-extractable', 'recovery proven']) assert.ok(minutes(plain).includes(words), words);
  assert.ok(minutes(wrapped).includes('every part of it is wrapped already, and is wrapped anew'));
});

test('the inventory counts the backup and who can bring the key back, and says what nobody can know of the time before it was locked; the register has the cards', async () => {
  const { verdict } = await verifyTranscript(plain.bytes);
  const judged = [{ verdict, lines: plain.lines }];
  const { keys: [key], findings } = foldInventory(judged);
  assert.deepEqual(findings, []);
  const set = key?.copies.find((copy) => copy.kind === 'share-set');
  assert.ok(set?.kind === 'share-set' && set.complete && set.recoveryProven && set.renewal === null && set.custodians.every(({ readBack }) => readBack));
  assert.equal(key?.lastRecovery?.seq, plain.entries.findIndex(({ kind, step }) => kind === 'done' && step === 'recovery'));
  assert.deepEqual(key.copies.flatMap((copy) => (copy.kind === 'object' && copy.class === 'private-key' ? [copy.attributes?.extractable] : [])), [false]);
  assert.ok(key.unknown.some((words) => words.includes('extractable until it was locked')));
  assert.ok(key.whoCan.some((who) => who.startsWith('any 2 of Bela Custis')));
  // Nobody has certified it and it has signed nothing: that it is in use, no record says.
  assert.deepEqual([key.state, key.certificates], ['pre-activation', []]);
  const { things } = foldCustody(judged);
  assert.deepEqual(things.filter(({ shares }) => shares.length > 0).map(({ identifier }) => identifier).sort(), ['SHARE-custodian-1', 'SHARE-custodian-2', 'SHARE-custodian-3']);
});

test('people compare what the record of an uncertified key says, and that it has no certificate', async () => {
  const input = plain.state.opening?.inputs['key'] ?? assert.fail('no record');
  assert.deepEqual(await inputFindings(input), []);
  assert.deepEqual((await inputFacts(input)).map(({ name, value }) => [name, value]).at(-1), ['certificate', 'none']);
});

test('a crash before every share is out: the set starts again, the key is wrapped anew under it, and void shares are erased', async () => {
  const { entries, state } = await scriptedRecord({ script: 'share-backup', happenings: { 'give-share/custodian-2': [{ kind: 'crash' }] } });
  assert.deepEqual([state.phase, state.backup?.set.epoch, state.voidShares], ['closed', 2, {}]);
  assert.equal(entries.filter(({ kind, step }) => kind === 'done' && step === 'wrap-key').length, 2);
  assert.equal(entries.filter(({ kind, step }) => kind === 'done' && step === 'find-key').length, 1);
});
