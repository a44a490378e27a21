/** Changing tokens in a terminal: SoftHSM behind modules.json, a blank token to begin with, every verb, and the logbook afterwards. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fromBase64url } from '../../ceremonies/bytes.ts';
import { readKeyRecord } from '../../ceremonies/key-record.ts';
import { REHEARSAL_PIN } from '../../electron/devices/protocol.ts';
import { CLI, conclaveIn } from './command.ts';
import { remove, softHsmEntry, SOFTHSM, temporaryFolder, withSoftHsm, writeModules } from './house.ts';
import { onTerminal } from './terminal.ts';

let home: string;
let conf: string;
/** `--module`, `--token` of the token that the first test makes. */
let on: string[] = [];

const { run: conclave } = conclaveIn(() => home);
const token = (verb: string, ...args: string[]) => conclave('token', verb, ...on, '--stand-in', ...args);
async function done(verb: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await token(verb, ...args);
  assert.equal(code, 0, `${verb}: ${err}${out}`);
  return out;
}
async function refused(rule: string, verb: string, ...args: string[]): Promise<void> {
  const { code, err } = await token(verb, ...args);
  assert.equal(code, 1, err);
  assert.match(err, new RegExp(`^✕ ${rule}$`, 'm'));
}
const tool = (...args: string[]) => execFileSync('pkcs11-tool', ['--module', SOFTHSM, '--token-label', 'REHEARSAL HSM', '--login', '--pin', REHEARSAL_PIN, ...args], { env: { ...process.env, SOFTHSM2_CONF: conf }, stdio: 'pipe' }).toString();
const where = (label: string, kind: string) => ['--where', `CKA_LABEL=${label}`, '--where', `CKA_CLASS=${kind}`];

before(() => {
  home = temporaryFolder('admin-cli');
  conf = withSoftHsm(home);
});
after(() => { remove(home); });

test('a blank token is initialised, and its user PIN set by the SO', async () => {
  on = ['--module', 'softhsm', '--token', 'slot:0'];
  const { code, out, err } = await conclave('token', 'init', ...on, '--stand-in', '--label', 'REHEARSAL HSM', '--json');
  assert.equal(code, 0, err);
  const { result } = JSON.parse(out) as { result: { after: { serial: string; label: string } } };
  assert.equal(result.after.label, 'REHEARSAL HSM');
  on = ['--module', 'softhsm', '--token', result.after.serial];
  await refused('CKR_USER_PIN_NOT_INITIALIZED', 'generate', '--label', 'early', '--template', 'signing-ec-p256');
  await done('unblock');
  assert.equal(tool('--list-objects'), '');
});

test('keys are made by template or purpose; a danger is refused until somebody answers for it; another program sees them', async () => {
  await done('generate', '--label', 'KEK', '--template', 'key-encryption-aes-256');
  await done('generate', '--label', 'Sig', '--kind', 'ec-p256', '--for', 'signing');
  const extractable = ['--label', 'Data', '--kind', 'aes-256', '--for', 'data-encryption', '--attribute', 'extractable=true', '--attribute', 'wrapWithTrusted=false'];
  await refused('KEY-EXTRACTABLE', 'generate', ...extractable);
  assert.match(await done('generate', ...extractable, '--despite', 'KEY-EXTRACTABLE'), /despite KEY-EXTRACTABLE, which the officer answers for/);
  await refused('KEY-WRAP-DECRYPT', 'generate', '--label', 'Bad', '--kind', 'aes-256', '--for', 'key-encryption', '--attribute', 'decrypt=true');
  const seen = tool('--list-objects');
  for (const label of ['KEK', 'Sig', 'Data']) assert.match(seen, new RegExp(`label: +${label}`));
  assert.doesNotMatch(seen, /Bad/);
  assert.match(await done('self-test', ...where('Sig', 'CKO_PRIVATE_KEY')), /✓ sign and verify/);
});

test('a key that no ceremony made gets its record, of either half, for ceremonies to find it by; a key that signs nothing gets none', async () => {
  const [one, two] = [join(home, 'sig.json'), join(home, 'sig-public.json')];
  assert.match(await done('key-record', ...where('Sig', 'CKO_PRIVATE_KEY'), '--out', one), /Sig: ecdsa-p256, without a certificate/);
  const { code } = await conclave('token', 'key-record', ...on, ...where('Sig', 'CKO_PUBLIC_KEY'), '--out', two);
  assert.equal(code, 0, 'nobody need log in for it');
  assert.equal(readFileSync(one, 'utf8'), readFileSync(two, 'utf8'));
  assert.equal(readKeyRecord(new Uint8Array(readFileSync(one))).token, on[3]);
  await refused('KEY-RECORD-POSSIBLE', 'key-record', ...where('KEK', 'CKO_SECRET_KEY'), '--out', join(home, 'kek.json'));
  await refused('ONE-MATCH', 'key-record', '--where', 'CKA_LABEL=Sig', '--out', join(home, 'both.json'));
  for (const args of [[...where('Sig', 'CKO_PRIVATE_KEY')], ['--out', join(home, 'no.json')], [...where('Sig', 'CKO_PRIVATE_KEY'), '--out', one]]) assert.equal((await token('key-record', ...args)).code, 2, args.join(' '));
  for (const name of ['kek.json', 'both.json', 'no.json']) assert.equal(existsSync(join(home, name)), false, name);
});

test('a key leaves wrapped and rehearsed, is destroyed by its words, and comes back', async () => {
  const file = join(home, 'data.json');
  assert.match(await done('wrap', '--where', 'CKA_LABEL=Data', '--under', 'CKA_LABEL=KEK', '--method', 'AES-KWP', '--out', file), /✓ verified: rehearsed/);
  await refused('DESTROY-TYPED', 'destroy', '--where', 'CKA_LABEL=Data', '--typed', 'Data');
  assert.match(tool('--list-objects'), /Data/);
  await done('destroy', '--where', 'CKA_LABEL=Data', '--typed', 'destroy Data');
  assert.doesNotMatch(tool('--list-objects'), /Data/);
  await refused('ONE-MATCH', 'destroy', '--where', 'CKA_LABEL=Data', '--typed', 'destroy Data');
  // SoftHSM unwraps nothing as unmodifiable, and says so before anything is made.
  await refused('CKR_ATTRIBUTE_READ_ONLY', 'unwrap', '--under', 'CKA_LABEL=KEK', '--file', file, '--despite', 'KEY-EXTRACTABLE');
  await done('unwrap', '--under', 'CKA_LABEL=KEK', '--file', file, '--despite', 'KEY-EXTRACTABLE', '--attribute', 'modifiable=true');
  assert.match(tool('--list-objects'), /Data/);
  writeFileSync(file, readFileSync(file, 'utf8').replace(/"wrapped": "../, '"wrapped": "AA'));
  const damaged = await token('unwrap', '--under', 'CKA_LABEL=KEK', '--file', file, '--label', 'Damaged', '--despite', 'KEY-EXTRACTABLE', '--attribute', 'modifiable=true');
  assert.equal(damaged.code, 1);
  assert.doesNotMatch(tool('--list-objects'), /Damaged/);
});

test('a request, a certificate of its own, and the certificate beside its key', async () => {
  const [csr, crt] = [join(home, 'sig.csr'), join(home, 'sig.crt')];
  await done('request', ...where('Sig', 'CKO_PRIVATE_KEY'), '--subject', 'CN=Code signing, O=Example', '--out', csr);
  assert.equal((await conclave('csr', 'verify', csr)).code, 2, 'it takes no --home');
  execFileSync('openssl', ['req', '-in', csr, '-verify', '-noout'], { stdio: 'pipe' });
  await done('self-sign', ...where('Sig', 'CKO_PRIVATE_KEY'), '--subject', 'CN=Code signing, O=Example', '--days', '30', '--out', crt);
  const certificate = new X509Certificate(readFileSync(crt));
  assert.ok(certificate.verify(certificate.publicKey));
  assert.match(await done('import-certificate', ...where('Sig', 'CKO_PRIVATE_KEY'), '--label', 'Sig', '--file', crt), /the key of this id has the same public key/);
  const record = join(home, 'certified.json');
  assert.match(await done('key-record', ...where('Sig', 'CKO_PUBLIC_KEY'), '--out', record), /with its certificate/);
  assert.deepEqual(fromBase64url(readKeyRecord(new Uint8Array(readFileSync(record))).certificate ?? ''), new Uint8Array(certificate.raw));
  await done('edit', ...where('Sig', 'CKO_CERTIFICATE'), '--label', 'Signing certificate');
  assert.match(tool('--list-objects', '--type', 'cert'), /Signing certificate/);
});

test('an encrypted key is brought in, a plain one is not; a copy of what may not be copied is refused; the PIN changes', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [sealed, plain] = [join(home, 'sealed.p8'), join(home, 'plain.p8')];
  writeFileSync(sealed, privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: REHEARSAL_PIN }));
  writeFileSync(plain, privateKey.export({ format: 'pem', type: 'pkcs8' }));
  await refused('IMPORT-ENCRYPTED', 'import', '--label', 'Plain', '--kind', 'ec-p256', '--for', 'signing', '--file', plain);
  await done('import', '--label', 'Brought', '--kind', 'ec-p256', '--for', 'signing', '--file', sealed);
  await refused('CKR_ACTION_PROHIBITED', 'copy', '--where', 'CKA_LABEL=KEK', '--label', 'KEK 2');
  await done('pin');
  await done('pin', '--whose', 'so');
});

test('wrong calls change nothing, and touch nothing', async () => {
  const rows: readonly (readonly string[])[] = [
    ['generate', '--label', 'x'], ['generate', '--label', 'x', '--kind', 'des'], ['generate', '--label', 'x', '--kind', 'aes-256'], ['destroy'], ['init', '--where', 'a=b', '--label', 'x'],
    ['wrap', '--where', 'CKA_LABEL=Data', '--method', 'ROT13', '--out', '/nowhere'], ['generate', '--label', 'x', '--template', 'signing-ec-p256', '--attribute', 'magic=true'], ['pin', '--whose', 'mine'],
  ];
  for (const args of rows) assert.equal((await token(...(args as [string, ...string[]]))).code, 2, args.join(' '));
});

test('a PIN is typed at the prompt, and stands in no output; without a terminal it is said what to do', async () => {
  const bare = await conclave('token', 'generate', ...on, '--label', 'Typed', '--template', 'signing-ec-p256');
  assert.equal(bare.code, 1);
  assert.match(bare.err, /BOOTH_MISSING/);
  const { code, shown } = await onTerminal([process.execPath, CLI, 'token', 'self-test', ...on, ...where('Sig', 'CKO_PRIVATE_KEY'), '--home', home], async ({ until, type }) => {
    await until(/PIN/);
    type(`${REHEARSAL_PIN}\r`);
  });
  assert.equal(code, 0, shown);
  assert.match(shown, /✓ sign and verify/);
  assert.ok(!shown.includes(REHEARSAL_PIN));
});

test('a module that may only be read refuses every change by name', async () => {
  writeModules(home, [{ ...softHsmEntry(conf), readOnly: true }]);
  await refused('READ-ONLY', 'generate', '--label', 'No', '--template', 'signing-ec-p256');
  assert.equal((await conclave('token', 'objects', ...on, '--stand-in')).code, 0);
  writeModules(home, [softHsmEntry(conf)]);
});

test('the logbook has a volume for each, each valid, none missing; a volume taken away is noticed', async () => {
  const { code, out } = await conclave('logbook', '--json');
  const { volumes, sound } = JSON.parse(out) as { sound: boolean; volumes: { verdict: string; follows: boolean }[] };
  assert.equal(code, 0, JSON.stringify(volumes));
  assert.ok(sound && volumes.length >= 20, `${volumes.length} volumes`);
  const { default: Database } = await import('better-sqlite3');
  const database = new Database(join(home, 'ledger.sqlite'));
  const second = database.prepare('SELECT ceremony FROM entry WHERE seq = 0 ORDER BY line').pluck().all()[1];
  for (const trigger of database.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").pluck().all() as string[]) database.exec(`DROP TRIGGER "${trigger}"`);
  database.prepare('DELETE FROM entry WHERE ceremony = ?').run(second);
  database.close();
  const after = await conclave('logbook');
  assert.equal(after.code, 1);
  assert.match(after.out, /LOGBOOK-CHAIN/);
  assert.ok(existsSync(home));
});
