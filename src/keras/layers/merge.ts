import type { Json } from '../../nn/config.js';
import { OptionError } from '../../tensor/errors.js';
import { BasicLayer, type Layer, type LayerOptions } from '../layer.js';
import { Operation } from '../modules.js';
import { formatKerasShape, type KerasShape } from '../shapes.js';

// Layers of several inputs: `add().apply([a, b])`.

function merge(
  name: string,
  className: string,
  options: LayerOptions,
  known: readonly string[] = [],
  settings: (shapes: readonly KerasShape[]) => Readonly<Record<string, Json>> = () => ({}),
): Layer {
  return new BasicLayer(
    name,
    className,
    options,
    known,
    (shapes) => ({ module: new Operation(name, settings(shapes)) }),
    'many',
  );
}

/** The sum of two or more tensors; extents of one stretch. */
export function add(options: LayerOptions = {}): Layer {
  return merge('add', 'Add', options);
}

/** The first tensor minus the second. */
export function subtract(options: LayerOptions = {}): Layer {
  return merge('subtract', 'Subtract', options);
}

/** The product of two or more tensors, element by element. */
export function multiply(options: LayerOptions = {}): Layer {
  return merge('multiply', 'Multiply', options);
}

/** The mean of two or more tensors. */
export function average(options: LayerOptions = {}): Layer {
  return merge('average', 'Average', options);
}

/** The largest of two or more tensors, element by element. */
export function maximum(options: LayerOptions = {}): Layer {
  return merge('maximum', 'Maximum', options);
}

/** The smallest of two or more tensors, element by element. */
export function minimum(options: LayerOptions = {}): Layer {
  return merge('minimum', 'Minimum', options);
}

export interface ConcatenateOptions extends LayerOptions {
  /** default −1, the last */
  readonly axis?: number;
}

/** Two or more tensors one after the other along an axis. */
export function concatenate(options: ConcatenateOptions = {}): Layer {
  const { axis = -1 } = options;
  return merge('concatenate', 'Concatenate', options, ['axis'], ([shape]) => {
    const at = axis < 0 ? axis + shape.length : axis;
    if (Number.isInteger(at) && at >= 1 && at < shape.length) return { axis: at };
    throw new OptionError(`concatenate: axis must be one of ${formatKerasShape(shape)} after the batch, got ${axis}`);
  });
}

export interface DotOptions extends LayerOptions {
  /** the axis of the products, one for both tensors or one for each (from 1, the batch is 0; negative from the end) */
  readonly axes: number | readonly [number, number];
  /** Divide vectors by their length first (cosine proximity); default false. */
  readonly normalize?: boolean;
}

/** Products of vectors of two tensors, for each example: [batch, …, k] and [batch, …, k] to [batch, …, …]. */
export function dot(options: DotOptions): Layer {
  const { axes, normalize = false } = options;
  const pair = typeof axes === 'number' ? [axes, axes] : axes;
  return merge('dot', 'Dot', options, ['axes', 'normalize'], () => ({ axes: pair as Json, normalize }));
}
