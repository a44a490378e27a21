/**
 * Keys of several parts where it gets narrow: parts on one module and shares on another, sealed things that were changed or
 * exchanged, a token that lies, stateful keys, what a crash leaves, and ending work that takes long.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fromBase64url, toBase64url, toHex } from '../../../ceremonies/bytes.ts';
import type { Placement } from '../../../ceremonies/evidence.ts';
import { CA_ALGORITHMS, caAlgorithmNamed, componentsOf, isStateful } from '../../../ceremonies/keys/algorithms.ts';
import { readCertificate } from '../../../ceremonies/keys/chain.ts';
import { makeRequest } from '../../../ceremonies/keys/request.ts';
import { verifyWith } from '../../../ceremonies/keys/subject-key.ts';
import { verifyIssued } from '../../../ceremonies/keys/x509.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { Work } from '../../../electron/devices/errors.ts';
import { makeKey as makeParts, openKey, planKey, planWithFreshIds, recoverKey, tryKey, withThrowawayKey } from '../../../electron/devices/keys.ts';
import { REHEARSAL_PIN, type KeyReference } from '../../../electron/devices/protocol.ts';
import { generateSecret, signWith } from '../../../electron/devices/providers.ts';
import { openSoftwareModule } from '../../../electron/devices/software-token.ts';
import type { Session, Token } from '../../../electron/devices/tokens.ts';
import { sealShare, TransportKey } from '../../../electron/devices/transport.ts';
import { asked, cards, DeviceProcess, failure, later, place, type Place } from './device-process.ts';
import { makeNssTokens } from './nss-token.ts';
import { backUp, borrow, freshIds, give, makeKey, rootOrder } from './operations.ts';

const COMPOSITE = 'MLDSA65-ECDSA-P256-SHA512';
const officer = asked('officer');
const b64 = (bytes: Uint8Array) => toBase64url(Uint8Array.from(bytes));
const refusal = (rule: string) => (thrown: unknown) => thrown instanceof Refused && thrown.refusal.rule === rule;
/** The same text with one bit of its middle byte changed. */
const damaged = (text: string): string => {
  const bytes = fromBase64url(text);
  bytes[bytes.length >> 1]! ^= 1;
  return toBase64url(bytes);
};

let hsm: Place;
let soft: Place;
before(() => {
  hsm = place('softhsm2');
  soft = place('software');
});
after(() => {
  hsm.remove();
  soft.remove();
});

// --- two modules ---------------------------------------------------------------------------------------------------------

test('token on one module, cards on another: shares travel sealed, a split composite is recovered', async () => {
  const [tokens, readers] = [await hsm.start(), await soft.start()];
  const [root] = await cards(tokens, 'root');
  const people = await cards(readers, 'c1', 'c2');
  const token = root!.serial;
  const key = await makeKey(tokens, token, COMPOSITE, 'split');
  const { set, wrapped, members } = await backUp(tokens, token, key, readers, people);
  const other = await makeKey(tokens, token, COMPOSITE, 'split');
  const { parts: others } = await tokens.call('wrap-key', { token, key: other, asked: officer });
  await tokens.call('clear', { token, ids: other.parts.flatMap(({ id }) => id ?? []).concat(other.wrapping!), asked: officer });
  assert.deepEqual(await tokens.call('wipe-backup-key', {}), { how: 'overwritten' });
  const nonce = b64(randomBytes(32));
  const recovery = { token, key, wrapped, nonce, set, asked: officer };
  const { possession } = await tokens.call('prove-recovery', { ...recovery, quorum: await borrow(tokens, readers, set.id, members) });
  assert.equal(await verifyWith(COMPOSITE, fromBase64url(key.spki), fromBase64url(nonce), fromBase64url(possession.signature)), true);
  assert.equal((await tokens.call('take-inventory', { token, asked: officer })).objects.length, 3, 'a pair and the wrapping key');

  const refused = async (changes: Partial<typeof recovery>, code: string): Promise<void> => {
    const quorum = await borrow(tokens, readers, set.id, members);
    await assert.rejects(tokens.call('prove-recovery', { ...recovery, ...changes, quorum }), failure(code, true));
    assert.equal((await tokens.call('take-inventory', { token, asked: officer })).objects.length, 3);
  };
  const [mlDsa, traditional] = wrapped;
  await refused({ wrapped: [{ ...mlDsa!, wrapped: damaged(mlDsa!.wrapped) }, traditional!] }, 'CKR_WRAPPED_KEY_INVALID');
  await refused({ wrapped: [{ ...mlDsa!, wrapped: traditional!.wrapped }, traditional!] }, 'KEY-BOUND');
  await refused({ wrapped: [traditional!, mlDsa!] }, 'REQUEST_INVALID');
  // Halves of another key under the same backup key open as well: nothing but the signature tells them apart.
  await refused({ wrapped: [others[0]!, traditional!] }, 'COMPOSITE-ML-DSA-HALF');
  await refused({ wrapped: [mlDsa!, others[1]!] }, 'COMPOSITE-TRADITIONAL-HALF');
  await refused({ key: { ...key, spki: other.spki } }, 'KEY-BOUND');
  await refused({ key: { ...key, spki: other.spki, parts: [other.parts[0]!, key.parts[1]!] } }, 'KEY-BOUND');
  await Promise.all([tokens.end(), readers.end()]);
});

test('both halves on a PKCS#11 3.2 token, cards on another module: made, proven, certified, backed up, recovered, locked', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'conclave-nss-'));
  const { module, serials: [token = ''] } = makeNssTokens(folder, ['REHEARSAL root']);
  const [tokens, readers] = [new DeviceProcess(), await soft.start()];
  t.after(() => {
    tokens.child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  await tokens.call('start', { module });
  const people = await cards(readers, 'n1', 'n2');
  const inspected = await tokens.call('inspect-token', { token, needs: ['generate', 'sign', 'wrap', 'recover'], algorithm: COMPOSITE, place: 'token', asked: officer });
  assert.ok(inspected.needs.every(({ proof }) => proof === 'verified'), JSON.stringify(inspected.needs));
  const key = await makeKey(tokens, token, COMPOSITE, 'token');
  assert.deepEqual(key.parts.map(({ held }) => held), ['token', 'token']);
  const spki = fromBase64url(key.spki);
  const { possession } = await tokens.call('prove-key', { token, key, asked: officer });
  assert.equal(await verifyWith(COMPOSITE, spki, fromBase64url(possession.message), fromBase64url(possession.signature)), true);
  const { certificate } = await tokens.call('issue-certificate', { token, key, certificate: rootOrder, asked: officer });
  assert.equal(await verifyIssued(fromBase64url(certificate), spki), true);
  const { set, wrapped, members } = await backUp(tokens, token, key, readers, people);
  const nonce = b64(randomBytes(32));
  const recovered = await tokens.call('prove-recovery', { token, key, wrapped, nonce, set, quorum: await borrow(tokens, readers, set.id, members), asked: officer });
  assert.equal(await verifyWith(COMPOSITE, spki, fromBase64url(nonce), fromBase64url(recovered.possession.signature)), true);
  const locked = await tokens.call('lock-key', { token, key, asked: officer });
  assert.deepEqual(locked.private.map(({ extractable }) => extractable), [false, false]);
  await assert.rejects(tokens.call('wrap-key', { token, key, asked: officer }), failure('CKR_KEY_UNEXTRACTABLE', true));
  assert.equal((await tokens.call('take-inventory', { token, asked: officer })).objects.length, 4);
  await Promise.all([tokens.end(), readers.end()]);
});

for (const kind of ['softhsm2', 'software'] as const) {
  test(`what keeps a key on its token, on ${kind}: its attributes, and what the token does when it is to wrap the key; nothing is left of the try`, async () => {
    const device = await (kind === 'software' ? soft : hsm).start();
    const [root] = await cards(device, 'leaving');
    const token = root!.serial;
    const leaving = async (key: KeyReference) => (await device.call('prove-key', { token, key, leaving: true, asked: officer })).leaving;
    const split = await makeKey(device, token, COMPOSITE, 'split');
    assert.deepEqual(await leaving(split), [{ trustedOnly: false, refused: null }], 'one part is on the token');
    assert.equal((await device.call('prove-key', { token, key: split, asked: officer })).leaving, undefined, 'only where it is asked for');
    await device.call('lock-key', { token, key: split, asked: officer });
    assert.deepEqual(await leaving(split), [{ trustedOnly: false, refused: 'CKR_KEY_UNEXTRACTABLE' }]);
    assert.deepEqual(await leaving(await makeKey(device, token, COMPOSITE, 'wrapped')), []);
    const id = toHex(randomBytes(16));
    const order = { id, label: 'Trusted only', kind: 'ec-p256', attributes: { sign: true, extractable: true, modifiable: true, wrapWithTrusted: true }, despite: ['KEY-EXTRACTABLE', 'KEY-MODIFIABLE'] };
    const { result } = await device.call('administer', { token, change: 'generate-key', order, file: null, kept: false, asked: officer });
    const spki = String(result['spki']);
    const [trusted] = await leaving({ algorithm: 'ecdsa-p256', spki, wrapping: null, parts: [{ part: 'key', held: 'token', spki, id, wrapped: null }] }) ?? [];
    assert.equal(trusted?.trustedOnly, true);
    assert.match(trusted?.refused ?? '', /^CKR_/);
    if (kind === 'softhsm2') assert.deepEqual(await leaving(await makeKey(device, token, 'ed25519', 'token')), [{ trustedOnly: false, refused: 'CKR_KEY_NOT_WRAPPABLE' }]);
    const { objects } = await device.call('take-inventory', { token, asked: officer });
    assert.equal(objects.length, 3 + 1 + 2 + (kind === 'softhsm2' ? 2 : 0), 'the keys, and nothing of what was tried');
    await device.end();
  });
}

test('a sealed share opens once, in the process it was sealed for, as the share it is', async () => {
  const [tokens, readers] = [await hsm.start(), await soft.start()];
  const [root] = await cards(tokens, 'shares');
  const [card] = await cards(readers, 'c1');
  const custodians = ['custodian-1', 'custodian-2'];
  const { set } = await tokens.call('make-backup-key', { token: root!.serial, set: b64(randomBytes(16)), epoch: 0, threshold: 2, custodians, asked: officer });
  const body = { card: card!.serial, object: 'conclave-share-1', set: set.id, x: 1, erases: [], asked: asked('custodian-1') };
  const seal = async (to: DeviceProcess, x = 1) => (await tokens.call('seal-share', { set: set.id, x, to: (await to.call('transport-key', {})).key })).sealed;
  const refused = async (changes: object, sealed: string) => {
    await assert.rejects(readers.call('give-share', { ...body, ...changes, sealed }), failure('SHARE-TRANSPORT', true));
  };
  await refused({}, damaged(await seal(readers)));
  await refused({ x: 2 }, await seal(readers));
  await refused({ set: b64(randomBytes(16)) }, await seal(readers));
  await refused({}, await seal(tokens));
  await refused({}, (await seal(readers)).slice(0, 1600));
  await refused({}, '');
  const earlier = await seal(readers);
  await seal(readers); // a new transport key forgets the one before
  await refused({}, earlier);
  const sealed = await seal(readers);
  await readers.call('give-share', { ...body, sealed });
  await refused({ object: 'conclave-share-2' }, sealed);
  await assert.rejects(tokens.call('seal-share', { set: b64(randomBytes(16)), x: 1, to: (await readers.call('transport-key', {})).key }), failure('SHARE-FOREIGN-SET', true));
  await assert.rejects(tokens.call('seal-share', { set: set.id, x: 3, to: (await readers.call('transport-key', {})).key }), failure('SHARE-SET', true));
  await assert.rejects(tokens.call('seal-share', { set: set.id, x: 1, to: b64(randomBytes(1000)) }), failure('KEM-PUBLIC-KEY', true));
  await assert.rejects(give(tokens, readers, { ...body, x: 2 }), failure('OBJECT-FREE', true));
  await assert.rejects(readers.call('lend-share', { ...{ card: body.card, object: body.object, set: set.id, asked: body.asked }, x: 2, to: (await tokens.call('transport-key', {})).key }), failure('SHARE-SWAPPED', true));
  // What travelled is never the share itself, and no PIN.
  for (const device of [tokens, readers]) assert.doesNotMatch(device.traffic.join('\n'), /Y29uY2xhdmUtc2hhcmUv|636f6e636c6176652d73686172652f|271828/);
  await Promise.all([tokens.end(), readers.end()]);
});

test('a transport key wipes itself with its first use, and with the first failure of several', async () => {
  const name = { set: b64(randomBytes(16)), x: 1 };
  const key = new TransportKey();
  const sealed = await sealShare(key.publicKey, name, Uint8Array.of(1, 2, 3));
  assert.deepEqual(await key.openAll([{ name, bytes: sealed }]), [new Uint8Array([1, 2, 3])]);
  await assert.rejects(key.openAll([{ name, bytes: sealed }]), refusal('SHARE-TRANSPORT'));
  const next = new TransportKey();
  const two = [await sealShare(next.publicKey, name, Uint8Array.of(1)), await sealShare(next.publicKey, { ...name, x: 2 }, Uint8Array.of(2))];
  await assert.rejects(next.openAll([{ name, bytes: two[0]! }, { name, bytes: two[1]! }]), refusal('SHARE-TRANSPORT'));
  await assert.rejects(next.openAll([{ name, bytes: two[0]! }]), refusal('SHARE-TRANSPORT'));
});

// --- wrapped parts -------------------------------------------------------------------------------------------------------

for (const kind of ['softhsm2', 'software'] as const) {
  test(`wrapped parts that were changed, exchanged or moved are refused by name (${kind})`, async () => {
    const device = await (kind === 'software' ? soft : hsm).start();
    const [card] = await cards(device, 'wrapped');
    const token = card!.serial;
    const key = await makeKey(device, token, COMPOSITE, 'wrapped');
    const other = await makeKey(device, token, COMPOSITE, 'wrapped');
    const prove = (changes: Partial<KeyReference>) => device.call('prove-key', { token, key: { ...key, ...changes }, asked: officer });
    const with_ = (i: number, changes: Partial<KeyReference['parts'][number]>) => ({ parts: key.parts.map((part, j) => (i === j ? { ...part, ...changes } : part)) });
    await prove({});
    const [mlDsa, traditional] = key.parts;
    const tampered = { mechanism: mlDsa!.wrapped!.mechanism, bytes: damaged(mlDsa!.wrapped!.bytes) };
    await assert.rejects(prove(with_(0, { wrapped: tampered })), (thrown: Error) => /^CKR_/.test(thrown.message) && /ML-DSA-65/.test(thrown.message));
    await assert.rejects(prove(with_(0, { wrapped: traditional!.wrapped })), failure('KEY-BOUND', true));
    await assert.rejects(prove(with_(1, { wrapped: other.parts[1]!.wrapped })), (thrown: Error) => /^CKR_/.test(thrown.message));
    await assert.rejects(prove({ wrapping: other.wrapping }), (thrown: Error) => /^CKR_/.test(thrown.message));
    await assert.rejects(prove({ wrapping: '00' }), failure('ONE-MATCH', true));
    await assert.rejects(prove({ spki: other.spki }), failure('KEY-BOUND', true));
    await assert.rejects(prove(with_(0, { spki: other.parts[0]!.spki })), failure('KEY-BOUND', true));
    await assert.rejects(prove({ parts: [other.parts[0]!, traditional!], spki: other.spki }), failure('KEY-BOUND', true));
    await assert.rejects(prove({ parts: [traditional!, mlDsa!] }), failure('REQUEST_INVALID', true));
    await assert.rejects(prove({ parts: [mlDsa!] }), failure('REQUEST_INVALID', true));
    await device.end();
  });
}

test('a key on the token that is not the record\'s is not used', async () => {
  const device = await hsm.start();
  const [card] = await cards(device, 'bound');
  const token = card!.serial;
  const key = await makeKey(device, token, COMPOSITE, 'split', false);
  const other = await makeKey(device, token, COMPOSITE, 'split', false);
  const moved = { ...key, parts: [key.parts[0]!, { ...key.parts[1]!, id: other.parts[1]!.id }] };
  for (const operation of ['prove-key', 'lock-key'] as const) {
    await assert.rejects(device.call(operation, { token, key: moved, asked: officer }), failure('KEY-BOUND', true));
  }
  await assert.rejects(device.call('issue-certificate', { token, key: moved, certificate: rootOrder, asked: officer }), failure('KEY-BOUND', true));
  await device.end();
});

// --- a token that lies ---------------------------------------------------------------------------------------------------

/** The session of an in-process software token, logged in; `lie` replaces some of its methods. */
async function session(t: { after(work: () => void): void }, lie: (honest: Session) => Partial<Session> = () => ({})): Promise<Session> {
  const folder = mkdtempSync(join(tmpdir(), 'conclave-keys-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const module = openSoftwareModule(folder, 'test', '');
  const { serial } = await module.provision('liar', Buffer.from(REHEARSAL_PIN));
  const honest = await (await module.token(serial)).open();
  await honest.login(Buffer.from(REHEARSAL_PIN));
  const lies: Record<PropertyKey, unknown> = { ...lie(honest) };
  return new Proxy(honest, {
    get: (target, name) => {
      const own: unknown = Reflect.get(target, name);
      return lies[name] ?? (typeof own === 'function' ? own.bind(target) as unknown : own);
    },
  });
}

const changedSignature = (family: string) => (honest: Session): Partial<Session> => ({
  sign: async (name, algorithm, message, how) => {
    const signature = await honest.sign(name, algorithm, message, how);
    if (algorithm.family === family) signature[signature.length - 1]! ^= 1;
    return signature;
  },
});
const LIES: readonly (readonly [what: string, algorithm: string, lie: (honest: Session) => Partial<Session>, rule: string])[] = [
  ['the ML-DSA half signs wrongly', 'MLDSA44-Ed25519-SHA512', changedSignature('ml-dsa'), 'COMPOSITE-ML-DSA-HALF'],
  ['the classical half signs wrongly', 'MLDSA44-Ed25519-SHA512', changedSignature('eddsa'), 'COMPOSITE-TRADITIONAL-HALF'],
  ['the ECDSA half is no signature at all', COMPOSITE, (honest) => ({
    sign: async (name, algorithm, message, how) => (algorithm.family === 'ecdsa' ? new Uint8Array(64) : honest.sign(name, algorithm, message, how)),
  }), 'COMPOSITE-TRADITIONAL-HALF'],
  ['the context is left out', 'MLDSA44-Ed25519-SHA512', (honest) => ({
    sign: (name, algorithm, message) => honest.sign(name, algorithm, message),
  }), 'COMPOSITE-ML-DSA-HALF'],
  ['a simple key signs wrongly', 'ed25519', changedSignature('eddsa'), 'PROOF-OF-POSSESSION'],
  ['a post-quantum key signs wrongly', 'ml-dsa-44', changedSignature('ml-dsa'), 'PROOF-OF-POSSESSION'],
];
for (const [what, algorithm, lie, rule] of LIES) {
  test(`${what}: ${rule}, and nothing is given out`, async (t) => {
    const liar = await session(t, lie);
    const { key } = await makeParts(liar, planWithFreshIds(algorithm, 'token'), { label: 'k', extractable: false, lives: 'token' }, new Work());
    await assert.rejects(key.sign(randomBytes(32), new Work()), refusal(rule));
  });
}

test('a wrapping that does not open to what was sealed: WRAPPED-OPENS', async (t) => {
  const liar = await session(t, (honest) => ({
    openBytes: async (under, wrapped) => {
      const opened = await honest.openBytes(under, wrapped);
      opened.bytes[0]! ^= 1;
      return opened;
    },
  }));
  await assert.rejects(makeParts(liar, planWithFreshIds('ml-dsa-44', 'wrapped'), { label: 'k', extractable: false, lives: 'token' }, new Work()), refusal('WRAPPED-OPENS'));
});

test('another public key than before: KEY-BOUND; a locked key that the token wraps all the same is said to be so', async (t) => {
  let lying = false;
  const liar = await session(t, (honest) => ({
    publicKey: async (name, algorithm) => (lying ? { algorithm: 'ed25519', spki: (await generateSecret(componentsOf(caAlgorithmNamed('ed25519'))[0]!)).spki } : honest.publicKey(name, algorithm)),
    makeNonExtractable: async () => undefined,
  }));
  const { key } = await makeParts(liar, planWithFreshIds('ed25519', 'token'), { label: 'k', extractable: true, lives: 'token' }, new Work());
  assert.equal((await key.lock(new Work())).enforced, false);
  const reference = key.reference();
  await openKey(liar, reference);
  lying = true;
  await assert.rejects(openKey(liar, reference), refusal('KEY-BOUND'));
});

test('recovery that fails midway leaves no session object; a throwaway key is of its algorithm and leaves none either', async (t) => {
  const honest = await session(t);
  const backup = randomBytes(32);
  const { key } = await makeParts(honest, planWithFreshIds('MLDSA44-Ed25519-SHA512', 'token'), { label: 'k', extractable: true, lives: 'token' }, new Work());
  const wrapped = await key.wrap(backup);
  const sessionObjects = async () => (await Promise.all((['private-key', 'public-key', 'secret-key'] as const).map((kind) => honest.find({ class: kind, lives: 'session' })))).flat();
  await assert.rejects(recoverKey(honest, key.reference(), [wrapped[0]!, { ...wrapped[1]!, wrapped: damaged(wrapped[1]!.wrapped) }], backup));
  assert.deepEqual(await sessionObjects(), []);
  const again = await recoverKey(honest, key.reference(), wrapped, backup);
  assert.equal((await sessionObjects()).length, 2);
  assert.deepEqual(again.spki, key.spki);
  await again.forget();
  assert.deepEqual(await sessionObjects(), []);
  const thrown = await withThrowawayKey(honest, key.algorithm, new Work(), async (throwaway) => {
    assert.notDeepEqual(throwaway.spki, key.spki);
    const message = randomBytes(32);
    assert.equal(await verifyWith(key.algorithm.name, throwaway.spki, message, await throwaway.sign(message, new Work())), true);
    return throwaway;
  });
  await assert.rejects(thrown.sign(randomBytes(32), new Work()), /wiped secret/);
});

// --- what may be where ---------------------------------------------------------------------------------------------------

test('every CA algorithm and place: possible, or refused by rule', () => {
  const rules = (name: string): Record<Placement, string> => {
    const tried = (where: Placement) => {
      try {
        return `${planKey(name, where, freshIds(name, where)).parts.filter(({ id }) => id !== null).length} on the token`;
      } catch (thrown) {
        assert.ok(thrown instanceof Refused, String(thrown));
        return thrown.refusal.rule;
      }
    };
    return { token: tried('token'), split: tried('split'), wrapped: tried('wrapped') };
  };
  for (const name of CA_ALGORITHMS) {
    const parts = componentsOf(caAlgorithmNamed(name));
    const usable = parts.every(({ row }) => row !== null);
    assert.deepEqual(rules(name), {
      token: usable ? `${parts.length} on the token` : 'PLACE-POSSIBLE',
      split: parts.length === 2 && usable ? '1 on the token' : 'PLACE-POSSIBLE',
      wrapped: isStateful(caAlgorithmNamed(name)) ? 'STATEFUL-ON-TOKEN-ONLY' : '0 on the token',
    }, name);
  }
  assert.deepEqual(rules('MLDSA65-ECDSA-brainpoolP256r1-SHA512').token, 'PLACE-POSSIBLE');
  for (const ids of [[], ['00'], ['00', '00'], ['00', '01', '02']]) assert.throws(() => planKey(COMPOSITE, 'split', ids), /REQUEST_INVALID/);
});

for (const algorithm of ['hss-lms', 'xmss-sha2-10-256', 'xmssmt-sha2-20-2-256']) test(`stateful keys are never made here, copied, shared or recovered: ${algorithm}`, async () => {
  const device = await soft.start();
  const [card] = await cards(device, algorithm);
  const token = card!.serial;
  const make = { token, ids: ['01'], label: 'k', algorithm, place: 'token' as Placement, extractable: false, asked: officer };
  await assert.rejects(device.call('generate-key', { ...make, place: 'wrapped' }), failure('STATEFUL-ON-TOKEN-ONLY', true));
  await assert.rejects(device.call('generate-key', { ...make, extractable: true }), failure('STATEFUL-NEVER-COPIED', true));
  await assert.rejects(device.call('generate-key', make), failure('CKR_MECHANISM_INVALID', true));
  const part = { part: 'key', held: 'token', spki: '', wrapped: null, id: '01' } as const;
  const key = { algorithm, spki: '', wrapping: null, parts: [part] } satisfies KeyReference;
  await assert.rejects(device.call('wrap-key', { token, key, asked: officer }), failure('STATEFUL-NEVER-COPIED', true));
  const set = { id: b64(randomBytes(16)), epoch: 0, threshold: 2, shares: 2, commitments: [b64(randomBytes(32)), b64(randomBytes(32))], secret: b64(randomBytes(32)) };
  const member = { seat: 'custodian-1', card: token, x: 1, sealed: '' };
  await assert.rejects(device.call('prove-recovery', {
    token, key, wrapped: [{ part: 'key', mechanism: '', wrapped: '' }], nonce: '', set, quorum: [member, { ...member, x: 2 }], asked: officer,
  }), failure('STATEFUL-NEVER-COPIED', true));
  const wrapped = { ...key, wrapping: '02', parts: [{ ...part, held: 'wrapped' as const, id: null, wrapped: { mechanism: '', bytes: '' } }] };
  await assert.rejects(device.call('prove-key', { token, key: wrapped, asked: officer }), failure('STATEFUL-ON-TOKEN-ONLY', true));
  const inspected = await device.call('inspect-token', { token, needs: ['generate', 'sign', 'wrap', 'recover'], algorithm, place: 'token', asked: officer });
  assert.deepEqual(inspected.needs.map(({ proof }) => proof), [null, null, null, null]);
  assert.match(inspected.needs[0]!.detail, /^CKR_MECHANISM_INVALID/);
  assert.match(inspected.needs[2]!.detail, /^STATEFUL-NEVER-COPIED/);
  const software = await device.call('inspect-token', { token, needs: ['generate'], algorithm, place: 'wrapped', asked: officer });
  assert.match(software.needs[0]!.detail, /^STATEFUL-ON-TOKEN-ONLY/);
  await device.end();
});

test('an inspection without a key to make tries nothing; one with names the parts and where they are', async () => {
  const device = await hsm.start();
  const [card] = await cards(device, 'inspect');
  const token = card!.serial;
  const inspect = async (algorithm: string | null, where: Placement) =>
    (await device.call('inspect-token', { token, needs: ['generate', 'sign', 'wrap', 'recover'], algorithm, place: where, asked: officer })).needs;
  assert.ok((await inspect(null, 'token')).every(({ proof, detail }) => proof === null && /nothing was tried/.test(detail)));
  const split = await inspect(COMPOSITE, 'split');
  assert.ok(split.every(({ proof, detail }) => proof === 'verified' && /ML-DSA-65 wrapped under a token key, ECDSA P-256 on the token/.test(detail)), JSON.stringify(split));
  await device.end();
});

// --- certificates --------------------------------------------------------------------------------------------------------

test('a rehearsal CA is made on rehearsal tokens only, and issues: subordinate, cross, by a key that was there before', async () => {
  const device = await hsm.start();
  const [card] = await cards(device, 'ca');
  const token = card!.serial;
  const { key, certificate } = await device.call('provision-ca', { token, algorithm: COMPOSITE, place: 'split' });
  const ca = readCertificate(fromBase64url(certificate));
  assert.match(Buffer.from(ca.subject).toString(), /REHEARSAL CA/);
  assert.equal(await verifyIssued(fromBase64url(certificate), fromBase64url(key.spki)), true);
  assert.ok(ca.notBefore.getTime() < Date.now() && ca.notAfter.getTime() > Date.now() + 3_000 * 86_400_000);
  await device.call('prove-key', { token, key, asked: officer });

  const component = componentsOf(caAlgorithmNamed('ecdsa-p384'))[0]!;
  const { pkcs8, spki } = await generateSecret(component);
  const { der: request } = await makeRequest({ commonName: 'REHEARSAL Sub' }, 'ecdsa-p384', spki, (tbs) => signWith(component, pkcs8, tbs));
  const dates = { serialNumber: toHex(randomBytes(16)).replace(/^./, '4'), notBefore: ca.notBefore.toISOString(), notAfter: new Date(Date.now() - (Date.now() % 1000) + 86_400_000).toISOString(), pathLength: 0 };
  const issuer = certificate;
  const issue = (order: object) => device.call('issue-certificate', { token, key, certificate: { ...dates, ...order } as typeof rootOrder, asked: officer });
  const subordinate = await issue({ order: { kind: 'subordinate', request: b64(request), issuer } });
  assert.equal(await verifyIssued(fromBase64url(subordinate.certificate), fromBase64url(key.spki)), true);
  assert.deepEqual(readCertificate(fromBase64url(subordinate.certificate)).key.spki, spki);
  const forged = request.slice();
  forged[forged.length - 1]! ^= 1;
  await assert.rejects(issue({ order: { kind: 'subordinate', request: b64(forged), issuer } }), (thrown: Error) => !/^(INTERNAL|CKR_)/.test(thrown.message));

  const { der: othersRequest } = await device.call('provision-file', { kind: 'request' });
  await issue({ order: { kind: 'subordinate', request: othersRequest, issuer } });
  const { der: other } = await device.call('provision-file', { kind: 'certificate' });
  await assert.rejects(issue({ order: { kind: 'subordinate', request: b64(request), issuer: other } }), failure('ISSUER-CERTIFICATE', true));
  const crossed = await issue({ order: { kind: 'cross', certificate: other, issuer } });
  assert.equal(await verifyIssued(fromBase64url(crossed.certificate), fromBase64url(key.spki)), true);
  const [theirs, ours] = [other, crossed.certificate].map((der) => readCertificate(fromBase64url(der)));
  assert.deepEqual([ours!.subject, ours!.key.spki], [theirs!.subject, theirs!.key.spki]);

  execFileSync('softhsm2-util', ['--init-token', '--free', '--label', 'production', '--pin', REHEARSAL_PIN, '--so-pin', REHEARSAL_PIN],
    { env: { ...process.env, ...(hsm.module.kind === 'pkcs11' ? hsm.module.env : {}) } });
  await device.end();
  const next = await hsm.start();
  const real = (await next.call('slots', {})).slots.find((slot) => slot.token?.label === 'production')?.token;
  await assert.rejects(next.call('provision-ca', { token: real!.serial, algorithm: 'ecdsa-p256', place: 'token' }), failure('STAND_IN_REFUSED', true));
  await next.end();
});

// --- crashes and long work -----------------------------------------------------------------------------------------------

test('what a crash leaves is found and cleared by all the ids that can have been used', async () => {
  let device = await hsm.start();
  const [card] = await cards(device, 'debris');
  const token = card!.serial;
  const states = new Set<string>();
  for (let round = 0; round < 4; round++) {
    const ids = freshIds(COMPOSITE, 'split');
    await device.call('inspect-token', { token, needs: [], algorithm: COMPOSITE, place: 'split', asked: officer });
    device.call('generate-key', { token, ids, label: 'Root CA', algorithm: COMPOSITE, place: 'split', extractable: true, asked: officer }).catch(() => undefined);
    await later(10 + round * 15);
    await device.kill();
    device = await hsm.start();
    const { before: found, after: left } = await device.call('clear', { token, ids, asked: officer });
    states.add(found.state);
    assert.equal(found.state === 'absent', found.objects.length === 0);
    assert.equal(left.state, 'absent');
  }
  assert.ok([...states].every((state) => ['absent', 'half', 'present'].includes(state)));

  const ids = freshIds(COMPOSITE, 'split');
  await device.call('generate-key', { token, ids, label: 'Root CA', algorithm: COMPOSITE, place: 'split', extractable: true, asked: officer });
  const look = async (wanted: string[]) => (await device.call('look', { token, ids: wanted, asked: officer })).state;
  assert.deepEqual([await look(ids), await look([ids[0]!]), await look([ids[1]!]), await look([...ids, '00']), await look([])], ['present', 'present', 'present', 'half', 'none']);
  await device.call('clear', { token, ids: [ids[1]!], asked: officer });
  assert.equal(await look(ids), 'half', 'the pair is there, its wrapping key is not');
  await device.end();
});

for (const [what, algorithm] of [['an SLH-DSA key', 'slh-dsa-shake-256s'], ['an RSA key', 'rsa-4096']] as const) {
  test(`making ${what} in software can be ended; the token was not touched, and the process goes on`, async () => {
    const device = await soft.start();
    const [card] = await cards(device, 'cancel');
    const token = card!.serial;
    assert.deepEqual(await device.call('cancel', {}), { cancelled: false });
    const making = device.call('generate-key', { token, ids: ['01'], label: 'k', algorithm, place: 'wrapped', extractable: false, asked: officer });
    const outcome = assert.rejects(making, failure('WORK_CANCELLED', true));
    let cancelled = false;
    for (let i = 0; i < 200 && !cancelled; i++) {
      cancelled = (await device.call('cancel', {})).cancelled;
      if (!cancelled) await later(2);
    }
    await outcome;
    assert.equal(cancelled, true);
    assert.deepEqual((await device.call('take-inventory', { token, asked: officer })).objects, []);
    await device.call('generate-key', { token, ids: ['01'], label: 'k', algorithm: 'ecdsa-p256', place: 'token', extractable: false, asked: officer });
    await device.end();
  });
}

test('work that was cancelled gives nothing out, also where it came to its end all the same; what came is wiped', async () => {
  const work = new Work();
  assert.equal(work.cancel(), false);
  const secret = Uint8Array.of(1, 2, 3);
  const late = work.compute(async () => {
    assert.equal(work.cancel(), true);
    return secret;
  }, (bytes) => bytes.fill(0));
  await assert.rejects(late, /WORK_CANCELLED/);
  assert.deepEqual([...secret], [0, 0, 0]);
  await assert.rejects(work.compute(async (signal) => { work.cancel(); throw new Error(`ended: ${signal.aborted}`); }), /WORK_CANCELLED/);
  await assert.rejects(work.compute(async () => { throw new Error('failed by itself'); }), /failed by itself/);
  assert.equal(await work.compute(async () => 7), 7);
});

test('a key whose making had no recorded outcome is read as it was made, where it is all on the token', async () => {
  const device = await soft.start();
  const [card] = await cards(device, 'kept');
  const token = card!.serial;
  const ids = freshIds(COMPOSITE, 'token');
  const made = await device.call('generate-key', { token, ids, label: 'Root CA', algorithm: COMPOSITE, place: 'token', extractable: true, asked: officer });
  assert.deepEqual(await device.call('read-key', { token, ids, algorithm: COMPOSITE, asked: officer }), made);
  await assert.rejects(device.call('read-key', { token, ids: ids.toReversed(), algorithm: COMPOSITE, asked: officer }), (thrown: Error) => /^(KEY-|CKR_)/.test(thrown.message));
  await assert.rejects(device.call('read-key', { token, ids: ids.slice(0, 1), algorithm: COMPOSITE, asked: officer }), failure('REQUEST_INVALID', true));
  await device.end();
});

test('every composite is tried in every place that it can have: made, signed with, wrapped, recovered', async (t) => {
  const honest = await session(t);
  const token = { notWrappable: () => null } as unknown as Token;
  for (const name of CA_ALGORITHMS.filter((one) => one.startsWith('MLDSA'))) {
    for (const where of ['token', 'split', 'wrapped'] as const) {
      if (where !== 'wrapped' && componentsOf(caAlgorithmNamed(name)).some(({ row }) => row === null)) continue;
      const { found } = await tryKey(honest, token, planWithFreshIds(name, where), true, new Work());
      assert.deepEqual(found, { generate: null, sign: null, wrap: null, recover: null }, `${name} ${where}`);
    }
  }
  assert.deepEqual((await honest.list(0, 10)).objects, []);
});
