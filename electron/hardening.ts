/**
 * Every security decision about Electron: the lists are data, `harden` installs them. Types only from electron, so that
 * plain tests can read it; what the numbers stand for: https://www.electronjs.org/docs/latest/tutorial/security
 *
 * Nothing may be loosened here for one window's sake, and no other file sets a web preference, a switch, a permission
 * or a policy.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { extname, resolve, sep } from 'node:path';
import type { App, Menu, Session, WebContents, WebFrameMain, WebPreferences } from 'electron';

// --- the checklist --------------------------------------------------------------------------------------------------

export interface Measure {
  /** Of Electron's security checklist. */
  readonly number: number;
  readonly rule: string;
  /** `kept`: nothing is left of the risk. `kept, but`: something outside our reach remains; `how` says what. */
  readonly status: 'kept' | 'kept, but';
  readonly how: string;
}

export const CHECKLIST: readonly Measure[] = [
  { number: 1, rule: 'Only load secure content', status: 'kept', how: 'every byte comes from the app itself over app:; the network is switched off in several independent ways (page policy, request filter, scheme handlers, resolver)' },
  { number: 2, rule: 'No Node.js integration', status: 'kept', how: 'nodeIntegration off in pages, frames and workers' },
  { number: 3, rule: 'Context isolation', status: 'kept', how: 'contextIsolation on in every window' },
  { number: 4, rule: 'Process sandboxing', status: 'kept, but', how: 'sandbox on in every window and for every renderer; Chromium has no sandbox for root, so as root the app runs for development only' },
  { number: 5, rule: 'Handle permission requests', status: 'kept', how: 'every request, check, device and screen capture is denied in every session' },
  { number: 6, rule: 'Keep webSecurity', status: 'kept', how: 'webSecurity on in every window' },
  { number: 7, rule: 'Content Security Policy', status: 'kept', how: 'one per kind of page, starting from default-src none; the booth runs no page script at all' },
  { number: 8, rule: 'No allowRunningInsecureContent', status: 'kept', how: 'off in every window' },
  { number: 9, rule: 'No experimental features', status: 'kept', how: 'experimentalFeatures off in every window' },
  { number: 10, rule: 'No enableBlinkFeatures', status: 'kept', how: 'set in no window' },
  { number: 11, rule: 'No allowpopups on webviews', status: 'kept', how: 'there are no webviews: webviewTag off' },
  { number: 12, rule: 'Verify webview options', status: 'kept', how: 'attaching a webview is refused in every web contents' },
  { number: 13, rule: 'Limit navigation', status: 'kept', how: 'no page and no frame navigates anywhere; only the main process loads pages' },
  { number: 14, rule: 'Limit new windows', status: 'kept', how: 'every window.open is denied' },
  { number: 15, rule: 'No openExternal with untrusted content', status: 'kept', how: 'shell is imported nowhere' },
  { number: 16, rule: 'Current version of Electron', status: 'kept, but', how: 'pinned in package.json; where only a development runtime can be had, it is called that on every screen and real ceremonies are refused' },
  { number: 17, rule: 'Validate the sender of IPC', status: 'kept', how: 'one channel in; answered only for the top frame of the main window while it shows our page' },
  { number: 18, rule: 'No file: protocol', status: 'kept', how: 'a scheme of our own that serves two folders and nothing beside them; files of other schemes are never loaded' },
  { number: 19, rule: 'Change fuses', status: 'kept, but', how: 'FUSES below are burnt into the packaged app; an unpackaged checkout runs on the unchanged binary, and the development runtime keeps the inspector that tests need' },
  { number: 20, rule: 'No Electron APIs to untrusted content', status: 'kept', how: 'three functions cross the preload, none hands out anything of Electron; there is no untrusted content' },
];

// --- data -----------------------------------------------------------------------------------------------------------

/** SECURITY 16: older ones are development runtimes. The one package.json pins, and nothing before it was tested. */
const OLDEST_ELECTRON_FOR_REAL_CEREMONIES = 45;

/** Doors through which another program can look into ours. In a release the app does not start with one open. */
const DEBUGGING_SWITCHES = ['remote-debugging-port', 'remote-debugging-pipe', 'inspect', 'inspect-brk', 'inspect-port', 'inspect-wait', 'js-flags'] as const;

/** SECURITY 16: real ceremonies are refused on a runtime that gets no corrections, or that somebody may look into. */
export function isDevelopmentRuntime(electron: string, hasSwitch: (name: string) => boolean): boolean {
  const major = Number.parseInt(electron, 10);
  return !(major >= OLDEST_ELECTRON_FOR_REAL_CEREMONIES) || DEBUGGING_SWITCHES.some(hasSwitch) || hasSwitch('no-sandbox');
}

/** Command line switches of Chromium: nothing in the background, nothing over the network, nothing of its own on disk. */
export const SWITCHES: readonly (readonly [name: string, value?: string])[] = [
  ['host-resolver-rules', 'MAP * ~NOTFOUND'], // names and literal addresses alike
  ['no-proxy-server'],
  ['disable-background-networking'],
  ['disable-component-update'],
  ['disable-domain-reliability'],
  ['disable-client-side-phishing-detection'],
  ['disable-sync'],
  ['disable-breakpad'], // crash reports would hold memory, and memory may hold a PIN
  ['disable-http-cache'],
  ['disable-quic'],
  ['disable-speech-api'],
  ['disable-3d-apis'],
  ['no-pings'],
  ['no-first-run'],
  ['no-default-browser-check'],
  ['disable-features', [
    'AutofillServerCommunication', 'CertificateTransparencyComponentUpdater', 'DialMediaRouteProvider', 'InterestFeedContentSuggestions',
    'MediaRouter', 'NetworkTimeServiceQuerying', 'OptimizationHints', 'Translate', 'WebBluetooth', 'WebUSB', 'WebOTP',
  ].join(',')],
];

/** SECURITY 2, 3, 4, 6, 8, 9, 10, 11: the same for every window. `preload` is the only thing in which two windows differ. */
export function webPreferences(preload: string, release: boolean) {
  return {
    preload,
    nodeIntegration: false, // SECURITY 2
    nodeIntegrationInWorker: false,
    nodeIntegrationInSubFrames: false,
    contextIsolation: true, // SECURITY 3
    sandbox: true, // SECURITY 4
    webSecurity: true, // SECURITY 6
    allowRunningInsecureContent: false, // SECURITY 8
    experimentalFeatures: false, // SECURITY 9; SECURITY 10: enableBlinkFeatures does not occur
    webviewTag: false, // SECURITY 11
    navigateOnDragDrop: false,
    plugins: false,
    webgl: false,
    spellcheck: false, // its dictionaries come from the network
    disableDialogs: true, // alert() and confirm() stop the page; every question of ours is part of it
    safeDialogs: true,
    autoplayPolicy: 'document-user-activation-required',
    devTools: !release,
    partition: PARTITION,
  } as const satisfies WebPreferences;
}

/** A page that is printed and that nobody sees: as above, and besides without any script and without a preload. */
export function paperPreferences(release: boolean) {
  const { preload: _none, ...same } = webPreferences('', release);
  return { ...same, javascript: false } as const satisfies WebPreferences;
}

/** A session in memory: without `persist:` nothing of a page is ever written to disk. */
export const PARTITION = 'conclave';
export const SCHEME = 'app';

/** SECURITY 7. `plain` is a page whose one style sheet is inside it: shown in the app's place when it cannot start, or printed. */
const BASE = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
export const POLICIES = {
  page: `${BASE}; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; connect-src 'none'; object-src 'none'; worker-src 'none'`,
  booth: `${BASE}; script-src 'none'; style-src 'self'; font-src 'self'`,
  plain: (style: string) => `${BASE}; script-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
} as const;

const HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
  'Permissions-Policy': [
    'camera', 'clipboard-read', 'display-capture', 'geolocation', 'hid', 'microphone', 'midi', 'payment',
    'publickey-credentials-get', 'screen-wake-lock', 'serial',
  ].map((feature) => `${feature}=()`).join(', '),
} as const;

/** SECURITY 18: what is served, and as what. Any other kind of file is not there. */
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.woff2': 'font/woff2',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
};

/**
 * SECURITY 19: for the packager (electron-builder's names). The conductor and the devices are utility processes there, so
 * the app's binary never has to be a Node.
 */
export const FUSES = {
  runAsNode: false,
  enableNodeOptionsEnvironmentVariable: false,
  enableNodeCliInspectArguments: false,
  enableEmbeddedAsarIntegrityValidation: true,
  onlyLoadAppFromAsar: true,
  enableCookieEncryption: true,
  grantFileProtocolExtraPrivileges: false,
  loadBrowserProcessSpecificV8Snapshot: false,
} as const;

// --- decisions ------------------------------------------------------------------------------------------------------

/** The folders that are served: each is a host, and so an origin, of its own. */
export interface Folders {
  readonly page: string;
  readonly booth: string;
  /** Lent to the booth as /fonts. */
  readonly fonts: string;
}

/** SECURITY 18: the file behind a URL, or null: unknown host, a way out of the folder, an unknown kind of file. */
export function fileFor(url: string, folders: Folders): { readonly path: string; readonly type: string; readonly policy: string } | null {
  if (!URL.canParse(url)) return null;
  const { protocol, host, pathname, username, port } = new URL(url);
  if (protocol !== `${SCHEME}:` || username !== '' || port !== '' || (host !== 'page' && host !== 'booth')) return null;
  let name: string;
  try {
    name = decodeURIComponent(pathname).slice(1);
  } catch {
    return null;
  }
  const type = TYPES[extname(name)];
  if (type === undefined || name.includes('\0') || name.includes('\\')) return null;
  const lent = host === 'booth' && name.startsWith('fonts/');
  const folder = resolve(lent ? folders.fonts : folders[host]);
  const path = resolve(folder, lent ? name.slice('fonts/'.length) : name);
  return path.startsWith(folder + sep) ? { path, type, policy: POLICIES[host] } : null;
}

/** SECURITY 17. `window` is the main window's web contents; null before there is one and after it closed. */
export function isKnownSender(
  event: { readonly sender: unknown; readonly senderFrame: Pick<WebFrameMain, 'url' | 'parent'> | null },
  window: unknown,
): boolean {
  const frame = event.senderFrame;
  if (window === null || event.sender !== window || frame === null || frame.parent !== null) return false;
  return URL.canParse(frame.url) && new URL(frame.url).host === 'page' && new URL(frame.url).protocol === `${SCHEME}:`;
}

/** What a request filter lets through: the app's own files, and pictures that are inside a page. */
export function mayBeRequested(url: string, resourceType: string, release: boolean): boolean {
  if (url.startsWith(`${SCHEME}://`)) return true;
  if (url.startsWith('data:image/')) return resourceType === 'image';
  return !release && url.startsWith('devtools://');
}

// --- installing -----------------------------------------------------------------------------------------------------

/** The parts of electron that hardening takes. */
export interface Parts {
  readonly app: App;
  readonly protocol: { registerSchemesAsPrivileged(schemes: Electron.CustomScheme[]): void };
  readonly menu: typeof Menu;
}

export interface Installing {
  readonly folders: Folders;
  readonly release: boolean;
  /** The page that is shown when the app cannot start, at app://plain/; its style apart, for the policy. */
  readonly plain: () => Plain;
  /** The page that is being printed, at app://paper/; null where nothing is. */
  readonly paper: () => Plain | null;
}

export interface Plain {
  readonly html: string;
  /** Its one style sheet, exactly as it stands in it. */
  readonly style: string;
}

/** Before the app is ready, and before anything else. Returns false where the app must not start at all. */
export function harden({ app, protocol, menu }: Parts, options: Installing): boolean {
  const { release } = options;
  const hasSwitch = (name: string) => app.commandLine.hasSwitch(name);
  if (release && DEBUGGING_SWITCHES.some(hasSwitch)) return false;
  if (!hasSwitch('no-sandbox')) app.enableSandbox(); // SECURITY 4; it would undo the switch, and then nothing starts as root
  app.disableHardwareAcceleration(); // text needs no graphics driver in the process that draws it
  for (const [name, value] of SWITCHES) app.commandLine.appendSwitch(name, value);
  protocol.registerSchemesAsPrivileged([
    { scheme: SCHEME, privileges: { standard: true, secure: true, supportFetchAPI: false, corsEnabled: false, bypassCSP: false, allowServiceWorkers: false, stream: false } },
  ]);
  menu.setApplicationMenu(null); // its default entries reload, zoom and open the developer tools
  app.on('session-created', (session) => hardenSession(session, options));
  app.on('web-contents-created', (_event, contents) => hardenContents(contents, release));
  app.on('certificate-error', (event, _contents, _url, _error, _certificate, callback) => {
    event.preventDefault();
    callback(false);
  });
  app.on('select-client-certificate', (event) => event.preventDefault());
  app.on('login', (event) => event.preventDefault());
  return true;
}

function hardenSession(session: Session, options: Installing): void {
  // SECURITY 1
  session.webRequest.onBeforeRequest(({ url, resourceType }, callback) =>
    callback({ cancel: !mayBeRequested(url, resourceType, options.release) }));
  session.enableNetworkEmulation({ offline: true });
  void session.setProxy({ mode: 'direct' });
  session.setCertificateVerifyProc((_request, callback) => callback(-2));
  session.setSpellCheckerEnabled(false);
  session.setSpellCheckerDictionaryDownloadURL(`${SCHEME}://page/none/`);
  session.on('will-download', (event) => event.preventDefault());
  // SECURITY 5
  session.setPermissionRequestHandler((_contents, _permission, callback) => callback(false));
  session.setPermissionCheckHandler(() => false);
  session.setDevicePermissionHandler(() => false);
  session.setUSBProtectedClassesHandler(({ protectedClasses }) => protectedClasses);
  session.setBluetoothPairingHandler((_details, callback) => callback({ confirmed: false }));
  session.setDisplayMediaRequestHandler((_request, callback) => callback({}));
  // SECURITY 18
  session.protocol.handle(SCHEME, (request) => serve(request, options));
  for (const scheme of ['file', 'http', 'https', 'ftp']) session.protocol.handle(scheme, () => Response.error());
}

function hardenContents(contents: WebContents, release: boolean): void {
  contents.on('will-navigate', (event) => event.preventDefault()); // SECURITY 13
  contents.on('will-frame-navigate', (event) => event.preventDefault());
  contents.on('will-redirect', (event) => event.preventDefault());
  contents.on('will-attach-webview', (event) => event.preventDefault()); // SECURITY 12
  contents.setWebRTCIPHandlingPolicy('disable_non_proxied_udp'); // SECURITY 1: there is no proxy, so it sends nothing
  contents.setWindowOpenHandler(() => ({ action: 'deny' })); // SECURITY 14
  contents.on('select-bluetooth-device', (event, _devices, callback) => {
    event.preventDefault();
    callback('');
  });
  if (release) contents.on('devtools-opened', () => contents.closeDevTools());
}

async function serve({ url, method }: Request, { folders, plain, paper }: Installing): Promise<Response> {
  const notThere = () => new Response('not here', { status: 404, headers: { ...HEADERS, 'Content-Type': 'text/plain', 'Content-Security-Policy': POLICIES.booth } });
  if (method !== 'GET') return notThere();
  const inside = url === `${SCHEME}://plain/` ? plain() : url === `${SCHEME}://paper/` ? paper() : null;
  if (inside !== null) {
    const { html, style } = inside;
    return new Response(html, { headers: { ...HEADERS, 'Content-Type': 'text/html; charset=utf-8', 'Content-Security-Policy': POLICIES.plain(style) } });
  }
  const file = fileFor(url, folders);
  if (file === null) return notThere();
  try {
    return new Response(await readFile(file.path), { headers: { ...HEADERS, 'Content-Type': file.type, 'Content-Security-Policy': file.policy } });
  } catch {
    return notThere();
  }
}
