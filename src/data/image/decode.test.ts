import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { encode as encodePng } from 'fast-png';
import jpeg from 'jpeg-js';
import { FileError } from '../../tensor/errors.js';
import { Random } from '../../tensor/random.js';
import { decodeImage } from './decode.js';
import { MAX_PIXELS, readHeader } from './header.js';

function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

function chunk(type: string, body: Uint8Array): Buffer {
  const result = Buffer.alloc(12 + body.length);
  result.writeUInt32BE(body.length, 0);
  result.write(type, 4, 'latin1');
  result.set(body, 8);
  result.writeUInt32BE(crc32(result.subarray(4, 8 + body.length)), 8 + body.length);
  return result;
}

/** A PNG file written from the specification: samples [height][width · channels], filter 0, not interlaced. */
function pngFile(
  width: number,
  height: number,
  depth: number,
  colour: number,
  samples: readonly number[],
  extra: readonly Buffer[] = [],
): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colour, 0, 0, 0], 8);
  const perRow = samples.length / height;
  const stride = 1 + Math.ceil((perRow * depth) / 8);
  const raw = Buffer.alloc(stride * height);
  samples.forEach((value, i) => {
    const bit = (i % perRow) * depth;
    const at = Math.floor(i / perRow) * stride + 1 + (bit >> 3);
    if (depth === 16) raw.writeUInt16BE(value, at);
    else raw[at] |= value << (8 - depth - (bit & 7));
  });
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    ...extra,
    chunk('IDAT', deflateSync(raw)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

const DEPTHS: Record<number, readonly number[]> = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 4: [8, 16], 6: [8, 16] };
const CHANNELS: Record<number, number> = { 0: 1, 2: 3, 4: 2, 6: 4 };

test('PNG: every depth of grey and colour, with and without alpha, against the formulas', () => {
  const cases = Object.entries(DEPTHS).flatMap(([colour, depths]) =>
    depths.map((depth) => [Number(colour), depth] as const),
  );
  for (const [colour, depth] of cases) {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer(),
        (width, height, seed) => {
          const random = new Random(seed);
          const top = 2 ** depth - 1;
          const channels = CHANNELS[colour];
          const samples = Array.from({ length: width * height * channels }, () => random.integer(top + 1));
          const image = decodeImage(pngFile(width, height, depth, colour, samples), 'x.png');
          const colours = colour === 0 || colour === 4 ? 1 : 3;
          assert.deepEqual([image.width, image.height, image.channels], [width, height, colours]);
          for (let p = 0; p < width * height; p++) {
            const alpha = channels > colours ? samples[p * channels + colours] / top : 1;
            for (let c = 0; c < colours; c++) {
              const wanted = (samples[p * channels + c] / top) * 255 * alpha + 255 * (1 - alpha);
              assert.ok(Math.abs(image.data[p * colours + c] - wanted) <= 0.5 + 1e-6);
            }
          }
        },
      ),
      { numRuns: 8 },
    );
  }
});

test('PNG: palettes of 1 to 8 bits, transparent entries on the background', () => {
  const palette = Buffer.from([255, 0, 0, 0, 255, 0, 10, 20, 30, 40, 50, 60]);
  for (const depth of [2, 4, 8]) {
    const file = pngFile(
      3,
      2,
      depth,
      3,
      [0, 1, 2, 3, 2, 1],
      [chunk('PLTE', palette), chunk('tRNS', Buffer.from([0, 255]))],
    );
    const colours = [
      [255, 255, 255],
      [0, 255, 0],
      [10, 20, 30],
      [40, 50, 60],
    ];
    assert.deepEqual(
      [...decodeImage(file, 'p').data],
      [0, 1, 2, 3, 2, 1].flatMap((i) => colours[i]),
    );
    assert.deepEqual([...decodeImage(file, 'p', { background: 7 }).data.subarray(0, 3)], [7, 7, 7]);
  }
  const beyond = pngFile(1, 1, 8, 3, [9], [chunk('PLTE', palette)]);
  assert.throws(() => decodeImage(beyond, 'p.png'), {
    name: 'FileError',
    message: /p\.png: pixel 0 has palette index 9.*4 entries/,
  });
});

test('PNG: one transparent colour (tRNS) of grey and colour files', () => {
  const grey = pngFile(2, 1, 8, 0, [5, 6], [chunk('tRNS', Buffer.from([0, 5]))]);
  assert.deepEqual([...decodeImage(grey, 'g').data], [255, 6]);
  const colour = pngFile(3, 1, 8, 2, [1, 2, 3, 1, 2, 4, 9, 9, 9], [chunk('tRNS', Buffer.from([0, 1, 0, 2, 0, 3]))]);
  assert.deepEqual([...decodeImage(colour, 'c').data], [255, 255, 255, 1, 2, 4, 9, 9, 9]);
});

test('PNG: interlaced from 8 bits up; fewer bits are refused, not garbled', () => {
  const data = Uint8Array.from({ length: 13 * 11 * 3 }, (_, i) => (i * 37) % 256);
  const file = encodePng({ width: 13, height: 11, channels: 3, data }, { interlace: 'Adam7' });
  assert.deepEqual(decodeImage(file, 'i').data, data);
  const few = pngFile(3, 1, 2, 0, [1, 2, 3]);
  few[28] = 1;
  few.writeUInt32BE(crc32(few.subarray(12, 29)), 29);
  assert.throws(() => decodeImage(few, 'few.png'), /few\.png: an interlaced PNG with 2 bits/);
});

/** Pictures of x·32, y·32, 128 in 8×8 pixels, written by libjpeg. */
const JPEGS = {
  progressive:
    '/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/wgARCAAIAAgDAREAAhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAABf/EABUBAQEAAAAAAAAAAAAAAAAAAAIE/9oADAMBAAIQAxAAAAEyo//EABYQAAMAAAAAAAAAAAAAAAAAAAAFBv/aAAgBAQABBQJVKn//xAAYEQACAwAAAAAAAAAAAAAAAAAABQYhMf/aAAgBAwEBPwGNvss//8QAFxEAAwEAAAAAAAAAAAAAAAAAAAQFYf/aAAgBAgEBPwFyxp//xAAWEAADAAAAAAAAAAAAAAAAAAAAASL/2gAIAQEABj8CUH//xAAVEAEBAAAAAAAAAAAAAAAAAAAA8f/aAAgBAQABPyGc/9oADAMBAAIAAwAAABB//8QAFBEBAAAAAAAAAAAAAAAAAAAAAP/aAAgBAwEBPxB//8QAFREBAQAAAAAAAAAAAAAAAAAAADH/2gAIAQIBAT8Qsf/EABUQAQEAAAAAAAAAAAAAAAAAAACh/9oACAEBAAE/EJh//9k=',
  cmyk: '/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUKBwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAWEBETFBUVFQwPFxgWFBgSFBUU/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkKC//EALUQAAIBAwMCBAMFBQQEAAABfQECAwAEEQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYnKCkqNDU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6g4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/aAA4EQwBNAFkASwAAPwDlP+Cbf/ML/wCA1yn/AA7b/wCoX/5Dor9U6//Z',
  rgb: '/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUKBwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAWEBETFBUVFQwPFxgWFBgSFBUU/8AAEQgACAAIA1IRAEcRAEIRAP/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkKC//EALUQAAIBAwMCBAMFBQQEAAABfQECAwAEEQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYnKCkqNDU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6g4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/aAAwDUgBHAEIAAD8A5T/gm3/zC/8AgNcp/wAO2/8AqF/+Q6K//9k=',
};

test('JPEG: progressive, CMYK and plain RGB files', () => {
  for (const [name, base64] of Object.entries(JPEGS)) {
    const bytes = Buffer.from(base64, 'base64');
    const image = decodeImage(bytes, name);
    assert.deepEqual([image.width, image.height, image.channels], [8, 8, 3]);
    assert.equal(readHeader(bytes).rgb, name === 'rgb');
    for (let p = 0; p < 64; p++) {
      const wanted = [(p % 8) * 32, (p >> 3) * 32, 128];
      // CMYK keeps its colour differences at half resolution.
      for (let c = 0; c < 3; c++) assert.ok(Math.abs(image.data[3 * p + c] - wanted[c]) <= 24, `${name} ${p} ${c}`);
    }
  }
});

/** A JPEG of 24×16 pixels: redder to the right, greener to the bottom. */
function photo(): Buffer {
  const [width, height] = [24, 16];
  const data = new Uint8Array(width * height * 4);
  for (let p = 0; p < width * height; p++) {
    const x = p % width;
    const y = Math.floor(p / width);
    data.set([x * 10, y * 15, 60, 255], 4 * p);
  }
  return jpeg.encode({ width, height, data }, 95).data as Buffer;
}

/** Puts an EXIF block with this orientation behind the start of a JPEG, in either byte order. */
function withOrientation(file: Buffer, orientation: number, little: boolean): Buffer {
  const tiff = Buffer.alloc(26);
  tiff.write(little ? 'II' : 'MM', 0, 'latin1');
  const put16 = (value: number, at: number): number =>
    little ? tiff.writeUInt16LE(value, at) : tiff.writeUInt16BE(value, at);
  const put32 = (value: number, at: number): number =>
    little ? tiff.writeUInt32LE(value, at) : tiff.writeUInt32BE(value, at);
  put16(42, 2);
  put32(8, 4);
  put16(1, 8);
  put16(274, 10);
  put16(3, 12);
  put32(1, 14);
  put16(orientation, 18);
  const body = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), tiff]);
  const length = Buffer.from([0xff, 0xe1, 0, body.length + 2]);
  return Buffer.concat([file.subarray(0, 2), length, body, file.subarray(2)]);
}

test('JPEG: the EXIF orientation is undone', () => {
  const upright = decodeImage(photo(), 'upright');
  const at = (x: number, y: number): number[] => [...upright.data.subarray((y * 24 + x) * 3, (y * 24 + x) * 3 + 3)];
  // Where the top-left pixel of the picture as shown lies in the stored rows, and its neighbours to the right and below.
  const corners: Record<number, readonly (readonly [number, number])[]> = {
    1: [
      [0, 0],
      [1, 0],
      [0, 1],
    ],
    2: [
      [23, 0],
      [22, 0],
      [23, 1],
    ],
    3: [
      [23, 15],
      [22, 15],
      [23, 14],
    ],
    4: [
      [0, 15],
      [1, 15],
      [0, 14],
    ],
    5: [
      [0, 0],
      [0, 1],
      [1, 0],
    ],
    6: [
      [0, 15],
      [0, 14],
      [1, 15],
    ],
    7: [
      [23, 15],
      [23, 14],
      [22, 15],
    ],
    8: [
      [23, 0],
      [23, 1],
      [22, 0],
    ],
  };
  for (let orientation = 1; orientation <= 8; orientation++) {
    const file = withOrientation(photo(), orientation, orientation % 2 === 0);
    const image = decodeImage(file, 'turned');
    const header = readHeader(file);
    assert.deepEqual([image.width, image.height], orientation >= 5 ? [16, 24] : [24, 16]);
    assert.deepEqual([header.width, header.height, header.orientation], [image.width, image.height, orientation]);
    const pixel = (x: number, y: number): number[] => {
      const from = (y * image.width + x) * 3;
      return [...image.data.subarray(from, from + 3)];
    };
    assert.deepEqual(
      [pixel(0, 0), pixel(1, 0), pixel(0, 1)],
      corners[orientation].map(([x, y]) => at(x, y)),
      String(orientation),
    );
  }
  assert.equal(readHeader(withOrientation(photo(), 77, true)).orientation, 1);
});

test('every way to cut a file short is a FileError', () => {
  const random = new Random(3);
  const samples = Array.from({ length: 16 * 16 * 3 }, () => random.integer(256));
  const progressive = Buffer.from(JPEGS.progressive, 'base64');
  for (const [name, file] of [
    ['a.png', pngFile(16, 16, 8, 2, samples)],
    ['b.jpg', photo()],
    ['c.jpg', progressive],
  ] as const) {
    decodeImage(file, name);
    for (let length = 0; length < file.length; length++) {
      assert.throws(
        () => decodeImage(file.subarray(0, length), name),
        FileError,
        `${name} cut to ${length} of ${file.length}`,
      );
    }
  }
});

test('damaged bytes in a PNG are noticed', () => {
  const file = pngFile(
    4,
    4,
    8,
    0,
    Array.from({ length: 16 }, (_, i) => i),
  );
  for (let i = 0; i < file.length; i++) {
    const damaged = Buffer.from(file);
    damaged[i] ^= 0x10;
    assert.throws(() => decodeImage(damaged, 'damaged'), FileError, `byte ${i}`);
  }
});

test('pictures that were not copied whole are said to be cut short', () => {
  const whole: [string, Uint8Array][] = [
    ['JPEG', photo()],
    [
      'PNG',
      pngFile(
        64,
        64,
        8,
        0,
        Array.from({ length: 4096 }, (_, i) => (i * 7919) % 256),
      ),
    ],
  ];
  for (const [kind, bytes] of whole) {
    decodeImage(bytes, 'whole');
    const half = bytes.subarray(0, Math.floor(bytes.length * 0.75));
    assert.throws(
      () => decodeImage(half, 'half'),
      new RegExp(`^FileError: half: the ${kind} file is damaged or cut short \\(`),
    );
  }
});

test('headers that lie about the size are refused before memory is taken', () => {
  const big = pngFile(2, 2, 8, 0, [1, 2, 3, 4]);
  big.writeUInt32BE(8000, 16);
  big.writeUInt32BE(8000, 20);
  big.writeUInt32BE(crc32(big.subarray(12, 29)), 29);
  assert.throws(
    () => decodeImage(big, 'big.png'),
    /big\.png: the header says 8000×8000 pixels, more than \d+ bytes can hold/,
  );
  big.writeUInt32BE(MAX_PIXELS, 16);
  assert.throws(() => decodeImage(big, 'big.png'), /more than 134217728/);
  big.writeUInt32BE(0, 16);
  assert.throws(() => decodeImage(big, 'big.png'), /the header says 0×8000/);
  const wide = photo();
  const sof = wide.indexOf(Buffer.from([0xff, 0xc0]));
  wide.writeUInt16BE(9000, sof + 5);
  wide.writeUInt16BE(9000, sof + 7);
  assert.throws(() => decodeImage(wide, 'wide.jpg'), /wide\.jpg: the header says 9000×9000 pixels, more than/);
});

test('other files are named for what they are', () => {
  const cases: [string | Uint8Array, RegExp][] = [
    ['', /x: the file is empty/],
    ['GIF89a…', /x: a GIF image; only PNG and JPEG/],
    ['RIFF\0\0\0\0WEBP', /WebP/],
    ['hello, I am text', /x: neither PNG nor JPEG/],
    [Uint8Array.of(0xff, 0xd8, 0xff, 0xd9), /cut short|no frame header/],
    [Uint8Array.of(0xff, 0xd8, 0xff, 0xc3, 0, 11, 8, 0, 1, 0, 1, 1, 1, 0x11, 0), /SOF3/],
  ];
  for (const [content, message] of cases) {
    assert.throws(() => decodeImage(typeof content === 'string' ? Buffer.from(content) : content, 'x'), message);
  }
});

test('a 1×1 picture', () => {
  assert.deepEqual([...decodeImage(pngFile(1, 1, 16, 0, [65535]), 'one').data], [255]);
});
