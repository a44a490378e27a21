/** The `conclave` command as people and scripts meet it: a process with arguments, two streams and an exit code. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { unzipSync, zipSync } from 'fflate';
import * as z from 'zod';
import { parse } from 'yaml';
import { root } from '../../build/machine.mjs';
import type { Verdict } from '../../ceremonies/verify.ts';
import type { Estate } from '../../electron/contract.ts';
import { remove, SCRIPTS, temporaryFolder, withSoftHsm } from './house.ts';

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command in a folder of its own. */
function conclave(args: readonly string[], { program = 'electron/cli.ts', env = {} }: { program?: string; env?: Record<string, string> } = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, program), ...args], { cwd: folder, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => { stdout += chunk.toString(); });
    child.stderr.on('data', (chunk: Buffer) => { stderr += chunk.toString(); });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

let folder: string;
/** A bundle that the command itself made. */
let bundle: string;
let rehearsal: Ended;
const file = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const script = join(SCRIPTS, 'root-ca.yaml');

before(async () => {
  folder = temporaryFolder('cli');
  rehearsal = await conclave(['rehearse', 'root-ca', '--out', 'deep/folder', '--set', 'algorithm=ecdsa-p256', '--set', 'shares=2']);
  bundle = rehearsal.stdout.trimEnd().split('\n').at(-1) ?? '';
});
after(() => remove(folder));

describe('rehearse', () => {
  test('carries the ceremony out and prints the path of the bundle last', () => {
    assert.equal(rehearsal.code, 0, rehearsal.stderr);
    assert.equal(rehearsal.stdout, `${bundle}\n`, 'nothing else on stdout');
    assert.equal(dirname(bundle), join(folder, 'deep/folder'));
    assert.match(basename(bundle), /^root-ca-[0-9a-f]{8}\.zip$/);
    assert.ok(existsSync(bundle));
    assert.match(rehearsal.stderr, /REHEARSAL with stand-ins/);
    assert.match(rehearsal.stderr, /Act 1 of 6: Opening\n[\s\S]*Act 6 of 6: /);
  });

  test('leaves a data folder that was named, with the record in it', async () => {
    const home = join(folder, 'home');
    const { code, stderr } = await conclave(['rehearse', 'root-ca', '--home', home, '--set', 'shares=2', '--set', 'algorithm=ecdsa-p256']);
    assert.equal(code, 0, stderr);
    assert.ok(existsSync(join(home, 'ledger.sqlite')));
    assert.equal(readdirSync(folder).filter((name) => name.endsWith('.zip')).length, 1, 'the bundle is in the current folder');
  });

  test('refuses a script that is not installed, and parameters that contradict each other, by name', async () => {
    const unknown = await conclave(['rehearse', 'coffee']);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /✕ SCRIPT-KNOWN\n {2}expected: one of: .*root-ca/);
    const tooMany = await conclave(['rehearse', 'root-ca', '--set', 'shares=2', '--set', 'threshold=3']);
    assert.equal(tooMany.code, 1);
    assert.match(tooMany.stderr, /✕ SET-THRESHOLD\n {2}expected: .+\n {2}found: .+\n {2}next: .+/);
  });

  test('Ed25519 on SoftHSM ends at the inspection of the token, before a key is made: TOKEN-CAN', async () => {
    const home = join(folder, 'softhsm-home');
    withSoftHsm(home);
    const { code, stdout, stderr } = await conclave(
      ['rehearse', 'root-ca', '--home', home, '--module', 'softhsm', '--set', 'algorithm=ed25519', '--set', 'shares=2']);
    assert.equal(code, 1, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, /✕ TOKEN-CAN\n {2}expected: .*ed25519/);
    assert.doesNotMatch(stderr, /Generate the root key/i);
  });
});

describe('verify', () => {
  test('accepts the bundle, and says that the signers are not pinned', async () => {
    const { code, stdout, stderr } = await conclave(['verify', bundle]);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^Root CA key generation \(REHEARSAL\), \d+ entries\n/);
    assert.match(stdout, /\n✓ valid, self-consistent, signers not pinned\n$/);
    assert.match(stdout, /✓ The bundle: all \d+ files agree with the record/);
  });

  test('--json is the whole verdict', async () => {
    const verdict = await verdictOf(bundle);
    assert.equal(verdict.verdict, 'valid');
    assert.equal(verdict.mode, 'rehearsal');
    assert.deepEqual(verdict.findings, []);
    assert.equal(verdict.signers.length, 5);
    assert.equal(verdict.entries, verdict.reverified.length);
  });

  test('accepts the bare transcript of the bundle', async () => {
    const { code, stdout } = await conclave(['verify', file('transcript.jsonl', unpacked()['transcript.jsonl']!)]);
    assert.equal(code, 0, stdout);
  });

  test('names rule, entry and reason where a bundle was changed, and exits with 1', async () => {
    const files = unpacked();
    const lines = new TextDecoder().decode(files['transcript.jsonl']).split('\n');
    const changed = lines.findIndex((line) => line.includes('"kind":"witnessed"'));
    lines[changed] = lines[changed]!.replace(/"by":"[^"]*"/, '"by":"auditor"');
    const tampered = file('tampered.zip', zipSync({ ...files, 'transcript.jsonl': new TextEncoder().encode(lines.join('\n')) }, { mtime: new Date(1980, 0, 1) }));
    const { code, stdout } = await conclave(['verify', tampered]);
    assert.equal(code, 1, stdout);
    assert.match(stdout, new RegExp(`✕ CHAIN at entry ${changed + 1}: expected the hash of the line before; found another one\\. .+`));
    assert.match(stdout, /✕ BUNDLE-MANIFEST: expected transcript\.jsonl as the manifest lists it; found another content/);
    assert.match(stdout, /\n✕ refused/);
    const verdict = await verdictOf(tampered);
    assert.equal(verdict.verdict, 'refused');
    assert.ok(verdict.findings.some(({ rule, seq }) => rule === 'CHAIN' && seq === changed + 1));
  });

  test('a record without its end is open, not valid', async () => {
    const lines = new TextDecoder().decode(unpacked()['transcript.jsonl']).split('\n');
    const { code, stdout } = await conclave(['verify', file('short.jsonl', `${lines.slice(0, 40).join('\n')}\n`)]);
    assert.equal(code, 1);
    assert.match(stdout, /✕ RECORD-OPEN: .*\n✕ open/);
  });

  test('files that are no record are refused by name: no stack, no crash', async () => {
    for (const [name, bytes] of [['empty', ''], ['text', 'hello\n'], ['zip', 'PK\x03\x04'], ['binary', new Uint8Array(1000).fill(0xff)]] as const) {
      const { code, stdout, stderr } = await conclave(['verify', file(name, bytes)]);
      assert.equal(code, 1, name);
      assert.match(stdout, /✕ [A-Z]+(-[A-Z]+)+[: ]/, name);
      assert.equal(stderr, '', name);
    }
  });

  describe('with a trust file', () => {
    const trustFile = async (name: string, change: (person: { name: string; classical: string; pq: string }, index: number) => object = (person) => person) => {
      const { signers } = await verdictOf(bundle);
      return file(name, JSON.stringify({ people: signers.map(({ name: who, classical, pq }, index) => change({ name: who, classical, pq }, index)) }));
    };

    test('pins the signers', async () => {
      const { code, stdout } = await conclave(['verify', bundle, '--trust', await trustFile('trust.json')]);
      assert.equal(code, 0, stdout);
      assert.match(stdout, /✓ Trust: the signers are those of the trust file\n/);
      assert.match(stdout, /\n✓ valid, signers pinned by the trust file\n$/);
    });

    test('refuses keys that it does not know, and keys of another person', async () => {
      const strangers = await trustFile('strangers.json', (person, index) => index === 1 ? { ...person, pq: 'A'.repeat(43) } : person);
      const unknown = await conclave(['verify', bundle, '--trust', strangers]);
      assert.equal(unknown.code, 1);
      assert.match(unknown.stdout, /✕ TRUST-SIGNER: expected keys that the trust file names, for custodian-1/);
      assert.match(unknown.stdout, /\n✕ refused, signers pinned/);
      const renamed = await conclave(['verify', bundle, '--trust', await trustFile('renamed.json', (person, index) => index === 0 ? { ...person, name: 'Somebody Else' } : person)]);
      assert.equal(renamed.code, 1);
      assert.match(renamed.stdout, /✕ TRUST-SIGNER: expected Somebody Else; found Stand-in officer with that person's keys/);
    });
  });
});

describe('script', () => {
  const text = readFileSync(script, 'utf8');
  const lint = (name: string, changed: string, ...args: string[]) => conclave(['script', 'lint', file(name, changed), ...args]);

  test('lint accepts the script that ships, and says its words', async () => {
    const { code, stdout } = await conclave(['script', 'lint', script]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^✓ root-ca\.yaml: \d+ steps, about \d+ minutes\n {2}([a-z]+ ?)+\n$/);
  });

  test('lint names file, line and rule of every fault', async () => {
    const lines = text.split('\n');
    const title = lines.findIndex((line) => line.startsWith('title:'));
    const { code, stdout } = await lint('bad.yaml', lines.toSpliced(title + 1, 0, 'mood: festive').join('\n'));
    assert.equal(code, 1);
    assert.match(stdout, new RegExp(`^bad\\.yaml:${title + 2}: [A-Z-]+: expected .+; found .*mood.*\\. .+`, 'm'));
    const broken = await lint('broken.yaml', `${text}\n  - [`);
    assert.equal(broken.code, 1);
    assert.match(broken.stdout, /^broken\.yaml:\d+: [A-Z-]+: /);
  });

  test('lint walks the model of the room with the parameters given: M > N', async () => {
    const { code, stdout } = await conclave(['script', 'lint', script, '--set', 'threshold=4']);
    assert.equal(code, 1);
    assert.match(stdout, /^root-ca\.yaml:\d+: SET-THRESHOLD: expected .+; found .+/);
    const json = await conclave(['script', 'lint', script, '--set', 'threshold=4', '--json']);
    assert.equal(json.code, 1);
    assert.deepEqual((JSON.parse(json.stdout) as { faults: { rule: string }[] }).faults.map(({ rule }) => rule), ['SET-THRESHOLD']);
    assert.equal((await conclave(['script', 'lint', script, '--set', 'threshold=4', '--set', 'shares=5'])).code, 0);
  });

  test('a value that its parameter does not allow is refused by name', async () => {
    for (const pair of ['years=99', 'years=soon', 'algorithm=rot13', 'common-name=a\u202eb']) {
      const { code, stderr } = await conclave(['script', 'lint', script, '--set', pair]);
      assert.equal(code, 1, pair);
      assert.match(stderr, /^✕ [A-Z]+(-[A-Z]+)+\n {2}expected: .+\n {2}found: .+\n {2}next: .+/, pair);
    }
  });

  test('schema is JSON Schema: it fits the script that ships and nothing that is none', async () => {
    const { code, stdout } = await conclave(['script', 'schema']);
    assert.equal(code, 0);
    const schema = JSON.parse(stdout) as Parameters<typeof z.fromJSONSchema>[0];
    assert.equal((schema as { $schema?: string }).$schema, 'https://json-schema.org/draft/2020-12/schema');
    const fits = z.fromJSONSchema(schema);
    const good = parse(text) as object;
    assert.equal(fits.safeParse(good).success, true);
    assert.equal(fits.safeParse({ ...good, mood: 'festive' }).success, false);
    assert.equal(fits.safeParse({ ...good, acts: 'none' }).success, false);
  });
});

test('tokens --json on an empty data folder: the software module, no tokens', async () => {
  const home = join(folder, 'empty-home');
  const { code, stdout, stderr } = await conclave(['tokens', '--json'], { env: { CONCLAVE_HOME: home } });
  assert.equal(code, 0, stderr);
  const { modules } = JSON.parse(stdout) as Estate;
  assert.deepEqual(modules.map(({ name, problem, slots }) => ({ name, problem, slots })), [{ name: 'software', problem: null, slots: [] }]);
  assert.match((await conclave(['tokens', '--home', home])).stdout, /^software: .+\n$/);
});

test('tokens names a module that cannot be loaded, and exits with 1', async () => {
  const home = join(folder, 'broken-home');
  mkdirSync(home, { mode: 0o700 });
  writeFileSync(join(home, 'modules.json'), JSON.stringify({ modules: [{ kind: 'pkcs11', name: 'gone', path: '/nowhere.so' }] }), { mode: 0o600 });
  const { code, stdout } = await conclave(['tokens', '--home', home]);
  assert.equal(code, 1);
  assert.match(stdout, /^gone: MODULE-FILE: .+$/m);
});

describe('help', () => {
  test('is there for the command and for each of its commands, on stdout, with exit code 0', async () => {
    const help = await conclave(['--help']);
    assert.equal(help.code, 0);
    assert.equal(help.stderr, '');
    const commands = [...new Set([...help.stdout.matchAll(/^ {2}conclave ([a-z]+)/gm)].map(([, name]) => name!))];
    for (const wanted of ['rehearse', 'verify', 'script', 'tokens', 'bench']) assert.ok(commands.includes(wanted), wanted);
    await Promise.all(commands.map(async (name) => {
      const { code, stdout, stderr } = await conclave([name, '--help']);
      assert.equal(code, 0, name);
      assert.match(stdout, new RegExp(`^conclave ${name}\\b`), name);
      assert.equal(stderr, '', name);
    }));
  });

  test('the installed command is the same one, run from wherever somebody stands', async () => {
    const version = `${(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version}\n`;
    assert.deepEqual(await conclave(['--version'], { program: 'build/conclave.mjs' }), { code: 0, stdout: version, stderr: '' });
    copyFileSync(bundle, join(folder, 'here.zip'));
    assert.equal((await conclave(['verify', 'here.zip'], { program: 'build/conclave.mjs' })).code, 0);
  });
});

test('a wrong call says what is wrong on stderr, nothing on stdout, and exits with 2', async () => {
  const noJson = file('no.json', '{');
  const noTrust = file('no-trust.json', '{"people":[]}');
  const calls: readonly (readonly [args: readonly string[], says: RegExp])[] = [
    [[], /conclave rehearse SCRIPT/],
    [['dance'], /no command dance/],
    [['rehearse'], /which script/],
    [['rehearse', 'root-ca', 'another'], /which script/],
    [['rehearse', 'root-ca', '--colour'], /--colour/],
    [['rehearse', 'root-ca', '--set', 'moon=full'], /--set moon=full: no such parameter\. There are: algorithm, .*threshold/],
    [['verify'], /which file/],
    [['verify', 'nowhere.zip'], /cannot read nowhere\.zip: ENOENT/],
    [['verify', 'one', 'two'], /which file/],
    [['verify', bundle, '--trust', 'nowhere.json'], /cannot read nowhere\.json: ENOENT/],
    [['verify', bundle, '--trust', noJson], /no\.json is not a trust file/],
    [['verify', bundle, '--trust', noTrust], /no-trust\.json is not a trust file: people/],
    [['script'], /lint FILE, or schema/],
    [['script', 'dance'], /lint FILE, or schema/],
    [['script', 'lint'], /which file/],
    [['script', 'lint', 'nowhere.yaml'], /cannot read nowhere\.yaml: ENOENT/],
    [['script', 'lint', script, '--set', 'moon'], /--set moon: no such parameter/],
    [['tokens', 'all'], /all/],
    [['bench', '--only', 'moon'], /--only moon: .*There are: verify, append, list, sign, check, make, split, combine, seal, open, start, memory/],
    [['bench', '--fast'], /--fast/],
  ];
  for (const [args, says] of calls) {
    const { code, stdout, stderr } = await conclave(args);
    const call = args.join(' ');
    assert.equal(code, 2, `${call}: ${stderr}`);
    assert.equal(stdout, '', call);
    assert.match(stderr, says, call);
    assert.doesNotMatch(stderr, /\n\s+at .+:\d+:\d+/, `${call}: a stack is no help`);
  }
});

test('a reader that stops reading early is no error', async () => {
  const child = spawn(process.execPath, [join(root, 'electron/cli.ts'), 'verify', bundle, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => { stderr += chunk.toString(); });
  assert.deepEqual(await new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal }))), { code: 0, signal: null });
  assert.equal(stderr, '');
});

async function verdictOf(path: string): Promise<Verdict> {
  return JSON.parse((await conclave(['verify', path, '--json'])).stdout) as Verdict;
}

function unpacked(): Record<string, Uint8Array> {
  return unzipSync(readFileSync(bundle));
}
