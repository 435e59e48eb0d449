import { sum } from '../ops/broadcast.js';
import { tensor } from '../ops/create.js';
import { type CtcOptions, ctcLoss, type Lengths } from '../ops/ctc.js';
import { cast, greaterEqual } from '../ops/elementwise.js';
import {
  type BinaryCrossEntropyOptions,
  type BinaryCrossEntropyWithLogitsOptions,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  type CrossEntropyOptions,
  crossEntropy,
  type DiceOptions,
  diceLoss,
  type HuberOptions,
  huberLoss,
  l1Loss,
  mseLoss,
  type NllOptions,
  nllLoss,
  type ReductionOption,
  type SmoothL1Options,
  smoothL1Loss,
} from '../ops/losses.js';
import { isFloat } from '../tensor/dtype.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import { Tensor } from '../tensor/tensor.js';
import { checkBoolean, checkCount, checkNumber, type Json, type LayerConfig } from './config.js';

/** A loss with its options under PyTorch's name: a function of a prediction and a target. */
export abstract class LossFunction<O extends ReductionOption = ReductionOption> {
  abstract readonly type: string;
  readonly options: O;

  constructor(where: string, options: O, known: readonly string[] = []) {
    checkOptions(where, options, ['reduction', ...known]);
    const { reduction } = options;
    if (reduction !== undefined && !['mean', 'sum', 'none'].includes(reduction)) {
      throw new OptionError(`${where}: reduction must be "mean", "sum" or "none", got ${JSON.stringify(reduction)}`);
    }
    for (const [key, value] of Object.entries(options)) {
      if (value !== undefined) VALID[key]?.(where, key, value);
    }
    this.options = { ...options };
  }

  abstract forward(input: Tensor, target: Tensor): Tensor;

  /** As plain data, from which {@link lossFromConfig} makes the loss again; tensors become `{ shape, data }`. */
  config(): LayerConfig {
    const config: Record<string, Json> = {};
    for (const [key, value] of Object.entries(this.options) as [string, Json | Tensor | undefined][]) {
      if (value instanceof Tensor) config[key] = { shape: [...value.shape], data: [...value.data()] };
      else if (value !== undefined) config[key] = value;
    }
    return { type: this.type, ...config };
  }
}

type Check = (where: string, name: string, value: unknown) => void;

function checkTensor(where: string, name: string, value: unknown): void {
  if (!(value instanceof Tensor)) throw new OptionError(`${where}: ${name} must be a tensor, got ${typeof value}`);
}

const VALID: Readonly<Record<string, Check>> = {
  weight: checkTensor,
  posWeight: checkTensor,
  labelSmoothing: (where, name, value) => checkNumber(where, name, value, 0, 1),
  beta: (where, name, value) => checkNumber(where, name, value, 0),
  delta: (where, name, value) => {
    checkNumber(where, name, value, 0);
    if (value === 0) throw new OptionError(`${where}: delta must be > 0`);
  },
  smooth: (where, name, value) => checkNumber(where, name, value, 0),
  squared: checkBoolean,
  batch: checkBoolean,
  includeBackground: checkBoolean,
  zeroInfinity: checkBoolean,
  blank: (where, name, value) => checkCount(where, name, value, 0),
  ignoreIndex: (where, name, value) => {
    if (!Number.isInteger(value)) throw new OptionError(`${where}: ${name} must be an integer, got ${String(value)}`);
  },
};

/** PyTorch's default of the layers: samples with this label count nothing. */
const IGNORED = -100;

/**
 * {@link crossEntropy} of logits [batch, classes, …] and class numbers i32 [batch, …], or probabilities. As in PyTorch
 * `ignoreIndex` is −100 unless given.
 */
export class CrossEntropyLoss extends LossFunction<CrossEntropyOptions> {
  readonly type = 'CrossEntropyLoss';

  constructor(options: CrossEntropyOptions = {}) {
    super('CrossEntropyLoss', options, ['weight', 'ignoreIndex', 'labelSmoothing']);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return crossEntropy(
      input,
      target,
      isFloat(target.dtype) ? this.options : { ignoreIndex: IGNORED, ...this.options },
    );
  }
}

/** {@link nllLoss} of logarithms of probabilities. As in PyTorch `ignoreIndex` is −100 unless given. */
export class NLLLoss extends LossFunction<NllOptions> {
  readonly type = 'NLLLoss';

  constructor(options: NllOptions = {}) {
    super('NLLLoss', options, ['weight', 'ignoreIndex']);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return nllLoss(input, target, { ignoreIndex: IGNORED, ...this.options });
  }
}

/** {@link binaryCrossEntropy} of probabilities. */
export class BCELoss extends LossFunction<BinaryCrossEntropyOptions> {
  readonly type = 'BCELoss';

  constructor(options: BinaryCrossEntropyOptions = {}) {
    super('BCELoss', options, ['weight']);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return binaryCrossEntropy(input, target, this.options);
  }
}

/** {@link binaryCrossEntropyWithLogits}. */
export class BCEWithLogitsLoss extends LossFunction<BinaryCrossEntropyWithLogitsOptions> {
  readonly type = 'BCEWithLogitsLoss';

  constructor(options: BinaryCrossEntropyWithLogitsOptions = {}) {
    super('BCEWithLogitsLoss', options, ['weight', 'posWeight']);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return binaryCrossEntropyWithLogits(input, target, this.options);
  }
}

/** {@link mseLoss} */
export class MSELoss extends LossFunction {
  readonly type = 'MSELoss';

  constructor(options: ReductionOption = {}) {
    super('MSELoss', options);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return mseLoss(input, target, this.options);
  }
}

/** {@link l1Loss} */
export class L1Loss extends LossFunction {
  readonly type = 'L1Loss';

  constructor(options: ReductionOption = {}) {
    super('L1Loss', options);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return l1Loss(input, target, this.options);
  }
}

/** {@link smoothL1Loss} */
export class SmoothL1Loss extends LossFunction<SmoothL1Options> {
  readonly type = 'SmoothL1Loss';

  constructor(options: SmoothL1Options = {}) {
    super('SmoothL1Loss', options, ['beta']);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return smoothL1Loss(input, target, this.options);
  }
}

/** {@link huberLoss} */
export class HuberLoss extends LossFunction<HuberOptions> {
  readonly type = 'HuberLoss';

  constructor(options: HuberOptions = {}) {
    super('HuberLoss', options, ['delta']);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return huberLoss(input, target, this.options);
  }
}

/** {@link diceLoss} of probabilities [batch, classes, …]. */
export class DiceLoss extends LossFunction<DiceOptions> {
  readonly type = 'DiceLoss';

  constructor(options: DiceOptions = {}) {
    super('DiceLoss', options, ['smooth', 'squared', 'batch', 'includeBackground']);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return diceLoss(input, target, this.options);
  }
}

/** {@link ctcLoss} of logarithms of probabilities [time, batch, classes]. */
export class CTCLoss extends LossFunction<CtcOptions> {
  readonly type = 'CTCLoss';

  constructor(options: CtcOptions = {}) {
    super('CTCLoss', options, ['blank', 'zeroInfinity']);
  }

  /**
   * @param target i32 [batch, longest]
   * @param inputLengths default: all steps
   * @param targetLengths default: what lies in front of numbers below 0, which fill up shorter targets
   */
  forward(input: Tensor, target: Tensor, inputLengths?: Lengths, targetLengths?: Lengths): Tensor {
    const steps = inputLengths ?? new Array<number>(input.shape[1] ?? 0).fill(input.shape[0]);
    const labels = targetLengths ?? sum(cast(greaterEqual(target, 0), 'i32'), 1);
    return ctcLoss(input, target, steps, labels, this.options);
  }
}

const LOSSES: Readonly<Record<string, (options: object) => LossFunction>> = {
  BCELoss: (options) => new BCELoss(options),
  BCEWithLogitsLoss: (options) => new BCEWithLogitsLoss(options),
  CTCLoss: (options) => new CTCLoss(options),
  CrossEntropyLoss: (options) => new CrossEntropyLoss(options),
  DiceLoss: (options) => new DiceLoss(options),
  HuberLoss: (options) => new HuberLoss(options),
  L1Loss: (options) => new L1Loss(options),
  MSELoss: (options) => new MSELoss(options),
  NLLLoss: (options) => new NLLLoss(options),
  SmoothL1Loss: (options) => new SmoothL1Loss(options),
};

/** Makes the loss that `config` describes: the inverse of `loss.config()`. */
export function lossFromConfig(config: LayerConfig): LossFunction {
  const { type, ...options } = config;
  if (!Object.hasOwn(LOSSES, type)) {
    throw new OptionError(`unknown loss ${JSON.stringify(type)}; known losses are ${Object.keys(LOSSES).join(', ')}`);
  }
  const entries = Object.entries(options).map(([key, value]) => {
    if (typeof value !== 'object' || value === null || !('shape' in value)) return [key, value];
    const { shape, data } = value as { readonly shape: readonly number[]; readonly data: readonly number[] };
    return [key, tensor(data, { shape })];
  });
  return LOSSES[type](Object.fromEntries(entries));
}
