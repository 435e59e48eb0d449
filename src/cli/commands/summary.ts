import type { Device } from '../../graph/device.js';
import { formatBytes, formatCount, formatExtents, formatLarge } from '../../inspect/format.js';
import { type ModelMemory, type ModelSummary, modelMemory, type SummaryRow, summary } from '../../inspect/index.js';
import { receptiveText } from '../../inspect/summary-text.js';
import type { ProgramMemory } from '../../runtime/cpu-device.js';
import { describeDevice, useDevice } from '../devices.js';
import { EXIT } from '../failure.js';
import { loadNetwork, type NetworkFlags } from '../load-network.js';
import type { Output } from '../output.js';
import { printable, table } from '../terminal.js';

export interface SummaryFlags extends NetworkFlags {
  readonly batch: number;
}

/** Tells what a model file or a built-in network consists of. */
export async function summarise(name: string, flags: SummaryFlags, output: Output): Promise<number> {
  const device = useDevice();
  const { model, input } = await loadNetwork(name, flags, output);
  const result = summary(model, input);
  const memory = modelMemory(model, input, { batch: flags.batch });
  output.event({ event: 'summary', model: name, ...result, memory });
  if (output.json) return EXIT.ok;
  print(name, result, output);
  printMemory(memory, device, output);
  return EXIT.ok;
}

function print(name: string, { rows, totals, inputShape }: ModelSummary, output: Output): void {
  const { terminal } = output;
  const { colours } = terminal;
  const cells = rows.map((row, i) => [
    `${branch(rows, i)}${row.type}${row.name === '' ? '' : ` ${lastPart(row.name)}`}`,
    row.kernel,
    formatExtents(row.inputShape),
    formatExtents(row.outputShape),
    row.again ? 'shared' : amount(row, row.parameters),
    amount(row, row.multiplyAdds),
    row.activationBytes === 0 ? '' : formatBytes(row.activationBytes),
    row.container ? '' : receptiveText(row),
  ]);
  const right = 'right' as const;
  const titles = [
    { title: 'layer', flexible: true },
    { title: 'kernel', optional: 1 },
    { title: 'input', optional: 3 },
    { title: 'output' },
    { title: 'params', align: right },
    { title: 'mult-adds', align: right },
    { title: 'memory', align: right, optional: 2 },
    { title: 'sees', align: right },
  ];
  output.print(`${colours.bold(printable(name))}, one image of ${formatExtents(inputShape)}`);
  output.print();
  terminal.write(table(titles, cells, terminal));
  output.print();
  const line = (label: string, value: string): void => output.print(`${colours.dim(label.padEnd(16))}${value}`);
  line('parameters', `${formatCount(totals.parameters)} (${formatBytes(totals.parameterBytes)})`);
  if (totals.buffers > 0) line('buffers', `${formatCount(totals.buffers)} (running statistics)`);
  line('multiply-adds', `${formatCount(totals.multiplyAdds)} (${formatLarge(totals.multiplyAdds)})`);
  line('activations', `${formatBytes(totals.activationBytes)} forward`);
}

function printMemory({ batch, forward, training }: ModelMemory, device: Device, output: Output): void {
  const { colours } = output.terminal;
  const parts = ({ inputs, outputs, arena, scratch, peak }: ProgramMemory): string =>
    `${formatBytes(peak)}: inputs with parameters ${formatBytes(inputs)}, output ${formatBytes(outputs)}, ` +
    `in between ${formatBytes(arena + scratch)}`;
  output.print();
  output.print(`Peak memory for ${batch} at once on ${describeDevice(device)}:`);
  output.print(`${colours.dim('forward'.padEnd(16))}${parts(forward)}`);
  const step =
    training === undefined ? 'needs more than that at once: --batch' : `${parts(training)}, without optimizer state`;
  output.print(`${colours.dim('training step'.padEnd(16))}${step}`);
}

function amount(row: SummaryRow, value: number): string {
  return value === 0 ? (row.container ? '' : '—') : formatCount(value);
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

/** Lines of the tree in front of row `at`. */
function branch(rows: readonly SummaryRow[], at: number): string {
  const { depth } = rows[at];
  let text = '';
  for (let level = 1; level <= depth; level++) {
    // Does anything follow on this level before the tree goes up again?
    let more = false;
    for (let i = at + 1; i < rows.length && rows[i].depth >= level; i++) {
      if (rows[i].depth === level) {
        more = true;
        break;
      }
    }
    text += level === depth ? (more ? '├─' : '└─') : more ? '│ ' : '  ';
  }
  return text;
}
