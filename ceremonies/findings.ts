/**
 * What was found in earnest, and what in rehearsals: of keys, and of what is in whose custody. Both stand in the same records, and nobody shall
 * search the one among the other.
 *
 * Pure. Where it is not known to be a rehearsal's, it is in earnest.
 */
import type { InventoryFinding, InventoryKey } from './inventory.ts';
import type { Custody } from './shares/custody.ts';

/**
 * Findings in earnest, and those that are about rehearsals and nothing else. A finding is only so far of a rehearsal as that is known: one about a
 * key in earnest, about a record that does not verify, or about what nothing explains, is not. A missing volume may have been a real one.
 */
export function inEarnest<Found extends Pick<InventoryFinding, 'rule' | 'keys' | 'source'>>(findings: readonly Found[], { keys, rehearsals }: { readonly keys: Iterable<InventoryKey>; readonly rehearsals: readonly string[] }): { readonly real: readonly Found[]; readonly rehearsed: readonly Found[] } {
  const records = new Set(rehearsals);
  const rehearsalKeys = new Set<string>();
  for (const { identity, rehearsal, believed } of keys) if (rehearsal && believed) rehearsalKeys.add(identity);
  const isRehearsed = ({ rule, keys: about, source }: Found) =>
    rule !== 'LOGBOOK-CHAIN' && (about.length > 0 ? about.every((key) => rehearsalKeys.has(key)) : source !== null && records.has(source.ceremony));
  return { real: findings.filter((finding) => !isRehearsed(finding)), rehearsed: findings.filter(isRehearsed) };
}

/** Is a finding about real things (`rehearsal` false), or about those of rehearsals? What is about nothing in particular is about both. */
export function isIn({ sets, things }: Pick<Custody, 'sets' | 'things'>, rehearsal: boolean): (finding: { readonly things: readonly string[]; readonly set?: string | null }) => boolean {
  const keys = new Set(things.filter((thing) => thing.rehearsal === rehearsal).map(({ key }) => key));
  const others = new Set(things.filter((thing) => thing.rehearsal !== rehearsal).map(({ key }) => key));
  return ({ things: about, set = null }) => (set === null || about.length > 0
    ? about.some((key) => keys.has(key)) || !about.some((key) => others.has(key))
    : sets.some((one) => one.id === set && one.rehearsal === rehearsal));
}
