import type { Node, Value } from '../graph/graph.js';
import type { Kernel } from '../kernel/kernel.js';
import type { Tensor } from '../tensor/tensor.js';

/** Values of a traced network that are not learnt, with their contents: the matrices of resizing, for example. */
export type Constants = ReadonlyMap<Value, Tensor>;

/**
 * Where a node multiplies the channels of its first operand with a constant matrix: for each result, the channels whose weight is
 * not zero, in order. Undefined for other nodes.
 */
export function constantRows(node: Node, kernel: Kernel, constants: Constants): number[][] | undefined {
  if (kernel.kind !== 'contraction' || kernel.role !== 'output') return undefined;
  const { groups, channelsIn, channelsOut, axes } = kernel.geometry;
  const matrix = constants.get(node.inputs[1]);
  if (matrix === undefined || groups !== 1 || axes.some((axis) => axis.kernel !== 1)) return undefined;
  const weights = matrix.data();
  return Array.from({ length: channelsOut }, (_, row) =>
    Array.from({ length: channelsIn }, (_, column) => column).filter((c) => weights[row * channelsIn + c] !== 0),
  );
}
