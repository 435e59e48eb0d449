import type { Contraction } from '../kernel/contraction.js';

/** What the passes need to know of the machine that will run the program. */
export interface MachineDescription {
  /** f32 elements of a vector register. */
  readonly lanes: number;
  /** All sizes of vector registers that a kernel may use; default: `lanes` only. */
  readonly widths?: readonly number[];
  /** The register tile of dense contractions: neighbouring positions × vector registers of channels. */
  readonly tile: { readonly rows: number; readonly vectors: number };
  /** For contractions whose filter panels do not stay in the first-level cache, where another one copes better with that; default: `tile`. */
  readonly deepTile?: MachineDescription['tile'];
  /** Bytes of the caches of one core. */
  readonly caches: { readonly l1: number; readonly l2: number };
  /**
   * Whether convolutions use Winograd's algorithm, whose rounding errors are larger, where it is faster; default true. A number:
   * F(2, 3), F(3, 3) or F(4, 3) wherever it is possible.
   */
  readonly winograd?: boolean | 2 | 3 | 4;
  /** Of Winograd's algorithm: how many tiles are worked on together at most; default: as many as fit into the caches. */
  readonly winogradTiles?: number;
  /** Register tiles that a search may try instead of `tile`; default: none. */
  readonly tiles?: readonly MachineDescription['tile'][];
  /** Asked before the model for every contraction that is scheduled densely; undefined: the model decides. */
  readonly choices?: (contraction: Contraction, place: Place) => ScheduleChoice | undefined;
}

/** Where a contraction is. */
export interface Place {
  /** The layer. */
  readonly scope: string;
  /** Whether its filter may change from run to run, so that transforming it is part of the work. */
  readonly learning: boolean;
}

/** How one contraction is scheduled: what it is to see of the machine. `winograd` is a number or false, so that the model decides nothing. */
export type ScheduleChoice = Required<Pick<MachineDescription, 'lanes' | 'tile'>> &
  Pick<MachineDescription, 'winogradTiles'> & { readonly winograd: false | 2 | 3 | 4 };

/** The machine as kernels with so few channels should see it: with the narrowest vectors that hold all of them. */
export function narrowed(machine: MachineDescription, channels: number): MachineDescription {
  const lanes = Math.min(machine.lanes, ...(machine.widths ?? []).filter((width) => width >= channels));
  return lanes === machine.lanes ? machine : { ...machine, lanes };
}

/** Where the real sizes are not known: what processors of the last ten years have at least. */
export const USUAL_CACHES: MachineDescription['caches'] = { l1: 32 * 1024, l2: 512 * 1024 };
