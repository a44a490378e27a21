/**
 * The cryptographic bill of materials: keys, certificates and tokens, and every algorithm that they stand on, as CycloneDX
 * 1.7 (ECMA-424), as plain JSON and as CSV.
 *
 * The same input gives the same bytes, in whatever order it comes: nothing here asks a clock or a random source, the serial
 * number is made from the content, and what depends on the time is left out unless the caller gives one. It says what was
 * found and judges nothing: no signature is verified here, and an attribute is the token's word. Nothing secret comes here.
 */
import canonicalize from 'canonicalize';
import { sha256 } from '@noble/hashes/sha2.js';
import { toHex, utf8 } from '../bytes.ts';
import type { KeyAttributes, ObjectFact, TokenFacts } from '../evidence.ts';
import {
  AES_256, AES_KWP, ALGORITHMS, CURVE_FACTS, EDWARDS_FACTS, HSS_LMS, ML_KEMS, MONTGOMERY_FACTS, postQuantumByOid, XMSS_TREES,
  type CompositeKem, type CompositeSignature, type CurveName, type EdwardsName, type HashName, type MlDsaName, type MlKemName, type MontgomeryName, type SlhDsaAlgorithm, type Standing, type XmssAlgorithm,
} from './algorithms.ts';
import type { CertificateReading } from './chain.ts';
import { isStatefulKey, ORIGIN_WORDS, provenanceOf, risksOf } from './provenance.ts';
import { nameText } from './signed.ts';
import type { KeyState } from './lifecycle.ts';
import type { SubjectKey } from './subject-key.ts';
import { uriOf, writePkcs11Uri } from './uri.ts';

// --- what goes in --------------------------------------------------------------------------------------------------------

export type CbomPlace =
  /** An object on a token, named by the token's serial number. */
  | { readonly held: 'token'; readonly token: string; readonly object: Pick<ObjectFact, 'class' | 'id' | 'label'> }
  /** Ciphertext outside, under a secret key of a token (by its CKA_ID), or under one that is split into shares. */
  | { readonly held: 'wrapped'; readonly mechanism: string; readonly under: { readonly token: string; readonly id: string } | { readonly set: string } }
  /** Nowhere whole: `threshold` of the set's shares make it. */
  | { readonly held: 'shares'; readonly set: string; readonly threshold: number; readonly shares: number }
  /** A composite that is nowhere as such: its halves are keys of their own, and get entries of their own. */
  | { readonly held: 'halves'; readonly halves: readonly CbomKey[] }
  | { readonly held: 'file'; readonly file: string };

export interface CbomKey {
  readonly class: 'private-key' | 'public-key' | 'secret-key';
  /** CKA_LABEL, or what else people call it. */
  readonly name: string;
  readonly place: CbomPlace;
  /** The public half; null for secret keys and where it could not be read. */
  readonly key: SubjectKey | null;
  /** Length of a secret key, where it is known. */
  readonly bits?: number;
  readonly attributes?: KeyAttributes | null;
  /** The attributes are what a record says of an earlier time; where the token answers today, its answer counts. */
  readonly recorded?: boolean;
  readonly format?: string;
  readonly created?: Date;
  /** When it may be used, as its own certificate says. Gives the state, where no `state` is given and the input has a time. */
  readonly period?: { readonly from: Date; readonly to: Date };
  readonly state?: KeyState;
}

export interface CbomCertificate {
  readonly der: Uint8Array;
  readonly certificate: CertificateReading;
  /** A file's name, or the object on a token. */
  readonly place: Extract<CbomPlace, { held: 'token' | 'file' }>;
}

export interface CbomInput {
  readonly keys: readonly CbomKey[];
  readonly certificates: readonly CbomCertificate[];
  readonly tokens: readonly TokenFacts[];
  /** The moment that states are given for. Left out: no states from periods, no timestamp. */
  readonly at?: Date;
  /** Version of this program. */
  readonly version?: string;
  /** Something of it was made in a rehearsal: the document says so. */
  readonly rehearsal?: boolean;
  /** What is there and could not be looked at, in sentences: a bill that leaves something out must say so. */
  readonly notSeen?: readonly string[];
}

// --- what comes out ------------------------------------------------------------------------------------------------------

interface Related { readonly type: string; readonly ref: string }
interface Property { readonly name: string; readonly value: string }

export interface Component {
  readonly type: 'cryptographic-asset' | 'device';
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version?: string;
  readonly manufacturer?: { readonly name: string };
  readonly hashes?: readonly { readonly alg: 'SHA-256'; readonly content: string }[];
  readonly evidence?: { readonly occurrences: readonly { readonly location: string }[] };
  readonly cryptoProperties?: {
    readonly assetType: 'algorithm' | 'certificate' | 'related-crypto-material';
    readonly oid?: string;
    readonly algorithmProperties?: Readonly<Record<string, unknown>>;
    readonly certificateProperties?: Readonly<Record<string, unknown>>;
    readonly relatedCryptoMaterialProperties?: Readonly<Record<string, unknown>>;
  };
  readonly properties?: readonly Property[];
}

export interface Cbom {
  readonly bomFormat: 'CycloneDX';
  readonly specVersion: '1.7';
  readonly serialNumber: string;
  readonly version: 1;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[]; readonly provides?: readonly string[] }[];
}

/** The document as text: members in the order of RFC 8785, two blanks of indentation, a newline at the end. */
export function cbomText(bom: Cbom): string {
  return `${JSON.stringify(JSON.parse(canonicalize(bom) ?? ''), null, 2)}\n`;
}

// --- algorithms ----------------------------------------------------------------------------------------------------------

interface AlgorithmRow {
  readonly name: string;
  readonly oid: string | null;
  readonly primitive: 'signature' | 'hash' | 'xof' | 'pke' | 'key-agree' | 'kem' | 'combiner' | 'block-cipher' | 'key-wrap' | 'unknown';
  /** Of the enumeration in cryptography-defs.schema.json; there is none for composites, nor for RSA keys that do several things. */
  readonly family?: string;
  readonly parameterSet?: string;
  readonly curve?: string;
  readonly padding?: 'pkcs1v15' | 'oaep' | 'other';
  readonly functions: readonly string[];
  readonly securityBits?: number;
  readonly quantumCategory?: number;
  readonly standing?: Standing;
  /** The draft it is of. */
  readonly profile?: string;
  readonly of?: readonly AlgorithmRow[];
}

const SIGNS = ['keygen', 'sign', 'verify'];
const ENCAPSULATES = ['keygen', 'encapsulate', 'decapsulate'];
const CLASSICAL = ALGORITHMS['ecdsa-p256'].standing;

const CURVE: Readonly<Record<CurveName | EdwardsName | MontgomeryName, string>> = {
  'P-256': 'nist/P-256', 'P-384': 'nist/P-384', 'P-521': 'nist/P-521', brainpoolP256r1: 'brainpool/brainpoolP256r1', brainpoolP384r1: 'brainpool/brainpoolP384r1',
  Ed25519: 'other/Ed25519', Ed448: 'other/Ed448', X25519: 'other/Curve25519', X448: 'other/Curve448',
};
const CURVE_BITS: Readonly<Record<CurveName | EdwardsName | MontgomeryName, number>> = {
  'P-256': 256, 'P-384': 384, 'P-521': 521, brainpoolP256r1: 256, brainpoolP384r1: 384, Ed25519: 256, Ed448: 456, X25519: 256, X448: 448,
};

/** NIST CSOR, 2.16.840.1.101.3.4.2. */
const HASHES: Readonly<Record<HashName | 'SHA3-256' | 'SHAKE256', AlgorithmRow>> = {
  'SHA-256': { name: 'SHA-256', oid: '2.16.840.1.101.3.4.2.1', primitive: 'hash', family: 'SHA-2', parameterSet: '256', functions: ['digest'] },
  'SHA-384': { name: 'SHA-384', oid: '2.16.840.1.101.3.4.2.2', primitive: 'hash', family: 'SHA-2', parameterSet: '384', functions: ['digest'] },
  'SHA-512': { name: 'SHA-512', oid: '2.16.840.1.101.3.4.2.3', primitive: 'hash', family: 'SHA-2', parameterSet: '512', functions: ['digest'] },
  'SHA3-256': { name: 'SHA3-256', oid: '2.16.840.1.101.3.4.2.8', primitive: 'hash', family: 'SHA-3', parameterSet: '256', functions: ['digest'] },
  SHAKE256: { name: 'SHAKE256', oid: '2.16.840.1.101.3.4.2.12', primitive: 'xof', family: 'SHA-3', parameterSet: '256', functions: ['digest'] },
};

/** SP 800-57 Part 1 Rev. 5 table 2; NIST IR 8547 (initial public draft) table 2 on 112 bits; SP 800-131A Rev. 2 table 2 on less. */
function rsaFacts(modulusBits: number): { readonly securityBits: number; readonly quantumCategory: 0; readonly standing: Standing } {
  const securityBits = modulusBits >= 15360 ? 256 : modulusBits >= 7680 ? 192 : modulusBits >= 3072 ? 128 : modulusBits >= 2048 ? 112 : 80;
  const standing: Standing = securityBits >= 128 ? CLASSICAL
    : securityBits === 112 ? { state: 'approved', until: 2030, clause: 'NIST IR 8547 (initial public draft) table 2: 112 bits deprecated after 2030' }
      : { state: 'disallowed', clause: 'SP 800-131A Rev. 2 table 2' };
  return { securityBits, quantumCategory: 0, standing };
}

const ecdsa = (curve: CurveName): AlgorithmRow => ({
  name: `ECDSA ${curve}`, oid: '1.2.840.10045.2.1', primitive: 'signature', family: 'ECDSA', parameterSet: curve, curve: CURVE[curve], functions: SIGNS, securityBits: CURVE_FACTS[curve].securityBits, quantumCategory: 0,
  // SP 800-186 recommends the NIST curves; of Brainpool it says that they may be used where interoperability asks for them.
  ...!curve.startsWith('brainpool') && { standing: CLASSICAL },
});
const ecdh = (curve: CurveName): AlgorithmRow => ({ ...ecdsa(curve), name: `ECDH ${curve}`, primitive: 'key-agree', family: 'ECDH', functions: ['keygen', 'keyderive'] });
const eddsa = (curve: EdwardsName): AlgorithmRow => ({
  name: curve, oid: EDWARDS_FACTS[curve].oid, primitive: 'signature', family: 'EdDSA', parameterSet: curve, curve: CURVE[curve], functions: SIGNS,
  securityBits: EDWARDS_FACTS[curve].securityBits, quantumCategory: 0, standing: CLASSICAL,
});
const xdh = (curve: MontgomeryName): AlgorithmRow => ({
  name: curve, oid: MONTGOMERY_FACTS[curve].oid, primitive: 'key-agree', family: 'ECDH', parameterSet: curve, curve: CURVE[curve], functions: ['keygen', 'keyderive'],
  securityBits: MONTGOMERY_FACTS[curve].securityBits, quantumCategory: 0,
});
const mlDsa = (name: MlDsaName): AlgorithmRow => {
  const row = ALGORITHMS[name];
  return {
    name: row.label, oid: row.keyOid, primitive: 'signature', family: 'ML-DSA', parameterSet: name.slice('ml-dsa-'.length), functions: SIGNS,
    securityBits: row.securityBits, quantumCategory: row.quantumCategory, standing: row.standing,
  };
};
/** FIPS 203 table 2 names the categories; the classical strength is that of the AES they are compared with. */
const mlKem = (name: MlKemName): AlgorithmRow => {
  const row = ML_KEMS[name];
  return {
    name: row.label, oid: row.oid, primitive: 'kem', family: 'ML-KEM', parameterSet: name.slice('ml-kem-'.length), functions: ENCAPSULATES,
    securityBits: row.quantumCategory === 1 ? 128 : row.quantumCategory === 3 ? 192 : 256, quantumCategory: row.quantumCategory, standing: row.standing,
  };
};
const slhDsa = (row: SlhDsaAlgorithm): AlgorithmRow => ({
  name: row.label, oid: row.oid, primitive: 'signature', family: 'SLH-DSA', parameterSet: row.label.slice('SLH-DSA-'.length), functions: SIGNS,
  securityBits: 8 * row.n, quantumCategory: row.quantumCategory, standing: row.standing,
});
const xmss = (row: XmssAlgorithm): AlgorithmRow => ({
  name: row.label, oid: row.oid, primitive: 'signature', family: 'XMSS', parameterSet: row.label.slice(row.label.indexOf('-') + 1), functions: SIGNS,
  securityBits: 8 * row.n, quantumCategory: row.n === 32 ? 5 : 3, standing: row.standing,
});
const rsa = (modulusBits: number): AlgorithmRow => ({
  name: `RSA ${modulusBits}`, oid: ALGORITHMS['rsa-3072'].keyOid, primitive: 'pke', parameterSet: `${modulusBits}`, functions: ['keygen', 'encrypt', 'decrypt', 'sign', 'verify'], ...rsaFacts(modulusBits),
});
/** Signing with a hash, as an AlgorithmIdentifier of a certificate names it: no size, no curve. */
const ecdsaWith = (hash: HashName, oid: string): AlgorithmRow => ({
  name: `ECDSA with ${hash}`, oid, primitive: 'signature', family: 'ECDSA', parameterSet: hash, functions: ['sign', 'verify'], quantumCategory: 0, standing: CLASSICAL, of: [HASHES[hash]],
});
const rsaWith = (hash: HashName, oid: string): AlgorithmRow => ({
  name: `RSASSA-PKCS1-v1_5 with ${hash}`, oid, primitive: 'signature', family: 'RSASSA-PKCS1', parameterSet: hash, padding: 'pkcs1v15', functions: ['sign', 'verify'],
  quantumCategory: 0, standing: CLASSICAL, of: [HASHES[hash]],
});
const pss: AlgorithmRow = {
  name: 'RSASSA-PSS', oid: '1.2.840.113549.1.1.10', primitive: 'signature', family: 'RSASSA-PSS', padding: 'other', functions: ['sign', 'verify'], quantumCategory: 0, standing: CLASSICAL,
};

/** CycloneDX has no family for composites: one component that combines, and its two halves and hashes that it depends on. */
function compositeSignature(row: CompositeSignature): AlgorithmRow {
  const half = row.traditional;
  const traditional: AlgorithmRow = half.kind === 'ecdsa' ? ecdsa(half.curve) : half.kind === 'eddsa' ? eddsa(half.curve) : {
    name: `${half.padding === 'pss' ? 'RSASSA-PSS' : 'RSASSA-PKCS1-v1_5'} ${half.modulusBits} with ${half.hash}`, oid: half.padding === 'pss' ? pss.oid : ALGORITHMS['rsa-3072'].keyOid, primitive: 'signature',
    family: half.padding === 'pss' ? 'RSASSA-PSS' : 'RSASSA-PKCS1', parameterSet: `${half.modulusBits}`, padding: half.padding === 'pss' ? 'other' : 'pkcs1v15', functions: SIGNS, ...rsaFacts(half.modulusBits), of: [HASHES[half.hash]],
  };
  return {
    name: row.label, oid: row.oid, primitive: 'combiner', parameterSet: row.name, functions: SIGNS,
    securityBits: ALGORITHMS[row.mlDsa].securityBits, quantumCategory: row.quantumCategory, standing: row.standing, profile: row.profile,
    of: [mlDsa(row.mlDsa), traditional, ...half.kind === 'ecdsa' ? [HASHES[half.hash]] : [], HASHES[row.preHash === 'SHAKE256-64' ? 'SHAKE256' : row.preHash]],
  };
}

function compositeKem(row: CompositeKem): AlgorithmRow {
  const half = row.traditional;
  const traditional: AlgorithmRow = half.kind === 'ecdh' ? ecdh(half.curve) : half.kind === 'xdh' ? xdh(half.curve) : {
    name: `RSAES-OAEP ${half.modulusBits}`, oid: '1.2.840.113549.1.1.7', primitive: 'pke', family: 'RSAES-OAEP', parameterSet: `${half.modulusBits}`, padding: 'oaep',
    functions: ['keygen', 'encrypt', 'decrypt'], ...rsaFacts(half.modulusBits), of: [HASHES['SHA-256']],
  };
  return {
    name: row.label, oid: row.oid, primitive: 'combiner', parameterSet: row.name, functions: ENCAPSULATES, securityBits: mlKem(row.mlKem).securityBits!, quantumCategory: row.quantumCategory,
    standing: row.standing, profile: row.profile, of: [mlKem(row.mlKem), traditional, HASHES['SHA3-256']],
  };
}

function algorithmOf(key: SubjectKey): AlgorithmRow {
  switch (key.kind) {
    case 'rsa': return rsa(key.modulusBits);
    case 'ecdsa': return ecdsa(key.curve);
    case 'eddsa': return eddsa(key.curve);
    case 'xdh': return xdh(key.curve);
    case 'ml-dsa': return mlDsa(key.name);
    case 'slh-dsa': return slhDsa(key.row);
    case 'composite': return compositeSignature(key.row);
    case 'xmss': return xmss(key.row);
    case 'hss': return { name: HSS_LMS.label, oid: HSS_LMS.oid, primitive: 'signature', family: 'LMS', functions: SIGNS, standing: HSS_LMS.standing };
    case 'kem':
      switch (key.row.family) {
        case 'ml-kem': return mlKem(key.row.name);
        case 'composite-kem': return compositeKem(key.row);
        case 'x-wing': return {
          name: key.row.label, oid: key.row.oid, primitive: 'combiner', parameterSet: key.row.name, functions: ENCAPSULATES, securityBits: 192, quantumCategory: key.row.quantumCategory,
          standing: key.row.standing, profile: key.row.profile, of: [mlKem('ml-kem-768'), xdh('X25519'), HASHES['SHA3-256']],
        };
      }
  }
}

const SIGNATURES: ReadonlyMap<string | null, AlgorithmRow> = new Map([
  ecdsaWith('SHA-256', '1.2.840.10045.4.3.2'), ecdsaWith('SHA-384', '1.2.840.10045.4.3.3'), ecdsaWith('SHA-512', '1.2.840.10045.4.3.4'), // RFC 5758 section 3.2
  rsaWith('SHA-256', '1.2.840.113549.1.1.11'), rsaWith('SHA-384', '1.2.840.113549.1.1.12'), rsaWith('SHA-512', '1.2.840.113549.1.1.13'), // RFC 4055 section 5
  pss, eddsa('Ed25519'), eddsa('Ed448'), mlDsa('ml-dsa-44'), mlDsa('ml-dsa-65'), mlDsa('ml-dsa-87'),
].map((row) => [row.oid, row] as const));

/** By the identifier in a certificate. One that the registry does not know is named by its OID. */
function signatureAlgorithm(oid: string): AlgorithmRow {
  const known = SIGNATURES.get(oid);
  if (known) return known;
  const row = postQuantumByOid(oid);
  if (row?.family === 'composite-signature') return compositeSignature(row);
  if (row?.family === 'slh-dsa') return slhDsa(row);
  if (row?.family === 'hss') return { name: row.label, oid, primitive: 'signature', family: 'LMS', functions: SIGNS, standing: row.standing };
  const tree = Object.values(XMSS_TREES).find((one) => one.oid === oid); // which set it is, the key says
  if (tree !== undefined) return { name: tree.label, oid, primitive: 'signature', family: 'XMSS', functions: SIGNS };
  return { name: oid, oid, primitive: 'signature', functions: ['sign', 'verify'] };
}

/** FIPS 197; NIST categories 1, 3 and 5 are defined by AES-128, -192 and -256. */
function aes(bits: number | undefined): AlgorithmRow {
  const common = { primitive: 'block-cipher', family: 'AES', functions: ['keygen', 'encrypt', 'decrypt'], oid: null } as const;
  if (bits !== 128 && bits !== 192 && bits !== 256) return { ...common, name: 'AES' };
  return {
    ...common, name: bits === 256 ? AES_256.label : `AES-${bits}`, parameterSet: `${bits}`, securityBits: bits, quantumCategory: bits === 128 ? 1 : bits === 192 ? 3 : 5,
    standing: { state: 'approved', clause: 'FIPS 197' },
  };
}
const KEY_WRAP: AlgorithmRow = {
  name: AES_KWP.label, oid: AES_KWP.oid, primitive: 'key-wrap', family: 'AES', parameterSet: '256', functions: ['encrypt', 'decrypt'], securityBits: 256, quantumCategory: 5,
  standing: { state: 'approved', clause: 'SP 800-38F section 6.3' }, of: [aes(256)],
};

/** What is known of a key that shows no public half: its type, as the token names it. */
function algorithmByType(key: Pick<CbomKey, 'class' | 'bits' | 'attributes'>): AlgorithmRow {
  const type = key.attributes?.keyType ?? '';
  if (type === 'CKK_AES' || (type === '' && key.class === 'secret-key' && key.bits !== undefined)) return aes(key.bits);
  return { name: type === '' ? 'unknown' : type.toWellFormed(), oid: null, primitive: 'unknown', functions: ['unknown'] };
}

/** What a key's algorithm is called, and what standards bodies say of it today; null where they say nothing. */
export function algorithmStanding(key: Pick<CbomKey, 'class' | 'key' | 'bits' | 'attributes'>): { readonly name: string; readonly standing: Standing | null } {
  const { name, standing = null } = key.key === null ? algorithmByType(key) : algorithmOf(key.key);
  return { name, standing };
}

// --- the document --------------------------------------------------------------------------------------------------------

/** The bill of materials of everything in the input. Never throws for well-formed input; hostile labels are only text. */
export function cbomOf(input: CbomInput): Cbom {
  const parts = new Parts();
  const tokens = new Map(input.tokens.toSorted((a, b) => compare(canonicalize(wellFormed(a)) ?? '', canonicalize(wellFormed(b)) ?? '')).map((token) => [token.serial, token]));
  const keys = input.keys.flatMap((key) => key.place.held === 'halves' ? [key, ...key.place.halves] : [key]);
  for (const token of tokens.values()) parts.token(token);
  for (const key of keys) if (key.class === 'public-key' && key.key !== null) parts.publicKey(key.key, location(key.place, tokens), key.name);
  for (const { certificate, der, place } of input.certificates) parts.certificate(certificate, der, location(place, tokens), input.at);
  for (const [ref, members] of grouped(keys.filter((key) => key.class !== 'public-key' || key.key === null))) {
    for (const [i, { key, places }] of members.entries()) parts.heldKey(i === 0 ? ref : `${ref}#${i + 1}`, key, places.map((place) => location(place, tokens)), input.at);
  }
  const { components, dependencies } = parts.sorted();
  const remarks: Property[] = [
    ...input.rehearsal === true ? [{ name: 'conclave:mode', value: 'REHEARSAL' }] : [],
    ...[...new Set(input.notSeen)].sort(compare).map((value) => ({ name: 'conclave:not-seen', value: value.toWellFormed() })),
  ];
  const content = {
    bomFormat: 'CycloneDX', specVersion: '1.7', version: 1,
    metadata: {
      lifecycles: [{ phase: 'operations' }],
      tools: { components: [{ type: 'application', name: 'conclave', ...input.version !== undefined && { version: input.version } }] },
      ...input.at !== undefined && { timestamp: input.at.toISOString() },
      ...remarks.length > 0 && { properties: remarks },
    },
    components, dependencies,
  } as const;
  return { ...content, serialNumber: `urn:uuid:${uuidOf(canonicalize(content) ?? '')}` };
}

/** RFC 9562 section 5.8: a version 8 UUID from the SHA-256 of the content. */
function uuidOf(text: string): string {
  const bytes = sha256(utf8(text)).slice(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Keys by the reference that names them, in one order whatever the order of the input. */
function grouped(keys: readonly CbomKey[]): Map<string, { readonly key: CbomKey; readonly places: readonly CbomPlace[] }[]> {
  const groups = new Map<string, CbomKey[]>();
  for (const key of keys) {
    const ref = referenceOf(key);
    const group = groups.get(ref);
    if (group) group.push(key);
    else groups.set(ref, [key]);
  }
  return new Map([...groups].map(([ref, members]) => {
    // What a record knows and what a token answers is one key; two answers of a token are two objects.
    const inOrder = members.length === 1 ? members : members.toSorted((a, b) => compare(knowledge(a), knowledge(b)));
    const answered = inOrder.filter((key) => key.attributes && key.recorded !== true);
    const told = [...inOrder.filter((key) => key.attributes && key.recorded === true), ...inOrder.filter((key) => !key.attributes)];
    const [first, ...more] = answered.length > 0 ? answered : told.slice(0, 1);
    const others = answered.length > 0 ? told : told.slice(1);
    return [ref, [{ key: others.reduce(joined, first!), places: [first!.place, ...others.map((key) => key.place).filter((place) => place.held === 'file')] }, ...more.map((key) => ({ key, places: [key.place] }))]];
  }));
}

/** A text to sort by: everything that `joined` chooses from. */
function knowledge({ name, place, attributes, created, period, state, bits, format, key }: CbomKey): string {
  return JSON.stringify([attributes ? canonicalize(wellFormed(attributes)) : '', name, place.held === 'halves' ? '' : place, created ?? null, period ?? null, state ?? null, bits ?? null, format ?? null, key === null]);
}

function joined(a: CbomKey, b: CbomKey): CbomKey {
  return { ...b, ...a, name: a.name === '' ? b.name : a.name, key: a.key ?? b.key };
}

function referenceOf({ class: kind, key, place, name }: CbomKey): string {
  const print = key === null ? toHex(sha256(utf8(name.toWellFormed()))).slice(0, 16) : fingerprintOf(key);
  switch (place.held) {
    case 'token': return `key/${kind}/token/${segment(place.token)}/${place.object.id === '' ? print : place.object.id}`;
    case 'wrapped': return `key/${kind}/wrapped/${'set' in place.under ? segment(place.under.set) : segment(place.under.token)}/${print}`;
    case 'shares': return sharesRef(place.set);
    case 'halves': return `key/${kind}/composite/${print}`;
    case 'file': return `key/${kind}/file/${print}`;
  }
}

function fingerprintOf(key: SubjectKey): string {
  return toHex(sha256(key.spki));
}

function segment(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

/** A file's name, or an RFC 7512 URI; null for what is not to be found anywhere by itself. */
function location(place: CbomPlace, tokens: ReadonlyMap<string, TokenFacts>): string | null {
  switch (place.held) {
    case 'file': return place.file.toWellFormed();
    case 'halves': case 'wrapped': case 'shares': return null;
    case 'token': {
      const token = tokens.get(place.token);
      const uri = uriOf({ token: wellFormed(token ?? { serial: place.token, label: '', model: '', manufacturer: '' }), object: wellFormed(place.object) });
      if (token !== undefined) return writePkcs11Uri(uri);
      // Of this token a record told the serial number, and nothing else.
      const { serial, object } = uri.texts;
      return writePkcs11Uri({ ...uri, texts: { ...serial !== undefined && { serial }, ...object !== undefined && { object } } });
    }
  }
}

function wellFormed<T extends object>(facts: T): T {
  return Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, typeof value === 'string' ? value.toWellFormed() : value])) as T;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A component in the making: what several sources add to it. */
interface Draft {
  readonly component: Omit<Component, 'evidence' | 'properties' | 'name'>;
  name: string;
  /** Where nothing gives it a name. */
  readonly unnamed: string;
  readonly locations: Set<string>;
  readonly properties: Property[];
}

class Parts {
  readonly #drafts = new Map<string, Draft>();
  readonly #uses = new Map<string, Set<string>>();
  readonly #provides = new Map<string, Set<string>>();

  sorted(): Pick<Cbom, 'components' | 'dependencies'> {
    const components = [...this.#drafts.values()].map(({ component, name, unnamed, locations, properties }): Component => ({
      ...component, name: name === '' ? unnamed : name,
      ...locations.size > 0 && { evidence: { occurrences: [...locations].sort(compare).map((one) => ({ location: one })) } },
      ...properties.length > 0 && { properties: properties.toSorted((a, b) => compare(a.name, b.name) || compare(a.value, b.value)) },
    })).sort((a, b) => compare(a['bom-ref'], b['bom-ref']));
    // What is only referred to (a token of which nothing else is known) is no component and has no entry.
    const known = (refs: ReadonlySet<string> | undefined): string[] => [...refs ?? []].filter((ref) => this.#drafts.has(ref)).sort(compare);
    const dependencies = components.map((component) => {
      const [dependsOn, provides] = [known(this.#uses.get(component['bom-ref'])), known(this.#provides.get(component['bom-ref']))];
      return { ref: component['bom-ref'], ...dependsOn.length > 0 && { dependsOn }, ...provides.length > 0 && { provides } };
    });
    return { components, dependencies };
  }

  token(facts: TokenFacts): void {
    const { serial, label, model, manufacturer, firmware, hardware, flags } = wellFormed(facts);
    this.#add(tokenRef(serial), label, serial, {
      type: 'device', ...firmware !== '' && { version: firmware }, ...manufacturer !== '' && { manufacturer: { name: manufacturer } },
    }, [writePkcs11Uri(uriOf({ token: wellFormed(facts) }))], {
      'conclave:serial': serial, 'conclave:model': model, 'conclave:hardware': hardware, 'conclave:flags': flags.toSorted(compare).join(' '), 'conclave:proof': 'reported',
    });
  }

  #algorithm(row: AlgorithmRow): string {
    const ref = `algorithm/${segment(row.name)}${row.oid === null || row.oid === row.name ? '' : `@${row.oid}`}`;
    const { name, oid, primitive, family, parameterSet, curve, padding, functions, securityBits, quantumCategory, standing, profile, of } = row;
    this.#add(ref, name, name, {
      type: 'cryptographic-asset',
      cryptoProperties: {
        assetType: 'algorithm', ...oid !== null && { oid },
        algorithmProperties: {
          primitive, cryptoFunctions: functions, ...family !== undefined && { algorithmFamily: family }, ...parameterSet !== undefined && { parameterSetIdentifier: parameterSet },
          ...curve !== undefined && { ellipticCurve: curve }, ...padding !== undefined && { padding }, ...securityBits !== undefined && { classicalSecurityLevel: securityBits },
          ...quantumCategory !== undefined && { nistQuantumSecurityLevel: quantumCategory },
        },
      },
    }, [], {
      ...standing && { 'conclave:standing': standing.state, 'conclave:clause': standing.clause, ...standing.until !== undefined && { 'conclave:until': `${standing.until}` } },
      ...profile !== undefined && { 'conclave:profile': profile },
    });
    for (const part of of ?? []) this.#use(ref, this.#algorithm(part));
    return ref;
  }

  publicKey(key: SubjectKey, where: string | null, name: string): string {
    const ref = `key/public-key/${fingerprintOf(key)}`;
    const algorithm = this.#algorithm(algorithmOf(key));
    this.#add(ref, name.toWellFormed(), key.label, {
      type: 'cryptographic-asset',
      cryptoProperties: {
        assetType: 'related-crypto-material', oid: key.oid,
        relatedCryptoMaterialProperties: {
          type: 'public-key', id: fingerprintOf(key), size: publicBits(key), format: 'X.509 SubjectPublicKeyInfo', fingerprint: { alg: 'SHA-256', content: fingerprintOf(key) },
          relatedCryptographicAssets: [{ type: 'algorithm', ref: algorithm }],
        },
      },
    }, [where], key.profile === undefined ? {} : { 'conclave:profile': key.profile });
    this.#use(ref, algorithm);
    return ref;
  }

  /** A private or secret key, or a public one that could not be read, at one place. */
  heldKey(ref: string, key: CbomKey, where: readonly (string | null)[], at: Date | undefined): void {
    const { place, attributes, created, period } = key;
    const row = key.key === null ? algorithmByType(key) : algorithmOf(key.key);
    const algorithm = this.#algorithm(row);
    const related: Related[] = [{ type: 'algorithm', ref: algorithm }];
    if (key.key !== null) related.push({ type: 'publicKey', ref: this.publicKey(key.key, null, '') });
    let securedBy: Readonly<Record<string, string>> | null = null;
    if (place.held === 'token') securedBy = { mechanism: `PKCS#11 token ${place.token.toWellFormed()}` };
    if (place.held === 'file') securedBy = { mechanism: 'none: a file that is not encrypted' };
    if (place.held === 'shares') securedBy = { mechanism: `Shamir secret sharing, ${place.threshold} of ${place.shares}, set ${place.set.toWellFormed()}` };
    if (place.held === 'wrapped') {
      const { under } = place;
      const by = 'set' in under ? `the shared key of set ${under.set.toWellFormed()}` : `key ${under.id} of PKCS#11 token ${under.token.toWellFormed()}`;
      securedBy = { mechanism: `${place.mechanism.toWellFormed()} under ${by}`, algorithmRef: this.#algorithm(KEY_WRAP) };
      this.#use(ref, this.#algorithm(KEY_WRAP));
      this.#use(ref, 'set' in under ? sharesRef(under.set) : `key/secret-key/token/${segment(under.token)}/${under.id}`);
    }
    if (place.held === 'halves') for (const half of place.halves) {
      related.push({ type: 'privateKey', ref: referenceOf(half) });
      this.#use(ref, referenceOf(half));
    }
    const state = key.state ?? (at !== undefined && period !== undefined ? stateAt(at, period) : null);
    const size = key.class === 'secret-key' ? key.bits ?? null : key.key === null ? null : privateBits(key.key);
    const id = place.held === 'token' && place.object.id !== '' ? place.object.id : key.key === null ? null : fingerprintOf(key.key);
    this.#add(ref, key.name.toWellFormed(), row.name, {
      type: 'cryptographic-asset',
      cryptoProperties: {
        assetType: 'related-crypto-material', ...row.oid !== null && { oid: row.oid },
        relatedCryptoMaterialProperties: {
          type: key.class, ...id !== null && { id }, ...state !== null && { state }, ...size !== null && { size },
          ...created !== undefined && { creationDate: created.toISOString() }, ...period !== undefined && { activationDate: period.from.toISOString(), expirationDate: period.to.toISOString() },
          ...key.format !== undefined && { format: key.format }, ...securedBy !== null && { securedBy },
          ...key.key !== null && { fingerprint: { alg: 'SHA-256', content: fingerprintOf(key.key) } },
          relatedCryptographicAssets: related.sort((a, b) => compare(a.type, b.type) || compare(a.ref, b.ref)),
        },
      },
    }, where, { ...row.profile !== undefined && { 'conclave:profile': row.profile }, ...attributes && attributeProperties(attributes) });
    this.#use(ref, algorithm);
    if (place.held === 'token') {
      this.#use(ref, tokenRef(place.token));
      const provided = this.#provides.get(tokenRef(place.token)) ?? new Set();
      this.#provides.set(tokenRef(place.token), provided.add(algorithm));
    }
  }

  certificate(certificate: CertificateReading, der: Uint8Array, where: string | null, at: Date | undefined): void {
    const { subject, issuer, serial, notBefore, notAfter, key, signatureAlgorithm: identifier } = certificate;
    const digest = toHex(sha256(der));
    const ref = `certificate/${digest}`;
    const name = nameText(subject);
    const [algorithm, publicKey] = [this.#algorithm(signatureAlgorithm(identifier.oid)), this.publicKey(key, where, '')];
    this.#add(ref, name, digest, {
      type: 'cryptographic-asset', hashes: [{ alg: 'SHA-256', content: digest }],
      cryptoProperties: {
        assetType: 'certificate',
        certificateProperties: {
          serialNumber: serial, subjectName: name, issuerName: nameText(issuer), notValidBefore: notBefore.toISOString(), notValidAfter: notAfter.toISOString(),
          // CycloneDX 1.7: the hash of the certificate without its signature; that of the whole file stands in `hashes`.
          certificateFormat: 'X.509', fingerprint: { alg: 'SHA-256', content: toHex(sha256(certificate.tbs)) },
          ...at !== undefined && { certificateState: [certificateState(at, notBefore, notAfter)] },
          certificateExtensions: extensionsOf(certificate),
          relatedCryptographicAssets: [{ type: 'algorithm', ref: algorithm }, { type: 'publicKey', ref: publicKey }],
        },
      },
    }, [where], key.profile === undefined ? {} : { 'conclave:profile': key.profile });
    this.#use(ref, algorithm);
    this.#use(ref, publicKey);
  }

  /** Adds a component, or to one that is there: places and properties are joined, and of two names the first in order stays. */
  #add(
    ref: string, name: string, unnamed: string, component: Omit<Component, 'bom-ref' | 'name' | 'evidence' | 'properties'>, where: readonly (string | null)[], properties: Readonly<Record<string, string>>,
  ): void {
    let draft = this.#drafts.get(ref);
    if (draft === undefined) {
      draft = { component: { 'bom-ref': ref, ...component }, name, unnamed, locations: new Set(), properties: [] };
      this.#drafts.set(ref, draft);
    }
    if (draft.name === '' || (name !== '' && name < draft.name)) draft.name = name;
    for (const place of where) if (place !== null) draft.locations.add(place);
    for (const [property, value] of Object.entries(properties)) {
      if (value !== '' && !draft.properties.some((one) => one.name === property && one.value === value)) draft.properties.push({ name: property, value });
    }
  }

  #use(ref: string, other: string): void {
    this.#uses.set(ref, (this.#uses.get(ref) ?? new Set()).add(other));
  }
}

function sharesRef(set: string): string {
  return `key/secret-key/shares/${segment(set)}`;
}

function tokenRef(serial: string): string {
  return `token/${segment(serial)}`;
}

/** RSA by its modulus, curves by their field, everything else by the length of its encoding. */
function publicBits(key: SubjectKey): number {
  switch (key.kind) {
    case 'rsa': return key.modulusBits;
    case 'ecdsa': case 'eddsa': case 'xdh': return CURVE_BITS[key.curve];
    case 'ml-dsa': case 'slh-dsa': case 'kem': case 'composite': case 'hss': case 'xmss': return 8 * key.raw.length;
  }
}

/** Of the form in which such keys are kept: seeds (FIPS 203, 204), the raw key of FIPS 205; null where the encoding varies. */
function privateBits(key: SubjectKey): number | null {
  switch (key.kind) {
    case 'rsa': case 'ecdsa': case 'eddsa': case 'xdh': return publicBits(key);
    case 'ml-dsa': return 8 * ALGORITHMS[key.name].seedBytes;
    case 'slh-dsa': return 8 * 4 * key.row.n;
    case 'composite': return key.row.sizes.varies.includes('privateKey') ? null : 8 * key.row.sizes.privateKey;
    case 'kem': return key.row.family === 'ml-kem' ? 8 * key.row.seedBytes : key.row.sizes.varies.includes('privateKey') ? null : 8 * key.row.sizes.privateKey;
    case 'hss': case 'xmss': return null;
  }
}

function stateAt(at: Date, { from, to }: { readonly from: Date; readonly to: Date }): KeyState {
  return at < from ? 'pre-activation' : at <= to ? 'active' : 'deactivated';
}

/** By its dates alone: whether it was revoked is not known here, and the reason says so. */
function certificateState(at: Date, notBefore: Date, notAfter: Date): { readonly state: KeyState; readonly reason: string } {
  return { state: stateAt(at, { from: notBefore, to: notAfter }), reason: 'by its dates; revocation was not looked at' };
}

function extensionsOf({ ca, pathLength, keyUsage, subjectKeyId, authorityKeyId, unknownCritical }: CertificateReading): Readonly<Record<string, string>>[] {
  const common = (commonExtensionName: string, commonExtensionValue: string) => ({ commonExtensionName, commonExtensionValue });
  return [
    ...ca ? [common('basicConstraints', `CA:TRUE${pathLength === null ? '' : `, pathlen:${pathLength}`}`)] : [],
    ...keyUsage === null ? [] : [common('keyUsage', keyUsage.join(', '))],
    ...subjectKeyId === null ? [] : [common('subjectKeyIdentifier', subjectKeyId)],
    ...authorityKeyId === null ? [] : [common('authorityKeyIdentifier', authorityKeyId)],
    ...unknownCritical.map((oid) => ({ customExtensionName: oid, customExtensionValue: 'critical' })),
  ];
}

const USES = ['sign', 'verify', 'encrypt', 'decrypt', 'wrap', 'unwrap', 'derive'] as const;

function attributeProperties(attributes: KeyAttributes): Readonly<Record<string, string>> {
  const { origin, conclusions, contradictions } = provenanceOf(attributes);
  return {
    'conclave:origin': ORIGIN_WORDS[origin], 'conclave:proof': conclusions[0]?.proof ?? '', 'conclave:uses': USES.filter((use) => attributes[use] === true).join(' '),
    'conclave:contradictions': contradictions.map((one) => one.rule).join(' '), 'conclave:risks': risksOf(attributes).map((one) => one.rule).join(' '),
    ...attributes.extractable !== null && { 'conclave:extractable': String(attributes.extractable) }, ...attributes.sensitive !== null && { 'conclave:sensitive': String(attributes.sensitive) },
    ...isStatefulKey(attributes) && { 'conclave:keys-remaining': attributes.keysRemaining === null ? 'the token does not tell' : `${attributes.keysRemaining}` },
  };
}

// --- rows ----------------------------------------------------------------------------------------------------------------

/** The same as one flat row for every component, for people and their spreadsheets. Empty: not known, or not of this kind. */
export const CBOM_COLUMNS = [
  'kind', 'name', 'algorithm', 'oid', 'bits', 'classical', 'quantum', 'standing', 'until', 'profile', 'state', 'id', 'sha256', 'subject', 'issuer', 'serial', 'from', 'to', 'secured', 'origin', 'uses', 'risks', 'where',
] as const;
export type CbomRow = Readonly<Record<(typeof CBOM_COLUMNS)[number], string>>;

/** One row per component, in the document's order. Classical strength in bits, quantum: the NIST category. */
export function cbomRows(bom: Cbom): CbomRow[] {
  const byRef = new Map(bom.components.map((component) => [component['bom-ref'], component]));
  return bom.components.map((component): CbomRow => {
    const crypto = component.cryptoProperties;
    const of = { ...crypto?.certificateProperties, ...crypto?.relatedCryptoMaterialProperties };
    const related = (of['relatedCryptographicAssets'] ?? []) as readonly Related[];
    const refersTo = (type: string): Component | undefined => byRef.get(related.find((one) => one.type === type)?.ref ?? '');
    // A certificate signs with one algorithm and holds a key of another: its row shows what it was signed with.
    const algorithm = crypto?.assetType === 'algorithm' ? component : refersTo('algorithm');
    const facts = algorithm?.cryptoProperties?.algorithmProperties;
    const property = (name: string, from: Component | undefined): string => from?.properties?.find((one) => one.name === `conclave:${name}`)?.value ?? '';
    const text = (value: unknown): string => typeof value === 'string' || typeof value === 'number' ? `${value}` : '';
    const states = of['certificateState'] as readonly { state: string }[] | undefined;
    return {
      kind: crypto === undefined ? 'token' : crypto.assetType === 'related-crypto-material' ? text(of['type']) : crypto.assetType, name: component.name,
      algorithm: algorithm?.name ?? '', oid: crypto?.oid ?? algorithm?.cryptoProperties?.oid ?? '', bits: text(of['size']),
      classical: text(facts?.['classicalSecurityLevel']), quantum: text(facts?.['nistQuantumSecurityLevel']), standing: property('standing', algorithm), until: property('until', algorithm),
      profile: property('profile', component) || property('profile', algorithm), state: text(of['state']) || (states?.[0]?.state ?? ''), id: text(of['id']) || property('serial', component),
      sha256: component.hashes?.[0]?.content ?? (of['fingerprint'] as { content: string } | undefined)?.content ?? '', subject: text(of['subjectName']), issuer: text(of['issuerName']), serial: text(of['serialNumber']),
      from: text(of['notValidBefore']) || text(of['activationDate']), to: text(of['notValidAfter']) || text(of['expirationDate']),
      secured: (of['securedBy'] as { mechanism: string } | undefined)?.mechanism ?? '', origin: property('origin', component), uses: property('uses', component), risks: [property('risks', component), property('contradictions', component)].filter((one) => one !== '').join(' '),
      where: component.evidence?.occurrences.map((one) => one.location).join(' ') ?? '',
    };
  });
}

/** RFC 4180, with a header. A cell that a spreadsheet would take for a formula begins with an apostrophe: labels are not ours. */
export function cbomCsv(bom: Cbom): string {
  const cell = (value: string): string => {
    const harmless = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
  };
  return [CBOM_COLUMNS, ...cbomRows(bom).map((row) => CBOM_COLUMNS.map((column) => row[column]))].map((cells) => `${cells.map(cell).join(',')}\r\n`).join('');
}
