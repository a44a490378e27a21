/** Cards that come and go in the real window: the Tokens room shows and says it by itself, and a card's PIN is typed in the booth. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { root } from '../../build/machine.mjs';
import { openReaders } from '../electron/devices/card-reader.ts';
import { remove, temporaryFolder, writeModules } from '../electron/house.ts';
import { launch } from './stage.ts';
import { accessible, picture, typePin, waitForBooth } from './table.ts';

test('a SmartCard-HSM is put in, looked at, pulled under the login, and back: nobody presses a key for it', { timeout: 3 * 60_000 }, async (t) => {
  const home = temporaryFolder('cards');
  const readers = await openReaders();
  writeModules(home, [readers.module]);
  const app = await launch(root, { CONCLAVE_HOME: home, ...readers.module.env });
  t.after(async () => {
    await app.close().catch(() => undefined);
    await readers.close();
    remove(home);
  });
  const page = await app.firstWindow();
  await page.getByRole('button', { name: 'Tokens', exact: true }).click();
  const tree = page.getByRole('navigation', { name: 'Modules and tokens' });
  await tree.getByText('no token').first().waitFor();
  const card = tree.getByRole('button', { name: /REHEARSAL Ada/ });
  const said = page.locator('p[role=status]');
  const saying = (words: string) => said.filter({ hasText: words }).waitFor({ state: 'attached', timeout: 10_000 });
  assert.equal(await card.count(), 0);
  const inReader = page.getByRole('region', { name: 'Card readers' }).getByRole('listitem');
  await inReader.filter({ hasText: /^Virtual reader 0 00 00empty$/ }).waitFor();
  assert.equal(await inReader.count(), 2);

  await readers.insert({ serial: 'DETEST00001', label: 'REHEARSAL Ada', pin: '31415926' });
  await saying('REHEARSAL Ada (UserPIN) is here now.');
  await inReader.filter({ hasText: 'REHEARSAL Ada (UserPIN), a token of module opensc' }).waitFor();
  await card.click();
  await page.getByText('Nobody is logged in to this token').waitFor();
  await page.getByTestId('log-in').click();
  const { booth } = await waitForBooth(app);
  await typePin(booth, '31415926');
  await page.getByTestId('log-out').waitFor();
  await picture(page, 'card');
  await accessible(page, 'A card');

  await readers.pull();
  await saying('REHEARSAL Ada (UserPIN) has been taken out.');
  await page.getByText('This token is not here now.').waitFor();
  assert.equal(await card.count(), 0);
  assert.equal(await inReader.filter({ hasText: 'empty' }).count(), 2);
  await accessible(page, 'A card that is gone');
  await readers.pcscd('stopped');
  await saying('the PC/SC service (pcscd) does not answer');
  await readers.pcscd('started');
  await saying('The card reader Virtual reader 0 00 00 is connected.');

  await readers.insert({ serial: 'DETEST00001' });
  await saying('REHEARSAL Ada (UserPIN) is here now.');
  await page.getByText('Nobody is logged in to this token').waitFor();
});
