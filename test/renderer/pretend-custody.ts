/** A made-up custody report with everything that the room can show: sites in regions, bags with what lies in them, arrows, and each kind of finding. */
import { refuse } from '../../ceremonies/refusal.ts';
import type { CustodyMovement, Thing } from '../../ceremonies/shares/custody.ts';
import { lintPlacement } from '../../ceremonies/shares/placement.ts';
import type { CustodyReport } from '../../electron/contract.ts';

const SET = 'q83vEjRWeJASNFZ4kBI0Vg';
const CEREMONY = 'c0ffee0d15ea5e0123456789abcdef01';
const source = (seq: number) => ({ ceremony: CEREMONY, seq, at: '2026-11-20T10:15:00.000Z' });
const SITES = [
  { name: 'head-office', title: 'Head office, vault', region: 'north' },
  { name: 'north-branch', title: 'North branch', region: 'north' },
  { name: 'notary', title: 'Notary Winter', region: 'south' },
  { name: 'bank', title: 'Bank, safe deposit 417', region: 'west' },
];

type Placed = readonly [kind: Thing['kind'], identifier: string, person: string | null, site: string | null, x?: number | undefined, more?: Partial<Thing>];

function things(rehearsal: boolean, list: readonly Placed[]): Thing[] {
  return list.map(([kind, identifier, person, site, x, more], i) => ({
    key: `${kind} ${identifier}`, kind, identifier, rehearsal, what: kind === 'card' ? (x === undefined ? 'identity card' : 'share card') : kind, shares: x === undefined ? [] : [{ set: SET, x }], seals: null,
    person, site, place: null, inside: null, since: source(40 + 4 * i), unaccounted: null, ...more,
  }));
}

function report(list: readonly Thing[], movements: readonly CustodyMovement[], more: Partial<CustodyReport> = {}): CustodyReport {
  const sets = [{ id: SET, threshold: 3, shares: 5, key: 'Root CA', rehearsal: false }];
  const placed = list.flatMap(({ key, shares, person, site }) => shares.map((share) => ({ ...share, thing: key, person, site })));
  const names = [...new Set(list.flatMap(({ site }) => site ?? []))].sort();
  return {
    records: { believed: 4, refused: 0 }, sets, things: [...list], movements: [...movements], findings: [], sites: SITES, sitesFault: null, placement: lintPlacement(sets, placed, SITES),
    balance: names.map((name) => ({ kind: 'site' as const, name, rehearsal: false, first: 0, in: list.filter(({ site }) => site === name).length, out: 0, here: list.filter(({ site }) => site === name).length, unaccounted: 0 })), ...more,
  };
}

const moved = (number: number, thing: string, from: readonly [string, string], to: readonly [string, string], more: Partial<CustodyMovement> = {}): CustodyMovement => ({
  ...source(38 + 4 * number), number, thing, rehearsal: false, from: { person: from[0], site: from[1] }, to: { person: to[0], site: to[1] }, reason: 'Distribution of the shares after the root ceremony', share: null,
  witnesses: ['Wanda Zeuge'], state: 'signed', happened: null, ...more,
});
const MOVES = [
  moved(1, 'bag B-0417', ['Bela Custis', 'head-office'], ['Bela Custis', 'north-branch']), moved(2, 'card 8A41-0093', ['Bela Custis', 'head-office'], ['Chiara Custos', 'notary']),
  moved(3, 'card 8A41-0094', ['Dmitri Kustov', 'head-office'], ['Dmitri Kustov', 'bank']), moved(4, 'sheet 7', ['Chiara Custos', 'notary'], ['Emil Kustod', 'bank']),
];
const IN_BAG = { inside: 'bag B-0417' };

/** Three of five shares in as many regions; a bag with a card in it; identity cards at sites that nobody has named. */
export const WELL_PLACED = report(
  things(false, [
    ['token', '0417 2203', 'Ada Ofterdingen', 'head-office'], ['bag', 'B-0417', 'Bela Custis', 'north-branch'], ['card', '8A41-0091', 'Bela Custis', 'north-branch', 1, IN_BAG], ['card', '8A41-0092', 'Ada Ofterdingen', 'head-office', 2],
    ['card', '8A41-0093', 'Chiara Custos', 'notary', 3], ['card', '8A41-0094', 'Dmitri Kustov', 'bank', 4], ['sheet', '7', 'Emil Kustod', 'bank', 5], ['envelope', 'E-12', 'Chiara Custos', 'notary'],
    ['card', '55E1-0001', 'Wanda Zeuge', null], ['backup', SET, null, null, undefined, { place: 'record', what: 'the wrapped key "Root CA", in its record and every bundle of it' }],
  ]),
  MOVES,
);

/** Three at one site and with one person, one lost, one from elsewhere, a site without a region, a file of sites that others may write. */
export const BADLY_PLACED = report(
  things(false, [
    ['card', '8A41-0091', 'Bela Custis', 'head-office', 1], ['card', '8A41-0092', 'Bela Custis', 'head-office', 2], ['envelope', 'E-12', 'Bela Custis', 'head-office', 3], ['card', '8A41-0094', 'Dmitri Kustov', 'cellar', 4],
    ['sheet', '7', 'Emil Kustod', 'bank', 5, { unaccounted: source(54) }], ['bag', 'B-0417', 'Bela Custis', 'north-branch'],
    ...Array.from({ length: 14 }, (_, i): Placed => ['bag', `B-05${String(i).padStart(2, '0')}`, 'Ada Ofterdingen', 'north-branch']),
  ]),
  [...MOVES.slice(0, 3), moved(4, 'sheet 7', ['Emil Kustod', 'bank'], ['Chiara Custos', 'notary'], { state: 'not-handed-over', happened: 'The envelope was empty.' }), moved(5, 'card 8A41-0094', ['Dmitri Kustov', 'bank'], ['Dmitri Kustov', 'cellar'], { state: 'unsigned' })],
  {
    findings: [
      { ...refuse('CUSTODY-NOT-HANDED-OVER', 'sheet 7 handed over, as the list says', 'not handed over; last with Emil Kustod, at bank', 'Look for it. Once it is found, a custody-movement says where it is; if it is lost, count its share as lost.'), source: source(54), things: ['sheet 7'] },
      { ...refuse('CUSTODY-FROM-ELSEWHERE', 'card 8A41-0094 from where the records have it: with Dmitri Kustov, at notary', 'from Dmitri Kustov at bank', 'Find out who had it in between and whether its seal is whole. The gap stays in the register.'), source: source(58), things: ['card 8A41-0094'] },
    ],
    balance: [
      { kind: 'site', name: 'bank', rehearsal: false, first: 2, in: 0, out: 1, here: 0, unaccounted: 1 }, { kind: 'site', name: 'head-office', rehearsal: false, first: 5, in: 0, out: 2, here: 3, unaccounted: 0 },
      { kind: 'site', name: 'notary', rehearsal: false, first: 0, in: 0, out: 1, here: 0, unaccounted: -1 },
    ],
  },
);

/** Both worlds on one machine. */
export const TWO_WORLDS: CustodyReport = { ...WELL_PLACED, things: [...WELL_PLACED.things, ...things(true, [['bag', 'REHEARSAL-1', 'Stand-in custodian-1', 'head-office'], ['sheet', 'REHEARSAL-2', 'Stand-in custodian-2', 'north-branch']])] };
export const NOTHING = report([], [], { sets: [], placement: [] });
