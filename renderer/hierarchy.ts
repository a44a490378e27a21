/**
 * All keys of the estate in one order: who certified a key, or what it lies wrapped under, stands above it.
 *
 * Pure. Every tie comes from what the records say of a key; none is guessed. Each key stands here once, under what certified it, else under
 * what wraps it; whatever else is above it is named beside it. Keys that are above each other in a circle stand at the top.
 */
import { holdsSecret, stands } from '../ceremonies/destruction.ts';
import type { InventoryKey, Source } from '../ceremonies/inventory.ts';
import type { KeyRow, Medium } from './keys.ts';
import { t } from './texts.ts';

/** `issued`: by the entry in which it signed the certificate. `named`: only the issuer's name in the certificate says so. `wraps`: a copy lies wrapped under it. */
export type Tie = 'issued' | 'named' | 'wraps';
export interface Bond {
  readonly row: KeyRow;
  readonly tie: Tie;
}

/** Of each key that has some: what is above it, the nearest tie first, and what is below. */
export interface Ties {
  readonly above: ReadonlyMap<KeyRow, readonly Bond[]>;
  readonly below: ReadonlyMap<KeyRow, readonly Bond[]>;
}

export function tiesOf(rows: readonly KeyRow[]): Ties {
  const named = new Map<string, KeyRow[]>();
  const signed = new Map<string, KeyRow[]>();
  const wrapping = new Map<string, KeyRow[]>();
  const put = (into: Map<string, KeyRow[]>, at: string, row: KeyRow) => {
    const there = listAt(into, at);
    if (there.at(-1) !== row) there.push(row);
  };
  const entry = ({ ceremony, seq }: Pick<Source, 'ceremony' | 'seq'>) => `${ceremony} ${seq}`;
  const issuing = new Set(rows.flatMap(({ key }) => key.certificates.map(entry)));
  for (const row of rows) {
    const { identity, copies, certificates, events } = row.key;
    put(wrapping, identity, row);
    for (const copy of copies) if (copy.kind === 'object' && copy.class === 'secret-key' && copy.id !== null) put(wrapping, placeName(copy.module, copy.token, copy.id), row);
    for (const { subject } of certificates) put(named, subject, row);
    if (issuing.size > 0) for (const event of events) if (issuing.has(entry(event))) put(signed, entry(event), row);
  }
  const above = new Map<KeyRow, Bond[]>();
  const below = new Map<KeyRow, Bond[]>();
  for (const row of rows) {
    const bonds: Bond[] = [];
    const tie = (others: readonly KeyRow[], how: Tie) => {
      for (const other of others) if (other !== row && !bonds.some((bond) => bond.row === other && (bond.tie === 'wraps') === (how === 'wraps'))) bonds.push({ row: other, tie: how });
    };
    for (const certificate of row.key.certificates) {
      if (certificate.issuer === certificate.subject) continue;
      const by = (signed.get(entry(certificate)) ?? []).filter((other) => other !== row);
      if (by.length > 0) tie(by, 'issued');
      else tie(named.get(certificate.issuer) ?? [], 'named');
    }
    for (const wanted of row.under) tie(wrapping.get('identity' in wanted ? wanted.identity : placeName(wanted.module, wanted.token, wanted.id)) ?? [], 'wraps');
    if (bonds.length === 0) continue;
    above.set(row, bonds);
    for (const bond of bonds) listAt(below, bond.row).push({ row, tie: bond.tie });
  }
  return { above, below };
}

function listAt<At, Of>(lists: Map<At, Of[]>, at: At): Of[] {
  const list = lists.get(at) ?? [];
  lists.set(at, list);
  return list;
}

/** A CKA_ID is of one token of one module. */
function placeName(module: string, token: string, id: string): string {
  return `${module}\n${token}\n${id}`;
}

/** Keys under which a copy of this one lies wrapped, and keys of which a copy lies wrapped under this one. */
export function relations({ above, below }: Ties, row: KeyRow): { readonly above: readonly InventoryKey[]; readonly below: readonly InventoryKey[] } {
  const wrapped = (bonds: readonly Bond[] | undefined) => (bonds ?? []).flatMap(({ row: other, tie }) => (tie === 'wraps' ? [other.key] : []));
  return { above: wrapped(above.get(row)), below: wrapped(below.get(row)) };
}

// --- one line for each key ---------------------------------------------------------------------------------------------

export interface Line {
  readonly row: KeyRow;
  /** 0: nothing of this estate is above it. */
  readonly level: number;
  readonly above: Bond | null;
  /** What else is above it. */
  readonly also: readonly Bond[];
  /** Of each level above its own: whether more comes below this line. */
  readonly goesOn: readonly boolean[];
  /** How many stand directly under it here. */
  readonly below: number;
  /** False: the filter does not look for it. It stands here for what is below it, or for its finding. */
  readonly sought: boolean;
}

/** `sought`: what the filter shows. `blamed`: has a finding, which no filter hides. */
export function hierarchyOf(rows: readonly KeyRow[], { above }: Ties, sought: ReadonlySet<KeyRow>, blamed: (row: KeyRow) => boolean): readonly Line[] {
  const children = new Map<KeyRow, KeyRow[]>();
  for (const row of rows) {
    const parent = above.get(row)?.[0]?.row;
    if (parent !== undefined) listAt(children, parent).push(row);
  }
  const parents = new Map<KeyRow, KeyRow | null>();
  const hang = (top: KeyRow) => {
    parents.set(top, null);
    const waiting = [top];
    for (let row = waiting.pop(); row !== undefined; row = waiting.pop()) {
      for (const child of children.get(row) ?? []) {
        if (parents.has(child)) continue;
        parents.set(child, row);
        waiting.push(child);
      }
    }
  };
  for (const row of rows) if (!above.has(row)) hang(row);
  for (const row of rows) if (!parents.has(row)) hang(row); // a circle
  const kept = new Set<KeyRow>();
  for (const row of rows) {
    if (!sought.has(row) && !blamed(row)) continue;
    for (let one: KeyRow | null = row; one !== null && !kept.has(one); one = parents.get(one) ?? null) kept.add(one);
  }
  const under = (row: KeyRow) => (children.get(row) ?? []).filter((child) => kept.has(child) && parents.get(child) === row);
  const tops = rows.filter((row) => kept.has(row) && parents.get(row) === null).map((row) => ({ row, many: under(row).length > 0 }));
  const lines: Line[] = [];
  // The last one is taken first. What has something below it comes before what stands alone.
  const waiting: { readonly row: KeyRow; readonly goesOn: readonly boolean[] }[] = [...tops.filter(({ many }) => many), ...tops.filter(({ many }) => !many)].map(({ row }) => ({ row, goesOn: [] })).reverse();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { row, goesOn } = next;
    const below = under(row);
    const bonds = above.get(row) ?? [];
    const parent = parents.get(row) ?? null;
    const bond = parent === null ? null : bonds[0] ?? null;
    lines.push({ row, level: goesOn.length, above: bond, also: bonds.filter((one) => one !== bond), goesOn, below: below.length, sought: sought.has(row) });
    for (const [index, child] of [...below.entries()].reverse()) waiting.push({ row: child, goesOn: [...goesOn, index < below.length - 1] });
  }
  return lines;
}

// --- what hangs on a key -----------------------------------------------------------------------------------------------

/** Copies that hold a secret, counted where they are. */
export interface Leaf {
  readonly medium: Medium;
  readonly place: string;
  readonly count: number;
  readonly stands: boolean;
}

const MEDIUM_OF: Readonly<Partial<Record<string, Medium>>> = { 'object': 'token', 'wrapped-part': 'record', 'wrapped-file': 'file', 'share-set': 'shares' };

export function leavesOf({ copies }: Pick<InventoryKey, 'copies'>, nameOf: (serial: string) => string): readonly Leaf[] {
  const words = t.hierarchy;
  const leaves = new Map<string, Leaf>();
  for (const copy of copies) {
    if (!holdsSecret(copy)) continue;
    const medium = MEDIUM_OF[copy.kind] ?? 'other';
    const there = stands(copy);
    const place = !there ? words.ended : copy.kind === 'object' ? nameOf(copy.token) : copy.kind === 'share-set' ? t.inventory.shares(copy.threshold, copy.shares) : t.inventory.media[medium];
    const name = `${medium}\n${place}`;
    leaves.set(name, { medium, place, stands: there, count: (leaves.get(name)?.count ?? 0) + 1 });
  }
  return [...leaves.values()].sort((a, b) => Number(b.stands) - Number(a.stands));
}
