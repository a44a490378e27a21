/**
 * The security decisions as data. What they do in a real window is in test/e2e/hardening.test.ts; for each rule of
 * Electron's checklist there is a test called `SECURITY n: ...` in one of the two files.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  CHECKLIST, FUSES, POLICIES, SWITCHES, fileFor, isDevelopmentRuntime, isKnownSender, mayBeRequested, paperPreferences, webPreferences,
} from '../../electron/hardening.ts';

const root = join(import.meta.dirname, '../..');

test('every rule of the checklist is there once, with its state and its test', () => {
  assert.deepEqual(CHECKLIST.map(({ number }) => number), Array.from({ length: 20 }, (_, index) => index + 1));
  const tests = ['test/electron/hardening.test.ts', 'test/e2e/hardening.test.ts'].map((file) => readFileSync(join(root, file), 'utf8')).join();
  for (const { number, how } of CHECKLIST) {
    assert.ok(how.length > 10);
    assert.match(tests, new RegExp(`test\\('SECURITY ${number}: `), `SECURITY ${number} has no test`);
  }
});

test('the README says of each rule what the list says', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  for (const { number, rule, status } of CHECKLIST) assert.ok(readme.includes(`| ${number} | ${rule} | ${status} |`), `README: row ${number}`);
});

test('web preferences: the same for every window, nothing loosened', () => {
  const { preload, devTools, ...same } = webPreferences('/a/preload.cjs', true);
  assert.equal(preload, '/a/preload.cjs');
  assert.equal(devTools, false);
  assert.equal(webPreferences('/b', false).devTools, true);
  assert.deepEqual(same, {
    nodeIntegration: false, nodeIntegrationInWorker: false, nodeIntegrationInSubFrames: false, contextIsolation: true, sandbox: true,
    webSecurity: true, allowRunningInsecureContent: false, experimentalFeatures: false, webviewTag: false, navigateOnDragDrop: false,
    plugins: false, webgl: false, spellcheck: false, disableDialogs: true, safeDialogs: true,
    autoplayPolicy: 'document-user-activation-required', partition: 'conclave',
  });
});

test('a page that is printed: the same, without any script and without a preload', () => {
  const { preload: _preload, ...same } = webPreferences('', true);
  assert.deepEqual(paperPreferences(true), { ...same, javascript: false });
});

/** The app's own sources, as text. */
function sources(): { name: string; text: string }[] {
  return ['electron', 'renderer'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.c?tsx?$/.test(entry.name))
      .map((entry) => ({ name: join(entry.parentPath, entry.name), text: readFileSync(join(entry.parentPath, entry.name), 'utf8') })));
}

test('SECURITY 15: nothing opens anything outside the app', () => {
  for (const { name, text } of sources()) assert.doesNotMatch(text, /openExternal\(|openPath\(|\bshell\b.*from 'electron'/, name);
});

test('no other file makes a decision of hardening.ts', () => {
  const decisions = /webPreferences:(?! (?:webPreferences|paperPreferences)\()|nodeIntegration|webSecurity|appendSwitch|setPermission|enableBlinkFeatures:|<webview|file:\/\//;
  for (const { name, text } of sources()) {
    if (!name.endsWith('electron/hardening.ts')) assert.doesNotMatch(text, decisions, name);
  }
});

test('SECURITY 16: real ceremonies only on a current Electron into which nobody looks', () => {
  const on = (electron: string, ...switches: string[]) => isDevelopmentRuntime(electron, (name) => switches.includes(name));
  assert.deepEqual(
    [on('45.4.1'), on('46.0.0-beta.1'), on('44.9.9'), on('33.2.1'), on(''), on('45.4.1', 'inspect'), on('45.4.1', 'remote-debugging-port'), on('45.4.1', 'no-sandbox')],
    [false, false, true, true, true, true, true, true],
  );
  const pinned = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { devDependencies: { electron: string } };
  assert.equal(on(pinned.devDependencies.electron), false);
});

test('SECURITY 19: the fuses, and the packager burns them', async () => {
  const { default: packager } = await import('../../build/builder.config.mjs');
  assert.equal(packager.electronFuses, FUSES);
  assert.deepEqual(FUSES, {
    runAsNode: false, enableNodeOptionsEnvironmentVariable: false, enableNodeCliInspectArguments: false,
    enableEmbeddedAsarIntegrityValidation: true, onlyLoadAppFromAsar: true, enableCookieEncryption: true,
    grantFileProtocolExtraPrivileges: false, loadBrowserProcessSpecificV8Snapshot: false,
  });
});

test('policies start from nothing, and nowhere is anything unsafe', () => {
  const all = [POLICIES.page, POLICIES.booth, POLICIES.plain('x')];
  for (const policy of all) {
    assert.match(policy, /^default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe|https?:|\*|blob:/);
  }
  assert.match(POLICIES.page, /script-src 'self';.*connect-src 'none'/);
  assert.match(POLICIES.booth, /script-src 'none'/);
  assert.match(POLICIES.plain('p { }'), /style-src 'sha256-[A-Za-z0-9+/]{43}='$/);
});

test('switches: names and addresses lead nowhere, no proxy, no crash reports', () => {
  const value = (name: string) => SWITCHES.find(([of]) => of === name);
  assert.deepEqual(value('host-resolver-rules'), ['host-resolver-rules', 'MAP * ~NOTFOUND']);
  for (const name of ['no-proxy-server', 'disable-breakpad', 'disable-background-networking', 'disable-component-update']) assert.ok(value(name), name);
});

const folders = { page: '/app/renderer', booth: '/app/booth', fonts: '/app/renderer/fonts' };
const served: readonly [url: string, path: string | null][] = [
  ['app://page/index.html', '/app/renderer/index.html'],
  ['app://page/fonts/a.woff2', '/app/renderer/fonts/a.woff2'],
  ['app://page/main.js?x=1#y', '/app/renderer/main.js'],
  ['app://booth/booth.html', '/app/booth/booth.html'],
  ['app://booth/fonts/a.woff2', '/app/renderer/fonts/a.woff2'],
  ['app://page/a%20b.css', '/app/renderer/a b.css'],
  ['app://page/', null],
  ['app://page/main.js.map', null],
  ['app://page/preload.cjs', null],
  ['app://booth/../renderer/index.html', '/app/booth/renderer/index.html'], // the URL parser took the dots away
  ['app://booth/%2e%2e/renderer/index.html', '/app/booth/renderer/index.html'],
  ['app://booth/..%2frenderer/index.html', null],
  ['app://booth/..%2Frenderer%2Findex.html', null],
  ['app://booth/fonts/..%2f..%2findex.html', null],
  ['app://page/..%5cmain.js', null],
  ['app://page/%2fetc/x.html', null],
  ['app://page/a%00.html', null],
  ['app://page/%zz.html', null],
  ['app://page/..%2frenderer-of-others/index.html', null],
  ['app://other/index.html', null],
  ['app://page:80/index.html', null],
  ['app://me@page/index.html', null],
  ['app://plain/index.html', null],
  ['app://paper/', null],
  ['file:///etc/x.html', null],
  ['https://page/index.html', null],
  ['nothing', null],
];
for (const [url, path] of served) {
  test(`served: ${url} -> ${path ?? 'not there'}`, () => assert.equal(fileFor(url, folders)?.path ?? null, path));
}

test('what is served carries its own policy', () => {
  assert.equal(fileFor('app://page/index.html', folders)?.policy, POLICIES.page);
  assert.equal(fileFor('app://booth/booth.html', folders)?.policy, POLICIES.booth);
});

const main = { the: 'main window' };
const frame = (url: string, parent: object | null = null) => ({ url, parent }) as Parameters<typeof isKnownSender>[0]['senderFrame'];
const senders: readonly [given: string, sender: unknown, senderFrame: ReturnType<typeof frame>, known: boolean][] = [
  ['our page in the main window', main, frame('app://page/index.html'), true],
  ['another window', { another: 'window' }, frame('app://page/index.html'), false],
  ['a frame inside our page', main, frame('app://page/index.html', {}), false],
  ['the booth in the main window', main, frame('app://booth/booth.html'), false],
  ['the plain page', main, frame('app://plain/'), false],
  ['a page that only begins like ours', main, frame('app://page.example/index.html'), false],
  ['the web', main, frame('https://page/index.html'), false],
  ['no page yet', main, frame(''), false],
  ['a frame that is gone', main, null, false],
];
for (const [given, sender, senderFrame, known] of senders) {
  test(`sender: ${given} is ${known ? 'known' : 'refused'}`, () => assert.equal(isKnownSender({ sender, senderFrame }, main), known));
}
test('sender: without a window nobody is known', () => {
  assert.equal(isKnownSender({ sender: null, senderFrame: frame('app://page/index.html') }, null), false);
});

test('requests: the app itself, pictures inside a page, nothing else', () => {
  const table: readonly [string, string, boolean][] = [
    ['app://page/index.html', 'mainFrame', true],
    ['data:image/png;base64,AAAA', 'image', true],
    ['data:image/svg+xml,<svg/>', 'subFrame', false],
    ['data:text/html,x', 'mainFrame', false],
    ['https://example.org/', 'mainFrame', false],
    ['http://127.0.0.1/', 'xhr', false],
    ['ws://127.0.0.1/', 'webSocket', false],
    ['file:///etc/passwd', 'mainFrame', false],
    ['blob:app://page/1', 'script', false],
    ['chrome://gpu/', 'mainFrame', false],
    ['devtools://devtools/bundled/inspector.html', 'mainFrame', false],
  ];
  for (const [url, type, may] of table) assert.equal(mayBeRequested(url, type, true), may, url);
  assert.equal(mayBeRequested('devtools://devtools/bundled/inspector.html', 'mainFrame', false), true);
});
