/**
 * XMSS and XMSS^MT keys of every parameter set, for tests alone, with an arithmetic of their own: the app must never sign with
 * such a key. A whole tree would take minutes to hours, so of each tree a few one-time keys are real, and what stands beside
 * their path is random; nobody who verifies can tell. Nothing outside test/ may import this.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { XmssAlgorithm } from '../../../ceremonies/keys/algorithms.ts';

export interface XmssKey {
  readonly raw: Uint8Array;
  /** Each call uses the next index. */
  readonly sign: (message: Uint8Array) => Uint8Array;
}

/** Signs with the indexes from `first` on, 2^`real` of them; `first` is a multiple of that number. */
export function xmssKey({ tree: kind, hash, n, height, layers, pkcs11 }: XmssAlgorithm, first: bigint, real: number): XmssKey {
  const each = height / layers;
  const seed = randomBytes(n);
  const secret = randomBytes(n);
  const u = (value: number | bigint, bytes: number): Buffer => Buffer.from(value.toString(16).padStart(2 * bytes, '0'), 'hex');
  const h = (...parts: readonly Uint8Array[]): Buffer => {
    const digest = hash === 'SHA-256' ? createHash('sha256') : createHash('shake256', { outputLength: n });
    return parts.reduce((sum, part) => sum.update(part), digest).digest().subarray(0, n);
  };
  const padding = n === 32 ? 32 : 4; // SP 800-208: toByte(X, 4) where hashes have 24 octets
  const keyed = (number: number, ...rest: readonly Uint8Array[]): Buffer => h(u(number, padding), ...rest);

  /** One tree: its root, and what its leaf `leaf` signs with. `base`: the first of the leaves that are real. */
  const treeAt = (layer: number, tree: bigint, base: number, levels: number) => {
    const address = (...words: readonly number[]): Buffer => Buffer.concat([u(layer, 4), u(tree, 8), ...words.map((word) => u(word, 4))]);
    const random = (words: readonly number[], part: number): Buffer => keyed(3, seed, address(...words, part));
    const covered = (value: Buffer, mask: Buffer): Buffer => Buffer.from(value.map((byte, i) => byte ^ mask[i]!));
    const step = (value: Buffer, words: readonly number[]): Buffer => keyed(0, random(words, 0), covered(value, random(words, 1)));
    const join = (left: Buffer, right: Buffer, words: readonly number[]): Buffer => keyed(1, random(words, 0), covered(left, random(words, 1)), covered(right, random(words, 2)));
    const run = (leaf: number, chain: number, to: number): Buffer => {
      let value = h(secret, u(layer, 4), u(tree, 8), u(leaf, 4), u(chain, 4));
      for (let i = 0; i < to; i++) value = step(value, [0, leaf, chain, i]);
      return value;
    };
    const leafOf = (leaf: number): Buffer => {
      let level = Array.from({ length: 2 * n + 3 }, (_, chain) => run(leaf, chain, 15));
      for (let at = 0; level.length > 1; at++) {
        level = Array.from({ length: Math.ceil(level.length / 2) }, (_, i) => level[2 * i + 1] === undefined ? level[2 * i]! : join(level[2 * i]!, level[2 * i + 1]!, [1, leaf, at, i]));
      }
      return level[0]!;
    };
    const rows: Buffer[][] = [Array.from({ length: 2 ** levels }, (_, i) => leafOf(base + i))];
    for (let at = 0; at < levels; at++) {
      const below = rows[at]!;
      rows.push(Array.from({ length: below.length / 2 }, (_, i) => join(below[2 * i]!, below[2 * i + 1]!, [2, 0, at, base / 2 ** (at + 1) + i])));
    }
    let node = rows[levels]![0]!;
    const beside: Buffer[] = [];
    for (let at = levels; at < each; at++) {
      const place = Math.floor(base / 2 ** at);
      const other = randomBytes(n);
      beside.push(other);
      node = place % 2 === 0 ? join(node, other, [2, 0, at, Math.floor(place / 2)]) : join(other, node, [2, 0, at, Math.floor(place / 2)]);
    }
    const signed = (leaf: number, digest: Buffer): Buffer => {
      const digits = [...digest.toString('hex')].map((digit) => parseInt(digit, 16));
      const sum = digits.reduce((total, digit) => total + 15 - digit, 0).toString(16).padStart(3, '0');
      const chains = [...digits, ...[...sum].map((digit) => parseInt(digit, 16))].map((digit, chain) => run(leaf, chain, digit));
      const path = Array.from({ length: levels }, (_, at) => rows[at]![Math.floor((leaf - base) / 2 ** at) ^ 1]!);
      return Buffer.concat([...chains, ...path, ...beside]);
    };
    return { root: node, signed };
  };

  const at = (layer: number) => ({ tree: first >> BigInt(each * (layer + 1)), leaf: Number((first >> BigInt(each * layer)) % (1n << BigInt(each))) });
  const trees = Array.from({ length: layers }, (_, layer) => treeAt(layer, at(layer).tree, at(layer).leaf, layer === 0 ? real : 0));
  const root = trees[layers - 1]!.root;
  const above = trees.slice(1).map((tree, i) => tree.signed(at(i + 1).leaf, trees[i]!.root));
  let used = 0;
  return {
    raw: new Uint8Array(Buffer.concat([u(pkcs11.parameterSet, 4), root, seed])),
    sign: (message) => {
      if (used === 2 ** real) throw new Error('this key has signed all that it can');
      const index = first + BigInt(used);
      const leaf = at(0).leaf + used++;
      const r = randomBytes(n);
      const digest = keyed(2, r, root, u(index, n), message);
      return new Uint8Array(Buffer.concat([u(index, kind === 'xmss' ? 4 : Math.ceil(height / 8)), r, trees[0]!.signed(leaf, digest), ...above]));
    },
  };
}
