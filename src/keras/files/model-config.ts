import { skipInit } from '../../nn/init.js';
import { FileError } from '../../tensor/errors.js';
import { InputLayer, type Layer, type SymbolicTensor } from '../layer.js';
import { FunctionalModel, type LayersModel, Sequential } from '../model.js';
import { formatKerasShape, type KerasShape } from '../shapes.js';
import { type CallConfig, type Called, firstCalls, inOrder, readCalls, type TensorName, tensorNames } from './calls.js';
import { asArray, asFields, asText, type Fields, isFields } from './json.js';
import { fromFile, type LayerReading, makeLayer } from './layer-table.js';
import { readDType, readShape } from './serialized.js';
import type { StoredLayer } from './stored-weights.js';

/** Shapes of one example instead of what the file says, for one input or by the names of several. */
export type InputShapes = KerasShape | Readonly<Record<string, KerasShape>>;

export interface ConfigReading {
  /** the file, in messages */
  readonly where: string;
  /** of the Keras that wrote it: 2 (also for TensorFlow.js) or 3 */
  readonly version: number;
  /** Numbers that the file can hold at most: no memory is taken for larger models. */
  readonly available: number;
  readonly inputShape: InputShapes | undefined;
  readonly ignoreConstraints: boolean;
}

/** A model that a configuration describes. */
export interface ConfiguredModel {
  readonly model: FunctionalModel | Sequential;
  /** its layers in the order and by the names of the configuration */
  readonly layers: readonly StoredLayer[];
}

/** Models in models in models. */
const DEEPEST = 32;
const MOST_LAYERS = 20_000;

/** Numbers that are still to be had. */
interface Budget {
  numbers: number;
  layers: number;
}

/** A model of a configuration, and what is known where it stands. */
interface ModelConfig {
  readonly reading: ConfigReading;
  readonly budget: Budget;
  readonly className: string;
  readonly config: Fields;
  /** asked for by the caller */
  readonly inputShape: InputShapes | undefined;
  /** how many models it is in */
  readonly depth: number;
}

/** A model or layer of a configuration before it has inputs: some can be made only when their shapes are known. */
interface Part {
  readonly name: string;
  readonly className: string;
  /** what weights go to, once it is made */
  readonly stored: StoredLayer;
  make(inputs: readonly KerasShape[]): Layer;
}

/**
 * The model of a configuration, built, with weights of zeros.
 *
 * @throws FileError that names what is unknown or impossible
 */
export function modelFromConfig(reading: ConfigReading, config: unknown): ConfiguredModel {
  return fromFile(reading.where, () => {
    const { className, fields } = describe(reading.where, config);
    const budget: Budget = { numbers: reading.available, layers: MOST_LAYERS };
    const { inputShape } = reading;
    const part = modelPart({ reading, budget, className, config: fields, inputShape, depth: 0 });
    if (part === undefined) {
      throw new FileError(
        `${reading.where}: the model is a ${className}: only Sequential and Functional ones say in the file what they consist of; build it with gabor/keras and take the weights alone: model.loadWeights(path)`,
      );
    }
    // The file has the weights.
    const model = skipInit(() => part.make([])) as FunctionalModel | Sequential;
    return { model, layers: part.stored.inner ?? [] };
  });
}

/** { class_name, config } of a model or layer. */
function describe(where: string, value: unknown): { className: string; fields: Fields; whole: Fields } {
  const whole = asFields(where, 'a layer', value);
  const className = asText(where, 'class_name', whole.class_name);
  const { config } = whole;
  // Sequential models of old versions are lists of layers.
  const fields = Array.isArray(config)
    ? { layers: config }
    : asFields(`${where}, ${className}`, 'config', config ?? {});
  return { className, fields, whole };
}

/** Keras's own classes live in modules named so; operations of its `ops` and classes of others do not. */
const OWN_MODULE = /^(tf_)?keras(\.src)?(\.(layers|models|engine|activations)\b.*)?$|^tensorflow\.keras\b/;

/** `a + b` and the like in Keras 3, which do what the layers of the same names do. */
function isMerge(module: string, className: string): boolean {
  return /^keras(\.src)?\.ops\.numpy$/.test(module) && /^(Add|Subtract|Multiply|Maximum|Minimum)$/.test(className);
}

/** Undefined for what is no model, or one that does not say of which layers. */
function modelPart(model: ModelConfig): Part | undefined {
  const { reading, budget, className, config, depth } = model;
  const kinds: Readonly<Record<string, (model: ModelConfig) => Part>> = {
    Sequential: sequentialPart,
    Functional: functionalPart,
    Model: functionalPart,
  };
  if (!Object.hasOwn(kinds, className) || !Array.isArray(config.layers)) return undefined;
  if (depth > DEEPEST) throw new FileError(`${reading.where}: has models within models more than ${DEEPEST} deep`);
  budget.layers -= config.layers.length;
  if (budget.layers < 0) throw new FileError(`${reading.where}: has more than ${MOST_LAYERS} layers`);
  return kinds[className](model);
}

/** A layer or a model that is one. */
function layerPart({ reading, budget, depth }: ModelConfig, value: unknown, model: string): Part {
  const { className, fields, whole } = describe(reading.where, value);
  const name = nameOf(whole, fields, className);
  const where = `${reading.where}: layer "${name}" (${className}) of the model "${model}"`;
  const { module } = whole;
  if (typeof module === 'string' && !OWN_MODULE.test(module) && !isMerge(module, className)) {
    const advice = /\bops\b/.test(module)
      ? 'an operation between layers; in Keras, put a layer such as Rescaling or Activation in its place and save again'
      : 'a custom class; build the model with gabor/keras and take the weights alone: model.loadWeights(path)';
    throw new FileError(`${where}: is ${module}.${className}, ${advice}`);
  }
  const inner = modelPart({
    reading: { ...reading, where },
    budget,
    className,
    config: fields,
    inputShape: undefined,
    depth: depth + 1,
  });
  if (inner !== undefined) return once(inner);
  const layerReading: LayerReading = { where, version: reading.version, ignoreConstraints: reading.ignoreConstraints };
  const { layer, size } = makeLayer(layerReading, className, fields, safeName(name));
  const stored: StoredLayer = { name, className, layer, inner: undefined };
  return {
    name,
    className,
    stored,
    make(inputs) {
      if (!layer.built) {
        budget.numbers -= size(inputs);
        if (budget.numbers < 0) {
          throw new FileError(
            `${where}: its weights would be ${size(inputs)} numbers, which are not in the file (it can hold ${reading.available} in all)`,
          );
        }
      }
      return layer;
    },
  };
}

/** A model that is called several times is one model. */
function once(part: Part): Part {
  let made: Layer | undefined;
  return { ...part, make: (inputs) => (made ??= part.make(inputs)) };
}

function nameOf(whole: Fields, fields: Fields, className: string): string {
  const name = fields.name ?? whole.name;
  return typeof name === 'string' && name !== '' ? name : className;
}

/** Names of modules have no dots. */
function safeName(name: string): string {
  return name.replaceAll('.', '_');
}

const isInput = (value: unknown): boolean => isFields(value) && value.class_name === 'InputLayer';

/** The input of a model, whatever says its shape: the caller, the file, or the inputs that the model gets as a layer. */
function inputLayer(
  reading: ConfigReading,
  name: string,
  config: Fields,
  asked: KerasShape | undefined,
  given: KerasShape | undefined,
): InputLayer {
  const where = `${reading.where}: input "${name}"`;
  const place = { where: `${where}, shape`, version: reading.version };
  for (const key of ['sparse', 'ragged', 'optional']) {
    if (config[key] === true) throw new FileError(`${where}: ${key} tensors cannot be taken; tensors are dense`);
  }
  const said = readShape(place, config.batch_shape ?? config.batch_input_shape);
  const shape = asked === undefined ? mergeShapes(where, said, given) : checkAsked(where, said, [null, ...asked]);
  if (shape === undefined || shape.slice(1).includes(null)) {
    const known = shape === undefined ? 'no shape' : `the shape ${formatKerasShape(shape)}`;
    throw new FileError(
      `${where}: the file says ${known}; shapes must be known but for the batch: load with { inputShape: [height, width, channels] }, or by name { inputShape: { "${name}": […] } }`,
    );
  }
  const dtype = readDType({ ...place, where: `${where}, dtype` }, config.dtype) ?? 'float32';
  return new InputLayer({ name: safeName(name), batchInputShape: shape, dtype });
}

/** What the caller asks for: layers will say what does not fit, but for the number of axes. */
function checkAsked(where: string, said: KerasShape | undefined, asked: KerasShape): KerasShape {
  if (said === undefined || said.length === asked.length) return asked;
  throw new FileError(
    `${where}: takes ${formatKerasShape(said)} with the batch, for which inputShape needs ${said.length - 1} extents, got ${formatKerasShape(asked.slice(1))}`,
  );
}

/** The extents that one of both knows. */
function mergeShapes(
  where: string,
  said: KerasShape | undefined,
  given: KerasShape | undefined,
): KerasShape | undefined {
  if (said === undefined || given === undefined) return said ?? given;
  const fits =
    said.length === given.length && said.every((n, i) => i === 0 || n === null || given[i] === null || n === given[i]);
  if (fits) return said.map((n, i) => (i === 0 ? null : (n ?? given[i])));
  throw new FileError(
    `${where}: takes ${formatKerasShape(said)} by the file, which ${formatKerasShape(given)} does not fit`,
  );
}

/** The shape that the caller asks for. */
function askedShape(
  reading: ConfigReading,
  inputShape: InputShapes | undefined,
  name: string,
  names: readonly string[],
): KerasShape | undefined {
  if (inputShape === undefined) return undefined;
  if (!Array.isArray(inputShape)) {
    const unknown = Object.keys(inputShape).find((key) => !names.includes(key));
    if (unknown !== undefined) {
      throw new FileError(`${reading.where}: has no input "${unknown}"; its inputs: ${names.join(', ')}`);
    }
    return (inputShape as Readonly<Record<string, KerasShape>>)[name];
  }
  if (names.length === 1) return inputShape as KerasShape;
  throw new FileError(
    `${reading.where}: has ${names.length} inputs (${names.join(', ')}); give their shapes by name, { inputShape: { "${names[0]}": […] } }`,
  );
}

function trainableOf(model: LayersModel, config: Fields): void {
  if (config.trainable === false) model.trainable = false;
}

function sequentialPart(whole: ModelConfig): Part {
  const { reading, className, config, inputShape } = whole;
  const name = nameOf({}, config, className);
  const list = asArray(reading.where, 'layers', config.layers);
  const first = isInput(list[0]) ? asFields(reading.where, 'config', (list[0] as Fields).config) : undefined;
  const parts = list.slice(first === undefined ? 0 : 1).map((value) => {
    if (isInput(value))
      throw new FileError(`${reading.where}: the model "${name}" has a second input; a Sequential has one`);
    return layerPart(whole, value, name);
  });
  const stored: StoredLayer = { name, className, layer: undefined, inner: parts.map((part) => part.stored) };
  return {
    name,
    className,
    stored,
    make([given]) {
      const model = new Sequential({ name: safeName(name) });
      const inputName = first === undefined ? `${name}_input` : nameOf({}, first, 'input');
      const asked = askedShape(reading, inputShape, inputName, [inputName]);
      const own = first ?? { batch_input_shape: firstShape(list[0]) ?? config.build_input_shape };
      const input = inputLayer(reading, inputName, own, asked, given);
      model.add(input);
      let shapes: readonly KerasShape[] = [input.tensor.shape];
      for (const part of parts) {
        model.add(part.make(shapes));
        shapes = model.outputs.map(({ shape }) => shape);
      }
      trainableOf(model, config);
      return model;
    },
  };
}

/** What the first layer says about the input, or the first layer of a model that is it. */
function firstShape(value: unknown): unknown {
  for (let next = value, depth = 0; isFields(next) && depth <= DEEPEST; depth++) {
    const { config } = next;
    if (!isFields(config)) return undefined;
    const shape = config.batch_input_shape ?? config.batch_shape;
    if (shape !== undefined && shape !== null) return shape;
    next = Array.isArray(config.layers) ? config.layers[0] : undefined;
  }
  return undefined;
}

/** A layer of a functional model; inputs have no part. */
interface Entry extends Called {
  readonly part: Part | undefined;
  readonly config: Fields;
}

function functionalPart(whole: ModelConfig): Part {
  const { reading, className, config, inputShape } = whole;
  const name = nameOf({}, config, className);
  const where = `${reading.where}: the model "${name}"`;
  const list = asArray(where, 'layers', config.layers).map((value) => asFields(where, 'a layer', value));
  const entries = new Map<string, Entry>();
  const inner: StoredLayer[] = [];
  for (const layer of list) {
    const fields = isFields(layer.config) ? layer.config : {};
    const layerName = typeof layer.name === 'string' ? layer.name : nameOf({}, fields, 'layer');
    if (entries.has(layerName)) throw new FileError(`${where}: has two layers named "${layerName}"`);
    const part = isInput(layer) ? undefined : layerPart(whole, layer, name);
    if (part !== undefined) inner.push(part.stored);
    const calls = readCalls(`${where}, layer "${layerName}"`, layer.inbound_nodes);
    entries.set(layerName, { part, config: fields, calls });
  }
  const inputs = tensorNames(where, 'input_layers', config.input_layers);
  const outputs = tensorNames(where, 'output_layers', config.output_layers);
  const offsets = firstCalls(entries, outputs);
  const stored: StoredLayer = { name, className, layer: undefined, inner };
  return {
    name,
    className,
    stored,
    make(given) {
      const made = new Map<string, readonly SymbolicTensor[]>();
      const key = (layer: string, node: number): string => `${node} ${layer}`;
      const names = inputs.map(({ layer }) => layer);
      const sources = inputs.map(({ layer }, i) => {
        const entry = entries.get(layer);
        if (entry === undefined || entry.part !== undefined) {
          throw new FileError(`${where}: its input "${layer}" is no InputLayer`);
        }
        const asked = askedShape(reading, inputShape, layer, names);
        const source = inputLayer(reading, layer, entry.config, asked, given[i]).tensor;
        made.set(key(layer, 0), [source]);
        return source;
      });
      const find = ({ layer, node, tensor }: TensorName, first: ReadonlyMap<string, number>): SymbolicTensor => {
        const at = node - (entries.get(layer)?.part === undefined ? 0 : (first.get(layer) ?? 0));
        const found = made.get(key(layer, at))?.[tensor];
        if (found !== undefined) return found;
        throw new FileError(`${where}: uses output ${tensor} of call ${node} of "${layer}", which does not exist`);
      };
      for (const [layerName, index] of inOrder(where, entries, offsets.inner)) {
        const { part, calls } = entries.get(layerName) as { part: Part; calls: readonly CallConfig[] };
        const call = calls[index];
        const tensors = call.inputs.map((input) => find(input, offsets.inner));
        const layer = part.make(tensors.map(({ shape }) => shape));
        made.set(key(layerName, index), layer.connect(tensors, call.training).outputs);
      }
      const model = new FunctionalModel({
        inputs: sources,
        outputs: outputs.map((output) => find(output, offsets.outputs)),
        name: safeName(name),
      });
      trainableOf(model, config);
      return model;
    },
  };
}
