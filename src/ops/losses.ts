import { isFloat } from '../tensor/dtype.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { broadcastShapes, formatShape, formatType, sameShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { logSigmoid } from './activations.js';
import { sum } from './broadcast.js';
import { channelwise } from './conv.js';
import { iota } from './create.js';
import {
  abs,
  add,
  cast,
  div,
  equal,
  greaterEqual,
  less,
  log,
  log1p,
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
import { slice } from './slice.js';
import { logSoftmax } from './softmax.js';

/** What becomes of the losses of single elements. */
export type Reduction = 'mean' | 'sum' | 'none';

function reduce(losses: Tensor, reduction: Reduction): Tensor {
  return reduction === 'none' ? losses : reduction === 'sum' ? sum(losses) : mean(losses);
}

function checkReduction(name: string, reduction: Reduction): void {
  if (!['mean', 'sum', 'none'].includes(reduction)) {
    throw new OptionError(`${name}: reduction must be "mean", "sum" or "none", got ${JSON.stringify(reduction)}`);
  }
}

/** Options of {@link nllLoss}. */
export interface NllOptions {
  /** default `mean`: over samples, weighted by the weights of their classes, without ignored ones */
  readonly reduction?: Reduction;
  /** [classes]: how much each class counts; default 1 */
  readonly weight?: Tensor;
  /** Samples with this label count nothing; default none. (PyTorch's default is −100.) */
  readonly ignoreIndex?: number;
}

/** Options of {@link crossEntropy}. */
export interface CrossEntropyOptions extends NllOptions {
  /** Mixes so much of the uniform distribution into the targets (Szegedy et al., 2016, section 7); default 0. */
  readonly labelSmoothing?: number;
}

function checkClasses(name: string, what: string, scores: Tensor, weight: Tensor | undefined): void {
  if (scores.rank < 2) {
    throw new ShapeError(`${name}: ${what} must be [batch, classes, …], got ${formatShape(scores.shape)}`);
  }
  const classes = scores.shape[1];
  if (weight !== undefined && (weight.rank !== 1 || weight.shape[0] !== classes)) {
    throw new ShapeError(`${name}: weight must be [${classes}] (one per class), got ${formatShape(weight.shape)}`);
  }
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
  checkClasses(name, 'logits', logits, weight);
  const logp = logSoftmax(logits, 1);

  if (isFloat(labels.dtype)) {
    if (!sameShape(labels.shape, logits.shape)) {
      throw new ShapeError(
        `${name}: probabilities are ${formatShape(labels.shape)}, logits ${formatShape(logits.shape)}`,
      );
    }
    if (ignoreIndex !== undefined) throw new OptionError(`${name}: ignoreIndex needs class numbers, not probabilities`);
    const target =
      labelSmoothing === 0 ? labels : add(mul(labels, 1 - labelSmoothing), labelSmoothing / logits.shape[1]);
    const terms = mul(target, logp);
    return reduce(neg(sum(weight ? mul(terms, channelwise(weight, logits.rank)) : terms, 1)), reduction);
  }

  return chosenLosses(name, 'logits', logp, labels, options);
}

/** Losses of class numbers, given the logarithms of the probabilities [batch, classes, …]; options are checked already. */
function chosenLosses(name: string, what: string, logp: Tensor, labels: Tensor, options: CrossEntropyOptions): Tensor {
  const { labelSmoothing = 0, reduction = 'mean', weight, ignoreIndex } = options;
  const classes = logp.shape[1];
  const weights = weight && channelwise(weight, logp.rank);
  const weighted = (x: Tensor): Tensor => (weights ? mul(x, weights) : x);
  const expected = logp.shape.filter((_, axis) => axis !== 1);
  if (labels.dtype !== 'i32' || !sameShape(labels.shape, expected)) {
    throw new ShapeError(
      `${name}: for ${what} ${formatShape(logp.shape)} labels must be i32${formatShape(expected)}, got ${formatType(labels.type)}`,
    );
  }
  const onehot = oneHotChannels(labels, classes);
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
  return counted ? div(sum(losses), sum(cast(counted, logp.dtype))) : mean(losses);
}

/**
 * Negative log-likelihood of classes, as `torch.nn.functional.nll_loss`: {@link crossEntropy} for logarithms of
 * probabilities.
 *
 * @param logProbabilities [batch, classes, …]
 * @param labels class numbers, i32 [batch, …]. A number outside of 0 … classes−1 gives NaN.
 */
export function nllLoss(logProbabilities: Tensor, labels: Tensor, options: NllOptions = {}): Tensor {
  const name = 'nllLoss';
  checkOptions(name, options, ['reduction', 'weight', 'ignoreIndex']);
  checkReduction(name, options.reduction ?? 'mean');
  checkClasses(name, 'logarithms', logProbabilities, options.weight);
  return chosenLosses(name, 'logarithms', logProbabilities, labels, options);
}

/** Options of {@link binaryCrossEntropy}. */
export interface BinaryCrossEntropyOptions extends ReductionOption {
  /** A factor for each loss; broadcasts to the input. Default 1. */
  readonly weight?: Tensor;
}

/** Options of {@link binaryCrossEntropyWithLogits}. */
export interface BinaryCrossEntropyWithLogitsOptions extends BinaryCrossEntropyOptions {
  /** A factor for the positive part of each loss (above 1 favours recall); broadcasts to the input. Default 1. */
  readonly posWeight?: Tensor;
}

/**
 * −(t log x + (1 − t) log(1 − x)) for probabilities x, as `torch.nn.functional.binary_cross_entropy`: logarithms are at
 * least −100, and where x is exactly 0 or 1 the gradient through the infinite one is 0. Prefer
 * {@link binaryCrossEntropyWithLogits}, which is precise everywhere.
 */
export function binaryCrossEntropy(x: Tensor, target: Tensor, options: BinaryCrossEntropyOptions = {}): Tensor {
  const name = 'binaryCrossEntropy';
  const reduction = checkPair(name, x, target, options, ['weight']);
  const bounded = (impossible: Tensor, logarithm: (x: Tensor) => Tensor, safe: number): Tensor => {
    const value = logarithm(where(impossible, safe, x));
    return where(logicalOr(impossible, less(value, -100)), -100, value);
  };
  const positive = bounded(equal(x, 0), log, 1);
  const negative = bounded(equal(x, 1), (p) => log1p(neg(p)), 0);
  const losses = neg(add(mul(target, positive), mul(sub(1, target), negative)));
  return reduce(weighLosses(name, losses, options.weight), reduction);
}

/** {@link binaryCrossEntropy} of the sigmoid of `x`, precise for logits of any size. */
export function binaryCrossEntropyWithLogits(
  x: Tensor,
  target: Tensor,
  options: BinaryCrossEntropyWithLogitsOptions = {},
): Tensor {
  const name = 'binaryCrossEntropyWithLogits';
  const reduction = checkPair(name, x, target, options, ['weight', 'posWeight']);
  // −log σ(x) = softplus(−x) and −log(1 − σ(x)) = x + softplus(−x)
  const positive = neg(logSigmoid(x));
  const negative = mul(sub(1, target), add(x, positive));
  const losses = add(mul(target, weighLosses(name, positive, options.posWeight, 'posWeight')), negative);
  return reduce(weighLosses(name, losses, options.weight), reduction);
}

function weighLosses(name: string, losses: Tensor, weight: Tensor | undefined, option = 'weight'): Tensor {
  if (weight === undefined) return losses;
  const joint = broadcastShapes(losses.shape, weight.shape);
  if (joint === undefined || !sameShape(joint, losses.shape)) {
    throw new ShapeError(
      `${name}: ${option} ${formatShape(weight.shape)} does not broadcast to the input ${formatShape(losses.shape)}`,
    );
  }
  return mul(losses, weight);
}

/** What becomes of the losses of all elements. */
export interface ReductionOption {
  /** default `mean` */
  readonly reduction?: Reduction;
}

/** Checks two tensors of one shape and the options; returns the reduction. */
function checkPair(
  name: string,
  x: Tensor,
  target: Tensor,
  options: ReductionOption,
  more: readonly string[],
): Reduction {
  checkOptions(name, options, ['reduction', ...more]);
  const { reduction = 'mean' } = options;
  checkReduction(name, reduction);
  if (!sameShape(x.shape, target.shape)) {
    throw new ShapeError(`${name}: shapes ${formatShape(x.shape)} and ${formatShape(target.shape)} differ`);
  }
  return reduction;
}

/** Mean (by default) of squared differences; both of one shape. */
export function mseLoss(x: Tensor, target: Tensor, options: ReductionOption = {}): Tensor {
  const reduction = checkPair('mseLoss', x, target, options, []);
  const difference = sub(x, target);
  return reduce(mul(difference, difference), reduction);
}

/** Mean (by default) of absolute differences; both of one shape. */
export function l1Loss(x: Tensor, target: Tensor, options: ReductionOption = {}): Tensor {
  const reduction = checkPair('l1Loss', x, target, options, []);
  return reduce(abs(sub(x, target)), reduction);
}

/** Options of {@link huberLoss}. */
export interface HuberOptions extends ReductionOption {
  /** Differences up to here count squared, larger ones linearly; default 1. */
  readonly delta?: number;
}

/** d² / 2 for differences |d| < delta, delta (|d| − delta / 2) beyond (Huber, 1964); both of one shape. */
export function huberLoss(x: Tensor, target: Tensor, options: HuberOptions = {}): Tensor {
  const reduction = checkPair('huberLoss', x, target, options, ['delta']);
  const { delta = 1 } = options;
  if (!(delta > 0)) throw new OptionError(`huberLoss: delta must be > 0, got ${delta}`);
  const d = sub(x, target);
  const size = abs(d);
  return reduce(where(less(size, delta), mul(mul(d, d), 0.5), mul(sub(size, 0.5 * delta), delta)), reduction);
}

/** Options of {@link smoothL1Loss}. */
export interface SmoothL1Options extends ReductionOption {
  /** Differences up to here count squared, larger ones linearly; default 1, and 0 is {@link l1Loss}. */
  readonly beta?: number;
}

/** {@link huberLoss} divided by its threshold: d² / (2 beta) for |d| < beta, |d| − beta / 2 beyond; both of one shape. */
export function smoothL1Loss(x: Tensor, target: Tensor, options: SmoothL1Options = {}): Tensor {
  const reduction = checkPair('smoothL1Loss', x, target, options, ['beta']);
  const { beta = 1 } = options;
  if (!(beta >= 0)) throw new OptionError(`smoothL1Loss: beta must be ≥ 0, got ${beta}`);
  if (beta === 0) return l1Loss(x, target, { reduction });
  const d = sub(x, target);
  const size = abs(d);
  return reduce(where(less(size, beta), mul(mul(d, d), 0.5 / beta), sub(size, 0.5 * beta)), reduction);
}

/** Options of {@link diceLoss}. */
export interface DiceOptions extends ReductionOption {
  /** Added above and below, so that classes which are nowhere count as found; default 1e-5. */
  readonly smooth?: number;
  /** Squares below the line, as in Milletari et al., 2016; default false (sums). */
  readonly squared?: boolean;
  /** One overlap for the whole batch and not one for each sample; default false. */
  readonly batch?: boolean;
  /** Whether class 0 counts; default true. */
  readonly includeBackground?: boolean;
}

/**
 * 1 − (2 Σ p t + smooth) / (Σ p + Σ t + smooth), summed over everything but batch and classes: how badly segmentations
 * overlap.
 *
 * @param probabilities [batch, classes, …], for example of {@link softmax} over axis 1 or of a sigmoid
 * @param target of the same shape; or class numbers, i32 [batch, …], where a number that is no class belongs to none
 * @returns the mean (by default) over samples and classes; with reduction `none` [batch, classes], or [classes] where
 *   `batch` is true
 */
export function diceLoss(probabilities: Tensor, target: Tensor, options: DiceOptions = {}): Tensor {
  const name = 'diceLoss';
  checkOptions(name, options, ['reduction', 'smooth', 'squared', 'batch', 'includeBackground']);
  const { reduction = 'mean', smooth = 1e-5, squared = false, batch = false, includeBackground = true } = options;
  checkReduction(name, reduction);
  if (!(smooth >= 0)) throw new OptionError(`${name}: smooth must be ≥ 0, got ${smooth}`);
  checkClasses(name, 'probabilities', probabilities, undefined);
  const { shape } = probabilities;
  let truth = target;
  if (!sameShape(target.shape, shape)) {
    const expected = shape.filter((_, axis) => axis !== 1);
    if (target.dtype !== 'i32' || !sameShape(target.shape, expected)) {
      throw new ShapeError(
        `${name}: for probabilities ${formatShape(shape)} the target must be of this shape or i32${formatShape(expected)}, got ${formatType(target.type)}`,
      );
    }
    truth = oneHotChannels(target, shape[1]);
  }
  let p = probabilities;
  let t = truth.dtype === p.dtype ? truth : cast(truth, p.dtype);
  if (!includeBackground) {
    if (shape[1] < 2) throw new ShapeError(`${name}: without the background no class is left of ${formatShape(shape)}`);
    const start = shape.map((_, axis) => (axis === 1 ? 1 : 0));
    p = slice(p, start);
    t = slice(t, start);
  }
  const axes = shape.map((_, axis) => axis).filter((axis) => axis !== 1 && (axis !== 0 || batch));
  const total = (x: Tensor): Tensor => (axes.length === 0 ? x : sum(x, axes));
  const size = squared ? add(total(mul(p, p)), total(mul(t, t))) : add(total(p), total(t));
  const overlap = add(mul(total(mul(p, t)), 2), smooth);
  return reduce(sub(1, div(overlap, add(size, smooth))), reduction);
}

/** i32 [batch, …] as bool [batch, classes, …]. */
function oneHotChannels(labels: Tensor, classes: number): Tensor {
  return equal(
    reshape(labels, [labels.shape[0], 1, ...labels.shape.slice(1)]),
    iota([classes, ...labels.shape.slice(1).map(() => 1)], 0),
  );
}
