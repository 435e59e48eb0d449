import type { Graph, Node, Value } from '../graph/graph.js';
import { trace } from '../graph/trace.js';
import { type Module, type ModuleCall, withForwardHook } from '../nn/module.js';
import { DTYPES } from '../tensor/dtype.js';
import { type Shape, sizeOf, type TensorType } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { inMode } from '../train/forward.js';
import type { Constants } from './constant-matrix.js';
import { describeKernel } from './describe-kernel.js';
import { receptiveFields } from './receptive-field.js';
import {
  checkInput,
  constantsOf,
  type InputOptions,
  lowerNode,
  nodeMultiplyAdds,
  spatialAxes,
} from './trace-network.js';

/** One call of one module. Shapes are without the batch axis; amounts are for one example and without those of its children. */
export interface SummaryRow {
  /** As in `namedModules()`; empty for the model itself. */
  readonly name: string;
  readonly type: string;
  /** 0 for the model itself. */
  readonly depth: number;
  readonly container: boolean;
  /** `5×5`, then what is not the default: `3×3 stride 2 pad 1`. */
  readonly kernel: string;
  readonly inputShape: Shape;
  readonly outputShape: Shape;
  /** Of the module itself; counted at its first call only. */
  readonly parameters: number;
  readonly multiplyAdds: number;
  /** Of the output, where it is memory of its own (a flattened view is not). */
  readonly activationBytes: number;
  /** [height, width] of what an output element sees of the image, padding included; undefined where that is all of it. */
  readonly receptiveField?: readonly number[];
  /** Image pixels between what neighbouring elements see. */
  readonly jump?: readonly number[];
  /** The module was called before and shares its parameters. */
  readonly again: boolean;
}

/** What {@link summary} finds out, for a batch of one. */
export interface ModelSummary {
  readonly type: string;
  readonly inputShape: Shape;
  readonly outputShape: Shape;
  /** Outer modules first, otherwise in the order of their calls. */
  readonly rows: readonly SummaryRow[];
  readonly totals: {
    readonly parameters: number;
    /** Running statistics and the like: saved, not trained. */
    readonly buffers: number;
    readonly multiplyAdds: number;
    readonly inputBytes: number;
    readonly activationBytes: number;
    readonly parameterBytes: number;
  };
}

/** A call and the calls and nodes inside of it. */
interface Call {
  readonly call: ModuleCall;
  readonly children: readonly Call[];
  /** Emitted by the module itself, not by its children. */
  readonly own: readonly Node[];
}

/**
 * What a model consists of and costs, for one example of shape `inputShape` (without the batch axis) in evaluation mode. Traces
 * the model; nothing runs.
 *
 * @throws ShapeError of the layer that does not fit.
 */
export function summary(model: Module, inputShape: Shape, options: InputOptions = {}): ModelSummary {
  const dtype = checkInput('summary', model, inputShape, options);
  const { graph, input, root, constants } = traceCalls(model, { dtype, shape: [1, ...inputShape] });
  const fields = receptiveFields(graph, input, spatialAxes(model, input, options), constants);
  const seenModules = new Set<Module>();
  const seenParameters = new Set<Tensor>();
  const rows: SummaryRow[] = [];
  const visit = ({ call, children, own }: Call, depth: number): void => {
    const { module } = call;
    const parameters = ownParameters(module).filter((tensor) => !seenParameters.has(tensor));
    for (const tensor of parameters) seenParameters.add(tensor);
    const output = call.output.traced as Value;
    const field = fields.get(output)?.filter((axis) => axis.dimension !== undefined) ?? [];
    rows.push({
      name: call.name,
      type: module.type,
      depth,
      container: children.length > 0,
      kernel: children.length > 0 ? '' : describeKernel(module),
      inputShape: call.input.shape.slice(1),
      outputShape: call.output.shape.slice(1),
      parameters: elements(parameters),
      multiplyAdds: own.reduce((total, node) => total + nodeMultiplyAdds(node), 0),
      activationBytes: output.node !== undefined && own.includes(output.node) ? outputBytes(output) : 0,
      ...(field.length === 0
        ? {}
        : { receptiveField: field.map((axis) => axis.size), jump: field.map((axis) => axis.stride) }),
      again: seenModules.has(module),
    });
    seenModules.add(module);
    for (const child of children) visit(child, depth + 1);
  };
  visit(root, 0);
  const total = (key: 'multiplyAdds' | 'activationBytes'): number => rows.reduce((sum, row) => sum + row[key], 0);
  const parameters = elements(model.parameters());
  return {
    type: model.type,
    inputShape: [...inputShape],
    outputShape: graph.outputs[0].type.shape.slice(1),
    rows,
    totals: {
      parameters,
      buffers: elements(model.namedBuffers().map(([, tensor]) => tensor)),
      multiplyAdds: total('multiplyAdds'),
      inputBytes: sizeOf(inputShape) * DTYPES[dtype].bytes,
      activationBytes: total('activationBytes'),
      parameterBytes: parameters * DTYPES.f32.bytes,
    },
  };
}

function traceCalls(
  model: Module,
  type: TensorType,
): {
  graph: Graph;
  input: Value;
  root: Call;
  constants: Constants;
} {
  // Hooks see inner calls first: what has ended and belongs to nobody yet was inside of the call that ends now.
  let open: Call[] = [];
  const claimed = new Set<Node>();
  let input: Value | undefined;
  const recorded = trace((recording) => {
    const value = recording.addInput(type);
    input = value;
    const hook = (call: ModuleCall): void => {
      const inside = (other: Call): boolean => call.module === model || other.call.name.startsWith(`${call.name}.`);
      const children = open.filter(inside);
      open = open.filter((other) => !inside(other));
      const own = recording.nodes.filter((node) => node.scope === call.name && !claimed.has(node));
      for (const node of own) claimed.add(node);
      open.push({ call, children, own });
    };
    return inMode(model, false, () => [withForwardHook(hook, () => model.call(Tensor.fromTraced(value)))]);
  });
  return { graph: recorded.graph, input: input as Value, root: open[0], constants: constantsOf(model, recorded) };
}

function ownParameters(module: Module): Tensor[] {
  const below = new Set(module.namedChildren().flatMap(([, child]) => child.parameters()));
  return module.parameters().filter((tensor) => !below.has(tensor));
}

function elements(tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, tensor) => sum + tensor.size, 0);
}

function outputBytes(value: Value): number {
  const node = value.node as Node;
  if (node.operator.expand === undefined && lowerNode(node).kind === 'reshape') return 0;
  return sizeOf(value.type.shape) * DTYPES[value.type.dtype].bytes;
}
