/** Shares on paper: the words of our own sheets, the texts of QR codes, and what a sheet says. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import fc from 'fast-check';
import { fromUtf8, toBase64url, utf8 } from '../../../ceremonies/bytes.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { encodeSheetWords, fileOfQr, isSheet, linesOf, parseSheetWords, SHEET_WORDS, shareOfSheet, shareToQr } from '../../../ceremonies/shares/paper.ts';
import { encodeShare, makeShares, type Share } from '../../../ceremonies/shares/share.ts';
import { combineFiles, encodeSetFile, encodeShareFile, gather, parseSetFile, parseShareFile, sealSet, type SealedSet, type ShareFile } from '../../../ceremonies/shares/share-file.ts';
import { blankSheetHtml, sheetHtml, sheetQr } from '../../../ceremonies/shares/sheet.ts';
import { encodeMnemonic, makeMnemonics, slip39Randomness, type Mnemonic } from '../../../ceremonies/shares/slip39.ts';
import { SLIP39_WORDS } from '../../../ceremonies/shares/slip39-words.ts';
import { codeOf, readWords, suspectsOf } from '../../../ceremonies/shares/word-code.ts';
import { SEED } from '../keys/seed.ts';

const SECRET: Uint8Array = Uint8Array.from({ length: 32 }, (_, i) => 3 * i + 7);
const NONE: Uint8Array = new Uint8Array(0);
const PEOPLE = ['anna', 'ben', 'carla', 'dario', 'eva', 'fadi', 'gita', 'hugo', 'ines'];

interface Split { readonly facts: SealedSet; readonly shares: readonly Share[] }
async function split(threshold: number, count: number, change: { name?: number; epoch?: number; secret?: Uint8Array; people?: readonly string[] } = {}): Promise<Split> {
  const custodians = change.people ?? (count <= PEOPLE.length ? PEOPLE.slice(0, count) : Array.from({ length: count }, (_, i) => `custodian-${i + 1}`));
  const secret = change.secret ?? SECRET;
  const { set, shares } = await makeShares(secret, { set: toBase64url(new Uint8Array(16).fill(change.name ?? 1)), epoch: change.epoch ?? 0, threshold, custodians });
  return { shares, facts: { ...sealSet(set, secret), custodians: [...custodians] } };
}
const sheet = (share: Share): ShareFile => parseShareFile(encodeSheetWords(share));
const rule = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof Refused) return error.refusal.rule;
    throw error;
  }
  return 'none';
};

test('every M of N up to 9: any M sheets of words, and any mixture of words, codes and files, give the secret back', async () => {
  for (let count = 2; count <= 9; count++) {
    for (let threshold = 2; threshold <= count; threshold++) {
      const { facts, shares } = await split(threshold, count, { epoch: 3 });
      const chosen = shares.toReversed().slice(0, threshold);
      assert.deepEqual(await combineFiles(chosen.map(sheet), facts, NONE), SECRET);
      const mixed = chosen.map((share, i) => (i % 3 === 0 ? sheet(share) : parseShareFile(i % 3 === 1 ? fileOfQr(shareToQr(share))! : encodeShareFile(share, facts))));
      assert.deepEqual(await combineFiles(mixed, facts, NONE), SECRET);
      assert.deepEqual(gather(chosen.slice(1).map(sheet), facts).together.map((one) => one.rule), ['SHARES-TOO-FEW']);
    }
  }
});

test('255 shares, every number and the last epoch: words give the same share, letter by letter', async () => {
  const { facts, shares } = await split(200, 255, { epoch: 1023 });
  for (const share of shares) {
    const line = encodeSheetWords(share);
    const words = parseSheetWords(line);
    assert.deepEqual(shareOfSheet(words, facts), share);
    assert.deepEqual(linesOf(words), line);
    assert.ok(isSheet(line));
  }
  const [{ header, payload }] = (await split(2, 2, { epoch: 1024 })).shares as [Share, Share];
  assert.equal(rule(() => encodeSheetWords({ header, payload })), 'SHARE-NUMBERS');
});

test('every other word in every place, all 33,759: never accepted, as ours or as SLIP-39, and its place is named', async () => {
  const { shares } = await split(2, 3);
  const { mnemonics } = await makeMnemonics(SECRET, { threshold: 2, shares: 2 }, NONE, new Uint8Array(slip39Randomness(2)).fill(9));
  for (const right of [readWords(encodeSheetWords(shares[1]!)), readWords(encodeMnemonic(mnemonics[1]!))]) {
    assert.equal(right.length, SHEET_WORDS);
    let tried = 0;
    let alone = 0;
    for (const [i, word] of right.entries()) {
      for (let change = 1; change < SLIP39_WORDS.length; change++) {
        const wrong = right.with(i, word ^ change);
        if (codeOf(wrong) !== null) assert.fail(`word ${i + 1}: accepted`);
        tried++;
        // Where the code is linear every word is alike; drawn places are enough to see that the search finds them.
        if (change % 31 !== i % 31) continue;
        const suspects = suspectsOf(wrong);
        assert.ok(suspects.includes(i + 1), `word ${i + 1} is not named`);
        alone += Number(suspects.length === 1);
      }
    }
    assert.equal(tried, 33 * 1023);
    assert.ok(alone > 1080, `${alone} of about 1089 named alone`);
  }
});

test('a wrong word, a word left out, words of the other kind: refused by name, and no refusal says a word', async () => {
  const { facts, shares } = await split(2, 3);
  // Fixed, so that no second suspect turns up by chance (once in some 30,000 sheets).
  const words = fromUtf8(encodeSheetWords({ header: shares[0]!.header, payload: SECRET })).trim().split(' ');
  const read = (list: readonly string[]) => () => parseShareFile(utf8(list.join(' ')));
  assert.equal(rule(read(words.with(4, 'xyzzyx'))), 'SHARE-WORDS');
  assert.equal(rule(read(words.slice(1))), 'SHARE-WORDS');
  assert.equal(rule(read(words.with(4, words[5]!).with(5, words[4]!))), words[4] === words[5] ? 'none' : 'SHARE-CHECKSUM');
  assert.equal(rule(() => parseSheetWords(utf8(words.slice(2).join(' ')))), 'SHARE-WORDS');
  for (const [i, word] of words.entries()) {
    const wrong = SLIP39_WORDS[(SLIP39_WORDS.indexOf(word) + 1) % 1024]!;
    // The whole refusal is fixed but for the place: so it says no word, neither the wrong one nor the right one.
    assert.throws(read(words.with(i, wrong)), { refusal: { rule: 'SHARE-CHECKSUM', expected: 'the checksum in the last three words to fit', found: `word ${i + 1} is probably wrong`, next: 'Compare it with the paper, letter by letter.' } });
  }
  const { payload } = shares[0]!;
  const forged = (change: object) => () => parseSheetWords(linesOf({ set: 1, epoch: 0, x: 1, payload, ...change }));
  assert.equal(rule(forged({})), 'none');
  assert.equal(rule(forged({ x: 0 })), 'SHARE-X-ZERO');
  assert.equal(rule(forged({ x: 512 })), 'SHARE-VERSION');
  assert.equal(gather([sheet(shares[0]!)], facts).findings[0]?.length, 0);
});

test('sheets are judged in their set: foreign, older, twice, forged, and without the facts not at all', async () => {
  const { facts, shares } = await split(2, 3);
  const [a, b] = shares as [Share, Share];
  const rules = (files: readonly ShareFile[], by: SealedSet | null): string[][] => gather(files, by).findings.map((against) => against.map((one) => one.rule));
  assert.deepEqual(rules([sheet(a), sheet(b)], facts), [[], []]);
  assert.deepEqual(rules([sheet(a), sheet(a)], facts), [[], ['SHARE-DUPLICATE']]);
  assert.deepEqual(rules([sheet(a), { form: 'record', share: a, facts }], facts), [[], ['SHARE-DUPLICATE']]);
  assert.deepEqual(rules([sheet((await split(2, 3, { name: 2 })).shares[0]!)], facts), [['SHARE-FOREIGN-SET']]);
  const newer = await split(2, 3, { epoch: 1 });
  assert.deepEqual(rules([sheet(a)], newer.facts), [['SHARE-OLD-EPOCH']]);
  assert.deepEqual(rules([sheet(newer.shares[0]!)], facts), [['SHARE-NEW-EPOCH']]);
  // The same name, epoch and number, but another payload: the checksum is anybody's to make, the commitment is not.
  assert.deepEqual(rules([sheet({ header: a.header, payload: b.payload })], facts), [['SHARE-FOREIGN-SET']]);
  assert.deepEqual(rules([sheet({ header: { ...a.header, x: 200 }, payload: a.payload })], facts), [['SHARE-FOREIGN-SET']]);
  // Somebody wrote another custodian into the facts: the commitment binds the seat.
  assert.deepEqual(rules([sheet(a)], { ...facts, custodians: ['mallory', 'ben', 'carla'] }), [['SHARE-FOREIGN-SET']]);
  const { custodians: _, ...bare } = facts;
  assert.deepEqual(rules([sheet(a)], bare), [['SHARE-SETS']]);
  assert.deepEqual(rules([sheet(a), { form: 'record', share: b, facts: bare }], null), [['SHARE-SETS'], []]);
  assert.deepEqual(gather([sheet(a), sheet(b)]).together.map((one) => one.rule), ['SHARE-SETS']);
});

test('the facts of a set name its custodians; a custodian\'s own file does not name the others', async () => {
  const { facts, shares } = await split(2, 3);
  assert.deepEqual(parseSetFile(utf8(encodeSetFile(facts))).custodians, PEOPLE.slice(0, 3));
  const file = parseShareFile(encodeShareFile(shares[0]!, facts));
  assert.ok(file.form === 'record' && file.facts !== null && file.facts.custodians === undefined);
  assert.equal(rule(() => parseSetFile(utf8(encodeSetFile({ ...facts, custodians: ['anna', 'ben'] })))), 'SHARE-DAMAGED');
  assert.equal(rule(() => parseSetFile(utf8(encodeSetFile({ ...facts, custodians: ['anna', 'ben', 'No Seat'] })))), 'SHARE-DAMAGED');
});

test('the text of a QR code: this share\'s bytes or these words; anything else is of another purpose', async () => {
  const { shares } = await split(2, 3);
  assert.deepEqual(fileOfQr(shareToQr(shares[2]!)), encodeShare(shares[2]!));
  assert.match(shareToQr(shares[2]!), /^[A-Z2-7]+$/);
  assert.deepEqual(fileOfQr('ACADEMIC ACID'), utf8('ACADEMIC ACID'));
  for (const text of ['', 'https://example.org', 'MFRGG', 'ACADEMIC', shareToQr(shares[2]!).toLowerCase(), `${shareToQr(shares[2]!)}=`]) assert.equal(fileOfQr(text), null, text);
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => fileOfQr(text) === null || /^[A-Za-z ]+$/.test(text)), { seed: SEED });
});

/** What stands on a page, without markup: a line for each row. */
function textOf(html: string): string {
  return html.replace(/<style>[^]*<\/style>|<svg[^]*?<\/svg>|<title>.*<\/title>/g, '').replace(/<\/(tr|p|h1)>/g, '\n').replace(/<\/t[hd]>/g, ' ').replace(/<span class="line[^>]*>/g, '____').replace(/<[^>]+>/g, '')
    .replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code))).replace(/[ \t]+/g, ' ').replace(/ ?\n[ \n]*/g, '\n').trim();
}

test('what the sheets say, word by word: golden', async () => {
  const header = { v: 1, set: 'AAECAwQFBgcICQoLDA0ODw', epoch: 2, threshold: 3, shares: 5, x: 4, length: 32, custodian: 'custodian-4', of: toBase64url(new Uint8Array(32).fill(7)) } as const;
  const payload: Uint8Array = Uint8Array.from({ length: 32 }, (_, i) => i);
  const page = (line: Uint8Array, qr: string, of: { header: Share['header'] } | { mnemonic: Mnemonic }, rehearsal: boolean): string =>
    sheetHtml({ rehearsal, purpose: 'Root CA <2026> & its backup', date: '2026-03-02', of }, fromUtf8(line).trim().split(' '), qr);
  const mnemonic: Mnemonic = { set: { identifier: 7945, extendable: true, iterationExponent: 1, groupThreshold: 1, groups: 1, length: 32 }, group: 0, member: 1, threshold: 2, value: payload };
  const pages = [
    page(encodeSheetWords({ header, payload }), shareToQr({ header, payload }), { header }, true),
    page(encodeMnemonic(mnemonic), fromUtf8(encodeMnemonic(mnemonic)).trim().toUpperCase(), { mnemonic }, false),
    blankSheetHtml(33, true), blankSheetHtml(20, false),
  ];
  const golden = new URL('../golden/share-sheets.txt', import.meta.url);
  const text = `${pages.map(textOf).join('\n\n----\n\n')}\n`;
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, text);
  assert.equal(text, readFileSync(golden, 'utf8'));
  for (const html of pages) {
    assert.doesNotMatch(html, /<(script|img|link|iframe|object|form)|\son\w+=|https?:|url\((?!#hatch)/i);
    assert.equal(html.includes('REHEARSAL'), html === pages[0] || html === pages[2]);
  }
});

test('the code is of level H with its quiet zone, and small enough for its place on the page', async () => {
  const { shares } = await split(200, 255, { epoch: 1023, people: Array.from({ length: 255 }, (_, i) => `custodian-of-a-site-with-a-long-name-${100 + i}`) });
  const modules = sheetQr(shareToQr(shares[254]!));
  assert.ok(modules.length <= 121, `${modules.length}: a module is 0.7 mm at least`);
  for (const edge of [0, 1, 2, 3]) assert.ok(!modules[edge]!.includes(true) && !modules.some((row) => row[edge] === true || row.at(-1 - edge) === true));
});
