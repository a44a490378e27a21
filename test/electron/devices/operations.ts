/**
 * Every operation of protocol.ts, end to end in a device process of its own, stated once and run for each twin
 * (software-operations.test.ts, softhsm2-operations.test.ts).
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fromBase64url, toBase64url } from '../../../ceremonies/bytes.ts';
import type { Placement, ShareSet, TokenFacts } from '../../../ceremonies/evidence.ts';
import { caAlgorithmNamed, componentsOf } from '../../../ceremonies/keys/algorithms.ts';
import { fromJwk } from '../../../ceremonies/keys/public-key.ts';
import { verifyAll } from '../../../ceremonies/keys/jws.ts';
import { readCertificate } from '../../../ceremonies/keys/chain.ts';
import { verifyWith } from '../../../ceremonies/keys/subject-key.ts';
import { verifyCrl } from '../../../ceremonies/keys/crl.ts';
import { CERTIFICATE_LINTS, tbsOf, verifyIssued } from '../../../ceremonies/keys/x509.ts';
import { REHEARSAL_PIN, type Answer, type CertificateOrder, type KeyReference, type Request } from '../../../electron/devices/protocol.ts';
import { openSoftwareModule } from '../../../electron/devices/software-token.ts';
import { asked, cards, DeviceProcess, failure, later, place, type Place } from './device-process.ts';

const hexId = () => randomBytes(16).toString('hex');
const b64 = (bytes: Uint8Array) => toBase64url(Uint8Array.from(bytes));
const subject = { commonName: 'Test Root', organization: 'Conclave', organizationalUnit: 'REHEARSAL - NOT FOR USE', country: 'XX' };
export const rootOrder: CertificateOrder = {
  serialNumber: `4${randomBytes(16).toString('hex').slice(1)}`, notBefore: '2026-11-22T00:00:00.000Z', notAfter: '2046-11-21T23:59:59.000Z', pathLength: null,
  order: { kind: 'root', subject },
};

/** As many CKA_IDs as a key of this algorithm takes in this place. */
export function freshIds(algorithm: string, place: Placement): string[] {
  const parts = componentsOf(caAlgorithmNamed(algorithm)).length;
  return Array.from({ length: place === 'token' ? parts : place === 'split' ? 2 : 1 }, hexId);
}

/** What the record knows of a key after `generate-key`. */
export function referenceOf(algorithm: string, ids: readonly string[], { spki, parts, wrappingKey }: Answer<'generate-key'>): KeyReference {
  const left = [...ids];
  return {
    algorithm, spki, parts: parts.map(({ part, held, spki: own, wrapped }) => ({ part, held, spki: own, wrapped, id: held === 'token' ? left.shift()! : null })),
    wrapping: wrappingKey === null ? null : left[0]!,
  };
}

/** A share from the process of the backup key to the process of a card. */
export async function give(
  from: DeviceProcess, to: DeviceProcess, body: Omit<Request<'give-share'>, 'sealed'>,
): Promise<Answer<'give-share'>> {
  const { key } = await to.call('transport-key', {});
  const { sealed } = await from.call('seal-share', { set: body.set, x: body.x, to: key });
  return to.call('give-share', { ...body, sealed });
}

export interface Member { readonly seat: string; readonly card: string; readonly object: string; readonly x: number }

/** Shares from the process of the cards to the process of the token. */
export async function borrow(to: DeviceProcess, from: DeviceProcess, set: string, members: readonly Member[]): Promise<Request<'prove-recovery'>['quorum']> {
  const { key } = await to.call('transport-key', {});
  const quorum = [];
  for (const { seat, card, object, x } of members) {
    const { sealed } = await from.call('lend-share', { card, object, set, x, to: key, asked: asked(seat) });
    quorum.push({ seat, card, x, sealed });
  }
  return quorum;
}

/** Makes a key, and says how others find it. */
export async function makeKey(device: DeviceProcess, token: string, algorithm: string, place: Placement, extractable = true): Promise<KeyReference> {
  const ids = freshIds(algorithm, place);
  return referenceOf(algorithm, ids, await device.call('generate-key', { token, ids, label: 'Root CA', algorithm, place, extractable, asked: asked('officer') }));
}

/** A backup of a key, its shares on two cards, and the quorum of both. */
export async function backUp(device: DeviceProcess, token: string, key: KeyReference, cardSide: DeviceProcess, people: readonly TokenFacts[]): Promise<{
  set: ShareSet; wrapped: Answer<'wrap-key'>['parts']; members: Member[];
}> {
  const custodians = people.map((_, i) => `custodian-${i + 1}`);
  const { set } = await device.call('make-backup-key', { token, set: b64(randomBytes(16)), epoch: 0, threshold: 2, custodians, asked: asked('officer') });
  const { parts: wrapped } = await device.call('wrap-key', { token, key, asked: asked('officer') });
  const members = people.map(({ serial: card }, i) => ({ seat: custodians[i]!, card, object: `conclave-share-${hexId().slice(0, 16)}`, x: i + 1 }));
  for (const { seat, card, object, x } of members) {
    const given = await give(device, cardSide, { card, object, set: set.id, x, erases: [], asked: asked(seat) });
    assert.equal(given.commitment, set.commitments[x - 1]);
  }
  return { set, wrapped, members };
}

/** What lies on the cards, read by a process of its own (this one), occurs in nothing that came out of the device processes. */
async function nowhere(at: Place, cardSerials: string[], objects: string[], devices: DeviceProcess[]): Promise<void> {
  const traffic = devices.map((device) => device.traffic.join('\n')).join('\n');
  const module = openSoftwareModule(join(at.folder, 'tokens'), 'test', '');
  for (const [i, serial] of cardSerials.entries()) {
    const session = await (await module.token(serial)).open();
    await session.login(Buffer.from(REHEARSAL_PIN));
    const share = await session.getData(objects[i]!);
    const { objects: all } = await session.list(0, 100);
    const seed = await session.getData(all.find(({ label }) => label.startsWith('conclave-identity-'))!.label);
    for (const secret of [Buffer.from(share.bytes.subarray(-64, -32)), Buffer.from(seed.bytes)]) {
      assert.equal(secret.length, 32);
      for (const text of [secret.toString('hex'), secret.toString('base64').slice(0, 42), secret.toString('base64url').slice(0, 42), [...secret].join(',')]) {
        assert.ok(!traffic.includes(text));
      }
    }
    await session.close();
  }
}

const plain = { algorithm: 'ecdsa-p256', place: 'token', extractable: false } as const;

export function operations(kind: 'software' | 'softhsm2'): void {
  let at: Place;
  before(() => { at = place(kind); });
  after(() => at.remove());

  /** The whole of a root-CA ceremony at the tokens, 2-of-3. */
  const ceremony = (algorithm: string, place: Placement = 'token') => async () => {
    const device = await at.start();
    const [root, ...people] = await cards(device, 'root', 'c1', 'c2', 'c3');
    assert.ok(root);
    const token = root.serial;
    const officer = asked('officer');
    const custodians = ['custodian-1', 'custodian-2', 'custodian-3'];

    const statement = b64(Buffer.from('{"present":true}'));
    const required = [];
    for (const [i, card] of people.entries()) {
      const person = custodians[i]!;
      const enrolled = await device.call('enrol', { card: card.serial, id: hexId(), statement, asked: asked(person) });
      assert.equal(enrolled.made, true);
      assert.equal(enrolled.card.serial, card.serial);
      const keys = { signer: person, classical: fromJwk(enrolled.identity.classical), pq: fromJwk(enrolled.identity.pq) };
      required.push(keys);
      assert.deepEqual(await verifyAll({ payload: statement, signatures: enrolled.signatures }, [keys]), []);
      const again = await device.call('enrol', { card: card.serial, id: hexId(), statement, asked: asked(person) });
      assert.equal(again.made, false);
      assert.deepEqual(again.identity, enrolled.identity);
    }

    const needs = ['generate', 'sign', 'wrap', 'recover'] as const;
    const inspected = await device.call('inspect-token', { token, needs: [...needs], algorithm, place, asked: officer });
    assert.deepEqual(inspected.needs.map(({ name, proof }) => [name, proof]), needs.map((name) => [name, 'verified']), JSON.stringify(inspected.needs));
    assert.ok(inspected.mechanisms.length > 5);
    const random = await device.call('test-random', { token, bytes: 65_536 });
    assert.ok(random.tests.length >= 2 && random.tests.every(({ passed }) => passed));
    assert.deepEqual((await device.call('take-inventory', { token, asked: officer })).objects, []);

    const ids = freshIds(algorithm, place);
    const absent = await device.call('look', { token, ids, asked: officer });
    assert.equal(absent.state, 'absent');
    const order = { token, ids, label: 'Root CA', algorithm, place, extractable: true, asked: officer };
    const made = await device.call('generate-key', order);
    const key = referenceOf(algorithm, ids, made);
    for (const { held, private: one, proof, wrapped } of made.parts) {
      assert.equal(proof, held === 'token' ? 'reported' : 'verified');
      assert.equal(wrapped === null, held === 'token');
      if (held === 'token') assert.deepEqual([one?.label, one?.local, one?.extractable, one?.neverExtractable], ['Root CA', true, true, false]);
    }
    assert.deepEqual(made.parts.flatMap(({ private: one, public: other }) => [one?.id, other?.id]).filter((id) => id !== undefined), key.parts.flatMap(({ id }) => (id === null ? [] : [id, id])));
    if (made.wrappingKey !== null) {
      const { id, extractable, neverExtractable, sensitive, local, wrap, unwrap } = made.wrappingKey;
      assert.deepEqual([id, extractable, neverExtractable, sensitive, local, wrap, unwrap], [ids.at(-1), false, true, true, true, true, true]);
    }
    await assert.rejects(device.call('generate-key', order), failure('ID-FRESH', true));
    assert.equal((await device.call('look', { token, ids, asked: officer })).state, 'present');
    const inventory = await device.call('take-inventory', { token, asked: officer });
    const held = [...made.parts.flatMap((part) => [part.private, part.public]), made.wrappingKey].filter((object) => object !== null);
    assert.deepEqual(inventory.objects.map((object) => JSON.stringify(object)).toSorted(), held
      .map(({ class: half, id, label, keyType }) => JSON.stringify({ class: half, id, label, keyType })).toSorted());

    const spki = fromBase64url(made.spki);
    const own = (message: string, signature: string) => verifyWith(algorithm, spki, fromBase64url(message), fromBase64url(signature));
    const proof = await device.call('prove-key', { token, key, asked: officer });
    assert.equal(proof.spki, made.spki);
    assert.deepEqual(proof.parts, made.parts.map(({ mechanism: _, ...part }) => part));
    assert.ok(proof.weakTests.length > 0);
    assert.equal(await own(proof.possession.message, proof.possession.signature), true);

    const issued = await device.call('issue-certificate', { token, key, certificate: rootOrder, asked: officer });
    const der = fromBase64url(issued.certificate);
    assert.equal(await verifyIssued(der, spki), true);
    assert.deepEqual(readCertificate(der).key.spki, spki);
    assert.equal(issued.lintedTbs, issued.signedTbs);
    assert.equal(issued.signedTbs, createHash('sha256').update(tbsOf(der)).digest('base64url'));
    assert.deepEqual(issued.lints, [...CERTIFICATE_LINTS]);

    await assert.rejects(device.call('wrap-key', { token, key, asked: officer }), failure('BACKUP_KEY_GONE', true));
    await assert.rejects(device.call('seal-share', { set: b64(randomBytes(16)), x: 1, to: (await device.call('transport-key', {})).key }), failure('BACKUP_KEY_GONE', true));
    const { set, subsetsTried, sources } = await device.call('make-backup-key', { token, set: b64(randomBytes(16)), epoch: 1, threshold: 2, custodians, asked: officer });
    assert.deepEqual([set.shares, set.threshold, subsetsTried, sources], [3, 2, 3, ['token', 'system']]);
    const { parts: wrapped, private: still } = await device.call('wrap-key', { token, key, asked: officer });
    assert.deepEqual(wrapped.map(({ part }) => part), key.parts.map(({ part }) => part));
    assert.ok(still.every(({ extractable }) => extractable === true) && still.length === key.parts.filter((part) => part.held === 'token').length);

    const objects = people.map(() => `conclave-share-${hexId().slice(0, 16)}`);
    for (const [i, card] of people.entries()) {
      const given = await give(device, device, { card: card.serial, object: objects[i]!, set: set.id, x: i + 1, erases: [], asked: asked(custodians[i]!) });
      assert.equal(given.commitment, set.commitments[i]);
      const readBack = await device.call('read-back-share', { card: card.serial, object: objects[i]!, set: set.id, x: i + 1, asked: asked(custodians[i]!) });
      assert.equal(readBack.commitment, set.commitments[i]);
    }
    const first = { card: people[0]!.serial, set: set.id, asked: asked('custodian-1') };
    await assert.rejects(give(device, device, { ...first, object: objects[0]!, x: 1, erases: [] }), failure('OBJECT-FREE', true));
    await assert.rejects(device.call('read-back-share', { ...first, object: objects[0]!, x: 2 }), failure('SHARE-SWAPPED', true));
    await assert.rejects(device.call('read-back-share', { ...first, object: objects[1]!, x: 2 }), failure('ONE-MATCH', true));
    await assert.rejects(device.call('read-back-share', { ...first, set: b64(randomBytes(16)), object: objects[0]!, x: 1 }), failure('SHARE-FOREIGN-SET', true));
    const replaced = await give(device, device, { ...first, object: `${objects[0]!}-b`, x: 1, erases: [objects[0]!, 'never-was'] });
    assert.deepEqual(replaced.erased, [objects[0]]);
    objects[0] = `${objects[0]!}-b`;

    const nonce = b64(randomBytes(32));
    const member = (i: number): Member => ({ seat: custodians[i]!, card: people[i]!.serial, object: objects[i]!, x: i + 1 });
    const quorum = (...members: Member[]) => borrow(device, device, set.id, members);
    const recovery = { token, key, wrapped, nonce, set, asked: officer };
    const recovered = await device.call('prove-recovery', { ...recovery, quorum: await quorum(member(0), member(2)) });
    assert.equal(recovered.possession.message, nonce);
    assert.equal(await own(nonce, recovered.possession.signature), true);
    await assert.rejects(quorum(member(0), { ...member(1), x: 3 }), failure('SHARE-SWAPPED', true));
    const twice = await quorum(member(0), member(0));
    await assert.rejects(device.call('prove-recovery', { ...recovery, quorum: twice }), failure('SHARE-DUPLICATE', true));
    const another = { ...set, epoch: 0 };
    const outdated = await quorum(member(0), member(1));
    await assert.rejects(device.call('prove-recovery', { ...recovery, set: another, quorum: outdated }), failure('SHARE-NEW-EPOCH', true));
    const alone = await quorum(member(0), member(1));
    await assert.rejects(device.call('prove-recovery', { ...recovery, set: { ...set, threshold: 3 }, quorum: alone }), failure('SHARE-FOREIGN-SET', true));

    const locked = await device.call('lock-key', { token, key, asked: officer });
    assert.deepEqual(locked.private.map(({ extractable, neverExtractable }) => [extractable, neverExtractable]), still.map(() => [false, false]));
    assert.deepEqual((await device.call('lock-key', { token, key, asked: officer })).private, locked.private);
    if (place !== 'wrapped') await assert.rejects(device.call('wrap-key', { token, key, asked: officer }), failure('CKR_KEY_UNEXTRACTABLE', true));
    assert.deepEqual((await device.call('take-inventory', { token, asked: officer })).objects, inventory.objects, 'nothing but the key is left on the token');

    assert.deepEqual(await device.call('wipe-backup-key', {}), { how: 'overwritten' });
    assert.deepEqual(await device.call('wipe-backup-key', {}), { how: 'process-ended' });
    // The shares outlive the process that made them.
    await device.call('log-out', { token });
    await device.end();
    const next = await at.start();
    const { commitment } = await next.call('read-back-share', { card: people[1]!.serial, object: objects[1]!, set: set.id, x: 2, asked: asked('custodian-2') });
    assert.equal(commitment, set.commitments[1]);
    const signed = await next.call('sign', { card: people[2]!.serial, payloads: [statement, nonce], asked: asked('custodian-3') });
    for (const [i, payload] of [statement, nonce].entries()) assert.deepEqual(await verifyAll({ payload, signatures: signed.signatures[i]! }, [required[2]!]), []);
    const cleared = await next.call('clear', { token, ids, asked: officer });
    assert.deepEqual([cleared.before.state, cleared.before.objects.length, cleared.after.state], ['present', held.length, 'absent']);
    if (kind === 'software') await nowhere(at, people.map(({ serial }) => serial), objects, [device, next]);
    for (const process of [device, next]) assert.ok(process.notices.length === 0 && !process.traffic.join().includes(REHEARSAL_PIN));
    await next.end();
  };

  /** Made, proven, certified, backed up, recovered, locked; without people. */
  const life = (algorithm: string, place: Placement) => async () => {
    const device = await at.start();
    const [root, ...people] = await cards(device, 'root', 'c1', 'c2');
    const token = root!.serial;
    const officer = asked('officer');
    const inspected = await device.call('inspect-token', { token, needs: ['generate', 'sign', 'wrap', 'recover'], algorithm, place, asked: officer });
    assert.ok(inspected.needs.every(({ proof }) => proof === 'verified'), JSON.stringify(inspected.needs));
    assert.deepEqual((await device.call('take-inventory', { token, asked: officer })).objects, [], 'trying leaves nothing behind');
    const key = await makeKey(device, token, algorithm, place);
    const spki = fromBase64url(key.spki);
    const { possession } = await device.call('prove-key', { token, key, asked: officer });
    assert.equal(await verifyWith(algorithm, spki, fromBase64url(possession.message), fromBase64url(possession.signature)), true);
    const { certificate } = await device.call('issue-certificate', { token, key, certificate: rootOrder, asked: officer });
    assert.equal(await verifyIssued(fromBase64url(certificate), spki), true);
    const crl = await device.call('sign-crl', {
      token, key, issuer: certificate, number: '1', thisUpdate: '2026-11-22T00:00:00.000Z', nextUpdate: '2027-11-22T00:00:00.000Z',
      revocations: b64(Buffer.from('0a0b0c0d0e0f1011,2026-11-21T10:00:00Z,keyCompromise\n')), previous: null, asked: officer,
    });
    assert.equal(await verifyCrl(fromBase64url(crl.crl), spki), true);
    assert.equal(crl.lintedTbs, crl.signedTbs);
    const { set, wrapped, members } = await backUp(device, token, key, device, people);
    const nonce = b64(randomBytes(32));
    const quorum = await borrow(device, device, set.id, members);
    const recovered = await device.call('prove-recovery', { token, key, wrapped, nonce, set, quorum, asked: officer });
    assert.equal(await verifyWith(algorithm, spki, fromBase64url(nonce), fromBase64url(recovered.possession.signature)), true);
    const locked = await device.call('lock-key', { token, key, asked: officer });
    assert.equal(locked.private.length, key.parts.filter(({ held }) => held === 'token').length);
    await device.end();
  };

  test('a whole root-CA ceremony, ecdsa-p384', ceremony('ecdsa-p384'));
  test('a whole root-CA ceremony, a split composite', ceremony('MLDSA65-ECDSA-P256-SHA512', 'split'));
  test('rsa-3072 on the token', life('rsa-3072', 'token'));
  test('a split composite with RSASSA-PSS', life('MLDSA65-RSA3072-PSS-SHA512', 'split'));
  test('a composite wrapped as a whole, with a curve that no token here has', life('MLDSA87-ECDSA-brainpoolP384r1-SHA512', 'wrapped'));
  test('ml-dsa-65, wrapped', life('ml-dsa-65', 'wrapped'));
  test('slh-dsa-sha2-128f, wrapped', life('slh-dsa-sha2-128f', 'wrapped'));
  if (kind === 'software') {
    test('a whole root-CA ceremony, a composite with both halves on the token', ceremony('MLDSA65-Ed25519-SHA512', 'token'));
    test('ed25519 on the token', life('ed25519', 'token'));
    test('ml-dsa-87 on the token', life('ml-dsa-87', 'token'));
    test('slh-dsa-shake-128f on the token', life('slh-dsa-shake-128f', 'token'));
    test('a composite with P-384, both halves on the token', life('MLDSA87-ECDSA-P384-SHA512', 'token'));
  } else {
    test('what the token cannot do is said beforehand: no backup of Edwards keys', async () => {
      const device = await at.start();
      const [root] = await cards(device, 'edwards');
      const { needs } = await device.call('inspect-token', { token: root!.serial, needs: ['generate', 'sign', 'wrap', 'recover'], algorithm: 'ed25519', place: 'token', asked: asked('officer') });
      assert.deepEqual(needs.map(({ proof }) => proof), ['verified', 'verified', null, null]);
      assert.match(needs[2]!.detail, /does not wrap Edwards keys.*CKR_/);
      const half = await device.call('inspect-token', {
        token: root!.serial, needs: ['generate', 'sign', 'wrap', 'recover'], algorithm: 'MLDSA44-Ed25519-SHA512', place: 'split', asked: asked('officer'),
      });
      assert.deepEqual(half.needs.map(({ proof }) => proof), ['verified', 'verified', null, null]);
      assert.match(half.needs[2]!.detail, /^Ed25519: .*does not wrap Edwards keys.*CKR_/);
      const none = await device.call('inspect-token', { token: root!.serial, needs: ['generate', 'sign'], algorithm: 'MLDSA44-Ed25519-SHA512', place: 'token', asked: asked('officer') });
      assert.deepEqual(none.needs.map(({ proof }) => proof), [null, null]);
      assert.match(none.needs[0]!.detail, /^ML-DSA-44: CKR_/);
      await device.end();
    });

    test('debris of a crash on the token is listed or left out, and stops nothing', async () => {
      const device = await at.start();
      const [card] = await cards(device, 'debris');
      const token = card!.serial;
      await device.call('generate-key', { token, ids: ['0102'], label: 'whole', ...plain, asked: asked('officer') });
      await device.end();
      // What a kill -9 during key generation leaves: empty files and torn ones.
      const folder = readdirSync(join(at.folder, 'tokens')).map((name) => join(at.folder, 'tokens', name))
        .find((path) => readFileSync(join(path, 'token.object')).includes(token));
      assert.ok(folder !== undefined);
      writeFileSync(join(folder, '00000000-0000-0000-0000-000000000001.object'), '');
      writeFileSync(join(folder, '00000000-0000-0000-0000-000000000002.object'), randomBytes(100));
      const next = await at.start();
      const { objects } = await next.call('take-inventory', { token, asked: asked('officer') });
      assert.equal(objects.filter(({ label }) => label === 'whole').length, 2);
      assert.ok(objects.length <= 4);
      const look = await next.call('look', { token, ids: ['0102'], asked: asked('officer') });
      assert.equal(look.state, 'present');
      await next.end();
    });

    test('a stand-in types into rehearsal tokens only', async () => {
      execFileSync('softhsm2-util', ['--init-token', '--free', '--label', 'production', '--pin', REHEARSAL_PIN, '--so-pin', REHEARSAL_PIN],
        { env: { ...process.env, ...(at.module.kind === 'pkcs11' ? at.module.env : {}) } });
      const device = await at.start();
      const { slots } = await device.call('slots', {});
      const real = slots.find(({ token }) => token?.label === 'production')?.token;
      assert.ok(real);
      await assert.rejects(device.call('take-inventory', { token: real.serial, asked: asked('officer') }), failure('STAND_IN_REFUSED', true));
      device.atBooth = ({ ticket }) => device.type(ticket, REHEARSAL_PIN);
      assert.deepEqual((await device.call('take-inventory', { token: real.serial, asked: asked('officer', { standIn: false }) })).objects, []);
      await device.end();
    });
  }

  test('the booth: right, wrong, cancelled, stale, absent', async () => {
    const device = await at.start();
    const [card] = await cards(device, 'booth');
    const body = { token: card!.serial, asked: asked('officer', { standIn: false, purpose: 'list it' }) };
    device.atBooth = ({ ticket }) => device.cancel(ticket);
    await assert.rejects(device.call('take-inventory', body), failure('PIN_CANCELLED', true));
    device.atBooth = ({ ticket }) => {
      device.type(ticket + 7, REHEARSAL_PIN); // an answer to another question counts for nothing
      device.type(ticket, '000000');
    };
    await assert.rejects(device.call('take-inventory', body), failure('CKR_PIN_INCORRECT', true));
    for (const [typed, code] of [['', 'CKR_PIN_LEN_RANGE'], ['1'.repeat(255), 'CKR_PIN_']] as const) {
      device.atBooth = ({ ticket }) => device.type(ticket, typed);
      await assert.rejects(device.call('take-inventory', body), (thrown: Error) => thrown.message.startsWith(code));
    }
    device.atBooth = ({ ticket }) => device.type(ticket, REHEARSAL_PIN);
    await device.call('take-inventory', body);
    await device.call('take-inventory', body); // still logged in: nobody is asked again
    const wanted = device.notices.filter((notice) => notice.kind === 'pin-wanted');
    const settled = device.notices.filter((notice) => notice.kind === 'pin-settled');
    assert.deepEqual(wanted.map(({ ticket }) => ticket), [1, 2, 3, 4, 5]);
    assert.deepEqual(settled.map(({ ticket, outcome }) => [ticket, outcome]), [[1, 'cancelled'], [2, 'refused'], [3, 'refused'], [4, 'refused'], [5, 'accepted']]);
    assert.deepEqual([wanted[0]!.token.serial, wanted[0]!.asked.purpose, wanted[0]!.attempts], [card!.serial, 'list it', 'fine']);
    assert.ok(wanted[0]!.min >= 4 && wanted[0]!.max >= 32);
    assert.doesNotMatch(device.traffic.join('\n'), new RegExp(`${REHEARSAL_PIN}|000000`));
    await device.call('log-out', { token: card!.serial });
    await device.call('take-inventory', body);
    await device.end();

    const mute = await at.start({ booth: false });
    await assert.rejects(mute.call('take-inventory', body), failure('BOOTH_MISSING', true));
    assert.deepEqual(mute.notices, []);
    await mute.end();
  });

  if (kind === 'software') {
    test('the last try needs words, and a locked token says so', async () => {
      const device = await at.start();
      const [card] = await cards(device, 'tries');
      const body = (acceptFinalTry: boolean) => ({ token: card!.serial, asked: asked('officer', { standIn: false, acceptFinalTry }) });
      device.atBooth = ({ ticket }) => device.type(ticket, '000000');
      await assert.rejects(device.call('take-inventory', body(false)), failure('CKR_PIN_INCORRECT', true));
      await assert.rejects(device.call('take-inventory', body(false)), (thrown: Error) => failure('CKR_PIN_INCORRECT', true)(thrown) && /One try is left/.test(thrown.message));
      await assert.rejects(device.call('take-inventory', body(false)), failure('PIN_FINAL_TRY', true));
      // A stand-in does not use up the last try either.
      await assert.rejects(device.call('take-inventory', { token: card!.serial, asked: asked('officer') }), failure('PIN_FINAL_TRY', true));
      await assert.rejects(device.call('take-inventory', body(true)), failure('CKR_PIN_LOCKED', true));
      await assert.rejects(device.call('generate-key', { ...body(true), ids: [hexId()], label: 'locked', ...plain }), failure('CKR_PIN_LOCKED', true));
      assert.deepEqual(await device.call('take-inventory', body(true)), { token: card!.serial, objects: [], loggedIn: false }, 'without login, and it says so');
      assert.deepEqual(device.notices.flatMap((notice) => (notice.kind === 'pin-wanted' ? [notice.attempts] : notice.kind === 'pin-settled' ? [notice.outcome] : [])), ['fine', 'refused', 'low', 'refused', 'final', 'locked']);
      await device.end();
    });
  }

  test('objects: paged, public without login, all with it', async () => {
    const device = await at.start();
    const [card] = await cards(device, 'paged');
    const token = card!.serial;
    for (let n = 0; n < 3; n++) await device.call('generate-key', { token, ids: [hexId()], label: `key ${n}`, ...plain, asked: asked('officer') });
    const all = await device.call('objects', { token, offset: 0, limit: 100 });
    assert.deepEqual([all.total, all.loggedIn], [6, true]);
    await device.call('log-out', { token });
    const pages = [];
    for (let offset = 0; offset < 3; offset++) {
      const page = await device.call('objects', { token, offset, limit: 1 });
      assert.deepEqual([page.total, page.loggedIn], [3, false]);
      pages.push(...page.objects);
    }
    assert.deepEqual(pages.map(({ class: half, label }) => `${half} ${label}`).toSorted(), [0, 1, 2].map((n) => `public-key key ${n}`));
    const { mechanisms } = await device.call('mechanisms', { token });
    assert.ok(mechanisms.some(({ name }) => name === 'CKM_ECDSA'));
    await device.end();
  });

  test('killed in the middle of making a key: look tells, clear clears, and nothing else is touched', async () => {
    let device = await at.start();
    const [card] = await cards(device, 'crash');
    const token = card!.serial;
    const other = hexId();
    await device.call('generate-key', { token, ids: [other], label: 'other', ...plain, asked: asked('officer') });
    const states = new Set<string>();
    for (let round = 0; round < 4; round++) {
      const ids = [hexId()];
      await device.call('inspect-token', { token, needs: [], algorithm: 'ecdsa-p256', place: 'token', asked: asked('officer') });
      const lost = device.call('generate-key', { token, ids, label: 'Root CA', algorithm: 'ecdsa-p256', place: 'token', extractable: true, asked: asked('officer') });
      lost.catch(() => undefined);
      await later(round * 4);
      await device.kill();
      device = await at.start();
      const { before: found, after: left } = await device.call('clear', { token, ids, asked: asked('officer') });
      states.add(found.state);
      assert.equal(found.state === 'absent', found.objects.length === 0);
      assert.equal(left.state, 'absent');
      assert.equal((await device.call('look', { token, ids: [other], asked: asked('officer') })).state, 'present');
    }
    assert.ok([...states].every((state) => ['absent', 'half', 'present'].includes(state)));
    await device.end();
  });

  test('killed in the middle of enrolment: the next one finds or completes one identity', async () => {
    let device = await at.start();
    const statement = b64(Buffer.from('{}'));
    const [card] = await cards(device, 'enrol crash');
    const enrol = () => device.call('enrol', { card: card!.serial, id: hexId(), statement, asked: asked('witness') });
    for (const delay of [15, 30, 45, 60]) {
      at.keep();
      enrol().catch(() => undefined);
      await later(delay);
      await device.kill();
      at.mend();
      device = await at.start();
    }
    const { identity } = await enrol();
    const again = await enrol();
    assert.deepEqual([again.made, again.identity], [false, identity]);
    await device.end();
  });

  test('an enrolment that stopped between key and seed is completed with the same key; debris is removed', async () => {
    const device = await at.start();
    const [card, half] = await cards(device, 'no seed', 'half');
    const statement = b64(Buffer.from('{}'));
    const id = hexId();
    // Exactly what enrolment does first.
    await device.call('generate-key', { token: card!.serial, ids: [id], label: 'conclave-identity', ...plain, asked: asked('witness') });
    const looked = await device.call('look', { token: card!.serial, ids: [id], asked: asked('witness') });
    assert.equal(looked.state, 'half', looked.detail);
    await assert.rejects(device.call('sign', { card: card!.serial, payloads: [statement], asked: asked('witness') }), failure('IDENTITY-ON-CARD', true));
    const enrolled = await device.call('enrol', { card: card!.serial, id: hexId(), statement, asked: asked('witness') });
    assert.equal(enrolled.made, true);
    const whole = await device.call('look', { token: card!.serial, ids: [id], asked: asked('witness') });
    assert.deepEqual([whole.state, whole.objects.length], ['present', 3]);
    const cleared = await device.call('clear', { token: card!.serial, ids: [id], asked: asked('witness') });
    assert.equal(cleared.after.state, 'absent');
    assert.equal(half!.label, 'REHEARSAL half');
    await device.end();
  });

  test('bad requests are values: unknown, malformed, before start, other module, missing token, wrong algorithm', async () => {
    const raw = new DeviceProcess();
    await assert.rejects(raw.call('slots', {}), failure('DEVICE_NOT_STARTED', true));
    await assert.rejects(raw.raw('format-disk', {}), failure('REQUEST_INVALID', true));
    await assert.rejects(raw.raw('__proto__', {}), failure('REQUEST_INVALID', true));
    await assert.rejects(raw.raw('slots', { extra: 1 }), failure('REQUEST_INVALID', true));
    await raw.call('start', { module: at.module });
    assert.equal((await raw.call('start', { module: at.module })).module?.name, at.name);
    await assert.rejects(raw.call('start', { module: { kind: 'recorder', name: 'recorder' } }), failure('DEVICE_OTHER_MODULE', true));
    await assert.rejects(raw.call('recorder-new', {}), failure('DEVICE_OTHER_MODULE', true));
    await assert.rejects(raw.call('enrol', { card: 'nobody', id: '00', statement: '', asked: asked('x') }), failure('TOKEN_MISSING', true));
    const [card] = await cards(raw, 'bad');
    const part = { part: 'key', held: 'token', spki: '', wrapped: null, id: '00' } as const;
    const key: KeyReference = { algorithm: 'ecdsa-p384', spki: '', wrapping: null, parts: [part] };
    const proof = (changes: Partial<KeyReference>) => raw.call('prove-key', { token: card!.serial, key: { ...key, ...changes }, asked: asked('x') });
    await assert.rejects(proof({ algorithm: 'rot13' }), failure('ALGORITHM-KNOWN', true));
    await assert.rejects(proof({}), failure('ONE-MATCH', true));
    await assert.rejects(proof({ algorithm: 'MLDSA65-ECDSA-P256-SHA512' }), failure('REQUEST_INVALID', true));
    await assert.rejects(proof({ parts: [{ ...part, id: null }] }), failure('REQUEST_INVALID', true));
    await assert.rejects(proof({ parts: [{ ...part, held: 'wrapped', id: null, wrapped: { mechanism: '', bytes: '' } }] }), failure('REQUEST_INVALID', true));
    raw.child.send('not a message');
    raw.child.send({ kind: 'request', id: 'x' });
    raw.child.send({ kind: 'booth' });
    assert.deepEqual(await raw.call('log-out', { token: 'nobody' }), {});
    await raw.end();
  });
}
