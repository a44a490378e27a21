/** `conclave token`, as a person in a terminal meets it: SoftHSM behind modules.json, every verb, and its exit codes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { appendFileSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Comparison } from '../../ceremonies/keys/compare.ts';
import type { Answers, Call } from '../../electron/contract.ts';
import { REHEARSAL_PIN } from '../../electron/devices/protocol.ts';
import { CLI, conclaveIn } from './command.ts';
import { SOFTHSM } from './devices/device-process.ts';
import { onTerminal } from './terminal.ts';

let home: string;
let library: string;
let serials: Record<string, string>;

const { run: conclave } = conclaveIn(() => home);
const run = (...args: string[]) => conclave('token', ...args);
/** `_call`: whose answer the verb prints. */
async function json<C extends Call>(_call: C, ...args: string[]): Promise<{ code: number; value: Answers[C] }> {
  const { code, out, err } = await run(...args, '--json');
  assert.notEqual(out, '', err);
  return { code, value: JSON.parse(out) as Answers[C] };
}
const env = () => ({ ...process.env, SOFTHSM2_CONF: join(home, 'softhsm2.conf') });
const tool = (token: string, ...args: string[]) => execFileSync('pkcs11-tool', ['--module', SOFTHSM, '--token-label', token, '--login', '--pin', REHEARSAL_PIN, ...args], { env: env(), stdio: 'pipe' }).toString();

/** The public key with this modulus, as a file. */
function rsaFile(name: string, n: bigint): string {
  const hex = n.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  const path = join(home, `${name}.der`);
  writeFileSync(path, createPublicKey({ key: { kty: 'RSA', n: bytes.toString('base64url'), e: 'AQAB' }, format: 'jwk' }).export({ type: 'spki', format: 'der' }));
  return path;
}

before(() => {
  home = mkdtempSync(join(tmpdir(), 'conclave-token-cli-'));
  mkdirSync(join(home, 'tokens'));
  writeFileSync(join(home, 'softhsm2.conf'), `directories.tokendir = ${join(home, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  library = join(home, 'libtoken.so');
  copyFileSync(SOFTHSM, library);
  writeFileSync(join(home, 'modules.json'), JSON.stringify({ modules: [{ kind: 'pkcs11', name: 'hsm', path: library, env: { SOFTHSM2_CONF: join(home, 'softhsm2.conf') } }] }), { mode: 0o600 });
  for (const label of ['REHEARSAL one', 'two']) execFileSync('softhsm2-util', ['--init-token', '--free', '--label', label, '--pin', REHEARSAL_PIN, '--so-pin', REHEARSAL_PIN], { env: env(), stdio: 'pipe' });
  const shared = BigInt(`0x${execFileSync('openssl', ['prime', '-generate', '-bits', '1024', '-hex']).toString().trim()}`);
  const prime = () => BigInt(`0x${execFileSync('openssl', ['prime', '-generate', '-bits', '1024', '-hex']).toString().trim()}`);
  const [first, second, other] = [shared * prime(), shared * prime(), prime() * prime()];
  tool('REHEARSAL one', '--keypairgen', '--key-type', 'EC:prime256v1', '--id', '01', '--label', 'Root CA');
  tool('REHEARSAL one', '--write-object', rsaFile('first', first), '--type', 'pubkey', '--id', '02', '--label', 'first');
  tool('two', '--write-object', rsaFile('second', second), '--type', 'pubkey', '--id', '03', '--label', 'second');
  for (const token of ['REHEARSAL one', 'two']) tool(token, '--write-object', rsaFile('other', other), '--type', 'pubkey', '--id', '04', '--label', 'other');
});
after(() => rmSync(home, { recursive: true, force: true }));

test('modules: what runs is vetted, the first start pins it, and the environment is shown', async () => {
  const before = (await json('token-modules', 'modules')).value.configured[1]!;
  assert.equal(before.pinned, null);
  assert.equal(before.library?.refusal, null);
  assert.deepEqual(before.environment[0], { name: 'SOFTHSM2_CONF', value: join(home, 'softhsm2.conf'), from: 'modules.json' });
  const found = await json('find-uri', 'find', 'pkcs11:');
  serials = Object.fromEntries(found.value.found.filter((one) => one.module === 'hsm').map((one) => [one.token.label, one.token.serial]));
  assert.ok(serials['REHEARSAL one'] !== undefined && serials['two'] !== undefined, JSON.stringify(found.value));
  const { code, value } = await json('token-modules', 'modules');
  assert.equal(code, 0);
  assert.equal(value.configured[1]!.pinned?.sha256, before.library?.sha256);
});

test('show, mechanisms and random', async () => {
  const on = ['--module', 'hsm', '--token', serials['two']!];
  const show = await run('show', ...on);
  assert.equal(show.code, 0, show.err);
  assert.match(show.out, /user PIN +fine, 4 to 255 characters/);
  assert.match(show.out, /CKF_LOGIN_REQUIRED +asks for a PIN before private objects are used/);
  assert.match((await run('mechanisms', ...on)).out, /CKM_RSA_PKCS_KEY_PAIR_GEN/);
  const random = await run('random', ...on, '--bytes', '4096');
  assert.equal(random.code, 0, random.out);
  assert.match(random.out, /4096 bytes\./);
});

test('objects and one in full, with its URI, provenance and risks; the URI finds it again', async () => {
  const on = ['--module', 'hsm', '--token', serials['REHEARSAL one']!];
  const open = await json('objects', 'objects', ...on);
  assert.deepEqual({ total: open.value.total, loggedIn: open.value.loggedIn }, { total: 3, loggedIn: false });
  const all = await json('objects', 'objects', ...on, '--stand-in');
  assert.deepEqual({ total: all.value.total, loggedIn: all.value.loggedIn }, { total: 4, loggedIn: true });
  const wanted = ['--where', 'CKA_LABEL=Root CA', '--where', 'CKA_CLASS=CKO_PRIVATE_KEY', '--stand-in'];
  const { value } = await json('object', 'object', ...on, ...wanted);
  assert.equal(value.object.id, '01');
  assert.equal(value.provenance?.origin, 'generated');
  assert.ok(value.risks.some(({ rule }) => rule === 'KEY-MODIFIABLE'));
  assert.match(value.uri, /^pkcs11:.*object=Root%20CA;type=private;id=%01$/);
  const half = [...on, '--where', 'CKA_LABEL=Root CA', '--where', 'CKA_CLASS=CKO_PUBLIC_KEY'];
  assert.match((await run('object', ...half, '--asn1')).out, /CKA_EC_PARAMS.*\n +OBJECT IDENTIFIER 1\.2\.840\.10045\.3\.1\.7\n/);
  assert.match((await run('object', ...half, '--as', 'openssh')).out, /^ecdsa-sha2-nistp256 AAAA\S+\n$/);
  assert.equal(createPublicKey((await run('object', ...half, '--as', 'pem')).out).asymmetricKeyType, 'ec');
  assert.equal((await run('object', ...half, '--as', 'der')).code, 2);
  const text = await run('object', ...on, ...wanted);
  assert.match(text.out, /never asked for: .*CKA_PRIVATE_EXPONENT/);
  assert.equal(text.code, 1); // it has risks
  const publicUri = value.uri.replace('type=private', 'type=public');
  const found = (await json('find-uri', 'find', publicUri)).value.found;
  assert.deepEqual(found.map((one) => [one.module, one.token.label, one.total, one.objects[0]?.object.class]), [['hsm', 'REHEARSAL one', 1, 'public-key']]);
  assert.equal((await run('find', 'pkcs11:token=nowhere')).code, 1);
  const pin = await run('find', 'pkcs11:token=two?pin-value=1234');
  assert.equal(pin.code, 1);
  assert.match(pin.err, /URI-NO-PIN/);
  assert.doesNotMatch(pin.err + pin.out, /1234/);
  assert.match((await run('object', ...on, '--where', 'CKA_CLASS=CKO_PUBLIC_KEY')).err, /ONE-MATCH/);
  assert.match((await run('objects', ...on, '--where', 'CKA_SIGN=perhaps')).err, /SEARCH-VALUE/);
});

test('--login asks for the PIN on the terminal; a wrong one is one try, told as such, and never tried again', async () => {
  const objects = [process.execPath, CLI, 'token', 'objects', '--module', 'hsm', '--token', serials['two']!, '--login', '--home', home];
  const right = await onTerminal(objects, async ({ until, type }) => {
    await until(new RegExp(`Security officer[^]*Please type the PIN of two,[^]*to look at private objects\\.[^]*serial {2}${serials['two']!}[^]*No wrong PIN is reported[^]*Nothing typed yet`));
    type(`${REHEARSAL_PIN}\r`);
    await until(/Accepted/);
  });
  assert.equal(right.code, 0, right.shown);
  assert.match(right.shown, /2 of 2 objects\r\n/);
  assert.ok(!right.shown.includes(REHEARSAL_PIN));
  const wrong = await onTerminal(objects, async ({ until, type }) => {
    await until(/Nothing typed yet/);
    type('314159\r');
    await until(/Refused\.[^]*CKR_PIN_INCORRECT/);
  });
  assert.equal(wrong.code, 1);
  assert.ok(!wrong.shown.includes('314159'));
  const cancelled = await onTerminal(objects, async ({ until, type }) => {
    await until(/! A wrong PIN has been entered since[^]*Nothing typed yet/);
    type('\x03');
    await until(/PIN_CANCELLED/);
  });
  assert.equal(cancelled.code, 1);
  // Asked on the terminal wherever the answer goes.
  const csv = join(home, 'bom.csv');
  const bill = await onTerminal(['sh', '-c', `'${process.execPath}' '${CLI}' cbom --module hsm --token ${serials['two']!} --login --home '${home}' --csv > '${csv}'`], async ({ until, type }) => {
    await until(/Nothing typed yet/);
    type(`${REHEARSAL_PIN}\r`);
    await until(/Accepted/);
  });
  assert.equal(bill.code, 0, bill.shown);
  const lines = readFileSync(csv, 'utf8');
  assert.match(lines, /public-key/);
  assert.ok(!`${lines}${bill.shown}`.includes(REHEARSAL_PIN));
});

test('probe: with a stand-in on a rehearsal token only', async () => {
  const { code, value } = await json('probe', 'probe', '--module', 'hsm', '--token', serials['REHEARSAL one']!, '--stand-in');
  assert.equal(code, 0);
  const can = Object.fromEntries(value.readiness.map((cell) => [cell.name, cell.can]));
  assert.deepEqual([can['RSA-2048'], can['ECDSA P-256'], can['ML-DSA-65'], can['AES-256 KWP']], ['proven', 'proven', 'absent', 'proven']);
  const real = await run('probe', '--module', 'hsm', '--token', serials['two']!, '--stand-in');
  assert.equal(real.code, 1);
  assert.match(real.err, /STAND_IN_REFUSED/);
});

test('scan: keys that are broken only together, on different tokens', async () => {
  const { code, value } = await json('scan-keys', 'scan');
  assert.equal(code, 1);
  const by = (rule: string) => value.findings.filter((finding) => finding.rule === rule);
  assert.deepEqual(by('WEAK-SHARED-PRIME').map((finding) => finding.keys.map((key) => key.object.label).toSorted()), [['first', 'second'], ['first', 'second']]);
  assert.deepEqual(by('KEY-DUPLICATE').map((finding) => finding.keys.map((key) => key.token).toSorted()), [[serials['REHEARSAL one']!, serials['two']!].toSorted()]);
  assert.equal(value.findings.at(-1)?.rule, 'KEY-DUPLICATE');
  assert.deepEqual(value.tokens.map((token) => token.keys).toSorted(), [2, 3]);
  assert.ok(value.tests.includes('WEAK-SHARED-PRIME') && !value.tests.includes('WEAK-BLOCKLISTED'));
  const alone = await json('scan-keys', 'scan', '--on', `hsm:${serials['two']!}`);
  assert.deepEqual({ code: alone.code, findings: alone.value.findings }, { code: 0, findings: [] });
});

test('compare: the same key brought to both tokens, another one of the same name, and one that is missing', async () => {
  const other = (label: string) => execFileSync('softhsm2-util', ['--init-token', '--free', '--label', label, '--pin', REHEARSAL_PIN, '--so-pin', REHEARSAL_PIN], { env: env(), stdio: 'pipe' });
  const [left, right] = ['REHEARSAL left', 'REHEARSAL right'];
  for (const label of [left, right]) other(label);
  const pair = (name: string, curve: string) => {
    const path = join(home, `${name}.der`);
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve });
    writeFileSync(path, privateKey.export({ type: 'pkcs8', format: 'der' }));
    writeFileSync(`${path}.pub`, publicKey.export({ type: 'spki', format: 'der' }));
    return path;
  };
  const bring = (token: string, file: string, id: string, label: string, ...more: string[]) => {
    tool(token, '--write-object', file, '--type', 'privkey', '--id', id, '--label', label, ...more);
    tool(token, '--write-object', `${file}.pub`, '--type', 'pubkey', '--id', id, '--label', label);
  };
  const [shared, mine, yours, lonely] = [pair('shared', 'P-256'), pair('mine', 'P-256'), pair('yours', 'P-256'), pair('lonely', 'P-384')];
  bring(left, shared, '11', 'CA', '--usage-sign');
  bring(right, shared, '11', 'CA', '--usage-sign');
  bring(left, mine, '12', 'TLS', '--usage-sign');
  bring(right, yours, '12', 'TLS', '--usage-sign');
  bring(left, lonely, '13', 'lonely', '--usage-sign');
  const kek = join(home, 'kek.bin');
  writeFileSync(kek, randomBytes(32));
  for (const token of [left, right]) tool(token, '--write-object', kek, '--type', 'secrkey', '--key-type', 'AES:32', '--id', '14', '--label', 'KEK', ...token === left ? [] : ['--extractable']);
  const found = (await json('find-uri', 'find', 'pkcs11:')).value.found;
  const serial = (label: string) => found.find((one) => one.token.label === label)?.token.serial ?? assert.fail(label);
  const call = ['compare', '--module', 'hsm', '--token', serial(left), '--with-token', serial(right)];
  const { code, out, err } = await run(...call, '--stand-in', '--json');
  assert.equal(code, 1, err);
  const { verdict, pairs, findings } = JSON.parse(out) as Comparison;
  assert.equal(verdict, 'different');
  assert.deepEqual(pairs.map(({ state, left: one, right: two }) => `${state} ${(one ?? two)?.object.class} ${(one ?? two)?.object.label}`).toSorted(), [
    'differs secret-key KEK', 'only-left private-key lonely', 'only-left public-key lonely', 'other-key private-key TLS', 'other-key public-key TLS', 'same private-key CA', 'same public-key CA',
  ]);
  assert.deepEqual([...new Set(findings.map(({ rule }) => rule))], ['COMPARE-OTHER-KEY', 'COMPARE-MISSING', 'COMPARE-ATTRIBUTES']);
  assert.match(findings.at(-1)?.found ?? '', /CKA_EXTRACTABLE false on hsm:\w+, true on hsm:/);
  for (const [token, id, type] of [[left, '12', 'privkey'], [left, '12', 'pubkey'], [right, '12', 'privkey'], [right, '12', 'pubkey'], [left, '13', 'privkey'], [left, '13', 'pubkey'], [left, '14', 'secrkey'], [right, '14', 'secrkey']] as const) tool(token, '--delete-object', '--type', type, '--id', id);
  const alike = await run(...call, '--stand-in');
  assert.equal(alike.code, 0, alike.out + alike.err);
  assert.match(alike.out, /✓ alike\n$/);
  const blind = await run(...call);
  assert.equal(blind.code, 1);
  assert.match(blind.out, /! COMPARE-NOT-SEEN: .*nobody is logged in[\s\S]*! undecided/);
});

test('explain, and wrong calls', async () => {
  assert.match((await run('explain', 'CKR_PIN_LOCKED')).out, /^CKR_PIN_LOCKED \(0xa4\): The PIN is locked/);
  assert.match((await run('explain', 'CKR_NO_SUCH')).err, /CODE-KNOWN/);
  const wrong = [['dance'], ['show', '--module', 'hsm'], ['modules', '--token', 'x'], ['find'], ['random', '--module', 'hsm', '--token', 'x', '--bytes', '1'], ['explain', 'a', 'b'], ['scan', '--on', 'x'],
    ['compare', '--module', 'hsm', '--token', 'x'], ['compare', '--module', 'hsm', '--token', 'x', '--with-token', 'x']];
  for (const [i, { code }] of (await Promise.all(wrong.map((args) => run(...args)))).entries()) assert.equal(code, 2, wrong[i]?.join(' '));
});

test('a module that changed is not loaded, and both hashes are said', async () => {
  const sha256 = (await json('token-modules', 'modules')).value.configured[1]?.library?.sha256 ?? 'none';
  appendFileSync(library, 'x');
  const { code, value } = await json('token-modules', 'modules');
  assert.equal(code, 1);
  const { refusal, sha256: now } = value.configured[1]!.library!;
  assert.equal(refusal?.rule, 'MODULE-CHANGED');
  assert.ok(refusal.expected.includes(sha256) && now !== null && refusal.found.includes(now));
  const show = await run('show', '--module', 'hsm', '--token', serials['two']!);
  assert.equal(show.code, 1);
  assert.match(show.err, /MODULE-CHANGED/);
});
