import { formatExtents } from '../../inspect/format.js';
import { tuneModel } from '../../inspect/index.js';
import type { Geometry, Role } from '../../kernel/contraction.js';
import type { TunedContraction } from '../../runtime/tuner.js';
import { type DeviceName, describeDevice, useDevice } from '../devices.js';
import { EXIT } from '../failure.js';
import { loadNetwork, type NetworkFlags } from '../load-network.js';
import type { Output } from '../output.js';
import { printable, table } from '../terminal.js';

export interface TuneFlags extends NetworkFlags {
  readonly batch: number;
  readonly training?: boolean;
  readonly device: DeviceName;
  readonly threads?: number;
}

/** Roles, as people call them. */
const WORK: Readonly<Record<Role, string>> = { output: 'output', input: 'input gradient', filter: 'filter gradient' };

/** Finds the fastest schedules for a model and says what they gain. */
export async function tune(name: string, flags: TuneFlags, output: Output): Promise<number> {
  const device = useDevice(flags.device, flags.threads, true);
  const { model, input } = await loadNetwork(name, flags, output);
  const found = tuneModel(model, input, { batch: flags.batch, training: flags.training ?? false });
  const before = total(found, 'modelMilliseconds');
  const after = total(found, 'milliseconds');
  for (const contraction of found) output.event({ event: 'tuned', ...contraction });
  output.event({ event: 'total', count: found.length, modelMilliseconds: before, milliseconds: after });
  if (output.json) return EXIT.ok;
  const { terminal } = output;
  output.print(`${terminal.colours.bold(printable(name))} on ${describeDevice(device)}, ${flags.batch} at once`);
  output.print();
  if (found.length === 0) {
    output.print('Nothing to choose: its convolutions are too small, or have few channels in many groups.');
    return EXIT.ok;
  }
  const right = 'right' as const;
  const titles = [
    { title: 'layer', flexible: true },
    { title: 'computes', optional: 1 },
    { title: 'of', optional: 2 },
    { title: 'model chose' },
    { title: 'fastest' },
    { title: 'ms', align: right },
    { title: 'gain', align: right },
  ];
  terminal.write(table(titles, found.map(cells), terminal));
  output.print();
  output.print(`Together ${milliseconds(before)} → ${milliseconds(after)} ms (${gain(before, after)}).`);
  output.print('Kept for commands with --tune, and for cpuDevice({ tune: true }).');
  return EXIT.ok;
}

function total(found: readonly TunedContraction[], which: 'modelMilliseconds' | 'milliseconds'): number {
  return found.reduce((sum, contraction) => sum + contraction[which], 0);
}

/** `64 → 128, 3×3 on 28×28, 16 at once` */
function shapeOf({ batch, groups, channelsIn, channelsOut, axes }: Geometry): string {
  const channels = `${groups * channelsIn} → ${groups * channelsOut}`;
  const parts =
    axes.length === 0
      ? [channels]
      : [channels, `${formatExtents(axes.map((a) => a.kernel))} on ${formatExtents(axes.map((a) => a.input))}`];
  return [...parts, ...(batch === 1 ? [] : [`${batch} at once`])].join(', ');
}

function cells({ scope, role, geometry, choice, model, best, ...times }: TunedContraction): string[] {
  const changed = choice !== null;
  return [
    printable(scope),
    WORK[role],
    shapeOf(geometry),
    model,
    changed ? best : 'the same',
    milliseconds(times.milliseconds),
    changed ? gain(times.modelMilliseconds, times.milliseconds) : '',
  ];
}

function milliseconds(value: number): string {
  return value.toPrecision(3);
}

function gain(before: number, after: number): string {
  return `${(100 * (before / after - 1)).toFixed(0)} %`;
}
