import { isFloat } from '../tensor/dtype.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, formatType, sameShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { sum } from './broadcast.js';
import { channelwise } from './conv.js';
import { iota } from './create.js';
import {
  add,
  cast,
  div,
  equal,
  greaterEqual,
  less,
  logicalAnd,
  logicalOr,
  mul,
  neg,
  notEqual,
  sub,
  where,
} from './elementwise.js';
import { mean } from './reduce.js';
import { reshape } from './reshape.js';
import { logSoftmax } from './softmax.js';

/** What becomes of the losses of single elements. */
export type Reduction = 'mean' | 'sum' | 'none';

function checkReduction(name: string, reduction: Reduction): void {
  if (!['mean', 'sum', 'none'].includes(reduction)) {
    throw new OptionError(`${name}: reduction must be "mean", "sum" or "none", got ${JSON.stringify(reduction)}`);
  }
}

export interface CrossEntropyOptions {
  /** Mixes so much of the uniform distribution into the targets (Szegedy et al., 2016, section 7); default 0. */
  readonly labelSmoothing?: number;
  /** default `mean`: over samples, weighted by the weights of their classes, without ignored ones */
  readonly reduction?: Reduction;
  /** [classes]: how much each class counts; default 1 */
  readonly weight?: Tensor;
  /** Samples with this label count nothing; default none. (PyTorch's default is −100.) */
  readonly ignoreIndex?: number;
}

/**
 * Cross-entropy of the softmax of `logits`, as `torch.nn.functional.cross_entropy`.
 *
 * @param logits [batch, classes, …]
 * @param labels class numbers, i32 [batch, …]; or class probabilities, f32 of the shape of `logits`. A number outside of
 *   0 … classes−1 gives NaN.
 */
export function crossEntropy(logits: Tensor, labels: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const name = 'crossEntropy';
  checkOptions(name, options, ['labelSmoothing', 'reduction', 'weight', 'ignoreIndex']);
  const { labelSmoothing = 0, reduction = 'mean', weight, ignoreIndex } = options;
  checkReduction(name, reduction);
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new OptionError(`${name}: labelSmoothing must lie between 0 and 1, got ${labelSmoothing}`);
  }
  if (logits.rank < 2) {
    throw new ShapeError(`${name}: logits must be [batch, classes, …], got ${formatShape(logits.shape)}`);
  }
  const classes = logits.shape[1];
  if (weight !== undefined && (weight.rank !== 1 || weight.shape[0] !== classes)) {
    throw new ShapeError(`${name}: weight must be [${classes}] (one per class), got ${formatShape(weight.shape)}`);
  }
  const weights = weight && channelwise(weight, logits.rank);
  const weighted = (x: Tensor): Tensor => (weights ? mul(x, weights) : x);
  const logp = logSoftmax(logits, 1);

  if (isFloat(labels.dtype)) {
    if (!sameShape(labels.shape, logits.shape)) {
      throw new ShapeError(
        `${name}: probabilities are ${formatShape(labels.shape)}, logits ${formatShape(logits.shape)}`,
      );
    }
    if (ignoreIndex !== undefined) throw new OptionError(`${name}: ignoreIndex needs class numbers, not probabilities`);
    const target = labelSmoothing === 0 ? labels : add(mul(labels, 1 - labelSmoothing), labelSmoothing / classes);
    const losses = neg(sum(weighted(mul(target, logp)), 1));
    return reduction === 'none' ? losses : reduction === 'sum' ? sum(losses) : mean(losses);
  }

  const expected = logits.shape.filter((_, axis) => axis !== 1);
  if (labels.dtype !== 'i32' || !sameShape(labels.shape, expected)) {
    throw new ShapeError(
      `${name}: for logits ${formatShape(logits.shape)} labels must be i32${formatShape(expected)}, got ${formatType(labels.type)}`,
    );
  }
  const onehot = equal(
    reshape(labels, [logits.shape[0], 1, ...logits.shape.slice(2)]),
    iota([classes, ...expected.slice(1).map(() => 1)], 0),
  );
  // A choice and not a product: an impossible class has the logarithm −∞, and 0 · −∞ is NaN.
  const chosen = neg(sum(where(onehot, weighted(logp), 0), 1));
  const counted = ignoreIndex === undefined ? undefined : notEqual(labels, ignoreIndex);
  const known = logicalAnd(greaterEqual(labels, 0), less(labels, classes));
  const valid = ignoreIndex === undefined ? known : logicalOr(known, equal(labels, ignoreIndex));
  const only = (x: Tensor): Tensor => (counted ? where(counted, x, 0) : x);
  const smooth =
    labelSmoothing === 0
      ? chosen
      : add(mul(chosen, 1 - labelSmoothing), mul(neg(sum(weighted(logp), 1)), labelSmoothing / classes));
  const losses = where(valid, only(smooth), Number.NaN);
  if (reduction === 'none') return losses;
  if (reduction === 'sum') return sum(losses);
  if (weights) return div(sum(losses), sum(only(sum(where(onehot, weights, 0), 1))));
  return counted ? div(sum(losses), sum(cast(counted, logits.dtype))) : mean(losses);
}

/** Mean (by default) of squared differences; both of one shape. */
export function mseLoss(x: Tensor, target: Tensor, options: { readonly reduction?: Reduction } = {}): Tensor {
  checkOptions('mseLoss', options, ['reduction']);
  const { reduction = 'mean' } = options;
  checkReduction('mseLoss', reduction);
  if (!sameShape(x.shape, target.shape)) {
    throw new ShapeError(`mseLoss: shapes ${formatShape(x.shape)} and ${formatShape(target.shape)} differ`);
  }
  const difference = sub(x, target);
  const squares = mul(difference, difference);
  return reduction === 'none' ? squares : reduction === 'sum' ? sum(squares) : mean(squares);
}
