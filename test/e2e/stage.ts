/**
 * The real shell (main process, preloads, booth) in the real Electron, around stand-in programs: what the shell does can
 * be tested without a token, and what its programs do can be chosen, crashes included.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { _electron, type ElectronApplication, type Page } from 'playwright';
import { electronRuntime } from '../../build/electron.mjs';
import { isRoot, out, root } from '../../build/machine.mjs';

export const runtime = electronRuntime();

export interface Stage {
  readonly app: string;
  readonly home: string;
  launch(options?: { readonly env?: Record<string, string>; readonly switches?: readonly string[] }): Promise<Running>;
  /** Ends what still runs and takes the folders away. */
  strike(): Promise<void>;
}
export interface Running {
  readonly electron: ElectronApplication;
  readonly page: Page;
  /** A request to the stand-in conductor, made by the page. */
  call(request: object): Promise<unknown>;
  /** The booth's page, once one is open. */
  booth(): Promise<Page>;
}

export function setStage(): Stage {
  const folder = mkdtempSync(join(tmpdir(), 'conclave-stage-'));
  const app = join(folder, 'app');
  const home = join(folder, 'home');
  const built = join(app, 'build/out');
  const running = new Set<ElectronApplication>();

  mkdirSync(join(app, 'node_modules/.bin'), { recursive: true });
  symlinkSync(process.execPath, join(app, 'node_modules/.bin/node'));
  mkdirSync(join(built, 'renderer'), { recursive: true });
  mkdirSync(join(built, 'scripts'));
  writeFileSync(join(app, 'package.json'), JSON.stringify({ name: 'conclave', version: '9.9.9', main: 'build/out/main.cjs' }));
  for (const file of ['main.cjs', 'preload.cjs', 'booth']) cpSync(join(out, file), join(built, file), { recursive: true });
  if (existsSync(join(out, 'renderer/fonts'))) cpSync(join(out, 'renderer/fonts'), join(built, 'renderer/fonts'), { recursive: true });
  const programs = join(root, 'test/electron/fixtures');
  for (const file of ['conductor.cjs', 'devices.cjs', 'parent.cjs']) cpSync(join(programs, file), join(built, file));
  cpSync(join(import.meta.dirname, 'fixtures/index.html'), join(built, 'renderer/index.html'));
  cpSync(join(import.meta.dirname, 'fixtures/page.js'), join(built, 'renderer/main.js'));

  return {
    app,
    home,
    launch: async ({ env = {}, switches = [] } = {}) => {
      const electron = await launch(app, { CONCLAVE_HOME: home, ...env }, switches);
      running.add(electron);
      const page = await electron.firstWindow();
      return {
        electron,
        page,
        call: (request) => page.evaluate((asked) => window.conclave.call(asked as { call: 'hello' }), request),
        booth: async () => {
          const open = electron.windows().find((window) => window.url().startsWith('app://booth/'));
          const booth = open ?? (await electron.waitForEvent('window', (window) => window.url().startsWith('app://booth/')));
          await booth.waitForSelector('#state:not(:empty)');
          return booth;
        },
      };
    },
    strike: async () => {
      for (const electron of running) await electron.close().catch(() => undefined);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Starts the app in `folder` (a checkout's root, or a stage's) and hands out what Playwright drives. */
export function launch(folder: string, env: Record<string, string>, switches: readonly string[] = []): Promise<ElectronApplication> {
  if (runtime === undefined) throw new Error('there is no Electron here; run: node build/setup.mjs --for-tests');
  const own = Object.fromEntries(Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined));
  return _electron.launch({
    executablePath: runtime.path,
    args: [...runtime.args, ...switches, join(import.meta.dirname, 'fixtures/driven'), folder],
    chromiumSandbox: !isRoot, // part of what is tested; Chromium has none for root
    env: { ...own, ...env },
    timeout: 60_000,
  });
}
