/**
 * A ceremony with scripted people: stand-ins take every seat, type the published rehearsal PIN and say what the script
 * wants. The terminal's rehearsal, the benchmark and the tests are carried out by this file; it can do nothing that a
 * person at the screen could not do, because it uses the same calls and the same `pendingAction`.
 */
import { awaitsShare, cardOf, mayBeKept, mayWitness, pendingAction, typedAt, type Pending, type State } from '../ceremonies/ceremony.ts';
import { waitsUntil } from '../ceremonies/approvals.ts';
import { Refused, refuse } from '../ceremonies/refusal.ts';
import { readActivationRecord } from '../ceremonies/activation.ts';
import { readBackupRecord } from '../ceremonies/backup-record.ts';
import { bagAt, expectedBag } from '../ceremonies/putting-away.ts';
import { sharesAtHand, unreadFault } from '../ceremonies/recovery.ts';
import { planOf, readScript, type Parameters, type Plan, type PlanStep, type Role } from '../ceremonies/script.ts';
import { Fold, pushLine, type Hasher } from '../ceremonies/transcript.ts';
import type { Answer, Answers, Bindings, Call, Entries, Inputs, People, Request } from './contract.ts';

/** The part of a House that a player needs. */
export interface Table {
  call<R extends Request>(request: R): Promise<Answer<R['call']>>;
  onEntries(listener: (entries: Entries) => void): () => void;
}

/** The answer's value; throws `Refused` (a problem's code becomes the rule). */
export async function ask<R extends Request>(table: Table, request: R): Promise<Answers[R['call']]> {
  const answer = await table.call(request) as Answer<Call>;
  if (answer.ok) return answer.value as Answers[R['call']];
  if ('refusal' in answer) throw new Refused(answer.refusal);
  const { code, message, hint } = answer.problem;
  throw new Refused(refuse(code, `an answer to ${request.call}`, message, hint));
}

/** Names for the seats of a plan, one different person each. */
export function standInNames(seats: readonly { readonly id: string }[]): People {
  return seats.map(({ id }) => ({ seat: id, name: `Stand-in ${id}` }));
}

export interface Play {
  readonly script: string;
  readonly parameters: Parameters;
  readonly module: string;
  readonly bindings?: Bindings;
  /** Tokens of the script that exist already; the rest is made. */
  readonly tokens?: Bindings['tokens'];
  /** Files of the script's inputs; those that are missing are made for the rehearsal. */
  readonly inputs?: Inputs;
  /** The CA of a rehearsal that needs one. */
  readonly ca?: Extract<Request, { call: 'provision' }>['ca'];
  /** The KEM of the key that it certifies, in a rehearsal that needs one. */
  readonly kem?: string;
  /** Called before every step and witness, with the state it is taken in. */
  readonly onPending?: (pending: Pending, state: State) => void;
  /** Leaves the table when this is true, before the next step. */
  readonly until?: (state: State) => boolean;
  readonly hasher?: Hasher;
}

/** Opens a rehearsal and plays it to its end. Returns the ceremony's id. */
export async function playRehearsal(table: Table, play: Play): Promise<string> {
  const scripts = await ask(table, { call: 'scripts' });
  const { script, faults } = readScript(scripts.find((candidate) => candidate.name === play.script)?.text ?? '');
  if (!script) {
    const known = scripts.map((candidate) => candidate.name).join(', ');
    throw new Refused(faults[0] && scripts.some((candidate) => candidate.name === play.script) ? faults[0] : refuse('SCRIPT-KNOWN', `one of: ${known}`, play.script, 'Choose a script from the list.'));
  }
  const parameters = { ...script.defaults, ...play.parameters };
  const plan = planOf(script, parameters);
  const { tokens, ca, kem, inputs: brought = {} } = play;
  const cards = play.bindings ? {} : await sharesOf(table, plan, brought);
  const made = play.bindings ? { bindings: play.bindings, inputs: {} }
    : await ask(table, { call: 'provision', script: play.script, parameters, module: play.module, brought: Object.keys(brought), cards, ...(tokens && { tokens }), ...(ca && { ca }), ...(kem !== undefined && { kem }) });
  const { bindings } = made;
  const { ceremony } = await ask(table, { call: 'open', script: play.script, parameters, people: standInNames(plan.seats), bindings, inputs: { ...made.inputs, ...brought }, mode: 'rehearsal', standIns: true });
  await playOn(table, ceremony, play);
  return ceremony;
}

/** A backup, or a token's quorum, that is brought names the share cards: those that are there are used, as people would bring them. */
async function sharesOf(table: Table, plan: Plan, brought: Inputs): Promise<Bindings['cards']> {
  const name = Object.keys(brought).find((one) => plan.inputs[one]?.kind === 'backup' || plan.inputs[one]?.kind === 'activation');
  const file = name === undefined ? undefined : brought[name];
  if (!file || !Object.hasOwn(plan.room.cards, 'share-card')) return {};
  const record = plan.inputs[name ?? '']?.kind === 'backup' ? readBackupRecord(file.bytes) : readActivationRecord(file.bytes);
  const { modules } = await ask(table, { call: 'estate' });
  const atHand = modules.flatMap(({ name: module, slots }) => slots.flatMap(({ token }) => (token ? [{ module, serial: token.serial }] : [])));
  return { 'share-card': sharesAtHand(record, plan.seats, atHand) };
}

/** Plays an open (not interrupted) ceremony to its end. */
export async function playOn(table: Table, ceremony: string, play: Pick<Play, 'onPending' | 'until' | 'hasher'>): Promise<void> {
  const record = await follow(table, ceremony, play.hasher);
  try {
    for (;;) {
      const { state } = record.fold;
      const pending = pendingAction(state);
      if (play.until?.(state) === true) return;
      play.onPending?.(pending, state);
      switch (pending.kind) {
        // The work of an administration ends when somebody says so; stand-ins have nothing to change by themselves.
        case 'step':
          if (pending.step.do.action === 'wait') await until(waitsUntil(state, pending.step.do.hours) ?? '');
          await (pending.step.do.action === 'administer' ? ask(table, { call: 'log-out', ceremony }) : ask(table, { call: 'act', ceremony, step: pending.step.id, acceptFinalTry: false, typed: typedAt(state) ?? await bagNumber(table, state, pending.step) })).catch((error: unknown) => leaveUnread(table, ceremony, state, pending.step, error));
          break;
        case 'witness': {
          const role = Object.keys(pending.missing)[0] as Role;
          const witness = state.people.find((person) => person.role === role && state.current !== null && mayWitness(state.current, person) && !state.current.witnesses.includes(person.seat));
          await ask(table, { call: 'witness', ceremony, step: pending.step.id, seat: witness?.seat ?? '' });
          break;
        }
        // A stand-in officer keeps what is whole and clears what is not.
        case 'decide': await ask(table, { call: 'decide', ceremony, decision: mayBeKept(state) ? 'keep' : 'clear', why: 'The stand-in officer looked at what was found.' }); break;
        case 'back': await ask(table, { call: 'back', ceremony, present: pending.present }); break;
        case 'over': return;
        case 'opening': case 'checkpoint': case 'outcome': case 'look': case 'clear': case 'close':
          // The conductor does these by itself; a person only sees them after an error, and tries again.
          await ask(table, { call: 'note', ceremony, seat: state.people[0]?.seat ?? '', text: 'The stand-ins wait for the conductor.' });
          break;
      }
    }
  } finally {
    record.end();
  }
}

/** What a stand-in reads from a bag that is opened: the number that the records expect, if any. Every other bag has a made-up number. */
async function bagNumber(table: Table, state: State, step: PlanStep): Promise<string> {
  const bag = bagAt(state, step);
  if (bag === null) return '';
  const [card = '', seat = ''] = bag.what.split('/');
  const known = bag.way === 'closed' ? null
    : state.away.closed[bag.what] ?? expectedBag((await ask(table, { call: 'custody' })).things, { serial: cardOf(state, card, seat) ?? '', rehearsal: true });
  return known ?? `REHEARSAL-${state.ceremony.slice(0, 6)}-${state.count}`;
}

/** A share that cannot be read does not stop a recovery where enough others are here: a stand-in officer says so, and goes on. Throws `error` where it does. */
async function leaveUnread(table: Table, ceremony: string, state: State, step: PlanStep, error: unknown): Promise<void> {
  const card = state.backup?.given[step.who]?.card ?? '';
  if (!(error instanceof Refused) || !awaitsShare(state) || state.backup === null || unreadFault(state.backup) !== null) throw error;
  const { rule, found } = error.refusal;
  await ask(table, { call: 'exception', ceremony, seat: 'officer', step: step.id, expected: `The share on card ${card}.`, happened: `${rule}: ${found}`.slice(0, 500), decided: 'It is not read; the others are enough.' });
}

/** Stand-ins wait like anybody else; a rehearsal does not let them wait long. */
async function until(moment: string): Promise<void> {
  await new Promise((resolve) => { setTimeout(resolve, Math.max(0, Date.parse(moment) - Date.now()) + 50); });
}

/** Folds a ceremony's lines as they come. */
async function follow(table: Table, ceremony: string, hasher?: Hasher): Promise<{ fold: Fold; end: () => void }> {
  const fold = new Fold(hasher);
  const take = (from: number, lines: readonly string[]) => {
    lines.forEach((line, index) => {
      if (from + index !== fold.state.count) return; // already known
      const refusal = pushLine(fold, line);
      if (refusal) throw new Refused(refusal);
    });
  };
  const end = table.onEntries((entries) => { if (entries.ceremony === ceremony) take(entries.from, entries.lines); });
  take(0, (await ask(table, { call: 'entries', ceremony, from: 0 })).lines);
  return { fold, end };
}
