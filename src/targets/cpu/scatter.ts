import type { Expression } from '../../kernel/expression.js';
import type { Nest, Scatter } from '../../kernel/kernel.js';
import { Arithmetic } from './arithmetic.js';
import { emitConstant, emitExpression, Scope } from './expression.js';
import { type Form, FormValues } from './form.js';
import type { KernelCode } from './kernel-code.js';
import { loopEnvironment, storeAs, type View, variesAlong } from './loops.js';
import type { Register, VectorMachine } from './machine.js';
import { analyse, canFill, type Loop, live, merge, type NestAnalysis } from './nest-plan.js';

/** Items to aim for, as in nests. */
const ITEMS = 32;
/** Parts of a loop over neighbouring elements hold at least a cache line of them. */
const LINE = 16;

/** The loops of a scatter, from the outside in. Every item owns a part of the result, clears it, and walks over all values. */
interface ScatterPlan {
  /** Loops outside of the walk: dimensions of the result that vary more slowly than the one scattered along. */
  readonly outer: readonly Loop[];
  /** How many blocks of places along the axis scattered along there are, and the length of all but the last. */
  readonly blocks: number;
  readonly block: number;
  /** The reduction, in its own order: the order of additions is part of the result. */
  readonly walk: readonly Loop[];
  /** Loops inside of the walk; the first is cut into parts. */
  readonly inner: readonly Loop[];
  readonly parts: number;
  readonly part: number;
  /** Whether the last inner loop fills vector registers. */
  readonly wide: boolean;
  /** Whether all of the inner loops share one position. */
  readonly uniform: boolean;
}

/**
 * Generates code for a nest with `scatter`: threads own places of the result, so that the order of additions, hence every bit,
 * does not depend on their number. Where a whole row has one position, places are split into blocks of rows, and every item
 * looks at all positions; otherwise rows are split into parts.
 */
export function scatterCode(
  nest: Nest,
  scatter: Scatter,
  lanes: number,
  operands: readonly View[],
  result: View,
): KernelCode {
  const analysis = analyse(nest, operands, [result]);
  const plan = planScatter(nest, scatter, lanes, analysis);
  return {
    items: plan.outer.reduce((n, loop) => n * loop.extent, plan.blocks * plan.parts),
    emit: (m, begin, end, pointers) =>
      new ScatterEmitter(nest, scatter, analysis, plan, result, m).emit(begin, end, pointers),
  };
}

function planScatter(nest: Nest, { axis, position }: Scatter, lanes: number, analysis: NestAnalysis): ScatterPlan {
  const [{ factors }] = analysis.results;
  const extents = [...nest.parallel, ...nest.reduce];
  const others = nest.parallel.map((_, a) => a).filter((a) => a !== axis);
  others.sort((a, b) => factors[b] - factors[a] || a - b);
  const loops = (axes: readonly number[]): Loop[] => merge(live(axes, extents), analysis.forms);
  const outer = loops(others.filter((a) => factors[a] > factors[axis]));
  const inner = loops(others.filter((a) => factors[a] <= factors[axis]));
  const walk = loops(nest.reduce.map((_, r) => nest.parallel.length + r));
  const uniform = inner.every((loop) => !variesAlong(analysis, position, loop.axis));
  const last = inner[inner.length - 1];
  const wide =
    last !== undefined &&
    last.extent >= 2 &&
    factors[last.axis] === 1 &&
    canFill(last, analysis) &&
    !variesAlong(analysis, position, last.axis);
  const wanted = Math.ceil(ITEMS / outer.reduce((n, loop) => n * loop.extent, 1));
  let block = extents[axis];
  let part = inner[0]?.extent ?? 1;
  if (uniform) {
    // Looking at a position costs about as much as adding a vector.
    const worthwhile = Math.floor(inner.reduce((n, loop) => n * loop.extent, 1) / lanes);
    block = Math.ceil(extents[axis] / Math.max(1, Math.min(wanted, worthwhile)));
  } else if (!(wide && inner.length === 1)) {
    part = Math.min(part, Math.max(Math.ceil(part / wanted), inner.length === 1 ? LINE : 1));
  }
  const blocks = Math.ceil(extents[axis] / block);
  const parts = Math.ceil((inner[0]?.extent ?? 1) / part);
  return { outer, blocks, block, walk, inner, parts, part, wide, uniform };
}

class ScatterEmitter {
  readonly #nest: Nest;
  readonly #scatter: Scatter;
  readonly #analysis: NestAnalysis;
  readonly #plan: ScatterPlan;
  readonly #view: View;
  readonly #result: Form;
  readonly #m: VectorMachine;

  constructor(nest: Nest, scatter: Scatter, analysis: NestAnalysis, plan: ScatterPlan, view: View, m: VectorMachine) {
    this.#nest = nest;
    this.#scatter = scatter;
    this.#analysis = analysis;
    this.#plan = plan;
    this.#view = view;
    this.#result = analysis.results[0];
    this.#m = m;
  }

  emit(begin: Register, end: Register, pointers: readonly Register[]): void {
    const m = this.#m;
    const { outer, blocks, block, walk, parts, uniform } = this.#plan;
    const arithmetic = new Arithmetic(m);
    const start = FormValues.start(m, this.#analysis.forms, pointers);
    m.loop({ from: begin, to: end }, (item) => {
      const positions = arithmetic.decode(item, [...outer.map((loop) => loop.extent), blocks, parts]);
      let values = start;
      outer.forEach((loop, i) => {
        values = values.enter(loop.axis, positions[i]);
      });
      const extent = this.#nest.parallel[this.#scatter.axis];
      const low = arithmetic.times(positions[outer.length], block);
      const high = blocks === 1 ? m.constant('i32', extent) : arithmetic.atMost(arithmetic.plus(low, block), extent);
      const part = positions[outer.length + 1];
      m.loop({ from: low, to: high }, (place) =>
        this.#inner(values, part, (at, count) => this.#clear(at, place, count)),
      );
      this.#loops(walk, values, (at) => {
        const within = (place: Register, body: () => void): void =>
          m.when(m.binary('and', m.compare('ge', place, low), m.compare('lt', place, high)), body);
        if (uniform) {
          const place = this.#emit(this.#scatter.position, at);
          within(place, () => this.#inner(at, part, (inside, count) => this.#add(inside, place, count)));
        } else {
          this.#inner(at, part, (inside, count) => {
            const place = this.#emit(this.#scatter.position, inside);
            within(place, () => this.#add(inside, place, count));
          });
        }
      });
    });
  }

  #loops(loops: readonly Loop[], values: FormValues, body: (values: FormValues) => void): void {
    if (loops.length === 0) {
      body(values);
      return;
    }
    const [loop, ...rest] = loops;
    this.#m.loop({ to: loop.extent }, (i) => this.#loops(rest, values.enter(loop.axis, i), body));
  }

  /** The inner loops over one part; `count` is how many lanes are inside, undefined for scalars. */
  #inner(values: FormValues, part: Register, body: (values: FormValues, count: number | undefined) => void): void {
    const m = this.#m;
    const { inner, parts, part: length, wide } = this.#plan;
    const [first] = inner;
    const last = inner[inner.length - 1];
    const innermost = (at: FormValues): void => {
      if (!wide) {
        body(at, undefined);
        return;
      }
      const whole = Math.floor(last.extent / m.lanes) * m.lanes;
      if (whole > 0) m.loop({ to: whole, step: m.lanes }, (i) => body(at.enter(last.axis, i), m.lanes));
      if (last.extent > whole) body(at.enter(last.axis, m.constant('i32', whole)), last.extent - whole);
    };
    const middle = wide ? inner.slice(0, -1) : inner;
    if (parts === 1) {
      this.#loops(middle, values, innermost);
      return;
    }
    const from = m.binary('mul', part, m.constant('i32', length));
    const to = m.binary('min', m.binary('add', from, m.constant('i32', length)), m.constant('i32', first.extent));
    m.loop({ from, to }, (i) => this.#loops(middle.slice(1), values.enter(first.axis, i), innermost));
  }

  /** A number that is the same in all lanes. */
  #emit(e: Expression, values: FormValues): Register {
    const place = { values, vectorAxis: undefined, count: 1, extra: () => 0 };
    return emitExpression(e, loopEnvironment(this.#m, this.#analysis, place), new Scope());
  }

  #address(values: FormValues, place: Register): [Register, number] {
    const m = this.#m;
    const { factors, bytes } = this.#result;
    const [address, offset] = values.address(this.#result);
    const displacement = m.binary('mul', place, m.constant('i32', factors[this.#scatter.axis] * bytes));
    return [m.binary('add', address, displacement), offset];
  }

  #clear(values: FormValues, place: Register, count: number | undefined): void {
    const { dtype } = this.#view;
    const [address, offset] = this.#address(values, place);
    storeAs(this.#m, emitConstant(this.#m, 0, dtype, count !== undefined), dtype, address, offset, count);
  }

  #add(values: FormValues, place: Register, count: number | undefined): void {
    const m = this.#m;
    const { inner } = this.#plan;
    const wide = count !== undefined;
    const environment = loopEnvironment(m, this.#analysis, {
      values,
      vectorAxis: wide ? inner[inner.length - 1].axis : undefined,
      count: count ?? 1,
      extra: () => 0,
    });
    const value = emitExpression(this.#nest.reducers[0].body, environment, new Scope());
    const [address, offset] = this.#address(values, place);
    const sum = m.load(this.#view.dtype === 'f32' ? 'f32' : 'i32', wide, address, offset, count);
    storeAs(m, m.binary('add', sum, value), this.#view.dtype, address, offset, count);
  }
}
