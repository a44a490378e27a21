/**
 * `npm test`: everything, in order, and at the end one line that says how it went.
 *
 *   node build/test.mjs [--static] [--only PATTERN]
 *
 *   --static         types, lint and layer rules only
 *   --only PATTERN   only the test files whose path contains PATTERN
 *
 * A static stage counts as one test. It must never exit with 0 when something failed, was skipped, or when nothing ran.
 */
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { Trouble, cache, isRoot, projectNode, report, root, withDisplay } from './machine.mjs';

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

const bin = (/** @type {string} */ name) => join(root, 'node_modules', name);
/** @type {readonly { name: string, args: readonly string[] }[]} */
const STATIC_STAGES = [
  { name: 'Types', args: [bin('typescript/bin/tsc'), '--noEmit', '-p', '.'] },
  { name: 'Lint', args: [bin('eslint/bin/eslint.js'), '--config', 'build/lint.config.mjs', '--max-warnings', '0', '.'] },
  {
    name: 'Layer rules',
    args: [bin('dependency-cruiser/bin/dependency-cruiser.mjs'), '--config', 'build/layers.config.cjs', '--output-type', 'err-long',
      'ceremonies', 'electron', 'renderer', 'build', 'test'],
  },
];

const MINUTE = 60_000;
const bold = (/** @type {string} */ text) => (process.stdout.isTTY ? `\x1b[1m${text}\x1b[22m` : text);

/**
 * @param {string} name
 * @param {() => Promise<Counts>} work
 * @param {Counts} total
 */
async function stage(name, work, total) {
  console.log(`\n${bold(name)}`);
  const begun = performance.now();
  const { passed, failed, skipped } = await work();
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  const verdict = failed > 0 ? `✘ ${failed} failed` : `✔ ${passed} passed`;
  console.log(`  ${verdict}${skipped > 0 ? `, ${skipped} skipped` : ''} (${((performance.now() - begun) / 1000).toFixed(1)} s)`);
}

/** @param {readonly string[]} args @returns {Promise<Counts>} */
function staticCheck(args) {
  return new Promise((resolve) => {
    const child = spawn(projectNode, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', () => resolve({ passed: 0, failed: 1, skipped: 0 }));
    child.on('close', (code) => resolve(code === 0 ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 }));
  });
}

/**
 * Runs test files in a process of their own, as the user and with the environment given, and reads its counts from
 * file descriptor 3.
 * @param {readonly string[]} files
 * @param {{ concurrency: number, minutes: number, env?: NodeJS.ProcessEnv, uid?: number | undefined }} how
 * @returns {Promise<Counts>}
 */
function testFiles(files, { concurrency, minutes, env = {}, uid }) {
  return new Promise((resolve) => {
    const worker = [import.meta.filename, '--worker', String(concurrency), String(minutes), ...files];
    const child = spawn(projectNode, worker, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
      // setup has just made the bundles: processes that tests start may be those.
      env: { ...process.env, CONCLAVE_TEST_BUNDLES: '1', ...env },
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    let counts = '';
    child.stdio[3]?.on('data', (chunk) => (counts += String(chunk)));
    child.on('close', () => {
      try {
        resolve(JSON.parse(counts));
      } catch {
        console.log('  ✘ the test runner itself ended early');
        resolve({ passed: 0, failed: 1, skipped: 0 });
      }
    });
  });
}

/**
 * The worker: node:test, with a report that says one line per file, everything about a failure, and the seeds.
 * @param {number} concurrency
 * @param {number} minutes
 * @param {string[]} files
 */
async function work(concurrency, minutes, files) {
  const { run } = await import('node:test');
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for await (const { type, data } of run({ files, concurrency, isolation: 'process', timeout: minutes * MINUTE, cwd: root })) {
    switch (type) {
      case 'test:pass':
      case 'test:fail':
        if (data.details.type === 'suite' && type === 'test:pass') break;
        if (data.skip !== undefined || data.todo !== undefined) {
          counts.skipped += 1;
          console.log(`  - skipped: ${place(data)} ${data.name}`);
        } else if (type === 'test:pass') {
          counts.passed += 1;
        } else {
          // A failed test inside fails everything around it: only the innermost one has something to say.
          const { error } = data.details;
          if (/** @type {{ failureType?: string }} */ (error).failureType === 'subtestsFailed') break;
          counts.failed += 1;
          console.log(`\n  ✘ ${place(data)} ${data.name}\n${explain(error)}\n`);
        }
        break;
      case 'test:diagnostic':
        if (/^seed\b/i.test(data.message)) console.log(`    ${data.message}   ${place(data)}`);
        break;
      case 'test:stderr':
      case 'test:stdout':
        process.stdout.write(data.message.replace(/^(?=.)/gm, '    | '));
        break;
      case 'test:summary':
        if (data.file !== undefined) {
          const { passed, tests } = data.counts;
          const mark = passed === tests ? '✔' : '✘';
          console.log(`  ${mark} ${relative(root, data.file)}  ${passed}/${tests}  ${(data.duration_ms / 1000).toFixed(1)} s`);
        }
        break;
    }
  }
  writeSync(3, JSON.stringify(counts));
}

/** @param {{ file?: string | undefined, line?: number | undefined }} where */
const place = ({ file, line }) => (file === undefined ? '' : `${relative(root, file)}${line === undefined ? '' : `:${line}`}`);

/** @param {Error} error  node:test's wrapper; the reason is its cause */
function explain(error) {
  const cause = error.cause ?? error;
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  const own = text.split('\n').filter((line) => !/^\s+at .*\(?node:/.test(line));
  const refusal = cause instanceof Error && 'refusal' in cause ? `\n${JSON.stringify(cause.refusal, undefined, 2)}` : '';
  return `${own.join('\n')}${refusal}`.replace(/^/gm, '      ');
}

/**
 * Two displays side by side, one file at a time on each: a window without the focus draws and answers otherwise, and two on one
 * display would take it from each other. The largest file first, or the other display waits for it at the end.
 * @param {readonly string[]} files
 * @param {{ env: NodeJS.ProcessEnv, uid?: number | undefined }} how
 * @returns {Promise<Counts>}
 */
async function inWindows(files, { env, uid }) {
  const queue = files.toSorted((a, b) => statSync(join(root, b)).size - statSync(join(root, a)).size);
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const lane = () => withDisplay(async (display) => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const { passed, failed, skipped } = await testFiles([file], { concurrency: 1, minutes: 15, uid, env: { ...env, DISPLAY: display } });
      sum.passed += passed;
      sum.failed += failed;
      sum.skipped += skipped;
    }
  });
  await Promise.all([lane(), lane()]);
  return sum;
}

const NOBODY = 65_534;

/**
 * Whom the end-to-end tests run as. Chromium has no sandbox for root, and the sandbox is part of what is tested: so as
 * root they run as `nobody`, if that user can get at this checkout.
 * @template T
 * @param {(who: { uid?: number, env: NodeJS.ProcessEnv }) => Promise<T>} use
 */
async function asOrdinaryUser(use) {
  if (!isRoot) return use({ env: {} });
  for (let folder = root; ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o005) !== 0o005) {
      console.log(`  ! run as root, without Chromium's sandbox: ordinary users cannot enter ${folder}`);
      return use({ env: {} });
    }
    if (folder === dirname(folder)) break;
  }
  const home = mkdtempSync(join(tmpdir(), 'conclave-tests-'));
  const pictures = join(root, 'test/pictures');
  rmSync(pictures, { recursive: true, force: true }); // those of another user could not be replaced
  mkdirSync(pictures, { recursive: true });
  chmodSync(pictures, 0o1777);
  chownSync(home, NOBODY, NOBODY);
  try {
    return await use({ uid: NOBODY, env: { HOME: home, TMPDIR: home, USER: 'nobody', LOGNAME: 'nobody' } });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** @param {string[]} args */
async function main(args) {
  const onlyStatic = args[0] === '--static' && args.length === 1;
  const only = args[0] === '--only' && args.length === 2 ? args[1] : undefined;
  if (args.length > 0 && !onlyStatic && only === undefined) {
    console.error('usage: node build/test.mjs [--static | --only PATTERN]');
    process.exit(2);
  }
  if (!existsSync(projectNode)) throw new Trouble('The checkout is not set up.', 'Run: node build/setup.mjs --for-tests');

  const total = { passed: 0, failed: 0, skipped: 0 };
  if (only === undefined) {
    for (const { name, args: command } of STATIC_STAGES) await stage(name, () => staticCheck(command), total);
  }
  if (!onlyStatic) {
    const files = readdirSync(join(root, 'test'), { recursive: true })
      .map((name) => `test/${String(name)}`)
      .filter((path) => path.endsWith('.test.ts') && (only === undefined || path.includes(only)))
      .sort();
    const endToEnd = files.filter((path) => path.startsWith('test/e2e/'));
    const others = files.filter((path) => !path.startsWith('test/e2e/'));
    const seed = process.env['CONCLAVE_SEED'] ?? String(Math.floor(Math.random() * 2 ** 31));
    const env = { CONCLAVE_SEED: seed, NODE_COMPILE_CACHE: join(cache, 'code') };
    console.log(`\nseed ${seed}   (the same tests again: CONCLAVE_SEED=${seed} npm test)`);
    if (others.length > 0) {
      await stage('Unit, contract and integration tests', () => testFiles(others, { concurrency: 2, minutes: 12, env }), total);
    }
    if (endToEnd.length > 0) {
      await stage('End-to-end tests in the real Electron', () => asOrdinaryUser((who) => inWindows(endToEnd, { uid: who.uid, env: { ...env, ...who.env } })), total);
    }
  }
  const { passed, failed, skipped } = total;
  if (passed + failed + skipped === 0) console.log('\nNo test ran.');
  else if (skipped > 0) console.log('\nA skipped test counts as a failure here: nothing may be skipped.');
  console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exit(failed === 0 && skipped === 0 && passed > 0 ? 0 : 1);
}

const [first = '', concurrency, minutes, ...files] = process.argv.slice(2);
try {
  if (first === '--worker') await work(Number(concurrency), Number(minutes), files);
  else await main(process.argv.slice(2));
} catch (error) {
  report(error);
  process.exit(1);
}
