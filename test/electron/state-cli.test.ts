/** `conclave key state`, `key period` and `key drill`: signed into the logbook on software tokens, refused before anything is written, seen in the inventory and its calendar. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { after as afterInterval } from '../../ceremonies/drills.ts';
import type { Inventory, InventoryFinding } from '../../ceremonies/inventory.ts';
import type { Estate } from '../../electron/contract.ts';
import { STATE_DETAIL, STATE_HELP } from '../../electron/state-cli.ts';
import { conclaveIn } from './command.ts';
import { remove, temporaryFolder } from './house.ts';

let home: string;
let on: string[];

const { run, done, refused } = conclaveIn(() => home);
type Told = { readonly key: string; readonly state: string; readonly passages: Inventory['keys'][number]['passages']; readonly next: readonly { readonly to: string; readonly clause: string }[] };
const told = async (name: string) => JSON.parse(await done('key', 'state', name, '--json')) as Told;
const inventory = async () => JSON.parse((await run('inventory', '--json')).out) as Inventory & { readonly findings: readonly InventoryFinding[] };
const volumes = async () => (JSON.parse(await done('logbook', '--json')) as { volumes: unknown[] }).volumes.length;
const sign = (...args: string[]) => [...args, '--stand-in'];

before(async () => {
  home = temporaryFolder('state-cli');
  await done('rehearse', 'root-ca', '--set', 'algorithm=ecdsa-p256', '--out', home);
  const { modules } = JSON.parse(await done('tokens', '--json')) as Estate;
  const serial = modules.flatMap(({ slots }) => slots).find(({ token }) => token?.label === 'REHEARSAL root-hsm')?.token?.serial ?? assert.fail('no token');
  on = ['--module', 'software', '--token', serial];
  for (const label of ['Twin', 'Twin', 'Payments']) await done('token', 'generate', ...on, '--label', label, '--kind', 'aes-256', '--for', 'data-encryption', '--stand-in');
});
after(() => { remove(home); });

test('a key by its label or fingerprint: its state, since when, by which entry, and what may follow with the clause', async () => {
  const root = await told('Root CA');
  assert.deepEqual([root.state, root.passages.map(({ to, signed }) => [to, signed])], ['active', [['pre-activation', null], ['active', null]]]);
  assert.deepEqual(root.next.map(({ to, clause }) => `${to} ${clause}`), ['compromised 7.2', 'suspended 7.2', 'deactivated 7.2']);
  const fingerprint = root.key.split(' ').at(-1) ?? '';
  assert.equal((await told(fingerprint.slice(0, 8))).key, root.key);
  const words = await done('key', 'state', 'Root CA');
  assert.match(words, /state +active, as the records tell \[[0-9a-f]{8} \d+\], since 2/);
  assert.match(words, /suspended +STATE-SUSPENDED: .*\(SP 800-57 Part 1 section 7\.2\)/);
});

test('refused by name before anything is written: unknown, ambiguous, not in the table, by hand what copies decide', async () => {
  const before = await volumes();
  assert.match(await refused('KEY-AMBIGUOUS', 'key', 'state', 'Twin'), /"Twin" \S.* [0-9a-f]{6}; "Twin" \S.* [0-9a-f]{6}/);
  await refused('KEY-KNOWN', ...sign('key', 'state', 'Nobody', '--to', 'active', '--reason', 'x'));
  await refused('STATE-TRANSITION', ...sign('key', 'state', 'Payments', '--to', 'suspended', '--reason', 'Not before it was ever active.'));
  await refused('STATE-BY-COPIES', ...sign('key', 'state', 'Root CA', '--to', 'destroyed', '--reason', 'x'));
  await refused('STATE-SINCE', ...sign('key', 'state', 'Root CA', '--to', 'compromised', '--reason', 'x'));
  await refused('STATE-SINCE', ...sign('key', 'state', 'Root CA', '--to', 'compromised', '--since', '2999-01-01', '--reason', 'x'));
  await refused('PERIOD-TIMES', ...sign('key', 'period', 'Root CA', '--from', '2027-01-02', '--until', '2027-01-01', '--reason', 'x'));
  assert.equal(await volumes(), before);
});

test('suspended by signature, used all the same: the state stays, and the use is a finding with its entry', async () => {
  assert.match(await done(...sign('key', 'state', 'Root CA', '--to', 'suspended', '--reason', 'The safe was found open.', '--officer', 'Ada Ofterdingen')), /✓ the key "Root CA" passes from active to suspended: The safe was found open\./);
  assert.match(await done('key', 'state', 'Root CA'), /state +suspended, set by Ada Ofterdingen \(officer\): The safe was found open\. \[/);
  await done('token', 'request', ...on, '--where', 'CKA_LABEL=Root CA', '--where', 'CKA_CLASS=CKO_PRIVATE_KEY', '--subject', 'CN=Root', '--out', join(home, 'root.csr'), '--stand-in');
  const { keys, findings } = await inventory();
  assert.deepEqual(findings.map(({ rule, source }) => [rule, source !== null]), [['STATE-USE', true]]);
  assert.equal(keys.find(({ label }) => label === 'Root CA')?.state, 'suspended');
  await done(...sign('key', 'state', 'Root CA', '--to', 'compromised', '--since', '2026-01-01', '--reason', 'It was copied.'));
  assert.deepEqual((await told('Root CA')).passages.map(({ to, signed }) => `${to} ${signed?.since ?? ''}`).at(-1), 'compromised 2026-01-01T00:00:00.000Z');
  await done('logbook');
});

test('a period: signed, told before its end as a finding, and in the calendar, which is not overwritten unasked', async () => {
  const soon = new Date(Date.now() + 20 * 86_400_000).toISOString().slice(0, 10);
  await done(...sign('key', 'period', 'Payments', '--until', soon, '--reason', 'Policy 7.'));
  const { code, out } = await run('inventory', '--include-rehearsals');
  assert.equal(code, 1);
  assert.match(out, /! REHEARSAL PERIOD-ENDS \[[0-9a-f]{8} \d+\] \(Payments\): .*\(within 30\)\. Prepare/);
  await done(...sign('key', 'period', 'Payments', '--until', '2020-01-01', '--reason', 'It was over long ago.'));
  assert.deepEqual((await inventory()).findings.filter(({ rule }) => rule.startsWith('PERIOD')).map(({ rule }) => rule), ['PERIOD-OVER']);
  const file = join(home, 'keys.ics');
  assert.match((await run('inventory', '--calendar', file)).out, new RegExp(file));
  const calendar = readFileSync(file, 'utf8');
  assert.match(calendar, /DTSTART;VALUE=DATE:20200101/);
  assert.match(calendar, /TRIGGER:-P30D/);
  writeFileSync(file, 'mine');
  const again = await run('inventory', '--calendar', file);
  assert.deepEqual([again.code, readFileSync(file, 'utf8')], [2, 'mine']);
  await run('inventory', '--calendar', file, '--overwrite');
  assert.match(readFileSync(file, 'utf8'), /^BEGIN:VCALENDAR/);
});

test('a recovery drill: signed, counted from the proof that the ceremony left, and refused by name where there is nothing to prove', async () => {
  const told = async () => JSON.parse(await done('key', 'drill', 'Root CA', '--json')) as { standing: string; due: string | null; days: number | null; lastRecovery: { at: string; ceremony: string }; countedFrom: { at: string } | null };
  const never = await told();
  assert.deepEqual([never.standing, never.due], ['never', null]);
  assert.match((await run('inventory')).out, /backup +✓ last proven recovery \d{4}-.*\n +! no recovery drill is scheduled \(`conclave key drill`\)/);
  const before = await volumes();
  await refused('DRILL-INTERVAL', ...sign('key', 'drill', 'Root CA', '--every', '0m', '--first-by', '2035-01-01', '--reason', 'x'));
  await refused('DRILL-INTERVAL', ...sign('key', 'drill', 'Root CA', '--every', '11y', '--first-by', '2035-01-01', '--reason', 'x'));
  await refused('DRILL-FIRST-BY', ...sign('key', 'drill', 'Root CA', '--every', '6m', '--first-by', '2020-01-01', '--reason', 'x'));
  await refused('DRILL-BACKUP', ...sign('key', 'drill', 'Payments', '--every', '6m', '--first-by', '2035-01-01', '--reason', 'x'));
  await refused('KEY-KNOWN', ...sign('key', 'drill', 'Nobody', '--every', '6m', '--first-by', '2035-01-01', '--reason', 'x'));
  assert.equal(await volumes(), before);
  assert.match(await done(...sign('key', 'drill', 'Root CA', '--every', '6m', '--first-by', '2035-01-01', '--reason', 'Policy 9.')), /✓ a recovery of the key "Root CA" is to be proven at least every 6 months, first by 2035-01-01T00:00:00\.000Z: Policy 9\./);
  const scheduled = await told();
  assert.deepEqual([scheduled.standing, scheduled.due, scheduled.countedFrom?.at], ['ahead', afterInterval(never.lastRecovery.at, 'P6M'), never.lastRecovery.at]);
  assert.match(await done('key', 'drill', 'Root CA'), /drill +✓ next recovery drill due \d{4}-\d\d-\d\d, in \d+ days: every 6 months, set by .* \[/);
});

test('wrong calls', async () => {
  const wrong = [
    ['key', 'state'], ['key', 'state', 'a', 'b'], ['key', 'state', 'Root CA', '--reason', 'x'], ['key', 'state', 'Root CA', '--to', 'asleep', '--reason', 'x'], ['key', 'state', 'Root CA', '--to', 'active'],
    ['key', 'state', 'Root CA', '--to', 'compromised', '--since', 'yesterday', '--reason', 'x'], ['key', 'period', 'Root CA'], ['key', 'period', 'Root CA', '--until', '2027-02-30', '--reason', 'x'],
    ['key', 'period', 'Root CA', '--to', 'active'], ['key', 'state', 'Root CA', '--until', '2027-01-01'], ['inventory', '--overwrite'],
    ['key', 'drill'], ['key', 'drill', 'Root CA', '--every', '6w', '--first-by', '2035-01-01', '--reason', 'x'], ['key', 'drill', 'Root CA', '--every', '6m', '--reason', 'x'], ['key', 'drill', 'Root CA', '--every', '6m', '--first-by', '2035-01-01'],
    ['key', 'drill', 'Root CA', '--first-by', '2035-01-01'], ['key', 'period', 'Root CA', '--every', '6m', '--until', '2035-01-01', '--reason', 'x'], ['key', 'state', 'Root CA', '--every', '6m'],
  ];
  for (const [i, { code }] of (await Promise.all(wrong.map((args) => run(...args)))).entries()) assert.equal(code, 2, wrong[i]?.join(' '));
});

test('the help says which moment the end of a period is', () => {
  assert.match(STATE_DETAIL, /--until DATE +the first moment at which it may not be used; a day means its beginning, UTC/);
  assert.match(STATE_HELP, /until when a key may be used: DATE is the first moment at which it may not; a day means its beginning, UTC/);
});
