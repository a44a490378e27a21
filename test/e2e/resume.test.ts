/**
 * What happens between the steps, in the real window with stand-ins and the keyboard alone: something unexpected, a break
 * with a head count, power cut (kill -9 of the whole app), resumption by another officer, and the record carried to its end.
 */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ElectronApplication, Page } from 'playwright';
import { root } from '../../build/machine.mjs';
import { QUIET_MS } from '../../renderer/keyboard.ts';
import { remove, temporaryFolder } from '../electron/house.ts';
import { launch } from './stage.ts';
import { numberBag } from './table.ts';

const PICTURES = join(root, 'test', 'pictures');
const at = (page: Page) => page.locator('main[data-pending]').evaluate((element: HTMLElement) => ({ step: element.dataset['step'] ?? '', pending: element.dataset['pending'] ?? '', busy: element.dataset['busy'] === 'true' })).catch(() => null);

/** Presses the key that the screen offers, until `done`. */
async function byKeyboard(page: Page, done: (step: string, pending: string) => boolean): Promise<void> {
  const deadline = Date.now() + 2 * 60_000;
  while (Date.now() < deadline) {
    const now = await at(page);
    if (!now || now.busy) {
      await page.waitForTimeout(20);
      continue;
    }
    if (done(now.step, now.pending)) return;
    if (now.pending === 'step' && await numberBag(page)) await page.keyboard.press('Tab'); // out of the field
    const button = page.locator(now.pending === 'witness' ? '[data-testid^=witness-]:enabled' : '[data-testid=primary]:enabled').first();
    const key = await button.locator('kbd').innerText({ timeout: 500 }).catch(() => '');
    if (key !== '') await page.keyboard.press(key.toLowerCase());
    await page.waitForTimeout(3 * QUIET_MS); // keys closer together are taken for a token that types, and ignored
  }
  await page.screenshot({ path: join(PICTURES, 'stuck.png') });
  assert.fail(`the ceremony does not go on: ${JSON.stringify(await at(page))}`);
}

async function open(home: string): Promise<{ app: ElectronApplication; page: Page }> {
  const app = await launch(root, { CONCLAVE_HOME: home });
  return { app, page: await app.firstWindow() };
}

test('exception, break, power cut, another officer, and the end', { timeout: 8 * 60_000 }, async (t) => {
  const home = temporaryFolder('e2e-resume');
  mkdirSync(PICTURES, { recursive: true });
  let { app, page } = await open(home);
  t.after(async () => {
    await app.close().catch(() => undefined);
    remove(home);
  });

  // The first start: three sentences and one button. Two sets of cards, so that there is a spare one later.
  await page.getByTestId('primary').click();
  await page.locator('select[name=algorithm]').selectOption('ecdsa-p256');
  await page.locator('input[name=shares]').fill('2');
  const made = async () => {
    await page.getByTestId('make-cards').click();
    await page.waitForFunction(() => [...document.querySelectorAll<HTMLSelectElement>('table.bindings select')].every((select) => select.value !== ''));
  };
  await made();
  await made();
  await page.locator('[data-testid=primary]:enabled').click();
  await page.locator('main[data-pending]').waitFor();
  await byKeyboard(page, (step) => step === 'token-random');

  // Something unexpected: by the key X, an exception in four sentences; then a break.
  await page.keyboard.press('x');
  const dialog = page.locator('dialog[open]');
  const fields = dialog.locator('textarea');
  await fields.nth(0).fill('A closed door.');
  await fields.nth(1).fill('The door was open for a minute.');
  await fields.nth(2).fill('We closed it and go on.');
  await page.screenshot({ path: join(PICTURES, 'unexpected-paper.png') });
  await dialog.locator('footer button').click();
  await dialog.waitFor({ state: 'hidden' });
  await page.keyboard.press('x');
  await dialog.locator('input[type=radio]').nth(1).check();
  await dialog.locator('textarea').first().fill('Lunch.');
  await dialog.locator('footer button').click();
  await page.locator('main[data-pending=back]').waitFor();
  await page.screenshot({ path: join(PICTURES, 'break-paper.png') });
  // A wrong head count is refused by name.
  const count = page.locator('main input[type=number]');
  await count.fill('6');
  await page.locator('[data-testid=primary]:enabled').click();
  await page.getByText('HEAD-COUNT').first().waitFor();
  await count.fill('5');
  await page.locator('[data-testid=primary]:enabled').click();
  await page.locator('main[data-pending=step]').waitFor();
  await byKeyboard(page, (step) => step === 'give-share/custodian-2');

  // The power is cut.
  const gone = new Promise((resolve) => { app.process().once('exit', resolve); });
  app.process().kill('SIGKILL');
  await gone;

  ({ app, page } = await open(home));
  await page.locator('li.interrupted button').first().click();
  await page.locator('.resume').waitFor();
  for (const box of await page.locator('.resume fieldset').first().locator('input[type=checkbox]').all()) await box.check();
  await page.locator('.resume input[name=officer]').nth(1).check();
  await page.locator('.resume input:not([type])').first().fill('The Second Officer');
  const spare = page.locator('#new-card option', { hasText: 'identity officer' });
  await spare.first().waitFor({ state: 'attached' });
  await page.locator('#new-card').selectOption(await spare.first().getAttribute('value') ?? '');
  await page.locator('.resume textarea').fill('The power was cut.');
  const standIns = page.locator('.resume .checks').last().locator('input[type=checkbox]');
  if (!await standIns.isChecked()) await standIns.check();
  await page.screenshot({ path: join(PICTURES, 'resume-paper.png') });
  await page.locator('[data-testid=primary]:enabled').click();
  await byKeyboard(page, (_step, pending) => pending === 'over');
  await page.screenshot({ path: join(PICTURES, 'over-paper.png') });

  // The auditor's verdict, in the window.
  await page.getByTestId('verify-own').click();
  await page.getByText('TRUST', { exact: false }).first().waitFor();
  await page.waitForFunction(() => document.body.innerText.includes('The Second Officer'));
  await page.screenshot({ path: join(PICTURES, 'audit-paper.png'), fullPage: true });
  const body = await page.locator('body').innerText();
  for (const wanted of ['The power was cut.', 'The door was open for a minute.']) assert.ok(body.includes(wanted), wanted);
  const answer = await page.evaluate(async () => {
    const list = await window.conclave.call({ call: 'ceremonies' });
    const ceremony = list.ok ? list.value[0]?.ceremony ?? '' : '';
    return window.conclave.call({ call: 'verify-own', ceremony });
  });
  assert.ok(answer.ok);
  assert.deepEqual(answer.value.verdict.findings, []);
  assert.equal(answer.value.verdict.verdict, 'valid');
});
