import { type Expression, type Index, isIndirect, rewriteExpression, visitExpression } from '../kernel/expression.js';
import { expressionsOf, rewriteNest } from '../kernel/kernel.js';
import { ownOperands } from '../kernel/tile.js';
import { type Buffer, makeBuffer, type Step, type Steps } from './steps.js';

/**
 * What all loads of an operand skip of it becomes part of its address: the operand is then a box of the buffer. So kernels that
 * differ in where they begin to read, as those of the steps of a recurrent layer do, are the same code.
 */
export function moveOffsets(program: Steps): Steps {
  return { ...program, steps: program.steps.map(moveStep) };
}

function moveStep(step: Step): Step {
  const { kernel } = step;
  if (kernel.kind !== 'nest' && kernel.kind !== 'tile') return step;
  const expressions = kernel.kind === 'nest' ? expressionsOf(kernel) : [kernel.epilogue];
  const own = kernel.kind === 'tile' ? ownOperands(kernel) : 0;
  const extents = kernel.kind === 'nest' ? [...kernel.parallel, ...kernel.reduce] : step.results[0].type.shape;
  const boxes = step.operands.map((operand, i) => (i < own ? undefined : boxRead(expressions, i, operand, extents)));
  if (boxes.every((box) => box === undefined)) return step;
  const operands = step.operands.map((operand, i) => boxes[i] ?? operand);
  const moved = (expression: Expression): Expression =>
    rewriteExpression(expression, (e) => {
      if (e.kind !== 'load') return e;
      const start = boxes[e.operand]?.within?.start;
      if (start === undefined) return e;
      return { ...e, index: e.index.map((i, d) => (isIndirect(i) ? i : { ...i, offset: i.offset - start[d] })) };
    });
  const next = kernel.kind === 'nest' ? rewriteNest(kernel, moved) : { ...kernel, epilogue: moved(kernel.epilogue) };
  return { ...step, kernel: next, operands };
}

/** The part of a buffer that a kernel reads, where that does not begin at the buffer's beginning. */
function boxRead(
  expressions: readonly Expression[],
  operand: number,
  buffer: Buffer,
  extents: readonly number[],
): Buffer | undefined {
  const { shape, dtype } = buffer.type;
  const from = [...shape];
  const to = shape.map(() => 0);
  for (const expression of expressions) {
    visitExpression(expression, (e) => {
      if (e.kind !== 'load' || e.operand !== operand) return;
      for (const [d, index] of e.index.entries()) {
        const [low, high] = isIndirect(index) ? [0, shape[d] - 1] : rangeOf(index, extents);
        from[d] = Math.min(from[d], low);
        to[d] = Math.max(to[d], high + 1);
      }
    });
  }
  const start = from.map((low, d) => (low < 0 || low >= shape[d] ? 0 : low));
  if (start.every((at) => at === 0)) return undefined;
  const box = makeBuffer({ dtype, shape: start.map((at, d) => Math.min(to[d], shape[d]) - at) });
  box.order = buffer.order;
  box.within = { buffer, start };
  return box;
}

/** The least and the largest position; those under a guard may lie outside of the operand. */
function rangeOf({ terms, offset, divisor }: Index, extents: readonly number[]): readonly [number, number] {
  if (divisor !== 1) return [0, Number.POSITIVE_INFINITY];
  let [low, high] = [offset, offset];
  for (const { axis, factor } of terms) {
    const reach = factor * (extents[axis] - 1);
    low += Math.min(0, reach);
    high += Math.max(0, reach);
  }
  return [low, high];
}
