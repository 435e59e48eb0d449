import type { ImageSplit } from '../data/index.js';
import { formatPercent } from '../inspect/format.js';
import type { Classifier } from '../train/index.js';
import type { Output } from './output.js';
import { pictureLines, sideBySide } from './picture-text.js';
import { pad, printable, truncate } from './terminal.js';

const MOST = 10;
const GAP = 2;
/** Fits `upright 100.0 %`. */
const LEAST_COLUMNS = 14;

/** Draws a few test images, evenly spread, with what the model takes them for; colour ones are only named where there are no colours. */
export async function showSamples(classifier: Classifier, test: ImageSplit, output: Output): Promise<void> {
  const { terminal } = output;
  const { colours } = terminal;
  const { channels, height, width } = classifier.preprocessing;
  const size = channels * height * width;
  const drawn = channels === 1 || terminal.colourBits > 0;
  const pictureWidth = !drawn ? 24 : channels === 3 ? Math.min(width, 24) : Math.min(Math.ceil(width / 2), 20);
  const cell = Math.max(pictureWidth, LEAST_COLUMNS);
  const room = Math.max(cell, terminal.columns - 1);
  const count = Math.min(MOST, test.count, Math.floor((room + GAP) / (cell + GAP)));
  const rows = Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * test.count) / count));
  const images = new Uint8Array(count * size);
  rows.forEach((row, i) => {
    images.set(test.images.subarray(row * size, (row + 1) * size), i * size);
  });
  const probabilities = await classifier.probabilities(images);
  const blocks = rows.map((row, i) => {
    const data = images.subarray(i * size, (i + 1) * size);
    const best = probabilities[i].indexOf(Math.max(...probabilities[i]));
    const right = best === test.labels[row];
    const name = (index: number): string => printable(classifier.classes[index]);
    const share = formatPercent(probabilities[i][best], 1);
    const called = `${truncate(name(best), cell - share.length - 1)} ${share}`;
    return [
      ...(drawn ? pictureLines({ channels, height, width, data }, pictureWidth, terminal) : []),
      ...(test.names && channels === 3 ? [colours.dim(truncate(printable(test.names[row]), cell))] : []),
      right ? colours.green(called) : colours.red(called),
      right ? '' : colours.dim(truncate(`is ${name(test.labels[row])}`, cell)),
    ];
  });
  output.print();
  output.print(colours.dim('test images, never trained on, and what the model takes them for:'));
  output.print();
  const widths = blocks.map(() => cell);
  for (const line of sideBySide(blocks, widths, pad, GAP)) output.print(line);
}
