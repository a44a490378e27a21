/**
 * The conductor's program: glue between its parent's messages (wire.ts) and the Conductor. Runs as Electron's utility
 * process or as a plain Node program. It opens the ledger, relays device calls, and ends when its parent ends.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { Refused, refuse, type Refusal } from '../../ceremonies/refusal.ts';
import { Request } from '../contract.ts';
import { OPERATIONS, type DeviceMessage, type DeviceReply, type ModuleConfig, type Operation } from '../devices/protocol.ts';
import type { FromConductor, Lost, Start, ToConductor } from '../wire.ts';
import { openBlocklist } from './blocklist.ts';
import { Conductor, DeviceProblem, type Devices } from './conductor.ts';
import { openLedger, type Ledger } from './ledger.ts';
import { clockSource, machineWarnings, nativeHasher, readConfiguration } from './machine.ts';
import { moduleChanged, moduleReport, placesOf, vetModule } from './modules.ts';

/** Longer than anybody takes to type a PIN per person, and than any token takes for a key. */
const PATIENCE: Partial<Record<Operation, number>> = { start: 30_000, slots: 20_000, 'recorder-new': 20_000, 'recorder-sign': 20_000 };
const PATIENCE_OTHERWISE = 15 * 60_000;

/** Electron's utility process has a parentPort, plain Node has process.send. */
interface ParentPort { on(event: 'message', listener: (event: { data: unknown }) => void): void; postMessage(message: unknown): void }
const { parentPort } = process as unknown as { parentPort?: ParentPort };

function post(message: FromConductor): void {
  if (parentPort) parentPort.postMessage(message);
  else process.send?.(message);
}

class RemoteDevices implements Devices {
  #next = 1;
  readonly #pending = new Map<number, { module: string; resolve: (body: unknown) => void; reject: (problem: DeviceProblem) => void; timer: NodeJS.Timeout; hung: boolean }>();
  /** Modules whose process has been told which library it drives. */
  readonly #started = new Map<string, unknown>();
  /** Processes that are ended on purpose: whoever waits for it. */
  readonly #wanted = new Map<string, () => void>();
  /** Judges a module's file before each start of its process; returns its SHA-256. Throws `Refused`. */
  vet: (config: ModuleConfig) => string | null = () => null;
  readonly #losses = new Map<string, { count: number; how: 'exited' | 'hung'; detail: string }>();

  async call(config: ModuleConfig, operation: Operation, body: unknown): Promise<never> {
    if (operation === 'start' && this.#started.has(config.name)) return this.#started.get(config.name) as never;
    if (operation !== 'start' && !this.#started.has(config.name)) await this.call(config, 'start', { module: config });
    const vetted = operation === 'start' ? this.#vetted(config) : null;
    const id = this.#next++;
    const message: DeviceMessage = { kind: 'request', id, operation, body };
    const answer = await new Promise<unknown>((resolve, reject) => {
      const timer = setTimeout(() => {
        const waiting = this.#pending.get(id);
        if (waiting) waiting.hung = true;
        post({ to: 'device', module: config.name, kill: true });
      }, PATIENCE[operation] ?? PATIENCE_OTHERWISE);
      this.#pending.set(id, { module: config.name, resolve, reject, timer, hung: false });
      post({ to: 'device', module: config.name, message });
    });
    const parsed: unknown = OPERATIONS[operation].answer.parse(answer);
    if (operation === 'start') {
      const { module } = parsed as { module: { sha256: string } | null };
      // Another file since it was vetted: what the process says it loaded decides.
      if (vetted !== null && module !== null && module.sha256 !== vetted && config.kind === 'pkcs11') {
        post({ to: 'device', module: config.name, kill: true });
        throw refusedModule(moduleChanged(config, { sha256: vetted }, module.sha256));
      }
      this.#started.set(config.name, parsed);
    }
    return parsed as never;
  }

  #vetted(config: ModuleConfig): string | null {
    try {
      return this.vet(config);
    } catch (error) {
      throw error instanceof Refused ? refusedModule(error.refusal) : error;
    }
  }

  losses(module: string): { readonly count: number; readonly how: 'exited' | 'hung'; readonly detail: string } {
    return this.#losses.get(module) ?? { count: 0, how: 'exited', detail: '' };
  }

  busy(module: string): boolean {
    return [...this.#pending.values()].some((waiting) => waiting.module === module);
  }

  async restart(module: string): Promise<void> {
    if (!this.#started.has(module)) return;
    if (this.busy(module)) throw new Refused(refuse('ONE-AT-A-TIME', 'a module that nobody is using', module, 'Wait until what is under way there is done.'));
    const ended = new Promise<void>((resolve) => void this.#wanted.set(module, resolve));
    post({ to: 'device', module, kill: true });
    await ended;
  }

  receive(message: Exclude<DeviceReply, { readonly kind: 'moved' | 'readers' }>): void {
    if (message.kind === 'notice') return; // shown to people by the parent
    const waiting = this.#pending.get(message.id);
    if (!waiting) return;
    this.#pending.delete(message.id);
    clearTimeout(waiting.timer);
    if (message.ok) waiting.resolve(message.body);
    else waiting.reject(new DeviceProblem(message.error));
  }

  lost(module: string, lost: Lost): void {
    this.#started.delete(module);
    const waiting = [...this.#pending].filter(([, request]) => request.module === module);
    const hung = waiting.some(([, request]) => request.hung);
    const detail = hung ? 'It did not answer in time and was ended.' : `It ended with ${lost.signal ?? (lost.code === null ? 'an unknown cause' : `code ${lost.code}`)}.`;
    // An end that was wanted is no loss; whoever waited for an answer all the same is told.
    const wanted = this.#wanted.get(module);
    this.#wanted.delete(module);
    if (!wanted) this.#losses.set(module, { count: this.losses(module).count + 1, how: hung ? 'hung' : 'exited', detail });
    for (const [id, request] of waiting) {
      this.#pending.delete(id);
      clearTimeout(request.timer);
      request.reject(new DeviceProblem({
        code: hung ? 'DEVICE_HUNG' : 'DEVICE_PROCESS_LOST', message: `The process of module ${module} is gone. ${detail}`,
        hint: hung ? 'Look at the token and its cables, then repeat the step.' : 'The app goes on. Repeat the step; where it matters the token is looked at first.',
        nothingChanged: false,
      }));
    }
    wanted?.();
  }
}

function refusedModule({ rule, expected, found, next }: Refusal): DeviceProblem {
  return new DeviceProblem({ code: rule, message: `Expected ${expected}; found ${found}.`, hint: next, nothingChanged: true });
}

/** Durable under its final name or not there at all. */
function saveBundle(home: string, name: string, bytes: Uint8Array): string {
  const folder = join(home, 'bundles');
  const path = join(folder, basename(name));
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const temporary = `${path}.part`;
    const file = openSync(temporary, 'w', 0o600);
    try {
      writeSync(file, bytes);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    const directory = openSync(folder, 'r');
    fsyncSync(directory);
    closeSync(directory);
    return path;
  } catch (error) {
    throw new Refused(refuse('DISK-WRITE', `a durable file ${path}`, (error as { code?: string }).code ?? 'an error', 'Free some space or repair the disk, then export again. The record itself is safe.'));
  }
}

let conductor: Conductor | null = null;
let ledger: Ledger | null = null;
const devices = new RemoteDevices();

async function begin(start: Start): Promise<void> {
  try {
    const configuration = readConfiguration(start.home);
    devices.vet = (config) => vetModule(config, start.home, new Date());
    ledger = await openLedger(start.home);
    const scripts = readdirSync(start.scriptsFolder).filter((file) => file.endsWith('.yaml')).sort()
      .map((file) => ({ name: basename(file, '.yaml'), text: readFileSync(join(start.scriptsFolder, file), 'utf8') }));
    conductor = new Conductor({
      ledger, devices, configuration, scripts, hasher: nativeHasher, app: start.app, runtime: start.runtime, home: start.home,
      clock: { now: () => new Date(), source: clockSource, drift: () => Date.now() - performance.now() },
      random: (bytes) => new Uint8Array(randomBytes(bytes)),
      warnings: machineWarnings,
      saveBundle: (name, bytes) => saveBundle(start.home, name, bytes),
      push: (entries) => { post({ to: 'client', entries }); },
      moved: (message) => { post({ to: 'client', moved: message }); },
      modules: () => moduleReport(configuration.modules, start.home, process.env, placesOf(homedir())),
      blocklist: () => (configuration.blocklist === undefined ? null : openBlocklist(configuration.blocklist)),
    });
    post({ to: 'parent', kind: 'ready' });
  } catch (error) {
    const refusal = error instanceof Refused ? error.refusal
      : refuse('DATA-FOLDER', `a usable data folder at ${start.home}`, error instanceof Error ? error.message.slice(0, 200) : 'an error', 'Check the folder, then start again.');
    post({ to: 'parent', kind: 'refused', refusal });
    setTimeout(() => process.exit(1), 200); // the message must leave first
  }
}

async function answer(id: number, request: unknown): Promise<void> {
  const parsed = Request.safeParse(request);
  if (!parsed.success || !conductor) {
    const issue = parsed.error?.issues[0];
    post({ to: 'client', id, answer: { ok: false, problem: { code: 'REQUEST', message: `not a request of contract.ts: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`, hint: 'This is a fault of the program. Report it.' } } });
    return;
  }
  post({ to: 'client', id, answer: await conductor.answer(parsed.data) });
}

/** Tokens came or went: everybody is told, and nobody has to ask. */
function moved(module: string, found: unknown): void {
  conductor?.noteSlots(module, OPERATIONS.slots.answer.shape.slots.parse(found));
}

function receive(message: ToConductor): void {
  switch (message.from) {
    case 'parent':
      if (message.kind === 'start') void begin(message);
      else {
        ledger?.close();
        process.exit(0);
      }
      return;
    case 'client': void answer(message.id, message.request); return;
    case 'device':
      if ('lost' in message) devices.lost(message.module, message.lost);
      else if (message.message.kind === 'moved') moved(message.module, message.message.slots);
      else if (message.message.kind === 'readers') void conductor?.readers.moved();
      else devices.receive(message.message);
  }
}

if (parentPort) parentPort.on('message', (event) => { receive(event.data as ToConductor); });
else process.on('message', (message) => { receive(message as ToConductor); });
process.on('disconnect', () => process.exit(0));
