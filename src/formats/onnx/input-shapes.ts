import { OptionError } from '../../tensor/errors.js';
import type { OnnxGraph } from './graph.js';

/** Shapes of inputs by name: extents, names of symbolic ones, or undefined for what is open. */
export type InputShapes = Readonly<Record<string, readonly (number | string | undefined)[]>>;

/** The graph with other shapes of inputs than the file's; what the file says of the outputs' shapes holds no more. */
export function withInputShapes(graph: OnnxGraph, shapes: InputShapes): OnnxGraph {
  if (Object.keys(shapes).length === 0) return graph;
  for (const [name, shape] of Object.entries(shapes)) {
    const input = graph.inputs.find((port) => port.name === name);
    if (input === undefined) {
      const known = graph.inputs.map((port) => port.name).join(', ') || 'none';
      throw new OptionError(`loadOnnx: there is no input "${name}"; its inputs: ${known}`);
    }
    if (input.shape !== undefined && input.shape.length !== shape.length) {
      throw new OptionError(
        `loadOnnx: input "${name}" has ${input.shape.length} dimensions in the file, but ${shape.length} are given: [${shape.map((extent) => extent ?? '?').join(', ')}]`,
      );
    }
    const odd = shape.find((extent) => typeof extent === 'number' && !(Number.isInteger(extent) && extent >= 1));
    if (odd !== undefined) throw new OptionError(`loadOnnx: extents of "${name}" must be integers ≥ 1, got ${odd}`);
  }
  return {
    ...graph,
    inputs: graph.inputs.map((port) => ({
      ...port,
      shape: Object.hasOwn(shapes, port.name) ? shapes[port.name] : port.shape,
    })),
    outputs: graph.outputs.map((port) => ({ ...port, shape: undefined })),
  };
}
