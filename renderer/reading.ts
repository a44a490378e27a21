/**
 * What an entry says, in plain words: one line, and the facts behind it with what each is worth.
 *
 * Pure text. Nothing is left out of the record here: every entry has a reading, and the raw line stays beside it. A fact
 * that nobody checked is never called verified: a token's attributes are its word only, a signature we verified is ours.
 */
import type { Data, Entry, Kind, State } from '../ceremonies/ceremony.ts';
import type { Evidence, KeyAttributes, ObjectFact, Observation, Proof } from '../ceremonies/evidence.ts';
import type { Plan, PlanStep } from '../ceremonies/script.ts';
import { seatTitle, t, thingTitle } from './texts.ts';

/** The shape in front of a line. Green, amber and red only for the first three; every shape has its word. */
export type MarkName = 'verified' | 'reported' | 'refused' | 'said' | 'begun' | 'signed' | 'checkpoint' | 'pause' | 'plain' | 'not-reached';

export interface Fact {
  readonly label: string;
  readonly value: string;
  /** How it is set: as text, as monospace, in groups of four, or as numbered words. */
  readonly form: 'text' | 'mono' | 'hex' | 'bytes' | 'list';
  readonly proof?: Proof;
}

export interface Reading {
  readonly mark: MarkName;
  readonly title: string;
  /** The second, smaller line of the newest entries; may be empty. */
  readonly brief: string;
  readonly facts: readonly Fact[];
}

/** Names as they were when an entry was written: an officer who took over later does not sign earlier entries. */
export interface Names {
  at(seat: string, seq: number): string;
}

export function namesOf(entries: readonly Entry[]): Names {
  const first = new Map<string, string>();
  const later: { seq: number; name: string }[] = [];
  for (const entry of entries) {
    if (entry.kind === 'opened') for (const person of (entry.data as Data<'opened'>).people) first.set(person.seat, person.name);
    if (entry.kind === 'resumed') {
      const { officer } = entry.data as Data<'resumed'>;
      if (officer) later.push({ seq: entry.seq, name: officer.name });
    }
  }
  return {
    at: (seat, seq) => {
      if (seat === 'officer') {
        const officer = later.findLast((change) => change.seq <= seq);
        if (officer) return officer.name;
      }
      return first.get(seat) ?? seat;
    },
  };
}

const steps = new WeakMap<Plan, Map<string, PlanStep>>();

/** The step an entry belongs to. The signatures of a resumption stand in no script: they get a title of their own. */
export function stepTitle(plan: Plan | null, id: string | undefined): string {
  if (id === undefined || plan === null) return '';
  let map = steps.get(plan);
  if (!map) steps.set(plan, (map = new Map(plan.steps.map((step) => [step.id, step]))));
  const step = map.get(id);
  if (step) return step.title;
  return id.includes('/enrol/') ? 'Prove presence, as the new officer' : id.includes('/sign-resume/') ? 'Confirm that the record is continued' : id;
}

export function stepOf(plan: Plan | null, id: string | undefined): PlanStep | undefined {
  if (plan === null || id === undefined) return undefined;
  stepTitle(plan, id);
  return steps.get(plan)?.get(id);
}

const text = (label: string, value: string, proof?: Proof): Fact => ({ label, value, form: 'text', ...(proof && { proof }) });
const mono = (label: string, value: string, proof?: Proof): Fact => ({ label, value, form: 'mono', ...(proof && { proof }) });
const hex = (label: string, value: string, proof?: Proof): Fact => ({ label, value, form: 'hex', ...(proof && { proof }) });
const bytes = (label: string, value: string, proof?: Proof): Fact => ({ label, value, form: 'bytes', ...(proof && { proof }) });
const list = (label: string, value: readonly string[], proof?: Proof): Fact => ({ label, value: value.join('\n'), form: 'list', ...(proof && { proof }) });

const yesNo = (value: boolean | null) => (value === null ? t.unknown : value ? t.yes : t.no);

/** Names as the rest of the industry says them; the script's own name where we know no other. */
export function algorithmName(name: string): string {
  const known: Record<string, string> = {
    'ecdsa-p256': 'EC P-256', 'ecdsa-p384': 'EC P-384', 'ecdsa-p521': 'EC P-521', 'rsa-3072': 'RSA-3072', 'rsa-4096': 'RSA-4096', ed25519: 'Ed25519',
  };
  return known[name] ?? name;
}

/** Serial numbers, hashes: groups of four, so that people can read them aloud. */
export function groups(value: string): string {
  return value.replace(/(.{4})(?=.)/g, '$1 ');
}

/** A long fingerprint in one breath: its two ends. Never what two people compare. */
export function short(value: string): string {
  return value.length <= 12 ? value : `${value.slice(0, 4)}…${value.slice(-4)}`;
}

const ATTRIBUTES: readonly (readonly [keyof KeyAttributes, string])[] = [
  ['token', 'stays on the token'], ['private', 'needs a login'], ['sensitive', 'cannot be read in the clear'], ['extractable', 'can leave wrapped'],
  ['alwaysSensitive', 'never could be read in the clear'], ['neverExtractable', 'never could leave'], ['local', 'was made on this token'],
  ['modifiable', 'its attributes can be changed'], ['sign', 'signs'], ['verify', 'verifies'], ['encrypt', 'encrypts'], ['decrypt', 'decrypts'], ['wrap', 'wraps'],
  ['unwrap', 'unwraps'], ['derive', 'derives'],
];
const ATTRIBUTE_NAMES: Partial<Record<keyof KeyAttributes, string>> = {
  alwaysSensitive: 'ALWAYS_SENSITIVE', neverExtractable: 'NEVER_EXTRACTABLE',
};

function keyFacts(key: KeyAttributes): Fact[] {
  return [
    mono('Label', key.label, 'reported'), hex('CKA_ID', key.id, 'reported'), mono('Key type', key.keyType, 'reported'),
    ...(key.generatedBy === null ? [] : [mono('Generated by', key.generatedBy, 'reported')]),
    ...ATTRIBUTES.filter(([name]) => key[name] !== null).map(([name, words]) =>
      text(`CKA_${ATTRIBUTE_NAMES[name] ?? name.toUpperCase()}`, `${yesNo(key[name] as boolean)}: ${words}`, 'reported')),
  ];
}

export function objectLine(object: ObjectFact): string {
  return [object.class, object.keyType, object.label === '' ? 'without a label' : `“${object.label}”`, object.id === '' ? '' : `id ${groups(object.id)}`].filter((part) => part !== '').join(' · ');
}

function observationFacts(observation: Observation): Fact[] {
  return [text('Found', t.ceremony.found[observation.state]), text('In detail', observation.detail), ...(observation.objects.length > 0 ? [list('Objects', observation.objects.map(objectLine), 'reported')] : [])];
}

/** What the intent says before a device is touched. */
function intentFacts(step: PlanStep | undefined, action: string, intent: Readonly<Record<string, unknown>>): Fact[] {
  const labels: Record<string, string> = {
    card: 'Card', token: 'Token', id: 'CKA_ID', label: 'Label', algorithm: 'Algorithm', bytes: 'Bytes', serialNumber: 'Serial number of the certificate',
    notBefore: 'Valid from', notAfter: 'Valid until', set: 'Set of shares', epoch: 'Epoch', object: 'Object', x: 'Share number', erases: 'Erases', quorum: 'Drawn by lot',
    nonce: 'Fresh nonce', challenge: 'Fresh challenge', statement: 'Statement to be signed',
  };
  const order = Object.keys(labels);
  return [
    text('About to', t.actions[action as keyof typeof t.actions].button),
    ...Object.entries(intent).sort(([a], [b]) => order.indexOf(a) - order.indexOf(b)).filter(([, value]) => !(Array.isArray(value) && value.length === 0)).map(([name, value]): Fact => {
      const label = labels[name] ?? name;
      if (name === 'quorum') return list(label, (value as string[]).map(seatTitle));
      if (Array.isArray(value)) return list(label, value.map(String));
      if (name === 'card' || name === 'token') return hex(`${label}, serial`, String(value));
      if (name === 'id' || name === 'serialNumber') return hex(label, String(value));
      if (name === 'algorithm') return text(label, algorithmName(String(value)));
      if (name === 'nonce' || name === 'challenge' || name === 'statement' || name === 'set') return bytes(label, String(value));
      return text(label, String(value));
    }),
    ...(step && step.moves.length > 0 ? [list('Moves', step.moves.map((move) => t.ceremony.move(thingTitle(move.what), move.from, move.to)))] : []),
  ];
}

/** What was done, its worth, and the facts. Signatures are checked by the verdict; here they are what was recorded. */
function evidenceReading(action: string, evidence: Evidence): Pick<Reading, 'mark' | 'brief' | 'facts'> {
  switch (action) {
    case 'confirm-script': {
      const e = evidence as Evidence<'confirm-script'>;
      return { mark: 'said', brief: 'the words are the same', facts: [list('Words', e.words.split(' '))] };
    }
    case 'enrol': {
      const e = evidence as Evidence<'enrol'>;
      return {
        mark: 'signed', brief: `card ${groups(e.card.serial)}`,
        facts: [
          hex('Card, serial', e.card.serial, 'reported'), mono('Card, label', e.card.label, 'reported'),
          text('Identity', e.made ? 'made now' : 'was on the card already'),
          text('Classical key', `${e.identity.classical.kty}, held on the token`), text('ML-DSA key', e.identity.held.pq === 'token' ? 'held on the token' : 'its seed sealed on the same card'),
          bytes('Presence statement', e.statement), text('Signatures', 'both recorded; the verdict checks them'),
        ],
      };
    }
    case 'inspect-token': {
      const e = evidence as Evidence<'inspect-token'>;
      return {
        mark: 'verified', brief: e.needs.map((need) => need.name).join(', '),
        facts: [
          hex('Serial', e.token.serial, 'reported'), mono('Label', e.token.label, 'reported'), mono('Model', e.token.model, 'reported'),
          mono('Manufacturer', e.token.manufacturer, 'reported'), mono('Firmware', e.token.firmware, 'reported'), mono('Hardware', e.token.hardware, 'reported'),
          mono('Module', e.module.path, 'verified'), hex('Module, SHA-256', e.module.sha256, 'verified'),
          ...e.needs.map((need) => text(`Can ${need.name}`, need.detail, need.proof ?? 'reported')),
          list(`${e.mechanisms.length} mechanisms`, e.mechanisms, 'reported'), list('Flags', e.token.flags, 'reported'),
        ],
      };
    }
    case 'test-random': {
      const e = evidence as Evidence<'test-random'>;
      return {
        mark: e.tests.every((test) => test.passed) ? 'verified' : 'refused', brief: `${e.bytes.toLocaleString('en')} bytes, ${e.tests.length} tests`,
        facts: [...e.tests.map((test) => text(test.name, `${test.statistic} (limit ${test.limit}): ${test.passed ? 'passed' : 'failed'}`, 'verified')), text('What this shows', e.claim)],
      };
    }
    case 'take-inventory': {
      const e = evidence as Evidence<'take-inventory'>;
      return {
        mark: 'reported', brief: `${e.objects.length} objects`,
        facts: [hex('Token, serial', e.token), list(`${e.objects.length} objects`, e.objects.map(objectLine), 'reported')],
      };
    }
    case 'generate-key': {
      const e = evidence as Evidence<'generate-key'>;
      return {
        mark: 'reported', brief: attributesBrief(e.private),
        facts: [mono('Mechanism', e.mechanism), ...keyFacts(e.private), bytes('Public key (SPKI)', e.spki)],
      };
    }
    case 'prove-key': {
      const e = evidence as Evidence<'prove-key'>;
      return {
        mark: 'verified', brief: 'a fresh signature, checked without the token',
        facts: [
          text('Proof of possession', 'a fresh message was signed', 'verified'), bytes('Message', e.possession.message), bytes('Signature', e.possession.signature),
          list('Weak-key tests passed', e.weakTests, 'verified'), ...keyFacts(e.private), bytes('Public key (SPKI)', e.spki),
        ],
      };
    }
    case 'issue-certificate': {
      const e = evidence as Evidence<'issue-certificate'>;
      return {
        mark: 'verified', brief: 'linted bytes = signed bytes',
        facts: [bytes('SHA-256 of the linted bytes', e.lintedTbs, 'verified'), bytes('SHA-256 of the signed bytes', e.signedTbs, 'verified'), list('Lints passed', e.lints, 'verified'), bytes('Certificate (DER)', e.certificate)],
      };
    }
    case 'make-backup-key': {
      const e = evidence as Evidence<'make-backup-key'>;
      return {
        mark: 'verified', brief: `${e.set.threshold} of ${e.set.shares}`,
        facts: [
          text('Quorum', `any ${e.set.threshold} of ${e.set.shares} shares`), text('Random from', e.sources.join(' and ')),
          text('Quorums tried', `${e.subsetsTried}, put together and compared`, 'verified'), bytes('Set', e.set.id), text('Epoch', `${e.set.epoch}`),
          list('Commitments to the shares', e.set.commitments), bytes('Commitment to the key', e.set.secret),
        ],
      };
    }
    case 'wrap-key': {
      const e = evidence as Evidence<'wrap-key'>;
      return { mark: 'reported', brief: e.mechanism, facts: [mono('Mechanism', e.mechanism), bytes('Wrapped key', e.wrapped), ...keyFacts(e.private)] };
    }
    case 'give-share': {
      const e = evidence as Evidence<'give-share'>;
      return {
        mark: 'reported', brief: `share ${e.x}, on card ${groups(e.card.serial)}`,
        facts: [
          text('Share number', `${e.x}`), hex('Card, serial', e.card.serial, 'reported'), mono('Card, label', e.card.label, 'reported'), mono('Object', e.object),
          bytes('Commitment', e.commitment, 'verified'), ...(e.erased.length > 0 ? [list('Erased', e.erased, 'reported')] : []),
        ],
      };
    }
    case 'read-back-share': {
      const e = evidence as Evidence<'read-back-share'>;
      return {
        mark: 'verified', brief: `share ${e.x} is on card ${groups(e.card)}`,
        facts: [text('Share number', `${e.x}`), hex('Card, serial', e.card, 'reported'), mono('Object', e.object), bytes('Commitment of what was read', e.commitment, 'verified')],
      };
    }
    case 'prove-recovery': {
      const e = evidence as Evidence<'prove-recovery'>;
      return {
        mark: 'verified', brief: e.quorum.map((member) => seatTitle(member.seat)).join(', '),
        facts: [
          list('Quorum', e.quorum.map((member) => `${seatTitle(member.seat)}: share ${member.x}, card ${groups(member.card)}`)),
          text('Recovered key', 'signed this step’s nonce', 'verified'), bytes('Signature', e.possession.signature, 'verified'), text('Copy destroyed', 'destroyed and looked for again', 'reported'),
        ],
      };
    }
    case 'lock-key': {
      const e = evidence as Evidence<'lock-key'>;
      return { mark: 'reported', brief: 'EXTRACTABLE no', facts: keyFacts(e.private) };
    }
    case 'wipe-backup-key': {
      const e = evidence as Evidence<'wipe-backup-key'>;
      return { mark: 'reported', brief: e.how === 'overwritten' ? 'overwritten' : 'ended with its process', facts: [text('How', e.how === 'overwritten' ? 'Its memory was overwritten. Only ending the process wipes everything.' : 'The process that held it has ended.')] };
    }
    case 'sign-seal': case 'sign-resume':
      return { mark: 'signed', brief: 'two signatures', facts: [text('Signatures', 'classical and ML-DSA, both recorded; the verdict checks them')] };
    default: return { mark: 'said', brief: '', facts: [] };
  }
}

function attributesBrief(key: KeyAttributes): string {
  const flag = (name: string, value: boolean | null, wanted: boolean) => (value === wanted ? [`${name} ${yesNo(value)}`] : []);
  return [...flag('LOCAL', key.local, true), ...flag('SENSITIVE', key.sensitive, true), `EXTRACTABLE ${yesNo(key.extractable)}`].join(', ');
}

/** Reads an entry. `state` is any later state of the same record (its plan is what matters). */
export function read(entry: Entry, state: State, names: Names): Reading {
  const step = stepOf(state.plan, entry.step);
  const title = stepTitle(state.plan, entry.step);
  const action = step?.do.action ?? (entry.step?.includes('/enrol/') ? 'enrol' : 'sign-resume');
  const who = entry.by === undefined ? '' : `${seatTitle(entry.by)} (${names.at(entry.by, entry.seq)})`;
  const as = <K extends Kind>() => entry.data as Data<K>;
  switch (entry.kind) {
    case 'opened': {
      const data = as<'opened'>();
      return {
        mark: 'plain', title: `Opened: ${state.script?.title ?? 'ceremony'}`, brief: `${t.mode[data.mode].toLowerCase()}, ${data.people.length} people`,
        facts: [
          text('Mode', t.mode[data.mode]), text('Format', data.format), ...(state.script ? [list('Script in words', state.script.words), bytes('Script, SHA-512', state.script.hash)] : []),
          list('People', data.people.map((person) => `${seatTitle(person.seat)}: ${person.name}`)),
          list('Parameters', Object.entries(data.parameters).map(([name, value]) => `${name}: ${value}`)),
          list('Tokens', Object.entries(data.bindings.tokens).map(([name, bound]) => `${name}: ${groups(bound.serial)} on ${bound.module}`)),
          list('Cards', Object.entries(data.bindings.cards).flatMap(([card, seats]) => Object.entries(seats).map(([seat, bound]) => `${card} of ${seatTitle(seat)}: ${groups(bound.serial)} on ${bound.module}`))),
          ...data.modules.flatMap((module) => [mono('Module', `${module.name}: ${module.path}`), hex('Module, SHA-256', module.sha256)]),
          text('App', `version ${data.app.version}`), hex('Build', data.app.build),
          text('Runtime', `Node ${data.runtime.node}, Electron ${data.runtime.electron ?? 'none'}${data.runtime.development ? ', development runtime' : ''}`),
          text('Clock', data.clock), ...(data.warnings.length > 0 ? [list('Warnings', data.warnings)] : []),
        ],
      };
    }
    case 'begun': return { mark: 'begun', title: `Begun: ${title}`, brief: who, facts: intentFacts(step, action, as<'begun'>().intent) };
    case 'done': {
      const inner = evidenceReading(action, as<'done'>().evidence as Evidence);
      return { ...inner, title, brief: ['sign-seal', 'sign-resume', 'confirm-script', 'put-away'].includes(action) ? who : inner.brief };
    }
    case 'failed': {
      const { error, nothingChanged } = as<'failed'>();
      return {
        mark: 'refused', title: `Did not work: ${title}`, brief: error.code,
        facts: [mono('Code', error.code), text('What it means', error.message), text('Do now', error.hint), text('On the device', nothingChanged ? t.refusal.nothingChanged : t.refusal.maybeChanged)],
      };
    }
    case 'found': {
      const { observation } = as<'found'>();
      return { mark: 'reported', title: `Looked: ${title}`, brief: t.ceremony.found[observation.state], facts: observationFacts(observation) };
    }
    case 'decided': {
      const { decision, why } = as<'decided'>();
      return { mark: 'said', title: decision === 'keep' ? 'Decided to keep what was found' : 'Decided to clear what was found', brief: who, facts: [text('Why', why), text('Step', title)] };
    }
    case 'cleared': {
      const { observation } = as<'cleared'>();
      return { mark: 'reported', title: `Cleared: ${title}`, brief: observation.detail, facts: observationFacts(observation) };
    }
    case 'witnessed': return { mark: 'said', title: `Saw it: ${title}`, brief: who, facts: [] };
    case 'noted': return { mark: 'said', title: `Note: ${as<'noted'>().text}`, brief: who, facts: [text('Note', as<'noted'>().text)] };
    case 'exception': {
      const data = as<'exception'>();
      return { mark: 'reported', title: `Exception ${data.number}: ${data.happened}`, brief: who, facts: [text('Expected', data.expected), text('Happened', data.happened), text('Decided', data.decided)] };
    }
    case 'break': return { mark: 'pause', title: `Break: ${as<'break'>().reason}`, brief: t.plural(as<'break'>().present, 'person', 'people'), facts: [text('Counted', `${as<'break'>().present}`), text('Reason', as<'break'>().reason)] };
    case 'back': return { mark: 'pause', title: 'Back from the break', brief: t.plural(as<'back'>().present, 'person', 'people'), facts: [text('Counted', `${as<'back'>().present}`)] };
    case 'disagreed': return { mark: 'refused', title: `Does not agree: ${seatTitle(entry.by ?? '')}`, brief: as<'disagreed'>().words, facts: [text('In their own words', as<'disagreed'>().words), bytes('Signed statement', as<'disagreed'>().statement)] };
    case 'checkpoint': return { mark: 'checkpoint', title: 'Checkpoint', brief: 'everything before is signed by the recorder key', facts: [bytes('Signature', as<'checkpoint'>().signature)] };
    case 'lost': {
      const data = as<'lost'>();
      return { mark: 'refused', title: `Device process lost: ${data.module}`, brief: data.how, facts: [mono('Code', 'DEVICE_PROCESS_LOST'), text('How', data.how), text('In detail', data.detail)] };
    }
    case 'resumed': {
      const data = as<'resumed'>();
      return {
        mark: 'reported', title: `Resumed: ${data.reason}`, brief: `${data.present.length} present`,
        facts: [text('Reason', data.reason), list('Present', data.present.map(seatTitle)), text('Officer', data.officer ? `${data.officer.name}, with a card of their own` : 'the same')],
      };
    }
    case 'aborted': {
      const data = as<'aborted'>();
      return { mark: 'refused', title: `Aborted: ${data.reason}`, brief: who, facts: [text('Reason', data.reason), list('Left on the token', data.left.map(objectLine), 'reported')] };
    }
    case 'closed': return { mark: 'verified', title: 'Closed', brief: 'every act is sealed by everybody', facts: [] };
  }
}

/** Whole seconds between `begun` and `done` of the last step with this action in the record; null where there was none. */
export function lastDuration(entries: readonly Entry[], plan: Plan | null, action: string): number | null {
  for (let i = entries.length - 1; i >= 0; i -= 1) {
    const done = entries[i];
    if (done?.kind !== 'done' || stepOf(plan, done.step)?.do.action !== action) continue;
    const { begun } = done.data as Data<'done'>;
    const start = begun === null ? undefined : entries[begun];
    if (start) return Math.max(1, Math.round((Date.parse(done.at) - Date.parse(start.at)) / 1000));
  }
  return null;
}

/** `14:02` of an RFC 3339 time: the record's own clock, never the page's zone. */
export function timeOf(at: string): string {
  return at.slice(11, 16);
}

/** `00:41` between two times, hours and minutes. */
export function elapsed(from: string, to: string): string {
  const minutes = Math.max(0, Math.floor((Date.parse(to) - Date.parse(from)) / 60_000));
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
}

/** `2026-11-21, 13:21 UTC`. */
export function dateTime(at: string): string {
  return `${at.slice(0, 10)}, ${at.slice(11, 16)} ${t.utc}`;
}

// --- the stage: what a step shows besides its sentence, and where everybody stands ----------------------------------

/** What must be on the screen while this step is carried out and witnessed: the things it names, and what came of it. */
export function stageFacts(state: State, step: PlanStep, labels: ReadonlyMap<string, string> | null): Fact[] {
  const { current, opening } = state;
  const intent = (current?.step.id === step.id ? current.intent : null) as Partial<Record<string, unknown>> | null;
  const evidence = current?.step.id === step.id ? current.evidence : null;
  const named = (label: string, serial: string | undefined): Fact[] => (serial === undefined ? [] : [
    ...(labels?.has(serial) ? [mono(label, labels.get(serial) ?? '')] : []),
    hex(labels?.has(serial) ? 'Serial' : `${label}, serial`, serial),
  ]);
  const token = (name: string) => named('Token', opening?.bindings.tokens[name]?.serial);
  const card = (name: string) => named('Card', opening?.bindings.cards[name]?.[step.who]?.serial);
  const keyToken = named('Token', state.key?.token);
  switch (step.do.action) {
    case 'confirm-script': case 'put-away': return [];
    case 'enrol': case 'sign-seal': case 'sign-resume': return card('identity-card');
    case 'inspect-token': {
      const e = evidence as Evidence<'inspect-token'> | null;
      return [
        ...token(step.do.on),
        ...(e ? [mono('Model', `${e.token.manufacturer} ${e.token.model}, firmware ${e.token.firmware}`, 'reported'), ...e.needs.map((need) => text(`Can ${need.name}`, need.detail, need.proof ?? 'reported'))]
          : [text('Must be able to', `${step.do.needs.join(', ')}, with ${algorithmName(step.do.algorithm)}`)]),
      ];
    }
    case 'test-random': return [...token(step.do.on), text('Sample', `${step.do.bytes.toLocaleString('en')} bytes`)];
    case 'take-inventory': {
      const e = evidence as Evidence<'take-inventory'> | null;
      if (!e) return token(step.do.on);
      const shown = e.objects.slice(-6);
      const more = e.objects.length - shown.length;
      return [hex('Token, serial', e.token), list(t.tokens.objectCount(e.objects.length), [...shown.map(objectLine), ...(more > 0 ? [`and ${more} more, in the record`] : [])], 'reported')];
    }
    case 'generate-key': {
      const e = evidence as Evidence<'generate-key'> | null;
      return [
        ...token(step.do.on), text('Key', `${algorithmName(step.do.algorithm)}, “${step.do.label}”`),
        ...(e ? [text('The token says', attributesBrief(e.private), 'reported'), hex('CKA_ID', e.private.id, 'reported')] : []),
      ];
    }
    case 'prove-key': return keyToken;
    case 'issue-certificate': {
      const { subject } = step.do;
      const dates = intent === null ? text('Valid', `${step.do.years} years from today`) : text('Valid', `${String(intent['notBefore']).slice(0, 10)} to ${String(intent['notAfter']).slice(0, 10)}`);
      return [
        text('Subject', [subject['common-name'], subject.organization, subject.country].filter((part) => part !== undefined).join(', ')), dates,
        ...(intent === null ? [] : [hex('Serial number', String(intent['serialNumber']))]),
      ];
    }
    case 'make-backup-key': return state.plan?.set ? [text('Shares', `${state.plan.set.shares} are made; any ${state.plan.set.threshold} recover the key`)] : [];
    case 'wrap-key': case 'lock-key': return keyToken;
    case 'give-share': case 'read-back-share': return card('share-card');
    case 'prove-recovery': {
      const quorum = intent?.['quorum'];
      return Array.isArray(quorum) ? [list(t.ceremony.quorum, quorum.map((seat: string) => seatTitle(seat)))]
        : state.plan?.set ? [text('Quorum', `${state.plan.set.threshold} custodians, drawn by lot when the step begins`)] : [];
    }
    case 'wipe-backup-key': return [];
  }
}

export interface SeatView {
  readonly seat: string;
  readonly title: string;
  readonly name: string;
  /** Letter or number inside the seat. */
  readonly letter: string;
  readonly present: boolean;
  readonly share: 'none' | 'given' | 'proven' | 'void';
  readonly signed: boolean;
  readonly acting: boolean;
  readonly saw: boolean;
}

/** Every seat of the ring, from the state alone. */
export function seatViews(state: State): SeatView[] {
  const act = state.plan?.steps[state.cursor]?.act ?? (state.plan?.acts.length ?? 1) - 1;
  const last = state.seals.at(-1);
  const signed = last?.act === act ? last.signatures : {};
  const doer = state.phase === 'open' && !state.onBreak ? state.current?.step.who : undefined;
  return state.people.map((person): SeatView => {
    const share = state.backup?.given[person.seat];
    const isVoid = share === undefined && (state.voidShares[person.seat]?.length ?? 0) > 0;
    const number = /-(\d+)$/.exec(person.seat)?.[1];
    return {
      seat: person.seat, title: seatTitle(person.seat), name: person.name,
      letter: person.role === 'custodian' ? number ?? 'C' : `${t.roles[person.role].slice(0, 1)}${number ?? ''}`,
      present: person.identity !== null, share: isVoid ? 'void' : share === undefined ? 'none' : share.readBack ? 'proven' : 'given',
      signed: signed[person.seat] !== undefined, acting: doer === person.seat && state.current?.phase !== 'witnessing',
      saw: state.current?.witnesses.includes(person.seat) ?? false,
    };
  });
}

/** What stands in the middle of the ring: the count that matters in this step. */
export function ringCount(state: State): { readonly count: number; readonly of: number; readonly what: string } {
  const seats = seatViews(state);
  const action = state.current?.step.do.action;
  if (action === 'sign-seal' || state.phase === 'closed') return { count: seats.filter((seat) => seat.signed).length, of: seats.length, what: t.ceremony.signatures };
  if (state.backup && !state.backup.wiped) return { count: seats.filter((seat) => seat.share === 'proven').length, of: state.backup.set.shares, what: t.ceremony.shares };
  return { count: seats.filter((seat) => seat.present).length, of: seats.length, what: t.ceremony.present };
}

/** A seat in one sentence, for a screen reader. */
export function seatSentence(seat: SeatView): string {
  const marks = t.ceremony.seatMarks;
  return `${seat.title} (${seat.name}): ${[
    seat.present ? marks.present : marks.empty, ...(seat.share === 'given' ? [marks.given] : seat.share === 'proven' ? [marks.proven] : seat.share === 'void' ? [marks.voidShare] : []),
    ...(seat.signed ? [marks.signed] : []), ...(seat.saw ? [marks.saw] : []), ...(seat.acting ? [marks.acting] : []),
  ].join(', ')}`;
}
