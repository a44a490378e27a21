/**
 * Keys and signatures in software, for the parts of a key that no token makes or holds: which library does the work, and
 * whether it may.
 *
 * noble is the floor and is there everywhere; node:crypto is taken where it has the algorithm AND gives the known answers,
 * tried when an algorithm is first needed and never guessed from a version. What fails is off for the life of the process,
 * and `proveProviders` says so. Every signature is verified before it is given out, by the other library where that is possible.
 *
 * Secrets are PKCS#8 in the one form that this house writes: ML-DSA and ML-KEM as seed (RFC 9881, RFC 9935), SLH-DSA raw
 * (RFC 9909), RSA and curves as RFC 5958 has them. They are borrowed or handed over as the docstrings say; none is kept,
 * printed, or put into an error. Never makes or uses a stateful hash-based key: SP 800-208 keeps those in hardware.
 */
import nodeCrypto from 'node:crypto';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { sha256 } from '@noble/hashes/sha2.js';
import { shake256 } from '@noble/hashes/sha3.js';
import { concat, equalBytes, fromBase64url, fromHex, toHex, utf8 } from '../../ceremonies/bytes.ts';
import { ALGORITHMS, CURVE_FACTS, EDWARDS_FACTS, isStateful, SLH_DSAS, type Component, type MlDsaName, type MlKemAlgorithm, type SignatureHalf, type SlhDsaAlgorithm } from '../../ceremonies/keys/algorithms.ts';
import { ML_DSA } from '../../ceremonies/keys/composite.ts';
import { derParts, expectTag, readDer, TAG, writeDer, writeIdentifier, writeOid } from '../../ceremonies/keys/der.ts';
import { checkKemPublicKey, ML_KEM } from '../../ceremonies/keys/kem.ts';
import { EC_PUBLIC_KEY, readSubjectKey, SLH_DSA, subjectKeyOf } from '../../ceremonies/keys/subject-key.ts';
import { CURVES, EDWARDS, HASHES, RSA_ENCRYPTION, verifyHalf, writeEcPrivateKey } from '../../ceremonies/keys/traditional.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import { Fault } from './errors.ts';
import { lend, secretBytes, takeBytes } from './secret.ts';
import type { Task } from './work.ts';
import knownAnswers from './known-answers.json' with { type: 'json' };

export type ProviderName = 'noble' | 'node';

export interface SoftwareSecret {
  /** Secret, in a buffer of its own. The caller wipes it. */
  readonly pkcs8: Uint8Array<ArrayBuffer>;
  readonly spki: Uint8Array;
  /** Who made it. */
  readonly provider: ProviderName;
}

export interface ProviderState {
  readonly name: ProviderName;
  /** ML-DSA and ML-KEM by parameter set, curves by name, RSA by padding and hash, SLH-DSA as one. */
  readonly algorithm: string;
  readonly on: boolean;
  readonly reason: string;
}

/** How one part signs, whatever library does it. */
type Scheme =
  | SignatureHalf
  | { readonly kind: 'ml-dsa'; readonly name: MlDsaName }
  | { readonly kind: 'slh-dsa'; readonly row: SlhDsaAlgorithm }
  | { readonly kind: 'ml-kem'; readonly row: MlKemAlgorithm };
type Signing = Exclude<Scheme, { kind: 'ml-kem' }>;
/** Those whose private key is a short string of fixed length. */
type Short = Exclude<Scheme, { kind: 'rsa' }>;

interface Pair { readonly pkcs8: Uint8Array<ArrayBuffer>; readonly publicKey: Uint8Array }
/** With the key that it must fit, computed from the private one when it is asked for. */
interface Signed { readonly signature: Uint8Array; readonly publicKey: () => Uint8Array }

/** What each library does. Public keys are raw: the content of the BIT STRING. `pkcs8` is borrowed. */
interface Provider {
  readonly name: ProviderName;
  generate(scheme: Scheme, signal?: AbortSignal): Promise<Pair>;
  publicKey(scheme: Short, pkcs8: Uint8Array): Uint8Array;
  /** ECDSA as DER; ML-DSA and SLH-DSA hedged. */
  sign(scheme: Signing, pkcs8: Uint8Array, message: Uint8Array, context: Uint8Array, signal?: AbortSignal): Promise<Signed>;
  verify(scheme: Signing, publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array, context: Uint8Array): Promise<boolean>;
  encapsulate(row: MlKemAlgorithm, publicKey: Uint8Array): { readonly ciphertext: Uint8Array; readonly sharedSecret: Uint8Array<ArrayBuffer> };
  decapsulate(row: MlKemAlgorithm, pkcs8: Uint8Array, ciphertext: Uint8Array): Uint8Array<ArrayBuffer>;
}

const NO_CONTEXT = secretBytes(0);

// --- schemes and their encodings -----------------------------------------------------------------------------------------

function schemeOf(part: Component): Signing {
  if (part.half !== null) return part.half;
  const { row } = part;
  if (row === null) throw new Refused(refuse('ALGORITHM-KNOWN', 'a part with an algorithm of its own', part.name, 'Report this: it is a fault of the program.'));
  switch (row.family) {
    case 'ml-dsa':
      return { kind: 'ml-dsa', name: row.name };
    case 'slh-dsa':
      return { kind: 'slh-dsa', row };
    case 'ecdsa':
      return { kind: 'ecdsa', curve: row.jose.crv, hash: row.hash };
    case 'rsa':
      return { kind: 'rsa', modulusBits: row.modulusBits, padding: 'pkcs1', hash: row.hash };
    case 'eddsa':
      return { kind: 'eddsa', curve: row.jose.crv };
    case 'hss':
    case 'xmss':
      throw new Refused(refuse('STATEFUL-ON-TOKEN-ONLY', `a token that makes ${row.label} keys (SP 800-208 section 8.1)`, 'software', 'Use a token that offers the algorithm, or choose another.'));
  }
}

/** The name under which a scheme's known answer stands, and under which its providers are reported. */
function answerName(scheme: Scheme): string {
  switch (scheme.kind) {
    case 'ml-dsa':
      return scheme.name;
    case 'ml-kem':
      return scheme.row.name;
    case 'slh-dsa':
      return 'slh-dsa';
    case 'ecdsa':
    case 'eddsa':
      return scheme.curve;
    case 'rsa':
      return `rsa-${scheme.padding}-${scheme.hash}`;
  }
}

/** AlgorithmIdentifier of the key: OID, and DER parameters or null for absent. */
function identifierOf(scheme: Scheme): readonly [oid: string, parameters: Uint8Array | null] {
  switch (scheme.kind) {
    case 'ml-dsa':
      return [ALGORITHMS[scheme.name].keyOid, null];
    case 'ml-kem':
    case 'slh-dsa':
      return [scheme.row.oid, null];
    case 'ecdsa':
      return [EC_PUBLIC_KEY, writeOid(CURVE_FACTS[scheme.curve].oid)];
    case 'eddsa':
      return [EDWARDS_FACTS[scheme.curve].oid, null];
    case 'rsa':
      return [RSA_ENCRYPTION, Uint8Array.of(TAG.null, 0)];
  }
}

function spkiOf(scheme: Scheme, publicKey: Uint8Array): Uint8Array {
  return subjectKeyOf(...identifierOf(scheme), publicKey).spki;
}

function secretLength(scheme: Short): number {
  switch (scheme.kind) {
    case 'ml-dsa':
      return ALGORITHMS[scheme.name].seedBytes;
    case 'ml-kem':
      return scheme.row.seedBytes;
    case 'slh-dsa':
      return 4 * scheme.row.n;
    case 'ecdsa':
      return CURVE_FACTS[scheme.curve].fieldBytes;
    case 'eddsa':
      return EDWARDS_FACTS[scheme.curve].keyBytes;
  }
}

/**
 * The PKCS#8 of a short private key with zeros where the secret goes, and that place. The DER writer makes copies of what
 * it is given, so no secret ever passes through it.
 */
function emptyForm(scheme: Short): EmptyForm {
  const name = scheme.kind === 'slh-dsa' ? scheme.row.name : answerName(scheme);
  let form = forms.get(name);
  if (form === undefined) {
    form = writeForm(scheme);
    forms.set(name, form);
  }
  return form;
}

interface EmptyForm { readonly form: Uint8Array; readonly from: number; readonly to: number }
const forms = new Map<string, EmptyForm>();

function writeForm(scheme: Short): EmptyForm {
  const zeros = secretBytes(secretLength(scheme));
  const [oid, parameters] = identifierOf(scheme);
  let after = 0;
  const content = (): Uint8Array => {
    switch (scheme.kind) {
      case 'ml-dsa': // seed [0] IMPLICIT OCTET STRING, RFC 9881 section 6
      case 'ml-kem': // the same, RFC 9935 section 6
        return writeDer(0x80, zeros);
      case 'slh-dsa': // RFC 9909 section 6: no inner OCTET STRING
        return zeros;
      case 'eddsa': // RFC 8410 section 7: an OCTET STRING inside one
        return writeDer(TAG.octetString, zeros);
      case 'ecdsa':
        after = writeDer(0xa0, parameters!).length; // RFC 5915: namedCurve follows the scalar, publicKey is left out
        return writeEcPrivateKey(scheme.curve, zeros);
    }
  };
  const form = writeDer(TAG.sequence, Uint8Array.of(TAG.integer, 1, 0), writeIdentifier(oid, parameters), writeDer(TAG.octetString, content()));
  return { form, from: form.length - after - zeros.length, to: form.length - after };
}

/** PKCS#8 of a short private key, in a buffer of its own. `secret` is borrowed. */
function pkcs8Of(scheme: Short, secret: Uint8Array): Uint8Array<ArrayBuffer> {
  const { form, from, to } = emptyForm(scheme);
  if (secret.length !== to - from) throw new Fault('INTERNAL', `A ${answerName(scheme)} secret of another length.`);
  const pkcs8 = secretBytes(form.length);
  pkcs8.set(form);
  pkcs8.set(secret, from);
  return pkcs8;
}

/** The secret inside a PKCS#8 of exactly the form that is written here: a view, not a copy. Throws `Refused` PRIVATE-KEY-FORM. */
function secretIn(scheme: Short, pkcs8: Uint8Array): Uint8Array {
  const { form, from, to } = emptyForm(scheme);
  const same = (start: number, end: number): boolean => equalBytes(pkcs8.subarray(start, end), form.subarray(start, end));
  if (pkcs8.length !== form.length || !same(0, from) || !same(to, form.length)) {
    throw new Refused(refuse('PRIVATE-KEY-FORM', `a PKCS#8 ${answerName(scheme)} key in the form in which it was written`, 'another form', 'Read the key again from where it lives; do not repair it by hand.'));
  }
  return pkcs8.subarray(from, to);
}

/** A fresh private key of every kind that is nothing but random bytes. */
function freshSecret(scheme: Exclude<Short, { kind: 'slh-dsa' }>): Uint8Array<ArrayBuffer> {
  const secret = secretBytes(secretLength(scheme));
  do {
    nodeCrypto.randomFillSync(secret);
    if (scheme.kind === 'ecdsa' && scheme.curve === 'P-521') secret[0]! &= 1;
    // FIPS 186-5 section A.2.2: a number outside 1..n-1 is thrown away, not reduced.
  } while (scheme.kind === 'ecdsa' && !CURVES[scheme.curve].utils.isValidSecretKey(secret));
  const pkcs8 = pkcs8Of(scheme, secret);
  secret.fill(0);
  return pkcs8;
}

function fresh(length: number): Uint8Array<ArrayBuffer> {
  return nodeCrypto.randomFillSync(secretBytes(length));
}

/** A short key pair; nothing is left behind where the library will not have it. */
function shortPair(provider: Provider, scheme: Exclude<Short, { kind: 'slh-dsa' }>): Pair {
  const pkcs8 = freshSecret(scheme);
  try {
    return { pkcs8, publicKey: provider.publicKey(scheme, pkcs8) };
  } catch (error) {
    pkcs8.fill(0);
    throw error;
  }
}

// --- work that takes long ------------------------------------------------------------------------------------------------

function cancelled(): Fault {
  return new Fault('WORK_CANCELLED');
}

function demandWanted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw cancelled();
}

/**
 * The result of `work`, or WORK_CANCELLED as soon as `signal` says so. `stop` ends the work where that can be done; native
 * work cannot be stopped, so a result that comes too late goes to `late`, which wipes it.
 */
function unlessCancelled<T>(work: Promise<T>, signal: AbortSignal | undefined, late: (result: T) => void, stop: () => void = () => undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      stop();
      work.then(late, () => undefined);
      reject(cancelled());
    };
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Sources run as they are; in the app the thread has a bundle of its own beside that of the device process. */
const WORK = new URL(import.meta.url.endsWith('.ts') ? './work.ts' : './work.cjs', import.meta.url);

/** Carries a task out in a thread. Takes over `task.secret`: it is moved there and gone here. The caller wipes the result. */
function inThread(task: Task, signal: AbortSignal | undefined): Promise<Uint8Array<ArrayBuffer>> {
  const worker = new Worker(WORK, { workerData: task, transferList: task.work === 'sign' ? [task.secret.buffer, task.randomness.buffer] : [task.secret.buffer], env: {}, execArgv: [] });
  const work = new Promise<Uint8Array<ArrayBuffer>>((resolve, reject) => {
    worker.once('message', resolve);
    // What went wrong in there is not told: the text of an exception may hold anything.
    const failed = (): void => reject(new Fault('INTERNAL', `The thread for ${task.name} ended without an answer.`));
    worker.once('error', failed);
    worker.once('exit', failed);
  });
  return unlessCancelled(work, signal, (result) => result.fill(0), () => void worker.terminate());
}

// --- noble ---------------------------------------------------------------------------------------------------------------

const noble: Provider = {
  name: 'noble',

  async generate(scheme, signal) {
    if (scheme.kind === 'rsa') throw missing(scheme);
    if (scheme.kind !== 'slh-dsa') return shortPair(noble, scheme);
    const secret = await inThread({ work: 'make', name: scheme.row.name, secret: fresh(3 * scheme.row.n) }, signal);
    return lend(secret, () => ({ pkcs8: pkcs8Of(scheme, secret), publicKey: secret.slice(2 * scheme.row.n) }));
  },

  publicKey(scheme, pkcs8) {
    const secret = secretIn(scheme, pkcs8);
    switch (scheme.kind) {
      case 'ml-dsa':
      case 'ml-kem': {
        const { publicKey, secretKey } = scheme.kind === 'ml-dsa' ? ML_DSA[scheme.name].keygen(secret) : ML_KEM[scheme.row.name].keygen(secret);
        secretKey.fill(0);
        return publicKey;
      }
      case 'slh-dsa': // FIPS 205 section 9.1: PK.seed || PK.root end the private key
        return secret.slice(2 * scheme.row.n);
      case 'ecdsa':
        return CURVES[scheme.curve].getPublicKey(secret, false);
      case 'eddsa':
        return EDWARDS[scheme.curve].getPublicKey(secret);
    }
  },

  async sign(scheme, pkcs8, message, context, signal) {
    if (scheme.kind === 'rsa') throw missing(scheme);
    const secret = secretIn(scheme, pkcs8);
    switch (scheme.kind) {
      case 'ml-dsa': {
        const { publicKey, secretKey } = ML_DSA[scheme.name].keygen(secret);
        const signature = await lend(fresh(32), (extraEntropy) => lend(secretKey, () => ML_DSA[scheme.name].sign(message, secretKey, { context, extraEntropy })));
        return { signature, publicKey: () => publicKey };
      }
      case 'slh-dsa': {
        const moved = secretBytes(secret.length);
        moved.set(secret);
        const publicKey = noble.publicKey(scheme, pkcs8);
        const signature = await inThread({ work: 'sign', name: scheme.row.name, secret: moved, randomness: fresh(scheme.row.n), message, context }, signal);
        return { signature, publicKey: () => publicKey };
      }
      case 'ecdsa': // RFC 6979 section 3.6: hedged, for a nonce that neither a fault nor a weak source gives away
        return {
          signature: await lend(fresh(32), (extraEntropy) => CURVES[scheme.curve].sign(HASHES[scheme.hash](message), secret, { prehash: false, lowS: false, format: 'der', extraEntropy })),
          publicKey: () => noble.publicKey(scheme, pkcs8),
        };
      case 'eddsa':
        return { signature: EDWARDS[scheme.curve].sign(message, secret), publicKey: () => noble.publicKey(scheme, pkcs8) };
    }
  },

  async verify(scheme, publicKey, message, signature, context) {
    try {
      switch (scheme.kind) {
        case 'ml-dsa':
          return ML_DSA[scheme.name].verify(signature, message, publicKey, { context });
        case 'slh-dsa':
          return SLH_DSA[scheme.row.name].verify(signature, message, publicKey, { context });
        case 'ecdsa':
        case 'eddsa':
          return await verifyHalf(scheme, publicKey, message, signature);
        case 'rsa':
          throw missing(scheme);
      }
    } catch (error) {
      if (error instanceof Refused) throw error;
      return false; // whatever the library says of a signature: it does not fit
    }
  },

  encapsulate(row, publicKey) {
    const randomness = fresh(32);
    const { cipherText, sharedSecret } = ML_KEM[row.name].encapsulate(publicKey, randomness);
    randomness.fill(0);
    return { ciphertext: cipherText, sharedSecret: takeBytes(sharedSecret) };
  },

  decapsulate(row, pkcs8, ciphertext) {
    const { secretKey } = ML_KEM[row.name].keygen(secretIn({ kind: 'ml-kem', row }, pkcs8));
    try {
      return takeBytes(ML_KEM[row.name].decapsulate(ciphertext, secretKey));
    } finally {
      secretKey.fill(0);
    }
  },
};

function missing(scheme: Scheme): Refused {
  return new Refused(refuse('SOFTWARE-PROVIDER', `software for ${answerName(scheme)} that gives the known answers`, 'none in this runtime', 'Use a current runtime, or let a token make this key.'));
}

// --- node:crypto ---------------------------------------------------------------------------------------------------------

// Signatures and key pairs are made on threads of the pool, whatever their algorithm.
const nativeSign = promisify<string | null, Uint8Array, nodeCrypto.SignKeyObjectInput, Buffer>(nodeCrypto.sign);
const nativePair = promisify<string, object, { publicKey: nodeCrypto.KeyObject; privateKey: nodeCrypto.KeyObject }>(
  (type, options, done) => nodeCrypto.generateKeyPair(type as 'rsa', options as nodeCrypto.RSAKeyPairKeyObjectOptions, (error, publicKey, privateKey) => done(error, { publicKey, privateKey })),
);

function nativePrivateKey(scheme: Scheme, pkcs8: Uint8Array): nodeCrypto.KeyObject {
  if (scheme.kind !== 'rsa') secretIn(scheme, pkcs8); // so that both libraries take the same keys and no others
  try {
    const key = nodeCrypto.createPrivateKey({ key: Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.length), format: 'der', type: 'pkcs8' });
    if (scheme.kind !== 'rsa' || (key.asymmetricKeyType === 'rsa' && key.asymmetricKeyDetails?.modulusLength === scheme.modulusBits)) return key;
  } catch {
    // Told below; the library's words could speak of the key.
  }
  throw new Refused(refuse('PRIVATE-KEY-FORM', `a PKCS#8 ${scheme.kind === 'rsa' ? `RSA ${scheme.modulusBits}` : answerName(scheme)} key`, 'another, or a damaged one', 'Read the key again from where it lives; do not repair it by hand.'));
}

function nativePublicKey(scheme: Scheme, publicKey: Uint8Array): nodeCrypto.KeyObject {
  return nodeCrypto.createPublicKey({ key: Buffer.from(spkiOf(scheme, publicKey)), format: 'der', type: 'spki' });
}

function rawOf(publicKey: nodeCrypto.KeyObject): Uint8Array {
  return readSubjectKey(new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))).raw;
}

function rawPublicKey(privateKey: nodeCrypto.KeyObject): Uint8Array {
  return rawOf(nodeCrypto.createPublicKey(privateKey));
}

/** The digest and the key's options, as crypto.sign and crypto.verify take them. */
function nativeHow(scheme: Signing, context: Uint8Array): { readonly hash: string | null; readonly options: Omit<nodeCrypto.SignKeyObjectInput, 'key'> } {
  switch (scheme.kind) {
    case 'ml-dsa':
    case 'slh-dsa':
      return { hash: null, options: context.length === 0 ? {} : { context } };
    case 'eddsa':
      return { hash: null, options: {} };
    case 'ecdsa':
      return { hash: nativeHash(scheme.hash), options: { dsaEncoding: 'der' } };
    case 'rsa':
      // The draft's section 6, like RFC 4055 section 3.1: MGF1 with the same hash, a salt as long as the hash.
      return {
        hash: nativeHash(scheme.hash),
        options: scheme.padding === 'pss' ? { padding: nodeCrypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: HASHES[scheme.hash].outputLen } : { padding: nodeCrypto.constants.RSA_PKCS1_PADDING },
      };
  }
}

function nativeHash(name: string): string {
  return name.replace('-', '').toLowerCase();
}

/** A pair by the runtime's own generator, which it draws from its own randomness. */
async function nativeKey(type: string, options: object, signal: AbortSignal | undefined): Promise<Pair> {
  const { publicKey, privateKey } = await unlessCancelled(nativePair(type, options), signal, () => undefined); // a late key is freed with its object
  return { pkcs8: takeBytes(privateKey.export({ type: 'pkcs8', format: 'der' })), publicKey: rawOf(publicKey) };
}

/** The scalar in a PKCS#8 ECPrivateKey: a view. The runtime writes the public key beside it, this house does not. */
function scalarIn(pkcs8: Uint8Array): Uint8Array {
  const field = 'runtime privateKeyInfo';
  const content = expectTag(derParts(readDer(pkcs8, field, TAG.sequence), field)[2], TAG.octetString, field).content;
  return expectTag(derParts(readDer(content, field, TAG.sequence), field)[1], TAG.octetString, field).content;
}

const node: Provider = {
  name: 'node',

  async generate(scheme, signal) {
    switch (scheme.kind) {
      case 'ml-dsa':
      case 'ml-kem':
      case 'eddsa':
        return shortPair(node, scheme);
      case 'slh-dsa':
        return nativeKey(scheme.row.name, {}, signal);
      case 'rsa':
        return nativeKey('rsa', { modulusLength: scheme.modulusBits, publicExponent: 65537 }, signal);
      case 'ecdsa': { // from a scalar of ours the runtime would compute the point twice
        const { pkcs8, publicKey } = await nativeKey('ec', { namedCurve: scheme.curve }, signal);
        return { pkcs8: await lend(pkcs8, () => pkcs8Of(scheme, scalarIn(pkcs8))), publicKey };
      }
    }
  },

  publicKey(scheme, pkcs8) {
    return rawPublicKey(nativePrivateKey(scheme, pkcs8));
  },

  async sign(scheme, pkcs8, message, context, signal) {
    const key = nativePrivateKey(scheme, pkcs8);
    const { hash, options } = nativeHow(scheme, context);
    const signature = await unlessCancelled(nativeSign(hash, message, { key, ...options }), signal, () => undefined);
    return { signature: new Uint8Array(signature), publicKey: () => rawPublicKey(key) };
  },

  async verify(scheme, publicKey, message, signature, context) {
    const key = nativePublicKey(scheme, publicKey);
    const { hash, options } = nativeHow(scheme, context);
    try {
      return nodeCrypto.verify(hash, message, { key, ...options }, signature);
    } catch {
      return false; // a context or a length that cannot be: it does not fit
    }
  },

  encapsulate(row, publicKey) {
    const { ciphertext, sharedKey } = nodeCrypto.encapsulate(nativePublicKey({ kind: 'ml-kem', row }, publicKey));
    return { ciphertext: new Uint8Array(ciphertext), sharedSecret: takeBytes(sharedKey) };
  },

  decapsulate(row, pkcs8, ciphertext) {
    return takeBytes(nodeCrypto.decapsulate(nativePrivateKey({ kind: 'ml-kem', row }, pkcs8), ciphertext));
  },
};

// --- known answers -------------------------------------------------------------------------------------------------------

/**
 * One known answer (known-answers.json). Hex, but for `signature` and `ciphertext`, which are base64url. Keys are published
 * test keys. Sources, all of which test/vectors holds whole: ML-DSA RFC 9964 (deterministic, hence the digests), ML-KEM and
 * the classical halves the drafts' own vectors, ML-KEM-512 RFC 9935, SLH-DSA the certificate of RFC 9909.
 */
export interface KnownAnswer {
  readonly secret?: string;
  readonly publicKey?: string;
  readonly publicKeySha256?: string;
  readonly message?: string;
  readonly signature?: string;
  readonly signatureSha256?: string;
  readonly ciphertext?: string;
  readonly sharedSecret?: string;
}
export type KnownAnswers = Readonly<Record<string, KnownAnswer>>;
export const KNOWN_ANSWERS: KnownAnswers = knownAnswers;

/** Does the library give the known answers of this scheme? May throw where it has no such scheme. */
async function knows(provider: Provider, scheme: Scheme, answer: KnownAnswer): Promise<boolean> {
  const publicKey = scheme.kind === 'rsa' || scheme.kind === 'slh-dsa' ? fromHex(answer.publicKey!) : await publicKeyKnown(provider, scheme, answer);
  if (publicKey === null) return false;
  if (scheme.kind === 'ml-kem') return lend(pkcs8Of(scheme, fromHex(answer.secret!)), (pkcs8) => kemKnown(provider, scheme.row, pkcs8, publicKey, answer));
  const message = fromHex(answer.message!);
  const signature = scheme.kind === 'ml-dsa' ? referenceSignature(scheme.name, message, answer) : fromBase64url(answer.signature!);
  if (signature === null) return false;
  // The last bits: in every scheme here they are checked at the end of the work, not at its door.
  const changed = signature.slice();
  changed[changed.length - 1]! ^= 1;
  const valid = (of: Uint8Array, context: Uint8Array): Promise<boolean> => provider.verify(scheme, publicKey, message, of, context);
  if (!(await valid(signature, NO_CONTEXT)) || (await valid(changed, NO_CONTEXT))) return false;
  if ((scheme.kind === 'ml-dsa' || scheme.kind === 'slh-dsa') && (await valid(signature, CONTEXT))) return false;
  if (scheme.kind === 'slh-dsa' || scheme.kind === 'rsa') return true; // signing takes long, and is verified each time
  const context = scheme.kind === 'ml-dsa' ? CONTEXT : NO_CONTEXT;
  const own = await lend(pkcs8Of(scheme, fromHex(answer.secret!)), (pkcs8) => provider.sign(scheme, pkcs8, message, context));
  return noble.verify(scheme, publicKey, message, own.signature, context);
}

const CONTEXT = utf8('another context');

/** The public key of the known private one, or null where the library computes another. */
async function publicKeyKnown(provider: Provider, scheme: Exclude<Short, { kind: 'slh-dsa' }>, { secret, publicKey: wanted, publicKeySha256 }: KnownAnswer): Promise<Uint8Array | null> {
  const publicKey = await lend(pkcs8Of(scheme, fromHex(secret!)), (pkcs8) => provider.publicKey(scheme, pkcs8));
  return (wanted === undefined ? toHex(sha256(publicKey)) === publicKeySha256 : toHex(publicKey) === wanted) ? publicKey : null;
}

/** ML-DSA's official signature, computed anew without hedging because its digest is shorter than itself; null if it differs. */
function referenceSignature(name: MlDsaName, message: Uint8Array, { secret, signatureSha256 }: KnownAnswer): Uint8Array | null {
  const { secretKey } = ML_DSA[name].keygen(fromHex(secret!));
  const signature = ML_DSA[name].sign(message, secretKey, { extraEntropy: false });
  return toHex(sha256(signature)) === signatureSha256 ? signature : null;
}

async function kemKnown(provider: Provider, row: MlKemAlgorithm, pkcs8: Uint8Array, publicKey: Uint8Array, answer: KnownAnswer): Promise<boolean> {
  const own = provider.encapsulate(row, publicKey);
  if (!equalBytes(noble.decapsulate(row, pkcs8, own.ciphertext), own.sharedSecret)) return false;
  if (answer.ciphertext === undefined) return equalBytes(provider.decapsulate(row, pkcs8, own.ciphertext), own.sharedSecret);
  const ciphertext = fromBase64url(answer.ciphertext);
  if (toHex(provider.decapsulate(row, pkcs8, ciphertext)) !== answer.sharedSecret) return false;
  // FIPS 203 algorithm 18: a ciphertext that was not made for this key gives J(z || c), never an error.
  ciphertext[0]! ^= 1;
  const z = secretIn({ kind: 'ml-kem', row }, pkcs8).subarray(32);
  return equalBytes(provider.decapsulate(row, pkcs8, ciphertext), shake256(concat(z, ciphertext), { dkLen: 32 }));
}

// --- what the device process uses ----------------------------------------------------------------------------------------

/** Each library alone, unproven and unjudged: for tests and the benchmark, which hold them against each other. */
export const PROVIDERS = { noble, node } as const;

/** RFC 9909 appendix: the one parameter set with a published signature. */
const SMALLEST_SLH_DSA: Scheme = { kind: 'slh-dsa', row: SLH_DSAS.find((row) => row.name === 'slh-dsa-sha2-128s')! };

/** The reason that is worth an entry: a library that does not have an algorithm is none. */
export const WRONG_ANSWER = 'It gave a wrong answer where the right one is known.';

export class Providers {
  readonly #answers: Readonly<Record<ProviderName, KnownAnswers>>;
  readonly #proofs = new Map<string, Promise<ProviderState>>();
  readonly #states: ProviderState[] = [];

  /** `answers`: what each library must give; the process-wide instance below demands the true ones of both. */
  constructor(answers: Readonly<Record<ProviderName, KnownAnswers>> = { noble: KNOWN_ANSWERS, node: KNOWN_ANSWERS }) {
    this.#answers = answers;
  }

  /** Has both libraries answer for these parts now, before anything depends on them. */
  async prove(parts: readonly Component[]): Promise<readonly ProviderState[]> {
    const schemes = parts.filter(({ row }) => row === null || !isStateful(row)).map((part) => schemeOf(part));
    return Promise.all(schemes.flatMap((scheme) => [PROVIDERS.node, PROVIDERS.noble].map((provider) => this.#proof(provider, scheme))));
  }

  /** Every library and algorithm tried so far in this process. */
  now(): readonly ProviderState[] {
    return [...this.#states];
  }

  /**
   * A fresh private key. ECDSA, EdDSA, ML-DSA and ML-KEM take milliseconds; RSA and SLH-DSA are made off the event loop and
   * can be cancelled: WORK_CANCELLED at once, though RSA's thread may go on for a while with what is then thrown away.
   * Throws `Refused` STATEFUL-ON-TOKEN-ONLY, SOFTWARE-PROVIDER; Fault WORK_CANCELLED. The caller wipes `pkcs8`.
   */
  async generateSecret(part: Component | MlKemAlgorithm, signal?: AbortSignal): Promise<SoftwareSecret> {
    const scheme: Scheme = 'part' in part ? schemeOf(part) : { kind: 'ml-kem', row: part };
    const { best } = await this.#proven(scheme);
    demandWanted(signal);
    const { pkcs8, publicKey } = await best.generate(scheme, signal);
    return { pkcs8, spki: spkiOf(scheme, publicKey), provider: best.name };
  }

  /**
   * A signature by a private key as `generateSecret` gives it, verified before it is returned. The classical half of a
   * composite signs as its half says and gives ECDSA as DER; every other part gives JOSE form (ECDSA r||s) or raw bytes.
   * `how.context`: ML-DSA and SLH-DSA only, at most 255 bytes. `pkcs8` is borrowed.
   * Throws `Refused` PRIVATE-KEY-FORM, SIGNATURE-CONTEXT, SOFTWARE-SIGNATURE and those of `generateSecret`; Fault WORK_CANCELLED.
   */
  async signWith(part: Component, pkcs8: Uint8Array, message: Uint8Array, how: { readonly context?: Uint8Array } = {}, signal?: AbortSignal): Promise<Uint8Array> {
    const scheme = schemeOf(part);
    const context = how.context ?? NO_CONTEXT;
    demandContext(scheme, context);
    const { best, judge } = await this.#proven(scheme);
    demandWanted(signal);
    const { signature, publicKey } = await best.sign(scheme, pkcs8, message, context, signal);
    if (!(await judge.verify(scheme, publicKey(), message, signature, context))) {
      throw new Refused(refuse('SOFTWARE-SIGNATURE', `a ${part.label} signature that its public key verifies`, 'one that does not fit', 'Do not use this key: it is damaged, or this machine computes wrongly.'));
    }
    return scheme.kind === 'ecdsa' && part.half === null ? CURVES[scheme.curve].Signature.fromBytes(signature, 'der').toBytes('compact') : signature;
  }

  /** To a raw encapsulation key. `Refused` KEM-PUBLIC-KEY, KEM-MODULUS. The caller wipes `sharedSecret` (32 bytes). */
  async encapsulate(row: MlKemAlgorithm, publicKey: Uint8Array): Promise<{ readonly ciphertext: Uint8Array; readonly sharedSecret: Uint8Array<ArrayBuffer> }> {
    checkKemPublicKey(row, publicKey);
    return (await this.#proven({ kind: 'ml-kem', row })).best.encapsulate(row, publicKey);
  }

  /** With a private key as `generateSecret` gives it, borrowed. `Refused` KEM-CIPHERTEXT for a length. The caller wipes the result. */
  async decapsulate(row: MlKemAlgorithm, pkcs8: Uint8Array, ciphertext: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    if (ciphertext.length !== row.ciphertextBytes) {
      throw new Refused(refuse('KEM-CIPHERTEXT', `${row.label} ciphertext: ${row.ciphertextBytes} bytes`, `${ciphertext.length} bytes`, 'Ask the sender for a new one.'));
    }
    return (await this.#proven({ kind: 'ml-kem', row })).best.decapsulate(row, pkcs8, ciphertext);
  }

  /** Who works, and who judges: two libraries wherever both give the known answers. */
  async #proven(scheme: Scheme): Promise<{ readonly best: Provider; readonly judge: Provider }> {
    const on: Provider[] = [];
    for (const provider of [PROVIDERS.node, PROVIDERS.noble]) if ((await this.#proof(provider, scheme)).on) on.push(provider);
    const [best, judge = best] = on;
    if (best === undefined || judge === undefined) throw missing(scheme);
    return { best, judge };
  }

  #proof(provider: Provider, scheme: Scheme): Promise<ProviderState> {
    const algorithm = answerName(scheme);
    const key = `${provider.name} ${algorithm}`;
    let proof = this.#proofs.get(key);
    if (proof === undefined) {
      proof = this.#prove(provider, scheme, algorithm);
      this.#proofs.set(key, proof);
    }
    return proof;
  }

  async #prove(provider: Provider, scheme: Scheme, algorithm: string): Promise<ProviderState> {
    const told = (on: boolean, reason: string): ProviderState => ({ name: provider.name, algorithm, on, reason });
    const answer = this.#answers[provider.name][algorithm];
    // SLH-DSA is one algorithm with twelve sizes: the one that has an official signature answers for all.
    const asked: Scheme = scheme.kind === 'slh-dsa' ? SMALLEST_SLH_DSA : scheme;
    let state: ProviderState;
    try {
      state = answer !== undefined && (await knows(provider, asked, answer)) ? told(true, 'It gave the known answers.') : told(false, WRONG_ANSWER);
    } catch {
      state = told(false, 'It does not have this algorithm.');
    }
    this.#states.push(state);
    return state;
  }
}

function demandContext(scheme: Signing, context: Uint8Array): void {
  const most = scheme.kind === 'ml-dsa' || scheme.kind === 'slh-dsa' ? 255 : 0; // FIPS 204 algorithm 2, FIPS 205 algorithm 22
  if (context.length > most) {
    throw new Refused(refuse('SIGNATURE-CONTEXT', `a context of at most ${most} bytes`, `${context.length} bytes`, 'Report this: it is a fault of the program.'));
  }
}

/** The ones of this process: what is off here stays off until it ends. */
const ours = new Providers();
export const generateSecret = ours.generateSecret.bind(ours);
export const signWith = ours.signWith.bind(ours);
export const encapsulate = ours.encapsulate.bind(ours);
export const decapsulate = ours.decapsulate.bind(ours);
export const proveProviders = ours.prove.bind(ours);
