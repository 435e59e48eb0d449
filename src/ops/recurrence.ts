import { composite, type Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import type { Geometry } from '../kernel/contraction.js';
import { checkOptions, GaborError, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, formatType, type Shape, sameShape, type TensorType } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { sum } from './broadcast.js';
import { concat } from './concat.js';
import { linear } from './conv.js';
import { contract } from './convolution.js';
import { full } from './create.js';
import { add, mul } from './elementwise.js';
import { type Cell, type CellOptions, makeCell, resetsBefore } from './recurrent-cell.js';
import {
  gatesApart,
  recurrentReset,
  recurrentResetBack,
  recurrentStep,
  recurrentStepBack,
  type StepOperands,
  stateStays,
} from './recurrent-step.js';
import { reshape } from './reshape.js';
import { slice } from './slice.js';

/** Tensors of a recurrence and what its cell computes. */
export interface RecurrenceOptions extends CellOptions {
  /** [gates · hidden], added to the product of the state with the weights; default none */
  readonly bias?: Tensor;
  /** The state before the first step: [batch, hidden]; default zeros. */
  readonly h?: Tensor;
  /** Of an LSTM, the cell before the first step: [batch, hidden]; default zeros. */
  readonly c?: Tensor;
  /** Of an LSTM: [3 · hidden], in the order that i, f and o have among the gates; default none */
  readonly peepholes?: Tensor;
  /** bool [time, batch]: where it is false, the state stays as it is. */
  readonly active?: Tensor;
  /** From the last step to the first; default false. */
  readonly reverse?: boolean;
}

/** States after each step, in the order of time: [time, batch, hidden]. */
export interface RecurrentStates {
  readonly h: Tensor;
  /** Of an LSTM. */
  readonly c?: Tensor;
}

/** Compiling so many takes half a minute. */
const MOST_STEPS = 4096;

const OPTIONS: readonly string[] = [
  ...['kind', 'gates', 'activations', 'resetAfter', 'coupled', 'clip'],
  ...['bias', 'h', 'c', 'peepholes', 'active', 'reverse'],
];

/**
 * The loop over time of recurrent layers. `brought` is what the inputs bring to the gates, W · x and a bias, for all times at once. Per step there is
 * one product of the state with `weight` (two where a GRU resets before) and one kernel for the rest, which are written out for every
 * step when a program is compiled: that takes about 3 ms for a step, 5 ms where it trains, once. Gradients with respect to the weights are one product over
 * all steps. There are no second derivatives.
 *
 * @param brought [time, batch, gates · hidden]
 * @param weight [gates · hidden, hidden]
 * @param where named in messages
 */
export function recurrence(
  brought: Tensor,
  weight: Tensor,
  options: RecurrenceOptions,
  where = 'recurrence',
): RecurrentStates {
  checkOptions(where, options, OPTIONS);
  const { bias, peepholes, active, reverse = false, h: firstH, c: firstC, ...rest } = options;
  const cell = makeCell(where, rest);
  const gates = cell.gates.length;
  if (brought.rank !== 3 || brought.shape.includes(0)) {
    throw new ShapeError(`${where}: expected [time, batch, gates · hidden], got ${formatShape(brought.shape)}`);
  }
  const [steps, batch, columns] = brought.shape;
  if (steps > MOST_STEPS) {
    throw new ShapeError(
      `${where}: ${steps} steps are too many for a program, which takes at most ${MOST_STEPS}; shorten the sequence with strides or pooling before it, or run it in parts and pass the state on`,
    );
  }
  const hidden = columns / gates;
  const check = (name: string, tensor: Tensor | undefined, shape: Shape): void => {
    if (tensor === undefined || sameShape(tensor.shape, shape)) return;
    throw new ShapeError(`${where}: ${name} must be ${formatShape(shape)}, got ${formatShape(tensor.shape)}`);
  };
  check('the weight', weight, [columns, hidden]);
  check('the bias', bias, [columns]);
  check('the first h', firstH, [batch, hidden]);
  check('the first c', firstC, [batch, hidden]);
  check('peepholes', peepholes, [3 * hidden]);
  check('active', active, [steps, batch]);
  if (active !== undefined && active.dtype !== 'bool') {
    throw new ShapeError(`${where}: active must be bool, got ${formatType(active.type)}`);
  }
  const lstm = cell.kind === 'lstm';
  if (!lstm && (firstC ?? peepholes) !== undefined) {
    throw new OptionError(`${where}: only an LSTM has a cell and peepholes, this is ${cell.kind}`);
  }
  const zeros = (): Tensor => full([batch, hidden], 0, brought.dtype);
  const operands: RecurrenceOperands = {
    brought: reshape(brought, [steps * batch, columns]),
    weight,
    h: firstH ?? zeros(),
    ...(lstm ? { c: firstC ?? zeros() } : {}),
    ...(bias === undefined ? {} : { bias }),
    ...(peepholes === undefined ? {} : { peepholes }),
    ...(active === undefined ? {} : { active: reshape(active, [steps * batch, 1]) }),
  };
  const names = Object.keys(operands) as RecurrenceAttributes['names'];
  const attributes: RecurrenceAttributes = { cell, steps, batch, reverse, names };
  const [h, c] = applyOperator(recurrenceOperator, Object.values(operands), attributes);
  const timed = (t: Tensor): Tensor => reshape(t, [steps, batch, hidden]);
  return { h: timed(h), ...(lstm ? { c: timed(c) } : {}) };
}

/** Matrices have one row for each sample at each time, those of a time together. */
interface RecurrenceOperands {
  readonly brought: Tensor;
  readonly weight: Tensor;
  readonly h: Tensor;
  readonly c?: Tensor;
  readonly bias?: Tensor;
  readonly peepholes?: Tensor;
  readonly active?: Tensor;
}

export interface RecurrenceAttributes {
  readonly cell: Cell;
  readonly steps: number;
  readonly batch: number;
  readonly reverse: boolean;
  /** Of the operands, in their order. */
  readonly names: readonly (keyof RecurrenceOperands)[];
}

function operandsByName(tensors: readonly Tensor[], names: readonly string[]): RecurrenceOperands {
  return Object.fromEntries(names.map((name, i) => [name, tensors[i]])) as unknown as RecurrenceOperands;
}

/** Times in the order of the steps. */
function timesOf({ steps, reverse }: RecurrenceAttributes): number[] {
  const times = Array.from({ length: steps }, (_, t) => t);
  return reverse ? times.reverse() : times;
}

/** Rows of weights that belong to the product with the state before, and those of the second product. */
function splitRows(t: Tensor, cell: Cell): [Tensor, Tensor | undefined] {
  if (!resetsBefore(cell)) return [t, undefined];
  const count = (2 * t.shape[0]) / 3;
  const rest = t.shape.slice(1);
  return [
    slice(
      t,
      t.shape.map(() => 0),
      [count, ...rest],
    ),
    slice(
      t,
      t.shape.map((_, d) => (d === 0 ? count : 0)),
      [t.shape[0] - count, ...rest],
    ),
  ];
}

/** Parts to one matrix below each other; of many parts in groups, since kernels nest as deep as there are parts. */
const GROUP = 256;
function stack(parts: readonly Tensor[]): Tensor {
  if (parts.length <= GROUP) return concat(parts, 0);
  const groups: Tensor[] = [];
  for (let from = 0; from < parts.length; from += GROUP) groups.push(concat(parts.slice(from, from + GROUP), 0));
  return stack(groups);
}

const recurrenceOperator: Operator<RecurrenceAttributes> = composite({
  name: 'recurrence',
  infer([{ dtype, shape }, weight], { cell, names }) {
    const type: TensorType = { dtype, shape: [shape[0], weight.shape[1]] };
    return names.includes('c') && cell.kind === 'lstm' ? [type, type] : [type];
  },
  expand(tensors, attributes) {
    const { cell, batch } = attributes;
    const { weight, bias, h: firstH, c: firstC, ...others } = operandsByName(tensors, attributes.names);
    const [weights, second] = splitRows(weight, cell);
    const [biases, secondBias] = bias === undefined ? [] : splitRows(bias, cell);
    let [h, c] = [firstH, firstC];
    const hs: Tensor[] = [];
    const cs: Tensor[] = [];
    for (const time of timesOf(attributes)) {
      const at = { cell, row: time * batch, rows: batch };
      let operands: StepOperands = { ...others, recurred: linear(h, weights, biases), h, c };
      if (second !== undefined) {
        operands = { ...operands, second: linear(recurrentReset(operands, at), second, secondBias) };
      }
      [h, c] = recurrentStep(operands, at);
      hs[time] = h;
      cs[time] = c;
    }
    return firstC === undefined ? [stack(hs)] : [stack(hs), stack(cs)];
  },
  gradient({ inputs, outputs: [h, c], attributes, gradients, wanted }) {
    const { cell, names } = attributes;
    if (gradients.every((g) => g === undefined)) return [];
    const operands = operandsByName(inputs, names);
    const { weight, bias } = operands;
    const [weights, second] = splitRows(weight, cell);
    const [biases, secondBias] = bias === undefined ? [] : splitRows(bias, cell);
    // Products with weights again, of all steps at once: they need not be kept.
    const before = shifted(h, operands.h, attributes);
    const cBefore = operands.c && shifted(c, operands.c, attributes);
    let states: StepOperands = { ...operands, h: before, c: cBefore, recurred: linear(before, weights, biases) };
    states = withoutWeights(states);
    let left: Tensor | undefined;
    if (second !== undefined) {
      left = recurrentReset(states, { cell, row: 0, rows: h.shape[0] });
      states = { ...states, second: linear(left, second, secondBias) };
    }
    const none = (): Tensor => full(h.shape, 0, h.dtype);
    const back: BackOperands = {
      ...states,
      weight,
      fromH: gradients[0] ?? none(),
      ...(c === undefined ? {} : { fromC: gradients[1] ?? none() }),
    };
    const backNames = Object.keys(back).filter((name) => back[name as keyof BackOperands] !== undefined);
    const results = applyOperator(
      recurrenceBackOperator,
      backNames.map((name) => back[name as keyof BackOperands] as Tensor),
      { ...attributes, names: backNames },
    );
    const sums = results[0];
    const recurred = gatesApart(cell) ? results[1] : sums;
    const [ofH, ofC] = results.slice(gatesApart(cell) ? 2 : 1);
    const byName: Partial<Record<keyof RecurrenceOperands, () => Tensor>> = {
      brought: () => sums,
      weight: () => {
        if (left === undefined) return products(before, recurred);
        const columns = 2 * before.shape[1];
        const [first, last] = [cut(recurred, 0, columns), cut(recurred, columns, before.shape[1])];
        return concat([products(before, first), products(left, last)], 0);
      },
      bias: () => sum(recurred, 0),
      h: () => ofH,
      c: () => ofC,
      peepholes: () => peepholeGradient(sums, cBefore as Tensor, c, cell),
    };
    return names.map((name, i) => (wanted(i) ? byName[name]?.() : undefined));
  },
});

/** The state before each step. */
function shifted(states: Tensor, first: Tensor, { batch, reverse }: RecurrenceAttributes): Tensor {
  const [rows, hidden] = states.shape;
  if (rows === batch) return first;
  const others = slice(states, [reverse ? batch : 0, 0], [rows - batch, hidden]);
  return concat(reverse ? [others, first] : [first, others], 0);
}

function withoutWeights(operands: StepOperands): StepOperands {
  const { brought, recurred, h, c, peepholes, active } = operands;
  return { brought, recurred, h, c, peepholes, active };
}

/** Columns from `from` on. */
function cut(t: Tensor, from: number, count: number): Tensor {
  return slice(t, [0, from], [t.shape[0], count]);
}

/** gᵀ · x: the gradient with respect to weights. */
function products(x: Tensor, g: Tensor): Tensor {
  return contract('filter', x, g, geometryOf(x.shape[0], x.shape[1], g.shape[1]));
}

function geometryOf(batch: number, channelsIn: number, channelsOut: number): Geometry {
  return { batch, groups: 1, channelsIn, channelsOut, axes: [] };
}

function peepholeGradient(sums: Tensor, before: Tensor, after: Tensor, { gates }: Cell): Tensor {
  const hidden = before.shape[1];
  const parts = [...gates].flatMap((gate, i) => {
    if (gate === 'g') return [];
    return [sum(mul(cut(sums, i * hidden, hidden), gate === 'o' ? after : before), 0)];
  });
  return concat(parts, 0);
}

interface BackOperands extends StepOperands {
  readonly weight: Tensor;
  readonly fromH: Tensor;
  readonly fromC?: Tensor;
}

type BackAttributes = Omit<RecurrenceAttributes, 'names'> & { readonly names: readonly string[] };

/**
 * Backpropagation through time: gradients with respect to the sums that go into the gates, to what the state brings to them where that
 * is not the same, and to the first state.
 */
const recurrenceBackOperator: Operator<BackAttributes> = composite({
  name: 'recurrenceBack',
  infer(types, { cell, batch, names }) {
    const brought = types[names.indexOf('brought')];
    const { dtype, shape } = types[names.indexOf('h')];
    const state: TensorType = { dtype, shape: [batch, shape[1]] };
    const all: TensorType = { dtype, shape: brought.shape };
    return [all, ...(gatesApart(cell) ? [all] : []), state, ...(names.includes('c') ? [state] : [])];
  },
  gradient() {
    throw new GaborError('recurrent layers have no second derivatives');
  },
  expand(tensors, attributes) {
    const { cell, batch, names } = attributes;
    const byName = Object.fromEntries(names.map((name, i) => [name, tensors[i]]));
    const { weight, fromH, fromC, ...rest } = byName as unknown as BackOperands;
    const operands: StepOperands = rest;
    const hidden = fromH.shape[1];
    const [weights, second] = splitRows(weight, cell);
    const masked = operands.active !== undefined;
    const all: Tensor[] = [];
    const allRecurred: Tensor[] = [];
    const none = (): Tensor => full([batch, hidden], 0, fromH.dtype);
    let carriedH = none();
    let carriedC = fromC && none();
    for (const time of timesOf({ ...attributes, names: [] }).reverse()) {
      const at = { cell, row: time * batch, rows: batch };
      const step = recurrentStepBack(operands, { fromH, carriedH, fromC, carriedC }, at);
      const { sums } = step;
      carriedC = step.c;
      let kept = stateStays(cell, masked) ? (step.h as Tensor) : undefined;
      if (second !== undefined) {
        const left = through(sums.at(-1) as Tensor, second);
        const [reset, more] = recurrentResetBack(operands, left, at);
        sums.splice(cell.gates.indexOf('r'), 0, reset);
        kept = add(kept as Tensor, more);
      }
      all[time] = concat(sums, 1);
      const recurred = step.recurred === undefined ? all[time] : concat([...sums.slice(0, -1), step.recurred], 1);
      allRecurred[time] = recurred;
      const first = second === undefined ? recurred : concat(sums.slice(0, -1), 1);
      const next = through(first, weights);
      carriedH = kept === undefined ? next : add(next, kept);
    }
    return [
      stack(all),
      ...(gatesApart(cell) ? [stack(allRecurred)] : []),
      carriedH,
      ...(carriedC === undefined ? [] : [carriedC]),
    ];
  },
});

/** g · weight: the gradient with respect to what weights were multiplied by. */
function through(g: Tensor, weight: Tensor): Tensor {
  const [rows, columns] = weight.shape;
  return contract('input', weight, g, geometryOf(g.shape[0], columns, rows));
}
