/** The page's store: lines in, state out, whatever order they come in; and nothing shown after a line that breaks a rule. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pendingAction } from '../../ceremonies/ceremony.ts';
import { createConclave, timeline, type World } from '../../renderer/store.ts';
import { PretendBridge } from './bridge.ts';
import { Room, SCRIPTS } from './pretend.ts';

const world: World = {
  now: () => performance.now(),
  rest: () =>
    new Promise((resolve) => {
      setImmediate(resolve);
    }),
};

async function watching(room: Room) {
  const bridge = new PretendBridge();
  bridge.add(room);
  const store = createConclave(bridge, world);
  await store.getState().start();
  await store.getState().watch(room.ceremony);
  return { bridge, store, record: () => store.getState().record! };
}
/** Lines are taken in a queue of their own; a few turns let it run dry. */
const settled = async () => {
  for (let i = 0; i < 20; i += 1)
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
};

test('a record that is there already is folded, and later lines follow', async () => {
  const room = new Room().until('enrol/custodian-1');
  const { record } = await watching(room);
  assert.equal(record().rows.length, room.lines.length);
  assert.equal(record().state.lastHash, room.state.lastHash);
  room.next();
  await settled();
  assert.equal(record().rows.length, room.lines.length);
  assert.deepEqual(pendingAction(record().state), pendingAction(room.state));
});

test('lines pushed twice are taken once, and a gap is filled by asking', async () => {
  const room = new Room();
  const { bridge, record } = await watching(room);
  const push = room.onLines;
  push(0, room.lines);
  await settled();
  assert.equal(record().rows.length, room.lines.length);
  room.onLines = () => undefined; // these get lost on the way
  room.next();
  room.onLines = push;
  const asked = bridge.calls.length;
  room.next();
  await settled();
  assert.equal(record().rows.length, room.lines.length);
  assert.deepEqual(
    bridge.calls.slice(asked).map((request) => request.call),
    ['entries'],
  );
});

test('lines of another record are not drawn into this one', async () => {
  const room = new Room();
  const { bridge, record } = await watching(room);
  const other = bridge.add(new Room());
  other.next();
  await settled();
  assert.equal(record().ceremony, room.ceremony);
  assert.equal(record().rows.length, room.lines.length);
});

test('after a line that breaks a rule nothing more is shown, and the rule is named', async () => {
  const room = new Room().until('enrol/witness');
  const twelfth = room.lines[12]!;
  room.lines[12] = twelfth.replace(/"prev":"./, (found) => `${found.slice(0, -1)}${found.endsWith('A') ? 'B' : 'A'}`);
  const { record } = await watching(room);
  assert.equal(record().rows.length, 12);
  assert.equal(record().broken?.rule, 'CHAIN');
  room.onLines(room.lines.length, [twelfth]);
  await settled();
  assert.equal(record().rows.length, 12);
});

test('what is refused becomes trouble with its call, and one thing at a time is asked for', async () => {
  const room = new Room();
  const { bridge, store } = await watching(room);
  bridge.failNext.set('act', { ok: false, refusal: { rule: 'IN-ORDER', expected: 'a', found: 'b', next: 'c' } });
  const step = room.state.current!.step.id;
  const [first, second] = await Promise.all([
    store.getState().ask({ call: 'act', ceremony: room.ceremony, step, acceptFinalTry: false }),
    store.getState().ask({ call: 'act', ceremony: room.ceremony, step, acceptFinalTry: false }),
  ]);
  assert.deepEqual([first, second], [null, null]);
  assert.equal(bridge.calls.filter((request) => request.call === 'act').length, 1);
  assert.equal(store.getState().trouble?.refusal?.rule, 'IN-ORDER');
  assert.equal(store.getState().work, null);
  await store.getState().ask({ call: 'act', ceremony: room.ceremony, step, acceptFinalTry: false });
  assert.equal(store.getState().trouble, null);
});

test('new entries are said aloud once per batch, checkpoints are not', async () => {
  const room = new Room();
  const { store } = await watching(room);
  assert.equal(store.getState().said, '', 'nothing is read aloud when a record is opened');
  room.next();
  await settled();
  assert.match(store.getState().said, /^Entry 2: Compare the script/);
});

test('the replay holds every state, and ends where the record breaks', async () => {
  const room = new Room().toTheEnd();
  const whole = await timeline(room.lines, world);
  assert.equal(whole.states.length, room.lines.length + 1);
  assert.equal(whole.states.at(-1)?.phase, 'closed');
  assert.equal(whole.broken, null);
  const damaged = await timeline([...room.lines.slice(0, 40), ...room.lines.slice(41)], world);
  assert.equal(damaged.rows.length, 40);
  assert.equal(damaged.broken?.rule, 'CHAIN');
  const nonsense = await timeline([...room.lines.slice(0, 5), '{"v":1}'], world);
  assert.equal(nonsense.rows.length, 5);
  assert.equal(nonsense.broken?.rule, 'ENTRY-MALFORMED');
});

test('work that is under way can be stopped, beside the one thing that is asked for', async () => {
  const room = new Room({}, SCRIPTS['composite-ca']).until('make-root');
  const { bridge, store, record } = await watching(room);
  bridge.slowness = 60_000;
  const asked = store.getState().ask({ call: 'act', ceremony: room.ceremony, step: 'make-root', acceptFinalTry: false });
  await settled();
  assert.equal(store.getState().work?.stopping, 'no');
  const stopped = store.getState().stop(room.ceremony);
  assert.equal(store.getState().work?.stopping, 'asked');
  await Promise.all([stopped, asked]);
  await settled();
  assert.equal(store.getState().work, null);
  assert.equal(store.getState().trouble?.problem?.code, 'WORK_CANCELLED');
  assert.equal(record().state.current?.phase, 'ready');
  assert.equal(record().rows.at(-1)?.entry.kind === 'failed' || record().rows.at(-2)?.entry.kind === 'failed', true);
});

test('where there is nothing to stop the work goes on, and the page says so', async () => {
  const room = new Room({}, SCRIPTS['composite-ca']).until('make-root');
  const { bridge, store } = await watching(room);
  await store.getState().stop(room.ceremony);
  assert.equal(bridge.calls.some((request) => request.call === 'cancel'), false, 'nothing is under way');
  bridge.slowness = 200;
  bridge.failNext.set('cancel', { ok: false, problem: { code: 'CONDUCTOR', message: 'a', hint: 'b' } });
  const asked = store.getState().ask({ call: 'act', ceremony: room.ceremony, step: 'make-root', acceptFinalTry: false });
  await settled();
  await store.getState().stop(room.ceremony);
  assert.equal(store.getState().work?.stopping, 'late');
  await asked;
  assert.equal(store.getState().trouble, null);
});
