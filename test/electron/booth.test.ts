/** What typing a PIN does, key by key. The window around it: test/e2e/shell.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PinTyping, type Heard, type Press } from '../../electron/booth/pin.ts';

/** Keys one after another, `gap` ms apart; the last answer, and how it stands then. */
function type(keys: readonly (string | Partial<Press>)[], { min = 4, max = 8, gap = 120 } = {}) {
  const typing = new PinTyping({ min, max });
  let time = 0;
  const heard: Heard[] = keys.map((key) => {
    const press = { repeat: false, chord: false, ...(typeof key === 'string' ? { key } : key) };
    time += gap;
    return typing.press({ time, ...press } as Press);
  });
  return { typing, heard, last: heard.at(-1) };
}
function taken(typing: PinTyping): string {
  let pin = '';
  typing.hand((bytes) => { pin = new TextDecoder('utf-8', { fatal: true }).decode(bytes); });
  return pin;
}

const table: readonly { given: string; keys: readonly (string | Partial<Press>)[]; heard: Heard; pin: string; limits?: { min?: number; max?: number; gap?: number } }[] = [
  { given: 'a PIN and Enter', keys: [...'2718', 'Enter'], heard: 'done', pin: '2718' },
  { given: 'Enter on nothing', keys: ['Enter'], heard: 'too-short', pin: '' },
  { given: 'Enter one short of the least length', keys: [...'271', 'Enter'], heard: 'too-short', pin: '271' },
  { given: 'the greatest length', keys: [...'27182818', 'Enter'], heard: 'done', pin: '27182818' },
  { given: 'one more than the greatest length', keys: [...'271828182'], heard: 'too-long', pin: '' },
  { given: 'a burst beyond the greatest length, Enter included', keys: [...'x'.repeat(44), 'Enter'], heard: 'nothing', pin: '', limits: { gap: 5 } },
  { given: 'a burst within the greatest length, Enter included', keys: [...'x'.repeat(44), 'Enter'], heard: 'nothing', pin: '', limits: { gap: 5, max: 255 } },
  { given: 'a slow burst of a scanner', keys: [...'x'.repeat(44), 'Enter'], heard: 'nothing', pin: '', limits: { gap: 29, max: 255 } },
  { given: 'a fast typist', keys: [...'x'.repeat(44), 'Enter'], heard: 'done', pin: 'x'.repeat(44), limits: { gap: 30, max: 255 } },
  { given: 'fifteen fast keys', keys: [...'x'.repeat(15), 'Enter'], heard: 'done', pin: 'x'.repeat(15), limits: { gap: 5, max: 255 } },
  { given: 'Backspace', keys: [...'27x', 'Backspace', ...'18', 'Enter'], heard: 'done', pin: '2718' },
  { given: 'Backspace on nothing', keys: ['Backspace'], heard: 'nothing', pin: '' },
  { given: 'Backspace over a character of several bytes', keys: [...'27€', 'Backspace', ...'é😀', 'Backspace', '1'], heard: 'typed', pin: '27é1', limits: { max: 16 } },
  { given: 'a character whose bytes no longer fit', keys: [...'271828', '€'], heard: 'too-long', pin: '' },
  { given: 'Esc', keys: [...'271828', 'Escape'], heard: 'cancelled', pin: '' },
  { given: 'Esc in the middle of a burst', keys: [...'x'.repeat(20), 'Escape'], heard: 'cancelled', pin: '', limits: { gap: 5, max: 255 } },
  { given: 'named keys', keys: ['Shift', 'F1', 'CapsLock', 'ArrowLeft', 'Tab', 'Delete'], heard: 'nothing', pin: '' },
  { given: 'Ctrl+V', keys: [{ key: 'v', chord: true }], heard: 'nothing', pin: '' },
  { given: 'a key held down', keys: ['2', { key: '2', repeat: true }, { key: '2', repeat: true }], heard: 'nothing', pin: '2' },
  { given: 'Enter held down', keys: [...'2718', { key: 'Enter', repeat: true }], heard: 'nothing', pin: '2718' },
  { given: 'limits that make no sense', keys: [...'1', 'Enter'], heard: 'done', pin: '1', limits: { min: 0, max: 0 } },
  { given: 'no limit at all (CK_UNAVAILABLE_INFORMATION)', keys: [...'x'.repeat(256)], heard: 'too-long', pin: '', limits: { max: 2 ** 32 - 1, gap: 60 } },
];
for (const { given, keys, heard, pin, limits } of table) {
  test(`${given}: ${heard}`, () => {
    const { typing, last } = type(keys, limits);
    assert.equal(last, heard);
    assert.equal(taken(typing), pin);
  });
}

for (const key of ['Dead', 'Compose', 'Process', 'Unidentified']) {
  test(`${key}: no PIN with a hole in it is ever sent`, () => {
    const { typing, heard } = type([...'27', key, ...'1828', 'Enter']);
    assert.deepEqual(heard.slice(2), ['unusable', 'nothing', 'nothing', 'nothing', 'nothing', 'nothing']);
    assert.equal(taken(typing), '');
  });
}

test('after what was forgotten, keys count again from a Backspace on, however long the pause', () => {
  const { typing } = type([...'x'.repeat(20)], { gap: 5, max: 255 });
  const press = (key: string, time: number) => typing.press({ key, time, repeat: false, chord: false });
  assert.equal(press('2', 60_000), 'nothing');
  assert.equal(press('Enter', 60_100), 'nothing');
  assert.equal(press('Backspace', 60_200), 'erased');
  assert.equal(press('2', 60_300), 'typed');
  assert.equal(taken(typing), '2');
});

test('the PIN is lent once, and wiped', () => {
  const { typing } = type([...'271828']);
  let lent: Uint8Array | undefined;
  typing.hand((pin) => { lent = pin; });
  assert.deepEqual([...lent!], [0, 0, 0, 0, 0, 0]);
  assert.equal(typing.empty, true);
  assert.equal(taken(typing), '');
});

test('it is wiped even where giving it fails', () => {
  const { typing } = type([...'271828']);
  let lent: Uint8Array | undefined;
  assert.throws(() => typing.hand((pin) => {
    lent = pin;
    throw new Error('the port is closed');
  }));
  assert.deepEqual([...lent!], [0, 0, 0, 0, 0, 0]);
  assert.equal(typing.empty, true);
});
