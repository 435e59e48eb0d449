import {
  type ImageDataset,
  type ImageSplit,
  invertImage,
  joinSplits,
  measureBackground,
  openDataset,
  shouldInvert,
} from '../../data/index.js';
import { batchProblem } from '../../exchange/image-classifier.js';
import { formatCount, formatPercent } from '../../inspect/format.js';
import { OptionError } from '../../tensor/errors.js';
import { type Classifier, type Evaluation, evaluate } from '../../train/index.js';
import { confusionText } from '../confusion-text.js';
import { type DeviceName, useDevice } from '../devices.js';
import { EXIT } from '../failure.js';
import { Interrupt } from '../interrupt.js';
import { type ClassifierFlags, openClassifier } from '../open-model.js';
import type { Output } from '../output.js';
import { ProgressLine } from '../progress.js';
import { printable, table } from '../terminal.js';
import { dataPlace, parseRunRecord, withoutUndefined } from '../train-options.js';
import { TrainView } from '../train-view.js';

type Part = 'train' | 'validation' | 'test' | 'all';

export interface EvaluateFlags extends ClassifierFlags {
  readonly data: string;
  readonly split: Part;
  readonly batchSize: number;
  readonly mirrored?: boolean;
  readonly seed?: number;
  readonly valSplit?: number;
  readonly testSplit?: number;
  readonly testCount?: number;
  readonly strict?: boolean;
  readonly device: DeviceName;
  readonly threads?: number;
  readonly tune?: boolean;
}

export async function evaluateModel(modelPath: string, flags: EvaluateFlags, output: Output): Promise<number> {
  useDevice(flags.device, flags.threads, flags.tune);
  const classifier = await openClassifier(modelPath, flags, output);
  const dataset = await open(modelPath, classifier, flags, output);
  const part = choosePart(dataset, flags);
  const inverted = hasOppositeBackground(part, classifier);
  const split = inverted ? { ...part, images: invertImage(part.images) } : part;
  if (inverted) {
    output.warn(
      'the images are dark on light, those of the training were light on dark (or the reverse): they are inverted',
    );
  }
  const line = new ProgressLine(output.json ? { ...output.terminal, isTty: false } : output.terminal);
  const interrupt = new Interrupt(() => undefined);
  try {
    const format = { ...classifier.preprocessing, classes: classifier.classes };
    const { channels, height, width } = classifier.preprocessing;
    const single = batchProblem(classifier.model, [1, channels, height, width]) !== undefined;
    if (single) output.warn(`${modelPath} was made for one picture at a time: there will be no batches`);
    const evaluation = await evaluate(classifier.model, split, format, {
      batchSize: single ? 1 : flags.batchSize,
      mirrored: flags.mirrored ?? false,
      signal: interrupt.signal,
      onProgress: (done, total) =>
        line.update(() => ({ label: 'evaluating', done, total, parts: [`${formatCount(done)} images`] })),
    });
    line.clear();
    print(evaluation, classifier.classes, dataset, flags, output);
    output.event({
      event: 'evaluated',
      accuracy: evaluation.accuracy,
      count: evaluation.count,
      loss: evaluation.loss,
      split: flags.split,
      data: dataset.name,
      model: modelPath,
      classes: classifier.classes,
      perClass: evaluation.perClass,
      confusion: evaluation.confusion,
      skipped: dataset.skipped.length,
      inverted,
    });
    return EXIT.ok;
  } catch (error) {
    if (interrupt.signal.aborted) return EXIT.interrupted;
    throw error;
  } finally {
    line.clear();
    interrupt.close();
  }
}

/** The data in the model's format, divided as in its training unless told otherwise. */
async function open(
  modelPath: string,
  classifier: Classifier,
  flags: EvaluateFlags,
  output: Output,
): Promise<ImageDataset> {
  const { channels, height, width, fit } = classifier.preprocessing;
  const view = new TrainView(output);
  const record = parseRunRecord(modelPath, classifier.metadata.run);
  // How other data is to be divided, the training does not say.
  const trained = record?.data === dataPlace(flags.data) ? record.options : {};
  const { seed, valSplit, testSplit, testCount, strict } = flags;
  const strokes = flags.data === 'strokes';
  const options = withoutUndefined({
    seed: seed ?? trained.seed,
    valSplit: valSplit ?? trained.valSplit,
    testSplit: testSplit ?? trained.testSplit,
    trainCount: strokes ? trained.trainCount : undefined,
    testCount: testCount ?? (strokes ? trained.testCount : undefined),
    size: [height, width] as const,
    channels,
    fit,
    strict,
    classes: classifier.classes,
  });
  const dataset = await openDataset(flags.data, { ...options, onProgress: view.dataProgress });
  view.dataset(dataset);
  return dataset;
}

function choosePart({ splits }: ImageDataset, { split: part, data }: EvaluateFlags): ImageSplit {
  const { train, validation, test } = splits;
  if (part === 'all') return joinSplits(train, ...(validation ? [validation] : []), test);
  const chosen = splits[part];
  if (chosen === undefined || chosen.count === 0) {
    throw new OptionError(
      `${data}: has no ${part} images${part === 'validation' ? '; --val-split makes a validation part' : ''}; choose another --split`,
    );
  }
  return chosen;
}

/** As `gabor predict` decides for a single picture, but for all of them together. */
function hasOppositeBackground({ images }: ImageSplit, { preprocessing }: Classifier): boolean {
  const { background, channels, height, width } = preprocessing;
  if (channels !== 1 || background === undefined) return false;
  const { mean, deviation } = measureBackground(images, height, width);
  // One picture with nothing but the common background stands for all.
  const typical = new Uint8Array(height * width).fill(Math.round(mean));
  return deviation < 64 && shouldInvert(typical, height, width, background);
}

function print(
  { loss, accuracy, count, perClass, confusion }: Evaluation,
  classes: readonly string[],
  dataset: ImageDataset,
  flags: EvaluateFlags,
  output: Output,
): void {
  const { terminal } = output;
  const { colours } = terminal;
  const part = flags.split === 'all' ? 'all images' : `${flags.split} images`;
  output.print(
    `accuracy ${colours.bold(formatPercent(accuracy))}, loss ${loss.toFixed(4)} on ${formatCount(count)} ${part} of ${printable(dataset.name)}`,
  );
  output.print();
  const rows = perClass.map((row) => [
    printable(row.class),
    formatPercent(row.precision, 1),
    formatPercent(row.recall, 1),
    formatPercent(row.f1, 1),
    formatCount(row.count),
  ]);
  const titles = [
    { title: 'class', flexible: true },
    { title: 'precision', align: 'right' as const },
    { title: 'recall', align: 'right' as const },
    { title: 'F1', align: 'right' as const },
    { title: 'images', align: 'right' as const },
  ];
  if (!output.json) terminal.write(table(titles, rows, terminal));
  output.print();
  for (const line of confusionText(classes.map(printable), confusion, terminal)) output.print(line);
}
