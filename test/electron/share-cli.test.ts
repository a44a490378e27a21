import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { parseShareFile } from '../../ceremonies/shares/share-file.ts';
import { conclave, type Ended } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'conclave-share-cli-'));
after(() => { rmSync(folder, { recursive: true, force: true }); });
const at = (...names: string[]): string => join(folder, ...names);

/** Everything that was printed, for the search for secrets at the end. */
let printed = '';
function run(...args: string[]): Ended<number | null> {
  const ended = conclave(['share', ...args]);
  printed += ended.out + ended.err;
  return ended;
}
interface Told { verified: boolean; rules: string[]; missing: number | null; facts: Record<string, unknown>; reports: { file: string; facts: Record<string, unknown>; findings: { rule: string; found: string }[] }[] }
function json(...args: string[]): { code: number | null; told: Told } {
  const { code, out, err } = run(...args, '--json');
  assert.equal(err, '', err);
  return { code, told: JSON.parse(out) as Told };
}

const key = randomBytes(32);
writeFileSync(at('key'), key);
const share = (i: number, of = 'ours'): string => at(of, `share-${i}.pem`);
const words = (i: number): string => at('words', `share-${i}.txt`);

test('split, inspect, check, combine: the key is back, every file new and its owner\'s alone', () => {
  const made = json('split', '--threshold', '2', '--shares', '3', '--in', at('key'), '--out', at('ours'), '--custodian', 'anna', '--custodian', 'ben', '--custodian', 'carla');
  assert.deepEqual([made.code, made.told.facts['quorumsTried'], made.told.facts['everyQuorum']], [0, 3, true]);
  assert.deepEqual(readdirSync(at('ours')), ['set.pem', 'share-1.pem', 'share-2.pem', 'share-3.pem']);
  assert.equal(statSync(at('ours')).mode & 0o777, 0o700);
  for (const name of readdirSync(at('ours'))) assert.equal(statSync(at('ours', name)).mode & 0o777, 0o600);
  const seen = json('inspect', share(2));
  assert.deepEqual([seen.code, seen.told.reports[0]?.facts['custodian'], seen.told.reports[0]?.facts['share']], [0, 'ben', 2]);
  const one = json('check', share(3));
  assert.deepEqual([one.code, one.told.rules, one.told.missing], [1, ['SHARES-TOO-FEW'], 1]);
  assert.equal(json('check', share(1), share(3), '--set', at('ours', 'set.pem')).code, 0);
  const back = json('combine', share(3), share(1), '--out', at('back'));
  assert.equal(back.code, 0);
  assert.deepEqual(readFileSync(at('back')), key);
  assert.equal(statSync(at('back')).mode & 0o777, 0o600);
});

test('a bad file is named with its rule; nothing is combined, and no file is left behind', () => {
  assert.equal(run('split', '--threshold', '2', '--shares', '3', '--in', at('key'), '--out', at('theirs')).code, 0);
  assert.equal(run('split', '--threshold', '2', '--shares', '3', '--in', at('key'), '--out', at('newer'), '--after', at('ours', 'set.pem')).code, 0);
  const spoiled = readFileSync(share(2), 'utf8').split('\n');
  const last = spoiled.findIndex((line) => line === '-----END CONCLAVE SHARE-----') - 1;
  spoiled[last] = `${spoiled[last]!.startsWith('A') ? 'B' : 'A'}${spoiled[last]!.slice(1)}`;
  writeFileSync(at('spoiled.pem'), spoiled.join('\n'));
  writeFileSync(at('noise'), randomBytes(500));
  for (const [file, rule] of [[at('spoiled.pem'), 'SHARE-DAMAGED'], [at('noise'), 'SHARE-DAMAGED'], [share(3, 'theirs'), 'SHARE-FOREIGN-SET'], [share(3), 'SHARE-DUPLICATE']] as const) {
    for (const verb of ['check', 'combine'] as const) {
      const { code, told } = json(verb, share(1), share(3), file, ...(verb === 'combine' ? ['--out', at('no')] : []));
      assert.deepEqual([code, told.verified, told.reports.map(({ findings }) => findings.map((one) => one.rule))], [1, false, [[], [], [rule]]], file);
      assert.equal(existsSync(at('no')), false);
    }
  }
  assert.deepEqual(json('check', share(1), share(2), '--set', at('newer', 'set.pem')).told.reports.map(({ findings }) => findings[0]?.rule), ['SHARE-OLD-EPOCH', 'SHARE-OLD-EPOCH']);
  assert.deepEqual(json('check', share(1), share(1, 'theirs')).told.rules, ['SHARE-SETS']);
});

test('words: split, inspect, the wrong word by its place and never by its name, combine with the passphrase', () => {
  writeFileSync(at('passphrase'), 'a passphrase of a test\n');
  assert.equal(run('split', '--slip39', '--threshold', '2', '--shares', '3', '--in', at('key'), '--out', at('words'), '--passphrase', at('passphrase')).code, 0);
  assert.equal(json('inspect', words(3)).told.reports[0]?.facts['share'], 3);
  const right = readFileSync(words(2), 'utf8').trim().split(' ');
  assert.equal(right.length, 33);
  writeFileSync(at('wrong.txt'), right.with(16, right[16] === 'academic' ? 'acid' : 'academic').join(' '));
  const { code, told } = json('check', words(1), at('wrong.txt'), words(3));
  assert.deepEqual([code, told.reports.map(({ findings }) => findings[0]?.found)], [1, [undefined, 'word 17 is probably wrong', undefined]]);
  assert.equal(run('combine', words(1), words(2), '--out', at('from-words'), '--passphrase', at('passphrase')).code, 0);
  assert.deepEqual(readFileSync(at('from-words')), key);
});

test('wrong calls: exit code 2; what exists is not touched', () => {
  const before = readFileSync(at('back'));
  const split = ['split', '--threshold', '2', '--shares', '3', '--in', at('key')];
  for (const args of [
    [], ['lose'], ['split'], ['check'], split, [...split, '--out', at('ours')], [...split, '--out', at('new'), '--custodian', 'anna'], [...split, '--out', at('new'), '--slip39', '--custodian', 'anna'],
    [...split, '--out', at('new'), '--passphrase', at('passphrase')], ['combine', share(1), share(2)], ['combine', share(1), share(2), '--out', at('back')], ['check', at('missing')], ['check', share(1), '--out', at('new')],
    ['combine', share(1), share(2), '--out', at('new'), '--passphrase', at('passphrase')],
  ]) assert.equal(run(...args).code, 2, args.join(' '));
  assert.deepEqual(readFileSync(at('back')), before);
  for (const [args, rule] of [[['--threshold', '1', '--shares', '3'], 'SHARE-NUMBERS'], [['--threshold', '2', '--shares', '17', '--slip39'], 'SHARE-NUMBERS'], [['--threshold', '4', '--shares', '3'], 'SHARE-NUMBERS']] as const) {
    const { code, told } = json('split', ...args, '--in', at('key'), '--out', at('new'));
    assert.deepEqual([code, told.rules], [1, [rule]]);
  }
  writeFileSync(at('short'), randomBytes(31));
  assert.deepEqual(json('split', '--threshold', '2', '--shares', '3', '--in', at('short'), '--out', at('new')).told.rules, ['SHARE-LENGTH']);
  writeFileSync(at('other'), randomBytes(32));
  assert.deepEqual(json('split', '--threshold', '2', '--shares', '3', '--in', at('other'), '--out', at('new'), '--after', at('ours', 'set.pem')).told.rules, ['SHARE-SET']);
  assert.equal(existsSync(at('new')), false);
});

test('nothing printed in all of this holds the key, a payload, the passphrase or a run of words', () => {
  assert.ok(printed.length > 5000);
  const secrets = [key, ...['ours', 'theirs', 'newer'].flatMap((of) => [1, 2, 3].map((i) => {
    const file = parseShareFile(new Uint8Array(readFileSync(share(i, of))));
    return Buffer.from(file.form === 'record' ? file.share.payload : assert.fail(of));
  }))];
  for (const secret of secrets) for (const form of ['hex', 'base64', 'base64url', 'latin1'] as const) assert.ok(!printed.includes(secret.toString(form).slice(0, 24)));
  assert.ok(!printed.includes('a passphrase of a test'));
  for (const i of [1, 2, 3]) {
    const mnemonic = readFileSync(words(i), 'utf8').trim().split(' ');
    for (let from = 0; from + 2 <= mnemonic.length; from++) assert.ok(!printed.includes(mnemonic.slice(from, from + 2).join(' ')));
  }
});
