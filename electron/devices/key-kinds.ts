/**
 * The kinds of keys that administration makes, imports and tries, each as tokens know it. Data and look-up alone: a new kind is
 * a name in KEY_KINDS (evidence.ts) and a row here.
 *
 * The rows of the registry (algorithms.ts) serve where there is one. What is here besides is no key of a root, and so in no
 * script: RSA-2048, X25519, and secret keys.
 */
import type { KeyKind } from '../../ceremonies/evidence.ts';
import {
  ALGORITHMS, ML_KEMS, SLH_DSAS,
  type EcdsaAlgorithm, type EddsaAlgorithm, type HssAlgorithm, type MlDsaAlgorithm, type MlKemAlgorithm, type RsaAlgorithm, type SlhDsaAlgorithm, type SlhDsaName, type XmssAlgorithm,
} from '../../ceremonies/keys/algorithms.ts';
import type { SubjectKey } from '../../ceremonies/keys/subject-key.ts';
import cryptoki from './cryptoki.json' with { type: 'json' };

/** RSA-2048 is no key of this house, but what many tokens are bought for. */
export const RSA_2048: RsaAlgorithm = { ...ALGORITHMS['rsa-3072'], label: 'RSA-2048', modulusBits: 2048, publicKeyBytes: 256, signatureBytes: 256 };

/** X25519 (RFC 7748) as PKCS#11 3.2 section 6.3.16 has it: agrees on secrets, signs nothing. */
export interface XdhAlgorithm {
  readonly family: 'xdh';
  readonly name: 'x25519';
  readonly label: string;
  readonly publicKeyBytes: 32;
  /** `ecParams`: the OID form of RFC 8410; `ecParamsByName`: the PrintableString form that older tokens want. */
  readonly pkcs11: { readonly keyType: number; readonly generate: number; readonly ecParams: string; readonly ecParamsByName: string };
}
export const X25519: XdhAlgorithm = {
  family: 'xdh', name: 'x25519', label: 'X25519', publicKeyBytes: 32,
  pkcs11: {
    keyType: cryptoki.CKK.CKK_EC_MONTGOMERY, generate: cryptoki.CKM.CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
    ecParams: '06032b656e', ecParamsByName: '130a63757276653235353139', // PrintableString "curve25519"
  },
};

/** What tokens generate and sign with, where they can. */
export type TokenAlgorithm = EcdsaAlgorithm | RsaAlgorithm | EddsaAlgorithm | MlDsaAlgorithm | SlhDsaAlgorithm | HssAlgorithm | XmssAlgorithm;
export type MacName = 'CKM_AES_CMAC' | 'CKM_SHA256_HMAC' | 'CKM_SHA384_HMAC' | 'CKM_SHA512_HMAC';
export type PairAlgorithm = TokenAlgorithm | MlKemAlgorithm | XdhAlgorithm;
export interface PairKind { readonly shape: 'pair'; readonly kind: KeyKind; readonly label: string; readonly algorithm: PairAlgorithm; readonly bits: number | null }
export interface SecretKind {
  readonly shape: 'secret'; readonly kind: KeyKind; readonly label: string; readonly keyType: number; readonly generate: number; readonly bytes: number;
  /** With which it makes a MAC. */
  readonly mac: MacName;
}
export type KeyKindRow = PairKind | SecretKind;

const pair = (kind: KeyKind, algorithm: PairAlgorithm, bits: number | null = null): PairKind => ({ shape: 'pair', kind, label: algorithm.label, algorithm, bits });
const aes = (kind: KeyKind, bytes: number): SecretKind => ({
  shape: 'secret', kind, label: `AES-${bytes * 8}`, keyType: cryptoki.CKK.CKK_AES, generate: cryptoki.CKM.CKM_AES_KEY_GEN, bytes, mac: 'CKM_AES_CMAC',
});
/** A generic secret, which every module makes; the key types of single hashes few do. As long as the hash (RFC 2104 section 3). */
const hmac = (kind: KeyKind, bytes: number, mac: MacName): SecretKind => ({
  shape: 'secret', kind, label: `HMAC-SHA-${bytes * 8}`, keyType: cryptoki.CKK.CKK_GENERIC_SECRET, generate: cryptoki.CKM.CKM_GENERIC_SECRET_KEY_GEN, bytes, mac,
});

export const KEY_KIND_ROWS: { readonly [Kind in KeyKind]: KeyKindRow } = {
  'rsa-2048': pair('rsa-2048', RSA_2048, 2048), 'rsa-3072': pair('rsa-3072', ALGORITHMS['rsa-3072'], 3072), 'rsa-4096': pair('rsa-4096', ALGORITHMS['rsa-4096'], 4096),
  'ec-p256': pair('ec-p256', ALGORITHMS['ecdsa-p256'], 256), 'ec-p384': pair('ec-p384', ALGORITHMS['ecdsa-p384'], 384), 'ec-p521': pair('ec-p521', ALGORITHMS['ecdsa-p521'], 521),
  ed25519: pair('ed25519', ALGORITHMS.ed25519), x25519: pair('x25519', X25519),
  'aes-128': aes('aes-128', 16), 'aes-192': aes('aes-192', 24), 'aes-256': aes('aes-256', 32),
  'hmac-256': hmac('hmac-256', 32, 'CKM_SHA256_HMAC'), 'hmac-384': hmac('hmac-384', 48, 'CKM_SHA384_HMAC'), 'hmac-512': hmac('hmac-512', 64, 'CKM_SHA512_HMAC'),
  'ml-dsa-44': pair('ml-dsa-44', ALGORITHMS['ml-dsa-44']), 'ml-dsa-65': pair('ml-dsa-65', ALGORITHMS['ml-dsa-65']), 'ml-dsa-87': pair('ml-dsa-87', ALGORITHMS['ml-dsa-87']),
  'ml-kem-512': pair('ml-kem-512', ML_KEMS['ml-kem-512']), 'ml-kem-768': pair('ml-kem-768', ML_KEMS['ml-kem-768']), 'ml-kem-1024': pair('ml-kem-1024', ML_KEMS['ml-kem-1024']),
  ...(Object.fromEntries(SLH_DSAS.map((row) => [row.name, pair(row.name, row)])) as { readonly [Name in SlhDsaName]: PairKind }),
};

/** The kind of a public key; null for one that is not made here. */
export function kindOfPublicKey(key: SubjectKey): PairKind | null {
  switch (key.kind) {
    case 'rsa': return found(`rsa-${key.modulusBits}`);
    case 'ecdsa': return found(`ec-${key.curve.replace('-', '').toLowerCase()}`);
    case 'eddsa': case 'xdh': return found(key.curve.toLowerCase());
    case 'ml-dsa': return found(key.name);
    case 'slh-dsa': case 'kem': return found(key.row.name);
    case 'composite': case 'hss': case 'xmss': return null;
  }
}

function found(name: string): PairKind | null {
  const row = Object.hasOwn(KEY_KIND_ROWS, name) ? KEY_KIND_ROWS[name as KeyKind] : null;
  return row?.shape === 'pair' ? row : null;
}

/** The kind of a secret key of this CKK_* name and length (any, for null); null for one that is not made here. */
export function kindOfSecret(keyType: string, bytes: number | null): SecretKind | null {
  const number = (cryptoki.CKK as Readonly<Record<string, number>>)[keyType];
  return Object.values(KEY_KIND_ROWS).find((row): row is SecretKind => row.shape === 'secret' && row.keyType === number && (bytes === null || row.bytes === bytes)) ?? null;
}
