/**
 * Both libraries against the official vectors and against each other, what happens where one of them computes wrongly, and
 * work that takes long. Everything here is the real thing: a library that is "off" is one whose known answer was altered.
 */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, test } from 'node:test';
import { aeskw, aeskwp } from '@noble/ciphers/aes.js';
import { concat, fromBase64url, fromHex, toHex, utf8 } from '../../../ceremonies/bytes.ts';
import {
  CA_ALGORITHMS, caAlgorithmNamed, compositeNamed, componentsOf, isAlgorithmName, isStateful, ML_KEMS, SLH_DSAS, type Component, type MlDsaName,
} from '../../../ceremonies/keys/algorithms.ts';
import { compositeMessage, compositePreHash, readCompositePublicKey, signComposite, splitCompositeSignature, verifyComposite } from '../../../ceremonies/keys/composite.ts';
import { derParts, readBitString, readDer, TAG, writeDer, writeIdentifier } from '../../../ceremonies/keys/der.ts';
import { readPrivateKey, seedFormOf, wrapTraditional } from '../../../ceremonies/keys/private-key.ts';
import { parsePublicKey } from '../../../ceremonies/keys/public-key.ts';
import { verifySignature } from '../../../ceremonies/keys/signatures.ts';
import { readSubjectKey, SLH_DSA } from '../../../ceremonies/keys/subject-key.ts';
import { readEcPrivateKey, rsaPkcs8, verifyHalf } from '../../../ceremonies/keys/traditional.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { Fault } from '../../../electron/devices/errors.ts';
import { KNOWN_ANSWERS, PROVIDERS, Providers, proveProviders, signWith, generateSecret, type KnownAnswer, type ProviderName } from '../../../electron/devices/providers.ts';
import { base64, kemVectors, pemFile, signatureVectors, vectorFile, vectorJson } from '../../ceremonies/keys/vectors.ts';

const NAMES: readonly ProviderName[] = ['noble', 'node'];
const MESSAGE = utf8('conclave test message');
const NONE: Uint8Array = new Uint8Array();
const STATEFUL_PARTS: readonly Component[] = ['hss-lms', 'xmss-sha2-10-256', 'xmssmt-sha2-20-2-256'].map((name) => componentsOf(caAlgorithmNamed(name))[0]!);

const refused = (rule: string) => (error: unknown): boolean => error instanceof Refused && error.refusal.rule === rule;
const wasCancelled = (error: unknown): boolean => error instanceof Fault && error.code === 'WORK_CANCELLED';
const part = (algorithm: string, which: Component['part'] = 'key'): Component => componentsOf(caAlgorithmNamed(algorithm)).find((one) => one.part === which)!;
/** Without an answer to give, a library is off for everything. */
const only = (name: ProviderName): Providers => new Providers({ noble: {}, node: {}, [name]: KNOWN_ANSWERS });
const flipped = (bytes: Uint8Array, at: number): Uint8Array => {
  const copy = bytes.slice();
  copy[at < 0 ? copy.length + at : at]! ^= 1;
  return copy;
};

/** Does a signature as `signWith` gives it fit? By the code that verifies certificates and records, not by a provider. */
async function fits(of: Component, spki: Uint8Array, message: Uint8Array, signature: Uint8Array, context: Uint8Array = NONE): Promise<boolean> {
  const key = readSubjectKey(spki);
  if (of.half !== null) return verifyHalf(of.half, key.raw, message, signature);
  if (key.kind === 'slh-dsa') return SLH_DSA[key.row.name].verify(signature, message, key.raw, { context });
  if (key.kind === 'ml-dsa') return PROVIDERS.noble.verify(key, key.raw, message, signature, context);
  assert.ok(isAlgorithmName(of.name));
  return verifySignature(parsePublicKey(spki, of.name), message, signature);
}

// --- the known answers themselves ----------------------------------------------------------------------------------------

const { m, ctx, tests } = signatureVectors();
const composites = tests.filter((one) => !one.tcId.startsWith('id-ML-DSA')).map((one) => {
  const row = compositeNamed(one.tcId);
  const key = readCompositePublicKey(row, base64(one.pk));
  const [s, sWithContext] = [base64(one.s), base64(one.sWithContext)];
  return {
    row, key, seed: base64(one.sk).slice(0, 32), secret: base64(one.sk).slice(32), parts: componentsOf(row), label: utf8(row.domain),
    plain: { message: compositeMessage(row, compositePreHash(row, m)), whole: s, ...splitCompositeSignature(row, s) },
    withContext: { message: compositeMessage(row, compositePreHash(row, m), ctx), whole: sWithContext, ...splitCompositeSignature(row, sWithContext) },
  };
});

test('every known answer is the official one, whole in test/vectors', () => {
  const sha256 = (bytes: Uint8Array): string => hash('sha256', bytes, 'hex');
  const seen: Record<string, KnownAnswer> = {};
  for (const size of [44, 65, 87]) {
    const vector = vectorJson(`jose/ML_DSA_${size}.jose.json`) as Record<'priv' | 'raw_to_be_signed' | 'raw_signature' | 'raw_public_key', string>;
    seen[`ml-dsa-${size}`] = {
      secret: vector.priv, publicKeySha256: sha256(fromHex(vector.raw_public_key)), message: vector.raw_to_be_signed, signatureSha256: sha256(fromHex(vector.raw_signature)),
    };
  }
  const rfc9935 = vectorFile('mlkem-x509/ML-KEM-512-seed.priv.der').slice(-64);
  seen['ml-kem-512'] = { secret: toHex(rfc9935), publicKeySha256: sha256(readSubjectKey(pemFile('mlkem-x509/ML-KEM-512.pub')).raw) };
  for (const { tcId, dk, ek, c, k } of kemVectors().tests.filter((one) => one.tcId.startsWith('id-alg-'))) {
    seen[tcId.replace('id-alg-', '')] = { secret: toHex(base64(dk)), publicKeySha256: sha256(base64(ek)), ciphertext: base64url(base64(c)), sharedSecret: toHex(base64(k)) };
  }
  const [tbs, , signature] = derParts(readDer(pemFile('slhdsa-x509/id-slh-dsa-sha2-128s.pem'), 'certificate'), 'certificate');
  seen['slh-dsa'] = {
    publicKey: toHex(readSubjectKey(pemFile('slhdsa-x509/id-slh-dsa-sha2-128s.pub')).raw), message: toHex(tbs!.bytes), signature: base64url(readBitString(signature, 'signature')),
  };
  const halves = Object.keys(KNOWN_ANSWERS).filter((name) => !(name in seen));
  for (const name of halves) {
    const one = composites.find(({ plain }) => base64url(plain.traditional) === KNOWN_ANSWERS[name]!.signature);
    assert.ok(one !== undefined, `${name} is no official half`);
    const half = one.row.traditional;
    assert.equal(name, half.kind === 'rsa' ? `rsa-${half.padding}-${half.hash}` : half.curve);
    const secret = half.kind === 'rsa' ? {} : { secret: toHex(half.kind === 'ecdsa' ? readEcPrivateKey(one.secret, half.curve, name, true) : one.secret) };
    seen[name] = { ...secret, publicKey: toHex(one.key.traditional), message: toHex(one.plain.message), signature: base64url(one.plain.traditional) };
  }
  assert.equal(halves.length, 11);
  assert.deepEqual(seen, { ...KNOWN_ANSWERS });
});

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}

// --- official vectors against each library -------------------------------------------------------------------------------

/** The halves of an official composite key as PKCS#8, in the form in which this house writes them. */
function halfKeys({ row, seed, secret }: (typeof composites)[number]): { readonly mlDsa: Uint8Array; readonly traditional: Uint8Array } {
  const pkcs8 = (oid: string, content: Uint8Array): Uint8Array => writeDer(TAG.sequence, Uint8Array.of(TAG.integer, 1, 0), writeIdentifier(oid, null), writeDer(TAG.octetString, content));
  const half = row.traditional;
  const arc = { 'ml-dsa-44': 17, 'ml-dsa-65': 18, 'ml-dsa-87': 19 }[row.mlDsa];
  const edwards = (curve: 'Ed25519' | 'Ed448'): Uint8Array => pkcs8(curve === 'Ed25519' ? '1.3.101.112' : '1.3.101.113', writeDer(TAG.octetString, secret));
  return {
    mlDsa: pkcs8(`2.16.840.1.101.3.4.3.${arc}`, writeDer(0x80, seed)),
    traditional: half.kind === 'rsa' ? rsaPkcs8(secret) : half.kind === 'ecdsa' ? wrapTraditional('ec', secret) : edwards(half.curve),
  };
}

for (const name of NAMES) {
  const provider = PROVIDERS[name];
  const providers = only(name);

  describe(name, () => {
    test('composite signatures of the draft: each half verifies, with context and without, and not with the other\'s', async () => {
      assert.equal(composites.length, 18);
      for (const { row, key, plain, withContext, label } of composites) {
        const mlDsa = { kind: 'ml-dsa', name: row.mlDsa } as const;
        for (const [one, other] of [[plain, withContext], [withContext, plain]] as const) {
          assert.equal(await provider.verify(mlDsa, key.mlDsa, one.message, one.mlDsa, label), true, row.name);
          assert.equal(await provider.verify(mlDsa, key.mlDsa, one.message, one.mlDsa, NONE), false, 'another context');
          assert.equal(await provider.verify(mlDsa, key.mlDsa, other.message, one.mlDsa, label), false, 'another message');
          if (row.traditional.kind === 'rsa' && name === 'noble') continue;
          assert.equal(await provider.verify(row.traditional, key.traditional, one.message, one.traditional, NONE), true, row.name);
          assert.equal(await provider.verify(row.traditional, key.traditional, other.message, one.traditional, NONE), false, 'another message');
          assert.equal(await provider.verify(row.traditional, key.traditional, one.message, flipped(one.traditional, -1), NONE), false, 'another signature');
        }
      }
    });

    test('composite private keys of the draft sign, half by half, what their public keys verify', async () => {
      for (const vector of composites) {
        const { row, key, parts } = vector;
        const keys = halfKeys(vector);
        const signed = signComposite(row, {
          mlDsa: (message, context) => providers.signWith(parts[0]!, keys.mlDsa, message, { context }),
          traditional: (message) => providers.signWith(parts[1]!, keys.traditional, message),
        }, MESSAGE, ctx);
        if (row.traditional.kind === 'rsa' && name === 'noble') await assert.rejects(signed, refused('SOFTWARE-PROVIDER'));
        else assert.deepEqual((await verifyComposite(key, MESSAGE, await signed, ctx)).findings, [], row.name);
      }
    });

    test('the keys and certificates of RFC 9881, RFC 9909 and RFC 9935', async () => {
      const certified = async (file: string, verify: (message: Uint8Array, signature: Uint8Array) => Promise<boolean>): Promise<void> => {
        const [tbs, , signature] = derParts(readDer(pemFile(file), file), file);
        assert.equal(await verify(tbs!.bytes, readBitString(signature, file)), true, file);
        assert.equal(await verify(flipped(tbs!.bytes, -1), readBitString(signature, file)), false, file);
      };
      for (const size of [44, 65, 87]) {
        const scheme = { kind: 'ml-dsa', name: `ml-dsa-${size}` as MlDsaName } as const;
        const publicKey = provider.publicKey(scheme, vectorFile(`mldsa-x509/ML-DSA-${size}-seed.priv.der`));
        assert.deepEqual(publicKey, readSubjectKey(pemFile(`mldsa-x509/ML-DSA-${size}.pub`)).raw);
        await certified(`mldsa-x509/ML-DSA-${size}.crt`, (message, signature) => provider.verify(scheme, publicKey, message, signature, NONE));
      }
      const slhDsa = { kind: 'slh-dsa', row: SLH_DSAS[0]! } as const;
      const publicKey = provider.publicKey(slhDsa, vectorFile('slhdsa-x509/id-slh-dsa-sha2-128s.priv.der'));
      assert.deepEqual(publicKey, readSubjectKey(pemFile('slhdsa-x509/id-slh-dsa-sha2-128s.pub')).raw);
      await certified('slhdsa-x509/id-slh-dsa-sha2-128s.pem', (message, signature) => provider.verify(slhDsa, publicKey, message, signature, NONE));
      for (const row of Object.values(ML_KEMS)) {
        const seed = vectorFile(`mlkem-x509/${row.label}-seed.priv.der`);
        assert.deepEqual(provider.publicKey({ kind: 'ml-kem', row }, seed), readSubjectKey(pemFile(`mlkem-x509/${row.label}.pub`)).raw, row.label);
      }
    });

    for (const size of ['65', '87']) {
      test(`Wycheproof ML-DSA-${size} verify`, async () => {
        interface Group { readonly publicKey: string; readonly tests: readonly { tcId: number; flags: readonly string[]; msg: string; sig: string; ctx?: string; result: string }[] }
        const scheme = { kind: 'ml-dsa', name: `ml-dsa-${size}` as MlDsaName } as const;
        const { testGroups } = vectorJson(`wycheproof/mldsa_${size}_verify_test.json`) as { testGroups: readonly Group[] };
        const results = new Set<string>();
        for (const { publicKey, tests: cases } of testGroups) {
          for (const one of cases) {
            const valid = provider.verify(scheme, fromHex(publicKey), fromHex(one.msg), fromHex(one.sig), fromHex(one.ctx ?? '')).catch((error: unknown) => {
              assert.ok(refused('KEY-ENCODING')(error) && one.flags.includes('IncorrectPublicKeyLength'), String(error));
              return false;
            });
            assert.equal(await valid, one.result === 'valid', `case ${one.tcId}: ${one.flags.join(', ')}`);
            results.add(one.result);
          }
        }
        assert.equal(results.size, 2);
      });
    }

    test('Wycheproof ML-KEM-768, and the ML-KEM keys of the composite draft', async () => {
      interface Case { readonly tcId: number; readonly seed: string; readonly ek: string; readonly c: string; readonly K: string; readonly result: string }
      const { testGroups } = vectorJson('wycheproof/mlkem_768_test.json') as { testGroups: readonly { tests: readonly Case[] }[] };
      const row = ML_KEMS['ml-kem-768'];
      const keyOf = (seed: Uint8Array): Uint8Array => concat(vectorFile('mlkem-x509/ML-KEM-768-seed.priv.der').slice(0, -64), seed);
      let valid = 0;
      for (const one of testGroups.flatMap((group) => group.tests)) {
        const opened = providers.decapsulate(row, keyOf(fromHex(one.seed)), fromHex(one.c));
        if (one.result === 'valid') {
          assert.equal(toHex(provider.publicKey({ kind: 'ml-kem', row }, keyOf(fromHex(one.seed)))), one.ek);
          assert.equal(toHex(await opened), one.K, `case ${one.tcId}`);
          valid++;
        } else await assert.rejects(opened, (error) => error instanceof Refused, `case ${one.tcId}`);
      }
      assert.ok(valid >= 2);
    });

    test('ML-KEM: what one library closes the other opens; lengths and moduli are judged first', async () => {
      for (const row of Object.values(ML_KEMS)) {
        const { pkcs8, spki, provider: by } = await providers.generateSecret(row);
        assert.equal(by, name);
        const { raw } = readSubjectKey(spki);
        const { ciphertext, sharedSecret } = await providers.encapsulate(row, raw);
        for (const other of NAMES) assert.deepEqual(await only(other).decapsulate(row, pkcs8, ciphertext), sharedSecret, `${row.label} by ${other}`);
        await assert.rejects(providers.decapsulate(row, pkcs8, ciphertext.slice(1)), refused('KEM-CIPHERTEXT'));
        await assert.rejects(providers.encapsulate(row, raw.slice(1)), refused('KEM-PUBLIC-KEY'));
        await assert.rejects(providers.encapsulate(row, new Uint8Array(raw.length).fill(255)), refused('KEM-MODULUS'));
      }
    });

    test('a fresh key of every algorithm: the one form, the right public key, a signature that fits and is hedged', async () => {
      const parts = new Map<string, Component>();
      for (const algorithm of CA_ALGORITHMS) {
        for (const one of componentsOf(caAlgorithmNamed(algorithm))) parts.set(one.half === null ? one.name : JSON.stringify(one.half), one);
      }
      for (const one of parts.values()) {
        // noble needs seconds for the small and slow sets; one of them signs below, and it verifies here all that node makes.
        if ((one.row !== null && isStateful(one.row)) || (name === 'noble' && one.row?.family === 'slh-dsa' && !/128f$/.test(one.name))) continue;
        if (name === 'noble' && (one.half?.kind === 'rsa' || one.row?.family === 'rsa')) {
          await assert.rejects(providers.generateSecret(one), refused('SOFTWARE-PROVIDER'), one.name);
          continue;
        }
        const { pkcs8, spki, provider: by } = await providers.generateSecret(one);
        assert.equal(by, name, one.name);
        // Reading computes the root of an SLH-DSA key anew, which takes seconds for the small sets; their signatures must do.
        if (!/^slh-dsa.*s$/.test(one.name)) {
          assert.deepEqual(await seedFormOf(pkcs8), pkcs8, `${one.name}: the form that is written`);
          assert.deepEqual((await readPrivateKey(pkcs8)).publicKey.spki, spki, one.name);
        }
        const takesContext = one.row?.family === 'ml-dsa' || one.row?.family === 'slh-dsa';
        const context = takesContext ? utf8('context') : NONE;
        const before = pkcs8.slice();
        const signature = await providers.signWith(one, pkcs8, MESSAGE, { context });
        assert.deepEqual(pkcs8, before, 'a borrowed key is neither moved nor changed');
        assert.equal(await fits(one, spki, MESSAGE, signature, context), true, one.name);
        assert.equal(await fits(one, spki, concat(MESSAGE, MESSAGE), signature, context), false, one.name);
        if (one.row?.family === 'ml-dsa') {
          assert.equal(await fits(one, spki, MESSAGE, signature), false, 'without the context');
          assert.notDeepEqual(await providers.signWith(one, pkcs8, MESSAGE, { context }), signature, 'hedged: no two alike');
        }
        if (!takesContext) await assert.rejects(providers.signWith(one, pkcs8, MESSAGE, { context: Uint8Array.of(1) }), refused('SIGNATURE-CONTEXT'));
      }
    });

    test('every key is taken in one form only, and none of another algorithm', async () => {
      const [mlDsa, ecdsa, ed25519] = [part('ml-dsa-65'), part('ecdsa-p256'), part('ed25519')];
      const { pkcs8 } = await providers.generateSecret(mlDsa);
      const sign = (of: Component, bytes: Uint8Array) => providers.signWith(of, bytes, MESSAGE);
      for (const bytes of [NONE, pkcs8.slice(1), concat(pkcs8, NONE, Uint8Array.of(0)), flipped(pkcs8, 0), flipped(pkcs8, 12), vectorFile('mldsa-x509/ML-DSA-65-both.priv.der')]) {
        await assert.rejects(sign(mlDsa, bytes), refused('PRIVATE-KEY-FORM'));
      }
      for (const other of [part('ml-dsa-44'), ecdsa, ed25519, part('slh-dsa-sha2-128f')]) await assert.rejects(sign(other, pkcs8), refused('PRIVATE-KEY-FORM'), other.name);
      await assert.rejects(sign(ecdsa, wrapTraditional('ec', composites.find(({ row }) => row.name === 'MLDSA65-ECDSA-P384-SHA512')!.secret)), refused('PRIVATE-KEY-FORM'));
    });

    test('contexts: 255 bytes and no more', async () => {
      const { pkcs8, spki } = await providers.generateSecret(part('ml-dsa-44'));
      const context = new Uint8Array(255).fill(7);
      assert.equal(await fits(part('ml-dsa-44'), spki, MESSAGE, await providers.signWith(part('ml-dsa-44'), pkcs8, MESSAGE, { context }), context), true);
      await assert.rejects(providers.signWith(part('ml-dsa-44'), pkcs8, MESSAGE, { context: new Uint8Array(256) }), refused('SIGNATURE-CONTEXT'));
    });
  });
}

// --- who works, and who may not ------------------------------------------------------------------------------------------

test('both libraries give every known answer here, and node works where both do', async () => {
  const providers = new Providers();
  for (const algorithm of ['ml-dsa-44', 'ml-dsa-65', 'ml-dsa-87', 'ecdsa-p384', 'ed25519']) assert.equal((await providers.generateSecret(part(algorithm))).provider, 'node');
  for (const row of Object.values(ML_KEMS)) assert.equal((await providers.generateSecret(row)).provider, 'node');
  assert.equal((await providers.generateSecret(part('slh-dsa-sha2-128f'))).provider, 'node');
  assert.equal(providers.now().length, 18);
  assert.deepEqual(providers.now().filter(({ on }) => !on), []);
});

/** A known answer with one thing altered that is compared for equality, so that a right library is a wrong one. */
function altered(algorithm: string, field: keyof KnownAnswer): Readonly<Record<string, KnownAnswer>> {
  const value = KNOWN_ANSWERS[algorithm]![field]!;
  const wrong = field === 'signature' || field === 'ciphertext' ? base64url(flipped(fromBase64url(value), -1)) : toHex(flipped(fromHex(value), -1));
  return { ...KNOWN_ANSWERS, [algorithm]: { ...KNOWN_ANSWERS[algorithm]!, [field]: wrong } };
}

test('a library with a wrong answer is off for that algorithm, for good, and it is reported; the other does the work', async () => {
  const wrongs: readonly (readonly [string, keyof KnownAnswer])[] = [
    ['ml-dsa-65', 'publicKeySha256'], ['ml-dsa-65', 'signatureSha256'], ['ml-dsa-65', 'message'], ['P-256', 'publicKey'], ['P-256', 'signature'], ['Ed448', 'secret'],
    ['brainpoolP384r1', 'message'],
  ];
  const parts: Readonly<Record<string, Component>> = {
    'ml-dsa-65': part('ml-dsa-65'), 'P-256': part('ecdsa-p256'), Ed448: part('MLDSA87-Ed448-SHAKE256', 'traditional'), brainpoolP384r1: part('MLDSA87-ECDSA-brainpoolP384r1-SHA512', 'traditional'),
  };
  for (const [algorithm, field] of wrongs) {
    for (const [bad, good] of [['node', 'noble'], ['noble', 'node']] as const) {
      const providers = new Providers({ node: KNOWN_ANSWERS, noble: KNOWN_ANSWERS, [bad]: altered(algorithm, field) });
      const one = parts[algorithm]!;
      const { pkcs8, spki, provider } = await providers.generateSecret(one);
      assert.equal(provider, good, `${algorithm} ${field}`);
      assert.equal(await fits(one, spki, MESSAGE, await providers.signWith(one, pkcs8, MESSAGE)), true);
      const states = providers.now().filter((state) => state.algorithm === algorithm).map(({ name, on, reason }) => ({ name, on, reason }));
      assert.deepEqual(states.find((state) => state.name === bad), { name: bad, on: false, reason: 'It gave a wrong answer where the right one is known.' });
      assert.deepEqual(states.find((state) => state.name === good), { name: good, on: true, reason: 'It gave the known answers.' });
      assert.equal(states.length, 2, 'each is tried once');
      if (bad === 'node' && algorithm === 'ml-dsa-65') assert.equal((await providers.generateSecret(part('ml-dsa-44'))).provider, 'node', 'other algorithms are not touched');
    }
  }
});

test('ML-KEM and SLH-DSA likewise; a decapsulation that differs is a wrong answer', async () => {
  const row = ML_KEMS['ml-kem-1024'];
  for (const field of ['ciphertext', 'sharedSecret', 'publicKeySha256'] as const) {
    const providers = new Providers({ noble: KNOWN_ANSWERS, node: altered('ml-kem-1024', field) });
    assert.equal((await providers.generateSecret(row)).provider, 'noble', field);
  }
  for (const field of ['signature', 'message', 'publicKey'] as const) {
    const providers = new Providers({ noble: altered('slh-dsa', field), node: KNOWN_ANSWERS });
    assert.equal((await providers.generateSecret(part('slh-dsa-shake-128f'))).provider, 'node', field);
    assert.deepEqual(providers.now().map(({ name, algorithm, on }) => ({ name, algorithm, on })), [{ name: 'node', algorithm: 'slh-dsa', on: true }, { name: 'noble', algorithm: 'slh-dsa', on: false }]);
  }
});

test('with no library left the work is refused by name', async () => {
  const wrong = altered('ml-dsa-87', 'signatureSha256');
  const providers = new Providers({ noble: wrong, node: wrong });
  await assert.rejects(providers.generateSecret(part('ml-dsa-87')), refused('SOFTWARE-PROVIDER'));
  await assert.rejects(new Providers({ noble: KNOWN_ANSWERS, node: {} }).generateSecret(part('rsa-3072')), refused('SOFTWARE-PROVIDER'));
});

test('stateful hash-based keys are never made or used in software', async () => {
  for (const part of STATEFUL_PARTS) {
    await assert.rejects(generateSecret(part), refused('STATEFUL-ON-TOKEN-ONLY'), part.name);
    await assert.rejects(signWith(part, NONE, MESSAGE), refused('STATEFUL-ON-TOKEN-ONLY'), part.name);
  }
});

test('the process\'s own instance reports what it tried', async () => {
  const { pkcs8, spki } = await generateSecret(part('ecdsa-p521'));
  assert.equal(await fits(part('ecdsa-p521'), spki, MESSAGE, await signWith(part('ecdsa-p521'), pkcs8, MESSAGE)), true);
  assert.deepEqual((await proveProviders([part('ecdsa-p521')])).map(({ name, algorithm, on }) => [name, algorithm, on]), [['node', 'P-521', true], ['noble', 'P-521', true]]);
});

test('a signature that does not fit is not given out: a damaged SLH-DSA key', async () => {
  const { pkcs8 } = await new Providers().generateSecret(part('slh-dsa-sha2-128f'));
  await assert.rejects(new Providers().signWith(part('slh-dsa-sha2-128f'), flipped(pkcs8, -1), MESSAGE), refused('SOFTWARE-SIGNATURE'));
});

// --- work that takes long ------------------------------------------------------------------------------------------------

/** How often the event loop came round while `work` was under way. */
async function turns<T>(work: Promise<T>): Promise<{ readonly result: T; readonly count: number; readonly ms: number }> {
  const begun = performance.now();
  let count = 0;
  const timer = setInterval(() => count++, 10);
  try {
    return { result: await work, count, ms: performance.now() - begun };
  } finally {
    clearInterval(timer);
  }
}

test('noble\'s SLH-DSA runs in a thread: a small slow key of RFC 9909 signs, and the event loop goes on', async () => {
  const slow = part('slh-dsa-sha2-128s');
  const pkcs8 = vectorFile('slhdsa-x509/id-slh-dsa-sha2-128s.priv.der');
  const { result, count } = await turns(only('noble').signWith(slow, pkcs8, MESSAGE, { context: utf8('c') }));
  assert.equal(await fits(slow, pemFile('slhdsa-x509/id-slh-dsa-sha2-128s.pub'), MESSAGE, result, utf8('c')), true);
  assert.ok(count >= 5, `${count} turns`);
});

test('long work is cancelled: before it begins, while a thread works, while native code works', async () => {
  const slow = part('slh-dsa-shake-256s');
  for (const name of NAMES) {
    await assert.rejects(only(name).generateSecret(slow, AbortSignal.abort()), wasCancelled, 'before');
    const { pkcs8 } = await new Providers().generateSecret(part('slh-dsa-sha2-256s'));
    const begin = new AbortController();
    setTimeout(() => begin.abort(), 30);
    await assert.rejects(only(name).signWith(part('slh-dsa-sha2-256s'), pkcs8, MESSAGE, {}, begin.signal), wasCancelled, name);
  }
  const making = new AbortController();
  const made = only('noble').generateSecret(slow, making.signal);
  setTimeout(() => making.abort(), 50);
  await assert.rejects(made, wasCancelled);

  const rsa = new AbortController();
  const ready = new Providers();
  await ready.generateSecret(part('rsa-3072')); // so that the known answers are behind us
  const pair = ready.generateSecret(part('MLDSA65-RSA4096-PSS-SHA512', 'traditional'), rsa.signal);
  rsa.abort();
  await assert.rejects(pair, wasCancelled);
});

test('a signal that comes too late changes nothing', async () => {
  const late = new AbortController();
  const { pkcs8 } = await new Providers().generateSecret(part('slh-dsa-sha2-128f'), late.signal);
  late.abort();
  assert.ok(pkcs8.some((octet) => octet !== 0));
});

// --- key wrap ------------------------------------------------------------------------------------------------------------

for (const [file, cipher, cases] of [['aes_kwp_test', aeskwp, 254], ['aes_wrap_test', aeskw, 165]] as const) {
  test(`Wycheproof ${file}: what wraps and opens keys here`, () => {
    interface Case { readonly tcId: number; readonly flags: readonly string[]; readonly key: string; readonly msg: string; readonly ct: string; readonly result: 'valid' | 'acceptable' | 'invalid' }
    const all = (vectorJson(`keywrap/${file}.json`) as { testGroups: readonly { tests: readonly Case[] }[] }).testGroups.flatMap((group) => group.tests);
    assert.equal(all.length, cases);
    for (const { tcId, flags, key, msg, ct, result } of all) {
      const open = (): string => toHex(cipher(fromHex(key)).decrypt(fromHex(ct)));
      if (result === 'valid') {
        assert.equal(toHex(cipher(fromHex(key)).encrypt(fromHex(msg))), ct, `case ${tcId}`);
        assert.equal(open(), msg, `case ${tcId}`);
      } else if (result === 'invalid') assert.throws(open, `case ${tcId}: ${flags.join(', ')}`);
      // RFC 3394 section 2: at least two blocks. One block, "acceptable", may be refused; it must not open to anything else.
      else assert.ok((() => { try { return open(); } catch { return msg; } })() === msg, `case ${tcId}`);
    }
  });
}
