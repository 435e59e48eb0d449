import { checkNumber, type LayerConfig } from '../../nn/config.js';
import { Module, registerModule } from '../../nn/index.js';
import { channelwise } from '../../ops/conv.js';
import { tensor } from '../../ops/create.js';
import { add, mul } from '../../ops/elementwise.js';
import { checkOptions, OptionError } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';

/** Fixed scale · x + shift for every channel of [batch, channels, …spatial]; nothing is trained or saved. */
export class InputTransform extends Module {
  readonly type = 'InputTransform';
  readonly scale: readonly number[];
  readonly shift: readonly number[];

  constructor(scale: readonly number[], shift: readonly number[]) {
    super();
    for (const [name, list] of Object.entries({ scale, shift })) {
      if (!Array.isArray(list) || list.length !== scale.length) {
        throw new OptionError(`InputTransform: ${name} must be one number per channel, got ${JSON.stringify(list)}`);
      }
      for (const value of list) checkNumber('InputTransform', name, value, Number.NEGATIVE_INFINITY);
    }
    this.scale = scale;
    this.shift = shift;
  }

  forward(x: Tensor): Tensor {
    const [scale, shift] = [this.scale, this.shift].map((list) => channelwise(tensor(list), x.rank));
    return add(mul(x, scale), shift);
  }

  override config(): LayerConfig {
    return { type: this.type, scale: this.scale, shift: this.shift };
  }

  static fromConfig(this: void, config: LayerConfig): InputTransform {
    checkOptions(config.type, config, ['type', 'scale', 'shift']);
    return new InputTransform(config.scale as number[], config.shift as number[]);
  }
}

/**
 * From images normalised with the mean and deviation of ImageNet to ones from −1 to 1, which the Inception networks were trained on.
 * (torchvision: `transform_input`.)
 */
export function imagenetToUnit(): InputTransform {
  const mean = [0.485, 0.456, 0.406];
  const deviation = [0.229, 0.224, 0.225];
  return new InputTransform(
    deviation.map((d) => d / 0.5),
    mean.map((m) => (m - 0.5) / 0.5),
  );
}

registerModule('InputTransform', InputTransform.fromConfig);
