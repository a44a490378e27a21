/** For tests: a whole house of plain Node processes on a data folder of its own, with any PKCS#11 modules beside it. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { nodeLauncher, startHouse, type BoothPort, type House } from '../../electron/processes.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** `npm test` has just made the bundles, which start three times as fast; a single test run by hand takes the sources. */
const bundled = (name: string, source: string) => process.env['CONCLAVE_TEST_BUNDLES'] === '1' ? join(ROOT, 'build', 'out', name) : join(ROOT, 'electron', source, 'process.ts');
export const CONDUCTOR = bundled('conductor.cjs', 'conductor');
export const DEVICES = bundled('devices.cjs', 'devices');
export const SCRIPTS = join(ROOT, 'ceremonies', 'scripts');
export const SOFTHSM = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so'].find((path) => existsSync(path)) ?? '/usr/lib/softhsm/libsofthsm2.so';

export function temporaryFolder(name: string): string {
  return mkdtempSync(join(tmpdir(), `conclave-test-${name}-`));
}

export function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

/** Writes modules.json with SoftHSM2 on a token folder of its own. */
export function withSoftHsm(home: string): string {
  mkdirSync(join(home, 'softhsm', 'tokens'), { recursive: true, mode: 0o700 });
  const conf = join(home, 'softhsm', 'softhsm2.conf');
  writeFileSync(conf, `directories.tokendir = ${join(home, 'softhsm', 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  writeModules(home, [softHsmEntry(conf)]);
  return conf;
}

/** SoftHSM2 as modules.json names it. */
export const softHsmEntry = (conf: string) => ({ kind: 'pkcs11', name: 'softhsm', path: SOFTHSM, env: { SOFTHSM2_CONF: conf } });

/** SoftHSM2 with XMSS beside it (devices/xmss-module.c), as modules.json names it. */
export function xmssEntry(home: string, conf: string) {
  const path = join(home, 'xmss.so');
  compile(path, 'devices/xmss-module.c', '-O3');
  return { kind: 'pkcs11', name: 'xmss', path, env: { SOFTHSM2_CONF: conf, CONCLAVE_SOFTHSM: SOFTHSM } } as const;
}

/** SoftHSM2 that lies (devices/lying-module.c), as modules.json names it. */
export function lyingEntry(home: string, conf: string, lie: string, name = lie) {
  const path = join(home, 'lying.so');
  if (!existsSync(path)) compile(path, 'devices/lying-module.c', '-O2');
  return { kind: 'pkcs11', name, path, env: { SOFTHSM2_CONF: conf, CONCLAVE_SOFTHSM: SOFTHSM, CONCLAVE_LIES: lie, CONCLAVE_LIES_FILE: join(home, `lies-${lie}`) } } as const;
}

function compile(path: string, source: string, optimise: '-O2' | '-O3'): void {
  execFileSync('gcc', [optimise, '-shared', '-fPIC', '-I', join(ROOT, 'node_modules', 'pkcs11js', 'includes'), '-o', path, fileURLToPath(new URL(source, import.meta.url))]);
}

export function writeModules(home: string, modules: readonly object[], production: readonly string[] = []): void {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const file = join(home, 'modules.json');
  writeFileSync(file, JSON.stringify({ modules, production }));
  chmodSync(file, 0o600);
}

/** Of every token that `softHsmToken` makes. */
export const SO_PIN = '87654321';

/** A blank SoftHSM token with this PIN, made by SoftHSM's own tool. */
export function softHsmToken(conf: string, label: string, pin: string): void {
  execFileSync('softhsm2-util', ['--init-token', '--free', '--label', label, '--so-pin', SO_PIN, '--pin', pin], { env: { ...process.env, SOFTHSM2_CONF: conf }, stdio: 'ignore' });
}

export interface TestHouseOptions {
  /** Another program in the conductor's place, e.g. one that kills itself. */
  readonly conductor?: string;
  readonly scripts?: string;
  /** As a release would be, for what a development runtime is refused: nothing real is at stake in a test. */
  readonly release?: boolean;
  /** For the processes of this house only. */
  readonly env?: Readonly<Record<string, string>>;
}

export async function openHouse(home: string, options: TestHouseOptions = {}): Promise<House<BoothPort>> {
  const launcher = nodeLauncher({ node: process.execPath, conductor: options.conductor ?? CONDUCTOR, devices: DEVICES });
  // Children inherit the environment when they start; the conductor starts before `startHouse` first waits.
  const before = process.env;
  process.env = { ...before, ...options.env };
  const house = startHouse(launcher, {
    home, scriptsFolder: options.scripts ?? SCRIPTS, app: { version: '0.0.0-test', build: 'test' },
    runtime: { node: process.versions.node, electron: null, development: options.release !== true },
  });
  process.env = before;
  return house;
}

/** For all tests of one file: a house on a data folder of its own, with SoftHSM beside it. */
export async function sharedHouse(name: string): Promise<{ readonly home: string; readonly house: House<BoothPort> }> {
  const home = temporaryFolder(name);
  withSoftHsm(home);
  const house = await openHouse(home);
  after(async () => {
    await house.stop();
    remove(home);
  });
  return { home, house };
}
