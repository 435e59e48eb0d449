import type { FloatStorage } from '../formats/elements.js';
import type { Siblings } from '../formats/siblings.js';
import type { Shape } from '../tensor/shape.js';

/** Which built-in network weights belong to. */
export interface Architecture {
  /** As in `gabor models`. */
  readonly architecture?: string;
  /** Default: what the weights have. */
  readonly classes?: number;
  /** [channels, height, width] of the pictures that it takes; default: the network's own. */
  readonly input?: Shape;
}

/** How a file is read. */
export interface ReadOptions extends Architecture {
  /** Named in messages; default: the path. */
  readonly shown?: string;
  /** Makes files available that belong to this one. */
  readonly siblings?: Siblings;
}

export interface WriteOptions {
  /** Shapes of the inputs where the model leaves them free, as for `LoadedModel.shapes`. */
  readonly input?: Readonly<Record<string, Shape>> | Shape;
  /** Of ONNX: version of its set of operators, 11 to 21; default 17. */
  readonly opset?: number;
  /** Of safetensors: what floats are stored as; default `f32`. */
  readonly floats?: FloatStorage;
}
