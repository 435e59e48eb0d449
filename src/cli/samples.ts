import type { ImageSplit } from '../data/index.js';
import { formatPercent } from '../inspect/format.js';
import type { Classifier } from '../train/index.js';
import type { Output } from './output.js';
import { pictureLines, sideBySide } from './picture-text.js';
import { pad, printable, textWidth, truncate } from './terminal.js';

const MOST = 10;
const GAP = 2;

/** Draws a few test images, evenly spread, with what the model takes them for. */
export async function showSamples(classifier: Classifier, test: ImageSplit, output: Output): Promise<void> {
  const { terminal } = output;
  const { colours } = terminal;
  const { channels, height, width } = classifier.preprocessing;
  const size = channels * height * width;
  const room = Math.max(10, terminal.columns - 1);
  const most = channels === 3 && terminal.trueColour ? 24 : 20;
  const pictureWidth = Math.min(most, channels === 3 && terminal.trueColour ? width : Math.ceil(width / 2));
  const cell = Math.max(pictureWidth, 12);
  const count = Math.max(1, Math.min(MOST, test.count, Math.floor((room + GAP) / (cell + GAP))));
  const rows = Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * test.count) / count));
  const images = new Uint8Array(count * size);
  rows.forEach((row, i) => {
    images.set(test.images.subarray(row * size, (row + 1) * size), i * size);
  });
  const probabilities = await classifier.probabilities(images);
  const blocks = rows.map((row, i) => {
    const planes = { channels, height, width, data: images.subarray(i * size, (i + 1) * size) };
    const best = probabilities[i].indexOf(Math.max(...probabilities[i]));
    const right = best === test.labels[row];
    const name = (index: number): string => printable(classifier.classes[index]);
    const share = formatPercent(probabilities[i][best], 1);
    const called = `${truncate(name(best), cell - share.length - 1)} ${share}`;
    return [
      ...pictureLines(planes, pictureWidth, terminal),
      right ? colours.green(called) : colours.red(called),
      right ? '' : colours.dim(truncate(`is ${name(test.labels[row])}`, cell)),
    ];
  });
  output.print();
  output.print(colours.dim('test images, never trained on, and what the model takes them for:'));
  output.print();
  const widths = blocks.map((block) => Math.max(cell, ...block.map(textWidth)));
  for (const line of sideBySide(blocks, widths, pad, GAP)) output.print(line);
}
