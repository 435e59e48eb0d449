import type { PerAxis } from '../../ops/window.js';
import { CONV_OPTIONS, type ConvLayerOptions, ConvNd } from './conv.js';
import { type ConvFactory, configOptions } from './conv-base.js';
import {
  DEPTHWISE_OPTIONS,
  DepthwiseConvNd,
  type DepthwiseConvOptions,
  SeparableConvNd,
  type SeparableConvOptions,
  type SeparableParts,
} from './conv-separable.js';
import { CONV_TRANSPOSE_OPTIONS, type ConvTransposeLayerOptions, ConvTransposeNd } from './conv-transpose.js';
import { UNKNOWN } from './lazy.js';

// Convolution layers that learn the number of input channels from their first call; see InputSized.

/** A factory for layers of (outChannels, kernelSize, options). */
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
export class LazyConv1d<Out extends number = number> extends ConvNd<1, number, Out> {
  readonly type = 'LazyConv1d';
  static readonly fromConfig: ConvFactory<LazyConv1d> = factory(
    (outChannels, kernelSize, options: ConvLayerOptions) => new LazyConv1d(outChannels, kernelSize, options),
    CONV_OPTIONS,
  );

  constructor(outChannels: Out, kernelSize: PerAxis, options: ConvLayerOptions = {}) {
    super('LazyConv1d', 1, UNKNOWN, outChannels, kernelSize, options);
  }
}

/**
 * {@link Conv2d} that takes its input channels from its first input. As `torch.nn.LazyConv2d`.
 *
 * @example
 * const model = new Sequential(new LazyConv2d(8, 3), new ReLU());
 * model.forward(zeros([1, 3, 32, 32])); // now it has parameters
 */
export class LazyConv2d<Out extends number = number> extends ConvNd<2, number, Out> {
  readonly type = 'LazyConv2d';
  static readonly fromConfig: ConvFactory<LazyConv2d> = factory(
    (outChannels, kernelSize, options: ConvLayerOptions) => new LazyConv2d(outChannels, kernelSize, options),
    CONV_OPTIONS,
  );

  constructor(outChannels: Out, kernelSize: PerAxis, options: ConvLayerOptions = {}) {
    super('LazyConv2d', 2, UNKNOWN, outChannels, kernelSize, options);
  }
}

/** {@link Conv3d} that takes its input channels from its first input. As `torch.nn.LazyConv3d`. */
export class LazyConv3d<Out extends number = number> extends ConvNd<3, number, Out> {
  readonly type = 'LazyConv3d';
  static readonly fromConfig: ConvFactory<LazyConv3d> = factory(
    (outChannels, kernelSize, options: ConvLayerOptions) => new LazyConv3d(outChannels, kernelSize, options),
    CONV_OPTIONS,
  );

  constructor(outChannels: Out, kernelSize: PerAxis, options: ConvLayerOptions = {}) {
    super('LazyConv3d', 3, UNKNOWN, outChannels, kernelSize, options);
  }
}

/** {@link ConvTranspose1d} that takes its input channels from its first input. As `torch.nn.LazyConvTranspose1d`. */
export class LazyConvTranspose1d<Out extends number = number> extends ConvTransposeNd<1, number, Out> {
  readonly type = 'LazyConvTranspose1d';
  static readonly fromConfig: ConvFactory<LazyConvTranspose1d> = factory(
    (outChannels, kernelSize, options: ConvTransposeLayerOptions) =>
      new LazyConvTranspose1d(outChannels, kernelSize, options),
    CONV_TRANSPOSE_OPTIONS,
  );

  constructor(outChannels: Out, kernelSize: PerAxis, options: ConvTransposeLayerOptions = {}) {
    super('LazyConvTranspose1d', 1, UNKNOWN, outChannels, kernelSize, options);
  }
}

/** {@link ConvTranspose2d} that takes its input channels from its first input. As `torch.nn.LazyConvTranspose2d`. */
export class LazyConvTranspose2d<Out extends number = number> extends ConvTransposeNd<2, number, Out> {
  readonly type = 'LazyConvTranspose2d';
  static readonly fromConfig: ConvFactory<LazyConvTranspose2d> = factory(
    (outChannels, kernelSize, options: ConvTransposeLayerOptions) =>
      new LazyConvTranspose2d(outChannels, kernelSize, options),
    CONV_TRANSPOSE_OPTIONS,
  );

  constructor(outChannels: Out, kernelSize: PerAxis, options: ConvTransposeLayerOptions = {}) {
    super('LazyConvTranspose2d', 2, UNKNOWN, outChannels, kernelSize, options);
  }
}

/** {@link ConvTranspose3d} that takes its input channels from its first input. As `torch.nn.LazyConvTranspose3d`. */
export class LazyConvTranspose3d<Out extends number = number> extends ConvTransposeNd<3, number, Out> {
  readonly type = 'LazyConvTranspose3d';
  static readonly fromConfig: ConvFactory<LazyConvTranspose3d> = factory(
    (outChannels, kernelSize, options: ConvTransposeLayerOptions) =>
      new LazyConvTranspose3d(outChannels, kernelSize, options),
    CONV_TRANSPOSE_OPTIONS,
  );

  constructor(outChannels: Out, kernelSize: PerAxis, options: ConvTransposeLayerOptions = {}) {
    super('LazyConvTranspose3d', 3, UNKNOWN, outChannels, kernelSize, options);
  }
}

function depthwiseFactory<M>(make: (kernel: PerAxis, options: DepthwiseConvOptions) => M): ConvFactory<M> {
  return (config, build) => {
    const options = configOptions<DepthwiseConvOptions>(config, ['kernelSize'], DEPTHWISE_OPTIONS, build);
    return make(config.kernelSize as PerAxis, options);
  };
}

/** {@link DepthwiseConv1d} that takes its channels from its first input. */
export class LazyDepthwiseConv1d extends DepthwiseConvNd<1> {
  readonly type = 'LazyDepthwiseConv1d';
  static readonly fromConfig: ConvFactory<LazyDepthwiseConv1d> = depthwiseFactory(
    (kernelSize, options) => new LazyDepthwiseConv1d(kernelSize, options),
  );

  constructor(kernelSize: PerAxis, options: DepthwiseConvOptions = {}) {
    super('LazyDepthwiseConv1d', 1, UNKNOWN, kernelSize, options);
  }
}

/** {@link DepthwiseConv2d} that takes its channels from its first input. */
export class LazyDepthwiseConv2d extends DepthwiseConvNd<2> {
  readonly type = 'LazyDepthwiseConv2d';
  static readonly fromConfig: ConvFactory<LazyDepthwiseConv2d> = depthwiseFactory(
    (kernelSize, options) => new LazyDepthwiseConv2d(kernelSize, options),
  );

  constructor(kernelSize: PerAxis, options: DepthwiseConvOptions = {}) {
    super('LazyDepthwiseConv2d', 2, UNKNOWN, kernelSize, options);
  }
}

/** {@link DepthwiseConv3d} that takes its channels from its first input. */
export class LazyDepthwiseConv3d extends DepthwiseConvNd<3> {
  readonly type = 'LazyDepthwiseConv3d';
  static readonly fromConfig: ConvFactory<LazyDepthwiseConv3d> = depthwiseFactory(
    (kernelSize, options) => new LazyDepthwiseConv3d(kernelSize, options),
  );

  constructor(kernelSize: PerAxis, options: DepthwiseConvOptions = {}) {
    super('LazyDepthwiseConv3d', 3, UNKNOWN, kernelSize, options);
  }
}

const PARTS_1D: SeparableParts = {
  depthwise: (kernelSize, options) => new LazyDepthwiseConv1d(kernelSize, options),
  pointwise: (outChannels, options) => new LazyConv1d(outChannels, 1, options),
};

/** {@link SeparableConv1d} that takes its input channels from its first input. */
export class LazySeparableConv1d<Out extends number = number> extends SeparableConvNd<1, number, Out> {
  readonly type = 'LazySeparableConv1d';
  static readonly fromConfig: ConvFactory<LazySeparableConv1d> = factory(
    (outChannels, kernelSize, options: SeparableConvOptions) =>
      new LazySeparableConv1d(outChannels, kernelSize, options),
    DEPTHWISE_OPTIONS,
  );

  constructor(outChannels: Out, kernelSize: PerAxis, options: SeparableConvOptions = {}) {
    super('LazySeparableConv1d', 1, PARTS_1D, outChannels, kernelSize, options);
  }
}

const PARTS_2D: SeparableParts = {
  depthwise: (kernelSize, options) => new LazyDepthwiseConv2d(kernelSize, options),
  pointwise: (outChannels, options) => new LazyConv2d(outChannels, 1, options),
};

/** {@link SeparableConv2d} that takes its input channels from its first input. */
export class LazySeparableConv2d<Out extends number = number> extends SeparableConvNd<2, number, Out> {
  readonly type = 'LazySeparableConv2d';
  static readonly fromConfig: ConvFactory<LazySeparableConv2d> = factory(
    (outChannels, kernelSize, options: SeparableConvOptions) =>
      new LazySeparableConv2d(outChannels, kernelSize, options),
    DEPTHWISE_OPTIONS,
  );

  constructor(outChannels: Out, kernelSize: PerAxis, options: SeparableConvOptions = {}) {
    super('LazySeparableConv2d', 2, PARTS_2D, outChannels, kernelSize, options);
  }
}

const PARTS_3D: SeparableParts = {
  depthwise: (kernelSize, options) => new LazyDepthwiseConv3d(kernelSize, options),
  pointwise: (outChannels, options) => new LazyConv3d(outChannels, 1, options),
};

/** {@link SeparableConv3d} that takes its input channels from its first input. */
export class LazySeparableConv3d<Out extends number = number> extends SeparableConvNd<3, number, Out> {
  readonly type = 'LazySeparableConv3d';
  static readonly fromConfig: ConvFactory<LazySeparableConv3d> = factory(
    (outChannels, kernelSize, options: SeparableConvOptions) =>
      new LazySeparableConv3d(outChannels, kernelSize, options),
    DEPTHWISE_OPTIONS,
  );

  constructor(outChannels: Out, kernelSize: PerAxis, options: SeparableConvOptions = {}) {
    super('LazySeparableConv3d', 3, PARTS_3D, outChannels, kernelSize, options);
  }
}
