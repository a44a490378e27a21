/**
 * HSS/LMS signatures (RFC 8554, parameter sets of SP 800-208 and RFC 9858): VERIFYING ONLY.
 *
 * SP 800-208 section 8.1 forbids making, backing up or sharing such keys outside one hardware module, because a private
 * key used twice in the same state is broken. So nothing here signs, and nothing may be added that does. Every length is
 * known from the type codes before anything is hashed, so a hostile signature costs no more than a good one.
 */

import { sha256 } from '@noble/hashes/sha2.js';
import { shake256 } from '@noble/hashes/sha3.js';
import { concat, equalBytes } from '../bytes.ts';
import { refuse, type Refusal } from '../refusal.ts';

interface Hash {
  readonly n: 24 | 32;
  readonly digest: (data: Uint8Array) => Uint8Array;
}
const HASH: readonly Hash[] = [
  { n: 32, digest: (data) => sha256(data) },
  { n: 24, digest: (data) => sha256(data).subarray(0, 24) },
  { n: 32, digest: (data) => shake256(data, { dkLen: 32 }) },
  { n: 24, digest: (data) => shake256(data, { dkLen: 24 }) },
];

/** Codes 5..9 (SHA-256), 10..14 (SHA-256/192), 15..19 (SHAKE256/256), 20..24 (SHAKE256/192): heights 5, 10, 15, 20, 25. */
function lmsType(code: number): { readonly hash: Hash; readonly family: number; readonly height: number } | null {
  const family = Math.floor((code - 5) / 5);
  const hash = HASH[family];
  return code < 5 || hash === undefined ? null : { hash, family, height: 5 * (((code - 5) % 5) + 1) };
}

/** Codes 1..4, 5..8, 9..12, 13..16 in the same order: Winternitz 1, 2, 4, 8. */
function otsType(code: number): { readonly hash: Hash; readonly family: number; readonly w: 1 | 2 | 4 | 8; readonly p: number; readonly shift: number } | null {
  const family = Math.floor((code - 1) / 4);
  const hash = HASH[family];
  if (code < 1 || hash === undefined) return null;
  const w = ([1, 2, 4, 8] as const)[(code - 1) % 4]!;
  const u = (8 * hash.n) / w;
  // RFC 8554 appendix B: v digits hold the checksum, which is shifted to the left end of its 16 bits.
  const v = Math.ceil((Math.floor(Math.log2((2 ** w - 1) * u)) + 1) / w);
  return { hash, family, w, p: u + v, shift: 16 - v * w };
}

const D_PBLC = Uint8Array.of(0x80, 0x80);
const D_MESG = Uint8Array.of(0x81, 0x81);
const D_LEAF = Uint8Array.of(0x82, 0x82);
const D_INTR = Uint8Array.of(0x83, 0x83);

const u32 = (value: number): Uint8Array => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
const u16 = (value: number): Uint8Array => Uint8Array.of(value >>> 8, value);

/** Reads from the front; null once anything was missing. */
class Reader {
  private at = 0;
  private readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
  take(length: number): Uint8Array | null {
    if (length > this.bytes.length - this.at) return null;
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
  number(): number | null {
    const four = this.take(4);
    return four && new DataView(four.buffer, four.byteOffset, 4).getUint32(0);
  }
  get rest(): number {
    return this.bytes.length - this.at;
  }
}

interface LmsPublicKey {
  readonly type: number;
  readonly ots: number;
  readonly id: Uint8Array;
  readonly root: Uint8Array;
}

function readLmsPublicKey(reader: Reader): LmsPublicKey | string {
  const type = reader.number();
  const ots = reader.number();
  if (type === null || ots === null) return 'a public key that ends early';
  const lms = lmsType(type);
  const lmots = otsType(ots);
  if (lms === null) return `LMS type ${type}`;
  if (lmots === null) return `LM-OTS type ${ots}`;
  if (lms.family !== lmots.family) return `LMS type ${type} with LM-OTS type ${ots}, of another hash`;
  const id = reader.take(16);
  const root = reader.take(lms.hash.n);
  return id === null || root === null ? 'a public key that ends early' : { type, ots, id, root };
}

/** Null when `raw` is an HSS public key: level count, type codes and length (RFC 8554 section 6.1). */
export function hssPublicKeyFault(raw: Uint8Array): Refusal | null {
  const reader = new Reader(raw);
  const levels = reader.number();
  if (levels === null || levels < 1 || levels > 8) return bad('HSS-PUBLIC-KEY', '1 to 8 levels', levels === null ? 'nothing' : `${levels}`);
  const key = readLmsPublicKey(reader);
  if (typeof key === 'string') return bad('HSS-PUBLIC-KEY', 'type codes of RFC 8554 or SP 800-208', key);
  return reader.rest === 0 ? null : bad('HSS-PUBLIC-KEY', 'nothing after the root', `${reader.rest} bytes`);
}

/** Null when the signature is valid (RFC 8554 section 6.3); HSS-PUBLIC-KEY, HSS-SIGNATURE or SIGNATURE-VERIFIES otherwise. */
export function hssFault(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Refusal | null {
  const fault = hssPublicKeyFault(publicKey);
  if (fault !== null) return fault;
  const keyReader = new Reader(publicKey);
  const levels = keyReader.number()!;
  let key = readLmsPublicKey(keyReader) as LmsPublicKey;
  const reader = new Reader(signature);
  const signed = reader.number();
  if (signed !== levels - 1) return bad('HSS-SIGNATURE', `${levels - 1} signed public keys`, signed === null ? 'nothing' : `${signed}`);
  // Read everything before anything is hashed.
  const steps: { readonly key: LmsPublicKey; readonly signature: LmsSignature; readonly message: Uint8Array }[] = [];
  for (let level = 0; level < levels; level++) {
    const lms = readLmsSignature(reader, key);
    if (typeof lms === 'string') return bad('HSS-SIGNATURE', `a whole LMS signature in level ${level + 1}`, lms);
    if (level === levels - 1) {
      steps.push({ key, signature: lms, message });
      break;
    }
    const before = reader.rest;
    const next = readLmsPublicKey(reader);
    if (typeof next === 'string') return bad('HSS-SIGNATURE', `a public key after level ${level + 1}`, next);
    steps.push({ key, signature: lms, message: signature.subarray(signature.length - before, signature.length - reader.rest) });
    key = next;
  }
  if (reader.rest !== 0) return bad('HSS-SIGNATURE', 'nothing after the last signature', `${reader.rest} bytes`);
  const wrong = steps.findIndex((step) => !equalBytes(candidate(step.key, step.signature, step.message), step.key.root));
  return wrong < 0 ? null : bad('SIGNATURE-VERIFIES', 'an HSS signature that fits', `level ${wrong + 1} does not`);
}

interface LmsSignature {
  readonly q: number;
  readonly c: Uint8Array;
  readonly y: readonly Uint8Array[];
  readonly path: readonly Uint8Array[];
}

function readLmsSignature(reader: Reader, key: LmsPublicKey): LmsSignature | string {
  const lms = lmsType(key.type)!;
  const ots = otsType(key.ots)!;
  const { n } = lms.hash;
  const q = reader.number();
  const otsCode = reader.number();
  if (q === null || otsCode === null) return 'an end before it';
  if (otsCode !== key.ots) return `LM-OTS type ${otsCode}, not ${key.ots}`;
  if (q >= 2 ** lms.height) return `leaf ${q} of ${2 ** lms.height}`;
  const c = reader.take(n);
  const y = Array.from({ length: ots.p }, () => reader.take(n));
  const type = reader.number();
  if (type !== key.type) return type === null ? 'an end before it' : `LMS type ${type}, not ${key.type}`;
  const path = Array.from({ length: lms.height }, () => reader.take(n));
  if (c === null || [...y, ...path].includes(null)) return 'an end before it';
  return { q, c, y: y as Uint8Array[], path: path as Uint8Array[] };
}

/** RFC 8554 algorithms 4b and 6a: the root that this signature leads to. */
function candidate(key: LmsPublicKey, { q, c, y, path }: LmsSignature, message: Uint8Array): Uint8Array {
  const { hash, height } = lmsType(key.type)!;
  const { w, p, shift } = otsType(key.ots)!;
  const digest = hash.digest(concat(key.id, u32(q), D_MESG, c, message));
  const digit = (bytes: Uint8Array, i: number): number => (bytes[Math.floor((i * w) / 8)]! >> (8 - w - ((i * w) % 8))) & (2 ** w - 1);
  let sum = 0;
  for (let i = 0; i < (8 * hash.n) / w; i++) sum += 2 ** w - 1 - digit(digest, i);
  const coded = concat(digest, u16(sum << shift));
  const ends = y.slice(0, p).map((start, i) => {
    let value = start;
    for (let j = digit(coded, i); j < 2 ** w - 1; j++) value = hash.digest(concat(key.id, u32(q), u16(i), Uint8Array.of(j), value));
    return value;
  });
  let node = 2 ** height + q;
  let value = hash.digest(concat(key.id, u32(node), D_LEAF, hash.digest(concat(key.id, u32(q), D_PBLC, ...ends))));
  for (const sibling of path) {
    const pair = node % 2 === 1 ? [sibling, value] : [value, sibling];
    node = Math.floor(node / 2);
    value = hash.digest(concat(key.id, u32(node), D_INTR, ...pair));
  }
  return value;
}

function bad(rule: string, expected: string, found: string): Refusal {
  return refuse(rule, expected, found, 'Do not rely on this signature. Check key, data and signature.');
}
