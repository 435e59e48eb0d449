import { normalizeImages } from '../data/index.js';
import type { Module } from '../nn/module.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, formatType, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { turn } from './evaluate.js';
import { forwardProgram } from './forward.js';
import { InputRing } from './input-ring.js';
import { softmaxRow } from './metrics.js';
import type { Preprocessing } from './preprocessing.js';

/** Options of {@link predict}. */
export interface PredictOptions {
  /** Most samples per step. Default 64. Does not change the result. */
  batchSize?: number;
  /**
   * What is done to the model's outputs: `softmax` over axis 1 (classes), `sigmoid` of each (labels that do not exclude each other), or
   * `none` (numbers). Default `softmax`.
   */
  activation?: 'softmax' | 'sigmoid' | 'none';
  /**
   * For images [n, channels, height, width] and models that return one row of class scores for each: means of the probabilities of each
   * image and of its mirror image, which is a little better and takes twice the time. Default false.
   */
  mirrored?: boolean;
}

/**
 * What a model says of each sample, in evaluation mode: by default class probabilities, the softmax of its logits.
 *
 * @param inputs f32 [n, …], as the model takes them (normalised).
 * @returns for each sample its outputs, row-major: probabilities of all classes; [classes, …] of pixels or voxels.
 */
export async function predict(model: Module, inputs: Tensor, options: PredictOptions = {}): Promise<Float32Array[]> {
  if (inputs.rank < 2 || inputs.dtype !== 'f32') {
    throw new ShapeError(`predict: inputs must be f32[count, …], got ${formatType(inputs.type)}; ${ALONE}`);
  }
  const [count, ...shape] = inputs.shape;
  const data = inputs.data() as Float32Array;
  const size = sizeOf(shape);
  try {
    return await inBatches(model, count, shape, options, (from, to) => data.subarray(from * size, to * size));
  } catch (error) {
    if (error instanceof ShapeError && count === 1) error.message += `; ${ALONE}`;
    throw error;
  }
}

const ALONE = 'one sample alone is a batch of one, [1, …]';

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
  checkOptions('predict', options, ['batchSize', 'activation', 'mirrored']);
  const { activation = 'softmax', mirrored = false } = options;
  if (!Object.hasOwn(ACTIVATIONS, activation)) {
    throw new OptionError(
      `predict: activation must be one of ${Object.keys(ACTIVATIONS).join(', ')}, got ${activation}`,
    );
  }
  if (mirrored && activation !== 'softmax') {
    throw new OptionError(
      `predict: mirrored is for classes that exclude each other, activation softmax, not ${activation}`,
    );
  }
  const most = options.batchSize ?? 64;
  if (!Number.isSafeInteger(most) || most < 1) {
    throw new OptionError(`predict: batchSize must be a whole number of at least 1, got ${most}`);
  }
  if (count === 0) return [];
  // A power of two, so that many different counts need few programs.
  const batchSize = Math.min(most, 2 ** Math.ceil(Math.log2(count)));
  const program = forwardProgram(model, mirrored);
  const results: Float32Array[] = [];
  using inputs = new InputRing([batchSize, ...shape], 'f32');
  for (let from = 0; from < count; from += batchSize) {
    const to = Math.min(from + batchSize, count);
    using outputs = await program(inputs.load(rows(from, to)));
    if (outputs.rank < 2 || outputs.shape[0] !== batchSize) {
      throw new ShapeError(
        `predict: for ${batchSize} samples the model must return as many rows, [${batchSize}, …]; it returned ${formatShape(outputs.shape)}`,
      );
    }
    const [, classes, ...positions] = outputs.shape;
    const data = outputs.data() as Float32Array;
    const size = classes * sizeOf(positions);
    for (let i = 0; i < to - from; i++) {
      const row = data.slice(i * size, (i + 1) * size);
      ACTIVATIONS[activation](row, classes);
      results.push(row);
    }
    await turn();
  }
  return results;
}

/** In place, of one sample [classes, …]. */
const ACTIVATIONS: Readonly<
  Record<NonNullable<PredictOptions['activation']>, (row: Float32Array, classes: number) => void>
> = {
  softmax: softmaxOver,
  sigmoid(row) {
    for (let i = 0; i < row.length; i++) row[i] = 1 / (1 + Math.exp(-row[i]));
  },
  none() {},
};

function softmaxOver(row: Float32Array, classes: number): void {
  const positions = row.length / classes;
  const logits = new Float32Array(classes);
  const probabilities = new Float32Array(classes);
  for (let at = 0; at < positions; at++) {
    for (let c = 0; c < classes; c++) logits[c] = row[c * positions + at];
    softmaxRow(logits, 0, probabilities);
    for (let c = 0; c < classes; c++) row[c * positions + at] = probabilities[c];
  }
}
