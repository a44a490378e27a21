/**
 * An officer changes a token in the real Electron window, on SoftHSM, with the keyboard alone: logs in to the logbook, makes
 * a key, tries it, destroys it, logs out and signs. PINs are typed in the booth. Afterwards a fresh process accepts the
 * logbook.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { root } from '../../build/machine.mjs';
import { SO_PIN } from '../electron/house.ts';
import { accessible, boothOf, picture, setTable, typePin, waitForBooth, type Table } from './table.ts';

/** Slower than a token types: Enter a moment after another key would be taken for a flood. */
const PERSON_MS = 200;

function keyboard({ page, app, labels }: Table) {
  const tabTo = async (wanted: string) => {
    const reached: string[] = [];
    for (let i = 0; i < 90; i += 1) {
      const at = await page.evaluate(() => {
        const element = document.activeElement;
        if (!(element instanceof HTMLElement)) return '';
        return element.dataset['testid'] ?? element.getAttribute('role') ?? (element.getAttribute('name') || ('labels' in element ? (element as HTMLInputElement).labels?.[0]?.innerText : '') || element.innerText.split('\n')[0] || '').trim();
      });
      if (at === wanted) return;
      reached.push(at);
      await page.keyboard.press('Tab');
    }
    assert.fail(`no way to ${wanted} with Tab: ${[...new Set(reached)].join(' | ')}`);
  };
  const press = async (key: string) => {
    await page.waitForTimeout(PERSON_MS);
    await page.keyboard.press(key);
  };
  return {
    tabTo,
    press,
    go: async (wanted: string) => {
      await tabTo(wanted);
      await press('Enter');
    },
    write: (text: string) => page.keyboard.type(text, { delay: 20 }),
    pin: async (of: string) => {
      const { booth, label } = await waitForBooth(app);
      assert.equal(label, of);
      await typePin(booth, labels.get(of) ?? '');
    },
  };
}

test('with the keyboard alone: log in, make a key, try it, destroy it, log out and sign; the logbook is sound', { timeout: 6 * 60_000 }, async (t) => {
  const table = await setTable(t);
  const { page, home } = table;
  const { tabTo, press, go, write, pin } = keyboard(table);
  await page.getByTestId('primary').waitFor();
  await go('Tokens');
  await page.locator('.tree').getByText('HSM-A').waitFor();

  // Into the logbook, with a card of the officer's own: its PIN is typed in the booth.
  await press('l');
  await page.getByTestId('logbook-open').waitFor();
  await tabTo('logbook-card');
  await press('ArrowDown');
  await tabTo('logbook-bound');
  await write('ID officer');
  await press('Tab');
  await tabTo('logbook-stand-ins');
  await press(' ');
  await go('logbook-open');
  await page.locator('dialog').getByText('Read the fingerprint of these rules').waitFor();
  await accessible(page, 'Logbook, words');
  await press('t');
  await page.locator('dialog').getByText('Log in with your identity card').waitFor();
  await press('p');
  await pin('ID officer');
  await page.getByTestId('logbook-log-out').waitFor();

  // A key is made, read back and listed.
  await go('HSM-A');
  await page.getByTestId('ask-generate-key').waitFor();
  await go('ask-generate-key');
  await tabTo('Label');
  await write('Payments 2027');
  await tabTo('purpose');
  await write('Enc');
  await press('Tab');
  await page.waitForFunction(() => document.querySelector<HTMLSelectElement>('dialog select[name=kind]')?.selectedOptions[0]?.text === 'AES-256');
  await go('change-go');
  await pin('HSM-A');
  await page.locator('.outcome').waitFor();
  await picture(page, 'tokens-change-made');
  await accessible(page, 'Change, made');
  assert.match(await page.locator('.outcome').innerText(), /Attributes read back/);
  await go('change-done');

  // It is private, and in sight: the token's user is still logged in.
  await page.getByTestId('log-out').waitFor();
  await page.locator('.object', { hasText: 'Payments 2027' }).waitFor();
  await tabTo('listbox');
  await press('Enter');
  await page.getByTestId('self-test').waitFor();
  await go('self-test');
  await page.locator('.self-test .lines').waitFor();
  assert.doesNotMatch(await page.locator('.self-test').innerText(), /failed/);

  await go('ask-destroy-object');
  await tabTo('To destroy it, type: destroy Payments 2027');
  await write('destroy Payments 2027');
  await press('Enter');
  assert.equal(await page.locator('.outcome, .work').count(), 0, 'Enter destroys nothing');
  await go('change-go');
  await page.locator('.outcome').waitFor();
  await go('change-done');
  await page.getByRole('heading', { name: /^0 objects/ }).waitFor();

  // Out again, and signed: what is signed is said.
  await go('logbook-log-out');
  await page.locator('dialog .signs').waitFor();
  assert.equal(await page.locator('dialog .signs li').count(), 2);
  await press('s');
  await pin('ID officer');
  await page.getByText('Logged out and signed: 2 changes.').first().waitFor();
  await picture(page, 'tokens-logbook-signed');
  await accessible(page, 'Logbook, signed');
  await go('logbook-look');
  await page.locator('input[type=range]').waitFor();

  await table.app.close();
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'electron', 'cli.ts'), 'logbook', '--home', home, '--json'], { maxBuffer: 64 * 1024 * 1024 });
  const { volumes, sound } = JSON.parse(stdout) as { volumes: { verdict: string; done: number; findings: unknown[] }[]; sound: boolean };
  assert.deepEqual(volumes.map(({ verdict, findings }) => ({ verdict, findings })), [{ verdict: 'valid', findings: [] }]);
  assert.equal(sound, true);
});

/** Types PINs by the token's label whenever the booth asks, until it is told to stop. */
function answering({ app }: Table, pins: ReadonlyMap<string, string>): () => Promise<void> {
  const until = new AbortController();
  const loop = (async () => {
    while (!until.signal.aborted) {
      const asked = await boothOf(app);
      if (asked) await typePin(asked.booth, pins.get(asked.label) ?? '');
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
  })();
  return () => {
    until.abort();
    return loop;
  };
}

test('keys go out wrapped and come back, and a request is saved: every dialog on a real token', { timeout: 6 * 60_000 }, async (t) => {
  const table = await setTable(t);
  const { page } = table;
  const pins = new Map(table.labels);
  const stop = answering(table, pins);
  t.after(stop);
  const field = (label: string | RegExp) => page.locator('dialog').getByLabel(label);
  const order = async () => {
    await page.getByTestId('change-go').click();
    await page.locator('.outcome, dialog .trouble').first().waitFor();
    assert.deepEqual(await page.locator('dialog .trouble').allInnerTexts(), []);
    return page.locator('.outcome').innerText();
  };
  const done = () => page.getByTestId('change-done').click();
  const open = async (label: string, kind: string) => {
    await page.locator('.object', { hasText: label }).filter({ hasText: kind }).click();
    await page.locator('.one-object .attributes').waitFor();
  };
  const saved = async () => {
    await page.getByTestId('change-save').click();
    return page.locator('.exported .path').innerText();
  };

  await page.getByTestId('primary').waitFor();
  await page.locator('nav').getByRole('button', { name: 'Tokens', exact: true }).click();
  await page.getByTestId('logbook-log-in').click();
  await page.getByLabel('A card or token that you have').check();
  const card = await field('Which one').locator('option', { hasText: 'ID officer' }).getAttribute('value');
  await field('Which one').selectOption(card);
  await page.getByRole('checkbox', { name: /Stand-ins/ }).uncheck();
  await page.getByTestId('logbook-open').click();
  await page.locator('dialog').getByTestId('primary').click();
  await page.getByRole('heading', { name: 'Log in with your identity card' }).waitFor();
  await page.locator('dialog').getByTestId('primary').click();
  await page.getByTestId('logbook-log-out').waitFor();
  await page.locator('.tree').getByText('HSM-A').click();

  await page.getByTestId('ask-generate-key').click();
  await field('Label').fill('KEK');
  await field('What it is for').selectOption('key-encryption');
  assert.match(await order(), /verified/);
  await done();
  // A key that may leave, also under keys that the SO does not trust: both dangers are answered for by name.
  await page.getByTestId('ask-generate-key').click();
  await field('Label').fill('Travels');
  await field('What it is for').selectOption('data-encryption');
  await page.locator('dialog input[name=extractable]').check();
  await page.locator('dialog input[name=wrapWithTrusted]').uncheck();
  for (const answer of await page.locator('dialog .answer-for input').all()) await answer.check();
  assert.match(await order(), /which the officer answers for/);
  await done();

  await open('Travels', 'secret-key');
  await page.getByTestId('ask-wrap-key').click();
  await field('Under which key').selectOption({ label: (await field('Under which key').locator('option', { hasText: 'KEK' }).innerText()) });
  assert.match(await order(), /Rehearsed/);
  const file = await saved();
  assert.equal((JSON.parse(readFileSync(file, 'utf8')) as { key: { label: string } }).key.label, 'Travels');
  await done();

  await page.getByTestId('ask-unwrap-key').click();
  await page.getByLabel(/^Choose a file/).setInputFiles(file);
  await page.locator('dialog .input-file .facts').waitFor();
  await field(/empty: as in the file/).fill('Came back');
  await page.locator('dialog input[name=modifiable]').check(); // SoftHSM unwraps no key as unmodifiable
  for (const answer of await page.locator('dialog .answer-for input').all()) await answer.check();
  assert.match(await order(), /Attributes read back/);
  await done();
  await page.locator('.object', { hasText: 'Came back' }).waitFor();

  await page.getByTestId('ask-generate-key').click();
  await field('Label').fill('Server');
  await field('What it is for').selectOption('signing');
  await order();
  await done();
  await open('Server', 'private-key');
  await page.getByTestId('ask-sign-request').click();
  await field('Subject').fill('CN=server.example, O=Example Organization, C=XX');
  await order();
  assert.match(readFileSync(await saved(), 'utf8'), /^-----BEGIN CERTIFICATE REQUEST-----/);
  await done();
  await page.getByTestId('ask-self-sign').click();
  await field('Subject').fill('CN=server.example');
  await order();
  const certificate = await saved();
  await done();
  await page.locator('.one-object').getByTestId('ask-import-certificate').click();
  await page.getByLabel(/^Choose a file/).setInputFiles(certificate);
  await page.locator('dialog .input-file .facts').waitFor();
  assert.match(await order(), /same public key/);
  await done();
  await page.locator('.object', { hasText: 'certificate' }).waitFor();

  // An order that the token refuses says so, and nothing is lost.
  await open('Server', 'private-key');
  await page.getByTestId('ask-edit-object').click();
  await field('Label').fill('Server 2');
  await page.getByTestId('change-go').click();
  await page.locator('dialog [role=alert]').waitFor();
  await page.locator('dialog').getByRole('button', { name: 'Cancel' }).click();

  await page.getByRole('tab', { name: 'The token' }).click();
  await page.getByTestId('ask-init-token').click();
  await field('New label of the token').fill('HSM-B');
  await field(/type its label/).fill('HSM-A');
  pins.set('HSM-A', SO_PIN);
  assert.match(await order(), /After: "HSM-B"/);
  await done();
  await page.locator('.tree').getByText('HSM-B').waitFor();
});
