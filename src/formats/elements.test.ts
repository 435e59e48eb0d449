import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import { crc32 } from './crc32.js';
import { decodeElements, encodeElements, numberToBfloat, numberToHalf, swapped } from './elements.js';

const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
const bytes = new Uint8Array(all.buffer);

for (const [stored, narrow] of [
  ['F16', numberToHalf],
  ['BF16', numberToBfloat],
] as const) {
  test(`${stored}: every code stands for a number that is rounded back to it`, () => {
    const values = decodeElements('x', stored, bytes);
    values.forEach((value, code) => {
      if (Number.isNaN(value)) assert.ok(Number.isNaN(decodeElements('x', stored, codeBytes(narrow(value)))[0]));
      else assert.equal(narrow(value), code);
    });
  });

  test(`${stored}: between neighbours the nearer one, halfway the even one`, () => {
    const values = decodeElements('x', stored, bytes);
    // The largest finite code: from there on it goes to infinity.
    const last = stored === 'F16' ? 0x7bff : 0x7f7f;
    for (let code = 0; code < last; code++) {
      const [low, high] = [values[code], values[code + 1]];
      const middle = low / 2 + high / 2;
      assert.equal(narrow(middle), code % 2 === 0 ? code : code + 1);
      assert.equal(narrow(low * 0.75 + high * 0.25), code);
      assert.equal(narrow(-(low * 0.25 + high * 0.75)), (code + 1) | 0x8000);
    }
  });
}

function codeBytes(code: number): Uint8Array {
  return Uint8Array.of(code & 255, code >> 8);
}

test('finite numbers that f16 cannot hold are an error, infinity is not', () => {
  const inf = encodeElements('x', 'f32', Float32Array.of(Number.POSITIVE_INFINITY), 'f16').bytes;
  assert.deepEqual([...inf], [0, 0x7c]);
  assert.throws(
    () => encodeElements('tensor "w"', 'f32', Float32Array.of(1, 65520), 'f16'),
    (e) => e instanceof FileError && /tensor "w", element 1: 65520 is outside of the range of f16/.test(e.message),
  );
  assert.deepEqual(encodeElements('x', 'i32', Int32Array.of(3), 'f16').stored, 'I32');
});

test('swapped turns the bytes of every element around', () => {
  assert.deepEqual([...swapped(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), 4)], [4, 3, 2, 1, 8, 7, 6, 5]);
});

/** Bit by bit, as the definition has it. */
function slowCrc(data: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of data) {
    c ^= byte;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  }
  return ~c >>> 0;
}

test('checksums of all lengths', () => {
  assert.equal(crc32(Buffer.from('123456789')), 0xcbf43926);
  const random = new Random(1);
  for (let length = 0; length < 40; length++) {
    const data = Uint8Array.from({ length }, () => random.integer(256));
    assert.equal(crc32(data), slowCrc(data), `${length}`);
  }
});
