/** Copies of shares: each rule broken once, hostile files of keys and envelopes, and what comes out at the end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFile, makeBundle } from '../../ceremonies/bundle.ts';
import { readBackupRecord } from '../../ceremonies/backup-record.ts';
import { fromBase64url, toBase64url, utf8 } from '../../ceremonies/bytes.ts';
import { check, pendingAction, type Entry, type State } from '../../ceremonies/ceremony.ts';
import { foldInventory } from '../../ceremonies/inventory.ts';
import { inputFindings } from '../../ceremonies/inputs.ts';
import { readPem, pem } from '../../ceremonies/keys/signed.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { returnedRecordOf } from '../../ceremonies/share-copies.ts';
import { copyFindings, readRecipients, recipientOf } from '../../ceremonies/share-envelope.ts';
import { foldCustody, placedShares } from '../../ceremonies/shares/custody.ts';
import { claimsOf, testClaims, verifyTranscript } from '../../ceremonies/verify.ts';
import { at, eachRefused, edit, inside, type Loose, type Place, type Row } from './places.ts';
import { scriptedRecord, type ScriptedRecord } from './scripted.ts';

const sealed = await scriptedRecord({ script: 'share-envelope' });
const written = await scriptedRecord({ script: 'share-paper' });
const returned = await scriptedRecord({ script: 'share-return' });
/** Sealed, and the machine dies before its holder has opened it; and in the middle of bringing one back. */
const crashed = await scriptedRecord({ script: 'share-envelope', happenings: { 'open/custodian-1': [{ kind: 'crash' }] } });
const again = await scriptedRecord({ script: 'share-return', happenings: { return: [{ kind: 'crash' }] } });
const seal = at(sealed, 'begun', 'seal/custodian-2');
const sealDone = at(sealed, 'done', 'seal/custodian-2');
const open = at(sealed, 'begun', 'open/custodian-2');
const openDone = at(sealed, 'done', 'open/custodian-2');
const write = at(written, 'begun', 'write/custodian-1');
const writeDone = at(written, 'done', 'write/custodian-1');
const back = at(returned, 'begun', 'return');
const backDone = at(returned, 'done', 'return');
const opened = at(returned, 'opened');
const other = toBase64url(new Uint8Array(32));

const withCopy = (place: Place, seat: string, change: Partial<State['copies'][string]>): Place => ({ ...place, before: { ...place.before, copies: { ...place.before.copies, [seat]: { ...sealed.state.copies[seat]!, ...change } } } });
const backup = readBackupRecord(fromBase64url(returned.state.opening?.inputs['backup']?.bytes ?? ''));
const broughtAs = (change: object) => edit(opened, (data) => { ((data['inputs'] as Loose)['backup'] as Loose)['bytes'] = toBase64url(utf8(JSON.stringify({ ...backup, ...change }))); });

const ROWS: readonly Row[] = [
  ['CARD-BOUND', 'another\'s card', inside(seal, (i) => { i['card'] = 'SHARE-custodian-1'; })],
  ['SHARE-SET', 'another share than the one on this card', inside(seal, (i) => { i['x'] = 1; })],
  ['SHARE-SET', 'another set', inside(seal, (i) => { i['set'] = 'A'.repeat(22); })],
  ['SHARE-SET', 'another object of the card', inside(seal, (i) => { i['object'] = 'share-of-1'; })],
  ['RECIPIENT-OWN', 'the key of another custodian', inside(seal, (i) => { i['recipient'] = sealed.state.copies['custodian-1']!.sealed!.recipient; })],
  ['ONE-COPY-EACH', 'a second envelope', withCopy(seal, 'custodian-2', {})],
  ['INPUTS-COMPLETE', 'a share that the backup does not name', { ...seal, before: { ...seal.before, backup: null } }],
  ['CARD-BOUND', 'read from another card', inside(sealDone, (e) => { e['card'] = 'SHARE-custodian-1'; })],
  ['SHARE-COMMITMENT', 'another share than the set commits to', inside(sealDone, (e) => { e['commitment'] = other; })],
  ['RECIPIENT-OWN', 'sealed to somebody else', inside(sealDone, (e) => { (e['recipient'] as Loose)['sha256'] = 'ab'.repeat(32); })],
  ['COPY-READ-BACK', 'another envelope', inside(open, (i) => { i['envelope'] = 'ab'.repeat(32); })],
  ['COPY-READ-BACK', 'another share', inside(open, (i) => { i['x'] = 1; })],
  ['COPY-READ-BACK', 'opened already', withCopy(open, 'custodian-2', { readBack: true })],
  ['COPY-READ-BACK', 'a sheet, which nobody opens', withCopy(open, 'custodian-2', { medium: 'sheet', sealed: null })],
  ['COPY-READ-BACK', 'the envelope of another attempt', inside(openDone, (e) => { e['envelope'] = 'ab'.repeat(32); })],
  ['RECIPIENT-OWN', 'opened with another key', inside(openDone, (e) => { e['opener'] = 'ab'.repeat(32); })],
  ['SHARE-COMMITMENT', 'something else was in it', inside(openDone, (e) => { e['commitment'] = other; })],
  ['EVIDENCE-MATCHES-ACTION', 'the share itself in the evidence', inside(openDone, (e) => { e['share'] = other; })],
  ['CARD-BOUND', 'another\'s card, for paper', inside(write, (i) => { i['card'] = 'SHARE-custodian-2'; })],
  ['ENTRY-DATA', 'a form without a number', inside(write, (i) => { i['sheet'] = '7'; })],
  ['SHEET-NUMBER', 'another form', inside(writeDone, (e) => { e['sheet'] = 'S-00000000'; })],
  ['EVIDENCE-MATCHES-ACTION', 'nobody typed it again', inside(writeDone, (e) => { e['readBack'] = false; })],
  ['SHARE-COMMITMENT', 'another share on paper', inside(writeDone, (e) => { e['commitment'] = other; })],
  ['INPUTS-COMPLETE', 'no backup', edit(opened, (data) => { delete (data['inputs'] as Loose)['backup']; })],
  ['BACKUP-MODE', 'a real share in a rehearsal', broughtAs({ mode: 'real' })],
  ['RETURN-SHARE', 'a share that the set does not have', edit(opened, (data) => { (data['parameters'] as Loose)['share'] = 9; })],
  ['RETURN-HOLDER', 'somebody else\'s share', edit(opened, (data) => { (data['parameters'] as Loose)['share'] = 2; })],
  ['NEW-CARDS', 'the card of another share', edit(opened, (data) => { ((data['bindings'] as Loose)['cards'] as Record<string, Record<string, Loose>>)['new-share-card']!['custodian-1']!['serial'] = 'SHARE-elsewhere'; })],
  ['CARD-BOUND', 'another card', inside(back, (i) => { i['card'] = 'SHARE-custodian-1'; })],
  ['SHARE-SET', 'another share', inside(back, (i) => { i['x'] = 2; })],
  ['COPY-READ-BACK', 'another envelope is brought back', inside(back, (i) => { i['envelope'] = 'ab'.repeat(32); })],
  ['COPY-READ-BACK', 'from paper, where an envelope was brought', inside(back, (i) => { i['envelope'] = null; })],
  ['VOID-SHARES-ERASED', 'what an earlier attempt left stays', { ...back, before: { ...back.before, voidShares: { 'custodian-1': ['share-left'] } } }],
  ['ONE-COPY-EACH', 'brought back twice', { ...back, before: { ...back.before, backup: returned.state.backup } }],
  ['CARD-BOUND', 'written to another card', inside(backDone, (e) => { (e['card'] as Loose)['serial'] = 'SHARE-other'; })],
  ['SHARE-COMMITMENT', 'another share was written', inside(backDone, (e) => { e['commitment'] = other; })],
];
eachRefused(ROWS, sealed, written, returned, crashed, again);

// --- files -------------------------------------------------------------------------------------------------------------

const keys = fromBase64url(sealed.state.opening?.inputs['recipients']?.bytes ?? '');
const blocks = readPem(keys, ['PUBLIC KEY']).map(({ der }) => pem('PUBLIC KEY', der));
const file = (...parts: readonly string[]) => utf8(parts.join(''));

const RECIPIENTS: readonly (readonly [rule: string, what: string, bytes: Uint8Array])[] = [
  ['PEM', 'no PEM', utf8('keys')],
  ['PEM', 'nothing', new Uint8Array()],
  ['DER-STRUCTURE', 'a key cut short', file(pem('PUBLIC KEY', readPem(keys, ['PUBLIC KEY'])[0]!.der.slice(0, 40)))],
  ['RECIPIENT-OWN', 'one key twice', file(blocks[0]!, blocks[1]!, blocks[0]!)],
  ['RECIPIENT-EACH', 'a key too few', file(blocks[0]!, blocks[1]!)],
  ['RECIPIENT-EACH', 'a key too many', file(...blocks, pem('PUBLIC KEY', fromBase64url((await scriptedRecord({ script: 'escrow-deposit' })).state.opening?.inputs['agent']?.bytes ?? '')))],
];
for (const [rule, what, bytes] of RECIPIENTS) {
  test(`${rule}: ${what}`, () => { assert.throws(() => recipientOf(bytes, null, 1, 3), (error) => error instanceof Refused && error.refusal.rule === rule); });
}

test('a key that cannot be sealed to, or that is secret, is no recipient', async () => {
  const rules = async (bytes: Uint8Array) => (await inputFindings({ kind: 'recipients', file: 'keys.pem', bytes: toBase64url(bytes) })).map(({ rule }) => rule);
  assert.deepEqual(await rules(keys), []);
  const signing = (await scriptedRecord({ script: 'root-ca' })).state.key?.spki ?? '';
  assert.deepEqual(await rules(file(blocks[0]!, pem('PUBLIC KEY', fromBase64url(signing)))), ['ENVELOPE-KEM']);
  // FIPS 203 section 7.2: coefficients beyond the modulus.
  const weak = readPem(keys, ['PUBLIC KEY'])[0]!.der.slice();
  weak.fill(0xff, 40, 200);
  assert.deepEqual(await rules(file(pem('PUBLIC KEY', weak))), ['KEM-MODULUS']);
  assert.equal(readRecipients(keys, null).length, 3);
});

test('an envelope that was changed, or is of another share, has findings and stops nothing', () => {
  const record = readBackupRecord(fromBase64url(sealed.state.opening?.inputs['backup']?.bytes ?? ''));
  const der = fromBase64url(sealed.state.copies['custodian-1']?.sealed?.envelope ?? '');
  const rules = (bytes: Uint8Array, x = 1, of = record) => [...new Set(copyFindings(of, x, bytes, null).map(({ rule }) => rule))];
  assert.deepEqual(rules(der), []);
  assert.deepEqual(rules(der, 2), ['COPY-ENVELOPE']);
  assert.deepEqual(rules(der, 1, { ...record, set: { ...record.set, epoch: 2 } }), ['COPY-ENVELOPE']);
  assert.deepEqual(rules(fromBase64url(sealed.state.copies['custodian-2']?.sealed?.envelope ?? '')), ['COPY-ENVELOPE']);
  // Wherever it is cut or changed: a value, never an exception of another kind.
  for (let cut = 0; cut < der.length; cut += 97) assert.notDeepEqual(rules(der.subarray(0, cut)), []);
  for (let bit = 0; bit < der.length * 8; bit += 211) {
    const flipped = der.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    rules(flipped);
  }
});

test('the auditor tells an envelope that is sealed to somebody else, though its evidence does not say so', async () => {
  const { copies } = sealed.state;
  const swapped = inside(sealDone, (e) => { e['envelope'] = copies['custodian-1']?.sealed?.envelope; });
  assert.equal(check(swapped.before, swapped.entry), null, 'nothing that can be compared without reading it');
  assert.deepEqual((await testClaims(claimsOf(swapped.before, swapped.entry))).map(({ rule }) => rule), ['COPY-ENVELOPE', 'COPY-ENVELOPE', 'COPY-ENVELOPE']);
});

// --- what comes of it ----------------------------------------------------------------------------------------------------

test('every record is valid, and the bundle has the envelopes that were opened, or the record with the new card', async () => {
  for (const record of [sealed, written, returned, crashed, again]) assert.deepEqual((await verifyTranscript(record.bytes)).verdict.findings, []);
  const names = (record: ScriptedRecord) => [...openFile(makeBundle(record.lines)).files?.keys() ?? []].filter((name) => name.startsWith('share-') || name === 'backup.json');
  assert.deepEqual(names(sealed).sort(), ['share-1.cms', 'share-2.cms', 'share-3.cms']);
  assert.deepEqual(names(written), []);
  assert.deepEqual(names(returned), ['backup.json']);
  const now = readBackupRecord(openFile(makeBundle(returned.lines)).files?.get('backup.json') ?? assert.fail());
  assert.deepEqual(now.shares.map(({ card }) => card), ['NEW-custodian-1', 'SHARE-elsewhere']);
  assert.deepEqual({ ...now, shares: backup.shares }, backup, 'nothing else of it is new');
  assert.equal(returnedRecordOf(at(returned, 'begun', 'read-back').before), null, 'not before it was read back from there');
});

test('after a crash the envelope is still to be opened, and what may lie on the new card is erased', () => {
  assert.deepEqual(Object.values(crashed.state.copies).map(({ readBack }) => readBack), [true, true, true]);
  const [first, second] = again.entries.filter((entry): entry is Entry<'begun'> => entry.kind === 'begun' && entry.step === 'return').map(({ data }) => data.intent as { object: string; erases: string[] });
  assert.deepEqual(second?.erases, [first?.object]);
  assert.equal(pendingAction(again.state).kind, 'over');
});

test('copies are things in custody, and the same shares: nobody comes nearer to the threshold', () => {
  for (const [record, kind] of [[sealed, 'envelope'], [written, 'sheet']] as const) {
    const custody = foldCustody([{ lines: record.lines, verdict: { verdict: 'valid', findings: [], remarks: [] } as never }]);
    const placed = placedShares(custody).filter(({ thing }) => thing.startsWith(kind));
    assert.deepEqual(placed.map(({ x, person }) => [x, person]).sort(), [[1, 'Bela Custis'], [2, 'Chiara Custos'], [3, 'Dmitri Kustov']]);
  }
});

test('the inventory knows every copy', () => {
  const [key] = foldInventory([{ lines: written.lines, verdict: { verdict: 'valid', findings: [], remarks: [] } as never }]).keys;
  const set = key?.copies.find((copy) => copy.kind === 'share-set');
  assert.deepEqual(set?.media?.map(({ medium, x, name }) => [medium, x, name]), [['sheet', 1, 'Bela Custis'], ['sheet', 2, 'Chiara Custos'], ['sheet', 3, 'Dmitri Kustov']]);
});
