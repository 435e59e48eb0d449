import {
  axisIndex,
  countOperations,
  type Expression,
  isIndirect,
  rewriteExpression,
  type Subscript,
  substituteAxes,
  visitExpression,
} from '../kernel/expression.js';
import { additionsOf, expressionsOf, type Nest, rewriteNest, termsOf } from '../kernel/kernel.js';
import { ownOperands, type TileKernel } from '../kernel/tile.js';
import { sizeOf } from '../tensor/shape.js';
import { dropUnusedOperands, removeDeadSteps } from './dead.js';
import { simplifyStep } from './simplify.js';
import { type Buffer, countReads, escaping, type Step, type Steps } from './steps.js';

/**
 * Fusion: maps move into the kernels that read them, and maps that follow a reduction or contraction become its
 * epilogue, so that intermediate values never reach memory.
 */
export function fuse(program: Steps): Steps {
  let current = removeDeadSteps(program);
  for (;;) {
    const next = removeDeadSteps(inlineMaps(fuseEpilogues(current)));
    if (next.steps.length === current.steps.length) return next;
    current = next;
  }
}

/** Above this many operations, computing a value once for every reader costs more than storing it. */
const CHEAP = 6;
/** A trivial map is computed at most so often for one element, by the overlapping windows of its reader. */
const WINDOW = 16;

/** Kernels stop growing here: larger ones gain nothing, and take long to compile or exceed what engines accept. */
export const NODES: number = 256;
export const OPERANDS: number = 64;

function inlineMaps(program: Steps): Steps {
  const escapes = escaping(program);
  const producers = new Map<Buffer, Step>();
  for (const step of program.steps) {
    const { kernel } = step;
    const isMap = kernel.kind === 'nest' && kernel.reducers.length === 0 && kernel.outputs.length === 1;
    if (isMap && kernel.outputIndex === undefined) producers.set(step.results[0], step);
  }
  const readers = new Map<Buffer, Step[]>();
  for (const step of program.steps) {
    for (const operand of new Set(step.operands)) {
      const list = readers.get(operand);
      if (list === undefined) readers.set(operand, [step]);
      else list.push(step);
    }
  }
  const done = new Map<Step, Step>();
  const worthwhile = (buffer: Buffer, producer: Step): boolean => {
    if (producer.kernel.kind !== 'nest') return false;
    const [expression] = producer.kernel.outputs;
    if (isFree(expression)) return true;
    const uses = readers.get(buffer) ?? [];
    if (escapes.has(buffer) || !uses.every((use) => canInline(use, buffer))) return false;
    const reads = uses.map((use) => evaluations(use, buffer));
    if (reads.length === 1 && reads[0] <= 1.01) return true;
    const operations = countOperations(expression);
    if (operations > CHEAP || largeLoads(expression, producer) > 1) return false;
    if (reads.every((count) => count <= 1.01)) return true;
    return reads.length === 1 && operations <= 2 && reads[0] <= WINDOW;
  };
  const decided = new Map<Buffer, boolean>();
  const steps = program.steps.map((step) => {
    let result = step;
    for (const operand of step.operands) {
      const original = producers.get(operand);
      if (original === undefined || !result.operands.includes(operand)) continue;
      // The producer may itself have grown by what moved into it: it counts as it is now, and its operands come along.
      const producer = done.get(original) ?? original;
      let inlined = decided.get(operand);
      if (inlined === undefined) {
        inlined = worthwhile(operand, producer);
        decided.set(operand, inlined);
      }
      if (inlined) result = inlineInto(result, operand, producer) ?? result;
    }
    done.set(step, result);
    return result;
  });
  return { ...program, steps };
}

/** Costs nothing to compute again: constants, positions, and plain re-indexing of another value. */
function isFree(e: Expression): boolean {
  return e.kind === 'constant' || e.kind === 'axis' || e.kind === 'load';
}

/** Whether every read of `buffer` by `step` is through an expression (and not a prepared operand of a tile). */
function canInline(step: Step, buffer: Buffer): boolean {
  if (step.kernel.kind === 'nest') return true;
  if (step.kernel.kind !== 'tile') return false;
  const own = ownOperands(step.kernel);
  return !step.operands.slice(0, own).includes(buffer);
}

/** How often `step` loads each element of `buffer`, or would evaluate it if its map moved into `step`. */
export function evaluations(step: Step, buffer: Buffer): number {
  const size = sizeOf(buffer.type.shape);
  let count = 0;
  const visit = (e: Expression, domain: number): void =>
    visitExpression(e, (node) => {
      if (node.kind === 'load' && step.operands[node.operand] === buffer) count += domain / size;
    });
  const { kernel } = step;
  if (kernel.kind === 'nest') {
    const outer = sizeOf(kernel.parallel);
    const terms = kernel.scatter === undefined ? outer * sizeOf(kernel.reduce) : additionsOf(kernel);
    for (const e of termsOf(kernel)) visit(e, terms);
    for (const e of kernel.outputs) visit(e, outer);
  } else if (kernel.kind === 'tile') {
    visit(kernel.epilogue, sizeOf(step.results[0].type.shape));
  }
  return count;
}

/** Loads that are not small broadcasts: each is a stream from memory. */
function largeLoads(expression: Expression, step: Step): number {
  const size = sizeOf(step.results[0].type.shape);
  const large = new Set<Buffer>();
  visitExpression(expression, (e) => {
    if (e.kind === 'load') {
      const operand = step.operands[e.operand];
      if (sizeOf(operand.type.shape) * 4 > size) large.add(operand);
    }
  });
  return large.size;
}

/** Replaces loads of `buffer` in `step` by the expression of the map that produces it. */
function inlineInto(step: Step, buffer: Buffer, producer: Step): Step | undefined {
  const { kernel } = step;
  if (!canInline(step, buffer) || producer.kernel.kind !== 'nest') return undefined;
  if (sizeOfKernel(producer) > NODES - sizeOfKernel(step)) return undefined;
  const [source] = producer.kernel.outputs;
  const operands = [...step.operands];
  const numbers = producer.operands.map((operand) => {
    const found = operands.indexOf(operand);
    return found >= 0 ? found : operands.push(operand) - 1;
  });
  const moved = rewriteExpression(source, (e) => (e.kind === 'load' ? { ...e, operand: numbers[e.operand] } : e));
  let possible = operands.length <= OPERANDS || operands.length === step.operands.length;
  // Registers of a tile hold neighbouring channels, which a branch would have to treat alike.
  if (kernel.kind === 'tile') possible &&= !contains(moved, 'guard');
  const replace = (expression: Expression): Expression =>
    rewriteExpression(expression, (e) => {
      if (e.kind !== 'load' || step.operands[e.operand] !== buffer) return e;
      const substituted = substituteAxes(moved, e.index);
      if (substituted === undefined) possible = false;
      return substituted ?? e;
    });
  let next: Nest | TileKernel;
  if (kernel.kind === 'nest') {
    next = rewriteNest(kernel, replace);
  } else if (kernel.kind === 'tile') {
    next = { ...kernel, epilogue: replace(kernel.epilogue) };
  } else {
    return undefined;
  }
  if (!possible) return undefined;
  const inlined = simplifyStep(dropUnusedOperands({ ...step, kernel: next, operands }));
  return sizeOfKernel(inlined) <= NODES ? inlined : undefined;
}

function contains(expression: Expression, kind: Expression['kind']): boolean {
  let found = false;
  visitExpression(expression, (e) => {
    found ||= e.kind === kind;
  });
  return found;
}

/** Nodes of all expressions. */
export function sizeOfKernel({ kernel }: Step): number {
  let nodes = 0;
  const count = (expression: Expression): void => visitExpression(expression, () => nodes++);
  if (kernel.kind === 'tile') count(kernel.epilogue);
  if (kernel.kind === 'nest') expressionsOf(kernel).forEach(count);
  return nodes;
}

/**
 * A map that is the only reader of a reduction, contraction or map to other positions, at the positions of its result, becomes its
 * epilogue.
 */
function fuseEpilogues(program: Steps): Steps {
  const escapes = escaping(program);
  const reads = countReads(program.steps);
  const producers = new Map<Buffer, number>();
  const steps: (Step | undefined)[] = [...program.steps];
  steps.forEach((step, i) => {
    const { kernel, results, operands } = step as Step;
    const isMap = kernel.kind === 'nest' && kernel.reducers.length === 0 && kernel.outputs.length === 1;
    if (isMap && kernel.outputIndex === undefined) {
      for (const operand of operands) {
        const at = producers.get(operand);
        if (at === undefined || steps[at] === undefined) continue;
        if (escapes.has(operand) || reads.get(operand) !== 1 || !readAtOwnPosition(step as Step, operand)) continue;
        const merged = mergeEpilogue(steps[at] as Step, step as Step, operand);
        if (merged === undefined) continue;
        steps[at] = undefined;
        steps[i] = merged;
        break;
      }
    }
    const now = steps[i] as Step;
    const fusable =
      now.kernel.kind === 'tile' ||
      (now.kernel.kind === 'nest' &&
        now.kernel.scatter === undefined &&
        (now.kernel.reducers.length > 0 || now.kernel.outputIndex !== undefined));
    if (fusable && now.results.length === 1) producers.set(now.results[0], i);
    else for (const result of results) producers.delete(result);
  });
  return { ...program, steps: steps.filter((step) => step !== undefined) };
}

/** Whether every load of `buffer` is at exactly the output position. */
function readAtOwnPosition(step: Step, buffer: Buffer): boolean {
  if (step.kernel.kind !== 'nest') return false;
  const { parallel } = step.kernel;
  const { shape } = buffer.type;
  if (parallel.length !== shape.length || parallel.some((extent, axis) => extent !== shape[axis])) return false;
  let own = true;
  visitExpression(step.kernel.outputs[0], (e) => {
    if (e.kind === 'guard') own = false;
    if (e.kind !== 'load' || step.operands[e.operand] !== buffer) return;
    if (!e.index.every((index, axis) => isAxis(index, axis, parallel[axis]))) own = false;
  });
  return own;
}

/** Whether `index` is the position along `axis`. */
export function isAxis(index: Subscript, axis: number, extent: number): boolean {
  if (isIndirect(index)) return false;
  const expected = axisIndex(axis);
  return (
    (extent === 1 && index.terms.length === 0 && index.offset === 0) ||
    (index.terms.length === 1 &&
      index.terms[0].axis === expected.terms[0].axis &&
      index.terms[0].factor === 1 &&
      index.offset === 0 &&
      index.divisor === 1)
  );
}

function mergeEpilogue(producer: Step, map: Step, buffer: Buffer): Step | undefined {
  const { kernel } = producer;
  if (map.kernel.kind !== 'nest') return undefined;
  // The map's axes are the dimensions of what it reads.
  const [source] = map.kernel.outputs;
  const own = kernel.kind === 'nest' && kernel.outputIndex ? substituteAxes(source, kernel.outputIndex) : source;
  if (own === undefined) return undefined;
  const inner = kernel.kind === 'nest' ? kernel.outputs[0] : kernel.kind === 'tile' ? kernel.epilogue : undefined;
  if (inner === undefined) return undefined;
  const operands = [...producer.operands];
  const numbers = map.operands.map((operand) => {
    const found = operands.indexOf(operand, kernel.kind === 'tile' ? ownOperands(kernel) : 0);
    return found >= 0 ? found : operands.push(operand) - 1;
  });
  const epilogue = rewriteExpression(own, (e) => {
    if (e.kind !== 'load') return e;
    return map.operands[e.operand] === buffer ? inner : { ...e, operand: numbers[e.operand] };
  });
  const next: Nest | TileKernel =
    kernel.kind === 'nest' ? { ...kernel, outputs: [epilogue] } : { ...(kernel as TileKernel), epilogue };
  if (operands.length > OPERANDS) return undefined;
  const merged = dropUnusedOperands({
    name: `${producer.name}+${map.name}`,
    kernel: next,
    operands,
    results: map.results,
    scope: producer.scope || map.scope,
    operandOrders: producer.operandOrders && operands.map((_, i) => producer.operandOrders?.[i]),
    resultOrder: producer.resultOrder,
  });
  return sizeOfKernel(merged) <= NODES ? merged : undefined;
}
