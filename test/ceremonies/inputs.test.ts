/** Files that people bring: sound ones without findings, wrong ones named, and no bytes that make a reader throw or hang. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromBase64url, fromUtf8, toBase64url, utf8 } from '../../ceremonies/bytes.ts';
import type { Input, InputKind } from '../../ceremonies/evidence.ts';
import { inputDer, inputFacts, inputFindings } from '../../ceremonies/inputs.ts';
import { readKeyRecord } from '../../ceremonies/key-record.ts';
import { secretFault } from '../../ceremonies/key-record.ts';
import { pem } from '../../ceremonies/keys/signed.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { SEED } from './keys/seed.ts';
import { scriptedRecord } from './scripted.ts';

const revoked = await scriptedRecord({ script: 'crl' });
const issued = await scriptedRecord({ script: 'intermediate' });
const stated = await scriptedRecord({ script: 'encryption-certificate' });
const destroyed = await scriptedRecord({ script: 'key-destruction' });
const crossed = await scriptedRecord({ script: 'cross-sign' });
const recovered = await scriptedRecord({ script: 'recovery' });
const released = await scriptedRecord({ script: 'escrow-release' });
const sound: Readonly<Record<InputKind, Input>> = {
  key: revoked.state.opening?.inputs['ca'] ?? assert.fail(),
  revocations: revoked.state.opening?.inputs['revocations'] ?? assert.fail(),
  request: issued.state.opening?.inputs['request'] ?? assert.fail(),
  'stated-request': stated.state.opening?.inputs['request'] ?? assert.fail(),
  certificate: crossed.state.opening?.inputs['other'] ?? assert.fail(),
  copies: destroyed.state.opening?.inputs['copies'] ?? assert.fail(),
  certificates: { kind: 'certificates', file: 'all.pem', bytes: toBase64url(utf8([issued, crossed].map(({ state }) => pem('CERTIFICATE', fromBase64url(state.issued[0]?.bytes ?? assert.fail()))).join(''))) },
  movements: (await scriptedRecord({ script: 'custody-movement' })).state.opening?.inputs['movements'] ?? assert.fail(),
  crl: { kind: 'crl', file: 'previous.crl', bytes: revoked.state.issued[0]?.bytes ?? assert.fail() },
  backup: recovered.state.opening?.inputs['backup'] ?? assert.fail(),
  recipient: (await scriptedRecord({ script: 'escrow-deposit' })).state.opening?.inputs['agent'] ?? assert.fail(),
  escrow: released.state.opening?.inputs['escrow'] ?? assert.fail(),
  envelope: released.state.opening?.inputs['envelope'] ?? assert.fail(),
  recipients: (await scriptedRecord({ script: 'share-envelope' })).state.opening?.inputs['recipients'] ?? assert.fail(),
  activation: (await scriptedRecord({ script: 'activate' })).state.opening?.inputs['activation'] ?? assert.fail(),
};
const bytesOf = (input: Input) => fromBase64url(input.bytes);
const withBytes = (input: Input, bytes: Uint8Array): Input => ({ ...input, bytes: toBase64url(bytes) });
const rulesOf = async (input: Input) => (await inputFindings(input)).map((finding) => finding.rule);

test('what is in order has no findings, as DER and as PEM', async () => {
  for (const input of Object.values(sound)) assert.deepEqual(await inputFindings(input), [], input.kind);
  const labels = { request: 'CERTIFICATE REQUEST', 'stated-request': 'CERTIFICATE REQUEST', certificate: 'CERTIFICATE', crl: 'X509 CRL' } as const;
  for (const kind of ['request', 'stated-request', 'certificate', 'crl'] as const) {
    const armoured = withBytes(sound[kind], utf8(`For the ceremony on Monday:\n${pem(labels[kind], bytesOf(sound[kind]))}`));
    assert.deepEqual(await inputFindings(armoured), [], kind);
    assert.deepEqual(inputDer({ ...armoured, kind }), bytesOf(sound[kind]), kind);
  }
});

test('what a file says, for the people who compare it', async () => {
  const facts = async (kind: InputKind) => Object.fromEntries((await inputFacts(sound[kind])).map(({ name, value }) => [name, value]));
  assert.deepEqual(await facts('request'), { subject: 'CN=Example Issuing CA', 'public key': 'ECDSA P-256' });
  const { 'stated by: serial number': serial = '', ...stating } = await facts('stated-request');
  assert.match(serial, /^41[0-9a-f]{30}$/);
  assert.deepEqual(stating, {
    subject: 'CN=Example Holder', 'public key': 'ML-KEM-768', possession: 'stated, not proven (RFC 9883)',
    'stated by: subject': 'CN=Example Holder', 'stated by: issuer': 'CN=Example CA', 'stated by: valid': '2026-01-01 to 2028-01-01', 'stated by: public key': 'ECDSA P-256',
  });
  const key = await facts('key');
  assert.equal(key['on the token'], 'TOKEN-ca-hsm');
  assert.equal(key['ml-dsa'], 'wrapped under a key of the token');
  assert.equal(key['traditional'], 'on the token');
  assert.equal(key['made under the draft'], 'lamps-composite-sigs-19');
  assert.equal(key['subject'], 'CN=Example CA');
  assert.deepEqual(await facts('movements'), {
    'bag B-0417': 'Bela Custis, head-office → Chiara Custos, north-branch: Distribution', 'card SHARE-7': 'custodian-2, head-office → custodian-1, south-branch; share 2 of set AAAAAAAAAAAAAAAAAAAAAA: Exchange for the bag',
  });
  const certificate = await facts('certificate');
  assert.deepEqual([certificate['subject'], certificate['issuer'], certificate['public key'], certificate['valid']], ['CN=Another Root CA', 'CN=Another Root CA', 'ECDSA P-384', '2026-01-01 to 2056-01-01']);
  assert.deepEqual(await facts('revocations'), { 'certificates to revoke': '1', '1a2b3c4d5e6f7081': '2026-01-02, keyCompromise' });
  assert.deepEqual(await facts('crl'), { 'CRL number': '1', of: '2026-03-02T09:00:00.000Z', 'certificates on it': '1' });
});

test('a long list is told by its first lines and the number of the others', async () => {
  const lines = Array.from({ length: 25 }, (_, index) => `${(index + 1).toString(16).padStart(16, '0')},2026-01-02T03:04:05Z,superseded\n`).join('');
  const facts = await inputFacts(withBytes(sound.revocations, utf8(lines)));
  assert.equal(facts.length, 22);
  assert.deepEqual(facts.at(-1), { name: 'and more', value: '5' });
});

const record = JSON.parse(fromUtf8(bytesOf(sound.key))) as { certificate: string; key: { spki: string } };
/** A byte in the last tenth of the file: inside its signature. */
const brokenSignature = (input: Input) => {
  const bytes = bytesOf(input).slice();
  bytes[bytes.length - 12]! ^= 1;
  return withBytes(input, bytes);
};

const WRONG: readonly (readonly [what: string, input: Input, rule: string])[] = [
  ['a key record with another key\'s certificate', withBytes(sound.key, utf8(JSON.stringify({ ...record, certificate: sound.certificate.bytes }))), 'INPUT-KEY'],
  ['a key record with no certificate in its place', withBytes(sound.key, utf8(JSON.stringify({ ...record, certificate: 'AAAA' }))), 'DER-STRUCTURE'],
  ['a key record with leftover bits', withBytes(sound.key, utf8(JSON.stringify({ ...record, key: { ...record.key, spki: `${record.key.spki.slice(0, -1)}x` } }))), 'BASE64URL-CANONICAL'],
  ['a request with a signature of another', brokenSignature(sound.request), 'SIGNATURE-VERIFIES'],
  ['a certificate where a request belongs', { ...sound.request, bytes: sound.certificate.bytes }, 'DER-STRUCTURE'],
  ['two requests in one file', withBytes(sound.request, utf8(pem('CERTIFICATE REQUEST', bytesOf(sound.request)).repeat(2))), 'PEM'],
  ['PEM of another kind', withBytes(sound.request, utf8(pem('CERTIFICATE', bytesOf(sound.certificate)))), 'PEM'],
  ['bytes behind a certificate', withBytes(sound.certificate, Uint8Array.of(...bytesOf(sound.certificate), 0)), 'DER-STRUCTURE'],
  ['an empty certificate', withBytes(sound.certificate, new Uint8Array()), 'PEM'],
  ['a list with a reason that there is not', withBytes(sound.revocations, utf8('01,2026-01-02T03:04:05Z,unspecified\n')), 'REVOCATIONS-LINE'],
  ['a list with a day that there is not', withBytes(sound.revocations, utf8('01,2026-02-30T03:04:05Z,superseded\n')), 'REVOCATIONS-LINE'],
  ['a list with one number twice', withBytes(sound.revocations, utf8('01,2026-01-02T03:04:05Z,superseded\n0001,2026-01-02T03:04:05Z,superseded\n')), 'REVOCATIONS-DUPLICATE'],
  ['a list that never ends', withBytes(sound.revocations, utf8(Array.from({ length: 2001 }, (_, i) => `${(i + 1).toString(16).padStart(4, '0')},2026-01-02T03:04:05Z,superseded`).join('\n'))), 'REVOCATIONS-SIZE'],
  ['a list of movements without its header', withBytes(sound.movements, utf8('bag,B-1,,,A,a,B,b,Because\n')), 'MOVEMENTS-HEADER'],
  ['a certificate where a CRL belongs', { ...sound.crl, bytes: sound.certificate.bytes }, 'CRL-DER'],
];

for (const [what, input, rule] of WRONG) {
  test(`${what} is ${rule}`, async () => {
    const rules = await rulesOf(input);
    assert.ok(rules.includes(rule), rules.join());
  });
}

test('a private key beside what was asked for is INPUT-PUBLIC, in every kind of file, and no word of it is told', async () => {
  for (const label of ['PRIVATE KEY', 'ENCRYPTED PRIVATE KEY', 'RSA PRIVATE KEY', 'EC PRIVATE KEY', 'OPENSSH PRIVATE KEY', 'PGP PRIVATE KEY BLOCK']) {
    const key = pem(label, utf8('never to be kept'));
    for (const input of Object.values(sound)) {
      for (const bytes of [[...utf8(key), ...bytesOf(input)], [...bytesOf(input), ...utf8(key)]]) {
        const findings = await inputFindings(withBytes(input, Uint8Array.from(bytes)));
        assert.deepEqual(findings.map(({ rule }) => rule), ['INPUT-PUBLIC'], `${label}, ${input.kind}`);
        assert.ok(!JSON.stringify(findings).includes(key.split('\n')[1]!));
      }
    }
  }
});

test('a private key in DER is INPUT-PUBLIC too, whole or cut off; what is public in DER is not', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const secret = [
    privateKey.export({ type: 'pkcs8', format: 'der' }), privateKey.export({ type: 'sec1', format: 'der' }), rsa.privateKey.export({ type: 'pkcs1', format: 'der' }),
    privateKey.export({ type: 'pkcs8', format: 'der', cipher: 'aes-256-cbc', passphrase: 'x' }),
  ];
  for (const der of secret) {
    assert.equal(secretFault(Uint8Array.from(der))?.rule, 'INPUT-PUBLIC');
    for (const input of Object.values(sound)) assert.deepEqual((await inputFindings(withBytes(input, Uint8Array.from(der)))).map(({ rule }) => rule), ['INPUT-PUBLIC'], input.kind);
  }
  assert.equal(secretFault(Uint8Array.from(secret[0]!).subarray(0, 60))?.rule, 'INPUT-PUBLIC');
  for (const der of [publicKey.export({ type: 'spki', format: 'der' }), rsa.publicKey.export({ type: 'pkcs1', format: 'der' })]) assert.equal(secretFault(Uint8Array.from(der)), null);
  for (const input of Object.values(sound)) assert.equal(secretFault(bytesOf(input)), null, input.kind);
});

test('one file is never taken for another kind', async () => {
  for (const [kind, input] of Object.entries(sound) as [InputKind, Input][]) {
    for (const other of Object.keys(sound) as InputKind[]) {
      // One certificate is a file of certificates too, and one key a file of keys.
      const alike = (kind === 'certificate' && other === 'certificates') || (kind === 'recipient' && other === 'recipients');
      if (other !== kind && !alike) assert.notDeepEqual(await inputFindings({ ...input, kind: other }), [], `${kind} as ${other}`);
    }
  }
});

test('property: whatever bytes come, findings or facts come back, and errors are Refused', async () => {
  const kinds = Object.keys(sound) as InputKind[];
  const told = async (input: Input) => {
    for (const finding of await inputFindings(input)) assert.match(finding.rule, /^[A-Z][A-Z0-9-]+$/);
    await inputFacts(input).catch((error: unknown) => assert.ok(error instanceof Refused, String(error)));
  };
  await fc.assert(fc.asyncProperty(fc.constantFrom(...kinds), fc.nat(), fc.uint8Array({ maxLength: 6 }), fc.nat(6), async (kind, place, insert, remove) => {
    const bytes = bytesOf(sound[kind]);
    // The structure is at the beginning of what is inside; the rest are keys and signatures.
    const at = place % Math.min(bytes.length, place % 2 === 0 ? 300 : bytes.length);
    await told(withBytes(sound[kind], Uint8Array.of(...bytes.subarray(0, at), ...insert, ...bytes.subarray(at + remove))));
  }), { seed: SEED, numRuns: 200 });
  await fc.assert(fc.asyncProperty(fc.constantFrom(...kinds), fc.uint8Array({ maxLength: 100 }), fc.constantFrom('', '0', '-----BEGIN X509 CRL-----\n', '{"format":"conclave-key/1"', '01,'), async (kind, bytes, head) => {
    await told(withBytes(sound[kind], Uint8Array.of(...utf8(head), ...bytes)));
  }), { seed: SEED, numRuns: 100 });
});

test('the record of the CA is the one that the ceremony opened', () => {
  assert.equal(readKeyRecord(bytesOf(sound.key)).key.spki, revoked.state.key?.spki);
});
