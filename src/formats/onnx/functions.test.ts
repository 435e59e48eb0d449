import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setDevice } from '../../graph/device.js';
import { tensor } from '../../ops/create.js';
import { ReferenceDevice } from '../../targets/reference/device.js';
import { FileError } from '../../tensor/errors.js';
import { onnxBytes, type TestModel } from '../../testing/onnx-models.js';
import { loadOnnx } from './load.js';

const float = (name: string, f: number): object => ({ name, type: 1, f });

/** scaled(x) = LeakyRelu(x, slope) + x; twice(x) = scaled(scaled(x)). */
const FUNCTIONS: readonly object[] = [
  {
    name: 'scaled',
    domain: 'local',
    input: ['a'],
    output: ['r'],
    attribute: ['slope'],
    opsetImport: [{ version: 17 }],
    node: [
      {
        opType: 'LeakyRelu',
        input: ['a'],
        output: ['h'],
        attribute: [{ name: 'alpha', type: 1, refAttrName: 'slope' }],
      },
      { opType: 'Add', input: ['h', 'a'], output: ['r'] },
    ],
  },
  {
    name: 'twice',
    domain: 'local',
    input: ['a'],
    output: ['r'],
    attributeProto: [float('slope', 0.5)],
    opsetImport: [{ version: 17 }, { domain: 'local', version: 1 }],
    node: [
      {
        opType: 'scaled',
        domain: 'local',
        input: ['a'],
        output: ['h'],
        attribute: [{ name: 'slope', type: 1, refAttrName: 'slope' }],
      },
      {
        opType: 'scaled',
        domain: 'local',
        input: ['h'],
        output: ['r'],
        attribute: [{ name: 'slope', type: 1, refAttrName: 'slope' }],
      },
    ],
  },
];

const model = (type: string, functions: readonly object[]): TestModel => ({
  inputs: { h: [2] },
  outputs: ['y'],
  nodes: [{ type, domain: 'local', inputs: ['h'], outputs: ['y'] }],
  functions,
});

test('functions are written out where they are called', async () => {
  setDevice(new ReferenceDevice());
  const twice = await loadOnnx(onnxBytes(model('twice', FUNCTIONS)));
  const { y } = await twice.run([tensor([1, -1])]);
  // 1 → 2 → 4; −1 → −0.5 − 1 = −1.5 → −0.75 − 1.5, the slope 0.5 being the default of `twice`
  assert.deepEqual([...y.data()], [4, -2.25]);
  // The default of LeakyRelu itself is 0.01.
  const scaled = await loadOnnx(onnxBytes(model('scaled', FUNCTIONS)));
  assert.ok(Math.abs((await scaled.run([tensor([1, -1])])).y.data()[1] + 1.01) < 1e-6);
});

test('functions that call themselves, multiply, or speak of other operators', async () => {
  setDevice(new ReferenceDevice());
  const body = (name: string, calls: readonly string[]): object => ({
    name,
    domain: 'local',
    input: ['a'],
    output: ['r'],
    node: calls.map((opType, i) => ({ opType, domain: 'local', input: ['a'], output: [i === 0 ? 'r' : `r${i}`] })),
  });
  await assert.rejects(loadOnnx(onnxBytes(model('f', [body('f', ['f'])]))), /call each other more than 32 deep/);
  const doubling = Array.from({ length: 30 }, (_, i) => body(`f${i}`, [`f${i + 1}`, `f${i + 1}`]));
  await assert.rejects(loadOnnx(onnxBytes(model('f0', doubling))), /functions make more than 262144 nodes/);
  const other = { ...FUNCTIONS[0], opsetImport: [{ version: 9 }] };
  await assert.rejects(
    loadOnnx(onnxBytes(model('scaled', [other]))),
    (error) => error instanceof FileError && /operator set 9, the model 17/.test(error.message),
  );
  await assert.rejects(loadOnnx(onnxBytes(model('missing', FUNCTIONS))), /not supported: local\.missing/);
});
