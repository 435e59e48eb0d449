import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setDevice } from '../../../graph/device.js';
import { type LSTM, Module, moduleFromConfig } from '../../../nn/index.js';
import { randomNormal, zeros } from '../../../ops/create.js';
import { mul } from '../../../ops/elementwise.js';
import { type RecurrenceOptions, recurrence } from '../../../ops/recurrence.js';
import type { CellActivation } from '../../../ops/recurrent-cell.js';
import { ReferenceDevice } from '../../../targets/reference/device.js';
import { Random } from '../../../tensor/random.js';
import type { Tensor } from '../../../tensor/tensor.js';
import { assertSame, NO_ONNX_RUNTIME, onnxRuntime } from '../../../testing/onnxruntime.js';
import { MODEL, type ModelProto } from '../messages.js';
import { decode } from '../proto.js';
import { exportOnnx } from './export.js';

setDevice(new ReferenceDevice());
const SKIP = onnxRuntime() === undefined && NO_ONNX_RUNTIME;

const operators = (bytes: Uint8Array): string[] =>
  (decode<ModelProto>(MODEL, bytes, 'x.onnx').graph?.node ?? []).map(({ opType }) => opType ?? '');

test('layers are the operators of ONNX, their products with the inputs included', { skip: SKIP }, async () => {
  for (const type of ['RNN', 'LSTM', 'GRU']) {
    for (const batchFirst of [false, true]) {
      const layer = moduleFromConfig({
        type,
        inputSize: 5,
        hiddenSize: 3,
        numLayers: 2,
        bidirectional: true,
        batchFirst,
      });
      const x = randomNormal([4, 2, 5], 1);
      const bytes = exportOnnx(layer, { inputs: [x.shape] });
      const list = operators(bytes);
      assert.equal(list.filter((name) => name === type).length, 4, list.join(' '));
      assert.ok(!list.includes('Gemm') && !list.includes('MatMul'), list.join(' '));
      await assertSame(bytes, [x], [layer.forward(x)]);
    }
  }
});

/** A layer of the loop alone, with everything that it can do as its weights. */
class Loop extends Module {
  readonly type = 'Loop';
  readonly #options: RecurrenceOptions;
  readonly #weights: Record<string, Tensor> = {};

  constructor(options: RecurrenceOptions, weights: Readonly<Record<string, Tensor>>) {
    super();
    this.#options = options;
    for (const [name, value] of Object.entries(weights)) this.#weights[name] = this.parameter(name, value);
  }

  forward(x: Tensor): Tensor {
    const { weight, ...rest } = this.#weights;
    return mul(recurrence(x, weight, { ...this.#options, ...rest }).h, 2);
  }
}

const SOFT: CellActivation = { name: 'softsign' };
const HARD: CellActivation = { name: 'hardSigmoid', alpha: 0.3, beta: 0.4 };
const LEAKY: CellActivation = { name: 'leakyRelu', alpha: 0.1 };

test('what only ONNX and Keras have: orders of gates, activations, peepholes, clipping', { skip: SKIP }, async () => {
  const cases: readonly (readonly [RecurrenceOptions, names: readonly string[]])[] = [
    [{ kind: 'lstm', gates: 'iofg' }, []],
    [{ kind: 'lstm', activations: [HARD, SOFT, LEAKY] }, ['bias', 'h', 'c']],
    [{ kind: 'lstm', peepholes: zeros([9]), clip: 0.3 }, ['bias', 'h', 'c', 'peepholes']],
    [{ kind: 'lstm', gates: 'foig', coupled: true, reverse: true }, ['bias', 'peepholes']],
    [{ kind: 'gru', gates: 'zrn', resetAfter: false }, ['bias', 'h']],
    [{ kind: 'gru', activations: [LEAKY, HARD] }, ['h']],
    [{ kind: 'rnn', activations: [{ name: 'linear' }], reverse: true }, ['h', 'bias']],
    [{ kind: 'rnn', activations: [{ name: 'scaledTanh', alpha: 0.9, beta: 1.1 }] }, []],
  ];
  for (const [i, [options, names]] of cases.entries()) {
    const gates = { rnn: 1, lstm: 4, gru: 3 }[options.kind];
    const random = new Random(i);
    const shapes: Record<string, number[]> = { bias: [3 * gates], h: [2, 3], c: [2, 3], peepholes: [9] };
    const weights = Object.fromEntries(names.map((name) => [name, randomNormal(shapes[name], random)]));
    const layer = new Loop(options, { weight: randomNormal([3 * gates, 3], random, 0, 0.5), ...weights });
    const x = randomNormal([5, 2, 3 * gates], random);
    await assertSame(exportOnnx(layer, { inputs: [x.shape] }), [x], [layer.forward(x)]);
  }
});

test('batches and sequences of any length', { skip: SKIP }, async () => {
  for (const type of ['LSTM', 'GRU']) {
    for (const batchFirst of [true, false]) {
      const layer = moduleFromConfig({ type, inputSize: 3, hiddenSize: 4, bidirectional: true, batchFirst });
      const bytes = exportOnnx(layer, { inputs: [[2, 6, 3]], dynamicBatch: true });
      for (const n of [1, 2, 7]) {
        const x = randomNormal([n, 6, 3], n);
        await assertSame(bytes, [x], [layer.forward(x)]);
      }
    }
  }
});

test('what ONNX cannot do is refused', () => {
  const lstm = moduleFromConfig({ type: 'LSTM', inputSize: 3, hiddenSize: 4 }) as LSTM;
  const withState = { inputs: [[5, 2, 3]], forward: (x: Tensor) => Object.values(lstm.run(x)) as Tensor[] };
  assert.throws(
    () => exportOnnx(lstm, withState),
    /the cell of an LSTM is an output, which ONNX's recurrent operators/,
  );
  const silu = new Loop({ kind: 'rnn', activations: [{ name: 'silu' }] }, { weight: zeros([3, 3]) });
  assert.throws(() => exportOnnx(silu, { inputs: [[5, 2, 3]] }), /activation "silu", which ONNX/);
  // The state after the last step, of however many there are.
  const last = { inputs: [[5, 2, 3]], dynamicBatch: true, forward: (x: Tensor) => lstm.run(x).h };
  assert.throws(() => exportOnnx(lstm, last), /where the batch says/);
});
