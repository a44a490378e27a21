/**
 * The other ceremonies that ship, rehearsed with stand-ins in the real window from the first button to the verdict: a
 * post-quantum root, an intermediate, a certificate for an encryption key, a cross-certificate and a revocation list, with the files that the rehearsal makes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { remove, temporaryFolder } from '../electron/house.ts';
import { launch } from './stage.ts';
import { root } from '../../build/machine.mjs';
import { accessible, chooseScript, picture, play } from './table.ts';

const COMPARED = { intermediate: 'compare-request', 'encryption-certificate': 'compare-request', 'cross-sign': 'compare-other', crl: 'compare-list' } as const;

for (const script of ['pq-root', 'intermediate', 'encryption-certificate', 'cross-sign', 'crl'] as const) {
  test(`${script}, with stand-ins`, { timeout: 6 * 60_000 }, async (t) => {
    const home = temporaryFolder('e2e-ca');
    const app = await launch(root, { CONCLAVE_HOME: home });
    t.after(async () => {
      await app.close().catch(() => undefined);
      remove(home);
    });
    const page = await app.firstWindow();
    await chooseScript(page, script);
    await page.getByTestId('make-cards').click();
    await page.locator('[data-testid=primary]:enabled').waitFor({ timeout: 60_000 });
    await picture(page, `ca-${script}-open`);
    await accessible(page, `Open, ${script}`);
    await page.getByTestId('primary').click();
    await page.locator('main[data-pending]').waitFor();
    const shown = script === 'pq-root' ? 'make-root' : COMPARED[script];
    await play({ app, page, home, labels: new Map(), output: () => '' }, ({ pending }) => pending === 'over', async (step) => {
      if (step !== shown) return;
      await picture(page, `ca-${script}-${shown}`);
      await accessible(page, `${script} at ${shown}`);
    });
    await picture(page, `ca-${script}-over`);
    await page.getByTestId('verify-own').click();
    await page.waitForFunction(() => /\bvalid\b/i.test(document.body.innerText));
    assert.equal(await page.locator('[role=alert]').count(), 0);
  });
}
