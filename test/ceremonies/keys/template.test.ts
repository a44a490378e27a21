/** Key templates: what ships is safe, each rule on both sides of its edge, and files that cannot be believed, by line. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { KEY_KINDS } from '../../../ceremonies/evidence.ts';
import { RISKS } from '../../../ceremonies/keys/provenance.ts';
import {
  KINDS, KeyTemplate, lintTemplate, objectsOf, PURPOSE_NAMES, readTemplates, safeAttributes, SHIPPED_TEMPLATES, TEMPLATE_RULES, USAGES, type Purpose, type TemplateAttributes,
} from '../../../ceremonies/keys/template.ts';
import { SEED } from './seed.ts';

function template(purpose: Purpose, kind: string, attributes: Partial<TemplateAttributes> = {}, accepts: Record<string, string> = {}): KeyTemplate {
  return KeyTemplate.parse({ name: 'test', purpose, kind, attributes: { ...safeAttributes(purpose), ...attributes }, accepts });
}

test('what ships: nothing is refused, every name once, every kind and every purpose at least once', () => {
  for (const one of SHIPPED_TEMPLATES) {
    assert.deepEqual(lintTemplate(KeyTemplate.parse(one)).filter(({ severity }) => severity === 'refused'), [], one.name);
    assert.deepEqual(objectsOf(one).filter(({ class: kind }) => kind !== 'public-key').map(({ attributes }) => [attributes['CKA_SENSITIVE'], attributes['CKA_EXTRACTABLE'], attributes['CKA_PRIVATE'], attributes['CKA_MODIFIABLE']]), [[true, false, true, false]]);
  }
  assert.equal(new Set(SHIPPED_TEMPLATES.map(({ name }) => name)).size, SHIPPED_TEMPLATES.length);
  assert.deepEqual(new Set(SHIPPED_TEMPLATES.map(({ kind }) => kind)), new Set(Object.keys(KINDS)));
  assert.deepEqual(new Set(SHIPPED_TEMPLATES.map(({ purpose }) => purpose)), new Set(PURPOSE_NAMES));
});

test('each rule, and the row on either side of it', () => {
  const rows: readonly (readonly [string, KeyTemplate, readonly string[]])[] = [
    ['wraps and unwraps', template('key-encryption', 'aes-256'), []],
    ['wraps and decrypts', template('key-encryption', 'aes-256', { decrypt: true }), ['KEY-WRAP-DECRYPT refused', 'TEMPLATE-PURPOSE warning']],
    ['unwraps and encrypts', template('key-encryption', 'aes-256', { encrypt: true }), ['KEY-UNWRAP-ENCRYPT refused', 'TEMPLATE-PURPOSE warning']],
    ['a pair: what its public half wraps, its private half decrypts', template('key-encryption', 'rsa-3072', { decrypt: true, unwrap: false }), ['KEY-WRAP-DECRYPT refused', 'TEMPLATE-PURPOSE warning']],
    ['a pair that unwraps', template('key-encryption', 'rsa-3072'), ['TEMPLATE-UNWRAP-PUBLIC warning']],
    ['RSA signs and decrypts', template('signing', 'rsa-3072', { decrypt: true }), ['KEY-SIGN-DECRYPT refused', 'TEMPLATE-PURPOSE warning']],
    ['EC signs and derives', template('signing', 'ec-p256', { derive: true }), ['KEY-SIGN-DERIVE warning', 'TEMPLATE-PURPOSE warning']],
    ['not sensitive, may leave', template('mac', 'hmac-256', { sensitive: false, extractable: true }), ['KEY-NOT-SENSITIVE refused']],
    ['not sensitive, may not leave', template('mac', 'hmac-256', { sensitive: false }), ['KEY-NOT-SENSITIVE warning']],
    ['may leave under trusted keys', template('signing', 'ec-p384', { extractable: true }), []],
    ['may leave under any key', template('signing', 'ec-p384', { extractable: true, wrapWithTrusted: false }), ['KEY-EXTRACTABLE refused']],
    ['the same, accepted', template('signing', 'ec-p384', { extractable: true, wrapWithTrusted: false }, { 'KEY-EXTRACTABLE': 'The token knows no trusted keys.' }), ['KEY-EXTRACTABLE warning']],
    ['another danger accepted', template('signing', 'ec-p384', { extractable: true, wrapWithTrusted: false }, { 'KEY-NOT-PRIVATE': 'Reasons.' }), ['KEY-EXTRACTABLE refused']],
    ['a trusted wrapping key', template('key-encryption', 'aes-256', { trusted: true }), ['TEMPLATE-TRUSTED warning']],
    ['a trusted wrapping key that may leave', template('key-encryption', 'aes-256', { trusted: true, extractable: true }), ['KEY-TRUSTED-EXTRACTABLE refused', 'TEMPLATE-TRUSTED warning']],
    ['trusted, and wraps nothing', template('mac', 'aes-256', { trusted: true }), ['TEMPLATE-TRUSTED refused']],
    ['without a PIN', template('signing', 'ec-p384', { private: false }), ['KEY-NOT-PRIVATE refused']],
    ['a modifiable private key', template('signing', 'ec-p384', { modifiable: true }), ['KEY-MODIFIABLE refused']],
    ['a modifiable secret key', template('mac', 'hmac-256', { modifiable: true }), ['KEY-MODIFIABLE warning']],
    ['no use', template('signing', 'ed25519', { sign: false, verify: false }), ['TEMPLATE-NO-USE refused']],
    ['half a use', template('signing', 'ed25519', { verify: false }), []],
    ['Ed25519 derives', template('signing', 'ed25519', { derive: true }), ['TEMPLATE-USE-UNFIT refused']],
    ['X25519 signs', template('agreement', 'x25519', { sign: true }), ['TEMPLATE-USE-UNFIT refused']],
    ['EC decrypts', template('agreement', 'ec-p256', { decrypt: true }), ['TEMPLATE-USE-UNFIT refused']],
    ['a KEM key derives', template('encapsulation', 'ml-kem-768', { derive: true }), ['TEMPLATE-USE-UNFIT refused']],
    ['a KEM key unwraps', template('encapsulation', 'ml-kem-768', { unwrap: true }), ['TEMPLATE-USE-UNFIT refused']],
    ['ML-DSA encapsulates', template('signing', 'ml-dsa-65', { encapsulate: true }), ['TEMPLATE-USE-UNFIT refused']],
    ['HMAC encrypts', template('mac', 'hmac-256', { encrypt: true }), ['TEMPLATE-USE-UNFIT refused']],
    ['a PIN for every use', template('signing', 'ec-p384', { alwaysAuthenticate: true }), []],
    ['a PIN for every use of a secret key', template('mac', 'hmac-256', { alwaysAuthenticate: true }), ['TEMPLATE-AUTHENTICATE refused']],
    ['copies', template('signing', 'ec-p384', { copyable: true }), ['TEMPLATE-COPYABLE warning']],
    ['never destroyed', template('signing', 'ec-p384', { destroyable: false }), ['TEMPLATE-INDESTRUCTIBLE warning']],
    ['a session object', template('signing', 'ec-p384', { token: false }), ['TEMPLATE-SESSION warning']],
    ['RSA 2048', template('signing', 'rsa-2048'), ['TEMPLATE-STRENGTH warning']],
  ];
  for (const [what, wish, expected] of rows) assert.deepEqual(lintTemplate(wish).map(({ rule, severity }) => `${rule} ${severity}`), expected, what);
  const seen = new Set(rows.flatMap(([, , expected]) => expected.map((one) => one.split(' ')[0])));
  // No kind of key in a template is stateful: those are made by a ceremony only.
  assert.deepEqual(TEMPLATE_RULES.filter((rule) => !seen.has(rule)), ['KEY-STATEFUL-COPY']);
});

test('whatever is wished: a danger is refused or accepted, never silent, and no sentence accepts the worst', () => {
  const wish = fc.record({
    purpose: fc.constantFrom(...PURPOSE_NAMES), kind: fc.constantFrom(...KEY_KINDS),
    attributes: fc.record(Object.fromEntries(Object.keys(safeAttributes('signing')).map((name) => [name, fc.boolean()]))) as unknown as fc.Arbitrary<TemplateAttributes>,
  });
  fc.assert(fc.property(wish, ({ purpose, kind, attributes }) => {
    const findings = lintTemplate(template(purpose, kind, attributes));
    const refused = new Set(findings.filter(({ severity }) => severity === 'refused').map(({ rule }) => rule));
    assert.deepEqual(findings.map(({ rule }) => rule), TEMPLATE_RULES.filter((rule) => findings.some((one) => one.rule === rule)));
    assert.ok(findings.every(({ why, next }) => why.endsWith('.') && next.endsWith('.')));
    if (attributes.wrap && attributes.decrypt) assert.ok(refused.has('KEY-WRAP-DECRYPT'));
    if (!attributes.sensitive && attributes.extractable) assert.ok(refused.has('KEY-NOT-SENSITIVE'));
    if (USAGES.some((usage) => attributes[usage] && !KINDS[kind].uses.includes(usage))) assert.ok(refused.has('TEMPLATE-USE-UNFIT'));
  }), { seed: SEED, numRuns: 500 });
  for (const rule of ['KEY-WRAP-DECRYPT', 'KEY-NOT-SENSITIVE', 'KEY-STATEFUL-COPY', 'TEMPLATE-NO-USE']) {
    assert.equal(KeyTemplate.safeParse({ ...template('signing', 'ec-p256'), accepts: { [rule]: 'Because.' } }).success, false, rule);
  }
});

test('objects: each attribute goes to the class that has it, and 3.2 is spoken of only where it is needed', () => {
  const [secret] = objectsOf(template('key-encryption', 'aes-256'));
  assert.equal(secret?.attributes['CKA_WRAP_WITH_TRUSTED'], true);
  assert.equal(Object.hasOwn(secret.attributes, 'CKA_TRUSTED'), false);
  const [privateHalf, publicHalf] = objectsOf(template('signing', 'ec-p256', { alwaysAuthenticate: true }));
  assert.deepEqual([privateHalf?.attributes['CKA_SIGN'], privateHalf?.attributes['CKA_ALWAYS_AUTHENTICATE'], publicHalf?.attributes['CKA_VERIFY'], publicHalf?.attributes['CKA_PRIVATE']], [true, true, true, false]);
  assert.equal([...Object.keys(privateHalf?.attributes ?? {}), ...Object.keys(publicHalf?.attributes ?? {})].some((name) => /ENCAPS|DECAPS|CKA_VERIFY_RECOVER/.test(name)), false);
  const [closed, open] = objectsOf(template('encapsulation', 'ml-kem-768'));
  assert.deepEqual([closed?.attributes['CKA_DECAPSULATE'], open?.attributes['CKA_ENCAPSULATE']], [true, true]);
});

const FILE = `conclave-templates: 1
templates:
  - name: code-signing
    note: Renewed every year
    purpose: signing
    kind: rsa-3072
    attributes: { extractable: true, wrapWithTrusted: false }
    accepts: { KEY-EXTRACTABLE: Backed up under the vendor's own key. }
  - name: old-habit
    purpose: key-encryption
    kind: aes-256
    attributes: { decrypt: true, encrypt: true }
`;

test('templates.yaml: what is written differs from what is safe, and is judged', () => {
  const { templates } = readTemplates(FILE);
  assert.deepEqual(templates?.map(({ template: { name, attributes }, line, findings }) => [name, line, attributes.sensitive, findings.map(({ rule, severity, accepted }) => `${rule} ${accepted === null ? severity : 'accepted'}`)]), [
    ['code-signing', 3, true, ['KEY-EXTRACTABLE accepted']],
    ['old-habit', 9, true, ['KEY-WRAP-DECRYPT refused', 'KEY-UNWRAP-ENCRYPT refused', 'TEMPLATE-PURPOSE warning']],
  ]);
});

test('templates.yaml: every fault has its rule and its line', () => {
  const rows: readonly (readonly [string, string, readonly string[]])[] = [
    ['an unknown key', FILE.replace('note:', 'notes:'), ['4 TEMPLATES-SHAPE']],
    ['an unknown attribute', FILE.replace('{ decrypt: true, encrypt', '{ decrypt: true, encrypts'), ['12 TEMPLATES-SHAPE']],
    ['no boolean', FILE.replace('decrypt: true', 'decrypt: "yes"'), ['12 TEMPLATES-SHAPE']],
    ['an unknown kind', FILE.replace('aes-256', 'des3'), ['11 TEMPLATES-SHAPE']],
    ['a danger that cannot be accepted', FILE.replace('KEY-EXTRACTABLE', 'KEY-WRAP-DECRYPT'), ['8 TEMPLATES-SHAPE']],
    ['bytes for AES', FILE.replace('kind: aes-256', 'kind: aes-256\n    bytes: 32'), ['12 TEMPLATES-SHAPE']],
    ['a name twice', FILE.replace('old-habit', 'code-signing'), ['9 TEMPLATES-NAME']],
    ['a name that ships', FILE.replace('old-habit', 'mac-hmac-256'), ['9 TEMPLATES-NAME']],
    ['a key twice', FILE.replace('    note: Renewed every year', '    kind: ed25519'), ['6 TEMPLATES-YAML']],
    ['an anchor', FILE.replace('rsa-3072', '&kind rsa-3072'), ['6 TEMPLATES-YAML']],
    ['an invisible character', FILE.replace('Renewed', 'Re\u200bnewed'), ['4 TEXT-PRINTABLE']],
    ['the same, escaped', FILE.replace('Renewed every year', '"Re\\u200bnewed"'), ['4 TEXT-PRINTABLE']],
    ['a novel', `#${'x'.repeat(200_000)}`, ['0 TEMPLATES-SIZE']],
    ['nothing', '', ['0 TEMPLATES-YAML']],
  ];
  for (const [what, text, expected] of rows) assert.deepEqual(readTemplates(text).faults.map(({ line, rule }) => `${line} ${rule}`), expected, what);
});

test('the risks of existing keys are among the rules of templates, under the same names', () => {
  assert.deepEqual(TEMPLATE_RULES.slice(0, RISKS.length), RISKS);
});
