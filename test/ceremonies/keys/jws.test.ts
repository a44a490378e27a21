import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { flattenedVerify, generalVerify, GeneralSign, importJWK } from 'jose';
import { fromBase64url, toBase64url, utf8 } from '../../../ceremonies/bytes.ts';
import {
  headersOf,
  parseGeneral,
  parseHeader,
  protectedHeader,
  SEAL_TYPE,
  signingInput,
  verifyAll,
  writeGeneral,
  type GeneralJws,
  type RequiredSigner,
} from '../../../ceremonies/keys/jws.ts';
import { thumbprint, toJwk, type PublicKey } from '../../../ceremonies/keys/public-key.ts';
import { mlDsaPublicFromSeed, signMlDsa65 } from '../../../ceremonies/keys/signatures.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { keyPair, type KeyPair } from './key-pairs.ts';
import { SEED } from './seed.ts';

interface Signer {
  readonly required: RequiredSigner;
  readonly signs: readonly [KeyPair['sign'], KeyPair['sign']];
}

let made = 0;
function signer(seat: string, classical: 'ecdsa-p256' | 'ecdsa-p384' | 'ed25519'): Signer {
  const pair = keyPair(classical);
  const seed = new Uint8Array(32).fill(++made);
  return {
    required: { signer: seat, classical: pair.publicKey, pq: mlDsaPublicFromSeed(seed) },
    signs: [pair.sign, (message) => Promise.resolve(signMlDsa65(seed, message, new Uint8Array(32).fill(3)))],
  };
}

const OFFICER = signer('officer', 'ecdsa-p256');
const WITNESS = signer('witness', 'ed25519');
const CUSTODIAN = signer('custodian-2', 'ecdsa-p384');
const ALL = [OFFICER, WITNESS, CUSTODIAN];
const required = ALL.map((one) => one.required);
const payload = toBase64url(utf8('{"count":117,"statement":"conclave-seal/1"}'));

type Signature = GeneralJws['signatures'][number];

async function signatures(one: Signer, over = payload, headers = headersOf(one.required)): Promise<Signature[]> {
  return Promise.all(
    headers.map(async (header, i) => ({ protected: header, signature: toBase64url(await one.signs[i]!(signingInput(header, over))) })),
  );
}

const SEAL: GeneralJws = { payload, signatures: (await Promise.all(ALL.map((one) => signatures(one)))).flat() };
const rules = async (jws: GeneralJws, who = required): Promise<string[]> => (await verifyAll(jws, who)).map((finding) => finding.rule);
const without = (...gone: readonly number[]): GeneralJws => ({ payload, signatures: SEAL.signatures.filter((_, i) => !gone.includes(i)) });
const replaced = (at: number, by: Partial<Signature>): GeneralJws => ({
  payload,
  signatures: SEAL.signatures.map((one, i) => (i === at ? { ...one, ...by } : one)),
});

test('a seal by everybody is valid, in any order of signatures, and survives writing and reading', async () => {
  assert.deepEqual(await rules(SEAL), []);
  assert.deepEqual(await rules({ payload, signatures: SEAL.signatures.toReversed() }), []);
  assert.deepEqual(parseGeneral(writeGeneral(SEAL)), SEAL);
  assert.deepEqual(parseGeneral(SEAL), SEAL);
});

test('jose verifies every signature by itself', async () => {
  for (const [i, one] of SEAL.signatures.entries()) {
    const owner = ALL[i >> 1]!.required;
    const key = i % 2 === 0 ? owner.classical : owner.pq;
    const { alg, kid, signer: seat, pair } = parseHeader(one.protected);
    const verified = await flattenedVerify({ payload, protected: one.protected, signature: one.signature }, await importJWK({ ...toJwk(key) }, alg));
    assert.deepEqual(verified.payload, fromBase64url(payload));
    assert.deepEqual({ ...verified.protectedHeader }, { alg, kid, signer: seat, pair, typ: SEAL_TYPE });
    assert.equal(kid, thumbprint(key));
  }
});

test('what jose signs with our headers, we accept', async () => {
  const { generateKeyPair, exportJWK } = await import('jose');
  const [classical, pq] = await Promise.all([generateKeyPair('ES256', { extractable: true }), generateKeyPair('ML-DSA-65', { extractable: true })]);
  const { fromJwk } = await import('../../../ceremonies/keys/public-key.ts');
  const publicOf = async (key: CryptoKey): Promise<PublicKey> => {
    const { kty, crv, x, y, alg, pub } = await exportJWK(key);
    return fromJwk(kty === 'EC' ? { kty, crv, x, y } : { kty, alg: alg ?? 'ML-DSA-65', pub });
  };
  const who: RequiredSigner = { signer: 'auditor', classical: await publicOf(classical.publicKey), pq: await publicOf(pq.publicKey) };
  const kids = [thumbprint(who.classical), thumbprint(who.pq)] as const;
  const jws = await new GeneralSign(fromBase64url(payload))
    .addSignature(classical.privateKey)
    .setProtectedHeader({ alg: 'ES256', kid: kids[0], pair: kids[1], signer: 'auditor', typ: SEAL_TYPE })
    .addSignature(pq.privateKey)
    .setProtectedHeader({ alg: 'ML-DSA-65', kid: kids[1], pair: kids[0], signer: 'auditor', typ: SEAL_TYPE })
    .sign();
  const signed = { payload: jws.payload, signatures: jws.signatures.map((one) => ({ protected: one.protected!, signature: one.signature })) };
  assert.deepEqual(await verifyAll(signed, [who]), []);
});

test('where jose is content with any one signature, we are not', async () => {
  const broken = replaced(1, { signature: toBase64url(new Uint8Array(3309)) });
  const key = await importJWK({ ...toJwk(OFFICER.required.classical) }, 'ES256');
  assert.ok(await generalVerify({ payload, signatures: broken.signatures.slice(0, 2).map((one) => ({ ...one })) }, key));
  assert.deepEqual(await rules({ payload, signatures: broken.signatures.slice(0, 2) }, [OFFICER.required]), ['SEAL-SIGNATURE-INVALID']);
});

test('each way of not being signed by everybody has its name', async () => {
  const stranger = signer('officer', 'ecdsa-p256');
  const [classical, pq] = await signatures(stranger);
  const swapped = headersOf({ signer: 'officer', classical: OFFICER.required.classical, pq: WITNESS.required.pq });
  const otherSeat = headersOf({ ...OFFICER.required, signer: 'witness' });
  const table: readonly (readonly [string, GeneralJws, readonly string[]])[] = [
    ['one half missing', without(1), ['SEAL-SIGNATURE-MISSING']],
    ['one person missing', without(2, 3), ['SEAL-SIGNATURE-MISSING', 'SEAL-SIGNATURE-MISSING']],
    ['a signature twice', { payload, signatures: [...SEAL.signatures, SEAL.signatures[0]!] }, ['SEAL-SIGNATURE-DOUBLED']],
    ['a foreign key besides', { payload, signatures: [...SEAL.signatures, classical!] }, ['SEAL-SIGNATURE-FOREIGN']],
    ['a foreign key instead', { payload, signatures: [...without(1).signatures, pq!] }, ['SEAL-SIGNATURE-FOREIGN', 'SEAL-SIGNATURE-MISSING']],
    ['over another payload', { ...SEAL, payload: toBase64url(utf8('{}')) }, Array<string>(6).fill('SEAL-SIGNATURE-INVALID')],
    ['under another seat', { payload, signatures: [...(await signatures(OFFICER, payload, otherSeat)), ...SEAL.signatures.slice(2)] }, ['SEAL-HEADER', 'SEAL-HEADER']],
    ['paired with another key', { payload, signatures: [(await signatures(OFFICER, payload, swapped))[0]!, ...SEAL.signatures.slice(1)] }, ['SEAL-HEADER']],
    ['signatures exchanged', replaced(0, { signature: SEAL.signatures[2]!.signature }), ['SEAL-SIGNATURE-INVALID']],
    ['an empty signature', replaced(0, { signature: '' }), ['SEAL-FORM']],
    ['no signatures', { payload, signatures: [] }, ['SEAL-FORM']],
  ];
  for (const [what, jws, expected] of table) assert.deepEqual(await rules(jws), expected, what);
});

test('the list of required signers itself must make sense', async () => {
  const twice = { ...WITNESS.required, classical: OFFICER.required.classical };
  const table: readonly (readonly [string, readonly RequiredSigner[]])[] = [
    ['nobody', []],
    ['one key for two people', [OFFICER.required, twice]],
    ['one seat twice', [OFFICER.required, { ...WITNESS.required, signer: 'officer' }]],
    ['two classical keys', [{ ...OFFICER.required, pq: WITNESS.required.classical }]],
    ['two ML-DSA keys', [{ ...OFFICER.required, classical: WITNESS.required.pq }]],
  ];
  for (const [what, who] of table) assert.ok((await rules(SEAL, [...who])).includes('SEAL-SIGNERS'), what);
});

test('one seal has one spelling', () => {
  const text = writeGeneral(SEAL);
  const value = JSON.parse(text) as { payload: string; signatures: Record<string, unknown>[] };
  const first = value.signatures[0]!;
  const table: readonly (readonly [string, string | object])[] = [
    ['blanks', JSON.stringify(value, null, 1)],
    ['another order', JSON.stringify({ signatures: value.signatures, payload: value.payload })],
    ['a duplicate member', text.replace('{"payload"', '{"payload":"AAAA","payload"')],
    ['an unprotected header', { ...value, signatures: [{ ...first, header: { alg: 'none' } }] }],
    ['an extra member', { ...value, header: {} }],
    ['a missing payload', { signatures: value.signatures }],
    ['padding', { ...value, payload: `${value.payload}==` }],
    ['a text that is no list', { ...value, signatures: 'AAAA' }],
    ['not JSON', '{'],
    ['a list', '[]'],
    ['null', 'null'],
  ];
  for (const [what, json] of table) {
    assert.throws(() => parseGeneral(json), (e) => e instanceof Refused && e.refusal.rule === 'SEAL-FORM', what);
  }
});

test('a protected header is exactly ours', () => {
  const header = { alg: 'ES256', kid: thumbprint(OFFICER.required.classical), pair: thumbprint(OFFICER.required.pq), signer: 'officer', typ: SEAL_TYPE };
  const encode = (value: unknown): string => toBase64url(utf8(typeof value === 'string' ? value : JSON.stringify(value)));
  assert.equal(encode(header), protectedHeader(header));
  const table: readonly (readonly [string, unknown])[] = [
    ['crit', { alg: header.alg, crit: ['b64'], kid: header.kid, pair: header.pair, signer: header.signer, typ: header.typ }],
    ['b64', { alg: header.alg, b64: false, kid: header.kid, pair: header.pair, signer: header.signer, typ: header.typ }],
    ['jwk', { alg: header.alg, jwk: {}, kid: header.kid, pair: header.pair, signer: header.signer, typ: header.typ }],
    ['another typ', { ...header, typ: 'JWT' }],
    ['no typ', { alg: header.alg, kid: header.kid, pair: header.pair, signer: header.signer }],
    ['alg with a blank', { ...header, alg: 'ES256 ' }],
    ['a short kid', { ...header, kid: 'x' }],
    ['a signer with a direction override', { ...header, signer: 'officer\u202e' }],
    ['blanks', JSON.stringify(header, null, 1)],
    ['a duplicate', JSON.stringify(header).replace('{"alg"', '{"alg":"none","alg"')],
    ['a list', '[]'],
    ['not JSON', 'x'],
    ['too long', { ...header, signer: 'x'.repeat(2000) }],
  ];
  for (const [what, value] of table) {
    assert.throws(() => parseHeader(encode(value)), (e) => e instanceof Refused && e.refusal.rule === 'SEAL-HEADER', what);
  }
});

test('any change of any character of a seal is refused', async () => {
  const text = writeGeneral(SEAL);
  const character = fc.constantFrom(...Array.from('AZaz09-_"{}[],: \u0000'));
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: text.length - 1 }), character, async (at, by) => {
      if (text[at] === by) return;
      const changed = text.slice(0, at) + by + text.slice(at + 1);
      let jws: GeneralJws;
      try {
        jws = parseGeneral(changed);
      } catch (error) {
        assert.ok(error instanceof Refused);
        return;
      }
      assert.notDeepEqual(await rules(jws), [], `character ${at}`);
    }),
    { seed: SEED, numRuns: 150 },
  );
});

test('refusals never repeat what a stranger wrote', async () => {
  const findings = await verifyAll({ payload, signatures: [{ protected: toBase64url(utf8('{"alg":"\u202e"}')), signature: 'AAAA' }] }, required);
  assert.doesNotMatch(JSON.stringify(findings), /\u202e/);
});
