/**
 * A key from its ceremony into escrow and out again, with an agent whose key OpenSSL made: the envelope opened by OpenSSL, what is refused
 * on the way, the released key the same as before, and the backup key nowhere on the machine.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { forWebCrypto, toBase64url, utf8 } from '../../../ceremonies/bytes.ts';
import { readBackupRecord } from '../../../ceremonies/backup-record.ts';
import { readEscrowRecord } from '../../../ceremonies/escrow.ts';
import { foldInventory, type EscrowCopy, type JudgedRecord } from '../../../ceremonies/inventory.ts';
import { readKeyRecord } from '../../../ceremonies/key-record.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { secretCommitment } from '../../../ceremonies/shares/share.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import type { BoothPort, House } from '../../../electron/processes.ts';
import { ask, playOn, playRehearsal, type Play } from '../../../electron/rehearsal.ts';
import { openHouse, remove, temporaryFolder } from '../house.ts';
import { filesOf } from './bundles.ts';
import { witnessOpenssl } from '../../witness.ts';

const module = 'software';
let home: string;
let agent: string;
let house: House<BoothPort>;
before(async () => {
  home = temporaryFolder('escrow');
  agent = temporaryFolder('agent');
  house = await openHouse(home);
});
after(async () => {
  await house.stop();
  remove(home);
  remove(agent);
});

const openssl = (...args: string[]): Buffer => execFileSync(witnessOpenssl(), args, { cwd: agent, stdio: ['ignore', 'pipe', 'pipe'] });
const read = (name: string) => forWebCrypto(new Uint8Array(readFileSync(join(agent, name))));
const input = (name: string, bytes: Uint8Array) => ({ file: name, bytes: forWebCrypto(bytes) });
const isRule = (rule: string) => (error: unknown) => (error instanceof Refused && error.refusal.rule === rule ? true : assert.fail(`${rule} expected: ${String(error)}`));

const play = (script: string, more: Partial<Play>) => playRehearsal(house, { script, parameters: {}, module, hasher: nativeHasher, ...more });

test('deposited, opened by OpenSSL, refused to everybody else, released onto another token: the same key, and the backup key nowhere', async () => {
  // The agent's key is made and kept by a program that is not ours; an impostor has one too.
  for (const name of ['agent', 'impostor']) {
    openssl('genpkey', '-algorithm', 'ML-KEM-1024', '-out', `${name}.clear`);
    openssl('pkey', '-in', `${name}.clear`, '-pubout', '-out', `${name}.pub`);
    openssl('pkcs8', '-topk8', '-v2', 'aes-256-cbc', '-in', `${name}.clear`, '-out', `${name}.key`, '-passout', `pass:${REHEARSAL_PIN}`);
  }
  openssl('pkcs8', '-topk8', '-v2', 'aes-256-cbc', '-in', 'agent.clear', '-out', 'other-password.key', '-passout', 'pass:something else');

  const { bindings, inputs: { backup: { bytes: backup } = assert.fail() } } = await ask(house, { call: 'provision', script: 'escrow-deposit', parameters: { custodians: 2 }, module, brought: ['agent'], ca: { algorithm: 'ecdsa-p256', place: 'token' } });
  const record = readBackupRecord(backup);
  const terms = { 'agent-name': 'Notary Wendelin', why: 'Continuity', authority: 'Resolution 17', conditions: 'A written request' };
  const deposit = await play('escrow-deposit', { parameters: { custodians: 2, ...terms }, bindings, inputs: { backup: input('backup.json', backup), agent: input('agent.pub', read('agent.pub')) } });
  const left = await filesOf(house, deposit);
  const escrow = readEscrowRecord(left.get('escrow.json') ?? assert.fail());
  const envelope = Uint8Array.from(left.get('escrow.cms') ?? assert.fail());
  assert.deepEqual([escrow.agent.algorithm, escrow.agent.name, escrow.purpose, escrow.set.id], ['ML-KEM-1024', 'Notary Wendelin', 'Continuity', record.set.id]);

  // The agent verifies with OpenSSL: what VERIFY.md says, and the very bytes.
  for (const name of ['escrow.cms', 'escrow.json']) writeFileSync(join(agent, name), left.get(name)!);
  const guide = Buffer.from(left.get('VERIFY.md')!).toString();
  const [commands = ''] = /\{ printf 'conclave-backup-key\/1'[\s\S]*?(?=```)/.exec(guide) ?? [];
  assert.ok(commands.includes(record.set.secret));
  writeFileSync(join(agent, 'run'), `openssl() { ${witnessOpenssl()} "$@"; }\nb64u() { openssl base64 -A | tr '/+' '_-' | tr -d '='; }\nb64d() { tr '_-' '/+' | awk '{ n = length($0) % 4; print $0 (n ? substr("===", n) : "") }' | openssl base64 -d -A; }\n${commands.replace('agent.key', 'agent.clear')}`);
  assert.equal(execFileSync('sh', ['run'], { cwd: agent, encoding: 'utf8' }).trim(), record.set.secret);
  const secret = openssl('cms', '-decrypt', '-binary', '-inform', 'DER', '-in', 'escrow.cms', '-inkey', 'agent.clear');
  assert.equal(secretCommitment(record.set.id, new Uint8Array(secret)), record.set.secret);

  // What does not belong together is no ceremony.
  const files = { backup: input('backup.json', backup), escrow: input('escrow.json', left.get('escrow.json')!), envelope: input('escrow.cms', envelope) };
  const json = (change: object) => input('escrow.json', utf8(JSON.stringify({ ...escrow, ...change })));
  const damaged = envelope.slice();
  damaged[damaged.length - 1]! ^= 1;
  for (const [rule, inputs] of [
    ['ESCROW-ENVELOPE', { ...files, envelope: input('escrow.cms', damaged) }],
    ['DER-STRUCTURE', { ...files, envelope: input('escrow.cms', envelope.subarray(0, 300)) }],
    ['CMS-CONTENT-TYPE', { ...files, envelope: input('escrow.cms', Uint8Array.from([0x30, 0x0f, 6, 9, 42, 134, 72, 134, 247, 13, 1, 7, 1, 0xa0, 2, 0x30, 0])) }],
    ['ESCROW-TERMS', { ...files, escrow: json({ conditions: 'None' }) }],
    ['ESCROW-OF-BACKUP', { ...files, escrow: json({ set: { ...escrow.set, epoch: 2 } }) }],
    ['ESCROW-MODE', { ...files, escrow: json({ mode: 'real' }) }],
    ['BACKUP-MODE', { ...files, backup: input('backup.json', utf8(JSON.stringify({ ...record, mode: 'real' }))) }],
  ] as const) await assert.rejects(play('escrow-release', { inputs }), isRule(rule), rule);

  const release = await play('escrow-release', { inputs: files, until: (state) => state.current?.step.id === 'release' && state.current.phase === 'ready' });
  const act = (name: string) => ask(house, { call: 'act', ceremony: release, step: 'release', acceptFinalTry: false, file: input(name, read(name)) });
  await assert.rejects(ask(house, { call: 'act', ceremony: release, step: 'release', acceptFinalTry: false }), isRule('ESCROW-KEY-FILE'), 'no stand-in has this agent\'s key');
  for (const [name, rule] of [['agent.clear', 'IMPORT-ENCRYPTED'], ['impostor.key', 'ESCROW-AGENT'], ['other-password.key', 'IMPORT-PASSWORD']] as const) await assert.rejects(act(name), isRule(rule), rule);
  await act('agent.key');
  await playOn(house, release, { hasher: nativeHasher });
  const after = await filesOf(house, release);
  const key = readKeyRecord(Uint8Array.from(after.get('key.json') ?? assert.fail()));
  assert.deepEqual([key.key.spki, key.certificate], [record.key.spki, record.certificate]);
  assert.notEqual(key.token, record.token);

  const records: JudgedRecord[] = [];
  for (const ceremony of [deposit, release]) records.push(await ask(house, { call: 'verify-own', ceremony }));
  const known = foldInventory(records, nativeHasher).keys.find(({ copies }) => copies.some(({ kind }) => kind === 'escrow')) ?? assert.fail();
  assert.deepEqual(known.copies.flatMap((copy) => (copy.kind === 'escrow' ? [copy] : [])).map(({ agent: who, released }: EscrowCopy) => [who, released?.ceremony]), [['Notary Wendelin', release]], 'one copy, whoever tells of it');

  // The canary: neither the backup key nor the agent's key in clear is in any file of the machine, in any form.
  const clear = Buffer.from(readFileSync(join(agent, 'agent.clear'), 'latin1').replace(/-----[^\n]*\n|\n/g, ''), 'base64').subarray(-64);
  for (const canary of [secret, clear]) {
    for (const entry of readdirSync(home, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const bytes = readFileSync(join(entry.parentPath, entry.name));
      for (const form of [canary, ...[toBase64url(canary), canary.toString('hex'), canary.toString('base64')].map((text) => Buffer.from(text))]) assert.equal(bytes.indexOf(form), -1, entry.name);
    }
  }
});
