/**
 * Any public key that a certificate may hold, and whether a signature fits it: classical, ML-DSA, SLH-DSA, HSS/LMS,
 * XMSS and composites. This is for reading what others made; what this house makes goes through `public-key.ts` and its registry.
 *
 * Reading is strict about form (DER, lengths, parameters absent where they must be) and says so by name. Whether a
 * readable key is a sound one is `keyFindings`. Nothing private ever comes here.
 */

import { sha256 } from '@noble/hashes/sha2.js';
import * as slh from '@noble/post-quantum/slh-dsa.js';
import { toHex } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import {
  ALGORITHMS, caAlgorithmNamed, CURVE_FACTS, EDWARDS_FACTS, isAlgorithmName, MONTGOMERY_FACTS, postQuantumByOid, XMSS_TREES,
  type CompositeSignature, type CurveName, type EdwardsName, type HashName, type MlDsaName, type MontgomeryName, type SignatureHalf, type SlhDsaAlgorithm, type SlhDsaName, type XmssAlgorithm,
} from './algorithms.ts';
import { ML_DSA, readCompositePublicKey, verifyComposite, writeCompositePublicKey, type CompositePublicKey } from './composite.ts';
import { derFault, derParts, readBitString, readDer, readIdentifier, readOid, readUnsigned, TAG, writeBitString, writeDer, writeIdentifier, type Identifier } from './der.ts';
import { hssFault, hssPublicKeyFault } from './hss.ts';
import { checkKemPublicKey, type KemAlgorithm } from './kem.ts';
import { bitLength, parsePublicKey } from './public-key.ts';
import { verifySignature } from './signatures.ts';
import { edwardsFault, keyFault, montgomeryFault, pointFault, readRsaPublicKey, rsaSpki, RSA_ENCRYPTION, verifyHalf } from './traditional.ts';
import { weakKeyFindings } from './weak.ts';
import { readXmssPublicKey, xmssFault } from './xmss.ts';

interface Common {
  /** As people write it. */
  readonly label: string;
  readonly oid: string;
  readonly spki: Uint8Array;
  /** The draft that this key was made under, where there is one. */
  readonly profile?: string;
  /** Content of the BIT STRING. */
  readonly raw: Uint8Array;
}

export type SubjectKey = Common &
  (
    | { readonly kind: 'rsa'; readonly modulusBits: number }
    | { readonly kind: 'ecdsa'; readonly curve: CurveName }
    | { readonly kind: 'eddsa'; readonly curve: EdwardsName }
    | { readonly kind: 'xdh'; readonly curve: MontgomeryName }
    | { readonly kind: 'ml-dsa'; readonly name: MlDsaName }
    | { readonly kind: 'slh-dsa'; readonly row: SlhDsaAlgorithm }
    | { readonly kind: 'kem'; readonly row: KemAlgorithm }
    | { readonly kind: 'composite'; readonly row: CompositeSignature; readonly key: CompositePublicKey }
    | { readonly kind: 'hss' }
    | { readonly kind: 'xmss'; readonly row: XmssAlgorithm }
  );

export const EC_PUBLIC_KEY = '1.2.840.10045.2.1';

/** Reads a SubjectPublicKeyInfo. Throws `Refused` DER-STRUCTURE, KEY-PARAMETERS, KEY-ALGORITHM, KEY-ENCODING and those of the composites. */
export function readSubjectKey(spki: Uint8Array): SubjectKey {
  const field = 'subjectPublicKeyInfo';
  const parts = derParts(readDer(spki, field, TAG.sequence), field);
  if (parts.length !== 2) throw derFault(field, 'an algorithm and a key', `${parts.length} values`);
  return subjectKey(readIdentifier(parts[0], `${field}.algorithm`), readBitString(parts[1], `${field}.subjectPublicKey`), spki);
}

/** The key of an algorithm and a raw value, its SubjectPublicKeyInfo written anew. */
export function subjectKeyOf(oid: string, parameters: Uint8Array | null, raw: Uint8Array): SubjectKey {
  const spki = writeDer(TAG.sequence, writeIdentifier(oid, parameters), writeBitString(raw));
  return subjectKey({ oid, parameters }, raw, spki);
}

/** The parameters of a post-quantum, composite or RFC 8410 identifier must be absent; NULL is another value. */
export function absentParameters(identifier: Identifier, field: string, rule = 'KEY-PARAMETERS'): void {
  if (identifier.parameters === null) return;
  const found = identifier.parameters.length === 2 && identifier.parameters[0] === TAG.null ? 'NULL' : 'parameters';
  throw new Refused(refuse(rule, `${field}: parameters absent`, found, 'Have it made again by software that follows the standard.'));
}

function subjectKey(identifier: Identifier, raw: Uint8Array, spki: Uint8Array): SubjectKey {
  const { oid } = identifier;
  const common = { oid, spki, raw };
  const exact = (label: string, length: number): void => {
    if (raw.length !== length) throw keyFault(`${label} publicKey`, `${length} bytes`, `${raw.length} bytes`);
  };
  if (oid === RSA_ENCRYPTION) {
    if (identifier.parameters === null || toHex(identifier.parameters) !== '0500') throw keyFault('RSA algorithm.parameters', 'NULL', 'another value');
    const { n } = readRsaPublicKey(raw, 'RSA publicKey');
    return { ...common, kind: 'rsa', modulusBits: bitLength(n), label: `RSA ${bitLength(n)}` };
  }
  if (oid === EC_PUBLIC_KEY) {
    if (identifier.parameters === null) throw keyFault('EC algorithm.parameters', 'a named curve', 'nothing');
    const curve = namedCurve(identifier.parameters);
    exact(`EC ${curve}`, 1 + 2 * CURVE_FACTS[curve].fieldBytes);
    if (raw[0] !== 4) throw keyFault(`EC ${curve} publicKey`, 'an uncompressed point', 'another form');
    return { ...common, kind: 'ecdsa', curve, label: `ECDSA ${curve}` };
  }
  for (const curve of ['Ed25519', 'Ed448'] as const) {
    if (oid !== EDWARDS_FACTS[curve].oid) continue;
    absentParameters(identifier, curve);
    exact(curve, EDWARDS_FACTS[curve].keyBytes);
    return { ...common, kind: 'eddsa', curve, label: curve };
  }
  for (const curve of ['X25519', 'X448'] as const) {
    if (oid !== MONTGOMERY_FACTS[curve].oid) continue;
    absentParameters(identifier, curve);
    exact(curve, MONTGOMERY_FACTS[curve].keyBytes);
    return { ...common, kind: 'xdh', curve, label: curve };
  }
  for (const row of [ALGORITHMS['ml-dsa-44'], ALGORITHMS['ml-dsa-65'], ALGORITHMS['ml-dsa-87']]) {
    if (oid !== row.keyOid) continue;
    absentParameters(identifier, row.label);
    exact(row.label, row.publicKeyBytes);
    return { ...common, kind: 'ml-dsa', name: row.name, label: row.label };
  }
  for (const tree of ['xmss', 'xmssmt'] as const) {
    if (oid !== XMSS_TREES[tree].oid) continue;
    absentParameters(identifier, XMSS_TREES[tree].label);
    const row = readXmssPublicKey(tree, raw);
    return { ...common, kind: 'xmss', row, label: row.label };
  }
  const row = postQuantumByOid(oid);
  if (row === undefined) throw new Refused(refuse('KEY-ALGORITHM', 'an algorithm of the registry', oid, 'Check that this is the right file.'));
  absentParameters(identifier, row.label);
  const { label } = row;
  switch (row.family) {
    case 'slh-dsa':
      exact(label, 2 * row.n);
      return { ...common, kind: 'slh-dsa', row, label };
    case 'ml-kem':
      exact(label, row.publicKeyBytes);
      return { ...common, kind: 'kem', row, label };
    case 'x-wing':
    case 'composite-kem':
      if (!row.sizes.varies.includes('publicKey')) exact(label, row.sizes.publicKey);
      return { ...common, kind: 'kem', row, label, profile: row.profile };
    case 'composite-signature':
      return { ...common, kind: 'composite', row, key: readCompositePublicKey(row, raw), label, profile: row.profile };
    case 'hss': {
      const fault = hssPublicKeyFault(raw);
      if (fault !== null) throw new Refused(fault);
      return { ...common, kind: 'hss', label };
    }
  }
}

export function namedCurve(parameters: Uint8Array): CurveName {
  const node = readDer(parameters, 'EC algorithm.parameters');
  const oid = node.tag === TAG.oid ? readOid(node, 'EC algorithm.parameters') : 'explicit parameters';
  const curve = (Object.keys(CURVE_FACTS) as CurveName[]).find((name) => CURVE_FACTS[name].oid === oid);
  if (curve === undefined) throw new Refused(refuse('KEY-ALGORITHM', `a named curve: ${Object.keys(CURVE_FACTS).join(', ')}`, oid, 'Check that this is the right file.'));
  return curve;
}

// --- soundness -----------------------------------------------------------------------------------------------------------

const DISCARD = 'Do not use this key. Destroy it, and find out how it was made.';

/** SHA-256 of the SubjectPublicKeyInfo of example keys whose private halves are printed in RFCs. */
const PUBLISHED: ReadonlyMap<string, string> = new Map([
  ['837832708c5236d951581f1fddf2b79991b3424a0486d16da1ddad0fd69701be', 'RFC 9881'], // ML-DSA-44
  ['b8b62131bfbe84433efb2273d7f5b87f7a22854a2cfd366fc2aead86d837c52d', 'RFC 9881'], // ML-DSA-65
  ['07e57c4f14dbad1267f621ec3777b4e2e6c4fbc4c22fbb87510ff8e0b3c6a642', 'RFC 9881'], // ML-DSA-87
  ['0e3c8b89b54202d2545f7aba2e2aaa3cffa7b6191919ad738fab35b4f313cf71', 'RFC 9935'], // ML-KEM-512
  ['c23e23dd3d485a9256cda09358a4a286e00b373db10761eadf99f710649ca31c', 'RFC 9935'], // ML-KEM-768
  ['d2b7480ae006a14b37c1e8a8e45ea39022e32a9b1a7b90d594c84d869c6ac420', 'RFC 9935'], // ML-KEM-1024
  ['9ca44295c8d84ebe17e701e73812733f6d3e6cd717f5786f920fdb69ec427dae', 'RFC 9909'], // id-slh-dsa-sha2-128s
  ['a1e9156054e04fac899ae9f275132cdc07a5dbc4ea2c2ad3a1ffc6e0d253681f', 'RFC 8410'], // Ed25519
]);

/** Every defect of a readable key, by rule name; empty when none is known. */
export function keyFindings(key: SubjectKey): Refusal[] {
  const findings: Refusal[] = [];
  const published = PUBLISHED.get(toHex(sha256(key.spki)));
  if (published !== undefined) findings.push(refuse('WEAK-PUBLISHED-KEY', 'a key that nobody else has', `the example key of ${published}`, DISCARD));
  const point = (found: string | null): void => {
    if (found !== null) findings.push(refuse('WEAK-POINT', `${key.label}: a point of the whole group's order`, found, DISCARD));
  };
  switch (key.kind) {
    case 'rsa':
      findings.push(...rsaFindings(key.raw, key.modulusBits, key.spki));
      break;
    case 'ecdsa':
      point(pointFault(key.curve, key.raw));
      break;
    case 'eddsa':
      point(edwardsFault(key.curve, key.raw));
      break;
    case 'xdh':
      point(montgomeryFault(key.curve, key.raw));
      break;
    case 'ml-dsa':
      findings.push(...weakKeyFindings({ algorithm: key.name, spki: key.spki }));
      break;
    case 'composite': {
      const { row, key: halves } = key;
      const spki = writeDer(TAG.sequence, writeIdentifier(ALGORITHMS[row.mlDsa].keyOid, null), writeBitString(halves.mlDsa));
      findings.push(...weakKeyFindings({ algorithm: row.mlDsa, spki }));
      if (row.traditional.kind === 'rsa') findings.push(...rsaFindings(halves.traditional, row.traditional.modulusBits, rsaSpki(halves.traditional)));
      break;
    }
    case 'kem':
      try {
        checkKemPublicKey(key.row, key.raw);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        findings.push(error.refusal);
      }
      break;
    case 'slh-dsa':
    case 'hss':
    case 'xmss':
      break;
  }
  return findings;
}

/** weak.ts knows the sizes that roots may have; here 2048 bits and more are no finding (SP 800-57 Part 1 table 2). */
function rsaFindings(publicKey: Uint8Array, modulusBits: number, spki: Uint8Array): Refusal[] {
  readRsaPublicKey(publicKey, 'RSA publicKey', modulusBits);
  const findings = weakKeyFindings({ algorithm: 'rsa-3072', spki }).filter((finding) => finding.rule !== 'WEAK-SIZE');
  if (modulusBits < 2048) findings.unshift(refuse('WEAK-SIZE', 'a modulus of 2048 bits or more', `${modulusBits} bits`, DISCARD));
  return findings;
}

// --- signatures ----------------------------------------------------------------------------------------------------------

export const SLH_DSA = {
  'slh-dsa-sha2-128s': slh.slh_dsa_sha2_128s, 'slh-dsa-sha2-128f': slh.slh_dsa_sha2_128f, 'slh-dsa-sha2-192s': slh.slh_dsa_sha2_192s,
  'slh-dsa-sha2-192f': slh.slh_dsa_sha2_192f, 'slh-dsa-sha2-256s': slh.slh_dsa_sha2_256s, 'slh-dsa-sha2-256f': slh.slh_dsa_sha2_256f,
  'slh-dsa-shake-128s': slh.slh_dsa_shake_128s, 'slh-dsa-shake-128f': slh.slh_dsa_shake_128f, 'slh-dsa-shake-192s': slh.slh_dsa_shake_192s,
  'slh-dsa-shake-192f': slh.slh_dsa_shake_192f, 'slh-dsa-shake-256s': slh.slh_dsa_shake_256s, 'slh-dsa-shake-256f': slh.slh_dsa_shake_256f,
} as const satisfies Record<SlhDsaName, unknown>;

/**
 * Does a signature in the form in which this house makes it fit a key of a CA algorithm? Classical keys: JOSE form (RFC 7518);
 * all others: the algorithm's own bytes. False for anything that does not. Throws `Refused` for a key of another algorithm.
 */
export async function verifyWith(algorithm: string, spki: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  if (isAlgorithmName(algorithm)) return verifySignature(parsePublicKey(spki, algorithm), message, signature);
  const key = readSubjectKey(spki);
  if (key.label !== caAlgorithmNamed(algorithm).label) throw keyFault('public key', caAlgorithmNamed(algorithm).label, key.label);
  return (await signatureFindings(key, null, message, signature)).length === 0;
}

/** The SubjectPublicKeyInfo of a composite from those of its halves, ML-DSA first. */
export function compositeFromParts(row: CompositeSignature, parts: readonly Uint8Array[]): Uint8Array {
  const [mlDsa, traditional] = parts.map((spki) => readSubjectKey(spki).raw);
  if (mlDsa === undefined || traditional === undefined) throw keyFault('public key', 'two halves', `${parts.length}`);
  return subjectKeyOf(row.oid, null, writeCompositePublicKey({ row, mlDsa, traditional })).spki;
}

const ECDSA_WITH: Readonly<Record<string, HashName>> = { '1.2.840.10045.4.3.2': 'SHA-256', '1.2.840.10045.4.3.3': 'SHA-384', '1.2.840.10045.4.3.4': 'SHA-512' };
const RSA_WITH: Readonly<Record<string, HashName>> = { '1.2.840.113549.1.1.11': 'SHA-256', '1.2.840.113549.1.1.12': 'SHA-384', '1.2.840.113549.1.1.13': 'SHA-512' };
const RSASSA_PSS = '1.2.840.113549.1.1.10';
const MGF1 = '1.2.840.113549.1.1.8';
const HASH_OIDS: Readonly<Record<string, HashName>> = { '2.16.840.1.101.3.4.2.1': 'SHA-256', '2.16.840.1.101.3.4.2.2': 'SHA-384', '2.16.840.1.101.3.4.2.3': 'SHA-512' };
const CURVE_HASH: Readonly<Record<CurveName, HashName>> = { 'P-256': 'SHA-256', 'P-384': 'SHA-384', 'P-521': 'SHA-512', brainpoolP256r1: 'SHA-256', brainpoolP384r1: 'SHA-384' };

const MISTRUST = 'Do not rely on this signature. Check key, data and context.';

/**
 * Everything wrong with a signature; empty when it fits. `identifier` is the AlgorithmIdentifier it came with; without one
 * (a bare signature file) the algorithm is the key's own: ECDSA with its curve's hash as DER, RSA PKCS#1 v1.5 with SHA-256
 * (SHA-384 from 4096 bits up). `context` is for ML-DSA, SLH-DSA and composites. Never throws for a signature.
 */
export async function signatureFindings(
  key: SubjectKey, identifier: Identifier | null, message: Uint8Array, signature: Uint8Array, context: Uint8Array = new Uint8Array(),
): Promise<Refusal[]> {
  try {
    if (context.length > 255) return [refuse('SIGNATURE-CONTEXT', 'at most 255 bytes of context', `${context.length} bytes`, MISTRUST)];
    if (context.length > 0 && key.kind !== 'ml-dsa' && key.kind !== 'slh-dsa' && key.kind !== 'composite') {
      return [refuse('SIGNATURE-CONTEXT', `no context: ${key.label} has none`, `${context.length} bytes`, MISTRUST)];
    }
    const fits = (holds: boolean): Refusal[] => holds ? [] : [refuse('SIGNATURE-VERIFIES', `a ${key.label} signature that fits`, 'one that does not', MISTRUST)];
    switch (key.kind) {
      case 'rsa':
      case 'ecdsa':
      case 'eddsa': {
        const { half, salt } = classical(key, identifier);
        if (half.kind !== 'rsa' && keyFindings(key).some((finding) => finding.rule === 'WEAK-POINT')) return keyFindings(key);
        return fits(await verifyHalf(half, key.raw, message, signature, salt));
      }
      case 'ml-dsa':
        ownIdentifier(key, identifier);
        return fits(quietly(() => ML_DSA[key.name].verify(signature, message, key.raw, { context })));
      case 'slh-dsa':
        ownIdentifier(key, identifier);
        return fits(quietly(() => SLH_DSA[key.row.name].verify(signature, message, key.raw, { context })));
      case 'composite':
        ownIdentifier(key, identifier);
        return [...(await verifyComposite(key.key, message, signature, context)).findings];
      case 'hss': {
        ownIdentifier(key, identifier);
        const fault = hssFault(key.raw, message, signature);
        return fault === null ? [] : [fault];
      }
      case 'xmss': {
        ownIdentifier(key, identifier);
        const fault = xmssFault(key.row.tree, key.raw, message, signature);
        return fault === null ? [] : [fault];
      }
      case 'kem':
      case 'xdh':
        return [refuse('SIGNATURE-ALGORITHM', 'a key that signs', `${key.label}, which does not`, MISTRUST)];
    }
  } catch (error) {
    if (error instanceof Refused) return [error.refusal];
    throw error;
  }
}

function quietly(verify: () => boolean): boolean {
  try {
    return verify();
  } catch {
    return false; // the libraries throw for lengths that no signature has
  }
}

/** Post-quantum algorithms and composites: same OID for key and signature, parameters absent. */
function ownIdentifier(key: SubjectKey, identifier: Identifier | null): void {
  if (identifier === null) return;
  if (identifier.oid !== key.oid) throw mismatch(key, identifier.oid);
  absentParameters(identifier, 'signatureAlgorithm', 'SIGNATURE-PARAMETERS');
}

function classical(key: SubjectKey & { kind: 'rsa' | 'ecdsa' | 'eddsa' }, identifier: Identifier | null): { readonly half: SignatureHalf; readonly salt?: number } {
  switch (key.kind) {
    case 'rsa': {
      const { modulusBits } = key;
      if (identifier === null) return { half: { kind: 'rsa', modulusBits, padding: 'pkcs1', hash: modulusBits < 4096 ? 'SHA-256' : 'SHA-384' } };
      if (identifier.oid === RSASSA_PSS) return pssParameters(modulusBits, identifier);
      const hash = RSA_WITH[identifier.oid];
      if (hash === undefined) throw mismatch(key, identifier.oid);
      // RFC 4055 section 5: NULL when written, absent to be accepted when read.
      if (identifier.parameters !== null && toHex(identifier.parameters) !== '0500') throw parametersFault('NULL or absent parameters');
      return { half: { kind: 'rsa', modulusBits, padding: 'pkcs1', hash } };
    }
    case 'ecdsa': {
      const hash = identifier === null ? CURVE_HASH[key.curve] : ECDSA_WITH[identifier.oid];
      if (hash === undefined) throw mismatch(key, identifier?.oid ?? '');
      if (identifier !== null) absentParameters(identifier, 'signatureAlgorithm', 'SIGNATURE-PARAMETERS');
      return { half: { kind: 'ecdsa', curve: key.curve, hash } };
    }
    case 'eddsa':
      ownIdentifier(key, identifier);
      return { half: { kind: 'eddsa', curve: key.curve } };
  }
}

/** RFC 4055 section 3.1: hash, MGF1 with the same hash, salt length. The SHA-1 defaults are refused. */
function pssParameters(modulusBits: number, identifier: Identifier): { readonly half: SignatureHalf; readonly salt: number } {
  const field = 'signatureAlgorithm.parameters';
  if (identifier.parameters === null) throw parametersFault('RSASSA-PSS parameters');
  let hash: HashName | undefined;
  let mask: HashName | undefined;
  let salt = 20;
  for (const part of derParts(readDer(identifier.parameters, field, TAG.sequence), field)) {
    if (part.tag === 0xa0) hash = HASH_OIDS[readIdentifier(readDer(part.content, field), field).oid];
    else if (part.tag === 0xa1) {
      const { oid, parameters } = readIdentifier(readDer(part.content, field), field);
      if (oid === MGF1 && parameters !== null) mask = HASH_OIDS[readIdentifier(readDer(parameters, field), field).oid];
    } else if (part.tag === 0xa2) {
      const length = readUnsigned(readDer(part.content, field), field);
      salt = length.length > 2 ? 65535 : length.reduce((sum, octet) => sum * 256 + octet, 0);
    } else if (part.tag !== 0xa3) throw parametersFault('the four fields of RSASSA-PSS-params');
  }
  if (hash === undefined || mask !== hash) throw parametersFault('SHA-256, SHA-384 or SHA-512, and MGF1 with the same hash');
  if (salt > 512) throw parametersFault('a salt of at most 512 bytes');
  return { half: { kind: 'rsa', modulusBits, padding: 'pss', hash }, salt };
}

function parametersFault(expected: string): Refused {
  return new Refused(refuse('SIGNATURE-PARAMETERS', `signatureAlgorithm: ${expected}`, 'others', MISTRUST));
}

function mismatch(key: SubjectKey, oid: string): Refused {
  return new Refused(refuse('SIGNATURE-ALGORITHM', `a signature algorithm for ${key.label} with SHA-2`, oid, MISTRUST));
}
