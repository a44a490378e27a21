/**
 * What every token implementation must do, stated once and run against each twin (software-token.test.ts, pkcs11.test.ts).
 * A difference between the twins is a bug in one of them, or in this file.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { aeskwp } from '@noble/ciphers/aes.js';
import { Refused } from '../../../ceremonies/refusal.ts';
import { ALGORITHMS, ROOT_ALGORITHMS } from '../../../ceremonies/keys/algorithms.ts';
import { parsePublicKey } from '../../../ceremonies/keys/public-key.ts';
import { verifySignature } from '../../../ceremonies/keys/signatures.ts';
import { weakKeyFindings } from '../../../ceremonies/keys/weak.ts';
import { Fault, TokenError } from '../../../electron/devices/errors.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import type { Session, Token, TokenModule } from '../../../electron/devices/tokens.ts';

export const PIN = new TextEncoder().encode(REHEARSAL_PIN);
const WRONG = new TextEncoder().encode('314159');

export const tokenError = (code: string) => (thrown: unknown) => thrown instanceof TokenError && thrown.code === code;
export const refusal = (rule: string) => (thrown: unknown) => thrown instanceof Refused && thrown.refusal.rule === rule;
export const fault = (code: string) => (thrown: unknown) => thrown instanceof Fault && thrown.code === code;

const freshId = () => randomBytes(16).toString('hex');

export interface Twin {
  readonly module: TokenModule;
  /** Algorithms whose keys this twin really does not wrap. */
  readonly unwrappable: readonly string[];
}

export function contract(twin: () => Twin): void {
  let count = 0;
  /** A blank token of its own for every test. */
  const blank = async (): Promise<Token> => {
    const facts = await twin().module.provision(`contract ${++count}`, PIN);
    return twin().module.token(facts.serial);
  };
  const working = async (work: (session: Session, token: Token) => Promise<void>): Promise<void> => {
    const token = await blank();
    const session = await token.open();
    await session.login(PIN);
    try {
      await work(session, token);
    } finally {
      await session.close();
    }
  };

  test('a module tells what it is', () => {
    const { facts } = twin().module;
    assert.match(facts.sha256, /^[0-9a-f]{64}$/);
    assert.notEqual(facts.library, '');
  });

  test('a provisioned token is blank, marked, initialised and listed once', async () => {
    const facts = await twin().module.provision('blank', PIN);
    assert.equal(facts.label, 'REHEARSAL blank');
    for (const flag of ['CKF_TOKEN_INITIALIZED', 'CKF_USER_PIN_INITIALIZED', 'CKF_LOGIN_REQUIRED', 'CKF_RNG']) assert.ok(facts.flags.includes(flag), flag);
    const slots = await twin().module.slots();
    assert.equal(slots.filter(({ token }) => token?.serial === facts.serial).length, 1);
    const token = await twin().module.token(facts.serial);
    assert.deepEqual(await token.facts(), facts);
    assert.equal(await token.isRehearsal(), true);
    const session = await token.open();
    assert.deepEqual(await session.list(0, 10), { total: 0, objects: [] });
    await session.close();
  });

  test('provisioning never reuses a token, and refuses labels that do not fit or hide something', async () => {
    const [one, two] = [await twin().module.provision('same', PIN), await twin().module.provision('same', PIN)];
    assert.notEqual(one.serial, two.serial);
    await assert.rejects(twin().module.provision('x'.repeat(23), PIN), refusal('LABEL-LENGTH'));
    await assert.rejects(twin().module.provision('a\u202eb', PIN), refusal('LABEL-CLEAN'));
    await assert.rejects(twin().module.provision('a\nb', PIN), refusal('LABEL-CLEAN'));
    assert.equal((await twin().module.provision('Zoë 鍵', PIN)).label, 'REHEARSAL Zoë 鍵');
  });

  test('a token that is not there is TOKEN_MISSING, whatever its name', async () => {
    for (const serial of ['0000000000000000', '../../etc/passwd', ' ']) await assert.rejects(twin().module.token(serial), fault('TOKEN_MISSING'));
  });

  test('mechanisms carry names, numbers and flags', async () => {
    const mechanisms = await (await blank()).mechanisms();
    const generate = mechanisms.find(({ name }) => name === 'CKM_EC_KEY_PAIR_GEN');
    assert.equal(generate?.number, 0x1040);
    assert.ok(generate.flags.includes('CKF_GENERATE_KEY_PAIR'));
  });

  test('login: wrong, right, twice, out, twice', async () => {
    const token = await blank();
    const session = await token.open();
    await assert.rejects(session.login(WRONG), tokenError('CKR_PIN_INCORRECT'));
    await session.login(PIN);
    await assert.rejects(session.login(PIN), tokenError('CKR_USER_ALREADY_LOGGED_IN'));
    await session.logout();
    // Cryptoki would let this pass on some modules; nobody here relies on it.
    await session.close();
  });

  test('closing the last session logs out', async () => {
    const token = await blank();
    const first = await token.open();
    await first.login(PIN);
    await first.putData('kept', Uint8Array.of(1));
    await first.close();
    const second = await token.open();
    assert.equal((await second.list(0, 10)).total, 0);
    await second.close();
  });

  test('random bytes come at the length asked for and differ', () => working(async (session) => {
    const [a, b] = [await session.random(100_000), await session.random(100_000)];
    assert.equal(a.length, 100_000);
    assert.notDeepEqual(a, b);
    assert.ok(new Set(a).size === 256);
  }));

  for (const name of ROOT_ALGORITHMS) {
    const algorithm = ALGORITHMS[name];
    test(`${name}: generates, reads back, signs, wraps, unwraps`, () => working(async (session, token) => {
      const id = freshId();
      const label = 'Root CA';
      const generatedBy = await session.generateKeyPair({ algorithm, id, label, extractable: true });
      assert.match(generatedBy, /^CKM_.*KEY_PAIR_GEN$/);

      const privateKey = await session.attributes({ class: 'private-key', id });
      const { decrypt, derive, unwrap, verify, encrypt, wrap, ...told } = privateKey;
      assert.deepEqual(told, {
        class: 'private-key', keyType: name.startsWith('rsa') ? 'CKK_RSA' : name === 'ed25519' ? 'CKK_EC_EDWARDS' : 'CKK_EC', id, label,
        token: true, private: true, sensitive: true, extractable: true, alwaysSensitive: true, neverExtractable: false, local: true, modifiable: true,
        sign: true, generatedBy,
      });
      for (const use of [decrypt, derive, unwrap, verify, encrypt, wrap]) assert.notEqual(use, true);
      const publicKey = await session.attributes({ class: 'public-key', id });
      assert.equal(publicKey.verify, true);
      assert.equal(publicKey.private, false);
      assert.equal(publicKey.local, true);

      const key = await session.publicKey({ class: 'public-key', id }, algorithm);
      assert.equal(parsePublicKey(key.spki, name).algorithm, name);
      assert.deepEqual(weakKeyFindings(key), []);
      const message = randomBytes(77);
      const signature = await session.sign({ class: 'private-key', id }, algorithm, message);
      assert.equal(signature.length, algorithm.signatureBytes);
      assert.equal(await verifySignature(key, message, signature), true);
      assert.equal(await verifySignature(key, randomBytes(77), signature), false);

      const value = randomBytes(32);
      const kek = { class: 'secret-key', id: freshId(), lives: 'session' } as const;
      await session.importWrappingKey({ id: kek.id, label: 'backup', value });
      const kekFacts = await session.attributes(kek);
      assert.deepEqual([kekFacts.token, kekFacts.sensitive, kekFacts.extractable, kekFacts.local], [false, true, false, false]);
      if (twin().unwrappable.includes(name)) {
        assert.notEqual(token.notWrappable(algorithm), null);
        await assert.rejects(session.wrap({ class: 'private-key', id }, kek), TokenError);
        return;
      }
      assert.equal(token.notWrappable(algorithm), null);
      const { wrapped } = await session.wrap({ class: 'private-key', id }, kek);
      // An implementation that is neither twin opens it: RFC 5649 over PKCS#8, whatever the mechanism is called.
      assert.equal(aeskwp(value).decrypt(wrapped)[0], 0x30);

      const again = { class: 'private-key', id: freshId(), lives: 'session' } as const;
      await session.unwrap({ wrapped, under: kek, algorithm, id: again.id, label: 'recovered' });
      const recovered = await session.attributes(again);
      assert.deepEqual(
        [recovered.token, recovered.sensitive, recovered.extractable, recovered.local, recovered.alwaysSensitive, recovered.neverExtractable],
        [false, true, false, false, false, false],
      );
      assert.equal(await verifySignature(key, message, await session.sign(again, algorithm, message)), true);
      assert.equal((await session.list(0, 10)).total, 2, 'session objects are not token objects');
      await session.destroy(again);
      await session.destroy(kek);
      assert.deepEqual(await session.find(again), []);
    }));
  }

  test('extractable goes one way, and what was made unextractable says so', () => working(async (session) => {
    const algorithm = ALGORITHMS['ecdsa-p256'];
    const kek = { class: 'secret-key', id: freshId(), lives: 'session' } as const;
    await session.importWrappingKey({ id: kek.id, label: 'backup', value: randomBytes(32) });
    const locked = freshId();
    await session.generateKeyPair({ algorithm, id: locked, label: 'to be locked', extractable: true });
    await session.makeNonExtractable({ class: 'private-key', id: locked });
    const after = await session.attributes({ class: 'private-key', id: locked });
    assert.deepEqual([after.extractable, after.neverExtractable, after.sensitive, after.sign], [false, false, true, true]);
    await assert.rejects(session.wrap({ class: 'private-key', id: locked }, kek), tokenError('CKR_KEY_UNEXTRACTABLE'));
    await session.makeNonExtractable({ class: 'private-key', id: locked });
    const never = freshId();
    await session.generateKeyPair({ algorithm, id: never, label: 'never', extractable: false });
    assert.equal((await session.attributes({ class: 'private-key', id: never })).neverExtractable, true);
    await assert.rejects(session.wrap({ class: 'private-key', id: never }, kek), tokenError('CKR_KEY_UNEXTRACTABLE'));
  }));

  test('a damaged or foreign wrapped key is refused and leaves nothing', () => working(async (session) => {
    const algorithm = ALGORITHMS['ecdsa-p256'];
    const kek = { class: 'secret-key', id: freshId(), lives: 'session' } as const;
    await session.importWrappingKey({ id: kek.id, label: 'backup', value: randomBytes(32) });
    const id = freshId();
    await session.generateKeyPair({ algorithm, id, label: 'k', extractable: true });
    const { wrapped } = await session.wrap({ class: 'private-key', id }, kek);
    const target = { class: 'private-key', id: freshId(), lives: 'session' } as const;
    const unwrap = (bytes: Uint8Array) => session.unwrap({ wrapped: bytes, under: kek, algorithm, id: target.id, label: 'r' });
    const damaged = Uint8Array.from(wrapped);
    damaged[20]! ^= 1;
    await assert.rejects(unwrap(damaged), TokenError);
    await assert.rejects(unwrap(wrapped.subarray(0, 24)), TokenError);
    await assert.rejects(unwrap(new Uint8Array(0)), TokenError);
    assert.deepEqual(await session.find(target), []);
  }));

  test('one match or nothing: unknown, doubled, and named by id and label together', () => working(async (session) => {
    const algorithm = ALGORITHMS['ecdsa-p256'];
    const id = freshId();
    await assert.rejects(session.sign({ class: 'private-key', id }, algorithm, randomBytes(8)), refusal('ONE-MATCH'));
    await assert.rejects(session.attributes({ class: 'public-key', id }), refusal('ONE-MATCH'));
    await assert.rejects(session.destroy({ class: 'data', label: 'nothing' }), refusal('ONE-MATCH'));
    await session.generateKeyPair({ algorithm, id, label: 'first', extractable: false });
    await session.generateKeyPair({ algorithm, id, label: 'second', extractable: false });
    await assert.rejects(session.makeNonExtractable({ class: 'private-key', id }), refusal('ONE-MATCH'));
    await assert.rejects(session.destroy({ class: 'private-key', id }), refusal('ONE-MATCH'));
    assert.equal((await session.find({ class: 'private-key', id })).length, 2);
    await session.destroy({ class: 'private-key', id, label: 'first' });
    await session.destroy({ class: 'private-key', id });
    assert.deepEqual(await session.find({ class: 'private-key', id }), []);
    assert.equal((await session.find({ class: 'public-key', id })).length, 2);
  }));

  test('private data objects: kept exactly, and invisible without login', async () => {
    const token = await blank();
    const session = await token.open();
    await assert.rejects(session.putData('early', Uint8Array.of(1)), tokenError('CKR_USER_NOT_LOGGED_IN'));
    await session.login(PIN);
    const long = Uint8Array.from(randomBytes(65_536));
    const values = { 'one zero': Uint8Array.of(0), 'zeros': new Uint8Array(32), long, 'to be erased': Uint8Array.of(1, 2, 3) };
    for (const [label, value] of Object.entries(values)) await session.putData(label, value);
    await session.destroy({ class: 'data', label: 'to be erased' });
    await session.close();

    const later = await token.open();
    assert.equal((await later.list(0, 10)).total, 0);
    assert.deepEqual(await later.find({ class: 'data', label: 'zeros' }), []);
    await assert.rejects(later.getData('zeros'), refusal('ONE-MATCH'));
    await later.login(PIN);
    for (const label of ['one zero', 'zeros', 'long'] as const) {
      const secret = await later.getData(label);
      assert.deepEqual(Uint8Array.from(secret.bytes), values[label]);
      secret.wipe();
      assert.throws(() => secret.bytes);
    }
    assert.deepEqual((await later.list(0, 10)).objects.map(({ label }) => label).toSorted(), ['long', 'one zero', 'zeros']);
    await later.close();
  });

  test('without login nothing private is made or found', async () => {
    const token = await blank();
    const session = await token.open();
    const algorithm = ALGORITHMS['ecdsa-p256'];
    await assert.rejects(session.generateKeyPair({ algorithm, id: freshId(), label: 'x', extractable: false }), tokenError('CKR_USER_NOT_LOGGED_IN'));
    await session.login(PIN);
    const id = freshId();
    await session.generateKeyPair({ algorithm, id, label: 'x', extractable: false });
    await session.logout();
    await assert.rejects(session.sign({ class: 'private-key', id }, algorithm, randomBytes(8)), refusal('ONE-MATCH'));
    assert.deepEqual((await session.list(0, 10)).objects.map((object) => object.class), ['public-key']);
    await session.close();
  });

  test('hostile labels are found by their bytes and shown harmless', () => working(async (session) => {
    const hostile = ['\u202ecod.exe', 'a\0b', '\u001b[31mred', '" onload="x', '<script>', 'é'.repeat(200), 'line\nbreak', '\ufeffmark', "'; drop table"];
    for (const [index, label] of hostile.entries()) await session.putData(label, Uint8Array.of(index + 1));
    const { objects } = await session.list(0, 20);
    assert.equal(objects.length, hostile.length);
    for (const { label } of objects) {
      assert.ok(label.length <= 128);
      assert.doesNotMatch(label, /[\p{Cc}\p{Cf}]/u);
    }
    for (const [index, label] of hostile.entries()) {
      const secret = await session.getData(label);
      assert.deepEqual([...secret.bytes], [index + 1]);
      await session.destroy({ class: 'data', label });
    }
    assert.equal((await session.list(0, 20)).total, 0);
  }));

  test('pages add up to the whole, whatever the mixture of classes', () => working(async (session) => {
    const algorithm = ALGORITHMS['ecdsa-p256'];
    for (let n = 0; n < 5; n++) {
      await session.putData(`data ${n}`, Uint8Array.of(n));
      await session.generateKeyPair({ algorithm, id: freshId(), label: `pair ${n}`, extractable: false });
    }
    const whole = await session.list(0, 100);
    assert.equal(whole.total, 15);
    const paged = [];
    for (let offset = 0; offset < 15; offset += 4) {
      const page = await session.list(offset, 4);
      assert.equal(page.total, 15);
      paged.push(...page.objects);
    }
    assert.deepEqual(paged, whole.objects);
    assert.deepEqual(Object.groupBy(whole.objects, (object) => object.class)['data']!.map(({ label, keyType, id }) => `${label}${keyType}${id}`).toSorted(), [0, 1, 2, 3, 4].map((n) => `data ${n}`));
    assert.ok(whole.objects.every(({ keyType, class: kind }) => kind === 'data' || keyType === 'CKK_EC'));
  }));

  test('a closed session answers nothing', async () => {
    const token = await blank();
    const session = await token.open();
    await session.close();
    await assert.rejects(session.random(8), tokenError('CKR_SESSION_HANDLE_INVALID'));
    await assert.rejects(session.list(0, 1), tokenError('CKR_SESSION_HANDLE_INVALID'));
  });
}
