/** The shares of a backup renewed: each rule broken once, crashes in the middle, and what the record, the inventory and the register say afterwards. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readBackupRecord } from '../../ceremonies/backup-record.ts';
import { makeBundle, openFile } from '../../ceremonies/bundle.ts';
import { fromBase64url, fromUtf8, toBase64url } from '../../ceremonies/bytes.ts';
import { check, type Data, type Entry, type Kind } from '../../ceremonies/ceremony.ts';
import type { Evidence, Intent } from '../../ceremonies/evidence.ts';
import { foldInventory, newerSplit } from '../../ceremonies/inventory.ts';
import { oldShares, rehearsalSeats, type Renewal } from '../../ceremonies/renewal.ts';
import { planOf, readScript } from '../../ceremonies/script.ts';
import { foldCustody } from '../../ceremonies/shares/custody.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import { at, eachRefused, edit, inside, type Loose, type Place, type Row } from './places.ts';
import { fileOf, rewritten, scriptedRecord, scriptText, type ScriptedRecord } from './scripted.ts';


/** Three in the room: the third has just come, and a fourth, who has left, is not here. */
const changed = await scriptedRecord({ script: 'custodian-change' });
/** Four in the room, of whom the last two get the new shares; interrupted before the second new share; given up before the proof. */
const leaves = await scriptedRecord({ script: 'custodian-change', custodians: 4, shares: 2 });
const crashed = await scriptedRecord({ script: 'custodian-change', happenings: { 'give-new/custodian-2': [{ kind: 'crash' }] } });
const aborted = await scriptedRecord({ script: 'custodian-change', happenings: { recovery: [{ kind: 'abort' }] } });
const NEW = 'new-share-card';

const opened = at(changed, 'opened');
const cards = (data: Loose, card: string) => ((data['bindings'] as Loose)['cards'] as Record<string, Record<string, Loose>>)[card]!;
const [begun, done] = [at(changed, 'begun', 'renew'), at(changed, 'done', 'renew')];
const [proofBegun, proofDone] = [at(changed, 'begun', 'recovery'), at(changed, 'done', 'recovery')];
const [retireBegun, retireDone] = [at(changed, 'begun', 'retire/custodian-2'), at(changed, 'done', 'retire/custodian-2')];
const withRenewal = ({ before, entry }: Place, change: Partial<Renewal>): Place => ({ before: { ...before, renewal: { ...before.renewal ?? assert.fail(), ...change } }, entry });
const withGiven = ({ before, entry }: Place, seat: string): Place => {
  const { [seat]: share, ...others } = before.backup?.given ?? {};
  return { before: { ...before, backup: { ...before.backup!, given: { ...others, [seat]: { ...share!, readBack: false } } } }, entry };
};
const deviceOf = (e: Loose) => e['device'] as Loose;
const setOf = (e: Loose) => e['set'] as Loose;

const ROWS: readonly Row[] = [
  ['SET-CUSTODIANS', 'a new card too few', edit(opened, (data) => { delete cards(data, NEW)['custodian-1']; })],
  ['NEW-CARDS', 'the card of the one who left, for a new share', edit(opened, (data) => { cards(data, NEW)['custodian-3']!['serial'] = 'SHARE-elsewhere'; })],
  ['CARD-OF-BACKUP', 'an old card that the backup does not name', edit(opened, (data) => { cards(data, 'share-card')['custodian-1']!['serial'] = 'SHARE-stranger'; })],
  ['SHARES-TOO-FEW', 'one old share where two are needed', edit(opened, (data) => { delete cards(data, 'share-card')['custodian-1']; })],
  ['BINDINGS-COMPLETE', 'a card of somebody who is no custodian', edit(opened, (data) => { cards(data, NEW)['witness'] = { module: 'embedded', serial: 'NEW-witness' }; })],
  ['ONE-CARD-ONE-PERSON', 'old and new share on one card', edit(opened, (data) => { cards(data, NEW)['custodian-1'] = cards(data, 'share-card')['custodian-1']!; })],

  ['TOKEN-BOUND', 'another token', inside(begun, (i) => { i['token'] = 'TOKEN-other'; })],
  ['SHARE-SET', 'another set', inside(begun, (i) => { i['set'] = 'A'.repeat(22); })],
  ['SHARE-SET', 'the epoch that is', inside(begun, (i) => { i['epoch'] = 1; })],
  ['SHARE-SET', 'an epoch left out', inside(begun, (i) => { i['epoch'] = 3; })],
  ['QUORUM-OF-PERSONS', 'fewer than the old set needs', inside(begun, (i) => { i['quorum'] = ['custodian-1', 'custodian-1']; })],
  ['QUORUM-OF-PERSONS', 'the new custodian lends no old share', inside(begun, (i) => { i['quorum'] = ['custodian-1', 'custodian-3']; })],
  ['READ-BACK-EVERY-SHARE', 'an old share that nobody read', withGiven(begun, 'custodian-1')],
  ['INPUTS-COMPLETE', 'no old set', { before: { ...begun.before, backup: null }, entry: begun.entry }],

  ['SAME-SECRET', 'another backup key', inside(done, (e) => { setOf(e)['secret'] = toBase64url(new Uint8Array(32)); })],
  ['SET-THRESHOLD', 'another threshold than the script\'s', inside(done, (e) => { setOf(e)['threshold'] = 3; })],
  ['SHARE-SET', 'the epoch that was', inside(done, (e) => { setOf(e)['epoch'] = 1; })],
  ['SHARE-SET', 'an old share among the new ones', inside(done, (e) => { (setOf(e)['commitments'] as string[])[0] = done.before.backup!.set.commitments[1]!; })],
  ['SPLIT-PROVEN', 'nothing was tried', inside(done, (e) => { e['subsetsTried'] = 0; })],
  ['PROOF-OF-POSSESSION', 'an older message was signed', inside(done, (e) => { (e['possession'] as Loose)['message'] = 'AAAA'; })],
  ['CARD-BOUND', 'another card lent it', inside(done, (e) => { (e['quorum'] as Loose[])[0]!['card'] = 'SHARE-elsewhere'; })],
  ['QUORUM-OF-PERSONS', 'another quorum came', inside(done, (e) => { (e['quorum'] as Loose[])[0]!['seat'] = 'custodian-2'; })],

  ['CARD-BOUND', 'a new share for the old card', inside(at(changed, 'begun', 'give-new/custodian-2'), (i) => { i['card'] = 'SHARE-custodian-2'; })],
  ['SHARE-SET', 'somebody else\'s number', inside(at(changed, 'begun', 'give-new/custodian-2'), (i) => { i['x'] = 1; })],
  ['SHARE-COMMITMENT', 'an old share was given again', inside(at(changed, 'done', 'give-new/custodian-2'), (e) => { e['commitment'] = begun.before.backup!.set.commitments[1]; })],
  ['SHARE-COMMITMENT', 'an old share was read on the new card', inside(at(changed, 'done', 'read-new/custodian-2'), (e) => { e['commitment'] = begun.before.backup!.set.commitments[1]; })],
  ['READ-BACK-EVERY-SHARE', 'a new share that nobody read back', withGiven(proofBegun, 'custodian-3')],
  ['QUORUM-OF-PERSONS', 'more than the new threshold', inside(proofBegun, (i) => { i['quorum'] = ['custodian-1', 'custodian-2', 'custodian-3']; })],
  ['CARD-BOUND', 'an old card proves the new set', inside(proofDone, (e) => { (e['quorum'] as Loose[])[0]!['card'] = 'SHARE-custodian-2'; })],
  ['WIPED-AFTER-PROOF', 'wiped before the proof', withRenewal(at(changed, 'begun', 'wipe-backup'), { proven: false })],

  ['RETIRE-AFTER-PROOF', 'erased before the proof', withRenewal(retireBegun, { proven: false })],
  ['CARD-BOUND', 'the new card', inside(retireBegun, (i) => { i['card'] = 'NEW-custodian-2'; })],
  ['SHARE-SET', 'another object', inside(retireBegun, (i) => { i['object'] = 'something-else'; })],
  ['SHARE-SET', 'the new epoch', inside(retireBegun, (i) => { i['epoch'] = 2; })],
  ['CARD-BOUND', 'erased elsewhere', inside(retireDone, (e) => { e['card'] = 'SHARE-custodian-1'; })],
  ['SHARE-ERASED', 'still there', inside(retireDone, (e) => { deviceOf(e)['after'] = 1; })],
  ['SHARE-ERASED', 'the old handle still answers', inside(retireDone, (e) => { (deviceOf(e)['use'] as Loose)['worked'] = true; })],
  ['SHARE-ERASED', 'gone before anybody began', inside(retireDone, (e) => { deviceOf(e)['before'] = 0; })],
];
eachRefused(ROWS, changed);

test('a custodian without any card is named', () => {
  const place = edit(at(leaves, 'opened'), (data) => { delete cards(data, 'share-card')['custodian-1']; });
  assert.equal(check(place.before, place.entry)?.rule, 'BINDINGS-COMPLETE');
});

// --- who has which card ----------------------------------------------------------------------------------------------

test('a seat has the steps of the cards that it has', () => {
  const steps = (record: ScriptedRecord, who: string) => record.state.plan?.steps.filter((step) => step.who === who && step.line > 0).map(({ id }) => id.split('/')[0]);
  const [common, old, fresh] = [['read-hash', 'enrol'], ['read-old', 'retire', 'bag-old'], ['give-new', 'read-new', 'bag-new']];
  for (const [record, who, wanted] of [
    [changed, 'custodian-1', [...common, ...old, ...fresh]], [changed, 'custodian-3', [...common, ...fresh]],
    [leaves, 'custodian-1', [...common, ...old]], [leaves, 'custodian-3', [...common, ...old, ...fresh]], [leaves, 'custodian-4', [...common, ...fresh]],
  ] as const) assert.deepEqual(new Set(steps(record, who)), new Set(wanted), who);
  assert.deepEqual(Object.entries(leaves.state.backup?.given ?? {}).map(([seat, { x, card }]) => [seat, x, card]), [['custodian-3', 1, 'NEW-custodian-3'], ['custodian-4', 2, 'NEW-custodian-4']]);
  for (const record of [changed, leaves]) assert.equal(record.state.plan?.acts.every(({ first, last }) => record.state.plan?.steps[first] !== undefined && last >= first), true);
});

test('in a rehearsal the last custodian has just come, and where there are two nobody has', () => {
  const { script } = readScript(scriptText({ script: 'custodian-change' }));
  for (const [custodians, shares, old, fresh] of [[2, 2, 2, 2], [3, 3, 2, 3], [3, 2, 2, 2], [5, 5, 4, 5], [5, 3, 4, 3]] as const) {
    const plan = planOf(script!, { custodians, shares, threshold: 2 });
    assert.deepEqual([rehearsalSeats(plan, 'share-card').length, rehearsalSeats(plan, NEW).length], [old, fresh], `${custodians} ${shares}`);
    assert.ok(plan.seats.filter(({ role }) => role === 'custodian').every(({ id }) => rehearsalSeats(plan, 'share-card').includes(id) || rehearsalSeats(plan, NEW).includes(id)));
  }
});

// --- crashes ---------------------------------------------------------------------------------------------------------

const epochs = (record: ScriptedRecord) => happened(record, 'done', 'renew').map((entry) => ((entry.data as Data<'done'>).evidence as Evidence<'renew-shares'>).set.epoch);
const happened = (record: ScriptedRecord, kind: Kind, prefix: string) => record.entries.filter((entry) => entry.kind === kind && entry.step?.startsWith(prefix));

test('a crash before the last new share is out: the set is void, and the old shares make another', async () => {
  const record = crashed;
  assert.equal(record.state.phase, 'closed');
  assert.deepEqual(epochs(record), [2, 3], 'no number twice');
  assert.equal(happened(record, 'done', 'read-old').length, 2, 'the old shares are whole, and read');
  const erases = happened(record, 'begun', 'give-new').map((entry) => ((entry.data as Data<'begun'>).intent as Intent<'give-share'>).erases.length);
  assert.deepEqual(erases, [0, 0, 1, 1, 0], 'void shares are erased by the next ones');
  assert.deepEqual((await verifyTranscript(record.bytes)).verdict.findings, []);
});

test('a crash at the split, or once every share is out: the record goes on where it was', async () => {
  for (const [step, splits, how] of [['renew', [2], 'overwritten'], ['recovery', [2], 'process-ended']] as const) {
    const record = await scriptedRecord({ script: 'custodian-change', happenings: { [step]: [{ kind: 'crash' }] } });
    assert.equal(record.state.phase, 'closed', step);
    assert.deepEqual(epochs(record), splits, step);
    assert.equal(((happened(record, 'done', 'wipe-backup')[0]?.data as Loose)['evidence'] as Loose)['how'], how, step);
  }
});

test('an erasure without an outcome is begun again, and finding nothing is right then', async () => {
  for (const [happening, allowed] of [[{ kind: 'crash' }, true], [{ kind: 'fail', nothingChanged: false }, true], [{ kind: 'fail', nothingChanged: true }, false]] as const) {
    const record = await scriptedRecord({ script: 'custodian-change', happenings: { 'retire/custodian-1': [happening] } });
    const place = inside(at(record, 'done', 'retire/custodian-1'), (e) => { deviceOf(e)['before'] = 0; });
    assert.equal(check(place.before, place.entry)?.rule, allowed ? undefined : 'SHARE-ERASED', JSON.stringify(happening));
  }
});

// --- what is left ----------------------------------------------------------------------------------------------------

const judged = async (record: ScriptedRecord) => ({ verdict: (await verifyTranscript(record.bytes)).verdict, lines: record.lines });
const brought = (record: ScriptedRecord) => readBackupRecord(fromBase64url(record.state.opening?.inputs['backup']?.bytes ?? assert.fail('no backup')));

test('the new backup record: the same key under the same ciphertext, other shares; none before the proof', async () => {
  const files = (record: ScriptedRecord) => openFile(makeBundle(record.lines)).files ?? assert.fail();
  const [before, after] = [brought(changed), readBackupRecord(files(changed).get('backup.json') ?? assert.fail('no backup.json'))];
  assert.deepEqual({ ...after, ceremony: '', set: null, shares: null }, { ...before, ceremony: '', set: null, shares: null });
  assert.deepEqual([after.ceremony, after.set.id, after.set.epoch, after.set.secret], [changed.state.ceremony, before.set.id, 2, before.set.secret]);
  assert.deepEqual(after.shares.map(({ x, card }) => [x, card]), [1, 2, 3].map((x) => [x, `NEW-custodian-${x}`]));
  assert.ok(!files(aborted).has('backup.json'), 'a set that was never proven');
  const late = await scriptedRecord({ script: 'custodian-change', happenings: { 'retire/custodian-1': [{ kind: 'abort' }] } });
  assert.ok(files(late).has('backup.json'), 'a set that is in force, whatever becomes of the old cards');
  const minutes = fromUtf8(files(changed).get('minutes.html') ?? assert.fail());
  assert.match(minutes, /its card was not here: declared dead, NOT ERASED/);
  assert.match(minutes, /1 of 3, of which 2 make the backup key: too few/);
});

test('old shares that nobody erased are counted, and said to be enough where they are', () => {
  const left = (erased: string[]) => { const { left: n, enough } = oldShares({ ...changed.state, renewal: { ...changed.state.renewal!, erased } }); return [n, enough]; };
  assert.deepEqual([left(['custodian-1', 'custodian-2']), left(['custodian-1']), left([])], [[1, false], [2, true], [3, true]]);
});

test('the auditor recomputes what the old shares proved: another signature is named', async () => {
  const spoiled = fileOf(rewritten(changed, (entry) => {
    if (entry.kind !== 'done' || entry.step !== 'renew') return entry;
    const copy = structuredClone(entry) as Entry<'done'>;
    const { possession } = copy.data.evidence as { possession: { signature: string } };
    const bytes = fromBase64url(possession.signature);
    bytes[bytes.length - 1]! ^= 1;
    possession.signature = toBase64url(bytes);
    return copy;
  }));
  const { verdict } = await verifyTranscript(spoiled);
  assert.ok(verdict.findings.some(({ rule }) => rule === 'PROOF-OF-POSSESSION'));
});

test('the inventory: only the new set is in force, and it knows a newer split from an older one', async () => {
  const inventory = foldInventory([await judged(changed)]);
  const sets = (of: typeof inventory) => of.keys.flatMap(({ copies }) => copies.flatMap((copy) => (copy.kind === 'share-set' ? [[copy.epoch, copy.renewal, copy.end?.level ?? null] as const] : [])));
  assert.deepEqual(sets(inventory), [[1, 'superseded', 'L1'], [2, null, null]]);
  const { id } = brought(changed).set;
  assert.deepEqual([newerSplit(inventory, { id, epoch: 1 })?.epoch, newerSplit(inventory, { id, epoch: 2 })?.epoch, newerSplit(inventory, { id: 'other', epoch: 0 })], [2, undefined, undefined]);
  const early = foldInventory([await judged(aborted)]);
  assert.deepEqual(sets(early), [[1, null, null], [2, 'unproven', null]], 'what was never proven replaces nothing');
  assert.equal(newerSplit(early, { id, epoch: 1 }), undefined);
  const again = foldInventory([await judged(crashed)]);
  assert.deepEqual(sets(again).map(([epoch, renewal]) => [epoch, renewal]), [[1, 'superseded'], [2, 'unproven'], [3, null]]);
});

test('the custody register: the new cards hold the shares, the erased ones none, and the card of the one who left is named', async () => {
  const { sets, things, findings, balance } = foldCustody([await judged(changed)]);
  assert.deepEqual(sets.map(({ threshold, shares }) => [threshold, shares]), [[2, 3]]);
  const card = (serial: string) => things.find(({ identifier }) => identifier === serial) ?? assert.fail(serial);
  for (const x of [1, 2, 3]) assert.deepEqual(card(`NEW-custodian-${x}`).shares.map((share) => share.x), [x]);
  for (const seat of ['custodian-1', 'custodian-2']) assert.deepEqual([card(`SHARE-${seat}`).shares, card(`SHARE-${seat}`).what], [[], 'card whose share was erased']);
  assert.deepEqual([card('SHARE-elsewhere').person, card('SHARE-elsewhere').shares], ['Somebody else', []], 'with whoever received it, and counting for nothing');
  assert.ok(balance.every(({ unaccounted }) => unaccounted === 0));
  const dead = findings.filter(({ rule }) => rule === 'CUSTODY-SHARE-OF-ENDED-SET');
  assert.deepEqual(dead.map(({ found }) => /on card SHARE-elsewhere, declared dead and not erased/.test(found)), [true]);
  assert.deepEqual(dead[0]?.things, [card('SHARE-elsewhere').key]);
});

test('an old card that cannot be read or erased stops nothing: what is on it is counted as outside', async () => {
  const stubborn = await scriptedRecord({ script: 'custodian-change', happenings: { 'retire/custodian-2': [{ kind: 'fail' }, { kind: 'exception' }] } });
  assert.equal(stubborn.state.phase, 'closed');
  const { shares, left, enough } = oldShares(stubborn.state);
  assert.deepEqual([shares.map(({ erased }) => erased), left, enough], [[true, false, false], 2, true]);
  assert.equal((await verifyTranscript(fileOf(stubborn.lines))).verdict.verdict, 'valid');
  const early = at(stubborn, 'exception', 'retire/custodian-2');
  const elsewhere = at(stubborn, 'begun', 'recovery');
  assert.equal(check(elsewhere.before, { ...early.entry, seq: elsewhere.entry.seq, at: elsewhere.entry.at, step: 'recovery' })?.rule, 'HAND-OVER-EXCEPTION');
});
