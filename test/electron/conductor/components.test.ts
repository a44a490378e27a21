/**
 * Components typed by people, through the whole house on SoftHSM: a wrong check value first and then the right one, the key on the token,
 * and no component in any file or line of it.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { toHex } from '../../../ceremonies/bytes.ts';
import { pendingAction, type State } from '../../../ceremonies/ceremony.ts';
import { checkBlock, checkValue } from '../../../ceremonies/keys/check-value.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { planOf, readScript } from '../../../ceremonies/script.ts';
import { parseLine } from '../../../ceremonies/transcript.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import { ask, playOn, standInNames } from '../../../electron/rehearsal.ts';
import { allObjects } from '../devices/objects.ts';
import { openHouse, remove, temporaryFolder, withSoftHsm } from '../house.ts';
import { allLines } from './crash.ts';

test('component-entry with people on SoftHSM: a wrong check value, the right one, and the key that the forms say', async (t) => {
  const home = temporaryFolder('components');
  withSoftHsm(home);
  const house = await openHouse(home);
  t.after(async () => {
    await house.stop();
    remove(home);
  });
  const forms = [0, 1].map(() => Uint8Array.from(randomBytes(32)));
  const key = forms[0]!.map((byte, i) => byte ^ forms[1]![i]!);
  const total = toHex(checkBlock('cmac', key)).slice(0, 10);
  const parameters = { components: 2, kind: 'aes-256', check: 'cmac', label: 'ZMK 7', use: 'wrap', total: `${total.slice(0, 4).toUpperCase()} ${total.slice(4)}` };
  const traffic: string[] = [];
  let wrong = true;
  house.onEntries((entries) => traffic.push(JSON.stringify(entries)));
  house.onNotice((module, notice) => {
    traffic.push(JSON.stringify(notice));
    const booth = house.booth(module) ?? assert.fail('no booth');
    if (notice.kind === 'pin-wanted') booth.postMessage({ ticket: notice.ticket, pin: Buffer.from(REHEARSAL_PIN) });
    if (notice.kind !== 'component-wanted') return;
    assert.deepEqual([notice.asked.person, notice.component.of, notice.component.digits, notice.component.shows], [`custodian-${notice.component.number}`, 2, 64, false]);
    const form = forms[notice.component.number - 1]!;
    const check = wrong && notice.component.number === 2 ? 'ffffff' : checkValue('cmac', form);
    booth.postMessage({ ticket: notice.ticket, pin: Buffer.from(`${toHex(form).toUpperCase()}${check}`) });
  });

  const { bindings } = await ask(house, { call: 'provision', script: 'component-entry', parameters, module: 'softhsm' });
  const { script } = readScript((await ask(house, { call: 'scripts' })).find(({ name }) => name === 'component-entry')?.text ?? '');
  const people = standInNames(planOf(script ?? assert.fail('no script'), parameters).seats);
  const { ceremony } = await ask(house, { call: 'open', script: 'component-entry', parameters, people, bindings, inputs: {}, mode: 'rehearsal', standIns: false });
  const at = (step: string) => ({ hasher: nativeHasher, until: (state: State) => pendingAction(state).kind === 'step' && state.current?.step.id === step });
  await playOn(house, ceremony, at('component/custodian-2'));
  await assert.rejects(ask(house, { call: 'act', ceremony, step: 'component/custodian-2', acceptFinalTry: false, typed: '' }), (error) => error instanceof Refused && error.refusal.rule === 'COMPONENT-CHECK-VALUE' && /Stand-in custodian-2/.test(error.refusal.found));
  wrong = false;
  await playOn(house, ceremony, { hasher: nativeHasher });

  const lines = await allLines(house, ceremony);
  const told = lines.map((line) => parseLine(line)).filter(({ step }) => /^(component\/.*|form)$/.test(step ?? '')).map(({ kind, step }) => `${kind} ${step ?? ''}`);
  assert.deepEqual(told.filter((one) => /^(done|failed)/.test(one)), ['done component/custodian-1', 'failed component/custodian-2', 'done component/custodian-2', 'done form']);
  const { verdict } = await ask(house, { call: 'verify-own', ceremony });
  assert.deepEqual([verdict.verdict, verdict.findings], ['valid', []]);
  const found = await allObjects('pkcs11', home, REHEARSAL_PIN);
  assert.deepEqual(found.filter(({ class: kind }) => kind === 'secret-key').map(({ label }) => label), ['ZMK 7']);
  const { path } = await ask(house, { call: 'export', ceremony });
  await house.stop();

  const needles = [...forms, key].flatMap((secret) => [Buffer.from(secret).toString('latin1'), toHex(secret), toHex(secret).toUpperCase(), Buffer.from(secret).toString('base64').slice(0, 42), Buffer.from(secret).toString('base64url').slice(0, 42)]);
  const search = (where: string, text: string) => {
    for (const needle of needles) assert.ok(!text.includes(needle), `a component in ${where}`);
  };
  search('what was told', traffic.join('\n'));
  search('the bundle', readFileSync(path, 'latin1'));
  for (const file of readdirSync(home, { recursive: true, encoding: 'utf8' })) if (lstatSync(join(home, file)).isFile()) search(file, readFileSync(join(home, file), 'latin1'));
});
