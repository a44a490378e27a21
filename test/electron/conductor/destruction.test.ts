/**
 * A key's destruction, carried out by stand-ins: on the software token, on SoftHSM, and on modules that lie about it; by the list
 * that the inventory gives; and with everything that may come in between.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openFile } from '../../../ceremonies/bundle.ts';
import { forWebCrypto, utf8 } from '../../../ceremonies/bytes.ts';
import { pendingAction, type Data, type Entry, type State } from '../../../ceremonies/ceremony.ts';
import { planDestruction } from '../../../ceremonies/destroy-plan.ts';
import { claimsOn, seenText, type CopyList } from '../../../ceremonies/destruction.ts';
import { foldInventory, type Inventory } from '../../../ceremonies/inventory.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { keyNamed } from '../../../ceremonies/statements.ts';
import { parseLine } from '../../../ceremonies/transcript.ts';
import { verifyFile } from '../../../ceremonies/verify.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import type { BoothPort, House } from '../../../electron/processes.ts';
import { ask, playOn, playRehearsal, type Play } from '../../../electron/rehearsal.ts';
import { allObjects } from '../devices/objects.ts';
import { CONDUCTOR, lyingEntry, openHouse, remove, softHsmEntry, softHsmToken, temporaryFolder, withSoftHsm, writeModules } from '../house.ts';
import { each, entriesIn, goOn, killedFor } from './crash.ts';

const LIES = ['keep', 'hide', 'later'] as const;
let home: string;
let house: House<BoothPort>;
before(async () => {
  home = temporaryFolder('destruction');
  const conf = withSoftHsm(home);
  writeModules(home, [softHsmEntry(conf), ...LIES.map((lie) => lyingEntry(home, conf, lie))]);
  house = await openHouse(home);
});
after(async () => {
  await house.stop();
  remove(home);
});

const script = 'key-destruction';
const ca = { algorithm: 'MLDSA65-ECDSA-P256-SHA512', place: 'split' } as const;
/** Plays one, and gives its bundle's files once a fresh verdict has found it valid. */
async function played(more: Partial<Play>): Promise<{ files: ReadonlyMap<string, Uint8Array>; state: State }> {
  const ceremony = await playRehearsal(house, { script, parameters: {}, module: 'software', hasher: nativeHasher, ca, ...more });
  const { path } = await ask(house, { call: 'export', ceremony });
  const bytes = new Uint8Array(readFileSync(path));
  const { verdict, state } = await verifyFile(bytes, { hasher: nativeHasher });
  assert.deepEqual(verdict.findings, []);
  assert.equal(verdict.verdict, 'valid');
  return { files: openFile(bytes).files ?? new Map<string, Uint8Array>(), state };
}
const certificate = (files: ReadonlyMap<string, Uint8Array>) => new TextDecoder().decode(files.get('certificate-of-destruction.html') ?? assert.fail('no certificate'));
const opened = (rule: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === rule;

for (const module of ['software', 'softhsm'] as const) {
  test(`on ${module}: every copy is gone, at L1 and no more`, async () => {
    const { files, state } = await played({ module });
    const { level, destroyed, known } = claimsOn(state.destruction);
    assert.deepEqual([level, destroyed, known], ['L1', 4, 4]);
    assert.match(certificate(files), /Destroyed, L1/);
    const of = state.ceremony;
    assert.deepEqual(await ask(house, { call: 'certificate', ceremony: of }), { name: `certificate-of-destruction-${of.slice(0, 8)}`, html: certificate(files) }, 'what is printed is the page of the bundle');
    await assert.rejects(ask(house, { call: 'print-certificate', ceremony: of }), opened('WINDOW-PRINTS'));
  });
}

const CAUGHT = { keep: /a fresh session found 1/, hide: /the key could still be used: a signature under the old handle/, later: /a fresh process found 1/ } as const;
for (const lie of LIES) {
  test(`a module that lies (${lie}) is caught: NOT DESTROYED`, async () => {
    const { files, state } = await played({ module: lie });
    const { level, claims } = claimsOn(state.destruction);
    assert.equal(level, null);
    assert.match(claims[0]?.words ?? '', CAUGHT[lie]);
    assert.match(certificate(files), /NOT DESTROYED/);
    const left = (await allObjects('pkcs11', home, REHEARSAL_PIN)).filter(({ label }) => label === 'REHEARSAL CA');
    assert.ok(left.length > 0, 'it really lied');
  });
}

async function inventory(at: House<BoothPort>): Promise<Inventory> {
  const records = [];
  for (const { ceremony } of await ask(at, { call: 'ceremonies' })) records.push(await ask(at, { call: 'verify-own', ceremony }));
  return foldInventory(records, nativeHasher);
}

test('a root key with its shares: listed from the records, destroyed on token and cards, and the inventory says so', async () => {
  const other = temporaryFolder('destruction-root');
  withSoftHsm(other);
  const own = await openHouse(other);
  try {
    await playRehearsal(own, { script: 'root-ca', parameters: { algorithm: 'ecdsa-p256' }, module: 'softhsm', hasher: nativeHasher });
    const known = await inventory(own);
    const key = keyNamed(known.keys, 'Root CA');
    const list = planDestruction(known, key, { people: [{ what: 'the printed backup, bag 12', how: 'shred it' }], retention: [], despite: '' });
    assert.deepEqual(list.copies.map(({ by }) => by.means), ['token', 'token', 'token', 'token', 'erasure', 'people', 'token']);
    const token = list.copies[0]!.by.means === 'token' ? list.copies[0]!.by.token : '';
    await playRehearsal(own, { script, parameters: {}, module: 'softhsm', hasher: nativeHasher, tokens: { 'key-hsm': { module: 'softhsm', serial: token } }, inputs: { copies: { file: 'copies.json', bytes: forWebCrypto(utf8(JSON.stringify(list))) } } });
    const after = keyNamed((await inventory(own)).keys, key.identity);
    assert.deepEqual([after.state, after.destruction.level, after.destruction.destroyed, after.whoCan], ['destroyed', 'L1', after.destruction.known, []]);
    assert.throws(() => planDestruction({ keys: [after] }, after, { people: [], retention: [], despite: '' }), opened('COPIES-NONE-LEFT'));
    const there = (await allObjects('pkcs11', other, REHEARSAL_PIN)).filter(({ label }) => !label.startsWith('conclave-identity'));
    assert.deepEqual(there, [], 'nothing of the key is on any token or card');
  } finally {
    await own.stop();
    remove(other);
  }
});

/** Plays until a step, and stops there. */
async function playedTo(step: string): Promise<{ ceremony: string; state: State }> {
  let seen: State | undefined;
  let ceremony = '';
  const end = house.onEntries((entries) => { ceremony = entries.ceremony; });
  await playRehearsal(house, { script, parameters: {}, module: 'software', hasher: nativeHasher, until: (state) => { seen = state; const pending = pendingAction(state); return pending.kind === 'step' && pending.step.id === step; } });
  end();
  return { ceremony, state: seen! };
}

test('nothing is destroyed before the waiting period is over, and whoever approved may end it until then', async () => {
  const { ceremony, state } = await playedTo('wait');
  assert.equal(state.consent.approvals.length, 2);
  const refused = await house.call({ call: 'act', ceremony, step: 'destroy', acceptFinalTry: false });
  assert.equal(!refused.ok && 'refusal' in refused && refused.refusal.rule, 'IN-ORDER');
  await ask(house, { call: 'abort', ceremony, seat: 'custodian-2', reason: 'I have changed my mind: the key is needed for the archive.' });
  const { verdict } = await ask(house, { call: 'verify-own', ceremony });
  assert.equal(verdict.verdict, 'aborted');
});

test('a waiting period outlives the program: it is resumed, and still runs from the last approval', async () => {
  const { ceremony } = await playedTo('wait');
  await house.stop();
  house = await openHouse(home);
  await ask(house, { call: 'resume', ceremony, present: ['officer', 'custodian-1', 'custodian-2', 'witness', 'auditor'], reason: 'We closed the room for the waiting period.', officer: null, standIns: true });
  await playOn(house, ceremony, { hasher: nativeHasher });
  assert.equal((await ask(house, { call: 'verify-own', ceremony })).verdict.verdict, 'valid');
});

test('a clock that is moved while people wait is an entry, in the record\'s own order', async () => {
  const other = temporaryFolder('destruction-clock');
  const moved = join(other, 'moved');
  const own = await openHouse(other, { conductor: fileURLToPath(new URL('moved-clock.ts', import.meta.url)), env: { CONCLAVE_TEST_CLOCK: moved, CONCLAVE_TEST_CONDUCTOR: CONDUCTOR } });
  try {
    const ceremony = await playRehearsal(own, { script, parameters: {}, module: 'software', hasher: nativeHasher, until: (state) => { const pending = pendingAction(state); return pending.kind === 'step' && pending.step.id === 'wait'; } });
    writeFileSync(moved, '');
    await ask(own, { call: 'act', ceremony, step: 'wait', acceptFinalTry: false });
    const lines = (await ask(own, { call: 'entries', ceremony, from: 0 })).lines.map((line) => parseLine(line));
    const noted = lines.findIndex((entry) => entry.kind === 'noted');
    assert.match((lines[noted]?.data as Data<'noted'>).text, /^The clock of this machine went forward by 7200 seconds/);
    assert.ok(noted < lines.findIndex((entry) => entry.kind === 'done' && entry.step === 'wait'), 'before what the new time was good for');
  } finally {
    await own.stop();
    remove(other);
  }
});

test('a copy that cannot be reached is left with its reason: NOT DESTROYED, and a task', async () => {
  const { ceremony, state } = await playedTo('destroy');
  await ask(house, { call: 'leave-copy', ceremony, step: 'destroy', reason: 'its token is in the other building' });
  await playOn(house, ceremony, { hasher: nativeHasher });
  const { lines, verdict } = await ask(house, { call: 'verify-own', ceremony });
  assert.equal(verdict.verdict, 'valid');
  const { state: after } = await verifyFile(utf8(lines.map((line) => `${line}\n`).join('')), { hasher: nativeHasher });
  const { level, destroyed, known, claims } = claimsOn(after.destruction);
  assert.deepEqual([level, destroyed, known], [null, known - 1, known]);
  assert.equal(claims[0]?.words, 'its token is in the other building');
  assert.equal(state.destruction.outcomes[1], undefined);
});

test('a token that is not here cannot be asked: its copy is no failure of looking, and nothing is destroyed by itself', async () => {
  const { state } = await playedTo('locate');
  const list = structuredClone<CopyList>(state.destruction.list ?? assert.fail('no list'));
  const away = list.copies.find(({ by }) => by.means === 'token') ?? assert.fail('no copy');
  list.copies.push({ ...structuredClone(away), what: 'a copy on a token that nobody has', by: { ...away.by, token: 'DEADBEEFDEADBEEF' } as CopyList['copies'][number]['by'] });
  const ceremony = await playRehearsal(house, { script, parameters: {}, module: 'software', hasher: nativeHasher, tokens: { 'key-hsm': state.opening!.bindings.tokens['key-hsm']! }, inputs: { copies: { file: 'copies.json', bytes: forWebCrypto(utf8(JSON.stringify(list))) } }, until: (now) => now.consent.approvals.length > 0 });
  assert.equal(ceremony.length, 32);
  await assert.rejects(ask(house, { call: 'certificate', ceremony }), opened('CERTIFICATE-DUE'));
  const { lines } = await ask(house, { call: 'entries', ceremony, from: 0 });
  const located = lines.map((line) => parseLine(line)).find((entry): entry is Entry<'done'> => entry.kind === 'done' && entry.step === 'locate') ?? assert.fail('not located');
  const { seen } = (located.data).evidence as { seen: { copy: number; found: number | null; why: string }[] };
  assert.deepEqual(seen.at(-1), { copy: list.copies.length, found: null, why: 'TOKEN_MISSING' });
  assert.equal(seenText(null, 'TOKEN_MISSING'), 'cannot be asked: its token is not here');
});

test('a real destruction opens beside the software token that is always configured; a rehearsal never with a real key\'s list, nor on a token in production', async () => {
  const other = temporaryFolder('destruction-real');
  const conf = withSoftHsm(other);
  const seats = ['officer', 'custodian-1', 'custodian-2', 'witness', 'auditor'];
  for (const label of ['HSM', ...seats]) softHsmToken(conf, label, '271828');
  const real = await openHouse(other, { release: true });
  try {
    const { modules } = await ask(real, { call: 'estate' });
    assert.ok(modules.some(({ facts }) => facts?.kind === 'software'));
    const serial = (label: string) => modules.flatMap(({ slots }) => slots).find(({ token }) => token?.label === label)?.token?.serial ?? assert.fail(label);
    const bound = (label: string) => ({ module: 'softhsm', serial: serial(label) });
    const list = (mode: CopyList['mode']): CopyList => ({
      format: 'conclave-copies/1', mode, key: { identity: 'SHA-256 of SubjectPublicKeyInfo ab', label: 'Root', algorithm: 'ECDSA P-384' }, unknown: [], dependants: [], despite: '',
      copies: [{ what: 'the private key', secret: true, by: { means: 'token', module: 'softhsm', token: serial('HSM'), class: 'private-key', id: 'ab', label: 'Root', keyType: 'CKK_EC', check: { method: 'none', value: '' }, holder: null } }],
    });
    const open = (mode: 'real' | 'rehearsal', of: CopyList['mode']) => ask(real, {
      call: 'open', script, parameters: { approvers: 2, hours: 72, days: 30 }, mode, standIns: false, people: seats.map((seat, i) => ({ seat, name: `Person ${i}` })),
      bindings: { tokens: { 'key-hsm': bound('HSM') }, cards: { 'identity-card': Object.fromEntries(seats.map((seat) => [seat, bound(seat)])) } },
      inputs: { copies: { file: 'copies.json', bytes: forWebCrypto(utf8(JSON.stringify(list(of)))) } },
    });
    await assert.rejects(open('rehearsal', 'real'), opened('COPIES-MODE'));
    await assert.rejects(open('real', 'rehearsal'), opened('COPIES-MODE'));
    assert.match((await open('real', 'real')).ceremony, /^[0-9a-f]{32}$/);
    assert.match((await ask(real, { call: 'log-in', name: 'Ada', module: 'softhsm', card: bound('officer'), mode: 'real', standIns: false })).ceremony, /^[0-9a-f]{32}$/, 'and so does a real logbook');
    writeModules(other, [softHsmEntry(conf)], [serial('HSM')]);
  } finally {
    await real.stop();
  }
  const again = await openHouse(other);
  try {
    const { modules } = await ask(again, { call: 'estate' });
    const hsm = modules.flatMap(({ slots }) => slots).find(({ token }) => token?.label === 'HSM')?.token?.serial ?? assert.fail('no HSM');
    const bytes = forWebCrypto(utf8(JSON.stringify({
      format: 'conclave-copies/1', mode: 'rehearsal', key: { identity: 'x', label: 'Root', algorithm: 'ECDSA P-384' }, unknown: [], dependants: [], despite: '',
      copies: [{ what: 'the private key', secret: true, by: { means: 'token', module: 'softhsm', token: hsm, class: 'private-key', id: 'ab', label: 'Root', keyType: 'CKK_EC', check: { method: 'none', value: '' }, holder: null } }],
    } satisfies CopyList)));
    await assert.rejects(playRehearsal(again, { script, parameters: {}, module: 'software', hasher: nativeHasher, inputs: { copies: { file: 'copies.json', bytes } } }), opened('REHEARSAL-NOT-ON-PRODUCTION'));
  } finally {
    await again.stop();
    remove(other);
  }
});

test('a list is refused before anything is opened', async () => {
  const bring = (text: string) => playRehearsal(house, { script, parameters: {}, module: 'software', hasher: nativeHasher, inputs: { copies: { file: 'copies.json', bytes: forWebCrypto(utf8(text)) } } });
  await assert.rejects(bring('{}'), opened('INPUT-COPIES'));
  const known = await inventory(house);
  assert.throws(() => keyNamed(known.keys, 'no such key'), opened('KEY-KNOWN'));
});

test('killed for real around every act of the destruction, and carried on to the end: nothing twice, nothing left', async (t) => {
  // Around locate, both approvals, the wait, each copy and the last look, as a rehearsal on SoftHSM numbers them.
  const ceremony = await playRehearsal(house, { script, parameters: {}, module: 'softhsm', hasher: nativeHasher });
  const entries = (await ask(house, { call: 'entries', ceremony, from: 0 })).lines.map((line) => parseLine(line));
  const acts = /^(locate|approve\/|destroy|confirm)/;
  let outcomes = 0;
  const moments = entries.flatMap((entry) => {
    if (entry.kind === 'done' || entry.kind === 'failed') outcomes += 1;
    if (entry.step === undefined || !acts.test(entry.step)) return [];
    // Before its outcome is written the token has done its part; after its `begun` it has not.
    return entry.kind === 'done' ? [`outcome ${outcomes}`] : entry.kind === 'begun' && entry.step === 'destroy' ? [`entry ${entry.seq + 1}`] : [];
  });
  // Every outcome; of the acts that were only begun, one: the token has not been touched in any of them.
  const [begun, ...rest] = moments.filter((moment) => moment.startsWith('entry'));
  assert.ok(begun && rest.length > 0);
  await each(t, [...moments.filter((moment) => moment.startsWith('outcome')), begun], (moment) => moment, async (moment) => {
    const folder = temporaryFolder('crash');
    try {
      withSoftHsm(folder);
      const heard = await killedFor(folder, 'softhsm', moment, script, {});
      await goOn(folder, 'softhsm', await entriesIn(folder), heard);
    } finally {
      remove(folder);
    }
  });
});
