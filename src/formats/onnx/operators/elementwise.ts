import { celu, elu, gelu, hardswish, mish, prelu, selu, softplus, softsign } from '../../../ops/activations.js';
import { broadcastTo } from '../../../ops/broadcast.js';
import * as e from '../../../ops/elementwise.js';
import { reshape } from '../../../ops/reshape.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { OperatorContext, OperatorRow, OperatorTable, Results } from '../context.js';
import { isWhole } from '../element-types.js';
import { OnnxValue } from '../value.js';
import { bitAnd, divideWhole, shiftBy, wrap } from './whole-numbers.js';

const unary = (f: (x: Tensor) => Tensor, since = 1): OperatorRow => ({
  attributes: ['consumed_inputs'],
  since,
  run: (c) => c.like(f(c.x())),
});

/** A function with one float attribute or more. */
const activation = (attributes: readonly string[], f: (x: Tensor, c: OperatorContext) => Tensor): OperatorRow => ({
  attributes: [...attributes, 'consumed_inputs'],
  run: (c) => c.like(f(c.x(), c)),
});

/** The second operand as sets of operators before 7 align it: at `axis`, not at the end. */
export function aligned(c: OperatorContext, i = 1): Tensor {
  const b = c.x(i);
  const axis = c.attribute('axis')?.i;
  if (c.opset >= 7 || axis === undefined || b.rank === 0) return b;
  const a = c.x(0);
  const first = axis < 0 ? axis + a.rank : axis;
  return reshape(b, [...b.shape, ...new Array<number>(Math.max(0, a.rank - first - b.rank)).fill(1)]);
}

const LEGACY: readonly string[] = ['axis', 'broadcast', 'consumed_inputs'];

/** Arithmetic; narrow whole numbers wrap around. */
const arithmetic = (f: (a: Tensor, b: Tensor) => Tensor): OperatorRow => ({
  attributes: LEGACY,
  run: (c) => {
    const { type } = c.value(0);
    if (c.value(1).type !== type) c.broken(`operands differ in type: ${c.shapes()}`);
    return c.like(wrap(f(c.x(0), aligned(c)), type));
  },
});

const comparison = (f: (a: Tensor, b: Tensor) => Tensor): OperatorRow => ({
  attributes: LEGACY,
  run: (c) => [OnnxValue.of('bool', f(c.x(0), aligned(c)))],
});

/** Of any number of operands, one after the other. */
const variadic = (f: (a: Tensor, b: Tensor) => Tensor): OperatorRow => ({
  attributes: ['consumed_inputs'],
  run: (c) => c.like(c.inputs.map((_, i) => c.x(i)).reduce((a, b) => f(a, b))),
});

function power(c: OperatorContext): Results {
  const base = c.x(0);
  const exponent = c.value(1);
  const whole = isWhole(c.value(0).type);
  const [n] = exponent.known !== undefined && exponent.size === 1 ? exponent.known : [undefined];
  // Small whole powers are products: exact, and differentiable at 0.
  if (n === 1 || n === 2 || n === 3) {
    const x = broadcastTo(base, e.add(base, e.cast(reshape(exponent.tensor, exponent.shape), base.dtype)).shape);
    const square = n === 1 ? x : e.mul(x, x);
    return c.like(n === 3 ? e.mul(square, x) : square);
  }
  const y = e.pow(e.cast(base, 'f32'), e.cast(aligned(c), 'f32'));
  return c.like(whole ? e.cast(e.round(y), 'i32') : y);
}

/** Whole numbers: the sign of the divisor (`fmod` 0) or of the dividend; floats: of the dividend. */
function modulo(c: OperatorContext): Results {
  const [a, b] = [c.x(0), c.x(1)];
  const c_sign = c.flag('fmod');
  if (!isWhole(c.value(0).type)) {
    if (!c_sign) c.refuse('floats need fmod = 1');
    return c.like(e.sub(a, e.mul(e.trunc(e.div(a, b)), b)));
  }
  const { remainder } = divideWhole(a, b);
  if (c_sign) return c.like(remainder);
  const differs = e.logicalAnd(
    e.notEqual(remainder, 0),
    e.notEqual(e.cast(e.less(remainder, 0), 'i32'), e.cast(e.less(b, 0), 'i32')),
  );
  return c.like(e.where(differs, e.add(remainder, b), remainder));
}

function clip(c: OperatorContext): Results {
  const x = c.x();
  const bound = (i: number, name: string): Tensor | number | undefined => {
    if (c.opset < 11) return c.attribute(name)?.f;
    const value = c.inputs[i];
    return value === undefined ? undefined : value.known ? value.known[0] : value.tensor;
  };
  const low = bound(1, 'min');
  const high = bound(2, 'max');
  const above = low === undefined ? x : e.maximum(x, low);
  return c.like(high === undefined ? above : e.minimum(above, high));
}

function sign(x: Tensor): Tensor {
  return e.sub(e.cast(e.greater(x, 0), x.dtype), e.cast(e.less(x, 0), x.dtype));
}

function shrink(x: Tensor, c: OperatorContext): Tensor {
  const [bias, lambd] = [c.float('bias', 0), c.float('lambd', 0.5)];
  return e.where(e.less(x, -lambd), e.add(x, bias), e.where(e.greater(x, lambd), e.sub(x, bias), 0));
}

/** PRelu's slope stretches to the input from its last axis; a slope per channel, as older files have it, from axis 1. */
function slopes(c: OperatorContext): Tensor {
  const x = c.x(0);
  const slope = c.x(1);
  if (c.opset < 7 && slope.rank === 1 && slope.size > 1 && x.rank > 1) {
    return e.where(
      e.greater(x, 0),
      x,
      e.mul(reshape(slope, [slope.size, ...new Array<number>(x.rank - 2).fill(1)]), x),
    );
  }
  if (slope.size === 1) return prelu(x, reshape(slope, [1]));
  return e.where(e.greater(x, 0), x, e.mul(slope, x));
}

function where(c: OperatorContext): Results {
  const [a, b] = [c.x(1), c.x(2)];
  return [OnnxValue.of(c.value(1).type, e.where(c.x(0), a, b))];
}

function bitShift(c: OperatorContext): Results {
  const left = c.text('direction', '') === 'LEFT';
  return c.like(wrap(shiftBy(c.x(0), c.x(1), left ? e.shiftLeft : e.shiftRight), c.value(0).type));
}

const tan = (x: Tensor): Tensor => e.div(e.sin(x), e.cos(x));
const sinh = (x: Tensor): Tensor => e.mul(e.sub(e.expm1(x), e.expm1(e.neg(x))), 0.5);
const cosh = (x: Tensor): Tensor => e.mul(e.add(e.exp(x), e.exp(e.neg(x))), 0.5);
/** Odd; for large x log(2|x|) with all digits. */
const asinh = (x: Tensor): Tensor => {
  const a = e.abs(x);
  return e.mul(sign(x), e.log1p(e.add(a, e.div(e.mul(a, a), e.add(e.sqrt(e.add(e.mul(a, a), 1)), 1)))));
};
const acosh = (x: Tensor): Tensor => e.log(e.add(x, e.sqrt(e.mul(e.sub(x, 1), e.add(x, 1)))));
const atanh = (x: Tensor): Tensor => e.mul(e.sub(e.log1p(x), e.log1p(e.neg(x))), 0.5);

/**
 * The arc tangent by Cephes' `atanf` (S. Moshier): the argument is brought below tan(π/8), where a polynomial of degree 9 has the
 * precision of f32.
 */
function atan(x: Tensor): Tensor {
  const a = e.abs(x);
  const large = e.greater(a, 2.414213562373095);
  const middle = e.greater(a, 0.4142135623730951);
  const t = e.where(large, e.div(-1, e.maximum(a, 1)), e.where(middle, e.div(e.sub(a, 1), e.add(a, 1)), a));
  const start = e.where(large, Math.PI / 2, e.where(middle, Math.PI / 4, e.mul(a, 0)));
  const z = e.mul(t, t);
  let p = e.mul(z, 8.05374449538e-2);
  p = e.mul(e.sub(p, 1.38776856032e-1), z);
  p = e.mul(e.add(p, 1.99777106478e-1), z);
  p = e.mul(e.sub(p, 3.33329491539e-1), z);
  const y = e.add(start, e.add(e.mul(p, t), t));
  return e.where(e.less(x, 0), e.neg(y), y);
}

/** 2 · atan(x / (1 + √(1 − x²))) */
const asin = (x: Tensor): Tensor => e.mul(atan(e.div(x, e.add(e.sqrt(e.mul(e.sub(1, x), e.add(x, 1))), 1))), 2);
/** 2 · atan(√((1 − x) / (1 + x))) */
const acos = (x: Tensor): Tensor => e.mul(atan(e.sqrt(e.div(e.sub(1, x), e.add(x, 1)))), 2);

export const ELEMENTWISE: OperatorTable = {
  Abs: unary(e.abs),
  Acos: unary(acos, 7),
  Acosh: unary(acosh, 9),
  Add: arithmetic(e.add),
  And: comparison(e.logicalAnd),
  Asin: unary(asin, 7),
  Asinh: unary(asinh, 9),
  Atan: unary(atan, 7),
  Atanh: unary(atanh, 9),
  BitShift: { attributes: ['direction'], since: 11, run: bitShift },
  BitwiseAnd: { ...arithmetic(bitAnd), since: 18 },
  BitwiseNot: { since: 18, run: (c) => c.like(wrap(e.sub(e.neg(c.x()), 1), c.value(0).type)) },
  BitwiseOr: { ...arithmetic(e.bitOr), since: 18 },
  BitwiseXor: { ...arithmetic(e.bitXor), since: 18 },
  Ceil: unary(e.ceil),
  Celu: activation(['alpha'], (x, c) => celu(x, c.float('alpha', 1))),
  Clip: { attributes: ['min', 'max', 'consumed_inputs'], statics: [1, 2], run: clip },
  Cos: unary(e.cos, 7),
  Cosh: unary(cosh, 9),
  Div: arithmetic((a, b) => (a.dtype === 'i32' ? divideWhole(a, b).quotient : e.div(a, b))),
  Elu: activation(['alpha'], (x, c) => elu(x, c.float('alpha', 1))),
  Equal: comparison(e.equal),
  Erf: unary(e.erf, 9),
  Exp: unary(e.exp),
  Floor: unary(e.floor),
  Gelu: {
    ...activation(['approximate'], (x, c) => gelu(x, c.text('approximate', 'none') === 'tanh' ? 'tanh' : 'none')),
    since: 20,
  },
  Greater: comparison(e.greater),
  GreaterOrEqual: { ...comparison(e.greaterEqual), since: 12 },
  HardSigmoid: activation(['alpha', 'beta'], (x, c) =>
    e.maximum(e.minimum(e.add(e.mul(x, c.float('alpha', 0.2)), c.float('beta', 0.5)), 1), 0),
  ),
  HardSwish: unary(hardswish, 14),
  IsInf: {
    attributes: ['detect_negative', 'detect_positive'],
    since: 10,
    run: (c) => {
      const x = c.x();
      const none = e.notEqual(x, x);
      const above = c.flag('detect_positive', true) ? e.greater(x, 3.4028234663852886e38) : none;
      const below = c.flag('detect_negative', true) ? e.less(x, -3.4028234663852886e38) : none;
      return [OnnxValue.of('bool', e.logicalAnd(e.logicalOr(above, below), e.equal(x, x)))];
    },
  },
  IsNaN: { since: 9, run: (c) => [OnnxValue.of('bool', e.notEqual(c.x(), c.x()))] },
  LeakyRelu: activation(['alpha'], (x, c) => e.leakyRelu(x, c.float('alpha', 0.01))),
  Less: comparison(e.less),
  LessOrEqual: { ...comparison(e.lessEqual), since: 12 },
  Log: unary(e.log),
  Max: variadic(e.maximum),
  Mean: {
    attributes: ['consumed_inputs'],
    run: (c) =>
      c.like(
        e.mul(
          c.inputs.map((_, i) => c.x(i)).reduce((a, b) => e.add(a, b)),
          1 / c.inputs.length,
        ),
      ),
  },
  Min: variadic(e.minimum),
  Mish: unary(mish, 18),
  Mod: { attributes: ['fmod'], since: 10, run: modulo },
  Mul: arithmetic(e.mul),
  Neg: unary(e.neg),
  Not: { run: (c) => [OnnxValue.of('bool', e.logicalNot(c.x()))] },
  Or: comparison(e.logicalOr),
  PRelu: { attributes: ['consumed_inputs'], run: (c) => c.like(slopes(c)) },
  Pow: { attributes: LEGACY, run: power },
  Reciprocal: unary((x) => e.div(1, x)),
  Relu: {
    attributes: ['consumed_inputs'],
    run: (c) => c.like(isWhole(c.value(0).type) ? e.maximum(c.x(), 0) : e.relu(c.x())),
  },
  Round: unary(e.round, 11),
  Selu: activation(['alpha', 'gamma'], (x, c) => {
    const [alpha, gamma] = [c.float('alpha', 1.6732632), c.float('gamma', 1.0507)];
    if (Math.abs(alpha - 1.6732632) < 1e-6 && Math.abs(gamma - 1.050701) < 1e-5) return selu(x);
    return e.mul(elu(x, alpha), gamma);
  }),
  Shrink: { ...activation(['bias', 'lambd'], shrink), since: 9 },
  Sigmoid: unary(e.sigmoid),
  Sign: unary(sign, 9),
  Sin: unary(e.sin, 7),
  Sinh: unary(sinh, 9),
  Softplus: unary((x) => softplus(x, 1, 80)),
  Softsign: unary(softsign),
  Sqrt: unary(e.sqrt),
  Sub: arithmetic(e.sub),
  Sum: variadic(e.add),
  Swish: { ...activation(['alpha'], (x, c) => e.mul(x, e.sigmoid(e.mul(x, c.float('alpha', 1))))), since: 24 },
  Tan: unary(tan, 7),
  Tanh: unary(e.tanh),
  ThresholdedRelu: {
    ...activation(['alpha'], (x, c) => e.where(e.greater(x, c.float('alpha', 1)), x, 0)),
    since: 10,
  },
  Where: { since: 9, run: where },
  Xor: comparison((a, b) => e.notEqual(a, b)),
};
