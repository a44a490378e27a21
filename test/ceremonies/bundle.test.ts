/**
 * The bundle: the same bytes for the same record, every file held against the transcript, no archive that means two things,
 * and a VERIFY.md whose commands are run here, word for word, with tools that are not ours.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { zipSync } from 'fflate';
import { concat, fromUtf8, toHex, utf8 } from '../../ceremonies/bytes.ts';
import { bundleRemarks, checkBundle, makeBundle, openFile } from '../../ceremonies/bundle.ts';
import type { Entry } from '../../ceremonies/ceremony.ts';
import { keyReference, readKeyRecord } from '../../ceremonies/key-record.ts';
import { parseGeneral } from '../../ceremonies/keys/jws.ts';
import { pem } from '../../ceremonies/keys/signed.ts';
import { foldRecord, minutesHtml } from '../../ceremonies/minutes.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { SEED } from './keys/seed.ts';
import { witnessOpenssl } from '../witness.ts';
import { rewritten, scriptedRecord, type RecordOptions } from './scripted.ts';

const mini = await scriptedRecord({ script: 'mini' });
const whole = await scriptedRecord({ happenings: { certify: [{ kind: 'crash', officer: 'another' }, { kind: 'disagree', seat: 'witness' }] } });
/** What the scripts beside root-ca leave: the halves of a composite, and what keys that were there before have signed. */
const classicalCa = { algorithm: 'ecdsa-p384', place: 'token' } as const;
const OTHERS: Readonly<Record<string, { readonly options: RecordOptions; readonly files: readonly string[] }>> = {
  'composite-ca': {
    options: { script: 'composite-ca', place: 'split' },
    files: ['backup.json', 'certificate.der', 'certificate.pem', 'key.json', 'wrapped-key-ml-dsa.bin', 'wrapped-key-ml-dsa.json', 'wrapped-key-traditional.bin', 'wrapped-key-traditional.json'],
  },
  recovery: { options: { script: 'recovery' }, files: ['issuer.der', 'issuer.pem', 'key.json', 'inputs/backup.json'] },
  'recovery-rehearsal': { options: { script: 'recovery-rehearsal' }, files: ['inputs/backup.json'] },
  'custodian-change': { options: { script: 'custodian-change' }, files: ['backup.json', 'inputs/backup.json'] },
  'pq-root': { options: { script: 'pq-root' }, files: ['backup.json', 'certificate.der', 'certificate.pem', 'key.json', 'wrapped-key.bin', 'wrapped-key.json'] },
  intermediate: {
    options: { script: 'intermediate', ca: classicalCa },
    files: ['certificate.der', 'certificate.pem', 'inputs/ca.json', 'inputs/request.csr', 'issuer.der', 'issuer.pem'],
  },
  'encryption-certificate': {
    options: { script: 'encryption-certificate', ca: classicalCa },
    files: ['certificate.der', 'certificate.pem', 'inputs/ca.json', 'inputs/request.csr', 'issuer.der', 'issuer.pem'],
  },
  'cross-sign': {
    options: { script: 'cross-sign', ca: classicalCa },
    files: ['certificate.der', 'certificate.pem', 'inputs/ca.json', 'inputs/other.crt', 'issuer.der', 'issuer.pem'],
  },
  crl: { options: { script: 'crl', ca: classicalCa }, files: ['crl.der', 'crl.pem', 'inputs/ca.json', 'inputs/revocations.csv', 'issuer.der', 'issuer.pem'] },
  'custody-movement': { options: { script: 'custody-movement' }, files: ['inputs/movements.csv'] },
};
const others = new Map(await Promise.all(Object.entries(OTHERS).map(async ([name, { options }]) => [name, await scriptedRecord(options)] as const)));
const bundle = makeBundle(whole.lines);
const small = makeBundle(mini.lines);
const filesOf = (bytes: Uint8Array): Map<string, Uint8Array> => new Map(openFile(bytes).files ?? assert.fail('a bare transcript'));
const rules = (files: ReadonlyMap<string, Uint8Array>, lines = whole.lines) => checkBundle(files, lines).map((refusal) => refusal.rule);
const ruleOf = (bytes: Uint8Array) => {
  try {
    openFile(bytes);
    return '';
  } catch (error) {
    assert.ok(error instanceof Refused, String(error));
    return error.refusal.rule;
  }
};

const temporary: string[] = [];
after(() => temporary.forEach((folder) => rmSync(folder, { recursive: true })));
function unpacked(bytes: Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), 'conclave-bundle-'));
  temporary.push(folder);
  for (const [name, content] of filesOf(bytes)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

// --- what is in it -------------------------------------------------------------------------------------------------------

test('a bundle holds the transcript and everything that follows from it', () => {
  const { transcript, files } = openFile(bundle);
  assert.deepEqual(transcript, whole.bytes);
  const people = ['auditor', 'custodian-1', 'custodian-2', 'custodian-3', 'officer', 'officer-2', 'witness'];
  assert.deepEqual([...files?.keys() ?? []], [
    'VERIFY.md', 'backup.json', 'certificate.der', 'certificate.pem',
    'key.json', ...people.flatMap((seat) => [`keys/${seat}-classical.pem`, `keys/${seat}-ml-dsa-65.pem`]).sort(), 'keys/recorder-1.pem', 'keys/recorder-2.pem',
    'manifest.json', 'minutes.html', 'script.yaml',
    ...[1, 2, 3, 4, 5, 6].map((act) => `seals/act-${act}.jws.json`), `seals/disagreement-${whole.entries.find((entry) => entry.kind === 'disagreed')?.seq ?? ''}.jws.json`,
    ...people.map((seat) => `seals/presence-${seat}.jws.json`), 'seals/resume-1.jws.json',
    'transcript.jsonl', 'wrapped-key.bin', 'wrapped-key.json',
  ].sort());
  assert.deepEqual(rules(files ?? new Map()), []);
});

test('its files are what they are called', () => {
  const files = filesOf(bundle);
  const text = (name: string) => fromUtf8(files.get(name) ?? assert.fail(name));
  assert.equal(text('script.yaml'), whole.state.script?.text);
  assert.equal(text('minutes.html'), minutesHtml(foldRecord(whole.lines)));
  const certificate = new X509Certificate(text('certificate.pem'));
  assert.deepEqual(new Uint8Array(certificate.raw), files.get('certificate.der'));
  assert.ok(certificate.verify(certificate.publicKey));
  const about = JSON.parse(text('wrapped-key.json')) as { standard: string; set: { id: string }; key: { spki: { sha256: string } } };
  assert.equal(about.standard, 'RFC 5649');
  assert.equal(about.set.id, whole.state.backup?.set.id);
  assert.equal(about.key.spki.sha256, createHash('sha256').update(certificate.publicKey.export({ format: 'der', type: 'spki' })).digest('hex'));
  for (const [name] of files) if (name.startsWith('seals/')) assert.equal(parseGeneral(text(name).trimEnd()).signatures.length, /presence|disagreement/.test(name) ? 2 : 12, name);
  const manifest = JSON.parse(text('manifest.json')) as Record<string, string>;
  assert.equal(Object.keys(manifest).length, files.size - 1);
  for (const [name, digest] of Object.entries(manifest)) assert.equal(digest, toHex(new Uint8Array(createHash('sha256').update(files.get(name) ?? '').digest())));
});

test('each of the other scripts leaves its result, the files that were brought, and nothing else', () => {
  for (const [name, { files: wanted }] of Object.entries(OTHERS)) {
    const { lines } = others.get(name) ?? assert.fail(name);
    const files = filesOf(makeBundle(lines));
    const common = ['VERIFY.md', 'manifest.json', 'minutes.html', 'script.yaml', 'transcript.jsonl'];
    assert.deepEqual([...files.keys()].filter((file) => !/^(?:keys|seals)\//.test(file)).sort(), [...wanted, ...common].sort(), name);
    assert.deepEqual(rules(files, lines), [], name);
    for (const file of wanted) {
      const lied = new Map(files);
      lied.set(file, concat(lied.get(file) ?? assert.fail(file), utf8('\n')));
      assert.ok(rules(lied, lines).includes('BUNDLE-DERIVED'), `${name}: ${file}`);
    }
  }
});

test('the key record of a bundle is what the next ceremony brings, and a wrapped half says which it is', () => {
  const made = others.get('composite-ca') ?? assert.fail();
  const files = filesOf(makeBundle(made.lines));
  const record = readKeyRecord(files.get('key.json') ?? assert.fail());
  assert.deepEqual(record.key, keyReference(made.state.key ?? assert.fail()));
  assert.equal(record.certificate, Buffer.from(files.get('certificate.der') ?? '').toString('base64url'));
  for (const [index, part] of (['ml-dsa', 'traditional'] as const).entries()) {
    const about = JSON.parse(fromUtf8(files.get(`wrapped-key-${part}.json`) ?? assert.fail())) as { key: { part: string; algorithm: string; of: string; spki: { sha256: string } } };
    assert.deepEqual([about.key.part, about.key.algorithm, about.key.of], [part, ['ml-dsa-65', 'ecdsa-p256'][index], 'MLDSA65-ECDSA-P256-SHA512']);
    assert.equal(about.key.spki.sha256, createHash('sha256').update(Buffer.from(record.key.parts[index]?.spki ?? '', 'base64url')).digest('hex'));
  }
  const opened = others.get('crl') ?? assert.fail();
  assert.deepEqual(filesOf(makeBundle(opened.lines)).get('inputs/ca.json'), new Uint8Array(Buffer.from(opened.state.opening?.inputs['ca']?.bytes ?? '', 'base64url')));
});

test('the same record gives the same bundle, in every time zone', () => {
  const zone = process.env['TZ'];
  try {
    for (const other of ['UTC', 'Asia/Kathmandu', 'America/St_Johns']) {
      process.env['TZ'] = other;
      assert.deepEqual(makeBundle(mini.lines), small);
    }
  } finally {
    if (zone === undefined) delete process.env['TZ'];
    else process.env['TZ'] = zone;
  }
});

test('records without an end have a bundle, records that break a rule have none', async () => {
  const open = whole.lines.slice(0, 20);
  assert.deepEqual(rules(filesOf(makeBundle(open)), open), []);
  const aborted = await scriptedRecord({ script: 'mini', happenings: { 'enrol/witness': [{ kind: 'abort' }] } });
  assert.deepEqual(rules(filesOf(makeBundle(aborted.lines)), aborted.lines), []);
  const lied = rewritten(whole, (entry) => (entry.kind === 'witnessed' ? { ...entry, by: 'officer' } : entry));
  assert.throws(() => makeBundle(lied), (error) => error instanceof Refused && error.refusal.rule === 'WITNESS-NOT-DOER');
  assert.throws(() => makeBundle(['no entry']), (error) => error instanceof Refused && error.refusal.rule === 'ENTRY-MALFORMED');
});

// --- held against the transcript -----------------------------------------------------------------------------------------

/** The files with one change, and a manifest that agrees with it: as somebody would do who wants to deceive. */
function touched(change: (files: Map<string, Uint8Array>) => void): Map<string, Uint8Array> {
  const files = filesOf(bundle);
  change(files);
  const listed = [...files].filter(([name]) => name !== 'manifest.json').sort(([a], [b]) => (a < b ? -1 : 1));
  files.set('manifest.json', utf8(`${JSON.stringify(Object.fromEntries(listed.map(([name, content]) => [name, createHash('sha256').update(content).digest('hex')])))}\n`));
  return files;
}

test('any other file than the one that follows from the transcript is BUNDLE-DERIVED, however well listed', () => {
  for (const name of filesOf(bundle).keys()) {
    if (name === 'manifest.json' || name === 'transcript.jsonl') continue;
    const files = touched((all) => all.set(name, concat(all.get(name) ?? assert.fail(), utf8('\n'))));
    assert.deepEqual(rules(files), ['BUNDLE-DERIVED'], name);
  }
});

test('a file that is missing is BUNDLE-MISSING, one too many BUNDLE-EXTRA', () => {
  assert.deepEqual(rules(touched((files) => files.delete('certificate.der'))), ['BUNDLE-MISSING']);
  assert.deepEqual(rules(touched((files) => files.set('README.md', utf8('Trust me.')))), ['BUNDLE-EXTRA']);
  const files = filesOf(bundle);
  files.delete('manifest.json');
  assert.deepEqual(rules(files), ['BUNDLE-MISSING']);
});

test('a manifest that does not list what is there is BUNDLE-MANIFEST', () => {
  const manifest = fromUtf8(filesOf(bundle).get('manifest.json') ?? assert.fail());
  const others = [
    manifest.trimEnd(), ` ${manifest}`, '', 'null\n', '[]\n', '{}\n', manifest.replace(/"script\.yaml":"./, '"script.yaml":"x'), manifest.replace('"script.yaml"', '"Script.yaml"'),
    manifest.replace('{', '{"__proto__":"x",'), '\ud800',
  ];
  for (const other of others) {
    const files = filesOf(bundle);
    files.set('manifest.json', new TextEncoder().encode(other));
    const found = new Set(rules(files));
    assert.deepEqual([...found], ['BUNDLE-MANIFEST'], other.slice(0, 40));
  }
});

test('files of another record do not pass', () => {
  assert.ok(new Set(rules(filesOf(small), whole.lines)).has('BUNDLE-DERIVED'));
  assert.deepEqual(rules(filesOf(small), mini.lines), []);
});

test('a transcript that cannot be read ends as findings, not as a throw', () => {
  for (const lines of [[], ['x'], [...whole.lines.slice(0, 5), 'x'], [whole.lines[1] ?? '']]) assert.ok(rules(filesOf(bundle), lines).length > 0);
});

test('prose of another edition is a remark, prose of ours that differs is a lie', () => {
  const other = touched((files) => files.set('minutes.html', utf8('<!doctype html><meta name="generator" content="conclave-minutes/0">')));
  assert.deepEqual(rules(other), []);
  assert.equal(bundleRemarks(other).length, 1);
  assert.deepEqual(bundleRemarks(filesOf(bundle)), []);
});

// --- archives that are none ------------------------------------------------------------------------------------------------

const zip = (files: Record<string, Uint8Array>, level: 0 | 6 = 6) => zipSync(files, { level, mtime: new Date(1980, 0, 1) });
const entry = utf8('{}\n');

/** Patches an archive: 'local' and 'central' are the first of their kind, 'end' the end of the directory. */
function patched(bytes: Uint8Array, where: 'local' | 'central' | 'end', offset: number, ...values: number[]): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const view = new DataView(copy.buffer);
  const base = where === 'local' ? 0 : where === 'end' ? copy.length - 22 : view.getUint32(copy.length - 6, true);
  copy.set(values, base + offset);
  return copy;
}

test('which of the two a file is, its first bytes say', () => {
  assert.deepEqual(openFile(mini.bytes), { transcript: mini.bytes, files: null });
  assert.ok(openFile(small).files);
  for (const bytes of [new Uint8Array(0), utf8('hello'), utf8(' {}'), utf8('\ufeff{}'), Uint8Array.of(0x1f, 0x8b)]) assert.equal(ruleOf(bytes), 'FILE-READABLE');
});

const ARCHIVES: readonly (readonly [what: string, bytes: Uint8Array, rule: string])[] = [
  ['a bundle without a transcript', zip({ 'script.yaml': entry }), 'BUNDLE-MISSING'],
  ['an empty archive', zip({}), 'BUNDLE-MISSING'],
  ...['../transcript.jsonl', '/transcript.jsonl', 'a/../b.txt', 'a/b/c.txt', 'C:\\x.txt', 'seals\\a.txt', '.hidden', 'a/.b', 'con', 'x.txt/', 'seals/', 'ü.txt', 'a b.txt', `${'x'.repeat(300)}.txt`, 'a\u0000.txt']
    .map((name) => [`a file called ${JSON.stringify(name).slice(0, 30)}`, zip({ 'transcript.jsonl': entry, [name]: entry }), name === 'ü.txt' ? 'BUNDLE-FORMAT' : 'BUNDLE-PATH'] as const),
  ['one name twice', (() => { const bytes = zip({ 'a.txt': entry, 'b.txt': entry }, 0); const text = Buffer.from(bytes).toString('latin1').replaceAll('b.txt', 'a.txt'); return new Uint8Array(Buffer.from(text, 'latin1')); })(), 'BUNDLE-NAMES-UNIQUE'],
  ['bytes after the end', concat(small, Uint8Array.of(0)), 'BUNDLE-FORMAT'],
  ['a comment', concat(patched(small, 'end', 20, 1, 0), utf8('!')), 'BUNDLE-FORMAT'],
  ['bytes in front', concat(utf8('PK'), small), 'BUNDLE-FORMAT'],
  ['a second archive behind the first', concat(small, small), 'BUNDLE-FORMAT'],
  ['an encrypted entry', patched(patched(small, 'local', 6, 1), 'central', 8, 1), 'BUNDLE-FORMAT'],
  ['another method', patched(patched(small, 'local', 8, 99), 'central', 10, 99), 'BUNDLE-FORMAT'],
  ['two names for one entry', patched(small, 'local', 30, 0x58), 'BUNDLE-FORMAT'],
  ['two sizes for one entry', patched(small, 'local', 22, 1, 0, 0, 0), 'BUNDLE-FORMAT'],
  ['a displaced entry', patched(small, 'central', 42, 4), 'BUNDLE-FORMAT'],
  ['an entry shorter than it says', patched(patched(small, 'local', 22, 0xff, 0xff), 'central', 24, 0xff, 0xff), 'BUNDLE-FORMAT'],
  ['an entry longer than it says', patched(patched(small, 'local', 22, 9, 0), 'central', 24, 9, 0), 'BUNDLE-FORMAT'],
  ['fewer entries than there are', patched(small, 'end', 8, 1, 0, 1, 0), 'BUNDLE-FORMAT'],
  ['more entries than there are', patched(small, 'end', 8, 99, 0, 99, 0), 'BUNDLE-FORMAT'],
  ['too many entries', patched(small, 'end', 8, 0xff, 0xff, 0xff, 0xff), 'BUNDLE-SIZE'],
  ['too many files', zip(Object.fromEntries(Array.from({ length: 2001 }, (_, index) => [`f${index}.txt`, entry]))), 'BUNDLE-SIZE'],
  ['a file made to fill a memory', zip({ 'transcript.jsonl': new Uint8Array(3_000_000) }), 'BUNDLE-SIZE'],
  ['a file that says it has four gigabytes', patched(patched(small, 'local', 22, 0xff, 0xff, 0xff, 0xff), 'central', 24, 0xff, 0xff, 0xff, 0xff), 'BUNDLE-SIZE'],
  ['the first half', small.subarray(0, small.length >> 1), 'BUNDLE-FORMAT'],
  ['the magic number alone', utf8('PK\u0003\u0004'), 'BUNDLE-FORMAT'],
];

for (const [what, bytes, rule] of ARCHIVES) test(`${what} is ${rule}`, () => assert.equal(ruleOf(bytes), rule));

test('property: no bytes make the reader throw anything but Refused', () => {
  const edit = fc.record({ at: fc.nat(), value: fc.nat(255) });
  fc.assert(fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), fc.boolean(), (edits, tail) => {
    const copy = Uint8Array.from(small);
    // Half of the changes go where the structure is: into the directory and its end.
    for (const { at, value } of edits) copy[tail ? copy.length - 1 - (at % 2000) : at % copy.length] = value;
    if (ruleOf(copy) === '') checkBundle(filesOf(copy), mini.lines);
  }), { seed: SEED, numRuns: 150 });
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void ruleOf(Uint8Array.of(0x50, 0x4b, 3, 4, ...bytes))), { seed: SEED });
});

test('property: whatever byte of a bundle is changed, it is refused, or it says the same', () => {
  const files = filesOf(small);
  fc.assert(fc.property(fc.nat(small.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
    const copy = Uint8Array.from(small);
    copy[at]! ^= flip;
    // A first byte `{` makes it a bare transcript, and no line of one.
    if (ruleOf(copy) !== '' || copy[0] === 0x7b) return;
    const other = filesOf(copy);
    const same = [...files].every(([name, content]) => Buffer.compare(content, other.get(name) ?? Buffer.alloc(0)) === 0) && other.size === files.size;
    const transcript = Buffer.compare(other.get('transcript.jsonl') ?? Buffer.alloc(0), mini.bytes) === 0;
    assert.ok(same || !transcript || checkBundle(other, mini.lines).length > 0 || bundleRemarks(other).length > 0);
  }), { seed: SEED, numRuns: 150 });
});

// --- VERIFY.md ---------------------------------------------------------------------------------------------------------------

const guide = (bytes: Uint8Array) => fromUtf8(filesOf(bytes).get('VERIFY.md') ?? assert.fail());
const blocks = (bytes: Uint8Array, language: string) => [...guide(bytes).matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].filter(([, kind]) => kind === language).map(([, , code = '']) => code);
const run = (folder: string, program: string, ...args: string[]) => execFileSync(program, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

test('the commands of VERIFY.md accept the bundle they came in', () => {
  const said = run(unpacked(small), 'sh', '-c', blocks(small, 'sh').filter((block) => !block.includes('check_ml_dsa()')).join('\n'));
  const count = (pattern: RegExp) => [...said.matchAll(pattern)].length;
  assert.ok(said.includes(`chain: ${mini.lines.length} entries, head ${mini.state.lastHash}`));
  assert.ok(said.includes(`checkpoints: ${mini.entries.filter((one) => one.kind === 'checkpoint').length} good, 0 bad`));
  assert.ok(said.includes(createHash('sha512').update(mini.bytes).digest('hex')));
  assert.equal(count(/: OK$/gm), filesOf(small).size - 1);
  assert.equal(count(/^act-1 covers entries 0 to \d+$/gm), 1);
  assert.equal(count(/^good: seals\/\S+ keys\/\S+-classical\.pem$/gm), 6, 'three signers of the seal, and presence three times');
  assert.doesNotMatch(said, /BAD|BROKEN|ANOTHER/);
});

test('the commands of VERIFY.md find the certificate of a bundle', () => {
  assert.match(resultsSaid(bundle), /certificate is the transcript's[\s\S]*CN\s?=\s?Example Root CA[\s\S]*certificate\.pem: OK/);
});

/** What the last block of VERIFY.md says, after the functions that it uses. Certificates are judged at the time of the record. */
function resultsSaid(bytes: Uint8Array, path = ''): string {
  const functions = blocks(bytes, 'sh').find((block) => block.includes('b64d()')) ?? '';
  const results = (blocks(bytes, 'sh').at(-1) ?? '').replaceAll('openssl verify', `openssl verify -attime ${Date.UTC(2026, 5, 1) / 1000}`);
  return run(unpacked(bytes), 'sh', '-c', `${path === '' ? '' : `PATH='${path}':$PATH\n`}${functions.split('prev=')[0] ?? ''}\n{ ${results} } 2>&1; true`);
}

test('the commands of VERIFY.md find what a key that was there before has signed', () => {
  const said = (name: string) => resultsSaid(makeBundle(others.get(name)?.lines ?? assert.fail(name)));
  assert.match(said('intermediate'), /certificate is the transcript's[\s\S]*CN\s?=\s?Example Issuing CA[\s\S]*certificate\.pem: OK/);
  assert.match(said('cross-sign'), /certificate is the transcript's[\s\S]*CN\s?=\s?Another Root CA[\s\S]*certificate\.pem: OK/);
  assert.match(said('crl'), /crl is the transcript's[\s\S]*CN\s?=\s?Example CA[\s\S]*verify OK/);
});

test('the commands of VERIFY.md verify the certificate of an ML-KEM key, with an OpenSSL that knows it', () => {
  const bytes = makeBundle(others.get('encryption-certificate')?.lines ?? assert.fail());
  assert.match(resultsSaid(bytes, dirname(witnessOpenssl())), /certificate is the transcript's[\s\S]*CN\s?=\s?Example Holder[\s\S]*certificate\.pem: OK/);
  assert.match(fromUtf8(filesOf(bytes).get('VERIFY.md') ?? assert.fail()), /ML-KEM key from 3\.5 on/);
});

test('section 6 of VERIFY.md says no to a CRL that somebody touched', () => {
  const bytes = makeBundle(others.get('crl')?.lines ?? assert.fail());
  const files = filesOf(bytes);
  const der = Uint8Array.from(files.get('crl.der') ?? assert.fail());
  // The signature's last byte: still DER.
  der[der.length - 1]! ^= 1;
  files.set('crl.der', der);
  files.set('crl.pem', utf8(pem('X509 CRL', der)));
  const said = resultsSaid(zip(Object.fromEntries(files)));
  assert.match(said, /Example CA/);
  assert.doesNotMatch(said, /is the transcript's|verify OK/);
});

test('a key that is made and issues in one ceremony: its own certificate comes first, the other has a name of its own', async () => {
  const issuing = (whole.state.script?.text ?? '')
    .replace(/^people:/m, 'inputs:\n  request: { ask: A request, kind: request }\n\npeople:')
    .replace(/^  - act: The backup$/m, [
      '  - act: The subordinate', '    minutes: 5', '    steps:',
      '      - { id: compare-request, who: officer, title: Compare, do: { confirm-input: { input: request } } }',
      '      - { id: certify-sub, who: officer, title: Issue, do: { issue-certificate: { key: root, for: request, years: 2 } } }', '', '$&',
    ].join('\n'));
  const { lines, state } = await scriptedRecord({ script: issuing });
  const bytes = makeBundle(lines);
  const files = filesOf(bytes);
  assert.deepEqual(rules(files, lines), []);
  assert.deepEqual(files.get('certificate.der'), new Uint8Array(Buffer.from(state.key?.certificate ?? '', 'base64url')));
  assert.deepEqual(files.get('certificate-2.der'), new Uint8Array(Buffer.from(state.issued[0]?.bytes ?? '', 'base64url')));
  assert.match(resultsSaid(bytes), /^certificate is the transcript's[\s\S]*certificate\.pem: OK[\s\S]*^certificate-2 is the transcript's[\s\S]*certificate-2\.pem: OK/m);
});

test('a current OpenSSL verifies the post-quantum root; of a composite it finds the bytes, and the page says who checks the rest', () => {
  const path = dirname(witnessOpenssl());
  const [pq, composite] = ['pq-root', 'composite-ca'].map((name) => makeBundle(others.get(name)?.lines ?? assert.fail(name)));
  assert.match(resultsSaid(pq ?? assert.fail(), path), /certificate is the transcript's[\s\S]*CN\s?=\s?Example Post-quantum Root CA[\s\S]*certificate\.pem: OK/);
  assert.ok(guide(composite ?? assert.fail()).includes('1.3.6.1.5.5.7.6.45 (lamps-composite-sigs-19)'));
  const said = resultsSaid(composite ?? assert.fail(), path);
  assert.match(said, /certificate is the transcript's[\s\S]*CN\s?=\s?Example Composite Root CA/);
  assert.doesNotMatch(said, /: OK/, 'this OpenSSL knows composites: let the page say so');
});

test('the commands of VERIFY.md notice what was touched', () => {
  const folder = unpacked(small);
  const lines = rewritten(mini, (one) => (one.kind === 'opened' ? { ...one, data: { ...one.data, clock: 'another clock' } } as Entry : one)).map((line) => `${line}\n`);
  writeFileSync(join(folder, 'transcript.jsonl'), lines.map((line, index) => (index === 3 ? line.replace(/"signature":"..../, '"signature":"AAAA') : line)).join(''));
  const said = run(folder, 'sh', '-c', `${blocks(small, 'sh').filter((block) => !block.includes('check_ml_dsa()')).join('\n')} 2>&1`);
  assert.match(said, /transcript\.jsonl: FAILED/);
  assert.match(said, /BROKEN at entry 4/);
  assert.match(said, /BAD checkpoint: entry 3/);
  assert.match(said, /act-1 covers ANOTHER record/);
});

test('the script of VERIFY.md verifies both signatures of everybody with jose, ML-DSA too', () => {
  const folder = unpacked(bundle);
  writeFileSync(join(folder, 'verify.mjs'), blocks(bundle, 'js').join('\n'));
  symlinkSync(join(import.meta.dirname, '../../node_modules'), join(folder, 'node_modules'));
  const said = run(folder, process.execPath, '--no-warnings', 'verify.mjs');
  const seals = [...filesOf(bundle).keys()].filter((name) => name.startsWith('seals/'));
  assert.equal([...said.matchAll(/^good: /gm)].length, seals.length);
  assert.match(said, /^good: act-6\.jws\.json 12$/m);
  assert.doesNotMatch(said, /MISSING/);
});
