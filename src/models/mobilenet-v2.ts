import {
  AdaptiveAvgPool2d,
  BatchNorm2d,
  Conv2d,
  Dropout,
  Flatten,
  Linear,
  type Module,
  ReLU6,
  Sequential,
} from '../nn/index.js';
import { Block } from './blocks/block.js';
import { convNorm } from './blocks/conv-norm.js';
import { heFanOut, initialized, normalWeights } from './blocks/initialize.js';
import {
  IMAGENET,
  makeDivisible,
  mobileScale,
  modelOptions,
  SCALABLE_OPTIONS,
  type ScalableOptions,
} from './options.js';

/** Options of the MobileNets. */
export interface MobilenetOptions extends ScalableOptions {
  /** Before the last layer. Default 0.2. */
  readonly dropout?: number;
}

/** Expansion, channels, blocks and stride (table 2 of the paper). */
const PLAN: readonly (readonly [expand: number, channels: number, count: number, stride: number])[] = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
];

/**
 * A body under `name` that adds to its input where it keeps the shape; parts of `after` follow the body there. Elsewhere the
 * body alone.
 */
export function invertedResidual(
  kind: 'InvertedResidual' | 'MBConv',
  name: string,
  body: Module,
  keeps: boolean,
  after: Readonly<Record<string, Module>> = {},
): Module {
  if (!keeps) return new Sequential({ [name]: body });
  return new Block(kind, { [name]: body, ...after }, { branches: [[name, ...Object.keys(after)], []], merge: 'sum' });
}

function block(inChannels: number, outChannels: number, stride: number, expand: number): Module {
  const hidden = Math.round(inChannels * expand);
  const activation = (): Module => new ReLU6();
  const body = new Sequential(
    ...(expand === 1 ? [] : [convNorm(inChannels, hidden, 1, { activation })]),
    convNorm(hidden, hidden, 3, { stride, groups: hidden, activation }),
    new Conv2d(hidden, outChannels, 1, { bias: false }),
    new BatchNorm2d(outChannels),
  );
  return invertedResidual('InvertedResidual', 'conv', body, stride === 1 && inChannels === outChannels);
}

/**
 * MobileNet v2 of Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: Inverted residuals and linear bottlenecks", CVPR 2018. As
 * `torchvision.models.mobilenet_v2`: 3,504,872 parameters. With `widthMult` channels are rounded to multiples of 8.
 *
 * [n, inChannels, height, width] → [n, classes]; any size, meant for 224.
 */
export function mobilenetV2(options: MobilenetOptions = {}): Sequential {
  const where = 'mobilenetV2';
  const { classes, inChannels, random } = modelOptions(where, options, [...SCALABLE_OPTIONS, 'dropout'], IMAGENET);
  const { dropout = 0.2, widthMult = 1 } = options;
  const scale = mobileScale(where, options);
  return initialized(random, { conv: heFanOut, linear: normalWeights(0.01) }, () => {
    const activation = (): Module => new ReLU6();
    let last = scale(32);
    const features: Module[] = [convNorm(inChannels, last, 3, { stride: 2, activation })];
    for (const [expand, channels, count, stride] of PLAN) {
      for (let i = 0; i < count; i++) {
        features.push(block(last, scale(channels), i === 0 ? stride : 1, expand));
        last = scale(channels);
      }
    }
    // Narrow networks keep the full width here.
    const wide = makeDivisible(1280 * Math.max(1, widthMult));
    features.push(convNorm(last, wide, 1, { activation }));
    return new Sequential({
      features: new Sequential(...features),
      avgpool: new AdaptiveAvgPool2d(1),
      flatten: new Flatten(),
      classifier: new Sequential(new Dropout(dropout, random), new Linear(wide, classes)),
    });
  });
}
