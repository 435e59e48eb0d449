import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import { formatShape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { turn } from '../train/evaluate.js';
import { type Callback, type History, type Logs, listCallbacks, type TrainingModel } from './callbacks.js';
import {
  Batches,
  checkShapes,
  countExamples,
  examples,
  type HostData,
  listTensors,
  range,
  type TensorData,
  toHostData,
} from './host-data.js';
import type { SymbolicTensor } from './layer.js';
import type { Trainer } from './trainer.js';

/** How much each class counts: a factor by class number; others count 1. */
export type ClassWeight = Readonly<Record<number, number>>;

export interface FitArgs {
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
  /** factors by class, for a model of one output */
  readonly classWeight?: ClassWeight;
  /** [examples]: factors, for a model of one output */
  readonly sampleWeight?: Tensor;
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

export interface EvaluateArgs {
  /** examples per step; default 32 */
  readonly batchSize?: number;
  /** [examples]: factors, for a model of one output */
  readonly sampleWeight?: Tensor;
  /** has no effect */
  readonly verbose?: number;
}

/** What the loops need of a model. */
export interface FittedModel extends TrainingModel {
  readonly name: string;
  readonly inputs: readonly SymbolicTensor[];
  readonly outputs: readonly SymbolicTensor[];
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputDTypes: readonly ('f32' | 'i32')[];
  readonly trainer: Trainer;
  ensureBuilt(x: TensorData): void;
}

/** Inputs, targets and weights of examples, of the same number. */
interface Examples {
  readonly x: readonly HostData[];
  readonly y: readonly HostData[];
  /** for each output, or none */
  readonly weights: readonly HostData[];
  readonly count: number;
}

function readExamples(
  model: FittedModel,
  where: string,
  x: TensorData,
  y: TensorData,
  weighting: Pick<FitArgs, 'classWeight' | 'sampleWeight'> = {},
): Examples {
  model.ensureBuilt(x);
  const xs = toHostData(where, 'x', listTensors(where, 'x', x, model.inputNames));
  const ys = toHostData(where, 'y', listTensors(where, 'y', y, model.outputNames));
  checkShapes(where, 'input', xs, model.inputs);
  const weights = weightsOf(where, model, ys, weighting);
  return { x: xs, y: ys, weights, count: countExamples(where, xs, ys, weights) };
}

/** Factors of the examples; none where all count the same. */
function weightsOf(
  where: string,
  model: FittedModel,
  targets: readonly HostData[],
  { classWeight, sampleWeight }: Pick<FitArgs, 'classWeight' | 'sampleWeight'>,
): HostData[] {
  if (classWeight === undefined && sampleWeight === undefined) return [];
  if (targets.length !== 1) {
    throw new OptionError(
      `${where}: classWeight and sampleWeight are for models of one output, this has ${targets.length}`,
    );
  }
  const [{ shape, data }] = targets;
  const count = shape[0];
  const weights = new Float32Array(count).fill(1);
  if (sampleWeight !== undefined) {
    if (sampleWeight.size !== count || sampleWeight.shape[0] !== count) {
      throw new ShapeError(`${where}: sampleWeight must be [${count}], got ${formatShape(sampleWeight.shape)}`);
    }
    weights.set(sampleWeight.data());
  }
  if (classWeight !== undefined) {
    const width = sizeOf(shape.slice(1));
    const classes = model.outputs[0].shape.at(-1) ?? 1;
    if (shape.length > 2 || (width !== 1 && width !== classes)) {
      throw new ShapeError(`${where}: classWeight needs one class for each example, targets are ${formatShape(shape)}`);
    }
    for (let i = 0; i < count; i++) {
      const row = data.subarray(i * width, (i + 1) * width);
      const number = width === 1 ? row[0] : row.indexOf(Math.max(...row));
      weights[i] *= classWeight[number] ?? 1;
    }
  }
  return [{ shape: [count], dtype: 'f32', data: weights }];
}

function part({ x, y, weights }: Examples, from: number, to: number): Examples {
  const cut = (sets: readonly HostData[]): HostData[] => sets.map((set) => examples(set, from, to));
  return { x: cut(x), y: cut(y), weights: cut(weights), count: to - from };
}

/** The batches of some examples. */
class ExampleBatches implements Disposable {
  readonly #sets: Batches;
  readonly #inputs: number;
  readonly #targets: number;

  constructor(model: FittedModel, { x, y, weights }: Examples) {
    const targets = y.map(({ dtype }) => (dtype === 'i32' ? dtype : 'f32'));
    this.#inputs = x.length;
    this.#targets = y.length;
    this.#sets = new Batches(
      [...x, ...y, ...weights],
      [...model.inputDTypes, ...targets, ...weights.map(() => 'f32' as const)],
    );
  }

  gather(numbers: ArrayLike<number>): [x: Tensor[], y: Tensor[], weights: Tensor[]] {
    const all = this.#sets.gather(numbers);
    const split = this.#inputs + this.#targets;
    return [all.slice(0, this.#inputs), all.slice(this.#inputs, split), all.slice(split)];
  }

  dispose(): void {
    this.#sets.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Tensors of one batch. */
export interface PreparedBatch extends Disposable {
  readonly x: readonly Tensor[];
  readonly y: readonly Tensor[];
}

export function prepareBatch(model: FittedModel, where: string, x: TensorData, y: TensorData): PreparedBatch {
  const all = readExamples(model, where, x, y);
  const batches = new ExampleBatches(model, all);
  const [xs, ys] = batches.gather(range(0, all.count));
  return { x: xs, y: ys, [Symbol.dispose]: () => batches.dispose() };
}

/** Sums of numbers times sizes of batches. */
class Means {
  readonly #sums: number[];
  #count = 0;

  constructor(length: number) {
    this.#sums = new Array<number>(length).fill(0);
  }

  add(values: readonly number[], count: number): void {
    values.forEach((value, i) => {
      this.#sums[i] += value * count;
    });
    this.#count += count;
  }

  get values(): number[] {
    return this.#sums.map((sum) => sum / this.#count);
  }
}

function evaluateExamples(model: FittedModel, all: Examples, batchSize: number): number[] {
  const { trainer } = model;
  using batches = new ExampleBatches(model, all);
  const means = new Means(trainer.names.length);
  for (let from = 0; from < all.count; from += batchSize) {
    const to = Math.min(from + batchSize, all.count);
    means.add(trainer.test(...batches.gather(range(from, to))), to - from);
  }
  return means.values;
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
  const { shuffle = true, verbose = 0, seed = 0 } = args;
  const batchSize = checkCount('fit', 'batchSize', args.batchSize ?? 32);
  const epochs = checkCount('fit', 'epochs', args.epochs ?? 1);
  const initialEpoch = checkCount('fit', 'initialEpoch', args.initialEpoch ?? 0, 0);
  const callbacks = listCallbacks(args.callbacks);
  const [training, validation] = splitExamples(model, x, y, args);
  const { trainer } = model;
  const epochNumbers: number[] = [];
  const history: Record<string, number[]> = {};
  const tell = async (call: (callback: Callback) => void | Promise<void> | undefined): Promise<void> => {
    for (const callback of callbacks) await call(callback);
  };
  model.stopTraining = false;
  for (const callback of callbacks) callback.setModel?.(model);
  using batches = new ExampleBatches(model, training);
  await tell((c) => c.onTrainBegin?.({}));
  for (let epoch = initialEpoch; epoch < epochs && !model.stopTraining; epoch++) {
    await tell((c) => c.onEpochBegin?.(epoch, {}));
    const order = shuffle ? new Random(seed).fork(epoch).permutation(training.count) : range(0, training.count);
    const means = new Means(trainer.names.length);
    for (let from = 0, batch = 0; from < order.length && !model.stopTraining; from += batchSize, batch++) {
      const numbers = order.subarray(from, from + batchSize);
      const where = { batch, size: numbers.length };
      await tell((c) => c.onBatchBegin?.(batch, where));
      const values = await trainer.train(...batches.gather(numbers));
      means.add(values, numbers.length);
      await tell((c) => c.onBatchEnd?.(batch, { ...where, ...named(trainer.names, values) }));
      await turn();
    }
    const logs: Record<string, number> = named(trainer.names, means.values);
    if (validation !== undefined) {
      const values = evaluateExamples(model, validation, batchSize);
      Object.assign(
        logs,
        named(
          trainer.names.map((name) => `val_${name}`),
          values,
        ),
      );
    }
    epochNumbers.push(epoch);
    for (const [name, value] of Object.entries(logs)) (history[name] ??= []).push(value);
    if (verbose > 0) console.log(epochLine(epoch, epochs, logs));
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
