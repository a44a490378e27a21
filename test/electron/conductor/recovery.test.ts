/**
 * A backup brought back, from the ceremony that made it to the one that uses the restored key: on the software token and on SoftHSM;
 * and what is refused on the way, by name, with nothing on the new token afterwards.
 */
import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readBackupRecord, type BackupRecord } from '../../../ceremonies/backup-record.ts';
import { fromBase64url, toBase64url } from '../../../ceremonies/bytes.ts';
import { foldInventory, type JudgedRecord } from '../../../ceremonies/inventory.ts';
import { readKeyRecord } from '../../../ceremonies/key-record.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import type { Entry } from '../../../ceremonies/ceremony.ts';
import { seatsOf } from '../../../ceremonies/script.ts';
import { parseLine } from '../../../ceremonies/transcript.ts';
import type { Bindings } from '../../../electron/contract.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import { ask, playOn, playRehearsal, standInNames, type Play } from '../../../electron/rehearsal.ts';
import { allObjects } from '../devices/objects.ts';
import { sharedHouse } from '../house.ts';
import { fileIn, played } from './bundles.ts';

const { home, house } = await sharedHouse('recovery');

type Module = 'software' | 'softhsm';

/** People, a fresh token, and these share cards: the i-th custodian brings the i-th card. */
async function comers(script: string, module: Module, cards: readonly string[]): Promise<Bindings> {
  const { bindings } = await ask(house, { call: 'provision', script, parameters: { custodians: cards.length }, module, brought: ['backup'] });
  const shares = Object.fromEntries(cards.map((serial, i) => [`custodian-${i + 1}`, { module, serial }]));
  return { ...bindings, cards: { ...bindings.cards, 'share-card': shares } };
}

const asInput = (record: BackupRecord | Uint8Array): NonNullable<Play['inputs']> => ({ backup: { file: 'backup.json', bytes: record instanceof Uint8Array ? Uint8Array.from(record) : new Uint8Array(Buffer.from(JSON.stringify(record))) } });

async function inventoryOf(...ceremonies: readonly string[]) {
  const records: JudgedRecord[] = [];
  for (const ceremony of ceremonies) records.push(await ask(house, { call: 'verify-own', ceremony }));
  return foldInventory(records, nativeHasher);
}

for (const [module, script, parameters] of [
  ['software', 'root-ca', { algorithm: 'ecdsa-p256', shares: 5, threshold: 3 }],
  ['softhsm', 'composite-ca', { shares: 3, threshold: 2 }],
] as const) {
  test(`${script} on ${module}: backed up, drilled, restored onto another token, and used there`, async () => {
    const made = await played(house, script, module, { parameters });
    const backup = fileIn(made.files, 'backup.json');
    const record = readBackupRecord(backup);
    // Not the first ones, and not in their order: whose card it is decides which share it is.
    const cards = record.shares.map(({ card }) => card).reverse().slice(0, parameters.threshold);
    const custodians = cards.length;

    const drill = await played(house, 'recovery-rehearsal', module, { parameters: { custodians }, bindings: await comers('recovery-rehearsal', module, cards), inputs: asInput(backup) });
    assert.ok(!drill.files.has('key.json') && !drill.files.has('backup.json'));

    const recovery = await played(house, 'recovery', module, { parameters: { custodians }, bindings: await comers('recovery', module, cards), inputs: asInput(backup) });
    const key = fileIn(recovery.files, 'key.json');
    const restored = readKeyRecord(key);
    assert.equal(restored.key.spki, record.key.spki);
    assert.notEqual(restored.token, record.token);
    assert.equal(restored.certificate, record.certificate);

    await played(house, 'crl', module, { tokens: { 'ca-hsm': { module, serial: restored.token } }, inputs: { ca: { file: 'key.json', bytes: key } } });

    const { keys } = await inventoryOf(made.ceremony, drill.ceremony, recovery.ceremony);
    const known = keys.find(({ identity }) => identity === keys[0]?.identity);
    assert.equal(known?.lastRecovery?.ceremony, recovery.ceremony);
    assert.equal(known.copies.filter(({ kind }) => kind === 'share-set').length, 1, 'one set, whoever tells of it');
    assert.deepEqual([...new Set(known.copies.flatMap((copy) => copy.kind === 'object' && copy.class === 'private-key' ? [copy.token] : []))], [record.token, restored.token]);
  });
}

test('what is refused, and by which rule; the token has nothing afterwards', async () => {
  const module = 'software';
  const made = await played(house, 'root-ca', module, { parameters: { algorithm: 'ecdsa-p256', shares: 3, threshold: 2 } });
  const record = readBackupRecord(fileIn(made.files, 'backup.json'));
  const cards = record.shares.map(({ card }) => card);
  const foreign = await comers('recovery', module, cards.slice(0, 2));
  const strangers = (await ask(house, { call: 'provision', script: 'recovery', parameters: { custodians: 2 }, module, brought: ['backup'] })).bindings;
  const damaged = fromBase64url(record.wrapped[0]?.wrapped ?? '');
  damaged[20]! ^= 1;
  const rows: readonly (readonly [rule: string, what: string, record: BackupRecord, bindings: Bindings, custodians: number])[] = [
    ['CARD-OF-BACKUP', 'cards of nobody in the backup', record, strangers, 2],
    ['SHARES-TOO-FEW', 'two where three are needed', { ...record, set: { ...record.set, threshold: 3 } }, await comers('recovery', module, cards.slice(0, 2)), 2],
    ['BACKUP-MODE', 'a real key', { ...record, mode: 'real' }, await comers('recovery', module, cards.slice(0, 2)), 2],
    ['SHARE-SAME-PERSON', 'two shares of one person', { ...record, shares: record.shares.map((share) => ({ ...share, holder: 'One and the same' })) }, foreign, 2],
    ['STATEFUL-NEVER-COPIED', 'a stateful key', { ...record, key: { ...record.key, algorithm: 'hss-lms' } }, foreign, 2],
    ['SHARE-OLD-EPOCH', 'cards of an older split', { ...record, set: { ...record.set, epoch: 2 } }, await comers('recovery', module, cards.slice(0, 2)), 2],
    ['SHARE-FOREIGN-SET', 'cards of another set', { ...record, set: { ...record.set, id: toBase64url(new Uint8Array(16)) } }, await comers('recovery', module, cards.slice(0, 2)), 2],
    ['SHARE-FOREIGN-SET', 'a record that commits to other shares', { ...record, set: { ...record.set, commitments: [...record.set.commitments].reverse() } }, await comers('recovery', module, cards.slice(0, 2)), 2],
    ['CKR_WRAPPED_KEY_INVALID', 'damaged ciphertext', { ...record, wrapped: [{ ...record.wrapped[0]!, wrapped: toBase64url(damaged) }] }, await comers('recovery', module, cards.slice(0, 2)), 2],
    ['KEY-THERE', 'the token on which the key is', record, { ...await comers('recovery', module, cards.slice(0, 2)), tokens: { 'new-hsm': { module, serial: record.token } } }, 2],
  ];
  for (const [rule, what, changed, bindings, custodians] of rows) {
    await assert.rejects(playRehearsal(house, { script: 'recovery', parameters: { custodians }, module, hasher: nativeHasher, bindings, inputs: asInput(changed) }),
      (error) => error instanceof Refused && error.refusal.rule === rule ? true : assert.fail(`${what}: ${String(error)}`), what);
    const { serial } = bindings.tokens['new-hsm'] ?? assert.fail();
    if (serial === record.token) continue;
    const page = await ask(house, { call: 'objects', module, token: serial, offset: 0, limit: 10 });
    assert.equal(page.total, 0, what);
  }
});

test('3-of-5 with four cards, one of them damaged: the terminal leaves it unread, and the three others bring the key back; a second one stops it', async () => {
  const module = 'software';
  const made = await played(house, 'root-ca', module, { parameters: { algorithm: 'ecdsa-p256', shares: 5, threshold: 3 } });
  const backup = fileIn(made.files, 'backup.json');
  const cards = readBackupRecord(backup).shares.map(({ card }) => card).slice(1);
  const damage = (card: string) => {
    const path = join(home, 'software-tokens', `${card}.token`);
    renameSync(path, `${path}-away`);
    return () => renameSync(`${path}-away`, path);
  };
  const recover = async () => {
    const bindings = await comers('recovery', module, cards);
    const { ceremony } = await ask(house, { call: 'open', script: 'recovery', parameters: { custodians: 4 }, people: standInNames(seatsOf({ officer: 1, custodian: 4, witness: 1, auditor: 1 })), bindings, inputs: asInput(backup), mode: 'rehearsal', standIns: true });
    return ceremony;
  };
  const first = await recover();
  const mend = damage(cards[1] ?? '');
  await playOn(house, first, { hasher: nativeHasher });
  const { verdict, lines } = await ask(house, { call: 'verify-own', ceremony: first });
  assert.deepEqual([verdict.verdict, verdict.findings], ['valid', []]);
  const entries = lines.map((line) => parseLine(line));
  assert.deepEqual(entries.filter(({ step }) => step === 'read-share/custodian-2').map(({ kind }) => kind), ['begun', 'failed', 'exception']);
  const [restore] = entries.flatMap((entry) => (entry.kind === 'begun' && entry.step === 'restore' ? [(entry as Entry<'begun'>).data.intent as { quorum: string[] }] : []));
  assert.deepEqual(restore?.quorum, ['custodian-1', 'custodian-3', 'custodian-4']);
  const { findings } = await ask(house, { call: 'custody' });
  assert.deepEqual(findings.filter(({ rule }) => rule !== 'CUSTODY-CHANGED-HANDS').map(({ rule, things }) => [rule, things]), [['CUSTODY-SHARE-UNREAD', [`card ${cards[1] ?? ''} (REHEARSAL)`]]]);

  mend();
  const second = await recover();
  const [mendOne, mendTwo] = [damage(cards[1] ?? ''), damage(cards[3] ?? '')];
  await assert.rejects(playOn(house, second, { hasher: nativeHasher }), (error) => error instanceof Refused && error.refusal.rule === 'TOKEN_MISSING');
  await assert.rejects(ask(house, { call: 'exception', ceremony: second, seat: 'officer', step: 'read-share/custodian-4', expected: 'A share.', happened: 'None.', decided: 'On.' }), (error) => error instanceof Refused && error.refusal.rule === 'SHARES-TOO-FEW');
  await ask(house, { call: 'abort', ceremony: second, seat: 'officer', reason: 'Two cards cannot be read.' });
  mendOne();
  mendTwo();
});

test('what the devices keep: the restored key, and no share or backup key beside the cards', async () => {
  const { files } = await played(house, 'recovery', 'software', { ca: { algorithm: 'ecdsa-p256', place: 'token' } });
  const { token, key } = readKeyRecord(fileIn(files, 'key.json'));
  const objects = await allObjects('software', home, REHEARSAL_PIN);
  assert.deepEqual(objects.filter(({ id }) => id === key.parts[0]?.id).map(({ class: kind }) => kind).sort(), ['private-key', 'public-key'], token);
  assert.ok(objects.every(({ label }) => !/backup|recovered|probe/.test(label)), 'what lived in a session is gone');
});
