/**
 * Modules at the edges: the recorder that has none, files that are none, and a vendor library that hangs, crashes, aborts,
 * exits or speaks of errors nobody knows. One process is lost at most, and its parent sees it end.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fromBase64url, toBase64url } from '../../../ceremonies/bytes.ts';
import { fromJwk } from '../../../ceremonies/keys/public-key.ts';
import { verifySignature } from '../../../ceremonies/keys/signatures.ts';
import { ALGORITHMS, HSS_LMS, ML_KEMS } from '../../../ceremonies/keys/algorithms.ts';
import { Cryptoki } from '../../../electron/devices/cryptoki.ts';
import { openPkcs11Module } from '../../../electron/devices/pkcs11.ts';
import { Quirks } from '../../../electron/devices/quirks.ts';
import standard from '../../../electron/devices/quirks/standard.json' with { type: 'json' };
import type { Session, TokenModule } from '../../../electron/devices/tokens.ts';
import { tokenError } from './contract.ts';
import { cards, DeviceProcess, failure, later, place, SOFTHSM } from './device-process.ts';

const b64 = (bytes: Uint8Array) => toBase64url(Uint8Array.from(bytes));

describe('bad modules', { concurrency: 2 }, () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'conclave-bad-'));
    const headers = join(import.meta.dirname, '../../../node_modules/pkcs11js/includes');
    execFileSync('gcc', ['-shared', '-fPIC', '-I', headers, '-o', join(folder, 'bad.so'), join(import.meta.dirname, 'bad-module.c')]);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const started = async (how: string): Promise<DeviceProcess> => {
    const device = new DeviceProcess();
    await device.call('start', { module: { kind: 'pkcs11', name: 'bad', path: join(folder, 'bad.so'), env: { CONCLAVE_BAD: how } } });
    return device;
  };

  test('a harmless one, for comparison', async () => {
    const device = await started('nothing');
    assert.deepEqual(await device.call('slots', {}), { slots: [], moves: true });
    await device.end();
  });

  test('a crash ends the process, and no more than the process', async () => {
    const device = await started('crash');
    await assert.rejects(device.call('slots', {}), /the process ended: SIGSEGV/);
    const aborting = await started('abort');
    await assert.rejects(aborting.call('slots', {}), /the process ended: SIGABRT/);
  });

  test('exit() inside a library waits for the thread that listens to the booth: it shows as hanging, and is ended likewise', async () => {
    const device = await started('exit');
    const call = device.call('slots', {});
    call.catch(() => undefined);
    await Promise.race([device.exited, later(300)]);
    await device.kill();
    await assert.rejects(call, /the process ended/);
  });

  test('a hanging call is ended from outside', async () => {
    const device = await started('hang');
    const call = device.call('slots', {});
    call.catch(() => undefined);
    const answered = await Promise.race([call.then(() => true, () => true), later(300).then(() => false)]);
    assert.equal(answered, false);
    await device.kill();
    assert.deepEqual(await device.exited, { code: null, signal: 'SIGKILL' });
    await assert.rejects(call, /the process ended/);
  });

  test('errors keep their numbers and names', async () => {
    const device = await started('vendor');
    await assert.rejects(device.call('slots', {}), (thrown: Error) => failure('CKR_VENDOR_DEFINED', true)(thrown) && /0x80001234/.test(thrown.message));
    const newer = await started('newer');
    await assert.rejects(newer.call('slots', {}), failure('CKR_TOKEN_NOT_INITIALIZED', true));
    await Promise.all([device.end(), newer.end()]);
  });
});

describe('calls of PKCS#11 3.2, to a module that lies', () => {
  let folder: string;
  let path: string;
  const opened: TokenModule[] = [];
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'conclave-lying-'));
    path = join(folder, 'lying.so');
    const headers = join(import.meta.dirname, '../../../node_modules/pkcs11js/includes');
    execFileSync('gcc', ['-shared', '-fPIC', '-I', headers, '-o', path, join(import.meta.dirname, 'bad-module.c')]);
  });
  after(async () => {
    delete process.env['CONCLAVE_BAD'];
    for (const module of opened) await module.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A session on the module's token while it behaves as `how` says. */
  const behaving = async (how: string, quirks: Partial<Quirks> = {}): Promise<Session> => {
    process.env['CONCLAVE_BAD'] = how;
    const module = openPkcs11Module('lying', path, undefined, Quirks.parse({ ...standard, ...quirks }));
    opened.push(module);
    return (await module.token('1')).open();
  };
  const algorithm = ML_KEMS['ml-kem-768'];
  const peer = { class: 'public-key', id: '01' } as const;
  const own = { class: 'private-key', id: '01' } as const;
  const nothingIsLeft = async (session: Session) => {
    assert.deepEqual(await session.find({ class: 'secret-key', label: 'secrets', lives: 'session' }), [], 'the shared secret is destroyed');
  };

  test('an honest one, for comparison', async () => {
    const session = await behaving('token');
    const { ciphertext, secret } = await session.encapsulate(peer, algorithm);
    assert.deepEqual(ciphertext, new Uint8Array(algorithm.ciphertextBytes).fill(3));
    assert.deepEqual(Uint8Array.from(secret.bytes), new Uint8Array(32).fill(9));
    assert.deepEqual((await session.decapsulate(own, algorithm, ciphertext)).bytes, secret.bytes);
    await nothingIsLeft(session);
  });

  test('a ciphertext or a secret of another length than the standard\'s is refused, and nothing stays behind', async () => {
    for (const how of ['token-long', 'token-short-text', 'token-huge']) {
      const session = await behaving(how);
      await assert.rejects(session.encapsulate(peer, algorithm), tokenError('CKR_ENCRYPTED_DATA_LEN_RANGE'), how);
      await nothingIsLeft(session);
    }
    const session = await behaving('token-short-secret');
    await assert.rejects(session.encapsulate(peer, algorithm), tokenError('CKR_KEY_SIZE_RANGE'));
    await assert.rejects(session.decapsulate(own, algorithm, new Uint8Array(algorithm.ciphertextBytes).fill(3)), tokenError('CKR_KEY_SIZE_RANGE'));
    await nothingIsLeft(session);
  });

  test('a module without 3.2, or with a hollow one, cannot do this; one that refuses says so', async () => {
    for (const how of ['token-no-interface', 'token-null', 'token-no-list', 'token-older', 'token-hollow']) {
      const session = await behaving(how);
      await assert.rejects(session.encapsulate(peer, algorithm), tokenError('CKR_FUNCTION_NOT_SUPPORTED'), how);
      await assert.rejects(session.decapsulate(own, algorithm, new Uint8Array(algorithm.ciphertextBytes)), tokenError('CKR_FUNCTION_NOT_SUPPORTED'), how);
    }
    await assert.rejects((await behaving('token-refuses')).encapsulate(peer, algorithm), tokenError('CKR_VENDOR_DEFINED'));
    assert.equal(new Cryptoki(SOFTHSM).knows32, false);
  });

  test('the context of a signature arrives as the standard lays it out', async () => {
    await behaving('token');
    const cryptoki = new Cryptoki(path);
    const handle = (number: number) => {
      const bytes = Buffer.alloc(8);
      bytes.writeUInt32LE(number);
      return bytes;
    };
    cryptoki.signInit(handle(5), 0x1d, new TextEncoder().encode('context'), handle(7));
    assert.throws(() => cryptoki.signInit(handle(5), 0x1d, new TextEncoder().encode('another'), handle(7)), tokenError('CKR_MECHANISM_PARAM_INVALID'));
    assert.throws(() => cryptoki.signInit(handle(5), 0x1d, new Uint8Array(256), handle(7)), tokenError('CKR_MECHANISM_PARAM_INVALID'));
  });

  test('a stateful key: made with its levels, never to be copied, and counted', async () => {
    const session = await behaving('token');
    assert.equal(await session.generateKeyPair({ algorithm: HSS_LMS, id: '01', label: 'state', extractable: false }), 'CKM_HSS_KEY_PAIR_GEN');
    const { keysRemaining, keyType, generatedBy } = await session.attributes(own);
    assert.deepEqual([keysRemaining, keyType, generatedBy], [1_048_575, 'CKK_HSS', 'CKM_HSS_KEY_PAIR_GEN']);
    await assert.rejects(session.generateKeyPair({ algorithm: HSS_LMS, id: '01', label: 'state', extractable: true }), tokenError('CKR_TEMPLATE_INCONSISTENT'));
  });

  test('numbers of a vendor\'s own: used where the token lists them, and told by the standard\'s names', async () => {
    const numbers = { CKM_ML_DSA: 0x80000a01, CKM_ML_DSA_KEY_PAIR_GEN: 0x80000a02, CKK_ML_DSA: 0x80000a03, CKM_ML_KEM: 0x80000bad };
    const session = await behaving('token-vendor', { numbers });
    const mechanisms = await (await opened.at(-1)!.token('1')).mechanisms();
    assert.deepEqual(mechanisms.map(({ name }) => name), ['CKM_ML_KEM', 'CKM_HSS_KEY_PAIR_GEN', 'CKM_ML_DSA', 'CKM_ML_DSA_KEY_PAIR_GEN']);
    assert.equal(await session.generateKeyPair({ algorithm: ALGORITHMS['ml-dsa-65'], id: '01', label: 'v', extractable: false }), 'CKM_ML_DSA_KEY_PAIR_GEN');
    const { keyType, generatedBy, keysRemaining } = await session.attributes(own);
    assert.deepEqual([keyType, generatedBy, keysRemaining], ['CKK_ML_DSA', 'CKM_ML_DSA_KEY_PAIR_GEN', null]);
    // Where the token lists the standard's number, the vendor's is not used; without the data nothing is guessed.
    await session.encapsulate(peer, algorithm);
    const plain = await behaving('token-vendor');
    await assert.rejects(plain.generateKeyPair({ algorithm: ALGORITHMS['ml-dsa-65'], id: '01', label: 'v', extractable: false }), tokenError('CKR_MECHANISM_INVALID'));
  });
});

describe('other modules', { concurrency: 2 }, () => {
  test('the recorder: a fresh Ed25519 key each time, in a process without tokens', async () => {
    const device = new DeviceProcess({ booth: false });
    assert.deepEqual(await device.call('start', { module: { kind: 'recorder', name: 'recorder' } }), { module: null });
    await assert.rejects(device.call('recorder-sign', { message: '' }), failure('DEVICE_NOT_STARTED', true));
    const { key } = await device.call('recorder-new', {});
    const message = randomBytes(100);
    const { signature } = await device.call('recorder-sign', { message: b64(message) });
    assert.equal(await verifySignature(fromJwk(key), message, fromBase64url(signature)), true);
    assert.notDeepEqual((await device.call('recorder-new', {})).key, key);
    const { signature: later } = await device.call('recorder-sign', { message: b64(message) });
    assert.equal(await verifySignature(fromJwk(key), message, fromBase64url(later)), false);
    await assert.rejects(device.call('slots', {}), failure('DEVICE_NOT_STARTED', true));
    await device.end();
  });

  test('a module that is not there, or no module', async () => {
    const device = new DeviceProcess();
    for (const path of ['/nonexistent/module.so', import.meta.filename]) {
      await assert.rejects(device.call('start', { module: { kind: 'pkcs11', name: 'x', path, env: {} } }), failure('MODULE_NOT_LOADED', true));
    }
    // After a failed start another module may be tried.
    await device.call('start', { module: { kind: 'recorder', name: 'recorder' } });
    await device.end();
  });

  test('the module\'s environment comes from its configuration', async () => {
    const at = place('softhsm2');
    const device = new DeviceProcess({ env: { SOFTHSM2_CONF: '/nonexistent' } });
    await device.call('start', { module: at.module });
    assert.equal((await device.call('start', { module: at.module })).module?.path, SOFTHSM);
    await cards(device, 'env');
    await device.end();
    at.remove();
  });
});
