import {
  AdaptiveAvgPool2d,
  Conv2d,
  Dropout,
  Flatten,
  init,
  MaxPool2d,
  type Module,
  ReLU,
  Sequential,
} from '../nn/index.js';
import { Block } from './blocks/block.js';
import { initialized } from './blocks/initialize.js';
import { channelScale, IMAGENET, modelOptions, SCALABLE_OPTIONS, type ScalableOptions } from './options.js';

/** Options of the SqueezeNets. */
export interface SqueezenetOptions extends ScalableOptions {
  /** Before the last convolution. Default 0.5. */
  readonly dropout?: number;
}

/** Channels of the first convolution, its kernel, and what follows: `M` = pooling, otherwise squeezed and expanded channels. */
interface Plan {
  readonly channels: number;
  readonly kernel: number;
  readonly least: number;
  readonly rest: readonly ('M' | readonly [squeeze: number, expand: number])[];
}

const PLANS: Readonly<Record<string, Plan>> = {
  squeezenet1_0: {
    channels: 96,
    kernel: 7,
    least: 21,
    rest: ['M', [16, 64], [16, 64], [32, 128], 'M', [32, 128], [48, 192], [48, 192], [64, 256], 'M', [64, 256]],
  },
  squeezenet1_1: {
    channels: 64,
    kernel: 3,
    least: 17,
    rest: ['M', [16, 64], [16, 64], 'M', [32, 128], [32, 128], 'M', [48, 192], [48, 192], [64, 256], [64, 256]],
  },
};

/** 1×1 convolutions to few channels, then 1×1 and 3×3 side by side. Parts as in torchvision. */
function fire(inChannels: number, squeezed: number, expanded: number): Block {
  return new Block(
    'Fire',
    {
      squeeze: new Conv2d(inChannels, squeezed, 1),
      squeeze_activation: new ReLU(),
      expand1x1: new Conv2d(squeezed, expanded, 1),
      expand1x1_activation: new ReLU(),
      expand3x3: new Conv2d(squeezed, expanded, 3, { padding: 1 }),
      expand3x3_activation: new ReLU(),
    },
    {
      branches: [
        ['squeeze', 'squeeze_activation', 'expand1x1', 'expand1x1_activation'],
        ['squeeze', 'squeeze_activation', 'expand3x3', 'expand3x3_activation'],
      ],
      merge: 'concat',
    },
  );
}

function squeezenet(where: keyof typeof PLANS & string, options: SqueezenetOptions): Sequential {
  const { channels, kernel, least, rest } = PLANS[where];
  const known = [...SCALABLE_OPTIONS, 'dropout'];
  const { classes, inChannels, random } = modelOptions(where, options, known, { ...IMAGENET, least });
  const { dropout = 0.5 } = options;
  const scale = channelScale(where, options);
  const heUniform = { conv: (weight: Conv2d['weight']) => void init.kaimingUniform(weight, { ...random }) };
  const model = initialized(random, heUniform, () => {
    const features: Module[] = [new Conv2d(inChannels, scale(channels), kernel, { stride: 2 }), new ReLU()];
    let last = scale(channels);
    for (const part of rest) {
      if (part === 'M') {
        features.push(new MaxPool2d(3, { stride: 2, ceilMode: true }));
      } else {
        const [squeezed, expanded] = part.map(scale);
        features.push(fire(last, squeezed, expanded));
        last = 2 * expanded;
      }
    }
    return new Sequential({
      features: new Sequential(...features),
      classifier: new Sequential(
        new Dropout(dropout, random),
        new Conv2d(last, classes, 1),
        new ReLU(),
        new AdaptiveAvgPool2d(1),
      ),
      flatten: new Flatten(),
    });
  });
  init.normal((model.submodule('classifier.1') as Conv2d).weight, 0, 0.01, random.random);
  return model;
}

/**
 * SqueezeNet 1.0 of Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016. As
 * `torchvision.models.squeezenet1_0`: 1,248,424 parameters.
 *
 * [n, inChannels, height, width] → [n, classes]; sides of at least 21, meant for 224.
 */
export function squeezenet1_0(options: SqueezenetOptions = {}): Sequential {
  return squeezenet('squeezenet1_0', options);
}

/**
 * SqueezeNet 1.1, which its authors found as good with 2.4 times less computation: smaller kernels, earlier pooling. As
 * `torchvision.models.squeezenet1_1`: 1,235,496 parameters. Sides of at least 17.
 */
export function squeezenet1_1(options: SqueezenetOptions = {}): Sequential {
  return squeezenet('squeezenet1_1', options);
}
