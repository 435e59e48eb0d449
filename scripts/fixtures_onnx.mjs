// Computes tests/fixtures/onnx.jsonl with ONNX Runtime: outputs of small models, one operator each or a few. `npm install` in bench/ brings
// onnxruntime-node; without it nothing is done.
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { fromBench, Numbers, size } from './fixtures_tools.mjs';

const root = resolve(process.env.GABOR_BUILD ?? fileURLToPath(new URL('../dist', import.meta.url)));
const { encode } = await import(`${pathToFileURL(root)}/formats/onnx/proto.js`);
const { MODEL } = await import(`${pathToFileURL(root)}/formats/onnx/messages.js`);
const { writeTensor, serializeTensor } = await import(`${pathToFileURL(root)}/formats/onnx/tensor-proto.js`);
const { ELEMENT_TYPES } = await import(`${pathToFileURL(root)}/formats/onnx/element-types.js`);

const ort = fromBench('fixtures_onnx', 'onnxruntime-node', (require) => require('onnxruntime-node'));
const numbers = new Numbers();
/** Beyond any position: to the end. */
const LAST = 2 ** 62;

/** Random inputs and given ones; `constant` ones are initialisers. */
const floats = (shape, map = (v) => v) => ({
  type: 'float',
  shape,
  data: Array.from({ length: size(shape) }, () => map(numbers.next())),
});
const whole = (shape, low, high, type = 'int64') => ({
  type,
  shape,
  data: Array.from({ length: size(shape) }, () => low + Math.floor(((numbers.next() + 1) / 2) * (high - low)) || 0),
});
const given = (type, shape, data) => ({ type, shape, data });
const ints = (...data) => constant(given('int64', [data.length], data));
const scalar = (value, type = 'float') => constant(given(type, [], [value]));
const constant = (input) => ({ ...input, constant: true });

function attribute(name, value) {
  if (typeof value === 'string') return { name, type: 3, s: Buffer.from(value) };
  if (typeof value === 'number')
    return Number.isInteger(value) ? { name, type: 2, i: value } : { name, type: 1, f: value };
  if (value.float !== undefined) return { name, type: 1, f: value.float };
  if (value.floats !== undefined) return { name, type: 6, floats: value.floats };
  if (value.strings !== undefined) return { name, type: 8, strings: value.strings.map((s) => Buffer.from(s)) };
  if (value.tensor !== undefined)
    return { name, type: 4, t: writeTensor('', value.tensor.type, value.tensor.shape, value.tensor.data) };
  if (value.graph !== undefined) return { name, type: 5, g: value.graph };
  return { name, type: 7, ints: value };
}
const float = (value) => ({ float: value });

function node(opType, attributes, input, output) {
  return {
    opType,
    name: `${opType.toLowerCase()}_${output[0]}`,
    input,
    output,
    attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
  };
}

const port = (name, { type, shape }) => ({
  name,
  type: { tensorType: { elemType: ELEMENT_TYPES[type].code, shape: { dim: shape.map((dimValue) => ({ dimValue })) } } },
});

const lines = [];
let failed = 0;

/** One model: a node, its inputs (undefined ones are left out) and the number of its outputs. */
async function single(name, opset, opType, attributes, inputs, outputs = 1) {
  const names = inputs.map((input, i) => (input === undefined ? '' : `x${i}`));
  const results = Array.from({ length: outputs }, (_, i) => `y${i}`);
  await model(
    `${opType} ${name}`.trim(),
    opset,
    [node(opType, attributes, names, results)],
    Object.fromEntries(inputs.flatMap((input, i) => (input ? [[names[i], input]] : []))),
    results,
  );
}

async function model(name, opset, nodes, inputs, outputs) {
  const entries = Object.entries(inputs);
  const bytes = encode(MODEL, {
    irVersion: opset >= 19 ? 10 : 7,
    opsetImport: [{ version: opset }],
    graph: {
      name: 'test',
      node: nodes,
      initializer: entries.filter(([, x]) => x.constant).map(([n, x]) => writeTensor(n, x.type, x.shape, x.data)),
      input: entries.filter(([, x]) => !x.constant).map(([n, x]) => port(n, x)),
      output: outputs.map((output) => ({ name: output })),
    },
  });
  const fed = entries.filter(([, x]) => !x.constant);
  try {
    const session = await ort.InferenceSession.create(Buffer.from(bytes), {
      graphOptimizationLevel: 'disabled',
      logSeverityLevel: 4,
    });
    const result = await session.run(
      Object.fromEntries(
        fed.map(([n, x]) => [n, new ort.Tensor(ORT_TYPES[x.type]?.name ?? x.type, typed(x), x.shape)]),
      ),
    );
    const pb = (n, type, shape, data) => Buffer.from(serializeTensor(n, type, shape, data)).toString('base64');
    lines.push(
      JSON.stringify({
        name: `${name}, opset ${opset}`,
        model: Buffer.from(bytes).toString('base64'),
        inputs: fed.map(([n, x]) => pb(n, x.type, x.shape, x.data)),
        outputs: outputs.map((n) =>
          pb(n, TYPES[result[n].type] ?? result[n].type, result[n].dims, Array.from(result[n].data, Number)),
        ),
      }),
    );
  } catch (error) {
    failed++;
    console.error(`${name}, opset ${opset}: ${error.message.split('\n')[0].slice(0, 240)}`);
  }
}

const TYPES = { float32: 'float' };
const ORT_TYPES = { float: { name: 'float32' } };
const ARRAYS = {
  float: Float32Array,
  int32: Int32Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  bool: Uint8Array,
};
function typed({ type, data }) {
  if (type === 'int64') return BigInt64Array.from(data, BigInt);
  return ARRAYS[type].from(data);
}

// Elementwise
const image = () => floats([2, 3, 4]);
for (const [op, opset] of [
  ['Abs', 13],
  ['Ceil', 13],
  ['Cos', 7],
  ['Cosh', 9],
  ['Erf', 13],
  ['Exp', 13],
  ['Floor', 13],
  ['HardSwish', 14],
  ['Identity', 13],
  ['Neg', 13],
  ['Reciprocal', 13],
  ['Round', 11],
  ['Sign', 13],
  ['Sin', 7],
  ['Sinh', 9],
  ['Softplus', 1],
  ['Softsign', 1],
  ['Tan', 7],
  ['Tanh', 13],
  ['Mish', 18],
  ['Asin', 7],
  ['Acos', 7],
  ['Atanh', 9],
])
  await single('', opset, op, {}, [image()]);
const large = () => floats([24], (v) => v * 20);
for (const [op, opset] of [
  ['Atan', 7],
  ['Asinh', 9],
])
  await single('', opset, op, {}, [large()]);
await single('', 9, 'Acosh', {}, [floats([24], (v) => 1.2 + Math.abs(v) * 5)]);
await single('', 13, 'Log', {}, [floats([24], (v) => Math.abs(v) + 0.1)]);
await single('', 13, 'Sqrt', {}, [floats([24], (v) => Math.abs(v))]);
for (const approximate of ['none', 'tanh'])
  await single(approximate, 20, 'Gelu', { approximate }, [floats([24], (v) => v * 3)]);
await single('', 12, 'Celu', { alpha: 0.7 }, [image()]);
await single('', 10, 'ThresholdedRelu', { alpha: 0.3 }, [image()]);
await single('', 9, 'Shrink', { bias: 0.2, lambd: 0.4 }, [image()]);
await single('', 6, 'Selu', { alpha: 1.5, gamma: 1.2 }, [image()]);
await single('with attributes', 6, 'Clip', { min: -0.3, max: 0.4 }, [image()]);
await single('with an upper bound', 13, 'Clip', {}, [image(), undefined, scalar(0.2)]);
await single('per channel', 9, 'PRelu', {}, [floats([2, 3, 2, 2]), constant(floats([3, 1, 1]))]);
for (const op of ['And', 'Or', 'Xor'])
  await single('', 7, op, {}, [given('bool', [4], [0, 0, 1, 1]), given('bool', [2, 1, 4], [0, 1, 0, 1, 1, 1, 0, 0])]);
await single('', 1, 'Not', {}, [given('bool', [2], [0, 1])]);
for (const op of ['Equal', 'Greater', 'Less'])
  await single('', 13, op, {}, [whole([3, 4], -2, 2, 'int32'), whole([4], -2, 2, 'int32')]);
for (const op of ['GreaterOrEqual', 'LessOrEqual']) await single('', 16, op, {}, [floats([3, 4]), floats([3, 1])]);
for (const op of ['Max', 'Min', 'Sum', 'Mean'])
  await single('of three', 13, op, {}, [floats([3, 4]), floats([4]), floats([3, 1])]);
for (const fmod of [0, 1])
  await single(`fmod ${fmod}`, 13, 'Mod', { fmod }, [
    given('int32', [8], [7, -7, 7, -7, 6, -6, 0, 1000000007]),
    given('int32', [8], [3, 3, -3, -3, 3, -3, 5, 65537]),
  ]);
await single('of floats', 13, 'Mod', { fmod: 1 }, [floats([12], (v) => v * 7), floats([12], (v) => v + 1.3)]);
await single('of whole numbers', 14, 'Div', {}, [
  given('int32', [6], [7, -7, 7, -7, 2147483647, -2147483647]),
  given('int32', [6], [3, 3, -3, -3, 46341, 7]),
]);
await single('', 13, 'Pow', {}, [floats([12], (v) => Math.abs(v) + 0.2), floats([12])]);
await single('3', 13, 'Pow', {}, [floats([12]), scalar(3)]);
await single('', 16, 'Where', {}, [given('bool', [2, 1], [1, 0]), floats([2, 3]), floats([3])]);
await single('left', 11, 'BitShift', { direction: 'LEFT' }, [
  given('uint8', [6], [1, 2, 200, 7, 255, 16]),
  given('uint8', [6], [1, 3, 1, 0, 7, 4]),
]);
await single('right', 11, 'BitShift', { direction: 'RIGHT' }, [
  given('uint8', [6], [1, 2, 200, 7, 255, 16]),
  given('uint8', [6], [1, 3, 1, 0, 7, 4]),
]);
for (const op of ['BitwiseAnd', 'BitwiseOr', 'BitwiseXor'])
  await single('', 18, op, {}, [given('int32', [5], [12, -5, 7, 0, 99]), given('int32', [5], [10, 3, -1, 6, 64])]);
await single('', 18, 'BitwiseNot', {}, [given('int32', [4], [0, -1, 5, 1000])]);
await single('', 13, 'IsNaN', {}, [given('float', [3], [1, Number.NaN, 2])]);
await single('', 10, 'IsInf', {}, [given('float', [4], [1, Infinity, -Infinity, Number.NaN])]);
await single('to whole numbers', 13, 'Cast', { to: 6 }, [given('float', [6], [1.7, -1.7, 0.2, 100.5, -3, 2.5])]);
await single('to bytes', 13, 'Cast', { to: 2 }, [given('int32', [4], [0, 255, 256, 300])]);
await single('to bool', 13, 'Cast', { to: 9 }, [given('float', [3], [0, -2, 0.1])]);

// Matrices
await single('rank 4', 13, 'MatMul', {}, [floats([2, 1, 3, 4]), floats([5, 4, 2])]);
await single('row', 13, 'MatMul', {}, [floats([4]), floats([3, 4, 2])]);
await single('column', 13, 'MatMul', {}, [floats([3, 2, 4]), floats([4])]);
await single('all', 11, 'Gemm', { transA: 1, transB: 1, alpha: 0.5, beta: float(2) }, [
  floats([4, 3]),
  constant(floats([5, 4])),
  constant(floats([5])),
]);
for (const equation of [
  'ij,jk->ik',
  'bij,bjk->bik',
  'bhqd,bhkd->bhqk',
  'i,j->ij',
  'ij->ji',
  'ij->i',
  'bii->bi',
  'ij,ij->',
  '...ij,...jk->...ik',
  'ab,bc,cd->ad',
  'ij,jk',
]) {
  const sizes = { i: 3, j: 4, k: 2, b: 2, h: 2, q: 3, d: 4, a: 2, c: 3 };
  const terms = equation.split('->')[0].split(',');
  await single(
    equation,
    12,
    'Einsum',
    { equation },
    terms.map((term) => floats([...term.replace('...', 'bh')].map((label) => sizes[label]))),
  );
}
const zero = (value, type = 'uint8') => constant(given(type, [], [value]));
await single('', 10, 'MatMulInteger', {}, [
  whole([3, 4], 0, 255, 'uint8'),
  constant(whole([4, 2], -127, 127, 'int8')),
  zero(17),
  zero(3, 'int8'),
]);
await single('', 10, 'QLinearMatMul', {}, [
  whole([3, 4], 0, 255, 'uint8'),
  scalar(0.013),
  zero(110),
  constant(whole([4, 2], -127, 127, 'int8')),
  scalar(0.021),
  zero(0, 'int8'),
  scalar(0.05),
  zero(120),
]);

// Convolutions and pools
for (const auto_pad of ['SAME_UPPER', 'SAME_LOWER', 'VALID']) {
  await single(auto_pad, 11, 'Conv', { auto_pad, strides: [2, 2] }, [
    floats([1, 2, 6, 5]),
    constant(floats([3, 2, 4, 3])),
    constant(floats([3])),
  ]);
  if (auto_pad !== 'VALID')
    await single(auto_pad, 11, 'ConvTranspose', { auto_pad, strides: [2, 2] }, [
      floats([1, 2, 3, 4]),
      constant(floats([2, 3, 3, 4])),
    ]);
  await single(auto_pad, 12, 'MaxPool', { auto_pad, kernel_shape: [3, 2], strides: [2, 2] }, [floats([1, 2, 6, 5])], 2);
  await single(auto_pad, 11, 'AveragePool', { auto_pad, kernel_shape: [3, 2], strides: [2, 2] }, [
    floats([1, 2, 6, 5]),
  ]);
}
await single('groups, dilation', 11, 'Conv', { group: 2, dilations: [2, 1], pads: [1, 2, 0, 1] }, [
  floats([2, 4, 7, 6]),
  constant(floats([6, 2, 2, 3])),
]);
await single('output_shape', 11, 'ConvTranspose', { output_shape: [8, 9], strides: [2, 2] }, [
  floats([1, 2, 3, 4]),
  constant(floats([2, 3, 3, 3])),
  constant(floats([3])),
]);
await single(
  'output_padding',
  11,
  'ConvTranspose',
  { output_padding: [1, 1], strides: [2, 2], pads: [1, 1, 1, 1], group: 2 },
  [floats([1, 4, 3, 4]), constant(floats([4, 2, 3, 3]))],
);
await single('per channel', 10, 'ConvInteger', { pads: [1, 1, 1, 1] }, [
  whole([1, 2, 4, 4], 0, 255, 'uint8'),
  constant(whole([2, 2, 3, 3], 0, 255, 'uint8')),
  zero(128),
  zero(120),
]);
await single('per channel', 10, 'QLinearConv', { pads: [1, 1, 1, 1], strides: [2, 2] }, [
  ...[whole([1, 3, 5, 5], 0, 255, 'uint8'), scalar(0.02), zero(128), constant(whole([4, 3, 3, 3], -127, 127, 'int8'))],
  ...[
    constant(given('float', [4], [0.01, 0.02, 0.005, 0.015])),
    constant(given('int8', [4], [0, 0, 0, 0])),
    scalar(0.1),
    zero(100),
    constant(whole([4], -900, 900, 'int32')),
  ],
]);
await single(
  'column major',
  12,
  'MaxPool',
  { kernel_shape: [2, 2], strides: [1, 2], storage_order: 1 },
  [floats([2, 2, 4, 5])],
  2,
);
await single('3-D', 12, 'MaxPool', { kernel_shape: [2, 2, 2], strides: [2, 2, 2] }, [floats([1, 2, 4, 4, 4])], 2);
await single(
  'ceil, padding counts',
  19,
  'AveragePool',
  { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], ceil_mode: 1, count_include_pad: 1 },
  [floats([1, 2, 6, 6])],
);
await single('', 11, 'LpPool', { kernel_shape: [2, 2], strides: [2, 2], p: 3 }, [floats([1, 2, 6, 6])]);
for (const op of ['GlobalAveragePool', 'GlobalMaxPool', 'GlobalLpPool'])
  await single('', 2, op, op === 'GlobalLpPool' ? { p: 3 } : {}, [floats([2, 3, 4, 5])]);
{
  const x = given('float', [1, 1, 2, 2], [1, 2, 3, 4]);
  await single('', 11, 'MaxUnpool', { kernel_shape: [2, 2], strides: [2, 2] }, [
    x,
    given('int64', [1, 1, 2, 2], [5, 7, 13, 15]),
  ]);
}

// Normalisation
await single('', 9, 'BatchNormalization', { epsilon: 0.01 }, [
  floats([2, 3, 4]),
  ...[0, 1, 2].map(() => constant(floats([3]))),
  constant(floats([3], (v) => 1 + Math.abs(v))),
]);
await single('', 6, 'InstanceNormalization', { epsilon: 0.01 }, [
  floats([2, 3, 4, 4]),
  constant(floats([3])),
  constant(floats([3])),
]);
for (const axis of [-1, 1])
  await single(
    `axis ${axis}`,
    17,
    'LayerNormalization',
    { axis },
    [floats([2, 3, 4]), constant(floats(axis === 1 ? [3, 4] : [4])), constant(floats(axis === 1 ? [3, 4] : [4]))],
    3,
  );
await single('per group', 18, 'GroupNormalization', { num_groups: 2 }, [
  floats([2, 4, 3, 3]),
  constant(floats([2])),
  constant(floats([2])),
]);
await single('per channel', 21, 'GroupNormalization', { num_groups: 2 }, [
  floats([2, 4, 3, 3]),
  constant(floats([4])),
  constant(floats([4])),
]);
await single('', 23, 'RMSNormalization', { axis: -1 }, [floats([2, 3, 4]), constant(floats([4]))]);
await single('', 13, 'MeanVarianceNormalization', {}, [floats([2, 3, 4, 4])]);
for (const p of [1, 2]) await single(`p ${p}`, 1, 'LpNormalization', { p, axis: 1 }, [floats([2, 3, 4])]);
for (const n of [3, 5])
  await single(`size ${n}`, 13, 'LRN', { size: n, alpha: 0.1, beta: 0.6, bias: 1.5 }, [floats([1, 6, 2, 2])]);

// Reductions and choices
for (const op of [
  'ReduceL1',
  'ReduceL2',
  'ReduceLogSum',
  'ReduceLogSumExp',
  'ReduceMax',
  'ReduceMean',
  'ReduceMin',
  'ReduceProd',
  'ReduceSum',
  'ReduceSumSquare',
]) {
  const x = () => floats([2, 3, 4], (v) => (op === 'ReduceLogSum' ? Math.abs(v) + 0.1 : v));
  await single('axes as an attribute', 11, op, { axes: [0, -1], keepdims: 0 }, [x()]);
  await single('axes as an input', 18, op, {}, [x(), ints(1)]);
  await single('nothing to do', 18, op, { noop_with_empty_axes: 1 }, [floats([2, 2], (v) => Math.abs(v) + 0.1)]);
}
for (const op of ['ArgMax', 'ArgMin']) {
  for (const select_last_index of [0, 1])
    await single(`last ${select_last_index}`, 13, op, { axis: 1, keepdims: 0, select_last_index }, [
      given('float', [2, 4], [1, 3, 3, 1, -1, -1, -2, -2]),
    ]);
}
for (const [opset, axis] of [
  [11, 1],
  [13, 1],
  [13, -1],
]) {
  for (const op of ['Softmax', 'LogSoftmax', 'Hardmax'])
    await single(`axis ${axis}`, opset, op, { axis }, [floats([2, 3, 4])]);
}
await single('k 3 of 6', 11, 'TopK', { axis: 1 }, [floats([2, 6]), ints(3)], 2);
await single('k 5 smallest', 11, 'TopK', { axis: 0, largest: 0 }, [floats([7, 3]), ints(5)], 2);
await single('with an attribute', 9, 'TopK', { k: 2 }, [given('float', [1, 5], [1, 2, 2, 1, 2])], 2);
for (const [exclusive, reverse] of [
  [0, 0],
  [1, 0],
  [0, 1],
  [1, 1],
])
  await single(`${exclusive}${reverse}`, 11, 'CumSum', { exclusive, reverse }, [floats([2, 5]), scalar(1, 'int64')]);

// Shapes
for (const mode of ['constant', 'reflect', 'edge']) {
  await single(mode, 2, 'Pad', { mode, pads: [0, 1, 2, 0, 2, 1] }, [floats([1, 3, 4])]);
  await single(
    mode,
    13,
    'Pad',
    { mode },
    [floats([1, 3, 4]), ints(0, 1, 2, 0, 2, 1), mode === 'constant' ? scalar(0.5) : undefined].filter(Boolean),
  );
}
await single('wrap', 19, 'Pad', { mode: 'wrap' }, [floats([1, 3, 4]), ints(0, 1, 2, 0, 2, 1)]);
await single('cuts off', 13, 'Pad', {}, [floats([3, 4]), ints(-1, 1, 0, -2)]);
await single('some axes', 18, 'Pad', {}, [floats([3, 4]), ints(2, 1), undefined, ints(1)]);
await single('attributes', 9, 'Slice', { starts: [1, 0], ends: [LAST, -1], axes: [0, 2] }, [floats([3, 2, 4])]);
await single('steps', 13, 'Slice', {}, [floats([5, 6]), ints(4, 1), ints(-LAST, LAST), ints(0, 1), ints(-2, 2)]);
await single('', 12, 'Split', { axis: 1, split: [1, 3] }, [floats([2, 4])], 2);
await single('uneven', 18, 'Split', { axis: 0, num_outputs: 3 }, [floats([7, 2])], 3);
await single('', 13, 'Tile', {}, [floats([2, 3]), ints(2, 3)]);
await single('', 13, 'Expand', {}, [floats([3, 1]), ints(2, 1, 4)]);
await single('', 11, 'Squeeze', { axes: [0, -1] }, [floats([1, 3, 1])]);
await single('all', 13, 'Squeeze', {}, [floats([1, 3, 1])]);
await single('', 11, 'Unsqueeze', { axes: [0, -1] }, [floats([3])]);
await single('upper 1', 14, 'Trilu', { upper: 1 }, [floats([2, 3, 4]), scalar(1, 'int64')]);
await single('lower', 14, 'Trilu', { upper: 0 }, [floats([4, 3])]);
await single('', 9, 'EyeLike', { k: 1 }, [floats([3, 4])]);
await single('', 13, 'Size', {}, [floats([3, 4])]);
await single('', 11, 'Range', {}, [scalar(1), scalar(2.1), scalar(0.25)]);
await single('', 9, 'ConstantOfShape', { value: { tensor: given('int64', [1], [7]) } }, [ints(2, 3)]);
await single('', 11, 'Compress', { axis: 1 }, [floats([2, 3]), constant(given('bool', [3], [1, 0, 1]))]);
await single('', 13, 'SpaceToDepth', { blocksize: 2 }, [floats([1, 2, 4, 6])]);
for (const mode of ['DCR', 'CRD'])
  await single(mode, 13, 'DepthToSpace', { blocksize: 2, mode }, [floats([1, 8, 2, 3])]);

// Indices
await single('axis 1', 13, 'Gather', { axis: 1 }, [floats([2, 5]), given('int64', [2, 2], [0, -1, 3, 2])]);
await single('', 13, 'GatherElements', { axis: 1 }, [floats([2, 5]), given('int64', [2, 3], [0, -1, 3, 2, 2, 4])]);
await single('', 13, 'GatherND', {}, [floats([2, 3, 4]), given('int64', [3, 2], [0, 1, 1, -1, 0, 0])]);
await single('batch', 13, 'GatherND', { batch_dims: 1 }, [floats([2, 3, 4]), given('int64', [2, 1], [1, -1])]);
for (const reduction of ['none', 'add']) {
  await single(reduction, 16, 'ScatterElements', { axis: 1, reduction }, [
    floats([2, 5]),
    given('int64', [2, 2], [1, 3, 0, -1]),
    floats([2, 2]),
  ]);
  await single(reduction, 16, 'ScatterND', { reduction }, [
    floats([4, 3]),
    given('int64', [2, 1], [3, 1]),
    floats([2, 3]),
  ]);
}
await single('', 11, 'OneHot', { axis: 1 }, [
  given('int64', [2, 3], [0, 2, -1, 1, 1, 3]),
  scalar(4, 'int64'),
  constant(given('float', [2], [-0.5, 2])),
]);

await single('with given constants', 13, 'NonZero', {}, [constant(given('float', [2, 3], [1, 0, 2, 0, 0, 3]))]);
await single('', 10, 'Scatter', { axis: 1 }, [floats([2, 5]), given('int64', [2, 2], [1, 3, 0, 4]), floats([2, 2])]);
await single('', 19, 'CastLike', {}, [given('float', [3], [1.7, -2.2, 0]), given('int32', [1], [0])]);
await single('', 24, 'Swish', { alpha: float(1.5) }, [image()]);

// Resizing
for (const coordinate_transformation_mode of ['half_pixel', 'pytorch_half_pixel', 'align_corners', 'asymmetric']) {
  for (const mode of ['nearest', 'linear', 'cubic']) {
    await single(`${mode} ${coordinate_transformation_mode}`, 13, 'Resize', { mode, coordinate_transformation_mode }, [
      floats([1, 2, 4, 5]),
      undefined,
      undefined,
      ints(1, 2, 7, 3),
    ]);
  }
}
await single('legacy', 10, 'Resize', { mode: 'linear' }, [
  floats([1, 2, 4, 5]),
  constant(given('float', [4], [1, 1, 2, 1.6])),
]);
await single('attributes', 7, 'Upsample', { mode: 'nearest', scales: { floats: [1, 1, 2, 3] } }, [
  floats([1, 2, 2, 2]),
]);
await single('linear', 9, 'Upsample', { mode: 'linear' }, [
  floats([1, 2, 3, 3]),
  constant(given('float', [4], [1, 1, 2, 2])),
]);

// Quantised numbers
await single('', 13, 'QuantizeLinear', {}, [floats([2, 3, 4], (v) => v * 4), scalar(0.02), zero(128)]);
await single('per axis', 13, 'QuantizeLinear', { axis: 1 }, [
  floats([2, 3, 4], (v) => v * 4),
  constant(given('float', [3], [0.02, 0.05, 0.1])),
  constant(given('int8', [3], [0, 5, -5])),
]);
await single('per axis', 13, 'DequantizeLinear', { axis: 1 }, [
  whole([2, 3, 4], 0, 255, 'uint8'),
  constant(given('float', [3], [0.02, 0.05, 0.1])),
  constant(given('uint8', [3], [0, 128, 7])),
]);
await single('blocks', 21, 'DequantizeLinear', { axis: 1, block_size: 2 }, [
  whole([2, 4], -127, 127, 'int8'),
  constant(floats([2, 2], (v) => Math.abs(v) + 0.1)),
]);
await single('', 11, 'DynamicQuantizeLinear', {}, [floats([12], (v) => v * 3 + 1)], 3);

// Recurrent
for (const direction of ['forward', 'reverse', 'bidirectional']) {
  const d = direction === 'bidirectional' ? 2 : 1;
  const weights = (gates) => [
    floats([5, 2, 3]),
    constant(floats([d, gates * 4, 3])),
    constant(floats([d, gates * 4, 4])),
    constant(floats([d, 2 * gates * 4])),
  ];
  await single(
    direction,
    14,
    'LSTM',
    { hidden_size: 4, direction },
    [
      ...weights(4),
      constant(given('int32', [2], [5, 3])),
      constant(floats([d, 2, 4])),
      constant(floats([d, 2, 4])),
      constant(floats([d, 12])),
    ],
    3,
  );
  await single(direction, 14, 'GRU', { hidden_size: 4, direction, linear_before_reset: d - 1 }, weights(3), 2);
  await single(direction, 14, 'RNN', { hidden_size: 4, direction }, weights(1), 2);
}
await single(
  'relu, clip',
  14,
  'RNN',
  { hidden_size: 4, activations: { strings: ['Relu'] }, clip: float(0.5) },
  [floats([5, 2, 3]), constant(floats([1, 4, 3])), constant(floats([1, 4, 4]))],
  2,
);

// Sampling
for (const mode of ['linear', 'nearest', 'cubic']) {
  for (const padding_mode of ['zeros', 'border', 'reflection']) {
    for (const align_corners of [0, 1]) {
      await single(
        `${mode} ${padding_mode} ${align_corners}`,
        20,
        'GridSample',
        { mode, padding_mode, align_corners },
        [floats([2, 2, 3, 4]), floats([2, 2, 3, 2], (v) => v * 1.4)],
      );
    }
  }
}

for (const align_corners of [0, 1]) {
  await single(`2-D ${align_corners}`, 20, 'AffineGrid', { align_corners }, [floats([2, 2, 3]), ints(2, 1, 3, 4)]);
  await single(`3-D ${align_corners}`, 20, 'AffineGrid', { align_corners }, [floats([1, 3, 4]), ints(1, 1, 2, 3, 2)]);
}
await single('', 18, 'CenterCropPad', {}, [floats([5, 4, 3]), ints(2, 7, 3)]);
await single('axes', 18, 'CenterCropPad', { axes: [-1, 0] }, [floats([3, 2, 6]), ints(3, 6)]);
for (const [exclusive, reverse] of [
  [0, 0],
  [1, 1],
]) {
  await single(`${exclusive}${reverse}`, 26, 'CumProd', { exclusive, reverse }, [floats([2, 5]), scalar(1, 'int64')]);
}

// Shapes that are computed: flatten by Shape, Gather, Concat; a branch; an input declared with its initialiser.
await model(
  'flatten by Shape',
  13,
  [
    node('Shape', {}, ['x'], ['shape']),
    node('Gather', { axis: 0 }, ['shape', 'first'], ['batch']),
    node('Unsqueeze', {}, ['batch', 'axes'], ['row']),
    node('Concat', { axis: 0 }, ['row', 'rest'], ['target']),
    node('Reshape', {}, ['x', 'target'], ['y']),
  ],
  { x: floats([2, 3, 4]), first: scalar(0, 'int64'), axes: ints(0), rest: ints(-1) },
  ['y'],
);
await model(
  'size from a scale',
  13,
  [
    node('Shape', {}, ['x'], ['shape']),
    node('Slice', {}, ['shape', 'two', 'four'], ['spatial']),
    node('Cast', { to: 1 }, ['spatial'], ['floats']),
    node('Mul', {}, ['floats', 'factor'], ['scaled']),
    node('Floor', {}, ['scaled'], ['floored']),
    node('Cast', { to: 7 }, ['floored'], ['size']),
    node('Slice', {}, ['shape', 'zero', 'two'], ['outer']),
    node('Concat', { axis: 0 }, ['outer', 'size'], ['sizes']),
    node('Resize', { mode: 'nearest' }, ['x', '', '', 'sizes'], ['y']),
  ],
  { x: floats([1, 2, 3, 4]), zero: ints(0), two: ints(2), four: ints(4), factor: constant(given('float', [1], [1.5])) },
  ['y'],
);
{
  const branch = (op) => ({
    graph: {
      name: op,
      node: [node(op, {}, ['x'], [`${op}_y`])],
      output: [{ name: `${op}_y`, type: { tensorType: { elemType: 1 } } }],
    },
  });
  await model(
    'If by data',
    13,
    [
      node('ReduceSum', { keepdims: 0 }, ['x'], ['total']),
      node('Greater', {}, ['total', 'zero'], ['positive']),
      node('If', { then_branch: branch('Exp'), else_branch: branch('Neg') }, ['positive'], ['y']),
    ],
    { x: floats([2, 3]), zero: scalar(0) },
    ['y'],
  );
}

writeFileSync(new URL('../tests/fixtures/onnx.jsonl', import.meta.url), `${lines.join('\n')}\n`);
console.log(`fixtures_onnx: ${lines.length} models${failed > 0 ? `, ${failed} that ONNX Runtime does not run` : ''}`);
