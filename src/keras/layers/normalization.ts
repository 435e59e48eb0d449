import { checkBoolean, checkCount, checkNumber } from '../../nn/config.js';
import { GroupNorm, LayerNorm } from '../../nn/layers/normalization.js';
import { OptionError, ShapeError } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { getInitializer, type Initializer, type InitializerName } from '../initializers.js';
import { BasicLayer, type Layer, type LayerOptions, type WeightSpec } from '../layer.js';
import { ChannelsLast, KerasBatchNormalization, KerasNormalization } from '../modules.js';
import { getRegularizer, type Regularizer, type RegularizerName } from '../regularizers.js';
import { extents, formatKerasShape, type KerasShape } from '../shapes.js';

/** Scale and shift after normalisation. */
export interface ScaleOptions extends LayerOptions {
  /** added to the variance; default 0.001 */
  readonly epsilon?: number;
  /** Learn a shift, beta; default true. */
  readonly center?: boolean;
  /** Learn a factor, gamma; default true. */
  readonly scale?: boolean;
  /** default `zeros` */
  readonly betaInitializer?: InitializerName | Initializer;
  /** default `ones` */
  readonly gammaInitializer?: InitializerName | Initializer;
  readonly betaRegularizer?: RegularizerName | Regularizer;
  readonly gammaRegularizer?: RegularizerName | Regularizer;
}

const SCALE_OPTIONS = [
  'epsilon',
  'center',
  'scale',
  'betaInitializer',
  'gammaInitializer',
  'betaRegularizer',
  'gammaRegularizer',
];

function checkScale(where: string, options: ScaleOptions): number {
  const { epsilon = 1e-3, center = true, scale = true } = options;
  checkNumber(where, 'epsilon', epsilon, 0);
  checkBoolean(where, 'center', center);
  checkBoolean(where, 'scale', scale);
  return epsilon;
}

/** The weights that are learnt; one that is not stays 1 or 0 inside of the module. */
function scaleSpecs(where: string, gamma: Tensor, beta: Tensor, options: ScaleOptions): WeightSpec[] {
  const { center = true, scale = true, betaInitializer, gammaInitializer, betaRegularizer, gammaRegularizer } = options;
  const specs: WeightSpec[] = [];
  if (scale) {
    specs.push({
      name: 'gamma',
      tensor: gamma,
      initializer: getInitializer(`${where}: gammaInitializer`, gammaInitializer ?? 'ones'),
      regularizer: getRegularizer(`${where}: gammaRegularizer`, gammaRegularizer),
    });
  }
  if (center) {
    specs.push({
      name: 'beta',
      tensor: beta,
      initializer: getInitializer(`${where}: betaInitializer`, betaInitializer ?? 'zeros'),
      regularizer: getRegularizer(`${where}: betaRegularizer`, betaRegularizer),
    });
  }
  return specs;
}

/** An axis after the batch, counted from the front. */
function axisOf(where: string, axis: number, shape: KerasShape): number {
  const found = axis < 0 ? axis + shape.length : axis;
  if (Number.isInteger(found) && found >= 1 && found < shape.length) return found;
  throw new OptionError(`${where}: axis must be one of ${formatKerasShape(shape)} after the batch, got ${axis}`);
}

export interface BatchNormalizationOptions extends ScaleOptions {
  /** that of the features; default −1, the last */
  readonly axis?: number;
  /** weight of the old running statistics; default 0.99 */
  readonly momentum?: number;
  /** default `zeros` */
  readonly movingMeanInitializer?: InitializerName | Initializer;
  /** default `ones` */
  readonly movingVarianceInitializer?: InitializerName | Initializer;
}

/**
 * Batch normalisation (Ioffe and Szegedy, 2015). Weights gamma, beta, moving mean, moving variance. A layer that is not
 * trainable uses its moving statistics in training, too.
 */
export function batchNormalization(options: BatchNormalizationOptions = {}): Layer {
  const where = 'batchNormalization';
  const known = [...SCALE_OPTIONS, 'axis', 'momentum', 'movingMeanInitializer', 'movingVarianceInitializer'];
  const layer = new BasicLayer(where, 'BatchNormalization', options, known, ([shape]) => {
    const { axis = -1, movingMeanInitializer = 'zeros', movingVarianceInitializer = 'ones' } = options;
    const features = axisOf(where, axis, shape);
    const count = extents(where, shape)[features - 1];
    const module = new KerasBatchNormalization(count, features, momentum, epsilon);
    return {
      module,
      onTrainable: (trainable) => {
        module.frozen = !trainable;
      },
      weights: [
        ...scaleSpecs(where, module.gamma, module.beta, options),
        {
          name: 'moving_mean',
          tensor: module.movingMean,
          trainable: false,
          initializer: getInitializer(`${where}: movingMeanInitializer`, movingMeanInitializer),
        },
        {
          name: 'moving_variance',
          tensor: module.movingVariance,
          trainable: false,
          initializer: getInitializer(`${where}: movingVarianceInitializer`, movingVarianceInitializer),
        },
      ],
    };
  });
  const epsilon = checkScale(where, options);
  const { momentum = 0.99 } = options;
  checkNumber(where, 'momentum', momentum, 0, 1);
  return layer;
}

export interface LayerNormalizationOptions extends ScaleOptions {
  /** the axes to normalise over, which must be the last ones; default −1 */
  readonly axis?: number | readonly number[];
}

/** Layer normalisation over the last axes (Ba, Kiros and Hinton, 2016). Weights gamma, beta. */
export function layerNormalization(options: LayerNormalizationOptions = {}): Layer {
  const where = 'layerNormalization';
  const layer = new BasicLayer(where, 'LayerNormalization', options, [...SCALE_OPTIONS, 'axis'], ([shape]) => {
    const { axis = -1 } = options;
    const axes = (typeof axis === 'number' ? [axis] : axis).map((a) => axisOf(where, a, shape)).sort((a, b) => a - b);
    const last = axes.every((a, i) => a === shape.length - axes.length + i);
    if (axes.length === 0 || !last) {
      throw new OptionError(
        `${where}: axis must name the last axes of ${formatKerasShape(shape)}, got ${JSON.stringify(axis)}; permute first`,
      );
    }
    const module = new LayerNorm(extents(where, shape).slice(-axes.length), { eps: epsilon });
    return { module, weights: scaleSpecs(where, module.weight as Tensor, module.bias as Tensor, options) };
  });
  const epsilon = checkScale(where, options);
  return layer;
}

export interface GroupNormalizationOptions extends ScaleOptions {
  /** default 32; −1 for one group per channel */
  readonly groups?: number;
  /** that of the channels: −1 (default), or 1 */
  readonly axis?: number;
}

/** Group normalisation (Wu and He, 2018). Weights gamma, beta. */
export function groupNormalization(options: GroupNormalizationOptions = {}): Layer {
  const where = 'groupNormalization';
  const known = [...SCALE_OPTIONS, 'groups', 'axis'];
  const layer = new BasicLayer(where, 'GroupNormalization', options, known, ([shape]) => {
    const { groups = 32, axis = -1 } = options;
    const channelAxis = axisOf(where, axis, shape);
    const channels = extents(where, shape)[channelAxis - 1];
    if (groups !== -1 && channels % groups !== 0) {
      throw new ShapeError(
        `${where}: ${channels} channels do not split into ${groups} groups: ${channels} = ${groups}·${Math.floor(channels / groups)} + ${channels % groups}`,
      );
    }
    const module = new GroupNorm(groups === -1 ? channels : groups, channels, { eps: epsilon });
    const weights = scaleSpecs(where, module.weight as Tensor, module.bias as Tensor, options);
    if (channelAxis === 1) return { module, weights };
    if (channelAxis === shape.length - 1) return { module: new ChannelsLast(module), weights };
    throw new OptionError(
      `${where}: the channels are axis 1 or the last one of ${formatKerasShape(shape)}, got ${axis}`,
    );
  });
  const epsilon = checkScale(where, options);
  if (options.groups !== -1) checkCount(where, 'groups', options.groups ?? 32);
  return layer;
}

export interface NormalizationOptions extends LayerOptions {
  /** the axes with statistics of their own; default −1, the last; `null` (or none) for one mean and variance of all elements */
  readonly axis?: number | readonly number[] | null;
  /** the statistics, one for all or one for each position of `axis`, row-major; default: weights, 0 and 1 until they are set */
  readonly mean?: number | readonly number[];
  readonly variance?: number | readonly number[];
  /** x · √variance + mean instead of (x − mean) / √variance; default false */
  readonly invert?: boolean;
}

/**
 * Shifts and scales inputs by the mean and the variance of the data, which training does not change. Weights mean, variance and the count of
 * examples, unless both are given.
 */
export function normalization(options: NormalizationOptions = {}): Layer {
  const where = 'normalization';
  const { axis = -1, mean, variance, invert = false } = options;
  const known = ['axis', 'mean', 'variance', 'invert'];
  const layer = new BasicLayer(where, 'Normalization', options, known, ([shape]) => {
    const axes = (axis === null ? [] : typeof axis === 'number' ? [axis] : axis).map((a) => axisOf(where, a, shape));
    const kept = extents(where, shape).map((extent, i) => (axes.includes(i + 1) ? extent : 1));
    const module = new KerasNormalization([1, ...kept], invert);
    if (mean !== undefined && variance !== undefined) {
      module.mean.write(statistics('mean', mean, module.mean.size));
      module.variance.write(statistics('variance', variance, module.variance.size));
      return { module };
    }
    const view = kept.filter((_, i) => axes.includes(i + 1));
    const weight = (name: string, tensor: Tensor): WeightSpec => ({ name, tensor, view, trainable: false });
    return {
      module,
      weights: [
        weight('mean', module.mean),
        weight('variance', module.variance),
        { name: 'count', tensor: module.count, trainable: false },
      ],
    };
  });
  checkBoolean(where, 'invert', invert);
  if ((mean === undefined) !== (variance === undefined)) {
    throw new OptionError(`${where}: mean and variance are given together, or none of them`);
  }
  return layer;
}

/** One number for each position. */
function statistics(name: string, given: number | readonly number[], size: number): Float32Array {
  const values = typeof given === 'number' ? [given] : given;
  if (values.length !== 1 && values.length !== size) {
    throw new ShapeError(`normalization: ${name} must be one number or ${size}, got ${values.length}`);
  }
  return Float32Array.from({ length: size }, (_, i) => values[values.length === 1 ? 0 : i]);
}
