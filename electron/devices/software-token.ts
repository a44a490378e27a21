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
  constants, createCipheriv, createDecipheriv, createHash, createHmac, createPrivateKey, createPublicKey, privateDecrypt, publicEncrypt, randomFillSync, scrypt as scryptCallback, scryptSync,
} from 'node:crypto';
import {
  closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { aeskw, aeskwp, cbc, cmac, ecb } from '@noble/ciphers/aes.js';
import { scryptAsync as nobleScrypt } from '@noble/hashes/scrypt.js';
import * as z from 'zod';
import { concat, equalBytes, fromBase64url, fromHex, toBase64url, toHex, utf8 } from '../../ceremonies/bytes.ts';
import type { KeyAttributes, ModuleFacts, ObjectFact, TokenFacts } from '../../ceremonies/evidence.ts';
import {
  AES_256, AES_KWP, ALGORITHMS, componentsOf, CURVE_FACTS, EDWARDS_FACTS, isAlgorithmName, isStateful, ML_KEMS, MONTGOMERY_FACTS, SLH_DSAS,
  type Component, type MlKemAlgorithm, type SlhDsaAlgorithm,
} from '../../ceremonies/keys/algorithms.ts';
import { readCertificate } from '../../ceremonies/keys/chain.ts';
import { derParts, readDer, TAG, writeDer, writeIdentifier, writeOid } from '../../ceremonies/keys/der.ts';
import { readPrivateKey, seedFormOf } from '../../ceremonies/keys/private-key.ts';
import { parsePublicKey } from '../../ceremonies/keys/public-key.ts';
import { readSubjectKey, subjectKeyOf } from '../../ceremonies/keys/subject-key.ts';
import { CURVES, MONTGOMERY, readEcPrivateKey, readRsaPublicKey } from '../../ceremonies/keys/traditional.ts';
import { Fault, TokenError } from './errors.ts';
import type { KeyKindRow, PairAlgorithm, PairKind } from './key-kinds.ts';
import { decapsulate, encapsulate, generateSecret, signWith } from './providers.ts';
import { isRehearsalToken, SOFTWARE_QUIRKS } from './quirks.ts';
import { lend, Secret, secretBytes, takeBytes } from './secret.ts';
import {
  APPLICATION, flagNames, keyTypeName, mayWrite, mechanismNumber, mechanismName, notMoved, oneMatch, plain, rehearsalLabel,
  type AttributeName, type Authenticate, type Cipher, type KeyClass, type KeyPairRequest, type KeyRequest, type MacName, type Mechanism, type MechanismName,
  type OaepHash, type ObjectAt, type ObjectName, type RawDetails, type Session, type SignHow, type SlotFacts, type Template, type Token, type TokenAlgorithm,
  type TokenModule, type TokenPublicKey, type User, type WrapHow,
} from './tokens.ts';
import cryptoki from './cryptoki.json' with { type: 'json' };

/** Shown as the token's model; a real ceremony knows a stand-in by it. */
export const SOFTWARE_MODEL = 'Conclave software token';
const FORMAT = 'conclave-software-token/1';
const VERSION = '1.0';
const TRIES = 3;
const PIN_LENGTHS = { min: 4, max: 64 } as const;
/** Rehearsal grade: a tenth of the usual cost, because hundreds of rehearsal logins must be quick. It guards published PINs. */
const SCRYPT = { N: 2 ** 12, r: 8, p: 1 } as const;
/** PKCS#11's own bits (3.2 table 6), so that the names come out of the same table as a real token's. */
const ALWAYS = 0x405; // RNG, LOGIN_REQUIRED, TOKEN_INITIALIZED
const USER_PIN_INITIALIZED = 0x8;
/** COUNT_LOW, FINAL_TRY and LOCKED, by the number of wrong tries. */
const TRIED = [0, 0x10000, 0x10000 | 0x20000, 0x40000] as const;
const TOKEN_PRESENT = 0x1;

const flags = z.strictObject({
  private: z.boolean(), sensitive: z.boolean(), extractable: z.boolean(), alwaysSensitive: z.boolean(), neverExtractable: z.boolean(),
  local: z.boolean(), modifiable: z.boolean(), sign: z.boolean(), verify: z.boolean(), encrypt: z.boolean(), decrypt: z.boolean(),
  wrap: z.boolean(), unwrap: z.boolean(), derive: z.boolean(),
  // Not in files from before keys could be ordered with these.
  encapsulate: z.boolean().default(false), decapsulate: z.boolean().default(false), copyable: z.boolean().default(true), destroyable: z.boolean().default(true),
  wrapWithTrusted: z.boolean().default(false), alwaysAuthenticate: z.boolean().default(false),
});
type FlagName = keyof z.infer<typeof flags>;
/** What an object is, without its value. */
const Meta = z.strictObject({
  class: z.enum(['private-key', 'public-key', 'secret-key', 'certificate', 'data']),
  id: z.string(), label: z.string(), keyType: z.string(),
  /** Registry name for keys that sign or decapsulate, '' otherwise. */
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
  /** The key that seals the objects, itself sealed under the PIN; null while the user has none. */
  master: z.string().nullable(),
  /** Likewise under the SO's PIN, so that a user who is locked out can be given another. Absent from files of earlier programs. */
  so: z.strictObject({ wrong: z.int().min(0).max(TRIES), salt: z.string(), master: z.string() }).optional(),
  objects: z.array(Stored),
});
type TokenFile = z.infer<typeof TokenFile>;

interface Held { readonly uid: string; meta: Meta; readonly value: Secret; readonly owner: SoftwareSession }

/** Opens (and if need be makes) the folder. `program` is the file whose hash stands for the token's "driver". */
export function openSoftwareModule(folder: string, name: string, program: string, readOnly = false): TokenModule {
  selfTest();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // A temporary file whose process is gone is a write that never became true.
  for (const file of readdirSync(folder)) {
    const writer = /\.(\d+)\.tmp$/.exec(file)?.[1];
    if (writer !== undefined && !isRunning(Number(writer))) rmSync(join(folder, file), { force: true });
  }
  const sha256 = existsSync(program) ? createHash('sha256').update(readFileSync(program)).digest('hex') : '';
  return new SoftwareModule(folder, readOnly, {
    name, kind: 'software', path: plain(folder, 512), sha256, library: SOFTWARE_MODEL, version: VERSION,
  });
}

class SoftwareModule implements TokenModule {
  readonly facts: ModuleFacts;
  readonly readOnly: boolean;
  readonly #folder: string;
  readonly #tokens = new Map<string, SoftwareToken>();

  constructor(folder: string, readOnly: boolean, facts: ModuleFacts) {
    this.#folder = folder;
    this.readOnly = readOnly;
    this.facts = facts;
  }

  /** Nobody carries them about. */
  async movingSlots(): Promise<null> {
    return null;
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
    if (!token) this.#tokens.set(serial, (token = new SoftwareToken(this.#folder, serial, this.readOnly)));
    return token;
  }

  async provision(label: string, pin: Uint8Array): Promise<TokenFacts> {
    mayWrite(this, 'C_InitToken');
    const marked = rehearsalLabel(label);
    const serial = toHex(randomFillSync(secretBytes(8))).toUpperCase();
    // Both PINs are the published one: the token is for rehearsals.
    const file = await lend(randomFillSync(secretBytes(32)), async (master): Promise<TokenFile> => ({
      format: FORMAT, serial, label: marked, wrong: 0, ...(await sealedMaster(serial, pin, master)), so: { wrong: 0, ...(await sealedMaster(serial, pin, master)) }, objects: [],
    }));
    replaceFile(this.#folder, `${serial}.token`, JSON.stringify(file));
    return this.#at(serial).facts();
  }

  async close(): Promise<void> {
    for (const token of this.#tokens.values()) token.forget();
  }
}

class SoftwareToken implements Token {
  readonly readOnly: boolean;
  readonly #folder: string;
  readonly #serial: string;
  #cached: { readonly stamp: string; readonly file: TokenFile } | null = null;
  /** Present while the user is logged in. */
  #master: Secret | null = null;
  /** Present while the SO is: who sees no private object and makes none, but may set the user's PIN. */
  #officer: Secret | null = null;
  /** Opened metas of private objects, while somebody is logged in. */
  readonly #opened = new Map<string, Meta | null>();
  readonly #held = new Set<Held>();
  readonly #sessions = new Set<SoftwareSession>();

  constructor(folder: string, serial: string, readOnly: boolean) {
    this.readOnly = readOnly;
    this.#folder = folder;
    this.#serial = serial;
  }

  async facts(): Promise<TokenFacts> {
    const file = this.#read();
    return {
      serial: file.serial, label: plain(file.label, 64), model: SOFTWARE_MODEL, manufacturer: 'Conclave', firmware: VERSION, hardware: VERSION,
      flags: flagNames('CKF_TOKEN', flagBits(file)),
    };
  }

  async details(): Promise<RawDetails> {
    const manufacturer = 'Conclave';
    return {
      library: { manufacturer, description: SOFTWARE_MODEL, version: VERSION, cryptoki: '3.2', interfaces: [] },
      slot: { number: 0, description: 'software token', manufacturer, hardware: VERSION, firmware: VERSION, flags: TOKEN_PRESENT },
      flags: flagBits(this.#read()),
      clock: null,
      pin: PIN_LENGTHS,
      limits: {
        sessions: { now: this.#sessions.size, most: 'unlimited' }, writeSessions: { now: this.#sessions.size, most: 'unlimited' },
        publicMemory: { now: null, most: null }, privateMemory: { now: null, most: null },
      },
    };
  }

  async pinLengths(): Promise<{ min: number; max: number }> {
    return PIN_LENGTHS;
  }

  async mechanisms(): Promise<Mechanism[]> {
    return MECHANISMS;
  }

  async isRehearsal(label?: string): Promise<boolean> {
    return isRehearsalToken(SOFTWARE_QUIRKS, label ?? this.#read().label);
  }

  get oaepHash(): OaepHash {
    return SOFTWARE_QUIRKS.oaepHash;
  }

  async initialise(label: string, pin: Uint8Array | null, seen: TokenFacts): Promise<Token> {
    mayWrite(this, 'C_InitToken');
    notMoved(seen, await this.facts(), this.#sessions.size);
    const so = this.#read().so;
    // Section 5.5.7: whoever initialises an initialised token must know the SO's PIN.
    if (so !== undefined) (await this.#opening('so', pin, 'C_InitToken')).fill(0);
    const file = await lend(randomFillSync(secretBytes(32)), async (master): Promise<TokenFile> => ({
      format: FORMAT, serial: this.#serial, label, wrong: 0, salt: '', master: null,
      so: { wrong: 0, ...(await sealedMaster(this.#serial, typed(pin, 'C_InitToken'), master)) }, objects: [],
    }));
    this.#write(file);
    return this;
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

  async login(pin: Uint8Array | null, who: User): Promise<void> {
    if (who === 'so') mayWrite(this, 'C_Login');
    if ((who === 'user' ? this.#master : this.#officer) !== null) throw new TokenError('CKR_USER_ALREADY_LOGGED_IN', 'C_Login');
    if (this.#master ?? this.#officer) throw new TokenError('CKR_USER_ANOTHER_ALREADY_LOGGED_IN', 'C_Login');
    const master = new Secret(await this.#opening(who, pin, 'C_Login'));
    if (who === 'user') this.#master = master;
    else this.#officer = master;
  }

  /** Whether this is the user's PIN, for one use of a key that wants it each time. Throws as `login`. */
  async authenticate(pin: Uint8Array | null): Promise<void> {
    (await this.#opening('user', pin, 'C_Login')).fill(0);
  }

  /** The master key, which the caller wipes. A wrong PIN is counted before the answer is given, a right one ends the count. */
  async #opening(who: User, pin: Uint8Array | null, call: string): Promise<Uint8Array> {
    const bytes = typed(pin, call);
    const read = this.#read();
    const { wrong, salt, master } = who === 'user' ? read : read.so ?? { wrong: 0, salt: '', master: null };
    if (master === null) throw new TokenError(who === 'user' ? 'CKR_USER_PIN_NOT_INITIALIZED' : 'CKR_USER_TYPE_INVALID', call);
    if (wrong >= TRIES) throw new TokenError('CKR_PIN_LOCKED', call);
    const key = await pinKey(bytes, fromBase64url(salt));
    const opened = await lend(key, () => unseal(key, `${this.#serial}/master`, master));
    const tries = opened === null ? wrong + 1 : 0;
    if (tries !== wrong) {
      const now = this.#read();
      this.#write(who === 'user' ? { ...now, wrong: tries } : { ...now, ...(now.so && { so: { ...now.so, wrong: tries } }) });
    }
    if (opened === null) throw new TokenError('CKR_PIN_INCORRECT', call);
    return opened;
  }

  async setUserPin(pin: Uint8Array | null): Promise<void> {
    mayWrite(this, 'C_InitPIN');
    if (!this.#officer) throw new TokenError('CKR_USER_NOT_LOGGED_IN', 'C_InitPIN');
    const sealed = await sealedMaster(this.#serial, typed(pin, 'C_InitPIN'), this.#officer.bytes);
    this.#write({ ...this.#read(), wrong: 0, ...sealed });
  }

  async changePin(old: Uint8Array | null, pin: Uint8Array | null): Promise<void> {
    mayWrite(this, 'C_SetPIN');
    const who = this.#officer ? 'so' : 'user';
    const sealed = await lend(await this.#opening(who, old, 'C_SetPIN'), (master) => sealedMaster(this.#serial, typed(pin, 'C_SetPIN'), master));
    const file = this.#read();
    this.#write(who === 'user' ? { ...file, ...sealed } : { ...file, so: { wrong: 0, ...sealed } });
  }

  logout(): void {
    if (!this.#master && !this.#officer) throw new TokenError('CKR_USER_NOT_LOGGED_IN', 'C_Logout');
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
    this.#officer?.wipe();
    this.#master = null;
    this.#officer = null;
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
    mayWrite(this, 'C_CreateObject');
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

  /** What a listing shows, in its order. */
  listed(): { readonly uid: string; readonly meta: Meta | null; readonly held: null }[] {
    return this.visible().flatMap(({ uid, meta, held }) => (held === null ? [{ uid, meta, held }] : []));
  }

  /** The object that a session has listed; it may be gone since. */
  stored(uid: string): { readonly uid: string; readonly meta: Meta; readonly held: null } {
    const found = this.listed().find((object) => object.uid === uid);
    if (found === undefined) throw new TokenError('CKR_OBJECT_HANDLE_INVALID', 'C_GetAttributeValue');
    if (found.meta === null) throw new TokenError('CKR_DEVICE_ERROR', 'C_GetAttributeValue');
    return { uid, meta: found.meta, held: null };
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
    mayWrite(this, 'C_SetAttributeValue');
    const file = this.#read();
    const master = this.master('C_SetAttributeValue');
    const objects = file.objects.map((stored) => (stored.uid === uid ? { ...stored, meta: meta.flags.private ? this.#sealMeta(master, uid, meta) : meta } : stored));
    this.#write({ ...file, objects });
    this.#opened.delete(uid);
  }

  destroy(object: { readonly uid: string; readonly held: Held | null }): void {
    if (object.held) {
      object.held.value.wipe();
      this.#held.delete(object.held);
      return;
    }
    mayWrite(this, 'C_DestroyObject');
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

interface Found { readonly uid: string; readonly meta: Meta; readonly held: Held | null }

class SoftwareSession implements Session {
  readonly #token: SoftwareToken;
  /** What places stand for, until the next listing. */
  #listing: readonly string[] | null = null;
  #authenticate: Authenticate | null = null;
  #open = true;

  constructor(token: SoftwareToken) {
    this.#token = token;
  }

  async login(pin: Uint8Array | null, who: User = 'user'): Promise<void> {
    this.#alive('C_Login');
    this.#listing = null;
    await this.#token.login(pin, who);
  }

  authenticateWith(ask: Authenticate): void {
    this.#authenticate = ask;
  }

  async #authenticated({ flags: f }: Meta): Promise<void> {
    if (!f.alwaysAuthenticate) return;
    if (this.#authenticate === null) throw new TokenError('CKR_USER_NOT_LOGGED_IN', 'C_Sign');
    await this.#authenticate((pin) => this.#token.authenticate(pin));
  }

  async setUserPin(pin: Uint8Array | null): Promise<void> {
    this.#alive('C_InitPIN');
    await this.#token.setUserPin(pin);
  }

  async changePin(old: Uint8Array | null, pin: Uint8Array | null): Promise<void> {
    this.#alive('C_SetPIN');
    await this.#token.changePin(old, pin);
  }

  async logout(): Promise<void> {
    this.#alive('C_Logout');
    this.#listing = null;
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

  async list(offset: number, limit: number, fresh = offset === 0): Promise<{ total: number; objects: ObjectFact[] }> {
    this.#alive('C_FindObjects');
    if (fresh) this.#listing = null;
    const places = this.#places();
    const metas = new Map(this.#token.listed().map(({ uid, meta }) => [uid, meta]));
    return { total: places.length, objects: places.slice(offset, offset + limit).map((uid) => factOf(metas.get(uid) ?? null)) };
  }

  #places(): readonly string[] {
    return (this.#listing ??= this.#token.listed().map(({ uid }) => uid));
  }

  /** Throws Fault REQUEST_INVALID for a place that the listing does not have. */
  #object(which: ObjectAt | ObjectName): Found {
    if (!('position' in which)) return this.#token.one(which);
    const uid = this.#places()[which.position];
    if (uid === undefined) throw new Fault('REQUEST_INVALID', 'There is no object at this place of the listing.');
    return this.#token.stored(uid);
  }

  async search(wanted: Template): Promise<number[]> {
    this.#alive('C_FindObjects');
    const entries = Object.entries(encoded(wanted)) as [AttributeName, Uint8Array][];
    const objects = new Map(this.#token.listed().map((object) => [object.uid, object]));
    return this.#places().flatMap((uid, position) => {
      const object = objects.get(uid);
      if (object === undefined) return [];
      const values = object.meta === null ? null : this.#attributesOf({ ...object, meta: object.meta }, entries.map(([name]) => name));
      const fits = values !== null && entries.every(([name, value]) => equalBytes(values.get(name) ?? NOTHING, value));
      return fits ? [position] : [];
    });
  }

  async read(which: ObjectAt | ObjectName, names: readonly AttributeName[]): Promise<ReadonlyMap<AttributeName, Uint8Array>> {
    this.#alive('C_GetAttributeValue');
    return this.#attributesOf(this.#object(which), names);
  }

  /** In the bytes that a PKCS#11 module gives on this machine. */
  #attributesOf(object: Found, names: readonly AttributeName[]): Map<AttributeName, Uint8Array> {
    const { meta, held } = object;
    const told: Template = {
      CKA_CLASS: CLASSES[meta.class], CKA_TOKEN: held === null, CKA_PRIVATE: meta.flags.private, CKA_MODIFIABLE: meta.flags.modifiable, CKA_LABEL: meta.label,
      CKA_COPYABLE: meta.flags.copyable, CKA_DESTROYABLE: meta.flags.destroyable,
      ...(meta.class === 'data' ? { CKA_APPLICATION: APPLICATION } : meta.class === 'certificate' ? this.#certificateValues(object) : keyAttributes(meta, meta.class)),
      ...(meta.class === 'secret-key' && names.some((name) => SECRET_FACTS.includes(name)) && this.#secretFacts(object)),
      ...(meta.class === 'public-key' && names.some((name) => PUBLIC_VALUES.includes(name)) && this.#publicValues(object)),
    };
    const bytes = encoded(told);
    return new Map(names.flatMap((name) => (bytes[name] === undefined ? [] : [[name, bytes[name]] as const])));
  }

  /** Length and check value (PKCS#11 3.2 section 4.10.2: of AES, the first three bytes of a block of zeros in ECB). */
  #secretFacts(object: Found): Template {
    const value = this.#token.value(object, 'C_GetAttributeValue');
    try {
      const check = object.meta.keyType !== 'CKK_AES' ? {} : { CKA_CHECK_VALUE: ecb(value, { disablePadding: true }).encrypt(secretBytes(16)).slice(0, 3) };
      return { CKA_VALUE_LEN: value.length, ...check };
    } finally {
      value.fill(0);
    }
  }

  #certificateValues(object: Found): Template {
    const der = this.#token.value(object, 'C_GetAttributeValue');
    const { subject, issuer, serial } = readCertificate(der);
    return {
      CKA_ID: fromHex(object.meta.id), CKA_CERTIFICATE_TYPE: 0, CKA_SUBJECT: subject, CKA_ISSUER: issuer, CKA_VALUE: der,
      CKA_SERIAL_NUMBER: writeDer(TAG.integer, fromHex(serial)),
    };
  }

  #publicValues(object: Found): Template {
    const spki = this.#token.value(object, 'C_GetAttributeValue');
    const key = readSubjectKey(spki);
    switch (key.kind) {
      case 'rsa': {
        const { n, e } = readRsaPublicKey(key.raw, 'publicKey');
        return { CKA_PUBLIC_KEY_INFO: spki, CKA_MODULUS: n, CKA_PUBLIC_EXPONENT: e, CKA_MODULUS_BITS: key.modulusBits };
      }
      // PKCS#11 3.2 section 6.3.3: DER of the X9.62 ECPoint, an OCTET STRING; and of the ECParameters, an OID.
      case 'ecdsa': return { CKA_PUBLIC_KEY_INFO: spki, CKA_EC_POINT: writeDer(TAG.octetString, key.raw), CKA_EC_PARAMS: writeOid(CURVE_FACTS[key.curve].oid) };
      case 'eddsa': return { CKA_PUBLIC_KEY_INFO: spki, CKA_EC_POINT: writeDer(TAG.octetString, key.raw), CKA_EC_PARAMS: writeOid(EDWARDS_FACTS[key.curve].oid) };
      case 'ml-dsa': return { CKA_PUBLIC_KEY_INFO: spki, CKA_VALUE: key.raw, CKA_PARAMETER_SET: ALGORITHMS[key.name].pkcs11.parameterSet };
      case 'slh-dsa': return { CKA_PUBLIC_KEY_INFO: spki, CKA_VALUE: key.raw, CKA_PARAMETER_SET: key.row.pkcs11.parameterSet };
      case 'kem':
        return { CKA_PUBLIC_KEY_INFO: spki, CKA_VALUE: key.raw, ...(key.row.family === 'ml-kem' && { CKA_PARAMETER_SET: key.row.pkcs11.parameterSet }) };
      case 'xdh': return { CKA_PUBLIC_KEY_INFO: spki, CKA_EC_POINT: writeDer(TAG.octetString, key.raw), CKA_EC_PARAMS: writeOid(MONTGOMERY_FACTS[key.curve].oid) };
      case 'composite': case 'hss': case 'xmss': return { CKA_PUBLIC_KEY_INFO: spki };
    }
  }

  async find(name: ObjectName): Promise<ObjectFact[]> {
    this.#alive('C_FindObjects');
    return this.#token.matching(name).map(({ meta }) => factOf(meta));
  }

  async generateKeyPair({ algorithm, id, label, extractable, lives }: KeyPairRequest): Promise<string> {
    this.#mayMake(lives, 'C_GenerateKeyPair');
    const pair = await generateSecret(algorithm.family === 'ml-kem' ? algorithm : componentOf(algorithm, 'C_GenerateKeyPair'));
    const mechanism = mechanismName(algorithm.pkcs11.generate);
    const common = { id, label, keyType: keyTypeName(algorithm.pkcs11.keyType), algorithm: algorithm.name, generatedBy: mechanism };
    const signs = algorithm.family !== 'ml-kem';
    const privateMeta: Meta = {
      ...common, class: 'private-key',
      flags: {
        ...NO_FLAGS, private: true, sensitive: true, extractable, alwaysSensitive: true, neverExtractable: !extractable, local: true, sign: signs,
        decapsulate: !signs,
      },
    };
    const publicMeta: Meta = { ...common, class: 'public-key', flags: { ...NO_FLAGS, extractable: true, local: true, verify: signs, encapsulate: !signs } };
    await lend(pair.pkcs8, () => {
      // Making a key may take seconds, in which somebody may have logged out or closed the session.
      this.#alive('C_GenerateKeyPair');
      this.#token.master('C_GenerateKeyPair');
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

  async attributes(name: (ObjectName | ObjectAt) & { readonly class: KeyClass }): Promise<KeyAttributes> {
    this.#alive('C_GetAttributeValue');
    const { meta, held } = this.#object(name);
    const { encapsulate: _, decapsulate: _2, copyable: _3, destroyable: _4, wrapWithTrusted: _5, alwaysAuthenticate: _6, ...f } = meta.flags;
    return {
      class: name.class, keyType: meta.keyType, id: meta.id, label: plain(meta.label, 128), token: held === null,
      ...f, generatedBy: meta.generatedBy,
      keysRemaining: null, // SP 800-208: a key that must be counted is never made in software
      // What a class does not have, a token does not answer for (PKCS#11 3.2 tables 33 and 35).
      ...(name.class === 'public-key'
        ? { sensitive: null, extractable: null, alwaysSensitive: null, neverExtractable: null, sign: null, decrypt: null, unwrap: null }
        : name.class === 'private-key' ? { verify: null, encrypt: null, wrap: null } : {}),
    };
  }

  async publicKey(name: ObjectName & { readonly class: 'public-key' }, algorithm: TokenAlgorithm): Promise<TokenPublicKey> {
    this.#alive('C_GetAttributeValue');
    // Read as strictly as anybody's: the file may have been changed.
    const spki = this.#token.value(this.#token.one(name), 'C_GetAttributeValue');
    if (isAlgorithmName(algorithm.name)) return parsePublicKey(spki, algorithm.name);
    const key = readSubjectKey(spki);
    if (key.kind !== 'slh-dsa' || key.row.name !== algorithm.name) throw new TokenError('CKR_ATTRIBUTE_TYPE_INVALID', 'C_GetAttributeValue');
    return { algorithm: algorithm.name, spki };
  }

  async sign(
    which: ObjectAt | (ObjectName & { readonly class: 'private-key' }), algorithm: TokenAlgorithm, message: Uint8Array, how: SignHow = {},
  ): Promise<Uint8Array> {
    this.#alive('C_Sign');
    const object = this.#object(which);
    if (!object.meta.flags.sign) throw new TokenError('CKR_KEY_FUNCTION_NOT_PERMITTED', 'C_SignInit');
    if (object.meta.algorithm !== algorithm.name) throw new TokenError('CKR_KEY_TYPE_INCONSISTENT', 'C_SignInit');
    const component = signerOf(algorithm, how);
    await this.#authenticated(object.meta);
    const { context } = how;
    return lend(this.#token.value(object, 'C_Sign'), (pkcs8) => signWith(component, pkcs8, message, context === undefined ? {} : { context }));
  }

  async makeNonExtractable(name: ObjectName & { readonly class: 'private-key' }): Promise<void> {
    this.#alive('C_SetAttributeValue');
    if (name.lives !== 'session') mayWrite(this.#token, 'C_SetAttributeValue');
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
    if (object.meta.flags.wrapWithTrusted) throw new TokenError('CKR_KEY_NOT_WRAPPABLE', 'C_WrapKey');
    const wrapped = await lend(this.#token.value(wrapping, 'C_WrapKey'), (kek) =>
      lend(this.#token.value(object, 'C_WrapKey'), (pkcs8) => aeskwp(kek).encrypt(pkcs8)));
    return { mechanism: KEY_WRAP, wrapped };
  }

  async refusesToWrap(key: ObjectName & { readonly class: 'private-key' }, under: ObjectName & { readonly class: 'secret-key' }): Promise<boolean> {
    return this.wrap(key, under).then(() => false, (thrown: unknown) => {
      if (thrown instanceof TokenError && thrown.code === 'CKR_KEY_UNEXTRACTABLE') return true;
      throw thrown;
    });
  }

  async unwrap({ wrapped, under, algorithm, id, label, lives = 'session' }: Parameters<Session['unwrap']>[0]): Promise<void> {
    this.#mayMake(lives, 'C_UnwrapKey');
    const pkcs8 = await this.#opened(under, wrapped);
    // PKCS#11 3.2 section 5.18.4: whatever was outside can never again claim to have always been inside.
    const meta: Meta = {
      class: 'private-key', id, label, keyType: keyTypeName(algorithm.pkcs11.keyType), algorithm: algorithm.name, generatedBy: null,
      flags: { ...NO_FLAGS, private: true, sensitive: true, sign: true },
    };
    await lend(pkcs8, async () => lend(await keptForm(pkcs8, algorithm), (kept) => {
      this.#mayMake(lives, 'C_UnwrapKey');
      this.#keep(lives, { meta, value: kept });
    }));
  }

  async generateWrappingKey({ id, label, lives }: Parameters<Session['generateWrappingKey']>[0]): Promise<string> {
    this.#mayMake(lives, 'C_GenerateKey');
    const mechanism = mechanismName(AES_256.pkcs11.generate);
    const meta: Meta = {
      class: 'secret-key', id, label, keyType: keyTypeName(AES_256.pkcs11.keyType), algorithm: '', generatedBy: mechanism,
      flags: { ...NO_FLAGS, private: true, sensitive: true, alwaysSensitive: true, neverExtractable: true, local: true, wrap: true, unwrap: true },
    };
    await lend(randomFillSync(secretBytes(AES_256.keyBytes)), (value) => {
      if (lives === 'session') this.#hold(meta, value);
      else this.#token.store({ meta, value });
    });
    return mechanism;
  }

  async sealBytes(under: ObjectName & { readonly class: 'secret-key' }, value: Uint8Array) {
    this.#alive('C_WrapKey');
    const wrapping = this.#token.one(under);
    if (!wrapping.meta.flags.wrap) throw new TokenError('CKR_KEY_FUNCTION_NOT_PERMITTED', 'C_WrapKey');
    // A secret key of no bytes is none, and RFC 5649 section 3 wraps nothing shorter than one.
    if (value.length === 0) throw new TokenError('CKR_ATTRIBUTE_VALUE_INVALID', 'C_CreateObject');
    const wrapped = await lend(this.#token.value(wrapping, 'C_WrapKey'), (kek) => aeskwp(kek).encrypt(value));
    return { mechanism: KEY_WRAP, wrapped };
  }

  async openBytes(under: ObjectName & { readonly class: 'secret-key' }, wrapped: Uint8Array): Promise<Secret> {
    this.#alive('C_UnwrapKey');
    return new Secret(await this.#opened(under, wrapped));
  }

  async kemPublicKey(name: ObjectName & { readonly class: 'public-key' }, algorithm: MlKemAlgorithm): Promise<Uint8Array> {
    this.#alive('C_GetAttributeValue');
    const object = this.#token.one(name);
    if (object.meta.algorithm !== algorithm.name) throw new TokenError('CKR_ATTRIBUTE_TYPE_INVALID', 'C_GetAttributeValue');
    return Uint8Array.from(readSubjectKey(this.#token.value(object, 'C_GetAttributeValue')).raw);
  }

  async encapsulate(which: ObjectAt | (ObjectName & { readonly class: 'public-key' }), algorithm: MlKemAlgorithm) {
    this.#alive('C_EncapsulateKey');
    const object = this.#object(which);
    if (object.meta.algorithm !== algorithm.name) throw new TokenError('CKR_KEY_TYPE_INCONSISTENT', 'C_EncapsulateKey');
    const { ciphertext, sharedSecret } = await encapsulate(algorithm, readSubjectKey(this.#token.value(object, 'C_EncapsulateKey')).raw);
    return { ciphertext, secret: new Secret(sharedSecret) };
  }

  async decapsulate(which: ObjectAt | (ObjectName & { readonly class: 'private-key' }), algorithm: MlKemAlgorithm, ciphertext: Uint8Array): Promise<Secret> {
    this.#alive('C_DecapsulateKey');
    const object = this.#object(which);
    if (object.meta.algorithm !== algorithm.name) throw new TokenError('CKR_KEY_TYPE_INCONSISTENT', 'C_DecapsulateKey');
    if (ciphertext.length !== algorithm.ciphertextBytes) throw new TokenError('CKR_WRAPPED_KEY_LEN_RANGE', 'C_DecapsulateKey');
    return lend(this.#token.value(object, 'C_DecapsulateKey'), async (pkcs8) => new Secret(await decapsulate(algorithm, pkcs8, ciphertext)));
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

  async destroy(which: ObjectName | ObjectAt): Promise<void> {
    this.#alive('C_DestroyObject');
    if ('position' in which || which.lives !== 'session') mayWrite(this.#token, 'C_DestroyObject');
    const object = this.#object(which);
    if (object.held === null) this.#token.master('C_DestroyObject');
    if (!object.meta.flags.destroyable) throw new TokenError('CKR_ACTION_PROHIBITED', 'C_DestroyObject');
    this.#token.destroy(object);
  }

  // --- administration ------------------------------------------------------------------------------------------------

  async makeKey({ kind, id, label, own, other, lives }: KeyRequest): Promise<string> {
    const call = kind.shape === 'pair' ? 'C_GenerateKeyPair' : 'C_GenerateKey';
    this.#mayMake(lives, call);
    if (kind.shape === 'secret') {
      const mechanism = mechanismName(kind.generate);
      const meta = metaOf('secret-key', { id, label, keyType: keyTypeName(kind.keyType), algorithm: '', generatedBy: mechanism }, own);
      await lend(randomFillSync(secretBytes(kind.bytes)), (value) => this.#keep(lives, { meta, value }));
      return mechanism;
    }
    offered(kind, call);
    const { algorithm } = kind;
    const pair = algorithm.family === 'xdh' ? freshXdh() : await generateSecret(algorithm.family === 'ml-kem' ? algorithm : componentOf(algorithm, call));
    const mechanism = mechanismName(algorithm.pkcs11.generate);
    const common = { id, label, keyType: keyTypeName(algorithm.pkcs11.keyType), algorithm: algorithm.name, generatedBy: mechanism };
    await lend(pair.pkcs8, () => {
      this.#mayMake(lives, call); // Making a key may take seconds, in which somebody may have logged out.
      this.#keep(lives, { meta: metaOf('public-key', common, other), value: pair.spki }, { meta: metaOf('private-key', common, own), value: pair.pkcs8 });
    });
    return mechanism;
  }

  /** One write for all: half a pair cannot be left behind. */
  #keep(lives: ObjectName['lives'], ...made: readonly { readonly meta: Meta; readonly value: Uint8Array }[]): void {
    if (lives === 'session') for (const { meta, value } of made) this.#hold(meta, value);
    else this.#token.store(...made);
  }

  #mayMake(lives: ObjectName['lives'], call: string): void {
    this.#alive(call);
    if (lives !== 'session') mayWrite(this.#token, call);
    this.#token.master(call);
  }

  async importKey({ kind, id, label, own, other, lives, pkcs8, spki }: Parameters<Session['importKey']>[0]): Promise<void> {
    this.#mayMake(lives, 'C_CreateObject');
    const { algorithm } = offered(kind, 'C_CreateObject');
    const common = { id, label, keyType: keyTypeName(algorithm.pkcs11.keyType), algorithm: algorithm.name, generatedBy: null };
    await lend(await keptForm(takeBytes(Uint8Array.from(pkcs8)), algorithm), (value) => {
      this.#mayMake(lives, 'C_CreateObject');
      this.#keep(lives, { meta: metaOf('public-key', common, other), value: spki }, { meta: metaOf('private-key', common, own), value });
    });
  }

  async importPublicKey({ kind, id, label, other, lives, spki }: Parameters<Session['importPublicKey']>[0]): Promise<void> {
    this.#mayMake(lives, 'C_CreateObject');
    const { algorithm } = offered(kind, 'C_CreateObject');
    const common = { id, label, keyType: keyTypeName(algorithm.pkcs11.keyType), algorithm: algorithm.name, generatedBy: null };
    this.#keep(lives, { meta: metaOf('public-key', common, other), value: spki });
  }

  async importCertificate({ id, label, der }: Parameters<Session['importCertificate']>[0]): Promise<void> {
    this.#mayMake('token', 'C_CreateObject');
    this.#token.store({ meta: { class: 'certificate', id, label, keyType: '', algorithm: '', generatedBy: null, flags: NO_FLAGS }, value: der });
  }

  async copyObject(which: ObjectAt, changes: Template): Promise<void> {
    this.#mayMake('token', 'C_CopyObject');
    const object = this.#object(which);
    if (!object.meta.flags.copyable) throw new TokenError('CKR_ACTION_PROHIBITED', 'C_CopyObject');
    const meta = changed(object.meta, changes, 'C_CopyObject');
    await lend(this.#token.value(object, 'C_CopyObject'), (value) => this.#token.store({ meta, value }));
  }

  async change(which: ObjectAt, changes: Template): Promise<void> {
    this.#mayMake('token', 'C_SetAttributeValue');
    const { uid, meta } = this.#object(which);
    if (!meta.flags.modifiable) throw new TokenError('CKR_ACTION_PROHIBITED', 'C_SetAttributeValue');
    if ('CKA_PRIVATE' in changes || 'CKA_MODIFIABLE' in changes) throw new TokenError('CKR_ATTRIBUTE_READ_ONLY', 'C_SetAttributeValue');
    this.#token.change(uid, changed(meta, changes, 'C_SetAttributeValue'));
  }

  async wrapKey(how: WrapHow, key: ObjectAt | ObjectName, under: ObjectAt | ObjectName) {
    this.#alive('C_WrapKey');
    const [wrapping, object] = [this.#object(under), this.#object(key)];
    if (!wrapping.meta.flags.wrap) throw new TokenError('CKR_KEY_FUNCTION_NOT_PERMITTED', 'C_WrapKey');
    if (!object.meta.flags.extractable) throw new TokenError('CKR_KEY_UNEXTRACTABLE', 'C_WrapKey');
    // No key of this token is ever marked as trusted.
    if (object.meta.flags.wrapWithTrusted) throw new TokenError('CKR_KEY_NOT_WRAPPABLE', 'C_WrapKey');
    const wrapped = await lend(this.#token.value(wrapping, 'C_WrapKey'), (kek) => lend(this.#token.value(object, 'C_WrapKey'), (value) => {
      try {
        switch (how.method) {
          case 'AES-KWP': return aeskwp(kek).encrypt(value);
          case 'AES-KW': return aeskw(kek).encrypt(value);
          case 'RSA-OAEP': return oaepEncrypt(kek, how.hash, value);
        }
      } catch {
        throw new TokenError('CKR_KEY_SIZE_RANGE', 'C_WrapKey'); // longer than the block, or no multiple of eight bytes
      }
    }));
    return { mechanism: how.method === 'RSA-OAEP' ? `CKM_RSA_PKCS_OAEP, ${how.hash}` : how.method === 'AES-KW' ? 'CKM_AES_KEY_WRAP' : KEY_WRAP, wrapped };
  }

  async unwrapKey(how: WrapHow, under: ObjectAt | ObjectName, wrapped: Uint8Array, { kind, id, label, own, lives }: Parameters<Session['unwrapKey']>[3]): Promise<void> {
    this.#mayMake(lives, 'C_UnwrapKey');
    const wrapping = this.#object(under);
    if (!wrapping.meta.flags.unwrap) throw new TokenError('CKR_KEY_FUNCTION_NOT_PERMITTED', 'C_UnwrapKey');
    if (how.method === 'RSA-OAEP') await this.#authenticated(wrapping.meta);
    const opened = await lend(this.#token.value(wrapping, 'C_UnwrapKey'), (kek) => {
      try {
        switch (how.method) {
          case 'AES-KWP': return takeBytes(aeskwp(kek).decrypt(wrapped));
          case 'AES-KW': return takeBytes(aeskw(kek).decrypt(wrapped));
          case 'RSA-OAEP': return oaepDecrypt(kek, how.hash, wrapped);
        }
      } catch {
        throw new TokenError('CKR_WRAPPED_KEY_INVALID', 'C_UnwrapKey');
      }
    });
    await lend(opened, async () => {
      if (kind.shape === 'secret') {
        if (opened.length !== kind.bytes) throw new TokenError('CKR_WRAPPED_KEY_INVALID', 'C_UnwrapKey');
        this.#keep(lives, { meta: metaOf('secret-key', { id, label, keyType: keyTypeName(kind.keyType), algorithm: '', generatedBy: null }, own), value: opened });
        return;
      }
      const { algorithm } = offered(kind, 'C_UnwrapKey');
      const common = { id, label, keyType: keyTypeName(algorithm.pkcs11.keyType), algorithm: algorithm.name, generatedBy: null };
      await lend(await keptForm(opened, algorithm), (value) => {
        this.#mayMake(lives, 'C_UnwrapKey');
        this.#keep(lives, { meta: metaOf('private-key', common, own), value });
      });
    });
  }

  async encrypt(which: ObjectAt | ObjectName, cipher: Cipher, plaintext: Uint8Array): Promise<Uint8Array> {
    const object = this.#usable(which, 'encrypt', 'C_Encrypt');
    return lend(this.#token.value(object, 'C_Encrypt'), (value) =>
      (cipher.kind === 'rsa-oaep' ? oaepEncrypt(value, cipher.hash, plaintext) : cbc(value, Uint8Array.from(cipher.iv)).encrypt(plaintext)));
  }

  async decrypt(which: ObjectAt | ObjectName, cipher: Cipher, ciphertext: Uint8Array): Promise<Uint8Array> {
    const object = this.#usable(which, 'decrypt', 'C_Decrypt');
    await this.#authenticated(object.meta);
    return lend(this.#token.value(object, 'C_Decrypt'), (value) => {
      try {
        return cipher.kind === 'rsa-oaep' ? oaepDecrypt(value, cipher.hash, ciphertext) : cbc(value, Uint8Array.from(cipher.iv)).decrypt(ciphertext);
      } catch {
        throw new TokenError('CKR_ENCRYPTED_DATA_INVALID', 'C_Decrypt');
      }
    });
  }

  async mac(which: ObjectAt | ObjectName, mechanism: MacName, message: Uint8Array): Promise<Uint8Array> {
    const object = this.#usable(which, 'sign', 'C_Sign');
    if ((mechanism === 'CKM_AES_CMAC') !== (object.meta.keyType === 'CKK_AES')) throw new TokenError('CKR_KEY_TYPE_INCONSISTENT', 'C_SignInit');
    await this.#authenticated(object.meta);
    const hashes = { CKM_SHA256_HMAC: 'sha256', CKM_SHA384_HMAC: 'sha384', CKM_SHA512_HMAC: 'sha512' } as const;
    return lend(this.#token.value(object, 'C_Sign'), (value) =>
      (mechanism === 'CKM_AES_CMAC' ? cmac(message, value) : Uint8Array.from(createHmac(hashes[mechanism], value).update(message).digest())));
  }

  async agree(which: ObjectAt | ObjectName, peer: Uint8Array, length: number): Promise<Secret> {
    const object = this.#usable(which, 'derive', 'C_DeriveKey');
    await this.#authenticated(object.meta);
    return lend(this.#token.value(object, 'C_DeriveKey'), (pkcs8) => {
      const secret = new Secret(agreed(object.meta.algorithm, pkcs8, peer));
      if (secret.bytes.length === length) return secret;
      secret.wipe();
      throw new TokenError('CKR_KEY_SIZE_RANGE', 'C_DeriveKey');
    });
  }

  #usable(which: ObjectAt | ObjectName, use: FlagName, call: string): Found {
    this.#alive(call);
    const object = this.#object(which);
    if (!object.meta.flags[use]) throw new TokenError('CKR_KEY_FUNCTION_NOT_PERMITTED', `${call}Init`);
    return object;
  }

  /** What was wrapped so, for the caller to wipe. */
  async #opened(under: ObjectName & { readonly class: 'secret-key' }, wrapped: Uint8Array): Promise<Uint8Array> {
    const wrapping = this.#token.one(under);
    if (!wrapping.meta.flags.unwrap) throw new TokenError('CKR_KEY_FUNCTION_NOT_PERMITTED', 'C_UnwrapKey');
    return lend(this.#token.value(wrapping, 'C_UnwrapKey'), (kek) => {
      try {
        return takeBytes(aeskwp(kek).decrypt(wrapped));
      } catch {
        throw new TokenError('CKR_WRAPPED_KEY_INVALID', 'C_UnwrapKey');
      }
    });
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
  sign: false, verify: false, encrypt: false, decrypt: false, wrap: false, unwrap: false, derive: false, encapsulate: false, decapsulate: false,
  copyable: true, destroyable: true, wrapWithTrusted: false, alwaysAuthenticate: false,
};

/** The attributes that a template may give, and the flag of each. */
const ORDERED: Readonly<Partial<Record<AttributeName, FlagName>>> = {
  CKA_PRIVATE: 'private', CKA_SENSITIVE: 'sensitive', CKA_EXTRACTABLE: 'extractable', CKA_MODIFIABLE: 'modifiable', CKA_COPYABLE: 'copyable',
  CKA_DESTROYABLE: 'destroyable', CKA_WRAP_WITH_TRUSTED: 'wrapWithTrusted', CKA_ALWAYS_AUTHENTICATE: 'alwaysAuthenticate', CKA_SIGN: 'sign',
  CKA_VERIFY: 'verify', CKA_ENCRYPT: 'encrypt', CKA_DECRYPT: 'decrypt', CKA_WRAP: 'wrap', CKA_UNWRAP: 'unwrap', CKA_DERIVE: 'derive',
  CKA_ENCAPSULATE: 'encapsulate', CKA_DECAPSULATE: 'decapsulate',
};

function orderedFlags(template: Template, call: string): Partial<Record<FlagName, boolean>> {
  return Object.fromEntries(Object.entries(template).map(([name, value]) => {
    const flag = ORDERED[name as AttributeName];
    if (flag === undefined || typeof value !== 'boolean') throw new TokenError('CKR_TEMPLATE_INCONSISTENT', call);
    return [flag, value];
  }));
}

/** A new object's meta. What was made here is local, and has always been what it is; what came from outside has not. */
function metaOf(kind: 'private-key' | 'public-key' | 'secret-key', common: Omit<Meta, 'class' | 'flags'>, template: Template): Meta {
  const given = { ...NO_FLAGS, ...orderedFlags(template, 'C_CreateObject'), local: common.generatedBy !== null };
  const here = given.local && kind !== 'public-key';
  return {
    ...common, class: kind,
    flags: { ...given, ...(kind === 'public-key' && { extractable: true }), alwaysSensitive: here && given.sensitive, neverExtractable: here && !given.extractable },
  };
}

/** Section 4.9: CKA_SENSITIVE and CKA_WRAP_WITH_TRUSTED are only ever switched on, the others below only off. */
function changed(meta: Meta, changes: Template, call: string): Meta {
  const { CKA_LABEL: label, CKA_ID: id, CKA_TOKEN: _, ...rest } = changes;
  const wanted = orderedFlags(rest, call);
  for (const flag of ['sensitive', 'wrapWithTrusted'] as const) if (meta.flags[flag] && wanted[flag] === false) throw new TokenError('CKR_ATTRIBUTE_READ_ONLY', call);
  for (const flag of ['extractable', 'copyable', 'destroyable'] as const) if (!meta.flags[flag] && wanted[flag] === true) throw new TokenError('CKR_ATTRIBUTE_READ_ONLY', call);
  if ('alwaysAuthenticate' in wanted && wanted.alwaysAuthenticate !== meta.flags.alwaysAuthenticate) throw new TokenError('CKR_ATTRIBUTE_READ_ONLY', call);
  return {
    ...meta, ...(typeof label === 'string' && { label }), ...(id instanceof Uint8Array && { id: toHex(id) }), flags: { ...meta.flags, ...wanted },
  };
}

/** Pairs that this token makes and keeps; RSA moduli below 3072 bits it does not list. */
function offered(kind: KeyKindRow, call: string): PairKind {
  if (kind.shape !== 'pair') throw new TokenError('CKR_TEMPLATE_INCONSISTENT', call);
  if (kind.algorithm.family === 'rsa' && kind.algorithm.modulusBits < RSA_BITS[0]) throw new TokenError('CKR_KEY_SIZE_RANGE', call);
  return kind;
}

const KEY_WRAP: MechanismName = 'CKM_AES_KEY_WRAP_KWP';

const ML_DSA_BYTES = extent([ALGORITHMS['ml-dsa-44'], ALGORITHMS['ml-dsa-65'], ALGORITHMS['ml-dsa-87']].map((row) => row.publicKeyBytes));
const SLH_DSA_BYTES = extent(SLH_DSAS.map((row) => 2 * row.n));
const ML_KEM_BYTES = extent(Object.values(ML_KEMS).map((row) => row.publicKeyBytes));

const RSA_BITS = [3072, 4096] as const;

/** Key sizes in bits for elliptic curves and RSA, in bytes for AES, in bytes of the public key for the post-quantum ones. */
const MECHANISMS: Mechanism[] = [
  mechanism('CKM_EC_KEY_PAIR_GEN', [256, 521], 'CKF_GENERATE_KEY_PAIR'),
  mechanism('CKM_ECDSA', [256, 521], 'CKF_SIGN'),
  mechanism('CKM_EC_EDWARDS_KEY_PAIR_GEN', [256, 256], 'CKF_GENERATE_KEY_PAIR'),
  mechanism('CKM_EDDSA', [256, 256], 'CKF_SIGN'),
  mechanism('CKM_RSA_PKCS_KEY_PAIR_GEN', RSA_BITS, 'CKF_GENERATE_KEY_PAIR'),
  mechanism('CKM_SHA256_RSA_PKCS', RSA_BITS, 'CKF_SIGN'),
  mechanism('CKM_SHA384_RSA_PKCS', RSA_BITS, 'CKF_SIGN'),
  mechanism('CKM_SHA256_RSA_PKCS_PSS', RSA_BITS, 'CKF_SIGN'),
  mechanism('CKM_SHA384_RSA_PKCS_PSS', RSA_BITS, 'CKF_SIGN'),
  mechanism('CKM_ML_DSA_KEY_PAIR_GEN', ML_DSA_BYTES, 'CKF_GENERATE_KEY_PAIR'),
  mechanism('CKM_ML_DSA', ML_DSA_BYTES, 'CKF_SIGN'),
  mechanism('CKM_SLH_DSA_KEY_PAIR_GEN', SLH_DSA_BYTES, 'CKF_GENERATE_KEY_PAIR'),
  mechanism('CKM_SLH_DSA', SLH_DSA_BYTES, 'CKF_SIGN'),
  mechanism('CKM_ML_KEM_KEY_PAIR_GEN', ML_KEM_BYTES, 'CKF_GENERATE_KEY_PAIR'),
  mechanism('CKM_ML_KEM', ML_KEM_BYTES, 'CKF_ENCAPSULATE', 'CKF_DECAPSULATE'),
  mechanism('CKM_EC_MONTGOMERY_KEY_PAIR_GEN', [255, 255], 'CKF_GENERATE_KEY_PAIR'),
  mechanism('CKM_ECDH1_DERIVE', [255, 521], 'CKF_DERIVE'),
  mechanism('CKM_RSA_PKCS_OAEP', RSA_BITS, 'CKF_ENCRYPT', 'CKF_DECRYPT', 'CKF_WRAP', 'CKF_UNWRAP'),
  mechanism('CKM_AES_KEY_GEN', [16, 32], 'CKF_GENERATE'),
  mechanism('CKM_AES_CBC_PAD', [16, 32], 'CKF_ENCRYPT', 'CKF_DECRYPT'),
  mechanism('CKM_AES_CMAC', [16, 32], 'CKF_SIGN'),
  mechanism(KEY_WRAP, [16, 32], 'CKF_WRAP', 'CKF_UNWRAP'),
  mechanism('CKM_AES_KEY_WRAP', [16, 32], 'CKF_WRAP', 'CKF_UNWRAP'),
  mechanism('CKM_GENERIC_SECRET_KEY_GEN', [32, 64], 'CKF_GENERATE'),
  mechanism('CKM_SHA256_HMAC', [32, 64], 'CKF_SIGN'),
  mechanism('CKM_SHA384_HMAC', [32, 64], 'CKF_SIGN'),
  mechanism('CKM_SHA512_HMAC', [32, 64], 'CKF_SIGN'),
];

function mechanism(name: MechanismName, [min, max]: readonly [number, number], ...flags: string[]): Mechanism {
  return { name, number: mechanismNumber(name), min, max, flags };
}

function extent(sizes: readonly number[]): readonly [number, number] {
  return [Math.min(...sizes), Math.max(...sizes)];
}

function factOf(meta: Meta | null): ObjectFact {
  if (meta === null) return { class: 'unreadable', id: '', label: '', keyType: '' };
  return { class: meta.class, id: meta.id, label: plain(meta.label, 128), keyType: meta.keyType };
}

// --- attributes ------------------------------------------------------------------------------------------------------

const NOTHING = new Uint8Array();
const PUBLIC_VALUES: readonly AttributeName[] = [
  'CKA_PUBLIC_KEY_INFO', 'CKA_MODULUS', 'CKA_PUBLIC_EXPONENT', 'CKA_MODULUS_BITS', 'CKA_EC_POINT', 'CKA_EC_PARAMS', 'CKA_VALUE', 'CKA_PARAMETER_SET',
];
const SECRET_FACTS: readonly AttributeName[] = ['CKA_VALUE_LEN', 'CKA_CHECK_VALUE'];
const CLASSES = {
  'certificate': cryptoki.CKO.CKO_CERTIFICATE, 'data': cryptoki.CKO.CKO_DATA, 'public-key': cryptoki.CKO.CKO_PUBLIC_KEY, 'private-key': cryptoki.CKO.CKO_PRIVATE_KEY, 'secret-key': cryptoki.CKO.CKO_SECRET_KEY,
} as const;
/** CK_UNAVAILABLE_INFORMATION. */
const UNAVAILABLE = 0xffff_ffff_ffff_ffffn;

function flagBits({ wrong, master, so }: TokenFile): number {
  const user = master === null ? 0 : USER_PIN_INITIALIZED | TRIED[wrong]!;
  // Table 6: the SO's bits are the user's, four places higher.
  return ALWAYS | user | (TRIED[so?.wrong ?? 0]! << 4);
}

/** What a class does not have, a token does not answer for (PKCS#11 3.2 tables 33, 35 and 37). */
function keyAttributes({ id, keyType, generatedBy, flags: f }: Meta, kind: KeyClass): Template {
  const usage: Template = { CKA_WRAP_WITH_TRUSTED: f.wrapWithTrusted, ...(kind === 'private-key' && { CKA_ALWAYS_AUTHENTICATE: f.alwaysAuthenticate, CKA_DECAPSULATE: f.decapsulate }) };
  const secrecy: Template = { CKA_SENSITIVE: f.sensitive, CKA_EXTRACTABLE: f.extractable, CKA_ALWAYS_SENSITIVE: f.alwaysSensitive, CKA_NEVER_EXTRACTABLE: f.neverExtractable };
  const outward: Template = { CKA_VERIFY: f.verify, CKA_ENCRYPT: f.encrypt, CKA_WRAP: f.wrap };
  const inward: Template = { CKA_SIGN: f.sign, CKA_DECRYPT: f.decrypt, CKA_UNWRAP: f.unwrap };
  return {
    CKA_ID: fromHex(id), CKA_KEY_TYPE: (cryptoki.CKK as Readonly<Record<string, number>>)[keyType] ?? 0, CKA_LOCAL: f.local, CKA_DERIVE: f.derive,
    CKA_KEY_GEN_MECHANISM: generatedBy === null ? ulongBytes(UNAVAILABLE) : ulongBytes(BigInt(mechanismNumber(generatedBy))),
    ...(kind !== 'public-key' && { ...secrecy, ...usage, ...inward }), ...(kind !== 'private-key' && outward), ...(kind === 'public-key' && { CKA_ENCAPSULATE: f.encapsulate }),
  };
}

/** As C_GetAttributeValue gives them on a 64-bit machine: CK_BBOOL one byte, CK_ULONG eight in its own order. */
function encoded(template: Template): { [Name in AttributeName]?: Uint8Array } {
  return Object.fromEntries(Object.entries(template).map(([name, value]) => [
    name,
    typeof value === 'boolean' ? Uint8Array.of(value ? 1 : 0) : typeof value === 'number' ? ulongBytes(BigInt(value)) : typeof value === 'string' ? utf8(value) : value,
  ]));
}

function ulongBytes(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return Uint8Array.from(bytes);
}

// --- keys ------------------------------------------------------------------------------------------------------------

/** What providers.ts makes and signs with. Stateful keys never: SP 800-208 section 8.1 keeps them in hardware modules. */
function componentOf(algorithm: TokenAlgorithm, call: string): Component {
  if (isStateful(algorithm)) throw new TokenError('CKR_MECHANISM_INVALID', call);
  return componentsOf(algorithm)[0]!;
}

function signerOf(algorithm: TokenAlgorithm, { context, padding }: SignHow): Component {
  const takesContext = algorithm.family === 'ml-dsa' || algorithm.family === 'slh-dsa';
  // FIPS 204 algorithm 2, FIPS 205 algorithm 22: the context's length is one byte.
  if (context !== undefined && (!takesContext || context.length > 255)) throw new TokenError('CKR_MECHANISM_PARAM_INVALID', 'C_SignInit');
  const component = componentOf(algorithm, 'C_SignInit');
  if (padding === undefined) return component;
  if (algorithm.family !== 'rsa') throw new TokenError('CKR_MECHANISM_PARAM_INVALID', 'C_SignInit');
  const { modulusBits, hash } = algorithm;
  return { ...component, part: 'traditional', half: { kind: 'rsa', modulusBits, padding, hash } };
}

/**
 * What was unwrapped, in the form that providers.ts takes; the caller wipes both. Throws TokenError CKR_WRAPPED_KEY_INVALID
 * for another algorithm, curve or size, and for an ML-DSA key without its seed. An SLH-DSA key's root is not computed anew,
 * which takes seconds: a key whose root is wrong makes no signature, because each is verified before it is given out.
 */
async function keptForm(unwrapped: Uint8Array, algorithm: PairAlgorithm): Promise<Uint8Array> {
  try {
    const pkcs8 = withoutFill(unwrapped);
    switch (algorithm.family) {
      case 'rsa': {
        const key = createPrivateKey({ key: Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.length), format: 'der', type: 'pkcs8' });
        const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
        parsePublicKey(Uint8Array.from(spki), algorithm.name); // refuses any other algorithm, curve or size
        return pkcs8;
      }
      case 'ecdsa': case 'eddsa': case 'ml-dsa':
        parsePublicKey((await readPrivateKey(pkcs8)).publicKey.spki, algorithm.name);
        return takeBytes(await seedFormOf(pkcs8));
      case 'ml-kem': case 'xdh':
        if ((await readPrivateKey(pkcs8)).publicKey.label === algorithm.label) return takeBytes(await seedFormOf(pkcs8));
        break;
      case 'slh-dsa':
        if (isSlhDsaKey(pkcs8, algorithm)) return pkcs8;
        break;
      case 'hss': case 'xmss':
        break;
    }
  } catch {
    // What the readers say could speak of the key.
  }
  throw new TokenError('CKR_WRAPPED_KEY_INVALID', 'C_UnwrapKey');
}

/** Some modules fill up what they wrap with zeros to a multiple of eight bytes; DER says where the key ends. A view. */
function withoutFill(unwrapped: Uint8Array): Uint8Array {
  for (let end = unwrapped.length; end > unwrapped.length - AES_KWP.blockBytes; end--) {
    try {
      return readDer(unwrapped.subarray(0, end), 'privateKeyInfo', TAG.sequence).bytes;
    } catch (thrown) {
      if (unwrapped[end - 1] !== 0) throw thrown;
    }
  }
  throw new TokenError('CKR_WRAPPED_KEY_INVALID', 'C_UnwrapKey');
}

/** RFC 9909 section 6: the key's octets end the PKCS#8, so all before them is the same for every key of the set. */
function isSlhDsaKey(pkcs8: Uint8Array, { oid, n }: SlhDsaAlgorithm): boolean {
  const empty = writeDer(TAG.sequence, Uint8Array.of(TAG.integer, 1, 0), writeIdentifier(oid, null), writeDer(TAG.octetString, secretBytes(4 * n)));
  return pkcs8.length === empty.length && equalBytes(pkcs8.subarray(0, -4 * n), empty.subarray(0, -4 * n));
}

/** RFC 8410 section 7: the raw key in an OCTET STRING inside one. */
function freshXdh(): { readonly pkcs8: Uint8Array<ArrayBuffer>; readonly spki: Uint8Array } {
  const { oid, keyBytes } = MONTGOMERY_FACTS.X25519;
  const raw = randomFillSync(secretBytes(keyBytes));
  const spki = subjectKeyOf(oid, null, MONTGOMERY.X25519.getPublicKey(raw)).spki;
  const pkcs8 = takeBytes(writeDer(TAG.sequence, Uint8Array.of(TAG.integer, 1, 0), writeIdentifier(oid, null), writeDer(TAG.octetString, writeDer(TAG.octetString, raw))));
  raw.fill(0);
  return { pkcs8, spki };
}

/** SEC 1 section 3.3.1 (the X coordinate), RFC 7748 section 6.1. */
function agreed(algorithm: string, pkcs8: Uint8Array, peer: Uint8Array): Uint8Array {
  const content = derParts(readDer(pkcs8, 'privateKeyInfo'), 'privateKeyInfo')[2]!.content;
  try {
    if (algorithm === 'x25519') return takeBytes(MONTGOMERY.X25519.getSharedSecret(readDer(content, 'privateKey', TAG.octetString).content, peer));
    if (algorithm === 'ecdsa-p256' || algorithm === 'ecdsa-p384' || algorithm === 'ecdsa-p521') {
      const { crv } = ALGORITHMS[algorithm].jose;
      return takeBytes(CURVES[crv].getSharedSecret(readEcPrivateKey(content, crv, 'privateKey', false), peer, true).slice(1));
    }
  } catch {
    throw new TokenError('CKR_MECHANISM_PARAM_INVALID', 'C_DeriveKey'); // what the library says could speak of the key
  }
  throw new TokenError('CKR_KEY_TYPE_INCONSISTENT', 'C_DeriveKey');
}

/** RFC 8017 section 7.1, MGF1 with the same hash, no label. */
function oaep(hash: OaepHash) {
  return { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash === 'SHA-1' ? 'sha1' : 'sha256' } as const;
}

function oaepEncrypt(spki: Uint8Array, hash: OaepHash, plaintext: Uint8Array): Uint8Array {
  return Uint8Array.from(publicEncrypt({ key: createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }), ...oaep(hash) }, plaintext));
}

/** Secret; the caller wipes it. */
function oaepDecrypt(pkcs8: Uint8Array, hash: OaepHash, ciphertext: Uint8Array): Uint8Array<ArrayBuffer> {
  const key = createPrivateKey({ key: Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.length), format: 'der', type: 'pkcs8' });
  return takeBytes(privateDecrypt({ key, ...oaep(hash) }, ciphertext));
}

// --- sealing ---------------------------------------------------------------------------------------------------------

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** AES-256-GCM under a random 96-bit nonce; `about` is authenticated with it. Base64url of nonce, ciphertext, tag. */
function seal(key: Uint8Array, about: string, plaintext: Uint8Array): string {
  const nonce = randomFillSync(secretBytes(NONCE_BYTES));
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(utf8(about));
  return toBase64url(concat(nonce, Uint8Array.from(cipher.update(plaintext)), Uint8Array.from(cipher.final()), Uint8Array.from(cipher.getAuthTag())));
}

/** Null where key, `about` or bytes do not fit. The caller wipes the result. */
function unseal(key: Uint8Array, about: string, sealed: string): Uint8Array<ArrayBuffer> | null {
  try {
    const bytes = fromBase64url(sealed);
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAAD(utf8(about)).setAuthTag(bytes.subarray(-TAG_BYTES));
    const opened = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
    decipher.final();
    return takeBytes(opened);
  } catch {
    return null;
  }
}

/** The token's master key under a PIN, with a salt of its own. Both are borrowed. */
async function sealedMaster(serial: string, pin: Uint8Array, master: Uint8Array): Promise<{ readonly salt: string; readonly master: string }> {
  if (pin.length < PIN_LENGTHS.min || pin.length > PIN_LENGTHS.max) throw new TokenError('CKR_PIN_LEN_RANGE', 'C_SetPIN');
  const salt = randomFillSync(secretBytes(16));
  return lend(await pinKey(pin, salt), (key) => ({ salt: toBase64url(salt), master: seal(key, `${serial}/master`, master) }));
}

/** This token has no pad of its own. */
function typed(pin: Uint8Array | null, call: string): Uint8Array {
  if (pin === null) throw new TokenError('CKR_ARGUMENTS_BAD', call);
  return pin;
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
