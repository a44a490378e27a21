/** A key in escrow: the record and the envelope read strictly, each rule of deposit and release broken once, and what comes out at the end. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sha256 } from '@noble/hashes/sha2.js';
import { waitsUntil, type Consent } from '../../ceremonies/approvals.ts';
import { makeBundle, openFile } from '../../ceremonies/bundle.ts';
import { fromBase64url, fromUtf8, toBase64url, toHex, utf8 } from '../../ceremonies/bytes.ts';
import { check, EMPTY, type Data, type Entry } from '../../ceremonies/ceremony.ts';
import { claimsOn, NOTHING_DESTROYED } from '../../ceremonies/destruction.ts';
import { planDestruction } from '../../ceremonies/destroy-plan.ts';
import { escrowWords, readEscrowRecord, termsDigest, type EscrowRecord } from '../../ceremonies/escrow.ts';
import { envelopeFindings } from '../../ceremonies/escrow-envelope.ts';
import { inputFacts } from '../../ceremonies/inputs.ts';
import { foldInventory, type EscrowCopy, type JudgedRecord } from '../../ceremonies/inventory.ts';
import { readEnvelope, recipientOfKey, sealEnvelope, sealingRandomness, type Sealing } from '../../ceremonies/keys/envelope.ts';
import { readSubjectKey } from '../../ceremonies/keys/subject-key.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import { nativeHasher } from '../../electron/conductor/machine.ts';
import { at, edit, inside, type Loose, type Place } from './places.ts';
import { fileOf, rewritten, scriptedRecord, type ScriptedRecord } from './scripted.ts';

const ca = { algorithm: 'ecdsa-p384', place: 'token' } as const;
const deposited = await scriptedRecord({ script: 'escrow-deposit', ca });
const released = await scriptedRecord({ script: 'escrow-release', ca });
const bytesOf = (record: ScriptedRecord, name: string) => fromBase64url(record.state.opening?.inputs[name]?.bytes ?? assert.fail(name));

const BUNDLES = new Map<ScriptedRecord, ReadonlyMap<string, Uint8Array>>();
/** The files of a record's bundle, made once. */
function bundled(record: ScriptedRecord): ReadonlyMap<string, Uint8Array> {
  const files = BUNDLES.get(record) ?? openFile(makeBundle(record.lines, nativeHasher)).files ?? assert.fail();
  BUNDLES.set(record, files);
  return files;
}

// --- the record of an escrow -------------------------------------------------------------------------------------------

const sound = readEscrowRecord(bytesOf(released, 'escrow'));
const changed = (change: (record: Loose) => void): Uint8Array => {
  const copy = structuredClone(sound) as unknown as Loose;
  change(copy);
  return utf8(JSON.stringify(copy));
};

const FILES: readonly (readonly [rule: string | null, what: string, bytes: Uint8Array])[] = [
  [null, 'as it was', changed(() => undefined)],
  ['INPUT-ESCROW', 'no JSON', utf8('x')],
  ['INPUT-ESCROW', 'no UTF-8', new Uint8Array([0xff, 0xfe])],
  ['INPUT-ESCROW', 'another format', changed((r) => { r['format'] = 'conclave-escrow/2'; })],
  ['INPUT-ESCROW', 'a member too many', changed((r) => { r['secret'] = 'x'; })],
  ['INPUT-ESCROW', 'no conditions', changed((r) => { r['conditions'] = ''; })],
  ['INPUT-ESCROW', 'conditions of 201 characters', changed((r) => { r['conditions'] = 'x'.repeat(201); })],
  [null, 'conditions of 200 characters', changed((r) => { r['conditions'] = 'x'.repeat(200); })],
  ['INPUT-ESCROW', 'half a digest', changed((r) => { r['sha256'] = sound.sha256.slice(2); })],
  ['INPUT-ESCROW', 'an agent without a key', changed((r) => { r['agent'] = { name: 'Somebody' }; })],
  ['TEXT-PRINTABLE', 'words that hide something', changed((r) => { r['purpose'] = 'Continuity \u202e'; })],
];
for (const [rule, what, bytes] of FILES) {
  test(`a record: ${what} is ${rule ?? 'read'}`, () => {
    if (rule === null) assert.doesNotThrow(() => readEscrowRecord(bytes));
    else assert.throws(() => readEscrowRecord(bytes), (error) => error instanceof Refused && error.refusal.rule === rule);
  });
}

test('what the envelope says of itself fits into one line of 1000 characters, however long its terms are', () => {
  const longest: EscrowRecord = { ...sound, key: { ...sound.key, label: 'x'.repeat(64), algorithm: 'x'.repeat(48) }, agent: { ...sound.agent, name: 'x'.repeat(80) }, purpose: 'x'.repeat(200), authority: 'x'.repeat(200), conditions: 'x'.repeat(200) };
  assert.ok(escrowWords(longest).length <= 1000, `${escrowWords(longest).length}`);
});

test('what people hear before they approve: purpose, authority, conditions, agent', async () => {
  const facts = Object.fromEntries((await inputFacts({ kind: 'escrow', file: 'escrow.json', bytes: toBase64url(changed(() => undefined)) })).map(({ name, value }) => [name, value]));
  assert.deepEqual([facts['purpose'], facts['authority'], facts['conditions'], facts['agent']], [sound.purpose, sound.authority, sound.conditions, sound.agent.name]);
});

// --- the envelope ------------------------------------------------------------------------------------------------------

test('an envelope is the one of its terms, or every difference is named', () => {
  const agent = recipientOfKey(readSubjectKey(bytesOf(deposited, 'agent')));
  const sealed = (more: Partial<Sealing>): Uint8Array => {
    const sealing = { content: new Uint8Array(32), recipients: [agent], description: escrowWords(sound), contentIdentifier: termsDigest(sound), ...more };
    return sealEnvelope(sealing, new Uint8Array(sealingRandomness(sealing.recipients)).fill(7));
  };
  const envelope = bytesOf(released, 'envelope');
  assert.deepEqual(envelopeFindings(sound, envelope), []);
  assert.deepEqual(envelopeFindings(sound, sealed({})), []);
  const rows: readonly (readonly [string, Uint8Array, EscrowRecord, RegExp])[] = [
    ['other conditions', envelope, { ...sound, conditions: 'None' }, /Conditions: A written request/],
    ['another ceremony', envelope, { ...sound, ceremony: '00'.repeat(16) }, /^[0-9a-f]{64}$/],
    ['another agent', envelope, { ...sound, agent: { ...sound.agent, identifier: 'key 00' } }, /ML-KEM-768, key/],
    ['a longer content', sealed({ content: new Uint8Array(33) }), sound, /^33 bytes/],
    ['no words', sealEnvelope({ content: new Uint8Array(32), recipients: [agent] }, new Uint8Array(sealingRandomness([agent])).fill(7)), sound, /^no words$/],
  ];
  for (const [what, der, terms, found] of rows) {
    const findings = envelopeFindings(terms, der);
    assert.ok(findings.length > 0 && findings.every(({ rule }) => rule === 'ESCROW-TERMS'), what);
    assert.ok(findings.some((finding) => found.test(finding.found)), `${what}: ${JSON.stringify(findings.map((finding) => finding.found))}`);
  }
  // Whatever is damaged is a finding, and never an exception.
  for (let at = 0; at < envelope.length; at += 7) {
    const damaged = envelope.slice();
    damaged[at]! ^= 0x41;
    assert.doesNotThrow(() => envelopeFindings(sound, damaged));
  }
  assert.notDeepEqual(envelopeFindings(sound, envelope.subarray(0, 200)), []);
});

// --- what may happen when ------------------------------------------------------------------------------------------------

const withConsent = ({ before, entry }: Place, change: Partial<Consent>): Place => ({ before: { ...before, consent: { ...before.consent, ...change } }, entry });
const opened = (change: (record: Loose, inputs: Loose, data: Loose) => void) => edit(at(released, 'opened'), (data) => {
  const inputs = data['inputs'] as Loose;
  const record = structuredClone(sound) as unknown as Loose;
  change(record, inputs, data);
  (inputs['escrow'] as Loose)['bytes'] = toBase64url(utf8(JSON.stringify(record)));
});
const begun = at(released, 'begun', 'release');
const done = at(released, 'done', 'release');
const { before: waiting } = at(released, 'done', 'wait');
const sealing = at(deposited, 'begun', 'deposit');
const sealed = at(deposited, 'done', 'deposit');
const inEarnest = ({ before, entry }: Place): Place => ({ before: { ...before, opening: { ...before.opening!, mode: 'real' } }, entry });
const waited = inEarnest(at(released, 'done', 'wait'));
const until = waitsUntil(waited.before, 72) ?? assert.fail('nobody has approved');
const approving = at(released, 'done', 'approve/custodian-1');

const ROWS: readonly (readonly [rule: string | null, what: string, place: Place])[] = [
  [null, 'as it was', opened(() => undefined)],
  ['ESCROW-ENVELOPE', 'another envelope', opened((r) => { r['sha256'] = '00'.repeat(32); })],
  ['ESCROW-OF-BACKUP', 'an escrow of another key', opened((r) => { (r['key'] as Loose)['identity'] = 'SHA-256 of SubjectPublicKeyInfo 00'; })],
  ['ESCROW-OF-BACKUP', 'an escrow of an older split', opened((r) => { (r['set'] as Loose)['epoch'] = 0; })],
  ['ESCROW-OF-BACKUP', 'an escrow of another split', opened((r) => { (r['set'] as Loose)['id'] = 'A'.repeat(22); })],
  ['ESCROW-MODE', 'an escrow of a real key in a rehearsal', opened((r) => { r['mode'] = 'real'; })],
  ['BACKUP-MODE', 'a rehearsal\'s backup in a real ceremony', opened((_r, _inputs, data) => { data['mode'] = 'real'; })],
  ['INPUTS-COMPLETE', 'no envelope', opened((_r, inputs) => { delete inputs['envelope']; })],
  ['INPUT-ESCROW', 'a record that cannot be read', opened((r) => { r['format'] = 'x'; })],

  ['APPROVAL-STATEMENT', 'an approval of another reason', { ...approving, before: { ...approving.before, current: { ...approving.before.current!, step: { ...approving.before.current!.step, do: { action: 'approve', escrow: 'escrow', reason: 'Another', days: 30 } } } } }],
  ['APPROVAL-STATEMENT', 'an approval over another escrow', { ...approving, before: { ...approving.before, opening: (opened((r) => { r['conditions'] = 'None'; }).entry as Entry<'opened'>).data } }],
  ['APPROVAL-STATEMENT', 'somebody else\'s approval', inside(approving, (e) => { e['statement'] = ((at(released, 'done', 'approve/custodian-2').entry.data as Data<'done'>).evidence)['statement']; })],
  ['APPROVAL-EXPIRED', 'an approval for ever', inside(at(released, 'begun', 'approve/custodian-1'), (i) => { i['expires'] = '2036-01-01T00:00:00.000Z'; })],
  ['APPROVED-BY-ALL', 'one approval is missing', withConsent(at(released, 'done', 'wait'), { approvals: waiting.consent.approvals.slice(1) })],
  ['APPROVED-BY-ALL', 'one person three times', withConsent(at(released, 'done', 'wait'), { approvals: [0, 0, 0].map((n) => waiting.consent.approvals[n]!) })],
  ['WAITING-PERIOD', 'a moment too early', edit(waited, (_, entry) => { entry['at'] = new Date(Date.parse(until) - 1).toISOString(); })],
  [null, 'at the very moment', edit(waited, (_, entry) => { entry['at'] = until; })],

  ['WAITING-PERIOD', 'released while everybody waits', withConsent(begun, { waited: false })],
  ['APPROVAL-EXPIRED', 'released after an approval ended', withConsent(begun, { approvals: begun.before.consent.approvals.map((approval, i) => (i === 0 ? { ...approval, expires: begun.entry.at } : approval)) })],
  ['RIGHT-PERSON', 'somebody else than the agent', edit(begun, (_, entry) => { entry['by'] = 'custodian-2'; })],
  ['TOKEN-BOUND', 'another token', inside(begun, (i) => { i['token'] = 'TOKEN-other'; })],
  ['ESCROW-ENVELOPE', 'another envelope is opened', inside(begun, (i) => { i['envelope'] = '00'.repeat(32); })],
  ['KEY-BOUND', 'another label', inside(begun, (i) => { i['label'] = 'Another'; })],
  ['KEY-PARTS', 'a CKA_ID too many', inside(begun, (i) => { i['ids'] = ['00', '01']; })],
  ['KEY-ONCE', 'released twice', { ...begun, before: { ...begun.before, key: released.state.key } }],
  ['ID-FRESH', 'a CKA_ID that was used before', { ...begun, before: { ...begun.before, ids: ((begun.entry.data as Data<'begun'>).intent)['ids'] as string[] } }],
  ['ESCROW-AGENT', 'opened by somebody else', inside(done, (e) => { e['agent'] = '00'.repeat(32); })],
  ['TOKEN-BOUND', 'released elsewhere', inside(done, (e) => { e['token'] = 'TOKEN-other'; })],
  ['PUBLIC-PARAMETERS', 'another key', inside(done, (e) => { e['spki'] = 'AAAA'; })],
  ['PROOF-OF-POSSESSION', 'an older message was signed', inside(done, (e) => { (e['possession'] as Loose)['message'] = 'AAAA'; })],
  ['ATTRIBUTES-AS-SCRIPTED', 'a token that says the key was always there', inside(done, (e) => { ((e['parts'] as Loose[])[0]!['private'] as Loose)['local'] = true; })],
  ['LOCKED', 'a token that would wrap it again, in a real ceremony', inside(inEarnest(done), (e) => { e['enforced'] = false; })],
  ['INVENTORY-EXPLAINED', 'something else on the token', inside(at(released, 'done', 'token-after'), (e) => { (e['objects'] as Loose[]).push({ class: 'data', id: '', label: 'stray', keyType: '' }); })],

  ['QUORUM-OF-PERSONS', 'too few custodians', inside(sealing, (i) => { i['quorum'] = ['custodian-1', 'witness']; })],
  ['READ-BACK-EVERY-SHARE', 'a share that nobody read', { ...sealing, before: { ...sealing.before, backup: { ...sealing.before.backup!, given: { ...sealing.before.backup!.given, 'custodian-1': { ...sealing.before.backup!.given['custodian-1']!, readBack: false } } } } }],
  ['SHARE-SET', 'another set', inside(sealing, (i) => { i['set'] = 'A'.repeat(22); })],
  ['CARD-BOUND', 'a custodian with another card', inside(sealed, (e) => { (e['quorum'] as Loose[])[0]!['card'] = 'SHARE-elsewhere'; })],
  ['PROOF-OF-POSSESSION', 'an older message was signed for the deposit', inside(sealed, (e) => { (e['possession'] as Loose)['message'] = 'AAAA'; })],
  ['EVIDENCE-MATCHES-ACTION', 'a secret beside the envelope', inside(sealed, (e) => { e['key'] = 'AAAA'; })],
];
for (const [rule, what, { before, entry }] of ROWS) {
  test(`${rule ?? 'allowed'}: ${what}`, () => {
    const refusal = check(before, entry);
    assert.equal(refusal?.rule ?? null, rule, JSON.stringify(refusal));
    if (refusal) for (const part of [refusal.expected, refusal.next]) assert.notEqual(part, '');
  });
}

test('what a row changes was allowed before it was changed', () => {
  for (const record of [deposited, released]) record.entries.forEach((entry, index) => assert.equal(check(record.before[index] ?? EMPTY, entry), null));
});

test('a crash in the middle of a release: somebody looks; a deposit is begun again', async () => {
  for (const [found, decision, kinds] of [['half', 'clear', ['found', 'decided', 'cleared', 'begun', 'done']], ['present', 'keep', ['found', 'decided', 'done']]] as const) {
    const { entries, state } = await scriptedRecord({ script: 'escrow-release', ca, happenings: { release: [{ kind: 'crash', found, decision }] } });
    assert.equal(state.phase, 'closed');
    const from = entries.findIndex((entry) => entry.kind === 'found');
    assert.deepEqual(entries.slice(from).filter((entry) => entry.step === 'release' && entry.kind !== 'witnessed').map((entry) => entry.kind), kinds);
  }
  const again = await scriptedRecord({ script: 'escrow-deposit', ca, happenings: { deposit: [{ kind: 'crash' }] } });
  assert.deepEqual([again.state.phase, again.entries.filter(({ step, kind }) => step === 'deposit' && kind !== 'witnessed').map(({ kind }) => kind)], ['closed', ['begun', 'begun', 'done']]);
});

// --- whole records -----------------------------------------------------------------------------------------------------

const rulesOf = async (record: ScriptedRecord, step: string | null, change: (data: Loose) => void): Promise<string[]> => {
  const lines = rewritten(record, (entry) => {
    if (step === null ? entry.kind !== 'opened' : entry.kind !== 'done' || entry.step !== step) return entry;
    const copy = structuredClone(entry);
    change((step === null ? copy.data : (copy as Entry<'done'>).data.evidence));
    return copy;
  });
  return (await verifyTranscript(fileOf(lines), { hasher: nativeHasher })).verdict.findings.map(({ rule }) => rule);
};

test('the auditor sees who an envelope is sealed to, what it says, and that the key is the key', async () => {
  for (const record of [deposited, released]) assert.deepEqual((await verifyTranscript(record.bytes, { hasher: nativeHasher })).verdict.findings, []);
  const other = recipientOfKey(readSubjectKey(bytesOf(deposited, 'agent')));
  const forged = (words: string) => toBase64url(sealEnvelope({ content: new Uint8Array(32), recipients: [other], description: words, contentIdentifier: termsDigest(deposited.state.deposit!.record) }, new Uint8Array(sealingRandomness([other])).fill(3)));
  const words = escrowWords(deposited.state.deposit!.record);
  assert.ok(!(await rulesOf(deposited, 'deposit', (e) => { e['envelope'] = forged(words); })).includes('ESCROW-TERMS'), 'what is inside nobody outside can tell: only that it says the right thing');
  assert.ok((await rulesOf(deposited, 'deposit', (e) => { e['envelope'] = forged(`${words} Or whenever somebody asks.`); })).includes('ESCROW-TERMS'));
  assert.ok((await rulesOf(deposited, 'deposit', (e) => { (e['agent'] as Loose)['sha256'] = '00'.repeat(32); })).includes('ESCROW-AGENT'));
  assert.ok((await rulesOf(deposited, 'deposit', (e) => { e['envelope'] = 'AAAA'; })).includes('DER-STRUCTURE'));
  const spoil = (e: Loose) => { const p = e['possession'] as Loose; const bytes = fromBase64url(p['signature'] as string); bytes[bytes.length - 1]! ^= 1; p['signature'] = toBase64url(bytes); };
  assert.ok((await rulesOf(deposited, 'deposit', spoil)).includes('PROOF-OF-POSSESSION'));
  assert.ok((await rulesOf(released, 'release', spoil)).includes('PROOF-OF-POSSESSION'));
  assert.ok((await rulesOf(released, null, (data) => {
    const escrow = (data['inputs'] as Record<string, Loose>)['escrow']!;
    escrow['bytes'] = toBase64url(changed((r) => { r['conditions'] = 'None'; }));
  })).includes('ESCROW-TERMS'), 'conditions that the envelope does not have');
});

test('the bundle holds record and envelope; the commands of VERIFY.md find them in the transcript', () => {
  const files = bundled(deposited);
  const record = readEscrowRecord(files.get('escrow.json') ?? assert.fail('no escrow.json'));
  const envelope = files.get('escrow.cms') ?? assert.fail('no escrow.cms');
  assert.deepEqual(record, deposited.state.deposit?.record);
  assert.equal(record.sha256, toHex(sha256(envelope)));
  assert.deepEqual(envelopeFindings(record, envelope), []);
  assert.equal(readEnvelope(envelope).encryptedContent?.length, 32);
  const guide = fromUtf8(files.get('VERIFY.md') ?? assert.fail());
  const folder = mkdtempSync(join(tmpdir(), 'conclave-escrow-'));
  try {
    for (const name of ['escrow.json', 'escrow.cms', 'transcript.jsonl']) writeFileSync(join(folder, name), files.get(name)!);
    const [commands = ''] = /(?<=## 6\. What was put into escrow[\s\S]*?```sh\n)[\s\S]*?(?=```)/.exec(guide) ?? [];
    writeFileSync(join(folder, 'run'), `b64u() { openssl base64 -A | tr '/+' '_-' | tr -d '='; }\n${commands}`);
    const told = execFileSync('sh', ['run'], { cwd: folder, encoding: 'utf8' });
    assert.match(told, /^escrow\.cms is the transcript's$/m);
    assert.ok(told.includes(`${record.sha256}  escrow.cms`) && told.includes(`${toHex(termsDigest(record))}  -`) && told.includes(toHex(termsDigest(record)).toUpperCase()) && told.includes(record.conditions), told);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const after = bundled(released);
  assert.ok(!after.has('escrow.cms') && after.has('inputs/envelope.cms'));
  assert.match(fromUtf8(after.get('minutes.html')!), /released from escrow/);
});

test('the inventory counts an escrow as a copy, tells of its release, and a destruction has the agent asked', async () => {
  const judged = async (record: ScriptedRecord): Promise<JudgedRecord> => ({ verdict: (await verifyTranscript(record.bytes, { hasher: nativeHasher })).verdict, lines: record.lines });
  const [key] = foldInventory([await judged(deposited)], nativeHasher).keys;
  const [copy] = (key?.copies ?? []).filter((one): one is EscrowCopy => one.kind === 'escrow');
  assert.deepEqual([copy?.agent, copy?.sha256, copy?.released], ['Example Escrow Agent', deposited.state.deposit?.record.sha256, null]);
  assert.ok(key?.whoCan.some((who) => /escrow agent/.test(who)));
  const inventory = foldInventory([await judged(released)], nativeHasher);
  const out = inventory.keys.find(({ copies }) => copies.some(({ kind }) => kind === 'escrow')) ?? assert.fail('no escrow');
  assert.equal(out.copies.find((one): one is EscrowCopy => one.kind === 'escrow')?.released?.seq, done.entry.seq);
  assert.ok(out.events.some(({ what }) => /released from escrow with Example Escrow Agent onto token TOKEN-new-hsm, approved by .*Bela Custis.*: The conditions of the escrow are met/.test(what)), JSON.stringify(out.events));
  const list = planDestruction(inventory, out, { people: [], retention: [], despite: '' });
  const at1 = list.copies.findIndex(({ what }) => /in escrow with/.test(what));
  assert.equal(list.copies[at1]?.by.means, 'people');
  assert.equal(claimsOn({ ...NOTHING_DESTROYED, list, outcomes: { [at1 + 1]: { result: 'done-by-people', words: 'asked' } } }).claims[at1]?.level, 'L0', 'the agent\'s word, and nothing more');
});

test('nothing of the backup key stands in a record or a bundle', () => {
  const secret = sha256(utf8('scripted backup key'));
  for (const record of [deposited, released]) {
    const text = fromUtf8(record.bytes);
    for (const form of [toBase64url(secret), toHex(secret), Buffer.from(secret).toString('base64')]) assert.ok(!text.includes(form));
    for (const [name, bytes] of bundled(record)) assert.equal(Buffer.from(bytes).indexOf(Buffer.from(secret)), -1, name);
  }
  assert.ok(readFileSync(import.meta.filename, 'utf8').includes('scripted backup key'), 'the words that the scripted room makes it of');
});
