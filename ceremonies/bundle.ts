/**
 * The bundle: what leaves the room. The transcript, and beside it everything in it that somebody will want as a file.
 *
 * The transcript is the record; every other file is derived from it, byte for byte, and is compared when a bundle is read:
 * a bundle whose certificate.pem is not the transcript's is a lie, however valid the transcript. The same lines give the
 * same bundle. Reading is strict: one way to lay the archive out, no byte outside it, names and sizes within limits.
 * Nothing here judges the record itself (verify.ts does), touches a disk or keeps a secret: a wrapped key is ciphertext.
 */
import canonicalize from 'canonicalize';
import { inflateSync, zipSync } from 'fflate';
import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes, fromBase64url, fromUtf8, toHex, utf8 } from './bytes.ts';
import { currentAct, type Data, type State } from './ceremony.ts';
import type { Evidence, Identity, InputKind, Intent, PublicJwk, SignaturePair, WrappedPart } from './evidence.ts';
import { activationRecordOf } from './activation.ts';
import { backupRecordOf } from './backup-record.ts';
import { escrowFile } from './escrow.ts';
import { renewedRecordOf } from './renewal.ts';
import { envelopesOf, returnedRecordOf } from './share-copies.ts';
import { keyRecordOf } from './key-record.ts';
import { ALGORITHMS, caAlgorithmNamed } from './keys/algorithms.ts';
import { writeGeneral } from './keys/jws.ts';
import { pem } from './keys/signed.ts';
import { fromJwk, thumbprint, type PublicKey } from './keys/public-key.ts';
import { destructionCertificateHtml, edition, foldRecord, minutesHtml, type FoldedRecord } from './minutes.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';
import type { Hasher } from './transcript.ts';

/** How large an archive may be that we are willing to unpack. A ceremony's bundle has about forty files and a few megabytes. */
const MOST_FILES = 2000;
const LARGEST_FILE = 256 * 1024 * 1024;
const LARGEST_TOTAL = 512 * 1024 * 1024;
/** Text like ours shrinks to a third; a file that grows more than this is made to fill a memory. */
const LARGEST_RATIO = 200;
const RATIO_FROM = 1024 * 1024;

/** One or two plain path segments: nothing that climbs, hides, or means another file on another system. */
const NAME = /^(?:[a-z0-9][a-z0-9-]*\/)?[A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)+$/;
const TRANSCRIPT = 'transcript.jsonl';
const MANIFEST = 'manifest.json';
/** Raised whenever VERIFY.md would be written differently for the same record. */
const VERIFY_EDITION = 'conclave-verify/2';

const NEXT = 'Do not rely on this bundle. Take the transcript alone, or ask for another copy.';

// --- writing ---------------------------------------------------------------------------------------------------------

/** The bundle of a record, as a zip file. Throws the record's first `Refused` where it breaks a rule: lies are not exported. */
export function makeBundle(lines: readonly string[], hasher?: Hasher): Uint8Array {
  const record = soundRecord(lines, hasher);
  const files = new Map(derivedFiles(record));
  files.set(TRANSCRIPT, utf8(lines.map((line) => `${line}\n`).join('')));
  files.set(MANIFEST, manifestOf(files));
  const sorted = Object.fromEntries([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
  // Local time on purpose: the archive stores wall-clock fields, and these are the same in every zone.
  return zipSync(sorted, { level: 6, mtime: new Date(1980, 0, 1) });
}

/** The certificate of destruction, as it stands in the bundle; null where there is none. Throws the record's first `Refused` where it breaks a rule. */
export function certificateOf(lines: readonly string[]): string | null {
  return destructionCertificateHtml(soundRecord(lines));
}

function soundRecord(lines: readonly string[], hasher?: Hasher): FoldedRecord {
  const record = foldRecord(lines, hasher);
  const broken = record.unread ?? record.rows.find((row) => row.refusal !== null)?.refusal;
  if (broken) throw new Refused(broken);
  return record;
}

/** Every file that follows from the transcript, by name. */
function derivedFiles(record: FoldedRecord): Map<string, Uint8Array> {
  const { state } = record;
  const files = new Map<string, Uint8Array>();
  const text = (name: string, content: string) => files.set(name, utf8(content));
  text('minutes.html', minutesHtml(record));
  const destroyed = destructionCertificateHtml(record);
  if (destroyed !== null) text('certificate-of-destruction.html', destroyed);
  if (state.opening) text('script.yaml', state.opening.script);
  const seals = sealFiles(record);
  for (const [name, seal] of seals) text(name, `${writeGeneral(seal)}\n`);
  const keys = keyFiles(record);
  for (const [name, key] of keys) text(name, pem('PUBLIC KEY', key.spki));
  const { certificate, wrapped } = state.key ?? { certificate: null, wrapped: null };
  const signed = (name: string, label: string, bytes: string) => {
    const der = fromBase64url(bytes);
    files.set(`${name}.der`, der);
    text(`${name}.pem`, pem(label, der));
  };
  if (certificate !== null && state.key?.made === false) signed('issuer', 'CERTIFICATE', certificate);
  for (const { name, kind, bytes } of resultsOf(state)) signed(name, kind === 'crl' ? 'X509 CRL' : 'CERTIFICATE', bytes);
  const keyRecord = keyRecordOf(state.key);
  if (keyRecord) files.set('key.json', keyRecord);
  const backupRecord = state.opening && (backupRecordOf({ ...state, mode: state.opening.mode }) ?? renewedRecordOf(state) ?? returnedRecordOf(state));
  if (backupRecord) files.set('backup.json', backupRecord);
  for (const { x, envelope } of envelopesOf(state.copies)) files.set(`share-${x}.cms`, fromBase64url(envelope));
  if (state.deposit) {
    files.set('escrow.json', escrowFile(state.deposit.record));
    files.set('escrow.cms', fromBase64url(state.deposit.envelope));
  }
  const activationRecord = state.opening && activationRecordOf({ ...state, mode: state.opening.mode });
  if (activationRecord) files.set('activation.json', activationRecord);
  for (const { part, wrapped: bytes } of wrapped ?? []) {
    const name = part === 'key' ? 'wrapped-key' : `wrapped-key-${part}`;
    files.set(`${name}.bin`, fromBase64url(bytes));
    text(`${name}.json`, wrappedKey(record, part));
  }
  for (const [name, input] of Object.entries(state.opening?.inputs ?? {})) files.set(`inputs/${name}.${INPUT_SUFFIX[input.kind]}`, fromBase64url(input.bytes));
  text('VERIFY.md', verifyGuide(record, [...seals.keys()], keys));
  return files;
}

function manifestOf(files: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const digests = [...files].filter(([name]) => name !== MANIFEST).map(([name, bytes]) => [name, toHex(sha256(bytes))]);
  return utf8(`${canonicalize(Object.fromEntries(digests)) ?? ''}\n`);
}

/** What the key signed, by the name of its files. The certificate of a key that was there before is no result, but its issuer's. */
function resultsOf({ key, issued }: State): { readonly name: string; readonly kind: 'certificate' | 'crl'; readonly bytes: string }[] {
  const seen = new Map<string, number>();
  const own = key?.made === true && key.certificate !== null ? [{ kind: 'certificate' as const, bytes: key.certificate }] : [];
  return [...own, ...issued].map(({ kind, bytes }) => ({ name: ordinal(seen, kind), kind, bytes }));
}

const INPUT_SUFFIX: Readonly<Record<InputKind, string>> = { key: 'json', request: 'csr', 'stated-request': 'csr', certificate: 'crt', certificates: 'pem', revocations: 'csv', crl: 'crl', backup: 'json', copies: 'json', movements: 'csv', recipient: 'pub', escrow: 'json', envelope: 'cms', activation: 'json', recipients: 'pem' };

type Jws = Parameters<typeof writeGeneral>[0];

/** Everything that people signed, as JWS General JSON: the seals first of all, then presence, resumptions, disagreements. */
function sealFiles(record: FoldedRecord): Map<string, Jws> {
  const files = new Map<string, Jws>();
  const one = (payload: string, ...pairs: readonly SignaturePair[]): Jws => ({ payload, signatures: pairs.flat() });
  const presences = new Map<string, number>();
  for (const { entry, before, refusal } of record.rows) {
    if (refusal) continue;
    if (entry.kind === 'disagreed') {
      const data = entry.data as Data<'disagreed'>;
      files.set(`seals/disagreement-${entry.seq}.jws.json`, one(data.statement, data.signatures));
    }
    if (entry.kind !== 'done' || !before.current) continue;
    const { step, intent } = before.current;
    const { evidence } = entry.data as Data<'done'>;
    if (step.do.action === 'enrol') {
      const { statement, signatures } = evidence as Evidence<'enrol'>;
      files.set(`seals/presence-${ordinal(presences, step.who)}.jws.json`, one(statement, signatures));
    } else if (step.do.action === 'sign-resume') {
      const name = `seals/resume-${before.resumptions}.jws.json`;
      const { statement } = intent as Intent<'sign-resume'>;
      const others = files.get(name);
      const { signatures } = evidence as Evidence<'sign-resume'>;
      files.set(name, { payload: statement, signatures: [...others?.signatures ?? [], ...signatures] });
    }
  }
  // An act is sealed again where an interruption sent the ceremony back behind its seal.
  const acts = new Map<string, number>();
  for (const seal of record.state.seals) {
    const pairs = (record.state.plan?.seats ?? []).flatMap((seat) => seal.signatures[seat.id] ?? []);
    files.set(`seals/${ordinal(acts, `act-${seal.act + 1}`)}.jws.json`, { payload: seal.statement, signatures: pairs });
  }
  return files;
}

/** `officer`, and `officer-2` for the one who took over. */
function ordinal(seen: Map<string, number>, seat: string): string {
  const count = (seen.get(seat) ?? 0) + 1;
  seen.set(seat, count);
  return count === 1 ? seat : `${seat}-${count}`;
}

/** Both keys of everybody who ever enrolled, and every recorder key. */
function keyFiles(record: FoldedRecord): Map<string, PublicKey> {
  const keys = new Map<string, PublicKey>();
  const seats = new Map<string, number>();
  let recorders = 0;
  for (const { entry, before, refusal } of record.rows) {
    if (refusal) continue;
    if (entry.kind === 'opened' || entry.kind === 'resumed') {
      recorders += 1;
      keys.set(`keys/recorder-${recorders}.pem`, fromJwk((entry.data as { recorder: PublicJwk }).recorder));
    }
    if (entry.kind !== 'done' || before.current?.step.do.action !== 'enrol') continue;
    const { identity } = (entry.data as Data<'done'>).evidence as { identity: Identity };
    const name = ordinal(seats, before.current.step.who);
    const pq = fromJwk(identity.pq);
    keys.set(`keys/${name}-classical.pem`, fromJwk(identity.classical));
    keys.set(`keys/${name}-${pq.algorithm}.pem`, pq);
  }
  return keys;
}

/** What a stranger with the shares needs to know about a wrapped part. */
function wrappedKey({ state }: FoldedRecord, part: WrappedPart['part']): string {
  const { mechanism } = state.key?.wrapped?.find((one) => one.part === part) ?? {};
  const held = state.key?.parts.find((one) => one.part === part);
  return `${canonicalize({
    algorithm: 'AES-256 key wrap with padding (AES-KWP)', standard: 'RFC 5649', oid: '2.16.840.1.101.3.4.1.48', mechanism: mechanism ?? '',
    content: 'PKCS#8 PrivateKeyInfo (RFC 5958), DER', key: { algorithm: held?.algorithm ?? '', of: state.key?.algorithm ?? '', part, spki: { sha256: toHex(sha256(fromBase64url(held?.spki ?? ''))) } },
    set: { epoch: state.backup?.set.epoch ?? 0, id: state.backup?.set.id ?? '', shares: state.backup?.set.shares ?? 0, threshold: state.backup?.set.threshold ?? 0 },
  }) ?? ''}\n`;
}

// --- reading ---------------------------------------------------------------------------------------------------------

/**
 * The transcript in a file, and the files beside it: a bundle, or a bare transcript (`files` is null). Which of the two it
 * is, the first bytes say. Throws `Refused` FILE-READABLE, BUNDLE-FORMAT, BUNDLE-SIZE, BUNDLE-PATH, BUNDLE-NAMES-UNIQUE, BUNDLE-MISSING.
 */
export function openFile(bytes: Uint8Array): { readonly transcript: Uint8Array; readonly files: ReadonlyMap<string, Uint8Array> | null } {
  if (bytes[0] === 0x7b) return { transcript: bytes, files: null };
  if (bytes[0] !== 0x50 || bytes[1] !== 0x4b) {
    throw new Refused(refuse('FILE-READABLE', 'a bundle (zip) or a transcript (JSON lines)', bytes.length === 0 ? 'an empty file' : 'another kind of file', 'Check that this is the right file.'));
  }
  const files = unpack(bytes);
  const transcript = files.get(TRANSCRIPT);
  if (!transcript) throw new Refused(refuse('BUNDLE-MISSING', TRANSCRIPT, 'no such file', NEXT));
  return { transcript, files };
}

function format(expected: string, found: string): Refused {
  return new Refused(refuse('BUNDLE-FORMAT', expected, found, NEXT));
}

/**
 * Unpacks a zip file that is laid out in the one way `makeBundle` writes: local entries without gaps from the first byte on,
 * then the directory in the same order, then its end, and both descriptions of an entry alike. Archives that two programs
 * would read differently are thereby no bundles. (APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.16.)
 */
function unpack(bytes: Uint8Array): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = bytes.length - 22;
  if (end < 0 || view.getUint32(end, true) !== 0x06054b50) throw format('the end of a zip directory at the end of the file', 'something else: cut short, or with bytes after it');
  const count = view.getUint16(end + 10, true);
  const directory = view.getUint32(end + 16, true);
  if (view.getUint32(end + 4, true) !== 0 || view.getUint16(end + 8, true) !== count || directory + view.getUint32(end + 12, true) !== end || view.getUint16(end + 20, true) !== 0) {
    throw format('one plain zip directory', 'another layout');
  }
  if (count > MOST_FILES) throw new Refused(refuse('BUNDLE-SIZE', `at most ${MOST_FILES} files`, `${count}`, NEXT));
  const files = new Map<string, Uint8Array>();
  let local = 0;
  let central = directory;
  let total = 0;
  for (let i = 0; i < count; i += 1) {
    if (central + 46 > end || view.getUint32(central, true) !== 0x02014b50) throw format('a directory entry', 'something else');
    const flags = view.getUint16(central + 8, true);
    const method = view.getUint16(central + 10, true);
    const packed = view.getUint32(central + 20, true);
    const size = view.getUint32(central + 24, true);
    const nameLength = view.getUint16(central + 28, true);
    const begin = local + 30 + nameLength;
    if (flags !== 0 || (method !== 0 && method !== 8) || view.getUint32(central + 30, true) !== 0 || view.getUint16(central + 34, true) !== 0 || view.getUint32(central + 42, true) !== local) {
      throw format('plain entries, one after the other', 'encrypted, split, commented or displaced ones');
    }
    if (begin + packed > directory || central + 46 + nameLength > end || view.getUint32(local, true) !== 0x04034b50) throw format('entries inside the file', 'one that is not');
    // Version, flags, method, time, checksum, sizes and name length: the same 26 bytes in both places.
    const alike = equalBytes(bytes.subarray(local + 4, local + 28), bytes.subarray(central + 6, central + 30)) && view.getUint16(local + 28, true) === 0
      && equalBytes(bytes.subarray(local + 30, begin), bytes.subarray(central + 46, central + 46 + nameLength));
    if (!alike) throw format('an entry and its directory entry alike', 'two descriptions');
    const name = nameOf(bytes.subarray(local + 30, begin));
    if (files.has(name)) throw new Refused(refuse('BUNDLE-NAMES-UNIQUE', 'every file once', `${name} again`, NEXT));
    total += size;
    const tooLarge = size > LARGEST_FILE || total > LARGEST_TOTAL || (size > RATIO_FROM && size > packed * LARGEST_RATIO);
    if (tooLarge) throw new Refused(refuse('BUNDLE-SIZE', 'files of a ceremony\'s size', `${name} with ${size} bytes out of ${packed}`, NEXT));
    files.set(name, inflated(bytes.subarray(begin, begin + packed), method, size));
    local = begin + packed;
    central += 46 + nameLength;
  }
  if (local !== directory || central !== end) throw format('nothing beside the entries', 'bytes that belong to no file');
  return files;
}

function nameOf(bytes: Uint8Array): string {
  const name = String.fromCharCode(...bytes.subarray(0, 200));
  if (bytes.length > 200 || !NAME.test(name)) throw new Refused(refuse('BUNDLE-PATH', 'plain file names, in at most one folder', 'another name', NEXT));
  return name;
}

function inflated(packed: Uint8Array, method: number, size: number): Uint8Array {
  let content: Uint8Array;
  try {
    // One byte more than announced: whatever is longer than it says does not fit, and is noticed.
    content = method === 0 ? packed : inflateSync(packed, { out: new Uint8Array(size + 1) });
  } catch {
    throw format('compressed data', 'damaged ones');
  }
  if (content.length !== size) throw format('files as long as they say', 'another length');
  return content;
}

/** Everything in which the files of a bundle do not follow from its transcript. `lines` are those of the bundle's transcript. */
export function checkBundle(files: ReadonlyMap<string, Uint8Array>, lines: readonly string[], hasher?: Hasher): Refusal[] {
  const findings: Refusal[] = manifestFindings(files);
  let derived: Map<string, Uint8Array>;
  try {
    derived = derivedFiles(foldRecord(lines, hasher));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return [...findings, error.refusal];
  }
  for (const [name, bytes] of derived) {
    const found = files.get(name);
    if (!found) findings.push(refuse('BUNDLE-MISSING', name, 'no such file', NEXT));
    else if (!equalBytes(found, bytes) && !otherEdition(name, found)) {
      findings.push(refuse('BUNDLE-DERIVED', `${name} as it follows from the transcript`, 'another content', 'Believe the transcript. Ask who changed this file.'));
    }
  }
  for (const name of files.keys()) {
    if (!derived.has(name) && name !== TRANSCRIPT && name !== MANIFEST) {
      findings.push(refuse('BUNDLE-EXTRA', 'only files that follow from the transcript', name, 'Do not rely on this file; nothing vouches for it.'));
    }
  }
  return findings;
}

/** What an auditor must know about a bundle although no rule is broken. */
export function bundleRemarks(files: ReadonlyMap<string, Uint8Array>): string[] {
  return [...files].filter(([name, bytes]) => otherEdition(name, bytes))
    .map(([name]) => `${name} was written by another version of this program and was not compared; the transcript does not depend on it. Print the minutes anew before relying on them.`);
}

const EDITIONS: Readonly<Record<string, () => string>> = { 'minutes.html': edition, 'certificate-of-destruction.html': edition, 'VERIFY.md': () => VERIFY_EDITION };

/** Prose changes with the program, the record does not: what another version worded cannot be compared word for word. */
function otherEdition(name: string, bytes: Uint8Array): boolean {
  const ours = EDITIONS[name]?.();
  return ours !== undefined && !String.fromCharCode(...bytes.subarray(0, 1000)).includes(ours);
}

function manifestFindings(files: ReadonlyMap<string, Uint8Array>): Refusal[] {
  const manifest = files.get(MANIFEST);
  if (!manifest) return [refuse('BUNDLE-MISSING', MANIFEST, 'no such file', NEXT)];
  const wanted = manifestOf(files);
  if (equalBytes(manifest, wanted)) return [];
  const other = refuse('BUNDLE-MANIFEST', 'the SHA-256 of every file, in canonical JSON', 'another text', NEXT);
  let listed: unknown;
  try {
    listed = JSON.parse(fromUtf8(manifest));
  } catch {
    return [other];
  }
  if (typeof listed !== 'object' || listed === null || Array.isArray(listed)) return [other];
  const given = new Map(Object.entries(listed));
  const findings: Refusal[] = [];
  for (const [name, digest] of Object.entries(JSON.parse(fromUtf8(wanted)) as Record<string, string>)) {
    if (given.get(name) !== digest) findings.push(refuse('BUNDLE-MANIFEST', `${name} as the manifest lists it`, given.has(name) ? 'another content' : 'a file it does not list', NEXT));
    given.delete(name);
  }
  for (const name of [...given.keys()].slice(0, 20)) findings.push(refuse('BUNDLE-MANIFEST', 'every file of the manifest', `none called ${name.slice(0, 80)}`, NEXT));
  return findings.length > 0 ? findings : [other];
}

// --- VERIFY.md -------------------------------------------------------------------------------------------------------

/** How to check the record with tools that we did not write, filled in with this record's own names. */
function verifyGuide({ state, lines, sha512 }: FoldedRecord, seals: readonly string[], keys: ReadonlyMap<string, PublicKey>): string {
  const people = [...keys].filter(([name]) => !name.startsWith('keys/recorder-'));
  const byAlgorithm = (family: 'classical' | 'ml-dsa') => people.filter(([, key]) => (ALGORITHMS[key.algorithm].family === 'ml-dsa') === (family === 'ml-dsa'));
  const cases = (family: 'classical' | 'ml-dsa') => byAlgorithm(family).map(([name, key]) => `    ${thumbprint(key)}) echo ${name} ;;`).join('\n');
  const acts = seals.flatMap((name) => /^seals\/(act-.*)\.jws\.json$/.exec(name)?.[1] ?? []);
  return `<!-- ${VERIFY_EDITION} -->
# Verifying this record without the program that made it

Ceremony \`${state.ceremony}\`, ${lines.length} entries, ${stateWords(state)}.

Everything below needs only a POSIX shell, coreutils, awk and OpenSSL 3 (for the ML-DSA signatures OpenSSL 3.5 or newer, or Node 24.7
with the npm package \`jose\`). Unpack the bundle, stand in its folder, and paste the blocks into one shell. The
format is described in FORMAT.md of the program's sources; this page is not part of the proof, and a liar could have written it:
read what the commands do.

## 1. The files

\`\`\`sh
tr '{,}' '\\n\\n\\n' < manifest.json | sed -n 's/^"\\(.*\\)":"\\([0-9a-f]*\\)"$/\\2  \\1/p' | sha256sum -c
sha512sum transcript.jsonl
# the printed minutes must show ${sha512.slice(0, 32)}
#                               ${sha512.slice(32, 64)}
#                               ${sha512.slice(64, 96)}
#                               ${sha512.slice(96)}
\`\`\`

## 2. The chain

Each line carries the SHA-512 of the line before it (without its newline); the first carries that of the script.

\`\`\`sh
w=$(mktemp -d)
b64u() { openssl base64 -A | tr '/+' '_-' | tr -d '='; }
b64d() { tr '_-' '/+' | awk '{ n = length($0) % 4; print $0 (n ? substr("===", n) : "") }' | openssl base64 -d -A; }
h512() { openssl dgst -sha512 -binary | b64u; }
prev=$(h512 < script.yaml); seq=0
while IFS= read -r line; do
  found=$(printf '%s' "$line" | sed -n 's/.*,"prev":"\\([A-Za-z0-9_-]*\\)","seq":\\([0-9]*\\),.*/\\1 \\2/p')
  [ "$found" = "$prev $seq" ] || { echo "BROKEN at entry $seq"; break; }
  prev=$(printf '%s' "$line" | h512); seq=$((seq + 1))
done < transcript.jsonl
echo "chain: $seq entries, head $prev"
# expected: chain: ${lines.length} entries, head ${state.lastHash}
\`\`\`

## 3. The recorder

Checkpoints are Ed25519 signatures of five lines of text. A resumed record goes on under a new recorder key.

\`\`\`sh
n=0; good=0; bad=0
while IFS= read -r line; do
  case $line in *'"kind":"opened"'*|*'"kind":"resumed"'*) n=$((n + 1)) ;; esac
  case $line in *'"kind":"checkpoint"'*)
    at=$(printf '%s' "$line" | sed 's/^{"at":"\\([^"]*\\)".*/\\1/')
    end=$(printf '%s' "$line" | sed 's/.*,"prev":"\\([^"]*\\)","seq":\\([0-9]*\\),.*/\\2 \\1/')
    printf '%s' "$line" | sed 's/.*"data":{"signature":"\\([^"]*\\)"}.*/\\1/' | b64d > "$w/checkpoint.sig"
    printf 'conclave-checkpoint/1\\n%s\\n%s\\n%s\\n%s\\n' '${state.ceremony}' "\${end% *}" "$at" "\${end#* }" > "$w/checkpoint.txt"
    if openssl pkeyutl -verify -rawin -pubin -inkey "keys/recorder-$n.pem" -in "$w/checkpoint.txt" -sigfile "$w/checkpoint.sig" > /dev/null 2>&1
    then good=$((good + 1)); else bad=$((bad + 1)); echo "BAD checkpoint: entry \${end% *}"; fi ;;
  esac
done < transcript.jsonl
echo "checkpoints: $good good, $bad bad"
\`\`\`

## 4. The seals

What people signed, as JWS General JSON (RFC 7515 section 7.2.1). The payload of a seal names the entry it covers, by number and hash, and
every signer with both keys. It holds only if EVERY listed signer signed with BOTH keys: most JOSE libraries accept any one.

\`\`\`sh
for act in ${acts.join(' ')}; do
  sed 's/^{"payload":"\\([^"]*\\)".*/\\1/' "seals/$act.jws.json" | b64d > "$w/head.json"
  count=$(sed 's/.*"count":\\([0-9]*\\).*/\\1/' "$w/head.json"); last=$(sed 's/.*"last":"\\([^"]*\\)".*/\\1/' "$w/head.json")
  if [ "$(sed -n "\${count}p" transcript.jsonl | tr -d '\\n' | h512)" = "$last" ]
  then echo "$act covers entries 0 to $((count - 1))"; else echo "$act covers ANOTHER record"; fi
done
\`\`\`

The classical signatures. ECDSA signatures are r and s side by side in JOSE, and become DER for OpenSSL:

\`\`\`sh
classical_key() {
  case $1 in
${cases('classical')}
  esac
}
ml_dsa_key() {
  case $1 in
${cases('ml-dsa')}
  esac
}
each_signature() { # calls "$1" PAYLOAD PROTECTED SIGNATURE FILE for every signature of every file
  for file in seals/*.jws.json; do
    payload=$(sed 's/^{"payload":"\\([^"]*\\)".*/\\1/' "$file")
    tr '{' '\\n' < "$file" | sed -n 's/^"protected":"\\([^"]*\\)","signature":"\\([^"]*\\)"}.*/\\1 \\2/p' |
      while read -r protected signature; do "$1" "$payload" "$protected" "$signature" "$file"; done
  done
}
header() { printf '%s' "$1" | b64d | sed 's/.*"'"$2"'":"\\([^"]*\\)".*/\\1/'; }
ecdsa_der() { # hex of r||s
  half=$((\${#1} / 2))
  printf 'asn1=SEQUENCE:s\\n[s]\\nr=INTEGER:0x%s\\ns=INTEGER:0x%s\\n' "$(printf '%s' "$1" | cut -c "1-$half")" "$(printf '%s' "$1" | cut -c "$((half + 1))-")" > "$w/seal.conf"
  openssl asn1parse -genconf "$w/seal.conf" -noout -out "$w/seal.sig" > /dev/null
}
check_classical() {
  key=$(classical_key "$(header "$2" kid)"); alg=$(header "$2" alg)
  [ -n "$key" ] || return 0
  printf '%s.%s' "$2" "$1" > "$w/seal.txt"
  printf '%s' "$3" | b64d > "$w/seal.sig"
  case $alg in
    ES*) ecdsa_der "$(od -An -v -tx1 "$w/seal.sig" | tr -d ' \\n')"; openssl dgst "-sha\${alg#ES}" -verify "$key" -signature "$w/seal.sig" "$w/seal.txt" > "$w/seal.out" 2>&1 ;;
    RS*) openssl dgst "-sha\${alg#RS}" -verify "$key" -signature "$w/seal.sig" "$w/seal.txt" > "$w/seal.out" 2>&1 ;;
    *) openssl pkeyutl -verify -rawin -pubin -inkey "$key" -in "$w/seal.txt" -sigfile "$w/seal.sig" > "$w/seal.out" 2>&1 ;;
  esac && echo "good: $4 $key" || echo "BAD: $4 $key"
}
each_signature check_classical
\`\`\`

The ML-DSA signatures, with OpenSSL 3.5 or newer:

\`\`\`sh
check_ml_dsa() {
  key=$(ml_dsa_key "$(header "$2" kid)")
  [ -n "$key" ] || return 0
  printf '%s.%s' "$2" "$1" > "$w/seal.txt"
  printf '%s' "$3" | b64d > "$w/seal.sig"
  if openssl pkeyutl -verify -rawin -pubin -inkey "$key" -in "$w/seal.txt" -sigfile "$w/seal.sig" > /dev/null 2>&1
  then echo "good: $4 $key"; else echo "BAD: $4 $key"; fi
}
each_signature check_ml_dsa
\`\`\`

Every file of seals/ (${seals.length} here) must be named once per signer in each of the two lists, and nothing may be BAD.

## 5. The seals with jose

The same with a JOSE library (Node 24.7 or newer, \`npm install jose\`), every signature by itself:

\`\`\`js
import { createPublicKey } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { calculateJwkThumbprint, flattenedVerify } from 'jose';

const keys = new Map();
for (const name of readdirSync('keys')) {
  const key = createPublicKey(readFileSync(\`keys/\${name}\`));
  keys.set(await calculateJwkThumbprint(key.export({ format: 'jwk' })), { key, name });
}
for (const file of readdirSync('seals')) {
  const { payload, signatures } = JSON.parse(readFileSync(\`seals/\${file}\`, 'utf8'));
  const statement = JSON.parse(Buffer.from(payload, 'base64url'));
  const signed = new Set();
  for (const signature of signatures) {
    const { kid } = JSON.parse(Buffer.from(signature.protected, 'base64url'));
    await flattenedVerify({ payload, ...signature }, keys.get(kid).key); // throws where it does not verify
    signed.add(kid);
  }
  const missing = (statement.signers ?? []).flatMap((one) => [one.classical, one.pq]).filter((kid) => !signed.has(kid));
  console.log(missing.length === 0 ? 'good:' : 'MISSING SIGNATURES:', file, signed.size);
}
\`\`\`
${resultGuide(state)}${escrowGuide(state)}
## The people

Whether these keys belong to these people no file can say. Ask each of them, by another way, for the thumbprints of their two keys:

${people.length === 0 ? 'Nobody enrolled.' : people.map(([name, key]) => `- \`${name}\`: \`${thumbprint(key)}\``).join('\n')}
`;
}

/** How to check what the key signed, with tools we did not write. Nothing to say where it signed nothing. */
function resultGuide(state: State): string {
  const { key } = state;
  const results = resultsOf(state);
  if (!key || results.length === 0) return '';
  const issuer = key.made ? 'certificate.pem' : 'issuer.pem';
  const commands = results.flatMap(({ name, kind }) => [
    `printf '"${kind}":"%s"' "$(b64u < ${name}.der)" | grep -qFf - transcript.jsonl && echo "${name} is the transcript's"`,
    ...kind === 'crl'
      ? [`openssl crl -in ${name}.pem -noout -issuer -lastupdate -nextupdate -fingerprint -sha256`, `openssl crl -in ${name}.pem -noout -CAfile ${issuer} -verify`]
      : [`openssl x509 -in ${name}.pem -noout -subject -dates -fingerprint -sha256`, `openssl verify -partial_chain -trusted ${issuer} ${name}.pem`],
  ]);
  const algorithm = caAlgorithmNamed(key.algorithm);
  const needs = algorithm.family === 'composite-signature'
    ? `\nWhat verifies a signature needs an OpenSSL that knows ${algorithm.oid} (${algorithm.profile}); where there is none, \`conclave cert verify\` and the draft's other implementations check it.\n`
    : algorithm.family === 'ml-dsa' || algorithm.family === 'slh-dsa' ? '\nWhat verifies a signature needs OpenSSL 3.5 or later.\n' : '';
  const encrypts = Object.values(state.opening?.inputs ?? {}).some(({ kind }) => kind === 'stated-request')
    ? '\nOpenSSL verifies a certificate only if it knows the key in it: an ML-KEM key from 3.5 on, a composite KEM in no release; `conclave cert verify certificate.pem issuer.pem` needs neither.\n' : '';
  return `
## 6. What the key signed

\`\`\`sh
${commands.join('\n')}
\`\`\`
${needs}${encrypts}`;
}

/** How the agent sees, with tools we did not write, that the envelope holds what the record says. Nothing to say where nothing was deposited. */
function escrowGuide({ deposit, backup }: State): string {
  if (!deposit || !backup) return '';
  const { agent, set, sha256: digest } = deposit.record;
  const kem = /^ML-KEM-\d+$/.test(agent.algorithm)
    ? `The agent opens it with OpenSSL 3.6 or newer (\`agent.key\` is the agent's private key; OpenSSL asks for its password). The backup key goes through a
pipe and is written nowhere; what is shown is the digest to which the split was committed before anybody had a share:

\`\`\`sh
{ printf 'conclave-backup-key/1'; printf '%s' '${set.id}' | b64d
  openssl cms -decrypt -binary -inform DER -in escrow.cms -inkey agent.key; } | openssl dgst -sha256 -binary | b64u; echo
# expected: ${backup.set.secret}
\`\`\``
    : `It is sealed to a composite key (${agent.algorithm}), which no release of OpenSSL knows: the agent opens it with \`conclave envelope open\`, or with another
implementation of draft-ietf-lamps-cms-composite-kem. The SHA-256 of "conclave-backup-key/1", the 16 bytes of the set's name and the 32 bytes that come out must be
\`${backup.set.secret}\` (base64url).`;
  return `
## 6. What was put into escrow

The envelope is the transcript's, and names the terms of \`escrow.json\` in its authenticated attributes: in words, and by the SHA-256 of that file without its last member.

\`\`\`sh
printf '"envelope":"%s"' "$(b64u < escrow.cms)" | grep -qFf - transcript.jsonl && echo "escrow.cms is the transcript's"
sha256sum escrow.cms
# expected: ${digest}
sed 's/,"sha256":"[0-9a-f]*"}$/}/' escrow.json | tr -d '\\n' | sha256sum
openssl asn1parse -inform DER -in escrow.cms | grep -A 6 -e contentHint -e contentIdentifier
\`\`\`

${kem}
`;
}

function stateWords(state: State): string {
  switch (state.phase) {
    case 'empty': return 'never opened';
    case 'open': return `unfinished in act ${currentAct(state) + 1}`;
    case 'aborted': return 'aborted';
    case 'closed': return 'closed';
  }
}
