import {
  AdaptiveAvgPool2d,
  BatchNorm2d,
  Conv2d,
  Dropout,
  Flatten,
  Linear,
  MaxPool2d,
  type Module,
  ReLU,
  Sequential,
} from '../nn/index.js';
import { heFanOut, initialized, normalWeights } from './blocks/initialize.js';
import { channelScale, checkWhole, IMAGENET, modelOptions, SCALABLE_OPTIONS, type ScalableOptions } from './options.js';

/** Options of {@link vgg16} and its kin. */
export interface VggOptions extends ScalableOptions {
  /** Before the last two linear layers. Default 0.5. */
  readonly dropout?: number;
  /** Features of the hidden linear layers, which hold most of the weights. Default 4096. */
  readonly hidden?: number;
}

/** Convolutions in each of the five stages (table 1 of the paper: A, B, D, E). */
const STAGES = { vgg11: [1, 1, 2, 2, 2], vgg13: [2, 2, 2, 2, 2], vgg16: [2, 2, 3, 3, 3], vgg19: [2, 2, 4, 4, 4] };

/** Channels of the stages. */
const CHANNELS = [64, 128, 256, 512, 512];

function vgg(name: keyof typeof STAGES, normalized: boolean, options: VggOptions): Sequential {
  const where = normalized ? `${name}Bn` : name;
  const known = [...SCALABLE_OPTIONS, 'dropout', 'hidden'];
  const { classes, inChannels, random } = modelOptions(where, options, known, { ...IMAGENET, least: 32 });
  const { dropout = 0.5, hidden = 4096 } = options;
  checkWhole(where, 'hidden', hidden);
  const channels = CHANNELS.map(channelScale(where, options));
  return initialized(random, { conv: heFanOut, linear: normalWeights(0.01) }, () => {
    const features: Module[] = [];
    let last = inChannels;
    for (const [stage, count] of STAGES[name].entries()) {
      for (let i = 0; i < count; i++) {
        features.push(new Conv2d(last, channels[stage], 3, { padding: 1 }));
        if (normalized) features.push(new BatchNorm2d(channels[stage]));
        features.push(new ReLU());
        last = channels[stage];
      }
      features.push(new MaxPool2d(2));
    }
    return new Sequential({
      features: new Sequential(...features),
      avgpool: new AdaptiveAvgPool2d(7),
      flatten: new Flatten(),
      classifier: new Sequential(
        new Linear(last * 49, hidden),
        new ReLU(),
        new Dropout(dropout, random),
        new Linear(hidden, hidden),
        new ReLU(),
        new Dropout(dropout, random),
        new Linear(hidden, classes),
      ),
    });
  });
}

/**
 * VGG-11, configuration A of Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015:
 * 3×3 convolutions between poolings, three large linear layers. As `torchvision.models.vgg11`: 132,863,336 parameters.
 *
 * [n, inChannels, height, width] → [n, classes]; sides of at least 32, meant for 224. So are the others.
 */
export function vgg11(options: VggOptions = {}): Sequential {
  return vgg('vgg11', false, options);
}

/** {@link vgg11} with batch normalisation (Ioffe and Szegedy, 2015) after every convolution. As `torchvision.models.vgg11_bn`. */
export function vgg11Bn(options: VggOptions = {}): Sequential {
  return vgg('vgg11', true, options);
}

/** VGG-13, configuration B; see {@link vgg11}. As `torchvision.models.vgg13`: 133,047,848 parameters. */
export function vgg13(options: VggOptions = {}): Sequential {
  return vgg('vgg13', false, options);
}

/** {@link vgg13} with batch normalisation. As `torchvision.models.vgg13_bn`. */
export function vgg13Bn(options: VggOptions = {}): Sequential {
  return vgg('vgg13', true, options);
}

/** VGG-16, configuration D; see {@link vgg11}. As `torchvision.models.vgg16`: 138,357,544 parameters. */
export function vgg16(options: VggOptions = {}): Sequential {
  return vgg('vgg16', false, options);
}

/** {@link vgg16} with batch normalisation. As `torchvision.models.vgg16_bn`. */
export function vgg16Bn(options: VggOptions = {}): Sequential {
  return vgg('vgg16', true, options);
}

/** VGG-19, configuration E; see {@link vgg11}. As `torchvision.models.vgg19`: 143,667,240 parameters. */
export function vgg19(options: VggOptions = {}): Sequential {
  return vgg('vgg19', false, options);
}

/** {@link vgg19} with batch normalisation. As `torchvision.models.vgg19_bn`. */
export function vgg19Bn(options: VggOptions = {}): Sequential {
  return vgg('vgg19', true, options);
}
