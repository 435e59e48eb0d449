import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gradients } from '../../../autodiff/gradients.js';
import { compile } from '../../../graph/compile.js';
import { setDevice } from '../../../graph/device.js';
import { Conv2d, Linear } from '../../../nn/index.js';
import { moduleFromConfig } from '../../../nn/registry.js';
import { sum } from '../../../ops/broadcast.js';
import { concat } from '../../../ops/concat.js';
import { randomNormal, tensor } from '../../../ops/create.js';
import { add, mul, relu } from '../../../ops/elementwise.js';
import { uniform } from '../../../ops/random.js';
import { mean } from '../../../ops/reduce.js';
import { ReferenceDevice } from '../../../targets/reference/device.js';
import { GaborError } from '../../../tensor/errors.js';
import type { Tensor } from '../../../tensor/tensor.js';
import { convNet } from '../../../testing/conv-net.js';
import { assertClose, type FixtureArray, fixturePath, fixtureTensor, readFixtures } from '../../../testing/fixtures.js';
import type { LayerCase } from '../../../testing/layer-fixtures.js';
import { assertSame, NO_ONNX_RUNTIME, onnxRuntime, runOnnx } from '../../../testing/onnxruntime.js';
import { loadWeights } from '../../weights.js';
import { loadOnnx } from '../load.js';
import { MODEL, type ModelProto } from '../messages.js';
import { decode } from '../proto.js';
import { exportOnnx, type OnnxExportOptions, saveOnnx } from './export.js';

setDevice(new ReferenceDevice());

/** Every file of layers that PyTorch computed. */
const FIXTURES: readonly string[] = [
  'layers',
  'activations',
  'resizing',
  'containers',
  'padding-layers',
  'pooling',
  'normalization',
  'convolutions',
  'options',
  'recurrent',
];

const SKIP = onnxRuntime() === undefined && NO_ONNX_RUNTIME;

/** The same sample twice as often. */
function doubled(x: Tensor): Tensor {
  return concat([x, x], 0);
}

/** Their statistics are those of the batch. */
const UNTRACKED = /untracked|tracked False/;

let dynamic = 0;

for (const name of FIXTURES) {
  test(`${name}: ONNX Runtime computes what the layer computes`, { skip: SKIP }, async (t) => {
    const seen = new Set<string>();
    for (const c of readFixtures<LayerCase>(name)) {
      if (c.layer === undefined || c.state === undefined) continue;
      const key = JSON.stringify([c.layer, c.input.shape]);
      if (seen.has(key)) continue;
      seen.add(key);
      await t.test(c.name, async () => {
        const module = moduleFromConfig(c.layer).eval();
        const x = fixtureTensor(c.input, c.input.integer ? 'i32' : 'f32');
        if (c.layer.type.startsWith('Lazy')) module.forward(x);
        module.loadStateDict(c.state);
        // Every opset gets its share.
        const opset = 11 + (seen.size % 11);
        const options: OnnxExportOptions = { inputs: [{ shape: x.shape, dtype: x.dtype }], opset };
        const y = module.forward(x);
        await assertSame(exportOnnx(module, options), [x], [y]);
        if (seen.size % 4 === 0 && x.rank >= 3 && module.type !== 'PixelShuffle' && !UNTRACKED.test(c.name)) {
          const bytes = exportOnnx(module, { ...options, dynamicBatch: true });
          await assertSame(bytes, [doubled(x)], [module.forward(doubled(x))]);
          dynamic++;
        }
        module.dispose();
      });
    }
  });
}

test('many of the layers were tried with another batch, too', { skip: SKIP }, () => {
  assert.ok(dynamic > 80, `${dynamic}`);
});

const fixture = (name: string): string => fixturePath(`formats/${name}`);
const expected = JSON.parse(readFileSync(fixture('net.json'), 'utf8')) as { input: FixtureArray; output: FixtureArray };

function model(bytes: Uint8Array): ModelProto {
  return decode<ModelProto>(MODEL, bytes, 'x.onnx');
}

test('PyTorch → safetensors → Gabor → ONNX → ONNX Runtime: the same logits', { skip: SKIP }, async () => {
  for (const opset of [11, 13, 17, 18, 21]) {
    const net = convNet();
    await loadWeights(net, fixture('net.safetensors'));
    const [result] = await runOnnx(exportOnnx(net, { inputs: [expected.input.shape], opset }), [
      { dtype: 'f32', shape: expected.input.shape, data: Float32Array.from(expected.input.data) },
    ]);
    assertClose(tensor(Array.from(result.data), { shape: result.shape }), expected.output, 1e-5, `opset ${opset}`);
  }
});

test('what is exported is imported again under the same names', async () => {
  const net = convNet();
  await loadWeights(net, fixture('net.safetensors'));
  const imported = (await loadOnnx(exportOnnx(net, { inputs: [expected.input.shape], dynamicBatch: true }))).eval();
  assertClose(imported.forward(fixtureTensor(expected.input)), expected.output, 1e-5, 'imported');
  const report = await loadWeights(imported, fixture('net.pt'), { strict: false });
  assert.deepEqual(report.unexpected, ['1.num_batches_tracked']);
  assert.deepEqual(report.mismatched, []);
  assert.equal(report.loaded.length, Object.keys(net.stateDict()).length - 1);
});

test('initializers have the names of the state, compositions become operators', () => {
  const net = convNet();
  const { graph, irVersion, opsetImport } = model(exportOnnx(net, { inputs: [[1, 3, 16, 16]], dynamicBatch: true }));
  assert.equal(irVersion, 8);
  assert.deepEqual(opsetImport, [{ domain: '', version: 17 }]);
  const names = new Set(graph?.initializer.map(({ name }) => name));
  // ONNX's batch normalisation does not count.
  for (const name of Object.keys(net.stateDict())) assert.equal(names.has(name), !name.includes('num_batches'), name);
  assert.deepEqual(
    graph?.node.map(({ opType }) => opType),
    'Conv BatchNormalization Relu Conv Reshape PRelu MaxPool ConvTranspose Mul Mul Erf Add Mul AveragePool Reshape Gemm'.split(
      ' ',
    ),
  );
  assert.equal(graph?.node[0].name, '0/Conv');
  assert.deepEqual(graph?.input[0].type?.tensorType?.shape?.dim[0], { dimParam: 'batch' });
  assert.deepEqual(graph?.output[0].type?.tensorType?.shape?.dim, [{ dimParam: 'batch' }, { dimValue: 5 }]);
  assert.ok(
    model(exportOnnx(net, { inputs: [[1, 3, 16, 16]], opset: 20 })).graph?.node.some((n) => n.opType === 'Gelu'),
  );
});

test('several inputs and outputs, with names', { skip: SKIP }, async () => {
  const net = new Linear(3, 2);
  const [a, b] = [randomNormal([2, 3], 1), randomNormal([2, 2], 2)];
  const forward = (x: Tensor, y: Tensor): Tensor[] => {
    const z = net.call(x);
    return [add(z, y), z, y, z];
  };
  const bytes = exportOnnx(net, {
    inputs: [
      { name: 'x', shape: [2, 3] },
      { name: 'y', shape: [2, 2] },
    ],
    outputs: ['sum', 'product', 'same', 'again'],
    forward,
  });
  await assertSame(bytes, [a, b], forward(a, b));
  assert.deepEqual(
    model(bytes).graph?.output.map(({ name }) => name),
    ['sum', 'product', 'same', 'again'],
  );
});

test('gradients are graphs, too', { skip: SKIP }, async () => {
  const convolution = new Conv2d(4, 6, 3, { stride: 2, padding: 1, groups: 2, dilation: 2 });
  const x = randomNormal([2, 4, 9, 8], 3);
  const forward = (input: Tensor): Tensor[] => {
    const y = relu(convolution.call(input));
    return gradients(sum(mul(y, y)), [input, ...convolution.parameters()]);
  };
  const bytes = exportOnnx(convolution, { inputs: [x.shape], forward });
  const results = compile(forward);
  await assertSame(bytes, [x], await results(x));
});

test('weights beside the model', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'gabor-'));
  try {
    const path = join(folder, 'net.onnx');
    const net = convNet();
    await saveOnnx(path, net, { inputs: [[1, 3, 16, 16]], externalData: true });
    assert.ok(readFileSync(path).length < exportOnnx(net, { inputs: [[1, 3, 16, 16]] }).length);
    const large = model(readFileSync(path)).graph?.initializer.find(({ name }) => name === '10.weight');
    assert.equal(large?.externalData.find(({ key }) => key === 'location')?.value, 'net.onnx.data');
    await saveOnnx(join(folder, 'whole.onnx'), net, { inputs: [[1, 3, 16, 16]] });
    assert.deepEqual(
      readFileSync(join(folder, 'whole.onnx')),
      Buffer.from(exportOnnx(net, { inputs: [[1, 3, 16, 16]] })),
    );
    if (SKIP) return t.skip(SKIP);
    const x = randomNormal([1, 3, 16, 16], 5);
    await assertSame(path, [x], [net.eval().forward(x)]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what cannot be exported says why', () => {
  const net = new Linear(3, 2);
  const refused = (options: unknown, pattern: RegExp): void =>
    assert.throws(
      () => exportOnnx(net, options as OnnxExportOptions),
      (e) => e instanceof GaborError && pattern.test(e.message),
      String(pattern),
    );
  refused({ inputs: [[1, 3]], opset: 10 }, /opset must be an integer from 11 to 21, got 10/);
  refused({ inputs: [[1, 3]], opset: 22 }, /from 11 to 21/);
  refused({ inputs: [] }, /shape of every input/);
  refused(
    {
      inputs: [
        [1, 3],
        [1, 3],
      ],
    },
    /takes one input, got 2 shapes/,
  );
  refused({ inputs: [[1, 4]] }, /expected \[…, 3\], got \[1, 4\]/);
  refused({ inputs: [[1, 3]], outputs: ['a', 'b'] }, /2 names for 1 outputs/);
  refused({ inputs: [[1, 3]], outputs: ['weight'] }, /the name of another value|is that of another value/);
  refused({ inputs: [[1, 3]], dynamicBach: true }, /unknown option "dynamicBach"/);
  const noise = tensor([1, 2], { dtype: 'i32' });
  refused({ inputs: [[1, 3]], forward: (x: Tensor) => add(x, uniform(noise, [1, 3])) }, /random numbers/);
  refused({ inputs: [[2, 3]], dynamicBatch: true, forward: (x: Tensor) => mean(x, 0) }, /another batch/);
  assert.equal(net.training, true, 'the mode is what it was');
});
