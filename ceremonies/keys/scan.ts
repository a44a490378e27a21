/**
 * Public keys looked at together: what is wrong with a key only because of the others, and what a blocklist calls it.
 *
 * Each key by itself is judged by subject-key.ts. This file never reads a file or a token, and keeps nothing.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { toHex } from '../bytes.ts';
import { readRsaPublicKey } from './traditional.ts';
import type { SubjectKey } from './subject-key.ts';

/** Names of what is looked for among several keys. */
export const TESTS_TOGETHER = ['WEAK-SHARED-PRIME', 'KEY-DUPLICATE'] as const;

/** The RSA modulus of a key; null for keys of other kinds. */
export function modulusOf(key: SubjectKey): bigint | null {
  return key.kind === 'rsa' ? integer(readRsaPublicKey(key.raw, 'RSA publicKey').n) : null;
}

function integer(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${toHex(bytes)}`);
}

/**
 * For each modulus the factor it shares with another one, or null. All different, none zero. The cost is that of multiplying
 * all of them (batch gcd: D. Bernstein, "How to find smooth parts of integers", 2004; Heninger et al., "Mining Your Ps and
 * Qs", 2012), not of every pair. `breathe` is awaited between large steps, for whoever must stay answerable meanwhile.
 */
export async function sharedFactors(moduli: readonly bigint[], breathe: () => Promise<void> = async () => undefined): Promise<(bigint | null)[]> {
  if (moduli.length < 2) return moduli.map(() => null);
  const levels: bigint[][] = [[...moduli]];
  for (let level = levels[0]!; level.length > 1; levels.push(level)) {
    const above: bigint[] = [];
    for (let i = 0; i < level.length; i += 2) above.push(level[i]! * (level[i + 1] ?? 1n));
    level = above;
    await breathe();
  }
  // Downwards: the product of all, modulo the square of each node; at the leaves (product mod n^2) / n has the other factors.
  let remainders = levels.at(-1)!;
  for (let depth = levels.length - 2; depth >= 0; depth -= 1) {
    const below: bigint[] = [];
    for (const [i, value] of levels[depth]!.entries()) {
      below.push(remainders[i >> 1]! % (value * value));
      if (value > LARGE || i % 256 === 255) await breathe();
    }
    remainders = below;
  }
  return moduli.map((n, i) => {
    const factor = gcd(n, remainders[i]! / n);
    return factor === 1n ? null : factor;
  });
}

/** Numbers whose squares take a machine noticeable time. */
const LARGE = 1n << 200_000n;

export function gcd(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a;
}

/**
 * The beginning of SHA-256 under which a blocklist in the format of badkeys has this key: 15 bytes, of the number that makes
 * the key (n, x, the public bytes read as a number), without leading zeros; of post-quantum keys the raw bytes.
 */
export function blocklistHash(key: SubjectKey): Uint8Array {
  switch (key.kind) {
    case 'rsa': return beginning(unpadded(readRsaPublicKey(key.raw, 'RSA publicKey').n));
    case 'ecdsa': return beginning(unpadded(key.raw.subarray(1, 1 + (key.raw.length - 1) / 2)));
    case 'eddsa': case 'xdh': return beginning(unpadded(key.raw));
    case 'ml-dsa': case 'slh-dsa': case 'kem': case 'composite': case 'hss': case 'xmss': return beginning(key.raw);
  }
}

export const BLOCKLIST_HASH_BYTES = 15;

function beginning(bytes: Uint8Array): Uint8Array {
  return sha256(bytes).subarray(0, BLOCKLIST_HASH_BYTES);
}

function unpadded(bytes: Uint8Array): Uint8Array {
  let at = 0;
  while (at < bytes.length && bytes[at] === 0) at += 1;
  return bytes.subarray(at);
}
