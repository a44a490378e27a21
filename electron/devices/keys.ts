/**
 * A key of one or two parts, on the token or wrapped: made, opened, used, wrapped, recovered, locked, tried out.
 *
 * A simple key has one part, a composite two. A part on the token stays there. A wrapped part is made in this process, sealed
 * under an AES-256 key that never leaves the token, and exists in clear only for the length of one signature or one wrapping.
 * Halves of a composite never sign but for their composite: nothing here gives a half's signature out.
 *
 * Every signature is verified in software before it is given out, each half alone and both together. Nothing is believed of a
 * token's public key before it is compared with what the record knows (KEY-BOUND). Never makes or opens a stateful key in
 * software and never backs one up (SP 800-208 section 8.1). Secrets are wiped here, also where something fails.
 */
import { generateKeyPairSync, randomFillSync, type KeyObject } from 'node:crypto';
import { aeskwp } from '@noble/ciphers/aes.js';
import { concat, equalBytes, fromBase64url, toBase64url, toHex } from '../../ceremonies/bytes.ts';
import type { Evidence, KeyAttributes, KeyPart, Placement, WrappedPart } from '../../ceremonies/evidence.ts';
import { heldAt, idsNeeded } from '../../ceremonies/key-record.ts';
import { caAlgorithmNamed, componentsOf, isAlgorithmName, isStateful, kemAlgorithmNamed, ML_KEMS, type CaAlgorithm, type Component, type KemHalf } from '../../ceremonies/keys/algorithms.ts';
import { signComposite } from '../../ceremonies/keys/composite.ts';
import { derParts, readDer, TAG } from '../../ceremonies/keys/der.ts';
import { parsePublicKey } from '../../ceremonies/keys/public-key.ts';
import { ecdsaRawToDer } from '../../ceremonies/keys/signatures.ts';
import { compositeFromParts, keyFindings, readSubjectKey, signatureFindings, subjectKeyOf, verifyWith, type SubjectKey } from '../../ceremonies/keys/subject-key.ts';
import { verifyHalf } from '../../ceremonies/keys/traditional.ts';
import { weakKeyFindings, weakKeyTests } from '../../ceremonies/keys/weak.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import { deviceError, Fault, isTokenError, quietly, tokenIsGone, TokenError, type Work } from './errors.ts';
import { generateSecret, signWith } from './providers.ts';
import type { KeyReference } from './protocol.ts';
import { lend, Secret, secretBytes, takeBytes } from './secret.ts';
import type { Session, SignHow, Token, TokenAlgorithm } from './tokens.ts';

type Lives = 'token' | 'session';
interface Under { readonly class: 'secret-key'; readonly id: string; readonly lives: Lives }

/** Where the private half of a part is. */
type Custody =
  | { readonly held: 'token'; readonly id: string; readonly lives: Lives }
  | { readonly held: 'wrapped'; readonly under: Under; readonly mechanism: string; readonly bytes: Uint8Array }
  /** Recovered, or made to be thrown away. */
  | { readonly held: 'memory'; readonly pkcs8: Secret };

interface Part {
  readonly component: Component;
  readonly key: SubjectKey;
  readonly at: Custody;
}

/** What is to be made and where: one CKA_ID for every part on the token, and one for the wrapping key if there is one. */
export interface Plan {
  readonly algorithm: CaAlgorithm;
  readonly parts: readonly { readonly component: Component; readonly id: string | null }[];
  readonly wrapping: string | null;
}

/** The names of the tests that the record lists: plain for a simple key, by part for a composite. */
function testsOf({ component }: Part): readonly string[] {
  const tests = [...(isAlgorithmName(component.name) ? weakKeyTests(component.name) : TESTS_OF_OTHERS[component.half?.kind ?? 'hash-based']), 'WEAK-PUBLISHED-KEY'];
  return component.part === 'key' ? tests : tests.map((test) => `${component.part}: ${test}`);
}

/** What subject-key.ts tests in keys that the registry of roots does not have. Of hash-based keys there is nothing more to test. */
const TESTS_OF_OTHERS = { rsa: weakKeyTests('rsa-3072'), ecdsa: weakKeyTests('ecdsa-p256'), eddsa: weakKeyTests('ed25519'), 'hash-based': [] } as const;

// --- the plan ------------------------------------------------------------------------------------------------------------

/**
 * Where each part goes. Throws `Refused` ALGORITHM-KNOWN, PLACE-POSSIBLE, STATEFUL-ON-TOKEN-ONLY, and Fault REQUEST_INVALID
 * where `ids` are not as many as the plan needs, or not all different.
 */
export function planKey(name: string, place: Placement, ids: readonly string[]): Plan {
  const algorithm = caAlgorithmNamed(name);
  const components = componentsOf(algorithm);
  if (place === 'split' && components.length < 2) {
    throw placeFault(algorithm, 'a composite, whose halves can be parted', 'a key of one part');
  }
  const onToken = components.map((component) => heldAt(place, component) === 'token');
  components.forEach((component, i) => mayBeHeld(algorithm, component, onToken[i] ? 'token' : 'wrapped'));
  const needed = idsNeeded(name, place);
  if (ids.length !== needed || new Set(ids).size !== needed) throw new Fault('REQUEST_INVALID', `At: ids (${needed}, all different).`);
  const left = [...ids];
  const parts = components.map((component, i) => ({ component, id: onToken[i] ? left.shift()! : null }));
  return { algorithm, parts, wrapping: left[0] ?? null };
}

/** The same with as many fresh ids as it takes. Throws as `planKey`. */
export function planWithFreshIds(name: string, place: Placement): Plan {
  return planKey(name, place, Array.from({ length: idsNeeded(name, place) }, freshId));
}

function mayBeHeld(algorithm: CaAlgorithm, component: Component, held: 'token' | 'wrapped'): void {
  if (held === 'token' && component.row === null) {
    throw placeFault(algorithm, `a ${component.label} half in software, wrapped`, 'one on the token, where none can be used from here');
  }
  if (held === 'wrapped' && component.row !== null && isStateful(component.row)) {
    throw new Refused(refuse(
      'STATEFUL-ON-TOKEN-ONLY', `${component.label} keys made and kept on a token (SP 800-208 section 8.1)`, 'one to be made in software', 'Let the script place the key on the token.',
    ));
  }
}

function placeFault(algorithm: CaAlgorithm, expected: string, found: string): Refused {
  return new Refused(refuse('PLACE-POSSIBLE', `${algorithm.label}: ${expected}`, found, 'Choose another place or algorithm in the script.'));
}

/** Stateful keys are never wrapped, shared or copied: a copy would sign with the same one-time keys again. */
export function mayBeCopied(algorithm: CaAlgorithm, what: string): void {
  if (!isStateful(algorithm)) return;
  throw new Refused(refuse(
    'STATEFUL-NEVER-COPIED', `a ${algorithm.label} key that stays on its token (SP 800-208 section 8.1)`, what, 'Plan several keys instead of copies of one.',
  ));
}

// --- a key ---------------------------------------------------------------------------------------------------------------

/** A key that is there, bound to the session it was made or opened in; one that is all in memory needs none. */
export class Key {
  readonly algorithm: CaAlgorithm;
  /** SubjectPublicKeyInfo of the whole key. */
  readonly spki: Uint8Array;
  readonly parts: readonly Part[];
  readonly #bound: Session | null;

  /** Throws `Refused` where the parts do not make a key of the algorithm. */
  constructor(session: Session | null, algorithm: CaAlgorithm, parts: readonly Part[]) {
    this.#bound = session;
    this.algorithm = algorithm;
    this.parts = parts;
    this.spki = algorithm.family !== 'composite-signature' ? this.#part('key').key.spki
      : compositeFromParts(algorithm, [this.#part('ml-dsa').key.spki, this.#part('traditional').key.spki]);
  }

  get #session(): Session {
    if (this.#bound === null) throw new Error('a key in memory was asked for its token');
    return this.#bound;
  }

  /**
   * JOSE form for classical keys, the raw signature for all others, verified. Throws `Refused` COMPOSITE-ML-DSA-HALF,
   * COMPOSITE-TRADITIONAL-HALF, PROOF-OF-POSSESSION for one that does not fit, and what the token says.
   */
  async sign(message: Uint8Array, work: Work): Promise<Uint8Array> {
    const { algorithm } = this;
    const signature = algorithm.family === 'composite-signature'
      ? await signComposite(algorithm, {
          mlDsa: (m, context) => this.#half('ml-dsa', 'COMPOSITE-ML-DSA-HALF', m, work, context),
          traditional: (m) => this.#half('traditional', 'COMPOSITE-TRADITIONAL-HALF', m, work),
        }, message)
      : await inPart(this.#part('key').component, () => this.#signPart(this.#part('key'), message, work));
    if (!(await verifyWith(algorithm.name, this.spki, message, signature))) throw unverified('PROOF-OF-POSSESSION', 'its public key verifies');
    return signature;
  }

  /** What `message` proves, for the record. */
  async possess(message: Uint8Array, work: Work): Promise<{ message: string; signature: string }> {
    return { message: toBase64url(message), signature: toBase64url(await this.sign(message, work)) };
  }

  /** Names of the weak-key tests that every part has passed on its way here. */
  weakTests(): string[] {
    return this.parts.flatMap(testsOf);
  }

  /** What the token says of the parts just now. Only after every wrapped part has been opened in this operation. */
  async facts(): Promise<{ parts: Omit<KeyPart, 'mechanism'>[]; wrappingKey: KeyAttributes | null }> {
    const parts: Omit<KeyPart, 'mechanism'>[] = [];
    for (const { component, key, at } of this.parts) {
      const common = { part: component.part, algorithm: component.name, spki: toBase64url(key.spki), private: null, public: null, wrapped: null };
      if (at.held === 'token') {
        parts.push({
          ...common, held: 'token', proof: 'reported',
          private: await this.#session.attributes({ class: 'private-key', id: at.id, lives: at.lives }),
          public: await this.#session.attributes({ class: 'public-key', id: at.id, lives: at.lives }),
        });
      } else if (at.held === 'wrapped') {
        parts.push({ ...common, held: 'wrapped', proof: 'verified', wrapped: { mechanism: at.mechanism, bytes: toBase64url(at.bytes) } });
      }
    }
    const under = this.parts.flatMap(({ at }) => (at.held === 'wrapped' ? [at.under] : []))[0];
    return { parts, wrappingKey: under === undefined ? null : await this.#session.attributes(under) };
  }

  /** How others find this key again. */
  reference(): KeyReference {
    const wrapped = this.parts.flatMap(({ at }) => (at.held === 'wrapped' ? [at.under.id] : []));
    return {
      algorithm: this.algorithm.name, spki: toBase64url(this.spki), wrapping: wrapped[0] ?? null,
      parts: this.parts.map(({ component: { part }, key, at }) => ({
        part, spki: toBase64url(key.spki), held: at.held === 'token' ? 'token' : 'wrapped', id: at.held === 'token' ? at.id : null,
        wrapped: at.held === 'wrapped' ? { mechanism: at.mechanism, bytes: toBase64url(at.bytes) } : null,
      })),
    };
  }

  /** Every part under `backup` (32 bytes, borrowed): AES-KWP of its PKCS#8. Throws `Refused` STATEFUL-NEVER-COPIED. */
  async wrap(backup: Uint8Array): Promise<WrappedPart[]> {
    mayBeCopied(this.algorithm, 'one to be wrapped for a backup');
    const wrapped: WrappedPart[] = [];
    for (const part of this.parts) {
      const { mechanism, bytes } = await inPart(part.component, () => this.#wrapPart(part, backup));
      wrapped.push({ part: part.component.part, mechanism, wrapped: toBase64url(bytes) });
    }
    return wrapped;
  }

  async #wrapPart(part: Part, backup: Uint8Array): Promise<{ mechanism: string; bytes: Uint8Array }> {
    const { at } = part;
    if (at.held === 'token') {
      const { mechanism, wrapped } = await withWrappingKey(this.#session, Uint8Array.from(backup), (under) =>
        this.#session.wrap({ class: 'private-key', id: at.id, lives: at.lives }, under));
      return { mechanism, bytes: wrapped };
    }
    return this.#opened(part, async (pkcs8) => ({ mechanism: KWP, bytes: aeskwp(backup).encrypt(pkcs8) }));
  }

  /**
   * Makes the parts on the token non-extractable, and tries to wrap them all the same: the attribute is the token's word, the
   * attempt is the test of it. Whether a token that fails it may be used is the record's rule LOCKED.
   */
  async lock(work: Work): Promise<{ readonly private: KeyAttributes[]; readonly enforced: boolean }> {
    const session = this.#session;
    const locked: KeyAttributes[] = [];
    let enforced = true;
    for (const { component, at } of this.parts) {
      if (at.held !== 'token') continue;
      const name = { class: 'private-key', id: at.id, lives: at.lives } as const;
      await inPart(component, () => work.write(() => session.makeNonExtractable(name)));
      locked.push(await session.attributes(name));
      enforced = (await withWrappingKey(session, randomFillSync(secretBytes(32)), (under) => session.refusesToWrap(name, under))) && enforced;
    }
    return { private: locked, enforced };
  }

  /**
   * What keeps each part on the token there, for a backup: what the token says, and what it answers when it is to wrap the part under a key
   * that is thrown away, with what came of it. A token that is gone is no answer.
   */
  async leaving(): Promise<NonNullable<Evidence<'open-key'>['leaving']>> {
    const session = this.#session;
    const found: NonNullable<Evidence<'open-key'>['leaving']> = [];
    for (const { component, at } of this.parts) {
      if (at.held !== 'token') continue;
      const name = { class: 'private-key', id: at.id, lives: at.lives } as const;
      const trusted = (await session.read(name, ['CKA_WRAP_WITH_TRUSTED'])).get('CKA_WRAP_WITH_TRUSTED');
      const refused = await inPart(component, () => withWrappingKey(session, randomFillSync(secretBytes(32)), (under) => session.wrap(name, under).then(() => null, (thrown: unknown) => {
        if (!isTokenError(thrown) || tokenIsGone(thrown)) throw thrown;
        return thrown.code;
      })));
      found.push({ trustedOnly: trusted?.length === 1 ? trusted[0] !== 0 : null, refused });
    }
    return found;
  }

  /** Attributes of the private halves on the token, read just now. */
  async privateAttributes(): Promise<KeyAttributes[]> {
    const all: KeyAttributes[] = [];
    for (const { at } of this.parts) if (at.held === 'token') all.push(await this.#session.attributes({ class: 'private-key', id: at.id, lives: at.lives }));
    return all;
  }

  /** Destroys what lives in the session or in memory only. Gives the CKA_IDs that must now be gone. */
  async forget(): Promise<string[]> {
    const ids: string[] = [];
    for (const { at } of this.parts) {
      if (at.held === 'memory') at.pkcs8.wipe();
      if (at.held === 'token' && at.lives === 'session') ids.push(at.id);
      if (at.held === 'wrapped' && at.under.lives === 'session') ids.push(at.under.id);
    }
    if (ids.length > 0) await destroySessionObjects(this.#session, ids);
    return ids;
  }

  #part(name: Component['part']): Part {
    const part = this.parts.find(({ component }) => component.part === name);
    if (part === undefined) throw new Fault('REQUEST_INVALID', `At: key.parts (${name}).`);
    return part;
  }

  /** A half over M', verified alone before it is joined to the other. */
  async #half(name: 'ml-dsa' | 'traditional', rule: string, message: Uint8Array, work: Work, context?: Uint8Array): Promise<Uint8Array> {
    const part = this.#part(name);
    return inPart(part.component, async () => {
      const signature = await this.#signPart(part, message, work, context);
      const { half } = part.component;
      const alone = half === null ? (await signatureFindings(part.key, null, message, signature, context)).length === 0 : await verifyHalf(half, part.key.raw, message, signature);
      if (!alone) throw unverified(rule, 'the half verifies alone');
      return signature;
    });
  }

  /** The part's signature in the form that its key wants: a composite's ECDSA half as DER. Not verified yet. */
  async #signPart(part: Part, message: Uint8Array, work: Work, context?: Uint8Array): Promise<Uint8Array> {
    const { component, at } = part;
    if (at.held !== 'token') {
      return this.#opened(part, (pkcs8) => work.compute((signal) => signWith(component, pkcs8, message, context === undefined ? {} : { context }, signal)));
    }
    const row = tokenRow(component);
    const how: SignHow = {
      ...(context === undefined ? {} : { context }),
      ...(component.half?.kind === 'rsa' && component.half.padding === 'pss' ? { padding: 'pss' as const } : {}),
    };
    const signature = await this.#session.sign({ class: 'private-key', id: at.id, lives: at.lives }, row, message, how);
    if (component.half === null || row.family !== 'ecdsa') return signature;
    try {
      return ecdsaRawToDer(row.name, signature);
    } catch {
      throw unverified('COMPOSITE-TRADITIONAL-HALF', 'is r||s with both from 1 to the order less one');
    }
  }

  /** Lends the PKCS#8 of a part in software; a wrapped one is opened for this and wiped. */
  async #opened<T>({ component, key, at }: Part, use: (pkcs8: Uint8Array) => Promise<T>): Promise<T> {
    if (at.held === 'token') throw new Error('a part on the token was to be opened');
    if (at.held === 'memory') return use(at.pkcs8.bytes);
    const opened = await this.#session.openBytes(at.under, at.bytes);
    try {
      isOfAlgorithm(component, key, opened.bytes);
      return await use(opened.bytes);
    } finally {
      opened.wipe();
    }
  }
}

const KWP = 'CKM_AES_KEY_WRAP_KWP'; // RFC 5649, by the name that PKCS#11 3.2 has for it

/** The row under which a token uses a part; `mayBeHeld` has refused parts without one. */
export function tokenRow(component: Component): TokenAlgorithm {
  if (component.row === null) throw new Error('a part that no token can have');
  return component.row;
}

export function unverified(rule: string, expected: string): Refused {
  return new Refused(refuse(rule, `a signature that ${expected}`, 'one that does not fit', 'Do not use this key: have the token examined.'));
}

/** A public key of exactly this component that passes every weak-key test. Throws `Refused` KEY-* or WEAK-*. */
function soundKey(component: Component, spki: Uint8Array): SubjectKey {
  const key = readSubjectKey(spki);
  const findings = keyFindings(key);
  if (isAlgorithmName(component.name)) findings.unshift(...weakKeyFindings(parsePublicKey(spki, component.name)));
  else if (!isOther(component, key)) {
    throw new Refused(refuse('KEY-ALGORITHM', component.label, key.label, 'Check that this is the key the script speaks of.'));
  }
  if (findings[0] !== undefined) throw new Refused(findings[0]);
  return key;
}

/** Components outside the registry of roots and ML-DSA: SLH-DSA, HSS, XMSS, and halves that no root may be. */
function isOther({ row, half }: Component, key: SubjectKey): boolean {
  switch (key.kind) {
    case 'slh-dsa': return row?.name === key.row.name;
    case 'hss': return row?.family === 'hss';
    case 'xmss': return row === key.row;
    case 'rsa': return half?.kind === 'rsa' && half.modulusBits === key.modulusBits;
    case 'ecdsa': return half?.kind === 'ecdsa' && half.curve === key.curve;
    case 'eddsa': return half?.kind === 'eddsa' && half.curve === key.curve;
    case 'ml-dsa':
    case 'xdh':
    case 'kem':
    case 'composite': return false;
  }
}

/**
 * The AlgorithmIdentifier of an opened PKCS#8 is that of its SubjectPublicKeyInfo, in every form that is written here: so
 * bytes that belong to another part are named before anything signs with them.
 */
function isOfAlgorithm(component: Component, key: SubjectKey, pkcs8: Uint8Array): void {
  let same = false;
  try {
    const field = 'privateKeyInfo';
    const found = derParts(readDer(pkcs8, field, TAG.sequence), field)[1]?.bytes;
    const wanted = derParts(readDer(key.spki, field, TAG.sequence), field)[0]?.bytes;
    same = found !== undefined && wanted !== undefined && equalBytes(found, wanted);
  } catch {
    // Told below; a reader's words could speak of the key.
  }
  if (!same) throw notBound(`the private half of a ${component.label} key`, 'other bytes');
}

function notBound(expected: string, found: string): Refused {
  return new Refused(refuse('KEY-BOUND', expected, found, 'Compare the token and the record before the key is used.'));
}

// --- making, opening, recovering -----------------------------------------------------------------------------------------

/**
 * Makes every part: those in software first, so that nothing is on the token while that can still be cancelled, then the
 * wrapping key, then the parts on the token. Wrapped parts are opened again and compared. `mechanisms` stand in the order of
 * the parts. `extractable` is for the parts on the token; the wrapping key never is. The plan's ids must be free (ID-FRESH).
 */
export async function makeKey(
  session: Session, plan: Plan, { label, extractable, lives }: { readonly label: string; readonly extractable: boolean; readonly lives: Lives }, work: Work,
): Promise<{ key: Key; mechanisms: string[] }> {
  const { algorithm, wrapping } = plan;
  if (extractable) mayBeCopied(algorithm, 'one that may leave it');
  if (lives === 'token') for (const id of allIds(plan)) await idIsFree(session, id);
  const write = <T>(call: () => Promise<T>): Promise<T> => (lives === 'token' ? work.write(call) : call());
  const made = new Map<Component, Awaited<ReturnType<typeof generateSecret>>>();
  try {
    for (const { component, id } of plan.parts) if (id === null) made.set(component, await secretOf(component, work));
    const under: Under | null = wrapping === null ? null : { class: 'secret-key', id: wrapping, lives };
    if (under !== null) await write(() => session.generateWrappingKey({ id: under.id, label, lives }));
    const parts: Part[] = [];
    const mechanisms: string[] = [];
    for (const { component, id } of plan.parts) {
      await inPart(component, async () => {
        const secret = made.get(component);
        if (id !== null) {
          const row = tokenRow(component);
          mechanisms.push(await write(() => session.generateKeyPair({ algorithm: row, id, label, extractable, lives })));
          parts.push({ component, key: await readPart(session, component, id, lives), at: { held: 'token', id, lives } });
        } else if (under !== null && secret !== undefined) {
          mechanisms.push(secret.provider);
          parts.push({ component, key: soundKey(component, secret.spki), at: { held: 'wrapped', under, ...(await sealed(session, under, secret.pkcs8)) } });
        }
      });
    }
    return { key: new Key(session, algorithm, parts), mechanisms };
  } finally {
    for (const { pkcs8 } of made.values()) pkcs8.fill(0);
  }
}

function allIds({ parts, wrapping }: Plan): string[] {
  return [...parts.map(({ id }) => id), wrapping].filter((id) => id !== null);
}

function secretOf(component: Component, work: Work): ReturnType<typeof generateSecret> {
  return inPart(component, () => work.compute((signal) => generateSecret(component, signal), ({ pkcs8 }) => pkcs8.fill(0)));
}

export async function sealed(session: Session, under: Under, pkcs8: Uint8Array): Promise<{ mechanism: string; bytes: Uint8Array }> {
  const { mechanism, wrapped } = await session.sealBytes(under, pkcs8);
  const opened = await session.openBytes(under, wrapped);
  const same = equalBytes(opened.bytes, pkcs8);
  opened.wipe();
  if (!same) throw new Refused(refuse('WRAPPED-OPENS', 'the bytes that were wrapped', 'others when opened again', 'Do not use this token for wrapped keys.'));
  return { mechanism, bytes: wrapped };
}

async function readPart(session: Session, component: Component, id: string, lives: Lives): Promise<SubjectKey> {
  return soundKey(component, (await session.publicKey({ class: 'public-key', id, lives }, tokenRow(component))).spki);
}

/**
 * A key of a plan that is all on the token, read as if it had just been made: for one whose making had no recorded outcome.
 * Throws `Refused` ONE-MATCH, KEY-*, WEAK-*.
 */
export async function readKey(session: Session, { algorithm, parts }: Plan): Promise<Key> {
  const read: Part[] = [];
  for (const { component, id } of parts) {
    if (id === null) throw new Error('a wrapped part is on no token');
    read.push({ component, key: await inPart(component, () => readPart(session, component, id, 'token')), at: { held: 'token', id, lives: 'token' } });
  }
  return new Key(session, algorithm, read);
}

/**
 * The key that `reference` speaks of, its parts on the token read anew, compared and tested. Throws `Refused` KEY-BOUND,
 * WEAK-*, ONE-MATCH, PLACE-POSSIBLE, STATEFUL-ON-TOKEN-ONLY. Wrapped parts are opened when they are used.
 */
export async function openKey(session: Session, reference: KeyReference): Promise<Key> {
  const parts: Part[] = [];
  for (const { component, part } of partsOf(reference)) {
    const wanted = fromBase64url(part.spki);
    if (part.held === 'token') {
      const id = part.id!;
      const key = await inPart(component, () => readPart(session, component, id, 'token'));
      if (!equalBytes(key.spki, wanted)) throw notBound(`the ${component.label} key of the record on this token`, 'another public key');
      parts.push({ component, key, at: { held: 'token', id, lives: 'token' } });
    } else {
      const under = { class: 'secret-key', id: reference.wrapping!, lives: 'token' } as const;
      const { mechanism, bytes } = part.wrapped!;
      parts.push({ component, key: soundKey(component, wanted), at: { held: 'wrapped', under, mechanism, bytes: fromBase64url(bytes) } });
    }
  }
  return bound(new Key(session, caAlgorithmNamed(reference.algorithm), parts), reference);
}

function bound(key: Key, reference: KeyReference): Key {
  if (!equalBytes(key.spki, fromBase64url(reference.spki))) throw notBound(`the ${key.algorithm.label} key of the record`, 'parts that make another');
  return key;
}

/** The parts of a reference beside their components; refuses one that contradicts itself, with Fault REQUEST_INVALID. */
export function partsOf(reference: KeyReference): { component: Component; part: KeyReference['parts'][number] }[] {
  const algorithm = caAlgorithmNamed(reference.algorithm);
  const components = componentsOf(algorithm);
  const whole = reference.parts.length === components.length && reference.parts.every(({ part, held, id, wrapped }, i) =>
    part === components[i]!.part && (held === 'token' ? id !== null && wrapped === null : id === null && wrapped !== null && reference.wrapping !== null));
  if (!whole) throw new Fault('REQUEST_INVALID', 'At: key.parts.');
  return reference.parts.map((part, i) => {
    mayBeHeld(algorithm, components[i]!, part.held);
    return { component: components[i]!, part };
  });
}

/**
 * The key again out of its backup: parts on the token become session objects, wrapped ones stay in memory. `backup` is borrowed.
 * The caller calls `forget`. Throws `Refused` STATEFUL-NEVER-COPIED, KEY-BOUND, and TokenError CKR_WRAPPED_KEY_INVALID.
 */
export async function recoverKey(session: Session, reference: KeyReference, wrapped: readonly WrappedPart[], backup: Uint8Array): Promise<Key> {
  const algorithm = caAlgorithmNamed(reference.algorithm);
  mayBeCopied(algorithm, 'one to be recovered from a backup');
  const wanted = partsOf(reference);
  if (wrapped.length !== wanted.length || wrapped.some(({ part }, i) => part !== wanted[i]!.component.part)) throw new Fault('REQUEST_INVALID', 'At: wrapped.');
  const parts: Part[] = [];
  try {
    for (const [i, { component, part }] of wanted.entries()) {
      await inPart(component, async () => {
        const key = soundKey(component, fromBase64url(part.spki));
        const bytes = fromBase64url(wrapped[i]!.wrapped);
        if (part.held === 'token') {
          const at = { held: 'token', id: freshId(), lives: 'session' } as const;
          const row = tokenRow(component);
          await withWrappingKey(session, Uint8Array.from(backup), (under) => session.unwrap({ wrapped: bytes, under, algorithm: row, id: at.id, label: 'conclave-recovered' }));
          parts.push({ component, key, at });
        } else {
          const pkcs8 = new Secret(unwrapped(backup, bytes));
          parts.push({ component, key, at: { held: 'memory', pkcs8 } });
          isOfAlgorithm(component, key, pkcs8.bytes);
        }
      });
    }
    return bound(new Key(session, algorithm, parts), reference);
  } catch (thrown) {
    for (const { at } of parts) if (at.held === 'memory') at.pkcs8.wipe();
    await destroySessionObjects(session, parts.flatMap(({ at }) => (at.held === 'token' ? [at.id] : [])));
    throw thrown;
  }
}

export function unwrapped(kek: Uint8Array, wrapped: Uint8Array): Uint8Array {
  try {
    return takeBytes(aeskwp(kek).decrypt(wrapped));
  } catch {
    throw new TokenError('CKR_WRAPPED_KEY_INVALID', 'AES-KWP');
  }
}

/**
 * A key of the same algorithm that is thrown away after `use`: in memory, and for stateful algorithms, which are never made
 * in software, as session objects; only for these is there a `session`.
 */
export async function withThrowawayKey<T>(session: Session | null, algorithm: CaAlgorithm, work: Work, use: (key: Key) => Promise<T>): Promise<T> {
  const make = async (): Promise<Key> => {
    if (session !== null && isStateful(algorithm)) {
      return (await makeKey(session, planWithFreshIds(algorithm.name, 'token'), { label: 'conclave-throwaway', extractable: false, lives: 'session' }, work)).key;
    }
    const parts: Part[] = [];
    try {
      for (const component of componentsOf(algorithm)) {
        const { pkcs8, spki } = await secretOf(component, work);
        parts.push({ component, key: readSubjectKey(spki), at: { held: 'memory', pkcs8: new Secret(pkcs8) } });
      }
      return new Key(session, algorithm, parts);
    } catch (thrown) {
      for (const { at } of parts) if (at.held === 'memory') at.pkcs8.wipe();
      throw thrown;
    }
  };
  const key = await make();
  return andThen(() => use(key), async () => { await key.forget(); });
}

/** The public half of a fresh key of a KEM, for rehearsals: nobody keeps the private one. Throws `Refused` ALGORITHM-KNOWN. */
export async function throwawayKemKey(name: string): Promise<Uint8Array> {
  const row = kemAlgorithmNamed(name);
  const { pkcs8, spki } = await generateSecret(row.family === 'ml-kem' ? row : ML_KEMS[row.mlKem]);
  pkcs8.fill(0);
  if (row.family === 'ml-kem') return spki;
  const half = readSubjectKey(new Uint8Array(halfKeyPair(row.traditional).publicKey.export({ type: 'spki', format: 'der' })));
  return subjectKeyOf(row.oid, null, concat(readSubjectKey(spki).raw, half.raw)).spki;
}

function halfKeyPair(half: KemHalf): { readonly publicKey: KeyObject } {
  switch (half.kind) {
    case 'rsa-oaep': return generateKeyPairSync('rsa', { modulusLength: half.modulusBits });
    case 'ecdh': return generateKeyPairSync('ec', { namedCurve: half.curve });
    case 'xdh': return half.curve === 'X25519' ? generateKeyPairSync('x25519') : generateKeyPairSync('x448');
  }
}

// --- trying out ----------------------------------------------------------------------------------------------------------

export type Need = 'generate' | 'sign' | 'wrap' | 'recover';

/** Null: it worked; else why not. */
export interface Tried {
  readonly found: Readonly<Record<Need, string | null>>;
  /** What "it worked" means, in words. */
  readonly words: Readonly<Record<Need, string>>;
}

/** Tries everything for real on a key of the plan, with objects that live in the session only. */
export async function tryKey(session: Session, token: Token, plan: Plan, backup: boolean, work: Work): Promise<Tried> {
  const found: Record<Need, string | null> = { generate: NOT_TRIED, sign: NOT_TRIED, wrap: NOT_TRIED, recover: NOT_TRIED };
  const several = plan.parts.length > 1;
  const attempt = async <T>(need: Need, call: () => Promise<T>): Promise<T | undefined> => {
    try {
      const result = await call();
      found[need] = null;
      return result;
    } catch (thrown) {
      if (tokenIsGone(thrown) || (thrown instanceof Fault && thrown.code === 'WORK_CANCELLED')) throw thrown;
      const { code, message } = deviceError(thrown);
      const component = failedPart(thrown);
      const known = need === 'wrap' && component?.row ? token.notWrappable(component.row) : null;
      found[need] = `${several && component ? `${component.label}: ` : ''}${known === null ? `${code}: ${message}` : `${known} (${code}: ${message})`}`;
      return undefined;
    }
  };
  const stateful = isStateful(plan.algorithm);
  const copies = backup && !stateful;
  const message = randomFillSync(secretBytes(32));
  const secret = randomFillSync(secretBytes(32));
  try {
    const made = await attempt('generate', () => makeKey(session, plan, { label: 'conclave-probe', extractable: copies, lives: 'session' }, work));
    if (made !== undefined) {
      await attempt('sign', () => made.key.sign(message, work));
      const wrapped = copies ? await attempt('wrap', () => made.key.wrap(secret)) : undefined;
      if (wrapped !== undefined) {
        await attempt('recover', async () => {
          const again = await recoverKey(session, made.key.reference(), wrapped, secret);
          await andThen(() => again.sign(message, work), async () => { await again.forget(); });
        });
      } else if (copies) found.recover = 'Nothing could be wrapped that could be recovered.';
    }
    if (stateful) found.wrap = found.recover = `STATEFUL-NEVER-COPIED: a ${plan.algorithm.label} key has no backup (SP 800-208 section 8.1).`;
  } finally {
    secret.fill(0);
    await destroySessionObjects(session, allIds(plan));
  }
  const where = plan.parts.map(({ component, id }) => `${component.label} ${id === null ? 'wrapped under a token key' : 'on the token'}`).join(', ');
  return {
    found,
    words: {
      generate: `${where}: session objects made, public keys tested.`,
      sign: `${where}: a fresh message signed${several ? ', each half and both together' : ''}, verified in software.`,
      wrap: `${where}: wrapped under an AES-256 key (RFC 5649).`,
      recover: `${where}: recovered from the wrapped bytes and signed, verified in software.`,
    },
  };
}

const NOT_TRIED = 'not tried';

/** From which part a failure came: the tokens' own errors do not know. */
const FAILED = new WeakMap<Error, Component>();

export async function inPart<T>(component: Component, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (thrown) {
    if (thrown instanceof Error && !FAILED.has(thrown)) FAILED.set(thrown, component);
    throw thrown;
  }
}

/** The part in which something failed, where that is known. */
export function failedPart(thrown: unknown): Component | undefined {
  return thrown instanceof Error ? FAILED.get(thrown) : undefined;
}

// --- objects on the token ------------------------------------------------------------------------------------------------

/** CKA_ID of a session object: random, so that it names exactly one. */
export function freshId(): string {
  return toHex(randomFillSync(secretBytes(16)));
}

/** CKA_IDs are never used twice: reconciliation after a crash depends on it. Throws `Refused` ID-FRESH. */
export async function idIsFree(session: Session, id: string): Promise<void> {
  for (const kind of ['private-key', 'public-key', 'secret-key'] as const) {
    const found = await session.find({ class: kind, id });
    if (found.length > 0) {
      throw new Refused(refuse('ID-FRESH', `no object with CKA_ID ${id}`, `a ${kind}`, 'Look at the token before anything is made on it.'));
    }
  }
}

/** `value` (taken over and wiped) as a session object on the token, for the length of `use`. */
export async function withWrappingKey<T>(session: Session, value: Uint8Array, use: (under: Under) => Promise<T>): Promise<T> {
  const under = { class: 'secret-key', id: freshId(), lives: 'session' } as const;
  await lend(takeBytes(value), (bytes) => session.importWrappingKey({ id: under.id, label: 'conclave-backup-key', value: bytes }));
  return andThen(() => use(under), () => session.destroy(under));
}

async function destroySessionObjects(session: Session, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    for (const kind of ['private-key', 'public-key', 'secret-key'] as const) {
      const name = { class: kind, id, lives: 'session' } as const;
      await quietly(session.find(name).then((found) => (found.length === 1 ? session.destroy(name) : undefined)));
    }
  }
}

/** `tidy` after `use`, whatever happens; when both fail, the first failure is the one that is told. */
export async function andThen<T>(use: () => Promise<T>, tidy: () => Promise<void>): Promise<T> {
  let result: T;
  try {
    result = await use();
  } catch (thrown) {
    await quietly(tidy());
    throw thrown;
  }
  await tidy();
  return result;
}
