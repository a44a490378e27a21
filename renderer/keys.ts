/**
 * What the Keys room makes of the inventory: which keys a filter shows and which findings it hides, what each copy is in
 * words, and the columns of its life. What stands above and below a key is in hierarchy.ts.
 *
 * Pure. Whatever stands here was folded from signed records elsewhere (ceremonies/inventory.ts); nothing is decided about a key.
 * A kind, a state or a level that this page does not know yet is shown by its own name, never left out.
 */
import type { Copy, Holding, Inventory, InventoryFinding, InventoryKey } from '../ceremonies/inventory.ts';
import { NOTICE } from '../ceremonies/alerts.ts';
import { LEVELS, stands, type Level } from '../ceremonies/destruction.ts';
import type { Answers, Compared } from '../electron/contract.ts';
import type { MarkName } from './reading.ts';
import { groups } from './reading.ts';
import { t } from './texts.ts';

/** A key as the list holds it: what is looked through is put together once, not at every letter. */
export interface KeyRow {
  readonly key: InventoryKey;
  readonly text: string;
  readonly state: string;
  readonly standing: string;
  /** Serial numbers of all tokens that a copy is or was on. */
  readonly tokens: readonly string[];
  readonly under: readonly Wanted[];
}

/** A key by its place, or by its identity. */
type Wanted = { readonly module: string; readonly token: string; readonly id: string } | { readonly identity: string };

/** What there is to choose from, and how many keys each choice would show. */
export type Facets = Readonly<Record<'state' | 'standing' | 'token', ReadonlyMap<string, number>>>;

/** The whole inventory, as this page read it. */
export interface Kept {
  readonly look: number;
  readonly rows: readonly KeyRow[];
  readonly byIdentity: ReadonlyMap<string, KeyRow>;
  readonly facets: Facets;
  readonly rest: Omit<Inventory, 'keys'>;
}

export type Finding = InventoryFinding & { readonly on?: Compared['findings'][number]['on'] };

/** Every object that a copy is made of: itself, or the shares of its set. */
function objectsOf(copy: Copy): readonly Holding[] {
  return copy.kind === 'object' ? [copy] : copy.kind === 'share-set' ? copy.custodians.map(({ object }) => object) : [];
}

function rowOf(key: InventoryKey): KeyRow {
  const tokens = new Set(key.copies.flatMap((copy) => [...objectsOf(copy).map(({ token }) => token), ...(copy.kind === 'wrapped-part' ? [copy.under.token] : [])]));
  const people = key.copies.flatMap((copy) => (copy.kind === 'share-set' ? copy.custodians.map(({ name }) => name) : []));
  const ids = key.copies.flatMap((copy) => (copy.kind === 'object' ? [copy.id ?? '', copy.label] : []));
  return {
    key, state: key.state ?? 'unknown', standing: key.standing?.state ?? 'unknown', tokens: [...tokens], under: wrappedUnder(key),
    text: [key.label, key.identity, key.algorithm, key.rehearsal ? t.inventory.inRehearsal : '', ...tokens, ...people, ...new Set(ids), ...key.certificates.map(({ subject, sha256 }) => `${subject} ${sha256}`)].join('\n').toLowerCase(),
  };
}

/** A record names the key under which it wrapped into itself by its place; of a file the key itself is known, or it is nobody's here. */
function wrappedUnder({ copies }: InventoryKey): Wanted[] {
  return copies.filter(stands).flatMap((copy): Wanted[] => (copy.kind === 'wrapped-part' ? [copy.under] : copy.kind === 'wrapped-file' && typeof copy.underKey === 'string' ? [{ identity: copy.underKey }] : []));
}

/** Puts the inventory together as its pages come: what needs all keys is counted here, a page at a time. */
export class Keeping {
  readonly rows: KeyRow[] = [];
  readonly #byIdentity = new Map<string, KeyRow>();
  readonly #facets = { state: new Map<string, number>(), standing: new Map<string, number>(), token: new Map<string, number>() };

  add(keys: readonly InventoryKey[]): void {
    const count = (counts: Map<string, number>, name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);
    for (const key of keys) {
      const row = rowOf(key);
      this.rows.push(row);
      this.#byIdentity.set(key.identity, row);
      count(this.#facets.state, row.state);
      count(this.#facets.standing, row.standing);
      for (const token of row.tokens) count(this.#facets.token, token);
    }
  }

  kept(look: number, rest: Kept['rest']): Kept {
    return { look, rows: this.rows, byIdentity: this.#byIdentity, facets: this.#facets, rest };
  }
}

// --- filters -----------------------------------------------------------------------------------------------------------

/** Each empty where it does not matter. `finding`: `any`, or the name of a rule. */
export interface Filter {
  readonly typed: string;
  readonly state: string;
  readonly finding: string;
  readonly token: string;
  readonly standing: string;
}
export const NO_FILTER: Filter = { typed: '', state: '', finding: '', token: '', standing: '' };
export const ANY = 'any';

export function isFiltered(filter: Filter): boolean {
  return Object.values(filter).some((wanted: string) => wanted.trim() !== '');
}

/** Identities of the keys that findings of this rule (or of any) are about. */
function blamed(findings: readonly Finding[], rule: string): ReadonlySet<string> {
  return new Set(findings.flatMap((finding) => (rule === ANY || finding.rule === rule ? finding.keys : [])));
}

export function filtered(rows: readonly KeyRow[], findings: readonly Finding[], filter: Filter): readonly KeyRow[] {
  if (!isFiltered(filter)) return rows;
  // Serial numbers and fingerprints are read from groups of four, and typed as they are read.
  const words = filter.typed.toLowerCase().trim();
  const digits = words.replace(/[\s:]/g, '');
  const about = filter.finding === '' ? null : blamed(findings, filter.finding);
  return rows.filter(({ key, text, state, standing, tokens }) =>
    (words === '' || text.includes(words) || (/^[0-9a-f]{4,}$/.test(digits) && text.includes(digits)))
    && (filter.state === '' || state === filter.state)
    && (filter.standing === '' || standing === filter.standing)
    && (filter.token === '' || tokens.includes(filter.token))
    && (about === null || about.has(key.identity)));
}

/** How many findings are about keys of which the filter shows none. One that is about no key in particular is never hidden. */
export function hiddenFindings(rows: readonly KeyRow[], shown: readonly KeyRow[], findings: readonly Finding[]): number {
  if (shown === rows) return 0;
  const visible = new Set(shown.map(({ key }) => key.identity));
  return findings.filter(({ keys }) => keys.length > 0 && keys.every((identity) => !visible.has(identity))).length;
}

/** How many keys findings of each rule are about. */
export function findingFacet(findings: readonly Finding[]): ReadonlyMap<string, number> {
  return new Map([...new Set(findings.map(({ rule }) => rule))].flatMap((rule): [string, number][] => {
    const { size } = blamed(findings, rule);
    return size === 0 ? [] : [[rule, size]];
  }));
}

/** How many findings each key has. */
export function findingCounts(findings: readonly Finding[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { keys } of findings) for (const identity of new Set(keys)) counts.set(identity, (counts.get(identity) ?? 0) + 1);
  return counts;
}

// --- a copy in words ---------------------------------------------------------------------------------------------------

export type Medium = keyof typeof t.inventory.media;

export interface CopyView {
  readonly copy: Copy;
  readonly medium: Medium;
  /** What it is, in a few words. */
  readonly title: string;
  /** Where it is. */
  readonly place: string;
  /** What else is known: how it is guarded, who holds what. */
  readonly details: readonly string[];
  readonly stands: boolean;
  /** Of a set: each share. */
  readonly shares: readonly { readonly words: string; readonly stands: boolean; readonly readBack: boolean }[];
}

/** `nameOf` says what people call a token. */
export function copyView(copy: Copy, nameOf: (serial: string) => string): CopyView {
  const words = t.inventory;
  const base = { copy, stands: stands(copy), shares: [], details: [] };
  switch (copy.kind) {
    case 'object':
      return {
        ...base, medium: copy.class === 'public-key' || copy.class === 'certificate' ? 'public' : 'token', title: `${copy.class.replace('-', ' ')} ${words.label(copy.label)}`, place: words.onToken(nameOf(copy.token)),
        details: [...(copy.id === null || copy.id === '' ? [] : [`id ${groups(copy.id)}`]), ...(copy.class === 'public-key' ? [words.publicHalf] : guards(copy))],
      };
    case 'wrapped-part':
      return { ...base, medium: 'record', title: words.thePart(copy.part), place: words.recordOf, details: [words.under(words.underKey(groups(copy.under.id), nameOf(copy.under.token)))] };
    case 'wrapped-file':
      return { ...base, medium: 'file', title: copy.method, place: words.nowhere, details: [words.under(copy.under)] };
    case 'share-set': {
      const shares = copy.custodians.map(({ x, name, readBack, object }) => ({ words: words.share(x, name, nameOf(object.token)), stands: stands(object), readBack }));
      return {
        ...base, medium: 'shares', title: words.shares(copy.threshold, copy.shares), place: shares.filter((share) => share.stands).length === 0 ? words.nobody : '', shares,
        details: [copy.recoveryProven ? words.recovery : words.noRecovery, ...(copy.complete ? [] : [words.givenUp])],
      };
    }
  }
  // A kind that came with a later record.
  const { kind } = copy as { readonly kind: string };
  return { ...base, medium: 'other', title: kind, place: '' };
}

/** Only what the token tells. */
function guards({ attributes }: Holding): string[] {
  const { sensitive, extractable, neverExtractable, local } = attributes ?? {};
  const say = ({ yes, no }: { readonly yes: string; readonly no: string }, value: boolean | null | undefined) => (value === true ? [yes] : value === false ? [no] : []);
  const words = t.inventory.guards;
  return [...say(words.sensitive, sensitive), ...say(words.extractable, extractable), ...(extractable === true ? [] : say(words.neverExtractable, neverExtractable)), ...say(words.local, local)];
}

/** The end of a copy: its level, its level in words, and how. */
export function endWords({ level, how }: { readonly level: Level; readonly how: string }): string {
  return `${level}, ${(LEVELS as Readonly<Record<string, string>>)[level] ?? ''}: ${how}`;
}

export function stateWord(state: string): string {
  return (t.inventory.states as Readonly<Record<string, string>>)[state] ?? state;
}

export function standingWords(key: Pick<InventoryKey, 'standing'>): string {
  const { standing } = key;
  if (standing === null) return t.inventory.standings.unknown;
  return `${t.inventory.standings[standing.state]}${standing.until === undefined ? '' : ` ${t.inventory.until(standing.until)}`}`;
}

/** Days within which an end is said with a mark, as it is among the findings. */
const [SOON] = NOTICE;
const DAY = 86_400_000;

/** How long a certificate is still good for, on this machine's clock. */
export function expiry(notAfter: string, now: number): { readonly words: string; readonly mark: MarkName } {
  const left = Date.parse(notAfter) - now;
  if (left < 0) return { words: t.inventory.expired, mark: 'refused' };
  const days = Math.floor(left / DAY);
  return { words: t.inventory.expires(days), mark: left <= SOON * DAY ? 'reported' : 'plain' };
}

// --- a life in columns -------------------------------------------------------------------------------------------------

/** One step to the right: an event, or several of one record where there are too many. `first` counts from 0 in the key's list of events. */
export interface Column {
  readonly at: string;
  readonly first: number;
  readonly events: number;
}

export interface Lane {
  readonly view: CopyView;
  readonly from: number;
  /** The column of its end; null: it goes on. */
  readonly to: number | null;
}

export interface Life {
  readonly columns: readonly Column[];
  readonly copies: readonly Lane[];
  /** Each from the column in which it was issued. */
  readonly certificates: readonly { readonly subject: string; readonly notAfter: string; readonly from: number }[];
}

/** As many as are told apart. */
export const COLUMNS = 18;

/** Columns of a key's events, and of each copy where it begins and ends. Events of one record fall together when there are too many. */
export function lifeOf(key: InventoryKey, views: readonly CopyView[]): Life {
  const events = key.events.map((event, index) => ({ ...event, index }));
  const columns: { at: string; first: number; events: number; ceremony: string; seq: number }[] = [];
  const together = events.length > COLUMNS;
  for (const { at, ceremony, seq, index } of events) {
    const last = columns.at(-1);
    if (together && last && (last.ceremony === ceremony || columns.length === COLUMNS)) Object.assign(last, { events: last.events + 1 });
    else columns.push({ at, first: index, events: 1, ceremony, seq });
  }
  /** The last column that is not after this entry. */
  const columnOf = (source: { readonly ceremony: string; readonly seq: number; readonly at: string }): number => {
    const index = events.findLastIndex((event) => (event.ceremony === source.ceremony ? event.seq <= source.seq : event.at <= source.at));
    return Math.max(0, columns.findLastIndex(({ first }) => first <= Math.max(0, index)));
  };
  return {
    columns: columns.map(({ at, first, events: count }) => ({ at, first, events: count })),
    copies: views.map((view) => ({ view, from: columnOf(view.copy.since), to: view.copy.end === null ? null : columnOf(view.copy.end) })),
    certificates: key.certificates.map((one) => ({ subject: one.subject, notAfter: one.notAfter, from: columnOf(one) })),
  };
}

// --- progress ----------------------------------------------------------------------------------------------------------

export function progressWords(progress: Answers['inventory-progress']): readonly string[] {
  if (progress === null) return [];
  if (progress.doing === 'records') return [t.inventory.readingRecords(progress.at, progress.of)];
  if (progress.at === 0) return [t.inventory.comparingStart];
  return [t.inventory.comparingToken(progress.label, progress.at, progress.of), t.inventory.comparingObjects(progress.objects, progress.total)];
}
