/**
 * Algorithms in the words of people who choose one once in ten years: grouped by family, each with what it withstands,
 * how long its signatures are, whether it is a draft, and where the parts of its key can live.
 *
 * Every number comes from the registry (ceremonies/keys/algorithms.ts). This file never decides what may be chosen: the
 * script offers, the model of the room and the conductor judge.
 */
import type { Placement } from '../ceremonies/evidence.ts';
import { heldAt } from '../ceremonies/key-record.ts';
import {
  CA_ALGORITHMS,
  caAlgorithmNamed,
  componentsOf,
  isStateful,
  type CaAlgorithm,
  type Component,
} from '../ceremonies/keys/algorithms.ts';
import { t } from './texts.ts';

/** Names as the rest of the industry says them: `EC P-256`, `ML-DSA-65 + ECDSA P-256`; any other name as it stands. */
export function algorithmName(name: string): string {
  if (!CA_ALGORITHMS.includes(name)) return name;
  const row = caAlgorithmNamed(name);
  return componentsOf(row)
    .map((component) => componentName(row, component))
    .join(' + ');
}

function componentName(row: CaAlgorithm, { label, half }: Component): string {
  if (row.family === 'rsa') return label.replace(' ', '-');
  if (row.family === 'ecdsa') return label.replace('ECDSA', 'EC');
  // Two composites differ in nothing but the padding of their RSA half.
  return half?.kind === 'rsa' ? `${label.replace(' ', '-')} ${t.keys.padding[half.padding]}` : label;
}

export interface AlgorithmGroup {
  readonly title: string;
  readonly names: readonly string[];
}

/** The names in the order given, under the family to which each belongs; families in the order of their first member. */
export function algorithmGroups(names: readonly string[]): AlgorithmGroup[] {
  const groups = new Map<string, string[]>();
  for (const name of names) {
    const title = t.keys.groups[groupOf(caAlgorithmNamed(name))];
    groups.set(title, [...(groups.get(title) ?? []), name]);
  }
  return [...groups].map(([title, members]) => ({ title, names: members }));
}

function groupOf(row: CaAlgorithm): keyof typeof t.keys.groups {
  switch (row.family) {
    case 'composite-signature':
      return `composite-${row.mlDsa}`;
    case 'slh-dsa':
      return row.name.endsWith('s') ? 'slh-dsa-s' : 'slh-dsa-f';
    case 'ecdsa':
    case 'rsa':
    case 'eddsa':
    case 'ml-dsa':
    case 'hss':
    case 'xmss':
      return row.family;
  }
}

/** Sentences about one algorithm, in the order in which they matter; `profile` is the draft under which its keys are made. */
export function algorithmFacts(name: string): { readonly sentences: readonly string[]; readonly profile: string | null } {
  const row = caAlgorithmNamed(name);
  const [first, second] = componentsOf(row).map((component) => componentName(row, component));
  return {
    profile: profileOf(name),
    sentences: [
      second === undefined ? t.keys.one(first ?? row.label) : t.keys.two(first ?? '', second),
      ...(isStateful(row) ? [t.keys.hardware] : [t.keys.strength[row.quantumCategory]]),
      ...(row.family === 'xmss' ? [t.keys.limited(2 ** row.height)] : []),
      ...(row.family === 'hss'
        ? []
        : row.family === 'composite-signature'
          ? [t.keys.signature(row.sizes.signature, row.sizes.varies.includes('signature'))]
          : [t.keys.signature(row.signatureBytes, false)]),
      ...(row.family === 'slh-dsa' && row.name.endsWith('s') ? [t.keys.slow] : []),
      ...standing(row),
    ],
  };
}

/** What is worth saying of its standing; that it is a draft is said with the draft's name. */
function standing({ standing: { state, until } }: CaAlgorithm): string[] {
  if (state === 'draft' || (state === 'approved' && until === undefined)) return [];
  const year = until === undefined ? '' : ` until ${until}`;
  return [t.keys.standing[state](year)];
}

/** The draft under which keys of this algorithm are made; null where there is a finished standard. */
export function profileOf(name: string): string | null {
  const row = caAlgorithmNamed(name);
  return 'profile' in row ? row.profile : null;
}

/** Is every one of these the name of a CA algorithm? Then a script's list of them is shown as algorithms. */
export function areAlgorithms(names: readonly string[]): boolean {
  return names.every((name) => CA_ALGORITHMS.includes(name));
}

const PLACES: readonly Placement[] = ['split', 'token', 'wrapped'];

export function arePlaces(names: readonly string[]): names is readonly Placement[] {
  return names.every((name) => (PLACES as readonly string[]).includes(name));
}

/** Where keys of this algorithm can live, the usual choice first; the script's own list where there is one. */
export function placesFor(name: string): readonly Placement[] {
  const row = caAlgorithmNamed(name);
  if (row.family === 'composite-signature') return PLACES;
  if (isStateful(row)) return ['token'];
  return row.family === 'ml-dsa' || row.family === 'slh-dsa' ? ['wrapped', 'token'] : ['token', 'wrapped'];
}

export interface PlaceWords {
  readonly name: string;
  readonly means: string;
  /** Why a key of this algorithm cannot live so, or null. The model of the room says the same by its rule. */
  readonly impossible: string | null;
}

export function placeWords(place: Placement, algorithm: string): PlaceWords {
  const components = componentsOf(caAlgorithmNamed(algorithm));
  const homeless = components.find((component) => component.row === null && heldAt(place, component) === 'token');
  return {
    ...t.keys.place[components.length > 1 ? 'composite' : 'single'][place],
    impossible: homeless ? t.keys.place.impossible(homeless.label) : null,
  };
}

export function placeLegend(algorithm: string): string {
  return t.keys.place.legend[componentsOf(caAlgorithmNamed(algorithm)).length > 1 ? 'composite' : 'single'];
}
