/**
 * `npm run bench`: what the house costs, each figure beside the plain operation it stands on.
 *
 * Machines differ and are never quiet, so nothing here is a verdict: ours and theirs are measured in turn (A B A B) in one
 * run, medians are printed with the spread, and the aim stands beside them. What cannot be measured here is named with
 * the reason. Nothing outside a temporary folder is written (the app's bundles aside). It must never be part of a test's
 * judgement: a test that fails because a machine was busy teaches people to ignore it.
 */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import nodeCrypto, { hash, randomBytes, randomUUID } from 'node:crypto';
import { closeSync, copyFileSync, existsSync, fdatasyncSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs, promisify } from 'node:util';
import { gcm } from '@noble/ciphers/aes.js';
import { combine as combineAlone, split as splitAlone } from 'shamir-secret-sharing';
import { toBase64url, utf8 } from '../ceremonies/bytes.ts';
import { ALGORITHMS, kemAlgorithmNamed, compositeNamed, componentsOf, ML_KEMS, type CompositeSignature } from '../ceremonies/keys/algorithms.ts';
import {
  compositeMessage, compositePreHash, ML_DSA, readCompositePrivateKey, readCompositePublicKey, signComposite, softwareSigners, splitCompositeSignature, verifyComposite,
  writeCompositePrivateKey, writeCompositePublicKey,
} from '../ceremonies/keys/composite.ts';
import { TAG, writeDer, writeIdentifier } from '../ceremonies/keys/der.ts';
import { openEnvelope, readEnvelope, recipientOfKey, sealEnvelope, sealingRandomness, withKemKey } from '../ceremonies/keys/envelope.ts';
import { combineSecrets, kemPublicFromPrivate, ML_KEM } from '../ceremonies/keys/kem.ts';
import { readSubjectKey, subjectKeyOf } from '../ceremonies/keys/subject-key.ts';
import { CURVES, HASHES, MONTGOMERY, writeEcPrivateKey } from '../ceremonies/keys/traditional.ts';
import { combineChecked, makeShares } from '../ceremonies/shares/share.ts';
import { verifyTranscript } from '../ceremonies/verify.ts';
import { openLedger, type Ledger } from '../electron/conductor/ledger.ts';
import { nativeHasher, SOFTWARE_MODULE } from '../electron/conductor/machine.ts';
import { openPkcs11Module } from '../electron/devices/pkcs11.ts';
import { generateSecret, PROVIDERS, signWith, type ProviderName } from '../electron/devices/providers.ts';
import { REHEARSAL_PIN, type DeviceReply, type ModuleConfig } from '../electron/devices/protocol.ts';
import { nodeLauncher } from '../electron/processes.ts';
import { ask, playOn, playRehearsal } from '../electron/rehearsal.ts';
import { electronRuntime } from './electron.mjs';
import { openInside } from './inside.ts';
import { cache, isRoot, onPath, out, root, withDisplay } from './machine.mjs';

// --- what is printed -------------------------------------------------------------------------------------------------

/** One thing measured: the median of `runs`, and how far they spread. */
export interface Sample {
  readonly name: string;
  readonly unit: 'ms' | 'MB';
  readonly runs: number;
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface Figure {
  readonly name: FigureName;
  readonly title: string;
  /** The figure that the aim is about; null where it could not be measured. */
  readonly value: number | null;
  readonly unit: string;
  readonly aim: { readonly atLeast: number } | { readonly atMost: number };
  readonly met: boolean | null;
  readonly samples: readonly Sample[];
  /** Ours divided by theirs, medians of the same run. */
  readonly ratios: readonly { readonly to: string; readonly ratio: number }[];
  readonly notes: readonly string[];
  /** Why it could not be measured here. */
  readonly skipped: string | null;
}

export interface Report {
  readonly machine: {
    readonly cores: number; readonly processor: string; readonly memory: number; readonly node: string; readonly electron: string | null;
    /** One-minute load averages before and after. */
    readonly load: readonly [number, number];
  };
  /** Small sizes and few runs: shows that everything can be measured, and little about how fast it is. */
  readonly quick: boolean;
  readonly figures: readonly Figure[];
}

const AIMS = {
  verify: { title: 'Verifying a long record', unit: 'entries/s', aim: { atLeast: 150_000 } },
  append: { title: 'Appending one entry durably', unit: '× raw write + fdatasync', aim: { atMost: 2 } },
  list: { title: 'Listing a full token', unit: '× pkcs11-tool -O', aim: { atMost: 0.5 } },
  sign: { title: 'Signing with a composite key', unit: '× its halves alone', aim: { atMost: 1.15 } },
  check: { title: 'Verifying a composite signature', unit: '× its halves alone', aim: { atMost: 1.15 } },
  make: { title: 'Making a composite key', unit: '× its halves alone', aim: { atMost: 1.15 } },
  split: { title: 'Splitting a 32-byte key, 3 of 5', unit: '× the library\'s split alone', aim: { atMost: 1.5 } },
  combine: { title: 'Combining three shares', unit: 'ms more than the library\'s combine', aim: { atMost: 1 } },
  seal: { title: 'Sealing 32 bytes in an envelope', unit: 'ms more than the raw KEM and AES-256-GCM', aim: { atMost: 10 } },
  open: { title: 'Opening that envelope', unit: 'ms more than the raw KEM and AES-256-GCM', aim: { atMost: 20 } },
  start: { title: 'From start to the first usable screen', unit: 'ms more than an empty window', aim: { atMost: 250 } },
  memory: { title: 'Memory of all processes, idle on the first screen', unit: 'MB more than an empty window', aim: { atMost: 60 } },
} as const;
type FigureName = keyof typeof AIMS;
const NAMES = Object.keys(AIMS) as FigureName[];

type Measured = Pick<Figure, 'samples' | 'ratios' | 'notes'> & { readonly value: number };

function figure(name: FigureName, measured: Measured): Figure {
  const { aim } = AIMS[name];
  const met = 'atLeast' in aim ? measured.value >= aim.atLeast : measured.value <= aim.atMost;
  return { name, ...AIMS[name], ...measured, met, skipped: null };
}

function skipped(name: FigureName, why: string): Figure {
  return { name, ...AIMS[name], value: null, met: null, samples: [], ratios: [], notes: [], skipped: why };
}

function sample(name: string, unit: Sample['unit'], values: readonly number[]): Sample {
  return { name, unit, runs: values.length, median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Every work in turn, `runs` times: whatever slows the machine down slows all of them. The first round is not counted. */
async function alternately(runs: number, ...works: readonly (() => number | Promise<number>)[]): Promise<number[][]> {
  const values: number[][] = works.map(() => []);
  for (let run = -1; run < runs; run++) {
    for (const [index, work] of works.entries()) {
      const value = await work();
      if (run >= 0) values[index]!.push(value);
    }
  }
  return values;
}

async function milliseconds(work: () => unknown): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

interface Sizes {
  readonly runs: number;
  readonly entries: number;
  readonly appends: number;
  readonly objects: number;
  /** Operations with composites per library and direction; a tenth of it with shares and envelopes. */
  readonly operations: number;
  readonly starts: number;
  readonly idles: number;
  readonly idleMs: number;
}
const FULL: Sizes = { runs: 5, entries: 100_000, appends: 600, objects: 10_000, operations: 1500, starts: 9, idles: 3, idleMs: 10_000 };
const QUICK: Sizes = { runs: 1, entries: 2000, appends: 40, objects: 200, operations: 10, starts: 1, idles: 1, idleMs: 500 };

/** What a program prints is not what is measured, and a full pipe would slow it down. */
const run = async (command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<void> => {
  const child = spawn(command, args, { env, stdio: 'ignore' });
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (code !== 0) throw new Error(`${command} ended with ${String(code)}`);
};

// --- a: verification -------------------------------------------------------------------------------------------------

/**
 * A record as long as that: a whole ceremony on the software token, played by the conductor itself without a disk, with
 * notes, breaks and exceptions in its middle. Everything in it is genuine: closed, sealed, every checkpoint signed.
 */
async function longRecord(folder: string, entries: number): Promise<readonly string[]> {
  const lines: string[] = [];
  const ledger: Ledger = {
    append: (_ceremony, _seq, line) => { lines.push(line); },
    lines: (_ceremony, from) => lines.slice(from),
    ceremonies: () => [],
    close: () => undefined,
  };
  const table = await openInside(folder, ledger);
  const play = { script: 'root-ca', parameters: {}, module: SOFTWARE_MODULE, hasher: nativeHasher };
  const ceremony = await playRehearsal(table, { ...play, until: (state) => state.seals.length > 0 });
  for (let n = 1; lines.length < entries; n++) {
    if (n % 50 === 0) {
      await ask(table, { call: 'exception', ceremony, seat: 'witness', expected: `reading number ${n}`, happened: 'the reader needed a second try', decided: 'go on' });
    } else if (n % 25 === 0) {
      await ask(table, { call: 'break', ceremony, present: 6, reason: 'A window is opened.' });
      await ask(table, { call: 'back', ceremony, present: 6 });
    } else {
      await ask(table, { call: 'note', ceremony, seat: 'officer', text: `The custodian waits for the reader to settle, number ${n}.` });
    }
  }
  await playOn(table, ceremony, play);
  return lines;
}

async function benchVerify(folder: string, { runs, entries }: Sizes): Promise<Figure> {
  say(`making a record of ${entries} entries`);
  const lines = await longRecord(folder, entries);
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  const file = join(folder, 'record.jsonl');
  writeFileSync(file, bytes);
  const commits = onPath('git') ? await commitsOf(join(folder, 'git'), lines) : null;

  say('verifying it');
  const { stdout } = await promisify(execFile)(process.execPath, [import.meta.filename, file, String(runs)]);
  const [ours = [], raw = []] = JSON.parse(stdout) as number[][];
  const [command = [], fsck = []] = await alternately(Math.min(runs, 3),
    () => milliseconds(() => run(process.execPath, [join(root, 'electron/cli.ts'), 'verify', file])),
    ...(commits === null ? [] : [() => milliseconds(() => run('git', ['-C', commits, 'fsck', '--full', '--no-progress'], gitEnvironment(folder)))]));

  const samples = [
    sample('verifyTranscript, in a warm process', 'ms', ours),
    sample('SHA-256 and JSON.parse of the same file', 'ms', raw),
    sample('conclave verify, the whole command', 'ms', command),
    ...(commits === null ? [] : [sample('git fsck of as many commits, the whole command', 'ms', fsck)]),
  ];
  return figure('verify', {
    value: lines.length / (median(ours) / 1000),
    samples,
    ratios: [
      { to: 'SHA-256 and JSON.parse', ratio: median(ours) / median(raw) },
      ...(commits === null ? [] : [{ to: 'git fsck (command to command)', ratio: median(command) / median(fsck) }]),
    ],
    notes: [
      `${lines.length} entries, ${(bytes.length / 1e6).toFixed(1)} MB, a closed record with ${lines.filter((line) => line.includes('"kind":"checkpoint"')).length} signed checkpoints`,
      ...(commits === null ? ['git is not installed, so there is no git fsck beside it'] : []),
    ],
  });
}

/** In a process of its own, below: what the making of the record left in this one's memory is not to be measured. */
function verifying(file: string, runs: number): Promise<number[][]> {
  const bytes = readFileSync(file);
  return alternately(runs,
    () => milliseconds(async () => {
      const { verdict } = await verifyTranscript(bytes, { hasher: nativeHasher });
      if (verdict.verdict !== 'valid') throw new Error(`the benchmark's own record is ${verdict.verdict}: ${verdict.findings[0]?.rule ?? ''}`);
    }),
    () => milliseconds(() => {
      hash('sha256', bytes, 'hex');
      for (const line of bytes.toString().split('\n')) if (line !== '') JSON.parse(line);
    }));
}

const gitEnvironment = (folder: string): NodeJS.ProcessEnv => ({ PATH: process.env['PATH'], HOME: folder, GIT_CONFIG_NOSYSTEM: '1', LC_ALL: 'C' });

/** A repository with one commit per line, the line as its message. */
async function commitsOf(folder: string, lines: readonly string[]): Promise<string> {
  const env = gitEnvironment(folder);
  mkdirSync(folder);
  execFileSync('git', ['init', '--quiet', '--bare', folder], { env, stdio: 'ignore' });
  const child = spawn('git', ['-C', folder, 'fast-import', '--quiet'], { env, stdio: ['pipe', 'ignore', 'inherit'] });
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
  await pipeline(Readable.from(lines.map((line, index) =>
    `commit refs/heads/main\ncommitter Bench <bench@invalid> ${1_700_000_000 + index} +0000\ndata ${Buffer.byteLength(line)}\n${line}\n`)), child.stdin);
  if (await closed !== 0) throw new Error('git fast-import failed');
  return folder;
}

// --- b: durable append -----------------------------------------------------------------------------------------------

async function benchAppend(folder: string, { appends }: Sizes): Promise<Figure> {
  say(`appending ${appends} entries`);
  const text = 'n'.repeat(300); // as long as an entry of a ceremony usually is
  const ledger = await openLedger(join(folder, 'ledger'));
  const file = openSync(join(folder, 'raw'), 'w');
  let seq = 0;
  try {
    const [ours = [], raw = []] = await alternately(appends,
      () => milliseconds(() => ledger.append('bench', seq, text)),
      () => {
        seq += 1;
        return milliseconds(() => {
          writeSync(file, `${text}\n`);
          fdatasyncSync(file);
        });
      });
    return figure('append', {
      value: median(ours) / median(raw),
      samples: [sample('an entry into the ledger (SQLite, WAL, synchronous=EXTRA)', 'ms', ours), sample('write + fdatasync of as many bytes', 'ms', raw)],
      ratios: [{ to: 'write + fdatasync', ratio: median(ours) / median(raw) }],
      notes: isInMemory(folder) ? ['the folder is in memory (tmpfs): nothing was written to a disk, and the figure means nothing'] : [],
    });
  } finally {
    ledger.close();
    closeSync(file);
  }
}

// --- c: listing ------------------------------------------------------------------------------------------------------

const SOFTHSM = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so', '/usr/local/lib/softhsm/libsofthsm2.so'].find((path) => existsSync(path));

async function benchList(folder: string, { runs, objects }: Sizes): Promise<Figure> {
  if (SOFTHSM === undefined) return skipped('list', 'SoftHSM2 is not installed (Debian package softhsm2)');
  if (!onPath('pkcs11-tool')) return skipped('list', 'pkcs11-tool is not installed (Debian package opensc)');
  say(`making a token with ${objects} objects`);
  const { conf, serial } = await fullToken(join(folder, 'softhsm'), SOFTHSM, objects);
  const env = { ...process.env, SOFTHSM2_CONF: conf };
  const tool = ['--module', SOFTHSM, '--list-objects'];
  const { stdout } = await promisify(execFile)('pkcs11-tool', tool, { env, maxBuffer: 1 << 28 });
  const shown = stdout.match(/^Public Key Object/gm)?.length ?? 0;
  if (shown !== objects) throw new Error(`pkcs11-tool lists ${shown} objects, not ${objects}`);

  say('listing them');
  const module: ModuleConfig = { kind: 'pkcs11', name: 'softhsm', path: SOFTHSM, env: { SOFTHSM2_CONF: conf } };
  const whole: number[] = [];
  const [ours = [], theirs = []] = await alternately(runs,
    async () => {
      const { fromProcess, fromInit } = await listing(module, serial, objects);
      whole.push(fromProcess);
      return fromInit;
    },
    () => milliseconds(() => run('pkcs11-tool', tool, env)));
  return figure('list', {
    value: median(ours) / median(theirs),
    samples: [
      sample('from C_Initialize to the last object in this process', 'ms', ours),
      sample('the same from the start of the device process', 'ms', whole.slice(1)),
      sample('pkcs11-tool -O, the whole command', 'ms', theirs),
    ],
    ratios: [
      { to: 'pkcs11-tool -O', ratio: median(ours) / median(theirs) },
      { to: 'pkcs11-tool -O, our process\'s start included', ratio: median(whole.slice(1)) / median(theirs) },
    ],
    notes: [`${objects} public keys on SoftHSM2: class, label, CKA_ID and key type of each, in pages of 500, through the device process`],
  });
}

/** A SoftHSM token that holds so many public keys. SoftHSM writes slowly, so a few are made and their files copied. */
async function fullToken(folder: string, library: string, objects: number): Promise<{ conf: string; serial: string }> {
  const tokens = join(folder, 'tokens');
  mkdirSync(tokens, { recursive: true, mode: 0o700 });
  const conf = join(folder, 'softhsm2.conf');
  writeFileSync(conf, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  process.env['SOFTHSM2_CONF'] = conf; // the library reads it when it is loaded
  const module = openPkcs11Module('softhsm', library, undefined);
  const pin = () => new TextEncoder().encode(REHEARSAL_PIN);
  const { serial } = await module.provision('bench', pin());
  const session = await (await module.token(serial)).open();
  await session.login(pin());
  for (let n = 0; n < Math.min(8, objects); n++) {
    const id = (n + 1).toString(16).padStart(8, '0');
    await session.generateKeyPair({ algorithm: ALGORITHMS['ecdsa-p256'], id, label: `Key ${n + 1}`, extractable: false });
    await session.destroy({ class: 'private-key', id });
  }
  await session.close();
  await module.close();
  const token = join(tokens, readdirSync(tokens)[0] ?? '');
  const made = readdirSync(token).filter((name) => name.endsWith('.object') && name !== 'token.object');
  for (let n = made.length; n < objects; n++) copyFileSync(join(token, made[n % made.length]!), join(token, `${randomUUID()}.object`));
  return { conf, serial };
}

/** A fresh device process lists the token, page by page, as the Tokens screen asks for it. */
async function listing(module: ModuleConfig, serial: string, objects: number): Promise<{ fromProcess: number; fromInit: number }> {
  const spawned = performance.now();
  const child = nodeLauncher({ node: process.execPath, conductor: '', devices: join(out, 'devices.cjs') }).devices(module.name);
  try {
    const waiting: ((reply: DeviceReply) => void)[] = [];
    child.onMessage((reply) => waiting.shift()?.(reply as DeviceReply));
    const asking = (operation: string, body: unknown) => new Promise<DeviceReply>((resolve, reject) => {
      waiting.push(resolve);
      child.onExit(() => reject(new Error('the device process ended')));
      child.post({ kind: 'request', id: 1, operation, body });
    });
    const value = async (operation: string, body: unknown) => {
      const reply = await asking(operation, body);
      if (reply.kind === 'answer' && reply.ok) return reply.body;
      throw new Error(`${operation}: ${JSON.stringify(reply)}`);
    };
    await asking('are-you-there', {}); // there is no such operation: that it says so shows that it is there
    const begun = performance.now();
    await value('start', { module });
    for (let seen = 0; seen < objects;) {
      const page = await value('objects', { token: serial, offset: seen, limit: 500 }) as { total: number; objects: readonly unknown[] };
      if (page.total !== objects || page.objects.length === 0) throw new Error(`the token has ${page.total} objects, not ${objects}`);
      seen += page.objects.length;
    }
    const ended = performance.now();
    return { fromProcess: ended - spawned, fromInit: ended - begun };
  } finally {
    child.kill();
    await new Promise((resolve) => child.onExit(resolve));
  }
}

// --- d, e and f: composites ------------------------------------------------------------------------------------------

/**
 * Operations between two looks at the clock. Few, so that most are not interrupted; more than one where the library hedges
 * by itself, because ML-DSA then tries another number of times each time. noble is ten times slower, and hedged alike on both sides.
 */
const BATCHES = { node: { of: 5, share: 1 }, noble: { of: 1, share: 0.1 } } as const satisfies Record<ProviderName, object>;
const COMPOSITES = ['MLDSA65-ECDSA-P256-SHA512', 'MLDSA87-ECDSA-P384-SHA512'] as const;
type Work = () => unknown;
type CompositeFigure = 'sign' | 'check' | 'make';
type EcdsaComposite = CompositeSignature & { readonly traditional: { readonly kind: 'ecdsa'; readonly curve: 'P-256' | 'P-384' } };

/** The composite's way and the library's two plain calls, which start from the same bytes and end with the same. */
interface Rivals {
  readonly library: ProviderName;
  readonly row: EcdsaComposite;
  readonly ways: { readonly [Name in CompositeFigure]: { readonly ours: Work; readonly halves: Work } };
  /** As a device process signs: each half verified by the other library before it is given out. Null without another. */
  readonly checked: Work | null;
}

async function benchComposites({ operations }: Sizes, wanted: readonly FigureName[]): Promise<Figure[]> {
  const here = wanted.filter((name): name is CompositeFigure => name === 'sign' || name === 'check' || name === 'make');
  if (here.length === 0) return [];
  say('working with composite keys');
  const rivals: Rivals[] = [];
  for (const name of COMPOSITES) rivals.push(await nodeRivals(ecdsaComposite(name)), await nobleRivals(ecdsaComposite(name)));
  const figures: Figure[] = [];
  for (const name of here) {
    const samples: Sample[] = [];
    const ratios: { to: string; ratio: number }[] = [];
    for (const { library, row, ways, checked } of rivals) {
      const { of, share } = BATCHES[library];
      const runs = Math.max(1, Math.round((operations * share) / of));
      const [ours = [], halves = []] = await alternately(runs, () => each(of, ways[name].ours), () => each(of, ways[name].halves));
      samples.push(sample(`${row.name}, ${library}`, 'ms', ours), sample('its halves alone', 'ms', halves));
      if (name === 'sign' && checked !== null) {
        const [verified = []] = await alternately(Math.max(1, Math.round(runs / 10)), () => each(of, checked));
        samples.push(sample('as a device process signs: each half verified by the other library', 'ms', verified));
      }
      ratios.push({ to: `the halves of ${row.name}, ${library}`, ratio: median(ours) / median(halves) });
    }
    figures.push(figure(name, {
      value: Math.max(...ratios.map(({ ratio }) => ratio)), samples, ratios,
      notes: ['the figure is the worst of the ratios; halves alone are the library\'s own calls, from the same encoded keys, without any code of ours'],
    }));
  }
  return figures;
}

async function each(times: number, work: Work): Promise<number> {
  return await milliseconds(async () => { for (let n = 0; n < times; n++) await work(); }) / times;
}

function ecdsaComposite(name: string): EcdsaComposite {
  const row = compositeNamed(name);
  if (row.traditional.kind !== 'ecdsa') throw new Error(`${name} has another classical half`);
  return row as EcdsaComposite;
}

const MESSAGE = randomBytes(1000); // about a certificate to be signed

/** node:crypto: keys as PKCS#8 and SubjectPublicKeyInfo, the asynchronous calls that do not block. */
async function nodeRivals(row: EcdsaComposite): Promise<Rivals> {
  const [first, second] = componentsOf(row);
  if (first === undefined || second === undefined) throw new Error(`${row.name} has no halves`);
  const [mlDsa, classical] = [{ kind: 'ml-dsa', name: row.mlDsa } as const, row.traditional];
  const [a, b] = [await generateSecret(first), await generateSecret(second)];
  const { node } = PROVIDERS;
  const none = new Uint8Array();
  const context = utf8(row.domain);
  const message = compositeMessage(row, compositePreHash(row, MESSAGE));
  const [keyA, keyB] = [readSubjectKey(a.spki).raw, readSubjectKey(b.spki).raw];
  const hashName = classical.hash.replace('-', '').toLowerCase();
  const made = promisify(nodeCrypto.generateKeyPair);
  const signed = promisify<string | null, Uint8Array, nodeCrypto.SignKeyObjectInput, Buffer>(nodeCrypto.sign);
  const secret = (pkcs8: Uint8Array) => nodeCrypto.createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
  const known = (spki: Uint8Array) => nodeCrypto.createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  const signature = await signComposite(row, {
    mlDsa: async (of, label) => (await node.sign(mlDsa, a.pkcs8, of, label)).signature,
    traditional: async (of) => (await node.sign(classical, b.pkcs8, of, none)).signature,
  }, MESSAGE);
  const halves = splitCompositeSignature(row, signature);
  return {
    library: 'node', row,
    ways: {
      sign: {
        ours: () => signComposite(row, {
          mlDsa: async (of, label) => (await node.sign(mlDsa, a.pkcs8, of, label)).signature,
          traditional: async (of) => (await node.sign(classical, b.pkcs8, of, none)).signature,
        }, MESSAGE),
        halves: async () => {
          await signed(null, message, { key: secret(a.pkcs8), context });
          await signed(hashName, message, { key: secret(b.pkcs8), dsaEncoding: 'der' });
        },
      },
      check: {
        ours: async () => {
          const split = splitCompositeSignature(row, signature);
          const of = compositeMessage(row, compositePreHash(row, MESSAGE));
          demand(await node.verify(mlDsa, keyA, of, split.mlDsa, context));
          demand(await node.verify(classical, keyB, of, split.traditional, none));
        },
        halves: () => {
          demand(nodeCrypto.verify(null, message, { key: known(a.spki), context }, halves.mlDsa));
          demand(nodeCrypto.verify(hashName, message, { key: known(b.spki), dsaEncoding: 'der' }, halves.traditional));
        },
      },
      make: {
        ours: async () => {
          const [one, other] = [await node.generate(mlDsa), await node.generate(classical)];
          subjectKeyOf(row.oid, null, writeCompositePublicKey({ row, mlDsa: one.publicKey, traditional: other.publicKey }));
        },
        halves: async () => {
          for (const { publicKey, privateKey } of [await made(row.mlDsa), await made('ec', { namedCurve: classical.curve })]) {
            publicKey.export({ format: 'der', type: 'spki' });
            privateKey.export({ format: 'der', type: 'pkcs8' });
          }
        },
      },
    },
    checked: () => signComposite(row, {
      mlDsa: (of, label) => signWith(first, a.pkcs8, of, { context: label }),
      traditional: (of) => signWith(second, b.pkcs8, of),
    }, MESSAGE),
  };
}

/** noble: keys as seed and scalar. The same hedging on both sides, so that ML-DSA rejects as often on one as on the other. */
async function nobleRivals(row: EcdsaComposite): Promise<Rivals> {
  const scheme = ML_DSA[row.mlDsa];
  const { curve: name, hash: hashName } = row.traditional;
  const curve = CURVES[name];
  const [seed, scalar, randomness] = [new Uint8Array(randomBytes(32)), curve.utils.randomSecretKey(), new Uint8Array(randomBytes(32))];
  const context = utf8(row.domain);
  const message = compositeMessage(row, compositePreHash(row, MESSAGE));
  const how = { prehash: false, lowS: false, format: 'der' } as const;
  const raw = writeCompositePrivateKey({ row, seed, traditional: writeEcPrivateKey(name, scalar) });
  const [keyA, keyB] = [scheme.keygen(seed).publicKey, curve.getPublicKey(scalar, false)];
  const publicKey = writeCompositePublicKey({ row, mlDsa: keyA, traditional: keyB });
  const signature = await signComposite(row, softwareSigners(readCompositePrivateKey(row, raw), randomness), MESSAGE);
  const halves = splitCompositeSignature(row, signature);
  return {
    library: 'noble', row,
    ways: {
      sign: {
        ours: () => signComposite(row, softwareSigners({ row, seed, traditional: raw.subarray(32) }, randomness), MESSAGE),
        halves: () => {
          scheme.sign(message, scheme.keygen(seed).secretKey, { context, extraEntropy: randomness });
          curve.sign(HASHES[hashName](message), scalar, how);
        },
      },
      check: {
        ours: async () => demand((await verifyComposite(readCompositePublicKey(row, publicKey), MESSAGE, signature)).valid),
        halves: () => {
          demand(scheme.verify(halves.mlDsa, message, keyA, { context }));
          demand(curve.verify(halves.traditional, HASHES[hashName](message), keyB, how));
        },
      },
      make: {
        ours: async () => {
          const [one, other] = [await PROVIDERS.noble.generate({ kind: 'ml-dsa', name: row.mlDsa }), await PROVIDERS.noble.generate(row.traditional)];
          subjectKeyOf(row.oid, null, writeCompositePublicKey({ row, mlDsa: one.publicKey, traditional: other.publicKey }));
        },
        halves: () => {
          scheme.keygen(new Uint8Array(randomBytes(32)));
          curve.getPublicKey(curve.utils.randomSecretKey(), false);
        },
      },
    },
    checked: null,
  };
}

/** A benchmark of verifications that fail would be fast. */
function demand(valid: boolean): void {
  if (!valid) throw new Error('the benchmark\'s own signature does not verify');
}

// --- shares and envelopes --------------------------------------------------------------------------------------------

/** Each way of the house beside the library's plain call on the same bytes. */
interface Duel { readonly name: string; readonly ours: Work; readonly plain: Work; readonly plainName: string }
/** Some of these take microseconds: one time that the machine was busy is not to be the median. */
const FEWEST = 15;
type CustodyFigure = 'split' | 'combine' | 'seal' | 'open';

async function benchCustody({ operations }: Sizes, wanted: readonly FigureName[]): Promise<Figure[]> {
  const here = wanted.filter((name): name is CustodyFigure => name === 'split' || name === 'combine' || name === 'seal' || name === 'open');
  if (here.length === 0) return [];
  say('splitting, combining, sealing and opening');
  const duels = { ...await shareDuels(), ...await envelopeDuels() };
  const notes: Record<CustodyFigure, string> = {
    split: 'ours computes all 255 points, so that share i is point i, and a commitment to each; the library alone does so for 255 points too',
    combine: 'ours compares each share with its commitment first, and the secret with its own afterwards',
    seal: 'the worst of both; ours checks the recipient\'s key and writes DER. Raw: encapsulation, the classical half and the combiner of a composite, AES-256-GCM',
    open: 'the worst of both, each from the seed, as the key is kept; ours reads strict DER and tries the private key before it is used',
  };
  const figures: Figure[] = [];
  for (const name of here) {
    const samples: Sample[] = [];
    const ratios: { to: string; ratio: number }[] = [];
    const more: number[] = [];
    for (const { name: of, ours, plain, plainName } of duels[name]) {
      const [way = [], rival = []] = await alternately(Math.max(FEWEST, operations / 10), () => milliseconds(ours), () => milliseconds(plain));
      samples.push(sample(of, 'ms', way), sample(plainName, 'ms', rival));
      ratios.push({ to: `${plainName}, ${of}`, ratio: median(way) / median(rival) });
      more.push(Math.max(0, median(way) - median(rival)));
    }
    figures.push(figure(name, { value: Math.max(...(name === 'split' ? ratios.map(({ ratio }) => ratio) : more)), samples, ratios, notes: [notes[name]] }));
  }
  return figures;
}

async function shareDuels(): Promise<Record<'split' | 'combine', Duel[]>> {
  const key = new Uint8Array(randomBytes(32));
  const plan = { set: toBase64url(randomBytes(16)), epoch: 1, threshold: 3, custodians: [1, 2, 3, 4, 5].map((n) => `custodian-${n}`) };
  const { set, shares } = await makeShares(key, plan);
  const quorum = shares.slice(0, 3);
  const raw = quorum.map(({ header, payload }) => Uint8Array.of(...payload, header.x));
  return {
    split: [{ name: 'makeShares', ours: () => makeShares(key, plan), plainName: 'shamir-secret-sharing', plain: () => splitAlone(key, 255, 3) }],
    combine: [{ name: 'combineChecked', ours: () => combineChecked(quorum, set), plainName: 'shamir-secret-sharing', plain: () => combineAlone(raw) }],
  };
}

async function envelopeDuels(): Promise<Record<'seal' | 'open', Duel[]>> {
  const duels: Record<'seal' | 'open', Duel[]> = { seal: [], open: [] };
  const content = new Uint8Array(randomBytes(32));
  const random = (length: number) => new Uint8Array(randomBytes(length));
  for (const row of [kemAlgorithmNamed('ml-kem-768'), kemAlgorithmNamed('MLKEM768-X25519-SHA3-256')]) {
    const composite = row.family === 'composite-kem';
    const secret = random(composite ? 96 : 64);
    const key = subjectKeyOf(row.oid, null, kemPublicFromPrivate(row, secret));
    const recipients = [recipientOfKey(key)];
    const sealed = sealEnvelope({ content, recipients }, random(sealingRandomness(recipients)));
    const pkcs8 = writeDer(TAG.sequence, Uint8Array.of(TAG.integer, 1, 0), writeIdentifier(row.oid, null), writeDer(TAG.octetString, composite ? secret : writeDer(0x80, secret)));
    const mlKemKey = key.raw.slice(0, ML_KEMS['ml-kem-768'].publicKeyBytes);
    const classicalKey = key.raw.slice(mlKemKey.length);
    /** The combiner's hash over the halves of a composite; of ML-KEM alone the secret itself. */
    const together = (first: Uint8Array, second: Uint8Array, ciphertext: Uint8Array) => composite ? combineSecrets(row, first, second, ciphertext, classicalKey) : first;
    const none = new Uint8Array();
    const nonce = random(12);
    const encapsulated = ML_KEM['ml-kem-768'].encapsulate(mlKemKey, random(32));
    const ephemeral = random(32);
    const point = composite ? MONTGOMERY.X25519.getPublicKey(ephemeral) : none;
    const kept = gcm(together(encapsulated.sharedSecret, composite ? MONTGOMERY.X25519.getSharedSecret(ephemeral, classicalKey) : none, point), nonce).encrypt(content);
    duels.seal.push({
      name: row.label, plainName: 'raw KEM and AES-256-GCM',
      ours: () => sealEnvelope({ content, recipients }, random(sealingRandomness(recipients))),
      plain: () => {
        const { sharedSecret } = ML_KEM['ml-kem-768'].encapsulate(mlKemKey, random(32));
        const scalar = random(32);
        const [second, share] = composite ? [MONTGOMERY.X25519.getSharedSecret(scalar, classicalKey), MONTGOMERY.X25519.getPublicKey(scalar)] : [none, none];
        gcm(together(sharedSecret, second, share), random(12)).encrypt(content);
      },
    });
    duels.open.push({
      name: row.label, plainName: 'raw KEM and AES-256-GCM',
      ours: () => withKemKey(pkcs8, (held) => openEnvelope(readEnvelope(sealed), held)),
      plain: () => {
        const { secretKey } = ML_KEM['ml-kem-768'].keygen(secret.slice(0, 64));
        const second = composite ? MONTGOMERY.X25519.getSharedSecret(secret.slice(64), point) : none;
        gcm(together(ML_KEM['ml-kem-768'].decapsulate(encapsulated.cipherText, secretKey), second, point), nonce).decrypt(kept);
      },
    });
  }
  return duels;
}

// --- g and h: windows ------------------------------------------------------------------------------------------------

/**
 * Runs the app in the folder that is the last argument, and says on stdout when the first thing that matches the selector
 * is on the screen: laid out, and one frame later. The app itself knows nothing of it.
 */
const DRIVER = `'use strict';
const { readFileSync, writeSync } = require('node:fs');
const { join } = require('node:path');
const { app } = require('electron');
const folder = process.argv.at(-1);
const shown = (selector) => new Promise((done) => {
  const look = () => {
    if (!document.querySelector(selector)?.checkVisibility()) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(done));
  };
  const observer = new MutationObserver(look);
  observer.observe(document, { childList: true, subtree: true, attributes: true });
  look();
});
app.once('browser-window-created', (event, window) => {
  window.webContents.once('dom-ready', () => {
    window.webContents.executeJavaScript('(' + shown + ')(' + JSON.stringify(process.env.CONCLAVE_BENCH_SHOWS) + ')').then(() => writeSync(1, 'on the screen\\n'));
  });
});
const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
app.setAppPath(folder);
app.setName(about.name);
app.setVersion(about.version);
require(join(folder, about.main));
`;

const EMPTY = `'use strict';
const { app, BrowserWindow } = require('electron');
app.setPath('userData', process.env.CONCLAVE_HOME);
app.whenReady().then(() => new BrowserWindow({ width: 1280, height: 800 }).loadFile('index.html'));
`;

async function benchWindows(folder: string, { starts, idles, idleMs }: Sizes, wanted: readonly FigureName[]): Promise<Figure[]> {
  const here = wanted.filter((name) => name === 'start' || name === 'memory');
  if (here.length === 0) return [];
  const runtime = electronRuntime();
  if (runtime === undefined) return here.map((name) => skipped(name, 'there is no Electron here (npm start fetches one)'));
  if (!onPath('Xvfb')) return here.map((name) => skipped(name, 'Xvfb is not installed (Debian package xvfb)'));
  if (!existsSync('/proc/self/smaps')) return here.map((name) => skipped(name, 'this system does not tell what a process holds (/proc/PID/smaps)'));

  const driver = program(join(folder, 'driver'), { 'main.cjs': DRIVER });
  const empty = program(join(folder, 'empty'), { 'main.cjs': EMPTY, 'index.html': '<!doctype html><html lang="en"><head><title>Empty</title></head><body><p>Empty</p></body></html>' });
  const apps = {
    'an empty window': { app: empty, shows: 'p', home: join(folder, 'empty-home') },
    'Conclave': { app: root, shows: '[data-testid=primary]', home: join(folder, 'home') },
  };
  const startTimes = { 'an empty window': [] as number[], 'Conclave': [] as number[] };
  const memories = { 'an empty window': [] as number[], 'Conclave': [] as number[] };
  const conductors: number[] = [];
  const measureMemory = here.includes('memory');
  const rounds = here.includes('start') ? starts : idles;

  say('opening windows');
  await withDisplay(async (display) => {
    for (let round = -1; round < rounds; round++) { // the first one makes data folders and warms the disk's cache
      for (const name of ['an empty window', 'Conclave'] as const) {
        const { app, shows, home } = apps[name];
        mkdirSync(home, { recursive: true });
        const begun = performance.now();
        const child = spawn(runtime.path, [...runtime.args, driver, app], {
          stdio: ['ignore', 'pipe', 'ignore'],
          env: { ...process.env, DISPLAY: display, CONCLAVE_HOME: home, CONCLAVE_BENCH_SHOWS: shows },
        });
        try {
          await onTheScreen(child, name);
          const ms = performance.now() - begun;
          if (round < 0) continue;
          startTimes[name].push(ms);
          if (!measureMemory || round < rounds - idles) continue;
          await new Promise((resolve) => setTimeout(resolve, idleMs));
          const { whole, conductor } = heldBy(child.pid ?? 0);
          memories[name].push(whole);
          if (conductor > 0) conductors.push(conductor);
        } finally {
          await ended(child);
        }
      }
    }
  });

  const where = [
    `Electron ${runtime.version}${runtime.development ? ' (development runtime)' : ''} under Xvfb${isRoot ? ', as root and therefore without Chromium\'s sandbox' : ''}`,
  ];
  const compared = (unit: Sample['unit'], values: typeof startTimes, more: readonly Sample[], note: string): Measured => {
    const [ours, theirs] = [median(values['Conclave']), median(values['an empty window'])];
    return {
      value: ours - theirs, samples: [...Object.entries(values).map(([name, of]) => sample(name, unit, of)), ...more],
      ratios: [{ to: 'an empty window', ratio: ours / theirs }], notes: [...where, note],
    };
  };
  return here.map((name) => name === 'start'
    ? figure('start', compared('ms', startTimes, [], 'from the start of the process to the first frame with the main button, or with the empty page\'s only line'))
    : figure('memory', compared('MB', memories,
      conductors.length > 0 ? [sample('of it the conductor, on the Node of its own that only the development runtime needs', 'MB', conductors)] : [],
      `PSS of every process of the app, ${idleMs / 1000} s after the screen was there`)));
}

function program(folder: string, files: Readonly<Record<string, string>>): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'conclave-bench', version: '0.0.0', main: 'main.cjs' }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

function onTheScreen(child: ChildProcess, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const tooLong = setTimeout(() => reject(new Error(`${name} did not come within a minute`)), 60_000);
    const settled = (how: () => void) => {
      clearTimeout(tooLong);
      how();
    };
    child.once('error', (error) => settled(() => reject(error)));
    child.once('exit', (code) => settled(() => reject(new Error(`${name} ended with ${String(code)} before it was there`))));
    child.stdout?.on('data', (text: Buffer) => {
      if (text.includes('on the screen')) settled(resolve);
    });
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill();
  const impatient = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await gone;
  clearTimeout(impatient);
}

/**
 * PSS of a process and of all that it started, and how much of it the conductor's: what processes share counts once. What
 * the conductor's Node shares with the one that runs this benchmark counts whole: without us it would share it with nobody.
 */
function heldBy(pid: number): { whole: number; conductor: number } {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const parent = Number(/^PPid:\s+(\d+)/m.exec(text(`/proc/${name}/status`))?.[1] ?? 0);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  let [whole, conductor] = [0, 0];
  const add = (of: number): void => {
    let kilobytes = 0;
    let counted = 'Pss:';
    for (const line of text(`/proc/${of}/smaps`).split('\n')) { // proc(5): a line that names the mapping, then its figures
      if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) counted = line.endsWith(process.execPath) ? 'Rss:' : 'Pss:';
      else if (line.startsWith(counted)) kilobytes += Number(/\d+/.exec(line)?.[0] ?? 0);
    }
    whole += kilobytes / 1024;
    if (text(`/proc/${of}/cmdline`).includes('conductor.cjs')) conductor += kilobytes / 1024;
    for (const child of children.get(of) ?? []) add(child);
  };
  add(pid);
  return { whole, conductor };
}

/** A file of /proc; nothing where its process has just ended. */
function text(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

// --- the command -----------------------------------------------------------------------------------------------------

const TMPFS = 0x0102_1994; // statfs(2), TMPFS_MAGIC

function isInMemory(folder: string): boolean {
  return statfsSync(folder).type === TMPFS;
}

/** On a disk where there is one: a folder in memory would make durability free. */
function temporaryFolder(): string {
  if (!isInMemory(tmpdir())) return mkdtempSync(join(tmpdir(), 'conclave-bench-'));
  mkdirSync(cache, { recursive: true });
  return mkdtempSync(join(cache, 'bench-'));
}

function say(what: string): void {
  process.stderr.write(`  … ${what}\n`);
}

export async function bench(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args, options: { quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false }, only: { type: 'string', multiple: true, default: [] } },
  });
  const unknown = values.only.find((name) => !(NAMES as string[]).includes(name));
  if (unknown !== undefined) {
    process.stderr.write(`conclave: --only ${unknown}: there is no such figure. There are: ${NAMES.join(', ')}\n`);
    return 2;
  }
  const wanted = values.only.length === 0 ? NAMES : NAMES.filter((name) => values.only.includes(name));
  const report = await measure(wanted, values.quick);
  process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : printed(report));
  return 0;
}

async function measure(wanted: readonly FigureName[], quick: boolean): Promise<Report> {
  const sizes = quick ? QUICK : FULL;
  const before = loadavg()[0] ?? 0;
  const folder = temporaryFolder();
  const figures: Figure[] = [];
  try {
    // As a program of its own: stdout belongs to the figures. All others run the sources.
    if (wanted.some((name) => name === 'list' || name === 'start' || name === 'memory')) execFileSync(process.execPath, [join(root, 'build/bundle.mjs')], { stdio: ['ignore', 2, 2] });
    if (wanted.includes('verify')) figures.push(await benchVerify(folder, sizes));
    if (wanted.includes('append')) figures.push(await benchAppend(folder, sizes));
    if (wanted.includes('list')) figures.push(await benchList(folder, sizes));
    figures.push(...await benchComposites(sizes, wanted), ...await benchCustody(sizes, wanted));
    figures.push(...await benchWindows(folder, sizes, wanted));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const machine = {
    cores: availableParallelism(), processor: cpus()[0]?.model ?? 'unknown', memory: totalmem(), node: process.versions.node,
    electron: electronRuntime()?.version ?? null, load: [before, loadavg()[0] ?? 0] as const,
  };
  return { machine, quick, figures };
}

const number = (value: number) => value.toLocaleString('en', value < 10 ? { maximumFractionDigits: 2 } : value < 1000 ? { maximumFractionDigits: 1 } : { maximumFractionDigits: 0 });

function printed({ machine, quick, figures }: Report): string {
  const lines = [
    `${machine.cores} cores (${machine.processor}), ${(machine.memory / 2 ** 30).toFixed(0)} GB, Node ${machine.node}, Electron ${machine.electron ?? 'none'}; load ${machine.load.map(number).join(' before, ')} after`,
    ...(machine.load[0] > machine.cores / 2 ? ['! Something else was running: believe the ratios, not the absolute figures.'] : []),
    ...(quick ? ['! --quick: small sizes and single runs. It shows that everything can be measured, not how fast it is.'] : []),
  ];
  for (const { title, value, unit, aim, met, samples, ratios, notes, skipped: why } of figures) {
    lines.push('', title);
    if (value === null) {
      lines.push(`  · not measured: ${why ?? ''}`);
      continue;
    }
    const wanted = 'atLeast' in aim ? `at least ${number(aim.atLeast)}` : `at most ${number(aim.atMost)}`;
    lines.push(`  ${met === true ? '✓' : '✕'} ${number(value)} ${unit}   (aim: ${wanted}; ${met === true ? 'met' : 'not met'})`);
    for (const one of samples) lines.push(`    ${`${number(one.median)} ${one.unit}`.padStart(12)}  ${one.name}   ${number(one.min)} to ${number(one.max)} in ${one.runs}`);
    for (const { to, ratio } of ratios) lines.push(`    ${`${number(ratio)} ×`.padStart(12)}  ${to}`);
    for (const note of notes) lines.push(`    ${note}`);
  }
  return `${lines.join('\n')}\n`;
}

if (process.argv[1] === import.meta.filename) {
  const [file = '', runs = ''] = process.argv.slice(2);
  process.stdout.write(JSON.stringify(await verifying(file, Number(runs))));
}
