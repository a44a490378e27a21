/** `conclave share print|form|scan|type` as people use them: pages, pictures, the keyboard; and nothing secret anywhere else. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { Refused } from '../../ceremonies/refusal.ts';
import { shareToQr } from '../../ceremonies/shares/paper.ts';
import { parseShareFile } from '../../ceremonies/shares/share-file.ts';
import { readSheetHtml, sheetQr } from '../../ceremonies/shares/sheet.ts';
import { Usage } from '../../electron/keys-cli.ts';
import { paperCommand, provePage } from '../../electron/paper-cli.ts';
import { CLI, conclave, type Ended } from './command.ts';
import { photograph, png } from './photograph.ts';
import { onTerminal } from './terminal.ts';

const folder = mkdtempSync(join(tmpdir(), 'conclave-paper-cli-'));
after(() => { rmSync(folder, { recursive: true, force: true }); });
const at = (...names: string[]): string => join(folder, ...names);

/** Everything that was printed or shown, for the search for secrets at the end. */
let printed = '';
function run(...args: string[]): Ended<number | null> {
  const ended = conclave(['share', ...args]);
  printed += ended.out + ended.err;
  return ended;
}
interface Told { verified: boolean; rules: string[]; facts: Record<string, unknown>; reports: { file: string; facts: Record<string, unknown>; findings: { rule: string; found: string }[] }[] }
function json(...args: string[]): { code: number | null; told: Told } {
  const { code, out } = run(...args, '--json');
  return { code, told: JSON.parse(out) as Told };
}

const key = randomBytes(32);
writeFileSync(at('key'), key);
const share = (i: number, of = 'ours'): string => at(of, `share-${i}.pem`);
const set = (of = 'ours'): string[] => ['--set', at(of, 'set.pem')];
const split = (of: string, ...more: string[]): void => assert.equal(run('split', '--threshold', '2', '--shares', '3', '--in', at('key'), '--out', at(of), ...more).code, 0);
split('ours', '--custodian', 'anna', '--custodian', 'ben', '--custodian', 'carla');
split('theirs');
split('newer', '--after', at('ours', 'set.pem'), '--custodian', 'anna', '--custodian', 'ben', '--custodian', 'carla');
split('words', '--slip39');

/** The words as a custodian reads them off the page. */
function wordsOn(page: string): string[] {
  return [...readFileSync(page, 'utf8').matchAll(/<td><span class="number">\d+<\/span> ([a-z]+)<\/td>/g)].map(([, word = '']) => word);
}
function picture(i: number, of = 'ours'): string {
  if (existsSync(at(`${of}-${i}.png`))) return at(`${of}-${i}.png`);
  const file = parseShareFile(new Uint8Array(readFileSync(share(i, of))));
  const camera = { side: 800, turned: 11 * i, tilted: 0.1, skewed: 0.02, blurred: 1, noise: 0.1, worn: 0 };
  writeFileSync(at(`${of}-${i}.png`), png(photograph(sheetQr(file.form === 'record' ? shareToQr(file.share) : assert.fail(of)), camera), 800, 800));
  return at(`${of}-${i}.png`);
}

test('print: says what stays behind, and writes only for those who know; every page new and its owner\'s alone', async () => {
  const args = ['print', share(1), share(2), share(3), ...set(), '--out', at('pages'), '--for', 'Root CA 2026'];
  const unasked = run(...args);
  assert.deepEqual([unasked.code, existsSync(at('pages'))], [1, false]);
  for (const word of ['spooler', 'printer', 'snapshots', 'browser', 'conclave share form']) assert.ok(unasked.err.includes(word), word);
  assert.match(unasked.out, /PAPER-TRACES/);
  const answered = async (answer: string) => {
    const { code, shown } = await onTerminal([process.execPath, CLI, 'share', ...args], async ({ until, type }) => {
      await until(/Write the pages all the same\? Type yes: /);
      type(`${answer}\r`);
    });
    printed += shown;
    return code;
  };
  assert.equal(await answered('no'), 1);
  assert.equal(existsSync(at('pages')), false);
  assert.equal(await answered('yes'), 0);
  assert.deepEqual(readdirSync(at('pages')), ['share-1.html', 'share-2.html', 'share-3.html']);
  for (const name of readdirSync(at('pages'))) assert.equal(statSync(at('pages', name)).mode & 0o777, 0o600);
  assert.equal(statSync(at('pages')).mode & 0o777, 0o700);
  const page = readFileSync(at('pages', 'share-2.html'), 'utf8');
  for (const words of ['Share 2 of 3', 'Root CA 2026', 'ben', 'any <b>2</b> of the 3 shares']) assert.ok(page.includes(words), words);
  assert.ok(!page.includes('REHEARSAL') && !page.includes('anna'));
  assert.equal(run(...args, '--i-know').code, 2);
  assert.equal(readFileSync(at('pages', 'share-2.html'), 'utf8'), page);
  assert.equal(run('print', share(1), '--out', at('rehearsed'), '--for', 'a rehearsal', '--rehearsal', '--i-know').code, 0);
  assert.ok(readFileSync(at('rehearsed', 'share-1.html'), 'utf8').includes('REHEARSAL'));
  assert.deepEqual(json('print', share(1), share(1, 'theirs'), ...set(), '--out', at('no'), '--for', 'x', '--i-know').told.reports.map(({ findings }) => findings[0]?.rule), [undefined, 'SHARE-FOREIGN-SET']);
  assert.equal(existsSync(at('no')), false);
});

test('print reads the finished page: another word, another number, another code, none, and it is refused', async () => {
  for (const [page, file] of [[at('pages', 'share-2.html'), share(2)], [at('rehearsed', 'share-1.html'), share(1)]] as const) {
    const html = readFileSync(page, 'utf8');
    const of = parseShareFile(new Uint8Array(readFileSync(file)));
    await provePage(html, of);
    const { words, modules } = readSheetHtml(html);
    assert.deepEqual(words, wordsOn(page));
    assert.deepEqual(modules, sheetQr(of.form === 'record' ? shareToQr(of.share) : assert.fail(file)));
    const [first, second] = words;
    const another = readFileSync(at('pages', 'share-3.html'), 'utf8');
    const picture = /<svg class="qr".*<\/svg>/;
    for (const [what, spoilt] of [
      ['a word', html.replace(`</span> ${first!}<`, `</span> ${first === 'academic' ? 'acid' : 'academic'}<`)],
      ['two numbers', html.replace('number">1<', 'number">x<').replace('number">2<', 'number">1<').replace('number">x<', 'number">2<')],
      ['a word less', html.replace(`</span> ${second!}<`, '</span> <')],
      ['the code of another share', html.replace(picture, picture.exec(another)![0])],
      ['no code', html.replace(picture, '')], ['an empty code', html.replace(/<path d="M[^"]*"\/><\/svg>/, '<path d=""/></svg>')],
      ['another share', another],
    ] as const) {
      assert.notEqual(spoilt, html, what);
      await assert.rejects(provePage(spoilt, of), Refused, what);
    }
  }
});

test('a page in words, one in a picture, one as a file: check names what is wrong, combine gives the key', () => {
  const words = wordsOn(at('pages', 'share-1.html'));
  assert.equal(words.length, 33);
  writeFileSync(at('one.txt'), words.join('\n').toUpperCase());
  const two = picture(2);
  assert.equal(json('check', at('one.txt'), two, share(3), ...set()).code, 0);
  assert.equal(run('combine', at('one.txt'), two, ...set(), '--out', at('back')).code, 0);
  assert.deepEqual(readFileSync(at('back')), key);
  writeFileSync(at('wrong.txt'), words.with(20, words[20] === 'academic' ? 'acid' : 'academic').join(' '));
  writeFileSync(at('noise.png'), Buffer.concat([readFileSync(two).subarray(0, 200), randomBytes(100)]));
  const table: readonly (readonly [string, string[], string])[] = [
    [at('wrong.txt'), set(), 'SHARE-CHECKSUM'], [at('one.txt'), set('theirs'), 'SHARE-FOREIGN-SET'], [at('one.txt'), set('newer'), 'SHARE-OLD-EPOCH'], [picture(1, 'newer'), set(), 'SHARE-NEW-EPOCH'],
    [picture(1, 'theirs'), set(), 'SHARE-FOREIGN-SET'], [two, set('newer'), 'SHARE-OLD-EPOCH'], [at('noise.png'), set(), 'SHARE-PICTURE'],
  ];
  for (const [file, by, rule] of table) {
    const { code, told } = json('check', file, ...by);
    assert.deepEqual([code, told.reports[0]?.findings[0]?.rule], [1, rule], file);
  }
  for (const file of [at('wrong.txt'), picture(1, 'theirs')]) {
    assert.equal(run('combine', share(1), share(3), file, ...set(), '--out', at('no')).code, 1);
    assert.equal(existsSync(at('no')), false);
  }
  assert.match(json('check', at('wrong.txt'), ...set()).told.reports[0]!.findings[0]!.found, /^word 21 /);
  assert.deepEqual(json('check', at('one.txt'), share(1), ...set()).told.reports.map(({ findings }) => findings[0]?.rule), [undefined, 'SHARE-DUPLICATE']);
  assert.deepEqual(json('check', at('one.txt'), share(2)).told.reports.map(({ findings }) => findings[0]?.rule), ['SHARE-SETS', undefined]);
});

test('scan: pictures into files that the neighbours take; a foreign one, and none is written', () => {
  const { code, told } = json('scan', picture(1), picture(3), '--out', at('scanned'), ...set());
  assert.deepEqual([code, told.facts['provenBy'], readdirSync(at('scanned'))], [0, 'its commitment in the facts of the set', ['share-1.pem', 'share-3.pem']]);
  for (const name of readdirSync(at('scanned'))) assert.equal(statSync(at('scanned', name)).mode & 0o777, 0o600);
  assert.equal(run('combine', at('scanned', 'share-1.pem'), at('scanned', 'share-3.pem'), '--out', at('from-scans')).code, 0);
  assert.deepEqual(readFileSync(at('from-scans')), key);
  assert.equal(run('scan', picture(1), picture(2, 'theirs'), '--out', at('no'), ...set()).code, 1);
  assert.equal(existsSync(at('no')), false);
});

test('without a set: two of one number are refused before anything is written or asked', () => {
  for (const [verb, files, more] of [
    ['print', [share(1), share(2), share(1)], ['--for', 'x', '--i-know']], ['print', [share(1), share(2), share(1, 'theirs')], ['--for', 'x', '--i-know']],
    ['scan', [picture(1), picture(2), picture(1)], []], ['scan', [picture(1), picture(2), picture(1, 'theirs')], []],
  ] as const) {
    const { code, told } = json(verb, ...files, '--out', at('no'), ...more);
    assert.deepEqual([code, told.reports.map(({ findings }) => findings[0]?.rule)], [1, [undefined, undefined, 'SHARE-DUPLICATE']]);
    assert.equal(existsSync(at('no')), false);
  }
});

test('type: not shown, a wrong word typed again by its number, proven by the commitment and saved', async () => {
  const words = wordsOn(at('pages', 'share-3.html'));
  const typing = async (args: readonly string[], keys: readonly (readonly [string, RegExp])[]) => {
    const { code, shown } = await onTerminal([process.execPath, CLI, 'share', 'type', ...args], async ({ until, type }) => {
      await until(/word {2}1 of 33/);
      for (const [text, answer] of keys) {
        type(text);
        await until(answer);
      }
    });
    printed += shown;
    return { code, shown };
  };
  const each = (list: readonly string[]): (readonly [string, RegExp])[] => list.map((word, i) => [`${word.slice(0, i % 2 === 0 ? 4 : 8)} `, i + 1 === list.length ? /\r {2}[✓✕]/ : new RegExp(`✓ word ${i + 1} `)] as const);
  const wrong = words[8] === 'academic' ? 'acid' : 'academic';
  // Three people at three terminals: none waits for another.
  const [saved, older, ended] = await Promise.all([
    typing([...set(), '--out', at('typed.pem')], [
      ['xyzzy ', /word 1 is not in the list/],
      ...each(words.with(8, wrong).slice(0, -1)),
      [`${words[32]!}\r`, /word 9 is probably wrong\. Compare it, and type it again\./],
      [`${words[8]!}\r`, /all 33 are in, and the checksum fits/],
    ]),
    typing([...set('newer')], each(words)),
    typing([...set()], [[`${words[0]!} `, /✓ word 1 /], ['\x1b', /Nothing was kept/]]),
  ]);
  assert.equal(saved.code, 0, saved.shown);
  assert.equal(statSync(at('typed.pem')).mode & 0o777, 0o600);
  assert.equal(run('combine', at('typed.pem'), picture(1), '--out', at('from-typed')).code, 0);
  assert.deepEqual(readFileSync(at('from-typed')), key);
  // Until they are in: afterwards the set is named, in words of its own. What the program's sentences hold may be a word of the sheet by chance.
  const screen = saved.shown.slice(0, saved.shown.indexOf('all 33 are in')).replaceAll(/word|list|type|again|order|paper/gi, '');
  for (const word of words) assert.ok(!new RegExp(`\\b${word}\\b`).test(screen), 'a word is on the screen');
  const dots = saved.shown.match(/••••/g)?.length;
  assert.equal(dots, 35, 'once for each word that was begun, whatever its length');
  assert.deepEqual([older.code, /SHARE-OLD-EPOCH/.test(older.shown)], [1, true]);
  assert.deepEqual([ended.code, /SHARE-TYPED/.test(ended.shown)], [1, true]);
});

test('SLIP-39 on paper: printed, and the words on the page are the file\'s', () => {
  assert.equal(run('print', at('words', 'share-1.txt'), at('words', 'share-2.txt'), '--out', at('slip39'), '--for', 'Root CA 2026', '--i-know').code, 0);
  assert.equal(wordsOn(at('slip39', 'share-2.html')).join(' '), readFileSync(at('words', 'share-2.txt'), 'utf8').trim());
});

test('form: blank, of as many words as are asked for', () => {
  assert.equal(run('form', '--out', at('form.html')).code, 0);
  assert.equal(run('form', '--out', at('form-20.html'), '--words', '20', '--rehearsal').code, 0);
  for (const [name, count] of [['form.html', 33], ['form-20.html', 20]] as const) assert.equal(readFileSync(at(name), 'utf8').match(/class="number"/g)?.length, count);
  assert.deepEqual(wordsOn(at('form.html')), []);
});

test('wrong calls: said as such, and nothing is written', async () => {
  for (const args of [
    ['print'], ['print', share(1)], ['print', share(1), '--out', at('new')], ['print', '--out', at('new'), '--for', 'x'], ['print', share(1), '--out', at('pages'), '--for', 'x'], ['print', share(1), '--out', at('new'), '--for', 'x'.repeat(61)], ['form'], ['form', share(1), '--out', at('new')],
    ['form', '--out', at('new'), '--words', '5'], ['form', '--out', at('form.html')], ['form', '--out', at('new'), '--set', at('ours', 'set.pem')], ['scan', '--out', at('new')], ['scan', at('ours-1.png')], ['scan', at('missing.png'), '--out', at('new')],
    ['type'], ['type', share(1), '--out', at('new')], ['type', '--out', at('key')], ['type', '--out', at('new'), '--i-know'],
  ]) await assert.rejects(paperCommand(args), (error: unknown) => error instanceof Usage, args.join(' '));
  assert.equal(run('form').code, 2);
  assert.equal(existsSync(at('new')), false);
  const { stdout } = spawnSync('setsid', ['--wait', process.execPath, CLI, 'share', 'type', '--out', at('new')], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  assert.match(stdout, /BOOTH_MISSING/);
  assert.deepEqual(readFileSync(at('key')), key);
});

test('nothing printed or shown in all of this holds a payload or two words of a sheet', () => {
  assert.ok(printed.length > 10_000);
  for (const name of ['ours', 'theirs', 'newer']) {
    for (const i of [1, 2, 3]) {
      const file = parseShareFile(new Uint8Array(readFileSync(share(i, name))));
      const payload = Buffer.from(file.form === 'record' ? file.share.payload : assert.fail(name));
      for (const form of ['hex', 'base64', 'base64url', 'latin1'] as const) assert.ok(!printed.includes(payload.toString(form).slice(0, 24)));
      if (file.form === 'record') assert.ok(!printed.includes(shareToQr(file.share).slice(-80, -60)));
    }
  }
  for (const page of ['pages', 'slip39'].flatMap((of) => readdirSync(at(of)).map((name) => at(of, name)))) {
    const words = wordsOn(page);
    for (let from = 0; from + 2 <= words.length; from++) assert.ok(!printed.toLowerCase().includes(words.slice(from, from + 2).join(' ')), page);
  }
});
