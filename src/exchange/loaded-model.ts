import { preprocessingProblem } from '../formats/model-description.js';
import type { ModelPort } from '../formats/model-port.js';
import { type Compiled, compile } from '../graph/compile.js';
import type { Module } from '../nn/module.js';
import { tensor } from '../ops/create.js';
import type { DType } from '../tensor/dtype.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { type HostTensor, isHostTensor } from '../tensor/host-tensor.js';
import { formatShape, type Shape, type TensorType } from '../tensor/shape.js';
import { Tensor, tensorOf } from '../tensor/tensor.js';
import { Classifier } from '../train/classifier.js';
import { inMode } from '../train/forward.js';
import type { Preprocessing } from '../train/preprocessing.js';
import { imageClassifier, pictureFormat } from './image-classifier.js';
import { callNetwork } from './network.js';
import { fitsPort, formatPort, ports } from './ports.js';
import { namedNormalization, type PreprocessingName } from './preprocessings.js';

/** What a file tells of a model. */
export interface LoadedFacts {
  readonly model: Module;
  readonly format: string;
  readonly path: string;
  readonly inputs: readonly ModelPort[];
  readonly outputs: readonly ModelPort[];
  readonly classes?: readonly string[];
  readonly preprocessing?: Preprocessing;
  readonly metadata?: Readonly<Record<string, string>>;
  /** A shape of the first input that it is meant for, batch included, where extents are free. */
  readonly example?: Shape;
}

/** What {@link LoadedModel.classifier} needs where the file does not say it. */
export interface ClassifierOptions {
  /** In the order of the outputs; default: the file's. */
  readonly classes?: readonly string[];
  /** Of pictures, or the name of what is expected of pixels, for pictures of the size that the model takes; default: the file's. */
  readonly preprocessing?: Preprocessing | PreprocessingName;
}

/** A tensor, or the contents of one, as `readNpy` gives them. */
export type ModelInput = Tensor | HostTensor;

/** Inputs of a model: in its order, or by name. */
export type ModelInputs = readonly ModelInput[] | Readonly<Record<string, ModelInput>>;

/**
 * A model from a file of any format: an ordinary module, and what the file says about it. `load` makes it.
 *
 *     const squeezenet = await load('squeezenet1.1.onnx');
 *     const { out } = await squeezenet.run({ data: image });
 *     const digits = (await load('digits.safetensors')).classifier();
 *     console.log(await digits.classify(await readFile('seven.png')));
 */
export class LoadedModel {
  /** In evaluation mode. */
  readonly model: Module;
  /** Its name in `MODEL_FORMATS`. */
  readonly format: string;
  /** Where it came from, for messages. */
  readonly path: string;
  readonly inputs: readonly ModelPort[];
  readonly outputs: readonly ModelPort[];
  /** Names of the classes, in the order of the outputs, where the file says them. */
  readonly classes: readonly string[] | undefined;
  /** How pictures become the input, where the file says it. */
  readonly preprocessing: Preprocessing | undefined;
  /** Further texts of the file. */
  readonly metadata: Readonly<Record<string, string>>;
  /** A shape of the first input, batch included, that it is meant for where its extents are free. */
  readonly example: Shape | undefined;
  #program: Compiled<[readonly Tensor[]], readonly Tensor[]> | undefined;

  constructor(facts: LoadedFacts) {
    this.model = facts.model;
    this.format = facts.format;
    this.path = facts.path;
    this.inputs = facts.inputs;
    this.outputs = facts.outputs;
    this.classes = facts.classes;
    this.preprocessing = facts.preprocessing;
    this.metadata = facts.metadata ?? {};
    this.example = facts.example;
  }

  /** All outputs for inputs in order; for traced functions. */
  outputsOf(inputs: readonly Tensor[]): Tensor[] {
    return callNetwork(this.model, inputs);
  }

  /**
   * All outputs by name, in evaluation mode, as one program, made once for each shape of the inputs.
   *
   * @param inputs in the order of {@link inputs}, or by name
   * @throws OptionError for inputs that are missing or not there, ShapeError for shapes and dtypes that do not fit; both list
   *   what the model takes
   */
  async run(inputs: ModelInputs): Promise<Record<string, Tensor>> {
    const given = this.#listed(inputs);
    for (const [i, x] of given.entries()) {
      if (x instanceof Tensor || isHostTensor(x)) continue;
      throw new OptionError(`the input "${this.inputs[i].name}" must be a tensor; ${tensorOf(x)}`);
    }
    this.#check(given);
    const list = given.map((x) => (x instanceof Tensor ? x : tensor(x)));
    try {
      return await this.#run(list);
    } finally {
      for (const [i, x] of list.entries()) if (x !== given[i]) x.dispose();
    }
  }

  async #run(list: readonly Tensor[]): Promise<Record<string, Tensor>> {
    const { model } = this;
    if (runs(model)) return model.run(list);
    this.#program ??= compile((xs: readonly Tensor[]) => inMode(model, false, () => callNetwork(model, xs)));
    const results = await this.#program(list);
    const names = this.outputs.length === results.length ? this.outputs.map(({ name }) => name) : undefined;
    return Object.fromEntries(results.map((y, i) => [names?.[i] ?? `output_${i}`, y]));
  }

  #listed(inputs: ModelInputs): readonly ModelInput[] {
    const takes = `; ${this.path} takes ${ports(this.inputs)}`;
    if (typeof inputs !== 'object' || inputs === null || inputs instanceof Tensor || ArrayBuffer.isView(inputs)) {
      throw new OptionError(`inputs are a list of tensors, or tensors by name${takes}`);
    }
    if (Array.isArray(inputs)) {
      if (inputs.length === this.inputs.length) return inputs as readonly ModelInput[];
      throw new OptionError(`${count(inputs.length)} given, ${this.inputs.length} needed${takes}`);
    }
    const named = inputs as Readonly<Record<string, ModelInput>>;
    const known = this.inputs.map(({ name }) => name);
    for (const name of Object.keys(named)) {
      if (!known.includes(name)) throw new OptionError(`there is no input "${name}"${takes}`);
    }
    return known.map((name) => {
      if (!Object.hasOwn(named, name)) throw new OptionError(`the input "${name}" is missing${takes}`);
      return named[name];
    });
  }

  /** Why these are no inputs of the model; undefined where they are. */
  problem(list: readonly TensorType[]): string | undefined {
    const bound = new Map<string, number>();
    for (const [i, { dtype, shape }] of list.entries()) {
      const port = this.inputs[i];
      const problem = fitsPort(port, dtype, shape, bound);
      if (problem !== undefined) return `the input "${port.name}" is ${dtype}${formatShape(shape)}: ${problem}`;
    }
    return undefined;
  }

  #check(list: readonly TensorType[]): void {
    const problem = this.problem(list);
    if (problem !== undefined) throw new ShapeError(`${problem}; ${this.path} takes ${ports(this.inputs)}`);
  }

  /**
   * Shapes for all inputs: what the file says, with free extents bound, the batch to one unless told otherwise.
   *
   * @param given shapes by name; of the only input also without a name; without the batch where they are one shorter
   * @throws OptionError that names the extents nobody says
   */
  shapes(given: Readonly<Record<string, Shape>> | Shape = {}): number[][] {
    const byName = isShape(given) ? { [this.inputs[0].name]: given } : given;
    for (const name of Object.keys(byName)) {
      if (!this.inputs.some((port) => port.name === name)) {
        throw new OptionError(`there is no input "${name}"; ${this.path} takes ${ports(this.inputs)}`);
      }
    }
    const bound = new Map<string, number>();
    return this.inputs.map((port, i) => this.#bind(port, byName[port.name], i === 0 ? this.example : undefined, bound));
  }

  #bind(port: ModelPort, given: Shape | undefined, example: Shape | undefined, bound: Map<string, number>): number[] {
    const { name, dtype, shape } = port;
    const rank = shape?.length;
    const batched = given !== undefined && given.length + 1 === rank ? [1, ...given] : given;
    const whole = batched ?? (rank === undefined || rank === example?.length ? example : undefined);
    if (batched !== undefined) {
      const full = rank === undefined ? [1, ...batched] : batched;
      const problem = fitsPort(port, dtype ?? 'f32', full, bound);
      if (problem === undefined) return [...full];
      throw new OptionError(
        `the shape ${formatShape(batched)} for the input "${name}": ${problem}; it is ${formatPort(port)}`,
      );
    }
    const extents = (shape ?? whole)?.map((extent, axis) => {
      if (typeof extent === 'number' && extent > 0) return extent;
      if (axis === 0) return 1;
      return (typeof extent === 'string' ? bound.get(extent) : undefined) ?? whole?.[axis] ?? Number.NaN;
    });
    if (extents !== undefined && !extents.some(Number.isNaN)) return extents;
    throw new OptionError(
      `${this.path}: the input "${name}" is ${formatPort(port)}; give its shape without the batch (on the command line: --input ${this.inputs.length > 1 ? `${name}=` : ''}${exampleExtents(extents).join('x')}, for example)`,
    );
  }

  /** The dtype of an input, `f32` where the file does not say. */
  dtype(input: number): DType {
    return this.inputs[input].dtype ?? (input === 0 ? this.model.inputDType : 'f32');
  }

  /**
   * The model as a classifier of pictures. Where its input is [n, height, width, channels], or its output probabilities, which it
   * tells by tracing it, a module around it makes that [n, channels, height, width] and logits, as everything else here wants it;
   * a file that says its preprocessing needs none.
   *
   * @throws OptionError where neither the file nor the options say classes or preprocessing; ShapeError where the model takes no
   *   pictures, or its outputs are not as many as the classes
   */
  classifier(options: ClassifierOptions = {}): Classifier {
    checkOptions('classifier', options, ['classes', 'preprocessing']);
    const classes = options.classes ?? this.classes;
    if (classes === undefined) {
      throw new OptionError(
        `${this.path}: does not say what its outputs mean; name its classes, in the order of the outputs (on the command line: --classes FILE, one name a line)`,
      );
    }
    const { preprocessing: given = this.preprocessing } = options;
    const preprocessing = typeof given === 'string' ? this.#named(given) : given;
    if (preprocessing === undefined) {
      throw new OptionError(
        `${this.path}: does not say how pictures become its input; give the preprocessing ('imagenet', for example; on the command line: --preprocessing imagenet, or --mean and --std)`,
      );
    }
    const problem = preprocessingProblem(preprocessing);
    if (problem !== undefined) {
      throw new OptionError(
        `${this.path}: preprocessing ${problem}; for ImageNet it is { channels: 3, height: 224, width: 224, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }`,
      );
    }
    const adapted =
      this.preprocessing === undefined ? imageClassifier(this, preprocessing, classes.length) : this.model;
    return new Classifier(adapted, classes, preprocessing, this.metadata);
  }

  #named(name: string): Preprocessing {
    const [, , height, width] = this.example ?? [];
    const known = this.preprocessing ?? pictureFormat(this, { height, width });
    const { channels } = known;
    return {
      ...this.preprocessing,
      channels,
      height: known.height,
      width: known.width,
      ...namedNormalization(name, channels),
    };
  }

  /** Frees the memory of weights and programs. */
  dispose(): void {
    this.#program?.dispose();
    this.model.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** For messages: one example of a shape with a batch, where NaN stands for extents that may be anything. */
function exampleExtents(shape: Shape = Array.from({ length: 4 }, () => Number.NaN)): number[] {
  const [, ...extents] = shape;
  const side = extents.length > 3 ? 64 : 224;
  const few = (extent: number): boolean => extent <= 4;
  // Channels come first, unless there are few last or many first.
  const channels =
    extents.length < 3 || few(extents[extents.length - 1]) ? -1 : extents[0] > 4 ? extents.length - 1 : 0;
  return extents.map((extent, axis) => (Number.isNaN(extent) ? (axis === channels ? 3 : side) : extent));
}

function isShape(given: Readonly<Record<string, Shape>> | Shape): given is Shape {
  return Array.isArray(given);
}

function count(inputs: number): string {
  return inputs === 1 ? '1 input is' : `${inputs} inputs are`;
}

interface Runs {
  run(inputs: readonly Tensor[]): Promise<Record<string, Tensor>>;
}

/** Modules that run themselves: imported graphs, whose shapes may depend on what an input holds. */
function runs(model: Module): model is Module & Runs {
  return typeof (model as Partial<Runs>).run === 'function';
}
