import { type Expression, type Index, indirectPosition, isIndirect, visitExpression } from '../../kernel/expression.js';
import { DTYPES, type DType } from '../../tensor/dtype.js';
import { type Environment, emitExpression, Scope, toMask } from './expression.js';
import { addIndex, type Form, type FormValues, makeForm } from './form.js';
import type { Register, VectorMachine } from './machine.js';

/** Memory of an operand or result: strides in elements, one for each dimension. */
export interface View {
  readonly dtype: DType;
  readonly strides: readonly number[];
}

export type LoadNode = Extract<Expression, { kind: 'load' }>;
export type GuardNode = Extract<Expression, { kind: 'guard' }>;
type AxisNode = Extract<Expression, { kind: 'axis' }>;

export interface CheckForm {
  readonly form: Form;
  readonly divisor: number;
  readonly extent: number;
}

export interface Quotient {
  readonly form: Form;
  readonly divisor: number;
  readonly stride: number;
}

/** A position that is a value, and the elements between neighbouring positions. */
export interface Indirection {
  /** i32, inside of the operand */
  readonly position: Expression;
  readonly stride: number;
}

export interface LoadAddress {
  readonly form: Form;
  readonly quotients: readonly Quotient[];
  readonly indirections: readonly Indirection[];
}

/** What the nodes of a kernel's expressions need from the loops. */
export interface Analysis {
  readonly loads: Map<LoadNode, LoadAddress>;
  readonly guards: Map<GuardNode, readonly CheckForm[]>;
  readonly axes: Map<AxisNode, { readonly form: Form; readonly divisor: number }>;
  readonly forms: readonly Form[];
  /** Takes in a form of the kernel's own; equal forms are one. */
  share(form: Form): Form;
}

/** Resolves the loads, guards and positions of `expressions` against the memory of the operands. */
export function analyseExpressions(
  expressions: readonly Expression[],
  axisCount: number,
  operands: readonly View[],
): Analysis {
  const unique = new Map<string, Form>();
  const forms: Form[] = [];
  const share = (form: Form): Form => {
    const key = `${form.factors}|${form.offset}|${form.bytes}|${form.pointer}`;
    const found = unique.get(key);
    if (found !== undefined) return found;
    unique.set(key, form);
    forms.push(form);
    return form;
  };
  const number = (index: Index): Form => {
    const form = makeForm(axisCount);
    addIndex(form, index);
    return share(form);
  };
  const loads: Analysis['loads'] = new Map();
  const guards: Analysis['guards'] = new Map();
  const axes: Analysis['axes'] = new Map();
  const visit = (e: Expression): void => {
    if (e.kind === 'load') {
      const { dtype, strides } = operands[e.operand];
      const form = makeForm(axisCount, DTYPES[dtype].bytes, e.operand);
      const quotients: Quotient[] = [];
      const indirections: Indirection[] = [];
      e.index.forEach((index, d) => {
        if (isIndirect(index)) indirections.push({ position: indirectPosition(index), stride: strides[d] });
        else if (index.divisor === 1) addIndex(form, index, strides[d]);
        else quotients.push({ form: number(index), divisor: index.divisor, stride: strides[d] });
      });
      loads.set(e, { form: share(form), quotients, indirections });
    } else if (e.kind === 'guard') {
      guards.set(
        e,
        e.checks.map(({ index, extent }) => ({ form: number(index), divisor: index.divisor, extent })),
      );
    } else if (e.kind === 'axis') {
      axes.set(e, { form: number(e.index), divisor: e.index.divisor });
    }
  };
  for (const expression of expressions) visitExpression(expression, visit);
  return { loads, guards, axes, forms, share };
}

/** Whether `expression` may differ along the loop over `axis`. What was reduced is taken to differ along every loop. */
export function variesAlong(analysis: Analysis, expression: Expression, axis: number): boolean {
  let varies = false;
  const moves = (form: Form): boolean => form.factors[axis] !== 0;
  visitExpression(expression, (e) => {
    if (e.kind === 'load') {
      const { form, quotients } = analysis.loads.get(e) as LoadAddress;
      varies ||= moves(form) || quotients.some((q) => moves(q.form));
    } else if (e.kind === 'axis') {
      varies ||= moves((analysis.axes.get(e) as { form: Form }).form);
    } else if (e.kind === 'guard') {
      varies ||= (analysis.guards.get(e) as readonly CheckForm[]).some((check) => moves(check.form));
    } else {
      varies ||= e.kind === 'reduced';
    }
  });
  return varies;
}

/** A reducer's result: its value and, for argmax, the position. */
export interface Reduced {
  readonly value: Register;
  readonly index: Register | undefined;
}

/** What was already computed further out. */
export interface Known {
  readonly conditions: ReadonlyMap<GuardNode, Register | boolean>;
  /** What all indirections of a load add to its address. */
  readonly displacements: ReadonlyMap<LoadNode, Register>;
}

export interface Place extends Partial<Known> {
  readonly values: FormValues;
  /** The axis along which registers are wide; undefined for scalars. */
  readonly vectorAxis: number | undefined;
  /** Lanes that lie inside the tensor. */
  readonly count: number;
  /** What is added to a form at this place, in its units. */
  extra(form: Form): number;
  /** Elements from a form's value at the first lane to those at all lanes, where they are no multiples of its factor along `vectorAxis`. */
  readonly apart?: (form: Form) => readonly number[] | undefined;
  /** A wide load that was made otherwise, if this one was. */
  readonly loaded?: (node: LoadNode, form: Form) => Register | undefined;
  readonly sums?: readonly Reduced[];
}

/** Loads, positions and conditions for expressions evaluated at one place of the loops. */
export function loopEnvironment(m: VectorMachine, analysis: Analysis, place: Place): Environment {
  const { values, vectorAxis, count, extra } = place;
  const wide = vectorAxis !== undefined;
  const step = (form: Form): number => (vectorAxis === undefined ? 0 : form.factors[vectorAxis]);
  const apart = (form: Form): readonly number[] | undefined => (wide ? place.apart?.(form) : undefined);
  const environment: Environment = {
    machine: m,
    wide,
    load: (e, scope) => {
      const { form, quotients, indirections } = analysis.loads.get(e) as LoadAddress;
      const loaded = wide ? place.loaded?.(e, form) : undefined;
      if (loaded !== undefined) return loaded;
      let [address, offset] = values.address(form, extra(form));
      for (const q of quotients) {
        const quotient = divideExact(m, values.value(q.form, extra(q.form)), q.divisor);
        address = m.binary('add', address, m.binary('mul', quotient, m.constant('i32', q.stride * form.bytes)));
      }
      // Positions that differ between lanes make a displacement for each.
      let displacements: Register | undefined;
      const known = place.displacements?.get(e);
      if (known !== undefined) {
        address = m.binary('add', address, known);
      } else {
        for (const { position, stride } of indirections) {
          const spread = vectorAxis !== undefined && variesAlong(analysis, position, vectorAxis);
          const at =
            wide && !spread
              ? emitExpression(
                  position,
                  loopEnvironment(m, analysis, { ...place, vectorAxis: undefined }),
                  scope.scalars,
                )
              : emitExpression(position, environment, scope);
          const bytes = m.binary('mul', at, m.constant('i32', stride * form.bytes, at.wide));
          if (!spread) address = m.binary('add', address, bytes);
          else displacements = displacements === undefined ? bytes : m.binary('add', displacements, bytes);
        }
      }
      if (!wide) return loadAs(m, e.dtype, false, address, offset, 1);
      const factor = step(form);
      const steps = apart(form);
      if (displacements === undefined && steps === undefined) {
        if (factor === 1) return loadAs(m, e.dtype, true, address, offset, count);
        if (factor === 0) return splatAs(m, e.dtype, address, offset);
      }
      if (factor < 0 || steps?.some((n) => n < 0)) {
        address = m.binary('add', address, m.constant('i32', offset));
        offset = 0;
      }
      const lanes = Array.from({ length: m.lanes }, (_, lane) => {
        const from = displacements === undefined ? address : m.binary('add', address, m.lane(displacements, lane));
        // Lanes beyond the end read the last element again.
        const last = Math.min(lane, count - 1);
        const at = offset + (steps?.[last] ?? last * factor) * form.bytes;
        return at >= 0
          ? loadElement(m, e.dtype, from, at)
          : loadElement(m, e.dtype, m.binary('add', from, m.constant('i32', at)), 0);
      });
      const gathered = m.gather(lanes);
      return e.dtype === 'bool' ? toMask(m, gathered) : gathered;
    },
    axis: (e) => {
      const { form, divisor } = analysis.axes.get(e) as { form: Form; divisor: number };
      const factor = step(form);
      const scalar = divideExact(m, values.value(form, extra(form)), divisor);
      if (!wide) return scalar;
      const first = m.splat(scalar);
      const steps = apart(form);
      if (steps !== undefined) {
        const each = m.gather(steps.map((n) => m.constant('i32', n)));
        return m.binary('add', first, each);
      }
      if (factor === 0) return first;
      const ramp = m.iota();
      return m.binary('add', first, factor === 1 ? ramp : m.binary('mul', ramp, m.constant('i32', factor, true)));
    },
    reduced: (e) => {
      const { value, index } = (place.sums as readonly Reduced[])[e.reducer];
      return e.part === 'index' ? (index as Register) : value;
    },
    condition: (e) => place.conditions?.get(e) ?? emitChecks(m, values, analysis.guards.get(e) as readonly CheckForm[]),
  };
  return environment;
}

/** The displacements of loads whose positions are the same along all of `loops`, at a place outside of these. */
export function emitDisplacements(
  m: VectorMachine,
  analysis: Analysis,
  values: FormValues,
  loops: readonly number[],
): Map<LoadNode, Register> {
  const displacements = new Map<LoadNode, Register>();
  // Where a guard does not hold, what it guards must not be read.
  if (loops.length === 0 || analysis.guards.size > 0) return displacements;
  const environment = loopEnvironment(m, analysis, { values, vectorAxis: undefined, count: 1, extra: () => 0 });
  const scope = new Scope();
  for (const [node, { form, indirections }] of analysis.loads) {
    if (indirections.length === 0) continue;
    if (indirections.some(({ position }) => loops.some((axis) => variesAlong(analysis, position, axis)))) continue;
    const parts = indirections.map(({ position, stride }) => {
      const at = emitExpression(position, environment, scope);
      return m.binary('mul', at, m.constant('i32', stride * form.bytes));
    });
    displacements.set(
      node,
      parts.reduce((sum, part) => m.binary('add', sum, part)),
    );
  }
  return displacements;
}

/** A scalar mask: all checks hold. */
export function emitChecks(m: VectorMachine, values: FormValues, checks: readonly CheckForm[]): Register {
  let all: Register | undefined;
  const require = (mask: Register): void => {
    all = all === undefined ? mask : m.binary('and', all, mask);
  };
  for (const { form, divisor, extent } of checks) {
    const value = values.value(form);
    require(m.compare('ge', value, m.constant('i32', 0)));
    require(m.compare('lt', value, m.constant('i32', extent * divisor)));
    if (divisor > 1) {
      const rest =
        (divisor & (divisor - 1)) === 0
          ? m.binary('and', value, m.constant('i32', divisor - 1))
          : m.remainder(value, divisor);
      require(m.compare('eq', rest, m.constant('i32', 0)));
    }
  }
  return all as Register;
}

function divideExact(m: VectorMachine, value: Register, divisor: number): Register {
  return divisor === 1 ? value : m.divide(value, divisor);
}

function loadAs(
  m: VectorMachine,
  dtype: DType,
  wide: boolean,
  address: Register,
  offset: number,
  count: number,
): Register {
  if (dtype === 'bool') return toMask(m, m.loadBytes(wide, address, offset, count));
  if (dtype === 'u8') return m.loadBytes(wide, address, offset, count);
  return m.load(dtype === 'f32' ? 'f32' : 'i32', wide, address, offset, count);
}

function loadElement(m: VectorMachine, dtype: DType, address: Register, offset: number): Register {
  return dtype === 'u8' || dtype === 'bool'
    ? m.loadBytes(false, address, offset)
    : m.load(dtype === 'f32' ? 'f32' : 'i32', false, address, offset);
}

function splatAs(m: VectorMachine, dtype: DType, address: Register, offset: number): Register {
  if (dtype === 'f32' || dtype === 'i32') return m.loadSplat(dtype, address, offset);
  const value = m.splat(m.loadBytes(false, address, offset));
  return dtype === 'bool' ? toMask(m, value) : value;
}

export function storeAs(
  m: VectorMachine,
  value: Register,
  dtype: DType,
  address: Register,
  offset: number,
  count: number | undefined,
): void {
  if (dtype === 'bool') m.storeBytes(m.maskToInt(value), address, offset, count);
  else if (dtype === 'u8') m.storeBytes(value, address, offset, count);
  else m.store(value, address, offset, count);
}
