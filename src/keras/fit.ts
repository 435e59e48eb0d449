import { checkOptions, OptionError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import { turn } from '../train/evaluate.js';
import { type Callback, type History, type Logs, listCallbacks } from './callbacks.js';
import {
  ExampleBatches,
  type Examples,
  evaluateExamples,
  type FittedModel,
  Means,
  part,
  readExamples,
  type Weighting,
} from './examples.js';
import { range, type TensorData } from './host-data.js';

/** Options of `fit` of a model. */
export interface FitArgs extends Weighting {
  /** examples per step; default 32 */
  readonly batchSize?: number;
  /** passes over the examples, those before `initialEpoch` included; default 1 */
  readonly epochs?: number;
  /** Which part of the examples, from the end and before shuffling, is for validation; default 0. */
  readonly validationSplit?: number;
  /** [x, y], evaluated after every epoch */
  readonly validationData?: readonly [TensorData, TensorData];
  /** Every epoch in an order of its own; default true. */
  readonly shuffle?: boolean;
  /** 1 or 2: one line per epoch on the console; default 0 */
  readonly verbose?: number;
  readonly callbacks?: Callback | readonly Callback[];
  /** The number of the first epoch; default 0. */
  readonly initialEpoch?: number;
  /** Decides the order of examples; default 0. */
  readonly seed?: number;
}

const FIT_OPTIONS = [
  'batchSize',
  'epochs',
  'validationSplit',
  'validationData',
  'shuffle',
  'verbose',
  'callbacks',
  'initialEpoch',
  'classWeight',
  'sampleWeight',
  'seed',
];

/** Options of `evaluate` of a model. */
export interface EvaluateArgs {
  /** examples per step; default 32 */
  readonly batchSize?: number;
  /** [examples]: factors, for a model of one output */
  readonly sampleWeight?: Tensor;
  /** has no effect */
  readonly verbose?: number;
}

/** Loss and metrics, means over the examples. */
export function evaluateModel(model: FittedModel, x: TensorData, y: TensorData, args: EvaluateArgs): number[] {
  checkOptions('evaluate', args, ['batchSize', 'sampleWeight', 'verbose']);
  return evaluateExamples(
    model,
    readExamples(model, 'evaluate', x, y, args),
    checkCount('evaluate', 'batchSize', args.batchSize ?? 32),
  );
}

function checkCount(where: string, name: string, value: unknown, least = 1): number {
  if (Number.isInteger(value) && (value as number) >= least) return value as number;
  throw new OptionError(`${where}: ${name} must be an integer ≥ ${least}, got ${JSON.stringify(value)}`);
}

/** The examples to train on and those to validate with. */
function splitExamples(
  model: FittedModel,
  x: TensorData,
  y: TensorData,
  args: FitArgs,
): [Examples, Examples | undefined] {
  const { validationSplit = 0, validationData } = args;
  const all = readExamples(model, 'fit', x, y, args);
  if (validationData !== undefined) {
    if (!Array.isArray(validationData) || validationData.length !== 2) {
      throw new OptionError('fit: validationData must be [x, y]');
    }
    return [all, readExamples(model, 'fit: validationData', ...(validationData as [TensorData, TensorData]))];
  }
  if (typeof validationSplit !== 'number' || !(validationSplit >= 0 && validationSplit < 1)) {
    throw new OptionError(
      `fit: validationSplit must be at least 0 and below 1, got ${JSON.stringify(validationSplit)}`,
    );
  }
  if (validationSplit === 0) return [all, undefined];
  const kept = Math.floor(all.count * (1 - validationSplit));
  if (kept === 0 || kept === all.count) {
    throw new OptionError(`fit: validationSplit ${validationSplit} of ${all.count} examples leaves one part empty`);
  }
  return [part(all, 0, kept), { ...part(all, kept, all.count), weights: [] }];
}

/** Trains; see `LayersModel.fit`. */
export async function fitModel(model: FittedModel, x: TensorData, y: TensorData, args: FitArgs): Promise<History> {
  checkOptions('fit', args, FIT_OPTIONS);
  const { shuffle = true, seed = 0 } = args;
  const batchSize = checkCount('fit', 'batchSize', args.batchSize ?? 32);
  const [training, validation] = splitExamples(model, x, y, args);
  using batches = new ExampleBatches(model, training);
  const epochBatches = function* (epoch: number): Iterable<StepBatch> {
    const order = shuffle ? new Random(seed).fork(epoch).permutation(training.count) : range(0, training.count);
    for (let from = 0; from < order.length; from += batchSize) {
      const numbers = order.subarray(from, from + batchSize);
      yield { size: numbers.length, tensors: batches.gather(numbers) };
    }
  };
  return await trainEpochs(model, args, epochBatches, () => {
    return validation && evaluateExamples(model, validation, batchSize);
  });
}

/** One batch of a data set. */
export interface DatasetItem {
  readonly xs: TensorData;
  readonly ys: TensorData;
}

/** Batches that can be gone through again and again, or a function that starts anew: `() => batches()`. */
export type BatchDataset =
  | Iterable<DatasetItem>
  | AsyncIterable<DatasetItem>
  | (() => Iterable<DatasetItem> | AsyncIterable<DatasetItem>);

/** Options of `fitDataset` of a model. */
export interface FitDatasetArgs extends Pick<FitArgs, 'verbose' | 'callbacks' | 'initialEpoch'> {
  readonly epochs: number;
  /** Batches of an epoch; default all that the data set gives. */
  readonly batchesPerEpoch?: number;
  /** [x, y], evaluated after every epoch */
  readonly validationData?: readonly [TensorData, TensorData];
}

const FIT_DATASET_OPTIONS = ['epochs', 'batchesPerEpoch', 'validationData', 'verbose', 'callbacks', 'initialEpoch'];

/** Trains on batches that come from elsewhere; see `LayersModel.fitDataset`. */
export async function fitDatasetModel(
  model: FittedModel,
  dataset: BatchDataset,
  args: FitDatasetArgs,
): Promise<History> {
  checkOptions('fitDataset', args, FIT_DATASET_OPTIONS);
  const { batchesPerEpoch = Infinity, validationData } = args;
  if (batchesPerEpoch !== Infinity) checkCount('fitDataset', 'batchesPerEpoch', batchesPerEpoch);
  const validation = validationData && (() => readExamples(model, 'fitDataset: validationData', ...validationData));
  const epochBatches = async function* (): AsyncIterable<StepBatch> {
    let count = 0;
    for await (const { xs, ys } of typeof dataset === 'function' ? dataset() : dataset) {
      const all = readExamples(model, 'fitDataset', xs, ys);
      using batches = new ExampleBatches(model, all);
      yield { size: all.count, tensors: batches.gather(range(0, all.count)) };
      if (++count >= batchesPerEpoch) return;
    }
    if (count === 0)
      throw new OptionError(
        'fitDataset: the data set gave no batches; one that is used up needs a function that starts anew',
      );
  };
  let kept: Examples | undefined;
  return await trainEpochs(model, args, epochBatches, () => {
    if (validation === undefined) return undefined;
    kept ??= validation();
    return evaluateExamples(model, kept, 32);
  });
}

/** One batch on its way into a step. */
interface StepBatch {
  readonly size: number;
  readonly tensors: [x: Tensor[], y: Tensor[], weights: Tensor[]];
}

/** The loop over epochs and batches, with callbacks. */
async function trainEpochs(
  model: FittedModel,
  args: Pick<FitArgs, 'epochs' | 'initialEpoch' | 'callbacks' | 'verbose'>,
  epochBatches: (epoch: number) => Iterable<StepBatch> | AsyncIterable<StepBatch>,
  validate: () => number[] | undefined,
): Promise<History> {
  const epochs = checkCount('fit', 'epochs', args.epochs ?? 1);
  const initialEpoch = checkCount('fit', 'initialEpoch', args.initialEpoch ?? 0, 0);
  const callbacks = listCallbacks(args.callbacks);
  const epochNumbers: number[] = [];
  const history: Record<string, number[]> = {};
  const tell = async (call: (callback: Callback) => void | Promise<void> | undefined): Promise<void> => {
    for (const callback of callbacks) await call(callback);
  };
  model.stopTraining = false;
  for (const callback of callbacks) callback.setModel?.(model);
  await tell((c) => c.onTrainBegin?.({}));
  for (let epoch = initialEpoch; epoch < epochs && !model.stopTraining; epoch++) {
    await tell((c) => c.onEpochBegin?.(epoch, {}));
    let means: Means | undefined;
    let batch = 0;
    for await (const { size, tensors } of epochBatches(epoch)) {
      // Not before: a model without an input shape is built for its first batch.
      const { trainer } = model;
      means ??= new Means(trainer.names.length);
      await tell((c) => c.onBatchBegin?.(batch, { batch, size }));
      const values = await trainer.train(...tensors);
      means.add(values, size);
      await tell((c) => c.onBatchEnd?.(batch, { batch, size, ...named(trainer.names, values) }));
      await turn();
      batch++;
      if (model.stopTraining) break;
    }
    const { names } = model.trainer;
    const logs = named(names, means?.values ?? []);
    const validated = validate();
    if (validated !== undefined) {
      names.forEach((name, i) => {
        logs[`val_${name}`] = validated[i];
      });
    }
    epochNumbers.push(epoch);
    for (const [name, value] of Object.entries(logs)) (history[name] ??= []).push(value);
    if (args.verbose) console.log(epochLine(epoch, epochs, logs));
    await tell((c) => c.onEpochEnd?.(epoch, logs));
  }
  await tell((c) => c.onTrainEnd?.({}));
  return { epoch: epochNumbers, history };
}

function named(names: readonly string[], values: readonly number[]): Record<string, number> {
  return Object.fromEntries(names.map((name, i) => [name, values[i]]));
}

function epochLine(epoch: number, epochs: number, logs: Logs): string {
  const numbers = Object.entries(logs).map(([name, value]) => `${name}: ${value.toFixed(4)}`);
  return `Epoch ${epoch + 1}/${epochs} - ${numbers.join(' - ')}`;
}
