import { checkOptions, OptionError } from '../tensor/errors.js';

/** Numbers by name: `loss`, metrics, and with `val_` in front those of the validation data. */
export type Logs = Readonly<Record<string, number>>;

/** What callbacks may ask of the model that trains. */
export interface TrainingModel {
  /** Set to true to stop after the epoch (or batch) under way. */
  stopTraining: boolean;
  captureWeights(): () => void;
}

type Awaitable = void | Promise<void>;

/** Functions that `fit` calls and waits for. */
export interface CallbackFunctions {
  onTrainBegin?(logs: Logs): Awaitable;
  onTrainEnd?(logs: Logs): Awaitable;
  onEpochBegin?(epoch: number, logs: Logs): Awaitable;
  onEpochEnd?(epoch: number, logs: Logs): Awaitable;
  onBatchBegin?(batch: number, logs: Logs): Awaitable;
  onBatchEnd?(batch: number, logs: Logs): Awaitable;
}

/** What `fit` calls as it goes on. */
export interface Callback extends CallbackFunctions {
  setModel?(model: TrainingModel): void;
}

const NAMES: readonly string[] = [
  'onTrainBegin',
  'onTrainEnd',
  'onEpochBegin',
  'onEpochEnd',
  'onBatchBegin',
  'onBatchEnd',
  'setModel',
];

/** The callbacks of a `fit`, checked. */
export function listCallbacks(given: Callback | readonly Callback[] | undefined): readonly Callback[] {
  const list: readonly Callback[] = given === undefined ? [] : Array.isArray(given) ? given : [given as Callback];
  for (const callback of list) {
    if (!(callback instanceof EarlyStopping)) checkOptions('fit: callbacks', callback, NAMES);
  }
  return list;
}

/** Options of {@link EarlyStopping}. */
export interface EarlyStoppingOptions {
  /** what to watch; default `val_loss` */
  readonly monitor?: string;
  /** smaller changes are none; default 0 */
  readonly minDelta?: number;
  /** epochs without improvement to bear; default 0 */
  readonly patience?: number;
  /** whether less or more is better; default `auto`: more for names with `acc`, otherwise less */
  readonly mode?: 'auto' | 'min' | 'max';
  /** Return to the weights of the best epoch; default false. */
  readonly restoreBestWeights?: boolean;
}

/** Ends training when a number no longer improves. */
export class EarlyStopping implements Callback {
  readonly #options: EarlyStoppingOptions;
  #model: TrainingModel | undefined;
  #best = Number.NaN;
  #waited = 0;
  #restore: (() => void) | undefined;
  /** The epoch after which training was stopped. */
  stoppedEpoch: number | undefined;

  constructor(options: EarlyStoppingOptions = {}) {
    checkOptions('callbacks.earlyStopping', options, ['monitor', 'minDelta', 'patience', 'mode', 'restoreBestWeights']);
    this.#options = options;
  }

  setModel(model: TrainingModel): void {
    this.#model = model;
  }

  onTrainBegin(): void {
    this.#best = Number.NaN;
    this.#waited = 0;
    this.#restore = undefined;
    this.stoppedEpoch = undefined;
  }

  onEpochEnd(epoch: number, logs: Logs): void {
    const {
      monitor = 'val_loss',
      minDelta = 0,
      patience = 0,
      mode = 'auto',
      restoreBestWeights = false,
    } = this.#options;
    const value = logs[monitor];
    if (value === undefined) {
      throw new OptionError(
        `callbacks.earlyStopping: there is no "${monitor}" to watch; there are ${Object.keys(logs).join(', ')}`,
      );
    }
    const more = mode === 'max' || (mode === 'auto' && monitor.includes('acc'));
    const gain = more ? value - this.#best : this.#best - value;
    if (Number.isNaN(this.#best) || gain > Math.abs(minDelta)) {
      this.#best = value;
      this.#waited = 0;
      if (restoreBestWeights) this.#restore = this.#model?.captureWeights();
      return;
    }
    this.#waited++;
    if (this.#waited < patience || this.#model === undefined) return;
    this.stoppedEpoch = epoch;
    this.#model.stopTraining = true;
    this.#restore?.();
  }
}

/** See {@link EarlyStopping}. */
export function earlyStopping(options: EarlyStoppingOptions = {}): EarlyStopping {
  return new EarlyStopping(options);
}

/** What `fit` returns. */
export interface History {
  readonly epoch: readonly number[];
  /** One number per epoch for each name: `loss`, `acc`, `val_loss`, … */
  readonly history: Readonly<Record<string, readonly number[]>>;
}
