/**
 * The house in one process: the conductor and the device code as they ship, around a ledger on disk or any other, without the
 * processes between them. For measurements and for tests that open it hundreds of times; what a process boundary does is
 * no part of either.
 */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Conductor, DeviceProblem, type Devices } from '../electron/conductor/conductor.ts';
import { openLedger, type Ledger } from '../electron/conductor/ledger.ts';
import { nativeHasher, readConfiguration } from '../electron/conductor/machine.ts';
import { Operations } from '../electron/devices/operations.ts';
import type { Table } from '../electron/rehearsal.ts';
import { root } from './machine.mjs';

/** A data folder's house. `stop` closes its ledger. Bundles are not exported, modules not vetted. */
export async function openInside(home: string, ledger?: Ledger): Promise<Table & { stop(): Promise<void> }> {
  const kept = ledger ?? await openLedger(home);
  const listeners = new Set<Parameters<Table['onEntries']>[0]>();
  const scripts = join(root, 'ceremonies/scripts');
  const conductor = new Conductor({
    ledger: kept, devices: devicesInside(), configuration: readConfiguration(home), hasher: nativeHasher, home,
    scripts: readdirSync(scripts).map((file) => ({ name: file.replace(/\.yaml$/, ''), text: readFileSync(join(scripts, file), 'utf8') })),
    app: { version: 'inside', build: 'inside' }, runtime: { node: process.versions.node, electron: null, development: true },
    clock: { now: () => new Date(), source: () => 'this machine\'s', drift: () => 0 },
    random: (bytes) => new Uint8Array(randomBytes(bytes)),
    warnings: () => [],
    saveBundle: () => { throw new Error('nothing is exported from inside'); },
    push: (pushed) => { for (const listener of listeners) listener(pushed); },
    moved: () => undefined,
    modules: () => ({ configured: [], candidates: [] }),
    blocklist: () => null,
  });
  return {
    call: (request) => conductor.answer(request),
    onEntries: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    stop: () => {
      kept.close();
      return Promise.resolve();
    },
  };
}

/** The device processes' work without their processes. */
function devicesInside(): Devices {
  const started = new Map<string, Operations>();
  const answer = async (operations: Operations, operation: string, body: unknown) => {
    const reply = await operations.answer(operation, body);
    if (reply.ok) return reply.body;
    throw new DeviceProblem(reply.error);
  };
  return {
    call: async (module, operation, body) => {
      let operations = started.get(module.name);
      if (operations === undefined) {
        operations = new Operations({ notify: () => undefined, pin: () => Promise.resolve(null), component: () => Promise.resolve(null), program: import.meta.filename, readersMoved: () => undefined });
        started.set(module.name, operations);
        await answer(operations, 'start', { module });
      }
      return await answer(operations, operation, body) as never;
    },
    busy: () => false,
    restart: () => Promise.resolve(),
    losses: () => ({ count: 0, how: 'exited', detail: '' }),
  };
}
