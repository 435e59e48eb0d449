import { describeFacts, parseFacts } from '../formats/model-description.js';
import type { ModelPort } from '../formats/model-port.js';
import { rowOf } from '../formats/onnx/element-types.js';
import { type OnnxInput, saveOnnx } from '../formats/onnx/export/export.js';
import type { OnnxPort } from '../formats/onnx/graph.js';
import { type LoadOnnxOptions, loadOnnx } from '../formats/onnx/load.js';
import type { OnnxModel } from '../formats/onnx/onnx-model.js';
import { formatExtents } from '../inspect/format.js';
import { OptionError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { LoadedModel } from './loaded-model.js';
import { checkOwnArchitecture, type ReadOptions, type WriteOptions } from './options.js';
import { isFree } from './ports.js';

/** In front of the names of what a file says beside the graph, among its metadata. */
const PREFIX = 'gabor.';

export async function loadOnnxModel(path: string, options: ReadOptions): Promise<LoadedModel> {
  const { shown = path, input, siblings } = options;
  checkOwnArchitecture(shown, options);
  const model = await open(path, input, siblings === undefined ? {} : { siblings });
  const { classes, preprocessing } = parseFacts(shown, model.metadata, PREFIX);
  return new LoadedModel({
    model: model.eval(),
    format: 'onnx',
    path: shown,
    ...onnxPorts(model),
    ...(classes === undefined ? {} : { classes }),
    ...(preprocessing === undefined ? {} : { preprocessing }),
    metadata: model.metadata,
  });
}

/** @param input the shape of one example, in place of the one that the file was exported with */
async function open(path: string, input: Shape | undefined, options: LoadOnnxOptions): Promise<OnnxModel> {
  const model = await loadOnnx(path, options);
  const [first, ...more] = model.inputs;
  if (first === undefined) return model;
  const { name, shape } = first;
  const fixed = shape?.slice(1).some((extent, i) => typeof extent === 'number' && extent > 0 && extent !== input?.[i]);
  if (input === undefined || more.length > 0 || shape?.length !== input.length + 1 || !fixed) return model;
  model.dispose();
  return loadOnnx(path, { ...options, shapes: { [name]: [shape[0], ...input] } });
}

/** Inputs and outputs as the graph declares them. */
export function onnxPorts({ inputs, outputs }: OnnxModel): { inputs: ModelPort[]; outputs: ModelPort[] } {
  return { inputs: inputs.map(portOf), outputs: outputs.map(portOf) };
}

function portOf({ name, type, shape }: OnnxPort): ModelPort {
  return { name, dtype: type && rowOf(type).dtype, shape: shape?.map((extent) => extent ?? null) };
}

export async function saveOnnxModel(
  path: string,
  loaded: LoadedModel,
  { input, opset }: WriteOptions,
): Promise<string[]> {
  const shapes = loaded.shapes(input);
  const facts = {
    ...(loaded.classes === undefined ? {} : { classes: loaded.classes }),
    ...(loaded.preprocessing === undefined ? {} : { preprocessing: loaded.preprocessing }),
  };
  const options = {
    inputs: shapes.map((shape, i): OnnxInput => ({ name: loaded.inputs[i].name, shape, dtype: loaded.dtype(i) })),
    ...(opset === undefined ? {} : { opset }),
    metadata: describeFacts(facts, PREFIX),
    forward: (...xs: Tensor[]) => loaded.outputsOf(xs),
    outputs: loaded.outputs.map(({ name }) => name),
  };
  const free = loaded.inputs.filter(({ shape }) => shape?.some((extent, axis) => axis > 0 && isFree(extent)));
  const fixed = free.map(({ name }) => {
    const shape = shapes[loaded.inputs.findIndex((port) => port.name === name)];
    return `free extents of the input "${name}": the file is for examples of ${formatExtents(shape.slice(1))}`;
  });
  const dynamicBatch = loaded.inputs.every(({ shape }) => shape === undefined || isFree(shape[0]));
  if (dynamicBatch) {
    try {
      await saveOnnx(path, loaded.model, { ...options, dynamicBatch });
      return fixed;
    } catch (error) {
      // What depends on the batch cannot always be told.
      if (!(error instanceof OptionError)) throw error;
      await saveOnnx(path, loaded.model, options);
      return [...fixed, `the free batch: the file is for batches of ${shapes[0][0]} (${error.message})`];
    }
  }
  await saveOnnx(path, loaded.model, options);
  return fixed;
}
