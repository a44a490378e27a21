/**
 * A key hierarchy as data, and the order in which to move it to quantum-safe wrapping.
 *
 * root -> KEK -> DEK: every key but a root is wrapped by exactly one other. The planner says what happens to each key and why:
 *
 *   replace    a root or KEK gets a new key, because its algorithm falls to a quantum computer, or because it was itself
 *              wrapped under one that does and somebody may have recorded that
 *   rewrap     the key stays and is wrapped again under its new parent
 *   rotate     a DEK is replaced and its data encrypted again, because its wrapped copy may have been recorded and what it
 *              protects must outlive the wrapping ("harvest now, decrypt later"): wrapping it again would protect nothing
 *   retire     the old root or KEK and every copy wrapped under it go, once nothing needs them any more
 *
 * Order: roots, then KEKs, then DEKs, then what is retired; a key never before its parent; within that, what can be harvested
 * and must stay secret longest comes first. The plan is advice: it touches no key, and knows only what the file says.
 */

import { LineCounter, Lexer, isScalar, parseAllDocuments, visit } from 'yaml';
import * as z from 'zod';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { plainText } from '../text.ts';
import { COMPOSITE_KEMS, ML_KEMS, X_WING } from './algorithms.ts';

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$/, 'a name of letters, digits, dots, hyphens');
const place = z.string().min(1).max(120);
const year = z.int().min(1990).max(2200);

/** From the least to the most. */
const CLASSIFICATIONS = ['public', 'internal', 'confidential', 'secret', 'top-secret'] as const;

const Copy = z.strictObject({
  at: place,
  /** `token`: inside one and never out. `split`: shares of it. `wrapped`: under the parent. */
  form: z.enum(['token', 'split', 'wrapped']),
  /** It lies or travels where somebody may record it: a network, a courier, rented storage. */
  exposed: z.boolean().default(false),
});

const Key = z.strictObject({
  name,
  role: z.enum(['root', 'kek', 'dek']),
  algorithm: z.string().min(1).max(80),
  'wrapped-by': name.optional(),
  copies: z.array(Copy).min(1).max(100),
  protects: z.strictObject({ what: place.optional(), classification: z.enum(CLASSIFICATIONS), until: year }).optional(),
});

export const HierarchyFile = z.strictObject({
  'conclave-hierarchy': z.literal(1),
  /** The year from which quantum computers are reckoned with. */
  horizon: year.default(2035),
  /** What replaces a vulnerable root or KEK that wraps with a public key. */
  target: z.string().min(1).max(80).default('MLKEM1024-ECDH-P384-SHA3-256'),
  keys: z.array(Key).min(1).max(2000),
});
type KeyEntry = Readonly<z.infer<typeof Key>>;

export type Role = KeyEntry['role'];

export interface Step {
  /** From 1, in the order of the plan. */
  readonly step: number;
  readonly do: 'replace' | 'rewrap' | 'rotate' | 'retire';
  readonly key: string;
  readonly role: Role;
  readonly from: string;
  /** Algorithm of the key afterwards; null where it is retired. */
  readonly to: string | null;
  /** The key it is wrapped under afterwards; null for roots and what is retired. */
  readonly under: string | null;
  /** Copies that this step makes anew or destroys. */
  readonly copies: readonly string[];
  /** Steps that must be done first. */
  readonly after: readonly number[];
  readonly reasons: readonly string[];
}

export interface Plan {
  readonly horizon: number;
  readonly target: string;
  readonly steps: readonly Step[];
  /** Keys that stay as they are. */
  readonly settled: readonly string[];
}

const CORRECT = 'Correct the file; the plan is only as good as what it says.';

function fault(rule: string, expected: string, found: string): Refused {
  return new Refused(refuse(rule, expected, found, CORRECT));
}

// --- algorithms ----------------------------------------------------------------------------------------------------------

/** NIST category against a quantum computer; 0: falls to Shor's algorithm. SP 800-57 Part 1 section 5.6, NIST IR 8547 section 4. */
const CATEGORIES: ReadonlyMap<string, number> = new Map<string, number>([
  ['aes-128', 1], ['aes-192', 3], ['aes-256', 5],
  ...['rsa-2048', 'rsa-3072', 'rsa-4096', 'ecdh-p256', 'ecdh-p384', 'ecdh-p521', 'ecdh-brainpoolP256r1', 'ecdh-brainpoolP384r1', 'x25519', 'x448'].map((one): [string, number] => [one, 0]),
  ...[...Object.values(ML_KEMS), ...COMPOSITE_KEMS, X_WING].map((row): [string, number] => [row.name, row.quantumCategory]),
]);

function categoryOf(algorithm: string, field: string): number {
  const category = CATEGORIES.get(algorithm.replace(/^id-/, ''));
  if (category === undefined) throw fault('ALGORITHM-KNOWN', `${field}: ${[...CATEGORIES.keys()].join(', ')}`, JSON.stringify(algorithm.slice(0, 40)));
  return category;
}

// --- reading -------------------------------------------------------------------------------------------------------------

export interface Hierarchy {
  readonly horizon: number;
  readonly target: string;
  readonly keys: ReadonlyMap<string, KeyEntry>;
}

const LONGEST_TEXT = 1_000_000;
const MOST_TOKENS = 200_000;

/**
 * Reads a hierarchy from YAML 1.2 or JSON and judges it. Throws `Refused` HIERARCHY-FILE for form, HIERARCHY-NAME for a name given
 * twice, HIERARCHY-ROLE, HIERARCHY-ORPHAN for a key that nothing there wraps, HIERARCHY-CYCLE with the names of the cycle, and
 * ALGORITHM-KNOWN.
 */
export function readHierarchy(text: string): Hierarchy {
  const { data, error } = HierarchyFile.safeParse(plainValue(text));
  if (data === undefined) {
    const { path, message } = error.issues[0]!;
    throw fault('HIERARCHY-FILE', `${path.map(String).join('.').slice(0, 80) || 'the file'}: as the format says`, message.slice(0, 200));
  }
  const keys = new Map<string, KeyEntry>();
  for (const key of data.keys) {
    if (keys.has(key.name)) throw fault('HIERARCHY-NAME', 'every name once', `${key.name} twice`);
    for (const text of [...key.copies.map(({ at }) => at), key.protects?.what ?? '']) {
      const wrong = plainText(`keys.${key.name}`, text, 120);
      if (wrong !== null) throw new Refused(wrong);
    }
    categoryOf(key.algorithm, `keys.${key.name}.algorithm`);
    keys.set(key.name, key);
  }
  if (categoryOf(data.target, 'target') === 0) throw fault('HIERARCHY-TARGET', 'a quantum-safe target', data.target);
  for (const key of keys.values()) judge(key, keys);
  for (const key of keys.values()) refuseCycle(key, keys);
  return { horizon: data.horizon, target: data.target, keys };
}

function plainValue(text: string): unknown {
  const wrong = (expected: string, found: string): Refused => fault('HIERARCHY-FILE', expected, found);
  if (text.length > LONGEST_TEXT) throw wrong(`at most ${LONGEST_TEXT} characters`, `${text.length}`);
  let tokens = 0;
  for (const token of new Lexer().lex(text)) {
    tokens += 1;
    if (tokens > MOST_TOKENS) throw wrong(`at most ${MOST_TOKENS} YAML tokens`, 'more');
    if (/^[&*!]/.test(token)) throw wrong('plain YAML: no anchors, aliases or tags', 'one of them');
  }
  const counter = new LineCounter();
  try {
    const documents = parseAllDocuments(text, { lineCounter: counter, strict: true, uniqueKeys: false, version: '1.2', merge: false });
    const [document] = documents;
    if (document === undefined || documents.length !== 1) throw wrong('one YAML document', `${documents.length}`);
    const [problem] = [...document.errors, ...document.warnings];
    if (problem !== undefined) throw wrong(`strict YAML 1.2 at line ${counter.linePos(problem.pos[0]).line}`, problem.code);
    visit(document, { Map: (_key, node) => {
      const seen = new Set<unknown>();
      for (const { key } of node.items) {
        const value = isScalar(key) ? key.value : null;
        if (typeof value !== 'string') throw wrong('keys that are names', 'another key');
        if (seen.has(value)) throw wrong('every key once', `${value.slice(0, 40)} again`);
        seen.add(value);
      }
    } });
    return document.toJS({ maxAliasCount: 0 });
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw wrong('YAML that can be read', 'a file that is nested too deeply, or no YAML'); // the library recurses
  }
}

function judge(key: KeyEntry, keys: ReadonlyMap<string, KeyEntry>): void {
  const { name: own, role, 'wrapped-by': parent } = key;
  if (role === 'root' && parent !== undefined) throw fault('HIERARCHY-ROLE', `${own}: a root that nothing wraps`, `one wrapped by ${parent}`);
  if (role === 'root' && key.copies.some(({ form }) => form === 'wrapped')) throw fault('HIERARCHY-ROLE', `${own}: copies of a root in tokens or as shares`, 'a wrapped one, by what is not said');
  if (role !== 'root' && parent === undefined) throw fault('HIERARCHY-ORPHAN', `${own}: wrapped by a key of this file`, 'nothing that wraps it');
  if (role === 'dek' && key.protects === undefined) throw fault('HIERARCHY-ROLE', `${own}: what it protects, its classification and until when`, 'nothing');
  if (role !== 'dek' && key.protects !== undefined) throw fault('HIERARCHY-ROLE', `${own}: a ${role} that protects keys only`, 'data of its own');
  if (parent === undefined) return;
  const wrapper = keys.get(parent);
  if (wrapper === undefined) throw fault('HIERARCHY-ORPHAN', `${own}: wrapped by a key of this file`, `wrapped by ${parent}, which is not in it`);
  if (wrapper.role === 'dek') throw fault('HIERARCHY-ROLE', `${own}: wrapped by a root or KEK`, `${parent} is a DEK`);
}

function refuseCycle(key: KeyEntry, keys: ReadonlyMap<string, KeyEntry>): void {
  const path = [key.name];
  for (let at = key['wrapped-by']; at !== undefined; at = keys.get(at)?.['wrapped-by']) {
    if (at === key.name) throw fault('HIERARCHY-CYCLE', 'every key under a root in the end', [...path.slice(0, 8), ...(path.length > 8 ? ['...'] : []), at].join(' wrapped by '));
    if (path.length > keys.size) return; // a cycle further up: found when its own members are looked at
    path.push(at);
  }
}

// --- planning ------------------------------------------------------------------------------------------------------------

/** How much it matters to do a key soon: compared from the first to the last. */
interface Urgency {
  readonly harvested: boolean;
  readonly classification: number;
  readonly until: number;
  readonly exposed: boolean;
}

const NO_URGENCY: Urgency = { harvested: false, classification: -1, until: 0, exposed: false };

function byUrgency(a: Urgency, b: Urgency): number {
  return Number(b.harvested) - Number(a.harvested) || b.classification - a.classification || b.until - a.until || Number(b.exposed) - Number(a.exposed);
}

type Action = 'replace' | 'rewrap' | 'rotate' | 'stay';

interface Judged {
  readonly key: KeyEntry;
  readonly depth: number;
  readonly action: Action;
  /** Whoever has the wrapped copies and a quantum computer has the key. */
  readonly open: boolean;
  readonly reasons: readonly string[];
}

/** The plan of a hierarchy that `readHierarchy` judged. The same file gives the same plan. */
export function planMigration({ horizon, target, keys }: Hierarchy): Plan {
  const judged = new Map<string, Judged>();
  const children = new Map<string, string[]>();
  for (const key of keys.values()) {
    const parent = key['wrapped-by'];
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), key.name]);
  }
  // Parents first, without recursion: a chain may be as long as the file.
  const order: string[] = [...keys.values()].filter(({ role }) => role === 'root').map((key) => key.name);
  for (const one of order) order.push(...(children.get(one) ?? []));
  for (const one of order) judged.set(one, judgeKey(keys.get(one)!, judged, horizon));

  const urgencies = new Map<string, Urgency>();
  for (const one of order.toReversed()) {
    const { key, open } = judged.get(one)!;
    const { protects } = key;
    const own: Urgency = protects === undefined ? NO_URGENCY : {
      harvested: open && protects.until >= horizon && protects.classification !== 'public',
      classification: CLASSIFICATIONS.indexOf(protects.classification), until: protects.until, exposed: key.copies.some(({ exposed }) => exposed),
    };
    const below = (children.get(one) ?? []).map((child) => urgencies.get(child)!);
    urgencies.set(one, [own, ...below].sort(byUrgency)[0]!);
  }

  const rank: Readonly<Record<Role, number>> = { root: 0, kek: 1, dek: 2 };
  const acting = order.map((one) => judged.get(one)!).filter(({ action }) => action !== 'stay');
  // A key is as urgent as the most urgent one below it, so no child comes before its parent: at worst they tie, and depth decides.
  const ready = acting.sort((a, b) => rank[a.key.role] - rank[b.key.role] || byUrgency(urgencies.get(a.key.name)!, urgencies.get(b.key.name)!)
    || a.depth - b.depth || (a.key.name < b.key.name ? -1 : 1));
  const steps: Step[] = [];
  const numbers = new Map<string, number>();
  for (const { key, action, reasons } of ready) {
    const parent = key['wrapped-by'] ?? null;
    const vulnerable = categoryOf(key.algorithm, key.name) === 0;
    const before = parent === null ? undefined : numbers.get(parent);
    numbers.set(key.name, steps.length + 1);
    steps.push({
      step: steps.length + 1, do: action as Exclude<Action, 'stay'>, key: key.name, role: key.role, from: key.algorithm,
      to: action === 'replace' && vulnerable ? target : key.algorithm, under: parent,
      copies: key.copies.filter(({ form }) => action !== 'rewrap' || form === 'wrapped').map(({ at }) => at),
      after: before === undefined ? [] : [before], reasons: [...reasons, ...because(urgencies.get(key.name)!, key, horizon)],
    });
  }
  for (const { key } of ready.filter(({ action }) => action === 'replace').sort((a, b) => b.depth - a.depth || numbers.get(a.key.name)! - numbers.get(b.key.name)!)) {
    const needed = [key.name, ...(children.get(key.name) ?? [])].map((one) => numbers.get(one)).filter((one) => one !== undefined);
    const old = (children.get(key.name) ?? []).flatMap((child) => keys.get(child)!.copies.filter(({ form }) => form === 'wrapped').map(({ at }) => `${child} at ${at}`));
    steps.push({
      step: steps.length + 1, do: 'retire', key: key.name, role: key.role, from: key.algorithm, to: null, under: null,
      copies: [...key.copies.map(({ at }) => `${key.name} at ${at}`), ...old], after: needed,
      reasons: ['nothing is wrapped under it any more: the old key and what was wrapped under it are destroyed, copy by copy'],
    });
  }
  return { horizon, target, steps, settled: order.filter((one) => judged.get(one)!.action === 'stay') };
}

function judgeKey(key: KeyEntry, judged: ReadonlyMap<string, Judged>, horizon: number): Judged {
  const { role, algorithm, protects } = key;
  const parent = key['wrapped-by'] === undefined ? null : judged.get(key['wrapped-by'])!;
  const above = parent?.key.name ?? '';
  const depth = parent === null ? 0 : parent.depth + 1;
  const vulnerable = role !== 'dek' && categoryOf(algorithm, key.name) === 0;
  const weakWrapping = parent !== null && (parent.open || categoryOf(parent.key.algorithm, above) === 0);
  const recorded = weakWrapping && key.copies.some(({ form, exposed }) => form === 'wrapped' && exposed);
  const reasons: string[] = [];
  let action: Action = 'stay';
  if (vulnerable) reasons.push(`${algorithm} falls to a quantum computer`);
  if (recorded) reasons.push(`its copy wrapped under ${above} may have been recorded, and that wrapping falls to a quantum computer`);
  else if (weakWrapping) reasons.push(`wrapped under ${above}, which falls to a quantum computer`);
  if (role === 'dek') {
    // Data that is public, or need not be secret by then, gains nothing from encrypting it again.
    if (recorded && protects!.until >= horizon && protects!.classification !== 'public') action = 'rotate';
    else if (weakWrapping || parent?.action === 'replace') action = 'rewrap';
  } else if (vulnerable || recorded) action = 'replace';
  else if (weakWrapping || parent?.action === 'replace') action = 'rewrap';
  if (parent?.action === 'replace' && action !== 'stay') reasons.push(`${above} is replaced: this key goes under the new one`);
  return { key, depth, action, open: recorded, reasons };
}

function because({ harvested, classification, until }: Urgency, { role, protects }: KeyEntry, horizon: number): string[] {
  if (classification < 0) return [];
  const what = `${CLASSIFICATIONS[classification]!} until ${until}`;
  const reasons = [role === 'dek' ? `protects ${protects?.what ?? 'data'}, ${what}` : `the most urgent below it is ${what}`];
  if (harvested) reasons.push(`harvest now, decrypt later: it must still be secret in ${horizon}; what was recorded before this step stays lost`);
  return reasons;
}

/** The plan's faults would all be refusals of its file; this is what an officer should know besides. */
export function planRemarks({ keys }: Hierarchy): Refusal[] {
  const wrappers = new Set([...keys.values()].map((key) => key['wrapped-by']));
  return [...keys.values()].filter((key) => key.role !== 'dek' && !wrappers.has(key.name))
    .map((key) => refuse('HIERARCHY-UNUSED', `${key.name}: a ${key.role} that wraps something`, 'nothing under it', 'Retire it, or add what it wraps to the file.'));
}
