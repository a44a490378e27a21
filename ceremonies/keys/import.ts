/**
 * Private keys that come from outside in a file, read and judged before any token gets them: PKCS#8 plain and encrypted
 * (PBES2), PKCS#1, SEC 1, and PKCS#12 with the certificates in it; PEM or DER.
 *
 * SECRET: the password comes as bytes and the key goes as bytes, in buffers that the caller wipes; what is derived and opened
 * on the way is wiped here. Nothing secret enters a message. Exactly one key leaves, and only one that has passed its own
 * tests: consistent, none of the known weaknesses, of a kind that a token can hold, and never a stateful one. Old ciphers
 * (RC2, DES, 3DES) and BER are refused by name with the way out, and are not read.
 *
 * Sources: RFC 5958 (PKCS#8), RFC 8018 (PBES2, PBKDF2, PBMAC1), RFC 7914 (scrypt), RFC 7292 and 9579 (PKCS#12).
 */
import { cbc } from '@noble/ciphers/aes.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha1 } from '@noble/hashes/legacy.js';
import { pbkdf2Async } from '@noble/hashes/pbkdf2.js';
import { scryptAsync } from '@noble/hashes/scrypt.js';
import { sha224, sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import { equalBytes } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { readCertificate } from './chain.ts';
import { derFault, derParts, expectTag, readDer, readIdentifier, readOid, readUnsigned, TAG, type Der, type Identifier } from './der.ts';
import { readPrivateKey, seedFormOf, wrapTraditional, type PrivateKeyForm } from './private-key.ts';
import { readPem } from './signed.ts';
import { keyFindings, type SubjectKey } from './subject-key.ts';

export interface ImportedKey {
  /** PKCS#8. SECRET: whoever gets it wipes it. */
  readonly pkcs8: Uint8Array;
  readonly publicKey: SubjectKey;
  /** As PKCS#11 names it. */
  readonly keyType: string;
  readonly form: PrivateKeyForm;
  /** What the file was. */
  readonly source: 'PKCS#8' | 'encrypted PKCS#8' | 'PKCS#1' | 'SEC 1' | 'PKCS#12';
  /** `own`: of this key. Others are mostly those of its issuers; none of them is judged here. */
  readonly certificates: readonly { readonly der: Uint8Array; readonly own: boolean }[];
  /** What was checked, by rule name. */
  readonly checks: readonly string[];
}

const AGAIN = 'Check that this is the right file, and the whole of it.';
const CONVERT = 'Have it written again with AES: `openssl pkcs12 -export` or `openssl pkcs8 -topk8` of OpenSSL 3 does that.';

function fault(rule: string, expected: string, found: string, next: string): Refused {
  return new Refused(refuse(rule, expected, found, next));
}

/** Is this a file that `readImport` alone can read: encrypted, or PKCS#12? */
export function isSealedImport(file: Uint8Array): boolean {
  try {
    const kind = file[0] === TAG.sequence ? kindOf(file) : readPem(file, LABELS)[0]!.label;
    return kind === 'PKCS12' || kind === 'ENCRYPTED PRIVATE KEY';
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
}

/** A private key that needs no password. RFC 7468 section 10, and the older labels. */
const IN_CLEAR = /-----BEGIN (?!ENCRYPTED )[ -~]{0,80}PRIVATE KEY/;

/**
 * Why this file is no import: anything but a key under a password, or one with a key in clear beside it. Whoever is handed a file asks
 * before handing it on, so that a key in clear gets no further than the one who opened its file.
 */
export function importFault(file: Uint8Array): Refusal | null {
  return isSealedImport(file) && !IN_CLEAR.test(new TextDecoder().decode(file)) ? null
    : refuse('IMPORT-ENCRYPTED', 'a key file under a password: PKCS#12 or encrypted PKCS#8', 'a private key in clear, or no key at all',
      'Encrypt it first (openssl pkcs8 -topk8 -v2 aes-256-cbc), and have every copy in clear destroyed: whoever could read this file may know the key. Nothing of it was kept.');
}

/**
 * Reads the one private key of a file. `password` (UTF-8) stays the caller's, who wipes it and `file`; null where there is none.
 * Throws `Refused` IMPORT-PASSWORD, IMPORT-CIPHER, IMPORT-WORK, IMPORT-ONE-KEY, IMPORT-CONTENT, IMPORT-KIND,
 * STATEFUL-NEVER-COPIED, PEM, DER-STRUCTURE, those of `readPrivateKey`, and WEAK-* for a key that is known to be weak.
 */
export async function readImport(file: Uint8Array, password: Uint8Array | null): Promise<ImportedKey> {
  const secrets: Uint8Array[] = [];
  try {
    const blocks = file[0] === TAG.sequence ? [{ label: kindOf(file), der: file }] : readPem(file, LABELS);
    if (blocks[0] !== undefined && blocks[0].der !== file) secrets.push(...blocks.map(({ der }) => der));
    const certificates = blocks.flatMap(({ label, der }) => (label === 'CERTIFICATE' ? [der] : []));
    const keys = blocks.filter(({ label }) => label !== 'CERTIFICATE' && label !== 'EC PARAMETERS');
    const [block] = keys;
    if (block === undefined || keys.length > 1) throw notOne(keys.length);
    switch (block.label) {
      case 'PKCS12': {
        const safe = await openPkcs12(block.der, password, secrets);
        const [key] = safe.keys;
        if (key === undefined || safe.keys.length > 1) throw notOne(safe.keys.length);
        return await judged(key, 'PKCS#12', safe.certificates);
      }
      case 'ENCRYPTED PRIVATE KEY': return await judged(await openShrouded(readDer(block.der, 'encryptedPrivateKeyInfo'), password, secrets), 'encrypted PKCS#8', certificates);
      case 'PRIVATE KEY': return await judged(block.der, 'PKCS#8', certificates);
      default: {
        const kind = block.label === 'RSA PRIVATE KEY' ? 'rsa' : 'ec';
        const pkcs8 = wrapTraditional(kind, block.der);
        secrets.push(pkcs8);
        return await judged(pkcs8, kind === 'rsa' ? 'PKCS#1' : 'SEC 1', certificates);
      }
    }
  } finally {
    for (const secret of secrets) secret.fill(0);
  }
}

/**
 * The PKCS#8 of an encrypted PKCS#8 file, whatever key it is: composites too, which no token could hold; whoever asks judges it. SECRET: the
 * caller wipes it, as `password` and `file`. Throws `Refused` IMPORT-PASSWORD, IMPORT-CIPHER, IMPORT-WORK, IMPORT-ENCRYPTED, PEM, DER-STRUCTURE.
 */
export async function openSealedKey(file: Uint8Array, password: Uint8Array): Promise<Uint8Array> {
  const { label, der } = file[0] === TAG.sequence ? { label: kindOf(file), der: file } : readPem(file, LABELS)[0]!;
  if (label !== 'ENCRYPTED PRIVATE KEY') throw fault('IMPORT-ENCRYPTED', 'encrypted PKCS#8', label, 'Have it written with `openssl pkcs8 -topk8 -v2 aes-256-cbc`.');
  return openShrouded(readDer(der, 'encryptedPrivateKeyInfo'), password, []);
}

const LABELS = ['PRIVATE KEY', 'ENCRYPTED PRIVATE KEY', 'RSA PRIVATE KEY', 'EC PRIVATE KEY', 'PKCS12', 'CERTIFICATE', 'EC PARAMETERS'];

/** What a DER file is, by its first two values. */
function kindOf(der: Uint8Array): string {
  const [first, second] = derParts(readDer(der, 'file', TAG.sequence), 'file');
  if (first?.tag === TAG.sequence && second?.tag === TAG.octetString) return 'ENCRYPTED PRIVATE KEY';
  if (first?.tag !== TAG.integer) throw fault('PEM', 'a private key or PKCS#12', 'another file', AGAIN);
  if (first.content.length === 1 && first.content[0] === 3) return 'PKCS12';
  return second?.tag === TAG.sequence ? 'PRIVATE KEY' : second?.tag === TAG.octetString ? 'EC PRIVATE KEY' : 'RSA PRIVATE KEY';
}

function notOne(count: number): Refused {
  return fault('IMPORT-ONE-KEY', 'one private key', `${count}`, 'Bring each key in a file of its own.');
}

// --- judging -----------------------------------------------------------------------------------------------------------

/** RFC 9802 section 3: HSS/LMS, XMSS, XMSS^MT. */
const STATEFUL: readonly string[] = ['1.2.840.113549.1.9.16.3.17', '1.3.6.1.5.5.7.6.34', '1.3.6.1.5.5.7.6.35'];

async function judged(pkcs8: Uint8Array, source: ImportedKey['source'], certificates: readonly Uint8Array[]): Promise<ImportedKey> {
  const [, algorithm] = derParts(readDer(pkcs8, 'privateKeyInfo', TAG.sequence), 'privateKeyInfo');
  if (STATEFUL.includes(readIdentifier(algorithm, 'privateKeyInfo.algorithm').oid)) {
    throw fault('STATEFUL-NEVER-COPIED', 'a key that may be in two places', 'a stateful hash-based key (SP 800-208 section 8.1)', 'Make a new one on the token that will sign. This one must never be used again.');
  }
  const { form, publicKey, checks } = await readPrivateKey(pkcs8);
  const keyType = keyTypeOf(publicKey);
  const [weak] = keyFindings(publicKey);
  if (weak !== undefined) throw new Refused(weak);
  return {
    // An expanded key has no seed to be written with: it stays as it came.
    pkcs8: form === 'expanded' ? pkcs8.slice() : await seedFormOf(pkcs8), publicKey, keyType, form, source, checks,
    certificates: certificates.map((der) => ({ der: der.slice(), own: equalBytes(readCertificate(der).key.spki, publicKey.spki) })),
  };
}

function keyTypeOf(key: SubjectKey): string {
  switch (key.kind) {
    case 'rsa': return 'CKK_RSA';
    case 'ecdsa': return 'CKK_EC';
    case 'eddsa': return 'CKK_EC_EDWARDS';
    case 'xdh': return 'CKK_EC_MONTGOMERY';
    case 'ml-dsa': return 'CKK_ML_DSA';
    case 'slh-dsa': return 'CKK_SLH_DSA';
    case 'kem':
      if (key.row.family === 'ml-kem') return 'CKK_ML_KEM';
      break;
    case 'composite': case 'hss': case 'xmss': break;
  }
  throw fault('IMPORT-KIND', 'a key that PKCS#11 has a type for', key.label, 'A composite key is brought to a token as its halves, by a ceremony.');
}

// --- opening -----------------------------------------------------------------------------------------------------------

const PBES2 = '1.2.840.113549.1.5.13';
const PBKDF2 = '1.2.840.113549.1.5.12';
const PBMAC1 = '1.2.840.113549.1.5.14';
const SCRYPT = '1.3.6.1.4.1.11591.4.11';
/** RFC 8018 appendix B.1.2. SHA-1 is the default there: as HMAC it is not broken. */
const PRFS = {
  '1.2.840.113549.2.7': sha1, '1.2.840.113549.2.8': sha224, '1.2.840.113549.2.9': sha256, '1.2.840.113549.2.10': sha384, '1.2.840.113549.2.11': sha512,
} as const;
const HASHES = {
  '1.3.14.3.2.26': sha1, '2.16.840.1.101.3.4.2.4': sha224, '2.16.840.1.101.3.4.2.1': sha256, '2.16.840.1.101.3.4.2.2': sha384, '2.16.840.1.101.3.4.2.3': sha512,
} as const;
type Hash = (typeof PRFS)[keyof typeof PRFS];
const HMAC_SHA1 = '1.2.840.113549.2.7';
/** AES in CBC mode, key octets by OID (RFC 8018 appendix B.2.5). */
const CIPHERS: ReadonlyMap<string, number> = new Map([['2.16.840.1.101.3.4.1.2', 16], ['2.16.840.1.101.3.4.1.22', 24], ['2.16.840.1.101.3.4.1.42', 32]]);
/** What a file may ask of the machine: seconds, and not minutes. */
const MOST_ITERATIONS = 2_000_000;
const MOST_MEMORY = 128 * 1024 * 1024;

function wrongPassword(): Refused {
  return fault('IMPORT-PASSWORD', 'the password of this file', 'another password, or a file that was changed', 'Ask for the password again, and check the file.');
}

function needed(password: Uint8Array | null): Uint8Array {
  if (password === null) throw fault('IMPORT-PASSWORD', 'the password of this file', 'none', 'Give the password.');
  return password;
}

/** Of an object by key, and of nothing that it inherits. */
function lookUp<T>(table: Readonly<Record<string, T>>, oid: string): T | undefined {
  return Object.hasOwn(table, oid) ? table[oid] : undefined;
}

function small(node: Der | undefined, field: string, most: number): number {
  const number = readUnsigned(node, field).reduce((sum, octet) => Math.min(sum * 256 + octet, 2 ** 40), 0);
  if (number < 1 || number > most) throw fault('IMPORT-WORK', `${field}: 1 to ${most}`, number >= 2 ** 40 ? 'far more' : `${number}`, 'Have the file written again with less work; nothing that is made today asks for this much.');
  return number;
}

/** The key of PBKDF2 or scrypt. SECRET. */
async function derived({ oid, parameters }: Identifier, password: Uint8Array, octets: number): Promise<Uint8Array> {
  const field = 'keyDerivationFunc';
  if (parameters === null || (oid !== PBKDF2 && oid !== SCRYPT)) throw fault('IMPORT-CIPHER', 'PBKDF2 or scrypt', oid, CONVERT);
  const [salt, ...rest] = derParts(readDer(parameters, field, TAG.sequence), field);
  const { content } = expectTag(salt, TAG.octetString, `${field}.salt`);
  if (oid === SCRYPT) {
    const [N, r, p] = [small(rest[0], `${field}.N`, 2 ** 24), small(rest[1], `${field}.r`, 2 ** 10), small(rest[2], `${field}.p`, 16)];
    if (128 * N * r > MOST_MEMORY || (N & (N - 1)) !== 0 || N < 2) throw fault('IMPORT-WORK', `scrypt with N a power of 2, and at most ${MOST_MEMORY / 1024 / 1024} MB`, `N ${N}, r ${r}`, 'Have the file written again with less work.');
    if (rest[3] !== undefined) sameLength(rest[3], octets);
    return scryptAsync(password, content, { N, r, p, dkLen: octets, maxmem: 2 * MOST_MEMORY });
  }
  const c = small(rest[0], `${field}.iterationCount`, MOST_ITERATIONS);
  const length = rest[1]?.tag === TAG.integer ? rest[1] : undefined;
  if (length !== undefined) sameLength(length, octets);
  const prfNode = rest[length === undefined ? 1 : 2];
  return pbkdf2Async(prfOf(prfNode === undefined ? HMAC_SHA1 : readIdentifier(prfNode, `${field}.prf`).oid), password, content, { c, dkLen: octets });
}

function sameLength(node: Der, octets: number): void {
  const found = readUnsigned(node, 'keyLength');
  if (found.length !== 1 || found[0] !== octets) throw derFault('keyLength', `${octets}`, 'another length');
}

function prfOf(oid: string): Hash {
  const hash = lookUp<Hash>(PRFS, oid);
  if (hash === undefined) throw fault('IMPORT-CIPHER', 'HMAC with SHA-1 or SHA-2', oid, CONVERT);
  return hash;
}

/** What PBES2 encrypted. SECRET. */
async function decrypted({ oid, parameters }: Identifier, ciphertext: Uint8Array, password: Uint8Array | null, secrets: Uint8Array[]): Promise<Uint8Array> {
  if (oid !== PBES2 || parameters === null) throw fault('IMPORT-CIPHER', 'PBES2 with AES', OLD.get(oid) ?? oid, CONVERT);
  const [kdf, scheme] = derParts(readDer(parameters, 'PBES2', TAG.sequence), 'PBES2');
  const cipher = readIdentifier(scheme, 'PBES2.encryptionScheme');
  const octets = CIPHERS.get(cipher.oid);
  if (octets === undefined || cipher.parameters === null) throw fault('IMPORT-CIPHER', 'PBES2 with AES in CBC mode', OLD.get(cipher.oid) ?? cipher.oid, CONVERT);
  const { content: iv } = readDer(cipher.parameters, 'PBES2.iv', TAG.octetString);
  if (iv.length !== 16) throw derFault('PBES2.iv', '16 octets', `${iv.length}`);
  const key = await derived(readIdentifier(kdf, 'PBES2.keyDerivationFunc'), needed(password), octets);
  try {
    const plain = cbc(key, iv).decrypt(ciphertext);
    secrets.push(plain);
    return plain;
  } catch {
    throw wrongPassword(); // the padding does not fit; of which kind the misfit is, nobody is told
  } finally {
    key.fill(0);
  }
}

/** For the message only. */
const OLD: ReadonlyMap<string, string> = new Map([
  ['1.2.840.113549.1.12.1.3', 'SHA-1 with 3DES (PKCS#12 of before 2021)'], ['1.2.840.113549.1.12.1.6', 'SHA-1 with RC2, 40 bits (PKCS#12 of before 2021)'],
  ['1.2.840.113549.1.12.1.5', 'SHA-1 with RC2'], ['1.2.840.113549.1.12.1.1', 'SHA-1 with RC4'], ['1.2.840.113549.1.5.3', 'MD5 with DES'], ['1.2.840.113549.1.5.10', 'SHA-1 with DES'], ['1.2.840.113549.3.7', '3DES'],
]);

/** EncryptedPrivateKeyInfo (RFC 5958 section 3). SECRET. A wrong password that leaves sound padding (1 in 256) leaves no PKCS#8. */
async function openShrouded(node: Der, password: Uint8Array | null, secrets: Uint8Array[]): Promise<Uint8Array> {
  const field = 'encryptedPrivateKeyInfo';
  const parts = derParts(node, field, TAG.sequence);
  const plain = await decrypted(readIdentifier(parts[0], field), expectTag(parts[1], TAG.octetString, field).content, password, secrets);
  try {
    derParts(readDer(plain, 'privateKeyInfo', TAG.sequence), 'privateKeyInfo');
  } catch (error) {
    if (error instanceof Refused) throw wrongPassword();
    throw error;
  }
  return plain;
}

// --- PKCS#12 -----------------------------------------------------------------------------------------------------------

const DATA = '1.2.840.113549.1.7.1';
const ENCRYPTED_DATA = '1.2.840.113549.1.7.6';
const BAG = { key: '1.2.840.113549.1.12.10.1.1', shrouded: '1.2.840.113549.1.12.10.1.2', certificate: '1.2.840.113549.1.12.10.1.3' } as const;
const X509_CERTIFICATE = '1.2.840.113549.1.9.22.1';

interface Safe { readonly keys: Uint8Array[]; readonly certificates: Uint8Array[] }

async function openPkcs12(der: Uint8Array, password: Uint8Array | null, secrets: Uint8Array[]): Promise<Safe> {
  const [, authSafe, mac] = derParts(readDer(der, 'PFX', TAG.sequence), 'PFX');
  const { type, content } = contentInfo(authSafe, 'PFX.authSafe');
  if (type !== DATA || content === undefined) throw fault('IMPORT-CONTENT', 'PKCS#12 under a password', type, 'Have it exported with a password.');
  const { content: safes } = readDer(content, 'PFX.authSafe', TAG.octetString);
  if (mac !== undefined) await checkMac(mac, safes, needed(password));
  const safe: Safe = { keys: [], certificates: [] };
  for (const part of derParts(readDer(safes, 'AuthenticatedSafe', TAG.sequence), 'AuthenticatedSafe')) {
    const { type: kind, content: inside } = contentInfo(part, 'AuthenticatedSafe');
    if (inside === undefined) throw derFault('AuthenticatedSafe', 'content', 'nothing');
    if (kind === DATA) await readBags(readDer(inside, 'SafeContents', TAG.octetString).content, safe, password, secrets);
    else if (kind === ENCRYPTED_DATA) {
      // RFC 5652 section 8: version, EncryptedContentInfo { type, algorithm, [0] octets }.
      const [, info] = derParts(readDer(inside, 'EncryptedData', TAG.sequence), 'EncryptedData');
      const [, algorithm, ciphertext] = derParts(expectTag(info, TAG.sequence, 'EncryptedData'), 'EncryptedData');
      const plain = await decrypted(readIdentifier(algorithm, 'EncryptedData'), expectTag(ciphertext, 0x80, 'EncryptedData').content, password, secrets);
      await readBags(plain, safe, password, secrets);
    } else throw fault('IMPORT-CONTENT', 'data, or data under a password', kind, 'Have it exported with a password, and not to a public key.');
  }
  return safe;
}

function contentInfo(node: Der | undefined, field: string): { readonly type: string; readonly content: Uint8Array | undefined } {
  const [type, content] = derParts(expectTag(node, TAG.sequence, field), field);
  return { type: readOid(type, field), content: content === undefined ? undefined : expectTag(content, 0xa0, field).content };
}

async function readBags(contents: Uint8Array, safe: Safe, password: Uint8Array | null, secrets: Uint8Array[]): Promise<void> {
  for (const bag of derParts(readDer(contents, 'SafeContents', TAG.sequence), 'SafeContents')) {
    const [id, value] = derParts(expectTag(bag, TAG.sequence, 'SafeBag'), 'SafeBag');
    const inside = expectTag(value, 0xa0, 'SafeBag').content;
    switch (readOid(id, 'SafeBag')) {
      case BAG.key: safe.keys.push(inside); break;
      case BAG.shrouded: safe.keys.push(await openShrouded(readDer(inside, 'SafeBag'), password, secrets)); break;
      case BAG.certificate: {
        const [kind, certificate] = derParts(readDer(inside, 'CertBag', TAG.sequence), 'CertBag');
        if (readOid(kind, 'CertBag') === X509_CERTIFICATE) safe.certificates.push(readDer(expectTag(certificate, 0xa0, 'CertBag').content, 'CertBag', TAG.octetString).content);
        break;
      }
      // CRLs and secrets that other programs keep there are none of an import's business.
      default: break;
    }
  }
}

/** RFC 7292 section 5.1, and PBMAC1 of RFC 9579: the password and every octet of the contents, or neither is believed. */
async function checkMac(node: Der, safes: Uint8Array, password: Uint8Array): Promise<void> {
  const [info, salt, iterations] = derParts(expectTag(node, TAG.sequence, 'macData'), 'macData');
  const [algorithm, digest] = derParts(expectTag(info, TAG.sequence, 'macData.mac'), 'macData.mac');
  const { oid, parameters } = readIdentifier(algorithm, 'macData.mac');
  const { content: expected } = expectTag(digest, TAG.octetString, 'macData.mac');
  let hash: Hash | undefined;
  let key: Uint8Array;
  if (oid === PBMAC1) {
    const [kdf, scheme] = derParts(readDer(parameters ?? new Uint8Array(), 'PBMAC1', TAG.sequence), 'PBMAC1');
    hash = prfOf(readIdentifier(scheme, 'PBMAC1.messageAuthScheme').oid);
    key = await derived(readIdentifier(kdf, 'PBMAC1.keyDerivationFunc'), password, hash.outputLen);
  } else {
    hash = lookUp<Hash>(HASHES, oid);
    if (hash === undefined) throw fault('IMPORT-CIPHER', 'a MAC with SHA-1, SHA-2 or PBMAC1', oid, CONVERT);
    key = macKey(hash, password, expectTag(salt, TAG.octetString, 'macData.macSalt').content, iterations === undefined ? 1 : small(iterations, 'macData.iterations', MOST_ITERATIONS));
  }
  const same = equalBytes(hmac(hash, key, safes), expected);
  key.fill(0);
  if (!same) throw wrongPassword();
}

/** RFC 7292 appendix B.2 with ID 3, for one block: a MAC key is as long as the hash. SECRET. */
function macKey(hash: Hash, password: Uint8Array, salt: Uint8Array, iterations: number): Uint8Array {
  const v = hash.blockLen;
  const secret = bmpString(password);
  const filled = (bytes: Uint8Array): Uint8Array => Uint8Array.from({ length: v * Math.ceil(bytes.length / v) }, (_, i) => bytes[i % bytes.length]!);
  const [S, P] = [filled(salt), filled(secret)];
  const input = new Uint8Array(v + S.length + P.length).fill(3, 0, v);
  input.set(S, v);
  input.set(P, v + S.length);
  let key = hash(input);
  for (let i = 1; i < iterations; i++) {
    const next = hash(key);
    key.fill(0);
    key = next;
  }
  for (const used of [secret, P, input]) used.fill(0);
  return key;
}

/** RFC 7292 appendix B.1: UTF-16, the higher octet first, ended by a zero character. From UTF-8 without a string between, which could not be wiped. */
function bmpString(utf8: Uint8Array): Uint8Array {
  const units: number[] = [];
  for (let at = 0; at < utf8.length;) {
    const first = utf8[at]!;
    const more = first < 0x80 ? 0 : first >> 5 === 6 ? 1 : first >> 4 === 14 ? 2 : first >> 3 === 30 ? 3 : null;
    if (more === null || at + more >= utf8.length) throw fault('IMPORT-PASSWORD', 'a password in UTF-8', 'other bytes', 'Give the password as it was typed.');
    let code = more === 0 ? first : first & (0x3f >> more);
    for (let i = 1; i <= more; i++) code = (code << 6) | (utf8[at + i]! & 0x3f);
    if (code > 0xffff) units.push(0xd800 | ((code - 0x10000) >> 10), 0xdc00 | ((code - 0x10000) & 0x3ff));
    else units.push(code);
    at += 1 + more;
  }
  const bytes = new Uint8Array(2 * units.length + 2);
  units.forEach((unit, i) => { bytes[2 * i] = unit >> 8; bytes[2 * i + 1] = unit & 255; });
  units.fill(0);
  return bytes;
}
