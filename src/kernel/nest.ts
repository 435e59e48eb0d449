import type { DType } from '../tensor/dtype.js';
import { type Shape, sizeOf } from '../tensor/shape.js';
import { type Expression, type Index, printExpression } from './expression.js';

/**
 * How values of the reduction axes become one. `argmax` keeps the largest value and the position where it was first
 * found, counted row-major over the reduction axes; NaN counts as largest, as in PyTorch.
 */
export type ReducerKind = 'sum' | 'product' | 'max' | 'min' | 'argmax';

export interface Reducer {
  readonly kind: ReducerKind;
  readonly body: Expression;
}

/**
 * Addition by position: a value of the reduction goes to the one place along parallel axis `axis` that `position` (i32) names,
 * and nowhere if there is no such place.
 */
export interface Scatter {
  readonly axis: number;
  readonly position: Expression;
}

/**
 * A perfect loop nest. Axes 0 … P−1 are parallel and (unless `outputIndex` says
 * otherwise) the dimensions of every output, in order; axes P … P+R−1 are
 * reduced. Output `i` at position (a0 … aP−1) is `outputs[i]`, an expression over the parallel axes and the reducers'
 * results. Without reduction axes this is a map.
 */
export interface Nest {
  readonly kind: 'nest';
  readonly parallel: Shape;
  readonly reduce: Shape;
  readonly reducers: readonly Reducer[];
  readonly outputs: readonly Expression[];
  /** Where the result goes, one index over the parallel axes per dimension of the outputs; default: the axes themselves. */
  readonly outputIndex?: readonly Index[];
  /**
   * The only reducer, a sum, takes a value just where `position` equals the coordinate of `axis`. Neither the values nor the
   * positions depend on that axis, so that one walk over the reduction axes, in their order, serves all its coordinates. The
   * only output is the sum.
   */
  readonly scatter?: Scatter;
}

/** All expressions of a nest. */
export function expressionsOf(nest: Nest): Expression[] {
  return [...termsOf(nest), ...nest.outputs];
}

/** The expressions evaluated for every position of all axes. */
export function termsOf({ reducers, scatter }: Nest): Expression[] {
  const bodies = reducers.map((r) => r.body);
  return scatter === undefined ? bodies : [...bodies, scatter.position];
}

/** Replaces every expression of a nest. */
export function rewriteNest(nest: Nest, rewrite: (e: Expression) => Expression): Nest {
  const { scatter } = nest;
  return {
    ...nest,
    reducers: nest.reducers.map((r) => ({ ...r, body: rewrite(r.body) })),
    ...(scatter && { scatter: { ...scatter, position: rewrite(scatter.position) } }),
    outputs: nest.outputs.map(rewrite),
  };
}

export function mapNest(shape: Shape, ...outputs: Expression[]): Nest {
  return { kind: 'nest', parallel: shape, reduce: [], reducers: [], outputs };
}

/** How many values a nest with `scatter` adds up. */
export function additionsOf({ parallel, reduce, scatter }: Nest): number {
  return sizeOf(parallel.filter((_, axis) => axis !== scatter?.axis)) * sizeOf(reduce);
}

/** The value that a reducer starts from. */
export function reducerIdentity(kind: ReducerKind, dtype: DType): number {
  switch (kind) {
    case 'sum':
      return 0;
    case 'product':
      return 1;
    case 'max':
    case 'argmax':
      return dtype === 'f32' || dtype === 'f64' ? Number.NEGATIVE_INFINITY : -2147483648;
    case 'min':
      return dtype === 'f32' || dtype === 'f64' ? Number.POSITIVE_INFINITY : 2147483647;
  }
}

export function printNest(nest: Nest): string {
  const axes = [...nest.parallel, ...nest.reduce].map((extent, axis) => `a${axis}<${extent}`);
  const p = nest.parallel.length;
  const head = `for ${axes.slice(0, p).join(' ') || '·'}${nest.reduce.length ? ` reduce ${axes.slice(p).join(' ')}` : ''}`;
  const reducers = nest.reducers.map((r, i) => `r${i} = ${r.kind} ${printExpression(r.body)}`);
  const { scatter } = nest;
  const where = scatter === undefined ? [] : [`where a${scatter.axis} = ${printExpression(scatter.position)}`];
  return [head, ...reducers, ...where, ...nest.outputs.map((e, i) => `out${i} = ${printExpression(e)}`)].join('; ');
}
