import type { Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import { derivatives } from '../kernel/derivative.js';
import { axisIndex, constant, constantIndex, type Expression, load } from '../kernel/expression.js';
import { interpretKernel } from '../kernel/interpret.js';
import { mapNest, type Nest } from '../kernel/kernel.js';
import { ShapeError } from '../tensor/errors.js';
import { formatType, type TensorType } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { type Cell, type CellInputs, cellStep, resetState, resetsBefore } from './recurrent-cell.js';

/**
 * What a step of a recurrent layer does between its products with weights, as one kernel: as a composition it would be two dozen, times
 * the length of the sequence. Matrices have one row for each sample, or for each sample at each time, of which rows from `row` on count.
 */
export interface StepAttributes {
  readonly cell: Cell;
  readonly row: number;
  readonly rows: number;
}

/** Operands of a step, by name; which there are depends on the cell and on what is given. */
export interface StepOperands {
  /** What the inputs bring: [all rows, gates · hidden]. */
  readonly brought: Tensor;
  /** Products of the state with weights: [rows, gates · hidden], without the last gate where a GRU resets before. */
  readonly recurred: Tensor;
  /** The product of the state that was reset before: [rows, hidden]. */
  readonly second?: Tensor;
  readonly h: Tensor;
  readonly c?: Tensor;
  /** [gates without g · hidden] */
  readonly peepholes?: Tensor;
  /** Whether a step takes place, [all rows, 1] of bool. */
  readonly active?: Tensor;
}

interface BackAttributes extends StepAttributes {
  readonly names: readonly Name[];
}

/** Gradients from behind, [all rows, hidden], and from the step that comes after, [rows, hidden]. */
interface Cotangents {
  readonly fromH: Tensor;
  readonly carriedH: Tensor;
  readonly fromC?: Tensor;
  readonly carriedC?: Tensor;
}

type Name = keyof StepOperands | keyof Cotangents | 'left';
/** Operands that have rows for all times, in a step and in its gradient. */
const LONG: ReadonlySet<Name> = new Set<Name>(['brought', 'active']);
const LONG_BACK: ReadonlySet<Name> = new Set<Name>([...LONG, 'recurred', 'second', 'h', 'c', 'fromH', 'fromC']);

/** Loads of the operands that are there. */
class Operands {
  readonly #names: readonly Name[];
  readonly #types: readonly TensorType[];
  readonly #cell: Cell;
  readonly #row: number;
  readonly #long: ReadonlySet<Name>;

  constructor({ names, cell, row }: BackAttributes, types: readonly TensorType[], long: ReadonlySet<Name>) {
    this.#names = names;
    this.#types = types;
    this.#cell = cell;
    this.#row = row;
    this.#long = long;
  }

  get hidden(): number {
    return this.#types[this.#names.indexOf('h')].shape[1];
  }

  has(name: Name): boolean {
    return this.#names.includes(name);
  }

  /** The element of the loops' row and column, of block `block` of columns. */
  at(name: Name, block = 0): Expression {
    const operand = this.#names.indexOf(name);
    const { dtype, shape } = this.#types[operand];
    const column = shape.at(-1) === 1 && this.hidden !== 1 ? constantIndex(0) : axisIndex(1, 1, block * this.hidden);
    if (shape.length === 1) return load(operand, dtype, [column]);
    return load(operand, dtype, [axisIndex(0, 1, this.#long.has(name) ? this.#row : 0), column]);
  }

  inputs(): CellInputs {
    const { gates } = this.#cell;
    // The letters of the gates that have peepholes, in their order.
    const peeping = gates.replace('g', '');
    return {
      brought: (gate) => this.at('brought', gates.indexOf(gate)),
      recurred: (gate) =>
        gate === 'n' && this.has('second') ? this.at('second') : this.at('recurred', gates.indexOf(gate)),
      h: this.at('h'),
      ...(this.has('c') ? { c: this.at('c') } : {}),
      ...(this.has('peepholes') ? { peephole: (gate: string) => this.at('peepholes', peeping.indexOf(gate)) } : {}),
      ...(this.has('active') ? { active: this.at('active') } : {}),
    };
  }
}

type Formula = (operands: Operands, attributes: BackAttributes) => readonly Expression[];

/** An operator whose results, [rows, hidden] each, are these expressions of its operands. */
function formulaOperator(name: string, formula: Formula, long: ReadonlySet<Name>): Operator<BackAttributes> {
  const kernel = (types: readonly TensorType[], attributes: BackAttributes): Nest => {
    const operands = new Operands(attributes, types, long);
    return mapNest([attributes.rows, operands.hidden], ...formula(operands, attributes));
  };
  return {
    name,
    infer(inputs, attributes) {
      const { names, rows } = attributes;
      if (
        inputs.length !== names.length ||
        inputs.some(({ dtype }, i) => (dtype === 'bool') !== (names[i] === 'active'))
      ) {
        throw new ShapeError(`${name}: takes ${names.join(', ')}, got ${inputs.map(formatType).join(', ')}`);
      }
      const { dtype, shape } = inputs[names.indexOf('h')];
      return kernel(inputs, attributes).outputs.map(() => ({ dtype, shape: [rows, shape[1]] }));
    },
    reference: (inputs, outputs, attributes) =>
      interpretKernel(
        kernel(
          inputs.map(({ type }) => type),
          attributes,
        ),
        inputs,
        outputs,
      ),
    lower: (inputs, _outputs, attributes) => kernel(inputs, attributes),
  };
}

const stepOperator = formulaOperator(
  'recurrentStep',
  (operands, { cell }) => {
    const { h, c } = cellStep(cell, operands.inputs());
    return c === undefined ? [h] : [h, c];
  },
  LONG,
);

const resetOperator = formulaOperator(
  'recurrentReset',
  (operands, { cell }) => [resetState(cell, operands.inputs()).left],
  LONG,
);

const stepBackOperator = formulaOperator(
  'recurrentStepBack',
  (operands, { cell }) => {
    const inputs = once(operands.inputs());
    const { h, c, sums } = cellStep(cell, inputs);
    const total = (from: Name, carried: Name): Expression => add(operands.at(from), operands.at(carried));
    const results = [{ value: h, gradient: total('fromH', 'carriedH') }];
    if (c !== undefined) results.push({ value: c, gradient: total('fromC', 'carriedC') });
    const nothing = constant(0, h.dtype);
    const gates = [...cell.gates].filter((gate) => !(gate === 'r' && resetsBefore(cell)));
    const wanted = [
      ...gates.map((gate) => sums.get(gate) ?? nothing),
      ...(gatesApart(cell) ? [inputs.recurred('n')] : []),
      ...(stateStays(cell, operands.has('active')) ? [inputs.h] : []),
      ...(inputs.c === undefined ? [] : [inputs.c]),
    ];
    return derivatives(results, wanted);
  },
  LONG_BACK,
);

const resetBackOperator = formulaOperator(
  'recurrentResetBack',
  (operands, { cell }) => {
    const inputs = once(operands.inputs());
    const { left, sum } = resetState(cell, inputs);
    return derivatives([{ value: left, gradient: operands.at('left') }], [sum, inputs.h]);
  },
  LONG_BACK,
);

/** Whether what goes into a gate differentiates differently with respect to what inputs bring and what the state brings. */
export function gatesApart({ kind, resetAfter }: Cell): boolean {
  return kind === 'gru' && resetAfter;
}

/** Whether the state before goes into the state after by itself, beside its product with the weights. */
export function stateStays({ kind }: Cell, masked: boolean): boolean {
  return kind === 'gru' || masked;
}

/** The same loads as the same objects. */
function once(inputs: CellInputs): CellInputs {
  const memory = new Map<string, Expression>();
  const remember = (f: (gate: string) => Expression, prefix: string) => (gate: string) => {
    const key = prefix + gate;
    const found = memory.get(key) ?? f(gate);
    memory.set(key, found);
    return found;
  };
  return { ...inputs, brought: remember(inputs.brought, 'b'), recurred: remember(inputs.recurred, 'r') };
}

function add(a: Expression, b: Expression): Expression {
  return { kind: 'apply', fn: 'add', args: [a, b], dtype: a.dtype };
}

function applyFormula(operator: Operator<BackAttributes>, operands: object, attributes: StepAttributes): Tensor[] {
  const given = Object.entries(operands).filter(([, tensor]) => tensor !== undefined) as [Name, Tensor][];
  return applyOperator(
    operator,
    given.map(([, tensor]) => tensor),
    { ...attributes, names: given.map(([name]) => name) },
  );
}

/** The state after a step: h and, of an LSTM, c, [rows, hidden] each. */
export function recurrentStep(operands: StepOperands, attributes: StepAttributes): Tensor[] {
  return applyFormula(stepOperator, operands, attributes);
}

/** What the reset gate leaves of the state, [rows, hidden]. */
export function recurrentReset(operands: StepOperands, attributes: StepAttributes): Tensor {
  return applyFormula(resetOperator, operands, attributes)[0];
}

/** Gradients of a step, each [rows, hidden]. */
export interface StepGradients {
  /** With respect to the sums that go into the gates, in their order; without r where a GRU resets before. */
  readonly sums: Tensor[];
  /** With respect to what the state brings to the last gate, where that differs ({@link gatesApart}). */
  readonly recurred?: Tensor;
  /** With respect to the state before, as far as it goes into the state after by itself. */
  readonly h?: Tensor;
  readonly c?: Tensor;
}

/** The gradient of {@link recurrentStep}; operands have rows for all times. */
export function recurrentStepBack(
  operands: StepOperands,
  cotangents: Cotangents,
  attributes: StepAttributes,
): StepGradients {
  const { cell } = attributes;
  const results = applyFormula(stepBackOperator, { ...operands, ...cotangents }, attributes);
  const sums = results.splice(0, cell.gates.length - (resetsBefore(cell) ? 1 : 0));
  return {
    sums,
    ...(gatesApart(cell) ? { recurred: results.shift() } : {}),
    ...(stateStays(cell, operands.active !== undefined) ? { h: results.shift() } : {}),
    ...(operands.c === undefined ? {} : { c: results.shift() }),
  };
}

/** The gradient of {@link recurrentReset}: with respect to the sum that goes into the gate, and to the state. */
export function recurrentResetBack(operands: StepOperands, left: Tensor, attributes: StepAttributes): [Tensor, Tensor] {
  return applyFormula(resetBackOperator, { ...operands, left }, attributes) as [Tensor, Tensor];
}
