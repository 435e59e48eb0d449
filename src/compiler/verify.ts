import { type Expression, visitExpression } from '../kernel/expression.js';
import { invariant } from '../tensor/errors.js';
import { formatType, sameShape, sizeOf } from '../tensor/shape.js';
import { type Buffer, rootBuffer, type Step, type Steps } from './steps.js';

/** Checks the invariants that every pass over steps must keep; `after` names the pass in the message. */
export function verifySteps(program: Steps, after: string): void {
  const defined = new Set<Buffer>(program.inputs);
  for (const step of program.steps) {
    const where = `after ${after}: ${step.name}`;
    for (const operand of step.operands) {
      invariant(defined.has(operand) || defined.has(rootBuffer(operand)), `${where} reads what no step wrote yet`);
    }
    for (const result of step.results) {
      invariant(!defined.has(result), `${where} writes a ${formatType(result.type)} that was written before`);
      const { order } = result;
      invariant(
        new Set(order).size === result.type.shape.length && order.length === result.type.shape.length,
        `${where}: [${order}] is no order of ${formatType(result.type)}`,
      );
      defined.add(result);
    }
    verifyKernel(step, where);
  }
  for (const buffer of [...program.outputs, ...program.updates.map((update) => update.value)]) {
    invariant(defined.has(buffer) || defined.has(rootBuffer(buffer)), `after ${after}: a result is never written`);
  }
}

function verifyKernel({ kernel, operands, results }: Step, where: string): void {
  const check = (expression: Expression): void =>
    visitExpression(expression, (e) => {
      if (e.kind !== 'load') return;
      const operand = operands[e.operand];
      invariant(operand !== undefined, `${where} loads operand ${e.operand} of ${operands.length}`);
      invariant(
        e.index.length === operand.type.shape.length && e.dtype === operand.type.dtype,
        `${where} loads ${e.dtype} at ${e.index.length} indices from ${formatType(operand.type)}`,
      );
    });
  if (kernel.kind === 'nest') {
    for (const reducer of kernel.reducers) check(reducer.body);
    kernel.outputs.forEach(check);
    invariant(kernel.outputs.length === results.length, `${where} has ${results.length} results`);
    results.forEach((result, i) => {
      const { shape, dtype } = result.type;
      invariant(
        kernel.outputs[i].dtype === dtype,
        `${where}: result ${i} is ${dtype}, computed as ${kernel.outputs[i].dtype}`,
      );
      invariant(
        kernel.outputIndex === undefined
          ? sameShape(kernel.parallel, shape)
          : kernel.outputIndex.length === shape.length && sizeOf(kernel.parallel) === sizeOf(shape),
        `${where}: loops over [${kernel.parallel}] do not fill ${formatType(result.type)}`,
      );
    });
  } else if (kernel.kind === 'tile') {
    check(kernel.epilogue);
    for (const { filter } of kernel.phases)
      invariant(operands[filter] !== undefined, `${where} lacks filter ${filter}`);
  }
}
