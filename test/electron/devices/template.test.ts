/** The template encoder stands between our values and native code that dies of wrong ones. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import cryptoki from '../../../electron/devices/cryptoki.json' with { type: 'json' };
import { encodeTemplate } from '../../../electron/devices/pkcs11.ts';

const names = Object.keys(cryptoki.CKA);
const kindOf = (name: string) => (cryptoki.CKA as unknown as Record<string, [number, string]>)[name]![1];

const fitting = (name: string): fc.Arbitrary<unknown> => {
  switch (kindOf(name)) {
    case 'boolean': return fc.boolean();
    case 'number': return fc.integer({ min: 0, max: 0xffff_ffff });
    case 'text': return fc.string({ unit: 'grapheme' });
    case 'bytes': return fc.oneof(fc.uint8Array(), fc.uint8Array().map((bytes) => Buffer.from(bytes)));
    default: return fc.tuple(fc.integer({ min: 1970, max: 2999 }), fc.integer({ min: 10, max: 12 }), fc.integer({ min: 10, max: 28 })).map((parts) => parts.join(''));
  }
};

test('fitting values become booleans, 32-bit numbers and Buffers, and nothing else', () => {
  const template = fc.uniqueArray(fc.constantFrom(...names), { maxLength: 8 }).chain((chosen) => fc.record(Object.fromEntries(chosen.map((name) => [name, fitting(name)]))));
  fc.assert(fc.property(template, (given) => {
    const encoded = encodeTemplate(given);
    assert.deepEqual(encoded.map(({ type }) => type), Object.keys(given).map((name) => (cryptoki.CKA as unknown as Record<string, [number, string]>)[name]![0]));
    for (const [index, { value }] of encoded.entries()) {
      const name = Object.keys(given)[index]!;
      const original = (given as Record<string, unknown>)[name];
      if (typeof original === 'string') assert.deepEqual(value, Buffer.from(original));
      else if (original instanceof Uint8Array) assert.deepEqual(Uint8Array.from(value as Buffer), Uint8Array.from(original));
      else assert.equal(value, original);
      assert.ok(typeof value === 'boolean' || (typeof value === 'number' && Number.isInteger(value)) || Buffer.isBuffer(value));
    }
  }));
});

test('anything else is a TypeError here, not a segmentation fault there', () => {
  const lethal: fc.Arbitrary<unknown> = fc.oneof(
    fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true, withNullPrototype: true, withSparseArray: true }),
    fc.constantFrom(-1, -0, 1.5, NaN, Infinity, 2 ** 32, '\ud800', '2026-1-1', new Date(), 10n, null, undefined, {}, [], new ArrayBuffer(4), new Float64Array(1), () => 1, Symbol('s')),
  );
  fc.assert(fc.property(fc.constantFrom(...names), lethal, (name, value) => {
    const kind = kindOf(name);
    const fits = (kind === 'boolean' && typeof value === 'boolean')
      || (kind === 'number' && typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32 && !Object.is(value, -0))
      || (kind === 'text' && typeof value === 'string' && value.isWellFormed())
      || (kind === 'bytes' && value instanceof Uint8Array)
      || (kind === 'date' && typeof value === 'string' && /^\d{8}$/.test(value));
    if (fits) assert.equal(encodeTemplate({ [name]: value }).length, 1);
    else assert.throws(() => encodeTemplate({ [name]: value }), TypeError);
  }), { numRuns: 1000 });
});

test('unknown names are refused, inherited ones too', () => {
  for (const name of ['CKA_NOTHING', '__proto__x', 'constructor', 'toString', '']) assert.throws(() => encodeTemplate({ [name]: true }), TypeError);
});
