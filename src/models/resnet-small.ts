import { AdaptiveAvgPool2d, BatchNorm2d, Flatten, Linear, ReLU, Residual, Sequential } from '../nn/index.js';
import { checkWhole, MODEL_OPTIONS, type ModelOptions, modelOptions } from './options.js';
import { plainConv, type RandomSource, stem } from './stem.js';

/** Options of {@link resnetSmall}. */
export interface ResnetSmallOptions extends ModelOptions {
  /** Channels of the first stage; each further one has twice as many. Default 16. */
  readonly width?: number;
  /** Residual blocks in each of the three stages: 6 · blocks + 2 layers in all. Default 2. */
  readonly blocks?: number;
}

/**
 * The residual network for small images (He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016, section
 * 4.2): three stages of `width`, 2 `width` and 4 `width` channels at full, half and quarter size, where the shape changes with a 1×1
 * convolution as the shortcut.
 *
 * [n, inChannels, height, width] → [n, classes]; any size.
 */
export function resnetSmall(options: ResnetSmallOptions = {}): Sequential {
  const known = [...MODEL_OPTIONS, 'width', 'blocks'];
  const { classes, inChannels, height, width: imageWidth, random } = modelOptions('resnetSmall', options, known);
  const { width = 16, blocks = 2 } = options;
  checkWhole('resnetSmall', 'width', width);
  checkWhole('resnetSmall', 'blocks', blocks);
  return new Sequential({
    stem: new Sequential(stem(inChannels, width, Math.min(height, imageWidth), random)),
    layer1: stage(width, width, 1, blocks, random),
    layer2: stage(width, 2 * width, 2, blocks, random),
    layer3: stage(2 * width, 4 * width, 2, blocks, random),
    avgpool: new AdaptiveAvgPool2d(1),
    flatten: new Flatten(),
    fc: new Linear(4 * width, classes, random),
  });
}

function stage(inChannels: number, channels: number, stride: number, blocks: number, source: RandomSource): Sequential {
  return new Sequential(
    ...Array.from({ length: blocks }, (_, i) =>
      i === 0 ? basicBlock(inChannels, channels, stride, source) : basicBlock(channels, channels, 1, source),
    ),
  );
}

function basicBlock(inChannels: number, channels: number, stride: number, source: RandomSource): Residual {
  const body = new Sequential({
    conv1: plainConv(inChannels, channels, 3, stride, source),
    bn1: new BatchNorm2d(channels),
    relu: new ReLU(),
    conv2: plainConv(channels, channels, 3, 1, source),
    bn2: new BatchNorm2d(channels),
  });
  const shortcut =
    stride === 1 && inChannels === channels
      ? undefined
      : new Sequential({ conv: plainConv(inChannels, channels, 1, stride, source), bn: new BatchNorm2d(channels) });
  return new Residual(body, shortcut, new ReLU());
}
