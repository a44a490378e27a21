/**
 * A custody-movement in the real processes: to a valid verdict from nothing, with a thing that is not handed over, refused lists, and
 * kill -9 around the moments at which things change hands. What the register says of it is asked of the conductor.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { utf8 } from '../../../ceremonies/bytes.ts';
import { pendingAction } from '../../../ceremonies/ceremony.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { MOVEMENTS_HEADER } from '../../../ceremonies/shares/movements.ts';
import { Fold, pushLine } from '../../../ceremonies/transcript.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import type { BoothPort, House } from '../../../electron/processes.ts';
import { ask, playOn, playRehearsal } from '../../../electron/rehearsal.ts';
import { openHouse, remove, temporaryFolder } from '../house.ts';
import { each, entriesIn, goOn, killedFor } from './crash.ts';

let home: string;
let house: House<BoothPort>;
before(async () => {
  home = temporaryFolder('custody-house');
  house = await openHouse(home);
});
after(async () => {
  await house.stop();
  remove(home);
});

const play = { script: 'custody-movement', parameters: {}, module: 'software', hasher: nativeHasher };
const rule = (wanted: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === wanted;
const listOf = (...lines: readonly string[]) => ({ movements: { file: 'movements.csv', bytes: Uint8Array.from(utf8([MOVEMENTS_HEADER, ...lines, ''].join('\n'))) } });

test('from nothing to a valid verdict: everything is handed over, signed, and in the register', async () => {
  const ceremony = await playRehearsal(house, { ...play, parameters: { parties: 4 } });
  const { verdict } = await ask(house, { call: 'verify-own', ceremony });
  assert.deepEqual([verdict.verdict, verdict.findings], ['valid', []]);
  const { movements, findings, placement, balance } = await ask(house, { call: 'custody' });
  assert.deepEqual([findings, placement], [[], []]);
  assert.deepEqual(movements.map(({ number, state, from, to }) => [number, state, from.person, to.person]), [1, 2, 3, 4].map((n) => [n, 'signed', `Stand-in custodian-${n}`, `Stand-in custodian-${(n % 4) + 1}`]));
  assert.ok(balance.every(({ unaccounted }) => unaccounted === 0));
});

test('what is not handed over ends with an exception of its step; then, and only then, the ceremony goes on', async () => {
  const list = listOf('bag,B-1,,,custodian-1,hall,custodian-2,vault,Into the vault', 'sheet,7,,,custodian-2,hall,custodian-1,vault,Into the vault');
  const ceremony = await playRehearsal(house, { ...play, inputs: list, until: (state) => state.current?.step.id === 'hand-over/2' });
  const except = (step?: string) => ask(house, { call: 'exception', ceremony, seat: 'officer', expected: 'The sheet in its folder.', happened: 'The folder was empty.', decided: 'We look for it at once.', ...(step !== undefined && { step }) });
  await except();
  await assert.rejects(except('hand-over/1'), rule('HAND-OVER-EXCEPTION'));
  const state = async () => {
    const fold = new Fold(nativeHasher);
    for (const line of (await ask(house, { call: 'entries', ceremony, from: 0 })).lines) assert.equal(pushLine(fold, line), null);
    return fold.state;
  };
  const waits = pendingAction(await state());
  assert.equal(waits.kind === 'step' && waits.step.id, 'hand-over/2', 'an exception without the step ends nothing');
  await except('hand-over/2');
  await playOn(house, ceremony, { hasher: nativeHasher });
  const { verdict } = await ask(house, { call: 'verify-own', ceremony });
  assert.deepEqual([verdict.verdict, verdict.findings], ['valid', []]);
  const { movements, findings, things } = await ask(house, { call: 'custody' });
  assert.deepEqual(movements.slice(-2).map(({ state: how, happened }) => [how, happened]), [['signed', null], ['not-handed-over', 'The folder was empty.']]);
  assert.deepEqual(findings.map(({ rule: name }) => name), ['CUSTODY-NOT-HANDED-OVER']);
  assert.equal(things.find(({ identifier }) => identifier === '7')?.unaccounted?.ceremony, ceremony);
});

test('nobody else than the receiver says that it was received; that it is not the thing ends the movement', async () => {
  const list = listOf('bag,B-2,,,custodian-1,hall,custodian-2,vault,Why not', 'bag,B-3,,,custodian-3,hall,custodian-1,vault,Why not');
  const ceremony = await playRehearsal(house, { ...play, parameters: { parties: 3 }, inputs: list, until: (state) => state.current?.step.id === 'hand-over/1' && state.current.phase === 'witnessing' });
  for (const [seat, wanted] of [['custodian-3', 'HAND-OVER-RECEIVER'], ['custodian-1', 'WITNESS-NOT-DOER']] as const) await assert.rejects(ask(house, { call: 'witness', ceremony, step: 'hand-over/1', seat }), rule(wanted));
  await ask(house, { call: 'exception', ceremony, seat: 'custodian-2', expected: 'Bag B-2.', happened: 'It is another bag.', decided: 'It goes back.', step: 'hand-over/1' });
  await playOn(house, ceremony, { hasher: nativeHasher });
  assert.equal((await ask(house, { call: 'verify-own', ceremony })).verdict.verdict, 'valid');
  assert.deepEqual((await ask(house, { call: 'custody' })).movements.filter((one) => one.ceremony === ceremony).map(({ number, state, happened }) => [number, state, happened]), [[1, 'not-handed-over', 'It is another bag.'], [2, 'signed', null]]);
});

test('a list that does not fit is refused, and nothing is opened', async () => {
  const count = (await ask(house, { call: 'ceremonies' })).length;
  const rows = [
    ['MOVEMENTS-LINE', listOf('bag,B-1')], ['MOVEMENTS-SIZE', listOf()], ['MOVEMENT-PARTY', listOf('bag,B-1,,,Somebody,hall,custodian-2,vault,Why')], ['MOVEMENT-PARTY', listOf('bag,B-1,,,custodian-1,hall,custodian-1,vault,Why')],
    ['MOVEMENTS-HEADER', { movements: { file: 'x.csv', bytes: Uint8Array.of(0x42) } }],
  ] as const;
  for (const [wanted, inputs] of rows) await assert.rejects(playRehearsal(house, { ...play, inputs }), rule(wanted), wanted);
  assert.equal((await ask(house, { call: 'ceremonies' })).length, count);
});

/** The list is compared; movement 1 is done, received, seen, covered; movement 2; the seals of the act. */
const SAMPLE = ['entry 52', 'entry 68', 'entry 69', 'entry 70', 'entry 71', 'entry 72', 'entry 75', 'entry 77'];
test('killed around the moments at which things change hands, and carried on to the end', async (t) => {
  await each(t, SAMPLE, (moment) => moment, async (moment) => {
    const folder = temporaryFolder('custody-crash');
    try {
      const heard = await killedFor(folder, 'software', moment, 'custody-movement', {});
      await goOn(folder, 'software', await entriesIn(folder), heard);
      const again = await openHouse(folder);
      const { movements, findings } = await ask(again, { call: 'custody' }).finally(() => again.stop());
      assert.deepEqual([movements.map(({ state }) => state), findings], [['signed', 'signed'], []]);
    } finally {
      remove(folder);
    }
  });
});
