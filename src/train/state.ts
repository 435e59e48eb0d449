import type { Samples } from '../data/index.js';
import type { Module } from '../nn/module.js';
import type { Optimizer } from '../optim/index.js';
import { isFloat, type TypedArray } from '../tensor/dtype.js';
import { GaborError, OptionError } from '../tensor/errors.js';
import { type HostTensor, toHost } from '../tensor/host-tensor.js';
import type { EpochRecord } from './events.js';
import type { TrainingSettings } from './settings.js';
import type { MetricTotals } from './step.js';
import type { WeightAverage } from './weight-average.js';

/** How far training has come; what is summed up so far belongs to the epoch under way. */
export interface TrainingProgress {
  /** Completed epochs. */
  readonly epoch: number;
  /** Steps of the next epoch that are done. */
  readonly batch: number;
  /** Steps since the beginning. */
  readonly step: number;
  readonly lossSum: number;
  /** Sums of every metric. */
  readonly metrics: MetricTotals;
  readonly count: number;
  /** Spent on the steps of the epoch so far. */
  readonly seconds: number;
}

export const START: TrainingProgress = { epoch: 0, batch: 0, step: 0, lossSum: 0, metrics: {}, count: 0, seconds: 0 };

/** Recognises the training data that a checkpoint belongs to. */
export interface DataIdentity {
  readonly trainCount: number;
  /** 0 where the data has no names of classes. */
  readonly classes: number;
  /** Of targets and a sample of the inputs. */
  readonly checksum: number;
}

/**
 * Everything that training continues from, copied out of the device. Going on from it gives the same bits as never having stopped:
 * batches and learning rates are functions of settings and progress alone.
 */
export interface TrainingState {
  /** Parameters and buffers; with `ema` their moving averages. */
  readonly model: Readonly<Record<string, HostTensor>>;
  /** With `ema`: what training goes on from in place of the averages. Otherwise empty. */
  readonly unaveraged: Readonly<Record<string, HostTensor>>;
  /** States of the random generators of layers (dropout). */
  readonly random: Readonly<Record<string, HostTensor>>;
  readonly optimizer: Readonly<Record<string, HostTensor>>;
  readonly progress: TrainingProgress;
  readonly settings: TrainingSettings;
  readonly history: readonly EpochRecord[];
  readonly data: DataIdentity;
}

/** The tensors of a training state. */
export type StateTensors = Pick<TrainingState, 'model' | 'unaveraged' | 'random' | 'optimizer'>;

export function captureTensors(model: Module, optimizer: Optimizer, average?: WeightAverage): StateTensors {
  const weights = toHost(model.stateDict());
  return {
    model: average === undefined ? weights : { ...weights, ...toHost(average.stateDict()) },
    unaveraged: Object.fromEntries(average?.names.map((name) => [name, weights[name]]) ?? []),
    random: toHost(Object.fromEntries(model.namedRandomStates())),
    optimizer: toHost(optimizer.stateDict()),
  };
}

/**
 * Copies a state into model, optimizer and averages. Where it has no averages they begin with its weights.
 *
 * @throws OptionError when they have other tensors than the state.
 */
export function restoreTensors(
  model: Module,
  optimizer: Optimizer,
  average: WeightAverage | undefined,
  state: StateTensors,
): void {
  try {
    model.loadStateDict({ ...state.model, ...state.unaveraged });
    model.loadRandomStates(state.random);
    optimizer.loadStateDict(state.optimizer);
  } catch (error) {
    if (!(error instanceof GaborError)) throw error;
    throw new OptionError(`the checkpoint is not one of this model: ${error.message}`, { cause: error });
  }
  average?.load(state.model);
}

/** The first tensor that holds a NaN or an infinity, if any. */
export function findNonFinite(tensors: StateTensors): string | undefined {
  for (const group of [tensors.model, tensors.unaveraged, tensors.optimizer]) {
    for (const [name, { dtype, data }] of Object.entries(group)) {
      if (isFloat(dtype) && !(data as Float32Array).every(Number.isFinite)) return name;
    }
  }
  return undefined;
}

/** FNV-1a over the targets (about 1,048,576 of them where there are more) and about 65,536 elements spread over the inputs. */
export function identifyData({ count, inputs, targets }: Samples, classes: number): DataIdentity {
  let hash = 0x811c9dc5;
  const mix = (data: TypedArray, most: number): void => {
    // The bits of floats: whole words.
    const words = data instanceof Float32Array ? new Int32Array(data.buffer, data.byteOffset, data.length) : data;
    const stride = Math.max(1, Math.floor(words.length / most));
    for (let i = 0; i < words.length; i += stride) hash = Math.imul(hash ^ words[i], 0x01000193);
  };
  mix(targets, 1_048_576);
  mix(inputs, 65_536);
  return { trainCount: count, classes, checksum: hash >>> 0 };
}

/** @throws OptionError when a checkpoint was trained on other images. */
export function checkSameData(earlier: DataIdentity, now: DataIdentity): void {
  if (earlier.checksum === now.checksum && earlier.trainCount === now.trainCount && earlier.classes === now.classes)
    return;
  const describe = ({ trainCount, classes }: DataIdentity): string =>
    `${trainCount} training images of ${classes} classes`.replace(' images of 0 classes', ' samples');
  const same = describe(earlier) === describe(now);
  throw new OptionError(
    `cannot resume on other data: the checkpoint was trained on ${describe(earlier)}, this is ${same ? 'as many, but different ones (another split, size or seed?)' : describe(now)}; to go on with a model on new data, load it as a model and train anew`,
  );
}
