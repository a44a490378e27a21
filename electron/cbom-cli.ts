/**
 * `conclave cbom`: the cryptographic bill of materials of files, and of tokens.
 *
 * It reads and changes nothing; of a token, what it gives without a PIN, or with one that is typed on the terminal or, on a
 * rehearsal token, by a stand-in. It has no clock: the same files give the same bytes, and states are given for the moment in
 * --at. Exit code 0: the document, on stdout. 1: nothing there, and on stderr the rule that each unreadable file breaks.
 * 2: a wrong call. Of a private key only the public half and its form go on; its bytes are wiped here.
 */
import { homedir } from 'node:os';
import { basename, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { fromBase64url, fromHex, fromUtf8 } from '../ceremonies/bytes.ts';
import { everyObject } from '../ceremonies/estate.ts';
import { EVIDENCE, type KeyAttributes, type KeyReference, type TokenFacts } from '../ceremonies/evidence.ts';
import { keyReference, readKeyRecord, type CeremonyKey } from '../ceremonies/key-record.ts';
import { cbomCsv, cbomOf, cbomRows, cbomText, type CbomCertificate, type CbomKey, type CbomPlace } from '../ceremonies/keys/cbom.ts';
import { readCertificate } from '../ceremonies/keys/chain.ts';
import { readPrivateKey, wrapTraditional } from '../ceremonies/keys/private-key.ts';
import { readPem } from '../ceremonies/keys/signed.ts';
import { readSubjectKey, type SubjectKey } from '../ceremonies/keys/subject-key.ts';
import { rsaSpki } from '../ceremonies/keys/traditional.ts';
import { Refused, refuse, type Refusal } from '../ceremonies/refusal.ts';
import { parseLine, type Hasher } from '../ceremonies/transcript.ts';
import { verifyFile } from '../ceremonies/verify.ts';
import type { Answers } from './contract.ts';
import { derLabel, KEY_LABELS, readInput, Usage } from './keys-cli.ts';
import { dataFolder, type BoothPort, type House } from './processes.ts';
import { ask } from './rehearsal.ts';
import { requireTerminal } from './terminal-booth.ts';
import type { OnToken } from './token-cli.ts';

export const CBOM_HELP = `  conclave cbom [FILE]... [--module M --token SERIAL | --all-tokens] [--csv | --json] [--at TIME]
      The cryptographic bill of materials (CycloneDX 1.7) of certificates, keys, key records, bundles and tokens.
`;

export const CBOM_DETAIL = `conclave cbom [FILE]... [--module M --token SERIAL | --all-tokens] [--login | --stand-in] [--home DIR] [--csv | --json] [--at TIME]

  FILE        certificates, public and private keys (PEM or DER), key records (key.json), bundles and transcripts of ceremonies
  --module M --token SERIAL
              every key and certificate of this token; conclave tokens lists both
  --all-tokens  of every token that is there
  --login     logs in, so that private objects are seen too: asks for the PIN of each token on the terminal
  --stand-in  logs in with the published rehearsal PIN; for rehearsal tokens only
  --home DIR  the data folder
  --csv       one row per algorithm, key, certificate and token, for a spreadsheet
  --json      the same rows as JSON
  --at TIME   the moment that states are given for, e.g. 2026-11-22 (default: none, and no states from dates)

  Without --csv and --json: CycloneDX 1.7, JSON. The same files give the same bytes.
  Certificates are listed, not verified: that is \`conclave cert verify\`. A ceremony's record is verified, and refused if it lies.
  Exit code 0: the document. 1: no document; every file that cannot be read, by rule name. 2: wrong call.
`;

const LARGEST_KEY = 4 * 1024 * 1024;
const LARGEST_BUNDLE = 256 * 1024 * 1024;

/** What one source adds. */
interface Found {
  readonly keys: readonly CbomKey[];
  readonly certificates: readonly CbomCertificate[];
  readonly tokens: readonly TokenFacts[];
  readonly rehearsal: boolean;
  readonly notSeen: readonly string[];
}
const NOTHING: Found = { keys: [], certificates: [], tokens: [], rehearsal: false, notSeen: [] };

/** `openHouse` starts the house on a data folder, for tokens only; it is stopped here. */
export async function cbomCommand(
  args: readonly string[], { version, hasher, openHouse }: { readonly version: string; readonly hasher: Hasher; readonly openHouse: (home: string) => Promise<House<BoothPort>> },
): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args], allowPositionals: true,
    options: { json: { type: 'boolean', default: false }, csv: { type: 'boolean', default: false }, at: { type: 'string' },
      module: { type: 'string' }, token: { type: 'string' }, 'all-tokens': { type: 'boolean', default: false }, login: { type: 'boolean', default: false }, 'stand-in': { type: 'boolean', default: false }, home: { type: 'string' },
    },
  });
  const { module, token, 'all-tokens': all } = values;
  if ((module === undefined) !== (token === undefined)) throw new Usage('cbom: --module and --token go together. conclave tokens lists both.');
  if (all && token !== undefined) throw new Usage('cbom: --all-tokens, or --module and --token');
  const onTokens = all || token !== undefined;
  if (positionals.length === 0 && !onTokens) throw new Usage('cbom: which file, or which token?');
  if (!onTokens && (values.login || values['stand-in'] || values.home !== undefined)) throw new Usage('cbom: --login, --stand-in and --home are for tokens');
  if (values.login && values['stand-in']) throw new Usage('cbom: --login or --stand-in, not both');
  if (values.json && values.csv) throw new Usage('cbom: --csv or --json, not both');
  if (values.login) requireTerminal();
  const at = values.at === undefined ? undefined : new Date(values.at);
  if (at !== undefined && Number.isNaN(at.getTime())) throw new Usage(`--at ${values.at ?? ''}: no time. Write it as 2026-11-22 or 2026-11-22T10:00:00Z`);
  const found: Found[] = [];
  const refused: { readonly file: string; readonly refusal: Refusal }[] = [];
  for (const path of positionals) {
    const file = basename(path);
    try {
      found.push(await foundIn(file, readInput(path, LARGEST_BUNDLE), hasher));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      refused.push({ file, refusal: error.refusal });
    }
  }
  if (refused.length > 0) {
    for (const { file, refusal } of refused) process.stderr.write(`✕ ${file}: ${refusal.rule}: expected ${refusal.expected}; found ${refusal.found}. ${refusal.next}\n`);
    return 1;
  }
  if (onTokens) {
    const house = await openHouse(resolve(values.home ?? dataFolder(process.env, homedir())));
    try {
      found.push(...await foundOnTokens(house, module === undefined || token === undefined ? null : { module, token }, { login: values.login || values['stand-in'], standIn: values['stand-in'] }));
    } finally {
      await house.stop();
    }
  }
  const bom = cbomOf({
    keys: found.flatMap((one) => one.keys), certificates: found.flatMap((one) => one.certificates), tokens: found.flatMap((one) => one.tokens),
    version, rehearsal: found.some((one) => one.rehearsal), notSeen: found.flatMap((one) => one.notSeen), ...at !== undefined && { at },
  });
  process.stdout.write(values.csv ? cbomCsv(bom) : values.json ? `${JSON.stringify(cbomRows(bom), null, 2)}\n` : cbomText(bom));
  return 0;
}

/** A bundle is a zip file, a key record and a transcript are JSON, everything else is PEM or DER. */
async function foundIn(file: string, bytes: Uint8Array, hasher: Hasher): Promise<Found> {
  if (bytes[0] === 0x7b && isKeyRecord(bytes)) return foundInKeyRecord(file, bytes);
  if (bytes[0] === 0x7b || (bytes[0] === 0x50 && bytes[1] === 0x4b)) return foundInCeremony(file, bytes, hasher);
  if (bytes.length > LARGEST_KEY) throw new Refused(refuse('FILE-READABLE', `a key or certificate of at most ${LARGEST_KEY / 1024 / 1024} MB`, `${bytes.length} bytes`, 'Check that this is the right file.'));
  return foundInKeyFile(file, bytes);
}

/** A transcript is one JSON value per line, so that the whole of it is none. */
function isKeyRecord(bytes: Uint8Array): boolean {
  if (bytes.length > LARGEST_KEY) return false;
  try {
    const value = JSON.parse(fromUtf8(bytes)) as { format?: unknown };
    return typeof value.format === 'string' && value.format.startsWith('conclave-key/');
  } catch {
    return false;
  }
}

async function foundInKeyFile(file: string, bytes: Uint8Array): Promise<Found> {
  const keys: CbomKey[] = [];
  const certificates: CbomCertificate[] = [];
  const place: CbomPlace = { held: 'file', file };
  for (const block of readPem(bytes, KEY_LABELS)) {
    const label = bytes[0] === 0x30 ? derLabel(block.der) : block.label;
    if (label === 'CERTIFICATE') certificates.push({ der: block.der, certificate: readCertificate(block.der), place });
    else if (!label.endsWith('PRIVATE KEY')) {
      keys.push({ class: 'public-key', name: '', place, key: readSubjectKey(label === 'RSA PUBLIC KEY' ? rsaSpki(block.der) : block.der) });
    } else {
      const pkcs8 = label === 'PRIVATE KEY' ? block.der : wrapTraditional(label === 'RSA PRIVATE KEY' ? 'rsa' : 'ec', block.der);
      try {
        const { form, publicKey } = await readPrivateKey(pkcs8);
        keys.push({ class: 'private-key', name: '', place, key: publicKey, format: `${label === 'PRIVATE KEY' ? 'PKCS#8' : label === 'RSA PRIVATE KEY' ? 'PKCS#1' : 'SEC 1'}, ${form}` });
      } finally {
        for (const copy of [pkcs8, block.der, bytes]) copy.fill(0);
      }
    }
  }
  return { ...NOTHING, keys, certificates };
}

function foundInKeyRecord(file: string, bytes: Uint8Array): Found {
  const { label, token, key, certificate } = readKeyRecord(bytes);
  const own = certificate === null ? [] : [fromBase64url(certificate)].map((der) => ({ der, certificate: readCertificate(der), place: { held: 'file', file } as const }));
  const [reading] = own.map((one) => one.certificate);
  return {
    ...NOTHING, certificates: own,
    keys: keysOf({ name: label, token, key, attributes: new Map(), wrappingKey: null, facts: { ...reading && { period: { from: reading.notBefore, to: reading.notAfter } } } }),
  };
}

type PartName = KeyReference['parts'][number]['part'];

/** A key and everything it is kept by: its halves, and the key that wrapped ones are under. */
function keysOf({ name, token, key, attributes, wrappingKey, facts }: {
  readonly name: string; readonly token: string; readonly key: KeyReference; readonly attributes: ReadonlyMap<PartName, KeyAttributes>; readonly wrappingKey: KeyAttributes | null;
  readonly facts: Pick<CbomKey, 'created' | 'period'>;
}): CbomKey[] {
  const parts = key.parts.map((part): CbomKey => ({
    class: 'private-key', name: part.part === 'key' ? name : `${name} (${part.part})`, key: readSubjectKey(fromBase64url(part.spki)), ...facts, attributes: attributes.get(part.part) ?? null, recorded: true,
    // readKeyRecord, and the shapes of evidence, let a wrapped part have no place of another kind.
    place: part.held === 'token' ? { held: 'token', token, object: { class: 'private-key', id: part.id ?? '', label: name } }
      : { held: 'wrapped', mechanism: part.wrapped?.mechanism ?? '', under: { token, id: key.wrapping ?? '' } },
  }));
  const [first, second] = parts;
  return [
    ...first !== undefined && second === undefined ? [first]
      : [{ class: 'private-key', name, key: readSubjectKey(fromBase64url(key.spki)), place: { held: 'halves', halves: parts }, ...facts } as const],
    ...key.wrapping === null ? [] : [{
      class: 'secret-key', name: wrappingKey?.label ?? '', key: null, bits: 256, place: { held: 'token', token, object: { class: 'secret-key', id: key.wrapping, label: wrappingKey?.label ?? '' } }, attributes: wrappingKey, recorded: true,
    } as const],
  ];
}

/** What a record of a ceremony shows: its key and where that is, the backup, what was issued, the tokens that were inspected. */
async function foundInCeremony(file: string, bytes: Uint8Array, hasher: Hasher): Promise<Found> {
  const { verdict, lines, state } = await verifyFile(bytes, { hasher });
  if (verdict.verdict === 'refused') {
    const [first] = verdict.findings;
    throw new Refused(refuse('CBOM-RECORD', 'a record that verifies', `${first?.rule ?? 'refused'}${first === undefined || first.seq === null ? '' : ` at entry ${first.seq}`}`, 'Do not rely on it. `conclave verify` names every broken rule.'));
  }
  const tokens: TokenFacts[] = [];
  let made: { readonly at: Date; readonly wrappingKey: KeyAttributes | null } | null = null;
  for (const line of lines) {
    const entry = parseLine(line);
    if (entry.kind !== 'done') continue;
    const { evidence } = entry.data as { evidence: unknown };
    // The shapes are closed and tell actions apart; that each stands where it may has just been verified.
    const [inspected, generated] = [EVIDENCE['inspect-token'].safeParse(evidence), EVIDENCE['generate-key'].safeParse(evidence)];
    if (inspected.success) tokens.push(inspected.data.token);
    if (generated.success) made = { at: new Date(entry.at), wrappingKey: generated.data.wrappingKey };
  }
  const place: CbomCertificate['place'] = { held: 'file', file };
  const own = state.key?.certificate ?? null;
  const ders = [...own === null ? [] : [own], ...state.issued.flatMap((one) => one.kind === 'certificate' ? [one.bytes] : [])];
  return {
    ...NOTHING, tokens, rehearsal: verdict.mode === 'rehearsal', certificates: ders.map((text) => ({ der: fromBase64url(text), certificate: readCertificate(fromBase64url(text)), place })),
    keys: state.key === null ? [] : [...keysOfCeremony(state.key, made), ...backupOf(state.key, state.backup?.set ?? null)],
  };
}

function keysOfCeremony(key: CeremonyKey, made: { readonly at: Date; readonly wrappingKey: KeyAttributes | null } | null): CbomKey[] {
  const own = key.certificate === null ? null : readCertificate(fromBase64url(key.certificate));
  return keysOf({
    name: key.label, token: key.token, key: keyReference(key), attributes: new Map(key.parts.flatMap((part) => part.private === null ? [] : [[part.part, part.private] as const])), wrappingKey: made?.wrappingKey ?? null,
    facts: { ...made !== null && { created: made.at }, ...own !== null && { period: { from: own.notBefore, to: own.notAfter } } },
  });
}

/** The split backup key, and each part of the key under it. */
function backupOf(key: CeremonyKey, set: { readonly id: string; readonly threshold: number; readonly shares: number } | null): CbomKey[] {
  if (set === null) return [];
  return [
    { class: 'secret-key', name: 'backup key', key: null, bits: 256, place: { held: 'shares', set: set.id, threshold: set.threshold, shares: set.shares } },
    ...(key.wrapped ?? []).map(({ part, mechanism }): CbomKey => ({
      class: 'private-key', name: `${key.label} (backup${part === 'key' ? '' : `, ${part}`})`, key: readSubjectKey(fromBase64url(key.parts.find((one) => one.part === part)?.spki ?? '')),
      place: { held: 'wrapped', mechanism, under: { set: set.id } }, format: 'PKCS#8',
    })),
  ];
}

// --- tokens --------------------------------------------------------------------------------------------------------------

/** `wanted` null: every token that is there. Throws `Refused` TOKEN-PRESENT, or what the reading is refused for. */
async function foundOnTokens(house: House<BoothPort>, wanted: OnToken | null, { login, standIn }: { readonly login: boolean; readonly standIn: boolean }): Promise<Found[]> {
  const { modules } = await ask(house, { call: 'estate' });
  const there = modules.flatMap((module) => module.slots.flatMap(({ token }) => token === null ? [] : [{ on: { module: module.name, token: token.serial }, facts: token }]));
  const chosen = wanted === null ? there : there.filter(({ on }) => on.module === wanted.module && on.token === wanted.token);
  if (wanted !== null && chosen.length !== 1) {
    throw new Refused(refuse('TOKEN-PRESENT', `one token with serial ${wanted.token} in module ${wanted.module}`, chosen.length === 0 ? 'none' : `${chosen.length}`, 'See what is there with `conclave tokens`.'));
  }
  const found: Found[] = wanted === null ? [{ ...NOTHING, notSeen: modules.flatMap((module) => module.problem === null ? [] : [`module ${module.name}: ${module.problem.code}`]) }] : [];
  for (const { on, facts } of chosen) {
    if (!login) found.push(await foundOnToken(house, on, facts));
    else {
      await ask(house, { call: 'token-login', ...on, standIn, acceptFinalTry: false });
      try {
        found.push(await foundOnToken(house, on, facts));
      } finally {
        await ask(house, { call: 'token-log-out', ...on });
      }
    }
  }
  return found;
}

async function foundOnToken(house: House<BoothPort>, on: OnToken, facts: TokenFacts): Promise<Found> {
  const { readings, unreadable, loggedIn } = await everyObject({
    page: (offset, limit) => ask(house, { call: 'objects', ...on, offset, limit }),
    object: (place) => ask(house, { call: 'object', ...on, place }),
  });
  const notSeen = loggedIn ? [] : [`token ${on.token}: private objects, because nobody is logged in`];
  let unread = unreadable;
  const halves = publicHalves(readings);
  const keys: CbomKey[] = [];
  const certificates: CbomCertificate[] = [];
  for (const { object, key, publicKey, attributes } of readings) {
    const place = { held: 'token', token: on.token, object } as const;
    if (key !== null) {
      const bits = attributes.find((one) => one.name === 'CKA_VALUE_LEN');
      const half = publicKey === null ? key.class === 'private-key' ? halves.get(object.id) ?? null : null : readable(publicKey.spki);
      keys.push({ class: key.class, name: object.label, place, key: half, attributes: key, ...bits && { bits: 8 * ulong(bits.hex) } });
      continue;
    }
    const der = attributes.find((one) => one.name === 'CKA_VALUE');
    const reading = der === undefined ? null : certificateIn(fromHex(der.hex));
    if (reading === null) unread += 1;
    else certificates.push({ ...reading, place });
  }
  if (unread > 0) notSeen.push(`token ${on.token}: ${unread} objects that could not be read`);
  return { ...NOTHING, keys, certificates, tokens: [facts], notSeen };
}

/** Public keys by CKA_ID, where all that have the id agree: the token's word for which belongs to a private key. */
function publicHalves(readings: readonly Answers['object'][]): ReadonlyMap<string, SubjectKey> {
  const halves = new Map<string, string | null>();
  for (const { object, publicKey } of readings) {
    if (publicKey === null || object.id === '') continue;
    const before = halves.get(object.id);
    halves.set(object.id, before === undefined || before === publicKey.spki ? publicKey.spki : null);
  }
  return new Map([...halves].flatMap(([id, spki]) => {
    const key = spki === null ? null : readable(spki);
    return key === null ? [] : [[id, key] as const];
  }));
}

/** A CK_ULONG as this machine's modules give it. */
function ulong(hex: string): number {
  return fromHex(hex).reduceRight((sum, octet) => sum * 256 + octet, 0);
}

/** Null for a key of an algorithm that is not in the registry, or a damaged one: its object is listed all the same. */
function readable(spki: string): SubjectKey | null {
  try {
    return readSubjectKey(fromBase64url(spki));
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
}

function certificateIn(der: Uint8Array): Omit<CbomCertificate, 'place'> | null {
  try {
    return { der, certificate: readCertificate(der) };
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
}
