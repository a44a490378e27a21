/**
 * Real key pairs for tests, made and used by Node's own OpenSSL: an implementation that the code under test does not contain.
 * ML-DSA signs natively too. Nothing outside test/ may import this.
 */

import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { ALGORITHMS, type Algorithm, type AlgorithmName } from '../../../ceremonies/keys/algorithms.ts';
import { parsePublicKey, type PublicKey } from '../../../ceremonies/keys/public-key.ts';

export interface KeyPair {
  readonly publicKey: PublicKey;
  readonly object: KeyObject;
  /** Signature in JOSE form. */
  readonly sign: (message: Uint8Array) => Promise<Uint8Array>;
}

export function keyPair(name: AlgorithmName): KeyPair {
  const row: Algorithm = ALGORITHMS[name];
  const { publicKey, privateKey } = generate(row);
  return {
    publicKey: parsePublicKey(new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })), name),
    object: publicKey,
    sign: (message) => {
      const hash = row.hash === null ? null : row.hash.replace('-', '').toLowerCase();
      return Promise.resolve(new Uint8Array(sign(hash, message, { key: privateKey, dsaEncoding: 'ieee-p1363' })));
    },
  };
}

function generate(row: Algorithm): { publicKey: KeyObject; privateKey: KeyObject } {
  switch (row.family) {
    case 'ecdsa':
      return generateKeyPairSync('ec', { namedCurve: row.jose.crv });
    case 'rsa':
      return generateKeyPairSync('rsa', { modulusLength: row.modulusBits });
    case 'eddsa':
      return generateKeyPairSync('ed25519');
    case 'ml-dsa':
      return generateKeyPairSync(row.name);
  }
}

const made = new Map<AlgorithmName, KeyPair>();

/** One pair per algorithm and test file: RSA-4096 takes a second to make. */
export function sharedKeyPair(name: AlgorithmName): KeyPair {
  const pair = made.get(name) ?? keyPair(name);
  made.set(name, pair);
  return pair;
}

/** The same bytes with one bit changed. */
export function flipped(bytes: Uint8Array, at: number, bit = 0): Uint8Array {
  const copy = bytes.slice();
  copy[at]! ^= 1 << bit;
  return copy;
}
