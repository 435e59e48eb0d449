import { apply, constant, type Expression } from '../kernel/expression.js';
import { OptionError } from '../tensor/errors.js';

/** Kinds of recurrent layers: plain (Elman, 1990), LSTM (Hochreiter and Schmidhuber, 1997) and GRU (Cho et al., 2014). */
export type CellKind = 'rnn' | 'lstm' | 'gru';

/** An activation of a cell by name, with its parameters where it has some. */
export interface CellActivation {
  readonly name: CellActivationName;
  readonly alpha?: number;
  readonly beta?: number;
}

export type CellActivationName =
  | 'affine'
  | 'elu'
  | 'exponential'
  | 'gelu'
  | 'geluTanh'
  | 'hardSigmoid'
  | 'hardTanh'
  | 'leakyRelu'
  | 'linear'
  | 'relu'
  | 'relu6'
  | 'scaledTanh'
  | 'selu'
  | 'sigmoid'
  | 'silu'
  | 'softplus'
  | 'softsign'
  | 'tanh'
  | 'thresholdedRelu';

/** What a cell computes. Plain data, since operators have it among their attributes. */
export interface CellOptions {
  readonly kind: CellKind;
  /**
   * The gates in the order of the rows of weights, by letters: of an LSTM i(nput), f(orget), g (candidate), o(utput); of a GRU r(eset),
   * z (update), n (candidate), which is last; of a plain layer n. Default: PyTorch's, `ifgo`, `rzn`, `n`.
   */
  readonly gates?: string;
  /** Of the gates, the candidate and (LSTM) the output; of a plain layer one. Default sigmoid, tanh, tanh; tanh. */
  readonly activations?: readonly CellActivation[];
  /** GRU: the reset gate acts on the product with the weights (default, as in PyTorch) or on the state before it (as in the paper). */
  readonly resetAfter?: boolean;
  /** LSTM: the forget gate is one minus the input gate; default false. */
  readonly coupled?: boolean;
  /** The sums that go into the gates are clipped to −clip … clip; default: not. */
  readonly clip?: number;
}

export type Cell = Required<Omit<CellOptions, 'clip'>> & Pick<CellOptions, 'clip'>;

const GATES: Readonly<Record<CellKind, string>> = { rnn: 'n', lstm: 'ifgo', gru: 'rzn' };
const SIGMOID: CellActivation = { name: 'sigmoid' };
const TANH: CellActivation = { name: 'tanh' };
const ACTIVATIONS: Readonly<Record<CellKind, readonly CellActivation[]>> = {
  rnn: [TANH],
  lstm: [SIGMOID, TANH, TANH],
  gru: [SIGMOID, TANH],
};

/** Completes and checks what a cell computes. */
export function makeCell(where: string, options: CellOptions): Cell {
  const { kind, gates = GATES[kind], activations = ACTIVATIONS[kind], clip } = options;
  if (GATES[kind] === undefined) throw new OptionError(`${where}: "${kind}" is no kind of cell; use rnn, lstm or gru`);
  const known = [...gates].sort().join('') === [...GATES[kind]].sort().join('');
  if (!known || (kind === 'gru' && !gates.endsWith('n'))) {
    throw new OptionError(
      `${where}: gates of ${kind} are ${GATES[kind]} in some order${kind === 'gru' ? ', n last' : ''}, got "${gates}"`,
    );
  }
  if (activations.length !== ACTIVATIONS[kind].length) {
    throw new OptionError(
      `${where}: ${kind} has ${ACTIVATIONS[kind].length} activations, got ${JSON.stringify(activations)}`,
    );
  }
  for (const { name } of activations) {
    if (!Object.hasOwn(ACTIVATION, name)) {
      throw new OptionError(
        `${where}: there is no activation "${name}" in cells; there are ${Object.keys(ACTIVATION).join(', ')}`,
      );
    }
  }
  if (clip !== undefined && !(clip > 0)) throw new OptionError(`${where}: clip must be above 0, got ${clip}`);
  const { resetAfter = true, coupled = false } = options;
  return { kind, gates, activations, resetAfter, coupled, ...(clip === undefined ? {} : { clip }) };
}

/** Whether a step has two products with weights, the second one of what the reset gate leaves. */
export function resetsBefore({ kind, resetAfter }: Cell): boolean {
  return kind === 'gru' && !resetAfter;
}

/** What one element of a step is made of; gates by letter. */
export interface CellInputs {
  /** What the inputs bring to a gate. */
  readonly brought: (gate: string) => Expression;
  /** What the state before brings to a gate: its product with the weights. */
  readonly recurred: (gate: string) => Expression;
  /** The state before. */
  readonly h: Expression;
  /** Of an LSTM: the cell before. */
  readonly c?: Expression;
  /** Of an LSTM: how the cell itself opens the gates i, f, o (Gers and Schmidhuber, 2000). */
  readonly peephole?: (gate: string) => Expression;
  /** Whether the step takes place; otherwise the state stays. */
  readonly active?: Expression;
}

/** The parts of a step that its gradient needs. */
export interface CellStep {
  readonly h: Expression;
  readonly c?: Expression;
  /** The sum that goes into each gate's activation. */
  readonly sums: ReadonlyMap<string, Expression>;
}

const add = (a: Expression, b: Expression): Expression => apply('add', a, b);
const sub = (a: Expression, b: Expression): Expression => apply('sub', a, b);
const mul = (a: Expression, b: Expression): Expression => apply('mul', a, b);

/** One step for one element of the state. */
export function cellStep(cell: Cell, inputs: CellInputs): CellStep {
  const { brought, recurred, h, c, peephole, active } = inputs;
  const sums = new Map<string, Expression>();
  const gate = (name: string, f: number, state?: Expression, reset?: Expression): Expression => {
    const own = reset === undefined ? recurred(name) : mul(reset, recurred(name));
    const sum = add(brought(name), own);
    const all = peephole === undefined || state === undefined ? sum : add(sum, mul(peephole(name), state));
    sums.set(name, all);
    return activated(cell, f, all);
  };
  const kept = (next: Expression, before: Expression): Expression =>
    active === undefined ? next : apply('select', active, next, before);
  switch (cell.kind) {
    case 'rnn':
      return { h: kept(gate('n', 0), h), sums };
    case 'lstm': {
      const before = c as Expression;
      const last = cell.activations[2];
      const input = gate('i', 0, before);
      const forget = cell.coupled ? sub(constant(1, h.dtype), input) : gate('f', 0, before);
      const next = add(mul(forget, before), mul(input, gate('g', 1)));
      const output = gate('o', 0, next);
      return {
        h: kept(mul(output, ACTIVATION[last.name](next, last.alpha, last.beta)), h),
        c: kept(next, before),
        sums,
      };
    }
    case 'gru': {
      const update = gate('z', 0);
      const candidate = gate('n', 1, undefined, cell.resetAfter ? gate('r', 0) : undefined);
      const next = add(mul(sub(constant(1, h.dtype), update), candidate), mul(update, h));
      return { h: kept(next, h), sums };
    }
  }
}

/** What the reset gate of a GRU leaves of the state, where that comes before the product: the operand of the second one. */
export function resetState(
  cell: Cell,
  { brought, recurred, h }: CellInputs,
): { readonly left: Expression; readonly sum: Expression } {
  const sum = add(brought('r'), recurred('r'));
  return { left: mul(activated(cell, 0, sum), h), sum };
}

/** The activation number `f` of a cell, of the sum that goes into a gate. */
function activated({ activations, clip }: Cell, f: number, sum: Expression): Expression {
  const { name, alpha, beta } = activations[f];
  return ACTIVATION[name](clip === undefined ? sum : between(sum, -clip, clip), alpha, beta);
}

const number = (value: number, x: Expression): Expression => constant(value, x.dtype);
const times = (x: Expression, factor: number): Expression => mul(x, number(factor, x));
const plus = (x: Expression, summand: number): Expression => add(x, number(summand, x));
const positive = (x: Expression): Expression => apply('gt', x, number(0, x));
const between = (x: Expression, low: number, high: number): Expression =>
  apply('max', apply('min', x, number(high, x)), number(low, x));
/** Where it is not used its argument is 0, so that no overflow reaches the derivative. */
const exponentialTail = (x: Expression): Expression => apply('expm1', apply('select', positive(x), number(0, x), x));

/** Definitions as in `ops/activations.ts`, of which this is the part that cells are made with. */
const ACTIVATION: Readonly<Record<CellActivationName, (x: Expression, alpha?: number, beta?: number) => Expression>> = {
  affine: (x, alpha = 1, beta = 0) => plus(times(x, alpha), beta),
  elu: (x, alpha = 1) => apply('select', positive(x), x, times(exponentialTail(x), alpha)),
  exponential: (x) => apply('exp', x),
  gelu: (x) => mul(times(x, 0.5), plus(apply('erf', times(x, Math.SQRT1_2)), 1)),
  geluTanh: (x) => {
    const inner = times(add(x, times(mul(mul(x, x), x), 0.044715)), Math.sqrt(2 / Math.PI));
    return mul(times(x, 0.5), plus(apply('tanh', inner), 1));
  },
  hardSigmoid: (x, alpha = 0.2, beta = 0.5) => between(plus(times(x, alpha), beta), 0, 1),
  hardTanh: (x) => between(x, -1, 1),
  leakyRelu: (x, alpha = 0.01) => apply('select', positive(x), x, times(x, alpha)),
  linear: (x) => x,
  relu: (x) => apply('select', positive(x), x, number(0, x)),
  relu6: (x) => between(x, 0, 6),
  scaledTanh: (x, alpha = 1, beta = 1) => times(apply('tanh', times(x, beta)), alpha),
  selu: (x) =>
    apply(
      'select',
      positive(x),
      times(x, 1.0507009873554805),
      times(exponentialTail(x), 1.0507009873554805 * 1.6732632423543772),
    ),
  sigmoid: (x) => apply('sigmoid', x),
  silu: (x) => mul(x, apply('sigmoid', x)),
  softplus: (x) => {
    const large = apply('gt', x, number(80, x));
    return apply('select', large, x, apply('log1p', apply('exp', apply('select', large, number(0, x), x))));
  },
  softsign: (x) => apply('div', x, plus(apply('abs', x), 1)),
  tanh: (x) => apply('tanh', x),
  thresholdedRelu: (x, alpha = 1) => apply('select', apply('gt', x, number(alpha, x)), x, number(0, x)),
};
