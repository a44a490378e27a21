/**
 * What the dialogs of the Tokens room make of a person's choices: attributes of a new key and what speaks against them, what
 * is to be different on an object, and the changes that a volume of the logbook holds.
 *
 * Pure. It never allows anything: an order is judged again where it is recorded, and by the same rules.
 */
import { orderable, orderRisks, risksAfter } from '../ceremonies/administration.ts';
import type { Data, State } from '../ceremonies/ceremony.ts';
import { ORDERED_ATTRIBUTES, WrappedKeyFile, type ChangeKind, type Intent, type KeyKind, type OrderedAttribute, type OrderedAttributes, type TokenFacts } from '../ceremonies/evidence.ts';
import { fromUtf8 } from '../ceremonies/bytes.ts';
import type { AttributeReading, ObjectPlace, ObjectReading } from '../ceremonies/estate.ts';
import { RISKS } from '../ceremonies/keys/provenance.ts';
import { attributeName, KINDS, lintTemplate, safeAttributes, SHIPPED_TEMPLATES, USAGES, type KeyTemplate, type Purpose } from '../ceremonies/keys/template.ts';
import type { Answers } from '../electron/contract.ts';
import type { Told } from './reading.ts';

/** What somebody wants to change: the token, and the object where it is one. */
export interface Wanted {
  readonly change: ChangeKind;
  readonly module: string;
  readonly token: TokenFacts;
  readonly object: { readonly place: ObjectPlace; readonly reading: Answers['object'] } | null;
}

// --- a new key -------------------------------------------------------------------------------------------------------

/** Kinds of key that a template ships for, by purpose. */
export function kindsFor(purpose: Purpose): KeyKind[] {
  return SHIPPED_TEMPLATES.filter((template) => template.purpose === purpose).map(({ kind }) => kind);
}

/** A key as it is being wished for; `template` where an organisation's template is the beginning. */
export interface Wish {
  readonly purpose: Purpose;
  readonly kind: KeyKind;
  readonly attributes: OrderedAttributes;
  /** Rules of dangers that somebody answers for: the officer, or the administrator in the template. */
  readonly despite: readonly string[];
  readonly template: string | null;
}

/** What is offered first: strong enough to last, and known to most tokens. */
const OFFERED: readonly KeyKind[] = ['ec-p256', 'aes-256', 'ml-kem-768'];

export function wishFor(purpose: Purpose, wanted?: KeyKind): Wish {
  const kinds = kindsFor(purpose);
  const kind = [wanted, ...OFFERED].find((one) => one !== undefined && kinds.includes(one)) ?? 'aes-256';
  return { purpose, kind, attributes: orderable(safeAttributes(purpose)), despite: [], template: null };
}

export function wishOf(template: KeyTemplate): Wish {
  const { purpose, kind, attributes, accepts, name } = template;
  return { purpose, kind, attributes: orderable(attributes), despite: Object.keys(accepts), template: name };
}

/** What speaks against a wish. `answerable`: it may be ordered if the officer answers for it by name. */
export interface Finding {
  readonly rule: string;
  readonly weight: 'danger' | 'caution';
  readonly why: string;
  readonly next: string;
  readonly answerable: boolean;
}

/** Dangers by the rule by which the order is judged; beside them what only a template is judged by. */
export function findingsOf({ purpose, kind, attributes }: Wish): Finding[] {
  const risks = orderRisks(kind, attributes).map((risk) => ({ ...risk, answerable: risk.weight === 'danger' }));
  const whole = { ...safeAttributes(purpose), ...attributes };
  const wishes = lintTemplate({ name: 'wish', purpose, kind, attributes: whole, accepts: {} })
    .filter(({ rule }) => !RISKS.some((risk) => risk === rule))
    .map(({ rule, severity, why, next }): Finding => ({ rule, weight: severity === 'refused' ? 'danger' : 'caution', why, next, answerable: false }));
  return [...risks, ...wishes];
}

/** What speaks against a key that is there, with these attributes in place of its own; of what is no key, nothing. */
export function findingsAfter(reading: Pick<ObjectReading, 'key' | 'trust'> | null, attributes: OrderedAttributes): Finding[] {
  if (!reading?.key) return [];
  return risksAfter({ ...reading.key, wrapWithTrusted: reading.trust.wrapWithTrusted }, attributes).map((risk) => ({ ...risk, answerable: risk.weight === 'danger' }));
}

/** Those of a finished order's dangers that nobody answers for yet. */
export function unanswered(findings: readonly Finding[], despite: readonly string[]): Finding[] {
  return findings.filter(({ rule, weight, answerable }) => weight === 'danger' && !(answerable && despite.includes(rule)));
}

/** The dangers of an order that somebody answers for: others are not named in the record. */
export function despiteOf(findings: readonly Finding[], despite: readonly string[]): string[] {
  return findings.filter(({ rule, weight, answerable }) => weight === 'danger' && answerable && despite.includes(rule)).map(({ rule }) => rule);
}

/** What a key of this kind can be allowed, and what protects it: in two groups, in the order of the form. */
export function attributesOf(kind: KeyKind): { readonly uses: OrderedAttribute[]; readonly protection: OrderedAttribute[] } {
  const { uses, pair } = KINDS[kind];
  return {
    uses: USAGES.filter((usage) => uses.includes(usage)),
    protection: ORDERED_ATTRIBUTES.filter((name) => !USAGES.some((usage) => usage === name) && (pair || name !== 'alwaysAuthenticate')),
  };
}

// --- an object that is there -----------------------------------------------------------------------------------------

/** Attributes that can be ordered, as the token told them; one that it does not tell is not there. */
export function toldAttributes(attributes: readonly AttributeReading[]): OrderedAttributes {
  return Object.fromEntries(ORDERED_ATTRIBUTES.flatMap((name) => {
    const text = attributes.find((one) => one.name === attributeName(name))?.text;
    return text === 'true' || text === 'false' ? [[name, text === 'true']] : [];
  }));
}

/** Only what is to be different. */
export function changedAttributes(before: OrderedAttributes, after: OrderedAttributes): OrderedAttributes {
  return Object.fromEntries(Object.entries(after).filter(([name, value]) => before[name as OrderedAttribute] !== value));
}

/** A file of `wrap-key`; null for any other. */
export function wrappedFile(bytes: Uint8Array): WrappedKeyFile | null {
  try {
    return WrappedKeyFile.safeParse(JSON.parse(fromUtf8(bytes))).data ?? null;
  } catch {
    return null; // neither JSON nor text
  }
}

// --- a volume of the logbook -----------------------------------------------------------------------------------------

export interface Made {
  /** Number of its `done`. */
  readonly entry: number;
  readonly intent: Exclude<Intent<'administer'>, { change: 'log-out' }>;
  readonly result: Readonly<Record<string, unknown>>;
}

/** The changes that are written down with their outcome, in order. */
export function changesIn(rows: readonly Pick<Told, 'entry'>[]): Made[] {
  const begun = new Map<number, Intent<'administer'>>();
  const made: Made[] = [];
  for (const { entry } of rows) {
    if (entry.kind === 'begun') {
      const { intent } = entry.data as Data<'begun'>;
      if ('change' in intent) begun.set(entry.seq, intent as Intent<'administer'>);
    }
    if (entry.kind !== 'done') continue;
    const { begun: number, evidence } = entry.data as Data<'done'>;
    const intent = begun.get(number ?? -1);
    if (intent && intent.change !== 'log-out') made.push({ entry: entry.seq, intent, result: (evidence as { result: Record<string, unknown> }).result });
  }
  return made;
}

/** Since when the officer is logged in: the last time their card proved it. */
export function loggedInSince(rows: readonly Pick<Told, 'entry'>[]): string {
  return rows.findLast(({ entry }) => entry.kind === 'done' && entry.step?.startsWith('log-in') === true)?.entry.at ?? rows[0]?.entry.at ?? '';
}

export function officerOf(state: State): string {
  return state.people.find(({ role }) => role === 'officer')?.name ?? '';
}
