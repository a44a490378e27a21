/** A compromise: the certificates it concerns, computed and computed again; the keys under it; what to do, in order; a record of it, and lies in one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBase64url, toBase64url, utf8 } from '../../ceremonies/bytes.ts';
import type { Entry } from '../../ceremonies/ceremony.ts';
import { affectedBy, sinceOf } from '../../ceremonies/compromise.ts';
import { describe } from '../../ceremonies/describe.ts';
import type { Evidence } from '../../ceremonies/evidence.ts';
import { dependantsOf, foldInventory, type Copy, type Inventory } from '../../ceremonies/inventory.ts';
import { readKeyRecord } from '../../ceremonies/key-record.ts';
import { pem } from '../../ceremonies/keys/signed.ts';
import { foldRecord, minutesHtml } from '../../ceremonies/minutes.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { affectedText, whatToDo } from '../../ceremonies/statements.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import { nativeHasher } from '../../electron/conductor/machine.ts';
import { fileOf, rewritten, scriptedRecord } from './scripted.ts';

const der = (text: string | undefined) => fromBase64url(text ?? assert.fail());
const { state: below } = await scriptedRecord({ script: 'intermediate' });
const { state: other } = await scriptedRecord({ seed: 'another CA', script: 'intermediate' });
const { state: crossed } = await scriptedRecord({ script: 'cross-sign' });
const record = readKeyRecord(der(below.opening?.inputs['ca']?.bytes));
const ISSUED = der(below.issued[0]?.bytes);
const CROSSED = der(crossed.issued[0]?.bytes);
/** Of a CA of the same name with another key: what it says of its issuer fits by name alone. */
const FOREIGN = der(other.issued[0]?.bytes);
const STRANGER = der(crossed.opening?.inputs['other']?.bytes);
const file = (...certificates: Uint8Array[]) => ({ bytes: toBase64url(utf8(certificates.map((one) => pem('CERTIFICATE', one)).join(''))) });
const told = async (...certificates: Uint8Array[]) => {
  const { certificates: found, unaffected } = await affectedBy(record, certificates.length === 0 ? null : file(...certificates));
  return [...found.map(({ why, proven }) => `${why} ${proven ? 'proven' : 'named'}`), unaffected];
};

test('its own certificate, what it issued, and nothing else', async () => {
  assert.deepEqual(await told(), ['own proven', 0]);
  assert.deepEqual(await told(ISSUED), ['own proven', 'issued proven', 0]);
  assert.deepEqual(await told(ISSUED, ISSUED, der(record.certificate ?? undefined)), ['own proven', 'issued proven', 0], 'each once');
  assert.deepEqual(await told(STRANGER, ISSUED, CROSSED), ['own proven', 'issued proven', 'issued proven', 1]);
  // Another key under the same name: the key identifiers tell them apart.
  assert.deepEqual(await told(FOREIGN), ['own proven', 1]);
  const forged = Uint8Array.from(ISSUED);
  forged[forged.length - 3]! ^= 1;
  assert.deepEqual(await told(forged), ['own proven', 'issued named', 0], 'a signature that does not fit is told');
});

test('since when: as the script says it, or from the beginning of its certificate', () => {
  assert.equal(sinceOf('2026-03-01', record), '2026-03-01T00:00:00.000Z');
  assert.equal(sinceOf('always', record), '2026-01-01T00:00:00.000Z');
  assert.equal(sinceOf(undefined, record), null);
});

const COMPROMISE: Evidence<'set-state'> = { key: 'SHA-256 of SubjectPublicKeyInfo 00', label: 'CA', from: 'active', to: 'compromised', reason: 'Copied.', since: '2026-03-01T00:00:00.000Z', certificates: [], unaffected: 0, dependants: [] };
const certificate = (why: 'own' | 'issued' | 'below', issuer: string, proven = true) => ({ why, subject: why === 'own' ? 'CN=CA' : `CN=${why}`, issuer, serial: '0417', sha256: '0'.repeat(64), notAfter: '2030-01-01T00:00:00.000Z', proven });

test('what to do, in order', () => {
  const first = (e: Partial<Evidence<'set-state'>>) => whatToDo({ ...COMPROMISE, ...e }).map((line) => line.split(' ').slice(0, 2).join(' '));
  assert.deepEqual(first({ certificates: [certificate('own', 'CN=CA'), certificate('issued', 'CN=CA'), certificate('below', 'CN=issued')] }), ['Stop every', 'Tell everybody', 'Rely on', 'Make a', 'Destroy every']);
  assert.deepEqual(first({ certificates: [certificate('own', 'CN=Root')] }), ['Stop every', 'Have CN=Root', 'Make a', 'Destroy every']);
  assert.deepEqual(first({ dependants: [{ key: 'x', label: 'Data', how: 'a file' }] }), ['Stop every', 'Make a', 'Make a', 'Destroy every']);
  assert.match(whatToDo({ ...COMPROMISE, dependants: [{ key: 'x', label: 'Data', how: 'a file' }] })[2] ?? '', /key-encryption key first; then.*"Data"\. Wrapping the old ones anew does not help/);
  assert.deepEqual(first({ to: 'suspended', since: null }), []);
  assert.match(affectedText(certificate('issued', 'CN=CA', false)), /by the names in it alone/);
});

test('keys that lie wrapped under it: in a file, in a record, and not those whose copy has ended', () => {
  const since = { ceremony: '', seq: 0, at: '' };
  const kek: Copy = { kind: 'object', module: 'hsm', token: '0417', class: 'secret-key', id: '77', label: 'KEK', keyType: 'CKK_AES', check: { method: 'none', value: '' }, attributes: null, what: '', pair: null, since, end: null, believed: true };
  const inFile = (end: Copy['end'], underKey = 'KEK'): Copy => ({ kind: 'wrapped-file', method: 'AES-KWP', under: '', underKey, since, end, believed: true });
  const inRecord = (id: string): Copy => ({ kind: 'wrapped-part', part: 'key', under: { module: 'hsm', token: '0417', id }, since, end: null, believed: true });
  const keys = Object.entries({ KEK: [kek], file: [inFile(null)], ended: [inFile({ ...since, level: 'L1', how: '' })], asked: [inFile({ ...since, level: 'L0', how: '' })], elsewhere: [inFile(null, 'other')], part: [inRecord('77')], another: [inRecord('78')] })
    .map(([identity, copies]) => ({ identity, label: identity, copies })) as unknown as Inventory['keys'];
  assert.deepEqual(dependantsOf({ keys }, 'KEK').map(({ key, how }) => `${key}: ${how}`), ['file: a file wrapped by AES-KWP', 'asked: a file wrapped by AES-KWP', 'part: a part wrapped in its record']);
});

const stated = await scriptedRecord({ script: 'key-compromise', certificates: [ISSUED, STRANGER] });

test('a record of it: valid, folded into the inventory, told in words and on paper', async () => {
  const { verdict } = await verifyTranscript(stated.bytes, { hasher: nativeHasher });
  assert.deepEqual(verdict.findings.map(({ rule, found }) => `${rule} ${found}`), []);
  assert.equal(verdict.verdict, 'valid');
  const { keys, findings } = foldInventory([{ verdict, lines: stated.lines }], nativeHasher);
  assert.deepEqual(findings, []);
  assert.deepEqual([keys[0]?.state, keys[0]?.passages.at(-1)?.rule, keys[0]?.passages.at(-1)?.signed?.by], ['compromised', 'STATE-COMPROMISED', 'Ada Ofterdingen (officer)']);
  const at = stated.entries.findIndex((entry) => entry.kind === 'done' && entry.step === 'compromised');
  const { detail } = describe(stated.entries[at]!, stated.before[at]!);
  const words = detail.map(({ text }) => text).join('\n');
  assert.match(words, /that it was active, and which keys depend on it, are as the recording machine's other records had it: this record alone does not show it\n.*its own certificate\n.*issued by it\n1 of the certificates that were brought do not depend on it\nTo do, 1: Stop every use/);
  const paper = minutesHtml(foldRecord(stated.lines));
  for (const line of ['To do, 1: Stop every use', 'issued by it', 'A copy of the key may be in other hands.']) assert.ok(paper.includes(line), line);
});

test('a certificate left out, one invented, a later day: refused by whoever computes it again', async () => {
  const lies: readonly (readonly [string, (e: { certificates: unknown[]; unaffected: number; since: string }) => void])[] = [
    ['AFFECTED-CERTIFICATES', (e) => { e.certificates.pop(); }],
    ['AFFECTED-CERTIFICATES', (e) => { e.unaffected = 0; }],
    ['AFFECTED-CERTIFICATES', (e) => { (e.certificates[1] as { why: string }).why = 'own'; }],
    ['STATE-SINCE', (e) => { e.since = '2026-02-01T00:00:00.000Z'; }],
  ];
  for (const [rule, lie] of lies) {
    const lines = rewritten(stated, (entry) => {
      if (entry.kind !== 'done' || entry.step !== 'compromised') return entry;
      const copy = structuredClone(entry) as Entry<'done'>;
      lie(copy.data.evidence as never);
      return copy;
    });
    const { verdict } = await verifyTranscript(fileOf(lines), { hasher: nativeHasher });
    assert.equal(verdict.verdict, 'refused');
    assert.ok(verdict.findings.some((finding) => finding.rule === rule), `${rule}: ${verdict.findings.map((finding) => finding.rule).join(', ')}`);
  }
});

test('a key without a certificate: what it signed is found all the same, and there is no beginning to mean by always', async () => {
  const bare = { ...record, certificate: null };
  assert.deepEqual((await affectedBy(bare, file(der(record.certificate ?? undefined), ISSUED))).certificates.map(({ why }) => why), ['own', 'issued']);
  assert.deepEqual(await affectedBy(bare, null), { certificates: [], unaffected: 0 });
  assert.equal(sinceOf('2026-03-01', bare), '2026-03-01T00:00:00.000Z');
  assert.throws(() => sinceOf('always', bare), (error: unknown) => error instanceof Refused && error.refusal.rule === 'STATE-SINCE');
});
