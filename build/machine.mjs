/**
 * This machine, as the build scripts see it: where the project is, which Node it runs on, how commands are run and
 * how people are told about them.
 *
 * Plain Node 20 without any dependency, because it is loaded before anything is installed. It must never hide the
 * output of a command that failed, and never go on after one silently.
 */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
export const cache = join(root, 'build/cache');
export const out = join(root, 'build/out');
export const isRoot = process.getuid?.() === 0;
/** Whether a window can open here. */
export const hasDisplay = Boolean(process.env['DISPLAY'] || process.env['WAYLAND_DISPLAY']);

/** The Node that runs the project: version 24 from the lock file, whatever the machine's own Node is. */
export const projectNode = join(root, 'node_modules/.bin/node');

/** Something a person has to know about: what failed, and what to do next. */
export class Trouble extends Error {
  /**
   * @param {string} what  what failed, in one sentence
   * @param {string} next  what the reader should do now
   * @param {string} [details]  the end of the failed command's output
   */
  constructor(what, next, details = '') {
    super(what);
    this.name = 'Trouble';
    this.next = next;
    this.details = details;
  }
}

/**
 * Prints a trouble (or any other error) for people, on stderr.
 * @param {unknown} error
 */
export function report(error) {
  if (!(error instanceof Trouble)) {
    console.error(error);
    return;
  }
  const last = error.details.trimEnd().split('\n').slice(-25).join('\n');
  if (last !== '') console.error(`\n${last.replace(/^/gm, '    | ')}`);
  console.error(`\n  ✘ ${error.message}\n    ${error.next.replaceAll('\n', '\n    ')}\n`);
}

/**
 * @param {string} command
 * @returns {boolean} whether `command` is found on PATH
 */
export function onPath(command) {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Runs a command to its end and keeps what it printed.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, signal?: AbortSignal }} [options]
 * @returns {Promise<{ code: number, output: string }>}  code is -1 where the command was ended by a signal or not found
 */
export function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let output = '';
    const keep = (/** @type {Buffer} */ chunk) => (output += chunk.toString());
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => resolve({ code: -1, output: `${output}\n${error.message}` }));
    child.on('close', (code) => resolve({ code: code ?? -1, output }));
  });
}

/**
 * npm, run by the machine's own Node: `npm ci` takes node_modules away, and with it the Node in it.
 * @param {readonly string[]} args
 */
export function npm(args) {
  const cli = process.env['npm_execpath'];
  const node = process.env['npm_node_execpath'];
  return cli !== undefined && node !== undefined && existsSync(cli) && /npm-cli\.c?js$/.test(cli)
    ? run(node, [cli, ...args])
    : run('npm', args);
}

/**
 * A display of its own: no window opens on somebody's desk, and every run sees the same size.
 * @template T
 * @param {(display: string) => Promise<T>} use
 */
export async function withDisplay(use) {
  if (!onPath('Xvfb')) {
    throw new Trouble('Xvfb is not installed, and windows are tested and measured on it.', 'Run: node build/setup.mjs --for-tests');
  }
  // setpriv: it ends when we do, however we end.
  const args = ['--pdeathsig', 'TERM', 'Xvfb', '-displayfd', '3', '-screen', '0', '1920x1200x24', '-nolisten', 'tcp'];
  const server = spawn('setpriv', args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  try {
    const number = await new Promise((resolve, reject) => {
      server.stdio[3]?.once('data', (chunk) => resolve(String(chunk).trim()));
      server.once('exit', () => reject(new Trouble('Xvfb does not start.', 'Try it by hand: Xvfb :99')));
    });
    return await use(`:${number}`);
  } finally {
    server.kill();
  }
}

/** @typedef {(text: string) => void} Say  tells people, in one line, what is going on */

/**
 * One step of the work: says that it begins, that it is still going on, and how long it took.
 * @template T
 * @param {string} name
 * @param {(say: Say) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function step(name, work) {
  const begun = performance.now();
  const seconds = () => `${((performance.now() - begun) / 1000).toFixed(1)} s`;
  console.log(`  … ${name}`);
  const stillGoing = setInterval(() => console.log(`    still working on it (${seconds()})`), 20_000);
  try {
    const result = await work((text) => console.log(`    ${text}`));
    console.log(`  ✔ ${name} (${seconds()})`);
    return result;
  } finally {
    clearInterval(stillGoing);
  }
}

/**
 * Which of these Debian packages are missing. Provided names count too: later Debian versions rename libraries.
 * @param {readonly string[]} packages
 * @returns {readonly string[] | undefined}  undefined where this is no Debian, so that nobody can tell
 */
export function missingDebianPackages(packages) {
  const format = '${db:Status-Status}\\t${Package}\\t${Provides}\\n';
  const asked = spawnSync('dpkg-query', ['--show', `--showformat=${format}`], { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (asked.status !== 0) return undefined;
  return missingFrom(asked.stdout, packages);
}

/**
 * @param {string} listing  dpkg-query's lines: status, package, provided names
 * @param {readonly string[]} packages
 */
export function missingFrom(listing, packages) {
  const present = new Set();
  for (const line of listing.split('\n')) {
    const [status, name, provides = ''] = line.split('\t');
    if (status !== 'installed') continue;
    present.add(name);
    for (const provided of provides.split(',')) present.add(provided.trim().split(' ')[0]);
  }
  return packages.filter((name) => !present.has(name));
}

/**
 * Installs Debian packages. Call only as root and only with packages that are missing.
 * @param {readonly string[]} packages
 */
export async function installDebianPackages(packages) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await run('apt-get', ['update', '-q'], { env }); // its failure shows in the next line, with a better message
  const { code, output } = await run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...packages], { env });
  if (code !== 0) {
    throw new Trouble(
      `apt-get could not install ${packages.join(' ')}.`,
      'Read its message above, put that right (often: no network, or another apt-get is running), then run the same command again.',
      output,
    );
  }
}

/** @param {readonly string[]} packages */
export const aptCommand = (packages) => `sudo apt-get install --no-install-recommends ${packages.join(' ')}`;
