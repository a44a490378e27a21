/**
 * The record as bytes: one entry per line, chained by SHA-512, with an RFC 6962 Merkle tree over the lines.
 *
 * The exact bytes of a line are what is hashed and signed, never a re-serialisation. Lines are written as RFC 8785
 * canonical JSON and only canonical lines are read, so duplicate keys, odd numbers, white space and escapes that mean
 * the same have no place to hide. FORMAT.md says all of this for strangers; change both or neither.
 */
import canonicalize from 'canonicalize';
import { sha256, sha512 } from '@noble/hashes/sha2.js';
import { concat, toBase64url, utf8 } from './bytes.ts';
import { apply, check, EMPTY, ENTRY_DATA, type Entry, type State } from './ceremony.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';

export const MAX_LINE = 1_000_000;
/** RFC 3339 UTC, milliseconds, no leap-second games: times compare as text. */
const TIME = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$/;
const MEMBERS = new Set(['v', 'ceremony', 'seq', 'at', 'kind', 'step', 'by', 'data', 'prev']);

/** The three hashes of the format. The default is noble's and runs anywhere; Node's own is handed in where speed matters. */
export interface Hasher {
  /** base64url of SHA-512 over the line's bytes, without its newline. */
  entry(line: Uint8Array): string;
  /** RFC 6962, 2.1: SHA-256(0x00 || line). */
  leaf(line: Uint8Array): Uint8Array;
  /** RFC 6962, 2.1: SHA-256(0x01 || left || right). */
  node(left: Uint8Array, right: Uint8Array): Uint8Array;
}

export const portableHasher: Hasher = {
  entry: (line) => toBase64url(sha512(line)),
  leaf: (line) => sha256(concat(Uint8Array.of(0), line)),
  node: (left, right) => sha256(concat(Uint8Array.of(1), left, right)),
};

/** One entry as the line that will be hashed, stored and signed. No newline. */
export function encodeLine(entry: Entry): string {
  let line: string | undefined;
  try {
    line = canonicalize(entry);
  } catch {
    throw new Refused(refuse('TEXT-WELL-FORMED', 'well-formed text and whole numbers', 'half a surrogate pair, or no number', 'Correct the text before it is recorded.'));
  }
  if (line === undefined || line.length > MAX_LINE) throw new Refused(refuse('ENTRY-SIZE', `at most ${MAX_LINE} characters`, `${line?.length ?? 0}`, 'Record less in one entry.'));
  return line;
}

/** Reads one line. Refuses whatever is not the one canonical spelling of a well-formed entry. Data is judged by `check`. */
export function parseLine(line: string): Entry {
  const malformed = (expected: string, found: string) => new Refused(refuse('ENTRY-MALFORMED', expected, found, 'The record was changed after it was written, or is not a record at all.'));
  if (line.length > MAX_LINE) throw malformed(`at most ${MAX_LINE} characters`, `${line.length}`);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw malformed('one JSON object per line', 'text that is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('a JSON object', typeof value);
  if (!isCanonical(value, line)) {
    throw new Refused(refuse('ENTRY-CANONICAL', 'RFC 8785 canonical JSON with integers only', 'another spelling (order, space, escape, duplicate key or number)', 'The record was changed after it was written.'));
  }
  const entry = value as Partial<Record<string, unknown>>;
  for (const key in entry) if (!MEMBERS.has(key)) throw malformed('only the members FORMAT.md names', key);
  const { v, ceremony, seq, at, kind, step, by, data, prev } = entry;
  if (v !== 1) throw malformed('v = 1', String(v));
  if (typeof ceremony !== 'string' || ceremony.length > 64) throw malformed('a ceremony id', typeof ceremony);
  if (typeof seq !== 'number' || seq < 0) throw malformed('an entry number', String(seq));
  if (typeof at !== 'string' || !TIME.test(at)) throw malformed('a time such as 2026-01-31T12:00:00.000Z', String(at));
  if (typeof kind !== 'string' || !Object.hasOwn(ENTRY_DATA, kind)) throw malformed('a known kind of entry', String(kind));
  if (step !== undefined && (typeof step !== 'string' || step.length > 100)) throw malformed('a step id', typeof step);
  if (by !== undefined && (typeof by !== 'string' || by.length > 40)) throw malformed('a seat', typeof by);
  if (typeof data !== 'object' || data === null || Array.isArray(data)) throw malformed('a data object', String(data));
  if (typeof prev !== 'string' || prev.length !== 86) throw malformed('the previous line\'s hash', String(prev).slice(0, 20));
  return value as Entry;
}

/** Deeper than this no entry goes; without a limit a hostile line could exhaust the stack. */
const MAX_DEPTH = 16;
/** An escape that stands for half of a surrogate pair; a backslash before the escape's own would make it plain text. */
const LONE_SURROGATE = /(?<!\\)(?:\\\\)*\\ud[89a-f]/;

/**
 * Is `line` the canonical spelling of `value`? JSON.parse keeps the first-seen order of keys and the last of duplicates,
 * so an object whose keys are sorted and whose JSON.stringify gives the same text back has exactly one spelling. Keys
 * that begin with a digit are refused because JavaScript reorders array indexes, and `__proto__` because libraries skip it.
 */
function isCanonical(value: object, line: string): boolean {
  return sortedIntegers(value, MAX_DEPTH) && JSON.stringify(value) === line && !(line.includes('\\ud') && LONE_SURROGATE.test(line));
}

function sortedIntegers(value: unknown, depth: number): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value);
  if (typeof value !== 'object' || value === null) return true;
  if (depth === 0) return false;
  if (Array.isArray(value)) {
    for (const item of value) if (typeof item !== 'string' && !sortedIntegers(item, depth - 1)) return false;
    return true;
  }
  let last = '';
  for (const key in value) {
    const code = key.charCodeAt(0);
    if (key < last || (code >= 48 && code <= 57) || key === '__proto__') return false;
    last = key;
    const item = (value as Record<string, unknown>)[key];
    if (typeof item !== 'string' && !sortedIntegers(item, depth - 1)) return false;
  }
  return true;
}

/** The RFC 6962 tree over the lines so far: at most log2(n) nodes are kept. */
export class MerkleTree {
  readonly #hasher: Hasher;
  /** Complete subtrees from large to small, as in the binary spelling of the leaf count. */
  readonly #nodes: Uint8Array[] = [];
  #count = 0;

  constructor(hasher: Hasher) {
    this.#hasher = hasher;
  }

  add(line: Uint8Array): void {
    let node = this.#hasher.leaf(line);
    for (let n = this.#count; n & 1; n >>= 1) node = this.#hasher.node(this.#nodes.pop() ?? node, node);
    this.#nodes.push(node);
    this.#count += 1;
  }

  /** Root over all leaves so far, base64url. */
  root(): string {
    const [last, ...larger] = this.#nodes.toReversed();
    return toBase64url(last ? larger.reduce((root, node) => this.#hasher.node(node, root), last) : sha256(new Uint8Array(0)));
  }
}

/**
 * Folds lines into a State, one at a time: the same code live, on resume, in the replay and in the verdict.
 * `push` refuses (returns) what breaks the chain or a rule; the fold then stands where it stood.
 */
export class Fold {
  state: State = EMPTY;
  readonly #hasher: Hasher;
  readonly #tree: MerkleTree;

  constructor(hasher: Hasher = portableHasher) {
    this.#hasher = hasher;
    this.#tree = new MerkleTree(hasher);
  }

  /** Checks and applies one entry; `line` are its exact bytes. */
  push(entry: Entry, line: Uint8Array): Refusal | null {
    const refusal = this.chain(entry) ?? check(this.state, entry);
    if (refusal) return refusal;
    this.force(entry, line);
    return null;
  }

  /** Does the entry follow the line before it? */
  chain(entry: Entry): Refusal | null {
    if (this.state.count === 0 || entry.prev === this.state.lastHash) return null;
    return refuse('CHAIN', 'the hash of the line before', 'another one', 'A line was changed, removed, added or moved. Do not trust what follows.');
  }

  /** Applies without asking. */
  force(entry: Entry, line: Uint8Array): void {
    this.#tree.add(line);
    this.state = apply(this.state, entry, { hash: this.#hasher.entry(line), root: () => this.#tree.root() });
  }

  /** RFC 6962 root over the lines so far, base64url. */
  root(): string {
    return this.#tree.root();
  }

  /** Follows the chain past an entry that means nothing, or nothing any more: only its place and its hash count. */
  skip(line: Uint8Array): void {
    this.#tree.add(line);
    this.state = { ...this.state, count: this.state.count + 1, lastHash: this.#hasher.entry(line) };
  }
}

export function pushLine(fold: Fold, line: string): Refusal | null {
  return fold.push(parseLine(line), utf8(line));
}

/** The lines of a transcript file, as bytes and as text. Throws at the line that is not UTF-8 or has no newline at its end. */
export function* splitTranscript(bytes: Uint8Array): Generator<{ readonly bytes: Uint8Array; readonly text: string }> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let start = 0;
  while (start < bytes.length) {
    const end = bytes.indexOf(10, start);
    if (end < 0) throw new Refused(refuse('TRANSCRIPT-TRUNCATED', 'a newline after the last entry', 'half a line', 'The file was cut short.'));
    const line = bytes.subarray(start, end);
    let text: string;
    try {
      text = decoder.decode(line);
    } catch {
      throw new Refused(refuse('ENTRY-MALFORMED', 'UTF-8 text', 'bytes that are not', 'The record was changed after it was written, or is not a record at all.'));
    }
    yield { bytes: line, text };
    start = end + 1;
  }
}
