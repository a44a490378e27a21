/** The conductor as people meet it: real processes, the software token, stand-ins; every refusal by name, nothing lost. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { pendingAction, type State } from '../../../ceremonies/ceremony.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { planOf, readScript, type Parameters } from '../../../ceremonies/script.ts';
import { Fold, parseLine, pushLine } from '../../../ceremonies/transcript.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import type { Bindings, Request } from '../../../electron/contract.ts';
import type { BoothPort, House } from '../../../electron/processes.ts';
import { ask, playOn, playRehearsal, standInNames } from '../../../electron/rehearsal.ts';
import { openHouse, remove, SCRIPTS, temporaryFolder, writeModules } from '../house.ts';

const PARAMETERS: Parameters = { algorithm: 'ecdsa-p256', shares: 2 };
const { script } = readScript(readFileSync(`${SCRIPTS}/root-ca.yaml`, 'utf8'));
assert.ok(script);
const parameters = { ...script.defaults, ...PARAMETERS };
const plan = planOf(script, parameters);

let home: string;
let house: House<BoothPort>;
before(async () => {
  home = temporaryFolder('conductor');
  house = await openHouse(home);
});
after(async () => {
  await house.stop();
  remove(home);
});

const rule = (wanted: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error));
  assert.equal(error.refusal.rule, wanted, error.message);
  for (const text of [error.refusal.expected, error.refusal.found, error.refusal.next]) assert.ok(text.length > 0);
  return true;
};
const refused = (request: Request, wanted: string) => assert.rejects(ask(house, request), rule(wanted));

const provision = async () => (await ask(house, { call: 'provision', script: 'root-ca', parameters, module: 'software' })).bindings;
const opening = (bindings: Bindings): Extract<Request, { call: 'open' }> => ({
  call: 'open', script: 'root-ca', parameters, people: standInNames(plan.seats), bindings, inputs: {}, mode: 'rehearsal', standIns: true,
});
async function opened(): Promise<string> {
  return (await ask(house, opening(await provision()))).ceremony;
}
async function stateOf(ceremony: string): Promise<State> {
  const fold = new Fold(nativeHasher);
  for (const line of (await ask(house, { call: 'entries', ceremony, from: 0 })).lines) assert.equal(pushLine(fold, line), null);
  return fold.state;
}
const playTo = (ceremony: string, step: string) => playOn(house, ceremony, { hasher: nativeHasher, until: (state) => state.current?.step.id === step && state.current.phase === 'ready' && !state.checkpointDue });

test('an opening that contradicts itself is refused by name, and nothing is recorded', async () => {
  const bindings = await provision();
  const good = opening(bindings);
  const [first, second, ...others] = good.people;
  assert.ok(first && second);
  const count = (await ask(house, { call: 'ceremonies' })).length;
  await refused({ ...good, parameters: { ...parameters, threshold: 3 } }, 'SET-THRESHOLD');
  await refused({ ...good, parameters: { ...parameters, threshold: 1 } }, 'PARAMETER-VALUE');
  await refused({ ...good, parameters: { ...parameters, shares: 256 } }, 'PARAMETER-VALUE');
  await refused({ ...good, parameters: { ...parameters, 'common-name': 'Root\u202eAC' } }, 'TEXT-PRINTABLE');
  await refused({ ...good, parameters: { ...parameters, country: 'de' } }, 'PARAMETER-VALUE');
  await refused({ ...good, script: 'no-such-script' }, 'SCRIPT-KNOWN');
  await refused({ ...good, people: [first, { ...second, name: ` ${first.name.toUpperCase()} ` }, ...others] }, 'ONE-PERSON-ONE-ROLE');
  await refused({ ...good, people: [first, ...others] }, 'SEATS-FILLED');
  await refused({ ...good, people: [{ ...first, name: 'a\u0007b' }, second, ...others] }, 'TEXT-PRINTABLE');
  await refused({ ...good, bindings: { ...bindings, tokens: {} } }, 'BINDINGS-COMPLETE');
  const hsm = bindings.tokens['root-hsm'];
  assert.ok(hsm);
  await refused({ ...good, bindings: { ...bindings, tokens: { 'root-hsm': { ...hsm, serial: 'nowhere' } } } }, 'TOKEN-PRESENT');
  await refused({ ...good, bindings: { ...bindings, cards: { ...bindings.cards, 'identity-card': { ...bindings.cards['identity-card'], officer: hsm } } } }, 'ONE-CARD-ONE-PERSON');
  await refused({ ...good, mode: 'real', standIns: true }, 'STAND-INS-ONLY-REHEARSE');
  await refused({ ...good, mode: 'real', standIns: false }, 'REAL-NEEDS-RELEASE');
  assert.equal((await ask(house, { call: 'ceremonies' })).length, count);
});

test('a request that is none is a problem, not a crash', async () => {
  const answer = await house.call({ call: 'format-disk' } as unknown as Request);
  assert.ok(!answer.ok && 'problem' in answer && answer.problem.code === 'REQUEST');
  await refused({ call: 'act', ceremony: '0'.repeat(32), step: 'x', acceptFinalTry: false }, 'CEREMONY-KNOWN');
  await refused({ call: 'objects', module: 'no-module', token: 'x', offset: 0, limit: 10 }, 'MODULE-KNOWN');
});

test('order, witnesses, breaks, exceptions and notes keep their rules', async () => {
  const ceremony = await opened();
  await refused({ call: 'act', ceremony, step: 'make-root', acceptFinalTry: false }, 'IN-ORDER');
  await refused({ call: 'witness', ceremony, step: 'read-hash/officer', seat: 'witness' }, 'BEGUN-FIRST');
  await ask(house, { call: 'break', ceremony, present: 5, reason: 'Lunch.' });
  await refused({ call: 'act', ceremony, step: 'read-hash/officer', acceptFinalTry: false }, 'IN-ORDER');
  await refused({ call: 'back', ceremony, present: 4 }, 'HEAD-COUNT');
  await ask(house, { call: 'back', ceremony, present: 5 });
  await refused({ call: 'disagree', ceremony, seat: 'auditor', words: 'Too early.' }, 'ENROL-FIRST');
  await ask(house, { call: 'note', ceremony, seat: 'auditor', text: 'The clock on the wall is two minutes late.' });
  await ask(house, { call: 'exception', ceremony, seat: 'officer', expected: 'a closed door', happened: 'it was open', decided: 'we closed it' });
  await playTo(ceremony, 'token-random');
  const state = await stateOf(ceremony);
  assert.equal(state.exceptions, 1);
  await playTo(ceremony, 'seal-2/officer');
  await ask(house, { call: 'disagree', ceremony, seat: 'auditor', words: 'The serial number on the case was hard to read.' });
  await playTo(ceremony, 'prove-root');
  await refused({ call: 'witness', ceremony, step: 'prove-root', seat: 'witness' }, 'BEGUN-FIRST');
  await playOn(house, ceremony, { hasher: nativeHasher });
  const { verdict } = await ask(house, { call: 'verify-own', ceremony });
  assert.equal(verdict.verdict, 'valid');
  const remarks = verdict.remarks.map((remark) => remark.text).join('\n');
  for (const wanted of ['a break with 5 people', 'exception 1', 'auditor does not agree']) assert.ok(remarks.includes(wanted), wanted);
  await assert.rejects(ask(house, { call: 'note', ceremony, seat: 'officer', text: 'One more thing.' }), rule('RESUME-FIRST'));
});

test('an abort is defined: what is left behind is listed, signed, and nothing may follow', async () => {
  const ceremony = await opened();
  await playTo(ceremony, 'certify');
  await ask(house, { call: 'abort', ceremony, seat: 'witness', reason: 'The fire alarm rang.' });
  const { verdict, lines } = await ask(house, { call: 'verify-own', ceremony });
  assert.equal(verdict.verdict, 'aborted');
  assert.deepEqual(verdict.findings.map((finding) => finding.rule), ['RECORD-ABORTED']);
  const aborted = parseLine(lines.at(-2) ?? '');
  assert.equal(aborted.kind, 'aborted');
  assert.equal(parseLine(lines.at(-1) ?? '').kind, 'checkpoint');
  const { left } = aborted.data as { left: { class: string; label: string }[] };
  assert.deepEqual(left.map((object) => `${object.class} ${object.label}`), ['private-key Root CA', 'public-key Root CA']);
});

/** Our device processes, oldest first. */
function deviceProcesses(): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      return Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]) === process.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('devices');
    } catch {
      return false;
    }
  }).sort((a, b) => a - b);
}

test('a device process that dies costs one entry; the ceremony goes on where it was', async () => {
  const ceremony = await opened();
  await playTo(ceremony, 'give-share/custodian-2');
  const [tokens] = deviceProcesses();
  assert.ok(tokens !== undefined);
  process.kill(tokens, 'SIGKILL');
  // The share set died with the process: the step is interrupted, then the backup is begun again.
  await assert.rejects(ask(house, { call: 'act', ceremony, step: 'give-share/custodian-2', acceptFinalTry: false, typed: 'BAG-2' }), (error) => error instanceof Refused && error.refusal.rule === 'DEVICE_PROCESS_LOST');
  await playOn(house, ceremony, { hasher: nativeHasher });
  const { verdict } = await ask(house, { call: 'verify-own', ceremony });
  assert.equal(verdict.verdict, 'valid');
  assert.equal((await stateOf(ceremony)).backup?.set.epoch, 2);
});

test('when the recorder\'s process dies its key dies: only a resumption, signed by the people present, goes on', async () => {
  const ceremony = await opened();
  await playTo(ceremony, 'make-root');
  for (const pid of deviceProcesses()) process.kill(pid, 'SIGKILL');
  await assert.rejects(ask(house, { call: 'act', ceremony, step: 'make-root', acceptFinalTry: false }));
  await refused({ call: 'note', ceremony, seat: 'officer', text: 'Hello.' }, 'RESUME-FIRST');
  const resume: Extract<Request, { call: 'resume' }> = { call: 'resume', ceremony, present: plan.seats.map((seat) => seat.id), reason: 'The recorder was lost.', officer: null, standIns: true };
  await refused({ ...resume, present: ['officer', 'witness'] }, 'RESUME-QUORUM');
  await refused({ ...resume, present: ['custodian-1', 'custodian-2', 'witness'] }, 'RESUME-QUORUM');
  const witness = (await stateOf(ceremony)).people.find((person) => person.seat === 'witness');
  const [card] = Object.values((await provision()).cards['identity-card'] ?? {});
  assert.ok(card);
  await refused({ ...resume, officer: { name: witness?.name ?? '', card } }, 'ONE-PERSON-ONE-ROLE');
  await ask(house, { ...resume, officer: { name: 'Another Officer', card } });
  await playOn(house, ceremony, { hasher: nativeHasher });
  const { verdict } = await ask(house, { call: 'verify-own', ceremony });
  assert.deepEqual(verdict.findings, []);
  assert.equal(verdict.verdict, 'valid');
  // Both officers signed parts of this record; an auditor has to know both.
  assert.deepEqual(verdict.signers.filter((signer) => signer.role === 'officer').map((signer) => signer.name), ['Stand-in officer', 'Another Officer']);
});

test('a rehearsal refuses tokens in production', async () => {
  const elsewhere = temporaryFolder('production');
  const first = await openHouse(elsewhere);
  const { bindings } = await ask(first, { call: 'provision', script: 'root-ca', parameters, module: 'software' });
  await first.stop();
  writeModules(elsewhere, [], [bindings.tokens['root-hsm']?.serial ?? '']);
  const second = await openHouse(elsewhere);
  try {
    await assert.rejects(ask(second, opening(bindings)), rule('REHEARSAL-NOT-ON-PRODUCTION'));
    await assert.rejects(ask(second, { call: 'provision', script: 'root-ca', parameters, module: 'software', tokens: bindings.tokens }), rule('REHEARSAL-NOT-ON-PRODUCTION'));
  } finally {
    await second.stop();
    remove(elsewhere);
  }
});

test('every algorithm of the script is carried out on the software token, and the bundle is valid', async () => {
  for (const algorithm of ['ecdsa-p384', 'ecdsa-p521', 'rsa-3072', 'rsa-4096', 'ed25519']) {
    const ceremony = await playRehearsal(house, { script: 'root-ca', parameters: { ...PARAMETERS, algorithm }, module: 'software', hasher: nativeHasher });
    const { path } = await ask(house, { call: 'export', ceremony });
    const { verdict } = await ask(house, { call: 'verify', name: 'bundle.zip', bytes: new Uint8Array(readFileSync(path)) });
    assert.deepEqual(verdict.findings, [], algorithm);
    assert.equal(verdict.verdict, 'valid', algorithm);
  }
  assert.ok(pendingAction(await stateOf((await ask(house, { call: 'ceremonies' })).at(-1)?.ceremony ?? '')).kind === 'over');
});
