/**
 * The composite root CA ceremony at 2-of-3 in the real Electron window, twice: on SoftHSM with the classical half on the token
 * and the ML-DSA half wrapped, and on NSS's PKCS#11 3.2 token with both halves on it. Every PIN is typed in the booth, by people
 * with cards of their own on SoftHSM. Afterwards a fresh process accepts the bundle, and no canary is found.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { root } from '../../build/machine.mjs';
import { openFile } from '../../ceremonies/bundle.ts';
import { KeyRecord } from '../../ceremonies/key-record.ts';
import { verifyFile } from '../../ceremonies/verify.ts';
import { nativeHasher } from '../../electron/conductor/machine.ts';
import { makeNssTokens } from '../electron/devices/nss-token.ts';
import { accessible, bindPeople, canaries, chooseScript, picture, plantedPin, play, press, setTable, type Table } from './table.ts';

const ALGORITHM = 'MLDSA65-ECDSA-P256-SHA512';

async function carriedOut(t: TestContext, table: Table, token: string, place: 'split' | 'token'): Promise<KeyRecord> {
  const { page, home } = table;
  await chooseScript(page, 'composite-ca');
  await page.locator('select[name=algorithm]').selectOption(ALGORITHM);
  await page.locator(`[name=place][value=${place}], select[name=place]`).first().waitFor();
  const select = page.locator('select[name=place]');
  if ((await select.count()) > 0) await select.selectOption(place);
  else await page.locator(`[name=place][value=${place}]`).check();
  await bindPeople(page, 'root-hsm', token);
  await picture(page, `composite-open-${place}`);
  await accessible(page, 'Open, composite');
  await press(page);
  await page.locator('main[data-pending]').waitFor();

  const photographed = new Set(['make-root', 'prove-root', 'certify', 'recovery', 'seal-3/officer']);
  await play(table, ({ pending }) => pending === 'over', async (step) => {
    if (!photographed.has(step)) return;
    await picture(page, `composite-${place}-${step.replace('/', '-')}`);
    if (['make-root', 'seal-3/officer'].includes(step)) await accessible(page, `Ceremony at ${step}`);
  });
  await picture(page, `composite-${place}-over`);
  await press(page);
  await page.waitForFunction(() => document.body.innerText.includes('.zip'));

  const [bundle] = readdirSync(join(home, 'bundles')).filter((name) => name.endsWith('.zip'));
  assert.ok(bundle);
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'electron', 'cli.ts'), 'verify', join(home, 'bundles', bundle), '--json'], { maxBuffer: 64 * 1024 * 1024 });
  const verdict = JSON.parse(stdout) as { verdict: string; findings: unknown[]; entries: number };
  assert.deepEqual(verdict.findings, []);
  assert.equal(verdict.verdict, 'valid');
  t.diagnostic(`${verdict.entries} entries`);

  const bytes = new Uint8Array(readFileSync(join(home, 'bundles', bundle)));
  const { files } = openFile(bytes);
  const record = KeyRecord.parse(JSON.parse(Buffer.from(files?.get('key.json') ?? new Uint8Array()).toString()));
  const { state } = await verifyFile(bytes, { hasher: nativeHasher });
  assert.equal(state.key?.recoveryProven, true);
  assert.equal(state.key.wrapped?.length, 2, 'a backup of each half');
  await canaries(table);
  return record;
}

test('on SoftHSM: the classical half on the token, the ML-DSA half wrapped under its AES key', { timeout: 12 * 60_000 }, async (t) => {
  const table = await setTable(t);
  const record = await carriedOut(t, table, 'HSM-A', 'split');
  assert.deepEqual(record.key.parts.map((part) => `${part.part} ${part.held}`), ['ml-dsa wrapped', 'traditional token']);
  assert.ok(record.key.wrapping);
  assert.equal(record.profile, 'lamps-composite-sigs-19');
});

test('on the NSS token: both halves there, ML-DSA signing with its context', { timeout: 12 * 60_000 }, async (t) => {
  const LABEL = 'REHEARSAL HSM-PQ';
  const table = await setTable(t, (home) => [{ ...makeNssTokens(join(home, 'nss'), [LABEL], plantedPin(90)), labels: [[LABEL, plantedPin(90)]] }]);
  const record = await carriedOut(t, table, LABEL, 'token');
  assert.deepEqual(record.key.parts.map((part) => `${part.part} ${part.held}`), ['ml-dsa token', 'traditional token']);
  assert.equal(record.key.wrapping, null);
});
