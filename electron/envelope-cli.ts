/**
 * `conclave envelope`, and `conclave key wrap`, `unwrap` and `plan`: sealing content and keys to the holders of KEM keys.
 *
 * Secrets come from files and go to files, never through arguments, the environment or a stream. An output file is made new,
 * for its owner only (0600); one that exists is never touched. PEM is text, which cannot be wiped: the end of this short process
 * is the complete wipe. Exit code 0: done. 1: refused, with the rule. 2: a wrong call.
 */
import { randomFillSync } from 'node:crypto';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { sha256 } from '@noble/hashes/sha2.js';
import { fromUtf8, toHex, utf8 } from '../ceremonies/bytes.ts';
import { readCertificate, type CertificateReading } from '../ceremonies/keys/chain.ts';
import { derParts, readDer, TAG } from '../ceremonies/keys/der.ts';
import {
  checkSignedData, CONTENT, contentTypeOf, identifierText, openEnvelope, readEnvelope, recipientOfCertificate, recipientOfKey, sealEnvelope, sealingRandomness, withKemKey, wrapLabels,
  type DecapsulationKey, type Recipient,
} from '../ceremonies/keys/envelope.ts';
import { planMigration, planRemarks, readHierarchy, type Step } from '../ceremonies/keys/hierarchy.ts';
import { ASYMMETRIC_KEY_PACKAGE, hybridWrapRandomness, readWrappedKey, unwrapKey, wrapPrivateKey, wrapSymmetricKey } from '../ceremonies/keys/hybrid-wrap.ts';
import { nameText, pem, readPem } from '../ceremonies/keys/signed.ts';
import { readSubjectKey } from '../ceremonies/keys/subject-key.ts';
import { Refused, type Refusal } from '../ceremonies/refusal.ts';
import { ageFacts, isAgeFile, isAgeKey, openAge, readAgeRecipients, sealAge } from './age-envelope.ts';
import { KEYS_DETAIL, moment, newFile, readInput, Usage, write } from './keys-cli.ts';

export const ENVELOPE_HELP = `  conclave envelope seal --to FILE... --in FILE --out FILE [--describe TEXT] [--pem] [--json]
  conclave envelope open --key FILE --in FILE --out FILE [--unauthenticated] [--json]
  conclave envelope show FILE [--json]
  conclave envelope verify FILE [--cert FILE]... [--content FILE] [--json]
      CMS: sealed to ML-KEM and composite ML-KEM keys; signatures with ML-DSA and composites checked. Or age files, to age1pq keys.
  conclave key wrap --in FILE --name TEXT --to FILE... --out FILE [--pem] [--json]
  conclave key unwrap --key FILE --in FILE --out FILE [--json]
      Hybrid key wrap: an AES key or a private key, to the holder of a composite KEM key.
  conclave key plan FILE [--json]
      In which order to move a key hierarchy to quantum-safe wrapping, and why.
`;

const FILES = `  Secrets are read from files and written to files: new ones, for their owner only. A file that exists is never overwritten.
  Exit code 0: done. 1: refused, with the rule. 2: wrong call.
`;

export const ENVELOPE_DETAIL: Record<string, string> = {
  envelope: `conclave envelope seal --to FILE... --in FILE --out FILE [--describe TEXT] [--at TIME] [--pem] [--json]
conclave envelope open --key FILE --in FILE --out FILE [--unauthenticated] [--json]
conclave envelope show FILE [--json]
conclave envelope verify FILE [--cert FILE]... [--content FILE] [--json]

  seal        CMS AuthEnvelopedData, AES-256-GCM; any one recipient opens it
  --to        a recipient's certificate or public key (ML-KEM, composite ML-KEM), PEM or DER; may be given more than once.
              Whether it is the recipient's is yours to know: compare the fingerprint that is printed.
              A file of age1pq... recipients makes an age file, which age 1.3 opens
  --describe  one line about the content. NOT secret, but it cannot be changed afterwards
  --at TIME   the moment at which certificates must hold (default: now)
  --pem       writes PEM instead of DER; of an age file, its text form
  open        opens AuthEnvelopedData; EnvelopedData too with --unauthenticated: nothing then tells altered content. And age files
  --key       the private key, PKCS#8, PEM or DER: seed, expanded or both; or an age identity (AGE-SECRET-KEY-PQ-1...)
  show        what an envelope or a wrapped key says without being opened. Believe the description after opening only
  verify      every signature of a SignedData (ML-DSA, SLH-DSA, composites, classical)
  --cert      a signer's certificate, where the file does not hold it; trust in it is yours to give
  --content   what was signed, where the file does not hold it

${FILES}`,
  key: `${KEYS_DETAIL['key'] ?? ''}
conclave key wrap --in FILE --name TEXT --to FILE... --out FILE [--at TIME] [--pem] [--json]
conclave key unwrap --key FILE --in FILE --out FILE [--json]

  --in        to wrap: a private key (PKCS#8, PEM or DER), or an AES key as 16, 24 or 32 raw bytes; to unwrap: the wrapped file
  --name      what the key is called. Not secret; with another name it does not unwrap
  --to        as for \`conclave envelope seal\`; a composite KEM key makes the wrap a hybrid
  --out       an unwrapped AES key is written as raw bytes, a private key as PEM

conclave key plan FILE [--json]

  FILE        a key hierarchy, YAML or JSON:
                conclave-hierarchy: 1
                horizon: 2035               # the year from which quantum computers are reckoned with (default)
                target: MLKEM1024-ECDH-P384-SHA3-256   # what replaces an RSA or elliptic-curve wrapper (default)
                keys:
                  - { name: root, role: root, algorithm: rsa-4096, copies: [{ at: hsm-1, form: token }] }
                  - { name: kek, role: kek, algorithm: aes-256, wrapped-by: root, copies: [{ at: vault, form: wrapped }] }
                  - { name: dek, role: dek, algorithm: aes-256, wrapped-by: kek, copies: [{ at: cloud, form: wrapped, exposed: true }],
                      protects: { what: patient files, classification: secret, until: 2060 } }

${FILES}`,
};

const LARGEST_KEY = 4 * 1024 * 1024;
const LARGEST_CONTENT = 64 * 1024 * 1024;

type Facts = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;
interface Report {
  readonly file: string;
  readonly facts: Facts;
  readonly findings: readonly Refusal[];
}

/** Is this call one of this file's? `key show` and `key check` belong to keys-cli.ts. */
export function isEnvelopeCall(command: string, args: readonly string[]): boolean {
  return command === 'envelope' || (command === 'key' && ['wrap', 'unwrap', 'plan'].includes(args[0] ?? ''));
}

export async function envelopeCommand(command: string, args: readonly string[]): Promise<number> {
  const [verb = '', ...rest] = args;
  const taken: Readonly<Record<string, readonly string[]>> = {
    'envelope seal': ['to', 'in', 'out', 'describe', 'at', 'pem'], 'envelope open': ['key', 'in', 'out', 'unauthenticated'], 'envelope show': [], 'envelope verify': ['cert', 'content'],
    'key wrap': ['to', 'in', 'out', 'name', 'at', 'pem'], 'key unwrap': ['key', 'in', 'out'], 'key plan': [],
  };
  const call = `${command} ${verb}`;
  const allowed = taken[call];
  if (allowed === undefined) throw new Usage(`${command}: ${Object.keys(taken).filter((one) => one.startsWith(command)).map((one) => one.split(' ')[1]).join(', ')}`);
  const { values, positionals } = parseArgs({
    args: rest, allowPositionals: true,
    options: {
      to: { type: 'string', multiple: true }, in: { type: 'string' }, out: { type: 'string' }, key: { type: 'string' }, name: { type: 'string' }, describe: { type: 'string' },
      at: { type: 'string' }, cert: { type: 'string', multiple: true }, content: { type: 'string' },
      pem: { type: 'boolean' }, unauthenticated: { type: 'boolean' }, json: { type: 'boolean', default: false },
    },
  });
  const stray = Object.keys(values).find((option) => option !== 'json' && !allowed.includes(option));
  if (stray !== undefined) throw new Usage(`${call}: takes no --${stray}`);
  const oneFile = allowed.includes('in') ? 0 : 1;
  if (positionals.length !== oneFile) throw new Usage(oneFile === 1 ? `${call}: which file?` : `${call}: files are named by options`);
  const [file = ''] = positionals;
  const given = (option: 'in' | 'out' | 'key' | 'name'): string => {
    const value = values[option];
    if (value === undefined) throw new Usage(`${call}: --${option} is missing`);
    return value;
  };
  const { json } = values;
  const told = (report: () => Report | Promise<Report>, verb: 'done' | 'verified' | null = 'done'): Promise<number> => tell(report, basename(file || (values.in ?? '')), verb, json);
  switch (call) {
    case 'envelope seal': {
      const [input, out] = [given('in'), newFile(given('out'))];
      const content = readInput(input, LARGEST_CONTENT);
      const age = ageCall(values.to ?? []);
      if (age && values.describe !== undefined) throw new Usage('--describe: an age file has no place for it');
      if (age) return told(() => sealWithAge(values.to ?? [], content, basename(input), out, values.pem === true));
      return told(async () => {
        const recipients = recipientsOf(values.to ?? [], moment(values.at));
        const der = lendRandom(sealingRandomness(recipients), content, (random) => sealEnvelope({ content, recipients, ...(values.describe !== undefined && { description: values.describe }) }, random));
        write(out, values.pem === true ? utf8(pem('CMS', der)) : der);
        return { file: basename(input), facts: { written: out, bytes: der.length, description: values.describe ?? null, recipients: recipients.map(recipientText) }, findings: [] };
      });
    }
    case 'envelope open': {
      const [input, out, key] = [given('in'), newFile(given('out')), given('key')];
      if (isAgeFile(readInput(input, LARGEST_CONTENT * 2))) return told(() => openWithAge(input, key, out));
      return told(async () => {
        const envelope = readEnvelope(cmsIn(readInput(input, LARGEST_CONTENT * 2)));
        const opened = await withPrivateKey(key, (held) => openEnvelope(envelope, held, { unauthenticated: values.unauthenticated === true }));
        try {
          write(out, opened.content);
        } finally {
          opened.content.fill(0);
        }
        const { authenticated, description, contentIdentifier, contentType } = opened;
        return {
          file: basename(input), findings: [],
          facts: { written: out, authenticated, contentType, description, contentIdentifier: contentIdentifier === null ? null : toHex(contentIdentifier) },
        };
      });
    }
    case 'envelope show':
      return told(() => {
        const bytes = readInput(file, LARGEST_CONTENT * 2);
        return { file: basename(file), facts: isAgeFile(bytes) ? ageReport(bytes) : envelopeFacts(cmsIn(bytes)), findings: [] };
      }, null);
    case 'envelope verify':
      return told(async () => verifyReport(file, values.cert ?? [], values.content), 'verified');
    case 'key wrap': {
      const [input, out, name] = [given('in'), newFile(given('out')), given('name')];
      const key = readInput(input, LARGEST_KEY);
      return told(async () => {
        try {
          const recipients = recipientsOf(values.to ?? [], moment(values.at));
          const symmetric = [16, 24, 32].includes(key.length);
          const der = symmetric
            ? lendRandom(hybridWrapRandomness('symmetric', recipients), key, (random) => wrapSymmetricKey(key, name, recipients, random))
            : await wrapPrivate(key, name, recipients);
          write(out, values.pem === true ? utf8(pem('CMS', der)) : der);
          return { file: basename(input), facts: { written: out, ...wrappedFacts(der) }, findings: [] };
        } finally {
          key.fill(0);
        }
      });
    }
    case 'key unwrap': {
      const [input, out, private_] = [given('in'), newFile(given('out')), given('key')];
      return told(async () => {
        const der = cmsIn(readInput(input, LARGEST_KEY));
        const wrapped = readWrappedKey(der);
        const { kind, key } = await withPrivateKey(private_, (held) => unwrapKey(wrapped, held));
        const text = kind === 'private' ? utf8(pem('PRIVATE KEY', key)) : key;
        try {
          write(out, text);
        } finally {
          key.fill(0);
          text.fill(0);
        }
        return { file: basename(input), facts: { written: out, ...wrappedFacts(der) }, findings: [] };
      });
    }
    default:
      return plan(file, json);
  }
}

// --- age -----------------------------------------------------------------------------------------------------------------

/** Are all of these files age's? Throws `Usage` where only some are. */
function ageCall(paths: readonly string[]): boolean {
  const theirs = paths.filter((path) => isAgeKey(readInput(path, LARGEST_KEY)));
  if (theirs.length > 0 && theirs.length < paths.length) throw new Usage('--to: one form of envelope at a time, age or CMS');
  return theirs.length > 0;
}

async function sealWithAge(paths: readonly string[], content: Uint8Array, file: string, out: string, armored: boolean): Promise<Report> {
  try {
    const recipients = paths.flatMap((path) => readAgeRecipients(readInput(path, LARGEST_KEY)));
    const sealed = await sealAge(content, recipients, armored);
    write(out, sealed);
    return { file, findings: [], facts: { written: out, bytes: sealed.length, ...ageReport(sealed), recipients: recipients.map((one) => `age1pq, fingerprint ${toHex(sha256(utf8(one)))}`) } };
  } finally {
    content.fill(0);
  }
}

async function openWithAge(input: string, key: string, out: string): Promise<Report> {
  const [bytes, identities] = [readInput(input, LARGEST_CONTENT * 2), readInput(key, LARGEST_KEY)];
  try {
    const content = await openAge(bytes, identities);
    try {
      write(out, content);
    } finally {
      content.fill(0);
    }
    return { file: basename(input), findings: [], facts: { written: out, ...ageReport(bytes) } };
  } finally {
    identities.fill(0);
  }
}

function ageReport(bytes: Uint8Array): Facts {
  const { recipients, quantumSafe } = ageFacts(bytes);
  return { is: 'an age file', authenticated: true, recipients, safe: quantumSafe ? 'hybrid recipients alone' : 'NOT against a quantum computer: a recipient beside the hybrid ones' };
}

// --- files ---------------------------------------------------------------------------------------------------------------

function cmsIn(file: Uint8Array): Uint8Array {
  return readPem(file, ['CMS', 'PKCS7'])[0]!.der;
}

/** Random octets for one piece of work; they and the secret that goes into it are overwritten afterwards. */
function lendRandom<T>(length: number, input: Uint8Array, work: (random: Uint8Array) => T): T {
  const random = randomFillSync(new Uint8Array(new ArrayBuffer(length)));
  try {
    return work(random);
  } finally {
    random.fill(0);
    input.fill(0);
  }
}

async function wrapPrivate(file: Uint8Array, name: string, recipients: readonly Recipient[]): Promise<Uint8Array> {
  const { der } = readPem(file, ['PRIVATE KEY'])[0]!;
  const random = randomFillSync(new Uint8Array(new ArrayBuffer(hybridWrapRandomness('private', recipients))));
  try {
    return await wrapPrivateKey(der, name, recipients, random);
  } finally {
    random.fill(0);
    der.fill(0);
  }
}

async function withPrivateKey<T>(path: string, work: (key: DecapsulationKey) => Promise<T>): Promise<T> {
  const file = readInput(path, LARGEST_KEY);
  const { der } = readPem(file, ['PRIVATE KEY'])[0]!;
  try {
    return await withKemKey(der, work);
  } finally {
    der.fill(0);
    file.fill(0);
  }
}

function recipientsOf(paths: readonly string[], at: Date): Recipient[] {
  if (paths.length === 0) throw new Usage('--to: at least one recipient');
  return paths.map((path) => {
    const file = readInput(path, LARGEST_KEY);
    const { label, der } = readPem(file, ['CERTIFICATE', 'PUBLIC KEY'])[0]!;
    // DER tells by its structure: the first value of a SubjectPublicKeyInfo is an algorithm, that of a certificate is not.
    const bare = file[0] === TAG.sequence ? derParts(derParts(readDer(der, 'recipient'), 'recipient')[0]!, 'recipient')[0]?.tag === TAG.oid : label === 'PUBLIC KEY';
    return bare ? recipientOfKey(readSubjectKey(der)) : recipientOfCertificate(readCertificate(der), at);
  });
}

// --- telling -------------------------------------------------------------------------------------------------------------

function recipientText({ key, identifier }: Recipient): string {
  return `${key.label}, ${identifierText(identifier)}, fingerprint ${toHex(sha256(key.spki))}`;
}

function envelopeFacts(der: Uint8Array): Facts {
  const type = contentTypeOf(der);
  if (type === CONTENT.signedData) return { is: 'signed data (see `conclave envelope verify`)' };
  const { authenticated, contentType, cipher, encryptedContent, recipients, description, contentIdentifier } = readEnvelope(der);
  const kem = recipients.find((one) => one.kind === 'kem');
  const wrapped = encryptedContent === null || contentType === ASYMMETRIC_KEY_PACKAGE;
  return {
    is: wrapped ? 'a wrapped key' : `a sealed envelope${authenticated ? '' : ', NOT authenticated'}`, contentType,
    cipher: encryptedContent === null ? null : cipher.label, bytes: encryptedContent?.length ?? null,
    description, contentIdentifier: contentIdentifier === null ? null : toHex(contentIdentifier),
    keyWrap: kem === undefined ? null : wrapLabels(kem),
    recipients: recipients.map((one) => one.kind === 'kem' ? `${one.row.label}, ${identifierText(one.identifier)}` : one.method),
    ...(wrapped && wrappedFactsOrNone(der)),
    profile: kem?.row.family === 'composite-kem' ? kem.row.profile : null,
  };
}

function wrappedFactsOrNone(der: Uint8Array): Facts {
  try {
    return wrappedFacts(der);
  } catch (error) {
    if (error instanceof Refused) return { label: 'none that is read here' };
    throw error;
  }
}

function wrappedFacts(der: Uint8Array): Facts {
  const { label: { name, key, check }, recipients } = readWrappedKey(der);
  return {
    name, key, checkMethod: check.method, checkValue: check.value, hybrid: recipients.every(({ hybrid }) => hybrid),
    keyEncryptionKeys: recipients.map(({ algorithm, identifier }) => `${algorithm}, ${identifier}`),
  };
}

async function verifyReport(file: string, certificates: readonly string[], content: string | undefined): Promise<Report> {
  const known: CertificateReading[] = certificates.flatMap((path) => readPem(readInput(path, LARGEST_KEY), ['CERTIFICATE']).map(({ der }) => readCertificate(der)));
  const verdict = await checkSignedData(cmsIn(readInput(file, LARGEST_CONTENT * 2)), known, content === undefined ? null : readInput(content, LARGEST_CONTENT));
  return {
    file: basename(file), findings: verdict.signers.flatMap(({ findings }) => findings),
    facts: {
      contentType: verdict.contentType, bytes: verdict.content.length, sha256: toHex(sha256(verdict.content)),
      signers: verdict.signers.map(({ signer, certificate, findings }) => `${findings.length === 0 ? '✓' : '✕'} ${signer}${certificate === null ? '' : `: ${nameText(certificate.subject)}, ${certificate.key.label}`}`),
    },
  };
}

/** `verb`: what a report without findings says; null for one that judges nothing. */
async function tell(make: () => Report | Promise<Report>, file: string, verb: 'done' | 'verified' | null, json: boolean): Promise<number> {
  let report: Report;
  try {
    report = await make();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    report = { file, facts: {}, findings: [error.refusal] };
  }
  const { facts, findings } = report;
  const good = findings.length === 0;
  if (json) {
    process.stdout.write(`${JSON.stringify({ verified: verb === null ? null : good, rules: [...new Set(findings.map(({ rule }) => rule))], reports: [report] }, null, 2)}\n`);
    return good ? 0 : 1;
  }
  const lines = [
    `${good ? verb === null ? '' : '✓ ' : '✕ '}${report.file}`,
    ...Object.entries(facts).filter(([, value]) => value !== null).flatMap(([name, value]) => Array.isArray(value)
      ? (value as readonly string[]).map((one, i) => `    ${(i === 0 ? name : '').padEnd(18)} ${one}`)
      : [`    ${name.padEnd(18)} ${String(value)}`]),
    ...findings.map((finding) => `  ✕ ${finding.rule}: expected ${finding.expected}; found ${finding.found}. ${finding.next}`),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  return good ? 0 : 1;
}

function plan(file: string, json: boolean): number | Promise<number> {
  try {
    const hierarchy = readHierarchy(fromUtf8(readInput(file, LARGEST_KEY)));
    const { steps, settled, horizon, target } = planMigration(hierarchy);
    const remarks = planRemarks(hierarchy);
    if (json) {
      process.stdout.write(`${JSON.stringify({ horizon, target, steps, settled, remarks }, null, 2)}\n`);
      return 0;
    }
    const lines = [
      `${basename(file)}: ${steps.length === 0 ? 'nothing to migrate' : `${steps.length} steps`}, reckoned with quantum computers from ${horizon}`,
      ...steps.flatMap(stepLines),
      ...(settled.length === 0 ? [] : [`  settled: ${settled.join(', ')}`]),
      ...remarks.map(({ rule, expected, found, next }) => `  ! ${rule}: expected ${expected}; found ${found}. ${next}`),
    ];
    process.stdout.write(`${lines.join('\n')}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return tell(() => Promise.reject(error), basename(file), null, json);
  }
}

function stepLines(step: Step): string[] {
  const change = step.to === null || step.to === step.from ? step.from : `${step.from} -> ${step.to}`;
  return [
    `${String(step.step).padStart(4)}. ${step.do} ${step.key} (${step.role}, ${change})${step.under === null ? '' : ` under ${step.under}`}${step.after.length === 0 ? '' : `, after ${step.after.join(', ')}`}`,
    ...step.reasons.map((reason) => `        because ${reason}`),
    ...(step.copies.length === 0 ? [] : [`        copies: ${step.copies.join('; ')}`]),
  ];
}
