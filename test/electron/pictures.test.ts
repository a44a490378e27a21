/** Photographs of sheets, askew, blurred, worn; and files that only look like pictures. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import encodeQR from 'qr';
import { fromUtf8, toBase64url, utf8 } from '../../ceremonies/bytes.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { shareToQr } from '../../ceremonies/shares/paper.ts';
import { encodeShare, makeShares } from '../../ceremonies/shares/share.ts';
import { combineFiles, parseShareFile, sealSet, type ShareFile } from '../../ceremonies/shares/share-file.ts';
import { sheetQr } from '../../ceremonies/shares/sheet.ts';
import { encodeMnemonic, makeMnemonics, slip39Randomness } from '../../ceremonies/shares/slip39.ts';
import { fileInPicture, isPicture } from '../../electron/pictures.ts';
import { photograph, png, type Camera } from './photograph.ts';

const SECRET: Uint8Array = Uint8Array.from({ length: 32 }, (_, i) => 11 * i + 3);
const NONE: Uint8Array = new Uint8Array(0);
const STEADY: Camera = { side: 700, turned: 0, tilted: 0, skewed: 0, blurred: 0, noise: 0, worn: 0 };
const CAMERAS: readonly Camera[] = [
  STEADY,
  { ...STEADY, turned: 90 }, { ...STEADY, turned: 180 }, { ...STEADY, side: 1000, turned: 33, noise: 0.2 },
  { ...STEADY, side: 900, turned: -12, tilted: 0.15, blurred: 1 }, { ...STEADY, side: 1100, turned: 200, skewed: 0.06, tilted: -0.12, blurred: 1, noise: 0.15 },
  { ...STEADY, side: 520 }, { ...STEADY, side: 1600, blurred: 3, tilted: 0.1, turned: 5 }, { ...STEADY, side: 900, worn: 0.28, turned: 7 },
];

const taken = (text: string, camera: Camera): Uint8Array => png(photograph(sheetQr(text), camera), camera.side, camera.side);
async function setOf(threshold: number, count: number) {
  const { set, shares } = await makeShares(SECRET, { set: toBase64url(new Uint8Array(16).fill(count)), epoch: 2, threshold, custodians: Array.from({ length: count }, (_, i) => `custodian-${i + 1}`) });
  return { facts: sealSet(set, SECRET), shares };
}
async function refusal(picture: Uint8Array): Promise<{ rule: string; found: string }> {
  try {
    (await fileInPicture(picture)).fill(0);
  } catch (error) {
    if (error instanceof Refused) return error.refusal;
    throw error;
  }
  return { rule: 'none', found: '' };
}

test('sets up to 9, drawn: M photographs, each by another camera, give the secret', async () => {
  let shot = 0;
  for (const [threshold, count] of [[2, 2], [2, 3], [3, 5], [4, 7], [5, 9], [9, 9]] as const) {
    const { facts, shares } = await setOf(threshold, count);
    const files: ShareFile[] = [];
    for (const share of shares.slice(count - threshold)) files.push(parseShareFile(await fileInPicture(taken(shareToQr(share), CAMERAS[shot++ % CAMERAS.length]!))));
    assert.deepEqual(await combineFiles(files, facts, NONE), SECRET);
  }
  assert.ok(shot >= 2 * CAMERAS.length);
});

test('words of SLIP-39 come out of their code as they went in', async () => {
  const { mnemonics } = await makeMnemonics(SECRET, { threshold: 2, shares: 3 }, NONE, new Uint8Array(slip39Randomness(2)).fill(5));
  for (const [i, camera] of CAMERAS.entries()) {
    const line = encodeMnemonic(mnemonics[i % 3]!);
    assert.deepEqual(parseShareFile(await fileInPicture(taken(fromUtf8(line).trim().toUpperCase(), camera))), parseShareFile(line));
  }
});

test('zbar, which knows nothing of us, reads the same bytes', async () => {
  const { shares } = await setOf(2, 3);
  const folder = mkdtempSync(join(tmpdir(), 'conclave-zbar-'));
  try {
    for (const [i, camera] of CAMERAS.slice(0, 3).entries()) {
      writeFileSync(join(folder, 'picture.png'), taken(shareToQr(shares[i]!), { ...camera, side: 900 }));
      const { status, stdout, stderr } = spawnSync('zbarimg', ['--quiet', '--raw', '--oneshot', '-Sdisable', '-Sqrcode.enable', join(folder, 'picture.png')], { encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      const text = stdout.trim();
      const { stdout: bytes } = spawnSync('base32', ['--decode'], { input: text.padEnd(Math.ceil(text.length / 8) * 8, '=') });
      assert.deepEqual(new Uint8Array(bytes), encodeShare(shares[i]!));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('pictures without a share, with two, of another purpose: SHARE-QR', async () => {
  const { shares } = await setOf(2, 3);
  const [one, two] = shares.map((share) => photograph(sheetQr(shareToQr(share)), { ...STEADY, side: 600 }));
  const both = new Uint8Array(1200 * 600);
  const twice = new Uint8Array(1200 * 600);
  for (let y = 0; y < 600; y++) {
    const row = (of: Uint8Array): Uint8Array => of.subarray(y * 600, (y + 1) * 600);
    for (const [picture, right] of [[both, two!], [twice, one!]] as const) {
      picture.set(row(one!), y * 1200);
      picture.set(row(right), y * 1200 + 600);
    }
  }
  const other = encodeQR('https://example.org', 'raw', { border: 4 });
  assert.deepEqual(await refusal(png(both, 1200, 600)), { ...(await refusal(png(both, 1200, 600))), rule: 'SHARE-QR', found: '2' });
  assert.equal((await refusal(png(twice, 1200, 600))).rule, 'none');
  assert.equal((await refusal(png(photograph(other, STEADY), 700, 700))).found, 'a QR code of another purpose');
  assert.equal((await refusal(png(new Uint8Array(640_000).fill(200), 800, 800))).found, 'none that can be read');
  assert.equal((await refusal(taken(shareToQr(shares[0]!), { ...STEADY, worn: 0.75 }))).rule, 'SHARE-QR');
});

test('hostile files are refused before they are decoded, in little time and little memory', async () => {
  const jpeg = (width: number, height: number, ...before: number[]): Uint8Array => Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0, ...before, 0xff, 0xc0, 0, 17, 8, height >> 8, height & 255, width >> 8, width & 255, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 0xff, 0xda, 0, 2);
  const grey = new Uint8Array(10_000);
  const good = png(grey, 100, 100);
  const bomb = png(new Uint8Array(500_000_000), 500_000, 1000, { width: 10, height: 10 });
  const table: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ['a head of 65,000 x 65,000', png(grey, 100, 100, { width: 65_000, height: 65_000 }), /65000 x 65000 pixels/],
    ['a narrow one', png(grey, 100, 100, { width: 1, height: 20_000 }), /1 x 20000 pixels/],
    ['no width', png(grey, 100, 100, { width: 0 }), /without width/],
    ['gigabytes in a few kilobytes', bomb, /more data than/],
    ['data cut off', good.subarray(0, good.length - 30), /./],
    ['data damaged', good.with(50, good[50]! ^ 1), /damaged data/],
    ['a bare signature', good.subarray(0, 8), /without its head/],
    ['another chunk first', good.with(13, 0x41), /without its head/],
    ['JPEG, 65,000 x 65,000', jpeg(65_000, 65_000), /65000 x 65000/],
    ['JPEG without a frame', jpeg(10, 10).with(9, 0xda), /without its head/],
    ['JPEG cut off', jpeg(100, 100), /something else|reader/],
    ['JPEG with endless filling', Uint8Array.of(0xff, 0xd8, 0xff, ...new Array<number>(5000).fill(0xff)), /without its head/],
    ['JPEG with a segment of no length', jpeg(100, 100, 0xff, 0xe1, 0, 0), /./],
    ['too many bytes', Uint8Array.from({ length: 33 * 1024 * 1024 }, (_, i) => good[i] ?? 0), /bytes/],
  ];
  for (const [what, file, found] of table) {
    assert.ok(isPicture(file), what);
    const begun = performance.now();
    const said = await refusal(file);
    assert.equal(said.rule, what === 'data cut off' ? said.rule : 'SHARE-PICTURE', `${what}: ${said.rule} ${said.found}`);
    assert.ok(['SHARE-PICTURE', 'SHARE-QR'].includes(said.rule));
    assert.match(said.found, found, what);
    assert.ok(performance.now() - begun < 3000, what);
  }
  assert.ok(!isPicture(utf8('-----BEGIN')) && !isPicture(NONE));
  // Whatever bit is flipped, the answer is a refusal or the share: never another error, and never another share.
  const { shares } = await setOf(2, 2);
  const picture = taken(shareToQr(shares[0]!), { ...STEADY, side: 300 });
  for (let i = 0; i < 60; i++) {
    const at = Math.floor((i * picture.length) / 60);
    const spoiled = picture.with(at, picture[at]! ^ (1 << (i % 8)));
    if (!isPicture(spoiled)) continue;
    const file = await fileInPicture(spoiled).catch((error: unknown) => (error instanceof Refused ? null : assert.fail(String(error))));
    if (file !== null) assert.deepEqual(file, encodeShare(shares[0]!));
  }
});
