/**
 * Composite ML-DSA signatures, byte for byte as in draft-ietf-lamps-pq-composite-sigs-19.
 *
 * Everything is raw concatenation: mlDsaKey || classicalKey, seed || classicalPrivateKey, mlDsaSignature || classicalSignature.
 * Both halves sign M' = Prefix || Label || len(ctx) || ctx || PH(M); ML-DSA does so with the Label as its own context.
 * Signing takes the halves as functions, because either may live on a token. Verifying runs both halves, always, and
 * accepts only if both hold. A half's key must never sign outside its composite. The objects made here are made under a
 * draft: keep `row.profile` with them.
 */

import { sha256, sha512 } from '@noble/hashes/sha2.js';
import { shake256 } from '@noble/hashes/sha3.js';
import { ml_dsa44, ml_dsa65, ml_dsa87 } from '@noble/post-quantum/ml-dsa.js';
import { concat, utf8 } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { ALGORITHMS, type CompositeSignature } from './algorithms.ts';
import { checkHalfPublicKey, halfPublicKey, halfSignatureBytes, signHalf, verifyHalf } from './traditional.ts';

export const ML_DSA = { 'ml-dsa-44': ml_dsa44, 'ml-dsa-65': ml_dsa65, 'ml-dsa-87': ml_dsa87 } as const;

/** "CompositeAlgorithmSignatures2025", section 2.2 of the draft. */
const PREFIX = utf8('CompositeAlgorithmSignatures2025');

export interface CompositePublicKey {
  readonly row: CompositeSignature;
  readonly mlDsa: Uint8Array;
  /** RSA: DER RSAPublicKey; ECDSA: 04||X||Y; EdDSA: raw. */
  readonly traditional: Uint8Array;
}

/** Secrets. The caller wipes both arrays. */
export interface CompositePrivateKey {
  readonly row: CompositeSignature;
  /** The 32-byte seed of FIPS 204; no expanded form exists in a composite. */
  readonly seed: Uint8Array;
  /** RSA: DER RSAPrivateKey; ECDSA: DER ECPrivateKey without publicKey; EdDSA: raw. */
  readonly traditional: Uint8Array;
}

export interface CompositeSigners {
  /** Pure ML-DSA over `message` with `context` as its context string (FIPS 204 algorithm 2). */
  readonly mlDsa: (message: Uint8Array, context: Uint8Array) => Promise<Uint8Array>;
  /** The classical half over `message`, which it hashes as its row says; ECDSA as DER. */
  readonly traditional: (message: Uint8Array) => Promise<Uint8Array>;
}

export interface CompositeVerdict {
  readonly valid: boolean;
  readonly mlDsa: boolean;
  readonly traditional: boolean;
  /** Empty exactly when valid. */
  readonly findings: readonly Refusal[];
}

// --- encodings -----------------------------------------------------------------------------------------------------------

/** Splits a raw public key. Throws `Refused` COMPOSITE-PUBLIC-KEY, DER-STRUCTURE or KEY-ENCODING naming the half. */
export function readCompositePublicKey(row: CompositeSignature, raw: Uint8Array): CompositePublicKey {
  const at = ALGORITHMS[row.mlDsa].publicKeyBytes;
  if (raw.length <= at || raw.length > row.sizes.publicKey + 300 || (!row.sizes.varies.includes('publicKey') && raw.length !== row.sizes.publicKey)) {
    throw fault('COMPOSITE-PUBLIC-KEY', `${row.name} publicKey: ${row.sizes.publicKey} bytes`, `${raw.length} bytes`);
  }
  const traditional = raw.slice(at);
  checkHalfPublicKey(row.traditional, traditional, `${row.name} publicKey.traditional`);
  return { row, mlDsa: raw.slice(0, at), traditional };
}

export function writeCompositePublicKey(key: CompositePublicKey): Uint8Array {
  const raw = concat(key.mlDsa, key.traditional);
  const read = readCompositePublicKey(key.row, raw);
  if (read.mlDsa.length !== key.mlDsa.length) throw fault('COMPOSITE-PUBLIC-KEY', `${key.row.name} publicKey.mlDsa: ${read.mlDsa.length} bytes`, `${key.mlDsa.length} bytes`);
  return raw;
}

/** Splits a raw private key and checks both halves on their own. Throws `Refused` naming the half, never its content. */
export function readCompositePrivateKey(row: CompositeSignature, raw: Uint8Array): CompositePrivateKey {
  if (raw.length <= 32 || raw.length > row.sizes.privateKey + 600 || (!row.sizes.varies.includes('privateKey') && raw.length !== row.sizes.privateKey)) {
    throw fault('COMPOSITE-PRIVATE-KEY', `${row.name} privateKey: ${row.sizes.privateKey} bytes`, `${raw.length} bytes`);
  }
  const key = { row, seed: raw.slice(0, 32), traditional: raw.slice(32) };
  halfPublicKey(row.traditional, key.traditional, `${row.name} privateKey.traditional`);
  return key;
}

export function writeCompositePrivateKey(key: CompositePrivateKey): Uint8Array {
  if (key.seed.length !== 32) throw fault('COMPOSITE-PRIVATE-KEY', `${key.row.name} privateKey.seed: 32 bytes`, `${key.seed.length} bytes`);
  const raw = concat(key.seed, key.traditional);
  readCompositePrivateKey(key.row, raw);
  return raw;
}

/** The public key that belongs to a private one, both halves computed anew. */
export function compositePublicFromPrivate(key: CompositePrivateKey): CompositePublicKey {
  const { publicKey, secretKey } = ML_DSA[key.row.mlDsa].keygen(key.seed);
  secretKey.fill(0);
  return { row: key.row, mlDsa: publicKey, traditional: halfPublicKey(key.row.traditional, key.traditional, `${key.row.name} privateKey.traditional`) };
}

/** Throws `Refused` COMPOSITE-SIGNATURE on every length that a signature of this composite cannot have. */
export function splitCompositeSignature(row: CompositeSignature, signature: Uint8Array): { readonly mlDsa: Uint8Array; readonly traditional: Uint8Array } {
  const at = ALGORITHMS[row.mlDsa].signatureBytes;
  const { least, most } = halfSignatureBytes(row.traditional);
  if (signature.length < at + least || signature.length > at + most) {
    const size = least === most ? `${at + most}` : `${at + least} to ${at + most}`;
    throw fault('COMPOSITE-SIGNATURE', `${row.name} signature: ${size} bytes`, `${signature.length} bytes`);
  }
  return { mlDsa: signature.slice(0, at), traditional: signature.slice(at) };
}

// --- M' ------------------------------------------------------------------------------------------------------------------

/** PH(M), which may be computed elsewhere: an offline signer needs nothing more of the message. */
export function compositePreHash(row: CompositeSignature, message: Uint8Array): Uint8Array {
  switch (row.preHash) {
    case 'SHA-256':
      return sha256(message);
    case 'SHA-512':
      return sha512(message);
    case 'SHAKE256-64':
      return shake256(message, { dkLen: 64 });
  }
}

/** M' of a message already hashed. `context` is the application's, empty in X.509, PKCS#10 and CMS. */
export function compositeMessage(row: CompositeSignature, preHash: Uint8Array, context: Uint8Array = new Uint8Array()): Uint8Array {
  const wanted = row.preHash === 'SHA-256' ? 32 : 64;
  if (preHash.length !== wanted) throw fault('COMPOSITE-PRE-HASH', `${row.name} PH(M): ${wanted} bytes of ${row.preHash}`, `${preHash.length} bytes`);
  if (context.length > 255) throw fault('COMPOSITE-CONTEXT', `${row.name} context: at most 255 bytes`, `${context.length} bytes`);
  return concat(PREFIX, utf8(row.domain), Uint8Array.of(context.length), context, preHash);
}

// --- signing and verifying -----------------------------------------------------------------------------------------------

/** Signs with both halves. What each half gives back is checked for length; the caller verifies the whole before use. */
export async function signComposite(row: CompositeSignature, signers: CompositeSigners, message: Uint8Array, context?: Uint8Array): Promise<Uint8Array> {
  const m = compositeMessage(row, compositePreHash(row, message), context);
  const mlDsa = await signers.mlDsa(m.slice(), utf8(row.domain));
  const traditional = await signers.traditional(m.slice());
  const wanted = ALGORITHMS[row.mlDsa].signatureBytes;
  if (mlDsa.length !== wanted) throw fault('COMPOSITE-SIGNATURE', `${row.name} signature.mlDsa: ${wanted} bytes`, `${mlDsa.length} bytes`);
  const signature = concat(mlDsa, traditional);
  splitCompositeSignature(row, signature);
  return signature;
}

/** Both halves in software. ML-DSA is hedged with `randomness`: 32 fresh random bytes per signer object. */
export function softwareSigners(key: CompositePrivateKey, randomness: Uint8Array): CompositeSigners {
  if (randomness.length !== 32) throw fault('COMPOSITE-PRIVATE-KEY', '32 random bytes', `${randomness.length} bytes`);
  return {
    mlDsa: async (message, context) => {
      const scheme = ML_DSA[key.row.mlDsa];
      const { secretKey } = scheme.keygen(key.seed);
      try {
        return scheme.sign(message, secretKey, { context, extraEntropy: randomness });
      } finally {
        secretKey.fill(0);
      }
    },
    traditional: (message) => signHalf(key.row.traditional, key.traditional, message, `${key.row.name} privateKey.traditional`),
  };
}

/**
 * Verifies both halves and says which failed: COMPOSITE-ML-DSA-HALF, COMPOSITE-TRADITIONAL-HALF, or COMPOSITE-SIGNATURE
 * for a length that cannot be. Does not throw for a signature; throws `Refused` COMPOSITE-CONTEXT for a context too long.
 */
export async function verifyComposite(key: CompositePublicKey, message: Uint8Array, signature: Uint8Array, context?: Uint8Array): Promise<CompositeVerdict> {
  const { row } = key;
  const m = compositeMessage(row, compositePreHash(row, message), context);
  let halves: { readonly mlDsa: Uint8Array; readonly traditional: Uint8Array };
  try {
    halves = splitCompositeSignature(row, signature);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { valid: false, mlDsa: false, traditional: false, findings: [error.refusal] };
  }
  const mlDsa = mlDsaVerifies(row, key.mlDsa, m, halves.mlDsa);
  const traditional = await verifyHalf(row.traditional, key.traditional, m, halves.traditional);
  const findings: Refusal[] = [];
  const bad = (rule: string, half: string): number => findings.push(refuse(rule, `${row.name}: a ${half} signature that fits`, 'one that does not', NEXT));
  if (!mlDsa) bad('COMPOSITE-ML-DSA-HALF', ALGORITHMS[row.mlDsa].label);
  if (!traditional) bad('COMPOSITE-TRADITIONAL-HALF', 'classical');
  return { valid: mlDsa && traditional, mlDsa, traditional, findings };
}

const NEXT = 'Do not rely on this signature. Check key, data and context.';

function mlDsaVerifies(row: CompositeSignature, publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return ML_DSA[row.mlDsa].verify(signature, message, publicKey, { context: utf8(row.domain) });
  } catch {
    return false;
  }
}

function fault(rule: string, expected: string, found: string): Refused {
  return new Refused(refuse(rule, expected, found, 'Read the value again from where it came; do not pad or cut it.'));
}
