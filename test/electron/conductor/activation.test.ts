/**
 * A token whose PIN nobody knows, from the ceremony that sets it to those that open it: on the software token and on SoftHSM; killed
 * at the boundaries where somebody could be asked for a PIN in vain; and what is refused on the way, by name.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readActivationRecord, type ActivationRecord } from '../../../ceremonies/activation.ts';
import { toBase64url } from '../../../ceremonies/bytes.ts';
import { pendingAction, type Data, type Entry } from '../../../ceremonies/ceremony.ts';
import type { Intent } from '../../../ceremonies/evidence.ts';
import { foldInventory, type JudgedRecord } from '../../../ceremonies/inventory.ts';
import { readKeyRecord } from '../../../ceremonies/key-record.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { foldCustody } from '../../../ceremonies/shares/custody.ts';
import { parseLine } from '../../../ceremonies/transcript.ts';
import { verifyTranscript } from '../../../ceremonies/verify.ts';
import type { Bindings } from '../../../electron/contract.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import { ask, playOn } from '../../../electron/rehearsal.ts';
import { scriptedRecord } from '../../ceremonies/scripted.ts';
import { openHouse, remove, sharedHouse, temporaryFolder } from '../house.ts';
import { fileIn, played } from './bundles.ts';
import { allLines, each, killedFor } from './crash.ts';

const { house } = await sharedHouse('activation');

type Module = 'software' | 'softhsm';
type File = Uint8Array<ArrayBuffer>;
const forFile = (record: ActivationRecord): File => new Uint8Array(Buffer.from(JSON.stringify(record)));
const input = (bytes: File) => ({ file: 'activation.json', bytes });

/** People, the token, and these share cards: the i-th custodian brings the i-th card. */
async function comers(module: Module, token: string, cards: readonly string[]): Promise<Bindings> {
  const { bindings } = await ask(house, { call: 'provision', script: 'activate', parameters: { custodians: cards.length }, module, brought: ['activation', 'ca'], tokens: { 'ca-hsm': { module, serial: token } } });
  return { ...bindings, cards: { ...bindings.cards, 'share-card': Object.fromEntries(cards.map((serial, i) => [`custodian-${i + 1}`, { module, serial }])) } };
}

async function opened(module: Module, record: File, key: File, cards: readonly string[], more: Partial<ActivationRecord> = {}): Promise<Awaited<ReturnType<typeof played>>> {
  const read = { ...readActivationRecord(record), ...more };
  const bytes = Object.keys(more).length === 0 ? record : forFile(read);
  return played(house, 'activate', module, { parameters: { custodians: cards.length, purpose: 'The list of the first quarter' }, bindings: await comers(module, readKeyRecord(key).token, cards), inputs: { activation: input(bytes), ca: { file: 'key.json', bytes: key } } });
}

async function recordsOf(...ceremonies: readonly string[]): Promise<JudgedRecord[]> {
  const records: JudgedRecord[] = [];
  for (const ceremony of ceremonies) records.push(await ask(house, { call: 'verify-own', ceremony }));
  return records;
}

test('a key is made on SoftHSM, its token gets a quorum, is opened, and gets another quorum; what is refused is no try', async () => {
  const module = 'softhsm';
  const made = await played(house, 'root-ca', module, { parameters: { algorithm: 'ecdsa-p256', shares: 3, threshold: 2 } });
  const key = fileIn(made.files, 'key.json');
  const { token } = readKeyRecord(key);
  const on = { hsm: { module, serial: token } };
  const split = await played(house, 'activation-split', module, { tokens: on });
  const first = fileIn(split.files, 'activation.json');
  const record = readActivationRecord(first);
  assert.deepEqual([record.token.serial, record.set.epoch, record.pin.length], [token, 1, 32]);
  const cards = record.shares.map(({ card }) => card).reverse();

  // Two of three, in another order than they were numbered in.
  const use = await opened(module, first, key, cards.slice(0, 2));
  const lines = await allLines(house, use.ceremony);
  const entry = lines.map((line) => parseLine(line)).find(({ kind, step }) => kind === 'begun' && step === 'open-token') as Entry<'begun'>;
  assert.equal((entry.data.intent as Intent<'activate'>).purpose, 'The list of the first quarter');
  assert.ok(!use.files.has('activation.json'));

  // Another split: two of the old holders and their cards are here, the third is new and brings a card of his own.
  const { bindings } = await ask(house, { call: 'provision', script: 'activation-split', parameters: {}, module, brought: ['former'], tokens: on });
  const share = bindings.cards['share-card'] ?? assert.fail();
  const again = await played(house, 'activation-split', module, {
    bindings: { ...bindings, cards: { ...bindings.cards, 'share-card': { ...share, 'custodian-1': { module, serial: cards[2]! }, 'custodian-3': { module, serial: cards[0]! } } } }, inputs: { former: input(first) },
  });
  const second = fileIn(again.files, 'activation.json');
  const renewed = readActivationRecord(second);
  assert.equal(renewed.set.epoch, 2);
  assert.deepEqual([renewed.shares[0]!.card, renewed.shares[2]!.card], [cards[2], cards[0]]);

  await assert.rejects(opened(module, first, key, cards.slice(0, 2)), (error) => error instanceof Refused && error.refusal.rule === 'ACTIVATION-REPLACED' && /Nothing was tried/.test(error.refusal.next));
  const two = renewed.shares.map(({ card }) => card).slice(0, 2);
  const { set, shares } = renewed;
  const strangers = (await ask(house, { call: 'provision', script: 'activate', parameters: { custodians: 2 }, module, brought: ['activation', 'ca'] })).bindings;
  const rows: readonly (readonly [rule: string, what: string, more: Partial<ActivationRecord>, cards?: readonly string[]])[] = [
    ['ACTIVATION-TOKEN', 'the set of another token', { token: { ...renewed.token, serial: 'ANOTHER' } }],
    ['ACTIVATION-MODE', 'a real set', { mode: 'real' }],
    ['CARD-OF-ACTIVATION', 'cards that the record does not name', {}, Object.values(strangers.cards['share-card'] ?? {}).map(({ serial }) => serial)],
    ['SHARES-TOO-FEW', 'two where three are needed', { set: { ...set, threshold: 3 } }],
    ['SHARE-SAME-PERSON', 'two shares of one person', { shares: shares.map((share) => ({ ...share, holder: 'One and the same' })) }],
    ['INPUT-ACTIVATION', 'a commitment too few', { set: { ...set, commitments: set.commitments.slice(1) } }],
    ['SHARE-OLD-EPOCH', 'cards of an older split', { set: { ...set, epoch: 3 } }],
    ['SHARE-FOREIGN-SET', 'cards of another set', { set: { ...set, id: toBase64url(new Uint8Array(16)) } }],
  ];
  for (const [rule, what, more, cards = two] of rows) {
    await assert.rejects(opened(module, second, key, cards, more), (error) => (error instanceof Refused && error.refusal.rule === rule) || assert.fail(`${what}: ${String(error)}`), what);
  }
  // And the token opens: none of that has cost a try.
  await opened(module, second, key, renewed.shares.map(({ card }) => card));

  const records = await recordsOf(made.ceremony, split.ceremony, use.ceremony, again.ceremony);
  const { keys, activations } = foldInventory(records, nativeHasher);
  assert.deepEqual(activations.map(({ epoch, inForce, end }) => [epoch, inForce, end?.ceremony ?? null]), [[1, false, again.ceremony], [2, true, null]]);
  assert.match(keys.find(({ label }) => label === 'Root CA')?.whoCan.join('; ') ?? '', /^any 2 of Stand-in custodian-1, Stand-in custodian-2, Stand-in custodian-3, who open token/);
  const custody = foldCustody(records, nativeHasher);
  assert.deepEqual(custody.sets.map(({ id, key: what }) => [id, what]).sort(), [[renewed.set.id, `the PIN of token ${token}`], [custody.sets.find(({ key: what }) => what === 'Root CA')?.id, 'Root CA']].sort());
  const card = custody.things.find(({ identifier }) => identifier === renewed.shares[1]!.card) ?? assert.fail();
  assert.deepEqual(card.shares, [{ set: renewed.set.id, x: 2 }]);
  assert.ok(!custody.things.some(({ kind, identifier }) => kind === 'backup' && identifier === renewed.set.id), 'there is no ciphertext to it');
});

test('the security officer of a token on SoftHSM becomes a quorum, and gives it a user PIN; each set is refused for the other PIN', async () => {
  const module = 'softhsm';
  const made = await played(house, 'root-ca', module, { parameters: { algorithm: 'ecdsa-p256', shares: 3, threshold: 2 } });
  const key = fileIn(made.files, 'key.json');
  const { token } = readKeyRecord(key);
  const on = { hsm: { module, serial: token } };
  const split = await played(house, 'activation-split', module, { tokens: on, parameters: { pin: 'so' } });
  const file = fileIn(split.files, 'activation.json');
  const record = readActivationRecord(file);
  assert.deepEqual([record.pin.whose, record.token.serial], ['so', token]);
  const cards = record.shares.map(({ card }) => card);
  const comes = async (bytes: File) => {
    const { bindings } = await ask(house, { call: 'provision', script: 'user-pin-reset', parameters: { custodians: 2 }, module, brought: ['activation'], tokens: on });
    return played(house, 'user-pin-reset', module, {
      parameters: { custodians: 2 }, inputs: { activation: input(bytes) },
      bindings: { ...bindings, cards: { ...bindings.cards, 'share-card': Object.fromEntries(cards.slice(1).map((serial, i) => [`custodian-${i + 1}`, { module, serial }])) } },
    });
  };
  const refusedAs = (rule: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === rule;
  await assert.rejects(opened(module, file, key, cards.slice(0, 2)), refusedAs('ACTIVATION-WHOSE'));
  await assert.rejects(comes(forFile({ ...record, pin: { ...record.pin, whose: 'user' } })), refusedAs('ACTIVATION-WHOSE'));
  const reset = await comes(file);
  assert.ok(!reset.files.has('activation.json'));
  const records = await recordsOf(made.ceremony, split.ceremony, reset.ceremony);
  const { activations, keys } = foldInventory(records, nativeHasher);
  assert.deepEqual(activations.map(({ whose, inForce, end }) => [whose, inForce, end]), [['so', true, null]]);
  assert.match(keys.find(({ label }) => label === 'Root CA')?.whoCan.join('; ') ?? '', /^who has the user PIN of token/, 'the officer uses no key');
  assert.ok(foldCustody(records, nativeHasher).sets.some(({ key: what }) => what === `the SO PIN of token ${token}`));
});

/** The moments of a step, by its place in a record of the same ceremony that went well. */
function momentsOf(lines: readonly string[], step: string): Readonly<Record<'begun' | 'outcome' | 'done', string>> {
  const entries = lines.map((line) => parseLine(line));
  const at = (kind: 'begun' | 'done') => entries.findIndex((entry) => entry.kind === kind && entry.step === step);
  const outcomes = entries.slice(0, at('done') + 1).filter(({ kind }) => ['done', 'failed', 'found', 'cleared'].includes(kind)).length;
  return { begun: `entry ${at('begun') + 1}`, outcome: `outcome ${outcomes}`, done: `entry ${at('done') + 1}` };
}

/** A kill after the device has done its part costs most; one of each kind of boundary. */
const KILLED = { 'activation-split': ['make-key done', 'set-pin begun', 'set-pin outcome'], activate: ['open-token outcome', 'find-key outcome', 'close-token outcome'], 'user-pin-reset': ['reset-pin outcome'] } as const;
for (const [script, sample] of Object.entries(KILLED)) {
  test(`${script}: killed for real (${sample.join(', ')}), and carried on to the end`, async (t) => {
    const { lines: whole } = await scriptedRecord({ script });
    const moments = sample.map((one) => {
      const [step = '', name = ''] = one.split(' ');
      return { step, name, moment: momentsOf(whole, step)[name as 'begun'] };
    });
    await each(t, moments, ({ step, name }) => `${step} ${name}`, async ({ step, name, moment }) => {
      const place = temporaryFolder('crash-activation');
      try {
        const heard = await killedFor(place, 'software', moment, script, {}, { algorithm: 'ecdsa-p256', place: 'token' });
        const last = parseLine(heard.at(-1) ?? '');
        if (name === 'outcome') assert.deepEqual([last.kind, last.step], ['begun', step]);
        const again = await openHouse(place);
        try {
          const [summary] = await ask(again, { call: 'ceremonies' });
          const id = summary?.ceremony ?? assert.fail('the record is gone');
          await ask(again, { call: 'resume', ceremony: id, present: ['officer', 'custodian-1', 'custodian-2', 'witness'], reason: 'The power was cut.', officer: null, standIns: true });
          // A token that says no fails the step; whoever repeats it is a person.
          await playOn(again, id, { hasher: nativeHasher }).catch((error: unknown) => {
            if (!(error instanceof Refused && error.refusal.rule === 'ACTIVATION-PIN-NOT-SET')) throw error;
            return playOn(again, id, { hasher: nativeHasher });
          });
          const lines = await allLines(again, id);
          assert.deepEqual(lines.slice(0, heard.length), heard, 'the past was changed');
          const { verdict, state } = await verifyTranscript(new TextEncoder().encode(lines.map((line) => `${line}\n`).join('')), { hasher: nativeHasher });
          assert.deepEqual([verdict.verdict, verdict.findings, pendingAction(state).kind], ['valid', [], 'over']);
          const entries = lines.map((line) => parseLine(line));
          const done = (wanted: string) => entries.filter((entry) => entry.kind === 'done' && entry.step === wanted).length;
          if (script === 'activation-split') {
            const tries = entries.filter((entry) => entry.kind === 'begun' && entry.step === 'set-pin').map((entry) => ((entry as Entry<'begun'>).data.intent as Intent<'set-activation-pin'>).again);
            const failed = entries.filter((entry) => entry.kind === 'failed').map((entry) => (entry.data as Data<'failed'>).error.code);
            // Not set: the token says so, and the old PIN is asked for. Set: the shares say so. Written: nothing is asked again.
            const expected = step !== 'set-pin' ? [[false], []] : name === 'begun' ? [[false, true, false], ['ACTIVATION-PIN-NOT-SET']] : [[false, true], []];
            assert.deepEqual([tries, failed], expected);
            assert.equal(done('make-key'), step === 'set-pin' ? 1 : 2, 'a key that died before its shares were out is made anew');
          } else if (script === 'user-pin-reset') {
            // It may be set or not: the quorum comes again, and sets it once more.
            assert.deepEqual([entries.filter((entry) => entry.kind === 'begun' && entry.step === 'reset-pin').length, done('reset-pin')], [2, 1]);
          } else {
            // Nothing that was done is repeated; the quorum came again where the token was still needed.
            const came = step === 'find-key';
            assert.deepEqual([done('find-key'), done('open-token'), entries.some((entry) => entry.kind === 'done' && entry.step === 'again-1/open-token')], [1, 1, came]);
            const closed = entries.findLast((entry) => entry.kind === 'done' && entry.step === 'close-token') as Entry<'done'>;
            assert.equal(closed.data.evidence['how'], step === 'close-token' ? 'ended' : 'logged-out');
          }
        } finally {
          await again.stop();
        }
      } finally {
        remove(place);
      }
    });
  });
}
