/**
 * `conclave token`: the Tokens room in the terminal. It only reads: nothing on a token changes, and nothing is recorded.
 *
 * Exit code 0: read, and nothing wrong was found. 1: a refusal or a finding, by name. 2: a wrong call. A PIN that is needed
 * is asked for on the terminal (terminal-booth.ts), or typed on a rehearsal token by a stand-in (`--stand-in`).
 */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { sha256 } from '@noble/hashes/sha2.js';
import { fromBase64url, fromHex, toHex } from '../ceremonies/bytes.ts';
import type { ObjectPlace, Readiness, TokenDetails } from '../ceremonies/estate.ts';
import { keyRecordFile } from '../ceremonies/key-record.ts';
import { asn1Lines } from '../ceremonies/keys/asn1-text.ts';
import type { Comparison, DescribedKey } from '../ceremonies/keys/compare.ts';
import { inForm, TEXT_FORMS, type TextForm } from '../ceremonies/keys/public-forms.ts';
import { readSubjectKey } from '../ceremonies/keys/subject-key.ts';
import { Refused, refuse } from '../ceremonies/refusal.ts';
import type { Answers, KeyPlace, Library, Request } from './contract.ts';
import { newFile, Usage, write } from './keys-cli.ts';
import { dataFolder, type BoothPort, type House } from './processes.ts';
import { ask } from './rehearsal.ts';
import { requireTerminal } from './terminal-booth.ts';

export const TOKEN_HELP = `  conclave token modules|readers|show|mechanisms|probe|objects|object|key-record|find|scan|compare|random|explain ... [--json]
      Modules, what a token is and really can do, its objects in full, weak keys, two tokens compared, error codes. Changes nothing.
`;

export const TOKEN_DETAIL: Record<string, string> = {
  token: `conclave token modules
conclave token readers
conclave token show       --module M --token SERIAL
conclave token mechanisms --module M --token SERIAL
conclave token probe      --module M --token SERIAL [--stand-in]
conclave token objects    --module M --token SERIAL [--where ATTRIBUTE=VALUE]... [--offset N] [--limit N] [--login | --stand-in]
conclave token object     --module M --token SERIAL --where ATTRIBUTE=VALUE... [--asn1 | --as FORM] [--login | --stand-in]
conclave token key-record --module M --token SERIAL --where ATTRIBUTE=VALUE... --out FILE [--login | --stand-in]
conclave token find URI
conclave token scan       [--on M:SERIAL]...
conclave token compare    --module M --token SERIAL [--with-module M] --with-token SERIAL [--login | --stand-in]
conclave token random     --module M --token SERIAL [--bytes N]
conclave token explain    [CODE]

  modules       what modules.json runs, vetted and pinned, and the libraries on this machine that it could run
  readers       the card readers of this machine, and which of your modules knows the card in each
  show          flags, PIN state, limits, interfaces, validations
  probe         logs in, and tries every parameter set with session objects: proven, claimed or absent
  objects       objects of the token; --where CKA_LABEL="Root CA", CKA_CLASS=CKO_PRIVATE_KEY, CKA_SIGN=true, CKA_ID=9f2c
  object        the one object with these values, in full; --asn1: attributes that are DER, taken apart;
                --as pem, jwk or openssh: its public key alone, as other programs want it
  key-record    the record of the key with these values (either half of it), to bring to ceremonies: for a key that no ceremony made.
                Public things alone; with the certificate of the key, where exactly one on the token has its CKA_ID
  find URI      what a PKCS#11 URI (RFC 7512) names, on every token here
  scan          weak keys on these tokens (default: all), each alone and compared with each other
  compare       backup, cluster or clone: which keys are on both tokens (by public fingerprint or check value), which
                attributes differ, what is missing, and what only has the same name
  random        statistics of the token's random numbers (default: 65536 bytes)
  explain       what a CKR_* name or number means

  --login       logs in, so that private objects are seen too: asks for the user PIN on the terminal
  --stand-in    logs in with the published rehearsal PIN; refused for every token that is none for rehearsals
  --home DIR    the data folder        --json        the whole answer

  A PIN is typed on the terminal (or the token's own PIN pad), is never shown, and is never an argument. Exit code 1: something
  was refused or found.
`,
};

const OPTIONS = {
  'module': { type: 'string' }, 'token': { type: 'string' }, 'with-module': { type: 'string' }, 'with-token': { type: 'string' }, 'where': { type: 'string', multiple: true, default: [] as string[] }, 'on': { type: 'string', multiple: true, default: [] as string[] },
  'offset': { type: 'string', default: '0' }, 'limit': { type: 'string', default: '100' }, 'bytes': { type: 'string', default: '65536' },
  'asn1': { type: 'boolean', default: false }, 'as': { type: 'string' }, 'out': { type: 'string' }, 'login': { type: 'boolean', default: false }, 'stand-in': { type: 'boolean', default: false }, 'home': { type: 'string' }, 'json': { type: 'boolean', default: false },
} as const;

/** What each verb takes beside --home and --json; anything else is a wrong call. */
const TAKES: Readonly<Record<string, readonly (keyof typeof OPTIONS)[]>> = {
  modules: [], readers: [], show: ['module', 'token'], mechanisms: ['module', 'token'], probe: ['module', 'token', 'stand-in'],
  objects: ['module', 'token', 'where', 'offset', 'limit', 'login', 'stand-in'], object: ['module', 'token', 'where', 'asn1', 'as', 'login', 'stand-in'],
  'key-record': ['module', 'token', 'where', 'out', 'login', 'stand-in'],
  find: [], scan: ['on'], compare: ['module', 'token', 'with-module', 'with-token', 'login', 'stand-in'], random: ['module', 'token', 'bytes'], explain: [],
};
const ARGUMENTS: Readonly<Record<string, readonly [least: number, most: number]>> = { find: [1, 1], explain: [0, 1] };

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS; args: string[]; allowPositionals: true }>>['values'];

interface Outcome {
  readonly value: unknown;
  readonly lines: readonly string[];
  readonly code: 0 | 1;
}

/** `openHouse` starts the house on a data folder; it is stopped here. */
export async function tokenCommand(args: readonly string[], openHouse: (home: string) => Promise<House<BoothPort>>): Promise<number> {
  const [verb = '', ...rest] = args;
  const takes = TAKES[verb];
  if (takes === undefined) throw new Usage(`token: ${Object.keys(TAKES).join(', ')}`);
  const { values, positionals } = parseArgs({ args: rest, allowPositionals: true, options: OPTIONS });
  const given = parseArgs({ args: rest, allowPositionals: true, options: OPTIONS, tokens: true }).tokens.flatMap((token) => (token.kind === 'option' ? [token.name] : []));
  const foreign = given.find((name) => name !== 'home' && name !== 'json' && !(takes as readonly string[]).includes(name));
  if (foreign !== undefined) throw new Usage(`token ${verb}: it takes no --${foreign}`);
  const [least, most] = ARGUMENTS[verb] ?? [0, 0];
  if (positionals.length < least || positionals.length > most) throw new Usage(`token ${verb}: ${least === most ? least : `${least} to ${most}`} arguments, not ${positionals.length}`);
  if (takes.includes('token') && (values.module === undefined || values.token === undefined)) throw new Usage(`token ${verb}: --module and --token are needed. conclave tokens lists both.`);
  if (values.login && values['stand-in']) throw new Usage(`token ${verb}: --login or --stand-in, not both`);
  const work = prepared(verb, values, positionals);
  if ((verb === 'probe' && !values['stand-in']) || values.login) requireTerminal();
  const house = await openHouse(resolve(values.home ?? dataFolder(process.env, homedir())));
  try {
    const { value, lines, code } = await work(house);
    process.stdout.write(values.json ? `${JSON.stringify(value, null, 2)}\n` : lines.map((line) => `${line}\n`).join(''));
    return code;
  } finally {
    await house.stop();
  }
}

/** Everything about the call is judged before a process starts. */
function prepared(verb: string, values: Values, positionals: readonly string[]): (house: House<BoothPort>) => Promise<Outcome> {
  const on = { module: values.module ?? '', token: values.token ?? '' };
  const standIn = values['stand-in'];
  const withLogin = <T>(house: House<BoothPort>, token: OnToken, use: () => Promise<T>): Promise<T> => (values.login || standIn ? loggedIn(house, token, standIn, use) : use());
  switch (verb) {
    case 'modules': return async (house) => modules(await ask(house, { call: 'token-modules' }));
    case 'readers': return async (house) => readers(await ask(house, { call: 'readers' }));
    case 'show': return async (house) => details(await ask(house, { call: 'token-details', ...on }));
    case 'mechanisms': return async (house) => {
      const value = await ask(house, { call: 'mechanisms', ...on });
      return { value, code: 0, lines: value.mechanisms.map(({ name, min, max, flags }) => `${name.padEnd(36)} ${(max === 0 ? '' : `${min}-${max}`).padEnd(12)} ${flags.map((flag) => flag.replace('CKF_', '').toLowerCase()).join(', ')}`) };
    };
    case 'probe': return async (house) => readiness((await ask(house, { call: 'probe', ...on, standIn, acceptFinalTry: false })).readiness);
    case 'objects': {
      const where = wanted(values.where);
      const page = { offset: whole('offset', values.offset, 0), limit: whole('limit', values.limit, 1) };
      if (page.limit > 500) throw new Usage('--limit: at most 500');
      return (house) => withLogin(house, on, async () => {
        const found = where.length > 0 ? await ask(house, { call: 'search-objects', ...on, where, ...page }) : null;
        const listed = found ?? await ask(house, { call: 'objects', ...on, ...page });
        const objects = listed.objects.map((object, i) => ({ position: found?.positions[i] ?? page.offset + i, object }));
        const { total } = listed;
        return {
          value: { total, loggedIn: listed.loggedIn, objects }, code: 0,
          lines: [...objects.map(place), `${objects.length} of ${total} objects${listed.loggedIn ? '' : ', public ones only: nobody is logged in'}`],
        };
      });
    }
    case 'object': {
      // Not by its place in the list: modules have been seen to list the same objects in another order in every process.
      const where = wanted(values.where);
      if (where.length === 0) throw whereNeeded(verb);
      const form = TEXT_FORMS.find((one) => one === values.as) ?? null;
      if ((values.as !== undefined && form === null) || (form !== null && values.asn1)) throw new Usage(`token object --as: ${TEXT_FORMS.join(', ')}, without --asn1`);
      return (house) => withLogin(house, on, async () => {
        const value = await ask(house, { call: 'object', ...on, place: await theOne(house, on, where) });
        return form === null ? oneObject(value, values.asn1) : publicKeyOf(value, form);
      });
    }
    case 'key-record': {
      const where = wanted(values.where);
      if (where.length === 0) throw whereNeeded(verb);
      if (values.out === undefined) throw new Usage('token key-record: where does the record go (--out FILE)?');
      const out = newFile(values.out);
      return (house) => withLogin(house, on, async () => {
        const { record } = await ask(house, { call: 'key-record', ...on, place: await theOne(house, on, where), save: false });
        const bytes = keyRecordFile(record);
        write(out, bytes);
        return { value: record, code: 0, lines: [`${record.label}: ${record.key.algorithm}, ${record.certificate === null ? 'without a certificate' : 'with its certificate'}`, `SHA-256 ${toHex(sha256(bytes))}`, out] };
      });
    }
    case 'find': return async (house) => {
      const value = await ask(house, { call: 'find-uri', uri: positionals[0] ?? '' });
      const lines = value.found.flatMap(({ module, token, objects, total }) => [`${module}  ${token.label} (serial ${token.serial})`, ...objects.map((one) => `  ${place(one)}`), ...(total > objects.length ? [`  and ${total - objects.length} more`] : [])]);
      return { value, lines: lines.length === 0 ? ['Nothing here has this URI.'] : lines, code: lines.length === 0 ? 1 : 0 };
    };
    case 'scan': {
      const tokens = values.on.map((text) => {
        const at = text.indexOf(':');
        if (at < 1) throw new Usage(`--on ${text}: MODULE:SERIAL is wanted`);
        return { module: text.slice(0, at), token: text.slice(at + 1) };
      });
      return async (house) => scan(await ask(house, { call: 'scan-keys', tokens }));
    }
    case 'compare': {
      const other = { module: values['with-module'] ?? on.module, token: values['with-token'] ?? '' };
      if (other.token === '') throw new Usage('token compare: --with-token is needed. conclave tokens lists them.');
      if (other.module === on.module && other.token === on.token) throw new Usage('token compare: two different tokens are wanted');
      return (house) => withLogin(house, on, () => withLogin(house, other, async () => comparison(await ask(house, { call: 'compare-tokens', one: on, other }))));
    }
    case 'random': {
      const bytes = whole('bytes', values.bytes, 2048);
      return async (house) => {
        const value = await ask(house, { call: 'random-test', ...on, bytes });
        return {
          value, code: value.tests.every(({ passed }) => passed) ? 0 : 1,
          lines: [...value.tests.map(({ name, statistic, limit, passed }) => `${passed ? '✓' : '✕'} ${name}: ${statistic} (limit ${limit})`), `${value.bytes} bytes. ${value.claim}`],
        };
      };
    }
    default: return async (house) => {
      const value = await ask(house, { call: 'explain', code: positionals[0] ?? null });
      return { value, code: 0, lines: value.explanations.map(({ code, number, what, next }) => `${code}${number === null ? '' : ` (0x${number.toString(16)})`}: ${what}\n    ${next}`) };
    };
  }
}

const whereNeeded = (verb: string) => new Usage(`token ${verb}: --where is needed, e.g. --where CKA_LABEL="Root CA" --where CKA_CLASS=CKO_PRIVATE_KEY`);

/** The one object with these values. Throws `Refused` ONE-MATCH. */
async function theOne(house: House<BoothPort>, on: OnToken, where: { attribute: string; value: string }[]): Promise<ObjectPlace> {
  const { total, objects: [object], positions: [position] } = await ask(house, { call: 'search-objects', ...on, where, offset: 0, limit: 1 });
  if (total === 1 && object !== undefined && position !== undefined) return { position, object };
  throw new Refused(refuse('ONE-MATCH', 'exactly one object with these values', total === 0 ? 'none' : `${total}`, 'List the objects of the token, and say more of the one that is meant.'));
}

function wanted(pairs: readonly string[]): { attribute: string; value: string }[] {
  return pairs.map((text) => {
    const at = text.indexOf('=');
    if (at < 1) throw new Usage(`--where ${text}: ATTRIBUTE=VALUE is wanted`);
    return { attribute: text.slice(0, at), value: text.slice(at + 1) };
  });
}

function whole(option: string, text: string | undefined, least: number): number {
  const number = Number(text);
  if (!/^\d{1,9}$/.test(text ?? '') || number < least) throw new Usage(`--${option} ${text ?? ''}: a whole number of at least ${least} is wanted`);
  return number;
}

export interface OnToken { readonly module: string; readonly token: string }

/** `use` while somebody is logged in to look; logged out whatever happens. */
async function loggedIn<T>(house: House<BoothPort>, on: OnToken, standIn: boolean, use: () => Promise<T>): Promise<T> {
  await ask(house, { call: 'token-login', ...on, standIn, acceptFinalTry: false } satisfies Request);
  try {
    return await use();
  } finally {
    await ask(house, { call: 'token-log-out', ...on });
  }
}

// --- for people ------------------------------------------------------------------------------------------------------

function place({ position, object: { class: kind, id, label, keyType } }: { readonly position: number; readonly object: KeyPlace['object'] }): string {
  return `${`${position}`.padStart(6)}  ${kind.padEnd(12)} ${keyType.padEnd(16)} ${id.padEnd(20)} ${label}`.trimEnd();
}

function libraryLines({ path, file, sha256, refusal }: Library): string[] {
  return [
    `  ${path}${file !== null && file !== path ? ` -> ${file}` : ''}`,
    ...(sha256 === null ? [] : [`  SHA-256 ${sha256}`]),
    ...(refusal === null ? [] : [`  ✕ ${refusal.rule}: expected ${refusal.expected}; found ${refusal.found}. ${refusal.next}`]),
  ];
}

function readers(value: Answers['readers']): Outcome {
  const { problem } = value;
  if (problem !== null) return { value, code: 1, lines: [`${problem.code}: ${problem.message}`, `    ${problem.hint}`] };
  const content = ({ card, atr, tokens }: Answers['readers']['readers'][number]): string[] => {
    if (!card) return ['empty'];
    if (tokens !== null && tokens.length > 0) return tokens.map(({ module, token }) => `${token.label} (serial ${token.serial}), a token of module ${module}`);
    if (atr === null) return ['a card that says nothing: is it the right way round?'];
    return ['a card that none of your modules knows: install the module of its maker, and name it in modules.json', `answer to reset ${atr}`];
  };
  return { value, code: 0, lines: value.readers.length === 0 ? ['No card reader is connected.'] : value.readers.flatMap((reader) => [reader.name, ...content(reader).map((line) => `    ${line}`)]) };
}

function modules(value: Answers['token-modules']): Outcome {
  const lines = [
    'Modules of modules.json:',
    ...value.configured.flatMap(({ name, library, pinned, environment }) => [
      `${library === null || library.refusal === null ? '✓' : '✕'} ${name}${library === null ? ': the embedded software token' : ''}`,
      ...(library === null ? [] : libraryLines(library)),
      ...(library === null ? [] : [pinned === null ? '  not used yet: pinned at its first use' : `  pinned since ${pinned.since}`]),
      ...environment.map((variable) => `  ${variable.name}=${variable.value} (${variable.from})`),
    ]),
    '', 'Found on this machine, and not running (only modules.json makes one run):',
    ...value.candidates.filter(({ configuredAs }) => configuredAs === null).flatMap(({ name, from, library, skipped }) => [
      `${skipped === null && library.refusal === null ? '·' : '✕'} ${name}  (${from})`, ...libraryLines(library), ...(skipped === null ? [] : [`  skipped: ${skipped}`]),
    ]),
  ];
  return { value, lines, code: value.configured.some(({ library }) => library !== null && library.refusal !== null) ? 1 : 0 };
}

const PIN_WORDS: Readonly<Record<TokenDetails['pin']['user'], string>> = {
  fine: 'fine', low: 'a wrong PIN was given since the last right one', final: 'ONE TRY LEFT', locked: 'LOCKED', change: 'must be changed', unset: 'not set',
};

function details(value: TokenDetails): Outcome {
  const { library, slot, token, pin, limits } = value;
  const amount = ({ now, most }: TokenDetails['limits']['sessions']) => (now === null && most === null ? 'not told' : `${now ?? 'not told'} of ${most ?? 'not told'}`);
  return {
    value, code: 0,
    lines: [
      `${token.label} (${token.manufacturer} ${token.model}, serial ${token.serial}), firmware ${token.firmware}, hardware ${token.hardware}`,
      `library       ${library.manufacturer}: ${library.description} ${library.version}, PKCS#11 ${library.cryptoki}`,
      `interfaces    ${library.interfaces.length === 0 ? 'C_GetFunctionList only' : library.interfaces.map(({ name, version }) => `${name} ${version}`).join(', ')}`,
      `slot ${`${slot.number}`.padEnd(8)} ${slot.description}; ${slot.flags.map(({ name, meaning }) => `${name}: ${meaning}`).join('; ')}`,
      ...value.flags.map(({ name, meaning }) => `  ${name.padEnd(34)} ${meaning}`),
      `user PIN      ${PIN_WORDS[pin.user]}, ${pin.min} to ${pin.max} characters${pin.pad ? ', typed on the device' : ''}`,
      `SO PIN        ${PIN_WORDS[pin.so]}`,
      `sessions      ${amount(limits.sessions)}, of them writing ${amount(limits.writeSessions)}`,
      `free memory   public ${amount(limits.publicMemory)}, private ${amount(limits.privateMemory)}`,
      ...(value.clock === null ? [] : [`clock         ${value.clock}`]),
      ...(value.validations.length === 0 ? ['validations   none told'] : value.validations.map((one) => `validation    ${one.authority} ${one.certificate}, ${one.type} level ${one.level}, ${one.moduleId} (the token's word)`)),
    ],
  };
}

const CAN = { proven: '✓ proven', claimed: '! claimed', absent: '· absent' } as const;

function readiness(value: readonly Readiness[]): Outcome {
  return {
    value: { readiness: value }, code: value.some(({ code, can }) => can === 'claimed' && code !== null) ? 1 : 0,
    lines: value.map(({ name, can, detail, code, milliseconds }) => `${CAN[can].padEnd(10)} ${name.padEnd(20)} ${(milliseconds === null ? '' : `${milliseconds} ms`).padStart(9)}  ${can === 'proven' ? '' : `${code === null ? '' : `${code}: `}${detail}`}`.trimEnd()),
  };
}

/** The public key of an object and nothing else. */
function publicKeyOf({ object, publicKey }: Answers['object'], form: TextForm): Outcome {
  if (publicKey === null) throw new Refused(refuse('KEY-FORM', 'an object with a public key', `${object.class} ${object.label}`, 'Choose the public key or the certificate.'));
  const file = inForm(readSubjectKey(fromBase64url(publicKey.spki)), form);
  return { value: { form, file }, lines: [file.trimEnd()], code: 0 };
}

function oneObject(value: Answers['object'], asn1: boolean): Outcome {
  const { object, attributes, provenance, risks, letters, withheld, unanswered, publicKey, certificate } = value;
  return {
    value, code: risks.length > 0 || (provenance?.contradictions.length ?? 0) > 0 ? 1 : 0,
    lines: [
      `${object.class} ${object.label === '' ? '(no label)' : `"${object.label}"`} ${object.id}`, value.uri,
      letters.map(({ letter }) => letter).join(','),
      ...attributes.map(({ name, hex, text }) => `  ${name.padEnd(28)} ${text ?? (hex.length > 96 ? `${hex.slice(0, 96)}... (${hex.length / 2} bytes)` : hex)}`).flatMap((line, i) => [line, ...(asn1 ? asn1Lines(fromHex(attributes[i]?.hex ?? '')) ?? [] : []).map((part) => `      ${part}`)]),
      ...(unanswered.length === 0 ? [] : [`  not answered: ${unanswered.join(', ')}`]),
      ...(withheld.length === 0 ? [] : [`  never asked for: ${withheld.join(', ')}`]),
      ...(publicKey === null ? [] : [`public key    ${publicKey.label}, SHA-256 ${publicKey.sha256}`]),
      ...(certificate === null ? [] : [`certificate   ${certificate.subject}, issued by ${certificate.issuer}, ${certificate.notBefore} to ${certificate.notAfter}`]),
      ...(provenance?.conclusions ?? []).map(({ words, why, proof }) => `! ${words} (${proof}: ${why})`),
      ...(provenance?.contradictions ?? []).map(({ rule, expected, found, next }) => `✕ ${rule}: expected ${expected}; found ${found}. ${next}`),
      ...risks.map(({ rule, weight, why, next }) => `✕ ${rule} (${weight}): ${why} ${next}`),
    ],
  };
}

function scan(value: Answers['scan-keys']): Outcome {
  const { tokens, findings, tests, blocklist } = value;
  return {
    value, code: findings.length > 0 ? 1 : 0,
    lines: [
      ...tokens.map(({ module, token, tokenLabel, keys, unread, loggedIn: all }) => `${module}  ${tokenLabel} (serial ${token}): ${keys} public keys${unread === 0 ? '' : `, ${unread} of them unreadable`}${all ? '' : ', of public objects'}`),
      `tests: ${tests.join(', ')}`, blocklist === null ? 'no blocklist is configured' : `blocklist ${blocklist.file}: ${blocklist.entries} keys`,
      ...findings.flatMap(({ rule, expected, found, next, keys }) => [`✕ ${rule}: expected ${expected}; found ${found}. ${next}`, ...keys.map((key) => `    ${key.module}:${key.token} ${place(key)}`)]),
      findings.length === 0 ? '✓ none of these known defects was found' : `${findings.length} findings`,
    ],
  };
}

const VERDICTS: Readonly<Record<Comparison['verdict'], string>> = { alike: '✓ alike', different: '✕ different', undecided: '! undecided: no difference was found, and not everything could be compared' };

function comparison(value: Comparison): Outcome {
  const { verdict, pairs, findings } = value;
  const which = (key: DescribedKey | null) => (key === null ? '' : `${key.object.class.padEnd(12)} ${key.object.id.padEnd(20)} ${key.object.label}`.trimEnd());
  return {
    value, code: verdict === 'alike' ? 0 : 1,
    lines: [
      ...pairs.map(({ state, left, right, differences }) => {
        const history = differences.filter((one) => one.history).map(({ attribute }) => attribute);
        return `${state === 'same' ? '✓' : state === 'unproven' ? '!' : '✕'} ${state.padEnd(10)} ${which(left ?? right)}${history.length === 0 ? '' : `  (came there another way: ${history.join(', ')})`}`;
      }),
      ...findings.map(({ rule, expected, found, next }) => `${rule === 'COMPARE-UNPROVEN' || rule === 'COMPARE-NOT-SEEN' ? '!' : '✕'} ${rule}: expected ${expected}; found ${found}. ${next}`),
      VERDICTS[verdict],
    ],
  };
}
