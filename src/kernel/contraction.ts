import { invariant } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import type { Expression } from './expression.js';
import {
  apply,
  axisIndex,
  type Check,
  constant,
  guard,
  type Index,
  load,
  makeIndex,
  printExpression,
  reduced,
  substituteAxes,
} from './expression.js';
import type { Nest } from './nest.js';

/**
 * Every convolution is one trilinear form T(X, W, Z) over one relation: per spatial axis, an output index o, a tap k and
 * an input index i belong together when
 *
 *     stride · o + dilation · k = i + padLow
 *
 * The three operators are the derivatives of T: `output` is ∂T/∂Z (convolution), `input` is ∂T/∂X (gradient with
 * respect to the input, and transposed convolution), `filter` is ∂T/∂W (gradient with respect to the filter).
 */
export type Role = 'output' | 'input' | 'filter';

/** Extents along one spatial axis, in elements, and which belong together: stride · output + dilation · kernel = input + padLow. */
export interface SpatialAxis {
  readonly input: number;
  readonly kernel: number;
  readonly output: number;
  readonly stride: number;
  readonly dilation: number;
  readonly padLow: number;
}

/**
 * Shapes of the three tensors: X [batch, groups · channelsIn, …input], W [groups · channelsOut, channelsIn, …kernel],
 * Z [batch, groups · channelsOut, …output]. Channels are per group. No spatial axis at all is a matrix product.
 */
export interface Geometry {
  readonly batch: number;
  readonly groups: number;
  readonly channelsIn: number;
  readonly channelsOut: number;
  readonly axes: readonly SpatialAxis[];
}

/** Operands by role: `output` takes (X, W), `input` takes (W, Z), `filter` takes (X, Z). */
export interface Contraction {
  readonly kind: 'contraction';
  readonly role: Role;
  readonly geometry: Geometry;
  /**
   * What is stored, as an expression over the output's axes; `reduced(0)` is the sum itself, operands 0 and 1 are the
   * contraction's, later ones were brought in by fusion (bias, residual, …). Default: the sum.
   */
  readonly epilogue?: Expression;
}

export type Tensor3 = 'X' | 'W' | 'Z';

/** The operands of each role, in order, and what it computes. */
export const ROLE_OPERANDS: Readonly<Record<Role, readonly [Tensor3, Tensor3, Tensor3]>> = {
  output: ['X', 'W', 'Z'],
  input: ['W', 'Z', 'X'],
  filter: ['X', 'Z', 'W'],
};

export function contractionShape(g: Geometry, which: Tensor3): Shape {
  switch (which) {
    case 'X':
      return [g.batch, g.groups * g.channelsIn, ...g.axes.map((a) => a.input)];
    case 'W':
      return [g.groups * g.channelsOut, g.channelsIn, ...g.axes.map((a) => a.kernel)];
    case 'Z':
      return [g.batch, g.groups * g.channelsOut, ...g.axes.map((a) => a.output)];
  }
}

/** Multiply-adds, counting taps that fall into the padding. */
export function multiplyAdds(g: Geometry): number {
  const macs = g.batch * g.groups * g.channelsIn * g.channelsOut;
  return g.axes.reduce((product, a) => product * a.output * a.kernel, macs);
}

/**
 * The contraction as a plain nest: its meaning, and the schedule of last resort. The nest's parallel axes split the
 * output's channels into group and channel, hence `outputIndex`.
 */
export function contractionNest(c: Contraction): Nest {
  const g = c.geometry;
  const n = g.axes.length;
  // Axis numbers for each role: what is parallel comes first, in the order of the grouped output shape.
  const spatial = (start: number): number[] => g.axes.map((_, i) => start + i);
  const plans: Record<Role, { axis: Axes; parallel: number[]; reduce: number[] }> = {
    output: {
      axis: { n: 0, g: 1, co: 2, o: spatial(3), ci: 3 + n, k: spatial(4 + n), i: undefined },
      parallel: [g.batch, g.groups, g.channelsOut, ...g.axes.map((a) => a.output)],
      reduce: [g.channelsIn, ...g.axes.map((a) => a.kernel)],
    },
    input: {
      axis: { n: 0, g: 1, ci: 2, i: spatial(3), co: 3 + n, k: spatial(4 + n), o: undefined },
      parallel: [g.batch, g.groups, g.channelsIn, ...g.axes.map((a) => a.input)],
      reduce: [g.channelsOut, ...g.axes.map((a) => a.kernel)],
    },
    filter: {
      axis: { g: 0, co: 1, ci: 2, k: spatial(3), n: 3 + n, o: spatial(4 + n), i: undefined },
      parallel: [g.groups, g.channelsOut, g.channelsIn, ...g.axes.map((a) => a.kernel)],
      reduce: [g.batch, ...g.axes.map((a) => a.output)],
    },
  };
  const { axis, parallel, reduce } = plans[c.role];
  const at = (a: number): Index => axisIndex(a);
  // i = stride · o + dilation · k − padLow, or o = (i + padLow − dilation · k) / stride where only i is an axis.
  const input = g.axes.map((a, s) =>
    axis.i
      ? at(axis.i[s])
      : makeIndex(
          [
            { axis: axis.o![s], factor: a.stride },
            { axis: axis.k[s], factor: a.dilation },
          ],
          -a.padLow,
        ),
  );
  const output = g.axes.map((a, s) =>
    axis.o
      ? at(axis.o[s])
      : makeIndex(
          [
            { axis: axis.i![s], factor: 1 },
            { axis: axis.k[s], factor: -a.dilation },
          ],
          a.padLow,
          a.stride,
        ),
  );
  const channels = (channel: number, count: number): Index =>
    makeIndex(
      [
        { axis: axis.g, factor: count },
        { axis: channel, factor: 1 },
      ],
      0,
    );
  const indices: Record<Tensor3, Index[]> = {
    X: [at(axis.n), channels(axis.ci, g.channelsIn), ...input],
    W: [channels(axis.co, g.channelsOut), at(axis.ci), ...axis.k.map(at)],
    Z: [at(axis.n), channels(axis.co, g.channelsOut), ...output],
  };
  const checks: Check[] = g.axes.map((a, s) =>
    axis.i ? { index: output[s], extent: a.output } : { index: input[s], extent: a.input },
  );
  const [first, second, result] = ROLE_OPERANDS[c.role];
  const product = apply('mul', load(0, 'f32', indices[first]), load(1, 'f32', indices[second]));
  return {
    kind: 'nest',
    parallel,
    reduce,
    reducers: [{ kind: 'sum', body: guard(checks, product, constant(0, 'f32')) }],
    outputs: [stored(c, indices[result])],
    outputIndex: indices[result],
  };
}

/** What is stored: the epilogue, moved from the output's axes to the nest's. */
function stored(c: Contraction, output: readonly Index[]): Expression {
  if (c.epilogue === undefined) return reduced(0, 'f32');
  const moved = substituteAxes(c.epilogue, output);
  invariant(moved, `the epilogue ${printExpression(c.epilogue)} does not follow the output's axes`);
  return moved;
}

interface Axes {
  readonly n: number;
  readonly g: number;
  readonly co: number;
  readonly ci: number;
  readonly k: readonly number[];
  readonly i: readonly number[] | undefined;
  readonly o: readonly number[] | undefined;
}
