/** What the stage says of the card that a step needs: not in, in, another one, taken out; and nothing where cards do not move. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cardOf } from '../../ceremonies/ceremony.ts';
import type { Estate } from '../../electron/contract.ts';
import { cardNotice, type CardNotice, type Move } from '../../renderer/cards.ts';
import { createConclave } from '../../renderer/store.ts';
import { PretendBridge } from './bridge.ts';
import { factsOf, Room, SCRIPTS } from './pretend.ts';

const room = new Room().until('give-share/custodian-2');
const own = (seat: string) => cardOf(room.state, 'share-card', seat) ?? assert.fail();
const MINE = own('custodian-2');
const THEIRS = own('custodian-1');
const STRANGER = '00000000deadbeef';

/** A module with as many readers as places. */
const readers = (places: readonly (string | null)[], moves = true): Estate => ({
  modules: [{ name: 'softhsm', facts: null, problem: null, moves, slots: places.map((serial, slot) => ({ slot, description: '', token: serial === null ? null : factsOf(serial, 'a card') })) }],
});
const came = (serial: string): Move => ({ serial, how: 'came' });
const went = (serial: string): Move => ({ serial, how: 'went' });

const ROWS: readonly (readonly [what: string, places: readonly (string | null)[], moves: readonly Move[], kind: CardNotice['kind'], names: string])[] = [
  ['an empty reader', [null], [], 'insert', 'Custodian 2'],
  ['another card in one of two readers, since before', [THEIRS, null], [], 'insert', 'Custodian 2'],
  ['another card in the only reader, since before', [THEIRS], [], 'other', 'Custodian 1'],
  ['another card is put in', [null, THEIRS], [came(THEIRS)], 'other', 'Custodian 1'],
  ['a card of nobody is put in', [STRANGER], [came(STRANGER)], 'other', 'nobody’s in this ceremony'],
  ['another card was put in and taken out again', [null], [came(THEIRS), went(THEIRS)], 'insert', 'Custodian 2'],
  ['it is in', [null, MINE], [came(MINE)], 'here', 'Custodian 2'],
  ['it is in, and another beside it', [THEIRS, MINE], [came(MINE), came(THEIRS)], 'here', 'Custodian 2'],
  ['it was taken out', [null], [came(MINE), went(MINE)], 'gone', 'Custodian 2'],
  ['it was taken out, and another put in', [THEIRS], [went(MINE), came(THEIRS)], 'other', 'Custodian 1'],
  ['it is back', [MINE], [went(MINE), came(MINE)], 'here', 'Custodian 2'],
];
for (const [what, places, moves, kind, names] of ROWS) {
  test(`${what}: ${kind}`, () => {
    const notice = cardNotice(room.state, readers(places), moves, null) ?? assert.fail('nothing is said');
    assert.equal(notice.kind, kind);
    assert.ok(notice.text.includes(names), notice.text);
    assert.equal(notice.next !== '', kind === 'other' || kind === 'gone', notice.next);
  });
}

test('nothing is said where nobody puts a card in, where the estate is not known, or where the step needs none', () => {
  assert.equal(cardNotice(room.state, readers([THEIRS], false), [], null), null);
  assert.equal(cardNotice(room.state, null, [], null), null);
  assert.equal(cardNotice(room.state, { modules: [] }, [], null), null);
  for (const id of ['token-out', 'wrap']) assert.equal(cardNotice(new Room().until(id).state, readers([]), [], null), null);
});

test('while the step is under way it says that this will fail; of a quorum, whose card is waited for', () => {
  const begun = new Room().until('read-share/custodian-1');
  begun.begin();
  const serial = cardOf(begun.state, 'share-card', 'custodian-1') ?? '';
  assert.match(cardNotice(begun.state, readers([null]), [went(serial)], null)?.next ?? '', /still under way/);
  const recovery = new Room({}, SCRIPTS['recovery']).until('restore');
  recovery.begin();
  assert.equal(cardNotice(recovery.state, readers([null]), [], null), null);
  const next = cardOf(recovery.state, 'share-card', 'custodian-2') ?? '';
  assert.deepEqual([cardNotice(recovery.state, readers([null]), [], next)?.kind, cardNotice(recovery.state, readers([next]), [], next)?.kind], ['insert', 'here']);
});

test('what comes and goes is said by itself on the stage, and begins anew with the next step', async () => {
  const bridge = new PretendBridge();
  const store = createConclave(bridge, { now: () => 0, rest: () => Promise.resolve() });
  await store.getState().start();
  await store.getState().refreshEstate();
  const { estate } = store.getState();
  store.setState({
    estate: { modules: (estate ?? assert.fail()).modules.map((module) => ({ ...module, moves: true })) }, screen: { at: 'ceremony', ceremony: room.state.ceremony },
  });
  const { ceremony } = bridge.add(new Room().until('enrol/officer'));
  await store.getState().watch(ceremony);
  const state = store.getState().record?.state ?? assert.fail();
  const officers = cardOf(state, 'identity-card', 'officer') ?? '';
  bridge.move({ module: 'softhsm', slots: readers([null]).modules[0]!.slots, awaits: null });
  bridge.move({ module: 'softhsm', slots: readers([officers]).modules[0]!.slots, awaits: null });
  assert.match(store.getState().said, /^This card is here: the identity card of Officer/);
  bridge.move({ module: 'softhsm', slots: readers([null]).modules[0]!.slots, awaits: null });
  assert.match(store.getState().said, /^The card was taken out.*Put it back in, and do the step again/);
  assert.deepEqual(store.getState().moves.map(({ how }) => how).slice(-2), ['came', 'went']);
  assert.ok(store.getState().met.some(({ serial }) => serial === officers), 'it can still be chosen');
  await store.getState().ask({ call: 'act', ceremony, step: 'enrol/officer', acceptFinalTry: false });
  assert.deepEqual(store.getState().moves, []);
});
