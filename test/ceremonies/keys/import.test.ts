/** Private keys from files that OpenSSL and Node wrote: what comes in, and what is refused by which name. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, pbkdf2Sync, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import fc from 'fast-check';
import { equalBytes, fromHex, utf8 } from '../../../ceremonies/bytes.ts';
import { derParts, readDer, TAG, writeDer, writeIdentifier, writeUnsigned } from '../../../ceremonies/keys/der.ts';
import { importFault, isSealedImport, readImport, type ImportedKey } from '../../../ceremonies/keys/import.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { SEED } from './seed.ts';
import { base64, signatureVectors } from './vectors.ts';

const folder = mkdtempSync(join(tmpdir(), 'conclave-import-'));
after(() => { rmSync(folder, { recursive: true, force: true }); });
const at = (name: string) => join(folder, name);
const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe', cwd: folder });
const bytes = (name: string) => new Uint8Array(readFileSync(at(name)));
const PASSWORD = 'pässword 1🔑';
const password = () => utf8(PASSWORD);

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const ec = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
const ed = generateKeyPairSync('ed25519').privateKey;
const der = (key: KeyObject) => new Uint8Array(key.export({ type: 'pkcs8', format: 'der' }));
const spki = (key: KeyObject) => new Uint8Array(createPublicKey(key).export({ type: 'spki', format: 'der' }));
/** What comes in is the key that went in. */
function isKey(imported: ImportedKey, key: KeyObject): void {
  assert.ok(equalBytes(imported.publicKey.spki, spki(key)));
  assert.ok(createPrivateKey({ key: Buffer.from(imported.pkcs8), format: 'der', type: 'pkcs8' }).equals(key));
}
async function rule(file: Uint8Array, secret: Uint8Array | null = null): Promise<string> {
  try {
    await readImport(file, secret);
    return 'read';
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    assert.ok(!JSON.stringify(error.refusal).includes(PASSWORD));
    return error.refusal.rule;
  }
}

test('plain files: PKCS#8, PKCS#1 and SEC 1, PEM and DER', async () => {
  for (const [key, keyType] of [[rsa, 'CKK_RSA'], [ec, 'CKK_EC'], [ed, 'CKK_EC_EDWARDS'], [generateKeyPairSync('x25519').privateKey, 'CKK_EC_MONTGOMERY'], [generateKeyPairSync('ml-dsa-65').privateKey, 'CKK_ML_DSA'], [generateKeyPairSync('ml-kem-768').privateKey, 'CKK_ML_KEM']] as const) {
    for (const file of [der(key), utf8(key.export({ type: 'pkcs8', format: 'pem' }).toString())]) {
      const imported = await readImport(file, null);
      assert.deepEqual([imported.keyType, imported.source, imported.certificates], [keyType, 'PKCS#8', []]);
      isKey(imported, key);
    }
  }
  for (const [file, key, source] of [
    [utf8(rsa.export({ type: 'pkcs1', format: 'pem' }).toString()), rsa, 'PKCS#1'], [new Uint8Array(rsa.export({ type: 'pkcs1', format: 'der' })), rsa, 'PKCS#1'],
    [utf8(ec.export({ type: 'sec1', format: 'pem' }).toString()), ec, 'SEC 1'], [new Uint8Array(ec.export({ type: 'sec1', format: 'der' })), ec, 'SEC 1'],
  ] as const) {
    const imported = await readImport(file, null);
    assert.equal(imported.source, source);
    isKey(imported, key);
  }
});

test('encrypted PKCS#8 of OpenSSL: each cipher, each PRF, scrypt; a wrong password', async () => {
  writeFileSync(at('rsa.pem'), rsa.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(at('password'), PASSWORD);
  const topk8 = (name: string, ...more: string[]) => {
    openssl('pkcs8', '-topk8', '-in', 'rsa.pem', '-out', name, '-passout', 'file:password', ...more);
    return bytes(name);
  };
  const files = [
    ...['aes-128-cbc', 'aes-192-cbc', 'aes-256-cbc'].map((cipher) => topk8(`${cipher}.pem`, '-v2', cipher)),
    ...['hmacWithSHA1', 'hmacWithSHA224', 'hmacWithSHA384', 'hmacWithSHA512'].map((prf) => topk8(`${prf}.der`, '-v2', 'aes-256-cbc', '-v2prf', prf, '-outform', 'DER')),
    topk8('scrypt.pem', '-scrypt'),
  ];
  for (const file of files) {
    assert.ok(isSealedImport(file));
    const imported = await readImport(file, password());
    assert.equal(imported.source, 'encrypted PKCS#8');
    isKey(imported, rsa);
  }
  assert.equal(await rule(files[0]!, utf8('another')), 'IMPORT-PASSWORD');
  assert.equal(await rule(files[0]!), 'IMPORT-PASSWORD');
  assert.equal(await rule(topk8('des.pem', '-v2', 'des3'), password()), 'IMPORT-CIPHER');
  // Padding fits by chance in one of 256: the sentence is the same then.
  for (let i = 0; i < 300; i++) assert.equal(await rule(files[3]!, utf8(`wrong ${i}`)), 'IMPORT-PASSWORD');
});

test('an import is a key under a password and nothing in clear: everything else goes no further than its reader', () => {
  const sealed = ec.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: PASSWORD }).toString();
  assert.equal(importFault(utf8(sealed)), null);
  assert.equal(importFault(new Uint8Array(ec.export({ type: 'pkcs8', format: 'der', cipher: 'aes-256-cbc', passphrase: PASSWORD }))), null);
  const clear = [
    der(ec), new Uint8Array(ec.export({ type: 'sec1', format: 'der' })), new Uint8Array(rsa.export({ type: 'pkcs1', format: 'der' })), spki(ec), utf8(''), utf8('no key'),
    ...[ec.export({ type: 'pkcs8', format: 'pem' }).toString(), ec.export({ type: 'sec1', format: 'pem' }).toString(), '-----BEGIN OPENSSH PRIVATE KEY-----\nAA==\n-----END OPENSSH PRIVATE KEY-----\n'].flatMap((text) => [utf8(text), utf8(`${sealed}${text}`), utf8(`${text}${sealed}`)]),
  ];
  for (const file of clear) assert.equal(importFault(file)?.rule, 'IMPORT-ENCRYPTED');
});

test('PKCS#12 of OpenSSL: the key, and the certificates with it', async () => {
  for (const name of ['ca', 'leaf']) openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`, '-out', `${name}.crt`, '-subj', `/CN=${name}`, '-days', '9');
  const leaf = createPrivateKey(readFileSync(at('leaf.key')));
  const bundle = (name: string, ...more: string[]) => {
    openssl('pkcs12', '-export', '-inkey', 'leaf.key', '-in', 'leaf.crt', '-certfile', 'ca.crt', '-out', name, '-passout', 'file:password', ...more);
    return bytes(name);
  };
  for (const file of [bundle('new.p12'), bundle('sha1-mac.p12', '-macalg', 'sha1'), bundle('sha512.p12', '-macalg', 'sha512', '-iter', '5000'), bundle('nomac.p12', '-nomac'), bundle('plain.p12', '-keypbe', 'NONE', '-certpbe', 'NONE')]) {
    assert.ok(isSealedImport(file));
    const imported = await readImport(file, password());
    assert.deepEqual([imported.source, imported.keyType, imported.certificates.map(({ own }) => own)], ['PKCS#12', 'CKK_EC', [true, false]]);
    isKey(imported, leaf);
    assert.equal(await rule(file, utf8('another')), 'IMPORT-PASSWORD');
  }
  // RFC 9579 section 4, which no OpenSSL before 3.4 writes: the MAC of Node's own PBKDF2 and HMAC.
  const parts = derParts(readDer(bytes('nomac.p12'), 'PFX'), 'PFX').map((part) => part.bytes);
  const contents = derParts(derParts(readDer(parts[1]!, 'authSafe'), 'authSafe')[1]!, 'authSafe')[0]!.content;
  const salt = new Uint8Array(16).fill(7);
  const hmacSha256 = writeIdentifier('1.2.840.113549.2.9', Uint8Array.of(TAG.null, 0));
  const kdf = writeIdentifier('1.2.840.113549.1.5.12', writeDer(TAG.sequence, writeDer(TAG.octetString, salt), writeUnsigned(fromHex('0800')), writeUnsigned(fromHex('20')), hmacSha256));
  const mac = createHmac('sha256', pbkdf2Sync(PASSWORD, salt, 2048, 32, 'sha256')).update(contents).digest();
  const info = writeDer(TAG.sequence, writeIdentifier('1.2.840.113549.1.5.14', writeDer(TAG.sequence, kdf, hmacSha256)), writeDer(TAG.octetString, new Uint8Array(mac)));
  const pbmac1 = writeDer(TAG.sequence, ...parts, writeDer(TAG.sequence, info, writeDer(TAG.octetString), writeUnsigned(Uint8Array.of(1))));
  isKey(await readImport(pbmac1, password()), leaf);
  assert.equal(await rule(pbmac1, utf8('another')), 'IMPORT-PASSWORD');
  const file = bytes('new.p12');
  file[60]! ^= 1;
  assert.equal(await rule(file, password()), 'IMPORT-PASSWORD');
  assert.equal(await rule(bundle('old.p12', '-keypbe', 'PBE-SHA1-3DES', '-certpbe', 'PBE-SHA1-3DES'), password()), 'IMPORT-CIPHER');
  openssl('pkcs12', '-export', '-nokeys', '-in', 'leaf.crt', '-out', 'nokey.p12', '-passout', 'file:password');
  assert.equal(await rule(bytes('nokey.p12'), password()), 'IMPORT-ONE-KEY');
});

test('PEM with a key and its certificate; several keys; what is no key', async () => {
  const [key, crt] = [readFileSync(at('leaf.key'), 'utf8'), readFileSync(at('leaf.crt'), 'utf8')];
  assert.deepEqual((await readImport(utf8(crt + key), null)).certificates.map(({ own }) => own), [true]);
  assert.equal(await rule(utf8(key + key)), 'IMPORT-ONE-KEY');
  assert.equal(await rule(utf8(crt)), 'IMPORT-ONE-KEY');
  assert.equal(await rule(spki(ec)), 'PEM');
  assert.equal(await rule(new Uint8Array()), 'PEM');
  // Encrypted as OpenSSL did before PKCS#8: a header that says so stands in the block.
  openssl('rsa', '-in', 'rsa.pem', '-traditional', '-aes128', '-out', 'dek.pem', '-passout', 'file:password');
  assert.equal(await rule(bytes('dek.pem'), password()), 'PEM');
});

test('what must not come in: stateful keys, weak ones, composites, too much work', async () => {
  const pkcs8 = (oid: string, content: Uint8Array) => writeDer(TAG.sequence, Uint8Array.of(TAG.integer, 1, 0), writeIdentifier(oid, null), writeDer(TAG.octetString, content));
  for (const oid of ['1.2.840.113549.1.9.16.3.17', '1.3.6.1.5.5.7.6.34', '1.3.6.1.5.5.7.6.35']) assert.equal(await rule(pkcs8(oid, new Uint8Array(64))), 'STATEFUL-NEVER-COPIED');
  assert.equal(await rule(der(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey)), 'WEAK-SIZE');
  assert.equal(await rule(der(generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }).privateKey)), 'WEAK-EXPONENT');
  const [composite] = signatureVectors().tests.filter(({ tcId }) => tcId === 'id-MLDSA65-ECDSA-P256-SHA512');
  assert.equal(await rule(base64(composite!.sk_pkcs8)), 'IMPORT-KIND');
  const shrouded = (kdf: Uint8Array) => writeDer(TAG.sequence, writeIdentifier('1.2.840.113549.1.5.13', writeDer(TAG.sequence, kdf, writeIdentifier('2.16.840.1.101.3.4.1.42', writeDer(TAG.octetString, new Uint8Array(16))))), writeDer(TAG.octetString, new Uint8Array(32)));
  const number = (value: number) => writeUnsigned(fromHex(value.toString(16).padStart(10, '0')));
  const salt = writeDer(TAG.octetString, new Uint8Array(8));
  const pbkdf2 = (iterations: number) => shrouded(writeIdentifier('1.2.840.113549.1.5.12', writeDer(TAG.sequence, salt, number(iterations))));
  const scrypt = (N: number, r: number, p: number) => shrouded(writeIdentifier('1.3.6.1.4.1.11591.4.11', writeDer(TAG.sequence, salt, number(N), number(r), number(p))));
  for (const [file, expected] of [
    [pbkdf2(1), 'IMPORT-PASSWORD'], [pbkdf2(0), 'IMPORT-WORK'], [pbkdf2(2_000_001), 'IMPORT-WORK'], [pbkdf2(2 ** 39), 'IMPORT-WORK'],
    [scrypt(16, 1, 1), 'IMPORT-PASSWORD'], [scrypt(15, 1, 1), 'IMPORT-WORK'], [scrypt(2 ** 20, 8, 1), 'IMPORT-WORK'], [scrypt(16, 1, 17), 'IMPORT-WORK'],
  ] as const) assert.equal(await rule(file, utf8('x')), expected);
});

test('hostile files: cut, changed and made up, every one is read or refused by name', async () => {
  const seeds = [der(ec), bytes('new.p12'), bytes('hmacWithSHA1.der'), new Uint8Array(rsa.export({ type: 'pkcs1', format: 'der' }))];
  await fc.assert(fc.asyncProperty(fc.constantFrom(...seeds), fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat(), async (file, where, octet, cut) => {
    const changed = file.slice(0, cut % 3 === 0 ? cut % file.length : file.length);
    if (changed.length > 0) changed[where % Math.min(changed.length, 120)] = octet;
    await rule(changed, utf8('x'));
  }), { seed: SEED, numRuns: 150 });
});
