/**
 * The ceremonies about the end of keys, with stand-ins in the real window to the verdict: a token is zeroised only when its serial number is
 * written out, and a compromise tells whom it concerns and what to do.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openFile } from '../../ceremonies/bundle.ts';
import { fileDigest } from '../../ceremonies/verify.ts';
import { accessible, beginRehearsal, ownRecordIsValid, picture, PICTURES, play } from './table.ts';

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
  const { app, home, page } = table;
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

  // The certificate on paper: the page of the bundle, as a file where the person chooses, whose text can be read and searched.
  const print = async (filePath: string) => {
    await app.evaluate(({ dialog }, chosen) => { dialog.showSaveDialog = () => Promise.resolve({ canceled: chosen === '', filePath: chosen }); }, filePath);
    await page.getByTestId('print-certificate').click();
    await page.locator('[data-testid=print-certificate]:enabled').waitFor();
  };
  await print('');
  assert.equal(await page.locator('.exported, [role=alert]').count(), 0, 'who chooses no file gets none');
  await print(join(home, 'no', 'such', 'folder.pdf'));
  await page.locator('[role=alert]').getByText('PRINTING').waitFor();
  const pdf = join(home, 'certificate.pdf');
  assert.equal(existsSync(pdf), false);
  await print(pdf);
  await page.locator('.exported').getByText(pdf).waitFor();
  await picture(page, 'destruction-printed');
  await accessible(page, 'key-destruction, its certificate printed');
  assert.ok((await page.locator('.exported').innerText()).replace(/\s/g, '').includes(fileDigest(new Uint8Array(readFileSync(pdf)))));
  assert.equal(app.windows().length, 1, 'the window that nobody saw is gone');
  await page.getByTestId('primary').click();
  const bundle = await page.locator('.exported code', { hasText: '.zip' }).innerText();
  const html = Buffer.from(openFile(new Uint8Array(readFileSync(bundle))).files?.get('certificate-of-destruction.html') ?? assert.fail('no certificate')).toString();
  const lastHash = /Hash of the last entry<[^]*?([0-9a-f]{4} [0-9a-f ]+)</.exec(html)?.[1] ?? assert.fail('the certificate names no hash');
  execFileSync('pdftoppm', ['-r', '70', '-png', pdf, join(PICTURES, 'destruction-certificate')]);
  const read = execFileSync('pdftotext', ['-layout', pdf, '-'], { encoding: 'utf8' });
  const squeezed = read.replace(/\s/g, '');
  for (const words of [...html.replace(/<head>[^]*<\/head>|<[^>]+>/g, ' ').replace(/&#(\d+);/g, (_all, code: string) => String.fromCharCode(Number(code))).split(/\s+/)]) if (words.length <= 20) assert.ok(squeezed.includes(words), `the PDF lacks ${words}`);
  assert.ok(squeezed.includes(lastHash.slice(0, 39).replace(/ /g, '')), 'the PDF names the head of the record');
  for (const sheet of read.split('\f').slice(0, -1)) assert.match(sheet, /REHEARSAL[^]*transcript: [^]*head /, 'every page is marked, and bound to the record');
  await ownRecordIsValid(page);
});
