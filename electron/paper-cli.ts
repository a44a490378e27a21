/**
 * `conclave share print`, `form`, `scan` and `type`: shares onto paper, and back from it.
 *
 * The same promises as share-cli.ts: no payload and no word is ever printed to a stream, secrets come from files, pictures or the
 * terminal and go to new files of their owner alone (0600). What is printed is read back before it is written, what is scanned or
 * typed is judged before it is saved. Exit code 0: yes. 1: a refusal or a finding, with the rule. 2: a wrong call.
 */
import { createInterface } from 'node:readline/promises';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { fromUtf8, utf8 } from '../ceremonies/bytes.ts';
import { Refused, refuse, type Refusal } from '../ceremonies/refusal.ts';
import { encodeSheetWords, fileOfQr, linesOf, SHEET_WORDS, shareToQr } from '../ceremonies/shares/paper.ts';
import { damaged } from '../ceremonies/shares/share.ts';
import { asRecord, encodeShareFile, gather, isRead, parseShareFile, wipeFile, type SealedSet, type ShareFile } from '../ceremonies/shares/share-file.ts';
import { blankSheetHtml, LONGEST_PURPOSE, readSheetHtml, sheetHtml, type SheetFacts } from '../ceremonies/shares/sheet.ts';
import { encodeMnemonic } from '../ceremonies/shares/slip39.ts';
import { MOST_WORDS } from '../ceremonies/shares/word-code.ts';
import { newFile, Usage, write } from './keys-cli.ts';
import { qrTexts } from './pictures.ts';
import { forbidCoreDumps } from './processes.ts';
import { factsFrom, shareFacts, tell, withFiles, writeAll, type Read, type Told } from './share-cli.ts';
import { askForWords } from './terminal-words.ts';

export const PAPER_HELP = `  conclave share print FILE... --out DIR --for TEXT [--set FILE] [--rehearsal] [--i-know] [--json]
  conclave share form --out FILE [--words N] [--rehearsal]
  conclave share scan PICTURE... --out DIR [--set FILE] [--json]
  conclave share type [--set FILE] [--out FILE] [--words N] [--json]
      Shares on paper: sheets with a QR code and words, blank forms, and both read back from pictures or the keyboard.
`;

export const PAPER_DETAIL = `conclave share print FILE... --out DIR --for TEXT [--set FILE] [--rehearsal] [--i-know] [--json]
conclave share form --out FILE [--words N] [--rehearsal]
conclave share scan PICTURE... --out DIR [--set FILE] [--json]
conclave share type [--set FILE] [--out FILE] [--words N] [--json]

  print         makes DIR with one page (HTML) for each share: its facts, a QR code, its words with a number before each, lines
                for signatures and the bag. Words and code are read back from every finished page before it is written
  --for TEXT    what the key is for, in up to ${LONGEST_PURPOSE} characters; it stands on the sheet
  --rehearsal   marks the sheet as a rehearsal's
  --i-know      you know what a file system, a spooler and a printer keep. Without it the command says so and asks at the
                terminal; without a terminal it refuses
  form          a blank page for a copy by hand, of ${SHEET_WORDS} words or --words N. Nothing secret, nothing to be known
  scan          the share in each picture (PNG, JPEG) as a file in DIR
  type          asks for the words of one sheet at the terminal, without showing them. A wrong word is named by its number and
                typed again. --out saves the share; without it the sheet is only proven
  --set FILE    set.pem of the split: what is printed, scanned or typed is held against its commitment, and refused if it is of
                another set or an older epoch. Without it the checksum is all there is

  check, combine and print take pictures and files of words as well as share files; sheets of words need --set.
`;

const VERBS: Readonly<Record<string, readonly string[]>> = {
  print: ['out', 'set', 'for', 'rehearsal', 'i-know'], form: ['out', 'words', 'rehearsal'], scan: ['out', 'set'], type: ['out', 'set', 'words'],
};

export function isPaperCall([verb = '']: readonly string[]): boolean {
  return Object.hasOwn(VERBS, verb);
}

export async function paperCommand(args: readonly string[]): Promise<number> {
  const [verb = '', ...rest] = args;
  const { values, positionals } = parseArgs({
    args: rest, allowPositionals: true,
    options: {
      out: { type: 'string' }, set: { type: 'string' }, for: { type: 'string' }, words: { type: 'string' },
      rehearsal: { type: 'boolean', default: false }, 'i-know': { type: 'boolean', default: false }, json: { type: 'boolean', default: false },
    },
  });
  const stray = Object.entries(values).find(([option, value]) => option !== 'json' && value !== false && VERBS[verb]?.includes(option) !== true);
  if (stray !== undefined) throw new Usage(`share ${verb}: takes no --${stray[0]}`);
  if ((positionals.length > 0) !== (verb === 'print' || verb === 'scan')) throw new Usage(`share ${verb}: ${positionals.length > 0 ? 'takes no files' : 'which files?'}`);
  const given = (option: 'out' | 'for'): string => {
    const value = values[option];
    if (value === undefined) throw new Usage(`share ${verb}: --${option} is missing`);
    return value;
  };
  const words = values.words === undefined ? SHEET_WORDS : Number(values.words);
  if (!Number.isInteger(words) || words < 20 || words > MOST_WORDS) throw new Usage(`--words ${values.words ?? ''}: a number from 20 to ${MOST_WORDS} is wanted`);
  forbidCoreDumps(process.pid);
  const facts = factsFrom(values.set);
  switch (verb) {
    case 'print': {
      const out = newFile(given('out'));
      if (given('for').length > LONGEST_PURPOSE) throw new Usage(`--for: up to ${LONGEST_PURPOSE} characters find room on the sheet`);
      const about = { purpose: given('for'), rehearsal: values.rehearsal, date: new Date().toISOString().slice(0, 10) };
      return withFiles(positionals, (files) => tell(() => print(positionals, files, facts, { ...about, out, known: values['i-know'] }), values.json));
    }
    case 'form': {
      const out = newFile(given('out'));
      write(out, utf8(blankSheetHtml(words, values.rehearsal)));
      return tell(() => Promise.resolve({ reports: [{ file: out, facts: { is: `a blank form for ${words} words` }, findings: [] }], facts: {}, findings: [], missing: null }), values.json);
    }
    case 'scan': {
      const out = newFile(given('out'));
      return withFiles(positionals, (files) => tell(() => Promise.resolve(scan(positionals, files, facts, out)), values.json));
    }
    default: {
      if (values.out === undefined && facts === null) throw new Usage('share type: --set to prove the sheet, --out to save the share, or both');
      const out = values.out === undefined ? null : newFile(values.out);
      return tell(() => type(words, facts, out), values.json);
    }
  }
}

// --- print -------------------------------------------------------------------------------------------------------------------

const TRACES = `A printed share leaves more than the sheet:
  the file      each page is a file with the whole share in it. Deleting it leaves its blocks on flash, in journals, snapshots and
                backups. Write it to memory (/dev/shm) and switch the machine off, or to a disk that is destroyed afterwards.
  the browser   what opens the page may keep it: cache, history, thumbnails, the list of recent files.
  the spooler   keeps every page until it is printed, often longer (CUPS: /var/spool/cups), on print servers on the way too.
  the printer   many have a disk or a memory that keeps pages, and a network between you and them. Use one on a cable, without a
                disk, that nobody else uses; switch it off afterwards. Some print marks that name the printer and the hour.
A copy by hand leaves none of this: conclave share form.
`;

async function demandKnown(known: boolean): Promise<void> {
  process.stderr.write(TRACES);
  if (known) return;
  if (process.stdin.isTTY && process.stderr.isTTY) {
    const asking = createInterface({ input: process.stdin, output: process.stderr });
    const answer = await asking.question('Write the pages all the same? Type yes: ').catch(() => '');
    asking.close();
    if (answer.trim().toLowerCase() === 'yes') return;
  }
  throw new Refused(refuse('PAPER-TRACES', '--i-know, or "yes" at the terminal', 'neither', 'Nothing was written. Read what stays behind, then decide.'));
}

interface Printing { readonly out: string; readonly purpose: string; readonly rehearsal: boolean; readonly date: string; readonly known: boolean }

async function print(paths: readonly string[], files: readonly Read[], facts: SealedSet | null, { out, known, ...about }: Printing): Promise<Told> {
  const { told, good } = judge(paths, files, facts);
  if (good === null) return told;
  await demandKnown(known);
  const pages: { name: string; bytes: Uint8Array }[] = [];
  try {
    for (const file of good) pages.push({ name: `share-${numberOf(file)}.html`, bytes: await provenPage(file, about) });
    writeAll(out, pages, []);
    return { ...told, reports: told.reports.map((report, i) => ({ ...report, file: join(out, pages[i]!.name) })), facts: { ...told.facts, proven: 'words and QR code of every page read back' } };
  } finally {
    for (const { bytes } of pages) bytes.fill(0);
  }
}

/** The page of a share, proven. */
async function provenPage(file: ShareFile, about: Omit<SheetFacts, 'of'>): Promise<Uint8Array> {
  if (file.form === 'sheet') throw new Refused(refuse('SHARE-SETS', 'the facts of the set', 'words alone', 'Give set.pem of the split with --set.'));
  const line = file.form === 'record' ? encodeSheetWords(file.share) : encodeMnemonic(file.mnemonic);
  try {
    const words = fromUtf8(line).trim().split(' ');
    const qr = file.form === 'record' ? shareToQr(file.share) : words.join(' ').toUpperCase();
    const page = sheetHtml({ ...about, of: file.form === 'record' ? { header: file.share.header } : { mnemonic: file.mnemonic } }, words, qr);
    await provePage(page, file);
    return utf8(page);
  } finally {
    line.fill(0);
  }
}

/** Reads the finished page as whoever holds it will: its words, and its QR code from the picture. Throws `Refused` where either is not this share. */
export async function provePage(page: string, file: ShareFile): Promise<void> {
  const { words, modules } = readSheetHtml(page);
  const line = utf8(words.join(' '));
  let scanned: Uint8Array | null = null;
  try {
    const [code] = await qrTexts(pixelsOf(modules));
    scanned = code === undefined ? null : fileOfQr(code);
    if (scanned === null || !gives(line, file) || !gives(scanned, file)) throw damaged('the page as it was made', 'another one');
  } finally {
    line.fill(0);
    scanned?.fill(0);
  }
}

/** Is this the same share, read from what stands on a page? */
function gives(bytes: Uint8Array, file: ShareFile): boolean {
  const back = parseShareFile(bytes);
  try {
    const payload = (one: ShareFile): Uint8Array => (one.form === 'record' ? one.share.payload : one.form === 'sheet' ? one.sheet.payload : one.mnemonic.value);
    return numberOf(back) === numberOf(file) && Buffer.compare(payload(back), payload(file)) === 0;
  } finally {
    wipeFile(back);
  }
}

/** The QR code as a screen would show it. */
function pixelsOf(modules: readonly (readonly boolean[])[]): { data: Uint8ClampedArray<ArrayBuffer>; width: number; height: number; colorSpace: 'srgb' } {
  const scale = 4;
  const side = modules.length * scale;
  const data = new Uint8ClampedArray(4 * side * side).fill(255);
  for (let pixel = 0; pixel < side * side; pixel++) {
    if (modules[Math.floor(pixel / side / scale)]?.[Math.floor((pixel % side) / scale)] === true) data.fill(0, 4 * pixel, 4 * pixel + 3);
  }
  return { data, width: side, height: side, colorSpace: 'srgb' };
}

function numberOf(file: ShareFile): number {
  return file.form === 'record' ? file.share.header.x : file.form === 'sheet' ? file.sheet.x : file.mnemonic.member + 1;
}

// --- scan, type --------------------------------------------------------------------------------------------------------------

/** What speaks against each file by itself and within its set, not how many are missing. `good` only when nothing does, with words of sheets as the shares that they are. */
function judge(paths: readonly string[], files: readonly Read[], facts: SealedSet | null): { readonly told: Told; readonly good: readonly ShareFile[] | null } {
  const findings: readonly (readonly Refusal[])[] = facts === null ? files.map((file, i) => byItself(file, files.slice(0, i))) : gather(files, facts).findings;
  const good = files.filter(isRead).map((file) => (facts === null ? file : asRecord(file, facts)));
  const shown = findings.flat().length === 0 ? good : files;
  return {
    told: {
      reports: shown.map((file, i) => ({ file: basename(paths[i]!), facts: shareFacts(file), findings: findings[i]! })), findings: [], missing: null,
      facts: { provenBy: facts === null ? 'checksum or digest alone: give --set to hold it against its commitment' : 'its commitment in the facts of the set' },
    },
    good: findings.flat().length === 0 ? good.filter(isRead) : null,
  };
}

/** Without a set, numbers are all that tells shares apart, in the names of what is written too. */
function byItself(file: Read, before: readonly Read[]): Refusal[] {
  if (!isRead(file)) return [file];
  if (!before.some((other) => isRead(other) && numberOf(other) === numberOf(file))) return [];
  return [refuse('SHARE-DUPLICATE', 'every share once', `share ${numberOf(file)} again`, 'Bring another share. What is of another set goes into a folder of its own.')];
}

/** The file of what was read: with the facts of its set where they are at hand. The caller wipes it. */
function fileOf(file: ShareFile, facts: SealedSet | null): Uint8Array {
  switch (file.form) {
    case 'record': return encodeShareFile(file.share, facts ?? file.facts);
    case 'words': return encodeMnemonic(file.mnemonic);
    case 'sheet': return linesOf(file.sheet);
  }
}

function nameOf(file: ShareFile): string {
  return `share-${numberOf(file)}.${file.form === 'record' ? 'pem' : 'txt'}`;
}

function scan(paths: readonly string[], files: readonly Read[], facts: SealedSet | null, out: string): Told {
  const { told, good } = judge(paths, files, facts);
  if (good === null) return told;
  writeAll(out, good.map((file) => ({ name: nameOf(file), bytes: fileOf(file, facts) })), []);
  return { ...told, reports: told.reports.map((report, i) => ({ ...report, facts: { ...report.facts, written: join(out, nameOf(good[i]!)) } })) };
}

async function type(words: number, facts: SealedSet | null, out: string | null): Promise<Told> {
  const line = await askForWords(words);
  let file: ShareFile | null = null;
  try {
    file = parseShareFile(line);
    const { told, good } = judge(['the sheet'], [file], facts);
    if (good === null || out === null) return told;
    const bytes = fileOf(good[0]!, facts);
    try {
      write(out, bytes);
    } finally {
      bytes.fill(0);
    }
    return { ...told, facts: { ...told.facts, written: out } };
  } finally {
    line.fill(0);
    if (file !== null) wipeFile(file);
  }
}
