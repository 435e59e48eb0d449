import type { Device, Executable } from '../graph/device.js';
import type { Graph, Value } from '../graph/graph.js';
import type { NdArray } from '../graph/operator.js';
import { verifyGraph } from '../graph/verify.js';
import { interpretKernel } from '../kernel/interpret.js';
import { ReferenceDevice } from '../targets/reference/device.js';
import { allocateArray, type TypedArray } from '../tensor/dtype.js';
import { formatType, sizeOf, type TensorType } from '../tensor/shape.js';
import type { Storage } from '../tensor/storage.js';

/**
 * The reference device in double precision, which also verifies every graph and, the first time a program runs, holds
 * what each operator lowers to against its reference implementation on the very operands of that run.
 */
export class CheckingDevice implements Device {
  readonly name = 'checking';
  readonly #reference = new ReferenceDevice({ precision: 'f64' });
  /** names of the operators that were compared */
  readonly compared: Set<string> = new Set();

  allocate(type: TensorType): Storage {
    return this.#reference.allocate(type);
  }

  compile(graph: Graph): Executable {
    verifyGraph(graph, 'tracing');
    const executable = this.#reference.compile(graph);
    let checked = false;
    const runSync = (inputs: readonly Storage[]): Storage[] => {
      if (!checked) this.#compare(graph, inputs);
      checked = true;
      return executable.runSync(inputs);
    };
    return { ...executable, run: async (inputs) => runSync(inputs), runSync };
  }

  #compare(graph: Graph, inputs: readonly Storage[]): void {
    const arrays = new Map<Value, NdArray>();
    graph.inputs.forEach((value, i) => {
      arrays.set(value, { type: value.type, data: inputs[i].read() });
    });
    const empty = (type: TensorType): NdArray => ({
      type,
      data: allocateArray(type.dtype === 'f32' ? 'f64' : type.dtype, sizeOf(type.shape)),
    });
    for (const { operator, inputs, outputs, attributes } of graph.nodes) {
      this.compared.add(operator.name);
      const operands = inputs.map((value) => arrays.get(value) as NdArray);
      const types = outputs.map((value) => value.type);
      const expected = types.map(empty);
      operator.reference(operands, expected, attributes);
      const got = types.map(empty);
      // Garbage in the output must not show through.
      for (const { data } of got) data.fill(77);
      const kernel = operator.lower(
        inputs.map((value) => value.type),
        types,
        attributes,
      );
      interpretKernel(kernel, operands, got);
      expected.forEach(({ type, data }, i) => {
        const at = firstDifference(data, got[i].data, 1e-12);
        if (at >= 0) {
          throw new Error(
            `${operator.name} ${JSON.stringify(attributes)} of ${inputs.map((v) => formatType(v.type)).join(', ')}: ` +
              `output ${i} (${formatType(type)}) is ${data[at]} at ${at} by its reference, ${got[i].data[at]} by its kernel`,
          );
        }
      });
      outputs.forEach((value, i) => {
        arrays.set(value, expected[i]);
      });
    }
  }
}

/** Where two arrays differ by more than `tolerance` (relative above one, absolute below), or −1. NaN equals NaN. */
function firstDifference(a: TypedArray, b: TypedArray, tolerance: number): number {
  for (let i = 0; i < a.length; i++) {
    const same = Object.is(a[i], b[i]) || Math.abs(a[i] - b[i]) <= tolerance * Math.max(1, Math.abs(a[i]));
    if (!same) return i;
  }
  return -1;
}
