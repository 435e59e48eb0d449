import { FileError, GaborError } from '../../tensor/errors.js';
import { sizeOf } from '../../tensor/shape.js';
import type { Activation } from '../activations.js';
import type { Layer } from '../layer.js';
import * as layers from '../layers/index.js';
import type { KerasShape } from '../shapes.js';
import { type Fields, show } from './json.js';
import {
  activationName,
  type Place,
  plain,
  type Reader,
  readAxis,
  readDataFormat,
  readDType,
  readRegularizer,
  readShape,
  serialized,
} from './serialized.js';

/** Options of a layer, as its factory takes them. */
export type LayerOptionValues = Readonly<Record<string, unknown>>;

/** How one of Keras's classes becomes a layer. */
interface LayerRow {
  readonly make: (options: never) => Layer;
  /** Keys of the configuration: the option and how its value is read. */
  readonly keys: Readonly<Record<string, readonly [option: string, read: Reader]>>;
  /** Keys that change nothing as long as they have one of these values; a key without values never changes anything. */
  readonly neutral?: Readonly<Record<string, readonly unknown[] | undefined>>;
  /** At least so many numbers are in the weights. */
  readonly size?: (options: LayerOptionValues, inputs: readonly KerasShape[]) => number;
}

/** Keys of every layer that are read elsewhere, or change nothing. */
const COMMON: Readonly<Record<string, readonly unknown[] | undefined>> = {
  name: undefined,
  trainable: undefined,
  dtype: undefined,
  batch_input_shape: undefined,
  batch_shape: undefined,
  input_shape: undefined,
  input_dtype: undefined,
  /** Where random numbers come from is Gabor's own. */
  seed: undefined,
  autocast: undefined,
  lora_rank: [null],
  lora_alpha: undefined,
  quantization_config: [null],
  quantization_mode: [null],
};

const same = (option: string): readonly [string, Reader] => [option, plain];
const regularizer = (option: string): readonly [string, Reader] => [option, readRegularizer];

const DATA_FORMAT = { data_format: ['dataFormat', readDataFormat] } as const;
const ACTIVATION = { activation: ['activation', readActivation] } as const;
const BIASED = {
  ...ACTIVATION,
  use_bias: same('useBias'),
  bias_regularizer: regularizer('biasRegularizer'),
  activity_regularizer: regularizer('activityRegularizer'),
};
const KERNEL = { ...BIASED, kernel_regularizer: regularizer('kernelRegularizer') };
const WINDOW = {
  kernel_size: same('kernelSize'),
  strides: same('strides'),
  padding: same('padding'),
  dilation_rate: same('dilationRate'),
  ...DATA_FORMAT,
};
const DEPTHWISE = {
  ...BIASED,
  ...WINDOW,
  depth_multiplier: same('depthMultiplier'),
  depthwise_regularizer: regularizer('depthwiseRegularizer'),
};
const SCALE = {
  epsilon: same('epsilon'),
  center: same('center'),
  scale: same('scale'),
  beta_regularizer: regularizer('betaRegularizer'),
  gamma_regularizer: regularizer('gammaRegularizer'),
};
/** Written by Keras 2 for every convolution, whether it has such a kernel or not. */
const NO_KERNEL = { kernel_regularizer: undefined, kernel_constraint: undefined, groups: [1, null] };

const numbers = (value: unknown): number => (Array.isArray(value) ? sizeOf(value as number[]) : Number(value));

/** The extents of the channels, and of the kernel with all its taps. */
function window(options: LayerOptionValues, [shape]: readonly KerasShape[]): { channels: number; taps: number } {
  const channels = Number(options.dataFormat === 'channelsFirst' ? shape[1] : shape.at(-1));
  const rank = shape.length - 2;
  const { kernelSize } = options;
  return { channels, taps: Array.isArray(kernelSize) ? numbers(kernelSize) : Number(kernelSize) ** rank };
}

function convSize(options: LayerOptionValues, inputs: readonly KerasShape[]): number {
  const { channels, taps } = window(options, inputs);
  return (taps * channels * Number(options.filters)) / Number(options.groups ?? 1);
}

function depthwiseSize(options: LayerOptionValues, inputs: readonly KerasShape[]): number {
  const { channels, taps } = window(options, inputs);
  const multiplied = channels * Number(options.depthMultiplier ?? 1);
  return multiplied * (taps + Number(options.filters ?? 0));
}

/** Weights along some axes of the input. */
function alongAxes({ axis = -1 }: LayerOptionValues, [shape]: readonly KerasShape[]): number {
  if (axis === null) return 1;
  const axes = (Array.isArray(axis) ? axis : [axis]) as number[];
  return axes.reduce((product, a) => product * Number(shape.at(a) ?? 1), 1);
}

const conv = (make: LayerRow['make']): LayerRow => ({
  make,
  keys: { ...KERNEL, ...WINDOW, filters: same('filters'), groups: same('groups') },
  size: convSize,
});
const convTranspose = (make: LayerRow['make']): LayerRow => ({
  make,
  keys: { ...KERNEL, ...WINDOW, filters: same('filters'), output_padding: same('outputPadding') },
  neutral: { groups: [1, null] },
  size: convSize,
});
const depthwise = (make: LayerRow['make']): LayerRow => ({
  make,
  keys: DEPTHWISE,
  neutral: { ...NO_KERNEL, filters: undefined, rank: undefined },
  size: depthwiseSize,
});
const separable = (make: LayerRow['make']): LayerRow => ({
  make,
  keys: {
    ...DEPTHWISE,
    filters: same('filters'),
    pointwise_regularizer: regularizer('pointwiseRegularizer'),
  },
  neutral: { ...NO_KERNEL, rank: undefined },
  size: depthwiseSize,
});
const pooling = (make: LayerRow['make']): LayerRow => ({
  make,
  keys: { pool_size: same('poolSize'), strides: same('strides'), padding: same('padding'), ...DATA_FORMAT },
});
const globalPooling = (make: LayerRow['make']): LayerRow => ({
  make,
  keys: { ...DATA_FORMAT, keepdims: same('keepDims'), keep_dims: same('keepDims') },
});
const formatted = (make: LayerRow['make'], keys: LayerRow['keys'] = {}): LayerRow => ({
  make,
  keys: { ...DATA_FORMAT, ...keys },
});
const simple = (make: LayerRow['make'], keys: LayerRow['keys'] = {}): LayerRow => ({ make, keys });

/** Keys of every recurrent layer. Without masks some change nothing; others are how it is computed. */
const RECURRENT: Pick<LayerRow, 'keys' | 'neutral'> = {
  keys: {
    ...KERNEL,
    units: same('units'),
    recurrent_activation: ['recurrentActivation', readActivation],
    recurrent_regularizer: regularizer('recurrentRegularizer'),
    dropout: same('dropout'),
    return_sequences: same('returnSequences'),
    go_backwards: same('goBackwards'),
    reset_after: same('resetAfter'),
    unit_forget_bias: same('unitForgetBias'),
  },
  neutral: {
    implementation: undefined,
    unroll: undefined,
    use_cudnn: undefined,
    zero_output_for_mask: undefined,
    recurrent_dropout: [0, null],
    return_state: [false, null],
    stateful: [false, null],
    time_major: [false, null],
  },
};
const recurrent = (make: LayerRow['make'], gates: number, others: readonly string[]): LayerRow => {
  const keys = Object.entries(RECURRENT.keys).filter(([key]) => !others.includes(key));
  return {
    ...RECURRENT,
    make,
    keys: Object.fromEntries(keys),
    size: ({ units }, [shape]) => gates * Number(units) * (Number(units) + Number(shape.at(-1))),
  };
};

/** How many numbers are at least in the weights of layers within others. */
const innerSizes = new WeakMap<object, MadeLayer['size']>();

function innerSize(layer: unknown, inputs: readonly KerasShape[]): number {
  return innerSizes.get(layer as object)?.(inputs) ?? 0;
}

const BATCH_NORMALIZATION: LayerRow = {
  make: layers.batchNormalization,
  keys: { ...SCALE, axis: ['axis', readAxis], momentum: same('momentum') },
  neutral: {
    renorm: [false, null],
    renorm_clipping: undefined,
    renorm_momentum: undefined,
    virtual_batch_size: [null],
    adjustment: [null],
    fused: undefined,
    synchronized: [false, null],
  },
  size: alongAxes,
};

const LAYERS: Readonly<Record<string, LayerRow>> = {
  Conv1D: conv(layers.conv1d),
  Conv2D: conv(layers.conv2d),
  Conv3D: conv(layers.conv3d),
  Conv1DTranspose: convTranspose(layers.conv1dTranspose),
  Conv2DTranspose: convTranspose(layers.conv2dTranspose),
  Conv3DTranspose: convTranspose(layers.conv3dTranspose),
  DepthwiseConv1D: depthwise(layers.depthwiseConv1d),
  DepthwiseConv2D: depthwise(layers.depthwiseConv2d),
  SeparableConv1D: separable(layers.separableConv1d),
  SeparableConv2D: separable(layers.separableConv2d),
  Dense: {
    make: layers.dense,
    keys: { ...KERNEL, units: same('units') },
    size: ({ units }, [shape]) => Number(units) * Number(shape.at(-1)),
  },
  Embedding: {
    make: layers.embedding,
    keys: {
      input_dim: same('inputDim'),
      output_dim: same('outputDim'),
      input_length: same('inputLength'),
      embeddings_regularizer: regularizer('embeddingsRegularizer'),
      activity_regularizer: regularizer('activityRegularizer'),
    },
    neutral: { mask_zero: [false, null], sparse: undefined },
    size: ({ inputDim, outputDim }) => Number(inputDim) * Number(outputDim),
  },

  SimpleRNN: recurrent(layers.simpleRNN, 1, ['recurrent_activation', 'reset_after', 'unit_forget_bias']),
  LSTM: recurrent(layers.lstm, 4, ['reset_after']),
  /** Files without the key are older than it. */
  GRU: recurrent((options: layers.GRUOptions) => layers.gru({ resetAfter: false, ...options }), 3, [
    'unit_forget_bias',
  ]),
  Bidirectional: {
    make: layers.bidirectional,
    keys: {
      layer: ['layer', readLayer],
      backward_layer: ['backwardLayer', readLayer],
      merge_mode: ['mergeMode', readMergeMode],
    },
    size: ({ layer }, inputs) => 2 * innerSize(layer, inputs),
  },
  TimeDistributed: {
    make: layers.timeDistributed,
    keys: { layer: ['layer', readLayer] },
    size: ({ layer }, [shape]) => innerSize(layer, [[null, ...shape.slice(2)]]),
  },

  BatchNormalization: BATCH_NORMALIZATION,
  /** in TensorFlow 1 */
  BatchNormalizationV1: BATCH_NORMALIZATION,
  LayerNormalization: {
    make: layers.layerNormalization,
    keys: { ...SCALE, axis: same('axis') },
    neutral: { rms_scaling: [false, null] },
    size: alongAxes,
  },
  GroupNormalization: {
    make: layers.groupNormalization,
    keys: { ...SCALE, groups: same('groups'), axis: ['axis', readAxis] },
    size: alongAxes,
  },
  Normalization: {
    make: layers.normalization,
    keys: {
      axis: ['axis', (_, value) => value],
      mean: ['mean', readNumbers],
      variance: ['variance', readNumbers],
      invert: same('invert'),
    },
    size: alongAxes,
  },

  Activation: simple(layers.activation, ACTIVATION),
  ReLU: simple(layers.reLU, {
    max_value: ['maxValue', readNumber],
    negative_slope: ['negativeSlope', readNumber],
    threshold: ['threshold', readNumber],
  }),
  LeakyReLU: simple(layers.leakyReLU, { alpha: ['alpha', readNumber], negative_slope: ['alpha', readNumber] }),
  ELU: simple(layers.elu, { alpha: ['alpha', readNumber] }),
  ThresholdedReLU: simple(layers.thresholdedReLU, { theta: ['theta', readNumber] }),
  Softmax: simple(layers.softmax, { axis: ['axis', readAxis] }),
  PReLU: {
    make: layers.prelu,
    keys: { alpha_regularizer: regularizer('alphaRegularizer'), shared_axes: same('sharedAxes') },
    size({ sharedAxes = [] }, [shape]) {
      const shared = Array.isArray(sharedAxes) ? sharedAxes : [sharedAxes];
      return shape.reduce<number>(
        (size, n, axis) => (axis === 0 || shared.includes(axis) ? size : size * Number(n)),
        1,
      );
    },
  },

  Dropout: { make: layers.dropout, keys: { rate: same('rate') }, neutral: { noise_shape: [null] } },
  SpatialDropout1D: { make: layers.spatialDropout1d, keys: { rate: same('rate') }, neutral: { noise_shape: [null] } },
  SpatialDropout2D: {
    make: layers.spatialDropout2d,
    keys: { rate: same('rate'), ...DATA_FORMAT },
    neutral: { noise_shape: [null] },
  },
  SpatialDropout3D: {
    make: layers.spatialDropout3d,
    keys: { rate: same('rate'), ...DATA_FORMAT },
    neutral: { noise_shape: [null] },
  },
  GaussianNoise: simple(layers.gaussianNoise, { stddev: same('stddev') }),
  Identity: simple(layers.identity),

  MaxPooling1D: pooling(layers.maxPooling1d),
  MaxPooling2D: pooling(layers.maxPooling2d),
  MaxPooling3D: pooling(layers.maxPooling3d),
  AveragePooling1D: pooling(layers.averagePooling1d),
  AveragePooling2D: pooling(layers.averagePooling2d),
  AveragePooling3D: pooling(layers.averagePooling3d),
  GlobalMaxPooling1D: globalPooling(layers.globalMaxPooling1d),
  GlobalMaxPooling2D: globalPooling(layers.globalMaxPooling2d),
  GlobalMaxPooling3D: globalPooling(layers.globalMaxPooling3d),
  GlobalAveragePooling1D: globalPooling(layers.globalAveragePooling1d),
  GlobalAveragePooling2D: globalPooling(layers.globalAveragePooling2d),
  GlobalAveragePooling3D: globalPooling(layers.globalAveragePooling3d),

  Flatten: formatted(layers.flatten),
  Reshape: simple(layers.reshape, { target_shape: same('targetShape') }),
  Permute: simple(layers.permute, { dims: same('dims') }),
  RepeatVector: simple(layers.repeatVector, { n: same('n') }),
  ZeroPadding1D: formatted(layers.zeroPadding1d, { padding: same('padding') }),
  ZeroPadding2D: formatted(layers.zeroPadding2d, { padding: same('padding') }),
  ZeroPadding3D: formatted(layers.zeroPadding3d, { padding: same('padding') }),
  Cropping1D: formatted(layers.cropping1d, { cropping: same('cropping') }),
  Cropping2D: formatted(layers.cropping2d, { cropping: same('cropping') }),
  Cropping3D: formatted(layers.cropping3d, { cropping: same('cropping') }),
  UpSampling1D: simple(layers.upSampling1d, { size: same('size') }),
  UpSampling2D: formatted(layers.upSampling2d, { size: same('size'), interpolation: same('interpolation') }),
  UpSampling3D: formatted(layers.upSampling3d, { size: same('size') }),
  Rescaling: simple(layers.rescaling, { scale: ['scale', readNumber], offset: ['offset', readNumber] }),
  Resizing: {
    make: layers.resizing,
    keys: { ...DATA_FORMAT, height: same('height'), width: same('width'), interpolation: same('interpolation') },
    neutral: {
      crop_to_aspect_ratio: [false, null],
      pad_to_aspect_ratio: [false, null],
      antialias: [false, null],
      fill_mode: undefined,
      fill_value: undefined,
    },
  },

  Add: simple(layers.add),
  Subtract: simple(layers.subtract),
  Multiply: simple(layers.multiply),
  Average: simple(layers.average),
  Maximum: simple(layers.maximum),
  Minimum: simple(layers.minimum),
  Concatenate: simple(layers.concatenate, { axis: same('axis') }),
  Dot: simple(layers.dot, { axes: same('axes'), normalize: same('normalize') }),
};

/** What can be done about layers that are not in the table. */
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [/Lambda$/, 'it stands for Python code, which is never run here; in Keras, put layers in its place and save again'],
  [
    /^Random|^(AutoContrast|MixUp|CutMix|RandAugment|AugMix)$/,
    'it changes images at random in training; in Keras, save the model without it, and augment the data with BatchLoader',
  ],
  [/^Masking$/, 'steps cannot be masked here'],
  [/^CuDNN/, 'it has other weights; in Keras 2, load it into LSTM or GRU, and save again'],
  [
    /RNN$|LSTM|Attention/,
    'attention, and recurrent layers but SimpleRNN, LSTM and GRU, are not among the layers of gabor/keras',
  ],
  [
    /^(Sequential|Functional|Model)$/,
    'models within TimeDistributed are not read; in Keras, put each of its layers into a TimeDistributed of its own, and save again',
  ],
];

function unknownLayer(where: string, className: string): FileError {
  const advice =
    ADVICE.find(([pattern]) => pattern.test(className))?.[1] ??
    `known ones are ${Object.keys(LAYERS).join(', ')}. With a custom layer, build the model with gabor/keras and take the weights alone: model.loadWeights(path)`;
  return new FileError(`${where}: there is no layer ${className} here; ${advice}`);
}

/** A layer of a file: made, but not built. */
export interface MadeLayer {
  readonly layer: Layer;
  /** At least so many numbers are in its weights for inputs of these shapes. */
  size(inputs: readonly KerasShape[]): number;
}

/** The options that stand for the keys of a class's configuration; undefined for an unknown class. */
export function optionsOfKeys(className: string): Readonly<Record<string, string>> | undefined {
  if (!Object.hasOwn(LAYERS, className)) return undefined;
  return Object.fromEntries(Object.entries(LAYERS[className].keys).map(([key, [option]]) => [key, option]));
}

/** All classes that are known. */
export const LAYER_CLASSES: readonly string[] = Object.keys(LAYERS);

export interface LayerReading {
  readonly where: string;
  readonly version: number;
  /** Leave out constraints of weights. */
  readonly ignoreConstraints: boolean;
}

/**
 * The layer of a class with this configuration.
 *
 * @param name of the layer; default: the next one of its kind
 * @throws FileError for an unknown class, and for what the layer cannot do
 */
export function makeLayer(reading: LayerReading, className: string, config: Fields, name?: string): MadeLayer {
  const { where } = reading;
  if (!Object.hasOwn(LAYERS, className)) throw unknownLayer(where, className);
  const row = LAYERS[className];
  const options: Record<string, unknown> = { ...(name === undefined ? {} : { name }) };
  if (config.trainable !== undefined && config.trainable !== null) options.trainable = config.trainable === true;
  const dtype = readDType({ ...reading, where: `${where}, dtype` }, config.dtype);
  if (dtype === 'int32' && className !== 'Embedding') {
    throw new FileError(`${where}: computes with the dtype ${show(config.dtype)}; layers compute with floats`);
  }
  const batchInputShape = readShape({ ...reading, where: `${where}, batch_input_shape` }, config.batch_input_shape);
  if (batchInputShape !== undefined) options.batchInputShape = batchInputShape;
  for (const [key, value] of Object.entries(config)) {
    if (Object.hasOwn(row.keys, key)) {
      const [option, read] = row.keys[key];
      const known = read({ ...reading, where: `${where}, ${key}` }, value);
      if (known !== undefined) options[option] = known;
    } else checkUnread(reading, row, key, value);
  }
  const layer = fromFile(where, () => row.make(options as never));
  return { layer, size: (inputs) => row.size?.(options, inputs) || 0 };
}

/** Throws for a key that nobody reads, unless it changes nothing. */
function checkUnread(reading: LayerReading, row: LayerRow, key: string, value: unknown): void {
  // The weights are in the file; how they began does not matter.
  if (value === null || value === undefined || key.endsWith('_initializer')) return;
  const { where } = reading;
  const neutral = { ...COMMON, ...row.neutral };
  if (Object.hasOwn(neutral, key)) {
    const values = neutral[key];
    if (values === undefined || values.includes(value)) return;
    throw new FileError(
      `${where}: ${key} = ${show(value)} cannot be done here; it can be ${values.map(show).join(' or ')}`,
    );
  }
  if (key.endsWith('_constraint')) {
    if (reading.ignoreConstraints) return;
    throw new FileError(
      `${where}: ${key} = ${show(value)}: weights are not constrained in training here; to predict, or to train without, load with { ignoreConstraints: true }`,
    );
  }
  throw new FileError(`${where}: the option ${key} = ${show(value)} is not known`);
}

/** Runs what a file describes; what goes wrong there is the file's. */
export function fromFile<T>(where: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (error instanceof FileError) throw error;
    // TypeError: values of other types than expected. RangeError: more memory than there can be.
    if (!(error instanceof GaborError || error instanceof TypeError || error instanceof RangeError)) throw error;
    throw new FileError(`${where}: ${error.message}`, { cause: error });
  }
}

/** By name, or a layer without weights that stands for one. */
function readActivation(place: Place, value: unknown): Activation | undefined {
  if (value === null || value === undefined) return undefined;
  const object = serialized(value);
  if (object === undefined || typeof value === 'string' || !Object.hasOwn(LAYERS, object.className)) {
    const name = object?.className === 'function' ? (value as Fields).config : object?.className;
    return activationName(place, name ?? value);
  }
  const reading = { ...place, ignoreConstraints: true };
  const { layer, size } = makeLayer(reading, object.className, object.config, ownName(object.config));
  const shapes = [[null, 1]];
  if (size(shapes) > 0) throw new FileError(`${place.where}: ${object.className} has weights; an activation has none`);
  return layer;
}

/** The name in a configuration, if it is one. */
function ownName({ name }: Fields): string | undefined {
  return typeof name === 'string' && name !== '' && !name.includes('.') ? name : undefined;
}

/** A layer within another. */
function readLayer(place: Place, value: unknown): Layer | undefined {
  if (value === null || value === undefined) return undefined;
  const object = serialized(value);
  if (object === undefined || typeof value === 'string') {
    throw new FileError(`${place.where}: must be a layer, got ${show(value)}`);
  }
  const { layer, size } = makeLayer(place as LayerReading, object.className, object.config, ownName(object.config));
  innerSizes.set(layer, size);
  return layer;
}

function readMergeMode({ where }: Place, value: unknown): unknown {
  if (value !== null && value !== undefined) return value;
  throw new FileError(`${where}: both directions as outputs of their own cannot be done here; merge them`);
}

/** Numbers that Keras may have written as an array of NumPy. */
function readNumber({ where }: Place, value: unknown): number | undefined {
  if (value === null || value === undefined) return undefined;
  const flat = flatNumbers(value);
  if (flat?.length === 1) return flat[0];
  throw new FileError(`${where}: must be one number, got ${show(value)}`);
}

function readNumbers({ where }: Place, value: unknown): number[] | undefined {
  if (value === null || value === undefined) return undefined;
  const flat = flatNumbers(value);
  if (flat !== undefined) return flat;
  throw new FileError(`${where}: must be numbers, got ${show(value)}`);
}

function flatNumbers(value: unknown): number[] | undefined {
  if (typeof value === 'number') return [value];
  if (Array.isArray(value)) {
    const flat = value.flat(8);
    return flat.every((n) => typeof n === 'number') ? flat : undefined;
  }
  // { class_name: '__numpy__', config: { value: … } }
  const inner = serialized(value)?.config.value;
  return typeof inner === 'number' || Array.isArray(inner) ? flatNumbers(inner) : undefined;
}
