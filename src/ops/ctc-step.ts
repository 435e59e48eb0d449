import type { Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import { apply, axisIndex, cast, constant, constantIndex, type Expression, guard, load } from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import { ShapeError } from '../tensor/errors.js';
import { formatType, sameShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { add, exp, greater, less, mul, sub, where } from './elementwise.js';
import { reshape } from './reshape.js';
import { pad, slice } from './slice.js';

/** Stands for the logarithm of 0: differences and sums of it stay finite, and its exponential is 0. */
export const IMPOSSIBLE: number = -1e30;

interface StepAttributes {
  /** Counted from the beginning of the sequence. */
  readonly time: number;
  /** Of the emissions. */
  readonly row: number;
}

/** One step as one kernel: as a composition it would be a dozen, each for a few hundred numbers, times the length of the sequence. */
const stepOperator: Operator<StepAttributes> = {
  name: 'ctcStep',
  infer([alpha, emissions, skip, steps], { row }) {
    const [batch, states] = alpha.shape;
    const fits =
      alpha.shape.length === 2 &&
      emissions.shape.length === 3 &&
      row < emissions.shape[0] &&
      sameShape(emissions.shape.slice(1), alpha.shape) &&
      sameShape(skip.shape, alpha.shape) &&
      sameShape(steps.shape, [batch]) &&
      steps.dtype === 'i32';
    if (!fits) {
      const got = [alpha, emissions, skip, steps].map(formatType).join(', ');
      throw new ShapeError(
        `ctcStep: needs [batch, states], [rows, batch, states], [batch, states] and i32[batch], got ${got}`,
      );
    }
    return [{ dtype: alpha.dtype, shape: [batch, states] }];
  },
  reference([alpha, emissions, skip, steps], [out], { time, row }) {
    const [batch, states] = alpha.type.shape;
    for (let n = 0; n < batch; n++) {
      for (let s = 0; s < states; s++) {
        const at = n * states + s;
        const ways = [
          alpha.data[at],
          s < 1 ? IMPOSSIBLE : alpha.data[at - 1],
          s < 2 ? IMPOSSIBLE : alpha.data[at - 2] + skip.data[at],
        ];
        const largest = Math.max(...ways);
        const total = ways.reduce((sum, way) => sum + Math.exp(way - largest), 0);
        const emission = emissions.data[row * batch * states + at];
        out.data[at] = time < steps.data[n] ? Math.log(total) + largest + emission : alpha.data[at];
      }
    }
  },
  gradient({
    inputs: [alpha, emissions, skip, steps],
    outputs: [out],
    gradients: [g],
    attributes: { time, row },
    wanted,
  }) {
    if (g === undefined) return [];
    const [rows, batch, states] = emissions.shape;
    const active = less(time, reshape(steps, [batch, 1]));
    const gained = where(active, g, 0);
    const emission = reshape(slice(emissions, [row, 0, 0], [1, batch, states]), [batch, states]);
    // The share of a way in the sum is exp(way + emission − out); what cannot be reached has none.
    const rest = where(greater(out, IMPOSSIBLE / 2), sub(emission, out), IMPOSSIBLE);
    const ways = [rest, rest, add(rest, skip)].slice(0, states).map((remainder, n) => {
      const share = exp(add(alpha, moveDown(remainder, n, IMPOSSIBLE)));
      return mul(moveDown(gained, n, 0), share);
    });
    const kept = where(active, 0, g);
    const ofEmissions = (): Tensor => pad(reshape(gained, [1, batch, states]), [row, 0, 0], [rows - 1 - row, 0, 0]);
    return [wanted(0) ? ways.reduce((a, b) => add(a, b), kept) : undefined, wanted(1) ? ofEmissions() : undefined];
  },
  lower([alpha, emissions], _outputs, { time, row }) {
    const { dtype, shape } = alpha;
    const [, states] = shape;
    const before = (n: number): Expression =>
      guard(
        [{ index: axisIndex(1, 1, -n), extent: states }],
        load(0, dtype, [axisIndex(0), axisIndex(1, 1, -n)]),
        constant(IMPOSSIBLE, dtype),
      );
    const here = load(0, dtype, [axisIndex(0), axisIndex(1)]);
    const ways = [here, before(1), apply('add', before(2), load(2, dtype, [axisIndex(0), axisIndex(1)]))];
    const largest = ways.reduce((a, b) => apply('max', a, b));
    const total = ways.map((way) => apply('exp', apply('sub', way, largest))).reduce((a, b) => apply('add', a, b));
    const emission = load(1, emissions.dtype, [constantIndex(row), axisIndex(0), axisIndex(1)]);
    const next = apply('add', apply('add', apply('log', total), largest), emission);
    const active = apply('lt', constant(time, 'i32'), load(3, 'i32', [axisIndex(0)]));
    return mapNest(shape, cast(dtype, apply('select', active, next, here)));
  },
};

/** Element s + n at place s. */
function moveDown(x: Tensor, n: number, fill: number): Tensor {
  return n === 0 ? x : pad(slice(x, [0, n]), [0, 0], [0, n], fill);
}

/**
 * One step of the forward recursion of connectionist temporal classification, in the logarithmic domain: state s is reached from
 * itself, from s − 1, and from s − 2 where `skip` is 0 (and not {@link IMPOSSIBLE}). Samples whose `steps` are over stay as they are.
 *
 * @param alpha [batch, states]
 * @param emissions [rows, batch, states], of which `row` counts
 * @param skip [batch, states], constant
 * @param steps i32 [batch]
 */
export function ctcStep(alpha: Tensor, emissions: Tensor, skip: Tensor, steps: Tensor, at: StepAttributes): Tensor {
  return applyOperator(stepOperator, [alpha, emissions, skip, steps], { ...at })[0];
}
