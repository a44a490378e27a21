/**
 * What typing a PIN does, key by key; whose turn it is, and in which words one is asked for. The window around it:
 * test/e2e/shell.test.ts. The terminal: terminal-booth.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boothFacts, boothQueue, enterOf, nameOf, say, visible, wordsOf, type Wanted } from '../../electron/booth/asking.ts';
import type { Notice } from '../../electron/devices/protocol.ts';
import { PinTyping, type Heard, type Press } from '../../electron/booth/pin.ts';

/** Keys one after another, `gap` ms apart; the last answer, and how it stands then. */
function type(keys: readonly (string | Partial<Press>)[], { min = 4, max = 8, gap = 120, twice = false } = {}) {
  const typing = new PinTyping({ min, max, twice });
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

const table: readonly { given: string; keys: readonly (string | Partial<Press>)[]; heard: Heard; pin: string; limits?: { min?: number; max?: number; gap?: number; twice?: boolean } }[] = [
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
  { given: 'the first of two', keys: [...'2718', 'Enter'], heard: 'again', pin: '', limits: { twice: true } },
  { given: 'the same twice', keys: [...'2718', 'Enter', ...'2718', 'Enter'], heard: 'done', pin: '2718', limits: { twice: true } },
  { given: 'another the second time', keys: [...'2718', 'Enter', ...'2719', 'Enter'], heard: 'unequal', pin: '', limits: { twice: true } },
  { given: 'more the second time', keys: [...'2718', 'Enter', ...'27182', 'Enter'], heard: 'unequal', pin: '', limits: { twice: true } },
  { given: 'less the second time', keys: [...'27182', 'Enter', ...'2718', 'Enter'], heard: 'unequal', pin: '', limits: { twice: true } },
  { given: 'Enter and nothing else the second time', keys: [...'2718', 'Enter', 'Enter'], heard: 'too-short', pin: '', limits: { twice: true } },
  { given: 'unequal, and then the same twice', keys: [...'2718', 'Enter', ...'2719', 'Enter', ...'3141', 'Enter', ...'3141', 'Enter'], heard: 'done', pin: '3141', limits: { twice: true } },
  { given: 'the first once more after unequal ones: it was forgotten', keys: [...'2718', 'Enter', ...'2719', 'Enter', ...'2718', 'Enter'], heard: 'again', pin: '', limits: { twice: true } },
  { given: 'too much the second time, and then the first once more: both were forgotten', keys: [...'2718', 'Enter', ...'271828182', 'Backspace', ...'2718', 'Enter'], heard: 'again', pin: '', limits: { twice: true } },
  { given: 'Esc the second time', keys: [...'2718', 'Enter', ...'27', 'Escape'], heard: 'cancelled', pin: '', limits: { twice: true } },
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

test('of two, both are wiped with the one that is lent', () => {
  const { typing } = type([...'2718', 'Enter', ...'2718', 'Enter'], { twice: true });
  assert.equal(typing.again, true);
  let lent: Uint8Array | undefined;
  typing.hand((pin) => { lent = pin; });
  assert.deepEqual([...lent!], [0, 0, 0, 0]);
  assert.deepEqual([typing.again, typing.empty], [false, true]);
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

// --- asking -----------------------------------------------------------------------------------------------------------

const wanted = (ticket: number, person = 'custodian-2', more: { readonly wanted?: Wanted['wanted']; readonly attempts?: 'fine' | 'low' | 'final' | 'unknown'; readonly max?: number } = {}): Extract<Wanted, { kind: 'pin-wanted' }> => ({
  kind: 'pin-wanted', wanted: 'user-pin', ticket, attempts: 'low', min: 4, max: 16,
  token: { serial: '0417', label: 'Share card', model: 'M', manufacturer: 'F', firmware: '1', hardware: '2', flags: ['LOGIN_REQUIRED'] },
  asked: { person, name: 'Grace', purpose: 'receive a share', standIn: false, acceptFinalTry: false },
  ...more,
});
const settled = (ticket: number): Notice => ({ kind: 'pin-settled', ticket, outcome: 'accepted' });

test('the booth is told exactly what it shows', () => {
  assert.deepEqual(boothFacts(wanted(7)), {
    ticket: 7, who: 'Grace', seat: 'Custodian 2', purpose: 'receive a share',
    card: { label: 'Share card', serial: '0417', model: 'M' }, wanted: 'user-pin', typed: { attempts: 'low', min: 4, max: 16 },
  });
  assert.equal(boothFacts(wanted(7, 'officer')).seat, 'Officer');
});

function watchedQueue() {
  const log: string[] = [];
  const queue = boothQueue((module, { ticket }) => {
    log.push(`open ${module} ${ticket}`);
    return (outcome) => log.push(`close ${module} ${ticket} ${outcome}`);
  });
  return { log, queue };
}

/** The token has a pad of its own. */
const pad = (ticket: number, kind: Extract<Wanted, { kind: 'pad-wanted' }>['wanted'] = 'user-pin'): Wanted => {
  const { token, asked } = wanted(ticket);
  return { kind: 'pad-wanted', ticket, token, asked, wanted: kind };
};

test('every kind says what is to be typed, and never the same as another', () => {
  const kinds = (['user-pin', 'so-pin', 'new-user-pin', 'new-so-pin', 'password'] as const).map((kind) => boothFacts(wanted(1, 'officer', { wanted: kind })));
  const pads = (['user-pin', 'so-pin', 'new-user-pin', 'new-so-pin'] as const).map((kind) => boothFacts(pad(1, kind)));
  const all = [...kinds, ...pads];
  assert.equal(new Set(all.map((facts) => nameOf(facts, false))).size, all.length);
  assert.deepEqual(kinds.map((facts) => wordsOf(facts).please), [
    'Please type the PIN of Share card,', 'Please type the security officer PIN of Share card,', 'Please choose a new PIN for Share card,',
    'Please choose a new security officer PIN for Share card,', 'Please type the password of the file, not a PIN of Share card,',
  ]);
  assert.deepEqual(new Set(pads.map((facts) => wordsOf(facts).please)), new Set(['Look at the PIN pad of Share card']));
  assert.deepEqual(kinds.map((facts) => [nameOf(facts, true) === nameOf(facts, false), enterOf(facts, true) === enterOf(facts, false)]),
    [[true, true], [true, true], [false, false], [false, false], [true, true]]);
});

test('tries are told where a try can be lost, and only there', () => {
  const tries = (kind: Wanted['wanted'] | 'password', attempts: 'fine' | 'low' | 'final' | 'unknown', max = 16) => {
    const { tries: words, attempts: urgent } = wordsOf(boothFacts(wanted(1, 'officer', { wanted: kind as 'user-pin', attempts, max })));
    return [urgent, words];
  };
  assert.deepEqual(tries('user-pin', 'final'), ['final', '✕ This is the last try. A wrong PIN locks it.']);
  assert.deepEqual(tries('so-pin', 'final'), ['final', '✕ This is the last try. A wrong one locks the SO PIN, and nobody can unlock that.']);
  assert.deepEqual(tries('so-pin', 'unknown'), ['fine', 'It does not say how many tries are left.']);
  assert.deepEqual(tries('new-user-pin', 'final'), ['fine', '4 to 16 characters. A new PIN costs no try.']);
  assert.deepEqual(tries('new-so-pin', 'low', 255), ['fine', 'At least 4 characters. A new PIN costs no try.']);
  assert.deepEqual(tries('password', 'final'), ['fine', 'A file counts no tries: a wrong password locks nothing.']);
});

test('two that differ are called so, and no pad is promised a key', () => {
  assert.match(say(boothFacts(wanted(1, 'officer', { wanted: 'new-so-pin' })), false, 'unequal'), /^! The two were not the same\. Both are forgotten, and nothing was sent\. Start again: type the new SO PIN\.$/);
  assert.match(say(boothFacts(pad(1)), false, 'pad-insisted'), /Type on the pad, or cancel there/);
});

test('what could steer a terminal or turn text around is shown', () => {
  assert.equal(visible('a\u001b[2Jb\u202Ec\r'), 'a⟨U+001B⟩[2Jb⟨U+202E⟩c⟨U+000D⟩');
});

test('one booth at a time, in the order of asking', () => {
  const { log, queue } = watchedQueue();
  queue('a', wanted(1));
  queue('b', wanted(1));
  queue('a', pad(2));
  assert.deepEqual(log.splice(0), ['open a 1']);
  queue('a', settled(1));
  assert.deepEqual(log.splice(0), ['close a 1 accepted', 'open b 1']);
  queue('b', settled(1));
  queue('a', settled(2));
  assert.deepEqual(log, ['close b 1 accepted', 'open a 2', 'close a 2 accepted']);
});

test('who is settled before the turn came never opens; unknown tickets close nothing', () => {
  const { log, queue } = watchedQueue();
  queue('a', wanted(1));
  queue('b', wanted(1));
  queue('b', settled(1));
  queue('a', settled(9));
  queue('c', settled(1));
  queue('a', settled(1));
  assert.deepEqual(log, ['open a 1', 'close a 1 accepted']);
});
