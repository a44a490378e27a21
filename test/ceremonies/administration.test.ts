/** Orders and results of administration: what may be ordered, what proves it, and a whole volume of the logbook, judged. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createdId, destroyPhrase, orderFault, orderRisks, resultFault } from '../../ceremonies/administration.ts';
import { check, EMPTY, type Entry } from '../../ceremonies/ceremony.ts';
import { CHANGE_KINDS, KEY_KINDS, type ChangeKind, type ChangeOrder, type Intent, type KeyAttributes, type ModuleFacts, type ObjectReference, type TokenFacts } from '../../ceremonies/evidence.ts';
import { safeAttributes } from '../../ceremonies/keys/template.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import { nativeHasher } from '../../electron/conductor/machine.ts';
import { SEED } from './keys/seed.ts';
import { fileOf, ScriptedRoom } from './scripted.ts';

const MODULES: readonly ModuleFacts[] = [
  { name: 'hsm', kind: 'pkcs11', path: '/usr/lib/hsm.so', sha256: '', library: 'HSM', version: '1.0' },
  { name: 'software', kind: 'software', path: '', sha256: '', library: 'Software token', version: '1' },
];
const TOKEN: TokenFacts = { serial: '0417', label: 'HSM-A', model: 'M', manufacturer: 'V', firmware: '1', hardware: '1', flags: ['CKF_TOKEN_INITIALIZED', 'CKF_USER_PIN_INITIALIZED'] };
const AES: ObjectReference = { class: 'secret-key', id: '0a', label: 'KEK', keyType: 'CKK_AES', check: { method: 'CMAC of zeros, 3 bytes (ANSI X9.24-1)', value: 'a1b2c3' } };
const ID = 'ab'.repeat(16);

const order = (change: ChangeKind, given: object, module = 'hsm'): Intent<'administer'> => ({ change, module, token: '0417', order: given as Record<string, unknown> });
const generate = (given: Partial<ChangeOrder<'generate-key'>> = {}) => order('generate-key', { id: ID, label: 'Data', kind: 'aes-256', attributes: { sensitive: true, extractable: false, private: true, encrypt: true, decrypt: true }, ...given });
const rule = (intent: Intent<'administer'>, mode: 'rehearsal' | 'real' = 'rehearsal') => orderFault(intent, MODULES, mode)?.rule ?? null;

test('what may be ordered', () => {
  const rows: readonly (readonly [string, Intent<'administer'>, string | null])[] = [
    ['a safe key', generate(), null],
    ['a log-out', { change: 'log-out' }, null],
    ['a module that was not there', order('set-user-pin', {}, 'other'), 'MODULE-KNOWN'],
    ['an order of another change', order('init-token', { whose: 'so' }), 'ENTRY-DATA'],
    ['another token than the one that was seen', order('init-token', { label: 'NEW', seen: { ...TOKEN, serial: '0418' } }), 'TOKEN-BOUND'],
    ['a label of 33 bytes', order('init-token', { label: 'ä'.repeat(17), seen: TOKEN }), 'LABEL-LENGTH'],
    ['a label that reads as another', generate({ label: 'Da\u202eta' }), 'TEXT-PRINTABLE'],
    ['wrap and decrypt', generate({ attributes: { sensitive: true, extractable: false, private: true, wrap: true, decrypt: true } }), 'KEY-WRAP-DECRYPT'],
    ['the same, and the officer answers for it', generate({ attributes: { sensitive: true, extractable: false, private: true, wrap: true, decrypt: true }, despite: ['KEY-WRAP-DECRYPT'] }), null],
    ['extractable, and nothing is said of trusted keys', generate({ attributes: { extractable: true } }), 'KEY-EXTRACTABLE'],
    ['nothing said: the safe values', generate({ attributes: {} }), null],
    ['destruction without the words', order('destroy-object', { object: AES, typed: 'destroy kek' }), 'DESTROY-TYPED'],
    ['destruction in the right words', order('destroy-object', { object: AES, typed: 'destroy KEK' }), null],
    ['hybrid without a recipient', order('wrap-key', { key: AES, under: AES, recipient: null, method: 'hybrid' }), 'WRAP-UNDER'],
    ['a stateful key out of its token', order('wrap-key', { key: { ...AES, class: 'private-key', keyType: 'CKK_HSS' }, under: AES, recipient: null, method: 'AES-KWP' }), 'STATEFUL-NEVER-COPIED'],
    ['a stateful key twice', order('copy-object', { object: { ...AES, class: 'private-key', keyType: 'CKK_XMSS' }, id: ID, label: 'two', attributes: {} }), 'STATEFUL-NEVER-COPIED'],
  ];
  for (const [what, intent, expected] of rows) assert.equal(rule(intent), expected, what);
  assert.equal(rule(order('set-user-pin', {}, 'software'), 'real'), 'REAL-NEEDS-TOKEN');
  assert.equal(destroyPhrase({ label: '', id: '0a' }), 'destroy 0a');
});

test('safe attributes of a purpose are no danger for any kind that ships', () => {
  for (const kind of KEY_KINDS) assert.deepEqual(orderRisks(kind, safeAttributes('signing')).filter(({ weight }) => weight === 'danger'), [], kind);
});

const SECRET: KeyAttributes = {
  class: 'secret-key', keyType: 'CKK_AES', id: ID, label: 'Data', token: true, private: true, sensitive: true, extractable: false, alwaysSensitive: true, neverExtractable: true, local: true,
  modifiable: false, sign: false, verify: false, encrypt: true, decrypt: true, wrap: false, unwrap: false, derive: false, generatedBy: 'CKM_AES_KEY_GEN', keysRemaining: null,
};
const READ = {
  private: null, public: null, secret: SECRET, spki: null, check: { method: 'CMAC of zeros, 3 bytes (ANSI X9.24-1)' as const, value: '0a0b0c' },
  more: { copyable: null, destroyable: null, wrapWithTrusted: null, alwaysAuthenticate: null, encapsulate: null, decapsulate: null }, weakTests: [], tried: [{ name: 'encrypt and decrypt', detail: 'a round trip' }],
};
const made = (change: Partial<KeyAttributes> = {}) => ({ mechanism: 'CKM_AES_KEY_GEN', ...READ, secret: { ...SECRET, ...change } });

test('what proves a change', () => {
  const destroy = order('destroy-object', { object: AES, typed: 'destroy KEK' });
  const fact = { class: 'secret-key', id: '0a', label: 'KEK', keyType: 'CKK_AES' };
  const init = order('init-token', { label: 'NEW', seen: TOKEN });
  const rows: readonly (readonly [string, Intent<'administer'>, object, string | null])[] = [
    ['a key as ordered', generate(), made(), null],
    ['what the token does not answer', generate(), made({ decrypt: null, local: null }), null],
    ['extractable after all', generate(), made({ extractable: true }), 'ATTRIBUTES-AS-ORDERED'],
    ['modifiable, which nobody ordered', generate(), made({ modifiable: true }), null],
    ['readable in plain, which nobody ordered', generate({ attributes: {} }), made({ sensitive: false, extractable: true }), 'KEY-NOT-SENSITIVE'],
    ['a use that nobody ordered', generate({ attributes: {} }), made({ wrap: true }), 'KEY-WRAP-DECRYPT'],
    ['a use that nobody ordered, and somebody answers for', generate({ attributes: {}, despite: ['KEY-WRAP-DECRYPT'] }), made({ wrap: true }), null],
    ['another key', generate(), made({ id: 'cd'.repeat(16) }), 'ATTRIBUTES-AS-ORDERED'],
    ['another kind', generate(), made({ keyType: 'CKK_DES3' }), 'KEY-PARTS'],
    ['a key that was not made here', generate(), made({ local: false }), 'ATTRIBUTES-AS-ORDERED'],
    ['an import that says it was made here', order('import-key', { id: ID, label: 'Data', kind: 'aes-256', attributes: {}, file: 'key.p8', sha256: '0'.repeat(64) }), READ, 'ATTRIBUTES-AS-ORDERED'],
    ['no key at all', generate(), { mechanism: 'CKM_AES_KEY_GEN', ...READ, secret: null }, 'KEY-PARTS'],
    ['a result of another change', generate(), { request: '' }, 'EVIDENCE-MATCHES-ACTION'],
    ['a log-out that did something', { change: 'log-out' }, { object: fact }, 'EVIDENCE-MATCHES-ACTION'],
    ['destroyed', destroy, { object: fact, before: 1, after: 0 }, null],
    ['a token that says yes and keeps it', destroy, { object: fact, before: 1, after: 1 }, 'NOT-DESTROYED'],
    ['two went at once', destroy, { object: fact, before: 3, after: 1 }, 'NOT-DESTROYED'],
    ['initialised', init, { before: TOKEN, after: { ...TOKEN, label: 'NEW', serial: '9' }, objects: 3 }, null],
    ['another token was wiped', init, { before: { ...TOKEN, label: 'HSM-B' }, after: { ...TOKEN, label: 'NEW' }, objects: 3 }, 'TOKEN-MOVED'],
  ];
  for (const kept of [false, true]) {
    const seen = { serial: '0417', label: 'HSM', model: 'M', manufacturer: 'V', firmware: '1', hardware: '1', flags: ['CKF_TOKEN_INITIALIZED'] };
    assert.equal(resultFault(order('init-token', { label: 'NEW', seen }), { before: seen, after: { ...seen, label: 'OTHER' }, objects: 0 }, kept)?.rule, kept ? undefined : 'TOKEN-INITIALISED', 'another label');
  }
  for (const [what, intent, result, expected] of rows) assert.equal(resultFault(intent, result as Record<string, unknown>)?.rule ?? null, expected, what);
});

test('whatever stands in an order or a result: a named refusal, never a crash', () => {
  const value = fc.letrec((tie) => ({ value: fc.oneof({ maxDepth: 3 }, fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.array(tie('value'), { maxLength: 3 }), fc.dictionary(fc.string(), tie('value'), { maxKeys: 4 })) })).value;
  fc.assert(fc.property(fc.constantFrom(...CHANGE_KINDS), fc.dictionary(fc.constantFrom('id', 'label', 'kind', 'attributes', 'object', 'typed', 'seen', 'key', 'file'), value, { maxKeys: 5 }), (change, given) => {
    orderFault(order(change, given), MODULES, 'real');
    if (orderFault(order(change, given), MODULES, 'rehearsal') === null) resultFault(order(change, given), given);
  }), { seed: SEED, numRuns: 400 });
});

test('a volume names the one before it, and a ceremony names nothing', async () => {
  const first = { ceremony: '00'.repeat(16), last: 'A'.repeat(86) };
  const opens = async (script: string, after: typeof first | null | undefined) => {
    const room = new ScriptedRoom({ script });
    await room.next();
    const [opened] = room.entries as [Entry<'opened'>];
    const { after: _, ...data } = opened.data;
    return check(EMPTY, { ...opened, data: { ...data, ...after !== undefined && { after } } })?.rule ?? null;
  };
  assert.deepEqual([await opens('administration', null), await opens('administration', first), await opens('administration', undefined)], [null, null, 'LOGBOOK-CHAIN']);
  assert.deepEqual([await opens('root-ca', undefined), await opens('root-ca', null)], [null, 'LOGBOOK-CHAIN']);
});

test('a volume of the logbook: changes one after another, signed at the end, valid', async () => {
  const room = new ScriptedRoom({ script: 'administration' });
  const intent = { ...generate(), module: 'embedded' };
  room.changes.push({ intent, result: made() }, { intent: order('set-user-pin', {}, 'embedded'), result: { before: TOKEN, after: TOKEN } });
  await room.run();
  const { verdict } = await verifyTranscript(fileOf(room.lines), { hasher: nativeHasher });
  assert.deepEqual(verdict.findings.map(({ rule, found }) => `${rule}: ${found}`), []);
  assert.equal(verdict.verdict, 'valid');
  const changes = room.entries.filter((entry) => entry.kind === 'begun' && entry.step === 'work').length;
  assert.equal(changes, 3, 'two changes and the log-out');
  assert.deepEqual(room.fold.state.ids, [createdId(intent)]);
});
