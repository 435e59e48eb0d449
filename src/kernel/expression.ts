import type { DType } from '../tensor/dtype.js';
import type { Shape } from '../tensor/shape.js';
import { type ScalarFunction, scalarResult } from './scalar.js';

/** `factor · axis` */
export interface Term {
  readonly axis: number;
  readonly factor: number;
}

/**
 * A position along one dimension of an operand: (offset + Σ factor · axis) / divisor. With a divisor above one, the
 * position exists only where the division has no remainder; it must then stand under a guard that checks it.
 */
export interface Index {
  readonly terms: readonly Term[];
  readonly offset: number;
  readonly divisor: number;
}

/**
 * A position that is itself a value (i32): the nearest of 0 … extent − 1, so that no value leads outside of the operand.
 * `extent` is at most the operand's.
 */
export interface IndirectIndex {
  readonly value: Expression;
  readonly extent: number;
}

/** A position along one dimension of an operand that is read. */
export type Subscript = Index | IndirectIndex;

/** `index` exists and 0 ≤ index < extent. */
export interface Check {
  readonly index: Index;
  readonly extent: number;
}

/**
 * What one element of a kernel's result is, over the axes of its nest. `load` names an operand of the kernel by number
 * and one index for each of its dimensions; affine ones must be in range wherever it is evaluated. `guard` evaluates
 * `inside` only where all checks hold.
 */
export type Expression =
  | { readonly kind: 'load'; readonly operand: number; readonly index: readonly Subscript[]; readonly dtype: DType }
  | { readonly kind: 'constant'; readonly value: number; readonly dtype: DType }
  | { readonly kind: 'axis'; readonly index: Index; readonly dtype: 'i32' }
  | {
      readonly kind: 'apply';
      readonly fn: ScalarFunction;
      readonly args: readonly Expression[];
      readonly dtype: DType;
    }
  | { readonly kind: 'cast'; readonly arg: Expression; readonly dtype: DType }
  | {
      readonly kind: 'guard';
      readonly checks: readonly Check[];
      readonly inside: Expression;
      readonly otherwise: Expression;
      readonly dtype: DType;
    }
  /** A reducer's result, in the outputs of a nest only; `index` is the position that `argmax` found. */
  | { readonly kind: 'reduced'; readonly reducer: number; readonly part: 'value' | 'index'; readonly dtype: DType };

export function axisIndex(axis: number, factor = 1, offset = 0): Index {
  return { terms: [{ axis, factor }], offset, divisor: 1 };
}

export function constantIndex(offset: number): Index {
  return { terms: [], offset, divisor: 1 };
}

/** Sums terms of one axis and drops zeros, so that equal indices look equal. */
export function makeIndex(terms: readonly Term[], offset: number, divisor = 1): Index {
  const factors = new Map<number, number>();
  for (const { axis, factor } of terms) factors.set(axis, (factors.get(axis) ?? 0) + factor);
  const sorted = [...factors].filter(([, factor]) => factor !== 0).sort((a, b) => a[0] - b[0]);
  return { terms: sorted.map(([axis, factor]) => ({ axis, factor })), offset, divisor };
}

export function indirectIndex(value: Expression, extent: number): IndirectIndex {
  return { value, extent };
}

export function isIndirect(index: Subscript): index is IndirectIndex {
  return 'value' in index;
}

/** The position that an indirect index names, as a value. */
export function indirectPosition({ value, extent }: IndirectIndex): Expression {
  return apply('min', apply('max', value, constant(0, 'i32')), constant(extent - 1, 'i32'));
}

export function load(operand: number, dtype: DType, index: readonly Subscript[]): Expression {
  return { kind: 'load', operand, index, dtype };
}

/** Loads operand `operand` of shape `shape` at the output position, broadcast as in NumPy to `rank` axes. */
export function loadBroadcast(operand: number, dtype: DType, shape: Shape, rank: number): Expression {
  const skip = rank - shape.length;
  const index = shape.map((extent, i) => (extent === 1 ? constantIndex(0) : axisIndex(skip + i)));
  return load(operand, dtype, index);
}

export function constant(value: number, dtype: DType): Expression {
  return { kind: 'constant', value, dtype };
}

export function axisValue(index: Index): Expression {
  return { kind: 'axis', index, dtype: 'i32' };
}

export function apply(fn: ScalarFunction, ...args: Expression[]): Expression {
  return {
    kind: 'apply',
    fn,
    args,
    dtype: scalarResult(
      fn,
      args.map((arg) => arg.dtype),
    ),
  };
}

export function cast(dtype: DType, arg: Expression): Expression {
  return arg.dtype === dtype ? arg : { kind: 'cast', arg, dtype };
}

export function guard(checks: readonly Check[], inside: Expression, otherwise: Expression): Expression {
  const needed = checks.filter(({ index, extent }) => {
    const known = index.terms.length === 0 && index.divisor === 1;
    return !(known && index.offset >= 0 && index.offset < extent);
  });
  return needed.length === 0 ? inside : { kind: 'guard', checks: needed, inside, otherwise, dtype: inside.dtype };
}

export function reduced(reducer: number, dtype: DType, part: 'value' | 'index' = 'value'): Expression {
  return { kind: 'reduced', reducer, part, dtype };
}

/**
 * Rebuilds an expression bottom-up; `visit` returns a replacement for a node whose children were already rebuilt.
 * Shared parts (expressions are directed acyclic graphs) are visited once and stay shared.
 */
export function rewriteExpression(expression: Expression, visit: (e: Expression) => Expression): Expression {
  const done = new Map<Expression, Expression>();
  const rewrite = (e: Expression): Expression => {
    let result = done.get(e);
    if (result === undefined) {
      result = visit(rebuild(e));
      done.set(e, result);
    }
    return result;
  };
  const rebuild = (e: Expression): Expression => {
    switch (e.kind) {
      case 'load': {
        if (!e.index.some(isIndirect)) return e;
        const index = e.index.map((i) => {
          if (!isIndirect(i)) return i;
          const value = rewrite(i.value);
          return value === i.value ? i : { ...i, value };
        });
        return index.every((i, d) => i === e.index[d]) ? e : { ...e, index };
      }
      case 'apply': {
        const args = e.args.map(rewrite);
        return args.every((arg, i) => arg === e.args[i]) ? e : { ...e, args };
      }
      case 'cast': {
        const arg = rewrite(e.arg);
        return arg === e.arg ? e : { ...e, arg };
      }
      case 'guard': {
        const inside = rewrite(e.inside);
        const otherwise = rewrite(e.otherwise);
        return inside === e.inside && otherwise === e.otherwise ? e : { ...e, inside, otherwise };
      }
      default:
        return e;
    }
  };
  return rewrite(expression);
}

/** Visits every node once, children first. */
export function visitExpression(expression: Expression, visit: (e: Expression) => void): void {
  const seen = new Set<Expression>();
  const walk = (e: Expression): void => {
    if (seen.has(e)) return;
    seen.add(e);
    switch (e.kind) {
      case 'load':
        for (const index of e.index) if (isIndirect(index)) walk(index.value);
        break;
      case 'apply':
        for (const arg of e.args) walk(arg);
        break;
      case 'cast':
        walk(e.arg);
        break;
      case 'guard':
        walk(e.inside);
        walk(e.otherwise);
        break;
      default:
    }
    visit(e);
  };
  walk(expression);
}

/**
 * Replaces axis `i` by `replacements[i]` in an index; a replacement must be affine of divisor one unless it takes the place
 * of the whole index (one term of factor one). Returns undefined where that does not hold.
 */
export function substituteIndex(index: Index, replacements: readonly Index[]): Index | undefined;
export function substituteIndex(index: Index, replacements: readonly Subscript[]): Subscript | undefined;
export function substituteIndex(index: Index, replacements: readonly Subscript[]): Subscript | undefined {
  if (index.terms.length === 1 && index.terms[0].factor === 1 && index.offset === 0 && index.divisor === 1) {
    return replacements[index.terms[0].axis];
  }
  const terms: Term[] = [];
  let offset = index.offset;
  for (const { axis, factor } of index.terms) {
    const r = replacements[axis];
    if (isIndirect(r) || r.divisor !== 1) return undefined;
    offset += factor * r.offset;
    for (const term of r.terms) terms.push({ axis: term.axis, factor: term.factor * factor });
  }
  return makeIndex(terms, offset, index.divisor);
}

/** `substituteIndex` over a whole expression: in loads, axis values and checks. Checks take affine replacements only. */
export function substituteAxes(expression: Expression, replacements: readonly Subscript[]): Expression | undefined {
  let possible = true;
  const replace = (index: Index): Subscript => {
    const replaced = substituteIndex(index, replacements);
    if (replaced === undefined) possible = false;
    return replaced ?? index;
  };
  const replaceAffine = (index: Index): Index => {
    const replaced = replace(index);
    if (!isIndirect(replaced)) return replaced;
    possible = false;
    return index;
  };
  const result = rewriteExpression(expression, (e) => {
    switch (e.kind) {
      case 'load':
        return { ...e, index: e.index.map((i) => (isIndirect(i) ? i : replace(i))) };
      case 'axis': {
        const index = replace(e.index);
        return isIndirect(index) ? indirectPosition(index) : { ...e, index };
      }
      case 'guard':
        return { ...e, checks: e.checks.map((c) => ({ ...c, index: replaceAffine(c.index) })) };
      default:
        return e;
    }
  });
  return possible ? result : undefined;
}

export function countOperations(expression: Expression): number {
  let count = 0;
  visitExpression(expression, (e) => {
    if (e.kind === 'apply') count += EXPENSIVE.has(e.fn) ? 20 : 1;
    if (e.kind === 'guard') count += 1;
  });
  return count;
}

const EXPENSIVE: ReadonlySet<ScalarFunction> = new Set<ScalarFunction>([
  'exp',
  'expm1',
  'log',
  'log1p',
  'tanh',
  'sigmoid',
  'erf',
  'sin',
  'cos',
  'pow',
]);

/** `max($0[a0, a1], 0)`, for people; deep expressions are cut short. */
export function printExpression(e: Expression, depth = 8): string {
  if (depth === 0) return '…';
  const print = (child: Expression): string => printExpression(child, depth - 1);
  switch (e.kind) {
    case 'load':
      return `$${e.operand}[${e.index.map((i) => (isIndirect(i) ? `⟨${print(i.value)}⟩` : printIndex(i))).join(', ')}]`;
    case 'constant':
      return `${e.value}`;
    case 'axis':
      return printIndex(e.index);
    case 'apply':
      return `${e.fn}(${e.args.map(print).join(', ')})`;
    case 'cast':
      return `${e.dtype}(${print(e.arg)})`;
    case 'guard': {
      const checks = e.checks.map((c) => `0≤${printIndex(c.index)}<${c.extent}`).join(' ∧ ');
      return `(${checks} ? ${print(e.inside)} : ${print(e.otherwise)})`;
    }
    case 'reduced':
      return e.part === 'index' ? `r${e.reducer}.index` : `r${e.reducer}`;
  }
}

export function printIndex(index: Index): string {
  const parts = index.terms.map(({ axis, factor }) => (factor === 1 ? `a${axis}` : `${factor}·a${axis}`));
  if (index.offset !== 0 || parts.length === 0) parts.push(`${index.offset}`);
  const sum = parts.join('+').replaceAll('+-', '−');
  return index.divisor === 1 ? sum : `(${sum})/${index.divisor}`;
}
