import { decodeImage } from '../../data/index.js';
import { formatPercent } from '../../inspect/format.js';
import { GaborError } from '../../tensor/errors.js';
import { type DeviceName, useDevice } from '../devices.js';
import { EXIT } from '../failure.js';
import { readWhole } from '../files.js';
import { type ClassifierFlags, openClassifier } from '../open-model.js';
import type { Output } from '../output.js';
import { pad, printable, textWidth, truncate } from '../terminal.js';

export interface PredictFlags extends ClassifierFlags {
  readonly top: number;
  readonly mirrored?: boolean;
  readonly device: DeviceName;
  readonly threads?: number;
  readonly tune?: boolean;
}

const BAR = 20;

/** Classifies images one after the other. One that cannot be read does not keep the others from being looked at; the status is 1 then. */
export async function predict(
  modelPath: string,
  images: readonly string[],
  flags: PredictFlags,
  output: Output,
): Promise<number> {
  useDevice(flags.device, flags.threads, flags.tune);
  const classifier = await openClassifier(modelPath, flags, output);
  const { colours } = output.terminal;
  const nameWidth = Math.min(
    Math.max(...classifier.classes.map((name) => textWidth(printable(name)))),
    Math.max(8, output.terminal.columns - BAR - 14),
  );
  let failed = 0;
  for (const [i, image] of images.entries()) {
    try {
      const picture = decodeImage(await readWhole(image), image);
      const predictions = await classifier.classify(picture, {
        top: flags.top,
        mirrored: flags.mirrored ?? false,
      });
      const classes = predictions.map(({ class: name, index, probability }) => ({ class: name, index, probability }));
      output.event({ event: 'predicted', image, width: picture.width, height: picture.height, classes });
      if (i > 0) output.print();
      output.print(colours.bold(printable(image)));
      for (const { class: name, probability } of classes) {
        const bar = '━'.repeat(Math.round(probability * BAR));
        const label = pad(truncate(printable(name), nameWidth), nameWidth);
        output.print(`  ${label}  ${pad(formatPercent(probability), 8, 'left')}  ${colours.cyan(bar)}`);
      }
    } catch (error) {
      if (!(error instanceof GaborError)) throw error;
      failed++;
      output.error(error.message);
    }
  }
  return failed > 0 ? EXIT.failure : EXIT.ok;
}
