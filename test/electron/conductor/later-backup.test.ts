/**
 * A backup for a key that is there already: made in the Tokens room, found by a record that was saved there, shared, locked, and brought
 * back onto another token; refused where it cannot leave; and a second backup beside the first, both in force.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readBackupRecord } from '../../../ceremonies/backup-record.ts';
import { forWebCrypto, utf8 } from '../../../ceremonies/bytes.ts';
import type { ObjectFact, OrderedAttributes } from '../../../ceremonies/evidence.ts';
import type { InventoryKey } from '../../../ceremonies/inventory.ts';
import { keyRecordFile, readKeyRecord } from '../../../ceremonies/key-record.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import type { Bindings, Inputs } from '../../../electron/contract.ts';
import { ask, playOn, playRehearsal } from '../../../electron/rehearsal.ts';
import { sharedHouse } from '../house.ts';
import { fileIn, played } from './bundles.ts';

const { house } = await sharedHouse('later-backup');
const hsm = 'softhsm';

const refusal = (rule: string) => (error: unknown) => (error instanceof Refused && error.refusal.rule === rule ? true : assert.fail(String(error)));
const keyFile = (bytes: Uint8Array): Inputs => ({ key: { file: 'key.json', bytes: forWebCrypto(bytes) } });
const backupFile = (bytes: Uint8Array): Inputs => ({ backup: { file: 'backup.json', bytes: forWebCrypto(bytes) } });
/** People with software cards, and this token. */
const around = async (script: string, tokens: Bindings['tokens'], brought: string) => (await ask(house, { call: 'provision', script, parameters: {}, module: 'software', tokens, brought: [brought] })).bindings;
const objectsOn = async (module: string, token: string) => (await ask(house, { call: 'objects', module, token, offset: 0, limit: 500 })).objects;

const named = ({ class: kind, id, label }: ObjectFact) => `${kind} ${id} ${label}`;

async function inventoryKeys(): Promise<readonly InventoryKey[]> {
  const { keys, rest } = await ask(house, { call: 'inventory', from: 0, limit: 500 });
  assert.deepEqual(rest?.findings, []);
  return keys;
}
const splitsOf = (key: InventoryKey | undefined) => key?.copies.flatMap((copy) => (copy.kind === 'share-set' && copy.end === null ? [copy] : [])) ?? [];

/** A blank token, and keys that an officer makes on it. */
async function tokenWith(...keys: readonly { readonly label: string; readonly attributes: OrderedAttributes; readonly despite: string[] }[]): Promise<string> {
  const { bindings } = await ask(house, { call: 'provision', script: 'recovery', parameters: {}, module: hsm, brought: ['backup'], cards: (await around('recovery', {}, 'backup')).cards });
  const token = bindings.tokens['new-hsm']?.serial ?? assert.fail('no token');
  const { ceremony } = await ask(house, { call: 'log-in', name: 'Stand-in officer', module: 'software', card: null, mode: 'rehearsal', standIns: true });
  await playOn(house, ceremony, { until: (state) => state.current?.step.do.action === 'administer' && !state.checkpointDue });
  for (const key of keys) await ask(house, { call: 'administer', ceremony, request: { change: 'generate-key', module: hsm, token, kind: 'ec-p256', ...key }, acceptFinalTry: false });
  await ask(house, { call: 'log-out', ceremony });
  await playOn(house, ceremony, {});
  return token;
}

async function recordOf(token: string, wanted: ObjectFact['class'], label: string) {
  const objects = await objectsOn(hsm, token);
  const position = objects.findIndex((object) => object.class === wanted && object.label === label);
  return ask(house, { call: 'key-record', module: hsm, token, place: { position, object: objects[position] ?? assert.fail(`no ${wanted} ${label}`) }, save: true });
}

test('on SoftHSM: a key of the Tokens room, backed up, locked, and brought back onto another token; one that cannot leave is refused before anything is made', async () => {
  const token = await tokenWith(
    { label: 'Payments', attributes: { sign: true, extractable: true, modifiable: true }, despite: ['KEY-EXTRACTABLE', 'KEY-MODIFIABLE'] },
    { label: 'Fixed', attributes: { sign: true }, despite: [] },
  );
  const { record, file } = await recordOf(token, 'public-key', 'Payments');
  assert.deepEqual([record.label, record.token, record.key.algorithm, record.certificate], ['Payments', token, 'ecdsa-p256', null]);
  assert.match(file?.path ?? '', /key-[0-9a-f]{8}\.json$/);
  await ask(house, { call: 'token-login', module: hsm, token, standIn: true, acceptFinalTry: false });
  const before = await objectsOn(hsm, token);
  assert.deepEqual((await recordOf(token, 'private-key', 'Payments')).record, record, 'both halves give one record');
  const fixed = (await recordOf(token, 'private-key', 'Fixed')).record;
  await ask(house, { call: 'token-log-out', module: hsm, token });

  const tokens = { 'key-hsm': { module: hsm, serial: token } };
  const bindings = await around('share-backup', tokens, 'key');
  await assert.rejects(playRehearsal(house, { script: 'share-backup', parameters: {}, module: 'software', hasher: nativeHasher, bindings, inputs: keyFile(keyRecordFile(fixed)) }), refusal('BACKUP-POSSIBLE'));
  const [{ ceremony } = assert.fail('no record')] = (await ask(house, { call: 'ceremonies' })).filter(({ script, state }) => script === 'share-backup' && state === 'open');
  await ask(house, { call: 'abort', ceremony, seat: 'officer', reason: 'This key cannot have a backup.' });

  const { files } = await played(house, 'share-backup', 'software', { bindings, inputs: keyFile(keyRecordFile(record)) });
  const backup = readBackupRecord(fileIn(files, 'backup.json'));
  assert.deepEqual([backup.key, backup.token, backup.certificate, files.has('key.json')], [record.key, token, null, false]);
  await ask(house, { call: 'token-login', module: hsm, token, standIn: true, acceptFinalTry: false });
  assert.deepEqual((await objectsOn(hsm, token)).map(named).sort(), before.map(named).sort(), 'nothing was added to the token');
  const { total, objects: [half], positions: [position] } = await ask(house, { call: 'search-objects', module: hsm, token, where: [{ attribute: 'CKA_CLASS', value: 'CKO_PRIVATE_KEY' }, { attribute: 'CKA_LABEL', value: 'Payments' }], offset: 0, limit: 1 });
  const { key: attributes } = await ask(house, { call: 'object', module: hsm, token, place: { position: position!, object: half! } });
  assert.deepEqual([total, attributes?.extractable, attributes?.sensitive], [1, false, true]);
  await ask(house, { call: 'token-log-out', module: hsm, token });
  // Now that it is locked, it has the backup that it has.
  await assert.rejects(playRehearsal(house, { script: 'share-backup', parameters: {}, module: 'software', hasher: nativeHasher, bindings, inputs: keyFile(keyRecordFile(record)) }), refusal('BACKUP-POSSIBLE'));

  const other = (await ask(house, { call: 'provision', script: 'recovery', parameters: {}, module: hsm, brought: ['backup'], cards: bindings.cards })).bindings.tokens['new-hsm'] ?? assert.fail('no token');
  const restored = await played(house, 'recovery', 'software', { inputs: backupFile(fileIn(files, 'backup.json')), bindings: { tokens: { 'new-hsm': other }, cards: { 'identity-card': bindings.cards['identity-card']!, 'share-card': bindings.cards['share-card']! } } });
  const again = readKeyRecord(fileIn(restored.files, 'key.json'));
  assert.deepEqual([again.key.spki, again.token, again.certificate], [record.key.spki, other.serial, null], 'a restored key has its record, certified or not');

  const key = (await inventoryKeys()).find(({ label }) => label === 'Payments');
  assert.deepEqual(splitsOf(key).map(({ set, complete, recoveryProven, renewal }) => [set, complete, recoveryProven, renewal]), [[backup.set.id, true, true, null]]);
  assert.deepEqual(key?.copies.flatMap((copy) => (copy.kind === 'object' && copy.class === 'private-key' ? [copy.token] : [])).sort(), [token, other.serial].sort());
  assert.ok(key?.unknown.some((words) => words.includes('extractable until it was locked')));
  const { findings, failed } = await ask(house, { call: 'reconcile', tokens: [{ module: hsm, token }, { module: hsm, token: other.serial }], login: 'stand-in' });
  assert.deepEqual([findings, failed], [[], []], 'the inventory is what the tokens hold');
  const custody = await ask(house, { call: 'custody' });
  for (const { card } of backup.shares) assert.ok(custody.things.some(({ identifier, shares }) => identifier === card && shares.some(({ set }) => set === backup.set.id)), card);
});

test('a second backup of a key that has one: of a key that is all wrapped, which nothing locks; both are in force, and the first one still brings it back', async () => {
  const parameters = { shares: 2, threshold: 2 };
  const { bindings, inputs } = await ask(house, { call: 'provision', script: 'share-backup', parameters, module: 'software', ca: { algorithm: 'ml-dsa-65', place: 'wrapped' } });
  const first = await played(house, 'share-backup', 'software', { parameters, bindings, inputs });
  const others = (await ask(house, { call: 'provision', script: 'share-backup', parameters, module: 'software', tokens: bindings.tokens, brought: ['key'] })).bindings;
  const second = await played(house, 'share-backup', 'software', { parameters, bindings: others, inputs });
  const [one, two] = [first, second].map(({ files }) => readBackupRecord(fileIn(files, 'backup.json')));
  assert.deepEqual([one?.set.epoch, two?.set.epoch, one?.set.id === two?.set.id, one?.key.spki === two?.key.spki], [1, 1, false, true]);
  const spki = readKeyRecord(inputs['key']?.bytes ?? utf8('')).key.spki;
  assert.equal(one?.key.spki, spki);
  const splits = (await inventoryKeys()).map(splitsOf).find((sets) => sets.length === 2);
  assert.deepEqual(splits?.map(({ set, renewal, recoveryProven, complete }) => [set, renewal, recoveryProven, complete]), [[one?.set.id, null, true, true], [two?.set.id, null, true, true]]);
  const { findings } = await ask(house, { call: 'custody' });
  assert.deepEqual(findings.filter(({ rule }) => rule !== 'CUSTODY-CHANGED-HANDS').map(({ rule }) => rule), []);
  const drill = await ask(house, { call: 'provision', script: 'recovery-rehearsal', parameters: { custodians: 2 }, module: 'software', brought: ['backup'], cards: { 'share-card': bindings.cards['share-card']!, 'identity-card': bindings.cards['identity-card']! } });
  await played(house, 'recovery-rehearsal', 'software', { parameters: { custodians: 2 }, bindings: drill.bindings, inputs: backupFile(fileIn(first.files, 'backup.json')) });
});
