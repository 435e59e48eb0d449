import { FileError } from '../../tensor/errors.js';
import { asArray, asCount, asFields, asText, type Fields, isFields, show } from './json.js';

// Calls of layers in functional models, which Keras 2 and Keras 3 write differently.

/** Structures in structures. */
const DEEPEST = 32;

/** One of the tensors that a call of a layer returns. */
export interface TensorName {
  readonly layer: string;
  readonly node: number;
  readonly tensor: number;
}

/** One call of a layer. */
export interface CallConfig {
  /** of Keras 2 or of Keras 3 */
  readonly dialect: 2 | 3;
  readonly inputs: readonly TensorName[];
  readonly training: boolean | undefined;
}

/** A layer with its calls; inputs have no part. */
export interface Called {
  readonly part: { readonly className: string } | undefined;
  readonly calls: readonly CallConfig[];
}

/**
 * The number of each layer's first call, among the calls and among the outputs of the model. Keras counts the calls of a model from 1 where the
 * model has been connected to inputs of its own before: Keras 2 does so everywhere where it does, Keras 3 among the outputs alone.
 */
export function firstCalls(
  entries: ReadonlyMap<string, Called>,
  outputs: readonly TensorName[],
): { inner: Map<string, number>; outputs: Map<string, number> } {
  const calls = [...entries.values()].flatMap((entry) => entry.calls);
  const apart = calls.some(({ dialect }) => dialect === 3);
  const used = calls.flatMap(({ inputs }) => inputs);
  // Call 0 is used somewhere, or there is none.
  const lowest = (names: readonly TensorName[]): Map<string, number> => {
    const lowest = new Map<string, number>();
    for (const { layer, node } of names) lowest.set(layer, Math.min(lowest.get(layer) ?? 1, node));
    return lowest;
  };
  if (!apart) {
    const everywhere = lowest([...used, ...outputs]);
    return { inner: everywhere, outputs: everywhere };
  }
  const functional = [...entries].filter(([, { part }]) => part?.className === 'Functional').map(([name]) => name);
  const ofOutputs = lowest(outputs);
  return { inner: lowest(used), outputs: new Map(functional.map((name) => [name, ofOutputs.get(name) ?? 1])) };
}

/** Calls, as layer and number, each behind those that it needs. */
export function inOrder(
  where: string,
  entries: ReadonlyMap<string, Called>,
  offsets: ReadonlyMap<string, number>,
): [layer: string, call: number][] {
  const order: [string, number][] = [];
  const state = new Map<string, 'open' | 'done'>();
  for (const [name, { calls, part }] of entries) {
    if (part === undefined) continue;
    for (let call = 0; call < calls.length; call++) {
      const open: [string, number][] = [[name, call]];
      for (let next = open.at(-1); next !== undefined; next = open.at(-1)) {
        const id = `${next[1]} ${next[0]}`;
        if (state.get(id) !== 'open') {
          if (state.get(id) === 'done') {
            open.pop();
            continue;
          }
          state.set(id, 'open');
          const [layer, index] = next;
          for (const input of entries.get(layer)?.calls[index]?.inputs ?? []) {
            const source = entries.get(input.layer);
            if (source === undefined) {
              throw new FileError(`${where}: "${layer}" takes the output of "${input.layer}", which is no layer of it`);
            }
            if (source.part === undefined) continue;
            const wanted: [string, number] = [input.layer, input.node - (offsets.get(input.layer) ?? 0)];
            const seen = state.get(`${wanted[1]} ${wanted[0]}`);
            if (seen === 'open') {
              throw new FileError(
                `${where}: its layers go round in a circle: "${layer}" needs "${input.layer}", and that "${layer}"`,
              );
            }
            if (seen === undefined) open.push(wanted);
          }
        } else {
          state.set(id, 'done');
          if (next[1] >= 0 && next[1] < (entries.get(next[0])?.calls.length ?? 0)) order.push(next);
          open.pop();
        }
      }
    }
  }
  return order;
}

/** [name, node, tensor], a list of such, or such by name. */
export function tensorNames(where: string, what: string, value: unknown): TensorName[] {
  const names = structure(where, what, value, 0);
  if (names.length === 0) throw new FileError(`${where}: ${what} are missing`);
  return names;
}

function structure(where: string, what: string, value: unknown, depth: number): TensorName[] {
  if (depth > DEEPEST) throw new FileError(`${where}: ${what} are nested more than ${DEEPEST} deep`);
  if (Array.isArray(value) && typeof value[0] === 'string') return [tensorName(where, what, value)];
  if (Array.isArray(value)) return value.flatMap((part) => structure(where, what, part, depth + 1));
  if (isFields(value)) return Object.values(value).flatMap((part) => structure(where, what, part, depth + 1));
  throw new FileError(`${where}: ${what} must be lists [layer, call, output], got ${show(value)}`);
}

function tensorName(where: string, what: string, value: readonly unknown[]): TensorName {
  return {
    layer: asText(where, `${what}: the layer`, value[0]),
    node: asCount(where, `${what}: the call`, value[1]),
    tensor: asCount(where, `${what}: the output`, value[2]),
  };
}

/** The calls of a layer in Keras 2's or Keras 3's way of writing them. */
export function readCalls(where: string, value: unknown): CallConfig[] {
  return asArray(where, 'inbound_nodes', value ?? []).map((node) => {
    if (isFields(node)) return readCall3(where, node);
    const list = asArray(where, 'inbound_nodes', node);
    const tensors = typeof list[0] === 'string' ? [list] : list.map((part) => asArray(where, 'inbound_nodes', part));
    const options = tensors.map((tensor) => tensor[3] ?? {});
    return {
      dialect: 2,
      inputs: tensors.map((tensor) => tensorName(where, 'inbound_nodes', tensor)),
      training: trainingOf(where, asFields(where, 'the options of a call', options[0] ?? {})),
    };
  });
}

function readCall3(where: string, node: Fields): CallConfig {
  const inputs: TensorName[] = [];
  const collect = (value: unknown, depth: number): void => {
    if (depth > DEEPEST) throw new FileError(`${where}: inbound_nodes are nested more than ${DEEPEST} deep`);
    if (Array.isArray(value)) {
      for (const part of value) collect(part, depth + 1);
      return;
    }
    const history = isFields(value) && isFields(value.config) ? value.config.keras_history : undefined;
    if (!isFields(value) || value.class_name !== '__keras_tensor__' || !Array.isArray(history)) {
      throw new FileError(`${where}: is called with ${show(value)}; layers are called with tensors`);
    }
    inputs.push(tensorName(where, 'inbound_nodes', history));
  };
  collect(asArray(where, 'args', node.args ?? []), 0);
  const kwargs = { ...asFields(where, 'kwargs', node.kwargs ?? {}) };
  // The only names for what layers take.
  for (const key of ['inputs', 'x']) {
    if (kwargs[key] !== undefined) collect(kwargs[key], 0);
    delete kwargs[key];
  }
  return { dialect: 3, inputs, training: trainingOf(where, kwargs) };
}

/** `training` of a call; other options must be empty. */
function trainingOf(where: string, options: Fields): boolean | undefined {
  for (const [key, value] of Object.entries(options)) {
    if (value === null || value === undefined || key === 'name') continue;
    if (key === 'training' && typeof value === 'boolean') continue;
    if (key === 'training' && (value === 0 || value === 1)) continue;
    throw new FileError(`${where}: is called with ${key} = ${show(value)}, which cannot be done here`);
  }
  const { training } = options;
  return training === null || training === undefined ? undefined : Boolean(training);
}
