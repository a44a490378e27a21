/**
 * The classical half of a composite: RSA, ECDSA, EdDSA keys and signatures in the encodings that composites, PKCS#8 and
 * X.509 share (draft-ietf-lamps-pq-composite-sigs-19 section 4). ECDSA signatures are DER here, unlike in the record.
 *
 * Signing is for halves that live in software. Randomness comes from the caller, except RSA-PSS salts, which WebCrypto
 * draws. Never used for a key on its own record: a component key must not sign outside its composite. Nothing here
 * writes a private value into a message.
 */

import { ed25519, x25519 } from '@noble/curves/ed25519.js';
import { ed448, x448 } from '@noble/curves/ed448.js';
import { brainpoolP256r1, brainpoolP384r1 } from '@noble/curves/misc.js';
import { p256, p384, p521 } from '@noble/curves/nist.js';
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import { concat, equalBytes, forWebCrypto, toHex } from '../bytes.ts';
import { Refused, refuse } from '../refusal.ts';
import { CURVE_FACTS, EDWARDS_FACTS, MONTGOMERY_FACTS, type CurveName, type EdwardsName, type HashName, type MontgomeryName, type SignatureHalf } from './algorithms.ts';
import {
  derFault, derParts, expectCanonical, expectTag, readBitString, readDer, readOid, readUnsigned, TAG, writeDer, writeIdentifier, writeOid, writeUnsigned,
} from './der.ts';
import { bitLength } from './public-key.ts';
import { webCrypto } from './signatures.ts';

export const CURVES = { 'P-256': p256, 'P-384': p384, 'P-521': p521, brainpoolP256r1, brainpoolP384r1 } as const satisfies Record<CurveName, unknown>;
export const EDWARDS = { Ed25519: ed25519, Ed448: ed448 } as const satisfies Record<EdwardsName, unknown>;
export const MONTGOMERY = { X25519: x25519, X448: x448 } as const satisfies Record<MontgomeryName, unknown>;
export const HASHES = { 'SHA-256': sha256, 'SHA-384': sha384, 'SHA-512': sha512 } as const satisfies Record<HashName, unknown>;

const AGAIN = 'Read the key again from where it lives; do not repair it by hand.';
export const RSA_ENCRYPTION = '1.2.840.113549.1.1.1';
const NULL_PARAMETERS = Uint8Array.of(TAG.null, 0);

export function keyFault(field: string, expected: string, found: string): Refused {
  return new Refused(refuse('KEY-ENCODING', `${field}: ${expected}`, found, AGAIN));
}

// --- RSA -----------------------------------------------------------------------------------------------------------------

export interface RsaNumbers {
  readonly n: Uint8Array;
  readonly e: Uint8Array;
}

/** DER RSAPublicKey (RFC 8017 section A.1.1), canonical; `modulusBits` exactly, where given. */
export function readRsaPublicKey(bytes: Uint8Array, field: string, modulusBits?: number): RsaNumbers {
  const parts = derParts(readDer(bytes, field, TAG.sequence), field);
  if (parts.length !== 2) throw derFault(field, 'a modulus and an exponent', `${parts.length} values`);
  const n = readUnsigned(parts[0], `${field}.modulus`);
  const e = readUnsigned(parts[1], `${field}.publicExponent`);
  rsaSize(n, field, modulusBits);
  // Small and even exponents are readable: weak.ts names them.
  if (bitLength(e) < 1 || e.length > n.length) throw keyFault(`${field}.publicExponent`, 'an exponent from 1 up to the modulus', `${bitLength(e)} bits`);
  return { n, e };
}

function rsaSize(n: Uint8Array, field: string, modulusBits: number | undefined): void {
  const bits = bitLength(n);
  if (modulusBits !== undefined ? bits !== modulusBits : bits < 512 || bits > 16384) {
    throw keyFault(`${field}.modulus`, modulusBits === undefined ? '512 to 16384 bits' : `${modulusBits} bits`, `${bits} bits`);
  }
}

export function writeRsaPublicKey({ n, e }: RsaNumbers): Uint8Array {
  return writeDer(TAG.sequence, writeUnsigned(n), writeUnsigned(e));
}

/** SubjectPublicKeyInfo of a DER RSAPublicKey. */
export function rsaSpki(publicKey: Uint8Array): Uint8Array {
  return writeDer(TAG.sequence, writeIdentifier(RSA_ENCRYPTION, NULL_PARAMETERS), writeDer(TAG.bitString, Uint8Array.of(0), publicKey));
}

/** PKCS#8 of a DER RSAPrivateKey. Wipe it after use. */
export function rsaPkcs8(privateKey: Uint8Array): Uint8Array {
  return writeDer(TAG.sequence, Uint8Array.of(TAG.integer, 1, 0), writeIdentifier(RSA_ENCRYPTION, NULL_PARAMETERS), writeDer(TAG.octetString, privateKey));
}

/**
 * DER RSAPrivateKey (RFC 8017 section A.1.2), two primes, every number in agreement with every other. Gives the public
 * half. The rule of a disagreement is RSA-CONSISTENT. Whether p and q are prime is judged by one Fermat test each.
 */
export function readRsaPrivateKey(bytes: Uint8Array, field: string, modulusBits?: number): RsaNumbers {
  const parts = derParts(readDer(bytes, field, TAG.sequence), field);
  if (parts.length !== 9) throw derFault(field, 'version and eight integers (no otherPrimeInfos)', `${parts.length} values`);
  if (readUnsigned(parts[0], `${field}.version`).length !== 0) throw derFault(`${field}.version`, '0', 'another version');
  const [n, e, d, p, q, dP, dQ, qInv] = parts.slice(1).map((part, i) =>
    readUnsigned(part, `${field}.${['modulus', 'publicExponent', 'privateExponent', 'prime1', 'prime2', 'exponent1', 'exponent2', 'coefficient'][i] ?? ''}`));
  rsaSize(n!, field, modulusBits);
  const [N, E, D, P, Q, DP, DQ, QI] = [n, e, d, p, q, dP, dQ, qInv].map((x) => integer(x!)) as [bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint];
  const agree = (holds: boolean, what: string): void => {
    if (!holds) throw new Refused(refuse('RSA-CONSISTENT', `${field}: ${what}`, 'numbers that disagree', AGAIN));
  };
  agree(P > 2n && Q > 2n && P * Q === N, 'modulus = prime1 × prime2');
  agree((E * D) % (P - 1n) === 1n && (E * D) % (Q - 1n) === 1n, 'publicExponent × privateExponent = 1 modulo both primes less one');
  agree(DP === D % (P - 1n) && DQ === D % (Q - 1n), 'exponent1 and exponent2 are those of privateExponent');
  agree(QI < P && (QI * Q) % P === 1n, 'coefficient is the inverse of prime2 modulo prime1');
  agree(power(2n, P - 1n, P) === 1n && power(2n, Q - 1n, Q) === 1n, 'prime1 and prime2 are primes');
  return { n: n!, e: e! };
}

export function integer(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${toHex(bytes)}`);
}

export function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (const bit of exponent.toString(2)) {
    result = (result * result) % modulus;
    if (bit === '1') result = (result * base) % modulus;
  }
  return result;
}

function rsaParameters(half: SignatureHalf & { kind: 'rsa' }, saltLength: number): { key: RsaHashedImportParams; sign: RsaPssParams | { name: string } } {
  const name = half.padding === 'pss' ? 'RSA-PSS' : 'RSASSA-PKCS1-v1_5';
  return { key: { name, hash: half.hash }, sign: half.padding === 'pss' ? { name, saltLength } : { name } };
}

function provider(): SubtleCrypto {
  const subtle = webCrypto();
  if (subtle === undefined) throw new Refused(refuse('SIGNATURE-PROVIDER', 'a runtime with WebCrypto for RSA', 'none', 'Use a current runtime.'));
  return subtle;
}

// --- elliptic curves -----------------------------------------------------------------------------------------------------

/** Null when `raw` is an uncompressed point on the curve, else what is wrong with it. */
export function pointFault(curve: CurveName, raw: Uint8Array): string | null {
  const length = 1 + 2 * CURVE_FACTS[curve].fieldBytes;
  if (raw.length !== length) return `${raw.length} bytes, not ${length}`;
  if (raw[0] !== 4) return 'no uncompressed point';
  try {
    CURVES[curve].Point.fromBytes(raw).assertValidity();
    return null;
  } catch {
    return 'coordinates that are not on the curve';
  }
}

/** RFC 8032 key: canonical, on the curve, no component of small order; Montgomery keys: not of small order. */
export function edwardsFault(curve: EdwardsName, raw: Uint8Array): string | null {
  const { keyBytes } = EDWARDS_FACTS[curve];
  if (raw.length !== keyBytes) return `${raw.length} bytes, not ${keyBytes}`;
  try {
    const point = EDWARDS[curve].Point.fromBytes(raw, false);
    if (point.isSmallOrder()) return 'a point of small order';
    return point.isTorsionFree() ? null : 'a point with a component of small order';
  } catch {
    return 'no canonical encoding of a point on the curve';
  }
}

export function montgomeryFault(curve: MontgomeryName, raw: Uint8Array): string | null {
  const { keyBytes } = MONTGOMERY_FACTS[curve];
  if (raw.length !== keyBytes) return `${raw.length} bytes, not ${keyBytes}`;
  try {
    // Any clamped scalar is a multiple of the cofactor, so a point of small order gives zero, which noble refuses.
    MONTGOMERY[curve].getSharedSecret(new Uint8Array(keyBytes).fill(9), raw);
    return null;
  } catch {
    return 'a point of small order';
  }
}

/**
 * DER ECPrivateKey (RFC 5915): the private scalar. `strict`, for halves of composites: namedCurve present, publicKey
 * absent, byte for byte what the writer writes. Otherwise publicKey may be there, and must then be the key's own.
 */
export function readEcPrivateKey(bytes: Uint8Array, curve: CurveName, field: string, strict: boolean): Uint8Array {
  const parts = derParts(readDer(bytes, field, TAG.sequence), field);
  const version = readUnsigned(parts[0], `${field}.version`);
  if (version.length !== 1 || version[0] !== 1) throw derFault(`${field}.version`, '1', 'another version');
  const scalar = expectTag(parts[1], TAG.octetString, `${field}.privateKey`).content;
  const { fieldBytes, oid } = CURVE_FACTS[curve];
  if (scalar.length !== fieldBytes) throw keyFault(`${field}.privateKey`, `${fieldBytes} bytes`, `${scalar.length} bytes`);
  if (!CURVES[curve].utils.isValidSecretKey(scalar)) throw keyFault(`${field}.privateKey`, 'a number from 1 to the order less one', 'another');
  for (const part of parts.slice(2)) {
    if (part.tag === 0xa0) {
      if (readOid(readDer(part.content, `${field}.parameters`), `${field}.parameters`) !== oid) throw keyFault(`${field}.parameters`, curve, 'another curve');
    } else if (part.tag === 0xa1) {
      const publicKey = readBitString(readDer(part.content, `${field}.publicKey`), `${field}.publicKey`);
      if (!equalBytes(publicKey, CURVES[curve].getPublicKey(scalar, false))) throw keyFault(`${field}.publicKey`, 'the public key of this private key', 'another');
    } else throw derFault(field, 'parameters [0] and publicKey [1]', 'another value');
  }
  if (strict) expectCanonical(bytes, writeEcPrivateKey(curve, scalar), field);
  return scalar;
}

/** ECPrivateKey with namedCurve and without publicKey: the form of draft-ietf-lamps-pq-composite-sigs-19 section 4.2. */
export function writeEcPrivateKey(curve: CurveName, scalar: Uint8Array): Uint8Array {
  const parameters = writeDer(0xa0, writeOid(CURVE_FACTS[curve].oid));
  return writeDer(TAG.sequence, Uint8Array.of(TAG.integer, 1, 1), writeDer(TAG.octetString, scalar), parameters);
}

// --- halves --------------------------------------------------------------------------------------------------------------

/** Refuses a public key that is not in the one form of its half, or is unsound. */
export function checkHalfPublicKey(half: SignatureHalf, raw: Uint8Array, field: string): void {
  switch (half.kind) {
    case 'rsa':
      if (bitLength(readRsaPublicKey(raw, field, half.modulusBits).e) < 2) throw keyFault(`${field}.publicExponent`, 'an exponent above 1', '1');
      return;
    case 'ecdsa': {
      const fault = pointFault(half.curve, raw);
      if (fault !== null) throw keyFault(field, `an uncompressed point of ${half.curve}`, fault);
      return;
    }
    case 'eddsa': {
      const fault = edwardsFault(half.curve, raw);
      if (fault !== null) throw keyFault(field, `a sound ${half.curve} key`, fault);
    }
  }
}

/** The public key of a half's private key; every check of the private key on the way. */
export function halfPublicKey(half: SignatureHalf, privateKey: Uint8Array, field: string): Uint8Array {
  switch (half.kind) {
    case 'rsa':
      return writeRsaPublicKey(readRsaPrivateKey(privateKey, field, half.modulusBits));
    case 'ecdsa':
      return CURVES[half.curve].getPublicKey(readEcPrivateKey(privateKey, half.curve, field, true), false);
    case 'eddsa': {
      const { keyBytes } = EDWARDS_FACTS[half.curve];
      if (privateKey.length !== keyBytes) throw keyFault(field, `${keyBytes} bytes`, `${privateKey.length} bytes`);
      return EDWARDS[half.curve].getPublicKey(privateKey);
    }
  }
}

const SALT = { 'SHA-256': 32, 'SHA-384': 48, 'SHA-512': 64 } as const;

/**
 * Does the signature fit? Never throws for a signature, whatever is in it. The key must be sound (`checkHalfPublicKey`).
 * `saltLength` is for certificates that name one; the halves of composites have the length of their hash.
 */
export async function verifyHalf(half: SignatureHalf, publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array, saltLength?: number): Promise<boolean> {
  try {
    switch (half.kind) {
      case 'rsa': {
        const subtle = provider();
        const parameters = rsaParameters(half, saltLength ?? SALT[half.hash]);
        const key = await subtle.importKey('spki', forWebCrypto(rsaSpki(publicKey)), parameters.key, false, ['verify']);
        return await subtle.verify(parameters.sign, key, forWebCrypto(signature), forWebCrypto(message));
      }
      case 'ecdsa': {
        const curve = CURVES[half.curve];
        const parsed = curve.Signature.fromBytes(signature, 'der');
        if (!equalBytes(parsed.toBytes('der'), signature)) return false;
        return curve.verify(signature, HASHES[half.hash](message), publicKey, { prehash: false, lowS: false, format: 'der' });
      }
      case 'eddsa': {
        const curve = EDWARDS[half.curve];
        const { keyBytes, signatureBytes } = EDWARDS_FACTS[half.curve];
        if (signature.length !== signatureBytes || !curve.verify(signature, message, publicKey, { zip215: false })) return false;
        // With the cofactor and without it must be one verdict: see verifyEd25519 in signatures.ts.
        return curve.Point.fromBytes(signature.subarray(0, keyBytes)).isTorsionFree();
      }
    }
  } catch (error) {
    if (error instanceof Refused) throw error;
    return false;
  }
}

/** Signs with a half that lives in software. ECDSA is deterministic (RFC 6979), PSS salts are WebCrypto's. */
export async function signHalf(half: SignatureHalf, privateKey: Uint8Array, message: Uint8Array, field: string): Promise<Uint8Array> {
  switch (half.kind) {
    case 'rsa': {
      readRsaPrivateKey(privateKey, field, half.modulusBits);
      const subtle = provider();
      const parameters = rsaParameters(half, SALT[half.hash]);
      const pkcs8 = rsaPkcs8(privateKey);
      try {
        const key = await subtle.importKey('pkcs8', forWebCrypto(pkcs8), parameters.key, false, ['sign']);
        return new Uint8Array(await subtle.sign(parameters.sign, key, forWebCrypto(message)));
      } finally {
        pkcs8.fill(0);
      }
    }
    case 'ecdsa': {
      const scalar = readEcPrivateKey(privateKey, half.curve, field, true);
      return CURVES[half.curve].sign(HASHES[half.hash](message), scalar, { prehash: false, lowS: false, format: 'der' });
    }
    case 'eddsa': {
      const { keyBytes } = EDWARDS_FACTS[half.curve];
      if (privateKey.length !== keyBytes) throw keyFault(field, `${keyBytes} bytes`, `${privateKey.length} bytes`);
      return EDWARDS[half.curve].sign(message, privateKey);
    }
  }
}

/** The octets that a signature of this half may have: exact, or a range for DER (SEQUENCE of two INTEGERs). */
export function halfSignatureBytes(half: SignatureHalf): { readonly least: number; readonly most: number } {
  switch (half.kind) {
    case 'rsa':
      return { least: half.modulusBits / 8, most: half.modulusBits / 8 };
    case 'ecdsa': {
      const { fieldBytes } = CURVE_FACTS[half.curve];
      const number = fieldBytes === 66 ? 66 : fieldBytes + 1; // 521 bits never need a zero in front
      return { least: 8, most: 2 * (number + 2) + (2 * (number + 2) > 127 ? 3 : 2) };
    }
    case 'eddsa':
      return { least: EDWARDS_FACTS[half.curve].signatureBytes, most: EDWARDS_FACTS[half.curve].signatureBytes };
  }
}

/** EME-OAEP (RFC 8017 section 7.1.1) with SHA-256, MGF1-SHA-256 and an empty label, then the public operation. */
export function rsaOaepEncrypt({ n, e }: RsaNumbers, message: Uint8Array, seed: Uint8Array): Uint8Array {
  const size = n.length;
  if (seed.length !== 32 || message.length > size - 66) throw keyFault('rsa-oaep', '32 bytes of seed and a message that fits', 'others');
  const block = concat(sha256(new Uint8Array()), new Uint8Array(size - message.length - 66), Uint8Array.of(1), message);
  const masked = xor(block, mgf1(seed, block.length));
  const encoded = concat(Uint8Array.of(0), xor(seed, mgf1(masked, 32)), masked);
  const number = power(integer(encoded), integer(e), integer(n)).toString(16).padStart(2 * size, '0');
  return Uint8Array.from(number.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function mgf1(seed: Uint8Array, length: number): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let counter = 0; counter * 32 < length; counter++) blocks.push(sha256(concat(seed, Uint8Array.of(0, 0, counter >> 8, counter & 255))));
  return concat(...blocks).subarray(0, length);
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((octet, i) => octet ^ b[i]!);
}

/** RSAES-OAEP decryption through WebCrypto; throws `Refused` KEM-CIPHERTEXT without saying what was wrong. */
export async function rsaOaepDecrypt(privateKey: Uint8Array, ciphertext: Uint8Array): Promise<Uint8Array> {
  const pkcs8 = rsaPkcs8(privateKey);
  const subtle = provider();
  try {
    const key = await subtle.importKey('pkcs8', forWebCrypto(pkcs8), { name: 'RSA-OAEP', hash: 'SHA-256' }, false, ['decrypt']);
    return new Uint8Array(await subtle.decrypt({ name: 'RSA-OAEP' }, key, forWebCrypto(ciphertext)));
  } catch {
    throw new Refused(refuse('KEM-CIPHERTEXT', 'a ciphertext made for this key', 'another', 'Ask the sender for a new one.'));
  } finally {
    pkcs8.fill(0);
  }
}
