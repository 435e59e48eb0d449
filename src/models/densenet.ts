import {
  AdaptiveAvgPool2d,
  AvgPool2d,
  BatchNorm2d,
  Conv2d,
  Dropout,
  Flatten,
  init,
  Linear,
  MaxPool2d,
  type Module,
  ReLU,
  Sequential,
  type StateEntry,
} from '../nn/index.js';
import { Block } from './blocks/block.js';
import { heFanIn, initialized } from './blocks/initialize.js';
import { channelScale, IMAGENET, modelOptions, SCALABLE_OPTIONS, type ScalableOptions } from './options.js';

/** Options of {@link densenet121} and its kin. */
export interface DensenetOptions extends ScalableOptions {
  /** After every 3×3 convolution. Default 0: none. */
  readonly dropout?: number;
}

/** Layers of the four blocks. */
const PLAN = [6, 12, 24, 16];

/** Adds `growth` channels to its input. */
function denseLayer(inChannels: number, growth: number, inner: number, after: Readonly<Record<string, Module>>): Block {
  const parts = {
    norm1: new BatchNorm2d(inChannels),
    relu1: new ReLU(),
    conv1: new Conv2d(inChannels, inner, 1, { bias: false }),
    norm2: new BatchNorm2d(inner),
    relu2: new ReLU(),
    conv2: new Conv2d(inner, growth, 3, { padding: 1, bias: false }),
    ...after,
  };
  return new Block('DenseLayer', parts, { branches: [[], Object.keys(parts)], merge: 'concat' });
}

/**
 * DenseNet-121 of Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional networks", CVPR 2017: every layer reads all
 * before it. As `torchvision.models.densenet121`: 7,978,856 parameters; its file has older keys, which {@link densenetKeys} renames.
 *
 * [n, inChannels, height, width] → [n, classes]; sides of at least 29, meant for 224.
 */
export function densenet121(options: DensenetOptions = {}): Sequential {
  const where = 'densenet121';
  const known = [...SCALABLE_OPTIONS, 'dropout'];
  const { classes, inChannels, random } = modelOptions(where, options, known, { ...IMAGENET, least: 29 });
  const { dropout = 0 } = options;
  const scale = channelScale(where, options);
  const growth = scale(32);
  return initialized(random, { conv: heFanIn, linear: (weight, r) => init.defaultInit(weight, undefined, r) }, () => {
    let last = scale(64);
    const features: Record<string, Module> = {
      conv0: new Conv2d(inChannels, last, 7, { stride: 2, padding: 3, bias: false }),
      norm0: new BatchNorm2d(last),
      relu0: new ReLU(),
      pool0: new MaxPool2d(3, { stride: 2, padding: 1 }),
    };
    PLAN.forEach((count, i) => {
      const layers: Record<string, Module> = {};
      for (let k = 1; k <= count; k++) {
        const after: Record<string, Module> = dropout > 0 ? { dropout: new Dropout(dropout, random) } : {};
        layers[`denselayer${k}`] = denseLayer(last, growth, 4 * growth, after);
        last += growth;
      }
      features[`denseblock${i + 1}`] = new Sequential(layers);
      if (i === PLAN.length - 1) return;
      const half = Math.floor(last / 2);
      features[`transition${i + 1}`] = new Sequential({
        norm: new BatchNorm2d(last),
        relu: new ReLU(),
        conv: new Conv2d(last, half, 1, { bias: false }),
        pool: new AvgPool2d(2),
      });
      last = half;
    });
    features.norm5 = new BatchNorm2d(last);
    const model = new Sequential({
      features: new Sequential(features),
      relu: new ReLU(),
      avgpool: new AdaptiveAvgPool2d(1),
      flatten: new Flatten(),
      classifier: new Linear(last, classes),
    });
    return model;
  });
}

/** The keys of today for a state with those of torchvision's file (`denselayer1.norm.1.weight` → `denselayer1.norm1.weight`). */
export function densenetKeys(state: Readonly<Record<string, StateEntry>>): Record<string, StateEntry> {
  const renamed = (key: string): string => key.replace(/(denselayer\d+\.(?:norm|conv))\.([12])\./, '$1$2.');
  return Object.fromEntries(Object.entries(state).map(([key, value]) => [renamed(key), value]));
}
