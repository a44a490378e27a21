/**
 * A token that only a quorum opens, on both twins: its PIN is the one that FORMAT.md describes, computed here without our code;
 * nobody is asked for it, nothing shows it, and each wrong one costs one try at most.
 */
import assert from 'node:assert/strict';
import { hkdfSync, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { combine } from 'shamir-secret-sharing';
import { activationPinLength, padFault } from '../../../ceremonies/activation.ts';
import { toBase64url } from '../../../ceremonies/bytes.ts';
import type { ShareSet, TokenFacts } from '../../../ceremonies/evidence.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { derivePin } from '../../../electron/devices/activating.ts';
import { isTokenError } from '../../../electron/devices/errors.ts';
import { openPkcs11Module } from '../../../electron/devices/pkcs11.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import { openSoftwareModule } from '../../../electron/devices/software-token.ts';
import type { TokenModule } from '../../../electron/devices/tokens.ts';
import type { DeviceProcess} from './device-process.ts';
import { asked, cards, failure, place, SOFTHSM, type Place } from './device-process.ts';
import { borrow, give, makeKey, type Member } from './operations.ts';

const officer = asked('officer');
const freshSet = () => toBase64url(randomBytes(16));

interface Split { readonly set: ShareSet; readonly length: number; readonly members: readonly Member[] }

/** An activation key for this token, its shares on these cards; it is held nowhere else any more. */
async function split(device: DeviceProcess, token: string, people: readonly TokenFacts[], name = 'share', threshold = 2): Promise<Split> {
  const { set, length } = await device.call('make-activation-key', { token, set: freshSet(), epoch: 1, threshold, custodians: people.map((_, i) => `custodian-${i + 1}`) });
  const members = people.map(({ serial }, i) => ({ seat: `custodian-${i + 1}`, card: serial, object: `conclave-share-${name}-${i + 1}`, x: i + 1 }));
  for (const { seat, card, object, x } of members) await give(device, device, { card, object, set: set.id, x, erases: [], asked: asked(seat) });
  await device.call('wipe-backup-key', {});
  return { set, length, members };
}

const lent = async (device: DeviceProcess, { set, length, members }: Split, who: readonly number[] = [0, 2]) => ({ set, length, quorum: await borrow(device, device, set.id, who.map((i) => members[i]!)) });

/** The PIN as a stranger computes it, from two cards and the record. */
async function computed(module: TokenModule, { members, length }: Split, serial: string, who: readonly number[]): Promise<string> {
  const payloads: Uint8Array[] = [];
  for (const { card, object } of who.map((i) => members[i]!)) {
    const session = await (await module.token(card)).open();
    await session.login(new TextEncoder().encode(REHEARSAL_PIN));
    const { bytes } = await session.getData(object);
    payloads.push(Uint8Array.from(bytes.subarray(-64, -32))); // in front of 32 check bytes
    await session.close();
  }
  const key = await combine(payloads.map((payload, i) => Uint8Array.from([...payload, members[who[i]!]!.x])));
  const bytes = new Uint8Array(hkdfSync('sha256', key, new Uint8Array(0), `conclave-activation-pin/1\n${serial}\n${length}\n`, length));
  return [...bytes].map((byte) => 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789'[byte % 32]).join('');
}

async function moduleHere(at: Place): Promise<TokenModule> {
  if (at.module.kind === 'software') return openSoftwareModule(at.module.folder, 'witness', import.meta.filename);
  process.env['SOFTHSM2_CONF'] = join(at.folder, 'softhsm2.conf');
  return openPkcs11Module('witness', SOFTHSM, undefined);
}

/** Everything in the files below a folder. */
function filesBelow(folder: string): Buffer {
  return Buffer.concat(readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)).filter((path) => statSync(path).isFile()).map((path) => readFileSync(path)));
}

for (const kind of ['software', 'softhsm2'] as const) {
  test(`${kind}: split, opened by a quorum, closed, given a new set; and what is refused on the way`, async (t) => {
    const at = place(kind);
    t.after(() => at.remove());
    const device = await at.start();
    const [hsm, other, ...people] = await cards(device, 'hsm', 'other', 'c1', 'c2', 'c3');
    const token = hsm!.serial;
    const key = await makeKey(device, token, 'ecdsa-p256', 'token', false);
    await device.call('log-out', { token });

    const first = await split(device, token, people);
    assert.equal(first.length, 32);
    const setting = async (changes: object = {}) => device.call('set-activation-pin', { token, whose: 'user', ...await lent(device, first), again: false, former: null, asked: officer, ...changes });
    // An attempt of which nobody knows the outcome: the new PIN is tried, and the token says that it is not set.
    await assert.rejects(setting({ again: true }), failure('ACTIVATION-PIN-NOT-SET', true));
    await assert.rejects(setting({ quorum: (await lent(device, first, [0])).quorum.concat((await lent(device, first, [0])).quorum) }), failure('SHARE-TRANSPORT', true));
    await assert.rejects(setting({ set: { ...first.set, epoch: 2 } }), failure('SHARE-OLD-EPOCH', true));
    const set = await setting();
    assert.deepEqual(set.quorum.map(({ seat, x }) => [seat, x]), [['custodian-1', 1], ['custodian-3', 3]]);
    assert.equal(set.token.serial, token);
    // The outcome was lost: the same shares say that it was set, and nobody types the old PIN a second time.
    await setting({ again: true });
    await assert.rejects(device.call('take-inventory', { token, asked: officer }), failure('CKR_PIN_INCORRECT', true));

    // Opened, used without a PIN, closed.
    const opened = await device.call('activate', { token, ...await lent(device, first, [1, 2]), asked: officer });
    assert.deepEqual(opened.quorum.map(({ card }) => card), [people[1]!.serial, people[2]!.serial]);
    await device.call('prove-key', { token, key, asked: officer });
    const { objects } = await device.call('take-inventory', { token, asked: officer });
    assert.equal(objects.length, 2);
    assert.deepEqual(await device.call('deactivate', { token }), { token, how: 'logged-out', before: 1, after: 0, loggedIn: false });
    await assert.rejects(device.call('prove-key', { token, key, asked: officer }), failure('CKR_PIN_INCORRECT', true));
    await assert.rejects(device.call('deactivate', { token }), failure('ACTIVATION-ENDED', true));

    // Another token has another PIN, a set that the token never had opens nothing, and each costs one try.
    await assert.rejects(device.call('activate', { token: other!.serial, ...await lent(device, first), asked: officer }), failure('CKR_PIN_INCORRECT', true));
    // A right one ends the count.
    await device.call('activate', { token, ...await lent(device, first), asked: officer });
    await device.call('deactivate', { token });
    const stray = await split(device, token, people, 'stray');
    await assert.rejects(device.call('activate', { token, ...await lent(device, stray), asked: officer }), failure('CKR_PIN_INCORRECT', true));

    // A new set in place of the old one: nobody types a PIN of the token, and the old shares are worth nothing.
    const next = await split(device, token, people, 'next', 3);
    const { key: to } = await device.call('transport-key', {});
    const lend = async ({ set: of, members }: Split, who: readonly number[]) => {
      const quorum = [];
      for (const { seat, card, object, x } of who.map((i) => members[i]!)) quorum.push({ seat, card, x, sealed: (await device.call('lend-share', { card, object, set: of.id, x, to, asked: asked(seat) })).sealed });
      return quorum;
    };
    const renewed = await device.call('set-activation-pin', {
      token, whose: 'user', set: next.set, length: next.length, quorum: await lend(next, [0, 1, 2]), again: false, former: { set: first.set, length: first.length, quorum: await lend(first, [1, 2]) }, asked: asked('officer', { standIn: false }),
    });
    assert.deepEqual(renewed.former?.map(({ x }) => x), [2, 3]);
    assert.deepEqual(device.notices, [], 'nobody was asked for a PIN of the token');
    await assert.rejects(device.call('activate', { token, ...await lent(device, first), asked: officer }), failure('CKR_PIN_INCORRECT', true));
    await device.call('activate', { token, ...await lent(device, next, [0, 1, 2]), asked: officer });
    const { traffic } = device;
    await device.end();

    // A stranger with the cards gets in by what FORMAT.md says; and nothing that was sent, printed or stored shows the PIN.
    const module = await moduleHere(at);
    const pin = await computed(module, next, token, [0, 1, 2]);
    assert.match(pin, /^[A-HJ-NP-Z2-9]{32}$/);
    const session = await (await module.token(token)).open();
    await session.login(new TextEncoder().encode(pin));
    assert.equal(await session.loggedIn(), true);
    await session.close();
    for (const secret of [pin, await computed(module, first, token, [1, 2])]) {
      assert.ok(!traffic.join('\n').includes(secret), 'a PIN left the process');
      assert.equal(filesBelow(at.folder).indexOf(secret), -1, 'a PIN is in a file');
    }
    await module.close();
  });
}

for (const kind of ['software', 'softhsm2'] as const) {
  test(`${kind}: the security officer's PIN by a quorum: it sets the user PIN that somebody types, keeps the keys, and is nowhere else`, async (t) => {
    const at = place(kind);
    t.after(() => at.remove());
    const device = await at.start();
    const [hsm, ...people] = await cards(device, 'hsm', 'c1', 'c2', 'c3');
    const token = hsm!.serial;
    const key = await makeKey(device, token, 'ecdsa-p256', 'token', false);
    await device.call('log-out', { token });
    const made = await split(device, token, people);
    const setting = async (changes: object = {}) => device.call('set-activation-pin', { token, whose: 'so', ...await lent(device, made), again: false, former: null, asked: officer, ...changes });
    const resetting = async (of: Split, who = asked('officer', { standIn: false })) => device.call('reset-user-pin', { token, ...await lent(device, of), asked: who });
    // What is typed at the booth, one answer after the other.
    const type = (...pins: (string | null)[]) => { device.atBooth = ({ ticket }) => { const pin = pins.shift(); if (typeof pin === 'string') device.type(ticket, pin); else device.cancel(ticket); }; };

    await assert.rejects(setting({ again: true }), failure('ACTIVATION-PIN-NOT-SET', true));
    await setting();
    await setting({ again: true });
    // The user's PIN is what it was, and whoever knew the officer's old one is the officer no more.
    assert.equal((await device.call('take-inventory', { token, asked: officer })).objects.length, 2);
    await device.call('log-out', { token });
    type(REHEARSAL_PIN);
    await assert.rejects(setting({ asked: asked('officer', { standIn: false }) }), failure('CKR_PIN_INCORRECT', true));

    // Nothing is touched before the new PIN is typed.
    type(null);
    await assert.rejects(resetting(made), failure('PIN_CANCELLED', true));
    type('314159');
    const { token: facts, quorum } = await resetting(made);
    assert.deepEqual([facts.serial, quorum.map(({ x }) => x)], [token, [1, 3]]);
    assert.deepEqual(device.notices.flatMap((notice) => (notice.kind === 'pin-wanted' ? [notice.wanted] : [])), ['so-pin', 'new-user-pin', 'new-user-pin'], 'nobody types the officer\'s PIN');
    await assert.rejects(device.call('prove-key', { token, key, asked: officer }), failure('CKR_PIN_INCORRECT', true));
    type('314159');
    await device.call('prove-key', { token, key, asked: asked('officer', { standIn: false }) });
    await device.call('log-out', { token });

    // A new set takes its place; the old one is worth nothing.
    const next = await split(device, token, people, 'next');
    const { key: to } = await device.call('transport-key', {});
    const lend = async ({ set: of, members }: Split, who: readonly number[]) => {
      const lentHere = [];
      for (const { seat, card, object, x } of who.map((i) => members[i]!)) lentHere.push({ seat, card, x, sealed: (await device.call('lend-share', { card, object, set: of.id, x, to, asked: asked(seat) })).sealed });
      return lentHere;
    };
    await device.call('set-activation-pin', { token, whose: 'so', set: next.set, length: next.length, quorum: await lend(next, [0, 1]), again: false, former: { set: made.set, length: made.length, quorum: await lend(made, [1, 2]) }, asked: officer });
    type('271828', '271828');
    await assert.rejects(resetting(made), failure('CKR_PIN_INCORRECT', true));
    await resetting(next);
    const { traffic } = device;
    await device.end();
    const module = await moduleHere(at);
    const pin = await computed(module, next, token, [0, 2]);
    const session = await (await module.token(token)).open();
    await session.login(new TextEncoder().encode(pin), 'so');
    await session.close();
    assert.ok(!traffic.join('\n').includes(pin), 'the PIN left the process');
    assert.equal(filesBelow(at.folder).indexOf(pin), -1, 'the PIN is in a file');
    await module.close();
  });
}

test('a login that ends by itself is not made good by asking somebody for a PIN', async (t) => {
  const at = place('software');
  t.after(() => at.remove());
  const device = await at.start();
  const [hsm, ...people] = await cards(device, 'hsm', 'c1', 'c2', 'c3');
  const token = hsm!.serial;
  const made = await split(device, token, people);
  await device.call('set-activation-pin', { token, whose: 'user', ...await lent(device, made), again: false, former: null, asked: officer });
  await device.call('activate', { token, ...await lent(device, made), asked: officer });
  const folder = at.module.kind === 'software' ? at.module.folder : '';
  renameSync(folder, `${folder}-away`);
  await assert.rejects(device.call('look', { token, asked: officer }), failure('ACTIVATION-ENDED', true));
  renameSync(`${folder}-away`, folder);
  for (const operation of ['take-inventory', 'look'] as const) await assert.rejects(device.call(operation, { token, asked: officer }), failure('ACTIVATION-ENDED', true));
  await device.call('activate', { token, ...await lent(device, made), asked: officer });
  await device.call('take-inventory', { token, asked: officer });
  // Where the ceremony is over, or given up, it is a token as any other again.
  await device.call('log-out', { token });
  await assert.rejects(device.call('take-inventory', { token, asked: officer }), failure('CKR_PIN_INCORRECT', true));
  await device.end();
});

test('a token that locks: one try, no second, and what to do', async (t) => {
  const at = place('software');
  t.after(() => at.remove());
  const device = await at.start();
  const [hsm, ...people] = await cards(device, 'hsm', 'c1', 'c2');
  const token = hsm!.serial;
  const made = await split(device, token, people);
  const activate = async (more: object = {}) => device.call('activate', { token, ...await lent(device, made, [0, 1]), asked: asked('officer', more) });
  // The PIN was never set: each attempt is one wrong try, and the last one wants words.
  const codes: string[] = [];
  for (let i = 0; i < 12; i += 1) {
    try {
      await activate();
    } catch (thrown) {
      const { error } = thrown as { error: { code: string; hint: string } };
      codes.push(error.code);
      if (error.code === 'CKR_PIN_INCORRECT') assert.match(error.hint, /Do not try again/);
      if (error.code === 'PIN_FINAL_TRY') break;
    }
  }
  assert.equal(codes.at(-1), 'PIN_FINAL_TRY');
  await assert.rejects(activate(), failure('PIN_FINAL_TRY', true));
  await assert.rejects(activate({ acceptFinalTry: true }), failure('CKR_PIN_LOCKED', true));
  await assert.rejects(activate({ acceptFinalTry: true }), failure('CKR_PIN_LOCKED', true));
  await device.end();
});

test('the derivation: fixed answers, every length, and no character likelier than another', () => {
  const key = Uint8Array.from({ length: 32 }, (_, i) => i);
  const text = (length: number, serial = '0417 2203') => Buffer.from(derivePin({ key, length }, serial)).toString();
  // Computed apart, with Python's hmac and hashlib.
  assert.equal(text(32), 'EYA4PX4PLKZZXS3QT3R95JCPAHXQVYF2');
  assert.equal(text(8), 'LXEC2HYM');
  for (let length = 8; length <= 32; length += 1) assert.equal(text(length).length, length);
  assert.notEqual(text(32, 'another'), text(32));
  assert.ok(!text(32).startsWith(text(16)), 'a PIN of another length is another PIN');
  const counts = new Map<string, number>();
  for (let i = 0; i < 2000; i += 1) {
    key[0] = i & 0xff;
    key[1] = i >> 8;
    for (const character of text(32)) counts.set(character, (counts.get(character) ?? 0) + 1);
  }
  assert.equal(counts.size, 32);
  for (const [character, count] of counts) assert.ok(Math.abs(count - 2000) < 250, `${character}: ${count}`);
});

test('which tokens can have such a PIN', () => {
  const length = (min: number, max: number) => {
    try {
      return activationPinLength({ min, max });
    } catch (thrown) {
      assert.ok(thrown instanceof Refused && !isTokenError(thrown));
      return thrown.refusal.rule;
    }
  };
  const rows: readonly (readonly [min: number, max: number, expected: number | string])[] = [
    [4, 255, 32], [6, 16, 16], [4, 32, 32], [4, 33, 32], [8, 8, 8], [6, 7, 'ACTIVATION-PIN-LENGTH'], [33, 64, 'ACTIVATION-PIN-LENGTH'], [32, 64, 32], [0, 0, 32], [12, 8, 'ACTIVATION-PIN-LENGTH'],
  ];
  for (const [min, max, expected] of rows) assert.equal(length(min, max), expected, `${min} to ${max}`);
  assert.equal(padFault({ flags: ['CKF_PROTECTED_AUTHENTICATION_PATH'] })?.rule, 'ACTIVATION-NEEDS-PIN');
  assert.equal(padFault({ flags: ['CKF_LOGIN_REQUIRED'] }), null);
});
