/** Public keys as other programs want them, read back by those programs: Node for JWK, ssh-keygen for OpenSSH. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { readCertificate } from '../../../ceremonies/keys/chain.ts';
import { jwkOf, openSshOf } from '../../../ceremonies/keys/public-forms.ts';
import { readSubjectKey, type SubjectKey } from '../../../ceremonies/keys/subject-key.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { base64, kemVectors, signatureVectors } from './vectors.ts';

const folder = mkdtempSync(join(tmpdir(), 'conclave-forms-'));
after(() => { rmSync(folder, { recursive: true, force: true }); });
const keyOf = (key: KeyObject): SubjectKey => readSubjectKey(new Uint8Array(key.export({ type: 'spki', format: 'der' })));
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
const curves = ['P-256', 'P-384', 'P-521'].map((namedCurve) => generateKeyPairSync('ec', { namedCurve }).publicKey);
const ed25519 = generateKeyPairSync('ed25519').publicKey;
const others = [generateKeyPairSync('ed448').publicKey, generateKeyPairSync('x25519').publicKey, generateKeyPairSync('x448').publicKey, ...(['ml-dsa-44', 'ml-dsa-65', 'ml-dsa-87'] as const).map((name) => generateKeyPairSync(name as 'ml-dsa-44').publicKey)];
const brainpool = generateKeyPairSync('ec', { namedCurve: 'brainpoolP256r1' }).publicKey;
const composite = readSubjectKey(spkiOf(base64(signatureVectors().tests.find(({ tcId }) => tcId === 'id-MLDSA65-Ed25519-SHA512')!.x5c)));
const kem = readSubjectKey(spkiOf(base64(kemVectors().tests[0]!.x5c)));

function spkiOf(certificate: Uint8Array): Uint8Array {
  return readCertificate(certificate).key.spki;
}
const refused = (of: (key: SubjectKey) => unknown, key: SubjectKey) => assert.throws(() => of(key), (error) => error instanceof Refused && error.refusal.rule === 'KEY-FORM' && error.refusal.found === key.label);

test('JWK: what Node writes for the same key, and what it reads is the same key', () => {
  for (const key of [rsa, ...curves, ed25519, ...others]) {
    const jwk = jwkOf(keyOf(key));
    assert.deepEqual(jwk, key.export({ format: 'jwk' }));
    assert.ok(createPublicKey({ key: jwk, format: 'jwk' }).equals(key));
  }
  for (const key of [keyOf(brainpool), composite, kem]) refused(jwkOf, key);
});

test('OpenSSH: ssh-keygen reads each line as the same key', () => {
  for (const key of [rsa, ...curves, ed25519]) {
    const line = openSshOf(keyOf(key));
    const fingerprint = execFileSync('ssh-keygen', ['-l', '-f', '-'], { input: `${line}\n` }).toString();
    assert.match(fingerprint, /^\d+ SHA256:\S{43} /);
    if (key === ed25519) continue; // ssh-keygen writes no SubjectPublicKeyInfo of it: RFC 8709 is 32 octets, compared below
    writeFileSync(join(folder, 'key.pub'), `${line}\n`);
    const back = execFileSync('ssh-keygen', ['-e', '-m', 'PKCS8', '-f', join(folder, 'key.pub')]);
    assert.ok(createPublicKey(back).equals(key));
  }
  assert.deepEqual(Buffer.from(openSshOf(keyOf(ed25519)).split(' ')[1]!, 'base64').subarray(-32).toString('base64url'), ed25519.export({ format: 'jwk' }).x);
  for (const key of [...others.map(keyOf), keyOf(brainpool), composite, kem]) refused(openSshOf, key);
});
