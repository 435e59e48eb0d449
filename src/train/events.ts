/** What one epoch came to. */
export interface EpochRecord {
  /** From 1. */
  readonly epoch: number;
  /** Optimizer steps since the beginning. */
  readonly step: number;
  /** Mean over the epoch's samples while they were trained on: with augmentation, label smoothing and dropout. */
  readonly loss: number;
  /** `metrics.accuracy`, of targets that are classes. */
  readonly accuracy?: number;
  /** Means by name, as the kind of target has them: `accuracy` of classes, `meanAbsoluteError` of numbers, and those that were asked for. */
  readonly metrics: Readonly<Record<string, number>>;
  /** On the validation samples, in evaluation mode, without label smoothing; absent where there are none. */
  readonly validationLoss?: number;
  readonly validationAccuracy?: number;
  /** As {@link metrics}, and `meanDice` and `meanIoU` of regions. */
  readonly validationMetrics?: Readonly<Record<string, number>>;
  /** At the epoch's last step. */
  readonly learningRate: number;
  /** Trained on, per second, without the time for validation. */
  readonly imagesPerSecond: number;
  /** All of the epoch. */
  readonly seconds: number;
}

/** Told once, before the first step. */
export interface StartEvent {
  readonly event: 'start';
  readonly epochs: number;
  readonly batchSize: number;
  /** Steps in one epoch. */
  readonly batches: number;
  readonly trainCount: number;
  readonly validationCount: number;
  /** Which part is validated on. */
  readonly validation: 'validation' | 'test' | 'none';
  /** Numbers in all parameters. */
  readonly parameters: number;
  /** Where a resumed training goes on: epochs and steps of the next epoch that are done. */
  readonly resumed?: { readonly epoch: number; readonly batch: number; readonly changed: readonly string[] };
}

/** Told after every step. */
export interface StepEvent {
  readonly event: 'step';
  /** From 1. */
  readonly epoch: number;
  readonly epochs: number;
  /** Steps of this epoch that are done, and of how many. */
  readonly batch: number;
  readonly batches: number;
  /** Steps since the beginning. */
  readonly step: number;
  /** Mean over the epoch so far. */
  readonly loss: number;
  readonly accuracy?: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** Of this step alone. */
  readonly batchLoss: number;
  readonly learningRate: number;
  readonly imagesPerSecond: number;
  /** Estimate to the end of the last epoch. */
  readonly secondsLeft: number;
}

/** Told while validating at the end of an epoch. */
export interface ValidationEvent {
  readonly event: 'validating';
  readonly epoch: number;
  readonly done: number;
  readonly total: number;
}

export interface EpochEvent extends EpochRecord {
  readonly event: 'epoch';
  readonly epochs: number;
}

/** Told after `onCheckpoint` has returned. */
export interface CheckpointEvent {
  readonly event: 'checkpoint';
  /** Completed epochs, and steps of the next one that are done. */
  readonly epoch: number;
  readonly batch: number;
  readonly step: number;
  readonly reason: CheckpointReason;
}

/** `epoch`: an epoch ended; `abort`: the signal asked for a stop. */
export type CheckpointReason = 'epoch' | 'abort';

/** Told last, also when training was stopped early. */
export interface DoneEvent {
  readonly event: 'done';
  readonly epochs: number;
  readonly step: number;
  readonly aborted: boolean;
  /** Of this run; time before a resume is in the epochs' records. */
  readonly seconds: number;
}

/** What `fit` tells while it works: plain data, one JSON object each. */
export type TrainEvent = StartEvent | StepEvent | ValidationEvent | EpochEvent | CheckpointEvent | DoneEvent;
