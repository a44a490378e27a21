/**
 * `conclave key template`: what a new key shall be like, and what speaks against it, before any token is asked.
 * `conclave key attest`: what the vendor of a device attests of a key, verified without a network.
 *
 * It reads files and changes nothing. Exit code 0: nothing refuses it. 1: a refusal or a fault, by name. 2: a wrong call.
 */
import { homedir } from 'node:os';
import { basename, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes, fromUtf8, toBase64url, toHex } from '../ceremonies/bytes.ts';
import { verifyAttestation } from '../ceremonies/keys/attestation.ts';
import { KINDS, lintTemplate, objectsOf, readTemplates, SHIPPED_TEMPLATES, type KeyTemplate, type LintedTemplate, type TemplateFinding } from '../ceremonies/keys/template.ts';
import { refuse } from '../ceremonies/refusal.ts';
import { keyIn, moment, readInput, Usage } from './keys-cli.ts';
import { dataFolder } from './processes.ts';

export const KEY_HELP = `  conclave key template [NAME] [--file FILE] [--json]
      Key templates: those that ship, those of the organisation, and why one is dangerous.
  conclave key attest --attestation FILE... --anchor FILE [--key FILE] [--json]
      Whether a YubiKey, YubiHSM 2 or SmartCard-HSM attests a key, under an anchor that you supply.
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

conclave key attest --attestation FILE... --anchor FILE [--key FILE] [--at TIME] [--json]

  --attestation the attestation and every certificate between it and the anchor, in one file or several:
                YubiKey PIV, YubiHSM 2: X.509, PEM or DER. SmartCard-HSM: the key's request as the device gave it, and EF 2F02
  --anchor      the vendor's root, which you have from the vendor; none is built in
  --key         a public key, certificate or private key: it must be the one that is attested
  --at TIME     the moment at which certificates must hold (default: now)

  Exit code 0: attested. 1: every broken rule by name; then the token's word is all there is. 2: wrong call.
`;

const LARGEST = 1024 * 1024;

async function attest(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args, options: { attestation: { type: 'string', multiple: true }, anchor: { type: 'string' }, key: { type: 'string' }, at: { type: 'string' }, json: { type: 'boolean', default: false } },
  });
  if (values.attestation === undefined || values.anchor === undefined) throw new Usage('key attest: --attestation FILE... and --anchor FILE');
  const at = moment(values.at);
  const [files, anchor, keyFile] = [values.attestation.map((path) => readInput(path, LARGEST)), readInput(values.anchor, LARGEST), values.key === undefined ? null : readInput(values.key, LARGEST)];
  const found = await verifyAttestation(files, anchor, at);
  const other = keyFile !== null && !equalBytes((await keyIn(keyFile, null)).key.spki, found.key.spki);
  const findings = [...found.findings, ...other ? [refuse('ATTEST-KEY', 'an attestation of this key', `one of another: ${found.key.label}, ${toHex(sha256(found.key.spki))}`, 'Ask the device for the attestation of the right key.')] : []];
  const { vendor, chain, key, facts } = found;
  const attested = { label: key.label, sha256: toHex(sha256(key.spki)), spki: toBase64url(key.spki) };
  process.stdout.write(values.json ? `${JSON.stringify({ attested: findings.length === 0, vendor, key: attested, facts, chain, findings }, null, 2)}\n` : [
    `${findings.length === 0 ? '✓ attested by its vendor' : '✕ not attested'}: ${attested.label}, SHA-256 ${attested.sha256}`,
    `    ${vendor}: ${chain.join(' <- ')}`,
    ...facts.map(({ name, value, proof }) => `  ${proof === 'attested' ? '✓' : '!'} ${name.padEnd(18)} ${value} (${proof})`),
    ...findings.map(({ rule, expected, found: what, next }) => `  ✕ ${rule}: expected ${expected}; found ${what}. ${next}`),
  ].map((line) => `${line}\n`).join(''));
  return findings.length === 0 ? 0 : 1;
}

/** Is this call one of this file's? */
export function isKeyCall(args: readonly string[]): boolean {
  return args[0] === 'template' || args[0] === 'attest';
}

/** `organisation`: the templates of a data folder. Throws `Refused` where its file cannot be believed. */
export async function keyCommand(args: readonly string[], organisation: (home: string) => readonly LintedTemplate[]): Promise<number> {
  if (args[0] === 'attest') return attest(args.slice(1));
  const { values, positionals } = parseArgs({ args: args.slice(1), allowPositionals: true, options: { file: { type: 'string' }, home: { type: 'string' }, json: { type: 'boolean', default: false } } });
  const [name] = positionals;
  if (positionals.length > 1) throw new Usage('key template: one name at most');
  if (values.file !== undefined && values.home !== undefined) throw new Usage('key template: --file or --home, not both');
  if (values.file === undefined) {
    const shipped = SHIPPED_TEMPLATES.map((template) => ({ template, findings: lintTemplate(template) }));
    const own = organisation(resolve(values.home ?? dataFolder(process.env, homedir())));
    return tell(chosen([...shipped, ...own], name), name !== undefined, values.json);
  }
  const { templates, faults } = readTemplates(fromUtf8(readInput(values.file, LARGEST)));
  if (templates !== null) return tell(chosen(templates, name), name !== undefined, values.json);
  const file = basename(values.file);
  process.stdout.write(values.json ? `${JSON.stringify({ templates: [], faults }, null, 2)}\n`
    : faults.map(({ line, rule, expected, found, next }) => `${file}:${line}: ${rule}: expected ${expected}; found ${found}. ${next}\n`).join(''));
  return 1;
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
