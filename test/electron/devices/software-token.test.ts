import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { aeskwp } from '@noble/ciphers/aes.js';
import { concat, toBase64url } from '../../../ceremonies/bytes.ts';
import { ALGORITHMS, HSS_LMS, SLH_DSAS } from '../../../ceremonies/keys/algorithms.ts';
import { ML_DSA } from '../../../ceremonies/keys/composite.ts';
import { TAG, writeDer, writeIdentifier } from '../../../ceremonies/keys/der.ts';
import { readSubjectKey } from '../../../ceremonies/keys/subject-key.ts';
import { SOFTWARE_QUIRKS } from '../../../electron/devices/quirks.ts';
import { openSoftwareModule } from '../../../electron/devices/software-token.ts';
import type { Session, TokenAlgorithm, TokenModule } from '../../../electron/devices/tokens.ts';
import { contract, fault, PIN, refusal, tokenError } from './contract.ts';

const WRONG = new TextEncoder().encode('wrong pin');

let folder: string;
let module: TokenModule;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'conclave-software-'));
  module = openSoftwareModule(folder, 'test', import.meta.filename);
});
after(() => rmSync(folder, { recursive: true, force: true }));

contract(() => ({ module, quirks: SOFTWARE_QUIRKS, unwrappable: [] }));

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

// --- keys ------------------------------------------------------------------------------------------------------------

const KEK = { class: 'secret-key', label: 'kek', lives: 'session' } as const;
const kekValue = new Uint8Array(32).fill(7);

async function onToken(label: string, work: (session: Session, serial: string) => Promise<void>): Promise<void> {
  const { serial } = await module.provision(label, PIN);
  const session = await (await module.token(serial)).open();
  await session.login(PIN);
  await session.importWrappingKey({ id: 'aa', label: KEK.label, value: kekValue });
  await work(session, serial);
  await session.close();
}

const pkcs8 = (oid: string, privateKey: Uint8Array) =>
  writeDer(TAG.sequence, Uint8Array.of(TAG.integer, 1, 0), writeIdentifier(oid, null), writeDer(TAG.octetString, privateKey));
const unwrap = (session: Session, algorithm: TokenAlgorithm, value: Uint8Array) =>
  session.unwrap({ wrapped: aeskwp(kekValue).encrypt(value), under: KEK, algorithm, id: 'bb', label: 'recovered' });
const RECOVERED = { class: 'private-key', id: 'bb', lives: 'session' } as const;

test('the list of mechanisms is all that rehearsals and administration need, and nothing stateful', async () => {
  const { serial } = await module.provision('mechanisms', PIN);
  const names = (await (await module.token(serial)).mechanisms()).map(({ name, min, max }) => `${name} ${min}-${max}`);
  assert.deepEqual(names, [
    'CKM_EC_KEY_PAIR_GEN 256-521', 'CKM_ECDSA 256-521', 'CKM_EC_EDWARDS_KEY_PAIR_GEN 256-256', 'CKM_EDDSA 256-256',
    'CKM_RSA_PKCS_KEY_PAIR_GEN 3072-4096', 'CKM_SHA256_RSA_PKCS 3072-4096', 'CKM_SHA384_RSA_PKCS 3072-4096',
    'CKM_SHA256_RSA_PKCS_PSS 3072-4096', 'CKM_SHA384_RSA_PKCS_PSS 3072-4096',
    'CKM_ML_DSA_KEY_PAIR_GEN 1312-2592', 'CKM_ML_DSA 1312-2592', 'CKM_SLH_DSA_KEY_PAIR_GEN 32-64', 'CKM_SLH_DSA 32-64',
    'CKM_ML_KEM_KEY_PAIR_GEN 800-1568', 'CKM_ML_KEM 800-1568', 'CKM_EC_MONTGOMERY_KEY_PAIR_GEN 255-255', 'CKM_ECDH1_DERIVE 255-521',
    'CKM_RSA_PKCS_OAEP 3072-4096', 'CKM_AES_KEY_GEN 16-32', 'CKM_AES_CBC_PAD 16-32', 'CKM_AES_CMAC 16-32', 'CKM_AES_KEY_WRAP_KWP 16-32',
    'CKM_AES_KEY_WRAP 16-32', 'CKM_GENERIC_SECRET_KEY_GEN 32-64', 'CKM_SHA256_HMAC 32-64', 'CKM_SHA384_HMAC 32-64', 'CKM_SHA512_HMAC 32-64',
  ]);
});

test('ML-DSA signatures are hedged: the same message twice is two signatures', () => onToken('hedged', async (session) => {
  const algorithm = ALGORITHMS['ml-dsa-44'];
  await session.generateKeyPair({ algorithm, id: '01', label: 'k', extractable: false });
  const message = Uint8Array.of(1, 2, 3);
  const [one, two] = [await session.sign({ class: 'private-key', id: '01' }, algorithm, message), await session.sign({ class: 'private-key', id: '01' }, algorithm, message)];
  const { raw } = readSubjectKey((await session.publicKey({ class: 'public-key', id: '01' }, algorithm)).spki);
  assert.notDeepEqual(one, two);
  assert.ok([one, two].every((signature) => ML_DSA['ml-dsa-44'].verify(signature, message, raw)));
}));

test('a post-quantum key is kept and wrapped as its seed, which never stands in the file', () => onToken('seed', async (session, serial) => {
  const algorithm = ALGORITHMS['ml-dsa-65'];
  await session.generateKeyPair({ algorithm, id: '01', label: 'k', extractable: true });
  const wrapped = (await session.wrap({ class: 'private-key', id: '01' }, KEK)).wrapped;
  const seed = aeskwp(kekValue).decrypt(wrapped).slice(-32);
  assert.deepEqual(aeskwp(kekValue).decrypt(wrapped), pkcs8(algorithm.keyOid, writeDer(0x80, seed)));
  const { raw } = readSubjectKey((await session.publicKey({ class: 'public-key', id: '01' }, algorithm)).spki);
  assert.deepEqual(ML_DSA['ml-dsa-65'].keygen(seed).publicKey, raw);
  const text = readFileSync(file(serial), 'utf8');
  // Base64url of any alignment: three bytes in, two bytes off at each end.
  for (const shift of [0, 1, 2]) assert.ok(!text.includes(toBase64url(seed.subarray(shift, shift + 27))));
}));

test('ML-DSA keys of other tokens: seed and both come in as a seed, the expanded form does not', () => onToken('forms', async (session) => {
  const algorithm = ALGORITHMS['ml-dsa-44'];
  const seed = new Uint8Array(32).fill(9);
  const { secretKey, publicKey } = ML_DSA['ml-dsa-44'].keygen(seed);
  const both = (expanded: Uint8Array) => writeDer(TAG.sequence, writeDer(TAG.octetString, seed), writeDer(TAG.octetString, expanded));
  const message = Uint8Array.of(1);
  for (const form of [writeDer(0x80, seed), both(secretKey)]) {
    await unwrap(session, algorithm, pkcs8(algorithm.keyOid, form));
    assert.ok(ML_DSA['ml-dsa-44'].verify(await session.sign(RECOVERED, algorithm, message), message, publicKey));
    await session.destroy(RECOVERED);
  }
  const other = Uint8Array.from(secretKey);
  other[200]! ^= 1;
  for (const form of [writeDer(TAG.octetString, secretKey), both(other), writeDer(0x80, seed.subarray(1)), seed, new Uint8Array()]) {
    await assert.rejects(unwrap(session, algorithm, pkcs8(algorithm.keyOid, form)), tokenError('CKR_WRAPPED_KEY_INVALID'));
  }
  await assert.rejects(unwrap(session, ALGORITHMS['ml-dsa-65'], pkcs8(algorithm.keyOid, writeDer(0x80, seed))), tokenError('CKR_WRAPPED_KEY_INVALID'), 'another size');
  await assert.rejects(unwrap(session, algorithm, pkcs8(ALGORITHMS['ml-dsa-65'].keyOid, both(secretKey))), tokenError('CKR_WRAPPED_KEY_INVALID'));
  await assert.rejects(unwrap(session, algorithm, Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff)), tokenError('CKR_WRAPPED_KEY_INVALID'), 'hostile length');
  assert.deepEqual(await session.find(RECOVERED), []);
}));

test('a key filled up with zeros to eight bytes, as some modules wrap it, comes in as it was', () => onToken('filled', async (session) => {
  const message = Uint8Array.of(1);
  for (const algorithm of [ALGORITHMS['ecdsa-p256'], ALGORITHMS['rsa-3072'], ALGORITHMS['ml-dsa-44'], SLH_DSAS.find(({ name }) => name === 'slh-dsa-sha2-128f')!]) {
    await session.generateKeyPair({ algorithm, id: '01', label: algorithm.name, extractable: true });
    const own = { class: 'private-key', id: '01', label: algorithm.name } as const;
    const value = aeskwp(kekValue).decrypt((await session.wrap(own, KEK)).wrapped);
    await unwrap(session, algorithm, concat(value, new Uint8Array(7)));
    assert.equal((await session.sign(RECOVERED, algorithm, message)).length, algorithm.signatureBytes);
    await session.destroy(RECOVERED);
    for (const more of [new Uint8Array(8), Uint8Array.of(0, 0, 1), Uint8Array.of(1, 0)]) {
      await assert.rejects(unwrap(session, algorithm, concat(value, more)), tokenError('CKR_WRAPPED_KEY_INVALID'));
    }
  }
  assert.deepEqual(await session.find(RECOVERED), []);
}));

test('SLH-DSA keys: another length or set is refused, a wrong root never gives a signature', () => onToken('roots', async (session) => {
  const algorithm = SLH_DSAS.find(({ name }) => name === 'slh-dsa-sha2-128f')!;
  const shake = SLH_DSAS.find(({ name }) => name === 'slh-dsa-shake-128f')!;
  await session.generateKeyPair({ algorithm, id: '01', label: 'k', extractable: true });
  const good = aeskwp(kekValue).decrypt((await session.wrap({ class: 'private-key', id: '01' }, KEK)).wrapped);
  const secret = good.slice(-64);
  for (const [row, value] of [[shake, good], [algorithm, pkcs8(algorithm.oid, secret.subarray(1))], [algorithm, pkcs8(algorithm.oid, concat(secret, secret))],
    [algorithm, good.subarray(0, -1)], [HSS_LMS, pkcs8(HSS_LMS.oid, secret)]] as const) {
    await assert.rejects(unwrap(session, row, value), tokenError('CKR_WRAPPED_KEY_INVALID'));
  }
  const wrong = Uint8Array.from(good);
  wrong[wrong.length - 1]! ^= 1;
  await unwrap(session, algorithm, wrong);
  await assert.rejects(session.sign(RECOVERED, algorithm, Uint8Array.of(1)), refusal('SOFTWARE-SIGNATURE'));
}));

test('who logs out while a key is being made gets none, on the token or in the session', () => onToken('late', async (session) => {
  for (const lives of ['token', 'session'] as const) {
    const making = session.generateKeyPair({ algorithm: ALGORITHMS['rsa-3072'], id: '01', label: 'late', extractable: true, lives });
    await session.logout();
    await assert.rejects(making, tokenError('CKR_USER_NOT_LOGGED_IN'));
    await session.login(PIN);
    assert.deepEqual(await session.list(0, 10), { total: 0, objects: [] });
    assert.deepEqual(await session.find({ class: 'private-key', id: '01', lives: 'session' }), []);
  }
}));
