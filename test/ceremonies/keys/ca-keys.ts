/**
 * A key pair of every CA algorithm for tests, made and used by Node's own OpenSSL: an implementation that the code under
 * test does not contain. Composites put two of them together; HSS/LMS and XMSS are small trees of their own, for tests alone, because
 * the app must never sign with such a key. Nothing outside test/ may import this.
 */

import { constants, createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { concat } from '../../../ceremonies/bytes.ts';
import { caAlgorithmNamed, kemAlgorithmNamed, type CompositeSignature, type HashName, type SignatureHalf } from '../../../ceremonies/keys/algorithms.ts';
import { signComposite, writeCompositePublicKey } from '../../../ceremonies/keys/composite.ts';
import { readSubjectKey, subjectKeyOf } from '../../../ceremonies/keys/subject-key.ts';
import { xmssKey } from './xmss-key.ts';

export interface CaKey {
  readonly algorithm: string;
  readonly spki: Uint8Array;
  /** As a `TbsSigner` gives it: classical keys in JOSE form, all others raw. */
  readonly sign: (tbs: Uint8Array) => Promise<Uint8Array>;
}

type Pair = { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
const spkiOf = (pair: Pair): Uint8Array => new Uint8Array(pair.publicKey.export({ type: 'spki', format: 'der' }));
const rawOf = (pair: Pair): Uint8Array => readSubjectKey(spkiOf(pair)).raw;
const node = (hash: HashName | null): string | null => hash === null ? null : hash.replace('-', '').toLowerCase();

/** The public half of a fresh key that cannot sign, as a SubjectPublicKeyInfo: ML-KEM-768, X25519, or the two in one (draft-ietf-lamps-pq-composite-kem-21). */
export function kemSpki(name: 'ML-KEM-768' | 'X25519' | 'MLKEM768-X25519-SHA3-256'): Uint8Array {
  if (name !== 'MLKEM768-X25519-SHA3-256') return spkiOf(generate(name.toLowerCase()));
  return subjectKeyOf(kemAlgorithmNamed(name).oid, null, concat(rawOf(generate('ml-kem-768')), rawOf(generate('x25519')))).spki;
}

export function caKey(algorithm: string): CaKey {
  const row = caAlgorithmNamed(algorithm);
  switch (row.family) {
    case 'composite-signature':
      return composite(row);
    case 'hss':
      return hss();
    case 'xmss': {
      const key = xmssKey(row, 0n, 4);
      return { algorithm, spki: subjectKeyOf(row.oid, null, key.raw).spki, sign: async (tbs) => key.sign(tbs) };
    }
    case 'slh-dsa':
      return of(algorithm, generate(row.name), null);
    case 'ecdsa':
      return of(algorithm, generateKeyPairSync('ec', { namedCurve: row.jose.crv }), row.hash);
    case 'rsa':
      return of(algorithm, rsa(row.modulusBits), row.hash);
    case 'eddsa':
    case 'ml-dsa':
      return of(algorithm, generate(row.name), null);
  }
}

/** Node's types do not know the newest names yet. */
function generate(name: string): Pair {
  return (generateKeyPairSync as unknown as (name: string) => Pair)(name);
}

function of(algorithm: string, pair: Pair, hash: HashName | null): CaKey {
  return { algorithm, spki: spkiOf(pair), sign: async (tbs) => new Uint8Array(sign(node(hash), tbs, { key: pair.privateKey, dsaEncoding: 'ieee-p1363' })) };
}

const RSA_POOL = 4;
const pools = new Map<number, { readonly pairs: Pair[]; next: number }>();
/** RSA-4096 takes a second to make: four keys of a size take turns, so those of one hierarchy still differ. */
function rsa(modulusLength: number): Pair {
  const pool = pools.get(modulusLength) ?? { pairs: [], next: 0 };
  pools.set(modulusLength, pool);
  const at = pool.next++ % RSA_POOL;
  return (pool.pairs[at] ??= generateKeyPairSync('rsa', { modulusLength }));
}

function composite(row: CompositeSignature): CaKey {
  const mlDsa = generate(row.mlDsa);
  const half = classicalHalf(row.traditional);
  const raw = writeCompositePublicKey({ row, mlDsa: rawOf(mlDsa), traditional: rawOf(half) });
  const signers = {
    mlDsa: async (message: Uint8Array, context: Uint8Array) => new Uint8Array(sign(null, message, { key: mlDsa.privateKey, context })),
    traditional: async (message: Uint8Array) => new Uint8Array(signHalf(row.traditional, half.privateKey, message)),
  };
  return { algorithm: row.name, spki: subjectKeyOf(row.oid, null, raw).spki, sign: (tbs) => signComposite(row, signers, tbs) };
}

function classicalHalf(half: SignatureHalf): Pair {
  switch (half.kind) {
    case 'rsa':
      return rsa(half.modulusBits);
    case 'ecdsa':
      return generateKeyPairSync('ec', { namedCurve: half.curve });
    case 'eddsa':
      return generate(half.curve.toLowerCase());
  }
}

function signHalf(half: SignatureHalf, key: KeyObject, message: Uint8Array): Buffer {
  if (half.kind === 'eddsa') return sign(null, message, key);
  if (half.kind === 'ecdsa' || half.padding === 'pkcs1') return sign(node(half.hash), message, key);
  return sign(node(half.hash), message, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST });
}

// --- HSS/LMS ---------------------------------------------------------------------------------------------------------------

const u = (value: number, bytes: number): Buffer => { const b = Buffer.alloc(bytes); b.writeUIntBE(value, 0, bytes); return b; };
const h = (...parts: readonly Uint8Array[]): Buffer => { const hash = createHash('sha256'); for (const part of parts) hash.update(part); return hash.digest(); };

/** One level, 32 signatures: LMS_SHA256_M32_H5 (5) over LMOTS_SHA256_N32_W4 (3), RFC 8554 sections 4 to 6. */
function hss(): CaKey {
  const [LMS, OTS, P, TOP, LEAVES] = [5, 3, 67, 15, 32];
  const id = randomBytes(16);
  const seed = randomBytes(32);
  const run = (q: number, i: number, from: number, to: number, value: Buffer): Buffer => {
    for (let j = from; j < to; j++) value = h(id, u(q, 4), u(i, 2), u(j, 1), value);
    return value;
  };
  const secret = (q: number, i: number): Buffer => h(id, u(q, 4), u(i, 2), Buffer.of(0xff), seed);
  const tree: Buffer[] = [];
  for (let q = 0; q < LEAVES; q++) {
    const ots = h(id, u(q, 4), Buffer.from('8080', 'hex'), ...Array.from({ length: P }, (_, i) => run(q, i, 0, TOP, secret(q, i))));
    tree[LEAVES + q] = h(id, u(LEAVES + q, 4), Buffer.from('8282', 'hex'), ots);
  }
  for (let r = LEAVES - 1; r > 0; r--) tree[r] = h(id, u(r, 4), Buffer.from('8383', 'hex'), tree[2 * r]!, tree[2 * r + 1]!);
  const raw = concat(u(1, 4), u(LMS, 4), u(OTS, 4), id, tree[1]!);
  let next = 0;
  return {
    algorithm: 'hss-lms', spki: subjectKeyOf(caAlgorithmOid(), null, raw).spki,
    sign: async (tbs) => {
      const q = next++;
      if (q >= LEAVES) throw new Error('this key has signed all that it can');
      const c = randomBytes(32);
      const digits = [...h(id, u(q, 4), Buffer.from('8181', 'hex'), c, tbs)].flatMap((byte) => [byte >> 4, byte & 15]);
      const sum = digits.reduce((total, digit) => total + TOP - digit, 0) << 4;
      digits.push(sum >> 12, (sum >> 8) & 15, (sum >> 4) & 15);
      const y = digits.map((digit, i) => run(q, i, 0, digit, secret(q, i)));
      const path: Buffer[] = [];
      for (let r = LEAVES + q; r > 1; r >>= 1) path.push(tree[r ^ 1]!);
      return concat(u(0, 4), u(q, 4), u(OTS, 4), c, ...y, u(LMS, 4), ...path);
    },
  };
}

function caAlgorithmOid(): string {
  const row = caAlgorithmNamed('hss-lms');
  return row.family === 'hss' ? row.oid : '';
}
