/**
 * PKCS#11 modules, spoken to through pkcs11js. The ONLY file that imports it.
 *
 * What pkcs11js does not forgive, and how it is kept away from it:
 *  - An object, Date or BigInt as attribute value, or a malformed mechanism, makes it free memory that it never wrote: the
 *    process dies. `encodeTemplate` is the only way in for attributes; mechanisms are built from our own tables alone.
 *  - Asynchronous calls keep bare pointers into our buffers: those stay referenced in #running until the call is over.
 *  - C_Finalize, or unloading the module, under a running call is a segmentation fault: the PKCS11 object is never let go
 *    of, and the module is finalized at the end of the process only, when nothing runs.
 *  - Its list of error names ends in 2011: errors are read by number.
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
import { publicKeyFromParts, type PublicKey } from '../../ceremonies/keys/public-key.ts';
import { Fault, isTokenError, TokenError } from './errors.ts';
import { isRehearsalToken, quirksOf, type Quirks } from './quirks.ts';
import { pinText, Secret } from './secret.ts';
import {
  APPLICATION, flagNames, keyTypeName, mechanismName, mechanismNumber, oneMatch, plain, rehearsalLabel,
  type KeyClass, type KeyPairRequest, type Mechanism, type ObjectName, type Session, type SlotFacts, type Token, type TokenAlgorithm,
  type TokenModule,
} from './tokens.ts';
import cryptoki from './cryptoki.json' with { type: 'json' };

type Handle = types.Handle;
type Native = types.PKCS11;

const CKF_OS_LOCKING_OK = 0x2; // C_Initialize: several threads may call, the asynchronous calls below do
const CKF_TOKEN_PRESENT = 0x1;
const CKF_TOKEN_INITIALIZED = 0x400;
const CKF_RW_SESSION = 0x2;
const CKF_SERIAL_SESSION = 0x4; // PKCS#11 3.2 section 5.6.1: must always be set
const USER_STATES: readonly number[] = [1, 3]; // CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS
const CKU_SO = 0;
const CKU_USER = 1;
/** Handles fetched per C_FindObjects: one call for most tokens. */
const BATCH = 4096;
/** A wrapped RSA-4096 key has about 2,400 bytes. */
const LARGEST_WRAPPED = 8192;
const LARGEST_SIGNATURE = 1024;

// --- templates -------------------------------------------------------------------------------------------------------

export type AttributeName = keyof typeof cryptoki.CKA;
export type AttributeValue = boolean | number | string | Uint8Array;
export type Template = { readonly [Name in AttributeName]?: AttributeValue };

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
  if (!(thrown instanceof Error)) return thrown;
  const text = /CKR_\w+:(\d+)/.exec(thrown.message)?.[1];
  const code = 'code' in thrown && typeof thrown.code === 'number' ? thrown.code : 0;
  const number = text === undefined ? code : Number(text);
  return number === 0 ? thrown : new TokenError(number, call);
}

function calling<T>(call: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw translated(thrown, call);
  }
}

// --- the module ------------------------------------------------------------------------------------------------------

/** Loads and initialises a module. Its environment must stand in process.env before. */
export function openPkcs11Module(name: string, path: string, parameters: string | undefined): TokenModule {
  let sha256: string;
  const native = new pkcs11js.PKCS11();
  try {
    sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
    native.load(path);
  } catch {
    throw new Fault('MODULE_NOT_LOADED', plain(path, 300));
  }
  initialize(native, parameters);
  const info = calling('C_GetInfo', () => native.C_GetInfo());
  const manufacturer = trimmed(info.manufacturerID);
  const version = `${info.libraryVersion.major}.${info.libraryVersion.minor}`;
  return new Pkcs11Module(native, quirksOf(manufacturer), {
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
  readonly quirks: Quirks;
  /** Buffers of asynchronous calls under way, by call. */
  readonly #running = new Set<readonly unknown[]>();

  constructor(native: Native, quirks: Quirks, facts: ModuleFacts) {
    LOADED.add(native);
    this.native = native;
    this.quirks = quirks;
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
    return this.#slots(false).map((slot) => {
      const info = calling('C_GetSlotInfo', () => this.native.C_GetSlotInfo(slot));
      return {
        slot: ulong(slot),
        description: plain(trimmed(info.slotDescription), 64),
        token: (info.flags & CKF_TOKEN_PRESENT) === 0 ? null : this.#factsIfReadable(slot),
      };
    });
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
    const version = ({ major, minor }: types.Version) => `${major}.${minor}`;
    return {
      serial: plain(trimmed(info.serialNumber), 64), label: plain(trimmed(info.label), 64),
      model: plain(trimmed(info.model), 64), manufacturer: plain(trimmed(info.manufacturerID), 64),
      firmware: version(info.firmwareVersion), hardware: version(info.hardwareVersion),
      flags: flagNames('CKF_TOKEN', info.flags),
    };
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

  #slots(tokenPresent: boolean): Handle[] {
    return calling('C_GetSlotList', () => this.native.C_GetSlotList(tokenPresent));
  }

  async provision(label: string, pin: Uint8Array): Promise<TokenFacts> {
    if (!this.quirks.provisions) throw new Fault('MODULE_CANNOT_PROVISION');
    const marked = rehearsalLabel(label);
    const initialised = (slot: Handle) => (calling('C_GetTokenInfo', () => this.native.C_GetTokenInfo(slot)).flags & CKF_TOKEN_INITIALIZED) !== 0;
    const before = new Set(this.#slots(true).filter(initialised).map((slot) => this.factsOf(slot).serial));
    const free = this.#slots(true).find((slot) => !initialised(slot));
    if (!free) throw new Fault('MODULE_CANNOT_PROVISION', 'There is no free slot.');
    // 32 bytes, padded by bytes (PKCS#11 3.2 section 5.5.7). Both PINs are the published one: the token is for rehearsals.
    const padded = marked + ' '.repeat(32 - Buffer.byteLength(marked));
    calling('C_InitToken', () => this.native.C_InitToken(free, pinText(pin), padded));
    // Found again by what is new about it: some modules move a token to another slot when it is initialised.
    const isNew = (slot: Handle) => {
      const facts = this.#factsIfReadable(slot);
      return facts !== null && initialised(slot) && facts.label === marked && !before.has(facts.serial);
    };
    const slot = this.#slots(true).find(isNew);
    if (!slot) throw new TokenError('CKR_GENERAL_ERROR', 'C_InitToken');
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
    const { native } = this.#module;
    const slot = this.#find();
    return calling('C_GetMechanismList', () => native.C_GetMechanismList(slot)).map((number) => {
      const info = calling('C_GetMechanismInfo', () => native.C_GetMechanismInfo(slot, number));
      return { name: mechanismName(number), number, min: info.minKeySize, max: info.maxKeySize, flags: flagNames('CKF_MECHANISM', info.flags) };
    });
  }

  async isRehearsal(): Promise<boolean> {
    return isRehearsalToken(this.#module.quirks, (await this.facts()).label);
  }

  notWrappable(algorithm: TokenAlgorithm): string | null {
    return this.#module.quirks.notWrappable[keyTypeName(algorithm.pkcs11.keyType)] ?? null;
  }

  async open(): Promise<Session> {
    const slot = this.#find();
    const handle = calling('C_OpenSession', () => this.#module.native.C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION));
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

  constructor(module: Pkcs11Module, slot: Handle, handle: Handle) {
    this.#module = module;
    this.#slot = slot;
    this.#handle = handle;
  }

  get #native(): Native {
    return this.#module.native;
  }

  async login(pin: Uint8Array): Promise<void> {
    this.#listing = null;
    calling('C_Login', () => this.#native.C_Login(this.#handle, CKU_USER, pinText(pin)));
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
    calling('C_CloseSession', () => this.#native.C_CloseSession(this.#handle));
  }

  async random(length: number): Promise<Uint8Array> {
    const bytes = Buffer.from(new ArrayBuffer(length));
    // In pieces: some tokens refuse large requests, and none needs them.
    for (let at = 0; at < length; at += 16_384) {
      calling('C_GenerateRandom', () => this.#native.C_GenerateRandom(this.#handle, bytes.subarray(at, Math.min(at + 16_384, length))));
    }
    return new Uint8Array(bytes.buffer);
  }

  async list(offset: number, limit: number): Promise<{ total: number; objects: ObjectFact[] }> {
    if (offset === 0 || !this.#listing) this.#listing = this.#handles({ CKA_TOKEN: true }, Infinity);
    const handles = this.#listing;
    return { total: handles.length, objects: handles.slice(offset, offset + limit).map((handle) => this.#fact(handle)) };
  }

  async find(name: ObjectName): Promise<ObjectFact[]> {
    return this.#handles(searchFor(name), 4096).map((handle) => this.#fact(handle));
  }

  async generateKeyPair({ algorithm, id, label, extractable, lives }: KeyPairRequest): Promise<string> {
    this.#listing = null;
    const common: Template = { CKA_TOKEN: lives !== 'session', CKA_ID: fromHex(id), CKA_LABEL: label };
    const publicTemplate = encodeTemplate({
      ...common, CKA_CLASS: CLASSES['public-key'], CKA_KEY_TYPE: algorithm.pkcs11.keyType,
      CKA_PRIVATE: false, CKA_VERIFY: true, CKA_ENCRYPT: false, CKA_WRAP: false, ...this.#parameters(algorithm),
    });
    // The full table, said aloud: defaults differ between tokens, and what is read back is compared with the script.
    const privateTemplate = encodeTemplate({
      ...common, CKA_CLASS: CLASSES['private-key'], CKA_KEY_TYPE: algorithm.pkcs11.keyType, CKA_PRIVATE: true, CKA_SENSITIVE: true,
      CKA_EXTRACTABLE: extractable, CKA_SIGN: true, CKA_DECRYPT: false, CKA_UNWRAP: false, CKA_DERIVE: false, CKA_MODIFIABLE: true,
    });
    const mechanism = { mechanism: algorithm.pkcs11.generate };
    await this.#module.run('C_GenerateKeyPair', [publicTemplate, privateTemplate, mechanism], () =>
      this.#native.C_GenerateKeyPairAsync(this.#handle, mechanism, publicTemplate, privateTemplate));
    return mechanismName(algorithm.pkcs11.generate);
  }

  #parameters(algorithm: TokenAlgorithm): Template {
    switch (algorithm.family) {
      case 'rsa':
        return { CKA_MODULUS_BITS: algorithm.modulusBits, CKA_PUBLIC_EXPONENT: bigEndian(algorithm.publicExponent) };
      case 'ecdsa':
        return { CKA_EC_PARAMS: fromHex(algorithm.pkcs11.ecParams) };
      case 'eddsa': {
        const { ecParams, ecParamsByName } = algorithm.pkcs11;
        return { CKA_EC_PARAMS: fromHex(this.#module.quirks.edwardsParameters === 'name' ? ecParamsByName : ecParams) };
      }
    }
  }

  async attributes(name: ObjectName & { readonly class: KeyClass }): Promise<KeyAttributes> {
    const values = this.#read(this.#one(name), ASKED[name.class]);
    const flag = (attribute: AttributeName): boolean | null => {
      const value = values.get(attribute);
      return value?.length === 1 ? value[0] !== 0 : null;
    };
    const keyType = values.get('CKA_KEY_TYPE');
    const generator = values.get('CKA_KEY_GEN_MECHANISM');
    return {
      class: name.class,
      keyType: keyType === undefined ? '' : keyTypeName(ulong(keyType)),
      id: toHex(values.get('CKA_ID') ?? new Uint8Array()).slice(0, 128),
      label: labelOf(values.get('CKA_LABEL')),
      token: flag('CKA_TOKEN'), private: flag('CKA_PRIVATE'), sensitive: flag('CKA_SENSITIVE'), extractable: flag('CKA_EXTRACTABLE'),
      alwaysSensitive: flag('CKA_ALWAYS_SENSITIVE'), neverExtractable: flag('CKA_NEVER_EXTRACTABLE'), local: flag('CKA_LOCAL'),
      modifiable: flag('CKA_MODIFIABLE'), sign: flag('CKA_SIGN'), verify: flag('CKA_VERIFY'), encrypt: flag('CKA_ENCRYPT'),
      decrypt: flag('CKA_DECRYPT'), wrap: flag('CKA_WRAP'), unwrap: flag('CKA_UNWRAP'), derive: flag('CKA_DERIVE'),
      // CK_UNAVAILABLE_INFORMATION (all ones): the key was not generated on the token.
      generatedBy: generator === undefined || generator.every((byte) => byte === 0xff) ? null : mechanismName(ulong(generator)),
    };
  }

  async publicKey(name: ObjectName & { readonly class: 'public-key' }, algorithm: TokenAlgorithm): Promise<PublicKey> {
    const wanted = algorithm.family === 'rsa' ? (['CKA_MODULUS', 'CKA_PUBLIC_EXPONENT'] as const) : (['CKA_EC_POINT'] as const);
    const values = this.#read(this.#one(name), wanted);
    const value = (attribute: AttributeName) => {
      const bytes = values.get(attribute);
      if (bytes === undefined) throw new TokenError('CKR_ATTRIBUTE_TYPE_INVALID', 'C_GetAttributeValue');
      return Uint8Array.from(bytes);
    };
    return publicKeyFromParts(algorithm.name, algorithm.family === 'rsa'
      ? { n: value('CKA_MODULUS'), e: value('CKA_PUBLIC_EXPONENT') } : { raw: value('CKA_EC_POINT') });
  }

  async sign(name: ObjectName & { readonly class: 'private-key' }, algorithm: TokenAlgorithm, message: Uint8Array): Promise<Uint8Array> {
    const key = this.#one(name);
    calling('C_SignInit', () => this.#native.C_SignInit(this.#handle, { mechanism: algorithm.pkcs11.sign }, key));
    const data = algorithm.pkcs11.signs === 'digest' && algorithm.hash !== null
      ? createHash(algorithm.hash.replace('-', '').toLowerCase()).update(message).digest() : Buffer.from(message);
    const room = Buffer.alloc(LARGEST_SIGNATURE);
    const signature = await this.#module.run('C_Sign', [data, room], () => this.#native.C_SignAsync(this.#handle, data, room));
    // CKM_ECDSA gives r||s already (PKCS#11 3.2 section 6.3.1), which is the JOSE form.
    if (signature.length !== algorithm.signatureBytes) throw new TokenError('CKR_SIGNATURE_LEN_RANGE', 'C_Sign');
    return Uint8Array.from(signature);
  }

  async makeNonExtractable(name: ObjectName & { readonly class: 'private-key' }): Promise<void> {
    const key = this.#one(name);
    // Some modules refuse false -> false as an attempt to write; repeating this after a crash must be harmless.
    if (this.#read(key, ['CKA_EXTRACTABLE']).get('CKA_EXTRACTABLE')?.[0] === 0) return;
    calling('C_SetAttributeValue', () => this.#native.C_SetAttributeValue(this.#handle, key, encodeTemplate({ CKA_EXTRACTABLE: false })));
  }

  async importWrappingKey({ id, label, value }: { id: string; label: string; value: Uint8Array }): Promise<void> {
    calling('C_CreateObject', () => this.#native.C_CreateObject(this.#handle, encodeTemplate({
      CKA_CLASS: CLASSES['secret-key'], CKA_KEY_TYPE: cryptoki.CKK.CKK_AES, CKA_TOKEN: false, CKA_PRIVATE: true, CKA_ID: fromHex(id),
      CKA_LABEL: label, CKA_VALUE: value, CKA_SENSITIVE: true, CKA_EXTRACTABLE: false, CKA_WRAP: true, CKA_UNWRAP: true,
      CKA_ENCRYPT: false, CKA_DECRYPT: false, CKA_SIGN: false, CKA_VERIFY: false, CKA_DERIVE: false,
    })));
  }

  async wrap(key: ObjectName & { readonly class: 'private-key' }, under: ObjectName & { readonly class: 'secret-key' }) {
    const mechanism = this.#keyWrap();
    const wrapping = this.#one(under);
    const wanted = this.#one(key);
    const room = Buffer.alloc(LARGEST_WRAPPED);
    const parameters = { mechanism: mechanismNumber(mechanism) };
    const wrapped = await this.#module.run('C_WrapKey', [room, parameters], () =>
      this.#native.C_WrapKeyAsync(this.#handle, parameters, wrapping, wanted, room));
    return { mechanism, wrapped: Uint8Array.from(wrapped) };
  }

  async unwrap({ wrapped, under, algorithm, id, label }: Parameters<Session['unwrap']>[0]): Promise<void> {
    const wrapping = this.#one(under);
    const bytes = Buffer.from(wrapped);
    const parameters = { mechanism: mechanismNumber(this.#keyWrap()) };
    const template = encodeTemplate({
      CKA_CLASS: CLASSES['private-key'], CKA_KEY_TYPE: algorithm.pkcs11.keyType, CKA_TOKEN: false, CKA_PRIVATE: true, CKA_ID: fromHex(id),
      CKA_LABEL: label, CKA_SENSITIVE: true, CKA_EXTRACTABLE: false, CKA_SIGN: true, CKA_DECRYPT: false, CKA_UNWRAP: false, CKA_DERIVE: false,
    });
    await this.#module.run('C_UnwrapKey', [bytes, parameters, template], () =>
      this.#native.C_UnwrapKeyAsync(this.#handle, parameters, wrapping, bytes, template));
  }

  /** The mechanism that does RFC 5649 here: the first of the quirks' list that the token itself lists. */
  #keyWrap(): string {
    const listed = calling('C_GetMechanismList', () => this.#native.C_GetMechanismList(this.#slot));
    const name = this.#module.quirks.keyWrap.find((candidate) => listed.includes(mechanismNumber(candidate)));
    if (name === undefined) throw new TokenError('CKR_MECHANISM_INVALID', 'C_WrapKey');
    return name;
  }

  async putData(label: string, value: Uint8Array): Promise<void> {
    this.#listing = null;
    calling('C_CreateObject', () => this.#native.C_CreateObject(this.#handle, encodeTemplate({
      CKA_CLASS: CLASSES.data, CKA_TOKEN: true, CKA_PRIVATE: true, CKA_LABEL: label, CKA_APPLICATION: APPLICATION, CKA_VALUE: value,
    })));
  }

  async getData(label: string): Promise<Secret> {
    const value = this.#read(this.#one({ class: 'data', label }), ['CKA_VALUE']).get('CKA_VALUE');
    if (value === undefined) throw new TokenError('CKR_ATTRIBUTE_SENSITIVE', 'C_GetAttributeValue');
    return new Secret(value);
  }

  async destroy(name: ObjectName): Promise<void> {
    this.#listing = null;
    const object = this.#one(name);
    calling('C_DestroyObject', () => this.#native.C_DestroyObject(this.#handle, object));
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

/** CK_INFO texts are padded with blanks, by some modules with zeros. */
function trimmed(text: string): string {
  return text.replace(/[\0 ]+$/, '');
}
