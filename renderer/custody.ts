/**
 * The custody map as numbers: which boxes there are, what stands in each, where they lie, and along which way the arrows of the latest
 * movements go. Arrows run in the gaps between boxes, never through one.
 *
 * Pure. It draws nothing and judges nothing: what is wrong with where a share lies comes from the report.
 */
import { isIn } from '../ceremonies/findings.ts';
import type { CustodyMovement, Thing } from '../ceremonies/shares/custody.ts';
import type { PlacementFinding } from '../ceremonies/shares/placement.ts';
import type { CustodyReport } from '../electron/contract.ts';

/** Real things and those of rehearsals never stand on one map. */
export function worldOf(report: CustodyReport, rehearsal: boolean): CustodyReport {
  const ours = (one: { readonly rehearsal: boolean }) => one.rehearsal === rehearsal;
  const isOurs = isIn(report, rehearsal);
  return {
    ...report, sets: report.sets.filter(ours), things: report.things.filter(ours), movements: report.movements.filter(ours), balance: report.balance.filter(ours),
    findings: report.findings.filter(isOurs), placement: report.placement.filter(isOurs),
  };
}

const REACHES = ['PLACEMENT-SITE-REACHES-M', 'PLACEMENT-REGION-REACHES-M', 'PLACEMENT-PERSON-REACHES-M'];
/** Is this a place where enough shares could meet? */
export const reachesM = ({ rule }: Pick<PlacementFinding, 'rule'>): boolean => REACHES.includes(rule);

export interface Keeper {
  /** Null: nobody that a record names. */
  readonly person: string | null;
  readonly things: readonly (Thing & { readonly packed: boolean })[];
  /** Things that there is no room for; the table has them. */
  readonly more: number;
  readonly meets: boolean;
}

export interface SiteBox {
  /** Null: where no record says. */
  readonly site: string | null;
  readonly title: string;
  readonly region: string | null;
  readonly keepers: readonly Keeper[];
  /** What is found at this site, or in its region. */
  readonly findings: readonly PlacementFinding[];
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Arrow {
  readonly from: string;
  readonly to: string;
  readonly things: number;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly label: readonly [x: number, y: number];
}

export interface CustodyMap {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly SiteBox[];
  readonly arrows: readonly Arrow[];
}

/** In pixels: the map is drawn as large as it is, so that its text stays as large as it is. */
export const MAP = { box: 322, gap: 54, head: 62, finding: 24, person: 34, thing: 28, foot: 14, lane: 24, channel: 22, most: 9 } as const;

/** The movements of the ceremony in which something last changed places. */
export function latestMovements(movements: readonly CustodyMovement[]): readonly CustodyMovement[] {
  const last = movements.findLast(({ state }) => state !== 'not-handed-over');
  return last === undefined ? [] : movements.filter(({ ceremony }) => ceremony === last.ceremony);
}

/** `width`: what there is room for. */
export function layOutMap({ things, sites, placement, movements }: CustodyReport, width: number): CustodyMap {
  const moved = grouped(latestMovements(movements).filter(({ state, from, to }) => state !== 'not-handed-over' && from.site !== to.site), ({ from, to }) => `${from.site} ${to.site}`);
  // What lies in the record lies nowhere else, and a site without anything is no news unless something left it just now.
  const placed = things.filter(({ place }) => place !== 'record');
  const names = [...new Set([...placed.flatMap(({ site }) => site ?? []), ...[...moved.keys()].flatMap((key) => key.split(' '))])];
  const known = new Map(sites.map((site) => [site.name, site]));
  const regionOf = (name: string) => known.get(name)?.region ?? null;
  names.sort((a, b) => (regionOf(a) ?? '~').localeCompare(regionOf(b) ?? '~') || a.localeCompare(b));
  const ordered: (string | null)[] = [...names, ...placed.some(({ site }) => site === null) ? [null] : []];
  const columns = Math.max(1, Math.min(ordered.length, Math.floor(width / (MAP.box + MAP.gap))));
  const contents = ordered.map((site) => {
    const region = site === null ? null : regionOf(site);
    const findings = placement.filter(({ at }) => (at?.kind === 'site' && at.name === site) || (at?.kind === 'region' && at.name === region));
    const keepers = keepersOf(placed.filter((thing) => thing.site === site), placement);
    const height = MAP.head + findings.length * MAP.finding + keepers.reduce((sum, { things: kept, more }) => sum + MAP.person + (kept.length + (more > 0 ? 1 : 0)) * MAP.thing, 0) + MAP.foot;
    return { site, title: known.get(site ?? '')?.title ?? site ?? '', region, findings, keepers, height };
  });
  const rowOf = (site: string) => Math.floor(ordered.indexOf(site) / columns);
  // Every arrow has a lane of its own in the channel above the row where it begins, and above the one where it ends.
  const lanes = Array.from({ length: Math.ceil(ordered.length / columns) }, () => 0);
  const lane = (row: number) => { const at = lanes[row] ?? 0; lanes[row] = at + 1; return at; };
  const routes = [...moved].map(([key, list]) => {
    const [from = '', to = ''] = key.split(' ');
    const [start, end] = [rowOf(from), rowOf(to)];
    const first = lane(start);
    return { from, to, things: list.length, start, end, first, last: start === end ? first : lane(end) };
  });
  const tops: number[] = [];
  let y = 0;
  for (const [row, used] of lanes.entries()) {
    y += MAP.channel + used * MAP.lane;
    tops.push(y);
    y += Math.max(...contents.slice(row * columns, (row + 1) * columns).map(({ height }) => height));
  }
  const boxes = contents.map((content, i): SiteBox => ({ ...content, x: MAP.gap - 8 + (i % columns) * (MAP.box + MAP.gap), y: tops[Math.floor(i / columns)] ?? 0, width: MAP.box }));
  const boxOf = (site: string) => boxes.find((box) => box.site === site);
  const arrows = routes.flatMap(({ from, to, things: count, start, end, first, last }, i): Arrow[] => {
    const [a, b] = [boxOf(from), boxOf(to)];
    if (!a || !b) return [];
    const channel = (row: number, at: number) => (tops[row] ?? 0) - 12 - at * MAP.lane;
    const [ya, yb] = [channel(start, first), channel(end, last)];
    // Leaving on the right half, arriving on the left: two arrows between the same boxes do not lie on each other.
    const xa = a.x + MAP.box * 0.6 + (i % 5) * 14;
    const xb = b.x + MAP.box * 0.2 + (i % 5) * 14;
    const gutter = b.x - MAP.gap + 12 + (i % 4) * 9;
    const points: [number, number][] = start === end ? [[xa, a.y], [xa, ya], [xb, ya], [xb, b.y]] : [[xa, a.y], [xa, ya], [gutter, ya], [gutter, yb], [xb, yb], [xb, b.y]];
    const end1 = points[2] ?? [xa, ya];
    return [{ from, to, things: count, points, label: [(xa + end1[0]) / 2, ya - 5] }];
  });
  return { width: columns * (MAP.box + MAP.gap), height: y + MAP.foot, boxes, arrows };
}

function keepersOf(things: readonly Thing[], placement: readonly PlacementFinding[]): Keeper[] {
  return [...grouped(things, ({ person }) => person ?? '')].sort(([a], [b]) => a.localeCompare(b)).map(([person, kept]): Keeper => {
    // A bag with what lies in it under it; what holds a share first.
    const loose = kept.filter(({ inside }) => !kept.some(({ key }) => key === inside)).sort((a, b) => weight(b, kept) - weight(a, kept));
    const list = loose.flatMap((thing) => [{ ...thing, packed: false }, ...kept.filter(({ inside }) => inside === thing.key).map((one) => ({ ...one, packed: true }))]);
    const shown = list.length > MAP.most ? list.slice(0, MAP.most - 1) : list;
    return { person: person === '' ? null : person, things: shown, more: list.length - shown.length, meets: placement.some(({ rule, at, things: about }) => rule === 'PLACEMENT-PERSON-REACHES-M' && at?.name === person && kept.some(({ key }) => about.includes(key))) };
  });
}

const weight = (thing: Thing, kept: readonly Thing[]): number => (thing.unaccounted === null ? 0 : 2) + (thing.shares.length > 0 || kept.some(({ inside }) => inside === thing.key) ? 1 : 0);

function grouped<T>(list: readonly T[], by: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of list) groups.set(by(one), [...groups.get(by(one)) ?? [], one]);
  return groups;
}
