import type { AugmentOptions } from '../data/index.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import { type LossOption, type LossSetting, lossSetting } from './objective.js';

/** Optimizers that {@link fit} makes by itself. */
export type OptimizerName = 'sgd' | 'adam' | 'adamw';

/** How the learning rate changes; lengths in epochs, fractions allowed. */
export type ScheduleOptions =
  | { type: 'constant'; warmup?: number }
  /** Half a cosine from `lr` to `min` (Loshchilov and Hutter, ICLR 2017, without restarts). Default `min` 0. */
  | { type: 'cosine'; warmup?: number; min?: number }
  /** Times `gamma` (default 0.1) after every `stepSize` epochs. */
  | { type: 'step'; stepSize: number; gamma?: number; warmup?: number };

/** Options that decide what is learned; all of them are stored in a checkpoint. */
export interface TrainingOptions {
  /** Passes over the training images. Default 10. */
  epochs?: number;
  /** Images per step. Default 64; at most the number of training images. */
  batchSize?: number;
  /** Default `adam`. */
  optimizer?: OptimizerName;
  /** Learning rate, after warm-up. Default: 0.05 for `sgd`, 0.001 for `adam` and `adamw`. */
  lr?: number;
  /** `sgd` only. Default 0.9. */
  momentum?: number;
  /** `sgd` only. Default false. */
  nesterov?: boolean;
  /** Default: 0.01 for `adamw`, otherwise 0. */
  weightDecay?: number;
  /** Default `cosine`: `{ type: 'cosine' }`. */
  schedule?: ScheduleOptions['type'] | ScheduleOptions;
  /** What is made small. Default `crossEntropy` of logits and classes. */
  loss?: LossOption;
  /** For the loss `crossEntropy`: probability taken from the right class and spread over all (Szegedy et al., CVPR 2016, section 7). Default 0. */
  labelSmoothing?: number;
  /** Random changes of training images. Default: none. */
  augment?: AugmentOptions;
  /**
   * For samples with one class each and cross-entropy: every batch is mixed with itself in another order, λ of a sample and 1 − λ of
   * another, and so are the targets; λ is from Beta(α, α), and this is α, for example 0.2 (Zhang et al., "mixup: beyond empirical risk
   * minimization", ICLR 2018). Training accuracy counts the class with the larger share. Default 0: none.
   */
  mixup?: number;
  /**
   * As `mixup`, but a rectangle of 1 − λ of every image is cut out of another one; for example 1 (Yun et al., "CutMix: regularization strategy
   * to train strong classifiers with localizable features", ICCV 2019). With both, every batch has one of them, each half of the
   * time. Default 0: none.
   */
  cutmix?: number;
  /**
   * Averages the weights over the steps of training, which evens out their last moves: how much of an average stays from step to
   * step, for example 0.999 for some thousand steps; less than (1 + t) / (10 + t) in step t, so that the beginning is forgotten. Evaluation,
   * checkpoints and the model in the end have the averages (those of running statistics, too). 0 = none, the default.
   * Polyak and Juditsky, 1992; `ema` of Keras's optimizers and of timm.
   */
  ema?: number;
  /** Decides the order of images and their augmentation. Default 0. */
  seed?: number;
  /** Leave out the images of an epoch that do not fill a batch; they differ from epoch to epoch. Default true. */
  dropLast?: boolean;
}

/** {@link TrainingOptions} with every default filled in; plain data. */
export interface TrainingSettings {
  readonly epochs: number;
  readonly batchSize: number;
  readonly optimizer: OptimizerName;
  readonly lr: number;
  readonly momentum: number;
  readonly nesterov: boolean;
  readonly weightDecay: number;
  readonly schedule: ScheduleOptions;
  readonly loss: LossSetting;
  readonly labelSmoothing: number;
  readonly augment: AugmentOptions | null;
  readonly mixup: number;
  readonly cutmix: number;
  readonly ema: number;
  readonly seed: number;
  readonly dropLast: boolean;
}

export const TRAINING_OPTIONS = [
  'epochs',
  'batchSize',
  'optimizer',
  'lr',
  'momentum',
  'nesterov',
  'weightDecay',
  'schedule',
  'loss',
  'labelSmoothing',
  'augment',
  'mixup',
  'cutmix',
  'ema',
  'seed',
  'dropLast',
] as const;

/** Default learning rate and weight decay. */
const OPTIMIZERS: Readonly<Record<OptimizerName, { lr: number; weightDecay: number }>> = {
  sgd: { lr: 0.05, weightDecay: 0 },
  adam: { lr: 0.001, weightDecay: 0 },
  adamw: { lr: 0.001, weightDecay: 0.01 },
};

/**
 * Checks options and fills in defaults: those of `earlier` (a checkpoint's) where there are some.
 *
 * @throws OptionError for values out of their range, and for options of other optimizers.
 */
export function resolveSettings(
  options: TrainingOptions,
  trainCount: number,
  earlier?: TrainingSettings,
): TrainingSettings {
  const given = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as TrainingOptions;
  const optimizer = given.optimizer ?? earlier?.optimizer ?? 'adam';
  if (!Object.hasOwn(OPTIMIZERS, optimizer)) {
    throw new OptionError(
      `fit: optimizer must be one of ${Object.keys(OPTIMIZERS).join(', ')}, got ${String(optimizer)}`,
    );
  }
  if (optimizer !== 'sgd') {
    for (const name of ['momentum', 'nesterov'] as const) {
      if (given[name] !== undefined) throw new OptionError(`fit: ${name} is an option of sgd, not of ${optimizer}`);
    }
  }
  const settings: TrainingSettings = {
    epochs: given.epochs ?? earlier?.epochs ?? 10,
    batchSize: Math.min(given.batchSize ?? earlier?.batchSize ?? 64, Math.max(trainCount, 1)),
    optimizer,
    lr: given.lr ?? earlier?.lr ?? OPTIMIZERS[optimizer].lr,
    momentum: optimizer === 'sgd' ? (given.momentum ?? earlier?.momentum ?? 0.9) : 0,
    nesterov: given.nesterov ?? earlier?.nesterov ?? false,
    weightDecay: given.weightDecay ?? earlier?.weightDecay ?? OPTIMIZERS[optimizer].weightDecay,
    schedule: checkSchedule(given.schedule ?? earlier?.schedule ?? 'cosine'),
    loss: given.loss === undefined ? (earlier?.loss ?? 'crossEntropy') : lossSetting(given.loss),
    labelSmoothing: given.labelSmoothing ?? earlier?.labelSmoothing ?? 0,
    augment: given.augment ?? earlier?.augment ?? null,
    mixup: given.mixup ?? earlier?.mixup ?? 0,
    cutmix: given.cutmix ?? earlier?.cutmix ?? 0,
    ema: given.ema ?? earlier?.ema ?? 0,
    seed: given.seed ?? earlier?.seed ?? 0,
    dropLast: given.dropLast ?? earlier?.dropLast ?? true,
  };
  whole('epochs', settings.epochs, 1);
  whole('batchSize', settings.batchSize, 1);
  within('lr', settings.lr, 0, Number.MAX_VALUE, false);
  within('momentum', settings.momentum, 0, 1);
  within('weightDecay', settings.weightDecay, 0, Number.MAX_VALUE);
  within('labelSmoothing', settings.labelSmoothing, 0, 1);
  within('mixup', settings.mixup, 0, Number.MAX_VALUE);
  within('cutmix', settings.cutmix, 0, Number.MAX_VALUE);
  below('ema', settings.ema, 1);
  if (!Number.isSafeInteger(settings.seed))
    throw new OptionError(`fit: seed must be a whole number, got ${settings.seed}`);
  if (settings.nesterov && settings.momentum === 0) throw new OptionError('fit: nesterov needs a momentum above 0');
  return settings;
}

/**
 * The names of settings that differ.
 *
 * @throws OptionError for differences that an epoch under way, or the optimizer's state, cannot take.
 */
export function changedSettings(earlier: TrainingSettings, now: TrainingSettings, midEpoch: boolean): string[] {
  const changed = TRAINING_OPTIONS.filter((name) => JSON.stringify(earlier[name]) !== JSON.stringify(now[name]));
  for (const name of changed) {
    const order = name === 'batchSize' || name === 'seed' || name === 'dropLast';
    if (name === 'optimizer' || (order && midEpoch)) {
      throw new OptionError(
        `fit: cannot resume with ${name} ${now[name]}, since the checkpoint ${name === 'optimizer' ? "holds another optimizer's state" : 'lies in the middle of an epoch'} with ${name} ${earlier[name]}`,
      );
    }
  }
  return changed;
}

const SCHEDULES: Readonly<Record<ScheduleOptions['type'], readonly string[]>> = {
  constant: ['type', 'warmup'],
  cosine: ['type', 'warmup', 'min'],
  step: ['type', 'stepSize', 'gamma', 'warmup'],
};

function checkSchedule(schedule: ScheduleOptions['type'] | ScheduleOptions): ScheduleOptions {
  const options = typeof schedule === 'string' ? ({ type: schedule } as ScheduleOptions) : schedule;
  if (!Object.hasOwn(SCHEDULES, options.type)) {
    throw new OptionError(
      `fit: schedule must be one of ${Object.keys(SCHEDULES).join(', ')}, got ${String(options.type)}`,
    );
  }
  checkOptions(`fit: schedule ${options.type}`, options, SCHEDULES[options.type]);
  within('schedule.warmup', options.warmup ?? 0, 0, Number.MAX_VALUE);
  if (options.type === 'cosine') within('schedule.min', options.min ?? 0, 0, Number.MAX_VALUE);
  if (options.type === 'step') {
    within('schedule.stepSize (epochs between the steps)', options.stepSize, 0, Number.MAX_VALUE, false);
    within('schedule.gamma', options.gamma ?? 0.1, 0, 1);
  }
  return options;
}

function below(name: string, value: number, limit: number): void {
  if (!(typeof value === 'number' && value >= 0 && value < limit)) {
    throw new OptionError(`fit: ${name} must be at least 0 and less than ${limit}, got ${value}`);
  }
}

function whole(name: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new OptionError(`fit: ${name} must be a whole number of at least ${least}, got ${value}`);
  }
}

function within(name: string, value: number, least: number, most: number, included = true): void {
  if (!(typeof value === 'number' && (included ? value >= least : value > least) && value <= most)) {
    const upper = most === Number.MAX_VALUE ? '' : ` and at most ${most}`;
    throw new OptionError(`fit: ${name} must be ${included ? 'at least' : 'more than'} ${least}${upper}, got ${value}`);
  }
}
