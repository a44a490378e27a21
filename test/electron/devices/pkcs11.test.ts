import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { openPkcs11Module } from '../../../electron/devices/pkcs11.ts';
import { quirksOf } from '../../../electron/devices/quirks.ts';
import type { TokenModule } from '../../../electron/devices/tokens.ts';
import { contract } from './contract.ts';

const SOFTHSM = '/usr/lib/softhsm/libsofthsm2.so';

let folder: string;
let module: TokenModule;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'conclave-softhsm-'));
  mkdirSync(join(folder, 'tokens'));
  writeFileSync(join(folder, 'softhsm2.conf'), `directories.tokendir = ${join(folder, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  process.env['SOFTHSM2_CONF'] = join(folder, 'softhsm2.conf');
  module = openPkcs11Module('softhsm2', SOFTHSM, undefined);
});
after(async () => {
  await module.close();
  rmSync(folder, { recursive: true, force: true });
});

contract(() => ({ module, quirks: quirksOf('SoftHSM'), unwrappable: ['ed25519'] }));
