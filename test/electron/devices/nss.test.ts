/** PKCS#11 3.2 for real: the contract on the software token of NSS, and what only such a module can show. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ALGORITHMS } from '../../../ceremonies/keys/algorithms.ts';
import { ML_DSA } from '../../../ceremonies/keys/composite.ts';
import { publicKeyParts, parsePublicKey } from '../../../ceremonies/keys/public-key.ts';
import { openPkcs11Module } from '../../../electron/devices/pkcs11.ts';
import { quirksOf } from '../../../electron/devices/quirks.ts';
import type { Session, Token, TokenModule } from '../../../electron/devices/tokens.ts';
import { contract, fault, PIN, tokenError } from './contract.ts';
import { makeNssTokens } from './nss-token.ts';

/** NSS makes no blank token while it runs, so one for every test is made beforehand. */
const LABELS = Array.from({ length: 80 }, (_, index) => `REHEARSAL ${index + 1}`);
let folder: string;
let module: TokenModule;
let unused: string[];
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'conclave-nss-'));
  const { module: { path, parameters }, serials } = makeNssTokens(folder, LABELS);
  unused = [...serials];
  module = openPkcs11Module('nss', path, parameters);
});
after(async () => {
  await module.close();
  rmSync(folder, { recursive: true, force: true });
});
const blank = (): Promise<Token> => module.token(unused.shift() ?? 'no token is left');

async function working(work: (session: Session, token: Token) => Promise<void>): Promise<void> {
  const token = await blank();
  const session = await token.open();
  await session.login(PIN);
  try {
    await work(session, token);
  } finally {
    await session.close();
  }
}

contract(() => ({ module, quirks: quirksOf('Mozilla Foundation'), unwrappable: [], keepsData: false, untold: ['local', 'generatedBy'], blank }));

test('tokens of one serial number are told apart by their labels', async () => {
  const facts = (await module.slots()).flatMap(({ token }) => token ?? []);
  assert.equal(facts.length, LABELS.length);
  assert.deepEqual(facts.map(({ serial }) => serial).toSorted(), LABELS.map((label) => `label:${label}`).toSorted());
  await assert.rejects(module.token('0000000000000000'), fault('TOKEN_MISSING'));
});

test('the flags of a key generation are those that the standard has for it', () => working(async (_, token) => {
  const generate = (await token.mechanisms()).find(({ name }) => name === 'CKM_ML_DSA_KEY_PAIR_GEN');
  assert.deepEqual(generate?.flags, ['CKF_GENERATE_KEY_PAIR']);
}));

test('ML-DSA: hedged with and without a context, which is part of what is signed', () => working(async (session) => {
  const algorithm = ALGORITHMS['ml-dsa-65'];
  await session.generateKeyPair({ algorithm, id: '01', label: 'half', extractable: false });
  const key = parsePublicKey((await session.publicKey({ class: 'public-key', id: '01' }, algorithm)).spki, 'ml-dsa-65');
  const parts = publicKeyParts(key);
  assert.ok('raw' in parts);
  const message = new TextEncoder().encode('to be signed');
  const name = { class: 'private-key', id: '01' } as const;
  for (const context of [undefined, new Uint8Array(0), new TextEncoder().encode('CompositeAlgorithmSignatures2025'), new Uint8Array(255).fill(7)]) {
    const how = context === undefined ? {} : { context };
    const [first, second] = [await session.sign(name, algorithm, message, how), await session.sign(name, algorithm, message, how)];
    assert.notDeepEqual(first, second, 'hedged');
    for (const signature of [first, second]) {
      assert.equal(ML_DSA['ml-dsa-65'].verify(signature, message, parts.raw, { context: context ?? new Uint8Array(0) }), true);
      assert.equal(ML_DSA['ml-dsa-65'].verify(signature, message, parts.raw, { context: new TextEncoder().encode('another') }), false);
      assert.equal(ML_DSA['ml-dsa-65'].verify(signature, message, parts.raw), context === undefined || context.length === 0);
    }
  }
  await assert.rejects(session.sign(name, algorithm, message, { context: new Uint8Array(256) }), tokenError('CKR_MECHANISM_PARAM_INVALID'));
  await assert.rejects(session.sign(name, algorithm, message, { padding: 'pss' }), tokenError('CKR_MECHANISM_PARAM_INVALID'));
  await session.generateKeyPair({ algorithm: ALGORITHMS['ecdsa-p256'], id: '02', label: 'other', extractable: false });
  const other = { class: 'private-key', id: '02' } as const;
  await assert.rejects(session.sign(other, ALGORITHMS['ecdsa-p256'], message, { context: new Uint8Array(1) }), tokenError('CKR_MECHANISM_PARAM_INVALID'));
  // A session in which the beginning of a signature failed signs on.
  assert.equal((await session.sign(other, ALGORITHMS['ecdsa-p256'], message)).length, 64);
}));

test('a key that is locked is not wrapped, although NSS would', () => working(async (session) => {
  const kek = { class: 'secret-key', id: 'aa', lives: 'session' } as const;
  await session.importWrappingKey({ id: 'aa', label: 'backup', value: new Uint8Array(32).fill(1) });
  for (const [id, name] of [['01', 'ecdsa-p256'], ['02', 'ml-dsa-44']] as const) {
    await session.generateKeyPair({ algorithm: ALGORITHMS[name], id, label: name, extractable: true });
    await session.wrap({ class: 'private-key', id }, kek);
    await session.makeNonExtractable({ class: 'private-key', id });
    await assert.rejects(session.wrap({ class: 'private-key', id }, kek), tokenError('CKR_KEY_UNEXTRACTABLE'));
  }
}));

test('a key under a CKA_ID that is in use is refused, because NSS would overwrite the first', () => working(async (session) => {
  const algorithm = ALGORITHMS['ml-dsa-44'];
  await session.generateKeyPair({ algorithm, id: '01', label: 'first', extractable: false });
  const { spki } = await session.publicKey({ class: 'public-key', id: '01' }, algorithm);
  await assert.rejects(session.generateKeyPair({ algorithm, id: '01', label: 'second', extractable: false }), tokenError('CKR_ATTRIBUTE_VALUE_INVALID'));
  await session.generateWrappingKey({ id: '02', label: 'first' });
  await assert.rejects(session.generateWrappingKey({ id: '02', label: 'second' }), tokenError('CKR_ATTRIBUTE_VALUE_INVALID'));
  assert.deepEqual((await session.publicKey({ class: 'public-key', id: '01' }, algorithm)).spki, spki);
  assert.equal((await session.sign({ class: 'private-key', id: '01' }, algorithm, Uint8Array.of(1))).length, algorithm.signatureBytes);
  // In a session nothing is overwritten, so nothing is refused.
  for (const label of ['first', 'second']) await session.generateKeyPair({ algorithm, id: '03', label, extractable: false, lives: 'session' });
  assert.equal((await session.find({ class: 'private-key', id: '03', lives: 'session' })).length, 2);
}));
