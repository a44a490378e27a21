/**
 * ESLint: type-checked rules for all sources, and this house's own bans. Run through `npm run check` or `npm test`.
 *
 * It must never be loosened for one file's sake: correct the file, or write `eslint-disable-next-line RULE -- reason`.
 */
import ts from 'typescript';
import tseslint from 'typescript-eslint';
import { root } from './machine.mjs';

/**
 * Comments that put something off, or switch a rule off without saying why.
 * @type {import('eslint').Rule.RuleModule}
 */
const honestComments = {
  create: (context) => ({
    Program() {
      for (const comment of context.sourceCode.getAllComments()) {
        const say = (/** @type {string} */ message) => context.report({ loc: comment.loc ?? { line: 1, column: 0 }, message });
        if (/\b(TODO|FIXME|XXX|HACK)\b/.test(comment.value)) say('Do it now, or file an issue: no TODO in the sources.');
        if (/^\s*eslint-disable(?!-next-line)/.test(comment.value)) say('Only eslint-disable-next-line, for one line.');
        if (/^\s*eslint-disable-next-line(?!.* -- \S)/.test(comment.value)) say('Say why: eslint-disable-next-line RULE -- reason.');
      }
    },
  }),
};

/**
 * Secrets live in memory that the garbage collector does not move: secretBytes() of electron/devices/secret.ts.
 * A Uint8Array of up to 64 bytes lies on the moving heap, and Buffer.from(string) and allocUnsafe share a slab; wiping
 * either leaves copies. So none of them where secrets are handled.
 * @type {import('eslint').Rule.RuleModule}
 */
const unmovedSecrets = {
  create(context) {
    /** @type {import('@typescript-eslint/utils').ParserServicesWithTypeInformation} */
    const services = context.sourceCode.parserServices;
    /** @param {unknown} node @param {number} flag */
    const is = (node, flag) => {
      const type = services.getTypeAtLocation(/** @type {import('@typescript-eslint/utils').TSESTree.Node} */ (node));
      return (type.isUnion() ? type.types : [type]).some((part) => (part.flags & flag) !== 0);
    };
    const message = 'Use secretBytes(): this memory is moved or shared, and cannot be wiped.';
    return {
      'CallExpression[callee.object.name="Buffer"][callee.property.name="from"]'(/** @type {import('estree').CallExpression} */ node) {
        const [value] = node.arguments;
        if (value !== undefined && is(value, ts.TypeFlags.StringLike)) context.report({ node, message });
      },
      'CallExpression[callee.object.name="Buffer"][callee.property.name=/^allocUnsafe/]'(/** @type {import('estree').Node} */ node) {
        context.report({ node, message });
      },
      'NewExpression[callee.name="Uint8Array"]'(/** @type {import('estree').NewExpression} */ node) {
        const [value] = node.arguments;
        if (value !== undefined && is(value, ts.TypeFlags.NumberLike)) context.report({ node, message });
      },
    };
  },
};

/** @param {string} selector @param {string} message */
const ban = (selector, message) => ({ selector, message });

const MARKUP = 'Text only: markup from a string is how a record starts to act.';
const EVERYWHERE = [
  ban('MemberExpression[property.name=/^(innerHTML|outerHTML|insertAdjacentHTML)$/]', MARKUP),
  ban('JSXAttribute[name.name="dangerouslySetInnerHTML"], Property[key.name="dangerouslySetInnerHTML"]', MARKUP),
  ban('CallExpression[callee.object.name="document"][callee.property.name=/^write(ln)?$/]', MARKUP),
];
const PURE = 'ceremonies/ has no clock, no randomness and no I/O of its own: take it as an argument.';
const IMPURE_GLOBALS = [
  'process', 'Buffer', 'console', 'crypto', 'performance', 'fetch', 'window', 'document', 'localStorage',
  'setTimeout', 'setInterval', 'setImmediate', 'globalThis',
];
const NETWORK = ['fetch', 'WebSocket', 'XMLHttpRequest', 'EventSource', 'WebTransport', 'RTCPeerConnection'];

export default tseslint.config(
  { ignores: ['build/out*/**', 'build/cache/**', 'build/dist/**', 'node_modules/**', 'test/**/fixtures/**'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    plugins: { house: { rules: { 'honest-comments': honestComments, 'unmoved-secrets': unmovedSecrets } } },
    rules: {
      'house/honest-comments': 'error',
      'no-eval': 'error',
      'no-implied-eval': 'error',
      'no-new-func': 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      eqeqeq: 'error',
      'default-param-last': 'error',
      'no-async-promise-executor': 'error',
      'no-debugger': 'error',
      'no-empty': 'error',
      'no-irregular-whitespace': 'error',
      'no-misleading-character-class': 'error',
      'no-self-compare': 'error',
      'no-unmodified-loop-condition': 'error',
      'no-unsafe-finally': 'error',
      'no-useless-catch': 'error',
      'no-useless-escape': 'error',
      'no-restricted-syntax': ['error', ...EVERYWHERE],
    },
  },
  {
    files: ['**/*.{ts,tsx,cts,mts}'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: root } },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { allowDefaultCaseForExhaustiveSwitch: false, considerDefaultExhaustiveForUnions: false }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // Byte arithmetic indexes within bounds by construction, and noUncheckedIndexedAccess wants that said.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Twins share asynchronous interfaces; the software one often has nothing to wait for.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', ignoreRestSiblings: true }],
    },
  },
  {
    files: ['ceremonies/**'],
    rules: {
      'no-console': 'error',
      'no-restricted-globals': ['error', ...IMPURE_GLOBALS.map((name) => ({ name, message: PURE }))],
      'no-restricted-syntax': [
        'error',
        ...EVERYWHERE,
        ban('CallExpression[callee.object.name="Date"][callee.property.name="now"]', PURE),
        ban('NewExpression[callee.name="Date"][arguments.length=0]', PURE),
        ban('CallExpression[callee.object.name="Math"][callee.property.name="random"]', PURE),
        ban('ImportSpecifier[imported.name="randomBytes"]', PURE),
      ],
    },
  },
  {
    files: ['electron/**', 'renderer/**'],
    rules: {
      'no-restricted-globals': ['error', ...NETWORK.map((name) => ({ name, message: 'No network at run time.' }))],
    },
  },
  { files: ['renderer/**', 'electron/devices/**', 'electron/conductor/**'], rules: { 'no-console': 'error' } },
  { files: ['electron/devices/**'], ignores: ['electron/devices/secret.ts'], rules: { 'house/unmoved-secrets': 'error' } },
  {
    files: ['test/**'],
    rules: {
      '@typescript-eslint/no-floating-promises': ['error', { allowForKnownSafeCalls: [{ from: 'package', package: 'node:test', name: ['test', 'it', 'describe', 'suite', 'before', 'after', 'beforeEach', 'afterEach'] }] }],
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // Keys are typed one character at a time.
      '@typescript-eslint/no-misused-spread': 'off',
      // The tests of the hardening try in the page what must not be possible there.
      'no-eval': 'off',
      'no-new-func': 'off',
      '@typescript-eslint/no-implied-eval': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-deprecated': 'off',
    },
  },
);
