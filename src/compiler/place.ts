import {
  axisIndex,
  type Check,
  type Expression,
  type Index,
  isIndirect,
  substituteAxes,
} from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import { type Shape, sameShape, sizeOf } from '../tensor/shape.js';
import { dropUnusedOperands } from './dead.js';
import { isAxis } from './fuse.js';
import { sameOrder } from './layout.js';
import { type Box, type Buffer, makeBuffer, type Step, type Steps } from './steps.js';

/**
 * Writes results to where they are needed. A concatenation or a padded copy puts other buffers into boxes of its result: where they may
 * lie there from the start, their producers write into these boxes and all others read them there; constants around them
 * are written by themselves. What cannot be placed is copied box by box, which needs no conditions.
 */
export function placeResults(program: Steps): Steps {
  const fixed = fixedBuffers(program);
  /** Steps that may write their results anywhere. */
  const writers = new Map<Buffer, Step>();
  const steps = program.steps.flatMap((step): Step[] => {
    for (const result of step.results) if (writesAnywhere(step)) writers.set(result, step);
    const assembly = assemblyOf(step);
    const [container] = step.results;
    if (assembly === undefined || container.alias !== undefined || container.input !== undefined) return [step];
    const movable = (operand: Buffer): boolean =>
      writers.has(operand) &&
      !fixed.has(operand) &&
      operand.within === undefined &&
      // Of the whole: what has one element in the part may lie between its elements there.
      sameOrder(container.type.shape, operand.order, container.order);
    const placed = new Set<Buffer>();
    const moves = assembly.parts.map((part) => {
      const operand = wholeOperand(part, step);
      if (operand === undefined || !movable(operand) || placed.has(operand)) return undefined;
      placed.add(operand);
      return operand;
    });
    // A condition for every row of one copy costs little.
    if (assembly.parts.length === 1 && placed.size === 0) return [step];
    const rest = assembly.parts.map((part, i) => (moves[i] === undefined ? copyOf(part, step) : undefined));
    if (rest.some((copy, i) => copy === undefined && moves[i] === undefined)) return [step];
    assembly.parts.forEach(({ box }, i) => {
      const operand = moves[i];
      if (operand !== undefined) operand.within = { buffer: container, start: box.start };
    });
    return [...fillSteps(assembly, step), ...rest.filter((copy) => copy !== undefined)];
  });
  return { ...program, steps };
}

/** A result that consists of boxes with values of their own, and of a constant wherever there is none. */
interface Assembly {
  readonly parts: readonly Part[];
  readonly fill: Expression | undefined;
}

interface Part {
  readonly box: Box;
  /** Over the positions of the whole. */
  readonly value: Expression;
}

function assemblyOf({ kernel, preparation }: Step): Assembly | undefined {
  if (preparation !== undefined || kernel.kind !== 'nest' || kernel.outputs.length !== 1) return undefined;
  if (kernel.reducers.length > 0 || kernel.outputIndex !== undefined || kernel.outputs[0].kind !== 'guard')
    return undefined;
  const parts: Part[] = [];
  let rest: Expression = kernel.outputs[0];
  while (rest.kind === 'guard') {
    const box = boxOf(rest.checks, kernel.parallel);
    if (box === undefined || parts.some((part) => overlap(part.box, box))) return undefined;
    parts.push({ box, value: rest.inside });
    rest = rest.otherwise;
  }
  const left = sizeOf(kernel.parallel) - parts.reduce((n, { box }) => n + sizeOf(box.shape), 0);
  if (left === 0) return { parts, fill: undefined };
  return parts.length === 1 && rest.kind === 'constant' ? { parts, fill: rest } : undefined;
}

/** The positions for which all checks hold, where that is a box with something in it. */
function boxOf(checks: readonly Check[], extents: Shape): Box | undefined {
  const from = extents.map(() => 0);
  const to = [...extents];
  for (const { index, extent } of checks) {
    const [term] = index.terms;
    if (index.terms.length !== 1 || term.factor !== 1 || index.divisor !== 1) return undefined;
    from[term.axis] = Math.max(from[term.axis], -index.offset);
    to[term.axis] = Math.min(to[term.axis], extent - index.offset);
  }
  const shape = from.map((start, axis) => to[axis] - start);
  return shape.every((extent) => extent > 0) ? { start: from, shape } : undefined;
}

function overlap(a: Box, b: Box): boolean {
  return a.start.every((start, d) => start < b.start[d] + b.shape[d] && b.start[d] < start + a.shape[d]);
}

/** The operand that a part is, all of it and nothing else. */
function wholeOperand({ box, value }: Part, { operands }: Step): Buffer | undefined {
  if (value.kind !== 'load') return undefined;
  const operand = operands[value.operand];
  const own = value.index.every((index, d) => {
    if (isIndirect(index)) return false;
    return (
      isAxis({ ...index, offset: index.offset + box.start[d] }, d, 0) ||
      (operand.type.shape[d] === 1 && box.shape[d] === 1)
    );
  });
  return own && sameShape(operand.type.shape, box.shape) ? operand : undefined;
}

/** Buffers whose memory others determine, or read as if it were all of it. */
function fixedBuffers({ steps, outputs, inputs }: Steps): Set<Buffer> {
  const fixed = new Set([...inputs, ...outputs]);
  const follow = (buffer: Buffer): void => {
    for (let b = buffer; b.alias !== undefined; b = b.alias) {
      fixed.add(b);
      fixed.add(b.alias);
    }
  };
  outputs.forEach(follow);
  for (const { operands, results, kernel } of steps) {
    for (const buffer of [...operands, ...results]) follow(buffer);
    if (kernel.kind === 'mix') for (const buffer of operands) fixed.add(buffer);
    // Neighbouring positions that count as channels lie behind each other.
    if (kernel.kind === 'tile' && kernel.neighbours) for (const buffer of results) fixed.add(buffer);
    if (kernel.kind === 'outer' && kernel.neighbours) fixed.add(operands[1]);
    if (kernel.kind === 'tile') for (const { filter } of kernel.phases) fixed.add(operands[filter]);
  }
  return fixed;
}

function writesAnywhere({ kernel, preparation }: Step): boolean {
  if (preparation !== undefined) return false;
  return kernel.kind === 'tile' || (kernel.kind === 'nest' && kernel.scatter === undefined);
}

function boxOfBuffer(container: Buffer, box: Box): Buffer {
  const buffer = makeBuffer({ dtype: container.type.dtype, shape: box.shape });
  buffer.order = container.order;
  buffer.within = { buffer: container, start: box.start };
  return buffer;
}

/** A step that writes one part alone. */
function copyOf({ box, value }: Part, step: Step): Step | undefined {
  const moved = box.start.map((start, axis): Index => axisIndex(axis, 1, start));
  const own = substituteAxes(value, moved);
  if (own === undefined) return undefined;
  const results = [boxOfBuffer(step.results[0], box)];
  return dropUnusedOperands({ ...step, kernel: mapNest(box.shape, own), results });
}

/** Steps that write the constant around the only part: boxes of one shape together. */
function fillSteps({ parts: [{ box }], fill }: Assembly, step: Step): Step[] {
  if (fill === undefined) return [];
  const [container] = step.results;
  const start = container.type.shape.map(() => 0);
  const shape = [...container.type.shape];
  const steps: Step[] = [];
  for (const axis of container.order) {
    const low = box.start[axis];
    const high = shape[axis] - low - box.shape[axis];
    const part = (from: number, extent: number): Box => ({
      start: start.map((s, d) => (d === axis ? from : s)),
      shape: shape.map((e, d) => (d === axis ? extent : e)),
    });
    const boxes = [part(0, low), part(low + box.shape[axis], high)].filter(({ shape: s }) => s[axis] > 0);
    const groups = low === high ? [boxes] : boxes.map((one) => [one]);
    for (const group of groups.filter((some) => some.length > 0)) {
      steps.push({
        name: 'border',
        kernel: mapNest(group[0].shape, ...group.map(() => fill)),
        operands: [],
        results: group.map((one) => boxOfBuffer(container, one)),
        scope: step.scope,
      });
    }
    start[axis] = low;
    shape[axis] = box.shape[axis];
  }
  return steps;
}
