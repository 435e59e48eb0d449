import type { Contraction } from '../kernel/contraction.js';
import type { MachineDescription } from './machine.js';

/** Weights of more than so many second-level caches stay in no cache from run to run; in a cache panels are up to 15 % faster. */
const CACHES = 64;

/**
 * Whether a contraction is a linear layer of one example with weights that come from memory each time. It uses each weight once, so
 * memory sets the pace: dot products with the rows of a parameter as it lies are as fast as packed panels, and save a copy of it.
 */
export function readsWeightsOnce({ role, geometry: g }: Contraction, { caches }: MachineDescription): boolean {
  const isVector = role === 'output' && g.axes.length === 0 && g.batch === 1 && g.groups === 1;
  return isVector && 4 * g.channelsIn * g.channelsOut > CACHES * caches.l2;
}
