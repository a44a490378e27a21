/**
 * XMSS and XMSS^MT signatures (RFC 8391, parameter sets and short hashes of SP 800-208): VERIFYING ONLY.
 *
 * SP 800-208 section 8.1 forbids making, backing up or sharing such keys outside one hardware module, because a private
 * key used twice in the same state is broken. So nothing here signs, and nothing may be added that does. Every length is
 * known from the key's parameter set before anything is hashed, so a hostile signature costs no more than a good one.
 */

import { sha256 } from '@noble/hashes/sha2.js';
import { shake256 } from '@noble/hashes/sha3.js';
import { concat, equalBytes } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { XMSS_SETS, XMSS_TREES, type XmssAlgorithm } from './algorithms.ts';

/** Winternitz parameter of every set: digits of four bits, three of them the checksum (RFC 8391 section 3.1.1). */
const W = 16;
const CHECKSUM_DIGITS = 3;

/** The parameter set of a raw public key: OID, root, seed (RFC 8391 appendices B.3 and C.3). Throws `Refused` XMSS-PUBLIC-KEY. */
export function readXmssPublicKey(tree: XmssAlgorithm['tree'], raw: Uint8Array): XmssAlgorithm {
  const { label } = XMSS_TREES[tree];
  if (raw.length < 4) throw new Refused(bad('XMSS-PUBLIC-KEY', 'the number of a parameter set', `${raw.length} bytes`));
  const set = new DataView(raw.buffer, raw.byteOffset).getUint32(0);
  const row = XMSS_SETS.find((one) => one.tree === tree && one.pkcs11.parameterSet === set);
  if (row === undefined) throw new Refused(bad('XMSS-PUBLIC-KEY', `a parameter set of SP 800-208 for ${label}`, `number ${set}`));
  if (raw.length !== 4 + 2 * row.n) throw new Refused(bad('XMSS-PUBLIC-KEY', `${row.label}: ${4 + 2 * row.n} bytes`, `${raw.length} bytes`));
  return row;
}

/** Null when the signature is valid (RFC 8391 algorithms 14 and 17); XMSS-PUBLIC-KEY, XMSS-SIGNATURE or SIGNATURE-VERIFIES otherwise. */
export function xmssFault(tree: XmssAlgorithm['tree'], publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Refusal | null {
  let row: XmssAlgorithm;
  try {
    row = readXmssPublicKey(tree, publicKey);
  } catch (error) {
    if (error instanceof Refused) return error.refusal;
    throw error;
  }
  const { n, height, layers, label, signatureBytes } = row;
  if (signature.length !== signatureBytes) return bad('XMSS-SIGNATURE', `${label}: ${signatureBytes} bytes`, `${signature.length} bytes`);
  const at = indexBytes(row);
  const index = signature.subarray(0, at).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  if (index >= 1n << BigInt(height)) return bad('XMSS-SIGNATURE', `${label}: one of 2^${height} one-time keys`, `number ${index}`);

  const randomness = signature.subarray(at, at + n);
  const root = publicKey.subarray(4, 4 + n);
  const hashes = new Hashes(row, publicKey.subarray(4 + n));
  let node = hashes.message(concat(randomness, root, bigEndian(index, n)), message);
  const layerHeight = height / layers;
  const layerNodes = chains(n) + layerHeight;
  let left = index;
  for (let layer = 0; layer < layers; layer++) {
    const start = at + n + layer * layerNodes * n;
    const nodes = Array.from({ length: layerNodes }, (_, i) => signature.subarray(start + i * n, start + (i + 1) * n));
    const leaf = Number(BigInt.asUintN(layerHeight, left));
    left >>= BigInt(layerHeight);
    node = hashes.rootOf(new Address(layer, left), leaf, node, nodes);
  }
  return equalBytes(node, root) ? null : bad('SIGNATURE-VERIFIES', `an ${label} signature that fits`, 'one that does not');
}

/** RFC 8391 sections 4.1.8 and 4.2.3: four octets in XMSS, as many as the height needs in XMSS^MT. */
function indexBytes({ tree, height }: XmssAlgorithm): number {
  return tree === 'xmss' ? 4 : Math.ceil(height / 8);
}

const chains = (n: number): number => 2 * n + CHECKSUM_DIGITS;

/** RFC 8391 section 2.5: 32 octets that make every hash of a key another function. Written in place, in the order of the steps. */
class Address {
  readonly bytes = new Uint8Array(32);
  private readonly view = new DataView(this.bytes.buffer);
  constructor(layer: number, tree: bigint) {
    this.view.setUint32(0, layer);
    this.view.setBigUint64(4, tree);
  }
  /** Begins one of the three kinds; `words` are those after the type, and the rest is zero. */
  of(type: 'one-time' | 'l-tree' | 'tree', ...words: readonly number[]): this {
    this.view.setUint32(12, ['one-time', 'l-tree', 'tree'].indexOf(type));
    for (let i = 0; i < 4; i++) this.view.setUint32(16 + 4 * i, words[i] ?? 0);
    return this;
  }
  /** Key 0, and masks 1 and 2 (RFC 8391 section 2.5: keyAndMask). */
  part(number: 0 | 1 | 2): Uint8Array {
    this.view.setUint32(28, number);
    return this.bytes;
  }
}

/** The functions of RFC 8391 sections 3.1.2, 4.1.4 and 5.1 under one public seed. */
class Hashes {
  private readonly n: 24 | 32;
  private readonly digest: (data: Uint8Array) => Uint8Array;
  private readonly seed: Uint8Array;
  constructor({ hash, n }: XmssAlgorithm, seed: Uint8Array) {
    this.n = n;
    this.digest = hash === 'SHA-256' ? (data) => sha256(data).subarray(0, n) : (data) => shake256(data, { dkLen: n });
    this.seed = seed;
  }

  /** F is 0, H is 1, H_msg is 2, PRF is 3. The number has n octets, but four where n is 24 (SP 800-208 section 5). */
  private keyed(number: 0 | 1 | 2 | 3, key: Uint8Array, data: Uint8Array): Uint8Array {
    const prefix = new Uint8Array(this.n === 24 ? 4 : this.n);
    prefix[prefix.length - 1] = number;
    return this.digest(concat(prefix, key, data));
  }

  private random(address: Address, part: 0 | 1 | 2): Uint8Array {
    return this.keyed(3, this.seed, address.part(part));
  }

  message(key: Uint8Array, message: Uint8Array): Uint8Array {
    return this.keyed(2, key, message);
  }

  /** RFC 8391 algorithm 7: RAND_HASH. */
  private pair(address: Address, left: Uint8Array, right: Uint8Array): Uint8Array {
    const key = this.random(address, 0);
    return this.keyed(1, key, concat(xor(left, this.random(address, 1)), xor(right, this.random(address, 2))));
  }

  /** RFC 8391 algorithm 13: the root of the tree to which this one-time signature and path lead. */
  rootOf(address: Address, leaf: number, signed: Uint8Array, nodes: readonly Uint8Array[]): Uint8Array {
    const length = chains(this.n);
    let value = this.leafOf(address, leaf, digitsOf(signed).map((digit, chain) => this.chainEnd(address, leaf, chain, digit, nodes[chain]!)));
    let index = leaf;
    nodes.slice(length).forEach((sibling, k) => {
      const right = index % 2 === 1;
      index = Math.floor(index / 2);
      address.of('tree', 0, k, index);
      value = right ? this.pair(address, sibling, value) : this.pair(address, value, sibling);
    });
    return value;
  }

  /** RFC 8391 algorithms 2 and 6: what is left of one chain. */
  private chainEnd(address: Address, leaf: number, chain: number, digit: number, start: Uint8Array): Uint8Array {
    let value = start;
    for (let step = digit; step < W - 1; step++) {
      address.of('one-time', leaf, chain, step);
      const key = this.random(address, 0);
      value = this.keyed(0, key, xor(value, this.random(address, 1)));
    }
    return value;
  }

  /** RFC 8391 algorithm 8: the L-tree over the ends of the chains. */
  private leafOf(address: Address, leaf: number, ends: readonly Uint8Array[]): Uint8Array {
    let level = ends;
    for (let height = 0; level.length > 1; height++) {
      const above: Uint8Array[] = [];
      for (let i = 0; i + 1 < level.length; i += 2) above.push(this.pair(address.of('l-tree', leaf, height, i / 2), level[i]!, level[i + 1]!));
      if (level.length % 2 === 1) above.push(level[level.length - 1]!);
      level = above;
    }
    return level[0]!;
  }
}

/** RFC 8391 section 3.1.5: digits of four bits, and the checksum over them as three more. */
function digitsOf(digest: Uint8Array): number[] {
  const digits = Array.from(digest, (byte) => [byte >> 4, byte & 15]).flat();
  const sum = digits.reduce((total, digit) => total + W - 1 - digit, 0);
  return [...digits, sum >> 8, (sum >> 4) & 15, sum & 15];
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ b[i]!);
}

function bigEndian(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  new DataView(bytes.buffer).setBigUint64(length - 8, value);
  return bytes;
}

function bad(rule: string, expected: string, found: string): Refusal {
  return refuse(rule, expected, found, 'Do not rely on this signature. Check key, data and signature.');
}
