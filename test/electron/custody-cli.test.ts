/** `conclave custody` in the terminal: share cards of a rehearsed root CA, brought to sites by a list that names them, and what is wrong with where they lie. */
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { MOVEMENTS_HEADER } from '../../ceremonies/shares/movements.ts';
import { verifyFile } from '../../ceremonies/verify.ts';
import { nativeHasher } from '../../electron/conductor/machine.ts';
import type { CustodyReport } from '../../electron/contract.ts';
import { conclaveIn } from './command.ts';
import { temporaryFolder } from './house.ts';

let home: string;

const { run, done } = conclaveIn(() => home);
async function custody(): Promise<{ code: number; value: CustodyReport; rules: string[] }> {
  const { code, out, err } = await run('custody', '--json', '--include-rehearsals');
  assert.notEqual(out, '', err);
  const value = JSON.parse(out) as CustodyReport;
  return { code, value, rules: value.findings.map(({ rule }) => rule) };
}
const SITES = 'conclave-sites: 1\nsites:\n  - { name: vault-a, title: Vault A, region: north }\n  - { name: vault-b, region: north }\n  - { name: vault-c, region: south }\n  - { name: vault-d, region: west }\n';
const person = (n: number) => `Stand-in custodian-${n}`;
const shareCards = ({ things }: CustodyReport) => things.filter(({ shares }) => shares.length > 0).map(({ identifier, shares, person: who, site }) => ({ serial: identifier, set: shares[0]?.set ?? '', x: shares[0]?.x ?? 0, who, site })).sort((a, b) => a.x - b.x);

/** Rehearses a movement of these lines with three custodians; returns the bundle. */
async function move(...lines: readonly string[]): Promise<string> {
  const file = join(home, 'movements.csv');
  writeFileSync(file, [MOVEMENTS_HEADER, ...lines, ''].join('\n'));
  return (await done('rehearse', 'custody-movement', '--set', 'parties=3', '--input', `movements=${file}`, '--out', home)).trim();
}

before(async () => {
  home = temporaryFolder('custody');
  await done('rehearse', 'root-ca', '--out', home);
});
after(() => rmSync(home, { recursive: true, force: true }));

test('after the root ceremony: three shares with three people, at sites that nobody has named', async () => {
  const { code, value, rules } = await custody();
  assert.deepEqual([code, rules], [1, ['PLACEMENT-UNKNOWN']]);
  const apart = await run('custody');
  assert.equal(apart.code, 0, 'of a rehearsal, it decides nothing unless it is asked for');
  assert.match(apart.out, /Of rehearsals\n {2}! REHEARSAL PLACEMENT-UNKNOWN: .*\n\n.*\n! everything here is of a rehearsal: nothing is in earnest\n✓ nothing was found in earnest; 1 of rehearsals, which do not count \(--include-rehearsals\)\n$/);
  assert.deepEqual(shareCards(value).map(({ x, who, site }) => [x, who, site]), [1, 2, 3].map((n) => [n, person(n), null]));
  assert.deepEqual(value.sets.map(({ threshold, shares, key, rehearsal }) => [threshold, shares, key, rehearsal]), [[2, 3, 'Root CA', true]]);
});

test('brought to three sites by a list, whose record is valid: nothing is found, and the books balance', async () => {
  const cards = shareCards((await custody()).value);
  writeFileSync(join(home, 'sites.yaml'), SITES, { mode: 0o600 });
  const bundle = await move(...cards.map(({ serial, set, x }, i) => `card,${serial},${set},${x},${person(x)},hall,${person((x % 3) + 1)},vault-${'acd'[i] ?? ''},Distribution`));
  const { verdict } = await verifyFile(new Uint8Array(readFileSync(bundle)), { hasher: nativeHasher });
  assert.deepEqual([verdict.verdict, verdict.findings], ['valid', []]);
  const { code, value } = await custody();
  assert.deepEqual([code, value.findings], [0, []]);
  assert.deepEqual(shareCards(value).map(({ x, who, site }) => [x, who, site]), [[1, person(2), 'vault-a'], [2, person(3), 'vault-c'], [3, person(1), 'vault-d']]);
  assert.ok(value.balance.every(({ unaccounted }) => unaccounted === 0));
  const { out } = await run('custody');
  // Each card, and the bag in which it lies.
  assert.match(out, /^ {2}site {3}hall \(REHEARSAL\): 6 at first, 0 in, 6 out, 0 here {2}✓ balances$/m);
  assert.match(out, /● card [0-9A-F]+ \(REHEARSAL\): share card, share 1 of set [\w-]{22}; with Stand-in custodian-2, at vault-a, in bag REHEARSAL-[\w-]+ \(REHEARSAL\) \[[0-9a-f]{8} \d+\]/);
  assert.match(out, /✓ signed by both \[/);
  assert.match(out, /✓ nothing was found\n$/);
});

test('M in one region, from elsewhere than the records have it: named, each with what to do', async () => {
  const [first, second, third] = shareCards((await custody()).value);
  await move(
    `card,${second?.serial ?? ''},,,${person(3)},vault-c,${person(3)},vault-b,Convenience`,
    `card,${third?.serial ?? ''},,,${person(2)},vault-d,${person(1)},vault-d,Nobody knows how it came there`,
  ).then(assert.ok, () => assert.fail());
  const { code, rules, value } = await custody();
  assert.equal(code, 1);
  assert.deepEqual(rules, ['CUSTODY-FROM-ELSEWHERE', 'CUSTODY-FROM-ELSEWHERE', 'PLACEMENT-REGION-REACHES-M'], 'the card, and the bag that went with it');
  assert.ok(first);
  assert.deepEqual(value.balance.filter(({ unaccounted }) => unaccounted !== 0).map(({ name, unaccounted }) => [name, unaccounted]), [[person(1), 2], [person(2), -2]].sort());
  const { out } = await run('custody');
  assert.match(out, /^ {2}! REHEARSAL PLACEMENT-REGION-REACHES-M: expected Root CA: set [\w-]{22}: fewer than 2 shares in one region; found 2 in north\. Bring shares to a site in another region/m);
  assert.match(out, /✕ 2 unaccounted for/);
});

test('a sites.yaml that others may write, or that is wrong, is a finding, and the register is there all the same', async () => {
  const file = join(home, 'sites.yaml');
  chmodSync(file, 0o666);
  const open = await custody();
  assert.deepEqual([open.code, open.value.sitesFault?.rule, open.value.things.length > 0], [1, 'SITES-FILE-OWNER', true]);
  assert.ok(open.rules.includes('SITES-FILE-OWNER') && open.rules.includes('PLACEMENT-UNKNOWN'));
  chmodSync(file, 0o600);
  writeFileSync(file, SITES.replace('vault-b', 'vault-a'));
  assert.match((await run('custody')).out, /^✕ SITES-NAME: expected line 4 of sites\.yaml: every site once; found vault-a again/m);
});

test('wrong calls, and help', async () => {
  for (const args of [['dance'], ['--dance'], ['--json=yes']]) assert.equal((await run('custody', ...args)).code, 2, args.join(' '));
  const { out } = await run('custody', '--help');
  for (const words of ['conclave-sites: 1', 'PLACEMENT-SITE-REACHES-M', 'Exit code']) assert.ok(out.includes(words), words);
});
