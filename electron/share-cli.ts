/**
 * `conclave share`: a 32-byte key split into files, what such files are and whether they belong together, and the key again.
 *
 * A share is as secret as a part of the key: no payload and no word of a mnemonic is ever printed. Keys, shares and
 * passphrases come from files and go to files, never through arguments, the environment or a stream; a file is made new, for
 * its owner only (0600), and one that exists is never touched. Whoever has M of the files has the key: this command does not
 * keep people apart, a ceremony does. Exit code 0: yes. 1: a refusal or a finding, with the rule. 2: a wrong call.
 */
import { randomFillSync } from 'node:crypto';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { equalBytes, toBase64url, utf8 } from '../ceremonies/bytes.ts';
import { Refused, refuse, type Refusal } from '../ceremonies/refusal.ts';
import { secretBytes, wrongLength } from '../ceremonies/shares/shamir.ts';
import { combineFiles, encodeSetFile, encodeShareFile, gather, isRead, parseSetFile, parseShareFile, sealSet, wipeFile, type SealedSet, type ShareFile } from '../ceremonies/shares/share-file.ts';
import { setWords } from '../ceremonies/shares/sheet.ts';
import { damaged, makeShares, proveSplit, secretCommitment, shareCommitment, type SplitProof } from '../ceremonies/shares/share.ts';
import { encodeMnemonic, makeMnemonics, slip39Randomness } from '../ceremonies/shares/slip39.ts';
import { newFile, readInput, Usage, write } from './keys-cli.ts';
import { fileInPicture, isPicture, LARGEST_PICTURE } from './pictures.ts';
import { forbidCoreDumps } from './processes.ts';

export const SHARE_HELP = `  conclave share split --threshold M --shares N --in KEYFILE --out DIR [--slip39] [--json]
  conclave share inspect|check FILE... [--set FILE] [--json]
  conclave share combine FILE... --out FILE [--set FILE] [--json]
      Shamir shares of a 32-byte key as files or as SLIP-39 words: what is wrong with one is said before anything is combined.
`;

export const SHARE_DETAIL: Record<string, string> = {
  share: `conclave share split --threshold M --shares N --in KEYFILE --out DIR [--custodian SEAT]... [--after FILE] [--json]
conclave share split --slip39 --threshold M --shares N --in KEYFILE --out DIR [--passphrase FILE] [--json]
conclave share inspect FILE... [--json]
conclave share check FILE... [--set FILE] [--json]
conclave share combine FILE... --out FILE [--set FILE] [--passphrase FILE] [--json]

  split         makes DIR with one file for each share, and set.pem: the public facts of the set, for your records. Every M of
                them are combined before anything is written (200 at random where there are more), and M - 1 give nothing
  FILE          a share as it was split, its bytes, its words, or a picture (PNG, JPEG) of the QR code on its sheet
  --in          the key: 32 raw bytes. This command leaves it where it is
  --custodian   whose share it is, in order, e.g. --custodian alice --custodian bob (default: custodian-1, custodian-2, ...)
  --after FILE  set.pem of the split before, of the same key: the new shares belong to the next epoch, the old ones are refused
                by everyone who has the new set.pem
  --slip39      one line of 33 words for each share (at most 16), for paper and for other programs
  --passphrase  SLIP-39 only: a file whose first line is the passphrase. A wrong one is not noticed: it gives another key
  inspect       what a file is: set, number, custodian. Says nothing secret, and whether it is unharmed
  check         do these belong together, how many are missing, which one is wrong and why? Nothing is combined
  combine       checks all of them, and refuses all when anything speaks against one; then the key, proven by its commitment
                and by opening the seal of the set (SLIP-39: by a digest of 32 bits)
  --set FILE    the facts by which to judge, from your records. Without it those count that most of the files agree on:
                that finds accidents, and not somebody who forged more files than there are genuine ones. Sheets of paper need it

  A share file is not encrypted. For safe transport seal each one to its custodian: conclave envelope seal.
  Of words that do not fit their checksum the place of the wrong one is said, never the word that belongs there.
  Exit code 0: yes. 1: a refusal or a finding, with the rule. 2: wrong call.
`,
};

const LARGEST_SHARE = 64 * 1024; // the facts of 255 shares have 12 KB
const NO_PASSPHRASE = new Uint8Array(0);

export interface Report { readonly file: string; readonly facts: Readonly<Record<string, string | number | boolean | null>>; readonly findings: readonly Refusal[] }

export async function shareCommand(args: readonly string[]): Promise<number> {
  const [verb = '', ...rest] = args;
  const taken: Readonly<Record<string, readonly string[]>> = {
    split: ['threshold', 'shares', 'in', 'out', 'custodian', 'after', 'slip39', 'passphrase'], inspect: [], check: ['set'], combine: ['out', 'set', 'passphrase'],
  };
  const allowed = taken[verb];
  if (allowed === undefined) throw new Usage(`share: ${Object.keys(taken).join(', ')}`);
  const { values, positionals } = parseArgs({
    args: rest, allowPositionals: true,
    options: {
      threshold: { type: 'string' }, shares: { type: 'string' }, in: { type: 'string' }, out: { type: 'string' }, custodian: { type: 'string', multiple: true }, after: { type: 'string' },
      slip39: { type: 'boolean' }, passphrase: { type: 'string' }, set: { type: 'string' }, json: { type: 'boolean', default: false },
    },
  });
  const stray = Object.keys(values).find((option) => option !== 'json' && !allowed.includes(option));
  if (stray !== undefined) throw new Usage(`share ${verb}: takes no --${stray}`);
  if ((positionals.length === 0) !== (verb === 'split')) throw new Usage(verb === 'split' ? 'share split: files are named by options' : `share ${verb}: which files?`);
  const given = (option: 'in' | 'out'): string => values[option] ?? missingOption(verb, option);
  forbidCoreDumps(process.pid);
  switch (verb) {
    case 'split': {
      const number = (option: 'threshold' | 'shares'): number => {
        const text = values[option] ?? missingOption(verb, option);
        if (!/^\d{1,3}$/.test(text)) throw new Usage(`--${option} ${text}: a number is wanted`);
        return Number(text);
      };
      const plan = { threshold: number('threshold'), shares: number('shares'), out: given('out') };
      const { custodian: custodians, after, passphrase } = values;
      if (values.slip39 === true ? custodians !== undefined || after !== undefined : passphrase !== undefined) {
        throw new Usage('share split: --custodian and --after belong to our own shares, --passphrase to --slip39');
      }
      if (custodians !== undefined && custodians.length !== plan.shares) throw new Usage(`--custodian: ${plan.shares} are wanted, one for each share`);
      if (existsSync(plan.out)) throw new Usage(`${plan.out} exists: nothing is overwritten`);
      const previous = after === undefined ? null : readInput(after, LARGEST_SHARE);
      const key = readInput(given('in'), LARGEST_SHARE);
      try {
        return await tell(async () => {
          if (key.length !== 32) throw new Refused(wrongLength(key.length).refusal);
          return values.slip39 === true ? await splitIntoWords(key, plan, passphrase) : await splitIntoFiles(key, { ...plan, custodians }, previous);
        }, values.json, plan.out);
      } finally {
        key.fill(0);
      }
    }
    case 'inspect':
      return withFiles(positionals, (files) => tell(() => Promise.resolve(inspect(positionals, files)), values.json));
    case 'check':
      return withFiles(positionals, (files) => tell(() => Promise.resolve(check(positionals, files, factsFrom(values.set)).told), values.json));
    default: {
      const out = newFile(given('out'));
      return withFiles(positionals, (files) => tell(() => combine(positionals, files, { out, set: values.set, passphrase: values.passphrase }), values.json));
    }
  }
}

function missingOption(verb: string, option: string): never {
  throw new Usage(`share ${verb}: --${option} is missing`);
}

// --- split -----------------------------------------------------------------------------------------------------------------

interface Plan { readonly threshold: number; readonly shares: number; readonly out: string }

async function splitIntoFiles(key: Uint8Array, { threshold, shares: count, out, custodians }: Plan & { custodians: readonly string[] | undefined }, previous: Uint8Array | null): Promise<Told> {
  const before = previous === null ? null : parseSetFile(previous).set;
  if (before !== null && secretCommitment(before.id, key) !== before.secret) {
    throw new Refused(refuse('SHARE-SET', 'the key that was split before', 'another key', 'A new epoch is for the same key. Split this one without --after.'));
  }
  const seats = custodians ?? Array.from({ length: count }, (_, i) => `custodian-${i + 1}`);
  const id = before?.id ?? toBase64url(randomFillSync(new Uint8Array(16)));
  const { set, shares } = await makeShares(key, { set: id, epoch: before === null ? 0 : before.epoch + 1, threshold, custodians: seats });
  try {
    const proof = await proveSplit(shares, set, randomFillSync(new Uint8Array(32)));
    const facts = sealSet(set, key);
    const files = shares.map((share) => ({ name: `share-${share.header.x}.pem`, holder: share.header.custodian, bytes: encodeShareFile(share, facts) }));
    writeAll(out, files, [{ name: 'set.pem', bytes: utf8(encodeSetFile({ ...facts, custodians: [...seats] })) }]);
    return {
      reports: files.map(({ name, holder }) => ({ file: join(out, name), facts: { is: `share for ${holder}` }, findings: [] })),
      facts: { set: id, epoch: set.epoch, threshold, shares: count, setFacts: join(out, 'set.pem'), ...proofFacts(proof) }, findings: [], missing: null,
    };
  } finally {
    for (const { payload } of shares) payload.fill(0);
  }
}

async function splitIntoWords(key: Uint8Array, { threshold, shares, out }: Plan, passphraseFile: string | undefined): Promise<Told> {
  const passphrase = passphraseFrom(passphraseFile);
  const random = randomFillSync(secretBytes(slip39Randomness(Math.min(threshold, 255))) as Uint8Array<ArrayBuffer>);
  try {
    const { mnemonics, proof } = await makeMnemonics(key, { threshold, shares }, passphrase, random);
    try {
      const files = mnemonics.map((mnemonic) => ({ name: `share-${mnemonic.member + 1}.txt`, bytes: encodeMnemonic(mnemonic) }));
      writeAll(out, files, []);
      return {
        reports: files.map(({ name }, i) => ({ file: join(out, name), facts: { is: `SLIP-39 share ${i + 1}, 33 words` }, findings: [] })),
        facts: { identifier: mnemonics[0]!.set.identifier, threshold, shares, passphrase: passphrase.length > 0, ...proofFacts(proof) }, findings: [], missing: null,
      };
    } finally {
      for (const { value } of mnemonics) value.fill(0);
    }
  } finally {
    random.fill(0);
    passphrase.fill(0);
  }
}

function proofFacts({ subsetsTried, shortTried, exhaustive }: SplitProof): Report['facts'] {
  return { quorumsTried: subsetsTried, everyQuorum: exhaustive, shortOfOneTried: shortTried };
}

/** Writes into a new folder, reads every share back, and leaves nothing behind when any of it fails. Wipes the secret ones. */
export function writeAll(folder: string, shares: readonly { name: string; bytes: Uint8Array }[], open: readonly { name: string; bytes: Uint8Array }[]): void {
  try {
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      throw new Usage(`cannot make ${folder}: ${(error as NodeJS.ErrnoException).code ?? 'an error'}`);
    }
    try {
      for (const { name, bytes } of [...shares, ...open]) {
        write(join(folder, name), bytes);
        const back = readInput(join(folder, name), LARGEST_PICTURE);
        const same = equalBytes(back, bytes);
        back.fill(0);
        if (!same) throw new Refused(refuse('SHARE-DAMAGED', `${name} as it was written`, 'other bytes', 'Use another disk.'));
      }
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  } finally {
    for (const { bytes } of shares) bytes.fill(0);
  }
}

// --- inspect, check, combine -------------------------------------------------------------------------------------------------

export type Read = ShareFile | Refusal;

/** Lends the files, read; wiped afterwards. One that cannot be read is its refusal, not the end of the run. */
export async function withFiles(paths: readonly string[], use: (files: readonly Read[]) => Promise<number>): Promise<number> {
  const files: Read[] = [];
  try {
    for (const path of paths) {
      let bytes = readInput(path, LARGEST_PICTURE);
      try {
        if (isPicture(bytes)) {
          const picture = bytes;
          bytes = await fileInPicture(picture);
          picture.fill(0);
        }
        if (bytes.length > LARGEST_SHARE) throw damaged('a share, or a picture of one', 'a larger file');
        files.push(parseShareFile(bytes));
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        files.push(error.refusal);
      } finally {
        bytes.fill(0);
      }
    }
    return await use(files);
  } finally {
    files.filter(isRead).forEach(wipeFile);
  }
}

function inspect(paths: readonly string[], files: readonly Read[]): Told {
  return { reports: files.map((file, i) => ({ file: basename(paths[i]!), facts: shareFacts(file), findings: isRead(file) ? [] : [file] })), facts: {}, findings: [], missing: null };
}

export function check(paths: readonly string[], files: readonly Read[], facts: SealedSet | null): { readonly told: Told; readonly good: readonly ShareFile[] } {
  const { findings, together, missing, facts: by } = gather(files, facts);
  const reports = files.map((file, i) => ({ file: basename(paths[i]!), facts: shareFacts(file), findings: findings[i]! }));
  const judged = facts !== null ? 'the facts that were given' : by === null ? null : 'the facts that most of the files agree on';
  return {
    told: { reports, findings: together, missing, facts: { judgedBy: judged, threshold: by?.set.threshold ?? null, shares: by?.set.shares ?? null, missing } },
    good: files.filter(isRead),
  };
}

async function combine(paths: readonly string[], files: readonly Read[], call: { readonly out: string; readonly set: string | undefined; readonly passphrase: string | undefined }): Promise<Told> {
  const facts = factsFrom(call.set);
  const passphrase = passphraseFrom(call.passphrase);
  try {
    const { told, good } = check(paths, files, facts);
    if (told.findings.length > 0 || told.reports.some(({ findings }) => findings.length > 0)) return told;
    if (passphrase.length > 0 && good.some(({ form }) => form !== 'words')) throw new Usage('--passphrase: these shares have none');
    const key = await combineFiles(good, facts, passphrase);
    try {
      write(call.out, key);
      return { ...told, facts: { ...told.facts, written: call.out, bytes: key.length, proven: good[0]?.form !== 'words' ? 'by its commitment and the seal of the set' : 'by a digest of 32 bits; a passphrase by nothing' } };
    } finally {
      key.fill(0);
    }
  } finally {
    passphrase.fill(0);
  }
}

export function shareFacts(file: Read): Report['facts'] {
  if (!isRead(file)) return {};
  if (file.form === 'words') {
    const { set, group, member, threshold } = file.mnemonic;
    return {
      is: 'SLIP-39 words', identifier: set.identifier, share: member + 1, threshold, group: group + 1, groupThreshold: set.groupThreshold, groups: set.groups,
      secret: `${8 * set.length} bits`, iterationExponent: set.iterationExponent, extendable: set.extendable,
    };
  }
  if (file.form === 'sheet') return { is: 'words of a sheet', epoch: file.sheet.epoch, share: file.sheet.x };
  const { set, epoch, x, shares, threshold, custodian } = file.share.header;
  return { is: 'a share', set, setWords: setWords(file.share.header).join(' '), epoch, share: x, shares, threshold, custodian, commitment: shareCommitment(file.share), setFacts: file.facts === null ? 'none in this file' : 'in this file' };
}

export function factsFrom(path: string | undefined): SealedSet | null {
  return path === undefined ? null : parseSetFile(readInput(path, LARGEST_SHARE));
}

/** The first line of a file. The caller wipes it. */
function passphraseFrom(path: string | undefined): Uint8Array {
  if (path === undefined) return NO_PASSPHRASE;
  const bytes = readInput(path, LARGEST_SHARE);
  const end = bytes.findIndex((byte) => byte === 0x0a || byte === 0x0d);
  if (end !== -1 && !bytes.subarray(end).every((byte) => byte === 0x0a || byte === 0x0d)) throw new Usage(`--passphrase ${path}: one line is wanted`);
  return end === -1 ? bytes : bytes.subarray(0, end);
}

// --- telling -----------------------------------------------------------------------------------------------------------------

export interface Told {
  readonly reports: readonly Report[];
  /** What is said of all the files together. */
  readonly facts: Report['facts'];
  readonly findings: readonly Refusal[];
  readonly missing: number | null;
}

export async function tell(make: () => Promise<Told>, json: boolean, file?: string): Promise<number> {
  let told: Told;
  try {
    told = await make();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    told = { reports: file === undefined ? [] : [{ file, facts: {}, findings: [] }], facts: {}, findings: [error.refusal], missing: null };
  }
  const { reports, facts, findings, missing } = told;
  const all = [...reports.flatMap((report) => report.findings), ...findings];
  if (json) {
    process.stdout.write(`${JSON.stringify({ verified: all.length === 0, rules: [...new Set(all.map(({ rule }) => rule))], missing, facts, findings, reports }, null, 2)}\n`);
    return all.length === 0 ? 0 : 1;
  }
  const rows = (of: Report['facts'], indent: string): string[] => Object.entries(of).filter(([, value]) => value !== null).map(([name, value]) => `${indent}${name.padEnd(18)} ${String(value)}`);
  const said = (of: readonly Refusal[], indent: string): string[] => of.map((finding) => `${indent}✕ ${finding.rule}: expected ${finding.expected}; found ${finding.found}. ${finding.next}`);
  const lines = [
    ...reports.flatMap((report) => [`${report.findings.length === 0 ? '✓' : '✕'} ${report.file}`, ...rows(report.facts, '    '), ...said(report.findings, '  ')]),
    ...rows(facts, ''), ...said(findings, ''),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  return all.length === 0 ? 0 : 1;
}
