/**
 * The windows: the main one, the booth over it, and the plain page that stands in when the app cannot start.
 *
 * Web preferences come from hardening.ts and nowhere else. Types only from electron: what makes windows is handed in, so
 * that the decisions here have plain tests. It must never learn what was typed in a booth.
 */
import type { BrowserWindow, BrowserWindowConstructorOptions, MessagePortMain, Rectangle } from 'electron';
import type { Refusal } from '../ceremonies/refusal.ts';
import { boothFacts, type Asks } from './booth/asking.ts';
import { componentFacts } from './booth/component.ts';
import { wordsFacts } from './booth/words.ts';
import type { BoothChannel } from './booth/preload.ts';
import type { BoothMessage } from './devices/protocol.ts';
import { webPreferences } from './hardening.ts';

type WindowClass = new (options: BrowserWindowConstructorOptions) => BrowserWindow;

// --- the main window ------------------------------------------------------------------------------------------------

export const PAGE = 'app://page/index.html';
export const PLAIN_PAGE = 'app://plain/';

const ZOOM_STEP = 1.1;
const ZOOM_LIMITS = [0.5, 4] as const;

export function openMainWindow(Window: WindowClass, options: { readonly preload: string; readonly release: boolean; readonly dark: boolean }): BrowserWindow {
  const window = new Window({
    title: 'Conclave',
    width: 1280,
    height: 800,
    minWidth: 640,
    minHeight: 480,
    backgroundColor: options.dark ? '#121110' : '#faf8f4',
    webPreferences: webPreferences(options.preload, options.release),
  });
  // There is no menu, so the two things of a menu that a room needs are keys: a whole screen, and larger letters.
  window.webContents.on('before-input-event', (event, input) => {
    if (input.type !== 'keyDown') return;
    if (input.key === 'F11') {
      event.preventDefault();
      window.setFullScreen(!window.isFullScreen());
      return;
    }
    const factor = zoomAfter(window.webContents.getZoomFactor(), input);
    if (factor === null) return;
    event.preventDefault();
    window.webContents.setZoomFactor(factor);
  });
  return window;
}

/** Ctrl with + - 0; null: this key does not zoom. */
export function zoomAfter(factor: number, input: { readonly key: string; readonly control: boolean; readonly alt: boolean; readonly meta: boolean }): number | null {
  if (!input.control || input.alt || input.meta) return null;
  const [least, most] = ZOOM_LIMITS;
  switch (input.key) {
    case '+':
    case '=':
      return Math.min(most, factor * ZOOM_STEP);
    case '-':
      return Math.max(least, factor / ZOOM_STEP);
    case '0':
      return 1;
    default:
      return null;
  }
}

// --- the plain page -------------------------------------------------------------------------------------------------

const escape = (text: string) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const PLAIN_STYLE = `
:root { color-scheme: light dark; }
body { margin: 0; min-height: 100vh; display: grid; place-content: center; background: #faf8f4; color: #1c1a17; font: 1.25rem/1.5 'DejaVu Sans', sans-serif; }
main { max-width: 46rem; padding: 2rem; }
h1 { margin: 0 0 1rem; font-size: 2.25rem; line-height: 1.2; }
dt { margin-top: 1rem; opacity: 0.7; font-size: 1rem; }
dd { margin: 0; overflow-wrap: anywhere; }
code { font-family: 'DejaVu Sans Mono', monospace; }
.next { margin-top: 2rem; padding-left: 1rem; border-left: 0.3rem solid #1f4e9c; }
@media (prefers-color-scheme: dark) { body { background: #121110; color: #f1ebe1; } .next { border-color: #8db8ff; } }
`;

/** What is shown where the app itself cannot be: the refusal, in full, without any script. */
export function plainPage({ rule, expected, found, next }: Refusal): { html: string; style: string } {
  const html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Conclave: ${escape(rule)}</title><style>${PLAIN_STYLE}</style></head>
<body><main role="alert">
<h1>✕ Conclave cannot go on</h1>
<dl>
<dt>Rule</dt><dd id="rule"><code>${escape(rule)}</code></dd>
<dt>Expected</dt><dd id="expected">${escape(expected)}</dd>
<dt>Found</dt><dd id="found">${escape(found)}</dd>
</dl>
<p class="next" id="next">${escape(next)}</p>
</main></body></html>`;
  return { html, style: PLAIN_STYLE };
}

// --- booths ---------------------------------------------------------------------------------------------------------

export interface BoothOptions {
  readonly preload: string;
  readonly release: boolean;
  /** The window it stands over; undefined where that is gone. */
  readonly over: BrowserWindow | undefined;
  /** A fresh way to the device process that asked. */
  readonly port: () => MessagePortMain | undefined;
  /** For the process that draws it. */
  readonly forbidCoreDumps: (pid: number) => void;
}

const BOOTH_SIZE = { width: 1120, height: 740 };

/** It covers the main window, and where that is smaller than a booth can be, stands around its middle. */
export function boothBounds({ x, y, width, height }: Rectangle): Rectangle {
  const grow = { x: Math.max(0, BOOTH_SIZE.width - width), y: Math.max(0, BOOTH_SIZE.height - height) };
  return {
    x: Math.max(0, x - Math.floor(grow.x / 2)), y: Math.max(0, y - Math.floor(grow.y / 2)),
    width: width + grow.x, height: height + grow.y,
  };
}

/**
 * Opens a booth that covers the main window. The returned function closes it for good. Where the PIN is typed on the
 * token's own pad there is nothing to send and nothing to cancel: the window only says so, and has no port.
 */
export function openBooth(Window: WindowClass, wanted: Asks, options: BoothOptions): () => void {
  const { over, port, preload, release } = options;
  const booth = new Window({
    title: 'PIN booth',
    ...(over === undefined ? BOOTH_SIZE : { ...boothBounds(over.getBounds()), parent: over, modal: true }),
    show: false,
    frame: false,
    resizable: false,
    movable: false,
    minimizable: false,
    maximizable: false,
    fullscreenable: false,
    skipTaskbar: true,
    backgroundColor: '#0d0c0b',
    webPreferences: webPreferences(preload, release),
  });
  booth.setContentProtection(true); // no screen capture; Linux has no such thing, and says nothing
  booth.setAlwaysOnTop(true, 'screen-saver');

  const onPad = wanted.kind === 'pad-wanted';
  const close = () => {
    if (booth.isDestroyed()) return;
    booth.destroy(); // asks nobody: no 'close'
    over?.focus();
  };
  // Without its keys a booth can still be cancelled: over a port of its own, and a cancelling is all that is ever sent on it.
  const cancelWithoutIt = () => {
    if (onPad) close(); // the pad needs no window
    else port()?.postMessage({ ticket: wanted.ticket, cancelled: true } satisfies BoothMessage);
  };
  const contents = booth.webContents;
  contents.once('did-finish-load', () => {
    const way = onPad ? [] : [port()].filter((there) => there !== undefined);
    if (!onPad && way.length === 0) return; // the device process has just ended, which settles the ticket
    options.forbidCoreDumps(contents.getOSProcessId());
    contents.setZoomFactor(over?.webContents.getZoomFactor() ?? 1); // who needs larger letters needs them here
    contents.postMessage('booth:open' satisfies BoothChannel, wanted.kind === 'component-wanted' ? componentFacts(wanted) : wanted.kind === 'words-wanted' ? wordsFacts(wanted) : boothFacts(wanted), way);
    booth.show();
    booth.focus();
    contents.focus();
  });
  contents.on('did-fail-load', cancelWithoutIt);
  contents.on('preload-error', cancelWithoutIt);
  contents.on('render-process-gone', cancelWithoutIt);
  // Closed by the window manager: the same as Esc, which a pad does not hear. The window itself goes when the ticket is settled.
  booth.on('close', (event) => {
    event.preventDefault();
    contents.send('booth:cancel' satisfies BoothChannel);
  });
  void booth.loadURL('app://booth/booth.html').catch(() => undefined); // did-fail-load says the same
  return close;
}
