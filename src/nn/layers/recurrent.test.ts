import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { gradients } from '../../autodiff/gradients.js';
import { compile } from '../../graph/compile.js';
import { sum } from '../../ops/broadcast.js';
import { concat } from '../../ops/concat.js';
import { ones, tensor, zeros } from '../../ops/create.js';
import { add, mul } from '../../ops/elementwise.js';
import { flip } from '../../ops/flip.js';
import { slice } from '../../ops/slice.js';
import { transpose } from '../../ops/transpose.js';
import { OptionError, ShapeError } from '../../tensor/errors.js';
import { Random } from '../../tensor/random.js';
import type { Tensor } from '../../tensor/tensor.js';
import { randomTensor } from '../../testing/arbitraries.js';
import { EXACT, testOnDevices } from '../../testing/devices.js';
import { assertClose, type FixtureArray, fixtureTensor, readFixtures } from '../../testing/fixtures.js';
import { testLayerFixtures } from '../../testing/layer-fixtures.js';
import type { LayerConfig } from '../config.js';
import { layerTypes, moduleFromConfig } from '../registry.js';
import { GRU, LSTM, type Recurrent, type RecurrentState, RNN } from './recurrent.js';

testLayerFixtures('recurrent');

interface StateCase {
  readonly name: string;
  readonly layer: LayerConfig;
  readonly weights: Record<string, FixtureArray>;
  readonly input: FixtureArray;
  readonly state: Record<'h' | 'c', FixtureArray>;
  readonly results: Record<'output' | 'h' | 'c', FixtureArray>;
  readonly cotangents: Record<'output' | 'h' | 'c', FixtureArray>;
  readonly gradients: Record<string, FixtureArray>;
}

const cases = readFixtures<StateCase>('recurrent-states');

testOnDevices('given and final states, and gradients through both, agree with PyTorch', async ({ tolerance }) => {
  for (const c of cases) {
    const layer = moduleFromConfig(c.layer) as Recurrent;
    layer.loadStateDict(c.weights);
    const names = Object.keys(c.results) as ('output' | 'h' | 'c')[];
    const f = compile((x: Tensor, state: RecurrentState, ...cotangents: Tensor[]) => {
      const results = layer.run(x, state);
      const outputs = names.map((name) => results[name] as Tensor);
      const total = outputs.map((y, i) => sum(mul(y, cotangents[i]))).reduce((a, b) => add(a, b));
      const sources = [x, ...Object.values(state), ...layer.parameters()];
      return { outputs, gradients: gradients(total, sources) };
    });
    const state = Object.fromEntries(Object.entries(c.state).map(([name, t]) => [name, fixtureTensor(t)]));
    const cotangents = names.map((name) => fixtureTensor(c.cotangents[name]));
    const got = await f(fixtureTensor(c.input), state as unknown as RecurrentState, ...cotangents);
    names.forEach((name, i) => {
      assertClose(got.outputs[i], c.results[name], tolerance, `${c.name}: ${name}`);
    });
    Object.keys(c.gradients).forEach((name, i) => {
      assertClose(got.gradients[i], c.gradients[name], tolerance, `${c.name}: gradient of ${name}`);
    });
    f.dispose();
    layer.dispose();
  }
});

const KINDS = [RNN, LSTM, GRU];
const sizes = fc.record({
  Layer: fc.constantFrom(...KINDS),
  time: fc.integer({ min: 2, max: 9 }),
  batch: fc.integer({ min: 1, max: 5 }),
  inputs: fc.integer({ min: 1, max: 18 }),
  hidden: fc.integer({ min: 1, max: 18 }),
  seed: fc.nat({ max: 1e6 }),
});

testOnDevices(
  'a sequence in two parts is the whole; both directions are two layers; batch first is transposed',
  ({ tolerance }) => {
    fc.assert(
      fc.property(sizes, fc.nat(), ({ Layer, time, batch, inputs, hidden, seed }, where) => {
        const random = new Random(seed);
        const x = randomTensor([time, batch, inputs], seed);
        const layer = new Layer(inputs, hidden, { random, bidirectional: true });
        const one = new Layer(inputs, hidden);
        const state = layer.stateDict();
        const of = (suffix: string): Recurrent => {
          const own = Object.entries(state).filter(([name]) => name.endsWith('_reverse') === (suffix !== ''));
          one.loadStateDict(Object.fromEntries(own.map(([name, t]) => [name.replace('_reverse', ''), t])));
          return one;
        };
        const same = (a: Tensor, b: Tensor, what: string): void =>
          assertClose(a, { shape: b.shape, data: [...b.data()] }, tolerance, what);
        const whole = of('').run(x);
        const cut = 1 + (where % (time - 1));
        const first = one.run(slice(x, [0, 0, 0], [cut, batch, inputs]));
        const { output: _, ...between } = first;
        const second = one.run(slice(x, [cut, 0, 0]), between);
        same(concat([first.output, second.output], 0), whole.output, 'parts');
        same(second.h, whole.h, 'h');
        if (whole.c && second.c) same(second.c, whole.c, 'c');
        const back = flip(of('_reverse').forward(flip(x, [0])), [0]);
        same(concat([whole.output, back], 2), layer.forward(x), 'both directions');
        const turned = new Layer(inputs, hidden, { bidirectional: true, batchFirst: true });
        turned.loadStateDict(state);
        same(transpose(turned.forward(transpose(x, [1, 0, 2])), [1, 0, 2]), layer.forward(x), 'batch first');
      }),
      { numRuns: 12 },
    );
  },
);

testOnDevices('dropout between layers: chosen anew in each step of training, absent in use', () => {
  const layer = new LSTM(3, 40, { numLayers: 2, dropout: 0.5, random: new Random(1) });
  const x = ones([2, 4, 3]);
  const [a, b] = [layer.forward(x).data(), layer.forward(x).data()];
  assert.notDeepEqual(a, b);
  layer.eval();
  const used = layer.forward(x).data();
  assert.deepEqual(layer.forward(x).data(), used);
  const plain = new LSTM(3, 40, { numLayers: 2 });
  plain.loadStateDict(layer.stateDict());
  assert.deepEqual(plain.forward(x).data(), used);
  // The first layer is as it is: what is dropped is what the second one reads.
  assert.equal(layer.namedRandomStates().length, 1);
}, [EXACT]);

test('weights start within ±1/√hidden, and come from the generator that is given', () => {
  for (const Layer of KINDS) {
    const layer = new Layer(5, 16, { random: new Random(3), numLayers: 2 });
    for (const [name, weight] of layer.namedParameters()) {
      const data = [...weight.data()];
      assert.ok(Math.max(...data.map(Math.abs)) <= 0.25, name);
      assert.ok(Math.max(...data) > 0.15 && Math.min(...data) < -0.15, name);
    }
    const again = new Layer(5, 16, { random: new Random(3), numLayers: 2 });
    assert.deepEqual(again.parameters()[3].data(), layer.parameters()[3].data());
  }
});

test('configurations, and errors that say what was expected', () => {
  for (const type of ['RNN', 'LSTM', 'GRU']) assert.ok(layerTypes().includes(type));
  const layer = new GRU(3, 4, { numLayers: 2, bidirectional: true, dropout: 0.1 });
  assert.deepEqual(moduleFromConfig(layer.config()).config(), layer.config());
  assert.throws(() => new LSTM(3, 4, { projSize: 2 } as object), /LSTM.*projSize/);
  assert.throws(() => new LSTM(3, 4, { dropout: 0.5 }), /dropout is between layers/);
  assert.throws(() => new RNN(3, 4, { nonlinearity: 'sigmoid' as 'tanh' }), OptionError);
  assert.throws(() => new GRU(0, 4), /inputSize must be an integer ≥ 1/);
  assert.throws(
    () => layer.forward(zeros([5, 2, 4])),
    /GRU: expected \[time, batch, 3\] or \[time, 3\], got \[5, 2, 4\]/,
  );
  assert.throws(() => layer.run(zeros([5, 2, 3]), { h: zeros([1, 2, 4]) }), ShapeError);
  assert.throws(
    () => layer.run(zeros([5, 2, 3]), { h: zeros([4, 2, 4]), c: zeros([4, 2, 4]) }),
    /c of the state must be absent/,
  );
  assert.throws(
    () => new LSTM(3, 4).run(zeros([5, 2, 3]), { h: zeros([1, 2, 4]) }),
    /c of the state must be \[1, 2, 4\], got none/,
  );
  const second = compile((x: Tensor) => {
    const [g] = gradients(sum(new GRU(1, 1).forward(x)), [x]);
    return gradients(sum(mul(g, g)), [x]);
  });
  assert.throws(
    () => second.graph(tensor([1, 2], { shape: [2, 1, 1] })),
    /recurrent layers have no second derivatives/,
  );
});
