import { AdaptiveAvgPool2d, Flatten, Linear, Sequential } from '../nn/index.js';
import { convNorm, convNormLayers } from './blocks/conv-norm.js';
import { heFanOut, initialized, normalWeights } from './blocks/initialize.js';
import { channelScale, IMAGENET, modelOptions, SCALABLE_OPTIONS, type ScalableOptions } from './options.js';

/** Channels and stride of the separable convolutions (table 1 of the paper). */
const PLAN: readonly (readonly [channels: number, stride: number])[] = [
  [64, 1],
  [128, 2],
  [128, 1],
  [256, 2],
  [256, 1],
  [512, 2],
  [512, 1],
  [512, 1],
  [512, 1],
  [512, 1],
  [512, 1],
  [1024, 2],
  [1024, 1],
];

/**
 * MobileNet of Howard et al., "MobileNets: Efficient convolutional neural networks for mobile vision applications", 2017: depthwise
 * convolutions, each with a pointwise one. 4,231,976 parameters; with `widthMult` α as in the paper. Keys: `model.0.0` … `fc`.
 *
 * [n, inChannels, height, width] → [n, classes]; any size, meant for 224.
 */
export function mobilenetV1(options: ScalableOptions = {}): Sequential {
  const { classes, inChannels, random } = modelOptions('mobilenetV1', options, SCALABLE_OPTIONS, IMAGENET);
  const scale = channelScale('mobilenetV1', options);
  return initialized(random, { conv: heFanOut, linear: normalWeights(0.01) }, () => {
    const layers = [convNorm(inChannels, scale(32), 3, { stride: 2 })];
    let last = scale(32);
    for (const [channels, stride] of PLAN) {
      layers.push(
        new Sequential(
          ...convNormLayers(last, last, 3, { stride, groups: last }),
          ...convNormLayers(last, scale(channels), 1),
        ),
      );
      last = scale(channels);
    }
    return new Sequential({
      model: new Sequential(...layers, new AdaptiveAvgPool2d(1)),
      flatten: new Flatten(),
      fc: new Linear(last, classes),
    });
  });
}
