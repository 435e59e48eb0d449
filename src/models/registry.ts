import type { AugmentOptions, ImageDataset } from '../data/index.js';
import type { Module } from '../nn/index.js';
import { OptionError } from '../tensor/errors.js';
import type { TrainingOptions } from '../train/index.js';
import { lenet } from './lenet.js';
import type { ModelOptions } from './options.js';
import { resnetSmall } from './resnet.js';
import { vggSmall } from './vgg.js';

/** What the suggestions depend on; an `ImageDataset` fits. */
export type DataFacts = Pick<ImageDataset, 'kind' | 'height' | 'width' | 'channels'> & {
  readonly splits: { readonly train: { readonly count: number } };
};

/** A model by its name on the command line. */
export interface ModelEntry {
  readonly name: string;
  /** One line. */
  readonly description: string;
  create(options: ModelOptions): Module;
  /** How to train it on such data, augmentation included. */
  defaults(data: DataFacts): TrainingOptions;
}

export const MODELS: Readonly<Record<string, ModelEntry>> = {
  lenet: {
    name: 'lenet',
    description: 'LeNet-5: two convolutions, three linear layers; for digits and other simple shapes',
    create: lenet,
    defaults: (data) => ({
      epochs: 10,
      batchSize: 64,
      optimizer: 'adam',
      lr: 0.002,
      weightDecay: 0,
      schedule: { type: 'cosine', warmup: 0.5 },
      labelSmoothing: 0,
      augment: suggestAugmentation(data),
    }),
  },
  'vgg-small': {
    name: 'vgg-small',
    description: 'six 3×3 convolutions with batch normalisation, 32 to 128 channels',
    create: vggSmall,
    defaults: normalizedNetDefaults,
  },
  'resnet-small': {
    name: 'resnet-small',
    description: 'ResNet-14: six residual blocks, 16 to 64 channels',
    create: resnetSmall,
    defaults: normalizedNetDefaults,
  },
};

/** @throws OptionError that lists the names there are. */
export function findModel(name: string): ModelEntry {
  if (!Object.hasOwn(MODELS, name)) {
    throw new OptionError(`there is no model "${name}"; there are ${Object.keys(MODELS).join(', ')}`);
  }
  return MODELS[name];
}

/** For networks with batch normalisation: few images need more passes, and smaller batches to make steps enough. */
function normalizedNetDefaults(data: DataFacts): TrainingOptions {
  const few = data.splits.train.count < 10_000;
  return {
    epochs: few ? 20 : 8,
    batchSize: few ? 32 : 128,
    optimizer: 'sgd',
    lr: few ? 0.03 : 0.1,
    momentum: 0.9,
    nesterov: true,
    weightDecay: 5e-4,
    schedule: { type: 'cosine', warmup: 1 },
    labelSmoothing: 0.05,
    augment: suggestAugmentation(data),
  };
}

/** Changes that leave the class of such images as it is, as far as the kind of data tells. */
export function suggestAugmentation({ kind, height, width }: DataFacts): AugmentOptions {
  const side = Math.min(height, width);
  switch (kind) {
    case 'strokes':
      // No flips: mirrored digits are others, or none.
      return { shift: 2, rotate: 10, scale: 0.1, elastic: { alpha: 20, sigma: 4 }, fill: 0 };
    case 'folder':
      // Photographs: what is seen in a mirror, or from a little nearer or farther, is the same.
      return {
        flip: true,
        shift: side / 10,
        rotate: 10,
        scale: 0.15,
        brightness: 0.2,
        contrast: 0.2,
        fill: 'reflect',
      };
    default:
      // IDX files may hold clothes or letters: nothing that turns one class into another.
      return { crop: Math.max(1, Math.round(side / 14)), fill: 'edge' };
  }
}
