/** Reading a token, stated once for the twins, for NSS and for a smart card: what it tells, what its objects tell, and what it really can do. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, mock, test } from 'node:test';
import { Operations } from '../../../electron/devices/operations.ts';
import { REHEARSAL_PIN, type Answer, type Operation, type Request } from '../../../electron/devices/protocol.ts';
import { asked, cards, DeviceProcess, failure, later, place, SOFTHSM, type Place } from './device-process.ts';
import { openReaders, type Readers } from './card-reader.ts';
import { makeNssTokens } from './nss-token.ts';

const officer = asked('officer');

interface Twin {
  readonly name: 'software' | 'softhsm2' | 'nss' | 'opensc';
  /** Parameter sets that this token cannot prove although it lists what they take, with what is said instead. */
  readonly unproven: Readonly<Record<string, 'claimed' | 'absent'>>;
  readonly absent: readonly RegExp[];
  /** Name and version of the interfaces that it must offer; none where there are none. */
  readonly interfaces: readonly string[];
  /** True where no private key ever leaves the token. */
  readonly holdsFast: boolean;
}

const TWINS: readonly Twin[] = [
  { name: 'software', unproven: {}, absent: [/^RSA-2048$/], interfaces: [], holdsFast: false },
  { name: 'softhsm2', unproven: {}, absent: [/^ML-/, /^SLH-/], interfaces: [], holdsFast: false },
  { name: 'nss', unproven: {}, absent: [/^SLH-/], interfaces: ['PKCS 11 3.2', 'PKCS 11 2.40'], holdsFast: false },
  {
    // Tried for real, each of them would stay on the card.
    name: 'opensc', unproven: { 'RSA-2048': 'claimed', 'RSA-3072': 'claimed', 'RSA-4096': 'claimed', 'ECDSA P-256': 'claimed', 'ECDSA P-384': 'claimed' },
    absent: [/^ML-/, /^SLH-/, /^Ed25519$/, /^AES/, /^ECDSA P-521$/], interfaces: ['PKCS 11 3.0', 'PKCS 11 2.20'], holdsFast: true,
  },
];

/** Until the module sees this token. */
async function present(device: DeviceProcess, serial: string): Promise<void> {
  const begun = performance.now();
  while (!(await device.call('slots', {})).slots.some(({ token }) => token?.serial === serial)) {
    assert.ok(performance.now() - begun < 5000, `${serial} is not seen`);
    await later(50);
  }
}

for (const twin of TWINS) {
  describe(twin.name, () => {
    let at: Place | null = null;
    let folder = '';
    let readers: Readers | null = null;
    let device: DeviceProcess;
    let token: string;
    before(async () => {
      if (twin.name === 'opensc') {
        readers = await openReaders();
        token = 'DETEST00001';
        await readers.insert({ serial: token });
        device = new DeviceProcess();
        await device.call('start', { module: readers.module });
        await present(device, token);
      } else if (twin.name === 'nss') {
        folder = mkdtempSync(join(tmpdir(), 'conclave-reading-'));
        const { module, serials } = makeNssTokens(folder);
        device = new DeviceProcess();
        await device.call('start', { module: { ...module, env: {} } });
        token = serials[0]!;
      } else {
        at = place(twin.name);
        device = await at.start();
        token = (await cards(device, 'root'))[0]!.serial;
      }
      for (const [id, label, algorithm] of [['a1', 'First', 'ecdsa-p256'], ['a2', 'Second', 'rsa-3072']] as const) {
        await device.call('generate-key', { token, ids: [id], label, algorithm, place: 'token', extractable: id === 'a2', asked: officer });
      }
      await device.call('log-out', { token });
      // Until it has been out, this module does not know what it made.
      await readers?.pull();
      await readers?.insert({ serial: token });
      await present(device, token);
    });
    after(async () => {
      await device.kill();
      await readers?.close();
      at?.remove();
      if (folder !== '') rmSync(folder, { recursive: true, force: true });
    });

    test('a token in words: every flag has its meaning, limits are numbers or not told', async () => {
      const details = await device.call('details', { token });
      assert.equal(details.token.serial, token);
      assert.deepEqual(details.flags.map(({ name }) => name), details.token.flags);
      for (const { name, meaning } of [...details.flags, ...details.slot.flags]) assert.ok(meaning.length > 5, name);
      assert.ok(details.slot.flags.some(({ name }) => name === 'CKF_TOKEN_PRESENT'));
      assert.equal(details.pin.user, 'fine');
      assert.equal(details.pin.pad, false);
      assert.ok(details.pin.min >= 0 && details.pin.max >= details.pin.min);
      assert.equal(details.loggedIn, false);
      assert.deepEqual(details.validations, []);
      const interfaces = details.library.interfaces.map(({ name, version }) => `${name} ${version}`);
      assert.deepEqual(twin.interfaces.filter((name) => !interfaces.includes(name)), [], interfaces.join(', '));
      assert.equal(interfaces.length === 0, twin.interfaces.length === 0);
    });

    test('without login public objects alone are there, and each is told in full', async () => {
      const { objects, loggedIn } = await device.call('objects', { token, offset: 0, limit: 100 });
      assert.equal(loggedIn, false);
      assert.deepEqual(objects.map((object) => `${object.class} ${object.id}`).toSorted(), ['public-key a1', 'public-key a2']);
      for (const [position, object] of objects.entries()) {
        const told = await device.call('object', { token, place: { position, object } });
        assert.deepEqual(told.object, object);
        const text = Object.fromEntries(told.attributes.map((attribute) => [attribute.name, attribute.text]));
        assert.equal(text['CKA_CLASS'], 'CKO_PUBLIC_KEY');
        assert.equal(text['CKA_LABEL'], object.label);
        assert.equal(text['CKA_VERIFY'], 'true');
        assert.equal(object.id === 'a1' ? text['CKA_EC_PARAMS'] : text['CKA_MODULUS'], object.id === 'a1' ? 'P-256' : '3072 bits');
        assert.ok(told.publicKey !== null);
        const spki = createHash('sha256').update(Buffer.from(told.publicKey.spki, 'base64url')).digest('hex');
        assert.equal(told.publicKey.sha256, spki);
        assert.deepEqual(told.withheld, []);
        assert.ok(told.attributes.every(({ name }) => !told.unanswered.includes(name)));
      }
    });

    test('logged in, a private key is told without anything that could be secret', async () => {
      await device.call('log-in', { token, asked: officer });
      const where = [{ attribute: 'CKA_CLASS', value: 'CKO_PRIVATE_KEY' }, { attribute: 'CKA_ID', value: 'A2' }];
      const { total, objects, positions, loggedIn } = await device.call('search-objects', { token, where, offset: 0, limit: 10 });
      assert.deepEqual({ total, loggedIn, id: objects[0]?.id }, { total: 1, loggedIn: true, id: 'a2' });
      const told = await device.call('object', { token, place: { position: positions[0]!, object: objects[0]! } });
      assert.ok(told.withheld.includes('CKA_PRIVATE_EXPONENT') && told.withheld.includes('CKA_VALUE'));
      assert.ok(told.attributes.every(({ name }) => !told.withheld.includes(name)));
      assert.equal(told.key?.sensitive, true);
      assert.equal(told.key?.extractable, !twin.holdsFast);
      const letters = told.letters.map(({ letter, risk }) => `${letter}${risk ? '!' : ''}`);
      for (const letter of ['tok', 'prv', 'sig', 'sen', ...(twin.holdsFast ? ['nxt'] : ['XTR!', 'WXT!'])]) assert.ok(letters.includes(letter), `${letter} in ${letters.join(',')}`);
      await device.call('log-out', { token });
      assert.equal((await device.call('objects', { token, offset: 0, limit: 1 })).loggedIn, false);
    });

    test('a place that something else has taken is refused, and so is a search that says nothing', async () => {
      const { objects } = await device.call('objects', { token, offset: 0, limit: 100 });
      const moved = { position: 0, object: objects[1]! };
      await assert.rejects(device.call('object', { token, place: moved }), failure('OBJECT-MOVED', true));
      await assert.rejects(device.call('object', { token, place: { position: 99, object: objects[0]! } }), failure('OBJECT-MOVED', true));
      for (const [attribute, value, rule] of [
        ['CKA_NOTHING', '1', 'SEARCH-ATTRIBUTE'], ['CKA_VALUE', '00', 'SEARCH-ATTRIBUTE'], ['__proto__', '1', 'SEARCH-ATTRIBUTE'], ['CKA_SIGN', 'yes', 'SEARCH-VALUE'],
        ['CKA_ID', 'abc', 'SEARCH-VALUE'], ['CKA_CLASS', '4294967296', 'SEARCH-VALUE'], ['CKA_START_DATE', '2026-11-22', 'SEARCH-VALUE'],
      ] as const) {
        await assert.rejects(device.call('search-objects', { token, where: [{ attribute, value }], offset: 0, limit: 1 }), failure(rule, true), `${attribute}=${value}`);
      }
    });

    test('a search by any attribute, in pages', async () => {
      const search = (where: readonly { attribute: string; value: string }[], offset = 0) => device.call('search-objects', { token, where: [...where], offset, limit: 1 });
      assert.equal((await search([{ attribute: 'CKA_LABEL', value: 'First' }])).total, 1);
      assert.equal((await search([{ attribute: 'CKA_LABEL', value: 'Fir' }])).total, 0);
      const verifying = [{ attribute: 'CKA_VERIFY', value: 'true' }];
      const pages = [...(await search(verifying)).objects, ...(await search(verifying, 1)).objects];
      assert.deepEqual(pages.map(({ id }) => id).toSorted(), ['a1', 'a2']);
      assert.equal((await search([{ attribute: 'CKA_KEY_TYPE', value: 'CKK_RSA' }])).objects[0]?.id, 'a2');
    });

    test('the readiness matrix: proven by doing it, and nothing is left behind', async () => {
      const before = await device.call('objects', { token, offset: 0, limit: 100 });
      const { readiness } = await device.call('probe', { token, asked: officer });
      assert.equal(readiness.length, 26);
      const listed = new Set((await device.call('mechanisms', { token })).mechanisms.map(({ name }) => name));
      for (const { name, can, detail, code, mechanisms } of readiness) {
        const expected = twin.absent.some((pattern) => pattern.test(name)) ? 'absent' : twin.unproven[name] ?? (/^SLH.*s$/.test(name) ? 'claimed' : 'proven');
        assert.equal(can, expected, `${name}: ${detail} ${code ?? ''}`);
        if (can === 'proven') assert.ok(mechanisms.every((mechanism) => listed.has(mechanism)), name);
      }
      assert.deepEqual(await device.call('objects', { token, offset: 0, limit: 100 }), before);
      // The login of the probe ended with it.
      assert.equal((await device.call('details', { token })).loggedIn, false);
    });

    test('a scan reads every public key, sound ones without a finding', async () => {
      const { keys } = await device.call('scan-keys', { token, offset: 0, limit: 100 });
      assert.deepEqual(keys.map(({ label, object: { id } }) => `${id} ${label}`).toSorted(), ['a1 ECDSA P-256', 'a2 RSA 3072']);
      assert.deepEqual(keys.flatMap(({ findings }) => findings), []);
    });
  });
}

describe('a card', () => {
  let readers: Readers;
  let device: DeviceProcess;
  const token = 'DETEST00002';
  before(async () => {
    readers = await openReaders();
    await readers.insert({ serial: token, label: 'REHEARSAL Ada' });
    device = new DeviceProcess();
    await device.call('start', { module: readers.module });
    await present(device, token);
  });
  after(async () => {
    await device.kill();
    await readers.close();
  });

  test('an empty reader is a slot without a token; OpenSC names the PIN in the label', async () => {
    const { slots } = await device.call('slots', {});
    assert.deepEqual(slots.map((slot) => slot.token?.label ?? null), ['REHEARSAL Ada (UserPIN)', null]);
    assert.ok(slots.every(({ description }) => description.startsWith('Virtual reader')));
  });

  test('what it makes itself it vouches for, once it was out', async () => {
    await device.call('generate-key', { token, ids: ['b1'], label: 'made here', algorithm: 'ecdsa-p256', place: 'token', extractable: false, asked: officer });
    const made = async () => {
      await device.call('log-in', { token, asked: officer });
      const { objects, positions } = await device.call('search-objects', { token, where: [{ attribute: 'CKA_CLASS', value: 'CKO_PRIVATE_KEY' }], offset: 0, limit: 1 });
      const { key, letters, unanswered } = await device.call('object', { token, place: { position: positions[0]!, object: objects[0]! } });
      return { facts: [key?.sensitive, key?.alwaysSensitive, key?.neverExtractable, key?.local], risks: letters.filter(({ risk }) => risk), unanswered };
    };
    const before = await made();
    assert.deepEqual(before.facts, [null, null, null, null]);
    assert.deepEqual(before.risks, [], 'what is not known is no risk that was found');
    for (const name of ['CKA_SENSITIVE', 'CKA_LOCAL']) assert.ok(before.unanswered.includes(name), name);
    await readers.pull();
    await readers.insert({ serial: token });
    await present(device, token);
    assert.deepEqual((await made()).facts, [true, true, true, true]);
    await device.call('log-out', { token });
  });

  test('pulled while somebody looks at it, it is missed; back, it is looked at again without login', async () => {
    const look = () => device.call('objects', { token, offset: 0, limit: 10 });
    const before = await look();
    await device.call('log-in', { token, asked: officer });
    assert.equal((await look()).loggedIn, true);
    await readers.pull();
    await device.call('slots', {});
    for (const tries of ['first', 'second']) await assert.rejects(look(), failure('TOKEN_MISSING', true), tries);
    await assert.rejects(device.call('log-in', { token, asked: officer }), failure('TOKEN_MISSING', true));
    await readers.insert({ serial: token });
    await present(device, token);
    assert.deepEqual(await look(), before);
    // And without a login in between: the session for looking is opened anew.
    await readers.pull();
    await device.call('slots', {});
    await readers.insert({ serial: token });
    await present(device, token);
    await look().catch(() => undefined);
    assert.deepEqual(await look(), before);
  });

  test('the PIN: low, final only when somebody says so, locked', async () => {
    const person = { ...officer, standIn: false };
    device.atBooth = ({ ticket }) => device.type(ticket, '314159');
    const state = async () => (await device.call('details', { token })).pin.user;
    assert.equal(await state(), 'fine');
    await assert.rejects(device.call('log-in', { token, asked: person }), failure('CKR_PIN_INCORRECT'));
    assert.equal(await state(), 'low');
    await assert.rejects(device.call('log-in', { token, asked: person }), failure('CKR_PIN_INCORRECT'));
    assert.equal(await state(), 'final');
    await assert.rejects(device.call('log-in', { token, asked: person }), failure('PIN_FINAL_TRY', true));
    assert.equal(await state(), 'final');
    await assert.rejects(device.call('log-in', { token, asked: { ...person, acceptFinalTry: true } }), failure('CKR_PIN_LOCKED'));
    assert.equal(await state(), 'locked');
    await assert.rejects(device.call('log-in', { token, asked: officer }), failure('CKR_PIN_LOCKED', true));
    assert.equal((await device.call('objects', { token, offset: 0, limit: 10 })).loggedIn, false, 'what is public is still told');
  });
});

/** In this process, with the clock in our hands. */
test('a login for looking ends by itself after ten idle minutes, and not before', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'conclave-idle-'));
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const operations = new Operations({ notify: () => undefined, pin: async () => null, component: async () => null, program: '', readersMoved: () => undefined });
    const call = async <O extends Operation>(operation: O, body: Request<O>): Promise<Answer<O>> => {
      const answer = await operations.answer(operation, body);
      assert.ok(answer.ok, JSON.stringify(answer));
      return answer.body as Answer<O>;
    };
    await call('start', { module: { kind: 'software', name: 'software', folder: join(folder, 'tokens') } });
    const token = (await call('provision', { labels: ['idle'] })).tokens[0]!.serial;
    const loggedIn = async () => (await call('objects', { token, offset: 0, limit: 1 })).loggedIn;
    await call('log-in', { token, asked: officer });
    mock.timers.tick(9 * 60_000);
    assert.equal(await loggedIn(), true); // and this begins the ten minutes anew
    mock.timers.tick(9 * 60_000);
    assert.equal(await loggedIn(), true);
    mock.timers.tick(11 * 60_000);
    assert.equal(await loggedIn(), false);
    // What a ceremony took over stays until the ceremony logs out.
    await call('log-in', { token, asked: officer });
    await call('take-inventory', { token, asked: officer });
    mock.timers.tick(30 * 60_000);
    assert.equal(await loggedIn(), true);
    await operations.close();
  } finally {
    mock.timers.reset();
    rmSync(folder, { recursive: true, force: true });
  }
});

describe('what SoftHSM can be made to hold', () => {
  let at: Place;
  let device: DeviceProcess;
  let token: string;
  const tool = (...args: string[]) => execFileSync('pkcs11-tool', ['--module', SOFTHSM, '--token-label', 'REHEARSAL odd', '--login', '--pin', REHEARSAL_PIN, ...args], {
    env: { ...process.env, SOFTHSM2_CONF: join(at.folder, 'softhsm2.conf') }, stdio: 'pipe',
  });
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  before(async () => {
    at = place('softhsm2');
    const maker = await at.start();
    await cards(maker, 'odd');
    await maker.end();
    const file = (name: string) => join(at.folder, name);
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384', '-nodes', '-keyout', file('key.pem'), '-out', file('cert.pem'), '-days', '30', '-subj', '/O=Examples/CN=A certificate');
    openssl('x509', '-in', file('cert.pem'), '-outform', 'DER', '-out', file('cert.der'));
    tool('--write-object', file('cert.der'), '--type', 'cert', '--id', 'c1', '--label', 'A certificate');
    openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024', '-out', file('weak.pem'));
    openssl('pkey', '-in', file('weak.pem'), '-pubout', '-outform', 'DER', '-out', file('weak.der'));
    tool('--write-object', file('weak.der'), '--type', 'pubkey', '--id', 'f1', '--label', 'Too short');
    writeFileSync(file('secret.bin'), randomBytes(24));
    tool('--write-object', file('secret.bin'), '--type', 'data', '--private', '--label', 'Nobody reads this');
    writeFileSync(file('note.txt'), 'for everybody');
    tool('--write-object', file('note.txt'), '--type', 'data', '--label', 'A note');
    tool('--write-object', file('secret.bin'), '--type', 'data', '--label', 'Ours', '--application-label', 'conclave');
    device = await at.start();
    const { slots } = await device.call('slots', {});
    token = slots.flatMap(({ token: facts }) => facts ?? []).find(({ label }) => label === 'REHEARSAL odd')!.serial;
    await device.call('log-in', { token, asked: officer });
  });
  after(() => at.remove());
  const one = async (label: string) => {
    const { objects: [object], positions: [position] } = await device.call('search-objects', { token, where: [{ attribute: 'CKA_LABEL', value: label }], offset: 0, limit: 1 });
    return device.call('object', { token, place: { position: position!, object: object! } });
  };

  test('a certificate is told by its subject and its key', async () => {
    const { certificate, publicKey, attributes } = await one('A certificate');
    assert.equal(certificate?.subject, 'O=Examples, CN=A certificate');
    assert.equal(publicKey?.label, 'ECDSA P-384');
    assert.equal(attributes.find(({ name }) => name === 'CKA_SUBJECT')?.text, 'O=Examples, CN=A certificate');
    assert.equal(attributes.find(({ name }) => name === 'CKA_CERTIFICATE_TYPE')?.text, 'CKC_X_509');
    const der = readFileSync(join(at.folder, 'cert.der')).toString('hex');
    assert.equal(attributes.find(({ name }) => name === 'CKA_VALUE')?.hex, der);
  });

  test('the value of a private data object, or of one of ours, is never asked for; that of a public one is shown', async () => {
    for (const label of ['Nobody reads this', 'Ours']) {
      const hidden = await one(label);
      assert.deepEqual(hidden.withheld, ['CKA_VALUE'], label);
      assert.ok(hidden.attributes.every(({ name }) => name !== 'CKA_VALUE'), label);
    }
    const secret = readFileSync(join(at.folder, 'secret.bin'));
    const traffic = device.traffic.join('\n');
    for (const text of [secret.toString('hex'), secret.toString('base64').slice(0, 30), [...secret].join(',')]) assert.ok(!traffic.includes(text));
    const note = await one('A note');
    assert.equal(Buffer.from(note.attributes.find(({ name }) => name === 'CKA_VALUE')?.hex ?? '', 'hex').toString(), 'for everybody');
  });

  test('a weak key has its finding', async () => {
    const { keys } = await device.call('scan-keys', { token, offset: 0, limit: 100 });
    const weak = keys.find(({ object }) => object.label === 'Too short');
    assert.deepEqual(weak?.findings.map(({ rule }) => rule), ['WEAK-SIZE']);
    assert.deepEqual(keys.find(({ object }) => object.class === 'certificate')?.findings, []);
  });
});

test('codes: every CKR_* by name and number, others refused', async (t) => {
  const device = new DeviceProcess();
  t.after(() => device.end());
  await device.call('start', { module: { kind: 'recorder', name: 'recorder' } });
  const { explanations } = await device.call('explain', { code: null });
  for (const { code, number, what, next } of explanations) {
    assert.ok(what.length > 10 && next.length > 5, code);
    if (!code.startsWith('CKR_')) continue;
    assert.ok(number !== null, code);
    const [again] = (await device.call('explain', { code: `0x${number.toString(16)}` })).explanations;
    assert.equal(again?.code, code);
  }
  assert.equal((await device.call('explain', { code: 'ckr_pin_locked' })).explanations[0]?.number, 0xa4);
  assert.equal((await device.call('explain', { code: '0x80001234' })).explanations[0]?.code, 'CKR_VENDOR_DEFINED');
  for (const code of ['CKR_NOTHING', '', '__proto__', '0x7fffffff']) await assert.rejects(device.call('explain', { code }), failure('CODE-KNOWN', true), code);
});
