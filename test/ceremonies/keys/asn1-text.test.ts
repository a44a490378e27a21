/** DER as people see it: known values word by word, a certificate, and whatever hostile bytes there are. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { fromHex, utf8 } from '../../../ceremonies/bytes.ts';
import { asn1Lines } from '../../../ceremonies/keys/asn1-text.ts';
import { SEED } from './seed.ts';

const HIDDEN = `0c05${Buffer.from('a\u202eb').toString('hex')}`;

test('each kind of value in its words', () => {
  const rows: readonly (readonly [string, readonly string[] | null])[] = [
    ['06082a8648ce3d030107', ['OBJECT IDENTIFIER 1.2.840.10045.3.1.7']],
    ['30080101ff020300ffff0500', null],
    ['300a0101ff020300ffff0500', ['SEQUENCE', '  BOOLEAN TRUE', '  INTEGER 65535', '  NULL']],
    ['0202ff00', ['INTEGER ff00']],
    ['13055061756c61', ['PrintableString "Paula"']],
    [HIDDEN, [`UTF8String ${HIDDEN.slice(4)}`]],
    ['a003020102', ['[0]', '  INTEGER 2']],
    ['040430020500', ['OCTET STRING, which holds', '  SEQUENCE', '    NULL']],
    ['03020520', ['BIT STRING 0520']],
    ['0000', ['[UNIVERSAL 0]']],
    ['', null],
    ['3003020101ff', null],
    ['3080020101', null],
    ['04820101', null],
  ];
  for (const [hex, expected] of rows) assert.deepEqual(asn1Lines(fromHex(hex)), expected, hex);
});

test('a value that is nested too deep, or has too many parts, is shown in part', () => {
  let deep: Uint8Array = fromHex('0500');
  for (let i = 0; i < 60; i += 1) deep = Uint8Array.of(0x30, deep.length, ...deep);
  assert.equal(asn1Lines(deep)?.length, 25);
  const wide = Uint8Array.of(0x30, 0x82, 0x08, 0x00, ...Array.from({ length: 1024 }, () => [0x05, 0x00]).flat());
  assert.equal(asn1Lines(wide)?.length, 401);
});

test('whatever bytes: lines without anything invisible, or none', () => {
  fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.array(fc.constantFrom(0x30, 0x02, 0x04, 0x03, 0x0c, 0x80, 0xa0, 0x01, 0x00, 0x05, 0x7f, 0xff), { maxLength: 60 }).map((list) => Uint8Array.from(list))), (bytes) => {
    for (const line of asn1Lines(bytes) ?? []) assert.match(line, /^[\x20-\x7e…\u00a1-\uffff]*$/);
  }), { seed: SEED, numRuns: 2000 });
  assert.deepEqual(asn1Lines(Uint8Array.of(0x0c, 2, ...utf8('ä'))), ['UTF8String "ä"']);
});
