import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ALGORITHMS } from '../../../ceremonies/keys/algorithms.ts';
import { openSoftwareModule } from '../../../electron/devices/software-token.ts';
import type { TokenModule } from '../../../electron/devices/tokens.ts';
import { contract, fault, PIN, tokenError } from './contract.ts';

const WRONG = new TextEncoder().encode('wrong pin');

let folder: string;
let module: TokenModule;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'conclave-software-'));
  module = openSoftwareModule(folder, 'test', import.meta.filename);
});
after(() => rmSync(folder, { recursive: true, force: true }));

contract(() => ({ module, unwrappable: [] }));

const file = (serial: string) => join(folder, `${serial}.token`);
const again = () => openSoftwareModule(folder, 'test', import.meta.filename);

test('three wrong PINs lock, the flags say so beforehand, and a restart forgets nothing', async () => {
  const { serial } = await module.provision('lock', PIN);
  const warnings = ['CKF_USER_PIN_COUNT_LOW', 'CKF_USER_PIN_FINAL_TRY', 'CKF_USER_PIN_LOCKED'];
  const told = async () => (await (await again().token(serial)).facts()).flags.filter((flag) => warnings.includes(flag));
  const attempt = async (pin: Uint8Array) => {
    const session = await (await again().token(serial)).open();
    try {
      await session.login(pin);
    } finally {
      await session.close();
    }
  };
  assert.deepEqual(await told(), []);
  await assert.rejects(attempt(WRONG), tokenError('CKR_PIN_INCORRECT'));
  assert.deepEqual(await told(), ['CKF_USER_PIN_COUNT_LOW']);
  await attempt(PIN);
  assert.deepEqual(await told(), [], 'the right PIN resets the count');
  await assert.rejects(attempt(WRONG), tokenError('CKR_PIN_INCORRECT'));
  await assert.rejects(attempt(WRONG), tokenError('CKR_PIN_INCORRECT'));
  assert.deepEqual(await told(), ['CKF_USER_PIN_COUNT_LOW', 'CKF_USER_PIN_FINAL_TRY']);
  await assert.rejects(attempt(WRONG), tokenError('CKR_PIN_INCORRECT'));
  assert.deepEqual(await told(), ['CKF_USER_PIN_LOCKED']);
  await assert.rejects(attempt(PIN), tokenError('CKR_PIN_LOCKED'));
});

test('what is on disk: everything private sealed, files readable by the owner alone, no temporary files', async () => {
  const { serial } = await module.provision('disk', PIN);
  const session = await (await module.token(serial)).open();
  await session.login(PIN);
  const canary = new TextEncoder().encode('CANARY-0123456789');
  await session.putData('label-canary', canary);
  await session.generateKeyPair({ algorithm: ALGORITHMS['ecdsa-p256'], id: '0a0b', label: 'key-label', extractable: true });
  await session.close();
  const text = readFileSync(file(serial), 'utf8');
  for (const hidden of ['CANARY', 'label-canary', Buffer.from(canary).toString('base64').slice(0, 20), '271828']) assert.ok(!text.includes(hidden), hidden);
  assert.ok(text.includes('key-label'), 'the public half is public');
  assert.deepEqual(readdirSync(folder).filter((name) => name.endsWith('.tmp')), []);
});

test('leftovers of a killed process are swept, those of a living one are not', async () => {
  writeFileSync(join(folder, `0123456789ABCDEF.token.${2 ** 22 + 1}.tmp`), 'half');
  writeFileSync(join(folder, `0123456789ABCDEF.token.${process.pid}.tmp`), 'half');
  again();
  assert.deepEqual(readdirSync(folder).filter((name) => name.endsWith('.tmp')), [`0123456789ABCDEF.token.${process.pid}.tmp`]);
  rmSync(join(folder, `0123456789ABCDEF.token.${process.pid}.tmp`));
});

test('a changed file: unreadable as a whole, or object by object, but never believed', async () => {
  const { serial } = await module.provision('tamper', PIN);
  const session = await (await module.token(serial)).open();
  await session.login(PIN);
  await session.putData('one', Uint8Array.of(1));
  await session.putData('two', Uint8Array.of(2));
  await session.close();
  const content = JSON.parse(readFileSync(file(serial), 'utf8')) as { objects: { meta: string; value: string }[] };
  const [one, two] = content.objects as [{ meta: string; value: string }, { meta: string; value: string }];
  // Values exchanged between two objects of the same token, under the same key.
  writeFileSync(file(serial), JSON.stringify({ ...content, objects: [{ ...one, value: two.value }, { ...two, meta: one.meta }] }));
  const tampered = await (await again().token(serial)).open();
  await tampered.login(PIN);
  assert.deepEqual((await tampered.list(0, 10)).objects.map((object) => object.class), ['data', 'unreadable']);
  await assert.rejects(tampered.getData('one'), tokenError('CKR_DEVICE_ERROR'));
  await tampered.close();

  writeFileSync(file(serial), '{"format":"conclave-software-token/1"');
  await assert.rejects(again().token(serial), fault('TOKEN_UNREADABLE'));
  const slot = (await again().slots()).find(({ description }) => description.includes(serial));
  assert.equal(slot?.token, null);
  rmSync(file(serial));
  await assert.rejects(again().token(serial), fault('TOKEN_MISSING'));
});

test('a token whose file goes away in the middle is gone, login and all', async () => {
  const { serial } = await module.provision('gone', PIN);
  const token = await module.token(serial);
  const session = await token.open();
  await session.login(PIN);
  rmSync(file(serial));
  assert.equal(await session.loggedIn(), false);
  await assert.rejects(session.putData('x', Uint8Array.of(1)), tokenError('CKR_TOKEN_NOT_PRESENT'));
  await assert.rejects(token.facts(), tokenError('CKR_TOKEN_NOT_PRESENT'));
});
