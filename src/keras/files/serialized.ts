/**
 * Values of Keras's configurations. Objects (activations, regularizers, policies of dtypes, …) are serialised in two dialects, as
 * { class_name, config } by Keras 2 and TensorFlow.js, and with module and registered_name beside that by Keras 3, or as a name alone.
 */
import { FileError } from '../../tensor/errors.js';
import type { ActivationIdentifier } from '../activations.js';
import type { KerasDType } from '../layer.js';
import { l1, l1l2, l2, type Regularizer } from '../regularizers.js';
import type { KerasDataFormat, KerasShape } from '../shapes.js';
import { type Fields, isFields, show } from './json.js';

/** Where a value stands. */
export interface Place {
  /** the file, the layer and the key, in messages */
  readonly where: string;
  /** of the Keras that wrote the file: 2 (also for TensorFlow.js) or 3 */
  readonly version: number;
}

/** Turns the value of a key of a configuration into the value of an option. */
export type Reader = (place: Place, value: unknown) => unknown;

/** A serialised object: its class and its configuration. */
export interface Serialized {
  readonly className: string;
  readonly config: Fields;
}

/** A name alone, or { class_name, config } in any dialect; undefined for anything else. */
export function serialized(value: unknown): Serialized | undefined {
  if (typeof value === 'string') return { className: value, config: {} };
  if (!isFields(value) || typeof value.class_name !== 'string') return undefined;
  return { className: value.class_name, config: isFields(value.config) ? value.config : {} };
}

const ACTIVATIONS: Readonly<Record<string, ActivationIdentifier>> = {
  celu: 'celu',
  elu: 'elu',
  exponential: 'exponential',
  gelu: 'gelu',
  gelu_new: 'gelu_new',
  hard_silu: 'hardSwish',
  hard_swish: 'hardSwish',
  hard_tanh: 'hardTanh',
  leaky_relu: 'leakyReLU',
  linear: 'linear',
  log_sigmoid: 'logSigmoid',
  log_softmax: 'logSoftmax',
  mish: 'mish',
  relu: 'relu',
  relu6: 'relu6',
  selu: 'selu',
  sigmoid: 'sigmoid',
  silu: 'silu',
  softmax: 'softmax',
  softplus: 'softplus',
  softsign: 'softsign',
  swish: 'silu',
  tanh: 'tanh',
};

/** An activation that is given by its name; undefined for none, and for what is no name. */
export function activationName({ where, version }: Place, value: unknown): ActivationIdentifier | undefined {
  const name = typeof value === 'string' ? value.replace(/(?<=[a-z])[A-Z]/g, (c) => `_${c}`).toLowerCase() : '';
  if (name === 'hard_sigmoid') return version >= 3 ? 'hardSigmoid6' : 'hardSigmoid';
  if (Object.hasOwn(ACTIVATIONS, name)) return ACTIVATIONS[name];
  const known = [...Object.keys(ACTIVATIONS), 'hard_sigmoid'].join(', ');
  throw new FileError(`${where}: the activation ${show(value)} is not known; known ones are ${known}`);
}

/** What TensorFlow.js has of them. */
const OF_TFJS =
  /^(elu|selu|relu|relu6|linear|sigmoid|softplus|softsign|tanh|softmax|log_softmax|swish|mish|gelu|gelu_new)$/;

/** The name in files of an activation; undefined where Keras 3 or TensorFlow.js has none that computes the same. */
export function kerasActivation(name: ActivationIdentifier, dialect: 'keras' | 'tfjs'): string | undefined {
  // The same name, but not the same function.
  if (name === 'hardSigmoid') return dialect === 'tfjs' ? 'hard_sigmoid' : undefined;
  if (name === 'hardSigmoid6') return dialect === 'keras' ? 'hard_sigmoid' : undefined;
  const meant = name === 'swish' ? 'silu' : name;
  const names = Object.keys(ACTIVATIONS).filter((key) => ACTIVATIONS[key] === meant);
  return dialect === 'tfjs' ? names.find((key) => OF_TFJS.test(key)) : names.find((key) => key !== 'gelu_new');
}

/** Penalties that are added to the loss. */
export function readRegularizer({ where }: Place, value: unknown): Regularizer | undefined {
  if (value === null || value === undefined) return undefined;
  const object = serialized(value);
  const rate = (key: 'l1' | 'l2', usual: number): number => {
    const given = object?.config[key] ?? usual;
    if (typeof given === 'number' && given >= 0 && Number.isFinite(given)) return given;
    throw new FileError(`${where}: ${key} must be a number ≥ 0, got ${show(given)}`);
  };
  switch (object?.className.toLowerCase()) {
    case 'l1':
      return l1({ l1: rate('l1', 0.01) });
    case 'l2':
      return l2({ l2: rate('l2', 0.01) });
    case 'l1l2':
    case 'l1_l2':
      return l1l2({ l1: rate('l1', 0), l2: rate('l2', 0) });
    default:
      throw new FileError(`${where}: the regularizer ${show(value)} is not known; known ones are L1, L2 and L1L2`);
  }
}

/**
 * The dtype of a layer or a policy of dtypes. Everything is computed in single precision, whatever the policy says: that is never less
 * exact but for float64.
 */
export function readDType({ where }: Place, value: unknown): KerasDType | undefined {
  if (value === null || value === undefined) return undefined;
  const object = serialized(value);
  const policy =
    object !== undefined && typeof object.config.name === 'string' ? object.config.name : object?.className;
  if (policy !== undefined && /^(mixed_)?b?float(16|32|64)$/.test(policy)) return 'float32';
  if (policy !== undefined && /^u?int(8|16|32|64)$/.test(policy)) return 'int32';
  throw new FileError(`${where}: the dtype ${show(value)} cannot be computed with; float32 and integers can`);
}

export function readDataFormat({ where }: Place, value: unknown): KerasDataFormat | undefined {
  if (value === null || value === undefined) return undefined;
  if (value === 'channels_last' || value === 'channelsLast') return 'channelsLast';
  if (value === 'channels_first' || value === 'channelsFirst') return 'channelsFirst';
  throw new FileError(`${where}: must be "channels_last" or "channels_first", got ${show(value)}`);
}

/** Extents, null where they are free. */
export function readShape({ where }: Place, value: unknown): KerasShape | undefined {
  if (value === null || value === undefined) return undefined;
  if (Array.isArray(value) && value.every((n) => n === null || (Number.isSafeInteger(n) && n >= -1))) {
    return value.map((n) => (n === -1 ? null : n));
  }
  throw new FileError(`${where}: must be a shape such as [null, 28, 28, 1], got ${show(value)}`);
}

/** An axis, or a list of one. */
export const readAxis: Reader = (_, value) =>
  Array.isArray(value) && value.length === 1 ? value[0] : (value ?? undefined);

/** Anything that the layer checks itself; null is none. */
export const plain: Reader = (_, value) => value ?? undefined;
