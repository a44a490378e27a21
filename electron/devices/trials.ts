/**
 * Whether a key works: each use that it has, tried with session objects alone and compared with software where the value, or the
 * public half, is known to software. What can only be tried on the token by itself says so.
 *
 * Nothing that is made here outlives the trial. A trial returns words or throws; it never reports a failure as success.
 */
import { createCipheriv, constants, createPublicKey, publicEncrypt, randomFillSync } from 'node:crypto';
import { equalBytes } from '../../ceremonies/bytes.ts';
import { MONTGOMERY_FACTS, type MlKemAlgorithm } from '../../ceremonies/keys/algorithms.ts';
import { signatureFindings, type SubjectKey } from '../../ceremonies/keys/subject-key.ts';
import { ecdsaRawToDer } from '../../ceremonies/keys/signatures.ts';
import { CURVES, MONTGOMERY } from '../../ceremonies/keys/traditional.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import { isTokenError, TokenError, tokenIsGone } from './errors.ts';
import { KEY_KIND_ROWS, type KeyKindRow, type PairKind, type SecretKind } from './key-kinds.ts';
import { andThen, freshId } from './keys.ts';
import { encapsulate } from './providers.ts';
import { lend, secretBytes } from './secret.ts';
import type { ObjectAt, ObjectName, Session, Template, Token, TokenAlgorithm, WrapHow } from './tokens.ts';

export interface Trial {
  readonly name: string;
  /** In words, what was tried and compared. Throws where the key fails. */
  readonly run: () => Promise<string>;
}

/** A key that is tried: where it is, what it may do, and its public half as software knows it. */
export interface Candidate {
  readonly token: Token;
  readonly session: Session;
  readonly kind: KeyKindRow;
  readonly own: ObjectAt | (ObjectName & { readonly class: 'private-key' | 'secret-key' });
  readonly key: SubjectKey | null;
  readonly uses: Readonly<Partial<Record<'sign' | 'encrypt' | 'decrypt' | 'wrap' | 'unwrap' | 'derive' | 'decapsulate', boolean | null>>>;
}
type Own<Class extends ObjectName['class']> = ObjectAt | (ObjectName & { readonly class: Class });

const SESSION_KEY: Template = { CKA_PRIVATE: true, CKA_SENSITIVE: true, CKA_EXTRACTABLE: true, CKA_ENCRYPT: true, CKA_DECRYPT: true };
const AES = KEY_KIND_ROWS['aes-256'] as SecretKind;

export function works(holds: boolean, expected: string, found: string): void {
  if (!holds) throw new Refused(refuse('KEY-WORKS', expected, found, 'Do not use this key. Destroy it, and have the token examined.'));
}

/** What is to be tried with a key, by the uses that its token says it has. */
export async function trialsOf(candidate: Candidate): Promise<Trial[]> {
  const listed = new Set((await candidate.token.mechanisms()).map(({ name }) => name));
  const { kind } = candidate;
  return kind.shape === 'pair' ? pairTrials(candidate, kind) : secretTrials(candidate, kind, listed);
}

// --- key pairs -----------------------------------------------------------------------------------------------------------

function pairTrials({ token, session, own, key, uses }: Candidate, { algorithm }: PairKind): Trial[] {
  const name = own as Own<'private-key'>;
  const trials: Trial[] = [];
  if (algorithm.family !== 'ml-kem' && algorithm.family !== 'xdh' && uses.sign === true) {
    trials.push({ name: 'sign and verify', run: () => signs(session, name, algorithm, key) });
  }
  if (algorithm.family === 'rsa' && key !== null) {
    const rsa = key;
    if (uses.decrypt === true) trials.push({ name: 'decrypt', run: () => decrypts(token, session, name, rsa) });
    if (uses.unwrap === true) trials.push({ name: 'unwrap', run: () => unwraps(token, session, name, rsa) });
  }
  if ((algorithm.family === 'ecdsa' || algorithm.family === 'xdh') && uses.derive === true && key !== null) {
    const peer = key;
    trials.push({ name: 'derive', run: () => agrees(session, name, peer) });
  }
  if (algorithm.family === 'ml-kem' && uses.decapsulate !== false && key !== null) {
    const peer = key;
    trials.push({ name: 'decapsulate', run: () => decapsulates(session, name, algorithm, peer) });
  }
  return trials;
}

async function signs(session: Session, own: Own<'private-key'>, algorithm: TokenAlgorithm, key: SubjectKey | null): Promise<string> {
  const message = randomFillSync(secretBytes(32));
  const signature = await session.sign(own, algorithm, message);
  if (key === null) return 'A fresh message was signed. The token gives no public key, so the signature was not verified.';
  const [fault] = await signatureFindings(key, null, message, algorithm.family === 'ecdsa' ? ecdsaRawToDer(algorithm.name, signature) : signature);
  works(fault === undefined, 'a signature that fits the public key', 'one that does not');
  return 'A fresh message was signed, and the signature verified in software.';
}

/** RFC 8017 section 7.1, by software. */
function oaepEncrypted(token: Token, { spki }: SubjectKey, plaintext: Uint8Array): Uint8Array {
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  return Uint8Array.from(publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: token.oaepHash === 'SHA-1' ? 'sha1' : 'sha256' }, plaintext));
}

async function decrypts(token: Token, session: Session, own: Own<'private-key'>, key: SubjectKey): Promise<string> {
  const plaintext = randomFillSync(secretBytes(32));
  const opened = await session.decrypt(own, { kind: 'rsa-oaep', hash: token.oaepHash }, oaepEncrypted(token, key, plaintext));
  works(equalBytes(opened, plaintext), 'what software encrypted', 'other bytes');
  return `The token decrypted what software encrypted (RSA-OAEP, ${token.oaepHash}).`;
}

async function unwraps(token: Token, session: Session, own: Own<'private-key'>, key: SubjectKey): Promise<string> {
  return lend(randomFillSync(secretBytes(AES.bytes)), async (value) => {
    const unwrapped = { class: 'secret-key', id: freshId(), lives: 'session' } as const;
    const wrapped = oaepEncrypted(token, key, value);
    await session.unwrapKey({ method: 'RSA-OAEP', hash: token.oaepHash }, own, wrapped, { kind: AES, id: unwrapped.id, label: 'conclave-trial', own: SESSION_KEY, lives: 'session' });
    return andThen(async () => {
      const [iv, message] = [randomFillSync(secretBytes(16)), randomFillSync(secretBytes(32))];
      const cipher = createCipheriv('aes-256-cbc', value, iv);
      const expected = Buffer.concat([cipher.update(message), cipher.final()]);
      works(equalBytes(await session.encrypt(unwrapped, { kind: 'aes-cbc', iv }, message), expected), 'the AES key that software wrapped', 'another key');
      return `The token unwrapped an AES key that software wrapped (RSA-OAEP, ${token.oaepHash}), and encrypted with it as software does.`;
    }, () => session.destroy(unwrapped));
  });
}

async function agrees(session: Session, own: Own<'private-key'>, key: SubjectKey): Promise<string> {
  const { peer, expected } = counterpart(key);
  return lend(expected, async () => {
    const secret = await session.agree(own, peer, expected.length);
    const same = equalBytes(secret.bytes, expected);
    secret.wipe();
    works(same, 'the secret that software agrees on', 'another one');
    return `The token agreed with a fresh ${key.label} key of software on one secret.`;
  });
}

/** A fresh key of software's, and the secret it agrees on with `key`. */
function counterpart(key: SubjectKey): { readonly peer: Uint8Array; readonly expected: Uint8Array } {
  if (key.kind === 'xdh') {
    const ephemeral = randomFillSync(secretBytes(MONTGOMERY_FACTS[key.curve].keyBytes));
    return { peer: MONTGOMERY[key.curve].getPublicKey(ephemeral), expected: MONTGOMERY[key.curve].getSharedSecret(ephemeral, key.raw) };
  }
  if (key.kind !== 'ecdsa') throw new Refused(refuse('KEY-KIND-KNOWN', 'a key that agrees on secrets', key.label, 'Use another key.'));
  const curve = CURVES[key.curve];
  const ephemeral = curve.utils.randomSecretKey(randomFillSync(secretBytes(curve.lengths.seed ?? 48)));
  return { peer: curve.getPublicKey(ephemeral, false), expected: curve.getSharedSecret(ephemeral, key.raw, true).slice(1) };
}

async function decapsulates(session: Session, own: Own<'private-key'>, algorithm: MlKemAlgorithm, key: SubjectKey): Promise<string> {
  const { ciphertext, sharedSecret } = await encapsulate(algorithm, key.raw);
  return lend(sharedSecret, async () => {
    const secret = await session.decapsulate(own, algorithm, ciphertext);
    const same = equalBytes(secret.bytes, sharedSecret);
    secret.wipe();
    works(same, 'the secret that software encapsulated', 'another one');
    return 'What software encapsulated, the token decapsulated to the same secret.';
  });
}

// --- secret keys ---------------------------------------------------------------------------------------------------------

const ALONE = 'The key\'s value cannot be read, so software could not compare.';

function secretTrials({ session, own, uses }: Candidate, kind: SecretKind, listed: ReadonlySet<string>): Trial[] {
  const name = own as Own<'secret-key'>;
  const trials: Trial[] = [];
  if (uses.sign === true && listed.has(kind.mac)) trials.push({ name: 'MAC', run: () => makesMacs(session, name, kind) });
  if (kind.mac !== 'CKM_AES_CMAC') return trials;
  if (uses.encrypt === true && uses.decrypt === true && listed.has('CKM_AES_CBC_PAD')) trials.push({ name: 'encrypt and decrypt', run: () => encrypts(session, name) });
  const how = wrapHowOf(listed);
  if (uses.wrap === true && uses.unwrap === true && how !== null) trials.push({ name: 'wrap and unwrap', run: () => wrapsAndUnwraps(session, name, how) });
  return trials;
}

/** How a token wraps under AES keys, the padded form first; null where it does not. */
export function wrapHowOf(listed: ReadonlySet<string>): WrapHow | null {
  if (listed.has('CKM_AES_KEY_WRAP_KWP') || listed.has('CKM_AES_KEY_WRAP_PAD')) return { method: 'AES-KWP' };
  return listed.has('CKM_AES_KEY_WRAP') ? { method: 'AES-KW' } : null;
}

async function makesMacs(session: Session, own: Own<'secret-key'>, { mac }: SecretKind): Promise<string> {
  const message = randomFillSync(secretBytes(32));
  const [first, again] = [await session.mac(own, mac, message), await session.mac(own, mac, message)];
  message[0]! ^= 1;
  const other = await session.mac(own, mac, message);
  works(first.length > 0 && equalBytes(first, again) && !equalBytes(first, other), 'one MAC for one message and another for another', 'something else');
  return `One message had the same ${mac} twice, another message another. ${ALONE}`;
}

async function encrypts(session: Session, own: Own<'secret-key'>): Promise<string> {
  const [iv, message] = [randomFillSync(secretBytes(16)), randomFillSync(secretBytes(45))];
  const cipher = { kind: 'aes-cbc', iv } as const;
  const encrypted = await session.encrypt(own, cipher, message);
  works(encrypted.length === 48 && !equalBytes(encrypted.subarray(0, 45), message), 'a ciphertext of 48 bytes', 'something else');
  works(equalBytes(await session.decrypt(own, cipher, encrypted), message), 'the message again', 'other bytes');
  return `A fresh message was encrypted and decrypted again (CKM_AES_CBC_PAD). ${ALONE}`;
}

async function wrapsAndUnwraps(session: Session, own: Own<'secret-key'>, how: WrapHow): Promise<string> {
  const [made, back] = [sessionKey(), sessionKey()];
  await session.makeKey({ kind: AES, id: made.id, label: 'conclave-trial', own: SESSION_KEY, other: {}, lives: 'session' });
  return andThen(async () => {
    const { mechanism, wrapped } = await session.wrapKey(how, made, own);
    await session.unwrapKey(how, own, wrapped, { kind: AES, id: back.id, label: 'conclave-trial', own: SESSION_KEY, lives: 'session' });
    return andThen(async () => {
      works((await sameSecretKey(session, AES, made, back, { encrypt: true })) !== null, 'a key that can be compared', 'one that cannot');
      return `A throwaway AES key was wrapped (${mechanism}), unwrapped, and encrypted alike before and after. ${ALONE}`;
    }, () => session.destroy(back));
  }, () => session.destroy(made));
}

function sessionKey() {
  return { class: 'secret-key', id: freshId(), lives: 'session' } as const;
}

/**
 * Whether two secret keys on one token are one, by what both do; in words, or null where nothing can be compared. Throws
 * `Refused` KEY-WORKS where they differ.
 */
export async function sameSecretKey(
  session: Session, kind: SecretKind, one: Own<'secret-key'>, other: Own<'secret-key'>, uses: Candidate['uses'],
): Promise<string | null> {
  const message = randomFillSync(secretBytes(32));
  const compare = async (work: (which: Own<'secret-key'>) => Promise<Uint8Array>, words: string): Promise<string | null> => {
    const [first, second] = [await attempted(work(one)), await attempted(work(other))];
    if (first === null || second === null) return null;
    works(equalBytes(first, second), `${words} as before`, 'another one: this is another key');
    return `${words}: the same before and after`;
  };
  if (uses.sign === true) {
    const compared = await compare((which) => session.mac(which, kind.mac, message), `${kind.mac} of a fresh message`);
    if (compared !== null) return compared;
  }
  if (uses.encrypt === true && kind.mac === 'CKM_AES_CMAC') {
    const iv = randomFillSync(secretBytes(16));
    const compared = await compare((which) => session.encrypt(which, { kind: 'aes-cbc', iv }, message), 'CKM_AES_CBC_PAD of a fresh message');
    if (compared !== null) return compared;
  }
  return compare(async (which) => {
    const value = (await session.read(which, ['CKA_CHECK_VALUE'])).get('CKA_CHECK_VALUE');
    if (value === undefined || value.length === 0) throw new TokenError('CKR_ATTRIBUTE_TYPE_INVALID', 'C_GetAttributeValue');
    return value;
  }, 'CKA_CHECK_VALUE');
}

/** Null where the token cannot do this; throws where it is gone. */
async function attempted(work: Promise<Uint8Array>): Promise<Uint8Array | null> {
  try {
    return await work;
  } catch (thrown) {
    if (!isTokenError(thrown) || tokenIsGone(thrown)) throw thrown;
    return null;
  }
}
