/**
 * Is this random source obviously broken? Five statistics over one sample from a token.
 *
 * No test can show that numbers are unpredictable: a counter encrypted under a key that the vendor knows passes them all.
 * What they do find is gross failure: a stuck source, a short period, a biased bit, the same buffer given twice. `RANDOM_CLAIM`
 * says so and stands beside every result. The limits are set so that a good source fails any one of the five less than once
 * in 50,000 samples: a failure is worth stopping a ceremony for.
 */

import { Refused, refuse } from './refusal.ts';

/** The words for the record and the screen. */
export const RANDOM_CLAIM =
  'These tests find a grossly failing source only. Passing them does not show that the numbers are unpredictable, and nothing that looks at numbers alone can.';

/** Shaped for the record, in which numbers with fractions have no place: texts for people, one verdict for programs. */
export interface StatisticalTest {
  readonly name: string;
  readonly statistic: string;
  readonly limit: string;
  readonly passed: boolean;
}

export interface RandomVerdict {
  /** Size of the sample. */
  readonly bytes: number;
  readonly tests: readonly StatisticalTest[];
  readonly claim: string;
}

const LEAST_BYTES = 2048; // eight expected per byte value, above the five that a chi-square needs

/**
 * Runs every test over a sample of 2048 bytes or more; 65,536 is a good size. Takes about 5 ms for each 100,000 bytes.
 * The sample is not kept, and should not be used for anything else. Throws `Refused` RANDOM-SAMPLE for a shorter one.
 */
export function testRandom(sample: Uint8Array): RandomVerdict {
  if (sample.length < LEAST_BYTES) {
    throw new Refused(refuse('RANDOM-SAMPLE', `${LEAST_BYTES} bytes or more`, `${sample.length}`, 'Take a larger sample.'));
  }
  const tests = [repetitionCount(sample), adaptiveProportion(sample), chiSquare(sample), monobit(sample), repeatedBlocks(sample)];
  return { bytes: sample.length, tests, claim: RANDOM_CLAIM };
}

/**
 * SP 800-90B section 4.4.1 for a source that claims 8 bits per byte, alpha = 2^-40: C = 1 + 40/8 = 6 equal bytes in a row
 * are a failure. A good source of n bytes has such a run with a chance below n * 2^-40.
 */
function repetitionCount(sample: Uint8Array): StatisticalTest {
  let longest = 1;
  let run = 1;
  for (let i = 1; i < sample.length; i++) {
    run = sample[i] === sample[i - 1] ? run + 1 : 1;
    if (run > longest) longest = run;
  }
  return { name: 'repetition count', statistic: `${longest} equal in a row`, limit: 'at most 5', passed: longest <= 5 };
}

/**
 * SP 800-90B section 4.4.2, window 512, alpha = 2^-40: C = 1 + CRITBINOM(512, 2^-8, 1 - 2^-40) = 19 is a failure; the
 * exact tail P[X >= 19] is 2^-40.9 for each of the n/512 windows.
 */
function adaptiveProportion(sample: Uint8Array): StatisticalTest {
  let most = 0;
  for (let start = 0; start + 512 <= sample.length; start += 512) {
    let count = 0;
    for (let i = start; i < start + 512; i++) if (sample[i] === sample[start]) count++;
    if (count > most) most = count;
  }
  return { name: 'adaptive proportion', statistic: `${most} of 512`, limit: 'at most 18', passed: most <= 18 };
}

/**
 * Pearson's chi-square over the 256 byte values, 255 degrees of freedom. Both ends count: too uneven is a biased source, too
 * even is a counter. The limits cut off 5 * 10^-7 at each end of the chi-square distribution; for small samples the true
 * rate is a little higher, and below 10^-5.
 */
function chiSquare(sample: Uint8Array): StatisticalTest {
  const counts = new Uint32Array(256);
  for (const byte of sample) counts[byte]!++;
  const expected = sample.length / 256;
  let statistic = 0;
  for (const count of counts) statistic += (count - expected) ** 2 / expected;
  return { name: 'chi-square of bytes', statistic: statistic.toFixed(1), limit: '159.4 to 381.1', passed: statistic >= 159.4 && statistic <= 381.1 };
}

/** SP 800-22 section 2.1: ones among n bits are normal around n/2; 4.8916 deviations are passed with a chance of 10^-6. */
function monobit(sample: Uint8Array): StatisticalTest {
  let ones = 0;
  for (const byte of sample) ones += BITS[byte]!;
  const bits = 8 * sample.length;
  const width = Math.floor((4.8916 * Math.sqrt(bits)) / 2);
  const [least, most] = [bits / 2 - width, bits / 2 + width];
  return { name: 'ones among bits', statistic: `${ones}`, limit: `${least} to ${most}`, passed: ones >= least && ones <= most };
}

const BITS = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length);

/**
 * No two aligned blocks of 16 bytes are alike: what a buffer that is returned again, or any short period, looks like. Two
 * of a million good blocks agree with a chance below 2^-88.
 */
function repeatedBlocks(sample: Uint8Array): StatisticalTest {
  const view = new DataView(sample.buffer, sample.byteOffset, sample.length);
  // The first 48 bits as a number find candidates; the whole block decides. Chains, because candidates may collide.
  const seen = new Map<number, number[]>();
  let repeats = 0;
  for (let at = 0; at + 16 <= sample.length; at += 16) {
    const key = view.getUint32(at) * 0x10000 + view.getUint16(at + 4);
    const others = seen.get(key);
    if (others === undefined) seen.set(key, [at]);
    else if (others.some((other) => sameBlock(view, at, other))) repeats++;
    else others.push(at);
  }
  return { name: 'repeated 16-byte blocks', statistic: `${repeats}`, limit: 'none', passed: repeats === 0 };
}

function sameBlock(view: DataView, a: number, b: number): boolean {
  for (let i = 0; i < 16; i += 4) if (view.getUint32(a + i) !== view.getUint32(b + i)) return false;
  return true;
}
