/**
 * The one registry of algorithms: every number, name and size that another file needs to know about an algorithm.
 *
 * A new algorithm is a new row here, plus a branch wherever a `switch` over `family` then no longer compiles. `ALGORITHMS`
 * are those that roots and identities use today; ML-KEM, SLH-DSA, HSS, XMSS, the composites and X-Wing have tables of their own
 * below, because they have no JOSE form and no place in a script yet. Nothing here computes; nothing here may import code.
 *
 * Sources: SPKI and signature identifiers RFC 3279, 4055, 5480, 5758, 8410, 9881 · JOSE RFC 7518, 8037, 9864, 9964 ·
 * PKCS#11 numbers OASIS PKCS#11 3.2 header · strengths NIST SP 800-57 Part 1 Rev. 5 table 2, FIPS 204 table 1.
 */

import { Refused, refuse } from '../refusal.ts';

export type RootAlgorithmName = 'ecdsa-p256' | 'ecdsa-p384' | 'ecdsa-p521' | 'rsa-3072' | 'rsa-4096' | 'ed25519';
export type MlDsaName = 'ml-dsa-44' | 'ml-dsa-65' | 'ml-dsa-87';
export type AlgorithmName = RootAlgorithmName | MlDsaName;

export type HashName = 'SHA-256' | 'SHA-384' | 'SHA-512';

/** What standards bodies say of an algorithm today. The screen shows it; a script's lint refuses `disallowed`. */
export interface Standing {
  readonly state: 'approved' | 'draft' | 'deprecated' | 'disallowed';
  /** Last year in which the state holds, where one is published. */
  readonly until?: number;
  readonly clause: string;
}

interface Common {
  readonly name: AlgorithmName;
  /** As people write and say it. */
  readonly label: string;
  /** `root`: may be a root CA key. `identity`: may sign as one half of a participant's pair. */
  readonly uses: readonly ('root' | 'identity')[];
  /** OID of SubjectPublicKeyInfo.algorithm, and the DER of its parameters in hex (null: absent, which is not NULL). */
  readonly keyOid: string;
  readonly keyParameters: string | null;
  /** OID in a certificate's two signature fields, and its parameters likewise. */
  readonly signatureOid: string;
  readonly signatureParameters: string | null;
  /** What the signature hashes the message with before signing; null where hashing is part of the algorithm itself. */
  readonly hash: HashName | null;
  /** Length of the raw public key: EC point 04||X||Y, RSA modulus, raw Ed25519 or ML-DSA key. */
  readonly publicKeyBytes: number;
  /** Length of a signature as it travels here and in JOSE: ECDSA as r||s, never DER. */
  readonly signatureBytes: number;
  /** Classical strength in bits. */
  readonly securityBits: number;
  /** NIST category against a quantum computer; 0: none. */
  readonly quantumCategory: 0 | 2 | 3 | 5;
  readonly standing: Standing;
  readonly source: string;
}

/** PKCS#11 numbers. `signs: 'digest'` means the token gets the hash, `'message'` the whole message. */
interface Pkcs11 {
  readonly keyType: number;
  readonly generate: number;
  readonly sign: number;
  readonly signs: 'digest' | 'message';
}

export interface EcdsaAlgorithm extends Common {
  readonly family: 'ecdsa';
  readonly name: 'ecdsa-p256' | 'ecdsa-p384' | 'ecdsa-p521';
  readonly hash: HashName;
  /** JOSE and WebCrypto name the curves alike. */
  readonly jose: { readonly alg: 'ES256' | 'ES384' | 'ES512'; readonly kty: 'EC'; readonly crv: 'P-256' | 'P-384' | 'P-521' };
  readonly fieldBytes: number;
  /** `ecParams`: DER for CKA_EC_PARAMS, in hex. */
  readonly pkcs11: Pkcs11 & { readonly ecParams: string };
}

export interface RsaAlgorithm extends Common {
  readonly family: 'rsa';
  readonly name: 'rsa-3072' | 'rsa-4096';
  readonly hash: HashName;
  readonly jose: { readonly alg: 'RS256' | 'RS384'; readonly kty: 'RSA' };
  readonly modulusBits: number;
  /** What we ask a token for; what we accept is FIPS 186-5 section A.1.1 (weak.ts). */
  readonly publicExponent: number;
  readonly pkcs11: Pkcs11;
}

export interface EddsaAlgorithm extends Common {
  readonly family: 'eddsa';
  readonly name: 'ed25519';
  readonly hash: null;
  readonly jose: { readonly alg: 'Ed25519'; readonly kty: 'OKP'; readonly crv: 'Ed25519' };
  /** `ecParams`: the OID form of RFC 8410; `ecParamsByName`: the PrintableString form that older tokens want. */
  readonly pkcs11: Pkcs11 & { readonly ecParams: string; readonly ecParamsByName: string };
}

export interface MlDsaAlgorithm extends Common {
  readonly family: 'ml-dsa';
  readonly name: MlDsaName;
  readonly hash: null;
  readonly jose: { readonly alg: 'ML-DSA-44' | 'ML-DSA-65' | 'ML-DSA-87'; readonly kty: 'AKP' };
  readonly seedBytes: 32;
  /** `parameterSet`: CKA_PARAMETER_SET, in the PUBLIC key's template. */
  readonly pkcs11: Pkcs11 & { readonly parameterSet: number };
}

export type Algorithm = EcdsaAlgorithm | RsaAlgorithm | EddsaAlgorithm | MlDsaAlgorithm;

// The same words stand on several rows, so they stand here once.
const CLASSICAL: Standing = {
  state: 'approved',
  until: 2035,
  clause: 'FIPS 186-5; NIST IR 8547 (initial public draft) table 2: disallowed after 2035',
};
const POST_QUANTUM: Standing = { state: 'approved', clause: 'FIPS 204' };
const EC_PUBLIC_KEY = '1.2.840.10045.2.1'; // RFC 5480 section 2.1.1
const RSA_ENCRYPTION = '1.2.840.113549.1.1.1'; // RFC 3279 section 2.3.1
const NULL_DER = '0500'; // RFC 4055 sections 1.2 and 5: RSA identifiers carry an explicit NULL
const CKK_RSA = 0x00;
const CKK_EC = 0x03;
const CKK_AES = 0x1f;
const CKK_EC_EDWARDS = 0x40;
const CKK_ML_DSA = 0x4a;
const CKM_RSA_PKCS_KEY_PAIR_GEN = 0x0000;
const CKM_ML_DSA_KEY_PAIR_GEN = 0x001c;
const CKM_ML_DSA = 0x001d;
const CKM_SHA256_RSA_PKCS = 0x0040;
const CKM_SHA384_RSA_PKCS = 0x0041;
const CKM_EC_KEY_PAIR_GEN = 0x1040;
const CKM_ECDSA = 0x1041;
const CKM_EC_EDWARDS_KEY_PAIR_GEN = 0x1055;
const CKM_EDDSA = 0x1057;
const CKM_AES_KEY_GEN = 0x1080;

export const ALGORITHMS = {
  'ecdsa-p256': {
    name: 'ecdsa-p256',
    family: 'ecdsa',
    label: 'ECDSA P-256',
    uses: ['root', 'identity'],
    keyOid: EC_PUBLIC_KEY,
    keyParameters: '06082a8648ce3d030107', // secp256r1, 1.2.840.10045.3.1.7
    signatureOid: '1.2.840.10045.4.3.2', // ecdsa-with-SHA256, RFC 5758 section 3.2: parameters absent
    signatureParameters: null,
    hash: 'SHA-256',
    publicKeyBytes: 65,
    signatureBytes: 64,
    fieldBytes: 32,
    securityBits: 128,
    quantumCategory: 0,
    jose: { alg: 'ES256', kty: 'EC', crv: 'P-256' },
    // CKM_ECDSA takes the digest: every token has it, the hashing forms are missing on many (SoftHSM among them).
    pkcs11: { keyType: CKK_EC, generate: CKM_EC_KEY_PAIR_GEN, sign: CKM_ECDSA, signs: 'digest', ecParams: '06082a8648ce3d030107' },
    standing: CLASSICAL,
    source: 'FIPS 186-5 section 6; SP 800-186 section 3.2.1.3; RFC 7518 section 3.4',
  },
  'ecdsa-p384': {
    name: 'ecdsa-p384',
    family: 'ecdsa',
    label: 'ECDSA P-384',
    uses: ['root', 'identity'],
    keyOid: EC_PUBLIC_KEY,
    keyParameters: '06052b81040022', // secp384r1, 1.3.132.0.34
    signatureOid: '1.2.840.10045.4.3.3', // ecdsa-with-SHA384
    signatureParameters: null,
    hash: 'SHA-384',
    publicKeyBytes: 97,
    signatureBytes: 96,
    fieldBytes: 48,
    securityBits: 192,
    quantumCategory: 0,
    jose: { alg: 'ES384', kty: 'EC', crv: 'P-384' },
    pkcs11: { keyType: CKK_EC, generate: CKM_EC_KEY_PAIR_GEN, sign: CKM_ECDSA, signs: 'digest', ecParams: '06052b81040022' },
    standing: CLASSICAL,
    source: 'FIPS 186-5 section 6; SP 800-186 section 3.2.1.4; RFC 7518 section 3.4',
  },
  'ecdsa-p521': {
    name: 'ecdsa-p521',
    family: 'ecdsa',
    label: 'ECDSA P-521',
    uses: ['root', 'identity'],
    keyOid: EC_PUBLIC_KEY,
    keyParameters: '06052b81040023', // secp521r1, 1.3.132.0.35
    signatureOid: '1.2.840.10045.4.3.4', // ecdsa-with-SHA512
    signatureParameters: null,
    hash: 'SHA-512',
    publicKeyBytes: 133,
    signatureBytes: 132,
    fieldBytes: 66,
    securityBits: 256,
    quantumCategory: 0,
    jose: { alg: 'ES512', kty: 'EC', crv: 'P-521' },
    pkcs11: { keyType: CKK_EC, generate: CKM_EC_KEY_PAIR_GEN, sign: CKM_ECDSA, signs: 'digest', ecParams: '06052b81040023' },
    standing: CLASSICAL,
    source: 'FIPS 186-5 section 6; SP 800-186 section 3.2.1.5; RFC 7518 section 3.4',
  },
  'rsa-3072': {
    name: 'rsa-3072',
    family: 'rsa',
    label: 'RSA 3072',
    uses: ['root'],
    keyOid: RSA_ENCRYPTION,
    keyParameters: NULL_DER,
    signatureOid: '1.2.840.113549.1.1.11', // sha256WithRSAEncryption, RFC 4055 section 5
    signatureParameters: NULL_DER,
    hash: 'SHA-256',
    publicKeyBytes: 384,
    signatureBytes: 384,
    modulusBits: 3072,
    publicExponent: 65537,
    securityBits: 128,
    quantumCategory: 0,
    jose: { alg: 'RS256', kty: 'RSA' },
    pkcs11: { keyType: CKK_RSA, generate: CKM_RSA_PKCS_KEY_PAIR_GEN, sign: CKM_SHA256_RSA_PKCS, signs: 'message' },
    standing: CLASSICAL,
    source: 'FIPS 186-5 section 5.4; RFC 8017 section 8.2 (RSASSA-PKCS1-v1_5)',
  },
  'rsa-4096': {
    name: 'rsa-4096',
    family: 'rsa',
    label: 'RSA 4096',
    uses: ['root'],
    keyOid: RSA_ENCRYPTION,
    keyParameters: NULL_DER,
    signatureOid: '1.2.840.113549.1.1.12', // sha384WithRSAEncryption
    signatureParameters: NULL_DER,
    hash: 'SHA-384',
    publicKeyBytes: 512,
    signatureBytes: 512,
    modulusBits: 4096,
    publicExponent: 65537,
    securityBits: 128, // SP 800-57 Part 1 table 2 counts everything from 3072 up to 7679 bits as 128
    quantumCategory: 0,
    jose: { alg: 'RS384', kty: 'RSA' },
    pkcs11: { keyType: CKK_RSA, generate: CKM_RSA_PKCS_KEY_PAIR_GEN, sign: CKM_SHA384_RSA_PKCS, signs: 'message' },
    standing: CLASSICAL,
    source: 'FIPS 186-5 section 5.4; RFC 8017 section 8.2 (RSASSA-PKCS1-v1_5)',
  },
  ed25519: {
    name: 'ed25519',
    family: 'eddsa',
    label: 'Ed25519',
    uses: ['root', 'identity'],
    keyOid: '1.3.101.112', // RFC 8410 section 3: same identifier for key and signature, parameters absent
    keyParameters: null,
    signatureOid: '1.3.101.112',
    signatureParameters: null,
    hash: null,
    publicKeyBytes: 32,
    signatureBytes: 64,
    securityBits: 128,
    quantumCategory: 0,
    jose: { alg: 'Ed25519', kty: 'OKP', crv: 'Ed25519' }, // RFC 9864 section 2.2; "EdDSA" is deprecated there
    pkcs11: {
      keyType: CKK_EC_EDWARDS,
      generate: CKM_EC_EDWARDS_KEY_PAIR_GEN,
      sign: CKM_EDDSA,
      signs: 'message',
      ecParams: '06032b6570',
      ecParamsByName: '130c656477617264733235353139', // PrintableString "edwards25519"
    },
    standing: CLASSICAL,
    source: 'FIPS 186-5 section 7; RFC 8032 section 5.1',
  },
  'ml-dsa-44': {
    name: 'ml-dsa-44',
    family: 'ml-dsa',
    label: 'ML-DSA-44',
    uses: [],
    keyOid: '2.16.840.1.101.3.4.3.17', // RFC 9881 section 2: parameters absent
    keyParameters: null,
    signatureOid: '2.16.840.1.101.3.4.3.17',
    signatureParameters: null,
    hash: null,
    publicKeyBytes: 1312,
    signatureBytes: 2420,
    seedBytes: 32,
    securityBits: 128,
    quantumCategory: 2,
    jose: { alg: 'ML-DSA-44', kty: 'AKP' },
    pkcs11: { keyType: CKK_ML_DSA, generate: CKM_ML_DSA_KEY_PAIR_GEN, sign: CKM_ML_DSA, signs: 'message', parameterSet: 1 },
    standing: POST_QUANTUM,
    source: 'FIPS 204 section 4; RFC 9881; RFC 9964',
  },
  'ml-dsa-65': {
    name: 'ml-dsa-65',
    family: 'ml-dsa',
    label: 'ML-DSA-65',
    uses: ['identity'],
    keyOid: '2.16.840.1.101.3.4.3.18',
    keyParameters: null,
    signatureOid: '2.16.840.1.101.3.4.3.18',
    signatureParameters: null,
    hash: null,
    publicKeyBytes: 1952,
    signatureBytes: 3309,
    seedBytes: 32,
    securityBits: 192,
    quantumCategory: 3,
    jose: { alg: 'ML-DSA-65', kty: 'AKP' },
    pkcs11: { keyType: CKK_ML_DSA, generate: CKM_ML_DSA_KEY_PAIR_GEN, sign: CKM_ML_DSA, signs: 'message', parameterSet: 2 },
    standing: POST_QUANTUM,
    source: 'FIPS 204 section 4; RFC 9881; RFC 9964',
  },
  'ml-dsa-87': {
    name: 'ml-dsa-87',
    family: 'ml-dsa',
    label: 'ML-DSA-87',
    uses: ['identity'],
    keyOid: '2.16.840.1.101.3.4.3.19',
    keyParameters: null,
    signatureOid: '2.16.840.1.101.3.4.3.19',
    signatureParameters: null,
    hash: null,
    publicKeyBytes: 2592,
    signatureBytes: 4627,
    seedBytes: 32,
    securityBits: 256,
    quantumCategory: 5,
    jose: { alg: 'ML-DSA-87', kty: 'AKP' },
    pkcs11: { keyType: CKK_ML_DSA, generate: CKM_ML_DSA_KEY_PAIR_GEN, sign: CKM_ML_DSA, signs: 'message', parameterSet: 3 },
    standing: POST_QUANTUM,
    source: 'FIPS 204 section 4; RFC 9881; RFC 9964',
  },
} as const satisfies { readonly [Name in AlgorithmName]: Algorithm & { readonly name: Name } };

/** The root key algorithms in the order in which the app offers them. */
export const ROOT_ALGORITHMS = Object.values(ALGORITHMS)
  .filter((row: Algorithm) => row.uses.includes('root'))
  .map((row) => row.name) as readonly RootAlgorithmName[];

export function isAlgorithmName(name: string): name is AlgorithmName {
  return Object.hasOwn(ALGORITHMS, name);
}

/** The key that wraps other keys: AES-256 (FIPS 197), made on the token. */
export const AES_256 = { label: 'AES-256', keyBytes: 32, pkcs11: { keyType: CKK_AES, generate: CKM_AES_KEY_GEN } } as const;

/**
 * AES key wrap with padding (RFC 5649, SP 800-38F section 6.3), the only form in which a private key leaves a token.
 * Modules disagree about its number: PKCS#11 3.x says CKM_AES_KEY_WRAP_KWP, SoftHSM 2.6 knows only the older
 * CKM_AES_KEY_WRAP_PAD (same bytes): try them in this order, against the token's mechanism list, never blindly.
 */
export const AES_KWP = {
  label: 'AES-256 key wrap with padding',
  oid: '2.16.840.1.101.3.4.1.48', // id-aes256-wrap-pad, RFC 5649 section 5
  blockBytes: 8,
  /** Alternative initial value of RFC 5649 section 3, before the 32-bit length. */
  iv: 'a65959a6',
  pkcs11: { mechanisms: [0x210b, 0x210a] },
} as const;

// --- halves of composites ------------------------------------------------------------------------------------------------

/** Curves by their WebCrypto or RFC 5639 name. `oid`: namedCurve of ECPrivateKey and of an EC SubjectPublicKeyInfo. */
export const CURVE_FACTS = {
  'P-256': { oid: '1.2.840.10045.3.1.7', fieldBytes: 32, securityBits: 128 },
  'P-384': { oid: '1.3.132.0.34', fieldBytes: 48, securityBits: 192 },
  'P-521': { oid: '1.3.132.0.35', fieldBytes: 66, securityBits: 256 },
  brainpoolP256r1: { oid: '1.3.36.3.3.2.8.1.1.7', fieldBytes: 32, securityBits: 128 }, // RFC 5639 section 4.1
  brainpoolP384r1: { oid: '1.3.36.3.3.2.8.1.1.11', fieldBytes: 48, securityBits: 192 },
} as const satisfies Record<string, { oid: string; fieldBytes: number; securityBits: number }>;
export type CurveName = keyof typeof CURVE_FACTS;

/** RFC 8410 curves: raw keys, OID without parameters. `keyBytes` counts public and private keys alike. */
export const EDWARDS_FACTS = {
  Ed25519: { oid: '1.3.101.112', keyBytes: 32, signatureBytes: 64, securityBits: 128 },
  Ed448: { oid: '1.3.101.113', keyBytes: 57, signatureBytes: 114, securityBits: 224 },
} as const;
export type EdwardsName = keyof typeof EDWARDS_FACTS;
export const MONTGOMERY_FACTS = {
  X25519: { oid: '1.3.101.110', keyBytes: 32, securityBits: 128 },
  X448: { oid: '1.3.101.111', keyBytes: 56, securityBits: 224 },
} as const;
export type MontgomeryName = keyof typeof MONTGOMERY_FACTS;

/** The classical half of a composite signature: what it is, and how IT hashes, whatever hash the composite's name says. */
export type SignatureHalf =
  | { readonly kind: 'rsa'; readonly modulusBits: number; readonly padding: 'pss' | 'pkcs1'; readonly hash: HashName }
  | { readonly kind: 'ecdsa'; readonly curve: CurveName; readonly hash: HashName }
  | { readonly kind: 'eddsa'; readonly curve: EdwardsName };

export type KemHalf =
  | { readonly kind: 'rsa-oaep'; readonly modulusBits: number }
  | { readonly kind: 'ecdh'; readonly curve: CurveName }
  | { readonly kind: 'xdh'; readonly curve: MontgomeryName };

/** Octets. For `varies` members the number is the largest (DER integers); all others are exact. */
interface Sizes {
  readonly publicKey: number;
  readonly privateKey: number;
  readonly varies: readonly ('publicKey' | 'privateKey' | 'signature')[];
}

/** What every algorithm below has. Parameters of its identifier are always ABSENT, which is not NULL. */
interface PostQuantumCommon {
  readonly label: string;
  readonly oid: string;
  /** NIST category; that of the post-quantum half in a composite. */
  readonly quantumCategory: 1 | 2 | 3 | 5;
  readonly standing: Standing;
  readonly source: string;
}

/** Made under a draft: every object made with it carries this name, so that it can be told from what the RFC will say. */
interface Draft {
  readonly profile: string;
  /** PKCS#11 3.2 has no numbers for composites (3.3 drafts name CKM_COMP_SIG without one). */
  readonly pkcs11: null;
}

export interface CompositeSignature extends PostQuantumCommon, Draft {
  readonly family: 'composite-signature';
  /** As in the draft, without its "id-". */
  readonly name: string;
  /** The signature label of the draft's section 6: ML-DSA's context, and part of M'. ASCII. */
  readonly domain: string;
  readonly preHash: 'SHA-256' | 'SHA-512' | 'SHAKE256-64';
  readonly mlDsa: MlDsaName;
  readonly traditional: SignatureHalf;
  readonly sizes: Sizes & { readonly signature: number };
}

export interface CompositeKem extends PostQuantumCommon, Draft {
  readonly family: 'composite-kem';
  readonly name: string;
  /** Last part of the combiner's input. ASCII. */
  readonly domain: string;
  readonly mlKem: MlKemName;
  readonly traditional: KemHalf;
  readonly sizes: Sizes & { readonly ciphertext: number };
}

export interface XWingAlgorithm extends PostQuantumCommon, Draft {
  readonly family: 'x-wing';
  readonly name: 'X-Wing';
  readonly sizes: Sizes & { readonly ciphertext: number };
}

export type MlKemName = 'ml-kem-512' | 'ml-kem-768' | 'ml-kem-1024';
export interface MlKemAlgorithm extends PostQuantumCommon {
  readonly family: 'ml-kem';
  readonly name: MlKemName;
  readonly seedBytes: 64;
  readonly publicKeyBytes: number;
  readonly expandedBytes: number;
  readonly ciphertextBytes: number;
  readonly pkcs11: { readonly keyType: number; readonly generate: number; readonly mechanism: number; readonly parameterSet: number };
}

export type SlhDsaName = `slh-dsa-${'sha2' | 'shake'}-${'128' | '192' | '256'}${'s' | 'f'}`;
export interface SlhDsaAlgorithm extends PostQuantumCommon {
  readonly family: 'slh-dsa';
  readonly name: SlhDsaName;
  /** Security parameter n: public keys have 2n octets, private keys 4n. */
  readonly n: 16 | 24 | 32;
  readonly signatureBytes: number;
  readonly pkcs11: Pkcs11 & { readonly parameterSet: number };
}

/** Never made in software: SP 800-208 section 8.1 keeps these keys inside one hardware module, so only tokens make and use them. */
export interface HssAlgorithm {
  readonly family: 'hss';
  readonly name: 'hss-lms';
  readonly pkcs11: Pkcs11;
  readonly label: string;
  readonly oid: string;
  readonly standing: Standing;
  readonly source: string;
}

/** Both share the two key identifiers: the parameter set stands in the first four bytes of every public key. */
export const XMSS_TREES = {
  // CKK_XMSS, CKM_XMSS_KEY_PAIR_GEN, CKM_XMSS
  xmss: { label: 'XMSS', oid: '1.3.6.1.5.5.7.6.34', pkcs11: { keyType: 0x47, generate: 0x4034, sign: 0x4036, signs: 'message' } },
  // CKK_XMSSMT, CKM_XMSSMT_KEY_PAIR_GEN, CKM_XMSSMT
  xmssmt: { label: 'XMSS^MT', oid: '1.3.6.1.5.5.7.6.35', pkcs11: { keyType: 0x48, generate: 0x4035, sign: 0x4037, signs: 'message' } },
} as const satisfies Record<string, { readonly label: string; readonly oid: string; readonly pkcs11: Pkcs11 }>;

export type XmssName = `${keyof typeof XMSS_TREES}-${string}`;
/** One parameter set of XMSS (one layer) or XMSS^MT. Never made in software, for the same reason as HSS. */
export interface XmssAlgorithm {
  readonly family: 'xmss';
  readonly name: XmssName;
  readonly label: string;
  readonly oid: string;
  readonly tree: keyof typeof XMSS_TREES;
  readonly hash: 'SHA-256' | 'SHAKE256';
  /** Octets of every hash in it. */
  readonly n: 24 | 32;
  /** Of all layers together: the key signs 2^height times. */
  readonly height: number;
  readonly layers: number;
  readonly signatureBytes: number;
  /** `parameterSet` is the number in the public key, too. */
  readonly pkcs11: Pkcs11 & { readonly parameterSet: number };
  readonly standing: Standing;
  readonly source: string;
}

export type PostQuantumAlgorithm = CompositeSignature | CompositeKem | XWingAlgorithm | MlKemAlgorithm | SlhDsaAlgorithm | HssAlgorithm;

const CKK_ML_KEM = 0x49;
const CKK_SLH_DSA = 0x4b;
const CKM_ML_KEM_KEY_PAIR_GEN = 0x000f;
const CKM_ML_KEM = 0x0017;
const CKM_SLH_DSA_KEY_PAIR_GEN = 0x002d;
const CKM_SLH_DSA = 0x002e;

const mlKem = (
  size: 512 | 768 | 1024, arc: number, quantumCategory: 1 | 3 | 5, publicKeyBytes: number, expandedBytes: number, ciphertextBytes: number,
): MlKemAlgorithm => ({
  family: 'ml-kem', name: `ml-kem-${size}`, label: `ML-KEM-${size}`, oid: `2.16.840.1.101.3.4.4.${arc}`, quantumCategory, seedBytes: 64,
  publicKeyBytes, expandedBytes, ciphertextBytes,
  pkcs11: { keyType: CKK_ML_KEM, generate: CKM_ML_KEM_KEY_PAIR_GEN, mechanism: CKM_ML_KEM, parameterSet: arc },
  standing: { state: 'approved', clause: 'FIPS 203' }, source: 'FIPS 203 table 3; RFC 9935',
});

/** FIPS 203 table 3. */
export const ML_KEMS: { readonly [Name in MlKemName]: MlKemAlgorithm } = {
  'ml-kem-512': mlKem(512, 1, 1, 800, 1632, 768),
  'ml-kem-768': mlKem(768, 2, 3, 1184, 2400, 1088),
  'ml-kem-1024': mlKem(1024, 3, 5, 1568, 3168, 1568),
};

// PKCS#11 alternates SHA2 and SHAKE, the OIDs do not: both numbers stand in each row.
const slhDsa = (name: SlhDsaName, arc: number, parameterSet: number, n: 16 | 24 | 32, signatureBytes: number): SlhDsaAlgorithm => ({
  family: 'slh-dsa', name, label: name.toUpperCase().replace(/[SF]$/, (last) => last.toLowerCase()), oid: `2.16.840.1.101.3.4.3.${arc}`,
  quantumCategory: n === 16 ? 1 : n === 24 ? 3 : 5, n, signatureBytes,
  pkcs11: { keyType: CKK_SLH_DSA, generate: CKM_SLH_DSA_KEY_PAIR_GEN, sign: CKM_SLH_DSA, signs: 'message', parameterSet },
  standing: { state: 'approved', clause: 'FIPS 205' }, source: 'FIPS 205 table 2; RFC 9909',
});

/** FIPS 205 table 2; OIDs of RFC 9909 section 3. */
export const SLH_DSAS: readonly SlhDsaAlgorithm[] = [
  slhDsa('slh-dsa-sha2-128s', 20, 0x1, 16, 7856),
  slhDsa('slh-dsa-sha2-128f', 21, 0x3, 16, 17088),
  slhDsa('slh-dsa-sha2-192s', 22, 0x5, 24, 16224),
  slhDsa('slh-dsa-sha2-192f', 23, 0x7, 24, 35664),
  slhDsa('slh-dsa-sha2-256s', 24, 0x9, 32, 29792),
  slhDsa('slh-dsa-sha2-256f', 25, 0xb, 32, 49856),
  slhDsa('slh-dsa-shake-128s', 26, 0x2, 16, 7856),
  slhDsa('slh-dsa-shake-128f', 27, 0x4, 16, 17088),
  slhDsa('slh-dsa-shake-192s', 28, 0x6, 24, 16224),
  slhDsa('slh-dsa-shake-192f', 29, 0x8, 24, 35664),
  slhDsa('slh-dsa-shake-256s', 30, 0xa, 32, 29792),
  slhDsa('slh-dsa-shake-256f', 31, 0xc, 32, 49856),
];

export const HSS_LMS: HssAlgorithm = {
  family: 'hss', name: 'hss-lms', label: 'HSS/LMS', oid: '1.2.840.113549.1.9.16.3.17',
  // CKK_HSS, CKM_HSS_KEY_PAIR_GEN, CKM_HSS
  pkcs11: { keyType: 0x46, generate: 0x4032, sign: 0x4033, signs: 'message' },
  standing: { state: 'approved', clause: 'SP 800-208 section 8.1: keys are made and kept in hardware modules only' },
  source: 'RFC 8554; RFC 9802',
};

const xmss = (tree: XmssAlgorithm['tree'], hash: XmssAlgorithm['hash'], n: 24 | 32, first: number, shapes: readonly (readonly [height: number, layers: number])[]): XmssAlgorithm[] =>
  shapes.map(([height, layers], i) => {
    const family = hash === 'SHA-256' ? 'SHA2' : 'SHAKE256';
    const shape = tree === 'xmss' ? `${height}` : `${height}/${layers}`;
    return {
      family: 'xmss', tree, hash, n, height, layers, oid: XMSS_TREES[tree].oid,
      name: `${tree}-${family.toLowerCase()}-${shape.replace('/', '-')}-${8 * n}`, label: `${tree.toUpperCase()}-${family}_${shape}_${8 * n}`,
      // RFC 8391 sections 4.1.8 and 4.2.3: index, randomness, and for every layer 2n + 3 chains (w = 16) and its part of the path.
      signatureBytes: (tree === 'xmss' ? 4 : Math.ceil(height / 8)) + n * (1 + layers * (2 * n + 3) + height),
      pkcs11: { ...XMSS_TREES[tree].pkcs11, parameterSet: first + i },
      standing: { state: 'approved', clause: 'SP 800-208 section 8.1: keys are made and kept in hardware modules only' }, source: 'SP 800-208 section 5; RFC 8391; RFC 9802',
    };
  });
const XMSS_SHAPES = [[10, 1], [16, 1], [20, 1]] as const;
const XMSSMT_SHAPES = [[20, 2], [20, 4], [40, 2], [40, 4], [40, 8], [60, 3], [60, 6], [60, 12]] as const;

/** All of SP 800-208 section 5, under the numbers there. Sets with 64 octets or with SHAKE128 are RFC 8391's alone, and not approved. */
export const XMSS_SETS: readonly XmssAlgorithm[] = [
  ...xmss('xmss', 'SHA-256', 32, 0x01, XMSS_SHAPES), ...xmss('xmss', 'SHA-256', 24, 0x0d, XMSS_SHAPES),
  ...xmss('xmss', 'SHAKE256', 32, 0x10, XMSS_SHAPES), ...xmss('xmss', 'SHAKE256', 24, 0x13, XMSS_SHAPES),
  ...xmss('xmssmt', 'SHA-256', 32, 0x01, XMSSMT_SHAPES), ...xmss('xmssmt', 'SHA-256', 24, 0x21, XMSSMT_SHAPES),
  ...xmss('xmssmt', 'SHAKE256', 32, 0x29, XMSSMT_SHAPES), ...xmss('xmssmt', 'SHAKE256', 24, 0x31, XMSSMT_SHAPES),
];

/**
 * What a ceremony may choose: small trees, because the token makes the whole tree (or the top one) three times on the way, once
 * to be tried, once to be kept and once for the lint. 1,024 to 1,048,576 signatures.
 */
const XMSS_OFFERED: readonly string[] = ['xmss-sha2-10-256', 'xmss-sha2-10-192', 'xmss-sha2-16-256', 'xmssmt-sha2-20-2-256'];

// --- composites ----------------------------------------------------------------------------------------------------------

const pss = (modulusBits: number, hash: HashName): SignatureHalf => ({ kind: 'rsa', modulusBits, padding: 'pss', hash });
const pkcs1 = (modulusBits: number, hash: HashName): SignatureHalf => ({ kind: 'rsa', modulusBits, padding: 'pkcs1', hash });
const ecdsa = (curve: CurveName, hash: HashName): SignatureHalf => ({ kind: 'ecdsa', curve, hash });
const eddsa = (curve: EdwardsName): SignatureHalf => ({ kind: 'eddsa', curve });

/** The name holds the PRE-HASH; the classical half keeps a hash of its own. `domain` differs from the name for brainpool. */
const signature = (
  arc: number, name: string, mlDsa: MlDsaName, traditional: SignatureHalf, [publicKey, privateKey, size]: readonly [number, number, number],
  domain = `COMPSIG-${name}`,
): CompositeSignature => ({
  family: 'composite-signature', name, label: `${name} (composite)`, oid: `1.3.6.1.5.5.7.6.${arc}`, domain,
  preHash: name.endsWith('SHA256') && !name.endsWith('SHAKE256') ? 'SHA-256' : name.endsWith('SHAKE256') ? 'SHAKE256-64' : 'SHA-512',
  mlDsa, traditional,
  sizes: {
    publicKey, privateKey, signature: size,
    varies: traditional.kind === 'rsa' ? ['publicKey', 'privateKey'] : traditional.kind === 'ecdsa' ? ['signature'] : [],
  },
  quantumCategory: ALGORITHMS[mlDsa].quantumCategory, profile: 'lamps-composite-sigs-19', pkcs11: null,
  standing: { state: 'draft', clause: 'draft-ietf-lamps-pq-composite-sigs-19' }, source: 'draft-ietf-lamps-pq-composite-sigs-19 section 6',
});

/** All eighteen of draft-ietf-lamps-pq-composite-sigs-19, in the order of their OIDs. */
export const COMPOSITE_SIGNATURES: readonly CompositeSignature[] = [
  signature(37, 'MLDSA44-RSA2048-PSS-SHA256', 'ml-dsa-44', pss(2048, 'SHA-256'), [1582, 1226, 2676]),
  signature(38, 'MLDSA44-RSA2048-PKCS15-SHA256', 'ml-dsa-44', pkcs1(2048, 'SHA-256'), [1582, 1226, 2676]),
  signature(39, 'MLDSA44-Ed25519-SHA512', 'ml-dsa-44', eddsa('Ed25519'), [1344, 64, 2484]),
  signature(40, 'MLDSA44-ECDSA-P256-SHA256', 'ml-dsa-44', ecdsa('P-256', 'SHA-256'), [1377, 83, 2492]),
  signature(41, 'MLDSA65-RSA3072-PSS-SHA512', 'ml-dsa-65', pss(3072, 'SHA-256'), [2350, 1802, 3693]),
  signature(42, 'MLDSA65-RSA3072-PKCS15-SHA512', 'ml-dsa-65', pkcs1(3072, 'SHA-256'), [2350, 1802, 3693]),
  signature(43, 'MLDSA65-RSA4096-PSS-SHA512', 'ml-dsa-65', pss(4096, 'SHA-384'), [2478, 2383, 3821]),
  signature(44, 'MLDSA65-RSA4096-PKCS15-SHA512', 'ml-dsa-65', pkcs1(4096, 'SHA-384'), [2478, 2383, 3821]),
  signature(45, 'MLDSA65-ECDSA-P256-SHA512', 'ml-dsa-65', ecdsa('P-256', 'SHA-256'), [2017, 83, 3381]),
  signature(46, 'MLDSA65-ECDSA-P384-SHA512', 'ml-dsa-65', ecdsa('P-384', 'SHA-384'), [2049, 96, 3413]),
  signature(47, 'MLDSA65-ECDSA-brainpoolP256r1-SHA512', 'ml-dsa-65', ecdsa('brainpoolP256r1', 'SHA-256'), [2017, 84, 3381],
    'COMPSIG-MLDSA65-ECDSA-BP256-SHA512'),
  signature(48, 'MLDSA65-Ed25519-SHA512', 'ml-dsa-65', eddsa('Ed25519'), [1984, 64, 3373]),
  signature(49, 'MLDSA87-ECDSA-P384-SHA512', 'ml-dsa-87', ecdsa('P-384', 'SHA-384'), [2689, 96, 4731]),
  signature(50, 'MLDSA87-ECDSA-brainpoolP384r1-SHA512', 'ml-dsa-87', ecdsa('brainpoolP384r1', 'SHA-384'), [2689, 100, 4731],
    'COMPSIG-MLDSA87-ECDSA-BP384-SHA512'),
  signature(51, 'MLDSA87-Ed448-SHAKE256', 'ml-dsa-87', eddsa('Ed448'), [2649, 89, 4741]),
  signature(52, 'MLDSA87-RSA3072-PSS-SHA512', 'ml-dsa-87', pss(3072, 'SHA-256'), [2990, 1802, 5011]),
  signature(53, 'MLDSA87-RSA4096-PSS-SHA512', 'ml-dsa-87', pss(4096, 'SHA-384'), [3118, 2383, 5139]),
  signature(54, 'MLDSA87-ECDSA-P521-SHA512', 'ml-dsa-87', ecdsa('P-521', 'SHA-512'), [2725, 114, 4766]),
];

const kem = (
  arc: number, name: string, mlKemName: MlKemName, traditional: KemHalf, domain: string,
  [publicKey, privateKey, ciphertext]: readonly [number, number, number],
): CompositeKem => ({
  family: 'composite-kem', name, label: `${name} (composite)`, oid: `1.3.6.1.5.5.7.6.${arc}`, domain, mlKem: mlKemName, traditional,
  sizes: { publicKey, privateKey, ciphertext, varies: traditional.kind === 'rsa-oaep' ? ['publicKey', 'privateKey'] : [] },
  quantumCategory: ML_KEMS[mlKemName].quantumCategory, profile: 'lamps-composite-kem-21', pkcs11: null,
  standing: { state: 'draft', clause: 'draft-ietf-lamps-pq-composite-kem-21' }, source: 'draft-ietf-lamps-pq-composite-kem-21 section 6',
});
const oaep = (modulusBits: number): KemHalf => ({ kind: 'rsa-oaep', modulusBits });
const ecdh = (curve: CurveName): KemHalf => ({ kind: 'ecdh', curve });
const xdh = (curve: MontgomeryName): KemHalf => ({ kind: 'xdh', curve });

/** All twelve of draft-ietf-lamps-pq-composite-kem-21, in the order of their OIDs. */
export const COMPOSITE_KEMS: readonly CompositeKem[] = [
  kem(55, 'MLKEM768-RSA2048-SHA3-256', 'ml-kem-768', oaep(2048), 'MLKEM768-RSAOAEP2048', [1454, 1258, 1344]),
  kem(56, 'MLKEM768-RSA3072-SHA3-256', 'ml-kem-768', oaep(3072), 'MLKEM768-RSAOAEP3072', [1582, 1834, 1472]),
  kem(57, 'MLKEM768-RSA4096-SHA3-256', 'ml-kem-768', oaep(4096), 'MLKEM768-RSAOAEP4096', [1710, 2415, 1600]),
  kem(58, 'MLKEM768-X25519-SHA3-256', 'ml-kem-768', xdh('X25519'), '\\.//^\\', [1216, 96, 1120]), // X-Wing's label
  kem(59, 'MLKEM768-ECDH-P256-SHA3-256', 'ml-kem-768', ecdh('P-256'), 'MLKEM768-P256', [1249, 115, 1153]),
  kem(60, 'MLKEM768-ECDH-P384-SHA3-256', 'ml-kem-768', ecdh('P-384'), 'MLKEM768-P384', [1281, 128, 1185]),
  kem(61, 'MLKEM768-ECDH-brainpoolP256r1-SHA3-256', 'ml-kem-768', ecdh('brainpoolP256r1'), 'MLKEM768-BP256', [1249, 116, 1153]),
  kem(62, 'MLKEM1024-RSA3072-SHA3-256', 'ml-kem-1024', oaep(3072), 'MLKEM1024-RSAOAEP3072', [1966, 1834, 1952]),
  kem(63, 'MLKEM1024-ECDH-P384-SHA3-256', 'ml-kem-1024', ecdh('P-384'), 'MLKEM1024-P384', [1665, 128, 1665]),
  kem(64, 'MLKEM1024-ECDH-brainpoolP384r1-SHA3-256', 'ml-kem-1024', ecdh('brainpoolP384r1'), 'MLKEM1024-BP384', [1665, 132, 1665]),
  kem(65, 'MLKEM1024-X448-SHA3-256', 'ml-kem-1024', xdh('X448'), 'MLKEM1024-X448', [1624, 120, 1624]),
  kem(66, 'MLKEM1024-ECDH-P521-SHA3-256', 'ml-kem-1024', ecdh('P-521'), 'MLKEM1024-P521', [1701, 146, 1701]),
];

export const X_WING: XWingAlgorithm = {
  family: 'x-wing', name: 'X-Wing', label: 'X-Wing', oid: '1.3.6.1.4.1.62253.25722',
  sizes: { publicKey: 1216, privateKey: 32, ciphertext: 1120, varies: [] },
  quantumCategory: 3, profile: 'connolly-xwing-kem-11', pkcs11: null,
  standing: { state: 'draft', clause: 'draft-connolly-cfrg-xwing-kem-11' }, source: 'draft-connolly-cfrg-xwing-kem-11',
};

const BY_OID: ReadonlyMap<string, PostQuantumAlgorithm> = new Map(
  [...Object.values(ML_KEMS), ...SLH_DSAS, ...COMPOSITE_SIGNATURES, ...COMPOSITE_KEMS, X_WING, HSS_LMS].map((row) => [row.oid, row]),
);

/** The row whose key identifier this is; ML-DSA and the classical algorithms are in `ALGORITHMS` instead, XMSS in `XMSS_SETS`. */
export function postQuantumByOid(oid: string): PostQuantumAlgorithm | undefined {
  return BY_OID.get(oid);
}

/** A composite signature by the draft's name, with or without its "id-". Throws `Refused` ALGORITHM-KNOWN. */
export function compositeNamed(name: string): CompositeSignature {
  const row = COMPOSITE_SIGNATURES.find((one) => one.name === name.replace(/^id-/, ''));
  if (row === undefined) {
    throw new Refused(refuse('ALGORITHM-KNOWN', 'a composite signature of the draft', JSON.stringify(name.slice(0, 60)), 'Check the name against the draft.'));
  }
  return row;
}

// --- keys of certification authorities -----------------------------------------------------------------------------------

/** What a CA's key may be: one algorithm, or two in a composite. */
export type CaAlgorithm = Algorithm | SlhDsaAlgorithm | HssAlgorithm | XmssAlgorithm | CompositeSignature;

const CA_ROWS: ReadonlyMap<string, CaAlgorithm> = new Map<string, CaAlgorithm>(
  [...ROOT_ALGORITHMS.map((name) => ALGORITHMS[name]), ALGORITHMS['ml-dsa-44'], ALGORITHMS['ml-dsa-65'], ALGORITHMS['ml-dsa-87'], ...SLH_DSAS, HSS_LMS,
    ...XMSS_SETS.filter(({ name }) => XMSS_OFFERED.includes(name)), ...COMPOSITE_SIGNATURES].map((row) => [row.name, row]),
);

/** Names of everything that a script may make a CA key of, in the order in which the app offers them. */
export const CA_ALGORITHMS: readonly string[] = [...CA_ROWS.keys()];

/** Looks a CA algorithm up. Throws `Refused` ALGORITHM-KNOWN. */
export function caAlgorithmNamed(name: string): CaAlgorithm {
  const row = CA_ROWS.get(name);
  if (row === undefined) throw new Refused(refuse('ALGORITHM-KNOWN', CA_ALGORITHMS.join(', '), JSON.stringify(name.slice(0, 60)), 'Choose one of the names listed.'));
  return row;
}

/** A key that is a finite list of one-time keys: two signatures with the same one break it (SP 800-208 section 8.1). */
export function isStateful<Row extends { readonly family: string }>(row: Row): row is Extract<Row, HssAlgorithm | XmssAlgorithm> {
  return row.family === 'hss' || row.family === 'xmss';
}

/** Looks a KEM up by its name, in whatever case. Throws `Refused` ALGORITHM-KNOWN. */
export function kemAlgorithmNamed(name: string): MlKemAlgorithm | CompositeKem {
  const rows = [...Object.values(ML_KEMS), ...COMPOSITE_KEMS];
  const row = rows.find((one) => one.name.toLowerCase() === name.toLowerCase());
  if (row === undefined) throw new Refused(refuse('ALGORITHM-KNOWN', rows.map((one) => one.name).join(', '), JSON.stringify(name.slice(0, 60)), 'Choose one of the names listed.'));
  return row;
}

/** One part of a key: the whole of a simple one, or one half of a composite. */
export interface Component {
  readonly part: 'key' | 'ml-dsa' | 'traditional';
  /** As the record names it: a registry name where there is one, else that of the half, such as `brainpoolP256r1`. */
  readonly name: string;
  readonly label: string;
  /** The row under which a token makes and uses it; null where none can here, so that the part can only be wrapped. */
  readonly row: EcdsaAlgorithm | RsaAlgorithm | EddsaAlgorithm | MlDsaAlgorithm | SlhDsaAlgorithm | HssAlgorithm | XmssAlgorithm | null;
  /** How the classical half of a composite signs; null for every other part. */
  readonly half: SignatureHalf | null;
}

/** The parts of a key, in the order in which a composite writes them: ML-DSA first. */
export function componentsOf(algorithm: CaAlgorithm): readonly Component[] {
  if (algorithm.family !== 'composite-signature') return [{ part: 'key', name: algorithm.name, label: algorithm.label, row: algorithm, half: null }];
  const mlDsa = ALGORITHMS[algorithm.mlDsa];
  const half = algorithm.traditional;
  const row = Object.values(ALGORITHMS).find((one: Algorithm) => one.hash === (half.kind === 'eddsa' ? null : half.hash) && (
    (half.kind === 'ecdsa' && one.family === 'ecdsa' && one.jose.crv === half.curve)
    || (half.kind === 'rsa' && one.family === 'rsa' && one.modulusBits === half.modulusBits)
    || (half.kind === 'eddsa' && one.family === 'eddsa' && one.jose.crv === half.curve))) as Component['row'] | undefined;
  const [own, label] = half.kind === 'rsa' ? [`rsa-${half.modulusBits}`, `RSA ${half.modulusBits}`] : half.kind === 'ecdsa' ? [half.curve, `ECDSA ${half.curve}`] : [half.curve, half.curve];
  return [
    { part: 'ml-dsa', name: mlDsa.name, label: mlDsa.label, row: mlDsa, half: null },
    { part: 'traditional', name: row?.name ?? own, label: row?.label ?? label, row: row ?? null, half },
  ];
}
