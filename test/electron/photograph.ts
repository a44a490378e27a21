/** For tests: what a camera makes of a QR code, and PNG files, good ones and hostile ones. */
import { crc32, deflateSync } from 'node:zlib';

export interface Camera {
  /** Pixels on a side. */
  readonly side: number;
  /** Degrees. */
  readonly turned: number;
  /** How much nearer one edge is than the other, 0 to 0.3. */
  readonly tilted: number;
  readonly skewed: number;
  /** Pixels around each that are mixed into it. */
  readonly blurred: number;
  /** Part of the whole range. */
  readonly noise: number;
  /** Of the code's modules, this part of the middle is worn off. */
  readonly worn: number;
}

/** A photograph, grey on a grey table, 8 bits a pixel. The same arguments give the same picture. */
export function photograph(modules: readonly (readonly boolean[])[], { side, turned, tilted, skewed, blurred, noise, worn }: Camera): Uint8Array {
  const sheet = modules.length;
  const [sin, cos] = [Math.sin((turned * Math.PI) / 180), Math.cos((turned * Math.PI) / 180)];
  const scale = 1.5 * sheet; // the sheet fills two thirds of the picture
  const light = (px: number, py: number): number => {
    const [u, v] = [px / side - 0.5, py / side - 0.5];
    const depth = 1 + tilted * v; // a projective map: rows farther away are smaller
    const [a, b] = [(u / depth) * scale, (v / depth) * scale];
    const [x, y] = [cos * a + sin * b + skewed * b + sheet / 2, -sin * a + cos * b + sheet / 2];
    if (x < 0 || y < 0 || x >= sheet || y >= sheet) return 0.45;
    const [fromX, fromY] = [Math.abs(x / sheet - 0.5), Math.abs(y / sheet - 0.5)];
    return modules[Math.floor(y)]![Math.floor(x)]! && (fromX > worn / 2 || fromY > worn / 2) ? 0.2 : 0.85;
  };
  const sharp = new Float64Array(side * side);
  for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) sharp[y * side + x] = (light(x + 0.25, y + 0.25) + light(x + 0.75, y + 0.25) + light(x + 0.25, y + 0.75) + light(x + 0.75, y + 0.75)) / 4;
  let random = 0x2545f491;
  const picture = new Uint8Array(side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      let sum = 0;
      let count = 0;
      for (let dy = -blurred; dy <= blurred; dy++) {
        for (let dx = -blurred; dx <= blurred; dx++) {
          const near = sharp[(y + dy) * side + x + dx];
          if (near === undefined) continue;
          sum += near;
          count++;
        }
      }
      random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
      picture[y * side + x] = 255 * Math.min(1, Math.max(0, sum / count + noise * (random / 2 ** 32 - 0.5)));
    }
  }
  return picture;
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const out = Buffer.alloc(12 + data.length);
  out.writeUInt32BE(data.length);
  out.write(type, 4, 'latin1');
  out.set(data, 8);
  out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
  return out;
}

/** PNG (ISO/IEC 15948), 8-bit grey. The head may lie about what the data are. */
export function png(pixels: Uint8Array, width: number, height: number, head: { readonly width?: number; readonly height?: number } = {}): Uint8Array {
  const ihdr = Buffer.alloc(13);
  ihdr.writeUInt32BE(head.width ?? width);
  ihdr.writeUInt32BE(head.height ?? height, 4);
  ihdr.set([8, 0, 0, 0, 0], 8);
  const rows = new Uint8Array(height * (width + 1));
  for (let y = 0; y < height; y++) rows.set(pixels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  return new Uint8Array(Buffer.concat([Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a), chunk('IHDR', ihdr), chunk('IDAT', deflateSync(rows)), chunk('IEND', new Uint8Array(0))]));
}
