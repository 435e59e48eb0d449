import { checkCount, type LayerConfig } from '../nn/config.js';
import { Conv1d, Dropout, init, Linear, Module, ReLU, registerModule, Sequential } from '../nn/index.js';
import { sum } from '../ops/broadcast.js';
import { conv } from '../ops/conv.js';
import { zeros } from '../ops/create.js';
import { div, mul, sqrt } from '../ops/elementwise.js';
import { reshape } from '../ops/reshape.js';
import { slice } from '../ops/slice.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import type { Random } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import { Block } from './blocks/block.js';
import { checkWhole } from './options.js';

/**
 * Causal convolution of sequences whose filters are directions and lengths of their own (Salimans and Kingma, "Weight normalization", NIPS
 * 2016): weight = g · v / |v|. As `weight_norm(torch.nn.Conv1d(…))` whose padding sees nothing of the future; keys `bias`, `weight_g`,
 * `weight_v`. [batch, in channels, length] → [batch, out channels, length].
 */
export class WeightNormConv1d extends Module {
  readonly type = 'WeightNormConv1d';
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: number;
  readonly dilation: number;
  readonly #bias: Tensor;
  readonly #length: Tensor;
  readonly #direction: Tensor;

  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number,
    options: { readonly dilation?: number; readonly random?: Random } = {},
  ) {
    super();
    checkOptions('WeightNormConv1d', options, ['dilation', 'random']);
    const { dilation = 1, random } = options;
    for (const [name, value] of Object.entries({ inChannels, outChannels, kernelSize, dilation })) {
      checkCount('WeightNormConv1d', name, value);
    }
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = kernelSize;
    this.dilation = dilation;
    this.#bias = this.parameter('bias', zeros([outChannels]));
    this.#length = this.parameter('weight_g', zeros([outChannels, 1, 1]));
    this.#direction = this.parameter('weight_v', zeros([outChannels, inChannels, kernelSize]));
    this.initialize(random);
  }

  /** Normal weights with deviation 0.01, as the network's authors draw them, and their lengths. */
  initialize(random?: Random): void {
    init.normal(this.#direction, 0, 0.01, random);
    const bound = 1 / Math.sqrt(this.inChannels * this.kernelSize);
    init.uniform(this.#bias, -bound, bound, random);
    const data = this.#direction.data();
    const row = this.inChannels * this.kernelSize;
    const lengths = Float32Array.from({ length: this.outChannels }, (_, o) =>
      Math.hypot(...data.subarray(o * row, (o + 1) * row)),
    );
    this.#length.write(lengths);
  }

  forward(x: Tensor): Tensor {
    const v = this.#direction;
    const weight = mul(v, div(this.#length, sqrt(sum(mul(v, v), [1, 2], { keepDims: true }))));
    return conv(x, weight, { bias: this.#bias, dilation: this.dilation, padding: 'causal' }, this.type);
  }

  override config(): LayerConfig {
    const { type, inChannels, outChannels, kernelSize, dilation } = this;
    return { type, inChannels, outChannels, kernelSize, dilation };
  }

  static fromConfig(this: void, config: LayerConfig): WeightNormConv1d {
    const { type, inChannels, outChannels, kernelSize, ...options } = config;
    checkOptions(type, options, ['dilation']);
    const sizes = [inChannels, outChannels, kernelSize] as [number, number, number];
    return new WeightNormConv1d(...sizes, options as { dilation?: number });
  }
}

/** The last position of sequences: [batch, channels, length] → [batch, channels]. */
export class LastStep extends Module {
  readonly type = 'LastStep';

  forward(x: Tensor): Tensor {
    const [batch, channels, length] = x.shape;
    return reshape(slice(x, [0, 0, length - 1], [batch, channels, 1]), [batch, channels]);
  }

  override config(): LayerConfig {
    return { type: this.type };
  }

  static fromConfig(this: void, config: LayerConfig): LastStep {
    checkOptions(config.type, config, ['type']);
    return new LastStep();
  }
}

registerModule('WeightNormConv1d', WeightNormConv1d.fromConfig);
registerModule('LastStep', LastStep.fromConfig);

/** Options of {@link tcn}. */
export interface TcnOptions {
  /** Default 10. */
  readonly classes?: number;
  /** Numbers at each position. Default 1. */
  readonly inChannels?: number;
  /** Channels of the levels, of which each has twice the dilation of the one before. Default eight of 25. */
  readonly channels?: readonly number[];
  /** Default 7. */
  readonly kernelSize?: number;
  /** After every convolution. Default 0.05. */
  readonly dropout?: number;
  readonly random?: Random;
}

/**
 * Temporal convolutional network of Bai, Kolter and Koltun, "An empirical evaluation of generic convolutional and recurrent networks for
 * sequence modeling", 2018: residual blocks of two causal convolutions with growing dilation and weight normalisation. The defaults are
 * those for sequential MNIST (about 70 thousand parameters, table 1). Keys: `tcn.network.0.conv1.weight_v` …, `linear`.
 *
 * [n, inChannels, length] → [n, classes], from the last position.
 */
export function tcn(options: TcnOptions = {}): Sequential {
  checkOptions('tcn', options, ['classes', 'inChannels', 'channels', 'kernelSize', 'dropout', 'random']);
  const { classes = 10, inChannels = 1, kernelSize = 7, dropout = 0.05 } = options;
  const { channels = new Array<number>(8).fill(25) } = options;
  checkWhole('tcn', 'classes', classes, 2);
  checkWhole('tcn', 'inChannels', inChannels);
  checkWhole('tcn', 'kernelSize', kernelSize);
  if (!Array.isArray(channels) || channels.length === 0) {
    throw new OptionError(`tcn: channels must be a list of one number for each level, got ${JSON.stringify(channels)}`);
  }
  for (const count of channels) checkWhole('tcn', 'channels', count);
  const random = options.random === undefined ? {} : { random: options.random };
  let last = inChannels;
  const blocks = channels.map((out, level) => {
    const before = last;
    last = out;
    return temporalBlock(before, out, kernelSize, 2 ** level, dropout, random);
  });
  return new Sequential({
    tcn: new Sequential({ network: new Sequential(...blocks) }),
    last: new LastStep(),
    linear: new Linear(last, classes, random),
  });
}

function temporalBlock(
  inChannels: number,
  outChannels: number,
  kernelSize: number,
  dilation: number,
  dropout: number,
  random: { readonly random?: Random },
): Block {
  const downsample: Record<string, Module> = {};
  if (inChannels !== outChannels) {
    const pointwise = new Conv1d(inChannels, outChannels, 1, random);
    init.normal(pointwise.weight, 0, 0.01, random.random);
    downsample.downsample = pointwise;
  }
  const body = {
    conv1: new WeightNormConv1d(inChannels, outChannels, kernelSize, { dilation, ...random }),
    relu1: new ReLU(),
    dropout1: new Dropout(dropout, random),
    conv2: new WeightNormConv1d(outChannels, outChannels, kernelSize, { dilation, ...random }),
    relu2: new ReLU(),
    dropout2: new Dropout(dropout, random),
  };
  return new Block(
    'TemporalBlock',
    { ...body, ...downsample, relu: new ReLU() },
    { branches: [Object.keys(body), Object.keys(downsample)], merge: 'sum', after: ['relu'] },
  );
}
