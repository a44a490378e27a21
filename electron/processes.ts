/**
 * Starts and watches the processes of the house, and passes messages between them: the hub of wire.ts.
 *
 * Two launchers with one interface. `nodeLauncher`: plain Node, for the terminal and the tests. `electronLauncher`:
 * utility processes; only where Electron's own Node is too old for the ledger's SQLite binding does the conductor run on
 * a plain Node there too. It must never look into a request, an answer or evidence, and never hold a PIN: the booth's port goes
 * from here to the window or terminal that asks, not through here.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { MessageChannelMain, MessagePortMain, utilityProcess } from 'electron';
import type { Writable } from 'node:stream';
import { Refused, refuse } from '../ceremonies/refusal.ts';
import type { Answer, Call, Entries, Moved, Request } from './contract.ts';
import type { BoothMessage, DeviceReply, Notice } from './devices/protocol.ts';
import type { FromConductor, Lost, Start, ToConductor, ToDevice } from './wire.ts';

// --- processes ------------------------------------------------------------------------------------------------------

export interface Child {
  readonly pid: number | undefined;
  /** Never throws; what is sent to a process that has ended is lost. */
  post(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
  /** Called once, after the last message; also where the process has ended already. */
  onExit(listener: (lost: Lost) => void): void;
  /** SIGKILL: a vendor library may hang where no other signal is heard. */
  kill(): void;
}

/** A device process. `Booth` is the end that PINs are given to; it leads into this process and nowhere else. */
export interface DeviceChild<Booth> extends Child {
  booth(): Booth;
}

export interface Launcher<Booth> {
  conductor(): Child;
  devices(module: string): DeviceChild<Booth>;
}

/** The booth's port where there is no window: the terminal and the tests. The caller wipes the PIN it gave. */
export interface BoothPort {
  postMessage(message: BoothMessage): void;
}

/** What a child may know of our environment: nothing that steers a Node or an Electron from outside. */
function childEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      value === undefined || /^(NODE_|ELECTRON_)/.test(name) ? [] : [[name, value] as const]));
}

/**
 * No core dumps: they would hold PINs. RLIMIT_CORE 1, not 0, because with 0 Linux still pipes a dump to a collector such as
 * systemd-coredump; 1 is the value that stops both (fs/coredump.c).
 */
const PRLIMIT = '/usr/bin/prlimit';
const NO_CORE = '--core=1:1';

/** For processes that already run. */
export function forbidCoreDumps(pid: number | undefined): void {
  if (pid !== undefined && existsSync(PRLIMIT)) execFile(PRLIMIT, [NO_CORE, '--pid', String(pid)], () => undefined);
}

/**
 * The Node program `file` as a child; file descriptor 4 is the booth's pipe where `withBooth`. In the folder `codeCache`
 * Node keeps what it compiled (module.enableCompileCache): only for checkouts, where whoever may write there may change the
 * sources as well.
 */
function nodeChild(node: string, file: string, withBooth: boolean, codeCache: string | undefined): { child: Child; pipe: Writable | null } {
  // Without the flag, SIGUSR1 would open a debugger in it.
  const program = ['--disable-sigusr1', file];
  const [command, args] = existsSync(PRLIMIT) ? [PRLIMIT, [NO_CORE, node, ...program]] : [node, program];
  const child = spawn(command, args, {
    // stdout belongs to the command that the person gave (`--json`): what a child or a vendor library prints goes to stderr.
    stdio: ['ignore', 2, 2, 'ipc', ...(withBooth ? ['pipe' as const] : [])],
    serialization: 'advanced',
    env: { ...childEnvironment(process.env), ...(codeCache !== undefined && { NODE_COMPILE_CACHE: codeCache }) },
  });
  let killed = false;
  const gone = new Promise<Lost>((resolve) => {
    const told = (code: number | null, signal: string | null) => resolve({ how: killed ? 'killed' : 'exited', code, signal });
    child.on('error', () => { if (child.pid === undefined) told(null, null); }); // it never started
    child.once('exit', (code, signal) => {
      // Messages that it sent before it ended are still in the channel.
      if (child.connected) child.once('disconnect', () => told(code, signal));
      else told(code, signal);
    });
  });
  const pipe = child.stdio[4];
  const writable = pipe !== undefined && pipe !== null && 'write' in pipe ? pipe : null;
  writable?.on('error', () => undefined); // the process is gone: its exit says so
  return {
    pipe: writable,
    child: {
      get pid() { return child.pid; },
      post: (message) => {
        if (child.connected) child.send(message as object, () => undefined);
      },
      onMessage: (listener) => void child.on('message', listener),
      onExit: (listener) => void gone.then(listener),
      kill: () => {
        killed = true;
        child.kill('SIGKILL');
      },
    },
  };
}

/** Frames of wire.ts' ToDevice. */
function boothPipe(pipe: Writable): BoothPort {
  const HEAD = 8;
  const CANCELLED = 0xffff_ffff;
  return {
    postMessage: (message) => {
      const pin = 'pin' in message ? message.pin : null;
      const frame = new Uint8Array(new ArrayBuffer(HEAD + (pin?.length ?? 0))); // of its own, so that wiping it is enough
      const head = new DataView(frame.buffer);
      head.setUint32(0, message.ticket);
      head.setUint32(4, pin?.length ?? CANCELLED);
      if (pin !== null) frame.set(pin, HEAD);
      pipe.write(frame, () => void frame.fill(0));
    },
  };
}

/** `node`: the executable; `conductor` and `devices`: their programs, bundled, or as they are where Node is >= 24. */
export function nodeLauncher(
  options: { readonly node: string; readonly conductor: string; readonly devices: string; readonly codeCache?: string },
): Launcher<BoothPort> {
  return {
    conductor: () => nodeChild(options.node, options.conductor, false, options.codeCache).child,
    devices: () => {
      const { child, pipe } = nodeChild(options.node, options.devices, true, options.codeCache);
      if (pipe === null) throw new Error('a device process was started without its booth pipe');
      const port = boothPipe(pipe);
      return Object.assign(child, { booth: () => port });
    },
  };
}

/** The parts of `electron` that starting processes takes; handed in, so that a plain Node can load this file. */
export interface ElectronParts {
  readonly utilityProcess: Pick<typeof utilityProcess, 'fork'>;
  readonly MessageChannelMain: typeof MessageChannelMain;
}

function utilityChild(electron: ElectronParts, file: string, serviceName: string): DeviceChild<MessagePortMain> {
  const child = electron.utilityProcess.fork(file, [], {
    serviceName, stdio: 'inherit', env: childEnvironment(process.env),
  });
  let killed = false;
  const kill = () => {
    killed = true;
    if (child.pid === undefined) return; // not yet: see 'spawn'. (Gone already: there is nothing to do.)
    try {
      process.kill(child.pid, 'SIGKILL'); // child.kill() sends SIGTERM
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  const gone = new Promise<Lost>((resolve) => {
    child.once('exit', (code) => resolve({ how: killed ? 'killed' : 'exited', code, signal: null }));
  });
  child.once('spawn', () => {
    forbidCoreDumps(child.pid);
    if (killed) kill();
  });
  return {
    get pid() { return child.pid; },
    post: (message) => child.postMessage(message),
    onMessage: (listener) => void child.on('message', listener),
    onExit: (listener) => void gone.then(listener),
    kill,
    booth: () => {
      const { port1, port2 } = new electron.MessageChannelMain();
      child.postMessage({ kind: 'booth' } satisfies ToDevice, [port1]);
      return port2;
    },
  };
}

/** `plainNode`: the executable for a conductor that Electron's own Node is too old for; null where it is not. */
export function electronLauncher(
  electron: ElectronParts,
  options: { readonly plainNode: string | null; readonly conductor: string; readonly devices: string; readonly codeCache?: string },
): Launcher<MessagePortMain> {
  return {
    conductor: () =>
      options.plainNode === null
        ? utilityChild(electron, options.conductor, 'Conclave conductor')
        : nodeChild(options.plainNode, options.conductor, false, options.codeCache).child,
    devices: (module) => utilityChild(electron, options.devices, `Conclave devices: ${module}`),
  };
}

// --- the hub --------------------------------------------------------------------------------------------------------

export interface House<Booth> {
  /** Always answered: by the conductor, or, when that process is gone, with the problem CONDUCTOR_LOST. */
  call<R extends Request>(request: R): Promise<Answer<R['call']>>;
  /** Each returns a function that takes the listener away. */
  onEntries(listener: (entries: Entries) => void): () => void;
  onMoved(listener: (moved: Moved) => void): () => void;
  /**
   * Every `pin-wanted` and `pad-wanted` is followed by exactly one `pin-settled` with the same module and ticket: when the device process
   * ends first, the hub says `cancelled` in its place.
   */
  onNotice(listener: (module: string, notice: Notice) => void): () => void;
  /** The conductor ended though nobody stopped the house. Nothing works after that; the record is on disk. */
  onLost(listener: (lost: Lost) => void): () => void;
  /** A way to give PINs to the device process of `module`; undefined where there is none (any more). */
  booth(module: string): Booth | undefined;
  /** Lets the conductor close its ledger, then ends every process. May be called twice. */
  stop(): Promise<void>;
}

export interface HouseOptions {
  readonly home: string;
  readonly app: Start['app'];
  readonly runtime: Start['runtime'];
  readonly scriptsFolder: string;
  /** How long the conductor may take to close its ledger. */
  readonly stopMs?: number;
}

/** Where the record of this machine stands, absolute: one data folder per person and machine, or the one CONCLAVE_HOME names. */
export function dataFolder(env: NodeJS.ProcessEnv, userHome: string): string {
  const named = env['CONCLAVE_HOME'];
  if (named !== undefined && named !== '') return resolve(named);
  const data = env['XDG_DATA_HOME'];
  return join(data !== undefined && data.startsWith('/') ? data : join(userHome, '.local/share'), 'conclave');
}

function listeners<A extends readonly unknown[]>() {
  const all = new Set<(...args: A) => void>();
  return {
    add: (listener: (...args: A) => void) => {
      all.add(listener);
      return () => void all.delete(listener);
    },
    tell: (...args: A) => all.forEach((listener) => listener(...args)),
  };
}

const CONDUCTOR_LOST = {
  ok: false,
  problem: {
    code: 'CONDUCTOR_LOST',
    message: 'The process that keeps the record has ended.',
    hint: 'Everything recorded so far is on disk. Close Conclave and open it again; an open ceremony can then be resumed.',
  },
} as const satisfies Answer<Call>;

/** Starts the conductor. Throws `Refused` where it cannot work on this data folder, or ends before it is ready. */
export async function startHouse<Booth>(launcher: Launcher<Booth>, options: HouseOptions): Promise<House<Booth>> {
  const { home, app, runtime, scriptsFolder } = options;
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
  } catch {
    // The conductor finds the same, and says it better.
  }

  const entries = listeners<[Entries]>();
  const moves = listeners<[Moved]>();
  const notices = listeners<[string, Notice]>();
  const ended = listeners<[Lost]>();
  const devices = new Map<string, { child: DeviceChild<Booth>; dying: boolean; tickets: Set<number> }>();
  const deviceEnds = new Set<Promise<void>>();
  const calls = new Map<number, (answer: unknown) => void>();
  let nextCall = 1;
  let stopping: Promise<void> | undefined;
  let conductorIsThere = true;

  const conductor = launcher.conductor();
  const toConductor = (message: ToConductor) => {
    if (conductorIsThere) conductor.post(message);
  };
  const conductorEnd = new Promise<Lost>((resolve) => conductor.onExit(resolve));

  /** The device process of `module`, started if it is not there. */
  const device = (module: string) => {
    const here = devices.get(module);
    if (here !== undefined) return here;
    const started = { child: launcher.devices(module), dying: false, tickets: new Set<number>() };
    devices.set(module, started);
    started.child.onMessage((received) => {
      if (started.dying) return;
      const message = received as DeviceReply; // a program of ours; the conductor parses what answers it acts on
      if (message.kind === 'notice') {
        const { notice } = message;
        if (notice.kind === 'pin-settled') started.tickets.delete(notice.ticket);
        else started.tickets.add(notice.ticket);
        notices.tell(module, notice);
      }
      toConductor({ from: 'device', module, message });
    });
    const end = new Promise<void>((resolve) => {
      started.child.onExit((lost) => {
        devices.delete(module);
        deviceEnds.delete(end);
        for (const ticket of started.tickets) notices.tell(module, { kind: 'pin-settled', ticket, outcome: 'cancelled' });
        toConductor({ from: 'device', module, lost });
        resolve();
      });
    });
    deviceEnds.add(end);
    return started;
  };

  const killDevice = (module: string) => {
    const here = devices.get(module);
    if (here === undefined || here.dying) return;
    here.dying = true;
    here.child.kill();
  };

  const stop = () =>
    (stopping ??= (async () => {
      toConductor({ from: 'parent', kind: 'stop' });
      const tooLong = setTimeout(() => conductor.kill(), options.stopMs ?? 5000);
      await conductorEnd;
      clearTimeout(tooLong);
      for (const module of devices.keys()) killDevice(module);
      await Promise.all(deviceEnds);
    })());

  const ready = new Promise<Extract<FromConductor, { to: 'parent' }> | Lost>((resolve) => {
    conductor.onMessage((received) => {
      const message = received as FromConductor; // a program of ours
      switch (message.to) {
        case 'parent':
          resolve(message);
          break;
        case 'client':
          if ('entries' in message) {
            entries.tell(message.entries);
          } else if ('moved' in message) {
            moves.tell(message.moved);
          } else {
            calls.get(message.id)?.(message.answer);
            calls.delete(message.id);
          }
          break;
        case 'device':
          if (stopping !== undefined && !devices.has(message.module)) break;
          if ('kill' in message) killDevice(message.module);
          else device(message.module).child.post(message.message satisfies ToDevice);
          break;
      }
    });
    void conductorEnd.then((lost) => {
      conductorIsThere = false;
      resolve(lost);
      for (const answer of calls.values()) answer(CONDUCTOR_LOST);
      calls.clear();
      for (const module of devices.keys()) killDevice(module); // nobody is left to record what they do
      if (stopping === undefined) ended.tell(lost);
    });
  });

  toConductor({ from: 'parent', kind: 'start', home, app, runtime, scriptsFolder });
  const first = await ready;
  if ('how' in first) {
    const found = first.signal === null ? `it ended with code ${String(first.code)}` : `it was ended by ${first.signal}`;
    throw new Refused(refuse('CONDUCTOR-STARTS', 'the process that keeps the record to start', found,
      'Nothing was changed. Try once more; if it ends again, look at what it printed in the terminal, and keep the data folder as it is.'));
  }
  if (first.kind === 'refused') {
    await stop();
    throw new Refused(first.refusal);
  }

  return {
    call: <R extends Request>(request: R) =>
      new Promise<Answer<R['call']>>((resolve) => {
        if (!conductorIsThere) {
          resolve(CONDUCTOR_LOST);
          return;
        }
        const id = nextCall++;
        calls.set(id, resolve as (answer: unknown) => void);
        toConductor({ from: 'client', id, request });
      }),
    onEntries: entries.add,
    onMoved: moves.add,
    onNotice: notices.add,
    onLost: ended.add,
    booth: (module) => {
      const here = devices.get(module);
      return here === undefined || here.dying ? undefined : here.child.booth();
    },
    stop,
  };
}
