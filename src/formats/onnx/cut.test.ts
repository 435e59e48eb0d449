import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../../autodiff/gradients.js';
import { compile } from '../../graph/compile.js';
import { setDevice } from '../../graph/device.js';
import { Flatten, Linear, moduleFromConfig, Sequential } from '../../nn/index.js';
import { tensor } from '../../ops/create.js';
import { crossEntropy } from '../../ops/losses.js';
import { Adam } from '../../optim/adam.js';
import { ReferenceDevice } from '../../targets/reference/device.js';
import { OptionError } from '../../tensor/errors.js';
import { Random } from '../../tensor/random.js';
import type { Tensor } from '../../tensor/tensor.js';
import { TEST_DEVICES } from '../../testing/devices.js';
import { floats, integers, onnxBytes, type TestModel } from '../../testing/onnx-models.js';
import { sharedPath } from '../../testing/shared.js';
import { readNpy } from '../npy.js';
import { loadOnnx } from './load.js';
import { OnnxModel } from './onnx-model.js';

/** Two convolutions and a head, with a shape that is computed and a residual connection. */
const NETWORK: TestModel = {
  inputs: { image: ['batch', 1, 6, 6] },
  outputs: ['scores'],
  initialisers: [
    floats('features.0.weight', [4, 1, 3, 3]),
    floats('features.0.bias', [4]),
    floats('features.2.weight', [4, 4, 3, 3], (i) => Math.cos(i) / 6),
    floats('head.weight', [3, 64], (i) => Math.cos(i) / 8),
    floats('head.bias', [3]),
    integers('first', [0]),
    integers('rest', [-1]),
  ],
  nodes: [
    { type: 'Conv', name: 'one', inputs: ['image', 'features.0.weight', 'features.0.bias'], outputs: ['c'] },
    { type: 'Relu', name: '/features/Relu', inputs: ['c'], outputs: ['r'] },
    {
      type: 'Conv',
      name: 'two',
      inputs: ['r', 'features.2.weight'],
      outputs: ['d'],
      attributes: { pads: [1, 1, 1, 1] },
    },
    { type: 'Add', name: 'sum', inputs: ['d', 'r'], outputs: ['s'] },
    { type: 'Shape', inputs: ['s'], outputs: ['shape'] },
    { type: 'Gather', inputs: ['shape', 'first'], outputs: ['size'] },
    { type: 'Concat', inputs: ['size', 'rest'], outputs: ['target'], attributes: { axis: 0 } },
    { type: 'Reshape', inputs: ['s', 'target'], outputs: ['flat'] },
    {
      type: 'Gemm',
      name: 'head',
      inputs: ['flat', 'head.weight', 'head.bias'],
      outputs: ['logits'],
      attributes: { transB: 1 },
    },
    { type: 'Softmax', name: 'softmax', inputs: ['logits'], outputs: ['scores'] },
  ],
};

function images(count: number): Tensor {
  return tensor(
    Float32Array.from({ length: count * 36 }, (_, i) => Math.sin(i * 0.7) + (Math.floor(i / 36) % 2)),
    { shape: [count, 1, 6, 6] },
  );
}

test('a part of a network computes what the whole does there, with the same weights', async () => {
  setDevice(new ReferenceDevice());
  const model = await loadOnnx(onnxBytes(NETWORK));
  const logits = model.features('logits');
  const relu = model.features('features.0');
  assert.deepEqual(logits.features('c').nodes, relu.nodes);
  assert.deepEqual(
    logits.outputs.map(({ name }) => name),
    ['logits'],
  );
  assert.deepEqual(
    relu.namedParameters().map(([name]) => name),
    ['features.0.weight', 'features.0.bias'],
  );
  assert.equal(relu.stateDict()['features.0.weight'], model.stateDict()['features.0.weight']);
  const x = images(2);
  const { scores } = await model.run([x]);
  const part = (await logits.run([x])).logits.data();
  for (let row = 0; row < 2; row++) {
    const powers = Array.from({ length: 3 }, (_, i) => Math.exp(part[row * 3 + i]));
    const sum = powers.reduce((a, b) => a + b);
    powers.forEach((power, i) => {
      assert.ok(Math.abs(scores.data()[row * 3 + i] - power / sum) < 1e-6);
    });
  }
});

test('names of nodes, paths and tensors say where to cut; others are refused with similar ones', async () => {
  setDevice(new ReferenceDevice());
  const model = await loadOnnx(onnxBytes(NETWORK));
  for (const at of ['r', '/features/Relu', model.nodes[1].path])
    assert.deepEqual(model.features(at).outputs[0].name, 'r');
  assert.deepEqual(model.nodes[0], {
    name: 'one',
    type: 'Conv',
    inputs: ['image', 'features.0.weight', 'features.0.bias'],
    outputs: ['c'],
    path: 'features.0',
  });
  assert.throws(() => model.features('logit'), /no node or tensor is named "logit"; similar ones: logits/);
  assert.throws(() => model.features('image'), OptionError);
});

test('a network is a configuration and a state: the graph without weights', async () => {
  setDevice(new ReferenceDevice());
  const model = await loadOnnx(onnxBytes(NETWORK));
  const net = new Sequential(model.features('s'), new Flatten(), new Linear(64, 2));
  for (const original of [model, net, model.withOutputs(5)]) {
    const config = JSON.parse(JSON.stringify(original.config()));
    const copy = moduleFromConfig(config);
    assert.deepEqual(Object.keys(copy.stateDict()), Object.keys(original.stateDict()));
    copy.loadStateDict(original.stateDict());
    assert.deepEqual(copy.call(images(3)).data(), original.call(images(3)).data());
    assert.deepEqual(copy.config(), original.config());
  }
  assert.ok(JSON.stringify(model.config()).length < 3000);
});

test('configurations that make no sense are refused', async () => {
  setDevice(new ReferenceDevice());
  const config = (await loadOnnx(onnxBytes(NETWORK))).config();
  const weights = config.weights as readonly object[];
  const wrong: [object, RegExp][] = [
    [{ graph: 'AAAA' }, /OnnxModel/],
    [{ graph: 7 }, /needs "graph"/],
    [{ weights: weights.slice(1) }, /"features.0.weight", which node "one" reads, is defined nowhere/],
    [{ weights: [...weights, { name: 'x' }] }, /describes no weight/],
    [{ weights: [...weights, { name: 'x', type: 'int64', shape: [1], trained: true }] }, /weights are floats/],
    [{ weights: [...weights, { name: 'x', type: 'float', shape: [-1], trained: true }] }, /shape/],
    [{ more: 1 }, /more/],
  ];
  for (const [change, message] of wrong) assert.throws(() => moduleFromConfig({ ...config, ...change }), message);
});

test('another number of outputs: the last layer is drawn anew, whatever comes behind it', async () => {
  setDevice(new ReferenceDevice());
  const model = await loadOnnx(onnxBytes(NETWORK));
  const five = model.withOutputs(5, { random: new Random(1) });
  assert.ok(five instanceof OnnxModel);
  const state = five.stateDict();
  assert.deepEqual([...state['head.weight'].shape], [5, 64]);
  assert.deepEqual([...state['head.bias'].shape], [5]);
  const bound = 1 / Math.sqrt(64);
  assert.ok(state['head.weight'].data().every((w) => Math.abs(w) <= bound));
  assert.ok(state['head.weight'].data().some((w) => Math.abs(w) > bound / 2));
  assert.equal(state['features.0.weight'], model.stateDict()['features.0.weight']);
  assert.deepEqual([...five.call(images(2)).shape], [2, 5]);
  assert.deepEqual([...model.call(images(2)).shape], [2, 3]);

  const matmul = await loadOnnx(
    onnxBytes({
      inputs: { x: ['n', 4] },
      outputs: ['y'],
      initialisers: [floats('w', [4, 3]), floats('b', [1, 3]), integers('shape', [-1, 3])],
      nodes: [
        { type: 'MatMul', inputs: ['x', 'w'], outputs: ['p'] },
        { type: 'Add', inputs: ['b', 'p'], outputs: ['q'] },
        { type: 'Reshape', inputs: ['q', 'shape'], outputs: ['y'] },
      ],
    }),
  );
  const two = matmul.withOutputs(2);
  assert.deepEqual([...two.stateDict().b.shape], [1, 2]);
  assert.deepEqual([...two.call(tensor([[1, 2, 3, 4]])).shape], [1, 2]);

  const normalised = await loadOnnx(
    onnxBytes({
      inputs: { x: ['n', 4] },
      outputs: ['y'],
      initialisers: [
        floats('w', [4, 3]),
        ...['scale', 'shift', 'mean', 'variance'].map((name) => floats(name, [3], () => 7)),
      ],
      nodes: [
        { type: 'MatMul', inputs: ['x', 'w'], outputs: ['p'] },
        { type: 'BatchNormalization', inputs: ['p', 'scale', 'shift', 'mean', 'variance'], outputs: ['y'] },
      ],
    }),
  );
  const { scale, shift, mean, variance } = normalised.withOutputs(2).stateDict();
  assert.deepEqual(
    [scale, shift, mean, variance].map((t) => [...t.data()]),
    [
      [1, 1],
      [0, 0],
      [0, 0],
      [1, 1],
    ],
  );

  const joined = await loadOnnx(
    onnxBytes({
      inputs: { x: ['n', 4] },
      outputs: ['y'],
      initialisers: [floats('w', [4, 4])],
      nodes: [
        { type: 'MatMul', inputs: ['x', 'w'], outputs: ['p'] },
        { type: 'Tanh', inputs: ['p'], outputs: ['t'] },
        { type: 'Add', inputs: ['t', 'p'], outputs: ['y'] },
      ],
    }),
  );
  assert.throws(() => joined.withOutputs(2), /cannot tell the last layer of "y": Add .* joins 2 tensors.*features\(\)/);
});

for (const device of TEST_DEVICES.slice(-1)) {
  test(`real networks train from where they were with a new head [${device.name}]`, async (t) => {
    const root = sharedPath('models');
    if (root === undefined) {
      t.skip('shared/models is not there');
      return;
    }
    setDevice(device.make());
    const photos = await Promise.all([0, 1, 2].map((i) => readNpy(`${root}/squeezenet1.1/input_${i}.npy`)));
    for (const [name, side] of [
      ['squeezenet1.1', 224],
      ['resnet20-cifar10', 32],
    ] as const) {
      const model = (await loadOnnx(`${root}/${name}/model.onnx`)).withOutputs(3);
      const kept = Object.values(model.stateDict())[0].data();
      const optimizer = new Adam(model.parameters(), { lr: 1e-4 });
      const step = compile((x: Tensor, y: Tensor) => {
        const loss = crossEntropy(model.call(x), y);
        optimizer.step(gradients(loss, model.parameters()));
        return loss;
      });
      // Three photos, or their corners, as three classes.
      const pixels = photos.flatMap(({ data }) =>
        Array.from({ length: 3 * side * side }, (_, i) => {
          const [channel, row, column] = [Math.floor(i / (side * side)), Math.floor(i / side) % side, i % side];
          return data[(channel * 224 + row) * 224 + column] as number;
        }),
      );
      const x = tensor(Float32Array.from(pixels), { shape: [3, 3, side, side] });
      const y = tensor(Int32Array.of(0, 1, 2));
      const losses: number[] = [];
      for (let i = 0; i < 10; i++) losses.push((await step(x, y)).item());
      assert.ok(losses[9] < 0.7 * losses[0], `${name}: ${losses.join(', ')}`);
      assert.notDeepEqual(Object.values(model.stateDict())[0].data(), kept);
    }
  });
}
