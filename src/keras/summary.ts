import type { Layer } from './layer.js';
import { formatKerasShape } from './shapes.js';

interface Summarized {
  readonly name: string;
  readonly className: string;
  readonly layers: readonly Layer[];
  readonly built: boolean;
  countParams(): number;
  readonly trainableWeights: Layer['trainableWeights'];
}

/** Keras's table. */
export function printSummary(
  model: Summarized,
  lineLength: number | undefined,
  positions: readonly number[] | undefined,
  print: (line: string) => void,
): void {
  const shared = model.layers.some(({ inboundNodes }) => inboundNodes.some(({ inputs }) => inputs.length > 1));
  const header = ['Layer (type)', 'Output Shape', 'Param #', ...(shared ? ['Connected to'] : [])];
  const rows = model.layers.map((layer) => {
    const cells = [
      `${layer.name} (${layer.className})`,
      shapeText(layer),
      String(layer.built ? layer.countParams() : 0),
    ];
    return shared ? [...cells, sources(layer)] : cells;
  });
  const widths = columnWidths([header, ...rows], lineLength, positions);
  const total = lineLength ?? widths.reduce((sum, width) => sum + width, 0);
  const row = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (cell.length < widths[i] ? cell.padEnd(widths[i]) : `${cell.slice(0, widths[i] - 1)} `))
      .join('')
      .trimEnd();
  print(`Model: "${model.name}" (${model.className})`);
  print('_'.repeat(total));
  print(row(header));
  print('='.repeat(total));
  rows.forEach((cells, i) => {
    print(row(cells));
    print((i === rows.length - 1 ? '=' : '_').repeat(total));
  });
  const all = model.built ? model.countParams() : 0;
  const trainable = model.trainableWeights.reduce((sum, { tensor: { size } }) => sum + size, 0);
  print(`Total params: ${all}`);
  print(`Trainable params: ${trainable}`);
  print(`Non-trainable params: ${all - trainable}`);
  print('_'.repeat(total));
}

function shapeText(layer: Layer): string {
  const shapes = layer.inboundNodes[0]?.outputs.map(({ shape }) => formatKerasShape(shape)) ?? [];
  return shapes.length === 0 ? '?' : shapes.join(', ');
}

function sources(layer: Layer): string {
  return [...new Set(layer.inboundNodes.flatMap(({ inputs }) => inputs.map(({ name }) => name)))].join(', ');
}

function columnWidths(
  rows: readonly (readonly string[])[],
  lineLength: number | undefined,
  positions: readonly number[] | undefined,
): number[] {
  const needed = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)) + 2);
  if (positions === undefined) return needed;
  const length = lineLength ?? needed.reduce((sum, width) => sum + width, 0);
  const ends = positions.map((p) => ((positions.at(-1) as number) <= 1 ? Math.floor(length * p) : p));
  return rows[0].map((_, i) => (ends[i] ?? length) - (i === 0 ? 0 : ends[i - 1]));
}
