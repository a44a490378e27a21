/** A pretended inventory: a key in each state, each kind of copy, each kind of finding, and as many more as a test asks for. */
import { alerts } from '../../ceremonies/alerts.ts';
import type { Copy, End, Holding, Inventory, InventoryFinding, InventoryKey, Share, ShareSetCopy, Source, WrappedFileCopy, WrappedPartCopy } from '../../ceremonies/inventory.ts';
import type { KeyAttributes } from '../../ceremonies/evidence.ts';
import { destructionOf } from '../../ceremonies/inventory.ts';
import { refuse } from '../../ceremonies/refusal.ts';
import type { Compared } from '../../electron/contract.ts';

const CEREMONY = '9f2c01ab'.repeat(4);
const BOOK = '77aa3141'.repeat(4);
export const REHEARSED = '0e4ea45e'.repeat(4);
export const HSM = '0000000004172203';
const KEK = 'CMAC of zeros, 3 bytes (ANSI X9.24-1) d1d2d3';
export const BACKUP = '0000000000beef01';

export const source = (seq: number, ceremony = CEREMONY): Source => ({ ceremony, seq, at: new Date(Date.UTC(2026, 2, ceremony === CEREMONY ? 4 : 19, 9, seq, 7)).toISOString() });
export const end = (level: End['level'], how: string, seq: number): End => ({ ...source(seq, BOOK), level, how });
const hex = (name: string, length = 64) => Array.from({ length }, (_, index) => ((name.charCodeAt(index % name.length) * 7 + index * 5) % 16).toString(16)).join('');
const spki = (name: string) => `SHA-256 of SubjectPublicKeyInfo ${hex(name)}`;
const attributes = (more: Partial<KeyAttributes> = {}): KeyAttributes => ({
  class: 'private-key', keyType: 'CKK_EC', id: '', label: '', token: true, private: true, sensitive: true, extractable: false, alwaysSensitive: true, neverExtractable: false, local: true, modifiable: false,
  sign: true, verify: false, encrypt: false, decrypt: false, wrap: false, unwrap: false, derive: false, generatedBy: null, keysRemaining: null, ...more,
});

export const object = (kind: Holding['class'], label: string, more: Partial<Holding> = {}): Holding => ({
  kind: 'object', module: 'softhsm', token: HSM, class: kind, id: hex(`${label} id`, 32), label, keyType: kind === 'secret-key' ? 'CKK_AES' : 'CKK_EC', check: { method: 'none', value: '' },
  attributes: kind === 'public-key' ? null : attributes(), what: `${kind} of ${label}`, pair: null, since: source(21), end: null, believed: true, ...more,
});
const share = (x: number, more: Partial<Share> = {}): Share => ({
  seat: `custodian-${x}`, name: ['Bela Custis', 'Chiara Custos', 'Dmitri Kustov', 'Edda Wachter', 'Filip Strážný'][x - 1] ?? `Custodian ${x}`, x, readBack: true,
  object: object('data', `conclave-share-${x}`, { token: `000000000000ca${x}0`, id: null, attributes: null, since: source(40 + x) }), ...more,
});
const shares = (custodians: readonly Share[], more: Partial<ShareSetCopy> = {}): ShareSetCopy => ({
  kind: 'share-set', set: hex('set', 16), epoch: 1, threshold: 2, shares: custodians.length, custodians, recoveryProven: true, lastRecovery: source(50), complete: true, renewal: null, since: source(38), end: null, believed: true, ...more,
});
const part = (name: string, more: Partial<WrappedPartCopy> = {}): WrappedPartCopy => ({
  kind: 'wrapped-part', part: name, under: { module: 'softhsm', token: HSM, id: hex('Vault KEK id', 32) }, since: source(22), end: null, believed: true, ...more,
});
const file = (under: string, more: Partial<WrappedFileCopy> = {}): WrappedFileCopy => ({ kind: 'wrapped-file', method: 'AES-KWP', under, since: source(14, BOOK), end: null, believed: true, ...more });

export function pretendedKey(label: string, copies: readonly Copy[], more: Partial<InventoryKey> = {}): InventoryKey {
  const unknown = more.unknown ?? [];
  return {
    identity: spki(label), label, algorithm: 'ECDSA P-384', standing: { state: 'approved', until: 2035, clause: 'FIPS 186-5; NIST IR 8547 (initial public draft) table 2: disallowed after 2035' }, rehearsal: false,
    origin: 'generated', proof: 'verified', state: 'active', copies, certificates: [], lastRecovery: null, passages: [], period: null, drill: null, whoCan: [`who has the user PIN of token ${HSM} (softhsm)`],
    events: [{ ...source(21), by: 'Ada Ofterdingen (officer)', what: `generated on token ${HSM}`, believed: true }], unknown, believed: true, destruction: destructionOf(copies, unknown.length > 0), ...more,
  };
}

const AES = { algorithm: 'AES-256', standing: { state: 'approved', clause: 'FIPS 197; SP 800-131A' } } as const;

/** `many`: so many keys besides. */
export function pretendInventory(many = 0): Inventory {
  const officer = 'Ada Ofterdingen (officer)';
  const did = (seq: number, what: string, by = officer, ceremony = CEREMONY, believed = true) => ({ ...source(seq, ceremony), by, what, believed });
  const keys: InventoryKey[] = [
    pretendedKey('Example Root CA G1', [
      object('private-key', 'Example Root CA G1'), object('public-key', 'Example Root CA G1'), shares([share(1), share(2), share(3, { readBack: false })]),
      file('"Vault KEK" on token 0000000004172203', { underKey: KEK, end: end('L1', 'destroyed, and not found from a fresh session', 30) }),
    ], {
      certificates: [
        { ...source(27), believed: true, issuer: 'CN=Example Root CA G1, O=Example Organization, C=XX', subject: 'CN=Example Root CA G1, O=Example Organization, C=XX', sha256: hex('root certificate'), notAfter: '2046-03-04T09:27:00.000Z' },
        { ...source(12, BOOK), believed: true, issuer: 'CN=Another Root, C=XX', subject: 'CN=Example Root CA G1, O=Another Organization, C=XX', sha256: hex('cross certificate'), notAfter: '2026-01-10T00:00:00.000Z' },
      ],
      whoCan: [`who has the user PIN of token ${HSM} (softhsm)`, 'any 2 of Bela Custis, Chiara Custos, Dmitri Kustov, with the record\'s wrapped key'],
      events: [
        did(21, `generated on token ${HSM} (ecdsa-p384)`), did(24, 'signed a fresh message: proof of possession'), did(27, 'signed the certificate of CN=Example Root CA G1, O=Example Organization, C=XX'),
        did(38, 'backup key made and split 2-of-3'), did(39, 'wrapped under the backup key, into the record'), did(41, 'share 1 given to Bela Custis, on card 000000000000ca10', 'Bela Custis (custodian-1)'),
        did(42, 'share 2 given to Chiara Custos, on card 000000000000ca20', 'Chiara Custos (custodian-2)'), did(43, 'share 3 given to Dmitri Kustov, on card 000000000000ca30', 'Dmitri Kustov (custodian-3)'),
        did(50, 'recovered by Bela Custis, Dmitri Kustov, proven, and destroyed again'), did(53, 'locked: not extractable any more'), did(12, 'signed the certificate of CN=Example Issuing CA 7', officer, BOOK),
        did(14, 'wrap key “Example Root CA G1” under “Vault KEK”', officer, BOOK),
      ],
      unknown: ['where the wrapped file lies, and who copied it, is in no record'],
    }),
    pretendedKey('Vault KEK', [object('secret-key', 'Vault KEK', { attributes: attributes({ class: 'secret-key', neverExtractable: true }) })], { ...AES, proof: 'reported', identity: KEK }),
    ...Array.from({ length: 11 }, (_, index) => pretendedKey(`Branch ${index + 1} data key`, [part('key')], { ...AES, identity: `object softhsm:${HSM} branch ${index}`, state: index === 3 ? 'suspended' : index === 5 ? 'deactivated' : 'active' })),
    pretendedKey('Composite Root G2', [part('ml-dsa'), object('private-key', 'Composite Root G2'), object('public-key', 'Composite Root G2'), shares([1, 2, 3, 4, 5].map((x) => share(x)), { threshold: 3 })], {
      algorithm: 'MLDSA65-ECDSA-P256-SHA512 (composite)', standing: { state: 'draft', clause: 'draft-ietf-lamps-pq-composite-sigs-19' }, rehearsal: true, state: 'pre-activation',
    }),
    pretendedKey('Payments 2019', [object('secret-key', 'Payments 2019', { end: end('L1', 'destroyed, and not found from a fresh session', 31) }), shares([share(1), share(2)].map((one) => ({ ...one, object: { ...one.object, end: end('L5', 'shredded before two witnesses', 33) } })), { end: end('L1', 'fewer than 2 shares are left: no longer recoverable', 33) })], {
      algorithm: 'DES3 (three-key)', standing: { state: 'disallowed', clause: 'SP 800-131A Rev. 2' }, state: 'destroyed', whoCan: [], identity: 'CKA_CHECK_VALUE a1b2c3',
    }),
    pretendedKey('Partner signing', [object('private-key', 'Partner signing', { token: BACKUP }), object('public-key', 'Partner signing', { token: BACKUP })], {
      algorithm: 'RSA-2048', standing: { state: 'deprecated', until: 2030, clause: 'NIST IR 8547 (initial public draft) table 2' }, origin: 'imported', state: 'compromised', unknown: ['the file it came from (partner.p12) and every copy of that', 'it is extractable: what other programs took out is in no record'],
    }),
    pretendedKey('Invented', [object('secret-key', 'Invented', { believed: false })], { ...AES, state: null, believed: false, proof: 'reported', identity: 'CMAC of zeros, 3 bytes (ANSI X9.24-1) ffffff', events: [did(3, 'generate key “Invented”', officer, 'dead'.repeat(8), false)] }),
    ...Array.from({ length: many }, (_, index) => pretendedKey(`Server key ${index + 1}`, [object('private-key', `Server key ${index + 1}`, { id: `${index}`.padStart(8, '0') }), object('public-key', `Server key ${index + 1}`, { id: `${index}`.padStart(8, '0') })], { identity: `SHA-256 of SubjectPublicKeyInfo ${`${index}`.padStart(64, '0')}`, algorithm: 'ECDSA P-256' })),
  ];
  const findings: InventoryFinding[] = [
    { ...refuse('RECORD-NOT-BELIEVED', 'a record that verifies', 'dead: CHECKPOINT-SIGNATURE at entry 9', 'Investigate: compare it with the other copies of this record. What it alone knows is listed and marked; it ends no copy.'), source: null, keys: [] },
    { ...refuse('BEGUN-UNEXPLAINED', 'an outcome of entry 17: wrap key “Partner signing”', 'none', 'Investigate: look at what it was about, on the token. An interrupted record is resumed first.'), source: source(17, BOOK), keys: [spki('Partner signing')] },
  ];
  return { records: { believed: 6, refused: 1 }, keys, others: [object('certificate', 'an identity')], activations: [], begun: [], findings, rehearsals: [REHEARSED] };
}

/** Of rehearsals, and of nothing else: one about a key of one, one about a record of one. */
export const REHEARSED_FINDINGS: readonly InventoryFinding[] = [
  { ...refuse('STATE-USE', 'no use of "Composite Root G2" while it is suspended', 'signed the certificate of CN=Another', 'Investigate: who used it, and why.'), source: source(18, REHEARSED), keys: [spki('Composite Root G2')] },
  { ...refuse('BEGUN-UNEXPLAINED', 'an outcome of entry 9: give-share', 'none', 'Investigate: look at what it was about, on the token.'), source: source(9, REHEARSED), keys: [] },
];

/** The same, with a recovery drill that was due long ago. */
export function pretendDrills(): Inventory {
  const { keys, findings, ...rest } = pretendInventory();
  const drill = { ...source(16, BOOK), by: 'Ada Ofterdingen (officer)', reason: 'Policy 9.', every: 'P6M', firstBy: '2026-12-31T00:00:00.000Z' };
  const drilled = keys.map((key) => (key.label === 'Example Root CA G1' ? { ...key, drill, lastRecovery: source(50) } : key));
  return { ...rest, keys: drilled, findings: [...findings, ...alerts({ keys: drilled }, new Date()).filter(({ rule }) => rule === 'DRILL-OVERDUE')] };
}

/** The same, with CAs that the root certified and so many keys certified by one of them: in one entry each, as a record has it. */
export function pretendHierarchy(servers: number): Inventory {
  const { keys, ...rest } = pretendInventory();
  const ISSUING = '155ce57a'.repeat(4);
  const root = 'CN=Example Root CA G1, O=Example Organization, C=XX';
  const name = (cn: string) => `CN=${cn}, O=Example Organization, C=XX`;
  const certificate = (cn: string, issuer: string, seq: number) => ({ ...source(seq, ISSUING), believed: true, subject: name(cn), issuer, sha256: hex(cn), notAfter: '2036-03-04T09:27:00.000Z' });
  const signs = (first: number, many: number) => Array.from({ length: many }, (_, index) => ({ ...source(first + index, ISSUING), by: 'Ada Ofterdingen (officer)', what: 'signed a certificate', believed: true }));
  const cas = ['Example Issuing CA 7', 'Example Issuing CA 8', 'Example Timestamping CA'];
  return {
    ...rest,
    keys: [
      ...keys.map((key) => (key.label === 'Example Root CA G1' ? { ...key, events: [...key.events, ...signs(100, 2)] } : key)),
      // Of the third, no entry here tells who issued it.
      ...cas.map((cn, index) => pretendedKey(cn, [object('private-key', cn), object('private-key', cn, { token: BACKUP }), object('public-key', cn)], {
        certificates: [certificate(cn, root, index === 2 ? 90 : 100 + index)], events: index === 0 ? signs(1000, servers) : [],
      })),
      ...Array.from({ length: servers }, (_, index) => pretendedKey(`Server ${index + 1}`, [object('private-key', `Server ${index + 1}`, { id: `${index}`.padStart(8, '0') })], {
        identity: spki(`Server ${index + 1}, number ${index}`), certificates: [certificate(`Server ${index + 1}`, name(cas[0]!), 1000 + index)],
      })),
    ],
  };
}

export function pretendCompared(login: 'none' | 'ask' | 'stand-in', fine: boolean): Compared {
  const on = { module: 'softhsm', token: HSM };
  const loggedIn = login !== 'none';
  return {
    tokens: [{ ...on, label: 'HSM-A', loggedIn, objects: fine ? 17 : 18, explained: fine ? 17 : 16 }, { module: 'softhsm', token: BACKUP, label: 'HSM-B', loggedIn: false, objects: 1, explained: 1 }],
    findings: fine ? [] : [
      { ...refuse('VANISHED-OBJECT', `secret-key of Vault KEK on token ${HSM} (HSM-A, softhsm), since entry 21 of ${CEREMONY}`, 'no such object', 'Investigate: no record destroyed it. Until it is explained, count this copy as being in other hands, not as destroyed.'), source: source(21), keys: ['CMAC of zeros, 3 bytes (ANSI X9.24-1) d1d2d3'], on },
      { ...refuse('UNKNOWN-OBJECT', `only what a record explains on token ${HSM} (HSM-A, softhsm)`, 'secret-key "behind" 77', 'Decide, and write it down: adopt it into a ceremony or the logbook, explain it, destroy it (conclave token destroy), or investigate who made it.'), source: null, keys: [], on },
    ],
    notSeen: [...(loggedIn ? [] : [`token ${HSM} (HSM-A, softhsm): private objects, because nobody is logged in; the records know of 14`]), 'token 000000000000ca10 of module softhsm: 1 explained object, because it was not looked at'],
    failed: fine || !loggedIn ? [] : [{ module: 'softhsm', token: BACKUP, label: 'HSM-B', code: 'MODULE-BUSY', message: 'expected an answer of module softhsm; found it works, or waits for a PIN', hint: 'Finish what is under way, then compare again.' }],
  };
}
