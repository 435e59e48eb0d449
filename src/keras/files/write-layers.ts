/** Configurations of layers as Keras 3 and TensorFlow.js write them: the other direction of `layer-table.ts`, whose names of options it uses. */

import { Module } from '../../nn/module.js';
import { FileError } from '../../tensor/errors.js';
import { type ActivationIdentifier, identifierOf } from '../activations.js';
import { getInitializer, type Initializer, type InitializerName } from '../initializers.js';
import { Layer, type SymbolicTensor } from '../layer.js';
import { getRegularizer, type Regularizer, type RegularizerName } from '../regularizers.js';
import type { KerasShape } from '../shapes.js';
import type { Fields } from './json.js';
import { LAYER_CLASSES, optionsOfKeys } from './layer-table.js';
import { kerasActivation } from './serialized.js';

/** Who is to read a configuration. */
export type Dialect = 'keras' | 'tfjs';

/** A configuration on its way to a file. */
export interface Writing {
  readonly dialect: Dialect;
  /** What the file cannot hold, as sentences. */
  readonly notes: string[];
}

/** A key whose value the layer has been given. */
const GIVEN = Symbol('given');
/** As large as the window. */
const AS_POOL = Symbol('as the pool');

const BIASED = {
  activation: 'linear',
  use_bias: true,
  bias_initializer: 'zeros',
  bias_regularizer: null,
  activity_regularizer: null,
  bias_constraint: null,
};
const KERNEL = { ...BIASED, kernel_initializer: 'glorotUniform', kernel_regularizer: null, kernel_constraint: null };
const FORMAT = { data_format: 'channelsLast' };
const WINDOW = { kernel_size: GIVEN, strides: 1, padding: 'valid', dilation_rate: 1, ...FORMAT };
const CONV = { filters: GIVEN, ...WINDOW, groups: 1, ...KERNEL };
const CONV_TRANSPOSE = { filters: GIVEN, ...WINDOW, output_padding: null, ...KERNEL };
const DEPTHWISE = {
  ...WINDOW,
  depth_multiplier: 1,
  ...BIASED,
  depthwise_initializer: 'glorotUniform',
  depthwise_regularizer: null,
  depthwise_constraint: null,
};
const SEPARABLE = {
  filters: GIVEN,
  ...DEPTHWISE,
  pointwise_initializer: 'glorotUniform',
  pointwise_regularizer: null,
  pointwise_constraint: null,
};
const SCALE = {
  epsilon: 0.001,
  center: true,
  scale: true,
  beta_initializer: 'zeros',
  gamma_initializer: 'ones',
  beta_regularizer: null,
  gamma_regularizer: null,
  beta_constraint: null,
  gamma_constraint: null,
};
const RECURRENT = {
  units: GIVEN,
  ...KERNEL,
  activation: 'tanh',
  recurrent_initializer: 'orthogonal',
  recurrent_regularizer: null,
  recurrent_constraint: null,
  dropout: 0,
  recurrent_dropout: 0,
  return_sequences: false,
  return_state: false,
  go_backwards: false,
  stateful: false,
  unroll: false,
};
const POOL = { pool_size: 2, strides: AS_POOL, padding: 'valid', ...FORMAT };
const GLOBAL_POOL = { ...FORMAT, keepdims: false };
const CHANCE = { seed: null };
const DROPOUT = { rate: GIVEN, ...CHANCE };

/**
 * The keys of each class in Keras 3, with what stands for options that are not given: values of options where the table of readers has an option
 * for the key, and of the file for others.
 */
const CONFIGS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  Conv1D: CONV,
  Conv2D: CONV,
  Conv3D: CONV,
  Conv1DTranspose: CONV_TRANSPOSE,
  Conv2DTranspose: CONV_TRANSPOSE,
  Conv3DTranspose: CONV_TRANSPOSE,
  DepthwiseConv1D: DEPTHWISE,
  DepthwiseConv2D: DEPTHWISE,
  SeparableConv1D: SEPARABLE,
  SeparableConv2D: SEPARABLE,
  Dense: { units: GIVEN, ...KERNEL },
  Embedding: {
    input_dim: GIVEN,
    output_dim: GIVEN,
    embeddings_initializer: 'randomUniform',
    embeddings_regularizer: null,
    activity_regularizer: null,
    embeddings_constraint: null,
    mask_zero: false,
  },
  SimpleRNN: RECURRENT,
  LSTM: { ...RECURRENT, recurrent_activation: 'sigmoid', unit_forget_bias: true },
  GRU: { ...RECURRENT, recurrent_activation: 'sigmoid', reset_after: true },
  Bidirectional: { merge_mode: 'concat' },
  TimeDistributed: {},
  BatchNormalization: {
    axis: -1,
    momentum: 0.99,
    ...SCALE,
    moving_mean_initializer: 'zeros',
    moving_variance_initializer: 'ones',
    synchronized: false,
  },
  LayerNormalization: { axis: -1, ...SCALE, rms_scaling: false },
  GroupNormalization: { groups: 32, axis: -1, ...SCALE },
  Normalization: { axis: -1, mean: null, variance: null, invert: false },
  Activation: { activation: GIVEN },
  ReLU: { max_value: null, negative_slope: 0, threshold: 0 },
  LeakyReLU: { negative_slope: 0.3 },
  ELU: { alpha: 1 },
  Softmax: { axis: -1 },
  PReLU: { alpha_initializer: 'zeros', alpha_regularizer: null, alpha_constraint: null, shared_axes: null },
  Dropout: { ...DROPOUT, noise_shape: null },
  SpatialDropout1D: DROPOUT,
  SpatialDropout2D: { ...DROPOUT, ...FORMAT },
  SpatialDropout3D: { ...DROPOUT, ...FORMAT },
  GaussianNoise: { stddev: GIVEN, ...CHANCE },
  Identity: {},
  MaxPooling1D: POOL,
  MaxPooling2D: POOL,
  MaxPooling3D: POOL,
  AveragePooling1D: POOL,
  AveragePooling2D: POOL,
  AveragePooling3D: POOL,
  GlobalMaxPooling1D: GLOBAL_POOL,
  GlobalMaxPooling2D: GLOBAL_POOL,
  GlobalMaxPooling3D: GLOBAL_POOL,
  GlobalAveragePooling1D: GLOBAL_POOL,
  GlobalAveragePooling2D: GLOBAL_POOL,
  GlobalAveragePooling3D: GLOBAL_POOL,
  Flatten: FORMAT,
  Reshape: { target_shape: GIVEN },
  Permute: { dims: GIVEN },
  RepeatVector: { n: GIVEN },
  ZeroPadding1D: { padding: 1, ...FORMAT },
  ZeroPadding2D: { padding: 1, ...FORMAT },
  ZeroPadding3D: { padding: 1, ...FORMAT },
  Cropping1D: { cropping: 1 },
  Cropping2D: { cropping: 0, ...FORMAT },
  Cropping3D: { cropping: 1, ...FORMAT },
  UpSampling1D: { size: 2 },
  UpSampling2D: { size: 2, interpolation: 'nearest', ...FORMAT },
  UpSampling3D: { size: 2, ...FORMAT },
  Rescaling: { scale: GIVEN, offset: 0 },
  Resizing: {
    height: GIVEN,
    width: GIVEN,
    interpolation: 'bilinear',
    crop_to_aspect_ratio: false,
    pad_to_aspect_ratio: false,
    fill_mode: 'constant',
    fill_value: 0,
    antialias: false,
    ...FORMAT,
  },
  Add: {},
  Subtract: {},
  Multiply: {},
  Average: {},
  Maximum: {},
  Minimum: {},
  Concatenate: { axis: -1 },
  Dot: { axes: GIVEN, normalize: false },
};

/** Layers that Keras 3 no longer has, and those that TensorFlow.js has not. */
const MISSING: Readonly<Record<Dialect, RegExp>> = {
  keras: /^(ThresholdedReLU|BatchNormalizationV1)$/,
  tfjs: /^(Conv1DTranspose|DepthwiseConv1D|SeparableConv1D|GroupNormalization|Normalization|Identity|Global\w+3D|Resizing|(ZeroPadding|Cropping|UpSampling)[13]D|SpatialDropout[23]D|Subtract|BatchNormalizationV1)$/,
};
const READERS: Readonly<Record<Dialect, string>> = { keras: 'Keras 3', tfjs: 'TensorFlow.js' };

/** Values that TensorFlow.js ignores or refuses: all but these. */
const TFJS_ONLY: Readonly<Record<string, Readonly<Record<string, readonly unknown[]>>>> = {
  Conv1D: { groups: [1], padding: ['valid', 'same'] },
  Conv2D: { groups: [1] },
  Conv3D: { groups: [1] },
  Conv2DTranspose: { output_padding: [null], dilation_rate: [1] },
  Conv3DTranspose: { output_padding: [null], dilation_rate: [1] },
  GRU: { reset_after: [false] },
  ReLU: { negative_slope: [0], threshold: [0] },
  UpSampling2D: { interpolation: ['nearest'] },
  GlobalMaxPooling1D: { keepdims: [false] },
  GlobalMaxPooling2D: { keepdims: [false] },
  GlobalAveragePooling1D: { keepdims: [false] },
  GlobalAveragePooling2D: { keepdims: [false] },
};
/** Keys that TensorFlow.js names otherwise. */
const TFJS_KEYS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  LeakyReLU: { negative_slope: 'alpha' },
  ThresholdedReLU: {},
};
/** Of layers that only TensorFlow.js has. */
const TFJS_CONFIGS: typeof CONFIGS = { ThresholdedReLU: { theta: 1 } };

/** Options that say nothing of what the layer does. */
const ELSEWHERE = [
  'name',
  'trainable',
  'inputShape',
  'batchInputShape',
  'dtype',
  'inputLength',
  'layer',
  'backwardLayer',
];

const POLICY = object('keras', 'DTypePolicy', { name: 'float32' });

/** An object as Keras 3 serialises it. */
export function object(module: string, className: string, config: Fields): Fields {
  return { module, class_name: className, config, registered_name: null };
}

/** An object in the dialect. */
function serialize({ dialect }: Writing, module: string, className: string, config: Fields): Fields {
  return dialect === 'keras' ? object(module, className, config) : { class_name: className, config };
}

/**
 * A layer that is no model, as { class_name, config }, with `build_config` for Keras 3.
 *
 * @throws FileError for what the dialect cannot say
 */
export function writeLayer(writing: Writing, layer: Layer): Fields {
  const { dialect } = writing;
  const { className } = layer;
  const where = `layer "${layer.name}" (${className})`;
  const keys = CONFIGS[className] ?? TFJS_CONFIGS[className];
  if (keys === undefined || MISSING[dialect].test(className)) {
    const advice =
      keys === undefined || dialect === 'keras' ? 'put others in its place' : 'save the model as .keras, or without it';
    throw new FileError(`${where}: ${READERS[dialect]} has no such layer; ${advice}`);
  }
  const config: Record<string, unknown> = {
    name: layer.name,
    // Keras's layers of this kind do not take it.
    ...(dialect === 'keras' && className.startsWith('SpatialDropout') ? {} : { trainable: layer.trainable }),
    ...(dialect === 'keras' ? { dtype: POLICY } : { dtype: 'float32' }),
  };
  const given = layer.options as Readonly<Record<string, unknown>>;
  const options = optionsOfKeys(className) ?? {};
  const used = new Set(ELSEWHERE);
  for (const [key, usual] of Object.entries(keys)) {
    const option = options[key] ?? camelCase(key);
    used.add(option);
    const value = given[option] ?? (option === 'axis' && given.axis === null ? null : usual);
    const at = `${where}: ${option}`;
    const resolved = value === AS_POOL ? (given.poolSize ?? keys.pool_size) : value;
    checkTfjs(writing, layer, key, resolved);
    config[(dialect === 'tfjs' && TFJS_KEYS[className]?.[key]) || key] = writeValue(writing, layer, at, key, resolved);
  }
  const unwritten = Object.keys(given).find((option) => given[option] !== undefined && !used.has(option));
  if (unwritten !== undefined) {
    throw new FileError(`${where}: ${READERS[dialect]} has no option that stands for ${unwritten}`);
  }
  for (const [key, inner] of Object.entries(layer.inner)) Object.assign(config, writeInner(writing, layer, key, inner));
  const written = serialize(writing, 'keras.layers', className, config);
  return dialect === 'keras' ? { ...written, build_config: { input_shape: layer.inputShape } } : written;
}

/** A layer within another, under its key. TensorFlow.js makes the second direction of the first one, and names both. */
function writeInner(writing: Writing, owner: Layer, key: string, inner: Layer): Fields {
  if (key === 'layer') return { layer: writeLayer(writing, inner) };
  if (writing.dialect === 'keras') return { [key === 'forward_layer' ? 'layer' : key]: writeLayer(writing, inner) };
  if ((owner.options as Fields).backwardLayer !== undefined) {
    throw new FileError(
      `layer "${owner.name}" (${owner.className}): TensorFlow.js knows no backwardLayer; save the model as .keras`,
    );
  }
  if (key !== 'forward_layer') return {};
  const { config, ...written } = writeLayer(writing, inner);
  return { layer: { ...written, config: { ...(config as Fields), name: inner.name.replace(/^forward_/, '') } } };
}

function checkTfjs({ dialect }: Writing, layer: Layer, key: string, value: unknown): void {
  if (dialect !== 'tfjs') return;
  const known = TFJS_ONLY[layer.className]?.[key];
  const same = known?.some((one) => (Array.isArray(value) ? value.every((v) => v === one) : value === one));
  const last = (layer.inputShape as KerasShape).length - 1;
  const axis = layer.className !== 'Softmax' || key !== 'axis' || value === -1 || value === last;
  if (same !== false && axis) return;
  throw new FileError(
    `layer "${layer.name}" (${layer.className}): ${key} = ${JSON.stringify(value)} is not done by TensorFlow.js; save the model as .keras`,
  );
}

function writeValue(writing: Writing, layer: Layer, where: string, key: string, value: unknown): unknown {
  if (value === GIVEN) throw new FileError(`${where}: is missing`);
  const rank = Number(/(\d)D/.exec(layer.className)?.[1] ?? 0);
  switch (key) {
    case 'activation':
    case 'recurrent_activation':
      return writeActivation(writing, where, value);
    case 'data_format':
      return value === 'channelsFirst' ? 'channels_first' : 'channels_last';
    case 'kernel_size':
    case 'dilation_rate':
    case 'pool_size':
    case 'strides':
      return perAxis(value, rank);
    case 'output_padding':
      return value === null ? null : perAxis(value, rank);
    case 'size':
      // One number for sequences.
      return rank === 1 ? perAxis(value, rank)[0] : perAxis(value, rank);
    case 'padding':
    case 'cropping':
      return typeof value === 'string' ? value : sides(value, rank);
    case 'shared_axes':
      return typeof value === 'number' ? [value] : value;
    case 'target_shape':
      return (value as readonly (number | null)[]).map((extent) => extent ?? -1);
  }
  if (key.endsWith('_regularizer')) return writeRegularizer(writing, where, value);
  if (key.endsWith('_initializer')) return writeInitializer(writing, where, value);
  return value;
}

function camelCase(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function perAxis(value: unknown, rank: number): number[] {
  return typeof value === 'number' ? new Array<number>(rank).fill(value) : [...(value as number[])];
}

/** A pair for each axis, or the only one. */
function sides(value: unknown, rank: number): unknown {
  const list = perAxis(value, rank) as unknown[];
  const own = rank === 1 && list.length === 2 ? [list] : list;
  const pairs = own.map((side) => (Array.isArray(side) ? side : [side, side]));
  return rank === 1 ? pairs[0] : pairs;
}

function writeActivation(writing: Writing, where: string, value: unknown): unknown {
  if (value instanceof Layer) {
    const { build_config, ...layer } = writeLayer(writing, value);
    if (writing.dialect === 'keras') return layer;
    throw new FileError(`${where}: TensorFlow.js has no layers as activations; put it behind the layer`);
  }
  const name = value instanceof Module ? identifierOf(value) : (value as ActivationIdentifier);
  if (name === undefined) {
    throw new FileError(`${where}: the module ${(value as Module).type} is none of Keras's activations`);
  }
  const known = kerasActivation(name, writing.dialect);
  if (known !== undefined) return known;
  throw new FileError(`${where}: ${READERS[writing.dialect]} has no activation that computes ${name}`);
}

function writeRegularizer(writing: Writing, where: string, value: unknown): unknown {
  const regularizer = getRegularizer(where, (value ?? undefined) as RegularizerName | Regularizer | undefined);
  if (regularizer === undefined) return null;
  return serialize(writing, 'keras.regularizers', 'L1L2', { ...regularizer });
}

/** How weights began does not change the model: what cannot be said is a note. */
function writeInitializer(writing: Writing, where: string, value: unknown): unknown {
  const { className, config } = getInitializer(where, value as InitializerName | Initializer);
  if (config === undefined) {
    writing.notes.push(
      `${where} (${className}) is none of Keras's; GlorotUniform stands in its place, the weights are as they are`,
    );
    return serialize(writing, 'keras.initializers', 'GlorotUniform', { seed: null });
  }
  if (writing.dialect === 'keras') {
    return serialize(writing, 'keras.initializers', className.replace('LeCun', 'Lecun'), config);
  }
  const { distribution, ...rest } = config;
  const named =
    distribution === undefined ? rest : { ...rest, distribution: String(distribution).replace('truncated_', '') };
  return serialize(writing, 'keras.initializers', className, named);
}

/** What stands for the tensors in files of Keras 3. */
export function kerasTensor(tensor: SymbolicTensor, history: readonly [string, number, number]): Fields {
  const { shape, dtype } = tensor;
  return { class_name: '__keras_tensor__', config: { shape, dtype, keras_history: history } };
}

/** Classes that can be written for somebody. */
export const WRITTEN_CLASSES: readonly string[] = LAYER_CLASSES.filter(
  (name) => CONFIGS[name] !== undefined || TFJS_CONFIGS[name] !== undefined,
);
