import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import fc from 'fast-check';
import { toHex, utf8 } from '../../../ceremonies/bytes.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { combineMnemonics, encodeMnemonic, makeMnemonics, parseMnemonic, slip39Randomness } from '../../../ceremonies/shares/slip39.ts';
import { SLIP39_WORDS } from '../../../ceremonies/shares/slip39-words.ts';
import { SEED } from '../keys/seed.ts';

const vector = (name: string): string => readFileSync(new URL(`../../vectors/slip39/${name}`, import.meta.url), 'utf8');
const VECTORS = JSON.parse(vector('vectors.json')) as [string, string[], string, string][];
const NONE: Uint8Array = new Uint8Array(0);
const SECRET: Uint8Array = Uint8Array.from({ length: 32 }, (_, i) => 7 * i + 1);
const random = (threshold: number, fill = 0x3c): Uint8Array => Uint8Array.from({ length: slip39Randomness(threshold) }, (_, i) => (fill * (i + 3) * (i + 5)) & 255);
const text = (words: readonly string[]): Uint8Array => utf8(words.join(' '));
const refusal = (work: () => unknown): { rule: string; found: string; all: string } => {
  try {
    work();
  } catch (error) {
    if (error instanceof Refused) return { ...error.refusal, all: JSON.stringify(error.refusal) };
    throw error;
  }
  return assert.fail('it was accepted');
};

test('the word list is the official one', () => {
  assert.deepEqual(SLIP39_WORDS, vector('wordlist.txt').trim().split('\n'));
  assert.equal(new Set(SLIP39_WORDS.map((word) => word.slice(0, 4))).size, 1024);
});

/** The rule under which each kind of invalid vector is refused. */
const REFUSED: readonly (readonly [RegExp, string])[] = [
  [/invalid checksum/, 'SHARE-CHECKSUM'], [/invalid padding|insufficient length|invalid master secret length|greater group threshold/, 'SHARE-WORDS'],
  [/different|mismatching/, 'SHARE-FOREIGN-SET'], [/duplicate/, 'SHARE-DUPLICATE'], [/invalid digest/, 'SHARES-WRONG-SECRET'], [/Insufficient|insufficient number|Basic sharing/, 'SHARES-TOO-FEW'],
];

test('all 45 official vectors: the secret, or the refusal by name; what is valid is written again letter by letter', async () => {
  let tried = 0;
  for (const [name, mnemonics, secret] of VECTORS) {
    const combined = (async () => combineMnemonics(mnemonics.map((one) => parseMnemonic(utf8(one))), utf8('TREZOR')))();
    if (secret === '') {
      const rule = REFUSED.find(([kind]) => kind.test(name))![1];
      await assert.rejects(combined, (error: unknown) => error instanceof Refused && error.refusal.rule === rule, name);
    } else {
      assert.equal(toHex(await combined), secret, name);
      for (const one of mnemonics) assert.equal(new TextDecoder().decode(encodeMnemonic(parseMnemonic(utf8(one)))), `${one}\n`, name);
    }
    tried++;
  }
  assert.equal(tried, 45);
});

test('any M of N mnemonics give the secret back, more than M too; fewer are refused', async () => {
  const numbers = fc.integer({ min: 2, max: 6 }).chain((shares) => fc.record({ shares: fc.constant(shares), threshold: fc.integer({ min: 2, max: shares }) }));
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 32, maxLength: 32 }), numbers, fc.integer({ min: 1, max: 255 }), async (bytes, plan, fill) => {
      const { mnemonics, proof } = await makeMnemonics(bytes, plan, NONE, random(plan.threshold, fill));
      assert.equal(proof.exhaustive, true);
      const read = mnemonics.map((one) => parseMnemonic(encodeMnemonic(one)));
      assert.deepEqual(read, mnemonics);
      const order = fill % 2 === 0 ? read : read.toReversed();
      assert.deepEqual(await combineMnemonics(order.slice(0, plan.threshold), NONE), new Uint8Array(bytes));
      await assert.rejects(combineMnemonics(order.slice(1, plan.threshold), NONE), (error: unknown) => error instanceof Refused && error.refusal.rule === 'SHARES-TOO-FEW');
    }),
    { seed: SEED, numRuns: 6 },
  );
  const { mnemonics, proof } = await makeMnemonics(SECRET, { threshold: 4, shares: 16 }, NONE, random(4));
  assert.deepEqual(proof, { subsetsTried: 200, shortTried: 200, exhaustive: false });
  assert.deepEqual(await combineMnemonics(mnemonics, NONE), SECRET);
});

test('a passphrase is needed again, and a wrong one is noticed by nobody: that is the standard', async () => {
  const { mnemonics } = await makeMnemonics(SECRET, { threshold: 2, shares: 3 }, utf8('correct horse'), random(2));
  assert.deepEqual(await combineMnemonics(mnemonics.slice(1), utf8('correct horse')), SECRET);
  assert.notDeepEqual(await combineMnemonics(mnemonics.slice(1), NONE), SECRET);
});

test('every single wrong word is named by its place, and no refusal says a word of the mnemonic or the right one', async () => {
  const { mnemonics } = await makeMnemonics(SECRET, { threshold: 2, shares: 2 }, NONE, random(2));
  const words = new TextDecoder().decode(encodeMnemonic(mnemonics[0]!)).trim().split(' ');
  assert.equal(words.length, 33);
  const said = new Set<string>();
  for (const [i, right] of words.entries()) {
    for (const step of [1, 313, 1000]) {
      const wrong = SLIP39_WORDS[(SLIP39_WORDS.indexOf(right) + step) % 1024]!;
      const { rule, found, all } = refusal(() => parseMnemonic(text(words.with(i, wrong))));
      assert.deepEqual([rule, found], ['SHARE-CHECKSUM', `word ${i + 1} is probably wrong`]);
      said.add(all.replace(`word ${i + 1} `, 'word _ '));
    }
    const { rule, found } = refusal(() => parseMnemonic(text(words.with(i, 'xyzzyx'))));
    assert.deepEqual([rule, found], ['SHARE-WORDS', `word ${i + 1} is not one of them`]);
  }
  assert.equal(said.size, 1, 'whatever the words are, a refusal differs in the place only');
});

test('two wrong words, or two exchanged ones, never accuse a third', async () => {
  const { mnemonics } = await makeMnemonics(SECRET, { threshold: 2, shares: 2 }, NONE, random(2));
  const words = new TextDecoder().decode(encodeMnemonic(mnemonics[1]!)).trim().split(' ');
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(32), { minLength: 2, maxLength: 2 }), fc.nat(1022), fc.nat(1022), fc.boolean(), ([a, b], stepA, stepB, exchange) => {
      const other = (i: number, step: number): string => SLIP39_WORDS[(SLIP39_WORDS.indexOf(words[i]!) + 1 + step) % 1024]!;
      // The second word holds the extendable flag, which chooses between two codes; between those the distance is not promised.
      fc.pre(a !== 1 && b !== 1 && (!exchange || words[a!] !== words[b!]));
      const spoiled = exchange ? words.with(a!, words[b!]!).with(b!, words[a!]!) : words.with(a!, other(a!, stepA)).with(b!, other(b!, stepB));
      const { rule, found } = refusal(() => parseMnemonic(text(spoiled)));
      assert.equal(rule, 'SHARE-CHECKSUM');
      assert.match(found, /^two words or more|^word 2 is/);
    }),
    { seed: SEED, numRuns: 30 },
  );
});

test('capitals and line ends are read; refusals for everything else, and for what would take hours', async () => {
  const { mnemonics } = await makeMnemonics(SECRET, { threshold: 2, shares: 2 }, NONE, random(2));
  const line = new TextDecoder().decode(encodeMnemonic(mnemonics[0]!));
  assert.deepEqual(parseMnemonic(utf8(`\n ${line.toUpperCase().replaceAll(' ', '\r\n')}`)), mnemonics[0]);
  const costly = encodeMnemonic({ ...mnemonics[0]!, set: { ...mnemonics[0]!.set, iterationExponent: 15 } });
  assert.equal(refusal(() => parseMnemonic(costly)).rule, 'SHARE-VERSION');
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => ['SHARE-WORDS', 'SHARE-CHECKSUM'].includes(refusal(() => parseMnemonic(noise)).rule)), { seed: SEED });
  assert.equal(refusal(() => parseMnemonic(utf8('academic '.repeat(5000)))).found, '60');
  const make = (threshold: number, shares: number, secret = SECRET, passphrase: Uint8Array = NONE): Promise<unknown> => makeMnemonics(secret, { threshold, shares }, passphrase, random(threshold));
  for (const [work, rule] of [[make(2, 17), 'SHARE-NUMBERS'], [make(1, 3), 'SHARE-NUMBERS'], [make(2, 3, SECRET.subarray(1)), 'SHARE-LENGTH'], [make(2, 3, SECRET, utf8('é')), 'SHARE-PASSPHRASE']] as const) {
    await assert.rejects(work, (error: unknown) => error instanceof Refused && error.refusal.rule === rule, rule);
  }
});
