import { constant, type Expression, rewriteExpression } from '../kernel/expression.js';
import { Interner } from '../kernel/intern.js';
import { rewriteNest } from '../kernel/nest.js';
import { castValue, evaluateScalar, roundTo } from '../kernel/scalar.js';
import type { Step, Steps } from './steps.js';

/**
 * Folds constants, drops operations without effect, and makes equal parts of a kernel one. Floating-point results stay the same but
 * for the sign of zero.
 */
export function simplify(program: Steps): Steps {
  return { ...program, steps: program.steps.map(simplifyStep) };
}

/** Steps that this leaves as they are. */
const simple = new WeakSet<Step>();

/** The step itself where there is nothing to do. */
export function simplifyStep(step: Step): Step {
  const { kernel } = step;
  if (simple.has(step) || (kernel.kind !== 'nest' && kernel.kind !== 'tile')) return step;
  const interner = new Interner();
  let changed = false;
  const rewrite = (e: Expression): Expression => {
    const result = simplifyExpression(e, interner);
    changed ||= result !== e;
    return result;
  };
  const now = kernel.kind === 'nest' ? rewriteNest(kernel, rewrite) : { ...kernel, epilogue: rewrite(kernel.epilogue) };
  const result = changed ? { ...step, kernel: now } : step;
  simple.add(result);
  return result;
}

export function simplifyExpression(expression: Expression, interner: Interner = new Interner()): Expression {
  return rewriteExpression(expression, (e) => interner.add(simplified(e)));
}

function simplified(e: Expression): Expression {
  if (e.kind === 'cast' && e.arg.kind === 'constant') return constant(castValue(e.dtype, e.arg.value), e.dtype);
  if (e.kind === 'guard' && same(e.inside, e.otherwise)) return e.inside;
  if (e.kind !== 'apply') return e;
  if (e.args.every((arg) => arg.kind === 'constant')) {
    const values = e.args.map((arg) => (arg.kind === 'constant' ? arg.value : Number.NaN));
    const value = evaluateScalar(e.fn, e.args[e.args.length - 1].dtype, ...values);
    return constant(roundTo(e.dtype, value), e.dtype);
  }
  const [a, b, c] = e.args;
  switch (e.fn) {
    case 'add':
      return isConstant(a, 0) ? b : isConstant(b, 0) ? a : e;
    case 'sub':
      return isConstant(b, 0) ? a : e;
    case 'mul':
      return isConstant(a, 1) ? b : isConstant(b, 1) ? a : e;
    case 'div':
      return isConstant(b, 1) ? a : e;
    case 'select':
      return a.kind === 'constant' ? (a.value !== 0 ? b : c) : same(b, c) ? b : e;
    default:
      return e;
  }
}

function isConstant(e: Expression, value: number): boolean {
  return e.kind === 'constant' && e.value === value;
}

function same(a: Expression, b: Expression): boolean {
  return (
    a === b || (a.kind === 'constant' && b.kind === 'constant' && a.dtype === b.dtype && Object.is(a.value, b.value))
  );
}
