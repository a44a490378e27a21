/** A custody-movement, rehearsed from nothing in the real window: what is not handed over ends with an exception, and the Custody room shows all of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { accessible, beginRehearsal, ownRecordIsValid, picture, play } from './table.ts';

test('custody-movement, with stand-ins', { timeout: 6 * 60_000 }, async (t) => {
  const table = await beginRehearsal(t, 'custody-movement');
  const { page } = table;
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
  await ownRecordIsValid(page);
  await page.locator('nav').getByRole('button', { name: 'Custody', exact: true }).click();
  await page.getByText('CUSTODY-NOT-HANDED-OVER').waitFor();
  await page.getByRole('cell', { name: '1 not accounted for' }).first().waitFor();
  const says = await page.locator('.custody-map desc').textContent();
  assert.match(says ?? '', /north-branch\. .*: bag REHEARSAL-[0-9a-f]{8}.*1 thing moved from head-office to north-branch/);
  assert.match(says ?? '', /sheet REHEARSAL-[0-9a-f]{8} \(not accounted for\)/);
  await picture(page, 'custody-room');
  await accessible(page, 'Custody');
});
