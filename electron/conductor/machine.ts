/**
 * The machine the conductor runs on: what an auditor would want to know about it, and what the administrator configured.
 * Reads, never writes.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hash } from 'node:crypto';
import * as z from 'zod';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import type { Hasher } from '../../ceremonies/transcript.ts';
import { ModuleConfig } from '../devices/protocol.ts';

/** `modules.json` in the data folder: choosing a module is choosing code to run, so it is the administrator's file. */
const Configuration = z.strictObject({
  modules: z.array(ModuleConfig).max(16).default([]),
  /** Serial numbers of tokens in production: no rehearsal may touch them. */
  production: z.array(z.string().max(64)).max(1000).default([]),
  /** Known broken keys in the format of badkeys, for scans of tokens. */
  blocklist: z.strictObject({ path: z.string().max(512), sha256: z.string().regex(/^[0-9a-fA-F]{64}$/) }).optional(),
});
export type Configuration = z.infer<typeof Configuration>;

export const SOFTWARE_MODULE = 'software';

/** Reads the configuration; the embedded software token is always there. Throws `Refused` on a file that others may write. */
export function readConfiguration(home: string): Configuration {
  const file = join(home, 'modules.json');
  const software: ModuleConfig = { kind: 'software', name: SOFTWARE_MODULE, folder: join(home, 'software-tokens') };
  if (!existsSync(file)) return { modules: [software], production: [] };
  const { mode, uid } = statSync(file);
  const mine = uid === 0 || uid === process.getuid?.();
  if (!mine || (mode & 0o022) !== 0) {
    throw new Refused(refuse('MODULES-FILE-OWNER', 'modules.json owned by you or root, writable by nobody else', `owner ${uid}, mode ${(mode & 0o777).toString(8)}`, 'Correct owner and mode: this file decides which code runs.'));
  }
  let parsed: ReturnType<typeof Configuration.safeParse>;
  try {
    parsed = Configuration.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    throw new Refused(refuse('MODULES-FILE', 'JSON in modules.json', 'something else', 'Correct the file; README shows an example.'));
  }
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new Refused(refuse('MODULES-FILE', 'modules and production serials', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`, 'Correct the file; README shows an example.'));
  }
  const names = parsed.data.modules.map((module) => module.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index || name === SOFTWARE_MODULE || name === 'recorder' || name === 'readers');
  if (twice !== undefined) throw new Refused(refuse('MODULES-FILE', 'a name of its own for every module', twice, 'Rename one.'));
  return { ...parsed.data, modules: [software, ...parsed.data.modules] };
}

/** Conditions under which secrets could outlive their process. Detected, said aloud and recorded; not prevented. */
export function machineWarnings(): string[] {
  const warnings: string[] = [];
  const read = (file: string) => { try { return readFileSync(file, 'utf8'); } catch { return ''; } };
  if (read('/proc/swaps').trim().split('\n').length > 1) warnings.push('swap is in use: memory may be written to disk');
  if (/\bdisk\b/.test(read('/sys/power/state'))) warnings.push('hibernation is possible: memory may be written to disk');
  const core = /^Max core file size\s+(\S+)/m.exec(read('/proc/self/limits'))?.[1];
  if (core !== undefined && core !== '0' && core !== '1') warnings.push('core dumps are allowed: a crash may write memory to disk');
  return warnings;
}

export function clockSource(): string {
  return existsSync('/run/systemd/timesync/synchronized') ? 'system clock, synchronised by the operating system' : 'system clock, synchronisation unknown';
}

/** Less than this a clock may be set right without anybody being told. */
const QUIET_JUMP = 30_000;

/** Why the record should know that the clock has moved; null where it has not. `before`, `now`: how far it was ahead of the machine's own count, in milliseconds. */
export function clockJump(before: number, now: number): string | null {
  const moved = Math.round((now - before) / 1000);
  return Math.abs(moved) * 1000 < QUIET_JUMP ? null
    : `The clock of this machine went ${moved > 0 ? 'forward' : 'back'} by ${Math.abs(moved)} seconds against the machine's own count: somebody moved it, or the machine slept. The order of the record decides, not its times.`;
}

const LEAF = 0;
const NODE = 1;
/** Room for the bytes that are hashed: a record of 100,000 entries makes 200,000 hashes of its tree. */
let leaf = new Uint8Array(4096);
const node = new Uint8Array(65).fill(NODE, 0, 1);

/** A digest as bytes. Asking Node for text and reading it costs a third of asking for a Buffer. */
function sha256(bytes: Uint8Array): Uint8Array {
  const text = hash('sha256', bytes, 'binary');
  const digest = new Uint8Array(32);
  for (let i = 0; i < 32; i++) digest[i] = text.charCodeAt(i);
  return digest;
}

/** Node's own one-shot hashes: several times faster than the portable ones. */
export const nativeHasher: Hasher = {
  entry: (line) => hash('sha512', line, 'base64url'),
  leaf: (line) => {
    if (leaf.length <= line.length) leaf = new Uint8Array(2 * line.length);
    leaf[0] = LEAF;
    leaf.set(line, 1);
    return sha256(leaf.subarray(0, line.length + 1));
  },
  node: (left, right) => {
    node.set(left, 1);
    node.set(right, 33);
    return sha256(node);
  },
};
