/**
 * The embedded software token: the twin of a PKCS#11 module for rehearsals, demonstrations and development.
 *
 * Its cryptography is real and it behaves as a token does: PIN lock after three wrong tries, private objects invisible
 * without login, CKR_* errors, attributes that only the token sets. It protects nothing against whoever owns the disk and
 * the memory, so a real ceremony refuses it.
 *
 * State: one file per token in one folder, replaced as a whole (write, fsync, rename, fsync of the folder), so it is
 * always either the old or the new state, also after kill -9. Everything private is sealed under the PIN.
 */
import {
  createCipheriv, createDecipheriv, createHash, createPrivateKey, createPublicKey, generateKeyPair as generateKeyPairCallback,
  randomFillSync, scrypt as scryptCallback, scryptSync, sign as signWith, type KeyObject,
} from 'node:crypto';
import {
  closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { aeskwp } from '@noble/ciphers/aes.js';
import { scryptAsync as nobleScrypt } from '@noble/hashes/scrypt.js';
import * as z from 'zod';
import { concat, equalBytes, fromBase64url, fromHex, toBase64url, toHex, utf8 } from '../../ceremonies/bytes.ts';
import type { KeyAttributes, ModuleFacts, ObjectFact, TokenFacts } from '../../ceremonies/evidence.ts';
import { parsePublicKey, type PublicKey } from '../../ceremonies/keys/public-key.ts';
import { Fault, TokenError } from './errors.ts';
import { isRehearsalToken, SOFTWARE_QUIRKS } from './quirks.ts';
import { lend, Secret, secretBytes, takeBytes } from './secret.ts';
import {
  flagNames, keyTypeName, mechanismNumber, mechanismName, oneMatch, plain, rehearsalLabel,
  type KeyPairRequest, type Mechanism, type ObjectName, type Session, type SlotFacts, type Token, type TokenAlgorithm, type TokenModule,
} from './tokens.ts';

/** Shown as the token's model; a real ceremony knows a stand-in by it. */
export const SOFTWARE_MODEL = 'Conclave software token';
const FORMAT = 'conclave-software-token/1';
const VERSION = '1.0';
const TRIES = 3;
const PIN_LENGTHS = { min: 4, max: 64 } as const;
/** Rehearsal grade: a tenth of the usual cost, because hundreds of rehearsal logins must be quick. It guards published PINs. */
const SCRYPT = { N: 2 ** 12, r: 8, p: 1 } as const;
/** PKCS#11's own bits (3.2 table 6), so that the names come out of the same table as a real token's. */
const ALWAYS = 0x40d; // RNG, LOGIN_REQUIRED, USER_PIN_INITIALIZED, TOKEN_INITIALIZED
const COUNT_LOW = 0x10000;
const FINAL_TRY = 0x20000;
const LOCKED = 0x40000;

const flags = z.strictObject({
  private: z.boolean(), sensitive: z.boolean(), extractable: z.boolean(), alwaysSensitive: z.boolean(), neverExtractable: z.boolean(),
  local: z.boolean(), modifiable: z.boolean(), sign: z.boolean(), verify: z.boolean(), encrypt: z.boolean(), decrypt: z.boolean(),
  wrap: z.boolean(), unwrap: z.boolean(), derive: z.boolean(),
});
/** What an object is, without its value. */
const Meta = z.strictObject({
  class: z.enum(['private-key', 'public-key', 'secret-key', 'data']),
  id: z.string(), label: z.string(), keyType: z.string(),
  /** Registry name for keys that sign, '' otherwise. */
  algorithm: z.string(),
  generatedBy: z.string().nullable(),
  flags,
});
type Meta = z.infer<typeof Meta>;
const Stored = z.strictObject({
  /** Names the object in the seals, so that sealed parts cannot be exchanged between objects. */
  uid: z.string().regex(/^[0-9a-f]{16}$/),
  /** In clear for public objects, sealed (base64url) for private ones. */
  meta: z.union([Meta, z.string()]),
  value: z.string(),
});
type Stored = z.infer<typeof Stored>;
const TokenFile = z.strictObject({
  format: z.literal(FORMAT),
  serial: z.string().regex(/^[0-9A-F]{16}$/),
  label: z.string(),
  /** Wrong tries since the last right one. Raised on disk before the answer is given. (Raising it before the try, as cards
   *  do, would make every crash during a login cost the holder a try, and protect nothing from whoever has the file.) */
  wrong: z.int().min(0).max(TRIES),
  salt: z.string(),
  /** The key that seals the objects, itself sealed under the PIN. */
  master: z.string(),
  objects: z.array(Stored),
});
type TokenFile = z.infer<typeof TokenFile>;

interface Held { readonly uid: string; meta: Meta; readonly value: Secret; readonly owner: SoftwareSession }

const generatePair = promisify(generateKeyPairCallback);

/** Opens (and if need be makes) the folder. `program` is the file whose hash stands for the token's "driver". */
export function openSoftwareModule(folder: string, name: string, program: string): TokenModule {
  selfTest();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // A temporary file whose process is gone is a write that never became true.
  for (const file of readdirSync(folder)) {
    const writer = /\.(\d+)\.tmp$/.exec(file)?.[1];
    if (writer !== undefined && !isRunning(Number(writer))) rmSync(join(folder, file), { force: true });
  }
  const sha256 = existsSync(program) ? createHash('sha256').update(readFileSync(program)).digest('hex') : '';
  return new SoftwareModule(folder, {
    name, kind: 'software', path: plain(folder, 512), sha256, library: SOFTWARE_MODEL, version: VERSION,
  });
}

class SoftwareModule implements TokenModule {
  readonly facts: ModuleFacts;
  readonly #folder: string;
  readonly #tokens = new Map<string, SoftwareToken>();

  constructor(folder: string, facts: ModuleFacts) {
    this.#folder = folder;
    this.facts = facts;
  }

  async slots(): Promise<SlotFacts[]> {
    const files = readdirSync(this.#folder).filter((file) => file.endsWith('.token')).sort();
    return Promise.all(files.map(async (file, slot) => {
      try {
        return { slot, description: 'software token', token: await this.#at(file.slice(0, -'.token'.length)).facts() };
      } catch {
        return { slot, description: `unreadable token file ${plain(file, 64)}`, token: null };
      }
    }));
  }

  async token(serial: string): Promise<Token> {
    // The serial number becomes a file name: nothing but what we make ourselves.
    if (!/^[0-9A-F]{16}$/.test(serial) || !existsSync(join(this.#folder, `${serial}.token`))) throw new Fault('TOKEN_MISSING');
    const token = this.#at(serial);
    await token.facts();
    return token;
  }

  #at(serial: string): SoftwareToken {
    let token = this.#tokens.get(serial);
    if (!token) this.#tokens.set(serial, (token = new SoftwareToken(this.#folder, serial)));
    return token;
  }

  async provision(label: string, pin: Uint8Array): Promise<TokenFacts> {
    const marked = rehearsalLabel(label);
    const serial = toHex(randomFillSync(secretBytes(8))).toUpperCase();
    const salt = randomFillSync(secretBytes(16));
    const key = await pinKey(pin, salt);
    const master = randomFillSync(secretBytes(32));
    const file: TokenFile = {
      format: FORMAT, serial, label: marked, wrong: 0, salt: toBase64url(salt), master: seal(key, `${serial}/master`, master), objects: [],
    };
    key.fill(0);
    master.fill(0);
    replaceFile(this.#folder, `${serial}.token`, JSON.stringify(file));
    return this.#at(serial).facts();
  }

  async close(): Promise<void> {
    for (const token of this.#tokens.values()) token.forget();
  }
}

class SoftwareToken implements Token {
  readonly #folder: string;
  readonly #serial: string;
  #cached: { readonly stamp: string; readonly file: TokenFile } | null = null;
  /** Present while somebody is logged in. */
  #master: Secret | null = null;
  /** Opened metas of private objects, while somebody is logged in. */
  readonly #opened = new Map<string, Meta | null>();
  readonly #held = new Set<Held>();
  readonly #sessions = new Set<SoftwareSession>();

  constructor(folder: string, serial: string) {
    this.#folder = folder;
    this.#serial = serial;
  }

  async facts(): Promise<TokenFacts> {
    const file = this.#read();
    const bits = [ALWAYS, ALWAYS | COUNT_LOW, ALWAYS | COUNT_LOW | FINAL_TRY, ALWAYS | LOCKED][file.wrong]!;
    return {
      serial: file.serial, label: plain(file.label, 64), model: SOFTWARE_MODEL, manufacturer: 'Conclave', firmware: VERSION, hardware: VERSION,
      flags: flagNames('CKF_TOKEN', bits),
    };
  }

  async pinLengths(): Promise<{ min: number; max: number }> {
    return PIN_LENGTHS;
  }

  async mechanisms(): Promise<Mechanism[]> {
    return MECHANISMS;
  }

  async isRehearsal(): Promise<boolean> {
    return isRehearsalToken(SOFTWARE_QUIRKS, this.#read().label);
  }

  notWrappable(): null {
    return null;
  }

  async open(): Promise<Session> {
    this.#read();
    const session = new SoftwareSession(this);
    this.#sessions.add(session);
    return session;
  }

  // --- for sessions of this file only --------------------------------------------------------------------------------

  async login(pin: Uint8Array): Promise<void> {
    if (this.#master) throw new TokenError('CKR_USER_ALREADY_LOGGED_IN', 'C_Login');
    const file = this.#read();
    if (file.wrong >= TRIES) throw new TokenError('CKR_PIN_LOCKED', 'C_Login');
    const key = await pinKey(pin, fromBase64url(file.salt));
    const master = await lend(key, () => unseal(key, `${this.#serial}/master`, file.master));
    if (master === null) {
      this.#write({ ...this.#read(), wrong: file.wrong + 1 });
      throw new TokenError('CKR_PIN_INCORRECT', 'C_Login');
    }
    this.#master = new Secret(master);
    if (file.wrong > 0) this.#write({ ...this.#read(), wrong: 0 });
  }

  logout(): void {
    if (!this.#master) throw new TokenError('CKR_USER_NOT_LOGGED_IN', 'C_Logout');
    this.forget();
  }

  loggedIn(): boolean {
    try {
      this.#read();
    } catch {
      return false;
    }
    return this.#master !== null;
  }

  /** Login, opened metas and session objects are gone. */
  forget(): void {
    this.#master?.wipe();
    this.#master = null;
    this.#opened.clear();
    for (const held of this.#held) held.value.wipe();
    this.#held.clear();
  }

  forgetSession(owner: SoftwareSession): void {
    this.#sessions.delete(owner);
    // PKCS#11 3.2 section 5.6.7: closing an application's last session logs it out.
    if (this.#sessions.size === 0) this.forget();
    for (const held of this.#held) {
      if (held.owner !== owner) continue;
      held.value.wipe();
      this.#held.delete(held);
    }
  }

  /** Throws as a token does, for every call that makes or uses something private. */
  master(call: string): Uint8Array {
    if (!this.#master) throw new TokenError('CKR_USER_NOT_LOGGED_IN', call);
    return this.#master.bytes;
  }

  hold(held: Held): void {
    this.#held.add(held);
  }

  store(...made: readonly { readonly meta: Meta; readonly value: Uint8Array }[]): void {
    const file = this.#read();
    const objects = made.map(({ meta, value }) => this.#stored(newUid(), meta, value));
    this.#write({ ...file, objects: [...file.objects, ...objects] });
  }

  /** What can be seen now: null for an object that does not open. Session objects come with their value. */
  visible(): { readonly uid: string; readonly meta: Meta | null; readonly held: Held | null }[] {
    const stored = this.#read().objects.flatMap(({ uid, meta }) => {
      if (typeof meta !== 'string') return [{ uid, meta, held: null }];
      return this.#master ? [{ uid, meta: this.#open(uid, meta), held: null }] : [];
    });
    return [...stored, ...[...this.#held].map((held) => ({ uid: held.uid, meta: held.meta, held }))];
  }

  matching(name: ObjectName): { readonly uid: string; readonly meta: Meta; readonly held: Held | null }[] {
    return this.visible().flatMap(({ uid, meta, held }) => {
      const fits = meta !== null && meta.class === name.class && (held !== null) === (name.lives === 'session')
        && (name.id === undefined || meta.id === name.id) && (name.label === undefined || meta.label === name.label);
      return fits ? [{ uid, meta, held }] : [];
    });
  }

  one(name: ObjectName): { readonly uid: string; readonly meta: Meta; readonly held: Held | null } {
    const found = this.matching(name);
    oneMatch(name, found.length);
    return found[0]!;
  }

  /** A copy of an object's value, for the caller to wipe. */
  value(object: { readonly uid: string; readonly meta: Meta; readonly held: Held | null }, call: string): Uint8Array {
    if (object.held) return takeBytes(Uint8Array.from(object.held.value.bytes));
    const stored = this.#read().objects.find(({ uid }) => uid === object.uid);
    if (!stored) throw new TokenError('CKR_OBJECT_HANDLE_INVALID', call);
    if (typeof stored.meta !== 'string') return takeBytes(fromBase64url(stored.value));
    const opened = unseal(this.master(call), `${this.#serial}/${stored.uid}/value`, stored.value);
    if (opened === null) throw new TokenError('CKR_DEVICE_ERROR', call);
    return opened;
  }

  change(uid: string, meta: Meta): void {
    const file = this.#read();
    const master = this.master('C_SetAttributeValue');
    const objects = file.objects.map((stored) => (stored.uid === uid ? { ...stored, meta: this.#sealMeta(master, uid, meta) } : stored));
    this.#write({ ...file, objects });
    this.#opened.delete(uid);
  }

  destroy(object: { readonly uid: string; readonly held: Held | null }): void {
    if (object.held) {
      object.held.value.wipe();
      this.#held.delete(object.held);
      return;
    }
    const file = this.#read();
    this.#write({ ...file, objects: file.objects.filter(({ uid }) => uid !== object.uid) });
    this.#opened.delete(object.uid);
  }

  #stored(uid: string, meta: Meta, value: Uint8Array): Stored {
    if (!meta.flags.private) return { uid, meta, value: toBase64url(value) };
    const master = this.master('C_CreateObject');
    return { uid, meta: this.#sealMeta(master, uid, meta), value: seal(master, `${this.#serial}/${uid}/value`, value) };
  }

  #sealMeta(master: Uint8Array, uid: string, meta: Meta): string {
    return seal(master, `${this.#serial}/${uid}/meta`, utf8(JSON.stringify(meta)));
  }

  #open(uid: string, sealed: string): Meta | null {
    const known = this.#opened.get(uid);
    if (known !== undefined) return known;
    const opened = unseal(this.master('C_FindObjects'), `${this.#serial}/${uid}/meta`, sealed);
    const parsed = opened === null ? null : Meta.safeParse(JSON.parse(new TextDecoder().decode(opened)));
    const meta = parsed?.success ? parsed.data : null;
    this.#opened.set(uid, meta);
    return meta;
  }

  #read(): TokenFile {
    const path = join(this.#folder, `${this.#serial}.token`);
    let stamp: string;
    try {
      const { ino, mtimeNs, size } = statSync(path, { bigint: true });
      stamp = `${ino}/${mtimeNs}/${size}`;
    } catch {
      this.forget();
      throw new TokenError('CKR_TOKEN_NOT_PRESENT', 'C_GetTokenInfo');
    }
    if (this.#cached?.stamp === stamp) return this.#cached.file;
    let file: TokenFile;
    try {
      file = TokenFile.parse(JSON.parse(readFileSync(path, 'utf8')));
    } catch {
      throw new Fault('TOKEN_UNREADABLE');
    }
    if (file.serial !== this.#serial) throw new Fault('TOKEN_UNREADABLE');
    this.#opened.clear();
    this.#cached = { stamp, file };
    return file;
  }

  #write(file: TokenFile): void {
    this.#cached = null;
    replaceFile(this.#folder, `${this.#serial}.token`, JSON.stringify(file));
  }
}

class SoftwareSession implements Session {
  readonly #token: SoftwareToken;
  #open = true;

  constructor(token: SoftwareToken) {
    this.#token = token;
  }

  async login(pin: Uint8Array): Promise<void> {
    this.#alive('C_Login');
    await this.#token.login(pin);
  }

  async logout(): Promise<void> {
    this.#alive('C_Logout');
    this.#token.logout();
  }

  async loggedIn(): Promise<boolean> {
    return this.#open && this.#token.loggedIn();
  }

  async close(): Promise<void> {
    this.#open = false;
    this.#token.forgetSession(this);
  }

  async random(length: number): Promise<Uint8Array> {
    this.#alive('C_GenerateRandom');
    return randomFillSync(secretBytes(length));
  }

  async list(offset: number, limit: number): Promise<{ total: number; objects: ObjectFact[] }> {
    this.#alive('C_FindObjects');
    const seen = this.#token.visible().filter(({ held }) => held === null);
    return { total: seen.length, objects: seen.slice(offset, offset + limit).map(({ meta }) => factOf(meta)) };
  }

  async find(name: ObjectName): Promise<ObjectFact[]> {
    this.#alive('C_FindObjects');
    return this.#token.matching(name).map(({ meta }) => factOf(meta));
  }

  async generateKeyPair({ algorithm, id, label, extractable, lives }: KeyPairRequest): Promise<string> {
    this.#alive('C_GenerateKeyPair');
    this.#token.master('C_GenerateKeyPair');
    const pair = await makePair(algorithm);
    const mechanism = mechanismName(algorithm.pkcs11.generate);
    const common = { id, label, keyType: keyTypeName(algorithm.pkcs11.keyType), algorithm: algorithm.name, generatedBy: mechanism };
    const privateMeta: Meta = {
      ...common, class: 'private-key',
      flags: {
        ...NO_FLAGS, private: true, sensitive: true, extractable, alwaysSensitive: true, neverExtractable: !extractable, local: true, sign: true,
      },
    };
    const publicMeta: Meta = { ...common, class: 'public-key', flags: { ...NO_FLAGS, extractable: true, local: true, verify: true } };
    await lend(pair.pkcs8, () => {
      if (lives === 'session') {
        this.#hold(publicMeta, pair.spki);
        this.#hold(privateMeta, pair.pkcs8);
      } else {
        // One write for both halves: a half pair cannot be left behind.
        this.#token.store({ meta: publicMeta, value: pair.spki }, { meta: privateMeta, value: pair.pkcs8 });
      }
    });
    return mechanism;
  }

  async attributes(name: ObjectName & { readonly class: 'private-key' | 'public-key' | 'secret-key' }): Promise<KeyAttributes> {
    this.#alive('C_GetAttributeValue');
    const { meta, held } = this.#token.one(name);
    const { flags: f } = meta;
    return {
      class: name.class, keyType: meta.keyType, id: meta.id, label: plain(meta.label, 128), token: held === null,
      ...f, generatedBy: meta.generatedBy,
      // What a class does not have, a token does not answer for (PKCS#11 3.2 tables 33 and 35).
      ...(name.class === 'public-key'
        ? { sensitive: null, extractable: null, alwaysSensitive: null, neverExtractable: null, sign: null, decrypt: null, unwrap: null }
        : name.class === 'private-key' ? { verify: null, encrypt: null, wrap: null } : {}),
    };
  }

  async publicKey(name: ObjectName & { readonly class: 'public-key' }, algorithm: TokenAlgorithm): Promise<PublicKey> {
    this.#alive('C_GetAttributeValue');
    return parsePublicKey(this.#token.value(this.#token.one(name), 'C_GetAttributeValue'), algorithm.name);
  }

  async sign(name: ObjectName & { readonly class: 'private-key' }, algorithm: TokenAlgorithm, message: Uint8Array): Promise<Uint8Array> {
    this.#alive('C_Sign');
    const object = this.#token.one(name);
    if (!object.meta.flags.sign) throw new TokenError('CKR_KEY_FUNCTION_NOT_PERMITTED', 'C_SignInit');
    if (object.meta.algorithm !== algorithm.name) throw new TokenError('CKR_KEY_TYPE_INCONSISTENT', 'C_SignInit');
    return lend(this.#token.value(object, 'C_Sign'), (pkcs8) => signWithPkcs8(pkcs8, algorithm, message));
  }

  async makeNonExtractable(name: ObjectName & { readonly class: 'private-key' }): Promise<void> {
    this.#alive('C_SetAttributeValue');
    const { uid, meta, held } = this.#token.one(name);
    if (!meta.flags.modifiable) throw new TokenError('CKR_ACTION_PROHIBITED', 'C_SetAttributeValue');
    const locked: Meta = { ...meta, flags: { ...meta.flags, extractable: false } };
    if (held) held.meta = locked;
    else this.#token.change(uid, locked);
  }

  async importWrappingKey({ id, label, value }: { id: string; label: string; value: Uint8Array }): Promise<void> {
    this.#alive('C_CreateObject');
    this.#token.master('C_CreateObject');
    if (value.length !== 32) throw new TokenError('CKR_ATTRIBUTE_VALUE_INVALID', 'C_CreateObject');
    const meta: Meta = {
      class: 'secret-key', id, label, keyType: 'CKK_AES', algorithm: '', generatedBy: null,
      flags: { ...NO_FLAGS, private: true, sensitive: true, wrap: true, unwrap: true },
    };
    this.#hold(meta, value);
  }

  async wrap(key: ObjectName & { readonly class: 'private-key' }, under: ObjectName & { readonly class: 'secret-key' }) {
    this.#alive('C_WrapKey');
    const wrapping = this.#token.one(under);
    const object = this.#token.one(key);
    if (!wrapping.meta.flags.wrap) throw new TokenError('CKR_KEY_FUNCTION_NOT_PERMITTED', 'C_WrapKey');
    if (!object.meta.flags.extractable) throw new TokenError('CKR_KEY_UNEXTRACTABLE', 'C_WrapKey');
    const wrapped = await lend(this.#token.value(wrapping, 'C_WrapKey'), (kek) =>
      lend(this.#token.value(object, 'C_WrapKey'), (pkcs8) => aeskwp(kek).encrypt(pkcs8)));
    return { mechanism: 'CKM_AES_KEY_WRAP_KWP', wrapped };
  }

  async unwrap({ wrapped, under, algorithm, id, label }: Parameters<Session['unwrap']>[0]): Promise<void> {
    this.#alive('C_UnwrapKey');
    const wrapping = this.#token.one(under);
    if (!wrapping.meta.flags.unwrap) throw new TokenError('CKR_KEY_FUNCTION_NOT_PERMITTED', 'C_UnwrapKey');
    const pkcs8 = await lend(this.#token.value(wrapping, 'C_UnwrapKey'), (kek) => {
      try {
        return takeBytes(aeskwp(kek).decrypt(wrapped));
      } catch {
        throw new TokenError('CKR_WRAPPED_KEY_INVALID', 'C_UnwrapKey');
      }
    });
    await lend(pkcs8, () => {
      if (!isOfAlgorithm(pkcs8, algorithm)) throw new TokenError('CKR_WRAPPED_KEY_INVALID', 'C_UnwrapKey');
      // PKCS#11 3.2 section 5.18.4: whatever was outside can never again claim to have always been inside.
      this.#hold({
        class: 'private-key', id, label, keyType: keyTypeName(algorithm.pkcs11.keyType), algorithm: algorithm.name, generatedBy: null,
        flags: { ...NO_FLAGS, private: true, sensitive: true, sign: true },
      }, pkcs8);
    });
  }

  async putData(label: string, value: Uint8Array): Promise<void> {
    this.#alive('C_CreateObject');
    this.#token.store({
      meta: { class: 'data', id: '', label, keyType: '', algorithm: '', generatedBy: null, flags: { ...NO_FLAGS, private: true } }, value,
    });
  }

  async getData(label: string): Promise<Secret> {
    this.#alive('C_GetAttributeValue');
    return new Secret(this.#token.value(this.#token.one({ class: 'data', label }), 'C_GetAttributeValue'));
  }

  async destroy(name: ObjectName): Promise<void> {
    this.#alive('C_DestroyObject');
    const object = this.#token.one(name);
    if (object.held === null) this.#token.master('C_DestroyObject');
    this.#token.destroy(object);
  }

  #hold(meta: Meta, value: Uint8Array): void {
    this.#token.hold({ uid: newUid(), meta, value: new Secret(Uint8Array.from(value)), owner: this });
  }

  #alive(call: string): void {
    if (!this.#open) throw new TokenError('CKR_SESSION_HANDLE_INVALID', call);
  }
}

const NO_FLAGS: Meta['flags'] = {
  private: false, sensitive: false, extractable: false, alwaysSensitive: false, neverExtractable: false, local: false, modifiable: true,
  sign: false, verify: false, encrypt: false, decrypt: false, wrap: false, unwrap: false, derive: false,
};

const MECHANISMS: Mechanism[] = [
  mechanism('CKM_EC_KEY_PAIR_GEN', 256, 521, 'CKF_GENERATE_KEY_PAIR'),
  mechanism('CKM_ECDSA', 256, 521, 'CKF_SIGN'),
  mechanism('CKM_EC_EDWARDS_KEY_PAIR_GEN', 256, 256, 'CKF_GENERATE_KEY_PAIR'),
  mechanism('CKM_EDDSA', 256, 256, 'CKF_SIGN'),
  mechanism('CKM_RSA_PKCS_KEY_PAIR_GEN', 3072, 4096, 'CKF_GENERATE_KEY_PAIR'),
  mechanism('CKM_SHA256_RSA_PKCS', 3072, 4096, 'CKF_SIGN'),
  mechanism('CKM_SHA384_RSA_PKCS', 3072, 4096, 'CKF_SIGN'),
  mechanism('CKM_AES_KEY_WRAP_KWP', 32, 32, 'CKF_WRAP', 'CKF_UNWRAP'),
];

function mechanism(name: string, min: number, max: number, ...flags: string[]): Mechanism {
  return { name, number: mechanismNumber(name), min, max, flags };
}

function factOf(meta: Meta | null): ObjectFact {
  if (meta === null) return { class: 'unreadable', id: '', label: '', keyType: '' };
  return { class: meta.class, id: meta.id, label: plain(meta.label, 128), keyType: meta.keyType };
}

/** A key pair in memory, DER. The caller wipes `pkcs8`. Also makes the throwaway keys of certificate lints. */
export async function makePair(algorithm: TokenAlgorithm): Promise<{ spki: Uint8Array; pkcs8: Uint8Array }> {
  const pair = algorithm.family === 'rsa'
    ? await generatePair('rsa', { modulusLength: algorithm.modulusBits, publicExponent: algorithm.publicExponent })
    : algorithm.family === 'ecdsa' ? await generatePair('ec', { namedCurve: algorithm.jose.crv }) : await generatePair('ed25519');
  return {
    spki: Uint8Array.from(pair.publicKey.export({ type: 'spki', format: 'der' })),
    pkcs8: takeBytes(pair.privateKey.export({ type: 'pkcs8', format: 'der' })),
  };
}

/** A signature in JOSE form. `pkcs8` is borrowed. */
export function signWithPkcs8(pkcs8: Uint8Array, algorithm: TokenAlgorithm, message: Uint8Array): Uint8Array {
  const key = privateKeyOf(pkcs8);
  if (algorithm.family === 'eddsa') return Uint8Array.from(signWith(null, message, key));
  const hash = algorithm.hash.replace('-', '').toLowerCase();
  // RFC 7518 section 3.4: r and s at full length, one after the other.
  return Uint8Array.from(algorithm.family === 'ecdsa' ? signWith(hash, message, { key, dsaEncoding: 'ieee-p1363' }) : signWith(hash, message, key));
}

function privateKeyOf(pkcs8: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.length), format: 'der', type: 'pkcs8' });
}

function isOfAlgorithm(pkcs8: Uint8Array, algorithm: TokenAlgorithm): boolean {
  try {
    const spki = createPublicKey(privateKeyOf(pkcs8)).export({ type: 'spki', format: 'der' });
    parsePublicKey(Uint8Array.from(spki), algorithm.name); // refuses any other algorithm, curve or size
    return true;
  } catch {
    return false;
  }
}

// --- sealing ---------------------------------------------------------------------------------------------------------

const NONCE = 12;
const TAG = 16;

/** AES-256-GCM under a random 96-bit nonce; `about` is authenticated with it. Base64url of nonce, ciphertext, tag. */
function seal(key: Uint8Array, about: string, plaintext: Uint8Array): string {
  const nonce = randomFillSync(secretBytes(NONCE));
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(utf8(about));
  return toBase64url(concat(nonce, Uint8Array.from(cipher.update(plaintext)), Uint8Array.from(cipher.final()), Uint8Array.from(cipher.getAuthTag())));
}

/** Null where key, `about` or bytes do not fit. The caller wipes the result. */
function unseal(key: Uint8Array, about: string, sealed: string): Uint8Array<ArrayBuffer> | null {
  try {
    const bytes = fromBase64url(sealed);
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE), { authTagLength: TAG });
    decipher.setAAD(utf8(about)).setAuthTag(bytes.subarray(-TAG));
    const opened = decipher.update(bytes.subarray(NONCE, -TAG));
    decipher.final();
    return takeBytes(opened);
  } catch {
    return null;
  }
}

const nativeScrypt = promisify<Uint8Array, Uint8Array, number, typeof SCRYPT, Buffer>(scryptCallback);

/** The runtime's scrypt where it computes RFC 7914 section 12's first answer, else the pure one. */
const scryptIsNative = (() => {
  try {
    return scryptSync('', '', 64, { N: 16, r: 1, p: 1 }).subarray(0, 8).toString('hex') === '77d6576238657b20';
  } catch {
    return false;
  }
})();

async function pinKey(pin: Uint8Array, salt: Uint8Array): Promise<Uint8Array> {
  return takeBytes(scryptIsNative ? await nativeScrypt(pin, salt, 32, SCRYPT) : await nobleScrypt(pin, salt, { ...SCRYPT, dkLen: 32 }));
}

/** RFC 5649 section 6, second example: a wrapped key must open in twenty years, so the code that wraps is tried first. */
function selfTest(): void {
  const kek = fromHex('5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8');
  const wrapped = aeskwp(kek).encrypt(fromHex('466f7250617369'));
  if (!equalBytes(wrapped, fromHex('afbeb0f07dfbf5419200f2ccb50bb24f'))) throw new TokenError('CKR_FIPS_SELF_TEST_FAILED', 'C_Initialize');
}

// --- files -----------------------------------------------------------------------------------------------------------

/**
 * Replaces a file so that a reader, now or after a power cut, finds the old content or the new one. A disk that is full or
 * read-only is what it would be on a token: CKR_DEVICE_MEMORY or CKR_DEVICE_ERROR, and the old content stays.
 */
function replaceFile(folder: string, name: string, content: string): void {
  const temporary = join(folder, `${name}.${process.pid}.tmp`);
  try {
    synced(temporary, 'w', (file) => writeFileSync(file, content));
    renameSync(temporary, join(folder, name));
    synced(folder, 'r', () => undefined);
  } catch (thrown) {
    rmSync(temporary, { force: true });
    throw new TokenError((thrown as NodeJS.ErrnoException).code === 'ENOSPC' ? 'CKR_DEVICE_MEMORY' : 'CKR_DEVICE_ERROR', 'write');
  }
}

function synced(path: string, how: 'r' | 'w', use: (file: number) => void): void {
  const file = openSync(path, how, 0o600);
  try {
    use(file);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function newUid(): string {
  return toHex(randomFillSync(secretBytes(8)));
}
