import { linear } from '../../../ops/conv.js';
import { matmul } from '../../../ops/convolution.js';
import { batchedMatmul, einsum } from '../../../ops/einsum.js';
import { add, cast, mul, sub } from '../../../ops/elementwise.js';
import { reshape } from '../../../ops/reshape.js';
import { transpose } from '../../../ops/transpose.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { OperatorContext, OperatorTable, Results } from '../context.js';
import { isWhole } from '../element-types.js';
import { OnnxValue } from '../value.js';

function gemm(c: OperatorContext): Results {
  const a = c.flag('transA') ? transpose(c.x(0), [1, 0]) : c.x(0);
  const product = c.flag('transB') ? linear(a, c.x(1), undefined, c.where) : matmul(a, c.x(1));
  const alpha = c.float('alpha', 1);
  const beta = c.float('beta', 1);
  const y = alpha === 1 ? product : mul(product, alpha);
  if (!c.has(2)) return c.like(y);
  return c.like(add(y, beta === 1 ? c.x(2) : mul(c.x(2), beta)));
}

/** Sums of products of whole numbers are computed in f32, hence exact up to 2²⁴. */
function product(c: OperatorContext, a: Tensor, b: Tensor): Tensor {
  if (!isWhole(c.value(0).type)) return batchedMatmul(a, b, c.where);
  return cast(batchedMatmul(cast(a, 'f32'), cast(b, 'f32'), c.where), 'i32');
}

/** A zero point for the whole, or for each row (of the left operand) or column (of the right one). */
export function offset(c: OperatorContext, i: number, zero: number): Tensor {
  const x = c.x(i);
  if (!c.has(zero)) return x;
  const point = c.x(zero);
  if (point.size === 1) return sub(x, reshape(point, []));
  return sub(x, i === 0 && point.rank === 1 ? reshape(point, [point.size, 1]) : point);
}

function matMulInteger(c: OperatorContext): Results {
  return [OnnxValue.of('int32', product(c, offset(c, 0, 2), offset(c, 1, 3)))];
}

export const MATRIX: OperatorTable = {
  Einsum: {
    attributes: ['equation'],
    since: 12,
    run: (c) => c.like(einsum(c.text('equation', ''), ...c.inputs.map((_, i) => c.x(i)))),
  },
  Gemm: { attributes: ['alpha', 'beta', 'broadcast', 'transA', 'transB'], run: gemm },
  MatMul: { run: (c) => c.like(product(c, c.x(0), c.x(1))) },
  MatMulInteger: { since: 10, run: matMulInteger },
};
