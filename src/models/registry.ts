import type { AugmentOptions, ImageDataset } from '../data/index.js';
import type { Module } from '../nn/index.js';
import { OptionError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import { nearest } from '../tensor/suggest.js';
import type { TrainingOptions } from '../train/index.js';
import { alexnet } from './alexnet.js';
import { c3d } from './c3d.js';
import { densenet121 } from './densenet.js';
import { efficientnetB0 } from './efficientnet.js';
import { googlenet } from './googlenet.js';
import { inceptionV3 } from './inception.js';
import { lenet } from './lenet.js';
import { m5 } from './m5.js';
import { mobilenetV1 } from './mobilenet-v1.js';
import { mobilenetV2 } from './mobilenet-v2.js';
import { mobilenetV3Large, mobilenetV3Small } from './mobilenet-v3.js';
import type { ModelOptions } from './options.js';
import * as resnets from './resnet.js';
import { resnet20, resnet32, resnet44, resnet56 } from './resnet-cifar.js';
import { resnetSmall } from './resnet-small.js';
import { deeplabv3MobilenetV3, deeplabv3Resnet50, fcnResnet50 } from './segmentation.js';
import { squeezenet1_0, squeezenet1_1 } from './squeezenet.js';
import { tcn } from './tcn.js';
import { textCnn } from './text-cnn.js';
import { unet2d, unet3d } from './unet.js';
import { vgg11, vgg11Bn, vgg13, vgg13Bn, vgg16, vgg16Bn, vgg19, vgg19Bn } from './vgg.js';
import { vggSmall } from './vgg-small.js';
import { mc3_18, r2plus1d18, r3d18 } from './video-resnet.js';
import { wavenet } from './wavenet.js';

/** What the suggestions depend on; an `ImageDataset` fits. */
export type DataFacts = Pick<ImageDataset, 'kind' | 'height' | 'width' | 'channels'> & {
  readonly splits: { readonly train: { readonly count: number } };
};

/** What a model is for. */
export type ModelTask =
  | 'image classification'
  | 'image segmentation'
  | 'volume segmentation'
  | 'video classification'
  | 'audio classification'
  | 'audio generation'
  | 'sequence classification'
  | 'text classification';

/** A model by its name: torchvision's where it has the model. */
export interface ModelEntry {
  readonly name: string;
  /** One line. */
  readonly description: string;
  readonly task: ModelTask;
  /** An input that it is meant for, without the batch axis; parameters and costs are told for this one. */
  readonly inputShape: Shape;
  /** With the options that the model's own function knows; {@link ModelOptions} if it is for images. */
  create(options?: ModelOptions): Module;
}

/** A model that `gabor train` takes. */
export interface ImageClassifierEntry extends ModelEntry {
  readonly task: 'image classification';
  /** How to train it on such data, augmentation included. */
  defaults(data: DataFacts): TrainingOptions;
}

type Create = (options?: ModelOptions) => Module;
type Defaults = (data: DataFacts) => TrainingOptions;

const classifiers: ImageClassifierEntry[] = [];

function classifier(name: string, create: Create, description: string, inputShape: Shape, defaults: Defaults): void {
  classifiers.push({ name, description, task: 'image classification', inputShape, create, defaults });
}

const PHOTO = [3, 224, 224];
const CIFAR = [3, 32, 32];

classifier(
  'lenet',
  lenet,
  'LeNet-5: two convolutions, three linear layers; for digits and other simple shapes',
  [1, 28, 28],
  lenetDefaults,
);
classifier(
  'vgg-small',
  vggSmall,
  'six 3×3 convolutions with batch normalisation, 32 to 128 channels',
  [1, 28, 28],
  normalizedNetDefaults,
);
classifier(
  'resnet-small',
  resnetSmall,
  'ResNet-14: six residual blocks, 16 to 64 channels',
  [1, 28, 28],
  normalizedNetDefaults,
);
classifier('alexnet', alexnet, 'AlexNet: five convolutions, three linear layers', PHOTO, plainNetDefaults);
for (const [depth, plain, normalized] of [
  [11, vgg11, vgg11Bn],
  [13, vgg13, vgg13Bn],
  [16, vgg16, vgg16Bn],
  [19, vgg19, vgg19Bn],
] as const) {
  const text = `VGG-${depth}: 3×3 convolutions, three large linear layers`;
  classifier(`vgg${depth}`, plain, text, PHOTO, plainNetDefaults);
  classifier(`vgg${depth}_bn`, normalized, `${text}; with batch normalisation`, PHOTO, normalizedNetDefaults);
}
classifier('googlenet', googlenet, 'GoogLeNet: blocks of four branches', PHOTO, normalizedNetDefaults);
classifier(
  'inception_v3',
  inceptionV3,
  'Inception v3: large kernels as rows and columns',
  [3, 299, 299],
  normalizedNetDefaults,
);
classifier('resnet18', resnets.resnet18, 'ResNet-18: residual blocks', PHOTO, normalizedNetDefaults);
classifier('resnet34', resnets.resnet34, 'ResNet-34: residual blocks', PHOTO, normalizedNetDefaults);
classifier('resnet50', resnets.resnet50, 'ResNet-50: residual bottlenecks', PHOTO, normalizedNetDefaults);
classifier('resnet101', resnets.resnet101, 'ResNet-101: residual bottlenecks', PHOTO, normalizedNetDefaults);
classifier('resnet152', resnets.resnet152, 'ResNet-152: residual bottlenecks', PHOTO, normalizedNetDefaults);
classifier('resnext50_32x4d', resnets.resnext50, 'ResNeXt-50: bottlenecks of 32 groups', PHOTO, normalizedNetDefaults);
classifier(
  'resnext101_32x8d',
  resnets.resnext101,
  'ResNeXt-101: bottlenecks of 32 groups',
  PHOTO,
  normalizedNetDefaults,
);
classifier('wide_resnet50_2', resnets.wideResnet50, 'Wide ResNet-50-2: wide bottlenecks', PHOTO, normalizedNetDefaults);
classifier(
  'wide_resnet101_2',
  resnets.wideResnet101,
  'Wide ResNet-101-2: wide bottlenecks',
  PHOTO,
  normalizedNetDefaults,
);
for (const [depth, create] of [
  [20, resnet20],
  [32, resnet32],
  [44, resnet44],
  [56, resnet56],
] as const) {
  const text = `ResNet-${depth} for small images: residual blocks of 16 to 64 channels`;
  classifier(`resnet${depth}`, create, text, CIFAR, normalizedNetDefaults);
}
classifier('squeezenet1_0', squeezenet1_0, 'SqueezeNet 1.0: few weights', PHOTO, plainNetDefaults);
classifier('squeezenet1_1', squeezenet1_1, 'SqueezeNet 1.1: few weights, less work', PHOTO, plainNetDefaults);
classifier('mobilenet_v1', mobilenetV1, 'MobileNet: depthwise convolutions', PHOTO, normalizedNetDefaults);
classifier('mobilenet_v2', mobilenetV2, 'MobileNet v2: inverted residuals', PHOTO, normalizedNetDefaults);
classifier(
  'mobilenet_v3_large',
  mobilenetV3Large,
  'MobileNet v3: with squeeze and excitation',
  PHOTO,
  normalizedNetDefaults,
);
classifier(
  'mobilenet_v3_small',
  mobilenetV3Small,
  'MobileNet v3, small: with squeeze and excitation',
  PHOTO,
  normalizedNetDefaults,
);
classifier('efficientnet_b0', efficientnetB0, 'EfficientNet-B0: found by search', PHOTO, normalizedNetDefaults);
classifier('densenet121', densenet121, 'DenseNet-121: every layer reads all before it', PHOTO, normalizedNetDefaults);

const OTHERS: readonly ModelEntry[] = [
  {
    name: 'fcn_resnet50',
    description: 'FCN: ResNet-50 with a head for every place',
    task: 'image segmentation',
    inputShape: [3, 520, 520],
    create: fcnResnet50,
  },
  {
    name: 'deeplabv3_resnet50',
    description: 'DeepLab v3: convolutions of several dilations on a ResNet-50',
    task: 'image segmentation',
    inputShape: [3, 520, 520],
    create: deeplabv3Resnet50,
  },
  {
    name: 'deeplabv3_mobilenet_v3_large',
    description: 'DeepLab v3 on a large MobileNet v3',
    task: 'image segmentation',
    inputShape: [3, 520, 520],
    create: deeplabv3MobilenetV3,
  },
  {
    name: 'unet2d',
    description: 'U-Net: down and up again, with connections at every size',
    task: 'image segmentation',
    inputShape: [3, 512, 512],
    create: unet2d,
  },
  {
    name: 'unet3d',
    description: '3-D U-Net',
    task: 'volume segmentation',
    inputShape: [1, 64, 64, 64],
    create: unet3d,
  },
  {
    name: 'wavenet',
    description: 'WaveNet: gated, dilated, causal convolutions; predicts the next sample',
    task: 'audio generation',
    inputShape: [16_000],
    create: wavenet,
  },
  {
    name: 'm5',
    description: 'M5: raw waveforms, a long first convolution',
    task: 'audio classification',
    inputShape: [1, 32_000],
    create: m5,
  },
  {
    name: 'tcn',
    description: 'TCN: causal convolutions of growing dilation, weight normalisation',
    task: 'sequence classification',
    inputShape: [1, 784],
    create: tcn,
  },
  {
    name: 'textcnn',
    description: 'TextCNN: filters over three, four and five words',
    task: 'text classification',
    inputShape: [56],
    create: textCnn,
  },
  {
    name: 'c3d',
    description: 'C3D: eight 3×3×3 convolutions',
    task: 'video classification',
    inputShape: [3, 16, 112, 112],
    create: c3d,
  },
  {
    name: 'r2plus1d_18',
    description: 'R(2+1)D-18: residual, over space, then over time',
    task: 'video classification',
    inputShape: [3, 16, 112, 112],
    create: r2plus1d18,
  },
  {
    name: 'r3d_18',
    description: 'R3D-18: residual, 3×3×3 convolutions',
    task: 'video classification',
    inputShape: [3, 16, 112, 112],
    create: r3d18,
  },
  {
    name: 'mc3_18',
    description: 'MC3-18: residual, first over time too, then over space',
    task: 'video classification',
    inputShape: [3, 16, 112, 112],
    create: mc3_18,
  },
];

/** All models by name. */
export const MODELS: Readonly<Record<string, ModelEntry>> = Object.fromEntries(
  [...classifiers, ...OTHERS].map((entry) => [entry.name, entry]),
);

/** @throws OptionError that lists the names there are. */
export function findModel(name: string): ModelEntry {
  if (!Object.hasOwn(MODELS, name)) throw new OptionError(noSuchModel(name));
  return MODELS[name];
}

/** Says that there is no model of this name, which one may be meant, and which there are. */
export function noSuchModel(name: string): string {
  const names = Object.keys(MODELS);
  const [near] = nearest(name, names, 1);
  const list = `here are ${names.join(', ')}`;
  return `there is no model "${name}"; ${near === undefined ? `t${list}` : `did you mean ${near}? T${list}`}`;
}

/** @throws OptionError where there is no such model, or it does not classify images; lists those that do. */
export function findImageClassifier(name: string): ImageClassifierEntry {
  const entry = findModel(name);
  const found = classifiers.find((classifier) => classifier.name === name);
  if (found === undefined) {
    throw new OptionError(
      `the model "${name}" is for ${entry.task}; images are classified by ${classifiers.map((c) => c.name).join(', ')}`,
    );
  }
  return found;
}

function lenetDefaults(data: DataFacts): TrainingOptions {
  return {
    epochs: 10,
    batchSize: 64,
    optimizer: 'adam',
    lr: 0.002,
    weightDecay: 0,
    schedule: { type: 'cosine', warmup: 0.5 },
    labelSmoothing: 0,
    augment: suggestAugmentation(data),
  };
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

/** For deep networks without normalisation: small steps, each number at its own scale. */
function plainNetDefaults(data: DataFacts): TrainingOptions {
  const { momentum: _, nesterov: __, ...common } = normalizedNetDefaults(data);
  return { ...common, optimizer: 'adamw', lr: 3e-4, weightDecay: 0.01 };
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
