/** The inventory folded from records that were really signed: the four questions, what ends a copy, what is believed, and in which order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { p256 } from '@noble/curves/nist.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { fromBase64url, toBase64url, toHex, utf8 } from '../../ceremonies/bytes.ts';
import type { ChangeKind, Intent, KeyAttributes, KeyCheck, ObjectReference, StateSigned, TokenFacts, WrappedKeyFile } from '../../ceremonies/evidence.ts';
import { planDestruction } from '../../ceremonies/destroy-plan.ts';
import { after, dueOf } from '../../ceremonies/drills.ts';
import { claimsOn, holdsSecret } from '../../ceremonies/destruction.ts';
import { dependantsOf, destructionOf, foldInventory, type Copy, type InventoryKey, type JudgedRecord } from '../../ceremonies/inventory.ts';
import type { KeyState } from '../../ceremonies/keys/lifecycle.ts';
import { publicKeyFromParts } from '../../ceremonies/keys/public-key.ts';
import { makeRequest } from '../../ceremonies/keys/request.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import { readKeyRecord } from '../../ceremonies/key-record.ts';
import { nativeHasher } from '../../electron/conductor/machine.ts';
import { MOVEMENTS_HEADER } from '../../ceremonies/shares/movements.ts';
import { SEED } from './keys/seed.ts';
import { fileOf, scriptedRecord, ScriptedRoom, type RecordOptions, type ScriptedRecord } from './scripted.ts';

type Change = ScriptedRoom['changes'][number];

async function judged(lines: readonly string[]): Promise<JudgedRecord> {
  const { verdict } = await verifyTranscript(fileOf(lines), { hasher: nativeHasher });
  return { verdict, lines };
}
const fold = (...records: readonly JudgedRecord[]) => foldInventory(records, nativeHasher);

async function volume(options: RecordOptions, ...changes: readonly Change[]): Promise<ScriptedRecord> {
  const room = new ScriptedRoom({ script: 'administration', ...options });
  room.changes.push(...changes);
  await room.run();
  return room.record();
}

// --- changes of a logbook ------------------------------------------------------------------------------------------------

const id = (name: string) => toHex(sha256(utf8(name)).subarray(0, 16));
const token = (serial: string, label = 'HSM'): TokenFacts => ({ serial, label, model: 'M', manufacturer: 'V', firmware: '1', hardware: '1', flags: ['CKF_TOKEN_INITIALIZED'] });
const order = (change: ChangeKind, on: string, given: object): Intent<'administer'> => ({ change, module: 'embedded', token: on, order: given as Record<string, unknown> });
const cmac = (value: string): KeyCheck => ({ method: 'CMAC of zeros, 3 bytes (ANSI X9.24-1)', value });
const MORE = { copyable: null, destroyable: null, wrapWithTrusted: null, alwaysAuthenticate: null, encapsulate: null, decapsulate: null };

function attributes(kind: KeyAttributes['class'], keyType: string, name: string, label: string, more: Partial<KeyAttributes> = {}): KeyAttributes {
  return {
    class: kind, keyType, id: id(name), label, token: true, private: kind !== 'public-key', sensitive: true, extractable: false, alwaysSensitive: true, neverExtractable: true, local: true, modifiable: false,
    sign: false, verify: false, encrypt: false, decrypt: false, wrap: false, unwrap: false, derive: false, generatedBy: null, keysRemaining: null, ...more,
  };
}

const secretReference = (name: string, label: string, check: KeyCheck): ObjectReference => ({ class: 'secret-key', id: id(name), label, keyType: 'CKK_AES', check });
const secretRead = (name: string, label: string, check: KeyCheck, more: Partial<KeyAttributes> = {}) => ({ private: null, public: null, secret: attributes('secret-key', 'CKK_AES', name, label, more), spki: null, check, more: MORE, weakTests: [], tried: [] });
const makeSecret = (on: string, name: string, label: string, check: KeyCheck): Change => ({
  intent: order('generate-key', on, { id: id(name), label, kind: 'aes-256', attributes: {} }), result: { mechanism: 'CKM_AES_KEY_GEN', ...secretRead(name, label, check) },
});
const destroy = (on: string, object: ObjectReference): Change => {
  const { check: _check, ...fact } = object;
  return { intent: order('destroy-object', on, { object, typed: `destroy ${object.label}` }), result: { object: fact, before: 1, after: 0 } };
};
const initialise = (serial: string): Change => ({ intent: order('init-token', serial, { label: 'NEW', seen: token(serial) }), result: { before: token(serial), after: token(serial, 'NEW'), objects: 0 } });

const SCALAR = sha256(utf8('inventory'));
const { spki: SPKI } = publicKeyFromParts('ecdsa-p256', { raw: p256.getPublicKey(SCALAR, false) });
const EC_CHECK: KeyCheck = { method: 'SHA-256 of SubjectPublicKeyInfo', value: toHex(sha256(SPKI)) };
const ecRead = (name: string, label: string, local: boolean) => ({
  private: attributes('private-key', 'CKK_EC', name, label, { local, neverExtractable: false, sign: true }), public: attributes('public-key', 'CKK_EC', name, label, { local, sensitive: null, verify: true }), secret: null,
  spki: toBase64url(SPKI), check: EC_CHECK, more: MORE, weakTests: [], tried: [],
});
const ecReference = (name: string, label: string, kind: ObjectReference['class'] = 'private-key'): ObjectReference => ({ class: kind, id: id(name), label, keyType: 'CKK_EC', check: EC_CHECK });

const A = { check: cmac('0a0b0c') };
const KEK = { check: cmac('d1d2d3') };
const FILE: WrappedKeyFile = {
  format: 'conclave-token-key/1', method: 'AES-KWP', mechanism: 'CKM_AES_KEY_WRAP_KWP', key: { id: id('ec'), label: 'Signer', kind: 'ec-p256', attributes: {}, check: EC_CHECK, spki: toBase64url(SPKI) },
  under: { token: '0417', id: id('kek'), label: 'KEK', check: KEK.check }, encapsulation: null, wrapped: toBase64url(utf8('ciphertext')),
};

async function workbook(): Promise<Change[]> {
  const { der } = await makeRequest({ commonName: 'Signer' }, 'ecdsa-p256', SPKI, (tbs) => Promise.resolve(p256.sign(tbs, SCALAR)));
  return [
    makeSecret('0417', 'a', 'Data', A.check),
    makeSecret('0417', 'kek', 'KEK', KEK.check),
    { intent: order('generate-key', '0417', { id: id('ec'), label: 'Signer', kind: 'ec-p256', attributes: {} }), result: { mechanism: 'CKM_EC_KEY_PAIR_GEN', ...ecRead('ec', 'Signer', true) } },
    { intent: order('wrap-key', '0417', { key: ecReference('ec', 'Signer'), under: secretReference('kek', 'KEK', KEK.check), recipient: null, method: 'AES-KWP' }), result: { file: FILE, rehearsed: { compared: 'signed', wiped: true }, why: null } },
    { intent: order('unwrap-key', '0418', { id: id('ec2'), label: 'Signer 2', kind: 'ec-p256', attributes: {}, file: FILE, under: secretReference('kek', 'KEK', KEK.check) }), result: ecRead('ec2', 'Signer 2', false) },
    { intent: order('sign-request', '0417', { key: ecReference('ec', 'Signer'), subject: 'CN=Signer' }), result: { request: toBase64url(der) } },
    { intent: order('copy-object', '0417', { object: secretReference('a', 'Data', A.check), id: id('copy'), label: 'Data copy', attributes: {} }), result: secretRead('copy', 'Data copy', A.check) },
    destroy('0417', secretReference('a', 'Data', A.check)),
    { intent: order('edit-object', '0417', { object: secretReference('copy', 'Data copy', A.check), label: 'Renamed', id: null, attributes: { encrypt: true } }), result: { before: { class: 'secret-key', id: id('copy'), label: 'Data copy', keyType: 'CKK_AES' }, after: { class: 'secret-key', id: id('copy'), label: 'Renamed', keyType: 'CKK_AES' }, changed: [{ attribute: 'CKA_LABEL', from: 'Data copy', to: 'Renamed' }, { attribute: 'CKA_ENCRYPT', from: 'false', to: 'true' }] } },
    initialise('0418'),
  ];
}

const named = (keys: readonly InventoryKey[], label: string): InventoryKey => keys.find((key) => key.label === label) ?? assert.fail(`no key ${label}`);
const place = (copy: Copy) => `${copy.kind === 'object' ? `${copy.class} "${copy.label}" ${copy.token}` : copy.kind}${copy.end ? ` ${copy.end.level}` : ''}`;

// --- tests -------------------------------------------------------------------------------------------------------------

test('a root ceremony: what, where, who can, who did', async () => {
  const record = await scriptedRecord();
  const { keys, others, findings, begun } = fold(await judged(record.lines));
  assert.deepEqual({ findings, begun, keys: keys.length }, { findings: [], begun: [], keys: 1 });
  const key = keys[0]!;
  assert.equal(key.identity, `SHA-256 of SubjectPublicKeyInfo ${toHex(sha256(fromBase64url(record.state.key?.spki ?? '')))}`);
  assert.deepEqual([key.label, key.algorithm, key.standing?.state, key.origin, key.proof, key.state, key.believed, key.rehearsal], ['Root CA', 'ECDSA P-384', 'approved', 'generated', 'reported', 'active', true, true]);
  assert.deepEqual(key.copies.map(place), ['private-key "Root CA" TOKEN-root-hsm', 'public-key "Root CA" TOKEN-root-hsm', 'share-set']);
  const [set] = key.copies.flatMap((copy) => (copy.kind === 'share-set' ? [copy] : []));
  assert.deepEqual([set?.threshold, set?.shares, set?.recoveryProven, set?.custodians.map(({ name, readBack, object }) => `${name} ${object.token} ${readBack}`)],
    [2, 3, true, ['Bela Custis SHARE-custodian-1 true', 'Chiara Custos SHARE-custodian-2 true', 'Dmitri Kustov SHARE-custodian-3 true']]);
  assert.deepEqual(key.whoCan, ['who has the user PIN of token TOKEN-root-hsm (embedded)', 'any 2 of Bela Custis, Chiara Custos, Dmitri Kustov, with the record\'s wrapped key']);
  assert.equal(key.certificates.length, 1);
  assert.deepEqual(key.unknown, []);
  assert.equal(key.destruction.words, '0 of 2 known copies destroyed');
  assert.match(key.events[0]?.what ?? '', /^generated on token TOKEN-root-hsm/);
  for (const event of key.events) {
    const entry = record.entries[event.seq];
    assert.deepEqual([entry?.kind, entry?.at, entry?.ceremony], ['done', event.at, event.ceremony], event.what);
    assert.match(event.by, new RegExp(`\\(${entry?.by ?? ''}\\)$`));
  }
  assert.ok(key.copies.every((copy) => copy.kind !== 'object' || copy.class === 'public-key' || copy.attributes?.extractable === false), 'locked, as it was read last');
  assert.equal(others.length, 3 * record.state.people.length, 'two halves and a seed for everybody');
});

test('a composite half on the token and half wrapped: the wrapping key is a key of its own', async () => {
  const { keys } = fold(await judged((await scriptedRecord({ script: 'composite-ca', place: 'split' })).lines));
  assert.deepEqual(keys.map(({ state, copies }) => [state, copies.map(({ kind }) => kind)]), [['active', ['wrapped-part', 'object', 'object', 'share-set']], ['active', ['object']]]);
  assert.match(keys[1]?.label ?? '', /wrapping key/);
});

test('a ceremony with a key that was there before: known from its record, and by what it signs', async () => {
  const { keys, findings } = fold(await judged((await scriptedRecord({ script: 'intermediate' })).lines));
  assert.deepEqual(findings, []);
  const key = named(keys, 'Example CA');
  assert.deepEqual([key.origin, key.state, key.unknown.length, key.certificates.length], ['earlier', 'active', 1, 1]);
  assert.match(key.events.at(-1)?.what ?? '', /^signed the certificate of .*Example Issuing CA/);
});

test('a logbook: copied, wrapped out, unwrapped elsewhere, renamed, destroyed, a token initialised', async () => {
  const record = await volume({}, ...await workbook());
  const inventory = fold(await judged(record.lines));
  assert.deepEqual(inventory.findings, []);
  const [data, kek, signer] = ['Data', 'KEK', 'Signer'].map((label) => named(inventory.keys, label));
  assert.equal(inventory.keys.length, 3, 'copies are of their key');
  assert.deepEqual(data?.copies.map(place), ['secret-key "Data" 0417 L1', 'secret-key "Renamed" 0417']);
  assert.deepEqual(data?.copies.map((copy) => copy.kind === 'object' && copy.attributes?.encrypt), [false, true]);
  assert.deepEqual([data?.state, data?.destruction.words, data?.destruction.level], ['pre-activation', '1 of 2 known copies destroyed', null]);
  assert.deepEqual([kek?.state, kek?.events.at(-1)?.what], ['active', 'wrapped "Signer"']);
  assert.deepEqual(signer?.copies.map(place), ['private-key "Signer" 0417', 'public-key "Signer" 0417', 'wrapped-file', 'private-key "Signer 2" 0418 L1', 'public-key "Signer 2" 0418 L1']);
  assert.deepEqual([signer?.state, signer?.destruction.words], ['active', '1 of 3 known copies destroyed; there may be copies that are not known']);
  assert.deepEqual(signer?.whoCan, ['who has the user PIN of token 0417 (embedded)', 'who has the wrapped file and may use "KEK" on token 0417']);
  const end = data?.copies[0]?.end;
  assert.equal(record.entries[end?.seq ?? 0]?.kind, 'done');
});

test('a key that comes back out of its wrapped file is that key, though the token tells no check value of it; one from a file of elsewhere is not', async () => {
  const none: KeyCheck = { method: 'none', value: '' };
  const file = (wrapped: string): WrappedKeyFile => ({ ...FILE, key: { id: id('a'), label: 'Data', kind: 'aes-256', attributes: {}, check: A.check, spki: null }, wrapped: toBase64url(utf8(wrapped)) });
  const under = secretReference('kek', 'KEK', KEK.check);
  const back = (name: string, from: WrappedKeyFile): Change => ({ intent: order('unwrap-key', '0418', { id: id(name), label: name, kind: 'aes-256', attributes: {}, file: from, under }), result: secretRead(name, name, none, { local: false, alwaysSensitive: false, neverExtractable: false }) });
  const { keys, findings } = fold(await judged((await volume({}, makeSecret('0417', 'a', 'Data', A.check), makeSecret('0417', 'kek', 'KEK', KEK.check),
    { intent: order('wrap-key', '0417', { key: secretReference('a', 'Data', A.check), under, recipient: null, method: 'AES-KWP' }), result: { file: file('ciphertext'), rehearsed: null, why: 'not here' } },
    back('back', file('ciphertext')), back('foreign', file('another')))).lines));
  assert.deepEqual([findings, keys.map(({ label }) => label)], [[], ['Data', 'KEK', 'foreign']]);
  assert.deepEqual(named(keys, 'Data').copies.map(place), ['secret-key "Data" 0417', 'wrapped-file', 'secret-key "back" 0418']);
  assert.equal(named(keys, 'Data').destruction.words, '0 of 3 known copies destroyed; there may be copies that are not known');
});

test('the volume after it destroys the last copy, though the clock was set back; a missing volume is a finding', async () => {
  const first = await volume({}, ...await workbook());
  const after = { ceremony: first.state.ceremony, last: first.state.lastHash };
  const second = await volume({ seed: 'second', after, opensAt: Date.UTC(2026, 1, 1) }, destroy('0417', secretReference('copy', 'Renamed', A.check)));
  const both = fold(await judged(second.lines), await judged(first.lines));
  assert.deepEqual(both.findings, []);
  const data = named(both.keys, 'Data');
  assert.deepEqual([data.state, data.destruction.words], ['destroyed', '2 of 2 known copies destroyed, L1: observed absent by software']);
  assert.deepEqual(data.whoCan, []);
  const alone = fold(await judged(second.lines));
  assert.deepEqual(alone.findings.map(({ rule }) => rule), ['LOGBOOK-CHAIN']);
  assert.deepEqual([alone.keys[0]?.origin, alone.keys[0]?.unknown], ['earlier', ['it was there before the first record that names it']]);
});

test('a key that comes back after its last copy was destroyed is a finding, and its state is what it was', async () => {
  const bring = { intent: order('import-key', '0417', { id: id('again'), label: 'Again', kind: 'ec-p256', attributes: {}, file: 'key.p8', sha256: '0'.repeat(64) }), result: ecRead('again', 'Again', false) };
  const make = { intent: order('generate-key', '0417', { id: id('ec'), label: 'Signer', kind: 'ec-p256', attributes: {} }), result: { mechanism: 'CKM_EC_KEY_PAIR_GEN', ...ecRead('ec', 'Signer', true) } };
  const { keys, findings } = fold(await judged((await volume({}, make, destroy('0417', ecReference('ec', 'Signer')), bring)).lines));
  assert.deepEqual(findings.map(({ rule, keys: about }) => [rule, about.length]), [['STATE-TRANSITION', 1]]);
  assert.deepEqual([keys.length, keys[0]?.state, keys[0]?.origin], [1, 'pre-activation', 'generated']);
});

const state = (key: string, from: KeyState, to: KeyState, more: Partial<StateSigned> = {}): Change => ({ intent: { change: 'set-state', order: { key, label: 'Signer', reason: 'As decided.', from, to, since: to === 'compromised' ? '2026-03-01T00:00:00Z' : null, ...more } }, result: {} });
const period = (key: string, notAfter: string, notBefore: string | null = null): Change => ({ intent: { change: 'set-period', order: { key, label: 'Signer', reason: 'Policy 7.', notBefore, notAfter } }, result: {} });
const SIGNER = `SHA-256 of SubjectPublicKeyInfo ${EC_CHECK.value}`;
const makeSigner: Change = { intent: order('generate-key', '0417', { id: id('ec'), label: 'Signer', kind: 'ec-p256', attributes: {} }), result: { mechanism: 'CKM_EC_KEY_PAIR_GEN', ...ecRead('ec', 'Signer', true) } };

test('a state is the one that was signed, with the entry; use cannot change it back, and is a finding', async () => {
  const [, , , , , request] = await workbook();
  assert.ok(request);
  const rows: readonly (readonly [string, readonly Change[], KeyState, readonly string[]])[] = [
    ['nobody signed: used', [request], 'active', []],
    ['activated by signature', [state(SIGNER, 'pre-activation', 'active')], 'active', []],
    ['activated, and used', [state(SIGNER, 'pre-activation', 'active'), request], 'active', []],
    ['suspended', [request, state(SIGNER, 'active', 'suspended')], 'suspended', []],
    ['used while suspended', [request, state(SIGNER, 'active', 'suspended'), request], 'suspended', ['STATE-USE']],
    ['suspended, restored, used', [request, state(SIGNER, 'active', 'suspended'), state(SIGNER, 'suspended', 'active'), request], 'active', []],
    ['used while deactivated', [request, state(SIGNER, 'active', 'deactivated'), request], 'deactivated', ['STATE-USE']],
    ['used while compromised, twice', [request, state(SIGNER, 'active', 'compromised'), request, request], 'compromised', ['STATE-USE', 'STATE-USE']],
    ['compromised before it was ever used', [state(SIGNER, 'pre-activation', 'compromised')], 'compromised', []],
    ['destroyed after the compromise', [request, state(SIGNER, 'active', 'compromised'), destroy('0417', ecReference('ec', 'Signer'))], 'destroyed', []],
    ['signed from a state that it was not in', [request, state(SIGNER, 'suspended', 'deactivated')], 'active', ['STATE-FROM']],
    ['compromised, signed from a state that it was not in', [request, state(SIGNER, 'suspended', 'compromised')], 'compromised', ['STATE-FROM']],
    ['made active again from a state that it was not in', [request, state(SIGNER, 'active', 'compromised'), state(SIGNER, 'suspended', 'active'), request], 'compromised', ['STATE-FROM', 'STATE-USE']],
    ['of a key that is gone', [request, destroy('0417', ecReference('ec', 'Signer')), state(SIGNER, 'active', 'suspended')], 'destroyed', ['STATE-FROM']],
    ['compromised, of a key that is gone', [request, destroy('0417', ecReference('ec', 'Signer')), state(SIGNER, 'active', 'compromised')], 'destroyed', ['STATE-FROM']],
    ['of a key that nobody knows', [request, state('SHA-256 of SubjectPublicKeyInfo 00', 'active', 'suspended')], 'active', ['KEY-KNOWN']],
    ['a period, and used within', [period(SIGNER, '2027-01-01T00:00:00Z'), request], 'active', []],
    ['used after its period', [period(SIGNER, '2026-01-01T00:00:00Z'), request], 'active', ['PERIOD-USE']],
    ['used before its period', [period(SIGNER, '2028-01-01T00:00:00Z', '2027-01-01T00:00:00Z'), request], 'active', ['PERIOD-USE']],
    ['a longer period was signed before', [period(SIGNER, '2026-01-01T00:00:00Z'), period(SIGNER, '2027-01-01T00:00:00Z'), request], 'active', []],
  ];
  for (const [what, changes, expected, rules] of rows) {
    const record = await volume({}, makeSigner, ...changes);
    const { keys, findings } = fold(await judged(record.lines));
    assert.deepEqual([keys[0]?.state, findings.map(({ rule }) => rule)], [expected, rules], what);
    assert.equal(keys[0]?.passages.at(-1)?.to, expected, `${what}: how it came to it`);
    for (const { seq, at } of [...keys[0]?.passages ?? [], ...findings.flatMap(({ source }) => source ?? [])]) assert.equal(record.entries[seq]?.at, at, `${what}: the entry`);
  }
  const { keys } = fold(await judged((await volume({}, makeSigner, request, state(SIGNER, 'active', 'compromised', { reason: 'The card was copied.' }), period(SIGNER, '2027-01-01T00:00:00Z'))).lines));
  assert.deepEqual(keys[0]?.passages.map(({ rule, signed }) => [rule, signed?.reason]), [['STATE-BORN', undefined], ['STATE-ACTIVATED', undefined], ['STATE-COMPROMISED', 'The card was copied.']]);
  assert.deepEqual([keys[0]?.passages.at(-1)?.signed?.by, keys[0]?.passages.at(-1)?.signed?.since, keys[0]?.period?.notAfter], ['Ada Ofterdingen (officer)', '2026-03-01T00:00:00Z', '2027-01-01T00:00:00Z']);
});

test('a key that comes back is what was signed of it; a rehearsal states nothing of a key in earnest, and a record that does not verify nothing at all', async () => {
  const bring = { intent: order('import-key', '0417', { id: id('again'), label: 'Again', kind: 'ec-p256', attributes: {}, file: 'key.p8', sha256: '0'.repeat(64) }), result: ecRead('again', 'Again', false) };
  const back = fold(await judged((await volume({}, makeSigner, state(SIGNER, 'pre-activation', 'compromised'), destroy('0417', ecReference('ec', 'Signer')), bring)).lines));
  assert.deepEqual([back.keys[0]?.state, back.findings.map(({ rule }) => rule)], ['compromised', ['STATE-TRANSITION']]);
  const real = await volume({ mode: 'real' }, makeSigner);
  const stated = await volume({ seed: 'second', after: { ceremony: real.state.ceremony, last: real.state.lastHash }, opensAt: Date.UTC(2026, 5, 1) }, state(SIGNER, 'pre-activation', 'compromised'));
  const { keys, findings } = fold(await judged(stated.lines), await judged(real.lines));
  assert.deepEqual([keys[0]?.state, findings.map(({ rule }) => rule)], ['pre-activation', ['STATE-REHEARSAL']]);
  const forged = await volume({ seed: 'forged', opensAt: Date.UTC(2026, 5, 1) }, makeSigner, state(SIGNER, 'pre-activation', 'compromised'));
  const tampered = await judged(forged.lines.map((line, i, all) => (i === all.length - 1 ? line.replace(/"signature":"../, '"signature":"AA') : line)));
  assert.equal(fold(tampered, await judged(real.lines)).keys[0]?.state, 'pre-activation');
  assert.deepEqual([fold(tampered).keys[0]?.state, fold(tampered).keys[0]?.passages], [null, []]);
});

test('a key that is used in earnest is no rehearsal\'s any more, and never becomes one again', async () => {
  const [, , , , , request] = await workbook();
  const bring: Change = { intent: order('import-key', '0418', { id: id('again'), label: 'Again', kind: 'ec-p256', attributes: {}, file: 'key.p8', sha256: '0'.repeat(64) }), result: ecRead('again', 'Again', false) };
  const rows: readonly (readonly [string, readonly (readonly ['rehearsal' | 'real', readonly Change[]])[], boolean])[] = [
    ['a rehearsal alone', [['rehearsal', [makeSigner, request!]]], true],
    ['pointed at in earnest', [['rehearsal', [makeSigner]], ['real', [request!]]], false],
    ['brought in earnest', [['rehearsal', [makeSigner]], ['real', [bring]]], false],
    ['in earnest, and then in a rehearsal', [['real', [makeSigner]], ['rehearsal', [request!]]], false],
  ];
  for (const [what, volumes, rehearsal] of rows) {
    const records = [];
    for (const [index, [mode, changes]] of volumes.entries()) records.push(await judged((await volume({ mode, seed: `volume ${index}`, opensAt: Date.UTC(2026, 2 + index, 1) }, ...changes)).lines));
    const { keys } = fold(...records);
    assert.deepEqual(keys.map((key) => key.rehearsal), [rehearsal], what);
  }
});

test('the next drill is counted from the last proof of the backup in force, and a rehearsal proves nothing of a key in earnest', async () => {
  type Mode = 'rehearsal' | 'real';
  const record = (script: string, mode: Mode, month: number) => scriptedRecord({ script, mode, sitting: `${month}`, opensAt: Date.UTC(2026, month, 1) });
  const [recovery, played, change, rehearsed] = await Promise.all([record('recovery', 'real', 1), record('recovery-rehearsal', 'rehearsal', 2), record('custodian-change', 'real', 3), record('recovery-rehearsal', 'rehearsal', 0)]);
  const identity = fold(await judged(recovery.lines)).keys[0]?.identity ?? assert.fail('no key');
  const drill: Change = { intent: { change: 'set-drill', order: { key: identity, label: 'Example CA', reason: 'Policy 9.', every: 'P6M', firstBy: '2027-01-01T00:00:00.000Z' } }, result: {} };
  const [signed, unreal] = await Promise.all((['real', 'rehearsal'] as const).map((mode) => volume({ mode, seed: `drill ${mode}`, opensAt: Date.UTC(2026, 4, 1) }, drill)));
  const proof = ({ entries, state }: ScriptedRecord, at: string) => ({ ceremony: state.ceremony, seq: entries.findIndex((entry) => entry.at === at), at });
  const rows: readonly (readonly [string, readonly ScriptedRecord[], ScriptedRecord, readonly string[]])[] = [
    ['a recovery', [recovery], recovery, []],
    ['a recovery, and a rehearsal with its backup', [recovery, played], recovery, []],
    ['a rehearsal before it was used in earnest', [rehearsed, recovery], recovery, []],
    ['its shares renewed since', [recovery, change], change, []],
    ['renewed, and rehearsed before', [recovery, played, change], change, []],
    ['a rehearsal alone', [rehearsed], rehearsed, []],
  ];
  for (const [what, records, by] of rows) {
    const { keys, findings } = fold(...await Promise.all([...records, signed!].map(({ lines }) => judged(lines))));
    const key = keys.find((one) => one.identity === identity) ?? assert.fail(what);
    const due = dueOf(key) ?? assert.fail(what);
    assert.deepEqual(findings, [], what);
    assert.equal(key.lastRecovery?.ceremony, by.state.ceremony, what);
    assert.deepEqual(due.last, proof(by, due.last?.at ?? ''), what);
    assert.equal(due.at, after(due.last?.at ?? '', 'P6M'), what);
    assert.deepEqual([key.drill?.by, key.drill?.every, key.events.at(-1)?.what], ['Ada Ofterdingen (officer)', 'P6M', 'a recovery is to be proven at least every 6 months, first by 2027-01-01T00:00:00.000Z: Policy 9.'], what);
  }
  const stated = fold(await judged(recovery.lines), await judged(unreal!.lines));
  assert.deepEqual([stated.findings.map(({ rule }) => rule), stated.keys.find((one) => one.identity === identity)?.drill], [['STATE-REHEARSAL'], null]);
  // A backup that this machine only knows from its record, used in earnest for nothing yet but a rehearsal: the first date that was signed.
  const copies = fold(await judged(recovery.lines), await judged(played.lines), await judged(signed!.lines)).keys[0]?.copies ?? [];
  assert.equal(dueOf({ drill: { every: 'P6M', firstBy: '2027-01-01T00:00:00.000Z' }, copies: copies.map((copy) => (copy.kind === 'share-set' ? { ...copy, lastRecovery: null } : copy)) })?.at, '2027-01-01T00:00:00.000Z');
});

test('a known key that is brought as it lies on another token has a copy there, once', async () => {
  const crl = await scriptedRecord({ script: 'crl', ca: { algorithm: 'ecdsa-p384', place: 'token' }, opensAt: Date.UTC(2026, 6, 1) });
  const [input] = Object.values(crl.state.opening?.inputs ?? {}).filter(({ kind }) => kind === 'key');
  const { key: { spki, parts }, label, token: home } = readKeyRecord(fromBase64url(input?.bytes ?? ''));
  const check: KeyCheck = { method: 'SHA-256 of SubjectPublicKeyInfo', value: toHex(sha256(fromBase64url(spki))) };
  const rows: readonly (readonly [string, string, readonly string[]])[] = [['0417', id('ec'), ['0417', home]], [home, parts[0]?.id ?? '', [home]]];
  for (const [on, object, tokens] of rows) {
    const read = ecRead('ec', label, false);
    const made = await volume({}, {
      intent: order('import-key', on, { id: object, label, kind: 'ec-p384', attributes: {}, file: 'key.p8', sha256: '0'.repeat(64) }),
      result: { ...read, private: { ...read.private, id: object }, public: { ...read.public, id: object }, spki, check },
    });
    const { keys, findings } = fold(await judged(made.lines), await judged(crl.lines));
    assert.deepEqual(findings, []);
    const key = named(keys, label);
    assert.deepEqual(key.copies.flatMap((copy) => (copy.kind === 'object' && copy.class === 'private-key' ? [copy.token] : [])), tokens);
    assert.equal(key.events.some(({ what }) => what.endsWith(`also on token ${home}`)), tokens.length === 2);
  }
});

test('what depends on a key through another one depends on it; a circle ends', async () => {
  const { keys } = fold(await judged((await volume({}, ...await workbook())).lines));
  const [data, kek, signer] = [named(keys, 'Data'), named(keys, 'KEK'), named(keys, 'Signer')];
  const file = (under: InventoryKey): Copy => ({ kind: 'wrapped-file', method: 'AES-KWP', under: '', underKey: under.identity, since: { ceremony: '', seq: 0, at: '' }, end: null, believed: true });
  const under = (key: InventoryKey, above: InventoryKey) => ({ ...key, copies: [...key.copies, file(above)] });
  const estate = { keys: [under(kek, data), under(data, signer), signer] };
  assert.deepEqual(dependantsOf(estate, kek.identity).map(({ label, how }) => `${label}: ${how}`), ['Signer: a file wrapped by AES-KWP', 'Data: a file wrapped by AES-KWP, through "Signer"']);
  assert.deepEqual(dependantsOf({ keys }, signer.identity), []);
});

test('begun without an outcome: a finding, and of a destruction no more than that it was asked for', async () => {
  const room = new ScriptedRoom({ script: 'administration', happenings: { work: [{ kind: 'crash', found: 'absent' }] } });
  room.changes.push(makeSecret('0417', 'a', 'Data', A.check));
  await room.run('work');
  await room.next();
  // After the crash the officer orders again, under a CKA_ID that is fresh.
  room.changes.splice(0, 1, makeSecret('0417', 'again', 'Data', A.check), destroy('0417', secretReference('again', 'Data', A.check)));
  await room.run();
  assert.deepEqual(fold(await judged(room.lines)).findings, [], 'looked for, not there, made again');
  // The destruction is begun when the record breaks off.
  const lines = room.lines.slice(0, room.entries.findLastIndex((entry) => entry.kind === 'begun' && JSON.stringify(entry.data).includes('destroy-object')) + 1);
  const { keys, findings } = fold(await judged(lines));
  assert.deepEqual(findings.map(({ rule, keys: about }) => [rule, about]), [['BEGUN-UNEXPLAINED', [keys[0]?.identity]]]);
  assert.deepEqual([keys[0]?.destruction.words, keys[0]?.state, keys[0]?.whoCan.length], ['0 of 1 known copy destroyed, L0: requested', 'pre-activation', 1]);
  const making = room.lines.slice(0, room.entries.findIndex((entry) => entry.kind === 'begun' && entry.step === 'work') + 1);
  assert.deepEqual(fold(await judged(making)).begun.map(({ names }) => names), [[id('a')]]);
});

test('a restore that was begun explains what may lie on the token by its names', async () => {
  const { entries, lines } = await scriptedRecord({ script: 'recovery' });
  const at = entries.findIndex((entry) => entry.kind === 'begun' && 'quorum' in ((entry.data as { intent: object }).intent) && 'ids' in ((entry.data as { intent: object }).intent));
  const { ids } = (entries[at]?.data as { intent: { ids: string[] } }).intent;
  assert.ok(ids.length > 0);
  assert.deepEqual(fold(await judged(lines.slice(0, at + 1))).begun.map(({ names }) => names), [ids]);
});

test('what an aborted ceremony left is a finding, until somebody destroys it', async () => {
  const start = new ScriptedRoom();
  await start.run('prove-root');
  const { key } = start.state;
  const left = (['private-key', 'public-key'] as const).map((kind) => ({ class: kind, id: key?.parts[0]?.id ?? '', label: 'Root CA', keyType: 'CKK_EC' }));
  const aborted = await judged((await scriptedRecord({ happenings: { 'prove-root': [{ kind: 'abort', left }] } })).lines);
  const { keys, findings } = fold(aborted);
  assert.deepEqual(findings.map(({ rule, keys: about }) => [rule, about]), [['LEFT-BEHIND', [keys[0]?.identity]]]);
  const check: KeyCheck = { method: 'SHA-256 of SubjectPublicKeyInfo', value: toHex(sha256(fromBase64url(key?.spki ?? ''))) };
  const cleared = await judged((await volume({ seed: 'clearing', opensAt: Date.UTC(2026, 3, 1) }, ...left.map((object) => destroy('TOKEN-root-hsm', { ...object, check })))).lines);
  const after = fold(cleared, aborted);
  assert.deepEqual([after.findings, after.keys[0]?.state, after.keys[0]?.destruction.level], [[], 'destroyed', 'L1']);
});

test('a record that does not verify ends nothing, and what it alone knows is marked', async () => {
  const [first, forged] = [await volume({}, ...await workbook()), await volume({ seed: 'forged', opensAt: Date.UTC(2026, 5, 1) }, destroy('0417', secretReference('copy', 'Renamed', A.check)), makeSecret('0417', 'new', 'Invented', cmac('ffffff')))];
  const whole = fold(await judged(forged.lines), await judged(first.lines));
  assert.equal(named(whole.keys, 'Data').state, 'destroyed');
  const tampered = await judged(forged.lines.map((line, i, all) => (i === all.length - 1 ? line.replace(/"signature":"../, '"signature":"AA') : line)));
  assert.equal(tampered.verdict.verdict, 'refused');
  const { keys, findings, records } = fold(tampered, await judged(first.lines));
  assert.deepEqual(findings.map(({ rule }) => rule), ['RECORD-NOT-BELIEVED']);
  assert.deepEqual(records, { believed: 1, refused: 1 });
  assert.deepEqual([named(keys, 'Data').state, named(keys, 'Data').destruction.destroyed], ['pre-activation', 1]);
  const invented = named(keys, 'Invented');
  // A sound record that lies there once more, spoiled, names no copy twice.
  const [composite, early] = [await scriptedRecord({ script: 'composite-ca', place: 'split' }), await volume({}, ...(await workbook()).slice(0, 5))];
  for (const lines of [composite.lines, early.lines]) {
    const sound = fold(await judged(lines));
    const copy = await judged(lines.map((line, i, all) => (i === all.length - 1 ? line.replace(/"signature":"../, '"signature":"AA') : line)));
    assert.equal(copy.verdict.verdict, 'refused');
    const both = fold(await judged(lines), copy);
    for (const [index, key] of both.keys.entries()) assert.deepEqual([key.copies, key.destruction, key.whoCan], [sound.keys[index]?.copies, sound.keys[index]?.destruction, sound.keys[index]?.whoCan]);
  }
  const elsewhere = await volume({ seed: 'forged', opensAt: Date.UTC(2026, 0, 1) }, { intent: order('import-key', '0666', { id: id('ec9'), label: 'Signer 9', kind: 'ec-p256', attributes: {}, file: 'key.p8', sha256: '0'.repeat(64) }), result: ecRead('ec9', 'Signer 9', false) });
  const more = named(fold(await judged(first.lines), await judged(elsewhere.lines.map((line, i, all) => (i === all.length - 1 ? line.replace(/"signature":"../, '"signature":"AA') : line)))).keys, 'Signer');
  assert.deepEqual([more.destruction.known, more.whoCan, more.copies.filter(({ believed }) => !believed).map(place)], [3, named(fold(await judged(first.lines)).keys, 'Signer').whoCan, ['private-key "Signer 9" 0666', 'public-key "Signer 9" 0666']]);
  assert.ok(more.unknown.includes('a record that does not verify names more copies'));
  assert.deepEqual(more.events.map(({ at }) => at), more.events.map(({ at }) => at).sort(), 'one life');
  assert.deepEqual([invented.believed, invented.state, invented.events.every(({ believed }) => !believed)], [false, null, true]);
});

/** The ceremony that destroys what the records know of a key, as the list is made of it. */
async function destruction(before: readonly JudgedRecord[], label: string, options: RecordOptions = {}): Promise<ScriptedRecord> {
  const inventory = fold(...before);
  return scriptedRecord({ script: 'key-destruction', seed: 'destruction', opensAt: Date.UTC(2026, 8, 1), copies: planDestruction(inventory, named(inventory.keys, label), { people: [], retention: [], despite: 'Not needed.' }), ...options });
}
const ends = ({ copies }: InventoryKey) => copies.filter(holdsSecret).map((copy) => `${copy.kind} ${copy.end?.level ?? 'stands'}`);

test('a destroyed key is destroyed for the inventory as for its certificate: with a part wrapped in its record, and with a file', async () => {
  const composite = await judged((await scriptedRecord({ script: 'composite-ca', place: 'split' })).lines);
  const book = await judged((await volume({}, ...await workbook())).lines);
  const rows: readonly (readonly [JudgedRecord, string, readonly string[], string | null])[] = [
    [composite, fold(composite).keys[0]?.label ?? '', ['wrapped-part L1', 'object L1', 'share-set L1'], 'L1'],
    [book, 'Signer', ['object L1', 'wrapped-file L0', 'object L1'], 'L0'],
  ];
  for (const [before, label, copies, level] of rows) {
    const carried = await destruction([before], label);
    const { keys, findings } = fold(before, await judged(carried.lines));
    const key = named(keys, label);
    const claimed = claimsOn(carried.state.destruction);
    assert.deepEqual([ends(key), key.state, key.destruction.level, findings], [copies, 'destroyed', level, []]);
    assert.equal(key.destruction.level, claimed.level, 'no other than the certificate says');
    assert.deepEqual(key.whoCan, []);
  }
});

test('until a fresh process has looked, an end is at L0: of a ceremony that was aborted it stays there, and what is found again stands', async () => {
  const made = await judged((await volume({}, makeSigner)).lines);
  const rows: readonly (readonly [RecordOptions, readonly string[], KeyState, string | null, readonly string[]])[] = [
    [{}, ['object L1'], 'destroyed', 'L1', []],
    [{ happenings: { confirm: [{ kind: 'abort' }] } }, ['object L0'], 'destroyed', 'L0', []],
    [{ happenings: { confirm: [{ kind: 'stop' }] } }, ['object L0'], 'destroyed', 'L0', []],
    [{ happenings: { destroy: [{ kind: 'abort' }] } }, ['object stands'], 'pre-activation', null, []],
    [{ stillThere: [1] }, ['object stands'], 'pre-activation', null, ['NOT-DESTROYED']],
    [{ stillSigns: [1] }, ['object stands'], 'pre-activation', null, ['NOT-DESTROYED']],
  ];
  for (const [options, copies, state, level, rules] of rows) {
    const carried = await destruction([made], 'Signer', options);
    const { keys, findings } = fold(made, await judged(carried.lines));
    const key = named(keys, 'Signer');
    assert.deepEqual([ends(key), key.state, key.destruction.level, findings.map(({ rule }) => rule)], [copies, state, level, rules], JSON.stringify(options));
    assert.equal(level, claimsOn(carried.state.destruction).level, JSON.stringify(options));
    assert.equal(key.passages.at(-1)?.to, state);
  }
});

test('a destruction that broke off in the middle of a copy names the key, and has only asked for its end', async () => {
  const made = await judged((await volume({}, makeSigner)).lines);
  const { entries, lines } = await destruction([made], 'Signer');
  const at = entries.findIndex(({ kind, step }) => kind === 'begun' && step === 'destroy');
  const { keys, findings } = fold(made, await judged(lines.slice(0, at + 1)));
  const key = named(keys, 'Signer');
  assert.deepEqual(findings.map(({ rule, keys: about }) => [rule, about]), [['BEGUN-UNEXPLAINED', [key.identity]]]);
  assert.deepEqual([ends(key), key.copies[0]?.end?.how, key.state], [['object L0'], 'its destruction was begun, and has no outcome', 'pre-activation']);
});

test('a share that a custody movement says lies on a sheet keeps a set from ending, and is said', async () => {
  const root = await scriptedRecord();
  const set = root.state.backup?.set.id ?? assert.fail();
  const cards = (...xs: readonly number[]) => volume({ seed: 'cards', opensAt: Date.UTC(2026, 8, 1) }, ...xs.map((x) => initialise(`SHARE-custodian-${x}`)));
  const moved = (kind: string, identifier: string) => scriptedRecord({
    script: 'custody-movement', seed: 'moved', opensAt: Date.UTC(2026, 7, 1), movements: `${MOVEMENTS_HEADER}\n${kind},${identifier},${set},3,Dmitri Kustov,hq,Chiara Custos,vault,Kept apart\n`,
    people: { 'custodian-1': 'Dmitri Kustov', 'custodian-2': 'Chiara Custos' }, identityCards: { 'custodian-1': 'CARD-custodian-3', 'custodian-2': 'CARD-custodian-2' },
  });
  const rows: readonly (readonly [string, readonly ScriptedRecord[], boolean])[] = [
    ['two cards gone', [await cards(2, 3)], false],
    ['two cards gone, and a sheet has the share of one', [await moved('sheet', 'S-7'), await cards(2, 3)], true],
    ['the card itself was moved', [await moved('card', 'SHARE-custodian-3'), await cards(2, 3)], false],
    ['all cards gone: the sheet alone is too few', [await moved('sheet', 'S-7'), await cards(1, 2, 3)], false],
  ];
  for (const [what, records, left] of rows) {
    const inventory = fold(await judged(root.lines), ...await Promise.all(records.map(({ lines }) => judged(lines))));
    const key = named(inventory.keys, 'Root CA');
    assert.deepEqual([key.copies.find(({ kind }) => kind === 'share-set')?.end === null, key.unknown.some((words) => words === `sheet S-7 holds share 3 of set ${set}, says a custody movement`)], [left, what.includes('sheet')], what);
  }
});

test('the level of a key is the least of its copies\', and one copy that stands leaves none', () => {
  const copy = (level: 'L0' | 'L1' | 'L3' | 'L5' | null): Copy => ({ kind: 'wrapped-file', method: '', under: '', since: { ceremony: '', seq: 0, at: '' }, believed: true, end: level && { level, how: '', ceremony: '', seq: 1, at: '' } });
  const rows = [[['L3', 'L1'], 'L1', 2], [['L5', 'L3'], 'L3', 2], [['L1', 'L0'], 'L0', 1], [['L5', null], null, 1], [[], null, 0]] as const;
  for (const [levels, level, destroyed] of rows) {
    const answer = destructionOf(levels.map(copy), false);
    assert.deepEqual([answer.level, answer.destroyed], [level, destroyed], answer.words);
  }
});

test('folding never depends on the order in which records are given, and unrelated ones do not touch each other', async () => {
  const records = await Promise.all([
    scriptedRecord({ seed: 'one' }), scriptedRecord({ seed: 'two', script: 'composite-ca', place: 'split' }), scriptedRecord({ seed: 'three', happenings: { 'prove-root': [{ kind: 'abort' }] } }),
    scriptedRecord({ seed: 'four', script: 'crl' }), volume({ seed: 'five' }, ...await workbook()),
  ].map(async (record) => judged((await record).lines)));
  const alone = new Map(records.map((record) => [record, fold(record).keys]));
  const inOrder = (keys: readonly InventoryKey[]) => [...keys].sort((a, b) => (a.identity < b.identity ? -1 : 1));
  fc.assert(fc.property(fc.shuffledSubarray(records, { minLength: 1 }), (some) => {
    const together = fold(...some);
    assert.deepEqual(together, fold(...records.filter((record) => some.includes(record))));
    assert.deepEqual(inOrder(together.keys), inOrder(some.flatMap((record) => alone.get(record) ?? [])));
  }), { seed: SEED, numRuns: 8 });
});
