import type { Kernel } from '../kernel/kernel.js';
import type { TypedArray } from '../tensor/dtype.js';
import { InternalError } from '../tensor/errors.js';
import type { TensorType } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** Static arguments of an operator: plain JSON data, since they are part of a program's identity. */
export type Attributes = object;

/** A row-major array of the reference implementation; floats may be held in double precision. */
export interface NdArray {
  readonly type: TensorType;
  readonly data: TypedArray;
}

export interface GradientContext<A extends Attributes> {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attributes: A;
  /** The gradient with respect to each output; undefined where nothing depends on it. */
  readonly gradients: readonly (Tensor | undefined)[];
  /** Whether the gradient with respect to input `i` is wanted at all. */
  wanted(i: number): boolean;
}

/** One operator: what it means, how it differentiates, how it lowers. One file in `ops/` exports it. */
export interface Operator<A extends Attributes = Attributes> {
  readonly name: string;
  /** The shape rule: types of the outputs. Throws a ShapeError that names the operator, the operands and the violated rule. */
  infer(inputs: readonly TensorType[], attributes: A): TensorType[];
  /** Plain loops, obviously right; fills the outputs. */
  reference(inputs: readonly NdArray[], outputs: readonly NdArray[], attributes: A): void;
  /** Emits operators for the gradient with respect to each input; absent where the derivative is zero or undefined. */
  readonly gradient?: (context: GradientContext<A>) => (Tensor | undefined)[];
  /** A target-independent description of the work. */
  lower(inputs: readonly TensorType[], outputs: readonly TensorType[], attributes: A): Kernel;
  /** Applies the operators that this one consists of; see {@link composite}. */
  readonly expand?: (inputs: readonly Tensor[], attributes: A) => readonly Tensor[];
}

/**
 * An operator that is one node while a network is traced and differentiated, with a gradient of its own, and many when it is compiled:
 * `expandOperators` puts what `expand` applies in its place, before any device sees it.
 */
export function composite<A extends Attributes>(
  rules: Pick<Operator<A>, 'name' | 'infer' | 'gradient'> & Required<Pick<Operator<A>, 'expand'>>,
): Operator<A> {
  const expandedFirst = (): never => {
    throw new InternalError(`${rules.name} was not expanded`);
  };
  return { ...rules, reference: expandedFirst, lower: expandedFirst };
}
