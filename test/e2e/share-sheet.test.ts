/**
 * Sheets of paper as a browser draws them: one page each on A4 and on Letter, photographed askew and out of focus, read back by
 * us, and by zbar, which knows nothing of us.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { ElectronApplication, Page } from 'playwright';
import { root } from '../../build/machine.mjs';
import { encodeShare } from '../../ceremonies/shares/share.ts';
import { parseShareFile } from '../../ceremonies/shares/share-file.ts';
import { launch } from './stage.ts';

const PICTURES = join(root, 'test', 'pictures');
const CLI = join(root, 'electron/cli.ts');
const folder = mkdtempSync(join(tmpdir(), 'conclave-sheets-'));
const at = (...names: string[]): string => join(folder, ...names);
const key = randomBytes(32);
/** As long as it may be, and of wide letters. */
const PURPOSE = 'Root CA of the Ministry, MMXXVI, backup of its WRAPPING KEY';
let app: ElectronApplication;
let page: Page;

/** One window, and nothing of ours in it: any browser would do. */
const WINDOW = `const { app, BrowserWindow } = require('electron');
app.whenReady().then(() => new BrowserWindow({ width: 900, height: 1200, useContentSize: true, webPreferences: { sandbox: true, nodeIntegration: false, contextIsolation: true } }).loadURL('about:blank'));
`;

function share(...args: string[]): { code: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, 'share', ...args], { encoding: 'utf8', timeout: 60_000 });
  return { code: status, said: stdout + stderr };
}

before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  mkdirSync(at('app'));
  writeFileSync(at('app', 'package.json'), JSON.stringify({ name: 'sheets', version: '0.0.0', main: 'window.cjs' }));
  writeFileSync(at('app', 'window.cjs'), WINDOW);
  writeFileSync(at('key'), key);
  const split = (out: string, ...more: string[]) => share('split', '--threshold', '2', '--shares', '3', '--in', at('key'), '--out', at(out), ...more);
  assert.equal(split('ours', '--custodian', 'anna', '--custodian', 'custodian-of-the-third-site-in-the-north', '--custodian', 'carla').code, 0);
  assert.equal(split('words', '--slip39').code, 0);
  const files = (of: string, ending: string) => [1, 2, 3].map((i) => at(of, `share-${i}.${ending}`));
  assert.equal(share('print', ...files('ours', 'pem'), '--set', at('ours', 'set.pem'), '--out', at('sheets'), '--for', PURPOSE, '--rehearsal', '--i-know').code, 0);
  assert.equal(share('print', ...files('words', 'txt'), '--out', at('slip39'), '--for', PURPOSE, '--i-know').code, 0);
  assert.equal(share('form', '--out', at('form.html')).code, 0);
  assert.equal(share('form', '--out', at('form-59.html'), '--words', '59', '--rehearsal').code, 0);
  app = await launch(at('app'), {}, ['--force-device-scale-factor=2']);
  page = await app.firstWindow();
});
after(async () => {
  await app.close();
  rmSync(folder, { recursive: true, force: true });
});

async function open(file: string): Promise<void> {
  await page.goto(pathToFileURL(at(file)).href);
  await page.emulateMedia({ media: 'print' });
}

test('a sheet, a sheet of SLIP-39 and the blank forms: one page each on A4 and on Letter, nothing cut off', async () => {
  for (const [file, picture] of [['sheets/share-2.html', 'sheet'], ['slip39/share-1.html', 'sheet-slip39'], ['form.html', 'sheet-blank'], ['form-59.html', 'sheet-blank-59']] as const) {
    await open(file);
    await page.screenshot({ path: join(PICTURES, `${picture}.png`), fullPage: true });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), `${file}: wider than the page`);
    for (const size of ['A4', 'Letter'] as const) {
      const pdf = await app.evaluate(async ({ BrowserWindow }, pageSize) => (await BrowserWindow.getAllWindows()[0]!.webContents.printToPDF({ pageSize, printBackground: false })).toString('latin1'), size);
      assert.equal(pdf.match(/\/Type\s*\/Page\b/g)?.length, 1, `${file} on ${size}`);
    }
  }
});

test('photographed askew, out of focus and saved as JPEG, two sheets are enough for the key; the third as PNG is theirs too', async () => {
  const photographs: readonly (readonly [string, string, 'jpeg' | 'png'])[] = [
    ['share-1', 'perspective(1800px) rotate(9deg) rotateX(14deg) skewX(3deg) scale(0.8)', 'jpeg'],
    ['share-3', 'perspective(1500px) rotate(97deg) rotateY(-12deg) scale(0.7)', 'jpeg'],
    ['share-2', 'rotate(181deg) scale(0.6)', 'png'],
  ];
  for (const [name, transform, type] of photographs) {
    await open(`sheets/${name}.html`);
    await page.evaluate((how) => {
      document.documentElement.style.background = '#b9b1a3';
      Object.assign(document.body.style, { transform: how, filter: 'blur(0.7px) brightness(0.8) contrast(0.7)' });
    }, transform);
    await page.screenshot({ path: at(`${name}.${type}`), type, ...(type === 'jpeg' && { quality: 55 }) });
  }
  const set = ['--set', at('ours', 'set.pem')];
  assert.equal(share('check', at('share-1.jpeg'), at('share-2.png'), at('share-3.jpeg'), ...set).code, 0);
  const back = share('combine', at('share-1.jpeg'), at('share-3.jpeg'), ...set, '--out', at('back'));
  assert.equal(back.code, 0, back.said);
  assert.deepEqual(readFileSync(at('back')), key);
});

test('zbar reads the same bytes out of the drawn page, and the same words of SLIP-39', async () => {
  const zbar = async (file: string): Promise<string> => {
    await open(file);
    await page.screenshot({ path: at('drawn.png') });
    const { status, stdout, stderr } = spawnSync('zbarimg', ['--quiet', '--raw', '--oneshot', '-Sdisable', '-Sqrcode.enable', at('drawn.png')], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return stdout.trim();
  };
  const text = await zbar('sheets/share-2.html');
  const bytes = spawnSync('base32', ['--decode'], { input: text.padEnd(Math.ceil(text.length / 8) * 8, '=') }).stdout;
  const file = parseShareFile(new Uint8Array(readFileSync(at('ours', 'share-2.pem'))));
  assert.deepEqual(new Uint8Array(bytes), file.form === 'record' ? encodeShare(file.share) : null);
  assert.equal((await zbar('slip39/share-3.html')).toLowerCase(), readFileSync(at('words', 'share-3.txt'), 'utf8').trim());
});
