import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BoothFrames, LONGEST_PIN } from '../../../electron/devices/frames.ts';
import type { BoothMessage } from '../../../electron/devices/protocol.ts';

type Sent = { readonly ticket: number; readonly pin: Uint8Array | null };
const sent: fc.Arbitrary<Sent> = fc.record({
  ticket: fc.integer({ min: 0, max: 0xffff_ffff }),
  pin: fc.option(fc.uint8Array({ maxLength: LONGEST_PIN })),
});

function frame({ ticket, pin }: Sent): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(ticket);
  head.writeUInt32BE(pin?.length ?? 0xffff_ffff, 4);
  return Buffer.concat([head, pin ?? Buffer.alloc(0)]);
}

test('whatever the stream is cut into, the same messages come out, and nothing stays in the chunks', () => {
  fc.assert(fc.property(fc.array(sent, { maxLength: 5 }), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (messages, cuts) => {
    const stream = Buffer.concat(messages.map(frame));
    const received: BoothMessage[] = [];
    const frames = new BoothFrames((message) => received.push(message));
    for (let at = 0, i = 0; at < stream.length; i++) {
      const chunk = stream.subarray(at, at + cuts[i % cuts.length]!);
      assert.equal(frames.push(chunk), true);
      at += chunk.length;
    }
    assert.ok(stream.every((byte) => byte === 0));
    assert.deepEqual(received, messages.map(({ ticket, pin }) => (pin === null ? { ticket, cancelled: true } : { ticket, pin })));
  }));
});

test('a length that no PIN has breaks the stream for good', () => {
  fc.assert(fc.property(fc.integer({ min: LONGEST_PIN + 1, max: 0xffff_fffe }), (length) => {
    const frames = new BoothFrames(() => assert.fail('a message'));
    const head = Buffer.alloc(8);
    head.writeUInt32BE(length, 4);
    assert.equal(frames.push(head), false);
    assert.equal(frames.push(frame({ ticket: 1, pin: Uint8Array.of(1) })), false);
  }));
});

test('random bytes never throw and never give a PIN longer than allowed', () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), (chunks) => {
    const frames = new BoothFrames((message) => assert.ok('cancelled' in message || message.pin.length <= LONGEST_PIN));
    for (const chunk of chunks) frames.push(chunk);
  }));
});
