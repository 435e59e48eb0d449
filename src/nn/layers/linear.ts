import { linear } from '../../ops/conv.js';
import { zeros } from '../../ops/create.js';
import { checkOptions } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkBoolean, checkCount, type LayerConfig, type RandomOption } from '../config.js';
import { defaultInit } from '../init.js';
import { Module } from '../module.js';

export interface LinearOptions extends RandomOption {
  /** default true */
  readonly bias?: boolean;
}

/** x · weightᵀ + bias over the last axis: […, in features] to […, out features]. As `torch.nn.Linear`. */
export class Linear extends Module {
  readonly type = 'Linear';
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** [out features, in features] */
  readonly weight: Tensor;
  /** [out features] */
  readonly bias: Tensor | undefined;

  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super();
    checkOptions('Linear', options, ['bias', 'random']);
    const { bias = true } = options;
    checkCount('Linear', 'inFeatures', inFeatures);
    checkCount('Linear', 'outFeatures', outFeatures);
    checkBoolean('Linear', 'bias', bias);
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    this.weight = this.parameter('weight', zeros([outFeatures, inFeatures]));
    this.bias = bias ? this.parameter('bias', zeros([outFeatures])) : undefined;
    defaultInit(this.weight, this.bias, options.random);
  }

  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias, 'Linear');
  }

  override config(): LayerConfig {
    const { type, inFeatures, outFeatures } = this;
    return { type, inFeatures, outFeatures, bias: this.bias !== undefined };
  }

  static fromConfig(this: void, config: LayerConfig): Linear {
    const { type, inFeatures, outFeatures, ...options } = config;
    checkOptions(type, options, ['bias']);
    return new Linear(inFeatures as number, outFeatures as number, options as LinearOptions);
  }
}
