/**
 * `conclave key template`: what a new key shall be like, and what speaks against it, before any token is asked.
 *
 * It reads files and changes nothing. Exit code 0: nothing refuses it. 1: a refusal or a fault, by name. 2: a wrong call.
 */
import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { fromUtf8 } from '../ceremonies/bytes.ts';
import { KINDS, lintTemplate, objectsOf, readTemplates, SHIPPED_TEMPLATES, type KeyTemplate, type LintedTemplate, type TemplateFinding } from '../ceremonies/keys/template.ts';
import { Usage } from './keys-cli.ts';
import { dataFolder } from './processes.ts';

export const KEY_HELP = `  conclave key template [NAME] [--file FILE] [--json]
      Key templates: those that ship, those of the organisation, and why one is dangerous.
`;

export const KEY_DETAIL = `
conclave key template [NAME] [--file FILE] [--home DIR] [--json]

  without NAME  lists the templates that ship and those of templates.yaml in the data folder; with --file, those of FILE
  NAME          one of them: every attribute, and everything that speaks against it
  --file FILE   judges a file before it becomes templates.yaml:
                  conclave-templates: 1
                  templates:
                    - name: code-signing
                      note: Code signing, renewed every year
                      purpose: signing               # mac, data-encryption, key-encryption, agreement, encapsulation
                      kind: rsa-3072                 # \`conclave key template\` lists every kind
                      attributes: { extractable: true, wrapWithTrusted: false }   # what differs from the safe ones
                      accepts:                       # dangers taken on by name, each with the reason
                        KEY-EXTRACTABLE: Backed up under the vendor's own key, which cannot be marked as trusted.

  templates.yaml must belong to you or root and be writable by nobody else. Exit code 0: no template is refused. 1: one is, or
  the file cannot be believed. 2: wrong call.
`;

const LARGEST = 1024 * 1024;

/** Is this call one of this file's? */
export function isKeyCall(args: readonly string[]): boolean {
  return args[0] === 'template';
}

/** `organisation`: the templates of a data folder. Throws `Refused` where its file cannot be believed. */
export function keyCommand(args: readonly string[], organisation: (home: string) => readonly LintedTemplate[]): number {
  const { values, positionals } = parseArgs({ args: args.slice(1), allowPositionals: true, options: { file: { type: 'string' }, home: { type: 'string' }, json: { type: 'boolean', default: false } } });
  const [name] = positionals;
  if (positionals.length > 1) throw new Usage('key template: one name at most');
  if (values.file !== undefined && values.home !== undefined) throw new Usage('key template: --file or --home, not both');
  if (values.file === undefined) {
    const shipped = SHIPPED_TEMPLATES.map((template) => ({ template, findings: lintTemplate(template) }));
    const own = organisation(resolve(values.home ?? dataFolder(process.env, homedir())));
    return tell(chosen([...shipped, ...own], name), name !== undefined, values.json);
  }
  const { templates, faults } = readTemplates(textOf(values.file));
  if (templates !== null) return tell(chosen(templates, name), name !== undefined, values.json);
  const file = basename(values.file);
  process.stdout.write(values.json ? `${JSON.stringify({ templates: [], faults }, null, 2)}\n`
    : faults.map(({ line, rule, expected, found, next }) => `${file}:${line}: ${rule}: expected ${expected}; found ${found}. ${next}\n`).join(''));
  return 1;
}

function textOf(path: string): string {
  try {
    if (statSync(path).size > LARGEST) throw new Usage(`${path} is larger than ${LARGEST / 1024 / 1024} MB: no file of templates`);
    return fromUtf8(readFileSync(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    throw new Usage(`cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? ''}`);
  }
}

interface Judged { readonly template: KeyTemplate; readonly findings: readonly TemplateFinding[] }

function chosen(templates: readonly Judged[], name: string | undefined): readonly Judged[] {
  const found = name === undefined ? templates : templates.filter(({ template }) => template.name === name);
  if (found.length === 0) throw new Usage(`key template: there is no template ${name ?? ''}. Without a name all are listed.`);
  return found;
}

function tell(templates: readonly Judged[], whole: boolean, json: boolean): number {
  const refused = templates.some(({ findings }) => findings.some(({ severity }) => severity === 'refused'));
  process.stdout.write(json
    ? `${JSON.stringify({ templates: templates.map(({ template, findings }) => ({ ...template, objects: objectsOf(template), findings })), faults: [] }, null, 2)}\n`
    : templates.flatMap(({ template, findings }) => (whole ? [...inFull(template), ...findings.map(finding)] : [inOneLine(template, findings)])).map((line) => `${line}\n`).join(''));
  return refused ? 1 : 0;
}

function inOneLine({ name, purpose, kind, note }: KeyTemplate, findings: readonly TemplateFinding[]): string {
  const mark = findings.some(({ severity }) => severity === 'refused') ? '✕' : findings.length > 0 ? '!' : '✓';
  return `${mark} ${name.padEnd(40)} ${purpose.padEnd(16)} ${KINDS[kind].label.padEnd(20)} ${findings.map(({ rule }) => rule).join(' ') || note || ''}`.trimEnd();
}

function inFull(template: KeyTemplate): string[] {
  const { name, purpose, kind, note } = template;
  return [
    `${name}: ${KINDS[kind].label}, for ${purpose}${note === undefined ? '' : `. ${note}`}`,
    ...objectsOf(template).flatMap((object) => [`  ${object.class}`, ...Object.entries(object.attributes).map(([attribute, value]) => `    ${attribute.padEnd(24)} ${value}`)]),
  ];
}

function finding({ rule, severity, why, next, accepted }: TemplateFinding): string {
  return `${severity === 'refused' ? '✕' : '!'} ${rule} (${severity}): ${why} ${accepted === null ? next : `Accepted by the administrator: ${accepted}`}`;
}
