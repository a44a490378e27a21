import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test } from 'node:test';
import cryptoki from '../../../electron/devices/cryptoki.json' with { type: 'json' };
import texts from '../../../electron/devices/errors.json' with { type: 'json' };
import { deviceError, Fault, TokenError, type FaultCode } from '../../../electron/devices/errors.ts';
import { DeviceError } from '../../../electron/devices/protocol.ts';
import { lend, pinText, Secret, secretBytes, takeBytes } from '../../../electron/devices/secret.ts';
import { Refused, refuse } from '../../../ceremonies/refusal.ts';

test('every CKR_* of PKCS#11 3.2 has words, and every own code too', () => {
  for (const [name, number] of Object.entries(cryptoki.CKR)) {
    const error = DeviceError.parse(deviceError(new TokenError(number, 'C_Sign')));
    assert.equal(error.code, name);
    assert.ok(error.message.length > 10 && error.hint.length > 10, name);
  }
  for (const code of Object.keys(texts).filter((name) => !name.startsWith('CKR_'))) {
    assert.equal(DeviceError.parse(deviceError(new Fault(code as FaultCode))).code, code);
  }
  for (const [what, next] of Object.values(texts)) assert.match(`${what as string} ${next as string}`, /^[A-Z].*\.$/);
});

test('a vendor number is kept in the words', () => {
  assert.match(deviceError(new TokenError(0x80000042, 'C_Sign')).message, /0x80000042/);
});

/** code, progress -> may we say that nothing was changed? */
const CERTAINTY = [
  ['CKR_GENERAL_ERROR', 'untouched', true], ['CKR_GENERAL_ERROR', 'writing', false], ['CKR_GENERAL_ERROR', 'written', false],
  ['CKR_MECHANISM_INVALID', 'untouched', true], ['CKR_MECHANISM_INVALID', 'writing', true], ['CKR_MECHANISM_INVALID', 'written', false],
  ['CKR_DEVICE_REMOVED', 'writing', false], ['CKR_VENDOR_DEFINED', 'writing', false],
] as const;
for (const [code, progress, expected] of CERTAINTY) {
  test(`${code} when ${progress}: nothing changed is ${expected}`, () => {
    assert.equal(deviceError(new TokenError(code, 'C_GenerateKeyPair'), progress).nothingChanged, expected);
  });
}

test('refusals keep their rule; after a write they do not promise that nothing changed', () => {
  const refused = new Refused(refuse('ONE-MATCH', 'one', 'two', 'Look.'));
  assert.deepEqual(deviceError(refused), { code: 'ONE-MATCH', message: 'Expected one; found two.', hint: 'Look.', nothingChanged: true });
  assert.equal(deviceError(refused, 'written').nothingChanged, false);
});

test('no text of a foreign exception gets out', () => {
  for (const thrown of [new Error('PIN 271828'), new TypeError('271828'), 'PIN 271828', { message: '271828' }, null, undefined]) {
    const error = deviceError(thrown);
    assert.equal(error.code, 'INTERNAL');
    assert.doesNotMatch(JSON.stringify(error), /271828/);
  }
});

test('long words are cut to the protocol\'s bounds', () => {
  DeviceError.parse(deviceError(new Refused(refuse('R'.repeat(99), 'x'.repeat(900), 'y'.repeat(900), 'z'.repeat(900)))));
});

test('a secret does not print, moves in, and is gone after wiping', async () => {
  const source = Uint8Array.from([1, 2, 3, 4]);
  const secret = new Secret(source);
  assert.deepEqual([...source], [0, 0, 0, 0]);
  for (const text of [String(secret), JSON.stringify({ secret }), inspect(secret), inspect({ a: [secret] }, { showHidden: true, depth: 9 }), String([secret])]) {
    assert.match(text, /\[secret\]/);
    assert.doesNotMatch(text, /1, 2|01 02/);
  }
  const view = secret.bytes;
  assert.deepEqual([...view], [1, 2, 3, 4]);
  secret.wipe();
  secret.wipe();
  assert.deepEqual([...view], [0, 0, 0, 0]);
  assert.throws(() => secret.bytes);

  const lent = secretBytes(3).fill(7);
  await assert.rejects(lend(lent, async () => { throw new Error('x'); }));
  assert.deepEqual([...lent], [0, 0, 0]);
  const shared = Buffer.from('abcdef');
  assert.deepEqual([...takeBytes(shared.subarray(2, 4))], [99, 100]);
  assert.equal(shared.toString(), 'ab\0\0ef');
  assert.equal(pinText(new TextEncoder().encode('\ufeff12é')), '\ufeff12é');
  assert.throws(() => pinText(Uint8Array.of(0xff)));
});
