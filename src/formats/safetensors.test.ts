import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { DType } from '../tensor/dtype.js';
import { FileError } from '../tensor/errors.js';
import { hostTensors } from '../testing/arbitraries.js';
import { sharedPath } from '../testing/shared.js';
import {
  parseSafetensors,
  readSafetensors,
  readSafetensorsHeader,
  serializeSafetensors,
  writeSafetensors,
} from './safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'gabor-'));
after(() => rmSync(folder, { recursive: true }));

/** A file with any header, true or not. */
function forge(header: unknown, data: Uint8Array = new Uint8Array(), claimed?: bigint): Uint8Array {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, claimed ?? BigInt(text.length), true);
  return Buffer.concat([length, text, data]);
}

const entry = (dtype: string, shape: unknown, begin: unknown, end: unknown): object => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

test('what is written is read back, and the bytes do not depend on the order of keys', () => {
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.string({ unit: 'grapheme', minLength: 1 }).filter((name) => name !== '__metadata__'),
        hostTensors,
      ),
      fc.dictionary(fc.string(), fc.string({ unit: 'grapheme' })),
      (tensors, metadata) => {
        const bytes = serializeSafetensors(tensors, metadata);
        assert.equal(Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)) % 8, 0);
        const read = parseSafetensors(bytes);
        assert.deepEqual(
          Object.fromEntries(Object.entries(read.metadata)),
          Object.fromEntries(Object.entries(metadata)),
        );
        assert.equal(read.tensors.size, Object.keys(tensors).length);
        for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
          assert.deepEqual({ ...read.tensors.get(name) }, { dtype, shape: [...shape], data });
        }
        const backwards = Object.fromEntries(Object.entries(tensors).reverse());
        assert.deepEqual(serializeSafetensors(backwards, metadata), bytes);
      },
    ),
    { numRuns: 60 },
  );
});

test('every element type is read as what its bytes say', () => {
  const cases: [string, number[], DType, number[]][] = [
    ['F64', [...new Uint8Array(new Float64Array([1.5, -1e-50]).buffer)], 'f32', [1.5, -0]],
    ['F32', [...new Uint8Array(new Float32Array([0.1]).buffer)], 'f32', [Math.fround(0.1)]],
    // 1, −2, largest, smallest subnormal, ∞
    ['F16', [0, 0x3c, 0, 0xc0, 0xff, 0x7b, 1, 0, 0, 0x7c], 'f32', [1, -2, 65504, 2 ** -24, Infinity]],
    ['BF16', [0x80, 0x3f, 0x49, 0xc0], 'f32', [1, -3.140625]],
    ['I64', [0xfe, 255, 255, 255, 255, 255, 255, 255], 'i32', [-2]],
    ['I32', [1, 0, 0, 128], 'i32', [-(2 ** 31) + 1]],
    ['U32', [255, 255, 255, 127], 'i32', [2 ** 31 - 1]],
    ['I16', [255, 255], 'i32', [-1]],
    ['U16', [255, 255], 'i32', [65535]],
    ['I8', [128], 'i32', [-128]],
    ['U8', [200], 'u8', [200]],
    ['BOOL', [0, 1], 'bool', [0, 1]],
  ];
  for (const [stored, bytes, dtype, expected] of cases) {
    const file = forge({ x: entry(stored, [expected.length], 0, bytes.length) }, Uint8Array.from(bytes));
    const x = parseSafetensors(file).tensors.get('x');
    assert.equal(x?.dtype, dtype, stored);
    assert.deepEqual([...(x?.data ?? [])], expected, stored);
  }
});

test('values that the dtype cannot hold are errors', () => {
  const big = new Uint8Array(new BigInt64Array([1n, 2n ** 31n]).buffer);
  assert.throws(
    () => parseSafetensors(forge({ n: entry('I64', [2], 0, 16) }, big)),
    /tensor "n", element 1: .*2147483648/,
  );
  const huge = new Uint8Array(new Float64Array([1e300]).buffer);
  assert.throws(() => parseSafetensors(forge({ n: entry('F64', [], 0, 8) }, huge)), /outside of the range of f32/);
  assert.throws(() => parseSafetensors(forge({ n: entry('BOOL', [1], 0, 1) }, Uint8Array.of(2))), /neither false/);
});

const four = new Uint8Array(4);
const DAMAGED: [string, Uint8Array, RegExp][] = [
  ['empty file', new Uint8Array(), /is 0 bytes long|the file is empty/],
  ['seven bytes', new Uint8Array(7), /is 7 bytes long/],
  ['header longer than the file', forge({}, undefined, 100n), /claims a header of 100 bytes, but only 2/],
  ['header of 2⁶⁴ − 1 bytes', forge({}, undefined, 2n ** 64n - 1n), /claims a header of 18446744073709551615 bytes/],
  ['no JSON', forge('{"x": '), /not valid JSON/],
  ['no UTF-8', Buffer.concat([forge('', undefined, 1n), Uint8Array.of(0xff)]), /not valid JSON/],
  ['an array', forge([]), /not a JSON object/],
  ['space before the brace', forge(' {}'), /not a JSON object/],
  [
    'duplicate tensor',
    forge(
      '{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\\u0078":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
      four,
    ),
    /key "x" twice/,
  ],
  [
    'duplicate field',
    forge('{"x":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}', four),
    /key "dtype" twice/,
  ],
  ['metadata of numbers', forge({ __metadata__: { epoch: 3 } }), /metadata "epoch" must be a text/],
  ['metadata as list', forge({ __metadata__: [] }), /object of texts/],
  ['tensor as number', forge({ x: 3 }), /tensor "x" must be an object/],
  ['unknown dtype', forge({ x: entry('F8_E4M3', [4], 0, 4) }, four), /tensor "x" has the element type "F8_E4M3"/],
  ['inherited name as dtype', forge({ x: entry('constructor', [4], 0, 4) }, four), /element type "constructor"/],
  ['negative extent', forge({ x: entry('F32', [-1], 0, 4) }, four), /shape \[-1\]/],
  ['broken extent', forge({ x: entry('F32', [0.5, 2], 0, 4) }, four), /shape \[0.5,2\]/],
  ['no shape', forge({ x: { dtype: 'F32', data_offsets: [0, 4] } }, four), /the shape undefined/],
  ['one offset', forge({ x: { dtype: 'F32', shape: [1], data_offsets: [0] } }, four), /data_offsets \[0\]/],
  ['backward offsets', forge({ x: entry('F32', [1], 4, 0) }, four), /begin ≤ end/],
  [
    'wrong size',
    forge({ x: entry('F32', [2], 0, 4) }, four),
    /F32\[2\] takes 8 bytes, but data_offsets \[0, 4\] hold 4/,
  ],
  ['overflowing shape', forge({ x: entry('F32', Array(20).fill(2 ** 40), 0, 4) }, four), /takes .* bytes/],
  ['beyond the end', forge({ x: entry('F32', [2], 0, 8) }, four), /reach beyond the file's 4 bytes/],
  ['huge but consistent', forge({ x: entry('F32', [2 ** 40], 0, 2 ** 42) }, four), /reach beyond/],
  [
    'overlap',
    forge({ x: entry('U8', [3], 0, 3), y: entry('U8', [2], 2, 4) }, four),
    /"y" begins at byte 2, inside of tensor "x"/,
  ],
  [
    'hole',
    forge({ x: entry('U8', [1], 0, 1), y: entry('U8', [2], 2, 4) }, four),
    /bytes 1 to 2 of the data, before tensor "y"/,
  ],
  ['data after the last tensor', forge({ x: entry('U8', [1], 0, 1) }, four), /last 3 of 4 bytes/],
];

test('every broken rule is a FileError that names it, in memory and from disk', async () => {
  for (const [name, bytes, message] of DAMAGED) {
    const check = (error: Error): boolean => {
      assert.ok(error instanceof FileError, `${name}: ${error.stack}`);
      assert.match(error.message, message, name);
      return true;
    };
    assert.throws(() => parseSafetensors(bytes), check, name);
    const path = join(folder, 'damaged.safetensors');
    writeFileSync(path, bytes);
    await assert.rejects(readSafetensors(path), check, name);
  }
});

test('a file cut short anywhere is a FileError', () => {
  const whole = serializeSafetensors({
    a: { dtype: 'f32', shape: [2], data: Float32Array.of(1, 2) },
    b: { dtype: 'u8', shape: [3], data: Uint8Array.of(1, 2, 3) },
  });
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => parseSafetensors(whole.subarray(0, length)), FileError, `${length} bytes`);
  }
});

test('a lying file of many gigabytes is refused without reading it', async () => {
  const path = join(folder, 'sparse.safetensors');
  writeFileSync(path, forge({}, undefined, 2n ** 35n));
  truncateSync(path, 2 ** 36);
  await assert.rejects(readSafetensors(path), /the format allows 100000000/);
});

test('a missing file and a folder are FileErrors', async () => {
  await assert.rejects(readSafetensors(join(folder, 'none')), /there is no such file/);
  await assert.rejects(readSafetensors(folder), FileError);
});

test('a written file is read back from disk, also its header alone', async () => {
  const path = join(folder, 'new', 'file.safetensors');
  const tensors = { w: { dtype: 'f32', shape: [2, 1], data: Float32Array.of(1, 2) } } as const;
  await writeSafetensors(path, tensors, { format: 'gabor' });
  const read = await readSafetensors(path);
  assert.deepEqual(read.tensors.get('w'), { ...tensors.w });
  assert.deepEqual(read.metadata, { format: 'gabor' });
  assert.deepEqual((await readSafetensorsHeader(path)).entries, [
    { name: 'w', dtype: 'F32', shape: [2, 1], begin: 0, end: 8 },
  ]);
  assert.deepEqual(readFileSync(path), Buffer.from(serializeSafetensors(tensors, { format: 'gabor' })));
});

test("reads other libraries' files", async (t) => {
  const path = sharedPath('models/resnet20-cifar10/model.safetensors');
  if (path === undefined) return t.skip('no shared models here');
  const { tensors } = await readSafetensors(path);
  assert.deepEqual(tensors.get('conv1.weight')?.shape, [16, 3, 3, 3]);
  for (const [name, { data }] of tensors) assert.ok(data.every(Number.isFinite), name);
});
