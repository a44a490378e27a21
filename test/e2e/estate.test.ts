/** A token of ten thousand objects on SoftHSM, browsed in the real window with the keyboard: every row is the token's own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { copyFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../../build/machine.mjs';
import { remove, SOFTHSM, softHsmToken, temporaryFolder, withSoftHsm } from '../electron/house.ts';
import { launch } from './stage.ts';
import { accessible, picture } from './table.ts';

const OBJECTS = 10_000;

/** SoftHSM writes slowly: a few objects are made by another program, and their files copied. */
function fill(home: string, conf: string): void {
  softHsmToken(conf, 'Estate', '271828');
  const value = join(home, 'value');
  writeFileSync(value, 'a public note');
  for (let n = 0; n < 8; n += 1) {
    execFileSync('pkcs11-tool', ['--module', SOFTHSM, '--token-label', 'Estate', '--login', '--pin', '271828', '--write-object', value, '--type', 'data', '--label', `Note ${n}`], { env: { ...process.env, SOFTHSM2_CONF: conf }, stdio: 'ignore' });
  }
  const token = readdirSync(join(home, 'softhsm', 'tokens')).map((name) => join(home, 'softhsm', 'tokens', name))[0] ?? assert.fail('no token');
  const made = readdirSync(token).filter((name) => name.endsWith('.object') && name !== 'token.object');
  assert.equal(made.length, 8);
  for (let n = made.length; n < OBJECTS; n += 1) copyFileSync(join(token, made[n % made.length] ?? ''), join(token, `${randomUUID()}.object`));
}

test('ten thousand objects of a real token: listed, searched, the last one reached, one read in full', { timeout: 180_000 }, async (t) => {
  const home = temporaryFolder('estate');
  t.after(() => { remove(home); });
  fill(home, withSoftHsm(home));
  const app = await launch(root, { CONCLAVE_HOME: home });
  t.after(() => app.close().catch(() => undefined));
  const page = await app.firstWindow();
  await page.getByTestId('primary').waitFor();
  await page.getByRole('link', { name: 'Tokens' }).or(page.getByRole('button', { name: 'Tokens' })).first().click();
  await page.getByText('Estate').first().click();
  await page.locator('.object').first().waitFor();
  const list = page.getByRole('listbox');
  const last = page.locator(`.object[aria-posinset="${OBJECTS}"]`);
  for (let press = 0; press < 40 && (await last.count()) === 0; press += 1) {
    await list.focus();
    await page.keyboard.press('End');
    await page.waitForTimeout(500);
  }
  assert.match(await last.innerText(), /Note \d/);
  assert.ok((await page.locator('.object').count()) < 60, 'only those in sight are drawn');
  await picture(page, 'estate-ten-thousand');
  await accessible(page, 'Tokens, ten thousand objects');
  await page.locator('input[name=search]').or(page.getByTestId('search')).first().fill('label=Note 3');
  await page.keyboard.press('Enter');
  await page.locator('p.hidden[role=status]').getByText('1250 objects found').or(page.locator('p.hidden[role=status]').getByText('1,250 objects found')).first().waitFor();
  await list.focus();
  await page.keyboard.press('ArrowDown');
  await page.waitForTimeout(200); // slower than a token types
  await page.keyboard.press('Enter');
  await page.locator('.one-object .attributes').getByText('Note 3').first().waitFor();
});
