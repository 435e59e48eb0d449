import { trace } from '../graph/trace.js';
import { initSkipped } from '../nn/init.js';
import type { Module } from '../nn/module.js';
import { tensor } from '../ops/create.js';
import { checkOptions, GaborError, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, type Shape, sameShape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { inMode } from '../train/forward.js';
import type { Initializer } from './initializers.js';
import { callModule } from './modules.js';
import type { Regularizer } from './regularizers.js';
import { extents, formatKerasShape, inverseOrder, type KerasShape, permuteArray } from './shapes.js';

/** Options of every layer. */
export interface LayerOptions {
  /** default: the kind in snake case with a number, such as `conv2d_1`; unique within a model */
  readonly name?: string;
  /** Whether training changes the weights; default true. */
  readonly trainable?: boolean;
  /** of one example, for the first layer of a sequential model */
  readonly inputShape?: KerasShape;
  /** `inputShape` with the batch axis (null) in front */
  readonly batchInputShape?: KerasShape;
  /** of the input that `inputShape` makes; default `float32` */
  readonly dtype?: KerasDType;
}

const LAYER_OPTIONS: readonly string[] = ['name', 'trainable', 'inputShape', 'batchInputShape', 'dtype'];

/** What tensors may hold: everything is computed in single precision or 32-bit integers. */
export type KerasDType = 'float32' | 'int32';

/** Where a weight lies in the engine, and how Keras lays it out. */
export interface WeightSpec {
  readonly name: string;
  readonly tensor: Tensor;
  /** Axes of the engine's tensor, where Keras splits one in two; default: its shape. */
  readonly view?: Shape;
  /** Axis i of Keras's weight is axis `order[i]` of the view; default: the same order. */
  readonly order?: readonly number[];
  /** false for running statistics; default true */
  readonly trainable?: boolean;
  readonly initializer?: Initializer;
  readonly regularizer?: Regularizer | undefined;
}

/** One weight of a layer in Keras's layout. */
export class Weight {
  readonly name: string;
  /** in Keras's layout */
  readonly shape: Shape;
  /** the engine's tensor, in the engine's layout */
  readonly tensor: Tensor;
  readonly trainable: boolean;
  readonly regularizer: Regularizer | undefined;
  readonly #view: Shape;
  readonly #order: readonly number[];

  constructor(layer: string, spec: WeightSpec) {
    this.name = `${layer}/${spec.name}`;
    this.tensor = spec.tensor;
    this.trainable = spec.trainable ?? true;
    this.regularizer = spec.regularizer;
    this.#view = spec.view ?? spec.tensor.shape;
    this.#order = spec.order ?? this.#view.map((_, axis) => axis);
    this.shape = this.#order.map((axis) => this.#view[axis]);
    if (spec.initializer !== undefined && !initSkipped()) this.write(spec.initializer.values(this.shape));
  }

  /** A copy in Keras's layout. */
  read(): Tensor {
    return tensor(permuteArray(this.tensor.data(), this.#view, this.#order), { shape: this.shape });
  }

  /** Replaces the contents by elements in Keras's layout. */
  write(values: ArrayLike<number>): void {
    this.tensor.write(permuteArray(values, this.shape, inverseOrder(this.#order)));
  }
}

/** Weights that a file of Keras 3 has together, numbered. */
export interface StoredPart {
  readonly path: readonly string[];
  readonly weights: readonly Weight[];
}

/** What a layer consists of once its input shapes are known. */
export interface Built {
  readonly module: Module;
  readonly weights?: readonly WeightSpec[];
  readonly activityRegularizer?: Regularizer | undefined;
  /** told whether the layer is trainable, at once and whenever that changes */
  readonly onTrainable?: (trainable: boolean) => void;
}

/** One call of a layer. */
export interface Node {
  /** grows with every call, so that inputs come before what is made of them */
  readonly id: number;
  readonly layer: Layer;
  readonly inputs: readonly SymbolicTensor[];
  readonly outputs: readonly SymbolicTensor[];
  /** Whether the layer is in training in this call; undefined: as the model is. */
  readonly training?: boolean | undefined;
}

/** Options of the call of a layer. */
export interface CallOptions {
  /**
   * false: the layer works as in use even while the model trains (batch normalisation with its moving statistics, no dropout), true: as
   * in training even in use; default: as the model does.
   */
  readonly training?: boolean;
}

let nodes = 0;

/** A tensor of a model that is being described: its shape, and the call that makes it. */
export class SymbolicTensor {
  readonly shape: KerasShape;
  readonly dtype: KerasDType;
  readonly name: string;
  /** undefined for inputs of sequential models that are not connected yet */
  node: Node | undefined;

  constructor(shape: KerasShape, dtype: KerasDType, name: string) {
    this.shape = shape;
    this.dtype = dtype;
    this.name = name;
  }

  get sourceLayer(): Layer | undefined {
    return this.node?.layer;
  }
}

const counts = new Map<string, number>();

/** `conv2d`, `conv2d_1`, … for Conv2D. */
function uniqueName(className: string): string {
  const base = className
    .replace(/([a-z0-9])([A-Z][a-z])/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .replace(/_(\dd)/g, '$1');
  const count = counts.get(base) ?? 0;
  counts.set(base, count + 1);
  return count === 0 ? base : `${base}_${count}`;
}

/** Puts the layer's name in front of messages that do not have it. */
function inLayer<T>(layer: Layer, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (error instanceof GaborError && !error.message.startsWith('layer "')) {
      error.message = `layer "${layer.name}" (${layer.className}): ${error.message}`;
    }
    throw error;
  }
}

/**
 * A layer: a description that becomes modules of the engine when the shapes of its inputs are known, at its first call.
 * Calling it again shares the weights.
 */
export abstract class Layer {
  readonly name: string;
  /** Keras's name of the kind, such as `Conv2D`. */
  readonly className: string;
  /** What {@link LayerOptions.inputShape} says, with the batch axis. */
  readonly batchInputShape: KerasShape | undefined;
  readonly dtype: KerasDType;
  /** What the layer was made with. */
  readonly options: LayerOptions;
  readonly inboundNodes: Node[] = [];
  #trainable: boolean;
  #built: Built | undefined;
  #weights: readonly Weight[] = [];
  #inputShapes: readonly KerasShape[] = [];

  /** @param where the factory's name, in messages */
  constructor(where: string, className: string, options: LayerOptions, known: readonly string[]) {
    if (typeof options !== 'object' || options === null) {
      throw new OptionError(`${where}: takes an object of options, got ${String(options)}`);
    }
    const label = options.name === undefined ? where : `${where} "${options.name}"`;
    checkOptions(label, options, [...known, ...LAYER_OPTIONS]);
    const { name, trainable = true, inputShape, batchInputShape, dtype = 'float32' } = options;
    if (name !== undefined && (typeof name !== 'string' || name === '' || name.includes('.'))) {
      throw new OptionError(`${where}: a name is text without dots, got ${JSON.stringify(name)}`);
    }
    if (inputShape !== undefined && batchInputShape !== undefined) {
      throw new OptionError(`${label}: inputShape and batchInputShape say the same; give one`);
    }
    if (dtype !== 'float32' && dtype !== 'int32') {
      throw new OptionError(`${label}: dtype must be "float32" or "int32", got ${JSON.stringify(dtype)}`);
    }
    this.className = className;
    this.options = options;
    this.name = name ?? uniqueName(className);
    this.#trainable = trainable;
    this.batchInputShape = batchInputShape ?? (inputShape && [null, ...inputShape]);
    this.dtype = dtype;
  }

  /** Makes the module for these inputs. */
  protected abstract create(inputShapes: readonly KerasShape[]): Built;

  /** Whether training changes the weights. Changes count from the next `compile` on. */
  get trainable(): boolean {
    return this.#trainable;
  }

  set trainable(trainable: boolean) {
    this.#trainable = trainable;
    this.#built?.onTrainable?.(trainable);
  }

  get built(): boolean {
    return this.#built !== undefined;
  }

  /**
   * The engine's module, an ordinary one.
   *
   * @throws GaborError before the first call, which tells the layer its input shape
   */
  get module(): Module {
    if (this.#built === undefined) {
      throw new GaborError(
        `layer "${this.name}" (${this.className}) is not built yet: give inputShape, or apply it to an input`,
      );
    }
    return this.#built.module;
  }

  get activityRegularizer(): Regularizer | undefined {
    return this.#built?.activityRegularizer;
  }

  /** Makes modules and weights for inputs of these shapes (with the batch axis); a second time it only checks them. */
  build(inputShapes: readonly KerasShape[]): void {
    if (this.#built !== undefined) return;
    inLayer(this, () => {
      const built = this.create(inputShapes);
      this.#weights = (built.weights ?? []).map((spec) => new Weight(this.name, spec));
      this.#built = built;
      this.#inputShapes = inputShapes;
      built.onTrainable?.(this.trainable);
    });
  }

  /** The shapes that come out, by tracing the module with one example: nothing runs. */
  computeOutputShapes(inputs: readonly SymbolicTensor[]): { shape: KerasShape; dtype: KerasDType }[] {
    return inLayer(this, () => {
      let outputs: readonly Tensor[] = [];
      trace((graph) => {
        const xs = inputs.map(({ shape, dtype }) =>
          Tensor.fromTraced(
            graph.addInput({ dtype: dtype === 'int32' ? 'i32' : 'f32', shape: [1, ...extents(this.className, shape)] }),
          ),
        );
        outputs = inMode(this.module, false, () => callModule(this.name, this.module, xs));
        return outputs;
      });
      return outputs.map(({ shape, dtype }) => ({
        shape: [null, ...shape.slice(1)],
        dtype: dtype === 'i32' ? 'int32' : 'float32',
      }));
    });
  }

  /**
   * Calls the layer: on tensors of a model under construction it returns those that come out, on tensors with data
   * it computes, as in use, not as in training.
   *
   * @throws ShapeError for inputs that the layer cannot take
   */
  apply(inputs: SymbolicTensor, options?: CallOptions): SymbolicTensor;
  apply(inputs: Tensor, options?: CallOptions): Tensor;
  apply(inputs: readonly SymbolicTensor[], options?: CallOptions): SymbolicTensor;
  apply(inputs: readonly Tensor[], options?: CallOptions): Tensor;
  apply(
    inputs: SymbolicTensor | Tensor | readonly SymbolicTensor[] | readonly Tensor[],
    options: CallOptions = {},
  ): SymbolicTensor | Tensor | SymbolicTensor[] | Tensor[] {
    const list: readonly (SymbolicTensor | Tensor)[] = Array.isArray(inputs) ? inputs : [inputs];
    checkOptions(`layer "${this.name}" (${this.className}): apply`, options, ['training']);
    const { training } = options;
    if (list.length > 0 && list.every((x) => x instanceof SymbolicTensor)) {
      return one(this.connect(list, training).outputs);
    }
    if (list.length > 0 && list.every((x) => x instanceof Tensor)) {
      this.build(list.map(({ shape }) => [null, ...shape.slice(1)]));
      return one(
        inLayer(this, () => inMode(this.module, training ?? false, () => callModule(this.name, this.module, list))),
      );
    }
    throw new OptionError(
      `layer "${this.name}" (${this.className}): apply takes tensors, or what input() and other layers return`,
    );
  }

  /** Records one call. */
  connect(inputs: readonly SymbolicTensor[], training?: boolean): Node {
    this.build(inputs.map(({ shape }) => shape));
    const outputs = this.computeOutputShapes(inputs).map(
      ({ shape, dtype }) => new SymbolicTensor(shape, dtype, this.name),
    );
    return this.record(inputs, outputs, training);
  }

  protected record(inputs: readonly SymbolicTensor[], outputs: readonly SymbolicTensor[], training?: boolean): Node {
    const node: Node = { id: nodes++, layer: this, inputs, outputs, training };
    for (const output of outputs) output.node = node;
    this.inboundNodes.push(node);
    return node;
  }

  /** Trainable ones first, as in TensorFlow.js. */
  get weights(): readonly Weight[] {
    return [...this.trainableWeights, ...this.nonTrainableWeights];
  }

  get trainableWeights(): readonly Weight[] {
    return this.trainable ? this.#weights.filter(({ trainable }) => trainable) : [];
  }

  get nonTrainableWeights(): readonly Weight[] {
    return this.trainable ? this.#weights.filter(({ trainable }) => !trainable) : this.#weights;
  }

  /** Layers within this one, by the names under which Keras 3 stores them. */
  get inner(): Readonly<Record<string, Layer>> {
    return {};
  }

  /** Where Keras 3 keeps the weights, below the layer's place in a file. */
  get storage(): readonly StoredPart[] {
    return [{ path: ['vars'], weights: this.weights }];
  }

  /** Copies of the weights in Keras's layouts: kernels […kernel, in, out], depthwise […kernel, in, multiplier]. */
  getWeights(trainableOnly = false): Tensor[] {
    return (trainableOnly ? this.trainableWeights : this.weights).map((weight) => weight.read());
  }

  /**
   * Replaces all weights, given in the order and layouts of {@link getWeights}.
   *
   * @throws ShapeError where number or shapes differ; nothing is changed then
   */
  setWeights(values: readonly Tensor[]): void {
    const { weights } = this;
    const label = `layer "${this.name}" (${this.className})`;
    if (values.length !== weights.length) {
      throw new ShapeError(
        `${label}: has ${weights.length} weights (${weights.map(({ name }) => name).join(', ')}), got ${values.length}`,
      );
    }
    values.forEach(({ shape }, i) => {
      if (!sameShape(shape, weights[i].shape)) {
        throw new ShapeError(
          `${label}: weight "${weights[i].name}" is ${formatShape(weights[i].shape)}, got ${formatShape(shape)}`,
        );
      }
    });
    values.forEach((value, i) => {
      weights[i].write(value.data());
    });
  }

  /** Numbers in all weights. */
  countParams(): number {
    return this.weights.reduce((total, { tensor: { size } }) => total + size, 0);
  }

  /** The input of the layer's only call. */
  get input(): SymbolicTensor | readonly SymbolicTensor[] {
    return one(this.#onlyNode().inputs);
  }

  /** The output of the layer's only call. */
  get output(): SymbolicTensor | readonly SymbolicTensor[] {
    return one(this.#onlyNode().outputs);
  }

  /** The shape that the layer was built for. */
  get inputShape(): KerasShape | readonly KerasShape[] {
    return one(this.#inputShapes);
  }

  get outputShape(): KerasShape | readonly KerasShape[] {
    return one(this.inboundNodes[0]?.outputs.map(({ shape }) => shape) ?? this.#onlyNode().outputs.map((o) => o.shape));
  }

  #onlyNode(): Node {
    if (this.inboundNodes.length === 1) return this.inboundNodes[0];
    throw new GaborError(
      `layer "${this.name}" (${this.className}) was called ${this.inboundNodes.length} times; use the tensors that apply returned`,
    );
  }
}

/** The only one, or all. */
export function one<T>(list: readonly T[]): T;
export function one<T>(list: readonly T[]): T | T[] {
  return list.length === 1 ? list[0] : [...list];
}

/** A layer given by a function that makes its module. */
export class BasicLayer extends Layer {
  readonly #create: (inputShapes: readonly KerasShape[], layer: Layer) => Built;

  constructor(
    where: string,
    className: string,
    options: LayerOptions,
    known: readonly string[],
    create: (inputShapes: readonly KerasShape[], layer: Layer) => Built,
    inputs: 'one' | 'many' = 'one',
  ) {
    super(where, className, options, known);
    this.#create = (shapes, layer) => {
      if (inputs === 'one' && shapes.length !== 1) {
        throw new ShapeError(`takes one input, got ${shapes.length}: ${shapes.map(formatKerasShape).join(', ')}`);
      }
      return create(shapes, layer);
    };
  }

  protected create(inputShapes: readonly KerasShape[]): Built {
    return this.#create(inputShapes, this);
  }
}

/** The start of a model. */
export class InputLayer extends Layer {
  constructor(options: LayerOptions) {
    super('input', 'InputLayer', options, []);
    if (this.batchInputShape === undefined) {
      throw new OptionError('input: needs the shape of one example, { shape: [28, 28, 1] }');
    }
    this.record([], [new SymbolicTensor(this.batchInputShape, this.dtype, this.name)]);
  }

  get tensor(): SymbolicTensor {
    return this.inboundNodes[0].outputs[0];
  }

  protected create(): Built {
    throw new GaborError(`layer "${this.name}" (InputLayer) has no module`);
  }
}

/** Options of {@link input}. */
export interface InputOptions {
  /** of one example */
  readonly shape?: KerasShape;
  /** `shape` with the batch axis (null) in front */
  readonly batchShape?: KerasShape;
  /** default `float32` */
  readonly dtype?: KerasDType;
  readonly name?: string;
}

/** A tensor that a model takes. @example const x = input({ shape: [28, 28, 1] }) */
export function input(options: InputOptions): SymbolicTensor {
  checkOptions('input', options, ['shape', 'batchShape', 'dtype', 'name']);
  const { shape, batchShape, ...rest } = options;
  return new InputLayer({ ...rest, inputShape: shape, batchInputShape: batchShape }).tensor;
}
