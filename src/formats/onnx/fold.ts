import { partsOf } from '../../graph/expand.js';
import type { Node } from '../../graph/graph.js';
import { traceApart } from '../../graph/trace.js';
import { multiplyAdds } from '../../kernel/contraction.js';
import { ReferenceDevice } from '../../targets/reference/device.js';
import type { TypedArray } from '../../tensor/dtype.js';
import { sizeOf, type TensorType } from '../../tensor/shape.js';
import { Tensor } from '../../tensor/tensor.js';
import { rowOf } from './element-types.js';
import { OnnxValue } from './value.js';

/** So many steps of plain loops take a tenth of a second. */
const MOST_STEPS = 1 << 21;

function stepsOf(node: Node): number {
  const { operator, inputs, outputs, attributes } = node;
  if (operator.expand !== undefined) return partsOf(node).nodes.reduce((total, part) => total + stepsOf(part), 0);
  const types = (values: Node['inputs']): TensorType[] => values.map(({ type }) => type);
  const kernel = operator.lower(types(inputs), types(outputs), attributes);
  if (kernel.kind === 'contraction') return multiplyAdds(kernel.geometry);
  const elements = outputs.reduce((total, { type }) => total + sizeOf(type.shape), 0);
  return kernel.kind === 'nest' ? Math.max(elements, sizeOf(kernel.parallel) * sizeOf(kernel.reduce)) : elements;
}

/**
 * What an operator makes of values that are all known: the same rule that computes it in a program, evaluated at once by the plain
 * loops of the operators it applies. So whatever has a rule folds, and means the same folded. Undefined where that would be large.
 */
export function fold(
  inputs: readonly (OnnxValue | undefined)[],
  rule: (inputs: readonly (OnnxValue | undefined)[]) => readonly (OnnxValue | undefined)[],
): (OnnxValue | undefined)[] | undefined {
  const device = new ReferenceDevice();
  let results: readonly (OnnxValue | undefined)[] = [];
  const unknown: number[] = [];
  const recording = traceApart((graph) => {
    results = rule(
      inputs.map((value) => {
        if (value === undefined) return undefined;
        const placeholder = graph.addInput({ dtype: rowOf(value.type).dtype, shape: value.shape });
        return OnnxValue.of(value.type, Tensor.fromTraced(placeholder), value.known);
      }),
    );
    results.forEach((value, i) => {
      if (value !== undefined && value.known === undefined) unknown.push(i);
    });
    return unknown.map((i) => (results[i] as OnnxValue).tensor);
  });
  if (recording.graph.nodes.reduce((total, node) => total + stepsOf(node), 0) > MOST_STEPS) return undefined;
  const computed = new Map<number, TypedArray>();
  if (unknown.length > 0) {
    const arrays = [
      ...inputs.filter((value) => value !== undefined).map((value) => value.known as TypedArray),
      ...[...recording.captured.keys()].map((tensor) => tensor.data()),
    ];
    const storages = recording.graph.inputs.map((value, i) => {
      const storage = device.allocate(value.type);
      storage.write(arrays[i]);
      return storage;
    });
    device
      .compile(recording.graph)
      .runSync(storages)
      .forEach((storage, i) => {
        computed.set(unknown[i], storage.read());
      });
  }
  return results.map((value, i) => {
    if (value === undefined) return undefined;
    return OnnxValue.known({
      type: value.type,
      shape: value.shape,
      data: computed.get(i) ?? (value.known as TypedArray),
    });
  });
}
