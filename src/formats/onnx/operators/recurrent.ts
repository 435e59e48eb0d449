import { concat } from '../../../ops/concat.js';
import { linear } from '../../../ops/conv.js';
import { iota } from '../../../ops/create.js';
import { less, where } from '../../../ops/elementwise.js';
import { type RecurrenceOptions, recurrence } from '../../../ops/recurrence.js';
import type { CellActivation, CellActivationName } from '../../../ops/recurrent-cell.js';
import { reshape } from '../../../ops/reshape.js';
import { slice } from '../../../ops/slice.js';
import { transpose } from '../../../ops/transpose.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { OperatorContext, OperatorRow, OperatorTable, Results } from '../context.js';
import { OnnxValue } from '../value.js';

/** ONNX's names of activations, in lower case, and how many parameters they have. */
const ACTIVATIONS: Readonly<Record<string, readonly [name: CellActivationName, parameters: number]>> = {
  affine: ['affine', 2],
  elu: ['elu', 1],
  hardsigmoid: ['hardSigmoid', 2],
  leakyrelu: ['leakyRelu', 1],
  relu: ['relu', 0],
  scaledtanh: ['scaledTanh', 2],
  sigmoid: ['sigmoid', 0],
  softplus: ['softplus', 0],
  softsign: ['softsign', 0],
  tanh: ['tanh', 0],
  thresholdedrelu: ['thresholdedRelu', 1],
};

/** The activations that a node names, of all directions; each takes the next parameters, if it has any. */
function activationsOf(c: OperatorContext): CellActivation[] {
  const alphas = [...(c.floats('activation_alpha') ?? [])];
  const betas = [...(c.floats('activation_beta') ?? [])];
  return (c.texts('activations') ?? []).map((text): CellActivation => {
    const [name, parameters] = ACTIVATIONS[text.toLowerCase()] ?? c.refuse(`activation "${text}" is not known`);
    const alpha = parameters > 0 ? alphas.shift() : undefined;
    const beta = parameters > 1 ? betas.shift() : undefined;
    return { name, ...(alpha === undefined ? {} : { alpha }), ...(beta === undefined ? {} : { beta }) };
  });
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

interface Kind {
  readonly kind: RecurrenceOptions['kind'];
  /** Their order in ONNX. */
  readonly gates: string;
  readonly activations: number;
  readonly attributes: readonly string[];
  readonly options?: (c: OperatorContext) => Partial<RecurrenceOptions>;
}

function run(c: OperatorContext, { kind, gates, activations: count, options }: Kind): Results {
  const batchFirst = c.flag('layout');
  const x = batchFirst ? transpose(c.x(0), [1, 0, 2]) : c.x(0);
  const [steps, batch] = x.shape;
  const direction = c.text('direction', 'forward');
  const directions = direction === 'bidirectional' ? 2 : 1;
  const hidden = c.x(2).shape[2];
  const size = gates.length * hidden;
  const lstm = kind === 'lstm';
  const initial = (i: number, d: number): Tensor | undefined => {
    const given = c.optional(i);
    return given && at(batchFirst ? transpose(given, [1, 0, 2]) : given, d);
  };
  const lengths = c.optional(4);
  const active = lengths && less(iota([steps, 1], 0), reshape(lengths, [1, batch]));
  const clip = c.float('clip', 0);
  const activations = activationsOf(c);
  const outputs: Tensor[] = [];
  const last: { h: Tensor[]; c: Tensor[] } = { h: [], c: [] };
  for (let d = 0; d < directions; d++) {
    const bias = c.has(3) ? at(c.x(3), d) : undefined;
    const reverse = direction === 'reverse' || d === 1;
    const brought = linear(x, at(c.x(1), d), bias && slice(bias, [0], [size]));
    const given: Partial<RecurrenceOptions> = {
      bias: bias && slice(bias, [size], [size]),
      h: initial(5, d),
      c: lstm ? initial(6, d) : undefined,
      peepholes: lstm && c.has(7) ? at(c.x(7), d) : undefined,
      active,
      activations: activations.length === 0 ? undefined : activations.slice(d * count, (d + 1) * count),
      clip: clip === 0 ? undefined : clip,
    };
    const states = recurrence(
      brought,
      at(c.x(2), d),
      { kind, gates, reverse, ...given, ...options?.(c) },
      kind.toUpperCase(),
    );
    // Beyond the end of a sequence the state stays, and the output is 0.
    const own = active === undefined ? states.h : where(reshape(active, [steps, batch, 1]), states.h, 0);
    outputs.push(reshape(own, [1, steps, batch, hidden]));
    const end = (all: Tensor): Tensor => slice(all, [reverse ? 0 : steps - 1, 0, 0], [1, batch, hidden]);
    last.h.push(end(states.h));
    if (states.c !== undefined) last.c.push(end(states.c));
  }
  const { type } = c.value(0);
  // [directions, steps, batch, hidden]
  const y = transpose(concat(outputs, 0), batchFirst ? [2, 1, 0, 3] : [1, 0, 2, 3]);
  const finals = [last.h, ...(lstm ? [last.c] : [])].map((parts) => {
    const all = concat(parts, 0);
    return OnnxValue.of(type, batchFirst ? transpose(all, [1, 0, 2]) : all);
  });
  return [OnnxValue.of(type, y), ...finals];
}

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
    kind: 'gru',
    gates: 'zrn',
    activations: 2,
    attributes: ['linear_before_reset'],
    options: (c) => ({ resetAfter: c.flag('linear_before_reset') }),
  }),
  LSTM: layer({
    kind: 'lstm',
    gates: 'iofg',
    activations: 3,
    attributes: ['input_forget'],
    options: (c) => ({ coupled: c.flag('input_forget') }),
  }),
  RNN: layer({ kind: 'rnn', gates: 'n', activations: 1, attributes: [] }),
};
