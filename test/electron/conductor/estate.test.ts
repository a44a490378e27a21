/**
 * A small estate: three SoftHSM tokens and twelve keys, made, backed up, split, restored, compromised and destroyed through real
 * ceremonies and the logbook. After every record the inventory that the records fold to is held against what the tokens hold, HSMs and cards alike,
 * as a program that is not ours lists them (pkcs11-tool of OpenSC). In the end somebody goes behind the records' back.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { alerts } from '../../../ceremonies/alerts.ts';
import { openFile } from '../../../ceremonies/bundle.ts';
import { forWebCrypto, fromBase64url, utf8 } from '../../../ceremonies/bytes.ts';
import { stands } from '../../../ceremonies/destruction.ts';
import { IDENTITY_LABEL, type ChangeResult, type KeyKind, type ObjectFact, type OrderedAttributes } from '../../../ceremonies/evidence.ts';
import { dependantsOf, explainedObjects, foldInventory, type Inventory, type InventoryKey } from '../../../ceremonies/inventory.ts';
import { keyNamed } from '../../../ceremonies/statements.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import type { Bindings, ChangeRequest, Inputs, StatementRequest } from '../../../electron/contract.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import type { BoothPort, House } from '../../../electron/processes.ts';
import { ask, playOn, playRehearsal } from '../../../electron/rehearsal.ts';
import { openHouse, remove, SOFTHSM, temporaryFolder, withSoftHsm } from '../house.ts';

const module = 'softhsm';
const SEATS = ['officer', 'custodian-1', 'custodian-2', 'custodian-3', 'witness', 'auditor'] as const;
const CUSTODIANS = ['custodian-1', 'custodian-2', 'custodian-3'] as const;

let home: string;
let conf: string;
let house: House<BoothPort>;
/** Serial numbers: one card of each kind for everybody, used in every ceremony, as people would. */
let cards: Bindings['cards'];
const tokens = { one: '', two: '', three: '' };
before(async () => {
  home = temporaryFolder('estate');
  conf = withSoftHsm(home);
  house = await openHouse(home);
  const { bindings } = await ask(house, { call: 'provision', script: 'root-ca', parameters: { shares: 3, threshold: 2 }, module });
  ({ cards } = bindings);
  const more = async (script: string, token: string, brought: string[]) => (await ask(house, { call: 'provision', script, parameters: {}, module, cards, brought })).bindings.tokens[token]?.serial ?? assert.fail(token);
  tokens.one = bindings.tokens['root-hsm']?.serial ?? assert.fail('no token');
  tokens.two = await more('intermediate', 'ca-hsm', ['ca', 'request']);
  tokens.three = await more('recovery', 'new-hsm', ['backup']);
});
after(async () => {
  await house.stop();
  remove(home);
});

// --- what the tokens hold, as somebody else's program sees it --------------------------------------------------------------

type Witnessed = Pick<ObjectFact, 'class' | 'id' | 'label'> & { readonly token: string };
const opensc = (...args: string[]) => promisify(execFile)('pkcs11-tool', ['--module', SOFTHSM, ...args], { env: { ...process.env, SOFTHSM2_CONF: conf, LC_ALL: 'C' } });
const HEADS = [[/^Private Key Object/, 'private-key'], [/^Public Key Object/, 'public-key'], [/^Secret Key Object/, 'secret-key'], [/^Certificate Object/, 'certificate'], [/^Data object/, 'data']] as const;

/** Slot numbers move with every initialisation: serial numbers and PIN flags are read afresh. */
async function slots(): Promise<{ slot: string; serial: string; pin: boolean }[]> {
  const { stdout } = await opensc('--list-token-slots');
  return stdout.split(/^(?=Slot )/m).flatMap((text) => {
    const [, slot] = /^Slot \d+ \((0x[0-9a-f]+)\)/.exec(text) ?? [];
    const [, serial] = /serial num\s*:\s*(\S+)/.exec(text) ?? [];
    return slot === undefined || serial === undefined ? [] : [{ slot, serial, pin: /PIN initialized/.test(text) }];
  });
}

async function witnessed(): Promise<Witnessed[]> {
  const seen: Witnessed[] = [];
  for (const { slot, serial: token, pin } of await slots()) {
    const { stdout } = await opensc('--slot', slot, '--list-objects', ...pin ? ['--login', '--pin', REHEARSAL_PIN] : []);
    for (const text of stdout.split(/^(?=\S)/m)) {
      const kind = HEADS.find(([head]) => head.test(text))?.[1];
      if (kind === undefined) continue;
      const field = (name: string) => new RegExp(`^  ${name}:\\s*(.*?)\\s*$`, 'm').exec(text)?.[1] ?? '';
      seen.push({ token, class: kind, id: field('ID'), label: field('label').replace(/^'(.*)'$/, '$1') });
    }
  }
  return seen;
}

/** By token, class and CKA_ID. Data objects have none and go by their label; whose identity is on a card, the records tell by its label's beginning alone. */
const nameOf = ({ token, class: kind, id, label }: Omit<Witnessed, 'id'> & { readonly id: string | null }) => `${token} ${kind} ${label.startsWith(IDENTITY_LABEL) ? IDENTITY_LABEL : kind === 'data' ? label : id ?? ''}`;

async function inventory(): Promise<Inventory> {
  const records = [];
  for (const { ceremony } of await ask(house, { call: 'ceremonies' })) records.push(await ask(house, { call: 'verify-own', ceremony }));
  for (const { verdict } of records) assert.deepEqual([verdict.verdict, verdict.findings], ['valid', []]);
  return foldInventory(records, nativeHasher);
}

const compared = (...only: string[]) => ask(house, { call: 'reconcile', login: 'stand-in', tokens: only.map((token) => ({ module, token })) });

/** Every record verifies; what they fold to is what the tokens hold, no more and no less. */
async function folded(): Promise<Inventory> {
  const now = await inventory();
  const expected = explainedObjects(now).flatMap(({ object }) => (stands(object) ? [nameOf(object)] : []));
  assert.deepEqual((await witnessed()).map(nameOf).sort(), expected.sort());
  assert.deepEqual(now.findings, []);
  return now;
}

// --- ceremonies and changes ----------------------------------------------------------------------------------------------------

interface Playing { readonly on?: Readonly<Record<string, string>>; readonly parameters?: Record<string, string | number>; readonly inputs?: Inputs; readonly people?: readonly string[]; readonly shares?: readonly string[] }

async function play(script: string, { on = {}, parameters = {}, inputs = {}, people = ['officer', 'witness', 'auditor'], shares = [] }: Playing): Promise<{ readonly ceremony: string; readonly file: (name: string | RegExp) => Inputs[string] }> {
  const of = (card: string, seats: readonly string[]) => Object.fromEntries(seats.map((seat) => [seat, cards[card]?.[seat] ?? assert.fail(`${card} of ${seat}`)]));
  const bindings = {
    tokens: Object.fromEntries(Object.entries(on).map(([name, serial]) => [name, { module, serial }])),
    cards: { 'identity-card': of('identity-card', SEATS.filter((seat) => people.includes(seat))), ...shares.length > 0 && { 'share-card': of('share-card', shares) } },
  };
  const ceremony = await playRehearsal(house, { script, parameters, module, hasher: nativeHasher, bindings, inputs });
  const { path } = await ask(house, { call: 'export', ceremony });
  const files = openFile(new Uint8Array(readFileSync(path))).files ?? assert.fail('no bundle');
  return {
    ceremony,
    file: (name) => {
      const found = [...files.keys()].find((one) => (typeof name === 'string' ? one === name : name.test(one))) ?? assert.fail(`no ${String(name)} among ${[...files.keys()].join(', ')}`);
      return { file: found, bytes: Uint8Array.from(files.get(found)!) };
    },
  };
}

/** A volume of the logbook: logged in, to the tokens too, worked in, logged out of, signed. */
async function volume(work: (change: (request: ChangeRequest | StatementRequest) => Promise<unknown>) => Promise<void>): Promise<void> {
  const { ceremony } = await ask(house, { call: 'log-in', name: 'Stand-in officer', module, card: cards['identity-card']?.['officer'] ?? null, mode: 'rehearsal', standIns: true });
  await playOn(house, ceremony, { until: (state) => state.current?.step.do.action === 'administer' && !state.checkpointDue });
  for (const token of Object.values(tokens)) await ask(house, { call: 'token-login', module, token, standIn: true, acceptFinalTry: false });
  await work(async (request) => (await ask(house, { call: 'administer', ceremony, request, acceptFinalTry: false })).result);
  for (const token of Object.values(tokens)) await ask(house, { call: 'token-log-out', module, token });
  await ask(house, { call: 'log-out', ceremony });
  await playOn(house, ceremony, {});
}

/** An object as an officer points at it. */
async function place(token: string, wanted: ObjectFact['class'], label: string): Promise<{ position: number; object: ObjectFact }> {
  const { objects } = await ask(house, { call: 'objects', module, token, offset: 0, limit: 500 });
  const position = objects.findIndex((object) => object.class === wanted && object.label === label);
  return { position, object: objects[position] ?? assert.fail(`no ${wanted} ${label}`) };
}

const key = (now: Inventory, label: string): InventoryKey => keyNamed(now.keys, label);
const states = (now: Inventory): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { state } of now.keys) counts[state ?? 'unknown'] = (counts[state ?? 'unknown'] ?? 0) + 1;
  return counts;
};

// --- the estate ----------------------------------------------------------------------------------------------------------------

/** What ceremonies handed out, for those after them. */
let root: Awaited<ReturnType<typeof play>>;
let composite: Awaited<ReturnType<typeof play>>;
let request: Inputs[string];
let issued: Inputs[string];

test('two roots, each backed up and split among three custodians', async () => {
  root = await play('root-ca', { on: { 'root-hsm': tokens.one }, parameters: { algorithm: 'ecdsa-p256', shares: 3, threshold: 2 }, people: SEATS, shares: CUSTODIANS });
  await folded();
  composite = await play('composite-ca', { on: { 'root-hsm': tokens.two }, parameters: { shares: 3, threshold: 2 }, people: SEATS, shares: CUSTODIANS });
  const now = await folded();
  assert.equal(now.keys.length, 3, 'two roots, and the key under which half of one lies');
});

test('the logbook fills the tokens: keys made, brought in, wrapped, brought back, copied', async () => {
  await volume(async (change) => {
    const make = (token: string, label: string, kind: KeyKind, attributes: OrderedAttributes, despite: string[] = []) => change({ change: 'generate-key', module, token, label, kind, attributes, despite });
    await make(tokens.one, 'KEK', 'aes-256', { wrap: true, unwrap: true });
    await make(tokens.one, 'Archive', 'aes-256', { encrypt: true, decrypt: true, extractable: true }, ['KEY-EXTRACTABLE']);
    const under = await place(tokens.one, 'secret-key', 'KEK');
    const { file } = await change({ change: 'wrap-key', module, token: tokens.one, place: await place(tokens.one, 'secret-key', 'Archive'), under, recipient: null, method: 'AES-KWP' }) as ChangeResult<'wrap-key'>;
    await change({ change: 'unwrap-key', module, token: tokens.one, under, file: { file: 'archive.json', bytes: forWebCrypto(utf8(JSON.stringify(file))) }, label: 'Archive, brought back', attributes: { extractable: false, modifiable: true }, despite: ['KEY-MODIFIABLE'] });
    await make(tokens.two, 'Issuing CA', 'ec-p256', { sign: true });
    const made = await change({ change: 'sign-request', module, token: tokens.two, place: await place(tokens.two, 'private-key', 'Issuing CA'), subject: 'CN=Issuing CA, OU=REHEARSAL' }) as ChangeResult<'sign-request'>;
    request = { file: 'issuing.csr', bytes: forWebCrypto(fromBase64url(made.request)) };
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const sealed = privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: REHEARSAL_PIN });
    await change({ change: 'import-key', module, token: tokens.two, label: 'Imported', kind: 'ec-p256', attributes: { sign: true }, despite: [], file: { file: 'key.pem', bytes: forWebCrypto(Buffer.from(sealed)) } });
    await make(tokens.two, 'Payments', 'ec-p384', { sign: true });
    await make(tokens.three, 'Time stamps', 'ec-p521', { sign: true });
    await make(tokens.three, 'Tickets', 'hmac-256', { sign: true, verify: true });
    await make(tokens.three, 'Releases', 'ed25519', { sign: true, modifiable: true }, ['KEY-MODIFIABLE']);
    await make(tokens.three, 'Sessions', 'aes-128', { encrypt: true, decrypt: true });
    await change({ change: 'copy-object', module, token: tokens.three, place: await place(tokens.three, 'private-key', 'Releases'), label: 'Releases, copied', attributes: {}, despite: ['KEY-MODIFIABLE'] });
  });
  const now = await folded();
  assert.equal(now.keys.length, 12, now.keys.map(({ label }) => label).join(', '));
  assert.deepEqual(key(now, 'Archive').copies.map(({ kind }) => kind), ['object', 'wrapped-file', 'object'], 'what came back out of the file is the key that went in');
});

test('both roots certify the issuing CA, and the first one signs a list', async () => {
  const ca = { ca: root.file('key.json') };
  await play('intermediate', { on: { 'ca-hsm': tokens.one }, inputs: { ...ca, request } });
  await folded();
  issued = (await play('intermediate', { on: { 'ca-hsm': tokens.two }, inputs: { ca: composite.file('key.json'), request } })).file(/^certificate.*\.(crt|pem)$|issued.*\.crt$/);
  await folded();
  await play('crl', { on: { 'ca-hsm': tokens.one }, inputs: { ...ca, revocations: { file: 'revocations.csv', bytes: forWebCrypto(utf8('01aa,2026-01-01T00:00:00Z,cessationOfOperation\n')) } } });
  await folded();
});

test('the first root is restored from its backup onto the third token: one key, two copies', async () => {
  await play('recovery', { on: { 'new-hsm': tokens.three }, parameters: { custodians: 2 }, inputs: { backup: root.file('backup.json') }, people: SEATS.filter((seat) => seat !== 'custodian-3'), shares: CUSTODIANS.slice(0, 2) });
  const now = await folded();
  assert.deepEqual(key(now, 'Root CA').copies.flatMap((copy) => (copy.kind === 'object' && copy.class === 'private-key' ? [copy.token] : [])), [tokens.one, tokens.three]);
});

test('what a compromise concerns is listed, and states that people sign are the states of their keys', async () => {
  await play('key-compromise', { inputs: { key: composite.file('key.json'), certificates: issued }, parameters: { happened: 'The wrapped half was found outside.', since: 'always' } });
  await folded();
  await volume(async (change) => {
    const sign = (name: string, to: 'active' | 'suspended' | 'deactivated', reason: string) => change({ change: 'set-state', key: name, to, reason, since: null });
    await sign('Payments', 'active', 'It goes into use.');
    await sign('Payments', 'suspended', 'The audit is under way.');
    await sign('Imported', 'active', 'It goes into use.');
    await sign('Imported', 'deactivated', 'It is replaced.');
    await change({ change: 'set-period', key: 'Issuing CA', reason: 'As the policy says.', notBefore: null, notAfter: new Date(Date.now() + 20 * 86_400_000).toISOString() });
  });
  const now = await folded();
  assert.deepEqual(states(now), { active: 4, suspended: 1, deactivated: 1, compromised: 1, 'pre-activation': 5 });
  const { passages, events } = key(now, 'Composite root CA');
  assert.deepEqual(passages.map(({ rule }) => rule), ['STATE-BORN', 'STATE-ACTIVATED', 'STATE-COMPROMISED']);
  assert.match(events.at(-1)?.what ?? '', /compromised/);
});

test('the first root is destroyed: both copies, its shares, and so its wrapped backup', async () => {
  const { list } = await ask(house, { call: 'plan-destruction', key: 'Root CA', despite: '', people: [], save: false });
  assert.deepEqual(list.copies.map(({ by, secret }) => `${by.means}${by.means === 'token' ? ` ${by.class}` : ''}${secret ? '' : ', not secret'}`), [
    'token private-key', 'token private-key', 'token data', 'token data', 'token data', 'erasure', 'token public-key, not secret', 'token public-key, not secret',
  ]);
  await play('key-destruction', { on: { 'key-hsm': tokens.one }, inputs: { copies: { file: 'copies.json', bytes: forWebCrypto(utf8(JSON.stringify(list))) } }, people: SEATS.filter((seat) => seat !== 'custodian-3') });
  const { state, whoCan, destruction, copies } = key(await folded(), 'Root CA');
  assert.deepEqual([state, whoCan, destruction.words], ['destroyed', [], '3 of 3 known copies destroyed, L1: observed absent by software']);
  assert.deepEqual([...new Set(copies.map(({ end }) => end?.level))], ['L1'], 'SoftHSM only unlinks a file: no more than this is claimed of anything');
});

test('the third token is made blank: every key that had its only copies there is destroyed', async () => {
  await play('token-zeroise', { on: { hsm: tokens.three } });
  const now = await folded();
  for (const label of ['Time stamps', 'Tickets', 'Releases', 'Sessions']) {
    const { state, destruction: { level, known, destroyed } } = key(now, label);
    assert.deepEqual([state, level, destroyed], ['destroyed', 'L1', known], label);
  }
  assert.equal(key(now, 'Releases').destruction.known, 2, 'and its copy');
});

test('the estate as it is told in the end: states, what hangs on what, what is due, who has which card', async () => {
  const now = await folded();
  assert.deepEqual([now.keys.length, states(now)], [12, { active: 3, suspended: 1, deactivated: 1, compromised: 1, destroyed: 5, 'pre-activation': 1 }]);
  const certified = (label: string) => key(now, label).certificates.map(({ issuer }) => /CN=([^,]*)/.exec(issuer)?.[1]).sort();
  assert.deepEqual([certified('Root CA'), certified('Issuing CA')], [['Example Root CA'], ['Example Composite Root CA', 'Example Root CA']]);
  const under = (label: string) => dependantsOf(now, key(now, label).identity).map(({ label: name }) => name);
  assert.deepEqual([under('KEK'), under('Composite root CA (wrapping key)'), under('Archive')], [['Archive'], ['Composite root CA'], []]);
  assert.deepEqual(alerts(now, new Date()).map(({ rule, keys }) => [rule, keys]), [['PERIOD-ENDS', [key(now, 'Issuing CA').identity]]]);
  const { sets, things, balance, findings, records } = await ask(house, { call: 'custody' });
  assert.deepEqual([findings, records.refused, sets.map((set) => [set.key, set.threshold, set.shares])], [[], 0, [['Composite root CA', 2, 3]]]);
  const holders = things.filter(({ shares }) => shares.length > 0);
  assert.deepEqual(holders.map(({ person, identifier, shares }) => `${person ?? ''} ${identifier} ${shares.map(({ x }) => x).join()}`).sort(), CUSTODIANS.map((seat, i) => `Stand-in ${seat} ${cards['share-card']?.[seat]?.serial ?? ''} ${i + 1}`), 'of the set that is left, one share for each');
  assert.ok(balance.length > 0 && balance.every(({ first, in: came, out, here, unaccounted }) => unaccounted === 0 && first + came - out === here));
});

test('beside the tokens the house finds nothing; what somebody does behind the records\' back, it finds, each with its next step', async () => {
  const clean = await compared();
  assert.deepEqual(clean.findings, []);
  assert.deepEqual(clean.failed.map(({ token, code }) => [token, code]), [[tokens.three, 'CKR_USER_PIN_NOT_INITIALIZED']]);
  const now = await inventory();
  const idOf = (label: string, wanted: string) => key(now, label).copies.flatMap((copy) => (copy.kind === 'object' && copy.class === wanted ? [copy.id ?? ''] : []))[0] ?? assert.fail(label);
  const slot = (await slots()).find(({ serial }) => serial === tokens.two)?.slot ?? assert.fail('no slot');
  const behind = (...args: string[]) => opensc('--slot', slot, '--login', '--pin', REHEARSAL_PIN, ...args);
  await behind('--delete-object', '--type', 'privkey', '--id', idOf('Imported', 'private-key'));
  await behind('--keygen', '--key-type', 'aes:32', '--label', 'Nobody knows me', '--id', 'beef');
  await behind('--type', 'pubkey', '--id', idOf('Issuing CA', 'public-key'), '--set-id', '0badcafe');
  const { findings } = await compared(tokens.two);
  assert.deepEqual(findings.map(({ rule }) => rule).sort(), ['CHANGED-ATTRIBUTE', 'HALF-PAIR', 'UNKNOWN-OBJECT', 'VANISHED-OBJECT']);
  const of = (rule: string) => findings.find((finding) => finding.rule === rule) ?? assert.fail(rule);
  assert.deepEqual([of('VANISHED-OBJECT').keys, of('CHANGED-ATTRIBUTE').keys, of('UNKNOWN-OBJECT').keys], [[key(now, 'Imported').identity], [key(now, 'Issuing CA').identity], []]);
  assert.match(of('VANISHED-OBJECT').next, /^Investigate: no record destroyed it/);
  assert.match(of('CHANGED-ATTRIBUTE').found, /CKA_ID was [0-9a-f]{32}, is 0badcafe/);
  assert.match(of('UNKNOWN-OBJECT').found, /"Nobody knows me" beef/);
  assert.match(of('UNKNOWN-OBJECT').next, /adopt it .* explain it, destroy it .* or investigate/);
  assert.ok(findings.every(({ next }) => next !== ''));
});
