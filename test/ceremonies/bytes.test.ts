import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { concat, equalBytes, fromBase64url, fromHex, fromUtf8, toBase64url, toHex, utf8 } from '../../ceremonies/bytes.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { SEED } from './keys/seed.ts';

const rule = (name: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === name;

test('base64url is that of Node, both ways, for any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const text = toBase64url(bytes);
      assert.equal(text, Buffer.from(bytes).toString('base64url'));
      assert.deepEqual(fromBase64url(text), new Uint8Array(bytes));
    }),
    { seed: SEED },
  );
  const large = new Uint8Array(100_001).fill(0xa7);
  assert.equal(toBase64url(large), Buffer.from(large).toString('base64url'));
});

test('what base64url accepts, it writes: any text either round-trips or is refused', () => {
  const text = fc.string({ unit: fc.constantFrom(...Array.from('AZaz09-_=+/ \n\u00e9\u0141')), maxLength: 12 });
  fc.assert(
    fc.property(text, (given) => {
      let bytes: Uint8Array;
      try {
        bytes = fromBase64url(given);
      } catch (error) {
        assert.ok(rule('BASE64URL-CANONICAL')(error));
        return;
      }
      assert.equal(toBase64url(bytes), given);
    }),
    { seed: SEED, numRuns: 2000 },
  );
});

test('base64url refusals by name', () => {
  for (const text of ['A', 'AA==', 'AB', 'AAB', 'A+AA', 'A/AA', 'AA A', 'AAAAA', 'AA\u0141A', 'A\u0001', 'AAAA\n']) {
    assert.throws(() => fromBase64url(text), rule('BASE64URL-CANONICAL'), JSON.stringify(text));
  }
});

test('hex has one spelling', () => {
  assert.equal(toHex(Uint8Array.of(0, 255, 16)), '00ff10');
  assert.deepEqual(fromHex('00ff10'), Uint8Array.of(0, 255, 16));
  for (const text of ['0', 'FF', '0g', ' 00', '0x00']) assert.throws(() => fromHex(text), rule('HEX-CANONICAL'), text);
});

test('UTF-8 is strict both ways and keeps a byte order mark', () => {
  assert.throws(() => utf8('a\ud800'), rule('TEXT-WELL-FORMED'));
  for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]]) {
    assert.throws(() => fromUtf8(Uint8Array.from(bytes)), rule('TEXT-WELL-FORMED'), bytes.join());
  }
  assert.deepEqual(utf8(fromUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x41))), Uint8Array.of(0xef, 0xbb, 0xbf, 0x41));
});

test('equalBytes and concat', () => {
  assert.ok(equalBytes(concat(Uint8Array.of(1), Uint8Array.of(2, 3)), Uint8Array.of(1, 2, 3)));
  assert.ok(!equalBytes(Uint8Array.of(1), Uint8Array.of(1, 0)));
  assert.ok(!equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3)));
});
