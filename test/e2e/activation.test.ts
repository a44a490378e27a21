/**
 * A token gets a PIN that nobody knows, in the real window on SoftHSM, every PIN of a card typed by hand and the token's old one typed
 * for the last time; afterwards the new one, computed here from two cards, opens the token and is found nowhere. Then a token is opened
 * by its quorum, and another one gets a new user PIN by its officer's, from nothing, with stand-ins.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { combine } from 'shamir-secret-sharing';
import { readActivationRecord } from '../../ceremonies/activation.ts';
import { openFile } from '../../ceremonies/bundle.ts';
import { parseShare } from '../../ceremonies/shares/share.ts';
import { derivePin } from '../../electron/devices/activating.ts';
import { allValues } from '../electron/devices/objects.ts';
import { accessible, beginRehearsal, bindPeople, canaries, chooseScript, CUSTODIANS, ownRecordIsValid, picture, play, press, setTable } from './table.ts';

test('a token on SoftHSM gets a quorum of 2-of-3, and its PIN is nowhere', { timeout: 12 * 60_000 }, async (t) => {
  const table = await setTable(t);
  const { page, home, labels } = table;
  await chooseScript(page, 'activation-split');
  await bindPeople(page, 'hsm', 'HSM-A');
  await picture(page, 'activation-split-open');
  await accessible(page, 'Open, activation-split');
  await press(page);
  await page.locator('main[data-pending]').waitFor();
  await play(table, ({ pending }) => pending === 'over', async (step) => {
    if (step === 'set-pin') await accessible(page, 'Activation at set-pin');
    if (['make-key', 'wipe-key', 'set-pin'].includes(step)) await picture(page, `activation-split-${step}`);
  });
  await press(page);
  await page.waitForFunction(() => document.body.innerText.includes('.zip'));

  const [bundle = ''] = readdirSync(join(home, 'bundles')).filter((name) => name.endsWith('.zip'));
  const file = openFile(new Uint8Array(readFileSync(join(home, 'bundles', bundle)))).files?.get('activation.json') ?? assert.fail('no activation.json');
  const { token, pin: { length } } = readActivationRecord(file);
  const shares: Uint8Array[] = [];
  for (const seat of CUSTODIANS.slice(0, 2)) {
    const [share] = (await allValues('pkcs11', home, labels.get(`Share ${seat}`) ?? '', `Share ${seat}`)).filter(({ name }) => name.startsWith('conclave-share'));
    const { header, payload } = parseShare(new Uint8Array(Buffer.from(share?.value ?? '', 'base64')));
    shares.push(Uint8Array.from([...payload, header.x]));
  }
  const pin = Buffer.from(derivePin({ key: await combine(shares), length }, token.serial)).toString();
  await canaries({ ...table, labels: new Map([...labels, ['HSM-A', pin]]) }); // logs in to every token with its PIN, and then looks for each of them
});

test('activate from nothing, with stand-ins', { timeout: 6 * 60_000 }, async (t) => {
  const table = await beginRehearsal(t, 'activate');
  const { page } = table;
  await play(table, ({ pending }) => pending === 'over', async (step) => {
    if (['agree/custodian-1', 'open-token', 'find-key', 'close-token', 'seal-3/officer'].includes(step)) await picture(page, `activate-${step.replace('/', '-')}`);
    if (step === 'open-token') await accessible(page, 'Activate at open-token');
  });
  await picture(page, 'activate-over');
  await ownRecordIsValid(page);
});

test('user-pin-reset from nothing, with stand-ins', { timeout: 6 * 60_000 }, async (t) => {
  const table = await beginRehearsal(t, 'user-pin-reset');
  const { page } = table;
  await play(table, ({ pending }) => pending === 'over', async (step) => {
    if (step !== 'reset-pin') return;
    await picture(page, 'user-pin-reset-reset-pin');
    await accessible(page, 'User PIN reset at reset-pin');
  });
  await ownRecordIsValid(page);
});
