import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { concat, toBase64url, utf8 } from '../../../ceremonies/bytes.ts';
import { pem } from '../../../ceremonies/keys/signed.ts';
import { Refused, type Refusal } from '../../../ceremonies/refusal.ts';
import { encodeShare, makeShares, type Share } from '../../../ceremonies/shares/share.ts';
import { combineFiles, encodeSetFile, encodeShareFile, gather, parseSetFile, parseShareFile, sealSet, wipeFile, type SealedSet, type ShareFile } from '../../../ceremonies/shares/share-file.ts';
import { encodeMnemonic, makeMnemonics, slip39Randomness } from '../../../ceremonies/shares/slip39.ts';
import { SEED } from '../keys/seed.ts';

const SECRET: Uint8Array = Uint8Array.from({ length: 32 }, (_, i) => 5 * i + 2);
const NONE: Uint8Array = new Uint8Array(0);
const rule = (name: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === name;

interface Split { readonly facts: SealedSet; readonly shares: readonly Share[]; readonly files: readonly ShareFile[] }
async function split(name: number, change: { epoch?: number; secret?: Uint8Array } = {}): Promise<Split> {
  const secret = change.secret ?? SECRET;
  const { set, shares } = await makeShares(secret, { set: toBase64url(new Uint8Array(16).fill(name)), epoch: change.epoch ?? 0, threshold: 3, custodians: ['anna', 'ben', 'carla', 'dario', 'eva'] });
  const facts = sealSet(set, secret);
  return { facts, shares, files: shares.map((share) => ({ form: 'record', share, facts })) };
}
const ours = await split(1);
const theirs = await split(2);
const rules = (files: readonly (ShareFile | Refusal)[], facts?: SealedSet): { each: string[][]; together: string[]; missing: number | null } => {
  const { findings, together, missing } = gather(files, facts ?? null);
  return { each: findings.map((against) => against.map((one) => one.rule)), together: together.map((one) => one.rule), missing };
};

test('a file of a share, of its bare bytes, and of words: read back what was written, each byte form with a buffer of its own', async () => {
  const share = ours.shares[1]!;
  assert.deepEqual(parseShareFile(encodeShareFile(share, ours.facts)), ours.files[1]);
  assert.deepEqual(parseShareFile(encodeShare(share)), { form: 'record', share, facts: null });
  assert.deepEqual(parseSetFile(utf8(encodeSetFile(ours.facts))), ours.facts);
  const { mnemonics } = await makeMnemonics(SECRET, { threshold: 2, shares: 2 }, NONE, new Uint8Array(slip39Randomness(2)).fill(9));
  assert.deepEqual(parseShareFile(encodeMnemonic(mnemonics[1]!)), { form: 'words', mnemonic: mnemonics[1] });
  const read = parseShareFile(encodeShareFile(share, ours.facts));
  wipeFile(read);
  assert.ok(read.form === 'record' && read.share.payload.every((byte) => byte === 0));
});

test('refusals of files: other facts, two shares, no share, noise', () => {
  const [bytes, set] = [pem('CONCLAVE SHARE', encodeShare(ours.shares[0]!)), encodeSetFile(ours.facts)];
  const table: readonly (readonly [string, string, string])[] = [
    ['facts of another set', encodeSetFile(theirs.facts) + bytes, 'SHARE-DAMAGED'],
    ['the share twice', bytes + bytes, 'SHARE-DAMAGED'],
    ['facts twice', set + set + bytes, 'SHARE-DAMAGED'],
    ['facts alone', set, 'SHARE-DAMAGED'],
    ['facts in another spelling', pem('CONCLAVE SHARE SET', utf8(JSON.stringify({ set: ours.facts.set, seal: ours.facts.seal }))) + bytes, 'SHARE-DAMAGED'],
    ['another label', bytes.replaceAll('CONCLAVE SHARE', 'PRIVATE KEY'), 'PEM'],
    ['without an end', bytes.split('-----END')[0]!, 'PEM'],
    ['nothing', '', 'SHARE-DAMAGED'],
    ['one word', 'academic', 'SHARE-WORDS'],
  ];
  for (const [what, text, name] of table) assert.throws(() => parseShareFile(utf8(text)), rule(name), what);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom('', '-----BEGIN CONCLAVE SHARE-----\n', 'conclave-share/'), (noise, start) => {
    assert.throws(() => parseShareFile(concat(utf8(start), noise)), Refused);
    assert.throws(() => parseSetFile(concat(utf8(start), noise)), Refused);
  }), { seed: SEED });
});

test('who belongs together, how many are missing, and who is the culprit', async () => {
  const [a, b, c, d] = ours.files as [ShareFile, ShareFile, ShareFile, ShareFile];
  const x = theirs.files[0]!;
  assert.deepEqual(rules([a, b, c]), { each: [[], [], []], together: [], missing: 0 });
  assert.deepEqual(rules([d]), { each: [[]], together: ['SHARES-TOO-FEW'], missing: 2 });
  assert.deepEqual(rules([a, x, b]), { each: [[], ['SHARE-FOREIGN-SET'], []], together: ['SHARES-TOO-FEW'], missing: 1 });
  assert.deepEqual(rules([a, b, a, c]), { each: [[], [], ['SHARE-DUPLICATE'], []], together: [], missing: 0 });
  // A tie accuses nobody; the facts from the record decide, even against a majority.
  assert.deepEqual(rules([a, x]), { each: [[], []], together: ['SHARE-SETS'], missing: null });
  assert.deepEqual(rules([a, x], ours.facts).each, [[], ['SHARE-FOREIGN-SET']]);
  assert.deepEqual(rules([a, x, theirs.files[1]!], ours.facts).each, [[], ['SHARE-FOREIGN-SET'], ['SHARE-FOREIGN-SET']]);
  const damaged = { rule: 'SHARE-DAMAGED', expected: '', found: '', next: '' };
  assert.deepEqual(rules([damaged, a, b]), { each: [['SHARE-DAMAGED'], [], []], together: ['SHARES-TOO-FEW'], missing: 1 });
  assert.deepEqual(rules([damaged]), { each: [['SHARE-DAMAGED']], together: ['SHARES-TOO-FEW'], missing: null });
  const later = await split(1, { epoch: 1 });
  assert.deepEqual(rules([later.files[0]!, later.files[1]!, c]).each, [[], [], ['SHARE-OLD-EPOCH']]);
  // Bare shares know their set by name only: with facts from one file or from the record they are judged, without any they are not.
  const bare = ours.shares.map((share): ShareFile => ({ form: 'record', share, facts: null }));
  assert.deepEqual(rules(bare), { each: [[], [], [], [], []], together: ['SHARE-SETS'], missing: null });
  assert.deepEqual(rules([bare[0]!, b, bare[2]!]), { each: [[], [], []], together: [], missing: 0 });
  const resealed: ShareFile = { form: 'record', share: ours.shares[0]!, facts: { ...ours.facts, seal: theirs.facts.seal } };
  assert.deepEqual(rules([resealed, b, c, d]).each, [['SHARE-DAMAGED'], [], [], []]);
  const { mnemonics } = await makeMnemonics(SECRET, { threshold: 2, shares: 3 }, NONE, new Uint8Array(slip39Randomness(2)).fill(9));
  const words = mnemonics.map((mnemonic): ShareFile => ({ form: 'words', mnemonic }));
  assert.deepEqual(rules([a, ...words]).each, [['SHARE-FOREIGN-SET'], [], [], []]);
  assert.deepEqual(rules([a, b, words[0]!]).each, [[], [], ['SHARE-FOREIGN-SET']]);
  assert.deepEqual(rules([words[0]!]), { each: [[]], together: ['SHARES-TOO-FEW'], missing: 1 });
});

test('the key comes back from good files only, held against commitment and seal', async () => {
  assert.deepEqual(await combineFiles(ours.files.slice(2), null, NONE), SECRET);
  assert.deepEqual(await combineFiles(ours.files, ours.facts, NONE), SECRET);
  await assert.rejects(combineFiles(ours.files.slice(3), null, NONE), rule('SHARES-TOO-FEW'));
  await assert.rejects(combineFiles([...ours.files, theirs.files[0]!], null, NONE), rule('SHARE-FOREIGN-SET'));
  // All files agree on facts whose commitments fit, under a seal that somebody without the key made: only opening it tells.
  const seal = sealSet(ours.facts.set, new Uint8Array(32)).seal;
  const unsealed = ours.shares.map((share): ShareFile => ({ form: 'record', share, facts: { ...ours.facts, seal } }));
  await assert.rejects(combineFiles(unsealed, null, NONE), rule('SHARES-WRONG-SECRET'));
});
