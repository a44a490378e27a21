/**
 * What people will read and sign with a pen. The golden file is a whole document; `UPDATE_GOLDEN=1` writes it anew. When it
 * changes after a release, raise MINUTES_EDITION: bundles that exist hold minutes of the old one.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestGroups, hexGroups, MARKS, signerWords } from '../../ceremonies/describe.ts';
import { signersOf, type Entry } from '../../ceremonies/ceremony.ts';
import { inputDigest } from '../../ceremonies/key-record.ts';
import { edition, foldRecord, minutesHtml, MINUTES_EDITION, transcriptWords } from '../../ceremonies/minutes.ts';
import { rewritten, scriptedRecord } from './scripted.ts';

const eventful = await scriptedRecord({
  warnings: ['Swap is in use.'],
  happenings: {
    'token-random': [{ kind: 'exception' }, { kind: 'break' }, { kind: 'note', text: 'The door was closed.' }],
    'make-root': [{ kind: 'crash', officer: 'another', found: 'half', decision: 'clear' }],
    certify: [{ kind: 'disagree', seat: 'witness' }, { kind: 'fail' }],
    'read-share/custodian-2': [{ kind: 'lost' }],
  },
});
const record = foldRecord(eventful.lines);
const page = minutesHtml(record);
const golden = join(import.meta.dirname, `golden/minutes-${MINUTES_EDITION}.html`);
/** What a reader sees. */
const textOf = (html: string) => html.replace(/<style>[\s\S]*?<\/style>/g, '').replace(/<[^>]*>/g, ' ').replace(/&#(\d+);/g, (_whole, code: string) => String.fromCharCode(Number(code))).replace(/\s+/g, ' ');

test('the minutes are the golden file', () => {
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, page);
  assert.ok(existsSync(golden));
  assert.equal(page, readFileSync(golden, 'utf8'), 'run this test with UPDATE_GOLDEN=1 and read what changed');
  assert.ok(page.length < 200_000);
});

test('they are bound to exactly one transcript', () => {
  const sha512 = createHash('sha512').update(eventful.bytes).digest('hex');
  assert.equal(record.sha512, sha512);
  const text = textOf(page);
  for (const part of [hexGroups(sha512), transcriptWords(record).join(' '), `${eventful.lines.length} entries`, hexGroups(eventful.state.ceremony), eventful.state.script?.words.join(' ') ?? '']) assert.ok(text.includes(part), part);
  const other = foldRecord(rewritten(eventful, (entry) => (entry.kind === 'noted' ? { ...entry, data: { text: 'The door was open.' } } : entry)));
  assert.notDeepEqual(transcriptWords(other), transcriptWords(record));
});

test('a rehearsal says so on every page; a real ceremony does not', async () => {
  const [head = ''] = /<thead>[\s\S]*?<\/thead>/.exec(page) ?? [];
  assert.ok(head.includes('REHEARSAL') && head.includes('hatch'), 'in the head that is repeated on every page');
  const real = minutesHtml(foldRecord((await scriptedRecord({ script: 'mini', mode: 'real' })).lines));
  assert.doesNotMatch(real, /<b>REHEARSAL|REHEARSAL:|hatch/);
  assert.ok(real.includes('Real ceremony'));
});

test('everything that did not go as planned is there', () => {
  const text = textOf(page);
  for (const part of [
    'The lamp on the token turns green.', 'It stayed dark.', 'The lamp is broken; we go on.', 'The door was closed.', 'Break, 6 people present', 'CKR_PIN_INCORRECT', 'DEVICE_PROCESS_LOST',
    'Olga Nachfolger 1 takes the officer\'s seat', 'I did not see the serial number myself.', 'a public key without its private key', 'What was left behind is destroyed', 'Swap is in use.',
    'Every act is sealed by everyone.', 'What this record does not prove', 'Signed by hand',
  ]) assert.ok(text.includes(part), part);
  for (const person of eventful.state.people) assert.ok(text.includes(person.name));
  for (const signer of signersOf(eventful.state)) for (const part of [signer.classical, signer.pq, signerWords(signer).join(' ')]) assert.ok(text.includes(part), part);
  assert.ok(text.includes('Ada Ofterdingen'), 'the officer who was replaced, too');
});

test('an eventless record says that nothing happened', async () => {
  const text = textOf(minutesHtml(foldRecord((await scriptedRecord({ script: 'mini' })).lines)));
  for (const part of ['No exception was recorded.', 'No break was taken.', 'No attempt failed.', 'never interrupted', 'Nobody disagreed.', 'No key was made or used.', 'no warnings at the opening']) assert.ok(text.includes(part), part);
});

test('a composite key is told as two halves, each with the place where it lives and what that is worth', async () => {
  const { lines, state } = await scriptedRecord({ script: 'composite-ca', place: 'split' });
  const text = textOf(minutesHtml(foldRecord(lines)));
  const key = state.key ?? assert.fail();
  const [mlDsa, traditional] = key.parts;
  // At the head, as facts.
  for (const part of [
    'Key "Composite root CA", MLDSA65-ECDSA-P256-SHA512, on token TOKEN-root-hsm',
    `ML-DSA half ml-dsa-65, wrapped under the token's AES-256 key ${hexGroups(key.wrapping ?? '')} ✓ verified`, `Classical half ecdsa-p256 on the token, CKA_ID ${hexGroups(traditional?.id ?? '')} ! reported`,
  ]) assert.ok(text.includes(part), part);
  // Where it was made, and where it proved itself.
  assert.ok(text.includes('under the draft lamps-composite-sigs-19'));
  assert.equal([...text.matchAll(/ML-DSA half: ml-dsa-65( by noble)? made in the device process|ML-DSA half: ml-dsa-65, wrapped under/g)].length, 2, 'made, and proven');
  assert.ok(text.includes(`wrapped bytes SHA-256 ${digestGroups(mlDsa?.wrapped?.bytes ?? '')}`));
  assert.match(text, /classical half: private half: SENSITIVE yes, EXTRACTABLE yes/);
  assert.match(text, /wrapping key, AES-256, CKA_ID [0-9a-f ]+: SENSITIVE yes, EXTRACTABLE no/);
  assert.ok(text.includes('a fresh message signed by both halves, each checked alone, then together'));
  // In the backup, each half by its own digest.
  for (const part of key.wrapped ?? assert.fail()) assert.ok(text.includes(`Wrapped key SHA-256 ${digestGroups(part.wrapped)}`), part.part);
  assert.ok(text.includes('the token refused to wrap it'));
  for (const place of ['token', 'wrapped'] as const) {
    const other = textOf(minutesHtml(foldRecord((await scriptedRecord({ script: 'composite-ca', place })).lines)));
    assert.equal(other.includes('wrapped under the token\'s AES-256 key'), place === 'wrapped');
    assert.equal(other.includes('wrapping key, AES-256'), place === 'wrapped');
  }
});

test('what a key that was there before has signed is told with the files that were compared', async () => {
  const { lines, state } = await scriptedRecord({ script: 'crl' });
  const text = textOf(minutesHtml(foldRecord(lines)));
  const { ca, revocations } = state.opening?.inputs ?? assert.fail();
  for (const part of [
    'on token TOKEN-ca-hsm ; it was there before', 'Backup none', 'found the key again and had it prove itself', 'had CRL number 1 signed', 'from 2026-03-02, the next by 2026-09-02', `CRL signed, SHA-256 ${digestGroups(state.issued[0]?.bytes ?? '')}`,
    ...[ca, revocations].flatMap((input) => [`compared the file ${input?.file ?? ''}`, `SHA-256 ${hexGroups(inputDigest(input ?? assert.fail()))}, read aloud ! reported`]),
  ]) assert.ok(text.includes(part), part);
  assert.ok(!text.includes('No key was made'));
  const crossed = await scriptedRecord({ script: 'cross-sign' });
  const other = textOf(minutesHtml(foldRecord(crossed.lines)));
  for (const part of [`Certificate issued, SHA-256 ${digestGroups(crossed.state.issued[0]?.bytes ?? '')}`, 'other: the file other.certificate, SHA-256', 'for other.certificate; 2026-03-02 to 2031-03-02']) assert.ok(other.includes(part), part);
});

test('one file that acts on nothing: no script, nothing fetched, every mark with shape and word', () => {
  assert.doesNotMatch(page, /<script|javascript:|\son\w+=|<img|<link|<iframe|<object|@import|https?:|url\((?!#)/i);
  assert.match(page, /Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/);
  for (const [, mark = '', text = ''] of page.matchAll(/<span class="mark (\w+)">([^<]*)</g)) {
    const { shape, word } = MARKS[mark as keyof typeof MARKS];
    assert.equal(text, `${shape} ${word}`);
  }
  assert.ok(page.includes(edition()));
});

test('hostile text stays text, and what cannot be seen is spelled out', () => {
  const text = '<script>alert(1)</script>"\'&amp;\u202e\u0007';
  const hostile = rewritten(eventful, (entry) => (entry.kind === 'failed' ? { ...entry, data: { ...entry.data, error: { code: text, message: text, hint: text } } } as Entry : entry));
  const html = minutesHtml(foldRecord(hostile));
  assert.ok(!html.includes('<script'));
  assert.ok(html.includes('&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39;&#38;amp;[U+202E][U+0007]'));
});

test('broken records are printed as broken', () => {
  const lied = rewritten(eventful, (entry) => (entry.kind === 'witnessed' && entry.step === 'token-before' ? { ...entry, by: 'officer' } : entry));
  const broken = foldRecord(lied);
  assert.equal(broken.rows.find((row) => row.refusal)?.refusal?.rule, 'WITNESS-NOT-DOER');
  assert.ok(textOf(minutesHtml(broken)).includes('breaks WITNESS-NOT-DOER'));
  const cut = foldRecord([...eventful.lines.slice(0, 40), 'no entry', ...eventful.lines.slice(40)]);
  assert.equal(cut.unread?.rule, 'ENTRY-MALFORMED');
  assert.equal(cut.rows.length, 40);
  assert.ok(textOf(minutesHtml(cut)).includes('cannot be read beyond entry 39: ENTRY-MALFORMED'));
  for (const lines of [[], ['x'], ['\ud800'], ['{}']]) assert.ok(minutesHtml(foldRecord(lines)).includes('A record that cannot be read'));
});

test('records without an end say so', async () => {
  const open = textOf(minutesHtml(foldRecord(eventful.lines.slice(0, 30))));
  assert.ok(open.includes('OPEN: unfinished') && open.includes('The record has no end.'));
  const aborted = await scriptedRecord({ happenings: { 'token-after': [{ kind: 'abort', left: [{ class: 'private-key', id: '00ff', label: 'Root CA', keyType: 'CKK_EC' }] }] } });
  const text = textOf(minutesHtml(foldRecord(aborted.lines)));
  assert.ok(text.includes('ABORTED') && text.includes('The token does not answer any more.') && text.includes('left on a token: private-key CKK_EC "Root CA" 00ff'));
});

test('a verdict is printed with its findings; without one the minutes say that nobody judged', () => {
  assert.ok(textOf(page).includes('Whether it is genuine says conclave verify'));
  const valid = textOf(minutesHtml(record, { verdict: { verdict: 'valid', pinned: true, findings: [] } }));
  assert.ok(valid.includes('✓ verified Valid: closed, sealed by everyone') && valid.includes('trust file'));
  const refused = textOf(minutesHtml(record, { verdict: { verdict: 'refused', pinned: false, findings: [{ rule: 'CHAIN', expected: 'x', found: 'y', next: 'z', seq: 7 }] } }));
  assert.ok(refused.includes('✕ refused REFUSED') && refused.includes('7 CHAIN x y') && refused.includes('signers not pinned'));
});
