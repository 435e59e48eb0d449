import {
  AdaptiveAvgPool2d,
  BatchNorm2d,
  Dropout,
  Flatten,
  Linear,
  MaxPool2d,
  type Module,
  ReLU,
  Sequential,
} from '../nn/index.js';
import { checkWhole, MODEL_OPTIONS, type ModelOptions, modelOptions } from './options.js';
import { plainConv, type RandomSource, stem } from './stem.js';

/** Options of {@link vggSmall}. */
export interface VggSmallOptions extends ModelOptions {
  /** Channels of the first stage; each further one has twice as many. Default 32. */
  readonly width?: number;
  /** Before the last layer. Default 0.3. */
  readonly dropout?: number;
}

/**
 * Pairs of 3×3 convolutions between poolings (Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
 * recognition", ICLR 2015) with batch normalisation, three stages of `width`, 2 `width` and 4 `width` channels, and global average
 * pooling instead of large linear layers (Lin, Chen and Yan, "Network in network", ICLR 2014).
 *
 * [n, inChannels, height, width] → [n, classes]; sides of at least 4.
 */
export function vggSmall(options: VggSmallOptions = {}): Sequential {
  const known = [...MODEL_OPTIONS, 'width', 'dropout'];
  const { classes, inChannels, height, width: imageWidth, random } = modelOptions('vggSmall', options, known);
  const { width = 32, dropout = 0.3 } = options;
  checkWhole('vggSmall', 'width', width);
  const side = Math.min(height, imageWidth);
  checkWhole('vggSmall', 'size', side, 4);
  return new Sequential({
    stem: new Sequential(stem(inChannels, width, side, random)),
    stage1: new Sequential({ ...unit('1', width, width, random), pool: new MaxPool2d(2) }),
    stage2: new Sequential({
      ...unit('1', width, 2 * width, random),
      ...unit('2', 2 * width, 2 * width, random),
      pool: new MaxPool2d(2),
    }),
    stage3: new Sequential({ ...unit('1', 2 * width, 4 * width, random), ...unit('2', 4 * width, 4 * width, random) }),
    pool: new AdaptiveAvgPool2d(1),
    flatten: new Flatten(),
    dropout: new Dropout(dropout, random),
    fc: new Linear(4 * width, classes, random),
  });
}

function unit(name: string, inChannels: number, outChannels: number, source: RandomSource): Record<string, Module> {
  return {
    [`conv${name}`]: plainConv(inChannels, outChannels, 3, 1, source),
    [`bn${name}`]: new BatchNorm2d(outChannels),
    [`relu${name}`]: new ReLU(),
  };
}
