/**
 * Components in the real window, with people: each is shown to its holder in the booth, copied (once wrongly), typed again, and the key is
 * formed; or each is brought on a form and typed. A component is on no page but the booth's, in no file of the data folder, and in no heap
 * of page and main process.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Page } from 'playwright';
import { toHex } from '../../ceremonies/bytes.ts';
import { checkValue } from '../../ceremonies/keys/check-value.ts';
import { REHEARSAL_PIN } from '../../electron/devices/protocol.ts';
import { temporaryFolder } from '../electron/house.ts';
import { accessible, chooseScript, lastKey, ownRecordIsValid, picture, PICTURES, play, searchEverywhere, sitDown, waitForBooth, type Table } from './table.ts';

const phase = (booth: Page) => booth.evaluate(() => document.body.dataset['phase'] ?? '');
const digits = (booth: Page, id: string) => booth.evaluate((of) => [...document.querySelectorAll(`#${of} i`)].map((cell) => cell.textContent).join(''), id);
/** As fast as people type; all at once would look like a device. */
const type = (booth: Page, keys: string) => booth.keyboard.type(keys, { delay: 35 });
const shot = (booth: Page, name: string) => booth.screenshot({ path: join(PICTURES, `booth-component-${name}.png`) });

/** Looks at the component and gives both lines of the form. */
async function copied(booth: Page): Promise<{ component: string; check: string }> {
  assert.equal(await phase(booth), 'alone');
  assert.equal(await digits(booth, 'digits'), '_'.repeat(64), 'nothing is shown before the holder is alone');
  await booth.keyboard.press('Enter');
  await booth.waitForFunction(() => document.body.dataset['phase'] === 'shown');
  const form = { component: await digits(booth, 'digits'), check: await digits(booth, 'check') };
  assert.match(`${form.component} ${form.check}`, /^[0-9A-F]{64} [0-9A-F]{6}$/);
  return form;
}

/** At the first step, with two custodians who type in the booth themselves. */
async function withPeople(t: TestContext, script: string, more: (page: Page) => Promise<void> = () => Promise.resolve()): Promise<Table> {
  // Every token of a rehearsal has the published PIN.
  const labels = new Map<string, string>();
  labels.get = () => REHEARSAL_PIN;
  const table = await sitDown(t, temporaryFolder(`e2e-${script}`), labels);
  const { page } = table;
  await chooseScript(page, script);
  await page.locator('input[name=components]').fill('2');
  await more(page);
  await page.getByTestId('make-cards').click();
  await page.locator('[data-testid=primary]:enabled').waitFor({ timeout: 60_000 });
  await page.getByRole('checkbox', { name: /stand-ins/i }).uncheck();
  await picture(page, `${script}-open`);
  await page.getByTestId('primary').click();
  await page.locator('main[data-pending]').waitFor();
  return table;
}

test('component-issue with people: shown alone, a wrong copy refused, proven from the form, formed', { timeout: 8 * 60_000 }, async (t) => {
  const table = await withPeople(t, 'component-issue');
  const { app, page } = table;
  const forms: string[] = [];
  await play(table, ({ step, pending }) => step === 'component/custodian-1' && pending === 'step');
  await picture(page, 'component-issue-step');
  await accessible(page, 'A component, before the booth opens');
  await page.getByTestId('primary').click();
  const { booth } = await waitForBooth(app);
  await shot(booth, 'alone');
  const first = await copied(booth);
  forms.push(first.component);
  await shot(booth, 'shown');
  await booth.keyboard.press('Enter');
  assert.equal(await digits(booth, 'digits'), '_'.repeat(64), 'it is hidden again');
  await type(booth, `${first.component.slice(0, 4)} ${first.component.slice(4, 10)}`);
  assert.equal(await digits(booth, 'digits'), '•'.repeat(10) + '_'.repeat(54));
  await shot(booth, 'typing');
  await booth.keyboard.down('Tab');
  assert.equal((await digits(booth, 'digits')).slice(0, 10), first.component.slice(0, 10));
  await shot(booth, 'looking');
  await booth.keyboard.up('Tab');
  assert.equal((await digits(booth, 'digits')).slice(0, 10), '•'.repeat(10));
  // One digit of the copy is wrong.
  const wrong = first.component[10] === '0' ? '1' : '0';
  await type(booth, `g${wrong}${first.component.slice(11)}`);
  await booth.keyboard.press('Enter');
  assert.equal(await phase(booth), 'check');
  await type(booth, first.check);
  await shot(booth, 'check');
  await lastKey(booth, 'Enter');
  await page.locator('[role=alert]', { hasText: 'COMPONENT-READ-BACK' }).first().waitFor();
  await picture(page, 'component-issue-refused');
  await accessible(page, 'A component refused');

  for (const seat of ['custodian-1', 'custodian-2']) {
    if (seat === 'custodian-2') await play(table, ({ step, pending }) => step === `component/${seat}` && pending === 'step');
    await page.getByTestId('primary').click();
    const { booth: own } = await waitForBooth(app);
    const form = await copied(own);
    forms.push(form.component);
    await own.keyboard.press('Enter');
    await type(own, form.component.toLowerCase());
    await own.keyboard.press('Enter');
    await type(own, form.check);
    await lastKey(own, 'Enter');
    await page.locator(`main[data-pending=witness][data-step="component/${seat}"]`).waitFor();
    if (seat === 'custodian-1') await picture(page, 'component-issue-proven');
  }
  assert.equal(new Set(forms).size, 3, 'after a wrong copy another component is drawn');

  await play(table, ({ pending }) => pending === 'over', async (step) => {
    if (step === 'token-after') await picture(page, 'component-issue-formed');
  });
  await picture(page, 'component-issue-over');
  await ownRecordIsValid(page);

  await searchEverywhere(table, forms.map((form, i) => ({ what: `component ${i + 1}`, bytes: Buffer.from(form, 'hex') })));
});

test('component-entry with people: a check value of another form refused, both components typed, the key of the forms', { timeout: 8 * 60_000 }, async (t) => {
  const forms = [0, 1].map(() => Uint8Array.from(randomBytes(32)));
  const key = forms[0]!.map((byte, i) => byte ^ forms[1]![i]!);
  const table = await withPeople(t, 'component-entry', (page) => page.locator('input[name=total]').fill(checkValue('cmac', key)));
  const { app, page } = table;
  for (const [index, form] of forms.entries()) {
    const step = `component/custodian-${index + 1}`;
    await play(table, (at) => at.step === step && at.pending === 'step');
    // The first custodian reads the check value from the wrong line.
    for (const check of index === 0 ? ['ffffff', checkValue('cmac', form)] : [checkValue('cmac', form)]) {
      await page.getByTestId('primary').click();
      const { booth } = await waitForBooth(app);
      assert.equal(await phase(booth), 'component', 'nothing is shown: it is typed from the form');
      await type(booth, toHex(form));
      await booth.keyboard.press('Enter');
      await type(booth, check);
      if (index === 0) await shot(booth, `entry-${check === 'ffffff' ? 'wrong' : 'right'}`);
      await lastKey(booth, 'Enter');
      if (check === 'ffffff') {
        await page.locator('[role=alert]', { hasText: 'COMPONENT-CHECK-VALUE' }).first().waitFor();
        await picture(page, 'component-entry-refused');
        await accessible(page, 'A check value refused');
      }
    }
    await page.locator(`main[data-pending=witness][data-step="${step}"]`).waitFor();
  }
  await play(table, ({ pending }) => pending === 'over', async (step) => {
    if (step === 'token-after') await picture(page, 'component-entry-formed');
  });
  await ownRecordIsValid(page);
  await searchEverywhere(table, [...forms, key].map((bytes, i) => ({ what: i < 2 ? `component ${i + 1}` : 'the key', bytes })));
});
