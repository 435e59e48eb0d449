import { cast, equal, greater } from '../ops/elementwise.js';
import { argmax, mean } from '../ops/reduce.js';
import { reshape } from '../ops/reshape.js';
import { OptionError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import {
  binaryCrossentropy,
  camelCase,
  categoricalCrossentropy,
  classNumbers,
  getLoss,
  type LossFunction,
  type LossName,
  meanAbsoluteError,
  meanAbsolutePercentageError,
  meanSquaredError,
  sparseCategoricalCrossentropy,
} from './losses.js';

/** One number for each example, of which the mean is reported; see {@link LossFunction}. */
export type MetricFunction = LossFunction;

/** How often a probability is on the right side of one half. */
export function binaryAccuracy(yTrue: Tensor, yPred: Tensor): Tensor {
  const target = cast(greater(cast(reshape(yTrue, yPred.shape), yPred.dtype), 0.5), 'i32');
  const right = cast(equal(cast(greater(yPred, 0.5), 'i32'), target), yPred.dtype);
  return mean(right, right.rank - 1);
}

/** How often the largest probability is that of the target, which is one-hot. */
export function categoricalAccuracy(yTrue: Tensor, yPred: Tensor): Tensor {
  return cast(equal(argmax(cast(yTrue, yPred.dtype), yTrue.rank - 1), argmax(yPred, yPred.rank - 1)), yPred.dtype);
}

/** How often the largest probability is that of the target, a class number. */
export function sparseCategoricalAccuracy(yTrue: Tensor, yPred: Tensor): Tensor {
  const labels = classNumbers('sparseCategoricalAccuracy', yTrue, yPred);
  return cast(equal(labels, argmax(yPred, yPred.rank - 1)), yPred.dtype);
}

export {
  binaryCrossentropy,
  categoricalCrossentropy,
  meanAbsoluteError as mae,
  meanAbsoluteError,
  meanAbsolutePercentageError as mape,
  meanAbsolutePercentageError,
  meanSquaredError as mse,
  meanSquaredError,
  sparseCategoricalCrossentropy,
};

/** Metrics, by name. */
export type MetricName =
  | 'accuracy'
  | 'acc'
  | 'binaryAccuracy'
  | 'categoricalAccuracy'
  | 'sparseCategoricalAccuracy'
  | LossName;

/** A metric with the name that it has in logs. */
export interface NamedMetric {
  readonly name: string;
  readonly compute: MetricFunction;
}

const ACCURACIES: Readonly<Record<string, MetricFunction>> = {
  binaryAccuracy,
  categoricalAccuracy,
  sparseCategoricalAccuracy,
};

/**
 * The metric for a name or a function. `accuracy` is chosen by loss and output as in Keras, and is called `acc` in logs, as in
 * TensorFlow.js.
 *
 * @param lastExtent of the output
 */
export function getMetric(
  where: string,
  metric: MetricName | MetricFunction,
  loss: LossFunction,
  lastExtent: number | null | undefined,
): NamedMetric {
  if (typeof metric === 'function') return { name: metric.name || 'metric', compute: metric };
  const name = camelCase(metric);
  if (name === 'accuracy' || name === 'acc') {
    const binary = lastExtent === 1 || loss === binaryCrossentropy;
    const sparse = loss === sparseCategoricalCrossentropy;
    return { name: 'acc', compute: binary ? binaryAccuracy : sparse ? sparseCategoricalAccuracy : categoricalAccuracy };
  }
  if (Object.hasOwn(ACCURACIES, name)) return { name, compute: ACCURACIES[name] };
  try {
    return { name, compute: getLoss(where, metric as LossName) };
  } catch {
    const known = ['accuracy', ...Object.keys(ACCURACIES)].join(', ');
    throw new OptionError(
      `${where}: a metric must be a function, ${known}, or the name of a loss, got ${JSON.stringify(metric)}`,
    );
  }
}
