import { axisIndex, countOperations } from '../../kernel/expression.js';
import { expressionsOf, type Nest } from '../../kernel/kernel.js';
import { DTYPES } from '../../tensor/dtype.js';
import type { Shape } from '../../tensor/shape.js';
import { addIndex, type Form, makeForm } from './form.js';
import {
  type Analysis,
  analyseExpressions,
  type CheckForm,
  type LoadAddress,
  type LoadNode,
  type View,
  variesAlong,
} from './loops.js';

/** What the loops and expressions of a nest need. */
export interface NestAnalysis extends Analysis {
  /** the flat position over the reduction axes, for argmax */
  readonly position: Form;
  readonly results: readonly Form[];
}

export function analyse(nest: Nest, operands: readonly View[], results: readonly View[]): NestAnalysis {
  const count = nest.parallel.length + nest.reduce.length;
  const analysis = analyseExpressions(expressionsOf(nest), count, operands);
  const resultForms = results.map(({ dtype, strides }, i) => {
    const form = makeForm(count, DTYPES[dtype].bytes, operands.length + i);
    strides.forEach((stride, d) => {
      addIndex(form, nest.outputIndex?.[d] ?? axisIndex(d), stride);
    });
    return analysis.share(form);
  });
  let position = makeForm(count);
  if (nest.reducers.some((r) => r.kind === 'argmax')) {
    let stride = 1;
    for (let r = nest.reduce.length - 1; r >= 0; r--) {
      position.factors[nest.parallel.length + r] = stride;
      stride *= nest.reduce[r];
    }
    position = analysis.share(position);
  }
  return { ...analysis, position, results: resultForms };
}

export interface Loop {
  /** position in the factors of every form */
  readonly axis: number;
  extent: number;
}

/** A parallel loop that advances by several positions at a time. */
export interface Block {
  readonly loop: Loop;
  /** Positions of a block; the last one may have fewer. */
  readonly size: number;
  /** How many blocks the loop needs; part of the item number, as its fastest part. */
  readonly count: number;
}

/**
 * A second parallel loop, along which some loads are contiguous that are not along the vector loop: both loops advance by as many
 * positions as registers have lanes, and these loads are wide along this loop and transposed.
 */
export interface Square extends Block {
  readonly loads: ReadonlySet<LoadNode>;
}

/** A run of positions of the vector loop, from ≤ position < to, in parts of `part` positions; the last one may be shorter. */
export interface Piece {
  readonly from: number;
  readonly to: number;
  readonly part: number;
}

/** Which loops a nest runs, from the outside in. */
export interface LoopPlan {
  /** Decoded from the item number, slowest first. */
  readonly items: number;
  readonly itemLoops: readonly Loop[];
  /** How many parts the vector loop is cut into, for threads; part of the item number. */
  readonly vectorParts: number;
  readonly outer: readonly Loop[];
  /** The parallel loop that fills vector registers. */
  readonly vector: Loop | undefined;
  /** Of the vector loop, in order: more than one where guards begin or cease to hold along it. No register reaches across. */
  readonly pieces: readonly Piece[];
  /** How loads that stride along the vector loop are made of squares of registers. */
  readonly square: Square | undefined;
  /**
   * The last loop of the results' memory, of few positions, such as the channels of an image: registers run along the loop before it, along which
   * loads are contiguous, there is one for each position of this loop, and they are stored in turns, element by element.
   */
  readonly interleaved: Loop | undefined;
  /** Where the last reduction loop fills vector registers: results that are reduced side by side, since they read the same. */
  readonly rows: Block | undefined;
  readonly reduce: readonly Loop[];
  /** The last reduction loop fills vector registers instead. */
  readonly vectorReduce: boolean;
  /** Vector registers worked on at a time. */
  readonly unroll: number;
}

/** Items to aim for: enough to balance a few threads, few enough that each is worth a call. */
const ITEMS = 64;
const PART_ELEMENTS = 4096;
/** Squares are worth a call each in threes or more: so many items suffice where there are squares. */
const SQUARE_ITEMS = 16;
/** Larger bodies are not repeated for all positions of a square. */
const SQUARE_OPERATIONS = 48;
/**
 * Rows that are reduced side by side, a vector of each at a time: their sums hide the latency of multiply-add and leave registers on every
 * machine, and several runs of memory at a time come nearer to its bandwidth than one.
 */
const ROWS = 8;
const ROW_OPERATIONS = 4;

export function planLoops(nest: Nest, lanes: number, analysis: NestAnalysis): LoopPlan {
  const all = merge(orderParallel(nest, analysis), analysis.forms);
  const interleaved = chooseInterleaved(nest, lanes, analysis, all);
  const parallel = interleaved === undefined ? all : all.slice(0, -1);
  const reduce = orderReduction(nest, analysis);
  const { vector, vectorReduce } =
    interleaved === undefined
      ? chooseVector(nest, lanes, analysis, parallel, reduce)
      : { vector: parallel[parallel.length - 1], vectorReduce: false };
  const square =
    vector && interleaved === undefined
      ? chooseSquare(nest, lanes, analysis, parallel.slice(0, -1), vector)
      : undefined;
  const rows = vectorReduce ? chooseRows(nest, analysis, parallel, reduce[reduce.length - 1]) : undefined;
  const block = square ?? rows;
  const outer = (vector === undefined ? parallel : parallel.slice(0, -1)).filter((loop) => loop !== block?.loop);
  const itemLoops: Loop[] = [];
  let items = block?.count ?? 1;
  const wantedItems = square === undefined ? ITEMS : SQUARE_ITEMS;
  while (
    outer.length > 0 &&
    (items < wantedItems || (block === undefined && itemLoops.length === 0 && outer.length === 1))
  ) {
    const loop = outer.shift() as Loop;
    itemLoops.push(loop);
    items *= loop.extent;
  }
  // Too few items: the vector loop is cut into parts.
  const work = nest.reduce.reduce((a, b) => a * b, square === undefined ? 1 : lanes) * (vector?.extent ?? 1);
  let vectorPart = vector?.extent ?? 1;
  if (vector !== undefined && items < 16 && work > PART_ELEMENTS) {
    const wanted = Math.ceil(ITEMS / items);
    const even = Math.ceil(vector.extent / wanted / (4 * lanes)) * 4 * lanes;
    vectorPart = Math.min(vector.extent, Math.max(even, 4 * lanes));
  }
  const bounds = vector === undefined ? [] : [0, ...cutsOf(vector, analysis), vector.extent];
  const pieces = bounds
    .slice(1)
    .map((to, i): Piece => ({ from: bounds[i], to, part: Math.min(vectorPart, to - bounds[i]) }));
  const isCut = vector !== undefined && vectorPart < vector.extent;
  const vectorParts = isCut ? pieces.reduce((n, piece) => n + partsOf(piece), 0) : 1;
  const wantedVectors = rows === undefined ? wantedUnroll(nest) : 1;
  const longest = vector?.extent ?? reduce[reduce.length - 1]?.extent ?? 1;
  return {
    items: items * vectorParts,
    itemLoops,
    vectorParts,
    outer,
    vector,
    pieces,
    square,
    interleaved,
    rows,
    reduce,
    vectorReduce,
    unroll: square !== undefined ? 1 : Math.max(1, Math.min(wantedVectors, Math.floor(longest / lanes))),
  };
}

/** Loops over `axes` but for those with one iteration. */
export function live(axes: readonly number[], extents: Shape): Loop[] {
  return axes.filter((axis) => extents[axis] !== 1).map((axis) => ({ axis, extent: extents[axis] }));
}

/** In the order of the results' memory. */
function orderParallel(nest: Nest, { results }: NestAnalysis): Loop[] {
  const axes = nest.parallel.map((_, axis) => axis);
  axes.sort((a, b) => results[0].factors[b] - results[0].factors[a] || a - b);
  return live(axes, nest.parallel);
}

/**
 * The same analysis where guards let neighbouring loops join that are one run of memory otherwise, such as the columns and channels of a padded
 * copy: with `extent` channels, 0 ≤ column < n is as good as 0 ≤ extent · column + channel < extent · n.
 */
export function widenGuards(nest: Nest, analysis: NestAnalysis): NestAnalysis {
  const loops = orderParallel(nest, analysis);
  const others = usedOutsideOfGuards(analysis);
  const joins = (form: Form, i: number): boolean =>
    form.factors[loops[i - 1].axis] === form.factors[loops[i].axis] * loops[i].extent;
  let { guards } = analysis;
  for (let i = loops.length - 1; i > 0 && others.every((form) => joins(form, i)); i--) {
    const inner = loops.slice(i);
    const fits = ({ form, divisor }: CheckForm): boolean =>
      joins(form, i) ||
      (divisor === 1 && form.factors[loops[i - 1].axis] === 1 && inner.every(({ axis }) => form.factors[axis] === 0));
    if (![...guards.values()].flat().every(fits)) break;
    const scale = inner.reduce((n, { extent }) => n * extent, 1);
    const widened = (check: CheckForm): CheckForm => {
      if (joins(check.form, i)) return check;
      const factors = check.form.factors.map((factor) => factor * scale);
      inner.reduceRight((step, { axis, extent }) => {
        factors[axis] = step;
        return step * extent;
      }, 1);
      const form = analysis.share({ ...check.form, factors, offset: check.form.offset * scale });
      return { form, divisor: 1, extent: check.extent * scale };
    };
    guards = new Map([...guards].map(([node, checks]) => [node, checks.map(widened)]));
  }
  if (guards === analysis.guards) return analysis;
  return {
    ...analysis,
    guards,
    forms: [...new Set([...others, ...[...guards.values()].flat().map(({ form }) => form)])],
  };
}

function usedOutsideOfGuards({ loads, axes, results, position }: NestAnalysis): Form[] {
  const loaded = [...loads.values()].flatMap(({ form, quotients }) => [form, ...quotients.map((q) => q.form)]);
  return [...new Set([...loaded, ...[...axes.values()].map(({ form }) => form), ...results, position])];
}

/**
 * In the order of the largest operand's memory. (The order of a floating-point sum is part of its result; memory order
 * is fixed by the layout.) Positions of argmax are counted in the order of the axes, which therefore stays.
 */
function orderReduction(nest: Nest, { forms, loads }: NestAnalysis): Loop[] {
  const extents = [...nest.parallel, ...nest.reduce];
  const span = (form: Form): number => form.factors.reduce((n, f, axis) => n + Math.abs(f) * extents[axis], 0);
  let largest: Form | undefined;
  for (const { form } of loads.values()) if (largest === undefined || span(form) > span(largest)) largest = form;
  const axes = nest.reduce.map((_, r) => nest.parallel.length + r);
  const factors = largest?.factors;
  if (factors !== undefined && !nest.reducers.some((r) => r.kind === 'argmax')) {
    axes.sort((a, b) => Math.abs(factors[b]) - Math.abs(factors[a]) || a - b);
  }
  return merge(live(axes, extents), forms);
}

/** Which loop fills vector registers: the last parallel one if it can, or the last reduction if memory favours it. */
function chooseVector(
  nest: Nest,
  lanes: number,
  analysis: NestAnalysis,
  parallel: readonly Loop[],
  reduce: readonly Loop[],
): Pick<LoopPlan, 'vector' | 'vectorReduce'> {
  const last = parallel[parallel.length - 1];
  const free = (loop: Loop): boolean =>
    canFill(loop, analysis) || (loop === last && canBeCut(loop, [...parallel, ...reduce], analysis));
  const streams = (loop: Loop): boolean =>
    [...analysis.loads.values()].every(
      ({ form, indirections }) =>
        (form.factors[loop.axis] === 0 || form.factors[loop.axis] === 1) &&
        !indirections.some(({ position }) => variesAlong(analysis, position, loop.axis)),
    );
  const unit = last !== undefined && analysis.results.every((form) => form.factors[last.axis] === 1);
  const vector = unit && free(last) && last.extent >= 2 ? last : undefined;
  const lastReduce = reduce[reduce.length - 1];
  const vectorReduce =
    lastReduce !== undefined &&
    lastReduce.extent >= 2 * lanes &&
    !nest.reducers.some((r) => r.kind === 'argmax') &&
    free(lastReduce) &&
    streams(lastReduce) &&
    (vector === undefined || !streams(vector));
  return { vector: vectorReduce ? undefined : vector, vectorReduce };
}

/** Positions that registers take turns with at most: each takes a shuffle for each register that is stored. */
const TURNS = 4;

/** The last loop, where it is short and everything that is read is contiguous along the one before. */
function chooseInterleaved(
  nest: Nest,
  lanes: number,
  analysis: NestAnalysis,
  parallel: readonly Loop[],
): Loop | undefined {
  if (parallel.length < 2 || nest.reducers.length > 0) return undefined;
  const [vector, loop] = parallel.slice(-2);
  if (loop.extent > TURNS || vector.extent < lanes) return undefined;
  const { results, loads, guards, axes } = analysis;
  const inTurns = (form: Form): boolean => form.factors[loop.axis] === 1 && form.factors[vector.axis] === loop.extent;
  if (!results.every((form) => inTurns(form) && form.bytes === 4)) return undefined;
  const read = [...loads.values()];
  const runs = ({ form, quotients, indirections }: LoadAddress): boolean =>
    quotients.length === 0 && indirections.length === 0 && [0, 1].includes(form.factors[vector.axis]);
  const gains = read.some(({ form }) => form.factors[vector.axis] === 1 && form.factors[loop.axis] !== 0);
  const free = [...[...guards.values()].flat(), ...axes.values()].every(({ form }) => form.factors[loop.axis] === 0);
  return gains && free && read.every(runs) && canBeCut(vector, parallel, analysis) ? loop : undefined;
}

/** The loop along which most loads are contiguous that are not along `vector`, if there are any. */
function chooseSquare(
  nest: Nest,
  lanes: number,
  { loads, guards }: NestAnalysis,
  loops: readonly Loop[],
  vector: Loop,
): Square | undefined {
  // Where a guard does not hold, what it guards must not be read.
  if (guards.size > 0 || countNest(nest) > SQUARE_OPERATIONS) return undefined;
  let best: Square | undefined;
  for (const loop of loops) {
    const contiguous = [...loads].filter(([node, { form, quotients, indirections }]) => {
      const strides = form.factors[vector.axis] !== 0 && form.factors[vector.axis] !== 1;
      const plain = quotients.length === 0 && indirections.length === 0 && DTYPES[node.dtype].bytes === 4;
      return strides && plain && form.factors[loop.axis] === 1;
    });
    if (contiguous.length <= (best?.loads.size ?? 0)) continue;
    best = {
      loop,
      size: lanes,
      count: Math.ceil(loop.extent / lanes),
      loads: new Set(contiguous.map(([node]) => node)),
    };
  }
  return best;
}

/** The last parallel loop in blocks, if its results share some of what they read and there are enough of them. */
function chooseRows(
  nest: Nest,
  { loads, guards }: NestAnalysis,
  parallel: readonly Loop[],
  reduce: Loop,
): Block | undefined {
  const loop = parallel[parallel.length - 1];
  if (loop === undefined || guards.size > 0 || nest.reducers.length > 1) return undefined;
  if (countOperations(nest.reducers[0].body) > ROW_OPERATIONS) return undefined;
  const read = [...loads.values()];
  if (read.some(({ quotients, indirections }) => quotients.length > 0 || indirections.length > 0)) return undefined;
  const isShared = read.some(({ form }) => form.factors[reduce.axis] !== 0 && form.factors[loop.axis] === 0);
  const count = Math.ceil(loop.extent / ROWS);
  const items = parallel.slice(0, -1).reduce((n, { extent }) => n * extent, count);
  return isShared && items >= ITEMS ? { loop, size: ROWS, count } : undefined;
}

/** Each piece between two cuts is code of its own. */
const CUTS = 8;

/** Whether lanes can run along pieces of `loop`, since guards decide by the position along it alone, or not by it at all. */
function canBeCut(loop: Loop, loops: readonly Loop[], analysis: Analysis): boolean {
  // Whether a check holds from one position to another, wherever the other loops are.
  const cuttable = [...analysis.guards.values()].flat().every(({ form: { factors }, divisor }) => {
    if (factors[loop.axis] === 0) return true;
    return (
      divisor === 1 && factors[loop.axis] > 0 && loops.every((other) => other === loop || factors[other.axis] === 0)
    );
  });
  return cuttable && cutsOf(loop, analysis).length <= CUTS && canFill(loop, { ...analysis, guards: new Map() });
}

export function partsOf({ from, to, part }: Piece): number {
  return Math.ceil((to - from) / part);
}

function cutsOf(loop: Loop, { guards }: Analysis): number[] {
  const found = new Set<number>();
  for (const { form, extent } of [...guards.values()].flat()) {
    const factor = form.factors[loop.axis];
    if (factor === 0) continue;
    for (const bound of [0, extent]) {
      const at = Math.ceil((bound - form.offset) / factor);
      if (at > 0 && at < loop.extent) found.add(at);
    }
  }
  return [...found].sort((a, b) => a - b);
}

/** Whether the guard's check holds at `position` of the vector loop; undefined where it does not depend on that. */
export function holdsAt({ axis }: Loop, { form, extent }: CheckForm, position: number): boolean | undefined {
  if (form.factors[axis] === 0) return undefined;
  const value = form.offset + form.factors[axis] * position;
  return value >= 0 && value < extent;
}

/** Whether lanes can run along `loop`: whatever decides or divides is computed once for all lanes. */
export function canFill(loop: Loop, analysis: Analysis): boolean {
  const scalar = [
    ...[...analysis.guards.values()].flat().map((check) => check.form),
    ...[...analysis.loads.values()].flatMap(({ quotients }) => quotients.map((q) => q.form)),
    ...[...analysis.axes.values()].filter((a) => a.divisor !== 1).map((a) => a.form),
  ];
  return scalar.every((form) => form.factors[loop.axis] === 0);
}

function countNest(nest: Nest): number {
  return [...nest.reducers.map((r) => r.body), ...nest.outputs].reduce((n, e) => n + countOperations(e), 0);
}

/** Short bodies gain from several registers at a time; long ones would spill. */
function wantedUnroll(nest: Nest): number {
  const operations = countNest(nest);
  if (nest.reducers.length > 0) return operations <= 12 ? 4 : 1;
  return operations <= 8 ? 2 : 1;
}

/** Joins neighbouring loops that every form sees as one: factor(outer) = factor(inner) · extent(inner). */
export function merge(loops: Loop[], forms: readonly Form[]): Loop[] {
  const merged: Loop[] = [];
  for (const loop of loops) {
    const outer = merged[merged.length - 1];
    const joins =
      outer !== undefined && forms.every((form) => form.factors[outer.axis] === form.factors[loop.axis] * loop.extent);
    if (joins) merged[merged.length - 1] = { axis: loop.axis, extent: outer.extent * loop.extent };
    else merged.push({ ...loop });
  }
  return merged;
}
