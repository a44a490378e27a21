/** The logic behind the dialogs of the Tokens room: wishes and what speaks against them, and a volume as the page tells it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { orderFault } from '../../ceremonies/administration.ts';
import { CHANGE_KINDS, KEY_KINDS, type ChangeKind } from '../../ceremonies/evidence.ts';
import { KINDS, PURPOSE_NAMES } from '../../ceremonies/keys/template.ts';
import { ChangeRequest } from '../../electron/contract.ts';
import {
  attributesOf, changedAttributes, changesIn, despiteOf, findingsOf, kindsFor, loggedInSince, officerOf, toldAttributes, unanswered, wishFor, wrappedFile,
} from '../../renderer/changes.ts';
import { createConclave, type World } from '../../renderer/store.ts';
import { PretendBridge } from './bridge.ts';
import { pretendedObject } from './pretend-tokens.ts';

const world: World = { now: () => performance.now(), rest: () => new Promise((resolve) => { setImmediate(resolve); }) };

test('what is offered first for a purpose can be ordered as it stands', () => {
  for (const purpose of PURPOSE_NAMES) {
    const wish = wishFor(purpose);
    assert.ok(kindsFor(purpose).includes(wish.kind), purpose);
    assert.deepEqual(unanswered(findingsOf(wish), []), [], purpose);
  }
  assert.equal(wishFor('key-encryption', 'rsa-4096').kind, 'rsa-4096', 'the kind stays where it fits the new purpose');
  assert.equal(wishFor('key-encryption', 'ed25519').kind, 'aes-256');
});

test('a danger is ordered only by name, and a key that could do nothing not at all', () => {
  const wish = wishFor('key-encryption');
  const dangerous = { ...wish, attributes: { ...wish.attributes, decrypt: true } };
  const findings = findingsOf(dangerous);
  assert.deepEqual(unanswered(findings, []).map(({ rule }) => rule), ['KEY-WRAP-DECRYPT']);
  assert.deepEqual(unanswered(findings, ['KEY-WRAP-DECRYPT']), []);
  assert.deepEqual(despiteOf(findings, ['KEY-WRAP-DECRYPT', 'KEY-EXTRACTABLE']), ['KEY-WRAP-DECRYPT'], 'what is no danger of this key is not named');
  const idle = { ...wish, attributes: { ...wish.attributes, wrap: false, unwrap: false } };
  assert.deepEqual(unanswered(findingsOf(idle), ['TEMPLATE-NO-USE']).map(({ rule }) => rule), ['TEMPLATE-NO-USE']);
});

test('whatever a person ticks: an order that the form lets out is one that is not refused for a danger', () => {
  const modules = [{ name: 'm', kind: 'pkcs11' as const, path: '', sha256: '', library: '', version: '' }];
  for (const kind of KEY_KINDS) {
    const { uses, protection } = attributesOf(kind);
    for (const name of [...uses, ...protection]) {
      const wish = wishFor('signing');
      const attributes = { ...wish.attributes, [name]: !(wish.attributes[name] ?? false) };
      const findings = findingsOf({ ...wish, kind, attributes });
      const despite = despiteOf(findings, findings.map(({ rule }) => rule));
      const order = { id: 'ab'.repeat(16), label: 'x', kind, attributes, despite };
      assert.equal(orderFault({ change: 'generate-key', module: 'm', token: '1', order }, modules, 'rehearsal')?.rule, undefined, `${kind}, ${name}`);
    }
    assert.equal(protection.includes('alwaysAuthenticate'), KINDS[kind].pair, kind);
  }
});

test('only what is different is ordered, and only what the token told can be', () => {
  const told = toldAttributes([
    { name: 'CKA_SIGN', number: 1, hex: '01', text: 'true' },
    { name: 'CKA_WRAP_WITH_TRUSTED', number: 2, hex: '00', text: 'false' },
    { name: 'CKA_LABEL', number: 3, hex: '', text: 'true' },
    { name: 'CKA_DERIVE', number: 4, hex: '', text: null },
  ]);
  assert.deepEqual(told, { wrapWithTrusted: false, sign: true });
  assert.deepEqual(changedAttributes(told, { ...told, sign: false }), { sign: false });
  assert.deepEqual(changedAttributes(told, told), {});
});

test('files: only what wrap-key wrote is a wrapped key', () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  for (const other of ['', '{', '[]', '{"format":"conclave-token-key/1"}', '\ud800']) assert.equal(wrappedFile(bytes(other)), null, other);
  assert.equal(wrappedFile(Uint8Array.of(0xff, 0xfe)), null);
});

/** A change of every kind, as its dialog asks for it. */
function requests(token: string): Record<ChangeKind, ChangeRequest> {
  const on = { module: 'softhsm', token };
  const place = { position: 5, object: pretendedObject(5) };
  const file = { file: 'f', bytes: new Uint8Array([0x30, 0x03, 0x02, 0x01, 0x00]) };
  const key = { label: 'Payments', kind: 'aes-256' as const, attributes: wishFor('data-encryption').attributes, despite: [] };
  const wrapped = {
    format: 'conclave-token-key/1', method: 'AES-KWP', mechanism: 'CKM_AES_KEY_WRAP_KWP', encapsulation: null, wrapped: 'AAAA',
    key: { id: '0a'.repeat(16), label: 'Travels', kind: 'aes-256', attributes: { sensitive: true, encrypt: true }, check: { method: 'none', value: '' }, spki: null },
    under: { token, id: '05', label: 'KEK', check: { method: 'none', value: '' } },
  };
  return {
    'init-token': { change: 'init-token', ...on, label: 'HSM-B' },
    'set-user-pin': { change: 'set-user-pin', ...on },
    'change-pin': { change: 'change-pin', ...on, whose: 'so' },
    'generate-key': { change: 'generate-key', ...on, ...key },
    'import-key': { change: 'import-key', ...on, ...key, file },
    'import-certificate': { change: 'import-certificate', ...on, place, label: 'Server', file },
    'copy-object': { change: 'copy-object', ...on, place, label: 'Copy', attributes: {}, despite: [] },
    'edit-object': { change: 'edit-object', ...on, place, label: 'Other', id: null, attributes: {}, despite: [] },
    'destroy-object': { change: 'destroy-object', ...on, place, typed: 'destroy Server key 6' },
    'wrap-key': { change: 'wrap-key', ...on, place, under: { position: 2, object: pretendedObject(2) }, recipient: null, method: 'RSA-OAEP' },
    'unwrap-key': { change: 'unwrap-key', ...on, under: place, file: { file: 'w.json', bytes: new TextEncoder().encode(JSON.stringify(wrapped)) }, label: null, attributes: {}, despite: [] },
    'sign-request': { change: 'sign-request', ...on, place, subject: 'CN=a' },
    'self-sign': { change: 'self-sign', ...on, place, subject: 'CN=a', days: 30 },
  };
}

/** A store that follows a volume which waits for its first step. */
async function logIn(bridge: PretendBridge) {
  const store = createConclave(bridge, world);
  await store.getState().start();
  const opened = await store.getState().ask({ call: 'log-in', name: 'Ann', module: 'softhsm', card: null, mode: 'rehearsal', standIns: true });
  const ceremony = opened?.ceremony ?? '';
  await store.getState().watch(ceremony);
  return { store, ceremony };
}

test('a volume from log-in to signature: every change is told with what came of it, in order', async () => {
  const bridge = new PretendBridge();
  const { store, ceremony } = await logIn(bridge);
  const record = () => store.getState().record!;
  for (const step of ['read-hash/officer', 'log-in/officer']) await store.getState().ask({ call: 'act', ceremony, step, acceptFinalTry: false });
  assert.equal(officerOf(record().state), 'Ann');
  const since = loggedInSince(record().rows);
  const asked = requests('00000000deadbeef');
  const order = [...CHANGE_KINDS.filter((change) => change !== 'init-token'), 'init-token' as const];
  for (const change of order) {
    assert.equal(ChangeRequest.safeParse(asked[change]).success, true, change);
    const answer = await store.getState().ask({ call: 'administer', ceremony, request: asked[change], acceptFinalTry: false });
    assert.deepEqual(store.getState().trouble, null, change);
    // The answer is there only once its line is: a dialog tells what came of a change from the record.
    assert.deepEqual(changesIn(record().rows).at(-1)?.result, answer?.result, change);
  }
  assert.equal(store.getState().trouble, null);
  await store.getState().ask({ call: 'log-out', ceremony });
  await store.getState().ask({ call: 'act', ceremony, step: 'seal-1/officer', acceptFinalTry: false });
  assert.deepEqual(changesIn(record().rows).map(({ intent }) => intent.change), order, 'the log-out is no change');
  assert.equal(loggedInSince(record().rows), since);
  assert.equal(record().state.phase, 'closed');
});

test('lines that are pushed after the answer are read before the button is back', async () => {
  const bridge = new PretendBridge();
  const { store, ceremony } = await logIn(bridge);
  bridge.rooms[0]!.onLines = () => undefined; // these get lost on the way
  await store.getState().ask({ call: 'act', ceremony, step: 'read-hash/officer', acceptFinalTry: false });
  assert.equal(store.getState().record?.rows.length, bridge.rooms[0]!.lines.length);
});
