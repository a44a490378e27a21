/**
 * Attestations of three vendors. No vendor's signed example is among these: the chains are made here, in the vendors' formats,
 * with extension values as their devices write them.
 */
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, webcrypto, type KeyObject } from 'node:crypto';
import test from 'node:test';
import { BasicConstraintsExtension, Extension, X509CertificateGenerator } from '@peculiar/x509';
import { brainpoolP256r1 } from '@noble/curves/misc.js';
import fc from 'fast-check';
import { concat, forWebCrypto, fromHex, utf8 } from '../../../ceremonies/bytes.ts';
import { attestedKey, verifyAttestation } from '../../../ceremonies/keys/attestation.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { SEED } from './seed.ts';

const AT = new Date('2026-11-22T00:00:00Z');
const rules = async (files: Uint8Array[], anchor: Uint8Array, at = AT) => {
  try {
    return (await verifyAttestation(files, anchor, at)).findings.map(({ rule }) => rule);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return [`thrown ${error.refusal.rule}`];
  }
};

// --- X.509 -----------------------------------------------------------------------------------------------------------

const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
interface Issuer { readonly name: string; readonly keys: CryptoKeyPair }
const party = async (name: string): Promise<Issuer> => ({ name: `CN=${name}`, keys: (await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify'])) as CryptoKeyPair });

async function certificate(subject: Issuer, issuer: Issuer, extensions: Extension[], notAfter = new Date('2050-01-01T00:00:00Z')): Promise<Uint8Array> {
  const made = await X509CertificateGenerator.create({
    serialNumber: '0102030405060708', subject: subject.name, issuer: issuer.name, publicKey: subject.keys.publicKey, signingKey: issuer.keys.privateKey, signingAlgorithm: EC,
    notBefore: new Date('2020-01-01T00:00:00Z'), notAfter, extensions,
  }, webcrypto as Crypto);
  return new Uint8Array(made.rawData);
}
const CA = (pathLength?: number) => new BasicConstraintsExtension(true, pathLength, true);
const vendor = (arc: string, hex: string) => new Extension(`1.3.6.1.4.1.41482.${arc}`, false, forWebCrypto(fromHex(hex)));
// Firmware 5.7.1 and policies as bare octets, the serial number in DER: not what RFC 5280 says, and what YubiKeys write.
const PIV = [vendor('3.3', '050701'), vendor('3.7', '020401bd35d5'), vendor('3.8', '0302'), vendor('3.9', '83')];
const HSM = (origin: string, capabilities = '0000000400000660') => [
  vendor('4.1', '0403020401'), vendor('4.2', '0204020bd9fd'), vendor('4.3', `030200${origin}`), vendor('4.4', '0303000001'), vendor('4.5', `030900${capabilities}`), vendor('4.6', '020103'), vendor('4.9', '0c02434d'),
];
const [root, device, slot, other] = await Promise.all(['Root', 'YubiKey F9', 'YubiKey PIV Attestation 9a', 'Other'].map(party)) as [Issuer, Issuer, Issuer, Issuer];
const anchor = await certificate(root, root, [CA()]);
const f9 = await certificate(device, root, [CA(0)]);
const leaf = await certificate(slot, device, PIV);

test('YubiKey PIV: attested facts under the anchor, and of this key only', async () => {
  const found = await verifyAttestation([leaf, f9], anchor, AT);
  assert.deepEqual(found.findings, []);
  assert.deepEqual(found.facts.map(({ name, value }) => `${name}: ${value}`), [
    'origin: generated on the device', 'slot: 9a', 'firmware: 5.7.1', 'serial: 29177301', 'PIN: always', 'touch: always', 'form: USB-C keychain, FIPS series',
  ]);
  assert.ok(found.facts.every(({ proof }) => proof === 'attested'));
  assert.deepEqual([found.vendor, found.chain], ['YubiKey PIV', ['CN=YubiKey PIV Attestation 9a', 'CN=YubiKey F9', 'CN=Root']]);
  const spkiOf = async ({ keys }: Issuer) => new Uint8Array(await webcrypto.subtle.exportKey('spki', keys.publicKey));
  assert.equal(attestedKey(await spkiOf(slot), found), true);
  assert.equal(attestedKey(await spkiOf(device), found), false);
  const pem = (der: Uint8Array) => `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`;
  assert.deepEqual(await rules([utf8(pem(f9) + pem(leaf))], utf8(pem(anchor))), []);
});

test('X.509: every way in which a chain is none', async () => {
  const impostor = { ...root, keys: other.keys };
  const attested = await certificate(other, slot, PIV); // an attested key that attests another
  const rows: readonly (readonly [string, Uint8Array[], Uint8Array, readonly string[], Date?])[] = [
    ['no certificate between', [leaf], anchor, ['ATTEST-CHAIN']],
    ['another anchor', [leaf, f9], await certificate(other, other, [CA()]), ['ATTEST-CHAIN']],
    ['an anchor of the same name', [leaf, f9], await certificate(impostor, impostor, [CA()]), ['SIGNATURE-VERIFIES']],
    ['the anchor among the files does not make it one', [leaf, f9, anchor], await certificate(other, other, [CA()]), ['ATTEST-CHAIN']],
    ['an attested key attests another', [attested, leaf, f9], anchor, ['ATTEST-CA', 'ATTEST-CA']],
    ['a device that is no CA', [leaf, await certificate(device, root, [])], anchor, ['ATTEST-CA']],
    ['too early', [leaf, f9], anchor, ['ATTEST-DATES', 'ATTEST-DATES'], new Date('2019-01-01T00:00:00Z')],
    ['a device of the past', [leaf, await certificate(device, root, [CA(0)], new Date('2021-01-01T00:00:00Z'))], anchor, ['ATTEST-DATES']],
    ['signed by another', [await certificate(slot, { ...device, keys: other.keys }, PIV), f9], anchor, ['SIGNATURE-VERIFIES']],
    ['something critical', [await certificate(slot, device, [...PIV, new Extension('1.2.3.4', true, forWebCrypto(fromHex('0500')))]), f9], anchor, ['ATTEST-CRITICAL']],
    ['no attestation', [f9], anchor, ['thrown ATTEST-FORMAT']],
    ['two of them', [leaf, f9, await certificate(other, device, PIV)], anchor, ['thrown ATTEST-FORMAT']],
    ['firmware that is none', [await certificate(slot, device, [vendor('3.3', '05'), vendor('3.8', '0302')]), f9], anchor, ['thrown DER-STRUCTURE']],
  ];
  for (const [what, files, trusted, expected, at] of rows) assert.deepEqual(await rules(files, trusted, at), expected, what);
  const unsure = await verifyAttestation([leaf], anchor, AT);
  assert.ok(unsure.facts.every(({ proof }) => proof === 'reported'));
});

test('YubiHSM 2: origin decides, and a wrapped copy is no generated key', async () => {
  const of = async (origin: string, capabilities?: string) => verifyAttestation([await certificate(slot, device, HSM(origin, capabilities)), f9], anchor, AT);
  const good = await of('01');
  assert.deepEqual([good.vendor, good.findings], ['YubiHSM 2', []]);
  assert.deepEqual(good.facts.map(({ name, value }) => `${name}: ${value}`), [
    'origin: generated on the device', 'firmware: 2.4.1', 'serial: 34331133', 'object: 0x0003', 'label: CM', 'domains: 1', 'capabilities: 0x0000000400000660', 'may leave wrapped: no',
  ]);
  for (const [origin, words] of [['02', 'imported'], ['11', 'generated, brought in wrapped'], ['12', 'imported, brought in wrapped'], ['00', 'unknown (0)']] as const) {
    const { findings, facts } = await of(origin);
    assert.deepEqual([findings.map(({ rule }) => rule), facts[0]?.value], [['ATTEST-GENERATED'], words]);
  }
  assert.equal((await of('01', '0000000000010000')).facts.at(-1)?.value, 'yes');
});

// --- card-verifiable ---------------------------------------------------------------------------------------------------

const tlv = (tag: number, ...content: Uint8Array[]): Uint8Array => {
  const value = concat(...content);
  return concat(fromHex(tag < 16 ? `0${tag.toString(16)}` : tag.toString(16)), value.length < 128 ? Uint8Array.of(value.length) : value.length < 256 ? Uint8Array.of(0x81, value.length) : Uint8Array.of(0x82, value.length >> 8, value.length & 255), value);
};
const number = (value: bigint) => fromHex(value.toString(16).padStart(64, '0'));
const { p, a, b, n } = brainpoolP256r1.Point.CURVE();
const DOMAIN = [tlv(0x81, number(p)), tlv(0x82, number(a)), tlv(0x83, number(b)), tlv(0x84, brainpoolP256r1.Point.BASE.toBytes(false)), tlv(0x85, number(n))];
interface Card { readonly holder: string; readonly key: KeyObject; readonly point: Uint8Array }
const card = (holder: string): Card => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'brainpoolP256r1' });
  return { holder, key: privateKey, point: new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })).slice(-65) };
};
const signed = (message: Uint8Array, { key }: Card) => tlv(0x5f37, new Uint8Array(sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' })));
const publicKey = ({ point }: Card, domain: readonly Uint8Array[]) => tlv(0x7f49, tlv(0x06, fromHex('04007f00070202020203')), ...domain, tlv(0x86, point));
function cvc(subject: Card, issuer: Card, domain: readonly Uint8Array[], dates: readonly string[] = ['020000010001', '030500010001']): Uint8Array {
  const body = tlv(0x7f4e, tlv(0x5f29, Uint8Array.of(0)), tlv(0x42, utf8(issuer.holder)), publicKey(subject, domain), tlv(0x5f20, utf8(subject.holder)), ...dates.map((digits, i) => tlv(0x5f25 - i, fromHex(digits))));
  return tlv(0x7f21, body, signed(body, issuer));
}
function request(subject: Card, device: Card, domain = DOMAIN): Uint8Array {
  const content = concat(cvc(subject, { ...subject, holder: device.holder }, domain, []), tlv(0x42, utf8(device.holder)));
  return tlv(0x67, content, signed(content, device));
}
const [srca, dica, token, key, stranger] = ['DESRCACC100001', 'DECM010000001', 'DECM01000010001', 'UTCM00001', 'DECM01000010001'].map(card) as [Card, Card, Card, Card, Card];
const [cardAnchor, devAut] = [cvc(srca, srca, DOMAIN), concat(cvc(token, dica, []), cvc(dica, srca, []))];

test('SmartCard-HSM: device, issuer and root, each curve inherited, and every way in which it is none', async () => {
  const found = await verifyAttestation([request(key, token), devAut], cardAnchor, AT);
  assert.deepEqual([found.vendor, found.findings, found.chain], ['SmartCard-HSM', [], ['UTCM00001', 'DECM01000010001', 'DECM010000001', 'DESRCACC100001']]);
  assert.deepEqual([found.key.label, found.facts[0]?.proof], ['ECDSA brainpoolP256r1', 'attested']);
  const broken = request(key, token);
  broken[broken.length - 1]! ^= 1;
  const generator = [...DOMAIN];
  generator[3] = tlv(0x84, key.point); // CVE-2020-0601: somebody's own generator
  const rows: readonly (readonly [string, Uint8Array[], Uint8Array, readonly string[]])[] = [
    ['in one file', [concat(devAut, request(key, token))], cardAnchor, []],
    ['a key that inherits its curve', [request(key, token, []), devAut], cardAnchor, []],
    ['a changed octet', [broken, devAut], cardAnchor, ['ATTEST-SIGNATURE']],
    ['another device of that name', [request(key, stranger), devAut], cardAnchor, ['ATTEST-SIGNATURE']],
    ['no device certificate', [request(key, token)], cardAnchor, ['ATTEST-CHAIN']],
    ['another root of that name', [request(key, token), devAut], cvc({ ...stranger, holder: srca.holder }, stranger, DOMAIN), ['ATTEST-SIGNATURE']],
    ['a device of the past', [request(key, token), cvc(token, dica, [], ['020000010001', '020101010101']), cvc(dica, srca, [])], cardAnchor, ['ATTEST-DATES']],
    ['a generator of its own', [request(key, token, generator), devAut], cardAnchor, ['thrown CVC-CURVE']],
    ['no request', [devAut], cardAnchor, ['thrown ATTEST-FORMAT']],
    ['an anchor of the other kind', [request(key, token), devAut], anchor, ['thrown ATTEST-FORMAT']],
  ];
  for (const [what, files, trusted, expected] of rows) assert.deepEqual(await rules(files, trusted), expected, what);
});

test('whatever octet is changed, no attestation says more than before', async () => {
  const samples = [[[leaf, f9], anchor], [[request(key, token), devAut], cardAnchor]] as const;
  await fc.assert(fc.asyncProperty(fc.constantFrom(...samples), fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), async ([files, trusted], which, where, change) => {
    const changed = files.map((file) => file.slice());
    const file = changed[which % changed.length]!;
    file[where % file.length]! ^= change;

    const after = await rules(changed, trusted);
    // Every octet is signed or is a signature; ECDSA signatures have no second form that verifies but the negated s.
    assert.ok(after.length > 0, `octet ${where % file.length} of file ${which % changed.length}`);
  }), { seed: SEED, numRuns: 60 });
});
