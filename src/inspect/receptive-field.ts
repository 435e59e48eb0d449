import type { Graph, Node, Value } from '../graph/graph.js';
import { contractionNest } from '../kernel/contraction.js';
import { type Expression, isIndirect, type Subscript, visitExpression } from '../kernel/expression.js';
import { expressionsOf, type Nest } from '../kernel/kernel.js';
import type { Shape } from '../tensor/shape.js';
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
  /** Input pixels between neighbours, the product of the strides so far ("jump"). */
  readonly stride: number;
  readonly start: number;
}

/** One field per spatial axis of the input. */
export type ReceptiveField = readonly AxisField[];

/**
 * The receptive field of every value that depends on `input` [batch, channels, …spatial]. It is read off the index
 * expressions of the kernels that the operators lower to, so every operator is covered: strides, dilation, padding,
 * pooling, slices. Where branches meet, the field is the smallest that holds all of them. (Araujo, Norris and Sim,
 * "Computing receptive fields of convolutional neural networks", Distill 2019, derive the same recurrence per layer.)
 *
 * @param first the first spatial axis of the input; they follow one another
 */
export function receptiveFields(graph: Graph, input: Value, first = 2): Map<Value, ReceptiveField> {
  const fields = new Map<Value, ReceptiveField>();
  const rank = input.type.shape.length - 2;
  fields.set(
    input,
    Array.from({ length: Math.max(0, rank) }, (_, s) => ({ dimension: first + s, size: 1, stride: 1, start: 0 })),
  );
  for (const node of graph.nodes) {
    if (!node.inputs.some((value) => fields.has(value))) continue;
    const field = nodeField(node, fields);
    if (field !== undefined) for (const output of node.outputs) fields.set(output, field);
  }
  return fields;
}

function nodeField(node: Node, fields: ReadonlyMap<Value, ReceptiveField>): ReceptiveField | undefined {
  const kernel = lowerNode(node);
  if (kernel.kind === 'reshape') {
    const field = fields.get(node.inputs[0]);
    return field?.map((axis) => throughReshape(axis, node.inputs[0].type.shape, node.outputs[0].type.shape));
  }
  const nest = kernel.kind === 'contraction' ? contractionNest(kernel) : kernel;
  let result: ReceptiveField | undefined;
  for (const { operand, index } of loads(nest)) {
    const value = node.inputs[operand];
    const field = fields.get(value);
    if (field === undefined) continue;
    const seen = field.map((axis) => throughLoad(axis, index, nest));
    result = result?.map((axis, s) => join(axis, seen[s], node.outputs[0].type.shape)) ?? seen;
  }
  return result;
}

/** What a nest reads. */
export function loads(nest: Nest): { operand: number; index: readonly Subscript[] }[] {
  const found: { operand: number; index: readonly Subscript[] }[] = [];
  const collect = (e: Expression): void => {
    if (e.kind === 'load') found.push({ operand: e.operand, index: e.index });
  };
  for (const expression of expressionsOf(nest)) visitExpression(expression, collect);
  return found;
}

/**
 * The field seen through index (offset + Σ factor · axis) / divisor: reduced axes widen it, a parallel axis moves it, and a
 * position that is a value may be anywhere.
 */
function throughLoad(axis: AxisField, index: readonly Subscript[], nest: Nest): AxisField {
  if (axis.dimension === undefined) return axis;
  const position = index[axis.dimension];
  if (isIndirect(position)) return stretch(axis, position.extent);
  const { terms, offset, divisor } = position;
  const extents = [...nest.parallel, ...nest.reduce];
  const moving = terms.find((term) => term.axis < nest.parallel.length && term.factor > 0);
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
    size: axis.size + axis.stride * Math.floor((high - low) / divisor),
    stride: moving ? (axis.stride * moving.factor) / divisor : axis.stride,
    start: axis.start + axis.stride * Math.ceil(low / divisor),
  };
}

function outputDimension(nest: Nest, axis: number): number {
  if (nest.outputIndex === undefined) return axis;
  return nest.outputIndex.findIndex(({ terms }) => terms.some((term) => term.axis === axis));
}

/** A dimension survives a reshape where extent and stride stay the same; otherwise its positions become one stretch. */
function throughReshape(axis: AxisField, from: Shape, to: Shape): AxisField {
  if (axis.dimension === undefined) return axis;
  const extent = from[axis.dimension];
  const inner = product(from.slice(axis.dimension + 1));
  const kept = to.findIndex((other, d) => other === extent && product(to.slice(d + 1)) === inner);
  return kept >= 0 && extent > 1 ? { ...axis, dimension: kept } : stretch(axis, extent);
}

/** What all elements see together. */
function stretch(axis: AxisField, extent: number): AxisField {
  return { ...axis, dimension: undefined, size: axis.size + axis.stride * (extent - 1) };
}

function join(a: AxisField, b: AxisField, shape: Shape): AxisField {
  if (a.dimension !== b.dimension) {
    return join(spread(a, shape), spread(b, shape), shape);
  }
  const start = Math.min(a.start, b.start);
  const end = Math.max(a.start + a.size, b.start + b.size);
  return { dimension: a.dimension, size: end - start, stride: Math.max(a.stride, b.stride), start };
}

function spread(axis: AxisField, shape: Shape): AxisField {
  return axis.dimension === undefined ? axis : stretch(axis, shape[axis.dimension]);
}

function product(extents: readonly number[]): number {
  return extents.reduce((result, extent) => result * extent, 1);
}
