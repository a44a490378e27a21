/**
 * Who may import whom, for dependency-cruiser. Run through `npm run check` or `npm test`; test/build/layers.test.ts
 * proves that every rule bites.
 *
 * Each part of the house has a list of what it may import; everything else is refused. It must never get an exception
 * for one file: move the code to where it may stand instead.
 */

const { existsSync } = require('node:fs');

/** The packages named, as dependency-cruiser resolves them. */
const packages = (/** @type {string[]} */ ...names) => `^node_modules/(@types/)?(${names.join('|')})/`;
const ELECTRON = '^node_modules/electron/';
const NETWORK = '^(node:)?(http|https|http2|net|tls|dgram|dns|inspector)(/|$)';

/** Arithmetic and formats without I/O. */
const PURE_PACKAGES = packages(
  '@noble/[^/]+', '@scure/[^/]+', '@peculiar/[^/]+', 'zod', 'yaml', 'canonicalize', 'fflate', 'ical-generator', 'reflect-metadata', 'shamir-secret-sharing', 'qr', 'age-encryption',
);

/** The one file that may load a native module, and nobody else may. */
const NATIVE = [
  { name: 'ONE-IMPORTER-PKCS11', module: 'pkcs11js', file: '^electron/devices/pkcs11\\.ts$' },
  { name: 'ONE-IMPORTER-KOFFI', module: 'koffi', file: '^electron/devices/cryptoki\\.ts$' },
  { name: 'ONE-IMPORTER-PCSC', module: 'smartcard', file: '^electron/devices/cards\\.ts$' },
  { name: 'ONE-IMPORTER-SQLITE', module: 'better-sqlite3', file: '^electron/conductor/ledger\\.ts$' },
];
const NATIVE_PACKAGES = packages(...NATIVE.map(({ module }) => module));
/** WebAssembly: the reader of pictures, in the terminal only. */
const PICTURES = { name: 'ONE-IMPORTER-ZXING', module: 'zxing-wasm', file: '^electron/pictures\\.ts$' };

/**
 * A part of the house, and all that it may import. An import that leads nowhere has a rule of its own.
 * @param {string} name
 * @param {string} path
 * @param {{ files: string[], node?: true }} mayImport
 * @param {string} comment
 */
const layer = (name, path, { files, node }, comment) => ({
  name,
  severity: /** @type {const} */ ('error'),
  comment,
  from: { path },
  to: {
    pathNot: files,
    couldNotResolve: false,
    ...(node === true ? { dependencyTypesNot: /** @type {['core']} */ (['core']) } : {}),
  },
});

/** Where a process begins; what none of them reaches is dead. */
const ENTRIES = [
  'electron/main.ts', 'electron/preload.ts', 'electron/booth/preload.ts', 'electron/cli.ts',
  'electron/devices/process.ts', 'electron/conductor/process.ts', 'renderer/main.tsx',
];
const ENTRY_PATHS = ENTRIES.map((file) => `^${file.replace(/\.ts$/, '.c?ts')}$`);
const entriesExist = ENTRIES.every((file) => existsSync(file) || existsSync(file.replace(/\.ts$/, '.cts')));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    layer('PURE-CEREMONIES', '^ceremonies/', { files: ['^ceremonies/', PURE_PACKAGES] },
      'ceremonies/ runs in every process and in the auditor\'s terminal: itself and pure libraries only'),
    layer('DEVICES-APART', '^electron/devices/',
      { files: ['^electron/devices/', '^ceremonies/', PURE_PACKAGES, NATIVE_PACKAGES], node: true },
      'a device process knows its protocol and ceremonies/, nothing of windows or the record'),
    layer('CONDUCTOR-APART', '^electron/conductor/',
      { files: ['^electron/conductor/', '^ceremonies/', '^electron/(contract|wire|devices/protocol)\\.ts$', PURE_PACKAGES, NATIVE_PACKAGES], node: true },
      'the conductor answers the contract, and speaks to devices through their protocol only'),
    layer('CONTRACT-IS-DATA', '^electron/contract\\.ts$', { files: ['^ceremonies/', packages('zod')] },
      'the contract is read on both sides of the preload'),
    layer('RENDERER-APART', '^renderer/',
      { files: ['^renderer/', '^ceremonies/', '^electron/contract\\.ts$', packages('react', 'react-dom', 'zustand', 'zod', '@fontsource/[^/]+')] },
      'the renderer draws entries; it never reaches node: or electron'),
    layer('MAIN-IS-DOORS', '^electron/[^/]+\\.c?ts$',
      {
        files: ['^electron/[^/]+\\.c?ts$', '^electron/booth/', '^electron/conductor/', '^electron/devices/protocol\\.ts$', '^ceremonies/', ELECTRON, PURE_PACKAGES, packages(PICTURES.module)],
        node: true,
      },
      'windows and doors: no native module, no device code in this process'),
    layer('PRELOAD-IS-SMALL', '^electron/(booth/)?preload\\.c?ts$',
      { files: [ELECTRON, '^electron/contract\\.ts$', '^electron/booth/', '^ceremonies/'] },
      'a sandboxed preload has electron and the contract, no Node'),
    {
      name: 'MAIN-HOLDS-NO-RECORD',
      severity: 'error',
      comment: 'only the command line runs a conductor inside its own process',
      from: { path: '^electron/[^/]+\\.c?ts$', pathNot: '^electron/cli\\.ts$' },
      to: { path: '^electron/conductor/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'ELECTRON-AT-THE-DOOR',
      severity: 'error',
      comment: 'electron is imported by main, windows, printing, processes, the preloads and the booth',
      from: { pathNot: '^electron/(main|windows|printing|processes)\\.ts$|^electron/preload\\.c?ts$|^electron/booth/|^electron/hardening\\.ts$|^test/|^build/' },
      to: { path: ELECTRON },
    },
    {
      name: 'HARDENING-IS-DATA',
      severity: 'error',
      comment: 'hardening.ts takes types only from electron, so that tests can read it without one',
      from: { path: '^electron/hardening\\.ts$' },
      to: { path: ELECTRON, dependencyTypesNot: ['type-only'] },
    },
    ...[...NATIVE, PICTURES].map(({ name, module, file }) => ({
      name,
      severity: /** @type {const} */ ('error'),
      comment: `a native module, or one that reads hostile files, is wrapped in exactly one file: ${module} in ${file}`,
      from: { pathNot: [file, '^test/'] },
      to: { path: packages(module), dependencyTypesNot: /** @type {const} */ (['type-only']) },
    })),
    {
      name: 'NO-NETWORK',
      severity: 'error',
      comment: 'there is no network at run time',
      from: { path: '^(ceremonies|electron|renderer)/' },
      to: { path: NETWORK },
    },
    {
      name: 'NOBODY-IMPORTS-TESTS',
      severity: 'error',
      from: { pathNot: '^test/' },
      to: { path: '^test/' },
    },
    {
      name: 'NOBODY-IMPORTS-BUILD',
      severity: 'error',
      comment: 'build/ makes the app; it is no part of it',
      from: { path: '^(ceremonies|electron|renderer)/' },
      to: { path: '^build/' },
    },
    ...(entriesExist
      ? [{
          name: 'NOTHING-DEAD',
          severity: /** @type {const} */ ('error'),
          comment: 'a file that no process and no page reaches is deleted',
          from: { path: ENTRY_PATHS },
          to: { path: '^(ceremonies|electron|renderer)/', pathNot: [...ENTRY_PATHS, '\\.(css|d\\.ts)$'], reachable: false },
        }]
      : []),
    { name: 'NO-CIRCLES', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'RESOLVABLE',
      severity: 'error',
      comment: 'every import leads to a file or to a package in package.json',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'DECLARED',
      severity: 'error',
      comment: 'the app imports only what package.json lists under dependencies (types aside)',
      from: { path: '^(ceremonies|electron|renderer)/' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
        dependencyTypesNot: ['type-only'],
        pathNot: [ELECTRON, '^node_modules/@types/'],
      },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^build/(out|cache|dist)' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true, // `import type` counts: a type that leaks through a wall is a hole in it
    combinedDependencies: false,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'require', 'node', 'default', 'types'] },
  },
};
