/**
 * A device process of its own for a test, started as the terminal starts it: plain Node, IPC, and a pipe for the booth.
 * Keeps everything that came out of it, so that a test can show what did not.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import type { TokenFacts } from '../../../ceremonies/evidence.ts';
import type { Answer, Asked, DeviceError, DeviceReply, ModuleConfig, Notice, Operation, Request } from '../../../electron/devices/protocol.ts';

const PROGRAM = join(import.meta.dirname, '../../../electron/devices/process.ts');
export const SOFTHSM = '/usr/lib/softhsm/libsofthsm2.so';

export class DeviceFailure extends Error {
  readonly error: DeviceError;
  constructor(error: DeviceError) {
    super(`${error.code}: ${error.message} ${error.hint}`);
    this.error = error;
  }
}

/** For assert.rejects: the code, and what is said about changes. */
export const failure = (code: string, nothingChanged?: boolean) => (thrown: unknown) =>
  thrown instanceof DeviceFailure && thrown.error.code === code && (nothingChanged === undefined || thrown.error.nothingChanged === nothingChanged);

export class DeviceProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Everything it sent and printed, as text. */
  readonly traffic: string[] = [];
  readonly notices: Notice[] = [];
  /** What the person at the booth does; set by the test. */
  atBooth: (notice: Extract<Notice, { kind: 'pin-wanted' }>) => void = () => undefined;
  atComponent: (notice: Extract<Notice, { kind: 'component-wanted' }>) => void = () => undefined;
  /** Readers or cards have come or gone; set by the test. */
  readersMoved: () => void = () => undefined;
  readonly #pending = new Map<number, { resolve: (body: unknown) => void; reject: (error: Error) => void }>();
  #next = 1;

  constructor({ booth = true, env = {} }: { booth?: boolean; env?: Record<string, string> } = {}) {
    this.child = spawn(process.execPath, [PROGRAM], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', ...(booth ? (['pipe'] as const) : [])], serialization: 'advanced', env: { ...process.env, ...env },
    });
    for (const stream of [this.child.stdout, this.child.stderr]) stream?.on('data', (chunk: Buffer) => this.traffic.push(chunk.toString()));
    this.exited = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => {
        for (const { reject } of this.#pending.values()) reject(new Error(`the process ended: ${signal ?? code}`));
        this.#pending.clear();
        resolve({ code, signal });
      });
    });
    this.child.on('message', (reply: DeviceReply) => {
      this.traffic.push(JSON.stringify(reply));
      if (reply.kind === 'moved') return;
      if (reply.kind === 'readers') {
        this.readersMoved();
        return;
      }
      if (reply.kind === 'notice') {
        this.notices.push(reply.notice);
        if (reply.notice.kind === 'pin-wanted') this.atBooth(reply.notice);
        if (reply.notice.kind === 'component-wanted') this.atComponent(reply.notice);
        return;
      }
      const waiting = this.#pending.get(reply.id);
      this.#pending.delete(reply.id);
      if (reply.ok) waiting?.resolve(reply.body);
      else waiting?.reject(new DeviceFailure(reply.error));
    });
  }

  call<O extends Operation>(operation: O, body: Request<O>): Promise<Answer<O>> {
    return this.raw(operation, body) as Promise<Answer<O>>;
  }

  raw(operation: string, body: unknown): Promise<unknown> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.child.send({ kind: 'request', id, operation, body });
    });
  }

  /** Types a PIN into the booth. */
  type(ticket: number, pin: string): void {
    this.#frame(ticket, Buffer.from(pin));
  }

  cancel(ticket: number): void {
    this.#frame(ticket, null);
  }

  #frame(ticket: number, pin: Buffer | null): void {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(ticket);
    head.writeUInt32BE(pin?.length ?? 0xffffffff, 4);
    (this.child.stdio[4] as Writable).write(Buffer.concat([head, pin ?? Buffer.alloc(0)]));
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** Ends it as a parent that goes away does: every channel closes. */
  async end(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    this.child.stdio[4]?.destroy();
    if (this.child.connected) this.child.disconnect();
    return this.exited;
  }
}

/** A place where a twin keeps its tokens; processes come and go over it. */
export interface Place {
  readonly name: string;
  readonly folder: string;
  readonly module: ModuleConfig;
  start(options?: { booth?: boolean }): Promise<DeviceProcess>;
  /**
   * SoftHSM truncates and rewrites token.object at every login, so a process killed in that instant leaves it empty and the
   * token is gone. That is SoftHSM's own loss; `keep` remembers those files, `mend` puts the empty ones back.
   */
  keep(): void;
  mend(): void;
  remove(): void;
}

export function place(kind: 'software' | 'softhsm2'): Place {
  const folder = mkdtempSync(join(tmpdir(), `conclave-${kind}-`));
  let module: ModuleConfig = { kind: 'software', name: 'software', folder: join(folder, 'tokens') };
  if (kind === 'softhsm2') {
    mkdirSync(join(folder, 'tokens'));
    const conf = join(folder, 'softhsm2.conf');
    writeFileSync(conf, `directories.tokendir = ${join(folder, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`);
    module = { kind: 'pkcs11', name: 'softhsm2', path: SOFTHSM, env: { SOFTHSM2_CONF: conf } };
  }
  const processes = new Set<DeviceProcess>();
  const kept = new Map<string, Buffer>();
  const tokenFiles = () => readdirSync(join(folder, 'tokens')).map((name) => join(folder, 'tokens', name, 'token.object'));
  return {
    name: kind, folder, module,
    keep: () => {
      if (kind === 'softhsm2') for (const path of tokenFiles()) kept.set(path, readFileSync(path));
    },
    mend: () => {
      for (const [path, content] of kept) if (statSync(path).size === 0) writeFileSync(path, content);
    },
    start: async (options) => {
      const device = new DeviceProcess(options);
      processes.add(device);
      await device.call('start', { module });
      return device;
    },
    remove: () => {
      for (const { child } of processes) child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** `milliseconds` later. */
export function later(milliseconds: number): Promise<void> {
  return setTimeout(milliseconds);
}

export function asked(person: string, more: Partial<Asked> = {}): Asked {
  return { person, name: person, purpose: 'test', standIn: true, acceptFinalTry: false, ...more };
}

/** One rehearsal token per label. */
export async function cards(device: DeviceProcess, ...labels: string[]): Promise<TokenFacts[]> {
  return (await device.call('provision', { labels })).tokens;
}
