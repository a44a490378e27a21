/**
 * Administration end to end in a device process of its own, stated once and run for each twin (*-administration.test.ts). What a
 * token can do at all is asked of its mechanisms: what it lists must work, the rest must be refused by name and leave nothing.
 */
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fromBase64url, toBase64url } from '../../../ceremonies/bytes.ts';
import {
  CHANGES, KEY_KINDS, type ChangeKind, type ChangeResult, type KeyKind, type ObjectReference, type OrderedAttributes, type TokenFacts, type WrappedKeyFile,
} from '../../../ceremonies/evidence.ts';
import { readCertificate } from '../../../ceremonies/keys/chain.ts';
import { ML_KEMS } from '../../../ceremonies/keys/algorithms.ts';
import { checkRequest, readRequest } from '../../../ceremonies/keys/request.ts';
import { readSubjectKey, subjectKeyOf } from '../../../ceremonies/keys/subject-key.ts';
import { REHEARSAL_PIN, type Asked } from '../../../electron/devices/protocol.ts';
import { KEY_KIND_ROWS } from '../../../electron/devices/key-kinds.ts';
import { asked, cards, DeviceProcess, failure, place } from './device-process.ts';
import { makeNssTokens } from './nss-token.ts';

const hexId = () => randomBytes(16).toString('hex');
const officer = asked('officer');
const typed = asked('officer', { standIn: false });

/** Uses by which a kind is tried, and that the twins have in common. */
function usesOf(kind: KeyKind): OrderedAttributes {
  const row = KEY_KIND_ROWS[kind];
  if (row.shape === 'secret') return kind.startsWith('aes') ? { encrypt: true, decrypt: true, wrap: true, unwrap: true, sign: true, verify: true } : { sign: true, verify: true };
  switch (row.algorithm.family) {
    case 'rsa': return { sign: true, decrypt: true, unwrap: true };
    case 'ecdsa': return { sign: true, derive: true };
    case 'xdh': return { derive: true };
    case 'ml-kem': return { decapsulate: true };
    case 'eddsa': case 'ml-dsa': case 'slh-dsa': case 'hss': case 'xmss': return { sign: true };
  }
}

/** What is tried, in the order in which it is told, where the token has all mechanisms for it. */
const TRIED: { readonly [Prefix in string]: readonly string[] } = {
  rsa: ['sign and verify', 'decrypt', 'unwrap'], ec: ['sign and verify', 'derive'], ed25519: ['sign and verify'], x25519: ['derive'],
  aes: ['MAC', 'encrypt and decrypt', 'wrap and unwrap'], hmac: ['MAC'], ml: [], slh: ['sign and verify'],
};

export interface Differences {
  /** Kinds that the module makes, of all. */
  readonly makes: readonly KeyKind[];
  /** Whether C_InitToken, C_InitPIN and the SO are there. */
  readonly so: boolean;
  /** Kinds that nothing wraps. */
  readonly unwrappable?: readonly KeyKind[];
  /** Trials that the module's mechanisms do not allow, by kind's first word. */
  readonly untried?: Readonly<Record<string, readonly string[]>>;
}

export function administration(kind: 'software' | 'softhsm2' | 'nss', { makes, so, unwrappable = [], untried = {} }: Differences): void {
  let device: DeviceProcess;
  let remove: () => void;
  let nss: string[] = [];
  before(async () => {
    if (kind === 'nss') {
      const folder = mkdtempSync(join(tmpdir(), 'conclave-nss-administration-'));
      const { module, serials } = makeNssTokens(folder, Array.from({ length: 5 }, (_, i) => `REHEARSAL ${i + 1}`));
      nss = [...serials];
      device = new DeviceProcess();
      remove = () => {
        device.child.kill('SIGKILL');
        rmSync(folder, { recursive: true, force: true });
      };
      await device.call('start', { module });
      return;
    }
    const at = place(kind);
    remove = () => at.remove();
    device = await at.start();
  });
  after(() => remove());

  /** A token of the test's own; of NSS, which makes none while it runs, one of a few in turn. */
  const blank = async (): Promise<TokenFacts> => {
    if (kind !== 'nss') return (await cards(device, 'administered'))[0]!;
    nss.push(nss.shift()!);
    const serial = nss[0]!;
    await device.call('log-out', { token: serial });
    return (await device.call('slots', {})).slots.find(({ token }) => token?.serial === serial)!.token!;
  };
  const change = async <K extends ChangeKind>(token: string, name: K, order: object, more: { file?: string; kept?: boolean; asked?: Asked } = {}): Promise<ChangeResult<K>> => {
    const { result } = await device.call('administer', {
      token, change: name, order: order as Record<string, unknown>, file: more.file ?? null, kept: more.kept ?? false, asked: more.asked ?? officer,
    });
    return CHANGES[name].result.parse(result) as ChangeResult<K>;
  };
  const listing = async (token: string) => (await device.call('objects', { token, offset: 0, limit: 100 })).objects;
  const reference = async (token: string, objectClass: string, id: string): Promise<ObjectReference> => {
    const objects = await listing(token);
    const position = objects.findIndex((object) => object.class === objectClass && object.id === id);
    assert.notEqual(position, -1, `a ${objectClass} ${id}`);
    return device.call('refer', { token, place: { position, object: objects[position]! } });
  };
  const generate = async (token: string, key: KeyKind, attributes: OrderedAttributes = {}): Promise<{ id: string; made: ChangeResult<'generate-key'> }> => {
    const id = hexId();
    return { id, made: await change(token, 'generate-key', { id, label: `a ${key} key`, kind: key, attributes: { ...usesOf(key), ...attributes } }) };
  };

  for (const key of KEY_KINDS) {
    // A small-signature key takes software minutes: one of each family is enough to know that it works.
    if (kind === 'software' && /^slh-dsa-.*(s|-192f|-256f)$/.test(key)) continue;
    test(`a ${key} key: as ordered, read back, tried, referred to, tested again, destroyed`, async () => {
      const { serial } = await blank();
      const id = hexId();
      const row = KEY_KIND_ROWS[key];
      const order = { id, label: 'the key', kind: key, attributes: usesOf(key) };
      if (!makes.includes(key)) {
        await assert.rejects(change(serial, 'generate-key', order), failure('KEY-KIND-OFFERED', true));
        assert.equal((await listing(serial)).some((object) => object.id === id), false);
        return;
      }
      const made = await change(serial, 'generate-key', order);
      const own = made.private ?? made.secret;
      assert.ok(own);
      assert.deepEqual([own.id, own.label, own.private, own.sensitive, own.extractable], [id, 'the key', true, true, false]);
      assert.equal(made.public === null, row.shape === 'secret');
      const word = key.split('-')[0]!;
      const expected = key.startsWith('ml-kem') ? ['decapsulate'] : key.startsWith('ml-dsa') ? ['sign and verify'] : TRIED[word]!;
      assert.deepEqual(made.tried.map(({ name }) => name), expected.filter((name) => untried[word]?.includes(name) !== true));
      if (made.spki !== null) assert.deepEqual(made.check, { method: 'SHA-256 of SubjectPublicKeyInfo', value: createHash('sha256').update(fromBase64url(made.spki)).digest('hex') });
      await assert.rejects(change(serial, 'generate-key', order), failure('ID-FRESH', true));
      const kept = await change(serial, 'generate-key', order, { kept: true });
      assert.deepEqual([kept.spki, kept.check], [made.spki, made.check]);

      const objectClass = row.shape === 'pair' ? 'private-key' : 'secret-key';
      const named = await reference(serial, objectClass, id);
      assert.deepEqual(named.check, made.check);
      const objects = await listing(serial);
      const position = objects.findIndex((object) => object.class === objectClass && object.id === id);
      const { tried } = await device.call('self-test', { token: serial, place: { position, object: objects[position]! }, asked: officer });
      assert.deepEqual(tried.map(({ name, passed }) => [name, passed]), made.tried.map(({ name }) => [name, true]));

      await assert.rejects(change(serial, 'destroy-object', { object: { ...named, label: 'another' }, typed: '' }), failure('ONE-MATCH', true));
      const gone = await change(serial, 'destroy-object', { object: named, typed: 'destroy the key' });
      assert.deepEqual([gone.before, gone.after], [1, 0]);
      assert.equal((await listing(serial)).some((object) => object.class === objectClass && object.id === id), false);
      await assert.rejects(change(serial, 'destroy-object', { object: named, typed: '' }), failure('ONE-MATCH', true));
    });
  }

  const wrappable = (['ec-p256', 'aes-256', 'hmac-256', 'rsa-3072', 'ed25519', 'ml-dsa-44', 'ml-kem-768'] as const).filter((key) => makes.includes(key) && !unwrappable.includes(key));
  for (const method of ['AES-KWP', 'AES-KW'] as const) {
    test(`wrapped by ${method}: rehearsed, taken away, brought back, working`, async () => {
      const { serial } = await blank();
      const kek = await generate(serial, 'aes-256');
      const under = await reference(serial, 'secret-key', kek.id);
      for (const key of method === 'AES-KWP' ? wrappable : ['aes-256'] as const) {
        const { id, made } = await generate(serial, key, { extractable: true });
        const objectClass = KEY_KIND_ROWS[key].shape === 'pair' ? 'private-key' : 'secret-key';
        const named = await reference(serial, objectClass, id);
        const { file, rehearsed, why } = await change(serial, 'wrap-key', { key: named, under, recipient: null, method });
        assert.ok(rehearsed !== null, `${key}: ${why}`);
        const back = hexId();
        const order = { id: back, label: 'back', kind: key, attributes: { ...usesOf(key), modifiable: true }, file, under };
        const read = await change(serial, 'unwrap-key', order);
        assert.equal(read.spki, made.spki);
        // Not every module gives a check value of what came in wrapped.
        if (read.check.method !== 'none') assert.deepEqual(read.check, made.check);
        const own = read.private ?? read.secret;
        assert.deepEqual([own?.neverExtractable, own?.extractable, own?.sensitive], [false, false, true]);
        assert.deepEqual(read.tried.map(({ name }) => name), ['as in its file', ...made.tried.map(({ name }) => name)]);
        const damaged: WrappedKeyFile = { ...file, wrapped: toBase64url(fromBase64url(file.wrapped).map((byte, i) => (i === 9 ? byte ^ 1 : byte))) };
        await assert.rejects(change(serial, 'unwrap-key', { ...order, id: hexId(), file: damaged }));
        await assert.rejects(change(serial, 'wrap-key', { key: await reference(serial, objectClass, back), under, recipient: null, method }), failure('CKR_KEY_UNEXTRACTABLE'));
      }
    });
  }

  test('wrapped under an RSA key', async () => {
    const { serial } = await blank();
    const rsa = await generate(serial, 'rsa-3072');
    const secret = await generate(serial, 'aes-256', { extractable: true });
    const [key, publicHalf, privateHalf] = [await reference(serial, 'secret-key', secret.id), await reference(serial, 'public-key', rsa.id), await reference(serial, 'private-key', rsa.id)];
    const { file, rehearsed, why } = await change(serial, 'wrap-key', { key, under: publicHalf, recipient: null, method: 'RSA-OAEP' });
    assert.ok(rehearsed !== null, why ?? '');
    const read = await change(serial, 'unwrap-key', { id: hexId(), label: 'back', kind: 'aes-256', attributes: { ...usesOf('aes-256'), modifiable: true }, file, under: privateHalf });
    assert.deepEqual(read.check, secret.made.check);
  });

  test('a hybrid wrap to a key whose halves are both on the token', async () => {
    if (!makes.includes('ml-kem-768')) return;
    const { serial } = await blank();
    const [mlKem, x25519, p256] = [await generate(serial, 'ml-kem-768'), await generate(serial, 'x25519'), await generate(serial, 'ec-p256', { sign: false, derive: true })];
    const secret = await generate(serial, 'aes-256', { extractable: true });
    const key = await reference(serial, 'secret-key', secret.id);
    const under = await reference(serial, 'private-key', mlKem.id);
    const raw = (made: ChangeResult<'generate-key'>) => readSubjectKey(fromBase64url(made.spki!)).raw;
    const recipients = [
      fromBase64url(mlKem.made.spki!),
      subjectKeyOf('1.3.6.1.5.5.7.6.58', null, Buffer.concat([raw(mlKem.made), raw(x25519.made)])).spki,
      subjectKeyOf('1.3.6.1.5.5.7.6.59', null, Buffer.concat([raw(mlKem.made), raw(p256.made)])).spki,
    ];
    for (const recipient of recipients) {
      const { file, rehearsed, why } = await change(serial, 'wrap-key', { key, under: null, recipient: toBase64url(recipient), method: 'hybrid' });
      assert.ok(rehearsed !== null, why ?? '');
      assert.equal(fromBase64url(file.encapsulation!.ciphertext).length >= ML_KEMS['ml-kem-768'].ciphertextBytes, true);
      const order = { id: hexId(), label: 'back', kind: 'aes-256', attributes: usesOf('aes-256'), file, under };
      assert.deepEqual((await change(serial, 'unwrap-key', order)).check, secret.made.check);
      // Described otherwise, it unwraps to nothing: the description is part of the KEK.
      const renamed = { ...file, key: { ...file.key, label: 'something else' } };
      await assert.rejects(change(serial, 'unwrap-key', { ...order, id: hexId(), file: renamed }));
    }
    const stranger = subjectKeyOf('1.3.6.1.5.5.7.6.58', null, Buffer.concat([raw(mlKem.made), randomBytes(32)])).spki;
    const { file } = await change(serial, 'wrap-key', { key, under: null, recipient: toBase64url(stranger), method: 'hybrid' });
    await assert.rejects(change(serial, 'unwrap-key', { id: hexId(), label: 'back', kind: 'aes-256', attributes: {}, file, under }), failure('WRAPPED-UNDER', true));
  });

  test('an encrypted key file becomes both halves; a file in clear does not', async () => {
    const { serial } = await blank();
    const pairs: readonly (readonly [KeyKind, () => { privateKey: KeyObject }])[] = [
      ['ec-p256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })], ['rsa-3072', () => generateKeyPairSync('rsa', { modulusLength: 3072 })],
      ['ed25519', () => generateKeyPairSync('ed25519')],
    ];
    for (const [key, make] of pairs) {
      const { privateKey } = make();
      const sealed = privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: REHEARSAL_PIN });
      const order = { id: hexId(), label: 'imported', kind: key, attributes: usesOf(key), file: 'key.pem', sha256: createHash('sha256').update(sealed).digest('hex') };
      const file = toBase64url(Buffer.from(sealed));
      const read = await change(serial, 'import-key', order, { file });
      assert.deepEqual(read.tried.map(({ name }) => name), TRIED[key.split('-')[0]!]);
      assert.deepEqual([read.private?.neverExtractable, read.private?.sensitive, read.public?.id], [false, true, order.id]);
      assert.equal((await change(serial, 'import-key', order, { kept: true })).spki, read.spki);
      await assert.rejects(change(serial, 'import-key', { ...order, id: hexId(), kind: 'ec-p384' }, { file }), failure('KEY-AS-ORDERED', true));
      await assert.rejects(change(serial, 'import-key', { ...order, id: hexId(), sha256: '00'.repeat(32) }, { file }), failure('INPUT-AS-RECORDED', true));
      const clear = Buffer.from(privateKey.export({ format: 'pem', type: 'pkcs8' }));
      await assert.rejects(change(serial, 'import-key', { ...order, id: hexId(), sha256: createHash('sha256').update(clear).digest('hex') }, { file: toBase64url(clear) }), failure('IMPORT-ENCRYPTED', true));
      device.atBooth = ({ ticket, wanted }) => device.type(ticket, wanted === 'password' ? 'not this one' : REHEARSAL_PIN);
      await assert.rejects(change(serial, 'import-key', { ...order, id: hexId() }, { file, asked: typed }), failure('IMPORT-PASSWORD', true));
    }
  });

  test('requests and certificates: made, verified, bound to their key', async () => {
    const { serial } = await blank();
    const { id, made } = await generate(serial, 'ec-p256');
    const key = await reference(serial, 'private-key', id);
    const { request } = await change(serial, 'sign-request', { key, subject: 'CN=www.example.test, O=A\\, B, C=XX' });
    assert.deepEqual(await checkRequest(fromBase64url(request)), []);
    assert.equal(toBase64url(readRequest(fromBase64url(request)).spki), made.spki);
    for (const subject of ['O=no common name', 'CN=a,CN=b', 'E=a@b', 'CN=']) await assert.rejects(change(serial, 'sign-request', { key, subject }), failure('CERTIFICATE-SUBJECT', true), subject);
    const order = { key, subject: 'CN=www.example.test', serialNumber: `4${hexId().slice(1)}`, notBefore: '2026-11-22T00:00:00Z', notAfter: '2027-11-22T00:00:00Z' };
    const { certificate } = await change(serial, 'self-sign', order);
    const reading = readCertificate(fromBase64url(certificate));
    assert.deepEqual([reading.ca, reading.keyUsage, toBase64url(reading.key.spki)], [false, ['digitalSignature'], made.spki]);
    await assert.rejects(change(serial, 'self-sign', { ...order, serialNumber: '00' }), failure('CERTIFICATE-SERIAL', true));

    const bound = await change(serial, 'import-certificate', { id, label: 'its certificate', certificate });
    assert.deepEqual([bound.key, bound.object.class, bound.object.id], ['fits', 'certificate', id]);
    const other = await generate(serial, 'ec-p256');
    await assert.rejects(change(serial, 'import-certificate', { id: other.id, label: 'not its own', certificate }), failure('CERTIFICATE-FITS-KEY', true));
    const gone = await change(serial, 'destroy-object', { object: await reference(serial, 'certificate', id), typed: '' });
    assert.deepEqual([gone.before, gone.after], [1, 0]);
  });

  test('copied and edited', async () => {
    const { serial } = await blank();
    const { id, made } = await generate(serial, 'ec-p256', { extractable: true, modifiable: true });
    const object = await reference(serial, 'private-key', id);
    const copy = hexId();
    // A copy is a new key: also a danger that its source has is somebody's choice now.
    const dangers = ['KEY-MODIFIABLE', 'KEY-EXTRACTABLE'];
    const smaller = { object, id: copy, label: 'copy', attributes: { extractable: false } };
    await assert.rejects(change(serial, 'copy-object', smaller), failure('KEY-MODIFIABLE', true));
    // Where a token does not tell WRAP_WITH_TRUSTED, an extractable key is a caution, not a danger.
    if (made.more.wrapWithTrusted === false) await assert.rejects(change(serial, 'copy-object', { ...smaller, attributes: {}, despite: ['KEY-MODIFIABLE'] }), failure('KEY-EXTRACTABLE', true));
    const read = await change(serial, 'copy-object', { ...smaller, despite: dangers });
    assert.deepEqual([read.private?.extractable, read.private?.label, read.spki], [false, 'copy', made.spki]);
    await assert.rejects(change(serial, 'copy-object', { object, id: copy, label: 'copy', attributes: {}, despite: dangers }), failure('ID-FRESH', true));
    const edited = await change(serial, 'edit-object', { object, label: 'renamed', id: null, attributes: { extractable: false } });
    assert.deepEqual([edited.before.label, edited.after.label], ['a ec-p256 key', 'renamed']);
    assert.deepEqual(edited.changed[0], { attribute: 'CKA_LABEL', from: 'a ec-p256 key', to: 'renamed' });
    await assert.rejects(change(serial, 'edit-object', { object, label: 'again', id: null, attributes: {} }), failure('ONE-MATCH', true));
    const now = await reference(serial, 'private-key', id);
    await assert.rejects(change(serial, 'edit-object', { object: now, label: null, id: null, attributes: {} }), failure('REQUEST_INVALID', true));
    const moved = hexId();
    assert.equal((await change(serial, 'edit-object', { object: now, label: null, id: moved, attributes: {} })).after.id, moved);
    // Of an edit only what is new counts: this one would let the key read every other.
    const data = await generate(serial, 'aes-256', { encrypt: true, decrypt: true, wrap: false, unwrap: false, sign: false, verify: false, modifiable: true });
    const both = { object: await reference(serial, 'secret-key', data.id), label: null, id: null, attributes: { wrap: true } };
    await assert.rejects(change(serial, 'edit-object', both), failure('KEY-WRAP-DECRYPT', true));
    const { changed } = await change(serial, 'edit-object', { ...both, despite: ['KEY-WRAP-DECRYPT'] });
    assert.deepEqual(changed, [{ attribute: 'CKA_WRAP', from: 'false', to: 'true' }]);
  });

  test('PINs: the user\'s changed, forgotten, locked out and set again by the SO; nothing typed twice', async () => {
    const token = await blank();
    const { serial } = token;
    const type = (...pins: string[]) => {
      device.atBooth = ({ ticket }) => device.type(ticket, pins.shift() ?? assert.fail('nothing more is to be typed'));
      return () => assert.deepEqual(pins, []);
    };
    let all = type('271828', '31415926');
    await change(serial, 'change-pin', { whose: 'user' }, { asked: typed });
    all();
    await assert.rejects(device.call('log-in', { token: serial, asked: officer }), failure('CKR_PIN_INCORRECT', true));
    all = type('31415926');
    await device.call('log-in', { token: serial, asked: typed });
    all();
    await assert.rejects(change(serial, 'set-user-pin', {}, { asked: typed }), failure('TOKEN-MOVED', true));
    await device.call('log-out', { token: serial });
    if (!so) return;
    type('000000');
    await assert.rejects(change(serial, 'set-user-pin', {}, { asked: typed }), failure('CKR_PIN_INCORRECT', true));
    all = type('271828', '16180339');
    const { after: set } = await change(serial, 'set-user-pin', {}, { asked: typed });
    all();
    assert.ok(set.flags.includes('CKF_USER_PIN_INITIALIZED'));
    all = type('271828', '14142135');
    await change(serial, 'change-pin', { whose: 'so' }, { asked: typed });
    all();
    assert.deepEqual(device.notices.filter((notice) => notice.kind === 'pin-wanted').slice(-2).map(({ wanted }) => wanted), ['so-pin', 'new-so-pin']);
    all = type('16180339');
    await device.call('log-in', { token: serial, asked: typed });
    all();
    await device.call('log-out', { token: serial });
    const traffic = device.traffic.join('\n');
    for (const pin of ['31415926', '16180339', '14142135']) assert.equal(traffic.includes(pin), false);
  });

  test('a token is initialised if it is still the one that was seen, and nothing of it is left', async () => {
    const token = await blank();
    const { serial } = token;
    const seen = async () => (await device.call('slots', {})).slots.find((slot) => slot.token?.serial === serial)!.token!;
    if (!so) return;
    await generate(serial, 'ec-p256');
    await assert.rejects(change(serial, 'init-token', { label: 'REHEARSAL anew', seen: await seen() }), failure('TOKEN-MOVED', true));
    await device.call('log-out', { token: serial });
    const before = await seen();
    for (const moved of [{ label: 'REHEARSAL other' }, { firmware: '9.9' }, { flags: [] }]) {
      await assert.rejects(change(serial, 'init-token', { label: 'REHEARSAL anew', seen: { ...before, ...moved } }), failure('TOKEN-MOVED', true));
    }
    await assert.rejects(change(serial, 'init-token', { label: 'é'.repeat(17).slice(0, 17), seen: before }), failure('LABEL-LENGTH', true));
    device.atBooth = ({ ticket }) => device.type(ticket, '000000');
    await assert.rejects(change(serial, 'init-token', { label: 'REHEARSAL anew', seen: before }, { asked: typed }), failure('CKR_PIN_INCORRECT', true));
    const now = await seen();
    const { after: made, objects } = await change(serial, 'init-token', { label: 'REHEARSAL anew', seen: now });
    assert.deepEqual([made.label, objects, made.flags.includes('CKF_USER_PIN_INITIALIZED')], ['REHEARSAL anew', 0, false]);
    await change(made.serial, 'set-user-pin', {});
    assert.deepEqual((await device.call('objects', { token: made.serial, offset: 0, limit: 10 })).objects, []);
    await generate(made.serial, 'ec-p256');
  });

  test('a token is zeroised while a ceremony is logged in to it: byte for byte the one that was seen, and blank from a fresh session', async () => {
    const { serial } = await blank();
    const seen = async () => (await device.call('slots', {})).slots.find((slot) => slot.token?.serial === serial)!.token!;
    if (!so) return;
    await generate(serial, 'ec-p256');
    await generate(serial, 'aes-256');
    assert.equal((await device.call('take-inventory', { token: serial, asked: officer })).objects.length, 3);
    const before = await seen();
    const zeroise = (from: TokenFacts, asked: Asked = officer) => device.call('zeroise-token', { token: serial, label: before.label, seen: from, asked });
    for (const moved of [{ label: 'REHEARSAL other' }, { firmware: '9.9' }, { flags: [] }]) await assert.rejects(zeroise({ ...before, ...moved }), failure('TOKEN-MOVED', true));
    device.atBooth = ({ ticket }) => device.type(ticket, '000000');
    await assert.rejects(zeroise(before, typed), failure('CKR_PIN_INCORRECT', true));
    assert.equal((await device.call('take-inventory', { token: serial, asked: officer })).objects.length, 3, 'what was refused destroyed nothing');
    device.atBooth = ({ ticket }) => device.type(ticket, REHEARSAL_PIN);
    const evidence = await zeroise(await seen(), typed);
    assert.equal(device.notices.findLast((notice) => notice.kind === 'pin-wanted')?.wanted, 'so-pin');
    assert.deepEqual([evidence.objects, evidence.after.label, evidence.after.flags.includes('CKF_USER_PIN_INITIALIZED')], [[], before.label, false]);
    assert.deepEqual(await device.call('take-inventory', { token: evidence.after.serial, asked: officer }), { token: evidence.after.serial, objects: [], loggedIn: false });
  });

  test('a token that nobody can log in to is identified, listed as far as it shows, and zeroised: one without a user PIN, one whose PIN is locked', async () => {
    if (!so) return;
    const facts = async (serial: string) => (await device.call('slots', {})).slots.find((slot) => slot.token?.serial === serial)!.token!;
    const identify = (token: string, needs: ('sign')[], asked: Asked) => device.call('inspect-token', { token, needs, algorithm: needs.length === 0 ? null : 'ecdsa-p256', place: 'token', asked });
    const { serial: first } = await blank();
    const { after: { serial: without } } = await change(first, 'init-token', { label: 'REHEARSAL no PIN', seen: await facts(first) });
    const unusable: [serial: string, refusal: string, objects: string[]][] = [[without, 'CKR_USER_PIN_NOT_INITIALIZED', []]];
    // SoftHSM counts no tries.
    if (kind === 'software') {
      const { serial: locked } = await blank();
      await generate(locked, 'ec-p256');
      await device.call('log-out', { token: locked });
      device.atBooth = ({ ticket }) => device.type(ticket, '000000');
      for (const code of ['CKR_PIN_INCORRECT', 'CKR_PIN_INCORRECT', 'CKR_PIN_LOCKED']) await assert.rejects(identify(locked, [], { ...typed, acceptFinalTry: true }), failure(code, true));
      unusable.push([locked, 'CKR_PIN_LOCKED', ['public-key']]);
    }
    for (const [serial, refusal, objects] of unusable) {
      const asking = device.notices.length;
      await assert.rejects(identify(serial, ['sign'], typed), failure(refusal, true), 'what needs a user is refused as before');
      const { token: seen, needs } = await identify(serial, [], typed);
      assert.deepEqual([seen.serial, needs], [serial, []]);
      const listed = await device.call('take-inventory', { token: serial, asked: typed });
      assert.deepEqual([listed.objects.map((object) => object.class), listed.loggedIn], [objects, false]);
      assert.deepEqual(device.notices.slice(asking).filter(({ kind: what }) => what === 'pin-wanted'), [], 'nobody was asked for a PIN');
      device.atBooth = ({ ticket }) => device.type(ticket, REHEARSAL_PIN);
      const evidence = await device.call('zeroise-token', { token: serial, label: seen.label, seen, asked: typed });
      assert.deepEqual([evidence.objects, evidence.after.flags.includes('CKF_USER_PIN_INITIALIZED'), evidence.after.flags.includes('CKF_USER_PIN_LOCKED')], [[], false, false]);
    }
  });

  test('a blank token without a serial number goes by its slot, and gets its first PINs', async () => {
    const empty = (await device.call('slots', {})).slots.find(({ token }) => token !== null && !token.flags.includes('CKF_TOKEN_INITIALIZED'))?.token;
    // Only SoftHSM has a slot with a blank token in it.
    assert.equal(empty !== undefined && empty !== null, kind === 'softhsm2');
    if (!empty) return;
    assert.match(empty.serial, /^slot:\d+$/);
    device.atBooth = ({ ticket }) => device.type(ticket, REHEARSAL_PIN);
    const { after: made } = await change(empty.serial, 'init-token', { label: 'REHEARSAL blank', seen: empty }, { asked: typed });
    const last = device.notices.findLast((notice) => notice.kind === 'pin-wanted');
    assert.equal(last?.wanted, 'new-so-pin');
    assert.match(made.serial, /^[0-9a-f]{16}$/);
    await change(made.serial, 'set-user-pin', {});
    await generate(made.serial, 'ec-p256');
  });
}

