/** A change of custodians in the real window: a seat without an old card, a new card that is missing at first, and every old share erased by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { root } from '../../build/machine.mjs';
import { remove, temporaryFolder } from '../electron/house.ts';
import { launch } from './stage.ts';
import { accessible, chooseScript, ownRecordIsValid, picture, play, press } from './table.ts';

test('custodians change: too few new cards are refused by name, and the record that follows is valid', { timeout: 6 * 60_000 }, async (t) => {
  const home = temporaryFolder('e2e-renewal');
  const app = await launch(root, { CONCLAVE_HOME: home });
  t.after(async () => {
    await app.close().catch(() => undefined);
    remove(home);
  });
  const page = await app.firstWindow();
  await chooseScript(page, 'custodian-change');
  await page.getByTestId('make-cards').click();
  await page.locator('[data-testid=primary]:enabled').waitFor({ timeout: 60_000 });
  const row = (name: RegExp) => page.locator('table.bindings tr').filter({ has: page.locator('th', { hasText: name }) }).locator('select');
  assert.equal(await row(/^share card of custodian.?3/i).inputValue(), '', 'who has just come has no old card');

  const second = row(/new share card of custodian.?2/i);
  const card = await second.inputValue();
  await second.selectOption('');
  await press(page);
  await page.getByText('SET-CUSTODIANS').first().waitFor();
  await picture(page, 'renewal-card-missing');
  await accessible(page, 'Open, custodian-change');
  await second.selectOption(card);
  await press(page);
  await page.locator('main[data-pending]').waitFor();

  const table = { app, page, home, labels: new Map<string, string>(), output: () => '' };
  const seen = new Set<string>();
  await play(table, ({ pending }) => pending === 'over', async (step) => {
    if (!['renew', 'give-new/custodian-3', 'recovery', 'retire/custodian-1', 'token-after'].includes(step)) return;
    const name = `renewal-${step.replace('/', '-')}${seen.has(step) ? '-after' : ''}`;
    seen.add(step);
    await picture(page, name);
    await accessible(page, `custodian-change at ${step}`);
    if (step !== 'retire/custodian-1' || name.endsWith('after')) return;
    // No key of the keyboard erases a share: not the letter of the action, and none is shown.
    const button = page.getByTestId('primary');
    assert.match(await button.getAttribute('class') ?? '', /destroys/);
    assert.equal(await button.locator('kbd').count(), 0);
    await page.keyboard.press('e');
    await page.waitForTimeout(400);
    assert.equal(await page.locator('main').getAttribute('data-step'), step);
  });
  await picture(page, 'renewal-over');
  await accessible(page, 'custodian-change, over');
  await page.getByText('Declared dead, not erased').first().waitFor();
  await ownRecordIsValid(page);
});
