import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { AsnConvert } from '@peculiar/asn1-schema';
import { ContentInfo, SignedData } from '@peculiar/asn1-cms';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js';
import fc from 'fast-check';
import { concat, fromHex, fromUtf8, toHex, utf8 } from '../../../ceremonies/bytes.ts';
import { ML_KEMS, X_WING } from '../../../ceremonies/keys/algorithms.ts';
import { certificateFindings, readCertificate } from '../../../ceremonies/keys/chain.ts';
import { derParts, readDer, writeDer, writeIdentifier, writeOid } from '../../../ceremonies/keys/der.ts';
import {
  checkSignedData, contentKeyOf, contentTypeOf, CONTENT, identifierText, keyIdentifierOf, openEnvelope, otherInfo, readEnvelope, recipientOfCertificate, recipientOfKey, sealEnvelope,
  sealingRandomness, withKemKey, wrapKey, wrapLabels, wrappingRandomness, type Opened, type Sealing,
} from '../../../ceremonies/keys/envelope.ts';
import { kemPublicFromPrivate } from '../../../ceremonies/keys/kem.ts';
import { readPem } from '../../../ceremonies/keys/signed.ts';
import { readSubjectKey, subjectKeyOf } from '../../../ceremonies/keys/subject-key.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { witnessOpenssl } from '../../witness.ts';
import { SEED } from './seed.ts';
import { base64, kemVectors, pemFile, signatureVectors, vectorFile } from './vectors.ts';

const hexFile = (path: string): Uint8Array => fromHex(fromUtf8(vectorFile(path)).replace(/\s/g, '').toLowerCase());
const refused = (rule: string, field = '') => (error: unknown): boolean => {
  assert.ok(error instanceof Refused, String(error));
  assert.equal(error.refusal.rule, rule, error.message);
  assert.ok(error.refusal.expected.includes(field), error.message);
  return true;
};
const random = (length: number, fill = 7): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + fill) & 255);
const open = (der: Uint8Array, pkcs8: Uint8Array, accept?: { unauthenticated: boolean }): Promise<Opened> => withKemKey(pkcs8, (key) => openEnvelope(readEnvelope(der), key, accept));

/** A key that is nobody's example: ML-KEM-1024 from a fixed seed. */
const seed = random(64, 3);
const mlKem = subjectKeyOf(ML_KEMS['ml-kem-1024'].oid, null, kemPublicFromPrivate(ML_KEMS['ml-kem-1024'], seed));
const mlKemPkcs8 = pkcs8(ML_KEMS['ml-kem-1024'].oid, writeDer(0x80, seed));
const { cacert, tests: kems } = kemVectors();
const composite = (name: string) => {
  const one = kems.find(({ tcId }) => tcId === `id-${name}`)!;
  const certificate = readCertificate(base64(one.x5c));
  return { certificate, key: certificate.key, pkcs8: base64(one.dk_pkcs8) };
};
const MID_2027 = new Date('2027-01-01T00:00:00Z');

function pkcs8(oid: string, content: Uint8Array): Uint8Array {
  return writeDer(0x30, Uint8Array.of(2, 1, 0), writeIdentifier(oid, null), writeDer(4, content));
}

for (const [folder, name, forms] of [['ml-kem-rfc9936', 'ML-KEM-512', ['-seed', '-expanded', '-both']], ['composite-kem-draft', 'MLKEM768-ECDH-P256-SHA3-256', ['']]] as const) {
  test(`official example of ${folder}: every private key form opens it, and every intermediate value is the published one`, async () => {
    const der = pemFile(`cms/${folder}/${name}.cms`);
    const envelope = readEnvelope(der);
    const [recipient] = envelope.recipients;
    assert.ok(recipient?.kind === 'kem' && envelope.authenticated);
    assert.equal(identifierText(recipient.identifier), `key ${fromUtf8(vectorFile(`cms/${folder}/${name}.keyid`)).trim().toLowerCase()}`);
    assert.deepEqual(otherInfo(recipient.wrap, recipient.ukm), hexFile(`cms/${folder}/ori_info.txt`));
    assert.deepEqual(recipient.encryptedKey, hexFile(`cms/${folder}/encrypted_cek.txt`));
    assert.deepEqual(hkdf(sha256, hexFile(`cms/${folder}/shared_secret.txt`), undefined, otherInfo(recipient.wrap, null), hexFile(`cms/${folder}/kek.txt`).length), hexFile(`cms/${folder}/kek.txt`));
    for (const form of forms) {
      const key = vectorFile(`cms/${folder}/${name}${form}.priv.der`);
      await withKemKey(key, async (held) => {
        assert.deepEqual(await held.decapsulate(recipient.ciphertext), hexFile(`cms/${folder}/shared_secret.txt`));
        assert.deepEqual(await contentKeyOf(envelope, held), hexFile(`cms/${folder}/cek.txt`));
      });
      assert.deepEqual((await open(der, key)).content, vectorFile(`cms/${folder}/plaintext.txt`));
    }
    const certificate = readCertificate(pemFile(`cms/${folder}/${name}.pem`));
    assert.equal(toHex(readSubjectKey(pemFile(`cms/${folder}/${name}.pub`)).spki), toHex(certificate.key.spki));
  });

  test(`official example of ${folder}, damaged: refused by field`, async () => {
    const der = pemFile(`cms/${folder}/${name}.cms`);
    const key = vectorFile(`cms/${folder}/${name}${forms[0]}.priv.der`);
    const at = (needle: Uint8Array): number => Buffer.from(der).indexOf(needle);
    const damaged = async (place: number, to: number): Promise<Opened> => {
      const copy = der.slice();
      assert.notEqual(copy[place], to);
      copy[place] = to;
      return open(copy, key);
    };
    const flip = (place: number): Promise<Opened> => damaged(place, der[place]! ^ 1);
    const recipient = readEnvelope(der).recipients[0]!;
    assert.ok(recipient.kind === 'kem');
    const mac = der.length - 16;
    await assert.rejects(flip(mac), refused('ENVELOPE-CONTENT'));
    await assert.rejects(damaged(mac - 1, 17), refused('DER-STRUCTURE', 'authEnvelopedData'));
    await assert.rejects(flip(at(readEnvelope(der).encryptedContent!)), refused('ENVELOPE-CONTENT'));
    await assert.rejects(flip(at(readEnvelope(der).nonce)), refused('ENVELOPE-CONTENT'));
    await assert.rejects(flip(at(recipient.encryptedKey)), refused('ENVELOPE-KEY'));
    await assert.rejects(flip(at(recipient.ciphertext)), refused('ENVELOPE-KEY'));
    await assert.rejects(flip(at(writeOid('1.2.840.113549.1.9.16.3.28')) + 12), refused('ENVELOPE-KEY')); // HKDF with SHA-384: known, and another key
    await assert.rejects(damaged(at(writeOid('1.2.840.113549.1.9.16.3.28')) + 12, 99), refused('ENVELOPE-KDF', 'recipientInfos[0].kemri.kdf'));
    const wrapAt = at(writeDer(4, recipient.encryptedKey)) - 13;
    await assert.rejects(damaged(wrapAt - 1, 17), refused('ENVELOPE-WRAP', 'recipientInfos[0].kemri.kekLength'));
    await assert.rejects(damaged(wrapAt + 12, 9), refused('ENVELOPE-WRAP', 'recipientInfos[0].kemri.wrap'));
    await assert.rejects(damaged(at(readEnvelope(der).nonce) + 14, 12), refused('ENVELOPE-CIPHER', 'icvLen'));
    await assert.rejects(damaged(at(readEnvelope(der).nonce) - 1, 11), refused('DER-STRUCTURE', 'authEncryptedContentInfo'));
    await assert.rejects(damaged(mac - 2, 0xa1), refused('DER-STRUCTURE', 'authAttrs'));
    await assert.rejects(damaged(der.indexOf(0xa4), 0xa3), refused('ENVELOPE-RECIPIENT', 'a recipient with')); // now a password recipient
  });
}

test('seal and open: several recipients, each by itself; description and identifier are authenticated', async () => {
  const everybody = [
    { key: mlKem, pkcs8: mlKemPkcs8, recipient: recipientOfKey(mlKem) },
    ...['MLKEM768-X25519-SHA3-256', 'MLKEM768-ECDH-P256-SHA3-256', 'MLKEM1024-ECDH-P384-SHA3-256', 'MLKEM768-RSA2048-SHA3-256'].map((name) => {
      const one = composite(name);
      return { ...one, recipient: recipientOfCertificate(one.certificate, MID_2027) };
    }),
  ];
  const recipients = everybody.map(({ recipient }) => recipient);
  const sealing: Sealing = { content: utf8('share 2 of 3'), recipients, description: 'Root CA 2026, share 2 of 3', contentIdentifier: fromHex('0102030405'), ukm: utf8('ceremony 7') };
  const randomness = random(sealingRandomness(recipients));
  const der = sealEnvelope(sealing, randomness);
  assert.deepEqual(sealEnvelope(sealing, randomness), der); // nothing here but what the caller gave
  assert.equal(contentTypeOf(der), CONTENT.authEnvelopedData);
  assert.deepEqual(new Uint8Array(AsnConvert.serialize(AsnConvert.parse(der, ContentInfo))), der);
  const envelope = readEnvelope(der);
  assert.equal(envelope.cipher.label, 'AES-256-GCM');
  for (const one of envelope.recipients) assert.deepEqual(one.kind === 'kem' && wrapLabels(one), ['HKDF-SHA-256', 'AES-256 key wrap']);
  for (const { pkcs8: key } of everybody) {
    const opened = await open(der, key);
    assert.equal(fromUtf8(opened.content), 'share 2 of 3');
    assert.deepEqual([opened.description, toHex(opened.contentIdentifier!), opened.authenticated], ['Root CA 2026, share 2 of 3', '0102030405', true]);
  }
  for (const needle of ['share 2 of 3', '\x01\x02\x03\x04\x05']) {
    const altered = der.slice();
    altered[Buffer.from(der).indexOf(needle)]! ^= 1;
    await assert.rejects(open(altered, mlKemPkcs8), refused('ENVELOPE-CONTENT'), needle);
  }
  const moved = der.slice();
  for (let at = 0; (at = Buffer.from(moved).indexOf('ceremony 7', at)) >= 0;) moved[at + 9] = 0x38;
  await assert.rejects(open(moved, mlKemPkcs8), refused('ENVELOPE-KEY')); // another ukm is another key
  const stranger = composite('MLKEM1024-X448-SHA3-256');
  await assert.rejects(open(der, stranger.pkcs8), refused('ENVELOPE-RECIPIENT', 'MLKEM1024-X448'));
  await assert.rejects(open(der, pkcs8(ML_KEMS['ml-kem-1024'].oid, writeDer(0x80, random(64, 4)))), refused('ENVELOPE-KEY'));
});

test('recipients: who can be one, and who cannot', () => {
  const { certificate, key } = composite('MLKEM768-ECDH-P256-SHA3-256');
  assert.equal(toHex(recipientOfKey(key).identifier), `8014${toHex(sha256(key.raw)).slice(0, 40)}`);
  assert.throws(() => recipientOfCertificate(certificate, new Date('2099-01-01')), refused('CERTIFICATE-DATES'));
  assert.throws(() => recipientOfCertificate(readCertificate(cacert), MID_2027), refused('ENVELOPE-KEM'));
  const noId = { ...certificate, subjectKeyId: null };
  assert.match(identifierText(recipientOfCertificate(noId, MID_2027).identifier), new RegExp(`^serial ${certificate.serial} of `));
  assert.throws(() => recipientOfKey(subjectKeyOf(X_WING.oid, null, kemPublicFromPrivate(X_WING, random(32)))), refused('ENVELOPE-KEM'));
  const spoiled = mlKem.raw.slice().fill(255, 0, 3);
  assert.throws(() => recipientOfKey(subjectKeyOf(mlKem.oid, null, spoiled)), refused('KEM-MODULUS'));
  const one = recipientOfKey(mlKem);
  assert.throws(() => sealEnvelope({ content: utf8('x'), recipients: [one, one] }, random(sealingRandomness([one, one]))), refused('ENVELOPE-RECIPIENT'));
  assert.throws(() => sealEnvelope({ content: utf8('x'), recipients: [] }, random(44)), refused('ENVELOPE-RECIPIENT'));
  assert.throws(() => sealEnvelope({ content: utf8('x'), recipients: [one] }, random(44)), refused('ENVELOPE-RANDOMNESS'));
  assert.throws(() => sealEnvelope({ content: utf8('x'), recipients: [one], description: 'a\u202eb' }, random(sealingRandomness([one]))), refused('TEXT-PRINTABLE'));
});

test('rules of the standards that a file may break', async () => {
  const one = recipientOfKey(mlKem);
  const sealed = (more: Partial<Sealing> = {}): Uint8Array => sealEnvelope({ content: utf8('secret'), recipients: [one], ...more }, random(sealingRandomness([one])));
  const plain = sealed();
  const rewritten = (from: Uint8Array, to: Uint8Array, der = plain): Uint8Array => {
    assert.equal(from.length, to.length);
    const at = Buffer.from(der).indexOf(from);
    assert.ok(at > 0);
    return concat(der.slice(0, at), to, der.slice(at + from.length));
  };
  assert.throws(() => readEnvelope(rewritten(writeOid(ML_KEMS['ml-kem-1024'].oid), writeOid(ML_KEMS['ml-kem-768'].oid))), refused('KEM-CIPHERTEXT', 'recipientInfos[0].kemri.kemct'));
  // NULL where parameters must be absent: the OID one arc shorter, so that lengths stay right.
  const nulled = rewritten(writeIdentifier('1.2.840.113549.1.9.16.3.28', null), concat(Uint8Array.of(0x30, 13, 6, 9), writeOid('1.2.840.113549.1.9.16.3').slice(2, 11), Uint8Array.of(5, 0)));
  assert.throws(() => readEnvelope(nulled), refused('ENVELOPE-KDF', 'kemri.kdf'));
  // Content that is not plain data needs its content-type attribute (RFC 5083 section 2.1), and it must be the same.
  const other = '1.2.840.113549.1.7.6';
  assert.throws(() => readEnvelope(rewritten(writeOid(CONTENT.data), writeOid(other))), refused('ENVELOPE-ATTRIBUTES', 'authAttrs'));
  const typed = sealed({ contentType: other });
  const twice = Buffer.from(typed).lastIndexOf(writeOid(other));
  typed[twice + 10] = 5;
  assert.throws(() => readEnvelope(typed), refused('ENVELOPE-ATTRIBUTES', 'contentType'));
  assert.throws(() => readEnvelope(rewritten(writeOid(CONTENT.authEnvelopedData), writeOid('1.2.840.113549.1.9.16.1.24'))), refused('CMS-CONTENT-TYPE'));
  await assert.rejects(open(plain, vectorFile('mldsa-x509/ML-DSA-65-seed.priv.der')), refused('ENVELOPE-KEM'));
});

test('a bare AES key: EnvelopedData without content, AES-KWP under the KEK', async () => {
  const one = composite('MLKEM768-X25519-SHA3-256');
  const recipients = [recipientOfKey(one.key), recipientOfKey(mlKem)];
  for (const bytes of [16, 24, 32]) {
    const der = wrapKey(random(bytes), { recipients, ukm: utf8('what it is') }, random(wrappingRandomness(recipients)));
    const envelope = readEnvelope(der);
    assert.deepEqual([envelope.encryptedContent, envelope.authenticated, envelope.cipher.keyBytes], [null, false, bytes]);
    for (const [recipient] of [envelope.recipients]) assert.equal(recipient?.kind === 'kem' && recipient.encryptedKey.length, bytes + 8);
    for (const key of [one.pkcs8, mlKemPkcs8]) assert.deepEqual(await withKemKey(key, (held) => contentKeyOf(envelope, held)), random(bytes));
    await assert.rejects(open(der, mlKemPkcs8, { unauthenticated: true }), refused('ENVELOPE-CONTENT'));
  }
  assert.throws(() => wrapKey(random(20), { recipients }, random(wrappingRandomness(recipients))), refused('KEY-LENGTH'));
});

// --- signatures ----------------------------------------------------------------------------------------------------------

for (const set of ['44', '65', '87']) {
  test(`official example of RFC 9882: ML-DSA-${set} with signed attributes; altered ones by name`, async () => {
    const der = pemFile(`cms/ml-dsa-rfc9882/mldsa${set}-signed-attrs.pem`);
    const certificate = readCertificate(pemFile(`mldsa-x509/ML-DSA-${set}.crt`));
    const verdict = await checkSignedData(der, [certificate], null);
    assert.deepEqual([verdict.valid, fromUtf8(verdict.content)], [true, `ML-DSA-${set} signed-data example with signed attributes`]);
    const rules = async (change: (copy: Uint8Array) => void): Promise<string[]> => {
      const copy = der.slice();
      change(copy);
      return (await checkSignedData(copy, [certificate], null)).signers.flatMap(({ findings }) => findings.map(({ rule }) => rule));
    };
    const at = (needle: Uint8Array | string, last = false): number => last ? Buffer.from(der).lastIndexOf(needle) : Buffer.from(der).indexOf(needle);
    assert.deepEqual(await rules((copy) => { copy[at('signed-data')] = 0x53; }), ['SIGNED-CONTENT']);
    assert.deepEqual(await rules((copy) => { copy[copy.length - 200]! ^= 1; }), ['SIGNATURE-VERIFIES']);
    const digest = writeOid('1.2.840.113549.1.9.4');
    assert.deepEqual(await rules((copy) => { copy[at(digest) + 20]! ^= 1; }), ['SIGNED-CONTENT', 'SIGNATURE-VERIFIES']);
    assert.deepEqual(await rules((copy) => { copy[at(digest) + 10] = 9; }), ['SIGNED-ATTRIBUTES', 'SIGNATURE-VERIFIES']);
    const sha512 = writeOid('2.16.840.1.101.3.4.2.3');
    assert.deepEqual(await rules((copy) => { copy[at(sha512, true) + 10] = 4; }), ['SIGNED-DIGEST']); // SHA-224
    assert.deepEqual(await rules((copy) => { copy[at(sha512, true) + 10] = 1; }), [set === '44' ? 'SIGNED-CONTENT' : 'SIGNED-DIGEST']);
    const own = writeOid(`2.16.840.1.101.3.4.3.${{ 44: 17, 65: 18, 87: 19 }[set]!}`);
    assert.deepEqual(await rules((copy) => { copy[at(own, true) + 10] = 32; }), ['SIGNATURE-ALGORITHM']); // HashML-DSA
    assert.deepEqual((await checkSignedData(der, [], null)).signers.flatMap(({ findings }) => findings.map(({ rule }) => rule)), ['SIGNED-SIGNER']);
    await assert.rejects(checkSignedData(der, [certificate], utf8('x')), refused('SIGNED-CONTENT'));
  });
}

test('official example of the composite draft; the digest must be the composite\'s own', async () => {
  const der = pemFile('cms/composite-sigs-draft/id-MLDSA65-ECDSA-P256-SHA512-signed-attrs.pem');
  const certificate = readCertificate(pemFile('cms/composite-sigs-draft/id-MLDSA65-ECDSA-P256-SHA512.crt'));
  assert.deepEqual(certificateFindings(certificate), []);
  assert.equal((await checkSignedData(der, [certificate], null)).valid, true);
  const spoiled = der.slice();
  spoiled[spoiled.length - 1]! ^= 1;
  assert.deepEqual((await checkSignedData(spoiled, [certificate], null)).signers[0]?.findings.map(({ rule }) => rule), ['COMPOSITE-TRADITIONAL-HALF']);
  const at = Buffer.from(spoiled).lastIndexOf(writeOid('2.16.840.1.101.3.4.2.3'));
  const other = der.slice();
  other[at + 10] = 10; // SHA3-512: as long, and not the pre-hash
  assert.deepEqual((await checkSignedData(other, [certificate], null)).signers[0]?.findings.map(({ rule }) => rule), ['SIGNED-DIGEST']);
});

test('signed data without attributes, its content beside it', async () => {
  const { tests } = signatureVectors();
  const certificate = readCertificate(base64(tests.find(({ tcId }) => tcId === 'id-ML-DSA-65')!.x5c));
  const secretKey = ml_dsa65.keygen(base64(tests.find(({ tcId }) => tcId === 'id-ML-DSA-65')!.sk)).secretKey;
  const content = utf8('bare');
  const signedData = (type: string): Uint8Array => {
    const digest = writeIdentifier('2.16.840.1.101.3.4.2.3', null);
    const info = writeDer(0x30, Uint8Array.of(2, 1, 1), writeDer(0x30, certificate.issuer, writeDer(2, fromHex(certificate.serial))), digest,
      writeIdentifier('2.16.840.1.101.3.4.3.18', null), writeDer(4, ml_dsa65.sign(content, secretKey)));
    return writeDer(0x30, writeOid(CONTENT.signedData), writeDer(0xa0, writeDer(0x30, Uint8Array.of(2, 1, 1), writeDer(0x31, digest), writeDer(0x30, writeOid(type)),
      writeDer(0xa0, certificate.der), writeDer(0x31, info))));
  };
  const detached = signedData(CONTENT.data);
  assert.equal(AsnConvert.parse(AsnConvert.parse(detached, ContentInfo).content, SignedData).signerInfos.length, 1);
  const verdict = await checkSignedData(detached, [], content);
  assert.deepEqual(verdict.signers.flatMap(({ findings }) => findings.map(({ rule }) => rule)), []);
  assert.equal((await checkSignedData(detached, [], utf8('Bare'))).valid, false);
  await assert.rejects(checkSignedData(detached, [], null), refused('SIGNED-CONTENT'));
  // Other content than plain data must be named in signed attributes (RFC 5652 section 5.3).
  assert.deepEqual((await checkSignedData(signedData('1.2.840.113549.1.7.6'), [], content)).signers[0]?.findings.map(({ rule }) => rule), ['SIGNED-ATTRIBUTES']);
});

// --- hostile and foreign -------------------------------------------------------------------------------------------------

test('property: any change to an envelope is refused by name or changes nothing; nothing crashes', async () => {
  const one = recipientOfKey(mlKem);
  const der = sealEnvelope({ content: utf8('nobody changes this'), recipients: [one], description: 'd' }, random(sealingRandomness([one])));
  await withKemKey(mlKemPkcs8, async (key) => {
    await fc.assert(fc.asyncProperty(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), fc.constantFrom('flip', 'cut', 'insert', 'double'), async (at, value, how) => {
      const flipped = der.slice();
      flipped[at]! ^= value;
      const copy = { flip: flipped, cut: der.slice(0, at), insert: concat(der.slice(0, at), Uint8Array.of(value), der.slice(at)), double: concat(der, der.slice(0, at + 1)) }[how];
      try {
        const opened = await openEnvelope(readEnvelope(copy), key);
        assert.equal(fromUtf8(opened.content), 'nobody changes this');
        assert.equal(how, 'flip'); // the recipient's identifier is not authenticated: it only says which key to try
      } catch (error) {
        assert.ok(error instanceof Refused, String(error));
      }
    }), { seed: SEED, numRuns: 300 });
  });
});

test('property: any bytes, and any nesting, are read or refused by name', async () => {
  const certificate = readCertificate(pemFile('mldsa-x509/ML-DSA-44.crt'));
  const signed = pemFile('cms/ml-dsa-rfc9882/mldsa44-signed-attrs.pem');
  const attempt = async (der: Uint8Array): Promise<void> => {
    for (const read of [async () => { readEnvelope(der); }, async () => { await checkSignedData(der, [certificate], null); }]) {
      try {
        await read();
      } catch (error) {
        assert.ok(error instanceof Refused, String(error));
      }
    }
  };
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), attempt), { seed: SEED, numRuns: 300 });
  await fc.assert(fc.asyncProperty(fc.nat(300), fc.integer({ min: 1, max: 255 }), async (at, value) => {
    const copy = signed.slice();
    copy[at]! ^= value;
    await attempt(copy);
  }), { seed: SEED, numRuns: 200 });
  let nested: Uint8Array = Uint8Array.of(5, 0);
  for (let i = 0; i < 3000; i++) nested = writeDer([0x30, 0x31, 0xa0, 0xa4][i % 4]!, nested);
  await attempt(nested);
  await attempt(writeDer(0x30, writeOid(CONTENT.authEnvelopedData), writeDer(0xa0, writeDer(0x30, Uint8Array.of(2, 1, 0), writeDer(0x31, nested)))));
  for (const huge of ['3084ffffffff', '30847fffffff0601', '3080060b', '30820003020100']) await attempt(fromHex(huge));
});

test('at most 64 recipients are read', () => {
  const one = recipientOfKey(mlKem);
  const der = sealEnvelope({ content: utf8('x'), recipients: [one] }, random(sealingRandomness([one])));
  const [, wrapper] = derParts(readDer(der, 'f'), 'f');
  const body = derParts(readDer(wrapper!.content, 'f'), 'f');
  const crowd = writeDer(0x30, writeOid(CONTENT.authEnvelopedData), writeDer(0xa0, writeDer(0x30, body[0]!.bytes, writeDer(0x31, ...Array.from({ length: 65 }, () => body[1]!.content)), ...body.slice(2).map((part) => part.bytes))));
  assert.throws(() => readEnvelope(crowd), refused('ENVELOPE-RECIPIENT', '64'));
});

test('OpenSSL: its ML-DSA signatures verify here, and its ML-KEM steps open what is sealed here', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'conclave-envelope-'));
  const openssl = (...args: string[]): Buffer => execFileSync(witnessOpenssl(), args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const file = (name: string, bytes: Uint8Array | string): string => { writeFileSync(join(folder, name), bytes); return name; };
  const read = (name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)));
  try {
    openssl('req', '-x509', '-newkey', 'ML-DSA-65', '-keyout', 'ca.key', '-out', 'ca.pem', '-nodes', '-subj', '/CN=Witness', '-days', '30', '-addext', 'keyUsage=critical,digitalSignature,keyCertSign');
    file('content', 'signed elsewhere');
    for (const [extra, detached] of [[['-nodetach'], null], [['-nodetach', '-keyid'], null], [[], utf8('signed elsewhere')]] as const) {
      openssl('cms', '-sign', '-binary', '-md', 'sha512', '-in', 'content', '-signer', 'ca.pem', '-inkey', 'ca.key', '-outform', 'DER', '-out', 'signed', ...extra);
      const verdict = await checkSignedData(read('signed'), [], detached);
      assert.deepEqual(verdict.signers.flatMap(({ findings }) => findings), [], extra.join(' '));
    }
    // Each step of the receiver by itself: decapsulation, HKDF, AES key unwrap.
    file('key.der', mlKemPkcs8);
    const one = recipientOfKey(mlKem);
    const der = sealEnvelope({ content: utf8('for the witness'), recipients: [one], description: 'to be seen', ukm: utf8('context') }, random(sealingRandomness([one])));
    const envelope = readEnvelope(der);
    const [kem] = envelope.recipients;
    assert.ok(kem?.kind === 'kem');
    openssl('pkeyutl', '-decap', '-inkey', 'key.der', '-keyform', 'DER', '-in', file('ct', kem.ciphertext), '-secret', 'ss');
    const kek = openssl('kdf', '-binary', '-keylen', '32', '-kdfopt', 'digest:SHA256', '-kdfopt', `hexkey:${toHex(read('ss'))}`, '-kdfopt', `hexinfo:${toHex(otherInfo(kem.wrap, kem.ukm))}`, 'HKDF');
    openssl('enc', '-d', '-id-aes256-wrap', '-K', kek.toString('hex'), '-iv', 'a6a6a6a6a6a6a6a6', '-in', file('wrapped', kem.encryptedKey), '-out', 'cek');
    assert.deepEqual(read('cek'), await withKemKey(mlKemPkcs8, (held) => contentKeyOf(envelope, held)));
    assert.deepEqual(read('cek'), random(sealingRandomness([one])).slice(0, 32));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

// `openssl cms` reads KEMRecipientInfo from 3.6 on; an older one would only say that the recipient type is unsupported.
const version = execFileSync(witnessOpenssl(), ['version'], { encoding: 'utf8' });
const knowsKem = /OpenSSL (3\.([6-9]|\d\d)|[4-9])/.test(version);
test('OpenSSL 3.6: opens whole envelopes made here, and its own are opened here', { skip: knowsKem ? false : `${version.trim()} has no KEMRecipientInfo` }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'conclave-envelope-'));
  const openssl = (...args: string[]): Buffer => execFileSync(witnessOpenssl(), args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const file = (name: string, bytes: Uint8Array | string): string => { writeFileSync(join(folder, name), bytes); return name; };
  const read = (name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)));
  try {
    openssl('req', '-x509', '-newkey', 'ML-DSA-65', '-keyout', 'ca.key', '-out', 'ca.pem', '-nodes', '-subj', '/CN=Witness', '-days', '30');
    openssl('genpkey', '-algorithm', 'ML-KEM-768', '-outform', 'DER', '-out', 'kem.der');
    openssl('pkey', '-in', 'kem.der', '-inform', 'DER', '-pubout', '-out', 'kem.pub');
    file('ext', 'keyUsage=critical,keyEncipherment\nsubjectKeyIdentifier=hash\n');
    openssl('x509', '-new', '-subj', '/CN=Recipient', '-force_pubkey', 'kem.pub', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', '20', '-extfile', 'ext', '-out', 'kem.pem');
    const certificate = readCertificate(readPem(read('kem.pem'), ['CERTIFICATE'])[0]!.der);
    const byCertificate = recipientOfCertificate(certificate, new Date());
    const other = recipientOfKey(composite('MLKEM768-X25519-SHA3-256').key);
    const content = utf8('opened by somebody else');
    for (const sealing of [
      { content, recipients: [byCertificate] }, { content, recipients: [byCertificate, other] }, { content, recipients: [recipientOfKey(certificate.key)] },
      { content, recipients: [other, byCertificate], description: 'Wurzel-CA, Anteil 2 von 3 ✓', contentIdentifier: random(5), ukm: random(20) },
      { content, recipients: [byCertificate], contentType: '2.16.840.1.101.2.1.2.78.5' },
    ] satisfies Sealing[]) {
      file('sealed', sealEnvelope(sealing, random(sealingRandomness(sealing.recipients))));
      assert.deepEqual(new Uint8Array(openssl('cms', '-decrypt', '-binary', '-inform', 'DER', '-in', 'sealed', '-inkey', 'kem.der', '-keyform', 'DER')), content);
    }
    for (const [cipher, accept] of [['-aes-256-gcm', false], ['-aes-128-gcm', false], ['-aes-256-cbc', true]] as const) {
      for (const extra of [[], ['-keyid']]) {
        openssl('cms', '-encrypt', '-binary', '-in', file('content', content), cipher, ...extra, '-outform', 'DER', '-out', 'theirs', '-recip', 'kem.pem');
        const opened = await open(read('theirs'), read('kem.der'), { unauthenticated: accept });
        assert.deepEqual([opened.content, opened.authenticated], [content, !accept]);
        if (accept) await assert.rejects(open(read('theirs'), read('kem.der')), refused('ENVELOPE-AUTHENTICATED'));
      }
    }
    assert.equal(toHex(keyIdentifierOf(certificate.key)).length, 40);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
