/**
 * The ceremonies that ship, each carried out by stand-ins from the first entry to the auditor's verdict: on the software token
 * and on SoftHSM, with composite and post-quantum keys in every placement, and the one handing its key to the next.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openFile } from '../../../ceremonies/bundle.ts';
import { checkChain, lintHierarchy, readCertificate } from '../../../ceremonies/keys/chain.ts';
import { readCrl } from '../../../ceremonies/keys/crl.ts';
import { readRequest } from '../../../ceremonies/keys/request.ts';
import { derOf } from '../../../ceremonies/keys/signed.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import type { Parameters } from '../../../ceremonies/script.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import type { BoothPort, House } from '../../../electron/processes.ts';
import { ask, playRehearsal, type Play } from '../../../electron/rehearsal.ts';
import { makeNssTokens } from '../devices/nss-token.ts';
import { openHouse, remove, softHsmEntry, temporaryFolder, withSoftHsm, writeModules, xmssEntry } from '../house.ts';

let home: string;
let house: House<BoothPort>;
let nss: ReturnType<typeof makeNssTokens>;
before(async () => {
  home = temporaryFolder('ceremonies');
  const conf = withSoftHsm(home);
  nss = makeNssTokens(join(home, 'nss'), ['REHEARSAL NSS one', 'REHEARSAL NSS two', 'REHEARSAL NSS three']);
  writeModules(home, [softHsmEntry(conf), nss.module, xmssEntry(home, conf)]);
  house = await openHouse(home);
});
after(async () => {
  await house.stop();
  remove(home);
});

/** Plays a ceremony; the files of its bundle, once a fresh verdict has found it valid. */
async function played(script: string, more: Partial<Play> = {}): Promise<{ readonly ceremony: string; readonly files: ReadonlyMap<string, Uint8Array> }> {
  const ceremony = await playRehearsal(house, { script, parameters: {}, module: 'software', hasher: nativeHasher, ...more });
  const { path } = await ask(house, { call: 'export', ceremony });
  const bytes = new Uint8Array(readFileSync(path));
  const { verdict } = await ask(house, { call: 'verify', name: 'bundle.zip', bytes });
  assert.deepEqual(verdict.findings, []);
  assert.equal(verdict.verdict, 'valid');
  return { ceremony, files: openFile(bytes).files ?? new Map<string, Uint8Array>() };
}

const file = (files: ReadonlyMap<string, Uint8Array>, name: string): Uint8Array<ArrayBuffer> => {
  const bytes = files.get(name);
  assert.ok(bytes, `${name} in the bundle`);
  return Uint8Array.from(bytes);
};

const COMPOSITES: readonly (readonly [string, Parameters])[] = [
  ['software', { algorithm: 'MLDSA65-ECDSA-P256-SHA512', place: 'split' }],
  ['software', { algorithm: 'MLDSA87-ECDSA-P384-SHA512', place: 'token' }],
  ['software', { algorithm: 'MLDSA44-Ed25519-SHA512', place: 'wrapped' }],
  ['software', { algorithm: 'MLDSA87-Ed448-SHAKE256', place: 'wrapped' }],
  ['software', { algorithm: 'MLDSA65-ECDSA-brainpoolP256r1-SHA512', place: 'wrapped' }],
  ['softhsm', { algorithm: 'MLDSA65-ECDSA-P256-SHA512', place: 'split' }],
  ['softhsm', { algorithm: 'MLDSA65-RSA3072-PSS-SHA512', place: 'split' }],
  ['softhsm', { algorithm: 'MLDSA87-ECDSA-P521-SHA512', place: 'wrapped' }],
];
for (const [module, parameters] of COMPOSITES) {
  test(`composite-ca: ${parameters['algorithm']}, ${parameters['place']}, on ${module}`, async () => {
    const { files } = await played('composite-ca', { module, parameters });
    const record = JSON.parse(Buffer.from(file(files, 'key.json')).toString()) as { profile: string; key: { parts: { held: string }[] } };
    assert.equal(record.profile, 'lamps-composite-sigs-19');
    assert.deepEqual(record.key.parts.map((part) => part.held), { split: ['wrapped', 'token'], token: ['token', 'token'], wrapped: ['wrapped', 'wrapped'] }[String(parameters['place'])]);
    for (const part of ['ml-dsa', 'traditional']) assert.ok(files.has(`wrapped-key-${part}.bin`), `the backup of the ${part} half`);
  });
}

/** The script's token is an NSS one; it has no data objects, so every card is on SoftHSM. */
const onNss = (name: string, index: number): Partial<Play> => ({ module: 'softhsm', tokens: { [name]: { module: 'nss', serial: nss.serials[index] ?? '' } } });

test('composite-ca: both halves on a PKCS#11 3.2 token, ML-DSA with its context; then that key certifies', async () => {
  const { files } = await played('composite-ca', { ...onNss('root-hsm', 0), parameters: { algorithm: 'MLDSA65-ECDSA-P256-SHA512', place: 'token' } });
  const key = file(files, 'key.json');
  const record = JSON.parse(Buffer.from(key).toString()) as { key: { parts: { held: string }[]; wrapping: string | null } };
  assert.deepEqual(record.key.parts.map((part) => part.held), ['token', 'token']);
  assert.equal(record.key.wrapping, null);
  await played('intermediate', { ...onNss('ca-hsm', 0), parameters: { years: 5 }, inputs: { ca: { file: 'key.json', bytes: key } } });
});

test('pq-root: ML-DSA-87 on a PKCS#11 3.2 token', async () => {
  await played('pq-root', { ...onNss('root-hsm', 1), parameters: { algorithm: 'ml-dsa-87', place: 'token' } });
});

test('crl: the rehearsal\'s own CA, both halves on a PKCS#11 3.2 token', async () => {
  await played('crl', { ...onNss('ca-hsm', 2), ca: { algorithm: 'MLDSA87-ECDSA-P384-SHA512', place: 'token' } });
});

test('a token that cannot sign with ML-DSA says so before a key is made', async () => {
  await assert.rejects(playRehearsal(house, { script: 'composite-ca', parameters: { place: 'token' }, module: 'softhsm', hasher: nativeHasher }),
    (error) => error instanceof Refused && error.refusal.rule === 'TOKEN-CAN');
});

test('a stateful key is made by a token that offers it, or not at all', async () => {
  for (const module of ['software', 'softhsm']) {
    await assert.rejects(playRehearsal(house, { script: 'stateful-root', parameters: {}, module, hasher: nativeHasher }),
      (error) => error instanceof Refused && error.refusal.rule === 'TOKEN-CAN', module);
  }
});

test('stateful-root: XMSS, each signature with an index of its own, and what the token does not tell said so', async () => {
  for (const module of ['software', 'softhsm']) {
    await assert.rejects(playRehearsal(house, { script: 'stateful-root', parameters: { algorithm: 'xmss-sha2-10-256' }, module, hasher: nativeHasher }),
      (error) => error instanceof Refused && error.refusal.rule === 'TOKEN-CAN', module);
  }
  // The test module has one parameter set: a token that lists the mechanism is not taken to have the others.
  await assert.rejects(playRehearsal(house, { script: 'stateful-root', parameters: { algorithm: 'xmss-sha2-16-256' }, module: 'xmss', hasher: nativeHasher }),
    (error) => error instanceof Refused && error.refusal.rule === 'TOKEN-CAN');

  const { files } = await played('stateful-root', { module: 'xmss', parameters: { algorithm: 'xmss-sha2-10-256' } });
  const minutes = Buffer.from(file(files, 'minutes.html')).toString();
  assert.match(minutes, /signatures remaining: the token does not tell/);
  const key = file(files, 'key.json');
  const record = JSON.parse(Buffer.from(key).toString()) as { token: string; key: { algorithm: string; wrapping: string | null; parts: { held: string }[] } };
  assert.deepEqual([record.key.algorithm, record.key.wrapping, record.key.parts.map(({ held }) => held)], ['xmss-sha2-10-256', null, ['token']]);
  const certificate = readCertificate(file(files, 'certificate.der'));
  assert.equal(certificate.key.label, 'XMSS-SHA2_10_256');
  assert.deepEqual((await checkChain([certificate])).findings, [[]]);

  // The proof used index 0, the certificate index 1; a later ceremony goes on from there.
  const indexOf = (signature: Uint8Array) => Buffer.from(signature).readUInt32BE();
  assert.equal(indexOf(certificate.signature), 1);
  const { files: later } = await played('crl', { module: 'xmss', tokens: { 'ca-hsm': { module: 'xmss', serial: record.token } }, inputs: { ca: { file: 'key.json', bytes: key } } });
  assert.ok(indexOf(readCrl(file(later, 'crl.der')).signature) > 1);
});

for (const [module, algorithm, place] of [['software', 'ml-dsa-65', 'token'], ['softhsm', 'ml-dsa-87', 'wrapped'], ['software', 'slh-dsa-sha2-128f', 'wrapped']] as const) {
  test(`pq-root: ${algorithm}, ${place}, on ${module}`, async () => {
    const { files } = await played('pq-root', { module, parameters: { algorithm, place } });
    assert.ok(files.has('wrapped-key.bin'));
  });
}

test('a share that is handed to a card on another module is sealed on its way, and the recovery is proven with it', async () => {
  // The token on SoftHSM, every card on the software token.
  const { bindings } = await ask(house, { call: 'provision', script: 'composite-ca', parameters: {}, module: 'softhsm' });
  const { bindings: cards } = await ask(house, { call: 'provision', script: 'composite-ca', parameters: {}, module: 'software' });
  await played('composite-ca', { bindings: { tokens: bindings.tokens, cards: cards.cards } });
});

for (const module of ['software', 'softhsm'] as const) {
  test(`one hierarchy on ${module}: a composite root made here certifies an intermediate, revokes, and cross-signs`, async () => {
    const root = await played('composite-ca', { module });
    const key = file(root.files, 'key.json');
    const serial = (JSON.parse(Buffer.from(key).toString()) as { token: string }).token;
    const more: Partial<Play> = { module, tokens: { 'ca-hsm': { module, serial } }, inputs: { ca: { file: 'key.json', bytes: key } } };
    const intermediate = await played('intermediate', { ...more, parameters: { years: 5 } });
    const chain = [file(intermediate.files, 'certificate.der'), file(root.files, 'certificate.der')].map((der) => readCertificate(der));
    assert.deepEqual((await checkChain(chain)).findings.flat(), []);
    assert.deepEqual(await lintHierarchy(chain), []);
    assert.deepEqual(file(intermediate.files, 'issuer.der'), file(root.files, 'certificate.der'));

    const first = await played('crl', more);
    const revocations = new Uint8Array(Buffer.from(`${'aa'.repeat(9)},2026-01-02T03:04:05Z,superseded\n`));
    const second = await played('crl', { ...more, inputs: { ...more.inputs, revocations: { file: 'more.csv', bytes: revocations }, previous: { file: 'first.crl', bytes: file(first.files, 'crl.der') } } });
    const [before, after] = [first, second].map(({ files }) => readCrl(file(files, 'crl.der')));
    assert.deepEqual([before?.number, after?.number], [1n, 2n]);
    const serials = (crl: typeof before) => (crl?.revoked ?? []).map((one) => Buffer.from(one.serialNumber).toString('hex'));
    assert.deepEqual(serials(after), ['aa'.repeat(9), ...serials(before)], 'what was revoked stays revoked');

    await played('cross-sign', more);
  });
}

for (const [kem, ca] of [['ml-kem-768', { algorithm: 'ml-dsa-65', place: 'wrapped' }], ['MLKEM768-X25519-SHA3-256', { algorithm: 'MLDSA65-ECDSA-P256-SHA512', place: 'split' }]] as const) {
  test(`encryption-certificate: ${kem}, under ${ca.algorithm}`, async () => {
    const { files } = await played('encryption-certificate', { module: 'softhsm', kem, ca });
    const [certificate, issuer] = ['certificate.der', 'issuer.der'].map((name) => readCertificate(file(files, name)));
    assert.ok(certificate && issuer);
    const request = readRequest(derOf(file(files, 'inputs/request.csr'), 'stated-request'));
    assert.deepEqual([certificate.key.spki, certificate.subject], [request.spki, request.subject]);
    assert.ok(certificate.key.kind === 'kem' && certificate.key.row.name === kem);
    assert.deepEqual([certificate.ca, certificate.keyUsage], [false, ['keyEncipherment']]);
    const signing = request.statement?.certificate;
    assert.ok(signing);
    assert.deepEqual(signing.issuer, issuer.subject);
    assert.deepEqual((await checkChain([certificate, issuer])).findings.flat(), []);
    assert.deepEqual(await lintHierarchy([certificate, signing, issuer]), []);
    assert.match(new TextDecoder().decode(file(files, 'minutes.html')), /possession of the private key is stated by the holder/);
  });
}

test('encryption-certificate: a CA\'s key that was there before signs nothing for a rehearsal outside its record', async () => {
  const root = await played('composite-ca');
  const key = file(root.files, 'key.json');
  const { token: serial } = JSON.parse(Buffer.from(key).toString()) as { token: string };
  const brought: Partial<Play> = { tokens: { 'ca-hsm': { module: 'software', serial } }, inputs: { ca: { file: 'key.json', bytes: key } } };
  const rule = (wanted: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === wanted;
  await assert.rejects(played('encryption-certificate', brought), rule('PROVISION'));
  // A request that another CA's holder has stated: it is sound, and this CA does not certify it.
  const other = await played('encryption-certificate');
  const request = { file: 'other.csr', bytes: file(other.files, 'inputs/request.csr') };
  await assert.rejects(played('encryption-certificate', { ...brought, inputs: { ...brought.inputs, request } }), rule('REQUEST-STATEMENT-PATH'));
});

test('a file that is not what the script asks for is refused before anything is opened', async () => {
  const { bindings, inputs } = await ask(house, { call: 'provision', script: 'intermediate', parameters: {}, module: 'software' });
  const count = (await ask(house, { call: 'ceremonies' })).length;
  const people = ['officer', 'witness', 'auditor'].map((seat) => ({ seat, name: `Stand-in ${seat}` }));
  const script = readFileSync('ceremonies/scripts/intermediate.yaml', 'utf8');
  assert.ok(script.includes('path-length'));
  const open = (changed: typeof inputs) => ask(house, { call: 'open', script: 'intermediate', parameters: { years: 10, 'path-length': 0 }, people, bindings, inputs: changed, mode: 'rehearsal', standIns: true });
  const request = inputs['request'];
  assert.ok(request);
  const rule = (wanted: RegExp) => (error: unknown) => error instanceof Refused && wanted.test(error.refusal.rule);
  await assert.rejects(open({ ...inputs, request: { file: 'x.csr', bytes: Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff) } }), rule(/^(DER|PEM|REQUEST)/));
  const forged = Uint8Array.from(request.bytes);
  forged[forged.length - 3] = (forged.at(-3) ?? 0) ^ 1;
  await assert.rejects(open({ ...inputs, request: { file: 'forged.csr', bytes: forged } }), rule(/^(REQUEST|SIGNATURE|DER)/));
  const { request: _none, ...without } = inputs;
  await assert.rejects(open(without), rule(/^INPUTS-COMPLETE$/));
  await assert.rejects(open({ ...inputs, stray: request }), rule(/^INPUTS-COMPLETE$|^PEM|^CERTIFICATE|^DER/));
  assert.equal((await ask(house, { call: 'ceremonies' })).length, count);
});
