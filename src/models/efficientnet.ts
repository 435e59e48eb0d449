import { AdaptiveAvgPool2d, Dropout, Flatten, init, Linear, type Module, Sequential, SiLU } from '../nn/index.js';
import { convNorm } from './blocks/conv-norm.js';
import { heFanOut, initialized, type WeightRule } from './blocks/initialize.js';
import { squeezeExcitation } from './blocks/squeeze-excitation.js';
import { StochasticDepth } from './blocks/stochastic-depth.js';
import { invertedResidual } from './mobilenet-v2.js';
import {
  IMAGENET,
  makeDivisible,
  mobileScale,
  modelOptions,
  SCALABLE_OPTIONS,
  type ScalableOptions,
} from './options.js';

/** Options of the EfficientNets. */
export interface EfficientnetOptions extends ScalableOptions {
  /** Before the last layer. Default 0.2. */
  readonly dropout?: number;
  /** With which probability the last residual block is left out in training; earlier ones less. Default 0.2. */
  readonly stochasticDepth?: number;
}

/** Expansion, kernel, stride, channels and blocks (table 1 of the paper). */
const PLAN: readonly (readonly [expand: number, kernel: number, stride: number, channels: number, count: number])[] = [
  [1, 3, 1, 16, 1],
  [6, 3, 2, 24, 2],
  [6, 5, 2, 40, 2],
  [6, 3, 2, 80, 3],
  [6, 5, 1, 112, 3],
  [6, 5, 2, 192, 4],
  [6, 3, 1, 320, 1],
];

/** Uniform within ±1 / √outputs. */
const uniformByOutputs: WeightRule = (weight, random) => {
  const bound = 1 / Math.sqrt(weight.shape[0]);
  init.uniform(weight, -bound, bound, random);
};

/**
 * EfficientNet-B0 of Tan and Le, "EfficientNet: Rethinking model scaling for convolutional neural networks", ICML 2019. As
 * `torchvision.models.efficientnet_b0`: 5,288,548 parameters. With `widthMult` channels are rounded to multiples of 8.
 *
 * [n, inChannels, height, width] → [n, classes]; any size, meant for 224.
 */
export function efficientnetB0(options: EfficientnetOptions = {}): Sequential {
  const where = 'efficientnetB0';
  const known = [...SCALABLE_OPTIONS, 'dropout', 'stochasticDepth'];
  const { classes, inChannels, random } = modelOptions(where, options, known, IMAGENET);
  const { dropout = 0.2, stochasticDepth = 0.2 } = options;
  const scale = mobileScale(where, options);
  const activation = (): Module => new SiLU();
  const block = (before: number, after: number, [expand, kernel, stride]: readonly number[], drop: number): Module => {
    const expanded = makeDivisible(before * expand);
    const body = new Sequential(
      ...(expanded === before ? [] : [convNorm(before, expanded, 1, { activation })]),
      convNorm(expanded, expanded, kernel, { stride, groups: expanded, activation }),
      squeezeExcitation(expanded, Math.max(1, Math.floor(before / 4)), activation),
      convNorm(expanded, after, 1, { activation: null }),
    );
    const keeps = stride === 1 && before === after;
    const depth: Record<string, Module> = keeps ? { stochastic_depth: new StochasticDepth(drop, random) } : {};
    return invertedResidual('MBConv', 'block', body, keeps, depth);
  };
  return initialized(random, { conv: heFanOut, linear: uniformByOutputs }, () => {
    let last = scale(32);
    const features: Module[] = [convNorm(inChannels, last, 3, { stride: 2, activation })];
    const total = PLAN.reduce((sum, row) => sum + row[4], 0);
    let done = 0;
    for (const [expand, kernel, stride, channels, count] of PLAN) {
      const stage = Array.from({ length: count }, (_, i) => {
        const before = i === 0 ? last : scale(channels);
        const drop = (stochasticDepth * done++) / total;
        return block(before, scale(channels), [expand, kernel, i === 0 ? stride : 1], drop);
      });
      features.push(new Sequential(...stage));
      last = scale(channels);
    }
    features.push(convNorm(last, 4 * last, 1, { activation }));
    return new Sequential({
      features: new Sequential(...features),
      avgpool: new AdaptiveAvgPool2d(1),
      flatten: new Flatten(),
      classifier: new Sequential(new Dropout(dropout, random), new Linear(4 * last, classes)),
    });
  });
}
