/** What comes before and after the printing of a certificate; that it is printed, test/e2e/states.test.ts shows in the real window. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refuse } from '../../ceremonies/refusal.ts';
import { asksToPrint, Press } from '../../electron/printing.ts';

/** A dialog stands over it; nothing else is asked of it here. */
const over = null as never;
const ready = { ok: true, value: { name: 'certificate', html: '<style>\np { }</style>' } } as const;

function NoWindow(): never {
  throw new Error('no window can be made');
}

test('one call is for the press, and everything else for the conductor', () => {
  assert.equal(asksToPrint({ call: 'print-certificate', ceremony: 'ab' }), true);
  for (const other of [null, undefined, 'print-certificate', 7, [], {}, { call: 'certificate' }, { call: ['print-certificate'] }]) assert.equal(asksToPrint(other), false);
});

test('a certificate that there is not asks for no file; one at a time; who chooses no file gets none', async () => {
  const answers: ((chosen: { canceled: boolean; filePath: string }) => void)[] = [];
  const press = new Press({ Window: NoWindow as never, release: true, dialog: { showSaveDialog: () => new Promise((resolve) => { answers.push(resolve); }) } });
  const refused = { ok: false, refusal: refuse('CERTIFICATE-DUE', 'x', 'y', 'z') } as const;
  assert.equal(await press.print(refused, over), refused);
  assert.equal(answers.length, 0);
  const first = press.print(ready, over);
  const second = await press.print(ready, over);
  assert.equal(!second.ok && 'refusal' in second && second.refusal.rule, 'ONE-AT-A-TIME');
  answers.pop()!({ canceled: true, filePath: '' });
  assert.deepEqual(await first, { ok: true, value: null });
  const third = press.print(ready, over);
  answers.pop()!({ canceled: false, filePath: '/somewhere' });
  const failed = await third;
  assert.ok(!failed.ok && 'problem' in failed && failed.problem.code === 'PRINTING', 'a fault is told, and the press is free again');
  assert.equal(press.page, null);
});
