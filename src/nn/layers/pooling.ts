import type { DataFormatOption } from '../../ops/data-format.js';
import { type MaxPoolResult, type MaxUnpoolOptions, maxPoolWithIndices, maxUnpool } from '../../ops/maxunpool.js';
import {
  type AvgPoolOptions,
  avgPool,
  checkNormType,
  checkPoolPadding,
  type LPPoolOptions,
  lpPool,
  type MaxPoolOptions,
  maxPool,
  type PoolPadding,
} from '../../ops/pooling.js';
import { checkImages, type PerAxis, perAxis } from '../../ops/window.js';
import { checkOptions, OptionError } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkBoolean, defined, type LayerConfig } from '../config.js';
import type { Keeps } from '../signature.js';
import { FormattedLayer } from './formatted-layer.js';

const WINDOW_OPTIONS = ['stride', 'padding', 'dataFormat'];
const MAX_OPTIONS = [...WINDOW_OPTIONS, 'dilation', 'ceilMode'];
const UNPOOL_OPTIONS = WINDOW_OPTIONS;
const AVG_OPTIONS = [...WINDOW_OPTIONS, 'ceilMode', 'countIncludePad', 'divisorOverride'];
const LP_OPTIONS = [...WINDOW_OPTIONS, 'ceilMode'];

interface WindowLayerOptions extends DataFormatOption {
  readonly stride?: PerAxis;
  readonly padding?: PoolPadding;
}

/** Pooling layers of every rank: size, stride and padding of the window, per axis. */
abstract class Pool<Rank extends number = number> extends FormattedLayer<Keeps<Rank>> {
  readonly kernelSize: readonly number[];
  readonly stride: readonly number[];
  readonly padding: PoolPadding;
  protected readonly rank: number;

  constructor(where: string, rank: number, kernelSize: PerAxis, options: WindowLayerOptions, known: readonly string[]) {
    checkOptions(where, options, known);
    super(where, options);
    this.rank = rank;
    this.kernelSize = perAxis(where, 'kernelSize', kernelSize, rank, 1);
    this.stride = perAxis(where, 'stride', options.stride ?? this.kernelSize, rank, 1);
    const { padding = 0 } = options;
    checkPoolPadding(where, padding, this.kernelSize);
    this.padding = typeof padding === 'number' ? this.kernelSize.map(() => padding) : padding;
  }

  /** Throws for what is not a batch of images of this layer's rank and data format. */
  protected check(x: Tensor): void {
    checkImages(this.type, x.shape, this.rank, undefined, this.dataFormat);
  }
}

/** Makes a layer of its configuration: the window's size comes first, the rest are options. */
function windowLayer<L, O>(
  Layer: new (kernelSize: PerAxis, options: O) => L,
  config: LayerConfig,
  known: readonly string[],
): L {
  const { type, kernelSize, ...options } = config;
  checkOptions(type, options, known);
  return new Layer(kernelSize as PerAxis, options as O);
}

/** Max pooling of every rank; see {@link MaxPool2d}. */
export abstract class MaxPoolNd<Rank extends number = number> extends Pool<Rank> {
  readonly dilation: readonly number[];
  readonly ceilMode: boolean;

  constructor(where: string, rank: number, kernelSize: PerAxis, options: MaxPoolOptions) {
    super(where, rank, kernelSize, options, MAX_OPTIONS);
    const { dilation = 1, ceilMode = false } = options;
    checkBoolean(where, 'ceilMode', ceilMode);
    this.dilation = perAxis(where, 'dilation', dilation, rank, 1);
    this.ceilMode = ceilMode;
  }

  forward(x: Tensor): Tensor {
    this.check(x);
    return maxPool(x, this.kernelSize, this.#options(), this.type);
  }

  /** {@link forward}, and where the elements were found, for unpooling: `returnIndices` in PyTorch. */
  forwardWithIndices(x: Tensor): MaxPoolResult {
    this.check(x);
    return maxPoolWithIndices(x, this.kernelSize, this.#options(), this.type);
  }

  #options(): MaxPoolOptions {
    const { stride, padding, dilation, ceilMode, dataFormat } = this;
    return { stride, padding, dilation, ceilMode, dataFormat };
  }

  override config(): LayerConfig {
    const { type, kernelSize, stride, padding, dilation, ceilMode } = this;
    return this.withFormat({ type, kernelSize, stride, padding, dilation, ceilMode });
  }
}

/** {@link MaxPool2d} of [batch, channels, length]. As `torch.nn.MaxPool1d`. */
export class MaxPool1d extends MaxPoolNd<1> {
  readonly type = 'MaxPool1d';

  constructor(kernelSize: PerAxis, options: MaxPoolOptions = {}) {
    super('MaxPool1d', 1, kernelSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): MaxPool1d {
    return windowLayer(MaxPool1d, config, MAX_OPTIONS);
  }
}

/**
 * Largest element of every window: [batch, channels, height, width] to [batch, channels, height′, width′]. The stride
 * defaults to the window's size. As `torch.nn.MaxPool2d`.
 */
export class MaxPool2d extends MaxPoolNd<2> {
  readonly type = 'MaxPool2d';

  constructor(kernelSize: PerAxis, options: MaxPoolOptions = {}) {
    super('MaxPool2d', 2, kernelSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): MaxPool2d {
    return windowLayer(MaxPool2d, config, MAX_OPTIONS);
  }
}

/** {@link MaxPool2d} of volumes [batch, channels, depth, height, width]. As `torch.nn.MaxPool3d`. */
export class MaxPool3d extends MaxPoolNd<3> {
  readonly type = 'MaxPool3d';

  constructor(kernelSize: PerAxis, options: MaxPoolOptions = {}) {
    super('MaxPool3d', 3, kernelSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): MaxPool3d {
    return windowLayer(MaxPool3d, config, MAX_OPTIONS);
  }
}

/** Options of {@link MaxUnpool2d} and its kin: of the pooling that they undo. */
export interface MaxUnpoolLayerOptions extends DataFormatOption {
  /** default: the window's size */
  readonly stride?: PerAxis;
  /** of the pooling to undo; `same` needs the output size in the call; default 0 */
  readonly padding?: PoolPadding;
}

/** Max unpooling of every rank; see {@link MaxUnpool2d}. */
export abstract class MaxUnpoolNd<Rank extends number = number> extends Pool<Rank> {
  constructor(where: string, rank: number, kernelSize: PerAxis, options: MaxUnpoolLayerOptions) {
    super(where, rank, kernelSize, options, UNPOOL_OPTIONS);
  }

  /**
   * @param indices i32, from the max pooling to undo
   * @param outputSize spatial extents of that pooling's input, where the windows alone do not tell them
   */
  forward(x: Tensor, indices?: Tensor, outputSize?: PerAxis): Tensor {
    if (indices === undefined) {
      throw new OptionError(
        `${this.type}: needs the indices of the max pooling to undo, forward(x, indices); maxPoolWithIndices gives them`,
      );
    }
    this.check(x);
    const { stride, padding, dataFormat } = this;
    const options: MaxUnpoolOptions = { stride, padding, outputSize, dataFormat };
    return maxUnpool(x, indices, this.kernelSize, options, this.type);
  }

  override config(): LayerConfig {
    const { type, kernelSize, stride, padding } = this;
    return this.withFormat({ type, kernelSize, stride, padding });
  }
}

/** {@link MaxUnpool2d} of [batch, channels, length]. As `torch.nn.MaxUnpool1d`. */
export class MaxUnpool1d extends MaxUnpoolNd<1> {
  readonly type = 'MaxUnpool1d';

  constructor(kernelSize: PerAxis, options: MaxUnpoolLayerOptions = {}) {
    super('MaxUnpool1d', 1, kernelSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): MaxUnpool1d {
    return windowLayer(MaxUnpool1d, config, UNPOOL_OPTIONS);
  }
}

/**
 * Puts elements back where {@link MaxPool2d} with the same window had found them, zeros elsewhere:
 * [batch, channels, height, width] to [batch, channels, (height − 1) · stride − 2 · padding + kernel, …]. As
 * `torch.nn.MaxUnpool2d`; where overlapping windows name one place, it gets the mean of their elements.
 */
export class MaxUnpool2d extends MaxUnpoolNd<2> {
  readonly type = 'MaxUnpool2d';

  constructor(kernelSize: PerAxis, options: MaxUnpoolLayerOptions = {}) {
    super('MaxUnpool2d', 2, kernelSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): MaxUnpool2d {
    return windowLayer(MaxUnpool2d, config, UNPOOL_OPTIONS);
  }
}

/** {@link MaxUnpool2d} of volumes [batch, channels, depth, height, width]. As `torch.nn.MaxUnpool3d`. */
export class MaxUnpool3d extends MaxUnpoolNd<3> {
  readonly type = 'MaxUnpool3d';

  constructor(kernelSize: PerAxis, options: MaxUnpoolLayerOptions = {}) {
    super('MaxUnpool3d', 3, kernelSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): MaxUnpool3d {
    return windowLayer(MaxUnpool3d, config, UNPOOL_OPTIONS);
  }
}

/** Average pooling of every rank; see {@link AvgPool2d}. */
export abstract class AvgPoolNd<Rank extends number = number> extends Pool<Rank> {
  readonly ceilMode: boolean;
  readonly countIncludePad: boolean;
  readonly divisorOverride: number | undefined;

  constructor(where: string, rank: number, kernelSize: PerAxis, options: AvgPoolOptions) {
    super(where, rank, kernelSize, options, AVG_OPTIONS);
    const { ceilMode = false, countIncludePad = true, divisorOverride } = options;
    checkBoolean(where, 'ceilMode', ceilMode);
    checkBoolean(where, 'countIncludePad', countIncludePad);
    if (divisorOverride !== undefined && !(Number.isInteger(divisorOverride) && divisorOverride !== 0)) {
      throw new OptionError(`${where}: divisorOverride must be an integer other than 0, got ${divisorOverride}`);
    }
    this.ceilMode = ceilMode;
    this.countIncludePad = countIncludePad;
    this.divisorOverride = divisorOverride;
  }

  forward(x: Tensor): Tensor {
    this.check(x);
    const { kernelSize, stride, padding, ceilMode, countIncludePad, divisorOverride, dataFormat } = this;
    const options = { stride, padding, ceilMode, countIncludePad, divisorOverride, dataFormat };
    return avgPool(x, kernelSize, options, this.type);
  }

  override config(): LayerConfig {
    const { type, kernelSize, stride, padding, ceilMode, countIncludePad, divisorOverride } = this;
    return this.withFormat(defined({ type, kernelSize, stride, padding, ceilMode, countIncludePad, divisorOverride }));
  }
}

/** {@link AvgPool2d} of [batch, channels, length]. As `torch.nn.AvgPool1d`. */
export class AvgPool1d extends AvgPoolNd<1> {
  readonly type = 'AvgPool1d';

  constructor(kernelSize: PerAxis, options: AvgPoolOptions = {}) {
    super('AvgPool1d', 1, kernelSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): AvgPool1d {
    return windowLayer(AvgPool1d, config, AVG_OPTIONS);
  }
}

/** Average of every window, shapes as {@link MaxPool2d}. As `torch.nn.AvgPool2d`. */
export class AvgPool2d extends AvgPoolNd<2> {
  readonly type = 'AvgPool2d';

  constructor(kernelSize: PerAxis, options: AvgPoolOptions = {}) {
    super('AvgPool2d', 2, kernelSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): AvgPool2d {
    return windowLayer(AvgPool2d, config, AVG_OPTIONS);
  }
}

/** {@link AvgPool2d} of volumes [batch, channels, depth, height, width]. As `torch.nn.AvgPool3d`. */
export class AvgPool3d extends AvgPoolNd<3> {
  readonly type = 'AvgPool3d';

  constructor(kernelSize: PerAxis, options: AvgPoolOptions = {}) {
    super('AvgPool3d', 3, kernelSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): AvgPool3d {
    return windowLayer(AvgPool3d, config, AVG_OPTIONS);
  }
}

/** Lp pooling of every rank; see {@link LPPool2d}. */
export abstract class LPPoolNd<Rank extends number = number> extends Pool<Rank> {
  readonly normType: number;
  readonly ceilMode: boolean;

  constructor(where: string, rank: number, normType: number, kernelSize: PerAxis, options: LPPoolOptions) {
    super(where, rank, kernelSize, options, LP_OPTIONS);
    const { ceilMode = false } = options;
    checkNormType(where, normType);
    checkBoolean(where, 'ceilMode', ceilMode);
    this.normType = normType;
    this.ceilMode = ceilMode;
  }

  forward(x: Tensor): Tensor {
    this.check(x);
    const { kernelSize, normType, stride, padding, ceilMode, dataFormat } = this;
    return lpPool(x, normType, kernelSize, { stride, padding, ceilMode, dataFormat }, this.type);
  }

  override config(): LayerConfig {
    const { type, normType, kernelSize, stride, padding, ceilMode } = this;
    return this.withFormat({ type, normType, kernelSize, stride, padding, ceilMode });
  }
}

function lpLayer<L>(
  Layer: new (normType: number, kernelSize: PerAxis, options: LPPoolOptions) => L,
  config: LayerConfig,
): L {
  const { type, normType, kernelSize, ...options } = config;
  checkOptions(type, options, LP_OPTIONS);
  return new Layer(normType as number, kernelSize as PerAxis, options as LPPoolOptions);
}

/** {@link LPPool2d} of [batch, channels, length]. As `torch.nn.LPPool1d`. */
export class LPPool1d extends LPPoolNd<1> {
  readonly type = 'LPPool1d';

  constructor(normType: number, kernelSize: PerAxis, options: LPPoolOptions = {}) {
    super('LPPool1d', 1, normType, kernelSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): LPPool1d {
    return lpLayer(LPPool1d, config);
  }
}

/**
 * (Σ xᵖ)^(1/p) over every window, p = `normType`, shapes as {@link MaxPool2d}: the sum for 1, towards the largest element for
 * large p. Odd and broken p want x ≥ 0. As `torch.nn.LPPool2d`.
 */
export class LPPool2d extends LPPoolNd<2> {
  readonly type = 'LPPool2d';

  constructor(normType: number, kernelSize: PerAxis, options: LPPoolOptions = {}) {
    super('LPPool2d', 2, normType, kernelSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): LPPool2d {
    return lpLayer(LPPool2d, config);
  }
}

/** {@link LPPool2d} of volumes [batch, channels, depth, height, width]. As `torch.nn.LPPool3d`. */
export class LPPool3d extends LPPoolNd<3> {
  readonly type = 'LPPool3d';

  constructor(normType: number, kernelSize: PerAxis, options: LPPoolOptions = {}) {
    super('LPPool3d', 3, normType, kernelSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): LPPool3d {
    return lpLayer(LPPool3d, config);
  }
}
