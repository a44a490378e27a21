/** What typing a component does, key by key, while it is shown and afterwards; and in which words it is asked for. The window: test/e2e/components.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boothQueue } from '../../electron/booth/asking.ts';
import { componentEnter, componentFacts, componentName, componentSay, ComponentTyping, componentWords, type Heard, type Phase } from '../../electron/booth/component.ts';
import type { Notice } from '../../electron/devices/protocol.ts';

type Key = string | { readonly key: string; readonly repeat?: boolean; readonly chord?: boolean };

/** Keys one after another, `gap` ms apart; the last answer, and how it stands then. */
function type(keys: readonly Key[], { digits = 8, shows = false, gap = 120 } = {}) {
  const typing = new ComponentTyping({ digits, shows });
  let time = 0;
  const heard: Heard[] = keys.map((key) => {
    time += gap;
    return typing.press({ repeat: false, chord: false, time, ...(typeof key === 'string' ? { key } : key) });
  });
  return { typing, heard, last: heard.at(-1) };
}
function taken(typing: ComponentTyping): string {
  let digits = '';
  typing.hand((bytes) => { digits = new TextDecoder().decode(bytes); });
  return digits;
}
const seen = (typing: ComponentTyping, from = 0, to = 8) => Array.from({ length: to - from }, (_, i) => typing.digit(from + i)).map((code) => (code === null ? '_' : String.fromCharCode(code))).join('');

const WHOLE = [...'0a1B2c3D'];
const TABLE: readonly { given: string; keys: readonly Key[]; heard: Heard; phase: Phase; digits: string; gap?: number }[] = [
  { given: 'every digit, and Enter', keys: [...WHOLE, 'Enter'], heard: 'check', phase: 'check', digits: '0a1b2c3d' },
  { given: 'both, and Enter', keys: [...WHOLE, 'Enter', ...'ABCDEF', 'Enter'], heard: 'done', phase: 'check', digits: '0a1b2c3dabcdef' },
  { given: 'a check value of ten digits', keys: [...WHOLE, 'Enter', ...'0123456789', 'Enter'], heard: 'done', phase: 'check', digits: '0a1b2c3d0123456789' },
  { given: 'one digit more than ten', keys: [...WHOLE, 'Enter', ...'0123456789', 'a'], heard: 'nothing', phase: 'check', digits: '0a1b2c3d0123456789' },
  { given: 'one digit more than the component has', keys: [...WHOLE, '4'], heard: 'nothing', phase: 'component', digits: '0a1b2c3d' },
  { given: 'Enter one digit short', keys: [...WHOLE.slice(1), 'Enter'], heard: 'short', phase: 'component', digits: 'a1b2c3d' },
  { given: 'Enter on five digits of a check value', keys: [...WHOLE, 'Enter', ...'ABCDE', 'Enter'], heard: 'short', phase: 'check', digits: '0a1b2c3dabcde' },
  { given: 'no digit of sixteen', keys: ['0', 'g'], heard: 'no-digit', phase: 'component', digits: '0' },
  { given: 'a letter that looks like a digit elsewhere', keys: ['٣'], heard: 'no-digit', phase: 'component', digits: '' },
  { given: 'what stands between groups', keys: ['0', ' ', '-', 'a'], heard: 'typed', phase: 'component', digits: '0a' },
  { given: 'Backspace', keys: ['0', 'a', 'Backspace', 'b'], heard: 'typed', phase: 'component', digits: '0b' },
  { given: 'Backspace on nothing', keys: ['Backspace'], heard: 'nothing', phase: 'component', digits: '' },
  { given: 'Backspace out of the check value', keys: [...WHOLE, 'Enter', 'A', 'Backspace', 'Backspace', 'Backspace'], heard: 'erased', phase: 'component', digits: '0a1b2c3' },
  { given: 'named keys', keys: ['Shift', 'F1', 'ArrowLeft', 'CapsLock', 'Dead'], heard: 'nothing', phase: 'component', digits: '' },
  { given: 'Ctrl+V', keys: [{ key: 'v', chord: true }], heard: 'nothing', phase: 'component', digits: '' },
  { given: 'a key held down', keys: ['0', { key: '0', repeat: true }], heard: 'nothing', phase: 'component', digits: '0' },
  { given: 'Enter held down from the component on', keys: [...WHOLE, 'Enter', { key: 'Enter', repeat: true }], heard: 'nothing', phase: 'check', digits: '0a1b2c3d' },
  { given: 'sixteen keys of a device', keys: [...'0123456701234567'], heard: 'machine', phase: 'component', digits: '', gap: 5 },
  { given: 'fifteen fast keys', keys: [...'012345670123456'], heard: 'nothing', phase: 'component', digits: '01234567', gap: 5 },
  { given: 'Esc', keys: ['0', 'Escape'], heard: 'cancelled', phase: 'over', digits: '' },
  { given: 'a key after Esc', keys: ['0', 'Escape', '1'], heard: 'nothing', phase: 'over', digits: '' },
];
for (const { given, keys, heard, phase, digits, gap } of TABLE) {
  test(`${given}: ${heard}`, () => {
    const { typing, last } = type(keys, gap === undefined ? {} : { gap });
    assert.deepEqual([last, typing.phase], [heard, phase]);
    assert.equal(digits === '' ? '' : taken(typing).slice(0, digits.length), digits);
  });
}

test('a drawn component: nothing before Enter, shown until Enter, and then only what is typed', () => {
  const { typing, last } = type(['0', 'Backspace', 'Enter'], { shows: true });
  assert.deepEqual([last, typing.phase, seen(typing)], ['show', 'asked', '________']);
  assert.equal(typing.press({ key: 'Enter', time: 9000, repeat: false, chord: false }), 'nothing', 'it is on its way');
  const sheet = Uint8Array.of(0x0a, 0x1b, 0x2c, 0x3d, 0xab, 0xcd, 0xef);
  typing.show(sheet);
  assert.deepEqual([typing.phase, seen(typing), seen(typing, 8, 14)], ['shown', '0a1b2c3d', 'abcdef']);
  assert.equal(typing.press({ key: '0', time: 9100, repeat: false, chord: false }), 'nothing');
  assert.equal(typing.press({ key: 'Enter', time: 9200, repeat: false, chord: false }), 'hide');
  assert.deepEqual([typing.phase, seen(typing), [...sheet]], ['component', '________', [0, 0, 0, 0, 0, 0, 0]]);
});

test('what comes unasked is not shown, and is overwritten', () => {
  for (const keys of [[], ['Enter', 'Escape']]) {
    const { typing } = type(keys, { shows: true });
    const sheet = Uint8Array.of(1, 2, 3, 4, 5, 6, 7);
    typing.show(sheet);
    assert.deepEqual([seen(typing), [...sheet]], ['________', [0, 0, 0, 0, 0, 0, 0]]);
  }
});

test('it is lent once, and everything is wiped, also where giving it fails', () => {
  for (const fails of [false, true]) {
    const { typing } = type([...WHOLE, 'Enter', ...'ABCDEF', 'Enter']);
    let lent: Uint8Array | undefined;
    const give = () => typing.hand((digits) => {
      lent = digits;
      if (fails) throw new Error('the port is closed');
    });
    if (fails) assert.throws(give);
    else give();
    assert.ok(lent?.every((byte) => byte === 0));
    assert.deepEqual([typing.phase, seen(typing, 0, 18)], ['over', '_'.repeat(18)]);
  }
});

const notice = (shows: boolean): Extract<Notice, { kind: 'component-wanted' }> => ({
  kind: 'component-wanted', ticket: 7,
  token: { serial: '0417', label: 'HSM-A', model: 'M', manufacturer: 'F', firmware: '1', hardware: '2', flags: ['LOGIN_REQUIRED'] },
  asked: { person: 'custodian-2', name: 'Grace', purpose: 'type the component on your form', standIn: false, acceptFinalTry: false },
  component: { number: 2, of: 3, digits: 64, method: 'cmac', shows },
});

test('the booth is told exactly what it shows, and nothing of the component', () => {
  assert.deepEqual(componentFacts(notice(true)), {
    ticket: 7, who: 'Grace', seat: 'Custodian 2', purpose: 'type the component on your form', card: { label: 'HSM-A', serial: '0417', model: 'M' },
    component: { number: 2, of: 3, digits: 64, method: 'cmac', shows: true },
  });
  assert.equal(componentWords(componentFacts(notice(false))).please, 'Your component is number 2 of 3:');
});

test('every moment has words of its own, with the method of the check value', () => {
  const facts = componentFacts(notice(true));
  assert.deepEqual((['alone', 'shown', 'component', 'check'] as const).map((phase) => [componentName(facts, phase), componentEnter(phase)]), [
    ['Are you alone at the screen?', 'I am alone: show it'], ['Write this on your form, both lines', 'I have written it down: hide it'],
    ['Type your component from the form, 64 digits', 'go on to the check value'], ['Type the check value on the form (CMAC, ANSI X9.24-1)', 'hand both over'],
  ]);
  const typing = new ComponentTyping({ digits: 64, shows: false });
  assert.match(componentSay(typing, 'nothing'), /^Group 1 of 16\./);
  for (const heard of ['no-digit', 'short', 'machine', 'cancelled', 'looking'] as const) assert.notEqual(componentSay(typing, heard), componentSay(typing, 'nothing'), heard);
});

test('a component waits for its turn like a PIN', () => {
  const log: string[] = [];
  const queue = boothQueue((module, { ticket, kind }) => {
    log.push(`open ${module} ${kind} ${ticket}`);
    return (outcome) => log.push(`close ${ticket} ${outcome}`);
  });
  queue('a', notice(false));
  queue('b', { ...notice(true), ticket: 8 });
  queue('a', { kind: 'pin-settled', ticket: 7, outcome: 'refused' });
  assert.deepEqual(log, ['open a component-wanted 7', 'close 7 refused', 'open b component-wanted 8']);
});
