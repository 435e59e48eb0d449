import type { DType, TypedArray } from '../tensor/dtype.js';
import { invariant } from '../tensor/errors.js';
import { sameShape, sizeOf, stridesOf, type TensorType } from '../tensor/shape.js';
import { contractionNest } from './contraction.js';
import { type Expression, type Index, isIndirect, printExpression, printIndex, type Subscript } from './expression.js';
import { type Kernel, type Nest, type ReducerKind, reducerIdentity } from './kernel.js';
import { castValue, evaluateScalar, roundTo } from './scalar.js';

/** A row-major array; floats may be held in double precision. */
export interface KernelArray {
  readonly type: TensorType;
  readonly data: TypedArray;
}

/**
 * What a kernel means, for tests: every loop, guard and reducer taken literally, in double precision. It also holds
 * kernels to the contract of `expression.ts`: loads are in range, divisions leave no remainder, and every element of an
 * output is written exactly once.
 */
export function interpretKernel(kernel: Kernel, inputs: readonly KernelArray[], outputs: readonly KernelArray[]): void {
  switch (kernel.kind) {
    case 'reshape':
      invariant(inputs[0].data.length === outputs[0].data.length, 'reshape: the number of elements changed');
      outputs[0].data.set(inputs[0].data);
      return;
    case 'contraction':
      interpretNest(contractionNest(kernel), inputs, outputs);
      return;
    case 'nest':
      interpretNest(kernel, inputs, outputs);
  }
}

/** Everything that an expression reads: where the loops stand and what the reducers found. */
interface State {
  readonly position: number[];
  /** counts evaluations, so that shared nodes know whether their value is still good */
  turn: number;
  readonly values: number[];
  readonly positions: number[];
}

type Evaluate = () => number;

function interpretNest(nest: Nest, inputs: readonly KernelArray[], outputs: readonly KernelArray[]): void {
  const { parallel, reduce, reducers } = nest;
  invariant(nest.outputs.length === outputs.length, `${outputs.length} outputs for ${nest.outputs.length} expressions`);
  const state: State = {
    position: new Array<number>(parallel.length + reduce.length).fill(0),
    turn: 0,
    values: reducers.map(() => 0),
    positions: reducers.map(() => 0),
  };
  const bodies = reducers.map((reducer) => evaluator(reducer.body, state, inputs));
  const { scatter } = nest;
  const place = scatter && evaluator(scatter.position, state, inputs);
  const results = nest.outputs.map((expression, i) => {
    const { type } = outputs[i];
    invariant(
      sameKind(expression.dtype, type.dtype),
      `output ${i} is ${type.dtype}, its expression ${expression.dtype}`,
    );
    return evaluator(expression, state, inputs);
  });
  const { shape } = outputs[0].type;
  for (const { type } of outputs) invariant(sameShape(type.shape, shape), 'the outputs of a nest differ in shape');
  const target = nest.outputIndex && positionOf(nest.outputIndex, shape, state, 'output');
  invariant(target || sameShape(parallel, shape), `parallel axes [${parallel}] do not match the output [${shape}]`);
  const written = new Uint8Array(sizeOf(shape));
  forEach(state.position, parallel, 0, (flat) => {
    reducers.forEach((reducer, r) => {
      state.values[r] = reducerIdentity(reducer.kind, reducer.body.dtype);
      state.positions[r] = 0;
    });
    if (reducers.length > 0) {
      forEach(state.position, reduce, parallel.length, (step) => {
        state.turn++;
        if (scatter && place && place() !== state.position[scatter.axis]) return;
        for (let r = 0; r < reducers.length; r++) accumulate(reducers[r].kind, r, bodies[r](), step);
      });
    }
    state.turn++;
    const at = target ? target() : flat;
    invariant(written[at]++ === 0, `element ${at} of the output is written twice`);
    // All are computed before the first is stored: a result may share memory with an operand.
    const values = results.map((result) => result());
    values.forEach((value, i) => {
      outputs[i].data[at] = value;
    });
  });
  invariant(!written.includes(0), 'an element of the output is never written');

  function accumulate(kind: ReducerKind, r: number, value: number, step: number): void {
    const { dtype } = reducers[r].body;
    const before = state.values[r];
    switch (kind) {
      case 'sum':
        state.values[r] = evaluateScalar('add', dtype, before, value);
        return;
      case 'product':
        state.values[r] = evaluateScalar('mul', dtype, before, value);
        return;
      case 'max':
        state.values[r] = Math.max(before, value);
        return;
      case 'min':
        state.values[r] = Math.min(before, value);
        return;
      case 'argmax':
        if (value > before || (Number.isNaN(value) && !Number.isNaN(before))) {
          state.values[r] = value;
          state.positions[r] = step;
        }
        return;
    }
  }
}

/** Runs `body` for every position of `shape`, written to `position` from `first` on; row-major. */
function forEach(position: number[], shape: readonly number[], first: number, body: (flat: number) => void): void {
  const size = sizeOf(shape);
  for (let flat = 0; flat < size; flat++) {
    let rest = flat;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position[first + axis] = rest % shape[axis];
      rest = Math.floor(rest / shape[axis]);
    }
    body(flat);
  }
}

function evaluator(root: Expression, state: State, inputs: readonly KernelArray[]): Evaluate {
  const known = new Map<Expression, Evaluate>();
  const compile = (e: Expression): Evaluate => {
    let found = known.get(e);
    if (found === undefined) {
      const evaluate = build(e);
      let turn = -1;
      let value = 0;
      found = () => {
        if (turn !== state.turn) {
          value = evaluate();
          turn = state.turn;
        }
        return value;
      };
      known.set(e, found);
    }
    return found;
  };
  const build = (e: Expression): Evaluate => {
    switch (e.kind) {
      case 'load': {
        const array = inputs[e.operand];
        invariant(array, `operand ${e.operand} of ${inputs.length}`);
        invariant(sameKind(array.type.dtype, e.dtype), `${printExpression(e)} as ${e.dtype} from ${array.type.dtype}`);
        const values = e.index.map((i) => (isIndirect(i) ? compile(i.value) : undefined));
        const position = positionOf(e.index, array.type.shape, state, printExpression(e), values);
        return () => array.data[position()];
      }
      case 'constant':
        return () => e.value;
      case 'axis': {
        const index = indexOf(e.index, state);
        return () => {
          const value = index();
          invariant(Number.isInteger(value), `${printIndex(e.index)} has a remainder`);
          return roundTo('i32', value);
        };
      }
      case 'apply': {
        const args = e.args.map(compile);
        const { dtype } = e.args[e.args.length - 1];
        return () => evaluateScalar(e.fn, dtype, ...args.map((arg) => arg()));
      }
      case 'cast': {
        const arg = compile(e.arg);
        return () => castValue(e.dtype, arg());
      }
      case 'guard': {
        const checks = e.checks.map((check) => ({ index: indexOf(check.index, state), extent: check.extent }));
        const inside = compile(e.inside);
        const otherwise = compile(e.otherwise);
        return () => {
          for (const { index, extent } of checks) {
            const value = index();
            if (!Number.isInteger(value) || value < 0 || value >= extent) return otherwise();
          }
          return inside();
        };
      }
      case 'reduced':
        return e.part === 'index' ? () => state.positions[e.reducer] : () => state.values[e.reducer];
    }
  };
  return compile(root);
}

/** Floats of either precision stand for each other: the oracle computes f32 in double precision. */
function sameKind(a: DType, b: DType): boolean {
  const kind = (dtype: DType): DType => (dtype === 'f64' ? 'f32' : dtype);
  return kind(a) === kind(b);
}

function indexOf(index: Index, { position }: State): Evaluate {
  return () => {
    let sum = index.offset;
    for (const { axis, factor } of index.terms) {
      invariant(axis < position.length, `there is no axis ${axis}`);
      sum += factor * position[axis];
    }
    return sum / index.divisor;
  };
}

/** The flat position of indices in an array of `shape`; `values` holds what indirect ones read. */
function positionOf(
  index: readonly Subscript[],
  shape: readonly number[],
  state: State,
  where: string,
  values: readonly (Evaluate | undefined)[] = [],
): Evaluate {
  invariant(index.length === shape.length, `${where}: ${index.length} indices for [${shape}]`);
  const strides = stridesOf(shape);
  const parts = index.map((i, axis): Evaluate => {
    if (!isIndirect(i)) return indexOf(i, state);
    const value = values[axis];
    invariant(value && i.extent <= shape[axis], `${where}: an indirect index below ${i.extent} into [${shape}]`);
    return () => Math.min(Math.max(value(), 0), i.extent - 1);
  });
  return () => {
    let at = 0;
    for (let axis = 0; axis < parts.length; axis++) {
      const value = parts[axis]();
      invariant(
        Number.isInteger(value) && value >= 0 && value < shape[axis],
        `${where}: index ${value} is outside of axis ${axis} of [${shape}] at [${state.position}]`,
      );
      at += strides[axis] * value;
    }
    return at;
  };
}
