/**
 * Changes to a token outside a ceremony: what may be ordered, what makes its proof acceptable, and how both are said.
 *
 * Administration is a ceremony of one officer with one step that repeats (`administer`): every change is an intent that is
 * durable before the token is touched, and evidence afterwards; both shapes are CHANGES of evidence.ts. What a change does on a
 * token is the device process's part. This file must never let a danger pass that the officer was not told of by its rule.
 */
import canonicalize from 'canonicalize';
import { fromBase64url, utf8 } from './bytes.ts';
import { CHANGES, ORDERED_ATTRIBUTES, STATEMENTS, type ChangeKind, type ChangeOrder, type ChangeResult, type Evidence, type Intent, type KeyAttributes, type KeyKind, type ModuleFacts, type ObjectReference, type OrderedAttributes } from './evidence.ts';
import { risksOf, type Judgeable, type Risk } from './keys/provenance.ts';
import { pem } from './keys/signed.ts';
import { KINDS } from './keys/template.ts';
import { refuse, type Refusal } from './refusal.ts';
import { drillFault, periodFault, stateFault, statementLines, statementText, type Statement } from './statements.ts';
import { plainText } from './text.ts';
import { initialisedFault } from './zeroise.ts';

type Administer = Intent<'administer'>;
type Change = Extract<Administer, { token: string }>;

/** Does it go to a token? A log-out and what is stated of a key do not. */
export function goesToToken(intent: Administer): intent is Change {
  return 'token' in intent;
}

const NOW = 'Correct the order; the token was not touched.';
const LOOK = 'List the objects of the token, and decide what is to become of what is there.';

/** Changes that make a key: under a CKA_ID never used before, by which it is found again after a crash. */
const CREATES = ['generate-key', 'import-key', 'copy-object', 'unwrap-key'] as const;
type Creates = (typeof CREATES)[number];
const creates = (change: ChangeKind): change is Creates => CREATES.some((one) => one === change);

/** The CKA_ID of what this change makes; null for one that makes no key. */
export function createdId(intent: Administer): string | null {
  return goesToToken(intent) && creates(intent.change) ? (intent.order as ChangeOrder<Creates>).id : null;
}

/** What an officer writes out before an object is destroyed. */
export function destroyPhrase({ label, id }: Pick<ObjectReference, 'label' | 'id'>): string {
  return `destroy ${label === '' ? id : label}`;
}

// --- the order -------------------------------------------------------------------------------------------------------

/** What an order that does not say so means: the safe value. Uses that it does not name are not given. */
export const UNSAID = { private: true, sensitive: true, extractable: false, modifiable: false, wrapWithTrusted: false } as const satisfies OrderedAttributes;

/** The key that an order asks for, as the rules for keys read it. */
function wished(kind: KeyKind, ordered: OrderedAttributes): Judgeable {
  const { keyType, pair } = KINDS[kind];
  const all: OrderedAttributes = { ...UNSAID, ...ordered };
  const said = (name: keyof OrderedAttributes): boolean | null => all[name] ?? null;
  return {
    class: pair ? 'private-key' : 'secret-key', keyType, id: '', label: '', token: true, private: said('private'), sensitive: said('sensitive'), extractable: said('extractable'),
    alwaysSensitive: null, neverExtractable: null, local: null, modifiable: said('modifiable'), sign: said('sign'), verify: said('verify'), encrypt: said('encrypt'),
    decrypt: said('decrypt'), wrap: said('wrap'), unwrap: said('unwrap'), derive: said('derive'), generatedBy: null, keysRemaining: null, wrapWithTrusted: said('wrapWithTrusted'),
  };
}

/** Of a template's attributes those that are ordered: it is always a token object, and TRUSTED is the SO's to give. */
export function orderable(attributes: Readonly<Record<string, boolean>>): OrderedAttributes {
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => ORDERED_ATTRIBUTES.some((one) => one === name)));
}

/** Why an order is dangerous; each danger has to be named in `despite`, or the order is refused under its rule. */
export function orderRisks(kind: KeyKind, ordered: OrderedAttributes): Risk[] {
  return risksOf(wished(kind, ordered));
}

/** What a key that is there becomes by these attributes. */
export function risksAfter(key: Judgeable, attributes: OrderedAttributes): Risk[] {
  return risksOf({ ...key, ...attributes });
}

/** The first danger that nobody answers for, as a refusal under its own rule. */
export function dangerFault(risks: readonly Risk[], despite: readonly string[] = []): Refusal | null {
  const danger = risks.find((risk) => risk.weight === 'danger' && !despite.includes(risk.rule));
  return danger ? refuse(danger.rule, 'attributes without a danger, or a danger that the officer answers for by name', danger.why, danger.next) : null;
}

/** May this change be ordered in this session? Null, or the rule that it breaks. Whether the object is there is the device's question. */
export function orderFault(intent: Administer, modules: readonly ModuleFacts[], mode: 'rehearsal' | 'real'): Refusal | null {
  if (intent.change === 'log-out') return null;
  if (!goesToToken(intent)) return statementFault(intent);
  const module = modules.find(({ name }) => name === intent.module);
  if (!module) return refuse('MODULE-KNOWN', 'a module that was there at the log-in', intent.module, 'Log out, and log in again when the module is there.');
  if (mode === 'real' && module.kind === 'software') return refuse('REAL-NEEDS-TOKEN', 'hardware behind PKCS#11', module.library, 'The software token is for rehearsals only.');
  const parsed = CHANGES[intent.change].order.safeParse(intent.order);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return refuse('ENTRY-DATA', `an order to ${intent.change}`, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`, NOW);
  }
  const order = parsed.data;
  for (const field of ['label', 'subject'] as const) {
    const value = field in order ? (order as Partial<Record<string, string | null>>)[field] : null;
    const fault = typeof value === 'string' ? plainText(field, value, 400) : null;
    if (fault) return fault;
  }
  return changeFault(intent, order);
}

function statementFault({ change, order }: Exclude<Administer, Change | { change: 'log-out' }>): Refusal | null {
  const parsed = STATEMENTS[change].order.safeParse(order);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return refuse('ENTRY-DATA', `a statement to ${change}`, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`, 'Correct it; nothing was signed.');
  }
  const statement = { change, order: parsed.data } as Statement;
  switch (statement.change) {
    case 'set-state': return stateFault(statement.order);
    case 'set-period': return periodFault(statement.order);
    case 'set-drill': return drillFault(statement.order);
  }
}

function changeFault({ change, token }: Change, order: ChangeOrder): Refusal | null {
  switch (change) {
    case 'init-token': {
      const { seen, label } = order as ChangeOrder<'init-token'>;
      if (seen.serial !== token) return refuse('TOKEN-BOUND', token, seen.serial, NOW);
      return new TextEncoder().encode(label).length <= 32 ? null : refuse('LABEL-LENGTH', 'at most 32 bytes (PKCS#11 3.2, 5.5.7)', label, 'Choose a shorter label.');
    }
    case 'destroy-object': {
      const { object, typed } = order as ChangeOrder<'destroy-object'>;
      const phrase = destroyPhrase(object);
      return typed === phrase ? null : refuse('DESTROY-TYPED', `the words: ${phrase}`, typed === '' ? 'nothing' : 'other words', 'Write the words exactly as they stand on the screen. Nothing was destroyed.');
    }
    case 'generate-key': case 'import-key': case 'unwrap-key': {
      const { kind, attributes, despite } = order as ChangeOrder<'generate-key'>;
      return dangerFault(orderRisks(kind, attributes), despite);
    }
    case 'wrap-key': {
      const { method, under, recipient, key } = order as ChangeOrder<'wrap-key'>;
      if ((method === 'hybrid') !== (recipient !== null) || (under === null) === (recipient === null)) return refuse('WRAP-UNDER', 'a key on the token, or for hybrid a recipient\'s public key', 'both or none', NOW);
      return /^CKK_(HSS|XMSS)/.test(key.keyType) ? refuse('STATEFUL-NEVER-COPIED', 'a key that may exist twice', `a stateful one (${key.keyType})`, 'It is never backed up, shared, cloned or exported (SP 800-208 section 8.1).') : null;
    }
    case 'copy-object': {
      const { object } = order as ChangeOrder<'copy-object'>;
      return /^CKK_(HSS|XMSS)/.test(object.keyType) ? refuse('STATEFUL-NEVER-COPIED', 'a key that may exist twice', `a stateful one (${object.keyType})`, 'It is never backed up, shared, cloned or exported (SP 800-208 section 8.1).') : null;
    }
    case 'set-user-pin': case 'change-pin': case 'import-certificate': case 'edit-object': case 'sign-request': case 'self-sign': return null;
  }
}

// --- the result ------------------------------------------------------------------------------------------------------

/** Does this evidence prove that the change was made as ordered? Null, or the rule that it breaks. `kept`: the officer has decided on what was found after an attempt without an outcome. */
export function resultFault(intent: Administer, result: Record<string, unknown>, kept = false): Refusal | null {
  if (!goesToToken(intent)) return Object.keys(result).length === 0 ? null : refuse('EVIDENCE-MATCHES-ACTION', `nothing for ${intent.change}`, 'something', LOOK);
  const parsed = CHANGES[intent.change].result.safeParse(result);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return refuse('EVIDENCE-MATCHES-ACTION', `the result of ${intent.change}`, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`, LOOK);
  }
  const { change, token } = intent;
  const must = (holds: boolean, rule: string, expected: string, found: string) => (holds ? null : refuse(rule, expected, found, LOOK));
  switch (change) {
    case 'init-token': {
      const { before, after } = parsed.data as ChangeResult<'init-token'>;
      const { seen, label } = intent.order as ChangeOrder<'init-token'>;
      return must(canonicalize(before) === canonicalize(seen), 'TOKEN-MOVED', `${seen.label}, ${seen.serial}, as it was ordered`, `${before.label}, ${before.serial}`)
        ?? initialisedFault(label, after, kept);
    }
    case 'set-user-pin': case 'change-pin': {
      const { before, after } = parsed.data as ChangeResult<'change-pin'>;
      return must(before.serial === token && after.serial === token, 'TOKEN-BOUND', token, after.serial)
        ?? must(change === 'change-pin' || after.flags.includes('CKF_USER_PIN_INITIALIZED'), 'PIN-SET', 'a token whose user PIN is set', 'one without');
    }
    case 'generate-key': {
      const { kind, attributes, id, label, despite } = intent.order as ChangeOrder<'generate-key'>;
      return keyFault(parsed.data as ChangeResult<'generate-key'>, kind, id, label, attributes, despite, true);
    }
    case 'import-key': {
      const { kind, attributes, id, label, despite } = intent.order as ChangeOrder<'import-key'>;
      return keyFault(parsed.data as ChangeResult<'import-key'>, kind, id, label, attributes, despite, false);
    }
    case 'unwrap-key': {
      const { kind, attributes, id, label, file, despite } = intent.order as ChangeOrder<'unwrap-key'>;
      const read = parsed.data as ChangeResult<'unwrap-key'>;
      return keyFault(read, kind, id, label, attributes, despite, false) ?? must(sameCheck(read.check, file.key.check), 'KEY-BOUND', `the key that was wrapped: ${checkText(file.key.check)}`, checkText(read.check));
    }
    case 'copy-object': {
      const { object, attributes, id, label, despite } = intent.order as ChangeOrder<'copy-object'>;
      const read = parsed.data as ChangeResult<'copy-object'>;
      return must(sameCheck(read.check, object.check), 'KEY-BOUND', `a copy of ${checkText(object.check)}`, checkText(read.check)) ?? asOrdered(read, id, label, attributes, despite);
    }
    case 'import-certificate': {
      const { id, label } = intent.order as ChangeOrder<'import-certificate'>;
      const { object } = parsed.data as ChangeResult<'import-certificate'>;
      return must(object.class === 'certificate' && object.id === id && object.label === label, 'ATTRIBUTES-AS-ORDERED', `certificate ${label} with id ${id}`, `${object.class} ${object.label} with id ${object.id}`);
    }
    case 'edit-object': {
      const { object, label, id } = intent.order as ChangeOrder<'edit-object'>;
      const { after } = parsed.data as ChangeResult<'edit-object'>;
      return must(after.class === object.class && after.label === (label ?? object.label) && after.id === (id ?? object.id), 'ATTRIBUTES-AS-ORDERED', `${label ?? object.label} with id ${id ?? object.id}`, `${after.label} with id ${after.id}`);
    }
    case 'destroy-object': {
      const { object, before, after } = parsed.data as ChangeResult<'destroy-object'>;
      const ordered = (intent.order as ChangeOrder<'destroy-object'>).object;
      return must(object.class === ordered.class && object.id === ordered.id && object.label === ordered.label, 'KEY-BOUND', ordered.label, object.label)
        ?? must(before >= 1 && after === before - 1, 'NOT-DESTROYED', `${before - 1} left, seen from a fresh session`, `${after}`);
    }
    case 'wrap-key': {
      const { key, method, under } = intent.order as ChangeOrder<'wrap-key'>;
      const { file, rehearsed, why } = parsed.data as ChangeResult<'wrap-key'>;
      return must(sameCheck(file.key.check, key.check) && file.method === method && (under === null || sameCheck(file.under.check, under.check)), 'KEY-BOUND', `${key.label} under ${under?.label ?? 'the recipient\'s key'} by ${method}`, `${file.key.label} by ${file.method}`)
        ?? must((rehearsed === null) !== (why === null), 'WRAP-REHEARSED', 'unwrapped again and compared, or a reason why not', 'neither');
    }
    case 'sign-request': case 'self-sign': return null; // verify.ts judges what was signed
  }
}

type Read = ChangeResult<'unwrap-key'>;

function keyFault(read: Read, kind: KeyKind, id: string, label: string, attributes: OrderedAttributes, despite: readonly string[] | undefined, made: boolean): Refusal | null {
  const { keyType, pair } = KINDS[kind];
  const own = pair ? read.private : read.secret;
  const shape = !pair ? read.private === null && read.public === null : read.public !== null && read.secret === null && read.spki !== null;
  if (!own || !shape || own.keyType !== keyType) return refuse('KEY-PARTS', `a ${pair ? 'key pair' : 'secret key'} of type ${keyType}`, own?.keyType ?? 'not that', LOOK);
  // A token that does not tell CKA_LOCAL is said to; one that denies having made the key is believed.
  if (made ? own.local === false : own.local === true) return refuse('ATTRIBUTES-AS-ORDERED', made ? 'a key made on this token' : 'a key that was brought in', `CKA_LOCAL ${String(own.local)}`, LOOK);
  return asOrdered(read, id, label, attributes, despite);
}

/**
 * Everything that was ordered against what the token says; what it does not answer is no deviation, and is said to be unanswered. What it
 * gave beyond the order is judged as the order was: nobody has a danger that nobody was told of.
 */
function asOrdered(read: Read, id: string, label: string, attributes: OrderedAttributes, despite: readonly string[] | undefined): Refusal | null {
  const halves = [read.private, read.public, read.secret].filter((half) => half !== null);
  const own = read.private ?? read.secret ?? read.public;
  const wrong: string[] = [];
  for (const half of halves) if (half.id !== id || half.label !== label) wrong.push(`${half.class} ${half.label} with id ${half.id}`);
  for (const [name, wanted] of Object.entries(attributes) as [keyof OrderedAttributes, boolean][]) {
    const found = name in read.more ? read.more[name as keyof typeof read.more] : own?.[name as keyof KeyAttributes] as boolean | null;
    if (found !== null && found !== wanted) wrong.push(`${name} is ${String(found)}, not ${String(wanted)}`);
  }
  if (wrong.length > 0) return refuse('ATTRIBUTES-AS-ORDERED', `${label} with id ${id}, and the attributes that were ordered`, wrong.join('; '), LOOK);
  return own === null ? null : dangerFault(risksOf({ ...own, wrapWithTrusted: read.more.wrapWithTrusted }), despite);
}

type Check = ObjectReference['check'];

/** Two methods say nothing of each other; nor do two keys that no value is known of. */
function sameCheck(one: Check, other: Check): boolean {
  return one.method !== other.method ? one.method === 'none' || other.method === 'none' : one.value === other.value;
}

export function checkText({ method, value }: Check): string {
  return method === 'none' ? 'no check value' : `${method} ${value}`;
}

// --- what verify.ts computes again ------------------------------------------------------------------------------------

/** SubjectPublicKeyInfo that a change's result names, base64url; null where there is none. */
export function spkiOf(intent: Administer, result: Record<string, unknown>): string | null {
  return goesToToken(intent) && creates(intent.change) ? (result as ChangeResult<Creates>).spki : null;
}

/** What a key of the token signed, and SHA-256 of the SubjectPublicKeyInfo that must verify it. */
export function signedBy(intent: Administer, result: Record<string, unknown>): { readonly kind: 'request' | 'certificate'; readonly der: string; readonly fingerprint: string } | null {
  if (intent.change === 'sign-request') return { kind: 'request', der: (result as ChangeResult<'sign-request'>).request, fingerprint: (intent.order as ChangeOrder<'sign-request'>).key.check.value };
  if (intent.change === 'self-sign') return { kind: 'certificate', der: (result as ChangeResult<'self-sign'>).certificate, fingerprint: (intent.order as ChangeOrder<'self-sign'>).key.check.value };
  return null;
}

// --- files -----------------------------------------------------------------------------------------------------------

/** What a change gives to be kept outside the token; null for one that gives nothing. */
export function fileOf(intent: Administer, result: Evidence<'administer'>['result']): { readonly name: string; readonly suffix: string; readonly bytes: Uint8Array } | null {
  switch (intent.change) {
    case 'wrap-key': return { name: 'wrapped-key', suffix: 'json', bytes: utf8(`${JSON.stringify((result as ChangeResult<'wrap-key'>).file, null, 2)}\n`) };
    case 'sign-request': return { name: 'request', suffix: 'csr', bytes: utf8(pem('CERTIFICATE REQUEST', fromBase64url((result as ChangeResult<'sign-request'>).request))) };
    case 'self-sign': return { name: 'certificate', suffix: 'crt', bytes: utf8(pem('CERTIFICATE', fromBase64url((result as ChangeResult<'self-sign'>).certificate))) };
    case 'log-out': case 'init-token': case 'set-user-pin': case 'change-pin': case 'generate-key': case 'import-key': case 'import-certificate': case 'copy-object': case 'edit-object':
    case 'destroy-object': case 'unwrap-key': return null;
    case 'set-state': case 'set-period': case 'set-drill': return null;
  }
}

// --- words -----------------------------------------------------------------------------------------------------------

/** What an order asks for, in one line: `generate key "Payments 2027" (aes-256) on token 0417`. */
export function orderText(intent: Administer): string {
  if (intent.change === 'log-out') return 'log out';
  if (!goesToToken(intent)) return statementText(intent as unknown as Statement);
  const { change, token } = intent;
  const on = `on token ${token}`;
  switch (change) {
    case 'init-token': return `initialise token ${token} as "${(intent.order as ChangeOrder<'init-token'>).label}": everything on it is destroyed`;
    case 'set-user-pin': return `set the user PIN, as the security officer, ${on}`;
    case 'change-pin': return `change the ${(intent.order as ChangeOrder<'change-pin'>).whose === 'so' ? 'SO PIN' : 'user PIN'} ${on}`;
    case 'generate-key': { const order = intent.order as ChangeOrder<'generate-key'>; return `generate key "${order.label}" (${order.kind}) ${on}`; }
    case 'import-key': { const order = intent.order as ChangeOrder<'import-key'>; return `import key "${order.label}" (${order.kind}) from ${order.file} ${on}`; }
    case 'unwrap-key': { const order = intent.order as ChangeOrder<'unwrap-key'>; return `unwrap key "${order.label}" (${order.kind}) under "${order.under.label}" ${on}`; }
    case 'import-certificate': return `store certificate "${(intent.order as ChangeOrder<'import-certificate'>).label}" ${on}`;
    case 'copy-object': { const order = intent.order as ChangeOrder<'copy-object'>; return `copy ${objectText(order.object)} as "${order.label}" ${on}`; }
    case 'edit-object': return `change attributes of ${objectText((intent.order as ChangeOrder<'edit-object'>).object)} ${on}`;
    case 'destroy-object': return `destroy ${objectText((intent.order as ChangeOrder<'destroy-object'>).object)} ${on}`;
    case 'wrap-key': { const order = intent.order as ChangeOrder<'wrap-key'>; return `wrap ${objectText(order.key)} under ${order.under ? `"${order.under.label}"` : 'a recipient\'s public key'} by ${order.method} ${on}`; }
    case 'sign-request': { const order = intent.order as ChangeOrder<'sign-request'>; return `sign a certificate request of ${objectText(order.key)} for ${order.subject} ${on}`; }
    case 'self-sign': { const order = intent.order as ChangeOrder<'self-sign'>; return `sign a certificate of ${objectText(order.key)} for ${order.subject} with itself ${on}`; }
  }
}

function objectText(object: ObjectReference): string {
  return `${object.class} "${object.label === '' ? object.id : object.label}"`;
}

/** One line of what is known after a change, and what it is worth. */
export interface ResultLine {
  readonly text: string;
  readonly mark: 'verified' | 'reported' | null;
}

/** What came of a change, line by line. */
export function resultLines(intent: Administer, result: Evidence<'administer'>['result']): ResultLine[] {
  const verified = (text: string): ResultLine => ({ text, mark: 'verified' });
  const reported = (text: string): ResultLine => ({ text, mark: 'reported' });
  if (intent.change === 'log-out') return [];
  if (!goesToToken(intent)) return statementLines(intent as unknown as Statement).map((text) => ({ text, mark: null }));
  const despite = (intent.order as { despite?: readonly string[] }).despite ?? [];
  const taken = despite.length > 0 ? [{ text: `despite ${despite.join(', ')}, which the officer answers for`, mark: null }] : [];
  switch (intent.change) {
    case 'init-token': {
      const { before, after, objects } = result as ChangeResult<'init-token'>;
      return [reported(`before: "${before.label}", serial ${before.serial}`), reported(`after: "${after.label}", serial ${after.serial}, ${objects} objects`)];
    }
    case 'set-user-pin': case 'change-pin': return [reported('the token accepted the new PIN')];
    case 'generate-key': case 'import-key': case 'unwrap-key': case 'copy-object': {
      const read = result as Read;
      return [
        ...taken, { text: checkText(read.check), mark: read.check.method === 'CKA_CHECK_VALUE' ? 'reported' : read.check.method === 'none' ? null : 'verified' },
        reported('attributes read back from a fresh session, as ordered'),
        ...read.tried.map(({ name, detail }) => verified(`${name}: ${detail}`)),
        ...read.weakTests.length > 0 ? [verified(`${read.weakTests.length} weak-key tests passed`)] : [],
      ];
    }
    case 'import-certificate': {
      const { sha256, key } = result as ChangeResult<'import-certificate'>;
      return [verified(`SHA-256 ${sha256}, read back`), key === 'fits' ? verified('the key of this id has the same public key') : { text: 'no key of this id is on the token', mark: null }];
    }
    case 'edit-object': return (result as ChangeResult<'edit-object'>).changed.map(({ attribute, from, to }) => reported(`${attribute}: ${from ?? 'not told'} → ${to}`));
    case 'destroy-object': {
      const { after } = result as ChangeResult<'destroy-object'>;
      return [reported(after === 0 ? 'not found from a fresh session' : `${after} other objects of the same name are left`), { text: 'that no copy exists elsewhere is not proven by this', mark: null }];
    }
    case 'wrap-key': {
      const { file, rehearsed, why } = result as ChangeResult<'wrap-key'>;
      return [reported(`${file.mechanism}, ${checkText(file.key.check)}, under ${checkText(file.under.check)}`), rehearsed ? verified(`rehearsed: ${rehearsed.compared}; the copy was destroyed`) : { text: `not rehearsed: ${why ?? ''}`, mark: null }];
    }
    case 'sign-request': case 'self-sign': return [verified('the signature verifies under the key')];
  }
}
