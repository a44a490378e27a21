import assert from 'node:assert/strict';
import { createHash, randomFillSync } from 'node:crypto';
import test from 'node:test';
import { RANDOM_CLAIM, testRandom } from '../../ceremonies/randomness.ts';
import { EVIDENCE } from '../../ceremonies/evidence.ts';
import { Refused } from '../../ceremonies/refusal.ts';

/** Good pseudo-random bytes that are the same in every run. */
function stream(bytes: number, name: string): Uint8Array {
  return new Uint8Array(createHash('shake256', { outputLength: bytes }).update(name).digest());
}

const failed = (sample: Uint8Array): string[] => testRandom(sample).tests.filter((one) => !one.passed).map((one) => one.name);

test('good bytes pass, at the smallest size and at a usual one', () => {
  for (let i = 0; i < 50; i++) assert.deepEqual(failed(stream(2048, `small ${i}`)), []);
  for (let i = 0; i < 5; i++) assert.deepEqual(failed(stream(65_536, `large ${i}`)), []);
  assert.deepEqual(failed(randomFillSync(new Uint8Array(65_536))), []);
});

const BROKEN: readonly (readonly [string, (good: Uint8Array) => Uint8Array, string])[] = [
  ['stuck at zero', (good) => new Uint8Array(good.length), 'repetition count'],
  ['six equal bytes in a row', (good) => good.map((byte, i) => (i >= 700 && i < 706 ? 9 : byte)), 'repetition count'],
  ['one value 19 times in a window', (good) => good.map((byte, i) => (i % 27 === 0 && i < 512 ? good[0]! : byte)), 'adaptive proportion'],
  ['a counter', (good) => good.map((_, i) => i), 'chi-square of bytes'],
  ['one value missing', (good) => good.map((byte) => (byte === 7 ? 8 : byte)), 'chi-square of bytes'],
  ['seven-bit bytes', (good) => good.map((byte) => byte & 127), 'ones among bits'],
  ['three percent more ones', (good) => good.map((byte, i) => (i % 16 === 0 ? byte | 15 : byte)), 'ones among bits'],
  ['the same 4096 bytes again and again', (good) => good.map((_, i) => good[i % 4096]!), 'repeated 16-byte blocks'],
  ['a period of 1021 bytes', (good) => good.map((_, i) => good[i % 1021]!), 'repeated 16-byte blocks'],
  ['one block returned twice', (good) => good.map((byte, i) => (i >= 32_000 && i < 32_016 ? good[i - 16_000]! : byte)), 'repeated 16-byte blocks'],
];

test('each kind of broken source is found by the test meant for it', () => {
  for (const [what, breakIt, name] of BROKEN) {
    assert.ok(failed(breakIt(stream(65_536, 'base'))).includes(name), `${what}: ${name}`);
  }
});

test('boundary rows: the last value that passes, the first that fails', () => {
  const good = stream(4096, 'boundary');
  const run = (length: number) => good.map((byte, i) => (i >= 100 && i < 100 + length ? 200 : byte));
  assert.ok(!failed(run(5)).includes('repetition count'));
  assert.ok(failed(run(6)).includes('repetition count'));
  const window = (count: number) => {
    const sample = good.map((byte, i) => (i < 512 && byte === good[0] ? byte ^ 1 : byte));
    for (let k = 0; k < count; k++) sample[k * 20] = good[0]!;
    return sample;
  };
  assert.ok(!failed(window(18)).includes('adaptive proportion'));
  assert.ok(failed(window(19)).includes('adaptive proportion'));
});

test('the result fits the record, is honest, and short samples are refused', () => {
  const result = testRandom(stream(2048, 'record'));
  assert.deepEqual(EVIDENCE['test-random'].parse(result), result);
  assert.match(RANDOM_CLAIM, /does not show/);
  assert.throws(() => testRandom(new Uint8Array(2047)), (e) => e instanceof Refused && e.refusal.rule === 'RANDOM-SAMPLE');
});
