import { expandOperators } from '../graph/expand.js';
import type { Graph } from '../graph/graph.js';
import { printGraph } from '../graph/print.js';
import { verifyGraph } from '../graph/verify.js';
import { additionsOf } from '../kernel/nest.js';
import { sizeOf } from '../tensor/shape.js';
import { combineNests } from './combine.js';
import { scheduleContractions } from './contraction.js';
import { fuse } from './fuse.js';
import { layOut } from './layout.js';
import { lowerGraph } from './lower.js';
import type { MachineDescription } from './machine.js';
import { type MemoryPlan, planMemory, resolveUpdates } from './memory.js';
import { moveOffsets } from './offsets.js';
import { placeResults } from './place.js';
import { prepareSteps } from './prepare.js';
import { mergeCommon } from './rewrite-graph.js';
import { simplify } from './simplify.js';
import { splitReductions } from './split-reductions.js';
import { printSteps, type Step, type Steps } from './steps.js';
import { verifySteps } from './verify.js';

/** A program before code generation. */
export interface Plan {
  readonly program: Steps;
  readonly memory: MemoryPlan;
  /** A rough count of scalar operations and memory accesses without prepared steps, to tell small programs from large ones. */
  readonly work: number;
}

export type Pass = readonly [name: string, run: (program: Steps, machine: MachineDescription) => Steps];

/** In the order in which they run. */
export const PASSES: readonly Pass[] = [
  ['schedule contractions', scheduleContractions],
  ['simplify', simplify],
  ['fuse', fuse],
  ['simplify', simplify],
  ['lay out', layOut],
  ['split reductions', splitReductions],
  ['prepare', (program) => prepareSteps(program)],
  ['combine', combineNests],
  ['resolve updates', resolveUpdates],
  ['place results', placeResults],
  ['move offsets', moveOffsets],
];

/** All passes from a traced graph to kernels with memory. `GABOR_DEBUG=graph` prints the program after each. */
export function compileGraph(graph: Graph, machine: MachineDescription): Plan {
  debug('trace', () => printGraph(graph));
  verifyGraph(graph, 'trace');
  const merged = mergeCommon(expandOperators(graph));
  verifyGraph(merged, 'merge common');
  debug('merge common', () => printGraph(merged));
  let program = lowerGraph(merged);
  for (const [name, run] of PASSES) {
    program = run(program, machine);
    verifySteps(program, name);
    const now = program;
    debug(name, () => printSteps(now));
  }
  const memory = planMemory(program);
  debug('plan memory', () => `  arena ${memory.arenaBytes} bytes for ${memory.temporaryBytes} bytes of temporaries`);
  const everyTime = program.steps.filter(({ preparation }) => preparation === undefined);
  return { program, memory, work: everyTime.reduce((n, step) => n + workOf(step), 0) };
}

/** See {@link Plan.work}. */
export function workOf({ kernel, results }: Step): number {
  switch (kernel.kind) {
    case 'nest':
      if (kernel.scatter !== undefined) return sizeOf(kernel.parallel) + additionsOf(kernel);
      return sizeOf(kernel.parallel) * sizeOf(kernel.reduce) * Math.max(1, kernel.reducers.length);
    case 'tile':
      return (
        kernel.phases.reduce(
          (n, { axes }) => n + axes.reduce((m, a) => m * a.count * a.taps, kernel.batch * kernel.groups),
          0,
        ) *
        kernel.channelsIn *
        kernel.channelsOut
      );
    case 'outer':
      return kernel.axes.reduce(
        (n, a) => n * a.count * a.taps,
        kernel.batch * kernel.groups * kernel.channelsIn * kernel.channelsOut,
      );
    default:
      return results.reduce((n, result) => n + sizeOf(result.type.shape), 0);
  }
}

function debug(pass: string, text: () => string): void {
  const wanted = (globalThis as { process?: { env: Record<string, string | undefined> } }).process?.env.GABOR_DEBUG;
  if (wanted?.split(',').includes('graph')) console.error(`── ${pass} ──\n${text()}`);
}
