import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { concat, toBase64url, utf8 } from '../../../ceremonies/bytes.ts';
import { ShareSet } from '../../../ceremonies/evidence.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import {
  checkShare,
  combineChecked,
  encodeShare,
  makeShares,
  parseShare,
  proveSplit,
  secretCommitment,
  setDigest,
  shareCommitment,
  type Share,
} from '../../../ceremonies/shares/share.ts';
import { splitSecret } from '../../../ceremonies/shares/shamir.ts';
import { flipped } from '../keys/key-pairs.ts';
import { SEED } from '../keys/seed.ts';

const rule = (name: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === name;
const SECRET = new Uint8Array(createHash('sha256').update('the backup key of a test').digest());
const SET_ID = toBase64url(new Uint8Array(16).fill(0x5e));
const seats = (count: number): string[] => Array.from({ length: count }, (_, i) => `custodian-${i + 1}`);
const make = (threshold: number, count: number, change: { set?: string; epoch?: number; secret?: Uint8Array } = {}) =>
  makeShares(change.secret ?? SECRET, { set: change.set ?? SET_ID, epoch: change.epoch ?? 0, threshold, custodians: seats(count) });
const { set, shares } = await make(2, 3);
const [one, two, three] = shares as [Share, Share, Share];
const rules = (share: Share, context: Partial<Parameters<typeof checkShare>[1]> = {}): string[] =>
  checkShare(share, { set, ...context }).map((finding) => finding.rule);

test('the facts of a set fit the record and hold nothing secret', () => {
  assert.deepEqual(ShareSet.parse(set), set);
  assert.equal(set.commitments.length, 3);
  const text = JSON.stringify([set, shares.map((share) => share.header)]);
  for (const secret of [SECRET, ...shares.map((share) => share.payload)]) {
    for (const form of ['hex', 'base64', 'base64url'] as const) assert.ok(!text.includes(Buffer.from(secret).toString(form)));
  }
});

test('a stranger computes the same commitments from the description', () => {
  const { of, ...bound } = two.header;
  assert.deepEqual(Object.keys(bound).toSorted(), ['custodian', 'epoch', 'length', 'set', 'shares', 'threshold', 'v', 'x']);
  const commitment = createHash('sha256').update(`conclave-share/1\n${canonicalize(bound)}\n`).update(two.payload).digest('base64url');
  assert.equal(commitment, set.commitments[1]);
  assert.equal(shareCommitment(two), commitment);
  assert.equal(of, createHash('sha256').update(canonicalize(set)!).digest('base64url'));
  assert.equal(of, setDigest(set));
  const secret = createHash('sha256').update('conclave-backup-key/1').update(Buffer.from(SET_ID, 'base64url')).update(SECRET).digest('base64url');
  assert.equal(secret, set.secret);
  assert.equal(secretCommitment(SET_ID, SECRET), secret);
});

test('encoding: golden head, round trip, a few hundred bytes also in the largest set', async () => {
  const bytes = encodeShare(one);
  assert.ok(
    Buffer.from(bytes).toString('latin1').startsWith(`conclave-share/1\n{"custodian":"custodian-1","epoch":0,"length":32,"of":"${setDigest(set)}","set":"${SET_ID}","shares":3,"threshold":2,"v":1,"x":1}\n`),
  );
  assert.deepEqual(parseShare(bytes), one);
  assert.equal(parseShare(bytes).payload.buffer.byteLength, 32);
  const largest = await make(128, 255);
  assert.ok(encodeShare(largest.shares[254]!).length < 300);
  assert.deepEqual(ShareSet.parse(largest.set), largest.set);
});

test('any single flipped bit of a share is SHARE-DAMAGED (or another version\'s share), as is any truncation or addition', () => {
  const bytes = encodeShare(two);
  for (let at = 0; at < bytes.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      assert.throws(() => parseShare(flipped(bytes, at, bit)), (e) => rule('SHARE-DAMAGED')(e) || (at === 15 && rule('SHARE-VERSION')(e)), `byte ${at} bit ${bit}`);
    }
  }
  for (let length = 0; length < bytes.length; length++) assert.throws(() => parseShare(bytes.subarray(0, length)), rule('SHARE-DAMAGED'), `${length}`);
  assert.throws(() => parseShare(concat(bytes, Uint8Array.of(0))), rule('SHARE-DAMAGED'));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
      assert.throws(() => parseShare(noise), rule('SHARE-DAMAGED'));
      assert.throws(() => parseShare(concat(utf8('conclave-share/1\n'), noise)), rule('SHARE-DAMAGED'));
    }),
    { seed: SEED },
  );
});

/** A share with a correct digest over whatever header somebody wrote. */
function forged(header: unknown, payload: Uint8Array = two.payload, magic = 'conclave-share/1\n'): Uint8Array {
  const text = typeof header === 'string' ? header : canonicalize(header)!;
  const body = concat(utf8(`${magic}${text}\n`), payload);
  return concat(body, new Uint8Array(createHash('sha256').update(body).digest()));
}

test('a well-digested share that no honest writer makes is refused by name', () => {
  const h = two.header;
  const table: readonly (readonly [string, unknown, string])[] = [
    ['x = 0', { ...h, x: 0 }, 'SHARE-X-ZERO'],
    ['x above N', { ...h, x: 4 }, 'SHARE-DAMAGED'],
    ['x no whole number', { ...h, x: 1.5 }, 'SHARE-DAMAGED'],
    ['x a text', { ...h, x: '2' }, 'SHARE-DAMAGED'],
    ['M = 1', { ...h, threshold: 1 }, 'SHARE-DAMAGED'],
    ['M > N', { ...h, threshold: 4 }, 'SHARE-DAMAGED'],
    ['N = 256', { ...h, shares: 256 }, 'SHARE-DAMAGED'],
    ['16 bytes', { ...h, length: 16 }, 'SHARE-LENGTH'],
    ['a negative epoch', { ...h, epoch: -1 }, 'SHARE-DAMAGED'],
    ['a short set name', { ...h, set: 'AAAA' }, 'SHARE-DAMAGED'],
    ['a set name in another spelling', { ...h, set: `${h.set.slice(0, -1)}_` }, 'SHARE-DAMAGED'],
    ['a seat with a direction override', { ...h, custodian: 'custodian\u202e' }, 'SHARE-DAMAGED'],
    ['an extra member', { ...h, note: 'x' }, 'SHARE-DAMAGED'],
    ['a missing member', { ...h, of: undefined }, 'SHARE-DAMAGED'],
    ['format 2 inside', { ...h, v: 2 }, 'SHARE-DAMAGED'],
    ['blanks', JSON.stringify(h, null, 1), 'SHARE-DAMAGED'],
    ['a duplicate member', canonicalize(h)!.replace('{', '{"x":1,'), 'SHARE-DAMAGED'],
    ['null', 'null', 'SHARE-DAMAGED'],
    ['a list', '[]', 'SHARE-DAMAGED'],
  ];
  for (const [what, header, name] of table) assert.throws(() => parseShare(forged(header)), rule(name), what);
  assert.throws(() => parseShare(forged(h, two.payload, 'conclave-share/2\n')), rule('SHARE-VERSION'));
  assert.throws(() => parseShare(forged(h, two.payload.subarray(1))), rule('SHARE-DAMAGED'));
});

test('a genuine share is welcome; every other one is named when it is entered', async () => {
  const otherSet = (await make(2, 3, { set: toBase64url(new Uint8Array(16)) })).shares[0]!;
  const older = (await make(2, 3, { epoch: 0 })).shares[0]!;
  const current = await make(2, 3, { epoch: 1 });
  const again = (await make(2, 3)).shares[1]!; // same name, same numbers, another split
  const wrongPayload = { ...two, payload: flipped(two.payload, 31) };
  assert.deepEqual(rules(one), []);
  assert.deepEqual(rules(two, { seen: [one], presentedBy: 'custodian-2', expectedX: 2 }), []);
  assert.deepEqual(rules(otherSet), ['SHARE-FOREIGN-SET']);
  assert.deepEqual(rules(again), ['SHARE-FOREIGN-SET']);
  assert.deepEqual(rules(wrongPayload), ['SHARE-FOREIGN-SET']);
  assert.deepEqual(rules(older, { set: current.set }), ['SHARE-OLD-EPOCH']);
  assert.deepEqual(rules(current.shares[0]!), ['SHARE-NEW-EPOCH']);
  assert.deepEqual(rules(one, { seen: [two, one] }), ['SHARE-DUPLICATE']);
  assert.deepEqual(rules(two, { expectedX: 3 }), ['SHARE-SWAPPED']);
  assert.deepEqual(rules(two, { seen: [{ ...one, presentedBy: 'witness' }], presentedBy: 'witness' }), ['SHARE-SAME-PERSON']);
  assert.deepEqual(rules({ ...one, header: { ...one.header, x: 0 } }), ['SHARE-X-ZERO']);
  assert.deepEqual(rules({ ...one, payload: one.payload.subarray(1) }), ['SHARE-LENGTH']);
});

test('no change of any header member is overlooked', () => {
  const changes: readonly Partial<Share['header']>[] = [
    { epoch: 1 }, { threshold: 3 }, { shares: 4 }, { x: 3 }, { custodian: 'custodian-3' }, { of: setDigest({ ...set, epoch: 1 }) }, { set: toBase64url(new Uint8Array(16)) },
  ];
  for (const change of changes) assert.notDeepEqual(rules({ ...two, header: { ...two.header, ...change } }), [], JSON.stringify(change));
});

test('one person never receives two shares of a set; plans that make no sense are refused', async () => {
  const plan = { set: SET_ID, epoch: 0, threshold: 2 };
  await assert.rejects(makeShares(SECRET, { ...plan, custodians: ['a', 'b', 'a'] }), rule('SHARE-SAME-PERSON'));
  await assert.rejects(makeShares(SECRET, { ...plan, custodians: ['a'] }), rule('SHARE-NUMBERS'));
  await assert.rejects(makeShares(SECRET, { ...plan, threshold: 3, custodians: ['a', 'b'] }), rule('SHARE-NUMBERS'));
  await assert.rejects(makeShares(SECRET, { ...plan, custodians: seats(256) }), rule('SHARE-NUMBERS'));
  await assert.rejects(makeShares(SECRET.subarray(1), { ...plan, custodians: seats(3) }), rule('SHARE-LENGTH'));
  await assert.rejects(makeShares(SECRET, { ...plan, set: 'AAAA', custodians: seats(3) }), rule('SHARE-SET'));
  await assert.rejects(makeShares(SECRET, { ...plan, epoch: -1, custodians: seats(3) }), rule('SHARE-SET'));
  await assert.rejects(makeShares(SECRET, { ...plan, custodians: ['A B', 'c'] }), rule('SHARE-SET'));
});

test('combining: every quorum gives the secret; nothing else gives anything', async () => {
  for (const group of [[one, two], [three, one], [two, three], [one, two, three]]) assert.deepEqual(await combineChecked(group, set), SECRET);
  const foreign = (await make(2, 3)).shares[2]!;
  await assert.rejects(combineChecked([], set), rule('SHARES-TOO-FEW'));
  await assert.rejects(combineChecked([one], set), rule('SHARES-TOO-FEW'));
  await assert.rejects(combineChecked([one, one], set), rule('SHARE-DUPLICATE'));
  await assert.rejects(combineChecked([one, foreign], set), rule('SHARE-FOREIGN-SET'));
  await assert.rejects(combineChecked([one, { ...two, header: { ...two.header, x: 0 } }], set), rule('SHARE-X-ZERO'));
  // Facts that somebody doctored so that a forged share fits them: the secret itself is still compared.
  const payload = flipped(two.payload, 3);
  const bare = { header: two.header, payload };
  const doctored = { ...set, commitments: set.commitments.map((c, i) => (i === 1 ? shareCommitment(bare) : c)) };
  const of = setDigest(doctored);
  const refit = (share: Share): Share => ({ ...share, header: { ...share.header, of } });
  await assert.rejects(combineChecked([refit(one), refit(bare)], doctored), rule('SHARES-WRONG-SECRET'));
});

test('property: random quorums of random sets, with one share spoiled at random, never give a wrong secret', async () => {
  const plan = fc.integer({ min: 2, max: 6 }).chain((n) => fc.record({ n: fc.constant(n), m: fc.integer({ min: 2, max: n }) }));
  await fc.assert(
    fc.asyncProperty(plan, fc.nat(), fc.nat({ max: 255 }), async ({ n, m }, pick, bit) => {
      const fresh = await make(m, n);
      const spoiled = fresh.shares.map((share, i) => (i === pick % n ? { ...share, payload: flipped(share.payload, bit >> 3, bit & 7) } : share));
      await assert.rejects(combineChecked(spoiled, fresh.set), rule('SHARE-FOREIGN-SET'));
      const rest = spoiled.filter((_, i) => i !== pick % n);
      if (rest.length >= m) assert.deepEqual(await combineChecked(rest, fresh.set), SECRET);
      else await assert.rejects(combineChecked(rest, fresh.set), rule('SHARES-TOO-FEW'));
    }),
    { seed: SEED, numRuns: 40 },
  );
});

const seed = new Uint8Array(32).fill(0x11);

test('a fresh split is proven over every quorum while there are at most 200', async () => {
  assert.deepEqual(await proveSplit(shares, set, seed), { subsetsTried: 3, shortTried: 3, exhaustive: true });
  const larger = await make(3, 5);
  assert.deepEqual(await proveSplit(larger.shares, larger.set, seed), { subsetsTried: 10, shortTried: 10, exhaustive: true });
});

test('beyond that over 200 drawn quorums, in which every share takes part', async () => {
  const larger = await make(5, 12); // 792 quorums
  assert.deepEqual(await proveSplit(larger.shares, larger.set, seed), { subsetsTried: 200, shortTried: 200, exhaustive: false });
  const wide = await make(2, 255);
  const spoiledAt = 200;
  const payload = flipped(wide.shares[spoiledAt]!.payload, 0);
  const bare = { header: wide.shares[spoiledAt]!.header, payload };
  const doctored = { ...wide.set, commitments: wide.set.commitments.map((c, i) => (i === spoiledAt ? shareCommitment(bare) : c)) };
  const of = setDigest(doctored);
  const all = wide.shares.map((share, i) => ({ header: { ...share.header, of }, payload: i === spoiledAt ? payload : share.payload }));
  await assert.rejects(proveSplit(all, doctored, seed), rule('SHARES-WRONG-SECRET'));
});

test('a split with a smaller threshold than agreed is found out', async () => {
  for (const [real, said] of [[2, 3], [3, 5]] as const) {
    const raw = await splitSecret(SECRET, { threshold: real, shares: 5 });
    const bare = raw.map(({ x, payload }) => ({
      header: { v: 1, set: SET_ID, epoch: 0, threshold: said, shares: 5, x, length: 32, custodian: `custodian-${x}`, of: '' } as const,
      payload,
    }));
    const facts = { id: SET_ID, epoch: 0, threshold: said, shares: 5, commitments: bare.map(shareCommitment), secret: secretCommitment(SET_ID, SECRET) };
    const of = setDigest(facts);
    const doctored = bare.map(({ header, payload }) => ({ header: { ...header, of }, payload }));
    await assert.rejects(proveSplit(doctored, facts, seed), rule('SPLIT-THRESHOLD'), `${real} for ${said}`);
  }
});

test('a proof needs all shares, genuine ones, and a seed', async () => {
  await assert.rejects(proveSplit([one, two], set, seed), rule('SHARES-TOO-FEW'));
  await assert.rejects(proveSplit([one, two, two], set, seed), rule('SHARE-DUPLICATE'));
  await assert.rejects(proveSplit([one, two, { ...three, payload: flipped(three.payload, 9) }], set, seed), rule('SHARE-FOREIGN-SET'));
  await assert.rejects(proveSplit(shares, set, seed.subarray(1)), rule('SPLIT-SEED'));
});

test('wiping a share object wipes the only copy it has', () => {
  const share = parseShare(encodeShare(one));
  share.payload.fill(0);
  assert.deepEqual(share.payload, new Uint8Array(32));
  assert.notDeepEqual(one.payload, new Uint8Array(32));
});
