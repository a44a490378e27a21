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
    assert.deepEqual(await device.call('slots', {}), { slots: [] });
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
