import {
  BatchLoader,
  type BatchTargets,
  type ImageSplit,
  type SampleDataset,
  type SampleSplit,
  type Samples,
  samplesOf,
} from '../data/index.js';
import type { Compiled } from '../graph/compile.js';
import type { Module } from '../nn/module.js';
import type { Optimizer } from '../optim/index.js';
import { isFloat } from '../tensor/dtype.js';
import { checkOptions, GaborError, OptionError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { checkLabels, type EvaluationFormat, score, turn } from './evaluate.js';
import type { CheckpointReason, EpochRecord, StartEvent, TrainEvent } from './events.js';
import { checkLogits, initializeLazy } from './forward.js';
import { InputRing } from './input-ring.js';
import { type LossOption, lossOfSetting, type MetricFunction, Objective } from './objective.js';
import { learningRateOf, makeOptimizer } from './optimizers.js';
import {
  changedSettings,
  resolveSettings,
  TRAINING_OPTIONS,
  type TrainingOptions,
  type TrainingSettings,
} from './settings.js';
import {
  captureTensors,
  checkSameData,
  type DataIdentity,
  findNonFinite,
  identifyData,
  restoreTensors,
  START,
  type StateTensors,
  type TrainingProgress,
  type TrainingState,
} from './state.js';
import { addTotals, compileStep, meansOf, readStep, type StepResult } from './step.js';
import { Stopwatch } from './stopwatch.js';
import { WeightAverage } from './weight-average.js';

/** Images with one class each: an `ImageDataset` fits. */
export interface TrainingData extends EvaluationFormat {
  readonly splits: {
    readonly train: ImageSplit;
    readonly validation?: ImageSplit;
    readonly test?: ImageSplit;
  };
}

/** Options of {@link fit}. */
export interface FitOptions extends TrainingOptions {
  /**
   * Further numbers to tell beside those that follow from the loss and the target: the mean of each over a batch, by its name. Not
   * stored in checkpoints.
   */
  metrics?: Readonly<Record<string, MetricFunction>>;
  /**
   * Evaluate after every epoch: on the validation part, where there is none on the test part, where there is none not at all. Nothing
   * is chosen by the outcome. Default true.
   */
  validate?: boolean;
  /**
   * Parameters that stay as they are, by name: fine-tuning of the last layers of a trained network. No gradients are computed for them. Not
   * stored in checkpoints: to be given again with `resume`.
   */
  frozen?: (name: string) => boolean;
  /** Threads that make batches; 0 = this one, with the same bits. Default 1. */
  workers?: number;
  /** Stops after the step under way and hands a checkpoint to `onCheckpoint`. */
  signal?: AbortSignal;
  /** Told of everything that happens; plain data. */
  onEvent?: (event: TrainEvent) => void;
  /** Called after every epoch, and when training is stopped, for example to write a checkpoint; waited for. */
  onCheckpoint?: (state: TrainingState, reason: CheckpointReason) => void | Promise<void>;
  /** Goes on from here: options that are not given are the checkpoint's. */
  resume?: TrainingState;
}

/** What came of a training. */
export interface FitResult {
  /** Of all epochs, also those before a resume. */
  readonly history: readonly EpochRecord[];
  readonly settings: TrainingSettings;
  /** Steps since the beginning. */
  readonly step: number;
  /** Whether the signal stopped training before the last epoch was over. */
  readonly aborted: boolean;
}

/** Training that has lost its way: the loss is not a number any more. The model was put back to the state before. */
export class DivergedError extends GaborError {
  override name = 'DivergedError';
  /** Completed epochs of the state that the model was put back to. */
  readonly restoredEpoch: number;

  constructor(message: string, restoredEpoch: number) {
    super(message);
    this.restoredEpoch = restoredEpoch;
  }
}

const OPTIONS = [
  ...TRAINING_OPTIONS,
  'metrics',
  'validate',
  'frozen',
  'workers',
  'signal',
  'onEvent',
  'onCheckpoint',
  'resume',
] as const satisfies readonly (keyof FitOptions)[];

/**
 * Trains a model: on labelled images, with cross-entropy of the logits [n, classes] that it returns; or on samples of any shape, with
 * targets of any shape and the loss that suits them.
 *
 *     await fit(model, await openDataset('strokes'), { epochs: 3, onEvent: console.log });
 *     await fit(net, { inputShape: [8], targetShape: [1], splits: { train: { count, inputs, targets } } }, { loss: 'mse' });
 *
 * All layers train, whatever mode they are in; their modes stay as they are. The same model, data, options and seed give the same
 * bits, also when training was stopped and resumed in between.
 *
 * @throws OptionError for options that are unknown or out of range; ShapeError when model and data do not fit;
 *   {@link DivergedError} when the loss is no longer a number.
 */
export async function fit(
  model: Module,
  data: TrainingData | SampleDataset,
  options: FitOptions = {},
): Promise<FitResult> {
  checkOptions('fit', options, OPTIONS);
  if (data?.splits?.train === undefined) {
    throw new OptionError('fit: takes a data set: openDataset reads images, sampleDataset makes one of arrays');
  }
  const training = new Training(model, data, options);
  try {
    return await training.run();
  } finally {
    await training.close();
  }
}

function trainedParameters(model: Module, { frozen }: FitOptions): [string, Tensor][] {
  const trained = model.namedParameters().filter(([name]) => !(frozen?.(name) ?? false));
  if (trained.length === 0 && frozen !== undefined) throw new OptionError('fit: all parameters are frozen');
  return trained;
}

/** The number of classes whose shares are targets, where samples are mixed. @throws OptionError where they cannot be */
function mixedClasses(
  { mixup, cutmix }: TrainingSettings,
  { targetShape, targets }: Samples,
  { classes }: TrainingData | SampleDataset,
  objective: Objective,
): number | undefined {
  if (mixup === 0 && cutmix === 0) return undefined;
  const name = mixup > 0 ? 'mixup' : 'cutmix';
  if (targetShape.length > 0 || targets instanceof Float32Array) {
    throw new OptionError(`fit: ${name} is for samples with one class each`);
  }
  if (!objective.takesShares) {
    throw new OptionError(
      `fit: ${name} makes targets of shares of the classes, which only cross-entropy takes; leave out ${name}, or the loss (and its ignoreIndex)`,
    );
  }
  if (classes === undefined) {
    throw new OptionError(
      `fit: ${name} needs to know how many classes there are: name them in the data set, as classes`,
    );
  }
  return classes.length;
}

/** What training changes, beside counters: trained parameters and running statistics. */
function averaged(model: Module, options: FitOptions): [string, Tensor][] {
  const trained = trainedParameters(model, options);
  const parameters = new Set(model.parameters());
  const buffers = Object.entries(model.stateDict()).filter(([, t]) => !parameters.has(t) && isFloat(t.dtype));
  return [...trained, ...buffers];
}

function writeInto(model: Module, from: StateTensors['model'], names: readonly string[]): void {
  const state = model.stateDict();
  for (const name of names) state[name].write(from[name].data);
}

/** A step that has been started. */
interface RunningStep {
  readonly result: Promise<StepResult>;
  readonly count: number;
  readonly learningRate: number;
}

class Training {
  readonly #model: Module;
  readonly #data: TrainingData | SampleDataset;
  readonly #samples: Samples;
  /** Where samples are mixed: the number of shares that their targets are. */
  readonly #mixedClasses: number | undefined;
  /** Without label smoothing. */
  readonly #judge: Objective;
  readonly #options: FitOptions;
  readonly #settings: TrainingSettings;
  readonly #changed: readonly string[];
  readonly #identity: DataIdentity;
  readonly #optimizer: Optimizer;
  readonly #average: WeightAverage | undefined;
  readonly #step: Compiled<[Tensor, Tensor], StepResult>;
  readonly #loader: BatchLoader<BatchTargets>;
  /** By number of samples: full batches and, unless `dropLast`, the last one of an epoch. */
  readonly #inputs = new Map<number, { readonly x: InputRing; readonly y: InputRing }>();
  readonly #learningRate: (step: number) => number;
  readonly #history: EpochRecord[];
  readonly #validation: {
    readonly name: StartEvent['validation'];
    readonly split: ImageSplit | SampleSplit | undefined;
  };
  readonly #began = performance.now();
  readonly #stopwatch = new Stopwatch();
  /** The latest state without NaN, to return to. */
  #good: StateTensors;
  #goodEpoch: number;
  /** While the model has the averages: the state with its weights. */
  #shown: StateTensors | undefined;
  #progress: TrainingProgress;
  #validationSeconds = 0;

  constructor(model: Module, data: TrainingData | SampleDataset, options: FitOptions) {
    const { resume } = options;
    const { train } = data.splits;
    if (train.count === 0) {
      throw new OptionError(`fit: there are no training ${'images' in train ? 'images' : 'samples'}`);
    }
    this.#model = model;
    this.#data = data;
    this.#options = options;
    this.#settings = resolveSettings(options, train.count, resume?.settings);
    this.#progress = resume?.progress ?? START;
    this.#changed = resume ? changedSettings(resume.settings, this.#settings, this.#progress.batch > 0) : [];
    this.#samples = samplesOf('fit', train, data);
    this.#identity = identifyData(this.#samples, data.classes?.length ?? 0);
    if (resume) checkSameData(resume.data, this.#identity);
    const { batchSize, seed, augment, mixup, cutmix, dropLast, epochs } = this.#settings;
    if (this.#progress.epoch >= epochs) {
      throw new OptionError(
        `fit: the checkpoint has completed ${this.#progress.epoch} of ${epochs} epochs; to train on, give a larger number of epochs`,
      );
    }
    const loss: LossOption = options.loss ?? lossOfSetting(this.#settings.loss);
    const { metrics = {} } = options;
    const objective = new Objective({ loss, metrics, labelSmoothing: this.#settings.labelSmoothing });
    this.#judge = new Objective({ loss, metrics });
    const { targets, targetShape } = this.#samples;
    checkLabels('fit', targets, data.classes?.length, objective.ignoreIndex, targetShape.length === 0);
    this.#mixedClasses = mixedClasses(this.#settings, this.#samples, data, objective);
    this.#loader = new BatchLoader<BatchTargets>(train, data, {
      batchSize,
      seed,
      dropLast,
      ...(augment ? { augment } : {}),
      ...(this.#mixedClasses === undefined ? {} : { mix: { mixup, cutmix, classes: this.#mixedClasses } }),
      ...(options.workers === undefined ? {} : { workers: options.workers }),
    });
    this.#learningRate = learningRateOf(this.#settings, this.#loader.batches);
    this.#history = [...(resume?.history ?? [])];
    this.#validation = chooseValidation(data, options.validate ?? true);
    initializeLazy(model, this.#samples.inputShape);
    this.#optimizer = makeOptimizer(trainedParameters(model, options), this.#settings);
    this.#average =
      this.#settings.ema > 0 ? new WeightAverage(averaged(model, options), this.#settings.ema) : undefined;
    if (resume) restoreTensors(model, this.#optimizer, this.#average, resume);
    this.#good = resume ?? this.#capture();
    this.#goodEpoch = this.#progress.epoch;
    const classPerSample = this.#samples.targetShape.length === 0 && loss === 'crossEntropy';
    const check = (output: Tensor, x: Tensor): void => {
      if (classPerSample) checkLogits('fit', output, x.shape[0], data.classes?.length);
    };
    this.#step = compileStep(model, this.#optimizer, objective, check, this.#average);
  }

  async run(): Promise<FitResult> {
    this.#tellStart();
    let aborted = false;
    while (this.#progress.epoch < this.#settings.epochs && !aborted) {
      this.#putBack();
      await this.#trainEpoch();
      aborted = this.#aborted || !(await this.#endEpoch());
    }
    if (aborted) await this.#checkpoint('abort', this.#showAverages());
    const { epoch, step } = this.#progress;
    this.#tell({ event: 'done', epochs: epoch, step, aborted, seconds: secondsSince(this.#began) });
    return { history: this.#history, settings: this.#settings, step, aborted };
  }

  async close(): Promise<void> {
    this.#step.dispose();
    for (const { x, y } of this.#inputs.values()) {
      x.dispose();
      y.dispose();
    }
    this.#optimizer.dispose();
    this.#average?.dispose();
    await this.#loader.close();
  }

  get #aborted(): boolean {
    return this.#options.signal?.aborted ?? false;
  }

  /** The rest of the epoch under way, or as much of it as the signal allows. */
  async #trainEpoch(): Promise<void> {
    let running: RunningStep | undefined;
    this.#stopwatch.reset();
    try {
      for await (const { x, y, count } of this.#loader.epoch(this.#progress.epoch, this.#progress.batch)) {
        // Written while the step before is still running.
        const inputs = this.#inputsFor(count);
        const input = inputs.x.load(x);
        const target = inputs.y.load(y);
        const ended = running;
        const batchLoss = ended && (await this.#finish(ended));
        running = this.#aborted ? undefined : this.#start(input, target, count);
        if (ended !== undefined) this.#tellStep(ended, batchLoss as number);
        await turn();
        if (running === undefined) return;
      }
      const ended = running;
      running = undefined;
      if (ended !== undefined) this.#tellStep(ended, await this.#finish(ended));
    } finally {
      await running?.result.catch(() => undefined);
    }
  }

  #inputsFor(count: number): { readonly x: InputRing; readonly y: InputRing } {
    let inputs = this.#inputs.get(count);
    if (inputs === undefined) {
      const { inputShape, targetShape, targets } = this.#samples;
      const mixed = this.#mixedClasses;
      inputs = {
        x: new InputRing([count, ...inputShape], 'f32'),
        y:
          mixed === undefined
            ? new InputRing([count, ...targetShape], targets instanceof Float32Array ? 'f32' : 'i32')
            : new InputRing([count, mixed], 'f32'),
      };
      this.#inputs.set(count, inputs);
    }
    return inputs;
  }

  #start(input: Tensor, target: Tensor, count: number): RunningStep {
    const learningRate = this.#learningRate(this.#progress.step);
    this.#optimizer.setLearningRate(learningRate);
    const result = this.#step(input, target);
    result.catch(() => undefined); // reported where it is awaited
    return { result, count, learningRate };
  }

  /** Waits for a step, adds up its result and returns its loss. */
  async #finish({ result, count, learningRate }: RunningStep): Promise<number> {
    const { loss: batchLoss, metrics } = readStep(await result);
    const p = this.#progress;
    this.#progress = {
      epoch: p.epoch,
      batch: p.batch + 1,
      step: p.step + 1,
      lossSum: p.lossSum + batchLoss * count,
      metrics: addTotals(p.metrics, metrics),
      count: p.count + count,
      seconds: p.seconds + this.#stopwatch.lap(count),
    };
    if (!Number.isFinite(batchLoss)) this.#diverged(`the loss is ${batchLoss}`, learningRate);
    return batchLoss;
  }

  /** Validates, records and hands out a checkpoint; false when the signal came in between, with nothing changed. */
  async #endEpoch(): Promise<boolean> {
    const { epoch, step, lossSum, count, seconds } = this.#progress;
    const { epochs } = this.#settings;
    const learningRate = this.#learningRate(step - 1);
    const tensors = this.#showAverages();
    const broken = findNonFinite(tensors);
    if (broken !== undefined) this.#diverged(`"${broken}" holds numbers that are not finite`, learningRate);
    const began = performance.now();
    const { split } = this.#validation;
    let validation: Pick<EpochRecord, 'validationLoss' | 'validationAccuracy' | 'validationMetrics'> | undefined;
    if (split !== undefined) {
      try {
        const { loss, metrics } = await score(this.#model, split, this.#data, this.#judge, {
          batchSize:
            this.#samples.targetShape.length > 0 ? this.#settings.batchSize : Math.max(64, this.#settings.batchSize),
          mostWrong: 0,
          onProgress: (done, total) => this.#tell({ event: 'validating', epoch: epoch + 1, done, total }),
          ...(this.#options.signal ? { signal: this.#options.signal } : {}),
        });
        if (!Number.isFinite(loss)) this.#diverged(`the validation loss is ${loss}`, learningRate);
        const { accuracy } = metrics;
        validation = {
          validationLoss: loss,
          validationMetrics: metrics,
          ...(accuracy === undefined ? {} : { validationAccuracy: accuracy }),
        };
      } catch (error) {
        if (this.#aborted && error === this.#options.signal?.reason) return false;
        throw error;
      }
    }
    this.#validationSeconds = secondsSince(began);
    const record: EpochRecord = {
      epoch: epoch + 1,
      step,
      loss: lossSum / count,
      ...this.#metrics(),
      ...validation,
      learningRate,
      imagesPerSecond: this.#stopwatch.rate,
      seconds: seconds + this.#validationSeconds,
    };
    this.#history.push(record);
    this.#progress = { ...START, epoch: epoch + 1, step };
    this.#good = tensors;
    this.#goodEpoch = epoch + 1;
    this.#tell({ event: 'epoch', epochs, ...record });
    await this.#checkpoint('epoch', tensors);
    return true;
  }

  async #checkpoint(reason: CheckpointReason, tensors: StateTensors): Promise<void> {
    const { onCheckpoint } = this.#options;
    if (onCheckpoint === undefined) return;
    const progress = this.#progress;
    const history = [...this.#history];
    const state = { ...tensors, progress, settings: this.#settings, history, data: this.#identity };
    await onCheckpoint(state, reason);
    const { epoch, batch, step } = progress;
    this.#tell({ event: 'checkpoint', epoch, batch, step, reason });
  }

  #diverged(what: string, learningRate: number): never {
    const { epoch, step } = this.#progress;
    restoreTensors(this.#model, this.#optimizer, this.#average, this.#good);
    this.#shown = undefined;
    this.#showAverages();
    const lr = (value: number): string => String(Number(value.toPrecision(3)));
    const back = this.#goodEpoch === 0 ? 'before training' : `after epoch ${this.#goodEpoch}`;
    throw new DivergedError(
      `training diverged in epoch ${epoch + 1}, step ${step}: ${what}. The model is back in its state ${back}. Try a lower learning rate (it was ${lr(learningRate)}; try ${lr(this.#settings.lr / 10)}) or a warm-up, and check that the inputs are normalised`,
      this.#goodEpoch,
    );
  }

  #capture(): StateTensors {
    return captureTensors(this.#model, this.#optimizer, this.#average);
  }

  /** Lets the model have the averages of its weights, where there are some, until training goes on; returns the state with both. */
  #showAverages(): StateTensors {
    this.#shown ??= this.#capture();
    if (this.#average) writeInto(this.#model, this.#shown.model, this.#average.names);
    return this.#shown;
  }

  /** Lets the model have its weights again. */
  #putBack(): void {
    if (this.#shown && this.#average) writeInto(this.#model, this.#shown.unaveraged, this.#average.names);
    this.#shown = undefined;
  }

  /** Means over the epoch so far. */
  #metrics(): Pick<EpochRecord, 'accuracy' | 'metrics'> {
    const metrics = meansOf(this.#progress.metrics);
    const { accuracy } = metrics;
    return { ...(accuracy === undefined ? {} : { accuracy }), metrics };
  }

  #tell(event: TrainEvent): void {
    this.#options.onEvent?.(event);
  }

  #tellStart(): void {
    const { resume } = this.#options;
    const { epoch, batch } = this.#progress;
    const { epochs, batchSize } = this.#settings;
    this.#tell({
      event: 'start',
      epochs,
      batchSize,
      batches: this.#loader.batches,
      trainCount: this.#data.splits.train.count,
      validationCount: this.#validation.split?.count ?? 0,
      validation: this.#validation.name,
      parameters: this.#model.parameters().reduce((sum, { size }) => sum + size, 0),
      ...(resume ? { resumed: { epoch, batch, changed: this.#changed } } : {}),
    });
  }

  #tellStep({ learningRate }: RunningStep, batchLoss: number): void {
    const { epoch, batch, step, lossSum, count } = this.#progress;
    const { epochs, batchSize } = this.#settings;
    const { batches } = this.#loader;
    const imagesPerSecond = this.#stopwatch.rate;
    const stepsLeft = batches - batch + (epochs - epoch - 1) * batches;
    this.#tell({
      event: 'step',
      epoch: epoch + 1,
      epochs,
      batch,
      batches,
      step,
      loss: lossSum / count,
      ...this.#metrics(),
      batchLoss,
      learningRate,
      imagesPerSecond,
      secondsLeft: (stepsLeft * batchSize) / imagesPerSecond + (epochs - epoch) * this.#validationSeconds,
    });
  }
}

function chooseValidation(
  data: TrainingData | SampleDataset,
  wanted: boolean,
): { name: StartEvent['validation']; split: ImageSplit | SampleSplit | undefined } {
  if (wanted) {
    for (const name of ['validation', 'test'] as const) {
      const split = data.splits[name];
      if (split !== undefined && split.count > 0) return { name, split };
    }
  }
  return { name: 'none', split: undefined };
}

function secondsSince(began: number): number {
  return (performance.now() - began) / 1000;
}
