/**
 * An independent look: every object on every token of a data folder, read by a process of its own with its own login.
 * Run as a program it prints JSON; `allObjects` and `allValues` are how tests ask.
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

/** `pin`: of every token. Tests use throw-away PINs only. */
export async function allObjects(module: ModuleConfig['kind'], home: string, pin: string): Promise<Seen[]> {
  return JSON.parse(await look(module, home, pin, 'objects')) as Seen[];
}

/** The private data objects of every token of `home` with that PIN and, if given, that label: what a search for secrets looks for. Base64. */
export async function allValues(module: ModuleConfig['kind'], home: string, pin: string, label = ''): Promise<{ name: string; value: string }[]> {
  return JSON.parse(await look(module, home, pin, 'values', label)) as { name: string; value: string }[];
}

async function look(module: ModuleConfig['kind'], home: string, pin: string, what: 'objects' | 'values', label = ''): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(import.meta.url), module, home, pin, what, label], {
    env: { ...process.env, SOFTHSM2_CONF: join(home, 'softhsm', 'softhsm2.conf') }, maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , kind, home = '', pin = '', what, only = ''] = process.argv;
  const module = kind === 'software' ? openSoftwareModule(join(home, 'software-tokens'), 'software', '') : openPkcs11Module('softhsm', SOFTHSM, undefined);
  const seen: Seen[] = [];
  const values: { name: string; value: string }[] = [];
  for (const { token: facts } of await module.slots()) {
    if (!facts?.flags.includes('CKF_TOKEN_INITIALIZED') || (only !== '' && facts.label !== only)) continue;
    const session = await (await module.token(facts.serial)).open();
    // To a blank token nobody can log in: what it shows without is all there is to see.
    const blank = !facts.flags.includes('CKF_USER_PIN_INITIALIZED');
    if (!blank) await session.login(new TextEncoder().encode(pin));
    const { objects } = await session.list(0, 10_000);
    seen.push(...objects.map((object) => ({ ...object, serial: facts.serial, tokenLabel: facts.label })));
    if (what === 'values') {
      for (const { label } of objects.filter((object) => object.class === 'data')) {
        values.push({ name: label, value: Buffer.from((await session.getData(label)).bytes).toString('base64') });
      }
    }
    if (!blank) await session.logout();
    await session.close();
  }
  process.stdout.write(JSON.stringify(what === 'values' ? values : seen));
  await module.close();
}
