import type { Expression } from '../../kernel/expression.js';
import type { DType } from '../../tensor/dtype.js';
import { InternalError, invariant } from '../../tensor/errors.js';
import type { Comparison, Register, VectorMachine } from './machine.js';
import { emitPow, emitUnary } from './math.js';

type Kind<K extends Expression['kind']> = Extract<Expression, { kind: K }>;

/** Where expressions get what depends on the surrounding loops. Registers are all wide, or all scalar. */
export interface Environment {
  readonly machine: VectorMachine;
  readonly wide: boolean;
  load(e: Kind<'load'>, scope: Scope): Register;
  /** i32 */
  axis(e: Kind<'axis'>): Register;
  reduced(e: Kind<'reduced'>): Register;
  /** Whether all checks of the guard hold: a scalar mask, or known when code is generated. */
  condition(e: Kind<'guard'>): Register | boolean;
}

/** Values already computed; a guard's inside has a scope of its own, since it runs only sometimes. */
export class Scope {
  readonly #values = new Map<Expression, Register>();
  readonly #outer: Scope | undefined;
  #scalars: Scope | undefined;

  constructor(outer?: Scope) {
    this.#outer = outer;
  }

  /** Values that are the same in all lanes, computed once as scalars. */
  get scalars(): Scope {
    this.#scalars ??= new Scope(this.#outer?.scalars);
    return this.#scalars;
  }

  get(e: Expression): Register | undefined {
    return this.#values.get(e) ?? this.#outer?.get(e);
  }

  set(e: Expression, register: Register): void {
    this.#values.set(e, register);
  }
}

/** Emits the computation of `e`. f32 and i32 (also u8) values are registers of that kind, bool values are masks. */
export function emitExpression(e: Expression, environment: Environment, scope: Scope): Register {
  const known = scope.get(e);
  if (known !== undefined) return known;
  const result = emit(e, environment, scope);
  scope.set(e, result);
  return result;
}

function emit(e: Expression, environment: Environment, scope: Scope): Register {
  const { machine: m, wide } = environment;
  switch (e.kind) {
    case 'constant':
      return emitConstant(m, e.value, e.dtype, wide);
    case 'load':
      return environment.load(e, scope);
    case 'axis':
      return environment.axis(e);
    case 'reduced':
      return environment.reduced(e);
    case 'cast':
      return emitCast(m, emitExpression(e.arg, environment, scope), e.arg.dtype, e.dtype, wide);
    case 'apply': {
      const args = e.args.map((arg) => emitExpression(arg, environment, scope));
      return emitApply(m, e, args);
    }
    case 'guard': {
      const condition = environment.condition(e);
      if (typeof condition === 'boolean') {
        return emitExpression(condition ? e.inside : e.otherwise, environment, scope);
      }
      // A mask cannot be assigned conditionally on every machine: such values travel as 0 or 1.
      const bool = e.dtype === 'bool';
      const enter = (value: Register): Register => (bool ? m.maskToInt(value) : value);
      const result = m.copy(enter(emitExpression(e.otherwise, environment, scope)));
      m.when(condition, () => {
        m.set(result, enter(emitExpression(e.inside, environment, new Scope(scope))));
      });
      return bool ? toMask(m, result) : result;
    }
  }
}

export function emitConstant(m: VectorMachine, value: number, dtype: DType, wide: boolean): Register {
  if (dtype === 'bool') return toMask(m, m.constant('i32', value, wide));
  return m.constant(dtype === 'f32' ? 'f32' : 'i32', value, wide);
}

/** i32 → mask: not zero. */
export function toMask(m: VectorMachine, value: Register): Register {
  return m.compare('ne', value, m.constant('i32', 0, value.wide));
}

function emitCast(m: VectorMachine, value: Register, from: DType, to: DType, wide: boolean): Register {
  if (to === 'bool') {
    return from === 'f32' ? m.compare('ne', value, m.constant('f32', 0, wide)) : toMask(m, value);
  }
  const integer = from === 'bool' ? m.maskToInt(value) : value;
  if (to === 'f32') return from === 'f32' ? value : m.convert('f32', integer);
  const i32 = from === 'f32' ? m.convert('i32', value) : integer;
  if (to === 'u8' && from !== 'u8' && from !== 'bool') {
    const low = m.binary('max', i32, m.constant('i32', 0, wide));
    return m.binary('min', low, m.constant('i32', 255, wide));
  }
  return i32;
}

const COMPARISONS: ReadonlySet<string> = new Set<Comparison>(['eq', 'ne', 'lt', 'le', 'gt', 'ge']);

function emitApply(m: VectorMachine, e: Kind<'apply'>, args: readonly Register[]): Register {
  const [a, b, c] = args;
  const operandType = e.args[0].dtype;
  if (COMPARISONS.has(e.fn)) {
    const integer = operandType === 'bool' ? args.map((arg) => m.maskToInt(arg)) : args;
    return m.compare(e.fn as Comparison, integer[0], integer[1]);
  }
  switch (e.fn) {
    case 'neg':
    case 'abs':
    case 'sqrt':
    case 'floor':
    case 'ceil':
    case 'trunc':
    case 'round':
    case 'not':
      return m.unary(e.fn, a);
    case 'exp':
    case 'expm1':
    case 'log':
    case 'log1p':
    case 'tanh':
    case 'sigmoid':
    case 'erf':
    case 'sin':
    case 'cos':
      return emitUnary(m, e.fn, a);
    case 'pow':
      return emitPow(m, a, b);
    case 'add':
    case 'sub':
    case 'mul':
    case 'div':
    case 'min':
    case 'max':
    case 'and':
    case 'or':
      return m.binary(e.fn, a, b);
    case 'bitxor':
      return m.binary('xor', a, b);
    case 'bitor':
      return m.binary('or', a, b);
    case 'shl':
    case 'shr': {
      const bits = e.args[1];
      invariant(bits.kind === 'constant', () => `${e.fn}: the number of bits must be a constant`);
      return m.shift(e.fn, a, bits.value);
    }
    case 'select':
      if (e.dtype !== 'bool') return m.select(a, b, c);
      return toMask(m, m.select(a, m.maskToInt(b), m.maskToInt(c)));
    default:
      throw new InternalError(`no code for ${e.fn}`);
  }
}
