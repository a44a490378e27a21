/** From wish to certificate and CRL: what the script, the files and the mode say goes in, nothing is left out of a CRL, and no more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBase64url, toBase64url, toHex, utf8 } from '../../ceremonies/bytes.ts';
import type { State } from '../../ceremonies/ceremony.ts';
import type { Input, Intent } from '../../ceremonies/evidence.ts';
import { readCertificate } from '../../ceremonies/keys/chain.ts';
import { readCrl } from '../../ceremonies/keys/crl.ts';
import { readRequest } from '../../ceremonies/keys/request.ts';
import { nameText, pem } from '../../ceremonies/keys/signed.ts';
import { certificateOrder, certificateProfile, crlNumber, crlProfile, previousCrlDer, REHEARSAL_UNIT } from '../../ceremonies/profile.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import type { PlanStep } from '../../ceremonies/script.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import { scriptedRecord, type ScriptedRecord } from './scripted.ts';

type Wish<A extends PlanStep['do']['action']> = Extract<PlanStep['do'], { action: A }>;

/** The state in which the outcome of a signing step is judged, with the step's wish and intent. */
function signing<A extends 'issue-certificate' | 'sign-crl'>(record: ScriptedRecord, action: A): { state: State; wish: Wish<A>; intent: Intent<A> } {
  const state = record.before.find((one) => one.current?.step.do.action === action && one.current.phase === 'begun') ?? assert.fail(action);
  return { state, wish: state.current?.step.do as Wish<A>, intent: state.current?.intent as Intent<A> };
}
const withInput = (state: State, name: string, input: Input): State => ({ ...state, opening: { ...state.opening ?? assert.fail(), inputs: { ...state.opening?.inputs, [name]: input } } });
const refusedAs = (rule: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === rule;

const root = await scriptedRecord();
const subordinate = await scriptedRecord({ script: 'intermediate' });
const cross = await scriptedRecord({ script: 'cross-sign' });
const list = await scriptedRecord({ script: 'crl' });
const nextList = await scriptedRecord({ script: 'crl', previous: true });

test('a root is marked in a rehearsal, and only there', () => {
  const { state, wish } = signing(root, 'issue-certificate');
  assert.deepEqual(certificateOrder(state, wish), { kind: 'root', subject: { commonName: 'Example Root CA', organization: 'Example Organization', organizationalUnit: REHEARSAL_UNIT, country: 'XX' } });
  const real: State = { ...state, opening: { ...state.opening ?? assert.fail(), mode: 'real' } };
  assert.deepEqual(certificateOrder(real, wish), { kind: 'root', subject: { commonName: 'Example Root CA', organization: 'Example Organization', country: 'XX' } });
  const bare: Wish<'issue-certificate'> = { ...wish, subject: { 'common-name': 'Alone' } };
  assert.deepEqual(certificateOrder(real, bare), { kind: 'root', subject: { commonName: 'Alone' } });
});

test('a subordinate gets the name and the key of its request, below the key that signs', () => {
  const { state, wish, intent } = signing(subordinate, 'issue-certificate');
  const profile = certificateProfile(state, wish, intent);
  assert.ok(profile.order.kind === 'subordinate');
  const request = readRequest(profile.order.request);
  const issued = readCertificate(fromBase64url(subordinate.state.issued[0]?.bytes ?? ''));
  assert.deepEqual([issued.subject, issued.key.spki], [request.subject, request.spki]);
  assert.equal(nameText(issued.issuer), 'CN=Example CA');
  assert.equal(issued.pathLength, 0);
  assert.equal(issued.authorityKeyId, readCertificate(profile.order.issuer).subjectKeyId);
  assert.equal(issued.notAfter.toISOString(), '2036-03-02T09:00:00.000Z');
});

test('a cross-certificate takes name, key and key id over as they are', () => {
  const { state, wish, intent } = signing(cross, 'issue-certificate');
  const profile = certificateProfile(state, wish, intent);
  assert.ok(profile.order.kind === 'cross');
  const other = readCertificate(profile.order.certificate);
  const issued = readCertificate(fromBase64url(cross.state.issued[0]?.bytes ?? ''));
  assert.deepEqual([issued.subject, issued.key.spki, issued.subjectKeyId], [other.subject, other.key.spki, other.subjectKeyId]);
  assert.equal(nameText(issued.issuer), 'CN=Example CA');
  assert.equal(issued.pathLength, 1);
});

test('PEM and DER order the same certificate', () => {
  const { state, wish } = signing(subordinate, 'issue-certificate');
  const request = state.opening?.inputs['request'] ?? assert.fail();
  const armoured = withInput(state, 'request', { ...request, bytes: toBase64url(utf8(pem('CERTIFICATE REQUEST', fromBase64url(request.bytes)))) });
  assert.deepEqual(certificateOrder(armoured, wish), certificateOrder(state, wish));
});

test('nothing is ordered for a file that was not brought, of another kind, or by no key', () => {
  const { state, wish, intent } = signing(subordinate, 'issue-certificate');
  assert.throws(() => certificateOrder(state, { ...wish, for: 'other' }), refusedAs('INPUTS-COMPLETE'));
  assert.throws(() => certificateOrder(state, { ...wish, for: 'ca' }), refusedAs('INPUTS-COMPLETE'));
  assert.throws(() => certificateProfile({ ...state, key: null }, wish, intent), refusedAs('KEY-BEFORE-USE'));
  assert.throws(() => certificateOrder({ ...state, key: { ...state.key ?? assert.fail(), certificate: null } }, wish), refusedAs('KEY-BEFORE-USE'));
});

const entries = (bytes: string) => readCrl(fromBase64url(bytes)).revoked.map(({ serialNumber, reason }) => `${toHex(serialNumber)} ${reason ?? ''}`);

test('the first CRL is number 1 and has the lines of the list', async () => {
  const { state, wish } = signing(list, 'sign-crl');
  assert.equal(await crlNumber(state, wish), 1n);
  assert.equal(previousCrlDer(state, wish), null);
  assert.deepEqual(entries(list.state.issued[0]?.bytes ?? ''), ['1a2b3c4d5e6f7081 keyCompromise']);
});

test('the next one counts on, leaves nothing out, and a line takes the place of an entry', async () => {
  const { state, wish, intent } = signing(nextList, 'sign-crl');
  assert.equal(await crlNumber(state, wish), 42n);
  assert.equal(intent.number, '42');
  assert.deepEqual(entries(nextList.state.opening?.inputs['previous']?.bytes ?? ''), ['0badc0de0badc0de superseded', '1a2b3c4d5e6f7081 certificateHold']);
  assert.deepEqual(entries(nextList.state.issued[0]?.bytes ?? ''), ['0badc0de0badc0de superseded', '1a2b3c4d5e6f7081 keyCompromise']);
  const { verdict } = await verifyTranscript(nextList.bytes);
  assert.deepEqual([verdict.findings, verdict.verdict], [[], 'valid']);
});

test('only this CA\'s own CRL is carried on', async () => {
  const { state, wish, intent } = signing(nextList, 'sign-crl');
  const stranger = await scriptedRecord({ script: 'crl', seed: 'a stranger' });
  const foreign = withInput(state, 'previous', { kind: 'crl', file: 'foreign.crl', bytes: stranger.state.issued[0]?.bytes ?? '' });
  await assert.rejects(crlNumber(foreign, wish), refusedAs('CRL-PREVIOUS'));
  await assert.rejects(crlProfile(foreign, wish, intent), refusedAs('CRL-PREVIOUS'));
  await assert.rejects(crlNumber(withInput(state, 'previous', { kind: 'crl', file: 'x', bytes: 'AAAA' }), wish), (error) => error instanceof Refused);
});
