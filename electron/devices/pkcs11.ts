/**
 * PKCS#11 modules, spoken to through pkcs11js. The ONLY file that imports it.
 *
 * What pkcs11js does not forgive, and how it is kept away from it:
 *  - An object, Date or BigInt as attribute value, or a malformed mechanism, makes it free memory that it never wrote: the
 *    process dies. `encodeTemplate` is the only way in for attributes; mechanisms are built from our own tables alone.
 *  - Asynchronous calls keep bare pointers into our buffers: those stay referenced in #running until the call is over.
 *  - C_Finalize, or unloading the module, under a running call is a segmentation fault: the PKCS11 object is never let go
 *    of, and the module is finalized at the end of the process only, when nothing runs.
 *  - Its list of error names ends in 2011: errors are read by number. What PKCS#11 has added since is in cryptoki.ts.
 *
 * What modules have been seen to do, and what is therefore decided here before they are asked: wrap a key that must not leave,
 * overwrite a key by another of its CKA_ID, answer for closed sessions, try mechanisms that they do not list.
 *
 * Handles stay in this file; see tokens.ts for how objects are named. Never retries a PIN, never initialises a token that
 * already is, never prints.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import pkcs11js from 'pkcs11js';
import type * as types from 'pkcs11js';
import { fromHex, toHex, utf8 } from '../../ceremonies/bytes.ts';
import type { KeyAttributes, ModuleFacts, ObjectFact, TokenFacts } from '../../ceremonies/evidence.ts';
import { AES_256, isStateful, type MlKemAlgorithm } from '../../ceremonies/keys/algorithms.ts';
import { ML_DSA } from '../../ceremonies/keys/composite.ts';
import { readDer, derParts, readUnsigned, TAG, writeDer } from '../../ceremonies/keys/der.ts';
import { ML_KEM } from '../../ceremonies/keys/kem.ts';
import { publicKeyFromParts } from '../../ceremonies/keys/public-key.ts';
import { readSubjectKey, subjectKeyOf } from '../../ceremonies/keys/subject-key.ts';
import { readEcPrivateKey, readRsaPublicKey } from '../../ceremonies/keys/traditional.ts';
import { Cryptoki } from './cryptoki.ts';
import { Fault, isTokenError, TokenError } from './errors.ts';
import type { KeyKindRow, PairAlgorithm, PairKind } from './key-kinds.ts';
import { isRehearsalToken, numbersOf, quirksOf, type Numbers, type Quirks } from './quirks.ts';
import { pinText, Secret, secretBytes, takeBytes } from './secret.ts';
import { Trace } from './trace.ts';
import {
  APPLICATION, flagNames, keyTypeName, mayWrite, mechanismName, mechanismNumber, notMoved, oneMatch, plain, rehearsalLabel,
  type AttributeName, type Authenticate, type Cipher, type KeyClass, type KeyPairRequest, type KeyRequest, type MacName, type Mechanism, type OaepHash,
  type ObjectAt, type ObjectName, type RawDetails, type Session, type SignHow, type SlotFacts, type Template, type Token, type TokenAlgorithm,
  type TokenModule, type TokenPublicKey, type User, type WrapHow,
} from './tokens.ts';
import cryptoki from './cryptoki.json' with { type: 'json' };

type Handle = types.Handle;
type Native = types.PKCS11;

const CKF_OS_LOCKING_OK = 0x2; // C_Initialize: several threads may call, the asynchronous calls below do
const CKF_TOKEN_PRESENT = 0x1;
const CKF_REMOVABLE_DEVICE = 0x2;
const CKF_TOKEN_INITIALIZED = 0x400;
const CKF_RW_SESSION = 0x2;
const CKF_SERIAL_SESSION = 0x4; // PKCS#11 3.2 section 5.6.1: must always be set
const USER_STATES: readonly number[] = [1, 3]; // CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS
const CKU_SO = 0;
const CKU_USER = 1;
const CKU_CONTEXT_SPECIFIC = 2;
/** Handles fetched per C_FindObjects: one call for most tokens. */
const BATCH = 4096;
/** A wrapped ML-DSA-87 key with seed and expanded key has 4,976 bytes; sealed bytes may be more. */
const LARGEST_WRAPPED = 16_384;
/** Eight levels of the longest one-time signatures, RFC 8554 sections 4.5 and 6.2, have less. */
const LARGEST_HSS_SIGNATURE = 131_072;
/** RFC 5649 section 3: pieces of eight bytes, at least two of them. */
const KWP_BLOCK = 8;
/** FIPS 203 section 8: the shared secret of every parameter set. */
const KEM_SECRET_BYTES = 32;
/** `mgf`: CKG_MGF1_* of pkcs11t.h. Salt as long as the hash. */
const PSS = {
  'SHA-256': { sign: 'CKM_SHA256_RSA_PKCS_PSS', hash: 'CKM_SHA256', mgf: 2, saltBytes: 32 },
  'SHA-384': { sign: 'CKM_SHA384_RSA_PKCS_PSS', hash: 'CKM_SHA384', mgf: 3, saltBytes: 48 },
  'SHA-512': { sign: 'CKM_SHA512_RSA_PKCS_PSS', hash: 'CKM_SHA512', mgf: 4, saltBytes: 64 },
} as const;
/**
 * HSS as it is made here: two levels of LMS_SHA256_M32_H10 (1,048,576 signatures) with LMOTS_SHA256_N32_W8, RFC 8554
 * sections 4.1 and 5.1, approved by SP 800-208 section 4.
 */
const HSS = { levels: 2, lms: 6, lmots: 4 } as const;

// --- templates -------------------------------------------------------------------------------------------------------

/**
 * A template in the only shape that may reach pkcs11js: own, known names; booleans for booleans, whole 32-bit numbers for
 * CK_ULONGs, Buffers for everything else. Throws TypeError on anything else, before native code sees it.
 */
export function encodeTemplate(template: Template): { type: number; value: boolean | number | Buffer }[] {
  return Object.entries(template).map(([name, value]) => {
    if (!Object.hasOwn(cryptoki.CKA, name)) throw new TypeError('not an attribute of cryptoki.json');
    const [type, kind] = cryptoki.CKA[name as AttributeName] as [number, string];
    return { type, value: encodeValue(kind, value) };
  });
}

function encodeValue(kind: string, value: unknown): boolean | number | Buffer {
  switch (kind) {
    case 'boolean':
      if (typeof value === 'boolean') return value;
      break;
    case 'number':
      // pkcs11js reads numbers through uint32: anything larger would silently become another number.
      if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffffffff && !Object.is(value, -0)) return value;
      break;
    case 'text':
      if (typeof value === 'string' && value.isWellFormed()) return bufferOf(utf8(value));
      break;
    case 'bytes':
      if (value instanceof Uint8Array) return bufferOf(value);
      break;
    case 'date': // CK_DATE: eight digits, YYYYMMDD
      if (typeof value === 'string' && /^\d{8}$/.test(value)) return bufferOf(utf8(value));
      break;
  }
  throw new TypeError(`an attribute of kind ${kind} got a value of another kind`);
}

// --- errors ----------------------------------------------------------------------------------------------------------

/** pkcs11js throws three kinds of errors; all that come from the token say "CKR_NAME:number" or carry both. */
function translated(thrown: unknown, call: string): unknown {
  const number = numberOf(thrown);
  return number === 0 ? thrown : new TokenError(number, call);
}

/** 0 where it does not come from the token. */
function numberOf(thrown: unknown): number {
  if (!(thrown instanceof Error)) return 0;
  const text = /CKR_\w+:(\d+)/.exec(thrown.message)?.[1];
  const code = 'code' in thrown && typeof thrown.code === 'number' ? thrown.code : 0;
  return text === undefined ? code : Number(text);
}

function calling<T>(call: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw translated(thrown, call);
  }
}

// --- the module ------------------------------------------------------------------------------------------------------

/** What the machine's administrator has set for a module. `trace`: the file that its calls are written to. */
export interface ModuleSettings {
  readonly readOnly?: boolean | undefined;
  readonly trace?: string | undefined;
}

/** Loads and initialises a module. Its environment must stand in process.env before. `quirks`: instead of those it would get. */
export function openPkcs11Module(name: string, path: string, parameters: string | undefined, quirks?: Quirks, settings: ModuleSettings = {}): TokenModule {
  let sha256: string;
  const loaded = new pkcs11js.PKCS11();
  const trace = settings.trace === undefined ? null : new Trace(settings.trace);
  const native = trace === null ? loaded : trace.over(loaded, numberOf);
  try {
    sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
    loaded.load(path);
  } catch {
    throw new Fault('MODULE_NOT_LOADED', plain(path, 300));
  }
  initialize(native, parameters);
  const info = calling('C_GetInfo', () => native.C_GetInfo());
  const manufacturer = trimmed(info.manufacturerID);
  const version = `${info.libraryVersion.major}.${info.libraryVersion.minor}`;
  return new Pkcs11Module(native, new Cryptoki(path, trace), quirks ?? quirksOf(manufacturer), settings.readOnly ?? false, {
    name, kind: 'pkcs11', path: plain(path, 512), sha256, version, library: plain(`${manufacturer}: ${trimmed(info.libraryDescription)}`, 128),
  });
}

function initialize(native: Native, parameters: string | undefined): void {
  // pkcs11js drops the last character of libraryParameters; the spare blank is for it.
  const options = parameters === undefined ? {} : { libraryParameters: `${parameters} ` };
  try {
    calling('C_Initialize', () => native.C_Initialize({ ...options, flags: CKF_OS_LOCKING_OK }));
  } catch (thrown) {
    // Requests are handled one at a time, so a module that cannot lock is still never called twice at once.
    if (!isTokenError(thrown, 'CKR_CANT_LOCK')) throw thrown;
    calling('C_Initialize', () => native.C_Initialize({ ...options, flags: 0 }));
  }
}

/** Keeps every module that was ever loaded from being collected, which would unload it. */
const LOADED = new Set<Native>();

class Pkcs11Module implements TokenModule {
  readonly facts: ModuleFacts;
  readonly native: Native;
  /** The same module, for calls that `native` does not have. */
  readonly cryptoki: Cryptoki;
  readonly quirks: Quirks;
  readonly readOnly: boolean;
  /** Buffers of asynchronous calls under way, by call. */
  readonly #running = new Set<readonly unknown[]>();

  constructor(native: Native, calls: Cryptoki, quirks: Quirks, readOnly: boolean, facts: ModuleFacts) {
    LOADED.add(native);
    this.native = native;
    this.cryptoki = calls;
    this.quirks = quirks;
    this.readOnly = readOnly;
    this.facts = facts;
  }

  /** An asynchronous call; `kept` are the buffers that native code points into. */
  async run<T>(call: string, kept: readonly unknown[], work: () => Promise<T>): Promise<T> {
    const entry = [...kept];
    this.#running.add(entry);
    try {
      return await work();
    } catch (thrown) {
      throw translated(thrown, call);
    } finally {
      this.#running.delete(entry);
    }
  }

  async slots(): Promise<SlotFacts[]> {
    return this.#slots(false).map((slot) => this.#slotFacts(slot));
  }

  async movingSlots(): Promise<SlotFacts[] | null> {
    const slots = this.#slots(false);
    const moves = (slot: Handle) => (calling('C_GetSlotInfo', () => this.native.C_GetSlotInfo(slot)).flags & CKF_REMOVABLE_DEVICE) !== 0;
    // Without a slot at all a reader may still be plugged in.
    return slots.length === 0 || slots.some(moves) ? slots.map((slot) => this.#slotFacts(slot)) : null;
  }

  #slotFacts(slot: Handle): SlotFacts {
    const info = calling('C_GetSlotInfo', () => this.native.C_GetSlotInfo(slot));
    return {
      slot: ulong(slot),
      description: plain(trimmed(info.slotDescription), 64),
      token: (info.flags & CKF_TOKEN_PRESENT) === 0 ? null : this.#factsIfReadable(slot),
    };
  }

  async token(serial: string): Promise<Token> {
    return new Pkcs11Token(this, serial, this.slotOf(serial));
  }

  /** Looked up anew for every use: slots move (SoftHSM renumbers them), serial numbers do not. */
  slotOf(serial: string): Handle {
    const found = this.#slots(true).filter((slot) => this.#factsIfReadable(slot)?.serial === serial);
    if (found.length === 0) throw new Fault('TOKEN_MISSING');
    if (found.length > 1) throw new Fault('TOKEN_MISSING', `${found.length} tokens claim this serial number.`);
    return found[0]!;
  }

  factsOf(slot: Handle): TokenFacts {
    const info = calling('C_GetTokenInfo', () => this.native.C_GetTokenInfo(slot));
    const label = plain(trimmed(info.label), 64);
    return {
      serial: this.#identityOf(slot, label, plain(trimmed(info.serialNumber), 64)), label,
      model: plain(trimmed(info.model), 64), manufacturer: plain(trimmed(info.manufacturerID), 64),
      firmware: versionText(info.firmwareVersion), hardware: versionText(info.hardwareVersion),
      flags: flagNames('CKF_TOKEN', info.flags),
    };
  }

  /** What a token goes by. A blank one may have no serial number yet: it goes by the slot that it is in. */
  #identityOf(slot: Handle, label: string, serial: string): string {
    if (this.quirks.identity === 'label') return plain(`label:${label}`, 64);
    return serial === '' ? `slot:${ulong(slot)}` : serial;
  }

  #factsIfReadable(slot: Handle): TokenFacts | null {
    try {
      return this.factsOf(slot);
    } catch (thrown) {
      // Taken out since the list was made, or not one of this module's: an empty slot to us.
      if (isTokenError(thrown)) return null;
      throw thrown;
    }
  }

  /** Numbers of all mechanisms of the token, as it gives them. */
  mechanismsOf(slot: Handle): readonly number[] {
    return calling('C_GetMechanismList', () => this.native.C_GetMechanismList(slot));
  }

  /** The numbers that the token in this slot goes by. */
  numbersOf(slot: Handle): Numbers {
    return numbersOf(this.quirks, Object.keys(this.quirks.numbers).length === 0 ? [] : this.mechanismsOf(slot));
  }

  #slots(tokenPresent: boolean): Handle[] {
    return calling('C_GetSlotList', () => this.native.C_GetSlotList(tokenPresent));
  }

  async provision(label: string, pin: Uint8Array): Promise<TokenFacts> {
    mayWrite(this, 'C_InitToken');
    if (!this.quirks.provisions) throw new Fault('MODULE_CANNOT_PROVISION');
    const marked = rehearsalLabel(label);
    const free = this.#slots(true).find((slot) => !this.initialised(slot));
    if (!free) throw new Fault('MODULE_CANNOT_PROVISION', 'There is no free slot.');
    // Both PINs are the published one: the token is for rehearsals.
    const slot = await this.initialise(free, marked, pin);
    const session = calling('C_OpenSession', () => this.native.C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION));
    try {
      calling('C_Login', () => this.native.C_Login(session, CKU_SO, pinText(pin)));
      calling('C_InitPIN', () => this.native.C_InitPIN(session, pinText(pin)));
      calling('C_Logout', () => this.native.C_Logout(session));
    } finally {
      calling('C_CloseSession', () => this.native.C_CloseSession(session));
    }
    return this.factsOf(slot);
  }

  initialised(slot: Handle): boolean {
    return (calling('C_GetTokenInfo', () => this.native.C_GetTokenInfo(slot)).flags & CKF_TOKEN_INITIALIZED) !== 0;
  }

  /** C_InitToken, with the SO's PIN or, for null, at the token's own pad. The slot in which the token is then. */
  async initialise(slot: Handle, label: string, pin: Uint8Array | null): Promise<Handle> {
    const identity = this.factsOf(slot).serial;
    const others = new Set(this.#slots(true).filter((one) => this.initialised(one)).map((one) => this.factsOf(one).serial));
    others.delete(identity);
    // 32 bytes, padded by bytes (PKCS#11 3.2 section 5.5.7).
    const padded = label + ' '.repeat(32 - Buffer.byteLength(label));
    if (pin === null) await this.run('C_InitToken', [], () => this.cryptoki.padInitToken(slot, utf8(padded)));
    else calling('C_InitToken', () => this.native.C_InitToken(slot, pinText(pin), padded));
    // Found again by what is new about it: some modules move a token to another slot, or give it a serial number only then.
    const found = this.#slots(true).filter((one) => {
      const facts = this.#factsIfReadable(one);
      return facts !== null && this.initialised(one) && facts.label === plain(label, 64) && !others.has(facts.serial);
    });
    const own = found.find((one) => this.factsOf(one).serial === identity) ?? (found.length === 1 ? found[0] : undefined)
      // It is still here, under another label than was asked for: that is for whoever ordered it to judge.
      ?? this.#slots(true).find((one) => this.#factsIfReadable(one)?.serial === identity && this.initialised(one));
    if (own === undefined) throw new TokenError('CKR_GENERAL_ERROR', 'C_InitToken', 'The module reported success, and the token is not to be found. Treat it as not initialised, and have it examined.');
    return own;
  }

  async close(): Promise<void> {
    if (this.#running.size > 0) return; // the end of the process will do
    try {
      this.native.C_Finalize();
    } catch {
      // At the end of the process there is nobody left to tell.
    }
  }
}

class Pkcs11Token implements Token {
  readonly #module: Pkcs11Module;
  readonly #serial: string;
  #slot: Handle;

  constructor(module: Pkcs11Module, serial: string, slot: Handle) {
    this.#module = module;
    this.#serial = serial;
    this.#slot = slot;
  }

  async facts(): Promise<TokenFacts> {
    return this.#module.factsOf(this.#find());
  }

  async pinLengths(): Promise<{ min: number; max: number }> {
    const info = calling('C_GetTokenInfo', () => this.#module.native.C_GetTokenInfo(this.#find()));
    return { min: info.minPinLen, max: Math.min(info.maxPinLen, 255) };
  }

  async mechanisms(): Promise<Mechanism[]> {
    const { native, quirks } = this.#module;
    const slot = this.#find();
    const numbers = this.#module.numbersOf(slot);
    return this.#module.mechanismsOf(slot).map((own) => {
      const info = calling('C_GetMechanismInfo', () => native.C_GetMechanismInfo(slot, own));
      const number = numbers.mechanism.from(own);
      const name = mechanismName(number);
      return { name, number, min: info.minKeySize, max: info.maxKeySize, flags: quirks.mechanismFlags[name] ?? flagNames('CKF_MECHANISM', info.flags) };
    });
  }

  async details(): Promise<RawDetails> {
    const { native, cryptoki: calls } = this.#module;
    const slot = this.#find();
    const library = calling('C_GetInfo', () => native.C_GetInfo());
    const place = calling('C_GetSlotInfo', () => native.C_GetSlotInfo(slot));
    const info = calling('C_GetTokenInfo', () => native.C_GetTokenInfo(slot));
    return {
      library: {
        manufacturer: plain(trimmed(library.manufacturerID), 64), description: plain(trimmed(library.libraryDescription), 64),
        version: versionText(library.libraryVersion), cryptoki: versionText(library.cryptokiVersion),
        interfaces: calls.interfaces().map(({ name, version, forkSafe }) => ({ name: plain(name, 64), version, forkSafe })),
      },
      slot: {
        number: ulong(slot), description: plain(trimmed(place.slotDescription), 64), manufacturer: plain(trimmed(place.manufacturerID), 64),
        hardware: versionText(place.hardwareVersion), firmware: versionText(place.firmwareVersion), flags: place.flags,
      },
      flags: info.flags,
      clock: (info.flags & cryptoki.CKF_TOKEN.CKF_CLOCK_ON_TOKEN) === 0 ? null : clockText(info.utcTime),
      pin: { min: told(info.minPinLen) ?? 0, max: told(info.maxPinLen) ?? 0 },
      limits: {
        sessions: { now: told(info.sessionCount), most: limitOf(info.maxSessionCount) },
        writeSessions: { now: told(info.rwSessionCount), most: limitOf(info.maxRwSessionCount) },
        publicMemory: { now: told(info.freePublicMemory), most: told(info.totalPublicMemory) },
        privateMemory: { now: told(info.freePrivateMemory), most: told(info.totalPrivateMemory) },
      },
    };
  }

  async isRehearsal(label?: string): Promise<boolean> {
    return isRehearsalToken(this.#module.quirks, label ?? (await this.facts()).label);
  }

  get oaepHash(): OaepHash {
    return this.#module.quirks.oaepHash;
  }

  async initialise(label: string, pin: Uint8Array | null, seen: TokenFacts): Promise<Token> {
    mayWrite(this.#module, 'C_InitToken');
    const slot = this.#find();
    const { sessionCount } = calling('C_GetTokenInfo', () => this.#module.native.C_GetTokenInfo(slot));
    notMoved(seen, this.#module.factsOf(slot), told(sessionCount) ?? 0);
    const again = await this.#module.initialise(slot, label, pin);
    return new Pkcs11Token(this.#module, this.#module.factsOf(again).serial, again);
  }

  notWrappable(algorithm: TokenAlgorithm): string | null {
    return this.#module.quirks.notWrappable[keyTypeName(algorithm.pkcs11.keyType)] ?? null;
  }

  async open(): Promise<Session> {
    const slot = this.#find();
    const flags = CKF_SERIAL_SESSION | (this.#module.readOnly ? 0 : CKF_RW_SESSION);
    const handle = calling('C_OpenSession', () => this.#module.native.C_OpenSession(slot, flags));
    return new Pkcs11Session(this.#module, slot, handle);
  }

  /** The slot as last known, unless another token is in it now. */
  #find(): Handle {
    try {
      if (this.#module.factsOf(this.#slot).serial === this.#serial) return this.#slot;
    } catch (thrown) {
      if (!isTokenError(thrown)) throw thrown;
    }
    this.#slot = this.#module.slotOf(this.#serial);
    return this.#slot;
  }
}

// --- sessions --------------------------------------------------------------------------------------------------------

const CLASSES = {
  'data': cryptoki.CKO.CKO_DATA,
  'certificate': cryptoki.CKO.CKO_CERTIFICATE,
  'public-key': cryptoki.CKO.CKO_PUBLIC_KEY,
  'private-key': cryptoki.CKO.CKO_PRIVATE_KEY,
  'secret-key': cryptoki.CKO.CKO_SECRET_KEY,
} as const;
/** A secret of our own that passes through a session object. */
const CARRIER = {
  CKA_CLASS: CLASSES['secret-key'], CKA_KEY_TYPE: cryptoki.CKK.CKK_GENERIC_SECRET, CKA_TOKEN: false, CKA_PRIVATE: true,
} as const satisfies Template;
/** What a key agreement leaves, to be read once. */
const AGREED = { ...CARRIER, CKA_SENSITIVE: false, CKA_EXTRACTABLE: true, CKA_VALUE_LEN: KEM_SECRET_BYTES } as const satisfies Template;
const CLASS_NAMES = new Map<number, keyof typeof CLASSES>(Object.entries(CLASSES).map(([name, number]) => [number, name as keyof typeof CLASSES]));

/** What a listing asks of an object, all in one call, where its class has these attributes. CKA_CLASS comes first. */
const KEY_SHAPE = ['CKA_CLASS', 'CKA_LABEL', 'CKA_KEY_TYPE', 'CKA_ID'] as const;
const CERTIFICATE_SHAPE = ['CKA_CLASS', 'CKA_LABEL', 'CKA_ID'] as const;
const DATA_SHAPE = ['CKA_CLASS', 'CKA_LABEL'] as const;
type Shape = typeof KEY_SHAPE | typeof CERTIFICATE_SHAPE | typeof DATA_SHAPE;

function shapeOf(objectClass: number): Shape {
  switch (CLASS_NAMES.get(objectClass)) {
    case 'public-key': case 'private-key': case 'secret-key': return KEY_SHAPE;
    case 'certificate': return CERTIFICATE_SHAPE;
    case 'data': case undefined: return DATA_SHAPE;
  }
}

/** Which attributes a read-back asks for, by class: PKCS#11 3.2 tables 33 (public), 35 (private) and 37 (secret keys). */
const ALL_KEYS = [
  'CKA_KEY_TYPE', 'CKA_ID', 'CKA_LABEL', 'CKA_TOKEN', 'CKA_PRIVATE', 'CKA_MODIFIABLE', 'CKA_DERIVE', 'CKA_LOCAL', 'CKA_KEY_GEN_MECHANISM',
] as const satisfies readonly AttributeName[];
const SECRECY = ['CKA_SENSITIVE', 'CKA_EXTRACTABLE', 'CKA_ALWAYS_SENSITIVE', 'CKA_NEVER_EXTRACTABLE'] as const satisfies readonly AttributeName[];
const ASKED: Readonly<Record<KeyClass, readonly AttributeName[]>> = {
  'private-key': [...ALL_KEYS, ...SECRECY, 'CKA_SIGN', 'CKA_DECRYPT', 'CKA_UNWRAP'],
  'public-key': [...ALL_KEYS, 'CKA_VERIFY', 'CKA_ENCRYPT', 'CKA_WRAP'],
  'secret-key': [...ALL_KEYS, ...SECRECY, 'CKA_SIGN', 'CKA_VERIFY', 'CKA_ENCRYPT', 'CKA_DECRYPT', 'CKA_WRAP', 'CKA_UNWRAP'],
};

class Pkcs11Session implements Session {
  readonly #module: Pkcs11Module;
  readonly #slot: Handle;
  readonly #handle: Handle;
  /** Handles of the listing that is being paged through; dropped whenever something could have changed. */
  #listing: Handle[] | null = null;
  /** The shape that fitted the last object listed: neighbours are alike, and a wrong guess costs a failed call. */
  #guess: Shape = KEY_SHAPE;
  #authenticate: Authenticate | null = null;
  #closed = false;

  constructor(module: Pkcs11Module, slot: Handle, handle: Handle) {
    this.#module = module;
    this.#slot = slot;
    this.#handle = handle;
  }

  /** Some modules answer for sessions that are closed, and numbers of sessions are used again: nothing is called after `close`. */
  get #native(): Native {
    if (this.#closed) throw new TokenError('CKR_SESSION_HANDLE_INVALID', 'C_GetSessionInfo');
    return this.#module.native;
  }

  async login(pin: Uint8Array | null, who: User = 'user'): Promise<void> {
    this.#listing = null;
    // Section 5.6.8: the SO's session is always one that writes.
    if (who === 'so') mayWrite(this.#module, 'C_Login');
    await this.#loginAs(who === 'so' ? CKU_SO : CKU_USER, pin);
  }

  async #loginAs(user: number, pin: Uint8Array | null): Promise<void> {
    if (pin === null) await this.#module.run('C_Login', [], () => this.#module.cryptoki.padLogin(this.#handle, user));
    else calling('C_Login', () => this.#native.C_Login(this.#handle, user, pinText(pin)));
  }

  authenticateWith(ask: Authenticate): void {
    this.#authenticate = ask;
  }

  /** Between the beginning of a private key's use and the use itself (section 5.6.8), where the key wants its PIN each time. */
  async #authenticated(key: Handle): Promise<void> {
    if (this.#authenticate === null || this.#read(key, ['CKA_ALWAYS_AUTHENTICATE']).get('CKA_ALWAYS_AUTHENTICATE')?.[0] !== 1) return;
    await this.#authenticate((pin) => this.#loginAs(CKU_CONTEXT_SPECIFIC, pin));
  }

  async setUserPin(pin: Uint8Array | null): Promise<void> {
    mayWrite(this.#module, 'C_InitPIN');
    if (pin === null) await this.#module.run('C_InitPIN', [], () => this.#module.cryptoki.padInitPin(this.#handle));
    else calling('C_InitPIN', () => this.#native.C_InitPIN(this.#handle, pinText(pin)));
  }

  async changePin(old: Uint8Array | null, pin: Uint8Array | null): Promise<void> {
    mayWrite(this.#module, 'C_SetPIN');
    if (old === null || pin === null) await this.#module.run('C_SetPIN', [], () => this.#module.cryptoki.padSetPin(this.#handle));
    else calling('C_SetPIN', () => this.#native.C_SetPIN(this.#handle, pinText(old), pinText(pin)));
  }

  async logout(): Promise<void> {
    this.#listing = null;
    calling('C_Logout', () => this.#native.C_Logout(this.#handle));
  }

  async loggedIn(): Promise<boolean> {
    try {
      return USER_STATES.includes(calling('C_GetSessionInfo', () => this.#native.C_GetSessionInfo(this.#handle)).state);
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    this.#listing = null;
    const native = this.#native;
    this.#closed = true;
    calling('C_CloseSession', () => native.C_CloseSession(this.#handle));
  }

  async random(length: number): Promise<Uint8Array> {
    const bytes = Buffer.from(new ArrayBuffer(length));
    // In pieces: some tokens refuse large requests, and none needs them.
    for (let at = 0; at < length; at += 16_384) {
      calling('C_GenerateRandom', () => this.#native.C_GenerateRandom(this.#handle, bytes.subarray(at, Math.min(at + 16_384, length))));
    }
    return new Uint8Array(bytes.buffer);
  }

  async list(offset: number, limit: number, fresh = offset === 0): Promise<{ total: number; objects: ObjectFact[] }> {
    const handles = fresh ? (this.#listing = this.#handles({ CKA_TOKEN: true }, Infinity)) : this.#places();
    return { total: handles.length, objects: handles.slice(offset, offset + limit).map((handle) => this.#fact(handle)) };
  }

  async search(wanted: Template): Promise<number[]> {
    const places = new Map(this.#places().map((handle, position) => [ulong(handle), position]));
    const found = this.#handles({ ...wanted, CKA_TOKEN: true }, Infinity).map((handle) => places.get(ulong(handle)));
    // An object that came after the listing has no place in it yet; the next listing shows it.
    return found.filter((position) => position !== undefined).sort((a, b) => a - b);
  }

  async read(which: ObjectAt | ObjectName, names: readonly AttributeName[]): Promise<ReadonlyMap<AttributeName, Uint8Array>> {
    const values = this.#answered(this.#object(which), names);
    return new Map([...values].map(([name, value]) => [name, Uint8Array.from(value)]));
  }

  /** Attributes without those that the module says are false and does not know. */
  #answered(handle: Handle, names: readonly AttributeName[]): Map<AttributeName, Buffer> {
    const values = this.#read(handle, names);
    for (const name of this.#module.quirks.unanswered) if (values.get(name)?.[0] === 0) values.delete(name);
    return values;
  }

  /** The listing that is being paged through, or a new one. */
  #places(): Handle[] {
    return (this.#listing ??= this.#handles({ CKA_TOKEN: true }, Infinity));
  }

  #object(which: ObjectAt | ObjectName): Handle {
    if (!('position' in which)) return this.#one(which);
    const handle = this.#places()[which.position];
    if (handle === undefined) throw new Fault('REQUEST_INVALID', 'There is no object at this place of the listing.');
    return handle;
  }

  async find(name: ObjectName): Promise<ObjectFact[]> {
    return this.#handles(searchFor(name), 4096).map((handle) => this.#fact(handle));
  }

  async generateKeyPair({ algorithm, id, label, extractable, lives }: KeyPairRequest): Promise<string> {
    this.#listing = null;
    if (lives !== 'session') mayWrite(this.#module, 'C_GenerateKeyPair');
    // SP 800-208 section 8.1: a copy of a stateful key would use its one-time keys twice.
    if (isStateful(algorithm) && extractable) throw new TokenError('CKR_TEMPLATE_INCONSISTENT', 'C_GenerateKeyPair', `Ask for a key that never leaves the token: ${algorithm.label} has a state.`);
    const { notGenerated, sessionKeyPairs } = this.#module.quirks;
    const reason = notGenerated[algorithm.name];
    if (reason !== undefined) throw new TokenError('CKR_MECHANISM_INVALID', 'C_GenerateKeyPair', reason);
    if (lives === 'session' && !sessionKeyPairs) throw new Fault('SESSION_KEYS_STAY');
    this.#idIsFree(['private-key', 'public-key'], id, lives, 'C_GenerateKeyPair');
    const numbers = this.#numbers();
    const common: Template = {
      CKA_TOKEN: lives !== 'session', CKA_ID: fromHex(id), CKA_LABEL: label, CKA_KEY_TYPE: numbers.keyType.to(algorithm.pkcs11.keyType),
    };
    const agrees = algorithm.family === 'ml-kem';
    const publicTemplate = encodeTemplate({
      ...common, CKA_CLASS: CLASSES['public-key'], CKA_PRIVATE: false, CKA_VERIFY: !agrees, CKA_ENCRYPT: false, CKA_WRAP: false, CKA_DERIVE: false,
      ...(agrees && { CKA_ENCAPSULATE: true }), ...this.#publicParameters(algorithm),
    });
    // The full table, said aloud: defaults differ between tokens, and what is read back is compared with the script.
    const privateTemplate = encodeTemplate({
      ...common, CKA_CLASS: CLASSES['private-key'], CKA_PRIVATE: true, CKA_SENSITIVE: true,
      CKA_EXTRACTABLE: extractable, CKA_SIGN: !agrees, CKA_DECRYPT: false, CKA_UNWRAP: false, CKA_DERIVE: false, CKA_MODIFIABLE: true,
      ...(agrees && { CKA_DECAPSULATE: true }),
      ...(isStateful(algorithm) && { CKA_COPYABLE: false }),
      ...(algorithm.family === 'hss' && {
        CKA_HSS_LEVELS: HSS.levels, CKA_HSS_LMS_TYPES: ulongs(HSS.levels, HSS.lms), CKA_HSS_LMOTS_TYPES: ulongs(HSS.levels, HSS.lmots),
      }),
    });
    const mechanism = { mechanism: this.#listed(algorithm.pkcs11.generate, 'C_GenerateKeyPair') };
    const pair = await this.#module.run('C_GenerateKeyPair', [publicTemplate, privateTemplate, mechanism], () =>
      this.#native.C_GenerateKeyPairAsync(this.#handle, mechanism, publicTemplate, privateTemplate));
    const halves = [pair.privateKey, pair.publicKey];
    // Looking would otherwise leave keys behind, on every token that nobody knows to do this (quirks: sessionKeyPairs).
    if (lives === 'session' && halves.some((half) => this.#read(half, ['CKA_TOKEN']).get('CKA_TOKEN')?.[0] === 1)) {
      for (const half of halves) calling('C_DestroyObject', () => this.#native.C_DestroyObject(this.#handle, half));
      throw new Fault('SESSION_KEYS_STAY');
    }
    return mechanismName(algorithm.pkcs11.generate);
  }

  /** On a token that holds one key per CKA_ID, another key under the same would destroy the first: it is not asked to try. */
  #idIsFree(classes: readonly KeyClass[], id: string, lives: ObjectName['lives'], call: string): void {
    if (!this.#module.quirks.oneKeyPerId || lives === 'session') return;
    if (classes.every((kind) => this.#handles(searchFor({ class: kind, id }), 1).length === 0)) return;
    throw new TokenError('CKR_ATTRIBUTE_VALUE_INVALID', call, 'There is a key under this CKA_ID already, and this token would overwrite it. Use another one.');
  }

  #publicParameters(algorithm: PairAlgorithm): Template {
    switch (algorithm.family) {
      case 'rsa':
        return { CKA_MODULUS_BITS: algorithm.modulusBits, CKA_PUBLIC_EXPONENT: bigEndian(algorithm.publicExponent) };
      case 'ecdsa':
        return { CKA_EC_PARAMS: fromHex(algorithm.pkcs11.ecParams) };
      case 'eddsa': {
        const { ecParams, ecParamsByName } = algorithm.pkcs11;
        return { CKA_EC_PARAMS: fromHex(this.#module.quirks.edwardsParameters === 'name' ? ecParamsByName : ecParams) };
      }
      case 'xdh': {
        const { ecParams, ecParamsByName } = algorithm.pkcs11;
        return { CKA_EC_PARAMS: fromHex(this.#module.quirks.montgomery.parameters === 'name' ? ecParamsByName : ecParams) };
      }
      case 'ml-dsa': case 'slh-dsa': case 'xmss': case 'ml-kem':
        return { CKA_PARAMETER_SET: algorithm.pkcs11.parameterSet };
      case 'hss':
        return {};
    }
  }

  #numbers(): Numbers {
    return this.#module.numbersOf(this.#slot);
  }

  /** The token's number of a mechanism that it lists. Modules have been seen to try others, with parameters they do not read. */
  #listed(standard: number, call: string): number {
    const own = this.#numbers().mechanism.to(standard);
    if (!this.#module.mechanismsOf(this.#slot).includes(own)) throw new TokenError('CKR_MECHANISM_INVALID', call);
    return own;
  }

  async attributes(name: (ObjectName | ObjectAt) & { readonly class: KeyClass }): Promise<KeyAttributes> {
    const key = this.#object(name);
    const values = this.#answered(key, ASKED[name.class]);
    const numbers = this.#numbers();
    const flag = (attribute: AttributeName): boolean | null => {
      const value = values.get(attribute);
      return value?.length === 1 ? value[0] !== 0 : null;
    };
    const keyType = values.get('CKA_KEY_TYPE');
    const type = keyType === undefined ? null : numbers.keyType.from(ulong(keyType));
    const generator = values.get('CKA_KEY_GEN_MECHANISM');
    return {
      class: name.class,
      keyType: type === null ? '' : keyTypeName(type),
      id: toHex(values.get('CKA_ID') ?? new Uint8Array()).slice(0, 128),
      label: labelOf(values.get('CKA_LABEL')),
      token: flag('CKA_TOKEN'), private: flag('CKA_PRIVATE'), sensitive: flag('CKA_SENSITIVE'), extractable: flag('CKA_EXTRACTABLE'),
      alwaysSensitive: flag('CKA_ALWAYS_SENSITIVE'), neverExtractable: flag('CKA_NEVER_EXTRACTABLE'), local: flag('CKA_LOCAL'),
      modifiable: flag('CKA_MODIFIABLE'), sign: flag('CKA_SIGN'), verify: flag('CKA_VERIFY'), encrypt: flag('CKA_ENCRYPT'),
      decrypt: flag('CKA_DECRYPT'), wrap: flag('CKA_WRAP'), unwrap: flag('CKA_UNWRAP'), derive: flag('CKA_DERIVE'),
      // CK_UNAVAILABLE_INFORMATION (all ones): the key was not generated on the token.
      generatedBy: generator === undefined || generator.every((byte) => byte === 0xff) ? null : mechanismName(numbers.mechanism.from(ulong(generator))),
      keysRemaining: name.class === 'private-key' && type === cryptoki.CKK.CKK_HSS ? this.#keysRemaining(key) : null,
    };
  }

  /** What a stateful key has left, or null where the token does not say. */
  #keysRemaining(key: Handle): number | null {
    const value = this.#read(key, ['CKA_HSS_KEYS_REMAINING']).get('CKA_HSS_KEYS_REMAINING');
    // All ones: CK_UNAVAILABLE_INFORMATION. What is beyond exact numbers is beyond any ceremony, too.
    return value === undefined || value.every((byte) => byte === 0xff) ? null : Math.min(ulong(value), Number.MAX_SAFE_INTEGER);
  }

  async publicKey(name: ObjectName & { readonly class: 'public-key' }, algorithm: TokenAlgorithm): Promise<TokenPublicKey> {
    const key = this.#one(name);
    switch (algorithm.family) {
      case 'rsa':
        return publicKeyFromParts(algorithm.name, { n: this.#value(key, 'CKA_MODULUS'), e: this.#value(key, 'CKA_PUBLIC_EXPONENT') });
      case 'ecdsa': case 'eddsa':
        return publicKeyFromParts(algorithm.name, { raw: this.#value(key, 'CKA_EC_POINT') });
      case 'ml-dsa':
        return publicKeyFromParts(algorithm.name, { raw: this.#value(key, 'CKA_VALUE') });
      case 'slh-dsa': case 'hss': case 'xmss': // RFC 9909 section 4 and RFC 9802 section 4: the raw key, parameters absent
        return { algorithm: algorithm.name, spki: subjectKeyOf(algorithm.oid, null, this.#value(key, 'CKA_VALUE')).spki };
    }
  }

  #value(key: Handle, attribute: AttributeName): Uint8Array {
    const bytes = this.#read(key, [attribute]).get(attribute);
    if (bytes === undefined) throw new TokenError('CKR_ATTRIBUTE_TYPE_INVALID', 'C_GetAttributeValue');
    return Uint8Array.from(bytes);
  }

  async sign(
    which: ObjectAt | (ObjectName & { readonly class: 'private-key' }), algorithm: TokenAlgorithm, message: Uint8Array, how: SignHow = {},
  ): Promise<Uint8Array> {
    const key = this.#object(which);
    const digested = algorithm.pkcs11.signs === 'digest' && 'hash' in algorithm && algorithm.hash !== null ? algorithm.hash : null;
    const data = digested === null ? Buffer.from(message) : createHash(digested.replace('-', '').toLowerCase()).update(message).digest();
    const pointedAt = this.#signInit(key, algorithm, how);
    await this.#authenticated(key);
    // Exactly as much room as the signature takes: NSS refuses to sign with Ed25519 into more. HSS signatures differ in length.
    const room = Buffer.alloc(algorithm.family === 'hss' ? LARGEST_HSS_SIGNATURE : algorithm.signatureBytes);
    const signature = await this.#module.run('C_Sign', [data, room, pointedAt], () => this.#native.C_SignAsync(this.#handle, data, room));
    // CKM_ECDSA gives r||s already (PKCS#11 3.2 section 6.3.1), which is the JOSE form.
    const fits = algorithm.family === 'hss' ? signature.length > 0 : signature.length === algorithm.signatureBytes;
    if (!fits) throw new TokenError('CKR_SIGNATURE_LEN_RANGE', 'C_Sign');
    return Uint8Array.from(signature);
  }

  /** Begins a signature. Returns what the module may still point into until it is over. */
  #signInit(key: Handle, algorithm: TokenAlgorithm, { context, padding }: SignHow): readonly Buffer[] {
    if (padding === 'pss') {
      if (algorithm.family !== 'rsa') throw new TokenError('CKR_MECHANISM_PARAM_INVALID', 'C_SignInit');
      const { sign, hash, mgf, saltBytes } = PSS[algorithm.hash];
      const mechanism = {
        mechanism: this.#listed(mechanismNumber(sign), 'C_SignInit'),
        parameter: { type: pkcs11js.CK_PARAMS_RSA_PSS, hashAlg: mechanismNumber(hash), mgf, saltLen: saltBytes },
      };
      calling('C_SignInit', () => this.#native.C_SignInit(this.#handle, mechanism, key));
      return [];
    }
    const mechanism = this.#listed(algorithm.pkcs11.sign, 'C_SignInit');
    if (context !== undefined && context.length > 0) {
      if (algorithm.family !== 'ml-dsa' && algorithm.family !== 'slh-dsa') throw new TokenError('CKR_MECHANISM_PARAM_INVALID', 'C_SignInit');
      return this.#module.cryptoki.signInit(this.#handle, mechanism, context, key);
    }
    // Without a parameter ML-DSA and SLH-DSA are hedged, and their context is empty (PKCS#11 3.2 section 6.67.5).
    calling('C_SignInit', () => this.#native.C_SignInit(this.#handle, { mechanism }, key));
    return [];
  }

  async makeNonExtractable(name: ObjectName & { readonly class: 'private-key' }): Promise<void> {
    if (name.lives !== 'session') mayWrite(this.#module, 'C_SetAttributeValue');
    const key = this.#one(name);
    // Some modules refuse false -> false as an attempt to write; repeating this after a crash must be harmless.
    if (this.#read(key, ['CKA_EXTRACTABLE']).get('CKA_EXTRACTABLE')?.[0] === 0) return;
    calling('C_SetAttributeValue', () => this.#native.C_SetAttributeValue(this.#handle, key, encodeTemplate({ CKA_EXTRACTABLE: false })));
  }

  async importWrappingKey({ id, label, value }: { id: string; label: string; value: Uint8Array }): Promise<void> {
    // A module that wraps nothing may take the key all the same, and then not have it.
    this.#keyWrap();
    calling('C_CreateObject', () => this.#native.C_CreateObject(this.#handle, encodeTemplate({
      CKA_CLASS: CLASSES['secret-key'], CKA_KEY_TYPE: cryptoki.CKK.CKK_AES, CKA_TOKEN: false, CKA_PRIVATE: true, CKA_ID: fromHex(id),
      CKA_LABEL: label, CKA_VALUE: value, CKA_SENSITIVE: true, CKA_EXTRACTABLE: false, CKA_WRAP: true, CKA_UNWRAP: true,
      CKA_ENCRYPT: false, CKA_DECRYPT: false, CKA_SIGN: false, CKA_VERIFY: false, CKA_DERIVE: false,
    })));
  }

  async wrap(key: ObjectName & { readonly class: 'private-key' }, under: ObjectName & { readonly class: 'secret-key' }) {
    const wrapping = this.#one(under);
    const wanted = this.#one(key);
    this.#mayLeave(wanted);
    return { mechanism: this.#keyWrap().name, wrapped: await this.#wrapped(wrapping, wanted) };
  }

  async refusesToWrap(key: ObjectName & { readonly class: 'private-key' }, under: ObjectName & { readonly class: 'secret-key' }): Promise<boolean> {
    const wrapping = this.#one(under);
    const wanted = this.#one(key);
    try {
      await this.#wrapped(wrapping, wanted);
      return false;
    } catch (thrown) {
      if (!isTokenError(thrown) || LOST.includes(thrown.code)) throw thrown;
      return true;
    }
  }

  async #wrapped(wrapping: Handle, wanted: Handle): Promise<Uint8Array> {
    const room = Buffer.alloc(LARGEST_WRAPPED);
    const mechanism = { mechanism: this.#keyWrap().number };
    const wrapped = await this.#module.run('C_WrapKey', [room, mechanism], () =>
      this.#native.C_WrapKeyAsync(this.#handle, mechanism, wrapping, wanted, room));
    return Uint8Array.from(wrapped);
  }

  async #unwrapped(wrapping: Handle, wrapped: Uint8Array, template: Template): Promise<Handle> {
    // Said here, because not every module survives what is no wrapped key at all.
    if (wrapped.length < 2 * KWP_BLOCK || wrapped.length % KWP_BLOCK !== 0) throw new TokenError('CKR_WRAPPED_KEY_LEN_RANGE', 'C_UnwrapKey');
    const bytes = Buffer.from(wrapped);
    const mechanism = { mechanism: this.#keyWrap().number };
    const encoded = encodeTemplate(template);
    return this.#module.run('C_UnwrapKey', [bytes, mechanism, encoded], () =>
      this.#native.C_UnwrapKeyAsync(this.#handle, mechanism, wrapping, bytes, encoded));
  }

  async unwrap({ wrapped, under, algorithm, id, label, lives }: Parameters<Session['unwrap']>[0]): Promise<void> {
    this.#listing = null;
    if (lives === 'token') mayWrite(this.#module, 'C_UnwrapKey');
    // CKA_PARAMETER_SET and CKA_EC_PARAMS come out of the PKCS#8 and may not be given (footnote 6 of the tables).
    await this.#unwrapped(this.#one(under), wrapped, {
      CKA_CLASS: CLASSES['private-key'], CKA_KEY_TYPE: this.#numbers().keyType.to(algorithm.pkcs11.keyType), CKA_TOKEN: lives === 'token', CKA_PRIVATE: true,
      CKA_ID: fromHex(id), CKA_LABEL: label, CKA_SENSITIVE: true, CKA_EXTRACTABLE: false, CKA_SIGN: true, CKA_DECRYPT: false, CKA_UNWRAP: false,
      CKA_DERIVE: false,
    });
  }

  /** The mechanism that does RFC 5649 here: the first of the quirks' list that the token itself lists. */
  #keyWrap(): { readonly name: string; readonly number: number } {
    const listed = this.#module.mechanismsOf(this.#slot);
    const numbers = this.#numbers();
    const found = this.#module.quirks.keyWrap
      .map((name) => ({ name, number: numbers.mechanism.to(mechanismNumber(name)) }))
      .find(({ number }) => listed.includes(number));
    if (found === undefined) throw new TokenError('CKR_MECHANISM_INVALID', 'C_WrapKey');
    return found;
  }

  async generateWrappingKey({ id, label, lives }: Parameters<Session['generateWrappingKey']>[0]): Promise<string> {
    this.#listing = null;
    if (lives !== 'session') mayWrite(this.#module, 'C_GenerateKey');
    this.#idIsFree(['secret-key'], id, lives, 'C_GenerateKey');
    const template = encodeTemplate({
      CKA_CLASS: CLASSES['secret-key'], CKA_KEY_TYPE: AES_256.pkcs11.keyType, CKA_VALUE_LEN: AES_256.keyBytes, CKA_TOKEN: lives !== 'session',
      CKA_PRIVATE: true, CKA_ID: fromHex(id), CKA_LABEL: label, CKA_SENSITIVE: true, CKA_EXTRACTABLE: false, CKA_MODIFIABLE: true,
      CKA_WRAP: true, CKA_UNWRAP: true, CKA_ENCRYPT: false, CKA_DECRYPT: false, CKA_SIGN: false, CKA_VERIFY: false, CKA_DERIVE: false,
    });
    const mechanism = { mechanism: this.#listed(AES_256.pkcs11.generate, 'C_GenerateKey') };
    await this.#module.run('C_GenerateKey', [template, mechanism], () => this.#native.C_GenerateKeyAsync(this.#handle, mechanism, template));
    return mechanismName(AES_256.pkcs11.generate);
  }

  async sealBytes(under: ObjectName & { readonly class: 'secret-key' }, value: Uint8Array) {
    const wrapping = this.#one(under);
    // Of what would not come back as it was nothing is sealed.
    const { padsWrapped, largestSecret = LARGEST_WRAPPED - 2 * KWP_BLOCK } = this.#module.quirks;
    if (value.length === 0 || value.length > largestSecret) {
      throw new TokenError('CKR_DATA_LEN_RANGE', 'C_WrapKey', `This token gives back 1 to ${largestSecret} bytes and no more: choose a smaller key, or keep this one on the token.`);
    }
    if (padsWrapped && value.length % KWP_BLOCK !== 0 && sequenceLength(value) !== value.length) {
      throw new TokenError('CKR_DATA_LEN_RANGE', 'C_WrapKey', 'This token fills up what it wraps with zeros; only a key in DER tells where it ends.');
    }
    return { mechanism: this.#keyWrap().name, wrapped: await this.#sealed(wrapping, value) };
  }

  async #sealed(wrapping: Handle, value: Uint8Array): Promise<Uint8Array> {
    const carrier = calling('C_CreateObject', () => this.#native.C_CreateObject(this.#handle, encodeTemplate({
      ...CARRIER, CKA_VALUE: value, CKA_SENSITIVE: true, CKA_EXTRACTABLE: true,
    })));
    try {
      return await this.#wrapped(wrapping, carrier);
    } finally {
      calling('C_DestroyObject', () => this.#native.C_DestroyObject(this.#handle, carrier));
    }
  }

  async openBytes(under: ObjectName & { readonly class: 'secret-key' }, wrapped: Uint8Array): Promise<Secret> {
    const opened = this.#taken(await this.#unwrapped(this.#one(under), wrapped, { ...CARRIER, CKA_SENSITIVE: false, CKA_EXTRACTABLE: true }));
    if (!this.#module.quirks.padsWrapped) return opened;
    const { bytes } = opened;
    const end = sequenceLength(bytes);
    if (end === null || end <= bytes.length - KWP_BLOCK || end >= bytes.length || bytes.subarray(end).some((byte) => byte !== 0)) return opened;
    const exact = secretBytes(end);
    exact.set(bytes.subarray(0, end));
    opened.wipe();
    return new Secret(exact);
  }

  /** The value of a secret session object, which is destroyed. */
  #taken(carrier: Handle): Secret {
    try {
      const value = this.#read(carrier, ['CKA_VALUE']).get('CKA_VALUE');
      if (value === undefined || value.length === 0) throw new TokenError('CKR_ATTRIBUTE_SENSITIVE', 'C_GetAttributeValue');
      return new Secret(value);
    } finally {
      calling('C_DestroyObject', () => this.#native.C_DestroyObject(this.#handle, carrier));
    }
  }

  async kemPublicKey(name: ObjectName & { readonly class: 'public-key' }, algorithm: MlKemAlgorithm): Promise<Uint8Array> {
    const raw = this.#value(this.#one(name), 'CKA_VALUE');
    if (raw.length !== algorithm.publicKeyBytes) throw new TokenError('CKR_ATTRIBUTE_VALUE_INVALID', 'C_GetAttributeValue');
    return raw;
  }

  async encapsulate(which: ObjectAt | (ObjectName & { readonly class: 'public-key' }), algorithm: MlKemAlgorithm) {
    const key = this.#object(which);
    const mechanism = this.#kem(algorithm, 'C_EncapsulateKey');
    const { ciphertext, length, secret: carrier } = await this.#module.run('C_EncapsulateKey', [], () =>
      this.#module.cryptoki.encapsulate(this.#handle, mechanism, key, encodeTemplate(AGREED), algorithm.ciphertextBytes));
    const secret = this.#agreed(carrier, 'C_EncapsulateKey');
    if (length === algorithm.ciphertextBytes) return { ciphertext, secret };
    secret.wipe();
    throw new TokenError('CKR_ENCRYPTED_DATA_LEN_RANGE', 'C_EncapsulateKey');
  }

  async decapsulate(which: ObjectAt | (ObjectName & { readonly class: 'private-key' }), algorithm: MlKemAlgorithm, ciphertext: Uint8Array): Promise<Secret> {
    const key = this.#object(which);
    const mechanism = this.#kem(algorithm, 'C_DecapsulateKey');
    // FIPS 203 section 7.3: the length is checked before anything else, and not every module does.
    if (ciphertext.length !== algorithm.ciphertextBytes) throw new TokenError('CKR_ENCRYPTED_DATA_LEN_RANGE', 'C_DecapsulateKey');
    const carrier = await this.#module.run('C_DecapsulateKey', [], () =>
      this.#module.cryptoki.decapsulate(this.#handle, mechanism, key, encodeTemplate(AGREED), ciphertext));
    return this.#agreed(carrier, 'C_DecapsulateKey');
  }

  #kem(algorithm: MlKemAlgorithm, call: string): number {
    if (!this.#module.cryptoki.knows32) throw new TokenError('CKR_FUNCTION_NOT_SUPPORTED', call);
    return this.#listed(algorithm.pkcs11.mechanism, call);
  }

  #agreed(carrier: Handle, call: string): Secret {
    const secret = this.#taken(carrier);
    if (secret.bytes.length === KEM_SECRET_BYTES) return secret;
    secret.wipe();
    throw new TokenError('CKR_KEY_SIZE_RANGE', call);
  }

  async putData(label: string, value: Uint8Array): Promise<void> {
    mayWrite(this.#module, 'C_CreateObject');
    this.#listing = null;
    const { cStrings, longestLabel = Infinity } = this.#module.quirks;
    if ((cStrings && label.includes('\0')) || utf8(label).length > longestLabel) {
      throw new TokenError('CKR_ATTRIBUTE_VALUE_INVALID', 'C_CreateObject', 'This token would cut the label off. Use another one.');
    }
    const end = cStrings ? '\0' : '';
    calling('C_CreateObject', () => this.#native.C_CreateObject(this.#handle, encodeTemplate({
      CKA_CLASS: CLASSES.data, CKA_TOKEN: true, CKA_PRIVATE: true, CKA_LABEL: label + end, CKA_APPLICATION: APPLICATION + end, CKA_VALUE: value,
    })));
  }

  async getData(label: string): Promise<Secret> {
    const value = this.#read(this.#one({ class: 'data', label }), ['CKA_VALUE']).get('CKA_VALUE');
    if (value === undefined) throw new TokenError('CKR_ATTRIBUTE_SENSITIVE', 'C_GetAttributeValue');
    return new Secret(value);
  }

  async destroy(which: ObjectName | ObjectAt): Promise<void> {
    if ('position' in which || which.lives !== 'session') mayWrite(this.#module, 'C_DestroyObject');
    const object = this.#object(which);
    this.#listing = null;
    calling('C_DestroyObject', () => this.#native.C_DestroyObject(this.#handle, object));
  }

  // --- administration ------------------------------------------------------------------------------------------------

  async makeKey({ kind, id, label, own, other, lives }: KeyRequest): Promise<string> {
    this.#listing = null;
    const common: Template = { CKA_TOKEN: lives !== 'session', CKA_ID: fromHex(id), CKA_LABEL: label, CKA_KEY_TYPE: this.#keyTypeOf(kind) };
    if (kind.shape === 'secret') {
      if (lives !== 'session') mayWrite(this.#module, 'C_GenerateKey');
      this.#idIsFree(['secret-key'], id, lives, 'C_GenerateKey');
      const template = encodeTemplate({ ...common, CKA_CLASS: CLASSES['secret-key'], CKA_VALUE_LEN: kind.bytes, ...own });
      const mechanism = { mechanism: this.#listed(kind.generate, 'C_GenerateKey') };
      await this.#module.run('C_GenerateKey', [template, mechanism], () => this.#native.C_GenerateKeyAsync(this.#handle, mechanism, template));
      return mechanismName(kind.generate);
    }
    if (lives !== 'session') mayWrite(this.#module, 'C_GenerateKeyPair');
    this.#idIsFree(['private-key', 'public-key'], id, lives, 'C_GenerateKeyPair');
    const publicTemplate = encodeTemplate({ ...common, CKA_CLASS: CLASSES['public-key'], ...this.#publicParameters(kind.algorithm), ...other });
    const privateTemplate = encodeTemplate({ ...common, CKA_CLASS: CLASSES['private-key'], ...own });
    const generate = kind.algorithm.family === 'xdh' ? mechanismNumber(this.#module.quirks.montgomery.generate) : kind.algorithm.pkcs11.generate;
    const mechanism = { mechanism: this.#listed(generate, 'C_GenerateKeyPair') };
    await this.#module.run('C_GenerateKeyPair', [publicTemplate, privateTemplate, mechanism], () =>
      this.#native.C_GenerateKeyPairAsync(this.#handle, mechanism, publicTemplate, privateTemplate));
    return mechanismName(generate);
  }

  #keyTypeOf(kind: KeyKindRow): number {
    if (kind.shape === 'secret') return kind.keyType;
    const { family, pkcs11 } = kind.algorithm;
    return family === 'xdh' ? cryptoki.CKK[this.#module.quirks.montgomery.keyType as keyof typeof cryptoki.CKK] : this.#numbers().keyType.to(pkcs11.keyType);
  }

  async importKey({ pkcs8, spki, ...request }: Parameters<Session['importKey']>[0]): Promise<void> {
    const { kind, id, label, own, lives } = request;
    if (lives !== 'session') mayWrite(this.#module, 'C_CreateObject');
    if (kind.shape !== 'pair') throw new TokenError('CKR_TEMPLATE_INCONSISTENT', 'C_CreateObject');
    this.#idIsFree(['private-key', 'public-key'], id, lives, 'C_CreateObject');
    const secrets = privateParts(kind, pkcs8);
    let made: Handle;
    try {
      made = calling('C_CreateObject', () => this.#native.C_CreateObject(this.#handle, encodeTemplate({
        CKA_CLASS: CLASSES['private-key'], CKA_KEY_TYPE: this.#keyTypeOf(kind), CKA_TOKEN: lives !== 'session', CKA_ID: fromHex(id), CKA_LABEL: label,
        ...(kind.algorithm.family !== 'rsa' && this.#publicParameters(kind.algorithm)), ...own, ...secrets,
      })));
    } finally {
      for (const value of Object.values(secrets)) if (value instanceof Uint8Array) value.fill(0);
    }
    try {
      await this.importPublicKey({ ...request, spki });
    } catch (thrown) {
      calling('C_DestroyObject', () => this.#native.C_DestroyObject(this.#handle, made));
      throw thrown;
    }
  }

  async importPublicKey({ kind, id, label, other, lives, spki }: Parameters<Session['importPublicKey']>[0]): Promise<void> {
    this.#listing = null;
    if (lives !== 'session') mayWrite(this.#module, 'C_CreateObject');
    if (kind.shape !== 'pair') throw new TokenError('CKR_TEMPLATE_INCONSISTENT', 'C_CreateObject');
    calling('C_CreateObject', () => this.#native.C_CreateObject(this.#handle, encodeTemplate({
      CKA_CLASS: CLASSES['public-key'], CKA_KEY_TYPE: this.#keyTypeOf(kind), CKA_TOKEN: lives !== 'session', CKA_ID: fromHex(id), CKA_LABEL: label,
      ...(kind.algorithm.family !== 'rsa' && this.#publicParameters(kind.algorithm)), ...publicParts(kind, spki, this.#module.quirks), ...other,
    })));
  }

  async importCertificate({ id, label, der, subject, issuer, serialNumber }: Parameters<Session['importCertificate']>[0]): Promise<void> {
    this.#listing = null;
    mayWrite(this.#module, 'C_CreateObject');
    calling('C_CreateObject', () => this.#native.C_CreateObject(this.#handle, encodeTemplate({
      CKA_CLASS: CLASSES.certificate, CKA_CERTIFICATE_TYPE: CKC_X_509, CKA_TOKEN: true, CKA_PRIVATE: false, CKA_ID: fromHex(id), CKA_LABEL: label,
      CKA_SUBJECT: subject, CKA_ISSUER: issuer, CKA_SERIAL_NUMBER: serialNumber, CKA_VALUE: der,
    })));
  }

  async copyObject(which: ObjectAt, changes: Template): Promise<void> {
    mayWrite(this.#module, 'C_CopyObject');
    const object = this.#object(which);
    this.#listing = null;
    calling('C_CopyObject', () => this.#native.C_CopyObject(this.#handle, object, encodeTemplate(changes)));
  }

  async change(which: ObjectAt, changes: Template): Promise<void> {
    mayWrite(this.#module, 'C_SetAttributeValue');
    const object = this.#object(which);
    calling('C_SetAttributeValue', () => this.#native.C_SetAttributeValue(this.#handle, object, encodeTemplate(changes)));
  }

  async wrapKey(how: WrapHow, key: Wrappable, under: ObjectAt | (ObjectName & { readonly class: 'secret-key' | 'public-key' })) {
    const [wrapping, wanted] = [this.#object(under), this.#object(key)];
    this.#mayLeave(wanted);
    const { mechanism, name } = this.#wrapMechanism(how, 'C_WrapKey');
    const room = Buffer.alloc(LARGEST_WRAPPED);
    const wrapped = await this.#module.run('C_WrapKey', [room, mechanism], () => this.#native.C_WrapKeyAsync(this.#handle, mechanism, wrapping, wanted, room));
    return { mechanism: name, wrapped: Uint8Array.from(wrapped) };
  }

  async unwrapKey(
    how: WrapHow, under: ObjectAt | (ObjectName & { readonly class: 'secret-key' | 'private-key' }), wrapped: Uint8Array,
    { kind, id, label, own, lives }: Parameters<Session['unwrapKey']>[3],
  ): Promise<void> {
    if (lives !== 'session') mayWrite(this.#module, 'C_UnwrapKey');
    if (own.CKA_MODIFIABLE === false && !this.#module.quirks.unwrapsUnmodifiable) {
      throw new TokenError('CKR_ATTRIBUTE_READ_ONLY', 'C_UnwrapKey', 'This module unwraps no key as unmodifiable. Order it with modifiable true, and answer for KEY-MODIFIABLE where that is a danger.');
    }
    const wrapping = this.#object(under);
    if (how.method !== 'RSA-OAEP' && (wrapped.length < 2 * KWP_BLOCK || wrapped.length % KWP_BLOCK !== 0)) throw new TokenError('CKR_WRAPPED_KEY_LEN_RANGE', 'C_UnwrapKey');
    const objectClass = kind.shape === 'pair' ? 'private-key' : 'secret-key';
    this.#idIsFree([objectClass], id, lives, 'C_UnwrapKey');
    if (lives !== 'session') this.#listing = null;
    const { mechanism } = this.#wrapMechanism(how, 'C_UnwrapKey');
    const bytes = Buffer.from(wrapped);
    const template = encodeTemplate({
      CKA_CLASS: CLASSES[objectClass], CKA_KEY_TYPE: this.#keyTypeOf(kind), CKA_TOKEN: lives !== 'session', CKA_ID: fromHex(id), CKA_LABEL: label, ...own,
    });
    await this.#module.run('C_UnwrapKey', [bytes, mechanism, template], () => this.#native.C_UnwrapKeyAsync(this.#handle, mechanism, wrapping, bytes, template));
  }

  #wrapMechanism(how: WrapHow, call: string): { readonly mechanism: types.Mechanism; readonly name: string } {
    switch (how.method) {
      case 'AES-KWP': {
        const { name, number } = this.#keyWrap();
        return { name, mechanism: { mechanism: number } };
      }
      case 'AES-KW': return { name: 'CKM_AES_KEY_WRAP', mechanism: { mechanism: this.#listed(cryptoki.CKM.CKM_AES_KEY_WRAP, call) } };
      case 'RSA-OAEP': return { name: `CKM_RSA_PKCS_OAEP, ${how.hash}`, mechanism: this.#oaep(how.hash, call) };
    }
  }

  /** Section 6.1.7: CKZ_DATA_SPECIFIED (1) without data; MGF1 with the same hash. */
  #oaep(hash: OaepHash, call: string): types.Mechanism {
    const { number, mgf } = OAEP[hash];
    return { mechanism: this.#listed(cryptoki.CKM.CKM_RSA_PKCS_OAEP, call), parameter: { type: pkcs11js.CK_PARAMS_RSA_OAEP, hashAlg: number, mgf, source: 1 } as types.RsaOAEP };
  }

  /** A module's own no is not relied upon: some wrap what must not leave, or what nothing gets back. */
  #mayLeave(wanted: Handle): void {
    const facts = this.#read(wanted, ['CKA_EXTRACTABLE', 'CKA_KEY_TYPE']);
    if (facts.get('CKA_EXTRACTABLE')?.[0] !== 1) throw new TokenError('CKR_KEY_UNEXTRACTABLE', 'C_WrapKey');
    const keyType = facts.get('CKA_KEY_TYPE');
    const reason = keyType === undefined ? undefined : this.#module.quirks.notWrappable[keyTypeName(this.#numbers().keyType.from(ulong(keyType)))];
    if (reason !== undefined) throw new TokenError('CKR_KEY_NOT_WRAPPABLE', 'C_WrapKey', reason);
  }

  #cipherOf(cipher: Cipher, call: string): types.Mechanism {
    switch (cipher.kind) {
      case 'aes-cbc': return { mechanism: this.#listed(cryptoki.CKM.CKM_AES_CBC_PAD, call), parameter: bufferOf(cipher.iv) };
      case 'rsa-oaep': return this.#oaep(cipher.hash, call);
    }
  }

  async encrypt(which: ObjectAt | (ObjectName & { readonly class: 'secret-key' | 'public-key' }), cipher: Cipher, plaintext: Uint8Array): Promise<Uint8Array> {
    const key = this.#object(which);
    const mechanism = this.#cipherOf(cipher, 'C_EncryptInit');
    calling('C_EncryptInit', () => this.#native.C_EncryptInit(this.#handle, mechanism, key));
    const [data, room] = [Buffer.from(plaintext), Buffer.alloc(plaintext.length + LARGEST_MODULUS)];
    return Uint8Array.from(await this.#module.run('C_Encrypt', [data, room, mechanism], () => this.#native.C_EncryptAsync(this.#handle, data, room)));
  }

  async decrypt(which: ObjectAt | (ObjectName & { readonly class: 'secret-key' | 'private-key' }), cipher: Cipher, ciphertext: Uint8Array): Promise<Uint8Array> {
    const key = this.#object(which);
    const mechanism = this.#cipherOf(cipher, 'C_DecryptInit');
    calling('C_DecryptInit', () => this.#native.C_DecryptInit(this.#handle, mechanism, key));
    await this.#authenticated(key);
    const [data, room] = [Buffer.from(ciphertext), Buffer.alloc(ciphertext.length + LARGEST_MODULUS)];
    return Uint8Array.from(await this.#module.run('C_Decrypt', [data, room, mechanism], () => this.#native.C_DecryptAsync(this.#handle, data, room)));
  }

  async mac(which: ObjectAt | (ObjectName & { readonly class: 'secret-key' }), name: MacName, message: Uint8Array): Promise<Uint8Array> {
    const key = this.#object(which);
    const mechanism = { mechanism: this.#listed(mechanismNumber(name), 'C_SignInit') };
    calling('C_SignInit', () => this.#native.C_SignInit(this.#handle, mechanism, key));
    await this.#authenticated(key);
    const [data, room] = [Buffer.from(message), Buffer.alloc(LARGEST_MAC)];
    return Uint8Array.from(await this.#module.run('C_Sign', [data, room], () => this.#native.C_SignAsync(this.#handle, data, room)));
  }

  async agree(which: ObjectAt | (ObjectName & { readonly class: 'private-key' }), peer: Uint8Array, secretBytes: number): Promise<Secret> {
    const key = this.#object(which);
    const publicData = Buffer.from(peer);
    const mechanism: types.Mechanism = {
      mechanism: this.#listed(cryptoki.CKM.CKM_ECDH1_DERIVE, 'C_DeriveKey'),
      parameter: { type: pkcs11js.CK_PARAMS_EC_DH, kdf: CKD_NULL, publicData } as types.ECDH1,
    };
    const template = encodeTemplate({ ...AGREED, CKA_VALUE_LEN: secretBytes });
    const carrier = await this.#module.run('C_DeriveKey', [publicData, mechanism, template], () => this.#native.C_DeriveKeyAsync(this.#handle, mechanism, key, template));
    const secret = this.#taken(carrier);
    if (secret.bytes.length === secretBytes) return secret;
    secret.wipe();
    throw new TokenError('CKR_KEY_SIZE_RANGE', 'C_DeriveKey');
  }

  // --- objects by name -----------------------------------------------------------------------------------------------

  #one(name: ObjectName): Handle {
    const found = this.#handles(searchFor(name), 2);
    oneMatch(name, found.length);
    return found[0]!;
  }

  #handles(template: Template, atMost: number): Handle[] {
    const encoded = encodeTemplate(template);
    calling('C_FindObjectsInit', () => this.#native.C_FindObjectsInit(this.#handle, encoded));
    try {
      const handles: Handle[] = [];
      while (handles.length < atMost) {
        const batch = calling('C_FindObjects', () => this.#native.C_FindObjects(this.#handle, Math.min(BATCH, atMost - handles.length)));
        if (batch.length === 0) break;
        handles.push(...batch);
      }
      return handles;
    } finally {
      calling('C_FindObjectsFinal', () => this.#native.C_FindObjectsFinal(this.#handle));
    }
  }

  #fact(handle: Handle): ObjectFact {
    const values = this.#shaped(handle, this.#guess) ?? this.#afresh(handle);
    if (values === null) return { class: 'unreadable', id: '', label: '', keyType: '' };
    const keyType = values.get('CKA_KEY_TYPE');
    return {
      class: CLASS_NAMES.get(ulong(values.get('CKA_CLASS')!)) ?? 'other',
      id: toHex(values.get('CKA_ID') ?? new Uint8Array()).slice(0, 128),
      label: labelOf(values.get('CKA_LABEL')),
      keyType: keyType === undefined ? '' : keyTypeName(ulong(keyType)),
    };
  }

  /** The object's attributes if it is of this shape, in one call; null otherwise. */
  #shaped(handle: Handle, shape: Shape): Map<AttributeName, Buffer> | null {
    const values = this.#batch(handle, shape);
    const objectClass = values?.get('CKA_CLASS');
    return objectClass !== undefined && shapeOf(ulong(objectClass)) === shape ? values : null;
  }

  /** An object that is not like the one before: its class first, then what that class has; singly if need be. */
  #afresh(handle: Handle): Map<AttributeName, Buffer> | null {
    const objectClass = this.#batch(handle, ['CKA_CLASS'])?.get('CKA_CLASS');
    // Debris of a crash may answer for nothing at all: it is listed as unreadable, not passed over.
    if (objectClass === undefined || objectClass.length === 0) return null;
    this.#guess = shapeOf(ulong(objectClass));
    return this.#read(handle, this.#guess);
  }

  /** Attributes in one call; where one of them makes the call fail, each alone. Those without an answer are absent. */
  #read(handle: Handle, names: readonly AttributeName[]): Map<AttributeName, Buffer> {
    const all = this.#batch(handle, names);
    if (all) return all;
    const values = new Map<AttributeName, Buffer>();
    for (const name of names) {
      const value = this.#batch(handle, [name])?.get(name);
      if (value !== undefined) values.set(name, value);
    }
    return values;
  }

  #batch(handle: Handle, names: readonly AttributeName[]): Map<AttributeName, Buffer> | null {
    const wanted: { type: number; value?: Buffer }[] = names.map((name) => ({ type: cryptoki.CKA[name][0] as number }));
    let answers: readonly types.Attribute[];
    try {
      answers = calling('C_GetAttributeValue', () => this.#native.C_GetAttributeValue(this.#handle, handle, wanted));
    } catch (thrown) {
      // pkcs11js on a value whose length is not its attribute's: an unset date, or a module that lies. No answer, either way.
      if (thrown instanceof TypeError && /has wrong length/.test(thrown.message)) return null;
      // The session or the token itself: no other attribute would fare better.
      if (!isTokenError(thrown) || isTokenError(thrown, ...LOST)) throw thrown;
      return null;
    }
    const values = new Map<AttributeName, Buffer>();
    for (const [index, name] of names.entries()) {
      const value = answers[index]?.value;
      if (Buffer.isBuffer(value)) values.set(name, value);
    }
    return values;
  }
}

type Wrappable = ObjectAt | (ObjectName & { readonly class: 'private-key' | 'secret-key' });

/** `mgf`: CKG_MGF1_* of pkcs11t.h. */
const OAEP = { 'SHA-1': { number: cryptoki.CKM.CKM_SHA_1, mgf: 1 }, 'SHA-256': { number: cryptoki.CKM.CKM_SHA256, mgf: 2 } } as const;
const CKD_NULL = 1;
const CKC_X_509 = 0;
/** Room beyond the message: an RSA block, or padding. */
const LARGEST_MODULUS = 2048;
const LARGEST_MAC = 64;

/** The secret attributes of a private key, from its PKCS#8, which has been judged. The caller wipes them. */
function privateParts({ algorithm }: PairKind, pkcs8: Uint8Array): Template {
  const content = derParts(readDer(pkcs8, 'privateKeyInfo'), 'privateKeyInfo')[2]!.content;
  const copy = (bytes: Uint8Array) => takeBytes(Uint8Array.from(bytes));
  switch (algorithm.family) {
    case 'rsa': { // RFC 8017 appendix A.1.2
      const [, n, e, d, p, q, dp, dq, qi] = derParts(readDer(content, 'privateKey'), 'privateKey').map((part) => copy(readUnsigned(part, 'privateKey')));
      return {
        CKA_MODULUS: n!, CKA_PUBLIC_EXPONENT: e!, CKA_PRIVATE_EXPONENT: d!, CKA_PRIME_1: p!, CKA_PRIME_2: q!, CKA_EXPONENT_1: dp!, CKA_EXPONENT_2: dq!, CKA_COEFFICIENT: qi!,
      };
    }
    case 'ecdsa': return { CKA_VALUE: copy(readEcPrivateKey(content, algorithm.jose.crv, 'privateKey', false)) };
    case 'eddsa': case 'xdh': return { CKA_VALUE: copy(readDer(content, 'privateKey', TAG.octetString).content) }; // RFC 8410 section 7
    case 'ml-dsa': case 'ml-kem': { // RFC 9881 section 6, RFC 9935 section 6: the seed, or the expanded key alone
      const choice = readDer(content, 'privateKey');
      const bytes = copy(choice.content);
      if (choice.tag === TAG.octetString) return { CKA_VALUE: bytes };
      return { CKA_SEED: bytes, CKA_VALUE: takeBytes((algorithm.family === 'ml-dsa' ? ML_DSA[algorithm.name] : ML_KEM[algorithm.name]).keygen(bytes).secretKey) };
    }
    case 'slh-dsa': return { CKA_VALUE: copy(content) };
    case 'hss': case 'xmss': throw new TokenError('CKR_TEMPLATE_INCONSISTENT', 'C_CreateObject');
  }
}

/** The public values of a key. Section 6.3.3: a point of a curve in an OCTET STRING. */
function publicParts({ algorithm }: PairKind, spki: Uint8Array, { edwardsPoint }: Quirks): Template {
  const { raw } = readSubjectKey(spki);
  switch (algorithm.family) {
    case 'rsa': {
      const { n, e } = readRsaPublicKey(raw, 'publicKey');
      return { CKA_MODULUS: n, CKA_PUBLIC_EXPONENT: e };
    }
    case 'ecdsa': return { CKA_EC_POINT: writeDer(TAG.octetString, raw) };
    case 'eddsa': case 'xdh': return { CKA_EC_POINT: edwardsPoint === 'raw' ? raw : writeDer(TAG.octetString, raw) };
    case 'ml-dsa': case 'ml-kem': case 'slh-dsa': case 'hss': case 'xmss': return { CKA_VALUE: raw };
  }
}

/** After these nothing more can be read in this session. */
const LOST = [
  'CKR_DEVICE_ERROR', 'CKR_DEVICE_REMOVED', 'CKR_TOKEN_NOT_PRESENT', 'CKR_SESSION_HANDLE_INVALID', 'CKR_SESSION_CLOSED',
  'CKR_CRYPTOKI_NOT_INITIALIZED',
];

function searchFor(name: ObjectName): Template {
  return {
    CKA_CLASS: CLASSES[name.class], CKA_TOKEN: name.lives !== 'session',
    ...(name.class === 'data' && { CKA_APPLICATION: APPLICATION }),
    ...(name.id !== undefined && { CKA_ID: fromHex(name.id) }),
    ...(name.label !== undefined && { CKA_LABEL: name.label }),
  };
}

/** CK_ULONG in the machine's own order and width. */
function ulong(bytes: Buffer): number {
  return bytes.length === 8 ? Number(bytes.readBigUInt64LE()) : bytes.length === 4 ? bytes.readUInt32LE() : 0;
}

/** `count` CK_ULONGs of one value. */
function ulongs(count: number, value: number): Uint8Array {
  return Uint8Array.from(new Uint8Array(new BigUint64Array(count).fill(BigInt(value)).buffer));
}

/** Length of the DER SEQUENCE with which the bytes begin, its head included; null where they do not begin with one. */
function sequenceLength(bytes: Uint8Array): number | null {
  const [tag, first = 0] = bytes;
  if (tag !== 0x30) return null;
  if (first < 0x80) return 2 + first;
  const count = first - 0x80;
  if (count < 1 || count > 2 || bytes.length < 2 + count) return null;
  return 2 + count + bytes.subarray(2, 2 + count).reduce((sum, byte) => 256 * sum + byte, 0);
}

/** The same memory as a Buffer, which is the only kind of bytes that pkcs11js takes. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function bigEndian(number: number): Uint8Array {
  const hex = number.toString(16);
  return fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
}

function labelOf(bytes: Buffer | undefined): string {
  return plain(bytes?.toString('utf8') ?? '', 128);
}

function versionText({ major, minor }: types.Version): string {
  return `${major}.${minor}`;
}

/** CK_UNAVAILABLE_INFORMATION is all ones (section 3.3), in 64 bits or, from some modules, in 32. */
function told(value: number): number | null {
  return value === 0xffff_ffff || !Number.isSafeInteger(value) || value < 0 ? null : value;
}

/** CK_EFFECTIVELY_INFINITE is 0 (section 3.3), for numbers of sessions alone. */
function limitOf(value: number): number | 'unlimited' | null {
  return value === 0 ? 'unlimited' : told(value);
}

/** CK_TOKEN_INFO.utcTime: YYYYMMDDhhmmss and two zeros (section 3.3). */
function clockText(text: string): string | null {
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)/.exec(text);
  return parts === null ? null : `${parts[1]}-${parts[2]}-${parts[3]}T${parts[4]}:${parts[5]}:${parts[6]}Z`;
}

/** CK_INFO texts are padded with blanks, by some modules with zeros. */
function trimmed(text: string): string {
  return text.replace(/[\0 ]+$/, '');
}
