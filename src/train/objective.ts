import type { LayerConfig } from '../nn/config.js';
import {
  BCELoss,
  BCEWithLogitsLoss,
  CrossEntropyLoss,
  CTCLoss,
  DiceLoss,
  HuberLoss,
  L1Loss,
  LossFunction,
  lossFromConfig,
  MSELoss,
  NLLLoss,
  SmoothL1Loss,
} from '../nn/losses.js';
import { sum } from '../ops/broadcast.js';
import { abs, cast, equal, greater, logicalAnd, mul, notEqual, sub } from '../ops/elementwise.js';
import { crossEntropy } from '../ops/losses.js';
import { argmax } from '../ops/reduce.js';
import { reshape } from '../ops/reshape.js';
import { isFloat } from '../tensor/dtype.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, sameShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** A function of the model's output and the target: one number, the mean over the batch. */
export type TensorLoss = (output: Tensor, target: Tensor) => Tensor;

/** Losses by name, with the defaults of their functions. */
export type LossName =
  | 'crossEntropy'
  | 'nll'
  | 'binaryCrossEntropy'
  | 'binaryCrossEntropyWithLogits'
  | 'mse'
  | 'l1'
  | 'huber'
  | 'smoothL1'
  | 'dice'
  | 'ctc';

/** What training makes small: a name, a loss with options (`new CrossEntropyLoss({ weight })`), or a function. */
export type LossOption = LossName | LossFunction | TensorLoss;

/** A loss as plain data; `function` stands for one that only the program knows. */
export type LossSetting = LossName | 'function' | LayerConfig;

const NAMED: Readonly<Record<Exclude<LossName, 'crossEntropy'>, () => LossFunction>> = {
  nll: () => new NLLLoss(),
  binaryCrossEntropy: () => new BCELoss(),
  binaryCrossEntropyWithLogits: () => new BCEWithLogitsLoss(),
  mse: () => new MSELoss(),
  l1: () => new L1Loss(),
  huber: () => new HuberLoss(),
  smoothL1: () => new SmoothL1Loss(),
  dice: () => new DiceLoss(),
  ctc: () => new CTCLoss(),
};

/** Losses of single elements: output and target have one shape. */
const ELEMENTWISE: readonly (abstract new (...args: never[]) => LossFunction)[] = [
  BCELoss,
  BCEWithLogitsLoss,
  MSELoss,
  L1Loss,
  HuberLoss,
  SmoothL1Loss,
];

/** A number that tells people how good a model is, over a batch: `total / weight`, where both may be added up over batches. */
export type MetricSums = { readonly total: Tensor; readonly weight: Tensor | number };

/** A metric of one's own: the mean over a batch. */
export type MetricFunction = TensorLoss;

/** What `Objective` is made of. */
export interface ObjectiveOptions {
  /** Default `crossEntropy`. */
  loss?: LossOption;
  /** Only for the loss `crossEntropy`. Default 0. */
  labelSmoothing?: number;
  /** Further numbers beside those that follow from the loss and the target. */
  metrics?: Readonly<Record<string, MetricFunction>>;
}

/** The loss of a training, and the metrics that follow from it and from the kind of target. */
export class Objective {
  /** What decides the loss, to keep programs by: a text, or the function or object itself. */
  readonly key: unknown;
  readonly #loss: LossOption;
  readonly #function: LossFunction | undefined;
  readonly #labelSmoothing: number;
  readonly #metrics: Readonly<Record<string, MetricFunction>>;

  /** @throws OptionError for a loss that is not known. */
  constructor({ loss = 'crossEntropy', labelSmoothing = 0, metrics = {} }: ObjectiveOptions = {}) {
    lossSetting(loss);
    if (labelSmoothing !== 0 && loss !== 'crossEntropy') {
      throw new OptionError(
        'labelSmoothing is an option of the loss crossEntropy; give other losses their own, as in new CrossEntropyLoss({ labelSmoothing })',
      );
    }
    this.#loss = loss;
    this.#function =
      typeof loss !== 'string'
        ? loss instanceof LossFunction
          ? loss
          : undefined
        : loss === 'crossEntropy'
          ? undefined
          : NAMED[loss]();
    this.#labelSmoothing = labelSmoothing;
    this.#metrics = metrics;
    const own = Object.keys(metrics).length > 0;
    this.key = own ? this : typeof loss === 'string' ? `${loss} ${labelSmoothing}` : loss;
  }

  /** Whether this is the cross-entropy of classes without any option. */
  get isPlainCrossEntropy(): boolean {
    return this.#loss === 'crossEntropy' && this.#labelSmoothing === 0 && Object.keys(this.#metrics).length === 0;
  }

  /** Whether targets may be shares of classes, [n, classes], in place of classes. */
  get takesShares(): boolean {
    const loss = this.#function;
    return (
      this.#loss === 'crossEntropy' || (loss instanceof CrossEntropyLoss && loss.options.ignoreIndex === undefined)
    );
  }

  /** One number, for gradients. @throws ShapeError when output and target do not fit. */
  loss(output: Tensor, target: Tensor): Tensor {
    const value = this.#value(output, this.#aligned(output, target));
    if (value.size !== 1) {
      throw new ShapeError(
        `the loss must be one number, got ${formatShape(value.shape)}; leave out reduction "none", or take the mean`,
      );
    }
    return value.rank === 0 ? value : reshape(value, []);
  }

  #value(output: Tensor, target: Tensor): Tensor {
    if (this.#function) return this.#function.forward(output, target);
    if (typeof this.#loss === 'function') return this.#loss(output, target);
    return crossEntropy(output, target, { labelSmoothing: this.#labelSmoothing });
  }

  /**
   * Metrics of a batch, as far as the kind of target has some:
   * - `accuracy`: the share of right classes of samples, pixels or voxels (the largest of axis 1; ignored ones do not count), and of
   *   right answers where every label is a question of its own (binary cross-entropy);
   * - `meanAbsoluteError` of numbers;
   * - and those that were asked for.
   */
  metrics(output: Tensor, target: Tensor): Record<string, MetricSums> {
    const aligned = this.#aligned(output, target);
    const metrics: Record<string, MetricSums> = { ...this.#usualMetric(output, aligned) };
    const weight = target.shape[0];
    for (const [name, metric] of Object.entries(this.#metrics)) {
      metrics[name] = { total: mul(reshape(metric(output, aligned), []), weight), weight };
    }
    return metrics;
  }

  #usualMetric(output: Tensor, target: Tensor): Record<string, MetricSums> {
    if (this.hasClassMap(output, target)) {
      const right = equal(argmax(output, 1), target);
      const { ignoreIndex } = this;
      if (ignoreIndex === undefined) return { accuracy: { total: count(right), weight: target.size } };
      const counted = notEqual(target, ignoreIndex);
      return { accuracy: { total: count(logicalAnd(right, counted)), weight: count(counted) } };
    }
    if (!sameShape(output.shape, target.shape) || !isFloat(target.dtype)) return {};
    const loss = this.#function;
    if (loss instanceof BCELoss || loss instanceof BCEWithLogitsLoss) {
      const right = equal(greater(output, loss instanceof BCELoss ? 0.5 : 0), greater(target, 0.5));
      return { accuracy: { total: count(right), weight: target.size } };
    }
    if (this.#loss === 'crossEntropy' || loss instanceof CrossEntropyLoss || loss instanceof DiceLoss) {
      const right = equal(argmax(output, 1), argmax(target, 1));
      return { accuracy: { total: count(right), weight: right.size } };
    }
    return { meanAbsoluteError: { total: sum(abs(sub(output, target))), weight: target.size } };
  }

  /** Whether the target holds a class for every position of an output [n, classes, …]. */
  hasClassMap(output: Tensor, target: Tensor): boolean {
    if (this.#function instanceof CTCLoss || output.rank < 2 || target.dtype !== 'i32') return false;
    return sameShape(
      target.shape,
      output.shape.filter((_, axis) => axis !== 1),
    );
  }

  /** The label of samples that do not count. */
  get ignoreIndex(): number | undefined {
    const loss = this.#function;
    if (!(loss instanceof CrossEntropyLoss || loss instanceof NLLLoss)) return undefined;
    return loss.options.ignoreIndex ?? -100;
  }

  /** The target as losses of single elements take it: numbers in the shape of the output, where only extents of 1 differ. */
  #aligned(output: Tensor, target: Tensor): Tensor {
    if (!ELEMENTWISE.some((type) => this.#function instanceof type)) return target;
    const numbers = target.dtype === output.dtype ? target : cast(target, output.dtype);
    const essential = (t: Tensor): number[] => t.shape.filter((extent, axis) => axis === 0 || extent !== 1);
    return sameShape(essential(target), essential(output)) ? reshape(numbers, output.shape) : numbers;
  }
}

function count(flags: Tensor): Tensor {
  return sum(cast(flags, 'f32'));
}

/** A loss as it is stored. @throws OptionError for one that is not known. */
export function lossSetting(loss: LossOption): LossSetting {
  if (typeof loss === 'function') return 'function';
  if (loss instanceof LossFunction) return loss.config();
  if (loss === 'crossEntropy' || Object.hasOwn(NAMED, loss)) return loss;
  throw new OptionError(
    `loss must be one of ${['crossEntropy', ...Object.keys(NAMED)].join(', ')}, a loss such as new CrossEntropyLoss({ … }), or a function of output and target; got ${String(loss)}`,
  );
}

/** The loss that was stored. @throws OptionError where only the program knows it. */
export function lossOfSetting(setting: LossSetting): LossOption {
  if (setting === 'function') {
    throw new OptionError(
      'fit: the checkpoint was trained with a loss that is a function of the program; give it again as loss',
    );
  }
  return typeof setting === 'string' ? setting : lossFromConfig(setting);
}
