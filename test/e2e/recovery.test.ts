/**
 * A recovery at 3-of-5 in the real window, from the record that an earlier ceremony left: four custodians come, with one wrong card before
 * the opening, one that comes back before its share is read, and one whose share nobody can read. Then the drill, from nothing.
 */
import assert from 'node:assert/strict';
import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readBackupRecord } from '../../ceremonies/backup-record.ts';
import { openFile } from '../../ceremonies/bundle.ts';
import { combineChecked, parseShare } from '../../ceremonies/shares/share.ts';
import { nativeHasher } from '../../electron/conductor/machine.ts';
import { REHEARSAL_PIN } from '../../electron/devices/protocol.ts';
import { ask, playRehearsal } from '../../electron/rehearsal.ts';
import { allValues } from '../electron/devices/objects.ts';
import { openHouse, temporaryFolder } from '../electron/house.ts';
import { accessible, beginRehearsal, chooseScript, onCards, ownRecordIsValid, picture, play, press, searchEverywhere, sitDown, type Table } from './table.ts';

/** What root-ca leaves at 3-of-5, in this data folder. */
async function backedUp(home: string): Promise<Buffer> {
  const house = await openHouse(home);
  try {
    const ceremony = await playRehearsal(house, { script: 'root-ca', parameters: { algorithm: 'ecdsa-p256', shares: 5, threshold: 3 }, module: 'software', hasher: nativeHasher });
    const { path } = await ask(house, { call: 'export', ceremony });
    return Buffer.from(openFile(new Uint8Array(readFileSync(path))).files?.get('backup.json') ?? assert.fail('no backup.json'));
  } finally {
    await house.stop();
  }
}

test('a root key comes back at 3-of-5, with a wrong card, a missing one and one left unread on the way', { timeout: 6 * 60_000 }, async (t) => {
  const home = temporaryFolder('e2e-recovery');
  const backup = await backedUp(home);
  const record = readBackupRecord(new Uint8Array(backup));
  const table = await sitDown(t, home);
  const { page } = table;
  await chooseScript(page, 'recovery');
  await page.locator('input[name=custodians]').fill('4');
  await page.getByLabel(/^Choose a file: The record of the backup/).setInputFiles({ name: 'backup.json', mimeType: 'application/json', buffer: backup });
  await page.getByText('any 3 of 5 shares').waitFor();
  await page.getByTestId('make-cards').click();
  await page.locator('[data-testid=primary]:enabled').waitFor({ timeout: 60_000 });

  // The cards of the backup are there, and bound. Somebody brings another one.
  const row = page.locator('table.bindings tr').filter({ has: page.locator('th', { hasText: /share card of custodian.?2/i }) }).locator('select');
  const right = await row.inputValue();
  const named = record.shares.find(({ card }) => right.includes(card));
  assert.ok(named, `${right} is no card of the backup`);
  const wrong = await row.locator('option', { hasText: 'REHEARSAL root-hsm' }).first().getAttribute('value');
  await row.selectOption(wrong ?? assert.fail('no other token'));
  await picture(page, 'recovery-open');
  await accessible(page, 'Open, recovery');
  await press(page);
  await page.getByText('CARD-OF-BACKUP').first().waitFor();
  await picture(page, 'recovery-wrong-card');
  await row.selectOption(right);
  await press(page);
  await page.locator('main[data-pending]').waitFor();

  // The second custodian's card is not in the reader.
  await play(table, ({ step, pending }) => step === 'read-share/custodian-2' && pending === 'step');
  const card = join(home, 'software-tokens', `${named.card}.token`);
  renameSync(card, `${home}-away`);
  await press(page);
  await page.getByText('TOKEN_MISSING').first().waitFor();
  await picture(page, 'recovery-missing-card');
  renameSync(`${home}-away`, card);
  await press(page);
  await page.locator('main[data-pending]:not([data-step="read-share/custodian-2"])').waitFor();

  // The fourth one's card stays away: three are enough, and what the exception says stands in the record.
  const fourth = record.shares[3] ?? assert.fail('no fourth share');
  const lost = join(home, 'software-tokens', `${fourth.card}.token`);
  await play(table, ({ step, pending }) => step === 'read-share/custodian-4' && pending === 'step');
  assert.equal(await page.getByTestId('not-read').count(), 0, 'a share is left only once it was tried');
  renameSync(lost, `${home}-away`);
  await press(page);
  await page.getByTestId('not-read').click();
  const dialog = page.getByRole('dialog');
  for (const [label, words] of [['expected', 'The share of custodian 4.'], ['happened', 'The card is in no reader.'], ['decided', 'Three other shares are enough.']] as const) await dialog.getByLabel(new RegExp(`What .*${label}`)).fill(words);
  await picture(page, 'recovery-left-unread');
  await accessible(page, 'A share left unread');
  await dialog.getByRole('button', { name: 'Record the exception' }).click();
  await page.locator('main[data-pending]:not([data-step="read-share/custodian-4"])').waitFor();

  await play(table, ({ pending }) => pending === 'over', async (step) => {
    if (step !== 'restore' && step !== 'prove') return;
    await picture(page, `recovery-${step}`);
    await accessible(page, `Recovery at ${step}`);
  });
  await picture(page, 'recovery-over');
  await ownRecordIsValid(page);
  renameSync(`${home}-away`, lost);

  // A quorum was lent and the backup key was whole for a moment: neither is anywhere but on the cards.
  const onEveryCard = await allValues('software', home, REHEARSAL_PIN);
  const shares = onEveryCard.filter(({ name }) => name.includes('conclave-share'));
  assert.equal(shares.length, 5);
  const backupKey = await combineChecked(shares.slice(0, 3).map(({ value }) => parseShare(Buffer.from(value, 'base64'))), record.set);
  await searchEverywhere(table, [...onCards(onEveryCard), { what: 'the backup key', bytes: backupKey }]);
});

/** A bag is opened and another one closed with the keyboard alone: the number, then the button; an empty field presses nothing. */
async function bagsByKeyboard(table: Table): Promise<void> {
  const { page } = table;
  for (const [at, label, number] of [['read-share/custodian-1', 'Serial number on the bag that is opened', 'OPENED-1'], ['bag-cards/custodian-1', 'Serial number on the new bag', 'KEYBOARD-1']] as const) {
    await play(table, ({ step, pending }) => step === at && pending === 'step');
    const field = page.getByLabel(label);
    await field.waitFor();
    assert.ok(await page.getByTestId('primary').isDisabled(), 'no number yet');
    for (let i = 0; i < 40 && !(await field.evaluate((element) => element === document.activeElement)); i += 1) await page.keyboard.press('Tab');
    await page.keyboard.type(number, { delay: 30 });
    await picture(page, `bag-${at.replace('/', '-')}`);
    await accessible(page, `${at}, with its bag`);
    await page.keyboard.press('Tab');
    assert.ok(await page.getByTestId('primary').evaluate((element) => element === document.activeElement), 'the button is next');
    await page.waitForTimeout(300); // keys closer together are taken for a token that types
    await page.keyboard.press('Enter');
    await page.waitForFunction((step) => document.querySelector<HTMLElement>('main[data-pending]')?.dataset['step'] !== step, at);
  }
}

for (const script of ['recovery', 'recovery-rehearsal', 'ha-clone'] as const) {
  test(`${script} from nothing, with stand-ins`, { timeout: 6 * 60_000 }, async (t) => {
    const table = await beginRehearsal(t, script);
    const { page } = table;
    if (script === 'recovery-rehearsal') await bagsByKeyboard(table);
    await play(table, ({ pending }) => pending === 'over');
    await picture(page, `${script}-stand-ins-over`);
    await ownRecordIsValid(page);
    if (script !== 'recovery-rehearsal') return;
    await page.locator('nav').getByRole('button', { name: 'Custody', exact: true }).click();
    await page.getByRole('cell', { name: 'KEYBOARD-1' }).first().waitFor();
    assert.equal(await page.getByRole('cell', { name: 'OPENED-1' }).count(), 0, 'what was opened is waste');
    await picture(page, 'custody-bags');
    await accessible(page, 'Custody, with bags');
  });
}
