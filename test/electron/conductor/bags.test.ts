/**
 * Bags over two ceremonies in the real processes: a share is sealed into one, comes out of another, and goes into a third. What was swapped in
 * between is in the record, in the minutes and in the register, and stops nobody from bringing the key back.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readBackupRecord } from '../../../ceremonies/backup-record.ts';
import { fromUtf8 } from '../../../ceremonies/bytes.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import { ask, playOn, playRehearsal } from '../../../electron/rehearsal.ts';
import { sharedHouse } from '../house.ts';
import { fileIn, filesOf, played } from './bundles.ts';

const { house } = await sharedHouse('bags');
const rule = (wanted: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === wanted;
const register = () => ask(house, { call: 'custody' });

test('a card out of another bag than the records have: it is found, and the key comes back all the same', async () => {
  const made = await played(house, 'root-ca', 'software', { parameters: { algorithm: 'ecdsa-p256', shares: 3, threshold: 2 } });
  const backup = fileIn(made.files, 'backup.json');
  const { shares } = readBackupRecord(backup);
  const before = await register();
  const bagOf = (card: string) => before.things.find(({ kind, identifier }) => kind === 'card' && identifier === card)?.inside ?? assert.fail(card);
  const bags = shares.map(({ card }) => bagOf(card));
  assert.equal(new Set(bags).size, 3, 'every share in a bag of its own');
  assert.deepEqual([before.findings, before.balance.filter(({ unaccounted }) => unaccounted !== 0)], [[], []]);

  const parameters = { custodians: 2 };
  const { bindings } = await ask(house, { call: 'provision', script: 'recovery-rehearsal', parameters, module: 'software', brought: ['backup'] });
  const cards = Object.fromEntries(shares.slice(0, 2).map(({ card: serial }, i) => [`custodian-${i + 1}`, { module: 'software', serial }]));
  const play = { script: 'recovery-rehearsal', parameters, module: 'software', hasher: nativeHasher, bindings: { ...bindings, cards: { ...bindings.cards, 'share-card': cards } }, inputs: { backup: { file: 'backup.json', bytes: backup } } };
  const at = (step: string) => ({ hasher: nativeHasher, until: (state: { readonly current: { readonly step: { readonly id: string } } | null }) => state.current?.step.id === step });
  const ceremony = await playRehearsal(house, { ...play, ...at('read-share/custodian-2') });
  const act = (step: string, typed: string) => ask(house, { call: 'act', ceremony, step, acceptFinalTry: false, typed });
  await assert.rejects(act('read-share/custodian-2', ' '), rule('BAG-SERIAL'), 'nobody read a number');
  await act('read-share/custodian-2', 'B-9999');
  await playOn(house, ceremony, at('bag-cards/custodian-1'));
  const identifier = (key: string) => before.things.find((thing) => thing.key === key)?.identifier ?? assert.fail(key);
  await assert.rejects(act('bag-cards/custodian-1', identifier(bags[0] ?? '')), rule('BAG-SERIAL'), 'it was opened here');
  await assert.rejects(act('bag-cards/custodian-1', identifier(bags[2] ?? '')), rule('BAG-SERIAL'), 'the third share lies in it, as the register knows');
  await playOn(house, ceremony, { hasher: nativeHasher });

  const minutes = fromUtf8((await filesOf(house, ceremony)).get('minutes.html') ?? assert.fail());
  for (const words of ['B-9999', `the records of this machine expect another bag: <span class="code">${identifier(bags[1] ?? '')}</span>`]) assert.ok(minutes.includes(words), words);
  const { findings, things } = await register();
  assert.deepEqual(findings.map((finding) => [finding.rule, finding.source?.ceremony]), [['CUSTODY-OTHER-BAG', ceremony]]);
  assert.ok(![bags[0], bags[1], 'bag B-9999 (REHEARSAL)'].some((key) => things.some((thing) => thing.key === key)), 'what was opened is waste');
  assert.equal(things.filter(({ kind }) => kind === 'bag').length, 3);
});

test('a card that is not there to be put away is said to be missing; the ceremony closes, and the register does not balance', async () => {
  const step = 'bag-cards/custodian-1';
  const ceremony = await playRehearsal(house, { script: 'activation-split', parameters: {}, module: 'software', hasher: nativeHasher, until: (state) => state.current?.step.id === step });
  await ask(house, { call: 'exception', ceremony, seat: 'officer', step, expected: 'The card in its bag.', happened: 'It is on no table and in no reader.', decided: 'The room is searched.' });
  await playOn(house, ceremony, { hasher: nativeHasher });
  const { verdict } = await ask(house, { call: 'verify-own', ceremony });
  assert.deepEqual([verdict.verdict, verdict.findings], ['valid', []]);
  const { findings, balance } = await register();
  assert.deepEqual(findings.filter(({ source }) => source?.ceremony === ceremony).map((finding) => finding.rule), ['CUSTODY-NOT-PUT-AWAY']);
  assert.deepEqual(balance.filter(({ unaccounted }) => unaccounted !== 0).map(({ name, unaccounted }) => [name, unaccounted]), [['Stand-in custodian-1', 1]]);
});

test('an escrow envelope is in the register, with the agent whom the terms name', async () => {
  const deposit = await played(house, 'escrow-deposit', 'software');
  const { things, placement } = await register();
  const envelope = things.find(({ kind, since }) => kind === 'envelope' && since.ceremony === deposit.ceremony) ?? assert.fail();
  assert.deepEqual([envelope.person, envelope.shares], ['Example Escrow Agent', []]);
  assert.ok(envelope.seals !== null && envelope.what.includes(envelope.seals));
  assert.ok(!placement.some(({ rule: found }) => found === 'PLACEMENT-ESCROW-WITH-SHARE'));
});
