/**
 * The room of keys in the real window, on records that were really made: after a root CA rehearsal on SoftHSM it shows the root key, its copies and
 * custodians; beside the tokens everything is explained, until somebody makes a key behind its back.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { root } from '../../build/machine.mjs';
import { REHEARSAL_PIN } from '../../electron/devices/protocol.ts';
import { remove, SOFTHSM, temporaryFolder, withSoftHsm } from '../electron/house.ts';
import { launch } from './stage.ts';
import { accessible, picture, typePin, waitForBooth } from './table.ts';

const TOKEN = 'REHEARSAL root-hsm';

test('a root CA rehearsal: the root key, where every copy of it is, who can and who did; and the tokens hold just that', { timeout: 6 * 60_000 }, async (t) => {
  const home = temporaryFolder('keys');
  t.after(() => { remove(home); });
  const conf = withSoftHsm(home);
  await promisify(execFile)(process.execPath, [join(root, 'electron', 'cli.ts'), 'rehearse', 'root-ca', '--module', 'softhsm', '--home', home, '--out', home], { maxBuffer: 2 ** 26 });
  const app = await launch(root, { CONCLAVE_HOME: home });
  t.after(() => app.close().catch(() => undefined));
  const page = await app.firstWindow();
  await page.getByTestId('primary').waitFor();
  await page.keyboard.press('k');
  await page.locator('.key-row').waitFor();
  assert.match(await page.locator('.from').innerText(), /1 key from 1 record that verifies/);

  // What, where, who can, who did.
  await page.locator('.key-row').click();
  const key = page.getByTestId('one-key');
  await key.waitFor();
  await page.waitForFunction(() => document.body.innerText.includes('REHEARSAL root-hsm ('), null, { timeout: 60_000 }); // the estate has answered
  const text = await key.innerText();
  assert.match(text, /ECDSA P-384/);
  assert.match(text, /private key “.*” on REHEARSAL root-hsm/);
  assert.match(text, /any 2 of 3 shares/);
  for (const custodian of [1, 2, 3]) assert.match(text, new RegExp(`share ${custodian}: Stand-in custodian-${custodian}, on REHEARSAL [^\\n]*custodian-${custodian}[^\\n]* read back`));
  assert.match(text, /recovery proven/);
  assert.match(text, /0 of 2 known copies destroyed/);
  assert.match(text, /any 2 of Stand-in custodian-1, Stand-in custodian-2, Stand-in custodian-3/);
  assert.match(text, /expires in 20 years/);
  assert.equal(await page.evaluate(() => document.documentElement.dataset['mode']), 'rehearsal', 'hatched');
  await picture(page, 'keys-root');
  await accessible(page, 'Keys, the root key');
  await key.locator('.question').nth(3).evaluate((element) => element.scrollIntoView());
  await picture(page, 'keys-root-life');

  // Until when it may be used, signed in the logbook: one that ends before it begins is refused by name, and nothing is lost.
  await page.getByTestId('key-period').click();
  await page.getByTestId('logbook-open').click();
  for (let step = 0; step < 2; step += 1) {
    await page.waitForTimeout(600);
    await page.locator('dialog [data-testid=primary]:enabled').click();
  }
  await page.locator('dialog').waitFor({ state: 'detached' });
  await page.getByTestId('key-period').click();
  const dialog = page.locator('dialog');
  await dialog.getByText('Nobody has signed until when it may be used.').waitFor();
  await dialog.getByLabel('It may be used until').fill('2099-01-01');
  await dialog.getByLabel('From, where there is a beginning').fill('2100-01-01');
  await dialog.getByLabel('Why').fill('Policy 7.');
  await page.getByTestId('key-period-go').click();
  await dialog.locator('[role=alert]').getByText('PERIOD-TIMES').waitFor();
  await picture(page, 'keys-period-refused');
  await accessible(page, 'Keys, a period that is refused');
  await dialog.getByLabel('From, where there is a beginning').fill('');
  await page.getByTestId('key-period-go').click();
  await dialog.waitFor({ state: 'detached' });
  await key.getByText('until 2099-01-01, signed by Security officer (rehearsal)').first().waitFor();

  // How often a recovery is proven: counted from the proof of the ceremony, in the row below it; too often is refused by name.
  await key.getByText('none is scheduled').waitFor();
  await page.getByTestId('key-drill').click();
  await dialog.getByText('Nobody has scheduled recovery drills of it.').waitFor();
  await dialog.getByLabel('It is proven at least every').fill('0d');
  await dialog.getByLabel('First by').fill('2035-01-01');
  await dialog.getByLabel('Why').fill('Policy 9.');
  await page.getByTestId('key-drill-go').click();
  await dialog.locator('[role=alert]').getByText('DRILL-INTERVAL').waitFor();
  await dialog.getByLabel('It is proven at least every').fill('90d');
  await page.getByTestId('key-drill-go').click();
  await dialog.waitFor({ state: 'detached' });
  await key.getByText(/next due \d{4}-\d\d-\d\d, in 90 days; every 90 days, signed by Security officer \(rehearsal\)/).waitFor();
  await picture(page, 'keys-drill-scheduled');

  // An event leads to its entry, and back.
  const entry = key.locator('.events .entry-link').first();
  const seq = Number(/\d+/.exec(await entry.innerText())?.[0]);
  await entry.click();
  await page.locator('.player').waitFor();
  assert.match(await page.locator('.player .tabular').innerText(), new RegExp(`^Entry ${seq + 1} of`));
  assert.match(await page.locator('.instruction').innerText(), /Generate the root key|root key/i);
  await page.locator('.player button').first().click();
  await key.waitFor();

  // Beside every token that is there, with stand-ins at each: everything is explained.
  await page.getByRole('button', { name: 'The estate' }).click();
  await page.locator('select[name=compare-login]').selectOption('stand-in');
  await page.getByTestId('compare-tokens').click();
  await page.getByTestId('compared').waitFor({ timeout: 120_000 });
  await page.getByText('Everything that was seen is explained by the records.').waitFor();
  const compared = await page.getByTestId('compared').locator('tbody tr').allInnerTexts();
  assert.equal(compared.length, 11, 'the HSM, six identity cards and the one that signed the period, three share cards');
  for (const row of compared) {
    const [, explained, objects] = /(\d+) of (\d+) objects? explained/.exec(row) ?? [];
    assert.ok(explained === objects && Number(objects) > 0 && row.includes('all objects'), row);
  }
  assert.equal(await page.locator('.estate-findings').count(), 0);
  await picture(page, 'keys-explained');
  await accessible(page, 'Keys, everything explained');

  // A key made behind its back, and a PIN typed in the booth by hand.
  execFileSync('pkcs11-tool', ['--module', SOFTHSM, '--token-label', TOKEN, '--login', '--pin', REHEARSAL_PIN, '--keygen', '--key-type', 'AES:32', '--id', '77', '--label', 'behind'], { env: { ...process.env, SOFTHSM2_CONF: conf }, stdio: 'ignore' });
  const which = page.locator('select[name=compare-which]');
  await which.selectOption(await which.locator('option', { hasText: TOKEN }).getAttribute('value'));
  await page.locator('select[name=compare-login]').selectOption('ask');
  await page.getByTestId('compare-tokens').click();
  const { booth } = await waitForBooth(app);
  await typePin(booth, REHEARSAL_PIN);
  await page.locator('.estate-findings summary').getByText('UNKNOWN-OBJECT').waitFor({ timeout: 60_000 });
  assert.match(await page.getByTestId('compared').locator('tbody tr').innerText(), /2 of 3 objects explained/);
  assert.equal(await page.locator('.key-row').count(), 1, 'nothing is taken over from a token');
  await page.locator('.estate-findings summary').click();
  await picture(page, 'keys-unknown-object');
  await accessible(page, 'Keys, an unknown object');
  await page.locator('nav').getByRole('button', { name: 'Ceremonies', exact: true }).click();
  await page.getByText('1 finding in the inventory').waitFor();
  await picture(page, 'home-findings');
});
