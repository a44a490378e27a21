/**
 * The verdict against every way to touch a record: each byte changed, lines removed, doubled, swapped, cut off, signatures
 * stripped or taken from elsewhere, entries re-sealed under a key that nobody introduced.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { verifyFile, verifyTranscript, type Verdict } from '../../ceremonies/verify.ts';
import { encodeLine, parseLine } from '../../ceremonies/transcript.ts';
import { check, type Entry } from '../../ceremonies/ceremony.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { makeBundle } from '../../ceremonies/bundle.ts';
import { nativeHasher } from '../../electron/conductor/machine.ts';
import { scriptedRecord, ScriptedRoom } from './scripted.ts';

const bytesOf = (lines: readonly string[]) => new TextEncoder().encode(lines.map((line) => `${line}\n`).join(''));
const judge = async (lines: readonly string[]): Promise<Verdict> => (await verifyTranscript(bytesOf(lines), { hasher: nativeHasher })).verdict;
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
