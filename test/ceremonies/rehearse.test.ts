/** The model of the room: the shipped script passes, and every rule is heard when a reviewer's mistake breaks it, at its line. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import type { Placement } from '../../ceremonies/evidence.ts';
import { heldAt } from '../../ceremonies/key-record.ts';
import { caAlgorithmNamed, componentsOf } from '../../ceremonies/keys/algorithms.ts';
import { bagsFault } from '../../ceremonies/putting-away.ts';
import { rehearse } from '../../ceremonies/rehearse.ts';
import { readScript, type Fault, type Parameters } from '../../ceremonies/script.ts';
import { MINI_SCRIPT } from './scripted.ts';

const folder = join(import.meta.dirname, '../../ceremonies');
const ROOT_CA = readFileSync(join(folder, 'scripts/root-ca.yaml'), 'utf8');

interface Step { id: string; who?: string; 'for-each'?: string; 'witnessed-by'?: Record<string, number>; moves?: { what: string; from: string; to: string }[]; do: Record<string, Record<string, unknown>> }
interface Draft {
  people: Record<string, unknown>;
  set?: { shares: unknown; threshold: unknown };
  parameters: Record<string, unknown>;
  room: { tokens: Record<string, string>; cards: Record<string, { for: string; at: string; optional?: boolean }>; bags?: string };
  acts: { act: string; minutes: number; steps: Step[] }[];
}

/** The shipped script with one change; read again, so that the faults have the lines of the changed text. */
function rehearsed(change: (script: Draft) => void, values: Parameters = {}, text = ROOT_CA) {
  const draft = parse(text) as Draft;
  change(draft);
  const { script, faults } = readScript(stringify(draft, { aliasDuplicateObjects: false }));
  assert.deepEqual(faults, [], 'the grammar alone has nothing against it');
  assert.ok(script);
  return { script, ...rehearse(script, { ...script.defaults, ...values }) };
}

const steps = (script: Draft) => script.acts.flatMap((act) => act.steps);
const step = (script: Draft, id: string) => steps(script).find((candidate) => candidate.id === id) ?? assert.fail(id);
const attributes = (script: Draft) => step(script, 'make-root').do['generate-key']?.['attributes'] as Record<string, unknown>;

function without(script: Draft, ...ids: string[]): void {
  for (const act of script.acts) act.steps = act.steps.filter((one) => !ids.includes(one.id));
  script.acts = script.acts.filter((act) => act.steps.length > 0);
}

/** Moves a step in front of another. */
function before(script: Draft, id: string, other: string): void {
  const moved = step(script, id);
  without(script, id);
  for (const act of script.acts) {
    const at = act.steps.findIndex((one) => one.id === other);
    if (at >= 0) act.steps.splice(at, 0, moved);
  }
}

/** A copy of a step in front of another, under a new id. */
function again(script: Draft, id: string, other: string): void {
  const copy = { ...structuredClone(step(script, id)), id: `${id}-again` };
  for (const act of script.acts) {
    const at = act.steps.findIndex((one) => one.id === other);
    if (at >= 0) act.steps.splice(at, 0, copy);
  }
}

const BACKUP = ['backup-key', 'wrap-root', 'give-share', 'read-share', 'recovery', 'lock-root', 'wipe-backup', 'bag-cards'];

test('the shipped script passes with every algorithm and the bounds of M and N', () => {
  const { rehearsed: whole, script } = rehearsed(() => undefined);
  assert.ok(whole);
  assert.equal(whole.script, script);
  assert.equal(whole.minutes, 95);
  assert.equal(whole.plan.steps.length, 70);
  for (const values of [{ shares: 2, threshold: 2 }, { shares: 255, threshold: 255 }, { algorithm: 'rsa-4096' }, { algorithm: 'ed25519' }]) {
    assert.deepEqual(rehearsed(() => undefined, values).faults, []);
  }
});

test('the smallest script passes', () => {
  const { script } = readScript(MINI_SCRIPT);
  assert.ok(script);
  assert.deepEqual(rehearse(script, {}).faults, []);
});

test('a script without a backup passes when its key is never extractable', () => {
  const { faults } = rehearsed((script) => {
    without(script, ...BACKUP);
    delete script.set;
    delete script.parameters['threshold'];
    attributes(script)['extractable'] = 'never';
  });
  assert.deepEqual(faults, []);
});

test('what the plan itself refuses is a fault without a line', () => {
  const { rehearsed: none, faults } = rehearsed(() => undefined, { shares: 3, threshold: 9 });
  assert.equal(none, null);
  assert.deepEqual(faults.map(({ rule, line }) => [rule, line]), [['SET-THRESHOLD', 0]]);
});

/** Rule, what was done, and the step whose line the fault carries ('' for line 0). All faults are listed: nothing else may be heard. */
const ROWS: readonly (readonly [rule: string, what: string, change: (script: Draft) => void, at: string, others?: readonly string[]])[] = [
  ['ROOM-MOVE', 'a token taken from where it is not', (s) => { step(s, 'token-out').moves = [{ what: 'root-hsm', from: 'holder', to: 'table' }]; }, 'token-out'],
  ['ROOM-MOVE', 'a move that goes nowhere', (s) => { step(s, 'token-random').moves = [{ what: 'root-hsm', from: 'table', to: 'table' }]; }, 'token-random'],
  ['ROOM-MOVE', 'a card put in twice', (s) => { step(s, 'read-share').moves = [{ what: 'share-card', from: 'bag', to: 'reader' }]; }, 'read-share'],
  ['ROOM-THING', 'a thing that is not there', (s) => { step(s, 'token-random').moves = [{ what: 'laptop', from: 'safe', to: 'table' }]; }, 'token-random'],
  ['ROOM-THING', 'a thing called like a member of every object', (s) => { step(s, 'token-random').moves = [{ what: 'constructor', from: 'safe', to: 'table' }]; }, 'token-random'],
  ['ROOM-THING', 'somebody else\'s card', (s) => { step(s, 'token-random').moves = [{ what: 'share-card', from: 'holder', to: 'table' }]; }, 'token-random'],
  ['BAG-STEP', 'a bag opened where its number is asked of nobody', (s) => { step(s, 'lock-root').moves = [{ what: 'root-hsm', from: 'table', to: 'bag' }, { what: 'root-hsm', from: 'bag', to: 'table' }]; }, 'lock-root'],
  ['BAG-STEP', 'a bag opened in no step of a share', (s) => { const { moves } = step(s, 'give-share'); delete step(s, 'give-share').moves; again(s, 'bag-cards', 'give-share'); step(s, 'bag-cards-again').moves = moves ?? []; }, 'bag-cards-again'],
  ['BAG-STEP', 'a bag closed in a step of another kind', (s) => { step(s, 'read-share').moves = step(s, 'bag-cards').moves ?? []; delete step(s, 'bag-cards').moves; }, 'read-share', ['ROOM-CARD-IN-READER']],
  ['ROOM-THING', 'a token that is not there', (s) => { step(s, 'token-random').do = { 'test-random': { on: 'other-hsm', bytes: 65536 } }; }, 'token-random', ['INSPECT-FIRST', 'RANDOM-FIRST']],
  ['ROOM-TOKEN-OUT', 'a token used in the safe', (s) => { delete step(s, 'token-out').moves; delete step(s, 'token-in').moves; }, 'token-out'],
  ['ROOM-CARD-IN-READER', 'a share for a card in its bag', (s) => { delete step(s, 'give-share').moves; delete step(s, 'bag-cards').moves; }, 'give-share'],
  ['ROOM-CARD-IN-READER', 'a recovery from cards in their bags', (s) => { before(s, 'bag-cards', 'recovery'); }, 'recovery'],
  ['ROOM-CARD-IN-READER', 'an identity card out of reach', (s) => { s.room.cards['identity-card'] = { for: 'person', at: 'safe' }; }, 'enrol'],
  ['ROOM-PUT-AWAY', 'a token left on the table', (s) => { delete step(s, 'token-in').moves; }, 'token-out'],
  ['ROOM-PUT-AWAY', 'cards left in the readers', (s) => { without(s, 'bag-cards'); }, 'give-share'],
  ['PEOPLE-CARDS', 'no identity cards', (s) => { delete s.room.cards['identity-card']; }, ''],
  ['PEOPLE-CARDS', 'identity cards for custodians only', (s) => { s.room.cards['identity-card'] = { for: 'custodian', at: 'holder' }; }, ''],
  ['PEOPLE-CARDS', 'no share cards', (s) => { delete s.room.cards['share-card']; for (const id of ['give-share', 'bag-cards']) delete step(s, id).moves; }, ''],
  ['PEOPLE-ROLES', 'the auditor makes the key', (s) => { step(s, 'make-root').who = 'auditor'; }, 'make-root'],
  ['PEOPLE-ROLES', 'everybody receives a share', (s) => { step(s, 'give-share')['for-each'] = 'person'; delete step(s, 'give-share').moves; delete step(s, 'bag-cards').moves; s.room.cards['share-card'] = { for: 'person', at: 'reader' }; }, 'give-share', ['READ-BACK-EVERY-SHARE', 'PROOF-AFTER-READ-BACK']],
  ['CONFIRM-FIRST', 'nobody confirms', (s) => { without(s, 'read-hash'); }, 'enrol'],
  ['CONFIRM-FIRST', 'only custodians confirm', (s) => { step(s, 'read-hash')['for-each'] = 'custodian'; }, 'enrol'],
  ['CONFIRM-FIRST', 'somebody confirms late', (s) => { again(s, 'read-hash', 'token-random'); }, 'read-hash-again'],
  ['CONFIRM-FIRST', 'enrolment before the script is confirmed', (s) => { before(s, 'enrol', 'read-hash'); }, 'enrol'],
  ['ENROL-FIRST', 'nobody enrols', (s) => { without(s, 'enrol'); }, 'read-hash'],
  ['ENROL-FIRST', 'enrolment after the token', (s) => { before(s, 'enrol', 'token-random'); }, 'enrol'],
  ['ENROL-FIRST', 'enrolment twice', (s) => { again(s, 'enrol', 'enrol'); }, 'enrol'],
  ['ENROL-FIRST', 'the token taken out while people enrol', (s) => { const moves = step(s, 'token-out').moves ?? []; delete step(s, 'token-out').moves; s.acts[0]?.steps.push({ ...step(s, 'read-hash'), id: 'sneak', who: 'officer', moves }); delete s.acts[0]?.steps.at(-1)?.['for-each']; }, 'sneak', ['CONFIRM-FIRST']],
  ['INSPECT-FIRST', 'a token that was never inspected', (s) => { step(s, 'token-out').do = { 'put-away': {} }; }, 'token-random'],
  ['RANDOM-FIRST', 'no test of the random source', (s) => { without(s, 'token-random'); }, 'make-root'],
  ['INVENTORY-AROUND-CHANGE', 'no inventory before', (s) => { without(s, 'token-before'); }, 'make-root'],
  ['INVENTORY-AROUND-CHANGE', 'no inventory after', (s) => { without(s, 'token-after'); }, 'make-root'],
  ['KEY-BEFORE-USE', 'another key\'s name', (s) => { step(s, 'certify').do = { 'issue-certificate': { key: 'other', subject: { 'common-name': '$common-name', organization: '$organization', country: '$country' }, years: '$years' } }; }, 'certify'],
  ['KEY-BEFORE-USE', 'a proof before the key', (s) => { before(s, 'prove-root', 'make-root'); }, 'prove-root', ['KEY-PROVEN', 'PROVEN-BEFORE-CERTIFIED', 'PROVEN-BEFORE-WRAPPED']],
  ['KEY-ONCE', 'two keys', (s) => { again(s, 'token-after', 'certify'); again(s, 'make-root', 'certify'); step(s, 'make-root-again').do = structuredClone(step(s, 'make-root').do); again(s, 'token-before', 'certify'); }, 'make-root-again'],
  ['KEY-PROVEN', 'a key that never proves itself', (s) => { without(s, 'prove-root', 'certify', ...BACKUP); delete s.set; s.parameters = { algorithm: s.parameters['algorithm'], shares: s.parameters['shares'] }; attributes(s)['extractable'] = 'never'; }, 'make-root'],
  ['PROVEN-BEFORE-CERTIFIED', 'a certificate before the proof', (s) => { before(s, 'certify', 'prove-root'); }, 'certify'],
  ['PROVEN-BEFORE-WRAPPED', 'a backup before the proof', (s) => { before(s, 'backup-key', 'prove-root'); before(s, 'wrap-root', 'prove-root'); }, 'wrap-root'],
  ['BACKUP-NEEDS-SET', 'a backup without a set', (s) => { delete s.set; delete s.parameters['threshold']; }, 'backup-key'],
  ['BACKUP-NEEDS-SET', 'a set without a backup', (s) => { without(s, ...BACKUP); attributes(s)['extractable'] = 'never'; }, ''],
  ['BACKUP-ONCE', 'two backup keys', (s) => { again(s, 'backup-key', 'wrap-root'); }, 'backup-key-again'],
  ['BACKUP-BEFORE-WRAP', 'a key wrapped under nothing', (s) => { before(s, 'wrap-root', 'backup-key'); }, 'wrap-root'],
  ['SHARES-AFTER-SPLIT', 'shares before the split', (s) => { before(s, 'give-share', 'backup-key'); }, 'give-share'],
  ['SHARES-AFTER-SPLIT', 'shares before the key is wrapped', (s) => { before(s, 'give-share', 'wrap-root'); }, 'give-share'],
  ['SHARES-AFTER-SPLIT', 'a custodian without a share', (s) => { const give = step(s, 'give-share'); delete give['for-each']; give.who = 'custodian'; const bag = step(s, 'bag-cards'); delete bag['for-each']; bag.who = 'custodian'; const read = step(s, 'read-share'); delete read['for-each']; read.who = 'custodian'; }, 'recovery'],
  ['ONE-PERSON-ONE-SHARE', 'two shares for one person', (s) => { again(s, 'give-share', 'read-share'); delete step(s, 'give-share-again').moves; }, 'give-share-again'],
  ['READ-BACK-EVERY-SHARE', 'read back before it was given', (s) => { before(s, 'read-share', 'give-share'); step(s, 'read-share').moves = step(s, 'give-share').moves ?? []; delete step(s, 'give-share').moves; }, 'read-share'],
  ['READ-BACK-EVERY-SHARE', 'read back twice', (s) => { again(s, 'read-share', 'recovery'); }, 'read-share-again'],
  ['READ-BACK-EVERY-SHARE', 'never read back', (s) => { without(s, 'read-share'); }, 'backup-key', ['PROOF-AFTER-READ-BACK']],
  ['PROOF-AFTER-READ-BACK', 'a recovery before the shares are read back', (s) => { before(s, 'recovery', 'read-share'); }, 'recovery'],
  ['WRAP-BEFORE-RECOVERY', 'a recovery of nothing', (s) => { without(s, 'wrap-root'); }, 'recovery', ['SHARES-AFTER-SPLIT']],
  ['BACKUP-PROVEN', 'a backup that is never tried', (s) => { without(s, 'recovery', 'lock-root', 'wipe-backup'); }, 'backup-key', ['ATTRIBUTES-SAFE', 'WIPE-AT-END']],
  ['LOCK-AFTER-PROOF', 'locked before the recovery', (s) => { before(s, 'lock-root', 'recovery'); }, 'lock-root'],
  ['ATTRIBUTES-SAFE', 'never locked', (s) => { without(s, 'lock-root'); }, 'make-root'],
  ['ATTRIBUTES-SAFE', 'wrapped though never extractable', (s) => { attributes(s)['extractable'] = 'never'; without(s, 'lock-root'); }, 'wrap-root'],
  ['ATTRIBUTES-SAFE', 'locked though never extractable', (s) => { attributes(s)['extractable'] = 'never'; }, 'lock-root'],
  ['ATTRIBUTES-SAFE', 'two uses', (s) => { attributes(s)['decrypt'] = true; }, 'make-root'],
  ['ATTRIBUTES-SAFE', 'a key that vanishes with the session', (s) => { attributes(s)['token'] = false; }, 'make-root'],
  ['WIPED-AFTER-PROOF', 'wiped before the recovery', (s) => { before(s, 'wipe-backup', 'recovery'); }, 'wipe-backup'],
  ['WIPED-AFTER-PROOF', 'wiped twice', (s) => { again(s, 'wipe-backup', 'token-in'); }, 'wipe-backup-again'],
  ['WIPE-AT-END', 'never wiped', (s) => { without(s, 'wipe-backup'); }, 'token-in'],
];

/** Rows of the scripts that use a key that was there before, and of placements. */
const OTHER_ROWS: readonly (readonly [script: string, rule: string, what: string, change: (script: Draft) => void, at: string, others?: readonly string[]])[] = [
  ['administration', 'ADMINISTER-ALONE', 'work after the work', (s) => { again(s, 'work', 'work'); }, 'work-again'],
  ['administration', 'ADMINISTER-ALONE', 'a witness to a step without an end', (s) => { s.people['witness'] = 1; step(s, 'work')['witnessed-by'] = { witness: 1 }; }, 'work'],
  ['administration', 'ADMINISTER-ALONE', 'something is put away beside it', (s) => { again(s, 'read-hash', 'work'); step(s, 'read-hash-again').do = { 'put-away': {} }; before(s, 'read-hash-again', 'work'); }, 'read-hash-again'],
  ['token-zeroise', 'INVENTORY-AROUND-CHANGE', 'nobody listed what is destroyed', (s) => { without(s, 'token-before'); }, 'zeroise'],
  ['token-zeroise', 'INVENTORY-AROUND-CHANGE', 'nobody looked again', (s) => { without(s, 'token-after'); }, 'zeroise'],
  ['token-zeroise', 'INSPECT-FIRST', 'a token that nobody identified', (s) => { step(s, 'token-out').do = { 'put-away': {} }; }, 'zeroise'],
  ['token-zeroise', 'ROOM-TOKEN-OUT', 'it lies in the safe', (s) => { step(s, 'token-out').moves = []; step(s, 'token-in').moves = []; }, 'zeroise'],
  ['token-zeroise', 'ZEROISE-WITNESSED', 'nobody sees it', (s) => { delete step(s, 'zeroise')['witnessed-by']; }, 'zeroise'],
  ['token-zeroise', 'PEOPLE-ROLES', 'the auditor does it', (s) => { step(s, 'zeroise').who = 'auditor'; }, 'zeroise'],
  ['key-compromise', 'STATE-SINCE', 'a day that there is not', (s) => { parameter(s, 'since', '2026-02-30'); }, 'compromised'],
  ['key-compromise', 'STATE-SINCE', 'a compromise without a time', (s) => { delete step(s, 'compromised').do['set-state']!['since']; delete s.parameters['since']; }, 'compromised'],
  ['key-compromise', 'STATE-SINCE', 'a suspension with one', (s) => { step(s, 'compromised').do['set-state']!['to'] = 'suspended'; }, 'compromised'],
  ['key-compromise', 'INPUT-CONFIRMED', 'a key that nobody compared', (s) => { without(s, 'compare-key'); }, 'compromised'],
  ['key-compromise', 'INPUT-KNOWN', 'a key that nobody asks for', (s) => { step(s, 'compromised').do['set-state']!['key'] = 'certificates'; }, 'compromised'],
  ['key-compromise', 'PEOPLE-ROLES', 'the witness states it', (s) => { step(s, 'compromised').who = 'witness'; delete step(s, 'compromised')['witnessed-by']; }, 'compromised'],
  ['crl', 'ZEROISE-ALONE', 'the CA\'s own token', (s) => { again(s, 'token-after', 'token-in'); step(s, 'token-after-again').do = { 'zeroise-token': { on: 'ca-hsm' } }; again(s, 'token-before', 'token-in'); step(s, 'token-before-again')['witnessed-by'] = { witness: 1 }; }, 'token-after-again'],
  ['crl', 'INPUT-KNOWN', 'a list that nobody asks for', (s) => { step(s, 'sign-list').do['sign-crl']!['revocations'] = 'other'; }, 'sign-list'],
  ['crl', 'INPUT-KNOWN', 'the key\'s record where a list belongs', (s) => { step(s, 'sign-list').do['sign-crl']!['revocations'] = 'ca'; }, 'sign-list'],
  ['crl', 'INPUT-KNOWN', 'an unknown file is compared', (s) => { step(s, 'compare-list').do['confirm-input']!['input'] = 'other'; }, 'compare-list', ['INPUT-CONFIRMED']],
  ['intermediate', 'INPUT-CONFIRMED', 'a request that nobody compared', (s) => { without(s, 'compare-request'); }, 'certify'],
  ['intermediate', 'INPUT-CONFIRMED', 'a request compared afterwards', (s) => { before(s, 'certify', 'compare-request'); }, 'certify'],
  ['custody-movement', 'HAND-OVER-ONCE', 'a list that nobody carries out', (s) => { without(s, 'hand-over'); }, 'compare-list'],
  ['custody-movement', 'HAND-OVER-ONCE', 'a list that is carried out twice', (s) => { again(s, 'hand-over', 'hand-over'); }, 'hand-over'],
  ['custody-movement', 'HAND-OVER-WITNESSED', 'nobody says that it was received', (s) => { step(s, 'hand-over')['witnessed-by'] = { witness: 1 }; }, 'hand-over'],
  ['custody-movement', 'HAND-OVER-WITNESSED', 'nobody else sees it', (s) => { step(s, 'hand-over')['witnessed-by'] = { custodian: 1 }; }, 'hand-over'],
  ['custody-movement', 'INPUT-CONFIRMED', 'only the officer compares the list', (s) => { delete step(s, 'compare-list')['for-each']; step(s, 'compare-list').who = 'officer'; }, 'hand-over'],
  ['custody-movement', 'PEOPLE-ROLES', 'the officer hands over', (s) => { step(s, 'hand-over').who = 'officer'; }, 'hand-over'],
  ['crl', 'INPUT-KNOWN', 'another file in a list of movements\' place', (s) => { step(s, 'sign-list').do = { 'hand-over': { list: 'revocations' } }; s.parameters = {}; }, 'sign-list', ['HAND-OVER-WITNESSED', 'INPUT-CONFIRMED', 'PEOPLE-ROLES', 'KEY-BEFORE-USE']],
  ['intermediate', 'KEY-BEFORE-USE', 'a key that nobody opened', (s) => { without(s, 'open-ca'); }, 'certify'],
  ['intermediate', 'KEY-BEFORE-USE', 'a key opened for nothing', (s) => { without(s, 'certify'); s.parameters = {}; }, 'open-ca'],
  ['intermediate', 'KEY-ONCE', 'a key opened twice', (s) => { again(s, 'open-ca', 'compare-request'); }, 'open-ca-again'],
  ['encryption-certificate', 'CERTIFICATE-PATH-LENGTH', 'a path length for what is no CA', (s) => { step(s, 'certify').do['issue-certificate']!['path-length'] = 0; }, 'certify'],
  ['encryption-certificate', 'INPUT-CONFIRMED', 'a stated request that nobody compared', (s) => { without(s, 'compare-request'); }, 'certify'],
  ['intermediate', 'AS-SCRIPTED', 'a second certificate of the CA itself', (s) => { const wish = step(s, 'certify').do['issue-certificate']!; delete wish['for']; wish['subject'] = { 'common-name': 'Another' }; }, 'certify'],
  ['key-destruction', 'DESTROY-IN-ORDER', 'approved before anybody looked', (s) => { without(s, 'locate'); }, 'approve'],
  ['key-destruction', 'DESTROY-IN-ORDER', 'no waiting period', (s) => { without(s, 'wait'); delete (s.parameters)['hours']; }, 'destroy'],
  ['key-destruction', 'DESTROY-IN-ORDER', 'destroyed twice', (s) => { again(s, 'destroy', 'confirm'); }, 'destroy-again'],
  ['key-destruction', 'DESTROY-IN-ORDER', 'never looked for again', (s) => { without(s, 'confirm'); }, 'token-in'],
  ['key-destruction', 'DESTROY-WITNESSED', 'copies destroyed before nobody', (s) => { delete step(s, 'destroy')['witnessed-by']; }, 'destroy'],
  ['key-destruction', 'APPROVED-BY-SEVERAL', 'one person approves', (s) => { delete step(s, 'approve')['for-each']; step(s, 'approve').who = 'custodian'; }, 'token-in'],
  ['key-destruction', 'APPROVED-BY-SEVERAL', 'everybody approves twice', (s) => { again(s, 'approve', 'approve'); }, 'approve'],
  ['key-destruction', 'APPROVAL-EXPIRED', 'approvals that end while people wait', (s) => { parameter(s, 'days', 3 as unknown as string); }, 'token-in'],
  ['key-destruction', 'PEOPLE-ROLES', 'the auditor destroys', (s) => { step(s, 'destroy').who = 'auditor'; }, 'destroy'],
  ['key-destruction', 'INPUT-CONFIRMED', 'a list that nobody compared', (s) => { without(s, 'compare-list'); }, 'locate'],
  ['composite-ca', 'PLACE-POSSIBLE', 'a half for which tokens have no number', (s) => { parameter(s, 'algorithm', 'MLDSA65-ECDSA-brainpoolP256r1-SHA512'); parameter(s, 'place', 'token'); }, 'make-root'],
  ['recovery', 'INPUT-CONFIRMED', 'a backup that nobody compared', (s) => { without(s, 'compare-backup'); }, 'restore'],
  ['recovery', 'INPUT-KNOWN', 'another file than the backup', (s) => { step(s, 'restore').do['restore-key']!['from'] = 'other'; }, 'restore'],
  ['recovery', 'READ-BACK-EVERY-SHARE', 'shares that nobody read before they are used', (s) => { const { moves } = step(s, 'read-share'); step(s, 'read-share').do = { 'put-away': {} }; delete s.room.bags; step(s, 'read-share').moves = moves ?? []; }, 'restore'],
  ['recovery', 'ROOM-CARD-IN-READER', 'a recovery from cards in their bags', (s) => { before(s, 'bag-cards', 'restore'); }, 'restore'],
  ['recovery', 'INVENTORY-AROUND-CHANGE', 'nobody looked before', (s) => { without(s, 'token-before'); }, 'restore'],
  ['recovery', 'INVENTORY-AROUND-CHANGE', 'nobody looked afterwards', (s) => { without(s, 'token-after'); }, 'restore'],
  ['recovery', 'KEY-PROVEN', 'a restored key that never proves itself', (s) => { without(s, 'prove'); }, 'restore'],
  ['recovery', 'KEY-ONCE', 'a key restored twice', (s) => { again(s, 'token-before', 'prove'); again(s, 'restore', 'prove'); }, 'restore-again'],
  ['recovery', 'INSPECT-FIRST', 'a token that nobody inspected', (s) => { step(s, 'token-out').do = { 'put-away': {} }; }, 'token-random'],
  ['recovery', 'PEOPLE-CARDS', 'no share cards', (s) => { delete s.room.cards['share-card']; delete step(s, 'read-share').moves; delete step(s, 'bag-cards').moves; }, ''],
  ['recovery', 'PEOPLE-ROLES', 'one custodian', (s) => { s.people['custodian'] = 1; s.parameters = {}; delete step(s, 'restore')['witnessed-by']!['custodian']; }, ''],
  ['recovery', 'BACKUP-ONCE', 'a second backup', (s) => { const { inputs } = s as unknown as { inputs: Record<string, unknown> }; inputs['other'] = structuredClone(inputs['backup']); again(s, 'compare-backup', 'token-out'); step(s, 'compare-backup-again').do = { 'confirm-input': { input: 'other' } }; }, ''],
  ['recovery', 'ATTRIBUTES-SAFE', 'a restored key is wrapped once more', (s) => { again(s, 'prove', 'token-after'); step(s, 'prove-again').do = { 'wrap-key': { key: 'ca' } }; }, 'prove-again', ['BACKUP-BEFORE-WRAP']],
  ['share-backup', 'ATTRIBUTES-SAFE', 'a key that is not locked once it has its backup', (s) => { without(s, 'lock-key'); }, 'find-key'],
  ['share-backup', 'ATTRIBUTES-SAFE', 'wrapped after it was locked', (s) => { again(s, 'wrap-key', 'wipe-backup'); }, 'wrap-key-again'],
  ['share-backup', 'LOCK-AFTER-PROOF', 'locked before a recovery is proven', (s) => { before(s, 'lock-key', 'recovery'); }, 'lock-key'],
  ['share-backup', 'BACKUP-BEFORE-WRAP', 'wrapped under nothing', (s) => { before(s, 'wrap-key', 'backup-key'); }, 'wrap-key'],
  ['share-backup', 'KEY-BEFORE-USE', 'wrapped before it is found', (s) => { before(s, 'find-key', 'lock-key'); }, 'wrap-key', ['LOCK-AFTER-PROOF', 'WIPED-AFTER-PROOF', 'BACKUP-PROVEN', 'SHARES-AFTER-SPLIT']],
  ['share-backup', 'KEY-BEFORE-USE', 'opened for nothing', (s) => { without(s, 'backup-key', 'wrap-key', 'give-share', 'read-share', 'recovery', 'lock-key', 'wipe-backup', 'bag-cards'); delete s.set; delete s.parameters['threshold']; }, 'find-key'],
  ['share-backup', 'INPUT-CONFIRMED', 'a key record that nobody compared', (s) => { without(s, 'compare-key'); }, 'find-key'],
  ['share-backup', 'BACKUP-PROVEN', 'a backup that nobody tried', (s) => { without(s, 'recovery'); }, 'backup-key', ['LOCK-AFTER-PROOF', 'WIPED-AFTER-PROOF']],
  ['share-backup', 'WIPE-AT-END', 'the backup key stays', (s) => { without(s, 'wipe-backup'); }, 'token-in'],
  ['share-backup', 'RANDOM-FIRST', 'a backup key of a source that nobody tested', (s) => { without(s, 'token-random'); }, 'backup-key'],
  ['share-backup', 'PEOPLE-ROLES', 'the witness wraps', (s) => { step(s, 'wrap-key').who = 'auditor'; }, 'wrap-key'],
  ['recovery', 'ATTRIBUTES-SAFE', 'a restored key is locked once more', (s) => { again(s, 'prove', 'token-after'); step(s, 'prove-again').do = { 'lock-key': { key: 'ca' } }; }, 'prove-again'],
  ['ha-clone', 'CLONE-TWO-TOKENS', 'the second token compared with itself', (s) => { step(s, 'compare').do['compare-keys']!['on'] = 'second'; }, 'compare'],
  ['ha-clone', 'INSPECT-FIRST', 'a first token that nobody inspected', (s) => { step(s, 'primary-out').do = { 'put-away': {} }; }, 'compare'],
  ['ha-clone', 'INPUT-CONFIRMED', 'a key record that nobody compared', (s) => { without(s, 'compare-key'); }, 'compare'],
  ['ha-clone', 'INPUT-KNOWN', 'the backup in place of the key record', (s) => { step(s, 'compare').do['compare-keys']!['from'] = 'backup'; }, 'compare'],
  ['ha-clone', 'PEOPLE-ROLES', 'the auditor compares', (s) => { step(s, 'compare').who = 'auditor'; }, 'compare'],
  ['intermediate', 'CLONE-RESTORED', 'a key that was only opened', (s) => { again(s, 'open-ca', 'certify'); step(s, 'open-ca-again').do = { 'compare-keys': { on: 'ca-hsm', key: 'ca', from: 'ca' } }; }, 'open-ca-again', ['CLONE-TWO-TOKENS']],
  ['escrow-deposit', 'ESCROW-ONCE', 'two deposits', (s) => { again(s, 'deposit', 'token-after'); }, 'deposit-again'],
  ['escrow-deposit', 'ESCROW-WITNESSED', 'sealed before nobody', (s) => { step(s, 'deposit')['witnessed-by'] = { custodian: 2 }; }, 'deposit'],
  ['escrow-deposit', 'INPUT-CONFIRMED', 'an agent\'s key that nobody compared', (s) => { without(s, 'compare-agent'); }, 'deposit'],
  ['escrow-deposit', 'INPUT-KNOWN', 'a backup in the agent\'s place', (s) => { step(s, 'deposit').do['seal-escrow']!['for'] = 'backup'; }, 'deposit'],
  ['escrow-deposit', 'READ-BACK-EVERY-SHARE', 'shares that nobody read', (s) => { step(s, 'read-share').do = { 'put-away': {} }; delete s.room.bags; }, 'deposit'],
  ['escrow-deposit', 'PEOPLE-ROLES', 'the auditor seals', (s) => { step(s, 'deposit').who = 'auditor'; }, 'deposit'],
  ['escrow-release', 'RELEASE-IN-ORDER', 'nobody waits', (s) => { without(s, 'wait'); delete s.parameters['hours']; }, 'release'],
  ['escrow-release', 'RELEASE-IN-ORDER', 'nobody approves', (s) => { without(s, 'approve'); delete s.parameters['days']; delete s.parameters['reason']; }, 'wait', ['APPROVED-BY-SEVERAL']],
  ['escrow-release', 'APPROVED-BY-SEVERAL', 'the agent alone approves', (s) => { delete step(s, 'approve')['for-each']; step(s, 'approve').who = 'custodian'; }, 'token-in'],
  ['escrow-release', 'APPROVAL-EXPIRED', 'approvals that end while people wait', (s) => { parameter(s, 'days', 3 as unknown as string); }, 'token-in'],
  ['escrow-release', 'ESCROW-WITNESSED', 'released before nobody', (s) => { step(s, 'release')['witnessed-by'] = { auditor: 1 }; }, 'release'],
  ['escrow-release', 'INVENTORY-AROUND-CHANGE', 'nobody looked before', (s) => { without(s, 'token-before'); }, 'release'],
  ['escrow-release', 'INPUT-CONFIRMED', 'conditions that nobody read aloud', (s) => { without(s, 'read-conditions'); }, 'approve'],
  ['escrow-release', 'KEY-PROVEN', 'a released key that never proves itself', (s) => { without(s, 'prove'); }, 'release'],
  ['escrow-release', 'PEOPLE-ROLES', 'the officer opens the envelope', (s) => { step(s, 'release').who = 'officer'; }, 'release'],
  ['recovery-rehearsal', 'READ-BACK-EVERY-SHARE', 'a drill with shares that nobody read', (s) => { step(s, 'read-share').do = { 'put-away': {} }; delete s.room.bags; }, 'recovery'],
  ['activation-split', 'ACTIVATE-FIRST', 'a token that somebody is to log in to', (s) => { delete step(s, 'token-out').do['inspect-token']!['login']; }, 'token-out'],
  ['activation-split', 'ACTIVATION-ALONE', 'something else is done with the token', (s) => { again(s, 'token-random', 'give-share'); step(s, 'token-random-again').do = { 'take-inventory': { on: 'hsm' } }; }, 'token-random-again'],
  ['activation-split', 'ACTIVATE-ONCE', 'a second activation key', (s) => { again(s, 'make-key', 'give-share'); }, 'make-key-again'],
  ['activation-split', 'ACTIVATE-ONCE', 'the PIN set twice', (s) => { again(s, 'set-pin', 'bag-cards'); }, 'set-pin-again'],
  ['activation-split', 'SET-FROM-SHARES', 'the PIN set while the key is still held', (s) => { before(s, 'wipe-key', 'bag-cards'); }, 'set-pin'],
  ['activation-split', 'WIPED-AFTER-PROOF', 'wiped before the shares were read back', (s) => { before(s, 'read-share', 'set-pin'); }, 'wipe-key'],
  ['activation-split', 'SHARES-AFTER-SPLIT', 'shares of a key that is wiped', (s) => { before(s, 'wipe-key', 'give-share'); const { moves } = step(s, 'give-share'); step(s, 'give-share').moves = moves ?? []; }, 'give-share', ['WIPED-AFTER-PROOF']],
  ['activation-split', 'ACTIVATION-SET', 'shares that open nothing', (s) => { without(s, 'set-pin'); delete (s as unknown as { inputs?: unknown }).inputs; }, 'make-key'],
  ['activation-split', 'ACTIVATE-WITNESSED', 'nobody sees the PIN set', (s) => { delete step(s, 'set-pin')['witnessed-by']; }, 'set-pin'],
  ['activation-split', 'RANDOM-FIRST', 'a random source that nobody tested', (s) => { without(s, 'token-random'); }, 'make-key'],
  ['activation-split', 'BACKUP-NEEDS-SET', 'no set', (s) => { delete (s as unknown as { set?: unknown }).set; delete s.parameters['threshold']; }, 'make-key'],
  ['activation-split', 'ROOM-CARD-IN-READER', 'cards in their bags when the PIN is set', (s) => { before(s, 'bag-cards', 'set-pin'); }, 'set-pin'],
  ['activate', 'ACTIVATE-FIRST', 'the key is used before anybody opened the token', (s) => { before(s, 'find-key', 'open-token'); }, 'find-key'],
  ['activate', 'ACTIVATE-FIRST', 'the token is listed after it was closed', (s) => { before(s, 'close-token', 'token-after'); }, 'token-after'],
  ['activate', 'ACTIVATE-FIRST', 'closed before it was opened', (s) => { again(s, 'close-token', 'open-token'); }, 'close-token-again'],
  ['activate', 'ACTIVATE-ONCE', 'opened twice', (s) => { again(s, 'open-token', 'find-key'); }, 'open-token-again', ['BACKUP-ONCE']],
  ['activate', 'ACTIVATE-WITNESSED', 'nobody sees it opened', (s) => { delete step(s, 'open-token')['witnessed-by']; }, 'open-token'],
  ['activate', 'DEACTIVATE-AT-END', 'never closed', (s) => { without(s, 'close-token'); }, 'open-token'],
  ['activate', 'ACTIVATION-ALONE', 'a key is made on it', (s) => { step(s, 'find-key').do = { 'restore-key': { on: 'ca-hsm', key: 'ca', from: 'ca' } }; }, 'find-key', ['INPUT-KNOWN', 'KEY-PROVEN']],
  ['activate', 'INPUT-CONFIRMED', 'a set that nobody compared', (s) => { without(s, 'compare-set'); }, 'open-token'],
  ['activate', 'INPUT-KNOWN', 'another file than the set', (s) => { step(s, 'open-token').do['activate']!['from'] = 'ca'; }, 'open-token'],
  ['activate', 'READ-BACK-EVERY-SHARE', 'shares that nobody read before they are used', (s) => { const { moves } = step(s, 'agree'); step(s, 'agree').do = { 'put-away': {} }; delete s.room.bags; step(s, 'agree').moves = moves ?? []; }, 'open-token'],
  ['activate', 'ROOM-CARD-IN-READER', 'cards put away while the token is open', (s) => { before(s, 'bag-cards', 'token-after'); }, 'close-token'],
  ['user-pin-reset', 'ACTIVATE-WITNESSED', 'nobody sees it set', (s) => { delete step(s, 'reset-pin')['witnessed-by']; }, 'reset-pin'],
  ['user-pin-reset', 'INPUT-CONFIRMED', 'a set that nobody compared', (s) => { without(s, 'compare-set'); }, 'reset-pin'],
  ['user-pin-reset', 'READ-BACK-EVERY-SHARE', 'shares that nobody read', (s) => { const { moves } = step(s, 'agree'); step(s, 'agree').do = { 'put-away': {} }; delete s.room.bags; step(s, 'agree').moves = moves ?? []; }, 'reset-pin'],
  ['user-pin-reset', 'ACTIVATION-ALONE', 'its keys are listed as well', (s) => { again(s, 'reset-pin', 'reset-pin'); step(s, 'reset-pin-again').do = { 'take-inventory': { on: 'hsm' } }; }, 'reset-pin-again'],
  ['user-pin-reset', 'ACTIVATE-FIRST', 'somebody is asked for its PIN', (s) => { delete step(s, 'token-out').do['inspect-token']!['login']; }, 'token-out'],
  ['activate', 'PEOPLE-ROLES', 'the witness opens it', (s) => { step(s, 'open-token').who = 'auditor'; }, 'open-token'],
  ['pq-root', 'PLACE-POSSIBLE', 'a simple key cut in two', (s) => { const { place } = s.parameters as Record<string, Record<string, unknown>>; place!['one-of'] = ['split']; place!['default'] = 'split'; }, 'make-root'],
  ['pq-root', 'STATEFUL-ON-TOKEN-ONLY', 'a stateful key outside a token', (s) => { stateful(s); parameter(s, 'place', 'wrapped'); }, 'make-root', ['STATEFUL-NEVER-COPIED']],
  ['custodian-change', 'RETIRE-AFTER-PROOF', 'old shares erased before the new ones are proven', (s) => { before(s, 'retire', 'recovery'); }, 'retire'],
  ['custodian-change', 'RETIRE-AFTER-PROOF', 'new shares on the old cards', (s) => { for (const id of ['give-new', 'read-new']) { delete step(s, id).moves; step(s, id).do = { [id === 'give-new' ? 'give-share' : 'read-back-share']: {} }; } without(s, 'bag-new'); }, 'retire'],
  ['custodian-change', 'RETIRE-EVERY-SHARE', 'old shares that are kept', (s) => { without(s, 'retire'); }, 'renew'],
  ['custodian-change', 'RETIRE-EVERY-SHARE', 'old shares erased twice', (s) => { again(s, 'retire', 'bag-old'); }, 'retire-again'],
  ['custodian-change', 'RETIRE-WITNESSED', 'old shares erased with nobody looking', (s) => { delete step(s, 'retire')['witnessed-by']; }, 'retire'],
  ['custodian-change', 'BACKUP-PROVEN', 'new shares that nobody tried', (s) => { without(s, 'recovery'); }, 'renew', ['RETIRE-AFTER-PROOF', 'WIPED-AFTER-PROOF']],
  ['custodian-change', 'PROOF-AFTER-READ-BACK', 'new shares that nobody read back', (s) => { without(s, 'read-new'); }, 'recovery', ['READ-BACK-EVERY-SHARE']],
  ['custodian-change', 'READ-BACK-EVERY-SHARE', 'old shares that nobody read before they are used', (s) => { step(s, 'read-old').do = { 'put-away': {} }; delete s.room.bags; }, 'renew'],
  ['custodian-change', 'WIPE-AT-END', 'the backup key stays', (s) => { without(s, 'wipe-backup'); }, 'token-in'],
  ['custodian-change', 'BACKUP-ONCE', 'split twice', (s) => { again(s, 'renew', 'wipe-backup'); }, 'renew-again'],
  ['custodian-change', 'BACKUP-NEEDS-SET', 'nobody says how many shares', (s) => { delete s.set; delete s.parameters['shares']; delete s.parameters['threshold']; }, 'renew'],
  ['custodian-change', 'SHARES-AFTER-SPLIT', 'new shares before the split', (s) => { before(s, 'give-new', 'renew'); }, 'give-new', ['ONE-PERSON-ONE-SHARE', 'READ-BACK-EVERY-SHARE']],
  ['custodian-change', 'ROOM-THING', 'a card that is not in the room', (s) => { step(s, 'read-new').do = { 'read-back-share': { card: 'other-card' } }; }, 'read-new'],
  ['custodian-change', 'ROOM-CARD-IN-READER', 'a proof from new cards in their bags', (s) => { before(s, 'bag-new', 'recovery'); }, 'recovery'],
  ['recovery', 'PEOPLE-CARDS', 'a custodian who need not have a card', (s) => { s.room.cards['share-card']!.optional = true; }, ''],
  ['component-issue', 'RANDOM-FIRST', 'components of a source that nobody tested', (s) => { without(s, 'token-random'); }, 'component'],
  ['component-entry', 'COMPONENTS-SEVERAL', 'one custodian who has the whole key', (s) => { s.people['custodian'] = 1; delete s.parameters['components']; delete step(s, 'form')['witnessed-by']!['custodian']; }, 'component'],
  ['component-entry', 'COMPONENTS-COMPLETE', 'a key of one custodian\'s component', (s) => { const one = step(s, 'component'); delete one['for-each']; one.who = 'custodian'; }, 'form'],
  ['component-entry', 'COMPONENTS-COMPLETE', 'components of which nothing is formed', (s) => { without(s, 'form'); delete s.parameters['label']; delete s.parameters['use']; delete s.parameters['total']; }, 'component'],
  ['component-entry', 'COMPONENTS-COMPLETE', 'a component after the key', (s) => { before(s, 'form', 'component'); }, 'component'],
  ['component-entry', 'COMPONENT-SET', 'two components of everybody', (s) => { again(s, 'component', 'form'); }, 'component-again'],
  ['component-entry', 'AS-SCRIPTED', 'components of another length than the key', (s) => { step(s, 'component').do['enter-component']!['kind'] = 'aes-128'; }, 'form'],
  ['component-entry', 'COMPONENTS-ONE-ACT', 'a seal between the components and the key', (s) => { s.acts[1]?.steps.push(...s.acts[2]?.steps.splice(0, 1) ?? []); }, 'form'],
  ['component-entry', 'FORM-WITNESSED', 'a key that nobody sees formed', (s) => { delete step(s, 'form')['witnessed-by']; }, 'form'],
  ['component-entry', 'CHECK-VALUE-FORM', 'a check value that is none', (s) => { parameter(s, 'total', 'A1B2'); }, 'form'],
  ['component-entry', 'INVENTORY-AROUND-CHANGE', 'nobody looked before', (s) => { without(s, 'token-before'); }, 'form'],
  ['component-entry', 'INVENTORY-AROUND-CHANGE', 'nobody looked afterwards', (s) => { without(s, 'token-after'); }, 'form'],
  ['component-entry', 'KEY-ONCE', 'a key formed twice', (s) => { again(s, 'token-before', 'token-after'); again(s, 'form', 'token-after'); }, 'form-again'],
  ['component-entry', 'PEOPLE-ROLES', 'the officer types a component', (s) => { const one = step(s, 'component'); delete one['for-each']; one.who = 'officer'; }, 'component', ['COMPONENTS-COMPLETE']],
  ['share-envelope', 'COPY-READ-BACK', 'envelopes that nobody opens', (s) => { without(s, 'open'); }, 'seal'],
  ['share-envelope', 'COPY-READ-BACK', 'opened before it is sealed', (s) => { before(s, 'open', 'seal'); }, 'open'],
  ['share-envelope', 'COPY-READ-BACK', 'opened twice', (s) => { again(s, 'open', 'bag-cards'); }, 'open-again'],
  ['share-envelope', 'ONE-COPY-EACH', 'two envelopes for everybody', (s) => { again(s, 'seal', 'open'); step(s, 'seal-again').moves = []; }, 'seal-again'],
  ['share-envelope', 'COPY-WITNESSED', 'sealed before nobody', (s) => { delete step(s, 'seal')['witnessed-by']; }, 'seal'],
  ['share-envelope', 'INPUT-CONFIRMED', 'a key that its holder has not compared', (s) => { const one = step(s, 'compare-key'); delete one['for-each']; one.who = 'custodian'; }, 'seal'],
  ['share-envelope', 'INPUT-KNOWN', 'a backup in the place of the keys', (s) => { step(s, 'seal').do['seal-copy']!['to'] = 'backup'; }, 'seal', ['INPUT-CONFIRMED']],
  ['share-envelope', 'ROOM-CARD-IN-READER', 'a card in its bag', (s) => { delete step(s, 'seal').moves; without(s, 'bag-cards'); }, 'seal'],
  ['share-envelope', 'PEOPLE-CARDS', 'no card with a share', (s) => { delete (s.room.cards as Record<string, unknown>)['share-card']; delete step(s, 'seal').moves; without(s, 'bag-cards'); }, 'seal'],
  ['share-envelope', 'PEOPLE-ROLES', 'the officer seals', (s) => { const one = step(s, 'seal'); delete one['for-each']; delete one.moves; one.who = 'officer'; without(s, 'bag-cards'); }, 'seal', ['COPY-READ-BACK', 'INPUT-CONFIRMED']],
  ['share-paper', 'ONE-COPY-EACH', 'two forms for everybody', (s) => { again(s, 'write', 'seal-form'); step(s, 'write-again').moves = []; }, 'write-again'],
  ['share-paper', 'COPY-WITNESSED', 'written before nobody', (s) => { delete step(s, 'write')['witnessed-by']; }, 'write'],
  ['share-return', 'READ-BACK-EVERY-SHARE', 'never read from the new card', (s) => { without(s, 'read-back'); }, 'return'],
  ['share-return', 'ONE-COPY-EACH', 'brought back twice', (s) => { again(s, 'return', 'read-back'); step(s, 'return-again').moves = []; }, 'return-again'],
  ['share-return', 'INPUT-CONFIRMED', 'an envelope that nobody compared', (s) => { without(s, 'compare-envelope'); }, 'return'],
  ['share-return-paper', 'READ-BACK-EVERY-SHARE', 'typed from paper, and never read from the new card', (s) => { without(s, 'read-back'); }, 'return'],
  ['share-return-paper', 'COPY-WITNESSED', 'typed with nobody in the room', (s) => { delete step(s, 'return')['witnessed-by']; }, 'return'],
  ['share-return', 'ROOM-CARD-IN-READER', 'a new card in its holder\'s hand', (s) => { delete step(s, 'return').moves; without(s, 'take-card'); }, 'return'],
  ['pq-root', 'STATEFUL-NEVER-COPIED', 'a backup of a stateful key', (s) => { stateful(s); parameter(s, 'place', 'token'); }, 'make-root'],
];

function parameter(script: Draft, name: string, value: string): void {
  (script.parameters as Record<string, Record<string, unknown>>)[name]!['default'] = value;
}

function stateful(script: Draft): void {
  const { algorithm } = script.parameters as Record<string, Record<string, unknown>>;
  algorithm!['one-of'] = ['hss-lms'];
  algorithm!['default'] = 'hss-lms';
}

for (const [name, rule, what, change, at, others = []] of OTHER_ROWS) {
  test(`${rule} in ${name}: ${what}`, () => {
    const { rehearsed: whole, faults, script } = rehearsed(change, {}, readFileSync(join(folder, `scripts/${name}.yaml`), 'utf8'));
    assert.equal(whole, null);
    assert.deepEqual([...new Set(faults?.map((fault: Fault) => fault.rule))].sort(), [...new Set([rule, ...others])].sort());
    assert.ok(faults?.some((fault) => fault.rule === rule && fault.line === (at === '' ? 0 : script.lines[at])), `not at ${at}`);
  });
}

test('every script that ships passes, with every algorithm in every placement that it can have', () => {
  const names = readdirSync(join(folder, 'scripts')).map((file) => file.replace('.yaml', ''));
  assert.ok(names.includes('root-ca') && names.includes('stateful-root'));
  for (const name of names) {
    const text = readFileSync(join(folder, `scripts/${name}.yaml`), 'utf8');
    const { faults } = rehearsed(() => undefined, {}, text);
    assert.deepEqual(faults, [], name);
    const spec = (parse(text) as { parameters?: Record<string, { 'one-of'?: string[] }> }).parameters ?? {};
    for (const algorithm of spec['algorithm']?.['one-of'] ?? []) {
      for (const place of spec['place']?.['one-of'] ?? ['']) {
        const found = rehearsed(() => undefined, { algorithm, ...(place !== '' && { place }) }, text).faults ?? [];
        const homeless = componentsOf(caAlgorithmNamed(algorithm)).some((component) => component.row === null && heldAt((place || 'token') as Placement, component) === 'token');
        assert.deepEqual([...new Set(found.map((fault) => fault.rule))], homeless ? ['PLACE-POSSIBLE'] : [], `${name}, ${algorithm}, ${place}`);
      }
    }
  }
});

for (const [rule, what, change, at, others = []] of ROWS) {
  test(`${rule}: ${what}`, () => {
    const { rehearsed: whole, faults, script } = rehearsed(change);
    assert.equal(whole, null);
    const heard = [...new Set(faults?.map((fault: Fault) => fault.rule))].sort();
    assert.deepEqual(heard, [...new Set([rule, ...others])].sort());
    const lines = faults?.filter((fault) => fault.rule === rule).map((fault) => fault.line);
    assert.ok(lines?.includes(at === '' ? 0 : script.lines[at] ?? assert.fail(at)), `lines ${lines?.join(', ')} without that of ${at}`);
    for (const fault of faults ?? []) for (const part of [fault.expected, fault.found, fault.next]) assert.notEqual(part, '');
  });
}

test('a new ceremony writes the numbers of its bags down, where it has bags', () => {
  const opened = (change: (script: Draft) => void, text = ROOT_CA) => bagsFault(rehearsed(change, {}, text).rehearsed?.plan ?? assert.fail('it has faults'));
  assert.equal(opened((s) => { delete s.room.bags; })?.rule, 'BAGS-NUMBERED');
  assert.equal(opened(() => undefined), null);
  assert.equal(opened(() => undefined, readFileSync(join(folder, 'scripts/crl.yaml'), 'utf8')), null, 'no bags, no numbers');
});

test('every shipped script has the numbers of its bags written down', () => {
  const shipped = readdirSync(join(folder, 'scripts')).map((file) => parse(readFileSync(join(folder, 'scripts', file), 'utf8')) as Draft);
  const bagged = shipped.filter((script) => steps(script).some(({ moves }) => moves?.some(({ from, to }) => from === 'bag' || to === 'bag')));
  assert.ok(bagged.length >= 10);
  assert.deepEqual(bagged.filter(({ room }) => room.bags !== 'numbered'), []);
});

test('every rule of the rehearsal has a row', () => {
  const source = readFileSync(join(folder, 'rehearse.ts'), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const rules = new Set([...source.matchAll(/'([A-Z]+(?:-[A-Z]+)+)'/g)].map(([, rule]) => rule));
  assert.deepEqual([...rules].filter((rule) => !ROWS.some(([row]) => row === rule) && !OTHER_ROWS.some(([, row]) => row === rule)), []);
});

test('all faults are reported at once, each line once', () => {
  const { faults } = rehearsed((script) => {
    without(script, 'token-random', 'wipe-backup', 'bag-cards');
    attributes(script)['derive'] = true;
  });
  assert.deepEqual(faults?.map((fault) => fault.rule).sort(), ['ATTRIBUTES-SAFE', 'RANDOM-FIRST', 'RANDOM-FIRST', 'ROOM-PUT-AWAY', 'WIPE-AT-END']);
});
