/**
 * The booth of a terminal, on a real pseudo-terminal: the stand-in device process says what it got, and the canary, the PIN
 * that is typed, appears nowhere on the terminal. With a real token: token-cli.test.ts.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import fc from 'fast-check';
import type { Wanted } from '../../electron/booth/asking.ts';
import { TerminalKeys } from '../../electron/terminal-booth.ts';
import { onTerminal, type Person } from './terminal.ts';

const CANARY = 'k4n4r1é7';
const token = { serial: '0417', label: 'HSM \u001b[2J one', model: 'M', manufacturer: '', firmware: '', hardware: '', flags: [] };
const asked = { person: 'officer', name: 'Security officer', purpose: 'set the PIN', standIn: false, acceptFinalTry: false };
const pin = (kind: Extract<Wanted, { kind: 'pin-wanted' }>['wanted'], ticket = 1): Wanted =>
  ({ kind: 'pin-wanted', wanted: kind, ticket, token, asked, attempts: 'low', min: 4, max: 16 });

let folder = '';
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'conclave-terminal-')); });
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What the device process got, and what the terminal showed. */
async function sit(notices: readonly Wanted[], person: Person): Promise<{ got: unknown; shown: string }> {
  const answers = join(folder, 'answers');
  const { code, shown } = await onTerminal([process.execPath, join(import.meta.dirname, 'fixtures/terminal-house.ts'), folder, answers, ...notices.map((notice) => JSON.stringify(notice))], person);
  assert.equal(code, 0, shown);
  return { got: JSON.parse(readFileSync(answers, 'utf8')), shown };
}
/** Not whole, and not a part that would say much of it. */
function unseen(shown: string): void {
  for (let at = 0; at + 3 <= CANARY.length; at += 1) assert.ok(!shown.includes(CANARY.slice(at, at + 3)), shown);
}

test('who, which token, what for and how many tries; the PIN is handed over and not shown', async () => {
  const { got, shown } = await sit([pin('user-pin')], async ({ until, type }) => {
    await until(/Nothing typed yet\./);
    type('k4n\x7f\x7f\x7f\x7f'); // Backspace, once too often
    await until(/Typing …/);
    await until(/Nothing typed yet\./);
    type('\x1b[A\x1bOP\x12'); // arrow, F1, Ctrl-R: no keys of a PIN
    type('k4n\r');
    await until(/shorter than any PIN/);
    type(CANARY.slice(3));
    await until(/Press Enter when the PIN is complete\./);
    type('\r');
    await until(/✓ Accepted/);
  });
  assert.deepEqual(got, [{ ticket: 1, pin: CANARY }]);
  unseen(shown);
  for (const words of ['Security officer (Officer):', 'to set the PIN.', 'serial  0417', '! A wrong PIN has been entered', 'Please type the PIN of HSM ⟨U+001B⟩[2J one,']) assert.ok(shown.includes(words), shown);
  assert.ok(!shown.includes('\u001b[2J'));
});

test('a new PIN is typed twice; two that differ are both forgotten, and nothing is sent', async () => {
  const { got, shown } = await sit([pin('new-so-pin')], async ({ until, type }) => {
    await until(/NEW security officer PIN \(SO PIN\), first time {2}\(1 of 2\)[^]*Nothing typed yet\./);
    type(`${CANARY}\r`);
    await until(/second time: the same {2}\(2 of 2\)[^]*Nothing typed the second time yet\./);
    type(`${CANARY}x\r`);
    await until(/The two were not the same[^]*\(1 of 2\)/);
    type(`${CANARY}\r`);
    await until(/\(2 of 2\)/);
    type(`${CANARY}\r`);
    await until(/Both were the same[^]*✓ Accepted/);
  });
  assert.deepEqual(got, [{ ticket: 1, pin: CANARY }]);
  unseen(shown);
});

test('Esc and Ctrl-C cancel, also the second time; the next question still comes', async () => {
  const { got, shown } = await sit([pin('user-pin', 1), pin('new-user-pin', 2), pin('password', 3)], async ({ until, type }) => {
    await until(/Nothing typed yet\./);
    type(CANARY.slice(0, 4));
    type('\x1b');
    await until(/Only the cancelling is recorded[^]*No PIN was given[^]*NEW PIN, first time {2}\(1 of 2\)[^]*Nothing typed yet\./);
    type(`${CANARY}\r`);
    await until(/\(2 of 2\)/);
    type('\x03');
    await until(/Only the cancelling is recorded[^]*Password of the file[^]*Nothing typed yet\./);
    type(`${CANARY}\r`);
    await until(/✓ Accepted/);
  });
  assert.deepEqual(got, [{ ticket: 1, cancelled: true }, { ticket: 2, cancelled: true }, { ticket: 3, pin: CANARY }]);
  assert.match(shown, /A file counts no tries/);
  unseen(shown);
});

test('a PIN pad: the terminal says where to look, hears nothing, and shows nothing that is typed in error', async () => {
  const { got, shown } = await sit([{ kind: 'pad-wanted', wanted: 'so-pin', ticket: 4, token, asked }], async ({ until, type }) => {
    await until(/Look at the PIN pad[^]*serial {2}0417[^]*Type the SO PIN on the pad\.[^]*Waiting for the pad/);
    type(`${CANARY}\r`);
    await until(/No key of this computer reaches the token[^]*✓ Accepted/);
  });
  assert.deepEqual(got, [{ ticket: 4, outcome: 'accepted' }]);
  unseen(shown);
});

/** What `stty` says before and after the house, and what the device process got. */
async function around(notice: Wanted, person: Person): Promise<{ states: string[]; shown: string }> {
  const states = join(folder, 'states');
  const house = [process.execPath, join(import.meta.dirname, 'fixtures/terminal-house.ts'), folder, join(folder, 'answers'), JSON.stringify(notice)].map((word) => `'${word}'`).join(' ');
  const { shown } = await onTerminal(['sh', '-c', `stty -a > '${states}.1'; ${house}; stty -a > '${states}.2'`], person);
  return { states: [1, 2].map((n) => readFileSync(`${states}.${n}`, 'utf8')), shown };
}

test('afterwards the terminal is as it was; what was typed before the question is no part of the PIN', async () => {
  const { states: [first, last], shown } = await around(pin('user-pin'), async ({ until, type }) => {
    type('99');
    await until(/Nothing typed yet\./);
    type(`${CANARY}\r`);
    await until(/Accepted/);
  });
  assert.deepEqual(JSON.parse(readFileSync(join(folder, 'answers'), 'utf8')), [{ ticket: 1, pin: CANARY }]);
  assert.equal(last, first);
  unseen(shown);
});

test('Ctrl-C at a PIN pad ends the command, and the terminal is as it was', async () => {
  const { states: [first, last] } = await around({ kind: 'pad-wanted', wanted: 'user-pin', ticket: 4, token, asked }, async ({ until, type }) => {
    await until(/Waiting for the pad/);
    type('\x03');
  });
  assert.equal(last, first);
  assert.equal(existsSync(join(folder, 'answers')), false);
});

test('bytes become keys, however a terminal cuts them up, and every chunk is overwritten', () => {
  const heard = (chunks: readonly Uint8Array[]) => {
    const keys: string[] = [];
    const terminal = new TerminalKeys((key, chord) => keys.push(chord ? `(${key})` : key));
    for (const chunk of chunks) {
      terminal.push(chunk);
      assert.ok(chunk.every((byte) => byte === 0));
    }
    return keys;
  };
  const bytes = (text: string) => new TextEncoder().encode(text);
  fc.assert(fc.property(fc.string({ unit: 'grapheme-composite', maxLength: 20 }).filter((text) => !/\p{Cc}/u.test(text)), fc.integer({ min: 1, max: 5 }), (text, size) => {
    const all = bytes(text);
    const chunks = Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.slice(i * size, (i + 1) * size));
    assert.deepEqual(heard(chunks), [...text]);
  }));
  assert.deepEqual(heard([bytes('\x1b')]), ['Escape']);
  assert.deepEqual(heard([bytes('\x1b[1;5A\x1bOP\x1bxa')]), ['a']);
  assert.deepEqual(heard([bytes('\x03\r\n\x7f\b\t')]), ['Interrupt', 'Enter', 'Enter', 'Backspace', 'Backspace', '(Control)']);
  assert.deepEqual(heard([new Uint8Array([0xc3, 0x31]), bytes('2')]), ['Unidentified', '1', '2']);
  assert.deepEqual(heard([new Uint8Array([0xe2, 0x82]), bytes('\x1b')]), ['Unidentified', 'Escape']);
  assert.deepEqual(heard([new Uint8Array([0xff, 0x80])]), ['Unidentified', 'Unidentified']);
});

test('hostile bytes of any kind end in keys, never in an error', () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 12 }), { maxLength: 8 }), (chunks) => {
    const terminal = new TerminalKeys((key) => assert.equal(/^(Interrupt|Enter|Backspace|Escape|Control|Unidentified|.)$/su.test(key), true));
    for (const chunk of chunks) terminal.push(chunk);
  }));
});

test('without a terminal it is said by name, and what to do; nothing is started', () => {
  const cli = join(import.meta.dirname, '../../electron/cli.ts');
  for (const verb of [['probe'], ['objects', '--login'], ['object', '--where', 'CKA_ID=01', '--login']]) {
    // A session of its own has no controlling terminal, wherever these tests are run.
    const { status, stderr, stdout } = spawnSync('setsid', ['--wait', process.execPath, cli, 'token', ...verb, '--module', 'm', '--token', '1', '--home', join(folder, 'home')], { encoding: 'utf8' });
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(stderr, /BOOTH_MISSING[^]*--stand-in/);
  }
});
