import type { PerAxis } from '../../ops/window.js';
import { CONV_OPTIONS, type ConvLayerOptions, ConvNd } from './conv.js';
import { type ConvFactory, configOptions } from './conv-base.js';
import { CONV_TRANSPOSE_OPTIONS, type ConvTransposeLayerOptions, ConvTransposeNd } from './conv-transpose.js';

// Layers that learn the number of input channels from their first call, which may be inside of `compile`. Until then they
// have no parameters, and to list, save or load the parameters of a model with them is an error. From then on their
// configuration is that of the ordinary layer.

type ConvArguments = [outChannels: number, kernelSize: PerAxis, options: ConvLayerOptions];
type TransposedArguments = [outChannels: number, kernelSize: PerAxis, options: ConvTransposeLayerOptions];

function factory<O, M>(
  make: (outChannels: number, kernel: PerAxis, options: O) => M,
  known: readonly string[],
): ConvFactory<M> {
  return (config, build) => {
    const options = configOptions<O>(config, ['outChannels', 'kernelSize'], known, build);
    return make(config.outChannels as number, config.kernelSize as PerAxis, options);
  };
}

/** {@link Conv1d} that takes its input channels from its first input. As `torch.nn.LazyConv1d`. */
export class LazyConv1d extends ConvNd {
  readonly type = 'LazyConv1d';
  static readonly fromConfig: ConvFactory<LazyConv1d> = factory(
    (...args: ConvArguments) => new LazyConv1d(...args),
    CONV_OPTIONS,
  );

  constructor(outChannels: number, kernelSize: PerAxis, options: ConvLayerOptions = {}) {
    super('LazyConv1d', 1, undefined, outChannels, kernelSize, options);
  }
}

/**
 * {@link Conv2d} that takes its input channels from its first input. As `torch.nn.LazyConv2d`.
 *
 * @example
 * const model = new Sequential(new LazyConv2d(8, 3), new ReLU());
 * model.forward(zeros([1, 3, 32, 32])); // now it has parameters
 */
export class LazyConv2d extends ConvNd {
  readonly type = 'LazyConv2d';
  static readonly fromConfig: ConvFactory<LazyConv2d> = factory(
    (...args: ConvArguments) => new LazyConv2d(...args),
    CONV_OPTIONS,
  );

  constructor(outChannels: number, kernelSize: PerAxis, options: ConvLayerOptions = {}) {
    super('LazyConv2d', 2, undefined, outChannels, kernelSize, options);
  }
}

/** {@link Conv3d} that takes its input channels from its first input. As `torch.nn.LazyConv3d`. */
export class LazyConv3d extends ConvNd {
  readonly type = 'LazyConv3d';
  static readonly fromConfig: ConvFactory<LazyConv3d> = factory(
    (...args: ConvArguments) => new LazyConv3d(...args),
    CONV_OPTIONS,
  );

  constructor(outChannels: number, kernelSize: PerAxis, options: ConvLayerOptions = {}) {
    super('LazyConv3d', 3, undefined, outChannels, kernelSize, options);
  }
}

/** {@link ConvTranspose1d} that takes its input channels from its first input. As `torch.nn.LazyConvTranspose1d`. */
export class LazyConvTranspose1d extends ConvTransposeNd {
  readonly type = 'LazyConvTranspose1d';
  static readonly fromConfig: ConvFactory<LazyConvTranspose1d> = factory(
    (...args: TransposedArguments) => new LazyConvTranspose1d(...args),
    CONV_TRANSPOSE_OPTIONS,
  );

  constructor(outChannels: number, kernelSize: PerAxis, options: ConvTransposeLayerOptions = {}) {
    super('LazyConvTranspose1d', 1, undefined, outChannels, kernelSize, options);
  }
}

/** {@link ConvTranspose2d} that takes its input channels from its first input. As `torch.nn.LazyConvTranspose2d`. */
export class LazyConvTranspose2d extends ConvTransposeNd {
  readonly type = 'LazyConvTranspose2d';
  static readonly fromConfig: ConvFactory<LazyConvTranspose2d> = factory(
    (...args: TransposedArguments) => new LazyConvTranspose2d(...args),
    CONV_TRANSPOSE_OPTIONS,
  );

  constructor(outChannels: number, kernelSize: PerAxis, options: ConvTransposeLayerOptions = {}) {
    super('LazyConvTranspose2d', 2, undefined, outChannels, kernelSize, options);
  }
}

/** {@link ConvTranspose3d} that takes its input channels from its first input. As `torch.nn.LazyConvTranspose3d`. */
export class LazyConvTranspose3d extends ConvTransposeNd {
  readonly type = 'LazyConvTranspose3d';
  static readonly fromConfig: ConvFactory<LazyConvTranspose3d> = factory(
    (...args: TransposedArguments) => new LazyConvTranspose3d(...args),
    CONV_TRANSPOSE_OPTIONS,
  );

  constructor(outChannels: number, kernelSize: PerAxis, options: ConvTransposeLayerOptions = {}) {
    super('LazyConvTranspose3d', 3, undefined, outChannels, kernelSize, options);
  }
}
