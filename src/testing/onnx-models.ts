import type { ElementType } from '../formats/onnx/element-types.js';
import { ELEMENT_TYPES } from '../formats/onnx/element-types.js';
import { ATTRIBUTE_TYPES, MODEL, type TensorProto } from '../formats/onnx/messages.js';
import { encode } from '../formats/onnx/proto.js';
import { writeTensor } from '../formats/onnx/tensor-proto.js';
import type { Shape } from '../tensor/shape.js';

/** A node of a small model for tests; attributes are whole numbers, lists of them, or text. */
export interface TestNode {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly name?: string;
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, number | readonly number[] | string>>;
}

/** A small model for tests. */
export interface TestModel {
  readonly nodes: readonly TestNode[];
  /** extents or names of symbolic ones; f32 unless `types` says otherwise */
  readonly inputs: Readonly<Record<string, readonly (number | string)[]>>;
  readonly types?: Readonly<Record<string, ElementType>>;
  readonly outputs: readonly string[];
  readonly initialisers?: readonly TensorProto[];
  readonly opset?: number;
  readonly functions?: readonly object[];
}

/** The bytes of a model. */
export function onnxBytes({
  nodes,
  inputs,
  types = {},
  outputs,
  initialisers = [],
  opset = 17,
  functions = [],
}: TestModel): Uint8Array {
  return encode(MODEL, {
    irVersion: 8,
    producerName: 'tests',
    opsetImport: [{ version: opset }],
    functions,
    graph: {
      name: 'test',
      node: nodes.map(({ type, inputs: input, outputs: output, name, domain, attributes = {} }) => ({
        opType: type,
        ...(name === undefined ? {} : { name }),
        ...(domain === undefined ? {} : { domain }),
        input,
        output,
        attribute: Object.entries(attributes).map(([key, value]) => attribute(key, value)),
      })),
      initializer: initialisers,
      input: Object.entries(inputs).map(([name, shape]) => ({
        name,
        type: {
          tensorType: {
            elemType: ELEMENT_TYPES[types[name] ?? 'float'].code,
            shape: {
              dim: shape.map((extent) => (typeof extent === 'string' ? { dimParam: extent } : { dimValue: extent })),
            },
          },
        },
      })),
      output: outputs.map((name) => ({ name })),
    },
  });
}

function attribute(name: string, value: number | readonly number[] | string): object {
  if (typeof value === 'number') return { name, type: ATTRIBUTE_TYPES.int, i: value };
  if (typeof value === 'string') return { name, type: ATTRIBUTE_TYPES.string, s: Buffer.from(value) };
  return { name, type: ATTRIBUTE_TYPES.ints, ints: value };
}

/** Floats that a formula gives for every position. */
export function floats(name: string, shape: Shape, value: (i: number) => number = (i) => Math.sin(i + 1)): TensorProto {
  const size = shape.reduce((product, extent) => product * extent, 1);
  return writeTensor(
    name,
    'float',
    shape,
    Array.from({ length: size }, (_, i) => value(i)),
  );
}

/** Whole numbers along one axis. */
export function integers(name: string, values: readonly number[]): TensorProto {
  return writeTensor(name, 'int64', [values.length], values);
}
