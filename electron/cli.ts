/**
 * The `conclave` command: the same house without a window. Results go to stdout, progress and errors to stderr;
 * exit code 0 for yes, 1 for a refusal or a finding (named), 2 for a wrong call. It never prints a secret; a PIN is asked for on
 * the terminal, by terminal-booth.ts alone.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { utf8 } from '../ceremonies/bytes.ts';
import { personAt } from '../ceremonies/ceremony.ts';
import { Placement } from '../ceremonies/evidence.ts';
import { caAlgorithmNamed, componentsOf, kemAlgorithmNamed } from '../ceremonies/keys/algorithms.ts';
import { Refused } from '../ceremonies/refusal.ts';
import { checkParameter, readScript, scriptJsonSchema, type Parameters, type ParameterValue } from '../ceremonies/script.ts';
import { rehearse } from '../ceremonies/rehearse.ts';
import { TrustFile, verifyFile } from '../ceremonies/verify.ts';
import type { Bindings, Inputs } from './contract.ts';
import { nativeHasher } from './conductor/machine.ts';
import { organisationTemplates } from './conductor/templates.ts';
import { ADMIN_DETAIL, ADMIN_HELP, adminCommand, isAdminVerb, logbookCommand } from './admin-cli.ts';
import { isKeyCall, KEY_DETAIL, KEY_HELP, keyCommand } from './hsm-keys-cli.ts';
import { KEYS_DETAIL, KEYS_HELP, keysCommand, Usage } from './keys-cli.ts';
import { dataFolder, nodeLauncher, startHouse, type BoothPort, type House } from './processes.ts';
import { ask, playRehearsal } from './rehearsal.ts';
import { attendOnTerminal } from './terminal-booth.ts';
import { TOKEN_DETAIL, TOKEN_HELP, tokenCommand } from './token-cli.ts';

const HERE = dirname(fileURLToPath(import.meta.url));
const SCRIPTS = join(HERE, '..', 'ceremonies', 'scripts');
const { version } = JSON.parse(readFileSync(join(HERE, '..', 'package.json'), 'utf8')) as { version: string };

/** Brings CMS along, which nothing else needs. */
const envelopes = () => import('./envelope-cli.ts');
const bills = () => import('./cbom-cli.ts');
const shares = () => import('./share-cli.ts');
const papers = () => import('./paper-cli.ts');
const inventories = () => import('./inventory-cli.ts');
const destructions = () => import('./destroy-cli.ts');
const states = () => import('./state-cli.ts');
const custodies = () => import('./custody-cli.ts');

const help = async () => `conclave ${version}: key ceremonies and HSM administration

  conclave rehearse SCRIPT [--out DIR] [--set NAME=VALUE]... [--home DIR] [--module NAME] [--input NAME=FILE]...
      Carries out a ceremony with scripted people and leaves its bundle in DIR.
  conclave verify FILE [--trust FILE] [--json]
      The auditor's verdict on a bundle or a bare transcript.
  conclave script lint FILE [--set NAME=VALUE]... [--json]
  conclave script schema
      The script grammar as JSON Schema, for editors.
  conclave tokens [--home DIR] [--json]
      Modules, slots and tokens as they are now.
${TOKEN_HELP}${ADMIN_HELP}${KEYS_HELP}${KEY_HELP}${(await states()).STATE_HELP}${(await envelopes()).ENVELOPE_HELP}${(await shares()).SHARE_HELP}${(await papers()).PAPER_HELP}${(await bills()).CBOM_HELP}${(await inventories()).INVENTORY_HELP}${(await destructions()).DESTROY_HELP}${(await custodies()).CUSTODY_HELP}  conclave bench [--quick] [--json] [--only NAME]...
      Measures, and prints ratios against raw operations in the same run.

Every command has --help. The data folder is $CONCLAVE_HOME or ~/.local/share/conclave.
`;

const DETAIL: Record<string, string> = {
  rehearse: `conclave rehearse SCRIPT [--out DIR] [--set NAME=VALUE]... [--home DIR] [--module NAME]
                  [--input NAME=FILE]... [--token NAME=MODULE:SERIAL]... [--ca ALGORITHM[:PLACE]]
                  [--kem ALGORITHM]

  SCRIPT        name of a script that ships (root-ca, composite-ca, pq-root, intermediate,
                cross-sign, crl, encryption-certificate, stateful-root, recovery,
                recovery-rehearsal, ha-clone, custodian-change, key-destruction, token-zeroise,
                key-compromise, custody-movement)
  --out DIR     where the bundle goes (default: the current folder); its path is printed last
  --set N=V     a parameter of the script, e.g. --set algorithm=rsa-4096 --set threshold=3 --set shares=5
  --module N    a module of modules.json in the data folder (default: the embedded software token)
  --input N=F   a file the script asks for, e.g. --input ca=key.json; those not given are made for the rehearsal
  --token N=M:S a rehearsal token that exists: the script's name for it, its module and serial number
  --ca A[:P]    the CA made for a rehearsal that needs one: its algorithm, and where it lives (token, split, wrapped)
  --kem A       the KEM whose key is certified in a rehearsal that needs one, e.g. ml-kem-1024, MLKEM768-X25519-SHA3-256
  --home DIR    the data folder (default: a temporary one, removed afterwards)
`,
  verify: `conclave verify FILE [--trust FILE] [--json]

  FILE          a bundle (.zip) or a transcript (.jsonl)
  --trust FILE  JSON with the signers you already know: {"people":[{"name","classical","pq"}],"build"?,"scripts"?}
  --json        the whole verdict as JSON

  Exit code 0: valid. 1: every broken rule by name, with entry number and reason. 2: wrong call.
`,
  script: `conclave script lint FILE [--set NAME=VALUE]... [--json]
conclave script schema

  lint      reads the script strictly and walks it through a model of the room
  schema    prints the JSON Schema of the script grammar
`,
  tokens: 'conclave tokens [--home DIR] [--json]\n\n  Lists modules, slots and tokens. Changes nothing.\n',
  ...TOKEN_DETAIL, token: `${TOKEN_DETAIL['token'] ?? ''}\n${ADMIN_DETAIL}`,
  logbook: `conclave logbook [--home DIR] [--json]\n\n  Verifies every volume of this machine's logbook, and that none is missing between them.\n`,
  ...KEYS_DETAIL,
  bench: `conclave bench [--quick] [--json] [--only NAME]...

  Prints measured figures beside the plain operations they stand on, measured in the same run.

  --quick       small sizes, single runs: shows that everything can be measured here
  --only NAME   verify, append, list, start, memory, sign, check or make; may be given more than once
  --json        every sample, ratio and aim as JSON
`,
};

async function openHouse(home: string): Promise<House<BoothPort>> {
  const launcher = nodeLauncher({
    node: process.execPath, conductor: join(HERE, 'conductor', 'process.ts'), devices: join(HERE, 'devices', 'process.ts'), codeCache: join(HERE, '..', 'build', 'cache', 'code'),
  });
  const house = await startHouse(launcher, {
    home, scriptsFolder: SCRIPTS, app: { version, build: process.env['CONCLAVE_BUILD_ID'] ?? 'source' },
    runtime: { node: process.versions.node, electron: null, development: true },
  });
  attendOnTerminal(house);
  return house;
}

function parametersFrom(pairs: readonly string[], text: string): Parameters {
  const { script } = readScript(text);
  const values: Record<string, ParameterValue> = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    const name = pair.slice(0, at);
    const spec = script?.parameters[name];
    if (at < 1 || !spec) throw new Usage(`--set ${pair}: no such parameter. There are: ${Object.keys(script?.parameters ?? {}).join(', ')}`);
    const value = 'whole' in spec ? Number(pair.slice(at + 1)) : pair.slice(at + 1);
    const refusal = checkParameter(name, spec, value);
    if (refusal) throw new Refused(refusal);
    values[name] = value;
  }
  return values;
}

function pair(option: string, text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new Usage(`--${option} ${text}: NAME=VALUE is wanted`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function inputsFrom(pairs: readonly string[]): Inputs {
  return Object.fromEntries(pairs.map((text) => {
    const [name, file] = pair('input', text);
    return [name, { file: basename(file), bytes: new Uint8Array(readInput(file)) }];
  }));
}

function tokensFrom(pairs: readonly string[]): Bindings['tokens'] {
  return Object.fromEntries(pairs.map((text) => {
    const [name, bound] = pair('token', text);
    const at = bound.indexOf(':');
    if (at < 1) throw new Usage(`--token ${text}: NAME=MODULE:SERIAL is wanted`);
    return [name, { module: bound.slice(0, at), serial: bound.slice(at + 1) }];
  }));
}

function caFrom(text: string): { algorithm: string; place: Placement } {
  const [name = '', place] = text.split(':');
  const algorithm = caAlgorithmNamed(name);
  const where = Placement.safeParse(place ?? (componentsOf(algorithm).length > 1 ? 'split' : algorithm.family === 'ml-dsa' || algorithm.family === 'slh-dsa' ? 'wrapped' : 'token'));
  if (!where.success) throw new Usage(`--ca ${text}: the place is token, split or wrapped`);
  return { algorithm: name, place: where.data };
}

async function rehearseCommand(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args, allowPositionals: true,
    options: { out: { type: 'string', default: '.' }, set: { type: 'string', multiple: true, default: [] }, home: { type: 'string' }, module: { type: 'string', default: 'software' },
      input: { type: 'string', multiple: true, default: [] }, token: { type: 'string', multiple: true, default: [] }, ca: { type: 'string' }, kem: { type: 'string' },
    },
  });
  const [name] = positionals;
  if (name === undefined || positionals.length !== 1) throw new Usage('rehearse: which script?');
  const temporary = values.home === undefined;
  const home = resolve(values.home ?? mkdtempSync(join(tmpdir(), 'conclave-rehearsal-')));
  let house: House<BoothPort> | null = null;
  try {
    house = await openHouse(home);
    const text = (await ask(house, { call: 'scripts' })).find((script) => script.name === name)?.text ?? '';
    const said = { act: -1 };
    process.stderr.write('REHEARSAL with stand-ins. Every card carries the published rehearsal PIN; nothing here is a secret.\n');
    const ceremony = await playRehearsal(house, {
      script: name, parameters: parametersFrom(values.set, text), module: values.module, hasher: nativeHasher,
      inputs: inputsFrom(values.input), tokens: tokensFrom(values.token), ...(values.ca !== undefined && { ca: caFrom(values.ca) }), ...(values.kem !== undefined && { kem: kemAlgorithmNamed(values.kem).name }),
      onPending: (pending, state) => {
        if (pending.kind !== 'step') return;
        const { step } = pending;
        if (step.act !== said.act) {
          said.act = step.act;
          process.stderr.write(`\nAct ${step.act + 1} of ${state.plan?.acts.length ?? 0}: ${state.plan?.acts[step.act]?.title ?? ''}\n`);
        }
        const act = state.plan?.acts[step.act];
        const place = act ? `${state.cursor - act.first + 1}/${act.last - act.first + 1}` : '';
        process.stderr.write(`  ${place.padStart(6)}  ${personAt(state, step.who)?.seat.padEnd(14) ?? ''} ${step.title}\n`);
      },
    });
    const { path, sha256 } = await ask(house, { call: 'export', ceremony });
    const out = resolve(values.out, basename(path));
    mkdirSync(dirname(out), { recursive: true });
    copyFileSync(path, out);
    process.stderr.write(`\nDone. SHA-256 of the bundle: ${sha256}\nVerify it with: conclave verify ${basename(out)}\n`);
    process.stdout.write(`${out}\n`);
    return 0;
  } finally {
    await house?.stop();
    if (temporary) rmSync(home, { recursive: true, force: true });
  }
}

async function verifyCommand(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options: { trust: { type: 'string' }, json: { type: 'boolean', default: false } } });
  const [file] = positionals;
  if (file === undefined || positionals.length !== 1) throw new Usage('verify: which file?');
  const trust = values.trust === undefined ? undefined : trustFrom(values.trust);
  const { verdict } = await verifyFile(readInput(file), { hasher: nativeHasher, ...(trust && { trust }) });
  if (values.json) {
    process.stdout.write(`${JSON.stringify(verdict, null, 2)}\n`);
  } else {
    const mark = { verified: '✓', reported: '!', refused: '✕', 'not-reached': '·' };
    const lines = [
      `${verdict.title || basename(file)}${verdict.mode === 'rehearsal' ? ' (REHEARSAL)' : ''}, ${verdict.entries} entries`,
      ...verdict.checks.map((check) => `  ${mark[check.verdict]} ${check.name}: ${check.detail}`),
      ...verdict.signers.map((signer) => `    ${signer.seat.padEnd(14)} ${signer.name}: ${signer.words.join(' ')}`),
      ...verdict.remarks.map((remark) => `  ✎ ${remark.seq === null ? '' : `entry ${remark.seq}: `}${remark.text}`),
      ...verdict.findings.map((finding) => `  ✕ ${finding.rule}${finding.seq === null ? '' : ` at entry ${finding.seq}`}: expected ${finding.expected}; found ${finding.found}. ${finding.next}`),
      `${verdict.verdict === 'valid' ? '✓ valid' : `✕ ${verdict.verdict}`}${verdict.pinned ? ', signers pinned by the trust file' : ', self-consistent, signers not pinned'}`,
    ];
    process.stdout.write(`${lines.join('\n')}\n`);
  }
  return verdict.verdict === 'valid' ? 0 : 1;
}

function trustFrom(file: string): TrustFile {
  const text = readInput(file).toString();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Usage(`${file} is not a trust file: it is not JSON`);
  }
  const { data, error } = TrustFile.safeParse(value);
  if (data) return data;
  throw new Usage(`${file} is not a trust file: ${error.issues[0]?.path.join('.') ?? ''} ${error.issues[0]?.message ?? ''}`);
}

function readInput(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Usage(`cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'an error'}`);
  }
}

function scriptCommand(args: string[]): number {
  const [verb, ...rest] = args;
  if (verb === 'schema' && rest.length === 0) {
    process.stdout.write(`${JSON.stringify(scriptJsonSchema(), null, 2)}\n`);
    return 0;
  }
  if (verb !== 'lint') throw new Usage('script: lint FILE, or schema');
  const { values, positionals } = parseArgs({ args: rest, allowPositionals: true, options: { json: { type: 'boolean', default: false }, set: { type: 'string', multiple: true, default: [] } } });
  const [file] = positionals;
  if (file === undefined) throw new Usage('script lint: which file?');
  const text = readInput(file).toString();
  const read = readScript(text);
  const result = read.script ? rehearse(read.script, { ...read.script.defaults, ...parametersFrom(values.set, text) }) : null;
  const faults = result?.faults ?? read.faults;
  if (values.json) process.stdout.write(`${JSON.stringify({ faults, words: read.script?.words ?? [], steps: result?.rehearsed?.plan.steps.length ?? 0 }, null, 2)}\n`);
  else if (faults.length === 0) process.stdout.write(`✓ ${basename(file)}: ${result?.rehearsed?.plan.steps.length ?? 0} steps, about ${result?.rehearsed?.minutes ?? 0} minutes\n  ${read.script?.words.join(' ') ?? ''}\n`);
  else for (const fault of faults) process.stdout.write(`${basename(file)}:${fault.line}: ${fault.rule}: expected ${fault.expected}; found ${fault.found}. ${fault.next}\n`);
  return faults.length === 0 ? 0 : 1;
}

async function tokensCommand(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean', default: false }, home: { type: 'string' } } });
  const house = await openHouse(resolve(values.home ?? dataFolder(process.env, homedir())));
  try {
    const estate = await ask(house, { call: 'estate' });
    if (values.json) process.stdout.write(`${JSON.stringify(estate, null, 2)}\n`);
    else for (const module of estate.modules) {
      process.stdout.write(`${module.name}: ${module.facts ? `${module.facts.library} ${module.facts.version}, ${module.facts.path}` : `${module.problem?.code ?? ''}: ${module.problem?.message ?? ''}`}\n`);
      for (const slot of module.slots) process.stdout.write(`  slot ${slot.slot}: ${slot.token ? `${slot.token.label} (${slot.token.model}, serial ${slot.token.serial})` : 'empty'}\n`);
    }
    return estate.modules.some((module) => module.problem) ? 1 : 0;
  } finally {
    await house.stop();
  }
}

/** What `conclave COMMAND --help` prints; undefined for a command that there is not. */
async function detailOf(command: string): Promise<string | undefined> {
  switch (command) {
    case 'cbom': return (await bills()).CBOM_DETAIL;
    case 'inventory': return (await inventories()).INVENTORY_DETAIL;
    case 'custody': return (await custodies()).CUSTODY_DETAIL;
    case 'destroy': return (await destructions()).DESTROY_DETAIL;
    case 'share': return `${(await shares()).SHARE_DETAIL[command] ?? ''}\n${(await papers()).PAPER_DETAIL}`;
    case 'envelope': return (await envelopes()).ENVELOPE_DETAIL[command];
    case 'key': return `${(await envelopes()).ENVELOPE_DETAIL[command] ?? ''}${KEY_DETAIL}${(await states()).STATE_DETAIL}`;
    default: return DETAIL[command];
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const [command, ...args] = argv;
  if (command === undefined || command === 'help' || command === '--help' || command === '-h') {
    (command === undefined ? process.stderr : process.stdout).write(await help());
    return command === undefined ? 2 : 0;
  }
  if (command === '--version') {
    process.stdout.write(`${version}\n`);
    return 0;
  }
  const detail = await detailOf(command);
  if (detail === undefined) throw new Usage(`there is no command ${command}`);
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(detail);
    return 0;
  }
  switch (command) {
    case 'rehearse': return rehearseCommand(args);
    case 'verify': return verifyCommand(args);
    case 'script': return scriptCommand(args);
    case 'tokens': return tokensCommand(args);
    case 'token': return isAdminVerb(args[0]) ? adminCommand(args, { openHouse, organisationTemplates }) : tokenCommand(args, openHouse);
    case 'logbook': return logbookCommand(args, { openHouse, lineHash: (line) => nativeHasher.entry(utf8(line)) });
    case 'cbom': return (await bills()).cbomCommand(args, { version, hasher: nativeHasher, openHouse });
    case 'destroy': return (await destructions()).destroyCommand(args, { hasher: nativeHasher, openHouse });
    case 'inventory': return (await inventories()).inventoryCommand(args, { openHouse });
    case 'custody': return (await custodies()).custodyCommand(args, openHouse);
    case 'envelope': return (await envelopes()).envelopeCommand(command, args);
    case 'share': {
      const { isPaperCall, paperCommand } = await papers();
      return isPaperCall(args) ? paperCommand(args) : (await shares()).shareCommand(args);
    }
    case 'key': {
      if (isKeyCall(args)) return keyCommand(args, organisationTemplates);
      const { isStateCall, stateCommand } = await states();
      if (isStateCall(args)) return stateCommand(args, { openHouse });
      const { envelopeCommand, isEnvelopeCall } = await envelopes();
      return isEnvelopeCall(command, args) ? envelopeCommand(command, args) : keysCommand(command, args);
    }
    case 'cert': case 'csr': case 'crl': case 'sig': return keysCommand(command, args);
    default: {
      const { bench } = await import(pathToFileURL(join(HERE, '..', 'build', 'bench.ts')).href) as { bench: (args: string[]) => Promise<number> };
      return bench(args);
    }
  }
}

// `conclave tokens | head` ends the pipe early: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const wrongCall = error instanceof Usage || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true;
  const message = error instanceof Refused
    ? `✕ ${error.refusal.rule}\n  expected: ${error.refusal.expected}\n  found:    ${error.refusal.found}\n  next:     ${error.refusal.next}`
    : `conclave: ${error instanceof Error ? error.message : String(error)}`;
  process.stderr.write(`${message}\n${wrongCall ? '\nconclave --help shows every command.\n' : ''}`);
  process.exitCode = wrongCall ? 2 : 1;
}
