/**
 * The same verdicts where the runtime has no WebCrypto, or one that answers wrongly. A file of its own, because the choice of
 * provider is made once per process.
 */

import assert from 'node:assert/strict';
import test, { before } from 'node:test';
import { ed25519 } from '@noble/curves/ed25519.js';
import { utf8 } from '../../../ceremonies/bytes.ts';
import { publicKeyFromParts } from '../../../ceremonies/keys/public-key.ts';
import { verifySignature } from '../../../ceremonies/keys/signatures.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { cofactored, edgeKeys, FORGED, malleable } from './ed25519-edges.ts';
import { flipped, sharedKeyPair } from './key-pairs.ts';

const message = utf8('the record');
const real = globalThis.crypto.subtle;
const getRandomValues = globalThis.crypto.getRandomValues.bind(globalThis.crypto); // noble blinds its own signing with it
const lying = {
  importKey: (...parameters: Parameters<SubtleCrypto['importKey']>) => real.importKey(...parameters),
  verify: () => Promise.resolve(true),
};

before(() => {
  Object.defineProperty(globalThis, 'crypto', { value: { subtle: lying, getRandomValues }, configurable: true });
});

test('a WebCrypto that says yes to everything is found out and not asked again', async () => {
  for (const name of ['ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521', 'ed25519'] as const) {
    const { publicKey, sign } = sharedKeyPair(name);
    const signature = await sign(message);
    assert.equal(await verifySignature(publicKey, message, signature), true, name);
    assert.equal(await verifySignature(publicKey, message, flipped(signature, 5)), false, name);
    assert.equal(await verifySignature(publicKey, message, new Uint8Array(signature.length)), false, name);
  }
});

test('RSA has no second provider: refused by name, never assumed', async () => {
  const { publicKey } = sharedKeyPair('rsa-3072');
  await assert.rejects(
    verifySignature(publicKey, message, new Uint8Array(384)),
    (e) => e instanceof Refused && e.refusal.rule === 'SIGNATURE-PROVIDER',
  );
});

test('Ed25519 edge cases have the verdict that OpenSSL gives', async () => {
  for (const { what, key } of edgeKeys()) assert.equal(await verifySignature(key, FORGED.message, FORGED.signature), false, what);
  const secret = new Uint8Array(32).fill(9);
  const raw = ed25519.getPublicKey(secret);
  const key = publicKeyFromParts('ed25519', { raw });
  assert.equal(await verifySignature(key, message, ed25519.sign(message, secret)), true);
  assert.equal(await verifySignature(key, message, malleable(ed25519.sign(message, secret))), false);

  const odd = cofactored(secret, message);
  assert.equal(ed25519.verify(odd, message, raw, { zip215: false }), true, 'noble alone accepts it');
  const native = await real.importKey('raw', new Uint8Array(raw), 'Ed25519', false, ['verify']);
  assert.equal(await real.verify('Ed25519', native, new Uint8Array(odd), new Uint8Array(message)), false, 'OpenSSL does not');
  assert.equal(await verifySignature(key, message, odd), false);
});
