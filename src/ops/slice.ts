import type { Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import { axisIndex, constant, guard, load, makeIndex } from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import { ShapeError } from '../tensor/errors.js';
import { formatShape, type Shape, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { checkRepresentable } from './checks.js';
import { identity } from './identity.js';
import { forEachPosition } from './loops.js';

// Slicing and padding are each other's gradients, hence one file.

interface SliceAttributes {
  readonly start: readonly number[];
  readonly size: readonly number[];
  readonly step: readonly number[];
}

const sliceOperator: Operator<SliceAttributes> = {
  name: 'slice',
  infer([x], { start, size, step }) {
    if ([start, size, step].some((list) => list.length !== x.shape.length)) {
      throw new ShapeError(`slice: needs a start, a size and a step for each axis of ${formatShape(x.shape)}`);
    }
    x.shape.forEach((extent, axis) => {
      const last = start[axis] + (size[axis] - 1) * step[axis];
      const whole = [start, size, step].every((list) => Number.isInteger(list[axis]));
      if (!whole || start[axis] < 0 || size[axis] < 0 || step[axis] < 1 || (size[axis] > 0 && last >= extent)) {
        throw new ShapeError(
          `slice: axis ${axis} of ${formatShape(x.shape)} has no elements ${start[axis]} + ${step[axis]}·(0…${size[axis] - 1})`,
        );
      }
    });
    return [{ dtype: x.dtype, shape: size }];
  },
  reference([x], [y], { start, size, step }) {
    const strides = stridesOf(x.type.shape);
    forEachPosition(size, (position, flat) => {
      let at = 0;
      for (let i = 0; i < size.length; i++) at += (start[i] + position[i] * step[i]) * strides[i];
      y.data[flat] = x.data[at];
    });
  },
  gradient: ({ inputs: [x], gradients: [g], attributes: { start, size, step } }) => [
    g &&
      applyOperator(padOperator, [g], {
        low: start,
        high: x.shape.map((extent, i) => extent - start[i] - Math.max(0, (size[i] - 1) * step[i] + 1)),
        interior: step.map((s) => s - 1),
        value: 0,
      })[0],
  ],
  lower([x], [y], { start, step }) {
    return mapNest(
      y.shape,
      load(
        0,
        x.dtype,
        start.map((s, axis) => axisIndex(axis, step[axis], s)),
      ),
    );
  },
};

interface PadAttributes {
  readonly low: readonly number[];
  readonly high: readonly number[];
  readonly interior: readonly number[];
  readonly value: number;
}

const padOperator: Operator<PadAttributes> = {
  name: 'pad',
  infer([x], { low, high, interior, value }) {
    checkRepresentable('pad', value, x.dtype);
    if (low.length !== x.shape.length || high.length !== x.shape.length) {
      throw new ShapeError(`pad: needs a low and a high amount for each axis of ${formatShape(x.shape)}`);
    }
    if (![...low, ...high].every(Number.isInteger)) {
      throw new ShapeError(`pad: amounts must be integers, got ${formatShape(low)} and ${formatShape(high)}`);
    }
    const shape = x.shape.map((extent, i) => low[i] + Math.max(0, (extent - 1) * (interior[i] + 1) + 1) + high[i]);
    if (shape.some((extent) => extent < 0)) {
      throw new ShapeError(`pad: removing more than there is from ${formatShape(x.shape)} gives ${formatShape(shape)}`);
    }
    return [{ dtype: x.dtype, shape }];
  },
  reference([x], [y], { low, interior, value }) {
    const strides = stridesOf(y.type.shape);
    y.data.fill(value);
    forEachPosition(x.type.shape, (position, flat) => {
      let at = 0;
      for (let i = 0; i < position.length; i++) {
        const target = low[i] + position[i] * (interior[i] + 1);
        if (target < 0 || target >= y.type.shape[i]) return;
        at += target * strides[i];
      }
      y.data[at] = x.data[flat];
    });
  },
  gradient({ inputs: [x], gradients: [g], attributes: { low, high, interior } }) {
    if (g === undefined) return [undefined];
    // Negative amounts cut off: put zeros back before the elements are picked out.
    const cut = pad(
      g,
      low.map((amount) => Math.max(0, -amount)),
      high.map((amount) => Math.max(0, -amount)),
    );
    return [
      applyOperator(sliceOperator, [cut], {
        start: low.map((amount) => Math.max(0, amount)),
        size: [...x.shape],
        step: interior.map((n) => n + 1),
      })[0],
    ];
  },
  lower([x], [y], { low, interior, value }) {
    const index = x.shape.map((_, axis) => makeIndex([{ axis, factor: 1 }], -low[axis], interior[axis] + 1));
    const checks = x.shape.map((extent, axis) => ({ index: index[axis], extent }));
    const moved = (axis: number): boolean => low[axis] !== 0 || interior[axis] !== 0;
    const needed = checks.filter((_, axis) => y.shape[axis] !== x.shape[axis] || moved(axis));
    return mapNest(y.shape, guard(needed, load(0, x.dtype, index), constant(value, x.dtype)));
  },
};

/** Elements from `start`, `size` of them (default: to the end) in steps of `step` (default 1), one number per axis. */
export function slice(x: Tensor, start: Shape, size?: Shape, step?: Shape): Tensor {
  const steps = step ?? x.shape.map(() => 1);
  return applyOperator(sliceOperator, [x], {
    start: [...start],
    size: size ? [...size] : x.shape.map((extent, i) => Math.ceil((extent - start[i]) / steps[i])),
    step: [...steps],
  })[0];
}

/** Puts `low[i]` and `high[i]` elements of `value` (default 0) around axis `i`; negative amounts cut off. */
export function pad(x: Tensor, low: Shape, high: Shape, value = 0): Tensor {
  const none = [low, high].every((list) => list.length === x.rank && list.every((n) => n === 0));
  if (none) return identity(x);
  return applyOperator(padOperator, [x], { low: [...low], high: [...high], interior: x.shape.map(() => 0), value })[0];
}
