/**
 * The nouns of this folder: a module has tokens, a token has sessions, a session does the work.
 *
 * software-token.ts and pkcs11.ts implement these interfaces, and test/electron/devices/contract.ts runs against both.
 * Rules that hold for every implementation:
 *  - Object handles never leave it. An object is named by class + CKA_ID + label and looked up anew, in the same session,
 *    before every use; unless exactly one object fits, the call is refused (ONE-MATCH).
 *  - What a token says no to is thrown as `TokenError` with its CKR_* name; our own noes are `Fault` and `Refused`.
 *  - Nothing secret is returned but through `Secret`.
 */
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import type { TokenDetails } from '../../ceremonies/estate.ts';
import type { KeyAttributes, ModuleFacts, ObjectFact, TokenFacts } from '../../ceremonies/evidence.ts';
import type { AlgorithmName, MlKemAlgorithm, SlhDsaName, XmssName } from '../../ceremonies/keys/algorithms.ts';
import type { KeyKindRow, MacName, TokenAlgorithm } from './key-kinds.ts';
import type { Secret } from './secret.ts';
import cryptoki from './cryptoki.json' with { type: 'json' };

export type { MacName, TokenAlgorithm };

/** A public key as a token gives it. */
export interface TokenPublicKey {
  readonly algorithm: AlgorithmName | SlhDsaName | 'hss-lms' | XmssName;
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
}

/** How a half of a composite signs, where that differs from what its algorithm does alone. */
export interface SignHow {
  /** Context string of ML-DSA and SLH-DSA (FIPS 204 algorithm 2, FIPS 205 algorithm 22); at most 255 bytes. Default: empty. */
  readonly context?: Uint8Array;
  /** RSA only: RSASSA-PSS with this row's hash, MGF1 with the same, salt as long as the hash. Default: PKCS#1 v1.5. */
  readonly padding?: 'pss';
}

export type KeyClass = 'private-key' | 'public-key' | 'secret-key';

/** The application attribute of every data object that this program writes. */
export const APPLICATION = 'conclave';

/** How objects are named. At least one of `id` and `label` must be given; data objects are always `APPLICATION`'s. */
export interface ObjectName {
  readonly class: KeyClass | 'certificate' | 'data';
  /** CKA_ID, hex. */
  readonly id?: string;
  readonly label?: string;
  /** CKA_TOKEN; what lives in the session vanishes with it. Default: the token. */
  readonly lives?: 'token' | 'session';
}

/** An object by its place in the listing of this session (`Session.list`). Whoever writes finds the place anew, in the same session. */
export interface ObjectAt {
  readonly position: number;
}

export type AttributeName = keyof typeof cryptoki.CKA;
export type AttributeValue = boolean | number | string | Uint8Array;
export type Template = { readonly [Name in AttributeName]?: AttributeValue };

/** What a token tells of itself beyond its facts; reading.ts puts it into words. `flags`: bits as the module gave them. */
export interface RawDetails {
  readonly library: TokenDetails['library'];
  readonly slot: Omit<TokenDetails['slot'], 'flags'> & { readonly flags: number };
  readonly flags: number;
  readonly clock: string | null;
  readonly pin: { readonly min: number; readonly max: number };
  readonly limits: TokenDetails['limits'];
}

export interface SlotFacts {
  readonly slot: number;
  readonly description: string;
  readonly token: TokenFacts | null;
}

export interface Mechanism {
  readonly name: string;
  readonly number: number;
  readonly min: number;
  readonly max: number;
  /** CKF_* */
  readonly flags: string[];
}

/** A key pair with one use, signing (or decapsulating): CKA_SENSITIVE always true, private, no decrypt, derive or unwrap. */
export interface KeyPairRequest {
  readonly algorithm: TokenAlgorithm | MlKemAlgorithm;
  readonly id: string;
  readonly label: string;
  readonly extractable: boolean;
  readonly lives?: 'token' | 'session';
}

/** A key of any kind that `administer` makes, with attributes that are said in full: what tokens add by themselves differs. */
export interface KeyRequest {
  readonly kind: KeyKindRow;
  readonly id: string;
  readonly label: string;
  /** Of the private or secret key. */
  readonly own: Template;
  /** Of the public half, where there is one. */
  readonly other: Template;
  readonly lives?: 'token' | 'session';
}

/** How a key is wrapped: under an AES key by RFC 5649 or RFC 3394, or under an RSA key by RSAES-OAEP with MGF1 of the same hash. */
export type WrapHow = { readonly method: 'AES-KWP' | 'AES-KW' } | { readonly method: 'RSA-OAEP'; readonly hash: OaepHash };
export type OaepHash = 'SHA-1' | 'SHA-256';
/** AES in CBC with padding (PKCS#7), or RSAES-OAEP. */
export type Cipher = { readonly kind: 'aes-cbc'; readonly iv: Uint8Array } | { readonly kind: 'rsa-oaep'; readonly hash: OaepHash };

/** Who logs in (PKCS#11 3.2 section 5.6.8). */
export type User = 'user' | 'so';
/** Asks for the PIN that a key wants at each use (CKA_ALWAYS_AUTHENTICATE), and hands it to `login`, once. Null: typed on the token's own pad. */
export type Authenticate = (login: (pin: Uint8Array | null) => Promise<void>) => Promise<void>;
type Which<Class extends ObjectName['class'] = ObjectName['class']> = ObjectAt | (ObjectName & { readonly class: Class });

export interface TokenModule {
  readonly facts: ModuleFacts;
  /** Whether everything that would outlive a session is refused (READ-ONLY) before the module is asked. */
  readonly readOnly: boolean;
  slots(): Promise<SlotFacts[]>;
  /** The same, where tokens can come and go while the module runs; null where none can. */
  movingSlots(): Promise<SlotFacts[] | null>;
  /** The one token with this serial number. Throws Fault TOKEN_MISSING, Refused ONE-MATCH. */
  token(serial: string): Promise<Token>;
  /** Makes a blank token with `label` and user PIN `pin` (borrowed), never touching one that exists. */
  provision(label: string, pin: Uint8Array): Promise<TokenFacts>;
  /** Lets go of the module. Only when the process is about to end. */
  close(): Promise<void>;
}

export interface Token {
  /** Read from the token just now. */
  facts(): Promise<TokenFacts>;
  pinLengths(): Promise<{ readonly min: number; readonly max: number }>;
  mechanisms(): Promise<Mechanism[]>;
  details(): Promise<RawDetails>;
  /** Whether a stand-in may type the published rehearsal PIN into it; with a label: whether into one of this label. */
  isRehearsal(label?: string): Promise<boolean>;
  /** Why this token does not wrap this algorithm's keys, where that is known beforehand. */
  notWrappable(algorithm: TokenAlgorithm): string | null;
  /** A new session that may write, unless the module is read-only. Login belongs to the token: it is shared by all sessions of this process. */
  open(): Promise<Session>;
  /** The hash with which this token does RSAES-OAEP. */
  readonly oaepHash: OaepHash;
  /**
   * C_InitToken: everything on it is destroyed. `seen` is compared with the token as it is right before the call: throws
   * `Refused` TOKEN-MOVED where anything differs or a session is open. `pin` (borrowed): of the SO, null on the token's own pad.
   * Gives the token as it is found again, which may be under another serial number.
   */
  initialise(label: string, pin: Uint8Array | null, seen: TokenFacts): Promise<Token>;
}

export interface Session {
  /** `pin` is borrowed: the caller wipes it; null: typed on the token's own pad. Never repeated by anybody here. */
  login(pin: Uint8Array | null, who?: User): Promise<void>;
  /** Who is asked where a key wants its PIN at each use; without it such a use is refused by the token. */
  authenticateWith(ask: Authenticate): void;
  /** C_InitPIN, the SO being logged in. */
  setUserPin(pin: Uint8Array | null): Promise<void>;
  /** C_SetPIN of whoever is logged in. */
  changePin(old: Uint8Array | null, pin: Uint8Array | null): Promise<void>;
  logout(): Promise<void>;
  /** Whether the token still knows this session and a user is logged in. Never throws: a token that is gone says no. */
  loggedIn(): Promise<boolean>;
  close(): Promise<void>;

  random(length: number): Promise<Uint8Array>;

  /** Token objects in pages, in the token's order; a new search where `offset` is 0, unless `fresh` says otherwise. */
  list(offset: number, limit: number, fresh?: boolean): Promise<{ total: number; objects: ObjectFact[] }>;
  /** Places in that listing of the token objects that have all these values, in its order. */
  search(wanted: Template): Promise<number[]>;
  /** Attribute values as bytes; those the token does not answer are absent. Asks for exactly these: the caller sees to it that
   *  none of them is secret. Throws Fault REQUEST_INVALID for a place that the listing does not have, and as `find` by name. */
  read(which: ObjectAt | ObjectName, names: readonly AttributeName[]): Promise<ReadonlyMap<AttributeName, Uint8Array>>;
  /** All objects that fit. */
  find(name: ObjectName): Promise<ObjectFact[]>;

  /** Returns the CKM_* name used. The halves are `{class, id, label}`. */
  generateKeyPair(request: KeyPairRequest): Promise<string>;
  attributes(which: (ObjectName | ObjectAt) & { readonly class: KeyClass }): Promise<KeyAttributes>;
  publicKey(name: ObjectName & { readonly class: 'public-key' }, algorithm: TokenAlgorithm): Promise<TokenPublicKey>;
  /** Signature in JOSE form (RFC 7518: ECDSA as r||s). */
  sign(which: Which<'private-key'>, algorithm: TokenAlgorithm, message: Uint8Array, how?: SignHow): Promise<Uint8Array>;
  /** CKA_EXTRACTABLE true -> false, the only direction there is. */
  makeNonExtractable(name: ObjectName & { readonly class: 'private-key' }): Promise<void>;

  /** A secret AES-256 key as session object, for wrapping and unwrapping only. `value` is borrowed. */
  importWrappingKey(request: { readonly id: string; readonly label: string; readonly value: Uint8Array }): Promise<void>;
  /** AES-KWP (RFC 5649). */
  wrap(
    key: ObjectName & { readonly class: 'private-key' },
    under: ObjectName & { readonly class: 'secret-key' },
  ): Promise<{ readonly mechanism: string; readonly wrapped: Uint8Array }>;
  /** Whether the TOKEN refuses to wrap this key, tried for real: `wrap` keeps the rule by itself, which proves nothing. What the
   *  token gives out all the same is thrown away. */
  refusesToWrap(key: ObjectName & { readonly class: 'private-key' }, under: ObjectName & { readonly class: 'secret-key' }): Promise<boolean>;
  /** Into an object that signs, is sensitive and cannot leave again. Default: of the session. */
  unwrap(request: {
    readonly wrapped: Uint8Array;
    readonly under: ObjectName & { readonly class: 'secret-key' };
    readonly algorithm: TokenAlgorithm;
    readonly id: string;
    readonly label: string;
    readonly lives?: 'token' | 'session';
  }): Promise<void>;

  /** An AES-256 key that wraps and unwraps, made on the token: sensitive, never extractable. Returns the CKM_* name used. */
  generateWrappingKey(request: { readonly id: string; readonly label: string; readonly lives?: 'token' | 'session' }): Promise<string>;
  /** AES-KWP of bytes that are no token's key: they pass through a session object. `value` is borrowed. */
  sealBytes(under: ObjectName & { readonly class: 'secret-key' }, value: Uint8Array): Promise<{ readonly mechanism: string; readonly wrapped: Uint8Array }>;
  /** The bytes again. Throws TokenError CKR_WRAPPED_KEY_INVALID (or what the token says) for anything that was not sealed so. */
  openBytes(under: ObjectName & { readonly class: 'secret-key' }, wrapped: Uint8Array): Promise<Secret>;

  /** Raw ML-KEM encapsulation key. */
  kemPublicKey(name: ObjectName & { readonly class: 'public-key' }, algorithm: MlKemAlgorithm): Promise<Uint8Array>;
  /** C_EncapsulateKey and C_DecapsulateKey (PKCS#11 3.2 section 5.18.8). The secret has 32 bytes. */
  encapsulate(which: Which<'public-key'>, algorithm: MlKemAlgorithm): Promise<{ readonly ciphertext: Uint8Array; readonly secret: Secret }>;
  decapsulate(which: Which<'private-key'>, algorithm: MlKemAlgorithm, ciphertext: Uint8Array): Promise<Secret>;

  /** A private data object on the token. `value` is borrowed. */
  putData(label: string, value: Uint8Array): Promise<void>;
  getData(label: string): Promise<Secret>;
  destroy(which: ObjectName | ObjectAt): Promise<void>;

  // --- administration: keys of every kind, with the attributes that were ordered ---------------------------------------
  /** Returns the CKM_* name used. */
  makeKey(request: KeyRequest): Promise<string>;
  /** C_CreateObject of both halves. `pkcs8` is borrowed, and has been judged. Leaves nothing where it fails. */
  importKey(request: KeyRequest & { readonly pkcs8: Uint8Array; readonly spki: Uint8Array }): Promise<void>;
  /** The public half alone, of a key whose private half is there. */
  importPublicKey(request: Omit<KeyRequest, 'own'> & { readonly spki: Uint8Array }): Promise<void>;
  importCertificate(request: { readonly id: string; readonly label: string; readonly der: Uint8Array; readonly subject: Uint8Array; readonly issuer: Uint8Array; readonly serialNumber: Uint8Array }): Promise<void>;
  copyObject(which: ObjectAt, changes: Template): Promise<void>;
  /** C_SetAttributeValue. */
  change(which: ObjectAt, changes: Template): Promise<void>;
  wrapKey(how: WrapHow, key: Which<'private-key' | 'secret-key'>, under: Which<'secret-key' | 'public-key'>): Promise<{ readonly mechanism: string; readonly wrapped: Uint8Array }>;
  unwrapKey(how: WrapHow, under: Which<'secret-key' | 'private-key'>, wrapped: Uint8Array, request: Omit<KeyRequest, 'other'>): Promise<void>;
  encrypt(which: Which<'secret-key' | 'public-key'>, cipher: Cipher, plaintext: Uint8Array): Promise<Uint8Array>;
  decrypt(which: Which<'secret-key' | 'private-key'>, cipher: Cipher, ciphertext: Uint8Array): Promise<Uint8Array>;
  mac(which: Which<'secret-key'>, mechanism: MacName, message: Uint8Array): Promise<Uint8Array>;
  /** CKM_ECDH1_DERIVE without a KDF: the X coordinate, or what X25519 gives. `peer`: the raw public key. */
  agree(which: Which<'private-key'>, peer: Uint8Array, secretBytes: number): Promise<Secret>;
}

/** Throws for whatever would outlive a session, where the module may only be read. */
export function mayWrite({ readOnly }: Pick<TokenModule, 'readOnly'>, call: string): void {
  if (!readOnly) return;
  throw new Refused(refuse('READ-ONLY', 'a module that may be written to', `${call}, and the module is configured to be read alone`, 'Have the machine\'s administrator take readOnly out of modules.json, if this is wanted.'));
}

/** What a token must look like to be initialised: as the officer saw it, and with no session on it. */
export function notMoved(seen: TokenFacts, now: TokenFacts, sessions: number): void {
  const moved = (expected: string, found: string) => new Refused(refuse('TOKEN-MOVED', expected, found, 'Nothing was done. Look at the token again, and begin anew.'));
  for (const name of ['serial', 'label', 'model', 'manufacturer', 'firmware', 'hardware', 'flags'] as const) {
    const [was, is] = [[seen[name]].flat().join(' '), [now[name]].flat().join(' ')];
    if (was !== is) throw moved(`${name} ${was.slice(0, 150)}`, is.slice(0, 150));
  }
  if (sessions > 0) throw moved('a token on which no session is open', `${sessions}`);
}

/** Throws unless exactly one object was found: no act on "the first of several". */
export function oneMatch(name: ObjectName, found: number): void {
  if (found === 1) return;
  const label = name.label === undefined ? '' : ` labelled "${plain(name.label, 64)}"`;
  const id = name.id === undefined ? '' : ` with CKA_ID ${name.id.slice(0, 64)}`;
  throw new Refused(
    refuse('ONE-MATCH', `exactly one ${name.class}${label}${id}`, found === 0 ? 'none' : `${found}`, 'List the objects on the token before going on.'),
  );
}

/** Marks and controls that could make a label read as something else on screen or paper: shown as escapes. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\ufffd]/u;

/** Text that a token gave, made safe to show and to store: at most `length` UTF-16 units, nothing invisible. */
export function plain(text: string, length: number): string {
  if (text.length <= length && /^[\x20-\x7e]*$/.test(text)) return text;
  let out = '';
  for (const character of text) {
    const shown = UNSEEN.test(character) ? `\\u{${character.codePointAt(0)!.toString(16)}}` : character;
    if (out.length + shown.length > length) return `${out.slice(0, length - 1)}…`;
    out += shown;
  }
  return out;
}

/** The label of a token that `provision` makes: marked as a rehearsal's. */
export function rehearsalLabel(label: string): string {
  return cleanLabel(label.startsWith('REHEARSAL') ? label : `REHEARSAL ${label}`, 'at most 32 bytes, the mark REHEARSAL included');
}

/** A token's label: clean, and of at most 32 bytes (PKCS#11 3.2 section 5.5.7). */
export function cleanLabel(label: string, expected = 'at most 32 bytes'): string {
  if (plain(label, 200) !== label || label !== label.trim()) {
    throw new Refused(refuse('LABEL-CLEAN', 'a label of visible characters', plain(label, 64), 'Choose another label.'));
  }
  if (new TextEncoder().encode(label).length > 32) throw new Refused(refuse('LABEL-LENGTH', expected, label, 'Choose a shorter label.'));
  return label;
}

// --- names and numbers -----------------------------------------------------------------------------------------------

const reversed = (table: Readonly<Record<string, number>>) => new Map(Object.entries(table).map(([name, number]) => [number, name]));
const MECHANISM_NAMES = reversed(cryptoki.CKM);
const KEY_TYPE_NAMES = reversed(cryptoki.CKK);

export type MechanismName = keyof typeof cryptoki.CKM;

export function mechanismNumber(name: string): number {
  const number = (cryptoki.CKM as Readonly<Record<string, number>>)[name];
  if (number === undefined) throw new Error('a mechanism that cryptoki.json does not have');
  return number;
}

/** CKM_* name, or the number for a vendor's own. */
export function mechanismName(number: number): string {
  return MECHANISM_NAMES.get(number) ?? `0x${number.toString(16).padStart(8, '0')}`;
}

export function keyTypeName(number: number): string {
  return KEY_TYPE_NAMES.get(number) ?? `0x${number.toString(16).padStart(8, '0')}`;
}

/** The CKF_* names of the bits that are set. */
export function flagNames(table: 'CKF_TOKEN' | 'CKF_MECHANISM' | 'CKF_SLOT', flags: number): string[] {
  return Object.entries(cryptoki[table]).flatMap(([name, bit]) => ((flags & bit) !== 0 ? [name] : []));
}
