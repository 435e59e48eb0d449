import type { Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import type { SpatialAxis } from '../kernel/contraction.js';
import {
  apply,
  axisIndex,
  axisValue,
  type Check,
  constant,
  guard,
  type Index,
  load,
  makeIndex,
  reduced,
} from '../kernel/expression.js';
import { mapNest, reducerIdentity } from '../kernel/kernel.js';
import { isFloat } from '../tensor/dtype.js';
import { ShapeError } from '../tensor/errors.js';
import { formatShape, formatType, type Shape, sameShape, sizeOf, stridesOf, type TensorType } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { forEachPosition } from './loops.js';

/** One spatial axis of a pooling window: the same relation as a convolution's. */
export type WindowAxis = SpatialAxis;

interface WindowAttributes {
  /** one row per spatial axis; tensors are [batch, channels, …spatial] */
  readonly axes: readonly WindowAxis[];
}

const outer = (shape: Shape): Shape => shape.slice(0, 2);
const outputs = (axes: readonly WindowAxis[]): number[] => axes.map((a) => a.output);
const kernels = (axes: readonly WindowAxis[]): number[] => axes.map((a) => a.kernel);

/** i = stride · o + dilation · k − padLow, where o is nest axis 2+s and k is nest axis `taps`+s. */
function inputIndices(axes: readonly WindowAxis[], taps: number): Index[] {
  return axes.map((a, s) =>
    makeIndex(
      [
        { axis: 2 + s, factor: a.stride },
        { axis: taps + s, factor: a.dilation },
      ],
      -a.padLow,
    ),
  );
}

/** The flat position of the tap: Σ k · stride. */
function tapIndex(axes: readonly WindowAxis[], taps: number): Index {
  const strides = stridesOf(kernels(axes));
  return makeIndex(
    strides.map((factor, s) => ({ axis: taps + s, factor })),
    0,
  );
}

/** Calls `visit` for every window position and tap inside the input, with flat positions in input and output. */
function forEachTap(
  shape: Shape,
  axes: readonly WindowAxis[],
  visit: (input: number, output: number, tap: number) => void,
): void {
  const rank = axes.length;
  const inputStrides = stridesOf([...outer(shape), ...axes.map((a) => a.input)]);
  const outputStrides = stridesOf([...outer(shape), ...outputs(axes)]);
  const tapStrides = stridesOf(kernels(axes));
  forEachPosition([...outer(shape), ...outputs(axes), ...kernels(axes)], (position) => {
    let input = position[0] * inputStrides[0] + position[1] * inputStrides[1];
    let output = position[0] * outputStrides[0] + position[1] * outputStrides[1];
    let tap = 0;
    for (let s = 0; s < rank; s++) {
      const a = axes[s];
      const i = a.stride * position[2 + s] + a.dilation * position[2 + rank + s] - a.padLow;
      if (i < 0 || i >= a.input) return;
      input += i * inputStrides[2 + s];
      output += position[2 + s] * outputStrides[2 + s];
      tap += position[2 + rank + s] * tapStrides[s];
    }
    visit(input, output, tap);
  });
}

function checkInput(name: string, shape: Shape, extents: readonly number[]): void {
  if (shape.length !== extents.length + 2 || extents.some((extent, s) => shape[2 + s] !== extent)) {
    throw new ShapeError(`${name}: expected [batch, channels, ${extents.join(', ')}], got [${shape.join(', ')}]`);
  }
}

function checkTaps(name: string, tap: TensorType, shape: Shape): void {
  if (tap.dtype !== 'i32' || !sameShape(tap.shape, shape)) {
    throw new ShapeError(`${name}: the taps must be i32${formatShape(shape)}, got ${formatType(tap)}`);
  }
}

/**
 * Outputs: the largest element of each window, and the tap (flat, row-major over the window) where it was first found.
 * Padding never wins, but where a window holds nothing above −∞, the tap is 0 even if that lies in the padding.
 */
const maxPoolOperator: Operator<WindowAttributes> = {
  name: 'maxPool',
  infer([x], { axes }) {
    checkInput(
      'maxPool',
      x.shape,
      axes.map((a) => a.input),
    );
    if (!isFloat(x.dtype) && x.dtype !== 'i32') {
      throw new ShapeError(`maxPool: needs f32 or i32, got ${x.dtype}; cast first`);
    }
    const shape = [...outer(x.shape), ...outputs(axes)];
    return [
      { dtype: x.dtype, shape },
      { dtype: 'i32', shape },
    ];
  },
  reference([x], [y, tap], { axes }) {
    const best = new Float64Array(y.data.length).fill(reducerIdentity('argmax', x.type.dtype));
    forEachTap(x.type.shape, axes, (i, o, k) => {
      if (x.data[i] > best[o] || (Number.isNaN(x.data[i]) && !Number.isNaN(best[o]))) {
        best[o] = x.data[i];
        tap.data[o] = k;
      }
    });
    y.data.set(best);
  },
  gradient: ({ outputs: [, tap], gradients: [g], attributes: { axes } }) => [g && unpool(g, tap, axes)],
  lower([x], [y], { axes }) {
    const taps = y.shape.length;
    const input = inputIndices(axes, taps);
    const inside: Check[] = axes.map((a, s) => ({ index: input[s], extent: a.input }));
    const value = load(0, x.dtype, [axisIndex(0), axisIndex(1), ...input]);
    return {
      kind: 'nest',
      parallel: y.shape,
      reduce: kernels(axes),
      reducers: [
        {
          kind: 'argmax',
          body: guard(neverInPadding(axes, inside), value, constant(reducerIdentity('argmax', x.dtype), x.dtype)),
        },
      ],
      outputs: [reduced(0, x.dtype), reduced(0, 'i32', 'index')],
    };
  },
};

/** Drops checks of axes whose windows never leave the input. */
function neverInPadding(axes: readonly WindowAxis[], checks: readonly Check[]): Check[] {
  return checks.filter((_, s) => {
    const a = axes[s];
    return a.padLow > 0 || a.stride * (a.output - 1) + a.dilation * (a.kernel - 1) - a.padLow >= a.input;
  });
}

/** Whether windows lie side by side, without a rest. */
function tiles({ stride, kernel, dilation, padLow, input, output }: WindowAxis): boolean {
  return stride === kernel && padLow === 0 && (dilation === 1 || kernel === 1) && input === stride * output;
}

/** Σ over windows whose chosen tap lies at the input position: scatters without atomics, as a gather. */
const unpoolOperator: Operator<WindowAttributes> = {
  name: 'unpool',
  infer([g, tap], { axes }) {
    checkInput('unpool', g.shape, outputs(axes));
    checkTaps('unpool', tap, g.shape);
    return [{ dtype: g.dtype, shape: [...outer(g.shape), ...axes.map((a) => a.input)] }];
  },
  reference([g, tap], [x], { axes }) {
    const sums = new Float64Array(x.data.length);
    forEachTap(x.type.shape, axes, (i, o, k) => {
      if (tap.data[o] === k) sums[i] += g.data[o];
    });
    x.data.set(sums);
  },
  gradient: ({ inputs: [, tap], gradients: [g], attributes: { axes } }) => [g && pickTaps(g, tap, axes), undefined],
  lower([g], [x], { axes }) {
    const taps = x.shape.length;
    if (axes.every(tiles)) {
      // Every input position belongs to one window: i = stride · o + k.
      const at = g.shape.map((_, axis) => axisIndex(axis));
      const chosen = apply('eq', load(1, 'i32', at), axisValue(tapIndex(axes, taps)));
      const value = apply('select', chosen, load(0, g.dtype, at), constant(0, g.dtype));
      const nest = mapNest([...g.shape, ...kernels(axes)], value);
      return { ...nest, outputIndex: [axisIndex(0), axisIndex(1), ...inputIndices(axes, taps)] };
    }
    // o = (i + padLow − dilation · k) / stride
    const output = axes.map((a, s) =>
      makeIndex(
        [
          { axis: 2 + s, factor: 1 },
          { axis: taps + s, factor: -a.dilation },
        ],
        a.padLow,
        a.stride,
      ),
    );
    const at = [axisIndex(0), axisIndex(1), ...output];
    const chosen = apply('eq', load(1, 'i32', at), axisValue(tapIndex(axes, taps)));
    const value = apply('select', chosen, load(0, g.dtype, at), constant(0, g.dtype));
    const checks = axes.map((a, s) => ({ index: output[s], extent: a.output }));
    return {
      kind: 'nest',
      parallel: x.shape,
      reduce: kernels(axes),
      reducers: [{ kind: 'sum', body: guard(checks, value, constant(0, g.dtype)) }],
      outputs: [reduced(0, g.dtype)],
    };
  },
};

/** The element of each window that the chosen tap points at: the adjoint of `unpool`. */
const pickOperator: Operator<WindowAttributes> = {
  name: 'pickTaps',
  infer([x, tap], { axes }) {
    checkInput(
      'pickTaps',
      x.shape,
      axes.map((a) => a.input),
    );
    const shape = [...outer(x.shape), ...outputs(axes)];
    checkTaps('pickTaps', tap, shape);
    return [{ dtype: x.dtype, shape }];
  },
  reference([x, tap], [y], { axes }) {
    forEachTap(x.type.shape, axes, (i, o, k) => {
      if (tap.data[o] === k) y.data[o] = x.data[i];
    });
  },
  gradient: ({ inputs: [, tap], gradients: [g], attributes: { axes } }) => [g && unpool(g, tap, axes), undefined],
  lower([x], [y], { axes }) {
    const taps = y.shape.length;
    const input = inputIndices(axes, taps);
    const chosen = apply(
      'eq',
      load(
        1,
        'i32',
        y.shape.map((_, axis) => axisIndex(axis)),
      ),
      axisValue(tapIndex(axes, taps)),
    );
    const value = apply(
      'select',
      chosen,
      load(0, x.dtype, [axisIndex(0), axisIndex(1), ...input]),
      constant(0, x.dtype),
    );
    const checks = axes.map((a, s) => ({ index: input[s], extent: a.input }));
    return {
      kind: 'nest',
      parallel: y.shape,
      reduce: kernels(axes),
      reducers: [{ kind: 'sum', body: guard(checks, value, constant(0, x.dtype)) }],
      outputs: [reduced(0, x.dtype)],
    };
  },
};

/** Largest element of every window, and its tap; x is [batch, channels, …spatial]. */
export function maxPoolWithTaps(x: Tensor, axes: readonly WindowAxis[]): { values: Tensor; taps: Tensor } {
  if (sizeOf(kernels(axes)) < 1) throw new ShapeError('maxPool: the window must have at least one element');
  const [values, taps] = applyOperator(maxPoolOperator, [x], { axes });
  return { values, taps };
}

/** Puts every element of `g` at the input position that its window chose; elsewhere 0. */
export function unpool(g: Tensor, taps: Tensor, axes: readonly WindowAxis[]): Tensor {
  return applyOperator(unpoolOperator, [g, taps], { axes })[0];
}

/** Reads the element that each window chose: the adjoint of {@link unpool}. */
export function pickTaps(x: Tensor, taps: Tensor, axes: readonly WindowAxis[]): Tensor {
  return applyOperator(pickOperator, [x, taps], { axes })[0];
}
