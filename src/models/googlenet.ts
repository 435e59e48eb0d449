import {
  AdaptiveAvgPool2d,
  Dropout,
  Flatten,
  Linear,
  MaxPool2d,
  type Module,
  Parallel,
  ReLU,
  Sequential,
} from '../nn/index.js';
import { OptionError } from '../tensor/errors.js';
import { basicConv } from './blocks/conv-norm.js';
import { initialized, normalWeights } from './blocks/initialize.js';
import { imagenetToUnit } from './blocks/input-transform.js';
import { Trunk } from './blocks/trunk.js';
import { channelScale, IMAGENET, modelOptions, SCALABLE_OPTIONS, type ScalableOptions } from './options.js';

/** Of the Inception networks. */
export interface InceptionOptions extends ScalableOptions {
  /** Before the last layer. */
  readonly dropout?: number;
  /** With the auxiliary heads, as in torchvision's files of weights; see {@link Trunk.outputs}. */
  readonly auxLogits?: boolean;
  /** The input is normalised as usual for ImageNet, but the weights expect −1 to 1: torchvision's files do. Default false. */
  readonly transformInput?: boolean;
}

/** Options of {@link googlenet}. */
export interface GooglenetOptions extends InceptionOptions {
  /** In the auxiliary heads. Default 0.7. */
  readonly dropoutAux?: number;
}

export const INCEPTION_OPTIONS: readonly string[] = [...SCALABLE_OPTIONS, 'dropout', 'auxLogits', 'transformInput'];

/** The part that `transformInput` asks for. */
export function inputTransform(
  where: string,
  { transformInput = false }: InceptionOptions,
  inChannels: number,
): Record<string, Module> {
  if (!transformInput) return {};
  if (inChannels !== 3) {
    throw new OptionError(
      `${where}: transformInput is for colour images (inChannels 3), not for ${inChannels} channels`,
    );
  }
  return { transform: imagenetToUnit() };
}

/** Channels of 1×1; of 1×1 before 3×3, and 3×3; the same of the second 3×3; of the 1×1 after pooling (table 1 of the paper). */
const BLOCKS: Readonly<Record<string, readonly number[]>> = {
  inception3a: [64, 96, 128, 16, 32, 32],
  inception3b: [128, 128, 192, 32, 96, 64],
  inception4a: [192, 96, 208, 16, 48, 64],
  inception4b: [160, 112, 224, 24, 64, 64],
  inception4c: [128, 128, 256, 24, 64, 64],
  inception4d: [112, 144, 288, 32, 64, 64],
  inception4e: [256, 160, 320, 32, 128, 128],
  inception5a: [256, 160, 320, 32, 128, 128],
  inception5b: [384, 192, 384, 48, 128, 128],
};

/**
 * GoogLeNet of Szegedy et al., "Going deeper with convolutions", CVPR 2015: blocks of 1×1, 3×3 and larger convolutions side by side;
 * with batch normalisation, and 3×3 in the place of 5×5. As `torchvision.models.googlenet`: 6,624,904 parameters; 13,004,888 with
 * the auxiliary heads (`auxLogits`, default false), which torchvision's file has.
 *
 * [n, inChannels, height, width] → [n, classes]; sides of at least 15, meant for 224. Dropout 0.2.
 */
export function googlenet(options: GooglenetOptions = {}): Trunk {
  const known = [...INCEPTION_OPTIONS, 'dropoutAux'];
  const { classes, inChannels, random } = modelOptions('googlenet', options, known, { ...IMAGENET, least: 15 });
  const { dropout = 0.2, dropoutAux = 0.7, auxLogits = false } = options;
  const scale = channelScale('googlenet', options);
  const after = (name: string): number => {
    const [a, , b, , c, d] = BLOCKS[name].map(scale);
    return a + b + c + d;
  };
  const block = (name: string, before: number): Record<string, Module> => ({
    [name]: inception(before, BLOCKS[name].map(scale)),
  });
  const pool = (size: number): MaxPool2d => new MaxPool2d(size, { stride: 2, ceilMode: true });
  const aux = (channels: number): Module => {
    const inside = scale(128);
    return new Sequential({
      avgpool: new AdaptiveAvgPool2d(4),
      conv: basicConv(channels, inside, 1),
      flatten: new Flatten(),
      fc1: new Linear(inside * 16, scale(1024)),
      relu: new ReLU(),
      dropout: new Dropout(dropoutAux, random),
      fc2: new Linear(scale(1024), classes),
    });
  };
  return initialized(random, { conv: normalWeights(0.01), linear: normalWeights(0.01) }, () => {
    const heads: Record<string, Module> = auxLogits
      ? { aux1: aux(after('inception4a')), aux2: aux(after('inception4d')) }
      : {};
    return new Trunk(
      {
        ...inputTransform('googlenet', options, inChannels),
        conv1: basicConv(inChannels, scale(64), 7, { stride: 2 }),
        maxpool1: pool(3),
        conv2: basicConv(scale(64), scale(64), 1),
        conv3: basicConv(scale(64), scale(192), 3),
        maxpool2: pool(3),
        ...block('inception3a', scale(192)),
        ...block('inception3b', after('inception3a')),
        maxpool3: pool(3),
        ...block('inception4a', after('inception3b')),
        ...block('inception4b', after('inception4a')),
        ...block('inception4c', after('inception4b')),
        ...block('inception4d', after('inception4c')),
        ...block('inception4e', after('inception4d')),
        maxpool4: pool(2),
        ...block('inception5a', after('inception4e')),
        ...block('inception5b', after('inception5a')),
        ...heads,
        avgpool: new AdaptiveAvgPool2d(1),
        flatten: new Flatten(),
        dropout: new Dropout(dropout, random),
        fc: new Linear(after('inception5b'), classes),
      },
      auxLogits ? { aux1: 'inception4a', aux2: 'inception4d' } : {},
    );
  });
}

function inception(inChannels: number, [c1, r3, c3, r5, c5, pooled]: readonly number[]): Parallel {
  return new Parallel({
    branch1: basicConv(inChannels, c1, 1),
    branch2: new Sequential(basicConv(inChannels, r3, 1), basicConv(r3, c3, 3)),
    branch3: new Sequential(basicConv(inChannels, r5, 1), basicConv(r5, c5, 3)),
    branch4: new Sequential(
      new MaxPool2d(3, { stride: 1, padding: 1, ceilMode: true }),
      basicConv(inChannels, pooled, 1),
    ),
  });
}
