/** What the records explain beside what tokens hold: each difference a finding of its own, and what was not seen is neither there nor gone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ObjectReading } from '../../ceremonies/estate.ts';
import type { KeyAttributes, ObjectFact } from '../../ceremonies/evidence.ts';
import { explainedObjects, foldInventory, type Holding, type Inventory } from '../../ceremonies/inventory.ts';
import { reconcile, type TokenNow } from '../../ceremonies/reconcile.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import { nativeHasher } from '../../electron/conductor/machine.ts';
import { fileOf, scriptedRecord } from './scripted.ts';

const { lines } = await scriptedRecord();
const { verdict } = await verifyTranscript(fileOf(lines), { hasher: nativeHasher });
const inventory: Inventory = foldInventory([{ verdict, lines }], nativeHasher);
const [CARD, HSM, SHARE] = ['CARD-witness', 'TOKEN-root-hsm', 'SHARE-custodian-1'];

function reading(object: ObjectFact, key: KeyAttributes | null, sha256: string | null): ObjectReading {
  return {
    object, key, attributes: [], unanswered: [], withheld: [], letters: [], certificate: null, trust: { wrapWithTrusted: null, trusted: null, alwaysAuthenticate: null },
    publicKey: sha256 === null ? null : { label: '', spki: '', sha256 },
  };
}

/** A token that holds just what the records explain. */
function faithful(token: string, loggedIn = true): TokenNow {
  const here = explainedObjects(inventory).map(({ object }) => object).filter((object) => object.token === token && (loggedIn || object.class === 'public-key'));
  const factOf = (object: Holding): ObjectFact => ({ class: object.class, id: object.id ?? (object.class === 'data' ? '' : 'cafe'), label: object.class === 'data' && token === CARD ? `${object.label}-cafe` : object.label, keyType: object.keyType });
  return {
    module: 'embedded', token, label: token, loggedIn,
    readings: here.filter(({ class: kind }) => kind !== 'data').map((object) => reading(factOf(object), object.attributes, object.class === 'public-key' ? object.check.value : null)),
    rest: here.filter(({ class: kind }) => kind === 'data').map(factOf),
  };
}

const rules = (...tokens: readonly TokenNow[]) => reconcile(inventory, tokens).findings.map(({ rule }) => rule).sort();
const change = (token: TokenNow, kind: ObjectFact['class'], with_: (one: ObjectReading) => ObjectReading | null): TokenNow =>
  ({ ...token, readings: token.readings.flatMap((one) => (one.object.class === kind ? with_(one) ?? [] : [one])) });

test('tokens that hold just what is explained: identities, seeds and shares too', () => {
  const { findings, tokens, notSeen } = reconcile(inventory, [faithful(CARD), faithful(HSM), faithful(SHARE)]);
  assert.deepEqual(findings, []);
  assert.deepEqual(tokens.map(({ objects, explained }) => [objects, explained]), [[3, 3], [2, 2], [1, 1]]);
  assert.ok(notSeen.some((words) => words.startsWith('token SHARE-custodian-2 of module embedded: 1 explained object, because it was not looked at')));
});

test('each difference is a finding by its name', () => {
  const hsm = faithful(HSM);
  const secret = (more: Partial<KeyAttributes>) => change(hsm, 'private-key', (one) => ({ ...one, key: one.key && { ...one.key, ...more } }));
  const stranger = (object: Partial<ObjectFact>): TokenNow => ({ ...hsm, readings: [...hsm.readings, reading({ class: 'secret-key', id: '77', label: 'behind', keyType: 'CKK_AES', ...object }, null, null)] });
  const rows: readonly (readonly [string, TokenNow, readonly string[]])[] = [
    ['a key that nobody recorded', stranger({}), ['UNKNOWN-OBJECT']],
    ['a private key that nobody recorded, alone', stranger({ class: 'private-key' }), ['HALF-PAIR', 'UNKNOWN-OBJECT']],
    ['a public key that nobody recorded, alone', stranger({ class: 'public-key' }), ['UNKNOWN-OBJECT']],
    ['a second object under the id of a key', stranger({ class: 'private-key', id: hsm.readings[0]?.object.id ?? '', label: 'Root CA' }), ['UNKNOWN-OBJECT']],
    ['the pair gone', { ...hsm, readings: [] }, ['VANISHED-OBJECT', 'VANISHED-OBJECT']],
    ['the public half gone', change(hsm, 'public-key', () => null), ['HALF-PAIR', 'VANISHED-OBJECT']],
    ['the private half gone', change(hsm, 'private-key', () => null), ['HALF-PAIR', 'VANISHED-OBJECT']],
    ['extractable after all', secret({ extractable: true }), ['CHANGED-ATTRIBUTE']],
    ['an answer that is not given any more', secret({ extractable: null }), []],
    ['another label', change(hsm, 'private-key', (one) => ({ ...one, object: { ...one.object, label: 'Other' } })), ['CHANGED-ATTRIBUTE']],
    ['another id', change(hsm, 'public-key', (one) => ({ ...one, object: { ...one.object, id: 'beef' } })), ['CHANGED-ATTRIBUTE']],
    ['another key in its place', change(hsm, 'public-key', (one) => ({ ...one, publicKey: { label: '', spki: '', sha256: 'ab'.repeat(32) } })), ['CHANGED-ATTRIBUTE', 'CHANGED-ATTRIBUTE']],
    ['a share gone', { ...faithful(SHARE), rest: [] }, ['VANISHED-OBJECT']],
    ['a seed of nobody', { ...faithful(CARD), rest: [...faithful(CARD).rest, { class: 'data', id: '', label: 'conclave-identity-beef', keyType: '' }] }, ['UNKNOWN-OBJECT']],
    ['something unreadable', { ...hsm, rest: [{ class: 'unreadable', id: '', label: '', keyType: '' }] }, ['UNKNOWN-OBJECT']],
  ];
  for (const [what, token, expected] of rows) assert.deepEqual(rules(token), expected, what);
  for (const finding of reconcile(inventory, rows.map(([, token]) => token)).findings) assert.notEqual(finding.next, '');
});

test('what nobody logged in to see is not called gone', () => {
  const { findings, notSeen } = reconcile(inventory, [faithful(HSM, false), { ...faithful(SHARE, false) }]);
  assert.deepEqual(findings, []);
  assert.ok(notSeen.includes('token TOKEN-root-hsm (TOKEN-root-hsm, embedded): private objects, because nobody is logged in; the records know of 1'));
});
