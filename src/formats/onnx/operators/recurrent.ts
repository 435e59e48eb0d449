import { elu, softplus, softsign } from '../../../ops/activations.js';
import { concat } from '../../../ops/concat.js';
import { linear } from '../../../ops/conv.js';
import { full } from '../../../ops/create.js';
import {
  add,
  greater,
  leakyRelu,
  maximum,
  minimum,
  mul,
  relu,
  sigmoid,
  sub,
  tanh,
  where,
} from '../../../ops/elementwise.js';
import { reshape } from '../../../ops/reshape.js';
import { slice } from '../../../ops/slice.js';
import { transpose } from '../../../ops/transpose.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { OperatorContext, OperatorRow, OperatorTable, Results } from '../context.js';
import { OnnxValue } from '../value.js';

// Recurrent layers, unrolled over the (known) number of steps.

type Activation = (x: Tensor) => Tensor;

const MOST_STEPS = 4096;

/** The activations that a node names for a direction, with the parameters they take in turn. */
function activations(c: OperatorContext, defaults: readonly string[], direction: number): Activation[] {
  const names = c.texts('activations') ?? [];
  const alphas = c.floats('activation_alpha') ?? [];
  const betas = c.floats('activation_beta') ?? [];
  const own =
    names.length === 0 ? defaults : names.slice(direction * defaults.length, (direction + 1) * defaults.length);
  const made = own.map((name, i): Activation => {
    const at = direction * defaults.length + i;
    const alpha = (otherwise: number): number => alphas[at] ?? otherwise;
    const beta = (otherwise: number): number => betas[at] ?? otherwise;
    switch (name.toLowerCase()) {
      case 'sigmoid':
        return sigmoid;
      case 'tanh':
        return tanh;
      case 'relu':
        return relu;
      case 'leakyrelu':
        return (x) => leakyRelu(x, alpha(0.01));
      case 'thresholdedrelu':
        return (x) => where(greater(x, alpha(1)), x, 0);
      case 'elu':
        return (x) => elu(x, alpha(1));
      case 'hardsigmoid':
        return (x) => maximum(minimum(add(mul(x, alpha(0.2)), beta(0.5)), 1), 0);
      case 'scaledtanh':
        return (x) => mul(tanh(mul(x, beta(1))), alpha(1));
      case 'affine':
        return (x) => add(mul(x, alpha(1)), beta(0));
      case 'softsign':
        return softsign;
      case 'softplus':
        return (x) => softplus(x, 1, 80);
      default:
        return c.refuse(`activation "${name}" is not known`);
    }
  });
  const clip = c.float('clip', 0);
  if (clip === 0) return made;
  return made.map((f) => (x) => f(maximum(minimum(x, clip), -clip)));
}

/** Part `i` along the first axis, without it. */
function at(x: Tensor, i: number): Tensor {
  const part = slice(
    x,
    x.shape.map((_, d) => (d === 0 ? i : 0)),
    [1, ...x.shape.slice(1)],
  );
  return reshape(part, x.shape.slice(1));
}

/** Columns `i · size …` of the last axis. */
function columns(x: Tensor, i: number, size: number): Tensor {
  return slice(
    x,
    x.shape.map((_, d) => (d === x.rank - 1 ? i * size : 0)),
    [...x.shape.slice(0, -1), size],
  );
}

/** What a cell sees of one direction. */
interface Cell {
  readonly hidden: number;
  /** [gates · hidden, hidden] */
  readonly recurrence: Tensor;
  /** [gates · hidden], of the recurrence; undefined for none */
  readonly bias: Tensor | undefined;
  readonly peepholes: Tensor | undefined;
  readonly f: readonly Activation[];
}

/** A step: what the inputs bring, [batch, gates · hidden], and the state before, to the state after; the first state is the output. */
type Step = (c: OperatorContext, cell: Cell, x: Tensor, state: readonly Tensor[]) => Tensor[];

interface Kind {
  readonly gates: number;
  readonly states: number;
  readonly defaults: readonly string[];
  readonly step: Step;
  readonly attributes: readonly string[];
  /** inputs: initial states, then peepholes */
  readonly peepholes?: number;
}

function run(c: OperatorContext, kind: Kind): Results {
  const batchFirst = c.flag('layout');
  const x = batchFirst ? transpose(c.x(0), [1, 0, 2]) : c.x(0);
  const [steps, batch, features] = x.shape;
  if (steps > MOST_STEPS) c.refuse(`${steps} steps; at most ${MOST_STEPS} are unrolled`);
  const direction = c.text('direction', 'forward');
  const directions = direction === 'bidirectional' ? 2 : 1;
  const hidden = c.x(2).shape[2];
  const size = kind.gates * hidden;
  const initial = (i: number, d: number): Tensor => {
    const given = c.optional(5 + i);
    if (given === undefined) return full([batch, hidden], 0);
    return at(batchFirst ? transpose(given, [1, 0, 2]) : given, d);
  };
  const lengths = c.optional(4);
  const outputs: Tensor[][] = [];
  const last: Tensor[][] = [];
  for (let d = 0; d < directions; d++) {
    const bias = c.has(3) ? at(c.x(3), d) : undefined;
    const inputs = reshape(
      linear(reshape(x, [steps * batch, features]), at(c.x(1), d), bias && columns(bias, 0, size)),
      [steps, batch, size],
    );
    const cell: Cell = {
      hidden,
      recurrence: at(c.x(2), d),
      bias: bias && columns(bias, 1, size),
      peepholes: kind.peepholes !== undefined && c.has(kind.peepholes) ? at(c.x(kind.peepholes), d) : undefined,
      f: activations(c, kind.defaults, d),
    };
    let state = Array.from({ length: kind.states }, (_, i) => initial(i, d));
    const backwards = direction === 'reverse' || d === 1;
    const own = new Array<Tensor>(steps);
    for (let n = 0; n < steps; n++) {
      const t = backwards ? steps - 1 - n : n;
      const next = kind.step(c, cell, at(inputs, t), state);
      if (lengths === undefined) {
        state = next;
        own[t] = state[0];
      } else {
        // Beyond the end of a sequence its state stays, and its output is 0.
        const inside = reshape(greater(lengths, t), [batch, 1]);
        state = next.map((after, i) => where(inside, after, state[i]));
        own[t] = where(inside, state[0], 0);
      }
    }
    outputs.push(own);
    last.push(state);
  }
  const stacked = (list: readonly Tensor[]): Tensor =>
    concat(
      list.map((t) => reshape(t, [1, ...t.shape])),
      0,
    );
  const y = stacked(outputs.flat());
  // [directions, steps, batch, hidden]
  const all = reshape(y, [directions, steps, batch, hidden]);
  const { type } = c.value(0);
  return [
    OnnxValue.of(type, transpose(all, batchFirst ? [2, 1, 0, 3] : [1, 0, 2, 3])),
    ...Array.from({ length: kind.states }, (_, i) => {
      const final = stacked(last.map((state) => state[i]));
      return OnnxValue.of(type, batchFirst ? transpose(final, [1, 0, 2]) : final);
    }),
  ];
}

/** Gates in the order input, output, forget, cell (Hochreiter and Schmidhuber, 1997; Gers, Schraudolph and Schmidhuber, 2002). */
const lstmStep: Step = (c, { hidden, recurrence, bias, peepholes, f: [f, g, h] }, x, [y, cell]) => {
  const sums = add(x, linear(y, recurrence, bias));
  const gate = (i: number): Tensor => columns(sums, i, hidden);
  const peep = (i: number, state: Tensor, sum: Tensor): Tensor =>
    peepholes === undefined ? sum : add(sum, mul(columns(peepholes, i, hidden), state));
  const input = f(peep(0, cell, gate(0)));
  const forget = c.flag('input_forget') ? sub(1, input) : f(peep(2, cell, gate(2)));
  const next = add(mul(forget, cell), mul(input, g(gate(3))));
  const output = f(peep(1, next, gate(1)));
  return [mul(output, h(next)), next];
};

/** Gates in the order update, reset, hidden (Cho et al., 2014). */
const gruStep: Step = (c, { hidden, recurrence, bias, f: [f, g] }, x, [y]) => {
  const part = (t: Tensor, i: number): Tensor => columns(t, i, hidden);
  const rows = (from: number, count: number): Tensor => slice(recurrence, [from * hidden, 0], [count * hidden, hidden]);
  const gates = add(columns(x, 0, 2 * hidden), linear(y, rows(0, 2), bias && columns(bias, 0, 2 * hidden)));
  const update = f(part(gates, 0));
  const reset = f(part(gates, 1));
  const last = bias && part(bias, 2);
  const inner = c.flag('linear_before_reset')
    ? mul(reset, linear(y, rows(2, 1), last))
    : linear(mul(reset, y), rows(2, 1), last);
  const candidate = g(add(part(x, 2), inner));
  return [add(mul(sub(1, update), candidate), mul(update, y))];
};

const rnnStep: Step = (_c, { recurrence, bias, f: [f] }, x, [y]) => [f(add(x, linear(y, recurrence, bias)))];

const COMMON: readonly string[] = [
  'activations',
  'activation_alpha',
  'activation_beta',
  'clip',
  'direction',
  'hidden_size',
  'layout',
  'output_sequence',
];

const layer = (kind: Kind): OperatorRow => ({ attributes: [...COMMON, ...kind.attributes], run: (c) => run(c, kind) });

export const RECURRENT: OperatorTable = {
  GRU: layer({
    gates: 3,
    states: 1,
    defaults: ['Sigmoid', 'Tanh'],
    step: gruStep,
    attributes: ['linear_before_reset'],
  }),
  LSTM: layer({
    gates: 4,
    states: 2,
    defaults: ['Sigmoid', 'Tanh', 'Tanh'],
    step: lstmStep,
    attributes: ['input_forget'],
    peepholes: 7,
  }),
  RNN: layer({ gates: 1, states: 1, defaults: ['Tanh'], step: rnnStep, attributes: [] }),
};
