/**
 * Key components: an AES key that nobody knows, though each of its XOR components is known to one custodian (split knowledge and dual
 * control, ISO 11568, PCI PIN). Which component may come when, what must be said of the key that is formed of them, and where the plan
 * goes on when they are gone.
 *
 * `ceremony.ts` asks here, one line for each case. The components themselves are in one device process (devices/components.ts) and
 * nowhere else; what is known here is their check values. There is no threshold: every component is needed.
 */
import type { ComponentCheck, Evidence, Intent, KeyAttributes, ObjectFact } from './evidence.ts';
import { checkDigits, checkValue, type CheckMethod } from './keys/check-value.ts';
import { refuse, type Refusal } from './refusal.ts';
import type { Plan, PlanStep } from './script.ts';

type Must = (holds: boolean, rule: string, expected: string, found: string) => Refusal | null;
type FormKey = Extract<PlanStep['do'], { action: 'form-key' }>;
type Enter = Extract<PlanStep['do'], { action: 'enter-component' | 'issue-component' }>;
export type ComponentKind = FormKey['kind'];
export type FormedUse = FormKey['use'];

const STOP = 'Stop here. Record an exception, and let officer and witness decide whether to repeat the step or to abort.';

export const MOST_COMPONENTS = 9;
export const COMPONENT_BYTES: Readonly<Record<ComponentKind, number>> = { 'aes-128': 16, 'aes-192': 24, 'aes-256': 32 };
export const METHOD_OF = { cmac: 'CMAC of zeros, 3 bytes (ANSI X9.24-1)', 'ecb-zero': 'ECB of zeros, 3 bytes' } as const satisfies Record<CheckMethod, ComponentCheck['method']>;

/** One use for one key: whoever may decrypt with what wraps keys has the keys. */
export const USES: Readonly<Record<FormedUse, readonly ['wrap' | 'encrypt' | 'sign', 'unwrap' | 'decrypt' | 'verify']>> = {
  wrap: ['wrap', 'unwrap'], encrypt: ['encrypt', 'decrypt'], mac: ['sign', 'verify'],
};

/** What the record knows of the components, and of the key. */
export interface Components {
  /** Drawn for this forming; null before the first component. */
  readonly set: string | null;
  /** True while the device process holds them. */
  readonly alive: boolean;
  /** By seat. */
  readonly entered: Readonly<Record<string, { readonly number: number; readonly check: ComponentCheck }>>;
  readonly formed: { readonly token: string; readonly label: string; readonly id: string; readonly kind: ComponentKind; readonly check: ComponentCheck } | null;
}
export const NO_COMPONENTS: Components = { set: null, alive: false, entered: {}, formed: null };

/** What these rules see of a ceremony. */
interface Seen {
  readonly components: Components;
  readonly plan: Plan | null;
}

function custodians(plan: Plan | null): string[] {
  return (plan?.seats ?? []).filter(({ role }) => role === 'custodian').map(({ id }) => id);
}

export function isEntry(step: PlanStep): boolean {
  return step.do.action === 'enter-component' || step.do.action === 'issue-component';
}

/** They were held by a process that has ended, and no key was formed of them. */
export function componentsGone({ set, alive, formed }: Components): boolean {
  return set !== null && !alive && formed === null;
}

// --- a component -----------------------------------------------------------------------------------------------------

export function componentIntentFault({ components: { set, alive, entered }, plan }: Seen, step: PlanStep, intent: Intent<'enter-component'>): Refusal | null {
  const number = custodians(plan).indexOf(step.who) + 1;
  if (intent.number !== number) return refuse('COMPONENT-SET', `component ${number} of ${step.who}`, `component ${intent.number}`, STOP);
  if (Object.hasOwn(entered, step.who)) return refuse('COMPONENT-SET', `one component of ${step.who}`, 'a second one', STOP);
  return alive && intent.set !== set ? refuse('COMPONENT-SET', `the set that was begun, ${set ?? ''}`, intent.set, STOP) : null;
}

export function componentEvidenceFault({ components: { entered } }: Seen, { kind, check: method }: Enter, intent: Intent<'enter-component'>, { number, check }: Evidence<'enter-component'>, must: Must): Refusal | null {
  const same = Object.entries(entered).find(([, one]) => one.check.value === check.value);
  return must(number === intent.number, 'COMPONENT-SET', `component ${intent.number}`, `component ${number}`)
    ?? must(check.method === METHOD_OF[method], 'AS-SCRIPTED', METHOD_OF[method], check.method)
    ?? must(check.value !== checkValue(method, new Uint8Array(COMPONENT_BYTES[kind])), 'COMPONENT-ZERO', 'a component that is not all zeros', 'the check value of all zeros')
    ?? must(same === undefined, 'COMPONENT-TWICE', 'a component of its own for every custodian', `the check value of the component of ${same?.[0] ?? ''}`);
}

// --- the key ---------------------------------------------------------------------------------------------------------

export function formIntentFault({ components: { set, alive, entered, formed }, plan }: Seen, what: FormKey, { set: wanted, label, kind, check }: Intent<'form-key'>): Refusal | null {
  if (formed !== null) return refuse('KEY-ONCE', `no second key ${what.key}`, 'one that exists', STOP);
  const missing = custodians(plan).filter((seat) => !Object.hasOwn(entered, seat));
  if (missing.length > 0) return refuse('COMPONENTS-COMPLETE', 'the component of every custodian', `none of ${missing.join(', ')}`, STOP);
  if (!alive || wanted !== set) return refuse('COMPONENT-SET', `the components that were entered, set ${set ?? ''}`, alive ? wanted : 'components that are gone', STOP);
  if (label !== what.label || kind !== what.kind || check.method !== METHOD_OF[what.check]) {
    return refuse('AS-SCRIPTED', `${what.kind} "${what.label}", ${METHOD_OF[what.check]}`, `${kind} "${label}", ${check.method}`, STOP);
  }
  return null;
}

/**
 * What a token must say of a key that came from outside: never LOCAL, ALWAYS_SENSITIVE or NEVER_EXTRACTABLE (PKCS#11 3.2 section 5.18.4);
 * and one use, no other. Returns what differs.
 */
export function formedDeviations(use: FormedUse, found: KeyAttributes): string[] {
  const wanted: Partial<KeyAttributes> = {
    class: 'secret-key', keyType: 'CKK_AES', token: true, private: true, sensitive: true, extractable: false, alwaysSensitive: false, neverExtractable: false, local: false,
    sign: false, verify: false, encrypt: false, decrypt: false, wrap: false, unwrap: false, derive: false,
  };
  for (const name of USES[use]) wanted[name] = true;
  const optional: readonly string[] = ['derive', 'alwaysSensitive', 'neverExtractable', 'local'];
  return Object.entries(wanted).flatMap(([name, value]) => {
    const actual = found[name as keyof KeyAttributes];
    return actual === value || (actual === null && optional.includes(name)) ? [] : [`${name} is ${String(actual)}, not ${String(value)}`];
  });
}

/** The check value of the whole key on the forms, where they have one; null where they have none. Its form is judged by the rehearsal. */
export function totalOnForms({ total }: Pick<FormKey, 'total'>): string | null {
  return total === undefined || total === NO_TOTAL ? null : checkDigits(total);
}
export const NO_TOTAL = 'none';

export function formFault({ components: { entered, alive } }: Seen, what: FormKey, intent: Intent<'form-key'>, e: Evidence<'form-key'>, must: Must): Refusal | null {
  const wrong = formedDeviations(what.use, e.secret);
  const forms = totalOnForms(what);
  const count = Object.keys(entered).length;
  return must(e.token === intent.token, 'TOKEN-BOUND', intent.token, e.token)
    ?? must(e.components === count, 'COMPONENTS-COMPLETE', `${count} components`, `${e.components}`)
    ?? must(e.secret.id === intent.id && e.secret.label === intent.label, 'KEY-BOUND', `${intent.label} with id ${intent.id}`, `${e.secret.label} with id ${e.secret.id}`)
    ?? must(wrong.length === 0, 'ATTRIBUTES-AS-SCRIPTED', 'what a token says of a key that was outside, with one use', wrong.join('; '))
    ?? must(checkWords(e.total) === checkWords(intent.check), 'KEY-CHECK-VALUE', checkWords(intent.check), checkWords(e.total))
    ?? must(forms === null || forms.slice(0, e.total.value.length) === e.total.value, 'KEY-CHECK-VALUE', `the check value on the forms, ${forms ?? ''}`, e.total.value)
    ?? must(e.by !== 'use' || e.tried.length > 0, 'KEY-CHECK-VALUE', 'a key that was compared with its components', 'one that was not')
    ?? must((e.wiped === 'overwritten') === alive, 'COMPONENTS-WIPED', alive ? 'components that are overwritten' : 'components that ended with their process', e.wiped);
}

/** May a key be kept whose forming has no outcome? Its components are gone: only where the token itself tells its check value can it be compared. */
export function formedMayBeKept({ use, check }: FormKey): boolean {
  return check === 'ecb-zero' || use !== 'wrap';
}

export function formedObject({ secret }: Evidence<'form-key'>): ObjectFact {
  return { class: secret.class, id: secret.id, label: secret.label, keyType: secret.keyType };
}

/** As people read it aloud and compare it. */
export function checkWords({ method, value }: ComponentCheck): string {
  return `${value.toUpperCase()} (${method})`;
}

// --- what an entry changes -------------------------------------------------------------------------------------------

export function withComponent(components: Components, seat: string, { set }: Intent<'enter-component'>, { number, check }: Evidence<'enter-component'>): Components {
  return { ...components, set, alive: true, entered: { ...components.entered, [seat]: { number, check } } };
}

export function withFormed(components: Components, { token, id, label, kind, check }: Intent<'form-key'>): Components {
  return { ...components, alive: false, formed: { token, id, label, kind, check } };
}
