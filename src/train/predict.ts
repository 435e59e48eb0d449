import { normalizeImages } from '../data/index.js';
import type { Module } from '../nn/module.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, formatType } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { turn } from './evaluate.js';
import { checkLogits, forwardProgram } from './forward.js';
import { InputRing } from './input-ring.js';
import { softmaxRow } from './metrics.js';
import type { Preprocessing } from './preprocessing.js';

export interface PredictOptions {
  /** Most images per step. Default 64. Does not change the result. */
  batchSize?: number;
}

/**
 * Class probabilities (softmax of the model's logits, in evaluation mode).
 *
 * @param images normalised inputs, f32[n, channels, height, width].
 * @returns for each image the probabilities of all classes.
 */
export async function predict(model: Module, images: Tensor, options: PredictOptions = {}): Promise<Float32Array[]> {
  if (images.rank !== 4 || images.dtype !== 'f32') {
    throw new ShapeError(
      `predict: images must be f32[count, channels, height, width], got ${formatType(images.type)}; one image alone is a batch of one`,
    );
  }
  const [count, ...shape] = images.shape;
  const data = images.data() as Float32Array;
  const size = shape.reduce((a, b) => a * b, 1);
  return inBatches(model, count, shape, options, (from, to) => data.subarray(from * size, to * size));
}

/**
 * Class probabilities of pictures.
 *
 * @param images bytes [n, channels, height, width], 0 … 255, for example from `preprocessImage`; normalised here.
 */
export async function predictImages(
  model: Module,
  images: Uint8Array,
  preprocessing: Preprocessing,
  options: PredictOptions = {},
): Promise<Float32Array[]> {
  const { channels, height, width } = preprocessing;
  const size = channels * height * width;
  if (images.length % size !== 0) {
    throw new ShapeError(
      `predictImages: ${images.length} bytes are not whole images of ${formatShape([channels, height, width])} = ${size}`,
    );
  }
  return inBatches(model, images.length / size, [channels, height, width], options, (from, to) =>
    normalizeImages(images.subarray(from * size, to * size), height * width, preprocessing),
  );
}

async function inBatches(
  model: Module,
  count: number,
  shape: readonly number[],
  options: PredictOptions,
  rows: (from: number, to: number) => Float32Array,
): Promise<Float32Array[]> {
  checkOptions('predict', options, ['batchSize']);
  const most = options.batchSize ?? 64;
  if (!Number.isSafeInteger(most) || most < 1) {
    throw new OptionError(`predict: batchSize must be a whole number of at least 1, got ${most}`);
  }
  if (count === 0) return [];
  // A power of two, so that many different counts need few programs.
  const batchSize = Math.min(most, 2 ** Math.ceil(Math.log2(count)));
  const program = forwardProgram(model);
  const results: Float32Array[] = [];
  using inputs = new InputRing([batchSize, ...shape], 'f32');
  for (let from = 0; from < count; from += batchSize) {
    const to = Math.min(from + batchSize, count);
    using logits = await program(inputs.load(rows(from, to)));
    checkLogits('predict', logits, batchSize);
    const classes = logits.shape[1];
    const data = logits.data();
    for (let i = 0; i < to - from; i++) results.push(softmaxRow(data, i * classes, new Float32Array(classes)));
    await turn();
  }
  return results;
}
