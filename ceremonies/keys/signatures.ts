/**
 * Signatures: verifying all of them, making ML-DSA ones.
 *
 * A signature travels in JOSE form everywhere in this project (RFC 7518 section 3.4: ECDSA as r||s, both padded to the field
 * length); DER is made only at the edge to X.509. Classical signatures are verified by the runtime's WebCrypto where it
 * proves itself with a known answer, and by noble where it does not, so the renderer, the terminal and an old runtime
 * reach the same verdict. The private halves of classical keys live on tokens and never come here.
 */

import { ed25519 } from '@noble/curves/ed25519.js';
import { p256, p384, p521 } from '@noble/curves/nist.js';
import { ml_dsa44, ml_dsa65, ml_dsa87 } from '@noble/post-quantum/ml-dsa.js';
import { forWebCrypto, fromHex, utf8 } from '../bytes.ts';
import { Refused, refuse } from '../refusal.ts';
import { ALGORITHMS, type Algorithm, type EcdsaAlgorithm, type EddsaAlgorithm, type MlDsaName, type RsaAlgorithm } from './algorithms.ts';
import { parsePublicKey, publicKeyFromParts, publicKeyParts, type PublicKey } from './public-key.ts';
import { unsoundPoint } from './weak.ts';

/** Answers for one key whether a signature over a message is its own. */
type Verifier = (message: Uint8Array, signature: Uint8Array) => boolean | Promise<boolean>;

const CURVES = { 'ecdsa-p256': p256, 'ecdsa-p384': p384, 'ecdsa-p521': p521 } as const;
const ML_DSA = { 'ml-dsa-44': ml_dsa44, 'ml-dsa-65': ml_dsa65, 'ml-dsa-87': ml_dsa87 } as const;

/** Importing a key costs more than one verification, and a record's recorder key signs some thousand times. */
const prepared = new WeakMap<PublicKey, Promise<Verifier>>();

/**
 * True when `signature` (JOSE form) is a valid signature of `message` under `key`; false for every other signature,
 * whatever is wrong with it. A key that is unsound (off its curve, of small order, of another size than its algorithm
 * says) has no valid signatures. Throws `Refused` KEY-ENCODING or KEY-ALGORITHM when `key` is not what `public-key.ts`
 * makes, and SIGNATURE-PROVIDER when this runtime cannot verify RSA at all.
 *
 * Keep the same `PublicKey` object for many signatures: what it takes to verify under it is remembered per object.
 */
export async function verifySignature(key: PublicKey, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  if (signature.length !== ALGORITHMS[key.algorithm].signatureBytes) return false;
  let verifier = prepared.get(key);
  if (verifier === undefined) {
    verifier = prepare(key);
    prepared.set(key, verifier);
  }
  return (await verifier)(message, signature);
}

const NEVER: Verifier = () => false;

async function prepare(key: PublicKey): Promise<Verifier> {
  // A key object whose label and bytes disagree would be verified as something that nobody agreed to.
  parsePublicKey(key.spki, key.algorithm);
  const row: Algorithm = ALGORITHMS[key.algorithm];
  const parts = publicKeyParts(key);
  switch (row.family) {
    case 'rsa':
      if (!('n' in parts) || 8 * parts.n.length !== row.modulusBits || parts.n[0]! < 128) return NEVER;
      if (!(await webCryptoKnows(row))) throw noProvider(row);
      return (await webCryptoVerifier(row, 'spki', key.spki)) ?? NEVER;
    case 'ecdsa': {
      if (!('raw' in parts) || unsoundPoint(key) !== null) return NEVER;
      const curve = CURVES[row.name];
      return (
        ((await webCryptoKnows(row)) ? await webCryptoVerifier(row, 'raw', parts.raw) : null) ??
        // lowS: false, because tokens and other libraries sign with either s (FIPS 186-5 section 6.4 allows both).
        ((message, signature) => curve.verify(signature, message, parts.raw, { lowS: false }))
      );
    }
    case 'eddsa':
      if (!('raw' in parts) || unsoundPoint(key) !== null) return NEVER;
      return (
        ((await webCryptoKnows(row)) ? await webCryptoVerifier(row, 'raw', parts.raw) : null) ??
        ((message, signature) => verifyEd25519(parts.raw, message, signature))
      );
    case 'ml-dsa': {
      // Always noble: runtimes that have ML-DSA in WebCrypto still mark it experimental and print a warning into every
      // terminal that uses it, and 1.5 ms a signature is fast enough for seals. The tests hold the two against each other.
      if (!('raw' in parts)) return NEVER;
      const scheme = ML_DSA[row.name];
      return (message, signature) => scheme.verify(signature, message, parts.raw);
    }
  }
}

/**
 * RFC 8032 section 5.1.7 allows the equation with and without the cofactor 8; noble uses it with, OpenSSL and BoringSSL
 * without. The two differ only where the key or R has a component of small order. Such keys are refused above; refusing
 * such an R here makes the verdict the same under every provider.
 */
function verifyEd25519(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (!ed25519.verify(signature, message, key, { zip215: false })) return false;
  return ed25519.Point.fromBytes(signature.subarray(0, 32)).isTorsionFree();
}

// --- WebCrypto, only after it has proved itself --------------------------------------------------------------------------

type NamedOnly = { name: string };
type ClassicalAlgorithm = EcdsaAlgorithm | EddsaAlgorithm | RsaAlgorithm;

function webCryptoParameters(row: ClassicalAlgorithm): { key: EcKeyImportParams | RsaHashedImportParams | NamedOnly; verify: EcdsaParams | NamedOnly } {
  switch (row.family) {
    case 'ecdsa':
      return { key: { name: 'ECDSA', namedCurve: row.jose.crv }, verify: { name: 'ECDSA', hash: row.hash } };
    case 'eddsa':
      return { key: { name: 'Ed25519' }, verify: { name: 'Ed25519' } };
    case 'rsa':
      return { key: { name: 'RSASSA-PKCS1-v1_5', hash: row.hash }, verify: { name: 'RSASSA-PKCS1-v1_5' } };
  }
}

/** `crypto` is missing in old runtimes, `subtle` in pages without a secure origin. */
export function webCrypto(): SubtleCrypto | undefined {
  // eslint-disable-next-line no-restricted-globals -- verifies only: no randomness, no I/O, and noble gives the same verdicts
  const { crypto } = globalThis as { readonly crypto?: { readonly subtle?: SubtleCrypto } };
  return crypto?.subtle;
}

/** Null when WebCrypto is not there or will not take the key. */
async function webCryptoVerifier(row: ClassicalAlgorithm, form: 'raw' | 'spki', key: Uint8Array): Promise<Verifier | null> {
  const subtle = webCrypto();
  if (subtle === undefined) return null;
  const parameters = webCryptoParameters(row);
  try {
    const imported = await subtle.importKey(form, forWebCrypto(key), parameters.key, false, ['verify']);
    return (message, signature) => subtle.verify(parameters.verify, imported, forWebCrypto(signature), forWebCrypto(message));
  } catch {
    return null;
  }
}

const proofs = new Map<string, Promise<boolean>>();

/** Feature test plus known answer, once per algorithm and only when first needed; never by version number. */
function webCryptoKnows(row: ClassicalAlgorithm): Promise<boolean> {
  let proof = proofs.get(row.name);
  if (proof === undefined) {
    proof = knownAnswer(row).catch(() => false);
    proofs.set(row.name, proof);
  }
  return proof;
}

async function knownAnswer(row: ClassicalAlgorithm): Promise<boolean> {
  const answer = KNOWN_ANSWERS[row.name];
  const verifier = await webCryptoVerifier(row, row.family === 'rsa' ? 'spki' : 'raw', fromHex(answer.key));
  if (verifier === null) return false;
  const good = fromHex(answer.signature);
  const bad = good.slice();
  bad[bad.length - 1]! ^= 1;
  const message = utf8(answer.message);
  return (await verifier(message, good)) && !(await verifier(message, bad));
}

function noProvider(row: Algorithm): Refused {
  return new Refused(
    refuse(
      'SIGNATURE-PROVIDER',
      `a runtime that verifies ${row.label}`,
      'WebCrypto is missing here, or fails its known answer',
      'Verify this record with a current runtime.',
    ),
  );
}

// --- ECDSA at the edge to X.509 ------------------------------------------------------------------------------------------

/** r||s -> DER SEQUENCE { r, s } (RFC 3279 section 2.2.3). Throws on a wrong length and on r or s outside 1..n-1. */
export function ecdsaRawToDer(algorithm: EcdsaAlgorithm['name'], signature: Uint8Array): Uint8Array {
  return CURVES[algorithm].Signature.fromBytes(signature, 'compact').toBytes('der');
}

// --- ML-DSA in software --------------------------------------------------------------------------------------------------

/**
 * Signs with ML-DSA-65 (FIPS 204 algorithm 2, empty context), hedged with `randomness`: 32 fresh random bytes.
 * `seed` is the 32-byte seed (xi of FIPS 204 algorithm 1), the only private form this project stores.
 * The caller wipes `seed` and `randomness`; the expanded key is wiped here, as far as JavaScript can.
 */
export function signMlDsa65(seed: Uint8Array, message: Uint8Array, randomness: Uint8Array): Uint8Array {
  if (randomness.length !== 32) throw seedLength('32 random bytes', randomness.length);
  const { secretKey } = expanded('ml-dsa-65', seed);
  try {
    return ml_dsa65.sign(message, secretKey, { extraEntropy: randomness });
  } finally {
    secretKey.fill(0);
  }
}

/** The public key that belongs to a 32-byte seed. The caller wipes the seed. */
export function mlDsaPublicFromSeed(seed: Uint8Array, algorithm: MlDsaName = 'ml-dsa-65'): PublicKey {
  const { secretKey, publicKey } = expanded(algorithm, seed);
  secretKey.fill(0);
  return publicKeyFromParts(algorithm, { raw: publicKey });
}

function expanded(algorithm: MlDsaName, seed: Uint8Array): { secretKey: Uint8Array; publicKey: Uint8Array } {
  if (seed.length !== ALGORITHMS[algorithm].seedBytes) throw seedLength('a seed of 32 bytes', seed.length);
  return ML_DSA[algorithm].keygen(seed);
}

function seedLength(expected: string, found: number): Refused {
  return new Refused(refuse('ML-DSA-SEED', expected, `${found} bytes`, 'Read the seed object again; do not pad or cut it.'));
}

// --- known answers -------------------------------------------------------------------------------------------------------

// A 2048-bit key made with OpenSSL 3.0 for this table and thrown away; both answers by `openssl dgst -sign`.
const KNOWN_RSA_KEY =
  '30820122300d06092a864886f70d01010105000382010f003082010a0282010100e90b0f3177c4d8ed30cca8b1dd0db96994' +
  '217317fbf235366375eb3930ba8f3af519519f29f885bea7a624766248db782f7604b0e80f782bfd237dd03fc8db2d006fd4' +
  '57360a691a90875f4d590118f83aa954b9bcfe33142ed09e069d1e006a8d354c7a8f2bd8190ff5dc441298ec52ee3c1facc7' +
  '0cc7a8b9ff1d6214931a58fb5a995a31f20a352e9610e32c704e73cd031bcf89182061a772246b98dcd29d0b0224205fef35' +
  '1076d77ed122d331e297c0f6425b70ce88740f591aca7e8ec184041138a073cd76d1b322505aa611c7722254b11cccc9c34c' +
  '9493721c338b6b797e655ca3d09fb80778cfbe8258e6a07260b3373d4da61dd0698b1b6e70418f0203010001';

/** Raw key (RSA: SPKI), ASCII message, signature in JOSE form; all hex but the message. */
const KNOWN_ANSWERS: { readonly [Name in ClassicalAlgorithm['name']]: { readonly key: string; readonly message: string; readonly signature: string } } = {
  // RFC 6979 sections A.2.5, A.2.6, A.2.7: message "sample" with the hash that JOSE pairs with the curve.
  'ecdsa-p256': {
    key: 
      '0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2' +
      'f1b20c2d7e9f5177a3c294d4462299',
    message: 'sample',
    signature: 
      'efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e9' +
      '00dbb9aff4064dc4ab2f843acda8',
  },
  'ecdsa-p384': {
    key: 
      '04ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc1380' +
      '15d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720',
    message: 'sample',
    signature: 
      '94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe4699ef' +
      '4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8',
  },
  'ecdsa-p521': {
    key: 
      '0401894550d0785932e00eaa23b694f213f8c3121f86dc97a04e5a7167db4e5bcd371123d46e45db6b5d5370a7f20fb63315' +
      '5d38ffa16d2bd761dcac474b9a2f5023a400493101c962cd4d2fddf782285e64584139c2f91b47f87ff82354d6630f746a28' +
      'a0db25741b5b34a828008b22acc23f924faafbd4d33f81ea66956dfeaa2bfdfcf5',
    message: 'sample',
    signature: 
      '00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e25a1ee9017b5d450606add152b534931' +
      'd7d4e8455cc91f9b15bf05ec36e377fa00617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af2826' +
      '23eaa63e5b5c0723d8b8c37ff0777b1a20f8ccb1dccc43997f1ee0e44da4a67a',
  },
  // RFC 8032 section 7.1, test 2.
  ed25519: {
    key: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    message: 'r',
    signature: 
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b' +
      '2eaeb4302aeeb00d291612bb0c00',
  },
  'rsa-3072': {
    key: KNOWN_RSA_KEY,
    message: 'sample',
    signature: 
      '1bd1024c8830fc76f847a1c28e1b84a9160f8f7e6b614fc43436744f07cb097d5c2d9cec56cefd15f75eb6765deace1414fe' +
      '32aac2100d2ddd938939122e6bfd3fbd3ba154cf52c84c1c0bf08528337db19bda905b4dc65ff4002dd31e2fbe810408aabe' +
      '66a1455e74ae479fb30113494cd261d73eeea24bb99b8bf5e7b8282557966878c8e3b4801b07cbe69db253bd4c1748752413' +
      '36af49719e0ff234e7e4dba1abdcc4361770096a2d7402833f3de02406b9d41ec956d7d8f3e16f09c8e5fac83bb9a3a8ef92' +
      'ac4fa62047433f1c97c022b74c3cc565ccaf307b3bd66202476c62dba4691d0e66588337edc29f545fd4caab9700dfdd0df9' +
      '6fb89117c93c',
  },
  'rsa-4096': {
    key: KNOWN_RSA_KEY,
    message: 'sample',
    signature: 
      '10efe5152bddb32fb5a79bfdfed1b1fa0adf4c211dc3612e1a1aa0ec938039f0e9e3c935fd1d7b167bf904ccbaf15477838a' +
      '2772e811078c1b28821013dca71952c42dfe76b464138da7fd1a6c97fe93c16a7cb76fe0b89cb1355d46cc730b07be401d4a' +
      'd07582ae3cc0cfd57418c40c9523472cd83da4ed20370d59442c1fc83d0eb58a509470fb07d31fbec9da865fd72f86ffcf68' +
      '7b953f727279972ea587821e9fd9a4fb57b48bac4c31a1ee3b8f29435da756d40a00e2e46d3e7d0ae77f49444d020e29bb25' +
      '77ad539a4f0f365f287968ab2c7337e2b4d87f48c91598a7d8c9cca63e18cbcc123ab3816d3b5c28994dc8a7aba907233a96' +
      '9e4b787d5827',
  },
};
