import { AdaptiveAvgPool3d, BatchNorm3d, Conv3d, Flatten, Linear, type Module, ReLU, Sequential } from '../nn/index.js';
import { Block } from './blocks/block.js';
import { heFanOut, initialized, normalWeights } from './blocks/initialize.js';
import { channelScale, modelOptions, SCALABLE_OPTIONS, type ScalableOptions } from './options.js';

/** In space and time, in space alone, or one after the other. */
type ConvKind = '3d' | 'spatial' | '2plus1d';

function conv(kind: ConvKind, inChannels: number, outChannels: number, middle: number, stride: number): Module {
  if (kind === '3d') return new Conv3d(inChannels, outChannels, 3, { stride, padding: 1, bias: false });
  const space = { stride: [1, stride, stride], padding: [0, 1, 1], bias: false };
  if (kind === 'spatial') return new Conv3d(inChannels, outChannels, [1, 3, 3], space);
  return new Sequential(
    new Conv3d(inChannels, middle, [1, 3, 3], space),
    new BatchNorm3d(middle),
    new ReLU(),
    new Conv3d(middle, outChannels, [3, 1, 1], { stride: [stride, 1, 1], padding: [1, 0, 0], bias: false }),
  );
}

function block(kind: ConvKind, inChannels: number, planes: number, stride: number): Block {
  // As many weights as a 3×3×3 convolution would have (section 3.5 of the paper).
  const middle = Math.max(1, Math.floor((inChannels * planes * 27) / (inChannels * 9 + 3 * planes)));
  const time = kind === 'spatial' ? 1 : stride;
  const downsample: Record<string, Module> =
    stride === 1 && inChannels === planes
      ? {}
      : {
          downsample: new Sequential(
            new Conv3d(inChannels, planes, 1, { stride: [time, stride, stride], bias: false }),
            new BatchNorm3d(planes),
          ),
        };
  return new Block(
    'BasicBlock',
    {
      conv1: new Sequential(conv(kind, inChannels, planes, middle, stride), new BatchNorm3d(planes), new ReLU()),
      conv2: new Sequential(conv(kind, planes, planes, middle, 1), new BatchNorm3d(planes)),
      relu: new ReLU(),
      ...downsample,
    },
    { branches: [['conv1', 'conv2'], Object.keys(downsample)], merge: 'sum', after: ['relu'] },
  );
}

function videoResnet(where: string, kinds: readonly ConvKind[], options: ScalableOptions): Sequential {
  const defaults = { classes: 400, inChannels: 3, size: 112 };
  const { classes, inChannels, random } = modelOptions(where, options, SCALABLE_OPTIONS, defaults);
  const scale = channelScale(where, options);
  const first = scale(64);
  return initialized(random, { conv: heFanOut, linear: normalWeights(0.01) }, () => {
    const space = { stride: [1, 2, 2], bias: false };
    const stem =
      kinds[0] === '2plus1d'
        ? [
            new Conv3d(inChannels, scale(45), [1, 7, 7], { ...space, padding: [0, 3, 3] }),
            new BatchNorm3d(scale(45)),
            new ReLU(),
            new Conv3d(scale(45), first, [3, 1, 1], { padding: [1, 0, 0], bias: false }),
          ]
        : [new Conv3d(inChannels, first, [3, 7, 7], { ...space, padding: [1, 3, 3] })];
    const parts: Record<string, Module> = {
      stem: new Sequential(...stem, new BatchNorm3d(first), new ReLU()),
    };
    let last = first;
    kinds.forEach((kind, stage) => {
      const planes = scale(64 * 2 ** stage);
      const stride = stage === 0 ? 1 : 2;
      parts[`layer${stage + 1}`] = new Sequential(block(kind, last, planes, stride), block(kind, planes, planes, 1));
      last = planes;
    });
    return new Sequential({
      ...parts,
      avgpool: new AdaptiveAvgPool3d(1),
      flatten: new Flatten(),
      fc: new Linear(last, classes),
    });
  });
}

/**
 * R(2+1)D-18 of Tran, Wang, Torresani, Ray, LeCun and Paluri, "A closer look at spatiotemporal convolutions for action recognition", CVPR
 * 2018: a residual network whose convolutions go over space, then over time. As `torchvision.models.video.r2plus1d_18`: 31,505,325
 * parameters.
 *
 * Clips [n, inChannels, frames, height, width] → [n, classes]; any size, meant for 16 frames of 112×112. Default 400 classes, as of
 * Kinetics.
 */
export function r2plus1d18(options: ScalableOptions = {}): Sequential {
  return videoResnet('r2plus1d18', ['2plus1d', '2plus1d', '2plus1d', '2plus1d'], options);
}

/** R3D-18, with 3×3×3 convolutions; see {@link r2plus1d18}. As `torchvision.models.video.r3d_18`: 33,371,472 parameters. */
export function r3d18(options: ScalableOptions = {}): Sequential {
  return videoResnet('r3d18', ['3d', '3d', '3d', '3d'], options);
}

/** MC3-18, 3×3×3 in the first stage, 1×3×3 after it; see {@link r2plus1d18}. As `torchvision.models.video.mc3_18`: 11,695,440 parameters. */
export function mc3_18(options: ScalableOptions = {}): Sequential {
  return videoResnet('mc3_18', ['3d', 'spatial', 'spatial', 'spatial'], options);
}
