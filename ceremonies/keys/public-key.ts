/**
 * A public key: which algorithm, and its SubjectPublicKeyInfo. Nothing else travels in entries, certificates and trust files.
 *
 * Encodings are judged here and refused when they are not the one canonical form (DER, minimal integers, exact members).
 * Arithmetic is judged elsewhere: whether the numbers make a sound key is `weak.ts`'s question, so that a weak key can
 * be named as weak instead of failing as unreadable. No private key material may ever enter this file.
 */

import { AsnConvert } from '@peculiar/asn1-schema';
import { RSAPublicKey } from '@peculiar/asn1-rsa';
import { AlgorithmIdentifier, SubjectPublicKeyInfo } from '@peculiar/asn1-x509';
import { sha256 } from '@noble/hashes/sha2.js';
import { concat, equalBytes, fromBase64url, fromHex, toBase64url, toHex, utf8 } from '../bytes.ts';
import { Refused, refuse } from '../refusal.ts';
import { ALGORITHMS, type Algorithm, type AlgorithmName } from './algorithms.ts';

export interface PublicKey {
  readonly algorithm: AlgorithmName;
  /** DER SubjectPublicKeyInfo, RFC 5280 section 4.1.2.7. Treat as frozen: verifiers remember keys by this object. */
  readonly spki: Uint8Array;
}

/** RSA modulus and exponent, big-endian without leading zeros; everything else raw: 04||X||Y, Ed25519, ML-DSA. */
export type PublicKeyParts = { readonly n: Uint8Array; readonly e: Uint8Array } | { readonly raw: Uint8Array };

/** RFC 7517/7518 (EC, RSA), RFC 8037 (OKP), RFC 9964 (AKP): the public members only, and no others. */
export type Jwk =
  | { readonly kty: 'EC'; readonly crv: 'P-256' | 'P-384' | 'P-521'; readonly x: string; readonly y: string }
  | { readonly kty: 'RSA'; readonly n: string; readonly e: string }
  | { readonly kty: 'OKP'; readonly crv: 'Ed25519'; readonly x: string }
  | { readonly kty: 'AKP'; readonly alg: 'ML-DSA-44' | 'ML-DSA-65' | 'ML-DSA-87'; readonly pub: string };

/**
 * Builds a key from what a token gives: n and e, or a raw key.
 *
 * An EC point or Edwards key may come wrapped in a DER OCTET STRING (PKCS#11 2.40 says so, many modules do not). Which it
 * is, is decided by LENGTH alone: a raw key may begin with bytes that look like DER, so "try DER first" reads wrong keys.
 * RSA integers may carry leading zeros, as some tokens send them. Throws `Refused` KEY-ENCODING.
 */
export function publicKeyFromParts(algorithm: AlgorithmName, parts: PublicKeyParts): PublicKey {
  const row = ALGORITHMS[algorithm];
  if (row.family === 'rsa') {
    if (!('n' in parts)) throw encoding(row, 'a modulus and an exponent', 'one raw value');
    const n = withoutLeadingZeros(parts.n);
    const e = withoutLeadingZeros(parts.e);
    if (n.length === 0 || e.length === 0) throw encoding(row, 'a modulus and an exponent above zero', 'a zero');
    const key = new RSAPublicKey({ modulus: derInteger(n), publicExponent: derInteger(e) });
    return { algorithm, spki: spkiOf(row, new Uint8Array(AsnConvert.serialize(key))) };
  }
  if (!('raw' in parts)) throw encoding(row, 'one raw value', 'a modulus and an exponent');
  return { algorithm, spki: spkiOf(row, unwrapped(row, parts.raw)) };
}

/** The raw parts of a key made by this file. Copies; change them freely. */
export function publicKeyParts(key: PublicKey): PublicKeyParts {
  const content = new Uint8Array(AsnConvert.parse(key.spki, SubjectPublicKeyInfo).subjectPublicKey);
  if (ALGORITHMS[key.algorithm].family !== 'rsa') return { raw: content };
  const rsa = AsnConvert.parse(content, RSAPublicKey);
  return { n: withoutLeadingZeros(new Uint8Array(rsa.modulus)), e: withoutLeadingZeros(new Uint8Array(rsa.publicExponent)) };
}

/**
 * Reads a SubjectPublicKeyInfo. The bytes must be exactly those that `publicKeyFromParts` would write for the same key, so
 * BER, trailing bytes, NULL in place of absent, padded integers and compressed points are all KEY-ENCODING.
 *
 * `expected` is what the script says this key should be; another algorithm is then KEY-ALGORITHM. An RSA modulus of a size
 * that no row has is accepted under an expected RSA row, for `weak.ts` to name WEAK-SIZE, and is KEY-ALGORITHM otherwise.
 */
export function parsePublicKey(spki: Uint8Array, expected?: AlgorithmName): PublicKey {
  let info: SubjectPublicKeyInfo;
  try {
    info = AsnConvert.parse(spki, SubjectPublicKeyInfo);
  } catch {
    throw encoding(null, 'a DER SubjectPublicKeyInfo', 'bytes that do not parse');
  }
  const oid = info.algorithm.algorithm;
  const parameters = parametersOf(info.algorithm);
  const content = new Uint8Array(info.subjectPublicKey);
  const rows = Object.values(ALGORITHMS).filter((row) => row.keyOid === oid && row.keyParameters === parameters);
  const row = rows[0];
  if (row === undefined) throw wrongAlgorithm(expected, `algorithm ${oid} with ${parameters ?? 'no'} parameters`);

  const key =
    row.family === 'rsa' ? parseRsa(content, expected) : publicKeyFromParts(row.name, { raw: exactLength(row, content) });
  if (!equalBytes(key.spki, spki)) throw encoding(ALGORITHMS[key.algorithm], 'the one DER form of this key', 'another encoding of it');
  if (expected !== undefined && key.algorithm !== expected) throw wrongAlgorithm(expected, ALGORITHMS[key.algorithm].label);
  return key;
}

function parseRsa(content: Uint8Array, expected: AlgorithmName | undefined): PublicKey {
  let n: Uint8Array;
  let e: Uint8Array;
  try {
    const rsa = AsnConvert.parse(content, RSAPublicKey);
    n = new Uint8Array(rsa.modulus);
    e = new Uint8Array(rsa.publicExponent);
  } catch {
    throw encoding(null, 'a DER RSAPublicKey (RFC 8017 section A.1.1)', 'bytes that do not parse');
  }
  // A set top bit would be a negative integer; the writer would put a zero before it, and the comparison of bytes fails.
  const bits = bitLength(withoutLeadingZeros(n));
  const bySize = Object.values(ALGORITHMS).find((row) => row.family === 'rsa' && row.modulusBits === bits);
  const name = bySize?.name ?? (expected !== undefined && ALGORITHMS[expected].family === 'rsa' ? expected : undefined);
  if (name === undefined) throw wrongAlgorithm(expected, `RSA with a ${bits}-bit modulus`);
  return publicKeyFromParts(name, { n, e });
}

/** RFC 7517 JWK, public members only. */
export function toJwk(key: PublicKey): Jwk {
  const row: Algorithm = ALGORITHMS[key.algorithm];
  const parts = publicKeyParts(key);
  if ('n' in parts) return { kty: 'RSA', n: toBase64url(parts.n), e: toBase64url(parts.e) };
  switch (row.family) {
    case 'ecdsa': {
      const x = parts.raw.subarray(1, 1 + row.fieldBytes);
      const y = parts.raw.subarray(1 + row.fieldBytes);
      // RFC 7518 section 6.2.1.2: coordinates keep the full field length, leading zeros included.
      return { kty: 'EC', crv: row.jose.crv, x: toBase64url(x), y: toBase64url(y) };
    }
    case 'eddsa':
      return { kty: 'OKP', crv: row.jose.crv, x: toBase64url(parts.raw) };
    case 'ml-dsa':
      return { kty: 'AKP', alg: row.jose.alg, pub: toBase64url(parts.raw) };
    case 'rsa':
      throw encoding(row, 'a modulus and an exponent', 'one raw value'); // publicKeyParts gave n and e above
  }
}

/**
 * Reads a JWK with exactly the public members of its type. Any other member, a private one above all, is refused with
 * JWK-MEMBERS; a bad value is KEY-ENCODING or BASE64URL-CANONICAL; a key type, curve or size not in the registry is
 * KEY-ALGORITHM.
 */
export function fromJwk(jwk: unknown): PublicKey {
  if (typeof jwk !== 'object' || jwk === null || Array.isArray(jwk)) throw members('one JSON object', 'something else');
  const given = jwk as Readonly<Record<string, unknown>>;
  const text = (member: string): string => {
    const value = given[member];
    if (typeof value !== 'string') throw members(`a text in "${member}"`, 'no text');
    return value;
  };
  const only = (...names: readonly string[]): void => {
    const extra = Object.keys(given).filter((name) => !names.includes(name));
    if (extra.length > 0) throw members(`the members ${names.join(', ')}`, `also ${extra.slice(0, 5).join(', ')}`);
  };
  const rows: readonly Algorithm[] = Object.values(ALGORITHMS);
  switch (given['kty']) {
    case 'EC': {
      only('kty', 'crv', 'x', 'y');
      const row = rows.find((r) => r.family === 'ecdsa' && r.jose.crv === given['crv']);
      if (row?.family !== 'ecdsa') throw wrongAlgorithm(undefined, `curve ${quoted(given['crv'])}`);
      const x = fromBase64url(text('x'));
      const y = fromBase64url(text('y'));
      if (x.length !== row.fieldBytes || y.length !== row.fieldBytes) {
        throw encoding(row, `coordinates of ${row.fieldBytes} bytes`, `${x.length} and ${y.length} bytes`);
      }
      return publicKeyFromParts(row.name, { raw: concat(Uint8Array.of(4), x, y) });
    }
    case 'OKP': {
      only('kty', 'crv', 'x');
      const row = rows.find((r) => r.family === 'eddsa' && r.jose.crv === given['crv']);
      if (row === undefined) throw wrongAlgorithm(undefined, `curve ${quoted(given['crv'])}`);
      return publicKeyFromParts(row.name, { raw: exactLength(row, fromBase64url(text('x'))) });
    }
    case 'AKP': {
      only('kty', 'alg', 'pub');
      const row = rows.find((r) => r.jose.kty === 'AKP' && r.jose.alg === given['alg']);
      if (row === undefined) throw wrongAlgorithm(undefined, `algorithm ${quoted(given['alg'])}`);
      return publicKeyFromParts(row.name, { raw: fromBase64url(text('pub')) });
    }
    case 'RSA': {
      only('kty', 'n', 'e');
      const n = fromBase64url(text('n'));
      const e = fromBase64url(text('e'));
      // RFC 7518 section 2, Base64urlUInt: the minimum number of octets.
      if (n[0] === 0 || e[0] === 0) throw encoding(null, 'integers without leading zeros', 'a leading zero');
      const row = rows.find((r) => r.family === 'rsa' && r.modulusBits === bitLength(n));
      if (row === undefined) throw wrongAlgorithm(undefined, `RSA with a ${bitLength(n)}-bit modulus`);
      return publicKeyFromParts(row.name, { n, e });
    }
    default:
      throw wrongAlgorithm(undefined, `key type ${quoted(given['kty'])}`);
  }
}

/**
 * RFC 7638 thumbprint: base64url SHA-256 over the required members, sorted, without blanks. RFC 7638 section 3.2 (EC, RSA),
 * RFC 8037 section 2 (OKP), RFC 9964 section 3 (AKP: alg, kty, pub). This is the `kid` of every signature in a record.
 * A JWK is read with `fromJwk` first, and may be refused by it: two spellings of one key must not have two thumbprints.
 */
export function thumbprint(key: PublicKey | Jwk): string {
  const jwk = toJwk('kty' in key ? fromJwk(key) : key);
  const sorted = Object.fromEntries(Object.entries(jwk).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  // JSON.stringify is exact here: every name and value is plain ASCII without anything to escape.
  return toBase64url(sha256(utf8(JSON.stringify(sorted))));
}

/** SHA-256 of the SubjectPublicKeyInfo: what is shown in words and what other tools print as the key's fingerprint. */
export function fingerprint(key: PublicKey): Uint8Array {
  return sha256(key.spki);
}

function spkiOf(row: Algorithm, content: Uint8Array): Uint8Array {
  const algorithm = new AlgorithmIdentifier({ algorithm: row.keyOid });
  if (row.keyParameters !== null) algorithm.parameters = bufferOf(fromHex(row.keyParameters));
  const info = new SubjectPublicKeyInfo({ algorithm, subjectPublicKey: bufferOf(content) });
  return new Uint8Array(AsnConvert.serialize(info));
}

/** DER of an AlgorithmIdentifier's parameters in hex; null when absent. The library gives an explicit NULL as null. */
export function parametersOf(identifier: AlgorithmIdentifier): string | null {
  if (identifier.parameters === undefined) return null;
  return identifier.parameters === null ? '0500' : toHex(new Uint8Array(identifier.parameters));
}

/** Raw key of the algorithm's length out of raw or OCTET STRING wrapped bytes; nothing else is a key. */
function unwrapped(row: Exclude<Algorithm, { family: 'rsa' }>, bytes: Uint8Array): Uint8Array {
  const header = row.publicKeyBytes < 128 ? Uint8Array.of(4, row.publicKeyBytes) : Uint8Array.of(4, 0x81, row.publicKeyBytes);
  const mayBeWrapped = row.family !== 'ml-dsa'; // PKCS#11 3.2 gives ML-DSA keys raw, always
  let raw = bytes;
  if (mayBeWrapped && bytes.length === row.publicKeyBytes + header.length) {
    if (!equalBytes(bytes.subarray(0, header.length), header)) {
      throw encoding(row, `${row.publicKeyBytes} bytes, raw or in an OCTET STRING`, `${bytes.length} bytes in no OCTET STRING`);
    }
    raw = bytes.subarray(header.length);
  }
  exactLength(row, raw);
  if (row.family === 'ecdsa' && raw[0] !== 4) {
    throw encoding(row, 'an uncompressed point, first byte 04 (RFC 5480 section 2.2)', `first byte ${toHex(raw.subarray(0, 1))}`);
  }
  return raw.slice();
}

function exactLength(row: Algorithm, raw: Uint8Array): Uint8Array {
  if (raw.length !== row.publicKeyBytes) throw encoding(row, `${row.publicKeyBytes} bytes`, `${raw.length} bytes`);
  return raw;
}

export function withoutLeadingZeros(bytes: Uint8Array): Uint8Array {
  let first = 0;
  while (first < bytes.length && bytes[first] === 0) first++;
  return bytes.slice(first);
}

/** Bits of a big-endian integer without leading zeros. */
export function bitLength(bytes: Uint8Array): number {
  return bytes.length === 0 ? 0 : 8 * bytes.length - Math.clz32(bytes[0]!) + 24;
}

/** Content octets of a positive DER INTEGER: a zero in front where the top bit is set (X.690 section 8.3). */
function derInteger(bytes: Uint8Array): ArrayBuffer {
  return bufferOf(bytes[0]! > 127 ? concat(Uint8Array.of(0), bytes) : bytes);
}

function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

function quoted(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : 'of no text';
}

function encoding(row: Algorithm | null, expected: string, found: string): Refused {
  const what = row === null ? '' : `${row.label}: `;
  return new Refused(refuse('KEY-ENCODING', what + expected, found, 'Read the public key again from where it lives; do not repair it by hand.'));
}

function wrongAlgorithm(expected: AlgorithmName | undefined, found: string): Refused {
  const wanted = expected === undefined ? 'an algorithm of the registry' : ALGORITHMS[expected].label;
  return new Refused(refuse('KEY-ALGORITHM', wanted, found, 'Check that this is the key the script speaks of.'));
}

function members(expected: string, found: string): Refused {
  return new Refused(refuse('JWK-MEMBERS', expected, found, 'Give the public JWK only; a private member must never come here.'));
}
