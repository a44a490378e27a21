/**
 * Where the shares of a set may be, so that nobody who breaks in, loses or is forced somewhere gets M of them, and so that no loss of
 * one place leaves fewer than M. Sites and regions are named by the organisation, in `sites.yaml`.
 *
 * A finding is certain: it holds wherever those shares are whose place is not known. That they are not known is a finding of its own.
 * Pure; where things are is folded from records in custody.ts.
 */
import * as z from 'zod';
import { readPlainYaml, shapeFaults, type YamlFault } from '../plain-yaml.ts';
import { refuse, type Refusal } from '../refusal.ts';

export interface SetRule {
  readonly id: string;
  /** M of N. */
  readonly threshold: number;
  readonly shares: number;
  /** What it backs up, in words. */
  readonly key: string;
  readonly rehearsal: boolean;
}

/** One share in one thing. Null: no record says with whom, or where. */
export interface PlacedShare {
  readonly set: string;
  readonly x: number;
  readonly thing: string;
  readonly person: string | null;
  readonly site: string | null;
}

/** An envelope in escrow holds what M shares make: whoever it was sealed to needs no share. */
export interface PlacedEnvelope {
  readonly set: string;
  readonly thing: string;
  readonly person: string | null;
}

export interface Site {
  readonly name: string;
  readonly title: string;
  readonly region: string;
}

export const PLACEMENT_RULES = [
  'PLACEMENT-SITE-REACHES-M', 'PLACEMENT-REGION-REACHES-M', 'PLACEMENT-PERSON-REACHES-M', 'PLACEMENT-PERSON-HOLDS-TWO', 'PLACEMENT-ESCROW-WITH-SHARE', 'PLACEMENT-LOSS-LEAVES-TOO-FEW', 'PLACEMENT-UNKNOWN',
] as const;
export type PlacementRule = (typeof PLACEMENT_RULES)[number];

export interface PlacementFinding extends Refusal {
  readonly rule: PlacementRule;
  /** Null: it is about a site, whatever the set. */
  readonly set: string | null;
  /** Where it is. Null: nowhere in particular. */
  readonly at: { readonly kind: 'site' | 'region' | 'person'; readonly name: string } | null;
  /** The things that it is about. */
  readonly things: readonly string[];
}

const MOVE = 'a custody-movement says so in the record';

/** Everything wrong with where the shares of these sets are, set by set, in the order of `PLACEMENT_RULES`. */
export function lintPlacement(sets: readonly SetRule[], placed: readonly PlacedShare[], sites: readonly Site[], envelopes: readonly PlacedEnvelope[] = []): PlacementFinding[] {
  const regions = new Map(sites.map(({ name, region }) => [name, region]));
  return [
    ...sets.flatMap((set) => [...lintSet(set, placed.filter((share) => share.set === set.id), regions), ...lintEscrow(set, placed, envelopes)]),
    ...unknownSets(sets, placed), ...sitesWithoutRegion(placed, regions),
  ];
}

const numbers = (shares: readonly PlacedShare[]): number => new Set(shares.map(({ x }) => x)).size;
const things = (shares: readonly PlacedShare[]): string[] => [...new Set(shares.map(({ thing }) => thing))];

function lintSet({ id, threshold, key }: SetRule, mine: readonly PlacedShare[], regions: ReadonlyMap<string, string>): PlacementFinding[] {
  const findings: PlacementFinding[] = [];
  const name = `${key}: set ${id}`;
  const find = (rule: PlacementRule, at: PlacementFinding['at'], about: readonly PlacedShare[], expected: string, found: string, next: string) => {
    findings.push({ ...refuse(rule, `${name}: ${expected}`, found, next), rule, set: id, at, things: things(about) });
  };
  const sites = grouped(mine, ({ site }) => site);
  for (const [site, here] of sites) {
    if (numbers(here) >= threshold) find('PLACEMENT-SITE-REACHES-M', { kind: 'site', name: site }, here, `fewer than ${threshold} shares at one site`, `${numbers(here)} at ${site}`, `Bring shares to another site until ${threshold - 1} at most are left at ${site}; ${MOVE}.`);
  }
  for (const [region, here] of grouped(mine, ({ site }) => (site === null ? null : regions.get(site) ?? null))) {
    if (numbers(here) >= threshold) find('PLACEMENT-REGION-REACHES-M', { kind: 'region', name: region }, here, `fewer than ${threshold} shares in one region`, `${numbers(here)} in ${region}`, `Bring shares to a site in another region until ${threshold - 1} at most are left in ${region}; ${MOVE}.`);
  }
  for (const [person, held] of grouped(mine, (share) => share.person)) {
    const next = `Let other people keep them, each one; ${MOVE}.`;
    if (numbers(held) >= threshold) find('PLACEMENT-PERSON-REACHES-M', { kind: 'person', name: person }, held, `fewer than ${threshold} shares with one person`, `${numbers(held)} with ${person}`, next);
    else if (numbers(held) > 1) find('PLACEMENT-PERSON-HOLDS-TWO', { kind: 'person', name: person }, held, 'one share with one person', `${numbers(held)} with ${person}`, next);
  }
  const all = numbers(mine);
  if (all < threshold) find('PLACEMENT-LOSS-LEAVES-TOO-FEW', null, mine, `at least ${threshold} shares`, `${all}: the key cannot be recovered from this set`, 'Make a new backup of the key, while it is there.');
  else {
    for (const [site, here] of sites) {
      const left = numbers(mine.filter((share) => share.site !== site));
      if (left < threshold) find('PLACEMENT-LOSS-LEAVES-TOO-FEW', { kind: 'site', name: site }, here, `${threshold} shares when any one site is lost`, `${left} without ${site}`, `Bring shares from ${site} to other sites until ${threshold} are elsewhere; ${MOVE}.`);
    }
  }
  const nowhere = mine.filter(({ site }) => site === null);
  if (nowhere.length > 0) find('PLACEMENT-UNKNOWN', null, nowhere, 'the site of every share', `none for ${things(nowhere).join(', ')}`, `Find out where they are; ${MOVE}. Until then nobody can say whether this set is well placed.`);
  return findings;
}

function lintEscrow({ id, key }: SetRule, placed: readonly PlacedShare[], envelopes: readonly PlacedEnvelope[]): PlacementFinding[] {
  return envelopes.filter(({ set }) => set === id).flatMap(({ thing, person }): PlacementFinding[] => {
    const own = placed.filter((share) => share.set === id && share.person === person);
    return person === null || own.length === 0 ? [] : [{
      ...refuse('PLACEMENT-ESCROW-WITH-SHARE', `${key}: set ${id}: an escrow agent who holds no share`, `${person} has ${thing} and ${things(own).join(', ')}`, `Let somebody else keep the share; ${MOVE}.`),
      rule: 'PLACEMENT-ESCROW-WITH-SHARE', set: id, at: { kind: 'person', name: person }, things: [thing, ...things(own)],
    }];
  });
}

function grouped(shares: readonly PlacedShare[], by: (share: PlacedShare) => string | null): [string, PlacedShare[]][] {
  const groups = new Map<string, PlacedShare[]>();
  for (const share of shares) {
    const name = by(share);
    if (name !== null) groups.set(name, [...groups.get(name) ?? [], share]);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** A share of a set that no record here made: nobody knows its M. */
function unknownSets(sets: readonly SetRule[], placed: readonly PlacedShare[]): PlacementFinding[] {
  return grouped(placed.filter(({ set }) => !sets.some(({ id }) => id === set)), ({ set }) => set).map(([set, shares]) => ({
    ...refuse('PLACEMENT-UNKNOWN', `a set that a record here made, or that is still in force, for ${things(shares).join(', ')}`, `set ${set}`, 'Find the record in which it was made, or correct the number by another custody-movement.'),
    rule: 'PLACEMENT-UNKNOWN', set, at: null, things: things(shares),
  }));
}

function sitesWithoutRegion(placed: readonly PlacedShare[], regions: ReadonlyMap<string, string>): PlacementFinding[] {
  return grouped(placed.filter(({ site }) => site !== null && !regions.has(site)), ({ site }) => site).map(([site, shares]) => ({
    ...refuse('PLACEMENT-UNKNOWN', `the region of ${site}`, 'none', `Write ${site} and its region into sites.yaml in the data folder.`),
    rule: 'PLACEMENT-UNKNOWN', set: null, at: { kind: 'site', name: site }, things: things(shares),
  }));
}

// --- sites.yaml ----------------------------------------------------------------------------------------------------------

const siteName = z.string().regex(/^[a-z][a-z0-9-]{0,39}$/, 'a short lower-case name such as head-office');
const SitesFile = z.strictObject({
  'conclave-sites': z.literal(1),
  sites: z.array(z.strictObject({ name: siteName, title: z.string().min(1).max(80).optional(), region: siteName })).min(1).max(200),
});
const YAML_RULES = { what: 'sites', yaml: 'SITES-YAML', size: 'SITES-SIZE', characters: 50_000, tokens: 8000, tooLong: 'A list of sites is a page. Check that this is one.' } as const;

/** Reads the organisation's sites. Faults: SITES-YAML, SITES-SIZE, SITES-SHAPE, SITES-NAME. Never throws on hostile input. */
export function readSites(text: string): { readonly sites: readonly Site[]; readonly faults: [] } | { readonly sites: null; readonly faults: YamlFault[] } {
  const yaml = readPlainYaml(text, YAML_RULES);
  if (yaml.faults !== null) return { sites: null, faults: yaml.faults };
  const { data, error } = SitesFile.safeParse(yaml.value);
  if (data === undefined) return { sites: null, faults: shapeFaults(error, yaml.lineOf, { rule: 'SITES-SHAPE', what: 'sites file', next: 'Correct this line; `conclave custody --help` shows the form.' }) };
  const names = data.sites.map(({ name }) => name);
  const faults = names.flatMap((name, i): YamlFault[] => (names.indexOf(name) === i ? [] : [{ ...refuse('SITES-NAME', 'every site once', `${name} again`, 'Remove one of the two.'), line: yaml.lineOf(['sites', i]) }]));
  return faults.length > 0 ? { sites: null, faults } : { sites: data.sites.map(({ name, title, region }) => ({ name, title: title ?? name, region })), faults: [] };
}
