import { assign } from '../graph/trace.js';
import { type LoadOptions, type LoadReport, loadState, type StateEntry } from '../nn/module.js';
import { tensor, zeros } from '../ops/create.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, sameShape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';

/** What to optimise: tensors (named by their position), or named pairs as from `model.namedParameters()`. */
export type ParameterList = readonly Tensor[] | readonly (readonly [string, Tensor])[];

/**
 * Base of optimizers: parameters, learning rate, and state tensors that live beside the parameters. `step` works inside a
 * compiled function (where it updates parameters and state when the program ends) and outside of one.
 */
export abstract class Optimizer {
  readonly parameters: readonly Tensor[];
  readonly names: readonly string[];
  /** f32[]: a tensor, so that schedules change it without compiling again */
  readonly lr: Tensor;
  /** i32[]: steps taken */
  readonly stepCount: Tensor;
  readonly #where: string;
  readonly #state = new Map<string, Tensor>();

  constructor(where: string, parameters: ParameterList, lr: number) {
    this.#where = where;
    if (!Array.isArray(parameters)) {
      throw new OptionError(`${where}: takes a list of parameters: those of a model are model.parameters()`);
    }
    const entries = [...parameters].map((entry, i): readonly [string, Tensor] =>
      entry instanceof Tensor ? [String(i), entry] : entry,
    );
    if (entries.length === 0) throw new OptionError(`${where}: there are no parameters to optimise`);
    for (const [name, parameter] of entries) {
      if (!(parameter instanceof Tensor)) throw new OptionError(`${where}: "${name}" is not a tensor`);
    }
    this.names = entries.map(([name]) => name);
    this.parameters = entries.map(([, parameter]) => parameter);
    if (new Set(this.names).size < entries.length || new Set(this.parameters).size < entries.length) {
      throw new OptionError(`${where}: a parameter or a name appears twice`);
    }
    this.lr = this.state('lr', tensor(checkRate(where, lr)));
    this.stepCount = this.state('step', zeros([], 'i32'));
  }

  /** Moves the parameters; one gradient per parameter, in their order. */
  step(gradients: readonly Tensor[]): void {
    if (gradients.length !== this.parameters.length) {
      throw new OptionError(
        `${this.#where}: ${gradients.length} gradients for ${this.parameters.length} parameters; give one for each`,
      );
    }
    gradients.forEach((gradient, i) => {
      const { shape } = this.parameters[i];
      if (!sameShape(gradient.shape, shape)) {
        throw new ShapeError(
          `${this.#where}: the gradient of "${this.names[i]}" is ${formatShape(gradient.shape)}, the parameter ${formatShape(shape)}`,
        );
      }
    });
    this.update(gradients);
  }

  protected abstract update(gradients: readonly Tensor[]): void;

  /** Declares a tensor that belongs to the optimizer's state. */
  protected state(name: string, value: Tensor): Tensor {
    this.#state.set(name, value);
    return value;
  }

  /** Declares zeros for every parameter, named `kind.parameter`. */
  protected stateLikeParameters(kind: string): Tensor[] {
    return this.parameters.map((parameter, i) => this.state(`${kind}.${this.names[i]}`, zeros(parameter.shape)));
  }

  get learningRate(): number {
    return this.lr.item();
  }

  setLearningRate(lr: number): void {
    this.lr.write([checkRate(this.#where, lr)]);
  }

  /** All state by name, the learning rate included: the tensors themselves, not copies. */
  stateDict(): Record<string, Tensor> {
    return Object.fromEntries(this.#state);
  }

  /** Copies contents into the state. Nothing is changed when it throws. */
  loadStateDict(state: Readonly<Record<string, StateEntry>>, options: LoadOptions = {}): LoadReport {
    return loadState(`${this.#where}.loadStateDict`, this.stateDict(), state, options);
  }

  /** Frees the state's memory; parameters stay. */
  dispose(): void {
    for (const value of this.#state.values()) value.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function checkRate(where: string, lr: number): number {
  if (typeof lr !== 'number' || !Number.isFinite(lr) || lr < 0) {
    throw new OptionError(`${where}: lr must be a number ≥ 0, got ${lr}`);
  }
  return lr;
}

/** Assigns and returns the new contents. */
export function replace(target: Tensor, value: Tensor): Tensor {
  assign(target, value);
  return value;
}
