/**
 * The Tokens room: every call that only reads. Nothing here writes into a record, and nothing on a token changes.
 *
 * It puts together what device processes tell (protocol.ts) with what is judged from it (provenance, risks, URIs, keys and
 * tokens compared with each other). It never sees a PIN; who is asked for one is said in `asked`.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { fromBase64url, toHex } from '../../ceremonies/bytes.ts';
import { everyObject, type AttributeWanted, type ScannedKey } from '../../ceremonies/estate.ts';
import type { TokenFacts } from '../../ceremonies/evidence.ts';
import { compareTokens, describeKeys, type Side } from '../../ceremonies/keys/compare.ts';
import { provenanceOf, risksOf } from '../../ceremonies/keys/provenance.ts';
import { blocklistHash, gcd, modulusOf, sharedFactors, TESTS_TOGETHER } from '../../ceremonies/keys/scan.ts';
import { readSubjectKey } from '../../ceremonies/keys/subject-key.ts';
import { matches, parsePkcs11Uri, uriOf, writePkcs11Uri, type Pkcs11Uri } from '../../ceremonies/keys/uri.ts';
import { Refused, refuse, type Refusal } from '../../ceremonies/refusal.ts';
import type { Answers, Estate, FoundByUri, KeyPlace, KeyScan, ModuleReport, Request } from '../contract.ts';
import type { Answer as DeviceAnswer, Asked, ModuleConfig, Operation, Request as DeviceRequest } from '../devices/protocol.ts';
import type { Blocklist } from './blocklist.ts';

export type LookingRequest = Extract<Request, {
  call: 'token-modules' | 'token-details' | 'search-objects' | 'find-uri' | 'object' | 'probe' | 'scan-keys' | 'compare-tokens' | 'random-test' | 'self-test' | 'token-login' | 'token-log-out' | 'explain';
}>;

/** What this room needs of the house. */
export interface LookingWorld {
  call<O extends Operation>(module: ModuleConfig, operation: O, body: DeviceRequest<O>): Promise<DeviceAnswer<O>>;
  /** The module of that name. Throws `Refused` MODULE-KNOWN. */
  module(name: string): ModuleConfig;
  /** As it is now. */
  estate(): Promise<Estate>;
  readonly production: readonly string[];
  /** The title of a ceremony that is under way with this token, or null. */
  inCeremony(serial: string): string | null;
  readonly modules: () => ModuleReport;
  /** Throws `Refused` BLOCKLIST-FILE, BLOCKLIST-CHANGED; null where none is configured. */
  readonly blocklist: () => Blocklist | null;
  /** A process that any operation without a token may be asked of. */
  readonly anyModule: ModuleConfig;
}

/** Objects of a listing that are scanned in one request: other requests to the same token come in between. */
const SCAN_PAGE = 200;
const MOST_FOUND = 500;

export async function look(request: LookingRequest, world: LookingWorld): Promise<Answers[LookingRequest['call']]> {
  switch (request.call) {
    case 'token-modules': return world.modules();
    case 'token-details': return world.call(world.module(request.module), 'details', { token: request.token });
    case 'search-objects': {
      const { token, where, offset, limit } = request;
      return world.call(world.module(request.module), 'search-objects', { token, where, offset, limit });
    }
    case 'find-uri': return { found: await findByUri(request.uri, world) };
    case 'object': return oneObject(request, world);
    case 'probe': return world.call(world.module(request.module), 'probe', { token: request.token, asked: askedFor(request, 'try out what this token can do', world) });
    case 'scan-keys': return scan(request.tokens, world);
    case 'compare-tokens': return compare(request, world);
    case 'random-test': return world.call(world.module(request.module), 'test-random', { token: request.token, bytes: request.bytes });
    case 'self-test': return world.call(world.module(request.module), 'self-test', { token: request.token, place: request.place, asked: askedFor(request, 'try out a key', world) });
    case 'token-login':
      await world.call(world.module(request.module), 'log-in', { token: request.token, asked: askedFor(request, 'look at private objects', world) });
      return null;
    case 'token-log-out': {
      const ceremony = world.inCeremony(request.token);
      if (ceremony !== null) throw new Refused(refuse('TOKEN-IN-CEREMONY', 'a token that no ceremony is using', `one that "${ceremony}" is using`, 'The ceremony logs out of it when it ends.'));
      await world.call(world.module(request.module), 'log-out', { token: request.token });
      return null;
    }
    case 'explain': return world.call(world.anyModule, 'explain', { code: request.code });
  }
}

function askedFor(request: { readonly token: string; readonly standIn: boolean; readonly acceptFinalTry: boolean }, purpose: string, world: LookingWorld): Asked {
  if (request.standIn && world.production.includes(request.token)) {
    throw new Refused(refuse('REHEARSAL-NOT-ON-PRODUCTION', 'a rehearsal token for a stand-in', `${request.token}, which is in production`, 'Type the PIN in the PIN window. Nothing was touched.'));
  }
  return { person: 'officer', name: 'Security officer', purpose, standIn: request.standIn, acceptFinalTry: request.acceptFinalTry };
}

async function oneObject({ module, token: serial, place }: Extract<LookingRequest, { call: 'object' }>, world: LookingWorld): Promise<Answers['object']> {
  const reading = await world.call(world.module(module), 'object', { token: serial, place });
  const { key, trust } = reading;
  return {
    ...reading,
    uri: writePkcs11Uri(uriOf({ token: await factsOf(module, serial, world), object: reading.object })),
    provenance: key === null ? null : provenanceOf(key),
    risks: key === null ? [] : risksOf({ ...key, wrapWithTrusted: trust.wrapWithTrusted, trusted: trust.trusted }),
  };
}

async function factsOf(module: string, serial: string, world: LookingWorld): Promise<TokenFacts> {
  const { slots } = await world.call(world.module(module), 'slots', {});
  const token = slots.find((slot) => slot.token?.serial === serial)?.token;
  if (token !== null && token !== undefined) return token;
  throw new Refused(refuse('TOKEN-PRESENT', `token ${serial} on ${module}`, 'no such token', 'Put it in, and look at the list of tokens.'));
}

// --- by URI ----------------------------------------------------------------------------------------------------------

const CLASS_OF_TYPE: Readonly<Record<string, string>> = {
  private: 'CKO_PRIVATE_KEY', public: 'CKO_PUBLIC_KEY', cert: 'CKO_CERTIFICATE', 'secret-key': 'CKO_SECRET_KEY', data: 'CKO_DATA',
};

async function findByUri(text: string, world: LookingWorld): Promise<FoundByUri[]> {
  const uri = parsePkcs11Uri(text);
  const where = wantedBy(uri);
  const found: FoundByUri[] = [];
  for (const { name, problem, slots } of (await world.estate()).modules) {
    if (problem !== null) continue;
    for (const { token } of slots) {
      if (token === null || !(await isNamed(uri, name, token, world))) continue;
      if (where.length === 0) found.push({ module: name, token, objects: [], total: 0 });
      else {
        const { total, objects, positions } = await world.call(world.module(name), 'search-objects', { token: token.serial, where, offset: 0, limit: MOST_FOUND });
        if (total > 0) found.push({ module: name, token, total, objects: objects.map((object, i) => ({ position: positions[i] ?? 0, object })) });
      }
    }
  }
  return found;
}

/** RFC 7512 section 2.3: object, id and type name objects; everything else the token that they are on. */
function wantedBy({ texts, id, type }: Pkcs11Uri): AttributeWanted[] {
  return [
    ...(texts.object === undefined ? [] : [{ attribute: 'CKA_LABEL', value: texts.object }]),
    ...(id === null || id.length === 0 ? [] : [{ attribute: 'CKA_ID', value: toHex(id) }]),
    ...(type === null ? [] : [{ attribute: 'CKA_CLASS', value: CLASS_OF_TYPE[type] ?? '' }]),
  ];
}

/** The module is asked for what it says of itself only where the URI speaks of it. */
async function isNamed(uri: Pkcs11Uri, module: string, token: TokenFacts, world: LookingWorld): Promise<boolean> {
  const speaksOfMore = uri.slotId !== null || uri.libraryVersion !== null || Object.keys(uri.texts).some((name) => /^(library|slot)-/.test(name));
  if (!speaksOfMore) return matches(uri, { token });
  const { library, slot } = await world.call(world.module(module), 'details', { token: token.serial });
  const [major = 0, minor = 0] = library.version.split('.').map(Number);
  return matches(uri, { token, library: { ...library, version: { major, minor } }, slot: { id: slot.number, description: slot.description, manufacturer: slot.manufacturer } });
}

// --- two tokens ------------------------------------------------------------------------------------------------------

type OnToken = Extract<LookingRequest, { call: 'compare-tokens' }>['one'];

async function compare({ one, other }: { readonly one: OnToken; readonly other: OnToken }, world: LookingWorld): Promise<Answers['compare-tokens']> {
  if (one.module === other.module && one.token === other.token) {
    throw new Refused(refuse('TWO-TOKENS', 'two different tokens', `${one.token} on ${one.module} twice`, 'Choose another one to compare it with.'));
  }
  // One after the other: a device process keeps the listing of one token at a time.
  return compareTokens(await sideOf(one, world), await sideOf(other, world));
}

async function sideOf({ module: name, token }: OnToken, world: LookingWorld): Promise<Side> {
  const module = world.module(name);
  const { readings, unreadable, loggedIn } = await everyObject({
    page: (offset, limit) => world.call(module, 'objects', { token, offset, limit }),
    object: (place) => world.call(module, 'object', { token, place }),
  });
  return {
    name: `${name}:${token}`, keys: describeKeys(readings),
    notSeen: [...loggedIn ? [] : ['private objects unseen, because nobody is logged in'], ...unreadable === 0 ? [] : [`${unreadable} objects that could not be read`]],
  };
}

// --- weak keys -------------------------------------------------------------------------------------------------------

/** What `keyFindings` tests in keys by themselves. */
const TESTS_ALONE = ['WEAK-SIZE', 'WEAK-EXPONENT', 'WEAK-SMALL-FACTOR', 'WEAK-CLOSE-PRIMES', 'WEAK-ROCA', 'WEAK-POINT', 'WEAK-ZERO-KEY', 'WEAK-PUBLISHED-KEY'];
/** In this order, what anybody can break comes first, what may be meant so last. */
const LAST = ['KEY-READABLE', 'KEY-DUPLICATE'];
const breathe = () => new Promise<void>((resolve) => { setImmediate(resolve); });

type Scanned = ScannedKey & { readonly place: KeyPlace };

async function scan(wanted: readonly { readonly module: string; readonly token: string }[], world: LookingWorld): Promise<KeyScan> {
  const blocklist = world.blocklist();
  const estate = await world.estate();
  const present = estate.modules.flatMap(({ name, slots }) => slots.flatMap(({ token }) => (token !== null && token.flags.includes('CKF_TOKEN_INITIALIZED') ? [{ module: name, token }] : [])));
  const missing = wanted.find(({ module, token }) => !present.some((one) => one.module === module && one.token.serial === token));
  if (missing !== undefined) throw new Refused(refuse('TOKEN-PRESENT', `token ${missing.token} on ${missing.module}`, 'no such token', 'Put it in, and look at the list of tokens.'));
  const chosen = wanted.length === 0 ? present : present.filter(({ module, token }) => wanted.some((one) => one.module === module && one.token === token.serial));
  const tokens: KeyScan['tokens'][number][] = [];
  const keys: Scanned[] = [];
  for (const { module, token } of chosen) {
    const found = await scanToken(module, token.serial, world);
    keys.push(...found.keys);
    tokens.push({ module, token: token.serial, tokenLabel: token.label, keys: found.keys.length, unread: found.keys.filter(({ spki }) => spki === null).length, loggedIn: found.loggedIn });
  }
  const alone = keys.flatMap(({ findings, place }) => findings.map((finding) => ({ ...finding, keys: [place] })));
  const together = [...blocked(keys, blocklist), ...(await sharedPrimes(keys)), ...duplicates(keys)];
  return {
    tokens, tests: [...TESTS_ALONE, ...TESTS_TOGETHER, ...(blocklist === null ? [] : ['WEAK-BLOCKLISTED'])],
    findings: [...alone, ...together].sort((a, b) => LAST.indexOf(a.rule) - LAST.indexOf(b.rule)),
    blocklist: blocklist === null ? null : { file: blocklist.file, sha256: blocklist.sha256, entries: blocklist.entries },
  };
}

async function scanToken(module: string, token: string, world: LookingWorld): Promise<{ keys: Scanned[]; loggedIn: boolean }> {
  const keys: Scanned[] = [];
  for (let offset = 0; ; offset += SCAN_PAGE) {
    const page = await world.call(world.module(module), 'scan-keys', { token, offset, limit: SCAN_PAGE });
    for (const key of page.keys) {
      const { position, object, label, spki } = key;
      keys.push({ ...key, place: { module, token, position, object, label, sha256: spki === null ? null : fingerprint(spki) } });
    }
    if (offset + SCAN_PAGE >= page.total) return { keys, loggedIn: page.loggedIn };
  }
}

function fingerprint(spki: string): string {
  return toHex(sha256(fromBase64url(spki)));
}

function blocked(keys: readonly Scanned[], blocklist: Blocklist | null): (Refusal & { keys: KeyPlace[] })[] {
  if (blocklist === null) return [];
  return keys.flatMap(({ spki, place }) => {
    const list = spki === null ? null : blocklist.find(blocklistHash(readSubjectKey(fromBase64url(spki))));
    return list === null ? [] : [{ ...refuse('WEAK-BLOCKLISTED', `a key that ${blocklist.file} does not have`, `list ${list} of it has this key`, 'Others have the private key. Replace this key everywhere, and find out how it was made.'), keys: [place] }];
  });
}

/** Different moduli with a prime in common: both can be factored by anybody who has the two. */
async function sharedPrimes(keys: readonly Scanned[]): Promise<(Refusal & { keys: KeyPlace[] })[]> {
  const byModulus = new Map<bigint, KeyPlace[]>();
  for (const { spki, place } of keys) {
    const modulus = spki === null ? null : modulusOf(readSubjectKey(fromBase64url(spki)));
    if (modulus === null || modulus === 0n) continue;
    byModulus.set(modulus, [...byModulus.get(modulus) ?? [], place]);
  }
  const moduli = [...byModulus.keys()];
  const factors = await sharedFactors(moduli, breathe);
  const flagged = moduli.filter((_, i) => factors[i] !== null);
  return flagged.map((modulus) => {
    const partners = flagged.filter((other) => other !== modulus && gcd(modulus, other) !== 1n);
    return {
      ...refuse('WEAK-SHARED-PRIME', 'a modulus that has no prime in common with another', `a prime in common with ${partners.length} other ${partners.length === 1 ? 'modulus' : 'moduli'}`,
        'Both keys can be computed by anybody who sees the two. Replace them, and stop using the generator that made them.'),
      keys: [modulus, ...partners].flatMap((one) => byModulus.get(one) ?? []),
    };
  });
}

/** One key in two places. On one token a public, a private object and a certificate of one CKA_ID are one key. */
function duplicates(keys: readonly Scanned[]): (Refusal & { keys: KeyPlace[] })[] {
  const byKey = new Map<string, KeyPlace[]>();
  for (const { spki, object, place } of keys) {
    if (spki === null || object.class === 'certificate') continue;
    byKey.set(spki, [...byKey.get(spki) ?? [], place]);
  }
  return [...byKey.values()].flatMap((places) => {
    const apart = new Set(places.map(({ module, token, object }) => JSON.stringify([module, token, object.id])));
    if (apart.size < 2) return [];
    return [{ ...refuse('KEY-DUPLICATE', 'a key in one place', `the same key in ${apart.size} places`, 'Right for a backup or a cluster. Else find out who copied it, because a copy is nobody\'s secret.'), keys: places }];
  });
}
