/**
 * The whole root CA ceremony in the real Electron window, on SoftHSM: an officer, three custodians, a witness and an
 * auditor, each with a card of their own, and every PIN typed by hand in the booth. Afterwards a fresh process accepts the
 * bundle, and nothing that was secret is found anywhere it must not be.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { root } from '../../build/machine.mjs';
import { accessible, bindPeople, canaries, lastKey, picture, PICTURES, play, press, setTable, typePin, waitForBooth } from './table.ts';

test('root CA at 2-of-3 on SoftHSM, PINs typed in the booth, the bundle verified by a fresh process, no canary anywhere', { timeout: 12 * 60_000 }, async (t) => {
  const table = await setTable(t);
  const { page, app, home } = table;

  await page.getByTestId('primary').waitFor();
  await picture(page, 'home');
  await accessible(page, 'Home');
  await press(page);

  // Opening: the officer fills in the form and binds every token by its serial number.
  await page.getByTestId('make-cards').waitFor();
  await page.locator('select[name=algorithm]').selectOption('ecdsa-p384');
  await page.locator('input[name=common-name]').fill('Example Root CA G1');
  await bindPeople(page, 'root-hsm', 'HSM-A');
  await picture(page, 'open');
  await accessible(page, 'Open');
  await press(page);
  await page.locator('main[data-pending]').waitFor();

  // A wrong PIN first: the booth says so, the record keeps it, nothing is lost and nothing is retried by itself.
  await play(table, ({ step }) => step === 'enrol/officer');
  await picture(page, 'opening');
  await press(page);
  const first = await waitForBooth(app);
  await first.booth.screenshot({ path: join(PICTURES, 'booth.png') });
  await typePin(first.booth, '99999999');
  await page.locator('[role=alert]').first().waitFor();
  assert.match(await page.locator('[role=alert]').first().innerText(), /CKR_PIN_INCORRECT/);
  await picture(page, 'refusal-wrong-pin');
  await accessible(page, 'Refusal');
  // Then a cancelled one: only the cancelling is recorded.
  await press(page);
  const second = await waitForBooth(app);
  await lastKey(second.booth, 'Escape');
  await page.locator('[role=alert]', { hasText: 'PIN_CANCELLED' }).first().waitFor();
  await press(page);
  await waitForBooth(app);

  const photographed = new Set(['enrol/custodian-1', 'token-out', 'make-root', 'certify', 'give-share/custodian-2', 'recovery', 'seal-5/witness', 'bag-cards/custodian-1']);
  await play(table, ({ pending }) => pending === 'over', async (step) => {
    if (!photographed.has(step)) return;
    await picture(page, `ceremony-${step.replace('/', '-')}`);
    if (['make-root', 'seal-5/witness'].includes(step)) await accessible(page, `Ceremony at ${step}`);
  });
  await picture(page, 'ceremony-over');
  await accessible(page, 'Ceremony, over');
  await press(page);
  await page.waitForFunction(() => document.body.innerText.includes('.zip'));

  // What the auditor sees in the window.
  await page.getByTestId('replay').click();
  await page.locator('input[type=range]').waitFor();
  await picture(page, 'replay');
  await accessible(page, 'Replay');

  // A fresh process, from the terminal.
  const [bundle] = readdirSync(join(home, 'bundles')).filter((name) => name.endsWith('.zip'));
  assert.ok(bundle);
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'electron', 'cli.ts'), 'verify', join(home, 'bundles', bundle), '--json'], { maxBuffer: 64 * 1024 * 1024 });
  const verdict = JSON.parse(stdout) as { verdict: string; findings: unknown[]; entries: number; remarks: { text: string }[] };
  assert.equal(verdict.verdict, 'valid');
  assert.deepEqual(verdict.findings, []);
  assert.ok(verdict.remarks.some((remark) => remark.text.includes('CKR_PIN_INCORRECT')));
  t.diagnostic(`${verdict.entries} entries`);

  await canaries(table);
});
