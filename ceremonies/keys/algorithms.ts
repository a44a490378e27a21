/**
 * The one registry of algorithms: every number, name and size that another file needs to know about an algorithm.
 *
 * A new algorithm is a new row here, plus a branch wherever a `switch` over `family` then no longer compiles. Composite
 * and hash-based signatures will join as families of their own. Nothing here computes; nothing here may import code.
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

/** Looks a name up. Throws `Refused` ALGORITHM-KNOWN for a name that is not in the registry. */
export function algorithmNamed(name: string): Algorithm {
  if (!isAlgorithmName(name)) {
    throw new Refused(
      refuse('ALGORITHM-KNOWN', Object.keys(ALGORITHMS).join(', '), JSON.stringify(name.slice(0, 40)), 'Choose one of the names listed.'),
    );
  }
  return ALGORITHMS[name];
}

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
