import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FileError } from '../../tensor/errors.js';
import { ELEMENT_TYPES, type ElementType, miniFloatValues, rowOf } from './element-types.js';
import { TENSOR, type TensorProto } from './messages.js';
import { decode, encode } from './proto.js';
import { parseTensor, readTensor, serializeTensor } from './tensor-proto.js';

const numbers: readonly [ElementType, number, number][] = [
  ['uint8', 0, 255],
  ['int8', -128, 127],
  ['uint16', 0, 65535],
  ['int16', -32768, 32767],
  ['int32', -2147483648, 2147483647],
  ['uint32', 0, 2147483647],
  ['uint4', 0, 15],
  ['int4', -8, 7],
  ['uint2', 0, 3],
  ['int2', -2, 1],
  ['bool', 0, 1],
];

test('whole numbers of every width come back', () => {
  for (const [type, low, high] of numbers) {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: low, max: high }), { maxLength: 9 }), (values) => {
        const array = parseTensor(serializeTensor('t', type, [values.length], values), 'a test');
        assert.deepEqual({ name: array.name, type: array.type, values: [...array.data] }, { name: 't', type, values });
      }),
      { numRuns: 30 },
    );
    if (type !== 'bool') assert.throws(() => serializeTensor('t', type, [1], [high + 2 ** 33]), FileError, type);
  }
});

test('half precision and bfloat16 round to nearest, halves to even', () => {
  for (const type of ['float16', 'bfloat16'] as const) {
    const { format } = rowOf(type);
    assert.ok(format);
    const values = [...miniFloatValues(format)].filter(Number.isFinite);
    assert.deepEqual([...parseTensor(serializeTensor('', type, [values.length], values), '').data], values);
    const sorted = [...new Set(values)].sort((a, b) => a - b);
    fc.assert(
      fc.property(fc.double({ min: -60000, max: 60000, noNaN: true }), (value) => {
        const x = Math.fround(value);
        const [near] = parseTensor(serializeTensor('', type, [1], [x]), '').data;
        const best = sorted.reduce((a, b) => (Math.abs(b - x) < Math.abs(a - x) ? b : a));
        assert.ok(Math.abs(near - x) <= Math.abs(best - x));
      }),
      { numRuns: 4 },
    );
  }
});

test('numbers in their own fields, packed or not', () => {
  const fields: readonly [ElementType, Partial<TensorProto>][] = [
    ['float', { floatData: [1.5, -2] }],
    ['double', { doubleData: [1.5, -2] }],
    ['int64', { int64Data: [1, -2] }],
    ['uint64', { uint64Data: [1, 2] }],
    ['int8', { int32Data: [1, -2] }],
    ['bool', { int32Data: [1, 0] }],
    ['float16', { int32Data: [0x3e00, 0xc000] }],
  ];
  for (const [type, field] of fields) {
    const bytes = encode(TENSOR, { dataType: ELEMENT_TYPES[type].code, dims: [2], ...field });
    const expected = type === 'float16' ? [1.5, -2] : [...(Object.values(field)[0] as number[])];
    assert.deepEqual([...parseTensor(bytes, type).data], expected, type);
  }
  // Field 7 (int64Data), two numbers one by one; field 1 (dims), 2; field 2 (dataType), 7.
  const unpacked = Uint8Array.of(0x38, 5, 0x38, 6, 0x08, 2, 0x10, 7);
  assert.deepEqual([...parseTensor(unpacked, '').data], [5, 6]);
});

test('floats are views of the bytes where they lie aligned', () => {
  const raw = new Uint8Array(new Float32Array([1, 2, 3]).buffer);
  const proto = { ...decode<TensorProto>(TENSOR, encode(TENSOR, { dataType: 1, dims: [3] }), ''), rawData: raw };
  assert.equal(readTensor(proto, '').data.buffer, raw.buffer);
});
