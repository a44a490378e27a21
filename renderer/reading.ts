/**
 * What the screens say about entries, in plain words: the record's short lines, the raw data behind them, the ring of
 * seats, times and groups of digits.
 *
 * Pure text. What an entry asserts and what it is worth is worded once, in ceremonies/describe.ts, for screen and paper
 * alike; here it only gets the short line that fits beside the stage. Nothing is left out of the record: every entry has
 * a line, and its raw data stays behind it.
 */
import type { Data, Entry, State } from '../ceremonies/ceremony.ts';
import type { Description, Detail } from '../ceremonies/describe.ts';
import type { ActionName, ObjectFact, Proof } from '../ceremonies/evidence.ts';
import type { PlanStep } from '../ceremonies/script.ts';
import { personTitle, seatTitle, t } from './texts.ts';

/** The shape in front of a line. Green, amber and red only for the first three; every shape has its word. */
export type MarkName =
  'verified' | 'reported' | 'refused' | 'said' | 'begun' | 'signed' | 'checkpoint' | 'pause' | 'plain' | 'not-reached';

export interface Fact {
  readonly label: string;
  readonly value: string;
  /** How it is set: as text, as monospace, in groups of four, bytes as groups with their words beneath, one per line. */
  readonly form: 'text' | 'mono' | 'hex' | 'bytes' | 'list';
  readonly proof?: Proof;
}

/** An entry as it was told when it was folded: names and steps are those of its own time, not of a later state. */
export interface Told {
  readonly entry: Entry;
  readonly mark: MarkName;
  /** One short line. */
  readonly title: string;
  /** The second, smaller line of the newest entries; may be empty. */
  readonly brief: string;
  /** The whole sentence, and what each part of it is worth. */
  readonly sentence: string;
  readonly detail: readonly Detail[];
  /** `Custodian 1, (name)`; empty where nobody in particular acted. */
  readonly who: string;
  readonly step: PlanStep | null;
}

const PEOPLE_ALONE: readonly ActionName[] = ['confirm-script', 'confirm-input', 'wait', 'set-state', 'put-away', 'hand-over'];
const SIGNATURES: readonly ActionName[] = ['sign-seal', 'sign-resume'];

/** `description` is what describe.ts says of `entry` in front of `before`. */
export function told(entry: Entry, before: State, description: Description): Told {
  const step = before.current !== null && before.current.step.id === entry.step ? before.current.step : null;
  const name = before.people.find((person) => person.seat === entry.by)?.name ?? '';
  const who = entry.by === undefined ? '' : personTitle(entry.by, name);
  const [title, mark] = lineOf(entry, step, description);
  // The reason of a resumption is its title already.
  const first = description.detail[entry.kind === 'resumed' ? 1 : 0]?.text ?? '';
  const personal =
    entry.kind !== 'done' ||
    step === null ||
    !step.who.startsWith('officer') ||
    [...PEOPLE_ALONE, ...SIGNATURES, 'enrol'].includes(step.do.action);
  return {
    entry,
    mark,
    title,
    brief: entry.kind === 'checkpoint' ? '' : personal && who !== '' && entry.kind !== 'failed' ? who : first,
    sentence: description.title,
    detail: description.detail,
    who,
    step,
  };
}

function lineOf(entry: Entry, step: PlanStep | null, { title, mark }: Description): [string, MarkName] {
  const proven: MarkName = mark ?? 'plain';
  switch (entry.kind) {
    case 'opened':
      return [title, 'plain'];
    case 'begun':
      return [title, 'begun'];
    case 'done': {
      const action = step?.do.action;
      return [
        // One step has many copies: which of them it was is in the sentence.
        action === 'destroy-copies' ? title : (step?.title ?? title),
        action === undefined
          ? proven
          : PEOPLE_ALONE.includes(action)
            ? 'said'
            : SIGNATURES.includes(action)
              ? 'signed'
              : proven,
      ];
    }
    case 'witnessed':
      return [t.record.saw(step?.title ?? ''), 'said'];
    case 'noted':
      return [t.record.note((entry.data as Data<'noted'>).text), 'said'];
    case 'decided':
      return [title, 'said'];
    case 'exception':
      return [
        t.record.exception((entry.data as Data<'exception'>).number, (entry.data as Data<'exception'>).happened),
        'reported',
      ];
    case 'break':
      return [t.record.pause((entry.data as Data<'break'>).reason), 'pause'];
    case 'back':
      return [title, 'pause'];
    case 'disagreed':
      return [t.record.disagreed(seatTitle(entry.by ?? '')), 'refused'];
    case 'checkpoint':
      return [t.record.checkpoint, 'checkpoint'];
    case 'resumed':
      return [t.record.resumed((entry.data as Data<'resumed'>).reason), 'reported'];
    case 'aborted':
      return [t.record.aborted((entry.data as Data<'aborted'>).reason), 'refused'];
    case 'closed':
      return [title, 'verified'];
    case 'failed':
    case 'found':
    case 'cleared':
    case 'lost':
      return [title, proven];
  }
}

// --- raw data --------------------------------------------------------------------------------------------------------

/** Members that hold bytes as base64url, and members that hold hex or a serial number. Everything else is text. */
const BYTES = new Set([
  'x',
  'y',
  'n',
  'e',
  'pub',
  'signature',
  'protected',
  'statement',
  'challenge',
  'nonce',
  'message',
  'spki',
  'certificate',
  'crl',
  'bytes',
  'wrapped',
  'commitment',
  'commitments',
  'secret',
  'lintedTbs',
  'signedTbs',
  'set',
  'prev',
]);
const HEX = new Set(['id', 'wrapping', 'sha256', 'serial', 'card', 'token', 'build', 'serialNumber']);

/** An entry's data as it stands in the line, member by member: bytes as hex in groups, with words where they are a digest. */
export function rawFacts(entry: Entry): Fact[] {
  const facts: Fact[] = [];
  const walk = (path: readonly string[], value: unknown): void => {
    const label = path.join(' · ');
    const member = path.findLast((part) => !/^\d+$/.test(part)) ?? '';
    if (Array.isArray(value)) {
      if (value.length > 0 && value.every((item) => typeof item === 'string') && !BYTES.has(member))
        facts.push(fact.list(label, value));
      else
        value.forEach((item, index) => {
          walk([...path, String(index + 1)], item);
        });
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, item] of Object.entries(value)) walk([...path, key], item);
    } else if (typeof value === 'string') {
      // The share number is called x as well, and is a number; a seat's name can stand where a card's serial does elsewhere.
      const form =
        BYTES.has(member) && /^[A-Za-z0-9_-]{16,}$/.test(value)
          ? 'bytes'
          : HEX.has(member) && /^[0-9a-f]+$/i.test(value)
            ? 'hex'
            : value.includes('\n')
              ? 'list'
              : 'mono';
      facts.push({ label, value, form });
    } else {
      facts.push(fact.mono(label, String(value)));
    }
  };
  walk([], entry.data);
  return [...facts, fact.bytes('prev', entry.prev)];
}

/** Facts, by how they are set. */
export const fact = {
  text: (label: string, value: string, proof?: Proof): Fact => made(label, value, 'text', proof),
  mono: (label: string, value: string, proof?: Proof): Fact => made(label, value, 'mono', proof),
  hex: (label: string, value: string, proof?: Proof): Fact => made(label, value, 'hex', proof),
  bytes: (label: string, value: string): Fact => made(label, value, 'bytes'),
  list: (label: string, value: readonly string[], proof?: Proof): Fact => made(label, value.join('\n'), 'list', proof),
};

function made(label: string, value: string, form: Fact['form'], proof?: Proof): Fact {
  return { label, value, form, ...(proof && { proof }) };
}

/** Serial numbers, hashes: groups of four, so that people can read them aloud. What is made of words stays whole. */
export function groups(value: string): string {
  return /^[0-9A-Za-z]*$/.test(value) ? value.replace(/(.{4})(?=.)/g, '$1 ') : value;
}

export function objectLine(object: ObjectFact): string {
  return [
    object.class,
    object.keyType,
    object.label === '' ? 'without a label' : `“${object.label}”`,
    object.id === '' ? '' : `id ${groups(object.id)}`,
  ]
    .filter((part) => part !== '')
    .join(' · ');
}

// --- times -----------------------------------------------------------------------------------------------------------

/** Whole seconds between `begun` and `done` of the last step with this action in the record; null where there was none. */
export function lastDuration(rows: readonly Told[], action: string): number | null {
  const done = rows.findLast((row) => row.entry.kind === 'done' && row.step?.do.action === action);
  const begun = done && (done.entry.data as Data<'done'>).begun;
  const start = begun === null || begun === undefined ? undefined : rows[begun];
  return done && start
    ? Math.max(1, Math.round((Date.parse(done.entry.at) - Date.parse(start.entry.at)) / 1000))
    : null;
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

/** `2 d 03:15:08` of a span in milliseconds, rounded up. */
export function spanOf(left: number): string {
  const seconds = Math.max(0, Math.ceil(left / 1000));
  const days = Math.floor(seconds / 86_400);
  return `${days > 0 ? `${days} d ` : ''}${new Date(1000 * (seconds % 86_400)).toISOString().slice(11, 19)}`;
}

/** `2026-11-21, 13:21 UTC`. */
export function dateTime(at: string): string {
  return `${at.slice(0, 10)}, ${at.slice(11, 16)} ${t.utc}`;
}

// --- where everybody stands ------------------------------------------------------------------------------------------

export interface SeatView {
  readonly seat: string;
  readonly title: string;
  readonly name: string;
  /** Letter or number inside the seat. */
  readonly letter: string;
  readonly present: boolean;
  readonly share: 'none' | 'given' | 'proven' | 'void' | 'unread';
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
      seat: person.seat,
      title: seatTitle(person.seat),
      name: person.name,
      letter: person.role === 'custodian' ? (number ?? 'C') : `${t.roles[person.role].slice(0, 1)}${number ?? ''}`,
      present: person.identity !== null,
      share: state.backup?.unread[person.seat] ? 'unread' : isVoid ? 'void' : share === undefined ? 'none' : share.readBack ? 'proven' : 'given',
      signed: signed[person.seat] !== undefined,
      acting: doer === person.seat && state.current?.phase !== 'witnessing',
      saw: state.current?.witnesses.includes(person.seat) ?? false,
    };
  });
}

/** What stands in the middle of the ring: the count that matters in this step. */
export function ringCount(state: State): { readonly count: number; readonly of: number; readonly what: string } {
  const seats = seatViews(state);
  const action = state.current?.step.do.action;
  if (action === 'sign-seal' || state.phase === 'closed')
    return { count: seats.filter((seat) => seat.signed).length, of: seats.length, what: t.ceremony.signatures };
  if (state.backup && !state.backup.wiped)
    return {
      count: seats.filter((seat) => seat.share === 'proven').length,
      of: state.backup.set.shares,
      what: t.ceremony.shares,
    };
  return { count: seats.filter((seat) => seat.present).length, of: seats.length, what: t.ceremony.present };
}

/** A seat in one sentence, for a screen reader. */
export function seatSentence(seat: SeatView): string {
  const marks = t.ceremony.seatMarks;
  return `${seat.title} (${seat.name}): ${[
    seat.present ? marks.present : marks.empty,
    ...(seat.share === 'given'
      ? [marks.given]
      : seat.share === 'proven'
        ? [marks.proven]
        : seat.share === 'void'
          ? [marks.voidShare]
          : seat.share === 'unread'
            ? [marks.unread]
            : []),
    ...(seat.signed ? [marks.signed] : []),
    ...(seat.saw ? [marks.saw] : []),
    ...(seat.acting ? [marks.acting] : []),
  ].join(', ')}`;
}
