/** Placement of shares: every rule at its boundary, sites.yaml, and random placements against an oracle that counts by brute force. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { lintPlacement, PLACEMENT_RULES, readSites, type PlacedShare, type SetRule, type Site } from '../../../ceremonies/shares/placement.ts';
import { SEED } from '../keys/seed.ts';

const site = (name: string, region: string): Site => ({ name, title: name, region });
const SITES = [site('a', 'north'), site('b', 'north'), site('c', 'south'), site('d', 'south'), site('e', 'west')];
const set = (threshold: number, shares: number, id = 'S'): SetRule => ({ id, threshold, shares, key: 'Root CA', rehearsal: false });
/** `1:P@a`: share 1 with P at a; `?` where nobody knows. Each in a thing of its own. */
const placed = (...texts: readonly string[]): PlacedShare[] => texts.map((text, i) => {
  const [, x, person, at] = /^(\d+):(.)@(.)$/.exec(text) ?? assert.fail(text);
  const known = (value: string | undefined) => (value === undefined || value === '?' ? null : value);
  return { set: 'S', x: Number(x), thing: `card ${i}`, person: known(person), site: known(at) };
});

const ROWS: readonly (readonly [what: string, rule: SetRule, shares: readonly string[], findings: readonly string[]])[] = [
  ['well placed, 3 of 5', set(3, 5), ['1:P@a', '2:Q@b', '3:R@c', '4:S@d', '5:T@e'], []],
  ['M - 1 at one site', set(3, 5), ['1:P@a', '2:Q@a', '3:R@c', '4:S@d', '5:T@e'], []],
  ['M at one site', set(3, 5), ['1:P@a', '2:Q@a', '3:R@a', '4:S@d', '5:T@e'], ['PLACEMENT-SITE-REACHES-M site a', 'PLACEMENT-REGION-REACHES-M region north', 'PLACEMENT-LOSS-LEAVES-TOO-FEW site a']],
  ['the same share M times at one site is one share', set(2, 5), ['1:P@a', '1:Q@a', '1:R@a', '3:S@c', '4:T@e'], []],
  ['M in one region, at two sites', set(3, 5), ['1:P@a', '2:Q@b', '3:R@b', '4:S@d', '5:T@e'], ['PLACEMENT-REGION-REACHES-M region north']],
  ['one person with two', set(3, 5), ['1:P@a', '2:P@b', '3:R@c', '4:S@d', '5:T@e'], ['PLACEMENT-PERSON-HOLDS-TWO person P']],
  ['one person with M', set(3, 5), ['1:P@a', '2:P@b', '3:P@c', '4:S@d', '5:T@e'], ['PLACEMENT-PERSON-REACHES-M person P']],
  ['one person with one share twice', set(2, 3), ['1:P@a', '1:P@c', '2:Q@c', '3:R@e'], ['PLACEMENT-REGION-REACHES-M region south', 'PLACEMENT-SITE-REACHES-M site c'].reverse()],
  ['a loss leaves exactly M', set(2, 3), ['1:P@a', '2:Q@c', '3:R@e'], []],
  ['a loss leaves M - 1', set(3, 3), ['1:P@a', '2:Q@c', '3:R@e'], ['PLACEMENT-LOSS-LEAVES-TOO-FEW site a', 'PLACEMENT-LOSS-LEAVES-TOO-FEW site c', 'PLACEMENT-LOSS-LEAVES-TOO-FEW site e']],
  ['a copy elsewhere makes good for the loss', set(2, 2), ['1:P@a', '2:Q@c', '1:R@e', '2:S@e'], ['PLACEMENT-SITE-REACHES-M site e', 'PLACEMENT-REGION-REACHES-M region west']],
  ['fewer than M are left of the set', set(3, 5), ['1:P@a', '2:Q@c'], ['PLACEMENT-LOSS-LEAVES-TOO-FEW']],
  ['none is left', set(2, 3), [], ['PLACEMENT-LOSS-LEAVES-TOO-FEW']],
  ['a share nobody knows the place of survives every loss, and is told', set(2, 3), ['1:P@a', '2:Q@?', '3:R@c'], ['PLACEMENT-UNKNOWN']],
  ['a share with nobody, at a known site', set(2, 3), ['1:?@a', '2:?@c', '3:?@e'], []],
  ['a site that sites.yaml does not know', set(2, 3), ['1:P@a', '2:Q@c', '3:R@x'], ['PLACEMENT-UNKNOWN site x']],
  ['2 of 255', set(2, 255), ['1:P@a', '255:Q@c', '3:R@e'], []],
];
const told = (rules: readonly SetRule[], shares: readonly PlacedShare[], sites: readonly Site[] = SITES) => lintPlacement(rules, shares, sites).map(({ rule, at }) => [rule, ...at ? [at.kind, at.name] : []].join(' '));

for (const [what, rule, shares, findings] of ROWS) {
  test(what, () => {
    assert.deepEqual(told([rule], placed(...shares)).sort(), [...findings].sort());
    for (const { expected, found, next, things } of lintPlacement([rule], placed(...shares), SITES)) {
      for (const part of [expected, found, next]) assert.notEqual(part, '');
      assert.ok(things.every((thing) => thing.startsWith('card ')));
    }
  });
}

/** What is judged by shares alone. */
const OF_SHARES = PLACEMENT_RULES.filter((rule) => rule !== 'PLACEMENT-ESCROW-WITH-SHARE');

test('an escrow agent holds no share of the set whose backup key is in the envelope', () => {
  const envelope = (person: string | null, of = 'S') => [{ set: of, thing: 'envelope 1', person }];
  const shares = placed('1:P@a', '2:Q@c', '3:R@e');
  const rule = set(2, 3);
  const [finding, ...more] = lintPlacement([rule], shares, SITES, envelope('Q', rule.id));
  assert.deepEqual([finding?.rule, finding?.set, finding?.at?.name, finding?.things, more], ['PLACEMENT-ESCROW-WITH-SHARE', rule.id, 'Q', ['envelope 1', 'card 1'], []]);
  for (const one of [envelope('Agent', rule.id), envelope(null, rule.id), envelope('Q', 'T')]) assert.deepEqual(lintPlacement([rule], shares, SITES, one), []);
});

test('every rule has a row; two sets are judged apart, and a share of neither is told', () => {
  for (const rule of OF_SHARES) assert.ok(ROWS.some(([, , , findings]) => findings.some((finding) => finding.startsWith(rule))), rule);
  const other = placed('1:P@c', '2:Q@e', '3:R@a').map((share) => ({ ...share, set: 'T' }));
  assert.deepEqual(told([set(2, 3), set(2, 3, 'T')], [...placed('1:P@a', '2:Q@c', '3:R@e'), ...other]), []);
  const [finding] = lintPlacement([set(2, 3)], [...placed('1:P@a', '2:Q@c', '3:R@e'), ...other], SITES);
  assert.deepEqual([finding?.rule, finding?.set, finding?.things], ['PLACEMENT-UNKNOWN', 'T', ['card 0', 'card 1', 'card 2']]);
  assert.deepEqual(told([set(2, 3)], placed('1:P@a', '2:Q@c', '3:R@e'), []), ['PLACEMENT-UNKNOWN site a', 'PLACEMENT-UNKNOWN site c', 'PLACEMENT-UNKNOWN site e'], 'without sites.yaml');
});

/** By going through every site, region, person and subset of the shares: no grouping, no arithmetic. */
function oracle({ threshold: m }: SetRule, shares: readonly PlacedShare[]): string[] {
  const subsets = (list: readonly PlacedShare[]): PlacedShare[][] => list.reduce<PlacedShare[][]>((all, share) => [...all, ...all.map((one) => [...one, share])], [[]]);
  /** Can M different shares be chosen from these? */
  const reaches = (list: readonly PlacedShare[], wanted: number) => subsets(list).some((one) => one.length === wanted && one.every(({ x }, i) => one.findIndex((other) => other.x === x) === i));
  const found: string[] = [];
  for (const { name } of SITES) {
    if (reaches(shares.filter((share) => share.site === name), m)) found.push(`PLACEMENT-SITE-REACHES-M site ${name}`);
    if (reaches(shares, m) && shares.some((share) => share.site === name) && !reaches(shares.filter((share) => share.site !== name), m)) found.push(`PLACEMENT-LOSS-LEAVES-TOO-FEW site ${name}`);
  }
  for (const region of ['north', 'south', 'west']) if (reaches(shares.filter((share) => SITES.some((one) => one.name === share.site && one.region === region)), m)) found.push(`PLACEMENT-REGION-REACHES-M region ${region}`);
  for (const person of ['P', 'Q', 'R']) {
    const held = shares.filter((share) => share.person === person);
    if (reaches(held, m)) found.push(`PLACEMENT-PERSON-REACHES-M person ${person}`);
    else if (reaches(held, 2)) found.push(`PLACEMENT-PERSON-HOLDS-TWO person ${person}`);
  }
  if (!reaches(shares, m)) found.push('PLACEMENT-LOSS-LEAVES-TOO-FEW');
  if (shares.some((share) => share.site === null)) found.push('PLACEMENT-UNKNOWN');
  return found.sort();
}

test('property: random placements, as the oracle finds them', () => {
  const share = fc.record({ x: fc.integer({ min: 1, max: 6 }), person: fc.constantFrom('P', 'Q', 'R', null), site: fc.constantFrom(...SITES.map(({ name }) => name), null) });
  const seen = new Set<string>();
  fc.assert(fc.property(fc.integer({ min: 2, max: 5 }), fc.array(share, { maxLength: 9 }), (threshold, list) => {
    const shares = list.map((one, i): PlacedShare => ({ ...one, set: 'S', thing: `card ${i}` }));
    const expected = oracle(set(threshold, 6), shares);
    for (const finding of expected) seen.add(finding.split(' ')[0] ?? '');
    assert.deepEqual(told([set(threshold, 6)], shares).sort(), expected);
  }), { seed: SEED, numRuns: 3000 });
  assert.deepEqual([...seen].sort(), [...OF_SHARES].sort(), 'all of them were tried');
});

// --- sites.yaml ----------------------------------------------------------------------------------------------------------

const FILE = 'conclave-sites: 1\nsites:\n  - { name: head-office, title: Head office, region: north }\n  - { name: branch, region: south }\n';

test('sites.yaml: names, titles, regions', () => {
  assert.deepEqual(readSites(FILE).sites, [{ name: 'head-office', title: 'Head office', region: 'north' }, { name: 'branch', title: 'branch', region: 'south' }]);
});

const BAD: readonly (readonly [what: string, text: string, rule: string, line: number])[] = [
  ['no YAML', FILE.replace('north }', 'north'), 'SITES-YAML', 4],
  ['an anchor', FILE.replace('region: north', 'region: &a north'), 'SITES-YAML', 3],
  ['a key twice', `${FILE}conclave-sites: 1\n`, 'SITES-YAML', 5],
  ['another version', FILE.replace('sites: 1', 'sites: 2'), 'SITES-SHAPE', 1],
  ['a member too many', FILE.replace('title: Head office', 'address: Somewhere'), 'SITES-SHAPE', 3],
  ['no region', FILE.replace(', region: south', ''), 'SITES-SHAPE', 4],
  ['a name in capitals', FILE.replace('branch', 'Branch'), 'SITES-SHAPE', 4],
  ['no site', 'conclave-sites: 1\nsites: []\n', 'SITES-SHAPE', 2],
  ['a site twice', FILE.replace('branch', 'head-office'), 'SITES-NAME', 4],
  ['a file that never ends', `${FILE}# ${'x'.repeat(50_000)}\n`, 'SITES-SIZE', 0],
];
for (const [what, text, rule, line] of BAD) {
  test(`sites.yaml with ${what} is ${rule}`, () => {
    const { sites, faults } = readSites(text);
    assert.equal(sites, null);
    const fault = faults?.find((one) => one.rule === rule) ?? assert.fail(JSON.stringify(faults));
    assert.equal(fault.line, line);
  });
}

test('every rule of placement.ts is tried', () => {
  const source = readFileSync(join(import.meta.dirname, '../../../ceremonies/shares/placement.ts'), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const rules = new Set([...source.matchAll(/'((?:PLACEMENT|SITES)(?:-[A-Z]+)+)'/g)].map(([, rule = '']) => rule));
  assert.deepEqual([...rules].filter((rule) => !BAD.some(([, , row]) => row === rule) && !(PLACEMENT_RULES as readonly string[]).includes(rule)), []);
});
