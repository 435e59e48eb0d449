import { OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, type Shape, sizeOf } from '../tensor/shape.js';
import { checkCount, checkFraction, type ImageSplit, movePart, PARTS, type PartName } from './dataset.js';

/** Memory of inputs: numbers as the model gets them, or bytes that are normalised in each batch. */
export type InputArray = Float32Array | Uint8Array;

/** Memory of targets: numbers, or classes as whole numbers; bytes are classes that take less memory. */
export type TargetArray = Float32Array | Int32Array | Uint8Array;

/** One part of a data set of any kind: inputs and targets in the same order. */
export interface SampleSplit {
  readonly count: number;
  /** [count, …inputShape]. Bytes become `(v / 255 − mean) / std`. */
  readonly inputs: InputArray;
  /** [count, …targetShape]. Floats become an f32 tensor; whole numbers, which are classes, an i32 tensor. */
  readonly targets: TargetArray;
}

/** Shapes of single samples. */
export interface SampleFormat {
  /** For example [channels, depth, height, width]. */
  readonly inputShape: Shape;
  /** [] = one class or number per sample; [height, width] = one per pixel; [labels] = several per sample. */
  readonly targetShape: Shape;
  /** Names of the classes; default: their numbers. */
  readonly classes?: readonly string[];
  /** For inputs that are bytes: per channel (first axis), on the scale 0 … 1. Default 0 and 1. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
}

/** Samples of any shape with targets of any shape, in memory: what `fit` and `evaluate` work on beside images. */
export interface SampleDataset extends SampleFormat {
  readonly splits: {
    readonly train: SampleSplit;
    readonly validation?: SampleSplit;
    readonly test?: SampleSplit;
  };
}

/** Geometry and normalisation of images; an `ImageDataset` fits. */
export interface BatchFormat {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** Per channel, on the scale 0 … 1. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** A part and its format with every default filled in: images with one class each are one kind of samples. */
export interface Samples extends SampleSplit {
  readonly inputShape: Shape;
  readonly targetShape: Shape;
  /** Of bytes, per channel. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
}

/** @throws ShapeError where the split and the format disagree, OptionError for a normalisation that makes no sense. */
export function samplesOf(where: string, split: ImageSplit | SampleSplit, format: BatchFormat | SampleFormat): Samples {
  const { count } = split;
  if ('images' in split) {
    if (!('channels' in format)) {
      throw new ShapeError(`${where}: images need a format with channels, height, width, mean and std`);
    }
    const { channels, height, width, mean, std } = format;
    const size = channels * height * width;
    if (split.images.length !== count * size || split.labels.length !== count) {
      throw new ShapeError(
        `${where}: ${count} images of ${channels}×${height}×${width} are ${count * size} bytes and ${count} labels, but the split has ${split.images.length} bytes and ${split.labels.length} labels`,
      );
    }
    checkStatistics(where, channels, mean, std);
    return {
      count,
      inputs: split.images,
      targets: split.labels,
      inputShape: [channels, height, width],
      targetShape: [],
      mean,
      std,
    };
  }
  if (!('inputShape' in format))
    throw new ShapeError(`${where}: samples need a format with inputShape and targetShape`);
  const { inputShape, targetShape } = format;
  const { inputs, targets } = split;
  checkElements(where, 'inputs', inputs, count, inputShape);
  checkElements(where, 'targets', targets, count, targetShape);
  const samples: Samples = { count, inputs, targets, inputShape, targetShape };
  if (inputs instanceof Float32Array) {
    if (format.mean ?? format.std) {
      throw new OptionError(`${where}: mean and std are for inputs that are bytes; numbers are taken as they are`);
    }
    return samples;
  }
  const channels = inputShape[0] ?? 1;
  const { mean = new Array<number>(channels).fill(0), std = new Array<number>(channels).fill(1) } = format;
  checkStatistics(where, channels, mean, std);
  return { ...samples, mean, std };
}

function checkElements(where: string, what: string, data: InputArray | TargetArray, count: number, shape: Shape): void {
  if (data.length === count * sizeOf(shape)) return;
  throw new ShapeError(
    `${where}: ${count} ${what} of shape ${formatShape(shape)} are ${count * sizeOf(shape)} elements, got ${data.length}`,
  );
}

function checkStatistics(where: string, channels: number, mean: readonly number[], std: readonly number[]): void {
  if (mean.length !== channels || std.length !== channels) {
    throw new ShapeError(
      `${where}: ${channels} channels need as many means and deviations, got ${mean.length} and ${std.length}`,
    );
  }
  if (!std.every((value) => value > 0)) throw new OptionError(`${where}: std must be positive, got ${std.join(', ')}`);
}

/** Options of {@link sampleDataset}. */
export interface SplitOptions {
  /** Share of the samples that becomes the test part. Default 0 (none). */
  testSplit?: number;
  /** Share of the rest that becomes the validation part. Default 0 (none). */
  valSplit?: number;
  /** Decides which samples go where. Default 0. */
  seed?: number;
}

/** Samples one by one: inputs and targets as numbers, row-major. */
export interface Sample {
  readonly input: ArrayLike<number>;
  /** A number where `targetShape` is []. */
  readonly target: number | ArrayLike<number>;
}

/** Where samples come from: arrays of all of them, or one after the other. */
export type SampleSource =
  | { readonly inputs: InputArray; readonly targets: TargetArray }
  | Iterable<Sample>
  | AsyncIterable<Sample>;

/** How samples that come one by one are kept. */
export interface SampleTypes {
  /** Default `f32`. */
  inputType?: 'f32' | 'u8';
  /** `i32` and `u8` are classes. Default: `i32` where the format names classes, else `f32`. */
  targetType?: 'f32' | 'i32' | 'u8';
}

const ARRAYS = { f32: Float32Array, i32: Int32Array, u8: Uint8Array } as const;

/**
 * A data set in memory, of arrays or of a generator's samples, split at random.
 *
 *     const data = await sampleDataset({ inputs, targets }, { inputShape: [1, 48, 48], targetShape: [48, 48] }, { testSplit: 0.2 });
 *     await fit(model, data, { loss: 'crossEntropy' });
 *
 * A training part of its own is `{ ...format, splits: { train: { count, inputs, targets }, test: … } }`, without this function.
 *
 * @throws ShapeError where the numbers of elements do not fit the shapes.
 */
export async function sampleDataset(
  source: SampleSource,
  format: SampleFormat & SampleTypes,
  { testSplit = 0, valSplit = 0, seed = 0 }: SplitOptions = {},
): Promise<SampleDataset> {
  const where = 'sampleDataset';
  const { inputType, targetType, ...shapes } = format;
  const all = 'inputs' in source ? { ...source, count: countOf(source.inputs, shapes) } : await collect(source, format);
  samplesOf(where, all, shapes);
  const parts: PartName[] = new Array<PartName>(all.count).fill('train');
  const alike = new Int32Array(all.count);
  for (const [to, share] of [
    ['test', checkFraction('testSplit', testSplit)],
    ['validation', checkFraction('valSplit', valSplit)],
  ] as const) {
    if (share > 0) movePart(parts, alike, 'train', to, share, seed);
  }
  const splits = {} as Record<PartName, SampleSplit>;
  for (const part of PARTS) {
    const rows = parts.flatMap((name, row) => (name === part ? [row] : []));
    if (part !== 'train' && rows.length === 0) continue;
    splits[part] = {
      count: rows.length,
      inputs: pick(all.inputs, sizeOf(shapes.inputShape), rows),
      targets: pick(all.targets, sizeOf(shapes.targetShape), rows),
    };
  }
  return { ...shapes, splits };
}

function countOf(inputs: InputArray, { inputShape }: SampleFormat): number {
  return Math.floor(inputs.length / sizeOf(inputShape));
}

async function collect(
  source: Iterable<Sample> | AsyncIterable<Sample>,
  {
    inputShape,
    targetShape,
    classes,
    inputType = 'f32',
    targetType = classes ? 'i32' : 'f32',
  }: SampleFormat & SampleTypes,
): Promise<SampleSplit> {
  const samples: Sample[] = [];
  const lengths = { input: sizeOf(inputShape), target: sizeOf(targetShape) };
  for await (const sample of source) {
    for (const what of ['input', 'target'] as const) {
      const part = sample[what];
      const length = typeof part === 'number' ? 1 : part.length;
      if (length !== lengths[what]) {
        const shape = what === 'input' ? inputShape : targetShape;
        throw new ShapeError(
          `sampleDataset: the ${what} of sample ${samples.length} has ${length} elements, but its shape is ${formatShape(shape)}`,
        );
      }
    }
    samples.push(sample);
  }
  const count = checkCount('sampleDataset: number of samples', samples.length, 1);
  const inputs = new ARRAYS[inputType](count * lengths.input);
  const targets = new ARRAYS[targetType](count * lengths.target);
  samples.forEach(({ input, target }, row) => {
    inputs.set(input, row * lengths.input);
    targets.set(typeof target === 'number' ? [target] : target, row * lengths.target);
  });
  return { count, inputs, targets };
}

/** Rows of [count, size] in memory that all threads see. */
function pick<T extends InputArray | TargetArray>(data: T, size: number, rows: readonly number[]): T {
  const Type = data.constructor as new (buffer: SharedArrayBuffer) => T;
  const result = new Type(new SharedArrayBuffer(rows.length * size * data.BYTES_PER_ELEMENT));
  rows.forEach((row, i) => {
    result.set(data.subarray(row * size, (row + 1) * size), i * size);
  });
  return result;
}
