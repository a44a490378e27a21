/** What the stage shows beside an instruction, what a ceremony leaves, and what can be stopped. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Placement } from '../../ceremonies/evidence.ts';
import { timeline, type World } from '../../renderer/store.ts';
import { canBeStopped, certifiedInput, comparedInput, resultFacts, stageFacts, whyNotKept } from '../../renderer/stage.ts';
import { keyRecord, Room, SCRIPTS } from './pretend.ts';

const world: World = { now: () => 0, rest: () => Promise.resolve() };
const begun = (room: Room) => {
  room.begin();
  return room;
};
const done = (room: Room) => {
  room.begin();
  room.finish();
  return room;
};
const shownIn = (room: Room) => stageFacts(room.state, room.state.current!.step, null);
const lines = (room: Room) =>
  shownIn(room)
    .map((one) => `${one.label}: ${one.value}${one.proof ? ` [${one.proof}]` : ''}`)
    .join('\n');

test('each step shows what its sentences speak of', () => {
  const shown = (id: string, prepare?: (room: Room) => void) => {
    const room = new Room().until(id);
    prepare?.(room);
    return stageFacts(room.state, room.state.current!.step, null)
      .map((one) => `${one.label}: ${one.value}`)
      .join('\n');
  };
  assert.match(shown('token-out'), /Token, serial: 00000000003fc89a/);
  assert.match(shown('certify'), /Example Root CA, Example Organization, XX/);
  assert.match(
    shown('certify', (room) => room.begin()),
    /2026-11-21 to 2046-11-21/,
  );
  assert.match(shown('give-share/custodian-2'), /Card, serial: /);
  assert.match(
    shown('recovery', (room) => room.begin()),
    /Drawn by lot: Custodian 2\nCustodian 3/,
  );
  assert.match(
    shown('token-after', (room) => {
      room.begin();
      room.finish();
    }),
    /private-key · CKK_EC · “Root CA”/,
  );
});


test('a composite key: each half with where it lives and what that is worth, and the draft by its name', () => {
  const room = () => new Room({}, SCRIPTS['composite-ca']).until('make-root');
  assert.match(lines(room()), /Key: ML-DSA-65 \+ ECDSA P-256, “Composite root CA”/);
  assert.match(lines(room()), /Under the draft: MLDSA65-ECDSA-P256-SHA512, lamps-composite-sigs-19/);
  const made = lines(done(room()));
  assert.match(made, /ML-DSA half: ML-DSA-65, wrapped by the token \[verified\]/);
  assert.match(made, /Classical half: EC P-256, on the token \[reported\]/);
  assert.match(made, /Wrapping key: AES-256, on the token: LOCAL yes, SENSITIVE yes, EXTRACTABLE no \[reported\]/);
  const both = lines(done(new Room({ parameters: { place: 'wrapped' } }, SCRIPTS['composite-ca']).until('make-root')));
  assert.doesNotMatch(both, /half: .*on the token/);
});

test('a lock that the token does not keep is told as what it is', () => {
  const locked = (mode: 'real' | 'rehearsal') =>
    lines(done(new Room({ mode, development: mode === 'rehearsal' }, SCRIPTS['composite-ca']).until('lock-root')));
  assert.match(locked('real'), /Locked: the token itself refused to wrap it \[verified\]/);
  assert.match(locked('rehearsal'), /Locked: marked non-extractable, but .* \[reported\]/);
});

test('with an existing key: the file that is compared, the key that was found, what is issued and for whom', () => {
  const room = new Room({}, SCRIPTS['intermediate']).until('compare-request');
  const input = comparedInput(room.state, room.state.current!.step);
  assert.equal(input?.kind, 'request');
  assert.deepEqual(shownIn(room), []);
  assert.equal(certifiedInput(room.state, room.state.current!.step), null);
  room.until('certify');
  assert.equal(certifiedInput(room.state, room.state.current!.step), input, 'its subject stays on the screen');
  assert.match(lines(room), /For: rehearsal-request\.csr\nValid: 10 years from today\nCAs below it: none/);
  assert.match(lines(begun(room)), /Valid: 2026-11-21 to 2046-11-21/);
  assert.match(
    lines(done(new Room({}, SCRIPTS['intermediate']).until('open-ca'))),
    /ML-DSA half: ML-DSA-65, wrapped by the token \[verified\][^]*Classical half: EC P-256, on the token \[reported\]/,
  );
  const list = new Room({}, SCRIPTS['crl']).until('sign-list');
  assert.match(lines(list), /From: rehearsal-revocations\.csv\nNext list: within 180 days/);
  assert.match(lines(begun(list)), /Number: 1\nDated: 2026-11-21; the next list by 2027-05-20/);
});

test('every step of every script has something to show, or is known to need nothing', () => {
  const silent = new Set<string>();
  for (const text of Object.values(SCRIPTS)) {
    const room = new Room({}, text);
    for (let more = true; more; more = room.next()) {
      const { current } = room.state;
      if (!current) continue;
      for (const one of shownIn(room)) assert.ok(one.value !== '' && !one.value.includes('undefined'), `${current.step.id}: ${one.label}`);
      if (shownIn(room).length === 0) silent.add(current.step.do.action);
    }
    assert.equal(room.state.phase, 'closed');
  }
  assert.deepEqual([...silent].sort(), ['administer', 'confirm-input', 'confirm-script', 'put-away', 'wipe-activation-key', 'wipe-backup-key']);
});

test('what a ceremony leaves: the key where it lives, its certificate, and what it issued', async () => {
  const leaves = async (script: string) => {
    const room = new Room({}, SCRIPTS[script]).toTheEnd();
    const { rows } = await timeline(room.lines, world);
    return resultFacts(room.state, rows).map((one) => `${one.label} ${one.proof ?? ''}`.trim());
  };
  assert.deepEqual(await leaves('composite-ca'), [
    'Key', 'Under the draft', 'ML-DSA half verified', 'Classical half reported', 'Its certificate, SHA-256', 'Backup verified',
  ]);
  assert.deepEqual((await leaves('cross-sign')).at(-1), 'Certificate issued, SHA-256');
  assert.deepEqual((await leaves('crl')).at(-1), 'Revocation list signed, SHA-256');
  const room = new Room({}, SCRIPTS['pq-root']).until('token-out');
  room.abort('officer', 'The token is damaged.');
  assert.deepEqual(resultFacts(room.state, (await timeline(room.lines, world)).rows), []);
});

test('a key that is to be backed up: why it can be, and in the end what brings it back', async () => {
  const room = new Room({}, SCRIPTS['share-backup']);
  assert.match(lines(done(room.until('find-key'))), /Backup: it can have a backup: its token wrapped it once, under a key that was thrown away \[verified\]/);
  const whole = new Room({}, SCRIPTS['share-backup']).toTheEnd();
  const facts = resultFacts(whole.state, (await timeline(whole.lines, world)).rows);
  assert.deepEqual(facts.filter(({ label }) => label === 'Backup').map(({ value }) => value), ['any 2 of 3 shares bring it back; a recovery is proven']);
});

test('only work that a device process does by itself can be stopped', () => {
  const stoppable = (script: string, step: string, parameters: Record<string, string> = {}) => {
    const room = new Room({ parameters }, SCRIPTS[script]).until(step);
    return canBeStopped(room.state, room.state.current!.step);
  };
  const place = (where: Placement) => ({ place: where });
  assert.equal(stoppable('root-ca', 'make-root'), false);
  assert.equal(stoppable('root-ca', 'certify'), false);
  assert.equal(stoppable('composite-ca', 'make-root', place('split')), true);
  assert.equal(stoppable('composite-ca', 'make-root', place('token')), false);
  assert.equal(stoppable('composite-ca', 'certify', place('wrapped')), true);
  assert.equal(stoppable('composite-ca', 'certify', place('token')), false);
  assert.equal(stoppable('composite-ca', 'backup-key', place('split')), false);
  assert.equal(stoppable('pq-root', 'certify', { ...place('token'), algorithm: 'slh-dsa-sha2-128s' }), true);
  assert.equal(stoppable('pq-root', 'certify', { ...place('token'), algorithm: 'ml-dsa-65' }), false);
  assert.equal(stoppable('crl', 'open-ca'), true);
  const room = new Room({}, SCRIPTS['crl']);
  const token = Object.values(room.state.opening?.bindings.tokens ?? {})[0]!;
  const bytes = Buffer.from(JSON.stringify(keyRecord(token.serial, 'ecdsa-p384', 'token'))).toString('base64url');
  const classical = new Room(
    { bindings: room.state.opening!.bindings, inputs: { ca: { kind: 'key', file: 'key.json', bytes } } },
    SCRIPTS['crl'],
  ).until('open-ca');
  assert.equal(canBeStopped(classical.state, classical.state.current!.step), false);
  assert.equal(canBeStopped(classical.until('sign-list').state, classical.state.current!.step), false);
});

test('a restored key: the quorum before, afterwards where its parts live and that it was outside', () => {
  const room = new Room({}, SCRIPTS['recovery']).until('restore');
  assert.match(lines(room), /Quorum: 2 custodians, drawn by lot/);
  assert.equal(canBeStopped(room.state, room.state.current!.step), true, 'a half is opened in software');
  const after = lines(done(room));
  assert.match(after, /ML-DSA half: .* \[verified\]\n.*Classical half: .*on the token \[reported\]/);
  assert.match(after, /The token says: LOCAL no, SENSITIVE yes, EXTRACTABLE no \[reported\]/);
  assert.match(after, /It was outside: never again LOCAL/);
  assert.match(lines(new Room({}, SCRIPTS['recovery-rehearsal']).until('recovery')), /Quorum: 2 custodians/);
});

test('renewed shares: what replaces what, the old card that is erased, and whose share nobody could erase', () => {
  const room = new Room({}, SCRIPTS['custodian-change']).until('renew');
  assert.match(lines(room), /Old shares: 2 of 3, epoch 1\nNew shares: 2 of 3\nQuorum: 2 custodians with old shares, drawn by lot/);
  assert.equal(canBeStopped(room.state, room.state.current!.step), true, 'a half is opened in software');
  assert.match(lines(done(room)), /New shares: 2 of 3, epoch 2\nBackup key: the same as before \[verified\]/);
  assert.match(lines(room.until('give-new/custodian-3')), /Card, serial: /);
  const erasing = room.until('retire/custodian-1');
  assert.match(lines(erasing), /Old share: share 1, epoch 1\nDeclared dead, not erased: share 3 of Somebody else, card 4172/);
  assert.match(lines(done(erasing)), /Afterwards: nothing of it on the card, from a fresh session \[reported\]/);
  assert.match(resultFacts(room.toTheEnd().state, []).map(({ label, value }) => `${label}: ${value}`).join('\n'), /New shares: 2 of 3, epoch 2\nDeclared dead, not erased: share 3 of Somebody else, card 4172\nStill outside: 1 old share left: too few/);
});

test('components: how many are in, the check value of each and of the key, and that the key was outside', async () => {
  for (const script of ['component-entry', 'component-issue'] as const) {
    const room = new Room({}, SCRIPTS[script]).until('component/custodian-2');
    assert.match(lines(room), /Component: number 2 of 3, for a key of kind AES-256\nSo far: 1 of 3 are in/);
    assert.match(lines(done(room)), /Check value: [0-9A-F]{6} \(CMAC of zeros, 3 bytes \(ANSI X9\.24-1\)\) \[verified\]/);
    const form = new Room({}, SCRIPTS[script]).until('form');
    assert.match(lines(form), /Token, serial: .*\nKey: AES-256, “Key of components”, for wrapping other keys/);
    assert.match(lines(begun(form)), /Check value: [0-9A-F]{6}/, 'what they make together is known before the token is touched');
    form.finish();
    assert.match(lines(form), /Check value: .*\[verified\]\nThe token says: LOCAL no, SENSITIVE yes, EXTRACTABLE no \[reported\]\nIt was outside: never LOCAL/);
  }
  const lost = begun(new Room({}, SCRIPTS['component-entry']).until('form'));
  lost.lost();
  lost.found('present');
  assert.equal(whyNotKept(lost.state), 'untold');
  const over = new Room({}, SCRIPTS['component-entry']).until('token-in');
  assert.match(resultFacts(over.state, (await timeline(over.lines, world)).rows).map(({ label, value }) => `${label}: ${value}`).join('\n'), /^Key: AES-256, “Key of components”\nCheck value: /);
});

test('why what was found may not be kept: half of it, or a wrapped part that was never written down', () => {
  const found = (what: 'present' | 'half', script?: keyof typeof SCRIPTS) => {
    const room = begun((script === undefined ? new Room() : new Room({}, SCRIPTS[script])).until('make-root'));
    room.lost();
    room.found(what);
    return whyNotKept(room.state);
  };
  assert.deepEqual([found('present'), found('half'), found('present', 'composite-ca'), found('half', 'composite-ca')], [null, 'half', 'unwritten', 'half']);
});
