/**
 * The conductor: propose -> check -> record -> act -> record.
 *
 * It owns the record. Every change, whoever asks for it, becomes an entry that `check` allowed and the ledger holds
 * durably before anything else happens; `begun` is on disk before a token is touched, the outcome after. It asks
 * device processes for evidence and never sees a PIN, a share or a key. After a crash it looks before it repeats.
 *
 * Everything outside (ledger, devices, clock, randomness) is handed in, so the same class runs in the app, in the
 * terminal and in the tests.
 */
import * as z from 'zod';
import { toBase64url, toHex } from '../../ceremonies/bytes.ts';
import {
  check, checkpointMessage, custodianNumber, cardOf, disagreementStatement, FORMAT, isHuman, pendingAction, personAt, presenceStatement,
  resumeStatement, sealStatement, type Data, type Entry, type Kind, type State,
} from '../../ceremonies/ceremony.ts';
import { EVIDENCE, type Evidence, type Intent, type ObjectFact, type PublicJwk } from '../../ceremonies/evidence.ts';
import { certificateSubject } from '../../ceremonies/profile.ts';
import { Refused, refuse, type Refusal } from '../../ceremonies/refusal.ts';
import { rehearse } from '../../ceremonies/rehearse.ts';
import { readScript, type Parameters, type PlanStep, type Script } from '../../ceremonies/script.ts';
import { encodeLine, Fold, parseLine, type Hasher } from '../../ceremonies/transcript.ts';
import type { Answer, Answers, Bindings, Call, CeremonySummary, Entries, Estate, Request } from '../contract.ts';
import type { Answer as DeviceAnswer, Asked, DeviceError, ModuleConfig, Operation, Request as DeviceRequest } from '../devices/protocol.ts';
import type { Ledger } from './ledger.ts';
import { SOFTWARE_MODULE, type Configuration } from './machine.ts';

/** A device process that answered with an error value, or that is gone. */
export class DeviceProblem extends Error {
  readonly error: DeviceError;
  constructor(error: DeviceError) {
    super(`${error.code}: ${error.message}`);
    this.name = 'DeviceProblem';
    this.error = error;
  }
}

export const LOST: readonly string[] = ['DEVICE_PROCESS_LOST', 'DEVICE_HUNG'];

/** The conductor's view of the device processes. `call` starts the process on first use; rejects with DeviceProblem. */
export interface Devices {
  call<O extends Operation>(module: ModuleConfig, operation: O, body: DeviceRequest<O>): Promise<DeviceAnswer<O>>;
  /** True while the process of this module works or waits for a PIN. */
  busy(module: string): boolean;
  /** How often this module's process has ended by itself or hung, and how it was the last time. */
  losses(module: string): { readonly count: number; readonly how: 'exited' | 'hung'; readonly detail: string };
}

export interface Surroundings {
  readonly ledger: Ledger;
  readonly devices: Devices;
  readonly configuration: Configuration;
  readonly hasher: Hasher;
  readonly scripts: readonly { readonly name: string; readonly text: string }[];
  readonly app: { readonly version: string; readonly build: string };
  readonly runtime: Data<'opened'>['runtime'];
  readonly home: string;
  readonly clock: { now(): Date; source(): string };
  readonly random: (bytes: number) => Uint8Array;
  readonly warnings: () => string[];
  /** Writes a finished bundle durably and returns its path. */
  readonly saveBundle: (name: string, bytes: Uint8Array) => string;
  readonly push: (entries: Entries) => void;
}

/** One open record. `recorder` false: its key ended with its process, and only a resumption may follow. */
interface Room {
  readonly ceremony: string;
  readonly fold: Fold;
  recorder: boolean;
  standIns: boolean;
  working: boolean;
  /** Losses of device processes that the record knows of, by module. */
  readonly losses: Map<string, number>;
}

/** Judging brings X.509 with it, which the first screen does not need: it is loaded when it is first asked for. */
const judging = () => import('../../ceremonies/verify.ts');

/** Why an entry may not be written: the rule it breaks, or a claim of it that does not hold. */
async function refusalOf(state: State, entry: Entry): Promise<Refusal | undefined> {
  const refusal = check(state, entry);
  if (refusal) return refusal;
  const { claimsOf, testClaims } = await judging();
  return (await testClaims(claimsOf(state, entry)))[0];
}

const RECORDER: ModuleConfig = { kind: 'recorder', name: 'recorder' };

export class Conductor {
  readonly #world: Surroundings;
  readonly #rooms = new Map<string, Room>();
  #estate: Estate = { modules: [] };

  constructor(world: Surroundings) {
    this.#world = world;
  }

  /** Answers one request. Never throws: a refusal or a problem is a value. */
  async answer<R extends Request>(request: R): Promise<Answer<R['call']>> {
    try {
      return { ok: true, value: await this.#dispatch(request) as Answers[R['call']] };
    } catch (error) {
      if (error instanceof Refused) return { ok: false, refusal: error.refusal };
      if (error instanceof DeviceProblem) return { ok: false, problem: { code: error.error.code, message: error.error.message, hint: error.error.hint } };
      const message = error instanceof z.ZodError ? error.issues[0]?.message ?? '' : error instanceof Error ? error.message : String(error);
      return { ok: false, problem: { code: 'CONDUCTOR', message: message.slice(0, 500), hint: 'Nothing that was recorded is lost. Close the app and open it again; if it happens again, report it.' } };
    }
  }

  async #dispatch(request: Request): Promise<Answers[Call]> {
    switch (request.call) {
      case 'hello': return this.#hello();
      case 'estate': return this.#readEstate();
      case 'objects': return this.#world.devices.call(this.#module(request.module), 'objects', { token: request.token, offset: request.offset, limit: request.limit });
      case 'mechanisms': return this.#world.devices.call(this.#module(request.module), 'mechanisms', { token: request.token });
      case 'scripts': return this.#world.scripts.map(({ name, text }) => ({ name, text, faults: readScript(text).faults }));
      case 'lint': {
        const { script, faults } = readScript(request.text);
        return { faults, words: script?.words ?? [] };
      }
      case 'rehearse-model': {
        const { rehearsed, faults } = rehearse(this.#script(request.script), request.parameters);
        return { faults, steps: rehearsed?.plan.steps.length ?? 0, minutes: rehearsed?.minutes ?? 0 };
      }
      case 'provision': return { bindings: await this.#provision(request.script, request.parameters, request.module) };
      case 'open': return { ceremony: await this.#open(request) };
      case 'ceremonies': return this.#ceremonies();
      case 'entries': return { lines: this.#world.ledger.lines(request.ceremony, request.from) };
      case 'export': return this.#export(request.ceremony);
      case 'verify': {
        const { verifyFile } = await judging();
        const { verdict, lines } = await verifyFile(request.bytes, { hasher: this.#world.hasher });
        return { verdict, lines };
      }
      case 'verify-own': {
        const { verifyFile } = await judging();
        const lines = this.#world.ledger.lines(request.ceremony, 0);
        const { verdict } = await verifyFile(new TextEncoder().encode(lines.map((line) => `${line}\n`).join('')), { hasher: this.#world.hasher });
        return { verdict, lines };
      }
      case 'act': case 'witness': case 'decide': case 'note': case 'exception': case 'break': case 'back': case 'disagree': case 'abort': case 'resume':
        await this.#inRoom(request);
        return null;
    }
  }

  // --- reading -------------------------------------------------------------------------------------------------------

  #hello(): Answers['hello'] {
    const { app, home, runtime, configuration, ledger, warnings } = this.#world;
    return { ...app, home, runtime, warnings: warnings(), modules: configuration.modules.map((module) => module.name), first: ledger.ceremonies().length === 0 };
  }

  async #readEstate(): Promise<Estate> {
    const { configuration, devices } = this.#world;
    const modules = await Promise.all(configuration.modules.map(async (config): Promise<Estate['modules'][number]> => {
      const before = this.#estate.modules.find((module) => module.name === config.name);
      // A process that waits for a PIN cannot answer; what it said last still holds.
      if (before && devices.busy(config.name)) return before;
      try {
        const { module } = await devices.call(config, 'start', { module: config });
        const { slots } = await devices.call(config, 'slots', {});
        return { name: config.name, facts: module, problem: null, slots };
      } catch (error) {
        if (!(error instanceof DeviceProblem)) throw error;
        const { code, message, hint } = error.error;
        return { name: config.name, facts: null, problem: { code, message, hint }, slots: [] };
      }
    }));
    this.#estate = { modules };
    return this.#estate;
  }

  #module(name: string): ModuleConfig {
    const found = this.#world.configuration.modules.find((module) => module.name === name);
    if (!found) throw new Refused(refuse('MODULE-KNOWN', 'a module that the administrator configured', name, 'Add it to modules.json, or choose another.'));
    return found;
  }

  #script(name: string): Script {
    const file = this.#world.scripts.find((candidate) => candidate.name === name);
    if (!file) throw new Refused(refuse('SCRIPT-KNOWN', 'a script that is installed', name, 'Choose one from the list.'));
    const { script, faults } = readScript(file.text);
    if (script) return script;
    const fault = faults[0];
    throw new Refused(refuse(fault?.rule ?? 'SCRIPT-SHAPE', fault?.expected ?? 'a valid script', `line ${fault?.line ?? 0}: ${fault?.found ?? ''}`, fault?.next ?? 'Correct the script.'));
  }

  #ceremonies(): CeremonySummary[] {
    return this.#world.ledger.ceremonies().map(({ ceremony, count, first, tail }) => {
      const opening = parseLine(first) as Entry<'opened'>;
      const last = tail.map((line) => parseLine(line));
      const over = last.find((entry) => entry.kind === 'closed' || entry.kind === 'aborted');
      const state = over === undefined ? 'open' as const : over.kind === 'closed' ? 'closed' as const : 'aborted' as const;
      const { script } = readScript(opening.data.script);
      return {
        ceremony, title: script?.title ?? ceremony, mode: opening.data.mode, state,
        // Even an ended record needs its last checkpoint: without one it can still be resumed and finished.
        interrupted: (state === 'open' || last.at(-1)?.kind !== 'checkpoint') && this.#rooms.get(ceremony)?.recorder !== true,
        entries: count, openedAt: opening.at, lastAt: last.at(-1)?.at ?? opening.at,
      };
    });
  }

  async #export(ceremony: string): Promise<Answers['export']> {
    const [{ makeBundle }, { fileDigest }] = await Promise.all([import('../../ceremonies/bundle.ts'), judging()]);
    const lines = this.#world.ledger.lines(ceremony, 0);
    if (lines.length === 0) throw new Refused(refuse('CEREMONY-KNOWN', 'a ceremony of this machine', ceremony, 'Choose one from the list.'));
    const bytes = makeBundle(lines);
    const name = readScript((parseLine(lines[0] ?? '') as Entry<'opened'>).data.script).script?.name ?? 'ceremony';
    return { path: this.#world.saveBundle(`${name}-${ceremony.slice(0, 8)}.zip`, bytes), sha256: fileDigest(bytes) };
  }

  // --- opening -------------------------------------------------------------------------------------------------------

  async #provision(name: string, parameters: Parameters, module: string): Promise<Bindings> {
    const plan = this.#rehearsed(name, parameters).plan;
    const config = this.#module(module);
    const wanted: { label: string; bind: (bindings: MutableBindings, serial: string) => void }[] = [];
    for (const token of plan.tokens) wanted.push({ label: `REHEARSAL ${token}`, bind: (bindings, serial) => { bindings.tokens[token] = { module, serial }; } });
    for (const [card, spec] of Object.entries(plan.room.cards)) {
      for (const seat of plan.seats) {
        if (spec.for === 'custodian' && seat.role !== 'custodian') continue;
        // A label has 32 bytes (PKCS#11 3.2, 5.5.7): the first word of the card's name must do.
        wanted.push({ label: `REHEARSAL ${card.split('-')[0] ?? card} ${seat.id}`.slice(0, 32), bind: (bindings, serial) => { (bindings.cards[card] ??= {})[seat.id] = { module, serial }; } });
      }
    }
    await this.#world.devices.call(config, 'start', { module: config });
    const { tokens } = await this.#world.devices.call(config, 'provision', { labels: wanted.map((item) => item.label) });
    const bindings: MutableBindings = { tokens: {}, cards: {} };
    wanted.forEach((item, index) => {
      const token = tokens[index];
      if (!token) throw new Refused(refuse('PROVISION', `${wanted.length} rehearsal tokens`, `${tokens.length}`, 'Look at the tokens, and try again.'));
      item.bind(bindings, token.serial);
    });
    return bindings;
  }

  #rehearsed(name: string, parameters: Parameters) {
    const script = this.#script(name);
    const { rehearsed, faults } = rehearse(script, { ...script.defaults, ...parameters });
    if (rehearsed) return rehearsed;
    const fault = faults[0];
    throw new Refused(refuse(fault?.rule ?? 'REHEARSED', fault?.expected ?? 'a script that rehearses', fault ? `${fault.found}${fault.line > 0 ? ` (line ${fault.line})` : ''}` : 'faults', fault?.next ?? 'Correct the script.'));
  }

  async #open(request: Extract<Request, { call: 'open' }>): Promise<string> {
    const { app, runtime, clock, configuration, random, warnings } = this.#world;
    const rehearsed = this.#rehearsed(request.script, request.parameters);
    const serials = [...Object.values(request.bindings.tokens), ...Object.values(request.bindings.cards).flatMap((seats) => Object.values(seats))];
    const production = serials.find(({ serial }) => configuration.production.includes(serial));
    if (request.mode === 'rehearsal' && production) {
      throw new Refused(refuse('REHEARSAL-NOT-ON-PRODUCTION', 'rehearsal tokens only', `${production.serial}, which is in production`, 'Choose another token. Nothing was touched.'));
    }
    if (request.standIns && request.mode !== 'rehearsal') throw new Refused(refuse('STAND-INS-ONLY-REHEARSE', 'real people in a real ceremony', 'stand-ins', 'Everybody types their own PIN.'));
    // Shares never cross a process: the card that receives one hangs on the module that holds the backup key.
    const home = new Set(Object.values(request.bindings.tokens).map((bound) => bound.module));
    const stray = Object.values(request.bindings.cards['share-card'] ?? {}).find((bound) => !home.has(bound.module));
    if (home.size > 1 || (home.size === 1 && stray)) throw new Refused(refuse('SHARES-ONE-MODULE', 'token and share cards on one module', [...home, stray?.module ?? ''].join(', '), 'Choose share cards on the token\'s module.'));
    const estate = await this.#readEstate();
    for (const { module, serial } of serials) {
      const slots = estate.modules.find((candidate) => candidate.name === module)?.slots ?? [];
      if (!slots.some((slot) => slot.token?.serial === serial)) throw new Refused(refuse('TOKEN-PRESENT', `token ${serial} on ${module}`, 'no such token', 'Put it in, and look at the list of tokens.'));
    }
    const used = new Set(serials.map(({ module }) => module));
    const modules = estate.modules.filter((module) => used.has(module.name)).flatMap((module) => module.facts ? [module.facts] : []);
    const recorder = await this.#newRecorder();
    const ceremony = toHex(random(16));
    const fold = new Fold(this.#world.hasher);
    const room: Room = { ceremony, fold, recorder: true, standIns: request.standIns, working: false, losses: this.#lossesNow() };
    this.#write(room, 'opened', {
      format: FORMAT, script: rehearsed.script.text, parameters: { ...rehearsed.parameters }, mode: request.mode, people: request.people, bindings: request.bindings,
      modules, recorder, app, runtime, clock: clock.source(), warnings: warnings(),
    }, { prev: rehearsed.script.hash });
    this.#rooms.set(ceremony, room);
    await this.#settle(room);
    return ceremony;
  }

  async #newRecorder(): Promise<PublicJwk> {
    const { devices } = this.#world;
    await devices.call(RECORDER, 'start', { module: RECORDER });
    return (await devices.call(RECORDER, 'recorder-new', {})).key;
  }

  // --- writing -------------------------------------------------------------------------------------------------------

  #propose<K extends Kind>(room: Room, kind: K, data: Data<K>, more: { step?: string; by?: string; prev?: string } = {}): Entry<K> {
    const { state } = room.fold;
    const now = this.#world.clock.now().toISOString();
    return {
      v: 1, ceremony: room.ceremony, seq: state.count,
      // The record's own order decides: a clock that was set back does not make an entry earlier than the one before.
      at: now < state.lastAt ? state.lastAt : now,
      kind, ...(more.step !== undefined && { step: more.step }), ...(more.by !== undefined && { by: more.by }),
      data, prev: more.prev ?? state.lastHash,
    };
  }

  /** The only way into the ledger: `check` allows it, the disk holds it, then the fold and the page learn of it. */
  #commit(room: Room, entry: Entry): void {
    const refusal = check(room.fold.state, entry);
    if (refusal) throw new Refused(refusal);
    const line = encodeLine(entry);
    this.#world.ledger.append(room.ceremony, entry.seq, line);
    const broken = room.fold.push(entry, new TextEncoder().encode(line));
    if (broken) throw new Refused(broken);
    this.#world.push({ ceremony: room.ceremony, from: entry.seq, lines: [line] });
  }

  #write<K extends Kind>(room: Room, kind: K, data: Data<K>, more: { step?: string; by?: string; prev?: string } = {}): Entry<K> {
    const entry = this.#propose(room, kind, data, more);
    this.#commit(room, entry);
    return entry;
  }

  /** The open record, folded from the ledger where this process has not met it yet; then its recorder key is gone. */
  #room(ceremony: string): Room {
    const known = this.#rooms.get(ceremony);
    if (known) return known;
    const lines = this.#world.ledger.lines(ceremony, 0);
    if (lines.length === 0) throw new Refused(refuse('CEREMONY-KNOWN', 'a ceremony of this machine', ceremony, 'Choose one from the list.'));
    const fold = new Fold(this.#world.hasher);
    for (const line of lines) {
      const refusal = fold.push(parseLine(line), new TextEncoder().encode(line));
      if (refusal) throw new Refused(refuse('LEDGER-DAMAGED', 'a record that keeps its own rules', `entry ${fold.state.count}: ${refusal.rule}`, 'Keep this folder as it is, and show the record to the auditor.'));
    }
    const room: Room = { ceremony, fold, recorder: false, standIns: false, working: false, losses: this.#lossesNow() };
    this.#rooms.set(ceremony, room);
    return room;
  }

  async #inRoom(request: Extract<Request, { ceremony: string }>): Promise<void> {
    const room = this.#room(request.ceremony);
    if (room.working) throw new Refused(refuse('ONE-AT-A-TIME', 'one thing at a time', 'a step under way', 'Wait for it. If a PIN is wanted, look at the booth.'));
    this.#noteLosses(room);
    if (!room.recorder && request.call !== 'resume') {
      throw new Refused(refuse('RESUME-FIRST', 'a record with a living recorder key', 'one whose key ended with its process', 'Resume the ceremony: the people present sign that it is continued.'));
    }
    room.working = true;
    try {
      await this.#change(room, request);
      await this.#settle(room);
    } finally {
      room.working = false;
    }
  }

  async #change(room: Room, request: Extract<Request, { ceremony: string }>): Promise<void> {
    const { call } = request;
    if (call === 'resume') return this.#resume(room, request);
    await this.#settle(room);
    const { state } = room.fold;
    switch (call) {
      case 'act': return this.#act(room, request.step, request.acceptFinalTry);
      case 'witness': this.#write(room, 'witnessed', {}, { step: request.step, by: request.seat }); return;
      case 'note': this.#write(room, 'noted', { text: request.text }, { by: request.seat }); return;
      case 'exception': {
        const { expected, happened, decided } = request;
        this.#write(room, 'exception', { number: state.exceptions + 1, expected, happened, decided }, { by: request.seat });
        return;
      }
      case 'break': this.#write(room, 'break', { present: request.present, reason: request.reason }); return;
      case 'back': this.#write(room, 'back', { present: request.present }); return;
      case 'decide': this.#write(room, 'decided', { begun: state.current?.begun ?? 0, decision: request.decision, why: request.why }, { step: state.current?.step.id ?? '', by: officerOf(state) }); return;
      case 'abort':
        this.#write(room, 'aborted', { reason: request.reason, left: leftBehind(state) }, { by: request.seat });
        await this.#logOut(room);
        return;
      case 'disagree': {
        if (!personAt(state, request.seat)?.identity) throw new Refused(refuse('ENROL-FIRST', 'a person who has enrolled', request.seat, 'Enrol first; until then, use an exception.'));
        const statement = disagreementStatement(state, request.seat, request.words);
        const asked = this.#asked(room, request.seat, 'sign that you do not agree');
        const { signatures } = await this.#device(room, this.#cardModule(state, request.seat), 'sign', { card: cardOf(state, 'identity-card', request.seat) ?? '', payloads: [statement], asked });
        const pair = signatures[0];
        if (!pair) throw new Refused(refuse('SEAL-SIGNATURE-MISSING', 'two signatures', 'none', 'Try again.'));
        const entry = this.#propose(room, 'disagreed', { words: request.words, statement, signatures: pair }, { by: request.seat });
        const refusal = await refusalOf(state, entry);
        if (refusal) throw new Refused(refusal);
        this.#commit(room, entry);
        return;
      }
      case 'entries': case 'export': case 'verify-own': return;
    }
  }

  /** Does what needs no person: checkpoints, looking after a crash, clearing what was decided, closing. */
  async #settle(room: Room): Promise<void> {
    while (room.recorder) {
      const { state } = room.fold;
      const pending = pendingAction(state);
      const begun = state.current?.begun ?? 0;
      switch (pending.kind) {
        case 'checkpoint': {
          const proposed = this.#propose(room, 'checkpoint', { signature: '' });
          const { signature } = await this.#device(room, RECORDER, 'recorder-sign', { message: toBase64url(checkpointMessage(proposed)) });
          // If anything came in between, its number and head no longer fit, and `check` refuses it.
          this.#commit(room, { ...proposed, data: { signature } });
          break;
        }
        case 'look': {
          const { token, id } = state.current?.intent as Intent<'generate-key'>;
          const observation = await this.#device(room, this.#tokenModule(state), 'look', { token, id, asked: this.#asked(room, officerOf(state), 'look for the key that was begun') });
          this.#write(room, 'found', { begun, observation }, { step: pending.step.id });
          break;
        }
        case 'clear': {
          const { token, id } = state.current?.intent as Intent<'generate-key'>;
          const { after } = await this.#device(room, this.#tokenModule(state), 'clear', { token, id, asked: this.#asked(room, officerOf(state), 'clear what was left behind') });
          this.#write(room, 'cleared', { begun, observation: after }, { step: pending.step.id });
          break;
        }
        case 'outcome':
          if (state.current?.phase === 'kept') await this.#keep(room, pending.step);
          // The process lives, but the outcome could not be written (a full disk): nobody knows without looking.
          else this.#write(room, 'failed', { begun, error: { code: 'OUTCOME-NOT-RECORDED', message: 'The outcome of this attempt could not be written down.', hint: 'The token is looked at before the step is repeated.' }, nothingChanged: false }, { step: pending.step.id });
          break;
        case 'close':
          this.#write(room, 'closed', {});
          await this.#logOut(room);
          break;
        case 'opening': case 'back': case 'step': case 'decide': case 'witness': return;
        case 'over':
          this.#rooms.delete(room.ceremony);
          return;
      }
    }
  }

  #lossesNow(): Map<string, number> {
    const { configuration, devices } = this.#world;
    return new Map([RECORDER, ...configuration.modules].map(({ name }) => [name, devices.losses(name).count]));
  }

  /** Every loss of a process this ceremony depends on becomes an entry, also one that happened while nothing was asked of it. */
  #noteLosses(room: Room): void {
    const { state } = room.fold;
    const { tokens = {}, cards = {} } = state.opening?.bindings ?? {};
    const used = new Set([RECORDER.name, ...[...Object.values(tokens), ...Object.values(cards).flatMap((seats) => Object.values(seats))].map(({ module }) => module)]);
    for (const module of used) {
      const { count, how, detail } = this.#world.devices.losses(module);
      if (count === room.losses.get(module)) continue;
      room.losses.set(module, count);
      if (module === RECORDER.name) room.recorder = false;
      if (room.fold.state.phase === 'open') this.#write(room, 'lost', { module, how, detail });
    }
  }

  /** One call of a device process on behalf of a ceremony. */
  async #device<O extends Operation>(room: Room, module: ModuleConfig, operation: O, body: DeviceRequest<O>): Promise<DeviceAnswer<O>> {
    const { devices } = this.#world;
    try {
      if (module.kind !== 'recorder') await devices.call(module, 'start', { module });
      return await devices.call(module, operation, body);
    } finally {
      this.#noteLosses(room);
    }
  }

  #asked(room: Room, seat: string, purpose: string, acceptFinalTry = false): Asked {
    return { person: seat, name: personAt(room.fold.state, seat)?.name ?? seat, purpose, standIn: room.standIns, acceptFinalTry };
  }

  #tokenModule(state: State): ModuleConfig {
    return this.#module(Object.values(state.opening?.bindings.tokens ?? {})[0]?.module ?? SOFTWARE_MODULE);
  }

  #cardModule(state: State, seat: string): ModuleConfig {
    return this.#module(state.opening?.bindings.cards['identity-card']?.[seat]?.module ?? SOFTWARE_MODULE);
  }

  async #logOut(room: Room): Promise<void> {
    for (const bound of Object.values(room.fold.state.opening?.bindings.tokens ?? {})) {
      try {
        await this.#world.devices.call(this.#module(bound.module), 'log-out', { token: bound.serial });
      } catch (error) {
        if (!(error instanceof DeviceProblem)) throw error; // a token that is gone is logged out
      }
    }
  }

  // --- one step ------------------------------------------------------------------------------------------------------

  async #act(room: Room, stepId: string, acceptFinalTry: boolean): Promise<void> {
    const { state } = room.fold;
    const pending = pendingAction(state);
    if (pending.kind !== 'step' || pending.step.id !== stepId) {
      throw new Refused(refuse('IN-ORDER', 'step' in pending ? `step ${pending.step.id}` : pending.kind, stepId, 'Do what the screen asks for now; nothing is lost.'));
    }
    const { step } = pending;
    const { action } = step.do;
    const who = { step: step.id, by: step.who };
    if (isHuman(action)) {
      const evidence = action === 'confirm-script' ? { words: (state.script?.words ?? []).join(' ') } : {};
      this.#write(room, 'done', { begun: null, evidence }, who);
      return;
    }
    const intent = this.#intent(state, step);
    const begun = this.#write(room, 'begun', { intent }, who);
    let evidence: Evidence;
    try {
      evidence = EVIDENCE[action].parse(await this.#perform(room, step, intent, acceptFinalTry));
    } catch (error) {
      // A lost process has its own entry already; any other error is the outcome of this attempt.
      if (!(error instanceof DeviceProblem && LOST.includes(error.error.code))) this.#fail(room, step, begun.seq, problemOf(error));
      await this.#settle(room);
      throw error;
    }
    await this.#outcome(room, step, begun.seq, evidence);
  }

  /** Writes `done` if the evidence keeps the rules and its claims hold here and now; else `failed`, naming the rule. */
  async #outcome(room: Room, step: PlanStep, begun: number, evidence: Evidence): Promise<void> {
    const { state } = room.fold;
    const entry = this.#propose(room, 'done', { begun, evidence }, { step: step.id, by: step.who });
    const refusal = await refusalOf(state, entry);
    if (!refusal) {
      this.#commit(room, entry);
      return;
    }
    this.#fail(room, step, begun, { code: refusal.rule, message: `expected ${refusal.expected}; found ${refusal.found}`, hint: refusal.next, nothingChanged: false });
    throw new Refused(refusal);
  }

  #fail(room: Room, step: PlanStep, begun: number, error: DeviceError): void {
    const { code, message, hint, nothingChanged } = error;
    this.#write(room, 'failed', { begun, error: { code: code.slice(0, 64), message: message.slice(0, 500), hint: hint.slice(0, 500) }, nothingChanged }, { step: step.id });
  }

  /** The officer decided to keep a key whose generation had no recorded outcome: read it back as if just made. */
  async #keep(room: Room, step: PlanStep): Promise<void> {
    const { state } = room.fold;
    const { token, id, algorithm } = state.current?.intent as Intent<'generate-key'>;
    const begun = state.current?.begun ?? 0;
    const proof = await this.#device(room, this.#tokenModule(state), 'prove-key', { token, id, algorithm, asked: this.#asked(room, officerOf(state), 'read back the key that is kept') });
    const evidence: Evidence<'generate-key'> = { token, mechanism: proof.private.generatedBy ?? 'not reported', spki: proof.spki, private: proof.private, public: proof.public };
    await this.#outcome(room, step, begun, evidence);
  }

  #intent(state: State, step: PlanStep): Intent {
    const { random, clock } = this.#world;
    const token = Object.values(state.opening?.bindings.tokens ?? {})[0]?.serial ?? '';
    const id = state.key?.id ?? '';
    const card = cardOf(state, 'identity-card', step.who) ?? '';
    const set = state.backup?.set.id ?? '';
    switch (step.do.action) {
      case 'enrol': return { card, id: toHex(random(16)), challenge: toBase64url(random(24)) };
      case 'sign-seal': return { card, statement: sealStatement(state) };
      case 'sign-resume': return { card, statement: resumeStatement(state) };
      case 'inspect-token': case 'take-inventory': return { token };
      case 'test-random': return { token, bytes: step.do.bytes };
      case 'generate-key': return { token, id: toHex(random(16)), label: step.do.label, algorithm: step.do.algorithm };
      case 'prove-key': case 'lock-key': return { token, id };
      case 'issue-certificate': {
        // RFC 5280, 4.1.2.2: positive, at most 20 octets; CA/Browser Forum: at least 64 bits from a random source.
        const serial = random(16);
        serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
        const from = new Date(Math.floor(clock.now().getTime() / 1000) * 1000);
        const to = new Date(from);
        to.setUTCFullYear(to.getUTCFullYear() + step.do.years);
        return { token, id, serialNumber: toHex(serial), notBefore: from.toISOString(), notAfter: new Date(to.getTime() - 1000).toISOString() };
      }
      case 'make-backup-key': return { token, set: toBase64url(random(16)), epoch: state.backup ? state.backup.set.epoch + 1 : 1 };
      case 'wrap-key': return { token, id, set };
      case 'give-share': return {
        card: cardOf(state, 'share-card', step.who) ?? '', object: `conclave-share-${toHex(random(8))}`, set,
        x: custodianNumber(state, step.who), erases: [...state.voidShares[step.who] ?? []],
      };
      case 'read-back-share': {
        const share = state.backup?.given[step.who];
        return { card: share?.card ?? '', object: share?.object ?? '', set, x: share?.x ?? 1 };
      }
      case 'prove-recovery': return { token, set, quorum: this.#quorum(state), nonce: toBase64url(random(32)) };
      case 'wipe-backup-key': return { set };
      case 'confirm-script': case 'put-away': return {};
    }
  }

  /** M custodians drawn at random (Fisher-Yates over unbiased draws), in seat order. */
  #quorum(state: State): string[] {
    const seats = Object.keys(state.backup?.given ?? {});
    for (let i = seats.length - 1; i > 0; i -= 1) {
      let draw: number;
      do draw = this.#world.random(1)[0] ?? 0; while (draw >= 256 - (256 % (i + 1)));
      const j = draw % (i + 1);
      [seats[i], seats[j]] = [seats[j] ?? '', seats[i] ?? ''];
    }
    return seats.slice(0, state.backup?.set.threshold ?? 0).sort((a, b) => custodianNumber(state, a) - custodianNumber(state, b));
  }

  async #perform(room: Room, step: PlanStep, intent: Intent, acceptFinalTry: boolean): Promise<unknown> {
    const { state } = room.fold;
    const { current } = state;
    const ask = (purpose: string, seat = step.who) => this.#asked(room, seat, purpose, acceptFinalTry);
    const token = this.#tokenModule(state);
    const own = this.#cardModule(state, step.who);
    const algorithm = state.key?.algorithm ?? '';
    switch (step.do.action) {
      case 'enrol': {
        const { card, id, challenge } = intent as Intent<'enrol'>;
        return this.#device(room, own, 'enrol', { card, id, statement: presenceStatement(state, step.who, challenge, current?.headBefore ?? ''), asked: ask('prove that you are here') });
      }
      case 'sign-seal': case 'sign-resume': {
        const { card, statement } = intent as Intent<'sign-seal'>;
        const { signatures } = await this.#device(room, own, 'sign', { card, payloads: [statement], asked: ask(step.do.action === 'sign-seal' ? `sign the record of act ${step.act + 1}` : 'sign that the record is continued') });
        return { signatures: signatures[0] };
      }
      case 'inspect-token': return this.#device(room, token, 'inspect-token', { ...intent as Intent<'inspect-token'>, needs: step.do.needs, algorithm: step.do.algorithm, asked: ask('open the token') });
      case 'test-random': return this.#device(room, token, 'test-random', intent as Intent<'test-random'>);
      case 'take-inventory': return this.#device(room, token, 'take-inventory', { ...intent as Intent<'take-inventory'>, asked: ask('list the token') });
      case 'generate-key': return this.#device(room, token, 'generate-key', { ...intent as Intent<'generate-key'>, extractable: step.do.attributes.extractable === 'until-locked', asked: ask('generate the key') });
      case 'prove-key': return this.#device(room, token, 'prove-key', { ...intent as Intent<'prove-key'>, algorithm, asked: ask('let the key prove itself') });
      case 'issue-certificate': {
        const subject = certificateSubject(state) as unknown as Record<string, string>;
        return this.#device(room, token, 'issue-certificate', { ...intent as Intent<'issue-certificate'>, algorithm, subject, asked: ask('sign the certificate') });
      }
      case 'make-backup-key': {
        const { set, epoch } = intent as Intent<'make-backup-key'>;
        const custodians = (state.plan?.seats ?? []).filter((seat) => seat.role === 'custodian').map((seat) => seat.id);
        return this.#device(room, token, 'make-backup-key', { token: (intent as Intent<'make-backup-key'>).token, set, epoch, threshold: state.plan?.set?.threshold ?? 0, custodians, asked: ask('draw randomness from the token') });
      }
      case 'wrap-key': {
        const { token: serial, id } = intent as Intent<'wrap-key'>;
        return this.#device(room, token, 'wrap-key', { token: serial, id, asked: ask('wrap the key') });
      }
      case 'give-share': {
        const { card, object, x, erases } = intent as Intent<'give-share'>;
        return this.#device(room, token, 'give-share', { card, object, x, erases, asked: ask('receive your share on your share card') });
      }
      case 'read-back-share': return this.#device(room, token, 'read-back-share', { ...intent as Intent<'read-back-share'>, asked: ask('have your share read back') });
      case 'prove-recovery': {
        const { token: serial, quorum, nonce } = intent as Intent<'prove-recovery'>;
        const { backup, key } = state;
        if (!backup || !key?.wrapped) throw new Refused(refuse('WRAP-BEFORE-RECOVERY', 'a wrapped key and its shares', 'none', 'Do what the screen asks for now.'));
        return this.#device(room, token, 'prove-recovery', {
          token: serial, id: key.id, algorithm, wrapped: key.wrapped, nonce, spki: key.spki, set: backup.set,
          quorum: quorum.map((seat) => {
            const share = backup.given[seat];
            return { seat, card: share?.card ?? '', object: share?.object ?? '', x: share?.x ?? 0, asked: ask('prove the recovery with your share', seat) };
          }),
          asked: ask('prove the recovery'),
        });
      }
      case 'lock-key': return this.#device(room, token, 'lock-key', { ...intent as Intent<'lock-key'>, asked: ask('make the key non-extractable') });
      case 'wipe-backup-key': return state.backup?.alive === true ? this.#device(room, token, 'wipe-backup-key', {}) : { how: 'process-ended' };
      case 'confirm-script': case 'put-away': return {};
    }
  }

  // --- after a crash -------------------------------------------------------------------------------------------------

  async #resume(room: Room, request: Extract<Request, { call: 'resume' }>): Promise<void> {
    if (room.recorder) throw new Refused(refuse('RESUME-ONCE', 'an interrupted record', 'one that is under way', 'Go on with the step on the screen.'));
    const { state } = room.fold;
    if (request.standIns && state.opening?.mode !== 'rehearsal') throw new Refused(refuse('STAND-INS-ONLY-REHEARSE', 'real people in a real ceremony', 'stand-ins', 'Everybody types their own PIN.'));
    const recorder = await this.#newRecorder();
    const { present, officer, reason } = request;
    this.#write(room, 'resumed', { recorder, present, officer, reason });
    room.recorder = true;
    room.standIns = request.standIns;
    room.losses.set(RECORDER.name, this.#world.devices.losses(RECORDER.name).count);
  }
}

type MutableBindings = { tokens: Record<string, { module: string; serial: string }>; cards: Record<string, Record<string, { module: string; serial: string }>> };

function officerOf(state: State): string {
  return state.people.find((person) => person.role === 'officer')?.seat ?? 'officer';
}

function problemOf(error: unknown): DeviceError {
  if (error instanceof DeviceProblem) return error.error;
  if (error instanceof Refused) return { code: error.refusal.rule, message: `expected ${error.refusal.expected}; found ${error.refusal.found}`, hint: error.refusal.next, nothingChanged: false };
  return { code: 'EVIDENCE-MATCHES-ACTION', message: 'The device process answered with something that is not evidence.', hint: 'Try the step again; if it happens again, report it.', nothingChanged: false };
}

/** What an aborted ceremony leaves on tokens and cards, so that the next one can explain it. */
function leftBehind(state: State): ObjectFact[] {
  const { key, backup, voidShares } = state;
  const objects: ObjectFact[] = [];
  if (key) for (const half of ['private-key', 'public-key'] as const) objects.push({ class: half, id: key.id, label: key.label, keyType: key.private.keyType });
  const shares = [...Object.values(backup?.given ?? {}).map((share) => share.object), ...Object.values(voidShares).flat()];
  for (const label of shares) objects.push({ class: 'data', id: '', label, keyType: '' });
  return objects.slice(0, 300);
}
