/**
 * The ceremonies about the end of keys, with stand-ins in the real window to the verdict: a token is zeroised only when its serial number is
 * written out, and a compromise tells whom it concerns and what to do.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { accessible, beginRehearsal, ownRecordIsValid, picture, play } from './table.ts';

test('token-zeroise: nothing is destroyed before the serial number is written out', { timeout: 6 * 60_000 }, async (t) => {
  const table = await beginRehearsal(t, 'token-zeroise');
  const { page } = table;
  const { modules } = await page.evaluate(async () => {
    const answer = await window.conclave.call({ call: 'estate' });
    return answer.ok ? answer.value : { modules: [] };
  });
  const serial = modules.flatMap(({ slots }) => slots).find(({ token }) => token?.label === 'REHEARSAL hsm')?.token?.serial ?? assert.fail('no token');
  await play(table, ({ step, pending }) => step === 'zeroise' && pending === 'step');
  const button = page.getByTestId('primary');
  const field = page.getByLabel(/serial number/i);
  await field.waitFor();
  await picture(page, 'states-zeroise');
  await accessible(page, 'token-zeroise at zeroise');
  for (const typed of ['', 'destroy', serial.slice(0, -1), `${serial}0`]) {
    await field.fill(typed);
    assert.equal(await button.isDisabled(), true, `"${typed}"`);
    await field.press('Enter');
  }
  assert.equal(await page.locator('main[data-pending]').getAttribute('data-step'), 'zeroise', 'Enter does nothing');
  await field.fill(serial);
  await button.click();
  await play(table, ({ pending }) => pending === 'over', async (step) => {
    if (step === 'token-after') await picture(page, 'states-token-after');
  });
  await picture(page, 'states-zeroise-over');
  await ownRecordIsValid(page);
});

test('key-compromise: whom it concerns and what to do, read aloud before anybody signs', { timeout: 6 * 60_000 }, async (t) => {
  const table = await beginRehearsal(t, 'key-compromise');
  const { page } = table;
  await play(table, ({ step, pending }) => step === 'compromised' && pending === 'witness');
  await page.getByText('Stop every use', { exact: false }).first().waitFor();
  await picture(page, 'states-compromised');
  await accessible(page, 'key-compromise at compromised');
  await play(table, ({ pending }) => pending === 'over');
  await ownRecordIsValid(page);
});

test('key-destruction: nothing before the waiting period is over, which a rehearsal shortens and says so; then copy by copy, and the inventory says so', { timeout: 8 * 60_000 }, async (t) => {
  const table = await beginRehearsal(t, 'key-destruction');
  const { page } = table;
  let waited = false;
  await play(table, ({ step, pending }) => step === 'destroy' && pending === 'step', async (step) => {
    if (step === 'locate') await picture(page, 'destruction-locate');
    if (step !== 'wait' || waited) return;
    waited = true;
    await page.getByText('3 seconds here, for 72 hours in a real ceremony').waitFor();
    await picture(page, 'destruction-wait');
    await accessible(page, 'key-destruction at wait');
    await page.locator('[data-testid=primary]:enabled').waitFor({ timeout: 10_000 });
  });
  assert.ok(waited);
  await page.getByText('Copy 1', { exact: false }).first().waitFor();
  await picture(page, 'destruction-copy');
  await accessible(page, 'key-destruction at destroy');
  // Of the copies, one is left with its reason: by keyboard alone.
  await page.locator('details summary', { hasText: 'not destroyed now' }).focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  // As fast as people type: keys that come faster are taken for a token's, and ignored.
  await page.keyboard.type('it is elsewhere', { delay: 90 });
  await page.keyboard.press('Tab', { delay: 90 });
  await page.waitForTimeout(600);
  await page.keyboard.press('Enter');
  await page.getByText('Copy 2', { exact: false }).first().waitFor();
  await play(table, ({ step, pending }) => step === 'confirm' && pending === 'witness');
  await page.getByText('NOT DESTROYED', { exact: false }).first().waitFor();
  await picture(page, 'destruction-gone');
  await accessible(page, 'key-destruction at confirm');
  await play(table, ({ pending }) => pending === 'over');
  await ownRecordIsValid(page);
});
