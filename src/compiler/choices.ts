import type { Contraction, SpatialAxis } from '../kernel/contraction.js';
import { groupsTogether } from './grouped.js';
import { type MachineDescription, narrowed, type ScheduleChoice } from './machine.js';
import type { Step, Steps } from './steps.js';
import { readsWeightsOnce } from './weights-once.js';

/** What the fastest schedule of a contraction depends on beside the machine, as text: equal for equal problems. */
export function problemKey({ role, geometry: g }: Contraction): string {
  const axis = (a: SpatialAxis): string => `${a.input}>${a.output}k${a.kernel}s${a.stride}d${a.dilation}p${a.padLow}`;
  return [role, `n${g.batch}`, `g${g.groups}`, `ci${g.channelsIn}`, `co${g.channelsOut}`, ...g.axes.map(axis)].join(
    ' ',
  );
}

/**
 * The schedules that a search tries, by names that stay the same as long as the candidates do. None where groups of few channels share
 * registers or weights are read as they lie, which have one schedule, and where there is nothing to compute.
 */
export function candidates(contraction: Contraction, machine: MachineDescription): ReadonlyMap<string, ScheduleChoice> {
  const { role, geometry: g } = contraction;
  const found = new Map<string, ScheduleChoice>();
  if (g.channelsIn === 0 || g.channelsOut === 0 || groupsTogether(g, machine) > 1) return found;
  if (readsWeightsOnce(contraction, machine)) return found;
  const channels = role === 'input' ? g.channelsIn : g.channelsOut;
  const widest = narrowed(machine, channels).lanes;
  const waste = (lanes: number): number => Math.ceil(channels / lanes) * lanes - channels;
  const widths = (machine.widths ?? []).filter((lanes) => lanes < widest && waste(lanes) < waste(widest));
  const name = (prefix: string, rows: number, vectors: number, lanes: number): string =>
    `${prefix} ${rows}×${vectors} of ${lanes}`;
  for (const lanes of [widest, ...widths]) {
    for (const tile of [machine.tile, ...(machine.tiles ?? [])]) {
      const used = { rows: tile.rows, vectors: Math.min(tile.vectors, Math.ceil(channels / lanes)) };
      found.set(name('direct', used.rows, used.vectors, lanes), { lanes, tile: used, winograd: false });
    }
  }
  const possible =
    machine.winograd !== false &&
    g.axes.every((a) => a.stride === 1 && (a.kernel === 1 || a.kernel === 3)) &&
    g.axes.some((a) => a.kernel === 3);
  if (!possible) return found;
  const { tile } = machine;
  // A machine that wants one of Winograd's algorithms wherever it is possible gets it.
  if (typeof machine.winograd === 'number') found.clear();
  for (const m of typeof machine.winograd === 'number' ? [machine.winograd] : ([2, 3, 4] as const)) {
    for (const winogradTiles of role === 'filter' ? [16, 32, 64] : [1, 2, 4].map((n) => n * tile.rows)) {
      const prefix = `F(${m}, 3) by ${winogradTiles}`;
      found.set(name(prefix, tile.rows, tile.vectors, widest), { lanes: widest, tile, winograd: m, winogradTiles });
    }
  }
  return found;
}

/** How contractions of a program are scheduled, for people: one phrase for each. */
export function describeSchedules({ steps }: Steps, machine: MachineDescription): string[] {
  return steps.flatMap(({ kernel }) => describe(kernel, machine) ?? []);
}

function describe(kernel: Step['kernel'], machine: MachineDescription): string | undefined {
  if (kernel.kind !== 'tile' && kernel.kind !== 'outer') return undefined;
  const { rows, width, lanes = machine.lanes, winograd, grouping } = kernel;
  if (grouping) return `${grouping.together} groups together`;
  const tile = `${rows}×${Math.ceil(width / lanes)} of ${lanes}`;
  return winograd ? `F(${Math.max(...winograd.outputs)}, 3) by ${winograd.tiles}, ${tile}` : `direct ${tile}`;
}
