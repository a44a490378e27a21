/** `conclave destroy` in the terminal: the list from the records, what is refused, and how far a destruction has come. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { CopyList } from '../../ceremonies/destruction.ts';
import { conclaveIn } from './command.ts';
import { remove, temporaryFolder } from './house.ts';

let home: string;
const { run, done } = conclaveIn(() => home);
before(async () => {
  home = temporaryFolder('destroy-cli');
  await done('rehearse', 'root-ca', '--set', 'algorithm=ecdsa-p256', '--out', home);
  await done('rehearse', 'pq-root', '--set', 'algorithm=ml-dsa-65', '--set', 'place=wrapped', '--out', home);
});
after(() => { remove(home); });

const listAt = (name: string) => JSON.parse(readFileSync(join(home, name), 'utf8')) as CopyList;

test('a key is named so that it is the one key, or refused with what there is', async () => {
  for (const [name, rule] of [['No such key', 'KEY-KNOWN'], ['SHA-', 'KEY-KNOWN']] as const) {
    const { code, err } = await run('destroy', 'plan', name, '--out', join(home, 'none.json'));
    assert.deepEqual([code, err.includes(rule)], [1, true], err);
  }
  for (const call of [['destroy'], ['destroy', 'plan'], ['destroy', 'plan', 'x'], ['destroy', 'all'], ['destroy', 'plan', 'x', '--out', 'y', '--paper', 'sheet']]) assert.equal((await run(...call)).code, 2, call.join(' '));
});

test('the list, the ceremony by it, and the status: nothing is left to do', async () => {
  const { keys } = JSON.parse((await run('inventory', '--json')).out) as { keys: { identity: string; label: string; algorithm: string }[] };
  const ec = keys.find(({ algorithm }) => algorithm.includes('P-256')) ?? assert.fail('no EC key');
  const fingerprint = ec.identity.split(' ').at(-1)!.slice(0, 16);
  const out = await done('destroy', 'plan', fingerprint, '--out', join(home, 'copies.json'), '--paper', 'the printed backup, bag 12=shred it', '--pending', '2027-03-01=the archive');
  assert.match(out, /8 entries/);
  const list = listAt('copies.json');
  assert.deepEqual(list.copies.map(({ by }) => by.means), ['token', 'token', 'token', 'token', 'erasure', 'people', 'retention', 'token']);
  assert.equal((await run('destroy', 'plan', fingerprint, '--out', join(home, 'copies.json'))).code, 2, 'nothing is overwritten');
  const first = list.copies[0]!.by;
  assert.ok(first.means === 'token');
  await done('rehearse', 'key-destruction', '--input', `copies=${join(home, 'copies.json')}`, '--token', `key-hsm=software:${first.token}`, '--out', home);
  const { code, out: told } = await run('destroy', 'status');
  assert.equal(code, 0, 'a rehearsal leaves nothing to do, whatever it says');
  assert.match(told, /✕ Root CA \(REHEARSAL\): NOT DESTROYED \(6 of 7 known copies destroyed\)/);
  assert.match(told, /to do: copy 7, the archive: see after 2027-03-01 that it is gone/);
  const { destructions } = JSON.parse((await run('destroy', 'status', '--json')).out) as { destructions: { claims: { level: string | null }[] }[] };
  assert.deepEqual(destructions[0]?.claims.map(({ level }) => level), ['L1', 'L1', 'L1', 'L1', 'L1', 'L5', null, 'L1']);
  assert.match((await run('inventory')).out, /2-of-3 shares, epoch 1 \(none left\).*✕ L1 fewer than 2 shares are left/);
});

test('a key whose parts are wrapped ends with the key that they are under; that key by itself is refused, because something depends on it', async () => {
  const { keys } = JSON.parse((await run('inventory', '--json')).out) as { keys: { identity: string; label: string; algorithm: string; state: string }[] };
  const wrapping = keys.find(({ label }) => label.endsWith('(wrapping key)')) ?? assert.fail('no wrapping key');
  const refused = await run('destroy', 'plan', wrapping.identity, '--out', join(home, 'wrapping.json'));
  assert.equal(refused.code, 1);
  assert.match(refused.err, /DEPENDANTS-NAMED/);
  assert.match(refused.err, /root CA/);
  await done('destroy', 'plan', wrapping.identity, '--out', join(home, 'wrapping.json'), '--despite', 'the whole estate ends');
  assert.equal(listAt('wrapping.json').despite, 'the whole estate ends');
  const ml = keys.find(({ algorithm }) => algorithm.includes('ML-DSA')) ?? assert.fail('no ML-DSA key');
  await done('destroy', 'plan', ml.identity, '--out', join(home, 'wrapped.json'));
  const { copies } = listAt('wrapped.json');
  assert.deepEqual(copies.slice(0, 2).map(({ by }) => by.means), ['token', 'erasure']);
});
