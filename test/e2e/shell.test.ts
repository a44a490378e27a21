/**
 * The shell in the real Electron: windows, the booth, and what happens to them when a process does what it should not.
 * Stand-in programs (stage.ts); the same hub without Electron: test/electron/processes.test.ts.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import type { Page } from 'playwright';
import { out, root } from '../../build/machine.mjs';
import type { Notice } from '../../electron/devices/protocol.ts';
import { launch, runtime, setStage, type Running, type Stage } from './stage.ts';

/** One app for the tests that leave it as it was; a stage of its own for each of the others. */
let common: Stage;
let app: Running;
let own: Stage | undefined;
before(async () => {
  common = setStage();
  app = await ready(await common.launch());
});
after(() => common.strike());
afterEach(async () => {
  await own?.strike();
  own = undefined;
  // A test that failed may have left a booth open, and nobody else could open one.
  for (const left of app.electron.windows()) if (left.url().startsWith('app://booth/')) await press(left, 'Escape');
});
const ownStage = () => (own = setStage());

/** Pictures are for people; a folder that somebody else owns fails no test. */
async function picture(page: Page, name: string): Promise<void> {
  keep(await page.screenshot(), name);
}
function keep(bytes: Buffer, name: string): void {
  try {
    mkdirSync(join(root, 'test/pictures'), { recursive: true });
    writeFileSync(join(root, 'test/pictures', `${name}.png`), bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
  }
}

async function ready(started: Running): Promise<Running> {
  await started.page.waitForFunction(() => document.title === 'ready');
  return started;
}
const alive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
const device = (of: Running, operation: string, body: unknown = null, module = 'softhsm') =>
  of.call({ call: 'device', module, operation, body }) as Promise<{ value: { body: never; lost: unknown } }>;

type Wanted = Extract<Notice, { kind: 'pin-wanted' }>;
const wanted = (ticket: number, more: Partial<Wanted> = {}): Wanted => ({
  kind: 'pin-wanted', wanted: 'user-pin', ticket, attempts: 'fine', min: 4, max: 255,
  token: { serial: '04172203b81c', label: 'Share card 2', model: 'SoftHSM v2', manufacturer: '', firmware: '', hardware: '', flags: [] },
  asked: { person: 'custodian-2', name: 'Grace Hopper', purpose: 'receive your share on your share card', standIn: false, acceptFinalTry: false },
  ...more,
});
const askForPin = (of: Running, notice: Notice, module = 'softhsm') => device(of, 'pin', { notice }, module);
const text = (page: Page, id: string) => page.locator(id).innerText();
const state = (page: Page) => page.evaluate(() => document.body.dataset['state']);
/** A key that may close the window before it is up again. */
const press = (page: Page, key: string) => page.keyboard.press(key).catch(() => undefined);
/** As fast as people type; all at once would look like a device. */
const type = (page: Page, keys: string) => page.keyboard.type(keys, { delay: 60 });

test('the window opens, hello answers, entries arrive', async () => {
  const hello = (await app.call({ call: 'hello' })) as { value: Record<string, unknown> };
  assert.equal(hello.value['home'], common.home);
  assert.equal(hello.value['version'], '9.9.9');
  assert.match(String(hello.value['build']), /^[0-9a-f]{64}$/);
  // SECURITY 16
  assert.deepEqual(hello.value['runtime'], { node: hello.value['runtime'] && (hello.value['runtime'] as { node: string }).node, electron: runtime!.version, development: true });
  await app.call({ call: 'push', entries: { ceremony: 'c', from: 0, lines: ['one'] } });
  await app.page.waitForFunction(() => document.getElementById('heard')!.textContent === '{"ceremony":"c","from":0,"lines":["one"]}');
  await picture(app.page, 'shell-window');
});

test('the app as it is built opens, with its own page, conductor and policy', async () => {
  const stage = ownStage(); // for its data folder only
  const electron = await launch(root, { CONCLAVE_HOME: stage.home });
  try {
    const page = await electron.firstWindow();
    const complaints: string[] = [];
    page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
    await page.locator('[data-testid=primary]').waitFor();
    const hello = await page.evaluate(() => window.conclave.call({ call: 'hello' }));
    assert.ok(hello.ok);
    assert.equal(hello.value.build, readFileSync(join(out, 'build-id'), 'utf8').trim());
    assert.deepEqual([hello.value.home, hello.value.first, hello.value.runtime.electron], [stage.home, true, runtime!.version]);
    const reply = await page.evaluate(() => window.conclave.call({ call: 'no such call' } as never));
    assert.equal(reply.ok, false);
    assert.deepEqual(complaints, []);
  } finally {
    await electron.close();
  }
});

test('SECURITY 16: a development runtime is called one', async () => {
  const hello = (await app.call({ call: 'hello' })) as { value: { runtime: { development: boolean } } };
  assert.equal(hello.value.runtime.development, true); // it is being driven by a debugger, if nothing else
});

test('the booth says who, which card, what for; the PIN goes to the device process and nowhere else', async () => {
  const pin = askForPin(app, wanted(7));
  const booth = await app.booth();
  assert.deepEqual(
    await Promise.all(['#who', '#seat', '#act', '#purpose', '#label', '#serial', '#model', '#tries'].map((id) => text(booth, id))),
    ['Grace Hopper', 'Custodian 2', 'Please type the PIN of Share card 2,', 'to receive your share on your share card', 'Share card 2',
      '04172203b81c', 'SoftHSM v2', 'No wrong PIN is reported since the last right one.'],
  );
  assert.equal(await state(booth), 'empty');
  await picture(booth, 'booth-empty');
  const before = await booth.content();

  await type(booth, '27');
  assert.equal(await state(booth), 'typing');
  const two = await booth.content();
  await type(booth, '1');
  assert.equal(await booth.content(), two, 'the page shows how long the PIN is');
  await booth.keyboard.press('Enter'); // too short: nothing happens
  assert.equal(await state(booth), 'typing');
  await type(booth, '82x');
  await booth.keyboard.press('Backspace');
  assert.equal(await state(booth), 'fits');
  await picture(booth, 'booth-typed');
  assert.equal(await booth.evaluate(() => (document.querySelector('#pin') as HTMLInputElement).value), '');
  assert.ok(!(await booth.content()).includes('27182'));
  assert.notEqual(before, two);

  const gone = booth.waitForEvent('close');
  await press(booth, 'Enter');
  assert.deepEqual((await pin).value.body, { ticket: 7, pin: '27182' });
  await gone;
  // What the conductor heard of it.
  const seen = JSON.stringify(await app.call({ call: 'seen' }));
  assert.match(seen, /pin-wanted.*pin-settled/);
});

test('the booth is alone: above, covering, not to be captured, only for the keyboard', async () => {
  const pin = askForPin(app, wanted(1));
  const booth = await app.booth();
  const [main, over] = await app.electron.evaluate(({ BrowserWindow }) =>
    BrowserWindow.getAllWindows().sort((a, b) => a.id - b.id).map((window) => ({
      bounds: window.getBounds(), modal: window.isModal(), url: window.webContents.getURL(),
    })));
  assert.deepEqual(over!.bounds, main!.bounds);
  assert.deepEqual([over!.modal, over!.url], [true, 'app://booth/booth.html']); // (nothing is always on top without a window manager)
  const inside = await booth.evaluate(() => {
    const scripts = document.scripts.length;
    const names = Object.keys(window).filter((name) => /conclave|ipc|electron/i.test(name));
    return { scripts, names, focus: document.activeElement?.id, role: document.querySelector('main')?.getAttribute('role') };
  });
  assert.deepEqual(inside, { scripts: 0, names: [], focus: 'pin', role: 'dialog' });
  // Pasting, dropping and what a script would type count for nothing.
  await booth.evaluate(() => {
    const field = document.querySelector('#pin') as HTMLInputElement;
    const data = new DataTransfer();
    data.setData('text/plain', '271828');
    field.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
    field.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    field.dispatchEvent(new KeyboardEvent('keydown', { key: '2', bubbles: true }));
    document.execCommand('insertText', false, '271828');
  });
  assert.equal(await state(booth), 'wrong'); // execCommand
  await booth.keyboard.press('Backspace');
  assert.equal(await state(booth), 'empty');
  await booth.keyboard.insertText('271828');
  assert.equal(await state(booth), 'wrong');
  assert.equal(await booth.evaluate(() => (document.querySelector('#pin') as HTMLInputElement).value), '');
  await booth.keyboard.press('Tab');
  assert.equal(await booth.evaluate(() => document.activeElement?.id), 'pin');
  await press(booth, 'Escape');
  await pin;
});

test('Esc, and closing the window, cancel: that is all the device process hears', async () => {
  const first = askForPin(app, wanted(1));
  const booth = await app.booth();
  await type(booth, '271828');
  await press(booth, 'Escape');
  assert.deepEqual((await first).value.body, { ticket: 1, cancelled: true });
  const second = askForPin(app, wanted(2));
  const again = await app.booth();
  await type(again, '27');
  await app.electron.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows().find((window) => window.isModal())!.close());
  assert.deepEqual((await second).value.body, { ticket: 2, cancelled: true });
});

test('the last try, and a wrong PIN before, are said in words', async () => {
  for (const [ticket, attempts, words] of [
    [1, 'low', '! A wrong PIN has been entered since the last right one. Not all tries are left.'],
    [2, 'final', '✕ This is the last try. A wrong PIN locks it.'],
    [3, 'unknown', 'It does not say how many tries are left.'],
  ] as const) {
    const pin = askForPin(app, wanted(ticket, { attempts }));
    const booth = await app.booth();
    assert.equal(await text(booth, '#tries'), words);
    await picture(booth, `booth-${attempts}`);
    const gone = booth.waitForEvent('close');
    await press(booth, 'Escape');
    await Promise.all([pin, gone]);
  }
});

/** Of these parts, those that letters of twice the size leave without scrolling. */
async function outOfSight(booth: Page, parts: readonly string[], name: string): Promise<string[]> {
  const zoom = (factor: number) => app.electron.evaluate(async ({ BrowserWindow }, wanted) => {
    const { webContents } = BrowserWindow.getAllWindows().find((window) => window.isModal())!;
    webContents.setZoomFactor(wanted);
    await new Promise((later) => setTimeout(later, 300));
    return (await webContents.capturePage()).toPNG().toString('base64');
  }, factor);
  keep(Buffer.from(await zoom(2), 'base64'), name);
  const hidden = await booth.evaluate((ids) => ids.filter((id) => {
    const { bottom, right } = document.querySelector(id)!.getBoundingClientRect();
    return bottom > innerHeight || right > innerWidth;
  }), parts);
  await zoom(1);
  return hidden;
}

const officer = { person: 'officer', name: 'Ada Lovelace', standIn: false, acceptFinalTry: false };
const hsm = { serial: '7f3a90c2e41b', label: 'Issuing HSM 1', model: 'SoftHSM v2', manufacturer: '', firmware: '', hardware: '', flags: [] };

test('a new PIN is typed twice; two that differ are forgotten together, and one that is equal is sent once', async () => {
  const pin = askForPin(app, wanted(1, { wanted: 'new-user-pin', token: hsm, max: 16, asked: { ...officer, purpose: 'set the user PIN of a new token' } }));
  const booth = await app.booth();
  assert.deepEqual(await Promise.all(['#act', '#wanted', '#round', '#enter', '#tries'].map((id) => text(booth, id))),
    ['Please choose a new PIN for Issuing HSM 1,', 'NEW PIN, first time', '1 of 2', 'go on; you type it once more', '4 to 16 characters. A new PIN costs no try.']);
  await type(booth, '271828');
  await picture(booth, 'booth-new-first');
  await booth.keyboard.press('Enter');
  assert.deepEqual([await state(booth), await text(booth, '#round'), await text(booth, '#state')], ['empty', '2 of 2', '✓ Typed once. Now type the same new PIN once more.']);
  await picture(booth, 'booth-new-second');
  assert.deepEqual(await outOfSight(booth, ['#who', '#act', '#label', '#serial', '#wanted', '#state', '#pin'], 'booth-new-large'), []);
  await booth.keyboard.press('Enter');
  assert.equal(await state(booth), 'empty');
  await type(booth, '271829');
  await booth.keyboard.press('Enter');
  assert.deepEqual([await state(booth), await text(booth, '#round')], ['wrong', '1 of 2']);
  assert.match(await text(booth, '#state'), /The two were not the same/);
  await picture(booth, 'booth-new-unequal');
  for (const round of ['first', 'second']) {
    await type(booth, '314159');
    assert.equal(await state(booth), 'fits', round);
    if (round === 'first') await booth.keyboard.press('Enter');
  }
  const page = await booth.content();
  for (const typed of ['271828', '271829', '314159']) assert.ok(!page.includes(typed));
  await press(booth, 'Enter');
  assert.deepEqual((await pin).value.body, { ticket: 1, pin: '314159' });
});

test('each kind says what is to be typed: the PIN of the security officer, a new one, the password of a file', async () => {
  for (const [ticket, kind, attempts, purpose, name, tries] of [
    [1, 'so-pin', 'low', 'unblock the user PIN', 'Security officer PIN (SO PIN)', '! A wrong PIN has been entered since the last right one. Not all tries are left.'],
    [2, 'so-pin', 'final', 'unblock the user PIN', 'Security officer PIN (SO PIN)', '✕ This is the last try. A wrong one locks the SO PIN, and nobody can unlock that.'],
    [3, 'new-so-pin', 'fine', 'replace the SO PIN', 'NEW security officer PIN (SO PIN), first time', 'At least 4 characters. A new PIN costs no try.'],
    [4, 'password', 'unknown', 'import the keys of issuing-2026.p12', 'Password of the file', 'A file counts no tries: a wrong password locks nothing.'],
  ] as const) {
    const pin = askForPin(app, wanted(ticket, { wanted: kind, attempts, token: hsm, asked: { ...officer, purpose } }));
    const booth = await app.booth();
    assert.deepEqual([await text(booth, '#wanted'), await text(booth, '#tries')], [name, tries]);
    await picture(booth, `booth-${kind}-${attempts}`);
    const gone = booth.waitForEvent('close');
    await press(booth, 'Escape');
    assert.deepEqual((await pin).value.body, { ticket, cancelled: true });
    await gone;
  }
});

test('a PIN pad: the window says where to look, sends nothing whatever is typed, and goes when the token has it', async () => {
  const { attempts: _attempts, min: _min, max: _max, ...rest } = wanted(5);
  const pin = askForPin(app, { ...rest, kind: 'pad-wanted', wanted: 'so-pin', token: { ...hsm, model: 'PINpad 4' }, asked: { ...officer, purpose: 'log in as security officer' } });
  const booth = await app.booth();
  assert.deepEqual(await Promise.all(['#act', '#wanted', '#label', '#serial', '#state'].map((id) => text(booth, id))),
    ['Look at the PIN pad of Issuing HSM 1', 'Type the SO PIN on the pad', 'Issuing HSM 1', '7f3a90c2e41b', 'Waiting for the pad. This window closes by itself.']);
  assert.deepEqual(await Promise.all(['#pin', 'footer.keys', 'footer.no-keys'].map((part) => booth.locator(part).isVisible())), [false, false, true]);
  await picture(booth, 'booth-pad');
  assert.deepEqual(await outOfSight(booth, ['#who', '#act', '#label', '#serial', '#wanted', '#state'], 'booth-pad-large'), []);
  await type(booth, '271828');
  await press(booth, 'Enter');
  await press(booth, 'Escape');
  await app.electron.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows().find((window) => window.isModal())!.close());
  assert.equal(await text(booth, '#state'), '! No key of this computer reaches the token. Type on the pad, or cancel there.');
  await picture(booth, 'booth-pad-insisted');
  const gone = booth.waitForEvent('close');
  await device(app, 'settle', { ticket: 5, outcome: 'accepted' });
  await gone;
  assert.deepEqual((await pin).value.body, { ticket: 5, outcome: 'accepted' });
});

test('the window of a PIN pad that breaks leaves the token alone', async () => {
  const stage = ownStage();
  const app = await ready(await stage.launch());
  const { attempts: _attempts, min: _min, max: _max, ...rest } = wanted(5);
  const pin = askForPin(app, { ...rest, kind: 'pad-wanted', wanted: 'user-pin' });
  await app.booth();
  const left = await app.electron.evaluate(async ({ BrowserWindow }) => {
    BrowserWindow.getAllWindows().find((window) => window.isModal())!.webContents.forcefullyCrashRenderer();
    for (let tries = 0; tries < 40 && BrowserWindow.getAllWindows().length > 1; tries += 1) await new Promise((later) => setTimeout(later, 50));
    return BrowserWindow.getAllWindows().length;
  });
  assert.equal(left, 1);
  await device(app, 'settle', { ticket: 5, outcome: 'accepted' });
  assert.deepEqual((await pin).value.body, { ticket: 5, outcome: 'accepted' });
});

test('a token that types into the booth is ignored, Enter included; text from a card cannot disguise itself', async () => {
  const odd = wanted(1);
  const pin = askForPin(app, { ...odd, token: { ...odd.token, label: 'good\u202Edrac\u0007', serial: '12\u200b34' } });
  const booth = await app.booth();
  assert.equal(await text(booth, '#label'), 'good⟨U+202E⟩drac⟨U+0007⟩');
  assert.equal(await text(booth, '#serial'), '12⟨U+200B⟩34');
  await booth.keyboard.type('ccccccbchvthlivuitriujjifivbvtrjkjfirllluurj\n');
  assert.equal(await state(booth), 'wrong');
  assert.match(await text(booth, '#state'), /A device typed that/);
  await picture(booth, 'booth-machine');
  await type(booth, '271828');
  assert.equal(await state(booth), 'wrong');
  await booth.keyboard.press('Backspace');
  await type(booth, '271828');
  await press(booth, 'Enter');
  assert.deepEqual((await pin).value.body, { ticket: 1, pin: '271828' });
});

test('several who ask: one booth after the other, each PIN to its own process', async () => {
  const first = askForPin(app, wanted(1), 'a');
  const booth = await app.booth();
  const other = wanted(1);
  const second = askForPin(app, { ...other, asked: { ...other.asked, name: 'Ada' } }, 'b');
  await app.page.waitForTimeout(200);
  assert.equal(await app.electron.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows().length), 2);
  const gone = booth.waitForEvent('close');
  await type(booth, '1111');
  await press(booth, 'Enter');
  assert.deepEqual((await first).value.body, { ticket: 1, pin: '1111' });
  await gone;
  const next = await app.booth();
  assert.equal(await text(next, '#who'), 'Ada');
  await type(next, '2222');
  await press(next, 'Enter');
  assert.deepEqual((await second).value.body, { ticket: 1, pin: '2222' });
});

test('a device process that crashes costs its booth and its request, nothing else', async () => {
  const pid = (await device(app, 'pid')).value.body as number;
  const pin = askForPin(app, wanted(1));
  const booth = await app.booth();
  const gone = booth.waitForEvent('close');
  process.kill(pid, 'SIGSEGV');
  const { lost } = (await pin).value as { lost: { how: string } };
  assert.equal(lost.how, 'exited');
  await gone;
  const again = (await device(app, 'pid')).value.body as number;
  assert.notEqual(again, pid);
});

test('a device process that hangs is killed, whatever it does to signals', async () => {
  const hanging = device(app, 'hang');
  await app.call({ call: 'kill', module: 'softhsm' });
  assert.equal(((await hanging).value.lost as { how: string }).how, 'killed');
});

test('a booth that breaks is a cancelling, and the ceremony goes on', async () => {
  const stage = ownStage();
  const app = await ready(await stage.launch());
  const pin = askForPin(app, wanted(1));
  await app.booth();
  await app.electron.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows().find((window) => window.isModal())!.webContents.forcefullyCrashRenderer());
  assert.deepEqual((await pin).value.body, { ticket: 1, cancelled: true });
  await app.page.waitForFunction(() => document.title === 'ready');
});

test('a data folder that cannot be used: a plain page says so, as text', async () => {
  const stage = ownStage();
  mkdirSync(stage.home, { recursive: true });
  writeFileSync(join(stage.home, 'refuse'), '');
  const { page } = await stage.launch();
  await page.waitForURL('app://plain/');
  assert.equal(await text(page, '#rule'), 'DATA-FOLDER');
  assert.equal(await text(page, '#found'), '<b>none</b>');
  assert.equal(await text(page, '#next'), 'Repair the disk.');
  await picture(page, 'shell-refused');
});

test('a data folder that cannot even be made: the same', async () => {
  const stage = ownStage();
  const { page } = await stage.launch({ env: { CONCLAVE_HOME: join(stage.app, 'package.json/under-a-file') } });
  await page.waitForURL('app://plain/');
  assert.equal(await text(page, '#rule'), 'DATA-FOLDER');
});

test('a conductor that ends: a plain page says so, and that nothing is lost', async () => {
  const stage = ownStage();
  const app = await ready(await stage.launch());
  await app.call({ call: 'end', signal: 'SIGKILL' }).catch(() => undefined);
  await app.page.waitForURL('app://plain/');
  assert.equal(await text(app.page, '#rule'), 'CONDUCTOR-LIVES');
  assert.match(await text(app.page, '#next'), /on disk/);
});

test('a page that crashes comes back', async () => {
  const stage = ownStage();
  const app = await ready(await stage.launch());
  await app.electron.evaluate(({ BrowserWindow }) => new Promise<void>((done) => {
    const { webContents } = BrowserWindow.getAllWindows()[0]!;
    webContents.once('did-finish-load', () => done());
    webContents.forcefullyCrashRenderer();
  }));
  const title = await app.electron.evaluate(async ({ BrowserWindow }) => {
    const { webContents } = BrowserWindow.getAllWindows()[0]!;
    for (let tries = 0; tries < 50 && webContents.getTitle() !== 'ready'; tries += 1) await new Promise((later) => setTimeout(later, 50));
    return webContents.getTitle();
  });
  assert.equal(title, 'ready');
});

test('a second instance says so and shows the first window', async () => {
  const stage = ownStage();
  const app = await ready(await stage.launch());
  await app.electron.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows()[0]!.hide());
  const second = spawn(runtime!.path, [...runtime!.args, stage.app], {
    env: { ...process.env, CONCLAVE_HOME: stage.home }, stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  second.stderr.on('data', (chunk) => { said += String(chunk); });
  const code = await new Promise((done) => second.once('close', done));
  assert.equal(code, 1);
  assert.ok(said.includes(`Conclave is already open with the data folder ${stage.home}.`), said);
  assert.equal(await app.electron.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows()[0]!.isVisible()), true);
});

test('quitting ends every process', async () => {
  const stage = ownStage();
  const app = await ready(await stage.launch());
  const pids = [(await device(app, 'pid', null, 'a')).value.body as number, (await device(app, 'pid', null, 'b')).value.body as number];
  const main = app.electron.process().pid!;
  const children = () => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(stage.app);
    } catch {
      return false;
    }
  });
  assert.ok(children().includes(main));
  await app.electron.close();
  assert.deepEqual([main, ...pids].filter(alive), []);
  assert.deepEqual(children(), []);
});

test('closing the window over an open ceremony asks first, and quitting does not hang on it', async () => {
  const stage = ownStage();
  const app = await ready(await stage.launch());
  writeFileSync(join(stage.home, 'ceremony'), '');
  const asked = await app.electron.evaluate(async ({ BrowserWindow, dialog }) => {
    const questions: Electron.MessageBoxOptions[] = [];
    (dialog as { showMessageBox: unknown }).showMessageBox = (_window: unknown, options: Electron.MessageBoxOptions) => {
      questions.push(options);
      return Promise.resolve({ response: 0 });
    };
    const [window] = BrowserWindow.getAllWindows();
    window!.close();
    for (let tries = 0; tries < 40 && questions.length === 0; tries += 1) await new Promise((later) => setTimeout(later, 50));
    await new Promise((later) => setTimeout(later, 100));
    return { questions, destroyed: window!.isDestroyed() };
  });
  assert.equal(asked.questions.length, 1);
  assert.deepEqual([asked.questions[0]!.defaultId, asked.questions[0]!.cancelId, asked.questions[0]!.buttons], [0, 0, ['Stay', 'Close and interrupt']]);
  assert.equal(asked.destroyed, false);
});

test('on an Electron that is new enough the conductor is a utility process too', async () => {
  const stage = ownStage();
  const fixture = join(import.meta.dirname, 'fixtures');
  const { build } = await import('esbuild');
  await build({
    entryPoints: [join(fixture, 'utility-house.ts')], outfile: join(stage.app, 'main.cjs'),
    bundle: true, format: 'cjs', platform: 'node', external: ['electron'], logLevel: 'silent',
  });
  writeFileSync(join(stage.app, 'package.json'), JSON.stringify({ name: 'utility-house', version: '1.0.0', main: 'main.cjs' }));
  const child = spawn(runtime!.path, [...runtime!.args, stage.app], { env: { ...process.env, CONCLAVE_HOME: stage.home }, stdio: ['ignore', 'pipe', 'ignore'] });
  let said = '';
  child.stdout.on('data', (chunk) => { said += String(chunk); });
  await new Promise((done) => child.once('close', done));
  assert.deepEqual(JSON.parse(said.split('\n').find((line) => line.startsWith('{')) ?? '{}'), {
    hello: true, echo: 'through', crashed: 'exited', hung: 'killed', again: true, pin: '271828', stopped: true,
  });
});
