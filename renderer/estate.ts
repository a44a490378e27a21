/**
 * What the Tokens room makes of what people type and of what tokens and readers answer: a search, the rows of the readiness
 * matrix, one key for one token, what is said of cards that come and go.
 *
 * Pure text. Whether an attribute exists, and whether a value is one of its values, is decided where the token is; here a
 * line is only taken apart. Nothing a pasted URI says is followed: it goes to the conductor as it is.
 */
import type { AttributeWanted, PinState, Readiness } from '../ceremonies/estate.ts';
import type { TokenFacts } from '../ceremonies/evidence.ts';
import type { ReaderReport } from '../electron/contract.ts';
import { groups, type MarkName } from './reading.ts';
import { t } from './texts.ts';

/** A token by module and serial number, as one text. Module names have no line break (modules.json). */
export function tokenKey(module: string, serial: string): string {
  return `${module}\n${serial}`;
}

/** Initialised by nobody yet: it has no label, and what stands for its serial number is its slot's. */
export function isBlank({ label, flags }: Pick<TokenFacts, 'label' | 'flags'>): boolean {
  return label === '' && !flags.includes('CKF_TOKEN_INITIALIZED');
}

/** What people call it. */
export function nameOf({ label, serial }: Pick<TokenFacts, 'label' | 'serial'>): string {
  return label === '' ? groups(serial) : label;
}

type Slots = readonly { readonly token: TokenFacts | null }[];

/** Who is in the slots now and was not before, and the other way round. A token that changed its slot did neither. */
export function moves(before: Slots, after: Slots): { readonly came: readonly TokenFacts[]; readonly went: readonly TokenFacts[] } {
  const tokens = (slots: Slots) => slots.flatMap(({ token }) => token ?? []);
  const missing = (from: Slots, to: Slots) =>
    tokens(from).filter(({ serial }) => tokens(to).every((other) => other.serial !== serial));
  return { came: missing(after, before), went: missing(before, after) };
}

/**
 * What a screen reader hears when readers or cards have come or gone. A card that a module knows is told of as its token is
 * (`came`, `went`), so here nothing is said of it.
 */
export function readersSay(before: ReaderReport | null, now: ReaderReport): string {
  const was = (name: string) => before?.readers.find((reader) => reader.name === name);
  const unknown = (reader: ReaderReport['readers'][number] | undefined) => reader?.card === true && reader.tokens?.length === 0;
  const left = (name: string) => now.readers.every((reader) => reader.name !== name);
  return [
    ...(now.problem !== null && before?.problem?.code !== now.problem.code ? [now.problem.message] : []),
    ...(now.problem === null ? (before?.readers ?? []).flatMap(({ name }) => (left(name) ? [t.readers.readerWent(name)] : [])) : []),
    ...now.readers.flatMap((reader) => [
      ...(was(reader.name) === undefined ? [t.readers.readerCame(reader.name)] : []),
      ...(unknown(reader) && !unknown(was(reader.name)) ? [t.readers.cardCame(reader.name)] : []),
      ...(!reader.card && unknown(was(reader.name)) ? [t.readers.cardWent(reader.name)] : []),
    ]),
  ].join(' ');
}

// --- searching -------------------------------------------------------------------------------------------------------

export type Query =
  | { readonly kind: 'all' }
  | { readonly kind: 'where'; readonly where: AttributeWanted[] }
  | { readonly kind: 'uri'; readonly uri: string };

/** `name=` at the beginning or after a blank: a label may hold any other `=`. */
const NAMED = /(?:^|\s)([A-Za-z][A-Za-z0-9_-]{0,59})=/g;

/**
 * Nothing; a pasted `pkcs11:` URI; `label=Root CA sign=true`, with or without CKA_; any other text is a whole label.
 */
export function queryOf(typed: string): Query {
  const line = typed.trim();
  if (line === '') return { kind: 'all' };
  if (/^pkcs11:/i.test(line)) return { kind: 'uri', uri: line };
  const names = [...line.matchAll(NAMED)];
  if (names[0]?.index !== 0) return { kind: 'where', where: [{ attribute: 'CKA_LABEL', value: unquoted(line) }] };
  const where = names.map((match, index) => {
    const value = line.slice(match.index + match[0].length, names[index + 1]?.index ?? line.length).trim();
    const attribute = prefixed('CKA', match[1] ?? '');
    return { attribute, value: valueOf(attribute, unquoted(value)) };
  });
  return { kind: 'where', where };
}

/** The forms in which people and other tools write these; everything else is for the token's side to judge. */
function valueOf(attribute: string, value: string): string {
  if (attribute === 'CKA_CLASS') return prefixed('CKO', value);
  if (attribute === 'CKA_KEY_TYPE') return prefixed('CKK', value);
  if (attribute === 'CKA_ID') return value.replace(/[\s:]/g, '').toLowerCase();
  return /^(yes|no)$/i.test(value) ? String(/^yes$/i.test(value)) : value;
}

const prefixed = (prefix: string, name: string): string => {
  const upper = name.toUpperCase().replaceAll('-', '_');
  return upper.startsWith(`${prefix}_`) || /^\d/.test(upper) ? upper : `${prefix}_${upper}`;
};

const unquoted = (value: string): string => /^(["'])(.*)\1$/.exec(value)?.[2] ?? value;

// --- the readiness matrix ----------------------------------------------------------------------------------------------

export interface MatrixFamily {
  readonly family: Readiness['family'];
  /** One per parameter set; `cells` in the order of the tokens, null where that token was not asked about it. */
  readonly rows: readonly { readonly name: string; readonly cells: readonly (Readiness | null)[] }[];
}

/** Families and parameter sets in the order in which the first token that has them names them. */
export function matrixOf(tokens: readonly (readonly Readiness[])[]): MatrixFamily[] {
  const families = new Map<Readiness['family'], Set<string>>();
  for (const { family, name } of tokens.flat()) {
    const names = families.get(family) ?? new Set<string>();
    families.set(family, names.add(name));
  }
  return [...families].map(([family, names]) => ({
    family,
    rows: [...names].map((name) => ({
      name,
      cells: tokens.map((readiness) => readiness.find((cell) => cell.name === name && cell.family === family) ?? null),
    })),
  }));
}

/** How many of each: `proven`, `claimed`, `absent`. */
export function readinessCount(readiness: readonly Readiness[]): Readonly<Record<Readiness['can'], number>> {
  const count = { proven: 0, claimed: 0, absent: 0 };
  for (const { can } of readiness) count[can] += 1;
  return count;
}

export const READINESS_MARK: Readonly<Record<Readiness['can'], MarkName>> = {
  proven: 'verified',
  claimed: 'reported',
  absent: 'not-reached',
};

export const PIN_MARK: Readonly<Record<PinState, MarkName>> = {
  fine: 'plain',
  low: 'reported',
  final: 'refused',
  locked: 'refused',
  change: 'reported',
  unset: 'reported',
};
