import { OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { TrainingModel } from './callbacks.js';
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

/** How much examples count. */
export interface Weighting {
  /** factors by class, for a model of one output */
  readonly classWeight?: ClassWeight;
  /** [examples]: factors, for a model of one output */
  readonly sampleWeight?: Tensor;
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
export interface Examples {
  readonly x: readonly HostData[];
  readonly y: readonly HostData[];
  /** for each output, or none */
  readonly weights: readonly HostData[];
  readonly count: number;
}

export function readExamples(
  model: FittedModel,
  where: string,
  x: TensorData,
  y: TensorData,
  weighting: Weighting = {},
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
  { classWeight, sampleWeight }: Weighting,
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

export function part({ x, y, weights }: Examples, from: number, to: number): Examples {
  const cut = (sets: readonly HostData[]): HostData[] => sets.map((set) => examples(set, from, to));
  return { x: cut(x), y: cut(y), weights: cut(weights), count: to - from };
}

/** The batches of some examples. */
export class ExampleBatches implements Disposable {
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
export class Means {
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

export function evaluateExamples(model: FittedModel, all: Examples, batchSize: number): number[] {
  const { trainer } = model;
  using batches = new ExampleBatches(model, all);
  const means = new Means(trainer.names.length);
  for (let from = 0; from < all.count; from += batchSize) {
    const to = Math.min(from + batchSize, all.count);
    means.add(trainer.test(...batches.gather(range(from, to))), to - from);
  }
  return means.values;
}
