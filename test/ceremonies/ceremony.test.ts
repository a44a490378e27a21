/**
 * The rules of a ceremony, each broken once: a genuine record gives the state and the entry that may follow it, the row
 * changes one of the two, and `check` must name the rule. What goes otherwise than planned is played in whole records.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  apply, check, CHECKPOINT_EVERY, EMPTY, inventoryDifference, missingWitnesses, pendingAction, presenceStatement, sealStatement, signersOf,
  type Entry, type Kind, type State,
} from '../../ceremonies/ceremony.ts';
import { fromBase64url, fromUtf8, toBase64url, utf8 } from '../../ceremonies/bytes.ts';
import { scriptHash } from '../../ceremonies/script.ts';
import { MOVEMENTS_HEADER } from '../../ceremonies/shares/movements.ts';
import { SEED } from './keys/seed.ts';
import { at, eachRefused, edit, inside, type Loose, type Place, type Row } from './places.ts';
import { fileOf, rewritten, scriptedRecord, ScriptedRoom } from './scripted.ts';

const plain = await scriptedRecord();
/** A record in which everything that can go otherwise than planned did. */
const eventful = await scriptedRecord({
  happenings: {
    'token-random': [{ kind: 'exception' }, { kind: 'break' }, { kind: 'note', text: 'The door was closed.' }, { kind: 'exception' }],
    'make-root': [{ kind: 'fail', nothingChanged: false, found: 'half', decision: 'clear' }, { kind: 'crash', officer: 'another', found: 'absent' }],
    certify: [{ kind: 'disagree', seat: 'witness' }, { kind: 'fail' }],
    'read-share/custodian-2': [{ kind: 'lost' }],
    'give-share/custodian-2': [{ kind: 'crash' }],
    'seal-6/custodian-1': [{ kind: 'resume' }],
  },
});

/** A composite of which one half is wrapped, and an existing one that signs a CRL: made by the same rules. */
const composite = await scriptedRecord({ script: 'composite-ca', place: 'split' });
const kept = await scriptedRecord({ script: 'composite-ca', place: 'split', happenings: { 'make-root': [{ kind: 'crash', found: 'present', decision: 'clear' }] } });
const existing = await scriptedRecord({ script: 'crl' });
const destruction = await scriptedRecord({ script: 'key-destruction' });
const compromised = await scriptedRecord({ script: 'key-compromise' });
const escrowed = await scriptedRecord({ script: 'escrow-deposit', ca: { algorithm: 'ecdsa-p384', place: 'token' } });
const zeroised = await scriptedRecord({ script: 'token-zeroise', happenings: { zeroise: [{ kind: 'crash', found: 'present', decision: 'keep' }] } });
const moved = await scriptedRecord({ script: 'custody-movement' });

/** Three custodians of whom two exchange something; and a thing that was not there. */
const crowd = await scriptedRecord({ script: readFileSync(join(import.meta.dirname, '../../ceremonies/scripts/custody-movement.yaml'), 'utf8').replace('default: 2', 'default: 3'), movements: `${MOVEMENTS_HEADER}\nbag,B-1,,,custodian-1,a,custodian-2,b,Because\nbag,B-2,,,custodian-3,a,custodian-1,b,Because\n` });
const lost = await scriptedRecord({ script: 'custody-movement', happenings: { 'hand-over/2': [{ kind: 'exception' }] } });
/** A card that nobody could put away; and one that an exception left in the reader, under an older script whose bags have no numbers. */
const missing = await scriptedRecord({ happenings: { 'bag-cards/custodian-2': [{ kind: 'exception' }] } });
const CHANGE = readFileSync(join(import.meta.dirname, '../../ceremonies/scripts/custodian-change.yaml'), 'utf8');
const outside = await scriptedRecord({
  script: CHANGE.replace(/ {2}bags: numbered.*\n/, '').replace('        do: { retire-share:', '        moves: [{ what: new-share-card, from: reader, to: bag }]\n        do: { retire-share:').replace(/ {6}- id: bag-new\n(?: {8}.*\n)+/, ''),
  happenings: { 'retire/custodian-2': [{ kind: 'exception' }] },
});
const moveList = at(moved, 'opened');
const withList = (text: string) => edit(moveList, (data) => { ((data['inputs'] as Loose)['movements'] as Loose)['bytes'] = toBase64url(utf8(text)); });

const opened = at(plain, 'opened');
const openedReal = at(await scriptedRecord({ script: 'mini', mode: 'real' }), 'opened');
const done = (step: string, record = plain) => at(record, 'done', step);
const begun = (step: string, record = plain) => at(record, 'begun', step);
/** Changes the evidence, or the intent. */
/** The private half of the key's part number `part`, in evidence of any kind. */
const half = (evidence: Loose, part = 0) => ((evidence['parts'] as Loose[])[part]!)['private'] as Loose;
const withState = (place: Place, change: Partial<State>): Place => ({ ...place, before: { ...place.before, ...change } });
/** The time of a place's entry, some milliseconds on. */
const tick = ({ entry }: Place, by: number) => new Date(Date.parse(entry.at) + by).toISOString();
/** The compromise, as if its script said since then. */
const since = (time: string): Place => {
  const place = done('compromised', compromised);
  const current = place.before.current ?? assert.fail('no step');
  return inside(withState(place, { current: { ...current, step: { ...current.step, do: { ...current.step.do, since: time } as typeof current.step.do } } }), (e) => { e['since'] = time; });
};
const withKey = (place: Place, change: Partial<NonNullable<State['key']>>): Place => withState(place, { key: { ...place.before.key ?? assert.fail('no key'), ...change } });
const withBackup = (place: Place, change: Partial<NonNullable<State['backup']>>): Place => withState(place, { backup: { ...place.before.backup ?? assert.fail('no backup'), ...change } });
/** The same entry, proposed when the record is somewhere else. */
const misplaced = (place: Place, before: State): Place => edit({ ...place, before }, (_, entry) => { entry['seq'] = before.count; entry['at'] = before.lastAt; });
const of = (before: State, kind: Kind, data: Loose, more: Loose = {}): Place => ({
  before, entry: { v: 1, ceremony: before.ceremony, seq: before.count, at: before.lastAt, kind, data, prev: before.lastHash, ...more } as unknown as Entry,
});

const withScript = (text: string) => edit(opened, (data, entry) => { data['script'] = text; entry['prev'] = scriptHash(text); });

const atBreak = at(eventful, 'back').before;
const atExceptionTime = at(eventful, 'exception').before;
const ended = plain.state;
const overdue = at(plain, 'checkpoint').before;
const resumed = at(eventful, 'resumed');
const otherHash = toBase64url(new Uint8Array(64));
const otherDigest = toBase64url(new Uint8Array(32));

const ROWS: readonly Row[] = [
  ['ENTRY-KIND', 'a kind called like a member of every object', edit(done('token-random'), (_, entry) => { entry['kind'] = 'toString'; })],
  ['ENTRY-DATA', 'a member too many', edit(opened, (data) => { data['colour'] = 'blue'; })],
  ['ENTRY-DATA', 'a member too few', edit(opened, (data) => { delete data['clock']; })],
  ['ENTRY-DATA', 'an intent of another action', edit(begun('token-random'), (data) => { data['intent'] = {}; })],
  ['ENTRY-DATA', 'a private key where a public one belongs', edit(opened, (data) => { (data['recorder'] as Loose)['d'] = 'secret'; })],
  ['SEQUENCE', 'a number too many', edit(done('token-random'), (_, entry) => { entry['seq'] = 1 + (entry['seq'] as number); })],
  ['TIME-FORWARD', 'earlier than the entry before', edit(done('token-random'), (_, entry) => { entry['at'] = '2026-03-01T00:00:00.000Z'; })],
  ['OPENED-FIRST', 'a note before the opening', of(EMPTY, 'noted', { text: 'Hello.' })],
  ['OPENED-ONCE', 'a second opening', misplaced(opened, begun('token-random').before)],
  ['CEREMONY-ID', 'an id of another form', edit(opened, (_, entry) => { entry['ceremony'] = 'ceremony-1'; })],
  ['SCRIPT-YAML', 'a script that is none', withScript('%')],
  ['SCRIPT-SHAPE', 'a script of another grammar', withScript('conclave: 2')],
  ['WIPE-AT-END', 'a script that was not rehearsed', withScript((opened.entry as Entry<'opened'>).data.script.replace('do: { wipe-backup-key: {} }', 'do: { put-away: {} }'))],
  ['SET-THRESHOLD', 'M greater than N', edit(opened, (data) => { (data['parameters'] as Loose)['threshold'] = 4; })],
  ['SCRIPT-HASH', 'another script\'s hash', edit(opened, (_, entry) => { entry['prev'] = otherHash; })],
  ['SEATS-FILLED', 'a seat without a person', edit(opened, (data) => { (data['people'] as unknown[]).pop(); })],
  ['SEATS-FILLED', 'two people in other seats', edit(opened, (data) => { (data['people'] as unknown[]).reverse(); })],
  ['TEXT-PRINTABLE', 'a person without a name', edit(opened, (data) => { (data['people'] as Loose[])[0]!['name'] = ' '; })],
  ['TEXT-PRINTABLE', 'a name with a direction override', edit(opened, (data) => { (data['people'] as Loose[])[0]!['name'] = 'Ada \u202eretsiM'; })],
  ['ONE-PERSON-ONE-ROLE', 'the officer as the witness', edit(opened, (data) => { (data['people'] as Loose[])[4]!['name'] = '  ada   OFTERDINGEN '; })],
  ['BINDINGS-COMPLETE', 'a token without a serial number', edit(opened, (data) => { (data['bindings'] as { tokens: Loose }).tokens = {}; })],
  ['BINDINGS-COMPLETE', 'a card too many', edit(opened, (data) => { (data['bindings'] as { cards: Record<string, Loose> }).cards['share-card']!['auditor'] = { module: 'embedded', serial: 'X' }; })],
  ['ONE-CARD-ONE-PERSON', 'one card for two', edit(opened, (data) => { const cards = (data['bindings'] as { cards: Record<string, Loose> }).cards['identity-card']!; cards['auditor'] = cards['witness']; })],
  ['MODULE-KNOWN', 'a module that is not listed', edit(opened, (data) => { (data['modules'] as Loose[])[0]!['name'] = 'another'; })],
  ['REAL-NEEDS-RELEASE', 'a real ceremony on a development runtime', edit(openedReal, (data) => { (data['runtime'] as Loose)['development'] = true; })],
  ['REAL-NEEDS-TOKEN', 'a real ceremony on the software token', edit(openedReal, (data) => { (data['modules'] as Loose[])[0]!['kind'] = 'software'; })],
  ['ONE-CEREMONY', 'an entry of another ceremony', edit(done('token-random'), (_, entry) => { entry['ceremony'] = '0'.repeat(32); })],
  ['KNOWN-PERSON', 'a stranger acts', edit(done('token-random'), (_, entry) => { entry['by'] = 'custodian-9'; })],
  ['KNOWN-PERSON', 'a stranger is present', edit(resumed, (data) => { data['present'] = ['officer', 'custodian-9']; })],
  ['RECORD-OVER', 'a note after the end', of(ended, 'noted', { text: 'One more thing.' })],
  ['RECORD-OVER', 'a second checkpoint after the end', of(ended, 'checkpoint', { signature: 'A'.repeat(86) })],
  ['CHECKPOINT-DUE', 'a note where a checkpoint is due', of(overdue, 'noted', { text: 'Hello.' })],
  ['CHECKPOINT-DUE', 'a checkpoint where none is due', of(atExceptionTime, 'checkpoint', { signature: 'A'.repeat(86) })],
  ['BY-WHOM', 'an exception that nobody decided', edit(at(eventful, 'exception'), (_, entry) => { delete entry['by']; })],
  ['BY-WHOM', 'an abort by nobody', of(atExceptionTime, 'aborted', { reason: 'No.', left: [] })],
  ['EXCEPTION-NUMBER', 'an exception with another number', edit(at(eventful, 'exception', undefined, 1), (data) => { data['number'] = 1; })],
  ['TEXT-PRINTABLE', 'an exception without words', edit(at(eventful, 'exception'), (data) => { data['decided'] = ''; })],
  ['TEXT-NORMAL-FORM', 'a note in another normal form', of(atExceptionTime, 'noted', { text: 'cafe\u0301' })],
  ['ON-BREAK', 'a break in a break', of(atBreak, 'break', { present: 6, reason: 'Tea.' })],
  ['ON-BREAK', 'the end of no break', of(atExceptionTime, 'back', { present: 6 })],
  ['ON-BREAK', 'work in a break', misplaced(at(eventful, 'begun', 'token-random'), atBreak)],
  ['HEAD-COUNT', 'somebody did not come back', edit(at(eventful, 'back'), (data) => { data['present'] = 5; })],
  ['IN-ORDER', 'the end before the end', of(atExceptionTime, 'closed', {})],
  ['IN-ORDER', 'another step', edit(begun('token-random'), (_, entry) => { entry['step'] = 'make-root'; })],
  ['IN-ORDER', 'a step after the last', of({ ...at(plain, 'closed').before }, 'begun', { intent: {} }, { step: 'token-random', by: 'officer' })],
  ['RESUME-QUORUM', 'somebody present twice', edit(resumed, (data) => { data['present'] = ['officer', 'officer']; })],
  ['RESUME-QUORUM', 'no officer', edit(resumed, (data) => { data['present'] = ['custodian-1', 'custodian-2', 'witness']; })],
  ['RESUME-QUORUM', 'too few custodians', edit(resumed, (data) => { data['present'] = ['officer', 'custodian-1', 'witness']; })],
  ['RESUME-QUORUM', 'no witness', edit(resumed, (data) => { data['present'] = ['officer', 'custodian-1', 'custodian-2']; })],
  ['RESUME-SIGNED', 'an end before the people present have signed', of(at(eventful, 'begun', 'resume-1/sign-resume/witness').before, 'aborted', { reason: 'Enough.', left: [] }, { by: 'officer' })],
  ['ONE-PERSON-ONE-ROLE', 'a custodian takes the officer\'s seat', edit(resumed, (data) => { (data['officer'] as Loose)['name'] = 'bela custis'; })],
  ['ONE-CARD-ONE-PERSON', 'a new officer with a used card', edit(resumed, (data) => { ((data['officer'] as Loose)['card'] as Loose)['serial'] = 'SHARE-custodian-1'; })],
  ['ENROL-FIRST', 'disagreement before enrolment', misplaced(at(eventful, 'disagreed'), at(plain, 'done', 'read-hash/custodian-1').before)],
  ['DISAGREEMENT-STATEMENT', 'other words than those signed', edit(at(eventful, 'disagreed'), (data) => { data['words'] = 'I agree.'; })],
  ['BEGUN-FIRST', 'begun twice', misplaced(begun('token-random'), done('token-random').before)],
  ['BEGUN-FIRST', 'done without a beginning', misplaced(done('token-random'), begun('token-random').before)],
  ['BEGUN-FIRST', 'an act of people alone is begun', of(done('bag-cards/custodian-1').before, 'begun', { intent: {} }, { step: 'bag-cards/custodian-1', by: 'custodian-1' })],
  ['BEGUN-FIRST', 'found where nothing was lost', misplaced(edit(at(eventful, 'found'), (_, entry) => { entry['step'] = 'token-random'; }), begun('token-random').before)],
  ['BEGUN-FIRST', 'witnessed before it was done', misplaced(at(plain, 'witnessed', 'token-before'), begun('token-before').before)],
  ['RIGHT-PERSON', 'begun by somebody else', edit(begun('token-random'), (_, entry) => { entry['by'] = 'witness'; })],
  ['RIGHT-PERSON', 'done by nobody', edit(done('token-random'), (_, entry) => { delete entry['by']; })],
  ['RIGHT-PERSON', 'decided by the witness', edit(at(eventful, 'decided'), (_, entry) => { entry['by'] = 'witness'; })],
  ['ONE-OUTCOME', 'the outcome of another entry', edit(done('token-random'), (data) => { data['begun'] = 1; })],
  ['ONE-OUTCOME', 'found for another entry', edit(at(eventful, 'found'), (data) => { data['begun'] = 1; })],
  ['EVIDENCE-MATCHES-ACTION', 'the evidence of another action', edit(done('token-random'), (data) => { data['evidence'] = {}; })],
  ['EVIDENCE-MATCHES-ACTION', 'a stripped signature', inside(done('seal-1/officer'), (e) => { (e['signatures'] as unknown[]).pop(); })],
  ['HALF-KEY', 'half a key is kept', edit(at(eventful, 'decided'), (data) => { data['decision'] = 'keep'; })],
  ['CLEARED-ABSENT', 'still there after it was destroyed', edit(at(eventful, 'cleared'), (data) => { (data['observation'] as Loose)['state'] = 'half'; })],
  ['WITNESS-NOT-DOER', 'the officer sees the own act', edit(at(plain, 'witnessed', 'token-before'), (_, entry) => { entry['by'] = 'officer'; })],
  ['WITNESS-NOT-DOER', 'nobody sees it', edit(at(plain, 'witnessed', 'token-before'), (_, entry) => { delete entry['by']; })],
  ['WITNESS-ONCE', 'one custodian sees it twice', edit(at(plain, 'witnessed', 'make-root', 1), (_, entry) => { entry['by'] = 'custodian-1'; })],
  ['WITNESS-WANTED', 'the auditor is not asked', edit(at(plain, 'witnessed', 'token-before'), (_, entry) => { entry['by'] = 'auditor'; })],

  ['SCRIPT-HASH-CONFIRMED', 'other words', inside(done('read-hash/officer'), (e) => { e['words'] = 'abandon ability able'; })],
  ['CARD-BOUND', 'enrolment with somebody else\'s card', inside(begun('enrol/witness'), (i) => { i['card'] = 'CARD-auditor'; })],
  ['CARD-BOUND', 'another card answered', inside(done('enrol/witness'), (e) => { (e['card'] as Loose)['serial'] = 'CARD-auditor'; })],
  ['ONE-PERSON-ONE-KEY', 'one key for two', { before: done('enrol/witness').before, entry: edit(done('enrol/witness'), (data) => { (data['evidence'] as Loose)['identity'] = ((done('enrol/officer').entry.data as Loose)['evidence'] as Loose)['identity']; }).entry }],
  ['PRESENCE-FRESH', 'yesterday\'s challenge', withState(done('enrol/witness'), { current: { ...done('enrol/witness').before.current!, intent: { card: 'CARD-witness', id: '00', challenge: 'A'.repeat(32) } } })],
  ['PRESENCE-FRESH', 'another head', withState(done('enrol/witness'), { current: { ...done('enrol/witness').before.current!, headBefore: otherHash } })],
  ['TOKEN-BOUND', 'another token', inside(begun('token-out'), (i) => { i['token'] = 'TOKEN-other'; })],
  ['TOKEN-BOUND', 'another token answered', inside(done('token-out'), (e) => { (e['token'] as Loose)['serial'] = 'TOKEN-other'; })],
  ['TOKEN-CAN', 'it cannot wrap', inside(done('token-out'), (e) => { (e['needs'] as Loose[])[2]!['proof'] = null; })],
  ['TOKEN-CAN', 'it only says that it can', inside(done('token-out'), (e) => { (e['needs'] as Loose[])[2]!['proof'] = 'reported'; })],
  ['RANDOM-PLAUSIBLE', 'a test failed', inside(done('token-random'), (e) => { (e['tests'] as Loose[])[0]!['passed'] = false; })],
  ['RANDOM-PLAUSIBLE', 'one test twice', inside(done('token-random'), (e) => { (e['tests'] as Loose[])[1]!['name'] = (e['tests'] as Loose[])[0]!['name']; })],
  ['RANDOM-PLAUSIBLE', 'a smaller sample', inside(done('token-random'), (e) => { e['bytes'] = 2048; })],
  ['INVENTORY-EXPLAINED', 'an object that nobody explains', inside(done('token-after'), (e) => { (e['objects'] as unknown[]).push({ class: 'data', id: '', label: 'x', keyType: '' }); })],
  ['INVENTORY-EXPLAINED', 'an object is missing', inside(done('token-after'), (e) => { (e['objects'] as unknown[]).pop(); })],
  ['KEY-BOUND', 'another key than that of the record', inside(done('compromised', compromised), (e) => { e['key'] = `SHA-256 of SubjectPublicKeyInfo ${'0'.repeat(64)}`; })],
  ['KEY-BOUND', 'that key, under another label', inside(done('compromised', compromised), (e) => { e['label'] = 'Another CA'; })],
  ['AS-SCRIPTED', 'another state', inside(done('compromised', compromised), (e) => { e['to'] = 'suspended'; })],
  ['AS-SCRIPTED', 'other words than the officer\'s', inside(done('compromised', compromised), (e) => { e['reason'] = 'Nothing happened.'; })],
  ['STATE-SINCE', 'since when, left out', inside(done('compromised', compromised), (e) => { e['since'] = null; })],
  ['STATE-SINCE', 'a time to come, as the script has it', since(tick(done('compromised', compromised), 1))],
  ['STATE-TRANSITION', 'a key that is compromised already', inside(done('compromised', compromised), (e) => { e['from'] = 'compromised'; })],
  ['DESTROY-TYPED', 'no serial number', inside(begun('zeroise', zeroised), (i) => { i['typed'] = ''; })],
  ['DESTROY-TYPED', 'that of another token', inside(begun('zeroise', zeroised), (i) => { i['typed'] = 'TOKEN-other'; })],
  ['TOKEN-BOUND', 'another token is zeroised', inside(begun('zeroise', zeroised), (i) => { i['token'] = 'TOKEN-other'; i['typed'] = 'TOKEN-other'; })],
  ['TOKEN-MOVED', 'another token with this number', inside(begun('zeroise', zeroised), (i) => { (i['seen'] as Loose)['model'] = 'Another'; })],
  ['AS-SCRIPTED', 'another label than it had', inside(begun('zeroise', zeroised), (i) => { i['label'] = 'NEW'; })],
  ['INVENTORY-AROUND-CHANGE', 'nobody looked what is on it', withState(begun('zeroise', zeroised), { inventories: {} })],
  ['INVENTORY-AROUND-CHANGE', 'nobody looked which token it is', withState(begun('zeroise', zeroised), { inspected: {} })],
  ['ESCROW-ONCE', 'a second deposit', withState(begun('deposit', escrowed), { deposit: escrowed.state.deposit })],
  ['ZEROISED-KEPT', 'a blank token is to be cleared', edit(at(zeroised, 'decided'), (data) => { data['decision'] = 'clear'; })],
  ['TOKEN-MOVED', 'another token was wiped', inside(done('zeroise', zeroised), (e) => { (e['before'] as Loose)['firmware'] = '9'; })],
  ...['manufacturer', 'model', 'hardware'].map((fact) => ['TOKEN-MOVED', `another ${fact} afterwards`, inside(done('zeroise', zeroised), (e) => { (e['after'] as Loose)[fact] = 'Another'; })] as const),
  ['NOT-ZEROISED', 'an object is left', inside(done('zeroise', zeroised), (e) => { e['objects'] = [{ class: 'data', id: '', label: 'x', keyType: '' }]; })],
  ['NOT-ZEROISED', 'the user PIN is left', inside(done('zeroise', zeroised), (e) => { ((e['after'] as Loose)['flags'] as string[]).push('CKF_USER_PIN_INITIALIZED'); })],
  ['TOKEN-INITIALISED', 'it has another label, and nobody was asked', inside(done('zeroise', await scriptedRecord({ script: 'token-zeroise' })), (e) => { (e['after'] as Loose)['label'] = 'NEW'; })],
  ['NOT-ZEROISED', 'somebody can log in to it again', inside(done('token-after', zeroised), (e) => { delete e['loggedIn']; })],
  ['TOKEN-INITIALISED', 'it is not initialised', inside(done('zeroise', zeroised), (e) => { (e['after'] as Loose)['flags'] = []; })],
  ['INVENTORY-EXPLAINED', 'an object named that was not listed', inside(done('token-before', zeroised), (e) => { e['known'] = [{ object: { class: 'data', id: '', label: 'x', keyType: '' }, what: 'x', key: null, label: '', elsewhere: 0 }]; })],
  ['NOT-ZEROISED', 'something is on it afterwards', inside(done('token-after', zeroised), (e) => { e['objects'] = [{ class: 'data', id: '', label: 'x', keyType: '' }]; })],
  ['AS-SCRIPTED', 'another algorithm', inside(begun('make-root'), (i) => { i['algorithm'] = 'ed25519'; })],
  ['AS-SCRIPTED', 'another label', inside(begun('make-root'), (i) => { i['label'] = 'Root'; })],
  ['KEY-ONCE', 'a second key', withState(begun('make-root'), { key: begun('certify').before.key })],
  ['ID-FRESH', 'an id that was used before', withState(begun('make-root'), { ids: ((begun('make-root').entry.data as Loose)['intent'] as Loose)['ids'] as string[] })],
  ['KEY-BOUND', 'another object answered', inside(done('make-root'), (e) => { ((e['parts'] as Loose[])[0]!['public'] as Loose)['id'] = '00'; })],
  ['KEY-PARTS', 'an id too many', inside(begun('make-root'), (i) => { (i['ids'] as string[]).push('00'); })],
  ['KEY-PARTS', 'one id for both', inside(begun('make-root', composite), (i) => { const ids = i['ids'] as string[]; ids[1] = ids[0]!; })],
  ['KEY-PARTS', 'a half in another place', inside(done('make-root', composite), (e) => { Object.assign((e['parts'] as Loose[])[0]!, { held: 'token' }); })],
  ['KEY-PARTS', 'a half of another algorithm', inside(done('make-root', composite), (e) => { (e['parts'] as Loose[])[0]!['algorithm'] = 'ml-dsa-44'; })],
  ['KEY-PARTS', 'a half that is nowhere', inside(done('make-root', composite), (e) => { (e['parts'] as Loose[])[0]!['wrapped'] = null; })],
  ['KEY-PARTS', 'half a composite', inside(done('make-root', composite), (e) => { (e['parts'] as Loose[]).shift(); })],
  ['KEY-PARTS', 'no wrapping key', inside(done('make-root', composite), (e) => { e['wrappingKey'] = null; })],
  ['KEY-PARTS', 'a wrapping key that nobody needs', inside(done('make-root'), (e) => { e['wrappingKey'] = half(e); })],
  ['AS-SCRIPTED', 'another placement', inside(begun('make-root', composite), (i) => { i['place'] = 'wrapped'; })],
  ['ATTRIBUTES-AS-SCRIPTED', 'a wrapping key that can leave', inside(done('make-root', composite), (e) => { (e['wrappingKey'] as Loose)['extractable'] = true; })],
  ['ATTRIBUTES-AS-SCRIPTED', 'a wrapping key from elsewhere', inside(done('prove-root', composite), (e) => { (e['wrappingKey'] as Loose)['neverExtractable'] = false; })],
  ['ATTRIBUTES-AS-SCRIPTED', 'not sensitive', inside(done('make-root'), (e) => { half(e)['sensitive'] = false; })],
  ['ATTRIBUTES-AS-SCRIPTED', 'imported, not made here', inside(done('make-root'), (e) => { half(e)['local'] = false; })],
  ['ATTRIBUTES-AS-SCRIPTED', 'no answer where one is needed', inside(done('make-root'), (e) => { half(e)['sensitive'] = null; })],
  ['KEY-BEFORE-USE', 'no key to prove', withState(begun('prove-root'), { key: null })],
  ['KEY-BOUND', 'another key is proven', inside(begun('prove-root'), (i) => { i['ids'] = ['00']; })],
  ['PUBLIC-PARAMETERS', 'another public key came back', inside(done('prove-root'), (e) => { e['spki'] = 'AAAA'; })],
  ['ATTRIBUTES-AS-SCRIPTED', 'extractable when read back', inside(done('prove-root'), (e) => { half(e)['alwaysSensitive'] = false; })],
  ['PUBLIC-PARAMETERS', 'another half came back', inside(done('prove-root', composite), (e) => { (e['parts'] as Loose[])[1]!['spki'] = 'AAAA'; })],
  ['KEY-BOUND', 'another object answered for a half', inside(done('prove-root', composite), (e) => { half(e, 1)['id'] = '00'; })],
  ['WEAK-KEY', 'no weak-key tests', inside(done('prove-root'), (e) => { e['weakTests'] = []; })],
  ['PROVEN-BEFORE-CERTIFIED', 'a key that has proven nothing', withKey(done('certify'), { proven: false })],
  ['TBS-IDENTICAL', 'other bytes were signed', inside(done('certify'), (e) => { e['signedTbs'] = otherDigest; })],
  ['SHARE-SET', 'a later epoch', inside(begun('backup-key'), (i) => { i['epoch'] = 7; })],
  ['SHARE-SET', 'another set was made', inside(done('backup-key'), (e) => { (e['set'] as Loose)['id'] = 'A'.repeat(22); })],
  ['SET-THRESHOLD', 'another M', inside(done('backup-key'), (e) => { (e['set'] as Loose)['threshold'] = 3; })],
  ['SHARE-SET', 'two equal shares', inside(done('backup-key'), (e) => { const list = (e['set'] as { commitments: string[] }).commitments; list[1] = list[0]!; })],
  ['TWO-SOURCES', 'the token\'s randomness alone', inside(done('backup-key'), (e) => { e['sources'] = ['token']; })],
  ['SPLIT-PROVEN', 'a split that nobody tried', inside(done('backup-key'), (e) => { e['subsetsTried'] = 0; })],
  ['SHARE-SET', 'wrapped under another set', inside(begun('wrap-root'), (i) => { i['set'] = 'A'.repeat(22); })],
  ['PROVEN-BEFORE-WRAPPED', 'a key that has proven nothing is wrapped', withKey(done('wrap-root'), { proven: false })],
  ['KEY-BOUND', 'another key was wrapped', inside(done('wrap-root'), (e) => { (e['private'] as Loose[])[0]!['id'] = '00'; })],
  ['KEY-PARTS', 'a backup of one half', inside(done('wrap-root', composite), (e) => { (e['parts'] as Loose[]).pop(); })],
  ['SHARES-AFTER-SPLIT', 'the backup key is gone', withBackup(begun('give-share/custodian-2'), { alive: false })],
  ['CARD-BOUND', 'somebody else\'s share card', inside(begun('give-share/custodian-2'), (i) => { i['card'] = 'SHARE-custodian-1'; })],
  ['SHARE-SET', 'somebody else\'s number', inside(begun('give-share/custodian-2'), (i) => { i['x'] = 1; })],
  ['VOID-SHARES-ERASED', 'a void share stays on its card', edit(at(eventful, 'begun', 'give-share/custodian-2', 1), (data) => { (data['intent'] as Loose)['erases'] = []; })],
  ['CARD-BOUND', 'the share went elsewhere', inside(done('give-share/custodian-2'), (e) => { e['x'] = 3; })],
  ['SHARE-COMMITMENT', 'another share was given', inside(done('give-share/custodian-2'), (e) => { e['commitment'] = otherDigest; })],
  ['READ-BACK-EVERY-SHARE', 'nothing to read back', withBackup(begun('read-share/custodian-2'), { given: {} })],
  ['SHARE-SET', 'another object is read', inside(begun('read-share/custodian-2'), (i) => { i['object'] = 'share-other'; })],
  ['CARD-BOUND', 'read from another card', inside(done('read-share/custodian-2'), (e) => { e['card'] = 'SHARE-custodian-1'; })],
  ['SHARE-COMMITMENT', 'another share came back', inside(done('read-share/custodian-2'), (e) => { e['commitment'] = otherDigest; })],
  ['WRAP-BEFORE-RECOVERY', 'nothing to recover', withKey(begun('recovery'), { wrapped: null })],
  ['READ-BACK-EVERY-SHARE', 'a share that was never read back', withBackup(begun('recovery'), { given: { ...begun('recovery').before.backup!.given, 'custodian-1': { ...begun('recovery').before.backup!.given['custodian-1']!, readBack: false } } })],
  ['QUORUM-OF-PERSONS', 'one person counts twice', inside(begun('recovery'), (i) => { i['quorum'] = ['custodian-1', 'custodian-1']; })],
  ['QUORUM-OF-PERSONS', 'more than the threshold', inside(begun('recovery'), (i) => { i['quorum'] = ['custodian-1', 'custodian-2', 'custodian-3']; })],
  ['QUORUM-OF-PERSONS', 'a stranger in the quorum', inside(begun('recovery'), (i) => { i['quorum'] = ['custodian-1', 'witness']; })],
  ['QUORUM-OF-PERSONS', 'another quorum came', inside(done('recovery'), (e) => { (e['quorum'] as Loose[])[0]!['seat'] = 'custodian-1'; })],
  ['CARD-BOUND', 'a custodian with another card', inside(done('recovery'), (e) => { (e['quorum'] as Loose[])[0]!['card'] = 'SHARE-custodian-1'; })],
  ['PROOF-OF-POSSESSION', 'an older message was signed', inside(done('recovery'), (e) => { (e['possession'] as Loose)['message'] = 'AAAA'; })],
  ['KEY-BOUND', 'another key was locked', inside(done('lock-root'), (e) => { (e['private'] as Loose[])[0]!['id'] = '00'; })],
  ['LOCKED', 'still extractable', inside(done('lock-root'), (e) => { (e['private'] as Loose[])[0]!['extractable'] = true; })],
  ['LOCKED', 'a token that would still wrap it, in a real ceremony', withState(inside(done('lock-root'), (e) => { e['enforced'] = false; }), { opening: { ...done('lock-root').before.opening!, mode: 'real' } })],
  ['COPIES-ALL-LOOKED-FOR', 'another number of copies than the list has', edit(at(destruction, 'begun', 'locate'), (data) => { (data['intent'] as Loose)['copies'] = 1; })],
  ['INPUTS-COMPLETE', 'no file for the key', edit(at(existing, 'opened'), (data) => { delete (data['inputs'] as Loose)['ca']; })],
  ['INPUTS-COMPLETE', 'a file of another kind', edit(at(existing, 'opened'), (data) => { ((data['inputs'] as Loose)['ca'] as Loose)['kind'] = 'crl'; })],
  ['INPUTS-COMPLETE', 'a file that nobody asked for', edit(at(existing, 'opened'), (data) => { const inputs = data['inputs'] as Loose; inputs['other'] = inputs['ca']; })],
  ['LOGBOOK-CHAIN', 'a volume before a ceremony', edit(at(existing, 'opened'), (data) => { data['after'] = null; })],
  ['INPUT-KEY', 'a key record that is none', edit(at(existing, 'opened'), (data) => { ((data['inputs'] as Loose)['ca'] as Loose)['bytes'] = 'e30'; })],
  ['INPUT-CONFIRMED', 'another fingerprint than the file has', inside(done('compare-list', existing), (e) => { e['sha256'] = '00'.repeat(32); })],
  ['TOKEN-BOUND', 'the key on another token', inside(begun('open-ca', existing), (i) => { i['token'] = 'TOKEN-other'; })],
  ['KEY-BOUND', 'the record of a key on another token', withState(begun('open-ca', existing), { opening: { ...begun('open-ca', existing).before.opening!, inputs: { ...begun('open-ca', existing).before.opening!.inputs, ca: { ...begun('open-ca', existing).before.opening!.inputs['ca']!, bytes: toBase64url(utf8(new TextDecoder().decode(fromBase64url(begun('open-ca', existing).before.opening!.inputs['ca']!.bytes)).replace('TOKEN-ca-hsm', 'TOKEN-elsewhere'))) } } } })],
  ['KEY-BOUND', 'other objects than the record names', inside(begun('open-ca', existing), (i) => { (i['ids'] as string[]).reverse(); })],
  ['KEY-ONCE', 'a second key beside the one that was opened', withState(begun('open-ca', existing), { key: begun('sign-list', existing).before.key })],
  ['PUBLIC-PARAMETERS', 'another key than the record\'s', inside(done('open-ca', existing), (e) => { e['spki'] = 'AAAA'; })],
  ['TOKEN-BOUND', 'another token shows the key', inside(done('open-ca', existing), (e) => { e['token'] = 'TOKEN-other'; })],
  ['KEY-BEFORE-USE', 'a CRL before the key is there', withState(begun('sign-list', existing), { key: null })],
  ['TBS-IDENTICAL', 'another CRL was signed', inside(done('sign-list', existing), (e) => { e['signedTbs'] = otherDigest; })],
  ['PROVEN-BEFORE-CERTIFIED', 'a CRL by a key that has proven nothing', withKey(done('sign-list', existing), { proven: false })],
  ['HALF-KEY', 'a key kept whose wrapped half was never written down', edit(at(kept, 'decided'), (data) => { data['decision'] = 'keep'; })],
  ['HAND-OVER-MOVEMENT', 'another movement', inside(done('hand-over/2', moved), (e) => { e['movement'] = 1; })],
  ['HAND-OVER-MOVEMENT', 'another thing', inside(done('hand-over/1', moved), (e) => { e['identifier'] = 'B-0418'; })],
  ['HAND-OVER-MOVEMENT', 'a thing of another kind', inside(done('hand-over/1', moved), (e) => { e['kind'] = 'sheet'; })],
  ['RIGHT-PERSON', 'somebody else hands it over', edit(done('hand-over/1', moved), (_, entry) => { entry['by'] = 'custodian-2'; })],
  ['WITNESS-NOT-DOER', 'the giver says it was received', edit(at(moved, 'witnessed', 'hand-over/1'), (_, entry) => { entry['by'] = 'custodian-1'; })],
  ['HAND-OVER-RECEIVER', 'another custodian received it', edit(at(crowd, 'witnessed', 'hand-over/1'), (_, entry) => { entry['by'] = 'custodian-3'; })],
  ['WITNESS-WANTED', 'the auditor says it', edit(at(moved, 'witnessed', 'hand-over/1'), (_, entry) => { entry['by'] = 'auditor'; })],
  ['HAND-OVER-EXCEPTION', 'an exception ends another step', misplaced(edit(at(lost, 'exception'), (data) => { data['number'] = 1; }), done('compare-list/officer', moved).before)],
  ['HAND-OVER-EXCEPTION', 'of a thing that its receiver has taken', edit(misplaced(at(lost, 'exception'), at(moved, 'witnessed', 'hand-over/1', 1).before), (_, entry) => { entry['step'] = 'hand-over/1'; })],
  ['HAND-OVER-EXCEPTION', 'during a break', withState(at(lost, 'exception'), { onBreak: { present: 5 } })],
  ['MOVEMENT-PARTY', 'a receiver who is not here', edit(moveList, (data) => { (data['people'] as Loose[])[2]!['name'] = 'Somebody Else'; })],
  ['MOVEMENT-PARTY', 'from a seat to the name of who sits there', withList(`${MOVEMENTS_HEADER}\nbag,B-0417,,,custodian-1,a,Bela Custis,a,Because\nbag,B-1,,,custodian-2,a,custodian-1,b,Because\n`)],
  ['MOVEMENTS-HEADER', 'a list without its header', withList('bag,B-0417,,,custodian-1,a,custodian-2,b,Because\n')],
  ['MOVEMENT-PARTY', 'a custodian whom no line names', withList(`${MOVEMENTS_HEADER}\nbag,B-0417,,,custodian-1,a,custodian-1,b,Because\n`)],
  ['BAG-SERIAL', 'a bag that is opened without its number', inside(begun('give-share/custodian-2'), (i) => { delete i['bag']; })],
  ['BAG-SERIAL', 'an empty number', inside(done('bag-cards/custodian-2'), (e) => { e['bag'] = ' '; })],
  ['BAG-SERIAL', 'a bag that is closed without its number', inside(done('bag-cards/custodian-2'), (e) => { delete e['bag']; })],
  ['BAG-SERIAL', 'blanks around it', inside(done('bag-cards/custodian-2'), (e) => { e['bag'] = ' B-1'; })],
  ['BAG-SERIAL', 'the bag that another card lies in', inside(done('bag-cards/custodian-2'), (e) => { e['bag'] = done('bag-cards/custodian-2').before.away.closed['share-card/custodian-1']; })],
  ['BAG-SERIAL', 'one bag closed twice', withState(inside(done('bag-cards/custodian-2'), (e) => { e['bag'] = 'B-1'; }), { away: { ...done('bag-cards/custodian-2').before.away, closed: { 'share-card/custodian-2': 'B-1' } } })],
  ['BAG-SERIAL', 'a bag that was opened here', inside(done('bag-cards/custodian-2'), (e) => { e['bag'] = Object.keys(done('bag-cards/custodian-2').before.away.opened)[0]; })],
  ['BAG-SERIAL', 'one bag opened for two cards', inside(begun('give-share/custodian-2'), (i) => { i['bag'] = { number: Object.keys(begun('give-share/custodian-2').before.away.opened)[0], expected: null }; })],
  ['BAG-SERIAL', 'a number where no bag is closed', inside(done('token-in'), (e) => { e['bag'] = 'B-1'; })],
  ['BAG-SERIAL', 'a number where the card is out already', inside(begun('read-share/custodian-2'), (i) => { i['bag'] = { number: 'B-1', expected: null }; })],
  ['TEXT-PRINTABLE', 'a number that shows as another', inside(done('bag-cards/custodian-2'), (e) => { e['bag'] = 'B-\u202e7140'; })],
  ['EVIDENCE-MATCHES-ACTION', 'a number longer than any', inside(done('bag-cards/custodian-2'), (e) => { e['bag'] = 'B'.repeat(41); })],
  ['HAND-OVER-EXCEPTION', 'of a thing that is put away', misplaced(edit(at(missing, 'exception'), (data) => { data['number'] = 1; }), at(plain, 'witnessed', 'token-in').before)],
  ['CUSTODY-BALANCED', 'closed while a card is outside', of(at(outside, 'done', 'account/new-share-card/custodian-2').before, 'closed', {})],
  ['CUSTODY-BALANCED', 'closed at the end while a token is on the table', withState(at(plain, 'closed'), { away: { ...plain.state.away, now: { 'root-hsm': 'table' } } })],
  ['WIPED-AFTER-PROOF', 'wiped before the proof', withKey(begun('wipe-backup'), { recoveryProven: false })],
  ['WIPED-AFTER-PROOF', 'ended with a process that is alive', inside(done('wipe-backup'), (e) => { e['how'] = 'process-ended'; })],
  ['SEAL-STATEMENT', 'a seal over something else', inside(begun('seal-2/officer'), (i) => { i['statement'] = 'e30'; })],
  ['CARD-BOUND', 'a seal with somebody else\'s card', inside(begun('seal-2/officer'), (i) => { i['card'] = 'CARD-auditor'; })],
  ['RESUME-STATEMENT', 'a resumption of something else', inside(at(eventful, 'begun', 'resume-1/sign-resume/witness'), (i) => { i['statement'] = 'e30'; })],
];

eachRefused(ROWS, plain, eventful);

test('every rule of ceremony.ts has a row', () => {
  const source = readFileSync(join(import.meta.dirname, '../../ceremonies/ceremony.ts'), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const rules = new Set([...source.matchAll(/'([A-Z]+(?:-[A-Z]+)+|LOCKED|SEQUENCE)'/g)].map(([, rule]) => rule));
  assert.deepEqual([...rules].filter((rule) => !ROWS.some(([row]) => row === rule)).sort(), []);
});

test('a token that does not tell CKA_LOCAL is said to, and a rehearsal may go on where only this program keeps a key locked', () => {
  for (const step of ['make-root', 'prove-root']) {
    const silent = inside(done(step, composite), (e) => { half(e, 1)['local'] = null; (e['wrappingKey'] as Loose)['local'] = null; });
    assert.equal(check(silent.before, silent.entry), null, step);
  }
  const unenforced = inside(done('lock-root'), (e) => { e['enforced'] = false; });
  assert.equal(check(unenforced.before, unenforced.entry), null);
});

test('a compromise since the moment of its own entry is one that is known of', () => {
  const { before, entry } = since(tick(done('compromised', compromised), 0));
  assert.equal(check(before, entry), null);
});

// --- whole records ---------------------------------------------------------------------------------------------------------

test('a record ends closed, every act sealed by everybody with one statement', () => {
  for (const record of [plain, eventful]) {
    assert.equal(record.state.phase, 'closed');
    assert.equal(pendingAction(record.state).kind, 'over');
    assert.deepEqual(record.state.seals.map((seal) => [seal.act, Object.keys(seal.signatures).length]), [0, 1, 2, 3, 4, 5].map((act) => [act, 6]));
  }
});

test('every movement is a step of its giver, and is over when handed over or excepted: it cannot close before', () => {
  assert.deepEqual(moved.state.plan?.steps.filter(({ movement }) => movement).map(({ id, who, movement }) => [id, who, movement?.receiver]), [['hand-over/1', 'custodian-1', 'custodian-2'], ['hand-over/2', 'custodian-2', 'custodian-1']]);
  assert.deepEqual(moved.state.plan?.acts.map(({ first, last }) => [first, last]), [[0, 14], [15, 24], [25, 31]]);
  for (const record of [moved, crowd, lost]) assert.equal(record.state.phase, 'closed');
  const { before } = done('hand-over/2', moved);
  assert.equal(check(before, of(before, 'closed', {}).entry)?.rule, 'IN-ORDER');
  const ends = lost.entries.filter(({ step }) => step === 'hand-over/2').map(({ kind }) => kind);
  assert.deepEqual(ends, ['exception']);
  assert.deepEqual(pendingAction(lost.before[1 + lost.entries.findIndex(({ kind }) => kind === 'exception')] ?? EMPTY), { kind: 'checkpoint' });
  const self = `${MOVEMENTS_HEADER}\nbag,B-1,,,custodian-1,a,custodian-2,b,Because\ncard,C-1,,,custodian-2,a,custodian-2,b,Taken along\n`;
  return scriptedRecord({ script: 'custody-movement', movements: self }).then(({ entries }) => {
    assert.deepEqual(entries.filter(({ step, kind }) => step === 'hand-over/2' && kind === 'witnessed').map(({ by }) => by), ['custodian-1', 'witness']);
  });
});

test('what an exception left outside is put away in a step that no script has, before the last act is signed', () => {
  const [end, ...others] = outside.entries.filter(({ step }) => step === 'account/new-share-card/custodian-2');
  assert.deepEqual([end?.kind, end?.by, others, outside.state.phase, outside.state.away.now['new-share-card/custodian-2']], ['done', 'custodian-2', [], 'closed', 'bag']);
  const seal = outside.entries.findIndex(({ step, kind }) => kind === 'begun' && step?.startsWith(`seal-${outside.state.plan?.acts.length ?? 0}/`));
  assert.ok(seal > (end?.seq ?? Infinity), 'the signatures cover it');
});

test('what cannot be put away is said to be missing, by an exception that ends its step; then the record closes', () => {
  assert.deepEqual([missing.state.phase, missing.state.away.missing, missing.state.away.now['share-card/custodian-2']], ['closed', { 'share-card/custodian-2': 1 }, 'reader']);
  assert.deepEqual(missing.entries.filter(({ step }) => step === 'bag-cards/custodian-2').map(({ kind }) => kind), ['exception']);
});

test('what is outside is asked for again after an interruption, and may be said to be missing then', async () => {
  const room = new ScriptedRoom({ script: outside.state.script?.text ?? '', happenings: { 'retire/custodian-2': [{ kind: 'exception' }] } });
  await room.run('account/new-share-card/custodian-2');
  room.resume();
  for (;;) {
    const pending = pendingAction(room.state);
    if (pending.kind === 'step' && pending.step.do.action === 'put-away') break;
    await room.next();
  }
  assert.equal(room.state.current?.step.id, 'account/new-share-card/custodian-2');
  const { before, entry } = of(room.state, 'exception', { number: 2, expected: 'The card in its bag.', happened: 'It is not there.', decided: 'It is looked for.' }, { step: 'account/new-share-card/custodian-2', by: 'officer' });
  assert.equal(check(before, entry), null);
  const after = apply(before, entry, { hash: otherHash, root: () => otherHash });
  // Whoever has no old card is not asked to have one erased, and that script would have put the new one away only then.
  assert.deepEqual([after.away.missing, after.current?.step.id, after.queue.length], [{ 'new-share-card/custodian-2': 2 }, 'account/new-share-card/custodian-3', 1]);
});

test('a receiver who says that this is not the thing ends the movement by an exception; the thing is not handed over', async () => {
  const { state, entries } = await scriptedRecord({ script: 'custody-movement', happenings: { 'hand-over/1/witnessed': [{ kind: 'exception' }] } });
  assert.deepEqual([state.phase, entries.filter(({ step }) => step === 'hand-over/1').map(({ kind }) => kind)], ['closed', ['done', 'exception']]);
});

test('a checkpoint follows the opening, every step and the end; 64 entries never pass without one', async () => {
  const { entries } = await scriptedRecord({ script: 'mini', notes: 200 });
  let since = 0;
  for (const entry of entries) {
    since = entry.kind === 'checkpoint' ? 0 : since + 1;
    assert.ok(since <= CHECKPOINT_EVERY);
  }
  assert.equal(entries[1]?.kind, 'checkpoint');
  assert.equal(entries.at(-1)?.kind, 'checkpoint');
  assert.ok(entries.some((entry, index) => entry.kind === 'noted' && entries[index + 1]?.kind === 'checkpoint'));
});

test('a crash while the key is made: somebody looks, the officer decides, and the record goes on', async () => {
  for (const [found, decision, kinds] of [
    ['absent', 'clear', ['found', 'begun', 'done']],
    ['half', 'clear', ['found', 'decided', 'cleared', 'begun', 'done']],
    ['present', 'clear', ['found', 'decided', 'cleared', 'begun', 'done']],
    ['present', 'keep', ['found', 'decided', 'done']],
  ] as const) {
    const { entries, state } = await scriptedRecord({ happenings: { 'make-root': [{ kind: 'crash', found, decision }] } });
    assert.equal(state.phase, 'closed');
    const from = entries.findIndex((entry) => entry.kind === 'found');
    const next = entries.slice(from).filter((entry) => entry.step === 'make-root' && entry.kind !== 'witnessed').map((entry) => entry.kind);
    assert.deepEqual(next, kinds, `${found}, ${decision}`);
    const [first, last] = entries.filter((entry) => entry.kind === 'begun' && entry.step === 'make-root');
    const id = (entry: Entry | undefined) => ((entry?.data as { intent?: { ids?: string[] } } | undefined)?.intent ?? {}).ids?.[0];
    if (decision === 'clear') assert.notEqual(id(first), id(last), 'a new attempt has a new id');
  }
});

test('a crash elsewhere makes the step ready again; nothing is skipped', async () => {
  for (const step of ['token-random', 'certify', 'lock-root', 'seal-3/custodian-2', 'enrol/auditor']) {
    const { entries, state } = await scriptedRecord({ happenings: { [step]: [{ kind: 'crash' }] } });
    assert.equal(state.phase, 'closed', step);
    assert.equal(state.resumptions, 1);
    assert.equal(entries.filter((entry) => entry.kind === 'begun' && entry.step === step).length, 2, step);
    assert.equal(entries.filter((entry) => entry.kind === 'done' && entry.step === step).length, 1, step);
  }
});

test('the backup key dies before every share is out: the set starts again, and the void shares are erased', async () => {
  const { entries, state } = await scriptedRecord({ happenings: { 'give-share/custodian-2': [{ kind: 'crash' }] } });
  assert.equal(state.phase, 'closed');
  assert.equal(state.backup?.set.epoch, 2);
  assert.deepEqual(state.voidShares, {});
  const given = entries.filter((entry) => entry.kind === 'begun' && entry.step?.startsWith('give-share/')).map((entry) => [entry.step, ((entry.data as Loose)['intent'] as { erases: string[] }).erases.length]);
  assert.deepEqual(given, [['give-share/custodian-1', 0], ['give-share/custodian-2', 0], ['give-share/custodian-1', 1], ['give-share/custodian-2', 1], ['give-share/custodian-3', 0]]);
});

test('the backup key dies after every share is out: the set is good, and the wipe says what happened', async () => {
  const { entries, state } = await scriptedRecord({ happenings: { 'read-share/custodian-2': [{ kind: 'lost' }] } });
  assert.equal(state.backup?.set.epoch, 1);
  const wiped = entries.find((entry) => entry.kind === 'done' && entry.step === 'wipe-backup');
  assert.deepEqual((wiped?.data as Loose)['evidence'], { how: 'process-ended' });
});

test('another officer takes over: enrols, signs first, and signs the rest', async () => {
  const { entries, state } = await scriptedRecord({ happenings: { certify: [{ kind: 'crash', officer: 'another' }] } });
  assert.equal(state.people[0]?.name, 'Olga Nachfolger 1');
  const queue = entries.filter((entry) => entry.kind === 'done' && entry.step?.startsWith('resume-1/')).map((entry) => entry.step);
  assert.deepEqual(queue, ['resume-1/enrol/officer', ...['officer', 'custodian-1', 'custodian-2', 'custodian-3', 'witness', 'auditor'].map((seat) => `resume-1/sign-resume/${seat}`)]);
  const before = JSON.parse(fromUtf8(fromBase64url(state.seals[2]?.statement ?? ''))) as { signers: { name: string }[] };
  const after = JSON.parse(fromUtf8(fromBase64url(state.seals[3]?.statement ?? ''))) as { signers: { name: string }[] };
  assert.equal(before.signers[0]?.name, 'Ada Ofterdingen');
  assert.equal(after.signers[0]?.name, 'Olga Nachfolger 1');
});

test('an officer who took over and was interrupted before enrolling still has to enrol', async () => {
  const { entries, state } = await scriptedRecord({ happenings: { certify: [{ kind: 'resume', officer: 'another' }], 'resume-1/enrol/officer': [{ kind: 'crash' }] } });
  assert.equal(state.phase, 'closed');
  assert.ok(entries.some((entry) => entry.kind === 'done' && entry.step === 'resume-2/enrol/officer'));
  assert.ok(!entries.some((entry) => entry.kind === 'done' && entry.step === 'resume-1/enrol/officer'));
});

test('a crash before anybody has enrolled needs no signatures', async () => {
  const { entries, state } = await scriptedRecord({ script: 'mini', happenings: { 'read-hash/witness': [{ kind: 'resume', present: ['officer'] }] } });
  assert.equal(state.phase, 'closed');
  assert.deepEqual(entries.filter((entry) => entry.step?.startsWith('resume-')).map((entry) => entry.step), []);
});

test('a seal that was being signed starts again and covers the resumption', async () => {
  const { state, entries } = await scriptedRecord({ happenings: { 'seal-3/custodian-1': [{ kind: 'crash' }] } });
  const resumption = entries.find((entry) => entry.kind === 'resumed');
  const { count } = JSON.parse(fromUtf8(fromBase64url(state.seals[2]?.statement ?? ''))) as { count: number };
  assert.ok(count > (resumption?.seq ?? Infinity));
  assert.equal(entries.filter((entry) => entry.kind === 'done' && entry.step === 'seal-3/officer').length, 2);
});

test('an exception, a note or a disagreement between two signatures leaves the seal as it is', async () => {
  const { state } = await scriptedRecord({ happenings: { 'seal-2/witness': [{ kind: 'exception' }, { kind: 'note', text: 'Here.' }, { kind: 'disagree', seat: 'auditor', words: 'I saw two lamps.' }] } });
  assert.equal(state.phase, 'closed');
  assert.deepEqual(state.disagreements.map(({ seat, words }) => [seat, words]), [['auditor', 'I saw two lamps.']]);
  assert.equal(Object.keys(state.seals[1]?.signatures ?? {}).length, 6);
});

test('the longest words of disagreement fit, in any script', async () => {
  for (const words of ['\\'.repeat(1000), '\u4e2d'.repeat(1000)]) {
    assert.equal((await scriptedRecord({ script: 'mini', happenings: { 'seal-1/auditor': [{ kind: 'disagree', seat: 'witness', words }] } })).state.phase, 'closed');
  }
});

test('an end that the recorder did not sign is none: the record is resumed and ended again', async () => {
  for (const happenings of [{}, { 'token-after': [{ kind: 'abort' }] }] as const) {
    const room = new ScriptedRoom({ happenings });
    while (room.state.phase !== 'closed' && room.state.phase !== 'aborted') await room.next();
    room.resume();
    assert.equal(room.state.phase, 'open');
    await room.run();
    assert.equal(room.state.phase, 'closed');
    assert.equal(room.entries.at(-1)?.kind, 'checkpoint');
    assert.equal(room.entries.filter((entry) => entry.step?.includes('sign-resume') && entry.kind === 'done').length, 6);
  }
});

test('an abort ends the record with what is left', async () => {
  const left = [{ class: 'private-key', id: '00ff', label: 'Root CA', keyType: 'CKK_EC' }] as const;
  const { state, entries } = await scriptedRecord({ happenings: { 'token-after': [{ kind: 'abort', left }] } });
  assert.equal(state.phase, 'aborted');
  assert.deepEqual(entries.slice(-2).map((entry) => entry.kind), ['aborted', 'checkpoint']);
  assert.deepEqual(pendingAction(state), { kind: 'over', how: 'aborted' });
});

test('pendingAction: one answer at a time', async () => {
  const room = new ScriptedRoom();
  const kinds = new Set<string>();
  while (pendingAction(room.state).kind !== 'over') {
    kinds.add(pendingAction(room.state).kind);
    await room.next();
  }
  assert.deepEqual([...kinds].sort(), ['checkpoint', 'close', 'opening', 'step', 'witness']);
  assert.equal(pendingAction(atBreak).kind, 'back');
  assert.equal(pendingAction(at(eventful, 'found').before).kind, 'look');
  assert.equal(pendingAction(at(eventful, 'decided').before).kind, 'decide');
  assert.equal(pendingAction(at(eventful, 'cleared').before).kind, 'clear');
  assert.equal(pendingAction(done('token-random').before).kind, 'outcome');
});

test('witnesses: the roles that are missing, until nobody is', () => {
  assert.deepEqual(missingWitnesses(at(plain, 'witnessed', 'make-root').before), { custodian: 2, witness: 1 });
  assert.deepEqual(missingWitnesses(at(plain, 'witnessed', 'make-root', 1).before), { custodian: 1, witness: 1 });
});

test('the statements are canonical JSON of exactly the members that FORMAT.md gives', () => {
  const decode = (text: string) => JSON.parse(fromUtf8(fromBase64url(text))) as Loose;
  assert.deepEqual(Object.keys(decode(presenceStatement(begun('enrol/officer').before, 'officer', 'x', 'y'))), ['ceremony', 'head', 'nonce', 'script', 'seat', 'type']);
  const seal = decode(sealStatement(begun('seal-1/officer').before));
  assert.deepEqual(Object.keys(seal), ['act', 'build', 'ceremony', 'count', 'last', 'policy', 'root', 'script', 'signers', 'type']);
  assert.deepEqual(Object.keys((seal['signers'] as Loose[])[0] ?? {}), ['classical', 'name', 'pq', 'role', 'seat']);
  assert.equal(signersOf(plain.state).length, 6);
});

test('inventories: order does not matter, number does', () => {
  const a = { class: 'data', id: '01', label: 'x', keyType: '' } as const;
  const b = { class: 'data', id: '02', label: 'x', keyType: '' } as const;
  assert.deepEqual(inventoryDifference([a, b], [b, a]), []);
  assert.equal(inventoryDifference([a], [a, a]).length, 1);
  assert.equal(inventoryDifference([a], [b]).length, 2);
});

test('rewriting with the recorder\'s keys changes nothing when nothing is changed', () => {
  assert.deepEqual(fileOf(rewritten(eventful, (entry) => entry)), eventful.bytes);
});

test('property: no value in an entry makes check throw, or apply after check', () => {
  const seen = new Set<string>();
  const places = eventful.entries.map((entry, index) => ({ before: eventful.before[index] ?? EMPTY, entry }))
    .filter(({ before, entry }) => seen.size !== seen.add(`${entry.kind} ${before.current?.step.do.action ?? ''}`).size);
  const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom('constructor', '__proto__', 'officer', '', 0, -1, null, [], {}), fc.integer(), fc.string());
  fc.assert(fc.property(fc.nat(places.length - 1), fc.nat(), fc.nat(), value, (which, path, deeper, replacement) => {
    const entry = structuredClone(places[which]!.entry) as unknown as Loose;
    let target = entry['data'] as Loose;
    for (const choice of [path, deeper]) {
      const keys = Object.keys(target).filter((key) => typeof target[key] === 'object' && target[key] !== null);
      if (keys.length > 0) target = target[keys[choice % keys.length]!] as Loose;
    }
    const keys = Object.keys(target);
    if (keys.length > 0) target[keys[path % keys.length]!] = replacement;
    const state = places[which]!.before;
    const refusal = check(state, entry as unknown as Entry);
    if (refusal === null) apply(state, entry as unknown as Entry, { hash: otherHash, root: () => otherDigest });
    else assert.match(refusal.rule, /^[A-Z][A-Z-]+$/);
  }), { seed: SEED, numRuns: 400 });
});
