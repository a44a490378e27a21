/**
 * Key encapsulation: ML-KEM (FIPS 203), the composites of draft-ietf-lamps-pq-composite-kem-21, and X-Wing.
 *
 * Every input is judged before it is used: lengths, the modulus check of FIPS 203 section 7.2, points on their curves,
 * sizes of RSA moduli. What a half refuses is refused as a whole, by name; only ML-KEM itself rejects implicitly, as FIPS 203
 * says it must. Randomness comes from the caller. Shared secrets are returned and never written anywhere.
 */

import { sha3_256, shake256 } from '@noble/hashes/sha3.js';
import { ml_kem1024, ml_kem512, ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import { concat, equalBytes, utf8 } from '../bytes.ts';
import { Refused, refuse } from '../refusal.ts';
import { CURVE_FACTS, ML_KEMS, MONTGOMERY_FACTS, type CompositeKem, type KemHalf, type MlKemAlgorithm, type MlKemName, type XWingAlgorithm } from './algorithms.ts';
import {
  CURVES, keyFault, montgomeryFault, MONTGOMERY, pointFault, readEcPrivateKey, readRsaPrivateKey, readRsaPublicKey, rsaOaepDecrypt, rsaOaepEncrypt, writeRsaPublicKey,
} from './traditional.ts';

export type KemAlgorithm = MlKemAlgorithm | CompositeKem | XWingAlgorithm;

export const ML_KEM = { 'ml-kem-512': ml_kem512, 'ml-kem-768': ml_kem768, 'ml-kem-1024': ml_kem1024 } as const satisfies Record<MlKemName, unknown>;

export interface Encapsulated {
  readonly ciphertext: Uint8Array;
  /** 32 bytes, secret. The caller wipes it. */
  readonly sharedSecret: Uint8Array;
}

/** `randomness` octets that `encapsulate` takes: 32 for ML-KEM, then what the classical half needs. */
export function encapsulationRandomness(row: KemAlgorithm): number {
  switch (row.family) {
    case 'ml-kem':
      return 32;
    case 'x-wing':
      return 64;
    case 'composite-kem':
      return 32 + halfRandomness(row.traditional);
  }
}

function halfRandomness(half: KemHalf): number {
  switch (half.kind) {
    case 'rsa-oaep':
      return 64; // the secret itself, then the OAEP seed
    case 'ecdh':
      return CURVES[half.curve].lengths.seed ?? CURVE_FACTS[half.curve].fieldBytes * 2; // extra bits, FIPS 186-5 section A.2.1
    case 'xdh':
      return MONTGOMERY_FACTS[half.curve].keyBytes;
  }
}

/**
 * Refuses an encapsulation key that is not one: KEM-PUBLIC-KEY for lengths, KEM-MODULUS for coefficients of 3329 and above
 * (FIPS 203 section 7.2, modulus check), KEY-ENCODING for the classical half.
 */
export function checkKemPublicKey(row: KemAlgorithm, raw: Uint8Array): void {
  switch (row.family) {
    case 'ml-kem':
      if (raw.length !== row.publicKeyBytes) throw fault('KEM-PUBLIC-KEY', `${row.label} publicKey: ${row.publicKeyBytes} bytes`, `${raw.length} bytes`);
      if (coefficientAbove(raw.subarray(0, -32))) {
        throw fault('KEM-MODULUS', `${row.label} publicKey: every coefficient below 3329`, 'one that is not');
      }
      return;
    case 'x-wing':
    case 'composite-kem': {
      const { mlKem, traditional } = splitPublicKey(row, raw);
      checkKemPublicKey(ML_KEMS[mlKemOf(row)], mlKem);
      const field = `${row.name} publicKey.traditional`;
      const half = halfOf(row);
      switch (half.kind) {
        case 'rsa-oaep':
          readRsaPublicKey(traditional, field, half.modulusBits);
          return;
        case 'ecdh': {
          const found = pointFault(half.curve, traditional);
          if (found !== null) throw keyFault(field, `an uncompressed point of ${half.curve}`, found);
          return;
        }
        case 'xdh': {
          const found = montgomeryFault(half.curve, traditional);
          if (found !== null) throw keyFault(field, `a sound ${half.curve} key`, found);
        }
      }
    }
  }
}

/** Twelve bits each, two in three bytes (FIPS 203 algorithm 6). */
export function coefficientAbove(packed: Uint8Array): boolean {
  let above = false;
  for (let i = 0; i + 2 < packed.length; i += 3) {
    const low = packed[i]! | ((packed[i + 1]! & 15) << 8);
    const high = (packed[i + 1]! >> 4) | (packed[i + 2]! << 4);
    if (low >= 3329 || high >= 3329) above = true;
  }
  return above;
}

export function mlKemOf(row: CompositeKem | XWingAlgorithm): MlKemName {
  return row.family === 'x-wing' ? 'ml-kem-768' : row.mlKem;
}

export function halfOf(row: CompositeKem | XWingAlgorithm): KemHalf {
  return row.family === 'x-wing' ? { kind: 'xdh', curve: 'X25519' } : row.traditional;
}

/** X-Wing's label is that of MLKEM768-X25519: the two agree in everything but the private key. */
function domainOf(row: CompositeKem | XWingAlgorithm): Uint8Array {
  return utf8(row.family === 'x-wing' ? '\\.//^\\' : row.domain);
}

function splitPublicKey(row: CompositeKem | XWingAlgorithm, raw: Uint8Array): { readonly mlKem: Uint8Array; readonly traditional: Uint8Array } {
  const at = ML_KEMS[mlKemOf(row)].publicKeyBytes;
  if (raw.length <= at || raw.length > row.sizes.publicKey + 300 || (!row.sizes.varies.includes('publicKey') && raw.length !== row.sizes.publicKey)) {
    throw fault('KEM-PUBLIC-KEY', `${row.name} publicKey: ${row.sizes.publicKey} bytes`, `${raw.length} bytes`);
  }
  return { mlKem: raw.slice(0, at), traditional: raw.slice(at) };
}

/** SHA3-256( mlkemSS || tradSS || tradCT || tradPK || Label ), section 3.4 of the draft. */
export function combineSecrets(row: CompositeKem | XWingAlgorithm, mlKemSecret: Uint8Array, secret: Uint8Array, ciphertext: Uint8Array, publicKey: Uint8Array): Uint8Array {
  return sha3_256(concat(mlKemSecret, secret, ciphertext, publicKey, domainOf(row)));
}

/** Throws `Refused` as `checkKemPublicKey`, and KEM-RANDOMNESS for another length than `encapsulationRandomness`. */
export function encapsulate(row: KemAlgorithm, publicKey: Uint8Array, randomness: Uint8Array): Encapsulated {
  checkKemPublicKey(row, publicKey);
  const wanted = encapsulationRandomness(row);
  if (randomness.length !== wanted) throw fault('KEM-RANDOMNESS', `${wanted} random bytes`, `${randomness.length} bytes`);
  if (row.family === 'ml-kem') {
    const { cipherText, sharedSecret } = ML_KEM[row.name].encapsulate(publicKey, randomness);
    return { ciphertext: cipherText, sharedSecret };
  }
  const { mlKem, traditional } = splitPublicKey(row, publicKey);
  const first = ML_KEM[mlKemOf(row)].encapsulate(mlKem, randomness.slice(0, 32));
  const second = encapsulateHalf(halfOf(row), traditional, randomness.slice(32));
  try {
    return {
      ciphertext: concat(first.cipherText, second.ciphertext),
      sharedSecret: combineSecrets(row, first.sharedSecret, second.sharedSecret, second.ciphertext, traditional),
    };
  } finally {
    first.sharedSecret.fill(0);
    second.sharedSecret.fill(0);
  }
}

function encapsulateHalf(half: KemHalf, publicKey: Uint8Array, randomness: Uint8Array): Encapsulated {
  switch (half.kind) {
    case 'rsa-oaep': {
      const sharedSecret = randomness.slice(0, 32);
      return { sharedSecret, ciphertext: rsaOaepEncrypt(readRsaPublicKey(publicKey, 'rsa-oaep publicKey', half.modulusBits), sharedSecret, randomness.slice(32)) };
    }
    case 'ecdh': {
      const curve = CURVES[half.curve];
      const ephemeral = curve.utils.randomSecretKey(randomness);
      // The X coordinate only (SEC 1 section 3.3.1): noble gives the point.
      const sharedSecret = curve.getSharedSecret(ephemeral, publicKey, true).slice(1);
      return { sharedSecret, ciphertext: curve.getPublicKey(ephemeral, false) };
    }
    case 'xdh': {
      const curve = MONTGOMERY[half.curve];
      return { sharedSecret: curve.getSharedSecret(randomness, publicKey), ciphertext: curve.getPublicKey(randomness) };
    }
  }
}

/** What a decapsulation key is made of: ML-KEM's expanded key, and the classical half as its row writes it. Secrets. */
interface KemKey {
  readonly mlKem: Uint8Array;
  readonly traditional: Uint8Array | null;
}

/**
 * Opens a private key: for ML-KEM the 64-byte seed d||z, for a composite the seed and the classical key, for X-Wing 32 bytes.
 * Gives the public key too, computed anew. Throws `Refused` KEM-PRIVATE-KEY, DER-STRUCTURE, KEY-ENCODING or RSA-CONSISTENT.
 */
function openKey(row: KemAlgorithm, privateKey: Uint8Array): KemKey & { readonly publicKey: Uint8Array; readonly half: Uint8Array | null } {
  const need = (length: number): void => {
    if (privateKey.length !== length) throw fault('KEM-PRIVATE-KEY', `${row.label} privateKey: ${length} bytes`, `${privateKey.length} bytes`);
  };
  switch (row.family) {
    case 'ml-kem': {
      need(64);
      const { publicKey, secretKey } = ML_KEM[row.name].keygen(privateKey);
      return { mlKem: secretKey, traditional: null, publicKey, half: null };
    }
    case 'x-wing': {
      need(32);
      const expanded = shake256(privateKey, { dkLen: 96 });
      const { publicKey, secretKey } = ml_kem768.keygen(expanded.slice(0, 64));
      const traditional = expanded.slice(64);
      expanded.fill(0);
      const half = MONTGOMERY.X25519.getPublicKey(traditional);
      return { mlKem: secretKey, traditional, publicKey: concat(publicKey, half), half };
    }
    case 'composite-kem': {
      if (row.sizes.varies.includes('privateKey')) {
        if (privateKey.length <= 64 || privateKey.length > row.sizes.privateKey + 600) need(row.sizes.privateKey);
      } else need(row.sizes.privateKey);
      const traditional = privateKey.slice(64);
      const half = kemHalfPublicKey(row.traditional, traditional, `${row.name} privateKey.traditional`);
      const { publicKey, secretKey } = ML_KEM[row.mlKem].keygen(privateKey.slice(0, 64));
      return { mlKem: secretKey, traditional, publicKey: concat(publicKey, half), half };
    }
  }
}

function kemHalfPublicKey(half: KemHalf, privateKey: Uint8Array, field: string): Uint8Array {
  switch (half.kind) {
    case 'rsa-oaep':
      return writeRsaPublicKey(readRsaPrivateKey(privateKey, field, half.modulusBits));
    case 'ecdh':
      return CURVES[half.curve].getPublicKey(readEcPrivateKey(privateKey, half.curve, field, true), false);
    case 'xdh':
      return MONTGOMERY[half.curve].getPublicKey(privateKey);
  }
}

/** The public key of a private one in the form that `decapsulate` takes. */
export function kemPublicFromPrivate(row: KemAlgorithm, privateKey: Uint8Array): Uint8Array {
  const key = openKey(row, privateKey);
  wipe(key);
  return key.publicKey;
}

/**
 * The shared secret, 32 bytes. Throws `Refused` KEM-CIPHERTEXT for a length that cannot be and for whatever the classical
 * half refuses; an ML-KEM ciphertext for another key gives another secret and no error (FIPS 203 section 6.3).
 */
export async function decapsulate(row: KemAlgorithm, privateKey: Uint8Array, ciphertext: Uint8Array): Promise<Uint8Array> {
  const wanted = row.family === 'ml-kem' ? row.ciphertextBytes : row.sizes.ciphertext;
  if (ciphertext.length !== wanted) throw fault('KEM-CIPHERTEXT', `${row.label} ciphertext: ${wanted} bytes`, `${ciphertext.length} bytes`);
  const key = openKey(row, privateKey);
  try {
    if (row.family === 'ml-kem') return ML_KEM[row.name].decapsulate(ciphertext, key.mlKem);
    const name = mlKemOf(row);
    const at = ML_KEMS[name].ciphertextBytes;
    const first = ML_KEM[name].decapsulate(ciphertext.slice(0, at), key.mlKem);
    const rest = ciphertext.slice(at);
    const second = await decapsulateHalf(halfOf(row), key.traditional!, rest, row.name);
    const secret = combineSecrets(row, first, second, rest, key.half!);
    first.fill(0);
    second.fill(0);
    return secret;
  } finally {
    wipe(key);
  }
}

async function decapsulateHalf(half: KemHalf, privateKey: Uint8Array, ciphertext: Uint8Array, name: string): Promise<Uint8Array> {
  const field = `${name} ciphertext.traditional`;
  switch (half.kind) {
    case 'rsa-oaep': {
      const secret = await rsaOaepDecrypt(privateKey, ciphertext);
      if (secret.length !== 32) throw fault('KEM-CIPHERTEXT', `${field}: a secret of 32 bytes`, `${secret.length} bytes`);
      return secret;
    }
    case 'ecdh': {
      const found = pointFault(half.curve, ciphertext);
      if (found !== null) throw fault('KEM-CIPHERTEXT', `${field}: an uncompressed point of ${half.curve}`, found);
      const scalar = readEcPrivateKey(privateKey, half.curve, `${name} privateKey.traditional`, true);
      return CURVES[half.curve].getSharedSecret(scalar, ciphertext, true).slice(1);
    }
    case 'xdh': {
      const found = montgomeryFault(half.curve, ciphertext);
      if (found !== null) throw fault('KEM-CIPHERTEXT', `${field}: a sound ${half.curve} key`, found);
      return MONTGOMERY[half.curve].getSharedSecret(privateKey, ciphertext);
    }
  }
}

/** Encapsulates to the key and opens it again: the self-test of a private key. `randomness` as for `encapsulate`. */
export async function kemSelfTest(row: KemAlgorithm, privateKey: Uint8Array, randomness: Uint8Array): Promise<boolean> {
  const { ciphertext, sharedSecret } = encapsulate(row, kemPublicFromPrivate(row, privateKey), randomness);
  return equalBytes(await decapsulate(row, privateKey, ciphertext), sharedSecret);
}

function wipe(key: KemKey): void {
  key.mlKem.fill(0);
  key.traditional?.fill(0);
}

function fault(rule: string, expected: string, found: string): Refused {
  return new Refused(refuse(rule, expected, found, 'Read the value again from where it came; do not pad or cut it.'));
}
