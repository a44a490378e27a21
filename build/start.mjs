/**
 * `npm start`, once everything is set up: the desktop app where a window can open, the rehearsal in the terminal where
 * none can. It must never start Electron without its sandbox for anyone but root (Chromium has none for root).
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { electronRuntime } from './electron.mjs';
import { hasDisplay, report, root } from './machine.mjs';

/**
 * @param {string} command
 * @param {readonly string[]} args
 */
function become(command, args) {
  const child = spawn(command, args, { cwd: root, stdio: 'inherit' });
  process.on('SIGINT', () => undefined); // Ctrl-C reaches the child by itself, through the terminal
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP'])) process.on(signal, () => child.kill(signal));
  child.on('exit', (code) => process.exit(code ?? 1));
}

const more = process.argv.slice(2);
try {
  const runtime = hasDisplay ? electronRuntime() : undefined;
  if (runtime !== undefined) {
    if (runtime.development) {
      console.log(`
  Development runtime: Electron ${runtime.version}. Good for looking around and for rehearsals. Its Chromium gets no
  security corrections any more, so real ceremonies are refused on it; the app says so on every screen.
`);
    }
    become(runtime.path, [...runtime.args, root, ...more]);
  } else {
    const why = hasDisplay ? 'There is no Electron here (the setup said why)' : 'There is no display here (DISPLAY and WAYLAND_DISPLAY are not set)';
    console.log(`\n  ${why}, so no window can open. The same rehearsal runs here in the terminal:\n`);
    become(process.execPath, [join(root, 'build/conclave.mjs'), 'rehearse', 'root-ca', ...more]);
  }
} catch (error) {
  report(error);
  process.exit(1);
}
