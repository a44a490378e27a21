/** Smart cards for real: the contract on a SmartCard-HSM behind opensc-pkcs11.so, and what only a card can show. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { ALGORITHMS } from '../../../ceremonies/keys/algorithms.ts';
import { openPkcs11Module } from '../../../electron/devices/pkcs11.ts';
import { Quirks, quirksOf } from '../../../electron/devices/quirks.ts';
import type { Token, TokenModule } from '../../../electron/devices/tokens.ts';
import { openReaders, type Readers } from './card-reader.ts';
import { contract, fault, PIN, tokenError } from './contract.ts';

/** As a person is quick with a card, and pcscd with noticing it. */
const NOTICED = 5000;

let readers: Readers;
let module: TokenModule;
let cards = 0;
/** The next card goes into the reader that the last one does not use, and is there when it is wanted. */
let next: Promise<string> | null = null;
before(async () => {
  readers = await openReaders();
  Object.assign(process.env, readers.module.env);
  module = openPkcs11Module('opensc', readers.module.path, undefined);
});
after(async () => {
  await next;
  await module.close();
  await readers.close();
});

async function fresh(): Promise<string> {
  const serial = `DETEST${String(++cards).padStart(5, '0')}`;
  await readers.insert({ serial }, cards % 2 === 0 ? 1 : 0);
  return serial;
}

/** Until the module sees this card, or does not any more. */
async function seen(serial: string, here = true): Promise<void> {
  const begun = performance.now();
  for (;;) {
    if ((await module.slots()).some(({ token }) => token?.serial === serial) === here) return;
    assert.ok(performance.now() - begun < NOTICED, `${serial} should be ${here ? 'seen' : 'gone'} by now`);
    await wait(50);
  }
}

async function blank(): Promise<Token> {
  const serial = await (next ?? fresh());
  next = fresh();
  await seen(serial);
  return module.token(serial);
}

/** A card with nobody beside it, and nothing that moves by itself. */
async function alone(serial: string): Promise<Token> {
  await next;
  next = null;
  await readers.pull(1);
  await readers.insert({ serial }, 0);
  await seen(serial);
  return module.token(serial);
}

const quirks = quirksOf('OpenSC Project');
contract(() => ({
  module, quirks, blank, unwrappable: [], holdsFast: true, untold: ['sensitive', 'alwaysSensitive', 'neverExtractable', 'local', 'generatedBy'],
  // Of this card, not of the module: sizes of files have two octets, and it pads for PKCS#1 v1.5 alone.
  largestData: 65_535, lacks: ['ecdsa-p521', 'CKM_SHA256_RSA_PKCS_PSS', 'CKM_SHA384_RSA_PKCS_PSS', 'CKM_SHA512_RSA_PKCS_PSS'],
}));

test('a card that is pulled is missed at once, and is the same token when it is back', async () => {
  const serial = 'DETESTPULL1';
  const token = await alone(serial);
  const session = await token.open();
  await session.login(PIN);
  const algorithm = ALGORITHMS['ecdsa-p256'];
  await session.generateKeyPair({ algorithm, id: '01', label: 'stays', extractable: false });
  const { spki } = await session.publicKey({ class: 'public-key', id: '01' }, algorithm);

  await readers.pull(0);
  await assert.rejects(session.sign({ class: 'private-key', id: '01' }, algorithm, Uint8Array.of(1)), tokenError('CKR_DEVICE_REMOVED'));
  assert.equal(await session.loggedIn(), false);
  await seen(serial, false);
  await assert.rejects(token.facts(), fault('TOKEN_MISSING'));
  await assert.rejects(token.open(), fault('TOKEN_MISSING'));

  await readers.insert({ serial }, 1); // the other reader: a token is known by its serial number
  await seen(serial);
  await assert.rejects(session.random(8), tokenError('CKR_SESSION_HANDLE_INVALID'));
  const again = await token.open();
  assert.equal(await again.loggedIn(), false);
  await again.login(PIN);
  assert.deepEqual((await again.publicKey({ class: 'public-key', id: '01' }, algorithm)).spki, spki);
  const { sensitive, alwaysSensitive, neverExtractable, local } = await again.attributes({ class: 'private-key', id: '01' });
  assert.deepEqual([sensitive, alwaysSensitive, neverExtractable, local], [true, true, true, true], 'what the module did not know of a key just made it reads from the card');
  await again.close();
});

test('the last tries for a PIN are told as such, and a locked card stays locked when it was out', async () => {
  const serial = 'DETESTLOCK1';
  const token = await alone(serial);
  const session = await token.open();
  const state = async () => (await token.facts()).flags.filter((flag) => flag.startsWith('CKF_USER_PIN_') && flag !== 'CKF_USER_PIN_INITIALIZED');
  const wrong = new TextEncoder().encode('314159');
  assert.deepEqual(await state(), []);
  await assert.rejects(session.login(wrong), tokenError('CKR_PIN_INCORRECT'));
  assert.deepEqual(await state(), ['CKF_USER_PIN_COUNT_LOW']);
  await assert.rejects(session.login(wrong), tokenError('CKR_PIN_INCORRECT'));
  assert.deepEqual(await state(), ['CKF_USER_PIN_FINAL_TRY']);
  await assert.rejects(session.login(wrong), tokenError('CKR_PIN_LOCKED'));
  assert.deepEqual(await state(), ['CKF_USER_PIN_LOCKED']);
  await session.close();
  await readers.pull(0);
  await readers.insert({ serial }, 0);
  await seen(serial);
  const again = await token.open();
  await assert.rejects(again.login(PIN), tokenError('CKR_PIN_LOCKED'));
  assert.deepEqual(await state(), ['CKF_USER_PIN_LOCKED']);
  await again.close();
});

test('where nobody knows that a module keeps what is made for the session, it is taken away again at once', async () => {
  await module.close();
  module = openPkcs11Module('opensc', readers.module.path, undefined, Quirks.parse({ ...quirks, sessionKeyPairs: true }));
  const session = await (await blank()).open();
  await session.login(PIN);
  await assert.rejects(
    session.generateKeyPair({ algorithm: ALGORITHMS['ecdsa-p256'], id: '01', label: 'probe', extractable: false, lives: 'session' }),
    fault('SESSION_KEYS_STAY'),
  );
  assert.equal((await session.list(0, 10)).total, 0);
  await session.close();
});
