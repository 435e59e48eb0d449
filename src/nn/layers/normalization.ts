import { assign } from '../../graph/trace.js';
import { ones, zeros } from '../../ops/create.js';
import { add, cast, div, mul } from '../../ops/elementwise.js';
import { batchNorm, batchNormInference } from '../../ops/normalization.js';
import { checkImages } from '../../ops/window.js';
import { checkOptions } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkBoolean, checkCount, checkNumber, type LayerConfig } from '../config.js';
import { Module } from '../module.js';

export interface BatchNormOptions {
  /** added to the variance; default 1e-5 */
  readonly eps?: number;
  /** weight of a new batch in the running statistics; null averages all batches alike; default 0.1 */
  readonly momentum?: number | null;
  /** Learn a scale and a shift; default true. */
  readonly affine?: boolean;
  /** Keep running statistics for use after training; without them every batch uses its own; default true. */
  readonly trackRunningStats?: boolean;
}

const OPTIONS = ['eps', 'momentum', 'affine', 'trackRunningStats'];

/** Batch normalisation of every rank; see {@link BatchNorm2d}. */
export abstract class BatchNormNd extends Module {
  readonly numFeatures: number;
  readonly eps: number;
  readonly momentum: number | null;
  readonly affine: boolean;
  readonly trackRunningStats: boolean;
  /** [features]: the scale, 1 at first */
  readonly weight: Tensor | undefined;
  /** [features]: the shift, 0 at first */
  readonly bias: Tensor | undefined;
  readonly runningMean: Tensor | undefined;
  readonly runningVar: Tensor | undefined;
  /** i32[]: training steps seen. (PyTorch holds it in 64 bits.) */
  readonly numBatchesTracked: Tensor | undefined;
  readonly #rank: number;

  constructor(where: string, rank: number, numFeatures: number, options: BatchNormOptions) {
    super();
    checkOptions(where, options, OPTIONS);
    const { eps = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true } = options;
    checkCount(where, 'numFeatures', numFeatures);
    checkNumber(where, 'eps', eps, 0);
    if (momentum !== null) checkNumber(where, 'momentum', momentum, 0, 1);
    checkBoolean(where, 'affine', affine);
    checkBoolean(where, 'trackRunningStats', trackRunningStats);
    this.#rank = rank;
    this.numFeatures = numFeatures;
    this.eps = eps;
    this.momentum = momentum;
    this.affine = affine;
    this.trackRunningStats = trackRunningStats;
    if (affine) {
      this.weight = this.parameter('weight', ones([numFeatures]));
      this.bias = this.parameter('bias', zeros([numFeatures]));
    }
    if (trackRunningStats) {
      this.runningMean = this.buffer('running_mean', zeros([numFeatures]));
      this.runningVar = this.buffer('running_var', ones([numFeatures]));
      this.numBatchesTracked = this.buffer('num_batches_tracked', zeros([], 'i32'));
    }
  }

  forward(x: Tensor): Tensor {
    const { eps, weight, bias, runningMean, runningVar, type } = this;
    checkImages(type, x.shape, this.#rank, this.numFeatures);
    if (!this.training && runningMean !== undefined && runningVar !== undefined) {
      return batchNormInference(x, { mean: runningMean, variance: runningVar }, { weight, bias }, { eps }, type);
    }
    const { y, mean, variance, count } = batchNorm(x, { weight, bias }, { eps }, type);
    if (this.training) this.#track(mean, mul(variance, count / (count - 1)));
    return y;
  }

  /** Moves the running statistics towards those of a batch; the running variance is unbiased. */
  #track(mean: Tensor, unbiased: Tensor): void {
    const { runningMean, runningVar, numBatchesTracked, momentum } = this;
    if (runningMean === undefined || runningVar === undefined || numBatchesTracked === undefined) return;
    const seen = add(numBatchesTracked, 1);
    assign(numBatchesTracked, seen);
    const move = (running: Tensor, batch: Tensor): void => {
      const rate = momentum ?? div(1, cast(seen, batch.dtype));
      const kept = momentum === null ? add(mul(rate, -1), 1) : 1 - momentum;
      assign(running, add(mul(running, kept), mul(batch, rate)));
    };
    move(runningMean, mean);
    move(runningVar, unbiased);
  }

  override config(): LayerConfig {
    const { type, numFeatures, eps, momentum, affine, trackRunningStats } = this;
    return { type, numFeatures, eps, momentum, affine, trackRunningStats };
  }
}

/**
 * Batch normalisation of images [batch, features, height, width]: training uses the statistics of the batch and updates the
 * running ones, which are used after `eval()`. As `torch.nn.BatchNorm2d`.
 *
 * @throws ShapeError in training for one value per channel.
 */
export class BatchNorm2d extends BatchNormNd {
  readonly type = 'BatchNorm2d';

  constructor(numFeatures: number, options: BatchNormOptions = {}) {
    super('BatchNorm2d', 2, numFeatures, options);
  }

  static fromConfig(this: void, config: LayerConfig): BatchNorm2d {
    const { type, numFeatures, ...options } = config;
    checkOptions(type, options, OPTIONS);
    return new BatchNorm2d(numFeatures as number, options as BatchNormOptions);
  }
}
