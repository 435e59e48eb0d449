import type { DType } from '../tensor/dtype.js';
import type { Shape } from '../tensor/shape.js';
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
}

export function mapNest(shape: Shape, ...outputs: Expression[]): Nest {
  return { kind: 'nest', parallel: shape, reduce: [], reducers: [], outputs };
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
  return [head, ...reducers, ...nest.outputs.map((e, i) => `out${i} = ${printExpression(e)}`)].join('; ');
}
