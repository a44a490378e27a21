/**
 * Two programs of later Debian versions that tests measure the app against, unpacked into build/cache and never installed:
 *
 *   pqtoken/   the software token of NSS (libnss3 of forky, else sid): PKCS#11 3.2 with ML-DSA and ML-KEM
 *   openssl/   an OpenSSL that knows FIPS 204 and 205, and KEM recipients in CMS (3.6, of forky, else sid), run by its own loader with its own C library
 *
 * They come from the Debian mirror that this machine is set up for, through an apt with a state of its own: it must never
 * change anything of the system's apt, install a package, or ship with the app. The app itself needs neither.
 */
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Trouble, cache, isRoot, projectNode, root, run, step } from './machine.mjs';

/** Debian packages that preparing them takes. */
export const FOREIGN_NEEDS = ['patchelf', 'libnspr4', 'libsqlite3-0'];

/** What is there afterwards. */
export const PQ_TOKEN = join(cache, 'pqtoken/libsoftokn3.so');
export const OPENSSL = join(cache, 'openssl/openssl');

/** Raised when the way of preparing changes, so that what an older checkout left is prepared anew. */
const RECIPE = 3;
const LIBRARIES = 'usr/lib/x86_64-linux-gnu';
const RELEASE_KEYS = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** @typedef {(from: string, to: string, about: { suite: string, packages: string[] }) => Promise<string>} Prepare */

/**
 * `prepare` fills the folder `to` from the unpacked packages in `from` and returns what it found, in a few words; it
 * throws Trouble where this suite will not do.
 * @type {readonly { name: string, folder: string, file: string, suites: readonly string[], packages: readonly string[], prepare: Prepare }[]}
 */
const FOREIGN = [
  { name: 'NSS token with post-quantum keys', folder: 'pqtoken', file: PQ_TOKEN, suites: ['forky', 'sid'], packages: ['libnss3'], prepare: preparePqToken },
  {
    name: 'OpenSSL with post-quantum keys', folder: 'openssl', file: OPENSSL, suites: ['forky', 'sid'],
    packages: ['openssl', 'libssl3t64', 'libc6', 'libzstd1', 'zlib1g'], prepare: prepareOpenssl,
  },
];

/** Prepares what is missing. Where nothing is, it only looks at two small files. */
export async function haveForeignPrograms() {
  for (const wanted of FOREIGN) {
    if (existsSync(wanted.file) && aboutOf(wanted.folder)?.recipe === RECIPE) continue;
    await step(wanted.name, async (say) => {
      const fresh = join(cache, `${wanted.folder}-${process.pid}`); // moved into place when it works
      try {
        const found = await fromFirstSuite(wanted, fresh, say);
        rmSync(join(cache, wanted.folder), { recursive: true, force: true });
        renameSync(join(fresh, 'ready'), join(cache, wanted.folder));
        say(found);
      } finally {
        rmSync(fresh, { recursive: true, force: true });
      }
    });
  }
}

/** @param {string} folder @returns {{ recipe: number, suite: string, packages: string[], found: string } | undefined} */
function aboutOf(folder) {
  try {
    return JSON.parse(readFileSync(join(cache, folder, 'about.json'), 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * @param {typeof FOREIGN[number]} wanted
 * @param {string} fresh
 * @param {import('./machine.mjs').Say} say
 */
async function fromFirstSuite({ suites, packages, prepare }, fresh, say) {
  for (const [index, suite] of suites.entries()) {
    const ready = join(fresh, 'ready');
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(ready, { recursive: true });
    try {
      say(`${packages.join(' ')} of Debian ${suite}`);
      const unpacked = await unpackedFrom(suite, packages, fresh);
      const about = { suite, packages: unpacked.versions };
      const found = await prepare(unpacked.folder, ready, about);
      writeFileSync(join(ready, 'about.json'), `${JSON.stringify({ recipe: RECIPE, ...about, found }, undefined, 2)}\n`);
      return found;
    } catch (error) {
      const next = suites[index + 1];
      if (!(error instanceof Trouble) || next === undefined) throw error;
      say(`${error.message} Trying ${next}.`);
    }
  }
  throw new Error('no suite was given');
}

/**
 * Downloads packages of another Debian suite and unpacks them into one folder.
 * @param {string} suite
 * @param {readonly string[]} packages
 * @param {string} place  a folder for apt's state and the result
 * @returns {Promise<{ folder: string, versions: string[] }>}
 */
async function unpackedFrom(suite, packages, place) {
  for (const folder of ['lists/partial', 'cache/archives/partial', 'none', 'unpacked']) mkdirSync(join(place, folder), { recursive: true });
  writeFileSync(join(place, 'status'), '');
  writeFileSync(join(place, 'suite.sources'), [
    'Types: deb', `URIs: ${await debianMirror()}`, `Suites: ${suite}`, 'Components: main',
    ...(existsSync(RELEASE_KEYS) ? [`Signed-By: ${RELEASE_KEYS}`] : []), '',
  ].join('\n'));
  // After the system's own settings, of which a proxy may be one; its hooks are for its own lists.
  const settings = join(place, 'apt.conf');
  writeFileSync(settings, [
    '#clear APT::Update;', '#clear APT::Architectures;', 'APT::Architectures { "amd64"; };', 'Acquire::Languages "none";', 'APT::Update::Error-Mode "any";',
    `Dir::Etc::sourcelist "${place}/suite.sources";`, `Dir::Etc::sourceparts "${place}/none";`,
    'Dir::Etc::preferences "/dev/null";', `Dir::Etc::preferencesparts "${place}/none";`,
    `Dir::State "${place}";`, `Dir::State::Lists "${place}/lists";`, `Dir::State::status "${place}/status";`, `Dir::Cache "${place}/cache";`,
    ...(isRoot ? ['APT::Sandbox::User "root";'] : []), '',
  ].join('\n'));
  const apt = (/** @type {string[]} */ ...args) =>
    demand('apt-get', ['-q', '-c', settings, ...args], place, `Debian ${suite} could not be fetched from the mirror.`,
      'Check that this machine reaches its Debian mirror (apt-get update), then run the same command again.');
  await apt('update');
  await apt('download', ...packages);
  const archives = readdirSync(place).filter((name) => name.endsWith('.deb')).sort();
  const folder = join(place, 'unpacked');
  for (const archive of archives) {
    await demand('dpkg-deb', ['-x', join(place, archive), folder], place, `${archive} cannot be unpacked.`, 'Is the disk full? Then run the same command again.');
  }
  return { folder, versions: archives.map((name) => decodeURIComponent(basename(name, '.deb'))) };
}

/** The address of this Debian's own archive, from apt, which reads both formats of its sources. */
async function debianMirror() {
  const { code, output } = await run('apt-get', ['indextargets', '--format', '$(REPO_URI) $(CODENAME) $(COMPONENT)', 'Created-By: Packages']);
  const codename = /^VERSION_CODENAME="?(\w+)/m.exec(existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '')?.[1];
  const line = output.split('\n').map((text) => text.split(' ')).find(([, release, component]) => release === codename && component === 'main');
  if (code !== 0 || codename === undefined || line?.[0] === undefined) {
    throw new Trouble(
      'No Debian mirror is known here, and tests need two programs of later Debian versions.',
      `Use Debian 12 with a mirror in /etc/apt, or copy ${dirname(PQ_TOKEN)} and ${dirname(OPENSSL)} from such a machine.`,
      output,
    );
  }
  return line[0];
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {string} cwd
 * @param {string} what  what it means when this fails
 * @param {string} next
 */
async function demand(command, args, cwd, what, next) {
  const { code, output } = await run(command, args, { cwd, env: { ...process.env, LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive' } });
  if (code !== 0) throw new Trouble(what, next, output);
  return output;
}

// --- the token -----------------------------------------------------------------------------------------------------------

const CKM_ML_KEM_KEY_PAIR_GEN = 0xf; // PKCS#11 3.2, pkcs11t.h
const CKM_ML_DSA_KEY_PAIR_GEN = 0x1c;

/** Prints what the module says of itself. Runs in the project's Node, in a process of its own: the module may crash it. */
const PROBE = `
  const pkcs11 = new (require('pkcs11js').PKCS11)();
  pkcs11.load(process.argv[1]);
  // No databases. The blank at the end is for pkcs11js, which drops the last character.
  pkcs11.C_Initialize({ libraryParameters: "configdir='' flags=readOnly,noCertDB,noModDB  ", flags: 2 });
  const { libraryVersion: { major, minor } } = pkcs11.C_GetInfo();
  console.log(JSON.stringify({ version: major + '.' + minor, mechanisms: pkcs11.C_GetMechanismList(pkcs11.C_GetSlotList(true).at(-1)) }));
  process.exit();
`;

/** @type {Prepare} */
async function preparePqToken(from, to, { suite }) {
  for (const name of ['libsoftokn3.so', 'libfreebl3.so', 'libfreeblpriv3.so', 'libnssutil3.so']) {
    const bytes = readFileSync(join(from, LIBRARIES, name));
    // Electron and Node have an older libnssutil3.so in the process already, and the loader would take that one. A name of
    // the same length, in the libraries' own tables, makes it another library.
    renamed(bytes, 'libnssutil3.so', 'libnssutilQ.so');
    // The loader would still bind by symbol and version to the older library, which is there first. These versions have another
    // name with the same ELF hash (in h = 16h + c, one more in a letter is sixteen less in the next), so no table changes.
    renamed(bytes, 'NSSUTIL_3', 'NSSUU9L_3');
    writeFileSync(join(to, name.replace('nssutil3', 'nssutilQ')), bytes);
  }
  await demand('patchelf', ['--set-rpath', '$ORIGIN', join(to, 'libsoftokn3.so')], to, 'The NSS token cannot be told where its libraries are.',
    'Install patchelf, then run the same command again.');
  const told = await demand(projectNode, ['-e', PROBE, join(to, 'libsoftokn3.so')], root, `The NSS token of Debian ${suite} does not start here.`,
    'Read its message above; a C library older than the one it was made for is the usual reason.');
  const { version, mechanisms } = /** @type {{ version: string, mechanisms: number[] }} */ (JSON.parse(told));
  const has = { 'ML-DSA': mechanisms.includes(CKM_ML_DSA_KEY_PAIR_GEN), 'ML-KEM': mechanisms.includes(CKM_ML_KEM_KEY_PAIR_GEN) };
  const found = `NSS softoken ${version} of ${suite}, ${mechanisms.length} mechanisms: ${Object.entries(has).map(([name, is]) => `${is ? '' : 'no '}${name}`).join(', ')}`;
  if (!Object.values(has).every(Boolean)) throw new Trouble(`${found}.`, 'Tests need a softoken with both; look for one in a later Debian suite.');
  return found;
}

/** @param {Buffer} bytes @param {string} from @param {string} to of the same length */
function renamed(bytes, from, to) {
  for (let at = bytes.indexOf(from); at !== -1; at = bytes.indexOf(from, at)) bytes.write(to, at, 'latin1');
}

// --- openssl -------------------------------------------------------------------------------------------------------------

const WRAPPER = `#!/bin/sh
# The openssl beside this file, run by its own loader with its own libraries and settings.
here=$(dirname "$(readlink -f "$0")")
: "\${OPENSSL_CONF=$here/openssl.cnf}" "\${OPENSSL_MODULES=$here/lib}"
export OPENSSL_CONF OPENSSL_MODULES
exec "$here/lib/ld-linux-x86-64.so.2" --inhibit-cache --library-path "$here/lib" "$here/lib/openssl" "$@"
`;

/** @type {Prepare} */
async function prepareOpenssl(from, to) {
  const lib = join(to, 'lib');
  mkdirSync(lib);
  cpSync(join(from, 'usr/bin/openssl'), join(lib, 'openssl'));
  for (const name of ['libssl.so.3', 'libcrypto.so.3', 'libc.so.6', 'libzstd.so.1', 'libz.so.1', 'ld-linux-x86-64.so.2']) {
    copyFileSync(join(from, LIBRARIES, name), join(lib, name)); // a copy of what a link leads to
    chmodSync(join(lib, name), 0o755);
  }
  copyFileSync(join(from, 'etc/ssl/openssl.cnf'), join(to, 'openssl.cnf'));
  writeFileSync(join(to, 'openssl'), WRAPPER, { mode: 0o755 });
  const algorithms = await demand(join(to, 'openssl'), ['list', '-signature-algorithms'], to, 'The unpacked OpenSSL does not run here.', 'Read its message above.');
  const version = (await demand(join(to, 'openssl'), ['version'], to, 'The unpacked OpenSSL does not run here.', 'Read its message above.')).trim();
  for (const name of ['ML-DSA-65', 'SLH-DSA-SHA2-128s']) {
    if (!algorithms.includes(name)) throw new Trouble(`${version} does not know ${name}.`, 'Tests need OpenSSL 3.5 or later; look for it in a later Debian suite.');
  }
  return version;
}
