/**
 * `conclave token init|generate|destroy|...`: changes to tokens in the terminal. Each command is one volume of the logbook: the
 * officer logs in, one change is made and read back, the officer signs. What was written down stays, also when it failed.
 *
 * Exit code 0: changed and proven. 1: a refusal, by name. 2: a wrong call. No PIN and no password is an argument or an
 * environment variable: they are typed at the prompt, or by a stand-in on a rehearsal token.
 */
import { writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { fileOf, orderable, orderText, resultLines } from '../ceremonies/administration.ts';
import { forWebCrypto } from '../ceremonies/bytes.ts';
import { pendingAction, type Entry } from '../ceremonies/ceremony.ts';
import { KEY_KINDS, ORDERED_ATTRIBUTES, WrapMethod, type Intent, type KeyKind, type OrderedAttributes } from '../ceremonies/evidence.ts';
import type { ObjectPlace } from '../ceremonies/estate.ts';
import { importFault } from '../ceremonies/keys/import.ts';
import { PURPOSE_NAMES, safeAttributes, SHIPPED_TEMPLATES, type KeyTemplate, type Purpose } from '../ceremonies/keys/template.ts';
import { Refused, refuse } from '../ceremonies/refusal.ts';
import { parseLine } from '../ceremonies/transcript.ts';
import type { Answers, ChangeRequest, StatementRequest } from './contract.ts';
import { readInput, Usage } from './keys-cli.ts';
import { dataFolder, type BoothPort, type House } from './processes.ts';
import { ask, playOn } from './rehearsal.ts';
import { requireTerminal } from './terminal-booth.ts';

export const ADMIN_HELP = `  conclave token init|unblock|pin|generate|import|import-certificate|copy|edit|destroy|wrap|unwrap|request|self-sign ... [--json]
      Changes a token, one thing at a time, each written down before and after and signed by the officer.
  conclave token self-test ... [--json]
      Whether a key works, tried with session objects.
  conclave logbook [--json]
      The volumes of this machine's logbook: each verified, and that none is missing between them.
`;

export const ADMIN_DETAIL = `conclave token init               --module M --token SERIAL --label TEXT
conclave token unblock            --module M --token SERIAL
conclave token pin                --module M --token SERIAL [--whose user|so]
conclave token generate           --module M --token SERIAL --label TEXT --template NAME
conclave token generate           --module M --token SERIAL --label TEXT --kind KIND --for PURPOSE [--attribute NAME=true|false]...
conclave token import             ... --file FILE, and the rest as generate
conclave token import-certificate --module M --token SERIAL --label TEXT --file FILE [--where ATTRIBUTE=VALUE]...
conclave token copy               --module M --token SERIAL --where ... --label TEXT [--attribute NAME=true|false]...
conclave token edit               --module M --token SERIAL --where ... [--label TEXT] [--id HEX] [--attribute NAME=true|false]...
conclave token destroy            --module M --token SERIAL --where ... --typed "destroy LABEL"
conclave token wrap               --module M --token SERIAL --where ... --method AES-KWP|AES-KW|RSA-OAEP --under ATTRIBUTE=VALUE... --out FILE
conclave token wrap               --module M --token SERIAL --where ... --method hybrid --to FILE --out FILE
conclave token unwrap             --module M --token SERIAL --under ATTRIBUTE=VALUE... --file FILE [--label TEXT] [--attribute NAME=true|false]...
conclave token request            --module M --token SERIAL --where ... --subject "CN=..., O=..." --out FILE
conclave token self-sign          --module M --token SERIAL --where ... --subject "CN=..., O=..." --days N --out FILE
conclave token self-test          --module M --token SERIAL --where ...

  init          initialises it: everything on it is destroyed. Refused where anything moved since it was looked at
  unblock       sets a new user PIN as the security officer: the first one, or for a user who is locked out
  pin           changes the user's PIN, or the security officer's (SO)
  generate      --template: \`conclave key template\` lists them. --kind: ${KEY_KINDS.slice(0, 12).join(', ')}, ...
                --for: ${PURPOSE_NAMES.join(', ')}
  import        encrypted PKCS#8 or PKCS#12; its password is asked for. A key that was outside a token stays marked so
  destroy       --typed: the words "destroy " and the object's label (its id where it has none)
  wrap, unwrap  the file carries algorithm, wrapping key, check value and template; it is unwrapped again once, as a rehearsal

  --where, --under   objects by attribute, as in \`conclave token objects\`; exactly one must fit
  --despite RULE     a danger that you were told of and answer for; it stands in the record
  --officer NAME     who does this (default: Security officer)   --card M:SERIAL  the officer's identity card
  --real             not a rehearsal: hardware only, on a release build
  --stand-in         the rehearsal PIN types itself; refused for every token that is none for rehearsals
  --home DIR         the data folder        --json        the whole answer
`;

const many = { type: 'string', multiple: true, default: [] as string[] } as const;
const OPTIONS = {
  'module': { type: 'string' }, 'token': { type: 'string' }, 'label': { type: 'string' }, 'whose': { type: 'string', default: 'user' }, 'template': { type: 'string' }, 'kind': { type: 'string' },
  'for': { type: 'string' }, 'attribute': many, 'despite': many, 'where': many, 'under': many, 'file': { type: 'string' }, 'id': { type: 'string' }, 'typed': { type: 'string', default: '' },
  'method': { type: 'string' }, 'to': { type: 'string' }, 'out': { type: 'string' }, 'subject': { type: 'string' }, 'days': { type: 'string' }, 'officer': { type: 'string', default: 'Security officer' },
  'card': { type: 'string' }, 'real': { type: 'boolean', default: false }, 'stand-in': { type: 'boolean', default: false }, 'home': { type: 'string' }, 'json': { type: 'boolean', default: false },
} as const;
type Option = keyof typeof OPTIONS;
type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS; args: string[] }>>['values'];

const KEY: readonly Option[] = ['label', 'template', 'kind', 'for', 'attribute', 'despite'];
/** What each verb takes beside what all of them take. */
const TAKES: Readonly<Record<string, readonly Option[]>> = {
  'init': ['label'], 'unblock': [], 'pin': ['whose'], 'generate': KEY, 'import': [...KEY, 'file'], 'import-certificate': ['label', 'file', 'where'], 'copy': ['where', 'label', 'attribute', 'despite'],
  'edit': ['where', 'label', 'id', 'attribute', 'despite'], 'destroy': ['where', 'typed'], 'wrap': ['where', 'under', 'to', 'method', 'out'], 'unwrap': ['under', 'file', 'label', 'attribute', 'despite'],
  'request': ['where', 'subject', 'out'], 'self-sign': ['where', 'subject', 'days', 'out'], 'self-test': ['where'],
};
const EVERYWHERE: readonly Option[] = ['module', 'token', 'officer', 'card', 'real', 'stand-in', 'home', 'json'];
const LARGEST_FILE = 750_000;

export const isAdminVerb = (verb: string | undefined): boolean => verb !== undefined && Object.hasOwn(TAKES, verb);

interface World {
  readonly openHouse: (home: string) => Promise<House<BoothPort>>;
  readonly organisationTemplates: (home: string) => readonly { readonly template: KeyTemplate }[];
}

/** Finds the one object with these values; the token is logged in to. */
type Find = (where: readonly string[], option: string) => Promise<ObjectPlace>;

export async function adminCommand(args: readonly string[], world: World): Promise<number> {
  const [verb = '', ...rest] = args;
  const { values, tokens } = parseArgs({ args: rest, options: OPTIONS, tokens: true });
  const takes = TAKES[verb] ?? [];
  const foreign = tokens.flatMap((token) => (token.kind === 'option' ? [token.name] : [])).find((name) => ![...takes, ...EVERYWHERE].some((one) => one === name));
  if (foreign !== undefined) throw new Usage(`token ${verb}: it takes no --${foreign}`);
  if (values.module === undefined || values.token === undefined) throw new Usage(`token ${verb}: --module and --token are needed. conclave tokens lists both.`);
  const home = resolve(values.home ?? dataFolder(process.env, homedir()));
  const on = { module: values.module, token: values.token };
  const prepared = verb === 'self-test' ? null : prepare(verb, values, on, () => world.organisationTemplates(home).map(({ template }) => template));
  if (!values['stand-in']) requireTerminal();
  const house = await world.openHouse(home);
  try {
    const find: Find = (where, option) => oneObject(house, on, where, option);
    // Without a PIN only what is not private can be found; what acts as SO, or destroys everything, must not find a user logged in.
    const looks = !['init', 'unblock', 'pin'].includes(verb);
    if (looks) await ask(house, { call: 'token-login', ...on, standIn: values['stand-in'], acceptFinalTry: false });
    try {
      if (prepared === null) return tellTest(await ask(house, { call: 'self-test', ...on, place: await find(values.where, 'where'), standIn: values['stand-in'], acceptFinalTry: false }), values.json);
      return await inVolume(house, values, async () => (typeof prepared === 'function' ? prepared(find) : prepared));
    } finally {
      if (looks) await ask(house, { call: 'token-log-out', ...on });
    }
  } finally {
    await house.stop();
  }
}

/** One volume around one change. The volume is ended and signed also where the change was refused. */
export async function inVolume(house: House<BoothPort>, values: Pick<Values, 'officer' | 'card' | 'real' | 'stand-in' | 'json'> & { readonly out?: string | undefined }, request: () => Promise<ChangeRequest | StatementRequest>): Promise<number> {
  const change = await request();
  const card = values.card === undefined ? null : boundCard(values.card);
  const { ceremony } = await ask(house, { call: 'log-in', name: values.officer, module: card?.module ?? 'software', card, mode: values.real ? 'real' : 'rehearsal', standIns: values['stand-in'] });
  await playOn(house, ceremony, { until: (state) => state.current?.step.do.action === 'administer' });
  try {
    const { result } = await ask(house, { call: 'administer', ceremony, request: change, acceptFinalTry: false });
    const { lines } = await ask(house, { call: 'entries', ceremony, from: 0 });
    const intent = lines.map((line) => parseLine(line)).flatMap((entry) => (entry.kind === 'begun' ? [(entry as Entry<'begun'>).data] : [])).at(-1)?.intent as Intent<'administer'>;
    const written = write(fileOf(intent, result), values.out);
    const told = resultLines(intent, result);
    process.stdout.write(values.json ? `${JSON.stringify({ ceremony, change: change.change, order: orderText(intent), result, written }, null, 2)}\n`
      : [`✓ ${orderText(intent)}`, ...told.map(({ text, mark }) => `  ${mark === 'verified' ? '✓ verified' : mark === 'reported' ? '! reported' : '·'}: ${text}`), ...written === null ? [] : [written], `logbook ${ceremony}`].map((line) => `${line}\n`).join(''));
    return 0;
  } finally {
    await playOn(house, ceremony, { until: (state) => pendingAction(state).kind === 'decide' });
  }
}

function write(file: ReturnType<typeof fileOf>, out: string | undefined): string | null {
  if (file === null || out === undefined) return null;
  const path = resolve(out);
  writeFileSync(path, file.bytes, { flag: 'wx' });
  return path;
}

function tellTest(value: Answers['self-test'], json: boolean): number {
  process.stdout.write(json ? `${JSON.stringify(value, null, 2)}\n` : value.tried.map(({ name, passed, detail }) => `${passed ? '✓' : '✕'} ${name}: ${detail}\n`).join(''));
  return value.tried.every(({ passed }) => passed) ? 0 : 1;
}

// --- what was asked for, judged before a process starts ---------------------------------------------------------------

type Prepared = ChangeRequest | ((find: Find) => Promise<ChangeRequest>);

function prepare(verb: string, values: Values, on: { readonly module: string; readonly token: string }, templates: () => readonly KeyTemplate[]): Prepared {
  const needed = (name: 'label' | 'file' | 'subject' | 'out' | 'method'): string => {
    const value = values[name];
    if (value === undefined || value === '') throw new Usage(`token ${verb}: --${name} is needed`);
    return value;
  };
  const someWhere = (name: 'where' | 'under') => {
    if (values[name].length === 0) throw new Usage(`token ${verb}: --${name} is needed, e.g. --${name} CKA_LABEL="Root CA" --${name} CKA_CLASS=CKO_PRIVATE_KEY`);
    return values[name];
  };
  const file = (path: string) => ({ file: basename(path), bytes: forWebCrypto(readInput(path, LARGEST_FILE)) });
  const attributes = orderedAttributes(values.attribute);
  switch (verb) {
    case 'init': return { change: 'init-token', ...on, label: needed('label') };
    case 'unblock': return { change: 'set-user-pin', ...on };
    case 'pin': {
      if (values.whose !== 'user' && values.whose !== 'so') throw new Usage('--whose: user or so');
      return { change: 'change-pin', ...on, whose: values.whose };
    }
    case 'generate': return { change: 'generate-key', ...on, label: needed('label'), ...wishedKey(values, attributes, templates) };
    case 'import': {
      const key = file(needed('file'));
      const fault = importFault(key.bytes);
      if (fault !== null) {
        key.bytes.fill(0);
        throw new Refused(fault);
      }
      return { change: 'import-key', ...on, label: needed('label'), ...wishedKey(values, attributes, templates), file: key };
    }
    case 'import-certificate': {
      const request = { change: 'import-certificate' as const, ...on, label: needed('label'), file: file(needed('file')) };
      return async (find) => ({ ...request, place: values.where.length === 0 ? null : await find(values.where, 'where') });
    }
    case 'copy': {
      const request = { change: 'copy-object' as const, ...on, label: needed('label'), attributes, despite: values.despite };
      const where = someWhere('where');
      return async (find) => ({ ...request, place: await find(where, 'where') });
    }
    case 'edit': {
      const where = someWhere('where');
      return async (find) => ({ change: 'edit-object', ...on, place: await find(where, 'where'), label: values.label ?? null, id: values.id ?? null, attributes, despite: values.despite });
    }
    case 'destroy': {
      const where = someWhere('where');
      return async (find) => ({ change: 'destroy-object', ...on, place: await find(where, 'where'), typed: values.typed });
    }
    case 'wrap': {
      const method = WrapMethod.safeParse(needed('method'));
      if (!method.success) throw new Usage(`--method: one of ${WrapMethod.options.join(', ')}`);
      const where = someWhere('where');
      needed('out');
      const recipient = method.data === 'hybrid' ? file(values.to ?? '') : null;
      const under = recipient === null ? someWhere('under') : null;
      return async (find) => ({ change: 'wrap-key', ...on, place: await find(where, 'where'), under: under === null ? null : await find(under, 'under'), recipient, method: method.data });
    }
    case 'unwrap': {
      const under = someWhere('under');
      const brought = file(needed('file'));
      return async (find) => ({ change: 'unwrap-key', ...on, under: await find(under, 'under'), file: brought, label: values.label ?? null, attributes, despite: values.despite });
    }
    case 'request': {
      const where = someWhere('where');
      const subject = needed('subject');
      needed('out');
      return async (find) => ({ change: 'sign-request', ...on, place: await find(where, 'where'), subject });
    }
    default: {
      const where = someWhere('where');
      const subject = needed('subject');
      needed('out');
      const days = Number(values.days ?? '');
      if (!Number.isInteger(days) || days < 1 || days > 14_610) throw new Usage('--days: a whole number from 1 to 14610');
      return async (find) => ({ change: 'self-sign', ...on, place: await find(where, 'where'), subject, days });
    }
  }
}

function orderedAttributes(pairs: readonly string[]): OrderedAttributes {
  return Object.fromEntries(pairs.map((text) => {
    const [name = '', value = ''] = text.split('=');
    if (!ORDERED_ATTRIBUTES.some((one) => one === name) || !['true', 'false'].includes(value)) throw new Usage(`--attribute ${text}: NAME=true or NAME=false, with a name of ${ORDERED_ATTRIBUTES.join(', ')}`);
    return [name, value === 'true'];
  }));
}

/** Kind, attributes and accepted dangers: from a template, or from a purpose's safe attributes; `--attribute` changes either. */
function wishedKey(values: Values, changed: OrderedAttributes, templates: () => readonly KeyTemplate[]): { kind: KeyKind; attributes: OrderedAttributes; despite: string[] } {
  if (values.template !== undefined) {
    const template = [...SHIPPED_TEMPLATES, ...templates()].find(({ name }) => name === values.template);
    if (template === undefined) throw new Usage(`--template ${values.template}: there is none of this name. \`conclave key template\` lists them.`);
    return { kind: template.kind, attributes: { ...orderable(template.attributes), ...changed }, despite: [...Object.keys(template.accepts), ...values.despite] };
  }
  const kind = KEY_KINDS.find((one) => one === values.kind);
  if (kind === undefined) throw new Usage(`--kind: one of ${KEY_KINDS.join(', ')}; or give --template`);
  const purpose = PURPOSE_NAMES.find((one: Purpose) => one === values.for);
  if (purpose === undefined) throw new Usage(`--for: one of ${PURPOSE_NAMES.join(', ')}`);
  return { kind, attributes: { ...orderable(safeAttributes(purpose)), ...changed }, despite: values.despite };
}

function boundCard(text: string): { module: string; serial: string } {
  const at = text.indexOf(':');
  if (at < 1) throw new Usage(`--card ${text}: MODULE:SERIAL is wanted`);
  return { module: text.slice(0, at), serial: text.slice(at + 1) };
}

async function oneObject(house: House<BoothPort>, on: { readonly module: string; readonly token: string }, pairs: readonly string[], option: string): Promise<ObjectPlace> {
  const where = pairs.map((text) => {
    const at = text.indexOf('=');
    if (at < 1) throw new Usage(`--${option} ${text}: ATTRIBUTE=VALUE is wanted`);
    return { attribute: text.slice(0, at), value: text.slice(at + 1) };
  });
  const { total, objects: [object], positions: [position] } = await ask(house, { call: 'search-objects', ...on, where, offset: 0, limit: 1 });
  if (total === 1 && object !== undefined && position !== undefined) return { position, object };
  throw new Refused(refuse('ONE-MATCH', `exactly one object for --${option}`, total === 0 ? 'none' : `${total}`, 'List the objects of the token, and say more of the one that is meant.'));
}

// --- the logbook -----------------------------------------------------------------------------------------------------

/** Every volume verified by itself, and that each names the one before it. */
export async function logbookCommand(args: readonly string[], world: Pick<World, 'openHouse'> & { readonly lineHash: (line: string) => string }): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { home: { type: 'string' }, json: { type: 'boolean', default: false } } });
  const house = await world.openHouse(resolve(values.home ?? dataFolder(process.env, homedir())));
  try {
    const volumes = [];
    let before: { ceremony: string; last: string } | null = null;
    for (const { ceremony, script, openedAt } of await ask(house, { call: 'ceremonies' })) {
      if (script !== 'administration') continue;
      const { verdict, lines } = await ask(house, { call: 'verify-own', ceremony });
      const opening = (parseLine(lines[0] ?? '') as Entry<'opened'>).data;
      const after = opening.after ?? null;
      const follows: boolean = after?.ceremony === before?.ceremony && after?.last === before?.last;
      const done = lines.map((line) => parseLine(line)).filter((entry) => entry.kind === 'done').length;
      volumes.push({ ceremony, openedAt, officer: opening.people[0]?.name ?? '', entries: lines.length, done, verdict: verdict.verdict, findings: verdict.findings, follows });
      before = { ceremony, last: world.lineHash(lines.at(-1) ?? '') };
    }
    const sound = volumes.every(({ verdict, follows }) => follows && (verdict === 'valid' || verdict === 'aborted'));
    process.stdout.write(values.json ? `${JSON.stringify({ volumes, sound }, null, 2)}\n` : [
      ...volumes.map(({ ceremony, openedAt, officer, entries, verdict, follows }) => `${verdict === 'valid' ? '✓' : '✕'} ${openedAt}  ${ceremony}  ${officer}  ${entries} entries, ${verdict}${follows ? '' : '  ✕ LOGBOOK-CHAIN: it does not follow the volume before it'}`),
      volumes.length === 0 ? 'There is no volume yet.' : sound ? `✓ ${volumes.length} volumes, each valid, none missing between them` : '✕ something is missing, open or broken',
    ].map((line) => `${line}\n`).join(''));
    return sound ? 0 : 1;
  } finally {
    await house.stop();
  }
}
