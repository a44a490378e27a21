/**
 * One change to a token outside a ceremony (CHANGES of evidence.ts), carried out over the nouns of tokens.ts.
 *
 * What is pointed at is found anew in the session that changes it: exactly one object that still fits its reference, or
 * ONE-MATCH. What was made is read back in another session, compared with its order, and tried; what was destroyed is looked
 * for there. A key that came out other than ordered is refused (ATTRIBUTES-AS-ORDERED) in words that say what the token holds now:
 * it is not removed, because that is a person's decision. Stateful keys are never copied. Never repeats a call, never tries a PIN
 * twice, never writes what a file held before it has been judged.
 */
import { randomFillSync } from 'node:crypto';
import { sha256 } from '@noble/hashes/sha2.js';
import type * as z from 'zod';
import { dangerFault, risksAfter, UNSAID } from '../../ceremonies/administration.ts';
import { concat, equalBytes, fromBase64url, fromHex, toBase64url, toHex } from '../../ceremonies/bytes.ts';
import type { ObjectPlace } from '../../ceremonies/estate.ts';
import {
  CHANGES, type ChangeKind, type ChangeOrder, type ChangeResult, type Evidence, type KeyAttributes, type KeyCheck, type ObjectFact, type ObjectReference, type OrderedAttribute,
  type OrderedAttributes, type WrappedKeyFile,
} from '../../ceremonies/evidence.ts';
import { CURVE_FACTS, ML_KEMS, MONTGOMERY_FACTS } from '../../ceremonies/keys/algorithms.ts';
import { readCertificate } from '../../ceremonies/keys/chain.ts';
import { TAG, writeDer } from '../../ceremonies/keys/der.ts';
import { tokenKeyKek } from '../../ceremonies/keys/hybrid-wrap.ts';
import { combineSecrets, encapsulate, encapsulationRandomness, halfOf, mlKemOf } from '../../ceremonies/keys/kem.ts';
import { keyFindings, readSubjectKey, subjectKeyOf, type SubjectKey } from '../../ceremonies/keys/subject-key.ts';
import { weakKeyTests } from '../../ceremonies/keys/weak.ts';
import type { SubjectName } from '../../ceremonies/keys/issue.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import { plainText } from '../../ceremonies/text.ts';
import cryptoki from './cryptoki.json' with { type: 'json' };
import { deviceError, Fault, isTokenError, quietly, TokenError, tokenIsGone, type Work } from './errors.ts';
import { KEY_KIND_ROWS, kindOfPublicKey, kindOfSecret, type KeyKindRow, type SecretKind } from './key-kinds.ts';
import { andThen, freshId, idIsFree } from './keys.ts';
import type { PinDesk } from './login.ts';
import type { Asked } from './protocol.ts';
import { inOrder, listedAs, named, readPublicKey } from './reading.ts';
import { lend, secretBytes, takeBytes } from './secret.ts';
import { cleanLabel, mechanismName, type AttributeName, type KeyClass, type ObjectAt, type ObjectName, type Session, type Template, type Token, type TokenAlgorithm, type WrapHow } from './tokens.ts';
import { sameSecretKey, trialsOf, works } from './trials.ts';

/** Who asks for PINs, for whom, and what the operation under way has written. */
export interface Desk { readonly pins: PinDesk; readonly asked: Asked; readonly work: Work }
export interface At { readonly token: Token; readonly session: Session; readonly desk: Desk }

// --- PINs and whole tokens: no login beforehand --------------------------------------------------------------------------

type PinChange = 'init-token' | 'set-user-pin' | 'change-pin';

export function isAboutPins(change: ChangeKind): change is PinChange {
  return change === 'init-token' || change === 'set-user-pin' || change === 'change-pin';
}

export async function administerPins(token: Token, change: PinChange, order: unknown, desk: Desk): Promise<Record<string, unknown>> {
  switch (change) {
    case 'init-token': {
      const { before, after, objects } = await initialise(token, orderOf(change, order), desk);
      if (objects.length > 0) throw new Refused(refuse('NOT-DESTROYED', 'no object left on the token', `${objects.length}`, 'The token reported success. Treat it as not initialised, and have it examined.'));
      return resultOf(change, { before, after, objects: objects.length });
    }
    case 'set-user-pin': {
      orderOf(change, order);
      return resultOf(change, await setUserPin(token, desk));
    }
    case 'change-pin': return resultOf(change, await changePin(token, orderOf(change, order), desk));
  }
}

/** As the SO, and only while the token is what was `seen`. Gives what a fresh session shows afterwards: at most as many objects as a record holds. */
export async function initialise(token: Token, { label, seen }: ChangeOrder<'init-token'>, { pins, asked, work }: Desk): Promise<Evidence<'zeroise-token'>> {
  cleanLabel(label);
  const before = await token.facts();
  const wanted = before.flags.includes('CKF_TOKEN_INITIALIZED') ? 'so-pin' : 'new-so-pin';
  const again = await pins.ask(token, asked, wanted, (pin) => work.write(() => token.initialise(label, pin, seen)), label);
  const session = await again.open();
  try {
    const { objects } = await session.list(0, 2000);
    return { before, after: await again.facts(), objects };
  } finally {
    await quietly(session.close());
  }
}

/** A session of its own, in which `who` is logged in; logged out whatever happens. */
async function asWho<T>(token: Token, use: (session: Session) => Promise<T>): Promise<T> {
  const session = await token.open();
  try {
    return await use(session);
  } finally {
    await quietly(session.logout());
    await quietly(session.close());
  }
}

async function setUserPin(token: Token, { pins, asked, work }: Desk): Promise<ChangeResult<'set-user-pin'>> {
  const before = await token.facts();
  await asWho(token, async (session) => {
    await pins.ask(token, asked, 'so-pin', (pin) => session.login(pin, 'so'));
    await pins.ask(token, asked, 'new-user-pin', (pin) => work.write(() => session.setUserPin(pin)));
  });
  return { before, after: await token.facts() };
}

async function changePin(token: Token, { whose }: ChangeOrder<'change-pin'>, { pins, asked, work }: Desk): Promise<ChangeResult<'change-pin'>> {
  const before = await token.facts();
  const [old, next] = whose === 'so' ? ['so-pin', 'new-so-pin'] as const : ['user-pin', 'new-user-pin'] as const;
  await asWho(token, (session) => pins.ask(token, asked, old, async (pin, accepted) => {
    await session.login(pin, whose);
    accepted();
    await pins.ask(token, asked, next, (fresh) => work.write(() => session.changePin(pin, fresh)));
  }));
  return { before, after: await token.facts() };
}

// --- everything else: the user is logged in ------------------------------------------------------------------------------

/** `kept`: the object was made by an earlier attempt. `file`: of `import-key`, base64url. */
export async function administer(
  held: { readonly token: Token; readonly session: Session }, change: Exclude<ChangeKind, PinChange>,
  { order, file, kept }: { readonly order: unknown; readonly file: string | null; readonly kept: boolean }, desk: Desk,
): Promise<Record<string, unknown>> {
  const at: At = { ...held, desk };
  if (kept && !MAKING.includes(change)) throw new Fault('REQUEST_INVALID', 'Nothing is made by this change that could be kept.');
  switch (change) {
    case 'generate-key': return resultOf(change, await generateKey(at, orderOf(change, order), kept));
    case 'import-key': return resultOf(change, await importKey(at, orderOf(change, order), file, kept));
    case 'import-certificate': return resultOf(change, await importCertificate(at, orderOf(change, order), kept));
    case 'copy-object': return resultOf(change, await copyObject(at, orderOf(change, order), kept));
    case 'edit-object': return resultOf(change, await editObject(at, orderOf(change, order)));
    case 'destroy-object': return resultOf(change, await destroyObject(at, orderOf(change, order)));
    case 'wrap-key': return resultOf(change, await wrapKey(at, orderOf(change, order)));
    case 'unwrap-key': return resultOf(change, await unwrapKey(at, orderOf(change, order), kept));
    case 'sign-request': return resultOf(change, await signRequest(at, orderOf(change, order)));
    case 'self-sign': return resultOf(change, await selfSign(at, orderOf(change, order)));
  }
}
const MAKING: readonly ChangeKind[] = ['generate-key', 'import-key', 'import-certificate', 'copy-object', 'unwrap-key'];

function orderOf<K extends ChangeKind>(change: K, order: unknown): ChangeOrder<K> {
  const read = CHANGES[change].order.safeParse(order);
  if (!read.success) throw new Fault('REQUEST_INVALID', `At: ${whereIn(read.error)}.`);
  return read.data as ChangeOrder<K>;
}

/** Closed against its own shape before it leaves: the operation's answer is an open one. */
function resultOf<K extends ChangeKind>(change: K, result: ChangeResult<K>): Record<string, unknown> {
  const read = CHANGES[change].result.safeParse(result);
  if (!read.success) throw new Fault('ANSWER_INVALID', `At: ${whereIn(read.error)}.`);
  return read.data;
}

/** Where a value is wrong, never what it is. */
function whereIn(error: z.ZodError): string {
  return error.issues.slice(0, 3).map(({ path }) => path.join('.') || '(the whole)').join(', ');
}

// --- naming ----------------------------------------------------------------------------------------------------------------

/** What stands at a place of the listing, named so that it can be found again. Throws `Refused` OBJECT-MOVED. */
export async function refer(session: Session, { position, object }: ObjectPlace): Promise<ObjectReference> {
  const here = await listedAs(session, position);
  if (JSON.stringify(inOrder(here)) !== JSON.stringify(inOrder(object))) {
    throw new Refused(refuse('OBJECT-MOVED', `the object of the list (${named(object)}) at its place`, named(here), 'Something changed on the token, or somebody logged in or out. List its objects again.'));
  }
  return { ...here, check: await checkOf(session, { position }, here) };
}

export const CLASSES: Readonly<Partial<Record<ObjectFact['class'], number>>> = {
  'data': cryptoki.CKO.CKO_DATA, 'certificate': cryptoki.CKO.CKO_CERTIFICATE, 'public-key': cryptoki.CKO.CKO_PUBLIC_KEY,
  'private-key': cryptoki.CKO.CKO_PRIVATE_KEY, 'secret-key': cryptoki.CKO.CKO_SECRET_KEY,
};

/** Everything that reads as this object does, in this session's listing as it is now. */
async function placesOf(session: Session, object: ObjectFact): Promise<ObjectAt[]> {
  const objectClass = CLASSES[object.class];
  if (objectClass === undefined) throw new Refused(refuse('OBJECT-KIND', 'a key, a certificate or a data object', object.class, 'Use the token\'s own tool for this object.'));
  await session.list(0, 0);
  const fitting: ObjectAt[] = [];
  for (const position of await session.search({ CKA_CLASS: objectClass, ...(object.id !== '' && { CKA_ID: fromHex(object.id) }) })) {
    if (JSON.stringify(inOrder(await listedAs(session, position))) === JSON.stringify(inOrder(object))) fitting.push({ position });
  }
  return fitting;
}

/** The one object that still fits its reference. Throws `Refused` ONE-MATCH. */
async function locate(session: Session, { check, ...object }: ObjectReference): Promise<ObjectAt> {
  const fitting: ObjectAt[] = [];
  for (const place of await placesOf(session, object)) {
    if (JSON.stringify(await checkOf(session, place, object)) === JSON.stringify(check)) fitting.push(place);
  }
  return theOne(fitting, `${named(object)} with ${check.method === 'none' ? 'no check value' : `${check.method} ${check.value}`}`);
}

export function theOne(fitting: readonly ObjectAt[], what: string): ObjectAt {
  const [one] = fitting;
  if (fitting.length === 1 && one !== undefined) return one;
  throw new Refused(refuse('ONE-MATCH', `exactly one ${what}`, fitting.length === 0 ? 'none' : `${fitting.length}`, 'List the objects on the token before going on.'));
}

/** SHA-256 of the public key; of an AES key a check value, where the token makes one. */
export async function checkOf(session: Session, which: ObjectAt | ObjectName, object: ObjectFact): Promise<KeyCheck> {
  if (object.class === 'secret-key') return secretCheck(session, which, object.keyType);
  if (object.class !== 'private-key' && object.class !== 'public-key' && object.class !== 'certificate') return NO_CHECK;
  const key = await publicKeyOrNull(session, which, object);
  return key === null ? NO_CHECK : spkiCheck(key);
}

const NO_CHECK: KeyCheck = { method: 'none', value: '' };

function spkiCheck({ spki }: Pick<SubjectKey, 'spki'>): KeyCheck {
  return { method: 'SHA-256 of SubjectPublicKeyInfo', value: toHex(sha256(spki)) };
}

/** Null also for public values that make no key: such an object can still be pointed at, and destroyed. */
async function publicKeyOrNull(session: Session, which: ObjectAt | ObjectName, object: ObjectFact): Promise<SubjectKey | null> {
  try {
    return await readPublicKey(session, which, object);
  } catch (thrown) {
    if (thrown instanceof Refused) return null;
    throw thrown;
  }
}

async function secretCheck(session: Session, which: ObjectAt | ObjectName, keyType: string): Promise<KeyCheck> {
  if (keyType === 'CKK_AES') {
    try {
      const mac = await session.mac(which as ObjectAt, 'CKM_AES_CMAC', secretBytes(16));
      return { method: 'CMAC of zeros, 3 bytes (ANSI X9.24-1)', value: toHex(mac.slice(0, 3)) };
    } catch (thrown) {
      // It may not sign, or the token does not make this MAC.
      if (!isTokenError(thrown) || tokenIsGone(thrown)) throw thrown;
    }
  }
  const value = (await session.read(which, ['CKA_CHECK_VALUE'])).get('CKA_CHECK_VALUE');
  return value?.length === 3 ? { method: 'CKA_CHECK_VALUE', value: toHex(value) } : NO_CHECK;
}

// --- templates -------------------------------------------------------------------------------------------------------------

const CKA: { readonly [Name in OrderedAttribute]: AttributeName } = {
  private: 'CKA_PRIVATE', sensitive: 'CKA_SENSITIVE', extractable: 'CKA_EXTRACTABLE', modifiable: 'CKA_MODIFIABLE', copyable: 'CKA_COPYABLE',
  destroyable: 'CKA_DESTROYABLE', wrapWithTrusted: 'CKA_WRAP_WITH_TRUSTED', alwaysAuthenticate: 'CKA_ALWAYS_AUTHENTICATE', sign: 'CKA_SIGN',
  verify: 'CKA_VERIFY', encrypt: 'CKA_ENCRYPT', decrypt: 'CKA_DECRYPT', wrap: 'CKA_WRAP', unwrap: 'CKA_UNWRAP', derive: 'CKA_DERIVE',
  encapsulate: 'CKA_ENCAPSULATE', decapsulate: 'CKA_DECAPSULATE',
};
const PRIVATE_USES = ['sign', 'decrypt', 'unwrap', 'derive', 'decapsulate'] as const;
const SECRET_USES = ['sign', 'verify', 'encrypt', 'decrypt', 'wrap', 'unwrap', 'derive'] as const;
/** Each with what answers to it in a public key. */
const ANSWERING = { sign: 'verify', decrypt: 'encrypt', unwrap: 'wrap', decapsulate: 'encapsulate' } as const;

/** An order in full: what it leaves open is the safe value, and no use that it does not name. */
export function inFull(kind: KeyKindRow, order: OrderedAttributes): OrderedAttributes {
  const uses = kind.shape === 'secret' ? SECRET_USES : PRIVATE_USES;
  const full: OrderedAttributes = {
    private: order.private ?? UNSAID.private, sensitive: order.sensitive ?? UNSAID.sensitive, extractable: order.extractable ?? UNSAID.extractable,
    modifiable: order.modifiable ?? UNSAID.modifiable,
  };
  for (const use of uses) full[use] = order[use] ?? false;
  // Newer than many tokens: said only where something is wanted of them.
  if (!(kind.shape === 'pair' && kind.algorithm.family === 'ml-kem') && full.decapsulate === false) delete full.decapsulate;
  for (const name of ['copyable', 'destroyable'] as const) if (order[name] === false) full[name] = false;
  for (const name of kind.shape === 'pair' ? ['wrapWithTrusted', 'alwaysAuthenticate'] as const : ['wrapWithTrusted'] as const) if (order[name] === true) full[name] = true;
  return full;
}

export function templateOf(attributes: OrderedAttributes): Template {
  return Object.fromEntries(Object.entries(attributes).map(([name, value]) => [CKA[name as OrderedAttribute], value]));
}

function publicTemplate(kind: KeyKindRow, own: OrderedAttributes): Template {
  if (kind.shape === 'secret') return {};
  const uses = Object.entries(ANSWERING).flatMap(([use, answer]) => {
    const wanted = own[use as keyof typeof ANSWERING];
    return wanted === undefined ? [] : [[CKA[answer], wanted] as const];
  });
  return { CKA_PRIVATE: false, ...Object.fromEntries(uses), CKA_DERIVE: false };
}

const MORE = ['copyable', 'destroyable', 'wrapWithTrusted', 'alwaysAuthenticate', 'encapsulate', 'decapsulate'] as const;
type More = ChangeResult<'generate-key'>['more'];

async function moreOf(session: Session, which: ObjectAt | ObjectName): Promise<More> {
  const entries = await Promise.all(MORE.map(async (name) => {
    const value = (await session.read(which, [CKA[name]])).get(CKA[name]);
    return [name, value?.length === 1 ? value[0] !== 0 : null] as const;
  }));
  return Object.fromEntries(entries) as More;
}

/** Throws `Refused` ATTRIBUTES-AS-ORDERED for every attribute that the token answers otherwise. */
function asOrdered(ordered: OrderedAttributes, read: KeyAttributes, more: More, where: string): void {
  const differing = Object.entries(ordered).flatMap(([name, value]) => {
    const told = name in more ? more[name as keyof More] : read[name as keyof KeyAttributes];
    return told === null || told === value ? [] : [`${CKA[name as OrderedAttribute]} ${told}`];
  });
  if (differing.length === 0) return;
  throw new Refused(refuse(
    'ATTRIBUTES-AS-ORDERED', `the attributes that were ordered, ${differing.length === 1 ? 'this one' : 'these'} the other way`, differing.join(', '),
    `The token now holds ${where} with these attributes. Destroy it, or have somebody decide to keep it.`,
  ));
}

// --- reading back ------------------------------------------------------------------------------------------------------------

type KeyRead = ChangeResult<'import-key'>;
type Own = ObjectName & { readonly class: 'private-key' | 'secret-key' };

/** Another session of the same login. */
async function fresh<T>({ token, desk }: At, use: (session: Session) => Promise<T>): Promise<T> {
  const session = await token.open();
  try {
    desk.pins.attend(token, session, desk.asked);
    return await use(session);
  } finally {
    await quietly(session.close());
  }
}

/**
 * A key that has just been made: from a fresh session, compared with its order, judged and tried. `known`: its public key, where the
 * token may not tell it.
 */
export async function readBack(at: At, kind: KeyKindRow, id: string, ordered: OrderedAttributes, known: SubjectKey | null = null): Promise<KeyRead> {
  return fresh(at, async (session) => {
    const own: Own = { class: kind.shape === 'pair' ? 'private-key' : 'secret-key', id };
    const attributes = await session.attributes(own);
    const more = await moreOf(session, own);
    asOrdered(ordered, attributes, more, `${own.class} ${id}`);
    const fact: ObjectFact = { class: own.class, id, label: attributes.label, keyType: attributes.keyType };
    const told = kind.shape === 'pair' ? await readPublicKey(session, own, fact) : null;
    if (told !== null && known !== null && !equalBytes(told.spki, known.spki)) {
      throw new Refused(refuse('PUBLIC-KEY-AS-GIVEN', `a key with ${spkiCheck(known).value}`, spkiCheck(told).value, 'Destroy this key. The token made another of what it was given.'));
    }
    const key = told ?? known;
    if (key !== null) judged(kind, key);
    const others = kind.shape === 'pair' ? await session.find({ class: 'public-key', id }) : [];
    const trials = await trialsOf({ token: at.token, session, kind, own, key, uses: { ...attributes, decapsulate: more.decapsulate } });
    const tried: KeyRead['tried'] = [];
    for (const { name, run } of trials) tried.push({ name, detail: (await run()).slice(0, 200) });
    return {
      private: own.class === 'private-key' ? attributes : null, secret: own.class === 'secret-key' ? attributes : null,
      public: others.length === 1 ? await session.attributes({ class: 'public-key', id }) : null,
      spki: key === null ? null : toBase64url(key.spki), check: key === null ? await checkOf(session, own, fact) : spkiCheck(key),
      more, weakTests: key === null ? [] : weakTestsOf(key), tried,
    };
  });
}

/** Throws `Refused` for a public key of another kind than ordered, and for a weak one. */
function judged(kind: KeyKindRow, key: SubjectKey): void {
  if (kindOfPublicKey(key)?.kind !== kind.kind) throw new Refused(refuse('KEY-AS-ORDERED', `a key of kind ${kind.kind}`, key.label, 'Do not use this key. Destroy it, and have the token examined.'));
  const [weak] = keyFindings(key);
  if (weak !== undefined) throw new Refused(weak);
}

/** Names of the tests that `keyFindings` runs. */
function weakTestsOf(key: SubjectKey): string[] {
  const own = (): readonly string[] => {
    switch (key.kind) {
      case 'rsa': return weakKeyTests('rsa-3072');
      case 'ml-dsa': return weakKeyTests(key.name);
      case 'ecdsa': case 'eddsa': case 'xdh': return ['WEAK-POINT'];
      case 'kem': return ['KEM-PUBLIC-KEY', 'KEM-MODULUS'];
      case 'slh-dsa': case 'hss': case 'xmss': case 'composite': return [];
    }
  };
  return ['WEAK-PUBLISHED-KEY', ...own()];
}

/** What kind of key an object is. `anyLength`: also where a token does not tell how long a secret key is. Throws `Refused` KEY-KIND-KNOWN. */
async function kindOf(session: Session, which: ObjectAt, object: ObjectFact, anyLength = false): Promise<{ readonly kind: KeyKindRow; readonly key: SubjectKey | null }> {
  const unknown = (found: string) => new Refused(refuse('KEY-KIND-KNOWN', 'a key of a kind that is known here, with its public half on the token', found, 'Use the token\'s own tool for this key.'));
  if (object.class === 'secret-key') {
    const length = (await session.read(which, ['CKA_VALUE_LEN'])).get('CKA_VALUE_LEN');
    // Some modules say 0 of a key that came in wrapped.
    const kind = kindOfSecret(object.keyType, anyLength && (length?.[0] ?? 0) === 0 ? null : length?.[0] ?? 0);
    if (kind === null) throw unknown(`${object.keyType} of ${length?.[0] || 'unknown'} bytes`);
    return { kind, key: null };
  }
  if (object.class !== 'private-key') throw unknown(object.class);
  neverCopied(object);
  const key = await readPublicKey(session, which, object);
  const kind = key === null ? null : kindOfPublicKey(key);
  if (kind === null) throw unknown(key?.label ?? `${object.keyType} without a public key`);
  return { kind, key };
}

/** SP 800-208 section 8.1: a copy of a stateful key would use its one-time keys twice. */
function neverCopied({ keyType }: ObjectFact): void {
  if (!['CKK_HSS', 'CKK_XMSS', 'CKK_XMSSMT'].includes(keyType)) return;
  throw new Refused(refuse('STATEFUL-NEVER-COPIED', 'a key without a state', keyType, 'Make another stateful key on the other token, and certify both.'));
}

// --- making ------------------------------------------------------------------------------------------------------------------

async function generateKey(at: At, { id, label, kind: name, attributes }: ChangeOrder<'generate-key'>, kept: boolean): Promise<ChangeResult<'generate-key'>> {
  const { session, token, desk: { work } } = at;
  const kind = KEY_KIND_ROWS[name];
  const ordered = inFull(kind, attributes);
  if (!kept) {
    await idIsFree(session, id);
    await fitsMechanism(token, kind);
    try {
      const mechanism = await work.write(() => session.makeKey({ kind, id, label, own: templateOf(ordered), other: publicTemplate(kind, ordered) }));
      return { mechanism, ...(await readBack(at, kind, id, ordered)) };
    } catch (thrown) {
      if (!isTokenError(thrown, 'CKR_MECHANISM_INVALID')) throw thrown;
      throw notOffered(kind, 'which it does not list');
    }
  }
  const read = await readBack(at, kind, id, ordered);
  // What made it is the token's word now, where it has one.
  return { mechanism: read.private?.generatedBy ?? read.secret?.generatedBy ?? 'not told', ...read };
}

/** Some tokens make a smaller key than they list, and none says so before. */
async function fitsMechanism(token: Token, kind: KeyKindRow): Promise<void> {
  const bits = kind.shape === 'pair' ? kind.bits : null;
  if (bits === null || kind.shape !== 'pair') return;
  const listed = (await token.mechanisms()).find(({ number }) => number === kind.algorithm.pkcs11.generate);
  if (listed === undefined || listed.max === 0 || (bits >= listed.min && bits <= listed.max)) return;
  throw notOffered(kind, `which it lists for ${listed.min} to ${listed.max} bits`);
}

function notOffered(kind: KeyKindRow, found: string): Refused {
  const mechanism = mechanismName(kind.shape === 'pair' ? kind.algorithm.pkcs11.generate : kind.generate);
  return new Refused(refuse('KEY-KIND-OFFERED', `a token that makes keys of kind ${kind.kind}`, `one without ${mechanism} for them, ${found}`, 'Choose another kind of key, or another token.'));
}

async function importKey(at: At, order: ChangeOrder<'import-key'>, file: string | null, kept: boolean): Promise<KeyRead> {
  const { token, session, desk: { pins, asked, work } } = at;
  const kind = KEY_KIND_ROWS[order.kind];
  const ordered = inFull(kind, order.attributes);
  if (kept) return readBack(at, kind, order.id, ordered);
  if (file === null) throw new Fault('REQUEST_INVALID', 'At: file.');
  const bytes = fromBase64url(file);
  if (toHex(sha256(bytes)) !== order.sha256) throw new Refused(refuse('INPUT-AS-RECORDED', `a file with SHA-256 ${order.sha256}`, 'another file', 'Give the file that the order names.'));
  if (kind.shape !== 'pair') throw new Refused(refuse('IMPORT-KIND', 'a kind of private key', kind.kind, 'Bring a secret key as a wrapped key.'));
  const { importFault } = await import('../../ceremonies/keys/import.ts');
  const fault = importFault(bytes);
  if (fault !== null) throw new Refused(fault);
  await idIsFree(session, order.id);
  return pins.ask(token, asked, 'password', async (password, accepted) => {
    const { pkcs8, key } = await readImportFile(bytes, password!);
    accepted();
    return lend(pkcs8, async () => {
      judged(kind, key);
      await work.write(() => session.importKey({ kind, id: order.id, label: order.label, own: templateOf(ordered), other: publicTemplate(kind, ordered), pkcs8, spki: key.spki }));
      return readBack(at, kind, order.id, ordered, key);
    });
  });
}

/** The one key of a file under a password, judged, in the form that is written. Secret; the caller wipes it. */
async function readImportFile(file: Uint8Array, password: Uint8Array): Promise<{ readonly pkcs8: Uint8Array; readonly key: SubjectKey }> {
  const { readImport } = await import('../../ceremonies/keys/import.ts');
  const { pkcs8, publicKey } = await readImport(file, password);
  return { pkcs8: takeBytes(pkcs8), key: publicKey };
}

async function importCertificate(at: At, order: ChangeOrder<'import-certificate'>, kept: boolean): Promise<ChangeResult<'import-certificate'>> {
  const { session, desk: { work } } = at;
  const der = fromBase64url(order.certificate);
  const { key, subject, issuer, serial } = readCertificate(der);
  const { id, label } = order;
  let bound: 'fits' | 'absent' = 'absent';
  for (const kind of ['public-key', 'private-key'] as const) {
    const name = { class: kind, id } as const;
    const [object] = await session.find(name);
    const own = object === undefined ? null : await readPublicKey(session, name, object);
    if (own === null) continue;
    if (!equalBytes(own.spki, key.spki)) {
      throw new Refused(refuse('CERTIFICATE-FITS-KEY', `a certificate of the key under CKA_ID ${id}`, `that of another key (${key.label})`, 'Choose the CKA_ID of the certificate\'s own key.'));
    }
    bound = 'fits';
  }
  if (!kept) await work.write(() => session.importCertificate({ id, label, der, subject, issuer, serialNumber: writeDer(TAG.integer, fromHex(serial)) }));
  const object = await fresh(at, async (other) => {
    const name = { class: 'certificate', id, label } as const;
    const found = await other.find(name);
    const same = [];
    for (const fact of found) if (found.length === 1 && equalBytes((await other.read(name, ['CKA_VALUE'])).get('CKA_VALUE') ?? new Uint8Array(), der)) same.push(fact);
    const [one] = same;
    if (one === undefined) throw new Refused(refuse('ONE-MATCH', `exactly this certificate, labelled "${label}" with CKA_ID ${id}`, found.length === 1 ? 'another certificate' : `${found.length}`, 'List the objects on the token before going on.'));
    return one;
  });
  return { object, sha256: toHex(sha256(der)), key: bound };
}

async function copyObject(at: At, { object, id, label, attributes, despite }: ChangeOrder<'copy-object'>, kept: boolean): Promise<KeyRead> {
  const { session, desk: { work } } = at;
  const which = await locate(session, object);
  const { kind, key } = await kindOf(session, which, object);
  if (!kept) {
    await noDanger(session, which, object, attributes, despite ?? []);
    await idIsFree(session, id);
    await work.write(() => session.copyObject(which, { CKA_TOKEN: true, CKA_ID: fromHex(id), CKA_LABEL: label, ...templateOf(attributes) }));
  }
  return readBack(at, kind, id, attributes, key);
}

/** Rules of the dangers that a key has, or would have with these attributes; of anything but a private or secret key, none. */
async function dangersOf(session: Session, { position }: ObjectAt, object: ObjectFact, attributes: OrderedAttributes): Promise<string[]> {
  return (await risksOfChange(session, position, object, attributes)).flatMap(({ weight, rule }) => (weight === 'danger' ? [rule] : []));
}

async function risksOfChange(session: Session, position: number, object: ObjectFact, attributes: OrderedAttributes): Promise<ReturnType<typeof risksAfter>> {
  if (object.class !== 'private-key' && object.class !== 'secret-key') return [];
  const { wrapWithTrusted } = await moreOf(session, { position });
  return risksAfter({ ...await session.attributes({ position, class: object.class }), wrapWithTrusted }, attributes);
}

/** Throws `Refused` under the rule of the first danger that nobody answers for. */
async function noDanger(session: Session, { position }: ObjectAt, object: ObjectFact, attributes: OrderedAttributes, despite: readonly string[]): Promise<void> {
  const fault = dangerFault(await risksOfChange(session, position, object, attributes), despite);
  if (fault !== null) throw new Refused(fault);
}

// --- changing what is there ------------------------------------------------------------------------------------------------

async function editObject(at: At, { object, label, id, attributes, despite }: ChangeOrder<'edit-object'>): Promise<ChangeResult<'edit-object'>> {
  const { session, desk: { work } } = at;
  const which = await locate(session, object);
  const { check: _, ...before } = object;
  if (before.class === 'other' || before.class === 'unreadable' || before.class === 'data') throw new Refused(refuse('OBJECT-KIND', 'a key or a certificate', before.class, 'Use the token\'s own tool for this object.'));
  if (id !== null && id !== before.id && (await session.find({ class: before.class, id })).length > 0) {
    throw new Refused(refuse('ID-FRESH', `no ${before.class} with CKA_ID ${id}`, 'one that is there', 'Choose another CKA_ID, or destroy the other object first.'));
  }
  // Dangers that it has already are nobody's choice now.
  await noDanger(session, which, before, attributes, [...despite ?? [], ...await dangersOf(session, which, before, {})]);
  const template: Template = { ...(label !== null && { CKA_LABEL: label }), ...(id !== null && { CKA_ID: fromHex(id) }), ...templateOf(attributes) };
  const names = Object.keys(template) as AttributeName[];
  if (names.length === 0) throw new Fault('REQUEST_INVALID', 'Nothing is to be changed.');
  const was = await session.read(which, names);
  await work.write(() => session.change(which, template));
  const after: ObjectFact = { ...before, label: label ?? before.label, id: id ?? before.id };
  return fresh(at, async (other) => {
    // Not by its check value: a key that is named otherwise, or may no longer sign, can give another, or none.
    const there = theOne(await placesOf(other, after), named(after));
    const is = await other.read(there, names);
    const changed = names.map((attribute) => ({ attribute, from: shown(attribute, was.get(attribute)), to: shown(attribute, is.get(attribute)) ?? 'not told' }));
    const differing = names.filter((attribute) => is.has(attribute) && shown(attribute, is.get(attribute)) !== wantedText(template[attribute]));
    if (differing.length > 0) {
      throw new Refused(refuse('ATTRIBUTES-AS-ORDERED', 'the attributes that were ordered', differing.map((name) => `${name} ${shown(name, is.get(name))}`).join(', '), `The token now holds ${named(after)} with these attributes. Look at it before it is used.`));
    }
    return { before, after, changed };
  });
}

function shown(name: AttributeName, value: Uint8Array | undefined): string | null {
  if (value === undefined) return null;
  const [, kind] = cryptoki.CKA[name] as unknown as [number, string];
  return kind === 'boolean' ? `${value[0] !== 0}` : kind === 'text' ? new TextDecoder().decode(value).slice(0, 64) : toHex(value).slice(0, 64);
}

function wantedText(value: Template[AttributeName]): string {
  return value instanceof Uint8Array ? toHex(value).slice(0, 64) : `${value}`.slice(0, 64);
}

async function destroyObject(at: At, { object: reference }: ChangeOrder<'destroy-object'>): Promise<ChangeResult<'destroy-object'>> {
  const { session, desk: { work } } = at;
  const which = await locate(session, reference);
  const { check: _, ...object } = reference;
  const like: Template = { CKA_CLASS: CLASSES[object.class]!, ...(object.id !== '' && { CKA_ID: fromHex(object.id) }) };
  const before = (await session.search(like)).length;
  await work.write(() => session.destroy(which));
  const after = await fresh(at, async (other) => {
    await other.list(0, 0);
    return (await other.search(like)).length;
  });
  if (after !== before - 1) {
    throw new Refused(refuse('NOT-DESTROYED', `${before - 1} left of ${before} ${object.class} objects of this CKA_ID`, `${after}`, 'The token reported success. Treat the key as still there, and have the token examined.'));
  }
  return { object, before, after };
}

// --- wrapping ----------------------------------------------------------------------------------------------------------------

async function wrapKey(at: At, order: ChangeOrder<'wrap-key'>): Promise<ChangeResult<'wrap-key'>> {
  const { session, token } = at;
  const which = await locate(session, order.key);
  const own = { position: which.position, class: order.key.class as 'private-key' | 'secret-key' };
  const attributes = await session.attributes(own);
  if (attributes.extractable === false) throw new TokenError('CKR_KEY_UNEXTRACTABLE', 'C_WrapKey');
  const { kind, key } = await kindOf(session, which, order.key);
  const more = await moreOf(session, which);
  const described: WrappedKeyFile['key'] = {
    id: order.key.id, label: order.key.label, kind: kind.kind, attributes: attributesToKeep(kind, attributes, more), check: order.key.check,
    spki: key === null ? null : toBase64url(key.spki),
  };
  const uses = { ...attributes, decapsulate: more.decapsulate };
  const source: Source = { which, kind, key, uses };
  const common = { format: 'conclave-token-key/1', method: order.method, key: described } as const;
  if (order.method === 'hybrid') {
    const { recipient } = order;
    if (recipient === null || order.under !== null) throw new Fault('REQUEST_INVALID', 'At: recipient.');
    const to = readSubjectKey(fromBase64url(recipient));
    if (to.kind !== 'kem') throw new Refused(refuse('RECIPIENT-KEM', 'a public key of ML-KEM, of a composite or of X-Wing', to.label, 'Ask the recipient for such a key.'));
    const [weak] = keyFindings(to);
    if (weak !== undefined) throw new Refused(weak);
    const { ciphertext, sharedSecret } = await lend(randomFillSync(secretBytes(encapsulationRandomness(to.row))), (randomness) => encapsulate(to.row, to.raw, randomness));
    const kek = await lend(sharedSecret, () => takeBytes(tokenKeyKek(sharedSecret, described)));
    return withKek(session, kek, async (under) => {
      const { mechanism, wrapped } = await session.wrapKey({ method: 'AES-KWP' }, which, under);
      const file: WrappedKeyFile = {
        ...common, mechanism, under: { token: '', id: '', label: to.label, check: spkiCheck(to) },
        encapsulation: { algorithm: to.label, ciphertext: toBase64url(ciphertext) }, wrapped: toBase64url(wrapped),
      };
      return { file, ...(await rehearsed(at, source, { method: 'AES-KWP' }, under, wrapped)) };
    });
  }
  if (order.under === null || order.recipient !== null) throw new Fault('REQUEST_INVALID', 'At: under.');
  const wrapping = await locate(session, order.under);
  const how = howOf(order.method, token);
  const { mechanism, wrapped } = await session.wrapKey(how, which, wrapping);
  const file: WrappedKeyFile = {
    ...common, mechanism, encapsulation: null, wrapped: toBase64url(wrapped),
    under: { token: (await token.facts()).serial, id: order.under.id, label: order.under.label, check: order.under.check },
  };
  const opener = await openerOf(session, order.under, wrapping, how);
  return { file, ...(typeof opener === 'string' ? { rehearsed: null, why: opener } : await rehearsed(at, source, how, opener, wrapped)) };
}

function howOf(method: Exclude<WrappedKeyFile['method'], 'hybrid'>, token: Token): WrapHow {
  return method === 'RSA-OAEP' ? { method, hash: token.oaepHash } : { method };
}

/** `kek` (taken over) as a session object, for the length of `use`. */
export async function withKek<T>(session: Session, kek: Uint8Array, use: (under: ObjectName & { readonly class: 'secret-key' }) => Promise<T>): Promise<T> {
  const under = { class: 'secret-key', id: freshId(), lives: 'session' } as const;
  await lend(kek, (value) => session.importWrappingKey({ id: under.id, label: 'conclave-hybrid', value }));
  return andThen(() => use(under), () => session.destroy(under));
}

/** What unwraps what this key wrapped, or why nothing here does. */
async function openerOf(session: Session, under: ObjectReference, at: ObjectAt, how: WrapHow): Promise<ObjectAt | Own | string> {
  if (how.method !== 'RSA-OAEP') {
    return (await session.attributes({ position: at.position, class: 'secret-key' })).unwrap === true ? at : 'The wrapping key may not unwrap.';
  }
  const own: Own = { class: 'private-key', id: under.id };
  if (under.id === '' || (await session.find(own)).length !== 1) return 'The private half of the wrapping key is not on this token.';
  return (await session.attributes({ ...own, class: 'private-key' })).unwrap === true ? own : 'The private half of the wrapping key may not unwrap.';
}

interface Source { readonly which: ObjectAt; readonly kind: KeyKindRow; readonly key: SubjectKey | null; readonly uses: Parameters<typeof trialsOf>[0]['uses'] }
type Rehearsal = Pick<ChangeResult<'wrap-key'>, 'rehearsed' | 'why'>;

/** Unwrapped to a session object, compared with the key that was wrapped, and destroyed there again. */
async function rehearsed(at: At, source: Source, how: WrapHow, under: ObjectAt | Own, wrapped: Uint8Array): Promise<Rehearsal> {
  const { token, session } = at;
  const { kind, key, uses, which } = source;
  const back: Own = { class: kind.shape === 'pair' ? 'private-key' : 'secret-key', id: freshId(), lives: 'session' };
  const wanted: OrderedAttributes = { private: true, sensitive: true, extractable: false };
  for (const use of kind.shape === 'pair' ? ['sign', 'decrypt', 'derive'] as const : ['sign', 'encrypt', 'decrypt'] as const) wanted[use] = uses[use] === true;
  if (kind.shape === 'pair' && kind.algorithm.family === 'ml-kem') wanted.decapsulate = true;
  await session.unwrapKey(how, under, wrapped, { kind, id: back.id!, label: 'conclave-rehearsal', own: templateOf(wanted), lives: 'session' });
  const compared = await andThen(async () => {
    if (kind.shape === 'secret') return sameSecretKey(session, kind, which, { ...back, class: 'secret-key' }, uses);
    const trials = await trialsOf({ token, session, kind, own: back, key, uses: { ...uses, unwrap: false } });
    const words = [];
    for (const { run } of trials) words.push(await run());
    return words.length === 0 ? null : words.join(' ');
  }, () => session.destroy(back));
  works((await session.find(back)).length === 0, 'no rehearsed key left in the session', 'one that is there');
  return compared === null
    ? { rehearsed: null, why: 'It was unwrapped and destroyed again, but the key has no use by which it could be compared.' }
    : { rehearsed: { compared: compared.slice(0, 200), wiped: true }, why: null };
}

/** What a key is, in the words of an order: so it comes back as what it was. */
function attributesToKeep(kind: KeyKindRow, read: KeyAttributes, more: More): OrderedAttributes {
  const kept: OrderedAttributes = {};
  const uses: readonly OrderedAttribute[] = kind.shape === 'secret' ? SECRET_USES : PRIVATE_USES;
  for (const name of ['private', 'sensitive', 'extractable', 'modifiable', ...MORE, ...uses] as readonly OrderedAttribute[]) {
    const value = name in more ? more[name as keyof More] : read[name as keyof KeyAttributes];
    if (typeof value === 'boolean') kept[name] = value;
  }
  return kept;
}

async function unwrapKey(at: At, order: ChangeOrder<'unwrap-key'>, kept: boolean): Promise<KeyRead> {
  const { session, desk: { work } } = at;
  const { file } = order;
  const kind = KEY_KIND_ROWS[order.kind];
  if (order.kind !== file.key.kind) throw new Refused(refuse('KEY-AS-ORDERED', `a wrapped key of kind ${order.kind}`, file.key.kind, 'Order the kind of key that the file holds.'));
  const key = file.key.spki === null ? null : readSubjectKey(fromBase64url(file.key.spki));
  if ((kind.shape === 'pair') !== (key !== null)) throw new Refused(refuse('WRAPPED-KEY', 'a public key for a private one, and none for a secret one', 'something else', 'Have the key wrapped again from its source.'));
  if (key !== null) {
    judged(kind, key);
    if (JSON.stringify(spkiCheck(key)) !== JSON.stringify(file.key.check)) throw new Refused(refuse('KEY-CHECK-VALUE', `a public key with ${file.key.check.value}`, spkiCheck(key).value, 'Have the key wrapped again from its source.'));
  }
  const ordered = inFull(kind, order.attributes);
  if (kept) return readBack(at, kind, order.id, ordered, key);
  await idIsFree(session, order.id);
  const wrapped = fromBase64url(file.wrapped);
  const under = await locate(session, order.under);
  const request = { kind, id: order.id, label: order.label };
  let compared = '';
  const bring = async (how: WrapHow, opener: ObjectAt | Own): Promise<void> => {
    compared = await asInFile(at, file, kind, key, how, opener, wrapped);
    await work.write(() => session.unwrapKey(how, opener, wrapped, { ...request, own: templateOf(ordered) }));
    if (key !== null) await work.write(() => session.importPublicKey({ ...request, other: publicTemplate(kind, ordered), spki: key.spki }));
  };
  if (file.method === 'hybrid') await withKek(session, await kekOf(at, file, order.under, under), (opener) => bring({ method: 'AES-KWP' }, opener as Own));
  else {
    const { check } = file.under;
    if (check.method === order.under.check.method && check.value !== order.under.check.value) {
      throw new Refused(refuse('WRAPPED-UNDER', `the key with ${check.method} ${check.value}`, order.under.check.value, 'Choose the key that the file was wrapped under.'));
    }
    const hash = file.mechanism.endsWith('SHA-1') ? 'SHA-1' : 'SHA-256';
    await bring(file.method === 'RSA-OAEP' ? { method: 'RSA-OAEP', hash } : { method: file.method }, under);
  }
  const read = await readBack(at, kind, order.id, ordered, key);
  return { ...read, tried: [{ name: 'as in its file', detail: compared }, ...read.tried] };
}

/** In the session first: is it the key that the file names? Throws `Refused` KEY-CHECK-VALUE, KEY-WORKS. */
async function asInFile(at: At, file: WrappedKeyFile, kind: KeyKindRow, key: SubjectKey | null, how: WrapHow, opener: ObjectAt | Own, wrapped: Uint8Array): Promise<string> {
  const { token, session } = at;
  const tried: Own = { class: kind.shape === 'pair' ? 'private-key' : 'secret-key', id: freshId(), lives: 'session' };
  const was = file.key.attributes;
  const wanted: OrderedAttributes = kind.shape === 'secret'
    ? { private: true, sensitive: true, extractable: false, sign: true, encrypt: true, decrypt: true }
    : { private: true, sensitive: true, extractable: false, sign: was.sign ?? false, decrypt: was.decrypt ?? false, derive: was.derive ?? false, ...(was.decapsulate === true && { decapsulate: true }) };
  await session.unwrapKey(how, opener, wrapped, { kind, id: tried.id!, label: 'conclave-rehearsal', own: templateOf(wanted), lives: 'session' });
  return andThen(async () => {
    const trials = await trialsOf({ token, session, kind, own: tried, key, uses: wanted });
    for (const { run } of trials) await run();
    if (kind.shape === 'pair') {
      return trials.length === 0 ? 'Unwrapped to a session object first. It has no use by which it could be compared.' : 'Unwrapped to a session object first, which worked with the public key of the file.';
    }
    const checks = [await checkOf(session, tried, { class: 'secret-key', id: tried.id!, label: '', keyType: keyTypeOf(kind) }), await tokenCheck(session, tried)];
    const same = checks.find(({ method }) => method === file.key.check.method);
    if (same !== undefined && same.value !== file.key.check.value) {
      throw new Refused(refuse('KEY-CHECK-VALUE', `a key with ${file.key.check.method} ${file.key.check.value}`, same.value, 'Do not use this key. Have it wrapped again from its source.'));
    }
    return same === undefined || same.method === 'none'
      ? 'Unwrapped to a session object first. The token gives no check value of it, so only the wrapping itself vouches for it.'
      : `Unwrapped to a session object first: ${same.method} ${same.value}, as in the file.`;
  }, () => session.destroy(tried));
}

async function tokenCheck(session: Session, which: ObjectName): Promise<KeyCheck> {
  const value = (await session.read(which, ['CKA_CHECK_VALUE'])).get('CKA_CHECK_VALUE');
  return value?.length === 3 ? { method: 'CKA_CHECK_VALUE', value: toHex(value) } : NO_CHECK;
}

function keyTypeOf({ mac }: SecretKind): string {
  return mac === 'CKM_AES_CMAC' ? 'CKK_AES' : 'CKK_GENERIC_SECRET';
}

// --- hybrid: both halves of the recipient's key on this token ---------------------------------------------------------------

/** Opens the encapsulation on the token. `under`: the ML-KEM key. Secret; the caller wipes it. */
async function kekOf({ session }: At, file: WrappedKeyFile, reference: ObjectReference, under: ObjectAt): Promise<Uint8Array> {
  const wrong = (expected: string, found: string) => new Refused(refuse('WRAPPED-UNDER', expected, found, 'Choose the key that the file was wrapped to.'));
  if (file.encapsulation === null) throw wrong('an encapsulation', 'none in the file');
  const mine = await readPublicKey(session, under, reference);
  if (mine?.kind !== 'kem' || mine.row.family !== 'ml-kem') throw wrong('the ML-KEM key of the recipient', mine?.label ?? 'no public key');
  const ciphertext = fromBase64url(file.encapsulation.ciphertext);
  if (spkiCheck(mine).value === file.under.check.value) {
    const shared = await session.decapsulate(under, mine.row, ciphertext);
    return lend(shared.bytes, (secret) => takeBytes(tokenKeyKek(secret, file.key)));
  }
  const { row, traditional, id } = await classicalHalf(session, file, mine, wrong);
  const at = ML_KEMS[mlKemOf(row)].ciphertextBytes;
  const [first, rest] = [ciphertext.slice(0, at), ciphertext.slice(at)];
  const own = { class: 'private-key', id } as const;
  const half = halfOf(row);
  const one = await session.decapsulate(under, ML_KEMS[mlKemOf(row)], first);
  return lend(one.bytes, async (mlKem) => {
    const second = half.kind === 'rsa-oaep'
      ? takeBytes(await session.decrypt(own, { kind: 'rsa-oaep', hash: 'SHA-256' }, rest))
      : await session.agree(own, rest, half.kind === 'xdh' ? MONTGOMERY_FACTS[half.curve].keyBytes : CURVE_FACTS[half.curve].fieldBytes).then((secret) => {
        const copy = takeBytes(Uint8Array.from(secret.bytes));
        secret.wipe();
        return copy;
      });
    return lend(second, (other) => lend(combineSecrets(row, mlKem, other, rest, traditional), (secret) => takeBytes(tokenKeyKek(secret, file.key))));
  });
}

type CompositeRow = Parameters<typeof halfOf>[0];

/** The key on this token that makes, with this ML-KEM key, the composite that the file was wrapped to. */
async function classicalHalf(
  session: Session, file: WrappedKeyFile, mine: SubjectKey, wrong: (expected: string, found: string) => Refused,
): Promise<{ readonly row: CompositeRow; readonly traditional: Uint8Array; readonly id: string }> {
  const { COMPOSITE_KEMS, X_WING } = await import('../../ceremonies/keys/algorithms.ts');
  const row = [...COMPOSITE_KEMS, X_WING].find(({ label }) => label === file.encapsulation?.algorithm);
  if (row === undefined) throw wrong(`the key of ${file.under.label}, ${file.under.check.value.slice(0, 16)}...`, `${mine.label} ${spkiCheck(mine).value.slice(0, 16)}...`);
  await session.list(0, 0);
  for (const position of await session.search({ CKA_CLASS: cryptoki.CKO.CKO_PUBLIC_KEY })) {
    const object = await listedAs(session, position);
    const other = await publicKeyOrNull(session, { position }, object);
    if (other === null || !['rsa', 'ecdsa', 'xdh'].includes(other.kind)) continue;
    const whole = concat(mine.raw, other.raw);
    if (toHex(sha256(spkiOfComposite(row, whole))) === file.under.check.value) return { row, traditional: other.raw, id: object.id };
  }
  throw wrong(`both halves of the ${row.label} key on this token`, `${mine.label}, and no key that makes it whole`);
}

/** Written only: a wrong pair of halves is no key, and is not read as one. */
function spkiOfComposite(row: CompositeRow, raw: Uint8Array): Uint8Array {
  try {
    return subjectKeyOf(row.oid, null, raw).spki;
  } catch (thrown) {
    if (thrown instanceof Refused) return new Uint8Array();
    throw thrown;
  }
}

// --- requests and certificates ---------------------------------------------------------------------------------------------

interface Signer { readonly algorithm: TokenAlgorithm; readonly key: SubjectKey; readonly sign: (tbs: Uint8Array) => Promise<Uint8Array> }

async function signerOf({ session }: At, reference: ObjectReference): Promise<Signer> {
  const which = await locate(session, reference);
  const { kind, key } = await kindOf(session, which, reference);
  if (kind.shape !== 'pair' || kind.algorithm.family === 'ml-kem' || kind.algorithm.family === 'xdh' || key === null) {
    throw new Refused(refuse('REQUEST-KEM-KEY', 'a key that signs', kind.label, 'A key that encapsulates or agrees cannot sign for itself: certify it another way (RFC 9883).'));
  }
  const { algorithm } = kind;
  return { algorithm, key, sign: (tbs) => session.sign(which, algorithm, tbs) };
}

async function signRequest(at: At, { key: reference, subject }: ChangeOrder<'sign-request'>): Promise<ChangeResult<'sign-request'>> {
  const { algorithm, key, sign } = await signerOf(at, reference);
  const { makeRequest } = await import('../../ceremonies/keys/request.ts');
  return { request: toBase64url((await makeRequest(subjectOf(subject), algorithm.name, key.spki, sign)).der) };
}

async function selfSign(at: At, { key: reference, subject, serialNumber, notBefore, notAfter }: ChangeOrder<'self-sign'>): Promise<ChangeResult<'self-sign'>> {
  const { algorithm, key, sign } = await signerOf(at, reference);
  const { makeSelfSigned } = await import('../../ceremonies/keys/self-signed.ts');
  const der = await makeSelfSigned({
    subject: subjectOf(subject), algorithm: algorithm.name, spki: key.spki, serialNumber: fromHex(serialNumber), notBefore: new Date(notBefore), notAfter: new Date(notAfter),
  }, sign);
  return { certificate: toBase64url(der) };
}

const FIELDS = { CN: 'commonName', O: 'organization', OU: 'organizationalUnit', C: 'country' } as const;

/** A name as people write it (RFC 4514 with the four attributes that are issued here): CN=..., O=..., OU=..., C=.. */
function subjectOf(text: string): SubjectName {
  const wrong = (found: string) => new Refused(refuse('CERTIFICATE-SUBJECT', 'CN=..., and if wanted O=..., OU=..., C=.., each once, commas inside as \\,', found, 'Correct the subject.'));
  const fault = plainText('subject', text, 400);
  if (fault !== null) throw new Refused(fault);
  const subject: Partial<Record<(typeof FIELDS)[keyof typeof FIELDS], string>> = {};
  for (const part of text.split(/(?<!\\),/)) {
    const [, name, value] = /^\s*([A-Za-z]+)\s*=\s*(.*?)\s*$/.exec(part) ?? [];
    const field = name === undefined ? undefined : new Map<string, (typeof FIELDS)[keyof typeof FIELDS]>(Object.entries(FIELDS)).get(name.toUpperCase());
    if (field === undefined || value === undefined || subject[field] !== undefined) throw wrong(part.trim().slice(0, 60));
    subject[field] = value.replace(/\\(.)/g, '$1');
  }
  const { commonName, ...rest } = subject;
  if (commonName === undefined) throw wrong('no common name');
  return { commonName, ...rest };
}

// --- self-test ---------------------------------------------------------------------------------------------------------------

/** Each use of a key that is there, tried. What fails is told, not thrown; a token that is gone ends the test. */
export async function selfTest(token: Token, session: Session, reference: ObjectReference): Promise<{ name: string; passed: boolean; detail: string }[]> {
  const which = await locate(session, reference);
  const { kind, key } = await kindOf(session, which, reference, true);
  const attributes = await session.attributes({ position: which.position, class: reference.class as KeyClass });
  const { decapsulate } = await moreOf(session, which);
  const trials = await trialsOf({ token, session, kind, own: which, key, uses: { ...attributes, decapsulate } });
  const tried = [];
  for (const { name, run } of trials) {
    try {
      tried.push({ name, passed: true, detail: (await run()).slice(0, 300) });
    } catch (thrown) {
      if (tokenIsGone(thrown)) throw thrown;
      const { code, message } = deviceError(thrown);
      tried.push({ name, passed: false, detail: `${code}: ${message}`.slice(0, 300) });
    }
  }
  return tried;
}
