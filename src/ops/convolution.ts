import type { NdArray, Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import {
  contractionShape,
  type Geometry,
  ROLE_OPERANDS,
  type Role,
  type SpatialAxis,
  type Tensor3,
} from '../kernel/contraction.js';
import { ShapeError } from '../tensor/errors.js';
import { formatShape, sameShape, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { forEachPosition } from './loops.js';

interface ConvolutionAttributes {
  readonly role: Role;
  readonly geometry: Geometry;
}

/** The contraction of `kernel/contraction.ts` in any of its three roles. */
const convolutionOperator: Operator<ConvolutionAttributes> = {
  name: 'convolution',
  infer(inputs, { role, geometry }) {
    const operands = ROLE_OPERANDS[role];
    checkGeometry(geometry);
    inputs.forEach((input, i) => {
      const expected = contractionShape(geometry, operands[i]);
      if (input.dtype !== 'f32' && input.dtype !== 'f64') {
        throw new ShapeError(`convolution: needs f32, got ${input.dtype}; cast first`);
      }
      if (!sameShape(input.shape, expected)) {
        throw new ShapeError(
          `convolution: operand ${operands[i]} is ${formatShape(input.shape)}, the geometry needs ${formatShape(expected)}`,
        );
      }
    });
    if (inputs[0].dtype !== inputs[1].dtype) {
      throw new ShapeError(`convolution: operands differ in dtype, ${inputs[0].dtype} and ${inputs[1].dtype}`);
    }
    return [{ dtype: inputs[0].dtype, shape: contractionShape(geometry, operands[2]) }];
  },
  reference(inputs, [result], { role, geometry }) {
    const operands = ROLE_OPERANDS[role];
    const arrays = { [operands[0]]: inputs[0], [operands[1]]: inputs[1], [operands[2]]: result } as Record<
      Tensor3,
      NdArray
    >;
    const { X, W, Z } = arrays;
    const sums = new Float64Array(result.data.length);
    forEachTriple(geometry, (x, w, z) => {
      if (role === 'output') sums[z] += X.data[x] * W.data[w];
      else if (role === 'input') sums[x] += W.data[w] * Z.data[z];
      else sums[w] += X.data[x] * Z.data[z];
    });
    result.data.set(sums);
  },
  // T is linear in each of X, W, Z: differentiating one role gives the other two.
  gradient({ inputs, gradients: [g], attributes: { role, geometry }, wanted }) {
    if (g === undefined) return [undefined, undefined];
    const operands = ROLE_OPERANDS[role];
    return inputs.map((_, i) => {
      if (!wanted(i)) return undefined;
      const known: Partial<Record<Tensor3, Tensor>> = { [operands[1 - i]]: inputs[1 - i], [operands[2]]: g };
      const next = (Object.keys(ROLE_OPERANDS) as Role[]).find((r) => ROLE_OPERANDS[r][2] === operands[i]) as Role;
      const [first, second] = ROLE_OPERANDS[next];
      return contract(next, known[first] as Tensor, known[second] as Tensor, geometry);
    });
  },
  lower: (_inputs, _outputs, { role, geometry }) => ({ kind: 'contraction', role, geometry }),
};

function checkGeometry(g: Geometry): void {
  const check = (where: string, values: object, lowest: (key: string) => number): void => {
    for (const [key, value] of Object.entries(values)) {
      if (key !== 'axes' && !(Number.isInteger(value) && value >= lowest(key))) {
        throw new ShapeError(`convolution: ${where}${key} must be an integer ≥ ${lowest(key)}, got ${value}`);
      }
    }
  };
  check('', g, (key) => (key === 'groups' ? 1 : 0));
  g.axes.forEach((axis, s) => {
    check(`axis ${s}: `, axis, (key) => LOWEST[key as keyof SpatialAxis]);
  });
}

/** Negative padding leaves out the first elements. */
const LOWEST: Readonly<Record<keyof SpatialAxis, number>> = {
  input: 0,
  kernel: 0,
  output: 0,
  stride: 1,
  dilation: 1,
  padLow: Number.NEGATIVE_INFINITY,
};

/** Calls `visit` with the flat positions in X, W and Z of every term of T. */
function forEachTriple(g: Geometry, visit: (x: number, w: number, z: number) => void): void {
  const [xs, ws, zs] = (['X', 'W', 'Z'] as const).map((which) => stridesOf(contractionShape(g, which)));
  const outer = [g.batch, g.groups, g.channelsOut, g.channelsIn];
  forEachPosition([...outer, ...g.axes.map((a) => a.output), ...g.axes.map((a) => a.kernel)], (position) => {
    const [n, group, co, ci] = position;
    let x = n * xs[0] + (group * g.channelsIn + ci) * xs[1];
    let w = (group * g.channelsOut + co) * ws[0] + ci * ws[1];
    let z = n * zs[0] + (group * g.channelsOut + co) * zs[1];
    for (let s = 0; s < g.axes.length; s++) {
      const a = g.axes[s];
      const o = position[4 + s];
      const k = position[4 + g.axes.length + s];
      const i = a.stride * o + a.dilation * k - a.padLow;
      if (i < 0 || i >= a.input) return;
      x += i * xs[2 + s];
      w += k * ws[2 + s];
      z += o * zs[2 + s];
    }
    visit(x, w, z);
  });
}

/** Applies one role of the contraction; see {@link ROLE_OPERANDS} for the order of the operands. */
export function contract(role: Role, first: Tensor, second: Tensor, geometry: Geometry): Tensor {
  return applyOperator(convolutionOperator, [first, second], { role, geometry })[0];
}

/** Matrix product of [n, k] and [k, m]: a convolution without spatial axes. */
export function matmul(a: Tensor, b: Tensor): Tensor {
  if (a.rank !== 2 || b.rank !== 2 || a.shape[1] !== b.shape[0]) {
    throw new ShapeError(
      `matmul: needs [n, k] and [k, m], got ${formatShape(a.shape)} and ${formatShape(b.shape)}; the inner extents must be equal`,
    );
  }
  // ∂T/∂X with Z = a and W = b: X[n, m] = Σ_k W[k, m] · Z[n, k].
  const geometry = { batch: a.shape[0], groups: 1, channelsIn: b.shape[1], channelsOut: a.shape[1], axes: [] };
  return contract('input', b, a, geometry);
}
