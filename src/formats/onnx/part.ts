import { withScope } from '../../graph/trace.js';
import type { Json, LayerConfig } from '../../nn/config.js';
import { Module } from '../../nn/module.js';
import type { Tensor } from '../../tensor/tensor.js';

/**
 * A node of an imported network, or a group of them, as a module: so that summaries, hooks and feature maps know the nodes by name.
 * Groups follow from the dots in the names of parameters, as in `features.0.weight`.
 */
export class OnnxPart extends Module {
  /** the type of the node's operator, or `OnnxGroup` */
  #type = 'OnnxGroup';
  #scope = '';
  readonly #names = new Set<string>();
  readonly #parts = new Map<string, OnnxPart>();
  #run: (() => Tensor) | undefined;
  #used: readonly Tensor[] = [];
  #facts: Readonly<Record<string, Json>> = {};

  override get type(): string {
    return this.#type;
  }

  /** Its name from the network down, as in `submodule(path)`. */
  get path(): string {
    return this.#scope;
  }

  /** The part with this name in this one, made where it is missing; undefined where the name is taken or none. */
  part(name: string): OnnxPart | undefined {
    const known = this.#parts.get(name);
    if (known !== undefined) return known;
    if (name === '' || name.includes('.') || this.#names.has(name)) return undefined;
    const part = this.child(name, new OnnxPart());
    this.#parts.set(name, part);
    part.#scope = this.#scope === '' ? name : `${this.#scope}.${name}`;
    return part;
  }

  hasPart(name: string): boolean {
    return this.#parts.has(name);
  }

  /** Declares a tensor of the network; false where the name is taken or none. */
  hold(name: string, tensor: Tensor, trained: boolean): boolean {
    if (name === '' || name.includes('.') || this.#names.has(name)) return false;
    if (this.#parts.has(name)) return false;
    this.#names.add(name);
    if (trained) this.parameter(name, tensor);
    else this.buffer(name, tensor);
    return true;
  }

  /** Makes this part stand for a node; false where it does for another one. */
  become(type: string): boolean {
    if (this.#type !== 'OnnxGroup') return false;
    this.#type = type;
    return true;
  }

  /** Names the parameters that the node computes with and that are the network's own by their names. */
  use(tensors: readonly Tensor[]): void {
    this.#used = tensors;
  }

  /** Those of the node, wherever their names have put them. */
  override parameters(): Tensor[] {
    return [...new Set([...super.parameters(), ...this.#used])];
  }

  /** Facts for summaries, as layers have them in their configuration: the window and its steps. */
  describe(facts: Readonly<Record<string, Json>>): void {
    this.#facts = facts;
  }

  /** What is known of the node; no layer is made from it. */
  override config(): LayerConfig {
    return { ...this.#facts, type: this.#type };
  }

  /** Runs `body` as a call of this module with `x`, or, without one, under its name only. */
  runNode(x: Tensor | undefined, body: () => Tensor | undefined): void {
    const groups = this.#scope.split('.').slice(0, -1).join('.');
    withScope(groups, () => {
      if (x === undefined) {
        withScope(this.#scope.slice(groups.length === 0 ? 0 : groups.length + 1), body);
        return;
      }
      this.#run = () => body() ?? x;
      try {
        this.call(x);
      } finally {
        this.#run = undefined;
      }
    });
  }

  forward(x: Tensor): Tensor {
    return this.#run === undefined ? x : this.#run();
  }
}
