/**
 * A table for end-to-end tests: the real Electron window on real tokens, people's cards with PINs of their own, the booth
 * typed into by hand; and the search for canaries afterwards. Every ceremony's test sits down at it.
 */
import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import axe from 'axe-core';
import type { ElectronApplication, Page } from 'playwright';
import { root } from '../../build/machine.mjs';
import { parseShare } from '../../ceremonies/shares/share.ts';
import { allValues } from '../electron/devices/objects.ts';
import { remove, softHsmEntry, softHsmToken, temporaryFolder, withSoftHsm, writeModules } from '../electron/house.ts';
import { launch } from './stage.ts';

export const PICTURES = join(root, 'test', 'pictures');
export const SEATS = ['officer', 'custodian-1', 'custodian-2', 'custodian-3', 'witness', 'auditor'];
export const CUSTODIANS = SEATS.filter((seat) => seat.startsWith('custodian'));

/** A PIN of its own for every token: throw-away, and long enough to be found again if it leaked. */
export function plantedPin(index: number): string {
  return `7${String(31_415_926 + index * 1_234_567).padStart(8, '0')}`;
}

export interface Table {
  readonly home: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly app: ElectronApplication;
  readonly page: Page;
  readonly output: () => string;
}

export async function picture(page: Page, name: string): Promise<void> {
  mkdirSync(PICTURES, { recursive: true });
  for (const theme of ['paper', 'night']) {
    await page.evaluate((wanted) => { document.documentElement.dataset['theme'] = wanted; }, theme);
    await page.screenshot({ path: join(PICTURES, `${name}-${theme}.png`), animations: 'disabled' });
  }
  await page.evaluate(() => { delete document.documentElement.dataset['theme']; });
}

/** axe-core on the page as it stands, in both themes: no serious or critical finding. */
export async function accessible(page: Page, screen: string): Promise<void> {
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
export async function boothOf(app: ElectronApplication): Promise<{ booth: Page; label: string } | null> {
  for (const booth of app.windows()) {
    if (booth.isClosed() || !booth.url().startsWith('app://booth/')) continue;
    const asked = await booth.evaluate(() => ({ state: document.body.dataset['state'] ?? '', words: document.querySelector('#state')?.textContent ?? '', label: document.querySelector('#label')?.textContent ?? '' })).catch(() => null);
    if (asked && asked.words !== '' && !['given', 'cancelled'].includes(asked.state)) return { booth, label: asked.label };
  }
  return null;
}

export async function typePin(booth: Page, pin: string): Promise<void> {
  await booth.keyboard.type(pin, { delay: 5 });
  await lastKey(booth, 'Enter');
}

/** The booth may close on the key going down, before it comes up. */
export async function lastKey(booth: Page, key: string): Promise<void> {
  await booth.keyboard.press(key).catch((error: unknown) => {
    if (!booth.isClosed()) throw error;
  });
}

/** The number of the bag that the step opens or closes, where one is asked for: the one that the screen expects, else a made-up one. Says whether one was. */
export async function numberBag(page: Page): Promise<boolean> {
  const field = page.getByLabel(/^Serial number on the (new bag|bag that is opened)$/);
  if (await field.count() === 0) return false;
  await page.getByText('Looking up in which bag').waitFor({ state: 'detached' });
  const step = await page.locator('main[data-pending]').getAttribute('data-step');
  const expected = /in bag (\S+)\.$/m.exec(await page.locator('.doing').innerText())?.[1];
  if (await field.inputValue() === '') await field.fill(expected ?? `B-${step ?? ''}`);
  return true;
}

/** Does what the screen asks for, once. */
export async function press(page: Page): Promise<void> {
  await numberBag(page);
  await page.getByTestId('primary').click();
}

/** Presses what the screen asks for until `done`, typing PINs when the booth asks. */
export async function play(table: Table, done: (at: { step: string; pending: string }) => boolean | Promise<boolean>, onStep?: (step: string) => Promise<void>): Promise<void> {
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
    await numberBag(page).catch(() => false); // the screen may have gone on
    const button = at.pending === 'witness' ? saw : page.locator('[data-testid=primary]');
    await button.click({ timeout: 2000 }).catch(() => undefined);
    await page.waitForTimeout(15);
  }
  assert.fail(`still at ${last}`);
}

/** Another module beside SoftHSM, made in the data folder: its entry of modules.json, and the PINs of its tokens by label. */
export interface Beside {
  readonly module: object;
  readonly labels: readonly (readonly [label: string, pin: string])[];
}

export async function setTable(t: TestContext, beside: (home: string) => readonly Beside[] = () => []): Promise<Table> {
  const home = temporaryFolder('e2e');
  const conf = withSoftHsm(home);
  const others = beside(home);
  writeModules(home, [softHsmEntry(conf), ...others.map((other) => other.module)]);
  const labels = new Map<string, string>();
  for (const other of others) for (const [label, pin] of other.labels) labels.set(label, pin);
  const make = (label: string) => {
    const pin = plantedPin(labels.size);
    softHsmToken(conf, label, pin);
    labels.set(label, pin);
  };
  make('HSM-A');
  for (const seat of SEATS) make(`ID ${seat}`);
  for (const seat of CUSTODIANS) make(`Share ${seat}`);
  return sitDown(t, home, labels);
}

/** The real window over this data folder, which goes with it in the end. */
export async function sitDown(t: TestContext, home: string, labels: Table['labels'] = new Map()): Promise<Table> {
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

/** The real window, at the first step of a rehearsal from nothing, with stand-ins. */
export async function beginRehearsal(t: TestContext, script: string): Promise<Table> {
  const table = await sitDown(t, temporaryFolder(`e2e-${script}`));
  const { page } = table;
  await chooseScript(page, script);
  await page.getByTestId('make-cards').click();
  await page.locator('[data-testid=primary]:enabled').waitFor({ timeout: 60_000 });
  await picture(page, `rehearsal-${script}-open`);
  await accessible(page, `Open, ${script}`);
  await page.getByTestId('primary').click();
  await page.locator('main[data-pending]').waitFor();
  return table;
}

/** Of a ceremony that is over: its own record is judged valid, and nothing is wrong on the screen. */
export async function ownRecordIsValid(page: Page): Promise<void> {
  await page.getByTestId('verify-own').click();
  await page.waitForFunction(() => /\bvalid\b/i.test(document.body.innerText));
  assert.equal(await page.locator('[role=alert]').count(), 0);
}

/** To the opening of a ceremony, from any screen, through the room of scripts. */
export async function chooseScript(page: Page, name: string): Promise<void> {
  await page.getByTestId('primary').waitFor();
  await page.locator('nav').getByRole('button', { name: 'Scripts', exact: true }).click();
  await page.locator('button.node').filter({ has: page.locator('.note', { hasText: new RegExp(`^${name}$`) }) }).click();
  await page.getByTestId('primary').click();
  await page.getByTestId('make-cards').waitFor();
}

/** Real people instead of stand-ins, and every token and card bound by hand: `token` is the label of the script's token `thing`. */
export async function bindPeople(page: Page, thing: string, token: string): Promise<void> {
  await page.getByText('Stand-ins', { exact: false }).first().waitFor();
  const standIns = page.getByRole('checkbox', { name: /stand-ins/i });
  if (await standIns.isChecked()) await standIns.uncheck();
  const bind = async (row: RegExp, label: string) => {
    const select = page.locator('table.bindings tr').filter({ has: page.locator('th', { hasText: row }) }).locator('select');
    await page.waitForFunction((wanted) => [...document.querySelectorAll('table.bindings option')].some((option) => option.textContent.startsWith(wanted)), label);
    const value = await select.locator('option', { hasText: `${label} ·` }).first().getAttribute('value');
    await select.selectOption(value ?? '');
  };
  await bind(new RegExp(thing, 'i'), token);
  for (const seat of SEATS) await bind(new RegExp(`identity card of ${seat.replace('-', '.?')}`, 'i'), `ID ${seat}`);
  for (const seat of CUSTODIANS) await bind(new RegExp(`share card of ${seat.replace('-', '.?')}`, 'i'), `Share ${seat}`);
}

export async function waitForBooth(app: ElectronApplication): Promise<{ booth: Page; label: string }> {
  for (let i = 0; i < 400; i += 1) {
    const found = await boothOf(app);
    if (found) return found;
    await new Promise((resolve) => { setTimeout(resolve, 25); });
  }
  assert.fail('no booth opened');
}

export interface Planted { readonly what: string; readonly bytes: Uint8Array }

/** Every PIN that people typed, and what lies on their cards: seeds, and the payloads of the shares. */
export async function canaries(table: Table): Promise<void> {
  const { home, labels } = table;
  const planted: Planted[] = [...labels].map(([label, pin]) => ({ what: `PIN of ${label}`, bytes: Buffer.from(pin) }));
  for (const [label, pin] of labels) planted.push(...onCards(await allValues('pkcs11', home, pin, label)));
  assert.equal(planted.filter(({ what }) => what.includes('conclave-share')).length, 3, 'the shares are on the cards');
  assert.equal(planted.filter(({ what }) => what.includes('conclave-identity')).length, SEATS.length, 'the seeds are on the cards');
  await searchEverywhere(table, planted);
}

/** A share object is mostly a public header; its secret part is the payload, which the record commits to but never holds. */
export function onCards(values: readonly { readonly name: string; readonly value: string }[]): Planted[] {
  return values.map(({ name, value }) => ({ what: name, bytes: name.includes('conclave-share') ? parseShare(Buffer.from(value, 'base64')).payload : Buffer.from(value, 'base64') }));
}

/** Looks for secrets, raw and as they could have been written, in the data folder, the output, the exports and the heaps of page and main process. */
export async function searchEverywhere({ app, page, home, output }: Table, planted: readonly Planted[]): Promise<void> {
  const needles = planted.flatMap(({ what, bytes }) => {
    const secret = Buffer.from(bytes);
    const forms = what.startsWith('PIN') ? [secret] : [secret, Buffer.from(secret.toString('hex')), Buffer.from(secret.toString('hex').toUpperCase()), Buffer.from(secret.toString('base64').replace(/=+$/, '')), Buffer.from(secret.toString('base64url'))];
    return forms.map((needle) => ({ what, needle }));
  });
  const search = (where: string, haystack: Buffer) => {
    for (const { what, needle } of needles) assert.ok(!haystack.includes(needle), `${what} found in ${where}`);
  };

  for (const file of readdirSync(home, { recursive: true, encoding: 'utf8' })) {
    const path = join(home, file);
    if (file.startsWith('softhsm') || !lstatSync(path).isFile()) continue; // SoftHSM's own files; Chromium's dangling locks
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
