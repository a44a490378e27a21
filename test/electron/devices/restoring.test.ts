/**
 * A key out of its backup onto another token, on both twins: what is there afterwards, what it says of itself, that it cannot leave
 * again, and everything for which it is refused while nothing has changed.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { fromBase64url, toBase64url } from '../../../ceremonies/bytes.ts';
import type { Placement } from '../../../ceremonies/evidence.ts';
import { verifyWith } from '../../../ceremonies/keys/subject-key.ts';
import { restoredDeviations } from '../../../ceremonies/recovery.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { Work } from '../../../electron/devices/errors.ts';
import { openKey } from '../../../electron/devices/keys.ts';
import { REHEARSAL_PIN, type KeyReference } from '../../../electron/devices/protocol.ts';
import { restoreKey } from '../../../electron/devices/restoring.ts';
import { openSoftwareModule } from '../../../electron/devices/software-token.ts';
import type { Session } from '../../../electron/devices/tokens.ts';
import { asked, cards, failure, place } from './device-process.ts';
import { backUp, borrow, freshIds, give, makeKey, rootOrder } from './operations.ts';

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

// --- tokens that are not like the twins, and what a rehearsal leaves alone ---------------------------------------------------

/** A key with its certificate on one software token, wrapped, and a session of another, in this process. */
async function twoTokens(t: { after(tidy: () => void): void }) {
  const at = place('software');
  t.after(() => at.remove());
  const device = await at.start();
  const [first, second] = await cards(device, 'first', 'second');
  const key = await makeKey(device, first!.serial, 'ecdsa-p256', 'token');
  const { certificate } = await device.call('issue-certificate', { token: first!.serial, key, certificate: rootOrder, asked: officer });
  await device.end();
  const module = openSoftwareModule(join(at.folder, 'tokens'), 'test', '');
  const logged = async (serial: string) => {
    const token = await module.token(serial);
    const session = await token.open();
    await session.login(Buffer.from(REHEARSAL_PIN));
    return { token, session };
  };
  const backup = randomBytes(32);
  const wrapped = await (await openKey((await logged(first!.serial)).session, key)).wrap(backup);
  const order = () => ({ key, wrapped, ids: freshIds('ecdsa-p256', 'token'), label: 'Restored CA', nonce: b64(randomBytes(32)) });
  return { ...(await logged(second!.serial)), order, backup, certificate: fromBase64url(certificate) };
}
const unlike = (session: Session, ways: Partial<Session>): Session => new Proxy(session, {
  get: (target, name) => {
    const own: unknown = Reflect.get(target, name);
    return (ways as Record<PropertyKey, unknown>)[name] ?? (typeof own === 'function' ? own.bind(target) as unknown : own);
  },
});
const refused = (rule: string) => (thrown: unknown) => thrown instanceof Refused && thrown.refusal.rule === rule;

test('the certificate of a key does not hide the key: a token that lists it first', async (t) => {
  const { token, session, order, backup, certificate } = await twoTokens(t);
  const none = new Uint8Array();
  await session.importCertificate({ id: '0c', label: 'Root CA', der: certificate, subject: none, issuer: none, serialNumber: none });
  const certificatesFirst = unlike(session, {
    list: async (offset, limit, fresh) => {
      const { total, objects } = await session.list(0, 500, fresh);
      return { total, objects: objects.toSorted((a, b) => Number(b.class === 'certificate') - Number(a.class === 'certificate')).slice(offset, offset + limit) };
    },
    read: async (which, names) => {
      if (!('position' in which)) return session.read(which, names);
      const { objects } = await session.list(0, 500, false);
      const order = objects.map((object, position) => ({ object, position })).toSorted((a, b) => Number(b.object.class === 'certificate') - Number(a.object.class === 'certificate'));
      return session.read({ position: order[which.position]!.position }, names);
    },
  });
  const on = { token, session: certificatesFirst };
  await restoreKey(on, order(), backup, new Work()); // the certificate alone is no key
  await assert.rejects(restoreKey(on, order(), backup, new Work()), refused('KEY-THERE'));
});

test('a token that does not destroy the trial copy: DESTROYED, and nothing of the key is stored', async (t) => {
  const { token, session, order, backup } = await twoTokens(t);
  const keeps = unlike(session, { destroy: (name) => ('class' in name && name.class === 'private-key' ? Promise.resolve() : session.destroy(name)) });
  const work = new Work();
  await assert.rejects(restoreKey({ token, session: keeps }, order(), backup, work), refused('DESTROYED'));
  assert.deepEqual((await session.list(0, 500)).objects, []);
});

test('a backup to rehearse with never takes the place of a real one, and leaves no shares where it fails', async (t) => {
  const at = place('software');
  t.after(() => at.remove());
  const device = await at.start();
  const [ca, card] = await cards(device, 'ca', 'c1');
  const token = ca!.serial;
  const custodians = ['custodian-1', 'custodian-2'];
  const rehearse = (algorithm: string) => device.call('provision-backup', { token, algorithm, place: 'token', set: b64(randomBytes(16)), threshold: 2, custodians });
  const shareOf = async (set: string) => device.call('seal-share', { set, x: 1, to: (await device.call('transport-key', {})).key });

  const { set } = await device.call('make-backup-key', { token, set: b64(randomBytes(16)), epoch: 0, threshold: 2, custodians, asked: officer });
  await assert.rejects(rehearse('ecdsa-p256'), failure('ONE-AT-A-TIME', true));
  const given = await give(device, device, { card: card!.serial, object: 'conclave-share-kept', set: set.id, x: 1, erases: [], asked: asked('custodian-1') });
  assert.equal(given.commitment, set.commitments[0]);
  await device.call('wipe-backup-key', {});

  await assert.rejects(rehearse('hss-lms'), failure('STATEFUL-NEVER-COPIED'));
  await assert.rejects(shareOf(set.id), failure('BACKUP_KEY_GONE'));
  const made = await rehearse('ecdsa-p256');
  await shareOf(made.set.id);
  await device.end();
});
