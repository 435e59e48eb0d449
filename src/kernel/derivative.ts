import { InternalError } from '../tensor/errors.js';
import { apply, constant, type Expression, visitExpression } from './expression.js';
import type { ScalarFunction } from './scalar.js';

/** A result of a kernel, and the derivative of something with respect to it. */
export interface Seeded {
  readonly value: Expression;
  readonly gradient: Expression;
}

/**
 * Reverse mode within one kernel: the derivative with respect to each of `xs`, parts of the expressions of `results` (the same objects).
 * Comparisons and whole numbers are constants, and so is what has no part of `xs` in it.
 */
export function derivatives(results: readonly Seeded[], xs: readonly Expression[]): Expression[] {
  const order: Expression[] = [];
  const seen = new Set<Expression>();
  const dependent = new Set<Expression>(xs);
  for (const { value } of results) {
    visitExpression(value, (e) => {
      if (seen.has(e)) return;
      seen.add(e);
      order.push(e);
      if (operandsOf(e).some((part) => dependent.has(part))) dependent.add(e);
    });
  }
  const totals = new Map<Expression, Expression>();
  const give = (e: Expression, gradient: Expression): void => {
    if (!dependent.has(e)) return;
    const total = totals.get(e);
    totals.set(e, total === undefined ? gradient : apply('add', total, gradient));
  };
  for (const { value, gradient } of results) give(value, gradient);
  for (const e of order.reverse()) {
    const total = totals.get(e);
    if (total === undefined || e.kind !== 'apply') continue;
    const rule = RULES[e.fn];
    if (rule === undefined) throw new InternalError(`there is no derivative of ${e.fn} within a kernel`);
    for (const [i, gradient] of rule(e.args, total, e).entries()) {
      if (gradient !== undefined) give(e.args[i], gradient);
    }
  }
  return xs.map((x) => totals.get(x) ?? constant(0, x.dtype));
}

function operandsOf(e: Expression): readonly Expression[] {
  return e.kind === 'apply' ? e.args : [];
}

type Rule = (
  args: readonly Expression[],
  gradient: Expression,
  value: Expression,
) => readonly (Expression | undefined)[];

const mul = (a: Expression, b: Expression): Expression => apply('mul', a, b);
const sub = (a: Expression, b: Expression): Expression => apply('sub', a, b);
const one = (like: Expression): Expression => constant(1, like.dtype);
const zero = (like: Expression): Expression => constant(0, like.dtype);

const RULES: Partial<Record<ScalarFunction, Rule>> = {
  neg: (_, g) => [apply('neg', g)],
  abs: ([x], g) => [
    apply('select', apply('gt', x, zero(x)), g, apply('select', apply('lt', x, zero(x)), apply('neg', g), zero(g))),
  ],
  exp: (_, g, y) => [mul(g, y)],
  expm1: (_, g, y) => [mul(g, apply('add', y, one(y)))],
  log1p: ([x], g) => [apply('div', g, apply('add', x, one(x)))],
  tanh: (_, g, y) => [mul(g, sub(one(y), mul(y, y)))],
  sigmoid: (_, g, y) => [mul(g, mul(y, sub(one(y), y)))],
  erf: ([x], g) => [mul(g, mul(constant(2 / Math.sqrt(Math.PI), x.dtype), apply('exp', apply('neg', mul(x, x)))))],
  add: (_, g) => [g, g],
  sub: (_, g) => [g, apply('neg', g)],
  mul: ([a, b], g) => [mul(g, b), mul(g, a)],
  div: ([, b], g, y) => [apply('div', g, b), apply('neg', apply('div', mul(g, y), b))],
  // At equal values the second counts: max(x, 0) is a ReLU, whose derivative at 0 is 0.
  max: ([a, b], g) => [apply('select', apply('gt', a, b), g, zero(g)), apply('select', apply('gt', a, b), zero(g), g)],
  min: ([a, b], g) => [apply('select', apply('lt', a, b), g, zero(g)), apply('select', apply('lt', a, b), zero(g), g)],
  select: ([condition], g) => [
    undefined,
    apply('select', condition, g, zero(g)),
    apply('select', condition, zero(g), g),
  ],
};
