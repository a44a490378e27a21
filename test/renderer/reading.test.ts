/** What the screens say of a record: one line per entry, the raw data behind it, where everybody stands. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACTION_NAMES } from '../../ceremonies/evidence.ts';
import { REHEARSAL_PIN } from '../../electron/devices/protocol.ts';
import cryptoki from '../../electron/devices/cryptoki.json' with { type: 'json' };
import flagWords from '../../electron/devices/flags.json' with { type: 'json' };
import {
  elapsed,
  groups,
  lastDuration,
  rawFacts,
  ringCount,
  seatSentence,
  seatViews,
  type Told,
} from '../../renderer/reading.ts';
import { timeline, type World } from '../../renderer/store.ts';
import { FLAG_MARKS, personTitle, PUBLISHED_PIN, seatTitle, t, thingTitle } from '../../renderer/texts.ts';
import { Room, SCRIPTS } from './pretend.ts';

const world: World = { now: () => 0, rest: () => Promise.resolve() };
const told = async (room: Room): Promise<readonly Told[]> => (await timeline(room.lines, world)).rows;

test('every kind of entry has a line of its own', async () => {
  const room = new Room().until('make-root');
  room.note('witness', 'The lamp is green.');
  room.exception('officer', 'a closed door', 'an open door', 'it was closed');
  room.disagree('auditor', 'The door was open too long.');
  room.pause(6, 'Lunch');
  room.back(6);
  room.begin();
  room.fail({ code: 'CKR_DEVICE_ERROR', message: 'The device failed.', hint: 'Look at it.' }, false);
  room.found('half');
  room.decide('clear', 'Half a key is no key.');
  room.cleared();
  room.lost();
  room.resume(['officer', 'custodian-1', 'custodian-2', 'custodian-3', 'witness', 'auditor'], 'The library crashed.');
  room.toTheEnd();
  const rows = await told(room);
  assert.equal(rows.length, room.lines.length);
  const kinds = new Set(rows.map((row) => row.entry.kind));
  for (const kind of [
    'opened',
    'begun',
    'done',
    'failed',
    'found',
    'decided',
    'cleared',
    'witnessed',
    'noted',
    'exception',
    'break',
    'back',
    'disagreed',
    'checkpoint',
    'lost',
    'resumed',
    'closed',
  ]) {
    assert.ok(kinds.has(kind as Told['entry']['kind']), kind);
  }
  for (const row of rows)
    assert.ok(row.title.trim() !== '' && !row.title.includes('undefined'), `${row.entry.seq} ${row.title}`);
  const marks = new Map(rows.map((row) => [row.entry.kind, row.mark]));
  assert.equal(marks.get('failed'), 'refused');
  assert.equal(marks.get('lost'), 'refused');
  assert.equal(marks.get('disagreed'), 'refused');
  assert.equal(marks.get('witnessed'), 'said');
});

test('an attribute that only the token vouches for is never shown as verified', async () => {
  const rows = await told(new Room().until('prove-root'));
  assert.equal(
    rows.find((row) => row.step?.do.action === 'generate-key' && row.entry.kind === 'done')?.mark,
    'reported',
  );
});

test('an officer who takes over does not sign what was before', async () => {
  const room = new Room().until('token-before');
  room.lost();
  room.resume(['officer', 'custodian-1', 'custodian-2', 'witness'], 'Illness', {
    name: 'Second Officer',
    card: { module: 'softhsm', serial: 'deadbeef' },
  });
  room.next();
  const rows = await told(room);
  const officers = rows.filter((row) => row.entry.by === 'officer').map((row) => row.who);
  assert.equal(officers[0], 'Officer (rehearsal)');
  assert.equal(officers.at(-1), 'Officer, Second Officer');
});

test('the raw data of an entry is all there, digests as bytes and serials as digits', async () => {
  const rows = [
    ...(await told(new Room().until('prove-root'))),
    ...(await told(new Room({}, SCRIPTS['composite-ca']).until('token-after'))),
    ...(await told(new Room({}, SCRIPTS['crl']).toTheEnd())),
  ];
  for (const row of rows) {
    const facts = rawFacts(row.entry);
    assert.equal(facts.at(-1)?.label, 'prev');
    const shown = facts.map((fact) => fact.value).join('\n');
    const leaves: string[] = [];
    JSON.stringify(row.entry.data, (_key, value: unknown) => {
      if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
        leaves.push(String(value));
      return value;
    });
    for (const leaf of leaves) assert.ok(shown.includes(leaf), `${row.entry.seq}: ${leaf}`);
  }
});

test('the ring: presence, shares given and proven, signatures, who acts', () => {
  const seat = (room: Room, id: string) => seatViews(room.state).find((view) => view.seat === id)!;
  const early = new Room().until('enrol/witness');
  assert.equal(seat(early, 'custodian-3').present, true);
  assert.equal(seat(early, 'auditor').present, false);
  assert.equal(seat(early, 'witness').acting, true);
  assert.deepEqual(ringCount(early.state), { count: 4, of: 6, what: t.ceremony.present });
  const shares = new Room().until('read-share/custodian-2');
  assert.deepEqual(
    ['custodian-1', 'custodian-2', 'custodian-3'].map((id) => seat(shares, id).share),
    ['proven', 'given', 'given'],
  );
  assert.deepEqual(ringCount(shares.state), { count: 1, of: 3, what: t.ceremony.shares });
  const sealing = new Room().until('seal-5/custodian-2');
  assert.deepEqual(
    seatViews(sealing.state)
      .filter((view) => view.signed)
      .map((view) => view.seat),
    ['officer', 'custodian-1'],
  );
  const over = new Room().toTheEnd();
  assert.deepEqual(ringCount(over.state), { count: 6, of: 6, what: t.ceremony.signatures });
  assert.match(
    seatSentence(seat(sealing, 'custodian-2')),
    /^Custodian 2 \(Custodian 2 \(rehearsal\)\): presence proven, share read back, acts now$/,
  );
});

test('how long it took last time comes from the record', async () => {
  const rows = await told(new Room().until('enrol/custodian-2'));
  assert.equal(lastDuration(rows, 'generate-key'), null);
  const seconds = lastDuration(rows, 'enrol');
  assert.ok(seconds !== null && seconds >= 1 && seconds < 5);
});

test('names, times and digits', () => {
  assert.equal(seatTitle('custodian-12'), 'Custodian 12');
  assert.equal(seatTitle('officer'), 'Officer');
  assert.equal(thingTitle('share-card/custodian-1'), 'share card of Custodian 1');
  assert.equal(thingTitle('root-hsm'), 'root-hsm');
  assert.equal(personTitle('officer', 'Officer (rehearsal)'), 'Officer (rehearsal)');
  assert.equal(personTitle('custodian-2', 'Somebody Else'), 'Custodian 2, Somebody Else');
  assert.equal(groups('04172203ab'), '0417 2203 ab');
  assert.equal(groups('label:HSM-PQ'), 'label:HSM-PQ');
  assert.equal(elapsed('2026-11-21T13:21:04.120Z', '2026-11-21T15:02:00.000Z'), '01:40');
});

test('the texts cover every action and every flag, and say the PIN that is really published', () => {
  assert.deepEqual(Object.keys(t.actions).sort(), [...ACTION_NAMES].sort());
  for (const [action, { button, key }] of Object.entries(t.actions)) {
    assert.equal(key, button[0], action);
    assert.notEqual(key, 'X', `${action}: X is taken`);
  }
  const named = [...Object.keys(cryptoki.CKF_TOKEN), ...Object.keys(cryptoki.CKF_SLOT)].sort();
  assert.deepEqual(Object.keys(flagWords).sort(), named);
  for (const flag of Object.keys(FLAG_MARKS)) assert.ok(named.includes(flag), flag);
  assert.equal(PUBLISHED_PIN, REHEARSAL_PIN);
});
