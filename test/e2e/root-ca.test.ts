/**
 * The whole root CA ceremony in the real Electron window, on SoftHSM: an officer, three custodians, a witness and an
 * auditor, each with a card of their own, and every PIN typed by hand in the booth. Afterwards a fresh process accepts the
 * bundle, and nothing that was secret is found anywhere it must not be.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import axe from 'axe-core';
import type { ElectronApplication, Page } from 'playwright';
import { root } from '../../build/machine.mjs';
import { parseShare } from '../../ceremonies/shares/share.ts';
import { allValues } from '../electron/devices/objects.ts';
import { remove, softHsmToken, temporaryFolder, withSoftHsm } from '../electron/house.ts';
import { launch } from './stage.ts';

const PICTURES = join(root, 'test', 'pictures');
const SEATS = ['officer', 'custodian-1', 'custodian-2', 'custodian-3', 'witness', 'auditor'];
const CUSTODIANS = SEATS.filter((seat) => seat.startsWith('custodian'));

/** A PIN of its own for every token: throw-away, and long enough to be found again if it leaked. */
function plantedPin(index: number): string {
  return `7${String(31_415_926 + index * 1_234_567).padStart(8, '0')}`;
}

interface Table {
  readonly home: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly app: ElectronApplication;
  readonly page: Page;
  readonly output: () => string;
}

async function picture(page: Page, name: string): Promise<void> {
  mkdirSync(PICTURES, { recursive: true });
  for (const theme of ['paper', 'night']) {
    await page.evaluate((wanted) => { document.documentElement.dataset['theme'] = wanted; }, theme);
    await page.screenshot({ path: join(PICTURES, `${name}-${theme}.png`), animations: 'disabled' });
  }
  await page.evaluate(() => { delete document.documentElement.dataset['theme']; });
}

/** axe-core on the page as it stands, in both themes: no serious or critical finding. */
async function accessible(page: Page, screen: string): Promise<void> {
  // The page's policy forbids eval, so the tool comes in through the debugger.
  const session = await page.context().newCDPSession(page);
  for (const theme of ['paper', 'night']) {
    await page.evaluate((wanted) => { document.documentElement.dataset['theme'] = wanted; }, theme);
    await page.waitForTimeout(200); // transitions of colour
    const { result } = await session.send('Runtime.evaluate', {
      expression: `${axe.source}; axe.run().then(({ violations }) => violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' | ').slice(0, 300)))`,
      awaitPromise: true, returnByValue: true, allowUnsafeEvalBlockedByCSP: true,
    });
    assert.deepEqual(result.value, [], `${screen}, ${theme}`);
  }
  await session.detach();
  await page.evaluate(() => { delete document.documentElement.dataset['theme']; });
}

/** The booth that is open now, if any, and which token it asks for. */
async function boothOf(app: ElectronApplication): Promise<{ booth: Page; label: string } | null> {
  for (const booth of app.windows()) {
    if (booth.isClosed() || !booth.url().startsWith('app://booth/')) continue;
    const asked = await booth.evaluate(() => ({ state: document.body.dataset['state'] ?? '', words: document.querySelector('#state')?.textContent ?? '', label: document.querySelector('#label')?.textContent ?? '' })).catch(() => null);
    if (asked && asked.words !== '' && !['given', 'cancelled'].includes(asked.state)) return { booth, label: asked.label };
  }
  return null;
}

async function typePin(booth: Page, pin: string): Promise<void> {
  await booth.keyboard.type(pin, { delay: 5 });
  await lastKey(booth, 'Enter');
}

/** The booth may close on the key going down, before it comes up. */
async function lastKey(booth: Page, key: string): Promise<void> {
  await booth.keyboard.press(key).catch((error: unknown) => {
    if (!booth.isClosed()) throw error;
  });
}

/** Presses what the screen asks for until `done`, typing PINs when the booth asks. */
async function play(table: Table, done: (at: { step: string; pending: string }) => boolean | Promise<boolean>, onStep?: (step: string) => Promise<void>): Promise<void> {
  const { app, page, labels } = table;
  let last = '';
  const deadline = Date.now() + 9 * 60_000;
  while (Date.now() < deadline) {
    const wanted = await boothOf(app);
    if (wanted) {
      const pin = labels.get(wanted.label);
      assert.ok(pin, `the booth asks for an unknown token: ${wanted.label}`);
      await typePin(wanted.booth, pin);
      continue;
    }
    const main = page.locator('main[data-pending]');
    const at = await main.evaluate((element: HTMLElement) => ({ step: element.dataset['step'] ?? '', pending: element.dataset['pending'] ?? '', busy: element.dataset['busy'] === 'true' })).catch(() => null);
    if (at === null || at.busy) {
      await page.waitForTimeout(25);
      continue;
    }
    if (await done(at)) return;
    const key = `${at.step} ${at.pending}`;
    if (key !== last) {
      last = key;
      await onStep?.(at.step);
    }
    const trouble = await page.locator('[role=alert]').allInnerTexts();
    assert.deepEqual(trouble.filter((text) => text.trim() !== ''), [], `at ${at.step}`);
    const saw = page.locator('[data-testid^=witness-]').first();
    const button = at.pending === 'witness' ? saw : page.locator('[data-testid=primary]');
    await button.click({ timeout: 2000 }).catch(() => undefined);
    await page.waitForTimeout(15);
  }
  assert.fail(`still at ${last}`);
}

async function setTable(t: TestContext): Promise<Table> {
  const home = temporaryFolder('e2e');
  const conf = withSoftHsm(home);
  const labels = new Map<string, string>();
  const make = (label: string) => {
    const pin = plantedPin(labels.size);
    softHsmToken(conf, label, pin);
    labels.set(label, pin);
  };
  make('HSM-A');
  for (const seat of SEATS) make(`ID ${seat}`);
  for (const seat of CUSTODIANS) make(`Share ${seat}`);
  const app = await launch(root, { CONCLAVE_HOME: home });
  let output = '';
  app.process().stdout?.on('data', (chunk: Buffer) => { output += chunk.toString(); });
  app.process().stderr?.on('data', (chunk: Buffer) => { output += chunk.toString(); });
  t.after(async () => {
    await app.close().catch(() => undefined);
    remove(home);
  });
  return { home, labels, app, page: await app.firstWindow(), output: () => output };
}

test('root CA at 2-of-3 on SoftHSM, PINs typed in the booth, the bundle verified by a fresh process, no canary anywhere', { timeout: 12 * 60_000 }, async (t) => {
  const table = await setTable(t);
  const { page, app, home } = table;

  await page.getByTestId('primary').waitFor();
  await picture(page, 'home');
  await accessible(page, 'Home');
  await page.getByTestId('primary').click();

  // Opening: the officer fills in the form and binds every token by its serial number.
  await page.getByTestId('make-cards').waitFor();
  await page.locator('select[name=algorithm]').selectOption('ecdsa-p384');
  await page.locator('input[name=common-name]').fill('Example Root CA G1');
  await page.getByText('Stand-ins', { exact: false }).first().waitFor();
  const standIns = page.locator('input[type=checkbox]');
  if (await standIns.isChecked()) await standIns.uncheck();
  const bind = async (row: RegExp, label: string) => {
    const select = page.locator('table.bindings tr').filter({ has: page.locator('th', { hasText: row }) }).locator('select');
    await page.waitForFunction((wanted) => [...document.querySelectorAll('table.bindings option')].some((option) => option.textContent.startsWith(wanted)), label);
    const value = await select.locator('option', { hasText: `${label} ·` }).first().getAttribute('value');
    await select.selectOption(value ?? '');
  };
  await bind(/root-hsm/i, 'HSM-A');
  for (const seat of SEATS) await bind(new RegExp(`identity card of ${seat.replace('-', '.?')}`, 'i'), `ID ${seat}`);
  for (const seat of CUSTODIANS) await bind(new RegExp(`share card of ${seat.replace('-', '.?')}`, 'i'), `Share ${seat}`);
  await picture(page, 'open');
  await accessible(page, 'Open');
  await page.getByTestId('primary').click();
  await page.locator('main[data-pending]').waitFor();

  // A wrong PIN first: the booth says so, the record keeps it, nothing is lost and nothing is retried by itself.
  await play(table, ({ step }) => step === 'enrol/officer');
  await picture(page, 'opening');
  await page.getByTestId('primary').click();
  const first = await waitForBooth(app);
  await first.booth.screenshot({ path: join(PICTURES, 'booth.png') });
  await typePin(first.booth, '99999999');
  await page.locator('[role=alert]').first().waitFor();
  assert.match(await page.locator('[role=alert]').first().innerText(), /CKR_PIN_INCORRECT/);
  await picture(page, 'refusal-wrong-pin');
  await accessible(page, 'Refusal');
  // Then a cancelled one: only the cancelling is recorded.
  await page.getByTestId('primary').click();
  const second = await waitForBooth(app);
  await lastKey(second.booth, 'Escape');
  await page.locator('[role=alert]', { hasText: 'PIN_CANCELLED' }).first().waitFor();
  await page.getByTestId('primary').click();
  await waitForBooth(app);

  const photographed = new Set(['enrol/custodian-1', 'token-out', 'make-root', 'certify', 'give-share/custodian-2', 'recovery', 'seal-5/witness', 'bag-cards/custodian-1']);
  await play(table, ({ pending }) => pending === 'over', async (step) => {
    if (!photographed.has(step)) return;
    await picture(page, `ceremony-${step.replace('/', '-')}`);
    if (['make-root', 'seal-5/witness'].includes(step)) await accessible(page, `Ceremony at ${step}`);
  });
  await picture(page, 'ceremony-over');
  await accessible(page, 'Ceremony, over');
  await page.getByTestId('primary').click();
  await page.waitForFunction(() => document.body.innerText.includes('.zip'));

  // What the auditor sees in the window.
  await page.getByTestId('replay').click();
  await page.locator('input[type=range]').waitFor();
  await picture(page, 'replay');
  await accessible(page, 'Replay');

  // A fresh process, from the terminal.
  const [bundle] = readdirSync(join(home, 'bundles')).filter((name) => name.endsWith('.zip'));
  assert.ok(bundle);
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'electron', 'cli.ts'), 'verify', join(home, 'bundles', bundle), '--json'], { maxBuffer: 64 * 1024 * 1024 });
  const verdict = JSON.parse(stdout) as { verdict: string; findings: unknown[]; entries: number; remarks: { text: string }[] };
  assert.equal(verdict.verdict, 'valid');
  assert.deepEqual(verdict.findings, []);
  assert.ok(verdict.remarks.some((remark) => remark.text.includes('CKR_PIN_INCORRECT')));
  t.diagnostic(`${verdict.entries} entries`);

  await canaries(table);
});

async function waitForBooth(app: ElectronApplication): Promise<{ booth: Page; label: string }> {
  for (let i = 0; i < 400; i += 1) {
    const found = await boothOf(app);
    if (found) return found;
    await new Promise((resolve) => { setTimeout(resolve, 25); });
  }
  assert.fail('no booth opened');
}

/** Looks for every PIN, share and seed in the data folder, the output, the exports and the heaps of page and main process. */
async function canaries({ app, page, home, labels, output }: Table): Promise<void> {
  const secrets: { what: string; bytes: Buffer }[] = [...labels].map(([label, pin]) => ({ what: `PIN of ${label}`, bytes: Buffer.from(pin) }));
  for (const [label, pin] of labels) {
    for (const { name, value } of await allValues(home, label, pin)) secrets.push({ what: `${name} on ${label}`, bytes: Buffer.from(value, 'base64') });
  }
  assert.ok(secrets.filter(({ what }) => what.includes('conclave-share')).length === 3, 'the shares are on the cards');
  assert.ok(secrets.filter(({ what }) => what.includes('conclave-identity')).length === SEATS.length, 'the seeds are on the cards');
  // A share object is mostly a public header; its secret part is the payload, which the record commits to but never holds.
  const needles = secrets.flatMap(({ what, bytes }) => {
    const secret = what.includes('conclave-share') ? Buffer.from(parseShare(bytes).payload) : bytes;
    const forms = what.startsWith('PIN') ? [secret] : [secret, Buffer.from(secret.toString('hex')), Buffer.from(secret.toString('base64').replace(/=+$/, '')), Buffer.from(secret.toString('base64url'))];
    return forms.map((needle) => ({ what, needle }));
  });
  const search = (where: string, haystack: Buffer) => {
    for (const { what, needle } of needles) assert.ok(!haystack.includes(needle), `${what} found in ${where}`);
  };

  for (const file of readdirSync(home, { recursive: true, encoding: 'utf8' })) {
    const path = join(home, file);
    if (file.startsWith('softhsm') || !lstatSync(path).isFile()) continue; // the tokens themselves; Chromium's dangling locks
    search(path, readFileSync(path));
  }
  search('the app\'s output', Buffer.from(output()));
  // The page's whole heap, with every string that ever crossed its IPC and is still referenced.
  const session = await page.context().newCDPSession(page);
  const chunks: string[] = [];
  session.on('HeapProfiler.addHeapSnapshotChunk', ({ chunk }) => chunks.push(chunk));
  await session.send('HeapProfiler.takeHeapSnapshot', { reportProgress: false });
  search('the page\'s heap', Buffer.from(chunks.join('')));
  const mainHeap = await app.evaluate(({ app: electron }) => {
    const file = `${electron.getPath('temp')}/conclave-main-${process.pid}.heapsnapshot`;
    (process as unknown as { getBuiltinModule: (name: 'v8') => { writeHeapSnapshot: (file: string) => string } }).getBuiltinModule('v8').writeHeapSnapshot(file);
    return file;
  });
  search('the main process\'s heap', readFileSync(mainHeap));
  remove(mainHeap);
}
