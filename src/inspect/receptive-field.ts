import type { Graph, Node, Value } from '../graph/graph.js';
import { contractionNest } from '../kernel/contraction.js';
import { type Check, type Expression, isIndirect, type Subscript, visitExpression } from '../kernel/expression.js';
import { expressionsOf, type Nest } from '../kernel/kernel.js';
import type { Shape } from '../tensor/shape.js';
import { type Constants, constantRows } from './constant-matrix.js';
import { lowerNode } from './trace-network.js';

/**
 * What elements of a value see of the input along one of its axes: the element at position p of dimension `dimension`
 * depends on input positions `start + stride · p` … `start + stride · p + size − 1`. Positions outside of the input are
 * padding.
 */
export interface AxisField {
  /** The dimension that moves over the input; undefined where every element sees the same stretch (after flattening). */
  readonly dimension: number | undefined;
  readonly size: number;
  /**
   * Input pixels between neighbours, the product of the strides so far ("jump"); negative after a reversal, a fraction after
   * upsampling, where `start + stride · p` may be off by less than one pixel.
   */
  readonly stride: number;
  readonly start: number;
}

/**
 * A field underway. Where a reshape has joined a spatial axis with axes outside of it, as matrix products do with their rows, the
 * position is (p div inner) mod extent until another reshape takes them apart.
 */
interface TrackedField extends AxisField {
  readonly within?: { readonly extent: number; readonly inner: number };
}

/** One field per spatial axis of the input. */
export type ReceptiveField = readonly AxisField[];

/**
 * The receptive field of every value that depends on `input` [batch, channels, …spatial]. It is read off the index
 * expressions of the kernels that the operators lower to, so every operator is covered: strides, dilation, padding,
 * pooling, slices. Where branches meet, the field is the smallest that holds all of them. (Araujo, Norris and Sim,
 * "Computing receptive fields of convolutional neural networks", Distill 2019, derive the same recurrence per layer.)
 *
 * It is that of the interior: where pieces are joined along a spatial axis, the longest counts. So padding by reflection, by edges
 * or around the circle adds nothing to it, as padding with zeros does not (Dumoulin and Visin, "A guide to convolution arithmetic",
 * 2016, count the same); what a neuron at the border reads besides is up to `regionSeen`.
 *
 * @param axes the spatial axes of the input
 * @param constants whose zeros count: the matrices of resizing
 */
export function receptiveFields(
  graph: Graph,
  input: Value,
  axes: readonly number[],
  constants: Constants = new Map(),
): Map<Value, ReceptiveField> {
  const fields = new Map<Value, readonly TrackedField[]>();
  fields.set(
    input,
    axes.map((dimension) => ({ dimension, size: 1, stride: 1, start: 0 })),
  );
  for (const node of graph.nodes) {
    if (!node.inputs.some((value) => fields.has(value))) continue;
    const field = nodeField(node, fields, constants);
    if (field !== undefined) for (const output of node.outputs) fields.set(output, field);
  }
  return new Map(
    [...fields].map(([value, field]) => {
      const apart = field.map((axis) => (axis.within === undefined ? axis : stretch(axis, axis.within.extent)));
      return [value, apart.map((axis) => ({ ...axis, size: Math.ceil(axis.size - 1e-9) }))];
    }),
  );
}

function nodeField(
  node: Node,
  fields: ReadonlyMap<Value, readonly TrackedField[]>,
  constants: Constants,
): readonly TrackedField[] | undefined {
  // Every step of a recurrent layer sees all before it, and those behind count as in any border.
  if (node.operator.expand !== undefined) return everything(node, fields);
  const kernel = lowerNode(node);
  if (kernel.kind === 'reshape') {
    const field = fields.get(node.inputs[0]);
    return field && throughReshape(field, node.inputs[0].type.shape, node.outputs[0].type.shape);
  }
  const nest = kernel.kind === 'contraction' ? contractionNest(kernel) : kernel;
  const rows = constantRows(node, kernel, constants);
  const seen = loads(nest).flatMap((load): Seen[] => {
    const field = fields.get(node.inputs[load.operand]);
    if (field === undefined) return [];
    const through = (axis: TrackedField): TrackedField =>
      rows !== undefined && load.operand === 0 && axis.dimension === 1 && axis.within === undefined
        ? throughRows(axis, rows, node.inputs[0].type.shape[1])
        : throughLoad(axis, load.index, nest);
    return [{ field: field.map(through), ranges: rangesRead(load.checks, nest) }];
  });
  return interior(seen)
    .map(({ field }) => field)
    .reduce<readonly TrackedField[] | undefined>(
      (result, field) => result?.map((axis, s) => join(axis, field[s], node.outputs[0].type.shape)) ?? field,
      undefined,
    );
}

/** What all operands see together, wherever in the result. */
function everything(
  node: Node,
  fields: ReadonlyMap<Value, readonly TrackedField[]>,
): readonly TrackedField[] | undefined {
  return node.inputs.reduce<readonly TrackedField[] | undefined>((result, value) => {
    const field = fields.get(value)?.map((axis) => spread(axis, value.type.shape));
    return result?.map((axis, s) => (field === undefined ? axis : join(axis, field[s], value.type.shape))) ?? field;
  }, undefined);
}

/** What one load sees, and for which positions of the nest's parallel axes it is read: `[from, to)` each. */
interface Seen {
  readonly field: readonly TrackedField[];
  readonly ranges: readonly (readonly [number, number])[];
}

/** Without the loads that only positions beside those of the longest piece along a spatial axis read. */
function interior(seen: readonly Seen[]): readonly Seen[] {
  const spatial = new Set(seen.flatMap(({ field }) => field.map((axis) => axis.dimension)));
  const length = ({ ranges }: Seen): number =>
    product(ranges.map(([from, to], axis) => (spatial.has(axis) ? to - from : 1)));
  const longest = seen.reduce<Seen | undefined>(
    (a, b) => (a !== undefined && length(a) >= length(b) ? a : b),
    undefined,
  );
  if (longest === undefined) return seen;
  return seen.filter(({ ranges }) =>
    ranges.every(
      ([from, to], axis) => !spatial.has(axis) || (from < longest.ranges[axis][1] && to > longest.ranges[axis][0]),
    ),
  );
}

/** Where the checks hold that concern one parallel axis each. */
function rangesRead(checks: readonly Check[], nest: Nest): (readonly [number, number])[] {
  const ranges = nest.parallel.map((extent): [number, number] => [0, extent]);
  for (const { index, extent } of checks) {
    const { terms, offset, divisor } = index;
    const [term] = terms;
    if (terms.length !== 1 || term.axis >= ranges.length || term.factor !== 1) continue;
    const range = ranges[term.axis];
    range[0] = Math.max(range[0], -offset);
    range[1] = Math.min(range[1], (extent - 1) * divisor + 1 - offset);
  }
  return ranges;
}

/** What a nest reads at one place of its expressions. */
export interface Load {
  readonly operand: number;
  readonly index: readonly Subscript[];
  /** All hold where it is read. */
  readonly checks: Check[];
}

export function loads(nest: Nest): Load[] {
  const found = new Map<Expression, Load>();
  const collect = (e: Expression): void => {
    if (e.kind === 'load') found.set(e, { operand: e.operand, index: e.index, checks: [] });
    // Parts come before the whole, hence loads before the guards around them.
    if (e.kind === 'guard') visitExpression(e.inside, (inner) => found.get(inner)?.checks.push(...e.checks));
  };
  for (const expression of expressionsOf(nest)) visitExpression(expression, collect);
  return [...found.values()];
}

/**
 * The field seen through index (offset + Σ factor · axis) / divisor: reduced axes widen it, a parallel axis moves it, and a
 * position that is a value may be anywhere.
 */
function throughLoad(axis: TrackedField, index: readonly Subscript[], nest: Nest): TrackedField {
  if (axis.dimension === undefined) return axis;
  const position = index[axis.dimension];
  if (isIndirect(position)) return stretch(axis, position.extent);
  const { terms, offset, divisor } = position;
  if (axis.within !== undefined) {
    const extents = [...nest.parallel, ...nest.reduce];
    const [row, ...more] = terms.filter((term) => extents[term.axis] > 1);
    const alone = row !== undefined && more.length === 0 && row.axis < nest.parallel.length;
    const same = alone && row.factor === 1 && offset === 0 && divisor === 1;
    return same ? { ...axis, dimension: outputDimension(nest, row.axis) } : stretch(axis, axis.within.extent);
  }
  const extents = [...nest.parallel, ...nest.reduce];
  // A transposed convolution subtracts the tap; a reversal, its only axis.
  const parallel = terms.filter((term) => term.axis < nest.parallel.length);
  const moving = parallel.find((term) => term.factor > 0) ?? parallel[0];
  let low = offset;
  let high = offset;
  for (const term of terms) {
    if (term === moving) continue;
    const reach = term.factor * (extents[term.axis] - 1);
    low += Math.min(0, reach);
    high += Math.max(0, reach);
  }
  return {
    dimension: moving && outputDimension(nest, moving.axis),
    size: axis.size + Math.abs(axis.stride) * Math.floor((high - low) / divisor),
    stride: moving ? (axis.stride * moving.factor) / divisor / outputStep(nest, moving.axis) : axis.stride,
    start: axis.start + axis.stride * (axis.stride >= 0 ? Math.ceil(low / divisor) : Math.floor(high / divisor)),
  };
}

/** The field seen through a matrix with a band of weights, which resizes `extent` positions: the widest row counts for all. */
function throughRows(axis: AxisField, rows: readonly (readonly number[])[], extent: number): AxisField {
  const step = extent / rows.length;
  const spans = rows.flatMap((row, o) =>
    row.length === 0 ? [] : [{ first: row[0] - step * o, reach: row.at(-1)! - row[0] }],
  );
  const reach = Math.max(0, ...spans.map((span) => span.reach));
  const first = spans.length === 0 ? 0 : Math.min(...spans.map((span) => span.first));
  return {
    dimension: 1,
    size: axis.size + Math.abs(axis.stride) * reach,
    stride: axis.stride * step,
    start: axis.start + axis.stride * (axis.stride >= 0 ? first : first + reach),
  };
}

function outputDimension(nest: Nest, axis: number): number {
  if (nest.outputIndex === undefined) return axis;
  return nest.outputIndex.findIndex(({ terms }) => terms.some((term) => term.axis === axis));
}

/** How many output positions a step of a parallel axis is. */
function outputStep(nest: Nest, axis: number): number {
  const terms = nest.outputIndex?.[outputDimension(nest, axis)]?.terms;
  return terms?.find((term) => term.axis === axis)?.factor ?? 1;
}

/**
 * Through one group of axes that a reshape makes of another, whose extents multiply to the same. An axis that is split moves with
 * the outermost of its parts, and the others widen it; axes that are joined move on where nothing outside of them and no other
 * spatial axis is joined in (as where upsampling repeats elements); otherwise
 * they are found again where the next reshape takes them apart, or become one stretch.
 */
function throughReshape(field: readonly TrackedField[], from: Shape, to: Shape): TrackedField[] {
  const groups = reshapeGroups(from, to);
  return field.map((axis) => {
    const { dimension } = axis;
    if (dimension === undefined) return axis;
    const group = groups.find(({ source }) => source.includes(dimension));
    if (group === undefined) return stretch(axis, from[dimension]);
    const outer = group.source.filter((d) => d < dimension && from[d] > 1);
    const inner = group.source.filter((d) => d > dimension && from[d] > 1);
    const others = inner.some((d) => field.some((other) => other.dimension === d));
    const [moved, ...parts] = group.target.filter((d) => to[d] > 1);
    if (axis.within !== undefined) {
      const { within, ...rest } = axis;
      const after = (d: number): number => product(group.target.filter((e) => e > d).map((e) => to[e]));
      const apart = group.target.find((d) => to[d] === within.extent && after(d) === within.inner);
      const alone = outer.length === 0 && inner.length === 0;
      if (alone && group.target.length === 1) return { ...axis, dimension: group.target[0] };
      return alone && apart !== undefined ? { ...rest, dimension: apart } : stretch(axis, within.extent);
    }
    if ((outer.length > 0 || others) && moved !== undefined && parts.length === 0) {
      const within = { extent: from[dimension], inner: product(inner.map((d) => from[d])) };
      return { ...axis, dimension: moved, within };
    }
    if (outer.length > 0 || others || moved === undefined || (inner.length > 0 && parts.length > 0)) {
      return stretch(axis, from[dimension]);
    }
    const repeated = product(inner.map((d) => from[d]));
    const rest = product(parts.map((d) => to[d]));
    const reach = axis.stride * (rest - 1);
    return {
      dimension: moved,
      size: axis.size + Math.abs(reach),
      stride: (axis.stride * rest) / repeated,
      start: axis.start + Math.min(0, reach),
    };
  });
}

/** The smallest runs of axes of two shapes of one size that hold the same elements, in order. */
export function reshapeGroups(from: Shape, to: Shape): { source: number[]; target: number[] }[] {
  const groups: { source: number[]; target: number[] }[] = [];
  let [i, j] = [0, 0];
  while (i < from.length || j < to.length) {
    const group = { source: [i], target: [j] };
    let [a, b] = [from[i++] ?? 1, to[j++] ?? 1];
    while (a !== b) {
      if (a < b) {
        group.source.push(i);
        a *= from[i++];
      } else {
        group.target.push(j);
        b *= to[j++];
      }
    }
    groups.push({
      source: group.source.filter((d) => d < from.length),
      target: group.target.filter((d) => d < to.length),
    });
  }
  return groups;
}

/** What all elements see together. */
function stretch({ size, stride, start }: TrackedField, extent: number): AxisField {
  const reach = stride * (extent - 1);
  return {
    stride,
    dimension: undefined,
    size: size + Math.abs(reach),
    start: start + Math.min(0, reach),
  };
}

function join(a: TrackedField, b: TrackedField, shape: Shape): TrackedField {
  const alike = a.within?.extent === b.within?.extent && a.within?.inner === b.within?.inner;
  if (a.dimension !== b.dimension || !alike || a.stride * b.stride < 0) {
    return join(spread(a, shape), spread(b, shape), shape);
  }
  const start = Math.min(a.start, b.start);
  const end = Math.max(a.start + a.size, b.start + b.size);
  return { ...a, size: end - start, stride: Math.max(a.stride, b.stride), start };
}

function spread(axis: TrackedField, shape: Shape): TrackedField {
  return axis.dimension === undefined ? axis : stretch(axis, axis.within?.extent ?? shape[axis.dimension]);
}

function product(extents: readonly number[]): number {
  return extents.reduce((result, extent) => result * extent, 1);
}
