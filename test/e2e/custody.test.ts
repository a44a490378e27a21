/** A custody-movement, rehearsed from nothing in the real window: what is not handed over ends with an exception, and the Custody room shows all of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { remove, temporaryFolder } from '../electron/house.ts';
import { launch } from './stage.ts';
import { root } from '../../build/machine.mjs';
import { accessible, chooseScript, picture, play } from './table.ts';

test('custody-movement, with stand-ins', { timeout: 6 * 60_000 }, async (t) => {
  const home = temporaryFolder('e2e-custody');
  const app = await launch(root, { CONCLAVE_HOME: home });
  t.after(async () => {
    await app.close().catch(() => undefined);
    remove(home);
  });
  const page = await app.firstWindow();
  await chooseScript(page, 'custody-movement');
  await page.getByTestId('make-cards').click();
  await page.locator('[data-testid=primary]:enabled').waitFor({ timeout: 60_000 });
  await picture(page, 'custody-open');
  await accessible(page, 'Open, custody-movement');
  await page.getByTestId('primary').click();
  await page.locator('main[data-pending]').waitFor();
  const table = { app, page, home, labels: new Map<string, string>(), output: () => '' };
  await play(table, ({ step }) => step === 'hand-over/2', async (step) => {
    if (step !== 'hand-over/1') return;
    await picture(page, 'custody-hand-over');
    await accessible(page, 'custody-movement at hand-over/1');
  });
  await page.getByTestId('not-handed-over').click();
  const dialog = page.locator('dialog');
  for (const [label, words] of [['What was expected', 'The sheet in its folder.'], ['What happened', 'The folder was empty.'], ['What was decided', 'We look for it at once.']] as const) await dialog.getByLabel(label).fill(words);
  await dialog.getByRole('button', { name: 'Record the exception' }).click();
  await dialog.waitFor({ state: 'detached' });
  await play(table, ({ pending }) => pending === 'over');
  await page.getByTestId('verify-own').click();
  await page.waitForFunction(() => /\bvalid\b/i.test(document.body.innerText));
  await page.locator('nav').getByRole('button', { name: 'Custody', exact: true }).click();
  await page.getByText('CUSTODY-NOT-HANDED-OVER').waitFor();
  await page.getByRole('cell', { name: '1 not accounted for' }).first().waitFor();
  const says = await page.locator('.custody-map desc').textContent();
  assert.match(says ?? '', /north-branch\. .*: bag REHEARSAL-[0-9a-f]{8}.*1 thing moved from head-office to north-branch/);
  assert.match(says ?? '', /sheet REHEARSAL-[0-9a-f]{8} \(not accounted for\)/);
  await picture(page, 'custody-room');
  await accessible(page, 'Custody');
});
