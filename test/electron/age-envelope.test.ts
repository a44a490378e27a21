import assert from 'node:assert/strict';
import { createDecipheriv, createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { inflateSync } from 'node:zlib';
import { bech32 } from '@scure/base';
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption';
import fc from 'fast-check';
import { concat, utf8 } from '../../ceremonies/bytes.ts';
import { ageFacts, isAgeFile, isAgeKey, openAge, readAgeRecipients, sealAge } from '../../electron/age-envelope.ts';
import { X_WING } from '../../ceremonies/keys/algorithms.ts';
import { decapsulate } from '../../ceremonies/keys/kem.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { SEED } from '../ceremonies/keys/seed.ts';

const vectors = JSON.parse(readFileSync(new URL('../vectors/age/hybrid.json', import.meta.url), 'utf8')) as Record<string, string>;
const refused = (rule: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === rule;
const rule = async (work: () => unknown): Promise<string> => {
  try {
    await work();
    return 'done';
  } catch (error) {
    if (error instanceof Refused) return error.refusal.rule;
    throw error;
  }
};

for (const [name, encoded] of Object.entries(vectors)) {
  test(`official vector ${name}`, async () => {
    const whole = Buffer.from(encoded, 'base64');
    const end = whole.indexOf('\n\n');
    const about = whole.subarray(0, end).toString().split('\n').map((line) => line.split(': ') as [string, string]);
    const fact = (wanted: string) => about.find(([key]) => key === wanted)?.[1];
    const file = new Uint8Array(fact('compressed') === 'zlib' ? inflateSync(whole.subarray(end + 2)) : whole.subarray(end + 2));
    const identity = utf8(about.filter(([key, value]) => key === 'identity' && value.startsWith('AGE-SECRET-KEY-PQ-')).map(([, value]) => value).join('\n'));
    if (fact('expect') !== 'success') {
      assert.ok(['AGE-KEY', 'AGE-FILE'].includes(await rule(() => openAge(file, identity))));
      return;
    }
    assert.equal(isAgeFile(file), true);
    assert.equal(createHash('sha256').update(await openAge(file, identity)).digest('hex'), fact('payload'));
    assert.equal(ageFacts(file).quantumSafe, !['hybrid_and_x25519', 'hybrid_grease'].includes(name));
    assert.equal(ageFacts(file).armored, fact('armored') === 'yes');
  });
}

/** HPKE base mode (RFC 9180 section 5.1) with KEM 0x647a, HKDF-SHA-256, ChaCha20-Poly1305, then the age file's payload: all of it without the library. */
async function openByHand(file: Uint8Array, seed: Uint8Array): Promise<Uint8Array> {
  const hmac = (key: Uint8Array, ...parts: Uint8Array[]) => new Uint8Array(createHmac('sha256', key).update(concat(...parts)).digest());
  const suite = concat(utf8('HPKE'), Uint8Array.of(0x64, 0x7a, 0x00, 0x01, 0x00, 0x03));
  const extract = (salt: Uint8Array, label: string, ikm: Uint8Array) => hmac(salt, utf8('HPKE-v1'), suite, utf8(label), ikm);
  const expand = (prk: Uint8Array, label: string, info: Uint8Array, length: number) => hmac(prk, Uint8Array.of(0, length), utf8('HPKE-v1'), suite, utf8(label), info, Uint8Array.of(1)).subarray(0, length);
  const chacha = (key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array) => {
    const cipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
    cipher.setAuthTag(sealed.subarray(-16));
    return new Uint8Array(Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]));
  };
  const text = Buffer.from(file).toString('latin1');
  const [, enc = '', body = ''] = /-> mlkem768x25519 (\S+)\n(\S+)\n--- \S+\n/.exec(text) ?? [];
  const none = new Uint8Array();
  const shared = await decapsulate(X_WING, seed, new Uint8Array(Buffer.from(enc, 'base64')));
  const context = concat(Uint8Array.of(0), extract(none, 'psk_id_hash', none), extract(none, 'info_hash', utf8('age-encryption.org/mlkem768x25519')));
  const secret = extract(shared, 'secret', none);
  const fileKey = chacha(expand(secret, 'key', context, 32), expand(secret, 'base_nonce', context, 12), new Uint8Array(Buffer.from(body, 'base64')));
  const payload = file.subarray(text.indexOf('\n', text.indexOf('\n--- ') + 1) + 1);
  const key = hmac(hmac(payload.subarray(0, 16), fileKey), utf8('payload'), Uint8Array.of(1));
  return chacha(key, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), payload.subarray(16)); // one chunk, the last
}

test('what is sealed is opened by another implementation, down to the KEM', async () => {
  const identity = await generateHybridIdentity();
  const content = utf8('a share of three');
  const sealed = await sealAge(content, readAgeRecipients(utf8(`# to the custodian\n${await identityToRecipient(identity)}\n`)), false);
  const seed = bech32.decodeToBytes(identity).bytes;
  assert.deepEqual(await openByHand(sealed, seed), content);
  seed[0]! ^= 1;
  await assert.rejects(openByHand(sealed, seed));
});

test('several recipients, text form; nothing for a key that a quantum computer breaks', async () => {
  const [one, other] = [await generateHybridIdentity(), await generateHybridIdentity()];
  const recipients = readAgeRecipients(utf8(`${await identityToRecipient(one)}\r\n${await identityToRecipient(other)}\r\n`));
  const sealed = await sealAge(utf8('x'), recipients, true);
  assert.deepEqual(ageFacts(sealed), { recipients: ['mlkem768x25519', 'mlkem768x25519'], quantumSafe: true, armored: true });
  for (const identity of [one, other]) assert.deepEqual(await openAge(sealed, utf8(identity)), utf8('x'));
  await assert.rejects(openAge(sealed, utf8(await generateHybridIdentity())), refused('AGE-KEY'));
  const classical = await generateX25519Identity();
  assert.throws(() => readAgeRecipients(utf8(classical)), refused('AGE-RECIPIENT'));
  assert.equal(isAgeKey(utf8(await identityToRecipient(classical))), true);
  const theirs = utf8(await identityToRecipient(classical));
  assert.throws(() => readAgeRecipients(theirs), refused('AGE-RECIPIENT'));
  await assert.rejects(openAge(sealed, utf8(classical)), refused('AGE-IDENTITY'));
  const misspelt = `${recipients[0]!.slice(0, -1)}${recipients[0]!.endsWith('q') ? 'p' : 'q'}`;
  await assert.rejects(sealAge(utf8('x'), [misspelt], false), refused('AGE-RECIPIENT'));
});

test('every altered byte and hostile files end in a rule', async () => {
  const identity = await generateHybridIdentity();
  const sealed = await sealAge(utf8('a share of three'), [await identityToRecipient(identity)], false);
  const key = utf8(identity);
  await fc.assert(fc.asyncProperty(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 255 }), async (at, by) => {
    const altered = sealed.slice();
    altered[at]! ^= by;
    assert.ok(['AGE-KEY', 'AGE-FILE'].includes(await rule(() => openAge(altered, key))));
  }), { seed: SEED, numRuns: 60 });
  await fc.assert(fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 200 }).map((rest) => concat(utf8('age-encryption.org/v1\n-> mlkem768x25519 '), rest)), fc.string().map((text) => utf8(`-----BEGIN AGE ENCRYPTED FILE-----\n${text}`))), async (file) => {
    assert.ok(['AGE-KEY', 'AGE-FILE'].includes(await rule(() => openAge(file, key))));
    assert.equal(await rule(() => readAgeRecipients(file)), 'AGE-RECIPIENT');
    assert.ok(['AGE-IDENTITY', 'AGE-FILE'].includes(await rule(() => openAge(sealed, file))));
  }), { seed: SEED, numRuns: 200 });
});
