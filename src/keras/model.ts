import { type Compiled, compile as compileProgram } from '../graph/compile.js';
import { Sequential as ModuleSequential } from '../nn/layers/container.js';
import type { Module } from '../nn/module.js';
import { concat } from '../ops/concat.js';
import { tensor } from '../ops/create.js';
import { checkOptions, GaborError, OptionError } from '../tensor/errors.js';
import { sizeOf } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { inMode } from '../train/forward.js';
import type { History } from './callbacks.js';
import { prepareBatch } from './examples.js';
import type { LoadKerasWeightsOptions } from './files/load-weights.js';
import {
  type BatchDataset,
  type EvaluateArgs,
  evaluateModel,
  type FitArgs,
  type FitDatasetArgs,
  fitDatasetModel,
  fitModel,
} from './fit.js';
import { Batches, checkShapes, countExamples, listTensors, range, type TensorData, toHostData } from './host-data.js';
import {
  type Built,
  InputLayer,
  Layer,
  type LayerOptions,
  type Node,
  one,
  SymbolicTensor,
  type Weight,
} from './layer.js';
import { callModule, type GraphStep, KerasGraph } from './modules.js';
import type { KerasOptimizer } from './optimizers.js';
import type { KerasShape } from './shapes.js';
import { printSummary } from './summary.js';
import { type CompileArgs, Trainer } from './trainer.js';

/** A network of layers that can be trained: what `sequential` and `model` make. It is a layer itself, too. */
export abstract class LayersModel extends Layer {
  /** Set to true, for example by a callback, to stop training. */
  stopTraining = false;
  #args: CompileArgs | undefined;
  #trainer: Trainer | undefined;
  #predict: Compiled<[readonly Tensor[]], readonly Tensor[]> | undefined;

  abstract get layers(): readonly Layer[];
  abstract get inputs(): readonly SymbolicTensor[];
  abstract get outputs(): readonly SymbolicTensor[];

  /** Names of the layers that the inputs come from. */
  get inputNames(): string[] {
    return this.inputs.map(({ name }) => name);
  }

  /** Names of the layers that the outputs come from, told apart by a number where one layer has several. */
  get outputNames(): string[] {
    const names = this.outputs.map(({ name }) => name);
    return names.map((name, i) =>
      names.indexOf(name) === i ? name : `${name}_${names.slice(0, i).filter((n) => n === name).length}`,
    );
  }

  override get input(): SymbolicTensor | readonly SymbolicTensor[] {
    return one(this.inputs);
  }

  override get output(): SymbolicTensor | readonly SymbolicTensor[] {
    return one(this.outputs);
  }

  override get inputShape(): KerasShape | readonly KerasShape[] {
    return one(this.inputs.map(({ shape }) => shape));
  }

  override get outputShape(): KerasShape | readonly KerasShape[] {
    return one(this.outputs.map(({ shape }) => shape));
  }

  /** All layers, those of inner models included. */
  get allLayers(): readonly Layer[] {
    return this.layers.flatMap((layer) => (layer instanceof LayersModel ? layer.allLayers : [layer]));
  }

  override get trainable(): boolean {
    return super.trainable;
  }

  override set trainable(trainable: boolean) {
    super.trainable = trainable;
    for (const layer of this.layers) layer.trainable = trainable;
  }

  override get trainableWeights(): readonly Weight[] {
    return this.trainable ? this.layers.flatMap((layer) => layer.trainableWeights) : [];
  }

  override get nonTrainableWeights(): readonly Weight[] {
    const fixed = this.layers.flatMap((layer) => layer.nonTrainableWeights);
    return this.trainable ? fixed : [...this.layers.flatMap((layer) => layer.trainableWeights), ...fixed];
  }

  /** A layer by its name or its position. */
  getLayer(nameOrIndex: string | number): Layer {
    const found =
      typeof nameOrIndex === 'number' ? this.layers[nameOrIndex] : this.layers.find(({ name }) => name === nameOrIndex);
    if (found !== undefined) return found;
    throw new OptionError(
      `model "${this.name}" has no layer ${JSON.stringify(nameOrIndex)}; its layers: ${this.layers.map(({ name }) => name).join(', ')}`,
    );
  }

  /** Says what to train with: `compile({ optimizer: 'adam', loss: 'categoricalCrossentropy', metrics: ['accuracy'] })`. */
  compile(args: CompileArgs): void {
    checkOptions('compile', args, ['optimizer', 'loss', 'metrics']);
    if (args.loss === undefined || args.optimizer === undefined) {
      throw new OptionError('compile: needs an optimizer and a loss');
    }
    this.#trainer?.dispose();
    this.#trainer = undefined;
    this.#args = args;
    if (this.built) void this.trainer;
  }

  /** @throws GaborError before {@link compile} */
  get trainer(): Trainer {
    if (this.#args === undefined) {
      throw new GaborError(`model "${this.name}": call compile({ optimizer, loss }) before training or evaluating`);
    }
    this.#trainer ??= new Trainer(this, this.#args);
    return this.#trainer;
  }

  /** Whether {@link compile} has been called. */
  get compiled(): boolean {
    return this.#args !== undefined;
  }

  get optimizer(): KerasOptimizer {
    return this.trainer.optimizer;
  }

  /** `loss` and the metrics, in the order of {@link evaluate}. */
  get metricsNames(): readonly string[] {
    return this.trainer.names;
  }

  /**
   * Trains on examples in memory.
   *
   * @param x [examples, …], one tensor for each input
   * @param y targets, one tensor for each output
   */
  fit(x: TensorData, y: TensorData, args: FitArgs = {}): Promise<History> {
    return fitModel(this, x, y, args);
  }

  /**
   * Trains on batches { xs, ys } as they come.
   *
   * @param dataset goes through its batches once per epoch
   */
  fitDataset(dataset: BatchDataset, args: FitDatasetArgs): Promise<History> {
    return fitDatasetModel(this, dataset, args);
  }

  /** Loss and metrics of examples in memory, scalars: the loss alone where there are no metrics. */
  evaluate(x: TensorData, y: TensorData, args: EvaluateArgs = {}): Tensor | Tensor[] {
    return one(evaluateModel(this, x, y, args).map((value) => tensor(value)));
  }

  /** One step of training on one batch: loss and metrics before it. */
  async trainOnBatch(x: TensorData, y: TensorData): Promise<number | number[]> {
    using batch = prepareBatch(this, 'trainOnBatch', x, y);
    return one(await this.trainer.train(batch.x, batch.y, []));
  }

  /** Loss and metrics of one batch. */
  testOnBatch(x: TensorData, y: TensorData): number | number[] {
    using batch = prepareBatch(this, 'testOnBatch', x, y);
    return one(this.trainer.test(batch.x, batch.y, []));
  }

  /** Outputs for examples in memory, `batchSize` (default 32) at a time. */
  predict(x: TensorData, args: { readonly batchSize?: number } = {}): Tensor | Tensor[] {
    checkOptions('predict', args, ['batchSize', 'verbose']);
    const batchSize = checkBatchSize('predict', args.batchSize ?? 32);
    this.ensureBuilt(x);
    const { module } = this;
    const sets = toHostData('predict', 'x', listTensors('predict', 'x', x, this.inputNames));
    checkShapes('predict', 'input', sets, this.inputs);
    const count = countExamples('predict', sets);
    this.#predict ??= compileProgram<[readonly Tensor[]], readonly Tensor[]>((xs) =>
      inMode(module, false, () => callModule(this.name, module, xs)),
    );
    using batches = new Batches(sets, this.inputDTypes);
    const parts: Tensor[][] = [];
    const size = Math.min(batchSize, count);
    for (let from = 0; from < count; from += size) {
      const to = Math.min(from + size, count);
      // The last batch is filled up with zeros: no program of its own.
      const outputs = this.#predict.sync(batches.gather(range(from, to), size));
      parts.push(outputs.map((output) => (to - from === size ? output : firstRows(output, to - from))));
    }
    const outputs = parts[0].map((first, i) => {
      if (parts.length === 1) return first;
      const pieces = parts.map((part) => part[i]);
      const whole = joinRows(pieces);
      for (const piece of pieces) piece.dispose();
      return whole;
    });
    return one(outputs);
  }

  predictOnBatch(x: TensorData): Tensor | Tensor[] {
    const count = (x instanceof Tensor ? x : Object.values(x as readonly Tensor[])[0]).shape[0];
    return this.predict(x, { batchSize: count });
  }

  /** The engine's dtypes of the inputs. */
  get inputDTypes(): ('f32' | 'i32')[] {
    return this.inputs.map(({ dtype }) => (dtype === 'int32' ? 'i32' : 'f32'));
  }

  /** Builds a model that was given no input shape for these examples. */
  ensureBuilt(x: TensorData): void {
    if (this.built) return;
    const [first] = x instanceof Tensor ? [x] : Object.values(x as readonly Tensor[]);
    this.build([[null, ...first.shape.slice(1)]]);
  }

  /**
   * Replaces the weights by those of a file: `.weights.h5`, `.h5` or `.keras` of Keras, or `model.json` of TensorFlow.js, whole models or weights
   * alone. As in Keras, layers correspond by their order, or for TensorFlow.js by their names.
   *
   * @throws FileError where they do not fit; nothing is changed then
   */
  async loadWeights(path: string, options: LoadKerasWeightsOptions = {}): Promise<void> {
    if (!this.built) {
      throw new GaborError(
        `model "${this.name}": has no weights yet; give its first layer an inputShape, or call it on data`,
      );
    }
    const { loadWeightsInto } = await import('./files/load-weights.js');
    await loadWeightsInto(this, path, options);
  }

  /**
   * Writes the model, for Keras 3 to a path that ends in `.keras`, for TensorFlow.js to `model.json` or, as that spells it, to a folder
   * `file://…`, with the weights in shards beside it. Files that are there are replaced.
   *
   * @returns what the file cannot hold, as sentences
   * @throws FileError for layers and options that Keras or TensorFlow.js does not have, by name; nothing is written then
   */
  async save(path: string): Promise<string[]> {
    const { saveModel } = await import('./files/save.js');
    return await saveModel(this, path);
  }

  /**
   * Writes the weights alone, for `load_weights` of Keras 3.
   *
   * @param path ends in `.weights.h5`
   * @throws FileError for other names, and where nothing can be written
   */
  async saveWeights(path: string): Promise<void> {
    const { saveModelWeights } = await import('./files/save.js');
    await saveModelWeights(this, path);
  }

  /** Copies of all weights; the result puts them back. */
  captureWeights(): () => void {
    const copies = this.weights.map(({ tensor }) => [tensor, tensor.data()] as const);
    return () => {
      for (const [target, copy] of copies) target.write(copy);
    };
  }

  /**
   * Prints the layers, their output shapes and their numbers of parameters, as Keras does.
   *
   * @param lineLength characters per line; default as long as needed
   * @param positions where columns end, as parts of the line
   * @param printFn takes each line; default `console.log`
   */
  summary(lineLength?: number, positions?: readonly number[], printFn: (line: string) => void = console.log): void {
    printSummary(this, lineLength, positions, printFn);
  }

  /** Frees the memory of weights, programs and optimizer. */
  dispose(): void {
    this.#trainer?.dispose();
    this.#predict?.dispose();
    if (this.built) this.module.dispose();
  }

  protected releasePrograms(): void {
    this.#trainer?.dispose();
    this.#trainer = undefined;
    this.#predict?.dispose();
    this.#predict = undefined;
  }
}

/** A positive whole number. */
function checkBatchSize(where: string, size: unknown): number {
  if (Number.isInteger(size) && (size as number) >= 1) return size as number;
  throw new OptionError(`${where}: batchSize must be an integer ≥ 1, got ${JSON.stringify(size)}`);
}

function firstRows(x: Tensor, rows: number): Tensor {
  const shape = [rows, ...x.shape.slice(1)];
  const result = tensor(x.data().subarray(0, sizeOf(shape)), { shape, dtype: x.dtype });
  x.dispose();
  return result;
}

function joinRows(parts: readonly Tensor[]): Tensor {
  return concat(parts, 0);
}

/** Options of {@link model}. */
export interface ModelOptions {
  /** what `input` returned, one or several */
  readonly inputs: SymbolicTensor | readonly SymbolicTensor[];
  /** what layers returned for them, one or several */
  readonly outputs: SymbolicTensor | readonly SymbolicTensor[];
  readonly name?: string;
}

/** A directed graph of layers with any number of inputs and outputs. */
export class FunctionalModel extends LayersModel {
  readonly layers: readonly Layer[];
  readonly inputs: readonly SymbolicTensor[];
  readonly outputs: readonly SymbolicTensor[];
  /** The calls between inputs and outputs, each behind those that it needs. */
  readonly nodes: readonly Node[];

  constructor(options: ModelOptions) {
    checkOptions('model', options, ['inputs', 'outputs', 'name']);
    super('model', 'Functional', options.name === undefined ? {} : { name: options.name }, []);
    const list = (what: string, given: ModelOptions['inputs']): SymbolicTensor[] => {
      const tensors = given instanceof SymbolicTensor ? [given] : Array.isArray(given) ? [...given] : [];
      if (tensors.length === 0 || !tensors.every((t) => t instanceof SymbolicTensor)) {
        throw new OptionError(`model: ${what} must be what input() and layers return, one or several`);
      }
      return tensors;
    };
    this.inputs = list('inputs', options.inputs);
    this.outputs = list('outputs', options.outputs);
    this.nodes = nodesBetween(this.inputs, this.outputs);
    this.layers = layersByDepth(this.inputs, this.outputs, this.nodes);
    checkNames(this.layers);
    this.build(this.inputs.map(({ shape }) => shape));
  }

  protected create(): Built {
    const layers = this.layers.filter((layer) => !(layer instanceof InputLayer));
    // Numbered from 0 in the order in which they come to be, so that equal models have equal configurations.
    const ids = new Map<SymbolicTensor, number>();
    const number = (tensor: SymbolicTensor): number => {
      if (!ids.has(tensor)) ids.set(tensor, ids.size);
      return ids.get(tensor) as number;
    };
    const inputs = this.inputs.map(number);
    const steps = this.nodes.map(
      (node): GraphStep => ({
        layer: node.layer.name,
        inputs: node.inputs.map(number),
        outputs: node.outputs.map(number),
        ...(node.training === undefined ? {} : { training: node.training }),
      }),
    );
    return {
      module: new KerasGraph({
        layers: Object.fromEntries(layers.map((layer) => [layer.name, layer.module])),
        steps,
        inputs,
        outputs: this.outputs.map(number),
      }),
    };
  }
}

/** The calls that lead from `inputs` to `outputs`, in an order in which they can be made. */
function nodesBetween(inputs: readonly SymbolicTensor[], outputs: readonly SymbolicTensor[]): Node[] {
  const found = new Set<Node>();
  const open = [...outputs];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (inputs.includes(next)) continue;
    const { node } = next;
    if (node === undefined || node.inputs.length === 0) {
      throw new OptionError(
        `model: an output depends on the input "${next.name}", which is not among inputs (${inputs.map(({ name }) => name).join(', ')})`,
      );
    }
    if (found.has(node)) continue;
    found.add(node);
    open.push(...node.inputs);
  }
  return [...found].sort((a, b) => a.id - b.id);
}

/**
 * Layers in Keras's order, which files of weights rely on: by the number of calls to the furthest output, the most first, then as a
 * depth-first walk from the outputs meets them.
 *
 * @param nodes each behind those that it needs
 */
function layersByDepth(
  inputs: readonly SymbolicTensor[],
  outputs: readonly SymbolicTensor[],
  nodes: readonly Node[],
): Layer[] {
  const inside = new Set(nodes);
  const met = new Map<Layer, number>();
  const postorder: Node[] = [];
  const entered = new Set<Node>();
  const open = [...outputs].reverse().map((tensor) => ({ tensor, left: false }));
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { node } = next.tensor;
    if (node === undefined) continue;
    if (next.left) {
      postorder.push(node);
      continue;
    }
    if (entered.has(node)) continue;
    const source = inputs.includes(next.tensor);
    if (source && !(node.layer instanceof InputLayer)) continue;
    entered.add(node);
    if (!met.has(node.layer)) met.set(node.layer, met.size);
    open.push({ tensor: next.tensor, left: true });
    if (!source) open.push(...[...node.inputs].reverse().map((tensor) => ({ tensor, left: false })));
  }
  const nodeDepths = new Map<Node, number>();
  const depths = new Map<Layer, number>();
  for (const node of postorder.reverse()) {
    const depth = Math.max(nodeDepths.get(node) ?? 0, depths.get(node.layer) ?? 0);
    depths.set(node.layer, depth);
    for (const { node: before } of inside.has(node) ? node.inputs : []) {
      if (before !== undefined) nodeDepths.set(before, Math.max(nodeDepths.get(before) ?? 0, depth + 1));
    }
  }
  // Inputs that nothing depends on come to be last.
  for (const { sourceLayer } of inputs) {
    if (!(sourceLayer instanceof InputLayer) || depths.has(sourceLayer)) continue;
    depths.set(sourceLayer, 0);
    met.set(sourceLayer, -1);
  }
  const rank = (layer: Layer): [number, number] => [depths.get(layer) as number, met.get(layer) as number];
  return [...depths.keys()].sort((a, b) => {
    const [[depthA, metA], [depthB, metB]] = [rank(a), rank(b)];
    return depthB - depthA || metA - metB;
  });
}

function checkNames(layers: readonly Layer[]): void {
  const names = layers.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new OptionError(`a model has two layers named "${twice}"; give one of them another name`);
  }
}

/** Options of {@link sequential}. */
export interface SequentialOptions {
  readonly layers?: readonly Layer[];
  readonly name?: string;
}

/** Layers one after the other. Without an input shape they are built when data come. */
export class Sequential extends LayersModel {
  readonly #layers: Layer[] = [];
  #inputs: SymbolicTensor[] = [];
  #output: SymbolicTensor | undefined;
  #module: ModuleSequential | undefined;

  constructor(options: SequentialOptions = {}) {
    checkOptions('sequential', options, ['layers', 'name']);
    super('sequential', 'Sequential', options.name === undefined ? {} : { name: options.name }, []);
    for (const layer of options.layers ?? []) this.add(layer);
  }

  get layers(): readonly Layer[] {
    return this.#layers;
  }

  get inputs(): readonly SymbolicTensor[] {
    return this.#inputs;
  }

  get outputs(): readonly SymbolicTensor[] {
    return this.#output === undefined ? [] : [this.#output];
  }

  /** Puts a layer at the end; the first one tells the input shape with `inputShape`, or the data do later. */
  add(layer: Layer): void {
    if (!(layer instanceof Layer)) throw new OptionError('sequential: add takes a layer, such as layers.dense({ … })');
    if (layer instanceof InputLayer) {
      if (this.#layers.length > 0 || this.#inputs.length > 0) {
        throw new OptionError('sequential: the input comes before all other layers');
      }
      this.#start(layer.tensor);
      return;
    }
    checkNames([...this.#layers, layer]);
    if (this.#layers.length === 0 && this.#inputs.length === 0) {
      const inner = layer instanceof LayersModel ? layer.inputs[0] : undefined;
      const shape = layer.batchInputShape ?? inner?.shape;
      if (shape !== undefined) {
        this.#start(new InputLayer({ batchInputShape: shape, dtype: inner?.dtype ?? layer.dtype }).tensor);
      }
    }
    if (this.#output !== undefined) this.#connect(layer);
    this.#layers.push(layer);
    this.#module = undefined;
    this.releasePrograms();
  }

  /** Takes the last layer off. */
  pop(): void {
    if (this.#layers.pop() === undefined) throw new OptionError('sequential: there is no layer to take off');
    this.#module = undefined;
    this.releasePrograms();
    const before = this.#layers.at(-1);
    this.#output = before === undefined ? this.#inputs[0] : before.inboundNodes.at(-1)?.outputs[0];
  }

  #start(x: SymbolicTensor): void {
    this.#inputs = [x];
    this.#output = x;
  }

  #connect(layer: Layer): void {
    const { outputs } = layer.connect([this.#output as SymbolicTensor]);
    if (outputs.length !== 1) {
      throw new OptionError(
        `sequential: layer "${layer.name}" has ${outputs.length} outputs; use model({ inputs, outputs })`,
      );
    }
    this.#output = outputs[0];
  }

  override get built(): boolean {
    return this.#output !== undefined && this.#layers.length > 0;
  }

  override build(inputShapes: readonly KerasShape[]): void {
    if (this.#inputs.length > 0) return;
    if (this.#layers.length === 0) throw new GaborError(`model "${this.name}" has no layers`);
    this.#start(new InputLayer({ batchInputShape: inputShapes[0] }).tensor);
    for (const layer of this.#layers) this.#connect(layer);
  }

  override get module(): Module {
    if (!this.built) {
      throw new GaborError(
        `model "${this.name}" is not built yet: give its first layer an inputShape, or call it on data`,
      );
    }
    this.#module ??= new ModuleSequential(Object.fromEntries(this.#layers.map(({ name, module }) => [name, module])));
    return this.#module;
  }

  protected create(): Built {
    return { module: this.module };
  }
}

/** A model of layers one after the other. */
export function sequential(options: SequentialOptions = {}): Sequential {
  return new Sequential(options);
}

/** A model of the layers between `inputs` and `outputs`. */
export function model(options: ModelOptions): FunctionalModel {
  return new FunctionalModel(options);
}

export type { LayerOptions };
