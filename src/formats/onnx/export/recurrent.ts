import type { Node, Value } from '../../../graph/graph.js';
import type { Contraction } from '../../../kernel/contraction.js';
import type { RecurrenceAttributes } from '../../../ops/recurrence.js';
import type { CellActivation, CellActivationName } from '../../../ops/recurrent-cell.js';
import { OptionError } from '../../../tensor/errors.js';
import { channelVector, type Match, made, orders, type Pattern, unshaped } from './patterns.js';
import { type AttributeValues, type Extent, FloatAttribute, type GraphWriter } from './writer.js';

/** ONNX's operators, and their gates in the order of theirs. */
const OPERATORS = {
  rnn: { opType: 'RNN', gates: 'n' },
  lstm: { opType: 'LSTM', gates: 'iofg' },
  gru: { opType: 'GRU', gates: 'zrn' },
} as const;

/** ONNX's names of activations, and how many parameters they have. */
const ACTIVATIONS: Partial<Record<CellActivationName, readonly [name: string, defaults: readonly number[]]>> = {
  affine: ['Affine', [1, 0]],
  elu: ['Elu', [1]],
  hardSigmoid: ['HardSigmoid', [0.2, 0.5]],
  leakyRelu: ['LeakyRelu', [0.01]],
  linear: ['Affine', [1, 0]],
  relu: ['Relu', []],
  scaledTanh: ['ScaledTanh', [1, 1]],
  sigmoid: ['Sigmoid', []],
  softplus: ['Softplus', []],
  softsign: ['Softsign', []],
  tanh: ['Tanh', []],
  thresholdedRelu: ['ThresholdedRelu', [1]],
};

/** What the inputs bring, W · x + b, as the operator of ONNX computes it itself. */
interface Brought {
  /** […, features], of which there are as many as rows */
  readonly x: Value;
  readonly weight: Value;
  readonly bias: Value | undefined;
}

function broughtBy(value: Value): Brought | undefined {
  const sum = unshaped(value);
  const product = (v: Value): Node | undefined => {
    const node = made(v, 'convolution');
    const { role, geometry } = (node?.attributes ?? {}) as Partial<Contraction>;
    return role === 'output' && geometry?.axes.length === 0 && geometry.groups === 1 ? node : undefined;
  };
  const bare = product(sum);
  if (bare !== undefined) return { x: bare.inputs[0], weight: bare.inputs[1], bias: undefined };
  for (const [term, added] of orders(made(sum, 'add'))) {
    const node = product(term);
    const bias = channelVector(added, 2);
    if (node !== undefined && bias !== undefined) return { x: node.inputs[0], weight: node.inputs[1], bias };
  }
  return undefined;
}

/** A loop over time, with the product that comes before it where there is one. */
export const recurrent: Pattern = (node, { uses }) => {
  if (node.operator.name !== 'recurrence') return undefined;
  const attributes = node.attributes as RecurrenceAttributes;
  const operand = (name: (typeof attributes.names)[number]): Value | undefined =>
    node.inputs[attributes.names.indexOf(name)];
  const refuse = (what: string): never => {
    const where = node.scope === '' ? '' : `"${node.scope}": `;
    throw new OptionError(`exportOnnx: ${where}${what}, which ONNX's recurrent operators cannot do`);
  };
  if (operand('active') !== undefined) refuse('steps are masked');
  if (node.outputs[1] !== undefined && uses(node.outputs[1]) > 0) refuse('the cell of an LSTM is an output');
  const activations = attributes.cell.activations.map(
    ({ name }) => ACTIVATIONS[name] ?? refuse(`activation "${name}"`),
  );
  const brought = broughtBy(operand('brought') as Value);
  const inputs = node.inputs.slice(1);
  const before = brought === undefined ? [node.inputs[0]] : [brought.x, brought.weight, brought.bias];
  return {
    inputs: [...before.filter((value) => value !== undefined), ...inputs],
    write: (w) => write(w, node, brought, operand, activations),
  } satisfies Match;
};

function write(
  w: GraphWriter,
  node: Node,
  brought: Brought | undefined,
  operand: (name: RecurrenceAttributes['names'][number]) => Value | undefined,
  activations: readonly (readonly [name: string, defaults: readonly number[]])[],
): string {
  const { cell, steps, reverse } = node.attributes as RecurrenceAttributes;
  const { opType, gates } = OPERATORS[cell.kind];
  const [, hidden] = node.outputs[0].type.shape;
  const columns = gates.length * hidden;
  // Rows are all samples of the first time, of the second, …; the number of either may be open.
  const [h, c] = [operand('h') as Value, operand('c')];
  const [batch] = w.extents(h);
  const [all] = w.extents(node.outputs[0]);
  const time: Extent =
    typeof batch === 'number' && typeof all !== 'number' ? { perBatch: all.perBatch / batch } : steps;
  const x = brought?.x ?? node.inputs[0];
  const features = x.type.shape[1];
  const sequence = w.reshape(w.name(unshaped(x)), [time, batch, features]);
  const one = (name: string, shape: readonly number[]): string => w.reshape(name, [1, ...shape]);
  const inOrder = (name: string, order: string, wanted: string): string => {
    if (order === wanted) return name;
    const parts = [...wanted].map((gate) => {
      const from = order.indexOf(gate) * hidden;
      return w.slice(name, [{ axis: 0, from, to: from + hidden, step: 1 }]);
    });
    return w.node('Concat', parts, { axis: 0 });
  };
  const own = (name: string): string => inOrder(name, cell.gates, gates);
  // Without a product before it, each gate takes its part as it is.
  const identity = Float32Array.from({ length: columns * columns }, (_, i) => Number(i % (columns + 1) === 0));
  const weight = brought === undefined ? w.constant('f32', [columns, columns], identity) : w.name(brought.weight);
  const none = (): string => w.constant('f32', [columns], new Float32Array(columns));
  const biases = [brought?.bias, operand('bias')];
  const bias = biases.some((value) => value !== undefined)
    ? one(
        w.node(
          'Concat',
          biases.map((value) => (value === undefined ? none() : own(w.name(value)))),
          { axis: 0 },
        ),
        [2 * columns],
      )
    : '';
  const state = (value: Value | undefined): string => {
    if (value === undefined || w.uniform(value) === 0) return '';
    return w.reshape(w.name(value), [1, batch, hidden]);
  };
  const peepholes = operand('peepholes');
  const peeping = (order: string): string => order.replace('g', '');
  const optional = [
    bias,
    '',
    state(h),
    ...(cell.kind === 'lstm' ? [state(c)] : []),
    ...(peepholes === undefined
      ? []
      : [one(inOrder(w.name(peepholes), peeping(cell.gates), peeping(gates)), [3 * hidden])]),
  ];
  while (optional.at(-1) === '') optional.pop();
  const inputs = [
    sequence,
    one(own(weight), [columns, features]),
    one(own(w.name(operand('weight') as Value)), [columns, hidden]),
    ...optional,
  ];
  const [y] = w.many(
    opType,
    inputs,
    {
      hidden_size: hidden,
      direction: reverse ? 'reverse' : 'forward',
      clip: cell.clip === undefined ? undefined : new FloatAttribute(cell.clip),
      ...activationAttributes(cell.activations, activations),
      linear_before_reset: cell.kind === 'gru' ? Number(cell.resetAfter) : undefined,
      input_forget: cell.kind === 'lstm' && cell.coupled ? 1 : undefined,
    },
    1,
  );
  // [time, 1, batch, hidden]
  return w.reshape(y, [all, hidden]);
}

/** Parameters, in the order of the activations that have any. */
function activationAttributes(
  given: readonly CellActivation[],
  activations: readonly (readonly [name: string, defaults: readonly number[]])[],
): AttributeValues {
  const parameters = (which: 'alpha' | 'beta', i: number): FloatAttribute[] | undefined => {
    const all = given.flatMap((activation, n) => {
      const [, defaults] = activations[n];
      if (defaults.length <= i) return [];
      return [new FloatAttribute((activation.name === 'linear' ? undefined : activation[which]) ?? defaults[i])];
    });
    return all.length === 0 ? undefined : all;
  };
  return {
    activations: activations.map(([name]) => name),
    activation_alpha: parameters('alpha', 0),
    activation_beta: parameters('beta', 1),
  };
}
