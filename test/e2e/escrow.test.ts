/**
 * A key is released from escrow in the real window, by people and not by stand-ins: everybody types a PIN, the agent chooses the own key
 * file and types its password in the booth. A key in clear gets no further than the page that was handed it.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../../build/machine.mjs';
import { REHEARSAL_PIN } from '../../electron/devices/protocol.ts';
import { remove, temporaryFolder } from '../electron/house.ts';
import { launch } from './stage.ts';
import { accessible, chooseScript, picture, play, press, typePin, waitForBooth } from './table.ts';

/** Every card of a rehearsal has the published PIN. */
class Published extends Map<string, string> {
  override get(): string {
    return REHEARSAL_PIN;
  }
}

test('the agent brings the key file, and the key is released', { timeout: 6 * 60_000 }, async (t) => {
  const home = temporaryFolder('e2e-escrow');
  const app = await launch(root, { CONCLAVE_HOME: home });
  t.after(async () => {
    await app.close().catch(() => undefined);
    remove(home);
  });
  const page = await app.firstWindow();
  await chooseScript(page, 'escrow-release');
  await page.locator('input[name=approvers]').fill('2');
  await page.getByTestId('make-cards').click();
  await page.locator('[data-testid=primary]:enabled').waitFor({ timeout: 60_000 });
  await page.getByText('REHEARSAL escrow agent').first().waitFor();
  await page.getByRole('checkbox', { name: /stand-ins/i }).uncheck();
  await picture(page, 'escrow-release-open');
  await accessible(page, 'Open, escrow-release');
  await press(page);
  await page.locator('main[data-pending]').waitFor();

  const table = { app, page, home, labels: new Published(), output: () => '' };
  await play(table, ({ step, pending }) => step === 'release' && pending === 'step');
  const choose = page.getByLabel(/^Choose a file: The agent/);
  const clear = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
  await choose.setInputFiles({ name: 'clear.pem', mimeType: 'application/x-pem-file', buffer: Buffer.from(clear) });
  await page.getByText('IMPORT-ENCRYPTED').first().waitFor();
  assert.equal(await page.getByTestId('primary').isDisabled(), true);
  await picture(page, 'escrow-key-in-clear');
  const [file = ''] = readdirSync(join(home, 'bundles')).filter((name) => name.startsWith('rehearsal-agent-'));
  await choose.setInputFiles({ name: file, mimeType: 'application/pkcs8', buffer: readFileSync(join(home, 'bundles', file)) });
  await page.locator('[data-testid=primary]:enabled').waitFor();
  await picture(page, 'escrow-key-file');
  await accessible(page, 'The agent\'s key file');
  await press(page);
  const { booth } = await waitForBooth(app);
  assert.match(await booth.locator('body').innerText(), /password/i);
  await typePin(booth, REHEARSAL_PIN);
  await play(table, ({ step }) => step === 'prove');
  await picture(page, 'escrow-released');
});
