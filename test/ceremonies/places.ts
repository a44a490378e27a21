/** Places in a scripted record, to be broken: an entry, and the state right before it. */
import assert from 'node:assert/strict';
import { EMPTY, type Entry, type Kind, type State } from '../../ceremonies/ceremony.ts';
import type { ScriptedRecord } from './scripted.ts';

export type Loose = Record<string, unknown>;
export interface Place { readonly before: State; readonly entry: Entry }

/** The first entry of its kind; of `step`, where that is named. */
export function at(record: ScriptedRecord, kind: Kind, step?: string): Place {
  const index = record.entries.findIndex((entry) => entry.kind === kind && (step === undefined || entry.step === step));
  return { before: record.before[index] ?? EMPTY, entry: record.entries[index] ?? assert.fail(`no ${kind} of ${step ?? 'any step'}`) };
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
