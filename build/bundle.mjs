/**
 * Bundles the app into build/out: one file per process, the renderer's page with its fonts, the ceremonies that ship.
 *
 *   node build/bundle.mjs        builds if any input changed
 *
 * Sources run as they are in tests and in the terminal (Node 24 strips the types); Electron's processes need bundles.
 * It must never reach the network, and two checkouts with the same inputs must give the same bytes and the same build
 * id: that id stands in entry 0 of every transcript.
 */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { Trouble, cache, out, report, root, step } from './machine.mjs';

/** Native modules and Electron itself are loaded, not bundled. */
const EXTERNAL = ['electron', 'better-sqlite3', 'pkcs11js', 'koffi', 'smartcard'];

/** @type {readonly { from: readonly string[], to: string, for: 'electron' | 'preload' | 'node' | 'page' }[]} */
const BUNDLES = [
  { from: ['electron/main.ts'], to: 'main.cjs', for: 'electron' },
  { from: ['electron/preload.cts', 'electron/preload.ts'], to: 'preload.cjs', for: 'preload' },
  { from: ['electron/booth/preload.cts', 'electron/booth/preload.ts'], to: 'booth/preload.cjs', for: 'preload' },
  { from: ['electron/devices/process.ts'], to: 'devices.cjs', for: 'node' },
  { from: ['electron/devices/work.ts'], to: 'work.cjs', for: 'node' }, // a thread of the device process
  { from: ['electron/conductor/process.ts'], to: 'conductor.cjs', for: 'node' },
  { from: ['renderer/main.tsx'], to: 'renderer/main.js', for: 'page' },
];

/** Files that are taken as they are. @type {readonly { from: string, to: string, only: RegExp }[]} */
const COPIES = [
  { from: 'electron/booth', to: 'booth', only: /\.(html|css)$/ },
  { from: 'renderer', to: 'renderer', only: /^index\.html$/ },
  { from: 'ceremonies/scripts', to: 'scripts', only: /\.yaml$/ },
];

/** @param {string} folder @returns {string[]} every file under it, as paths from the project's root */
function filesUnder(folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => !path.split('/').some((part) => part.startsWith('.')));
}

/**
 * The build id: SHA-256 over the list of the inputs' SHA-256, as sha256sum prints it. Anyone can recompute it:
 *   find ceremonies electron renderer package-lock.json build/bundle.mjs -type f -not -path '*\/.*' |
 *     LC_ALL=C sort | xargs sha256sum | sha256sum
 * The lock file stands for all dependencies; it holds their digests.
 */
export function buildId() {
  const inputs = [...['ceremonies', 'electron', 'renderer'].flatMap(filesUnder), 'package-lock.json', 'build/bundle.mjs'];
  const sha256 = (/** @type {string | Buffer} */ data) => createHash('sha256').update(data).digest('hex');
  const inOrder = inputs.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return sha256(inOrder.map((path) => `${sha256(readFileSync(join(root, path)))}  ${path}\n`).join(''));
}

/** Builds build/out unless it is there already, made from the same inputs. */
export async function bundle() {
  const id = buildId();
  const idFile = join(out, 'build-id');
  if (existsSync(idFile) && readFileSync(idFile, 'utf8').trim() === id) return;
  await step('Bundles', async () => {
    const fresh = join(cache, `out-${process.pid}`); // swapped in at the end, so that a running app never sees half a build
    rmSync(fresh, { recursive: true, force: true });
    try {
      mkdirSync(fresh, { recursive: true });
      for (const wanted of BUNDLES) await bundleOne(wanted, fresh, id);
      for (const { from, to, only } of COPIES) {
        for (const path of filesUnder(from).filter((file) => only.test(relative(from, file)))) {
          cpSync(join(root, path), join(fresh, to, relative(from, path)));
        }
      }
      demandWholePage(join(fresh, 'renderer'));
      writeFileSync(join(fresh, 'build-id'), `${id}\n`);
      rmSync(out, { recursive: true, force: true });
      renameSync(fresh, out);
    } finally {
      rmSync(fresh, { recursive: true, force: true });
    }
  });
}

/**
 * @param {typeof BUNDLES[number]} wanted
 * @param {string} fresh
 * @param {string} id
 */
async function bundleOne(wanted, fresh, id) {
  const source = wanted.from.find((path) => existsSync(join(root, path)));
  if (source === undefined) throw new Trouble(`${wanted.from.join(' or ')} is missing.`, 'Restore the file; it is part of the app.');
  const { build } = await import('esbuild');
  const page = wanted.for === 'page';
  // A sandboxed preload has no node:url, and nothing to look for beside it.
  const hasFiles = wanted.for === 'electron' || wanted.for === 'node';
  try {
    await build({
      absWorkingDir: root,
      entryPoints: { [wanted.to.replace(/\.c?js$/, '')]: source },
      outdir: fresh,
      outExtension: page ? {} : { '.js': '.cjs' },
      bundle: true,
      format: page ? 'esm' : 'cjs',
      platform: page ? 'browser' : 'node',
      // The oldest runtime we start on: Electron 33 has Chromium 130 and Node 20.
      target: page ? 'chrome130' : 'node20',
      // The older .woff stand behind each .woff2 and are never fetched.
      external: page ? ['*.woff'] : EXTERNAL,
      minify: true,
      keepNames: !page, // class names stand in errors that people read; the page shows none, and starts sooner
      sourcemap: 'linked',
      sourcesContent: false,
      legalComments: 'none',
      define: {
        __BUILD_ID__: JSON.stringify(id),
        'process.env.NODE_ENV': '"production"',
        ...(!hasFiles ? {} : { 'import.meta.url': '__bundleUrl', 'import.meta.dirname': '__dirname', 'import.meta.filename': '__filename' }),
      },
      ...(!hasFiles ? {} : { banner: { js: `const __bundleUrl = require('node:url').pathToFileURL(__filename).href;` } }),
      loader: { '.woff2': 'file' },
      assetNames: 'renderer/fonts/[name]',
      // The first screen loads what it needs; the fold and the other screens come when they are asked for.
      splitting: page,
      chunkNames: 'renderer/[name]-[hash]',
      logLevel: 'silent',
    });
  } catch (error) {
    const { formatMessages } = await import('esbuild');
    const { errors = [] } = /** @type {import('esbuild').BuildFailure} */ (error);
    const messages = await formatMessages(errors, { kind: 'error', color: false });
    throw new Trouble(`${source} cannot be bundled.`, 'Correct the source, then run the same command again.', messages.join('\n') || String(error));
  }
}

/** The page may name only files that are there: it is served without a network, and a missing one shows as nothing. */
function demandWholePage(/** @type {string} */ folder) {
  const page = join(folder, 'index.html');
  if (!existsSync(page)) return;
  for (const [, name = ''] of readFileSync(page, 'utf8').matchAll(/(?:src|href)="([^"#]+)"/g)) {
    if (!existsSync(join(dirname(page), name))) {
      throw new Trouble(
        `renderer/index.html names ${name}, which is no file of the bundle.`,
        'Its script is called main.js, its style sheet main.css.',
      );
    }
  }
}

if (process.argv[1] === import.meta.filename) {
  try {
    await bundle();
    console.log(`  ✔ build ${buildId()}`);
  } catch (error) {
    report(error);
    process.exit(1);
  }
}
