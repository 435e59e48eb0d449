import { Sigmoid, Softmax } from '../nn/layers/activation.js';
import { type Module, withForwardHook } from '../nn/module.js';
import { softplus } from '../ops/activations.js';
import { sum } from '../ops/broadcast.js';
import { iota } from '../ops/create.js';
import { toChannelsFirst } from '../ops/data-format.js';
import { abs, add, cast, div, equal, log, maximum, minimum, mul, neg, sub } from '../ops/elementwise.js';
import { binaryCrossEntropyWithLogits, crossEntropy, huberLoss, l1Loss, mseLoss } from '../ops/losses.js';
import { mean } from '../ops/reduce.js';
import { reshape } from '../ops/reshape.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, sameShape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/**
 * A loss: [batch, …, k] and [batch, …, k] to one number for each […] of each example, as in Keras, where `compile` takes the
 * mean of them.
 */
export type LossFunction = (yTrue: Tensor, yPred: Tensor) => Tensor;

/** Keras's smallest probability. */
const EPSILON = 1e-7;

/** Outputs of a softmax or a sigmoid, and what went in: losses of probabilities are exact when they start from there. */
const logits = new WeakMap<Tensor, { readonly activation: Module; readonly input: Tensor }>();

/** Runs a model so that losses of its outputs know the logits, see {@link logits}. */
export function rememberingLogits<T>(body: () => T): T {
  return withForwardHook(({ module, input, output }) => {
    if (module instanceof Softmax || module instanceof Sigmoid) logits.set(output, { activation: module, input });
  }, body);
}

function softmaxLogits(yPred: Tensor): Tensor | undefined {
  const known = logits.get(yPred);
  if (!(known?.activation instanceof Softmax)) return undefined;
  const { dim } = known.activation;
  return dim === -1 || dim === yPred.rank - 1 ? known.input : undefined;
}

function sigmoidLogits(yPred: Tensor): Tensor | undefined {
  const known = logits.get(yPred);
  return known?.activation instanceof Sigmoid ? known.input : undefined;
}

/** Targets in the shape of the predictions: an axis of extent one at the end may be missing. */
function pair(name: string, yTrue: Tensor, yPred: Tensor): Tensor {
  const target = cast(yTrue, yPred.dtype);
  if (sameShape(target.shape, yPred.shape)) return target;
  if (sameShape([...target.shape, 1], yPred.shape)) return reshape(target, yPred.shape);
  const hint = name === 'categoricalCrossentropy' ? '; class numbers need sparseCategoricalCrossentropy' : '';
  throw new ShapeError(
    `${name}: targets ${formatShape(yTrue.shape)} do not fit to predictions ${formatShape(yPred.shape)}${hint}`,
  );
}

const last = (x: Tensor): Tensor => mean(x, x.rank - 1);

export function meanSquaredError(yTrue: Tensor, yPred: Tensor): Tensor {
  return last(mseLoss(yPred, pair('meanSquaredError', yTrue, yPred), { reduction: 'none' }));
}

export function meanAbsoluteError(yTrue: Tensor, yPred: Tensor): Tensor {
  return last(l1Loss(yPred, pair('meanAbsoluteError', yTrue, yPred), { reduction: 'none' }));
}

/** In percent of the targets. */
export function meanAbsolutePercentageError(yTrue: Tensor, yPred: Tensor): Tensor {
  const target = pair('meanAbsolutePercentageError', yTrue, yPred);
  return mul(last(abs(div(sub(target, yPred), maximum(abs(target), EPSILON)))), 100);
}

/** d² / 2 for differences |d| ≤ 1, |d| − 1/2 beyond. */
export function huber(yTrue: Tensor, yPred: Tensor): Tensor {
  return last(huberLoss(yPred, pair('huber', yTrue, yPred), { reduction: 'none' }));
}

/** log cosh of the differences. */
export function logcosh(yTrue: Tensor, yPred: Tensor): Tensor {
  const d = sub(yPred, pair('logcosh', yTrue, yPred));
  return last(sub(add(d, softplus(mul(d, -2))), Math.LN2));
}

/** max(0, 1 − t p), targets −1 and 1. */
export function hinge(yTrue: Tensor, yPred: Tensor): Tensor {
  return last(maximum(sub(1, mul(pair('hinge', yTrue, yPred), yPred)), 0));
}

/** max(0, 1 − t p)², targets −1 and 1. */
export function squaredHinge(yTrue: Tensor, yPred: Tensor): Tensor {
  const margin = maximum(sub(1, mul(pair('squaredHinge', yTrue, yPred), yPred)), 0);
  return last(mul(margin, margin));
}

export function poisson(yTrue: Tensor, yPred: Tensor): Tensor {
  const target = pair('poisson', yTrue, yPred);
  return last(sub(yPred, mul(target, log(add(yPred, EPSILON)))));
}

/** Σ t log(t / p). */
export function kullbackLeiblerDivergence(yTrue: Tensor, yPred: Tensor): Tensor {
  const clip = (x: Tensor): Tensor => minimum(maximum(x, EPSILON), 1);
  const [t, p] = [clip(pair('kullbackLeiblerDivergence', yTrue, yPred)), clip(yPred)];
  return sum(mul(t, log(div(t, p))), t.rank - 1);
}

/** Cross-entropy of probabilities with targets of 0 and 1. */
export function binaryCrossentropy(yTrue: Tensor, yPred: Tensor): Tensor {
  const target = pair('binaryCrossentropy', yTrue, yPred);
  const known = sigmoidLogits(yPred);
  if (known !== undefined) return last(binaryCrossEntropyWithLogits(known, target, { reduction: 'none' }));
  const p = minimum(maximum(yPred, EPSILON), 1 - EPSILON);
  return last(neg(add(mul(target, log(p)), mul(sub(1, target), log(sub(1, p))))));
}

/** Cross-entropy of probabilities over the last axis with those of the targets, for example one-hot. */
export function categoricalCrossentropy(yTrue: Tensor, yPred: Tensor): Tensor {
  const target = pair('categoricalCrossentropy', yTrue, yPred);
  const known = softmaxLogits(yPred);
  if (known !== undefined) {
    const classes = (x: Tensor): Tensor => toChannelsFirst(x, 'channels-last');
    return crossEntropy(classes(known), classes(target), { reduction: 'none' });
  }
  const p = div(yPred, sum(yPred, yPred.rank - 1, { keepDims: true }));
  return neg(sum(mul(target, log(minimum(maximum(p, EPSILON), 1 - EPSILON))), p.rank - 1));
}

/** {@link categoricalCrossentropy} of class numbers, [batch, …] or [batch, …, 1]. */
export function sparseCategoricalCrossentropy(yTrue: Tensor, yPred: Tensor): Tensor {
  const labels = classNumbers('sparseCategoricalCrossentropy', yTrue, yPred);
  const known = softmaxLogits(yPred);
  if (known !== undefined) return crossEntropy(toChannelsFirst(known, 'channels-last'), labels, { reduction: 'none' });
  const classes = yPred.shape[yPred.rank - 1];
  const oneHot = equal(
    reshape(labels, [...labels.shape, 1]),
    iota([...labels.shape.map(() => 1), classes], labels.rank),
  );
  return categoricalCrossentropy(cast(oneHot, yPred.dtype), yPred);
}

/** i32 in the shape of the predictions without their last axis. */
export function classNumbers(name: string, yTrue: Tensor, yPred: Tensor): Tensor {
  const expected = yPred.shape.slice(0, -1);
  if (sizeOf(yTrue.shape) !== sizeOf(expected)) {
    throw new ShapeError(
      `${name}: for predictions ${formatShape(yPred.shape)} the class numbers must be ${formatShape(expected)}, got ${formatShape(yTrue.shape)}`,
    );
  }
  return reshape(cast(yTrue, 'i32'), expected);
}

const LOSSES: Readonly<Record<string, LossFunction>> = {
  meanSquaredError,
  mse: meanSquaredError,
  meanAbsoluteError,
  mae: meanAbsoluteError,
  meanAbsolutePercentageError,
  mape: meanAbsolutePercentageError,
  huber,
  huberLoss: huber,
  logcosh,
  hinge,
  squaredHinge,
  poisson,
  kullbackLeiblerDivergence,
  binaryCrossentropy,
  categoricalCrossentropy,
  sparseCategoricalCrossentropy,
};

/** Losses, by name. */
export type LossName =
  | 'meanSquaredError'
  | 'mse'
  | 'meanAbsoluteError'
  | 'mae'
  | 'meanAbsolutePercentageError'
  | 'mape'
  | 'huber'
  | 'huberLoss'
  | 'logcosh'
  | 'hinge'
  | 'squaredHinge'
  | 'poisson'
  | 'kullbackLeiblerDivergence'
  | 'binaryCrossentropy'
  | 'categoricalCrossentropy'
  | 'sparseCategoricalCrossentropy';

/** `loss` itself, or the one of this name, in camel or in snake case. */
export function getLoss(where: string, loss: LossName | LossFunction): LossFunction {
  if (typeof loss === 'function') return loss;
  const name = camelCase(loss);
  if (Object.hasOwn(LOSSES, name)) return LOSSES[name];
  throw new OptionError(
    `${where}: loss must be a function or one of ${Object.keys(LOSSES).join(', ')}, got ${JSON.stringify(loss)}`,
  );
}

export function camelCase(name: unknown): string {
  return String(name).replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}
