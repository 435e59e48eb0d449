import { resolve } from 'node:path';
import type { AugmentOptions, DatasetOptions, Fit } from '../data/index.js';
import { FileError } from '../tensor/errors.js';
import type { ScheduleOptions, TrainingOptions, TrainingSettings } from '../train/index.js';
import type { DeviceName } from './devices.js';
import { UsageError } from './failure.js';

/** `gabor train` as typed; what was not given is undefined. */
export interface TrainFlags {
  readonly data?: string;
  readonly model?: string;
  /** A model file to begin with. */
  readonly init?: string;
  readonly freeze?: 'features';
  readonly preprocessing?: string;
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  readonly out?: string;
  readonly resume?: boolean;
  readonly epochs?: number;
  readonly batchSize?: number;
  readonly optimizer?: 'sgd' | 'adam' | 'adamw';
  readonly lr?: number;
  readonly momentum?: number;
  readonly weightDecay?: number;
  readonly schedule?: ScheduleOptions['type'];
  readonly warmup?: number;
  readonly labelSmoothing?: number;
  readonly mixup?: number;
  readonly cutmix?: number;
  readonly ema?: number;
  /** true: the model's own; false: none */
  readonly augment?: boolean | AugmentOptions;
  readonly seed?: number;
  readonly valSplit?: number;
  readonly testSplit?: number;
  readonly size?: number | readonly [number, number];
  readonly channels?: '1' | '3';
  readonly fit?: Fit;
  readonly trainCount?: number;
  readonly testCount?: number;
  readonly strict?: boolean;
  readonly threads?: number;
  readonly tune?: boolean;
  readonly device: DeviceName;
}

/** Options that decide which images are seen, and how: what a model remembers of them. */
export type DataChoice = Pick<
  DatasetOptions,
  'seed' | 'valSplit' | 'testSplit' | 'size' | 'channels' | 'fit' | 'trainCount' | 'testCount'
>;

const DATA_OPTIONS: readonly (keyof DataChoice)[] = [
  'seed',
  'valSplit',
  'testSplit',
  'size',
  'channels',
  'fit',
  'trainCount',
  'testCount',
];

/** Stored with models and checkpoints as the text `run`. */
export interface RunRecord {
  /** `strokes`, or the absolute path of a folder. */
  readonly data: string;
  readonly model: string;
  /** The model that it began with. */
  readonly init?: string;
  /** Parameters that are trained, where that is not all of them. */
  readonly trained?: readonly string[];
  readonly options: DataChoice;
  readonly gabor: string;
}

export function dataChoice(flags: TrainFlags): DataChoice {
  const { seed, valSplit, testSplit, size, channels, fit, trainCount, testCount } = flags;
  return withoutUndefined({
    seed: seed ?? 0,
    valSplit,
    testSplit,
    size,
    channels: channels === undefined ? undefined : (Number(channels) as 1 | 3),
    fit,
    trainCount,
    testCount,
  });
}

export function withoutUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T;
}

/** Reads back what was stored; undefined for models that were made otherwise. */
export function parseRunRecord(path: string, text: string | undefined): RunRecord | undefined {
  if (text === undefined) return undefined;
  try {
    const record = JSON.parse(text) as RunRecord;
    if (typeof record.data === 'string' && typeof record.model === 'string' && typeof record.options === 'object') {
      return { ...record, options: Object.fromEntries(DATA_OPTIONS.map((key) => [key, record.options[key]])) };
    }
  } catch {
    // as below
  }
  throw new FileError(`${path}: the metadata "run" is damaged`);
}

/** The model's defaults for this data under what was given. */
export function trainingOptions(flags: TrainFlags, defaults: TrainingOptions): TrainingOptions {
  const {
    epochs,
    batchSize,
    optimizer,
    lr,
    momentum,
    weightDecay,
    labelSmoothing,
    mixup,
    cutmix,
    ema,
    seed = 0,
  } = flags;
  // Rates that suit one optimizer do not suit another.
  const other = optimizer !== undefined && optimizer !== defaults.optimizer;
  const { lr: _lr, momentum: _momentum, nesterov: _nesterov, weightDecay: _weightDecay, ...rest } = defaults;
  const given = withoutUndefined({
    epochs,
    batchSize,
    optimizer,
    lr,
    momentum,
    weightDecay,
    labelSmoothing,
    mixup,
    cutmix,
    ema,
    seed,
    schedule: schedule(flags, defaults),
  });
  const augment =
    flags.augment === undefined || flags.augment === true
      ? defaults.augment
      : flags.augment === false
        ? undefined
        : flags.augment;
  return { ...(other ? rest : defaults), ...given, augment };
}

function schedule(flags: TrainFlags, defaults: TrainingOptions): ScheduleOptions | undefined {
  if (flags.schedule === undefined && flags.warmup === undefined) return undefined;
  const standard = typeof defaults.schedule === 'object' ? defaults.schedule : undefined;
  const type = flags.schedule ?? standard?.type ?? 'cosine';
  const warmup = flags.warmup ?? standard?.warmup;
  if (type !== 'step') return withoutUndefined({ type, warmup });
  // Twice a tenth in the course of training, after thirds.
  const epochs = flags.epochs ?? defaults.epochs ?? 10;
  return withoutUndefined({ type, stepSize: epochs / 3, warmup });
}

/** What is typed after --resume must agree with the checkpoint, except for what may change: epochs, threads, device, the data's place. */
export function checkAgainstCheckpoint(flags: TrainFlags, record: RunRecord, settings: TrainingSettings): void {
  const given: [flag: string, given: unknown, stored: unknown][] = [
    ['--model', flags.model, record.model],
    ['--init', flags.init, record.init],
    ['--freeze', flags.freeze, record.trained === undefined ? undefined : 'features'],
    ['--batch-size', flags.batchSize, settings.batchSize],
    ['--optimizer', flags.optimizer, settings.optimizer],
    ['--lr', flags.lr, settings.lr],
    ['--momentum', flags.momentum, settings.momentum],
    ['--weight-decay', flags.weightDecay, settings.weightDecay],
    ['--schedule', flags.schedule, settings.schedule.type],
    ['--warmup', flags.warmup, settings.schedule.warmup ?? 0],
    ['--label-smoothing', flags.labelSmoothing, settings.labelSmoothing],
    ['--mixup', flags.mixup, settings.mixup],
    ['--cutmix', flags.cutmix, settings.cutmix],
    ['--ema', flags.ema, settings.ema],
    ['--seed', flags.seed, settings.seed],
    ['--val-split', flags.valSplit, record.options.valSplit ?? 0],
    ['--test-split', flags.testSplit, record.options.testSplit ?? 0.2],
    ['--size', flags.size, record.options.size],
    ['--channels', flags.channels === undefined ? undefined : Number(flags.channels), record.options.channels],
    ['--fit', flags.fit, record.options.fit ?? 'crop'],
    ['--train-count', flags.trainCount, record.options.trainCount],
    ['--test-count', flags.testCount, record.options.testCount],
    ['--augment', flags.augment, augmentText(flags.augment, settings.augment)],
  ];
  const wrong = given.filter(([, now, stored]) => now !== undefined && JSON.stringify(now) !== JSON.stringify(stored));
  if (wrong.length === 0) return;
  const list = wrong.map(
    ([flag, now, stored]) =>
      `${flag} ${JSON.stringify(now)} (the checkpoint has ${JSON.stringify(stored) ?? 'its default'})`,
  );
  throw new UsageError(
    `--resume goes on with the options of the checkpoint, but these differ: ${list.join(', ')}. Leave them out, or train anew in another folder`,
  );
}

/** `--augment` alone agrees with any augmentation, `--no-augment` with none. */
function augmentText(given: TrainFlags['augment'], stored: AugmentOptions | null): unknown {
  if (typeof given === 'boolean') return stored !== null;
  return stored;
}

/** The place of the data as it is stored. */
export function dataPlace(data: string): string {
  return data === 'strokes' ? data : resolve(data);
}
