/** What a pretended estate tells of its libraries, tokens and objects: one of each kind that the Tokens room draws. */
import type { ObjectPlace, Readiness, TokenDetails } from '../../ceremonies/estate.ts';
import type { KeyAttributes, ObjectFact, TokenFacts } from '../../ceremonies/evidence.ts';
import { compareTokens, type Comparison, type DescribedKey, type Side } from '../../ceremonies/keys/compare.ts';
import { provenanceOf, risksOf } from '../../ceremonies/keys/provenance.ts';
import type { Answers, KeyScan, ModuleReport } from '../../electron/contract.ts';

const SOFTHSM = '/usr/lib/softhsm/libsofthsm2.so';

export function pretendModules(changed: boolean): ModuleReport {
  const library = { path: SOFTHSM, file: '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so', sha256: 'ef'.repeat(32), refusal: null };
  return {
    configured: [
      { name: 'software', library: null, pinned: null, environment: [] },
      {
        name: 'softhsm',
        library,
        pinned: { sha256: 'ef'.repeat(32), since: '2026-10-02T08:11:00.000Z' },
        environment: [
          { name: 'SOFTHSM2_CONF', value: '/etc/softhsm/softhsm2.conf', from: 'modules.json' },
          { name: 'OPENSC_CONF', value: '/etc/opensc/opensc.conf', from: 'surroundings' },
        ],
      },
      ...(changed
        ? [
            {
              name: 'vendor',
              library: {
                path: '/opt/vendor/lib/libvendor.so',
                file: '/opt/vendor/lib/libvendor.so',
                sha256: '77'.repeat(32),
                refusal: {
                  rule: 'MODULE-CHANGED',
                  expected: `the file it was pinned to, ${'12'.repeat(32)}`,
                  found: '77'.repeat(32),
                  next: 'Ask the administrator whether the library was updated. If so, the pin is taken away by hand.',
                },
              },
              pinned: { sha256: '12'.repeat(32), since: '2026-06-30T15:40:00.000Z' },
              environment: [],
            },
          ]
        : []),
    ],
    candidates: [
      { name: 'softhsm2', from: '/usr/share/p11-kit/modules/softhsm2.module', library, skipped: null, configuredAs: 'softhsm' },
      {
        name: 'opensc-pkcs11',
        from: '/usr/share/p11-kit/modules/opensc-pkcs11.module',
        library: { path: '/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so', file: '/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so', sha256: 'a4'.repeat(32), refusal: null },
        skipped: null,
        configuredAs: null,
      },
      {
        name: 'p11-kit-proxy',
        from: 'well-known path',
        library: { path: '/usr/lib/x86_64-linux-gnu/p11-kit-proxy.so', file: '/usr/lib/x86_64-linux-gnu/libp11-kit.so.0.3.0', sha256: '3c'.repeat(32), refusal: null },
        skipped: 'p11-kit’s proxy: it would show the other libraries’ tokens a second time',
        configuredAs: null,
      },
      {
        name: 'eleven',
        from: 'well-known path',
        library: {
          path: '/usr/local/lib/libeleven.so',
          file: '/usr/local/lib/libeleven.so',
          sha256: '90'.repeat(32),
          refusal: { rule: 'MODULE-OWNER', expected: 'a file that only root or its user may write', found: 'writable by everybody', next: 'The administrator takes the right to write away.' },
        },
        skipped: null,
        configuredAs: null,
      },
    ],
  };
}

export function pretendDetails(token: TokenFacts, loggedIn: boolean): TokenDetails {
  return {
    library: {
      manufacturer: 'SoftHSM',
      description: 'Implementation of PKCS11',
      version: '2.6',
      cryptoki: '2.40',
      interfaces: [
        { name: 'PKCS 11', version: '3.0', forkSafe: false },
        { name: 'PKCS 11', version: '2.40', forkSafe: true },
      ],
    },
    slot: {
      number: 1_822_035_251,
      description: 'SoftHSM slot ID 0x6c9a2d33',
      manufacturer: 'SoftHSM project',
      hardware: '2.6',
      firmware: '2.6',
      flags: [{ name: 'CKF_TOKEN_PRESENT', meaning: 'a token is in the slot' }],
    },
    token,
    flags: [...token.flags, 'CKF_USER_PIN_COUNT_LOW', 'CKF_SO_PIN_LOCKED'].map((name) => ({ name, meaning: `the meaning of ${name}` })),
    clock: null,
    pin: { user: 'low', so: 'locked', min: 4, max: 255, pad: false },
    limits: {
      sessions: { now: null, most: 'unlimited' },
      writeSessions: { now: 1, most: 16 },
      publicMemory: { now: 65_200, most: 131_072 },
      privateMemory: { now: null, most: null },
    },
    validations: [
      {
        type: 'FIPS 140',
        version: '3',
        level: '3',
        moduleId: 'Example module 7',
        authority: 'NIST CMVP',
        country: 'US',
        certificate: '4999',
        certificateUri: 'https://csrc.nist.gov/projects/cryptographic-module-validation-program/certificate/4999',
        vendorUri: '',
        profile: '',
      },
    ],
    loggedIn,
  };
}

/** A private key that was brought in and may do too much; a public key; anything else has no attributes of a key. */
function keyOf({ class: kind, id, label }: ObjectFact): KeyAttributes | null {
  if (kind !== 'private-key' && kind !== 'public-key') return null;
  const secret = kind === 'private-key';
  return {
    class: kind,
    keyType: 'CKK_RSA',
    id,
    label,
    token: true,
    private: secret,
    sensitive: secret ? true : null,
    extractable: secret ? true : null,
    alwaysSensitive: secret ? false : null,
    neverExtractable: secret ? false : null,
    local: !secret,
    modifiable: true,
    sign: secret,
    verify: !secret,
    encrypt: !secret,
    decrypt: secret,
    wrap: false,
    unwrap: false,
    derive: false,
    generatedBy: secret ? null : 'CKM_RSA_PKCS_KEY_PAIR_GEN',
    keysRemaining: null,
  };
}

export function pretendObject(place: ObjectPlace, token: string): Answers['object'] {
  const { object } = place;
  const key = keyOf(object);
  const label = Buffer.from(object.label).toString('hex');
  return {
    object,
    uri: `pkcs11:token=${encodeURIComponent(token)};object=${encodeURIComponent(object.label)};id=${object.id.replace(/(..)/g, '%$1')}`,
    attributes: [
      { name: 'CKA_CLASS', number: 0, hex: '0300000000000000', text: 'CKO_PRIVATE_KEY' },
      { name: 'CKA_TOKEN', number: 1, hex: '01', text: 'true' },
      { name: 'CKA_LABEL', number: 3, hex: label, text: object.label },
      { name: 'CKA_ID', number: 0x102, hex: object.id, text: null },
      { name: 'CKA_MODULUS', number: 0x120, hex: 'c3'.repeat(256), text: '2048 bits' },
      { name: 'CKA_START_DATE', number: 0x110, hex: '', text: null },
    ],
    unanswered: ['CKA_PUBLIC_KEY_INFO'],
    withheld: key?.class === 'private-key' ? ['CKA_PRIVATE_EXPONENT', 'CKA_PRIME_1'] : [],
    key,
    trust: { wrapWithTrusted: false, trusted: null, alwaysAuthenticate: false },
    letters: [
      { letter: 'prv', meaning: 'a private object', risk: false },
      { letter: 'XTR', meaning: 'may leave the token wrapped', risk: true },
    ],
    publicKey: { label: 'RSA-2048', spki: Buffer.alloc(294, 7).toString('base64url'), sha256: '5d'.repeat(32) },
    certificate:
      object.class === 'certificate'
        ? { subject: 'CN=server.example', issuer: 'CN=Example Root CA', serialNumber: '1f09c2aa17e35b88d061', notBefore: '2026-01-01', notAfter: '2027-01-01' }
        : null,
    provenance: key ? provenanceOf(key) : null,
    risks: key ? risksOf({ ...key, wrapWithTrusted: false }) : [],
  };
}

export function pretendReadiness(): Readiness[] {
  const cell = (name: string, family: Readiness['family'], can: Readiness['can'], detail = '', code: string | null = null): Readiness => ({
    name,
    family,
    can,
    detail,
    code,
    mechanisms: can === 'absent' ? [] : [`CKM_${family.toUpperCase().replace('-', '_')}`],
    milliseconds: can === 'proven' ? 12 : null,
  });
  return [
    cell('RSA-2048', 'rsa', 'proven'),
    cell('RSA-3072', 'rsa', 'proven'),
    cell('RSA-4096', 'rsa', 'claimed', 'It was not tried: it takes long.'),
    cell('ECDSA P-256', 'ecdsa', 'proven'),
    cell('ECDSA P-384', 'ecdsa', 'proven'),
    cell('ECDSA P-521', 'ecdsa', 'claimed', 'The token made the key and would not sign with it.', 'CKR_DEVICE_ERROR'),
    cell('Ed25519', 'eddsa', 'proven'),
    cell('Ed448', 'eddsa', 'absent'),
    ...['ML-DSA-44', 'ML-DSA-65', 'ML-DSA-87'].map((name) => cell(name, 'ml-dsa', 'absent')),
    ...['ML-KEM-512', 'ML-KEM-768', 'ML-KEM-1024'].map((name) => cell(name, 'ml-kem', 'absent')),
    ...['128s', '128f', '192s', '192f', '256s', '256f'].map((name) => cell(`SLH-DSA-SHA2-${name}`, 'slh-dsa', 'absent')),
    cell('AES-256 KWP', 'aes', 'proven'),
    cell('AES-256 GCM', 'aes', 'proven'),
  ];
}

export function pretendScan(tokens: readonly { readonly module: string; readonly token: string; readonly tokenLabel: string; readonly loggedIn: boolean }[], weak: boolean): KeyScan {
  const [first] = tokens;
  const place = (position: number) => ({
    module: first?.module ?? '',
    token: first?.token ?? '',
    position,
    object: pretendedObject(position),
    label: 'RSA-2048',
    sha256: '5d'.repeat(32),
  });
  return {
    tokens: tokens.map((token) => ({ ...token, keys: 5000, unread: 0 })),
    tests: ['WEAK-ROCA', 'WEAK-CLOSE-PRIMES', 'WEAK-EXPONENT', 'WEAK-SHARED-PRIME', 'WEAK-DUPLICATE', 'WEAK-OFF-CURVE'],
    findings: weak
      ? [
          { rule: 'WEAK-SHARED-PRIME', expected: 'primes of its own', found: 'a prime that another key has as well', next: 'Replace both keys. Whoever has both public keys can compute the private ones.', keys: [place(4), place(8)] },
          { rule: 'WEAK-ROCA', expected: 'primes that show no pattern', found: 'the pattern of the ROCA library', next: 'Replace the key, and all others that this device made.', keys: [place(12)] },
        ]
      : [],
    blocklist: { file: 'blocklist.txt', sha256: '9a'.repeat(32), entries: 262_144 },
  };
}

/** Compared by the real rules. `copied`: the other one is a restored backup of the one; else it is one that went its own way. */
export function pretendComparison(one: { readonly name: string; readonly loggedIn: boolean }, other: { readonly name: string; readonly loggedIn: boolean }, copied: boolean): Comparison {
  const key = (label: string, id: string, fingerprint: string, attributes: DescribedKey['attributes']): DescribedKey => ({
    object: { class: 'private-key', id, label, keyType: 'CKK_EC' },
    likeness: fingerprint === '' ? null : { method: 'SHA-256 of the public key', value: fingerprint.repeat(32) },
    why: fingerprint === '' ? 'the token has no public half of the same CKA_ID' : '',
    attributes: { CKA_LABEL: label, CKA_ID: id, CKA_SENSITIVE: 'true', CKA_EXTRACTABLE: 'false', CKA_LOCAL: 'true', ...attributes },
  });
  const side = ({ name, loggedIn }: { readonly name: string; readonly loggedIn: boolean }, keys: readonly DescribedKey[]): Side => ({
    name,
    keys,
    notSeen: loggedIn ? [] : ['private objects unseen, because nobody is logged in'],
  });
  const restored = { CKA_LOCAL: 'false' };
  const left = [key('Root CA', '01', '5d', {}), key('Issuing CA', '02', '77', {})];
  return copied
    ? compareTokens(side(one, left), side(other, [key('Root CA', '01', '5d', restored), key('Issuing CA', '02', '77', restored)]))
    : compareTokens(
        side(one, [...left, key('Server key', '03', '12', {}), key('Old key', '04', '', {}), key('Lonely key', '05', '34', {})]),
        side(other, [
          key('Root CA', '01', '5d', restored),
          key('Issuing CA', '02', '77', { ...restored, CKA_EXTRACTABLE: 'true' }),
          key('Server key', '03', '99', {}),
          key('Old key', '04', '', {}),
        ]),
      );
}

export function pretendRandom(bytes: number): Answers['random-test'] {
  return {
    bytes,
    tests: [
      { name: 'monobit', statistic: '0.4731', limit: 'p >= 0.001', passed: true },
      { name: 'runs', statistic: '0.1190', limit: 'p >= 0.001', passed: true },
      { name: 'chi-squared of bytes', statistic: '263.1', limit: '170 to 350', passed: true },
    ],
    claim: 'No gross fault was seen in this sample. That says nothing about how the bytes were made.',
  };
}

/** What stands at a place of a pretended token of ten thousand objects. */
export function pretendedObject(position: number): ObjectFact {
  if (position % 997 === 3) return { class: 'unreadable', id: '', label: '', keyType: '' };
  const kind = position % 7 === 5 ? 'private-key' : position % 2 === 0 ? 'public-key' : 'certificate';
  return {
    class: kind,
    id: position.toString(16).padStart(16, '0'),
    label: `Server key ${position + 1}`,
    keyType: kind === 'certificate' ? 'X.509' : kind === 'private-key' ? 'CKK_RSA' : 'CKK_EC',
  };
}
