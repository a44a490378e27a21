/**
 * That `npm run bench` measures everything it promises, and that its figures can be figures. Never how fast anything is: a
 * test that fails on a busy machine teaches people to ignore it.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import * as z from 'zod';
import { root } from '../../build/machine.mjs';

const positive = z.number().positive();
const Sample = z.strictObject({ name: z.string(), unit: z.enum(['ms', 'MB']), runs: z.int().positive(), median: positive, min: positive, max: positive });
const Report = z.strictObject({
  machine: z.strictObject({
    cores: z.int().positive(), processor: z.string(), memory: positive, node: z.string(), electron: z.string().nullable(),
    load: z.tuple([z.number().nonnegative(), z.number().nonnegative()]),
  }),
  quick: z.boolean(),
  figures: z.array(z.strictObject({
    name: z.string(), title: z.string(), value: z.number(), unit: z.string(), met: z.boolean(),
    aim: z.union([z.strictObject({ atLeast: positive }), z.strictObject({ atMost: positive })]),
    samples: z.array(Sample).min(2), ratios: z.array(z.strictObject({ to: z.string(), ratio: positive })).min(1), notes: z.array(z.string()),
    // On a machine that is set up for tests nothing is left out.
    skipped: z.null(),
  })),
});

const bench = async (...args: string[]): Promise<string> => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'electron/cli.ts'), 'bench', '--quick', ...args]);
  return stdout;
};
const leftovers = () => readdirSync(tmpdir()).filter((name) => name.startsWith('conclave-bench-'));

test('every figure is measured, each beside something plain, and nothing is left behind', async () => {
  const before = leftovers();
  const { figures, quick } = Report.parse(JSON.parse(await bench('--json')));
  assert.equal(quick, true);
  assert.deepEqual(figures.map(({ name }) => name), ['verify', 'append', 'list', 'sign', 'check', 'make', 'split', 'combine', 'seal', 'open', 'start', 'memory']);
  assert.deepEqual(leftovers(), before);
  for (const { name, samples, aim, value, met } of figures) {
    for (const { min, median, max } of samples) assert.ok(min <= median && median <= max, name);
    assert.equal(met, 'atLeast' in aim ? value >= aim.atLeast : value <= aim.atMost, name);
  }
  const sampleOf = (name: string, starts: string) => figures.find((figure) => figure.name === name)?.samples.find((sample) => sample.name.startsWith(starts))?.median ?? NaN;
  assert.ok(sampleOf('verify', 'verifyTranscript') > sampleOf('verify', 'SHA-256'), 'verification contains hashing and parsing');
  assert.ok(sampleOf('verify', 'git fsck') > 1);
  assert.ok(sampleOf('memory', 'Conclave') > sampleOf('memory', 'an empty window'), 'the app holds more than an empty window');
  assert.ok(sampleOf('memory', 'Conclave') < 5000);
  for (const window of ['an empty window', 'Conclave']) assert.ok(sampleOf('start', window) > 10);
});

test('composites: two of them, by each library, beside the halves alone', async () => {
  const { figures } = Report.parse(JSON.parse(await bench('--json', '--only', 'sign', '--only', 'check', '--only', 'make')));
  assert.deepEqual(figures.map(({ name, aim }) => [name, aim]), ['sign', 'check', 'make'].map((name) => [name, { atMost: 1.15 }]));
  for (const { name, value, ratios, samples } of figures) {
    assert.deepEqual(ratios.map(({ to }) => to), ['MLDSA65-ECDSA-P256-SHA512', 'MLDSA87-ECDSA-P384-SHA512'].flatMap((of) => [`the halves of ${of}, node`, `the halves of ${of}, noble`]));
    assert.equal(value, Math.max(...ratios.map(({ ratio }) => ratio)), name);
    assert.equal(samples.filter((sample) => sample.name === 'its halves alone').length, 4);
    // That both sides do work of one kind. How fast they do it is not for a test to say.
    for (const { ratio, to } of ratios) assert.ok(ratio > 0.02 && ratio < 50, `${name}: ${ratio} times ${to}`);
  }
});

test('shares and envelopes: beside the library alone, and beside the raw KEM with the cipher', async () => {
  const { figures } = Report.parse(JSON.parse(await bench('--json', ...['split', 'combine', 'seal', 'open'].flatMap((name) => ['--only', name]))));
  assert.deepEqual(figures.map(({ name, ratios }) => [name, ratios.length]), [['split', 1], ['combine', 1], ['seal', 2], ['open', 2]]);
  for (const { name, ratios } of figures) for (const { ratio, to } of ratios) assert.ok(ratio > 0.1 && ratio < 100, `${name}: ${ratio} times ${to}`);
});

test('a part of it, for people: the figure, its aim, and whether it is met', async () => {
  const text = await bench('--only', 'append');
  assert.match(text, /^\d+ cores? \(.+\), \d+ GB, Node [\d.]+, Electron .+; load [\d.]+ before, [\d.]+ after\n/);
  assert.match(text, /\n! --quick: .+\n/);
  assert.match(text, /\nAppending one entry durably\n {2}[✓✕] [\d.]+ × raw write \+ fdatasync {3}\(aim: at most 2; (not )?met\)\n/);
  assert.doesNotMatch(text, /Listing/);
});
