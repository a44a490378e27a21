/**
 * The verdict against every way to touch a record: each byte changed, lines removed, doubled, swapped, cut off, signatures
 * stripped or taken from elsewhere, entries re-sealed under a key that nobody introduced. And against somebody who holds the
 * recorder's key and writes another key, certificate or CRL into a record that is otherwise whole.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { verifyFile, verifyTranscript, type Verdict } from '../../ceremonies/verify.ts';
import { encodeLine, parseLine } from '../../ceremonies/transcript.ts';
import { check, type Entry } from '../../ceremonies/ceremony.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { makeBundle } from '../../ceremonies/bundle.ts';
import { nativeHasher } from '../../electron/conductor/machine.ts';
import { fromBase64url, fromUtf8, toBase64url, toHex, utf8 } from '../../ceremonies/bytes.ts';
import type { Data } from '../../ceremonies/ceremony.ts';
import type { ActionName, Evidence, Input, Intent } from '../../ceremonies/evidence.ts';
import { pem } from '../../ceremonies/keys/signed.ts';
import type { KeyRecord } from '../../ceremonies/key-record.ts';
import { rewritten, scriptedRecord, ScriptedRoom, SHIPPED, type ScriptedRecord } from './scripted.ts';

const bytesOf = (lines: readonly string[]) => new TextEncoder().encode(lines.map((line) => `${line}\n`).join(''));
const judge = async (lines: readonly string[]): Promise<Verdict> => (await verifyTranscript(bytesOf(lines), { hasher: nativeHasher })).verdict;
const nativeSha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());
const rules = (verdict: Verdict) => verdict.findings.map((finding) => finding.rule);

const mini = await scriptedRecord({ script: 'mini' });
const whole = await scriptedRecord({});

test('the untouched records are valid', async () => {
  for (const lines of [mini.lines, whole.lines]) {
    const verdict = await judge(lines);
    assert.deepEqual(verdict.findings, []);
    assert.equal(verdict.verdict, 'valid');
    assert.equal(verdict.reverified.length, lines.length);
  }
});

/**
 * Where a change of one byte in line `at` has to be seen: the line is no entry any more, or not the canonical one; or the
 * next line does not follow it; or, in the last line, which nothing follows, the recorder's signature does not fit.
 */
function seenAtItsPlace(verdict: Verdict, at: number, last: number): boolean {
  return verdict.findings.some(({ rule, seq }) => (seq === at && ['ENTRY-MALFORMED', 'ENTRY-CANONICAL', 'CHAIN', 'SCRIPT-HASH', 'TRANSCRIPT-TRUNCATED'].includes(rule))
    || (seq === at + 1 && rule === 'CHAIN') || (at === last && seq === at));
}

test('every single-byte change of a reference transcript is refused, by the right rule at the right place', async () => {
  const original = bytesOf(mini.lines);
  const copy = Uint8Array.from(original);
  const wrong: string[] = [];
  let line = 0;
  for (let at = 0; at < original.length; at += 1) {
    const was = original[at] ?? 0;
    // Another printable character, so that what is tested is the record and not the UTF-8 decoder.
    copy[at] = was === 0x61 ? 0x62 : was === 10 ? 0x20 : 0x61;
    const { verdict } = await verifyTranscript(copy, { hasher: nativeHasher });
    if (verdict.verdict !== 'refused' || !seenAtItsPlace(verdict, line, mini.lines.length - 1)) {
      wrong.push(`byte ${at} in line ${line}: ${verdict.verdict} ${verdict.findings.map(({ rule, seq }) => `${rule}@${seq ?? ''}`).slice(0, 3).join(' ')}`);
    }
    copy[at] = was;
    if (was === 10) line += 1;
  }
  assert.deepEqual(wrong.slice(0, 10), []);
});

test('every truncation is refused: the record is open, whatever it says about itself', async () => {
  for (let keep = 0; keep < whole.lines.length; keep += 1) {
    const verdict = await judge(whole.lines.slice(0, keep));
    assert.notEqual(verdict.verdict, 'valid', `the first ${keep} entries were accepted`);
    assert.deepEqual(rules(verdict), [keep === 0 ? 'TRANSCRIPT-EMPTY' : 'RECORD-OPEN']);
  }
});

test('every deletion, duplication and swap of entries is refused at its place', async () => {
  const { lines } = mini;
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    const without = lines.filter((_, index) => index !== at);
    const doubled = lines.flatMap((other, index) => (index === at ? [other, line] : [other]));
    const swapped = lines.map((other, index) => (index === at ? lines[at + 1] ?? other : index === at + 1 ? line : other));
    const cases: [string, string[], number][] = [['deleted', without, at], ['doubled', doubled, at + 1]];
    if (at + 1 < lines.length) cases.push(['swapped', swapped, at]);
    for (const [what, changed, place] of cases) {
      const verdict = await judge(changed);
      assert.notEqual(verdict.verdict, 'valid', `entry ${at} ${what}`);
      const first = verdict.findings[0];
      if (what === 'deleted' && at === lines.length - 1) assert.equal(first?.rule, 'RECORD-OPEN');
      else assert.equal(first?.seq, place, `entry ${at} ${what}: ${first?.rule ?? ''}`);
    }
  }
});

/** Re-writes the chain from a changed entry on, as somebody without any key could. */
function rechained(lines: readonly string[], change: (entry: Entry) => Entry | null): string[] {
  const out: string[] = [];
  let prev = (parseLine(lines[0] ?? '')).prev;
  for (const line of lines) {
    const entry = change(parseLine(line));
    if (!entry) continue;
    const text = encodeLine({ ...entry, seq: out.length, prev });
    out.push(text);
    prev = nativeHasher.entry(new TextEncoder().encode(text));
  }
  return out;
}

test('a changed fact with the whole chain re-written fails at the recorder\'s next signature', async () => {
  const changed = rechained(whole.lines, (entry) => (entry.kind === 'witnessed' ? { ...entry, at: entry.at } : entry));
  assert.equal((await judge(changed)).verdict, 'valid', 're-writing nothing changes nothing');
  const lied = rechained(whole.lines, (entry) => {
    if (entry.kind !== 'opened') return entry;
    const opened = entry as Entry<'opened'>;
    return { ...opened, data: { ...opened.data, people: opened.data.people.map((person) => ({ ...person, name: `${person.name} the Second` })) } };
  });
  const verdict = await judge(lied);
  assert.equal(verdict.verdict, 'refused');
  assert.equal(verdict.findings[0]?.rule, 'CHECKPOINT-SIGNATURE');
  assert.equal(verdict.findings[0].seq, 1);
});

test('a stripped or exchanged signature is named', async () => {
  const seal = (swap: (signatures: { protected: string; signature: string }[]) => unknown) => rechained(whole.lines, (entry) => {
    if (entry.kind !== 'done' || entry.step !== 'seal-1/officer') return entry;
    const done = entry as Entry<'done'>;
    const evidence = done.data.evidence as { signatures: { protected: string; signature: string }[] };
    return { ...done, data: { ...done.data, evidence: { signatures: swap(evidence.signatures) } } };
  });
  const stripped = await judge(seal((signatures) => signatures.slice(0, 1)));
  assert.ok(rules(stripped).includes('EVIDENCE-MATCHES-ACTION'), rules(stripped).join());
  const doubled = await judge(seal((signatures) => [signatures[0], signatures[0]]));
  assert.ok(rules(doubled).some((rule) => rule.startsWith('SEAL-SIGNATURE')), rules(doubled).join());
  const foreign = await judge(seal((signatures) => signatures.toReversed().map((one) => ({ ...one }))));
  assert.equal(foreign.verdict, 'refused');
});

test('hostile files end as findings', async () => {
  for (const bytes of [new Uint8Array(0), new Uint8Array([0xff, 0xfe, 10]), new TextEncoder().encode('{}\n'), new TextEncoder().encode('null\n'), new TextEncoder().encode(`${'['.repeat(100_000)}\n`), new TextEncoder().encode('PK\x03\x04 not a zip')]) {
    const { verdict } = await verifyFile(bytes);
    assert.equal(verdict.verdict, 'refused');
    assert.ok(verdict.findings.length > 0);
  }
});

test('a bundle is judged with everything in it', async () => {
  const { verdict } = await verifyFile(makeBundle(whole.lines), { hasher: nativeHasher });
  assert.deepEqual(verdict.findings, []);
  assert.equal(verdict.verdict, 'valid');
  assert.equal(verdict.checks.at(-1)?.name, 'The bundle');
});

test('a trust file pins the signers: others are refused by name', async () => {
  const { verdict } = await verifyTranscript(bytesOf(whole.lines));
  const people = verdict.signers.map(({ name, classical, pq }) => ({ name, classical, pq }));
  const pinned = await verifyTranscript(bytesOf(whole.lines), { trust: { people } });
  assert.equal(pinned.verdict.verdict, 'valid');
  assert.ok(pinned.verdict.pinned);
  const [first, ...rest] = people;
  assert.ok(first);
  const stranger = await verifyTranscript(bytesOf(whole.lines), { trust: { people: rest } });
  assert.ok(rules(stranger.verdict).includes('TRUST-SIGNER'));
  const renamed = await verifyTranscript(bytesOf(whole.lines), { trust: { people: [{ ...first, name: 'Somebody Else' }, ...rest] } });
  assert.ok(rules(renamed.verdict).includes('TRUST-SIGNER'));
  const build = await verifyTranscript(bytesOf(whole.lines), { trust: { people, build: 'another build' } });
  assert.deepEqual(rules(build.verdict), ['TRUST-BUILD']);
});

test('parseLine throws nothing but Refused', () => {
  for (const text of ['', '[]', '{"v":1}', 'x'.repeat(10), '{"v":1,"v":1}', '"\\ud800"']) assert.throws(() => parseLine(text), Refused);
});

test('a record that was cut short cannot be ended by somebody whom nobody in the room has confirmed', async () => {
  const room = new ScriptedRoom({});
  await room.run('make-root');
  room.resume();
  room.checkpoint();
  const { state } = room;
  const abort: Entry = { v: 1, ceremony: state.ceremony, seq: state.count, at: state.lastAt, kind: 'aborted', by: 'officer', data: { reason: 'Nothing to see here.', left: [] }, prev: state.lastHash };
  assert.equal(check(state, abort)?.rule, 'RESUME-SIGNED');
});

test('an officer whose seat another took over has to be known to the trust file too', async () => {
  const room = new ScriptedRoom({});
  await room.run('make-root');
  room.resume('another');
  await room.run();
  const { verdict } = await verifyTranscript(bytesOf(room.lines), { hasher: nativeHasher });
  assert.deepEqual(verdict.findings, []);
  assert.equal(verdict.signers.filter((signer) => signer.role === 'officer').length, 2);
  const people = verdict.signers.filter((signer) => signer.name !== whole.state.people[0]?.name).map(({ name, classical, pq }) => ({ name, classical, pq }));
  const pinned = await verifyTranscript(bytesOf(room.lines), { hasher: nativeHasher, trust: { people } });
  assert.ok(rules(pinned.verdict).includes('TRUST-SIGNER'));
});

// --- keys, certificates and CRLs, against somebody who holds the recorder's key -----------------------------------------------

/** Which entries of a record the lie is about: a `begun` or a `done` of this step. */
type Lie = (entry: Entry) => Entry;
const inDone = (step: string, change: (evidence: Record<string, unknown>) => Record<string, unknown>): Lie => (entry) => {
  if (entry.kind !== 'done' || entry.step !== step) return entry;
  const done = entry as Entry<'done'>;
  return { ...done, data: { ...done.data, evidence: change(done.data.evidence) } };
};
const inBegun = (step: string, change: (intent: Record<string, unknown>) => Record<string, unknown>): Lie => (entry) => {
  if (entry.kind !== 'begun' || entry.step !== step) return entry;
  const begun = entry as Entry<'begun'>;
  return { ...begun, data: { intent: change(begun.data.intent) } };
};
const withInput = (name: string, input: Input): Lie => (entry) => {
  if (entry.kind !== 'opened') return entry;
  const opened = entry as Entry<'opened'>;
  return { ...opened, data: { ...opened.data, inputs: { ...opened.data.inputs, [name]: input } } };
};
const inInput = (name: string, change: (input: Input) => Input): Lie => (entry) =>
  entry.kind === 'opened' ? withInput(name, change((entry as Entry<'opened'>).data.inputs[name] ?? assert.fail(name)))(entry) : entry;

/** What came out of a step, which is of this action. */
function evidenceOf<A extends ActionName>(record: ScriptedRecord, step: string, action: A): Evidence<A> {
  const at = record.entries.findIndex((one) => one.kind === 'done' && one.step === step);
  assert.equal(record.before[at]?.current?.step.do.action, action);
  return (record.entries[at]?.data as Data<'done'>).evidence as Evidence<A>;
}

const composite = await scriptedRecord({ script: 'composite-ca' });
const stranger = await scriptedRecord({ script: 'composite-ca', seed: 'a stranger' });
const list = await scriptedRecord({ script: 'crl' });
const subordinate = await scriptedRecord({ script: 'intermediate' });
const encryption = await scriptedRecord({ script: 'encryption-certificate' });
const otherEncryption = await scriptedRecord({ script: 'encryption-certificate', seed: 'a stranger' });
const otherSubordinate = await scriptedRecord({ script: 'intermediate', seed: 'a stranger' });

test('records of every ceremony that ships are valid', async () => {
  for (const script of SHIPPED) {
    const verdict = await judge((await scriptedRecord({ script })).lines);
    assert.deepEqual([verdict.findings, verdict.verdict], [[], 'valid'], script);
  }
});

test('wherever the halves live, whatever the one key is: valid', async () => {
  for (const options of [{ script: 'crl', previous: true }, { script: 'composite-ca', place: 'token' }, { script: 'composite-ca', place: 'wrapped' }, { script: 'crl', ca: { algorithm: 'ml-dsa-65', place: 'wrapped' } }, { script: 'crl', ca: { algorithm: 'ecdsa-p384', place: 'token' } }] as const) {
    const verdict = await judge((await scriptedRecord(options)).lines);
    assert.deepEqual([verdict.findings, verdict.verdict], [[], 'valid'], JSON.stringify(options));
  }
});

/** The step whose outcome changed, the rule that has to be told at it. */
async function refusedAt(record: ScriptedRecord, kind: Entry['kind'], step: string | undefined, rule: string, lie: Lie): Promise<void> {
  const lines = rewritten(record, lie);
  const verdict = await judge(lines);
  const seq = record.entries.findIndex((entry) => entry.kind === kind && entry.step === step);
  assert.equal(verdict.verdict, 'refused');
  assert.ok(verdict.findings.some((finding) => finding.rule === rule && finding.seq === seq), `${rule} at ${seq}: ${verdict.findings.map((finding) => `${finding.rule}@${finding.seq ?? ''}`).slice(0, 6).join(' ')}`);
}

test('re-writing and changing nothing leaves a record valid: what follows is found for what it says', async () => {
  for (const record of [composite, list, subordinate]) assert.equal((await judge(rewritten(record, (entry) => entry))).verdict, 'valid');
});

type Parts = Evidence<'generate-key'>['parts'];
const partsOf = (evidence: Record<string, unknown>) => evidence['parts'] as Parts;
const strange = evidenceOf(stranger, 'make-root', 'generate-key');

test('halves that are swapped are found: by name where the names stay, as another key where they go along', async () => {
  await refusedAt(composite, 'done', 'make-root', 'KEY-PARTS', inDone('make-root', (evidence) => ({ ...evidence, parts: partsOf(evidence).toReversed() })));
  const swapped = (evidence: Record<string, unknown>) => {
    const [mlDsa, traditional] = partsOf(evidence);
    return { ...evidence, parts: [{ ...mlDsa, spki: traditional?.spki }, { ...traditional, spki: mlDsa?.spki }] };
  };
  await refusedAt(composite, 'done', 'make-root', 'PUBLIC-PARAMETERS', inDone('make-root', swapped));
});

test('a half of another key is found, in the making and in the proof', async () => {
  for (const index of [0, 1]) {
    const foreign = (evidence: Record<string, unknown>) => ({ ...evidence, parts: partsOf(evidence).map((part, at) => (at === index ? { ...part, spki: strange.parts[index]?.spki } : part)) });
    await refusedAt(composite, 'done', 'make-root', 'PUBLIC-PARAMETERS', inDone('make-root', foreign));
    await refusedAt(composite, 'done', 'prove-root', 'PUBLIC-PARAMETERS', inDone('prove-root', foreign));
  }
  // All of it exchanged for a whole other key: sound by itself, but not the one that the proof and the certificate are of.
  await refusedAt(composite, 'done', 'prove-root', 'PUBLIC-PARAMETERS', inDone('make-root', (evidence) => ({ ...evidence, spki: strange.spki, parts: partsOf(evidence).map((part, at) => ({ ...part, spki: strange.parts[at]?.spki })) })));
});

test('a wrapped half that is exchanged, lost, or not wrapped at all is found', async () => {
  const foreign = (evidence: Record<string, unknown>) => ({ ...evidence, parts: partsOf(evidence).map((part) => (part.wrapped ? { ...part, wrapped: { ...part.wrapped, bytes: toBase64url(new Uint8Array(32).fill(7)) } } : part)) });
  await refusedAt(composite, 'done', 'prove-root', 'KEY-PARTS', inDone('prove-root', foreign));
  await refusedAt(composite, 'done', 'prove-root', 'KEY-PARTS', inDone('make-root', foreign));
  await refusedAt(composite, 'done', 'make-root', 'KEY-PARTS', inDone('make-root', (evidence) => ({ ...evidence, parts: partsOf(evidence).map((part) => ({ ...part, wrapped: null })) })));
  await refusedAt(composite, 'done', 'make-root', 'KEY-PARTS', inDone('make-root', (evidence) => ({ ...evidence, parts: partsOf(evidence).slice(1) })));
  await refusedAt(composite, 'done', 'wrap-root', 'KEY-PARTS', inDone('wrap-root', (evidence) => ({ ...evidence, parts: (evidence['parts'] as unknown[]).slice(0, 1) })));
  await refusedAt(composite, 'done', 'make-root', 'KEY-PARTS', inDone('make-root', (evidence) => ({ ...evidence, wrappingKey: null })));
});

test('a wrapping key that can leave its token, or was made elsewhere, is found', async () => {
  for (const lie of [{ extractable: true }, { neverExtractable: false }, { sensitive: false }, { local: false }, { class: 'private-key' }]) {
    const changed = (evidence: Record<string, unknown>) => ({ ...evidence, wrappingKey: { ...evidence['wrappingKey'] as object, ...lie } });
    for (const step of ['make-root', 'prove-root']) await refusedAt(composite, 'done', step, 'ATTRIBUTES-AS-SCRIPTED', inDone(step, changed));
  }
  await refusedAt(composite, 'done', 'prove-root', 'KEY-BOUND', inDone('prove-root', (evidence) => ({ ...evidence, wrappingKey: { ...evidence['wrappingKey'] as object, id: 'ff'.repeat(16) } })));
});

test('possession needs both halves over one message', async () => {
  const { possession } = evidenceOf(composite, 'prove-root', 'prove-key');
  const other = evidenceOf(composite, 'recovery', 'prove-recovery').possession;
  const at = 3309; // ML-DSA-65: FIPS 204 table 2
  const [own, foreign] = [fromBase64url(possession.signature), fromBase64url(other.signature)];
  const lies = {
    'the ML-DSA half of another message': Uint8Array.from([...foreign.subarray(0, at), ...own.subarray(at)]),
    'the classical half of another message': Uint8Array.from([...own.subarray(0, at), ...foreign.subarray(at)]),
    'both of another message': foreign,
    'the ML-DSA half alone': own.subarray(0, at),
    'the classical half alone': own.subarray(at),
    nothing: new Uint8Array(0),
  };
  for (const signature of Object.values(lies)) {
    await refusedAt(composite, 'done', 'prove-root', 'PROOF-OF-POSSESSION', inDone('prove-root', (evidence) => ({ ...evidence, possession: { ...possession, signature: toBase64url(signature) } })));
  }
  await refusedAt(composite, 'done', 'recovery', 'PROOF-OF-POSSESSION', inDone('recovery', (evidence) => ({ ...evidence, possession })));
});

test('a certificate for another request, or of another key, is found', async () => {
  const other = evidenceOf(otherSubordinate, 'certify', 'issue-certificate');
  const exchanged = inDone('certify', () => ({ ...other }));
  for (const rule of ['CERTIFICATE-KEY', 'CERTIFICATE-VERIFIES']) await refusedAt(subordinate, 'done', 'certify', rule, exchanged);
  // The other way round: the certificate stays, and the request of the record is another one.
  const request = otherSubordinate.state.opening?.inputs['request'] ?? assert.fail();
  const lie: Lie = (entry) => inDone('compare-request', () => ({ sha256: toHex(nativeSha256(fromBase64url(request.bytes))) }))(inInput('request', () => request)(entry));
  await refusedAt(subordinate, 'done', 'certify', 'CERTIFICATE-KEY', lie);
  await refusedAt(subordinate, 'done', 'certify', 'TBS-IDENTICAL', inDone('certify', (evidence) => ({ ...evidence, lintedTbs: other.lintedTbs })));
});

test('a certificate on the statement of somebody whom another CA certified is found, and so is a statement that was spoiled', async () => {
  const request = otherEncryption.state.opening?.inputs['request'] ?? assert.fail();
  const strangers: Lie = (entry) => inDone('compare-request', () => ({ sha256: toHex(nativeSha256(fromBase64url(request.bytes))) }))(inInput('request', () => request)(entry));
  await refusedAt(encryption, 'done', 'certify', 'REQUEST-STATEMENT-PATH', strangers);
  await refusedAt(encryption, 'opened', undefined, 'SIGNATURE-VERIFIES', inInput('request', (input) => {
    const der = fromBase64url(input.bytes);
    der[der.length - 1]! ^= 1;
    return { ...input, bytes: toBase64url(der) };
  }));
  await refusedAt(encryption, 'opened', undefined, 'REQUEST-STATED-KEY', inInput('request', (input) => ({ ...input, bytes: subordinate.state.opening?.inputs['request']?.bytes ?? '' })));
  // The certificate of a record that says one thing, in a record whose signing certificate has ended before that day.
  await refusedAt(encryption, 'done', 'certify', 'CERTIFICATE-DATES', inBegun('certify', (intent) => ({ ...intent, notBefore: '2028-06-01T00:00:00.000Z', notAfter: '2029-06-01T00:00:00.000Z' })));
});

test('a CRL with another number, or without what was carried over, is found', async () => {
  await refusedAt(list, 'done', 'sign-list', 'CRL-NUMBER', inBegun('sign-list', (intent) => ({ ...intent, number: '7' })));
  const { crl } = evidenceOf(list, 'sign-list', 'sign-crl');
  // This very list, brought as the one before: the next number is 2, and a line that is new must come on top.
  const previous: Input = { kind: 'crl', file: 'before.crl', bytes: toBase64url(utf8(pem('X509 CRL', fromBase64url(crl)))) };
  const fresh: Input = { kind: 'revocations', file: 'new.csv', bytes: toBase64url(utf8('0badc0de0badc0de,2026-02-02T03:04:05Z,superseded\n')) };
  const brought: Lie = (entry) => withInput('revocations', fresh)(withInput('previous', previous)(entry));
  await refusedAt(list, 'done', 'sign-list', 'CRL-NUMBER', brought);
  await refusedAt(list, 'done', 'sign-list', 'CRL-ENTRIES', (entry) => inBegun('sign-list', (intent) => ({ ...intent, number: '2' }))(brought(entry)));
  const strangers = evidenceOf(await scriptedRecord({ script: 'crl', seed: 'a stranger' }), 'sign-list', 'sign-crl');
  await refusedAt(list, 'done', 'sign-list', 'CRL-VERIFIES', inDone('sign-list', () => ({ ...strangers })));
  await refusedAt(list, 'done', 'sign-list', 'CRL-PREVIOUS', withInput('previous', { ...previous, bytes: strangers.crl }));
});

test('a file whose bytes were changed afterwards is found where people compared it, and where it was used', async () => {
  const another = inInput('revocations', (input) => ({ ...input, bytes: toBase64url(utf8('1a2b3c4d5e6f7081,2026-01-02T03:04:05Z,superseded\n')) }));
  await refusedAt(list, 'done', 'compare-list', 'INPUT-CONFIRMED', another);
  await refusedAt(list, 'done', 'sign-list', 'CRL-ENTRIES', another);
  await refusedAt(list, 'opened', undefined, 'REVOCATIONS-LINE', inInput('revocations', (input) => ({ ...input, bytes: toBase64url(utf8('no line\n')) })));
  await refusedAt(subordinate, 'opened', undefined, 'SIGNATURE-VERIFIES', inInput('request', (input) => {
    const der = fromBase64url(input.bytes);
    der[der.length - 1]! ^= 1;
    return { ...input, bytes: toBase64url(der) };
  }));
});

test('a key record with the certificate, a half or the CKA_IDs of another key is found', async () => {
  const recordIn = (record: ScriptedRecord) => JSON.parse(fromUtf8(fromBase64url(record.state.opening?.inputs['ca']?.bytes ?? ''))) as KeyRecord;
  const other = recordIn(otherSubordinate);
  const changed = (change: (record: KeyRecord) => KeyRecord) => inInput('ca', (input) => ({ ...input, bytes: toBase64url(utf8(JSON.stringify(change(recordIn(subordinate))))) }));
  await refusedAt(subordinate, 'opened', undefined, 'INPUT-KEY', changed((record) => ({ ...record, certificate: other.certificate })));
  await refusedAt(subordinate, 'opened', undefined, 'PUBLIC-PARAMETERS', changed((record) => ({ ...record, key: { ...record.key, parts: record.key.parts.map((part, at) => (at === 0 ? { ...part, spki: other.key.parts[0]?.spki ?? '' } : part)) } })));
  await refusedAt(subordinate, 'done', 'open-ca', 'PUBLIC-PARAMETERS', changed(() => other));
  const ids = (intent: Record<string, unknown>) => ({ ...intent, ids: (intent as Intent<'open-key'>).ids.map(() => 'ee'.repeat(16)) });
  await refusedAt(subordinate, 'begun', 'open-ca', 'KEY-BOUND', inBegun('open-ca', ids));
});
