import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex, utf8 } from '../../../ceremonies/bytes.ts';
import { matches, parsePkcs11Uri, uriOf, writePkcs11Uri, type Pkcs11Uri, type UriFacts } from '../../../ceremonies/keys/uri.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { SEED } from './seed.ts';

const refused = (rule: string) => (error: unknown): boolean => {
  assert.ok(error instanceof Refused, String(error));
  assert.equal(error.refusal.rule, rule, error.message);
  return true;
};
const NONE: Pkcs11Uri = { texts: {}, type: null, id: null, slotId: null, libraryVersion: null, query: {}, vendor: { path: [], query: [] } };

/** RFC 7512 section 3, in its order, and what each says. */
const EXAMPLES: readonly (readonly [string, Partial<Pkcs11Uri>])[] = [
  ['pkcs11:', {}],
  ['pkcs11:object=my-pubkey;type=public', { texts: { object: 'my-pubkey' }, type: 'public' }],
  ['pkcs11:object=my-key;type=private?pin-source=file:/etc/token', { texts: { object: 'my-key' }, type: 'private', query: { 'pin-source': 'file:/etc/token' } }],
  [
    'pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial=?pin-source=file:/etc/token_pin',
    {
      texts: { token: 'The Software PKCS#11 Softtoken', manufacturer: 'Snake Oil, Inc.', model: '1.0', object: 'my-certificate', serial: '' },
      type: 'cert', id: fromHex('69953e5cf4bdec91'), query: { 'pin-source': 'file:/etc/token_pin' },
    },
  ],
  ['pkcs11:object=my-sign-key;type=private?module-name=mypkcs11', { texts: { object: 'my-sign-key' }, type: 'private', query: { 'module-name': 'mypkcs11' } }],
  ['pkcs11:object=my-sign-key;type=private?module-path=/mnt/libmypkcs11.so.1', { texts: { object: 'my-sign-key' }, type: 'private', query: { 'module-path': '/mnt/libmypkcs11.so.1' } }],
  ['pkcs11:slot-description=Sun%20Metaslot', { texts: { 'slot-description': 'Sun Metaslot' } }],
  [
    'pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-description=Soft%20Token%20Library;library-version=1.23',
    { texts: { 'library-manufacturer': 'Snake Oil, Inc.', 'library-description': 'Soft Token Library' }, libraryVersion: { major: 1, minor: 23 } },
  ],
  [
    'pkcs11:token=My%20token%25%20created%20by%20Joe;library-version=3;id=%01%02%03%Ba%dd%Ca%fe%04%05%06',
    { texts: { token: 'My token% created by Joe' }, libraryVersion: { major: 3, minor: 0 }, id: fromHex('010203baddcafe040506') },
  ],
  ['pkcs11:token=A%20name%20with%20a%20substring%20%25%3B;object=my-certificate;type=cert', { texts: { token: 'A name with a substring %;', object: 'my-certificate' }, type: 'cert' }],
  ['pkcs11:token=Name%20with%20a%20small%20A%20with%20acute:%20%C3%A1;object=my-certificate;type=cert', { texts: { token: 'Name with a small A with acute: á', object: 'my-certificate' }, type: 'cert' }],
  [
    'pkcs11:token=my-token;object=my-certificate;type=cert;vendor-aaa=value-a?pin-source=file:/etc/token_pin&vendor-bbb=value-b',
    {
      texts: { token: 'my-token', object: 'my-certificate' }, type: 'cert', query: { 'pin-source': 'file:/etc/token_pin' },
      vendor: { path: [{ name: 'vendor-aaa', value: utf8('value-a') }], query: [{ name: 'vendor-bbb', value: utf8('value-b') }] },
    },
  ],
];

test('the examples of RFC 7512: read, written canonically, and the same when read again', () => {
  for (const [text, says] of EXAMPLES) {
    const uri = parsePkcs11Uri(text);
    assert.deepEqual(uri, { ...NONE, ...says }, text);
    assert.deepEqual(parsePkcs11Uri(writePkcs11Uri(uri)), uri);
  }
  // The one example that is refused: section 3 shows it, and a PIN does not belong there.
  assert.throws(() => parsePkcs11Uri('pkcs11:token=Software%20PKCS%2311%20softtoken;manufacturer=Snake%20Oil,%20Inc.?pin-value=the-pin'), refused('URI-NO-PIN'));
});

test('one text for what says the same', () => {
  for (const [text, canonical] of [
    ['PKCS11:type=private;object=my%2dkey', 'pkcs11:object=my-key;type=private'],
    ['pkcs11:id=abc;token=%41', 'pkcs11:token=A;id=%61%62%63'],
    ['pkcs11:id=', 'pkcs11:id='],
    ['pkcs11:slot-id=007;library-version=003.01?', 'pkcs11:library-version=3.1;slot-id=7'],
    ['pkcs11:object=a%2Fb%3fc&d%c3%a9', 'pkcs11:object=a%2Fb%3Fc&d%C3%A9'],
    ['pkcs11:?x-b=1&x-a=2&x-b=0&module-path=%2fa|b', 'pkcs11:?module-path=/a|b&x-a=2&x-b=1&x-b=0'],
  ] as const) assert.equal(writePkcs11Uri(parsePkcs11Uri(text)), canonical);
});

test('refused, each by its rule', () => {
  for (const [text, rule] of [
    ['', 'URI-SCHEME'], ['pkcs12:token=a', 'URI-SCHEME'], [' pkcs11:', 'URI-SCHEME'], ['pkcs11', 'URI-SCHEME'],
    ['pkcs11:;', 'URI-SYNTAX'], ['pkcs11:token', 'URI-SYNTAX'], ['pkcs11:=a', 'URI-SYNTAX'], ['pkcs11:token=a;', 'URI-SYNTAX'], ['pkcs11:?&', 'URI-SYNTAX'],
    ['pkcs11:token=a b', 'URI-SYNTAX'], ['pkcs11:token=a/b', 'URI-SYNTAX'], ['pkcs11:token=á', 'URI-SYNTAX'], ['pkcs11:token=a#b', 'URI-SYNTAX'], ['pkcs11:token=a|b', 'URI-SYNTAX'], ['pkcs11:to%6ben=a', 'URI-SYNTAX'],
    ['pkcs11:token=a\n', 'URI-SYNTAX'], ['pkcs11:?module-path=a;b', 'URI-SYNTAX'],
    ['pkcs11:token=%', 'URI-ENCODING'], ['pkcs11:token=%4', 'URI-ENCODING'], ['pkcs11:id=%GG', 'URI-ENCODING'], ['pkcs11:token=%ff', 'URI-ENCODING'], ['pkcs11:token=%C0%80', 'URI-ENCODING'], ['pkcs11:?module-name=%ed%a0%80', 'URI-ENCODING'],
    ['pkcs11:id=%01;id=%01', 'URI-DUPLICATE'], ['pkcs11:x=1;x=2', 'URI-DUPLICATE'], ['pkcs11:?module-name=a&module-name=a', 'URI-DUPLICATE'],
    ['pkcs11:type=Public', 'URI-VALUE'], ['pkcs11:type=', 'URI-VALUE'], ['pkcs11:slot-id=', 'URI-VALUE'], ['pkcs11:slot-id=-1', 'URI-VALUE'], ['pkcs11:slot-id=9007199254740992', 'URI-VALUE'], ['pkcs11:slot-id=0x1', 'URI-VALUE'],
    ['pkcs11:library-version=1.', 'URI-VALUE'], ['pkcs11:library-version=256', 'URI-VALUE'], ['pkcs11:library-version=1.256', 'URI-VALUE'], ['pkcs11:library-version=1.2.3', 'URI-VALUE'],
    ['pkcs11:?pin-value=', 'URI-NO-PIN'], ['pkcs11:pin-value=1234', 'URI-NO-PIN'], ['pkcs11:?PIN-Value=1', 'URI-NO-PIN'], ['pkcs11:token=a b;%?pin-value=1234', 'URI-NO-PIN'], ['pkcs11:?x&pin-value=1234', 'URI-NO-PIN'],
    [`pkcs11:token=${'a'.repeat(8192)}`, 'URI-LENGTH'],
  ] as const) assert.throws(() => parsePkcs11Uri(text), refused(rule), text.slice(0, 80));
  assert.equal(parsePkcs11Uri(`pkcs11:token=${'a'.repeat(8192 - 13)}`).texts.token?.length, 8192 - 13);
  assert.deepEqual(parsePkcs11Uri('pkcs11:slot-id=9007199254740991;library-version=255.255').libraryVersion, { major: 255, minor: 255 });
});

const token = { serial: '0417 2203', label: 'HSM-A', model: 'SoftHSM v2', manufacturer: 'SoftHSM project' };
const object = { class: 'private-key', id: '9f2c', label: 'Root CA' } as const;
const facts: UriFacts = {
  library: { manufacturer: 'SoftHSM                         ', description: 'Implementation of PKCS11', version: { major: 2, minor: 6 } },
  slot: { id: 7, description: 'slot seven  ', manufacturer: 'SoftHSM project' }, token, object,
};

test('matching: every attribute narrows, an absent one matches everything', () => {
  const rows: readonly (readonly [string, boolean])[] = [
    ['', true], ['token=HSM-A', true], ['token=HSM-a', false], ['token=', false], ['serial=0417%202203', true], ['serial=04172203', false], ['model=SoftHSM%20v2;manufacturer=SoftHSM%20project', true],
    ['object=Root%20CA', true], ['object=Root', false], ['type=private', true], ['type=public', false], ['id=%9f%2c', true], ['id=%9f', false], ['id=', false],
    ['slot-id=7', true], ['slot-id=8', false], ['slot-description=slot%20seven', true], ['slot-manufacturer=x', false],
    ['library-manufacturer=SoftHSM', true], ['library-version=2.6', true], ['library-version=2', false], ['library-description=x', false],
    ['x-vendor=1', false],
  ];
  for (const [path, expected] of rows) assert.equal(matches(parsePkcs11Uri(`pkcs11:${path}`), facts), expected, path);
  // The query chooses no object, and one it does not know is ignored (section 2.5).
  assert.ok(matches(parsePkcs11Uri('pkcs11:token=HSM-A?module-name=other&x-vendor=1'), facts));
});

test('matching: an object\'s URI finds its token; what is not known does not match', () => {
  const uri = uriOf({ token, object });
  assert.equal(writePkcs11Uri(uri), 'pkcs11:token=HSM-A;manufacturer=SoftHSM%20project;model=SoftHSM%20v2;serial=0417%202203;object=Root%20CA;type=private;id=%9F%2C');
  assert.ok(matches(uri, facts));
  assert.ok(matches(uri, { token }));
  assert.ok(!matches(uri, { object }));
  assert.ok(!matches(parsePkcs11Uri('pkcs11:slot-id=7'), { token, object }));
  assert.ok(!matches(parsePkcs11Uri('pkcs11:library-version=2.6'), { token, object }));
  for (const other of [{ ...object, class: 'public-key' } as const, { ...object, id: '' }, { ...object, label: 'Root CA ' }]) assert.ok(!matches(uri, { token, object: other }));
  // Classes that RFC 7512 has no type for, objects without id and label.
  assert.equal(writePkcs11Uri(uriOf({ token: { ...token, label: '' }, object: { class: 'other', id: '', label: '' } })), 'pkcs11:token=;manufacturer=SoftHSM%20project;model=SoftHSM%20v2;serial=0417%202203');
  assert.ok(!matches(parsePkcs11Uri('pkcs11:type=data'), { token, object: { class: 'unreadable', id: '', label: '' } }));
});

test('a token that is told apart by its label has no serial number in its URI, and one of zeros fits it', () => {
  const nss = { ...token, serial: 'label:PQ Token', label: 'PQ Token' };
  assert.doesNotMatch(writePkcs11Uri(uriOf({ token: nss })), /serial/);
  assert.ok(matches(parsePkcs11Uri('pkcs11:token=PQ%20Token;serial=0000000000000000'), { token: nss }));
  assert.ok(!matches(parsePkcs11Uri('pkcs11:token=PQ%20Token;serial=1'), { token: nss }));
  assert.ok(!matches(parsePkcs11Uri('pkcs11:serial=0000'), { token }));
});

const text = fc.string({ unit: 'binary', maxLength: 40 });
const bytes = fc.uint8Array({ maxLength: 40 });
const name = fc.stringMatching(/^x-[A-Za-z0-9_-]{0,10}$/);
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null });
const uris: fc.Arbitrary<Pkcs11Uri> = fc.record({
  texts: fc.record({
    'library-manufacturer': text, 'library-description': text, 'slot-manufacturer': text, 'slot-description': text, token: text, manufacturer: text, model: text, serial: text, object: text,
  }, { requiredKeys: [] }),
  type: maybe(fc.constantFrom('public', 'private', 'cert', 'secret-key', 'data')), id: maybe(bytes), slotId: maybe(fc.maxSafeNat()),
  libraryVersion: maybe(fc.record({ major: fc.nat(255), minor: fc.nat(255) })),
  query: fc.record({ 'pin-source': text, 'module-name': text, 'module-path': text }, { requiredKeys: [] }),
  vendor: fc.record({
    path: fc.uniqueArray(fc.record({ name, value: bytes }), { selector: (one) => one.name, maxLength: 4 }), query: fc.array(fc.record({ name, value: bytes }), { maxLength: 4 }),
  }),
}, { noNullPrototype: true });

test('whatever is written is read again as the same, and written the same', () => {
  fc.assert(fc.property(uris, (uri) => {
    const written = writePkcs11Uri(uri);
    if (written.length > 8192) return;
    assert.match(written, /^pkcs11:[A-Za-z0-9\-._~:[\]@!$'()*+,=&;%?/|]*$/);
    const again = parsePkcs11Uri(written);
    assert.equal(writePkcs11Uri(again), written);
    const flat = (one: Pkcs11Uri) => JSON.stringify({
      ...one, texts: Object.entries(one.texts).sort(), query: Object.entries(one.query).sort(), id: one.id && toHex(one.id),
      vendor: [one.vendor.path, one.vendor.query].map((list) => list.map(({ name: of, value }) => [of, toHex(value)]).sort((a, b) => (a[0]! < b[0]! ? -1 : a[0]! > b[0]! ? 1 : 0))),
    });
    assert.equal(flat(again), flat(uri));
  }), { seed: SEED, numRuns: 400 });
});

test('hostile text: read, or refused by a rule of this file, and never quoted', () => {
  const piece = fc.oneof(
    fc.constantFrom('pkcs11:', 'token=', 'id=', 'type=', 'public', ';', '&', '?', '%', '%0', '%00', '%ff', '=', 'pin-value=', 'library-version=', 'slot-id=', '1', '.', '#', 'x-a=1'),
    fc.string({ unit: 'binary', maxLength: 5 }),
  );
  fc.assert(fc.property(fc.array(piece, { maxLength: 30 }), fc.boolean(), (pieces, begins) => {
    const line = `${begins ? 'pkcs11:' : ''}${pieces.join('')}`;
    try {
      const uri = parsePkcs11Uri(line);
      assert.deepEqual(writePkcs11Uri(parsePkcs11Uri(writePkcs11Uri(uri))), writePkcs11Uri(uri));
    } catch (error) {
      assert.ok(error instanceof Refused, String(error));
      assert.match(error.refusal.rule, /^URI-[A-Z-]+$/);
    }
  }), { seed: SEED, numRuns: 2000 });
  // Wherever a secret stands in a line that is refused, the refusal does not repeat it.
  for (const line of ['pkcs11:?pin-value=SECRET', 'pkcs11:SECRET', 'pkcs11:token=SECRET SECRET', 'SECRET', 'pkcs11:token=a;object=SECRET%', 'pkcs11:type=SECRET', 'pkcs11:slot-id=SECRET', 'pkcs11:SEC%52ET=1']) {
    assert.throws(() => parsePkcs11Uri(line), (error: unknown) => error instanceof Refused && !error.message.includes('SECRET'));
  }
});
