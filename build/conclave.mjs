#!/usr/bin/env node
/**
 * The `conclave` command: electron/cli.ts on the project's own Node, whatever Node this was called with. It must never
 * write to stdout itself; that belongs to the command (`verify --json`).
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { buildId } from './bundle.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const node = `${root}node_modules/.bin/node`;

if (!existsSync(node) || !existsSync(`${root}node_modules/.package-lock.json`)) {
  process.stderr.write('Conclave is not set up here yet; doing that first. It takes a minute or two.\n');
  const setup = spawnSync(process.execPath, [`${root}build/setup.mjs`, '--no-electron'], { stdio: ['ignore', 2, 2] });
  if (setup.status !== 0) process.exit(setup.status ?? 1);
}

// npm scripts run in the project's folder; a relative path that somebody typed is meant from where they stood.
const typedFrom = process.env.npm_lifecycle_event !== undefined ? process.env.INIT_CWD : undefined;
const child = spawn(node, [`${root}electron/cli.ts`, ...process.argv.slice(2)], {
  stdio: 'inherit',
  // Bundles carry their build id; sources that run as they are get it from here. Compiled once, they start in half the time.
  env: { ...process.env, CONCLAVE_BUILD_ID: buildId(), NODE_COMPILE_CACHE: `${root}build/cache/code` },
  cwd: typedFrom !== undefined && `${process.cwd()}/` === root && existsSync(typedFrom) ? typedFrom : process.cwd(),
});
// Ctrl-C reaches the command by itself, through the terminal; sent twice it would read as impatience.
for (const signal of ['SIGINT', 'SIGQUIT']) process.on(signal, () => undefined);
for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP'])) process.on(signal, () => child.kill(signal));
child.on('error', (error) => {
  process.stderr.write(`${error.message}\nRun \`npm start\` once; it sets everything up.\n`);
  process.exit(1);
});
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code ?? 1);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal); // end the way the command ended
});
