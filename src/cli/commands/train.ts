import { type ImageDataset, openDataset } from '../../data/index.js';
import {
  type Checkpoint,
  loadCheckpoint,
  type ModelDescription,
  saveCheckpoint,
  saveModel,
  writeFileAtomic,
} from '../../formats/index.js';
import type { Device } from '../../graph/device.js';
import { collectReport, renderReport } from '../../inspect/index.js';
import { findImageClassifier } from '../../models/index.js';
import { type Module, manualSeed } from '../../nn/index.js';
import { OptionError } from '../../tensor/errors.js';
import { Random } from '../../tensor/random.js';
import {
  Classifier,
  DivergedError,
  type Evaluation,
  evaluate,
  type FitResult,
  fit,
  preprocessingOf,
  type TrainEvent,
  type TrainingOptions,
} from '../../train/index.js';
import { useDevice } from '../devices.js';
import { EXIT, UsageError } from '../failure.js';
import { choiceFor, fineTuningDefaults, inOrderOf, openInitial, prepareInitial } from '../initial-model.js';
import { Interrupt } from '../interrupt.js';
import { modelName } from '../open-model.js';
import type { Output } from '../output.js';
import { environmentEntries, optionEntries } from '../run-facts.js';
import { checkFree, createRunFolder, RunFolder, shellWord } from '../run-folder.js';
import { showSamples } from '../samples.js';
import {
  checkAgainstCheckpoint,
  dataChoice,
  dataPlace,
  parseRunRecord,
  type RunRecord,
  type TrainFlags,
  trainingOptions,
} from '../train-options.js';
import { TrainView } from '../train-view.js';
import { packageVersion } from '../version.js';

/** What is trained, on what, and how; new or from a checkpoint. */
interface Plan {
  readonly folder: RunFolder;
  readonly record: RunRecord;
  readonly dataset: ImageDataset;
  readonly model: Module;
  readonly training: TrainingOptions;
  readonly checkpoint: Checkpoint | undefined;
}

export async function train(flags: TrainFlags, output: Output): Promise<number> {
  const view = new TrainView(output);
  const resumed = flags.resume === true;
  if (resumed && flags.out === undefined) {
    throw new UsageError(
      '--resume needs --out with the run folder to go on with, for example --out runs/strokes-lenet-1',
    );
  }
  if (!resumed && flags.data === undefined) {
    throw new UsageError('--data is missing: give a folder of images, or --data strokes for the built-in digits');
  }
  checkInitFlags(flags);
  const device = useDevice(flags.device, flags.threads, flags.tune);
  const plan = resumed
    ? await planResume(flags, view)
    : await (flags.init === undefined ? planNew(flags, view) : planInit(flags, output, view));
  return runPlan(plan, device, output, view);
}

async function planNew(flags: TrainFlags, view: TrainView): Promise<Plan> {
  const data = flags.data as string;
  if (flags.out !== undefined) await checkFree(flags.out);
  const entry = findImageClassifier(flags.model ?? 'lenet');
  const record = { data: dataPlace(data), model: entry.name, options: dataChoice(flags), gabor: packageVersion() };
  const dataset = await open(data, record, flags, view);
  const seed = flags.seed ?? 0;
  manualSeed(seed);
  const model = entry.create({
    classes: dataset.classes.length,
    inChannels: dataset.channels,
    size: [dataset.height, dataset.width],
    random: new Random(seed),
  });
  const training = trainingOptions(flags, entry.defaults(dataset));
  const folder = await createRunFolder(flags.out, data, entry.name);
  return { folder, record, dataset, model, training, checkpoint: undefined };
}

/** What says something about the model of --init. A checkpoint has it all. */
function checkInitFlags({ init, freeze, preprocessing, mean, std, resume }: TrainFlags): void {
  const pictures = Object.entries({ preprocessing, mean, std }).find(([, value]) => value !== undefined)?.[0];
  if (resume === true) {
    if (pictures === undefined) return;
    throw new UsageError(`--${pictures}: --resume takes the preprocessing of the checkpoint; leave it out`);
  }
  const given = freeze === undefined ? pictures : 'freeze';
  if (init !== undefined || given === undefined) return;
  throw new UsageError(
    `--${given} belongs to --init; a new model ${given === 'freeze' ? 'has nothing learnt to keep' : 'takes mean and deviation of the images'}`,
  );
}

/** From the weights of a file: fine-tuning. */
async function planInit(flags: TrainFlags, output: Output, view: TrainView): Promise<Plan> {
  const data = flags.data as string;
  if (flags.out !== undefined) await checkFree(flags.out);
  const initial = await openInitial(flags, output);
  manualSeed(flags.seed ?? 0);
  const init = flags.init as string;
  const draft = { data: dataPlace(data), model: modelName(init), init, gabor: packageVersion() };
  const options = choiceFor(initial, dataChoice(flags));
  const frozen = flags.freeze !== undefined;
  const images = await open(data, { ...draft, options }, flags, view);
  const { model, dataset, head, fresh } = prepareInitial(initial, images, frozen);
  const trained = frozen ? { trained: head } : {};
  const training = trainingOptions(flags, fineTuningDefaults(dataset, frozen));
  const folder = await createRunFolder(flags.out, data, draft.model);
  const { format } = initial.loaded;
  const normalised = initial.normalization !== undefined;
  view.initial({ from: init, format, head, fresh, frozen, normalised });
  return { folder, record: { ...draft, ...trained, options }, dataset, model, training, checkpoint: undefined };
}

async function planResume(flags: TrainFlags, view: TrainView): Promise<Plan> {
  const folder = new RunFolder(flags.out as string);
  const checkpoint = await loadCheckpoint(folder.checkpoint);
  const record = parseRunRecord(folder.checkpoint, checkpoint.extra.run);
  if (record === undefined) {
    throw new UsageError(
      `${folder.checkpoint}: was not written by gabor train; go on with it in code: fit(…, { resume })`,
    );
  }
  checkAgainstCheckpoint(flags, record, checkpoint.state.settings);
  const { classes, preprocessing } = checkpoint;
  const opened = inOrderOf(classes, await open(flags.data ?? record.data, record, flags, view));
  const { mean, std } = preprocessing ?? opened;
  const dataset = { ...opened, mean, std };
  // Only what was typed: all else is the checkpoint's.
  const training = flags.epochs === undefined ? {} : { epochs: flags.epochs };
  return { folder, record, dataset, model: checkpoint.model, training, checkpoint };
}

async function open(data: string, record: RunRecord, flags: TrainFlags, view: TrainView): Promise<ImageDataset> {
  const dataset = await openDataset(data, {
    ...record.options,
    ...(flags.strict ? { strict: true } : {}),
    onProgress: view.dataProgress,
  });
  view.dataset(dataset);
  const { train, test } = dataset.splits;
  if (train.count === 0 || test.count === 0) {
    throw new OptionError(
      `${data}: has ${train.count} training and ${test.count} test images; both are needed. Add images${
        dataset.kind === 'folder' ? ', or choose the share of test images with --test-split' : ''
      }`,
    );
  }
  return dataset;
}

async function runPlan(plan: Plan, device: Device, output: Output, view: TrainView): Promise<number> {
  const { folder, record, dataset, model } = plan;
  const preprocessing = plan.checkpoint?.preprocessing ?? preprocessingOf(dataset, record.options.fit);
  const description = { classes: dataset.classes, preprocessing, extra: { run: JSON.stringify(record) } };
  const interrupt = new Interrupt(() => view.stopping());
  const began = performance.now();
  view.plan({ record, dataset, model, folder, device });
  try {
    const result = await trainModel(plan, description, interrupt.signal, view);
    if (result.aborted) {
      view.interrupted(folder, `gabor train --resume --out ${shellWord(folder.path)}`);
      return EXIT.interrupted;
    }
    await saveModel(folder.model, model, description);
    const evaluation = await evaluateTest(model, dataset, interrupt.signal, view);
    if (evaluation === undefined) {
      view.interruptedAfter(folder);
      return EXIT.interrupted;
    }
    const classifier = new Classifier(model, dataset.classes, preprocessing, description.extra);
    const data = await collectReport(classifier, dataset.splits.test, evaluation, {
      model: record.model,
      data: dataset.name,
      created: new Date().toISOString().slice(0, 16).replace('T', ' '),
      version: packageVersion(),
      epochs: result.history,
      validatedOn: view.validatedOn,
      trainingSeconds: result.history.reduce((sum, epoch) => sum + epoch.seconds, 0),
      options: optionEntries(record, result.settings),
      environment: environmentEntries(device, dataset),
    });
    await writeFileAtomic(folder.report, new TextEncoder().encode(renderReport(data)));
    const done = {
      event: 'done',
      testAccuracy: evaluation.accuracy,
      testLoss: evaluation.loss,
      testCount: evaluation.count,
      epochs: result.history.length,
      seconds: (performance.now() - began) / 1000,
      model: folder.model,
      checkpoint: folder.checkpoint,
      log: folder.log,
      report: folder.report,
      run: folder.path,
    };
    await folder.append(done);
    view.done(evaluation, folder);
    if (!output.json) await showSamples(classifier, dataset.splits.test, output);
    output.event(done);
    return EXIT.ok;
  } catch (error) {
    await folder
      .append({ event: 'error', message: error instanceof Error ? error.message : String(error) })
      .catch(() => undefined);
    throw error;
  } finally {
    view.end();
    interrupt.close();
  }
}

/** Trains, writing the log and after every epoch a checkpoint. */
async function trainModel(
  { folder, record: { trained }, dataset, model, training, checkpoint }: Plan,
  description: ModelDescription,
  signal: AbortSignal,
  view: TrainView,
): Promise<FitResult> {
  // Lines of the log are written one after the other; errors come up where they are awaited.
  let logging: Promise<void> = Promise.resolve();
  const log = (event: TrainEvent): void => {
    logging = logging.then(() => folder.append(event));
    logging.catch(() => undefined);
  };
  let saved = checkpoint !== undefined;
  try {
    const result = await fit(model, dataset, {
      ...training,
      ...(trained === undefined ? {} : { frozen: (name: string) => !trained.includes(name) }),
      ...(checkpoint ? { resume: checkpoint.state } : {}),
      signal,
      onEvent: (event) => {
        view.fitEvent(event);
        if (!UNLOGGED.includes(event.event)) log(event);
      },
      onCheckpoint: async (state) => {
        await saveCheckpoint(folder.checkpoint, model, state, description);
        saved = true;
        await logging;
      },
    });
    await logging;
    return result;
  } catch (error) {
    view.end();
    await logging.catch(() => undefined);
    if (error instanceof DivergedError && saved) {
      error.message += `. The last good checkpoint is ${folder.checkpoint}`;
    }
    throw error;
  }
}

/** Too many for a log, or said by the command itself. */
const UNLOGGED: readonly TrainEvent['event'][] = ['step', 'validating', 'done'];

/** Undefined where Ctrl-C came in between. */
async function evaluateTest(
  model: Module,
  dataset: ImageDataset,
  signal: AbortSignal,
  view: TrainView,
): Promise<Evaluation | undefined> {
  try {
    return await evaluate(model, dataset.splits.test, dataset, {
      batchSize: 64,
      signal,
      onProgress: (done, total) => view.testing(done, total),
    });
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  } finally {
    view.end();
  }
}
