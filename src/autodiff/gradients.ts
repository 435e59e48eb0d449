import type { Node, Value } from '../graph/graph.js';
import { currentTrace, tracedValue, tracedVersions } from '../graph/trace.js';
import { full } from '../ops/create.js';
import { add } from '../ops/elementwise.js';
import { isFloat } from '../tensor/dtype.js';
import { GaborError, ShapeError } from '../tensor/errors.js';
import { formatShape, formatType } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';

/**
 * Reverse-mode differentiation: from the scalar `y` back to each of `xs`, by emitting operators into the graph being
 * traced. The result is graph like any other, so gradients of gradients need nothing more.
 *
 * @param xs values computed in this trace, or tensors with data (parameters) that it used.
 * @returns one gradient for each of `xs`, of its shape; zeros where `y` does not depend on it.
 */
export function gradients(y: Tensor, xs: readonly Tensor[]): Tensor[] {
  const recording = currentTrace();
  if (recording === undefined || y.traced === undefined) {
    throw new GaborError('gradients() works inside a function given to compile(), grad() or valueAndGrad()');
  }
  if (y.size !== 1 || !isFloat(y.dtype)) {
    throw new ShapeError(`gradients: differentiates one floating-point number, got ${formatType(y.type)}; take a mean`);
  }
  const ancestors = ancestorsOf(tracedValue(y));
  // Of a tensor that was assigned to: the contents that `y` was computed from last.
  const targets = xs.map((x) => {
    const versions = tracedVersions(x);
    return [...versions].reverse().find((value) => ancestors.has(value)) ?? versions[0];
  });
  targets.forEach((target) => {
    if (!isFloat(target.type.dtype)) {
      throw new ShapeError(`gradients: cannot differentiate with respect to ${formatType(target.type)}`);
    }
  });
  const needed = dependents(recording.graph.nodes, targets);
  const totals = new Map<Value, Tensor>();
  totals.set(y.traced as Value, full(y.shape, 1, y.dtype));
  const nodes = [...recording.graph.nodes];
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i];
    if (!node.outputs.some((value) => totals.has(value)) || !node.inputs.some((value) => needed.has(value))) continue;
    const { gradient } = node.operator;
    if (gradient === undefined) continue;
    const results = gradient({
      inputs: node.inputs.map((value) => Tensor.fromTraced(value)),
      outputs: node.outputs.map((value) => Tensor.fromTraced(value)),
      attributes: node.attributes,
      gradients: node.outputs.map((value) => totals.get(value)),
      wanted: (input) => needed.has(node.inputs[input]),
    });
    node.inputs.forEach((input, k) => {
      const contribution = results[k];
      if (contribution === undefined || !needed.has(input)) return;
      checkGradient(node, k, contribution);
      const total = totals.get(input);
      totals.set(input, total === undefined ? contribution : add(total, contribution));
    });
  }
  return targets.map((target) => totals.get(target) ?? full(target.type.shape, 0, target.type.dtype));
}

/** Everything that `y` depends on, and `y` itself. */
function ancestorsOf(y: Value): Set<Value> {
  const found = new Set<Value>([y]);
  // A set is iterated in the order of insertion, including what is added meanwhile.
  for (const value of found) for (const input of value.node?.inputs ?? []) found.add(input);
  return found;
}

/** Values that depend on any of `targets`, and the targets themselves. */
function dependents(nodes: readonly Node[], targets: readonly Value[]): Set<Value> {
  const found = new Set<Value>(targets);
  for (const node of nodes) {
    if (node.inputs.some((value) => found.has(value))) {
      for (const value of node.outputs) if (isFloat(value.type.dtype)) found.add(value);
    }
  }
  return found;
}

function checkGradient(node: Node, k: number, contribution: Tensor): void {
  const { shape } = node.inputs[k].type;
  if (formatShape(shape) !== formatShape(contribution.shape)) {
    throw new GaborError(
      `gradient of ${node.operator.name} with respect to operand ${k} is ${formatShape(contribution.shape)}, expected ${formatShape(shape)}`,
    );
  }
}
