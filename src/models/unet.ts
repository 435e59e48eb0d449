import { withScope } from '../graph/trace.js';
import type { LayerConfig } from '../nn/config.js';
import {
  BatchNorm2d,
  BatchNorm3d,
  Conv2d,
  Conv3d,
  ConvTranspose2d,
  ConvTranspose3d,
  MaxPool2d,
  MaxPool3d,
  Module,
  ReLU,
  registerModule,
  Sequential,
} from '../nn/index.js';
import { concat } from '../ops/concat.js';
import { pad } from '../ops/slice.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { partsOfConfig } from './blocks/block.js';
import { initialized } from './blocks/initialize.js';
import { channelScale, checkWhole, modelOptions, SCALABLE_OPTIONS, type ScalableOptions } from './options.js';

/** Options of {@link unet2d} and {@link unet3d}. */
export interface UnetOptions extends ScalableOptions {
  /** How often the size is halved. Default 4 in two dimensions, 3 in three. */
  readonly levels?: number;
}

/**
 * A path down, each step at half the size, and one up, where every step sees what the way down had at its size. Parts: `inc`, `down1` …,
 * `up1` … (each with `up`, which doubles the size, and `conv`), `outc`.
 */
export class UNet extends Module {
  readonly type = 'UNet';
  readonly #levels: number;

  constructor(parts: Readonly<Record<string, Module>>) {
    super();
    const names = Object.keys(parts);
    const levels = (names.length - 2) / 2;
    const count = (name: string): string[] => Array.from({ length: Math.max(0, levels) }, (_, i) => `${name}${i + 1}`);
    const expected = ['inc', ...count('down'), ...count('up'), 'outc'];
    if (levels < 1 || names.join() !== expected.join()) {
      throw new OptionError(`UNet: parts must be inc, down1 …, as many up1 …, outc; got ${names.join(', ')}`);
    }
    this.#levels = levels;
    for (const [name, part] of Object.entries(parts)) this.child(name, part);
  }

  forward(x: Tensor): Tensor {
    const sizes = [this.submodule('inc').call(x)];
    for (let i = 1; i <= this.#levels; i++) {
      const before = sizes[i - 1];
      if (before.shape.slice(2).some((extent) => extent < 2)) {
        throw new ShapeError(
          `UNet: an input of ${formatShape(x.shape)} is too small to halve ${this.#levels} times; every side must be at least ${2 ** this.#levels}`,
        );
      }
      sizes.push(this.submodule(`down${i}`).call(before));
    }
    let y = sizes[this.#levels];
    for (let i = 1; i <= this.#levels; i++) {
      const skipped = sizes[this.#levels - i];
      y = withScope(`up${i}`, () => {
        const larger = matchSize(this.submodule(`up${i}.up`).call(y), skipped);
        return this.submodule(`up${i}.conv`).call(concat([skipped, larger], 1));
      });
    }
    return this.submodule('outc').call(y);
  }

  override config(): LayerConfig {
    const parts = Object.fromEntries(this.namedChildren().map(([name, part]) => [name, part.config()]));
    return { type: this.type, parts };
  }

  static fromConfig(this: void, config: LayerConfig, build: (config: LayerConfig) => Module): UNet {
    checkOptions('UNet', config, ['type', 'parts']);
    return new UNet(partsOfConfig(config, build));
  }
}

registerModule('UNet', UNet.fromConfig);

/** Zeros around what is one smaller because an odd size was halved. */
function matchSize(y: Tensor, like: Tensor): Tensor {
  const missing = like.shape.map((extent, axis) => (axis < 2 ? 0 : extent - y.shape[axis]));
  const low = missing.map((count) => Math.floor(count / 2));
  return pad(
    y,
    low,
    missing.map((count, axis) => count - low[axis]),
  );
}

/** How the two networks differ. */
interface Plan {
  readonly rank: 2 | 3;
  /** Whether channels double in the first convolution of a step down (2-D) or already in the second of the one before (3-D). */
  readonly early: boolean;
  readonly width: number;
  readonly bias: boolean;
}

function unet(where: string, plan: Plan, options: UnetOptions, defaults: { levels: number; size: number }): UNet {
  const { levels = defaults.levels } = options;
  checkWhole(where, 'levels', levels);
  const { classes, inChannels, random } = modelOptions(where, options, [...SCALABLE_OPTIONS, 'levels'], {
    classes: 2,
    inChannels: plan.rank === 2 ? 3 : 1,
    size: defaults.size,
    least: 2 ** levels,
  });
  const scale = channelScale(where, options);
  const { rank, early, bias } = plan;
  const width = (level: number): number => scale(plan.width * 2 ** level);
  const conv = (a: number, b: number): Module[] =>
    rank === 2
      ? [new Conv2d(a, b, 3, { padding: 1, bias }), new BatchNorm2d(b), new ReLU()]
      : [new Conv3d(a, b, 3, { padding: 1, bias }), new BatchNorm3d(b), new ReLU()];
  const double = (a: number, middle: number, b: number): Sequential =>
    new Sequential({ double_conv: new Sequential(...conv(a, middle), ...conv(middle, b)) });
  /** Channels after level `i` of the way down. */
  const after = (level: number): number => width(early ? level + 1 : level);
  return initialized(random, {}, () => {
    const middle = (level: number): number => width(level);
    const parts: Record<string, Module> = { inc: double(inChannels, middle(0), after(0)) };
    for (let i = 1; i <= levels; i++) {
      const pool = rank === 2 ? new MaxPool2d(2) : new MaxPool3d(2);
      parts[`down${i}`] = new Sequential({
        maxpool_conv: new Sequential(pool, double(after(i - 1), middle(i), after(i))),
      });
    }
    for (let i = 1; i <= levels; i++) {
      const [before, skipped] = [after(levels - i + 1), after(levels - i)];
      const up =
        rank === 2
          ? new ConvTranspose2d(before, skipped, 2, { stride: 2 })
          : new ConvTranspose3d(before, before, 2, { stride: 2, bias: false });
      const joined = skipped + (rank === 2 ? skipped : before);
      parts[`up${i}`] = new Sequential({ up, conv: double(joined, skipped, skipped) });
    }
    const last = after(0);
    const outc = rank === 2 ? new Conv2d(last, classes, 1) : new Conv3d(last, classes, 1);
    return new UNet({ ...parts, outc: new Sequential({ conv: outc }) });
  });
}

/**
 * U-Net of Ronneberger, Fischer and Brox, "U-Net: Convolutional networks for biomedical image segmentation", MICCAI 2015, in today's
 * form: padded convolutions, so that the result is as large as the input, and batch normalisation. 31,037,633 parameters for colour
 * images and one class. Keys: `inc.double_conv.0`, `down1.maxpool_conv.1.double_conv.0`, `up1.up`, `up1.conv.double_conv.0`, `outc.conv`.
 *
 * [n, inChannels, height, width] → logits [n, classes, height, width]; sides of at least 2^levels. Default 2 classes.
 */
export function unet2d(options: UnetOptions = {}): UNet {
  const plan = { rank: 2, early: false, width: 64, bias: false } as const;
  return unet('unet2d', plan, options, { levels: 4, size: 512 });
}

/**
 * 3-D U-Net of Çiçek, Abdulkadir, Lienkamp, Brox and Ronneberger, "3D U-Net: Learning dense volumetric segmentation from sparse
 * annotation", MICCAI 2016, with padded convolutions. 19,069,955 parameters for three channels and three classes, scales and shifts of
 * the normalisation (4,672) not counted, as in the paper. Default one channel, 2 classes.
 *
 * [n, inChannels, depth, height, width] → logits [n, classes, depth, height, width]; sides of at least 2^levels.
 */
export function unet3d(options: UnetOptions = {}): UNet {
  const plan = { rank: 3, early: true, width: 32, bias: true } as const;
  return unet('unet3d', plan, options, { levels: 3, size: 64 });
}
