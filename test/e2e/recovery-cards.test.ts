/**
 * A recovery at 3-of-5 in the real window, its shares on smart cards in PC/SC readers: the stage asks for the card of each custodian,
 * names another one that is put in and one that is pulled under its PIN, and in the middle of the restoring waits for a card.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { root } from '../../build/machine.mjs';
import { openFile } from '../../ceremonies/bundle.ts';
import { nativeHasher } from '../../electron/conductor/machine.ts';
import { ask, playRehearsal } from '../../electron/rehearsal.ts';
import { openReaders, type Readers } from '../electron/devices/card-reader.ts';
import { openHouse, remove, temporaryFolder, writeModules } from '../electron/house.ts';
import { launch } from './stage.ts';
import { accessible, chooseScript, ownRecordIsValid, picture, play, press } from './table.ts';

const CARDS = [1, 2, 3, 4, 5].map((n) => `DETEST0000${n}`);
const [ONE = '', TWO = '', THREE = '', FOUR = ''] = CARDS;

/** A root CA at 3-of-5 whose five shares lie on five smart cards; its backup.json. */
async function backedUp(home: string, readers: Readers): Promise<Buffer> {
  for (const [slot, serial] of CARDS.entries()) await readers.insert({ serial }, slot);
  const house = await openHouse(home);
  try {
    const parameters = { algorithm: 'ecdsa-p256', shares: 5, threshold: 3 };
    const shares = Object.fromEntries(CARDS.map((serial, i) => [`custodian-${i + 1}`, { module: 'opensc', serial }]));
    const { bindings } = await ask(house, { call: 'provision', script: 'root-ca', parameters, module: 'software', cards: { 'share-card': shares } });
    const ceremony = await playRehearsal(house, { script: 'root-ca', parameters, module: 'software', hasher: nativeHasher, bindings });
    const { path } = await ask(house, { call: 'export', ceremony });
    return Buffer.from(openFile(new Uint8Array(readFileSync(path))).files?.get('backup.json') ?? assert.fail('no backup.json'));
  } finally {
    await house.stop();
    for (const slot of CARDS.keys()) await readers.pull(slot);
  }
}

test('a root key comes back at 3-of-5 from smart cards, with another card put in and one pulled on the way', { timeout: 8 * 60_000 }, async (t) => {
  const home = temporaryFolder('e2e-recovery-cards');
  const readers = await openReaders(3);
  writeModules(home, [readers.module]);
  const backup = await backedUp(home, readers);
  const app = await launch(root, { CONCLAVE_HOME: home });
  t.after(async () => {
    await app.close().catch(() => undefined);
    await readers.close();
    remove(home);
  });
  const page = await app.firstWindow();
  await chooseScript(page, 'recovery');
  await page.locator('input[name=custodians]').fill('3');

  // There is one reader for all of them: each is put in once, and known from then on.
  for (const serial of [ONE, TWO, THREE]) {
    await readers.insert({ serial });
    await page.waitForFunction((wanted) => [...document.querySelectorAll('table.bindings option')].some((option) => option.textContent.includes(wanted)), serial);
  }
  await readers.pull();
  await page.getByLabel(/^Choose a file: The record of the backup/).setInputFiles({ name: 'backup.json', mimeType: 'application/json', buffer: backup });
  await page.getByText('any 3 of 5 shares').waitFor();
  await page.getByTestId('make-cards').click();
  await page.locator('[data-testid=primary]:enabled').waitFor({ timeout: 60_000 });
  await picture(page, 'recovery-cards-open');
  await accessible(page, 'Open, cards that are not in a reader');
  await press(page);
  await page.locator('main[data-pending]').waitFor();

  const table = { app, page, home, labels: new Map<string, string>(), output: () => '' };
  const call = page.getByTestId('card-call');
  const calls = async (kind: string, words: RegExp) => {
    await page.locator(`[data-testid=card-call][data-kind=${kind}]`).filter({ hasText: words }).waitFor({ timeout: 20_000 });
  };
  const spoken = (words: RegExp) => page.locator('p[role=status].hidden').filter({ hasText: words }).first().waitFor({ state: 'attached', timeout: 10_000 });
  const at = (wanted: string) => play(table, ({ step, pending }) => step === wanted && pending === 'step');
  const next = async (from: string) => {
    await press(page);
    await page.locator(`main[data-pending]:not([data-step="${from}"])`).waitFor({ timeout: 30_000 });
  };

  await at('read-share/custodian-1');
  await calls('insert', /Put in the share card of Custodian 1/);
  await readers.insert({ serial: FOUR });
  await calls('other', /Another card is in the reader: .*which is nobody’s in this ceremony.*Take it out, and put in the share card of Custodian 1/);
  await spoken(/^Another card is in the reader/);
  await picture(page, 'recovery-cards-other');
  await accessible(page, 'Another card in the reader');
  await readers.insert({ serial: ONE });
  await calls('here', /This card is here: the share card of Custodian 1/);
  await spoken(/^This card is here/);
  await picture(page, 'recovery-cards-here');
  await next('read-share/custodian-1');

  // Pulled when its PIN is presented: the error is named, the stage says what to do, and the step goes on.
  await at('read-share/custodian-2');
  await readers.insert({ serial: TWO });
  await calls('here', /Custodian 2/);
  await readers.pullAtPin();
  await press(page);
  await page.locator('[role=alert]').filter({ hasText: /CKR_[A-Z_]+/ }).first().waitFor({ timeout: 30_000 });
  await calls('gone', /The card was taken out: the share card of Custodian 2.*Put it back in, and do the step again/);
  await spoken(/^The card was taken out/);
  await picture(page, 'recovery-cards-gone');
  await accessible(page, 'A card that was pulled');
  await readers.insert({ serial: TWO });
  await calls('here', /Custodian 2/);
  await next('read-share/custodian-2');

  await at('read-share/custodian-3');
  await readers.insert({ serial: THREE });
  await calls('here', /Custodian 3/);
  await next('read-share/custodian-3');

  // The third card is in the reader; the two others are asked for while the key is brought back.
  await at('restore');
  assert.equal(await call.count(), 0, 'whose shares are lent is not drawn yet');
  await press(page);
  await calls('insert', /Put in the share card of Custodian 1/);
  await picture(page, 'recovery-cards-awaited');
  await readers.insert({ serial: ONE }, 1);
  await calls('insert', /Put in the share card of Custodian 2/);
  await readers.insert({ serial: TWO }, 1);
  await page.locator('main[data-pending]:not([data-step="restore"])').or(page.locator('[data-testid^=witness-]')).first().waitFor({ timeout: 60_000 });

  await play(table, ({ pending }) => pending === 'over');
  await picture(page, 'recovery-cards-over');
  await ownRecordIsValid(page);
});
