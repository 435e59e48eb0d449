import { gradients } from '../autodiff/gradients.js';
import { type Compiled, compile } from '../graph/compile.js';
import { type Module, withForwardHook } from '../nn/module.js';
import { add, mul } from '../ops/elementwise.js';
import { mean } from '../ops/reduce.js';
import { reshape } from '../ops/reshape.js';
import type { Optimizer } from '../optim/index.js';
import { OptionError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { inMode } from '../train/forward.js';
import type { Layer, SymbolicTensor, Weight } from './layer.js';
import { getLoss, type LossFunction, type LossName, rememberingLogits } from './losses.js';
import { getMetric, type MetricFunction, type MetricName, type NamedMetric } from './metrics.js';
import { callModule } from './modules.js';
import { getOptimizer, type KerasOptimizer, type OptimizerName } from './optimizers.js';
import { penalty, type Regularizer } from './regularizers.js';

type OneLoss = LossName | LossFunction;
type OneMetric = MetricName | MetricFunction;

/** Options of `compile` of a model. */
export interface CompileArgs {
  readonly optimizer: OptimizerName | KerasOptimizer;
  /** One for all outputs, one for each, or by the names of the outputs. */
  readonly loss: OneLoss | readonly OneLoss[] | Readonly<Record<string, OneLoss>>;
  /** For all outputs, or by the names of the outputs; default none. */
  readonly metrics?: OneMetric | readonly OneMetric[] | Readonly<Record<string, OneMetric | readonly OneMetric[]>>;
}

/** The parts of a model that training needs. */
export interface TrainableModel {
  readonly name: string;
  readonly module: Module;
  readonly inputs: readonly SymbolicTensor[];
  readonly outputs: readonly SymbolicTensor[];
  readonly outputNames: readonly string[];
  readonly trainableWeights: readonly Weight[];
  readonly weights: readonly Weight[];
  /** All layers, those of inner models included. */
  readonly allLayers: readonly Layer[];
}

/** What one batch gives, in the order of {@link Trainer.names}. */
interface Judged extends Readonly<Record<string, readonly Tensor[]>> {
  readonly values: readonly Tensor[];
}

/** Inputs, targets, and weights of the examples for each output, where there are any. */
type StepArgs = [readonly Tensor[], readonly Tensor[], readonly Tensor[]];
type Program = Compiled<StepArgs, Judged>;

/** A compiled model: its losses, metrics and optimizer, and the programs of a training and of an evaluation step. */
export class Trainer {
  /** Names of the numbers of a step: `loss`, the losses of several outputs, the metrics. */
  readonly names: readonly string[];
  readonly optimizer: KerasOptimizer;
  readonly #model: TrainableModel;
  readonly #losses: readonly LossFunction[];
  readonly #metrics: readonly (readonly NamedMetric[])[];
  readonly #weights: readonly Weight[];
  readonly #bound: Optimizer | undefined;
  readonly #train: Program;
  readonly #test: Program;

  constructor(model: TrainableModel, args: CompileArgs) {
    this.#model = model;
    this.optimizer = getOptimizer(args.optimizer);
    const { outputs, outputNames } = model;
    this.#losses = lossesOf(args.loss, outputNames);
    this.#metrics = outputs.map(({ shape }, i) =>
      metricsOf(args.metrics, outputNames, i).map((metric) =>
        getMetric('compile', metric, this.#losses[i], shape.at(-1)),
      ),
    );
    const several = outputs.length > 1;
    this.names = [
      'loss',
      ...(several ? outputNames.map((name) => `${name}_loss`) : []),
      ...this.#metrics.flatMap((list, i) => list.map(({ name }) => (several ? `${outputNames[i]}_${name}` : name))),
    ];
    // A layer may be in several models that are layers here, and layers of different models may have the same name.
    this.#weights = [...new Set(model.trainableWeights)];
    const names = this.#weights.map(({ name }) => name);
    const unique = names.map((name, i) => (names.indexOf(name) === i ? name : `${name}#${i}`));
    this.#bound =
      this.#weights.length === 0
        ? undefined
        : this.optimizer.bind(this.#weights.map(({ tensor }, i) => [unique[i], tensor] as const));
    this.#train = compile<StepArgs, Judged>((x, y, weights) => this.#step(x, y, weights));
    this.#test = compile<StepArgs, Judged>((x, y, weights) =>
      inMode(model.module, false, () => ({ values: this.#judge(x, y, weights) })),
    );
  }

  /** One step of training; the numbers are those before it. */
  async train(x: readonly Tensor[], y: readonly Tensor[], weights: readonly Tensor[]): Promise<number[]> {
    return read(await this.#train(x, y, weights));
  }

  test(x: readonly Tensor[], y: readonly Tensor[], weights: readonly Tensor[]): number[] {
    return read(this.#test.sync(x, y, weights));
  }

  dispose(): void {
    this.#train.dispose();
    this.#test.dispose();
    this.#bound?.dispose();
  }

  #step(x: readonly Tensor[], y: readonly Tensor[], weights: readonly Tensor[]): Judged {
    return inMode(this.#model.module, true, () => {
      const values = this.#judge(x, y, weights);
      const optimizer = this.#bound;
      if (optimizer === undefined) {
        throw new OptionError('fit: no layer has weights to train; is every layer\'s "trainable" false?');
      }
      optimizer.step(gradients(values[0], optimizer.parameters));
      return { values };
    });
  }

  /** Loss and metrics, and the losses of several outputs, each the mean over the batch. */
  #judge(x: readonly Tensor[], y: readonly Tensor[], weights: readonly Tensor[]): Tensor[] {
    const { name, module } = this.#model;
    const penalties: Tensor[] = [];
    const watched = this.#activityRegularizers();
    const outputs = withForwardHook(
      ({ module: called, output }) => {
        const regularizer = watched.get(called);
        if (regularizer) penalties.push(mul(penalty(regularizer, output), 1 / output.shape[0]));
      },
      () => rememberingLogits(() => callModule(name, module, x)),
    );
    const losses = outputs.map((output, i) => {
      const each = this.#losses[i](y[i], output);
      return mean(weights.length === 0 ? each : mul(each, alongBatch(weights[i], each.rank)));
    });
    for (const { regularizer, tensor } of new Set(this.#model.weights)) {
      if (regularizer !== undefined) penalties.push(penalty(regularizer, tensor));
    }
    const total = [...losses, ...penalties].reduce((a, b) => add(a, b));
    const metrics = outputs.flatMap((output, i) => this.#metrics[i].map(({ compute }) => mean(compute(y[i], output))));
    return [total, ...(outputs.length > 1 ? losses : []), ...metrics];
  }

  #activityRegularizers(): Map<Module, Regularizer> {
    const found = new Map<Module, Regularizer>();
    for (const layer of this.#model.allLayers) {
      if (layer.activityRegularizer !== undefined) found.set(layer.module, layer.activityRegularizer);
    }
    return found;
  }
}

/** [batch] in a shape that broadcasts along the first of `rank` axes. */
function alongBatch(weights: Tensor, rank: number): Tensor {
  return reshape(weights, [weights.size, ...new Array<number>(Math.max(0, rank - 1)).fill(1)]);
}

function read({ values }: Judged): number[] {
  return values.map((value) => {
    using tensor = value;
    return tensor.item();
  });
}

/** One loss for each output. */
function lossesOf(loss: CompileArgs['loss'], names: readonly string[]): LossFunction[] {
  if (typeof loss === 'string' || typeof loss === 'function') return names.map(() => getLoss('compile', loss));
  const wrong = (problem: string): OptionError =>
    new OptionError(`compile: needs one loss, or one for each output (${names.join(', ')}); ${problem}`);
  if (Array.isArray(loss)) {
    if (loss.length !== names.length) throw wrong(`got ${loss.length}`);
    return loss.map((l) => getLoss('compile', l));
  }
  if (typeof loss !== 'object' || loss === null) throw wrong(`got ${String(loss)}`);
  const unknown = Object.keys(loss).find((name) => !names.includes(name));
  if (unknown !== undefined) throw wrong(`there is no "${unknown}"`);
  return names.map((name) => {
    const own = (loss as Readonly<Record<string, OneLoss>>)[name];
    if (own === undefined) throw wrong(`"${name}" has none`);
    return getLoss('compile', own);
  });
}

/** The metrics of one output. */
function metricsOf(metrics: CompileArgs['metrics'], names: readonly string[], output: number): readonly OneMetric[] {
  if (metrics === undefined) return [];
  if (typeof metrics === 'string' || typeof metrics === 'function') return [metrics];
  if (Array.isArray(metrics)) return metrics;
  const unknown = Object.keys(metrics).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new OptionError(`compile: metrics name the output "${unknown}"; the outputs are ${names.join(', ')}`);
  }
  const own = (metrics as Readonly<Record<string, OneMetric | readonly OneMetric[]>>)[names[output]] ?? [];
  return typeof own === 'string' || typeof own === 'function' ? [own] : own;
}
