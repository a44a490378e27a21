/**
 * A custodian's card that is a real smart card: an identity and a share on a SmartCard-HSM behind opensc-pkcs11.so, the key
 * and its backup on an embedded token. Two device processes, as in the app.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { toBase64url } from '../../../ceremonies/bytes.ts';
import { verifyAll } from '../../../ceremonies/keys/jws.ts';
import { fromJwk } from '../../../ceremonies/keys/public-key.ts';
import { openReaders, type Readers } from './card-reader.ts';
import { asked, cards, DeviceProcess, failure, later, place, type Place } from './device-process.ts';
import { backUp, borrow, makeKey } from './operations.ts';

const CARDS = ['DETEST00001', 'DETEST00002'] as const;
const b64 = (text: string) => toBase64url(new TextEncoder().encode(text));
const custodian = asked('custodian-1');

let readers: Readers;
let at: Place;
let device: DeviceProcess;
let people: DeviceProcess;
before(async () => {
  readers = await openReaders();
  for (const [slot, serial] of CARDS.entries()) await readers.insert({ serial }, slot === 0 ? 0 : 1);
  at = place('software');
  device = await at.start();
  people = new DeviceProcess();
  await people.call('start', { module: readers.module });
  const begun = performance.now();
  while ((await people.call('slots', {})).slots.some(({ token }) => token === null)) {
    assert.ok(performance.now() - begun < 5000, 'a card is not seen');
    await later(50);
  }
});
after(async () => {
  await people.kill();
  at.remove();
  await readers.close();
});

test('a person enrols on a card, and signs with both keys', async () => {
  const statement = b64('{"present":true}');
  const enrol = () => people.call('enrol', { card: CARDS[0], id: 'aabb', statement, asked: custodian });
  const { made, identity, signatures } = await enrol();
  assert.equal(made, true);
  const keys = { signer: 'custodian-1', classical: fromJwk(identity.classical), pq: fromJwk(identity.pq) };
  assert.deepEqual(await verifyAll({ payload: statement, signatures }, [keys]), []);
  const again = await enrol();
  assert.equal(again.made, false);
  assert.deepEqual(again.identity, identity);
  const payload = b64('a line of the minutes');
  const signed = await people.call('sign', { card: CARDS[0], payloads: [payload], asked: custodian });
  assert.deepEqual(await verifyAll({ payload, signatures: signed.signatures[0]! }, [keys]), []);
});

test('shares are kept on cards, read back, and recover the key', async () => {
  const token = (await cards(device, 'root'))[0]!.serial;
  const key = await makeKey(device, token, 'ecdsa-p256', 'token');
  const facts = (await people.call('slots', {})).slots.flatMap((slot) => slot.token ?? []);
  const { set, wrapped, members } = await backUp(device, token, key, people, facts);
  for (const { seat, card, object, x } of members) {
    const { commitment } = await people.call('read-back-share', { card, object, set: set.id, x, asked: asked(seat) });
    assert.equal(commitment, set.commitments[x - 1]);
  }
  const nonce = b64('a nonce of thirty-two octets ...');
  const quorum = await borrow(device, people, set.id, members);
  const recovered = await device.call('prove-recovery', { token, key, wrapped, nonce, set, quorum, asked: asked('officer') });
  assert.equal(recovered.possession.message, nonce);

  // A card that is pulled takes its share with it, and nothing else happens.
  const [first] = members;
  assert.ok(first);
  await readers.pull(first.card === CARDS[0] ? 0 : 1);
  await assert.rejects(
    people.call('read-back-share', { card: first.card, object: first.object, set: set.id, x: first.x, asked: custodian }),
    (error) => ['TOKEN_MISSING', 'CKR_DEVICE_REMOVED', 'CKR_TOKEN_NOT_PRESENT'].some((code) => failure(code, true)(error)),
  );
});

test('a card is no place for a root key: it says so before anything is made', async () => {
  const token = CARDS[1];
  const { needs } = await people.call('inspect-token', { token, needs: ['generate', 'wrap'], algorithm: 'ecdsa-p256', place: 'token', asked: asked('officer') });
  assert.deepEqual(needs.map(({ proof }) => proof), [null, null]);
  assert.match(needs[0]!.detail, /^SESSION_KEYS_STAY/);
  const { objects } = await people.call('take-inventory', { token, asked: asked('officer') });
  assert.ok(objects.every((object) => object.class === 'data'), 'the share, and no key');
  await people.call('log-out', { token });
});
