/** A backup for a key that is there, in the real window: its record saved in the Tokens room, and the ceremony with its distinctive steps, on SoftHSM. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { readKeyRecord } from '../../ceremonies/key-record.ts';
import { ask, playOn } from '../../electron/rehearsal.ts';
import { REHEARSAL_PIN } from '../../electron/devices/protocol.ts';
import { allValues } from '../electron/devices/objects.ts';
import { openHouse, temporaryFolder, withSoftHsm } from '../electron/house.ts';
import { accessible, chooseScript, onCards, ownRecordIsValid, picture, play, press, searchEverywhere, sitDown, type Table } from './table.ts';

/** The window, over a data folder in which an officer has made a key that may leave its token. */
async function withKey(t: TestContext): Promise<Table> {
  const home = temporaryFolder('e2e-later-backup');
  withSoftHsm(home);
  const house = await openHouse(home);
  try {
    await ask(house, { call: 'provision', script: 'key-compromise', parameters: {}, module: 'softhsm' });
    const { modules } = await ask(house, { call: 'estate' });
    const token = modules.flatMap(({ slots }) => slots.flatMap((slot) => (slot.token?.label === 'REHEARSAL CA' ? [slot.token.serial] : [])))[0] ?? assert.fail('no token');
    const { ceremony } = await ask(house, { call: 'log-in', name: 'Stand-in officer', module: 'software', card: null, mode: 'rehearsal', standIns: true });
    await playOn(house, ceremony, { until: (state) => state.current?.step.do.action === 'administer' && !state.checkpointDue });
    const key = { label: 'Payments', kind: 'ec-p256' as const, attributes: { sign: true, extractable: true, modifiable: true }, despite: ['KEY-EXTRACTABLE', 'KEY-MODIFIABLE'] };
    await ask(house, { call: 'administer', ceremony, request: { change: 'generate-key', module: 'softhsm', token, ...key }, acceptFinalTry: false });
    await ask(house, { call: 'log-out', ceremony });
    await playOn(house, ceremony, {});
  } finally {
    await house.stop();
  }
  return sitDown(t, home);
}

/** The record of the key, saved in the Tokens room; then the opening with it. */
async function openWithRecord({ page }: Table): Promise<void> {
  await page.getByTestId('primary').waitFor();
  await page.locator('nav').getByRole('button', { name: 'Tokens', exact: true }).click();
  await page.locator('.tree').getByText('REHEARSAL CA').first().click({ timeout: 5000 });
  await page.locator('.object', { hasText: 'Payments' }).filter({ hasText: 'public-key' }).click();
  await page.locator('.one-object .attributes').waitFor();
  await page.getByTestId('save-key-record').click();
  const path = await page.locator('.one-object .exported .path').innerText();
  assert.equal(readKeyRecord(new Uint8Array(readFileSync(path))).label, 'Payments');
  await picture(page, 'later-backup-record');
  await accessible(page, 'Tokens, the key record saved');
  await page.locator('nav').getByRole('button', { name: 'Ceremonies', exact: true }).click();
  await chooseScript(page, 'share-backup');
  await page.getByLabel(/^Choose a file: The record of the key/).setInputFiles(path);
  await page.locator('.input-file .facts').waitFor();
  await page.getByTestId('make-cards').click();
  await page.locator('[data-testid=primary]:enabled').waitFor({ timeout: 60_000 });
  await picture(page, 'later-backup-open');
  await press(page);
  await page.locator('main[data-pending]').waitFor();
}

test('a key of the Tokens room gets its backup', { timeout: 6 * 60_000 }, async (t) => {
  const table = await withKey(t);
  const { page } = table;
  await openWithRecord(table);
  await play(table, ({ pending }) => pending === 'over', async (step) => {
    if (!['find-key', 'lock-key'].includes(step)) return;
    await picture(page, `later-backup-${step}`);
    if (step === 'find-key') await accessible(page, `Share backup at ${step}`);
  });
  await picture(page, 'later-backup-over');
  await page.getByText('any 2 of 3 shares bring it back').first().waitFor();
  await ownRecordIsValid(page);
  const shares = onCards(await allValues('software', table.home, REHEARSAL_PIN)).filter(({ what }) => what.includes('conclave-share'));
  assert.equal(shares.length, 3);
  await searchEverywhere(table, shares);
});
