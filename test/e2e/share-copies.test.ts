/**
 * Copies of shares in the real window, with people: the words are shown to their holder in the booth, copied with one wrong word, which is
 * named, and proven from the form; an envelope is sealed, and opened with a key file that its holder chooses. The share is on no page but the
 * booth's, in no file of the data folder, and in no heap of page and main process.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Page } from 'playwright';
import { fromBase64url, utf8 } from '../../ceremonies/bytes.ts';
import { agentOf } from '../../ceremonies/escrow-envelope.ts';
import { readRecipients } from '../../ceremonies/share-envelope.ts';
import { parseSheetWords } from '../../ceremonies/shares/paper.ts';
import { parseLine } from '../../ceremonies/transcript.ts';
import type { Entry } from '../../ceremonies/ceremony.ts';
import { REHEARSAL_PIN } from '../../electron/devices/protocol.ts';
import { allValues } from '../electron/devices/objects.ts';
import { temporaryFolder } from '../electron/house.ts';
import { accessible, beginRehearsal, chooseScript, lastKey, onCards, ownRecordIsValid, picture, PICTURES, play, press, searchEverywhere, sitDown, type Table, typePin, waitForBooth } from './table.ts';

const phase = (booth: Page) => booth.evaluate(() => document.body.dataset['phase'] ?? '');
const words = (booth: Page) => booth.evaluate(() => [...document.querySelectorAll('#digits i')].map((cell) => cell.textContent));
const shot = (booth: Page, name: string) => booth.screenshot({ path: join(PICTURES, `booth-share-${name}.png`) });
/** As fast as people type; all at once would look like a device. */
const type = (booth: Page, keys: string) => booth.keyboard.type(keys, { delay: 35 });

/** Nobody scrolls in the booth. */
const fits = async (booth: Page) => assert.ok(await booth.evaluate(() => document.documentElement.scrollHeight <= window.innerHeight && document.body.scrollHeight <= window.innerHeight), 'the booth is longer than the screen');

/** A rehearsal with two custodians who are people; every card has the published PIN. */
async function begin(table: Table, script: string): Promise<void> {
  const { page } = table;
  await chooseScript(page, script);
  await page.locator('input[name=custodians]').fill('2');
  await page.getByTestId('make-cards').click();
  await page.locator('[data-testid=primary]:enabled').waitFor({ timeout: 60_000 });
  await page.getByRole('checkbox', { name: /stand-ins/i }).uncheck();
  await picture(page, `${script}-open`);
  await accessible(page, `Open, ${script}`);
  await press(page);
  await page.locator('main[data-pending]').waitFor();
}

function published(): Map<string, string> {
  const labels = new Map<string, string>();
  labels.get = () => REHEARSAL_PIN;
  return labels;
}

/** The booth of the words, once the PIN of the card is typed. */
async function wordsBooth({ app, page }: Table): Promise<Page> {
  await press(page);
  await typePin((await waitForBooth(app)).booth, REHEARSAL_PIN);
  for (let i = 0; i < 200; i += 1) {
    const { booth } = await waitForBooth(app);
    if ((await phase(booth).catch(() => '')) === 'alone') return booth;
    await page.waitForTimeout(25);
  }
  return assert.fail('no booth for the words');
}

test('share-paper with people: shown alone, a wrong word named, proven from the form', { timeout: 8 * 60_000 }, async (t) => {
  const table = await sitDown(t, temporaryFolder('e2e-share-paper'), published());
  const { page } = table;
  await begin(table, 'share-paper');
  const shares: Uint8Array[] = [];
  for (const seat of ['custodian-1', 'custodian-2']) {
    await play(table, ({ step, pending }) => step === `write/${seat}` && pending === 'step');
    if (seat === 'custodian-1') await picture(page, 'share-paper-step');
    const booth = await wordsBooth(table);
    assert.deepEqual(new Set(await words(booth)), new Set(['____']), 'nothing is shown before the holder is alone');
    if (seat === 'custodian-1') await shot(booth, 'alone');
    await booth.keyboard.press('Enter');
    await booth.waitForFunction(() => document.body.dataset['phase'] === 'shown');
    const form = (await words(booth)).map((word) => word ?? '');
    assert.equal(form.length, 33);
    assert.match(await booth.locator('#wanted').innerText(), /S-[0-9A-F]{8}/);
    shares.push(parseSheetWords(utf8(form.join(' '))).payload);
    if (seat === 'custodian-1') await shot(booth, 'shown');
    await fits(booth);
    await booth.keyboard.press('Enter');
    assert.deepEqual(new Set(await words(booth)), new Set(['____']), 'it is hidden again');
    // One word of the copy is wrong; four letters are enough.
    const wrong = seat === 'custodian-1' ? form.map((word, at) => (at === 9 ? (word === 'academic' ? 'acid' : 'academic') : word)) : form;
    await type(booth, `${wrong.slice(0, 12).map((word) => word.slice(0, 4)).join(' ')} `);
    assert.deepEqual((await words(booth)).slice(0, 13), [...Array.from({ length: 12 }, () => '••••'), '____']);
    await fits(booth);
    if (seat === 'custodian-1') {
      await shot(booth, 'typing');
      await booth.keyboard.down('Tab');
      assert.deepEqual((await words(booth)).slice(0, 12), wrong.slice(0, 12));
      await booth.keyboard.up('Tab');
      await type(booth, 'zzzz ');
      assert.match(await booth.locator('#state').innerText(), /none of the words/);
    }
    await type(booth, wrong.slice(12).join(' '));
    if (seat === 'custodian-1') {
      await booth.keyboard.press('Enter');
      assert.match(await booth.locator('#state').innerText(), /word 10 is probably wrong/);
      await shot(booth, 'wrong');
      await fits(booth);
      await type(booth, form[9] ?? '');
    }
    await lastKey(booth, 'Enter');
    await page.locator(`main[data-pending=witness][data-step="write/${seat}"]`).waitFor();
    if (seat === 'custodian-1') await picture(page, 'share-paper-proven');
    if (seat === 'custodian-1') await accessible(page, 'A share on paper');
  }
  await play(table, ({ pending }) => pending === 'over');
  await ownRecordIsValid(page);
  await searchEverywhere(table, shares.map((bytes, i) => ({ what: `share ${i + 1}`, bytes })));
});

test('share-envelope with people: sealed, and opened with the own key file', { timeout: 8 * 60_000 }, async (t) => {
  const table = await sitDown(t, temporaryFolder('e2e-share-envelope'), published());
  const { page, home, app } = table;
  await begin(table, 'share-envelope');
  await play(table, ({ step, pending }) => step === 'compare-key/custodian-1' && pending === 'step');
  await picture(page, 'share-envelope-key');
  await play(table, ({ step, pending }) => step === 'seal/custodian-1' && pending === 'witness');
  await picture(page, 'share-envelope-sealed');
  await accessible(page, 'An envelope, sealed');
  const [ceremony] = await page.evaluate(async () => {
    const bridge = (window as unknown as { conclave: { call(request: unknown): Promise<{ value: { ceremony: string }[] }> } }).conclave;
    return (await bridge.call({ call: 'ceremonies' })).value.map((one) => one.ceremony);
  });
  const first = await page.evaluate(async (which) => {
    const bridge = (window as unknown as { conclave: { call(request: unknown): Promise<{ value: { lines: string[] } }> } }).conclave;
    return (await bridge.call({ call: 'entries', ceremony: which, from: 0 })).value.lines[0];
  }, ceremony);
  const recipients = (parseLine(first ?? '') as Entry<'opened'>).data.inputs['recipients']?.bytes ?? '';
  const keys = readRecipients(fromBase64url(recipients), null).map((key) => agentOf(key).sha256);
  const keyFile = (index: number) => ({ name: 'holder.p8', mimeType: 'application/pkcs8', buffer: readFileSync(join(home, 'bundles', `rehearsal-holder-${(keys[index] ?? '').slice(0, 16)}.p8`)) });
  for (const [index, seat] of ['custodian-1', 'custodian-2'].entries()) {
    await play(table, ({ step, pending }) => step === `open/${seat}` && pending === 'step');
    const choose = page.getByLabel(/^Choose a file: Your private key/);
    if (index === 0) {
      await picture(page, 'share-envelope-open-step');
      // Another custodian's key opens nothing.
      await choose.setInputFiles(keyFile(1));
      await press(page);
      await typePin((await waitForBooth(app)).booth, REHEARSAL_PIN);
      await page.locator('[role=alert]', { hasText: 'RECIPIENT-OWN' }).first().waitFor();
      await picture(page, 'share-envelope-refused');
      await accessible(page, 'An envelope that another key cannot open');
    }
    await choose.setInputFiles(keyFile(index));
    await page.locator('[data-testid=primary]:enabled').waitFor();
    await press(page);
    const { booth } = await waitForBooth(app);
    assert.match(await booth.locator('body').innerText(), /password/i);
    await typePin(booth, REHEARSAL_PIN);
    await page.locator(`main[data-pending=witness][data-step="open/${seat}"]`).waitFor();
    if (index === 0) await picture(page, 'share-envelope-opened');
  }
  await play(table, ({ pending }) => pending === 'over');
  await ownRecordIsValid(page);
  await searchEverywhere(table, onCards(await allValues('software', home, REHEARSAL_PIN)));
});

for (const script of ['share-return', 'share-return-paper'] as const) {
  test(`${script} with stand-ins: onto a new card`, { timeout: 5 * 60_000 }, async (t) => {
    const table = await beginRehearsal(t, script);
    const { page } = table;
    await play(table, ({ step, pending }) => step === 'return' && pending === 'witness');
    await picture(page, `${script}-written`);
    await accessible(page, `A share on its new card, ${script}`);
    await play(table, ({ pending }) => pending === 'over');
    await ownRecordIsValid(page);
    await searchEverywhere(table, onCards(await allValues('software', table.home, REHEARSAL_PIN)));
  });
}
