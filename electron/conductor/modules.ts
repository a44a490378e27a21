/**
 * PKCS#11 modules as files: which may run, which could, and whether one is still what it was.
 *
 * Only modules.json (machine.ts) makes a module run. Before each start its file is vetted here, and its SHA-256 is pinned on
 * first use in modules-seen.json. What else lies on this machine is offered as candidates and never loaded, not even to look
 * whether it is a module: choosing a module is choosing code to run, and that is the administrator's decision.
 */
import { hash } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, readdirSync, readFileSync, readSync, realpathSync, renameSync, statSync, writeSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import * as z from 'zod';
import { Refused, refuse, type Refusal } from '../../ceremonies/refusal.ts';
import type { Library, ModuleReport } from '../contract.ts';
import type { ModuleConfig } from '../devices/protocol.ts';
import known from './known-modules.json' with { type: 'json' };

const SEEN_FILE = 'modules-seen.json';
/** By the path that modules.json names. */
const Seen = z.strictObject({
  modules: z.record(z.string().max(512), z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/), since: z.string().max(32) })),
});
type Seen = z.infer<typeof Seen>;

// --- one file --------------------------------------------------------------------------------------------------------

/** e_machine of the ELF header, by Node's names. */
const MACHINES: Readonly<Record<string, number>> = { x64: 0x3e, arm64: 0xb7 };
const ELF_BYTES = 20;
const ET_DYN = 3;
const STICKY = 0o1000;
const WRITABLE_BY_OTHERS = 0o022;
const LARGEST = 512 * 1024 * 1024;

/** Looks at a library without loading it. What is wrong with it stands in `refusal`. */
export function examineLibrary(path: string): Library {
  let file: string | null = null;
  let sha256: string | null = null;
  const verdict = (refusal: Refusal | null): Library => ({ path, file, sha256, refusal });
  try {
    if (!isAbsolute(path)) return verdict(refuse('MODULE-FILE', 'an absolute path to a library', path, 'Correct the path in modules.json: a name alone would be searched for in places that others may write to.'));
    file = realpathSync(path);
    const stat = statSync(file);
    if (!stat.isFile() || stat.size > LARGEST) return verdict(refuse('MODULE-FILE', 'a library', stat.isFile() ? `a file of ${stat.size} bytes` : 'no file', 'Correct the path in modules.json.'));
    const owner = ownerFault(file, stat.uid, stat.mode);
    if (owner !== null) return verdict(owner);
    const architecture = architectureFault(file);
    if (architecture !== null) return verdict(architecture);
    sha256 = hash('sha256', readFileSync(file));
    return verdict(null);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return verdict(refuse('MODULE-FILE', `a library at ${path}`, code === 'ENOENT' ? 'no file' : code, 'Install the library, or correct the path in modules.json.'));
  }
}

function ownerFault(file: string, uid: number, mode: number): Refusal | null {
  const trusted = (id: number): boolean => id === 0 || id === process.getuid?.();
  const fault = (what: string, id: number, bits: number) => refuse(
    'MODULE-OWNER', `${what} owned by root or you, and writable by nobody else`, `owner ${id}, mode ${(bits & 0o7777).toString(8)}`,
    'Correct owner and mode: whoever may write there decides which code sees the PIN.',
  );
  if (!trusted(uid) || (mode & WRITABLE_BY_OTHERS) !== 0) return fault('a library', uid, mode);
  const folder = statSync(dirname(file));
  // With the sticky bit others may add files there, and not take this one away.
  const open = (folder.mode & WRITABLE_BY_OTHERS) !== 0 && (folder.mode & STICKY) === 0;
  return trusted(folder.uid) && !open ? null : fault(`its folder ${dirname(file)}`, folder.uid, folder.mode);
}

function architectureFault(file: string): Refusal | null {
  const head = Buffer.alloc(ELF_BYTES);
  const descriptor = openSync(file, 'r');
  let read: number;
  try {
    read = readSync(descriptor, head, 0, ELF_BYTES, 0);
  } finally {
    closeSync(descriptor);
  }
  const expected = `a shared library (ELF) for ${process.arch}`;
  const fault = (found: string) => refuse('MODULE-ARCHITECTURE', expected, found, 'Install the vendor\'s library for this machine, or correct the path in modules.json.');
  if (read < ELF_BYTES || head.toString('latin1', 0, 4) !== '\x7fELF') return fault('another kind of file');
  if (head[4] !== 2 || head[5] !== 1) return fault('one for another word size or byte order');
  if (head.readUInt16LE(16) !== ET_DYN) return fault('a program, not a library');
  const machine = head.readUInt16LE(18);
  return machine === MACHINES[process.arch] ? null : fault(`one for machine 0x${machine.toString(16)}`);
}

// --- pins ------------------------------------------------------------------------------------------------------------

/** Throws `Refused` MODULES-SEEN for a file that is not what this program wrote: it is never begun anew by itself. */
function readSeen(home: string): Seen {
  const file = join(home, SEEN_FILE);
  if (!existsSync(file)) return { modules: {} };
  const { mode, uid } = statSync(file);
  const fault = (found: string) => new Refused(refuse('MODULES-SEEN', `${SEEN_FILE} as this program wrote it, yours alone`, found, 'Find out who changed it. The administrator may delete it; every module is then pinned anew at its next use.'));
  if ((uid !== 0 && uid !== process.getuid?.()) || (mode & WRITABLE_BY_OTHERS) !== 0) throw fault(`owner ${uid}, mode ${(mode & 0o777).toString(8)}`);
  try {
    return Seen.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    throw fault('something else');
  }
}

/** Whole or not at all, also after a power cut. */
function writeSeen(home: string, seen: Seen): void {
  const path = join(home, SEEN_FILE);
  const temporary = `${path}.part`;
  try {
    const file = openSync(temporary, 'w', 0o600);
    try {
      writeSync(file, `${JSON.stringify(seen, null, 2)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    const folder = openSync(home, 'r');
    fsyncSync(folder);
    closeSync(folder);
  } catch (error) {
    throw new Refused(refuse('DISK-WRITE', `a durable file ${path}`, (error as NodeJS.ErrnoException).code ?? 'an error', 'Free some space or repair the disk. No module was loaded.'));
  }
}

/**
 * Whether this module may be loaded now; pins it at its first use (`now`). Returns the SHA-256 that was vetted, null for the
 * embedded token. Throws `Refused` MODULE-FILE, MODULE-OWNER, MODULE-ARCHITECTURE, MODULE-CHANGED, MODULES-SEEN, DISK-WRITE.
 */
export function vetModule(config: ModuleConfig, home: string, now: Date): string | null {
  if (config.kind !== 'pkcs11') return null;
  const { sha256, refusal } = examineLibrary(config.path);
  if (refusal !== null || sha256 === null) throw new Refused(refusal ?? refuse('MODULE-FILE', 'a library', config.path, 'Correct the path in modules.json.'));
  const seen = readSeen(home);
  const pinned = seen.modules[config.path];
  if (pinned === undefined) writeSeen(home, { modules: { ...seen.modules, [config.path]: { sha256, since: now.toISOString() } } });
  else if (pinned.sha256 !== sha256) throw new Refused(moduleChanged(config, pinned, sha256));
  return sha256;
}

/** For a library that is another one than was vetted. */
export function moduleChanged({ name, path }: { readonly name: string; readonly path: string }, pinned: { readonly sha256: string; readonly since?: string }, found: string): Refusal {
  return refuse('MODULE-CHANGED', `module ${name} with SHA-256 ${pinned.sha256}${pinned.since === undefined ? '' : `, as on ${pinned.since.slice(0, 10)}`}`, `SHA-256 ${found}`,
    `If it was updated on purpose, compare the new SHA-256 with the vendor's; the administrator then removes ${path} from ${SEEN_FILE} in the data folder. If it was not, do not use this machine.`);
}

// --- what there is ---------------------------------------------------------------------------------------------------

/** Where candidates are looked for; what stands later in `p11kit` goes before what stands earlier. */
export interface Places {
  readonly files: readonly string[];
  readonly folders: readonly string[];
  readonly p11kit: readonly string[];
}

/** `userHome`: p11-kit reads modules of its user too (pkcs11.conf(5)). */
export function placesOf(userHome: string): Places {
  return { files: known.files, folders: known.folders, p11kit: [...known.p11kit, join(userHome, '.config', 'pkcs11', 'modules')] };
}

/** The name under which a *.module file would enable or disable this program. */
const PROGRAM = 'conclave';

/** Every module that runs or could. Loads none. Throws `Refused` MODULES-SEEN. */
export function moduleReport(modules: readonly ModuleConfig[], home: string, surroundings: NodeJS.ProcessEnv, places: Places): ModuleReport {
  const seen = readSeen(home);
  const configured = modules.flatMap((module): ModuleReport['configured'] => {
    if (module.kind === 'recorder' || module.kind === 'readers') return [];
    if (module.kind === 'software') return [{ name: module.name, library: null, pinned: null, environment: [] }];
    const library = examineLibrary(module.path);
    const pinned = Object.hasOwn(seen.modules, module.path) ? seen.modules[module.path]! : null;
    const changed = library.sha256 !== null && pinned !== null && pinned.sha256 !== library.sha256;
    return [{
      name: module.name, pinned, environment: environmentOf(module.env, surroundings),
      library: changed ? { ...library, refusal: moduleChanged(module, pinned, library.sha256) } : library,
    }];
  });
  const byFile = new Map(configured.flatMap(({ name, library }) => (library === null || library.file === null ? [] : [[library.file, name] as const])));
  const met = new Map<string, string>();
  const candidates = found(places).map(({ name, path, from, skipped }): ModuleReport['candidates'][number] => {
    const library = examineLibrary(path);
    const before = library.file === null ? undefined : met.get(library.file);
    if (library.file !== null && skipped === null && before === undefined) met.set(library.file, path);
    return {
      name, from, library, configuredAs: (library.file === null ? undefined : byFile.get(library.file)) ?? null,
      skipped: skipped ?? (before === undefined ? null : `the same file as ${before}`),
    };
  });
  return { configured, candidates };
}

function environmentOf(own: Readonly<Record<string, string>>, surroundings: NodeJS.ProcessEnv): ModuleReport['configured'][number]['environment'] {
  const around = known.variables.flatMap((name) => (Object.hasOwn(own, name) || surroundings[name] === undefined ? [] : [{ name, value: surroundings[name], from: 'surroundings' as const }]));
  return [...Object.entries(own).map(([name, value]) => ({ name, value, from: 'modules.json' as const })), ...around];
}

interface Candidate { readonly name: string; readonly path: string; readonly from: string; readonly skipped: string | null }

/** p11-kit's own modules first, because their *.module files say more than a path does. */
function found({ files, folders, p11kit }: Places): Candidate[] {
  const named = p11kitModules(p11kit, folders);
  const listed = [...files.filter((file) => existsSync(file)), ...folders.flatMap((folder) => entriesOf(folder, '.so').map((file) => join(folder, file)))];
  return [
    ...named,
    ...[...new Set(listed)].filter((path) => !named.some((module) => module.path === path)).map((path) => ({ name: basename(path), path, from: 'well-known path', skipped: unwanted(path) })),
  ];
}

function unwanted(path: string): string | null {
  const name = basename(path);
  if (/^pkcs11-spy\b/.test(name)) return 'pkcs11-spy writes PINs in clear into a file';
  if (/^p11-kit-proxy\b/.test(name)) return 'p11-kit-proxy offers the other modules once more';
  return null;
}

/** pkcs11.conf(5): one module a file, `name: value` a line; a later folder's file of the same name changes single settings. */
function p11kitModules(folders: readonly string[], libraries: readonly string[]): Candidate[] {
  const modules = new Map<string, { from: string; settings: Record<string, string> }>();
  for (const folder of folders) {
    for (const file of entriesOf(folder, '.module')) {
      const from = join(folder, file);
      modules.set(file, { from, settings: { ...modules.get(file)?.settings, ...settingsOf(from) } });
    }
  }
  return [...modules].map(([file, { from, settings }]) => {
    const library = settings['module'] ?? '';
    // A bare name is searched for where p11-kit's modules are (pkcs11.conf(5), "module").
    const path = isAbsolute(library) ? library : libraries.map((folder) => join(folder, library)).find((candidate) => library !== '' && existsSync(candidate)) ?? library;
    return { name: basename(file, '.module'), path, from, skipped: unwanted(path) ?? disabled(settings) };
  });
}

function disabled(settings: Readonly<Record<string, string>>): string | null {
  const programs = (name: string): string[] => (settings[name] ?? '').split(/[\s,]+/).filter((program) => program !== '');
  if (settings['remote'] !== undefined) return 'it runs a command and speaks to it: no library';
  if (settings['module'] === undefined || settings['module'] === '') return 'its file names no library';
  if (settings['enable-in'] !== undefined && !programs('enable-in').includes(PROGRAM)) return `enable-in names only: ${programs('enable-in').join(', ')}`;
  if (programs('disable-in').includes(PROGRAM)) return `disable-in names ${PROGRAM}`;
  return null;
}

function settingsOf(file: string): Record<string, string> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return {};
  }
  return Object.fromEntries(text.slice(0, 65_536).split('\n').flatMap((line) => {
    const setting = /^\s*([a-z][a-z0-9-]*)\s*:\s*(.*?)\s*$/.exec(line);
    return setting === null ? [] : [[setting[1]!, setting[2]!]];
  }));
}

function entriesOf(folder: string, suffix: string): string[] {
  try {
    return readdirSync(folder).filter((file) => file.endsWith(suffix)).sort();
  } catch {
    return [];
  }
}
