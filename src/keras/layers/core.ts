import { checkCount, checkNumber } from '../../nn/config.js';
import { ELU, Identity, LeakyReLU, ReLU, Softmax } from '../../nn/layers/activation.js';
import { Sequential } from '../../nn/layers/container.js';
import { Dropout, Dropout1d, Dropout2d, Dropout3d } from '../../nn/layers/dropout.js';
import { Embedding } from '../../nn/layers/embedding.js';
import { Linear } from '../../nn/layers/linear.js';
import type { Module } from '../../nn/module.js';
import { OptionError, ShapeError } from '../../tensor/errors.js';
import { type Activation, activationOf, namedActivation } from '../activations.js';
import { getInitializer, type Initializer, type InitializerName } from '../initializers.js';
import { BasicLayer, type Layer, type LayerOptions } from '../layer.js';
import { ChannelsLast, KerasGaussianNoise, KerasPReLU, Operation } from '../modules.js';
import { getRegularizer, type Regularizer, type RegularizerName } from '../regularizers.js';
import { engineFormat, extents, formatKerasShape, type KerasDataFormat, type KerasShape } from '../shapes.js';
import { biasSpec, KERNEL_OPTIONS, type KernelOptions } from './conv.js';

export interface DenseOptions extends KernelOptions {
  /** features that come out */
  readonly units: number;
}

/** x · kernel + bias over the last axis, whatever the others: […, in] to […, units]. Kernel [in, units]. */
export function dense(options: DenseOptions): Layer {
  const where = 'dense';
  const layer = new BasicLayer(where, 'Dense', options, [...KERNEL_OPTIONS, 'units'], ([shape]) => {
    const { units, useBias = true, activation, kernelInitializer, kernelRegularizer } = options;
    const features = extents(where, shape).at(-1);
    if (features === undefined) {
      throw new ShapeError(`${where}: expected [batch, …, features], got ${formatKerasShape(shape)}`);
    }
    const linear = new Linear(features, units, { bias: useBias });
    const after = activationOf(where, activation);
    return {
      module: after === undefined ? linear : new Sequential({ linear, activation: after }),
      weights: [
        {
          name: 'kernel',
          tensor: linear.weight,
          order: [1, 0],
          initializer: getInitializer(`${where}: kernelInitializer`, kernelInitializer ?? 'glorotUniform'),
          regularizer: getRegularizer(`${where}: kernelRegularizer`, kernelRegularizer),
        },
        ...biasSpec(where, linear.bias, options),
      ],
      activityRegularizer: getRegularizer(`${where}: activityRegularizer`, options.activityRegularizer),
    };
  });
  checkCount(where, 'units', options.units);
  activationOf(where, options.activation);
  return layer;
}

/** A layer without weights. */
function plain(
  where: string,
  className: string,
  options: LayerOptions,
  known: readonly string[],
  make: (shape: KerasShape) => Module,
): Layer {
  return new BasicLayer(where, className, options, known, ([shape]) => ({ module: make(shape) }));
}

export interface ActivationOptions extends LayerOptions {
  readonly activation: Activation;
}

/** An activation by name. */
export function activation(options: ActivationOptions): Layer {
  namedActivation('activation', options.activation);
  return plain('activation', 'Activation', options, ['activation'], () =>
    namedActivation('activation', options.activation),
  );
}

export interface ReLUOptions extends LayerOptions {
  /** Nothing above this comes out; default no limit. */
  readonly maxValue?: number;
  /** of what is below the threshold; default 0 */
  readonly negativeSlope?: number;
  /** What is below counts as negative; default 0. */
  readonly threshold?: number;
}

/** x where it is above `threshold`, at most `maxValue`; elsewhere negativeSlope · (x − threshold). */
export function reLU(options: ReLUOptions = {}): Layer {
  const { maxValue, negativeSlope = 0, threshold = 0 } = options;
  if (maxValue !== undefined) checkNumber('reLU', 'maxValue', maxValue, 0);
  checkNumber('reLU', 'negativeSlope', negativeSlope, -Infinity);
  checkNumber('reLU', 'threshold', threshold, -Infinity);
  return plain('reLU', 'ReLU', options, ['maxValue', 'negativeSlope', 'threshold'], () => {
    if (negativeSlope !== 0 || threshold !== 0) {
      return new Operation('reLU', { maxValue: maxValue ?? null, negativeSlope, threshold });
    }
    return maxValue === undefined
      ? new ReLU()
      : new Sequential({ relu: new ReLU(), limit: new Operation('maxValue', { value: maxValue }) });
  });
}

export interface AlphaOptions extends LayerOptions {
  readonly alpha?: number;
}

/** x where positive, alpha · x elsewhere; default alpha 0.3. */
export function leakyReLU(options: AlphaOptions = {}): Layer {
  const { alpha = 0.3 } = options;
  checkNumber('leakyReLU', 'alpha', alpha, -Infinity);
  return plain('leakyReLU', 'LeakyReLU', options, ['alpha'], () => new LeakyReLU(alpha));
}

/** x where positive, alpha · (exp(x) − 1) elsewhere; default alpha 1. */
export function elu(options: AlphaOptions = {}): Layer {
  const { alpha = 1 } = options;
  checkNumber('elu', 'alpha', alpha, -Infinity);
  return plain('elu', 'ELU', options, ['alpha'], () => new ELU(alpha));
}

export interface ThresholdedReLUOptions extends LayerOptions {
  /** default 1 */
  readonly theta?: number;
}

/** x where it is above theta, 0 elsewhere. */
export function thresholdedReLU(options: ThresholdedReLUOptions = {}): Layer {
  const { theta = 1 } = options;
  checkNumber('thresholdedReLU', 'theta', theta, -Infinity);
  return plain(
    'thresholdedReLU',
    'ThresholdedReLU',
    options,
    ['theta'],
    () => new Operation('thresholdedReLU', { theta }),
  );
}

export interface SoftmaxOptions extends LayerOptions {
  /** default −1, the last */
  readonly axis?: number;
}

/** exp(x) / Σ exp(x) along one axis. */
export function softmax(options: SoftmaxOptions = {}): Layer {
  const { axis = -1 } = options;
  return plain('softmax', 'Softmax', options, ['axis'], (shape) => {
    if (!Number.isInteger(axis) || axis === 0 || axis >= shape.length || axis < -shape.length + 1) {
      throw new OptionError(`softmax: axis must be one of ${formatKerasShape(shape)} after the batch, got ${axis}`);
    }
    return new Softmax(axis === shape.length - 1 ? -1 : axis);
  });
}

export interface PReLUOptions extends LayerOptions {
  /** default `zeros` */
  readonly alphaInitializer?: InitializerName | Initializer;
  readonly alphaRegularizer?: RegularizerName | Regularizer;
  /** axes (from 1, the batch is 0) along which one alpha serves all positions; default none */
  readonly sharedAxes?: number | readonly number[];
}

/** x where positive, alpha · x elsewhere, with a trained alpha for every element that is not shared. */
export function prelu(options: PReLUOptions = {}): Layer {
  const known = ['alphaInitializer', 'alphaRegularizer', 'sharedAxes'];
  return new BasicLayer('prelu', 'PReLU', options, known, ([shape]) => {
    const { alphaInitializer = 'zeros', alphaRegularizer, sharedAxes = [] } = options;
    const shared = typeof sharedAxes === 'number' ? [sharedAxes] : sharedAxes;
    const alpha = extents('prelu', shape);
    for (const axis of shared) {
      if (!Number.isInteger(axis) || axis < 1 || axis > alpha.length) {
        throw new OptionError(`prelu: sharedAxes must lie between 1 and ${alpha.length}, got ${axis}`);
      }
      alpha[axis - 1] = 1;
    }
    const module = new KerasPReLU(alpha);
    return {
      module,
      weights: [
        {
          name: 'alpha',
          tensor: module.alpha,
          initializer: getInitializer('prelu: alphaInitializer', alphaInitializer),
          regularizer: getRegularizer('prelu: alphaRegularizer', alphaRegularizer),
        },
      ],
    };
  });
}

export interface DropoutOptions extends LayerOptions {
  /** which part of the elements becomes 0 in training; the others are divided by 1 − rate */
  readonly rate: number;
}

function checkRate(where: string, rate: unknown): void {
  if (typeof rate === 'number' && rate >= 0 && rate < 1) return;
  throw new OptionError(`${where}: rate must be at least 0 and below 1, got ${JSON.stringify(rate)}`);
}

/** In training zeroes elements by chance. */
export function dropout(options: DropoutOptions): Layer {
  const layer = plain('dropout', 'Dropout', options, ['rate'], () => new Dropout(options.rate));
  checkRate('dropout', options.rate);
  return layer;
}

export interface SpatialDropoutOptions extends DropoutOptions {
  /** default `channelsLast` */
  readonly dataFormat?: KerasDataFormat;
}

function spatialDropout(rank: number, options: SpatialDropoutOptions): Layer {
  const where = `spatialDropout${rank}d`;
  const layer = plain(where, `SpatialDropout${rank}D`, options, ['rate', 'dataFormat'], () => {
    const module = new [Dropout1d, Dropout2d, Dropout3d][rank - 1](options.rate);
    return format === 'channels-last' ? new ChannelsLast(module) : module;
  });
  checkRate(where, options.rate);
  const format = engineFormat(where, options.dataFormat);
  return layer;
}

/** In training zeroes whole channels of [batch, length, channels] by chance. */
export function spatialDropout1d(options: SpatialDropoutOptions): Layer {
  return spatialDropout(1, options);
}

/** In training zeroes whole channels of [batch, height, width, channels] by chance. */
export function spatialDropout2d(options: SpatialDropoutOptions): Layer {
  return spatialDropout(2, options);
}

/** In training zeroes whole channels of [batch, depth, height, width, channels] by chance. */
export function spatialDropout3d(options: SpatialDropoutOptions): Layer {
  return spatialDropout(3, options);
}

export interface GaussianNoiseOptions extends LayerOptions {
  /** standard deviation */
  readonly stddev: number;
}

/** In training adds normal noise of mean 0. */
export function gaussianNoise(options: GaussianNoiseOptions): Layer {
  const layer = plain('gaussianNoise', 'GaussianNoise', options, ['stddev'], () => {
    return new KerasGaussianNoise(options.stddev);
  });
  checkNumber('gaussianNoise', 'stddev', options.stddev, 0);
  return layer;
}

export interface EmbeddingOptions extends LayerOptions {
  /** how many words there are */
  readonly inputDim: number;
  /** numbers per word */
  readonly outputDim: number;
  /** length of the sequences, for the first layer: `inputShape: [inputLength]` */
  readonly inputLength?: number;
  /** default `randomUniform` */
  readonly embeddingsInitializer?: InitializerName | Initializer;
  readonly embeddingsRegularizer?: RegularizerName | Regularizer;
}

/** A trained row for each word number: [batch, …] to [batch, …, outputDim]. */
export function embedding(options: EmbeddingOptions): Layer {
  const where = 'embedding';
  const { inputDim, outputDim, inputLength } = options;
  const first = options.inputShape === undefined && options.batchInputShape === undefined && inputLength !== undefined;
  const known = ['inputDim', 'outputDim', 'inputLength', 'embeddingsInitializer', 'embeddingsRegularizer'];
  const given = first ? { ...options, inputShape: [inputLength] } : options;
  const layer = new BasicLayer(where, 'Embedding', given, known, () => {
    const table = new Embedding(inputDim, outputDim);
    return {
      module: new Sequential({ numbers: new Operation('toInt32'), table }),
      weights: [
        {
          name: 'embeddings',
          tensor: table.weight,
          initializer: getInitializer(
            `${where}: embeddingsInitializer`,
            options.embeddingsInitializer ?? 'randomUniform',
          ),
          regularizer: getRegularizer(`${where}: embeddingsRegularizer`, options.embeddingsRegularizer),
        },
      ],
    };
  });
  checkCount(where, 'inputDim', inputDim);
  checkCount(where, 'outputDim', outputDim);
  return layer;
}

/** What comes in goes out: for names and for the structure of a model. */
export function identity(options: LayerOptions = {}): Layer {
  return plain('identity', 'Identity', options, [], () => new Identity());
}
