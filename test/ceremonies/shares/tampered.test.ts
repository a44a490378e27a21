/**
 * A million tampered shares, each refused when it is entered, and nothing ever combined: all sets M-of-N with N up to 9, every
 * share of each. Complete: every flipped bit of a share as it lies on a card; every flipped bit of header and payload under a
 * digest that its forger made right again; every truncation; every exchange of two payloads or two cards; every share offered to
 * every other set, x = 0, older and newer epochs, duplicates, one person twice, every group of fewer than M.
 * Drawn: pairs of flipped bits. All of it follows from the printed seed, the polynomials too.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import canonicalize from 'canonicalize';
import { sha256 } from '@noble/hashes/sha2.js';
import { shake256 } from '@noble/hashes/sha3.js';
import { toBase64url, utf8 } from '../../../ceremonies/bytes.ts';
import type { ShareSet } from '../../../ceremonies/evidence.ts';
import { Refused, type Refusal } from '../../../ceremonies/refusal.ts';
import { checkShare, combineChecked, encodeShare, parseShare, secretCommitment, setDigest, shareCommitment, type Share } from '../../../ceremonies/shares/share.ts';
import { gather, sealSet, type SealedSet, type ShareFile } from '../../../ceremonies/shares/share-file.ts';
import { valueAt } from '../../../ceremonies/shares/shamir.ts';
import { SEED } from '../keys/seed.ts';

const MOST = 9;
const PAIRS = 200; // of flipped bits, in each share
const seats = Array.from({ length: MOST }, (_, i) => `custodian-${i + 1}`);
const draw = shake256.create().update(utf8(`${SEED}`));

interface Made { readonly set: ShareSet; readonly facts: SealedSet; readonly shares: readonly Share[] }

/** A set as `makeShares` makes it, but with drawn polynomials: through the secret at 0 and M - 1 drawn points. */
async function setOf(threshold: number, count: number, id = toBase64url(draw.xof(16)), epoch = 1): Promise<Made> {
  const secret = draw.xof(32);
  const base = [{ x: 0, payload: secret }, ...Array.from({ length: threshold - 1 }, (_, i) => ({ x: i + 1, payload: draw.xof(32) }))];
  const bare: Share[] = [];
  for (let x = 1; x <= count; x++) {
    bare.push({ header: { v: 1, set: id, epoch, threshold, shares: count, x, length: 32, custodian: seats[x - 1]!, of: '' }, payload: await valueAt(base, x) });
  }
  const set: ShareSet = { id, epoch, threshold, shares: count, commitments: bare.map(shareCommitment), secret: secretCommitment(id, secret) };
  const shares = bare.map(({ header, payload }) => ({ header: { ...header, of: setDigest(set) }, payload }));
  assert.deepEqual(await combineChecked(shares.slice(count - threshold), set), secret, 'what is tampered with below is genuine');
  return { set, facts: sealSet(set, secret), shares };
}

/** The rules that speak against bytes as they are entered, after the shares `seen`; the first refusal, or null if they are welcome. */
function enter(bytes: Uint8Array, set: ShareSet, seen: readonly Share[]): Refusal | null {
  try {
    return checkShare(parseShare(bytes), { set, seen })[0] ?? null;
  } catch (error) {
    if (error instanceof Refused) return error.refusal;
    throw error;
  }
}

const counts = new Map<string, number>();
/** Counts a case that was refused, by kind and rule; a case that was not, or by another rule, ends the test. */
function refused(kind: string, refusal: Refusal | null | undefined, rules: readonly string[], names = ''): void {
  if (!refusal) assert.fail(`${kind}: accepted`);
  if (!rules.includes(refusal.rule)) assert.fail(`${kind}: ${refusal.rule}`);
  if (names !== '' && !`${refusal.expected}, ${refusal.found}`.includes(names)) assert.fail(`${kind}: does not name ${names}: ${refusal.expected}, ${refusal.found}`);
  counts.set(`${kind}: ${refusal.rule}`, (counts.get(`${kind}: ${refusal.rule}`) ?? 0) + 1);
}

/** Flips one bit, works, and flips it back: a copy for every case would be most of the time. */
function withFlipped(bytes: Uint8Array, bit: number, work: () => void): void {
  bytes[bit >> 3]! ^= 1 << (bit & 7);
  work();
  bytes[bit >> 3]! ^= 1 << (bit & 7);
}

/** The digest at the end made right again: what a forger does, and an accident does not. */
function redigest(bytes: Uint8Array): void {
  bytes.set(sha256(bytes.subarray(0, bytes.length - 32)), bytes.length - 32);
}

function forged(header: object, payload: Uint8Array): Uint8Array {
  const head = utf8(`conclave-share/1\n${canonicalize(header) ?? ''}\n`);
  const bytes = new Uint8Array(head.length + 64);
  bytes.set(head);
  bytes.set(payload, head.length);
  redigest(bytes);
  return bytes;
}

function* groupsBelow<T>(all: readonly T[], most: number): Generator<T[]> {
  for (let mask = 0; mask < 1 << all.length; mask++) {
    const group = all.filter((_, i) => (mask >> i) & 1);
    if (group.length < most) yield group;
  }
}

const FORGED_HEADER = ['SHARE-DAMAGED', 'SHARE-VERSION', 'SHARE-X-ZERO', 'SHARE-LENGTH', 'SHARE-FOREIGN-SET', 'SHARE-OLD-EPOCH', 'SHARE-NEW-EPOCH'];

test('at least 1,000,000 tampered cases are refused before anything is combined, the culprit named', async () => {
  const traces = Error.stackTraceLimit;
  Error.stackTraceLimit = 0; // a trace for each of a million refusals would be half of the time
  const made: Made[] = [];
  for (let count = 2; count <= MOST; count++) for (let threshold = 2; threshold <= count; threshold++) made.push(await setOf(threshold, count));
  for (const { set, facts, shares } of made) {
    const [older, newer] = [await setOf(set.threshold, set.shares, set.id, 0), await setOf(set.threshold, set.shares, set.id, 2)];
    for (const share of shares) {
      const { x, custodian } = share.header;
      const others = shares.filter((other) => other !== share);
      const seen = others.slice(0, set.threshold - 1);
      const bytes = encodeShare(share);
      const card = bytes.slice();
      assert.equal(enter(bytes, set, seen), null, 'untouched, it is welcome');
      const bits = 8 * bytes.length;
      const payloadAt = bytes.length - 64;
      for (let bit = 0; bit < bits; bit++) withFlipped(bytes, bit, () => { refused('a flipped bit', enter(bytes, set, seen), ['SHARE-DAMAGED', 'SHARE-VERSION']); });
      for (let bit = 0; bit < 8 * (bytes.length - 32); bit++) {
        withFlipped(bytes, bit, () => {
          redigest(bytes);
          if (bit >= 8 * payloadAt) refused('a forged payload', enter(bytes, set, seen), ['SHARE-FOREIGN-SET'], `share ${x} `);
          else refused('a forged header', enter(bytes, set, seen), FORGED_HEADER);
        });
      }
      redigest(bytes);
      assert.deepEqual(bytes, card);
      const drawn = new Uint16Array(draw.xof(4 * PAIRS).buffer);
      for (let i = 0; i < PAIRS; i++) {
        const one = drawn[2 * i]! % bits;
        const other = (one + 1 + (drawn[2 * i + 1]! % (bits - 1))) % bits;
        withFlipped(bytes, one, () => { withFlipped(bytes, other, () => { refused('two flipped bits', enter(bytes, set, seen), ['SHARE-DAMAGED', 'SHARE-VERSION']); }); });
      }
      for (let length = 0; length < bytes.length; length++) refused('a truncation', enter(bytes.subarray(0, length), set, seen), ['SHARE-DAMAGED']);
      refused('x = 0', enter(forged({ ...share.header, x: 0 }, share.payload), set, seen), ['SHARE-X-ZERO']);
      refused('another length', enter(forged({ ...share.header, length: 31 }, share.payload), set, seen), ['SHARE-LENGTH']);
      refused('a duplicate', enter(bytes, set, [...seen.slice(1), share]), ['SHARE-DUPLICATE'], `share ${x} `);
      refused('an older epoch', checkShare(older.shares[x - 1]!, { set })[0], ['SHARE-OLD-EPOCH']);
      refused('a newer epoch', checkShare(newer.shares[x - 1]!, { set })[0], ['SHARE-NEW-EPOCH']);
      refused('one person twice', checkShare(share, { set, presentedBy: 'custodian-9', seen: [{ ...others[0]!, presentedBy: 'custodian-9' }] })[0], ['SHARE-SAME-PERSON'], 'custodian-9');
      for (const other of others) {
        refused('a swapped card', checkShare(share, { set, expectedX: other.header.x })[0], ['SHARE-SWAPPED'], `share ${x}, made for ${custodian}`);
        refused('a swapped payload', enter(forged(share.header, other.payload), set, seen), ['SHARE-FOREIGN-SET'], `share ${x} `);
      }
      for (const foreign of made) if (foreign.set !== set) refused('a foreign set', checkShare(share, { set: foreign.set })[0], ['SHARE-FOREIGN-SET'], set.id);
      // Entered all at once as files, in any place: it alone is accused, and the others are still welcome.
      const files = shares.map((one): ShareFile => ({ form: 'record', share: one, facts: one === share ? null : facts }));
      const spoiled = { ...share, payload: older.shares[x - 1]!.payload };
      const { findings } = gather(files.with(x - 1, { form: 'record', share: spoiled, facts: null }), facts);
      refused('one among many', findings[x - 1]![0], ['SHARE-FOREIGN-SET'], `share ${x} `);
      assert.deepEqual(findings.map((against) => against.length), shares.map((one) => Number(one === share)));
    }
    for (const few of groupsBelow(shares, set.threshold)) {
      refused('too few', await combineChecked(few, set).then(() => null, (error: unknown) => (error instanceof Refused ? error.refusal : null)), ['SHARES-TOO-FEW']);
    }
  }
  Error.stackTraceLimit = traces;
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  console.log(`${total} cases refused:\n${[...counts].map(([kind, count]) => `  ${count} ${kind}`).join('\n')}`);
  assert.ok(total >= 1_000_000, `${total}`);
});
