import { broadcastTo } from '../../../ops/broadcast.js';
import { add, div, mul, sqrt, sub } from '../../../ops/elementwise.js';
import { flip } from '../../../ops/flip.js';
import { batchNorm, batchNormInference, groupNorm, localResponseNorm } from '../../../ops/normalization.js';
import { mean as meanOver } from '../../../ops/reduce.js';
import { reshape } from '../../../ops/reshape.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { OperatorContext, OperatorTable, Results } from '../context.js';
import { OnnxValue } from '../value.js';

function batchNormalization(c: OperatorContext): Results {
  const x = c.x(0);
  const [weight, bias, mean, variance] = [1, 2, 3, 4].map((i) => c.x(i));
  const eps = c.float('epsilon', 1e-5);
  if (!c.flag('spatial', true) && x.rank > 2) c.refuse('statistics for every position (spatial = 0) are not supported');
  // Until version 14 a node with more outputs than one was for training.
  const training = c.opset >= 14 ? c.flag('training_mode') : c.opset >= 7 ? c.wants(1) : !c.flag('is_test');
  if (!training || (c.opset < 14 && !c.wants(1))) {
    return c.like(batchNormInference(x, { mean, variance }, { weight, bias }, { eps }, c.where));
  }
  const batch = batchNorm(x, { weight, bias }, { eps }, c.where);
  const keep = c.float('momentum', 0.9);
  const running = (before: Tensor, now: Tensor): Tensor => add(mul(before, keep), mul(now, 1 - keep));
  return [
    OnnxValue.of(c.value(0).type, batch.y),
    OnnxValue.of('float', running(mean, batch.mean)),
    OnnxValue.of('float', running(variance, batch.variance)),
    OnnxValue.of('float', batch.mean),
    OnnxValue.of('float', batch.variance),
  ];
}

/** x over `axes` with mean 0 and variance 1, its mean, and one over the standard deviation. */
function standardized(x: Tensor, axes: readonly number[], eps: number): { y: Tensor; mean: Tensor; inverse: Tensor } {
  const mean = meanOver(x, axes, { keepDims: true });
  const centred = sub(x, mean);
  const inverse = div(1, sqrt(add(meanOver(mul(centred, centred), axes, { keepDims: true }), eps)));
  return { y: mul(centred, inverse), mean, inverse };
}

function lastAxes(c: OperatorContext, x: Tensor): number[] {
  const first = c.axis(c.int('axis', -1), x.rank);
  return x.shape.map((_, axis) => axis).slice(first);
}

function layerNormalization(c: OperatorContext): Results {
  const x = c.x(0);
  const { y, mean, inverse } = standardized(x, lastAxes(c, x), c.float('epsilon', 1e-5));
  const scaled = mul(y, c.x(1));
  const bias = c.optional(2);
  return [
    OnnxValue.of(c.value(0).type, bias === undefined ? scaled : add(scaled, bias)),
    OnnxValue.of('float', mean),
    OnnxValue.of('float', inverse),
  ];
}

function rmsNormalization(c: OperatorContext): Results {
  const x = c.x(0);
  const squares = meanOver(mul(x, x), lastAxes(c, x), { keepDims: true });
  return c.like(mul(mul(x, div(1, sqrt(add(squares, c.float('epsilon', 1e-5))))), c.x(1)));
}

function groupNormalization(c: OperatorContext): Results {
  const x = c.x(0);
  const groups = c.int('num_groups', 1);
  const eps = c.float('epsilon', 1e-5);
  let [weight, bias] = [c.x(1), c.x(2)];
  if (c.opset < 21 && groups !== x.shape[1]) {
    // Until version 21 there was one number for each group.
    const spread = (t: Tensor): Tensor =>
      reshape(broadcastTo(reshape(t, [groups, 1]), [groups, x.shape[1] / groups]), [x.shape[1]]);
    [weight, bias] = [spread(weight), spread(bias)];
  }
  return c.like(groupNorm(x, groups, { weight, bias }, { eps }, c.where));
}

function meanVarianceNormalization(c: OperatorContext): Results {
  const x = c.x();
  const axes = c.axes(c.ints('axes') ?? [0, 2, 3], x.rank);
  const mean = meanOver(x, axes, { keepDims: true });
  const centred = sub(x, mean);
  const deviation = sqrt(meanOver(mul(centred, centred), axes, { keepDims: true }));
  return c.like(div(centred, add(deviation, 1e-9)));
}

function localResponse(c: OperatorContext): Results {
  const x = c.x();
  const size = c.int('size', 1);
  const options = { alpha: c.float('alpha', 1e-4), beta: c.float('beta', 0.75), k: c.float('bias', 1) };
  const normalize = (t: Tensor): Tensor => localResponseNorm(t, size, options, c.where);
  // Of even sizes the odd neighbour is above here, below there.
  return c.like(size % 2 === 1 ? normalize(x) : flip(normalize(flip(x, 1)), 1));
}

export const NORMALIZATION: OperatorTable = {
  BatchNormalization: {
    attributes: ['epsilon', 'momentum', 'spatial', 'training_mode', 'is_test', 'consumed_inputs'],
    buffers: [3, 4],
    run: batchNormalization,
  },
  GroupNormalization: { attributes: ['epsilon', 'num_groups', 'stash_type'], since: 18, run: groupNormalization },
  InstanceNormalization: {
    attributes: ['epsilon', 'consumed_inputs'],
    run: (c) =>
      c.like(
        groupNorm(
          c.x(0),
          c.x(0).shape[1],
          { weight: c.x(1), bias: c.x(2) },
          { eps: c.float('epsilon', 1e-5) },
          c.where,
        ),
      ),
  },
  LRN: { attributes: ['alpha', 'beta', 'bias', 'size'], run: localResponse },
  LayerNormalization: { attributes: ['axis', 'epsilon', 'stash_type'], run: layerNormalization },
  MeanVarianceNormalization: { attributes: ['axes'], since: 9, run: meanVarianceNormalization },
  RMSNormalization: { attributes: ['axis', 'epsilon', 'stash_type'], since: 23, run: rmsNormalization },
};
