/** What a ceremony leaves: its bundle's files, once a fresh verdict has found it valid. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { openFile } from '../../../ceremonies/bundle.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import type { BoothPort, House } from '../../../electron/processes.ts';
import { ask, playRehearsal, type Play } from '../../../electron/rehearsal.ts';

export type Files = ReadonlyMap<string, Uint8Array>;

export async function filesOf(house: House<BoothPort>, ceremony: string): Promise<Files> {
  const { path } = await ask(house, { call: 'export', ceremony });
  const bytes = new Uint8Array(readFileSync(path));
  const { verdict } = await ask(house, { call: 'verify', name: 'bundle.zip', bytes });
  assert.deepEqual([verdict.verdict, verdict.findings], ['valid', []]);
  return openFile(bytes).files ?? assert.fail('no files in the bundle');
}

/** A rehearsal from beginning to end. */
export async function played(house: House<BoothPort>, script: string, module: string, more: Partial<Play> = {}): Promise<{ readonly ceremony: string; readonly files: Files }> {
  const ceremony = await playRehearsal(house, { script, parameters: {}, module, hasher: nativeHasher, ...more });
  return { ceremony, files: await filesOf(house, ceremony) };
}

export function fileIn(files: Files, name: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(files.get(name) ?? assert.fail(`no ${name} in the bundle`));
}
