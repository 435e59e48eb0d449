import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { rowOf } from '../formats/onnx/element-types.js';
import { loadOnnx } from '../formats/onnx/load.js';
import { MODEL, type ModelProto } from '../formats/onnx/messages.js';
import { decode } from '../formats/onnx/proto.js';
import { type HostArray, parseTensor } from '../formats/onnx/tensor-proto.js';
import { tensor } from '../ops/create.js';
import { formatShape, sameShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** One of ONNX's own node tests: a folder with a model, inputs and the outputs expected of them. */
export interface ConformanceCase {
  readonly name: string;
  readonly folder: string;
}

/** All tests in the folders below `root`, by name. */
export function conformanceCases(root: string): ConformanceCase[] {
  return readdirSync(root, { withFileTypes: true })
    .filter((suite) => suite.isDirectory())
    .flatMap((suite) =>
      readdirSync(`${root}/${suite.name}`)
        .filter((name) => existsSync(`${root}/${suite.name}/${name}/model.onnx`))
        .map((name) => ({ name: `${suite.name}/${name}`, folder: `${root}/${suite.name}/${name}` })),
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function read(path: string): HostArray {
  return parseTensor(readFileSync(path), path);
}

function files(folder: string, kind: 'input' | 'output'): string[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith(`${kind}_`) && name.endsWith('.pb'))
    .sort((a, b) => Number(/\d+/.exec(a)) - Number(/\d+/.exec(b)))
    .map((name) => `${folder}/${name}`);
}

/** What a model consists of, for lists of operators. */
export interface ConformanceFacts {
  readonly opset: number;
  readonly operators: readonly string[];
}

export function factsOf(bytes: Uint8Array): ConformanceFacts {
  const { graph, opsetImport } = decode<ModelProto>(MODEL, bytes, 'a model');
  const operators = (graph?.node ?? []).map(({ opType = '' }) => opType);
  return {
    opset: opsetImport.find(({ domain = '' }) => domain === '')?.version ?? 1,
    operators: [...new Set(operators)].sort(),
  };
}

/** Runs a test on the current device; throws where an output is not the expected one. */
export async function runConformance({ folder }: ConformanceCase): Promise<void> {
  const model = await loadOnnx(`${folder}/model.onnx`);
  try {
    for (const set of readdirSync(folder).filter((name) => name.startsWith('test_data_set_'))) {
      const inputs = files(`${folder}/${set}`, 'input').map((path) => {
        const { type, shape, data } = read(path);
        return tensor(data, { shape, dtype: rowOf(type).dtype });
      });
      const outputs: Readonly<Record<string, Tensor>> = await model.run(inputs.slice(0, model.inputs.length));
      files(`${folder}/${set}`, 'output').forEach((path, i) => {
        const { name } = model.outputs[i];
        compare(outputs[name], read(path), `output "${name}"`, WRITTEN);
      });
      for (const t of [...inputs, ...Object.values(outputs)]) t.dispose();
    }
  } finally {
    model.dispose();
  }
}

/** Some expected numbers are written with four digits. */
const WRITTEN = 4e-4;

/**
 * Throws unless floats are equal to 1e-5 of the largest (1e-3 in half precision), or each to `rounding`, and everything else exactly.
 * ONNX's own runner allows 1e-3 of each.
 */
export function compare(actual: Tensor, expected: HostArray, what: string, rounding = 0): void {
  if (!sameShape(actual.shape, expected.shape)) {
    throw new Error(`${what} is ${formatShape(actual.shape)}, expected ${formatShape(expected.shape)}`);
  }
  const data = actual.data();
  let largest = 0;
  for (const value of expected.data) if (Number.isFinite(value)) largest = Math.max(largest, Math.abs(value));
  const exact = rowOf(expected.type).dtype !== 'f32';
  const tolerance = exact ? 0 : expected.type === 'float16' ? 1e-3 * largest : 1e-5 * largest + 1e-7;
  for (let i = 0; i < data.length; i++) {
    const [a, e] = [data[i], expected.data[i]];
    if (
      Object.is(a, e) ||
      a === e ||
      (Number.isNaN(a) && Number.isNaN(e)) ||
      Math.abs(a - e) <= tolerance + (exact ? 0 : rounding * Math.abs(e))
    )
      continue;
    throw new Error(`${what}[${i}] is ${a}, expected ${e}`);
  }
}
