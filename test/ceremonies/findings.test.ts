/** Which findings are in earnest: only what is known to be a rehearsal's is put down to one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inEarnest, isIn } from '../../ceremonies/findings.ts';
import type { InventoryKey, Source } from '../../ceremonies/inventory.ts';

const key = (identity: string, rehearsal: boolean, believed = true) => ({ identity, rehearsal, believed }) as InventoryKey;
const keys = [key('real', false), key('drill', true), key('doubtful', true, false)];
const of = (ceremony: string): Source => ({ ceremony, seq: 7, at: '2026-03-04T09:00:00.000Z' });

test('a finding is of a rehearsal where every key is, or, without a key, its record', () => {
  const table: readonly (readonly [what: string, rehearsed: boolean, finding: { rule: string; keys: readonly string[]; source: Source | null }])[] = [
    ['a key of a rehearsal', true, { rule: 'PERIOD-OVER', keys: ['drill'], source: of('rehearsed') }],
    ['a key of a rehearsal, said of in earnest', true, { rule: 'STATE-USE', keys: ['drill'], source: of('in-earnest') }],
    ['a key in earnest', false, { rule: 'PERIOD-OVER', keys: ['real'], source: of('in-earnest') }],
    ['a key in earnest, of which a rehearsal says something', false, { rule: 'STATE-REHEARSAL', keys: ['real'], source: of('rehearsed') }],
    ['one key of each', false, { rule: 'STATE-USE', keys: ['drill', 'real'], source: of('rehearsed') }],
    ['a key that no sound record knows', false, { rule: 'STATE-USE', keys: ['doubtful'], source: of('rehearsed') }],
    ['a key that is not known at all', false, { rule: 'STATE-USE', keys: ['nobody'], source: of('rehearsed') }],
    ['no key, in a rehearsal', true, { rule: 'BEGUN-UNEXPLAINED', keys: [], source: of('rehearsed') }],
    ['no key, in earnest', false, { rule: 'BEGUN-UNEXPLAINED', keys: [], source: of('in-earnest') }],
    ['an object that nothing explains', false, { rule: 'UNKNOWN-OBJECT', keys: [], source: null }],
    ['a record that does not verify, whatever it calls itself', false, { rule: 'RECORD-NOT-BELIEVED', keys: [], source: of('broken') }],
    ['a volume that is missing before one of a rehearsal', false, { rule: 'LOGBOOK-CHAIN', keys: [], source: of('rehearsed') }],
  ];
  for (const [what, rehearsed, finding] of table) assert.deepEqual(inEarnest([finding], { keys, rehearsals: ['rehearsed'] }), rehearsed ? { real: [], rehearsed: [finding] } : { real: [finding], rehearsed: [] }, what);
});

test('in custody: what is about things of both, or about nothing in particular, is in earnest too', () => {
  const report = { sets: [{ id: 'a', rehearsal: false }, { id: 'b', rehearsal: true }], things: [{ key: 'card 1', rehearsal: false }, { key: 'card 2', rehearsal: true }] } as unknown as Parameters<typeof isIn>[0];
  const table: readonly (readonly [finding: { things: string[]; set?: string | null }, real: boolean, rehearsed: boolean])[] = [
    [{ things: ['card 1'] }, true, false], [{ things: ['card 2'] }, false, true], [{ things: ['card 1', 'card 2'] }, true, true], [{ things: [] }, true, true], [{ things: ['card 9'] }, true, true],
    [{ things: [], set: 'a' }, true, false], [{ things: [], set: 'b' }, false, true], [{ things: ['card 2'], set: 'b' }, false, true], [{ things: [], set: null }, true, true],
  ];
  for (const [finding, real, rehearsed] of table) assert.deepEqual([isIn(report, false)(finding), isIn(report, true)(finding)], [real, rehearsed], JSON.stringify(finding));
});
