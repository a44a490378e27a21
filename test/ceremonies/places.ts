/** Places in a scripted record, to be broken: an entry, and the state right before it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check, EMPTY, type Entry, type Kind, type State } from '../../ceremonies/ceremony.ts';
import type { ScriptedRecord } from './scripted.ts';

export type Loose = Record<string, unknown>;
export interface Place { readonly before: State; readonly entry: Entry }

/** The first entry of its kind, or the one after `which` of them; of `step`, where that is named. */
export function at(record: ScriptedRecord, kind: Kind, step?: string, which = 0): Place {
  const there = record.entries.flatMap((entry, index) => (entry.kind === kind && (step === undefined || entry.step === step) ? [{ before: record.before[index] ?? EMPTY, entry }] : []));
  return there[which] ?? assert.fail(`no ${kind} of ${step ?? 'any step'}`);
}

/** The same place with another entry; the record keeps its own. */
export function edit(place: Place, change: (data: Loose, entry: Loose) => void): Place {
  const entry = structuredClone(place.entry);
  change(entry.data, entry as unknown as Loose);
  return { ...place, entry };
}

/** The same, inside intent or evidence. */
export function inside(place: Place, change: (inner: Loose) => void): Place {
  return edit(place, (data) => { change((data['evidence'] ?? data['intent']) as Loose); });
}

/** A rule, how it is broken, and where. */
export type Row = readonly [rule: string, what: string, place: Place];

/** One test for each row; and one that every entry of these records was allowed before anything in it was changed. */
export function eachRefused(rows: readonly Row[], ...records: readonly ScriptedRecord[]): void {
  for (const [rule, what, { before, entry }] of rows) {
    test(`${rule}: ${what}`, () => {
      const refusal = check(before, entry);
      assert.equal(refusal?.rule, rule, JSON.stringify(refusal));
      for (const part of [refusal.expected, refusal.next]) assert.notEqual(part, '');
    });
  }
  test('what a row changes was allowed before it was changed', () => {
    for (const record of records) record.entries.forEach((entry, index) => assert.equal(check(record.before[index] ?? EMPTY, entry), null));
  });
}
