import { type Expression, rewriteExpression, visitExpression } from '../kernel/expression.js';
import { expressionsOf, type Nest, rewriteNest } from '../kernel/kernel.js';
import { ownOperands } from '../kernel/tile.js';
import { escaping, type Step, type Steps } from './steps.js';

/** Drops steps whose results nobody reads, and such results of other steps. */
export function removeDeadSteps(program: Steps): Steps {
  const live = escaping(program);
  const steps: Step[] = [];
  for (let i = program.steps.length - 1; i >= 0; i--) {
    const original = program.steps[i];
    const needed = original.results.map((result) => live.has(result));
    if (!needed.includes(true)) continue;
    const step = needed.includes(false) && original.kernel.kind === 'nest' ? keepResults(original, needed) : original;
    steps.push(step);
    for (const operand of step.operands) live.add(operand);
  }
  return { ...program, steps: steps.reverse() };
}

/** A nest with these of its results, and with what they need. The position of a maximum that nobody asks for is not looked for. */
export function keepResults(step: Step, keep: readonly boolean[]): Step {
  const nest = step.kernel as Nest;
  const outputs = nest.outputs.filter((_, i) => keep[i]);
  const values = new Set<number>();
  const positions = new Set<number>();
  for (const output of outputs) {
    visitExpression(output, (e) => {
      if (e.kind === 'reduced') (e.part === 'index' ? positions : values).add(e.reducer);
    });
  }
  const used = nest.reducers.map((_, r) => values.has(r) || positions.has(r));
  const numbers = nest.reducers.map((_, r) => used.slice(0, r).filter(Boolean).length);
  const renumber = (expression: Expression): Expression =>
    rewriteExpression(expression, (e) => (e.kind === 'reduced' ? { ...e, reducer: numbers[e.reducer] } : e));
  const kernel: Nest = {
    ...nest,
    reducers: nest.reducers.flatMap((reducer, r) => {
      if (!used[r]) return [];
      return reducer.kind === 'argmax' && !positions.has(r) ? [{ ...reducer, kind: 'max' as const }] : [reducer];
    }),
    outputs: outputs.map(renumber),
  };
  const reduce = kernel.reducers.length > 0 ? kernel.reduce : [];
  const results = step.results.filter((_, i) => keep[i]);
  return dropUnusedOperands({ ...step, kernel: { ...kernel, reduce }, results });
}

/** Renumbers loads after an operand is no longer read. */
export function dropUnusedOperands(step: Step): Step {
  const { kernel } = step;
  if (kernel.kind !== 'nest' && kernel.kind !== 'tile') return step;
  const used = new Set<number>();
  const collect = (expression: Expression): void =>
    visitExpression(expression, (e) => {
      if (e.kind === 'load') used.add(e.operand);
    });
  const fixed = kernel.kind === 'tile' ? ownOperands(kernel) : 0;
  for (let i = 0; i < fixed; i++) used.add(i);
  if (kernel.kind === 'nest') {
    expressionsOf(kernel).forEach(collect);
  } else {
    collect(kernel.epilogue);
  }
  if (used.size === step.operands.length) return step;
  const numbers = new Map<number, number>();
  const kept = step.operands.filter((_, i) => used.has(i) && numbers.set(i, numbers.size));
  const renumber = (expression: Expression): Expression =>
    rewriteExpression(expression, (e) => (e.kind === 'load' ? { ...e, operand: numbers.get(e.operand) as number } : e));
  const orders = step.operandOrders?.filter((_, i) => used.has(i));
  const next =
    kernel.kind === 'nest' ? rewriteNest(kernel, renumber) : { ...kernel, epilogue: renumber(kernel.epilogue) };
  return { ...step, kernel: next, operands: kept, operandOrders: orders };
}
