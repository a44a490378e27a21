/** The custody register folded from records that were really signed: who has what and where, what moved, what is not where it was, and what balances. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Entry } from '../../../ceremonies/ceremony.ts';
import type { JudgedRecord } from '../../../ceremonies/inventory.ts';
import { foldCustody, placedShares, type Custody, type Thing } from '../../../ceremonies/shares/custody.ts';
import { MOVEMENTS_HEADER } from '../../../ceremonies/shares/movements.ts';
import { verifyTranscript } from '../../../ceremonies/verify.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import { SEED } from '../keys/seed.ts';
import { fileOf, scriptedRecord, ScriptedRoom, type RecordOptions, type ScriptedRecord } from '../scripted.ts';

async function judged(lines: readonly string[]): Promise<JudgedRecord> {
  const { verdict } = await verifyTranscript(fileOf(lines), { hasher: nativeHasher });
  return { verdict, lines };
}
const SCRIPT = readFileSync(join(import.meta.dirname, '../../../ceremonies/scripts/custody-movement.yaml'), 'utf8');
const day = (n: number) => Date.UTC(2026, 2, 3 + n);

const root = await scriptedRecord();
const made = await judged(root.lines);
/** The bag in which the root ceremony left the share card of a custodian. */
const bag = (i: number) => root.state.away.closed[`share-card/custodian-${i}`] ?? assert.fail();
const SET = root.state.backup?.set.id ?? assert.fail();
const [BELA, CHIARA, DMITRI] = ['Bela Custis', 'Chiara Custos', 'Dmitri Kustov'];

/** Everybody brings the identity card that they have. */
const cardsOf = (people: Readonly<Record<string, string>>) => Object.fromEntries(Object.entries(people).map(([seat, name]) => [seat, `CARD-custodian-${[BELA, CHIARA, DMITRI].indexOf(name) + 1}`]));

/** A custody-movement of these lines, `n` days after the root ceremony. */
function movement(n: number, lines: readonly string[], options: RecordOptions = {}): Promise<ScriptedRecord> {
  const names = [...new Set(lines.flatMap((line) => [line.split(',')[4] ?? '', line.split(',')[6] ?? '']))];
  const people = Object.fromEntries(names.map((name, i) => [`custodian-${i + 1}`, name]));
  return scriptedRecord({ script: SCRIPT.replace('default: 2', `default: ${names.length}`), seed: `movement ${n}`, opensAt: day(n), movements: [MOVEMENTS_HEADER, ...lines, ''].join('\n'), people, identityCards: cardsOf(people), ...options });
}
async function register(...records: readonly ScriptedRecord[]): Promise<Custody> {
  return foldCustody([made, ...await Promise.all(records.map(({ lines }) => judged(lines)))], nativeHasher);
}
const thing = ({ things }: Custody, key: string): Thing => things.find((one) => one.key === `${key} (REHEARSAL)`) ?? assert.fail(`no ${key} among ${things.map((one) => one.key).join(', ')}`);
const where = ({ person, site }: Thing) => `${person ?? '?'}@${site ?? '?'}`;
const rules = ({ findings }: Custody) => findings.map(({ rule, things }) => `${rule} ${things.map((key) => key.replace(' (REHEARSAL)', '')).join(' ')}`.trim());
const off = ({ balance }: Custody) => balance.filter(({ unaccounted }) => unaccounted !== 0).map(({ kind, name, unaccounted }) => `${kind} ${name} ${unaccounted}`);
const line = (i: number, from: string, to: string, reason = 'Distribution') => `card,SHARE-custodian-${i},${SET},${i},${from.replace('@', ',')},${to.replace('@', ',')},${reason}`;

/** A recovery with the cards of the root ceremony, by those who have them since the first movement. */
const recovery = (options: RecordOptions) => scriptedRecord({
  script: 'recovery', seed: 'recovery', opensAt: day(2), bags: { opened: root.state.away.closed }, people: { 'custodian-1': BELA, 'custodian-2': DMITRI, 'custodian-3': CHIARA },
  identityCards: { 'custodian-2': 'CARD-custodian-3', 'custodian-3': 'CARD-custodian-2' }, ...options,
});

/** Three share cards from the place of the ceremony to three sites. */
const SPREAD = [line(1, `${BELA}@hq`, `${BELA}@a`), line(2, `${CHIARA}@hq`, `${DMITRI}@b`), `card,SHARE-custodian-3,,,${DMITRI},hq,${CHIARA},c,Distribution`];
const spread = await movement(1, SPREAD);

test('a root ceremony alone: whose cards, which shares, what lies in the record; and no site is known', async () => {
  const custody = await register();
  assert.deepEqual(custody.findings, []);
  assert.deepEqual(off(custody), []);
  assert.deepEqual(custody.sets, [{ id: SET, threshold: 2, shares: 3, key: 'Root CA', rehearsal: true }]);
  const card = thing(custody, 'card SHARE-custodian-2');
  assert.deepEqual({ what: card.what, shares: card.shares, at: where(card), place: card.place, inside: card.inside }, { what: 'share card', shares: [{ set: SET, x: 2 }], at: `${CHIARA}@?`, place: 'bag', inside: `bag ${bag(2)} (REHEARSAL)` });
  const given = root.entries.find(({ kind, step }) => kind === 'done' && step === 'give-share/custodian-2');
  assert.deepEqual(card.since, { ceremony: given?.ceremony, seq: given?.seq, at: given?.at });
  assert.deepEqual([thing(custody, 'card CARD-witness').what, thing(custody, 'card CARD-witness').person], ['identity card', 'Wanda Zeuge']);
  assert.deepEqual([thing(custody, 'token TOKEN-root-hsm').place, thing(custody, 'token TOKEN-root-hsm').person], ['safe', null]);
  assert.equal(thing(custody, `backup ${SET}`).place, 'record');
  assert.equal(custody.things.length, 6 + 3 + 3 + 1 + 1);
  assert.deepEqual(placedShares(custody).map(({ x, person, site }) => [x, person, site]), [[1, BELA, null], [2, CHIARA, null], [3, DMITRI, null]]);
});

test('a movement: from whom to whom and where, why, who saw it, signed by both; the books balance', async () => {
  const custody = await register(spread);
  assert.deepEqual(custody.findings, []);
  assert.deepEqual(off(custody), []);
  assert.deepEqual([1, 2, 3].map((i) => where(thing(custody, `card SHARE-custodian-${i}`))), [`${BELA}@a`, `${DMITRI}@b`, `${CHIARA}@c`]);
  const { number, state, from, to, reason, witnesses, share, seq, ceremony } = custody.movements[1] ?? assert.fail();
  assert.deepEqual({ number, state, from, to, reason, witnesses, share }, { number: 2, state: 'signed', from: { person: CHIARA, site: 'hq' }, to: { person: DMITRI, site: 'b' }, reason: 'Distribution', witnesses: [DMITRI, 'Wanda Zeuge'], share: { set: SET, x: 2 } });
  assert.deepEqual([spread.entries[seq]?.kind, spread.entries[seq]?.step, spread.state.ceremony], ['witnessed', 'hand-over/2', ceremony]);
  const row = (name: string) => { const { first, in: came, out, here } = custody.balance.find((one) => one.name === name) ?? assert.fail(name); return [first, came, out, here]; };
  assert.deepEqual([row('hq'), row('a'), row(CHIARA)], [[6, 0, 6, 0], [0, 2, 0, 2], [3, 2, 2, 3]], 'the bags go along; in the room of the movement each has an identity card too');
  // The order of the records does not matter, nor that one is there twice as an open one would be.
  assert.deepEqual(foldCustody([await judged(spread.lines), made], nativeHasher), custody);
});

test('a bag takes along what lies in it, and gives it up when that is handed over by itself', async () => {
  const bagged = await movement(2, [`bag,B-7,${SET},1,${BELA},a,${CHIARA},d,Into the vault`]);
  const carried = await movement(3, [`bag,B-7,,,${CHIARA},d,${DMITRI},e,To the other vault`]);
  const opened = await movement(4, [line(1, `${DMITRI}@e`, `${BELA}@a`, 'Taken out')]);
  const back = await movement(5, [`bag,B-7,,,${DMITRI},e,${CHIARA},d,Empty`]);
  const states = [await register(spread, bagged), await register(spread, bagged, carried), await register(spread, bagged, carried, opened), await register(spread, bagged, carried, opened, back)];
  assert.deepEqual(states.map((custody) => [where(thing(custody, 'bag B-7')), where(thing(custody, 'card SHARE-custodian-1')), thing(custody, 'card SHARE-custodian-1').inside, thing(custody, 'bag B-7').shares.length]), [
    [`${CHIARA}@d`, `${CHIARA}@d`, 'bag B-7 (REHEARSAL)', 0], [`${DMITRI}@e`, `${DMITRI}@e`, 'bag B-7 (REHEARSAL)', 0], [`${DMITRI}@e`, `${BELA}@a`, null, 0], [`${CHIARA}@d`, `${BELA}@a`, null, 0],
  ]);
  for (const custody of states) assert.deepEqual([rules(custody), off(custody), placedShares(custody).length], [[], [], 3]);
});

test('a sheet with a share is known from its line; two things with one share are two', async () => {
  const custody = await register(spread, await movement(2, [`sheet,7,${SET},2,${BELA},a,${CHIARA},d,A copy on paper`, `envelope,9,${'B'.repeat(21)}A,1,${BELA},a,${CHIARA},d,Of another machine`]));
  assert.deepEqual(placedShares(custody).map(({ thing: key, x, site }) => [key, x, site]), [['card SHARE-custodian-1 (REHEARSAL)', 1, 'a'], ['card SHARE-custodian-2 (REHEARSAL)', 2, 'b'], ['card SHARE-custodian-3 (REHEARSAL)', 3, 'c'], ['sheet 7 (REHEARSAL)', 2, 'd'], ['envelope 9 (REHEARSAL)', 1, 'd']]);
  assert.deepEqual(rules(custody), []);
});

test('the backup of a set that a list moves is one thing: where the list says, and what the record says', async () => {
  const custody = await register(spread, await movement(2, [`backup,${SET},,,${BELA},hq,${CHIARA},vault,A copy of the record`]));
  const backups = custody.things.filter(({ kind }) => kind === 'backup');
  assert.deepEqual(backups.map((one) => [one.key, where(one), one.place]), [[`backup ${SET} (REHEARSAL)`, `${CHIARA}@vault`, null]]);
  assert.match(backups[0]?.what ?? '', /^the wrapped key "Root CA"/);
  assert.equal(new Set(custody.things.map(({ key }) => key)).size, custody.things.length);
  assert.deepEqual([rules(custody), off(custody)], [[], []]);
});

/** A root ceremony of long ago, whose first set was given up; with that set. */
async function givenUp(): Promise<{ readonly record: ScriptedRecord; readonly set: string }> {
  const record = await scriptedRecord({ seed: 'given up', opensAt: Date.UTC(2026, 1, 1), bags: { closed: Object.fromEntries(Object.entries(root.state.away.opened).map(([number, what]) => [what, number])) }, happenings: { 'give-share/custodian-2': [{ kind: 'crash' }] } });
  const done = record.entries.find((entry) => entry.kind === 'begun' && entry.step === 'backup-key') ?? assert.fail('no set');
  return { record, set: (done as Entry<'begun'>).data.intent['set'] as string };
}

/** What is wrong with a second ceremony, `n` days after the things were spread. */
const ROWS: readonly (readonly [what: string, next: () => Promise<ScriptedRecord | readonly ScriptedRecord[]>, findings: readonly string[], balance: readonly string[]])[] = [
  ['from where it is', () => movement(2, [line(1, `${BELA}@a`, `${CHIARA}@b`)]), [], []],
  ['from another person', () => movement(2, [line(1, `${CHIARA}@a`, `${DMITRI}@a`)]), ['CUSTODY-FROM-ELSEWHERE card SHARE-custodian-1', `CUSTODY-FROM-ELSEWHERE bag ${bag(1)}`], [`person ${BELA} 2`, `person ${CHIARA} -2`]],
  ['from another site', () => movement(2, [line(1, `${BELA}@x`, `${CHIARA}@x`)]), ['CUSTODY-FROM-ELSEWHERE card SHARE-custodian-1', `CUSTODY-FROM-ELSEWHERE bag ${bag(1)}`], ['site a 2', 'site x -2']],
  ['with another share than was written to the card', () => movement(2, [`card,SHARE-custodian-1,${SET},3,${BELA},a,${CHIARA},b,Why not`]), ['CUSTODY-OTHER-SHARE card SHARE-custodian-1'], []],
  ['under its serial number in capitals', () => movement(2, [`card,share-CUSTODIAN-1,${SET},1,${BELA},a,${CHIARA},b,Why not`]), [], []],
  ['under its serial number in groups', () => movement(2, [`card,SHARE -custodian- 1,${SET},1,${BELA},a,${CHIARA},b,Why not`]), [], []],
  ['under another number, with a share that lies on a card', () => movement(2, [`card,SHARE-custodian-01,${SET},1,${BELA},a,${CHIARA},b,Why not`]), ['CUSTODY-OTHER-SHARE card SHARE-custodian-01 card SHARE-custodian-1'], []],
  ['another card, with a share of a set that no record here made', () => movement(2, [`card,OTHER-1,${'B'.repeat(21)}A,1,${BELA},a,${CHIARA},b,Why not`]), [], []],
  ...(['sheet', 'bag', 'envelope'] as const).map((kind) => [`a ${kind} with a share of a set that was given up`, async () => { const { record, set } = await givenUp(); return [record, await movement(2, [`${kind},7,${set},1,${BELA},a,${CHIARA},b,Why not`])]; }, [`CUSTODY-SHARE-OF-ENDED-SET ${kind} 7`], []] as const),
  ['a card with one', async () => { const { record, set } = await givenUp(); return [record, await movement(2, [`card,OTHER-1,${set},1,${BELA},a,${CHIARA},b,Why not`])]; }, [], []],
  ['not handed over, with an exception', () => movement(2, [line(1, `${BELA}@a`, `${CHIARA}@b`)], { happenings: { 'hand-over/1': [{ kind: 'exception' }] } }), ['CUSTODY-NOT-HANDED-OVER card SHARE-custodian-1'], [`person ${BELA} 1`, 'site a 1']],
  ['not handed over, of a thing that nobody knew', () => movement(2, [`bag,B-1,,,${BELA},a,${CHIARA},b,Why not`], { happenings: { 'hand-over/1': [{ kind: 'exception' }] } }), ['CUSTODY-NOT-HANDED-OVER bag B-1'], [`person ${BELA} 1`, 'site a 1']],
  ['the receiver says that this is not it', () => movement(2, [line(1, `${BELA}@a`, `${CHIARA}@b`)], { happenings: { 'hand-over/1/witnessed': [{ kind: 'exception' }] } }), ['CUSTODY-NOT-HANDED-OVER card SHARE-custodian-1'], [`person ${BELA} 1`, 'site a 1']],
  ['on the giver\'s word, aborted before the receiver\'s', () => movement(2, [line(1, `${BELA}@a`, `${CHIARA}@b`)], { happenings: { 'hand-over/1/witnessed': [{ kind: 'abort' }] } }), ['CUSTODY-NOT-HANDED-OVER card SHARE-custodian-1'], [`person ${BELA} 1`, 'site a 1']],
  ['on the giver\'s word, and the record ends there', () => movement(2, [line(1, `${BELA}@a`, `${CHIARA}@b`)], { happenings: { 'hand-over/1/witnessed': [{ kind: 'stop' }] } }), [], []],
  ['handed over, and the record ends before the signatures', () => movement(2, [line(1, `${BELA}@a`, `${CHIARA}@b`)], { happenings: { 'seal-3/custodian-2': [{ kind: 'stop' }] } }), ['CUSTODY-UNSIGNED card SHARE-custodian-1'], []],
  ['handed over, aborted before the signatures', () => movement(2, [line(1, `${BELA}@a`, `${CHIARA}@b`)], { happenings: { 'seal-3/officer': [{ kind: 'abort' }] } }), ['CUSTODY-UNSIGNED card SHARE-custodian-1'], []],
  ['a ceremony that was aborted with token and cards out', () => scriptedRecord({ seed: 'aborted', opensAt: day(2), bags: { opened: root.state.away.closed }, happenings: { 'read-share/custodian-2': [{ kind: 'abort' }] }, people: { 'custodian-1': CHIARA, 'custodian-2': BELA }, identityCards: { 'custodian-1': 'CARD-custodian-2', 'custodian-2': 'CARD-custodian-1' } }),
    ['CUSTODY-CHANGED-HANDS card SHARE-custodian-1', 'CUSTODY-CHANGED-HANDS card SHARE-custodian-2', 'CUSTODY-CHANGED-HANDS card SHARE-custodian-3', 'CUSTODY-LEFT-OUT card SHARE-custodian-1', 'CUSTODY-LEFT-OUT card SHARE-custodian-2', 'CUSTODY-LEFT-OUT card SHARE-custodian-3', 'CUSTODY-LEFT-OUT token TOKEN-root-hsm'],
    [`person ${BELA} 0`, `person ${CHIARA} 0`]],
  ['a card of which nobody could read the share', () => recovery({ happenings: { 'read-share/custodian-2': [{ kind: 'exception' }] } }), ['CUSTODY-SHARE-UNREAD card SHARE-custodian-2'], []],
  ['a recovery out of the bags of the root ceremony, into new ones', () => recovery({}), [], []],
  ['a card that came out of another bag', () => recovery({ bags: { opened: { ...root.state.away.closed, 'share-card/custodian-2': 'B-9' } } }), ['CUSTODY-OTHER-BAG card SHARE-custodian-2'], []],
  ['a card in a bag that was opened before', () => recovery({ bags: { opened: root.state.away.closed, closed: { 'share-card/custodian-2': Object.keys(root.state.away.opened)[0]! } } }), [`CUSTODY-BAG-TWICE bag ${Object.keys(root.state.away.opened)[0] ?? ''} card SHARE-custodian-2`], []],
  ['a card that nobody could put away', () => recovery({ happenings: { 'bag-cards/custodian-2': [{ kind: 'exception' }] } }), ['CUSTODY-NOT-PUT-AWAY card SHARE-custodian-2'], [`site b 1`, `person ${DMITRI} 1`]],
];
for (const [what, next, findings, balance] of ROWS) {
  test(`${what}: ${findings.join(', ') || 'nothing'}`, async () => {
    const records = [await next()].flat();
    const custody = await register(spread, ...records);
    assert.deepEqual(rules(custody).sort(), [...findings].sort());
    assert.deepEqual(off(custody).sort(), balance.filter((row) => !row.endsWith(' 0')).sort());
    for (const { expected, found, next: todo, source } of custody.findings) {
      for (const part of [expected, found, todo]) assert.notEqual(part, '');
      assert.ok(records.some(({ state }) => state.ceremony === source?.ceremony));
    }
  });
}

test('every rule of custody.ts has a row', () => {
  const source = readFileSync(join(import.meta.dirname, '../../../ceremonies/shares/custody.ts'), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const named = new Set([...source.matchAll(/'(CUSTODY(?:-[A-Z]+)+)'/g)].map(([, rule = '']) => rule));
  assert.deepEqual([...named].filter((rule) => !ROWS.some(([, , findings]) => findings.some((finding) => finding.startsWith(`${rule} `)))), []);
  assert.equal(named.size, 11);
});

test('a card is one thing, however a list spells its serial number', async () => {
  const custody = await register(spread, await movement(2, [`card,share-CUSTODIAN -1,${SET},1,${BELA},a,${CHIARA},b,Why not`]));
  assert.equal(where(thing(custody, 'card SHARE-custodian-1')), `${CHIARA}@b`);
  assert.deepEqual([custody.things.filter(({ kind, what }) => kind === 'card' && what === 'share card').length, placedShares(custody).length], [3, 3]);
  assert.equal(custody.movements.at(-1)?.thing, 'card SHARE-custodian-1 (REHEARSAL)');
});

test('what was not handed over is accounted for when it is seen again, and the finding is gone', async () => {
  const lost = await movement(2, [line(1, `${BELA}@a`, `${CHIARA}@b`)], { happenings: { 'hand-over/1': [{ kind: 'exception' }] } });
  const found = await movement(3, [line(1, `${BELA}@a`, `${DMITRI}@b`, 'Found')]);
  const custody = await register(spread, lost, found);
  assert.deepEqual([rules(custody), off(custody), where(thing(custody, 'card SHARE-custodian-1'))], [[], [], `${DMITRI}@b`]);
  assert.deepEqual(custody.movements.map(({ state, happened }) => [state, happened]).slice(3), [['not-handed-over', 'It stayed dark.'], ['signed', null]]);
});

test('a record that does not verify moves nothing, and is a finding', async () => {
  const forged = spread.lines.map((text) => (text.includes('"kind":"witnessed"') ? text.replace('"kind":"witnessed"', '"kind":"witnesseD"') : text));
  const custody = foldCustody([made, await judged(forged)], nativeHasher);
  assert.deepEqual(rules(custody), ['RECORD-NOT-BELIEVED']);
  assert.equal(where(thing(custody, 'card SHARE-custodian-1')), `${BELA}@?`);
  assert.deepEqual(custody.movements, []);
});

test('a rehearsal moves nothing of the real world', async () => {
  const real = await scriptedRecord({ mode: 'real' });
  const custody = foldCustody([await judged(real.lines), await judged(spread.lines)], nativeHasher);
  const cards = custody.things.filter(({ identifier }) => identifier === 'SHARE-custodian-1');
  assert.deepEqual(cards.map(({ rehearsal, site }) => [rehearsal, site]), [[false, null], [true, 'a']]);
  assert.deepEqual(custody.sets.map(({ rehearsal }) => rehearsal), [false]);
});

test('a set that another took the place of protects nothing any more', async () => {
  const again = await judged((await scriptedRecord({ happenings: { 'give-share/custodian-2': [{ kind: 'crash' }] } })).lines);
  const custody = foldCustody([again], nativeHasher);
  assert.equal(custody.sets.length, 1);
  assert.deepEqual(placedShares(custody).map(({ set, x }) => [set === custody.sets[0]?.id, x]), [[true, 1], [true, 2], [true, 3]]);
});

test('a share on paper of a set that has ended is told as what it is', async () => {
  const { record, set } = await givenUp();
  const custody = foldCustody([await judged(record.lines), await judged((await movement(2, [`sheet,7,${set},1,${BELA},a,${CHIARA},b,Why not`])).lines)], nativeHasher);
  assert.deepEqual(thing(custody, 'sheet 7').shares, [{ set, x: 1 }]);
  assert.match(custody.findings[0]?.next ?? '', /Destroy it before witnesses/);
});

test('property: whatever honest movements come one after another, the books balance and every thing is where its last line says', async () => {
  const people = [BELA, CHIARA, DMITRI];
  const sites = ['a', 'b', 'c', 'd'];
  await fc.assert(fc.asyncProperty(fc.array(fc.record({ card: fc.integer({ min: 1, max: 3 }), person: fc.nat(2), site: fc.nat(3) }), { minLength: 1, maxLength: 5 }), async (plan) => {
    const at = new Map([[1, `${BELA}@a`], [2, `${DMITRI}@b`], [3, `${CHIARA}@c`]]);
    const room: ScriptedRecord[] = [];
    for (const [i, { card, person, site }] of plan.entries()) {
      const to = `${people[person] ?? ''}@${sites[site] ?? ''}`;
      const from = at.get(card) ?? '';
      // Two people at least sit there: a bag goes along where one keeps the card.
      const other = people.find((name) => !from.startsWith(name)) ?? '';
      if (from === to) continue;
      room.push(await movement(2 + i, [line(card, from, to), ...from.split('@')[0] === to.split('@')[0] ? [`bag,B-${i},,,${from.split('@')[0] ?? ''},a,${other},a,Company`] : []]));
      at.set(card, to);
    }
    const custody = await register(spread, ...room);
    assert.deepEqual([rules(custody), off(custody)], [[], []]);
    for (const [card, place] of at) assert.equal(where(thing(custody, `card SHARE-custodian-${card}`)), place);
  }), { seed: SEED, numRuns: 6 });
});

test('as long as its ceremony is under way nothing is called left out or given up', async () => {
  const room = new ScriptedRoom({ seed: 'under way', opensAt: day(2) });
  await room.run('give-share/custodian-3');
  assert.deepEqual(rules(foldCustody([await judged(room.lines)], nativeHasher)), []);
});
