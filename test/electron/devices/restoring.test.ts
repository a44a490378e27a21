/**
 * A key out of its backup onto another token, on both twins: what is there afterwards, what it says of itself, that it cannot leave
 * again, and everything for which it is refused while nothing has changed.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { fromBase64url, toBase64url } from '../../../ceremonies/bytes.ts';
import type { Placement } from '../../../ceremonies/evidence.ts';
import { verifyWith } from '../../../ceremonies/keys/subject-key.ts';
import { restoredDeviations } from '../../../ceremonies/recovery.ts';
import type { KeyReference } from '../../../electron/devices/protocol.ts';
import { asked, cards, failure, place } from './device-process.ts';
import { backUp, borrow, freshIds, give, makeKey } from './operations.ts';

const officer = asked('officer');
const b64 = (bytes: Uint8Array) => toBase64url(Uint8Array.from(bytes));
const COMPOSITE = 'MLDSA65-ECDSA-P256-SHA512';
const damaged = (text: string): string => {
  const bytes = fromBase64url(text);
  bytes[bytes.length >> 1]! ^= 1;
  return toBase64url(bytes);
};
/** The key of a backup as it is on its new token. */
const placed = (key: KeyReference, ids: readonly string[], parts: readonly { wrapped: KeyReference['parts'][number]['wrapped'] }[]): KeyReference => {
  const left = [...ids];
  return { ...key, parts: key.parts.map((part, i) => ({ ...part, id: part.held === 'token' ? left.shift()! : null, wrapped: parts[i]!.wrapped })), wrapping: left[0] ?? null };
};

const KEYS: readonly (readonly ['software' | 'softhsm2', string, Placement])[] = [
  ['software', 'ecdsa-p384', 'token'], ['software', 'ed25519', 'token'], ['software', COMPOSITE, 'token'], ['software', COMPOSITE, 'wrapped'],
  ['softhsm2', 'ecdsa-p256', 'token'], ['softhsm2', 'rsa-3072', 'token'], ['softhsm2', COMPOSITE, 'split'],
];
for (const [kind, algorithm, where] of KEYS) {
  test(`${kind}: ${algorithm}, ${where}: restored onto another token, and the same key`, async (t) => {
    const at = place(kind);
    t.after(() => at.remove());
    const device = await at.start();
    const [first, second, ...people] = await cards(device, 'first', 'second', 'c1', 'c2');
    const token = second!.serial;
    const key = await makeKey(device, first!.serial, algorithm, where);
    const { set, wrapped, members } = await backUp(device, first!.serial, key, device, people);
    await device.call('wipe-backup-key', {});
    const nonce = b64(randomBytes(32));
    const ids = freshIds(algorithm, where);
    const order = { token, key, wrapped, ids, label: 'Restored CA', nonce, set, asked: officer };
    const restored = await device.call('restore-key', { ...order, quorum: await borrow(device, device, set.id, members) });

    assert.equal(restored.spki, key.spki);
    assert.equal(restored.possession.message, nonce);
    assert.equal(await verifyWith(algorithm, fromBase64url(key.spki), fromBase64url(nonce), fromBase64url(restored.possession.signature)), true);
    assert.equal(restored.enforced, true);
    for (const [i, part] of restored.parts.entries()) {
      assert.deepEqual([part.part, part.held, part.spki], [key.parts[i]!.part, key.parts[i]!.held, key.parts[i]!.spki]);
      if (part.private) assert.deepEqual([restoredDeviations(part.private), part.private.label, part.private.local], [[], 'Restored CA', false]);
      else assert.notEqual(part.wrapped?.bytes, key.parts[i]!.wrapped?.bytes);
    }
    if (restored.wrappingKey) assert.deepEqual([restored.wrappingKey.id, restored.wrappingKey.local, restored.wrappingKey.neverExtractable], [ids.at(-1), true, true]);
    const { objects } = await device.call('take-inventory', { token, asked: officer });
    assert.equal(objects.length, restored.parts.filter(({ held }) => held === 'token').length * 2 + (restored.wrappingKey ? 1 : 0));
    const again = placed(key, ids, restored.parts);
    await device.call('prove-key', { token, key: again, asked: officer });

    // From another process, with a login of its own; and it does not leave this token either.
    await device.end();
    const later = await at.start();
    const { possession } = await later.call('prove-key', { token, key: again, asked: officer });
    assert.equal(await verifyWith(algorithm, fromBase64url(key.spki), fromBase64url(possession.message), fromBase64url(possession.signature)), true);
    if (where === 'token') {
      await later.call('make-backup-key', { token, set: b64(randomBytes(16)), epoch: 0, threshold: 2, custodians: ['custodian-1', 'custodian-2'], asked: officer });
      await assert.rejects(later.call('wrap-key', { token, key: again, asked: officer }), failure('CKR_KEY_UNEXTRACTABLE', true));
      // A restored key whose outcome was never written down, and that is kept.
      const kept = await later.call('read-restored', { token, key, ids, nonce, asked: officer });
      assert.deepEqual([kept.spki, kept.possession.message, kept.enforced], [key.spki, nonce, true]);
    }
    // Two of one key on one token are refused: on the new one, and on the one where it was made.
    for (const serial of [token, first!.serial]) {
      const once = { ...order, token: serial, ids: freshIds(algorithm, where) };
      if (where === 'wrapped' && serial === token) continue; // nothing of it but a wrapping key is there to be seen
      await assert.rejects(later.call('restore-key', { ...once, quorum: await borrow(later, later, set.id, members) }), failure('KEY-THERE', true));
    }
    await later.end();
  });
}

for (const kind of ['software', 'softhsm2'] as const) {
  test(`${kind}: refused while nothing has changed`, async (t) => {
    const at = place(kind);
    t.after(() => at.remove());
    const device = await at.start();
    const [first, second, ...people] = await cards(device, 'first', 'second', 'c1', 'c2');
    const token = second!.serial;
    const key = await makeKey(device, first!.serial, COMPOSITE, 'split');
    const { set, wrapped, members } = await backUp(device, first!.serial, key, device, people);
    const other = await makeKey(device, first!.serial, COMPOSITE, 'split');
    const { parts: others } = await device.call('wrap-key', { token: first!.serial, key: other, asked: officer });
    await device.call('wipe-backup-key', {});
    const nonce = b64(randomBytes(32));
    const order = () => ({ token, key, wrapped, ids: freshIds(COMPOSITE, 'split'), label: 'Restored CA', nonce, set, asked: officer });
    const quorum = () => borrow(device, device, set.id, members);
    const refused = async (code: string, changes: object, lent?: Awaited<ReturnType<typeof quorum>>) => {
      await assert.rejects(device.call('restore-key', { ...order(), quorum: lent ?? await quorum(), ...changes }), failure(code, true));
      assert.deepEqual((await device.call('take-inventory', { token, asked: officer })).objects, [], code);
    };
    const [mlDsa, half] = wrapped;
    await refused('CKR_WRAPPED_KEY_INVALID', { wrapped: [{ ...mlDsa!, wrapped: damaged(mlDsa!.wrapped) }, half!] });
    await refused('COMPOSITE-ML-DSA-HALF', { wrapped: [others[0]!, half!] });
    await refused('COMPOSITE-TRADITIONAL-HALF', { wrapped: [mlDsa!, others[1]!] });
    await refused('KEY-BOUND', { key: { ...key, spki: other.spki } });
    await refused('REQUEST_INVALID', { ids: ['00'.repeat(16)] });
    await refused('REQUEST_INVALID', { ids: ['00'.repeat(16), '00'.repeat(16)] });
    await refused('SHARE-OLD-EPOCH', { set: { ...set, epoch: set.epoch + 1 } });
    await refused('SHARE-FOREIGN-SET', { set: { ...set, commitments: [...set.commitments].reverse() } });
    const [one] = await quorum();
    await refused('SHARE-DUPLICATE', {}, [one!, one!]);
    // A record that asks for another number of shares than the set was split for is another record: every share says so.
    await refused('SHARE-FOREIGN-SET', { set: { ...set, threshold: 3 } });
    const { set: wider } = await device.call('make-backup-key', { token: first!.serial, set: b64(randomBytes(16)), epoch: 0, threshold: 3, custodians: ['custodian-1', 'custodian-2', 'custodian-3'], asked: officer });
    const two = people.map(({ serial: card }, i) => ({ seat: `custodian-${i + 1}`, card, object: `conclave-share-wider-${i}`, x: i + 1 }));
    for (const { seat, card, object, x } of two) await give(device, device, { card, object, set: wider.id, x, erases: [], asked: asked(seat) });
    await device.call('wipe-backup-key', {});
    await refused('SHARES-TOO-FEW', { set: wider }, await borrow(device, device, wider.id, two));
    await assert.rejects(device.call('restore-key', { ...order(), quorum: [one!, { ...one!, x: 2 }] }), failure('SHARE-TRANSPORT', true));
    // An id that something else has.
    const { ids } = order();
    await device.call('generate-key', { token, ids: [ids[0]!], label: 'stray', algorithm: 'ecdsa-p256', place: 'token', extractable: false, asked: officer });
    await assert.rejects(device.call('restore-key', { ...order(), ids, quorum: await quorum() }), failure('ID-FRESH', true));
    await device.end();
  });
}

test('a stateful key is never restored, whatever is wrapped', async (t) => {
  const at = place('software');
  t.after(() => at.remove());
  const device = await at.start();
  const [first, ...people] = await cards(device, 'first', 'c1', 'c2');
  const key = await makeKey(device, first!.serial, 'ecdsa-p256', 'token');
  const { set, wrapped, members } = await backUp(device, first!.serial, key, device, people);
  const order = { token: first!.serial, key: { ...key, algorithm: 'hss-lms' }, wrapped, ids: freshIds('ecdsa-p256', 'token'), label: 'x', nonce: b64(randomBytes(32)), set, asked: officer };
  await assert.rejects(device.call('restore-key', { ...order, quorum: await borrow(device, device, set.id, members) }), failure('STATEFUL-NEVER-COPIED', true));
  await device.end();
});
