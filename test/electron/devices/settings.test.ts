/**
 * What the administrator of a machine sets for a module (read-only, trace), and what a token sets for itself (a pad of its own, a PIN
 * at each use of a key).
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { toBase64url } from '../../../ceremonies/bytes.ts';
import { ALGORITHMS } from '../../../ceremonies/keys/algorithms.ts';
import { TAG, writeDer } from '../../../ceremonies/keys/der.ts';
import { KEY_KIND_ROWS } from '../../../electron/devices/key-kinds.ts';
import { openPkcs11Module } from '../../../electron/devices/pkcs11.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import { openSoftwareModule } from '../../../electron/devices/software-token.ts';
import type { Session, TokenModule } from '../../../electron/devices/tokens.ts';
import { PIN, refusal } from './contract.ts';
import { asked, cards, DeviceProcess, failure, place, SOFTHSM, type Place } from './device-process.ts';

const hexId = () => randomBytes(16).toString('hex');
const officer = asked('officer');
const typed = asked('officer', { standIn: false });

for (const kind of ['software', 'softhsm2'] as const) {
  describe(`a ${kind} module that may only be read`, () => {
    let at: Place;
    let serial: string;
    const id = hexId();
    before(async () => {
      at = place(kind);
      const device = await at.start();
      serial = (await cards(device, 'read only'))[0]!.serial;
      await device.call('administer', { token: serial, change: 'generate-key', file: null, kept: false, asked: officer, order: { id, label: 'kept', kind: 'ec-p256', attributes: { sign: true, extractable: true } } });
      await device.end();
    });
    after(() => at.remove());
    const opened = (): TokenModule => {
      if (at.module.kind === 'software') return openSoftwareModule(at.module.folder, 'software', '', true);
      assert.equal(at.module.kind, 'pkcs11');
      Object.assign(process.env, 'env' in at.module ? at.module.env : {});
      return openPkcs11Module('softhsm2', SOFTHSM, undefined, undefined, { readOnly: true });
    };

    test('every writing noun refuses by name, and the token stays as it was; reading and session objects remain', async () => {
      const module = opened();
      const token = await module.token(serial);
      const seen = await token.facts();
      const read = refusal('READ-ONLY');
      await assert.rejects(module.provision('another', PIN), read);
      await assert.rejects(token.initialise('REHEARSAL anew', PIN, seen), read);
      const session = await token.open();
      await assert.rejects(session.login(PIN, 'so'), read);
      await session.login(PIN);
      const listed = await session.list(0, 10);
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const [spki, pkcs8] = [new Uint8Array(pair.publicKey.export({ format: 'der', type: 'spki' })), new Uint8Array(pair.privateKey.export({ format: 'der', type: 'pkcs8' }))];
      const name = { class: 'private-key', id } as const;
      const own = { CKA_PRIVATE: true, CKA_SENSITIVE: true };
      const pairRequest = { kind: KEY_KIND_ROWS['ec-p256'], id: hexId(), label: 'new', own, other: {} };
      const kek = { class: 'secret-key', id: hexId(), lives: 'session' } as const;
      await session.importWrappingKey({ id: kek.id, label: 'kek', value: randomBytes(32) });
      const { wrapped } = await session.wrapKey({ method: 'AES-KWP' }, name, kek);
      const attempts: readonly ((session: Session) => Promise<unknown>)[] = [
        (one) => one.setUserPin(PIN), (one) => one.changePin(PIN, PIN), (one) => one.makeKey(pairRequest),
        (one) => one.makeKey({ ...pairRequest, kind: KEY_KIND_ROWS['aes-256'] }), (one) => one.importKey({ ...pairRequest, pkcs8, spki }),
        (one) => one.importPublicKey({ ...pairRequest, spki }),
        (one) => one.importCertificate({ id, label: 'c', der: Uint8Array.of(0x30, 0), subject: Uint8Array.of(0x30, 0), issuer: Uint8Array.of(0x30, 0), serialNumber: writeDer(TAG.integer, Uint8Array.of(1)) }),
        (one) => one.copyObject({ position: 0 }, { CKA_LABEL: 'copy' }), (one) => one.change({ position: 0 }, { CKA_LABEL: 'renamed' }),
        (one) => one.unwrapKey({ method: 'AES-KWP' }, kek, wrapped, pairRequest),
        (one) => one.generateKeyPair({ algorithm: ALGORITHMS['ecdsa-p256'], id: hexId(), label: 'new', extractable: false }),
        (one) => one.generateWrappingKey({ id: hexId(), label: 'new' }), (one) => one.makeNonExtractable(name), (one) => one.putData('new', Uint8Array.of(1)),
        (one) => one.destroy(name), (one) => one.destroy({ position: 0 }),
      ];
      for (const attempt of attempts) await assert.rejects(attempt(session), read, String(attempt));
      assert.deepEqual(await session.list(0, 10), listed);
      assert.deepEqual(await token.facts(), seen);
      assert.equal((await session.sign(name, ALGORITHMS['ecdsa-p256'], Uint8Array.of(1))).length, 64);
      await session.makeKey({ ...pairRequest, lives: 'session' });
      await session.logout();
      await session.close();
      await module.close();
    });

    test('so does the device process, told by the module\'s configuration', async () => {
      const device = new DeviceProcess();
      if (at.module.kind === 'recorder' || at.module.kind === 'readers') assert.fail('a module without tokens');
      await device.call('start', { module: { ...at.module, readOnly: true } });
      const order = { id: hexId(), label: 'new', kind: 'ec-p256', attributes: { sign: true } };
      await assert.rejects(device.call('administer', { token: serial, change: 'generate-key', order, file: null, kept: false, asked: officer }), failure('READ-ONLY', true));
      assert.equal((await device.call('objects', { token: serial, offset: 0, limit: 10 })).total, 2);
      await device.end();
    });

    test('a key that wants its PIN at each use is given it at each use', async () => {
      const device = await at.start();
      const { serial: token } = (await cards(device, 'always'))[0]!;
      const asks: string[] = [];
      device.atBooth = ({ ticket, wanted, asked: { purpose } }) => {
        asks.push(`${wanted}: ${purpose}`);
        device.type(ticket, REHEARSAL_PIN);
      };
      const order = { id: hexId(), label: 'asks', kind: 'ec-p256', attributes: { sign: true, alwaysAuthenticate: true } };
      const { result } = await device.call('administer', { token, change: 'generate-key', order, file: null, kept: false, asked: typed });
      assert.deepEqual((result as { tried: { name: string }[] }).tried.map(({ name }) => name), ['sign and verify']);
      assert.deepEqual(asks, ['user-pin: test', 'user-pin: this key asks for the PIN at each use']);
      device.atBooth = ({ ticket }) => device.type(ticket, '000000');
      const objects = (await device.call('objects', { token, offset: 0, limit: 10 })).objects;
      const position = objects.findIndex((object) => object.class === 'private-key');
      const { tried } = await device.call('self-test', { token, place: { position, object: objects[position]! }, asked: typed });
      assert.equal(tried[0]?.passed, false);
      assert.match(tried[0].detail, /^CKR_PIN_INCORRECT/);
      await device.end();
    });
  });
}

test('a trace has a line for every call, and nothing that was typed or kept', async () => {
  const at = place('softhsm2');
  const trace = join(at.folder, 'trace.txt');
  const device = new DeviceProcess();
  assert.equal(at.module.kind, 'pkcs11');
  if (at.module.kind !== 'pkcs11') return;
  await device.call('start', { module: { ...at.module, trace } });
  const { serial: token } = (await cards(device, 'traced'))[0]!;
  const canaries = ['27182818', '31415926', REHEARSAL_PIN];
  const type = (...pins: string[]) => { device.atBooth = ({ ticket }) => device.type(ticket, pins.shift()!); };
  type(REHEARSAL_PIN, canaries[0]!);
  await device.call('administer', { token, change: 'change-pin', order: { whose: 'user' }, file: null, kept: false, asked: typed });
  type(canaries[1]!);
  await assert.rejects(device.call('log-in', { token, asked: typed }), failure('CKR_PIN_INCORRECT', true));
  type(canaries[0]!);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const sealed = Buffer.from(privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: canaries[0]! }));
  type(canaries[0]!, canaries[0]!);
  const order = { id: hexId(), label: 'canary label', kind: 'ec-p256', attributes: { sign: true }, file: 'f', sha256: createHash('sha256').update(sealed).digest('hex') };
  await device.call('administer', { token, change: 'import-key', order, file: toBase64url(sealed), kept: false, asked: typed });
  await device.end();
  const lines = readFileSync(trace, 'utf8').trimEnd().split('\n');
  for (const line of lines) assert.match(line, /^\d{4}-\d\d-\d\dT[\d:.]+Z C_[A-Za-z]+ (\d+|-) (CKR_[A-Z_]+|0x[0-9a-f]+) \d+\.\d ms$/);
  const calls = lines.map((line) => line.split(' ').slice(1, 4).join(' ').replace(/ \d+ /, ' '));
  for (const call of ['C_Initialize - CKR_OK', 'C_InitToken CKR_OK', 'C_SetPIN CKR_OK', 'C_Login CKR_OK', 'C_Login CKR_PIN_INCORRECT', 'C_CreateObject CKR_OK', 'C_Sign CKR_OK']) assert.ok(calls.includes(call), call);
  const d = (privateKey.export({ format: 'jwk' }) as { d: string }).d;
  for (const secret of [...canaries, 'canary label', d, Buffer.from(d, 'base64url').toString('hex')]) assert.equal(readFileSync(trace, 'utf8').includes(secret), false, secret);
  at.remove();
});

describe('a token with a pad of its own', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'conclave-pad-'));
    const headers = join(import.meta.dirname, '../../../node_modules/pkcs11js/includes');
    execFileSync('gcc', ['-shared', '-fPIC', '-I', headers, '-o', join(folder, 'pad.so'), join(import.meta.dirname, 'pad-module.c')]);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));
  const started = async (pad: string): Promise<DeviceProcess> => {
    const device = new DeviceProcess();
    await device.call('start', { module: { kind: 'pkcs11', name: 'pad', path: join(folder, 'pad.so'), env: { CONCLAVE_PAD: pad } } });
    device.atBooth = () => assert.fail('nothing is to be typed in the booth');
    return device;
  };
  const told = (device: DeviceProcess) => device.notices.map((notice) => (notice.kind === 'pin-settled' ? notice.outcome : `${notice.kind} ${'wanted' in notice ? notice.wanted : ''}`));

  test('login, new PINs and initialising wait for the pad, and the process answers meanwhile', async () => {
    const device = await started('right');
    let waiting = true;
    const login = device.call('log-in', { token: '1', asked: typed }).finally(() => { waiting = false; });
    // Answered beside the work that is under way: the call does not hold the process up.
    assert.deepEqual(await device.call('cancel', {}), { cancelled: false });
    assert.equal(waiting, true);
    await login;
    await device.call('log-out', { token: '1' });
    const change = (name: 'set-user-pin' | 'change-pin' | 'init-token', order: Record<string, unknown>) =>
      device.call('administer', { token: '1', change: name, order, file: null, kept: false, asked: typed });
    await change('set-user-pin', {});
    await change('change-pin', { whose: 'user' });
    const seen = (await device.call('slots', {})).slots[0]!.token!;
    const { result } = await change('init-token', { label: 'REHEARSAL anew', seen });
    assert.equal((result as { after: { label: string } }).after.label, 'REHEARSAL anew');
    assert.deepEqual(told(device), [
      'pad-wanted user-pin', 'accepted', 'pad-wanted so-pin', 'accepted', 'pad-wanted new-user-pin', 'accepted',
      'pad-wanted user-pin', 'accepted', 'pad-wanted new-user-pin', 'accepted', 'pad-wanted so-pin', 'accepted',
    ]);
    await device.end();
  });

  test('a wrong PIN and a cancelled one are told as such', async () => {
    for (const [pad, code, outcome] of [['wrong', 'CKR_PIN_INCORRECT', 'refused'], ['cancelled', 'CKR_FUNCTION_CANCELED', 'cancelled']] as const) {
      const device = await started(pad);
      await assert.rejects(device.call('log-in', { token: '1', asked: typed }), failure(code));
      assert.deepEqual(told(device), ['pad-wanted user-pin', outcome]);
      await device.end();
    }
  });
});
