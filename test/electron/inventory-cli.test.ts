/** `conclave inventory` in the terminal: keys made by a ceremony and by the logbook on SoftHSM, and what was done to them behind its back. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Inventory, InventoryFinding } from '../../ceremonies/inventory.ts';
import type { Reconciliation } from '../../ceremonies/reconcile.ts';
import type { Estate } from '../../electron/contract.ts';
import { REHEARSAL_PIN } from '../../electron/devices/protocol.ts';
import { conclaveIn } from './command.ts';
import { SOFTHSM, softHsmToken, temporaryFolder } from './house.ts';

const VAULT = 'REHEARSAL vault';
let home: string;
let conf: string;
let vault: string[];

const { run, done } = conclaveIn(() => home);
type Told = Inventory & { readonly reconciliation: Reconciliation | null; readonly findings: readonly InventoryFinding[] };
async function inventory(...args: string[]): Promise<{ code: number; value: Told }> {
  const { code, out, err } = await run('inventory', ...args, '--json');
  assert.notEqual(out, '', err);
  return { code, value: JSON.parse(out) as Told };
}
const tool = (...args: string[]) => execFileSync('pkcs11-tool', ['--module', SOFTHSM, '--token-label', VAULT, '--login', '--pin', REHEARSAL_PIN, ...args], { env: { ...process.env, SOFTHSM2_CONF: conf }, stdio: 'pipe' }).toString();
const generate = (label: string, kind: string, purpose: string) => done('token', 'generate', ...vault, '--label', label, '--kind', kind, '--for', purpose, '--stand-in');
const idOf = (value: Told, label: string) => value.keys.find((key) => key.label === label)?.copies.flatMap((copy) => (copy.kind === 'object' ? [copy.id ?? ''] : []))[0] ?? assert.fail(label);
const found = ({ findings }: Told) => findings.map(({ rule, expected, found: what }) => `${rule} ${/behind|Payments|Signing/.exec(`${expected} ${what}`)?.[0] ?? ''}`).sort();

before(async () => {
  home = temporaryFolder('inventory');
  mkdirSync(join(home, 'tokens'));
  conf = join(home, 'softhsm2.conf');
  writeFileSync(conf, `directories.tokendir = ${join(home, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  const library = join(home, 'libtoken.so');
  copyFileSync(SOFTHSM, library);
  writeFileSync(join(home, 'modules.json'), JSON.stringify({ modules: [{ kind: 'pkcs11', name: 'hsm', path: library, env: { SOFTHSM2_CONF: conf } }] }), { mode: 0o600 });
  softHsmToken(conf, VAULT, REHEARSAL_PIN);
  const { modules } = JSON.parse(await done('tokens', '--json')) as Estate;
  const serial = modules.flatMap(({ slots }) => slots).find(({ token }) => token?.label === VAULT)?.token?.serial ?? assert.fail('no vault');
  vault = ['--module', 'hsm', '--token', serial];
  await done('rehearse', 'root-ca', '--module', 'hsm', '--out', home);
  await generate('Payments', 'aes-256', 'key-encryption');
  await generate('Signing', 'ec-p256', 'signing');
  await generate('Doomed', 'aes-256', 'data-encryption');
  await done('token', 'destroy', ...vault, '--where', 'CKA_LABEL=Doomed', '--typed', 'destroy Doomed', '--stand-in');
});
after(() => rmSync(home, { recursive: true, force: true }));

test('the inventory of two tokens and everybody\'s cards is what they hold', async () => {
  const { code, value } = await inventory('--reconcile', '--all-tokens', '--stand-in');
  assert.deepEqual(value.findings, []);
  assert.equal(code, 0);
  assert.deepEqual(value.keys.map(({ label, algorithm, state, origin }) => [label, algorithm, state, origin]), [
    ['Root CA', 'ECDSA P-384', 'active', 'generated'], ['Payments', 'AES-256', 'pre-activation', 'generated'], ['Signing', 'ECDSA P-256', 'pre-activation', 'generated'], ['Doomed', 'AES-256', 'destroyed', 'generated'],
  ]);
  assert.equal(value.keys[3]?.destruction.words, '1 of 1 known copy destroyed, L1: observed absent by software');
  const tokens = value.reconciliation?.tokens ?? [];
  assert.ok(tokens.every(({ objects, explained, loggedIn }) => loggedIn && objects === explained), JSON.stringify(tokens));
  assert.equal(tokens.find(({ label }) => label === VAULT)?.objects, 3, 'a secret key and a pair');
  assert.ok(tokens.some(({ label }) => label === 'REHEARSAL root-hsm') && tokens.some(({ module }) => module === 'software'));
});

test('without a login nothing private is called gone, and it is said that it was not seen', async () => {
  const { code, value } = await inventory('--reconcile', ...vault);
  assert.deepEqual([code, value.findings], [0, []]);
  assert.ok(value.reconciliation?.notSeen.some((words) => /private objects, because nobody is logged in; the records know of 2$/.test(words)), JSON.stringify(value.reconciliation?.notSeen));
});

test('made, deleted and halved behind its back: exactly these findings, each with the next step', async () => {
  const { value } = await inventory();
  tool('--keygen', '--key-type', 'AES:32', '--id', '77', '--label', 'behind');
  tool('--delete-object', '--type', 'secrkey', '--id', idOf(value, 'Payments'));
  const first = await inventory('--reconcile', ...vault, '--stand-in');
  assert.deepEqual([first.code, found(first.value)], [1, ['UNKNOWN-OBJECT behind', 'VANISHED-OBJECT Payments']]);
  assert.deepEqual(first.value.keys, value.keys, 'nothing is merged silently');
  tool('--delete-object', '--type', 'pubkey', '--id', idOf(value, 'Signing'));
  const { code, out } = await run('inventory', '--reconcile', ...vault, '--stand-in');
  assert.equal(code, 1);
  assert.match(out, /! REHEARSAL HALF-PAIR \[[0-9a-f]{8} \d+\] \(Signing\): expected both halves.*found no public key to it\. Investigate:/);
  assert.deepEqual([...out.matchAll(/^✕ ([A-Z-]+)/gm)].map(([, rule]) => rule), ['UNKNOWN-OBJECT'], 'what nothing explains is put down to no rehearsal');
  assert.deepEqual([...out.matchAll(/^ {2}! REHEARSAL ([A-Z-]+)/gm)].map(([, rule]) => rule).sort(), ['HALF-PAIR', 'VANISHED-OBJECT', 'VANISHED-OBJECT']);
  assert.match(out, /! every key here is of a rehearsal: nothing is in earnest\n✕ 1 findings; 3 of rehearsals, which do not count \(--include-rehearsals\)\n$/);
  assert.match(out, /who can +who has the user PIN of token/);
  assert.ok(!out.includes(REHEARSAL_PIN));
});

test('findings of rehearsals decide nothing, unless they are asked for', async () => {
  tool('--delete-object', '--type', 'secrkey', '--id', '77');
  const apart = await inventory('--reconcile', ...vault, '--stand-in');
  assert.deepEqual([apart.code, apart.value.findings.map((finding) => (finding as { rehearsal?: boolean }).rehearsal)], [0, [true, true, true]]);
  assert.equal((await inventory('--reconcile', ...vault, '--stand-in', '--include-rehearsals')).code, 1);
  assert.match((await run('inventory', '--reconcile', ...vault, '--stand-in', '--include-rehearsals')).out, /✕ 3 findings; 3 of them of rehearsals\n$/);
});

test('wrong calls', async () => {
  const wrong = [['--all-tokens'], ['--login'], ['--reconcile', '--module', 'hsm'], ['--reconcile', '--all-tokens', ...vault], ['--reconcile', '--login', '--stand-in'], ['dance']];
  for (const [i, { code }] of (await Promise.all(wrong.map((args) => run('inventory', ...args)))).entries()) assert.equal(code, 2, wrong[i]?.join(' '));
  const absent = await run('inventory', '--reconcile', '--module', 'hsm', '--token', 'nowhere');
  assert.equal(absent.code, 1);
  assert.match(absent.err, /TOKEN-PRESENT/);
});
