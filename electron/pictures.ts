/**
 * Pictures of sheets of paper: which share is in a PNG or JPEG file that a camera, a scanner or a screen made.
 *
 * The only importer of zxing-wasm: pictures are hostile input, and both their formats and the QR code are read inside
 * WebAssembly, which reaches neither files nor the network. What it takes is bounded before: bytes, sides and pixels as the
 * file's head gives them, and for PNG how much its data unfold to. Nothing that a picture says is repeated in a refusal.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { inflateSync } from 'node:zlib';
import { equalBytes, utf8 } from '../ceremonies/bytes.ts';
import { Refused, refuse } from '../ceremonies/refusal.ts';
import { fileOfQr } from '../ceremonies/shares/paper.ts';

export const LARGEST_PICTURE = 32 * 1024 * 1024;
const MOST_PIXELS = 64_000_000; // more than today's telephones make; 4 bytes each while it is read
const LONGEST_SIDE = 16_384;

const PNG = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const JPEG = Uint8Array.of(0xff, 0xd8, 0xff);
const startsWith = (bytes: Uint8Array, start: Uint8Array): boolean => equalBytes(bytes.subarray(0, start.length), start);

export function isPicture(bytes: Uint8Array): boolean {
  return startsWith(bytes, PNG) || startsWith(bytes, JPEG);
}

/**
 * The share in a picture, as the file that its QR code stands for; the caller wipes it. One code of ours, once or several times;
 * codes of other purposes beside it do not matter.
 * Throws `Refused` SHARE-PICTURE (a picture that cannot or must not be read), SHARE-QR (no share in it, or several).
 */
export async function fileInPicture(picture: Uint8Array): Promise<Uint8Array> {
  checkSize(picture);
  const shares = new Map<string, Uint8Array>();
  const texts = await qrTexts(picture);
  for (const text of texts) {
    const file = fileOfQr(text);
    if (file !== null) shares.set(text, file);
  }
  const [file, ...more] = shares.values();
  if (file !== undefined && more.length === 0) return file;
  for (const one of shares.values()) one.fill(0);
  if (file !== undefined) throw new Refused(refuse('SHARE-QR', 'one share in a picture', `${shares.size}`, 'Photograph each sheet by itself.'));
  throw new Refused(refuse('SHARE-QR', 'the QR code of a share', texts.length === 0 ? 'none that can be read' : 'a QR code of another purpose',
    'Photograph it again: the sheet flat, the whole code with its white edge, sharp and without glare. Or type the words.'));
}

/** The texts of all QR codes in a picture: a PNG or JPEG file whose size was checked, or pixels. */
export async function qrTexts(picture: Uint8Array | { readonly data: Uint8ClampedArray<ArrayBuffer>; readonly width: number; readonly height: number; readonly colorSpace: 'srgb' }): Promise<string[]> {
  const { prepareZXingModule, purgeZXingModule, readBarcodes } = await import('zxing-wasm/reader');
  // Given as bytes: else the library asks a server of its choice.
  const wasmBinary = new Uint8Array(await readFile(fileURLToPath(import.meta.resolve('zxing-wasm/reader/zxing_reader.wasm')))).buffer;
  await prepareZXingModule({ overrides: { wasmBinary, print: () => undefined, printErr: () => undefined }, fireImmediately: true });
  try {
    const found = await readBarcodes(picture, { formats: ['QRCode'], tryHarder: true, returnErrors: false });
    if (found.some(({ error }) => error !== '')) throw unreadable('something else');
    return found.map(({ text }) => text);
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw unreadable('one that ends its reader');
  } finally {
    purgeZXingModule(); // and with it the memory in which the picture lay
  }
}

function unreadable(found: string): Refused {
  return new Refused(refuse('SHARE-PICTURE', 'a whole PNG or JPEG picture', found, 'Save it again as PNG or JPEG.'));
}

// --- before it is read -------------------------------------------------------------------------------------------------------

function checkSize(bytes: Uint8Array): void {
  if (bytes.length > LARGEST_PICTURE) throw tooLarge(`${bytes.length} bytes`);
  const { width, height } = startsWith(bytes, PNG) ? pngSize(bytes) : jpegSize(bytes);
  if (width === 0 || height === 0) throw unreadable('one without width or height');
  if (width > LONGEST_SIDE || height > LONGEST_SIDE || width * height > MOST_PIXELS) throw tooLarge(`${width} x ${height} pixels`);
  if (startsWith(bytes, PNG)) checkUnfolding(bytes, width, height);
}

function tooLarge(found: string): Refused {
  return new Refused(refuse('SHARE-PICTURE', `at most ${LARGEST_PICTURE / 1024 / 1024} MB, ${MOST_PIXELS / 1e6} million pixels and ${LONGEST_SIDE} on a side`, found, 'Crop the picture to the QR code and its white edge, or save it smaller.'));
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** PNG (ISO/IEC 15948, 11.2.2): IHDR is the first chunk. */
function pngSize(bytes: Uint8Array): { width: number; height: number } {
  if (bytes.length < 33 || view(bytes).getUint32(8) !== 13 || !equalBytes(bytes.subarray(12, 16), utf8('IHDR'))) throw unreadable('a PNG without its head');
  return { width: view(bytes).getUint32(16), height: view(bytes).getUint32(20) };
}

/** A few kilobytes of PNG can unfold to gigabytes, whatever the head says: refused here, where it costs no more than the head says. */
function checkUnfolding(bytes: Uint8Array, width: number, height: number): void {
  const data: Uint8Array[] = [];
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view(bytes).getUint32(at);
    if (equalBytes(bytes.subarray(at + 4, at + 8), utf8('IDAT'))) data.push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  // 16 bits in each of four channels, a filter byte for each row, and the rows of seven passes (Adam7)
  const most = 8 * width * height + 8 * (width + height) * 8 + 64;
  try {
    inflateSync(Buffer.concat(data), { maxOutputLength: Math.min(most, 8 * MOST_PIXELS) }).fill(0);
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? tooLarge('more data than the picture has pixels for') : unreadable('a PNG with damaged data');
  }
}

/** JPEG (ITU-T T.81, B.1.1, B.2.2): the first frame header says it, and stands before the first scan. */
function jpegSize(bytes: Uint8Array): { width: number; height: number } {
  for (let at = 2; at + 9 <= bytes.length;) {
    const marker = bytes[at + 1]!;
    if (bytes[at] !== 0xff) break;
    if (marker === 0xff) {
      at += 1; // fill
      continue;
    }
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) return { height: view(bytes).getUint16(at + 5), width: view(bytes).getUint16(at + 7) };
    if (marker === 0xda || marker === 0xd9) break;
    at += 2 + view(bytes).getUint16(at + 2);
  }
  throw unreadable('a JPEG without its head');
}
