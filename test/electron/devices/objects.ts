/**
 * An independent look: every object on every token of a data folder, read with a login of its own.
 * Run as a program it prints JSON; `allObjects` and `allValues` ask such a process.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ObjectFact } from '../../../ceremonies/evidence.ts';
import { openPkcs11Module } from '../../../electron/devices/pkcs11.ts';
import { openSoftwareModule } from '../../../electron/devices/software-token.ts';
import type { ModuleConfig } from '../../../electron/devices/protocol.ts';
import { SOFTHSM } from '../house.ts';

export type Seen = ObjectFact & { readonly serial: string; readonly tokenLabel: string };
/** A data object; its value in Base64. */
export interface Value { readonly name: string; readonly value: string }
interface Found { readonly objects: Seen[]; readonly values: Value[] }

/** `pin`: of every token. Tests use throw-away PINs only. */
export async function allObjects(module: ModuleConfig['kind'], home: string, pin: string): Promise<Seen[]> {
  return (await lookApart(module, home, pin, 'objects')).objects;
}

/** The private data objects of every token of `home` with that PIN and, if given, that label: what a search for secrets looks for. */
export async function allValues(module: ModuleConfig['kind'], home: string, pin: string, label = ''): Promise<Value[]> {
  return (await lookApart(module, home, pin, 'values', label)).values;
}

async function lookApart(module: ModuleConfig['kind'], home: string, pin: string, what: 'objects' | 'values', label = ''): Promise<Found> {
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(import.meta.url), module, home, pin, what, label], {
    env: { ...process.env, SOFTHSM2_CONF: join(home, 'softhsm', 'softhsm2.conf') }, maxBuffer: 64 * 1024 * 1024,
  });
  return JSON.parse(stdout) as Found;
}

/** The same in this process. Of SoftHSM, on the tokens that this process's SOFTHSM2_CONF names. */
export async function look(kind: ModuleConfig['kind'], home: string, pin: string, withValues = false, only = ''): Promise<Found> {
  const module = kind === 'software' ? openSoftwareModule(join(home, 'software-tokens'), 'software', '') : openPkcs11Module('softhsm', SOFTHSM, undefined);
  const found: Found = { objects: [], values: [] };
  for (const { token: facts } of await module.slots()) {
    if (!facts?.flags.includes('CKF_TOKEN_INITIALIZED') || (only !== '' && facts.label !== only)) continue;
    const session = await (await module.token(facts.serial)).open();
    // To a blank token nobody can log in: what it shows without is all there is to see.
    const blank = !facts.flags.includes('CKF_USER_PIN_INITIALIZED');
    if (!blank) await session.login(new TextEncoder().encode(pin));
    const { objects } = await session.list(0, 10_000);
    found.objects.push(...objects.map((object) => ({ ...object, serial: facts.serial, tokenLabel: facts.label })));
    for (const { label } of withValues ? objects.filter((object) => object.class === 'data') : []) {
      found.values.push({ name: label, value: Buffer.from((await session.getData(label)).bytes).toString('base64') });
    }
    if (!blank) await session.logout();
    await session.close();
  }
  await module.close();
  return found;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , kind, home = '', pin = '', what, only] = process.argv;
  process.stdout.write(JSON.stringify(await look(kind === 'software' ? 'software' : 'pkcs11', home, pin, what === 'values', only)));
}
