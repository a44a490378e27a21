/**
 * Private keys in PKCS#8 (RFC 5958): reading every form that the RFCs allow, judging it, writing the seed form only.
 *
 * ML-DSA (RFC 9881) and ML-KEM (RFC 9935) keys come as seed, expanded key or both. `both` is believed only if the seed
 * gives the expanded key; an expanded key only if its own hash, t0 or H(ek) agree with what its vectors give, which the
 * libraries do not check, and if it then passes a test of its work. Everything refused is refused by rule and field name.
 * No private value ever enters a message, and nothing here returns one except `seedFormOf`, whose caller wipes it. One signs,
 * for the command that makes a request; nothing in a ceremony does.
 */

import { sha3_256, shake128, shake256 } from '@noble/hashes/sha3.js';
import { concat, equalBytes } from '../bytes.ts';
import { Refused, refuse } from '../refusal.ts';
import { ALGORITHMS, CURVE_FACTS, EDWARDS_FACTS, MONTGOMERY_FACTS, ML_KEMS, postQuantumByOid, XMSS_TREES, type CaAlgorithm, type MlDsaName, type MlKemName, type SlhDsaAlgorithm } from './algorithms.ts';
import { compositePublicFromPrivate, ML_DSA, readCompositePrivateKey, signComposite, softwareSigners, writeCompositePublicKey } from './composite.ts';
import { derFault, derParts, expectTag, readDer, readIdentifier, readUnsigned, TAG, writeDer, writeIdentifier, writeOid, type Identifier } from './der.ts';
import { coefficientAbove, encapsulationRandomness, kemPublicFromPrivate, kemSelfTest, ML_KEM } from './kem.ts';
import { absentParameters, EC_PUBLIC_KEY, namedCurve, SLH_DSA, subjectKeyOf, type SubjectKey } from './subject-key.ts';
import { CURVES, EDWARDS, keyFault, MONTGOMERY, readEcPrivateKey, readRsaPrivateKey, RSA_ENCRYPTION, signHalf, writeRsaPublicKey } from './traditional.ts';

export type PrivateKeyForm = 'seed' | 'expanded' | 'both' | 'raw' | 'composite' | 'classical';

/** What may be told of a private key. Nothing in it is secret. */
export interface PrivateKeyReading {
  readonly form: PrivateKeyForm;
  /** Computed from the private key, never taken from the file. */
  readonly publicKey: SubjectKey;
  /** What was checked, by rule name. */
  readonly checks: readonly string[];
}

const DISCARD = 'Do not use this key. Read it again from where it lives, or make a new one.';

function fault(rule: string, expected: string, found: string): Refused {
  return new Refused(refuse(rule, expected, found, DISCARD));
}

interface Envelope {
  readonly identifier: Identifier;
  readonly content: Uint8Array;
  readonly publicKey: Uint8Array | null;
}

function readEnvelope(pkcs8: Uint8Array): Envelope {
  const field = 'privateKeyInfo';
  const parts = derParts(readDer(pkcs8, field, TAG.sequence), field);
  const version = readUnsigned(parts[0], `${field}.version`);
  if (version.length > 1 || (version[0] ?? 0) > 1) throw derFault(`${field}.version`, '0 or 1', 'another');
  const identifier = readIdentifier(parts[1], `${field}.algorithm`);
  const { content } = expectTag(parts[2], TAG.octetString, `${field}.privateKey`);
  let publicKey: Uint8Array | null = null;
  for (const part of parts.slice(3)) {
    if (part.tag === 0x81 && part.content[0] === 0) publicKey = part.content.subarray(1);
    else if (part.tag !== 0xa0) throw derFault(field, 'attributes [0] and publicKey [1]', 'another value');
  }
  return { identifier, content, publicKey };
}

/** Reads and judges a PKCS#8 private key. Throws `Refused` with the first rule that it breaks. */
export async function readPrivateKey(pkcs8: Uint8Array): Promise<PrivateKeyReading> {
  const { identifier, content, publicKey } = readEnvelope(pkcs8);
  const reading = await readContent(identifier, content);
  if (publicKey === null) return reading;
  if (!equalBytes(publicKey, reading.publicKey.raw)) throw fault('PRIVATE-KEY-PUBLIC', 'privateKeyInfo.publicKey: the public key of this private key', 'another');
  return { ...reading, checks: [...reading.checks, 'PRIVATE-KEY-PUBLIC'] };
}

/** RSA PRIVATE KEY (PKCS#1) and EC PRIVATE KEY (SEC 1) as PKCS#8, so that one reader judges all. */
export function wrapTraditional(kind: 'rsa' | 'ec', der: Uint8Array): Uint8Array {
  if (kind === 'rsa') return pkcs8Of(RSA_ENCRYPTION, Uint8Array.of(TAG.null, 0), der);
  const parts = derParts(readDer(der, 'ecPrivateKey', TAG.sequence), 'ecPrivateKey');
  const curve = parts.find((part) => part.tag === 0xa0);
  if (curve === undefined) throw derFault('ecPrivateKey.parameters', 'a named curve', 'nothing');
  return pkcs8Of(EC_PUBLIC_KEY, curve.content, der);
}

function pkcs8Of(oid: string, parameters: Uint8Array | null, content: Uint8Array): Uint8Array {
  return writeDer(TAG.sequence, Uint8Array.of(TAG.integer, 1, 0), writeIdentifier(oid, parameters), writeDer(TAG.octetString, content));
}

/**
 * The key again as PKCS#8 in the one form that is written: seed for ML-DSA and ML-KEM, raw for the others. SECRET: the
 * caller wipes it. PRIVATE-KEY-SEED when the key has no seed, which cannot be computed from an expanded key.
 */
export async function seedFormOf(pkcs8: Uint8Array): Promise<Uint8Array> {
  const { form } = await readPrivateKey(pkcs8);
  const { identifier, content } = readEnvelope(pkcs8);
  switch (form) {
    case 'expanded':
      throw fault('PRIVATE-KEY-SEED', 'a key with its seed', 'an expanded key, which holds none');
    case 'seed':
      return pkcs8Of(identifier.oid, identifier.parameters, content);
    case 'both':
      return pkcs8Of(identifier.oid, identifier.parameters, writeDer(0x80, derParts(readDer(content, 'privateKey'), 'privateKey')[0]!.content));
    case 'raw':
    case 'composite':
      return pkcs8Of(identifier.oid, null, content);
    case 'classical':
      if (identifier.oid !== EC_PUBLIC_KEY) return pkcs8Of(identifier.oid, identifier.parameters, content);
      return pkcs8Of(identifier.oid, identifier.parameters, writeDer(TAG.sequence, ...derParts(readDer(content, 'privateKey'), 'privateKey').slice(0, 2).map((part) => part.bytes),
        writeDer(0xa0, writeOid(CURVE_FACTS[namedCurve(identifier.parameters!)].oid))));
  }
}

/**
 * A signature by a key of the CA algorithm `row`, in the form in which a certificate's signer gives it: ECDSA as r||s, all
 * others raw. `randomness`: 32 fresh random bytes, with which ML-DSA and SLH-DSA are hedged. `pkcs8` is borrowed. Throws
 * `Refused`: what `seedFormOf` does, HSS-NO-SOFTWARE-KEY, XMSS-NO-SOFTWARE-KEY, or the form of another algorithm. Not verified here.
 */
export async function signWithPrivateKey(row: CaAlgorithm, pkcs8: Uint8Array, message: Uint8Array, randomness: Uint8Array): Promise<Uint8Array> {
  const written = await seedFormOf(pkcs8);
  const field = `${row.label} privateKey`;
  try {
    const { content } = readEnvelope(written);
    switch (row.family) {
      case 'ecdsa': {
        const { crv: curve } = row.jose;
        return CURVES[curve].Signature.fromBytes(await signHalf({ kind: 'ecdsa', curve, hash: row.hash }, content, message, field), 'der').toBytes('compact');
      }
      case 'rsa':
        return await signHalf({ kind: 'rsa', modulusBits: row.modulusBits, padding: 'pkcs1', hash: row.hash }, content, message, field);
      case 'eddsa':
        return await signHalf({ kind: 'eddsa', curve: row.jose.crv }, readDer(content, field, TAG.octetString).content, message, field);
      case 'ml-dsa': {
        const { secretKey } = ML_DSA[row.name].keygen(readDer(content, field, 0x80).content);
        try {
          return ML_DSA[row.name].sign(message, secretKey, { extraEntropy: randomness });
        } finally {
          secretKey.fill(0);
        }
      }
      case 'slh-dsa':
        return SLH_DSA[row.name].sign(message, content, { extraEntropy: randomness.slice(0, row.n) });
      case 'composite-signature':
        return await signComposite(row, softwareSigners(readCompositePrivateKey(row, content), randomness), message);
      case 'hss':
        throw noSoftwareKey();
      case 'xmss':
        throw noSoftwareTree(row.label);
    }
  } finally {
    written.fill(0);
  }
}

function noSoftwareTree(label: string): Refused {
  return fault('XMSS-NO-SOFTWARE-KEY', `no ${label} private key outside a hardware module (SP 800-208 section 8.1)`, 'one');
}

function noSoftwareKey(): Refused {
  return fault('HSS-NO-SOFTWARE-KEY', 'no HSS/LMS private key outside a hardware module (SP 800-208 section 8.1)', 'one');
}

async function readContent(identifier: Identifier, content: Uint8Array): Promise<PrivateKeyReading> {
  const { oid, parameters } = identifier;
  if (oid === RSA_ENCRYPTION) {
    const numbers = readRsaPrivateKey(content, 'RSA privateKey');
    return { form: 'classical', publicKey: subjectKeyOf(oid, Uint8Array.of(TAG.null, 0), writeRsaPublicKey(numbers)), checks: ['RSA-CONSISTENT'] };
  }
  if (oid === EC_PUBLIC_KEY) {
    if (parameters === null) throw keyFault('EC algorithm.parameters', 'a named curve', 'nothing');
    const curve = namedCurve(parameters);
    const scalar = readEcPrivateKey(content, curve, 'EC privateKey', false);
    return { form: 'classical', publicKey: subjectKeyOf(oid, parameters, CURVES[curve].getPublicKey(scalar, false)), checks: ['KEY-ENCODING'] };
  }
  absentParameters(identifier, 'privateKeyInfo.algorithm');
  for (const [name, { oid: own, keyBytes }] of [...Object.entries(EDWARDS_FACTS), ...Object.entries(MONTGOMERY_FACTS)]) {
    if (oid !== own) continue;
    const raw = readDer(content, `${name} privateKey`, TAG.octetString).content; // RFC 8410 section 7: an OCTET STRING inside one
    if (raw.length !== keyBytes) throw keyFault(`${name} privateKey`, `${keyBytes} bytes`, `${raw.length} bytes`);
    const curve = name === 'Ed25519' || name === 'Ed448' ? EDWARDS[name] : MONTGOMERY[name as 'X25519' | 'X448'];
    return { form: 'classical', publicKey: subjectKeyOf(oid, null, curve.getPublicKey(raw)), checks: ['KEY-ENCODING'] };
  }
  const mlDsa = (['ml-dsa-44', 'ml-dsa-65', 'ml-dsa-87'] as const).find((name) => ALGORITHMS[name].keyOid === oid);
  if (mlDsa !== undefined) return readMlDsa(mlDsa, content);
  const tree = Object.values(XMSS_TREES).find((one) => one.oid === oid);
  if (tree !== undefined) throw noSoftwareTree(tree.label);
  const row = postQuantumByOid(oid);
  switch (row?.family) {
    case 'ml-kem':
      return readMlKem(row.name, content);
    case 'slh-dsa':
      return readSlhDsa(row, content);
    case 'composite-signature': {
      const key = readCompositePrivateKey(row, content);
      const raw = writeCompositePublicKey(compositePublicFromPrivate(key));
      key.seed.fill(0);
      key.traditional.fill(0);
      return { form: 'composite', publicKey: subjectKeyOf(oid, null, raw), checks: ['COMPOSITE-PRIVATE-KEY', 'KEY-ENCODING'] };
    }
    case 'x-wing':
    case 'composite-kem': {
      const raw = kemPublicFromPrivate(row, content);
      // A fixed message: the test asks whether the key opens what it closes, and the secret is thrown away.
      if (!(await kemSelfTest(row, content, new Uint8Array(encapsulationRandomness(row)).fill(0x5a)))) throw fault('PRIVATE-KEY-SELF-TEST', `${row.name}: a key that opens what it closes`, 'one that does not');
      return { form: row.family === 'x-wing' ? 'seed' : 'composite', publicKey: subjectKeyOf(oid, null, raw), checks: ['KEM-PRIVATE-KEY', 'PRIVATE-KEY-SELF-TEST'] };
    }
    case 'hss':
      throw noSoftwareKey();
    case undefined:
      throw fault('KEY-ALGORITHM', 'an algorithm of the registry', oid);
  }
}

/** CHOICE { seed [0], expandedKey OCTET STRING, both SEQUENCE }: RFC 9881 section 6, RFC 9935 section 6. */
function readChoice(label: string, content: Uint8Array, seedBytes: number, expandedBytes: number): { readonly form: 'seed' | 'expanded' | 'both'; readonly seed: Uint8Array | null; readonly expanded: Uint8Array | null } {
  const node = readDer(content, `${label} privateKey`);
  const sized = (bytes: Uint8Array, part: string, length: number): Uint8Array => {
    if (bytes.length !== length) throw keyFault(`${label} privateKey.${part}`, `${length} bytes`, `${bytes.length} bytes`);
    return bytes;
  };
  switch (node.tag) {
    case 0x80:
      return { form: 'seed', seed: sized(node.content, 'seed', seedBytes), expanded: null };
    case TAG.octetString:
      return { form: 'expanded', seed: null, expanded: sized(node.content, 'expandedKey', expandedBytes) };
    case TAG.sequence: {
      const parts = derParts(node, `${label} privateKey.both`);
      if (parts.length !== 2) throw derFault(`${label} privateKey.both`, 'a seed and an expanded key', `${parts.length} values`);
      const [seed, expanded] = parts.map((part) => expectTag(part, TAG.octetString, `${label} privateKey.both`).content);
      return { form: 'both', seed: sized(seed!, 'both.seed', seedBytes), expanded: sized(expanded!, 'both.expandedKey', expandedBytes) };
    }
    default:
      throw derFault(`${label} privateKey`, 'seed [0], an OCTET STRING or a SEQUENCE', 'another tag');
  }
}

function compareBoth(label: string, fromSeed: Uint8Array, expanded: Uint8Array | null): void {
  const same = expanded === null || equalBytes(fromSeed, expanded);
  fromSeed.fill(0);
  if (!same) throw fault('PRIVATE-KEY-BOTH', `${label} privateKey.both: the expanded key of this seed`, 'another');
}

// --- ML-DSA --------------------------------------------------------------------------------------------------------------

/** FIPS 204 table 1. */
const DIMENSIONS = { 'ml-dsa-44': { k: 4, l: 4, eta: 2 }, 'ml-dsa-65': { k: 6, l: 5, eta: 4 }, 'ml-dsa-87': { k: 8, l: 7, eta: 2 } } as const;
const Q = 8380417;

function readMlDsa(name: MlDsaName, content: Uint8Array): PrivateKeyReading {
  const row = ALGORITHMS[name];
  const scheme = ML_DSA[name];
  const { form, seed, expanded } = readChoice(row.label, content, 32, scheme.lengths.secretKey!);
  if (seed !== null) {
    const { publicKey, secretKey } = scheme.keygen(seed);
    compareBoth(row.label, secretKey, expanded);
    return { form, publicKey: subjectKeyOf(row.keyOid, null, publicKey), checks: form === 'both' ? ['PRIVATE-KEY-BOTH'] : ['KEY-ENCODING'] };
  }
  const key = expanded!;
  const { publicKey, t0 } = mlDsaPublicParts(name, key);
  if (!equalBytes(shake256(publicKey, { dkLen: 64 }), key.subarray(64, 128))) throw fault('PRIVATE-KEY-TR', `${row.label} privateKey.expandedKey: tr = H(public key)`, 'another tr');
  if (!equalBytes(t0, key.subarray(key.length - t0.length))) throw fault('PRIVATE-KEY-T0', `${row.label} privateKey.expandedKey: the t0 that s1 and s2 give`, 'another t0');
  const message = new TextEncoder().encode('conclave self-test');
  if (!scheme.verify(scheme.sign(message, key, { extraEntropy: false }), message, publicKey)) throw fault('PRIVATE-KEY-SELF-TEST', `${row.label}: a key whose signature its public key verifies`, 'one that does not');
  return { form, publicKey: subjectKeyOf(row.keyOid, null, publicKey), checks: ['PRIVATE-KEY-RANGE', 'PRIVATE-KEY-TR', 'PRIVATE-KEY-T0', 'PRIVATE-KEY-SELF-TEST'] };
}

/** t = A·s1 + s2, then FIPS 204 algorithm 35: t1 goes into the public key, t0 stays private. Both from the expanded key. */
function mlDsaPublicParts(name: MlDsaName, key: Uint8Array): { readonly publicKey: Uint8Array; readonly t0: Uint8Array } {
  const { k, l, eta } = DIMENSIONS[name];
  const rho = key.subarray(0, 32);
  const width = eta === 2 ? 3 : 4;
  const vectors = Array.from({ length: l + k }, (_, i) => unpackSmall(name, key.subarray(128 + i * 32 * width, 128 + (i + 1) * 32 * width), width, eta));
  const s1 = vectors.slice(0, l).map(ntt);
  const t0: Uint8Array[] = [];
  const t1: Uint8Array[] = [];
  for (let r = 0; r < k; r++) {
    const sum = new Float64Array(256);
    for (let s = 0; s < l; s++) {
      const a = uniform(rho, s, r);
      for (let i = 0; i < 256; i++) sum[i] = (sum[i]! + a[i]! * s1[s]![i]!) % Q; // below 2^47: exact in a double
    }
    const t = inverseNtt(sum).map((value, i) => mod(value + vectors[l + r]![i]!));
    const low = t.map((value) => { const r0 = value % 8192; return r0 > 4096 ? r0 - 8192 : r0; });
    t0.push(pack(low.map((value) => 4096 - value), 13));
    t1.push(pack(t.map((value, i) => (value - low[i]!) / 8192), 10));
  }
  return { publicKey: concat(rho, ...t1), t0: concat(...t0) };
}

const mod = (value: number): number => ((value % Q) + Q) % Q;

/** Coefficients eta - x, x in `width` bits; FIPS 204 algorithm 25 wants x at most 2·eta. */
function unpackSmall(name: MlDsaName, bytes: Uint8Array, width: number, eta: number): Float64Array {
  const out = new Float64Array(256);
  for (let i = 0; i < 256; i++) {
    const at = i * width;
    const x = (((bytes[at >> 3]! | ((bytes[(at >> 3) + 1] ?? 0) << 8)) >> (at & 7)) & (2 ** width - 1));
    if (x > 2 * eta) throw fault('PRIVATE-KEY-RANGE', `${ALGORITHMS[name].label} privateKey.expandedKey: coefficients of s1 and s2 from -${eta} to ${eta}`, 'one outside');
    out[i] = mod(eta - x);
  }
  return out;
}

function pack(values: Float64Array, width: number): Uint8Array {
  const out = new Uint8Array(32 * width);
  values.forEach((value, i) => {
    for (let bit = 0; bit < width; bit++) if ((value >> bit) & 1) out[(i * width + bit) >> 3]! |= 1 << ((i * width + bit) & 7);
  });
  return out;
}

/** FIPS 204 algorithm 30, RejNTTPoly. */
function uniform(rho: Uint8Array, s: number, r: number): Float64Array {
  const stream = shake128.create({}).update(concat(rho, Uint8Array.of(s, r)));
  const out = new Float64Array(256);
  for (let filled = 0; filled < 256; ) {
    const block = stream.xof(168);
    for (let i = 0; i + 2 < block.length && filled < 256; i += 3) {
      const value = block[i]! | (block[i + 1]! << 8) | ((block[i + 2]! & 127) << 16);
      if (value < Q) out[filled++] = value;
    }
  }
  return out;
}

/** 1753^brv8(k), FIPS 204 appendix B. */
const ZETAS = Array.from({ length: 256 }, (_, k) => {
  let exponent = 0;
  for (let bit = 0; bit < 8; bit++) if ((k >> bit) & 1) exponent |= 128 >> bit;
  let value = 1;
  for (let i = 0; i < exponent; i++) value = (value * 1753) % Q;
  return value;
});

function ntt(poly: Float64Array): Float64Array {
  const w = poly.slice();
  let m = 0;
  for (let length = 128; length >= 1; length >>= 1) {
    for (let start = 0; start < 256; start += 2 * length) {
      const zeta = ZETAS[++m]!;
      for (let j = start; j < start + length; j++) {
        const t = (zeta * w[j + length]!) % Q;
        w[j + length] = mod(w[j]! - t);
        w[j] = (w[j]! + t) % Q;
      }
    }
  }
  return w;
}

function inverseNtt(poly: Float64Array): Float64Array {
  const w = poly.slice();
  let m = 256;
  for (let length = 1; length < 256; length <<= 1) {
    for (let start = 0; start < 256; start += 2 * length) {
      const zeta = Q - ZETAS[--m]!;
      for (let j = start; j < start + length; j++) {
        const t = w[j]!;
        w[j] = (t + w[j + length]!) % Q;
        w[j + length] = (zeta * mod(t - w[j + length]!)) % Q;
      }
    }
  }
  return w.map((value) => (value * 8347681) % Q); // 256^-1
}

// --- ML-KEM and SLH-DSA --------------------------------------------------------------------------------------------------

function readMlKem(name: MlKemName, content: Uint8Array): PrivateKeyReading {
  const row = ML_KEMS[name];
  const scheme = ML_KEM[name];
  const { form, seed, expanded } = readChoice(row.label, content, 64, row.expandedBytes);
  if (seed !== null) {
    const { publicKey, secretKey } = scheme.keygen(seed);
    compareBoth(row.label, secretKey, expanded);
    return { form, publicKey: subjectKeyOf(row.oid, null, publicKey), checks: form === 'both' ? ['PRIVATE-KEY-BOTH'] : ['KEY-ENCODING'] };
  }
  // FIPS 203 section 7.3: dk = s || ek || H(ek) || z.
  const key = expanded!;
  const at = row.publicKeyBytes - 32;
  const ek = key.slice(at, at + row.publicKeyBytes);
  if (!equalBytes(sha3_256(ek), key.subarray(at + row.publicKeyBytes, at + row.publicKeyBytes + 32))) {
    throw fault('PRIVATE-KEY-EK-HASH', `${row.label} privateKey.expandedKey: H(ek) of its encapsulation key`, 'another hash');
  }
  if (coefficientAbove(key.subarray(0, at)) || coefficientAbove(ek.subarray(0, at))) {
    throw fault('KEM-MODULUS', `${row.label} privateKey.expandedKey: every coefficient below 3329`, 'one that is not');
  }
  let works = false;
  try {
    const { cipherText, sharedSecret } = scheme.encapsulate(ek, new Uint8Array(32).fill(0x5a));
    works = equalBytes(scheme.decapsulate(cipherText, key), sharedSecret);
  } catch {
    // Told below; what the library says could speak of the key.
  }
  if (!works) throw fault('PRIVATE-KEY-SELF-TEST', `${row.label}: a key that opens what its encapsulation key closes`, 'one that does not');
  return { form, publicKey: subjectKeyOf(row.oid, null, ek), checks: ['PRIVATE-KEY-EK-HASH', 'KEM-MODULUS', 'PRIVATE-KEY-SELF-TEST'] };
}

/** RFC 9909 section 6: SK.seed || SK.prf || PK.seed || PK.root, no inner OCTET STRING. The root is computed anew (up to seconds for the "s" sets). */
function readSlhDsa(row: SlhDsaAlgorithm, content: Uint8Array): PrivateKeyReading {
  if (content.length !== 4 * row.n) throw keyFault(`${row.label} privateKey`, `${4 * row.n} bytes`, `${content.length} bytes`);
  const { publicKey, secretKey } = SLH_DSA[row.name].keygen(content.slice(0, 3 * row.n));
  const same = equalBytes(secretKey, content);
  secretKey.fill(0);
  if (!same) throw fault('PRIVATE-KEY-ROOT', `${row.label} privateKey: the PK.root that its seeds give`, 'another');
  return { form: 'raw', publicKey: subjectKeyOf(row.oid, null, publicKey), checks: ['PRIVATE-KEY-ROOT'] };
}
