import { expandOperators } from '../graph/expand.js';
import type { Graph, Value } from '../graph/graph.js';
import { trace } from '../graph/trace.js';
import { contractionNest } from '../kernel/contraction.js';
import { type Expression, type Index, isIndirect, type Subscript } from '../kernel/expression.js';
import type { Kernel, Nest } from '../kernel/kernel.js';
import { castValue, evaluateScalar, type ScalarFunction } from '../kernel/scalar.js';
import type { TypedArray } from '../tensor/dtype.js';
import { isFloat } from '../tensor/dtype.js';
import { invariant } from '../tensor/errors.js';
import { type Shape, sizeOf, stridesOf } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';

/** The rounding unit of single precision. */
const UNIT = 2 ** -24;
/** Below the smallest normal number targets may flush to zero. */
const UNDERFLOW = 2 ** -126;
/** Roundings of a transcendental function: twice the error in units in the last place that code generators may make. */
const FUNCTION_ROUNDINGS = 4;

/** What a program computes in double precision, and how far single precision may be from it, for every element. */
export interface Rounded {
  readonly shape: Shape;
  readonly values: Float64Array;
  readonly bounds: Float64Array;
}

/** A number with its error to first order, in rounding units. */
interface Approximate {
  value: number;
  error: number;
}

interface Contents {
  readonly shape: Shape;
  readonly values: Float64Array;
  readonly errors: Float64Array;
}

/**
 * A running error analysis of the results of `f` (Higham, Accuracy and Stability of Numerical Algorithms, section 3.3): every operation of
 * every kernel passes on the errors of its operands to first order and adds its own rounding, and a sum of n terms in
 * whatever order adds √n · ε · Σ |terms| (Higham and Mary, A New Approach to Probabilistic Rounding Error Analysis, 2019). For a
 * convolution of exact numbers that is √n · ε · Σ |x| |w| and the rounding of the products. Arguments and captured tensors carry the rounding
 * with which they are stored.
 */
export function roundingBounds(f: (...args: Tensor[]) => readonly Tensor[], args: readonly Tensor[]): Rounded[] {
  const { graph, captured } = trace((into) => [
    ...f(...args.map((argument) => Tensor.fromTraced(into.addInput(argument.type)))),
  ]);
  const inputs = [...args, ...captured.keys()].map((tensor) => tensor.data());
  return analyse(expandOperators(graph), inputs);
}

function analyse(graph: Graph, inputs: readonly TypedArray[]): Rounded[] {
  const known = new Map<Value, Contents>();
  graph.inputs.forEach(({ type }, i) => {
    const values = Float64Array.from(inputs[i]);
    const errors = isFloat(type.dtype) ? values.map(Math.abs) : new Float64Array(values.length);
    known.set(graph.inputs[i], { shape: type.shape, values, errors });
  });
  const contents = (value: Value): Contents => {
    const found = known.get(value);
    invariant(found, 'a value is used before it is defined');
    return found;
  };
  for (const { operator, inputs: operands, outputs, attributes } of graph.nodes) {
    const types = (values: readonly Value[]) => values.map(({ type }) => type);
    const kernel = operator.lower(types(operands), types(outputs), attributes);
    const results = outputs.map(({ type }) => {
      const size = sizeOf(type.shape);
      return { shape: type.shape, values: new Float64Array(size), errors: new Float64Array(size) };
    });
    runKernel(kernel, operands.map(contents), results);
    outputs.forEach((value, i) => {
      known.set(value, results[i]);
    });
  }
  return graph.outputs.map((value) => {
    const { shape, values, errors } = contents(value);
    return { shape, values, bounds: errors.map((error) => error * UNIT + UNDERFLOW) };
  });
}

function runKernel(kernel: Kernel, operands: readonly Contents[], results: readonly Contents[]): void {
  if (kernel.kind === 'reshape') {
    results[0].values.set(operands[0].values);
    results[0].errors.set(operands[0].errors);
    return;
  }
  runNest(kernel.kind === 'contraction' ? contractionNest(kernel) : kernel, operands, results);
}

interface State {
  readonly position: number[];
  turn: number;
  readonly reduced: Approximate[];
  readonly indices: number[];
}

function runNest(nest: Nest, operands: readonly Contents[], results: readonly Contents[]): void {
  const { parallel, reduce, reducers, scatter } = nest;
  const state: State = {
    position: new Array<number>(parallel.length + reduce.length).fill(0),
    turn: 0,
    reduced: reducers.map(() => ({ value: 0, error: 0 })),
    indices: reducers.map(() => 0),
  };
  const bodies = reducers.map(({ body }) => evaluator(body, state, operands));
  const place = scatter && evaluator(scatter.position, state, operands);
  const stored = nest.outputs.map((expression) => evaluator(expression, state, operands));
  const target = nest.outputIndex && positionOf(nest.outputIndex, results[0].shape, state);
  forEach(state.position, parallel, 0, (flat) => {
    const terms = reducers.map((): Approximate[] => []);
    if (reducers.length > 0) {
      forEach(state.position, reduce, parallel.length, () => {
        state.turn++;
        if (scatter && place && place().value !== state.position[scatter.axis]) return;
        bodies.forEach((body, r) => {
          terms[r].push({ ...body() });
        });
      });
    }
    reducers.forEach(({ kind, body }, r) => {
      if (kind === 'sum') state.reduced[r] = total(terms[r], isFloat(body.dtype));
      else if (kind === 'product') state.reduced[r] = product(terms[r], isFloat(body.dtype));
      else {
        const best = extreme(terms[r], kind === 'min');
        state.indices[r] = best;
        state.reduced[r] = terms[r][best] ?? { value: kind === 'min' ? Infinity : -Infinity, error: 0 };
      }
    });
    state.turn++;
    const at = target ? target() : flat;
    stored.forEach((evaluate, i) => {
      const { value, error } = evaluate();
      results[i].values[at] = value;
      results[i].errors[at] = error;
    });
  });
}

function total(terms: readonly Approximate[], floats: boolean): Approximate {
  let [value, error, magnitude, count] = [0, 0, 0, 0];
  for (const term of terms) {
    value += term.value;
    error += term.error;
    magnitude += Math.abs(term.value);
    if (term.value !== 0) count++;
  }
  return floats ? { value, error: error + Math.sqrt(count) * magnitude } : { value: value | 0, error: 0 };
}

function product(terms: readonly Approximate[], floats: boolean): Approximate {
  const start: Approximate = { value: 1, error: 0 };
  return terms.reduce((a, b) => applied('mul', floats, [a, b], evaluateScalar('mul', 'f64', a.value, b.value)), start);
}

/** The first of the largest (or smallest) terms; its value carries the error of the least certain of all. */
function extreme(terms: readonly Approximate[], smallest: boolean): number {
  let best = 0;
  terms.forEach(({ value }, i) => {
    if (smallest ? value < terms[best].value : value > terms[best].value) best = i;
  });
  return best;
}

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

function indexOf({ terms, offset, divisor }: Index, { position }: State): () => number {
  return () => {
    let sum = offset;
    for (const { axis, factor } of terms) sum += factor * position[axis];
    return sum / divisor;
  };
}

/** `values` holds what indirect indices read. */
function positionOf(
  index: readonly Subscript[],
  shape: Shape,
  state: State,
  values: readonly ((() => Approximate) | undefined)[] = [],
): () => number {
  const strides = stridesOf(shape);
  const parts = index.map((i, axis) => {
    if (!isIndirect(i)) return indexOf(i, state);
    const at = values[axis];
    return () => Math.min(Math.max(at?.().value ?? 0, 0), i.extent - 1);
  });
  return () => parts.reduce((at, part, axis) => at + strides[axis] * part(), 0);
}

function evaluator(root: Expression, state: State, operands: readonly Contents[]): () => Approximate {
  const known = new Map<Expression, () => Approximate>();
  const compile = (e: Expression): (() => Approximate) => {
    let found = known.get(e);
    if (found === undefined) {
      const evaluate = build(e);
      let turn = -1;
      let result: Approximate = { value: 0, error: 0 };
      found = () => {
        if (turn !== state.turn) {
          result = evaluate();
          turn = state.turn;
        }
        return result;
      };
      known.set(e, found);
    }
    return found;
  };
  const build = (e: Expression): (() => Approximate) => {
    switch (e.kind) {
      case 'load': {
        const { shape, values, errors } = operands[e.operand];
        const indirect = e.index.map((i) => (isIndirect(i) ? compile(i.value) : undefined));
        const position = positionOf(e.index, shape, state, indirect);
        return () => {
          const at = position();
          return { value: values[at], error: errors[at] };
        };
      }
      case 'constant': {
        const { value, dtype } = e;
        // Numbers that single precision does not have are rounded.
        const error = isFloat(dtype) && Math.fround(value) !== value ? Math.abs(value) : 0;
        return () => ({ value, error });
      }
      case 'axis': {
        const index = indexOf(e.index, state);
        return () => ({ value: index(), error: 0 });
      }
      case 'apply': {
        const args = e.args.map(compile);
        const { dtype } = e.args[e.args.length - 1];
        const floats = isFloat(e.dtype);
        return () => {
          const parts = args.map((arg) => arg());
          return applied(e.fn, floats, parts, evaluateScalar(e.fn, dtype, ...parts.map(({ value }) => value)));
        };
      }
      case 'cast': {
        const arg = compile(e.arg);
        const kept = isFloat(e.dtype) && isFloat(e.arg.dtype);
        return () => {
          const { value, error } = arg();
          return kept ? { value, error } : { value: castValue(e.dtype, value), error: 0 };
        };
      }
      case 'guard': {
        const checks = e.checks.map(({ index, extent }) => ({ index: indexOf(index, state), extent }));
        const [inside, otherwise] = [compile(e.inside), compile(e.otherwise)];
        return () => {
          for (const { index, extent } of checks) {
            const value = index();
            if (!Number.isInteger(value) || value < 0 || value >= extent) return otherwise();
          }
          return inside();
        };
      }
      case 'reduced':
        return e.part === 'index'
          ? () => ({ value: state.indices[e.reducer], error: 0 })
          : () => state.reduced[e.reducer];
    }
  };
  return compile(root);
}

/** 0 · ∞ is 0 here: no error stays none. */
function times(slope: number, error: number): number {
  return error === 0 || slope === 0 ? 0 : Math.abs(slope) * error;
}

/** `value` is `fn` of the arguments; its error to first order. */
function applied(fn: ScalarFunction, floats: boolean, args: readonly Approximate[], value: number): Approximate {
  if (!floats) return { value, error: 0 };
  const [a, b, c] = args;
  const own = Math.abs(value);
  const unary = (slope: number, roundings = FUNCTION_ROUNDINGS): Approximate => ({
    value,
    error: times(slope, a.error) + roundings * own,
  });
  switch (fn) {
    case 'neg':
    case 'abs':
      return { value, error: a.error };
    case 'sqrt':
      return unary(0.5 / value, 1);
    case 'exp':
      return unary(value);
    case 'expm1':
      return unary(value + 1);
    case 'log':
      return unary(1 / a.value);
    case 'log1p':
      return unary(1 / (1 + a.value));
    case 'tanh':
      return unary(1 - value * value);
    case 'sigmoid':
      return unary(value * (1 - value));
    case 'erf':
      return unary((2 / Math.sqrt(Math.PI)) * Math.exp(-a.value * a.value));
    case 'sin':
      return unary(Math.cos(a.value));
    case 'cos':
      return unary(Math.sin(a.value));
    case 'add':
    case 'sub':
      return { value, error: a.error + b.error + own };
    case 'mul':
      return { value, error: times(a.value, b.error) + times(b.value, a.error) + own };
    case 'div':
      return { value, error: times(1 / b.value, a.error) + times(value / b.value, b.error) + own };
    case 'pow':
      return {
        value,
        error:
          times(b.value * a.value ** (b.value - 1), a.error) +
          times(value * Math.log(Math.abs(a.value)), b.error) +
          FUNCTION_ROUNDINGS * own,
      };
    case 'min':
    case 'max':
      return { value, error: value === a.value ? a.error : b.error };
    case 'select':
      return { value, error: a.value !== 0 ? b.error : c.error };
    default:
      // Steps: rounding to integers, comparisons, bits.
      return { value, error: 0 };
  }
}
