/**
 * A key that a ceremony made and backed up gets a second home, behind another module; both tokens sign as one. What is refused, and by
 * which rule; and kill -9 around the comparison.
 */
import assert from 'node:assert/strict';
import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readBackupRecord } from '../../../ceremonies/backup-record.ts';
import { openFile } from '../../../ceremonies/bundle.ts';
import { foldInventory } from '../../../ceremonies/inventory.ts';
import { readKeyRecord } from '../../../ceremonies/key-record.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { parseLine } from '../../../ceremonies/transcript.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import type { Bindings } from '../../../electron/contract.ts';
import { ask, playRehearsal, type Play } from '../../../electron/rehearsal.ts';
import { remove, sharedHouse, temporaryFolder } from '../house.ts';
import { each, entriesIn, goOn, killedFor } from './crash.ts';

const { home, house } = await sharedHouse('cloning');

const input = (file: string, bytes: Uint8Array) => ({ file, bytes: Uint8Array.from(bytes) });

/** A root CA on this module: its key record, its backup, and who has the cards. */
async function root(module: string) {
  const ceremony = await playRehearsal(house, { script: 'root-ca', parameters: { algorithm: 'ecdsa-p256', shares: 3, threshold: 2 }, module, hasher: nativeHasher });
  const { path } = await ask(house, { call: 'export', ceremony });
  const files = openFile(new Uint8Array(readFileSync(path))).files ?? assert.fail();
  const [key, backup] = [files.get('key.json') ?? assert.fail(), files.get('backup.json') ?? assert.fail()];
  return { ceremony, key, backup, token: readKeyRecord(key).token, cards: readBackupRecord(backup).shares.slice(0, 2).map(({ card }) => card) };
}

async function clone(primary: Bindings['tokens'][string], cards: readonly Bindings['tokens'][string][], inputs: NonNullable<Play['inputs']>, change: (bindings: Bindings) => Bindings = (same) => same): Promise<string> {
  const shares = Object.fromEntries(cards.map((bound, i) => [`custodian-${i + 1}`, bound]));
  const { bindings } = await ask(house, { call: 'provision', script: 'ha-clone', parameters: { custodians: 2 }, module: 'software', tokens: { primary }, cards: { 'share-card': shares }, brought: ['key', 'backup'] });
  return playRehearsal(house, { script: 'ha-clone', parameters: { custodians: 2 }, module: 'software', hasher: nativeHasher, bindings: change(bindings), inputs });
}

test('from SoftHSM onto the software token: the same key on both, each signs, and what differs is what was outside', async () => {
  const module = 'softhsm';
  const made = await root(module);
  const primary = { module, serial: made.token };
  const cards = made.cards.map((serial) => ({ module, serial }));
  const inputs = { key: input('key.json', made.key), backup: input('backup.json', made.backup) };
  const ceremony = await clone(primary, cards, inputs);
  const { verdict, lines } = await ask(house, { call: 'verify-own', ceremony });
  assert.deepEqual([verdict.verdict, verdict.findings], ['valid', []]);
  const entries = lines.map((line) => parseLine(line));
  assert.deepEqual(entries.filter(({ step, kind }) => step === 'compare' && kind !== 'witnessed').map(({ kind }) => kind), ['begun', 'done']);
  const records = await Promise.all([made.ceremony, ceremony].map((one) => ask(house, { call: 'verify-own', ceremony: one })));
  const [key] = foldInventory(records, nativeHasher).keys;
  assert.deepEqual(key?.copies.flatMap((copy) => (copy.kind === 'object' && copy.class === 'private-key' ? [copy.module] : [])), ['softhsm', 'software']);
  assert.equal(key?.whoCan.filter((who) => who.startsWith('who has the user PIN')).length, 2);

  const rule = (name: string) => (error: unknown) => (error instanceof Refused && error.refusal.rule === name ? true : assert.fail(String(error)));
  await assert.rejects(clone(primary, cards, inputs, (bindings) => ({ ...bindings, tokens: { ...bindings.tokens, second: primary } })), rule('ONE-CARD-ONE-PERSON'));
  await assert.rejects(clone(primary, cards, inputs, (bindings) => ({ ...bindings, tokens: { primary: bindings.tokens['second']!, second: primary } })), rule('KEY-BOUND'));
  const record = readKeyRecord(made.key);
  const other = await ask(house, { call: 'provision', script: 'crl', parameters: {}, module: 'software', ca: { algorithm: 'ecdsa-p256', place: 'token' } });
  const otherKey = other.inputs['ca'] ?? assert.fail();
  await assert.rejects(clone(other.bindings.tokens['ca-hsm']!, cards, { ...inputs, key: otherKey }), rule('CLONE-SAME-KEY'));
  // The record is of the key, and its token is not here.
  const gone = { ...record, token: other.bindings.tokens['ca-hsm']!.serial };
  const away = join(home, 'software-tokens', `${other.bindings.tokens['ca-hsm']!.serial}.token`);
  renameSync(away, `${away}-away`);
  await assert.rejects(clone(other.bindings.tokens['ca-hsm']!, cards, { ...inputs, key: input('key.json', new TextEncoder().encode(JSON.stringify(gone))) }), rule('TOKEN-PRESENT'));
});

/** Begun; done at both tokens and not written. */
const MOMENTS = ['entry 123', 'outcome 41'];

test('killed for real around the comparison, and carried on to the end', async (t) => {
  await each(t, MOMENTS, (moment) => moment, async (moment) => {
    const folder = temporaryFolder('crash');
    try {
      const heard = await killedFor(folder, 'software', moment, 'ha-clone', {}, { algorithm: 'ecdsa-p256', place: 'token' });
      const durable = await entriesIn(folder);
      if (moment === MOMENTS[1]) assert.deepEqual([parseLine(heard.at(-1) ?? '').kind, parseLine(heard.at(-1) ?? '').step], ['begun', 'compare'], 'the boundaries have moved');
      await goOn(folder, 'software', durable, heard);
    } finally {
      remove(folder);
    }
  });
});
