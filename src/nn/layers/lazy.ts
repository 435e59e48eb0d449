import { GaborError } from '../../tensor/errors.js';
import { Module } from '../module.js';
import type { Signature } from '../signature.js';

/** In place of a number of channels: the first call tells. */
export const UNKNOWN: unique symbol = Symbol('unknown');

export type Unknown = typeof UNKNOWN;

/**
 * A layer whose parameters depend on the channels (or features) of its input. A constructor that knows them ends with
 * `initialize`; one that does not makes a lazy layer: the first call tells them, which may be inside of `compile`. Until then
 * the layer has no parameters, and to list, save or load the parameters of a model with it is an error. From then on its
 * configuration is that of the ordinary layer.
 */
export abstract class InputSized<S extends Signature = Signature> extends Module<S> {
  #size: number | undefined;

  /** What the first call tells, for messages. */
  protected readonly sizeName: string = 'input channels';

  /** Declares parameters and buffers for inputs of so many channels. */
  protected abstract build(where: string, size: number): void;

  /** Makes the layer what it is for inputs of so many channels. */
  protected initialize(where: string, size: number): void {
    this.build(where, size);
    this.#size = size;
  }

  /** False before the first call of a lazy layer. */
  get initialized(): boolean {
    return this.#size !== undefined;
  }

  /** @throws GaborError before the first call of a lazy layer */
  protected get inputSize(): number {
    this.checkInitialized('');
    return this.#size as number;
  }

  protected override checkInitialized(path: string): void {
    if (this.#size !== undefined) return;
    const name = path === '' ? this.type : `"${path}" (${this.type})`;
    throw new GaborError(
      `${name} has no parameters before its first call, which tells it the ${this.sizeName}; call the model once with an example, or initializeLazy(model, inputShape), then train, save, load or list it`,
    );
  }

  /** The type in the configuration: a lazy layer that knows its channels is an ordinary one. */
  protected configType(): string {
    return this.initialized ? this.type.replace(/^Lazy/, '') : this.type;
  }
}
