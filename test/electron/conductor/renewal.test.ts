/**
 * Custodians changed, from the ceremony that made the backup to a recovery with the newest shares, on the software token and on SoftHSM;
 * and what the old record and the old cards are worth afterwards.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readBackupRecord, type BackupRecord } from '../../../ceremonies/backup-record.ts';
import { readKeyRecord } from '../../../ceremonies/key-record.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import type { Bindings } from '../../../electron/contract.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import { ask, type Play } from '../../../electron/rehearsal.ts';
import { allObjects } from '../devices/objects.ts';
import { sharedHouse } from '../house.ts';
import { fileIn, played, type Files } from './bundles.ts';

const { home, house } = await sharedHouse('renewal');

type Module = 'software' | 'softhsm';
const backupOf = ({ files }: { readonly files: Files }): BackupRecord => readBackupRecord(fileIn(files, 'backup.json'));
const asInput = (record: BackupRecord): NonNullable<Play['inputs']> => ({ backup: { file: 'backup.json', bytes: new Uint8Array(Buffer.from(JSON.stringify(record))) } });
const refusal = (rule: string) => (error: unknown) => (error instanceof Refused && error.refusal.rule === rule ? true : assert.fail(String(error)));

/** People, a token, fresh cards for the new shares, and these old cards: the i-th custodian brings the i-th. */
async function comers(script: string, module: Module, parameters: Record<string, number>, old: readonly string[]): Promise<Pick<Play, 'bindings' | 'parameters'> & { readonly bindings: Bindings }> {
  const cards = { 'share-card': Object.fromEntries(old.map((serial, i) => [`custodian-${i + 1}`, { module, serial }])) };
  const { bindings } = await ask(house, { call: 'provision', script, parameters, module, brought: ['backup'], cards });
  return { bindings, parameters };
}
const cardsOf = ({ shares }: BackupRecord) => shares.map(({ card }) => card);

test('one replaced, then another threshold, then a recovery; old records and old cards are named', async () => {
  const module = 'software';
  const first = backupOf(await played(house, 'root-ca', module, { parameters: { algorithm: 'ecdsa-p256', shares: 3, threshold: 2 } }));
  // Custodian 3 has left with the card. The third seat is somebody new.
  const change = await comers('custodian-change', module, { custodians: 3, shares: 3, threshold: 2 }, cardsOf(first).slice(0, 2));
  const second = backupOf(await played(house, 'custodian-change', module, { ...change, inputs: asInput(first) }));
  assert.deepEqual([second.set.id, second.set.epoch, second.set.secret, second.wrapped], [first.set.id, 2, first.set.secret, first.wrapped]);
  assert.ok(cardsOf(second).every((card) => !cardsOf(first).includes(card)));

  // What the old record is worth on this machine: nothing, whatever is to be done with it.
  for (const [script, parameters] of [['recovery', { custodians: 2 }], ['recovery-rehearsal', { custodians: 2 }], ['custodian-change', { custodians: 2, shares: 2, threshold: 2 }]] as const) {
    const late = await comers(script, module, parameters, cardsOf(first).slice(0, 2));
    await assert.rejects(played(house, script, module, { ...late, inputs: asInput(first) }), refusal('SHARE-OLD-EPOCH'), script);
  }
  // The card of the one who left still holds its share. It is no card of the new backup; and where somebody writes it into that, it is named.
  const [gone, fresh] = [first.shares[2] ?? assert.fail(), cardsOf(second)[0] ?? ''];
  const mixed = await comers('recovery', module, { custodians: 2 }, [fresh, gone.card]);
  await assert.rejects(played(house, 'recovery', module, { ...mixed, inputs: asInput(second) }), refusal('CARD-OF-BACKUP'));
  const forged = { ...second, shares: second.shares.map((share) => (share.x === 3 ? { ...share, card: gone.card, object: gone.object } : share)) };
  await assert.rejects(played(house, 'recovery', module, { ...mixed, inputs: asInput(forged) }), refusal('SHARE-OLD-EPOCH'));
  // On an erased card there is nothing at all.
  const [erased] = first.shares;
  const empty = { ...second, shares: second.shares.map((share) => (share.x === 1 ? { ...share, card: erased!.card, object: erased!.object } : share)) };
  await assert.rejects(played(house, 'recovery', module, { ...await comers('recovery', module, { custodians: 2 }, [erased!.card, cardsOf(second)[1]!]), inputs: asInput(empty) }), refusal('ONE-MATCH'));

  const wider = await comers('custodian-change', module, { custodians: 5, shares: 5, threshold: 3 }, cardsOf(second));
  const third = backupOf(await played(house, 'custodian-change', module, { ...wider, inputs: asInput(second) }));
  assert.deepEqual([third.set.epoch, third.set.threshold, third.set.shares, third.set.secret], [3, 3, 5, first.set.secret]);

  const two = await comers('recovery', module, { custodians: 2 }, cardsOf(third).slice(0, 2));
  await assert.rejects(played(house, 'recovery', module, { ...two, inputs: asInput(third) }), refusal('SHARES-TOO-FEW'));
  const recovery = await played(house, 'recovery', module, { ...await comers('recovery', module, { custodians: 3 }, cardsOf(third).slice(2)), inputs: asInput(third) });
  assert.equal(readKeyRecord(fileIn(recovery.files, 'key.json')).key.spki, first.key.spki);

  // What lies on cards now: the shares of the third set, and the one that was never brought back.
  const shares = (await allObjects('software', home, REHEARSAL_PIN)).filter(({ label }) => label.startsWith('conclave-share-')).map(({ label }) => label);
  assert.deepEqual(shares.sort(), [...third.shares.map(({ object }) => object), gone.object].sort());
  const { findings } = await ask(house, { call: 'custody' });
  assert.deepEqual(findings.filter(({ rule }) => rule === 'CUSTODY-SHARE-OF-ENDED-SET').map(({ found }) => found.includes(gone.card)), [true]);
});

test('on SoftHSM: a composite whose shares are renewed, and a drill with the new ones', async () => {
  const module = 'softhsm';
  const record = backupOf(await played(house, 'custodian-change', module));
  const custodians = record.set.threshold;
  await played(house, 'recovery-rehearsal', module, { ...await comers('recovery-rehearsal', module, { custodians }, cardsOf(record).slice(-custodians)), inputs: asInput(record) });
});

test('before anything is split: parts that are wrapped under another backup key', async () => {
  const module = 'software';
  const parameters = { custodians: 2, shares: 2, threshold: 2 };
  const ca = { algorithm: 'ecdsa-p256', place: 'token' } as const;
  const made = async () => {
    const { bindings, inputs } = await ask(house, { call: 'provision', script: 'custodian-change', parameters, module, ca });
    return { bindings, record: readBackupRecord(inputs['backup']?.bytes ?? assert.fail('no backup')) };
  };
  const [{ bindings, record }, other] = [await made(), await made()];
  await assert.rejects(played(house, 'custodian-change', module, { parameters, bindings, inputs: asInput({ ...record, wrapped: other.record.wrapped }) }), refusal('CKR_WRAPPED_KEY_INVALID'));
  const fresh = Object.values(bindings.cards['new-share-card'] ?? {}).map(({ serial }) => serial);
  for (const token of [...fresh, bindings.tokens['proof-hsm']?.serial ?? '']) assert.equal((await ask(house, { call: 'objects', module, token, offset: 0, limit: 10 })).total, 0, 'nothing was given out');
  // The old shares are where they were: with the right record the same cards are renewed.
  assert.equal(backupOf(await played(house, 'custodian-change', module, { parameters, bindings, inputs: asInput(record) })).set.epoch, 2);
});
