import type { FloatStorage } from '../formats/elements.js';
import type { Siblings } from '../formats/siblings.js';
import { OptionError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';

/** What to make of a file, where it leaves that open. */
export interface Architecture {
  /** The built-in network that weights alone belong to, as in `gabor models`. */
  readonly architecture?: string;
  /** How many classes that network has; default: as many as the weights. Other models have the outputs that they have. */
  readonly classes?: number;
  /**
   * The shape of one example, without the batch: of the built-in network (channels, height, width), or of a model of Keras or ONNX at
   * another size than its file's. Gabor's own models take what their layers take.
   */
  readonly input?: Shape;
}

/** For files that say what they consist of. @throws OptionError for options that are of built-in networks */
export function checkOwnArchitecture(shown: string, { architecture, classes }: Architecture): void {
  if (architecture !== undefined) {
    throw new OptionError(`${shown}: has an architecture of its own; leave out "${architecture}"`);
  }
  if (classes !== undefined) {
    throw new OptionError(`${shown}: has an architecture of its own with the outputs that it has; leave out "classes"`);
  }
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
