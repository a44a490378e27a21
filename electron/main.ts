/**
 * Electron's main process: windows and doors only. Hardens, takes the data folder's lock, starts the house, opens the
 * window, and passes calls and entries between the two.
 *
 * It must never load a native module, hold a secret, or look into what it passes on.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { BrowserWindow, Menu, MessageChannelMain, app, dialog, ipcMain, nativeTheme, protocol, utilityProcess } from 'electron';
import type { MessagePortMain } from 'electron';
import { Refused, refuse, type Refusal } from '../ceremonies/refusal.ts';
import { boothQueue } from './booth/asking.ts';
import type { Answer, Call, Request } from './contract.ts';
import { harden, isDevelopmentRuntime, isKnownSender } from './hardening.ts';
import type { CallChannel, EntriesChannel, MovedChannel } from './preload.ts';
import { dataFolder, electronLauncher, forbidCoreDumps, startHouse, type House } from './processes.ts';
import { Press, asksToPrint } from './printing.ts';
import { PAGE, PLAIN_PAGE, openBooth, openMainWindow, plainPage } from './windows.ts';

/** The bundler puts it in: SHA-256 over the sources. */
declare const __BUILD_ID__: string;

const release = app.isPackaged;
const out = import.meta.dirname;
/** Programs and what they read lie beside the archive: a plain Node cannot look into it. */
const programs = release ? out.replace(/\bapp\.asar(?=$|\/)/, 'app.asar.unpacked') : out;
const home = dataFolder(process.env, homedir());

/** better-sqlite3 needs Node-API 10 and crashes on less: Electron before 35. There the conductor gets a Node of its own. */
const ledgerLoadsHere = Number(process.versions['napi']) >= 10;
const plainNode = release ? join(process.resourcesPath, 'node') : join(app.getAppPath(), 'node_modules/.bin/node');

let refusal: Refusal | undefined;
const press = new Press({ Window: BrowserWindow, dialog, release });
let window: BrowserWindow | undefined;

// Electron's own answer would be a dialog over the ceremony. Nothing of the record lives here: a fault is told, and the
// room goes on, unless there is nothing to go on with.
process.on('uncaughtException', (error) => {
  if (window === undefined) leave(error.stack ?? error.message);
  else process.stderr.write(`${error.stack ?? error.message}\n`);
});

const mayStart = harden(
  { app, protocol, menu: Menu },
  {
    release,
    folders: { page: join(out, 'renderer'), booth: join(out, 'booth'), fonts: join(out, 'renderer/fonts') },
    paper: () => press.page,
    plain: () => plainPage(refusal ?? refuse('NOTHING-REFUSED', 'a refusal to show', 'none', 'Close Conclave and open it again.')),
  },
);
if (!mayStart) leave('Conclave does not start with a debugger attached: take --inspect and --remote-debugging-port away.');
else if (!takeDataFolder()) leave(`Conclave is already open with the data folder ${home}. Its window has been brought to the front.`);
else run().catch((error: unknown) => leave(error instanceof Error ? (error.stack ?? error.message) : String(error)));

function leave(why: string): void {
  process.stderr.write(`${why}\n`);
  app.exit(1);
}

/** One running app per data folder: Chromium keeps its lock, and what little else it writes, in a folder inside it. */
function takeDataFolder(): boolean {
  try {
    const own = join(home, 'window');
    mkdirSync(own, { recursive: true, mode: 0o700 });
    app.setPath('userData', own);
  } catch {
    // Nothing can be written there, so there is nothing to lock; the conductor refuses and says why.
    const lent = mkdtempSync(join(tmpdir(), 'conclave-'));
    app.setPath('userData', lent);
    app.once('quit', () => rmSync(lent, { recursive: true, force: true }));
  }
  app.on('second-instance', () => {
    if (window === undefined) return;
    if (window.isMinimized()) window.restore();
    window.show();
    window.focus();
  });
  return app.requestSingleInstanceLock();
}

/** Closing the window ends the recorder key of a ceremony that is under way: that is asked once. */
async function closingIsMeant(main: BrowserWindow, started: Promise<House<MessagePortMain>>): Promise<boolean> {
  const asked = started.then((house) => house.call({ call: 'ceremonies' })).catch(() => undefined);
  const patience = new Promise<undefined>((resolve) => setTimeout(resolve, 1500, undefined)); // a conductor that hangs must not hold the window
  const answer = await Promise.race([asked, patience]);
  if (answer === undefined || !answer.ok || !answer.value.some(({ state, interrupted }) => state === 'open' && !interrupted)) return true;
  const { response } = await dialog.showMessageBox(main, {
    type: 'question',
    message: 'A ceremony is under way.',
    detail: 'Closing interrupts it. Nothing recorded is lost, but its recorder key ends with this window: to go on, everybody present has to resume it.',
    buttons: ['Stay', 'Close and interrupt'],
    defaultId: 0,
    cancelId: 0,
    noLink: true,
  });
  return response === 1;
}

async function run(): Promise<void> {
  const launcher = electronLauncher(
    { utilityProcess, MessageChannelMain },
    {
      plainNode: ledgerLoadsHere ? null : plainNode, conductor: join(programs, 'conductor.cjs'), devices: join(programs, 'devices.cjs'),
      ...(!release && { codeCache: join(app.getAppPath(), 'build/cache/code') }),
    },
  );
  // A plain Node boots while Chromium does; a utility process has to wait for it.
  const early = ledgerLoadsHere ? undefined : launcher.conductor();
  await app.whenReady();
  const started = startHouse({ ...launcher, conductor: () => early ?? launcher.conductor() }, {
    home,
    app: { version: app.getVersion(), build: __BUILD_ID__ },
    runtime: {
      node: process.versions.node,
      electron: process.versions.electron,
      development: isDevelopmentRuntime(process.versions.electron, (name) => app.commandLine.hasSwitch(name)),
    },
    scriptsFolder: join(programs, 'scripts'),
  });

  const main = openMainWindow(BrowserWindow, { preload: join(out, 'preload.cjs'), release, dark: nativeTheme.shouldUseDarkColors });
  window = main;
  main.on('closed', () => { window = undefined; });

  main.webContents.on('did-finish-load', () => forbidCoreDumps(main.webContents.getOSProcessId()));

  const showRefusal = (what: Refusal) => {
    refusal = what;
    if (window !== undefined) void window.loadURL(PLAIN_PAGE).catch(() => undefined);
  };

  ipcMain.handle('conclave:call' satisfies CallChannel, async (event, request: unknown): Promise<Answer<Call>> => {
    if (!isKnownSender(event, window?.webContents ?? null)) { // SECURITY 17
      return { ok: false, refusal: refuse('KNOWN-SENDER', 'a call from the page of the main window', 'another sender', 'This is a fault of the program, or an attack on it. Stop, and report it.') };
    }
    try {
      const house = await started;
      if (asksToPrint(request)) return await press.print(await house.call({ ...request, call: 'certificate' }), main);
      return await house.call(request as Request); // parsed by the conductor, for whom it is meant
    } catch (error) {
      if (error instanceof Refused) return { ok: false, refusal: error.refusal };
      throw error;
    }
  });

  main.webContents.on('did-navigate', (_event, url, status) => {
    if (status >= 400) {
      showRefusal(refuse('APP-WHOLE', `the app's own page at ${url}`, 'nothing there', 'The installation is damaged: install Conclave again. The record is not affected.'));
    }
  });
  let crashes = 0;
  main.webContents.on('render-process-gone', (_event, { reason }) => {
    crashes += 1; // the page is a fold of the record: a new one shows the same
    if (crashes <= 3) void main.loadURL(PAGE).catch(() => undefined);
    else showRefusal(refuse('PAGE-LIVES', 'the page to stay up', `it ended again and again (${reason})`, 'Close Conclave and open it again. The record is on disk; an open ceremony can then be resumed.'));
  });
  void main.loadURL(PAGE).catch(() => undefined); // 'did-navigate' says more
  forbidCoreDumps(process.pid); // this process never holds a secret: the page is not kept waiting for it

  let mayClose = false;
  main.on('close', (event) => {
    if (mayClose) return;
    event.preventDefault();
    void closingIsMeant(main, started).then((meant) => {
      mayClose = meant;
      if (meant && !main.isDestroyed()) main.close();
    });
  });
  app.on('before-quit', () => {
    mayClose = true;
    for (const booth of BrowserWindow.getAllWindows()) if (booth !== main) booth.destroy();
  });
  app.on('window-all-closed', () => app.quit());
  app.on('will-quit', (event) => {
    event.preventDefault();
    void started.then((house) => house.stop(), () => undefined).finally(() => app.exit(0));
  });

  try {
    attend(await started);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    showRefusal(error.refusal);
  }

  function attend(house: House<MessagePortMain>): void {
    house.onEntries((entries) => {
      if (!main.isDestroyed()) main.webContents.send('conclave:entries' satisfies EntriesChannel, entries);
    });
    house.onMoved((moved) => {
      if (!main.isDestroyed()) main.webContents.send('conclave:moved' satisfies MovedChannel, moved);
    });
    house.onNotice(boothQueue((module, wanted) =>
      openBooth(BrowserWindow, wanted, {
        preload: join(out, 'booth/preload.cjs'), release, over: window, port: () => house.booth(module), forbidCoreDumps,
      })));
    house.onLost(() => showRefusal(refuse('CONDUCTOR-LIVES', 'the process that keeps the record to run as long as the app', 'it ended',
      'Everything recorded so far is on disk. Close Conclave and open it again; an open ceremony can then be resumed.')));
  }
}
