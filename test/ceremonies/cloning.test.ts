/** One key on two tokens: each rule of the comparison broken once, what may differ and why, and what the auditor and the inventory make of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBase64url, fromUtf8, toBase64url, utf8 } from '../../ceremonies/bytes.ts';
import { cloneDifferences } from '../../ceremonies/cloning.ts';
import type { Evidence } from '../../ceremonies/evidence.ts';
import { makeBundle, openFile } from '../../ceremonies/bundle.ts';
import { foldInventory } from '../../ceremonies/inventory.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import { at, eachRefused, edit, inside, type Loose, type Place, type Row } from './places.ts';
import { fileOf, rewritten, scriptedRecord } from './scripted.ts';

const split = await scriptedRecord({ script: 'ha-clone' });
const simple = await scriptedRecord({ script: 'ha-clone', ca: { algorithm: 'ecdsa-p384', place: 'token' } });
const foreign = await scriptedRecord({ script: 'recovery', ca: { algorithm: 'ecdsa-p384', place: 'token' }, seed: 'another key' });

const opened = at(split, 'opened');
const [begun, done, plain] = [at(split, 'begun', 'compare'), at(split, 'done', 'compare'), at(simple, 'done', 'compare')];
const half = (e: Loose, which: 'primary' | 'second', index = 0) => ((e[which] as Loose)['parts'] as Loose[])[index]!['private'] as Loose;
const withKey = (place: Place, change: object): Place => ({ ...place, before: { ...place.before, key: { ...place.before.key ?? assert.fail('no key'), ...change } } });

const ROWS: readonly Row[] = [
  ['CLONE-SAME-KEY', 'the backup of another key', edit(opened, (data) => { (data['inputs'] as Record<string, Loose>)['backup']!['bytes'] = foreign.state.opening?.inputs['backup']?.bytes; })],
  ['INPUTS-COMPLETE', 'no key record', edit(opened, (data) => { delete (data['inputs'] as Loose)['key']; })],
  ['ONE-CARD-ONE-PERSON', 'one token for both', edit(opened, (data) => { const tokens = (data['bindings'] as Loose)['tokens'] as Record<string, Loose>; tokens['second'] = tokens['primary']!; })],
  ['KEY-BOUND', 'another token than the key\'s record names', edit(opened, (data) => { const tokens = (data['bindings'] as Loose)['tokens'] as Record<string, Loose>; tokens['primary'] = { ...tokens['primary']!, serial: 'TOKEN-other' }; })],
  ['KEY-BEFORE-USE', 'before the key is restored', { ...begun, before: { ...begun.before, key: null } }],
  ['KEY-BEFORE-USE', 'a key that was there before', withKey(begun, { restored: false })],
  ['TOKEN-BOUND', 'another first token', inside(begun, (i) => { i['token'] = 'TOKEN-other'; })],
  ['TOKEN-BOUND', 'another second token', inside(begun, (i) => { i['with'] = 'TOKEN-other'; })],
  ['KEY-BOUND', 'other CKA_IDs', inside(begun, (i) => { (i['ids'] as string[])[0] = '00'; })],
  ['PROOF-OF-POSSESSION', 'one nonce for both', inside(begun, (i) => { const nonces = i['nonces'] as string[]; nonces[1] = nonces[0]!; })],
  ['TOKEN-BOUND', 'another first token answered', inside(done, (e) => { (e['primary'] as Loose)['token'] = 'TOKEN-other'; })],
  ['TOKEN-BOUND', 'another second token answered', inside(done, (e) => { (e['second'] as Loose)['token'] = 'TOKEN-other'; })],
  ['CLONE-SAME-KEY', 'another key on the first token', inside(done, (e) => { (e['primary'] as Loose)['spki'] = 'AAAA'; })],
  ['CLONE-SAME-KEY', 'another key on the second token', inside(done, (e) => { (e['second'] as Loose)['spki'] = 'AAAA'; })],
  ['CLONE-SAME-KEY', 'another half on the first token', inside(done, (e) => { ((e['primary'] as Loose)['parts'] as Loose[])[0]!['spki'] = 'AAAA'; })],
  ['PUBLIC-PARAMETERS', 'another half on the second token', inside(done, (e) => { ((e['second'] as Loose)['parts'] as Loose[])[0]!['spki'] = 'AAAA'; })],
  ['KEY-BOUND', 'another object on the first token', inside(plain, (e) => { half(e, 'primary')['id'] = '00'; })],
  ['KEY-BOUND', 'another object on the second token', inside(plain, (e) => { half(e, 'second')['id'] = '00'; })],
  ['WEAK-KEY', 'no weak-key tests', inside(done, (e) => { (e['primary'] as Loose)['weakTests'] = []; })],
  ['PROOF-OF-POSSESSION', 'the first signed another message', inside(done, (e) => { ((e['primary'] as Loose)['possession'] as Loose)['message'] = 'AAAA'; })],
  ['PROOF-OF-POSSESSION', 'the second signed the first one\'s message', inside(done, (e) => { ((e['second'] as Loose)['possession'] as Loose)['message'] = ((e['primary'] as Loose)['possession'] as Loose)['message']; })],
  ['CLONE-ATTRIBUTES', 'the first may still leave its token', inside(plain, (e) => { half(e, 'primary')['extractable'] = true; })],
  ['CLONE-ATTRIBUTES', 'the second may also decrypt', inside(plain, (e) => { half(e, 'second')['decrypt'] = true; half(e, 'primary')['decrypt'] = false; })],
  ['ATTRIBUTES-AS-SCRIPTED', 'the second says that it was always there', inside(plain, (e) => { half(e, 'second')['local'] = true; })],
];
eachRefused(ROWS, split, simple);

test('what differs is what a key that was outside cannot have, each with its reason; what a token does not tell differs from nothing', () => {
  const evidence = (plain.entry.data as unknown as { evidence: Evidence<'compare-keys'> }).evidence;
  assert.deepEqual(cloneDifferences(evidence).map(({ attribute, primary, second, why }) => [attribute, primary, second, why !== null]).filter(([name]) => name !== 'id'), [
    ['local', 'true', 'false', true], ['alwaysSensitive', 'true', 'false', true], ['neverExtractable', 'true', 'false', true],
  ]);
  const untold = structuredClone(evidence);
  Object.assign(untold.second.parts[0]!.private!, { local: null, sign: null });
  assert.deepEqual(cloneDifferences(untold).map(({ attribute }) => attribute), ['alwaysSensitive', 'neverExtractable', 'id']);
});

test('the auditor computes both proofs again; a signature of another message, or another wrapped half, is named', async () => {
  for (const record of [split, simple]) assert.deepEqual((await verifyTranscript(record.bytes)).verdict.findings, []);
  const spoiled = async (which: 'primary' | 'second', change: (proof: Loose) => void) => {
    const { verdict } = await verifyTranscript(fileOf(rewritten(split, (entry) => {
      if (entry.kind !== 'done' || entry.step !== 'compare') return entry;
      const copy = structuredClone(entry);
      change(((copy.data as unknown as Loose)['evidence'] as Record<string, Loose>)[which]!);
      return copy;
    })));
    return verdict.findings.map(({ rule }) => rule);
  };
  const signature = (proof: Loose) => { const own = proof['possession'] as { signature: string }; const bytes = fromBase64url(own.signature); bytes[bytes.length - 1]! ^= 1; own.signature = toBase64url(bytes); };
  const wrapped = (proof: Loose) => { ((proof['parts'] as Loose[])[0]!['wrapped'] as Loose)['bytes'] = toBase64url(utf8('another')); };
  for (const which of ['primary', 'second'] as const) {
    assert.ok((await spoiled(which, signature)).includes('PROOF-OF-POSSESSION'), which);
    assert.ok((await spoiled(which, wrapped)).includes('KEY-PARTS'), which);
  }
});

test('a lost attempt is begun again: nothing was left behind; the inventory has both copies, and who can use them', async () => {
  const crashed = await scriptedRecord({ script: 'ha-clone', happenings: { compare: [{ kind: 'crash' }] } });
  assert.deepEqual([crashed.state.phase, crashed.entries.filter(({ step, kind }) => step === 'compare' && kind !== 'witnessed').map(({ kind }) => kind)], ['closed', ['begun', 'begun', 'done']]);
  const [key] = foldInventory([{ verdict: (await verifyTranscript(simple.bytes)).verdict, lines: simple.lines }]).keys;
  assert.deepEqual(key?.copies.flatMap((copy) => (copy.kind === 'object' && copy.class === 'private-key' ? [[copy.token, copy.attributes?.local]] : [])), [['TOKEN-primary', true], ['TOKEN-second', false]]);
  assert.deepEqual(key?.whoCan.slice(0, 1).concat(key.whoCan.filter((who) => who.includes('TOKEN-second'))), ['who has the user PIN of token TOKEN-primary (embedded)', 'who has the user PIN of token TOKEN-second (embedded)']);
  assert.ok(key?.events.some(({ what }) => what.startsWith('the same key on token TOKEN-primary and on token TOKEN-second')));
  const minutes = fromUtf8((openFile(makeBundle(simple.lines)).files ?? assert.fail()).get('minutes.html') ?? assert.fail());
  assert.ok(minutes.includes('The key on token TOKEN-second is the key on token TOKEN-primary'));
  assert.ok(minutes.includes('local is true on the first, false on the second: the copy was not generated on its token'));
});
