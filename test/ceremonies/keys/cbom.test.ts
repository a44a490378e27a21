import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex, utf8 } from '../../../ceremonies/bytes.ts';
import type { KeyAttributes, TokenFacts } from '../../../ceremonies/evidence.ts';
import { CA_ALGORITHMS, COMPOSITE_KEMS, COMPOSITE_SIGNATURES, compositeNamed } from '../../../ceremonies/keys/algorithms.ts';
import { CBOM_COLUMNS, cbomCsv, cbomOf, cbomRows, cbomText, type Cbom, type CbomInput, type CbomKey, type Component } from '../../../ceremonies/keys/cbom.ts';
import { readCertificate } from '../../../ceremonies/keys/chain.ts';
import { readSubjectKey, type SubjectKey } from '../../../ceremonies/keys/subject-key.ts';
import { parsePkcs11Uri } from '../../../ceremonies/keys/uri.ts';
import { caKey } from './ca-keys.ts';
import { assertSound, schemaFaults } from './cyclonedx.ts';
import { SEED } from './seed.ts';
import { base64, kemVectors, pemFile, signatureVectors, vectorFile, vectorJson } from './vectors.ts';

const NOTHING: CbomInput = { keys: [], certificates: [], tokens: [] };
const certificateOf = (der: Uint8Array, file: string): CbomInput['certificates'][number] => ({ der, certificate: readCertificate(der), place: { held: 'file', file } });
const component = (bom: Cbom, ref: RegExp): Component => bom.components.find((one) => ref.test(one['bom-ref'])) ?? assert.fail(`no ${ref}`);
const uses = (bom: Cbom, ref: RegExp): readonly string[] => bom.dependencies.find((one) => ref.test(one.ref))?.dependsOn ?? [];
const property = (one: Component, name: string): string | undefined => one.properties?.find((entry) => entry.name === `conclave:${name}`)?.value;
const material = (one: Component): Readonly<Record<string, unknown>> => one.cryptoProperties?.relatedCryptoMaterialProperties ?? assert.fail(`${one['bom-ref']} is no key`);

const TOKEN: TokenFacts = {
  serial: '0417 2203', label: 'HSM-A', model: 'Model 7', manufacturer: 'Maker', firmware: '2.6', hardware: '1.0', flags: ['CKF_TOKEN_INITIALIZED', 'CKF_LOGIN_REQUIRED'],
};
const ATTRIBUTES: KeyAttributes = {
  class: 'private-key', keyType: 'CKK_EC', id: '9f2c', label: 'Root CA', token: true, private: true, sensitive: true, extractable: false, alwaysSensitive: true,
  neverExtractable: true, local: true, modifiable: false, sign: true, verify: null, encrypt: null, decrypt: false, wrap: null, unwrap: false, derive: false,
  generatedBy: 'CKM_EC_KEY_PAIR_GEN', keysRemaining: null,
};
const keyOf = (algorithm: string): SubjectKey => readSubjectKey(caKey(algorithm).spki);
const ec = keyOf('ecdsa-p384');
const held = (id: string, change: Partial<CbomKey> = {}): CbomKey => ({
  class: 'private-key', name: 'Root CA', key: ec, place: { held: 'token', token: TOKEN.serial, object: { class: 'private-key', id, label: 'Root CA' } }, attributes: { ...ATTRIBUTES, id }, ...change,
});

test('the validator knows good from bad', () => {
  assert.deepEqual(schemaFaults(vectorJson('cyclonedx/valid-cryptography-full-1.7.json')), []);
  const bom = cbomOf({ ...NOTHING, keys: [held('9f2c')], tokens: [TOKEN] });
  const spoiled = (from: string, to: string): readonly string[] => {
    assert.ok(cbomText(bom).includes(from), from);
    return schemaFaults(JSON.parse(cbomText(bom).replace(from, to)));
  };
  for (const [from, to] of [
    ['"bomFormat": "CycloneDX"', '"bomFormat": "Cyclone"'], ['"nist/P-384"', '"P-384"'], ['"algorithmFamily": "ECDSA"', '"algorithmFamily": "Composite"'], ['"primitive": "signature"', '"primitive": "sign"'],
    ['"size": 384', '"size": "384"'], ['"type": "private-key"', '"type": "private"'], ['urn:uuid:', 'uuid:'], ['"assetType"', '"asset"'], ['"nistQuantumSecurityLevel": 0', '"nistQuantumSecurityLevel": 7'],
  ] as const) assert.notDeepEqual(spoiled(from, to), [], to);
});

test('every algorithm of the registry, as certificates and keys: valid, and every reference leads somewhere', () => {
  const certificates = [
    ...signatureVectors().tests.map((one) => certificateOf(base64(one.x5c), one.tcId)), ...kemVectors().tests.map((one) => certificateOf(base64(one.x5c), one.tcId)),
    ...['mldsa-x509/ML-DSA-44.crt', 'mldsa-x509/ML-DSA-65.crt', 'mldsa-x509/ML-DSA-87.crt', 'mlkem-x509/ML-KEM-512.crt', 'mlkem-x509/ML-KEM-1024.crt', 'slhdsa-x509/id-slh-dsa-sha2-128s.pem']
      .map((file) => certificateOf(vectorFile(file)[0] === 0x30 ? vectorFile(file) : pemFile(file), file)),
  ];
  const keys = CA_ALGORITHMS.filter((name) => !COMPOSITE_SIGNATURES.some((row) => row.name === name)).map((name): CbomKey => ({ class: 'public-key', name, key: keyOf(name), place: { held: 'file', file: name } }));
  const bom = cbomOf({ ...NOTHING, certificates, keys });
  assertSound(bom);
  assert.deepEqual(JSON.parse(cbomText(bom)), JSON.parse(JSON.stringify(bom)));
  for (const row of [...COMPOSITE_SIGNATURES, ...COMPOSITE_KEMS]) {
    const ref = new RegExp(`^algorithm/.*@${row.oid.replaceAll('.', '\\.')}$`);
    const properties = component(bom, ref).cryptoProperties?.algorithmProperties;
    assert.deepEqual([properties?.['primitive'], properties?.['parameterSetIdentifier'], property(component(bom, ref), 'profile'), property(component(bom, ref), 'standing')], ['combiner', row.name, row.profile, 'draft']);
    const parts = uses(bom, ref).map((part) => component(bom, new RegExp(`^${part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`)).cryptoProperties?.algorithmProperties?.['primitive']);
    assert.equal(parts.filter((primitive) => primitive !== 'hash' && primitive !== 'xof').length, 2, row.name);
  }
  assert.deepEqual(uses(bom, /composite\)@1\.3\.6\.1\.5\.5\.7\.6\.45$/), [
    'algorithm/ECDSA%20P-256@1.2.840.10045.2.1', 'algorithm/ML-DSA-65@2.16.840.1.101.3.4.3.18', 'algorithm/SHA-256@2.16.840.1.101.3.4.2.1', 'algorithm/SHA-512@2.16.840.1.101.3.4.2.3',
  ]);
  assert.deepEqual(uses(bom, /composite\)@1\.3\.6\.1\.5\.5\.7\.6\.53$/).filter((ref) => ref.includes('RSA')), ['algorithm/RSASSA-PSS%204096%20with%20SHA-384@1.2.840.113549.1.1.10']);
  const level = (ref: RegExp): unknown => component(bom, ref).cryptoProperties?.algorithmProperties?.['nistQuantumSecurityLevel'];
  assert.deepEqual([level(/^algorithm\/RSA%203072/), level(/^algorithm\/Ed25519/), level(/^algorithm\/ML-DSA-44/), level(/^algorithm\/ML-KEM-512/), level(/^algorithm\/SLH-DSA-SHAKE-192f/), level(/^algorithm\/.*MLDSA87-Ed448/)], [0, 0, 2, 1, 3, 5]);
  assert.deepEqual([property(component(bom, /^algorithm\/ECDSA%20P-384/), 'until'), property(component(bom, /^algorithm\/ECDSA%20brainpoolP256r1/), 'standing')], ['2035', undefined]);
});

test('RSA strengths at their boundaries', () => {
  const of = (bits: number): Component => component(cbomOf({ ...NOTHING, keys: [{ class: 'public-key', name: '', place: { held: 'file', file: 'x' }, key: { kind: 'rsa', modulusBits: bits, oid: '1.2.840.113549.1.1.1', label: `RSA ${bits}`, raw: fromHex('00'), spki: utf8(`${bits}`) } }] }), /^algorithm\/RSA/);
  const rows = [[1024, 80, 'disallowed', undefined], [2047, 80, 'disallowed', undefined], [2048, 112, 'approved', '2030'], [3071, 112, 'approved', '2030'], [3072, 128, 'approved', '2035'], [7680, 192, 'approved', '2035'], [15360, 256, 'approved', '2035']] as const;
  for (const [bits, strength, standing, until] of rows) {
    assert.deepEqual([of(bits).cryptoProperties?.algorithmProperties?.['classicalSecurityLevel'], property(of(bits), 'standing'), property(of(bits), 'until')], [strength, standing, until], `${bits}`);
  }
});

test('a certificate: the fields of 1.7, hashes with and without its signature, states only for a given time', () => {
  const der = vectorFile('mldsa-x509/ML-DSA-65.crt')[0] === 0x30 ? vectorFile('mldsa-x509/ML-DSA-65.crt') : pemFile('mldsa-x509/ML-DSA-65.crt');
  const certificates = [certificateOf(der, 'ML-DSA-65.crt')];
  const one = component(cbomOf({ ...NOTHING, certificates }), /^certificate/);
  const fields = one.cryptoProperties?.certificateProperties ?? {};
  assert.deepEqual([fields['serialNumber'], fields['subjectName'], fields['notValidAfter'], fields['certificateFormat'], 'certificateState' in fields], ['159ffe6f22fd5cc42c524df6fd5e28d0de38f34e', 'O=IETF, CN=LAMPS WG', '2040-01-29T04:32:10.000Z', 'X.509', false]);
  assert.notEqual((fields['fingerprint'] as { content: string }).content, one.hashes?.[0]?.content);
  assert.deepEqual(one.evidence, { occurrences: [{ location: 'ML-DSA-65.crt' }] });
  // To the second before and after its validity.
  for (const [at, state] of [['2020-02-03T04:32:09Z', 'pre-activation'], ['2020-02-03T04:32:10Z', 'active'], ['2040-01-29T04:32:10Z', 'active'], ['2040-01-29T04:32:11Z', 'deactivated']] as const) {
    const bom = cbomOf({ ...NOTHING, certificates, at: new Date(at) });
    assertSound(bom);
    const states = component(bom, /^certificate/).cryptoProperties?.certificateProperties?.['certificateState'] as readonly { state: string }[];
    assert.deepEqual([states.map((entry) => entry.state), bom.metadata['timestamp']], [[state], new Date(at).toISOString()]);
  }
});

test('a key on a token: provenance, risks, its token, and an RFC 7512 URI that names it', () => {
  const bom = cbomOf({ ...NOTHING, keys: [held('9f2c', { created: new Date('2026-11-22T10:00:00Z'), state: 'suspended' })], tokens: [TOKEN], version: '1.2.3' });
  assertSound(bom);
  const key = component(bom, /^key\/private-key/);
  assert.deepEqual(
    ['type', 'id', 'size', 'state', 'creationDate'].map((name) => material(key)[name]), ['private-key', '9f2c', 384, 'suspended', '2026-11-22T10:00:00.000Z'],
  );
  assert.deepEqual([property(key, 'origin'), property(key, 'proof'), property(key, 'uses'), property(key, 'risks')], ['generated on this token', 'reported', 'sign', undefined]);
  const uri = parsePkcs11Uri(key.evidence?.occurrences[0]?.location ?? '');
  assert.deepEqual([uri.texts, uri.type, toHex(uri.id ?? new Uint8Array())], [{ token: 'HSM-A', manufacturer: 'Maker', model: 'Model 7', serial: '0417 2203', object: 'Root CA' }, 'private', '9f2c']);
  const token = component(bom, /^token/);
  assert.deepEqual([token.type, token.name, token.version, token.manufacturer, property(token, 'flags')], ['device', 'HSM-A', '2.6', { name: 'Maker' }, 'CKF_LOGIN_REQUIRED CKF_TOKEN_INITIALIZED']);
  assert.deepEqual(bom.dependencies.find((one) => one.ref.startsWith('token/'))?.provides, ['algorithm/ECDSA%20P-384@1.2.840.10045.2.1']);
  assert.ok(uses(bom, /^key\/private-key/).includes(token['bom-ref']));
  assert.deepEqual(bom.metadata['tools'], { components: [{ type: 'application', name: 'conclave', version: '1.2.3' }] });
  const risky = cbomOf({ ...NOTHING, keys: [held('01', { attributes: { ...ATTRIBUTES, local: false, modifiable: true, neverExtractable: false } })], tokens: [TOKEN], rehearsal: true });
  assertSound(risky);
  assert.deepEqual([property(component(risky, /^key\/private-key/), 'risks'), property(component(risky, /^key\/private-key/), 'contradictions')], ['KEY-MODIFIABLE', 'PROVENANCE-LOCAL PROVENANCE-HISTORY']);
  assert.deepEqual(risky.metadata['properties'], [{ name: 'conclave:mode', value: 'REHEARSAL' }]);
});

test('a composite: the whole, one half on the token, the other wrapped, the backup in shares', () => {
  const key = keyOf('MLDSA65-ECDSA-P256-SHA512');
  const [mlDsa, traditional] = [keyOf('ml-dsa-65'), keyOf('ecdsa-p256')];
  const period = { from: new Date('2026-01-01T00:00:00Z'), to: new Date('2046-01-01T00:00:00Z') };
  const wrapping: CbomKey = { class: 'secret-key', name: 'wrapping key', key: null, bits: 256, place: { held: 'token', token: TOKEN.serial, object: { class: 'secret-key', id: 'aa', label: '' } } };
  const keys: CbomKey[] = [
    {
      class: 'private-key', name: 'Root', key, period,
      place: { held: 'halves', halves: [
        { class: 'private-key', name: 'Root (ml-dsa)', key: mlDsa, place: { held: 'wrapped', mechanism: 'CKM_AES_KEY_WRAP_KWP', under: { token: TOKEN.serial, id: 'aa' } } },
        { ...held('bb'), name: 'Root (traditional)', key: traditional },
      ] },
    },
    wrapping,
    { class: 'secret-key', name: 'backup key', key: null, bits: 256, place: { held: 'shares', set: 'set-1', threshold: 2, shares: 3 } },
    { class: 'private-key', name: 'Root (backup)', key: mlDsa, place: { held: 'wrapped', mechanism: 'CKM_AES_KEY_WRAP_KWP', under: { set: 'set-1' } }, format: 'PKCS#8' },
  ];
  const bom = cbomOf({ ...NOTHING, keys, tokens: [TOKEN], at: new Date('2026-06-01T00:00:00Z') });
  assertSound(bom);
  const whole = component(bom, /^key\/private-key\/composite/);
  assert.deepEqual([material(whole)['size'], material(whole)['state'], property(whole, 'profile')], [8 * compositeNamed('MLDSA65-ECDSA-P256-SHA512').sizes.privateKey, 'active', 'lamps-composite-sigs-19']);
  const halves = (material(whole)['relatedCryptographicAssets'] as readonly { type: string; ref: string }[]).filter((one) => one.type === 'privateKey').map((one) => one.ref);
  assert.equal(halves.length, 2);
  const wrapped = component(bom, /^key\/private-key\/wrapped\/0417/);
  assert.match((material(wrapped)['securedBy'] as { mechanism: string }).mechanism, /^CKM_AES_KEY_WRAP_KWP under key aa of PKCS#11 token 0417 2203$/);
  assert.ok(uses(bom, /^key\/private-key\/wrapped\/0417/).includes('key/secret-key/token/0417%202203/aa'));
  assert.ok(uses(bom, /^key\/private-key\/wrapped\/set-1/).includes('key/secret-key/shares/set-1'));
  assert.match((material(component(bom, /shares\/set-1$/))['securedBy'] as { mechanism: string }).mechanism, /2 of 3, set set-1/);
  // Nothing depends on a key that nobody gave.
  assertSound(cbomOf({ ...NOTHING, keys: keys.filter((one) => one !== wrapping) }));
});

test('what a record knows and what the token answers is one key; two answers are two objects', () => {
  const { attributes, ...record } = held('9f2c', { created: new Date('2026-11-22T10:00:00Z') });
  assert.ok(attributes);
  const one = cbomOf({ ...NOTHING, keys: [record, held('9f2c', { name: 'as the token says' })], tokens: [TOKEN] });
  assertSound(one);
  const keys = one.components.filter((entry) => entry['bom-ref'].startsWith('key/private-key'));
  assert.deepEqual(keys.map((entry) => [entry.name, material(entry)['creationDate'], property(entry, 'origin'), entry.evidence?.occurrences.length]), [['as the token says', '2026-11-22T10:00:00.000Z', 'generated on this token', 1]]);
  // The same record twice, and what it says of another time, are one key still.
  const earlier = { ...held('9f2c', { recorded: true, attributes: { ...ATTRIBUTES, modifiable: true } }), created: new Date('2026-11-22T10:00:00Z') };
  for (const keys of [[earlier, held('9f2c')], [held('9f2c'), record, earlier, earlier]]) {
    const merged = cbomOf({ ...NOTHING, keys, tokens: [TOKEN] }).components.filter((entry) => entry['bom-ref'].startsWith('key/private-key'));
    assert.deepEqual(merged.map((entry) => [property(entry, 'risks'), material(entry)['creationDate']]), [[undefined, '2026-11-22T10:00:00.000Z']]);
  }
  assert.equal(property(component(cbomOf({ ...NOTHING, keys: [record, earlier], tokens: [TOKEN] }), /^key\/private-key/), 'risks'), 'KEY-MODIFIABLE');
  const two = cbomOf({ ...NOTHING, keys: [held('9f2c'), held('9f2c', { attributes: { ...ATTRIBUTES, local: false, generatedBy: null, alwaysSensitive: false, neverExtractable: false } })], tokens: [TOKEN] });
  assertSound(two);
  assert.deepEqual(two.components.filter((entry) => entry['bom-ref'].startsWith('key/private-key')).map((entry) => entry['bom-ref'].slice(-6)), ['3/9f2c', '9f2c#2']);
});

const hostile = '=HYPERLINK("x")\r\n\u202e\ud800,"\u0000';

test('the same bytes for the same things in any order, whatever they are called', () => {
  const name = fc.oneof(fc.string({ unit: 'binary', maxLength: 12 }), fc.constantFrom('', hostile, 'Root CA'));
  const file = (label: string): CbomKey['place'] => ({ held: 'file', file: label });
  const composite = keyOf('MLDSA44-Ed25519-SHA512');
  const key = fc.record({ name, of: fc.constantFrom(ec, composite, null), id: fc.constantFrom('', '9f2c', '00'), where: fc.constantFrom('token', 'file', 'wrapped', 'shares'), kind: fc.constantFrom('private-key', 'public-key', 'secret-key'), answered: fc.boolean(), recorded: fc.boolean() })
    .map(({ name: called, of, id, where, kind, answered, recorded }): CbomKey => ({
      class: kind, name: called, recorded, key: kind === 'secret-key' ? null : of, ...kind === 'secret-key' && { bits: 256 },
      place: where === 'token' ? { held: 'token', token: TOKEN.serial, object: { class: kind, id, label: called } } : where === 'file' ? file(called)
        : where === 'shares' ? { held: 'shares', set: id, threshold: 2, shares: 3 } : { held: 'wrapped', mechanism: called, under: { token: TOKEN.serial, id } },
      attributes: answered ? { ...ATTRIBUTES, id, label: called, keyType: called.slice(0, 8) } : null,
    }));
  const certificate = certificateOf(base64(signatureVectors().tests[5]!.x5c), hostile);
  fc.assert(fc.property(fc.array(key, { maxLength: 12 }).chain((keys) => fc.tuple(fc.constant(keys), fc.shuffledSubarray(keys, { minLength: keys.length }))), name, ([keys, shuffled], label) => {
    const tokens = [{ ...TOKEN, label }, { ...TOKEN, label: 'again' }];
    const bom = cbomOf({ ...NOTHING, keys, tokens, certificates: [certificate, certificate] });
    assertSound(bom);
    assert.equal(cbomText(cbomOf({ ...NOTHING, keys: shuffled, tokens: [...tokens].reverse(), certificates: [certificate] })), cbomText(bom));
    assert.match(bom.serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.ok(cbomText(bom).isWellFormed() && cbomCsv(bom).isWellFormed());
    assert.equal(cbomRows(bom).length, bom.components.length);
  }), { seed: SEED, numRuns: 150 });
  const [a, b] = [cbomOf({ ...NOTHING, keys: [held('01')] }), cbomOf({ ...NOTHING, keys: [held('02')] })];
  assert.notEqual(a.serialNumber, b.serialNumber);
});

/** RFC 4180, written for this test. */
function parseCsv(text: string): string[][] {
  const cells = [...text.matchAll(/("(?:[^"]|"")*"|[^,\r\n"]*)(,|\r\n)/g)];
  assert.equal(cells.map((match) => match[0]).join(''), text, 'not CSV');
  const rows: string[][] = [[]];
  for (const [, cell = '', end] of cells) {
    rows.at(-1)!.push(cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell);
    if (end === '\r\n') rows.push([]);
  }
  return rows.slice(0, -1);
}

test('CSV and plain rows say the same, and no cell is a formula', () => {
  const keys = [held('01', { name: hostile }), held('02', { name: '@SUM(A1)' }), held('03', { name: '-1' }), held('04', { name: 'plain' })];
  const bom = cbomOf({ ...NOTHING, keys, tokens: [TOKEN], certificates: [certificateOf(base64(signatureVectors().tests[0]!.x5c), 'a.crt')] });
  const [header, ...lines] = parseCsv(cbomCsv(bom));
  assert.deepEqual(header, [...CBOM_COLUMNS]);
  const rows = cbomRows(bom);
  for (const [i, line] of lines.entries()) {
    assert.equal(line.length, CBOM_COLUMNS.length);
    for (const [j, cell] of line.entries()) {
      assert.doesNotMatch(cell, /^[=+\-@\t\r]/);
      assert.equal(cell.replace(/^'(?=[=+\-@])/, ''), rows[i]![CBOM_COLUMNS[j]!]);
    }
  }
  const row = rows.find((one) => one.name === 'plain')!;
  assert.deepEqual([row.kind, row.algorithm, row.bits, row.classical, row.quantum, row.standing, row.until, row.id, row.secured, row.origin, row.uses],
    ['private-key', 'ECDSA P-384', '384', '192', '0', 'approved', '2035', '04', 'PKCS#11 token 0417 2203', 'generated on this token', 'sign']);
  assert.deepEqual(rows.map((one) => one.kind).filter((kind, i, all) => all.indexOf(kind) === i), ['algorithm', 'certificate', 'private-key', 'public-key', 'token']);
});

test('ten thousand keys in a moment', () => {
  const keys = Array.from({ length: 10_000 }, (_, i) => held(i.toString(16).padStart(8, '0'), { name: `key ${i}` }));
  const started = performance.now();
  const bom = cbomOf({ ...NOTHING, keys, tokens: [TOKEN] });
  assert.ok(cbomText(bom).length > 1_000_000);
  assert.ok(performance.now() - started < 20_000, `${performance.now() - started} ms`);
  // The keys, one public half, one algorithm, one token. The schema compares every component with every other: a few are enough for it.
  assert.equal(bom.components.length, 10_003);
  assertSound(cbomOf({ ...NOTHING, keys: keys.slice(0, 300), tokens: [TOKEN] }));
});
