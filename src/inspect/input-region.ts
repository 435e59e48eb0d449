import { partsOf } from '../graph/expand.js';
import type { Graph, Node, Value } from '../graph/graph.js';
import { contractionNest } from '../kernel/contraction.js';
import { isIndirect, type Subscript } from '../kernel/expression.js';
import type { Nest } from '../kernel/kernel.js';
import { type Shape, sizeOf, stridesOf } from '../tensor/shape.js';
import { type Constants, constantRows } from './constant-matrix.js';
import { loads, reshapeGroups } from './receptive-field.js';
import { lowerNode, type TracedNetwork } from './trace-network.js';

/** Sorted positions along one axis. Sets, not ranges: stride and dilation leave holes that a later layer may read alone. */
type Positions = readonly number[];

/** Positions per dimension; every combination of them. */
type Box = readonly Positions[];

/**
 * The positions of `input` that one element of `output` depends on, per dimension, found by following the index expressions of the
 * kernels backwards; undefined where it depends on nothing. What lies in the padding of any layer on the way is not part of it.
 */
export function regionSeen({ graph, input, output, constants }: TracedNetwork, position: Shape): Box | undefined {
  return regionsSeen(graph, new Map([[output, position.map((at) => [at])]]), constants).get(input);
}

/** The positions of every value that those of `boxes` depend on, and these themselves. */
function regionsSeen(graph: Graph, boxes: ReadonlyMap<Value, Box>, constants: Constants): Map<Value, Box> {
  const seen = new Map(boxes);
  const see = (source: Value, region: Box): void => {
    const before = seen.get(source);
    seen.set(source, before === undefined ? region : before.map((ps, d) => sortedSet([...ps, ...region[d]])));
  };
  for (const node of [...graph.nodes].reverse()) {
    if (node.operator.expand !== undefined && node.outputs.some((value) => seen.has(value))) {
      const parts = partsOf(node);
      const wanted = parts.outputs.flatMap((value, i): [Value, Box][] => {
        const box = seen.get(node.outputs[i]);
        return box === undefined ? [] : [[value, box]];
      });
      const inside = regionsSeen(parts, new Map(wanted), new Map());
      parts.inputs.forEach((value, i) => {
        const region = inside.get(value);
        if (region !== undefined) see(node.inputs[i], region);
      });
      continue;
    }
    for (const value of node.outputs) {
      const box = seen.get(value);
      if (box === undefined) continue;
      for (const { operand, region } of regionsRead(node, box, constants)) see(node.inputs[operand], region);
    }
  }
  return seen;
}

function regionsRead(node: Node, box: Box, constants: Constants): { operand: number; region: Box }[] {
  const kernel = lowerNode(node);
  if (kernel.kind === 'reshape') {
    return [{ operand: 0, region: throughReshape(box, node.outputs[0].type.shape, node.inputs[0].type.shape) }];
  }
  const nest = kernel.kind === 'contraction' ? contractionNest(kernel) : kernel;
  const rows = constantRows(node, kernel, constants);
  const axes = axisPositions(nest, box);
  return loads(nest).flatMap(({ operand, index }) => {
    const region = index.map((one, d) =>
      rows !== undefined && operand === 0 && d === 1
        ? sortedSet(box[1].flatMap((o) => rows[o]))
        : positions(one, axes, node.inputs[operand].type.shape[d]),
    );
    return region.some((ps) => ps.length === 0) ? [] : [{ operand, region }];
  });
}

/** The positions of a nest's axes that compute a box of its outputs. */
function axisPositions(nest: Nest, box: Box): Positions[] {
  const axes: Positions[] = [...nest.parallel, ...nest.reduce].map((extent) => range(0, extent - 1));
  if (nest.outputIndex === undefined) {
    for (const [axis, ps] of box.entries()) axes[axis] = ps;
    return axes;
  }
  for (const [d, { terms, offset }] of nest.outputIndex.entries()) {
    // Group and channel within the group are digits of the channel, the largest first.
    let rest = box[d].map((p) => p - offset);
    for (const { axis, factor } of [...terms].sort((a, b) => b.factor - a.factor)) {
      axes[axis] = sortedSet(rest.map((p) => Math.floor(p / factor)));
      rest = rest.map((p) => p % factor);
    }
  }
  return axes;
}

/** The positions below `extent` that (offset + Σ factor · axis) / divisor takes, without remainder; all of them where values decide. */
function positions(index: Subscript, axes: readonly Positions[], extent: number): Positions {
  if (isIndirect(index)) return range(0, index.extent - 1);
  const { terms, offset, divisor } = index;
  let sums: Positions = [offset];
  for (const { axis, factor } of terms) {
    const sum = new Set<number>();
    for (const a of sums) for (const p of axes[axis]) sum.add(a + factor * p);
    sums = [...sum];
  }
  const inside = sums.filter((sum) => sum % divisor === 0 && sum >= 0 && sum < extent * divisor);
  return sortedSet(inside.map((sum) => sum / divisor));
}

/**
 * The same elements under another shape. Dimensions that stay are followed one by one; where several become one or one becomes
 * several, the run between the first and the last element is.
 */
function throughReshape(box: Box, from: Shape, to: Shape): Box {
  return reshapeGroups(from, to).flatMap(({ source, target }) => {
    if (source.length === 1 && target.length === 1) return [box[source[0]]];
    const strides = stridesOf(source.map((d) => from[d]));
    const flat = (end: 0 | -1): number => source.reduce((sum, d, i) => sum + strides[i] * box[d].at(end)!, 0);
    return unravel(
      flat(0),
      flat(-1),
      target.map((d) => to[d]),
    );
  });
}

/** The smallest box of `shape` that holds the elements `first` … `last` in row-major order. */
function unravel(first: number, last: number, shape: Shape): Positions[] {
  let same = true;
  return shape.map((extent, d) => {
    if (!same) return range(0, extent - 1);
    const inner = sizeOf(shape.slice(d + 1));
    const [low, high] = [first, last].map((at) => Math.floor(at / inner) % extent);
    same = low === high;
    return range(low, high);
  });
}

function range(first: number, last: number): Positions {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

function sortedSet(numbers: readonly number[]): Positions {
  return [...new Set(numbers)].sort((a, b) => a - b);
}
