import type { Expression } from '../../kernel/expression.js';
import { type Nest, type Reducer, reducerIdentity } from '../../kernel/kernel.js';
import { Arithmetic } from './arithmetic.js';
import { type Environment, emitConstant, emitExpression, Scope } from './expression.js';
import { type Form, FormValues } from './form.js';
import type { KernelCode } from './kernel-code.js';
import {
  emitChecks,
  emitDisplacements,
  type GuardNode,
  type Known,
  type LoadNode,
  loopEnvironment,
  type Reduced,
  storeAs,
  type View,
} from './loops.js';
import type { Register, VectorMachine } from './machine.js';
import {
  analyse,
  holdsAt,
  type Loop,
  type LoopPlan,
  type NestAnalysis,
  type Piece,
  partsOf,
  planLoops,
  widenGuards,
} from './nest-plan.js';
import { scatterCode } from './scatter.js';
import { Transposed } from './transpose.js';

/** Generates code for a loop nest: ordered, merged and vectorised loops. */
export function nestCode(nest: Nest, lanes: number, operands: readonly View[], results: readonly View[]): KernelCode {
  if (nest.scatter !== undefined) return scatterCode(nest, nest.scatter, lanes, operands, results[0]);
  const analysis = widenGuards(nest, analyse(nest, operands, results));
  const loops = planLoops(nest, lanes, analysis);
  return {
    items: loops.items,
    emit: (m, begin, end, pointers) => new NestEmitter(nest, analysis, loops, results, m).emit(begin, end, pointers),
  };
}

/** The u-th register of a load that is part of a square. */
type Columns = (node: LoadNode, form: Form, u: number) => Register;

/** Emits one nest; the loops from the outside in. */
class NestEmitter {
  readonly #nest: Nest;
  readonly #analysis: NestAnalysis;
  readonly #plan: LoopPlan;
  readonly #results: readonly View[];
  readonly #m: VectorMachine;

  constructor(nest: Nest, analysis: NestAnalysis, plan: LoopPlan, results: readonly View[], m: VectorMachine) {
    this.#nest = nest;
    this.#analysis = analysis;
    this.#plan = plan;
    this.#results = results;
    this.#m = m;
  }

  emit(begin: Register, end: Register, pointers: readonly Register[]): void {
    const m = this.#m;
    const plan = this.#plan;
    const start = FormValues.start(m, this.#analysis.forms, pointers);
    const arithmetic = new Arithmetic(m);
    m.loop({ from: begin, to: end }, (item) => {
      const parts = plan.vectorParts > 1 ? [plan.vectorParts] : [];
      const block = plan.square ?? plan.rows;
      const blocks = block !== undefined && block.count > 1 ? [block.count] : [];
      const extents = [...plan.itemLoops.map((loop) => loop.extent), ...parts, ...blocks];
      const positions = arithmetic.decode(item, extents);
      const part = parts.length > 0 ? positions[plan.itemLoops.length] : undefined;
      let values = start;
      plan.itemLoops.forEach((loop, i) => {
        values = values.enter(loop.axis, positions[i]);
      });
      const run = (from: FormValues, along = 1): void =>
        this.#loops(plan.outer, from, (inner) => this.#vectorLoop(inner, part, along));
      if (block === undefined) {
        run(values);
        return;
      }
      const { size, count } = block;
      const { axis, extent } = block.loop;
      const lastLength = extent - (count - 1) * size;
      if (count === 1) {
        run(values, lastLength);
        return;
      }
      const at = positions[extents.length - 1];
      const inside = values.enter(axis, m.binary('mul', at, m.constant('i32', size)));
      if (lastLength === size) {
        run(inside, size);
        return;
      }
      const isLast = m.compare('eq', at, m.constant('i32', count - 1));
      m.when(
        isLast,
        () => run(inside, lastLength),
        () => run(inside, size),
      );
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

  /** @param along positions of the loop in blocks. */
  #vectorLoop(values: FormValues, part: Register | undefined, along: number): void {
    const m = this.#m;
    const { vector, pieces, square } = this.#plan;
    // Conditions and positions that do not change along the loop are computed before it.
    const conditions = new Map<GuardNode, Register | boolean>();
    for (const [node, all] of this.#analysis.guards) {
      const checks = all.filter(({ form }) => vector === undefined || form.factors[vector.axis] === 0);
      if (checks.every(({ form }) => this.#plan.reduce.every((loop) => form.factors[loop.axis] === 0))) {
        conditions.set(node, checks.length === 0 || emitChecks(this.#m, values, checks));
      }
    }
    const wide = [vector, square?.loop].filter((loop) => loop !== undefined);
    const inner = [...wide, ...this.#plan.reduce].map((loop) => loop.axis);
    const displacements = emitDisplacements(m, this.#analysis, values, inner);
    if (vector === undefined) {
      this.#point(values, { conditions, displacements }, false, along, 1);
      return;
    }
    let first = 0;
    for (const piece of pieces) {
      const known: Known = { conditions: this.#holding(conditions, piece.from), displacements };
      const body = (i: Register, vectors: number, count: number): void =>
        this.#point(values.enter(vector.axis, i), known, true, square === undefined ? vectors : along, count);
      if (part === undefined) this.#segment(piece.from, piece.to, body);
      else this.#part(piece, part, first, body);
      first += partsOf(piece);
    }
  }

  /** With what is known of guards in the piece of the vector loop that begins at `position`. */
  #holding(
    conditions: ReadonlyMap<GuardNode, Register | boolean>,
    position: number,
  ): ReadonlyMap<GuardNode, Register | boolean> {
    const { vector } = this.#plan;
    const here = new Map(conditions);
    for (const [node, checks] of this.#analysis.guards) {
      if (vector && checks.some((check) => holdsAt(vector, check, position) === false)) here.set(node, false);
    }
    return here;
  }

  /** One part of a piece, if `part` is one of its; the first of them has the number `first`. */
  #part(
    piece: Piece,
    part: Register,
    first: number,
    body: (i: Register, vectors: number, count: number) => void,
  ): void {
    const m = this.#m;
    const a = new Arithmetic(m);
    const count = partsOf(piece);
    const lastLength = piece.to - piece.from - (count - 1) * piece.part;
    const from = a.plus(a.times(a.plus(part, -first), piece.part), piece.from);
    const shifted = (i: Register, vectors: number, lanes: number): void => body(a.plus(from, i), vectors, lanes);
    const whole = (): void => this.#segment(0, piece.part, shifted);
    const is = (op: 'eq' | 'lt', n: number): Register => m.compare(op, part, m.constant('i32', first + n));
    if (this.#plan.pieces.length === 1 && lastLength === piece.part) {
      whole();
      return;
    }
    const inside = (n: number, then: () => void): void => {
      if (n <= 0) return;
      const below = is('lt', n);
      m.when(first === 0 ? below : m.binary('and', below, m.compare('ge', part, m.constant('i32', first))), then);
    };
    // Parts have one length but for the last.
    inside(lastLength === piece.part ? count : count - 1, whole);
    if (lastLength !== piece.part) m.when(is('eq', count - 1), () => this.#segment(0, lastLength, shifted));
  }

  /** from ≤ i < to in steps of whole groups of vectors, then single vectors, then the rest of a vector. */
  #segment(from: number, to: number, body: (i: Register, vectors: number, count: number) => void): void {
    const m = this.#m;
    const { lanes } = m;
    const group = this.#plan.unroll * lanes;
    const groups = from + Math.floor((to - from) / group) * group;
    if (groups > from) m.loop({ from, to: groups, step: group }, (i) => body(i, this.#plan.unroll, lanes));
    const vectors = groups + Math.floor((to - groups) / lanes) * lanes;
    if (vectors > groups) m.loop({ from: groups, to: vectors, step: lanes }, (i) => body(i, 1, lanes));
    if (to > vectors) body(m.constant('i32', vectors), 1, to - vectors);
  }

  /** Everything for `vectors` neighbouring positions, or for as many registers of them. */
  #point(values: FormValues, known: Known, wide: boolean, vectors: number, count: number): void {
    const m = this.#m;
    const sums: Reduced[][] = [];
    if (this.#nest.reducers.length > 0) {
      if (this.#plan.vectorReduce) sums.push(...this.#reduceAcross(values, known, vectors));
      else sums.push(...this.#reduce(values, known, wide, vectors, count));
    }
    const { interleaved } = this.#plan;
    if (interleaved !== undefined) {
      this.#inTurns(interleaved, values, known, vectors, count);
      return;
    }
    const columns = this.#columns(values, vectors, count);
    for (let u = 0; u < vectors; u++) {
      const environment = this.#environment(values, known, wide, u, count, columns, sums[u]);
      const scope = new Scope();
      // All results are computed before the first is stored: a result may share memory with an operand.
      const registers = this.#nest.outputs.map((output) => emitExpression(output, environment, scope));
      this.#results.forEach((view, i) => {
        const form = this.#analysis.results[i];
        const [address, offset] = values.address(form, this.#distance(form, u));
        storeAs(m, registers[i], view.dtype, address, offset, wide ? count : undefined);
      });
    }
  }

  /** Registers of neighbouring positions, one for each position of `loop`, whose elements are stored in turns. */
  #inTurns(loop: Loop, values: FormValues, known: Known, vectors: number, count: number): void {
    const m = this.#m;
    for (let u = 0; u < vectors; u++) {
      const turns = Array.from({ length: loop.extent }, (_, turn) => {
        const environment = loopEnvironment(m, this.#analysis, {
          values,
          vectorAxis: this.#plan.vector?.axis,
          count,
          extra: (form) => this.#distance(form, u) + turn * form.factors[loop.axis],
          ...known,
        });
        const scope = new Scope();
        return this.#nest.outputs.map((output) => emitExpression(output, environment, scope));
      });
      this.#results.forEach((view, i) => {
        const form = this.#analysis.results[i];
        const [address, offset] = values.address(form, this.#distance(form, u));
        const rows = turns.map((registers) => registers[i]);
        inTurns(m, rows).forEach((register, v) => {
          const here = Math.min(m.lanes, count * loop.extent - v * m.lanes);
          if (here > 0) storeAs(m, register, view.dtype, address, offset + v * m.lanes * form.bytes, here);
        });
      });
    }
  }

  /** From the first register's position to the u-th one's: along the vector loop, or across it where there are blocks. */
  #distance(form: Form, u: number): number {
    const block = this.#plan.square ?? this.#plan.rows;
    if (block !== undefined) return u * form.factors[block.loop.axis];
    const { vector } = this.#plan;
    return vector === undefined ? 0 : u * this.#m.lanes * form.factors[vector.axis];
  }

  /** Loads of a square, transposed when the first of its registers is asked for. */
  #columns(values: FormValues, along: number, count: number): Columns | undefined {
    const m = this.#m;
    const { square, vector } = this.#plan;
    if (square === undefined || vector === undefined) return undefined;
    const made = new Map<Form, Transposed>();
    return ({ dtype }, form, u) => {
      let transposed = made.get(form);
      if (transposed === undefined) {
        const rows = Array.from({ length: count }, (_, i) => {
          const [address, offset] = values.address(form, i * form.factors[vector.axis]);
          return m.load(dtype === 'f32' ? 'f32' : 'i32', true, address, offset, along);
        });
        transposed = new Transposed(m, rows);
        made.set(form, transposed);
      }
      return transposed.column(u);
    };
  }

  #environment(
    values: FormValues,
    known: Known,
    wide: boolean,
    u: number,
    count: number,
    columns?: Columns,
    sums?: readonly Reduced[],
  ): Environment {
    return loopEnvironment(this.#m, this.#analysis, {
      values,
      vectorAxis: wide ? this.#plan.vector?.axis : undefined,
      count,
      extra: (form) => this.#distance(form, u),
      loaded: columns && ((node, form) => (this.#plan.square?.loads.has(node) ? columns(node, form, u) : undefined)),
      ...known,
      sums,
    });
  }

  /** Reduction loops inside; registers hold neighbouring results. */
  #reduce(values: FormValues, known: Known, wide: boolean, vectors: number, count: number): Reduced[][] {
    const m = this.#m;
    const { reducers } = this.#nest;
    const accumulators = Array.from({ length: vectors }, () => reducers.map((r) => start(m, r, wide)));
    this.#loops(this.#plan.reduce, values, (inner) => {
      const columns = this.#columns(inner, vectors, count);
      const environments = accumulators.map((_, u) => this.#environment(inner, known, wide, u, count, columns));
      const scopes = accumulators.map(() => new Scope());
      const position = (): Register => {
        const scalar = inner.value(this.#analysis.position);
        return wide ? m.splat(scalar) : scalar;
      };
      reducers.forEach((reducer, r) => {
        const into = accumulators.map((results) => results[r]);
        this.#accumulate(reducer, into, environments, scopes, position);
      });
    });
    return accumulators;
  }

  /** One step of a reduction, into registers of neighbouring results: conditions are the same for all. */
  #accumulate(
    { kind, body }: Reducer,
    into: readonly Reduced[],
    environments: readonly Environment[],
    scopes: readonly Scope[],
    position: () => Register,
  ): void {
    const m = this.#m;
    const identity = reducerIdentity(kind, body.dtype);
    if (body.kind === 'guard' && body.otherwise.kind === 'constant' && body.otherwise.value === identity) {
      const condition = environments[0].condition(body);
      const add = (): void =>
        into.forEach((result, u) => {
          accumulateOne(m, kind, body.inside, result, environments[u], new Scope(scopes[u]), position);
        });
      if (typeof condition !== 'boolean') m.when(condition, add);
      else if (condition) add();
      return;
    }
    into.forEach((result, u) => {
      accumulateOne(m, kind, body, result, environments[u], scopes[u], position);
    });
  }

  /** The last reduction loop fills vector registers, for each of `rows` neighbouring results; their lanes are combined at the end. */
  #reduceAcross(values: FormValues, known: Known, rows: number): Reduced[][] {
    const m = this.#m;
    const { reducers } = this.#nest;
    const loops = this.#plan.reduce;
    const last = loops[loops.length - 1];
    const { lanes } = m;
    const unroll = Math.min(this.#plan.unroll, Math.floor(last.extent / lanes));
    const each = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
    const wides = each(rows, () => each(unroll, () => reducers.map((r) => start(m, r, true))));
    const scalars = each(rows, () => reducers.map((r) => start(m, r, false)));
    const never = (): Register => m.constant('i32', 0);
    this.#loops(loops.slice(0, -1), values, (inner) => {
      const group = unroll * lanes;
      const add = (at: FormValues, wide: boolean, u: number, into: readonly (readonly Reduced[])[]): void => {
        const environments = this.#rowEnvironments(at, known, last, wide, u, rows);
        environments.forEach((environment, row) => {
          const scope = new Scope();
          reducers.forEach((r, k) => {
            this.#accumulate(r, [into[row][k]], [environment], [scope], never);
          });
        });
      };
      const run = (i: Register, vectors: number): void => {
        const at = inner.enter(last.axis, i);
        for (let u = 0; u < vectors; u++)
          add(
            at,
            true,
            u,
            wides.map((row) => row[u]),
          );
      };
      const groups = Math.floor(last.extent / group) * group;
      if (groups > 0) m.loop({ to: groups, step: group }, (i) => run(i, unroll));
      const whole = Math.floor(last.extent / lanes) * lanes;
      if (whole > groups) m.loop({ from: groups, to: whole, step: lanes }, (i) => run(i, 1));
      if (last.extent > whole)
        m.loop({ from: whole, to: last.extent }, (i) => add(inner.enter(last.axis, i), false, 0, scalars));
    });
    scalars.forEach((sums, row) => {
      reducers.forEach(({ kind }, k) => {
        const wide = pairwise(
          m,
          kind,
          wides[row].map((all) => all[k].value),
        );
        combine(m, kind, sums[k], acrossLanes(m, kind, wide), never);
      });
    });
    return scalars;
  }

  /** At the u-th register along the reduction `last`, for each of neighbouring results; what all of them read is loaded once. */
  #rowEnvironments(
    values: FormValues,
    known: Known,
    last: Loop,
    wide: boolean,
    u: number,
    rows: number,
  ): Environment[] {
    const shared = new Map<LoadNode, Register>();
    const across = this.#plan.rows?.loop.axis;
    const along = wide ? u * this.#m.lanes : 0;
    return Array.from({ length: rows }, (_, row) => {
      const between = (form: Form): number => (across === undefined ? 0 : row * form.factors[across]);
      const environment = loopEnvironment(this.#m, this.#analysis, {
        values,
        vectorAxis: wide ? last.axis : undefined,
        count: wide ? this.#m.lanes : 1,
        extra: (form) => along * form.factors[last.axis] + between(form),
        ...known,
      });
      if (across === undefined) return environment;
      const load: Environment['load'] = (node, scope) => {
        if (this.#analysis.loads.get(node)?.form.factors[across] !== 0) return environment.load(node, scope);
        const register = shared.get(node) ?? environment.load(node, scope);
        shared.set(node, register);
        return register;
      };
      return { ...environment, load };
    });
  }
}

/** Lane 0 of every row, then lane 1 of every row, …, in as many registers. */
function inTurns(m: VectorMachine, [first, ...others]: readonly Register[]): Register[] {
  const { lanes } = m;
  const count = 1 + others.length;
  return Array.from({ length: count }, (_, v) =>
    others.reduce((before, row, turn) => {
      const indices = Array.from({ length: lanes }, (_, lane) => {
        const [from, position] = [(v * lanes + lane) % count, Math.floor((v * lanes + lane) / count)];
        if (from === turn + 1) return lanes + position;
        return turn === 0 ? position : lane;
      });
      return m.shuffle(before, row, indices);
    }, first),
  );
}

function accumulateOne(
  m: VectorMachine,
  kind: Reducer['kind'],
  body: Expression,
  into: Reduced,
  environment: Environment,
  scope: Scope,
  position: () => Register,
): void {
  if (
    kind === 'sum' &&
    body.kind === 'apply' &&
    body.fn === 'mul' &&
    body.dtype === 'f32' &&
    scope.get(body) === undefined
  ) {
    const [a, b] = body.args.map((arg) => emitExpression(arg, environment, scope));
    m.multiplyAdd(into.value, a, b);
    return;
  }
  combine(m, kind, into, emitExpression(body, environment, scope), position);
}

function start(m: VectorMachine, reducer: Reducer, wide: boolean): Reduced {
  const { dtype } = reducer.body;
  return {
    value: m.copy(emitConstant(m, reducerIdentity(reducer.kind, dtype), dtype, wide)),
    index: reducer.kind === 'argmax' ? m.copy(m.constant('i32', 0, wide)) : undefined,
  };
}

/** All values in one, which takes the place of the first: a tree, so that no operation waits for many others. */
function pairwise(m: VectorMachine, kind: Reducer['kind'], values: readonly Register[]): Register {
  let rest = values;
  while (rest.length > 1) {
    const half = Math.ceil(rest.length / 2);
    rest.slice(half).forEach((value, i) => {
      combine(m, kind, { value: rest[i], index: undefined }, value, () => m.constant('i32', 0));
    });
    rest = rest.slice(0, half);
  }
  return rest[0];
}

/** All lanes of `wide`, which is overwritten, in one: each half with the other. */
function acrossLanes(m: VectorMachine, kind: Reducer['kind'], wide: Register): Register {
  for (let half = m.lanes / 2; half >= 1; half /= 2) {
    const others = m.permute(
      wide,
      Array.from({ length: m.lanes }, (_, lane) => lane ^ half),
    );
    combine(m, kind, { value: wide, index: undefined }, others, () => m.constant('i32', 0));
  }
  return m.lane(wide, 0);
}

function combine(
  m: VectorMachine,
  kind: Reducer['kind'],
  into: Reduced,
  value: Register,
  position: () => Register,
): void {
  switch (kind) {
    case 'sum':
      m.set(into.value, m.binary('add', into.value, value));
      return;
    case 'product':
      m.set(into.value, m.binary('mul', into.value, value));
      return;
    case 'max':
      m.set(into.value, m.binary('max', into.value, value));
      return;
    case 'min':
      m.set(into.value, m.binary('min', into.value, value));
      return;
    case 'argmax': {
      let better = m.compare('gt', value, into.value);
      if (value.kind === 'f32') {
        const nan = m.compare('ne', value, value);
        const first = m.compare('eq', into.value, into.value);
        better = m.binary('or', better, m.binary('and', nan, first));
      }
      m.set(into.value, m.select(better, value, into.value));
      m.set(into.index as Register, m.select(better, position(), into.index as Register));
    }
  }
}
