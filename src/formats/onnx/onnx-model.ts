import { type Compiled, compile } from '../../graph/compile.js';
import { assign } from '../../graph/trace.js';
import { checkCount, type Json, type LayerConfig, type RandomOption } from '../../nn/config.js';
import { Module } from '../../nn/module.js';
import { registerModule } from '../../nn/registry.js';
import { iota, tensor } from '../../ops/create.js';
import { add, cast } from '../../ops/elementwise.js';
import { checkOptions, GaborError, InternalError, OptionError, ShapeError } from '../../tensor/errors.js';
import { Random } from '../../tensor/random.js';
import { formatShape, type Shape, sizeOf } from '../../tensor/shape.js';
import { nearest } from '../../tensor/suggest.js';
import type { Tensor } from '../../tensor/tensor.js';
import { configOf, contentOf } from './config.js';
import type { OnnxContent, Weight } from './content.js';
import { type OnnxNode, OperatorContext, type Results } from './context.js';
import { cutAt } from './cut.js';
import { rowOf } from './element-types.js';
import { fold } from './fold.js';
import { type OnnxGraph, type OnnxPort, readGraph, subgraphs } from './graph.js';
import { withOutputs } from './head.js';
import type { GraphProto } from './messages.js';
import { OPERATORS } from './operators/index.js';
import { OnnxPart } from './part.js';
import { type HostArray, readTensor } from './tensor-proto.js';
import { OnnxValue } from './value.js';

/** A node of an imported network. */
export interface OnnxNodeInfo {
  readonly name: string;
  /** its operator */
  readonly type: string;
  /** names of tensors; empty for optional inputs that are not there */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** of its module, as in `summary` and `submodule(path)` */
  readonly path: string;
}

/** Larger constants are computed when the program runs, where that is possible. */
const MOST_FOLDED = 1 << 16;
const MOST_ELEMENTS = 2 ** 31;

/**
 * A network from an ONNX file: an ordinary module with the file's float initialisers as parameters, under their names. Tracing it
 * (`compile`, `fit`, `summary`, …) applies the operators of the nodes; whatever depends on shapes alone is computed meanwhile.
 *
 * Floats of every precision are computed in f32, whole numbers in i32. Batch normalisation uses the running statistics of
 * the file, in training, too.
 */
export class OnnxModel extends Module {
  readonly type = 'OnnxModel';
  /** version of the default operator set */
  readonly opset: number;
  /** what wrote the file */
  readonly producer: string;
  /** texts that the file holds beside the graph */
  readonly metadata: Readonly<Record<string, string>>;
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
  readonly #content: OnnxContent;
  readonly #root: OnnxPart;
  readonly #parts = new Map<OnnxNode, OnnxPart>();
  readonly #weights: ReadonlyMap<string, Weight>;
  readonly #graphs = new Map<GraphProto, OnnxGraph>();
  /** By their names, what the state calls them; differs where a name cannot be one of a state. */
  readonly parameterPaths: ReadonlyMap<string, string>;
  #program: Compiled<[readonly Tensor[], Readonly<Record<string, readonly number[]>>], readonly Tensor[]> | undefined;
  #random: Tensor | undefined;

  constructor(content: OnnxContent) {
    super();
    this.#content = content;
    this.opset = content.opset;
    this.producer = content.producer;
    this.metadata = content.metadata;
    this.inputs = content.graph.inputs;
    this.outputs = content.graph.outputs;
    this.#weights = new Map(content.weights.map((weight) => [weight.name, weight]));
    this.#root = new OnnxPart();
    this.parameterPaths = new Map(
      content.weights.map(({ name, tensor: t, trained }) => [name, this.#place(name, t, trained)]),
    );
    for (const node of content.graph.nodes) {
      if (isConstant(node)) continue;
      const part = this.#partOf(node);
      part.describe(windowFacts(node, this.#weights.get(node.inputs[1] ?? '')?.tensor.shape));
      part.use(
        node.inputs.flatMap((name) =>
          this.#weights.get(name)?.trained ? [(this.#weights.get(name) as Weight).tensor] : [],
        ),
      );
      this.#parts.set(node, part);
    }
    for (const [name, part] of this.#root.namedChildren()) this.child(name, part);
    if (content.graph.nodes.some((node) => node.type === 'Dropout')) {
      this.#random = this.randomState('random', tensor(Int32Array.of(new Random(0).integer(2 ** 30), 0)));
    }
  }

  /** The graph without its weights, as text: with `stateDict()` all of the network, so that it can be saved as every other. */
  override config(): LayerConfig {
    return configOf(this.#content);
  }

  /** The network's nodes in the order in which they are computed, with the names of the tensors that they read and write. */
  get nodes(): readonly OnnxNodeInfo[] {
    return [...this.#parts].map(([{ name, type, inputs, outputs }, part]) => ({
      name,
      type,
      inputs,
      outputs,
      path: part.path,
    }));
  }

  /**
   * The network up to one of its tensors, as a module of its own with the same weights (not copies): training one trains the other.
   * For feature extraction, and for fine-tuning with another head:
   *
   *     const squeezenet = await loadOnnx('squeezenet1.1.onnx');
   *     const features = squeezenet.features('conv22_cat');             // [n, 512, height, width]
   *     const model = new Sequential(features, new GlobalAvgPool2d(), new Flatten(), new Linear(512, 5));
   *     await fit(model, flowers, { lr: 0.001 });
   *
   * It takes the inputs that the part needs, in their order; its parameters are those of the part. Like every module it saves and
   * loads as part of others.
   *
   * @param at name of a tensor, or of a node or its path in `summary` for the first output of that; {@link nodes} lists them
   * @throws OptionError where there is none of this name; lists similar ones
   */
  features(at: string): OnnxModel {
    const found = this.nodes.find(({ outputs }) => outputs.includes(at));
    const node = found ?? this.nodes.find(({ name, path }) => name === at || path === at);
    if (node === undefined || at === '') {
      const names = this.nodes.flatMap(({ outputs, path }) => [...outputs.slice(0, 1), path]);
      const near = nearest(at, [...new Set(names)]);
      throw new OptionError(
        `OnnxModel: no node or tensor is named "${at}"; similar ones: ${near.join(', ') || 'none'}. "nodes" lists all`,
      );
    }
    const part = new OnnxModel(cutAt(this.#content, found === undefined ? node.outputs[0] : at));
    return part.train(this.training);
  }

  /**
   * The same network for another number of outputs: its last layer (a convolution or a matrix product) gets new weights, drawn as
   * PyTorch draws them; all others are shared with this one. For fine-tuning on other classes.
   *
   * @throws OptionError where the network does not end in such a layer; {@link features} cuts it anywhere
   */
  withOutputs(outputs: number, options: RandomOption = {}): OnnxModel {
    checkOptions('OnnxModel.withOutputs', options, ['random']);
    checkCount('OnnxModel.withOutputs', 'outputs', outputs);
    return new OnnxModel(withOutputs(this.#content, outputs, options.random)).train(this.training);
  }

  override get inputDType(): 'f32' | 'i32' {
    const [first] = this.inputs;
    return first?.type !== undefined && rowOf(first.type).dtype === 'i32' ? 'i32' : 'f32';
  }

  /** Puts a weight where its name says, group by group; returns its path in the state. */
  #place(name: string, weight: Tensor, trained: boolean): string {
    const parts = name.split('.');
    let at: OnnxPart | undefined = this.#root;
    // Names without dots are of the network itself.
    if (parts.length > 1 && parts.every((part) => part !== '') && !this.#own.has(parts[0])) {
      for (const group of parts.slice(0, -1)) at = at?.part(group);
      if (at?.hold(parts[parts.length - 1], weight, trained)) return name;
    }
    const flat = name.replaceAll('.', '_') || 'weight';
    for (let i = 1; ; i++) {
      const path = i === 1 ? flat : `${flat}_${i}`;
      if (this.#root.hasPart(path) || this.#own.has(path)) continue;
      this.#own.add(path);
      if (trained) this.parameter(path, weight);
      else this.buffer(path, weight);
      return path;
    }
  }

  readonly #own = new Set<string>();

  /** The module for a node: the group of its parameters where it is the only one with them, otherwise one of its own name. */
  #partOf(node: OnnxNode): OnnxPart {
    const held = node.inputs.map((name) => this.parameterPaths.get(name)).find((path) => path?.includes('.'));
    if (held !== undefined) {
      let at: OnnxPart | undefined = this.#root;
      for (const group of held.split('.').slice(0, -1)) at = at?.part(group);
      if (at?.become(node.type)) return at;
    }
    const flat = node.name.replaceAll('.', '_');
    for (let i = 1; ; i++) {
      const name = i === 1 ? flat : `${flat}_${i}`;
      if (this.#own.has(name)) continue;
      const part = this.#root.part(name);
      if (part?.become(node.type)) return part;
    }
  }

  /** The first output. Takes the inputs in the order of {@link inputs}. */
  override forward(...inputs: Tensor[]): Tensor {
    return this.outputsOf(inputs)[0];
  }

  /** All outputs, in the order of {@link outputs}; for traced functions. */
  outputsOf(inputs: readonly Tensor[]): Tensor[] {
    return this.#trace(this.#bind(inputs));
  }

  /**
   * All outputs by name, as one program, made once for each shape of the inputs. Where shapes depend on what an input holds
   * (`Reshape` to a shape that is an input), one for each content of that.
   *
   * @param inputs in the order of {@link inputs}, or by name
   */
  async run(inputs: readonly Tensor[] | Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
    const list = this.#listed(inputs);
    const known: Record<string, number[]> = {};
    const given = list.filter((x, i) => {
      const { name } = this.inputs[i];
      if (!this.#content.uses.statics.has(name)) return true;
      known[name] = [...x.shape, ...x.data()];
      return false;
    });
    const ranks = list.map((x) => x.rank);
    this.#program ??= compile(
      (tensors: readonly Tensor[], statics: Readonly<Record<string, readonly number[]>>) =>
        this.#traceWith(tensors, statics, ranks),
      { key: () => this.modeKey() },
    );
    const results = await this.#program(given, known);
    return Object.fromEntries(this.outputs.map(({ name }, i) => [name, results[i]]));
  }

  #traceWith(
    tensors: readonly Tensor[],
    statics: Readonly<Record<string, readonly number[]>>,
    ranks: readonly number[],
  ): readonly Tensor[] {
    const known: Record<string, HostArray> = {};
    let next = 0;
    const list = this.inputs.map(({ name, type = 'float' }, i) => {
      const numbers = statics[name];
      if (numbers === undefined) return tensors[next++];
      const shape = numbers.slice(0, ranks[i]);
      const { dtype } = rowOf(type);
      const elements = numbers.slice(ranks[i]);
      const data =
        dtype === 'i32'
          ? Int32Array.from(elements)
          : dtype === 'bool'
            ? Uint8Array.from(elements)
            : Float32Array.from(elements);
      known[name] = { type, shape, data };
      return undefined;
    });
    return this.#trace(this.#bind(list, known));
  }

  #listed(inputs: readonly Tensor[] | Readonly<Record<string, Tensor>>): readonly Tensor[] {
    const names = this.inputs.map(({ name }) => name);
    if (Array.isArray(inputs)) {
      if (inputs.length === names.length) return inputs as readonly Tensor[];
      throw new OptionError(`OnnxModel: takes ${names.length} inputs (${names.join(', ')}), got ${inputs.length}`);
    }
    const named = inputs as Readonly<Record<string, Tensor>>;
    for (const name of Object.keys(named)) {
      if (!names.includes(name))
        throw new OptionError(`OnnxModel: there is no input "${name}"; its inputs: ${names.join(', ')}`);
    }
    return names.map((name) => {
      if (!Object.hasOwn(named, name)) throw new OptionError(`OnnxModel: input "${name}" is missing`);
      return named[name];
    });
  }

  /** Checks the inputs against what the file declares, and symbolic dimensions against each other. */
  #bind(
    inputs: readonly (Tensor | undefined)[],
    known: Readonly<Record<string, HostArray>> = {},
  ): Map<string, OnnxValue> {
    if (inputs.length !== this.inputs.length) {
      const names = this.inputs.map(({ name }) => name).join(', ');
      throw new ShapeError(`OnnxModel: takes ${this.inputs.length} inputs (${names}), got ${inputs.length}`);
    }
    const dims = new Map(Object.entries(this.#content.dims));
    const values = new Map<string, OnnxValue>();
    this.inputs.forEach(({ name, type, shape }, i) => {
      const x = inputs[i];
      const got = x?.shape ?? known[name].shape;
      const mismatch = (text: string): never => {
        const declared = (shape ?? []).map((extent) => extent ?? '?').join(', ');
        throw new ShapeError(
          `OnnxModel: input "${name}" is ${type ?? 'undeclared'}[${declared}] in the file, got ${formatShape(got)}: ${text}`,
        );
      };
      if (type === undefined)
        throw new OptionError(`OnnxModel: input "${name}" is no tensor of numbers; such inputs are not supported`);
      if (shape !== undefined) {
        if (shape.length !== got.length) mismatch(`${shape.length} axes are expected`);
        shape.forEach((extent, axis) => {
          if (typeof extent === 'string') {
            const bound = dims.get(extent) ?? got[axis];
            if (bound !== got[axis]) mismatch(`"${extent}" is ${bound}, not ${got[axis]}`);
            dims.set(extent, bound);
          } else if (extent !== undefined && extent !== 0 && extent !== got[axis] && !(axis === 0 && extent === 1)) {
            // A batch of one in a file means: exported with one example.
            mismatch(`axis ${axis} must be ${extent}`);
          }
        });
      }
      if (x === undefined) {
        values.set(name, OnnxValue.known(known[name]));
        return;
      }
      const { dtype } = rowOf(type);
      const fits =
        x.dtype === dtype || (dtype === 'f32' && x.dtype === 'f64') || (type === 'uint8' && x.dtype === 'u8');
      if (!fits)
        throw new ShapeError(
          `OnnxModel: input "${name}" is ${type} in the file and ${dtype} here, got ${x.dtype}; use cast(x, '${dtype}')`,
        );
      values.set(name, OnnxValue.of(type, x.dtype === 'u8' ? cast(x, 'i32') : x));
    });
    return values;
  }

  #trace(values: Map<string, OnnxValue>): Tensor[] {
    const { graph } = this.#content;
    for (const [name, array] of this.#content.constants) {
      const weight = this.#weights.get(name);
      values.set(name, weight ? OnnxValue.of(weight.type, weight.tensor, array.data) : OnnxValue.known(array));
    }
    for (const [name, { tensor: weight, type }] of this.#weights) {
      if (!values.has(name)) values.set(name, OnnxValue.of(type, weight));
    }
    for (const node of graph.nodes) this.#runNode(node, values);
    return this.outputs.map(({ name }) => (values.get(name) as OnnxValue).tensor);
  }

  #runNode(node: OnnxNode, values: Map<string, OnnxValue>): void {
    if (node.outputs.every((name) => name === '' || values.has(name))) return;
    const inputs = node.inputs.map((name) => (name === '' ? undefined : values.get(name)));
    const needed = node.outputs.some((name) => this.#content.uses.statics.has(name));
    const set = (results: Results): void => {
      node.outputs.forEach((name, i) => {
        const value = results[i];
        if (name === '') return;
        if (value !== undefined && !(sizeOf(value.shape) <= MOST_ELEMENTS)) {
          throw new ShapeError(
            `ONNX ${node.type} "${node.name}": output ${i} would be ${formatShape(value.shape)}, more than any memory holds`,
          );
        }
        if (value === undefined)
          throw new GaborError(`ONNX ${node.type} "${node.name}": has no output ${i} ("${name}") here`);
        values.set(name, value);
      });
    };
    const row = OPERATORS[node.type];
    const rule = (given: readonly (OnnxValue | undefined)[]): Results => {
      const context = new OperatorContext(node, given, this.#surroundings(values));
      try {
        return row.run(context);
      } catch (error) {
        if (error instanceof GaborError || error instanceof InternalError) throw error;
        // Missing numbers in a broken file surface as errors of the language.
        throw new ShapeError(
          `${context.where}: its inputs ${context.shapes()} or its attributes make no sense: ${(error as Error).message}`,
          { cause: error },
        );
      }
    };
    const present = inputs.filter((value) => value !== undefined);
    const small = present.reduce((total, value) => total + value.size, 0) <= MOST_FOLDED;
    const constant = present.every(
      (value) => value.known !== undefined && (needed || !value.computed || row.shapeOnly),
    );
    if (constant && small && !row.volatile && subgraphs(node).length === 0) {
      const folded = fold(inputs, rule);
      if (folded !== undefined) {
        set(folded);
        return;
      }
    }
    const first = row.shapeOnly ? undefined : inputs.find((value) => value?.computed)?.tensor;
    const part = this.#parts.get(node);
    const body = (): Tensor | undefined => {
      set(rule(inputs));
      const [output] = node.outputs;
      const value = values.get(output);
      return value?.computed ? value.tensor : undefined;
    };
    if (part === undefined) body();
    else part.runNode(first, body);
  }

  #surroundings(values: ReadonlyMap<string, OnnxValue>): OperatorContext['surroundings'] {
    return {
      opset: this.opset,
      training: this.training,
      subgraph: (proto) => this.#runGraph(proto, values),
      randomKey: () => {
        const state = this.#random;
        if (state === undefined) throw new GaborError('OnnxModel: no random numbers in this network');
        const key = add(state, 0);
        assign(state, add(state, iota([2])));
        return key;
      },
    };
  }

  #runGraph(proto: GraphProto, outer: ReadonlyMap<string, OnnxValue>): (OnnxValue | undefined)[] {
    let graph = this.#graphs.get(proto);
    if (graph === undefined) {
      graph = readGraph(proto, `the graph "${proto.name ?? ''}"`, new Set(outer.keys()));
      this.#graphs.set(proto, graph);
    }
    const values = new Map(outer);
    for (const [name, array] of graph.initialisers)
      values.set(name, OnnxValue.known(readTensor(array, `initialiser "${name}"`)));
    for (const node of graph.nodes) this.#runNode(node, values);
    return graph.outputs.map(({ name }) => values.get(name));
  }

  override dispose(): void {
    this.#program?.dispose();
    super.dispose();
  }
}

/** The window of a convolution or pool, for summaries; nothing for other nodes. */
function windowFacts({ type, attributes }: OnnxNode, filter: Shape | undefined): Record<string, Json> {
  const filtered = type.startsWith('Conv');
  const ints = (name: string): number[] | undefined => {
    const list = attributes.get(name)?.ints;
    return list && Array.from(list);
  };
  const kernelSize = ints('kernel_shape') ?? (filtered ? filter?.slice(2) : undefined);
  if (kernelSize === undefined) return {};
  const ones = kernelSize.map(() => 1);
  const auto = Buffer.from(attributes.get('auto_pad')?.s ?? 'NOTSET').toString('utf8');
  const same = auto.startsWith('SAME');
  return {
    kernelSize: [...kernelSize],
    stride: ints('strides') ?? ones,
    padding: same ? auto : (ints('pads') ?? []).slice(0, kernelSize.length),
    dilation: ints('dilations') ?? ones,
    ...(filtered ? { groups: attributes.get('group')?.i ?? 1 } : {}),
  };
}

function isConstant(node: OnnxNode): boolean {
  return node.type === 'Constant';
}

registerModule('OnnxModel', (config) => new OnnxModel(contentOf(config)));
