import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { planMigration, planRemarks, readHierarchy, type Plan } from '../../../ceremonies/keys/hierarchy.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { SEED } from './seed.ts';

const refused = (rule: string, found = '') => (error: unknown): boolean => {
  assert.ok(error instanceof Refused, String(error));
  assert.equal(error.refusal.rule, rule, error.message);
  assert.ok(`${error.refusal.expected} ${error.refusal.found}`.includes(found), error.message);
  return true;
};
const plan = (keys: string, more = ''): Plan => planMigration(readHierarchy(`conclave-hierarchy: 1\n${more}keys:\n${keys}`));
const said = ({ steps }: Plan): string[] => steps.map((step) => `${step.do} ${step.key}`);
const token = 'copies: [{ at: hsm-a, form: token }]';
const inside = 'copies: [{ at: vault, form: wrapped }]';
const outside = 'copies: [{ at: vault, form: wrapped }, { at: cloud, form: wrapped, exposed: true }]';
const until = (year: number, classification = 'secret'): string => `protects: { classification: ${classification}, until: ${year} }`;

/** An RSA root, an RSA KEK and an AES KEK below it, and DEKs with every mixture of lifetime and exposure. */
const BANK = `
  - { name: root, role: root, algorithm: rsa-4096, ${token} }
  - { name: kek-old, role: kek, algorithm: rsa-2048, wrapped-by: root, ${inside} }
  - { name: kek-aes, role: kek, algorithm: aes-256, wrapped-by: root, ${inside} }
  - { name: dek-archive, role: dek, algorithm: aes-256, wrapped-by: kek-old, ${outside}, ${until(2050)} }
  - { name: dek-session, role: dek, algorithm: aes-256, wrapped-by: kek-old, ${outside}, ${until(2028)} }
  - { name: dek-inside, role: dek, algorithm: aes-256, wrapped-by: kek-old, ${inside}, ${until(2060, 'top-secret')} }
  - { name: dek-safe, role: dek, algorithm: aes-256, wrapped-by: kek-aes, ${outside}, ${until(2050)} }
`;

test('root, then KEKs, then DEKs, then what is retired; harvest-now-decrypt-later first', () => {
  const result = plan(BANK);
  assert.deepEqual(said(result), [
    'replace root', 'replace kek-old', 'rewrap kek-aes', 'rotate dek-archive', 'rewrap dek-inside', 'rewrap dek-session', 'retire kek-old', 'retire root',
  ]);
  assert.deepEqual(result.settled, ['dek-safe']); // AES under AES, and the AES KEK was never outside
  const step = (name: string) => result.steps.find((one) => `${one.do} ${one.key}` === name)!;
  assert.deepEqual([step('replace root').to, step('rewrap kek-aes').to], ['MLKEM1024-ECDH-P384-SHA3-256', 'aes-256']);
  assert.deepEqual([step('rotate dek-archive').after, step('rotate dek-archive').under, step('rotate dek-archive').copies], [[2], 'kek-old', ['vault', 'cloud']]);
  assert.deepEqual(step('retire kek-old').after, [2, 4, 6, 5]);
  assert.deepEqual(step('retire root').after, [1, 2, 3]);
  assert.deepEqual(step('retire kek-old').copies, ['kek-old at vault', 'dek-archive at vault', 'dek-archive at cloud', 'dek-session at vault', 'dek-session at cloud', 'dek-inside at vault']);
  assert.match(step('rotate dek-archive').reasons.join('; '), /harvest now, decrypt later: it must still be secret in 2035; what was recorded before this step stays lost/);
  assert.doesNotMatch(step('rewrap dek-session').reasons.join('; '), /harvest/);
  assert.match(step('replace root').reasons.join('; '), /rsa-4096 falls to a quantum computer; the most urgent below it is secret until 2050; harvest/);
});

test('classification and lifetime decide the order: boundary rows', () => {
  const deks = (...rows: readonly (readonly [string, number, string, string])[]): Plan => plan([
    `  - { name: kek, role: root, algorithm: rsa-3072, ${token} }`,
    ...rows.map(([name, year, classification, copies]) => `  - { name: ${name}, role: dek, algorithm: aes-256, wrapped-by: kek, ${copies}, ${until(year, classification)} }`),
  ].join('\n'));
  const first = (result: Plan): string[] => said(result).slice(1, -1);
  assert.deepEqual(first(deks(['at', 2035, 'internal', outside], ['before', 2034, 'internal', outside])), ['rotate at', 'rewrap before']);
  assert.deepEqual(first(deks(['public', 2099, 'public', outside])), ['rewrap public']);
  assert.deepEqual(first(deks(['a', 2040, 'confidential', outside], ['b', 2040, 'secret', outside])), ['rotate b', 'rotate a']);
  assert.deepEqual(first(deks(['a', 2040, 'secret', outside], ['b', 2041, 'secret', outside])), ['rotate b', 'rotate a']);
  assert.deepEqual(first(deks(['inside', 2099, 'top-secret', inside], ['harvested', 2036, 'internal', outside])), ['rotate harvested', 'rewrap inside']);
  assert.deepEqual(first(deks(['b', 2040, 'secret', outside], ['a', 2040, 'secret', outside])), ['rotate a', 'rotate b']);
});

test('a recorded KEK gives away what is below it, however strong its algorithm', () => {
  const result = plan(`
  - { name: root, role: root, algorithm: ecdh-p384, ${token} }
  - { name: kek, role: kek, algorithm: aes-256, wrapped-by: root, ${outside} }
  - { name: dek, role: dek, algorithm: aes-256, wrapped-by: kek, ${outside}, ${until(2040)} }`);
  assert.deepEqual(said(result), ['replace root', 'replace kek', 'rotate dek', 'retire kek', 'retire root']);
  assert.equal(result.steps[1]!.to, 'aes-256');
});

test('a KEK under a KEK comes after it; the more urgent branch comes first', () => {
  const result = plan(`
  - { name: dek-x, role: dek, algorithm: aes-256, wrapped-by: kek-b2, ${outside}, ${until(2070, 'top-secret')} }
  - { name: dek-y, role: dek, algorithm: aes-256, wrapped-by: kek-a, ${outside}, ${until(2036, 'internal')} }
  - { name: kek-a, role: kek, algorithm: rsa-2048, wrapped-by: root, ${inside} }
  - { name: kek-b2, role: kek, algorithm: x25519, wrapped-by: kek-b1, ${inside} }
  - { name: kek-b1, role: kek, algorithm: rsa-4096, wrapped-by: root, ${inside} }
  - { name: root, role: root, algorithm: aes-256, ${token} }`);
  assert.deepEqual(said(result), ['replace kek-b1', 'replace kek-b2', 'replace kek-a', 'rotate dek-x', 'rotate dek-y', 'retire kek-b2', 'retire kek-b1', 'retire kek-a']);
  assert.deepEqual(result.settled, ['root']);
});

test('nothing to do is said so; JSON is read as YAML is; composite names with and without id-', () => {
  const keys = [
    { name: 'root', role: 'root', algorithm: 'id-MLKEM1024-ECDH-P384-SHA3-256', copies: [{ at: 'hsm', form: 'token' }] },
    { name: 'spare', role: 'kek', algorithm: 'ml-kem-768', 'wrapped-by': 'root', copies: [{ at: 'vault', form: 'wrapped' }] },
  ];
  const hierarchy = readHierarchy(JSON.stringify({ 'conclave-hierarchy': 1, horizon: 2030, keys }));
  assert.deepEqual(planMigration(hierarchy), { horizon: 2030, target: 'MLKEM1024-ECDH-P384-SHA3-256', steps: [], settled: ['root', 'spare'] });
  assert.deepEqual(planRemarks(hierarchy).map(({ rule, expected }) => `${rule} ${expected.split(':')[0]!}`), ['HIERARCHY-UNUSED spare']);
});

test('cycles, orphans and other faults are refused by name', () => {
  const root = `  - { name: root, role: root, algorithm: rsa-2048, ${token} }\n`;
  const kek = (name: string, parent: string): string => `  - { name: ${name}, role: kek, algorithm: aes-256, wrapped-by: ${parent}, ${inside} }\n`;
  for (const [keys, rule, found] of [
    [kek('a', 'b') + kek('b', 'c') + kek('c', 'a'), 'HIERARCHY-CYCLE', 'a wrapped by b wrapped by c wrapped by a'],
    [kek('a', 'a'), 'HIERARCHY-CYCLE', 'a wrapped by a'],
    [root + kek('x', 'a') + kek('a', 'b') + kek('b', 'a'), 'HIERARCHY-CYCLE', 'a wrapped by b wrapped by a'],
    [root + kek('a', 'gone'), 'HIERARCHY-ORPHAN', 'wrapped by gone'],
    [`  - { name: a, role: kek, algorithm: aes-256, ${inside} }`, 'HIERARCHY-ORPHAN', 'nothing that wraps it'],
    [root + root, 'HIERARCHY-NAME', 'root twice'],
    [root.replace('role: root', 'role: root, wrapped-by: x'), 'HIERARCHY-ROLE', 'x'],
    [root.replace('token }', 'wrapped }'), 'HIERARCHY-ROLE', 'root'],
    [`${root}  - { name: d, role: dek, algorithm: aes-256, wrapped-by: root, ${inside} }`, 'HIERARCHY-ROLE', 'd'],
    [root.replace('copies', `${until(2030)}, copies`), 'HIERARCHY-ROLE', 'root'],
    [`${root}  - { name: d, role: dek, algorithm: aes-256, wrapped-by: root, ${inside}, ${until(2030)} }\n${kek('e', 'd')}`, 'HIERARCHY-ROLE', 'd is a DEK'],
    [root.replace('rsa-2048', 'des'), 'ALGORITHM-KNOWN', 'keys.root.algorithm'],
    [root.replace('token', 'paper'), 'HIERARCHY-FILE', 'keys.0.copies.0.form'],
    [root.replace('role', 'extra: 1, role'), 'HIERARCHY-FILE', 'keys.0'],
    [root.replace(token, 'copies: []'), 'HIERARCHY-FILE', 'keys.0.copies'],
    [root.replace('role', 'name: again, role'), 'HIERARCHY-FILE', 'name again'],
    [root.replace('root, role', '&x root, role'), 'HIERARCHY-FILE', 'anchors'],
    [root.replace('hsm-a', '"hsm\\u202ea"'), 'TEXT-PRINTABLE', 'keys.root'],
    ['', 'HIERARCHY-FILE', ''],
  ] as const) assert.throws(() => plan(keys), refused(rule, found), keys);
  assert.throws(() => plan(root, 'target: rsa-4096\n'), refused('HIERARCHY-TARGET', 'rsa-4096'));
  assert.throws(() => readHierarchy('conclave-hierarchy: 2\nkeys: []'), refused('HIERARCHY-FILE'));
  assert.throws(() => readHierarchy('['.repeat(50_000)), refused('HIERARCHY-FILE'));
  assert.throws(() => readHierarchy('a: 1\n---\nb: 2'), refused('HIERARCHY-FILE'));
  assert.throws(() => readHierarchy('x'.repeat(1_000_001)), refused('HIERARCHY-FILE'));
});

test('property: whatever the hierarchy, no key moves before its parent, each old wrapper goes last, and KEKs come before DEKs', () => {
  const algorithms = ['rsa-2048', 'x25519', 'aes-128', 'aes-256', 'ml-kem-768'];
  const node = fc.record({ parent: fc.nat(), algorithm: fc.constantFrom(...algorithms), exposed: fc.boolean(), dek: fc.boolean(), until: fc.integer({ min: 2020, max: 2060 }), level: fc.constantFrom('public', 'internal', 'secret') });
  fc.assert(fc.property(fc.array(node, { maxLength: 40 }), (nodes) => {
    const wrappers = [0];
    const keys = nodes.map((one, i) => {
      const parent = wrappers[one.parent % wrappers.length]!;
      if (!one.dek) wrappers.push(i + 1);
      return {
        name: `k${i + 1}`, role: one.dek ? 'dek' : 'kek', algorithm: one.algorithm, 'wrapped-by': `k${parent}`, copies: [{ at: 'here', form: 'wrapped', exposed: one.exposed }],
        ...(one.dek && { protects: { classification: one.level, until: one.until } }),
      };
    });
    const root = { name: 'k0', role: 'root', algorithm: algorithms[nodes.length % algorithms.length]!, copies: [{ at: 'hsm', form: 'token' }] };
    // The file's own order must not matter: last first.
    const hierarchy = readHierarchy(JSON.stringify({ 'conclave-hierarchy': 1, keys: [...keys.toReversed(), root] }));
    const { steps, settled } = planMigration(hierarchy);
    const place = new Map(steps.filter((step) => step.do !== 'retire').map((step) => [step.key, step.step]));
    assert.equal(place.size + settled.length, keys.length + 1);
    for (const step of steps) {
      assert.ok(step.after.every((before) => before < step.step), JSON.stringify(step));
      const parent = step.under === null ? undefined : place.get(step.under);
      if (parent !== undefined) assert.ok(step.after.includes(parent) && parent < step.step);
    }
    const ranks = steps.map((step) => step.do === 'retire' ? 3 : { root: 0, kek: 1, dek: 2 }[step.role]);
    assert.deepEqual(ranks, ranks.toSorted((a, b) => a - b));
    // Afterwards nothing is wrapped under what falls, and every replaced key is retired after all that hung on it.
    const now = new Map(steps.filter((step) => step.to !== null).map((step) => [step.key, step.to!]));
    for (const { name, role, algorithm } of [root, ...keys]) if (role !== 'dek') assert.doesNotMatch(now.get(name) ?? algorithm, /^(rsa|x25519)/);
    for (const one of steps.filter((step) => step.do === 'replace')) {
      const retired = steps.find((step) => step.do === 'retire' && step.key === one.key)!;
      for (const child of keys.filter((key) => key['wrapped-by'] === one.key)) assert.ok(place.get(child.name)! < retired.step);
    }
    assert.deepEqual(planMigration(hierarchy), planMigration(hierarchy));
  }), { seed: SEED, numRuns: 200 });
});

test('property: any text is read or refused by name', () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json(), fc.string({ unit: 'binary' })), (text) => {
    try {
      readHierarchy(text);
      assert.fail('read as a hierarchy');
    } catch (error) {
      assert.ok(error instanceof Refused, String(error));
    }
  }), { seed: SEED, numRuns: 300 });
});
