/**
 * The other ceremonies that ship, rehearsed with stand-ins in the real window from the first button to the verdict: a
 * post-quantum root, an intermediate, a certificate for an encryption key, a cross-certificate and a revocation list, with the files that the rehearsal makes.
 */
import { test } from 'node:test';
import { accessible, beginRehearsal, ownRecordIsValid, picture, play } from './table.ts';

const COMPARED = { intermediate: 'compare-request', 'encryption-certificate': 'compare-request', 'cross-sign': 'compare-other', crl: 'compare-list' } as const;

for (const script of ['pq-root', 'intermediate', 'encryption-certificate', 'cross-sign', 'crl'] as const) {
  test(`${script}, with stand-ins`, { timeout: 6 * 60_000 }, async (t) => {
    const table = await beginRehearsal(t, script);
    const { page } = table;
    const shown = script === 'pq-root' ? 'make-root' : COMPARED[script];
    await play(table, ({ pending }) => pending === 'over', async (step) => {
      if (step !== shown) return;
      await picture(page, `ca-${script}-${shown}`);
      await accessible(page, `${script} at ${shown}`);
    });
    await picture(page, `ca-${script}-over`);
    await ownRecordIsValid(page);
  });
}
