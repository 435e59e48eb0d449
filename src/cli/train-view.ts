import type { ImageDataset } from '../data/index.js';
import type { Device } from '../graph/device.js';
import { formatCount, formatDuration, formatExtents, formatPercent } from '../inspect/format.js';
import type { Module } from '../nn/index.js';
import type { EpochEvent, Evaluation, StartEvent, StepEvent, TrainEvent } from '../train/index.js';
import { describeDevice } from './devices.js';
import type { Output } from './output.js';
import { type BarState, clock, formatRate, lossText, ProgressLine } from './progress.js';
import type { RunFolder } from './run-folder.js';
import { pad, printable, textWidth } from './terminal.js';
import type { RunRecord } from './train-options.js';

/** With --json, steps are told at most so often. */
const STEP_EVENT_MS = 1000;

/** Tells about a training: for people with a bar, for programs as JSON lines. */
export class TrainView {
  readonly #output: Output;
  readonly #line: ProgressLine;
  #start: StartEvent | undefined;
  #lastStep = Number.NEGATIVE_INFINITY;

  constructor(output: Output) {
    this.#output = output;
    // With --json, standard output is for JSON alone.
    this.#line = new ProgressLine(output.json ? { ...output.terminal, isTty: false } : output.terminal);
  }

  /** Which images the validation values of the epochs are from. */
  get validatedOn(): StartEvent['validation'] {
    return this.#start?.validation ?? 'none';
  }

  readonly dataProgress = (phase: string, done: number, total: number): void => {
    this.#line.update(() => ({ label: `${phase} images`, done, total, parts: [formatCount(done)] }));
  };

  dataset(dataset: ImageDataset): void {
    const { skipped } = dataset;
    this.#line.clear();
    if (skipped.length > 0) {
      const [first] = skipped;
      this.#output.warn(
        `skipped ${skipped.length} ${skipped.length === 1 ? 'file that is no readable image' : 'files that are no readable images'}, the first: ${printable(first.path)}: ${first.reason} (--strict makes this an error)`,
      );
    }
    const { train, validation, test } = dataset.splits;
    this.#output.event({
      event: 'data',
      name: dataset.name,
      kind: dataset.kind,
      classes: dataset.classes,
      channels: dataset.channels,
      height: dataset.height,
      width: dataset.width,
      train: train.count,
      validation: validation?.count ?? 0,
      test: test.count,
      skipped: skipped.length,
    });
  }

  plan({
    record,
    dataset,
    model,
    folder,
    device,
  }: {
    record: RunRecord;
    dataset: ImageDataset;
    model: Module;
    folder: RunFolder;
    device: Device;
  }): void {
    const { colours } = this.#output.terminal;
    const { train, validation, test } = dataset.splits;
    const parts = [
      `${formatCount(train.count)} training`,
      ...(validation ? [`${formatCount(validation.count)} validation`] : []),
      `${formatCount(test.count)} test`,
    ];
    const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
    this.#output.print(`${colours.bold(record.model)} on ${colours.bold(printable(dataset.name))}`);
    this.#output.print(
      colours.dim(
        `${parts.join(' · ')} images of ${formatExtents([dataset.channels, dataset.height, dataset.width])} · ${formatCount(dataset.classes.length)} classes`,
      ),
    );
    this.#output.print(
      colours.dim(
        `${formatCount(parameters)} parameters · device ${describeDevice(device)} · run folder ${folder.path}`,
      ),
    );
    this.#output.print();
  }

  /** What a training with --init begins with. */
  initial(facts: {
    /** the model file */
    readonly from: string;
    readonly format: string;
    /** parameters of the last layer, where it is new or trained alone */
    readonly head: readonly string[];
    /** whether these are new */
    readonly fresh: boolean;
    /** whether all others stay as they are */
    readonly frozen: boolean;
    /** whether pictures are normalised as the model wants it, not as they are spread themselves */
    readonly normalised: boolean;
  }): void {
    const { from, format, head, fresh, frozen, normalised } = facts;
    this.#output.event({ event: 'init', ...facts });
    const names = head.join(', ');
    this.#output.print(
      `begins with ${printable(from)} (${format})${fresh ? `; its last layer (${names}) is new, for these classes` : '; its classes stay'}`,
    );
    if (frozen) this.#output.print(`only ${names} ${head.length === 1 ? 'is' : 'are'} trained`);
    if (!normalised) {
      this.#output.warn(
        'the model does not say how it wants pictures normalised: mean and deviation of these images are taken (--preprocessing says otherwise)',
      );
    }
  }

  fitEvent(event: TrainEvent): void {
    switch (event.event) {
      case 'start':
        this.#start = event;
        this.#output.event(event);
        this.#resumed(event);
        break;
      case 'step':
        this.#line.update(() => this.#stepBar(event));
        this.#stepEvent(event);
        break;
      case 'validating':
        this.#line.update(() => ({
          label: `${this.#epochLabel(event.epoch)} ${this.validatedOn === 'test' ? 'testing' : 'validating'}`,
          done: event.done,
          total: event.total,
          parts: [],
        }));
        break;
      case 'epoch':
        this.#line.clear();
        this.#output.event(event);
        this.#output.print(this.#epochLine(event));
        break;
      case 'checkpoint':
        this.#output.event(event);
        break;
      case 'done':
        this.#line.clear();
        break;
    }
  }

  #resumed({ resumed, epochs }: StartEvent): void {
    if (resumed === undefined) return;
    const { epoch, batch, changed } = resumed;
    this.#output.print(
      `going on ${batch === 0 ? `after epoch ${epoch}` : `in epoch ${epoch + 1}, after step ${batch}`}`,
    );
    if (changed.includes('epochs')) {
      this.#output.warn(
        `the number of epochs is now ${epochs}; where the learning rate depends on it, the result is not the one of ${epochs} epochs in one go`,
      );
    }
  }

  #stepEvent(event: StepEvent): void {
    const now = performance.now();
    if (now - this.#lastStep < STEP_EVENT_MS) return;
    this.#lastStep = now;
    this.#output.event(event);
  }

  #epochLabel(epoch: number): string {
    const epochs = String(this.#start?.epochs ?? epoch);
    return `epoch ${String(epoch).padStart(epochs.length)}/${epochs}`;
  }

  #stepBar(event: StepEvent): BarState {
    const { epoch, epochs, batch, batches, loss, accuracy, imagesPerSecond, secondsLeft } = event;
    // To the end of the epoch, and of all.
    const inEpoch = ((batches - batch) * (this.#start?.batchSize ?? 0)) / imagesPerSecond;
    const left = epoch === epochs ? clock(inEpoch) : `${clock(inEpoch)}/${clock(secondsLeft)}`;
    return {
      label: this.#epochLabel(epoch),
      done: batch,
      total: batches,
      parts: [
        lossText(loss),
        ...(accuracy === undefined ? [] : [`acc ${formatPercent(accuracy).padStart(7)}`]),
        ...(Number.isFinite(secondsLeft) ? [`${left} left`, formatRate(imagesPerSecond)] : []),
      ],
    };
  }

  /** As much as fits into one line. */
  #epochLine(event: EpochEvent): string {
    const { colours, longest } = this.#output.terminal;
    const { validationLoss, validationAccuracy } = event;
    const label = colours.bold(this.#epochLabel(event.epoch));
    const name = this.validatedOn === 'test' ? 'test' : 'validation';
    const pair = (before: string, loss: number, accuracy: number | undefined, word: string): string =>
      `${before}${lossText(loss)}${accuracy === undefined ? '' : `  ${word} ${formatPercent(accuracy).padStart(8)}`}`;
    const line = (word: string, more: boolean): string => {
      const parts = [label, pair('', event.loss, event.accuracy, word)];
      if (validationLoss !== undefined) {
        const short = word === 'accuracy' ? name : name.slice(0, 4).replace('vali', 'val');
        parts.push(pair(`${short} `, validationLoss, validationAccuracy, word));
      }
      if (more) parts.push(colours.dim(`${formatDuration(event.seconds)}, ${formatRate(event.imagesPerSecond)}`));
      return parts.join('   ');
    };
    const lines = [line('accuracy', true), line('accuracy', false), line('acc', true), line('acc', false)];
    return lines.find((text) => textWidth(text) < longest) ?? lines[3];
  }

  testing(done: number, total: number): void {
    this.#line.update(() => ({ label: 'testing', done, total, parts: [`${formatCount(done)} images`] }));
  }

  /** After Ctrl-C, until the step under way is over. */
  stopping(): void {
    this.#line.clear();
    this.#output.errors.write('stopping after this step and saving a checkpoint (Ctrl-C again: stop at once)\n');
  }

  interrupted(folder: RunFolder, resumeLine: string): void {
    this.#line.clear();
    this.#output.event({ event: 'interrupted', checkpoint: folder.checkpoint, run: folder.path, resume: resumeLine });
    this.#output.print(`stopped; the checkpoint is ${folder.checkpoint}`);
    this.#output.print(`go on with:  ${this.#output.terminal.colours.bold(resumeLine)}`);
  }

  /** Ctrl-C when training was over. */
  interruptedAfter(folder: RunFolder): void {
    this.#output.event({ event: 'interrupted', model: folder.model, run: folder.path });
    this.#output.print(`stopped before the evaluation; the model is ${folder.model}`);
  }

  done(evaluation: Evaluation, folder: RunFolder): void {
    const { colours } = this.#output.terminal;
    this.#output.print();
    this.#output.print(
      `test accuracy ${colours.bold(formatPercent(evaluation.accuracy))} on ${formatCount(evaluation.count)} images, ${lossText(evaluation.loss)}`,
    );
    for (const [name, path] of [
      ['model', folder.model],
      ['report', folder.report],
      ['log', folder.log],
    ]) {
      this.#output.print(`${colours.dim(pad(name, 8))}${path}`);
    }
  }

  /** Takes the bar away. */
  end(): void {
    this.#line.clear();
  }
}
