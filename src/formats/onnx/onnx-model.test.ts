import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../../autodiff/gradients.js';
import { compile } from '../../graph/compile.js';
import { setDevice } from '../../graph/device.js';
import { withForwardHook } from '../../nn/module.js';
import { tensor } from '../../ops/create.js';
import { crossEntropy } from '../../ops/losses.js';
import { reshape } from '../../ops/reshape.js';
import { Adam } from '../../optim/adam.js';
import { ReferenceDevice } from '../../targets/reference/device.js';
import { GaborError, OptionError, ShapeError } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { testOnDevices } from '../../testing/devices.js';
import { floats, integers, onnxBytes, type TestModel } from '../../testing/onnx-models.js';
import { loadOnnx } from './load.js';

/** A classifier as PyTorch exports it: names with dots, the shape of the head computed from that of the input. */
const CLASSIFIER: TestModel = {
  inputs: { image: ['batch', 1, 6, 6] },
  outputs: ['logits'],
  initialisers: [
    floats('features.0.weight', [4, 1, 3, 3]),
    floats('features.0.bias', [4]),
    floats('features.1.weight', [4], () => 1),
    floats('features.1.bias', [4], () => 0),
    floats('features.1.running_mean', [4], () => 0.1),
    floats('features.1.running_var', [4], () => 2),
    floats('head', [64, 2], (i) => Math.cos(i) / 8),
    integers('first', [0]),
    integers('rest', [-1]),
  ],
  nodes: [
    {
      type: 'Conv',
      name: '/features/features.0/Conv',
      inputs: ['image', 'features.0.weight', 'features.0.bias'],
      outputs: ['c'],
    },
    {
      type: 'BatchNormalization',
      name: '/features/features.1/BatchNormalization',
      inputs: ['c', 'features.1.weight', 'features.1.bias', 'features.1.running_mean', 'features.1.running_var'],
      outputs: ['n'],
    },
    { type: 'Relu', name: '/features/features.2/Relu', inputs: ['n'], outputs: ['r'] },
    { type: 'Shape', inputs: ['r'], outputs: ['shape'] },
    { type: 'Gather', inputs: ['shape', 'first'], outputs: ['batch'] },
    { type: 'Concat', inputs: ['batch', 'rest'], outputs: ['target'], attributes: { axis: 0 } },
    { type: 'Reshape', inputs: ['r', 'target'], outputs: ['flat'] },
    { type: 'MatMul', name: 'head', inputs: ['flat', 'head'], outputs: ['logits'] },
  ],
};

function images(count: number): Tensor {
  return tensor(
    Float32Array.from({ length: count * 36 }, (_, i) => Math.sin(i * 0.7) + (Math.floor(i / 36) % 2)),
    { shape: [count, 1, 6, 6] },
  );
}

test('parameters have the names of the file, running statistics are buffers', async () => {
  setDevice(new ReferenceDevice());
  const model = await loadOnnx(onnxBytes(CLASSIFIER));
  const names = model.namedParameters().map(([name]) => name);
  assert.deepEqual(names.sort(), [
    'features.0.bias',
    'features.0.weight',
    'features.1.bias',
    'features.1.weight',
    'head',
  ]);
  assert.deepEqual(
    model.namedBuffers().map(([name]) => name),
    ['features.1.running_mean', 'features.1.running_var'],
  );
  assert.equal(model.submodule('features.0').type, 'Conv');
  assert.deepEqual(model.submodule('head_2').parameters(), [model.stateDict().head]);
  assert.equal(model.opset, 17);
  assert.equal(model.producer, 'tests');
  assert.deepEqual(model.inputs, [{ name: 'image', type: 'float', shape: ['batch', 1, 6, 6] }]);
});

test('shapes are computed while tracing: the program has no trace of them', async () => {
  setDevice(new ReferenceDevice());
  const model = await loadOnnx(onnxBytes(CLASSIFIER));
  const program = compile((x: Tensor) => model.call(x));
  for (const count of [1, 3]) {
    const graph = program.graph(images(count));
    assert.deepEqual([...graph.outputs[0].type.shape], [count, 2]);
    assert.ok(!graph.nodes.some(({ operator }) => operator.name === 'gather'));
  }
});

testOnDevices('an imported network trains like any other', async ({ name }) => {
  if (name.startsWith('reference (')) return;
  const model = await loadOnnx(onnxBytes(CLASSIFIER));
  const optimizer = new Adam(model.parameters(), { lr: 0.01 });
  const step = compile((x: Tensor, y: Tensor) => {
    const loss = crossEntropy(model.call(x), y);
    optimizer.step(gradients(loss, model.parameters()));
    return loss;
  });
  const [x, y] = [images(8), tensor(Int32Array.from({ length: 8 }, (_, i) => i % 2))];
  const before = model.stateDict()['features.1.running_mean'].data();
  const losses: number[] = [];
  for (let i = 0; i < 30; i++) losses.push((await step(x, y)).item());
  assert.ok(losses[29] < 0.2 * losses[0], `${losses[0]} to ${losses[29]}`);
  assert.deepEqual(model.stateDict()['features.1.running_mean'].data(), before);
});

test('hooks see the nodes by name', async () => {
  setDevice(new ReferenceDevice());
  const model = await loadOnnx(onnxBytes(CLASSIFIER));
  const seen: string[] = [];
  compile((x: Tensor) =>
    withForwardHook(
      ({ name, module, output }) => seen.push(`${name} ${module.type} ${output.shape}`),
      () => model.call(x),
    ),
  ).graph(images(2));
  assert.deepEqual(seen, [
    'features.0 Conv 2,4,4,4',
    'features.1 BatchNormalization 2,4,4,4',
    '/features/features_2/Relu Relu 2,4,4,4',
    'flat Reshape 2,64',
    'head_2 MatMul 2,2',
    ' OnnxModel 2,2',
  ]);
});

test('symbolic dimensions are bound when loading or at a call', async () => {
  setDevice(new ReferenceDevice());
  const bytes = onnxBytes({
    inputs: { a: ['n', 2], b: ['n', 2] },
    outputs: ['y'],
    nodes: [{ type: 'Add', inputs: ['a', 'b'], outputs: ['y'] }],
  });
  const [one, two] = [
    tensor([[1, 2]]),
    tensor([
      [1, 2],
      [3, 4],
    ]),
  ];
  const free = await loadOnnx(bytes);
  assert.deepEqual([...(await free.run({ a: two, b: two })).y.data()], [2, 4, 6, 8]);
  await assert.rejects(free.run([one, two]), /"n" is 1, not 2/);
  const bound = await loadOnnx(bytes, { dims: { n: 1 } });
  await assert.rejects(bound.run([two, two]), /input "a".*"n" is 1, not 2/);
  await assert.rejects(loadOnnx(bytes, { dims: { m: 1 } }), /no input has a dimension "m"; symbolic ones are n/);
  await assert.rejects(free.run([one]), /takes 2 inputs/);
  await assert.rejects(free.run({ a: one, c: one }), /no input "c"/);
});

test('a file exported with one example takes more', async () => {
  setDevice(new ReferenceDevice());
  const model = await loadOnnx(onnxBytes({ ...CLASSIFIER, inputs: { image: [1, 1, 6, 6] } }));
  const { logits } = await model.run([images(5)]);
  assert.deepEqual([...logits.shape], [5, 2]);
  await assert.rejects(model.run([reshape(images(1), [1, 1, 9, 4])]), ShapeError);
});

test('shapes may be inputs', async () => {
  setDevice(new ReferenceDevice());
  const model = await loadOnnx(
    onnxBytes({
      inputs: { x: [2, 6], shape: [2] },
      types: { shape: 'int64' },
      outputs: ['y'],
      nodes: [{ type: 'Reshape', inputs: ['x', 'shape'], outputs: ['y'] }],
    }),
  );
  const x = tensor(new Float32Array(12), { shape: [2, 6] });
  for (const shape of [
    [3, 4],
    [12, -1],
  ]) {
    const { y } = await model.run([x, tensor(Int32Array.from(shape))]);
    assert.equal(y.shape[0], shape[0]);
  }
});

test('what depends on data and shapes a network is refused by name', async () => {
  setDevice(new ReferenceDevice());
  const model = await loadOnnx(
    onnxBytes({
      inputs: { x: [4] },
      outputs: ['y'],
      initialisers: [integers('seven', [7])],
      nodes: [
        { type: 'ArgMax', inputs: ['x'], outputs: ['best'] },
        { type: 'Add', inputs: ['best', 'seven'], outputs: ['count'] },
        { type: 'ConstantOfShape', name: 'make', inputs: ['count'], outputs: ['y'] },
      ],
    }),
  );
  await assert.doesNotReject(model.run([tensor([1, 5, 2, 3])]), 'inputs are read where shapes depend on them');
  const program = compile((x: Tensor) => model.call(x));
  assert.throws(
    () => program.graph(tensor([1, 5, 2, 3])),
    /ConstantOfShape "make".*input 0 \("count"\) depends on data/,
  );
});

test('everything that is not supported is listed at once', async () => {
  const bytes = onnxBytes({
    inputs: { x: [4] },
    outputs: ['z'],
    nodes: [
      { type: 'Loop', name: 'around', inputs: ['x'], outputs: ['a'] },
      { type: 'Fancy', domain: 'com.example', name: 'f1', inputs: ['a'], outputs: ['b'] },
      { type: 'Fancy', domain: 'com.example', name: 'f2', inputs: ['b'], outputs: ['z'] },
    ],
  });
  await assert.rejects(loadOnnx(bytes), (error: Error) => {
    assert.ok(error instanceof OptionError);
    assert.match(error.message, /com\.example\.Fancy \("f1", "f2"\)/);
    assert.match(error.message, /Loop \("around"\)/);
    return true;
  });
  const unknown = onnxBytes({
    inputs: { x: [4] },
    outputs: ['y'],
    nodes: [{ type: 'Relu', inputs: ['x'], outputs: ['y'], attributes: { slope: 3 } }],
  });
  await assert.rejects(loadOnnx(unknown), /Relu "y" has an attribute "slope" that is not known/);
});

test('dropout of nodes for training differs at every step; the state can be saved', async () => {
  setDevice(new ReferenceDevice());
  const bytes = onnxBytes({
    inputs: { x: [64] },
    outputs: ['y'],
    initialisers: [
      floats('ratio', [], () => 0.5),
      { ...integers('t', [1]), dataType: 9, dims: [], rawData: Uint8Array.of(1) },
    ],
    nodes: [{ type: 'Dropout', inputs: ['x', 'ratio', 't'], outputs: ['y'] }],
  });
  const model = await loadOnnx(bytes);
  const x = tensor(new Float32Array(64).fill(1));
  const draw = async (): Promise<string> => (await model.run([x])).y.data().join('');
  const [first, second] = [await draw(), await draw()];
  assert.notEqual(first, second);
  assert.match(first, /^[02]+$/);
  assert.equal(model.namedRandomStates().length, 1);
});

test('whole numbers that do not fit 32 bits are an error, but for the ends of the range', async () => {
  const bytes = (value: number): Uint8Array =>
    onnxBytes({
      inputs: { x: [4] },
      outputs: ['y'],
      initialisers: [integers('from', [1]), integers('to', [value])],
      nodes: [{ type: 'Slice', inputs: ['x', 'from', 'to'], outputs: ['y'] }],
    });
  setDevice(new ReferenceDevice());
  const model = await loadOnnx(bytes(2 ** 62));
  assert.deepEqual([...(await model.run([tensor([1, 2, 3, 4])])).y.data()], [2, 3, 4]);
  await assert.rejects(
    loadOnnx(bytes(2 ** 40)),
    (error) => error instanceof GaborError && /does not fit into 32 bits/.test(error.message),
  );
});
