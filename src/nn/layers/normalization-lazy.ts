import { checkOptions } from '../../tensor/errors.js';
import type { LayerConfig } from '../config.js';
import { UNKNOWN } from './lazy.js';
import {
  BATCH_NORM_OPTIONS,
  BatchNormNd,
  type BatchNormOptions,
  InstanceNormNd,
  type InstanceNormOptions,
} from './normalization.js';

// Normalisation layers that learn the number of features from their first call; see InputSized.

/** Makes a layer of its configuration, which holds options only. */
function lazyLayer<L>(Layer: new (options: BatchNormOptions) => L, config: LayerConfig): L {
  const { type, ...options } = config;
  checkOptions(type, options, BATCH_NORM_OPTIONS);
  return new Layer(options);
}

/** `BatchNorm1d` that takes its features from its first input. As `torch.nn.LazyBatchNorm1d`. */
export class LazyBatchNorm1d extends BatchNormNd<0 | 1> {
  readonly type = 'LazyBatchNorm1d';

  constructor(options: BatchNormOptions = {}) {
    super('LazyBatchNorm1d', 1, UNKNOWN, options);
  }

  static fromConfig(this: void, config: LayerConfig): LazyBatchNorm1d {
    return lazyLayer(LazyBatchNorm1d, config);
  }
}

/** `BatchNorm2d` that takes its features from its first input. As `torch.nn.LazyBatchNorm2d`. */
export class LazyBatchNorm2d extends BatchNormNd<2> {
  readonly type = 'LazyBatchNorm2d';

  constructor(options: BatchNormOptions = {}) {
    super('LazyBatchNorm2d', 2, UNKNOWN, options);
  }

  static fromConfig(this: void, config: LayerConfig): LazyBatchNorm2d {
    return lazyLayer(LazyBatchNorm2d, config);
  }
}

/** `BatchNorm3d` that takes its features from its first input. As `torch.nn.LazyBatchNorm3d`. */
export class LazyBatchNorm3d extends BatchNormNd<3> {
  readonly type = 'LazyBatchNorm3d';

  constructor(options: BatchNormOptions = {}) {
    super('LazyBatchNorm3d', 3, UNKNOWN, options);
  }

  static fromConfig(this: void, config: LayerConfig): LazyBatchNorm3d {
    return lazyLayer(LazyBatchNorm3d, config);
  }
}

/** `InstanceNorm1d` that takes its features from its first input. As `torch.nn.LazyInstanceNorm1d`. */
export class LazyInstanceNorm1d extends InstanceNormNd<1> {
  readonly type = 'LazyInstanceNorm1d';

  constructor(options: InstanceNormOptions = {}) {
    super('LazyInstanceNorm1d', 1, UNKNOWN, options);
  }

  static fromConfig(this: void, config: LayerConfig): LazyInstanceNorm1d {
    return lazyLayer(LazyInstanceNorm1d, config);
  }
}

/** `InstanceNorm2d` that takes its features from its first input. As `torch.nn.LazyInstanceNorm2d`. */
export class LazyInstanceNorm2d extends InstanceNormNd<2> {
  readonly type = 'LazyInstanceNorm2d';

  constructor(options: InstanceNormOptions = {}) {
    super('LazyInstanceNorm2d', 2, UNKNOWN, options);
  }

  static fromConfig(this: void, config: LayerConfig): LazyInstanceNorm2d {
    return lazyLayer(LazyInstanceNorm2d, config);
  }
}

/** `InstanceNorm3d` that takes its features from its first input. As `torch.nn.LazyInstanceNorm3d`. */
export class LazyInstanceNorm3d extends InstanceNormNd<3> {
  readonly type = 'LazyInstanceNorm3d';

  constructor(options: InstanceNormOptions = {}) {
    super('LazyInstanceNorm3d', 3, UNKNOWN, options);
  }

  static fromConfig(this: void, config: LayerConfig): LazyInstanceNorm3d {
    return lazyLayer(LazyInstanceNorm3d, config);
  }
}
