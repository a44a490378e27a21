/**
 * Reading a token: what it tells of itself, of its objects and of their keys, put into words; and what it really can do.
 *
 * Nothing here changes what outlives a session. `probe` alone makes objects, all of them session objects, and destroys them.
 * Attributes that PKCS#11 lets be secret are never asked for (WITHHELD), whatever a token would answer. What a token says is
 * its word only; what is proven is proven by comparing with software.
 */
import { randomFillSync } from 'node:crypto';
import { aeskwp } from '@noble/ciphers/aes.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes, fromHex, toBase64url, toHex } from '../../ceremonies/bytes.ts';
import type { AttributeReading, AttributeWanted, Explanation, Flag, Letter, ObjectPlace, ObjectReading, PinState, Readiness, ScannedKey, TokenDetails, Validation } from '../../ceremonies/estate.ts';
import type { ObjectFact } from '../../ceremonies/evidence.ts';
import { ALGORITHMS, CURVE_FACTS, EDWARDS_FACTS, HSS_LMS, ML_KEMS, MONTGOMERY_FACTS, SLH_DSAS, XMSS_SETS, type MlKemAlgorithm } from '../../ceremonies/keys/algorithms.ts';
import { readCertificate } from '../../ceremonies/keys/chain.ts';
import { readDer, readOid, TAG } from '../../ceremonies/keys/der.ts';
import { publicKeyFromParts } from '../../ceremonies/keys/public-key.ts';
import { ecdsaRawToDer } from '../../ceremonies/keys/signatures.ts';
import { nameText } from '../../ceremonies/keys/signed.ts';
import { EC_PUBLIC_KEY, keyFindings, namedCurve, readSubjectKey, signatureFindings, subjectKeyOf, type SubjectKey } from '../../ceremonies/keys/subject-key.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import { deviceError, Fault, quietly, TokenError, tokenIsGone } from './errors.ts';
import { RSA_2048 } from './key-kinds.ts';
import { freshId } from './keys.ts';
import { encapsulate } from './providers.ts';
import { lend, secretBytes } from './secret.ts';
import {
  APPLICATION, flagNames, keyTypeName, mechanismName, plain,
  type AttributeName, type KeyClass, type Mechanism, type ObjectAt, type ObjectName, type Session, type Template, type Token, type TokenAlgorithm,
} from './tokens.ts';
import cryptoki from './cryptoki.json' with { type: 'json' };
import texts from './errors.json' with { type: 'json' };
import FLAG_WORDS from './flags.json' with { type: 'json' };

// --- the token -------------------------------------------------------------------------------------------------------

/** What a token tells of itself. `session`: any of it; validations are public objects (PKCS#11 3.2 section 4.15). */
export async function readDetails(token: Token, session: Session, loggedIn: boolean): Promise<TokenDetails> {
  const [facts, { library, slot, flags, clock, pin, limits }] = [await token.facts(), await token.details()];
  return {
    library, clock, limits, loggedIn, token: facts,
    slot: { ...slot, flags: flagsOf('CKF_SLOT', slot.flags) },
    flags: flagsOf('CKF_TOKEN', flags),
    pin: {
      ...pin, pad: facts.flags.includes('CKF_PROTECTED_AUTHENTICATION_PATH'),
      user: pinState(facts.flags, 'USER'), so: pinState(facts.flags, 'SO'),
    },
    // An object class of 3.2: whoever is older has none, and is not made to look through all its objects for one.
    validations: library.interfaces.some(({ version }) => /^3\.([2-9]|\d\d)/.test(version)) ? await validationsOf(session) : [],
  };
}

function flagsOf(table: 'CKF_TOKEN' | 'CKF_SLOT', bits: number): Flag[] {
  return flagNames(table, bits).map((name) => ({ name, meaning: (FLAG_WORDS as Readonly<Record<string, string>>)[name] ?? '' }));
}

/** Table 6 of section 5.5: the worst that is said holds. Only of the user's PIN is it said whether there is one. */
function pinState(flags: readonly string[], who: 'USER' | 'SO'): PinState {
  const has = (name: string): boolean => flags.includes(`CKF_${who}_PIN_${name}`);
  if (who === 'USER' && !has('INITIALIZED')) return 'unset';
  return has('LOCKED') ? 'locked' : has('FINAL_TRY') ? 'final' : has('COUNT_LOW') ? 'low' : has('TO_BE_CHANGED') ? 'change' : 'fine';
}

const MOST_VALIDATIONS = 64;

async function validationsOf(session: Session): Promise<Validation[]> {
  const found: Validation[] = [];
  for (const position of (await session.search({ CKA_CLASS: cryptoki.CKO.CKO_VALIDATION })).slice(0, MOST_VALIDATIONS)) {
    const values = await session.read({ position }, [
      'CKA_VALIDATION_TYPE', 'CKA_VALIDATION_VERSION', 'CKA_VALIDATION_LEVEL', 'CKA_VALIDATION_MODULE_ID', 'CKA_VALIDATION_AUTHORITY_TYPE', 'CKA_VALIDATION_COUNTRY',
      'CKA_VALIDATION_CERTIFICATE_IDENTIFIER', 'CKA_VALIDATION_CERTIFICATE_URI', 'CKA_VALIDATION_VENDOR_URI', 'CKA_VALIDATION_PROFILE',
    ]);
    const text = (name: AttributeName, length: number) => plain(utf8Text(values.get(name)), length);
    const number = (name: AttributeName) => (values.has(name) ? `${ulong(values.get(name)!)}` : '');
    found.push({
      type: VALIDATION_TYPES[Number(number('CKA_VALIDATION_TYPE'))] ?? number('CKA_VALIDATION_TYPE'),
      version: [...values.get('CKA_VALIDATION_VERSION')?.subarray(0, 2) ?? []].join('.'),
      level: number('CKA_VALIDATION_LEVEL'),
      authority: VALIDATION_AUTHORITIES[Number(number('CKA_VALIDATION_AUTHORITY_TYPE'))] ?? number('CKA_VALIDATION_AUTHORITY_TYPE'),
      moduleId: text('CKA_VALIDATION_MODULE_ID', 200), country: text('CKA_VALIDATION_COUNTRY', 8),
      certificate: text('CKA_VALIDATION_CERTIFICATE_IDENTIFIER', 200), certificateUri: text('CKA_VALIDATION_CERTIFICATE_URI', 300),
      vendorUri: text('CKA_VALIDATION_VENDOR_URI', 300), profile: text('CKA_VALIDATION_PROFILE', 300),
    });
  }
  return found;
}

/** CKV_TYPE_* and CKV_AUTHORITY_TYPE_* of the 3.2 header. */
const VALIDATION_TYPES: Readonly<Record<number, string>> = { 1: 'software', 2: 'hardware', 3: 'firmware', 4: 'hybrid' };
const VALIDATION_AUTHORITIES: Readonly<Record<number, string>> = { 1: 'NIST CMVP', 2: 'Common Criteria' };

// --- one object ------------------------------------------------------------------------------------------------------

const STORAGE = ['CKA_CLASS', 'CKA_TOKEN', 'CKA_PRIVATE', 'CKA_MODIFIABLE', 'CKA_COPYABLE', 'CKA_DESTROYABLE', 'CKA_LABEL', 'CKA_UNIQUE_ID'] as const satisfies readonly AttributeName[];
const EVERY_KEY = [
  'CKA_KEY_TYPE', 'CKA_ID', 'CKA_START_DATE', 'CKA_END_DATE', 'CKA_DERIVE', 'CKA_LOCAL', 'CKA_KEY_GEN_MECHANISM', 'CKA_ALLOWED_MECHANISMS', 'CKA_OBJECT_VALIDATION_FLAGS',
] as const satisfies readonly AttributeName[];
const SECRECY = ['CKA_SENSITIVE', 'CKA_ALWAYS_SENSITIVE', 'CKA_EXTRACTABLE', 'CKA_NEVER_EXTRACTABLE', 'CKA_WRAP_WITH_TRUSTED'] as const satisfies readonly AttributeName[];
/** What is public in a key of either half, by key type; a token says no to what a type does not have. */
const PUBLIC_PARTS: Readonly<Record<string, readonly AttributeName[]>> = {
  CKK_RSA: ['CKA_MODULUS', 'CKA_PUBLIC_EXPONENT'],
  CKK_DSA: ['CKA_PRIME', 'CKA_SUBPRIME', 'CKA_BASE'],
  CKK_DH: ['CKA_PRIME', 'CKA_BASE'],
  CKK_EC: ['CKA_EC_PARAMS', 'CKA_EC_POINT'],
  CKK_EC_EDWARDS: ['CKA_EC_PARAMS', 'CKA_EC_POINT'],
  CKK_EC_MONTGOMERY: ['CKA_EC_PARAMS', 'CKA_EC_POINT'],
  CKK_ML_DSA: ['CKA_PARAMETER_SET'], CKK_ML_KEM: ['CKA_PARAMETER_SET'], CKK_SLH_DSA: ['CKA_PARAMETER_SET'], CKK_XMSS: ['CKA_PARAMETER_SET'], CKK_XMSSMT: ['CKA_PARAMETER_SET'],
  CKK_HSS: ['CKA_HSS_LEVELS', 'CKA_HSS_LMS_TYPE', 'CKA_HSS_LMOTS_TYPE', 'CKA_HSS_LMS_TYPES', 'CKA_HSS_LMOTS_TYPES', 'CKA_HSS_KEYS_REMAINING'],
};
/** What only the public object has: in a private one CKA_VALUE is the secret. */
const PUBLIC_OBJECT_PARTS: Readonly<Record<string, readonly AttributeName[]>> = {
  CKK_RSA: ['CKA_MODULUS_BITS'], CKK_DSA: ['CKA_VALUE'], CKK_DH: ['CKA_VALUE'], CKK_ML_DSA: ['CKA_VALUE'], CKK_ML_KEM: ['CKA_VALUE'], CKK_SLH_DSA: ['CKA_VALUE'], CKK_HSS: ['CKA_VALUE'], CKK_XMSS: ['CKA_VALUE'], CKK_XMSSMT: ['CKA_VALUE'],
};
const OF_CLASS: Readonly<Record<Exclude<ObjectFact['class'], 'unreadable'>, readonly AttributeName[]>> = {
  'private-key': [
    ...STORAGE, ...EVERY_KEY, ...SECRECY, 'CKA_SIGN', 'CKA_SIGN_RECOVER', 'CKA_DECRYPT', 'CKA_UNWRAP', 'CKA_DECAPSULATE', 'CKA_ALWAYS_AUTHENTICATE', 'CKA_SUBJECT', 'CKA_PUBLIC_KEY_INFO',
  ],
  'public-key': [
    ...STORAGE, ...EVERY_KEY, 'CKA_VERIFY', 'CKA_VERIFY_RECOVER', 'CKA_ENCRYPT', 'CKA_WRAP', 'CKA_ENCAPSULATE', 'CKA_TRUSTED', 'CKA_SUBJECT', 'CKA_PUBLIC_KEY_INFO',
  ],
  'secret-key': [
    ...STORAGE, ...EVERY_KEY, ...SECRECY, 'CKA_SIGN', 'CKA_VERIFY', 'CKA_ENCRYPT', 'CKA_DECRYPT', 'CKA_WRAP', 'CKA_UNWRAP', 'CKA_TRUSTED', 'CKA_VALUE_LEN', 'CKA_CHECK_VALUE',
  ],
  'certificate': [
    ...STORAGE, 'CKA_CERTIFICATE_TYPE', 'CKA_CERTIFICATE_CATEGORY', 'CKA_TRUSTED', 'CKA_ID', 'CKA_SUBJECT', 'CKA_ISSUER', 'CKA_SERIAL_NUMBER', 'CKA_OWNER', 'CKA_URL',
    'CKA_HASH_OF_SUBJECT_PUBLIC_KEY', 'CKA_HASH_OF_ISSUER_PUBLIC_KEY', 'CKA_NAME_HASH_ALGORITHM', 'CKA_START_DATE', 'CKA_END_DATE', 'CKA_PUBLIC_KEY_INFO', 'CKA_CHECK_VALUE', 'CKA_VALUE',
  ],
  'data': [...STORAGE, 'CKA_APPLICATION', 'CKA_OBJECT_ID'],
  'other': [
    ...STORAGE, 'CKA_MECHANISM_TYPE', 'CKA_PROFILE_ID', 'CKA_VALIDATION_TYPE', 'CKA_VALIDATION_VERSION', 'CKA_VALIDATION_LEVEL', 'CKA_VALIDATION_MODULE_ID', 'CKA_VALIDATION_FLAG',
    'CKA_VALIDATION_AUTHORITY_TYPE', 'CKA_VALIDATION_COUNTRY', 'CKA_VALIDATION_CERTIFICATE_IDENTIFIER', 'CKA_VALIDATION_CERTIFICATE_URI', 'CKA_VALIDATION_VENDOR_URI', 'CKA_VALIDATION_PROFILE',
  ],
};
/** What could be secret, by class: not asked for, also where a token would answer. (Shares and seeds are data objects.) */
const WITHHELD: Readonly<Record<ObjectFact['class'], readonly string[]>> = {
  'private-key': ['CKA_VALUE', 'CKA_SEED', 'CKA_PRIVATE_EXPONENT', 'CKA_PRIME_1', 'CKA_PRIME_2', 'CKA_EXPONENT_1', 'CKA_EXPONENT_2', 'CKA_COEFFICIENT'],
  'secret-key': ['CKA_VALUE'],
  'data': ['CKA_VALUE'],
  'public-key': [], 'certificate': [], 'other': ['CKA_VALUE'], 'unreadable': [],
};
/** More of a value than this is not shown: a certificate or a post-quantum key has less. */
const LONGEST_VALUE = 65_536;

/** An object in full. Throws `Refused` OBJECT-MOVED where something else stands in its place by now. */
export async function readObject(session: Session, { position, object }: ObjectPlace): Promise<ObjectReading> {
  const here = await listedAs(session, position);
  if (JSON.stringify(inOrder(here)) !== JSON.stringify(inOrder(object))) {
    throw new Refused(refuse('OBJECT-MOVED', `the object of the list (${named(object)}) at its place`, named(here), 'Something changed on the token, or somebody logged in or out. List its objects again.'));
  }
  if (here.class === 'unreadable') return nothingToldOf(here);
  const asked = [...OF_CLASS[here.class], ...(isKeyClass(here.class) ? PUBLIC_PARTS[here.keyType] ?? [] : []), ...(here.class === 'public-key' ? PUBLIC_OBJECT_PARTS[here.keyType] ?? [] : [])];
  const values = new Map(await session.read({ position }, asked));
  let withheld = WITHHELD[here.class];
  // A data object that everybody may read holds no secret of its token's; ours hold shares and seeds, whatever the token says.
  const ours = Buffer.from(values.get('CKA_APPLICATION') ?? []).toString() === APPLICATION;
  if (here.class === 'data' && !ours && bool(values.get('CKA_PRIVATE')) === false) {
    withheld = [];
    for (const [name, value] of await session.read({ position }, ['CKA_VALUE'])) values.set(name, value);
  }
  const told = [...values].filter(([, value]) => value.length <= LONGEST_VALUE);
  const certificate = here.class === 'certificate' ? certificateOf(values.get('CKA_VALUE')) : null;
  const publicKey = certificate?.key ?? (here.class === 'public-key' || here.class === 'private-key' ? keyOf(here.keyType, values) : null);
  const key = isKeyClass(here.class) ? await session.attributes({ position, class: here.class }) : null;
  const trust = { wrapWithTrusted: bool(values.get('CKA_WRAP_WITH_TRUSTED')), trusted: bool(values.get('CKA_TRUSTED')), alwaysAuthenticate: bool(values.get('CKA_ALWAYS_AUTHENTICATE')) };
  return {
    object: here,
    attributes: told.map(([name, value]): AttributeReading => ({ name, number: cryptoki.CKA[name][0] as number, hex: toHex(value), text: meaningOf(name, value, values) })),
    unanswered: asked.filter((name) => !values.has(name)),
    withheld: [...withheld],
    key, trust,
    letters: lettersOf(here.class, values),
    publicKey: publicKey === null ? null : { label: plain(publicKey.label, 64), spki: toBase64url(publicKey.spki), sha256: toHex(sha256(publicKey.spki)) },
    certificate: certificate === null ? null : {
      subject: nameText(certificate.subject), issuer: nameText(certificate.issuer), serialNumber: certificate.serial.slice(0, 64),
      notBefore: certificate.notBefore.toISOString(), notAfter: certificate.notAfter.toISOString(),
    },
  };
}

/** What stands at a place of the listing now. Throws Fault REQUEST_INVALID where there is no such place. */
export async function listedAs(session: Session, position: number): Promise<ObjectFact> {
  const { objects: [object] } = await session.list(position, 1, false);
  if (object !== undefined) return object;
  throw new Refused(refuse('OBJECT-MOVED', `an object at place ${position} of the list`, 'a shorter list', 'Something changed on the token, or somebody logged in or out. List its objects again.'));
}

function nothingToldOf(object: ObjectFact): ObjectReading {
  const trust = { wrapWithTrusted: null, trusted: null, alwaysAuthenticate: null };
  return { object, attributes: [], unanswered: ['CKA_CLASS'], withheld: [], key: null, trust, letters: [], publicKey: null, certificate: null };
}

export const inOrder = ({ class: kind, id, label, keyType }: ObjectFact) => [kind, id, label, keyType];
export const named = ({ class: kind, id, label }: ObjectFact) => `${kind}${label === '' ? '' : ` "${label}"`}${id === '' ? '' : ` ${id}`}`.slice(0, 200);

function isKeyClass(kind: ObjectFact['class']): kind is KeyClass {
  return kind === 'private-key' || kind === 'public-key' || kind === 'secret-key';
}

// --- what bytes mean -------------------------------------------------------------------------------------------------

const names = (table: Readonly<Record<string, number>>) => new Map(Object.entries(table).map(([name, number]) => [number, name]));
const CLASS_NAMES = names(cryptoki.CKO);
const CERTIFICATE_TYPES: Readonly<Record<number, string>> = { 0: 'CKC_X_509', 1: 'CKC_X_509_ATTR_CERT', 2: 'CKC_WTLS' };
/** Section 4.6.2. */
const CERTIFICATE_CATEGORIES: Readonly<Record<number, string>> = { 0: 'unspecified', 1: 'token user', 2: 'authority', 3: 'other entity' };

/** A value in words, or null. Never throws: bytes that are not what they should be mean nothing more than themselves. */
function meaningOf(name: AttributeName, value: Uint8Array, all: ReadonlyMap<AttributeName, Uint8Array>): string | null {
  try {
    const text = meaning(name, value, all);
    return text === null ? null : plain(text, 4000);
  } catch (thrown) {
    if (thrown instanceof Refused) return null;
    throw thrown;
  }
}

function meaning(name: AttributeName, value: Uint8Array, all: ReadonlyMap<AttributeName, Uint8Array>): string | null {
  const [, kind] = cryptoki.CKA[name] as unknown as [number, string];
  switch (kind) {
    case 'boolean': return value.length === 1 ? `${value[0] !== 0}` : null;
    case 'text': return utf8Text(value);
    case 'date': return /^\d{8}$/.test(utf8Text(value)) ? utf8Text(value).replace(/^(....)(..)(..)$/, '$1-$2-$3') : value.length === 0 ? 'not set' : null;
    case 'number': return numberMeaning(name, value, all);
  }
  if (value.length === 0) return 'empty';
  switch (name as string) {
    case 'CKA_EC_PARAMS': return curveOf(value);
    case 'CKA_SUBJECT': case 'CKA_ISSUER': return nameText(value);
    case 'CKA_SERIAL_NUMBER': return toHex(readDer(value, 'serialNumber', TAG.integer).content);
    case 'CKA_OBJECT_ID': return readOid(readDer(value, 'objectId', TAG.oid), 'objectId');
    case 'CKA_MODULUS': return `${value.length * 8 - Math.clz32(value[0] ?? 0) + 24} bits`;
    case 'CKA_PUBLIC_EXPONENT': return value.length <= 32 ? `${BigInt(`0x${toHex(value)}`)}` : null;
    case 'CKA_PUBLIC_KEY_INFO': return readSubjectKey(value).label;
    case 'CKA_VALIDATION_VERSION': return [...value].join('.');
    case 'CKA_ALLOWED_MECHANISMS': case 'CKA_HSS_LMS_TYPES': case 'CKA_HSS_LMOTS_TYPES': {
      const numbers = Array.from({ length: Math.floor(value.length / 8) }, (_, i) => ulong(value.subarray(8 * i, 8 * i + 8)));
      return numbers.map((number) => (name === 'CKA_ALLOWED_MECHANISMS' ? mechanismName(number) : `${number}`)).join(', ');
    }
    case 'CKA_VALUE': {
      if (ulongOr(all.get('CKA_CLASS')) === cryptoki.CKO.CKO_CERTIFICATE) return nameText(readCertificate(value).subject);
      return null;
    }
    default: return null;
  }
}

function numberMeaning(name: AttributeName, value: Uint8Array, all: ReadonlyMap<AttributeName, Uint8Array>): string | null {
  if (value.length !== 8 && value.length !== 4) return null;
  const unavailable = value.every((byte) => byte === 0xff);
  const number = ulong(value);
  switch (name as string) {
    case 'CKA_CLASS': return CLASS_NAMES.get(number) ?? `${number}`;
    case 'CKA_KEY_TYPE': return keyTypeName(number);
    case 'CKA_KEY_GEN_MECHANISM': return unavailable ? 'not generated on this token (CK_UNAVAILABLE_INFORMATION)' : mechanismName(number);
    case 'CKA_MECHANISM_TYPE': case 'CKA_NAME_HASH_ALGORITHM': return mechanismName(number);
    case 'CKA_CERTIFICATE_TYPE': return CERTIFICATE_TYPES[number] ?? `${number}`;
    case 'CKA_CERTIFICATE_CATEGORY': return CERTIFICATE_CATEGORIES[number] ?? `${number}`;
    case 'CKA_PARAMETER_SET': return setLabel(keyTypeName(ulongOr(all.get('CKA_KEY_TYPE')) ?? -1), number) ?? `${number}`;
    default: return unavailable ? 'not told (CK_UNAVAILABLE_INFORMATION)' : `${number}`;
  }
}

function setRow(keyType: string, set: number) {
  switch (keyType) {
    case 'CKK_ML_DSA': return [ALGORITHMS['ml-dsa-44'], ALGORITHMS['ml-dsa-65'], ALGORITHMS['ml-dsa-87']].find(({ pkcs11 }) => pkcs11.parameterSet === set);
    case 'CKK_ML_KEM': return Object.values(ML_KEMS).find(({ pkcs11 }) => pkcs11.parameterSet === set);
    case 'CKK_XMSS': case 'CKK_XMSSMT': return XMSS_SETS.find(({ tree, pkcs11 }) => keyType === `CKK_${tree.toUpperCase()}` && pkcs11.parameterSet === set);
    case 'CKK_SLH_DSA': return SLH_DSAS.find(({ pkcs11 }) => pkcs11.parameterSet === set);
    default: return undefined;
  }
}

function setLabel(keyType: string, set: number): string | null {
  return setRow(keyType, set)?.label ?? null;
}

/** PrintableString of section 6.3.3: the curve by its name. */
const PRINTABLE = 0x13;
const CURVE_NAMES: Readonly<Record<string, string>> = { edwards25519: 'Ed25519', edwards448: 'Ed448', curve25519: 'X25519', curve448: 'X448' };

/** Throws `Refused` for parameters that are no DER. */
function curveOf(parameters: Uint8Array): string {
  const node = readDer(parameters, 'EC parameters');
  if (node.tag === PRINTABLE) {
    const name = utf8Text(node.content);
    return CURVE_NAMES[name] ?? name;
  }
  if (node.tag !== TAG.oid) return 'explicit parameters';
  const oid = readOid(node, 'EC parameters');
  const tables: readonly Readonly<Record<string, { readonly oid: string }>>[] = [CURVE_FACTS, EDWARDS_FACTS, MONTGOMERY_FACTS];
  return tables.flatMap((table) => Object.entries(table)).find(([, facts]) => facts.oid === oid)?.[0] ?? oid;
}

/** The certificate of an object, or null for one that does not read. */
function certificateOf(der: Uint8Array | undefined) {
  try {
    return der === undefined ? null : readCertificate(der);
  } catch (thrown) {
    if (thrown instanceof Refused) return null;
    throw thrown;
  }
}

/** The key of an object's public attributes, or null where they make none that can be read here. */
function keyOf(keyType: string, values: ReadonlyMap<AttributeName, Uint8Array>): SubjectKey | null {
  try {
    return subjectKeyFrom(keyType, values);
  } catch (thrown) {
    if (thrown instanceof Refused) return null;
    throw thrown;
  }
}

/** Likewise; throws `Refused` for what makes no key, null for types that have no public half or none known here. */
function subjectKeyFrom(keyType: string, values: ReadonlyMap<AttributeName, Uint8Array>): SubjectKey | null {
  const [params, point] = [values.get('CKA_EC_PARAMS'), values.get('CKA_EC_POINT')];
  switch (keyType) {
    case 'CKK_RSA': {
      const [n, e] = [values.get('CKA_MODULUS'), values.get('CKA_PUBLIC_EXPONENT')];
      // The row gives the encoding alone; what size the modulus has, the reader finds out.
      return n === undefined || e === undefined ? null : readSubjectKey(publicKeyFromParts('rsa-3072', { n, e }).spki);
    }
    case 'CKK_EC': {
      if (params === undefined || point === undefined) return null;
      return subjectKeyOf(EC_PUBLIC_KEY, params, pointOf(point, 1 + 2 * CURVE_FACTS[namedCurve(params)].fieldBytes));
    }
    case 'CKK_EC_EDWARDS': case 'CKK_EC_MONTGOMERY': {
      if (params === undefined || point === undefined) return null;
      const name = curveOf(params);
      const facts = new Map<string, { readonly oid: string; readonly keyBytes: number }>(Object.entries({ ...EDWARDS_FACTS, ...MONTGOMERY_FACTS })).get(name);
      return facts === undefined ? null : subjectKeyOf(facts.oid, null, pointOf(point, facts.keyBytes));
    }
    case 'CKK_ML_DSA': case 'CKK_ML_KEM': case 'CKK_SLH_DSA': case 'CKK_XMSS': case 'CKK_XMSSMT': {
      const [set, raw] = [values.get('CKA_PARAMETER_SET'), values.get('CKA_VALUE')];
      const row = set === undefined ? undefined : setRow(keyType, ulong(set));
      return row === undefined || raw === undefined ? null : subjectKeyOf('keyOid' in row ? row.keyOid : row.oid, null, raw);
    }
    case 'CKK_HSS': {
      const raw = values.get('CKA_VALUE');
      return raw === undefined ? null : subjectKeyOf(HSS_LMS.oid, null, raw);
    }
    default: return null;
  }
}

/** Points come raw or in an OCTET STRING: the length for the curve decides, because a raw point may begin like one. */
function pointOf(value: Uint8Array, length: number): Uint8Array {
  return value.length === length ? value : readDer(value, 'EC point', TAG.octetString).content;
}

function bool(value: Uint8Array | undefined): boolean | null {
  return value?.length === 1 ? value[0] !== 0 : null;
}

/** CK_ULONG in the machine's own order; beyond exact numbers it is rounded. */
function ulong(value: Uint8Array): number {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  return value.length === 8 ? Number(view.getBigUint64(0, true)) : value.length === 4 ? view.getUint32(0, true) : 0;
}

function ulongOr(value: Uint8Array | undefined): number | null {
  return value === undefined ? null : ulong(value);
}

function utf8Text(value: Uint8Array | undefined): string {
  return new TextDecoder().decode(value ?? new Uint8Array());
}

// --- letters ---------------------------------------------------------------------------------------------------------

/**
 * The letters of p11ls, in its order: pkcs11-tools (Mastercard, github.com/Mastercard/pkcs11-tools), lib/pkcs11_ls.c at
 * 11831745fb. Capitals are what p11ls wants seen. The templates (wrt, uwt, drt) are left out: arrays of attributes are not read.
 */
interface LetterRow {
  readonly attribute: AttributeName;
  readonly yes: readonly [letter: string, meaning: string, risk?: 'risk'] | null;
  readonly no: readonly [letter: string, meaning: string, risk?: 'risk'] | null;
}
const LETTERS: readonly LetterRow[] = [
  { attribute: 'CKA_TOKEN', yes: ['tok', 'lives on the token'], no: ['ses', 'lives in the session'] },
  { attribute: 'CKA_PRIVATE', yes: ['prv', 'visible after login only'], no: ['pub', 'visible to everybody'] },
  { attribute: 'CKA_MODIFIABLE', yes: ['r/w', 'attributes can be changed'], no: ['r/o', 'attributes cannot be changed'] },
  { attribute: 'CKA_LOCAL', yes: ['loc', 'generated on this token'], no: ['imp', 'not generated on this token'] },
  { attribute: 'CKA_DERIVE', yes: ['drv', 'derives keys'], no: null },
  { attribute: 'CKA_ENCRYPT', yes: ['enc', 'encrypts'], no: null },
  { attribute: 'CKA_DECRYPT', yes: ['dec', 'decrypts'], no: null },
  { attribute: 'CKA_SIGN', yes: ['sig', 'signs'], no: null },
  { attribute: 'CKA_SIGN_RECOVER', yes: ['sir', 'signs with recovery'], no: null },
  { attribute: 'CKA_VERIFY', yes: ['vfy', 'verifies'], no: null },
  { attribute: 'CKA_VERIFY_RECOVER', yes: ['vre', 'verifies with recovery'], no: null },
  { attribute: 'CKA_WRAP', yes: ['wra', 'wraps keys'], no: null },
  { attribute: 'CKA_UNWRAP', yes: ['unw', 'unwraps keys'], no: null },
  { attribute: 'CKA_SENSITIVE', yes: ['sen', 'its value is never shown in clear'], no: ['NSE', 'its value can be read in clear', 'risk'] },
  { attribute: 'CKA_ALWAYS_SENSITIVE', yes: ['ase', 'has always been sensitive'], no: ['NAS', 'was not always sensitive: its value may have been read', 'risk'] },
  { attribute: 'CKA_EXTRACTABLE', yes: ['XTR', 'can be wrapped, and so leave the token', 'risk'], no: null },
  { attribute: 'CKA_NEVER_EXTRACTABLE', yes: ['nxt', 'has never been extractable'], no: ['WXT', 'was extractable once: a copy may exist elsewhere', 'risk'] },
  { attribute: 'CKA_ALWAYS_AUTHENTICATE', yes: ['AAU', 'asks for the PIN at every use'], no: null },
  { attribute: 'CKA_TRUSTED', yes: ['tru', 'marked as trusted by the SO'], no: null },
  { attribute: 'CKA_WRAP_WITH_TRUSTED', yes: ['wwt', 'wrapped under trusted keys only'], no: null },
];

function lettersOf(kind: ObjectFact['class'], values: ReadonlyMap<AttributeName, Uint8Array>): Letter[] {
  return LETTERS.flatMap(({ attribute, yes, no }) => {
    // Where its value may be known to all, p11ls does not warn that it is.
    if (attribute === 'CKA_EXTRACTABLE' && kind === 'public-key') return [];
    const value = bool(values.get(attribute));
    const row = value === null ? null : value ? yes : no;
    return row === null ? [] : [{ letter: row[0], meaning: row[1], risk: row[2] === 'risk' }];
  });
}

// --- searching -------------------------------------------------------------------------------------------------------

const WRITE = 'Correct the search.';
/** Names that may stand for a number. */
const NUMBERS: Readonly<Record<string, number>> = { ...cryptoki.CKO, ...cryptoki.CKK, ...cryptoki.CKM, ...cryptoki.CKP };
/** Searching by what could be secret would tell it, one guess after the other. */
const NOT_SEARCHED: readonly string[] = Object.values(WITHHELD).flat();

/** A search as a template. Throws `Refused` SEARCH-ATTRIBUTE, SEARCH-VALUE. */
export function wantedOf(where: readonly AttributeWanted[]): Template {
  const template: Record<string, boolean | number | string | Uint8Array> = {};
  for (const { attribute, value } of where) {
    if (!Object.hasOwn(cryptoki.CKA, attribute) || NOT_SEARCHED.includes(attribute)) {
      throw new Refused(refuse('SEARCH-ATTRIBUTE', 'an attribute of PKCS#11 that is not secret', plain(attribute, 64), WRITE));
    }
    if (Object.hasOwn(template, attribute)) throw new Refused(refuse('SEARCH-ATTRIBUTE', 'each attribute once', attribute, WRITE));
    template[attribute] = valueOf(attribute as AttributeName, value);
  }
  return template;
}

function valueOf(name: AttributeName, value: string): boolean | number | string | Uint8Array {
  const [, kind] = cryptoki.CKA[name] as unknown as [number, string];
  const wrong = (expected: string) => new Refused(refuse('SEARCH-VALUE', `${name}: ${expected}`, plain(value, 64), WRITE));
  switch (kind) {
    case 'boolean':
      if (value !== 'true' && value !== 'false') throw wrong('true or false');
      return value === 'true';
    case 'number': {
      const number = Object.hasOwn(NUMBERS, value) ? NUMBERS[value]! : /^(\d{1,10}|0x[0-9a-fA-F]{1,8})$/.test(value) ? Number(value) : NaN;
      if (!(number <= 0xffff_ffff)) throw wrong('a number below 2^32, or a CKO_, CKK_, CKM_ or CKP_ name');
      return number;
    }
    case 'text':
      if (!value.isWellFormed()) throw wrong('text');
      return value;
    case 'date':
      if (!/^\d{8}$/.test(value)) throw wrong('a date as YYYYMMDD');
      return value;
    default:
      if (!/^([0-9a-fA-F]{2})+$/.test(value)) throw wrong('bytes in hex');
      return fromHex(value.toLowerCase());
  }
}

// --- weak keys -------------------------------------------------------------------------------------------------------

/** What it takes to read an object's public key. That of an RSA key is in its private object too, and often nowhere else. */
function scannedOf({ class: kind, keyType }: ObjectFact): readonly AttributeName[] {
  switch (kind) {
    case 'certificate': return ['CKA_VALUE'];
    case 'public-key': return [...PUBLIC_PARTS[keyType] ?? [], ...PUBLIC_OBJECT_PARTS[keyType] ?? []];
    case 'private-key': return keyType === 'CKK_RSA' ? PUBLIC_PARTS['CKK_RSA']! : [];
    case 'secret-key': case 'data': case 'other': case 'unreadable': return [];
  }
}

/**
 * The public key of an object, or of its token's public object where it does not tell its own; null where nothing tells it.
 * Throws `Refused` for values that make no key.
 */
export async function readPublicKey(session: Session, which: ObjectAt | ObjectName, object: ObjectFact): Promise<SubjectKey | null> {
  if (object.class === 'certificate') return readCertificate((await session.read(which, ['CKA_VALUE'])).get('CKA_VALUE') ?? new Uint8Array()).key;
  const wanted = scannedOf(object);
  const own = wanted.length === 0 ? null : subjectKeyFrom(object.keyType, await session.read(which, wanted));
  if (own !== null || object.class !== 'private-key') return own;
  const told = (await session.read(which, ['CKA_PUBLIC_KEY_INFO'])).get('CKA_PUBLIC_KEY_INFO');
  if (told !== undefined && told.length > 0) return readSubjectKey(told);
  if (object.id === '') return null;
  for (const lives of ['token', 'session'] as const) {
    const other = { class: 'public-key', id: object.id, lives } as const;
    const [found, ...more] = await session.find(other);
    if (found !== undefined && more.length === 0) return readPublicKey(session, other, found);
  }
  return null;
}

/** The public keys among `limit` objects of the listing from `offset` on, each with everything wrong with it by itself. */
export async function scanKeys(session: Session, offset: number, limit: number): Promise<{ total: number; keys: ScannedKey[] }> {
  const { total, objects } = await session.list(offset, limit, offset === 0);
  const keys: ScannedKey[] = [];
  for (const [i, object] of objects.entries()) {
    const wanted = scannedOf(object);
    const position = offset + i;
    if (wanted.length === 0 && object.class !== 'public-key') continue;
    const values = await session.read({ position }, wanted);
    try {
      const key = object.class === 'certificate' ? readCertificate(values.get('CKA_VALUE') ?? new Uint8Array()).key : subjectKeyFrom(object.keyType, values);
      if (key !== null) keys.push({ position, object, label: plain(key.label, 64), spki: toBase64url(key.spki), findings: keyFindings(key) });
      // A private key without its public attributes is no fault: they are in its public object.
      else if (object.class === 'public-key') {
        keys.push(unread(position, object, refuse('KEY-READABLE', `the public values of a ${object.keyType} key`, 'none, or of a kind that is not known here', 'Have the token\'s vendor say what this key is; nothing can be tested in it.')));
      }
    } catch (thrown) {
      if (!(thrown instanceof Refused)) throw thrown;
      keys.push(unread(position, object, thrown.refusal));
    }
  }
  return { total, keys };
}

function unread(position: number, object: ObjectFact, finding: ScannedKey['findings'][number]): ScannedKey {
  return { position, object, label: '', spki: null, findings: [finding] };
}

// --- readiness -------------------------------------------------------------------------------------------------------

interface Candidate {
  readonly name: string;
  readonly family: Readiness['family'];
  /** Numbers of mechanisms. */
  readonly takes: readonly number[];
  /** Bits, where the token's sizes for key generation are meant in bits. */
  readonly bits: number | null;
  /** Why it is not tried, where it is not. */
  readonly untried: string | null;
  /** Words for what was proven. Throws where it was not. */
  readonly attempt: (session: Session, ids: string[]) => Promise<string>;
}

/** Small signatures are slow to make: minutes on tokens that compute without help for hashing. */
const SLOW = 'Not tried: making and using a key of a small-signature set takes a token up to minutes. The fast set beside it was tried.';
const KWP_BYTES = 32;

function candidates(mechanisms: readonly Mechanism[]): Candidate[] {
  const signing = (row: TokenAlgorithm & { readonly label: string }, name: string, bits: number | null, untried: string | null): Candidate => ({
    name, family: row.family as Readiness['family'], takes: [row.pkcs11.generate, row.pkcs11.sign], bits, untried,
    attempt: (session, ids) => signRoundTrip(session, row, ids),
  });
  // KWP goes by two numbers; which of them this token uses, its session knows (quirks).
  const kwp = ['CKM_AES_KEY_WRAP_KWP', 'CKM_AES_KEY_WRAP_PAD'].find((name) => mechanisms.some((mechanism) => mechanism.name === name)) ?? 'CKM_AES_KEY_WRAP_KWP';
  return [
    signing(RSA_2048, 'RSA-2048', 2048, null), signing(ALGORITHMS['rsa-3072'], 'RSA-3072', 3072, null), signing(ALGORITHMS['rsa-4096'], 'RSA-4096', 4096, null),
    ...(['ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521'] as const).map((name) => signing(ALGORITHMS[name], `ECDSA ${ALGORITHMS[name].jose.crv}`, Number(name.slice(-3)), null)),
    signing(ALGORITHMS.ed25519, 'Ed25519', null, null),
    ...(['ml-dsa-44', 'ml-dsa-65', 'ml-dsa-87'] as const).map((name) => signing(ALGORITHMS[name], ALGORITHMS[name].label, null, null)),
    ...Object.values(ML_KEMS).map((row): Candidate => ({
      name: row.label, family: 'ml-kem', takes: [row.pkcs11.generate, row.pkcs11.mechanism], bits: null, untried: null, attempt: (session, ids) => kemRoundTrip(session, row, ids),
    })),
    ...SLH_DSAS.map((row) => signing(row, row.label, null, row.name.endsWith('s') ? SLOW : null)),
    { name: 'AES-256 KWP', family: 'aes', takes: [cryptoki.CKM.CKM_AES_KEY_GEN, cryptoki.CKM[kwp as 'CKM_AES_KEY_WRAP_KWP']], bits: null, untried: null, attempt: kwpRoundTrip },
  ];
}

/**
 * Tries every parameter set for real, one after the other, with session objects that are destroyed again. `session` is logged
 * in. Throws only where the token itself is gone.
 */
export async function probe(token: Token, session: Session): Promise<Readiness[]> {
  const mechanisms = await token.mechanisms();
  const listed = new Map(mechanisms.map((mechanism) => [mechanism.number, mechanism]));
  const readiness: Readiness[] = [];
  for (const candidate of candidates(mechanisms)) readiness.push(await probeOne(session, candidate, listed));
  return readiness;
}

async function probeOne(session: Session, { name, family, takes, bits, untried, attempt }: Candidate, listed: ReadonlyMap<number, Mechanism>): Promise<Readiness> {
  const cell = (can: Readiness['can'], detail: string, code: string | null, milliseconds: number | null): Readiness =>
    ({ name, family, can, detail: detail.slice(0, 300), code, mechanisms: takes.map(mechanismName), milliseconds });
  const missing = takes.filter((number) => !listed.has(number)).map(mechanismName);
  if (missing.length > 0) return cell('absent', `The token does not list ${missing.join(', ')}.`, null, null);
  const sizes = listed.get(takes[0]!)!;
  // A token that gives no sizes at all is asked all the same.
  if (bits !== null && sizes.max > 0 && (bits < sizes.min || bits > sizes.max)) {
    return cell('absent', `The token lists ${sizes.name} for ${sizes.min} to ${sizes.max} bits.`, null, null);
  }
  if (untried !== null) return cell('claimed', untried, null, null);
  const ids: string[] = [];
  const begun = performance.now();
  try {
    const words = await attempt(session, ids);
    return cell('proven', words, null, Math.round(performance.now() - begun));
  } catch (thrown) {
    if (tokenIsGone(thrown)) throw thrown;
    const { code, message } = deviceError(thrown);
    if (thrown instanceof TokenError && REFUSES_THE_SET.includes(thrown.code)) return cell('absent', `The mechanism is listed, and this set of it refused. ${thrown.hint ?? message}`, code, null);
    return cell('claimed', `${thrown instanceof Fault ? 'Listed, and not tried.' : 'Listed, tried, and failed.'} ${message}`, code, null);
  } finally {
    for (const id of ids) await forgetSessionObjects(session, id);
  }
}

/** What tokens answer when they know a mechanism and not this parameter set, curve or size of it. */
const REFUSES_THE_SET: readonly string[] = [
  'CKR_PARAMETER_SET_NOT_SUPPORTED', 'CKR_CURVE_NOT_SUPPORTED', 'CKR_DOMAIN_PARAMS_INVALID', 'CKR_KEY_SIZE_RANGE', 'CKR_MECHANISM_INVALID',
];

async function signRoundTrip(session: Session, row: TokenAlgorithm, ids: string[]): Promise<string> {
  const id = freshId();
  ids.push(id);
  await session.generateKeyPair({ algorithm: row, id, label: 'conclave-probe', extractable: false, lives: 'session' });
  const { spki } = await session.publicKey({ class: 'public-key', id, lives: 'session' }, row);
  const key = readSubjectKey(spki);
  const [weak] = keyFindings(key);
  if (weak !== undefined) throw new Refused(weak);
  if (row.family === 'rsa' && !(key.kind === 'rsa' && key.modulusBits === row.modulusBits)) {
    throw new Refused(refuse('WEAK-SIZE', `a modulus of ${row.modulusBits} bits`, key.label, 'Do not make such keys on this token.'));
  }
  const message = randomFillSync(secretBytes(32));
  const signature = await session.sign({ class: 'private-key', id, lives: 'session' }, row, message);
  const [fault] = await signatureFindings(key, null, message, row.family === 'ecdsa' ? ecdsaRawToDer(row.name, signature) : signature);
  if (fault !== undefined) throw new Refused(fault);
  return 'A key pair was made, its public key tested, a fresh message signed, and the signature verified in software.';
}

async function kemRoundTrip(session: Session, row: MlKemAlgorithm, ids: string[]): Promise<string> {
  const id = freshId();
  ids.push(id);
  await session.generateKeyPair({ algorithm: row, id, label: 'conclave-probe', extractable: false, lives: 'session' });
  const [publicName, privateName] = [{ class: 'public-key', id, lives: 'session' }, { class: 'private-key', id, lives: 'session' }] as const;
  const [weak] = keyFindings(subjectKeyOf(row.oid, null, await session.kemPublicKey(publicName, row)));
  if (weak !== undefined) throw new Refused(weak);
  const ours = await encapsulate(row, await session.kemPublicKey(publicName, row));
  await lend(ours.sharedSecret, async (secret) => sameSecret(secret, await session.decapsulate(privateName, row, ours.ciphertext), 'software encapsulated'));
  const theirs = await session.encapsulate(publicName, row);
  await lend(theirs.secret.bytes, async (secret) => sameSecret(secret, await session.decapsulate(privateName, row, theirs.ciphertext), 'the token encapsulated'));
  return 'A key pair was made; what software encapsulated and what the token encapsulated, the token decapsulated to the same secret.';
}

/** `opened` is wiped. Throws `Refused` KEM-AGREES. */
function sameSecret(secret: Uint8Array, opened: { readonly bytes: Uint8Array; wipe(): void }, what: string): void {
  const same = equalBytes(secret, opened.bytes);
  opened.wipe();
  if (!same) throw new Refused(refuse('KEM-AGREES', `the secret that ${what}`, 'another one', 'Do not use this mechanism of the token.'));
}

async function kwpRoundTrip(session: Session, ids: string[]): Promise<string> {
  const [made, brought] = [freshId(), freshId()];
  ids.push(made, brought);
  await session.generateWrappingKey({ id: made, label: 'conclave-probe', lives: 'session' });
  const differs = (expected: string) => new Refused(refuse('WRAP-AGREES', expected, 'other bytes', 'Do not wrap keys on this token.'));
  await lend(randomFillSync(secretBytes(KWP_BYTES)), async (value) => {
    const { wrapped } = await session.sealBytes({ class: 'secret-key', id: made, lives: 'session' }, value);
    const opened = await session.openBytes({ class: 'secret-key', id: made, lives: 'session' }, wrapped);
    const same = equalBytes(opened.bytes, value);
    opened.wipe();
    if (!same) throw differs('the wrapped bytes again');
    await lend(randomFillSync(secretBytes(KWP_BYTES)), async (kek) => {
      await session.importWrappingKey({ id: brought, label: 'conclave-probe', value: kek });
      const under = await session.sealBytes({ class: 'secret-key', id: brought, lives: 'session' }, value);
      if (!equalBytes(under.wrapped, aeskwp(kek).encrypt(value))) throw differs('what RFC 5649 gives under the same key');
    });
  });
  return 'A key was made that wrapped 32 bytes and gave them back; under a known key the token wraps to the same bytes as software (RFC 5649).';
}

async function forgetSessionObjects(session: Session, id: string): Promise<void> {
  for (const kind of ['private-key', 'public-key', 'secret-key'] as const) {
    const name: ObjectName = { class: kind, id, lives: 'session' };
    await quietly(session.find(name).then((found) => (found.length === 1 ? session.destroy(name) : undefined)));
  }
}

// --- codes -----------------------------------------------------------------------------------------------------------

/** Section 2.1: the upper half belongs to the vendors. */
const VENDOR_DEFINED = 0x8000_0000;
const CKR_NUMBERS: Readonly<Record<string, number>> = { ...cryptoki.CKR, CKR_VENDOR_DEFINED: VENDOR_DEFINED };

/** What a code means; all of them for null. Throws `Refused` CODE-KNOWN. */
export function explanations(code: string | null): Explanation[] {
  const rows = texts as unknown as Readonly<Record<string, readonly [what: string, next: string, nothingDone: boolean]>>;
  const wanted = code === null ? Object.keys(rows) : [code.toUpperCase(), nameOfNumber(code)].filter((name) => Object.hasOwn(rows, name)).slice(0, 1);
  if (wanted.length === 0) throw new Refused(refuse('CODE-KNOWN', 'a CKR_* name, its number, or a code of this program', plain(code ?? '', 64), 'Look at the list: explain without a code.'));
  return wanted.map((name) => {
    const [what, next, nothingDone] = rows[name]!;
    return { code: name, number: CKR_NUMBERS[name] ?? null, what, next, nothingDone };
  });
}

function nameOfNumber(text: string): string {
  if (!/^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text)) return '';
  const number = Number(text);
  return Object.entries(CKR_NUMBERS).find(([, value]) => value === number)?.[0] ?? (number >= VENDOR_DEFINED ? 'CKR_VENDOR_DEFINED' : '');
}

