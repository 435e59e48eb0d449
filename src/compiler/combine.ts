import { type Expression, rewriteExpression } from '../kernel/expression.js';
import type { Nest } from '../kernel/kernel.js';
import { type Shape, sameShape, sizeOf } from '../tensor/shape.js';
import { keepResults } from './dead.js';
import { isAxis, NODES, OPERANDS, sizeOfKernel } from './fuse.js';
import { sameOrder } from './layout.js';
import { simplifyStep } from './simplify.js';
import { type Buffer, escaping, rootBuffer, type Step, type Steps } from './steps.js';

/** Larger results are not computed ahead of contractions that stand in between: they would take up memory meanwhile. */
const SMALL = 2048;

/**
 * Makes one nest with several results of nests that run through the same positions, where one reads what the other computes there, or
 * both read the same large operand: the moments, the velocity and the parameter of an optimizer's update; the two sums of a
 * normalisation's gradient; a statistic and its running mean. Each pass over memory that is saved is worth more than a small kernel.
 */
export function combineNests(program: Steps): Steps {
  const escapes = new Set([...escaping(program)].map(rootBuffer));
  const steps: (Step | undefined)[] = [...program.steps];
  /** The input that a value will overwrite, and the other way round. */
  const updated = new Map(program.updates.map(({ input, value }) => [rootBuffer(value), input]));
  const values = new Map(program.updates.map(({ input, value }) => [input, rootBuffer(value)]));
  const makers = new Map<Buffer, number>();
  const readers = new Map<Buffer, number[]>();
  const note = (step: Step, at: number): void => {
    for (const result of step.results) makers.set(rootBuffer(result), at);
    for (const operand of new Set(step.operands.map(rootBuffer))) {
      const list = readers.get(operand);
      if (list === undefined) readers.set(operand, [at]);
      else list.push(at);
    }
  };
  const readsOf = (buffer: Buffer): number[] =>
    (readers.get(buffer) ?? []).filter((at) => steps[at]?.operands.some((operand) => rootBuffer(operand) === buffer));
  program.steps.forEach(note);
  let contraction = 0;
  program.steps.forEach(({ kernel }, last) => {
    const step = steps[last];
    if (kernel.kind !== 'nest') contraction = last;
    if (step === undefined || !combinable(step)) return;
    // Of large nests, none is moved over a contraction.
    const large = sizeOf((step.kernel as Nest).parallel) > SMALL;
    const from = large ? contraction : 0;
    const near = new Set(step.operands.flatMap((o) => [makers.get(rootBuffer(o)) ?? -1, ...readsOf(rootBuffer(o))]));
    const lastMaker = ({ operands }: Step): number =>
      Math.max(-1, ...operands.map((o) => makers.get(rootBuffer(o)) ?? -1));
    const unread = ({ results }: Step): boolean =>
      results.every((result) => readsOf(rootBuffer(result)).every((at) => at >= last));
    let made = lastMaker(step);
    for (const first of [...near].filter((at) => at >= from && at < last).sort((a, b) => b - a)) {
      const earlier = steps[first];
      const later = steps[last];
      if (earlier === undefined || later === undefined || !combinable(earlier)) continue;
      // Neither can move to the other: most of what reads the same, in long loops.
      if (first < made && !unread(earlier)) continue;
      if (!sameLoops(earlier, later) || !worthwhile(earlier, later)) continue;
      const between = (at: number): boolean => at > first && at < last;
      const own = new Set(earlier.results.map(rootBuffer));
      // The later one moves up, or the earlier one down; reading an input stays ahead of overwriting it.
      const up =
        later.operands.every((o) => own.has(rootBuffer(o)) || (makers.get(rootBuffer(o)) ?? -1) < first) &&
        !later.results.some((result) => readsOf(updated.get(rootBuffer(result)) ?? result).some(between));
      const down =
        [...own].every((result) => readsOf(result).every((at) => at >= last)) &&
        !earlier.operands.some((operand) => between(makers.get(values.get(rootBuffer(operand)) ?? operand) ?? -1));
      if (!up && !down) continue;
      const both = combine(earlier, later);
      if (both === undefined) continue;
      const needed = (result: Buffer): boolean => {
        const root = rootBuffer(result);
        return escapes.has(root) || readsOf(root).some((at) => at !== last || !own.has(root));
      };
      const at = up ? first : last;
      steps[first] = undefined;
      steps[last] = undefined;
      steps[at] = keepResults(both, both.results.map(needed));
      note(steps[at] as Step, at);
      if (up) return;
      made = lastMaker(steps[at] as Step);
    }
  });
  return { ...program, steps: steps.filter((step) => step !== undefined) };
}

/** A nest whose results are where it computes them, and that runs every time. */
function combinable({ kernel, preparation }: Step): boolean {
  return (
    preparation === undefined &&
    kernel.kind === 'nest' &&
    kernel.outputIndex === undefined &&
    kernel.scatter === undefined &&
    kernel.reducers.every(({ kind }) => kind !== 'argmax')
  );
}

/** The same positions in the same order; a map fits to any reduction. */
function sameLoops(a: Step, b: Step): boolean {
  const [x, y] = [a.kernel as Nest, b.kernel as Nest];
  const reduce = x.reducers.length === 0 || y.reducers.length === 0 || sameShape(x.reduce, y.reduce);
  return reduce && sameShape(x.parallel, y.parallel) && sameOrder(x.parallel, a.results[0].order, b.results[0].order);
}

/** One reads results of the other, or what takes most of the time is reading what both do. */
function worthwhile(a: Step, b: Step): boolean {
  if (b.operands.some((operand) => a.results.includes(operand))) return true;
  const [x, y] = [a.kernel as Nest, b.kernel as Nest];
  // A map beside a reduction shares too little of its loops.
  if ((x.reducers.length === 0) !== (y.reducers.length === 0)) return false;
  const size = ({ type }: Buffer): number => sizeOf(type.shape);
  const positions = sizeOf(x.parallel) * sizeOf(x.reduce);
  return a.operands.some(
    (operand) => size(operand) > 1 && 2 * size(operand) >= positions && b.operands.includes(operand),
  );
}

function combine(a: Step, b: Step): Step | undefined {
  const [x, y] = [a.kernel as Nest, b.kernel as Nest];
  const operands = [...a.operands];
  let possible = true;
  const numbers = b.operands.map((operand) => {
    if (a.results.includes(operand)) return -1;
    if (a.results.some((result) => rootBuffer(result) === rootBuffer(operand))) possible = false;
    const found = operands.indexOf(operand);
    return found >= 0 ? found : operands.push(operand) - 1;
  });
  const moved = (expression: Expression, inReducer: boolean): Expression =>
    rewriteExpression(expression, (e) => {
      if (e.kind === 'reduced') return { ...e, reducer: e.reducer + x.reducers.length };
      if (e.kind !== 'load') return e;
      if (numbers[e.operand] >= 0) return { ...e, operand: numbers[e.operand] };
      if (inReducer || !e.index.every((index, axis) => isAxis(index, axis, x.parallel[axis]))) possible = false;
      return x.outputs[a.results.indexOf(b.operands[e.operand])];
    });
  const reduce: Shape = x.reducers.length > 0 ? x.reduce : y.reduce;
  const kernel: Nest = {
    kind: 'nest',
    parallel: x.parallel,
    reduce,
    reducers: [...x.reducers, ...y.reducers.map((r) => ({ ...r, body: moved(r.body, true) }))],
    outputs: [...x.outputs, ...y.outputs.map((output) => moved(output, false))],
  };
  if (!possible || operands.length > OPERANDS) return undefined;
  const step: Step = {
    name: `${a.name} & ${b.name}`,
    kernel,
    operands,
    results: [...a.results, ...b.results],
    scope: a.scope || b.scope,
  };
  return sizeOfKernel(step) <= NODES ? simplifyStep(step) : undefined;
}
