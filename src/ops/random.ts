import type { Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import {
  apply,
  axisValue,
  cast,
  constant,
  constantIndex,
  type Expression,
  load,
  makeIndex,
} from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import { ShapeError } from '../tensor/errors.js';
import { THREEFRY_ROTATIONS, threefry2x32 } from '../tensor/random.js';
import { checkShape, formatType, type Shape, sizeOf, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** Uniform numbers from a key that is itself data: the same generator as `tensor/random.ts`, inside a program. */
const uniformOperator: Operator<{ shape: Shape }> = {
  name: 'uniform',
  infer([key], { shape }) {
    if (key.dtype !== 'i32' || key.shape.length !== 1 || key.shape[0] !== 2) {
      throw new ShapeError(`uniform: the key must be i32[2], got ${formatType(key)}`);
    }
    return [{ dtype: 'f32', shape }];
  },
  reference([key], [y]) {
    for (let i = 0; i < y.data.length; i++) {
      y.data[i] = (threefry2x32([key.data[0], key.data[1]], i, 0)[0] >>> 8) * 2 ** -24;
    }
  },
  lower(_, [y]) {
    const strides = stridesOf(y.shape);
    const position = makeIndex(
      strides.map((factor, axis) => ({ axis, factor })),
      0,
    );
    const k0 = load(0, 'i32', [constantIndex(0)]);
    const k1 = load(0, 'i32', [constantIndex(1)]);
    const bits = threefryExpression(k0, k1, axisValue(position));
    const uniform = apply('mul', cast('f32', apply('shr', bits, constant(8, 'i32'))), constant(2 ** -24, 'f32'));
    return mapNest(y.shape, uniform);
  },
};

/** The first word of threefry2x32((k0, k1), (counter, 0)) as an expression. */
function threefryExpression(k0: Expression, k1: Expression, counter: Expression): Expression {
  const i32 = (value: number): Expression => constant(value, 'i32');
  const keys = [k0, k1, apply('bitxor', apply('bitxor', k0, k1), i32(0x1bd11bda))];
  let x0 = apply('add', counter, k0);
  let x1 = k1;
  for (let group = 0; group < 5; group++) {
    for (let r = 0; r < 4; r++) {
      const rotation = THREEFRY_ROTATIONS[(group % 2) * 4 + r];
      x0 = apply('add', x0, x1);
      x1 = apply('bitor', apply('shl', x1, i32(rotation)), apply('shr', x1, i32(32 - rotation)));
      x1 = apply('bitxor', x1, x0);
    }
    x0 = apply('add', x0, keys[(group + 1) % 3]);
    x1 = apply('add', apply('add', x1, keys[(group + 2) % 3]), i32(group + 1));
  }
  return x0;
}

/** Uniform numbers in [0, 1); element i (row-major) depends on `key` (i32[2]) and i only. No gradient. */
export function uniform(key: Tensor, shape: Shape): Tensor {
  checkShape('uniform', shape);
  if (sizeOf(shape) >= 2 ** 31) throw new ShapeError('uniform: at most 2³¹ numbers from one key');
  return applyOperator(uniformOperator, [key], { shape: [...shape] })[0];
}
