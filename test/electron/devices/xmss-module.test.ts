/** XMSS on a token that has it, played by xmss-module.c: what the template demands, what is refused, and what is read back. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { XMSS_SETS, type XmssAlgorithm } from '../../../ceremonies/keys/algorithms.ts';
import { verifyWith } from '../../../ceremonies/keys/subject-key.ts';
import { openPkcs11Module } from '../../../electron/devices/pkcs11.ts';
import { readObject } from '../../../electron/devices/reading.ts';
import type { Session, TokenModule } from '../../../electron/devices/tokens.ts';
import { remove, temporaryFolder, withSoftHsm, xmssEntry } from '../house.ts';
import { tokenError } from './contract.ts';

const setNamed = (name: string): XmssAlgorithm => XMSS_SETS.find((row) => row.name === name)!;
const algorithm = setNamed('xmss-sha2-10-256');
const pin = new TextEncoder().encode('123456');
const own = { class: 'private-key', id: '01' } as const;

let home: string;
let module: TokenModule;
let session: Session;
before(async () => {
  home = temporaryFolder('xmss');
  const { path, env } = xmssEntry(home, withSoftHsm(home));
  Object.assign(process.env, env);
  module = openPkcs11Module('xmss', path, undefined);
  const { serial } = await module.provision('xmss', pin);
  session = await (await module.token(serial)).open();
  await session.login(pin);
});
after(async () => {
  await session.close();
  await module.close();
  remove(home);
});

test('made with its parameter set, kept, never counted; every signature has an index of its own', async () => {
  assert.equal(await session.generateKeyPair({ algorithm, id: '01', label: 'state', extractable: false }), 'CKM_XMSS_KEY_PAIR_GEN');
  const { keyType, generatedBy, keysRemaining, extractable, neverExtractable } = await session.attributes(own);
  assert.deepEqual([keyType, generatedBy, keysRemaining, extractable, neverExtractable], ['CKK_XMSS', 'CKM_XMSS_KEY_PAIR_GEN', null, false, true]);
  const key = await session.publicKey({ class: 'public-key', id: '01' }, algorithm);
  assert.equal(key.algorithm, 'xmss-sha2-10-256');
  for (let index = 0; index < 3; index++) {
    const message = randomBytes(100 * index);
    const signature = await session.sign(own, algorithm, message);
    assert.equal(Buffer.from(signature).readUInt32BE(), index);
    assert.equal(await verifyWith(algorithm.name, key.spki, message, signature), true);
    assert.equal(await verifyWith(algorithm.name, key.spki, randomBytes(9), signature), false);
  }
  await assert.rejects(session.sign(own, algorithm, randomBytes(9), { context: randomBytes(1) }), tokenError('CKR_MECHANISM_PARAM_INVALID'));
});

test('its objects read: the set by name, the key for what it is, nothing secret', async () => {
  const { objects } = await session.list(0, 10);
  assert.equal(objects.length, 2);
  for (const [position, object] of objects.entries()) {
    const { attributes, publicKey, withheld } = await readObject(session, { position, object });
    assert.equal(attributes.find(({ name }) => name === 'CKA_PARAMETER_SET')?.text, 'XMSS-SHA2_10_256');
    assert.equal(publicKey?.label, object.class === 'public-key' ? 'XMSS-SHA2_10_256' : undefined);
    assert.equal(withheld.includes('CKA_VALUE'), object.class === 'private-key');
  }
});

test('not made to leave the token, nor where the token has no such set or mechanism', async () => {
  const make = (row: XmssAlgorithm, extractable: boolean) => session.generateKeyPair({ algorithm: row, id: '02', label: 'no', extractable });
  await assert.rejects(make(algorithm, true), tokenError('CKR_TEMPLATE_INCONSISTENT'));
  await assert.rejects(make(setNamed('xmss-sha2-16-256'), false), tokenError('CKR_ATTRIBUTE_VALUE_INVALID'));
  await assert.rejects(make(setNamed('xmssmt-sha2-20-2-256'), false), tokenError('CKR_MECHANISM_INVALID'));
  assert.deepEqual(await session.find({ class: 'private-key', id: '02' }), []);
});

test('what lives in the session ends with it', async () => {
  await session.generateKeyPair({ algorithm, id: '03', label: 'short', extractable: false, lives: 'session' });
  assert.equal((await session.find({ class: 'private-key', id: '03', lives: 'session' })).length, 1);
  assert.equal((await session.list(0, 10)).total, 2);
});
