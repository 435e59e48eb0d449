import { axisIndex, type Expression, isIndirect, load, type Subscript, visitExpression } from '../kernel/expression.js';
import { expressionsOf, mapNest, type Nest } from '../kernel/kernel.js';
import { type Shape, sizeOf } from '../tensor/shape.js';
import { type Buffer, escaping, makeBuffer, rootBuffer, type Step, type Steps } from './steps.js';

/**
 * Gives every buffer a physical order of its dimensions. Kernels with a demand (channels-last for contractions) get it,
 * by a copy where needed; others take the order of what they read. Inputs, outputs and reshapes are row-major. What only names
 * axes anew, as a transposition to channels-last, is the same memory under another order.
 */
export function layOut(program: Steps): Steps {
  const escapes = escaping(program);
  const updated = new Map(program.updates.map(({ input, value }) => [value, input]));
  const overwritten = new Set(program.updates.map(({ input }) => input));
  const steps: Step[] = [];
  const copies = new Map<string, Buffer>();
  const inOrder = (buffer: Buffer, order: readonly number[], scope: string): Buffer => {
    if (sameOrder(buffer.type.shape, buffer.order, order)) return buffer;
    const key = `${buffer.id}|${order}`;
    let copy = copies.get(key);
    if (copy === undefined) {
      copy = makeBuffer(buffer.type);
      copy.order = order;
      copies.set(key, copy);
      const index = buffer.type.shape.map((_, axis) => axisIndex(axis));
      const kernel = mapNest(buffer.type.shape, load(0, buffer.type.dtype, index));
      steps.push({ name: 'relayout', kernel, operands: [buffer], results: [copy], scope, resultOrder: order });
    }
    return copy;
  };
  for (const step of program.steps) {
    const { kernel, results } = step;
    if (kernel.kind === 'reshape') {
      const source = inOrder(step.operands[0], rowMajor(step.operands[0].type.shape), step.scope);
      results[0].alias = source;
      continue;
    }
    const operands = step.operands.map((operand, i) => {
      const order = step.operandOrders?.[i];
      return order === undefined ? operand : inOrder(operand, order, step.scope);
    });
    const view = kernel.kind === 'nest' ? transposedOrder(kernel, operands[0], results[0]) : undefined;
    if (view !== undefined && !updated.has(results[0]) && !overwritten.has(rootBuffer(operands[0]))) {
      const demanded = step.resultOrder ?? (escapes.has(results[0]) ? rowMajor(results[0].type.shape) : view);
      if (sameOrder(results[0].type.shape, view, demanded)) {
        results[0].order = demanded;
        results[0].alias = operands[0];
        continue;
      }
    }
    for (const result of results) {
      const free = kernel.kind === 'nest' && !(escapes.has(result) || updated.has(result));
      result.order =
        step.resultOrder ??
        (free ? propagated(kernel, operands, result.type.shape) : undefined) ??
        rowMajor(result.type.shape);
    }
    const turned = (operand: Buffer, i: number): Buffer => {
      const order = kernel.kind === 'nest' ? wantedOrder(kernel, i, operand, results[0].order) : undefined;
      return order === undefined ? operand : inOrder(operand, order, step.scope);
    };
    steps.push({ ...step, operands: operands.map(turned) });
  }
  // What leaves the program is row-major, and an output is never an input's or another output's memory.
  const taken = new Set<Buffer>();
  const outputs = program.outputs.map((buffer) => {
    let output = inOrder(buffer, rowMajor(buffer.type.shape), '');
    const root = rootBuffer(output);
    if (root.input !== undefined || taken.has(root) || updated.has(output) || updated.has(root)) {
      output = copyOf(output, steps);
    }
    taken.add(rootBuffer(output));
    return output;
  });
  const updates = program.updates.map(({ input, value }) => ({
    input,
    value: inOrder(value, rowMajor(value.type.shape), ''),
  }));
  return { inputs: program.inputs, steps, outputs, updates };
}

function copyOf(buffer: Buffer, steps: Step[]): Buffer {
  const copy = makeBuffer(buffer.type);
  const index = buffer.type.shape.map((_, axis) => axisIndex(axis));
  const kernel = mapNest(buffer.type.shape, load(0, buffer.type.dtype, index));
  steps.push({ name: 'copy', kernel, operands: [buffer], results: [copy], scope: '' });
  return copy;
}

/** The order of a nest's result that makes it its operand's memory; undefined if the nest does more than to reorder axes. */
function transposedOrder(nest: Nest, operand: Buffer | undefined, result: Buffer): number[] | undefined {
  const { parallel, reducers, outputs, outputIndex } = nest;
  const [e] = outputs;
  if (reducers.length > 0 || outputs.length !== 1 || outputIndex !== undefined || e.kind !== 'load') return undefined;
  if (
    operand === undefined ||
    sizeOf(operand.type.shape) !== sizeOf(parallel) ||
    operand.type.dtype !== result.type.dtype
  ) {
    return undefined;
  }
  const order: number[] = [];
  for (const dimension of operand.order) {
    const index = e.index[dimension];
    if (isIndirect(index) || index.offset !== 0 || index.divisor !== 1 || index.terms.length > 1) return undefined;
    for (const { axis, factor } of index.terms) {
      if (factor !== 1 || parallel[axis] !== operand.type.shape[dimension] || order.includes(axis)) return undefined;
      order.push(axis);
    }
    if (index.terms.length === 0 && operand.type.shape[dimension] !== 1) return undefined;
  }
  const rest = rowMajor(parallel).filter((axis) => !order.includes(axis));
  return rest.every((axis) => parallel[axis] === 1) ? [...rest, ...order] : undefined;
}

export function rowMajor(shape: Shape): number[] {
  return shape.map((_, axis) => axis);
}

/** Whether two orders put the elements at the same places: extents of one do not matter. */
export function sameOrder(shape: Shape, a: readonly number[], b: readonly number[]): boolean {
  const real = (order: readonly number[]): number[] => order.filter((axis) => shape[axis] !== 1);
  const x = real(a);
  const y = real(b);
  return x.every((axis, i) => axis === y[i]);
}

/** The order of the largest operand that is read along all dimensions of the output; one that is not row-major wins. */
function propagated(nest: Nest, operands: readonly Buffer[], shape: Shape): readonly number[] | undefined {
  const dimensionsOf = (axis: number): number[] =>
    nest.outputIndex === undefined
      ? [axis]
      : [...shape.keys()].filter((d) => nest.outputIndex?.[d].terms.some((term) => term.axis === axis));
  let best: { order: number[]; size: number } | undefined;
  const consider = (expression: Expression): void =>
    visitExpression(expression, (e) => {
      if (e.kind !== 'load') return;
      const operand = operands[e.operand];
      const order = [...new Set(axesInOrder(e.index, operand.order, nest.parallel.length).flatMap(dimensionsOf))];
      if (!shape.every((extent, axis) => extent === 1 || order.includes(axis))) return;
      const full = [...rowMajor(shape).filter((axis) => !order.includes(axis)), ...order];
      const special = sameOrder(shape, full, rowMajor(shape)) ? 0 : 1e15;
      const size = sizeOf(operand.type.shape) + special;
      if (best === undefined || size > best.size) best = { order: full, size };
    });
  expressionsOf(nest).forEach(consider);
  return best?.order;
}

/** Operands that are read more often than this are worth a copy in the order in which a kernel runs through its results. */
const READS = 2;
/** Smaller ones stay in the cache however they lie. */
const LARGE = 4096;

/** The order in which neighbouring results read neighbouring elements of an operand, where its own has them apart. */
function wantedOrder(
  nest: Nest,
  number: number,
  operand: Buffer,
  resultOrder: readonly number[],
): number[] | undefined {
  const { shape } = operand.type;
  const extents = [...nest.parallel, ...nest.reduce];
  if (nest.scatter !== undefined || sizeOf(shape) < LARGE || sizeOf(extents) < READS * sizeOf(shape)) return undefined;
  const axes = resultOrder.flatMap((dimension) =>
    nest.outputIndex === undefined
      ? [dimension]
      : [...nest.outputIndex[dimension].terms].sort((a, b) => b.factor - a.factor).map(({ axis }) => axis),
  );
  const last = axes.filter((axis) => extents[axis] > 1).at(-1);
  if (last === undefined) return undefined;
  let wanted: number[] | undefined;
  let possible = true;
  for (const e of expressionsOf(nest)) {
    visitExpression(e, (node) => {
      if (node.kind !== 'load' || node.operand !== number) return;
      const ranks = node.index.map((index) =>
        isIndirect(index) || index.terms.some(({ axis }) => axis >= nest.parallel.length)
          ? Number.NaN
          : Math.max(-1, ...index.terms.map(({ axis }) => axes.indexOf(axis))),
      );
      const order = [...operand.order].sort((a, b) => ranks[a] - ranks[b]);
      const fastest = node.index[order.filter((d) => shape[d] > 1).at(-1) ?? 0];
      const runs = !isIndirect(fastest) && fastest.terms.length === 1 && fastest.terms[0].axis === last;
      possible &&= runs && !ranks.some(Number.isNaN) && (wanted === undefined || `${order}` === `${wanted}`);
      wanted = order;
    });
  }
  return possible && wanted !== undefined && !sameOrder(shape, wanted, operand.order) ? wanted : undefined;
}

/** Output axes in the order in which the operand's memory runs through them. */
function axesInOrder(index: readonly Subscript[], order: readonly number[], axes: number): number[] {
  const found: number[] = [];
  for (const dimension of order) {
    const position = index[dimension];
    if (isIndirect(position)) continue;
    for (const { axis } of position.terms) {
      if (axis < axes && !found.includes(axis)) found.push(axis);
    }
  }
  return found;
}
