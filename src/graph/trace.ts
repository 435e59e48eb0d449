import { GaborError, invariant, ShapeError } from '../tensor/errors.js';
import { formatType, sameShape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { type Device, type Executable, getDevice } from './device.js';
import { Graph, type Value } from './graph.js';
import type { Attributes, Operator } from './operator.js';
import { graphSignature } from './print.js';

/** A graph being recorded, and the tensors with data that it captured from outside. */
export interface Trace {
  readonly graph: Graph;
  /** Captured tensors and the graph inputs that stand for them, in the order of capture. */
  readonly captured: Map<Tensor, Value>;
  /** What was assigned to captured tensors, in order. */
  readonly assigned: Map<Tensor, Value[]>;
}

const traces: Trace[] = [];
const scopes: string[] = [];

/** The trace in progress, if any. */
export function currentTrace(): Trace | undefined {
  return traces[traces.length - 1];
}

export const NESTED = 'a compiled function is called inside a traced function: call the plain function instead';

/** Records everything that `body` applies; returns the trace with the graph's outputs set to what `body` returned. */
export function trace(body: (graph: Graph) => readonly Tensor[]): Trace {
  if (traces.length > 0) throw new GaborError(NESTED);
  return traceApart(body);
}

/** {@link trace} into a graph of its own while another trace may be in progress: to compute constants of that one. */
export function traceApart(body: (graph: Graph) => readonly Tensor[]): Trace {
  const recording: Trace = { graph: new Graph(), captured: new Map(), assigned: new Map() };
  traces.push(recording);
  try {
    const outputs = body(recording.graph);
    recording.graph.outputs = outputs.map(tracedValue);
    recording.graph.updates = [...recording.assigned].map(([target, values]) => {
      const input = recording.captured.get(target);
      invariant(input, 'an assigned tensor was not captured');
      return { input, value: values[values.length - 1] };
    });
    return recording;
  } finally {
    traces.pop();
  }
}

/** The graph value for a tensor in the current trace; tensors with data are captured as inputs. */
export function tracedValue(tensor: Tensor): Value {
  const recording = currentTrace();
  invariant(recording, 'no trace in progress');
  if (tensor.traced !== undefined) {
    const value = tensor.traced as Value;
    if (!recording.graph.contains(value)) {
      throw new GaborError(
        `a ${formatType(tensor.type)} from another traced function is used here; pass it out as a result and in as an argument`,
      );
    }
    return value;
  }
  return recording.assigned.get(tensor)?.at(-1) ?? captureInput(tensor);
}

/** Every value that `tensor` has had in the current trace, oldest first. */
export function tracedVersions(tensor: Tensor): Value[] {
  if (tensor.traced !== undefined) return [tracedValue(tensor)];
  return [captureInput(tensor), ...(currentTrace()?.assigned.get(tensor) ?? [])];
}

/** The graph input that holds the contents of `tensor` from before the program ran. */
function captureInput(tensor: Tensor): Value {
  const recording = currentTrace();
  invariant(recording, 'no trace in progress');
  let value = recording.captured.get(tensor);
  if (value === undefined) {
    void tensor.storage; // throws for disposed tensors
    value = recording.graph.addInput(tensor.type);
    recording.captured.set(tensor, value);
  }
  return value;
}

/** Applies an operator: recorded while tracing, otherwise compiled (once per signature) and run at once. */
export function applyOperator<A extends Attributes>(
  operator: Operator<A>,
  inputs: readonly Tensor[],
  attributes: A,
): Tensor[] {
  const recording = currentTrace();
  if (recording !== undefined) {
    const node = inScope(() => recording.graph.addNode(operator, inputs.map(tracedValue), attributes, currentScope()));
    return node.outputs.map((value) => Tensor.fromTraced(value));
  }
  const graph = new Graph();
  const values = inputs.map((tensor) => graph.addInput(tensor.type));
  graph.outputs = [...inScope(() => graph.addNode(operator, values, attributes)).outputs];
  return programsOf(getDevice())
    .get(graph)
    .runSync(inputs.map((tensor) => tensor.storage))
    .map((storage) => Tensor.fromStorage(storage));
}

/** Programs of single operators on one device, compiled once per signature; the least recently used go first. */
class OperatorPrograms {
  readonly #device: Device;
  readonly #programs = new Map<string, Executable>();
  readonly #limit = 512;

  constructor(device: Device) {
    this.#device = device;
  }

  get(graph: Graph): Executable {
    const key = graphSignature(graph);
    let program = this.#programs.get(key);
    if (program === undefined) {
      program = this.#device.compile(graph);
      if (this.#programs.size >= this.#limit) {
        const [oldest, executable] = this.#programs.entries().next().value as [string, Executable];
        executable.dispose();
        this.#programs.delete(oldest);
      }
    } else {
      this.#programs.delete(key);
    }
    this.#programs.set(key, program);
    return program;
  }
}

/** They do not keep a device that nobody else knows any more. */
const programs = new WeakMap<Device, OperatorPrograms>();

function programsOf(device: Device): OperatorPrograms {
  let found = programs.get(device);
  if (found === undefined) {
    found = new OperatorPrograms(device);
    programs.set(device, found);
  }
  return found;
}

/** Replaces the contents of `target`: at once, or when the program being traced ends. Later uses see the new contents. */
export function assign(target: Tensor, value: Tensor): void {
  if (target.traced !== undefined) {
    throw new GaborError('assign() changes a tensor with data (a parameter, a buffer), not a value inside a function');
  }
  if (target.dtype !== value.dtype || !sameShape(target.shape, value.shape)) {
    throw new ShapeError(`assign: ${formatType(value.type)} does not fit into ${formatType(target.type)}`);
  }
  const recording = currentTrace();
  if (recording === undefined) {
    target.write(value.data());
  } else {
    captureInput(target);
    const values = recording.assigned.get(target) ?? [];
    recording.assigned.set(target, [...values, tracedValue(value)]);
  }
}

/** Names everything applied by `body`; scopes nest with a dot, as in `features.0`. */
export function withScope<T>(name: string, body: () => T): T {
  scopes.push(name);
  try {
    return body();
  } finally {
    scopes.pop();
  }
}

export function currentScope(): string {
  return scopes.filter((scope) => scope !== '').join('.');
}

/** Puts the layer's name in front of the message of a ShapeError. */
function inScope<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    const scope = currentScope();
    if (error instanceof ShapeError && scope !== '' && !error.message.startsWith('in "')) {
      error.message = `in "${scope}": ${error.message}`;
    }
    throw error;
  }
}
