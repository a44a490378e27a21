import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import fc from 'fast-check';
import { sha256 } from '@noble/hashes/sha2.js';
import { fromHex, toHex, utf8 } from '../../../ceremonies/bytes.ts';
import { ML_KEMS } from '../../../ceremonies/keys/algorithms.ts';
import { readCertificate } from '../../../ceremonies/keys/chain.ts';
import { writeDer, writeIdentifier } from '../../../ceremonies/keys/der.ts';
import { openEnvelope, otherInfo, readEnvelope, recipientOfKey, sealEnvelope, sealingRandomness, withKemKey, wrapKey, wrappingRandomness, wrapLabels } from '../../../ceremonies/keys/envelope.ts';
import {
  ASYMMETRIC_KEY_PACKAGE, hybridWrapRandomness, keyCheckValue, readWrappedKey, unwrapKey, wrapPrivateKey, wrapSymmetricKey, type Unwrapped,
} from '../../../ceremonies/keys/hybrid-wrap.ts';
import { kemPublicFromPrivate } from '../../../ceremonies/keys/kem.ts';
import { readPrivateKey, seedFormOf } from '../../../ceremonies/keys/private-key.ts';
import { subjectKeyOf } from '../../../ceremonies/keys/subject-key.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { witnessOpenssl } from '../../witness.ts';
import { SEED } from './seed.ts';
import { base64, kemVectors, vectorFile } from './vectors.ts';

const random = (length: number, fill = 5): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 37 + fill) & 255);
const refused = (rule: string) => (error: unknown): boolean => {
  assert.ok(error instanceof Refused, String(error));
  assert.equal(error.refusal.rule, rule, error.message);
  return true;
};
const kek = (name: string) => {
  const one = kemVectors().tests.find(({ tcId }) => tcId === `id-${name}`)!;
  const dk = base64(one.dk_pkcs8);
  return { pkcs8: dk, recipient: recipientOfKey(readCertificate(base64(one.x5c)).key) };
};
const unwrap = (der: Uint8Array, pkcs8: Uint8Array): Promise<Unwrapped> => withKemKey(pkcs8, (held) => unwrapKey(readWrappedKey(der), held));
const p256 = kek('MLKEM768-ECDH-P256-SHA3-256');
const p384 = kek('MLKEM1024-ECDH-P384-SHA3-256');
const recipients = [p256.recipient, p384.recipient];

test('KCV: AES-CMAC of a zero block, leftmost three bytes', () => {
  // RFC 4493 section 4 has L = AES(K, 0) = 7df76b0c... for this key: that would be the ECB check value of CKA_CHECK_VALUE.
  assert.notEqual(keyCheckValue(fromHex('2b7e151628aed2a6abf7158809cf4f3c')), '7df76b');
  const zeros = execFileSync(witnessOpenssl(), ['mac', '-cipher', 'AES-256-CBC', '-macopt', `hexkey:${toHex(random(32))}`, 'CMAC'], { input: new Uint8Array(16), encoding: 'utf8' });
  assert.equal(keyCheckValue(random(32)), zeros.trim().toLowerCase().slice(0, 6));
});

test('an AES key: each recipient unwraps it, the label says what it is, KWP stands on the wire', async () => {
  for (const bytes of [16, 24, 32]) {
    const der = wrapSymmetricKey(random(bytes), 'kek-archive', recipients, random(hybridWrapRandomness('symmetric', recipients), 9));
    const wrapped = readWrappedKey(der);
    assert.deepEqual(wrapped.label, {
      format: 'conclave-wrapped-key/1', name: 'kek-archive', key: `AES-${bytes * 8}`,
      check: { method: 'KCV AES-CMAC of zeros, 3 bytes (ANSI X9.24-1)', value: keyCheckValue(random(bytes)) },
    });
    assert.deepEqual(wrapped.recipients.map(({ algorithm, hybrid }) => `${algorithm} ${hybrid}`).sort(), ['MLKEM1024-ECDH-P384-SHA3-256 (composite) true', 'MLKEM768-ECDH-P256-SHA3-256 (composite) true']);
    assert.deepEqual(wrapped.recipients.map(({ identifier }) => identifier).sort(), recipients.map(({ key }) => `key ${toHex(sha256(key.raw)).slice(0, 40)}`).sort());
    const [first] = wrapped.envelope.recipients;
    assert.deepEqual(first?.kind === 'kem' && wrapLabels(first), ['HKDF-SHA-256', 'AES-256 key wrap with padding']);
    for (const { pkcs8 } of [p256, p384]) assert.deepEqual(await unwrap(der, pkcs8), { kind: 'symmetric', key: random(bytes) });
    assert.ok(!Buffer.from(der).includes(Buffer.from(random(bytes))));
  }
  assert.throws(() => wrapSymmetricKey(random(31), 'x', recipients, random(hybridWrapRandomness('symmetric', recipients))), refused('KEY-LENGTH'));
  for (const [name, rule] of [['', 'TEXT-LENGTH'], ['a\nb', 'TEXT-PRINTABLE'], ['x'.repeat(101), 'TEXT-LENGTH']] as const) {
    assert.throws(() => wrapSymmetricKey(random(32), name, recipients, random(hybridWrapRandomness('symmetric', recipients))), refused(rule));
  }
});

test('private keys: classical, ML-DSA in all forms, composite; seeds travel as seeds', async () => {
  for (const path of ['mldsa-x509/ML-DSA-65-seed.priv.der', 'mldsa-x509/ML-DSA-65-both.priv.der', 'mldsa-x509/ML-DSA-44-expanded.priv.der', 'cms/composite-sigs-draft/id-MLDSA65-ECDSA-P256-SHA512.key.der', 'slhdsa-x509/id-slh-dsa-sha2-128s.priv.der']) {
    const key = vectorFile(path);
    const { publicKey, form } = await readPrivateKey(key);
    const der = await wrapPrivateKey(key, 'root', recipients, random(hybridWrapRandomness('private', recipients)));
    const wrapped = readWrappedKey(der);
    assert.deepEqual([wrapped.label.key, wrapped.label.check.value, wrapped.envelope.contentType], [publicKey.label, toHex(sha256(publicKey.spki)), ASYMMETRIC_KEY_PACKAGE]);
    assert.deepEqual(await unwrap(der, p384.pkcs8), { kind: 'private', key: form === 'expanded' ? key : await seedFormOf(key) });
  }
  await assert.rejects(wrapPrivateKey(vectorFile('mldsa-x509/bad-ML-DSA-44-1.priv.der'), 'x', recipients, random(hybridWrapRandomness('private', recipients))), refused('PRIVATE-KEY-BOTH'));
});

test('another label, another key, another file: refused by name', async () => {
  const der = wrapSymmetricKey(random(32), 'kek-archive', [p256.recipient], random(hybridWrapRandomness('symmetric', [p256.recipient])));
  const altered = (from: string, to: string): Uint8Array => {
    const copy = der.slice();
    const at = Buffer.from(der).indexOf(from);
    assert.ok(at > 0 && from.length === to.length);
    copy.set(utf8(to), at);
    return copy;
  };
  await assert.rejects(unwrap(altered('kek-archive', 'kek-billing'), p256.pkcs8), refused('ENVELOPE-KEY'));
  await assert.rejects(unwrap(altered(keyCheckValue(random(32)), '000000'), p256.pkcs8), refused('ENVELOPE-KEY'));
  assert.throws(() => readWrappedKey(altered('AES-256', 'AES-128')), refused('WRAPPED-KEY'));
  assert.throws(() => readWrappedKey(altered('{"check"', '{"Check"')), refused('WRAPPED-KEY'));
  assert.throws(() => readWrappedKey(altered('archive"}', 'archiv" }')), refused('WRAPPED-KEY')); // another spelling of a label
  await assert.rejects(unwrap(der, p384.pkcs8), refused('ENVELOPE-RECIPIENT'));
  // A sender who lies about the key: the KEK is right, the check value is of another key.
  const label = '{"check":{"method":"KCV AES-CMAC of zeros, 3 bytes (ANSI X9.24-1)","value":"abcdef"},"format":"conclave-wrapped-key/1","key":"AES-256","name":"x"}';
  const lie = wrapKey(random(32), { recipients: [p256.recipient], ukm: utf8(label) }, random(wrappingRandomness([p256.recipient])));
  await assert.rejects(unwrap(lie, p256.pkcs8), refused('KEY-CHECK-VALUE'));
  for (const ukm of [undefined, utf8('{}'), utf8('[1'), random(30), utf8(label.replace('"x"}', '"x","y":1}'))]) {
    assert.throws(() => readWrappedKey(wrapKey(random(32), { recipients: [p256.recipient], ...(ukm && { ukm }) }, random(wrappingRandomness([p256.recipient])))), refused('WRAPPED-KEY'));
  }
  const envelope = sealEnvelope({ content: utf8('hello'), recipients: [p256.recipient] }, random(sealingRandomness([p256.recipient])));
  assert.throws(() => readWrappedKey(envelope), refused('WRAPPED-KEY'));
  // A package with two keys, and one with another key than its label says.
  const key = vectorFile('mldsa-x509/ML-DSA-44-seed.priv.der');
  const other = vectorFile('mldsa-x509/ML-DSA-87-seed.priv.der');
  const { publicKey } = await readPrivateKey(key);
  const said = `{"check":{"method":"SHA-256 of the SubjectPublicKeyInfo","value":"${toHex(sha256(publicKey.spki))}"},"format":"conclave-wrapped-key/1","key":"ML-DSA-44","name":"x"}`;
  for (const [content, rule] of [[writeDer(0x30, key, key), 'WRAPPED-KEY'], [writeDer(0x30, other), 'KEY-CHECK-VALUE'], [writeDer(0x30), 'WRAPPED-KEY'], [key.slice(0, 9), 'DER-STRUCTURE']] as const) {
    const sealed = sealEnvelope({ content, contentType: ASYMMETRIC_KEY_PACKAGE, recipients: [p256.recipient], ukm: utf8(said) }, random(sealingRandomness([p256.recipient])));
    await assert.rejects(unwrap(sealed, p256.pkcs8), refused(rule));
  }
});

test('property: what is wrapped is unwrapped; a changed file is refused by name', async () => {
  await fc.assert(fc.asyncProperty(fc.constantFrom(16, 24, 32), fc.nat(), fc.nat(255), async (bytes, at, fill) => {
    const key = random(bytes, fill);
    const der = wrapSymmetricKey(key, 'k', [p256.recipient], random(hybridWrapRandomness('symmetric', [p256.recipient]), fill));
    assert.deepEqual((await unwrap(der, p256.pkcs8)).key, key);
    const copy = der.slice();
    copy[at % der.length]! ^= 1 + (fill % 255);
    try {
      assert.deepEqual((await unwrap(copy, p256.pkcs8)).key, key); // only the identifier may change: it is a hint
    } catch (error) {
      assert.ok(error instanceof Refused, String(error));
    }
  }), { seed: SEED, numRuns: 40 });
});

test('OpenSSL: the two steps by themselves unwrap an AES key that was wrapped here', () => {
  const folder = mkdtempSync(join(tmpdir(), 'conclave-wrap-'));
  const openssl = (...args: string[]): Buffer => execFileSync(witnessOpenssl(), args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    const row = ML_KEMS['ml-kem-768'];
    const seed = random(64);
    writeFileSync(join(folder, 'key.der'), writeDer(0x30, Uint8Array.of(2, 1, 0), writeIdentifier(row.oid, null), writeDer(4, writeDer(0x80, seed))));
    const recipient = recipientOfKey(subjectKeyOf(row.oid, null, kemPublicFromPrivate(row, seed)));
    const wrapped = readWrappedKey(wrapSymmetricKey(random(24), 'for the witness', [recipient], random(hybridWrapRandomness('symmetric', [recipient]))));
    assert.equal(wrapped.recipients[0]?.hybrid, false);
    const [kem] = wrapped.envelope.recipients;
    assert.ok(kem?.kind === 'kem');
    writeFileSync(join(folder, 'ct'), kem.ciphertext);
    writeFileSync(join(folder, 'wrapped'), kem.encryptedKey);
    openssl('pkeyutl', '-decap', '-inkey', 'key.der', '-keyform', 'DER', '-in', 'ct', '-secret', 'ss');
    const derived = openssl('kdf', '-binary', '-keylen', '32', '-kdfopt', 'digest:SHA256', '-kdfopt', `hexkey:${readFileSync(join(folder, 'ss')).toString('hex')}`, '-kdfopt', `hexinfo:${toHex(otherInfo(kem.wrap, kem.ukm))}`, 'HKDF');
    openssl('enc', '-d', '-id-aes256-wrap-pad', '-K', derived.toString('hex'), '-iv', 'a65959a6', '-in', 'wrapped', '-out', 'key');
    assert.deepEqual(new Uint8Array(readFileSync(join(folder, 'key'))), random(24));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a sealed private key is an ordinary envelope too', async () => {
  const key = vectorFile('mldsa-x509/ML-DSA-44-seed.priv.der');
  const der = await wrapPrivateKey(key, 'x', [p256.recipient], random(hybridWrapRandomness('private', [p256.recipient])));
  const { content, contentType } = await withKemKey(p256.pkcs8, (held) => openEnvelope(readEnvelope(der), held));
  assert.deepEqual([content, contentType], [writeDer(0x30, key), ASYMMETRIC_KEY_PACKAGE]);
});
