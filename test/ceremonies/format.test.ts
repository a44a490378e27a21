/**
 * FORMAT.md against the code: its tables are made from the schemas, its rules are those of the sources, its example is a
 * real record. `UPDATE_GOLDEN=1` writes the generated parts anew.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as z from 'zod';
import { sha512 } from '@noble/hashes/sha2.js';
import { toBase64url, utf8 } from '../../ceremonies/bytes.ts';
import { checkpointMessage, ENTRY_DATA, type Data } from '../../ceremonies/ceremony.ts';
import * as evidence from '../../ceremonies/evidence.ts';
import { ActivationRecord } from '../../ceremonies/activation.ts';
import { BackupRecord } from '../../ceremonies/backup-record.ts';
import { CopyList } from '../../ceremonies/destruction.ts';
import { EscrowRecord } from '../../ceremonies/escrow.ts';
import { KeyRecord } from '../../ceremonies/key-record.ts';
import { MerkleTree, portableHasher } from '../../ceremonies/transcript.ts';
import { TrustFile } from '../../ceremonies/verify.ts';
import { scriptedRecord } from './scripted.ts';

const folder = join(import.meta.dirname, '../../ceremonies');
const file = join(folder, 'FORMAT.md');
const text = readFileSync(file, 'utf8');

type Json = Readonly<Record<string, unknown>>;

const SHAPES = {
  TokenFacts: evidence.TokenFacts, ModuleFacts: evidence.ModuleFacts, KeyAttributes: evidence.KeyAttributes, ObjectFact: evidence.ObjectFact,
  PublicJwk: evidence.PublicJwk, SignaturePair: evidence.SignaturePair, Identity: evidence.Identity, ShareSet: evidence.ShareSet,
  Placement: evidence.Placement, KeyPart: evidence.KeyPart, ShownPart: evidence.KeyPart.omit({ mechanism: true }), WrappedPart: evidence.WrappedPart,
  KeyReference: evidence.KeyReference, KeyCheck: evidence.KeyCheck, ObjectReference: evidence.ObjectReference, OrderedAttributes: evidence.OrderedAttributes, WrappedKeyFile: evidence.WrappedKeyFile, Input: evidence.Input, Possession: evidence.Possession, StatisticalTest: evidence.StatisticalTest, Observation: evidence.Observation,
};

function jsonSchema(schema: z.ZodType): Json {
  const { $schema: _version, ...json } = z.toJSONSchema(schema, { io: 'input' });
  return json;
}

const NAMED = new Map(Object.entries(SHAPES).map(([name, schema]) => [JSON.stringify(jsonSchema(schema)), name]));
const PATTERNS = new Map([
  ['^[A-Za-z0-9_-]*$', 'base64url'], ['^[A-Za-z0-9_-]+$', 'base64url'], ['^([0-9a-f]{2})*$', 'hex'], ['^[a-z][a-z0-9-]*$', 'seat'],
  ['^[1-9][0-9]{0,17}$', 'decimal of at most 18 digits'],
  ['^S-[0-9A-F]{8}$', '`S-` and 8 digits or capitals A to F'],
  ['^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{3}Z$', 'time'], ['^\\d{4}-\\d{2}-\\d{2}$', 'date'],
]);

/** A JSON Schema in the notation of FORMAT.md. Whatever it does not know fails the test: nothing is left out silently. */
function notation(json: Json, names = NAMED): string {
  const name = names.get(JSON.stringify(json));
  if (name !== undefined) return `*${name}*`;
  const { type, minimum, maximum, minLength, maxLength, minItems, maxItems } = json as Record<string, number | undefined> & { type?: unknown };
  const length = (low: number | undefined, high: number | undefined) => (low !== undefined && low === high ? ` = ${high}` : low !== undefined && low > 1 ? ` ${low}…${high ?? ''}` : high === undefined ? '' : ` ≤ ${high}`);
  if ('const' in json) return `\`${JSON.stringify(json['const'])}\``;
  if (Array.isArray(json['enum'])) return json['enum'].map((value) => `\`${JSON.stringify(value)}\``).join(' or ');
  const branches = json['anyOf'] ?? json['oneOf'];
  if (Array.isArray(branches)) return branches.map((branch) => notation(branch as Json, names)).join(' or ');
  if (Array.isArray(type)) return type.map((one: unknown) => notation({ ...json, type: one }, names)).join(' or ');
  switch (type) {
    case 'string': {
      const pattern = json['pattern'] as string | undefined;
      const what = pattern === undefined ? 'text' : PATTERNS.get(pattern) ?? assert.fail(`pattern ${pattern}`);
      return `${what}${what === 'seat' ? '' : length(minLength, maxLength)}`;
    }
    case 'integer': return minimum === undefined || minimum === Number.MIN_SAFE_INTEGER ? 'integer' : `integer from ${minimum}${maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? '' : ` to ${maximum}`}`;
    case 'boolean': return 'boolean';
    case 'null': return 'null';
    case 'array': {
      if (Array.isArray(json['prefixItems'])) return `[${json['prefixItems'].map((item) => notation(item as Json, names)).join(', ')}]`;
      const few = minItems === undefined ? (maxItems === undefined ? '' : ` (at most ${maxItems})`) : ` (${minItems} to ${maxItems ?? 'any'})`;
      return `list${few} of ${notation(json['items'] as Json, names)}`;
    }
    case 'object': {
      const properties = Object.entries((json['properties'] ?? {}) as Record<string, Json>);
      if (json['propertyNames'] !== undefined) return `map of ${notation(json['propertyNames'] as Json, names)} to ${notation(json['additionalProperties'] as Json, names)}`;
      if (properties.length === 0) return json['additionalProperties'] === false ? 'an object without members' : 'object, section 9';
      assert.equal(json['additionalProperties'], false, 'every object is closed');
      const required = (json['required'] ?? []) as string[];
      return `{ ${properties.map(([key, value]) => `\`${key}\`${required.includes(key) ? '' : '?'}: ${notation(value, names)}`).join(', ')} }`;
    }
    default: return assert.fail(`no notation for ${JSON.stringify(json)}`);
  }
}

const cell = (value: string): string => value.replaceAll('|', '\\|');

/** Members of an object schema, one row each; or one row for anything else. */
function members(schema: z.ZodType, names = NAMED): string[] {
  const json = jsonSchema(schema);
  const properties = Object.entries((json['properties'] ?? {}) as Record<string, Json>);
  if (json['type'] !== 'object' || properties.length === 0) return [`| – | ${cell(notation(json, names))} |`];
  assert.equal(json['additionalProperties'], false);
  const required = (json['required'] ?? []) as string[];
  return properties.map(([key, value]) => `| \`${key}\`${required.includes(key) ? '' : '?'} | ${cell(notation(value, names))} |`);
}

const sectionOf = (title: string, schema: z.ZodType, names = NAMED) => [`**${title}**`, '', '| member | value |', '|---|---|', ...members(schema, names), ''].join('\n');

async function example(): Promise<string> {
  const { lines, entries } = await scriptedRecord({ script: 'mini' });
  const [first, second] = [lines[0] ?? '', lines[1] ?? ''];
  const [opened, checkpoint] = entries;
  assert.ok(opened && checkpoint?.kind === 'checkpoint');
  const tree = new MerkleTree(portableHasher);
  tree.add(utf8(first));
  tree.add(utf8(second));
  const message = new TextDecoder().decode(checkpointMessage(checkpoint));
  return [
    '```', second, '```', '',
    `Its \`prev\` is the SHA-512 of entry 0, a line of ${utf8(first).length} bytes whose own \`prev\`, the hash of its script, is \`${opened.prev}\`. Its signature is over these ${utf8(message).length} bytes:`, '',
    '```', message.trimEnd(), '```', '',
    `and verifies under the recorder key that entry 0 introduced: \`${JSON.stringify((opened.data as Data<'opened'>).recorder)}\`. The SHA-512 of the line above, which is the \`prev\` of entry 2, is`,
    `\`${toBase64url(sha512(utf8(second)))}\`; the Merkle root over both lines is \`${tree.root()}\`.`,
  ].join('\n');
}

test('the generated parts are those of the code', async () => {
  const parts: Readonly<Record<string, string>> = {
    kinds: Object.entries(ENTRY_DATA).map(([kind, schema]) => sectionOf(`\`${kind}\``, schema)).join('\n'),
    actions: evidence.ACTION_NAMES.map((action) => `${sectionOf(`\`${action}\`, intent`, evidence.INTENTS[action])}\n${sectionOf(`\`${action}\`, evidence`, evidence.EVIDENCE[action])}`).join('\n'),
    changes: evidence.CHANGE_KINDS.map((change) => `${sectionOf(`\`${change}\`, order`, evidence.CHANGES[change].order)}\n${sectionOf(`\`${change}\`, result`, evidence.CHANGES[change].result)}`).join('\n'),
    statements: evidence.STATEMENT_KINDS.map((change) => sectionOf(`\`${change}\`, order`, evidence.STATEMENTS[change].order)).join('\n'),
    shapes: Object.entries(SHAPES).map(([name, schema]) => sectionOf(`*${name}*`, schema, new Map([...NAMED].filter(([, other]) => other !== name)))).join('\n'),
    record: sectionOf('key record', KeyRecord),
    copies: sectionOf('list of copies', CopyList),
    backup: sectionOf('backup record', BackupRecord),
    escrow: sectionOf('escrow record', EscrowRecord),
    activation: sectionOf('activation record', ActivationRecord),
    trust: sectionOf('trust file', TrustFile),
    example: await example(),
  };
  const generated = text.replace(/<!-- generated: (\w+) -->\n[\s\S]*?<!-- end -->/g, (_whole, name: string) => `<!-- generated: ${name} -->\n${(parts[name] ?? assert.fail(`no part ${name}`)).trim()}\n<!-- end -->`);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, generated);
  else assert.equal(text, generated, 'run this test with UPDATE_GOLDEN=1 and read what changed');
  for (const name of Object.keys(parts)) assert.ok(text.includes(`<!-- generated: ${name} -->`), name);
});

/** Capitals that are no rules. */
const NO_RULES = /^(SHA|AES|ES|RS|P|ML-DSA)-?\d+$|^(AES-KWP?|RSA-OAEP|ECDSA|CERTIFICATE|REHEARSAL|ABORTED|OUTCOME-NOT-RECORDED)$/;

/** The rules that the sources in ceremonies/ name: those of its own files, or those of its folders too. */
function rulesOf(recursive: boolean): Set<string> {
  const rules = new Set<string>();
  for (const name of readdirSync(folder, { recursive, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))) {
    const source = readFileSync(join(folder, name), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
    for (const [, rule = ''] of source.matchAll(/'([A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*)'/g)) {
      if ((rule.length >= 4 || rule === 'PEM') && !NO_RULES.test(rule)) rules.add(rule);
    }
  }
  return rules;
}

test('every rule of the sources that judge a record is told, once, and none that there is not', () => {
  const [, rules = ''] = text.split('## 18 All rules\n');
  const told = [...rules.matchAll(/^\| `([A-Z0-9-]+)` \| \S.* \|$/gm)].map(([, rule = '']) => rule);
  assert.deepEqual([...new Set(told)].sort(), [...told].sort(), 'no rule is told twice');
  assert.deepEqual([...rulesOf(false)].filter((rule) => !told.includes(rule)), [], 'rules that FORMAT.md does not tell');
  const known = rulesOf(true);
  assert.deepEqual(told.filter((rule) => !known.has(rule)), [], 'rules that no source names');
});

test('every rule that the text names is in the list', () => {
  const [prose = '', rules = ''] = text.split('## 18 All rules\n');
  const named = new Set([...prose.matchAll(/\b([A-Z]+(?:-[A-Z]+)+)\b/g)].map(([, name = '']) => name).filter((name) => !/^(SHA|RFC|UTF|ML|SLH|BIP|AES|RSA|PKCS|NOT)-/.test(name)));
  for (const name of named) assert.ok(rules.includes(`\`${name}\``), name);
});
