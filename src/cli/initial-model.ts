import type { ImageDataset, ImageSplit } from '../data/index.js';
import { withNewHead } from '../exchange/head.js';
import {
  batchProblem,
  imageClassifier,
  outputsFor,
  type PictureFormat,
  pictureFormat,
  shapeOf,
} from '../exchange/image-classifier.js';
import type { LoadedModel } from '../exchange/loaded-model.js';
import { suggestAugmentation } from '../models/index.js';
import type { Module } from '../nn/index.js';
import { ShapeError } from '../tensor/errors.js';
import type { TrainingOptions } from '../train/index.js';
import { UsageError } from './failure.js';
import { openSized, type PictureFlags, picturePreprocessing } from './open-model.js';
import type { Output } from './output.js';
import type { DataChoice, TrainFlags } from './train-options.js';

/** A model that a training begins with. */
export interface InitialModel {
  readonly loaded: LoadedModel;
  readonly format: PictureFormat;
  /** Where neither file nor flags say them, those of the images are taken. */
  readonly normalization: { readonly mean: readonly number[]; readonly std: readonly number[] } | undefined;
}

/** A network ready to be trained on a data set. */
export interface PreparedModel {
  readonly model: Module;
  /** Normalised as the model expects it. */
  readonly dataset: ImageDataset;
  /** Parameters of the last layer, where it is new or trained alone. */
  readonly head: readonly string[];
  /** Whether these were drawn anew. */
  readonly fresh: boolean;
}

/** Opens the model of `--init` and finds out what pictures it takes. */
export async function openInitial(flags: TrainFlags, output: Output): Promise<InitialModel> {
  const path = flags.init as string;
  const named = flags.model === undefined ? {} : { model: flags.model };
  const loaded = await openSized(path, { ...named, ...(flags.size === undefined ? {} : { size: flags.size }) }, output);
  const preprocessing = picturePreprocessing(loaded, withExample(flags, loaded));
  const format =
    preprocessing === undefined || loaded.preprocessing === undefined
      ? pictureFormat(loaded, sizeOf(withExample(flags, loaded)))
      : { ...preprocessing, channelsLast: false };
  if (flags.channels !== undefined && Number(flags.channels) !== format.channels) {
    throw new UsageError(`--channels ${flags.channels}: ${path} takes pictures of ${format.channels} channels`);
  }
  return { loaded, format, normalization: preprocessing };
}

/** The size that a model of any size is meant for, where none is given. */
function withExample<F extends PictureFlags>(flags: F, { example, inputs }: LoadedModel): F {
  if (flags.size !== undefined || example?.length !== 4 || inputs[0].shape?.length !== 4) return flags;
  return { ...flags, size: [example[2], example[3]] as const };
}

function sizeOf({ size }: PictureFlags): { height?: number; width?: number } {
  if (size === undefined) return {};
  const [height, width] = typeof size === 'number' ? [size, size] : size;
  return { height, width };
}

/** How data must be opened for a model. */
export function choiceFor({ format }: InitialModel, choice: DataChoice): DataChoice {
  return { ...choice, size: [format.height, format.width], channels: format.channels };
}

/**
 * Puts a new last layer on the model where the data have other classes than it.
 *
 * @param frozen whether its last layer is to be trained alone
 * @throws OptionError where there must be a last layer and none can be told
 */
export function prepareInitial(
  { loaded, format, normalization }: InitialModel,
  images: ImageDataset,
  frozen: boolean,
): PreparedModel {
  const { model, classes, path } = loaded;
  const dataset = inOrderOf(classes, images);
  const shape = shapeOf(format);
  const count = dataset.classes.length;
  const outputs = outputsFor(model, shape);
  const problem = batchProblem(model, shape);
  if (problem !== undefined) {
    throw new ShapeError(
      `${path}: takes one picture at a time and cannot be trained in batches (${problem}); export it with a free batch`,
    );
  }
  // Where the file has no names, as many outputs as classes are taken for these.
  const same = classes === undefined ? outputs === count : `${classes}` === `${dataset.classes}`;
  const renewed = same && !frozen ? undefined : withNewHead(model, count, shape);
  const inner = same || renewed === undefined ? model : renewed.model;
  const adapted =
    loaded.preprocessing === undefined
      ? imageClassifier({ model: inner, path, inputs: loaded.inputs }, format, count)
      : inner;
  return {
    model: adapted,
    dataset: normalization === undefined ? dataset : { ...dataset, mean: normalization.mean, std: normalization.std },
    head: (renewed?.head ?? []).map((name) => (adapted === inner ? name : `model.${name}`)),
    fresh: !same,
  };
}

/** The data with its classes in the order of a model's outputs, where they are the same ones. */
export function inOrderOf(classes: readonly string[] | undefined, dataset: ImageDataset): ImageDataset {
  const found = dataset.classes;
  if (classes === undefined || classes.length !== found.length || !found.every((name) => classes.includes(name))) {
    return dataset;
  }
  const mapping = found.map((name) => classes.indexOf(name));
  const relabelled = (split: ImageSplit): ImageSplit => ({ ...split, labels: split.labels.map((i) => mapping[i]) });
  const { train, validation, test } = dataset.splits;
  return {
    ...dataset,
    classes,
    splits: {
      train: relabelled(train),
      ...(validation === undefined ? {} : { validation: relabelled(validation) }),
      test: relabelled(test),
    },
  };
}

/** For weights that have learnt already: small steps, each number at its own scale. */
export function fineTuningDefaults(dataset: ImageDataset, frozen: boolean): TrainingOptions {
  return {
    epochs: 10,
    batchSize: dataset.splits.train.count < 1000 ? 16 : 32,
    optimizer: 'adamw',
    lr: frozen ? 5e-3 : 3e-4,
    weightDecay: 0.01,
    schedule: { type: 'cosine', warmup: 0.5 },
    labelSmoothing: 0,
    augment: suggestAugmentation(dataset),
  };
}
