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
import { activationInput, formerSet, type ActivationRecord, type Whose } from '../../ceremonies/activation.ts';
import { createdId, fileOf, goesToToken, orderText } from '../../ceremonies/administration.ts';
import { forWebCrypto, fromBase64url, toBase64url, toHex, utf8 } from '../../ceremonies/bytes.ts';
import {
  check, checkpointMessage, custodianNumber, cardOf, disagreementStatement, FORMAT, isHuman, pendingAction, personAt, presenceStatement,
  issuerOf, keyInput, nextEpoch, resumeStatement, shareNumber, shareReceivers, sealStatement, zeroises, type Data, type Entry, type Kind, type State,
} from '../../ceremonies/ceremony.ts';
import { approvalStatement } from '../../ceremonies/approvals.ts';
import { AWAY, destructionAtFirst, listOf, nextCopy, readCopyList, tokenCopies, type CopyList } from '../../ceremonies/destruction.ts';
import { escrowOpeningFault, releaseOf, releaseStep, termsOf } from '../../ceremonies/escrow.ts';
import { ACTIVATION_PIN, EVIDENCE, type ChangeOrder, type Evidence, type Input, type Intent, type KeyReference, type ObjectFact, type PublicJwk, type ShareSet, type TokenFacts } from '../../ceremonies/evidence.ts';
import { identityOfRecord, idsNeeded, inputDigest, keyIds, keyRecordFile, keyReference, profileOfKey, type CeremonyKey } from '../../ceremonies/key-record.ts';
import { caAlgorithmNamed } from '../../ceremonies/keys/algorithms.ts';
import { Refused, refuse, type Refusal } from '../../ceremonies/refusal.ts';
import { rehearse } from '../../ceremonies/rehearse.ts';
import type { Backup, BackupRecord } from '../../ceremonies/backup-record.ts';
import { backupInput, idsToRestore } from '../../ceremonies/recovery.ts';
import { bagAt, bagInUse, bagsFault, expectedBag } from '../../ceremonies/putting-away.ts';
import { rehearsalSeats, someoneLeft } from '../../ceremonies/renewal.ts';
import { handlesCopies, envelopeDigest, returnStep } from '../../ceremonies/share-copies.ts';
import { totalOnForms } from '../../ceremonies/components.ts';
import { backsUpOpened } from '../../ceremonies/later-backup.ts';
import { readScript, type Parameters, type Plan, type PlanStep, type Script } from '../../ceremonies/script.ts';
import { rehearsalMovements } from '../../ceremonies/shares/movements.ts';
import { encodeLine, Fold, parseLine, type Hasher } from '../../ceremonies/transcript.ts';
import { keyNamed, passageOf } from '../../ceremonies/statements.ts';
import { initialises, labelAfter, observedZeroise } from '../../ceremonies/zeroise.ts';
import type { Inventory } from '../../ceremonies/inventory.ts';
import type { Answer, Answers, Bindings, Call, CeremonySummary, Entries, Estate, Inputs, ModuleReport, Moved, Request } from '../contract.ts';
import type { Answer as DeviceAnswer, Asked, DeviceError, ModuleConfig, Operation, Request as DeviceRequest, Slots } from '../devices/protocol.ts';
import type { Blocklist } from './blocklist.ts';
import type { EscrowWorld } from './escrow.ts';
import type { InventoryRoom } from './inventory.ts';
import type { Ledger } from './ledger.ts';
import { ReaderWatch } from './readers.ts';
import type { LookingRequest, LookingWorld } from './looking.ts';
import { clockJump, SOFTWARE_MODULE, type Configuration } from './machine.ts';
import { organisationTemplates } from './templates.ts';

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
  /** Ends the process of this module, so that the next call starts a fresh one. No loss: it was wanted. */
  restart(module: string): Promise<void>;
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
  /** `drift`: how far the clock is ahead of what the machine counts by itself, in milliseconds; only its changes mean anything. */
  readonly clock: { now(): Date; source(): string; drift(): number };
  readonly random: (bytes: number) => Uint8Array;
  readonly warnings: () => string[];
  /** Writes a finished bundle, or what else is for keeping, durably and returns its path. */
  readonly saveBundle: (name: string, bytes: Uint8Array) => string;
  readonly push: (entries: Entries) => void;
  /** Tokens or readers came or went, or a card is awaited. */
  readonly moved: (moved: Moved) => void;
  /** The modules of this machine as files. Throws `Refused` MODULES-SEEN. */
  readonly modules: () => ModuleReport;
  /** Known broken keys, where the administrator gave such a file. Throws `Refused` BLOCKLIST-FILE, BLOCKLIST-CHANGED. */
  readonly blocklist: () => Blocklist | null;
}

/** One open record. `recorder` false: its key ended with its process, and only a resumption may follow. */
interface Room {
  readonly ceremony: string;
  readonly fold: Fold;
  recorder: boolean;
  standIns: boolean;
  working: boolean;
  /** The clock's drift as the record last knew it. */
  drift: number;
  /** Losses of device processes that the record knows of, by module. */
  readonly losses: Map<string, number>;
  /** What the register had in which bag when this ceremony first asked. */
  register: Promise<Answers['custody']> | null;
}

/** Shares of one set, each with the seat of whoever lends it. */
interface Lending { readonly set: string; readonly shares: readonly (readonly [seat: string, share: { readonly card: string; readonly object: string; readonly x: number }])[] }

/** What an act is given beside its step: a change that was ordered, the file of it, words that were written out. */
interface Acting { readonly ordered?: Intent<'administer'> | Intent<'destroy-copies'>; readonly file?: Uint8Array | null; readonly typed?: string }

/** Requests that change one record. */
type RoomRequest = Extract<Request, { call: 'act' | 'leave-copy' | 'witness' | 'decide' | 'note' | 'exception' | 'break' | 'back' | 'disagree' | 'abort' | 'resume' | 'log-out' }>;

/** Likewise what reads certificates, requests and lists of revocations. */
const profiling = () => import('../../ceremonies/profile.ts');
const reading = () => import('../../ceremonies/inputs.ts');
/** The Tokens room, and the Keys room. */
const looking = () => import('./looking.ts');
const keeping = () => import('./inventory.ts');

const inventories = () => import('../../ceremonies/inventory.ts');
/** Envelopes bring CMS with them. */
const escrowing = () => import('./escrow.ts');
const copying = () => import('./copying.ts');
const envelopes = () => import('../../ceremonies/escrow-envelope.ts');
/** What the records say of the keys, and statements on them. */
const stating = () => import('./stating.ts');

/** Judging brings X.509 with it, which the first screen does not need: it is loaded when it is first asked for. */
const judging = () => import('../../ceremonies/verify.ts');

/** Why an entry may not be written: the rule it breaks, or a claim of it that does not hold. */
async function refusalOf(state: State, entry: Entry): Promise<Refusal | undefined> {
  const refusal = check(state, entry);
  if (refusal) return refusal;
  const { claimsOf, testClaims } = await judging();
  return (await testClaims(claimsOf(state, entry)))[0];
}

/** Name of the script whose records are the volumes of this machine's logbook. */
const LOGBOOK = 'administration';
/** What a rehearsal's officer logs in with, on whichever module they chose. */
const OFFICERS_CARD = 'REHEARSAL identity officer';

/** How long the middle of a step waits for a card, in milliseconds. */
const CARD_PATIENCE = 3 * 60_000;

const RECORDER: ModuleConfig = { kind: 'recorder', name: 'recorder' };

export class Conductor {
  readonly #world: Surroundings;
  readonly #rooms = new Map<string, Room>();
  #estate: Estate = { modules: [] };
  #keys: Promise<InventoryRoom> | null = null;
  /** The card that somebody is to put in, in the middle of a step. */
  #awaited: { readonly serial: string; readonly here: () => void } | null = null;
  readonly readers: ReaderWatch;

  constructor(world: Surroundings) {
    this.#world = world;
    this.readers = new ReaderWatch({
      call: (module, operation, body) => world.devices.call(module, operation, body), busy: (module) => world.devices.busy(module),
      problemOf: (error) => (error instanceof DeviceProblem ? problemOf(error) : null), modules: world.configuration.modules, estate: () => this.#estate, refresh: () => this.#readEstate(),
      noteSlots: (module, slots) => { this.noteSlots(module, slots); }, tell: (readers) => { world.moved({ readers }); },
    });
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
      case 'readers': return this.readers.report();
      case 'objects': return this.#world.devices.call(this.#module(request.module), 'objects', { token: request.token, offset: request.offset, limit: request.limit });
      case 'mechanisms': return this.#world.devices.call(this.#module(request.module), 'mechanisms', { token: request.token });
      case 'templates': return { templates: organisationTemplates(this.#world.home) };
      case 'scripts': return this.#world.scripts.map(({ name, text }) => ({ name, text, faults: readScript(text).faults }));
      case 'lint': {
        const { script, faults } = readScript(request.text);
        return { faults, words: script?.words ?? [] };
      }
      case 'rehearse-model': {
        const { rehearsed, faults } = rehearse(this.#script(request.script), request.parameters);
        return { faults, steps: rehearsed?.plan.steps.length ?? 0, minutes: rehearsed?.minutes ?? 0 };
      }
      case 'read-input': {
        const input: Input = { kind: request.kind, file: request.file.file, bytes: toBase64url(request.file.bytes) };
        const { inputFacts, inputFindings } = await reading();
        const findings = await inputFindings(input);
        // A file that cannot be read at all has no facts; what is wrong with it is said either way.
        const facts = await inputFacts(input).catch((error: unknown) => {
          if (error instanceof Refused && findings.length > 0) return [];
          throw error;
        });
        return { sha256: inputDigest(input), facts, findings };
      }
      case 'provision': return this.#provision(request);
      case 'cancel': {
        const { state } = this.#room(request.ceremony).fold;
        if (this.#awaited) {
          this.#awaited.here(); // the device then says that it is not
          return { cancelled: true };
        }
        return this.#world.devices.call(this.#tokenModule(state), 'cancel', {});
      }
      case 'open': return { ceremony: await this.#open(request) };
      case 'log-in': return { ceremony: await this.#logIn(request) };
      case 'administer': return this.#administer(request);
      case 'save-file': return this.#saveFile(request.ceremony, request.entry);
      case 'ceremonies': return this.#ceremonies();
      case 'entries': return { lines: this.#world.ledger.lines(request.ceremony, request.from) };
      case 'export': return this.#export(request.ceremony);
      case 'certificate': return this.#certificate(request.ceremony);
      case 'print-certificate': throw new Refused(refuse('WINDOW-PRINTS', 'the window of the app, which prints', 'the process that keeps the record', 'Print certificate-of-destruction.html of the bundle with any browser.'));
      case 'verify': {
        const { verifyFile } = await judging();
        const { verdict, lines } = await verifyFile(request.bytes, { hasher: this.#world.hasher });
        return { verdict, lines };
      }
      case 'verify-own': {
        const { verdict, lines } = await (await this.#keysRoom()).judge(request.ceremony);
        return { verdict, lines };
      }
      case 'inventory': case 'reconcile': case 'inventory-progress': return (await this.#keysRoom()).answer(request);
      case 'custody': return this.#custody();
      case 'plan-destruction': return this.#planDestruction(request);
      case 'key-record': return this.#keyRecord(request);
      case 'token-modules': case 'token-details': case 'search-objects': case 'find-uri': case 'object': case 'probe': case 'scan-keys': case 'compare-tokens': case 'random-test': case 'self-test':
      case 'token-login': case 'token-log-out': case 'explain':
        return this.#look(request);
      case 'act': case 'leave-copy': case 'witness': case 'decide': case 'note': case 'exception': case 'break': case 'back': case 'disagree': case 'abort': case 'resume': case 'log-out':
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
        return { name: config.name, facts: module, problem: null, ...await devices.call(config, 'slots', {}) };
      } catch (error) {
        if (!(error instanceof DeviceProblem)) throw error;
        const { code, message, hint } = error.error;
        return { name: config.name, facts: null, problem: { code, message, hint }, slots: [], moves: false };
      }
    }));
    this.#estate = { modules };
    return this.#estate;
  }

  /** What a module said by itself of who is in its slots: everybody is told. */
  noteSlots(name: string, slots: Slots): void {
    this.#estate = { modules: this.#estate.modules.map((module) => (module.name === name ? { ...module, slots } : module)) };
    this.#world.moved({ module: name, slots, awaits: this.#awaited?.serial ?? null });
    void this.readers.tell();
    if (slots.some(({ token }) => token?.serial === this.#awaited?.serial)) this.#awaited?.here();
  }

  /** Where cards are put in and taken out: until this one is in a reader, or nobody has put it in for long. Then the device says what is missing. */
  async #cardIn(module: ModuleConfig, serial: string): Promise<void> {
    await this.#world.devices.call(module, 'start', { module });
    const { slots, moves } = await this.#world.devices.call(module, 'slots', {});
    if (!moves || slots.some(({ token }) => token?.serial === serial)) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, CARD_PATIENCE);
      this.#awaited = { serial, here: () => { clearTimeout(timer); resolve(); } };
      this.#world.moved({ module: module.name, slots, awaits: serial });
    });
    this.#awaited = null;
    const now = this.#estate.modules.find(({ name }) => name === module.name)?.slots ?? slots;
    this.#world.moved({ module: module.name, slots: now, awaits: null });
  }

  async #look(request: LookingRequest): Promise<Answers[Call]> {
    return (await looking()).look(request, this.#forLooking());
  }

  #forLooking(): LookingWorld {
    const { devices, configuration, modules, blocklist } = this.#world;
    return {
      call: (module, operation, body) => devices.call(module, operation, body),
      module: (name) => this.#module(name),
      estate: () => this.#readEstate(),
      inCeremony: (serial) => this.#ceremonyWith(serial),
      production: configuration.production, modules, blocklist, anyModule: RECORDER,
    };
  }

  /** Kept, with the verdicts that were given in it. */
  #keysRoom(): Promise<InventoryRoom> {
    const { ledger, hasher, devices } = this.#world;
    return this.#keys ??= keeping().then(({ inventoryRoom }) => inventoryRoom({
      ledger, hasher, looking: this.#forLooking(), busy: (module) => devices.busy(module),
      told: (error) => (error instanceof DeviceProblem || error instanceof Refused ? problemOf(error) : null),
    }));
  }

  /** The title of a ceremony under way whose token this is. */
  #ceremonyWith(serial: string): string | null {
    for (const { recorder, fold: { state } } of this.#rooms.values()) {
      const bound = Object.values(state.opening?.bindings.tokens ?? {});
      if (recorder && state.phase === 'open' && bound.some((token) => token.serial === serial)) return state.script?.title ?? '';
    }
    return null;
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
        ceremony, script: script?.name ?? '', title: script?.title ?? ceremony, mode: opening.data.mode, state,
        // Even an ended record needs its last checkpoint: without one it can still be resumed and finished.
        interrupted: (state === 'open' || last.at(-1)?.kind !== 'checkpoint') && this.#rooms.get(ceremony)?.recorder !== true,
        entries: count, openedAt: opening.at, lastAt: last.at(-1)?.at ?? opening.at,
      };
    });
  }

  async #custody(): Promise<Answers['custody']> {
    const [{ custodyReport }, room] = await Promise.all([import('./custody.ts'), this.#keysRoom()]);
    const { hasher, home } = this.#world;
    return custodyReport(home, await room.judgeAll(), hasher);
  }

  /** Read as the ceremony will read it before it is written: what it refuses is refused here. */
  async #planDestruction({ key: name, despite, people, save }: Extract<Request, { call: 'plan-destruction' }>): Promise<Answers['plan-destruction']> {
    const [{ planDestruction }, { fileDigest }, inventory] = await Promise.all([import('../../ceremonies/destroy-plan.ts'), judging(), this.#inventory()]);
    const key = keyNamed(inventory.keys, name);
    const list = planDestruction(inventory, key, { people, retention: [], despite });
    if (!save) return { list, file: null };
    const bytes = utf8(`${JSON.stringify(list, null, 2)}\n`);
    readCopyList(bytes);
    const sha256 = fileDigest(bytes);
    return { list, file: { path: this.#world.saveBundle(`copies-${sha256.slice(0, 8)}.json`, bytes), sha256 } };
  }

  async #keyRecord({ save, ...of }: Extract<Request, { call: 'key-record' }>): Promise<Answers['key-record']> {
    const [{ recordOfKey }, { fileDigest }] = await Promise.all([import('./key-records.ts'), judging()]);
    const record = await recordOfKey(of, this.#forLooking());
    if (!save) return { record, file: null };
    const bytes = keyRecordFile(record);
    const sha256 = fileDigest(bytes);
    return { record, file: { path: this.#world.saveBundle(`key-${sha256.slice(0, 8)}.json`, bytes), sha256 } };
  }

  async #export(ceremony: string): Promise<Answers['export']> {
    const [{ makeBundle }, { fileDigest }] = await Promise.all([import('../../ceremonies/bundle.ts'), judging()]);
    const lines = this.#linesOf(ceremony);
    const bytes = makeBundle(lines);
    const name = readScript((parseLine(lines[0] ?? '') as Entry<'opened'>).data.script).script?.name ?? 'ceremony';
    return { path: this.#world.saveBundle(`${name}-${ceremony.slice(0, 8)}.zip`, bytes), sha256: fileDigest(bytes) };
  }

  async #certificate(ceremony: string): Promise<Answers['certificate']> {
    const { certificateOf } = await import('../../ceremonies/bundle.ts');
    const html = certificateOf(this.#linesOf(ceremony));
    if (html === null) throw new Refused(refuse('CERTIFICATE-DUE', 'a closed record of a destruction, in which every copy was looked for again', 'another one', 'Finish the destruction first; the certificate follows from its record.'));
    return { name: `certificate-of-destruction-${ceremony.slice(0, 8)}`, html };
  }

  #linesOf(ceremony: string): readonly string[] {
    const lines = this.#world.ledger.lines(ceremony, 0);
    if (lines.length === 0) throw new Refused(refuse('CEREMONY-KNOWN', 'a ceremony of this machine', ceremony, 'Choose one from the list.'));
    return lines;
  }

  // --- opening -------------------------------------------------------------------------------------------------------

  async #provision({ script: name, parameters, module, ca, kem, tokens: existing = {}, cards: held = {}, brought = [] }: Extract<Request, { call: 'provision' }>): Promise<Answers['provision']> {
    const plan = this.#rehearsed(name, parameters).plan;
    this.#notInProduction([...Object.values(existing), ...Object.values(held).flatMap((seats) => Object.values(seats))]);
    const config = this.#module(module);
    const wanted: { label: string; bind: (bindings: MutableBindings, serial: string) => void }[] = [];
    // Whoever has left takes part in no ceremony, and has a share all the same.
    const absent: { bound: Bindings['tokens'][string] | null } = { bound: null };
    if (someoneLeft(plan) && held['share-card'] === undefined) wanted.push({ label: 'REHEARSAL share of one who left', bind: (_bindings, serial) => { absent.bound = { module, serial }; } });
    for (const token of plan.tokens.filter((one) => !Object.hasOwn(existing, one))) wanted.push({ label: `REHEARSAL ${token}`, bind: (bindings, serial) => { bindings.tokens[token] = { module, serial }; } });
    for (const [card, spec] of Object.entries(plan.room.cards)) {
      for (const seat of plan.seats) {
        if ((spec.for === 'custodian' && seat.role !== 'custodian') || held[card]?.[seat.id] !== undefined) continue;
        if (spec.optional === true && (held[card] !== undefined || !rehearsalSeats(plan, card).includes(seat.id))) continue;
        // A label has 32 bytes (PKCS#11 3.2, 5.5.7): the first word of the card's name must do.
        wanted.push({ label: `REHEARSAL ${card.split('-')[0] ?? card} ${seat.id}`.slice(0, 32), bind: (bindings, serial) => { (bindings.cards[card] ??= {})[seat.id] = { module, serial }; } });
      }
    }
    // A key that is only spoken of stands on no token of the room.
    const elsewhere: { bound: Bindings['tokens'][string] | null } = { bound: null };
    if (plan.tokens.length === 0 && Object.entries(plan.inputs).some(([name, { kind }]) => (kind === 'key' || (kind === 'backup' && handlesCopies(plan))) && !brought.includes(name))) wanted.push({ label: 'REHEARSAL CA', bind: (_bindings, serial) => { elsewhere.bound = { module, serial }; } });
    await this.#world.devices.call(config, 'start', { module: config });
    const { tokens } = await this.#world.devices.call(config, 'provision', { labels: wanted.map((item) => item.label) });
    const bindings: MutableBindings = { tokens: { ...existing }, cards: structuredClone(held) };
    wanted.forEach((item, index) => {
      const token = tokens[index];
      if (!token) throw new Refused(refuse('PROVISION', `${wanted.length} rehearsal tokens`, `${tokens.length}`, 'Look at the tokens, and try again.'));
      item.bind(bindings, token.serial);
    });
    return { bindings, inputs: await this.#props(plan, bindings, elsewhere.bound ?? Object.values(bindings.tokens)[0], brought, ca ?? { algorithm: 'MLDSA65-ECDSA-P256-SHA512', place: 'split' }, kem ?? 'ml-kem-768', absent.bound) };
  }

  /** The files of a rehearsal: made for it, of keys that are worth nothing. */
  async #props(plan: Plan, bindings: Bindings, bound: Bindings['tokens'][string] | undefined, brought: readonly string[], ca: { algorithm: string; place: 'token' | 'split' | 'wrapped' }, kem: string, absent: Bindings['tokens'][string] | null): Promise<Inputs> {
    const inputs: Inputs = {};
    let made: { readonly key: KeyReference; readonly certificate: string } | undefined;
    const { devices, clock, random } = this.#world;
    const release = releaseStep(plan);
    if (release) return this.#escrowProps(release, bound, brought, ca);
    if (returnStep(plan)) return this.#returnProps(plan, bound, brought, ca);
    // A key and a backup are of one key: it is made together with its backup, and stays on its token.
    const kinds = Object.entries(plan.inputs).filter(([name]) => !brought.includes(name)).map(([, { kind }]) => kind);
    const pair = bound && kinds.includes('key') && kinds.includes('backup') ? await this.#backupFor(bindings, this.#module(bound.module), bound.serial, ca, true, absent) : null;
    for (const [name, { kind, optional }] of Object.entries(plan.inputs)) {
      if (brought.includes(name) || optional === true) continue;
      if (kind === 'movements') {
        inputs[name] = { file: `rehearsal-${name}.csv`, bytes: forWebCrypto(rehearsalMovements(plan, random)) };
        continue;
      }
      if (!bound) throw new Refused(refuse('PROVISION', 'a token for the rehearsal\'s CA', 'none', 'Add a token under room.'));
      const config = this.#module(bound.module);
      const file = (suffix: string, bytes: Uint8Array) => { inputs[name] = { file: `rehearsal-${name}.${suffix}`, bytes: forWebCrypto(bytes) }; };
      switch (kind) {
        case 'key': {
          made = pair ? { key: pair.key, certificate: pair.certificate ?? '' } : await devices.call(config, 'provision-ca', { token: bound.serial, ...ca, extractable: backsUpOpened(plan) });
          const algorithm = caAlgorithmNamed(ca.algorithm);
          const record = { format: 'conclave-key/1', label: 'REHEARSAL CA', token: bound.serial, profile: 'profile' in algorithm ? algorithm.profile : null, ...made };
          file('json', utf8(JSON.stringify(record)));
          break;
        }
        case 'request': file('csr', fromBase64url((await devices.call(config, 'provision-file', { kind })).der)); break;
        case 'stated-request': {
          // A key that was there before signs nothing outside a record, not for a rehearsal either.
          if (made === undefined) throw new Refused(refuse('PROVISION', 'a request, because the CA\'s key is brought too', 'none', 'Bring the request of somebody whom this CA has certified.'));
          file('csr', fromBase64url((await devices.call(config, 'provision-stated-request', { token: bound.serial, algorithm: kem, ...made })).der));
          break;
        }
        case 'certificate': file('crt', fromBase64url((await devices.call(config, 'provision-file', { kind })).der)); break;
        case 'revocations': {
          const at = `${clock.now().toISOString().slice(0, 19)}Z`;
          file('csv', utf8(`# REHEARSAL\n${toHex(random(10)).replace(/^./, '1')},${at},keyCompromise\n${toHex(random(10)).replace(/^./, '2')},${at},cessationOfOperation\n`));
          break;
        }
        case 'copies': {
          made = await devices.call(config, 'provision-ca', { token: bound.serial, ...ca });
          file('json', utf8(JSON.stringify(await this.#rehearsalCopies(config, bound, made.key), null, 2)));
          break;
        }
        case 'recipients': file('pem', await (await copying()).rehearsalRecipients(this.#forEscrow(), config, plan)); break;
        case 'recipient': file('pub', await (await escrowing()).rehearsalAgent(this.#forEscrow(), config)); break;
        case 'escrow': case 'envelope': break; // of a release alone, and made with its backup
        case 'backup': file('json', utf8(JSON.stringify(pair ?? await this.#backupFor(bindings, config, bound.serial, ca, false, absent)))); break;
        case 'activation': break; // last, below
        case 'crl': case 'certificates': break; // optional everywhere: a first list has none before it
      }
    }
    // Once the token has its new PIN, no stand-in opens it any more.
    for (const [name, { kind, optional }] of Object.entries(plan.inputs)) {
      if (kind !== 'activation' || brought.includes(name) || optional === true || !bound) continue;
      inputs[name] = { file: `rehearsal-${name}.json`, bytes: forWebCrypto(utf8(JSON.stringify(await this.#activationFor(bindings, this.#module(bound.module), bound.serial, plan.steps.some(({ do: what }) => what.action === 'reset-user-pin') ? 'so' : 'user')))) };
    }
    return inputs;
  }

  /** The three files of a release belong together: all are brought, or all are made. */
  async #escrowProps(release: Extract<PlanStep['do'], { action: 'release-escrow' }>, bound: Bindings['tokens'][string] | undefined, brought: readonly string[], ca: { algorithm: string; place: 'token' | 'split' | 'wrapped' }): Promise<Inputs> {
    const names = [release.from, release.escrow, release.envelope];
    if (names.every((name) => brought.includes(name))) return {};
    if (!bound || names.some((name) => brought.includes(name))) throw new Refused(refuse('PROVISION', 'backup, escrow and envelope of one deposit, or none of them', `${brought.join(', ')} alone`, 'Bring all three, or take all three away and have them made.'));
    const { backup, escrow, envelope } = await (await escrowing()).rehearsalEscrow(this.#forEscrow(), this.#module(bound.module), bound.serial, ca);
    const file = (name: string, suffix: string, bytes: Uint8Array) => [name, { file: `rehearsal-${name}.${suffix}`, bytes: forWebCrypto(bytes) }] as const;
    return Object.fromEntries([file(release.from, 'json', utf8(JSON.stringify(backup))), file(release.escrow, 'json', utf8(JSON.stringify(escrow))), file(release.envelope, 'cms', envelope)]);
  }

  /** The backup and the envelope of one of its shares belong together likewise. */
  async #returnProps(plan: Plan, bound: Bindings['tokens'][string] | undefined, brought: readonly string[], ca: { algorithm: string; place: 'token' | 'split' | 'wrapped' }): Promise<Inputs> {
    const { from = '', envelope: sealed } = returnStep(plan) ?? {};
    if ([from, sealed ?? from].every((name) => brought.includes(name))) return {};
    if (!bound || brought.length > 0) throw new Refused(refuse('PROVISION', 'the backup and the envelope of one of its shares, or neither', `${brought.join(', ')} alone`, 'Bring both, or take both away and have them made.'));
    const { backup, envelope } = await (await copying()).rehearsalReturn(this.#forEscrow(), this.#module(bound.module), bound.serial, plan, ca);
    const record = { [from]: { file: `rehearsal-${from}.json`, bytes: forWebCrypto(utf8(JSON.stringify(backup))) } };
    return sealed === undefined ? record : { ...record, [sealed]: { file: `rehearsal-${sealed}.cms`, bytes: forWebCrypto(envelope) } };
  }

  #forEscrow(): EscrowWorld {
    const { devices, random, saveBundle } = this.#world;
    return { call: (module, operation, body) => devices.call(module, operation, body), random, keep: (name, bytes) => { saveBundle(name, bytes); } };
  }

  /** A list of copies to rehearse with: of a key that was just made for it, and of a sheet of paper that nobody printed. */
  async #rehearsalCopies(config: ModuleConfig, { module, serial }: { readonly module: string; readonly serial: string }, key: KeyReference): Promise<CopyList> {
    const asked: Asked = { person: 'rehearsal', name: 'Rehearsal', purpose: 'a key to destroy in a rehearsal', standIn: true, acceptFinalTry: false };
    const { objects } = await this.#world.devices.call(config, 'look', { token: serial, ids: keyIds(key), asked });
    await this.#world.devices.call(config, 'log-out', { token: serial });
    const secretFirst = [...objects].sort((a, b) => Number(a.class === 'public-key') - Number(b.class === 'public-key'));
    const copies: CopyList['copies'] = secretFirst.map((object) => ({
      what: `${object.class} "${object.label}" on the token`, secret: object.class !== 'public-key',
      by: { means: 'token', module, token: serial, ...object, check: { method: 'none', value: '' }, holder: null },
    }));
    const wrapping = copies.findIndex(({ by }) => by.means === 'token' && by.id === key.wrapping) + 1;
    for (const part of key.parts) if (part.wrapped !== null) copies.push({ what: `the ${part.part} half, wrapped in its record`, secret: true, by: { means: 'erasure', of: [wrapping], enough: 1 } });
    copies.push({ what: 'a printed copy of the wrapped key, in bag REHEARSAL-1', secret: true, by: { means: 'people', how: 'open the bag, read its number aloud, shred the sheet before everybody', physical: true } });
    return { format: 'conclave-copies/1', mode: 'rehearsal', key: { identity: `REHEARSAL ${inputDigest({ bytes: key.spki })}`, label: 'REHEARSAL CA', algorithm: key.algorithm }, copies, unknown: [], dependants: [], despite: '' };
  }

  /** The backup of a key that is thrown away at once, or `kept`. */
  async #backupFor(bindings: Bindings, token: ModuleConfig, serial: string, { algorithm, place }: { algorithm: string; place: 'token' | 'split' | 'wrapped' }, kept: boolean, absent: Bindings['tokens'][string] | null): Promise<BackupRecord> {
    const { made, shares, ceremony } = await this.#shared(bindings, token, absent, (split) => this.#world.devices.call(token, 'provision-backup', { token: serial, algorithm, place, kept, ...split }));
    return {
      format: 'conclave-backup/1', mode: 'rehearsal', ceremony, label: 'REHEARSAL CA', token: kept ? serial : 'REHEARSAL, thrown away', profile: profileOfKey(algorithm),
      key: made.key, certificate: made.certificate, wrapped: made.wrapped, set: made.set, shares,
    };
  }

  /** The token of a rehearsal, from now on opened by its custodians alone. */
  async #activationFor(bindings: Bindings, token: ModuleConfig, serial: string, whose: Whose): Promise<ActivationRecord> {
    const { made, shares, ceremony } = await this.#shared(bindings, token, null, (split) => this.#world.devices.call(token, 'provision-activation', { token: serial, whose, ...split }));
    const { label, model, manufacturer } = made.token;
    return { format: 'conclave-activation/1', mode: 'rehearsal', ceremony, token: { serial, label, model, manufacturer }, pin: { derivation: ACTIVATION_PIN.derivation, length: made.length, whose }, set: made.set, shares };
  }

  /** A set on the cards of this rehearsal's custodians: more than half of them make a quorum, at least two. Its source is wiped. */
  async #shared<Made extends { readonly set: ShareSet }>(bindings: Bindings, token: ModuleConfig, absent: Bindings['tokens'][string] | null, make: (split: { set: string; threshold: number; custodians: string[] }) => Promise<Made>): Promise<{ readonly made: Made; readonly shares: BackupRecord['shares']; readonly ceremony: string }> {
    const { devices, random } = this.#world;
    const cards = [...Object.entries(bindings.cards['share-card'] ?? {}), ...absent ? [['custodian-who-left', absent] as const] : []];
    const set = toBase64url(random(16));
    const threshold = Math.max(2, Math.ceil((cards.length + 1) / 2));
    const made = await make({ set, threshold, custodians: cards.map(([seat]) => seat) });
    const shares: BackupRecord['shares'] = [];
    try {
      for (const [index, [seat, card]] of cards.entries()) {
        const config = this.#module(card.module);
        const object = `conclave-share-${toHex(random(8))}`;
        const [x, name] = [index + 1, `Stand-in ${seat}`];
        await devices.call(config, 'start', { module: config });
        const { key: to } = await devices.call(config, 'transport-key', {});
        const { sealed } = await devices.call(token, 'seal-share', { set, x, to });
        await devices.call(config, 'give-share', { card: card.serial, object, set, x, sealed, erases: [], asked: { person: seat, name, purpose: 'a share to rehearse with', standIn: true } });
        shares.push({ x, card: card.serial, object, holder: name });
      }
    } finally {
      await devices.call(token, 'wipe-backup-key', {});
    }
    return { made, shares, ceremony: toHex(random(16)) };
  }

  /** The tokens of a list of copies that was brought. */
  async #copiesIn(plan: Plan, files: Inputs): Promise<{ readonly serial: string }[]> {
    const { list } = destructionAtFirst(plan, await this.#inputs(plan, files));
    return list === null ? [] : tokenCopies(list).map(({ on }) => ({ serial: on.token }));
  }

  #notInProduction(tokens: readonly { readonly serial: string }[]): void {
    const found = tokens.find(({ serial }) => this.#world.configuration.production.includes(serial));
    if (found) throw new Refused(refuse('REHEARSAL-NOT-ON-PRODUCTION', 'rehearsal tokens only', `${found.serial}, which is in production`, 'Choose another token. Nothing was touched.'));
  }

  #rehearsed(name: string, parameters: Parameters) {
    const script = this.#script(name);
    const { rehearsed, faults } = rehearse(script, { ...script.defaults, ...parameters });
    if (rehearsed) return rehearsed;
    const fault = faults[0];
    throw new Refused(refuse(fault?.rule ?? 'REHEARSED', fault?.expected ?? 'a script that rehearses', fault ? `${fault.found}${fault.line > 0 ? ` (line ${fault.line})` : ''}` : 'faults', fault?.next ?? 'Correct the script.'));
  }

  async #open(request: Extract<Request, { call: 'open' }>): Promise<string> {
    const { app, runtime, clock, random, warnings } = this.#world;
    const rehearsed = this.#rehearsed(request.script, request.parameters);
    // Nobody knows at the log-in which tokens will be changed: every module that is there is named.
    const administers = rehearsed.plan.steps.some((step) => step.do.action === 'administer');
    // Copies may be anywhere, too.
    const anywhere = administers || rehearsed.plan.steps.some((step) => step.do.action === 'destroy-copies');
    const serials = [...Object.values(request.bindings.tokens), ...Object.values(request.bindings.cards).flatMap((seats) => Object.values(seats))];
    if (request.mode === 'rehearsal') this.#notInProduction([...serials, ...await this.#copiesIn(rehearsed.plan, request.inputs)]);
    if (request.standIns && request.mode !== 'rehearsal') throw new Refused(refuse('STAND-INS-ONLY-REHEARSE', 'real people in a real ceremony', 'stand-ins', 'Everybody types their own PIN.'));
    const inputs = await this.#inputs(rehearsed.plan, request.inputs);
    if (releaseStep(rehearsed.plan)) {
      const fault = escrowOpeningFault(rehearsed.plan, { inputs, mode: request.mode }) ?? (await envelopes()).broughtFindings(inputs)[0];
      if (fault) throw new Refused(fault);
    }
    const unnumbered = bagsFault(rehearsed.plan);
    if (unnumbered) throw new Refused(unnumbered);
    await this.#newestSplit(inputs);
    await this.#activationInForce(rehearsed.plan, inputs);
    // Nobody enrols for a statement that would be refused at its step.
    for (const step of rehearsed.plan.steps) if (step.do.action === 'set-state') await this.#stated({ opening: { mode: request.mode, inputs } }, step.do);
    const estate = await this.#readEstate();
    for (const { module, serial } of serials) {
      const { slots = [], moves = false } = estate.modules.find((candidate) => candidate.name === module) ?? {};
      // A card comes when it is its turn: there may be fewer readers than people.
      if (!moves && !slots.some((slot) => slot.token?.serial === serial)) throw new Refused(refuse('TOKEN-PRESENT', `token ${serial} on ${module}`, 'no such token', 'Put it in, and look at the list of tokens.'));
    }
    const used = new Set(serials.map(({ module }) => module));
    // No real ceremony and no real logbook has anything to do with the software token.
    const modules = estate.modules.filter((module) => used.has(module.name) || (anywhere && !(request.mode === 'real' && module.facts?.kind === 'software'))).flatMap((module) => module.facts ? [module.facts] : []);
    const switchedOff = await this.#switchedOff(rehearsed.plan, request.bindings);
    const recorder = await this.#newRecorder();
    const ceremony = toHex(random(16));
    const fold = new Fold(this.#world.hasher);
    const room: Room = { ceremony, fold, recorder: true, standIns: request.standIns, working: false, drift: clock.drift(), losses: this.#lossesNow(), register: null };
    this.#write(room, 'opened', {
      format: FORMAT, script: rehearsed.script.text, parameters: { ...rehearsed.parameters }, mode: request.mode, people: request.people, bindings: request.bindings,
      modules, inputs, recorder, app, runtime, clock: clock.source(), warnings: [...warnings(), ...switchedOff],
      ...administers && { after: this.#volumeBefore() },
    }, { prev: rehearsed.script.hash });
    this.#rooms.set(ceremony, room);
    await this.#settle(room);
    return ceremony;
  }

  /** A set whose token has another PIN since would cost a try of it. Throws `Refused` ACTIVATION-REPLACED. */
  async #activationInForce(plan: Plan, inputs: Data<'opened'>['inputs']): Promise<void> {
    const use = plan.steps.map(({ do: what }) => what).find((what) => what.action === 'activate' || what.action === 'reset-user-pin');
    if (!use) return;
    const { token, set } = activationInput(inputs, use.from);
    const now = (await inventories()).activationInstead(await this.#inventory(), token.serial, set);
    if (now) throw new Refused(refuse('ACTIVATION-REPLACED', `the set that opens token ${token.serial} since ceremony ${now.since.ceremony.slice(0, 8)} on ${now.since.at.slice(0, 10)}`, 'one that it replaced', 'Bring activation.json of that ceremony\'s bundle, and the custodians whom it names. Nothing was tried.'));
  }

  /** A backup whose shares were renewed since, as the records of this machine know, is out of force. Throws `Refused` SHARE-OLD-EPOCH. */
  async #newestSplit(inputs: Data<'opened'>['inputs']): Promise<void> {
    const name = Object.keys(inputs).find((one) => inputs[one]?.kind === 'backup');
    if (name === undefined) return;
    const { set } = backupInput(inputs, name);
    const newer = (await inventories()).newerSplit(await this.#inventory(), set);
    if (newer) throw new Refused(refuse('SHARE-OLD-EPOCH', `the backup of epoch ${newer.epoch}: its shares were renewed in ceremony ${newer.since.ceremony.slice(0, 8)} on ${newer.since.at.slice(0, 10)}`, `one of epoch ${set.epoch}`, 'Bring backup.json of that ceremony\'s bundle, and the custodians whom it names. Nothing was touched.'));
  }

  /** The files that people chose, in the record's form. Nothing is opened with one that has a fault. */
  async #inputs(plan: Plan, files: Inputs): Promise<Data<'opened'>['inputs']> {
    const inputs: Data<'opened'>['inputs'] = {};
    for (const [name, { file, bytes }] of Object.entries(files)) {
      const input: Input = { kind: plan.inputs[name]?.kind ?? 'certificate', file, bytes: toBase64url(bytes) };
      const [finding] = await (await reading()).inputFindings(input);
      if (finding) throw new Refused({ ...finding, found: `${file}: ${finding.found}` });
      inputs[name] = input;
    }
    return inputs;
  }

  /** Libraries that give a wrong answer to a question whose answer is known: not used, and said in the record. */
  async #switchedOff(plan: Plan, bindings: Bindings): Promise<string[]> {
    const makes = plan.steps.find((step) => step.do.action === 'generate-key')?.do;
    const bound = Object.values(bindings.tokens)[0];
    if (makes?.action !== 'generate-key' || !bound) return [];
    const { off } = await this.#world.devices.call(this.#module(bound.module), 'prove-providers', { algorithm: makes.algorithm });
    return off.map(({ name, algorithm }) => `the library ${name} gave a wrong answer for ${algorithm} and is switched off`);
  }

  // --- the logbook: administration outside a ceremony ----------------------------------------------------------------

  /** What the next volume follows, so that none can be taken away unnoticed. Throws `Refused` LOGBOOK-OPEN. */
  #volumeBefore(): Data<'opened'>['after'] {
    const last = this.#ceremonies().filter((record) => record.script === LOGBOOK).at(-1);
    if (last === undefined) return null;
    if (last.state === 'open' || last.interrupted) {
      throw new Refused(refuse('LOGBOOK-OPEN', 'a logbook whose last volume is ended', `one of ${last.openedAt}, still open`, 'Log out there first. Where the program ended in between: resume that record, then log out.'));
    }
    const [line = ''] = this.#world.ledger.lines(last.ceremony, last.entries - 1);
    return { ceremony: last.ceremony, last: this.#world.hasher.entry(utf8(line)) };
  }

  async #logIn({ name, module, card, mode, standIns }: Extract<Request, { call: 'log-in' }>): Promise<string> {
    this.#volumeBefore();
    if (card === null && mode === 'real') throw new Refused(refuse('BINDINGS-COMPLETE', 'the officer\'s identity card', 'none', 'Choose the token or card that holds your identity.'));
    const bound = card ?? { module, serial: await this.#officersCard(module) };
    return this.#open({ call: 'open', script: LOGBOOK, parameters: {}, people: [{ seat: 'officer', name }], bindings: { tokens: {}, cards: { 'identity-card': { officer: bound } } }, inputs: {}, mode, standIns });
  }

  /** The rehearsal card of whoever logs in here, made where there is none. */
  async #officersCard(module: string): Promise<string> {
    const config = this.#module(module);
    const { slots } = (await this.#readEstate()).modules.find((one) => one.name === module) ?? { slots: [] };
    const there = slots.find(({ token }) => token?.label === OFFICERS_CARD)?.token;
    if (there) return there.serial;
    await this.#world.devices.call(config, 'start', { module: config });
    const { tokens: [made] } = await this.#world.devices.call(config, 'provision', { labels: [OFFICERS_CARD] });
    if (!made) throw new Refused(refuse('PROVISION', 'a rehearsal card for the officer', 'none', 'Look at the tokens, and try again.'));
    return made.serial;
  }

  async #administer({ ceremony, request, acceptFinalTry }: Extract<Request, { call: 'administer' }>): Promise<Answers['administer']> {
    const { devices, clock, random } = this.#world;
    return this.#alone(this.#room(ceremony), false, async (room) => {
      await this.#settle(room);
      this.#noteJump(room);
      await this.#settle(room);
      const step = workOf(room.fold.state);
      if (!('token' in request)) {
        const { statementOf } = await stating();
        const intent = statementOf(request, { inventory: await this.#inventory(), mode: room.fold.state.opening?.mode ?? 'rehearsal', now: clock.now() });
        return { result: (await this.#act(room, step.id, acceptFinalTry, { ordered: intent }) as Evidence<'administer'>).result };
      }
      const busy = this.#ceremonyWith(request.token);
      if (busy !== null) throw new Refused(refuse('TOKEN-IN-CEREMONY', 'a token that no ceremony is using', `one that "${busy}" is using`, 'Wait until the ceremony is over. Nothing was touched.'));
      if (room.fold.state.opening?.mode === 'rehearsal') this.#notInProduction([{ serial: request.token }]);
      const module = this.#module(request.module);
      await devices.call(module, 'start', { module });
      const { orderOf } = await import('./ordering.ts');
      const { intent, file } = await orderOf(request, { call: (operation, body) => devices.call(module, operation, body), random, now: () => clock.now() });
      const evidence = await this.#act(room, step.id, acceptFinalTry, { ordered: intent, file });
      return { result: (evidence as Evidence<'administer'>).result };
    });
  }

  async #inventory(): Promise<Inventory> {
    return (await this.#keysRoom()).inventory();
  }

  /** The passage of a key whose record was brought, and whom it concerns. Throws `Refused` as `passageOf` does. */
  async #stated({ opening }: { readonly opening: Pick<Data<'opened'>, 'mode' | 'inputs'> | null }, { key: input, to, reason, since }: Extract<PlanStep['do'], { action: 'set-state' }>): Promise<Evidence<'set-state'>> {
    const [{ affectedBy, NOTHING_AFFECTED, sinceOf }, { dependantsOf }, inventory] = await Promise.all([import('../../ceremonies/compromise.ts'), inventories(), this.#inventory()]);
    const record = keyInput({ opening }, input);
    const [identity, mode] = [identityOfRecord(record), opening?.mode ?? 'rehearsal'];
    // One that no record names yet has a certificate, and so is in use: the opening will make it known so.
    const key = inventory.keys.find((one) => one.identity === identity) ?? { identity, label: record.label, rehearsal: mode === 'rehearsal', state: 'active' as const };
    // As it is on the key record, which everybody has compared.
    const passage = { ...passageOf(key, { to, reason, since: sinceOf(since, record) }, { mode, now: this.#world.clock.now() }), label: record.label };
    if (to !== 'compromised') return { ...passage, ...NOTHING_AFFECTED, certificates: [], dependants: [] };
    const file = Object.values(opening?.inputs ?? {}).find(({ kind }) => kind === 'certificates') ?? null;
    return { ...passage, ...await affectedBy(record, file), dependants: dependantsOf(inventory, key.identity) };
  }

  async #saveFile(ceremony: string, entry: number): Promise<Answers['save-file']> {
    const lines = this.#world.ledger.lines(ceremony, 0).slice(0, entry + 1).map((line) => parseLine(line));
    const done = lines[entry]?.kind === 'done' ? (lines[entry] as Entry<'done'>).data : null;
    const begun = lines[done?.begun ?? -1];
    const intent = begun?.kind === 'begun' ? (begun as Entry<'begun'>).data.intent as Partial<Intent<'administer'>> : {};
    const file = intent.change === undefined ? null : fileOf(intent as Intent<'administer'>, (done?.evidence as Evidence<'administer'>).result);
    if (file === null) throw new Refused(refuse('CHANGE-FILE', 'a change that gave a file: a wrapped key, a request, a certificate', `entry ${entry}`, 'Choose the entry in which it was made.'));
    const { fileDigest } = await judging();
    return { path: this.#world.saveBundle(`${file.name}-${ceremony.slice(0, 8)}-${entry}.${file.suffix}`, file.bytes), sha256: fileDigest(file.bytes) };
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
    // As every reader of its line will have it: what is judged here must be what is judged there.
    return parseLine(encodeLine({
      v: 1, ceremony: room.ceremony, seq: state.count,
      // The record's own order decides: a clock that was set back does not make an entry earlier than the one before.
      at: now < state.lastAt ? state.lastAt : now,
      kind, ...(more.step !== undefined && { step: more.step }), ...(more.by !== undefined && { by: more.by }),
      data, prev: more.prev ?? state.lastHash,
    })) as Entry<K>;
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
    const room: Room = { ceremony, fold, recorder: false, standIns: false, working: false, drift: this.#world.clock.drift(), losses: this.#lossesNow(), register: null };
    this.#rooms.set(ceremony, room);
    return room;
  }

  async #inRoom(request: RoomRequest): Promise<void> {
    await this.#alone(this.#room(request.ceremony), request.call === 'resume', (room) => this.#carryOut(room, request));
  }

  /** One thing at a time in one record, and none in a record whose recorder key is gone, but its resumption. */
  async #alone<T>(room: Room, resumes: boolean, work: (room: Room) => Promise<T>): Promise<T> {
    if (room.working) throw new Refused(refuse('ONE-AT-A-TIME', 'one thing at a time', 'a step under way', 'Wait for it. If a PIN is wanted, look at the booth.'));
    this.#noteLosses(room);
    if (!room.recorder && !resumes) {
      throw new Refused(refuse('RESUME-FIRST', 'a record with a living recorder key', 'one whose key ended with its process', 'Resume the ceremony: the people present sign that it is continued.'));
    }
    room.working = true;
    try {
      const done = await work(room);
      await this.#settle(room);
      return done;
    } finally {
      room.working = false;
    }
  }

  async #carryOut(room: Room, request: RoomRequest): Promise<void> {
    const { call } = request;
    if (call === 'resume') return this.#resume(room, request);
    const settle = () => this.#settle(room).catch((error: unknown) => {
      // Where a token is gone for good nothing can be looked at any more: what people have to say, and an end, are still written down.
      if (call !== 'abort' && call !== 'note' && call !== 'exception') throw error;
    });
    await settle();
    this.#noteJump(room);
    await settle();
    const { state } = room.fold;
    switch (call) {
      case 'act': await this.#act(room, request.step, request.acceptFinalTry, { typed: request.typed ?? '', file: request.file?.bytes ?? null }); return;
      case 'leave-copy': {
        const next = state.current?.step.do.action === 'destroy-copies' ? nextCopy(state.destruction) : null;
        if (!next) throw new Refused(refuse('IN-ORDER', 'a copy that is to be destroyed now', 'none', 'Do what the screen asks for now.'));
        await this.#act(room, request.step, false, { ordered: { copy: next.number, left: request.reason } });
        return;
      }
      case 'log-out': await this.#act(room, workOf(state).id, false, { ordered: { change: 'log-out' } }); return;
      case 'witness': this.#write(room, 'witnessed', {}, { step: request.step, by: request.seat }); return;
      case 'note': this.#write(room, 'noted', { text: request.text }, { by: request.seat }); return;
      case 'exception': {
        const { expected, happened, decided, step } = request;
        this.#write(room, 'exception', { number: state.exceptions + 1, expected, happened, decided }, { by: request.seat, ...(step !== undefined && { step }) });
        return;
      }
      case 'break': this.#write(room, 'break', { present: request.present, reason: request.reason }); return;
      case 'back': this.#write(room, 'back', { present: request.present }); return;
      case 'decide': this.#write(room, 'decided', { begun: state.current?.begun ?? 0, decision: request.decision, why: request.why }, { step: state.current?.step.id ?? '', by: officerOf(state) }); return;
      case 'abort':
        this.#write(room, 'aborted', { reason: request.reason, left: leftBehind(state) }, { by: request.seat });
        // A set that was never finished leaves no backup key behind in its process, nor do components of which no key was formed.
        if (state.backup?.alive === true) await this.#letGo(this.#tokenModule(state), 'wipe-backup-key', {});
        if (state.components.alive) await this.#letGo(this.#tokenModule(state), 'wipe-components', {});
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
          if (initialises(pending.step.do.action, state.current?.intent ?? null)) {
            const { module, token, order } = this.#initialising(state);
            this.#write(room, 'found', { begun, observation: observedZeroise(order, state.inventories[token] ?? [], await this.#shown(room, module, token)) }, { step: pending.step.id });
            break;
          }
          const { module, token, ids } = this.#begunOn(state);
          const observation = await this.#device(room, module, 'look', { token, ids, asked: this.#asked(room, officerOf(state), 'look for the key that was begun') });
          this.#write(room, 'found', { begun, observation }, { step: pending.step.id });
          break;
        }
        case 'clear': {
          const { module, token, ids } = this.#begunOn(state);
          const { after } = await this.#device(room, module, 'clear', { token, ids, asked: this.#asked(room, officerOf(state), 'clear what was left behind') });
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
    const used = new Set([RECORDER.name, ...(state.opening?.modules ?? []).map(({ name }) => name), ...[...Object.values(tokens), ...Object.values(cards).flatMap((seats) => Object.values(seats))].map(({ module }) => module)]);
    for (const module of used) {
      const { count, how, detail } = this.#world.devices.losses(module);
      if (count === room.losses.get(module)) continue;
      room.losses.set(module, count);
      if (module === RECORDER.name) room.recorder = false;
      if (room.fold.state.phase === 'open') this.#write(room, 'lost', { module, how, detail });
    }
  }

  /** A clock that was moved is an entry: dates and waiting periods hang on it. */
  #noteJump(room: Room): void {
    const jump = clockJump(room.drift, this.#world.clock.drift());
    if (jump === null || room.fold.state.phase !== 'open') return;
    room.drift = this.#world.clock.drift();
    this.#write(room, 'noted', { text: jump });
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

  /** The token that the current step is about: the one it names, else the key's, else the first. */
  #tokenOf({ opening, current, key }: State): Bindings['tokens'][string] | undefined {
    const { tokens = {} } = opening?.bindings ?? {};
    const named = current && 'on' in current.step.do ? tokens[current.step.do.on ?? ''] : undefined;
    return named ?? Object.values(tokens).find(({ serial }) => serial === key?.token) ?? Object.values(tokens)[0];
  }

  #tokenModule(state: State): ModuleConfig {
    return this.#module(this.#tokenOf(state)?.module ?? SOFTWARE_MODULE);
  }

  /** One change on its token. A log-out closes what was left logged in, and changes nothing; no more does a statement. */
  async #change(room: Room, intent: Intent<'administer'>, asked: Asked, file: Uint8Array | null, kept: boolean): Promise<unknown> {
    if (goesToToken(intent)) {
      const { token, change, order } = intent;
      return this.#device(room, this.#module(intent.module), 'administer', { token, change, order, file: file === null ? null : toBase64url(file), kept, asked });
    }
    return { result: {} };
  }

  /** A token as it names itself now. Throws `Refused` TOKEN-PRESENT. */
  async #factsOf(module: ModuleConfig, serial: string): Promise<TokenFacts> {
    await this.#world.devices.call(module, 'start', { module });
    const { slots } = await this.#world.devices.call(module, 'slots', {});
    const facts = slots.find(({ token }) => token?.serial === serial)?.token;
    if (!facts) throw new Refused(refuse('TOKEN-PRESENT', `token ${serial}`, 'no such token', 'Put it in, and try again. A token that got another serial number when it was initialised is not found any more: abort, and say so.'));
    return facts;
  }

  /** A token and what it shows to whoever has not logged in, from a fresh session. */
  async #shown(room: Room, module: ModuleConfig, serial: string): Promise<{ facts: TokenFacts; objects: readonly ObjectFact[] }> {
    await this.#device(room, module, 'log-out', { token: serial });
    const facts = await this.#factsOf(module, serial);
    const { objects } = await this.#device(room, module, 'objects', { token: serial, offset: 0, limit: 2000 });
    return { facts, objects };
  }

  /** The token whose initialisation was begun, and how it was ordered. */
  #initialising(state: State): { module: ModuleConfig; token: string; order: ChangeOrder<'init-token'> } {
    const intent = state.current?.intent;
    if (state.current?.step.do.action === 'zeroise-token') {
      const order = intent as Intent<'zeroise-token'>;
      return { module: this.#tokenModule(state), token: order.token, order };
    }
    const { module, token, order } = intent as Extract<Intent<'administer'>, { token: string }>;
    return { module: this.#module(module), token, order: order as ChangeOrder<'init-token'> };
  }

  /** Where to look for what an act had begun to make. */
  #begunOn(state: State): { module: ModuleConfig; token: string; ids: string[] } {
    const intent = state.current?.intent;
    if (state.current?.step.do.action === 'form-key') return { module: this.#tokenModule(state), token: (intent as Intent<'form-key'>).token, ids: [(intent as Intent<'form-key'>).id] };
    if (state.current?.step.do.action !== 'administer') return { ...intent as Intent<'generate-key'>, module: this.#tokenModule(state) };
    const change = intent as Extract<Intent<'administer'>, { token: string }>;
    return { module: this.#module(change.module), token: change.token, ids: [createdId(change) ?? []].flat() };
  }

  #cardModule(state: State, seat: string, card = 'identity-card'): ModuleConfig {
    return this.#module(state.opening?.bindings.cards[card]?.[seat]?.module ?? SOFTWARE_MODULE);
  }

  /** Where this card of somebody is; nobody has two cards of one serial number. */
  #moduleWith(state: State, serial: string): ModuleConfig {
    const bound = Object.values(state.opening?.bindings.cards ?? {}).flatMap((seats) => Object.values(seats)).find((one) => one.serial === serial);
    return this.#module(bound?.module ?? SOFTWARE_MODULE);
  }

  /** What a process held ends with it, and a token that is gone is logged out: neither is a problem here. */
  async #letGo<O extends Operation>(module: ModuleConfig, operation: O, body: DeviceRequest<O>): Promise<void> {
    try {
      await this.#world.devices.call(module, operation, body);
    } catch (error) {
      if (!(error instanceof DeviceProblem)) throw error;
    }
  }

  async #logOut(room: Room): Promise<void> {
    for (const bound of Object.values(room.fold.state.opening?.bindings.tokens ?? {})) await this.#letGo(this.#module(bound.module), 'log-out', { token: bound.serial });
  }

  // --- one step ------------------------------------------------------------------------------------------------------

  async #act(room: Room, stepId: string, acceptFinalTry: boolean, { ordered, file: brought = null, typed = '' }: Acting): Promise<Evidence | null> {
    const { state } = room.fold;
    const pending = pendingAction(state);
    if (pending.kind !== 'step' || pending.step.id !== stepId) {
      throw new Refused(refuse('IN-ORDER', 'step' in pending ? `step ${pending.step.id}` : pending.kind, stepId, 'Do what the screen asks for now; nothing is lost.'));
    }
    const { step } = pending;
    const { action } = step.do;
    const who = { step: step.id, by: step.who };
    if (isHuman(action)) {
      const input = step.do.action === 'confirm-input' ? state.opening?.inputs[step.do.input] : undefined;
      if (step.do.action === 'set-state') {
        const entry = this.#propose(room, 'done', { begun: null, evidence: await this.#stated(state, step.do) }, who);
        const refusal = await refusalOf(state, entry);
        if (refusal) throw new Refused(refusal);
        this.#commit(room, entry);
        return null;
      }
      const { movement } = step;
      const evidence = action === 'confirm-script' ? { words: (state.script?.words ?? []).join(' ') } : movement ? { movement: movement.number, kind: movement.kind, identifier: movement.identifier } : input ? { sha256: inputDigest(input) } : await this.#closedBag(room, step, typed);
      this.#write(room, 'done', { begun: null, evidence }, who);
      return null;
    }
    if (action === 'destroy-copies' && ordered === undefined) this.#mayDestroy(room);
    const file = step.do.action === 'release-escrow' ? (await escrowing()).agentKeyFile(brought, room.standIns, this.#world.home, releaseOf(state.opening?.inputs, step.do.escrow)) : await this.#holdersFile(room, step, brought);
    const intent = ordered ?? await this.#intent(room, step, typed);
    const begun = this.#write(room, 'begun', { intent }, who);
    let evidence: Evidence;
    try {
      evidence = EVIDENCE[action].parse(await this.#perform(room, step, intent, acceptFinalTry, file));
    } catch (error) {
      // A lost process has its own entry already; any other error is the outcome of this attempt.
      if (!(error instanceof DeviceProblem && LOST.includes(error.error.code))) this.#fail(room, step, begun.seq, problemOf(error));
      await this.#settle(room);
      throw error;
    }
    await this.#outcome(room, step, begun.seq, evidence);
    return evidence;
  }

  /** Of whoever opens the envelope of a share: the key file; of every other step, what was brought. Throws `Refused` COPY-KEY-FILE. */
  async #holdersFile(room: Room, { do: what, who }: PlanStep, brought: Uint8Array | null): Promise<Uint8Array | null> {
    const { state } = room.fold;
    const digest = what.action === 'open-copy' ? state.copies[who]?.sealed?.recipient ?? '' : what.action === 'return-share' ? envelopeDigest(state.opening?.inputs, what) : null;
    return digest === null ? brought : (await copying()).holderKeyFile(brought, room.standIns, this.#world.home, personAt(state, who)?.name ?? who, digest);
  }

  /** The bag that this step opens, with the number that its holder read. Another one than the records expect stops nothing: it is written down, and found. */
  async #openedBag(room: Room, step: PlanStep, typed: string): Promise<Pick<Intent<'read-back-share'>, 'bag'>> {
    const bag = bagAt(room.fold.state, step);
    return bag?.way === 'opened' ? { bag: { number: typed, expected: room.fold.state.away.closed[bag.what] ?? expectedBag((await this.#register(room)).things, cardNamed(room.fold.state, bag.what)) } } : {};
  }

  /** The bag that this step closes. Throws `Refused` BAG-SERIAL where the register has it in use. */
  async #closedBag(room: Room, step: PlanStep, typed: string): Promise<Evidence<'put-away'>> {
    const bag = bagAt(room.fold.state, step);
    if (bag?.way !== 'closed') return {};
    const used = bagInUse((await this.#register(room)).things, cardNamed(room.fold.state, bag.what), typed);
    if (used) throw new Refused(used);
    return { bag: typed };
  }

  /** The register as it was when this ceremony first asked for it. */
  #register(room: Room): Promise<Answers['custody']> {
    return room.register ??= this.#custody().catch((error: unknown) => {
      room.register = null; // asked again at the next attempt
      throw error;
    });
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

  /**
   * The officer decided to keep a key whose generation had no recorded outcome: read it back as if just made. Only a key
   * that is all on its token can be kept: what was wrapped was never written down.
   */
  async #keep(room: Room, step: PlanStep): Promise<void> {
    const { state } = room.fold;
    const begun = state.current?.begun ?? 0;
    if (initialises(step.do.action, state.current?.intent ?? null)) {
      const { module, token: serial, order: { seen } } = this.#initialising(state);
      const { facts, objects } = await this.#shown(room, module, serial);
      await this.#outcome(room, step, begun, step.do.action === 'administer' ? { result: { before: seen, after: facts, objects: objects.length } } : { before: seen, after: facts, objects: [...objects] });
      return;
    }
    if (step.do.action === 'administer') {
      await this.#outcome(room, step, begun, EVIDENCE.administer.parse(await this.#change(room, state.current?.intent as Intent<'administer'>, this.#asked(room, officerOf(state), 'read back the key that is kept'), null, true)));
      return;
    }
    if (step.do.action === 'release-escrow') {
      const { token: serial, ids: restored, nonce } = state.current?.intent as Intent<'release-escrow'>;
      const { key } = backupInput(state.opening?.inputs, step.do.from);
      const read = await this.#device(room, this.#tokenModule(state), 'read-restored', { token: serial, key, ids: restored, nonce, asked: this.#asked(room, officerOf(state), 'read back the key that is kept') });
      // Under these fresh CKA_IDs there can only be what the envelope opened, and that only the agent's key opens.
      await this.#outcome(room, step, begun, { ...read, agent: releaseOf(state.opening?.inputs, step.do.escrow).agent.sha256 });
      return;
    }
    if (step.do.action === 'restore-key') {
      const { token: serial, ids: restored, nonce, quorum: seats } = state.current?.intent as Intent<'restore-key'>;
      const { key } = backupInput(state.opening?.inputs, step.do.from);
      const read = await this.#device(room, this.#tokenModule(state), 'read-restored', { token: serial, key, ids: restored, nonce, asked: this.#asked(room, officerOf(state), 'read back the key that is kept') });
      // Under these CKA_IDs there can only be what this quorum restored: nothing else had the shares, and the ids are fresh.
      const quorum = seats.map((seat) => ({ seat, card: state.backup?.given[seat]?.card ?? '', x: state.backup?.given[seat]?.x ?? 0 }));
      await this.#outcome(room, step, begun, { ...read, quorum });
      return;
    }
    if (step.do.action === 'form-key') {
      const intent = state.current?.intent as Intent<'form-key'>;
      await this.#outcome(room, step, begun, await this.#device(room, this.#tokenModule(state), 'read-formed', { ...formOrder(state, step.do, intent), asked: this.#asked(room, officerOf(state), 'read back the key that is kept') }));
      return;
    }
    const { token, ids, algorithm } = state.current?.intent as Intent<'generate-key'>;
    const asked = this.#asked(room, officerOf(state), 'read back the key that is kept');
    await this.#outcome(room, step, begun, await this.#device(room, this.#tokenModule(state), 'read-key', { token, ids, algorithm, asked }));
  }

  async #intent(room: Room, step: PlanStep, typed: string): Promise<Intent> {
    const { state } = room.fold;
    const { random, clock } = this.#world;
    const token = this.#tokenOf(state)?.serial ?? '';
    const ids = state.key ? keyIds(state.key) : [];
    const card = cardOf(state, 'identity-card', step.who) ?? '';
    const set = state.backup?.set.id ?? '';
    switch (step.do.action) {
      case 'enrol': return { card, id: toHex(random(16)), challenge: toBase64url(random(24)) };
      case 'sign-seal': return { card, statement: sealStatement(state) };
      case 'sign-resume': return { card, statement: resumeStatement(state) };
      case 'inspect-token': case 'take-inventory': return { token };
      case 'test-random': return { token, bytes: step.do.bytes };
      case 'generate-key': {
        const { label, algorithm, place = 'token' } = step.do;
        return { token, ids: Array.from({ length: idsNeeded(algorithm, place) }, () => toHex(random(16))), label, algorithm, place };
      }
      case 'open-key': return { token, ids: keyIds(keyInput(state, step.do.from).key) };
      case 'prove-key': case 'lock-key': return { token, ids };
      case 'sign-crl': {
        const from = new Date(Math.floor(clock.now().getTime() / 1000) * 1000);
        const next = new Date(from.getTime() + step.do.days * 86_400_000);
        return { token, ids, number: `${await (await profiling()).crlNumber(state, step.do)}`, thisUpdate: from.toISOString(), nextUpdate: next.toISOString() };
      }
      case 'issue-certificate': {
        // RFC 5280, 4.1.2.2: positive, at most 20 octets; CA/Browser Forum: at least 64 bits from a random source.
        const serial = random(16);
        serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
        const from = new Date(Math.floor(clock.now().getTime() / 1000) * 1000);
        const to = new Date(from);
        to.setUTCFullYear(to.getUTCFullYear() + step.do.years);
        return { token, ids, serialNumber: toHex(serial), notBefore: from.toISOString(), notAfter: new Date(to.getTime() - 1000).toISOString() };
      }
      case 'make-backup-key': return { token, set: toBase64url(random(16)), epoch: nextEpoch(state) };
      case 'wrap-key': return { token, ids, set };
      case 'give-share': return {
        card: cardOf(state, step.do.card ?? 'share-card', step.who) ?? '', object: `conclave-share-${toHex(random(8))}`, set,
        x: shareNumber(state, step.who), erases: [...state.voidShares[step.who] ?? []],
        ...await this.#openedBag(room, step, typed),
      };
      case 'read-back-share': {
        const share = state.backup?.given[step.who];
        return { card: share?.card ?? '', object: share?.object ?? '', set, x: share?.x ?? 1, ...await this.#openedBag(room, step, typed) };
      }
      case 'prove-recovery': return { token, set, quorum: this.#quorum(state), nonce: toBase64url(random(32)) };
      case 'restore-key': {
        const record = backupInput(state.opening?.inputs, step.do.from);
        const fresh = Array.from({ length: idsToRestore(record) }, () => toHex(random(16)));
        return { token, ids: fresh, label: record.label, set, quorum: this.#quorum(state), nonce: toBase64url(random(32)) };
      }
      case 'renew-shares': return { token, set, epoch: (state.backup?.set.epoch ?? 0) + 1, quorum: this.#quorum(state, state.renewal?.old ?? state.backup), nonce: toBase64url(random(32)) };
      case 'retire-share': {
        const { given = {}, set: old } = state.renewal?.old ?? {};
        const { card: on = '', object = '', x = 1 } = given[step.who] ?? {};
        return { card: on, object, set: old?.id ?? '', epoch: old?.epoch ?? 0, x };
      }
      case 'enter-component': case 'issue-component': return { token, set: state.components.set ?? toBase64url(random(16)), number: custodianNumber(state, step.who) };
      case 'form-key': {
        const { label, kind, check: method } = step.do;
        const { set: entered, entered: components } = state.components;
        const { check } = await this.#world.devices.call(this.#tokenModule(state), 'total-components', { set: entered ?? '', of: Object.keys(components).length, check: method });
        return { token, set: entered ?? '', id: toHex(random(16)), label, kind, check };
      }
      case 'seal-copy': case 'write-copy': {
        const { card: on = '', object = '', x = 1 } = state.backup?.given[step.who] ?? {};
        const own = { card: on, object, set, x, ...await this.#openedBag(room, step, typed) };
        // What the file of recipients is refused for is told before anybody types a PIN.
        if (step.do.action === 'seal-copy') return { ...own, recipient: (await copying()).recipientDigest(state, step.do, step.who, clock.now()) };
        return { ...own, sheet: `S-${toHex(random(4)).toUpperCase()}` };
      }
      case 'open-copy': return { set, x: state.copies[step.who]?.x ?? 1, envelope: state.copies[step.who]?.identifier ?? '' };
      case 'return-share': return {
        card: cardOf(state, step.do.card ?? 'new-share-card', step.who) ?? '', object: `conclave-share-${toHex(random(8))}`, set, x: step.do.share,
        erases: [...state.voidShares[step.who] ?? []], envelope: envelopeDigest(state.opening?.inputs, step.do),
      };
      case 'compare-keys': return { token, ids: keyIds(keyInput(state, step.do.from).key), with: state.key?.token ?? '', nonces: [toBase64url(random(32)), toBase64url(random(32))] };
      case 'seal-escrow': {
        // What the agent's file is refused for is told before anybody lends a share.
        (await import('../../ceremonies/keys/envelope.ts')).readRecipient(fromBase64url(state.opening?.inputs[step.do.for]?.bytes ?? ''), clock.now());
        return { token, set, quorum: this.#quorum(state), nonce: toBase64url(random(32)) };
      }
      case 'release-escrow': {
        const record = backupInput(state.opening?.inputs, step.do.from);
        const fresh = Array.from({ length: idsToRestore(record) }, () => toHex(random(16)));
        return { token, ids: fresh, label: record.label, envelope: releaseOf(state.opening?.inputs, step.do.escrow).sha256, nonce: toBase64url(random(32)) };
      }
      case 'wipe-backup-key': case 'wipe-activation-key': return { set };
      case 'make-activation-key': return { token, set: toBase64url(random(16)), epoch: nextEpoch(state) };
      case 'set-activation-pin': {
        const made = state.activation?.kind === 'made' ? state.activation : null;
        const again = made?.pin === 'unknown';
        const former = again || !state.opening ? null : formerSet(state.opening, step.do);
        return {
          token, set, quorum: this.#quorum(state), length: made?.length ?? 0, again,
          former: former && { set: former.record.set.id, quorum: this.#drawn(state, former.given, former.record.set.threshold) },
        };
      }
      case 'activate': return { token, set, quorum: this.#quorum(state), purpose: step.do.for };
      case 'deactivate': return { token };
      case 'reset-user-pin': return { token, set, quorum: this.#quorum(state) };
      case 'locate-copies': case 'confirm-gone': return { copies: listOf(state.destruction).copies.length };
      case 'approve': return { card, nonce: toBase64url(random(24)), expires: new Date(clock.now().getTime() + step.do.days * 86_400_000).toISOString() };
      case 'destroy-copies': return { copy: nextCopy(state.destruction)?.number ?? 1, left: null };
      case 'zeroise-token': {
        const seen = await this.#factsOf(this.#tokenModule(state), token);
        return { token, label: labelAfter(state.inspected[token] ?? seen), seen, typed };
      }
      case 'administer': throw new Refused(refuse('IN-ORDER', 'a change that somebody asks for', 'none', 'Choose what is to be changed.'));
      case 'confirm-script': case 'confirm-input': case 'wait': case 'set-state': case 'put-away': case 'hand-over': return {};
    }
  }

  /** M custodians drawn at random (Fisher-Yates over unbiased draws), in seat order. */
  #quorum(state: State, backup = state.backup): string[] {
    return this.#drawn(state, backup?.given ?? {}, backup?.set.threshold ?? 0);
  }

  #drawn(state: State, given: Backup['given'], threshold: number): string[] {
    const seats = Object.keys(given);
    for (let i = seats.length - 1; i > 0; i -= 1) {
      let draw: number;
      do draw = this.#world.random(1)[0] ?? 0; while (draw >= 256 - (256 % (i + 1)));
      const j = draw % (i + 1);
      [seats[i], seats[j]] = [seats[j] ?? '', seats[i] ?? ''];
    }
    const order = (state.plan?.seats ?? []).map(({ id }) => id);
    return seats.slice(0, threshold).sort((a, b) => order.indexOf(a) - order.indexOf(b));
  }

  async #perform(room: Room, step: PlanStep, intent: Intent, acceptFinalTry: boolean, file: Uint8Array | null): Promise<unknown> {
    const { state } = room.fold;
    const { current } = state;
    const { clock } = this.#world;
    const ask = (purpose: string, seat = step.who) => this.#asked(room, seat, purpose, acceptFinalTry);
    const token = this.#tokenModule(state);
    const own = this.#cardModule(state, step.who);
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
      case 'inspect-token': return this.#device(room, token, 'inspect-token', { ...intent as Intent<'inspect-token'>, needs: step.do.needs, algorithm: step.do.algorithm ?? null, place: step.do.place ?? 'token', login: step.do.login !== false, asked: ask('open the token') });
      case 'test-random': return this.#device(room, token, 'test-random', intent as Intent<'test-random'>);
      case 'take-inventory': {
        const { token: serial } = intent as Intent<'take-inventory'>;
        const blanked = state.zeroised[serial] !== undefined;
        // What the records know is read first: when the token has answered, nothing stands between that and its being written down.
        const known = zeroises(state, step.do.on) && state.inventories[serial] === undefined ? await this.#inventory() : null;
        // What the process knows in which the token was zeroised must not count.
        if (blanked) await this.#fresh(room, token.name);
        const listed = await this.#device(room, token, 'take-inventory', { token: serial, asked: ask('list the token') });
        return {
          ...listed, ...blanked && { fresh: true },
          ...known && { known: (await inventories()).knownObjects(known, { module: token.name, token: listed.token }, listed.objects) },
        };
      }
      case 'zeroise-token': {
        const { token: serial, label, seen } = intent as Intent<'zeroise-token'>;
        return this.#device(room, token, 'zeroise-token', { token: serial, label, seen, asked: ask('destroy everything on the token, as its security officer') });
      }
      case 'generate-key': return this.#device(room, token, 'generate-key', { ...intent as Intent<'generate-key'>, extractable: step.do.attributes.extractable === 'until-locked', asked: ask('generate the key') });
      case 'prove-key': return this.#device(room, token, 'prove-key', { token: (intent as Intent<'prove-key'>).token, key: referenceOf(state), asked: ask('let the key prove itself') });
      case 'open-key': return this.#device(room, token, 'prove-key', { token: (intent as Intent<'open-key'>).token, key: keyInput(state, step.do.from).key, ...state.plan && backsUpOpened(state.plan) && { leaving: true }, asked: ask('find the key and let it prove itself') });
      case 'issue-certificate': {
        const { token: serial, serialNumber, notBefore, notAfter } = intent as Intent<'issue-certificate'>;
        const order = (await profiling()).certificateOrder(state, step.do);
        const certificate = {
          serialNumber, notBefore, notAfter, pathLength: step.do['path-length'] ?? null,
          order: order.kind === 'root' ? { kind: order.kind, subject: order.subject as unknown as Record<string, string> } : order,
        };
        return this.#device(room, token, 'issue-certificate', { token: serial, key: referenceOf(state), certificate, asked: ask('sign the certificate') });
      }
      case 'sign-crl': {
        const { token: serial, number, thisUpdate, nextUpdate } = intent as Intent<'sign-crl'>;
        const revocations = state.opening?.inputs[step.do.revocations]?.bytes ?? '';
        return this.#device(room, token, 'sign-crl', { token: serial, key: referenceOf(state), issuer: issuerOf(state), number, thisUpdate, nextUpdate, revocations, previous: (await profiling()).previousCrlDer(state, step.do), asked: ask('sign the revocation list') });
      }
      case 'make-backup-key': {
        const { set, epoch } = intent as Intent<'make-backup-key'>;
        const custodians = (state.plan?.seats ?? []).filter((seat) => seat.role === 'custodian').map((seat) => seat.id);
        return this.#device(room, token, 'make-backup-key', { token: (intent as Intent<'make-backup-key'>).token, set, epoch, threshold: state.plan?.set?.threshold ?? 0, custodians, asked: ask('draw randomness from the token') });
      }
      case 'wrap-key': {
        return this.#device(room, token, 'wrap-key', { token: (intent as Intent<'wrap-key'>).token, key: referenceOf(state), asked: ask('wrap the key') });
      }
      case 'give-share': {
        const { card, object, x, set, erases } = intent as Intent<'give-share'>;
        const holder = this.#cardModule(state, step.who, step.do.card ?? 'share-card');
        // From the process of the backup key to that of the card, under a key that only the latter has.
        const { key: to } = await this.#device(room, holder, 'transport-key', {});
        const { sealed } = await this.#device(room, token, 'seal-share', { set, x, to });
        return this.#device(room, holder, 'give-share', { card, object, set, x, sealed, erases, asked: ask('receive your share on your share card') });
      }
      case 'read-back-share': {
        const { bag: _paper, ...readBack } = intent as Intent<'read-back-share'>;
        return this.#device(room, this.#moduleWith(state, readBack.card), 'read-back-share', { ...readBack, ...state.backup && (state.backup.brought || state.renewal !== null) && { of: state.backup.set }, asked: ask('have your share read back') });
      }
      case 'prove-recovery': {
        const { token: serial, quorum, nonce } = intent as Intent<'prove-recovery'>;
        const { backup, key } = state;
        const kept = step.do.from === undefined ? null : backupInput(state.opening?.inputs, step.do.from);
        const [reference, wrapped] = kept ? [kept.key, kept.wrapped] : [key ? keyReference(key) : null, key?.wrapped ?? null];
        if (!backup || !reference || !wrapped) throw new Refused(refuse('WRAP-BEFORE-RECOVERY', 'a wrapped key and its shares', 'none', 'Do what the screen asks for now.'));
        const lent = await this.#lent(room, quorum, 'prove the recovery with your share', acceptFinalTry);
        return this.#device(room, token, 'prove-recovery', { token: serial, key: reference, wrapped: [...wrapped], nonce, set: backup.set, quorum: lent, asked: ask('prove the recovery') });
      }
      case 'restore-key': {
        const { token: serial, ids, label, quorum, nonce } = intent as Intent<'restore-key'>;
        const { key, wrapped, set } = backupInput(state.opening?.inputs, step.do.from);
        const lent = await this.#lent(room, quorum, 'restore the key with your share', acceptFinalTry);
        return this.#device(room, token, 'restore-key', { token: serial, key, wrapped, ids, label, nonce, set, quorum: lent, asked: ask('restore the key') });
      }
      case 'compare-keys': {
        const { token: serial, with: other, nonces: [own, its] } = intent as Intent<'compare-keys'>;
        const second = Object.values(state.opening?.bindings.tokens ?? {}).find((bound) => bound.serial === other);
        const purpose = 'let the key prove itself, beside the other token';
        const primary = await this.#device(room, token, 'prove-key', { token: serial, key: keyInput(state, step.do.from).key, nonce: own, asked: ask(purpose) });
        return { primary, second: await this.#device(room, this.#module(second?.module ?? SOFTWARE_MODULE), 'prove-key', { token: other, key: referenceOf(state), nonce: its, asked: ask(purpose) }) };
      }
      case 'seal-escrow': {
        const { token: serial, quorum, nonce } = intent as Intent<'seal-escrow'>;
        const { key, wrapped, set } = backupInput(state.opening?.inputs, step.do.from);
        const recipient = state.opening?.inputs[step.do.for]?.bytes ?? '';
        const terms = termsOf(state, step.do, (await envelopes()).agentIn(fromBase64url(recipient)));
        const lent = await this.#lent(room, quorum, 'put the key into escrow with your share', acceptFinalTry);
        return this.#device(room, token, 'seal-escrow', { token: serial, key, wrapped, nonce, set, quorum: lent, recipient, terms, at: this.#world.clock.now().toISOString(), asked: ask('seal the backup key for the escrow agent') });
      }
      case 'release-escrow': {
        const { token: serial, ids, label, nonce } = intent as Intent<'release-escrow'>;
        const { key, wrapped, set } = backupInput(state.opening?.inputs, step.do.from);
        const { sha256: _digest, ...terms } = releaseOf(state.opening?.inputs, step.do.escrow);
        const envelope = state.opening?.inputs[step.do.envelope]?.bytes ?? '';
        return this.#device(room, token, 'release-escrow', {
          token: serial, key, wrapped, ids, label, nonce, set, envelope, terms, file: toBase64url(file ?? new Uint8Array()),
          asked: ask('restore the key', officerOf(state)), agent: ask('open the escrow envelope: the password of the agent\'s key file'),
        });
      }
      case 'renew-shares': {
        const { token: serial, quorum, nonce, epoch } = intent as Intent<'renew-shares'>;
        const { key, wrapped, set } = backupInput(state.opening?.inputs, step.do.from);
        const lent = await this.#lent(room, quorum, 'renew the shares with your old one', acceptFinalTry, state.renewal?.old ?? state.backup);
        return this.#device(room, token, 'renew-shares', { token: serial, key, wrapped, nonce, set, quorum: lent, epoch, threshold: state.plan?.set?.threshold ?? 0, custodians: shareReceivers(state), asked: ask('prove the recovery and split the backup key anew') });
      }
      case 'retire-share': {
        const { card, object, x } = intent as Intent<'retire-share'>;
        const copy = { class: 'data' as const, id: '', label: object, keyType: '', check: { method: 'none' as const, value: '' as const } };
        return { card, object, x, device: await this.#device(room, this.#moduleWith(state, card), 'destroy-copy', { token: card, copy, asked: ask('have your old share erased from this card') }) };
      }
      case 'seal-copy': case 'write-copy': {
        const { card, object, x, ...of } = intent as Intent<'seal-copy'> | Intent<'write-copy'>;
        const on = { card, object, x, record: copyRecord(state, step.do.from) };
        const holder = this.#moduleWith(state, card);
        if (step.do.action === 'write-copy') return this.#device(room, holder, 'write-copy', { ...on, sheet: (of as Intent<'write-copy'>).sheet, asked: ask('have your share shown to you alone, write it down, and type it from your form') });
        return this.#device(room, holder, 'seal-copy', { ...on, ...(await copying()).placeOf(state, step.do, step.who), at: clock.now().toISOString(), asked: ask('have your share sealed to your own key') });
      }
      case 'open-copy': {
        const { x, envelope } = intent as Intent<'open-copy'>;
        const { sealed } = state.copies[step.who] ?? {};
        const on = state.backup?.given[step.who]?.card ?? '';
        const opened = await this.#device(room, this.#moduleWith(state, on), 'open-copy', {
          card: on, x, record: copyRecord(state, copiedFrom(state)), envelope: sealed?.envelope ?? '', recipient: sealed?.recipient ?? '', file: toBase64url(file ?? new Uint8Array()), asked: ask('open your envelope: the password of your key file'),
        });
        return { ...opened, envelope };
      }
      case 'return-share': {
        const { card, object, set, x, erases, envelope } = intent as Intent<'return-share'>;
        return this.#device(room, this.#moduleWith(state, card), 'return-share', {
          card, object, x, erases, record: copyRecord(state, step.do.from), from: envelope === null ? 'paper' : 'envelope',
          sealed: envelope !== null ? { envelope: state.opening?.inputs[step.do.envelope ?? '']?.bytes ?? '', file: toBase64url(file ?? new Uint8Array()) } : room.standIns ? (await copying()).rehearsalSheet(this.#world.home, set, x) : null,
          asked: ask('receive your share on your new card'), holder: ask(envelope === null ? 'type your share from your form' : 'open your envelope: the password of your key file'),
        });
      }
      case 'lock-key': return this.#device(room, token, 'lock-key', { token: (intent as Intent<'lock-key'>).token, key: referenceOf(state), asked: ask('make the key non-extractable') });
      case 'enter-component': case 'issue-component': {
        const { kind, check, action } = step.do;
        const of = (state.plan?.seats ?? []).filter(({ role }) => role === 'custodian').length;
        return this.#device(room, token, action, { ...intent as Intent<'enter-component'>, of, kind, check, asked: ask(action === 'enter-component' ? 'type the component on your form' : 'write your component down, and type it from your form') });
      }
      case 'form-key': return this.#device(room, token, 'form-key', { ...formOrder(state, step.do, intent as Intent<'form-key'>), asked: ask('form the key of all the components') });
      case 'make-activation-key': {
        const { token: serial, set, epoch } = intent as Intent<'make-activation-key'>;
        return this.#device(room, token, 'make-activation-key', { token: serial, set, epoch, threshold: state.plan?.set?.threshold ?? 0, custodians: (state.plan?.seats ?? []).filter((seat) => seat.role === 'custodian').map((seat) => seat.id) });
      }
      case 'set-activation-pin': {
        const { token: serial, quorum, length, again, former: old } = intent as Intent<'set-activation-pin'>;
        const former = old && state.opening && formerSet(state.opening, step.do);
        const to = await this.#transport(room);
        const lent = await this.#lentTo(room, to, this.#members(state.backup, quorum), 'set the token\'s PIN with your share', acceptFinalTry);
        const before = former && await this.#lentTo(room, to, { set: former.record.set.id, shares: old.quorum.map((seat) => [seat, former.given[seat]!] as const) }, 'give up the old PIN with your old share', acceptFinalTry);
        return this.#device(room, token, 'set-activation-pin', {
          token: serial, whose: state.activation?.whose ?? 'user', set: setOf(state), length, quorum: lent, again, former: former && { set: former.record.set, length: former.record.pin.length, quorum: before! },
          asked: ask('change the PIN to one that nobody knows'),
        });
      }
      case 'activate': {
        const { token: serial, quorum, purpose } = intent as Intent<'activate'>;
        const { set, pin } = activationInput(state.opening?.inputs, step.do.from);
        const lent = await this.#lent(room, quorum, clipped(`open token ${serial} for: ${purpose}`), acceptFinalTry);
        return this.#device(room, token, 'activate', { token: serial, set, length: pin.length, quorum: lent, asked: ask('open the token with the quorum\'s PIN') });
      }
      case 'reset-user-pin': {
        const { token: serial, quorum } = intent as Intent<'reset-user-pin'>;
        const { set, pin } = activationInput(state.opening?.inputs, step.do.from);
        const lent = await this.#lent(room, quorum, 'be the security officer of the token with your share', acceptFinalTry);
        return this.#device(room, token, 'reset-user-pin', { token: serial, set, length: pin.length, quorum: lent, asked: ask('type the token\'s new user PIN') });
      }
      case 'deactivate': {
        const { token: serial } = intent as Intent<'deactivate'>;
        return state.activation?.kind === 'brought' && state.activation.login === 'open' ? this.#device(room, token, 'deactivate', { token: serial }) : { token: serial, how: 'ended' };
      }
      case 'wipe-backup-key': case 'wipe-activation-key': return state.backup?.alive === true ? this.#device(room, token, 'wipe-backup-key', {}) : { how: 'process-ended' };
      case 'administer': return this.#change(room, intent as Intent<'administer'>, ask(clipped(orderText(intent as Intent<'administer'>))), file, false);
      case 'locate-copies': return { seen: await this.#lookForCopies(room, ask, false) };
      case 'confirm-gone': return { seen: await this.#lookForCopies(room, ask, true) };
      case 'approve': {
        const i = intent as Intent<'approve'>;
        const statement = approvalStatement(state, step, i, current?.headBefore ?? '');
        const { signatures } = await this.#device(room, own, 'sign', { card: i.card, payloads: [statement], asked: ask(step.do.escrow === undefined ? 'approve that the key is destroyed' : 'approve that the key is released from escrow') });
        return { statement, signatures: signatures[0] };
      }
      case 'destroy-copies': return this.#destroyCopy(room, intent as Intent<'destroy-copies'>, ask);
      case 'confirm-script': case 'confirm-input': case 'wait': case 'set-state': case 'put-away': case 'hand-over': return {};
    }
  }

  // --- the copies of a key that is destroyed -------------------------------------------------------------------------

  async #destroyCopy(room: Room, { copy: number, left }: Intent<'destroy-copies'>, ask: (purpose: string) => Asked): Promise<Evidence<'destroy-copies'>> {
    if (left !== null) return { copy: number, how: 'left', words: left };
    const copy = listOf(room.fold.state.destruction).copies[number - 1];
    if (copy?.by.means !== 'token') return { copy: number, how: copy?.by.means === 'people' ? 'people' : 'pending' };
    const { means: _means, module, token, holder, ...target } = copy.by;
    const asked = ask(clipped(`destroy copy ${number}: ${copy.what}${holder === null ? '' : `, on the card of ${holder}`}`));
    return { copy: number, how: 'token', device: await this.#device(room, this.#moduleOf(room, module), 'destroy-copy', { token, copy: target, asked }) };
  }

  /** A module that was there at the opening, with the file that it was then. Throws `Refused` MODULE-KNOWN. */
  #moduleOf(room: Room, name: string): ModuleConfig {
    const known = room.fold.state.opening?.modules.some((module) => module.name === name) === true;
    if (!known) throw new Refused(refuse('MODULE-KNOWN', 'a module that was there at the opening', name, 'Leave this copy, or open the ceremony again when the module is there.'));
    return this.#module(name);
  }

  /** Asked before anything is begun: what is refused here was no attempt. */
  #mayDestroy(room: Room): void {
    const next = nextCopy(room.fold.state.destruction)?.copy.by;
    if (next?.means !== 'token') return;
    this.#moduleOf(room, next.module);
    this.#noOthers(room, [next.token]);
  }

  /** Nothing of another record's may be destroyed, or ended under its hands. Throws `Refused` TOKEN-IN-CEREMONY. */
  #noOthers(room: Room, tokens: readonly string[], modules: readonly string[] = []): void {
    for (const { ceremony, recorder, fold: { state } } of this.#rooms.values()) {
      if (ceremony === room.ceremony || !recorder || state.phase !== 'open') continue;
      const bound = Object.values(state.opening?.bindings.tokens ?? {});
      const taken = bound.find(({ serial, module }) => tokens.includes(serial) || modules.includes(module));
      if (taken) throw new Refused(refuse('TOKEN-IN-CEREMONY', 'a token that no other ceremony is using', `${taken.serial}, which "${state.script?.title ?? ''}" is using`, 'Wait until that ceremony is over. Nothing was touched.'));
    }
  }

  /** Ends the processes of these modules: what is asked next, fresh ones answer. Throws `Refused` TOKEN-IN-CEREMONY. */
  async #fresh(room: Room, ...modules: readonly string[]): Promise<void> {
    this.#noOthers(room, [], modules);
    for (const module of modules) await this.#world.devices.restart(module);
  }

  /** Every copy on a token, each token asked once; from fresh processes where what old ones know must not count. */
  async #lookForCopies(room: Room, ask: (purpose: string) => Asked, fresh: boolean): Promise<Evidence<'locate-copies'>['seen']> {
    const copies = tokenCopies(listOf(room.fold.state.destruction));
    const seen = new Map<number, Evidence<'locate-copies'>['seen'][number]>();
    const modules = [...new Set(copies.map(({ on }) => on.module))];
    if (fresh) await this.#fresh(room, ...modules);
    for (const place of new Set(copies.map(({ on }) => `${on.module} ${on.token}`))) {
      const here = copies.filter(({ on }) => `${on.module} ${on.token}` === place);
      const { module, token, holder } = here[0]!.on;
      try {
        const targets = here.map(({ on: { means: _means, module: _module, token: _token, holder: _holder, ...target } }) => target);
        const { found } = await this.#device(room, this.#moduleOf(room, module), 'count-copies', { token, copies: targets, asked: ask(clipped(`look for ${here.length === 1 ? 'a copy' : `${here.length} copies`} of the key${holder === null ? '' : `, on the card of ${holder}`}`)) });
        here.forEach(({ number }, index) => seen.set(number, { copy: number, found: found[index] ?? 0, why: '' }));
      } catch (error) {
        const why = error instanceof DeviceProblem ? error.error.code : error instanceof Refused ? error.refusal.rule : '';
        if (!Object.hasOwn(AWAY, why)) throw error;
        for (const { number } of here) seen.set(number, { copy: number, found: null, why });
      }
    }
    return copies.map(({ number }) => seen.get(number)!);
  }

  /** The quorum's shares, each read from its card and sealed for the process of the token. */
  async #lent(room: Room, quorum: readonly string[], purpose: string, acceptFinalTry: boolean, backup = room.fold.state.backup): Promise<DeviceRequest<'restore-key'>['quorum']> {
    return this.#lentTo(room, await this.#transport(room), this.#members(backup, quorum), purpose, acceptFinalTry);
  }

  /** One key of the token's process for everything that one step lends it. */
  async #transport(room: Room): Promise<string> {
    return (await this.#device(room, this.#tokenModule(room.fold.state), 'transport-key', {})).key;
  }

  #members(backup: Backup | null, quorum: readonly string[]): Lending {
    return { set: backup?.set.id ?? '', shares: quorum.map((seat) => [seat, backup?.given[seat] ?? { card: '', object: '', x: 0 }]) };
  }

  async #lentTo(room: Room, to: string, { set, shares }: Lending, purpose: string, acceptFinalTry: boolean): Promise<DeviceRequest<'restore-key'>['quorum']> {
    const { state } = room.fold;
    const lent: DeviceRequest<'restore-key'>['quorum'] = [];
    for (const [seat, { card, object, x }] of shares) {
      const holder = this.#moduleWith(state, card);
      await this.#cardIn(holder, card);
      const { sealed } = await this.#device(room, holder, 'lend-share', { card, object, set, x, to, asked: this.#asked(room, seat, purpose, acceptFinalTry) });
      lent.push({ seat, card, x, sealed });
    }
    return lent;
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

/** The step of a logbook in which changes are made. Throws `Refused` IN-ORDER. */
function workOf(state: State): PlanStep {
  const pending = pendingAction(state);
  if (pending.kind === 'step' && pending.step.do.action === 'administer') return pending.step;
  throw new Refused(refuse('IN-ORDER', 'step' in pending ? `step ${pending.step.id}` : pending.kind, 'a change to a token', 'Do what the screen asks for now. Changes are made after the log-in, and before the log-out.'));
}

/** As much of a sentence as the booth has room for (Asked.purpose). */
function clipped(purpose: string): string {
  return purpose.length <= 200 ? purpose : `${purpose.slice(0, 199)}…`;
}

function officerOf(state: State): string {
  return state.people.find((person) => person.role === 'officer')?.seat ?? 'officer';
}

function setOf({ backup }: State): ShareSet {
  if (!backup) throw new Refused(refuse('SHARE-SET', 'a set of shares', 'none', 'Do what the screen asks for now.'));
  return backup.set;
}

function referenceOf(state: State): KeyReference {
  if (!state.key) throw new Refused(refuse('KEY-BEFORE-USE', 'a key', 'none', 'Do what the screen asks for now.'));
  return keyReference(state.key);
}

function formOrder({ components }: State, what: Extract<PlanStep['do'], { action: 'form-key' }>, { token, set, id, label, kind, check }: Intent<'form-key'>): Omit<DeviceRequest<'form-key'>, 'asked'> {
  return { token, set, of: Object.keys(components.entered).length, id, label, kind, check: what.check, use: what.use, value: check.value, onForms: totalOnForms(what) };
}

/** What a copy is a copy of: as much of the backup record as the envelope names. */
function copyRecord({ opening }: State, from: string): Pick<BackupRecord, 'mode' | 'label' | 'set' | 'shares'> {
  const { mode, label, set, shares } = backupInput(opening?.inputs, from);
  return { mode, label, set, shares };
}

/** The backup whose shares are sealed in this ceremony. */
function copiedFrom({ plan }: State): string {
  return plan?.steps.flatMap(({ do: what }) => (what.action === 'seal-copy' ? [what.from] : []))[0] ?? '';
}

function problemOf(error: unknown): DeviceError {
  if (error instanceof DeviceProblem) return error.error;
  if (error instanceof Refused) return { code: error.refusal.rule, message: `expected ${error.refusal.expected}; found ${error.refusal.found}`, hint: error.refusal.next, nothingChanged: false };
  return { code: 'EVIDENCE-MATCHES-ACTION', message: 'The device process answered with something that is not evidence.', hint: 'Try the step again; if it happens again, report it.', nothingChanged: false };
}

/** A card as the script names it: `share-card/custodian-2`. */
function cardNamed(state: State, what: string): { serial: string; rehearsal: boolean } {
  const [card = '', seat = ''] = what.split('/');
  return { serial: cardOf(state, card, seat) ?? '', rehearsal: state.opening?.mode === 'rehearsal' };
}

/** What an aborted ceremony leaves on tokens and cards, so that the next one can explain it. */
function leftBehind(state: State): ObjectFact[] {
  const { key, backup, voidShares, components, renewal } = state;
  const objects: ObjectFact[] = [];
  if (key?.made === true || key?.restored === true) objects.push(...keyObjects(key));
  const { formed } = components;
  if (formed !== null) objects.push({ class: 'secret-key', id: formed.id, label: formed.label, keyType: 'CKK_AES' });
  // Shares that were brought were there before, and stay; of renewed ones that are proven, the aborted ceremony has left nothing but what is in force.
  const shares = [...Object.values(backup?.brought === true || renewal?.proven === true ? {} : backup?.given ?? {}).map((share) => share.object), ...Object.values(voidShares).flat()];
  for (const label of shares) objects.push({ class: 'data', id: '', label, keyType: '' });
  return objects.slice(0, 300);
}

function keyObjects(key: CeremonyKey): ObjectFact[] {
  const pairs = key.parts.flatMap((part) => part.private ? (['private-key', 'public-key'] as const).map((half): ObjectFact => ({ class: half, id: part.private?.id ?? '', label: key.label, keyType: part.private?.keyType ?? '' })) : []);
  return [...pairs, ...key.wrapping === null ? [] : [{ class: 'secret-key' as const, id: key.wrapping, label: key.label, keyType: 'CKK_AES' }]];
}
