/** Algorithms in plain words: every one that a script may name, each under one family, nothing invented beside the registry. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CA_ALGORITHMS, caAlgorithmNamed, COMPOSITE_SIGNATURES, isStateful } from '../../ceremonies/keys/algorithms.ts';
import { rehearse } from '../../ceremonies/rehearse.ts';
import { readScript } from '../../ceremonies/script.ts';
import {
  algorithmFacts,
  algorithmGroups,
  algorithmName,
  areAlgorithms,
  arePlaces,
  placesFor,
  placeWords,
} from '../../renderer/algorithms.ts';
import { SCRIPTS } from './pretend.ts';

test('every algorithm stands in exactly one group, in the order given, under a name of its own', () => {
  const grouped = algorithmGroups(CA_ALGORITHMS).flatMap((group) => group.names);
  assert.deepEqual([...grouped].sort(), [...CA_ALGORITHMS].sort());
  const names = CA_ALGORITHMS.map(algorithmName);
  assert.equal(new Set(names).size, names.length, 'two algorithms with one name cannot be told apart');
  assert.equal(algorithmName('ecdsa-p384'), 'EC P-384');
  assert.equal(algorithmName('MLDSA65-RSA3072-PKCS15-SHA512'), 'ML-DSA-65 + RSA-3072 PKCS #1');
  assert.equal(algorithmName('brainpoolP256r1'), 'brainpoolP256r1', 'a half that no script can name alone');
  const composite = algorithmGroups(COMPOSITE_SIGNATURES.map((row) => row.name));
  assert.deepEqual(composite.map((group) => group.names.length), [4, 8, 6]);
});

test('what is said of an algorithm is what the registry says', () => {
  for (const name of CA_ALGORITHMS) {
    const row = caAlgorithmNamed(name);
    const { sentences, profile } = algorithmFacts(name);
    const said = sentences.join(' ');
    assert.equal(profile, 'profile' in row ? row.profile : null, name);
    if (isStateful(row)) assert.match(said, row.family === 'xmss' ? /no backup.*at most [\d,]+ times; how many are left, the token does not tell/ : /no backup/);
    else assert.match(said, row.quantumCategory === 0 ? /not against a quantum computer/ : new RegExp(`category ${row.quantumCategory}`), name);
    assert.doesNotMatch(said, /undefined/, name);
  }
  assert.match(algorithmFacts('slh-dsa-sha2-128s').sentences.join(' '), /7,856 bytes.*seconds/);
  assert.match(algorithmFacts('MLDSA65-ECDSA-P256-SHA512').sentences.join(' '), /a forger must break both.*about 3,381 bytes/);
  assert.match(algorithmFacts('MLDSA65-Ed25519-SHA512').sentences.join(' '), /has 3,373 bytes/);
});

test('where a key cannot live is said where it is chosen exactly when the model of the room refuses it', () => {
  for (const [script, names] of [
    ['composite-ca', COMPOSITE_SIGNATURES.map((row) => row.name)],
    ['pq-root', ['ml-dsa-65', 'slh-dsa-shake-256f']],
  ] as const) {
    const read = readScript(SCRIPTS[script]!).script!;
    for (const algorithm of names) {
      for (const place of placesFor(algorithm)) {
        const { faults } = rehearse(read, { ...read.defaults, algorithm, place });
        const refused = faults.some((fault) => fault.rule === 'PLACE-POSSIBLE');
        assert.equal(placeWords(place, algorithm).impossible !== null, refused, `${algorithm} ${place}`);
      }
    }
  }
});

test('a script’s choices are shown as algorithms or places only when all of them are', () => {
  const { parameters } = readScript(SCRIPTS['composite-ca']!).script!;
  const choices = (name: string) => {
    const spec = parameters[name]!;
    return 'one-of' in spec ? spec['one-of'] : [];
  };
  assert.ok(areAlgorithms(choices('algorithm')) && !arePlaces(choices('algorithm')));
  assert.ok(arePlaces(choices('place')) && !areAlgorithms(choices('place')));
  assert.ok(!areAlgorithms(['ml-dsa-65', 'red']) && !arePlaces(['token', 'moon']));
});
