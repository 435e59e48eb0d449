import type { Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import { apply, axisIndex, axisValue, constant, load, reduced } from '../kernel/expression.js';
import { type DType, isFloat } from '../tensor/dtype.js';
import { ShapeError } from '../tensor/errors.js';
import { formatShape, formatType, type TensorType } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { matmul } from './convolution.js';
import { iota } from './create.js';
import { cast, equal } from './elementwise.js';
import { reshape } from './reshape.js';

// Reading rows by number, and its adjoint, which adds rows up by number. Addresses of kernels are affine, so both are
// products with the one-hot matrix [positions, rows], whose elements the operators here do not store but compare.

function checkRows(name: string, table: TensorType, ids: TensorType): void {
  if (table.shape.length !== 2 || !isFloat(table.dtype)) {
    throw new ShapeError(`${name}: needs a table f32[rows, columns], got ${formatType(table)}`);
  }
  if (ids.shape.length !== 1 || ids.dtype !== 'i32') {
    throw new ShapeError(`${name}: needs row numbers i32[positions], got ${formatType(ids)}`);
  }
}

/** y[n, c] = Σ_r [ids[n] = r] · table[r, c] */
const gatherOperator: Operator<object> = {
  name: 'gatherRows',
  infer([table, ids]) {
    checkRows('gatherRows', table, ids);
    return [{ dtype: table.dtype, shape: [ids.shape[0], table.shape[1]] }];
  },
  reference([table, ids], [y]) {
    const [rows, columns] = table.type.shape;
    for (let n = 0; n < ids.data.length; n++) {
      const r = ids.data[n];
      for (let c = 0; c < columns; c++) y.data[n * columns + c] = r >= 0 && r < rows ? table.data[r * columns + c] : 0;
    }
  },
  gradient: ({ inputs: [table, ids], gradients: [g] }) => [g && scatterRows(g, ids, table.shape[0]), undefined],
  lower([table], [y]) {
    // Nest axes: position, column; reduced: row.
    const chosen = apply('eq', load(1, 'i32', [axisIndex(0)]), axisValue(axisIndex(2)));
    const value = load(0, table.dtype, [axisIndex(2), axisIndex(1)]);
    return {
      kind: 'nest',
      parallel: y.shape,
      reduce: [table.shape[0]],
      reducers: [{ kind: 'sum', body: apply('select', chosen, value, constant(0, table.dtype)) }],
      outputs: [reduced(0, y.dtype)],
    };
  },
};

/** table[r, c] = Σ_n [ids[n] = r] · g[n, c] */
const scatterOperator: Operator<{ rows: number }> = {
  name: 'scatterRows',
  infer([g, ids], { rows }) {
    checkRows('scatterRows', g, ids);
    if (g.shape[0] !== ids.shape[0]) {
      throw new ShapeError(
        `scatterRows: ${ids.shape[0]} row numbers for ${g.shape[0]} rows of ${formatShape(g.shape)}`,
      );
    }
    return [{ dtype: g.dtype, shape: [rows, g.shape[1]] }];
  },
  reference([g, ids], [table], { rows }) {
    const columns = g.type.shape[1];
    const sums = new Float64Array(table.data.length);
    for (let n = 0; n < ids.data.length; n++) {
      const r = ids.data[n];
      if (r < 0 || r >= rows) continue;
      for (let c = 0; c < columns; c++) sums[r * columns + c] += g.data[n * columns + c];
    }
    table.data.set(sums);
  },
  gradient: ({ inputs: [, ids], gradients: [t] }) => [t && applyOperator(gatherOperator, [t, ids], {})[0], undefined],
  lower([g], [table]) {
    // Nest axes: row, column; reduced: position.
    const chosen = apply('eq', load(1, 'i32', [axisIndex(2)]), axisValue(axisIndex(0)));
    const value = load(0, g.dtype, [axisIndex(2), axisIndex(1)]);
    return {
      kind: 'nest',
      parallel: table.shape,
      reduce: [g.shape[0]],
      reducers: [{ kind: 'sum', body: apply('select', chosen, value, constant(0, g.dtype)) }],
      outputs: [reduced(0, table.dtype)],
    };
  },
};

/** Σ of the rows of `g` [positions, columns] with the same number in `ids` i32[positions], as [rows, columns]. */
export function scatterRows(g: Tensor, ids: Tensor, rows: number): Tensor {
  return applyOperator(scatterOperator, [g, ids], { rows })[0];
}

/** Up to so many elements (256 MB) the one-hot matrix is stored: a tiled product is several times as fast as comparing. */
const STORED = 2 ** 26;

/**
 * Rows of a table by their numbers. Takes time in proportion to positions · rows · columns.
 *
 * @param table f32 [rows, columns]
 * @param ids i32 of any shape
 * @returns [...shape of ids, columns]; zeros where a number is outside of 0 … rows−1
 */
export function gatherRows(table: Tensor, ids: Tensor): Tensor {
  const flat = ids.rank === 1 ? ids : reshape(ids, [ids.size]);
  checkRows('gatherRows', table.type, flat.type);
  const [rows, columns] = table.shape;
  const stored = flat.size * rows <= STORED;
  const found = stored ? matmul(oneHot(flat, rows, table.dtype), table) : compareRows(table, flat);
  return reshape(found, [...ids.shape, columns]);
}

/** The rows by comparing every number with every row; {@link gatherRows} takes it for large tables. */
export function compareRows(table: Tensor, ids: Tensor): Tensor {
  return applyOperator(gatherOperator, [table, ids], {})[0];
}

/** [positions, rows] with a one where the row is the position's number. */
function oneHot(ids: Tensor, rows: number, dtype: DType): Tensor {
  return cast(equal(reshape(ids, [ids.size, 1]), iota([1, rows], 1)), dtype);
}
