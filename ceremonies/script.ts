/**
 * A ceremony's script: strict YAML in, a Script out, and from Script + parameters a Plan: the flat list of steps that
 * will be carried out, in order. The file that was reviewed is the file that runs; nothing in here knows a PIN, a slot,
 * a module path or a person's name (those are bindings, made at the opening).
 *
 * Everything wrong with a script is named: a fault carries the rule, the line, and what to do. Whether the steps make
 * sense one after the other in a room is decided by rehearse.ts.
 */
import { visit } from 'yaml';
import * as z from 'zod';
import { sha512 } from '@noble/hashes/sha2.js';
import { toBase64url } from './bytes.ts';
import { InputKind, Placement, type ThingKind } from './evidence.ts';
import { CA_ALGORITHMS } from './keys/algorithms.ts';
import { CHECK_METHODS } from './keys/check-value.ts';
import { readPlainYaml, shapeFaults, type YamlFault } from './plain-yaml.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';
import { plainText } from './text.ts';
import { fingerprintWords } from './words.ts';

export const ROLES = ['officer', 'custodian', 'witness', 'auditor'] as const;
export type Role = (typeof ROLES)[number];

/** Places a thing can be. `holder`: in the hands of the person it belongs to. */
const PLACES = ['safe', 'table', 'holder', 'reader', 'bag'] as const;
export type Place = (typeof PLACES)[number];

const name = z.string().regex(/^[a-z][a-z0-9-]{0,39}$/, 'a short lower-case name such as root-hsm');
const sentence = z.string().min(1).max(300);
const parameter = z.string().regex(/^\$[a-z][a-z0-9-]*$/, 'a parameter such as $shares');

/** A value that a script may leave to a parameter. After substitution the same schema is applied with `open` false. */
function shapes<Open extends boolean>(open: Open) {
  const or = <T extends z.ZodType>(schema: T): Open extends true ? z.ZodUnion<[T, typeof parameter]> : T =>
    (open ? z.union([schema, parameter]) : schema) as Open extends true ? z.ZodUnion<[T, typeof parameter]> : T;
  const whole = (min: number, max: number) => or(z.int().min(min).max(max));
  const algorithm = or(z.enum(CA_ALGORITHMS));
  const component = z.strictObject({ on: name, kind: or(z.enum(['aes-128', 'aes-192', 'aes-256'])), check: or(z.enum(CHECK_METHODS)) });

  const action = z.strictObject({
    'confirm-script': z.strictObject({}).optional(),
    enrol: z.strictObject({}).optional(),
    'inspect-token': z.strictObject({
      on: name, algorithm: algorithm.optional(), place: or(Placement.optional()), needs: z.array(z.enum(['generate', 'sign', 'wrap', 'recover'])).max(4),
      /** `false`: only what the token tells everybody, as nobody in the room is to log in to it now. */
      login: z.literal(false).optional(),
    }).refine((value) => value.login !== false || value.needs.length === 0, 'a login for what is tried').refine((value) => value.needs.length === 0 || value.algorithm !== undefined, 'an algorithm for what is needed').optional(),
    'test-random': z.strictObject({ on: name, bytes: whole(2048, 16_777_216) }).optional(),
    'take-inventory': z.strictObject({ on: name }).optional(),
    'generate-key': z.strictObject({
      on: name,
      key: name,
      algorithm,
      /** Where its parts live; default: all on the token. */
      place: or(Placement.optional()),
      label: or(z.string().min(1).max(32)),
      attributes: z.strictObject({
        token: z.boolean(), private: z.boolean(), sensitive: z.boolean(),
        extractable: z.enum(['never', 'until-locked']),
        sign: z.boolean(), decrypt: z.boolean(), derive: z.boolean(), unwrap: z.boolean(),
      }),
    }).optional(),
    'prove-key': z.strictObject({ key: name }).optional(),
    /** A key that was made before, found again by its record. */
    'open-key': z.strictObject({ on: name, key: name, from: name }).optional(),
    /** A person compares what a file says with what is expected, and its fingerprint with the paper. */
    'confirm-input': z.strictObject({ input: name }).optional(),
    /** With a subject: the key's own certificate. `for` an input: that request's (of kind `stated-request`: an end entity's), or a cross-certificate for that CA. */
    'issue-certificate': z.strictObject({
      key: name,
      for: name.optional(),
      'path-length': or(z.int().min(0).max(10).optional()),
      subject: z.strictObject({
        'common-name': or(z.string().min(1).max(64)),
        organization: or(z.string().min(1).max(64)).optional(),
        country: or(z.string().regex(/^[A-Z]{2}$/, 'two capital letters')).optional(),
      }).optional(),
      years: whole(1, 40),
    }).refine((value) => (value.subject === undefined) !== (value.for === undefined), 'either a subject or for').optional(),
    'sign-crl': z.strictObject({ key: name, revocations: name, previous: name.optional(), days: whole(1, 400) }).optional(),
    'make-backup-key': z.strictObject({ on: name }).optional(),
    'wrap-key': z.strictObject({ key: name }).optional(),
    /** `card`: which of the custodian's cards; default: share-card. */
    'give-share': z.strictObject({ card: name.optional() }).optional(),
    'read-back-share': z.strictObject({ card: name.optional() }).optional(),
    /** Of the ceremony's own key; or, `from` a backup that was brought, as session objects on that token. */
    'prove-recovery': z.strictObject({ key: name.optional(), on: name.optional(), from: name.optional() })
      .refine(({ key, on, from }) => (key === undefined) === (on !== undefined) && (on === undefined) === (from === undefined), 'either key, or on and from').optional(),
    /** A key out of its backup, onto a token where it is not. */
    'restore-key': z.strictObject({ on: name, key: name, from: name }).optional(),
    /** The key of this ceremony beside the same key `on` another token, as the key record `from` says. */
    'compare-keys': z.strictObject({ on: name, key: name, from: name }).optional(),
    /** The backup key of a backup that was brought, sealed to an escrow agent; tried before on that token. */
    'seal-escrow': z.strictObject({
      on: name, from: name, for: name, agent: or(z.string().min(1).max(80)),
      purpose: or(z.string().min(1).max(200)), authority: or(z.string().min(1).max(200)), conditions: or(z.string().min(1).max(200)),
    }).optional(),
    /** A key out of its backup, onto a token where it is not, with the backup key that its escrow agent holds. */
    'release-escrow': z.strictObject({ on: name, key: name, from: name, escrow: name, envelope: name }).optional(),
    /** The backup key out of its old shares, split anew as `set` says. */
    'renew-shares': z.strictObject({ on: name, from: name }).optional(),
    /** An old share erased on its card, once the new set is proven. */
    'retire-share': z.strictObject({ card: name.optional() }).optional(),
    /** The share on the custodian's card once more, sealed to the custodian's own key, the one with the seat's number in the file `to`. */
    'seal-copy': z.strictObject({ from: name, to: name }).optional(),
    /** The envelope is opened by its holder: then it is a copy. */
    'open-copy': z.strictObject({}).optional(),
    /** The share on the custodian's card once more, on paper: shown to its holder alone, written down, and typed again from there. */
    'write-copy': z.strictObject({ from: name }).optional(),
    /** The share out of a copy, onto a new card: out of an envelope, or typed from paper. `share`: its number in the set. */
    'return-share': z.strictObject({ from: name, envelope: name.optional(), share: whole(1, 255), card: name.optional() }).optional(),
    'lock-key': z.strictObject({ key: name }).optional(),
    /** A component of a key, typed by its holder with the check value on the form; one for every custodian. */
    'enter-component': component.optional(),
    /** A component that is drawn, shown to its holder alone, written down, and typed again from there. */
    'issue-component': component.optional(),
    /** The key of all the components. `use`: one, and no other. `total`: the check value of the whole key on the forms, or none. */
    'form-key': component.extend({ key: name, label: or(z.string().min(1).max(32)), use: or(z.enum(['wrap', 'encrypt', 'mac'])), total: or(z.string().min(1).max(20)).optional() }).optional(),
    /** Drawn, split, and held until it is wiped; the PIN of the token's user, or of its security officer, will follow from it. */
    'make-activation-key': z.strictObject({ on: name, pin: or(z.enum(['user', 'so']).optional()) }).optional(),
    'wipe-activation-key': z.strictObject({}).optional(),
    /** The quorum's shares give the new PIN. `from`: the set that gives the old one, where it is brought; else somebody types that. */
    'set-activation-pin': z.strictObject({ on: name, from: name.optional() }).optional(),
    /** The quorum opens the token, for what `for` says, until `deactivate`. */
    activate: z.strictObject({ on: name, from: name, for: or(z.string().min(1).max(200)) }).optional(),
    deactivate: z.strictObject({ on: name }).optional(),
    /** The quorum is the token's security officer for as long as it takes to set the user PIN that its holder types. */
    'reset-user-pin': z.strictObject({ on: name, from: name }).optional(),
    'wipe-backup-key': z.strictObject({}).optional(),
    /** Every copy on the list is looked for: what is there, and what cannot be reached. */
    'locate-copies': z.strictObject({ copies: name }).optional(),
    /** A signature over what is approved, this record and a date, after which it counts no more: that copies are destroyed, or, for a reason, that an escrow is released. */
    approve: z.strictObject({ copies: name.optional(), escrow: name.optional(), reason: or(z.string().min(1).max(200)).optional(), days: whole(1, 366) })
      .refine(({ copies, escrow, reason }) => (copies === undefined) === (escrow !== undefined) && (escrow === undefined) === (reason === undefined), 'either copies, or an escrow and a reason').optional(),
    /** Nothing happens for so long after the last approval. A rehearsal waits a few seconds, and says so. */
    wait: z.strictObject({ hours: whole(1, 2160) }).optional(),
    /** One copy after another, until each has an outcome. */
    'destroy-copies': z.strictObject({ copies: name }).optional(),
    /** Every copy is looked for again, from fresh processes. */
    'confirm-gone': z.strictObject({ copies: name }).optional(),
    /** The state of a key whose record was brought (SP 800-57 Part 1 section 7). `since`: of a compromise, a day, a time, or `always`. */
    'set-state': z.strictObject({ key: name, to: z.enum(['active', 'suspended', 'deactivated', 'compromised']), reason: or(z.string().min(1).max(500)), since: or(z.string().min(1).max(32)).optional() }).optional(),
    /** C_InitToken: everything on the token is destroyed. */
    'zeroise-token': z.strictObject({ on: name }).optional(),
    'put-away': z.strictObject({}).optional(),
    /** Things change hands, one by one, as a list of movements says: one step for each of them, once the list is there. */
    'hand-over': z.strictObject({ list: name }).optional(),
    /** Changes to tokens, one after another, until the officer logs out: what administration is made of. */
    administer: z.strictObject({}).optional(),
  }).refine((value) => Object.keys(value).length === 1, 'exactly one action');

  const step = z.strictObject({
    id: name,
    who: z.enum(ROLES).optional(),
    /** One step for everybody in the room, or for every custodian. */
    'for-each': z.enum(['person', 'custodian']).optional(),
    title: sentence,
    say: sentence.optional(),
    see: sentence.optional(),
    moves: z.array(z.strictObject({ what: name, from: z.enum(PLACES), to: z.enum(PLACES) })).max(8).optional(),
    do: action,
    'witnessed-by': z.partialRecord(z.enum(ROLES), whole(1, 255)).optional(),
  }).refine((value) => (value.who === undefined) !== (value['for-each'] === undefined), 'either who or for-each');

  return z.strictObject({
    conclave: z.literal(1),
    name,
    title: sentence,
    version: z.int().min(1),
    purpose: z.string().min(1).max(2000),
    parameters: z.record(name, z.union([
      z.strictObject({ ask: sentence, 'one-of': z.array(z.string().max(64)).min(1).max(40), default: z.string() }),
      z.strictObject({ ask: sentence, text: z.int().min(1).max(200), default: z.string() }),
      z.strictObject({ ask: sentence, whole: z.tuple([z.int(), z.int()]), default: z.int() }),
    ])).default({}),
    /** Files that people bring; what they are is checked before anything else, and they become part of the record. */
    inputs: z.record(name, z.strictObject({ ask: sentence, kind: InputKind, optional: z.boolean().optional() })).default({}),
    people: z.strictObject({ officer: z.literal(1), custodian: whole(0, 255), witness: whole(0, 8), auditor: whole(0, 8) }),
    set: z.strictObject({ shares: whole(2, 255), threshold: whole(2, 255) }).optional(),
    room: z.strictObject({
      tokens: z.record(name, z.enum(PLACES)),
      /** `optional`: a seat may have none; its steps with that card are left out at the opening. */
      cards: z.record(name, z.strictObject({ for: z.enum(['person', 'custodian']), at: z.enum(PLACES), optional: z.boolean().optional() })),
      /** The serial number of every bag is written down, when it is opened and when it is closed. */
      bags: z.literal('numbered').optional(),
    }),
    acts: z.array(z.strictObject({ act: sentence, minutes: z.int().min(1).max(480), steps: z.array(step).min(1).max(80) })).min(1).max(40),
  });
}

const ScriptShape = shapes(true);
const ResolvedShape = shapes(false);
type ResolvedScript = z.infer<typeof ResolvedShape>;
type ScriptBody = z.infer<typeof ScriptShape>;

/** The script grammar as JSON Schema (draft 2020-12), for editors. */
export function scriptJsonSchema(): unknown {
  return z.toJSONSchema(ScriptShape, { io: 'input', unrepresentable: 'any' });
}

/** Something wrong with a script, and where. */
export type Fault = YamlFault;

export type ParameterValue = string | number;
export type Parameters = Readonly<Record<string, ParameterValue>>;

export interface Script {
  /** The exact text that was reviewed; its UTF-8 bytes are what is hashed. */
  readonly text: string;
  readonly name: string;
  readonly title: string;
  readonly purpose: string;
  readonly version: number;
  readonly hash: string;
  readonly words: readonly string[];
  readonly parameters: ScriptBody['parameters'];
  readonly defaults: Parameters;
  readonly body: ScriptBody;
  /** Line of each step by its id, for faults found later. */
  readonly lines: Readonly<Record<string, number>>;
}

/** SHA-512 over the script's UTF-8 bytes, base64url: the `prev` of entry 0. */
export function scriptHash(text: string): string {
  return toBase64url(sha512(new TextEncoder().encode(text)));
}

/** The words people compare: they cover the whole script file. */
export function scriptWords(text: string): string[] {
  return fingerprintWords(sha512(new TextEncoder().encode(text)), 12);
}

/** A script of about a page has two thousand tokens. What comes later takes time and memory for each of them. */
const YAML_RULES = { what: 'script', yaml: 'SCRIPT-YAML', size: 'SCRIPT-SIZE', characters: 200_000, tokens: 30_000, tooLong: 'A script is about a page. Check that this is one.' } as const;

/** Reads a script. Returns every fault found, not only the first. Never throws on hostile input. */
export function readScript(text: string): { script: Script; faults: [] } | { script: null; faults: Fault[] } {
  const yaml = readPlainYaml(text, YAML_RULES);
  if (yaml.faults !== null) return { script: null, faults: yaml.faults };
  const { document, lineOf } = yaml;
  const faults: Fault[] = [];
  const fault = (rule: string, line: number, expected: string, found: string, next: string) =>
    faults.push({ ...refuse(rule, expected, found, next), line });

  const parsed = ScriptShape.safeParse(yaml.value);
  if (!parsed.success) return { script: null, faults: shapeFaults(parsed.error, lineOf, { rule: 'SCRIPT-SHAPE', what: 'script', next: 'Correct this line; see the JSON Schema.' }) };
  const body = parsed.data;

  // --- named lints that need no parameters -------------------------------------------------------------------------
  const lines = new Map<string, number>();
  body.acts.forEach((act, a) => act.steps.forEach((step, s) => {
    const line = lineOf(['acts', a, 'steps', s]);
    if (lines.has(step.id)) fault('SCRIPT-IDS-UNIQUE', line, 'every step id once', `${step.id} again`, 'Rename one of the two steps.');
    lines.set(step.id, line);
    if (step['witnessed-by']?.officer !== undefined) {
      fault('OFFICER-NOT-WITNESS', line, 'witnesses other than the officer', 'the officer as a witness', 'Name another role under witnessed-by.');
    }
    if (step.do['generate-key'] && !step.do['generate-key'].attributes.sensitive) {
      fault('ATTRIBUTES-SAFE', line, 'sensitive: true', 'sensitive: false', 'A ceremony never makes a private key that can be read in the clear.');
    }
  }));
  const used = new Set<string>();
  visit(document, { Scalar: (_key, node) => { if (typeof node.value === 'string' && parameter.safeParse(node.value).success) used.add(node.value.slice(1)); } });
  for (const reference of used) {
    if (!Object.hasOwn(body.parameters, reference)) {
      fault('SCRIPT-PARAMETER-UNKNOWN', 0, 'a parameter that is declared', `$${reference}`, 'Declare it under parameters, or correct its name.');
    }
  }
  for (const [declared, spec] of Object.entries(body.parameters)) {
    const line = lineOf(['parameters', declared]);
    if (!used.has(declared)) fault('SCRIPT-PARAMETER-UNUSED', line, 'every parameter used', `$${declared} is not used`, 'Remove it: a reviewer would think it matters.');
    const refusal = checkParameter(declared, spec, spec.default);
    if (refusal) faults.push({ ...refusal, line });
  }
  if (faults.length > 0) return { script: null, faults };

  return {
    script: {
      text, name: body.name, title: body.title, purpose: body.purpose.trim(), version: body.version,
      hash: scriptHash(text), words: scriptWords(text),
      parameters: body.parameters,
      defaults: Object.fromEntries(Object.entries(body.parameters).map(([key, spec]) => [key, spec.default])),
      body, lines: Object.fromEntries(lines),
    },
    faults: [],
  };
}

type Spec = ScriptBody['parameters'][string];

/** Is this value acceptable for this parameter? */
export function checkParameter(key: string, spec: Spec, value: ParameterValue | undefined): Refusal | null {
  if ('one-of' in spec) {
    return typeof value === 'string' && spec['one-of'].includes(value) ? null
      : refuse('PARAMETER-VALUE', `${key}: one of ${spec['one-of'].join(', ')}`, String(value), 'Choose one of the values offered.');
  }
  if ('whole' in spec) {
    const [min, max] = spec.whole;
    return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max ? null
      : refuse('PARAMETER-VALUE', `${key}: a whole number from ${min} to ${max}`, String(value), 'Correct the number.');
  }
  if (typeof value !== 'string' || value.trim() === '') return refuse('PARAMETER-VALUE', `${key}: some text`, 'nothing', 'Fill it in.');
  return plainText(key, value, spec.text);
}

// --- the plan --------------------------------------------------------------------------------------------------------

export interface Seat {
  readonly id: string;
  readonly role: Role;
}

/** What a step does: the action's name beside its values, e.g. `{ action: 'test-random', on: 'root-hsm', bytes: 65536 }`. */
export type Do = { [A in keyof DoShapes]-?: { readonly action: A } & Values<NonNullable<DoShapes[A]>> }[keyof DoShapes];
type DoShapes = ResolvedScript['acts'][number]['steps'][number]['do'];
type Values<T> = T extends Record<string, never> ? unknown : Readonly<T>;

export interface Move {
  /** A token's name, or a card's name followed by its seat: `share-card/custodian-2`. */
  readonly what: string;
  readonly from: Place;
  readonly to: Place;
}

/** One line of a list of movements. People are named as in the opening, or by their seat. */
export interface Movement {
  readonly kind: ThingKind;
  /** What stands on the thing: a serial number, a bag's or a sheet's number. */
  readonly identifier: string;
  /** The share that it holds, where it holds one. */
  readonly share: { readonly set: string; readonly x: number } | null;
  readonly from: string;
  readonly fromSite: string;
  readonly to: string;
  readonly toSite: string;
  readonly reason: string;
}

/** A movement in the plan of an opened record: its place in the list, counted from 1, and the seats of both parties. */
export interface HandedOver extends Movement {
  readonly number: number;
  readonly giver: string;
  readonly receiver: string;
}

/** One thing that one person does. `sign-seal` steps are added at the end of every act. */
export interface PlanStep {
  readonly id: string;
  readonly act: number;
  readonly who: string;
  readonly title: string;
  readonly say: string;
  readonly see: string;
  readonly moves: readonly Move[];
  readonly do: Do | { readonly action: 'sign-seal' } | { readonly action: 'sign-resume' };
  /** How many persons of which role must say that they saw it. */
  readonly witnesses: Readonly<Partial<Record<Role, number>>>;
  /** Line in the script; 0 for the seals. */
  readonly line: number;
  /** Only of a `hand-over` whose list is there (shares/movements.ts). */
  readonly movement?: HandedOver;
}

export interface Plan {
  readonly title: string;
  readonly acts: readonly { readonly title: string; readonly minutes: number; readonly first: number; readonly last: number }[];
  readonly steps: readonly PlanStep[];
  readonly seats: readonly Seat[];
  readonly set: { readonly shares: number; readonly threshold: number } | null;
  readonly tokens: readonly string[];
  readonly inputs: ResolvedScript['inputs'];
  readonly room: ResolvedScript['room'];
}

/** `custodian` with three seats gives custodian-1 … custodian-3; a role with one seat is called by its role. */
export function seatsOf(people: Readonly<Record<Role, number>>): Seat[] {
  return ROLES.flatMap((role) => Array.from({ length: people[role] }, (_, i) => ({ id: people[role] === 1 && role !== 'custodian' ? role : `${role}-${i + 1}`, role })));
}

/** Fills in the parameters and lays every step out. Throws `Refused` where the values contradict the script or each other. */
export function planOf(script: Script, parameters: Parameters): Plan {
  for (const key of Object.keys(parameters)) {
    if (!Object.hasOwn(script.parameters, key)) throw new Refused(refuse('PARAMETER-UNKNOWN', 'parameters of the script', key, 'Remove it.'));
  }
  for (const [key, spec] of Object.entries(script.parameters)) {
    const refusal = checkParameter(key, spec, parameters[key]);
    if (refusal) throw new Refused(refusal);
  }
  const resolved = ResolvedShape.safeParse(substitute(script.body, parameters));
  if (!resolved.success) {
    const issue = resolved.error.issues[0];
    throw new Refused(refuse('PARAMETER-VALUE', 'values that fit the script', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`, 'Correct the parameters.'));
  }
  const body = resolved.data;
  const people = { officer: body.people.officer, custodian: body.people.custodian, witness: body.people.witness, auditor: body.people.auditor };
  const seats = seatsOf(people);
  let set: Plan['set'] = null;
  if (body.set) {
    set = { shares: body.set.shares, threshold: body.set.threshold };
    if (set.threshold < 2 || set.threshold > set.shares || set.shares > 255) {
      throw new Refused(refuse('SET-THRESHOLD', '2 <= M <= N <= 255', `M = ${set.threshold}, N = ${set.shares}`, 'Choose a threshold that N custodians can reach and one alone cannot.'));
    }
    // Where a seat may be without a card, some give a share up and others receive one: only the opening knows who.
    const some = Object.values(body.room.cards).some(({ optional }) => optional === true);
    if (some ? set.shares > people.custodian : set.shares !== people.custodian) {
      throw new Refused(refuse('SET-CUSTODIANS', some ? 'at least one custodian per share' : 'one custodian per share', `${set.shares} shares, ${people.custodian} custodians`, some ? 'Seat more custodians, or make fewer shares.' : 'Let people.custodian and set.shares be the same number.'));
    }
  }
  const steps: PlanStep[] = [];
  const acts = body.acts.map((act, index) => {
    const first = steps.length;
    for (const step of act.steps) {
      const who = step['for-each'] === undefined
        ? [seatOfRole(seats, step.who ?? 'officer')]
        : seats.filter((seat) => step['for-each'] === 'person' || seat.role === 'custodian');
      const witnesses: Partial<Record<Role, number>> = {};
      for (const [role, wanted] of Object.entries(step['witnessed-by'] ?? {}) as [Role, number][]) {
        const seated = seats.filter((seat) => seat.role === role).length;
        // Nobody witnesses their own act: where the doer is of that role, one fewer can.
        const available = seated - (who.some((doer) => doer.role === role) ? 1 : 0);
        witnesses[role] = wanted;
        if (wanted > available) {
          throw new Refused(refuse('WITNESS-ENOUGH', `${wanted} ${role}(s) to witness ${step.id}`, `${available} in the room`, 'Ask for fewer witnesses, or for more people.'));
        }
      }
      for (const seat of who) {
        const [action, values] = Object.entries(step.do)[0] as [keyof DoShapes, object];
        steps.push({
          id: step['for-each'] ? `${step.id}/${seat.id}` : step.id,
          act: index, who: seat.id, title: step.title, say: step.say ?? '', see: step.see ?? '',
          moves: (step.moves ?? []).map((move) => ({ ...move, what: Object.hasOwn(body.room.tokens, move.what) ? move.what : `${move.what}/${seat.id}` })),
          do: { action, ...values } as unknown as Do,
          witnesses, line: script.lines[step.id] ?? 0,
        });
      }
    }
    for (const seat of seats) {
      steps.push({
        id: `seal-${index + 1}/${seat.id}`, act: index, who: seat.id, title: `Sign the record of act ${index + 1}`,
        say: 'I sign what the record says.', see: 'The mark on the seat of the person who signs.',
        moves: [], do: { action: 'sign-seal' }, witnesses: {}, line: 0,
      });
    }
    return { title: act.act, minutes: act.minutes, first, last: steps.length - 1 };
  });
  return { title: body.title, acts, steps, seats, set, tokens: Object.keys(body.room.tokens), inputs: body.inputs, room: body.room };
}

function seatOfRole(seats: readonly Seat[], role: Role): Seat {
  const seat = seats.find((candidate) => candidate.role === role);
  if (!seat) throw new Refused(refuse('PEOPLE-ROLES', `somebody in the role ${role}`, 'nobody', 'Add the role under people.'));
  return seat;
}

/** Replaces `$name` strings, deep. Values are data already checked against their parameter's shape. */
function substitute(value: unknown, parameters: Parameters): unknown {
  if (typeof value === 'string' && parameter.safeParse(value).success) return parameters[value.slice(1)];
  if (Array.isArray(value)) return value.map((item) => substitute(item, parameters));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, key === 'parameters' || key === 'inputs' ? item : substitute(item, parameters)]));
  }
  return value;
}
