/**
 * What every token implementation must do, stated once and run against each twin (software-token.test.ts, pkcs11.test.ts).
 * A difference between the twins is a bug in one of them, or in this file.
 *
 * What a token can do at all is asked of its own mechanism list: what it lists must work here, what it does not list must
 * be refused and leave nothing. So nothing is ever skipped. It must never ask which module it is running against.
 */
import assert from 'node:assert/strict';
import { constants, createPublicKey, randomBytes, verify as verifyWith } from 'node:crypto';
import { test } from 'node:test';
import { aeskwp } from '@noble/ciphers/aes.js';
import type { KeyAttributes } from '../../../ceremonies/evidence.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { ALGORITHMS, HSS_LMS, isAlgorithmName, ML_KEMS, ROOT_ALGORITHMS, SLH_DSAS, type RsaAlgorithm } from '../../../ceremonies/keys/algorithms.ts';
import { ML_DSA } from '../../../ceremonies/keys/composite.ts';
import { readDer, TAG, writeDer } from '../../../ceremonies/keys/der.ts';
import { ML_KEM } from '../../../ceremonies/keys/kem.ts';
import { readPrivateKey, seedFormOf } from '../../../ceremonies/keys/private-key.ts';
import { parsePublicKey } from '../../../ceremonies/keys/public-key.ts';
import { verifySignature } from '../../../ceremonies/keys/signatures.ts';
import { keyFindings, readSubjectKey, SLH_DSA } from '../../../ceremonies/keys/subject-key.ts';
import { weakKeyFindings } from '../../../ceremonies/keys/weak.ts';
import { Fault, TokenError } from '../../../electron/devices/errors.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import type { Quirks } from '../../../electron/devices/quirks.ts';
import {
  keyTypeName, mechanismName, type MechanismName, type ObjectName, type Session, type SignHow, type Token, type TokenAlgorithm, type TokenModule,
  type TokenPublicKey,
} from '../../../electron/devices/tokens.ts';

export const PIN = new TextEncoder().encode(REHEARSAL_PIN);
const WRONG = new TextEncoder().encode('314159');

export const tokenError = (code: string) => (thrown: unknown) => thrown instanceof TokenError && thrown.code === code;
export const refusal = (rule: string) => (thrown: unknown) => thrown instanceof Refused && thrown.refusal.rule === rule;
export const fault = (code: string) => (thrown: unknown) => thrown instanceof Fault && thrown.code === code;

const freshId = () => randomBytes(16).toString('hex');

export interface Twin {
  readonly module: TokenModule;
  /** What is special about it, as data: the same that the implementation goes by. */
  readonly quirks: Quirks;
  /** Algorithms whose keys this twin really does not wrap. */
  readonly unwrappable: readonly string[];
  /** A token with nothing on it, for modules that make none (`quirks.provisions` false). */
  readonly blank?: () => Promise<Token>;
  /** Parameter sets that the module does not have although it lists their mechanism, by registry name; and mechanisms that it lists and cannot do. */
  readonly lacks?: readonly string[];
  /** False where the module keeps no private data objects: every attempt must then be refused. */
  readonly keepsData?: boolean;
  /** Bytes of the largest data object that fits. */
  readonly largestData?: number;
  /** True where no private key ever leaves the token: one that is asked to be extractable is not, and says so. */
  readonly holdsFast?: boolean;
  /** Attributes of keys that the module does not tell: they must then be null, never a guess. */
  readonly untold?: readonly (keyof KeyAttributes)[];
}

/** Whether this is a signature of `message` under `key`, by implementations that no token here signs with. */
async function fits(key: TokenPublicKey, message: Uint8Array, signature: Uint8Array, { context, padding }: SignHow = {}): Promise<boolean> {
  const subject = readSubjectKey(key.spki);
  const options = context === undefined ? {} : { context };
  switch (subject.kind) {
    case 'ml-dsa': return ML_DSA[subject.name].verify(signature, message, subject.raw, options);
    case 'slh-dsa': return SLH_DSA[subject.row.name].verify(signature, message, subject.raw, options);
    case 'rsa': case 'ecdsa': case 'eddsa': break;
    case 'xdh': case 'kem': case 'composite': case 'hss': case 'xmss': assert.fail(`${subject.kind} keys are not verified here`);
  }
  assert.equal(context, undefined);
  assert.ok(isAlgorithmName(key.algorithm));
  if (padding === undefined) return verifySignature(parsePublicKey(key.spki, key.algorithm), message, signature);
  const row = ALGORITHMS[key.algorithm] as RsaAlgorithm;
  return verifyWith(row.hash, message, {
    key: createPublicKey({ key: Buffer.from(key.spki), format: 'der', type: 'spki' }),
    padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  }, signature);
}

/** DER around `content` random bytes, ending in zeros like padding: what a wrapped key looks like. */
const keyLike = (content: number) => writeDer(TAG.sequence, writeDer(TAG.octetString, randomBytes(content), Uint8Array.of(0, 0)));

/** The mechanism in which RSASSA-PSS is offered: the one that hashes with the row's own hash. */
const pssMechanism = (row: RsaAlgorithm) => `CKM_${row.hash.replace('-', '')}_RSA_PKCS_PSS` as MechanismName;

export function contract(twin: () => Twin): void {
  let count = 0;
  /** A blank token of its own for every test. */
  const blank = async (): Promise<Token> => {
    const { module, blank: own } = twin();
    return own ? own() : module.token((await module.provision(`contract ${++count}`, PIN)).serial);
  };
  /** True where the module makes no tokens, which it must then say. */
  const makesNone = async (): Promise<boolean> => {
    const { module, blank: own } = twin();
    if (own) await assert.rejects(module.provision('blank', PIN), fault('MODULE_CANNOT_PROVISION'));
    return own !== undefined;
  };
  /** True where the module keeps no data objects, which it must then say. */
  const keepsNone = async (session: Session): Promise<boolean> => {
    if (twin().keepsData !== false) return false;
    await assert.rejects(session.putData('data', Uint8Array.of(1)), TokenError);
    return true;
  };
  const lists = async (token: Token, ...names: readonly MechanismName[]): Promise<boolean> => {
    const listed = new Set((await token.mechanisms()).map(({ name }) => name));
    return names.every((name) => listed.has(name));
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

  const lacks = (name: string): boolean => twin().lacks?.includes(name) === true;
  /** False where the token lists no key wrap: it must then take no key to wrap with. */
  const wraps = async (session: Session, token: Token): Promise<boolean> => {
    const listed = new Set((await token.mechanisms()).map(({ name }) => name));
    if (twin().quirks.keyWrap.some((name) => listed.has(name))) return true;
    await assert.rejects(importKek(session), TokenError);
    assert.deepEqual(await ofSession(session, 'secret-key'), []);
    return false;
  };

  /** What a token that lists `mechanisms` must do; where it does not, `attempt` must be refused and leave nothing. */
  const ability = (
    title: string, mechanisms: readonly MechanismName[], attempt: (session: Session) => Promise<unknown>,
    work: (session: Session, token: Token) => Promise<void>, parameterSet?: string,
  ): void => {
    test(title, () => working(async (session, token) => {
      if ((parameterSet === undefined || !lacks(parameterSet)) && await lists(token, ...mechanisms)) return work(session, token);
      await assert.rejects(attempt(session), TokenError);
      assert.equal((await session.list(0, 10)).total, 0);
    }));
  };
  /** Whether a read-back says this of a key. */
  const told = (attributes: KeyAttributes, facts: Partial<KeyAttributes>): void => {
    const names = Object.keys(facts) as (keyof KeyAttributes)[];
    assert.deepEqual(
      names.map((name) => [name, attributes[name]]),
      names.map((name) => [name, twin().untold?.includes(name) === true ? null : facts[name]]),
    );
  };
  /** What was wrapped, for a reader who has the key: without the zeros of a module that fills up before it wraps. */
  const filledUp = (bytes: Uint8Array): Uint8Array => {
    if (!twin().quirks.padsWrapped) return bytes;
    for (let end = bytes.length; end > bytes.length - 8; end--) {
      try {
        return readDer(bytes.subarray(0, end), 'what was wrapped').bytes;
      } catch {
        assert.equal(bytes[end - 1], 0, 'nothing but zeros after a key');
      }
    }
    return assert.fail('no key among what was wrapped');
  };
  /** A second key of one CKA_ID. False where the module keeps only one, which must then be the first. */
  const doubled = async (make: () => Promise<unknown>): Promise<boolean> => {
    const { oneKeyPerId } = twin().quirks;
    if (oneKeyPerId) await assert.rejects(make(), TokenError);
    else await make();
    return !oneKeyPerId;
  };
  const USES = ['sign', 'verify', 'encrypt', 'decrypt', 'wrap', 'unwrap', 'derive'] as const;
  /** A key may be asked about uses that its class does not have: anything but true is a no. */
  const serves = (attributes: KeyAttributes, ...uses: readonly (typeof USES)[number][]): void => {
    assert.deepEqual(USES.filter((use) => attributes[use] === true), uses);
  };
  const generating = (algorithm: { readonly pkcs11: { readonly generate: number } }) => mechanismName(algorithm.pkcs11.generate) as MechanismName;
  const importKek = async (session: Session) => {
    const value = randomBytes(32);
    const kek = { class: 'secret-key', id: freshId(), lives: 'session' } as const;
    await session.importWrappingKey({ id: kek.id, label: 'backup', value });
    return { kek, value };
  };
  const ofSession = (session: Session, kind: ObjectName['class']) => session.find({ class: kind, lives: 'session' });

  test('a module tells what it is', () => {
    const { facts } = twin().module;
    assert.match(facts.sha256, /^[0-9a-f]{64}$/);
    assert.notEqual(facts.library, '');
  });

  test('a provisioned token is blank, marked, initialised and listed once', async () => {
    if (await makesNone()) return;
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
    if (await makesNone()) return;
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
    const id = freshId();
    await first.generateKeyPair({ algorithm: ALGORITHMS['ecdsa-p256'], id, label: 'kept', extractable: false });
    await first.close();
    const second = await token.open();
    assert.equal(await second.loggedIn(), false);
    assert.deepEqual((await second.list(0, 10)).objects.map((object) => object.class), ['public-key']);
    await second.close();
  });

  test('random bytes come at the length asked for and differ', () => working(async (session) => {
    const [a, b] = [await session.random(100_000), await session.random(100_000)];
    assert.equal(a.length, 100_000);
    assert.notDeepEqual(a, b);
    assert.ok(new Set(a).size === 256);
  }));

  /** A key pair of its own: made, read back, compared with what was asked for, its public key judged. Its CKA_ID and public key. */
  const freshPair = async (session: Session, algorithm: TokenAlgorithm, extractable: boolean): Promise<{ id: string; key: TokenPublicKey }> => {
    const id = freshId();
    const label = 'Root CA';
    const generatedBy = await session.generateKeyPair({ algorithm, id, label, extractable });
    assert.match(generatedBy, /^CKM_.*KEY_PAIR_GEN$/);
    const keyType = keyTypeName(algorithm.pkcs11.keyType);
    const privateKey = await session.attributes({ class: 'private-key', id });
    told(privateKey, {
      class: 'private-key', keyType, id, label, token: true, private: true, sensitive: true, extractable: extractable && !twin().holdsFast, alwaysSensitive: true,
      neverExtractable: !extractable, local: true, modifiable: true, generatedBy, keysRemaining: null,
    });
    serves(privateKey, 'sign');
    const publicKey = await session.attributes({ class: 'public-key', id });
    told(publicKey, { class: 'public-key', keyType, id, label, token: true, private: false, local: true, generatedBy, keysRemaining: null });
    serves(publicKey, 'verify');

    const key = await session.publicKey({ class: 'public-key', id }, algorithm);
    assert.equal(key.algorithm, algorithm.name);
    assert.deepEqual(keyFindings(readSubjectKey(key.spki)), []);
    if (isAlgorithmName(key.algorithm)) assert.deepEqual(weakKeyFindings(parsePublicKey(key.spki, key.algorithm)), []);
    return { id, key };
  };

  const signs = async (
    session: Session, name: ObjectName & { readonly class: 'private-key' }, key: TokenPublicKey, algorithm: Exclude<TokenAlgorithm, { family: 'hss' }>, how?: SignHow,
  ): Promise<void> => {
    const message = randomBytes(77);
    const signature = await session.sign(name, algorithm, message, how);
    assert.equal(signature.length, algorithm.signatureBytes);
    assert.equal(await fits(key, message, signature, how), true);
    assert.equal(await fits(key, randomBytes(77), signature, how), false);
    if (how !== undefined) assert.equal(await fits(key, message, signature), false, 'another way of signing is another signature');
  };

  /** The pair `id` leaves under a key that we know, and comes back as a session object that signs; or is refused where nothing can be done. */
  const travels = async (session: Session, token: Token, algorithm: Exclude<TokenAlgorithm, { family: 'hss' }>, id: string, key: TokenPublicKey): Promise<void> => {
    if (!await wraps(session, token)) return;
    const { kek, value } = await importKek(session);
    told(await session.attributes(kek), { token: false, sensitive: true, extractable: false, local: false });
    if (twin().unwrappable.includes(algorithm.name)) {
      assert.notEqual(token.notWrappable(algorithm), null);
      await assert.rejects(session.wrap({ class: 'private-key', id }, kek), TokenError);
      return;
    }
    assert.equal(token.notWrappable(algorithm), null);
    const { wrapped } = await session.wrap({ class: 'private-key', id }, kek);
    // An implementation that is neither twin opens it: RFC 5649 over PKCS#8 of this very key, whatever the mechanism is called.
    const pkcs8 = filledUp(aeskwp(value).decrypt(wrapped));
    assert.deepEqual((await readPrivateKey(pkcs8)).publicKey.spki, key.spki);

    const again = { class: 'private-key', id: freshId(), lives: 'session' } as const;
    await session.unwrap({ wrapped, under: kek, algorithm, id: again.id, label: 'recovered' });
    told(await session.attributes(again), {
      token: false, sensitive: true, extractable: false, local: false, alwaysSensitive: false, neverExtractable: false, generatedBy: null,
    });
    await signs(session, again, key, algorithm);
    assert.equal((await session.list(0, 10)).total, 2, 'session objects are not token objects');
    await session.destroy(again);
    await session.destroy(kek);
    assert.deepEqual(await session.find(again), []);
  };

  for (const name of ROOT_ALGORITHMS) {
    const algorithm = ALGORITHMS[name];
    ability(`${name}: generates, reads back, signs, wraps, unwraps`, [generating(algorithm)],
      (session) => session.generateKeyPair({ algorithm, id: freshId(), label: 'x', extractable: true }),
      async (session, token) => {
        const { id, key } = await freshPair(session, algorithm, true);
        const own = { class: 'private-key', id } as const;
        await signs(session, own, key, algorithm);
        if (algorithm.family === 'rsa' && !lacks(pssMechanism(algorithm)) && await lists(token, pssMechanism(algorithm))) await signs(session, own, key, algorithm, { padding: 'pss' });
        else await assert.rejects(session.sign(own, algorithm, randomBytes(77), { padding: 'pss' }), TokenError);
        await assert.rejects(session.sign(own, algorithm, randomBytes(77), { context: Uint8Array.of(1) }), TokenError, 'no context in classical signatures');
        await travels(session, token, algorithm, id, key);
      }, algorithm.name);
  }

  for (const algorithm of [ALGORITHMS['ml-dsa-44'], ALGORITHMS['ml-dsa-65'], ALGORITHMS['ml-dsa-87'], ...SLH_DSAS]) {
    ability(`${algorithm.name}: generates, reads back, signs with and without context, wraps, unwraps`,
      [generating(algorithm), mechanismName(algorithm.pkcs11.sign) as MechanismName],
      (session) => session.generateKeyPair({ algorithm, id: freshId(), label: 'x', extractable: true }),
      async (session, token) => {
        const { id, key } = await freshPair(session, algorithm, true);
        const own = { class: 'private-key', id } as const;
        // FIPS 204 algorithm 2 and FIPS 205 algorithm 22 count the context in one byte.
        const longest = new Uint8Array(255).fill(0x63);
        await signs(session, own, key, algorithm, { context: longest });
        // The "s" sets of SLH-DSA take seconds for a signature: this one, and one of the recovered key below.
        if (!algorithm.name.endsWith('s')) {
          await signs(session, own, key, algorithm);
          await signs(session, own, key, algorithm, { context: Uint8Array.of(0) });
          assert.equal(await fits(key, longest, await session.sign(own, algorithm, longest, { context: new Uint8Array() })), true, 'an empty context is none');
        }
        await assert.rejects(session.sign(own, algorithm, randomBytes(77), { context: new Uint8Array(256) }), TokenError);
        await assert.rejects(session.sign(own, algorithm, randomBytes(77), { padding: 'pss' }), TokenError);
        await travels(session, token, algorithm, id, key);
      }, algorithm.name);
  }

  test('stateful keys are counted, or not made at all', () => working(async (session, token) => {
    const id = freshId();
    const make = () => session.generateKeyPair({ algorithm: HSS_LMS, id, label: 'stateful', extractable: false });
    if (await lists(token, generating(HSS_LMS))) {
      await make();
      const { keysRemaining, extractable } = await session.attributes({ class: 'private-key', id });
      assert.ok(keysRemaining !== null && keysRemaining > 0);
      assert.equal(extractable, false);
    } else {
      await assert.rejects(make(), tokenError('CKR_MECHANISM_INVALID'));
      assert.equal((await session.list(0, 10)).total, 0);
    }
  }));

  for (const algorithm of Object.values(ML_KEMS)) {
    ability(`${algorithm.name}: agrees with an implementation of its own, both ways`,
      [generating(algorithm), mechanismName(algorithm.pkcs11.mechanism) as MechanismName],
      (session) => session.generateKeyPair({ algorithm, id: freshId(), label: 'x', extractable: true }),
      async (session) => {
        const id = freshId();
        const [own, peer] = [{ class: 'private-key', id }, { class: 'public-key', id }] as const;
        const generatedBy = await session.generateKeyPair({ algorithm, id, label: 'KEM', extractable: true });
        const attributes = await session.attributes(own);
        told(attributes, {
          class: 'private-key', keyType: 'CKK_ML_KEM', id, label: 'KEM', token: true, private: true, sensitive: true, extractable: true,
          alwaysSensitive: true, neverExtractable: false, local: true, generatedBy, keysRemaining: null,
        });
        serves(attributes);
        serves(await session.attributes(peer));
        const raw = await session.kemPublicKey(peer, algorithm);
        assert.equal(raw.length, algorithm.publicKeyBytes);

        const scheme = ML_KEM[algorithm.name];
        const outside = scheme.encapsulate(raw);
        const inside = await session.decapsulate(own, algorithm, outside.cipherText);
        assert.deepEqual(Uint8Array.from(inside.bytes), outside.sharedSecret);
        inside.wipe();

        const { ciphertext, secret } = await session.encapsulate(peer, algorithm);
        assert.equal(ciphertext.length, algorithm.ciphertextBytes);
        assert.equal(secret.bytes.length, 32);
        const back = await session.decapsulate(own, algorithm, ciphertext);
        assert.deepEqual(back.bytes, secret.bytes);
        const { kek, value } = await importKek(session);
        if (twin().unwrappable.includes(algorithm.name)) await assert.rejects(session.wrap(own, kek), TokenError);
        else {
          // RFC 9935 section 6: the seed is what the PKCS#8 ends with, in the form that is written.
          const seed = (await seedFormOf(filledUp(aeskwp(value).decrypt((await session.wrap(own, kek)).wrapped)))).slice(-algorithm.seedBytes);
          const { publicKey, secretKey } = scheme.keygen(seed);
          assert.deepEqual(publicKey, raw);
          assert.deepEqual(scheme.decapsulate(ciphertext, secretKey), Uint8Array.from(secret.bytes));
        }
        const twice = await session.encapsulate(peer, algorithm);
        assert.notDeepEqual(twice.secret.bytes, secret.bytes);

        // FIPS 203 section 6.3: a changed ciphertext gives another secret and no error; another length is no ciphertext.
        const changed = Uint8Array.from(ciphertext);
        changed[7]! ^= 1;
        const other = await session.decapsulate(own, algorithm, changed);
        assert.notDeepEqual(other.bytes, secret.bytes);
        for (const wrong of [ciphertext.subarray(1), new Uint8Array(0), new Uint8Array(ciphertext.length + 1)]) {
          await assert.rejects(session.decapsulate(own, algorithm, wrong), TokenError);
        }
        await assert.rejects(session.sign(own, ALGORITHMS['ecdsa-p256'], randomBytes(8)), TokenError, 'a key for agreement does not sign');
        await session.destroy(kek);
        assert.deepEqual(await ofSession(session, 'secret-key'), [], 'no shared secret stays behind');

        if (await doubled(() => session.generateKeyPair({ algorithm, id, label: 'same', extractable: false }))) {
          await assert.rejects(session.decapsulate(own, algorithm, ciphertext), refusal('ONE-MATCH'));
          await assert.rejects(session.encapsulate(peer, algorithm), refusal('ONE-MATCH'));
          await assert.rejects(session.kemPublicKey(peer, algorithm), refusal('ONE-MATCH'));
        }
        const again = await session.decapsulate({ ...own, label: 'KEM' }, algorithm, ciphertext);
        assert.deepEqual(again.bytes, secret.bytes);
      }, algorithm.name);
  }

  test('a key that signs does not decapsulate', () => working(async (session) => {
    const { id } = await freshPair(session, ALGORITHMS['ecdsa-p256'], false);
    const algorithm = ML_KEMS['ml-kem-768'];
    await assert.rejects(session.decapsulate({ class: 'private-key', id }, algorithm, new Uint8Array(algorithm.ciphertextBytes)), TokenError);
    await assert.rejects(session.encapsulate({ class: 'public-key', id }, algorithm), TokenError);
  }));

  const SEALED = { class: 'secret-key', label: 'wrapping key' } as const;
  ability('a wrapping key made on the token never leaves it, and opens what it sealed in another session', ['CKM_AES_KEY_GEN'],
    (session) => session.generateWrappingKey({ id: freshId(), label: SEALED.label }),
    async (session, token) => {
      const id = freshId();
      const mechanism = await session.generateWrappingKey({ id, label: SEALED.label });
      assert.equal(mechanism, 'CKM_AES_KEY_GEN');
      const attributes = await session.attributes(SEALED);
      told(attributes, {
        class: 'secret-key', keyType: 'CKK_AES', id, label: SEALED.label, token: true, private: true, sensitive: true, extractable: false,
        alwaysSensitive: true, neverExtractable: true, local: true, modifiable: true, generatedBy: mechanism, keysRemaining: null,
      });
      serves(attributes, 'wrap', 'unwrap');

      // From one byte to a whole RSA-4096 or expanded ML-DSA-87 key. What would come back longer or not at all must be refused.
      const { padsWrapped, largestSecret = Infinity } = twin().quirks;
      const keys = [20, 21, 22, 23, 24, 25, 26, 27, 200, 2371, 4946].map((content) => ({ value: keyLike(content), comesBack: true }));
      const strings = [1, 7, 8, 9, 32, 54, 256, 2375, 4952].map((length) => ({ value: Uint8Array.from(randomBytes(length)), comesBack: !padsWrapped || length % 8 === 0 }));
      const values: Uint8Array[] = [];
      const sealed: Uint8Array[] = [];
      for (const { value, comesBack } of [...keys, ...strings]) {
        if (!comesBack || value.length > largestSecret) {
          await assert.rejects(session.sealBytes(SEALED, value), TokenError);
          continue;
        }
        const { wrapped } = await session.sealBytes(SEALED, value);
        assert.equal(wrapped.length, 8 * Math.ceil(value.length / 8) + 8); // RFC 5649 section 3
        assert.ok(value.length < 8 || !Buffer.from(wrapped).includes(Buffer.from(value)));
        values.push(value);
        sealed.push(wrapped);
      }
      assert.ok(values.length >= 10);
      await assert.rejects(session.sealBytes(SEALED, new Uint8Array(0)), TokenError);
      assert.deepEqual(await ofSession(session, 'secret-key'), [], 'what carried the bytes is destroyed again');
      assert.equal((await session.list(0, 10)).total, 1);
      await session.logout();

      const later = await token.open();
      await assert.rejects(later.openBytes(SEALED, sealed[0]!), refusal('ONE-MATCH'), 'invisible without login');
      await later.login(PIN);
      for (const [index, value] of values.entries()) {
        const opened = await later.openBytes(SEALED, sealed[index]!);
        assert.deepEqual(Uint8Array.from(opened.bytes), value);
        opened.wipe();
      }
      assert.deepEqual(await ofSession(later, 'secret-key'), []);
      await later.destroy(SEALED);
      await assert.rejects(later.openBytes(SEALED, sealed[0]!), refusal('ONE-MATCH'));
      await later.close();
    });

  ability('sealed bytes: damaged, cut, foreign or under another key, they are refused and leave nothing', ['CKM_AES_KEY_GEN'],
    (session) => session.generateWrappingKey({ id: freshId(), label: 'x' }),
    async (session) => {
      const [id, other] = [freshId(), freshId()];
      await session.generateWrappingKey({ id, label: SEALED.label });
      await session.generateWrappingKey({ id: other, label: 'another', lives: 'session' });
      const stranger = { class: 'secret-key', id: other, lives: 'session' } as const;
      assert.equal((await session.attributes(stranger)).token, false);
      const value = keyLike(47);
      const { wrapped } = await session.sealBytes(SEALED, value);
      for (let at = 0; at < wrapped.length; at += 5) {
        const damaged = Uint8Array.from(wrapped);
        damaged[at]! ^= 0x80;
        await assert.rejects(session.openBytes(SEALED, damaged), TokenError);
      }
      for (const cut of [new Uint8Array(0), wrapped.subarray(0, 8), wrapped.subarray(8), wrapped.subarray(0, -8), wrapped.subarray(0, -1), Uint8Array.from(randomBytes(64))]) {
        await assert.rejects(session.openBytes(SEALED, cut), TokenError);
      }
      await assert.rejects(session.openBytes(stranger, wrapped), TokenError);
      assert.deepEqual((await ofSession(session, 'secret-key')).map((object) => object.id), [other], 'nothing half opened stays behind');

      await assert.rejects(session.sealBytes({ class: 'secret-key', id: freshId() }, value), refusal('ONE-MATCH'));
      if (await doubled(() => session.generateWrappingKey({ id, label: 'same id' }))) {
        await assert.rejects(session.openBytes({ class: 'secret-key', id }, wrapped), refusal('ONE-MATCH'));
        await assert.rejects(session.sealBytes({ class: 'secret-key', id }, value), refusal('ONE-MATCH'));
      }
      assert.deepEqual(Uint8Array.from((await session.openBytes({ ...SEALED, id }, wrapped)).bytes), value);
    });

  test('sealing is RFC 5649, byte for byte: what another implementation seals under the same key opens, and the other way round', () => working(async (session, token) => {
    if (!await wraps(session, token)) return;
    const { kek, value: kekBytes } = await importKek(session);
    const bytes = (length: number) => Uint8Array.from(randomBytes(length));
    for (const value of [keyLike(20), keyLike(201), bytes(8), bytes(192), ...(twin().quirks.padsWrapped ? [] : [bytes(1), bytes(190)])]) {
      const { mechanism, wrapped } = await session.sealBytes(kek, value);
      assert.match(mechanism, /^CKM_AES_KEY_WRAP/);
      const elsewhere = aeskwp(kekBytes).encrypt(value);
      if (value.length % 8 === 0 || !twin().quirks.padsWrapped) assert.deepEqual(wrapped, elsewhere, 'deterministic, so equal');
      else assert.deepEqual(filledUp(aeskwp(kekBytes).decrypt(wrapped)), value);
      for (const foreign of [wrapped, elsewhere]) {
        const opened = await session.openBytes(kek, foreign);
        assert.deepEqual(Uint8Array.from(opened.bytes), value);
        opened.wipe();
      }
    }
  }));

  ability('a private key travels under a wrapping key of the token as under any other', ['CKM_AES_KEY_GEN'],
    (session) => session.generateWrappingKey({ id: freshId(), label: 'x' }),
    async (session) => {
      const algorithm = ALGORITHMS['ecdsa-p384'];
      await session.generateWrappingKey({ id: freshId(), label: SEALED.label });
      const { id, key } = await freshPair(session, algorithm, true);
      const { wrapped } = await session.wrap({ class: 'private-key', id }, SEALED);
      const again = { class: 'private-key', id: freshId(), lives: 'session' } as const;
      await session.unwrap({ wrapped, under: SEALED, algorithm, id: again.id, label: 'recovered' });
      await signs(session, again, key, algorithm);
      await assert.rejects(session.sealBytes({ ...SEALED, lives: 'session' }, Uint8Array.of(1)), refusal('ONE-MATCH'), 'it lives on the token, not in the session');
    });

  test('extractable goes one way, and what was made unextractable says so', () => working(async (session, token) => {
    const algorithm = ALGORITHMS['ecdsa-p256'];
    const kek = await wraps(session, token) ? (await importKek(session)).kek : null;
    const stays = async (id: string): Promise<void> => {
      if (kek !== null) await assert.rejects(session.wrap({ class: 'private-key', id }, kek), tokenError('CKR_KEY_UNEXTRACTABLE'));
    };
    const locked = freshId();
    await session.generateKeyPair({ algorithm, id: locked, label: 'to be locked', extractable: true });
    await session.makeNonExtractable({ class: 'private-key', id: locked });
    told(await session.attributes({ class: 'private-key', id: locked }), { extractable: false, neverExtractable: false, sensitive: true, sign: true });
    await stays(locked);
    await session.makeNonExtractable({ class: 'private-key', id: locked });
    const never = freshId();
    await session.generateKeyPair({ algorithm, id: never, label: 'never', extractable: false });
    told(await session.attributes({ class: 'private-key', id: never }), { extractable: false, neverExtractable: true });
    await stays(never);
  }));

  test('a key pair for the session alone is gone with it, or is not made', async () => {
    const token = await blank();
    const session = await token.open();
    await session.login(PIN);
    const request = { algorithm: ALGORITHMS['ecdsa-p256'], id: freshId(), label: 'for a moment', extractable: false, lives: 'session' } as const;
    if (twin().quirks.sessionKeyPairs) {
      await session.generateKeyPair(request);
      assert.equal((await ofSession(session, 'private-key')).length, 1);
    } else await assert.rejects(session.generateKeyPair(request), fault('SESSION_KEYS_STAY'));
    await session.close();
    const later = await token.open();
    await later.login(PIN);
    assert.equal((await later.list(0, 10)).total, 0);
    assert.deepEqual(await ofSession(later, 'private-key'), []);
    await later.close();
  });

  test('a damaged or foreign wrapped key is refused and leaves nothing', () => working(async (session, token) => {
    if (!await wraps(session, token)) return;
    const algorithm = ALGORITHMS['ecdsa-p256'];
    const { kek } = await importKek(session);
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
    await assert.rejects(session.publicKey({ class: 'public-key', id }, algorithm), refusal('ONE-MATCH'));
    await assert.rejects(session.kemPublicKey({ class: 'public-key', id }, ML_KEMS['ml-kem-768']), refusal('ONE-MATCH'));
    await assert.rejects(session.sealBytes({ class: 'secret-key', id }, Uint8Array.of(1)), refusal('ONE-MATCH'));
    await session.generateKeyPair({ algorithm, id, label: 'first', extractable: false });
    if (!await doubled(() => session.generateKeyPair({ algorithm, id, label: 'second', extractable: false }))) {
      assert.deepEqual((await session.find({ class: 'private-key', id })).map(({ label }) => label), ['first']);
      return;
    }
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
    if (await keepsNone(session)) return session.close();
    const long = Uint8Array.from(randomBytes(Math.min(65_536, twin().largestData ?? Infinity)));
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
    if (await keepsNone(session)) return;
    const { cStrings, longestLabel = Infinity } = twin().quirks;
    const labels = ['\u202ecod.exe', 'a\0b', '\u001b[31mred', '" onload="x', '<script>', 'é'.repeat(200), 'é'.repeat(127), 'line\nbreak', '\ufeffmark', "'; drop table"];
    // What would be cut off is refused.
    const cut = labels.filter((label) => (cStrings && label.includes('\0')) || Buffer.byteLength(label) > longestLabel);
    for (const label of cut) await assert.rejects(session.putData(label, Uint8Array.of(1)), tokenError('CKR_ATTRIBUTE_VALUE_INVALID'));
    const hostile = labels.filter((label) => !cut.includes(label));
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
    if (await keepsNone(session)) return;
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
