import type { NdArray, Operator } from '../graph/operator.js';
import { applyOperator, currentTrace } from '../graph/trace.js';
import { apply, cast as castExpression, constant, type Expression, loadBroadcast } from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import { castValue, evaluateScalar, SCALAR, type ScalarFunction, scalarResult } from '../kernel/scalar.js';
import { type DType, isFloat } from '../tensor/dtype.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { broadcastShapes, formatShape, type Shape, type TensorType } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { sumTo } from './broadcast.js';
import { checkRepresentable } from './checks.js';
import { full, tensor } from './create.js';
import { identity } from './identity.js';
import { broadcastReader, forEachPosition } from './loops.js';

/** A tensor, or a number that takes the dtype of the other operand. */
export type Operand = Tensor | number;

/** Derivatives with respect to each argument: given the arguments, the result and its gradient. */
type Derivative = (x: readonly Tensor[], y: Tensor, g: Tensor) => (Tensor | undefined)[];

/** Operand dtypes: `number` is floating point or i32. */
type Accepted = 'float' | 'number' | 'integer' | 'bool' | 'any';

/** Operators on the elements of their broadcast arguments: one row of a table each, named as the scalar function. */
function elementwise(name: ScalarFunction, accepts: Accepted, derivative?: Derivative) {
  const { arity } = SCALAR[name];
  const operator: Operator<object> = {
    name,
    infer(inputs) {
      checkDtypes(name, accepts, inputs);
      const result = scalarResult(
        name,
        inputs.map((x) => x.dtype),
      );
      return [{ dtype: result, shape: jointShape(name, inputs) }];
    },
    reference(inputs, [y]) {
      const readers = inputs.map((x) => broadcastReader(x, y.type.shape.length));
      const { dtype } = inputs[inputs.length - 1].type;
      forEachPosition(y.type.shape, (position, flat) => {
        y.data[flat] = evaluateScalar(name, dtype, ...readers.map((read) => read(position)));
      });
    },
    gradient:
      derivative &&
      (({ inputs, outputs: [y], gradients: [g] }) =>
        g === undefined
          ? inputs.map(() => undefined)
          : derivative(inputs, y, g).map((d, i) => d && sumTo(d, inputs[i].shape))),
    lower(inputs, [y]) {
      return mapNest(y.shape, apply(name, ...loadAll(inputs, y)));
    },
  };
  return (...operands: Operand[]): Tensor => {
    if (operands.length !== arity) throw new ShapeError(`${name}: takes ${arity} operands, got ${operands.length}`);
    const lifted = liftAll(name, operands);
    const result = applyOperator(operator, lifted, {})[0];
    lifted.forEach((x, i) => {
      if (x !== operands[i]) x.dispose();
    });
    return result;
  };
}

const ACCEPTS: Readonly<Record<Accepted, readonly DType[]>> = {
  float: ['f32', 'f64'],
  number: ['f32', 'f64', 'i32'],
  integer: ['i32'],
  bool: ['bool'],
  any: ['f32', 'f64', 'i32', 'u8', 'bool'],
};

function loadAll(inputs: readonly TensorType[], y: TensorType): Expression[] {
  return inputs.map((x, i) => loadBroadcast(i, x.dtype, x.shape, y.shape.length));
}

function checkDtypes(name: string, accepts: Accepted, inputs: readonly TensorType[]): void {
  const compared = name === 'select' ? inputs.slice(1) : inputs;
  if (name === 'select' && inputs[0].dtype !== 'bool') {
    throw new ShapeError(`where: the condition must be bool, got ${inputs[0].dtype}`);
  }
  for (const { dtype } of compared) {
    if (!ACCEPTS[accepts].includes(dtype)) {
      const [expected] = ACCEPTS[accepts];
      throw new ShapeError(
        `${name}: needs ${expected}${accepts === 'number' ? ' or i32' : ''}, got ${dtype}; use cast(x, '${expected}')`,
      );
    }
    if (dtype !== compared[0].dtype) {
      throw new ShapeError(`${name}: operands differ in dtype, ${compared[0].dtype} and ${dtype}; cast one of them`);
    }
  }
}

function jointShape(name: string, inputs: readonly TensorType[]): Shape {
  let shape: Shape = [];
  for (const input of inputs) {
    const joint = broadcastShapes(shape, input.shape);
    if (joint === undefined) {
      const shapes = inputs.map((x) => formatShape(x.shape)).join(' and ');
      throw new ShapeError(
        `${name}: shapes ${shapes} do not broadcast; aligned at the last axis, extents must be equal or one`,
      );
    }
    shape = joint;
  }
  return shape;
}

function liftAll(name: string, operands: readonly Operand[]): Tensor[] {
  const from = name === 'select' ? 1 : 0;
  const model = operands.slice(from).find((operand) => operand instanceof Tensor);
  const dtype: DType = model?.dtype ?? 'f32';
  return operands.map((operand) => {
    if (operand instanceof Tensor) return operand;
    checkRepresentable(name, operand, dtype);
    // A constant of the program; outside of one a tensor, so that another number needs no other program.
    return currentTrace() ? full([], operand, dtype) : tensor(operand, { dtype });
  });
}

type Unary = (x: Operand) => Tensor;
type Binary = (a: Operand, b: Operand) => Tensor;

// Arithmetic. Operands broadcast; a number takes the dtype of the other operand.
/** −x */
export const neg: Unary = elementwise('neg', 'number', (_x, _y, g) => [neg(g)]);
/** a + b */
export const add: Binary = elementwise('add', 'number', (_x, _y, g) => [g, g]);
/** a − b */
export const sub: Binary = elementwise('sub', 'number', (_x, _y, g) => [g, neg(g)]);
/** a · b */
export const mul: Binary = elementwise('mul', 'number', ([a, b], _y, g) => [mul(g, b), mul(g, a)]);
/** a / b, of floats. */
export const div: Binary = elementwise('div', 'float', ([, b], y, g) => [div(g, b), neg(div(mul(g, y), b))]);
/** `a` to the power of `b`; the gradient with respect to `b` is zero where a ≤ 0. */
export const pow: Binary = elementwise('pow', 'float', ([a, b], y, g) => [
  // b · a^(b−1), without the 0 · ∞ where both are zero.
  mul(g, mul(b, pow(where(logicalAnd(equal(a, 0), equal(b, 0)), 1, a), sub(b, 1)))),
  mul(g, where(greater(a, 0), mul(y, log(where(greater(a, 0), a, 1))), 0)),
]);
/** The smaller one; where equal, each gets half of the gradient. NaN if either is NaN. */
export const minimum: Binary = elementwise('min', 'number', ([a, b], _y, g) =>
  shareGradient(g, less(a, b), equal(a, b)),
);
/** The larger one; where equal, each gets half of the gradient. NaN if either is NaN. */
export const maximum: Binary = elementwise('max', 'number', ([a, b], _y, g) =>
  shareGradient(g, greater(a, b), equal(a, b)),
);

function shareGradient(g: Tensor, first: Tensor, both: Tensor): Tensor[] {
  const share = where(both, mul(g, 0.5), where(first, g, 0));
  return [share, sub(g, share)];
}

// Elementary functions
/** |x|; the gradient at 0 is 0. */
export const abs: Unary = elementwise('abs', 'number', ([x], _y, g) => [
  where(greater(x, 0), g, where(less(x, 0), neg(g), 0)),
]);
/** √x */
export const sqrt: Unary = elementwise('sqrt', 'float', (_x, y, g) => [div(mul(g, 0.5), y)]);
/** eˣ */
export const exp: Unary = elementwise('exp', 'float', (_x, y, g) => [mul(g, y)]);
/** eˣ − 1, exact near 0, too. */
export const expm1: Unary = elementwise('expm1', 'float', (_x, y, g) => [mul(g, add(y, 1))]);
/** The natural logarithm; −∞ at 0, NaN below. */
export const log: Unary = elementwise('log', 'float', ([x], _y, g) => [div(g, x)]);
/** log(1 + x), exact near 0, too. */
export const log1p: Unary = elementwise('log1p', 'float', ([x], _y, g) => [div(g, add(x, 1))]);
/** The hyperbolic tangent. */
export const tanh: Unary = elementwise('tanh', 'float', (_x, y, g) => [mul(g, sub(1, mul(y, y)))]);
/** 1 / (1 + exp(−x)) */
export const sigmoid: Unary = elementwise('sigmoid', 'float', (_x, y, g) => [mul(g, mul(y, sub(1, y)))]);
/** The error function: 2/√π · ∫ exp(−t²) dt from 0 to x. */
export const erf: Unary = elementwise('erf', 'float', ([x], _y, g) => [
  mul(g, mul(2 / Math.sqrt(Math.PI), exp(neg(mul(x, x))))),
]);
/** The sine of an angle in radians. */
export const sin: Unary = elementwise('sin', 'float', ([x], _y, g) => [mul(g, cos(x))]);
/** The cosine of an angle in radians. */
export const cos: Unary = elementwise('cos', 'float', ([x], _y, g) => [neg(mul(g, sin(x)))]);
/** The largest integer ≤ x; no gradient flows. */
export const floor: Unary = elementwise('floor', 'float');
/** The smallest integer ≥ x; no gradient flows. */
export const ceil: Unary = elementwise('ceil', 'float');
/** Towards zero; no gradient flows. */
export const trunc: Unary = elementwise('trunc', 'float');
/** To the nearest integer, halves to even. */
export const round: Unary = elementwise('round', 'float');

// Comparisons (bool results) and logic
/** a = b, element by element: bool. */
export const equal: Binary = elementwise('eq', 'any');
/** a ≠ b, element by element: bool; true for NaN. */
export const notEqual: Binary = elementwise('ne', 'any');
/** a < b: bool; false where either is NaN. */
export const less: Binary = elementwise('lt', 'number');
/** a ≤ b: bool. */
export const lessEqual: Binary = elementwise('le', 'number');
/** a > b: bool. */
export const greater: Binary = elementwise('gt', 'number');
/** a ≥ b: bool. */
export const greaterEqual: Binary = elementwise('ge', 'number');
/** Of bools. */
export const logicalNot: Unary = elementwise('not', 'bool');
/** Of bools; both are computed. */
export const logicalAnd: Binary = elementwise('and', 'bool');
/** Of bools; both are computed. */
export const logicalOr: Binary = elementwise('or', 'bool');

const select = elementwise('select', 'any', ([c], _y, g) => [undefined, where(c, g, 0), where(c, 0, g)]);

/** `condition ? a : b`, element by element; `condition` is bool. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  return select(condition, a, b);
}

// i32 bit operations, for random numbers
/** Bit by bit, of i32. */
export const bitXor: Binary = elementwise('bitxor', 'integer');
/** Bit by bit, of i32. */
export const bitOr: Binary = elementwise('bitor', 'integer');
/** By 0 to 31 bits. */
export const shiftLeft: Shift = shift('shl');
/** By 0 to 31 bits; logical: zeros come in. */
export const shiftRight: Shift = shift('shr');

type Shift = (x: Tensor, bits: number) => Tensor;

/** Vector machines shift all lanes by one number, hence an attribute. */
function shift(name: 'shl' | 'shr'): Shift {
  const operator: Operator<{ bits: number }> = {
    name,
    infer([x], { bits }) {
      checkDtypes(name, 'integer', [x]);
      if (!Number.isInteger(bits) || bits < 0 || bits > 31) {
        throw new OptionError(`${name}: the number of bits must be an integer from 0 to 31, got ${bits}`);
      }
      return [x];
    },
    reference([x], [y], { bits }) {
      for (let i = 0; i < y.data.length; i++) y.data[i] = evaluateScalar(name, 'i32', x.data[i], bits);
    },
    lower: ([x], [y], { bits }) => mapNest(y.shape, apply(name, loadAll([x], y)[0], constant(bits, 'i32'))),
  };
  return (x, bits) => applyOperator(operator, [x], { bits })[0];
}

interface ReluAttributes {
  readonly slope: number;
}

const reluOperator: Operator<ReluAttributes> = {
  name: 'relu',
  infer([x]) {
    checkDtypes('relu', 'float', [x]);
    return [x];
  },
  reference([x], [y], { slope }) {
    for (let i = 0; i < y.data.length; i++) {
      const value = x.data[i];
      // Not 0 · value, which is NaN for −∞.
      y.data[i] = slope === 0 ? Math.max(value, 0) : value > 0 ? value : slope * value;
    }
  },
  // In terms of the result where its sign tells, so that the argument need not be kept.
  gradient: ({ inputs: [x], outputs: [y], gradients: [g], attributes: { slope } }) => [
    g && where(greater(slope >= 0 ? y : x, 0), g, slope === 0 ? 0 : mul(g, slope)),
  ],
  lower([x], [y], { slope }) {
    const [value] = loadAll([x], y);
    const zero = constant(0, x.dtype);
    return mapNest(
      y.shape,
      slope === 0
        ? apply('max', value, zero)
        : apply('select', apply('gt', value, zero), value, apply('mul', value, constant(slope, x.dtype))),
    );
  },
};

/** max(x, 0); the derivative at 0 is 0. */
export function relu(x: Tensor): Tensor {
  return applyOperator(reluOperator, [x], { slope: 0 })[0];
}

/** x where positive, slope · x elsewhere. Default slope 0.01, as in PyTorch. */
export function leakyRelu(x: Tensor, slope = 0.01): Tensor {
  return applyOperator(reluOperator, [x], { slope })[0];
}

const castOperator: Operator<{ dtype: DType }> = {
  name: 'cast',
  infer: ([x], { dtype }) => [{ dtype, shape: x.shape }],
  reference([x]: readonly NdArray[], [y]: readonly NdArray[], { dtype }) {
    for (let i = 0; i < y.data.length; i++) y.data[i] = castValue(dtype, x.data[i]);
  },
  gradient: ({ inputs: [x], gradients: [g] }) => [g && isFloat(x.dtype) ? cast(g, x.dtype) : undefined],
  lower([x], [y], { dtype }) {
    return mapNest(y.shape, castExpression(dtype, loadAll([x], y)[0]));
  },
};

/** Converts elements: floats truncate and saturate on their way to i32 and u8; anything but zero is true. */
export function cast(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? identity(x) : applyOperator(castOperator, [x], { dtype })[0];
}

/** The same value, but no gradient flows through it. */
export function stopGradient(x: Tensor): Tensor {
  return applyOperator(stopOperator, [x], {})[0];
}

const stopOperator: Operator<object> = {
  name: 'stopGradient',
  infer: ([x]) => [x],
  reference([x], [y]) {
    y.data.set(x.data);
  },
  lower: ([x], [y]) => mapNest(y.shape, loadAll([x], y)[0]),
};
