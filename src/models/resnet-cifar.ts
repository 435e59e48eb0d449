import type { LayerConfig } from '../nn/config.js';
import {
  AdaptiveAvgPool2d,
  BatchNorm2d,
  Conv2d,
  Flatten,
  Linear,
  Module,
  ReLU,
  registerModule,
  Sequential,
} from '../nn/index.js';
import { pad, slice } from '../ops/slice.js';
import { checkOptions, ShapeError } from '../tensor/errors.js';
import { formatShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { heFanIn, initialized } from './blocks/initialize.js';
import { channelScale, modelOptions, SCALABLE_OPTIONS, type ScalableOptions } from './options.js';
import { basicBlock } from './resnet.js';

/**
 * The shortcut without weights (He et al., 2016, section 4.2, option A): every second row and column, and channels of zeros
 * before and behind.
 */
export class PaddedShortcut extends Module {
  readonly type = 'PaddedShortcut';
  readonly outChannels: number;

  constructor(outChannels: number) {
    super();
    this.outChannels = outChannels;
  }

  forward(x: Tensor): Tensor {
    const missing = this.outChannels - x.shape[1];
    if (x.rank !== 4 || missing < 0) {
      throw new ShapeError(
        `PaddedShortcut: expected images of at most ${this.outChannels} channels, got ${formatShape(x.shape)}`,
      );
    }
    const [batch, channels, height, width] = x.shape;
    const size = [batch, channels, Math.ceil(height / 2), Math.ceil(width / 2)];
    const low = Math.floor(missing / 2);
    return pad(slice(x, [0, 0, 0, 0], size, [1, 1, 2, 2]), [0, low, 0, 0], [0, missing - low, 0, 0]);
  }

  override config(): LayerConfig {
    return { type: this.type, outChannels: this.outChannels };
  }

  static fromConfig(this: void, config: LayerConfig): PaddedShortcut {
    checkOptions(config.type, config, ['type', 'outChannels']);
    return new PaddedShortcut(config.outChannels as number);
  }
}

registerModule('PaddedShortcut', PaddedShortcut.fromConfig);

function cifarResnet(where: string, depth: number, options: ScalableOptions): Sequential {
  const defaults = { classes: 10, inChannels: 3, size: 32 };
  const { classes, inChannels, random } = modelOptions(where, options, SCALABLE_OPTIONS, defaults);
  const channels = [16, 32, 64].map(channelScale(where, options));
  const count = (depth - 2) / 6;
  return initialized(random, { conv: heFanIn, linear: heFanIn }, () => {
    const parts: Record<string, Module> = {
      conv1: new Conv2d(inChannels, channels[0], 3, { padding: 1, bias: false }),
      bn1: new BatchNorm2d(channels[0]),
      relu: new ReLU(),
    };
    channels.forEach((planes, stage) => {
      const blocks = Array.from({ length: count }, (_, i) =>
        stage > 0 && i === 0
          ? basicBlock(channels[stage - 1], planes, 2, { downsample: new PaddedShortcut(planes) })
          : basicBlock(planes, planes, 1, {}),
      );
      parts[`layer${stage + 1}`] = new Sequential(...blocks);
    });
    return new Sequential({
      ...parts,
      avgpool: new AdaptiveAvgPool2d(1),
      flatten: new Flatten(),
      linear: new Linear(channels[2], classes),
    });
  });
}

/**
 * ResNet-20 for images of 32×32 (He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2): three
 * stages of three blocks with 16, 32 and 64 channels, shortcuts without weights. 0.27 million parameters (table 6). Keys as those of the
 * residual networks of torchvision, but for `linear` at the end.
 *
 * [n, inChannels, height, width] → [n, classes]; any size, meant for 32. So are the others.
 */
export function resnet20(options: ScalableOptions = {}): Sequential {
  return cifarResnet('resnet20', 20, options);
}

/** ResNet-32 for images of 32×32; see {@link resnet20}. 0.46 million parameters. */
export function resnet32(options: ScalableOptions = {}): Sequential {
  return cifarResnet('resnet32', 32, options);
}

/** ResNet-44 for images of 32×32; see {@link resnet20}. 0.66 million parameters. */
export function resnet44(options: ScalableOptions = {}): Sequential {
  return cifarResnet('resnet44', 44, options);
}

/** ResNet-56 for images of 32×32; see {@link resnet20}. 0.85 million parameters. */
export function resnet56(options: ScalableOptions = {}): Sequential {
  return cifarResnet('resnet56', 56, options);
}
