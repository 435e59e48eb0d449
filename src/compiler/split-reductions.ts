import {
  axisIndex,
  type Expression,
  type Index,
  load,
  makeIndex,
  reduced,
  rewriteExpression,
  substituteAxes,
} from '../kernel/expression.js';
import { additionsOf, type Nest } from '../kernel/kernel.js';
import { sizeOf } from '../tensor/shape.js';
import { dropUnusedOperands } from './dead.js';
import { makeBuffer, type Step, type Steps } from './steps.js';

/** Reductions to fewer results than this, over more elements than that, are split. */
const FEW_RESULTS = 2048;
const MANY_ELEMENTS = 8192;
const CHUNKS = 16;

/**
 * Splits reductions with few results into partial results of fixed chunks and a small second step, so that all threads
 * have work. The chunks depend on the shape only, hence the sums do not depend on the number of threads.
 */
export function splitReductions(program: Steps): Steps {
  return { ...program, steps: program.steps.flatMap(split) };
}

function split(step: Step): Step[] {
  const { kernel } = step;
  if (kernel.kind !== 'nest' || kernel.reduce.length === 0 || kernel.outputIndex !== undefined) return [step];
  const results = sizeOf(kernel.parallel);
  const elements = kernel.scatter === undefined ? results * sizeOf(kernel.reduce) : additionsOf(kernel);
  // Partial results of a scatter are all written, however few values go into each.
  const few = kernel.scatter === undefined ? 0 : CHUNKS * results;
  if (results > FEW_RESULTS || elements < Math.max(few, MANY_ELEMENTS)) return [step];
  if (kernel.reducers.some((r) => r.kind === 'argmax')) return [step];
  const candidates = kernel.reduce.map((extent, axis) => ({ axis, chunks: largestDivisor(extent) }));
  const best = candidates.reduce((a, b) => (b.chunks > a.chunks ? b : a));
  if (best.chunks < 4) return [step];
  return splitAxis(step, kernel, best.axis, best.chunks);
}

function largestDivisor(extent: number): number {
  for (let d = Math.min(CHUNKS, extent); d > 1; d--) if (extent % d === 0) return d;
  return 1;
}

function splitAxis(step: Step, kernel: Nest, reduceAxis: number, chunks: number): Step[] {
  const rank = kernel.parallel.length;
  const inner = kernel.reduce[reduceAxis] / chunks;
  // The chunk becomes parallel axis 0, all other axes move up by one.
  const replacements: Index[] = [...kernel.parallel, ...kernel.reduce].map((_, axis) =>
    axis === rank + reduceAxis
      ? makeIndex(
          [
            { axis: 0, factor: inner },
            { axis: axis + 1, factor: 1 },
          ],
          0,
        )
      : axisIndex(axis + 1),
  );
  const bodies: Expression[] = [];
  for (const reducer of kernel.reducers) {
    const body = substituteAxes(reducer.body, replacements);
    if (body === undefined) return [step];
    bodies.push(body);
  }
  const { scatter } = kernel;
  const position = scatter && substituteAxes(scatter.position, replacements);
  if (scatter !== undefined && position === undefined) return [step];
  const shape = [chunks, ...kernel.parallel];
  const partials = kernel.reducers.map((r) => makeBuffer({ dtype: r.body.dtype, shape }));
  const order = [0, ...step.results[0].order.map((axis) => axis + 1)];
  for (const partial of partials) partial.order = order;
  const first: Step = {
    name: `${step.name} (partial)`,
    kernel: {
      kind: 'nest',
      parallel: shape,
      reduce: kernel.reduce.map((extent, axis) => (axis === reduceAxis ? inner : extent)),
      reducers: kernel.reducers.map((r, i) => ({ kind: r.kind, body: bodies[i] })),
      outputs: kernel.reducers.map((r, i) => reduced(i, r.body.dtype)),
      ...(scatter && position && { scatter: { axis: scatter.axis + 1, position } }),
    },
    operands: step.operands,
    results: partials,
    scope: step.scope,
  };
  const own = kernel.parallel.map((_, axis) => axisIndex(axis));
  const second: Step = {
    ...step,
    kernel: {
      ...kernel,
      scatter: undefined,
      reduce: [chunks],
      reducers: kernel.reducers.map((r, i) => ({
        kind: r.kind,
        body: load(i, r.body.dtype, [axisIndex(rank), ...own]),
      })),
      outputs: kernel.outputs.map((output) =>
        rewriteExpression(output, (e) => (e.kind === 'load' ? { ...e, operand: e.operand + partials.length } : e)),
      ),
    },
    operands: [...partials, ...step.operands],
  };
  return [first, dropUnusedOperands(second)];
}
