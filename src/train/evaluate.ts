import {
  type BatchFormat,
  BatchLoader,
  type BatchTargets,
  type ImageSplit,
  type SampleFormat,
  type SampleSplit,
  samplesOf,
} from '../data/index.js';
import type { Module } from '../nn/module.js';
import { argmax } from '../ops/reduce.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { checkLogits, evaluationProgram, forwardProgram } from './forward.js';
import { InputRing } from './input-ring.js';
import {
  argmaxRow,
  type ClassMetrics,
  crossEntropyRow,
  perClassMetrics,
  RegionCounter,
  type RegionMetrics,
  softmaxRow,
  zeroMatrix,
} from './metrics.js';
import { type LossOption, type MetricFunction, Objective } from './objective.js';
import { addTotals, type MetricTotals, meansOf, readStep, type StepResult } from './step.js';

/** Geometry, normalisation and classes of the images: an `ImageDataset` fits, and so does `{ ...preprocessing, classes }`. */
export interface EvaluationFormat extends BatchFormat {
  readonly classes: readonly string[];
}

/** Options of {@link evaluate}. */
export interface EvaluateOptions {
  /** As for `fit`. Default `crossEntropy`. */
  loss?: LossOption;
  /** Further numbers, as for `fit`. */
  metrics?: Readonly<Record<string, MetricFunction>>;
  /** Images per step. Default 64. Does not change the result, but where `loss` is given: it is the mean of the batches'. */
  batchSize?: number;
  /**
   * Means of the probabilities of each image and of its mirror image, for images with one class each and cross-entropy: a little better,
   * and twice the time. Default false.
   */
  mirrored?: boolean;
  /** How many of the most confidently wrong images to name. Default 25. */
  mostWrong?: number;
  /** Called after every step with the number of images done and in all. */
  onProgress?: (done: number, total: number) => void;
  /** Rejects with the signal's reason when it aborts. */
  signal?: AbortSignal;
}

/** An image that was called something else than it is. */
export interface Mistake {
  /** Row of the split. */
  readonly index: number;
  /** Positions in `classes`. */
  readonly label: number;
  readonly predicted: number;
  /** That the model gave to `predicted`. */
  readonly probability: number;
}

/** How well a model does on samples of any kind. */
export interface Scores {
  /** Mean over the samples. */
  readonly loss: number;
  readonly count: number;
  /**
   * By name, as in training, and for classes of pixels or voxels also `meanDice` and `meanIoU`: means over the classes
   * that occur.
   */
  readonly metrics: Readonly<Record<string, number>>;
  /** Where targets are classes, of samples, pixels or voxels: precision and recall of each. */
  readonly perClass?: readonly ClassMetrics[];
  /** `confusion[label][predicted]` samples, pixels or voxels. */
  readonly confusion?: readonly (readonly number[])[];
  /** Where every pixel or voxel has a class: how the regions overlap. */
  readonly regions?: readonly RegionMetrics[];
  /** Where every sample has one class: the most confident mistakes, most confident first. */
  readonly mostWrong?: readonly Mistake[];
}

/** {@link Scores} of images with one class each. */
export interface Evaluation extends Scores {
  /** In nats, without label smoothing, unless another loss was asked for. */
  readonly loss: number;
  /** Share of images whose most probable class is the right one. */
  readonly accuracy: number;
  readonly perClass: readonly ClassMetrics[];
  readonly confusion: readonly (readonly number[])[];
  readonly mostWrong: readonly Mistake[];
}

const OPTIONS = ['loss', 'metrics', 'batchSize', 'mirrored', 'mostWrong', 'onProgress', 'signal'];

/**
 * How well a model does on a part of the data: in evaluation mode, every sample once, in order.
 *
 *     const { accuracy } = await evaluate(model, data.splits.test, data);
 *     const { metrics, regions } = await evaluate(model, volumes.splits.test, volumes);
 *
 * @throws OptionError for a split that is empty or missing or unknown options, ShapeError when model and data do not fit.
 */
export function evaluate(
  model: Module,
  split: ImageSplit,
  format: EvaluationFormat,
  options?: EvaluateOptions,
): Promise<Evaluation>;
export function evaluate(
  model: Module,
  split: SampleSplit | ImageSplit | undefined,
  format: SampleFormat | EvaluationFormat,
  options?: EvaluateOptions,
): Promise<Scores>;
export async function evaluate(
  model: Module,
  split: SampleSplit | ImageSplit | undefined,
  format: SampleFormat | EvaluationFormat,
  options: EvaluateOptions = {},
): Promise<Scores> {
  checkOptions('evaluate', options, OPTIONS);
  if (split === undefined) {
    throw new OptionError('evaluate: the data have no such part; sampleDataset makes one with testSplit or valSplit');
  }
  const { loss, metrics } = options;
  return score(
    model,
    split,
    format,
    new Objective({ ...(loss ? { loss } : {}), ...(metrics ? { metrics } : {}) }),
    options,
  );
}

/** {@link evaluate} with an objective that is there already. */
export async function score(
  model: Module,
  split: SampleSplit | ImageSplit,
  format: SampleFormat | EvaluationFormat,
  objective: Objective,
  options: Omit<EvaluateOptions, 'loss' | 'metrics'>,
): Promise<Scores> {
  if (split.count === 0) {
    const what = 'images' in split ? 'images' : 'samples';
    throw new OptionError(`evaluate: there are no ${what} in this part of the data`);
  }
  const samples = samplesOf('evaluate', split, format);
  const { inputShape, targetShape, targets } = samples;
  checkLabels('evaluate', samples.targets, format.classes?.length, objective.ignoreIndex, targetShape.length === 0);
  const batchSize = Math.min(options.batchSize ?? 64, split.count);
  const oneClassEach = targetShape.length === 0 && !(targets instanceof Float32Array);
  const byLogits = oneClassEach && objective.isPlainCrossEntropy;
  const { mirrored = false } = options;
  if (mirrored && !byLogits) {
    throw new OptionError(
      'evaluate: mirrored is for images with one class each, the loss crossEntropy, and no further metrics',
    );
  }
  const program = byLogits
    ? new LogitsProgram(model, batchSize, format.classes?.length, mirrored)
    : new LossProgram(model, objective);
  const sheet = new ScoreSheet(objective.ignoreIndex);
  const loader = new BatchLoader<BatchTargets>(split, format, { batchSize, shuffle: false, workers: 0 });
  const rings = new Map<number, { readonly x: InputRing; readonly y: InputRing }>();
  const ringsFor = (count: number): { readonly x: InputRing; readonly y: InputRing } => {
    let pair = rings.get(count);
    if (pair === undefined) {
      const dtype = targets instanceof Float32Array ? 'f32' : 'i32';
      pair = { x: new InputRing([count, ...inputShape], 'f32'), y: new InputRing([count, ...targetShape], dtype) };
      rings.set(count, pair);
    }
    return pair;
  };

  let running: Promise<void> | undefined;
  let done = 0;
  try {
    for await (const { x, y, indices, count } of loader.epoch(0)) {
      // Written while the batch before is still running.
      const ring = ringsFor(program.padded ? batchSize : count);
      const input = ring.x.load(x);
      const target = ring.y.load(y);
      const labels = y.slice();
      const rows = indices.slice();
      await running;
      await turn();
      options.signal?.throwIfAborted();
      running = program.run(input, target).then((result) => {
        sheet.add(result, labels, rows);
        done += count;
        options.onProgress?.(done, split.count);
      });
      running.catch(() => undefined); // reported where it is awaited
    }
    await running;
  } finally {
    await running?.catch(() => undefined);
    for (const { x, y } of rings.values()) {
      x.dispose();
      y.dispose();
    }
    await loader.close();
  }
  return sheet.scores(format.classes, options.mostWrong ?? 25);
}

/** @throws OptionError for labels that are no classes. */
export function checkLabels(
  where: string,
  targets: ArrayLike<number>,
  classes: number | undefined,
  ignored: number | undefined,
  perSample = true,
): void {
  if (targets instanceof Float32Array || classes === undefined) return;
  for (let i = 0; i < targets.length; i++) {
    const label = targets[i];
    if ((label < 0 || label >= classes) && label !== ignored) {
      const what = perSample ? 'image' : 'position';
      throw new OptionError(`${where}: ${what} ${i} has the label ${label}, but there are ${classes} classes`);
    }
  }
}

/** What one batch came to. */
interface BatchResult {
  /** [rows, …]: logits of samples with one class each. */
  readonly logits?: ArrayLike<number>;
  /** The class found at every position of every sample. */
  readonly found?: ArrayLike<number>;
  /** Of `logits` and `found`. */
  readonly classes?: number;
  /** As the program computed it; where it is absent it follows from the logits. */
  readonly loss?: number;
  readonly metrics?: MetricTotals;
}

/** Logits of batches, of which the last one may be filled up: the loss is computed from them in double precision. */
class LogitsProgram {
  readonly padded = true;
  readonly #model: Module;
  readonly #rows: number;
  readonly #classes: number | undefined;
  readonly #mirrored: boolean;

  constructor(model: Module, rows: number, classes: number | undefined, mirrored: boolean) {
    this.#model = model;
    this.#rows = rows;
    this.#classes = classes;
    this.#mirrored = mirrored;
  }

  async run(input: Tensor): Promise<BatchResult> {
    using logits = await forwardProgram(this.#model, this.#mirrored)(input);
    checkLogits('evaluate', logits, this.#rows, this.#classes);
    return { logits: logits.data(), classes: logits.shape[1] };
  }
}

type LossResult = StepResult & {
  readonly logits: Tensor | undefined;
  readonly found: Tensor | undefined;
  readonly classes: number;
};

/** Loss and metrics of batches of their true size. */
class LossProgram {
  readonly padded = false;
  readonly #program: (input: Tensor, target: Tensor) => Promise<LossResult>;

  constructor(model: Module, objective: Objective) {
    this.#program = evaluationProgram(model, objective.key, (output: Tensor, target: Tensor): LossResult => {
      const isMap = objective.hasClassMap(output, target);
      return {
        loss: objective.loss(output, target),
        metrics: objective.metrics(output, target),
        logits: isMap && output.rank === 2 ? output : undefined,
        found: isMap && output.rank > 2 ? argmax(output, 1) : undefined,
        classes: output.shape[1],
      };
    });
  }

  async run(input: Tensor, target: Tensor): Promise<BatchResult> {
    const { logits, found, classes, ...step } = await this.#program(input, target);
    const result: BatchResult = {
      ...readStep(step),
      ...(logits ? { logits: logits.data(), classes } : {}),
      ...(found ? { found: found.data(), classes } : {}),
    };
    logits?.dispose();
    found?.dispose();
    return result;
  }
}

/** Adds up what the batches came to. */
class ScoreSheet {
  readonly #ignored: number | undefined;
  readonly #mistakes: Mistake[] = [];
  #loss = 0;
  #count = 0;
  #metrics: MetricTotals = {};
  #confusion: number[][] | undefined;
  #probabilities = new Float32Array();
  #regions: RegionCounter | undefined;

  constructor(ignored: number | undefined) {
    this.#ignored = ignored;
  }

  add({ logits, found, classes = 0, loss, metrics }: BatchResult, targets: BatchTargets, rows: Int32Array): void {
    const ownLoss = logits ? this.#addSamples(logits, classes, targets, rows) : 0;
    this.#loss += loss === undefined ? ownLoss : loss * rows.length;
    this.#count += rows.length;
    if (metrics) this.#metrics = addTotals(this.#metrics, metrics);
    if (found) {
      this.#regions ??= new RegionCounter(classes, this.#ignored);
      this.#regions.add(found, targets, rows.length);
    }
  }

  /** Samples with one class each; returns the sum of their cross-entropies. */
  #addSamples(logits: ArrayLike<number>, classes: number, labels: BatchTargets, rows: Int32Array): number {
    this.#confusion ??= zeroMatrix(classes);
    if (this.#probabilities.length !== classes) this.#probabilities = new Float32Array(classes);
    let loss = 0;
    for (let i = 0, at = 0; i < labels.length; i++, at += classes) {
      const label = labels[i];
      if (label === this.#ignored) continue;
      checkLabels('evaluate', [label], classes, undefined);
      const predicted = argmaxRow(logits, at, classes);
      this.#confusion[label][predicted]++;
      loss += crossEntropyRow(logits, at, classes, label);
      if (predicted !== label) {
        const probability = softmaxRow(logits, at, this.#probabilities)[predicted];
        this.#mistakes.push({ index: rows[i], label, predicted, probability });
      }
    }
    return loss;
  }

  scores(names: readonly string[] | undefined, mostWrong: number): Scores | Evaluation {
    const loss = this.#loss / this.#count;
    const metrics = meansOf(this.#metrics);
    const named = (classes: number): readonly string[] => names ?? Array.from({ length: classes }, (_, c) => String(c));
    if (this.#regions) {
      const { confusion } = this.#regions;
      const classes = named(confusion.length);
      const regions = this.#regions.metrics(classes);
      const perClass = perClassMetrics(classes, confusion);
      return {
        loss,
        count: this.#count,
        metrics: { ...metrics, ...meanOverlap(regions) },
        perClass,
        confusion,
        regions,
      };
    }
    const confusion = this.#confusion;
    if (confusion === undefined) return { loss, count: this.#count, metrics };
    this.#mistakes.sort((a, b) => b.probability - a.probability || a.index - b.index);
    const right = confusion.reduce((sum, row, c) => sum + row[c], 0);
    const accuracy = right / confusion.flat().reduce((a, b) => a + b, 0);
    return {
      loss,
      accuracy,
      count: this.#count,
      metrics: { ...metrics, accuracy },
      perClass: perClassMetrics(named(confusion.length), confusion),
      confusion,
      mostWrong: this.#mistakes.slice(0, mostWrong),
    };
  }
}

function meanOverlap(regions: readonly RegionMetrics[]): { meanDice: number; meanIoU: number } {
  const mean = (values: readonly number[]): number => {
    const known = values.filter((value) => !Number.isNaN(value));
    return known.reduce((a, b) => a + b, 0) / known.length;
  };
  return { meanDice: mean(regions.map(({ dice }) => dice)), meanIoU: mean(regions.map(({ iou }) => iou)) };
}

/** Timers, signals and messages wait no longer than this, in milliseconds; a turn takes as long as a small step's other JavaScript. */
const TURN_MS = 4;
let lastTurn = 0;

/** Lets timers, signals and messages have their turn every few milliseconds, also where all else is done at once. */
export async function turn(): Promise<void> {
  if (performance.now() - lastTurn < TURN_MS) return;
  await new Promise<void>((resolve) => setImmediate(resolve));
  lastTurn = performance.now();
}
