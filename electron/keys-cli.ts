/**
 * `conclave cert`, `csr`, `crl`, `key` and `sig`: looking at keys, certificates, requests, CRLs and signatures that others made.
 *
 * It reads the files named and nothing else, and changes nothing; only `csr make` writes, one new file, and only it uses a
 * private key. Exit code 0: everything verified. 1: not, with the rule of every fault. 2: a wrong call. Of a private key it
 * tells the form, the public half and the verdict; private bytes never go to a stream, not with --json either.
 */
import { randomFillSync } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { sha256 } from '@noble/hashes/sha2.js';
import { fromHex, toHex, utf8 } from '../ceremonies/bytes.ts';
import { Refused, refuse, type Refusal } from '../ceremonies/refusal.ts';
import { certificateFindings, certificateSignatureFindings, checkChain, isSelfIssued, lintHierarchy, LONGEST, readCertificate, type CertificateReading } from '../ceremonies/keys/chain.ts';
import { isSealedImport, readImport } from '../ceremonies/keys/import.ts';
import { readPrivateKey, signWithPrivateKey, wrapTraditional } from '../ceremonies/keys/private-key.ts';
import { inForm, TEXT_FORMS } from '../ceremonies/keys/public-forms.ts';
import { makeStatedRequest, readRequest, requestFindings, signsNothing, statementPathFindings, type RequestReading } from '../ceremonies/keys/request.ts';
import { derOf, nameText, PEM_LABELS, readPem, readSigned } from '../ceremonies/keys/signed.ts';
import { keyFindings, readSubjectKey, signatureFindings, type SubjectKey } from '../ceremonies/keys/subject-key.ts';
import { rsaSpki } from '../ceremonies/keys/traditional.ts';

/** A wrong call: exit code 2, with the command's help. */
export class Usage extends Error {}

export const KEYS_HELP = `  conclave cert show|verify|chain|hierarchy FILE... [--at TIME] [--json]
      Certificates: what they say, whether they verify, whether they make one chain or one sound hierarchy.
  conclave csr verify FILE... [--issuer FILE] [--at TIME] [--json]
  conclave csr make --key FILE --signer FILE --signer-certificate FILE --out FILE [--json]
      Certificate requests; made for keys that cannot sign, with a statement of possession (RFC 9883).
  conclave crl show|verify FILE... [--at TIME] [--json]
      Revocation lists, with the certificates of those who issued them.
  conclave key show|check FILE... [--password FILE] [--json]
      Public and private keys, PKCS#12 too: weak ones and inconsistent ones, by rule name.
  conclave key show FILE --as pem|der|jwk|openssh [--password FILE]
      The public key, or the public half of a private one, as other programs want it.
  conclave sig verify --key FILE --in FILE --sig FILE [--context TEXT] [--json]
`;

const ALGORITHMS_READ = 'Reads RSA, ECDSA, EdDSA, ML-DSA, SLH-DSA, HSS/LMS, XMSS, and composites of draft-ietf-lamps-pq-composite-sigs-19.';

export const KEYS_DETAIL: Record<string, string> = {
  cert: `conclave cert show|verify|chain|hierarchy FILE... [--at TIME] [--json]

  FILE        X.509 certificates, PEM (several in one file too) or DER
  show        what each certificate says
  verify      each certificate: its key, dates and usage, and its signature under its own key or an issuer among the FILEs
  chain       the FILEs as one chain: names, dates nested, CA, path length, key usage, key ids, every signature
  hierarchy   the FILEs as one hierarchy, with any number of roots, branches and cross-certificates: each as in a chain, and
              besides path lengths falling from CA to CA, one key id for one key, serial numbers once per issuer, no component
              key in two keys, nothing certified that is stronger than its issuer
  --at TIME   the moment at which dates must hold, e.g. 2026-11-22 (default: now)

  ${ALGORITHMS_READ}
  No root is known here, and revocation is not checked: "verified" means that the files agree with each other.
  Exit code 0: everything verified. 1: every broken rule by name. 2: wrong call.
`,
  csr: `conclave csr verify FILE... [--issuer FILE] [--at TIME] [--json]
conclave csr make --key FILE --signer FILE --signer-certificate FILE --out FILE [--json]

  verify      each request: its key, and how its owner shows to hold it. A key that signs PROVES it by signing the request. For
              one that cannot (ML-KEM, composite ML-KEM, X25519, X448) the holder of a certified signing key STATES it
              (RFC 9883): the statement is judged, and the key itself has proven nothing
  FILE        PKCS#10 requests, PEM or DER
  --issuer    the CA's certificate: the signing certificate in a statement has to be issued by it. Without it that is not judged
  --at TIME   the moment at which the signing certificate has to be valid, e.g. 2026-11-22 (default: now)

  make        a request for a key that cannot sign, in the name of the signing certificate, which goes into it
  --key       the key to be certified: its public half, or the private key (PKCS#8), of which only the public half is used
  --signer    the private key (PKCS#8) of the signing certificate, and --signer-certificate that certificate
  --out FILE  a new file: nothing is overwritten

  ${ALGORITHMS_READ}
`,
  crl: `conclave crl show|verify FILE... [--at TIME] [--json]

  FILE        X.509 CRLs, and for verify the certificates of their issuers too; PEM or DER
  show        issuer, number, dates, and what is revoked
  verify      each CRL: its form, and its name, key id, time and signature against an issuer among the FILEs
  --at TIME   the moment for which a CRL should speak, e.g. 2026-11-22 (default: now)

  ${ALGORITHMS_READ}
`,
  key: `conclave key show|check FILE... [--password FILE] [--json]
conclave key show FILE --as pem|der|jwk|openssh [--password FILE]

  FILE        a public key (SubjectPublicKeyInfo), a private key (PKCS#8, PKCS#1, SEC 1), PKCS#12 or a certificate; PEM or DER
  --password  a file with the password of encrypted PKCS#8 (PBES2) and PKCS#12: its first line
  show        algorithm, form, fingerprint
  --as        writes the public key, and nothing else: SubjectPublicKeyInfo, JWK (RFC 7517, 8037, 9964), or a line for OpenSSH
  check       the same, and every known weakness and inconsistency by rule name; exit code 1 if there is one

  A private key is judged here and never printed. Keep real ones off this machine all the same.
`,
  sig: `conclave sig verify --key FILE --in FILE --sig FILE [--context TEXT | --context-hex HEX] [--json]

  --key       a public key or a certificate, PEM or DER
  --in        the data that was signed
  --sig       the bare signature: raw, ECDSA in DER. RSA is PKCS#1 v1.5 with SHA-256 (SHA-384 from 4096 bits up)
  --context   the application's context of ML-DSA, SLH-DSA and composites (default: empty)
`,
};

/** Keys and certificates are small; a file that is not would only be read to be refused. */
const LARGEST = 4 * 1024 * 1024;

interface Report {
  readonly file: string;
  readonly findings: readonly Refusal[];
  /** What is told, in order: label and value. */
  readonly facts: Readonly<Record<string, string | number | boolean | null | readonly string[]>>;
}

export async function keysCommand(command: string, args: readonly string[]): Promise<number> {
  const [verb = '', ...rest] = args;
  const verbs: Readonly<Record<string, readonly string[]>> = { cert: ['show', 'verify', 'chain', 'hierarchy'], csr: ['verify', 'make'], crl: ['show', 'verify'], key: ['show', 'check'], sig: ['verify'] };
  if (verbs[command]?.includes(verb) !== true) throw new Usage(`${command}: ${(verbs[command] ?? []).join(', or ')}`);
  if (command === 'sig') return sigVerify(rest);
  if (verb === 'make') return csrMake(rest);
  const { values, positionals } = parseArgs({
    args: rest, allowPositionals: true,
    options: { json: { type: 'boolean', default: false }, ...(command !== 'key' && { at: { type: 'string' } }), ...(command === 'key' && { password: { type: 'string' }, ...(verb === 'show' && { as: { type: 'string' } }) }), ...(command === 'csr' && { issuer: { type: 'string' } }) },
  });
  if (positionals.length === 0) throw new Usage(`${command} ${verb}: which file?`);
  const at = moment((values as { at?: string }).at);
  const files = positionals.map((path) => ({ name: basename(path), bytes: readInput(path, LARGEST) }));
  switch (command) {
    case 'cert':
      return show(verb === 'chain' ? await certChain(files, at) : verb === 'hierarchy' ? await certHierarchy(files, at) : await certReports(files, verb === 'verify' ? at : null), values.json, verb !== 'show');
    case 'csr':
      return show(await csrReports(files, (values as { issuer?: string }).issuer, at), values.json, true);
    case 'crl':
      return show(await crlReports(files, verb === 'verify' ? at : null), values.json, verb === 'verify');
    default: {
      const { password: path, as } = values as { password?: string; as?: string };
      const form = TEXT_FORMS.find((one) => one === as) ?? null;
      if (as !== undefined && ((form === null && as !== 'der') || values.json || files.length > 1)) throw new Usage(`key show --as: one FILE as der, ${TEXT_FORMS.join(', ')}, without --json`);
      const password = path === undefined ? null : firstLine(readInput(path, LARGEST));
      try {
        if (as !== undefined) {
          const { key } = await keyIn(files[0]!.bytes, password);
          process.stdout.write(form === null ? key.spki : inForm(key, form));
          return 0;
        }
        return show(await each(files, async ({ bytes }) => {
          const { key, facts } = await keyIn(bytes, password);
          return { facts, findings: verb === 'check' ? keyFindings(key) : [] };
        }), values.json, verb !== 'show');
      } finally {
        password?.fill(0);
      }
    }
  }
}

export function moment(text: string | undefined): Date {
  const date = text === undefined ? new Date() : new Date(text);
  if (Number.isNaN(date.getTime())) throw new Usage(`--at ${text ?? ''}: no time. Write it as 2026-11-22 or 2026-11-22T10:00:00Z`);
  return date;
}

export function readInput(path: string, largest: number): Uint8Array {
  try {
    if (statSync(path).size > largest) throw new Usage(`${path} is larger than ${largest / 1024 / 1024} MB: none of the files that are read here`);
    return new Uint8Array(readFileSync(path));
  } catch (error) {
    if (error instanceof Usage) throw error;
    throw new Usage(`cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? 'an error'}`);
  }
}

/** Said before any work is done; `write` makes sure of it again. */
export function newFile(path: string): string {
  if (existsSync(path)) throw new Usage(`${path} exists: nothing is overwritten`);
  return path;
}

/** Makes a file that was not there, readable by its owner only, and leaves none behind that is half written. */
export function write(path: string, bytes: Uint8Array): void {
  let file: number;
  try {
    file = openSync(path, 'wx', 0o600);
  } catch (error) {
    throw new Usage(`cannot write ${path}: ${(error as NodeJS.ErrnoException).code ?? 'an error'}`);
  }
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
    fsyncSync(file);
  } catch (error) {
    unlinkSync(path);
    throw new Error(`cannot write ${path}: ${(error as NodeJS.ErrnoException).code ?? 'an error'}`);
  } finally {
    closeSync(file);
  }
}

type Judged = Omit<Report, 'file'>;

/** One report per file; a refusal of its content is a finding, not the end of the run. */
async function each(files: readonly { name: string; bytes: Uint8Array }[], judge: (file: { name: string; bytes: Uint8Array }) => Promise<Judged>): Promise<Report[]> {
  const reports: Report[] = [];
  for (const file of files) reports.push({ file: file.name, ...(await guarded(() => judge(file))) });
  return reports;
}

async function guarded(judge: () => Promise<Judged>): Promise<Judged> {
  try {
    return await judge();
  } catch (error) {
    if (error instanceof Refused) return { facts: {}, findings: [error.refusal] };
    throw error;
  }
}

function keyFacts(key: SubjectKey): Report['facts'] {
  return { algorithm: key.label, ...(key.profile !== undefined && { profile: key.profile }), fingerprint: toHex(sha256(key.spki)) };
}

function certificateFacts(certificate: CertificateReading): Report['facts'] {
  return {
    subject: nameText(certificate.subject), issuer: nameText(certificate.issuer), serial: certificate.serial.slice(0, 64),
    notBefore: certificate.notBefore.toISOString(), notAfter: certificate.notAfter.toISOString(), ...keyFacts(certificate.key),
    signatureAlgorithm: certificate.signatureAlgorithm.oid, ca: certificate.ca, pathLength: certificate.pathLength, keyUsage: certificate.keyUsage,
  };
}

async function csrReports(files: readonly { name: string; bytes: Uint8Array }[], issuerFile: string | undefined, at: Date): Promise<Report[]> {
  const issuer = issuerFile === undefined ? null : readCertificate(derOf(readInput(issuerFile, LARGEST), 'certificate'));
  return each(files, async ({ bytes }) => {
    const [block] = readPem(bytes, PEM_LABELS.request);
    const request = readRequest(block!.der);
    const findings = [...(await requestFindings(request, at)), ...(issuer === null ? [] : await statementPathFindings(request, issuer))];
    return { facts: { subject: nameText(request.subject), ...keyFacts(request.key), ...possessionFacts(request, issuer !== null, findings.length === 0) }, findings };
  });
}

/** What a request shows of possession, and what it does not. */
function possessionFacts({ key, statement }: RequestReading, path: boolean, verified: boolean): Report['facts'] {
  if (!signsNothing(key)) return { possession: verified ? 'proven: the key signed this request' : 'not proven' };
  if (!verified || !statement?.certificate) return { possession: 'neither proven nor stated' };
  const { issuer, serial, notBefore, notAfter, key: signer } = statement.certificate;
  return {
    possession: 'stated by the holder of a certified signing key, not proven (RFC 9883)',
    signedBy: `${signer.label}, serial ${serial.slice(0, 64)} of ${nameText(issuer)}, valid ${notBefore.toISOString().slice(0, 10)} to ${notAfter.toISOString().slice(0, 10)}`,
    signerIssuer: path ? 'verified: the CA given issued the signing certificate' : 'not judged: give the CA with --issuer',
  };
}

async function csrMake(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args, allowPositionals: true,
    options: { key: { type: 'string' }, signer: { type: 'string' }, 'signer-certificate': { type: 'string' }, out: { type: 'string' }, json: { type: 'boolean', default: false } },
  });
  const { key: keyPath, signer: signerPath, 'signer-certificate': certificatePath, out } = values;
  if (keyPath === undefined || signerPath === undefined || certificatePath === undefined || out === undefined || positionals.length > 0) {
    throw new Usage('csr make: --key FILE --signer FILE --signer-certificate FILE --out FILE');
  }
  newFile(out);
  const judged = await guarded(async () => {
    const certificate = readCertificate(derOf(readInput(certificatePath, LARGEST), 'certificate'));
    const spki = await publicHalf(readInput(keyPath, LARGEST));
    const made = await withPkcs8(readInput(signerPath, LARGEST), async (pkcs8) => {
      const { publicKey } = await readPrivateKey(pkcs8);
      if (toHex(publicKey.spki) !== toHex(certificate.key.spki)) {
        throw new Refused(refuse('CERTIFICATE-KEY', 'the private key of the signing certificate', `that of another ${publicKey.label} key`, 'Give the key and the certificate that belong together.'));
      }
      const { algorithmOf } = await import('../ceremonies/keys/issue.ts');
      const row = algorithmOf(certificate.key);
      const randomness = randomFillSync(new Uint8Array(32));
      return makeStatedRequest(spki, certificate.der, (tbs) => signWithPrivateKey(row, pkcs8, tbs, randomness)).finally(() => randomness.fill(0));
    });
    const request = readRequest(made.der);
    const findings = await requestFindings(request, new Date());
    if (findings.length === 0) write(out, utf8(made.pem));
    return { facts: { subject: nameText(request.subject), ...keyFacts(request.key), ...possessionFacts(request, false, findings.length === 0) }, findings };
  });
  return show([{ file: basename(out), ...judged }], values.json, true);
}

/** Of a public key, or of a private one, which is judged and wiped. */
async function publicHalf(file: Uint8Array): Promise<Uint8Array> {
  const [block] = readPem(file, ['PUBLIC KEY', 'PRIVATE KEY']);
  const label = file[0] === 0x30 ? derLabel(block!.der) : block!.label;
  return label === 'PUBLIC KEY' ? readSubjectKey(block!.der).spki : withPkcs8(file, async (pkcs8) => (await readPrivateKey(pkcs8)).publicKey.spki);
}

async function withPkcs8<T>(file: Uint8Array, work: (pkcs8: Uint8Array) => Promise<T>): Promise<T> {
  const { der } = readPem(file, ['PRIVATE KEY'])[0]!;
  try {
    return await work(der);
  } finally {
    der.fill(0);
    file.fill(0);
  }
}

interface Loaded {
  readonly file: string;
  readonly certificate: CertificateReading | null;
  readonly findings: readonly Refusal[];
}

function loadCertificates(files: readonly { name: string; bytes: Uint8Array }[]): Loaded[] {
  const loaded = files.flatMap(({ name, bytes }): Loaded[] => {
    let blocks: readonly { der: Uint8Array }[];
    try {
      blocks = readPem(bytes, PEM_LABELS.certificate);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return [{ file: name, certificate: null, findings: [error.refusal] }];
    }
    return blocks.map(({ der }, i) => {
      const file = blocks.length > 1 ? `${name} #${i + 1}` : name;
      try {
        return { file, certificate: readCertificate(der), findings: [] };
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        return { file, certificate: null, findings: [error.refusal] };
      }
    });
  });
  if (loaded.length > LONGEST) throw new Usage(`cert: at most ${LONGEST} certificates at once, not ${loaded.length}`);
  return loaded;
}

/** `at` null: only shown. */
async function certReports(files: readonly { name: string; bytes: Uint8Array }[], at: Date | null): Promise<Report[]> {
  const loaded = loadCertificates(files);
  const reports: Report[] = [];
  for (const { file, certificate, findings } of loaded) {
    if (certificate === null || at === null) {
      reports.push({ file, facts: certificate ? certificateFacts(certificate) : {}, findings });
      continue;
    }
    const issuers = isSelfIssued(certificate)
      ? [certificate]
      : loaded.flatMap((one) => one.certificate !== null && toHex(one.certificate.subject) === toHex(certificate.issuer) ? [one.certificate] : []);
    let signature: readonly Refusal[] = [
      refuse('ISSUER-KNOWN', `the certificate of ${nameText(certificate.issuer)} among the files`, 'none', 'Give the issuer\'s certificate too.'),
    ];
    for (const [i, issuer] of issuers.entries()) {
      const result = await certificateSignatureFindings(certificate, issuer.key);
      if (i === 0 || result.length === 0) signature = result;
    }
    reports.push({ file, facts: certificateFacts(certificate), findings: [...certificateFindings(certificate, at), ...signature] });
  }
  return reports;
}

async function certChain(files: readonly { name: string; bytes: Uint8Array }[], at: Date): Promise<Report[]> {
  const loaded = loadCertificates(files);
  const broken = loaded.filter((one) => one.certificate === null).map(({ file, findings }) => ({ file, findings, facts: {} }));
  if (broken.length > 0) return broken;
  const fileOf = (certificate: CertificateReading): string => loaded.find((one) => one.certificate === certificate)?.file ?? '';
  try {
    const verdict = await checkChain(loaded.map((one) => one.certificate!), at);
    return [
      ...verdict.path.map((certificate, i) => ({ file: fileOf(certificate), facts: certificateFacts(certificate), findings: verdict.findings[i]! })),
      ...verdict.unused.map((certificate) => ({
        file: fileOf(certificate), facts: certificateFacts(certificate),
        findings: [refuse('CHAIN-UNUSED', 'certificates of one chain', nameText(certificate.subject), 'Leave this one out, or add what connects it.')],
      })),
    ];
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return [{ file: files.map(({ name }) => name).join(', ').slice(0, 200), facts: {}, findings: [error.refusal] }];
  }
}

/** One report for all of them: a finding names the subject it is about. */
async function certHierarchy(files: readonly { name: string; bytes: Uint8Array }[], at: Date): Promise<Report[]> {
  const loaded = loadCertificates(files);
  const broken = loaded.filter((one) => one.certificate === null).map(({ file, findings }): Report => ({ file, findings, facts: {} }));
  if (broken.length > 0) return broken;
  const file = files.map(({ name }) => name).join(', ').slice(0, 200);
  return each([{ name: file, bytes: new Uint8Array() }], async () => ({
    facts: { certificates: loaded.length, roots: loaded.filter((one) => isSelfIssued(one.certificate!)).length },
    findings: await lintHierarchy(loaded.map((one) => one.certificate!), at),
  }));
}

/** `at` null: only shown. Certificates among the files are issuers, and have no report of their own. */
async function crlReports(files: readonly { name: string; bytes: Uint8Array }[], at: Date | null): Promise<Report[]> {
  // Loaded here: the other commands need none of it.
  const { crlFindings, lintCrl, readCrl } = await import('../ceremonies/keys/crl.ts');
  const isCrl = (bytes: Uint8Array): boolean => bytes[0] === 0x30 ? !looksLikeCertificate(bytes) : !new TextDecoder().decode(bytes).includes('-----BEGIN CERTIFICATE-----');
  const issuers = loadCertificates(files.filter(({ bytes }) => !isCrl(bytes)));
  const reports = issuers.filter((one) => one.certificate === null).map(({ file, findings }): Report => ({ file, findings, facts: {} }));
  return [...reports, ...(await each(files.filter(({ bytes }) => isCrl(bytes)), async ({ bytes }) => {
    const der = derOf(bytes, 'crl');
    const crl = readCrl(der);
    const facts = {
      issuer: nameText(crl.issuer), number: crl.number === null ? null : `${crl.number}`, thisUpdate: crl.thisUpdate.toISOString(), nextUpdate: crl.nextUpdate?.toISOString() ?? null,
      signatureAlgorithm: crl.signatureAlgorithm.oid, revoked: crl.revoked.length,
      ...(at === null && { serials: crl.revoked.map((one) => `${toHex(one.serialNumber)} ${one.date.toISOString()} ${one.reason ?? 'no reason'}`) }),
    };
    if (at === null) return { facts, findings: [] };
    let best: readonly Refusal[] = [refuse('ISSUER-KNOWN', `the certificate of ${nameText(crl.issuer)} among the files`, 'none', 'Give the issuer\'s certificate too.')];
    for (const [i, issuer] of issuers.flatMap(({ certificate }) => certificate !== null && toHex(certificate.subject) === toHex(crl.issuer) ? [certificate] : []).entries()) {
      const findings = await crlFindings(crl, issuer, at);
      if (i === 0 || findings.length === 0) best = findings;
    }
    return { facts, findings: [...lintCrl(der), ...best] };
  }))];
}

/** RFC 5280: the body of a certificate of version 3 begins with [0]; that of a CRL never does. */
function looksLikeCertificate(der: Uint8Array): boolean {
  try {
    return readSigned(der, 'file').body[0]?.tag === 0xa0;
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
}

export const KEY_LABELS = ['PUBLIC KEY', 'RSA PUBLIC KEY', 'PRIVATE KEY', 'RSA PRIVATE KEY', 'EC PRIVATE KEY', 'CERTIFICATE'];

/** What a DER file is, by its structure alone: the second value of a PKCS#8 key follows a small integer. */
export function derLabel(der: Uint8Array): string {
  const start = der[1]! < 128 ? 2 : 2 + (der[1]! & 0x7f);
  if (der[start] !== 0x02) {
    if (der[start] !== 0x30) return 'PUBLIC KEY';
    const inner = der[start + 1]! < 128 ? start + 2 : start + 2 + (der[start + 1]! & 0x7f);
    return der[inner] === 0x06 ? 'PUBLIC KEY' : 'CERTIFICATE';
  }
  const next = der[start + 3];
  return next === 0x30 ? 'PRIVATE KEY' : next === 0x04 ? 'EC PRIVATE KEY' : 'RSA PRIVATE KEY';
}

/** The public key of a file, or the public half of its private one, and what may be told of it. A sealed file is read as for an import, weak keys refused. */
export async function keyIn(bytes: Uint8Array, password: Uint8Array | null): Promise<{ readonly key: SubjectKey; readonly facts: Report['facts'] }> {
  if (isSealedImport(bytes)) {
    try {
      const { pkcs8, publicKey, form, source, certificates, checks } = await readImport(bytes, password);
      pkcs8.fill(0);
      const names = certificates.map(({ der, own }) => `${nameText(readCertificate(der).subject)}${own ? ' (of this key)' : ''}`);
      return { key: publicKey, facts: { is: `a private key in ${source}`, form, ...keyFacts(publicKey), checks, certificates: names } };
    } finally {
      bytes.fill(0);
    }
  }
  const [block] = readPem(bytes, KEY_LABELS);
  const { der } = block!;
  const label = bytes[0] === 0x30 ? derLabel(der) : block!.label;
  if (!label.endsWith('PRIVATE KEY')) {
    const key = label === 'CERTIFICATE' ? readCertificate(der).key : readSubjectKey(label === 'RSA PUBLIC KEY' ? rsaSpki(der) : der);
    return { key, facts: { is: 'a public key', ...keyFacts(key) } };
  }
  const pkcs8 = label === 'PRIVATE KEY' ? der : wrapTraditional(label === 'RSA PRIVATE KEY' ? 'rsa' : 'ec', der);
  try {
    const { form, publicKey, checks } = await readPrivateKey(pkcs8);
    return { key: publicKey, facts: { is: 'a private key', form, ...keyFacts(publicKey), checks } };
  } finally {
    for (const copy of [pkcs8, der, bytes]) copy.fill(0);
  }
}

/** A file of secrets ends its line as editors do; the rest of it is wiped with the whole. */
function firstLine(bytes: Uint8Array): Uint8Array {
  const end = bytes.findIndex((octet) => octet === 0x0a || octet === 0x0d);
  const line = bytes.slice(0, end < 0 ? bytes.length : end);
  bytes.fill(0);
  return line;
}

async function sigVerify(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args, allowPositionals: true,
    options: {
      key: { type: 'string' }, in: { type: 'string' }, sig: { type: 'string' }, context: { type: 'string' }, 'context-hex': { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  if (values.key === undefined || values.in === undefined || values.sig === undefined || positionals.length > 0) throw new Usage('sig verify: --key FILE --in FILE --sig FILE');
  if (values.context !== undefined && values['context-hex'] !== undefined) throw new Usage('sig verify: --context or --context-hex, not both');
  if (!/^([0-9a-f]{2})*$/.test(values['context-hex'] ?? '')) throw new Usage('--context-hex: pairs of 0-9 a-f');
  const context = values['context-hex'] === undefined ? utf8(values.context ?? '') : fromHex(values['context-hex']);
  const keyFile = readInput(values.key, LARGEST);
  const message = readInput(values.in, 2 ** 31);
  const signature = readInput(values.sig, LARGEST);
  const judged = await guarded(async () => {
    const [block] = readPem(keyFile, ['PUBLIC KEY', 'CERTIFICATE']);
    const label = keyFile[0] === 0x30 ? derLabel(block!.der) : block!.label;
    const key = label === 'CERTIFICATE' ? readCertificate(block!.der).key : readSubjectKey(block!.der);
    return { facts: { ...keyFacts(key), signatureBytes: signature.length }, findings: [...keyFindings(key), ...(await signatureFindings(key, null, message, signature, context))] };
  });
  return show([{ file: basename(values.sig), ...judged }], values.json, true);
}

/** `judging`: says "verified" for a report without findings. */
function show(reports: readonly Report[], json: boolean, judging: boolean): number {
  const good = reports.every((report) => report.findings.length === 0);
  if (json) {
    const rules = [...new Set(reports.flatMap((report) => report.findings.map((finding) => finding.rule)))];
    process.stdout.write(`${JSON.stringify({ verified: judging ? good : null, rules, reports }, null, 2)}\n`);
    return good ? 0 : 1;
  }
  const lines = reports.flatMap(({ file, facts, findings }) => [
    findings.length > 0 ? `✕ ${file}` : judging ? `✓ ${file}` : file,
    ...Object.entries(facts).filter(([, value]) => value !== null).map(([name, value]) => `    ${name.padEnd(18)} ${Array.isArray(value) ? value.join(', ') : String(value)}`),
    ...findings.map((finding) => `  ✕ ${finding.rule}: expected ${finding.expected}; found ${finding.found}. ${finding.next}`),
  ]);
  process.stdout.write(`${lines.join('\n')}\n`);
  return good ? 0 : 1;
}
