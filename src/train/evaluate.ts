import { type BatchFormat, BatchLoader, type ImageSplit } from '../data/index.js';
import type { Module } from '../nn/module.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import { checkLogits, forwardProgram } from './forward.js';
import { InputRing } from './input-ring.js';
import { argmaxRow, type ClassMetrics, crossEntropyRow, perClassMetrics, softmaxRow } from './metrics.js';

/** Geometry, normalisation and classes of the images: an `ImageDataset` fits, and so does `{ ...preprocessing, classes }`. */
export interface EvaluationFormat extends BatchFormat {
  readonly classes: readonly string[];
}

export interface EvaluateOptions {
  /** Images per step. Default 64. Does not change the result. */
  batchSize?: number;
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

export interface Evaluation {
  /** Mean cross-entropy in nats, without label smoothing. */
  readonly loss: number;
  /** Share of images whose most probable class is the right one. */
  readonly accuracy: number;
  readonly count: number;
  readonly perClass: readonly ClassMetrics[];
  /** `confusion[label][predicted]` images. */
  readonly confusion: readonly (readonly number[])[];
  /** The most confident mistakes, most confident first. */
  readonly mostWrong: readonly Mistake[];
}

const OPTIONS = ['batchSize', 'mostWrong', 'onProgress', 'signal'];

/**
 * How well a model that returns logits classifies the images of a split: in evaluation mode, every image once, in order.
 *
 *     const { accuracy } = await evaluate(model, data.splits.test, data);
 *
 * @throws OptionError for an empty split or unknown options, ShapeError when model and data do not fit.
 */
export async function evaluate(
  model: Module,
  split: ImageSplit,
  format: EvaluationFormat,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  checkOptions('evaluate', options, OPTIONS);
  const { channels, height, width } = format;
  const classes = format.classes.length;
  if (split.count === 0) throw new OptionError('evaluate: there are no images in this part of the data');
  const wrong = split.labels.findIndex((label) => label < 0 || label >= classes);
  if (wrong >= 0) {
    throw new OptionError(
      `evaluate: image ${wrong} has the label ${split.labels[wrong]}, but there are ${classes} classes`,
    );
  }
  const batchSize = Math.min(options.batchSize ?? 64, split.count);
  const loader = new BatchLoader(split, format, { batchSize, shuffle: false, workers: 0 });
  const inputs = new InputRing([batchSize, channels, height, width], 'f32');
  const program = forwardProgram(model);
  const confusion = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  const mistakes: Mistake[] = [];
  const probabilities = new Float32Array(classes);
  let loss = 0;
  let done = 0;

  const score = (logits: ArrayLike<number>, labels: Int32Array, rows: Int32Array): void => {
    for (let i = 0, at = 0; i < labels.length; i++, at += classes) {
      const label = labels[i];
      const predicted = argmaxRow(logits, at, classes);
      confusion[label][predicted]++;
      loss += crossEntropyRow(logits, at, classes, label);
      if (predicted !== label) {
        const probability = softmaxRow(logits, at, probabilities)[predicted];
        mistakes.push({ index: rows[i], label, predicted, probability });
      }
    }
    done += labels.length;
    options.onProgress?.(done, split.count);
  };

  let running: Promise<void> | undefined;
  try {
    for await (const { x, y, indices } of loader.epoch(0)) {
      // Written while the batch before is still running.
      const input = inputs.load(x);
      const labels = y.slice();
      const rows = indices.slice();
      await running;
      await turn();
      options.signal?.throwIfAborted();
      running = program(input).then((logits) => {
        using result = logits;
        checkLogits('evaluate', result, batchSize, classes);
        score(result.data(), labels, rows);
      });
      running.catch(() => undefined); // reported where it is awaited
    }
    await running;
  } finally {
    await running?.catch(() => undefined);
    inputs.dispose();
    await loader.close();
  }
  mistakes.sort((a, b) => b.probability - a.probability || a.index - b.index);
  const right = confusion.reduce((sum, row, c) => sum + row[c], 0);
  return {
    loss: loss / split.count,
    accuracy: right / split.count,
    count: split.count,
    perClass: perClassMetrics(format.classes, confusion),
    confusion,
    mostWrong: mistakes.slice(0, options.mostWrong ?? 25),
  };
}

/** Lets timers, signals and messages have their turn, also where all else is done at once. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
