import type { Contraction } from '../kernel/contraction.js';
import type { MachineDescription } from './machine.js';
import { gatherPhases } from './phases.js';

/**
 * Where there are few channels, neighbouring positions share vector registers with them: r positions of the last axis times the
 * channels count as channels, for a filter that is r − 1 strides longer. A tap of one of the positions is zero for the others, so the
 * multiply-adds grow by (taps + (r − 1) · stride) / taps, and lanes that would be empty do r positions at once.
 */

/** Less is not worth it: wide vectors are no faster than narrow ones on every machine. */
const GAIN = 1.25;

/** How many positions share a register; 1: none. Where Winograd's algorithm is possible it is left to that. */
export function positionsTogether(contraction: Contraction, machine: MachineDescription): number {
  const { role, geometry: g } = contraction;
  const phases = gatherPhases(role === 'filter' ? { ...contraction, role: 'output' } : contraction);
  const last = phases[phases.length - 1];
  if (g.groups !== 1 || last === undefined || phases.some((axis) => axis.length !== 1)) return 1;
  const [{ count, taps, stride, dilation }] = last;
  if (dilation !== 1 || taps < 2) return 1;
  const small = g.axes.every((a) => a.stride === 1 && (a.kernel === 1 || a.kernel === 3));
  if (small && machine.winograd !== false) return 1;
  const channels = role === 'input' ? g.channelsIn : g.channelsOut;
  const { lanes, tile } = machine;
  /** Vector operations for each tap of a position. */
  const cost = (r: number): number => (Math.ceil((r * channels) / lanes) * (taps + (r - 1) * stride)) / (taps * r);
  let best = 1;
  for (let r = 2; r * channels <= lanes * tile.vectors && r <= count; r++) {
    if (count % r === 0 && cost(r) * GAIN <= cost(1) && cost(r) < cost(best)) best = r;
  }
  return best;
}
