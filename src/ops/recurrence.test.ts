import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkGradients } from '../autodiff/check.js';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { expandOperators } from '../graph/expand.js';
import { cpuDevice } from '../runtime/cpu-device.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { randomTensor } from '../testing/arbitraries.js';
import { EXACT, INSTRUCTIONS } from '../testing/devices.js';
import { sum } from './broadcast.js';
import { linear } from './conv.js';
import { tensor, zeros } from './create.js';
import { add, mul, sigmoid, sub, tanh, where } from './elementwise.js';
import { type RecurrenceOptions, recurrence } from './recurrence.js';
import type { CellActivation, CellActivationName } from './recurrent-cell.js';
import { reshape } from './reshape.js';
import { slice } from './slice.js';

interface Case {
  readonly kind: 'rnn' | 'lstm' | 'gru';
  readonly time: number;
  readonly batch: number;
  readonly hidden: number;
  readonly reverse: boolean;
  readonly resetAfter: boolean;
  readonly coupled: boolean;
  readonly given: boolean;
  readonly bias: boolean;
  readonly peepholes: boolean;
  readonly masked: boolean;
  readonly seed: number;
}

const casesOf = (most: number): fc.Arbitrary<Case> =>
  fc.record({
    kind: fc.constantFrom('rnn', 'lstm', 'gru'),
    time: fc.integer({ min: 1, max: 6 }),
    batch: fc.integer({ min: 1, max: 4 }),
    hidden: fc.integer({ min: 1, max: most }),
    reverse: fc.boolean(),
    resetAfter: fc.boolean(),
    coupled: fc.boolean(),
    given: fc.boolean(),
    bias: fc.boolean(),
    peepholes: fc.boolean(),
    masked: fc.boolean(),
    seed: fc.nat({ max: 1e6 }),
  });

const LONG: Case = {
  kind: 'gru',
  time: 150,
  batch: 2,
  hidden: 5,
  reverse: false,
  resetAfter: false,
  coupled: false,
  given: true,
  bias: true,
  peepholes: false,
  masked: true,
  seed: 1,
};

/** Options and everything that has a gradient. */
function make(c: Case): { options: (...xs: Tensor[]) => RecurrenceOptions; inputs: Tensor[] } {
  const { kind, time, batch, hidden, reverse, resetAfter, seed } = c;
  const gates = { rnn: 1, lstm: 4, gru: 3 }[kind];
  // As large as weights are that neither forget nor explode.
  const weight = randomTensor([gates * hidden, hidden], seed + 1);
  weight.write(weight.data().map((value) => value / Math.sqrt(hidden)));
  const inputs = [randomTensor([time, batch, gates * hidden], seed), weight];
  const names: string[] = [];
  const more = (name: string, shape: number[]): void => {
    names.push(name);
    inputs.push(randomTensor(shape, seed + 2 + names.length));
  };
  if (c.bias) more('bias', [gates * hidden]);
  if (c.given) more('h', [batch, hidden]);
  if (c.given && kind === 'lstm') more('c', [batch, hidden]);
  if (c.peepholes && kind === 'lstm') more('peepholes', [3 * hidden]);
  const mask = Array.from({ length: time * batch }, (_, i) => Number((i * 7 + seed) % 3 !== 0));
  const options = (...xs: Tensor[]): RecurrenceOptions => ({
    kind,
    reverse,
    ...(kind === 'gru' ? { resetAfter } : {}),
    ...(kind === 'lstm' ? { coupled: c.coupled } : {}),
    ...Object.fromEntries(names.map((name, i) => [name, xs[2 + i]])),
    ...(c.masked ? { active: tensor(mask, { shape: [time, batch], dtype: 'bool' }) } : {}),
  });
  return { options, inputs };
}

test('gradients agree with finite differences, for every option', () => {
  setDevice(EXACT.make());
  fc.assert(
    fc.property(casesOf(3), (c) => {
      const { options, inputs } = make(c);
      const { active } = options(...inputs);
      const f = (...xs: Tensor[]): Tensor => {
        const { h, c: cell } = recurrence(xs[0], xs[1], { ...options(...xs), ...(active ? { active } : {}) });
        return cell === undefined ? h : add(h, mul(cell, cell));
      };
      checkGradients(f, inputs, { seed: c.seed });
    }),
    { numRuns: 24 },
  );
});

/** The formulas of the papers as compositions, step by step. */
function bySteps(c: Case, brought: Tensor, weight: Tensor, options: RecurrenceOptions): Tensor[] {
  const { time, batch, hidden, kind } = c;
  let h = options.h ?? zeros([batch, hidden]);
  let cell = options.c ?? zeros([batch, hidden]);
  const hs: Tensor[] = [];
  const part = (t: Tensor, i: number): Tensor =>
    t.rank === 1 ? slice(t, [i * hidden], [hidden]) : slice(t, [0, i * hidden], [t.shape[0], hidden]);
  const rows = (i: number): Tensor => slice(weight, [i * hidden, 0], [hidden, hidden]);
  for (let n = 0; n < time; n++) {
    const t = c.reverse ? time - 1 - n : n;
    const x = reshape(slice(brought, [t, 0, 0], [1, batch, brought.shape[2]]), [batch, brought.shape[2]]);
    const recurred = (i: number, state = h): Tensor => linear(state, rows(i), options.bias && part(options.bias, i));
    const peep = (i: number, state: Tensor): Tensor | number =>
      options.peepholes ? mul(part(options.peepholes, i), state) : 0;
    let next: Tensor;
    let nextCell = cell;
    if (kind === 'rnn') next = tanh(add(x, recurred(0)));
    else if (kind === 'lstm') {
      const input = sigmoid(add(add(part(x, 0), recurred(0)), peep(0, cell)));
      const forget = c.coupled ? sub(1, input) : sigmoid(add(add(part(x, 1), recurred(1)), peep(1, cell)));
      nextCell = add(mul(forget, cell), mul(input, tanh(add(part(x, 2), recurred(2)))));
      next = mul(sigmoid(add(add(part(x, 3), recurred(3)), peep(2, nextCell))), tanh(nextCell));
    } else {
      const reset = sigmoid(add(part(x, 0), recurred(0)));
      const update = sigmoid(add(part(x, 1), recurred(1)));
      const inner = c.resetAfter ? mul(reset, recurred(2)) : recurred(2, mul(reset, h));
      next = add(mul(sub(1, update), tanh(add(part(x, 2), inner))), mul(update, h));
    }
    if (options.active !== undefined) {
      const active = reshape(slice(options.active, [t, 0], [1, batch]), [batch, 1]);
      next = where(active, next, h);
      nextCell = where(active, nextCell, cell);
    }
    [h, cell] = [next, nextCell];
    hs[t] = h;
  }
  return hs;
}

test('states are those of the formulas step by step', () => {
  setDevice(EXACT.make());
  fc.assert(
    fc.property(casesOf(7), (c) => {
      const { options, inputs } = make(c);
      const given = options(...inputs);
      const expected = bySteps(c, inputs[0], inputs[1], given).flatMap((h) => [...h.data()]);
      const { h } = recurrence(inputs[0], inputs[1], given);
      h.data().forEach((value, i) => {
        assert.ok(Math.abs(value - expected[i]) < 1e-12, `${i}: ${value}, expected ${expected[i]}`);
      });
    }),
    { numRuns: 40 },
  );
});

for (const instructions of INSTRUCTIONS) {
  test(`programs compute what the plain loops do, whatever the number of threads [${instructions}]`, async () => {
    const devices = [1, 2].map((threads) => cpuDevice({ instructions, threads }));
    const all = (c: Case): Float32Array[] => {
      const { options, inputs } = make(c);
      const { active } = options(...inputs);
      const f = compile((...xs: Tensor[]) => {
        const { h, c: cell } = recurrence(xs[0], xs[1], { ...options(...xs), ...(active ? { active } : {}) });
        const y = cell === undefined ? sum(mul(h, h)) : add(sum(mul(h, h)), sum(cell));
        return [h, ...gradients(y, xs)];
      });
      const results = f.sync(...inputs).map((t) => t.data() as Float32Array);
      f.dispose();
      return results;
    };
    try {
      fc.assert(
        fc.property(casesOf(20), (c) => {
          setDevice(EXACT.make());
          const expected = all(c);
          const [one, two] = devices.map((device) => {
            setDevice(device);
            return all(c);
          });
          assert.deepEqual(one, two);
          expected.forEach((values, n) => {
            const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
            values.forEach((value, i) => {
              assert.ok(
                Math.abs(one[n][i] - value) < 2e-5 * scale,
                `result ${n}, ${i}: ${one[n][i]}, expected ${value}`,
              );
            });
          });
        }),
        // Longer than a part of a program.
        { numRuns: 12, examples: [[LONG]] },
      );
    } finally {
      await Promise.all(devices.map((device) => device.close()));
    }
  });
}

const SCALAR: Readonly<Record<CellActivationName, (x: number) => number>> = {
  affine: (x) => 1.5 * x + 0.3,
  elu: (x) => (x > 0 ? x : 0.7 * Math.expm1(x)),
  exponential: Math.exp,
  // The normal distribution by Simpson's rule.
  gelu: (x) => {
    const step = x / 2000;
    let total = 0;
    for (let n = 0; n <= 2000; n++) {
      total += (n === 0 || n === 2000 ? 1 : n % 2 === 1 ? 4 : 2) * Math.exp(-((n * step) ** 2) / 2);
    }
    return x * (0.5 + (total * step) / 3 / Math.sqrt(2 * Math.PI));
  },
  geluTanh: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  hardSigmoid: (x) => Math.min(1, Math.max(0, 0.3 * x + 0.4)),
  hardTanh: (x) => Math.min(1, Math.max(-1, x)),
  leakyRelu: (x) => (x > 0 ? x : 0.2 * x),
  linear: (x) => x,
  relu: (x) => Math.max(0, x),
  relu6: (x) => Math.min(6, Math.max(0, x)),
  scaledTanh: (x) => 1.2 * Math.tanh(0.8 * x),
  selu: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  silu: (x) => x / (1 + Math.exp(-x)),
  softplus: (x) => Math.log1p(Math.exp(x)),
  softsign: (x) => x / (1 + Math.abs(x)),
  tanh: Math.tanh,
  thresholdedRelu: (x) => (x > 0.6 ? x : 0),
};
const PARAMETERS: Partial<Record<CellActivationName, Omit<CellActivation, 'name'>>> = {
  affine: { alpha: 1.5, beta: 0.3 },
  elu: { alpha: 0.7 },
  hardSigmoid: { alpha: 0.3, beta: 0.4 },
  leakyRelu: { alpha: 0.2 },
  scaledTanh: { alpha: 1.2, beta: 0.8 },
  thresholdedRelu: { alpha: 0.6 },
};

test('every activation, with its parameters and clipped, and its derivative', () => {
  setDevice(EXACT.make());
  const values = [-7.3, -2.1, -0.4, 0.3, 0.9, 2.2, 6.7];
  for (const name of Object.keys(SCALAR) as CellActivationName[]) {
    for (const clip of [undefined, 1.7]) {
      const options: RecurrenceOptions = {
        kind: 'rnn',
        activations: [{ name, ...PARAMETERS[name] }],
        ...(clip === undefined ? {} : { clip }),
      };
      const x = tensor(values, { shape: [1, 7, 1] });
      const weight = zeros([1, 1]);
      const y = recurrence(x, weight, options).h.data();
      values.forEach((value, i) => {
        const inside = clip === undefined ? value : Math.min(clip, Math.max(-clip, value));
        const expected = SCALAR[name](inside);
        assert.ok(
          Math.abs(y[i] - expected) < 2e-6 * Math.max(1, Math.abs(expected)),
          `${name}(${inside}): ${y[i]}, expected ${expected}`,
        );
      });
      checkGradients((t) => recurrence(t, weight, options).h, [x]);
    }
  }
});

test('a program has a few kernels for each step, and its weights have one product for all', () => {
  const graph = compile((x: Tensor, w: Tensor) => gradients(sum(recurrence(x, w, { kind: 'lstm' }).h), [x, w])).graph(
    zeros([40, 3, 20]),
    zeros([20, 5]),
  );
  assert.ok(graph.nodes.length < 40, `${graph.nodes.length} nodes while it is traced`);
  const parts = expandOperators(graph).nodes;
  const products = parts.filter(({ operator }) => operator.name === 'convolution');
  // Forward 40, all at once again, backward 40 (the first of which nobody needs), and the weights'.
  assert.ok(products.length <= 82, `${products.length} products`);
  assert.ok(parts.length < 40 * 8 + 60, `${parts.length} nodes`);
});

test('errors', () => {
  setDevice(EXACT.make());
  const x = zeros([2, 3, 8]);
  const w = zeros([8, 2]);
  assert.throws(
    () => recurrence(x, zeros([8, 3]), { kind: 'lstm' }, 'LSTM'),
    /LSTM: the weight must be \[8, 2\], got \[8, 3\]/,
  );
  assert.throws(() => recurrence(zeros([0, 3, 8]), w, { kind: 'lstm' }), ShapeError);
  assert.throws(() => recurrence(x, w, { kind: 'lstm', gates: 'ifgg' }), /gates of lstm are ifgo in some order/);
  assert.throws(() => recurrence(zeros([2, 3, 6]), zeros([6, 2]), { kind: 'gru', gates: 'nrz' }), /n last/);
  assert.throws(() => recurrence(x, w, { kind: 'lstm', activations: [{ name: 'tanh' }] }), /lstm has 3 activations/);
  const unknown = [{ name: 'cube' as 'tanh' }, { name: 'tanh' as const }, { name: 'tanh' as const }];
  assert.throws(() => recurrence(x, w, { kind: 'lstm', activations: unknown }), /no activation "cube"/);
  assert.throws(() => recurrence(zeros([2, 3, 2]), zeros([2, 2]), { kind: 'rnn', c: zeros([3, 2]) }), OptionError);
  assert.throws(() => recurrence(x, w, { kind: 'lstm', active: zeros([2, 3]) }), /active must be bool/);
  assert.throws(
    () => recurrence(zeros([5000, 1, 8]), w, { kind: 'lstm' }, 'LSTM'),
    /LSTM: 5000 steps are too many .* pass the state on/,
  );
  assert.throws(() => recurrence(x, w, { kind: 'lstm', clip: 0 }), /clip must be above 0/);
});
