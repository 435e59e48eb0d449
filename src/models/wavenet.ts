import { compile } from '../graph/compile.js';
import { assign, withScope } from '../graph/trace.js';
import type { LayerConfig } from '../nn/config.js';
import { Conv1d, Module, ModuleList, registerModule } from '../nn/index.js';
import { concat } from '../ops/concat.js';
import { conv } from '../ops/conv.js';
import { iota, tensor, zeros } from '../ops/create.js';
import { add, cast, equal, mul, relu, sigmoid, tanh } from '../ops/elementwise.js';
import { reshape } from '../ops/reshape.js';
import { slice } from '../ops/slice.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import { formatShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { inMode } from '../train/index.js';
import { checkWhole } from './options.js';

/** Options of {@link wavenet}. */
export interface WavenetOptions {
  /** Levels of the quantised signal. Default 256. */
  readonly classes?: number;
  /** Layers of each stack, with dilations 1, 2, 4, …; default 10. */
  readonly layers?: number;
  /** Default 4. */
  readonly stacks?: number;
  /** Samples that each convolution sees. Default 2. */
  readonly kernelSize?: number;
  /** Channels from layer to layer. Default 32. */
  readonly residualChannels?: number;
  /** Channels inside of the gated units. Default 32. */
  readonly dilationChannels?: number;
  /** Channels that every layer adds to the result. Default 256. */
  readonly skipChannels?: number;
  /** Channels in front of the last layer. Default 256. */
  readonly endChannels?: number;
  readonly random?: Random;
}

const COUNTS = {
  classes: 256,
  layers: 10,
  stacks: 4,
  kernelSize: 2,
  residualChannels: 32,
  dilationChannels: 32,
  skipChannels: 256,
  endChannels: 256,
};

/** A list of modules with its name in the network. */
type NamedList = readonly [name: string, list: ModuleList];

/** How a signal is drawn from a network. */
export interface GenerateOptions {
  /** How much chance there is: 1 (default) draws from the predicted distribution, 0 takes the likeliest level. */
  readonly temperature?: number;
  /** Default: of seed 0. */
  readonly random?: Random;
}

/**
 * WaveNet of van den Oord et al., "WaveNet: A generative model for raw audio", 2016: from the samples so far, the distribution of the next
 * one. Stacks of causal convolutions with growing dilation; each layer is tanh(filter) · sigmoid(gate), which a 1×1 convolution adds to the
 * layer's input and another to the result (section 2.3 and 2.4). Without conditioning. Keys: `filter_convs.0`, `gate_convs.0`,
 * `residual_convs.0` (all but the last layer, whose sum nobody reads), `skip_convs.0`, `start_conv`, `end_conv_1`, `end_conv_2`.
 *
 * Levels ({@link muLawEncode}), i32 [n, samples] → logits [n, classes, samples], at each position of the sample after it.
 */
export class WaveNet extends Module {
  readonly type = 'WaveNet';
  readonly options: Readonly<typeof COUNTS>;
  readonly #filters: NamedList;
  readonly #gates: NamedList;
  readonly #residuals: NamedList;
  readonly #skips: NamedList;
  readonly #start: Conv1d;
  readonly #end1: Conv1d;
  readonly #end2: Conv1d;

  constructor(options: WavenetOptions = {}) {
    super();
    checkOptions('wavenet', options, [...Object.keys(COUNTS), 'random']);
    const { random, ...given } = options;
    const counts = { ...COUNTS, ...given };
    for (const [name, value] of Object.entries(counts)) checkWhole('wavenet', name, value, name === 'classes' ? 2 : 1);
    this.options = counts;
    const { classes, kernelSize, residualChannels, dilationChannels, skipChannels, endChannels } = counts;
    const source = random === undefined ? {} : { random };
    const plain = { ...source, bias: false };
    const dilations = this.dilations;
    const list = (name: string, convs: Conv1d[]): NamedList => [name, this.child(name, new ModuleList(convs))];
    const gated = (): Conv1d[] =>
      dilations.map(
        (dilation) =>
          new Conv1d(residualChannels, dilationChannels, kernelSize, { ...plain, dilation, padding: 'causal' }),
      );
    const pointwise = (count: number, channels: number): Conv1d[] =>
      Array.from({ length: count }, () => new Conv1d(dilationChannels, channels, 1, plain));
    this.#filters = list('filter_convs', gated());
    this.#gates = list('gate_convs', gated());
    this.#residuals = list('residual_convs', pointwise(dilations.length - 1, residualChannels));
    this.#skips = list('skip_convs', pointwise(dilations.length, skipChannels));
    this.#start = this.child('start_conv', new Conv1d(classes, residualChannels, 1, plain));
    this.#end1 = this.child('end_conv_1', new Conv1d(skipChannels, endChannels, 1, source));
    this.#end2 = this.child('end_conv_2', new Conv1d(endChannels, classes, 1, source));
  }

  override get inputDType(): 'i32' {
    return 'i32';
  }

  /** Of all layers, in order. */
  get dilations(): number[] {
    const { layers, stacks } = this.options;
    return Array.from({ length: layers * stacks }, (_, i) => 2 ** (i % layers));
  }

  /** How many samples a prediction depends on. */
  get receptiveField(): number {
    return this.dilations.reduce((total, dilation) => total + dilation * (this.options.kernelSize - 1), 1);
  }

  forward(x: Tensor): Tensor {
    return this.#network(x, (layer, h) => [callAt(this.#filters, layer, h), callAt(this.#gates, layer, h)]);
  }

  /** Everything but the dilated convolutions, which need the past. */
  #network(x: Tensor, gated: (layer: number, h: Tensor) => readonly [filter: Tensor, gate: Tensor]): Tensor {
    if (x.rank !== 2) throw new ShapeError(`WaveNet: expected levels [batch, samples], got ${formatShape(x.shape)}`);
    const [batch, samples] = x.shape;
    const levels = iota([1, this.options.classes, 1], 1);
    let h = this.#start.call(cast(equal(reshape(x, [batch, 1, samples]), levels), 'f32'));
    let total: Tensor | undefined;
    for (let layer = 0; layer < this.dilations.length; layer++) {
      const [filter, gate] = gated(layer, h);
      const unit = mul(tanh(filter), sigmoid(gate));
      const skipped = callAt(this.#skips, layer, unit);
      total = total === undefined ? skipped : add(total, skipped);
      if (layer + 1 < this.dilations.length) h = add(callAt(this.#residuals, layer, unit), h);
    }
    return this.#end2.call(relu(this.#end1.call(relu(total as Tensor))));
  }

  /**
   * Goes on after `start`, one sample after the other. Every layer remembers the inputs that it will need again, so that a sample
   * costs one position of the network instead of a receptive field of them (Le Paine et al., "Fast WaveNet generation algorithm", 2016).
   *
   * @param start levels to begin with, at least one
   * @param count samples to generate
   * @returns the generated levels, without `start`
   */
  async generate(start: ArrayLike<number>, count: number, options: GenerateOptions = {}): Promise<Int32Array> {
    checkOptions('WaveNet.generate', options, ['temperature', 'random']);
    const { temperature = 1, random = new Random(0) } = options;
    const { classes } = this.options;
    checkWhole('WaveNet.generate', 'count', count, 0);
    if (!(Number.isFinite(temperature) && temperature >= 0)) {
      throw new OptionError(`WaveNet.generate: temperature must be a number ≥ 0, got ${temperature}`);
    }
    if (start.length === 0) throw new OptionError('WaveNet.generate: start must hold at least one level');
    for (const level of Array.from(start)) {
      if (!Number.isInteger(level) || level < 0 || level >= classes) {
        throw new OptionError(`WaveNet.generate: levels are whole numbers from 0 to ${classes - 1}, got ${level}`);
      }
    }
    const step = this.#stepper();
    try {
      const generated = new Int32Array(count);
      let logits: ArrayLike<number> = [];
      for (let i = 0; i < start.length && count > 0; i++) logits = await step.next(start[i]);
      for (let i = 0; i < count; i++) {
        generated[i] = draw(logits, temperature, random);
        if (i + 1 < count) logits = await step.next(generated[i]);
      }
      return generated;
    } finally {
      step.dispose();
    }
  }

  /** A program that takes one level and gives the logits after it; it holds the past in tensors of its own. */
  #stepper(): { next(level: number): Promise<ArrayLike<number>>; dispose(): void } {
    const { kernelSize, residualChannels } = this.options;
    const dilations = this.dilations;
    const pasts = dilations.map((dilation) => zeros([1, residualChannels, dilation * (kernelSize - 1)]));
    const program = compile((x: Tensor) =>
      inMode(this, false, () =>
        this.#network(x, (layer, h) => {
          if (kernelSize === 1) return [callAt(this.#filters, layer, h), callAt(this.#gates, layer, h)];
          const past = pasts[layer];
          const seen = concat([past, h], 2);
          assign(past, slice(seen, [0, 0, 1], past.shape));
          const { weight: filter } = this.#filters[1].at(layer) as Conv1d;
          const { weight: gate } = this.#gates[1].at(layer) as Conv1d;
          const dilation = dilations[layer];
          return [conv(seen, filter, { dilation }, this.type), conv(seen, gate, { dilation }, this.type)];
        }),
      ),
    );
    return {
      next: async (level) => {
        using input = tensor(Int32Array.of(level), { shape: [1, 1] });
        using logits = await program(input);
        return logits.data() as Float32Array;
      },
      dispose: () => {
        program.dispose();
        for (const past of pasts) past.dispose();
      },
    };
  }

  override config(): LayerConfig {
    return { type: this.type, ...this.options };
  }

  static fromConfig(this: void, config: LayerConfig): WaveNet {
    const { type: _, ...options } = config;
    return new WaveNet(options as WavenetOptions);
  }
}

registerModule('WaveNet', WaveNet.fromConfig);

/** Calls a module of a list under its whole path. */
function callAt([name, list]: NamedList, index: number, x: Tensor): Tensor {
  return withScope(name, () => list.at(index).call(x));
}

/** {@link WaveNet}: 0.67 million parameters with the defaults. */
export function wavenet(options: WavenetOptions = {}): WaveNet {
  return new WaveNet(options);
}

/** A level from the distribution that logits give. */
function draw(logits: ArrayLike<number>, temperature: number, random: Random): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  if (temperature === 0) return best;
  const weights = Array.from(logits, (value) => Math.exp((value - logits[best]) / temperature));
  let rest = random.uniform() * weights.reduce((total, weight) => total + weight);
  const found = weights.findIndex((weight) => {
    rest -= weight;
    return rest < 0;
  });
  return found < 0 ? best : found;
}

/**
 * Samples from −1 to 1 as one of `classes` levels, finer near 0 (ITU-T G.711; section 2.2 of the paper):
 * sign(x) · ln(1 + µ |x|) / ln(1 + µ), where µ = classes − 1. Louder samples count as −1 or 1.
 */
export function muLawEncode(samples: ArrayLike<number>, classes = 256): Int32Array {
  checkWhole('muLawEncode', 'classes', classes, 2);
  const mu = classes - 1;
  return Int32Array.from(samples, (sample) => {
    const x = Math.max(-1, Math.min(1, sample));
    const compressed = (Math.sign(x) * Math.log1p(mu * Math.abs(x))) / Math.log1p(mu);
    return Math.floor(((compressed + 1) / 2) * mu + 0.5);
  });
}

/** The samples that levels of {@link muLawEncode} stand for. */
export function muLawDecode(levels: ArrayLike<number>, classes = 256): Float32Array {
  checkWhole('muLawDecode', 'classes', classes, 2);
  const mu = classes - 1;
  return Float32Array.from(levels, (level) => {
    const y = (2 * level) / mu - 1;
    return (Math.sign(y) * ((1 + mu) ** Math.abs(y) - 1)) / mu;
  });
}
